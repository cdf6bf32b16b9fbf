"""QONNX models: each quantiser of the integer model gives what exact arithmetic on the float graph gives."""

import json
import math
from collections.abc import Callable
from decimal import (
    ROUND_CEILING,
    ROUND_DOWN,
    ROUND_FLOOR,
    ROUND_HALF_DOWN,
    ROUND_HALF_EVEN,
    ROUND_HALF_UP,
    ROUND_UP,
    Decimal,
    getcontext,
    localcontext,
)
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import fxsim
from fxsim.cli.import_model import command
from fxsim.errors import FileError
from fxsim.formats.importers import import_model
from fxsim.formats.qonnx.exact import MODES, Affine, Boundary, Clamp, passed, root, rounded
from fxsim.graph import Model
from fxsim.operators import Conv, Threshold

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

pytestmark = pytest.mark.onnx

Array = npt.NDArray[Any]

# --- Roundings and thresholds ----------------------------------------------------------------------------------------

DECIMAL = {
    "ROUND": ROUND_HALF_EVEN, "HALF_EVEN": ROUND_HALF_EVEN, "HALF_UP": ROUND_HALF_UP, "HALF_DOWN": ROUND_HALF_DOWN,
    "UP": ROUND_UP, "DOWN": ROUND_DOWN, "CEIL": ROUND_CEILING, "FLOOR": ROUND_FLOOR,
}  # fmt: skip
"""Python's decimal arithmetic has the same roundings, under other names."""


@pytest.mark.parametrize("mode", MODES)
def test_roundings_are_those_of_decimal_arithmetic(mode: str) -> None:
    """Every eighth from -4 to 4, and what lies next to it."""
    for eighths in range(-32, 33):
        for aside in (-1, 0, 1):
            value = Fraction(eighths, 8) + Fraction(aside, 10**6)
            decimal = Decimal(value.numerator) / Decimal(value.denominator)
            assert rounded(value, mode) == int(decimal.to_integral_value(DECIMAL[mode]))


RATIONALS = st.fractions(-20, 20, max_denominator=8)


@given(
    steps=st.lists(
        st.tuples(RATIONALS, RATIONALS).map(lambda p: Affine((p[0],), (p[1],)))
        | st.tuples(st.none() | RATIONALS, st.none() | RATIONALS).map(
            lambda p: Clamp(*(sorted(p) if None not in p else p))
        ),
        max_size=4,
    ),
    boundary=st.builds(Boundary, RATIONALS, st.booleans()),
)
def test_thresholds_are_where_values_pass(steps: list[Affine | Clamp], boundary: Boundary) -> None:
    """The integers beyond a boundary, found by computing each of them."""
    found = passed(steps, 0, boundary)
    for x in range(-30, 31):
        value = Fraction(x)
        for step in steps:
            if isinstance(step, Affine):
                value = value * step.scale[0] + step.offset[0]
            else:
                value = value if step.low is None else max(value, step.low)
                value = value if step.high is None else min(value, step.high)
        beyond = value > boundary.value or (value == boundary.value and not boundary.strict)
        told = found.always if found.at is None else (x >= found.least if found.rising else x <= found.least)
        assert told == beyond


def test_roots() -> None:
    """Squares exactly; else to 256 bits, of small and large numbers."""
    assert root(Fraction(49, 64)) == Fraction(7, 8)
    assert root(Fraction(0)) == 0
    for value in (Fraction(2), Fraction(1, 10**30), Fraction(10**40 + 1), Fraction(float(np.float32(1820.635)))):
        assert abs(root(value) ** 2 / value - 1) < Fraction(1, 2**255)


# --- Float graphs, computed exactly ----------------------------------------------------------------------------------


def exactly(array: Array) -> Array:
    """An array of Fractions."""
    return np.array([Fraction(v) for v in array.ravel().tolist()], object).reshape(array.shape)


def round_as_qonnx(v: Fraction, mode: str) -> int:
    """As its executor does: sign and magnitude."""
    sign = -1 if v < 0 else 1
    return {
        "ROUND": lambda: round(v), "CEIL": lambda: math.ceil(v), "FLOOR": lambda: math.floor(v),
        "UP": lambda: sign * math.ceil(abs(v)), "DOWN": lambda: math.trunc(v),
        "HALF_UP": lambda: sign * math.floor(abs(v) + Fraction(1, 2)),
        "HALF_DOWN": lambda: sign * math.ceil(abs(v) - Fraction(1, 2)),
    }[mode]()  # fmt: skip


def quant(x: Array, scale: Array, zero: Array, bits: Array, signed: int, narrow: int, rounding_mode: bytes) -> Array:
    """Quant by its definition."""
    b = int(bits.item())
    if signed and b == 1:
        return np.where(x / scale + zero >= 0, 1, -1) * scale
    low = -(2 ** (b - 1)) + narrow if signed else 0
    high = 2 ** (b - 1) - 1 if signed else 2**b - 1 - narrow
    v = x / scale + zero
    clamped = np.frompyfunc(lambda e: round_as_qonnx(min(max(e, low), high), rounding_mode.decode()), 1, 1)(v)
    return np.asarray((clamped - zero) * scale)


def truncated(x: Array, rest: list[Array], a: dict[str, Any]) -> Array:
    """Trunc by its definition, of the second version where it states the scale that it gives."""
    scale, zero, before, *_, behind = (r.item() for r in rest)
    total = np.frompyfunc(round, 1, 1)(x / scale + zero)
    mode = a.get("rounding_mode", b"FLOOR").decode()
    if len(rest) == 4:
        down = np.frompyfunc(lambda e: round_as_qonnx(Fraction(e) / 2 ** int(before - behind), mode), 1, 1)(total)
        return np.asarray((down - zero) * scale)
    out_scale = rest[3].item()
    high = 2 ** int(behind - 1) - 1
    low = -high - 1 + a["narrow"]
    clamp = np.frompyfunc(lambda e: round_as_qonnx(min(max(e / (out_scale / scale), low), high), mode), 1, 1)
    return np.asarray((clamp(total) - zero / (out_scale / scale)) * out_scale)


def bordered(x: Array, widths: list[tuple[int, int]]) -> Array:
    """Zeros around an array."""
    shape = [size + before + after for size, (before, after) in zip(x.shape, widths, strict=True)]
    y = np.full(shape, Fraction(0), object)
    y[tuple(slice(b, b + size) for size, (b, _) in zip(x.shape, widths, strict=True))] = x
    return y


