"""From a model to an accelerator: ROM files and Verilog builds cached by their content, and memory images."""

from fxsim.rtl.build import Build, build_simulator
from fxsim.rtl.memory_files import MemoryFiles, write_memory_image
from fxsim.rtl.memory_image import (
    LANES,
    STAGES,
    Buffers,
    Layer,
    MemoryImage,
    Section,
    build_memory_image,
    pack_images,
    unpack_results,
)
from fxsim.rtl.roms import rtl_parameters, stream_order, write_roms
from fxsim.rtl.simd_registers import ACCELERATOR_ID, Control, ErrorCode, Register, Status

__all__ = [
    "ACCELERATOR_ID",
    "LANES",
    "STAGES",
    "Buffers",
    "Build",
    "Control",
    "ErrorCode",
    "Layer",
    "MemoryFiles",
    "MemoryImage",
    "Register",
    "Section",
    "Status",
    "build_memory_image",
    "build_simulator",
    "pack_images",
    "rtl_parameters",
    "stream_order",
    "unpack_results",
    "write_memory_image",
    "write_roms",
]
