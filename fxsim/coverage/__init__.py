"""Coverage of the arithmetic: which points of every operator's rules were reached, which cannot be, which are open."""

from fxsim.coverage.count import Counter
from fxsim.coverage.directed import Directed, close, read_directed, write_directed
from fxsim.coverage.measure import cover_equal, cover_images, cover_trace
from fxsim.coverage.record import (
    Coverage,
    Figures,
    Source,
    States,
    by_family,
    by_node,
    merge,
    missing_moments,
    read_coverage,
    total,
    write_coverage,
)

__all__ = [
    "Counter",
    "Coverage",
    "Directed",
    "Figures",
    "Source",
    "States",
    "by_family",
    "by_node",
    "close",
    "cover_equal",
    "cover_images",
    "cover_trace",
    "merge",
    "missing_moments",
    "read_coverage",
    "read_directed",
    "total",
    "write_coverage",
    "write_directed",
]
