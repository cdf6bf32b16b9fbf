"""Parameters and ROM files of a model, which the streaming accelerator is given when it is built and when it runs."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import TableRule
from fxsim.devices.stream.settings import StreamSettings
from fxsim.errors import ModelError
from fxsim.families import DIMENSIONS, Slot, recognise_resmlp, resmlp_slots
from fxsim.graph import Model, Node, refuse_beyond_int8
from fxsim.operators import Affine, Axis, Linear, Lut

_TABLE_RULES = (TableRule.CLAMP, TableRule.HOLD, TableRule.ENDPOINT, TableRule.FULL)
"""Edge rules in the order of the Verilog parameter TABLE_RULE."""

_DEFAULT = StreamSettings()

BLOCKS_MAX = 100
"""ROM files name their block with two digits."""

ROM_PARAMETERS = frozenset({*(name.upper() for name in DIMENSIONS), "PSA", "POINTS", "TABLE_RULE"})
"""Parameters that say how many words the ROM files have, and of what."""

_ACC_BITS_MIN = 16
"""One product's width, the least that the Verilog takes."""


def rtl_parameters(model: Model, settings: StreamSettings = _DEFAULT) -> dict[str, int]:
    """Verilog parameters of `stream_resmlp` for a model; BLOCK_ROM, which no model decides, at its default.

    A parameter that all blocks share takes the widest accumulator that any of them states: widths are proven, so that
    a wider one computes the same. ModelError where the graph is not a ResMLP of int8, has more blocks than ROM files
    can name, or dimensions that are no multiples of the lanes.
    """
    config = recognise_resmlp(model.graph)
    refuse_beyond_int8(model.graph, "the streaming accelerator")
    if config.blocks > BLOCKS_MAX:
        raise ModelError(f"the accelerator takes up to {BLOCKS_MAX} blocks, model '{model.name}' has {config.blocks}")

    for name in (name for name in DIMENSIONS if name != "blocks"):
        if (size := getattr(config, name)) % settings.beat != 0:
            raise ModelError(
                f"with {settings.beat} values a beat all dimensions are multiples of it, "
                f"model '{model.name}' has {size} {name}"
            )

    acc_bits: dict[str, int] = {}
    for slot, node in zip(resmlp_slots(config, config.psa), model.graph.nodes, strict=True):
        if isinstance(node.op, Linear):
            name = "MIX" if slot.over is Axis.TOKENS else slot.role.upper()
            acc_bits[name] = max(node.op.acc_bits, acc_bits.get(name, _ACC_BITS_MIN))

    return {
        **{name.upper(): getattr(config, name) for name in DIMENSIONS},
        "PSA": int(config.psa),
        # A ReLU model has no tables; the accelerator still wants legal values.
        "POINTS": config.points or 4,
        "TABLE_RULE": _TABLE_RULES.index(config.rule) if config.rule is not None else 0,
        **{f"{name}_ACC_W": bits for name, bits in acc_bits.items()},
        "BLOCK_ROM": 0,
        "LANES": settings.beat,
        "PACKED": int(settings.packed),
    }


def write_roms(model: Model, directory: Path) -> list[Path]:
    """Write every ROM file of a model into an existing folder, for `$readmemh`; returns their paths.

    Two's complement hexadecimal, one word a line; a linear's word is a whole row of weights, input k at bits
    [8k +: 8]; a table's words are channel-major. ModelError where the graph is not a ResMLP.
    """
    written = []
    for name, content in rom_files(model).items():
        (directory / name).write_bytes(content)
        written.append(directory / name)
    return written


def rom_files(model: Model) -> dict[str, bytes]:
    """Every ROM file of a model by name, as `write_roms` writes them. ModelError where the graph is not a ResMLP."""
    config = recognise_resmlp(model.graph)
    refuse_beyond_int8(model.graph, "the streaming accelerator")
    return {
        f"{_rom_stem(slot)}_{suffix}.hex": content
        for slot, node in zip(resmlp_slots(config, config.psa), model.graph.nodes, strict=True)
        for suffix, content in node_files(node).items()
    }


def node_files(node: Node) -> dict[str, bytes]:
    """The ROM contents of a node by the last part of their files' names: w, b and s, or t, or none."""
    return {suffix: "".join(f"{word}\n" for word in words).encode("ascii") for suffix, words in _rom_words(node)}


def _rom_stem(slot: Slot) -> str:
    """Start of the names of an operator's files: its block with two digits, where it is in one, and its place there."""
    block = () if slot.block is None else (f"block{slot.block:02d}",)
    return "_".join((*block, *slot.place))


def _rom_words(node: Node) -> list[tuple[str, list[str]]]:
    """The node's files as (suffix, words)."""
    op = node.op
    if isinstance(op, Lut):
        return [("t", _hex(op.table.reshape(-1, 1)))]
    if isinstance(op, Linear | Affine):
        rows = op.weight if isinstance(op, Linear) else op.weight[:, None]
        return [("w", _hex(rows)), ("b", _hex(op.bias[:, None])), ("s", _hex(op.shift[:, None]))]
    return []


def _hex(rows: npt.NDArray[Any]) -> list[str]:
    """Words in hexadecimal, one a row; the row's first byte is the least significant and so is written last."""
    return [np.ascontiguousarray(row[::-1]).tobytes().hex() for row in rows]


def stream_order(model: Model, tap: str) -> Axis:
    """The slower index in a tap's stream: TOKENS, or CHANNELS for a linear over tokens.

    That linear sits between two transposing buffers, so that its results come channel by channel.
    """
    op = model.graph.by_name[tap].op
    return Axis.CHANNELS if isinstance(op, Linear) and op.over is Axis.TOKENS else Axis.TOKENS
