"""Widths that a model needs in the streaming accelerator's Verilog, node by node."""

from collections.abc import Iterator

from fxsim.contract import bits_needed
from fxsim.devices.needs import (
    DATA_BITS,
    HALVES,
    IN_HALVES,
    Need,
    add_needs,
    affine_lane_needs,
    bound_of,
    data_needs,
    difference_needs,
    fraction_bits,
    requantise_needs,
    shift_clip_needs,
)
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Add, Affine, Linear, Lut, Pool

_PORTS = "s_axis_tdata m_axis_tdata"
_INSTANCES = {
    "token_mixer.linear": "token_mixer_block.linear_tokens",
    "token_mixer.add": "token_mixer_block.add_residual",
    "mlp.psa_1": "mlp_block.tables.psa_1",
    "mlp.psa_2": "mlp_block.tables.psa_2",
    "mlp.relu": "mlp_block.rectified.relu_hidden",
    "mlp.add": "mlp_block.add_residual",
}
"""Instances of a block's nodes that are not called like them."""


def instance_of(node: str) -> str:
    """The path of the instance that computes a node."""
    if node == "pool":
        return "pool_tokens"
    if not node.startswith("blocks."):
        return node
    _, block, part = node.split(".", 2)
    half, _, name = part.partition(".")
    return f"block[{block}].{_INSTANCES.get(part, f'{half}_block.{name}')}"


def needs(model: Model) -> Iterator[Need]:
    """Everything that the model needs of `stream_resmlp` and of each instance that computes a node."""
    graph = model.graph
    taps = len(graph.taps)
    yield from data_needs("", _PORTS)
    yield Need("", "mon_data", DATA_BITS * taps, f"a value of each of {taps} taps", exact=True)
    for signal in ("mon_valid", "mon_ready"):
        yield Need("", signal, taps, f"a bit of each of {taps} taps", exact=True)
    for node in graph.nodes:
        path = instance_of(node.name)
        match node.op:
            case Linear():
                yield from _linear(graph, node, path)
            case Affine():
                yield from _affine(graph, node, path)
            case Lut():
                yield from _table(node.op, path)
            case Add():
                yield from data_needs(path, "s0_axis_tdata s1_axis_tdata m_axis_tdata y_reg y")
                yield from add_needs(f"{path}.lane[*].saturating_add_pair")
            case Pool():
                yield from _pool(graph, node, path)
            case _:
                yield from data_needs(path, _PORTS)


def _linear(graph: Graph, node: Node, path: str) -> Iterator[Need]:
    bound = bound_of(graph, node)
    outputs, inputs = node.op.weight.shape  # type: ignore[attr-defined]  # a Linear
    row = DATA_BITS * inputs
    what = f"a row of {inputs} weights"
    yield Need(path, "weights", row, what, exact=True, depth=outputs)
    for signal in ("biases", "shifts"):
        yield Need(path, signal, DATA_BITS, f"{signal} of {outputs} outputs", exact=True, depth=outputs)
    for signal in ("collect_reg", "collected", "row_reg"):
        yield Need(path, signal, row, f"a row of {inputs} values", exact=True)
    yield Need(path, "weight_row_reg", row, what, exact=True)
    yield from data_needs(path, f"{_PORTS} bias_reg shift_reg y_reg y", "a value, bias or shift")
    sums = f"sums of '{node.name}', proved from {bound.low:,} to {bound.high:,}"
    yield Need(path, "sum", bound.bits_needed, sums)
    lane = f"{path}.lane[*]"
    product = f"{lane}.alone.dot_product_row"
    yield Need(product, "x", row, f"a row of {inputs} values", exact=True)
    yield Need(product, "w", row, what, exact=True)
    yield Need(product, "sum", bound.bits_needed, sums)
    yield Need(product, "level[*].node[*].value_reg", bound.bits_needed, sums, signed=True)
    for signal in ("x_lane", "w_lane"):
        yield Need(product, f"level[*].node[*].multiply.{signal}", DATA_BITS, "a value", exact=True, signed=True)
    yield from data_needs(path, "shifted_bias_reg", "a bias")
    yield from shift_clip_needs(f"{lane}.shift_sum", bound.low, bound.high, sums)
    for signal in ("shifted", "shifted_reg"):
        yield Need(path, signal, bits_needed(*HALVES), IN_HALVES, exact=True)
    yield from requantise_needs(f"{lane}.requantise_shifted", *HALVES, IN_HALVES)


def _affine(graph: Graph, node: Node, path: str) -> Iterator[Need]:
    bound = bound_of(graph, node)
    channels = len(node.op.weight)  # type: ignore[attr-defined]  # an Affine
    for signal in ("weights", "biases", "shifts"):
        yield Need(path, signal, DATA_BITS, f"{signal} of {channels} channels", exact=True, depth=channels)
    yield from data_needs(path, f"{_PORTS} weight_reg bias_reg shift_reg y_reg y", "a value, weight, bias or shift")
    what = f"products of '{node.name}', proved from {bound.low:,} to {bound.high:,}"
    yield from affine_lane_needs(f"{path}.value[*].lane", bound.low, bound.high, what)


def _table(op: Lut, path: str) -> Iterator[Need]:
    channels, stored = op.table.shape
    words = f"{stored} points of {channels} channels"
    yield Need(path, "copy[*].points", DATA_BITS, words, exact=True, depth=channels * stored)
    yield from data_needs(path, f"{_PORTS} index t0_reg start_reg y_reg y", "a value or a point of a table")
    yield Need(path, "point", DATA_BITS - fraction_bits(op), f"one of {op.points} points", exact=True)
    yield Need(path, "base_reg", (channels * stored - 1).bit_length(), f"where one of {channels} tables begins")
    if (fraction := fraction_bits(op)) > 0:
        yield from data_needs(path, "interpolated.t1_reg", "a point of a table")
        yield Need(path, "interpolated.frac_reg", fraction, "the fraction of a segment", exact=True)
        yield Need(path, "interpolated.step_reg", DATA_BITS + 1, "a step and a rounding bit", exact=True)
        step = f"{path}.interpolated.lane[*].step_in_segment"
        yield from data_needs(step, "t0 t1", "a point of a table")
        yield Need(step, "frac", fraction, "the fraction of a segment", exact=True)
        yield from difference_needs(step)
        yield Need(step, "frac_signed", fraction + 1, "the fraction of a segment, with a sign", signed=True)
        yield Need(step, "product", DATA_BITS + fraction, "a difference times a fraction, modulo 256 segments")
        yield Need(step, "step", DATA_BITS + 1, "a step modulo 256 and a rounding bit", exact=True)


def _pool(graph: Graph, node: Node, path: str) -> Iterator[Need]:
    bound = bound_of(graph, node)
    yield from data_needs(path, f"{_PORTS} y_reg")
    if node.op.tokens == 1:  # type: ignore[attr-defined]  # a Pool
        return
    channels = graph.shapes[node.name][-1]
    tokens = node.op.tokens  # type: ignore[attr-defined]  # a Pool
    what = f"sums of {tokens} values, proved from {bound.low:,} to {bound.high:,}"
    yield Need(path, "several.sums", bound.bits_needed, what, depth=channels)
    for signal in ("so_far", "sum"):
        yield Need(path, f"several.{signal}", bound.bits_needed, what)
    yield Need(path, "several.token_reg", bits_needed(0, tokens - 1) - 1, f"one of {tokens} tokens", exact=True)
