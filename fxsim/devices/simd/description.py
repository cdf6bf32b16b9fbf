"""The SIMD accelerator as a description of a design that works off jobs, from which kits are made."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from fxsim.devices.settings import Settings
from fxsim.devices.simd.memory_image import LANES, STAGES, MemoryImage, build_memory_image
from fxsim.devices.simd.registers import ACCELERATOR_ID, Control, Register, Status
from fxsim.errors import StimulusError
from fxsim.graph import Model
from fxsim.paths import rtl_dir

_PROGRAM = "program.bin"
_AT = {"program": 0x10_0000_0000, "image": 0x2000_0000, "result": 0x3000_0000}
_WORD_BITS = 8 * LANES


def describe(model: Model, settings: Settings, rtl: Path | None, folder: Path) -> Path:  # noqa: ARG001  # an image is a job
    """Write a description of the accelerator into a folder, with the Verilog and the program; returns its path.

    Every tap is described, at the monitor of its stage. ModelError where the model does not fit the accelerator,
    StimulusError where a tap's last group of channels is not full, which a description cannot state.
    """
    image = build_memory_image(model)
    copied = shutil.copytree(rtl or rtl_dir(), folder / "rtl")
    (copied / _PROGRAM).write_bytes(image.to_bytes())
    sources = [path.relative_to(copied).as_posix() for path in sorted(copied.glob("**/*.v"))]
    text = "\n".join([*_head(image, sources), *_regions(), *_taps(model, image)]) + "\n"
    (copied / "design.toml").write_text(text, encoding="utf-8")
    return copied / "design.toml"


def _head(image: MemoryImage, sources: list[str]) -> Iterator[str]:
    """Lines of the design and its registers: set up once, then an image a job."""
    parameters = image.buffers.parameters()
    yield 'top = "simd_resmlp"'
    yield f"sources = {json.dumps(sources)}"
    yield f"files = {json.dumps([_PROGRAM])}"
    yield f"parameters = {{ {', '.join(f'{name} = {value}' for name, value in parameters.items())} }}"
    yield 'clock = "clk"'
    yield 'reset = { signal = "rst" }'
    yield 'registers = { prefix = "s_axil" }'
    yield "setup = ["
    yield f"  {{ read = {Register.ID:#x}, value = {ACCELERATOR_ID:#x} }},"
    for place, low, high in (
        (_AT["program"], Register.PARAM_ADDR_LO, Register.PARAM_ADDR_HI),
        (_AT["image"], Register.IMAGE_ADDR_LO, Register.IMAGE_ADDR_HI),
        (_AT["result"], Register.RESULT_ADDR_LO, Register.RESULT_ADDR_HI),
    ):
        yield f"  {{ write = {low:#x}, value = {place & 0xFFFF_FFFF:#x} }},"
        yield f"  {{ write = {high:#x}, value = {place >> 32:#x} }},"
    for register, value in (
        (Register.PARAM_WORDS, "program.words"), (Register.IMAGE_WORDS, "image.words"),
        (Register.IMAGE_STRIDE, "image.bytes"), (Register.RESULT_WORDS, "result.words"),
        (Register.RESULT_STRIDE, "result.bytes"),
    ):  # fmt: skip
        yield f"  {{ write = {register:#x}, value = {json.dumps(value)} }},"
    yield f"  {{ write = {Register.IMAGE_COUNT:#x}, value = 1 }},"
    yield "]"
    yield "run = ["
    yield f"  {{ write = {Register.CONTROL:#x}, value = {1 << Control.START | 1 << Control.IRQ_ENABLE:#x} }},"
    yield '  { wait = "irq" },'
    yield f"  {{ read = {Register.ERROR:#x}, value = 0 }},"
    yield f"  {{ read = {Register.IMAGES_DONE:#x}, value = 1 }},"
    yield f"  {{ write = {Register.STATUS:#x}, value = {1 << Status.DONE:#x} }},"
    yield "]"


def _regions() -> Iterator[str]:
    """Lines of the memory, and what lies in it."""
    yield from ("[[axi4]]", 'name = "ddr"', 'prefix = "m_axi"', f"width = {_WORD_BITS}")
    for name, role, rest in (
        ("program", "parameter", f'file = "{_PROGRAM}"'),
        ("image", "input", f'lanes = {LANES}\npack = "row"'),
        ("result", "output", f"lanes = {LANES}"),
    ):
        yield from ("[[region]]", f'name = "{name}"', 'memory = "ddr"', f'role = "{role}"', f"base = {_AT[name]:#x}")
        yield rest


def _taps(model: Model, image: MemoryImage) -> Iterator[str]:
    """Lines of the taps: each at its stage, which shows one layer after the other."""
    for layer in image.layers:
        for stage, tap in layer.stages:
            number, shape = STAGES.index(stage), model.graph.shapes[tap]
            yield from ("[[tap]]", f"name = {json.dumps(tap)}", f'valid = "mon_valid[{number}]"')
            yield f'data = "mon_data[{_WORD_BITS * (number + 1) - 1}:{_WORD_BITS * number}]"'
            yield from (f'multiplex = "{stage}"', f"lanes = {LANES}")
            if len(shape) == 2 and shape[-1] <= LANES:
                yield 'pack = "row"'
            elif len(shape) == 2:
                if shape[-1] % LANES != 0:
                    raise StimulusError(
                        f"tap '{tap}' has {shape[-1]} channels, expected at most {LANES} or a multiple of it: "
                        "a description, from which a kit is made, has no groups of channels of which the last is not "
                        "full; 'fxsim memory-image' writes what the memory holds, 'fxsim vectors' the values of taps"
                    )
                yield f'order = ["channel/{LANES}", "token", "channel%{LANES}"]'
