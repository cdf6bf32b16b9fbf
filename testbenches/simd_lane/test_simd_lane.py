"""simd_lane.v: one channel of the epilogue, a value in each of its stages."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
import pytest
from cocotb.triggers import FallingEdge, ReadOnly

from testbenches.common.pins import start_clock
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stream import known
from testbenches.simd_epilogue.integers import requantise, sat8

STAGES = 8
VALUES = 4000

NONE, AFFINE, RELU, OTHER = range(4)
"""What becomes of the value at the end; OTHER is done elsewhere, and the lane's own output is not looked at."""


@dataclass
class Constants:
    """Of one affine."""

    w: int
    b: int
    s: int

    def scale(self, x: int) -> int:
        """The contract."""
        return requantise(x * self.w, self.s, self.b)


@dataclass
class Value:
    """What comes in with one value, and what the contract makes of it."""

    acc: int
    by_row: bool
    bias: dict[bool, int]  # by `by_row`
    shift: dict[bool, int]
    affine: Constants | None
    residual: int | None
    res: Constants | None
    next: int
    constants: Constants

    def __post_init__(self) -> None:
        linear = requantise(self.acc, self.shift[self.by_row], self.bias[self.by_row])
        affine = self.affine.scale(linear) if self.affine else linear
        add = affine if self.residual is None else sat8(affine + self.residual)
        self.outputs = {"linear": linear, "affine": affine, "add": add}
        if self.res:
            self.outputs["res_affine"] = self.res.scale(add)
        if self.next != OTHER:
            self.outputs["next"] = {NONE: add, AFFINE: self.constants.scale(add), RELU: max(add, 0)}[self.next]


SHOWN = {"linear": 3, "affine": 5, "add": 6, "res_affine": 8, "next": 8}
"""The stage in which an output is there."""


def byte(rng: np.random.Generator) -> int:
    """An int8, an extreme one now and then."""
    return int(rng.choice([-128, 127])) if rng.random() < 0.1 else int(rng.integers(-128, 128))


def shift(rng: np.random.Generator, most: int) -> int:
    """A shift, rarely one beyond `most`."""
    return int(rng.integers(256)) if rng.random() < 0.05 else int(rng.integers(most + 1))


def constants(rng: np.random.Generator) -> Constants:
    """Any affine."""
    return Constants(byte(rng), byte(rng), shift(rng, 15))


def value(rng: np.random.Generator, acc_w: int) -> Value:
    """Sums of every magnitude, any mixture of operators."""
    bits = int(rng.integers(1, acc_w))
    acc = int(rng.integers(-(2**bits), 2**bits))
    # Most shifts leave about an int8.
    near = [max(0, bits - int(rng.integers(4, 9))) if rng.random() < 0.7 else shift(rng, 25) for _ in range(2)]
    return Value(
        acc,
        bool(rng.integers(2)),
        {False: byte(rng), True: byte(rng)},
        {False: near[0], True: near[1]},
        constants(rng) if rng.integers(2) else None,
        byte(rng) if rng.integers(2) else None,
        constants(rng) if rng.integers(2) else None,
        int(rng.integers(4)),
        constants(rng),
    )


def drive(dut: Any, stages: list[Value | None], rng: np.random.Generator) -> None:
    """Set the inputs of every stage for the value in it; those of no use to it are random."""
    dut.enable.value = sum(1 << k for k in range(STAGES) if stages[k])
    # A value that is not there uses nothing, whatever comes with it.
    here = [stage or value(rng, len(dut.acc)) for stage in stages]
    dut.acc.value = here[0].acc & (2 ** len(dut.acc) - 1)
    dut.by_row.value = here[1].by_row
    for place, by_row in (("lane", False), ("row", True)):
        getattr(dut, f"{place}_bias").value = here[1].bias[by_row] & 0xFF
        getattr(dut, f"{place}_shift").value = here[1].shift[by_row]
    uses = {
        "affine": stages[3] and stages[3].affine,
        "res": stages[6] and stages[6].res,
        "next": stages[6] and stages[6].next == AFFINE and stages[6].constants,
    }
    for name, used in uses.items():
        getattr(dut, f"{name}_enable").value = bool(used)
        given = used or constants(rng)
        for field in ("w", "b", "s"):
            getattr(dut, f"{name}_{field}").value = getattr(given, field) & 0xFF
    dut.affine_select.value = here[4].affine is not None
    dut.add_select.value = here[5].residual is not None
    dut.residual.value = (byte(rng) if here[5].residual is None else here[5].residual) & 0xFF
    dut.next_affine.value = here[7].next == AFFINE
    dut.next_relu.value = here[7].next == RELU


@cocotb.test()
@cocotb.parametrize(gaps=[0.0, 0.4])
async def equals_the_contract(dut, gaps):
    """Values with operators of their own, one behind the other: each output in its stage, and until the next value."""
    rng = generator(f"simd_lane {len(dut.acc)} {gaps}")
    start_clock(dut)
    stages: list[Value | None] = [None] * (STAGES + 1)
    shown: dict[str, int] = {}
    for cycle in range(VALUES):
        await FallingEdge(dut.clk)
        stages = [value(rng, len(dut.acc)) if rng.random() >= gaps else None, *stages[:-1]]
        drive(dut, stages, rng)
        await ReadOnly()
        for name, stage in SHOWN.items():
            here = stages[stage]
            if here is not None:
                if name in here.outputs:
                    shown[name] = here.outputs[name]
                elif name == "next":
                    shown.pop(name, None)
            if name in shown:
                got = known(getattr(dut, name))
                assert got == shown[name] & 0xFF, f"cycle {cycle}: {name} {got:#04x}, expected {shown[name]} of {here}"
    assert shown


@pytest.mark.parametrize("acc_w", [10, 26])
def test_simd_lane(acc_w: int, tmp_path: Path) -> None:
    """simd_lane.v equals the contract in every stage, whatever the values around it are made of."""
    simulate(__name__, "simd_lane", tmp_path, {"ACC_W": acc_w})
