"""Widths that a model needs in the SIMD accelerator's Verilog, whose parts compute one layer after the other."""

from collections.abc import Iterator

from fxsim.contract import bits_needed
from fxsim.devices.needs import (
    DATA_BITS,
    HALVES,
    IN_HALVES,
    Need,
    add_needs,
    affine_lane_needs,
    data_needs,
    difference_needs,
    requantise_needs,
    shift_clip_needs,
)
from fxsim.graph import Model
from fxsim.operators import Affine, Linear, Lut, Operator, Pool

_LANES = 16
_STAGES = 6
_WORD = DATA_BITS * _LANES
_CELL = "core.*row[*].column[*].mac"
_LANE = "core.*lane[*].simd_lane_l"
_POOL = "core.*lane[*].pool_lane_l"
_TABLE = "core.*lane[*].table_lane_l"
_FRACTION = 6
"""Bits of a fraction in `table_lane.v`, which brings all to those of its widest segments."""


def needs(model: Model) -> Iterator[Need]:
    """Everything that the model's widest layers need of `simd_resmlp`."""
    yield Need("", "mon_valid", _STAGES, f"a bit of each of {_STAGES} stages", exact=True)
    yield Need("", "mon_data", _STAGES * _WORD, f"{_LANES} values of each of {_STAGES} stages", exact=True)
    low, high = _reach(model, Linear)
    sums = f"sums of the linears, proved from {low:,} to {high:,}"
    bits = bits_needed(low, high)
    yield from data_needs(_CELL, "a b")
    for signal in ("a_signed", "b_signed"):
        yield Need(_CELL, signal, DATA_BITS, "a value", exact=True, signed=True)
    yield Need(_CELL, "sum", bits, sums)
    for signal in ("product_reg", "sum_reg"):
        yield Need(_CELL, signal, bits, sums, signed=True)
    for tile in ("row_acc", "row_acc_reg"):
        yield Need("core.tile", tile, _LANES * bits, f"{_LANES} {sums}")
    yield Need("core.tile", "row[*].acc", _LANES * bits, f"{_LANES} {sums}")
    yield Need("core", "row_acc", _LANES * bits, f"{_LANES} {sums}")
    yield Need("core.epilogue", "row_acc", _LANES * bits, f"{_LANES} {sums}")
    for signal in ("acc", "acc_1_reg", "acc_2_reg"):
        yield Need(_LANE, signal, bits, sums)
    yield from data_needs(_LANE, "linear_3 linear_4_reg affine_5_reg add_6_reg add_7_reg res_8_reg next_8_reg")
    yield from data_needs(_LANE, "linear affine add res_affine next", "a value")
    yield from data_needs(_LANE, "bias_2_reg bias_3_reg shift_2_reg", "a bias or shift")
    yield from shift_clip_needs(f"{_LANE}.shift_acc", low, high, sums)
    for signal in ("shifted", "shifted_3_reg"):
        yield Need(_LANE, signal, bits_needed(*HALVES), IN_HALVES, exact=True)
    yield from requantise_needs(f"{_LANE}.requantise_shifted", *HALVES, IN_HALVES)
    low, high = _reach(model, Affine)
    products = f"products of the affines, proved from {low:,} to {high:,}"
    for lane in ("affine_2", "affine_residual", "affine_next"):
        yield from affine_lane_needs(f"{_LANE}.{lane}", low, high, products)
    yield from add_needs(f"{_LANE}.add_residual")
    low, high = _reach(model, Pool)
    pooled = f"sums of tokens, proved from {low:,} to {high:,}"
    yield from data_needs(_POOL, "x y y_reg average")
    for signal in ("so_far", "sum_reg"):
        yield Need(_POOL, signal, bits_needed(low, high), pooled)
    if any(isinstance(node.op, Lut) for node in model.graph.nodes):
        yield from data_needs(_TABLE, "x y y_reg index turned even_point odd_point start", "a value or a point")
        yield from difference_needs(_TABLE)
        for signal in ("way", "way_reg"):
            yield Need(_TABLE, signal, _FRACTION + 1, "a fraction of a segment, forward or back", exact=True)
        yield Need(_TABLE, "way_signed", _FRACTION + 1, "a fraction of a segment, forward or back", signed=True)
        yield Need(_TABLE, "product", DATA_BITS + _FRACTION, "a difference times a fraction, modulo 256 segments")
        yield Need(_TABLE, "sum", DATA_BITS + 1, "a value between two points, and the rounding bit's place", exact=True)


def _reach(model: Model, op: type[Operator]) -> tuple[int, int]:
    """The least and the greatest that an accumulator of one of the model's operators of a kind can be."""
    found = [
        node.op.accumulator_range(*(model.graph.tensors[name] for name in node.inputs))
        for node in model.graph.nodes
        if isinstance(node.op, op)
    ]
    ranges = [reach for reach in found if reach is not None]
    assert ranges  # a ResMLP has operators of each kind that sums
    return min(int(low.min()) for low, _ in ranges), max(int(high.max()) for _, high in ranges)
