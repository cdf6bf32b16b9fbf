"""Hypothesis strategies shared by all tests: arrays, tables, ResMLP models and general graphs."""

from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from fxsim.contract import (
    CHANNEL,
    INT8,
    RANGED,
    TABLE_POINTS,
    TOKEN,
    Number,
    TableRule,
    Tensor,
    add_acc_bits,
    affine_acc_bits,
    bias_number,
    legal_points,
    linear_acc_bits,
    pool_acc_bits,
    stored_points,
)
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Operator, Pool, Relu, Shape

INT8_CORNERS = (-128, -127, -1, 0, 1, 126, 127)
SHIFT_CORNERS = (0, 1, 7, 8, 15, 16, 31, 32, 63, 64, 255)
SEEDS = st.integers(0, 2**32 - 1)


def int8_from(rng: np.random.Generator, shape: tuple[int, ...], style: str) -> npt.NDArray[np.int8]:
    """Random int8: over the whole range, at its corners only, or small as trained weights are."""
    if style == "corners":
        return rng.choice(np.array(INT8_CORNERS, np.int8), shape)
    if style == "small":
        return rng.integers(-16, 17, shape).astype(np.int8)
    return rng.integers(-128, 128, shape).astype(np.int8)


STYLES = st.sampled_from(["full", "corners", "small"])


@st.composite
def int8_arrays(draw: DrawFn, shape: tuple[int, ...] | SearchStrategy[tuple[int, ...]]) -> npt.NDArray[np.int8]:
    """int8 arrays of a shape, the extremes well represented."""
    dims = draw(shape) if isinstance(shape, SearchStrategy) else shape
    return int8_from(np.random.default_rng(draw(SEEDS)), dims, draw(STYLES))


def shift_values() -> SearchStrategy[int]:
    """Shifts 0 to 255: the usual ones and the corners often, every other one sometimes."""
    return st.one_of(st.integers(4, 16), st.sampled_from(SHIFT_CORNERS), st.integers(0, 255))


def tensor(shape: Shape) -> Tensor:
    """An int8 tensor of (tokens, channels) or (channels,)."""
    return Tensor((TOKEN, CHANNEL)[-len(shape) :], shape)


@st.composite
def shift_arrays(draw: DrawFn, count: int) -> npt.NDArray[np.uint8]:
    """A shift for each of `count` channels."""
    pool = draw(st.lists(shift_values(), min_size=1, max_size=4))
    return np.random.default_rng(draw(SEEDS)).choice(np.array(pool, np.uint8), count)


@st.composite
def tables(draw: DrawFn, channels: int, points: int, rule: TableRule) -> npt.NDArray[np.int8]:
    """Tables of `channels` functions, as many points as the rule stores."""
    return draw(int8_arrays((channels, stored_points(points, rule))))


@st.composite
def table_formats(draw: DrawFn) -> tuple[int, TableRule]:
    """Points and rule of a table."""
    rule = draw(st.sampled_from(TableRule))
    return (256 if rule is TableRule.FULL else draw(st.sampled_from(TABLE_POINTS))), rule


@st.composite
def resmlp_configs(draw: DrawFn, psa: bool | None = None, dimension_max: int = 7) -> ResMLPConfig:
    """Small ResMLP dimensions, square ones among them; PSA, ReLU, or either."""
    dimension = st.integers(1, dimension_max)
    is_psa = draw(st.booleans()) if psa is None else psa
    points, rule = draw(table_formats()) if is_psa else (0, None)
    return ResMLPConfig(
        tokens=draw(st.sampled_from([1, 2, 4, 8])),
        values=draw(dimension),
        channels=draw(dimension),
        hidden=draw(dimension),
        blocks=draw(st.integers(1, 2)),
        classes=draw(dimension),
        points=points,
        rule=rule,
    )


@st.composite
def resmlp_models(draw: DrawFn, configs: SearchStrategy[ResMLPConfig] | None = None) -> Model:
    """ResMLP models with random parameters, extremes among them."""
    config = draw(configs if configs is not None else resmlp_configs())
    parameters: dict[str, npt.NDArray[Any]] = {}
    for name, shape in resmlp_parameters(config).items():
        parameters[name] = draw(shift_arrays(shape[0])) if name.endswith(".shift") else draw(int8_arrays(shape))
    return Model(build_resmlp(config, parameters), "generated")


