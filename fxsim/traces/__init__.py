"""Values from anywhere: traces that other tools wrote, read within bounds, as sources that can be compared."""

from fxsim.traces.name_map import TapMap, TraceMap, map_text, read_map
from fxsim.traces.read import check_input, open_trace, read_trace
from fxsim.traces.trace import Trace

__all__ = ["TapMap", "Trace", "TraceMap", "check_input", "map_text", "open_trace", "read_map", "read_trace"]
