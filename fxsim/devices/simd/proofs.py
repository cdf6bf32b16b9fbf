"""The SIMD accelerator as a design to prove: one job of all images of a run, its registers, memory and monitors."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fxsim.devices.provable import LANE_BITS, Access, Lane, Port, ProofBus, ProofMonitor, ProofRegion, Provable
from fxsim.devices.simd.blocks import UNPROVED, blocks
from fxsim.devices.simd.layout import RESULT
from fxsim.devices.simd.memory_image import LANES, STAGES, Layer, MemoryImage
from fxsim.devices.simd.registers import ACCELERATOR_ID, Control, ErrorCode, Register, Status
from fxsim.errors import ToolError
from fxsim.graph import INPUT, Model
from fxsim.operators import Linear

if TYPE_CHECKING:
    from fxsim.devices.simd.device import FittedSimd

PARAMETERS_AT = 0x2_0001_0FC0
IMAGES_AT = 0x2000_0000
RESULTS_AT = 0x3000_0FF0
"""Addresses in the job that is proved: bursts and results do not begin at a page's beginning."""
SPARE_WORDS = 1
"""Words from the end of an image, and of a result, to the next one's beginning."""

_WORD_BITS = LANES * LANE_BITS
_IDLE = 1000
"""Cycles, beside memory's latency, in which something passes or a monitor shows a word, as long as there is work."""


def whole(model: Model, fitted: "FittedSimd", module: str | None) -> tuple[Provable, ...]:
    """The accelerator with its default buffers in one job; ToolError for a module alone, or jobs of fewer images."""
    if module is not None:
        why = UNPROVED.get(module, "it has no such module")
        known = ", ".join(sorted(blocks(model, fitted.settings)))
        what = f"'{module}' of the accelerator 'simd' is not proved alone: {why}"
        raise ToolError(f"{what}; its modules that are: {known}")
    if fitted.settings.batch is not None:
        raise ToolError("a proof of the accelerator 'simd' is of one job of all images of the run: leave 'batch' unset")
    image = fitted.image
    latency = fitted.settings.read_latency
    return (
        Provable(
            name="simd_resmlp",
            top="simd_resmlp",
            parameters=fitted.parameters,
            files={},
            feeds=(),
            watches=(),
            reset=Port("rst"),
            takes=(),
            quiet=(),
            idle=_IDLE + latency,
            whole=True,
            monitors=tuple(_monitors(model, image)),
            bus=_bus(model, image, keep=fitted.settings.keep, latency=latency),
        ),
    )


def _monitors(model: Model, image: MemoryImage) -> Iterator[ProofMonitor]:
    for i, stage in enumerate(STAGES):
        words = [word for layer in image.layers if stage in dict(layer.stages) for word in _words(model, layer, stage)]
        yield ProofMonitor(
            f"mon_{stage}", Port("mon_data", _WORD_BITS * i, _WORD_BITS), Port("mon_valid", i), tuple(words)
        )


def _words(model: Model, layer: Layer, stage: str) -> Iterator[tuple[Lane, ...]]:
    """The words of a layer's stage: group by group, in each token by token."""
    tap = dict(layer.stages)[stage]
    *tokens, channels = model.graph.shapes[tap]
    op = model.graph.by_name[tap].op
    for group in range(layer.groups):
        for token in range(tokens[0] if tokens else 1):
            # Behind the last channel a sum over tokens is 0: its token's bias is left of it, until the affine.
            beyond = int(op.bias[token]) if isinstance(op, Linear) and layer.token_mixing else 0
            yield tuple(
                Lane(tap, token if tokens else None, channel, None if channel < channels else beyond)
                for channel in range(group * LANES, (group + 1) * LANES)
            )


def _bus(model: Model, image: MemoryImage, *, keep: bool, latency: int) -> ProofBus:
    image_stride = (image.image_words + SPARE_WORDS) * LANES
    result_stride = (image.result_words + SPARE_WORDS) * LANES
    tokens, values = model.graph.input_shape
    row = image.image_words // tokens * LANES
    given = tuple(
        Lane(INPUT, token, value) if value < values else None for token in range(tokens) for value in range(row)
    )
    output = model.graph.output
    (classes,) = model.graph.shapes[output]
    written = tuple(
        Lane(output, None, channel, None if channel < classes else 0) for channel in range(image.result_words * LANES)
    )
    return ProofBus(
        registers="s_axil",
        memory="m_axi",
        irq=Port("irq"),
        program=tuple(_program(image, image_stride, result_stride, keep=keep)),
        reads=(
            ProofRegion("parameters", PARAMETERS_AT, image.to_bytes()),
            ProofRegion("images", IMAGES_AT, given, image_stride),
        ),
        writes=ProofRegion(RESULT, RESULTS_AT, written, result_stride),
        latency=latency,
    )


def _program(image: MemoryImage, image_stride: int, result_stride: int, *, keep: bool) -> Iterator[Access]:
    """The program of a driver: see `docs/memory-image.md`; and that DONE is cleared, and the interrupt with it."""
    yield Access("read", Register.ID, ACCELERATOR_ID)
    for low, address in (
        (Register.PARAM_ADDR_LO, PARAMETERS_AT),
        (Register.IMAGE_ADDR_LO, IMAGES_AT),
        (Register.RESULT_ADDR_LO, RESULTS_AT),
    ):
        yield Access("write", low, address & 0xFFFF_FFFF)
        yield Access("write", low + 4, address >> 32)
    yield Access("write", Register.PARAM_WORDS, len(image.words))
    yield Access("write", Register.IMAGE_COUNT, 0, each=1)
    yield Access("write", Register.IMAGE_WORDS, image.image_words)
    yield Access("write", Register.IMAGE_STRIDE, image_stride)
    yield Access("write", Register.RESULT_WORDS, image.result_words)
    yield Access("write", Register.RESULT_STRIDE, result_stride)
    yield Access("write", Register.CONTROL, 1 << Control.START | keep << Control.KEEP | 1 << Control.IRQ_ENABLE)
    yield Access("wait")
    yield Access("read", Register.STATUS, 1 << Status.DONE)
    yield Access("read", Register.ERROR, ErrorCode.NONE)
    yield Access("read", Register.IMAGES_DONE, 0, each=1)
    yield Access("write", Register.STATUS, 1 << Status.DONE)
    yield Access("read", Register.STATUS, 0)