@st.composite
def graphs(draw: DrawFn, nodes_max: int = 8, dimension_max: int = 8) -> Graph:
    """General graphs: any operator of any shape that fits, residual paths, and a pool anywhere or nowhere."""
    shape: Shape = (draw(st.integers(1, dimension_max)), draw(st.integers(1, dimension_max)))
    graph_input = (shape[0], shape[1])
    nodes: list[Node] = []
    shapes: dict[str, Shape] = {INPUT: shape}
    last = INPUT
    for i in range(draw(st.integers(1, nodes_max))):
        name = f"n{i}"
        op = draw(_operators(shapes[last], dimension_max))
        if isinstance(op, Add):
            partners = [n for n, s in shapes.items() if s == shapes[last]]
            inputs: tuple[str, ...] = (last, draw(st.sampled_from(partners)))
        else:
            inputs = (last,)
        nodes.append(Node(name, op, inputs))
        shapes[name] = op.result(*(tensor(shapes[n]) for n in inputs)).shape
        last = name
    return Graph(graph_input, tuple(nodes))


@st.composite
def woven_graphs(draw: DrawFn, nodes_max: int = 8) -> Graph:
    """Graphs of one shape throughout, where any node may read any earlier one: many values are alive at once."""
    shape = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    nodes: list[Node] = []

    def append(op: Operator, *inputs: str) -> None:
        nodes.append(Node(f"n{len(nodes)}", op, inputs))

    for _ in range(draw(st.integers(1, nodes_max))):
        op = draw(_operators(shape, 1).filter(lambda op: op.result(*[tensor(shape)] * op.arity).shape == shape))
        there_are = st.sampled_from([INPUT, *(node.name for node in nodes)])
        append(op, *(draw(there_are) for _ in range(op.arity)))
    used = {name for node in nodes for name in node.inputs}
    for loose in [node.name for node in nodes[:-1] if node.name not in used]:
        append(Add(), nodes[-1].name, loose)
    return Graph(shape, tuple(nodes))


@st.composite
def _operators(draw: DrawFn, shape: Shape, dimension_max: int) -> Linear | Affine | Relu | Lut | Add | Pool:
    """An operator that takes an input of this shape."""
    channels = shape[-1]
    kinds = ["linear", "affine", "relu", "lut", "add"]
    if len(shape) == 2:
        kinds += ["linear over tokens", *(["pool"] if shape[0] & (shape[0] - 1) == 0 else [])]
    kind = draw(st.sampled_from(kinds))
    if kind.startswith("linear"):
        over = Axis.TOKENS if kind == "linear over tokens" else Axis.CHANNELS
        inputs, outputs = (shape[0] if over is Axis.TOKENS else channels), draw(st.integers(1, dimension_max))
        weight, bias = draw(int8_arrays((outputs, inputs))), draw(int8_arrays((outputs,)))
        return Linear(weight, bias, draw(shift_arrays(outputs)), over)
    if kind == "affine":
        return Affine(draw(int8_arrays((channels,))), draw(int8_arrays((channels,))), draw(shift_arrays(channels)))
    if kind == "lut":
        points, rule = draw(table_formats())
        return Lut(draw(tables(channels, points, rule)), rule)
    if kind == "pool":
        return Pool(shape[0])
    return Add() if kind == "add" else Relu()


def numbers(low: int = 4, high: int = 16) -> SearchStrategy[Number]:
    """Number formats of `low` to `high` bits, 8 bits and both ends often."""
    bits = st.one_of(st.sampled_from([low, 8, high]), st.integers(low, high))
    return st.builds(Number, bits, st.sampled_from(RANGED))


