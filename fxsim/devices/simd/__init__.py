"""The SIMD accelerator: its memory images, registers, streams, figures, and the harness that drives it."""

from fxsim.devices.simd.figures import LayerFigures, SimdFigures
from fxsim.devices.simd.memory_files import MemoryFiles, write_memory_image
from fxsim.devices.simd.memory_image import (
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
from fxsim.devices.simd.registers import ACCELERATOR_ID, Control, ErrorCode, Register, Status

__all__ = [
    "ACCELERATOR_ID",
    "LANES",
    "STAGES",
    "Buffers",
    "Control",
    "ErrorCode",
    "Layer",
    "LayerFigures",
    "MemoryFiles",
    "MemoryImage",
    "Register",
    "Section",
    "SimdFigures",
    "Status",
    "build_memory_image",
    "pack_images",
    "unpack_results",
    "write_memory_image",
]
