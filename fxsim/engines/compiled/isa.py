"""Instruction sets: what each one's registers hold, which of them this CPU can run, and which one is used."""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="call-arg,unreachable,var-annotated"
# Numba infers its own types: annotations would be a second, unchecked statement of them; and it gives an intrinsic its
# first argument, the typing context.

import functools
import os
from collections.abc import Callable
from typing import NamedTuple

import llvmlite.binding
import numpy as np

from fxsim.engines.compiled.vectors import I64
from fxsim.errors import StimulusError
from fxsim.jit import config, intrinsic, types

ISA_VARIABLE = "FXSIM_ISA"
"""Environment variable that names the instruction set to use."""

_NEEDED: dict[str, tuple[tuple[str, ...], ...]] = {
    "avx512": (("avx512f", "avx512bw", "avx512vl", "avx512vnni", "avx512vbmi"),),
    "avxvnni": (("avx2", "avxvnni"), ("avx2", "avx512vl", "avx512vnni")),
    "avx2": (("avx2",),),
    "ssse3": (("ssse3",),),
    "plain": ((),),
}
"""The features of the CPU that each set needs, all of one alternative; the first set that it has is used."""


class Isa(NamedTuple):
    """An instruction set: 32-bit lanes of a vector, columns and rows of a tile of sums that its registers hold.

    `depth`: factors that a lane takes at once, 4 of 8 bits or 2 of 16 bits. `tables`: affines are looked up. `runs`:
    sums over channels are of byte products in 16 bits, by runs that cannot leave them (see `runs`).
    """

    name: str
    lanes: int
    columns: int
    rows: int
    depth: int
    tables: bool
    runs: bool = False

    @property
    def channels_depth(self) -> int:
        """Factors that a lane takes at once in a linear over channels."""
        return 4 if self.runs else self.depth

    @property
    def token(self):
        """The empty array whose type says which instruction set it is: by its number of dimensions.

        Numba's names of machine code tell numbers of dimensions apart, but not record types of different processes.
        """
        return np.empty((0,) * (1 + list(ISAS).index(self.name)), np.uint8)


ISAS = {
    isa.name: isa
    for isa in (
        Isa("avx512", 16, 64, 4, 4, tables=True),
        Isa("avxvnni", 8, 32, 2, 4, tables=False),
        Isa("avx2", 8, 32, 2, 2, tables=False, runs=True),
        Isa("ssse3", 4, 16, 2, 2, tables=False, runs=True),
        Isa("plain", 4, 16, 2, 2, tables=False),
    )
}


def isa_of(token):
    """The instruction set that the type of a token says."""
    return list(ISAS.values())[token.ndim - 1]


def _isa_constant(name):
    @intrinsic
    def constant(_typing, isa):
        return types.int64(isa), lambda *_: I64(int(getattr(isa_of(isa), name)))

    return constant


tile_columns, tile_rows, tile_depth, tile_lanes, channels_depth, has_runs = (
    _isa_constant(name) for name in ("columns", "rows", "depth", "lanes", "channels_depth", "runs")
)


def instruction_sets() -> tuple[Isa, ...]:
    """The instruction sets that this CPU can run, the fastest first."""
    # What Numba generates code for: the host's features, unless NUMBA_CPU_FEATURES or NUMBA_ENABLE_AVX state others.
    return _able(llvmlite.binding.get_host_cpu_features, config.CPU_FEATURES, bool(config.ENABLE_AVX))


@functools.cache
def _able(ask: Callable[[], dict[str, bool]], stated: str | None, avx: bool) -> tuple[Isa, ...]:
    """The instruction sets of features that are stated, or else asked for, which takes longer than to compute an image.

    `avx`: whether features of AVX count where they are asked for.
    """
    if stated is None:
        has = {name for name, there in ask().items() if there and (avx or not name.startswith("avx"))}
    else:
        has = {feature[1:] for feature in stated.split(",") if feature.startswith("+")}
    return tuple(ISAS[name] for name, choices in _NEEDED.items() if any(has.issuperset(needed) for needed in choices))


def instruction_set(name: str | None = None) -> Isa:
    """The one named, by default the one that FXSIM_ISA names or else the fastest; StimulusError where it cannot run."""
    sets = instruction_sets()
    wanted = name or os.environ.get(ISA_VARIABLE) or sets[0].name
    for isa in sets:
        if isa.name == wanted:
            return isa
    names = ", ".join(isa.name for isa in sets)
    raise StimulusError(f"instruction set '{wanted}' cannot run here, expected one of: {names}")
