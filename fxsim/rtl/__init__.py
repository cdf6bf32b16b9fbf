"""From a model to a simulator of the streaming accelerator: ROM files, and a Verilator build cached by its content."""

from fxsim.rtl.build import Build, build_stream
from fxsim.rtl.roms import rtl_parameters, stream_order, write_roms

__all__ = ["Build", "build_stream", "rtl_parameters", "stream_order", "write_roms"]