def convolve(x: Array, w: Array, bias: Array | None, pads: list[int], strides: list[int], group: int) -> Array:
    """A convolution [1, channel, row, column], place by place."""
    x = bordered(x[0], [(0, 0), (pads[0], pads[2]), (pads[1], pads[3])])
    n, each, kh, kw = w.shape
    rows, columns = (x.shape[1] - kh) // strides[0] + 1, (x.shape[2] - kw) // strides[1] + 1
    y = np.zeros((1, n, rows, columns), object)
    for o, i, j in np.ndindex(n, rows, columns):
        first = o // (n // group) * each
        part = x[first : first + each, i * strides[0] : i * strides[0] + kh, j * strides[1] : j * strides[1] + kw]
        y[0, o, i, j] = (part * w[o]).sum() + (bias[o] if bias is not None else 0)
    return y


def largest(x: Array, kernel: list[int], strides: list[int]) -> Array:
    """The greatest of each window."""
    rows, columns = ((x.shape[2 + i] - kernel[i]) // strides[i] + 1 for i in range(2))
    y = np.zeros((*x.shape[:2], rows, columns), object)
    for c, i, j in np.ndindex(x.shape[1], rows, columns):
        window = x[0, c, i * strides[0] : i * strides[0] + kernel[0], j * strides[1] : j * strides[1] + kernel[1]]
        y[0, c, i, j] = max(window.ravel().tolist())
    return y


def normalise(x: Array, parameters: list[Array], epsilon: float) -> Array:
    """Batch normalisation, roots to 80 digits."""
    with localcontext(getcontext()) as context:
        context.prec = 80
        variance = [v + Fraction(epsilon) for v in parameters[3]]
        roots = [Fraction((Decimal(v.numerator) / Decimal(v.denominator)).sqrt()) for v in variance]
    gamma, beta, mean, deviation = (
        np.array([*p], object).reshape(1, -1, *[1] * (x.ndim - 2)) for p in (*parameters[:3], roots)
    )
    return np.asarray((x - mean) / deviation * gamma + beta)


def execute(model: Any, feed: Array) -> dict[str, Array]:
    """Every tensor of a float graph for one image, as Fractions."""
    values = {t.name: exactly(numpy_helper.to_array(t)) for t in model.graph.initializer}
    values[model.graph.input[0].name] = feed
    for node in model.graph.node:
        a = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
        x, *rest = (values[name] for name in node.input)
        if last := node.domain.endswith("channels_last"):
            x = x.transpose(0, 3, 1, 2)
            rest = [r.transpose(0, 3, 1, 2) if node.op_type == "Conv" and r.ndim == 4 else r for r in rest]
        match node.op_type:
            case "Quant":
                y = quant(x, *rest, **a)
            case "Trunc":
                y = truncated(x, rest, a)
            case "GlobalAveragePool" | "ReduceMean":
                y = x.sum(axis=(2, 3), keepdims=True) / Fraction(x.shape[2] * x.shape[3])
            case "AveragePool":
                k, s = a["kernel_shape"], a["strides"]
                rows, columns = ((x.shape[2 + i] - k[i]) // s[i] + 1 for i in range(2))
                y = np.zeros((*x.shape[:2], rows, columns), object)
                for c, i, j in np.ndindex(x.shape[1], rows, columns):
                    part = x[0, c, i * s[0] : i * s[0] + k[0], j * s[1] : j * s[1] + k[1]]
                    y[0, c, i, j] = Fraction(part.sum()) / part.size
            case "BipolarQuant":
                y = np.where(x >= 0, rest[0], -rest[0])
            case "MultiThreshold":
                axis = a["data_layout"].decode().index("C") if "data_layout" in a else 1
                moved = np.moveaxis(x, axis, -1)
                y = np.moveaxis((moved[..., None] >= rest[0]).sum(axis=-1), -1, axis)
                y = Fraction(a.get("out_scale", 1.0)) * y.astype(object) + Fraction(a.get("out_bias", 0.0))
            case "MatMul":
                y = x @ rest[0]
            case "Gemm":
                y = x @ (rest[0].T if a.get("transB") else rest[0]) * Fraction(a.get("alpha", 1.0)) + rest[1]
            case "Conv":
                y = convolve(x, rest[0], rest[1] if rest[1:] else None, a.get("pads", [0] * 4),
                             a.get("strides", [1, 1]), a.get("group", 1))  # fmt: skip
            case "MaxPool":
                y = largest(x, a["kernel_shape"], a.get("strides", [1, 1]))
            case "BatchNormalization":
                y = normalise(x, rest, a["epsilon"])
            case "Relu":
                y = np.where(x > 0, x, 0)
            case "Clip":
                y = np.minimum(np.maximum(x, rest[0].item()), rest[1].item())
            case "Add" | "Sub" | "Mul" | "Div":
                y = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide}[node.op_type](x, rest[0])
            case "Flatten":
                y = x.reshape(x.shape[0], -1)
            case "Reshape":
                y = x.reshape([int(v) for v in rest[0]])
            case "Transpose":
                y = x.transpose(a["perm"])
            case "Pad":
                p = [int(v) for v in rest[0]]
                y = bordered(x, [(p[i], p[i + 4]) for i in range(4)])
            case _:
                raise AssertionError(node.op_type)
        values[node.output[0]] = y.transpose(0, 2, 3, 1) if last else y
    return values


# --- Models made here ------------------------------------------------------------------------------------------------


class Maker:
    """An ONNX model while it is put together: each method adds a node and gives the name of its result."""

    def __init__(self, shape: tuple[int, ...], opset: int = 13, seed: int = 0) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.shape = shape
        self.opset = opset
        self.annotations: dict[str, str] = {}

    def constant(self, array: npt.ArrayLike, dtype: npt.DTypeLike = np.float32) -> str:
        """An initialiser."""
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(array, dtype), name))
        return name

    def node(self, op: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """A node of one result."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, list(inputs), [name], f"n_{name}", domain=domain, **attributes))
        return name

    def quant(
        self, x: str, scale: npt.ArrayLike, bits: int, zero: npt.ArrayLike = 0.0, signed: int = 1, narrow: int = 0,
        mode: str = "ROUND",
    ) -> str:  # fmt: skip
        """A Quant."""
        inputs = (x, self.constant(scale), self.constant(zero), self.constant(float(bits)))
        return self.node("Quant", *inputs, domain="onnx.brevitas", signed=signed, narrow=narrow, rounding_mode=mode)

    def weight(self, *shape: int, bits: int = 3, scale: npt.ArrayLike = 0.25) -> str:
        """Float weights behind a Quant, or of one bit behind a BipolarQuant."""
        stored = self.constant(self.rng.normal(0, 0.4, shape))
        if bits == 1:
            return self.node("BipolarQuant", stored, self.constant(scale), domain="qonnx.custom_op.general")
        return self.quant(stored, scale, bits, narrow=1)

    def norm(self, x: str, channels: int, domain: str = "") -> str:
        """A batch normalisation, some scales negative, the first 0."""
        gamma = self.rng.normal(0, 1, channels)
        gamma[0] = 0
        parameters = (gamma, self.rng.normal(0, 1, channels), self.rng.normal(0, 1, channels),
                      self.rng.uniform(0.1, 3, channels))  # fmt: skip
        return self.node("BatchNormalization", x, *map(self.constant, parameters), domain=domain, epsilon=1e-5)

    def model(self, output: str) -> Any:
        """The whole model."""
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, self.shape)],
            [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
            self.constants,
        )
        for name, datatype in self.annotations.items():
            entry = onnx.StringStringEntryProto(key="finn_datatype", value=datatype)
            graph.quantization_annotation.append(
                onnx.TensorAnnotation(tensor_name=name, quant_parameter_tensor_names=[entry])
            )
        domains = {"", *(node.domain for node in self.nodes)}
        # A Trunc of six inputs is of version 2.
        versions = {"": self.opset, "qonnx.custom_op.general": 2}
        opsets = [helper.make_opsetid(d, versions.get(d, 1)) for d in sorted(domains)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def mlp(seed: int) -> Any:
    """Gemm with bias, normalisation and ReLU, matrix products of one and more bits, every rounding in turn."""
    m = Maker((1, 6), 9 + seed % 13, seed)
    mode = MODES[seed % len(MODES)].replace("HALF_EVEN", "ROUND")
    x = m.quant("x", 0.5, 4, mode=mode)
    w = m.weight(5, 6, bits=3, scale=m.rng.uniform(0.1, 0.4, (5, 1)))
    # A bias of 32 bits, whose step is small.
    x = m.node("Gemm", x, w, m.quant(m.constant(m.rng.normal(0, 1, 5)), 1 / 1024, 32), transB=1)
    x = m.norm(x, 5)
    x = m.quant(m.node("Relu", x), 0.3, 3, signed=0, narrow=seed % 2, mode=mode)
    x = m.node("MatMul", x, m.node("Transpose", m.weight(4, 5, bits=1, scale=0.7), perm=[1, 0]))
    x = m.node("Div", m.node("Add", x, m.constant(m.rng.normal(0, 1, 4))), m.constant(-1.5))
    x = m.quant(x, m.rng.uniform(0.2, 0.5, (1, 4)), 3, zero=1.0, mode=mode)
    return m.model(x)


def cnn(seed: int) -> Any:
    """Convolutions with padding, stride and groups, largest of windows, a dense layer behind Flatten; thresholds."""
    m = Maker((1, 2, 6, 5), 13, seed)
    x = m.quant("x", 0.25, 4, signed=seed % 2)
    x = m.node("Pad", x, m.constant([0, 0, 0, 1, 0, 0, 1, 0], np.int64))
    x = m.node("Conv", x, m.weight(4, 2, 3, 3), pads=[1, 0, 0, 1], strides=[1, 2])
    x = m.norm(x, 4)
    x = m.node("Clip", x, m.constant(-1.0), m.constant(1.5))
    x = m.quant(x, 0.5, 2)
    x = m.node("MaxPool", x, kernel_shape=[2, 2], strides=[2, 1])
    x = m.node("Conv", x, m.weight(4, 2, 2, 1, bits=1, scale=1.0), m.constant(m.rng.normal(0, 1, 4)), group=2)
    table = np.sort(m.rng.normal(0, 2, (4, 3)), axis=1)
    x = m.node("MultiThreshold", x, m.constant(table), domain="finn.custom_op.general", out_scale=0.5, out_bias=-0.75)
    x = m.node("Flatten", x) if seed % 2 else m.node("Reshape", x, m.constant([1, -1], np.int64))
    x = m.node("MatMul", x, m.node("Transpose", m.weight(3, 16), perm=[1, 0]))
    return m.model(m.node("BipolarQuant", x, m.constant(0.5), domain="onnx.brevitas"))


def last(seed: int) -> Any:
    """Channels last: convolution, normalisation, largest, thresholds."""
    m = Maker((1, 2, 5, 5), 13, seed)
    domain = "qonnx.custom_op.channels_last"
    x = m.node("Transpose", m.quant("x", 1.0, 3), perm=[0, 2, 3, 1])
    kernel = m.constant(m.rng.integers(-3, 4, (3, 2, 2, 2)))
    x = m.node("Conv", x, kernel, domain=domain, kernel_shape=[2, 2], pads=[1, 0, 0, 0], strides=[1, 1])
    x = m.norm(x, 3, domain)
    table = np.sort(m.rng.normal(0, 3, (3, 2)), axis=1)
    x = m.node(
        "MultiThreshold", x, m.constant(table), domain="qonnx.custom_op.general", data_layout="NHWC", out_bias=-1.0
    )
    x = m.node("MaxPool", x, domain=domain, kernel_shape=[2, 2], strides=[1, 2])
    x = m.node("Conv", x, m.constant(m.rng.integers(-3, 4, (2, 4, 2, 3)), np.float32), domain=domain)
    return m.model(m.quant(x, 2.0, 4))


def residual(seed: int) -> Any:
    """Two branches joined at different scales, means of windows and of all, both versions of Trunc."""
    m = Maker((1, 2, 6, 6), 13, seed)
    mode = MODES[seed % len(MODES)].replace("HALF_EVEN", "ROUND")
    x = m.quant(m.node("Conv", m.quant("x", 0.5, 4), m.weight(3, 2, 3, 3), pads=[1, 1, 1, 1]), 0.5, 4)
    y = m.quant(m.norm(m.node("Conv", x, m.weight(3, 3, 1, 1, bits=1)), 3), 0.75, 3)
    x = m.node("Sub" if seed % 2 else "Add", x, m.node("Add", y, m.constant(m.rng.normal(0, 1, (1, 3, 1, 1)))))
    x = m.quant(x, 0.25, 5, signed=1)
    x = m.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 1])
    # The sum of four, halved twice.
    x = m.node("Trunc", x, *map(m.constant, (0.0625, seed % 3, 7.0, 5.0)), domain="onnx.brevitas", rounding_mode=mode)
    means = ("GlobalAveragePool", {}) if seed % 3 else ("ReduceMean", {"axes": [2, -1], "keepdims": 1})
    y = m.quant(m.node(means[0], x, **means[1]), 0.0625, 6, mode=mode)
    inputs = map(m.constant, (0.0625, 8.0, 6.0, 0.25, 4.0))
    return m.model(
        m.node("Trunc", y, *inputs, domain="qonnx.custom_op.general", rounding_mode=mode, signed=1, narrow=seed % 2)
    )


def ordered(seed: int) -> Any:
    """Values in other orders: channels shuffled, space to channels, axes exchanged, tokens mixed by matrix products."""
    m = Maker((1, 2, 4, 4), 13, seed)

    def shaped(x: str, *sizes: int) -> str:
        return m.node("Reshape", x, m.constant(sizes, np.int64))

    x = m.quant("x", 0.25, 4, signed=seed % 2)
    x = m.node("Conv", x, m.weight(4, 2, 1, 1, scale=m.rng.uniform(0.1, 0.4, (4, 1, 1, 1))))
    # Two groups of channels shuffled, whose scales go with them; then the greatest of windows of what is turned.
    x = shaped(m.node("Transpose", shaped(x, 1, 2, 2, 4, 4), perm=[0, 2, 1, 3, 4]), 1, 4, 4, 4)
    x = m.node("MaxPool", m.node("Transpose", x, perm=[0, 1, 3, 2]), kernel_shape=[2, 1], strides=[1, 1])
    x = m.quant(x, 0.25, 4)
    # Blocks of 1 x 2 pixels to channels, and a sum with itself turned back.
    x = shaped(m.node("Transpose", shaped(x, 1, 4, 3, 1, 2, 2), perm=[0, 3, 5, 1, 2, 4]), 1, 8, 3, 2)
    x = m.quant(m.node("Conv", x, m.weight(3, 8, 1, 1)), 0.5, 4)
    x = m.quant(m.node("Conv", x, m.weight(3, 3, 2, 1)), 0.5, 4)
    x = m.quant(m.node("Add", x, m.node("Transpose", x, perm=[0, 1, 3, 2])), 0.5, 4)
    # Tokens and channels, mixed one after the other.
    x = m.node("Transpose", shaped(x, 1, 3, 4), perm=[0, 2, 1])
    x = m.node("MatMul", x, m.node("Transpose", m.weight(5, 3), perm=[1, 0]))
    x = m.quant(m.node("Add", x, m.constant(m.rng.normal(0, 1, 5))), 0.5, 4)
    x = m.quant(m.node("MatMul", m.node("Transpose", x, perm=[0, 2, 1]), m.weight(4, 3)), 0.5, 3)
    return m.model(m.quant(m.node("MatMul", m.node("Flatten", x), m.weight(15, 3)), 0.5, 4))


def codes_of(node: Any, values: dict[str, Array]) -> Array:
    """The levels of a quantiser's exact values, in the tap's order."""
    a = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    y = values[node.output[0]]
    if node.op_type == "Quant":
        y = y / values[node.input[1]] + values[node.input[2]]
    elif node.op_type == "Trunc":
        second = len(node.input) == 6
        zero = values[node.input[2]] / (values[node.input[4]] / values[node.input[1]] if second else 1)
        y = y / values[node.input[4 if second else 1]] + zero
    elif node.op_type == "BipolarQuant":
        y = y / values[node.input[1]]
    elif Fraction(a.get("out_scale", 1.0)).denominator != 1 or Fraction(a.get("out_bias", 0.0)).denominator != 1:
        y = (y - Fraction(a["out_bias"])) / Fraction(a["out_scale"])
    if y.ndim == 4 and a.get("data_layout") != b"NHWC":
        y = y.transpose(0, 2, 3, 1)
    assert all(v.denominator == 1 for v in map(Fraction, y.ravel().tolist()))
    return y.reshape(-1).astype(np.int64)


def wide(seed: int) -> Any:
    """Sums of 20 bits and more, a channel that is always, and one that is never beyond; then bits."""
    m = Maker((1, 40), 11, seed)
    x = m.quant("x", 1.0, 8)
    x = m.node("MatMul", x, m.constant(m.rng.integers(-128, 128, (40, 5))))
    x = m.node("Add", m.node("Mul", x, m.constant([1e-4, -1e-4, 0, 0, 1e-4])), m.constant([0.1, 0.2, 9, -9, -0.3]))
    x = m.quant(x, 0.25, 1, signed=0)
    x = m.node("MatMul", x, m.constant(m.rng.integers(-1, 2, (5, 4))))
    return m.model(m.quant(x, 1.0, 1))


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("make", [mlp, cnn, last, wide, residual, ordered])
def test_every_quantiser_gives_what_is_computed_exactly(make: Callable[[int], Any], seed: int, tmp_path: Path) -> None:
    """Levels at every quantiser, for random inputs, are those of the float graph in rational arithmetic."""
    proto = make(seed)
    onnx.save(proto, tmp_path / "m.onnx")
    model = import_model(tmp_path / "m.onnx")
    taps = dict(pair.split(" = ")[::-1] for pair in model.provenance["tensors of the file"].split(", "))
    rng = np.random.default_rng(seed)
    seen = []
    for _ in range(3):
        feed = exactly(rng.normal(0, 2, [d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim]))
        values = execute(proto, feed)
        quantisers = [
            node for node in proto.graph.node
            if node.op_type in ("Quant", "BipolarQuant", "MultiThreshold", "Trunc")
            and node.input[0] not in {t.name for t in proto.graph.initializer}
        ]  # fmt: skip
        first, *others = quantisers
        images = codes_of(first, values).reshape(1, *model.graph.input.shape)
        found = fxsim.run(model, images.astype(model.graph.input.number.dtype), "all")
        assert len(others) == sum(tap.startswith("quant") for tap in found)
        for node in others:
            tap = taps[node.output[0]]
            expected = codes_of(node, values)
            np.testing.assert_array_equal(found[tap].ravel(), expected, tap)
            seen.append(len(np.unique(expected)))
    assert max(seen) > 1


def test_scores_of_channels_are_stated(tmp_path: Path) -> None:
    """Sums of a last layer with a bias, times the stated scales plus the offsets, are the float graph's output."""
    m = Maker((1, 6), 13, 3)
    w = m.weight(4, 6, bits=4, scale=m.rng.uniform(0.1, 0.4, (4, 1)))
    proto = m.model(m.node("Gemm", m.quant("x", 0.5, 4), w, m.constant(m.rng.normal(0, 1, 4)), transB=1))
    onnx.save(proto, tmp_path / "m.onnx")
    model = import_model(tmp_path / "m.onnx")
    keys = ("output scales", "output offsets")
    scales, offsets = ([float(n) for n in model.provenance[key].split(", ")] for key in keys)
    x = m.rng.integers(-8, 8, (1, 6))
    sums = fxsim.run(model, x.astype(np.int8).reshape(1, *model.graph.input.shape))["conv0"].reshape(-1)
    values = execute(proto, np.array([[Fraction(int(v), 2) for v in x[0]]], object))
    expected = [float(v) for v in values[proto.graph.output[0].name][0]]
    np.testing.assert_allclose(sums * scales + offsets, expected, rtol=1e-12)


# --- Published models ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["TFC_1W1A", "TFC_1W2A"])
def test_trained_models_give_the_executors_values(networks: Path, name: str) -> None:
    """Sums and quantisers of QONNX's own executor, its thresholds recomputed by others, and the scores, to float."""
    record = np.load(networks / "qonnx" / f"{name}.npz")
    model = import_model(networks / "qonnx" / f"{name}.onnx")
    fed = import_model(networks / "qonnx" / f"{name}.onnx", input_number="uint8/255")
    codes = record["input_codes"].reshape(30, 28, 28, 1).astype(np.int8)
    found = fxsim.run(model, codes, "all")
    from_pixels = fxsim.run(fed, np.ascontiguousarray(record["input_raw"].transpose(0, 2, 3, 1)), "all")
    np.testing.assert_array_equal(from_pixels["quant0"], codes)
    for layer in range(4):
        conv = model.graph.by_name[f"conv{layer}"].op
        assert isinstance(conv, Conv)
        np.testing.assert_array_equal(conv.weight.reshape(conv.weight.shape[0], -1), record[f"weight{layer}"])
        np.testing.assert_array_equal(found[f"conv{layer}"].reshape(30, -1), record[f"acc{layer}"])
        if layer == 3:
            break
        np.testing.assert_array_equal(found[f"quant{layer}"].reshape(30, -1), record[f"out{layer}"])
        np.testing.assert_array_equal(from_pixels[f"quant{layer + 1}"], found[f"quant{layer}"])
        steps = model.graph.by_name[f"quant{layer}"].op
        assert isinstance(steps, Threshold)
        signs = record[f"sign{layer}"][:, None]
        # The record's are of sign * sum, and always from -1 - K, never from K + 1 on.
        reach = np.abs(record[f"weight{layer}"]).sum(axis=1)[:, None]
        own = np.where(steps.rising[:, None] == 1, steps.threshold, -steps.threshold)
        flipped = np.where(steps.rising[:, None] == 1, 1, -1)
        inside = np.abs(record[f"thresholds{layer}"]) <= reach
        assert (flipped == signs)[inside.any(axis=1)].all()
        np.testing.assert_array_equal(own[inside], record[f"thresholds{layer}"][inside])
    words = model.provenance["output"].split("the integer times ")[1].split(" plus ")
    scores = found["conv3"].reshape(30, 10) * float(words[0]) + float(words[1])
    np.testing.assert_allclose(scores, record["executor_output"], atol=1e-5)


def test_finns_dialect_gives_the_expected_classes(networks: Path) -> None:
    """MultiThreshold, annotated integers and TopK: the four digits of the published test."""
    model = import_model(networks / "qonnx" / "finn_build_dataflow_model.onnx")
    digits = np.load(networks / "qonnx" / "finn_build_dataflow_input.npy").astype(np.uint8).reshape(4, 28, 28, 1)
    assert str(model.graph.input.number) == "uint8"
    assert "then TopK" in model.provenance["output"]
    found = fxsim.run(model, digits)["conv3"].reshape(4, 10).argmax(axis=1)
    expected = np.load(networks / "qonnx" / "finn_build_dataflow_expected.npy")
    assert found.tolist() == expected.ravel().tolist()


# --- Near ties -------------------------------------------------------------------------------------------------------


def test_near_ties_are_listed_by_channel_and_step(tmp_path: Path) -> None:
    """A boundary 2^-20 of a step from an integer is listed, one 1/4 away is not; a tie of short fractions neither."""
    m = Maker((1, 2))
    x = m.quant("x", 1.0, 4)
    x = m.node("MatMul", x, m.constant(np.eye(2)))
    x = m.node("Add", x, m.constant([0.25, 0.5 + 2.0**-20]))
    onnx.save(m.model(m.quant(x, 1.0, 2)), tmp_path / "m.onnx")
    model = import_model(tmp_path / "m.onnx")
    # Steps to -1, 0 and 1 at -1.5, -0.5 and 0.5 less the offset: in channel 1 at -2, -1 and 0, less 2^-20.
    listed = "; ".join(f"quant0 channel 1 step {k} at {k - 2}: 9.5e-07" for k in range(3))
    assert model.provenance["near ties"] == f"3: {listed}"
    steps = model.graph.by_name["quant0"].op
    assert isinstance(steps, Threshold)
    assert steps.threshold.tolist() == [[-1, 0, 1], [-2, -1, 0]]


# --- What is refused -------------------------------------------------------------------------------------------------


def one(build: Callable[[Maker, str], str], shape: tuple[int, ...] = (1, 2, 4, 4), **stated: Any) -> Callable[[], Any]:
    """A model of a quantised input and what `build` adds."""

    def make() -> Any:
        m = Maker(shape, **stated)
        return m.model(build(m, m.quant("x", 1.0, 4)))

    return make


def conv(m: Maker, x: str, **attributes: Any) -> str:
    """A convolution of integer weights."""
    return m.node("Conv", x, m.constant(np.ones((2, 2, 2, 2))), **attributes)


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "unknown operators, all of them": (
        one(lambda m, x: m.node("Erf", m.node("Sigmoid", conv(m, m.node("Softplus", x))))),
        r"3 nodes are not taken: node 'n_t1' \(Softplus\): there is no such operator here; needs .*'n_t3' \(Sigmoid\).",
    ),
    "attributes in the message": (
        one(lambda m, x: m.node("LeakyRelu", x, alpha=0.25)), r"'n_t1' \(LeakyRelu\) \[alpha=0.25\]: there is no such",
    ),
    "float weights": (
        one(lambda m, x: m.node("Conv", x, m.constant(np.full((1, 2, 1, 1), 0.3)))),
        "its weights are no integers and no Quant gives them",
    ),
    "wide weights": (
        one(lambda m, x: m.node("Conv", x, m.constant(np.full((1, 2, 1, 1), 256)))), "weights are beyond -255 to 255",
    ),
    "scale of inputs": (
        one(lambda m, x: m.node("Conv", x, m.weight(2, 2, 1, 1, scale=[[[[0.5]], [[0.25]]]]))),
        "its weights have a scale for each input",
    ),
    "scale of channels": (
        one(lambda m, x: conv(m, m.node("Mul", x, m.constant([[[1.0]], [[2.0]]])))), "its inputs have a scale for each",
    ),
    "scale of values": (
        one(lambda m, x: conv(m, m.node("Mul", x, m.constant([[1.0, 2.0, 3.0, 4.0]])))), "its constant differs within",
    ),
    "padding beside an offset": (
        one(lambda m, x: conv(m, m.node("Add", x, m.constant(0.3)), pads=[1, 0, 0, 0])), "whose zero is no integer of",
    ),
    "unknown padding": (one(lambda m, x: conv(m, x, auto_pad="SAME")), "auto_pad is 'SAME', expected NOTSET, VALID"),
    "same padding twice": (
        one(lambda m, x: conv(m, x, auto_pad="SAME_UPPER", pads=[0, 0, 1, 1])), "SAME_UPPER', and pads are .0, 0, 1",
    ),
    "same padding, spread": (
        one(lambda m, x: conv(m, x, auto_pad="SAME_LOWER", dilations=[1, 2])), "SAME_LOWER', and dilations are .1",
    ),
    "strides of 0": (
        one(lambda m, x: conv(m, x, auto_pad="SAME_LOWER", strides=[1, 0])), r"strides \(1, 0\) are not above 0",
    ),
    "unknown attribute": (one(lambda m, x: conv(m, x, bogus=1)), "attribute 'bogus' is not known"),
    "kernel": (one(lambda m, x: conv(m, x, kernel_shape=[3, 3])), "states another kernel than its weights' 2 x 2"),
    "groups": (one(lambda m, x: conv(m, x, group=2)), "2 groups of 2 channels do not fit an input of 2"),
    "a kernel too large": (
        one(lambda m, x: m.node("Conv", x, m.constant(np.ones((1, 2, 5, 5))))), "conv of 5 x 5 does not fit into an in",
    ),
    "largest of falling": (
        one(lambda m, x: m.node("MaxPool", m.node("Neg", conv(m, x)), kernel_shape=[2, 2])), "a scale before it is neg",
    ),
    "padded windows": (
        one(lambda m, x: m.node("MaxPool", x, kernel_shape=[2, 2], pads=[1, 1, 0, 0])), "its windows are padded or spr",
    ),
    "rounding mode": (one(lambda m, x: m.quant(conv(m, x), 1.0, 4, mode="NEAREST")), "rounding mode 'NEAREST' is not"),
    "many steps": (one(lambda m, x: m.quant(conv(m, x), 1.0, 9)), "it has 511 steps, expected at most 255: needs a sh"),
    "six inputs of the first Trunc": (
        one(lambda m, x: m.node("Trunc", conv(m, x), *map(m.constant, (1.0, 0.0, 8.0, 2.0, 4.0)),
                                domain="onnx.brevitas", rounding_mode="FLOOR", signed=1, narrow=0)),
        "it has 6 inputs, which is not of version 1 of its domain",
    ),
    "five inputs of the second Trunc": (
        one(lambda m, x: m.node("Trunc", conv(m, x), *map(m.constant, (1.0, 0.0, 8.0, 4.0)),
                                domain="qonnx.custom_op.general", rounding_mode="FLOOR")),
        "it has 5 inputs, which is not of version 2 of its domain",
    ),
    "a result of another data type": (
        one(lambda m, x: m.node("MultiThreshold", conv(m, x), m.constant([[0.0, 1.0]] * 2),
                                out_bias=-1.0, out_dtype="UINT2")),
        r"\(MultiThreshold\) \[out_bias=-1.0, out_dtype=UINT2\]: its result has the value -1.0, expected UINT2, as is",
    ),
    "half a bit": (
        one(lambda m, x: m.node("Quant", conv(m, x), *map(m.constant, (1.0, 0.0, 3.5)), signed=1, narrow=0)),
        "its bit width is 3.5, expected a whole number of 1 to 16",
    ),
    "negative scale": (one(lambda m, x: m.quant(conv(m, x), -1.0, 4)), "its scale is not above 0"),
    "a product of branches": (
        one(lambda m, x: m.node("Mul", conv(m, x), conv(m, x))), "both inputs depend on the model's input: needs a pro",
    ),
    "a scale from data": (
        one(lambda m, x: m.node("Quant", conv(m, x), x, *map(m.constant, (0.0, 4.0)), signed=1, narrow=0)),
        "its scale is no constant",
    ),
    "a mean of channels": (
        one(lambda m, x: m.node("ReduceMean", conv(m, x), axes=[1, 2], keepdims=1)),
        r"it is over the axes \[1, 2\], expected rows and columns, 2 and 3",
    ),
    "a bias of 33 bits": (
        one(lambda m, x: m.node(
            "Conv", x, m.constant(np.ones((2, 2, 2, 2))), m.quant(m.constant(np.ones(2)), 0.5, 33)
        )),
        "its bit width is 33, expected a whole number of 1 to 32",
    ),
    "scales of channels that become rows": (
        one(lambda m, x: m.node("MaxPool", m.node("Transpose", m.node(
            "Conv", x, m.weight(2, 2, 1, 1, scale=np.array([0.25, 0.5]).reshape(2, 1, 1, 1))
        ), perm=[0, 2, 1, 3]), kernel_shape=[1, 1])),
        "its channels, which have a scale or an offset each, become rows or columns",
    ),
    "rows of another length": (
        one(lambda m, x: m.node("MatMul", conv(m, x), m.constant(np.ones((4, 3))))),
        r"its input has the shape \(1, 2, 3, 3\), expected rows of 4 values",
    ),
    "output of ReLU": (one(lambda m, x: m.node("Relu", conv(m, x))), "reads what ReLU or Clip gives without a quantis"),
    "no sums": (one(lambda m, x: m.node("Relu", x)), "is no result of sums or quantisers"),
    "after the end": (
        one(lambda m, x: m.quant(m.node("Softmax", m.node("Flatten", conv(m, x))), 1.0, 4)),
        "it follows Softmax, which only ends a model",
    ),
    "padding of a quantiser": (
        one(lambda m, x: m.quant(m.node("Pad", x, m.constant([0, 0, 1, 1, 0, 0, 1, 1], np.int64)), 1.0, 4)),
        "it follows a Pad, which only a Conv may",
    ),
    "an infinite constant": (
        one(lambda m, x: m.node("Add", conv(m, x), m.constant(np.inf))), r"constant 'c\d' *: a constant is not finite",
    ),
    "an infinite attribute": (
        one(lambda m, x: m.node("Gemm", m.node("Flatten", x), m.constant(np.ones((32, 2))), alpha=np.inf)),
        "attribute 'alpha' is inf, expected a finite number",
    ),
    "an order of fractions": (
        one(lambda m, x: m.node("Transpose", x, perm=[0.0, 1.0, 3.0, 2.0])), "expected whole numbers",
    ),
    "a constant that a cast rounds": (
        one(lambda m, x: m.node("Add", x, m.node("Cast", m.constant(0.1, np.float64), to=1))), "does not hold it as",
    ),
    "softmax of each alone": (one(lambda m, x: m.node("Softmax", conv(m, x))), "it is not over all scores"),
    "a product of words": (
        one(lambda m, x: m.node("Add", x, m.node("Constant", value_string="1"))), "attribute 'value_string' is not kno",
    ),
    "sizes": (one(conv, ("N", 2, "H", 4)), r"input 'x' has the shape \(None, 2, None, 4\), expected"),
    "old operators": (one(conv, opset=8), "is of opset 8, expected 9 to"),
    "operators to come": (one(conv, opset=999), "is of opset 999, expected 9 to"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exact_is_refused(case: str, tmp_path: Path) -> None:
    """One error that names the file, the node and what was expected."""
    make, message = REFUSED[case]
    (tmp_path / "m.onnx").write_bytes(make().SerializeToString())
    with pytest.raises(FileError, match=message) as caught:
        import_model(tmp_path / "m.onnx")
    assert str(caught.value).startswith(f"{tmp_path / 'm.onnx'}: ")
    assert "\n" not in str(caught.value)


def damaged(change: Callable[[Any], object]) -> Any:
    """A small model after a change."""
    model = one(conv)()
    change(model)
    return model


DAMAGED: dict[str, tuple[Callable[[Any], object], str]] = {
    "a circle": (lambda m: m.graph.node[0].input.__setitem__(0, "t1"), "or the graph runs in a circle"),
    "computed twice": (lambda m: m.graph.node[1].output.__setitem__(0, "t0"), "computes 't0', which there is already"),
    "output of nobody": (lambda m: m.graph.output[0].__setattr__("name", "y"), "output 'y' is computed by no node"),
    "constant twice": (lambda m: m.graph.initializer.append(m.graph.initializer[0]), "constant 'c0' stands twice"),
    "attribute twice": (lambda m: m.graph.node[0].attribute.append(m.graph.node[0].attribute[0]), "stands twice"),
    "values missing": (
        lambda m: m.graph.initializer[0].__setattr__("raw_data", b""), "constant 'c0' does not hold what it states",
    ),
    "a huge constant": (lambda m: m.graph.initializer[0].dims.extend([1 << 20, 1 << 20]), "which is too large or not"),
    "a negative size": (lambda m: m.graph.initializer[0].dims.append(-1), "which is too large or not possible"),
    "text": (lambda m: m.graph.initializer[0].__setattr__("data_type", 8), "of ONNX's type 8, which is not read"),
    "a second input": (
        lambda m: m.graph.input.append(helper.make_tensor_value_info("z", 1, [1])), "has 2 inputs that are no constant",
    ),
    "no nodes": (lambda m: m.graph.ClearField("node"), "is not an ONNX model with nodes"),
    "a subgraph": (
        lambda m: m.graph.node[0].attribute.append(helper.make_attribute("body", m.graph)),
        "attribute 'body' is neither number, text nor tensor",
    ),
    "functions": (lambda m: m.functions.add(), "defines functions of its own"),
    "a domain twice": (
        lambda m: m.opset_import.extend([helper.make_opsetid("own", 1)] * 2),
        "states versions of the domain 'own' twice",
    ),
    "no opset": (lambda m: m.ClearField("opset_import"), "states 0 versions of the standard's operators"),
}  # fmt: skip


@pytest.mark.parametrize("case", DAMAGED)
def test_damaged_graphs_are_refused(case: str, tmp_path: Path) -> None:
    """What no whole ONNX file has is one error that names it."""
    change, message = DAMAGED[case]
    (tmp_path / "m.onnx").write_bytes(damaged(change).SerializeToString())
    with pytest.raises(FileError, match=message) as caught:
        import_model(tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)


def annotated(tensor: str, datatype: str, weight: float = 3.0) -> Any:
    """Sums of an input without a quantiser, by weights of one value, after which one tensor has a data type."""
    m = Maker((1, 2, 4, 4))
    m.annotations["x"] = "INT4"
    weights = m.constant(np.full((2, 2, 2, 2), weight))
    m.annotations[weights if tensor == "weights" else tensor] = datatype
    return m.model(m.node("Conv", "x", weights))


@pytest.mark.parametrize(
    ("tensor", "datatype", "weight", "message"),
    [
        ("x", "INT8X", 3, "input 'x': data type 'INT8X' is not known, expected such as INT8, UINT4, BIPOLAR or FLOAT"),
        ("x", "INT-3", 3, "input 'x': data type 'INT-3' is not known"),
        ("x", "INT1", 3, "input 'x': the input's number is int1, expected 2 bits or more"),
        ("x", "TERNARY", 3, "input 'x': the input's number is 'ternary', expected such as uint8"),
        ("weights", "INT3X", 3, "constant 'c0': data type 'INT3X' is not known"),
        ("weights", "UINT1", 3, "constant 'c0': it has the value 3.0, expected UINT1, as is stated"),
        ("weights", "INT2", -3, "constant 'c0': it has the value -3.0, expected INT2"),
        ("weights", "BIPOLAR", 0, "constant 'c0': it has the value 0.0, expected BIPOLAR"),
        ("weights", "TERNARY", 2, "constant 'c0': it has the value 2.0, expected TERNARY"),
        ("weights", "INT4", 0.5, "constant 'c0': it has the value 0.5, expected INT4"),
        # Eight products of -8 to 7 with 3.
        ("t0", "INT8", 3, r"node 'n_t0' .Conv.*its result is annotated INT8, -128 to 127; by .* it is -192 to 168"),
        ("t0", "UINT9", 3, "its result is annotated UINT9, 0 to 511; by weights and inputs it is -192 to 168"),
        ("t0", "BIPOLAR", 3, "its result is annotated BIPOLAR, -1 to 1; by weights and inputs it is -192 to 168"),
        ("t0", "INT3X", 3, "data type 'INT3X' is not known"),
    ],
)
def test_data_types_that_do_not_fit_are_refused(
    tensor: str, datatype: str, weight: float, message: str, tmp_path: Path
) -> None:
    """An unknown data type, or one that a constant's values are not of, is one error with the tensor's name."""
    (tmp_path / "m.onnx").write_bytes(annotated(tensor, datatype, weight).SerializeToString())
    with pytest.raises(FileError, match=message):
        import_model(tmp_path / "m.onnx")


@pytest.mark.parametrize(
    ("tensor", "datatype", "number"),
    [("x", "UINT3", "uint3"), ("x", "BIPOLAR", "bipolar"), ("weights", "INT3", "int4"), ("weights", "FLOAT32", "int4"),
     ("weights", "FIXED<8,4>", "int4"), ("weights", "SCALEDINT<8>", "int4"), ("t0", "INT9", "int4"),
     ("t0", "FLOAT32", "int4")],
)  # fmt: skip
def test_data_types_that_fit_are_taken(tensor: str, datatype: str, number: str, tmp_path: Path) -> None:
    """The input has the number that its data type says; weights are of theirs, and those of fractions say nothing."""
    (tmp_path / "m.onnx").write_bytes(annotated(tensor, datatype).SerializeToString())
    model = import_model(tmp_path / "m.onnx")
    assert str(model.graph.input.number) == number
    x = np.where(np.arange(32).reshape(1, 4, 4, 2) % 3, 1, -1 if model.graph.input.number.signed else 0)
    sums = sum(x[0, r : r + 3, c : c + 3].sum(axis=-1) for r in (0, 1) for c in (0, 1))
    found = fxsim.run(model, x.astype(model.graph.input.number.dtype))["conv0"]
    assert found[0, :, :, 0].tolist() == (3 * sums).tolist()


def test_two_data_types_of_a_tensor_are_refused(tmp_path: Path) -> None:
    """The same twice is one; two are an error."""
    model = annotated("weights", "INT4")
    model.graph.quantization_annotation.append(model.graph.quantization_annotation[0])
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    import_model(tmp_path / "m.onnx")
    model.graph.quantization_annotation[-1].quant_parameter_tensor_names[0].value = "INT5"
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(FileError, match="tensor 'x' has the data types 'INT4' and 'INT5', expected one"):
        import_model(tmp_path / "m.onnx")


def beside(location: str, **other: str) -> Any:
    """A model whose kernel lies in another file."""
    model = one(conv)()
    tensor = model.graph.initializer[-1]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **other}.items():
        tensor.external_data.add(key=key, value=value)
    return model


def test_data_beside_the_file_is_read_within_its_folder(tmp_path: Path) -> None:
    """A kernel in another file, at an offset, is read; what lies outside, behind a link, or is too short, is not."""
    folder = tmp_path / "model"
    folder.mkdir()
    kernel = np.arange(-8, 8, dtype="<f4")
    (folder / "w.bin").write_bytes(b"1234" + kernel.tobytes())
    (tmp_path / "outside.bin").write_bytes(kernel.tobytes())
    (folder / "link.bin").symlink_to(tmp_path / "outside.bin")
    path = folder / "m.onnx"
    path.write_bytes(beside("w.bin", offset="4", length="64").SerializeToString())
    op = import_model(path).graph.by_name["conv0"].op
    assert isinstance(op, Conv)
    np.testing.assert_array_equal(op.weight.transpose(0, 3, 1, 2).ravel(), np.arange(-8, 8))
    for location, other, message in (
        ("../outside.bin", {}, "expected a file in the model's folder"),
        (str(tmp_path / "outside.bin"), {}, "expected a file in the model's folder"),
        ("link.bin", {}, "which is no regular file in the model's folder"),
        (".", {}, "which is no regular file in the model's folder"),
        ("absent.bin", {}, "which is no regular file in the model's folder"),
        ("w.bin", {"offset": "8"}, "has 60 bytes in 'w.bin', expected 64"),
        ("w.bin", {"length": "63"}, "has 63 bytes in 'w.bin', expected 64"),
        ("w.bin", {"offset": "-4"}, "has the offset '-4', expected a whole number"),
        ("w.bin", {"checksum": "00"}, "by the keys location, checksum, expected length, location, offset, once each"),
    ):
        path.write_bytes(beside(location, **other).SerializeToString())
        with pytest.raises(FileError, match=message):
            import_model(path)


def test_command_reads_a_model(tmp_path: Path) -> None:
    """`fxsim import` sees what an .onnx file is, and takes the integers that the model is fed."""
    path, target = tmp_path / "m.onnx", tmp_path / "m.safetensors"
    path.write_bytes(one(conv)().SerializeToString())
    done = CliRunner().invoke(command, [str(path), "-o", str(target), "--input-number", "uint8/255", "--json"])
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["provenance"]["input"] == "'x': uint8 / 255"
    model = fxsim.load(target)
    # 255 / 255 is 1, and 128 / 255 more than a half.
    x = np.full((1, 4, 4, 2), 255, np.uint8)
    x[0, 0, 0] = 128, 127
    assert fxsim.run(model, x)["conv0"][0, 0, :, 0].tolist() == [7, 8, 8]
    done = CliRunner().invoke(command, [str(path), "-o", str(target), "--input-number", "float32"])
    assert "the input's number is 'float32', expected such as uint8 or uint8/255" in str(done.exception)


@settings(max_examples=30)
@given(data=st.data())
def test_damaged_files_are_refused_or_whole(data: st.DataObject, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bytes that are cut, changed or left out give one error, or a model."""
    content = bytearray(cnn(1).SerializeToString())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        match data.draw(st.sampled_from(["cut", "change", "drop"])):
            case "cut":
                del content[max(1, at) :]
            case "change":
                content[at] ^= data.draw(st.integers(1, 255))
            case "drop":
                del content[at : at + data.draw(st.integers(1, 4))]
        content = content or bytearray(b"\0")
    path = tmp_path_factory.mktemp("damaged") / "m.onnx"
    path.write_bytes(content)
    try:
        model = import_model(path)
    except FileError as error:
        message = str(error)
    else:
        assert isinstance(model, Model)
        return
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