@st.composite
def arrays_of(draw: DrawFn, number: Number, shape: Shape) -> npt.NDArray[Any]:
    """An array of values of a number format, its ends often."""
    rng = np.random.default_rng(draw(SEEDS))
    ends = np.array([number.low, number.high, 0, number.high // 2], number.dtype)
    values = rng.integers(number.low, number.high, shape, number.dtype, endpoint=True)
    return np.where(rng.random(shape) < draw(st.sampled_from([0.0, 0.3, 1.0])), rng.choice(ends, shape), values)


@st.composite
def operators_of(draw: DrawFn, x: Tensor, dimension_max: int = 6) -> Operator:
    """An operator that takes a tensor of any number format, with a result of any."""
    channels, out, weight = x.shape[-1], draw(numbers()), Number(draw(st.integers(2, 8)))
    kinds = ["linear", "affine", "relu", "lut", "add"]
    if len(x.shape) == 2:
        kinds += ["linear over tokens", *(["pool"] if x.shape[0] & (x.shape[0] - 1) == 0 else [])]
    kind = draw(st.sampled_from(kinds))
    if kind.startswith("linear"):
        over = Axis.TOKENS if kind == "linear over tokens" else Axis.CHANNELS
        inputs, outputs = (x.shape[0] if over is Axis.TOKENS else channels), draw(st.integers(1, dimension_max))
        arrays = draw(arrays_of(weight, (outputs, inputs))), draw(arrays_of(bias_number(out), (outputs,)))
        acc_bits = draw(st.sampled_from([linear_acc_bits(inputs, x.number, weight), 33, 62]))
        acc_bits = max(acc_bits, linear_acc_bits(inputs, x.number, weight))
        return Linear(*arrays, draw(shift_arrays(outputs)), over, acc_bits, weight, out)
    if kind == "affine":
        arrays = draw(arrays_of(weight, (channels,))), draw(arrays_of(bias_number(out), (channels,)))
        return Affine(*arrays, draw(shift_arrays(channels)), affine_acc_bits(x.number, weight), weight, out)
    if kind == "lut":
        rule = draw(st.sampled_from(TableRule))
        points = draw(st.sampled_from([p for p in legal_points(rule, x.number) if p <= 256 or rule is TableRule.FULL]))
        return Lut(draw(arrays_of(out, (channels, stored_points(points, rule)))), rule, x.number, out)
    if kind == "pool":
        return Pool(x.shape[0], pool_acc_bits(x.shape[0], x.number))
    return Add(add_acc_bits(x.number, x.number), out) if kind == "add" else Relu()


@st.composite
def formatted_graphs(draw: DrawFn, nodes_max: int = 6, dimension_max: int = 6) -> Graph:
    """Graphs whose tensors have any number formats, weights 2 to 8 bits."""
    shape = (draw(st.integers(1, dimension_max)), draw(st.integers(1, dimension_max)))
    tensors = {INPUT: Tensor((TOKEN, CHANNEL), shape, draw(numbers()))}
    nodes: list[Node] = []
    last = INPUT
    for i in range(draw(st.integers(1, nodes_max))):
        op = draw(operators_of(tensors[last], dimension_max))
        inputs: tuple[str, ...] = (last,) * op.arity
        if isinstance(op, Add):
            other = draw(st.sampled_from([n for n, t in tensors.items() if t.shape == tensors[last].shape]))
            inputs = (last, other)
            op = Add(add_acc_bits(*(tensors[n].number for n in inputs)), op.out)
        nodes.append(Node(f"n{i}", op, inputs))
        last = f"n{i}"
        tensors[last] = op.result(*(tensors[n] for n in inputs))
    return Graph(tensors[INPUT], tuple(nodes))


@st.composite
def formatted_images(draw: DrawFn, model: Model, count_max: int = 2) -> npt.NDArray[Any]:
    """A few images for a model of any number format."""
    return draw(arrays_of(model.graph.input.number, (draw(st.integers(1, count_max)), *model.graph.input_shape)))


@st.composite
def models(draw: DrawFn) -> Model:
    """Models of general graphs and of ResMLPs, with names and provenance of any text."""
    text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
    kind = draw(st.integers(0, 2))
    graph = draw(resmlp_models()).graph if kind == 0 else draw(graphs() if kind == 1 else formatted_graphs())
    return Model(graph, draw(text), draw(st.dictionaries(text, text, max_size=3)))


@st.composite
def images(draw: DrawFn, model: Model, count_max: int = 3) -> npt.NDArray[Any]:
    """A few images for a model, [image, ...] of its input's format."""
    if model.graph.input.number != INT8:
        return draw(formatted_images(model, count_max))
    return draw(int8_arrays((draw(st.integers(1, count_max)), *model.graph.input_shape)))
