"""Needs: how wide signals of a device's Verilog must be for a model, and how many words memories must have.

Every number follows from the model: proved bounds of its accumulators, formats of its tensors, points of its tables;
none from the Verilog, which is held against them.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from fxsim.contract import bits_needed
from fxsim.graph import AccumulatorBound, Graph, Node, accumulator_bound
from fxsim.operators import Lut

HALVES = (-512, 511)
"""Twice a value before its bias, so far clipped that no bias brings it back into int8."""
IN_HALVES = "twice what is left of a sum, clipped"
"""Such values in words, for reports."""
DATA_BITS = 8
"""Bits of a value, weight, bias or shift, where a device takes int8 alone."""


@dataclass(frozen=True)
class Need:
    """A signal of instances, and how wide it must be. In `instance`, a path, and `signal` a `*` is anything.

    `exact`: wider is wrong, too; otherwise a wider one computes the same. `depth`: the words that a memory must have;
    None for what is no memory. `signed`: whether it must be declared so; None where it does not matter. `why` says what
    it holds.
    """

    instance: str
    signal: str
    width: int
    why: str
    exact: bool = False
    depth: int | None = None
    signed: bool | None = None


def data_needs(instance: str, signals: str, why: str = "a value") -> Iterator[Need]:
    """Signals, named with spaces between, that hold one value each, and nothing else."""
    for signal in signals.split():
        yield Need(instance, signal, DATA_BITS, why, exact=True)


def requantise_needs(instance: str, low: int, high: int, what: str) -> Iterator[Need]:
    """The inside of `requantise.v` for sums from `low` to `high`."""
    bits = bits_needed(low, high)
    yield from data_needs(instance, "shift bias y", "a shift, a bias and the result")
    yield Need(instance, "acc", bits, what)
    # One zero below, for the rounding bit.
    for signal in ("appended", "wide"):
        yield Need(instance, signal, bits + 1, f"{what} and a rounding bit", signed=True)
    yield Need(instance, "quotient", bits, what)
    # What is rounded up has been shifted, and goes no further than what is not.
    widest = bits_needed(min(low, 0) - 128, max(high, 0) + 127)
    for signal in ("quotient_extended", "rounding_bit", "bias_extended", "sum"):
        yield Need(instance, signal, widest, f"{what}, rounded up, and a bias")


def affine_lane_needs(instance: str, low: int, high: int, what: str) -> Iterator[Need]:
    """The inside of `affine_lane.v` for products from `low` to `high`."""
    bits = bits_needed(low, high)
    yield from data_needs(instance, "x w b s y b_reg s_reg", "a value, weight, bias or shift")
    for signal in ("x_extended", "w_extended"):
        yield Need(instance, signal, bits, what, signed=True)
    for signal in ("product", "product_reg"):
        yield Need(instance, signal, bits, what)
    yield from requantise_needs(f"{instance}.requantise_product", low, high, what)


def add_needs(instance: str) -> Iterator[Need]:
    """The inside of `saturating_add.v`."""
    yield from data_needs(instance, "x r y")
    yield Need(instance, "sum", bits_needed(-128 - 128, 127 + 127), "the sum of two values")


def shift_clip_needs(instance: str, low: int, high: int, what: str) -> Iterator[Need]:
    """The inside of `shift_clip.v` for sums from `low` to `high`."""
    bits = bits_needed(low, high)
    yield from data_needs(instance, "shift", "a shift")
    yield Need(instance, "acc", bits, what)
    for signal in ("appended", "wide"):
        yield Need(instance, signal, bits + 1, f"{what} and a rounding bit", signed=True)
    yield Need(instance, "y", bits_needed(*HALVES), IN_HALVES, exact=True)


def difference_needs(instance: str) -> Iterator[Need]:
    """The difference of two points of a table, in a module that interpolates."""
    difference = bits_needed(-255, 255)
    yield Need(instance, "difference", difference, "the difference of two points")
    yield Need(instance, "difference_signed", difference, "the difference of two points", signed=True)


def fraction_bits(op: Lut) -> int:
    """Bits of an index that lie between two points of a table."""
    return DATA_BITS - (op.points - 1).bit_length()


def bound_of(graph: Graph, node: Node) -> AccumulatorBound:
    """The proved bound of a node that sums."""
    bound = accumulator_bound(graph, node.name)
    assert bound is not None  # asked of operators that sum
    return bound
