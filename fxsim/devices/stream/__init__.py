"""The streaming accelerator: its parameters and ROM files, streams, and the harness that drives it."""

from fxsim.devices.stream.roms import rtl_parameters, stream_order, write_roms

__all__ = ["rtl_parameters", "stream_order", "write_roms"]
