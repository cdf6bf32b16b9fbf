"""ONNX's 8-bit models: every quantised tensor as ONNX Runtime gives it, of models that its own quantiser makes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fxsim
from fxsim.contract import INT8, Number, Rounding
from fxsim.contract.number import UINT8
from fxsim.cosim import cosim
from fxsim.errors import FileError
from fxsim.formats.qonnx.importer import import_qonnx
from fxsim.formats.qonnx.int8 import float32_rule
from fxsim.formats.requantisation import boundaries, multiplier_for
from fxsim.graph import Model
from fxsim.operators import Pad, Rescale, Threshold, WeightedAdd

Array = npt.NDArray[Any]
pytestmark = pytest.mark.onnx

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
quantization = pytest.importorskip("onnxruntime.quantization")
helper, numpy_helper = onnx.helper, onnx.numpy_helper


def floats(name: str, *shape: int, scale: float = 0.3, seed: int = 3) -> Any:
    """Weights as a float network has them."""
    rng = np.random.default_rng([seed, *map(ord, name)])
    return numpy_helper.from_array((rng.standard_normal(shape) * scale).astype(np.float32), name)


def float_model(residual: bool) -> Any:
    """A small float network with padded convolutions, windows, a residual path, a mean and a dense layer."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w0", "b0"], ["c0"], pads=[1, 1, 1, 1]), node("Relu", ["c0"], ["r0"]),
        node("MaxPool", ["r0"], ["p0"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p0", "w1", "b1"], ["c1"], pads=[1, 1, 1, 1], group=2), node("Relu", ["c1"], ["r1"]),
        *([node("Add", ["r1", "p0"], ["s"]), node("Relu", ["s"], ["t"])] if residual else []),
        node("Conv", ["t" if residual else "r1", "w2"], ["c2"], strides=[2, 2]),
        node("GlobalAveragePool", ["c2"], ["g"]), node("Flatten", ["g"], ["f"]),
        node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]  # fmt: skip
    weights = [
        floats("w0", 8, 3, 3, 3), floats("b0", 8), floats("w1", 8, 4, 3, 3, scale=0.2), floats("b1", 8),
        floats("w2", 12, 8, 3, 3, scale=0.1), floats("w3", 10, 12), floats("b3", 10),
    ]  # fmt: skip
    ends = [helper.make_tensor_value_info(n, 1, s) for n, s in (("x", ["n", 3, 12, 12]), ("y", ["n", 10]))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def quantised(folder: Path, form: str, activations: str, weights: str, residual: bool = True) -> Path:
    """An 8-bit model as ONNX Runtime's quantiser writes it."""

    class Pictures(quantization.CalibrationDataReader):  # type: ignore[misc,name-defined]  # it may be absent
        """Random pictures, by which ranges are found."""

        def __init__(self) -> None:
            rng = np.random.default_rng(9)
            self.left: Iterator[Any] = iter([rng.standard_normal((1, 3, 12, 12)).astype(np.float32) for _ in range(6)])

        def get_next(self) -> dict[str, Array] | None:
            """The next one, by the name of the input."""
            found = next(self.left, None)
            return None if found is None else {"x": found}

    onnx.save(float_model(residual), folder / "float.onnx")
    kinds = {name: getattr(quantization.QuantType, name) for name in (activations, weights)}
    quantization.quantize_static(
        folder / "float.onnx", folder / "q.onnx", Pictures(), quant_format=getattr(quantization.QuantFormat, form),
        activation_type=kinds[activations], weight_type=kinds[weights], per_channel=weights == "QInt8",
    )  # fmt: skip
    return folder / "q.onnx"


def tensors_of(path: Path, names: list[str], x: Array, optimised: bool) -> dict[str, Array]:
    """Tensors of a model by ONNX Runtime; without optimisation each operator is computed as it stands."""
    model = onnx.load(path)
    known = {output.name for output in model.graph.output}
    model.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in dict.fromkeys(names) if n not in known)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return dict(zip(names, session.run(names, {"x": x}), strict=True))


def compared(path: Path, model: Model, optimised: bool) -> dict[str, int]:
    """Values of every quantised tensor that differ from ONNX Runtime's, by tap."""
    origins = dict(text.split(" = ", 1) for text in model.provenance["tensors of the file"].split(", ") if "=" in text)
    kept = {tap: name for tap, name in origins.items() if tap.startswith(("requant", "pool", "quant"))}
    (source,) = (n.output[0] for n in onnx.load(path).graph.node if n.op_type == "QuantizeLinear" and n.input[0] == "x")
    x = (np.random.default_rng(4).standard_normal((32, 3, 12, 12)) * 1.3).astype(np.float32)
    names = [source, *(name.partition(" + ")[0] for name in kept.values())]
    found = tensors_of(path, names, x, optimised)
    taps = fxsim.run(model, np.ascontiguousarray(found[source].transpose(0, 2, 3, 1)), "all")
    differing = {}
    for tap, name in kept.items():
        tensor, _, moved = name.partition(" + ")
        expected = found[tensor]
        if expected.dtype == np.float32:
            continue  # codes that the file has between a DequantizeLinear and what follows
        expected = expected.transpose(0, 2, 3, 1) if expected.ndim == 4 else expected.reshape(len(x), 1, 1, -1)
        differing[tap] = int((taps[tap].astype(int) - int(moved or 0) != expected).sum())
        assert len(np.unique(expected)) > 1
    return differing


# uint8 by int8 is left out: on processors without VNNI ONNX Runtime itself saturates pairs of products.
@pytest.mark.parametrize("kinds", [("QInt8", "QInt8"), ("QUInt8", "QUInt8")], ids=["signed", "unsigned"])
@pytest.mark.parametrize("form", ["QOperator", "QDQ"])
def test_every_quantised_tensor_is_that_of_onnxruntime(form: str, kinds: tuple[str, str], tmp_path: Path) -> None:
    """Codes of every layer, of pictures beyond the calibrated range, too."""
    path = quantised(tmp_path, form, *kinds)
    model = import_qonnx(path)
    differing = compared(path, model, optimised=form == "QDQ")
    assert len(differing) >= 6
    assert set(differing.values()) == {0}, differing
    kinds_of = {type(node.op) for node in model.graph.nodes}
    assert {Pad, Threshold} <= kinds_of
    assert "by ONNX Runtime's rule in float32, the same for every sum" in model.provenance["requantisation"]


@pytest.mark.parametrize("form", ["QOperator", "QDQ"])
def test_a_trained_network_classifies_digits_as_onnxruntime_does(form: str, tmp_path: Path) -> None:
    """A dense network trained on scikit-learn's digits: codes of both layers, and held-out pictures' classes."""
    datasets, neural = pytest.importorskip("sklearn.datasets"), pytest.importorskip("sklearn.neural_network")
    pictures, labels = datasets.load_digits(return_X_y=True)
    pictures = (pictures / 16).astype(np.float32)
    trained = neural.MLPClassifier((24,), max_iter=200, random_state=1, tol=0.02).fit(pictures[:1200], labels[:1200])
    constants = [
        numpy_helper.from_array(array.astype(np.float32), f"{kind}{at}")
        for kind, arrays in (("w", trained.coefs_), ("b", trained.intercepts_)) for at, array in enumerate(arrays)
    ]  # fmt: skip
    node = helper.make_node
    nodes = [node("Gemm", ["x", "w0", "b0"], ["h"]), node("Relu", ["h"], ["r"]), node("Gemm", ["r", "w1", "b1"], ["y"])]
    ends = [helper.make_tensor_value_info(n, 1, ["n", size]) for n, size in (("x", 64), ("y", 10))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "float.onnx"
    )

    class Training(quantization.CalibrationDataReader):  # type: ignore[misc,name-defined]  # it may be absent
        """Pictures that the network was trained on."""

        def __init__(self) -> None:
            self.left = iter(np.split(pictures[:200], 20))

        def get_next(self) -> dict[str, Array] | None:
            """Ten more of them."""
            found = next(self.left, None)
            return None if found is None else {"x": found}

    quantization.quantize_static(
        tmp_path / "float.onnx", tmp_path / "q.onnx", Training(), quant_format=getattr(quantization.QuantFormat, form),
        activation_type=quantization.QuantType.QInt8, weight_type=quantization.QuantType.QInt8, per_channel=True,
    )  # fmt: skip
    model = import_qonnx(tmp_path / "q.onnx")
    origins = dict(text.split(" = ", 1) for text in model.provenance["tensors of the file"].split(", ") if "=" in text)
    kept = {tap: name.partition(" + ") for tap, name in origins.items() if tap.startswith("requant")}
    first = next(n.output[0] for n in onnx.load(tmp_path / "q.onnx").graph.node if n.op_type == "QuantizeLinear")
    names = [first, "y", *(name for name, _, _ in kept.values())]
    found = tensors_of(tmp_path / "q.onnx", names, pictures[1200:], optimised=True)
    taps = fxsim.run(model, found[first][:, None, None], "all")
    assert len(kept) == 2
    for tap, (name, _, moved) in kept.items():
        np.testing.assert_array_equal(taps[tap][:, 0, 0].astype(int) - int(moved or 0), found[name], tap)
    classes = taps[model.graph.nodes[-1].name][:, 0, 0].argmax(axis=1)
    np.testing.assert_array_equal(classes, found["y"].argmax(axis=1))
    assert (classes == labels[1200:]).mean() > 0.8


@pytest.mark.verilator
def test_an_8_bit_model_runs_composed(tmp_path: Path) -> None:
    """A QDQ model with zero points in Verilog of its own: the file's codes, every tap equal, with stalls and resets."""

    class Pictures(quantization.CalibrationDataReader):  # type: ignore[misc,name-defined]  # it may be absent
        """One random picture, by which ranges are found."""

        def __init__(self) -> None:
            self.left = iter([{"x": np.random.default_rng(9).standard_normal((1, 2, 5, 5)).astype(np.float32)}])

        def get_next(self) -> dict[str, Array] | None:
            """The next one, by the name of the input."""
            return next(self.left, None)

    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w0", "b0"], ["c0"]), node("Relu", ["c0"], ["r0"]), node("Conv", ["r0", "w1"], ["y"]),
    ]  # fmt: skip
    constants = [floats("w0", 2, 2, 2, 2), floats("b0", 2), floats("w1", 3, 2, 4, 4)]
    ends = [helper.make_tensor_value_info(n, 1, s) for n, s in (("x", ["n", 2, 5, 5]), ("y", ["n", 3, 1, 1]))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(made, tmp_path / "float.onnx")
    kind = quantization.QuantType.QInt8
    quantization.quantize_static(
        tmp_path / "float.onnx", tmp_path / "q.onnx", Pictures(), quant_format=quantization.QuantFormat.QDQ,
        activation_type=kind, weight_type=kind, per_channel=True,
    )  # fmt: skip
    model = import_qonnx(tmp_path / "q.onnx")
    rescales = [node.op for node in model.graph.nodes if isinstance(node.op, Rescale)]
    assert {op.rounding for op in rescales} == {Rounding.HALF_EVEN}
    assert any(op.bias.any() for op in rescales)
    x = (np.random.default_rng(4).standard_normal((5, 2, 5, 5)) * 1.3).astype(np.float32)
    file = onnx.load(tmp_path / "q.onnx").graph.node
    quantisers = {n.input[0]: n.output[0] for n in file if n.op_type == "QuantizeLinear"}
    first, last = (next(q for f, q in quantisers.items() if f.startswith(name)) for name in ("x", "y"))
    found = tensors_of(tmp_path / "q.onnx", [first, last], x, optimised=True)
    codes = np.ascontiguousarray(found[first].transpose(0, 2, 3, 1))
    result = fxsim.run(model, codes, "all")[model.graph.output]
    assert (result.reshape(5, 3) == found[last].reshape(5, 3)).all()
    held = cosim(model, codes, accel="composed", stall="random:4:0.4+reset:3")
    assert held.passed, held
    least = {tap: 5 * int(np.prod(model.graph.shapes[tap])) for tap in model.graph.taps}
    assert all(held.streams.taps[tap].compared >= values for tap, values in least.items())


# --- The rule, and what has the same boundaries ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("number", "zero", "multiplier", "whole"),
    [
        (INT8, 0, 0.0123, True), (UINT8, 128, 0.00731, True), (Number(4), 1, 1.7e-3, True),
        # Sums whose products lie so near a tie that float32 makes ties of them, which go up and down by turns.
        (INT8, -128, 0.031, False), (UINT8, 3, 0.9, False),
    ],
)  # fmt: skip
def test_boundaries_part_every_sum(number: Number, zero: int, multiplier: float, whole: bool) -> None:
    """Sums one by one: the level is the number of boundaries reached; so it is by a multiplier, where there is one."""
    factor = np.float32(multiplier)
    low, high = -30_000, 41_000
    acc = np.arange(low, high + 1)
    expected = float32_rule(acc, factor, zero, number)
    plain = np.clip(np.rint(acc.astype(np.float32) * factor).astype(int) + zero, number.low, number.high)
    assert (expected == plain).all()
    rule = lambda sums: float32_rule(sums, factor, zero, number)  # noqa: E731  # as it is read
    (found,) = boundaries(np.array([low]), np.array([high]), rule, number)
    assert (number.low + (acc[:, None] >= found[None]).sum(axis=1) == expected).all()
    pair = multiplier_for(low, high, found.tolist(), zero, number)
    assert (pair is not None) == whole
    if pair is not None:
        m, shift = pair
        floor, rest = acc * m >> shift, (acc * m) & ((1 << shift) - 1)
        nearest = floor + ((2 * rest > 1 << shift) | ((2 * rest == 1 << shift) & (floor % 2 == 1)))
        assert (np.clip(nearest + zero, number.low, number.high) == expected).all()
        # A boundary that is moved by one sum is no multiplier's.
        for at in (0, 3, len(found) - 1):
            for by in (-1, 1):
                moved = found.tolist()
                moved[at] += by
                if low < moved[at] <= high:
                    again = multiplier_for(low, high, moved, zero, number)
                    assert again != pair


# --- Microsoft's other operators, and sums without scales ------------------------------------------------------------


def more_operators(rng: np.random.Generator) -> tuple[list[Any], list[Any], list[str]]:
    """A quantised image, and operators on its codes: nodes, constants, and tensors to compare."""
    node = helper.make_node
    scales = {name: float(rng.uniform(0.01, 0.05)) for name in "abcdefg"}
    zeros = {name: int(rng.integers(-40, 40)) for name in "abcdefg"}
    constants = [scalar(f"s{n}", v) for n, v in scales.items()]
    constants += [scalar(f"z{n}", v, np.int8) for n, v in zeros.items()]
    weight = rng.integers(-127, 128, (4, 9, 2, 2)).astype(np.int8)
    row = rng.integers(-127, 128, (16, 5)).astype(np.int8)
    constants += [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(row, "v"), scalar("m", 0.0003)]
    constants += [numpy_helper.from_array(np.array([1, 16]), "shape")]

    def microsoft(kind: str, inputs: str, name: str, **attributes: Any) -> Any:
        return node(kind, inputs.split(), [name], domain="com.microsoft", **attributes)

    nodes = [
        node("QuantizeLinear", ["x", "sa", "za"], ["q"]),
        microsoft("QLinearLeakyRelu", "q sa za sb zb", "leaky", alpha=0.3),
        microsoft("QLinearSigmoid", "q sa za sc zc", "sigmoid"),
        microsoft("QLinearConcat", "sd zd q sa za leaky sb zb sigmoid sc zc", "concat", axis=1),
        microsoft("QLinearAveragePool", "concat sd zd se ze", "mean", kernel_shape=[2, 2], strides=[1, 1]),
        node("ConvInteger", ["mean", "w", "ze"], ["sums"]), node("Cast", ["sums"], ["float"], to=1),
        node("Mul", ["float", "m"], ["scaled"]), node("QuantizeLinear", ["scaled", "sf", "zf"], ["conv"]),
        node("Reshape", ["conv", "shape"], ["flat"]), node("MatMulInteger", ["flat", "v", "zf"], ["y"]),
    ]  # fmt: skip
    return nodes, constants, ["leaky", "sigmoid", "concat", "mean", "conv", "y"]


@pytest.mark.parametrize("seed", range(6))
def test_other_operators_give_the_codes_of_onnxruntime(seed: int, tmp_path: Path) -> None:
    """Tables, channels of several scales, means, and sums whose scale is a product in floats."""
    rng = np.random.default_rng(seed)
    nodes, constants, names = more_operators(rng)
    ends = [helper.make_tensor_value_info(n, 1, s) for n, s in (("x", ["n", 3, 4, 4]), ("y", None))]
    ends[1].type.tensor_type.elem_type = 6
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=9), path)
    model = import_qonnx(path)
    origins = dict(text.split(" = ", 1) for text in model.provenance["tensors of the file"].split(", ") if "=" in text)
    taps = {origin.partition(" + ")[0]: tap for tap, origin in origins.items()}
    x = (rng.standard_normal((1, 3, 4, 4)) * 1.5).astype(np.float32)
    found = tensors_of(path, ["q", *names], x, optimised=False)
    values = fxsim.run(model, np.ascontiguousarray(found["q"].transpose(0, 2, 3, 1)), "all")
    # Sums are kept without what their zero point adds, which the provenance says of an output.
    (row, zero) = (numpy_helper.to_array(c).astype(int) for c in constants if c.name in ("v", "zf"))
    row, zero = (row, zero) if row.ndim else (zero, row)
    np.testing.assert_array_equal(values[taps["y"]].ravel() - zero * row.sum(axis=0), found["y"].ravel())
    assert "plus an offset for each channel" in model.provenance["output"]
    for name in names[:-1]:
        expected = found[name].transpose(0, 2, 3, 1)
        moved = int(origins[taps[name]].partition(" + ")[2] or 0)
        assert len(np.unique(expected)) > 1
        np.testing.assert_array_equal(values[taps[name]].astype(int) - moved, expected, name)


@pytest.mark.parametrize("zero", [0, 255, [0, 255, 3, 128]], ids=str)
def test_weights_without_a_sign_reach_the_ends_of_9_bits(zero: int | list[int], tmp_path: Path) -> None:
    """Weights of uint8 less a zero point of 0 or 255 are up to 255 or down to -255."""
    rng = np.random.default_rng(11)
    weight = rng.choice(np.array([0, 1, 127, 128, 254, 255], np.uint8), (4 * 4 * 3, 4))
    points = np.broadcast_to(np.array(zero, np.uint8), 4)
    constants = [scalar("s", 0.25), scalar("a", 3, np.uint8), scalar("u", 0.013), scalar("t", 97.0)]
    constants += [numpy_helper.from_array(weight, "w"), numpy_helper.from_array(points, "o")]
    constants += [numpy_helper.from_array(np.full(4, 0.013, np.float32), "v"), scalar("b", 111, np.uint8)]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "a"], ["q"]), helper.make_node("Flatten", ["q"], ["f"]),
        helper.make_node("QLinearMatMul", ["f", "s", "a", "w", "v", "o", "t", "b"], ["y"]),
    ]  # fmt: skip
    model = import_qonnx(saved(tmp_path, nodes, constants, kind=2))
    x = rng.integers(0, 256, (64, 4, 4, 3)).astype(np.uint8)
    rows = x.transpose(0, 3, 1, 2).reshape(64, -1).astype(int)
    sums = (rows - 3) @ (weight.astype(int) - points.astype(int))
    factor = np.float32(0.25) * np.float32(0.013) / np.float32(97)
    expected = np.clip(np.rint(sums.astype(np.float32) * factor) + 111, 0, 255)
    assert len(np.unique(expected)) > 20
    found = fxsim.run(model, x)[model.graph.nodes[-1].name]
    np.testing.assert_array_equal(found.reshape(64, 4), expected)


# --- Pads that are left to the size of the image ---------------------------------------------------------------------


@pytest.mark.parametrize("rule", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(
    ("kernel", "strides"),
    [((3, 3), (1, 1)), ((2, 4), (1, 1)), ((2, 3), (2, 3)), ((4, 2), (3, 2)), ((1, 1), (2, 2))],
)
def test_same_pads_are_those_of_onnxruntime(
    rule: str, kernel: tuple[int, int], strides: tuple[int, int], tmp_path: Path
) -> None:
    """Even and odd kernels, and strides that do and do not divide 4 x 4 pixels."""
    weight = np.random.default_rng(5).integers(-20, 21, (2, 3, *kernel)).astype(np.int8)
    constants = [scalar("s", 0.25), scalar("a", 3, np.int8), scalar("u", 1.0), scalar("o", 0, np.int8)]
    constants += [scalar("t", 4.0), numpy_helper.from_array(weight, "w")]
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "a"], ["q"]),
        helper.make_node(
            "QLinearConv", ["q", "s", "a", "w", "u", "o", "t", "o"], ["y"],
            auto_pad=rule, strides=strides,
        ),
    ]  # fmt: skip
    path = saved(tmp_path, nodes, constants, kind=3)
    x = (np.random.default_rng(1).integers(-200, 200, (5, 3, 4, 4)) / 4).astype(np.float32)
    found = tensors_of(path, ["q", "y"], x, optimised=True)
    model = import_qonnx(path)
    values = fxsim.run(model, np.ascontiguousarray(found["q"].transpose(0, 2, 3, 1)))[model.graph.nodes[-1].name]
    assert len(np.unique(found["y"])) > 1
    np.testing.assert_array_equal(values, found["y"].transpose(0, 2, 3, 1))


# --- Ties, and what is beyond all codes ------------------------------------------------------------------------------


def joined_to_quantise(form: str, kind: str, zero: int) -> tuple[list[Any], list[Any]]:
    """The sum of two tensors of codes, or the mean of windows of two, with which every other result is a tie."""
    node = helper.make_node
    constants = [scalar("s", 0.25), scalar("t", 0.5), scalar("a", 3, np.int8), scalar("z", zero, np.int8)]
    constants += [scalar("u", 1.0), scalar("o", 0, np.int8)]
    constants += [numpy_helper.from_array(np.eye(3, dtype=np.int8)[::-1].reshape(3, 3, 1, 1).copy(), "w")]
    # Channels in another order, in the same scale: codes whose sum may be any number of quarters.
    nodes = [
        node("QuantizeLinear", ["x", "s", "a"], ["q"]),
        node("QLinearConv", ["q", "s", "a", "w", "u", "o", "s", "a"], ["m"]),
    ]
    if form == "QOperator":
        inputs = "q s a m s a t z" if kind == "Add" else "m s a t z"
        more = {} if kind == "Add" else {"kernel_shape": [1, 2]}
        return [*nodes, node(f"QLinear{kind}", inputs.split(), ["y"], domain="com.microsoft", **more)], constants
    nodes += [node("DequantizeLinear", [tensor, "s", "a"], [f"{tensor}f"]) for tensor in "qm"]
    nodes += [node("Add", ["qf", "mf"], ["f"]) if kind == "Add" else node(kind, ["mf"], ["f"], kernel_shape=[1, 2])]
    return [*nodes, node("QuantizeLinear", ["f", "t", "z"], ["y"])], constants


@pytest.mark.parametrize("zero", [26, 27])
@pytest.mark.parametrize("kind", ["Add", "AveragePool"])
@pytest.mark.parametrize("form", ["QOperator", "QDQ"])
def test_ties_go_to_the_even_code(form: str, kind: str, zero: int, tmp_path: Path) -> None:
    """ONNX Runtime adds the zero point before it rounds: an odd one turns ties the other way."""
    nodes, constants = joined_to_quantise(form, kind, zero)
    path = saved(tmp_path, nodes, constants, kind=3)
    x = (np.random.default_rng(1).integers(-200, 200, (20, 3, 4, 4)) / 4).astype(np.float32)
    found = tensors_of(path, ["q", "y"], x, optimised=True)
    model = import_qonnx(path)
    values = fxsim.run(model, np.ascontiguousarray(found["q"].transpose(0, 2, 3, 1)))[model.graph.nodes[-1].name]
    np.testing.assert_array_equal(values, found["y"].transpose(0, 2, 3, 1))


def test_a_table_ends_where_codes_do(tmp_path: Path) -> None:
    """Quotients beyond every whole number of 64 bits, and infinite ones, are the greatest code or the least."""
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        node("QLinearLeakyRelu", ["q", "s", "z", "t", "z"], ["y"], domain="com.microsoft", alpha=0.5),
    ]
    for scales in ((1e30, 1e-10), (1e9, 1e-9)):
        constants = [scalar("s", scales[0]), scalar("t", scales[1]), scalar("z", 5, np.int8)]
        path = saved(tmp_path, nodes, constants, kind=3)
        x = (np.random.default_rng(1).standard_normal((2, 3, 4, 4)) * 50 * scales[0]).astype(np.float32)
        found = tensors_of(path, ["q", "y"], x, optimised=True)
        assert {-128, 127} <= set(found["y"].ravel().tolist())
        model = import_qonnx(path)
        values = fxsim.run(model, np.ascontiguousarray(found["q"].transpose(0, 2, 3, 1)))[model.graph.nodes[-1].name]
        np.testing.assert_array_equal(values, found["y"].transpose(0, 2, 3, 1))


# --- What is refused -------------------------------------------------------------------------------------------------


def saved(folder: Path, nodes: list[Any], constants: list[Any], kind: int = 1) -> Path:
    """A file of these nodes from x, floats, to y, which is of ONNX's type `kind`."""
    ends = [helper.make_tensor_value_info(n, k, s) for n, k, s in (("x", 1, ["n", 3, 4, 4]), ("y", kind, None))]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], constants)
    domains = {"", *(node.domain for node in nodes)}
    imports = [helper.make_opsetid(domain, 1 if domain else 17) for domain in sorted(domains)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=9), folder / "m.onnx")
    return folder / "m.onnx"


def scalar(name: str, value: float, kind: Any = np.float32) -> Any:
    """A constant number."""
    return numpy_helper.from_array(np.array(value, kind), name)


QUANTISE = helper.make_node("QuantizeLinear", ["x", "s", "z"], ["a"])
CODES = [scalar("s", 0.1), scalar("z", 0, np.int8)]


def with_bias(value: int, scale: float, zero: int) -> tuple[list[Any], list[Any]]:
    """A convolution of one place between DequantizeLinear and QuantizeLinear, with a bias of int32."""
    node = helper.make_node
    nodes = [
        QUANTISE, node("DequantizeLinear", ["a", "s", "z"], ["b"]), node("DequantizeLinear", ["w", "s", "z"], ["v"]),
        node("DequantizeLinear", ["c", "t", "o"], ["d"]), node("Conv", ["b", "v", "d"], ["e"]),
        node("QuantizeLinear", ["e", "s", "z"], ["y"]),
    ]  # fmt: skip
    constants = [
        *CODES, numpy_helper.from_array(np.ones((1, 3, 1, 1), np.int8), "w"), scalar("t", scale),
        numpy_helper.from_array(np.array([value], np.int32), "c"), scalar("o", zero, np.int32),
    ]  # fmt: skip
    return nodes, constants


REFUSED: dict[str, tuple[list[Any], list[Any], str]] = {
    "codes as if they were values": (
        [QUANTISE, helper.make_node("Neg", ["a"], ["y"])], CODES,
        "Neg.: it computes with 'a', which is int8: needs a DequantizeLinear",
    ),
    "a sum of codes": (
        [QUANTISE, helper.make_node("Add", ["a", "a"], ["y"])], CODES,
        "Add.: it computes with 'a', which is int8: needs a DequantizeLinear",
    ),
    "values as if they were codes": (
        [
            QUANTISE, helper.make_node("DequantizeLinear", ["a", "s", "z"], ["b"]),
            helper.make_node("DequantizeLinear", ["b", "s", "z"], ["y"]),
        ],
        CODES, "it reads 'b', which is no tensor of codes",
    ),
    "a zero point of another type": (
        [QUANTISE, helper.make_node("DequantizeLinear", ["a", "s", "u"], ["y"])], [*CODES, scalar("u", 3, np.uint8)],
        "it reads 'a', which is int8; its zero point is uint8",
    ),
    "weights of another type than their zero point": (
        [QUANTISE, helper.make_node("QLinearMatMul", ["a", "s", "z", "w", "s", "u", "s", "z"], ["y"])],
        [*CODES, scalar("u", 3, np.uint8), numpy_helper.from_array(np.ones((4, 4), np.int8), "w")],
        "its weights are int8, their zero point is uint8",
    ),
    "weights without axes": (
        [QUANTISE, helper.make_node("QLinearConv", ["a", "s", "z", "w", "s", "z", "s", "z"], ["y"])],
        [*CODES, scalar("w", 3, np.int8)], r"its weights have the shape \(\), expected two axes or four",
    ),
    "a sum of two shapes": (
        [
            QUANTISE, helper.make_node("Flatten", ["a"], ["b"]),
            helper.make_node(
                "QLinearAdd", ["a", "s", "z", "b", "s", "z", "s", "z"], ["y"], domain="com.microsoft"
            ),
        ],
        CODES, "do not lie alike",
    ),
    "a bias of a great scale": (*with_bias(1 << 30, 1e20, 0), "the scale of the bias of channel 0 is not that of its"),
    "a bias of floats": (
        [
            QUANTISE, helper.make_node("DequantizeLinear", ["a", "s", "z"], ["b"]),
            helper.make_node("DequantizeLinear", ["w", "s", "z"], ["v"]),
            helper.make_node("Conv", ["b", "v", "c"], ["e"]),
            helper.make_node("QuantizeLinear", ["e", "s", "z"], ["y"]),
        ],
        [
            *CODES, numpy_helper.from_array(np.ones((1, 3, 1, 1), np.int8), "w"),
            numpy_helper.from_array(np.array([1e38], np.float32), "c"),
        ],
        "its sums have a bias of floats, expected one of int32",
    ),
    "a bias of twice the scale": (*with_bias(5, 0.02, 0), "the scale of the bias of channel 0 is not that of its sums"),
    "a bias with a zero point": (*with_bias(5, 0.01, 7), "its constant of int32 has a zero point that is not 0"),
    "dynamic": (
        [helper.make_node("DynamicQuantizeLinear", ["x"], ["y", "s", "z"])], [],
        "DynamicQuantizeLinear.*its scale depends on the values of each input.*needs static quantisation",
    ),
    "int16 codes": (
        [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])],
        [scalar("s", 0.1), scalar("z", 0, np.int16)], "zero point of its result is int16, expected int8 or uint8",
    ),
    "a scale of 0": (
        [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])],
        [scalar("s", 0.0), scalar("z", 0, np.int8)], "scale of its result is not above 0",
    ),
    "scales for other outputs": (
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["a"]),
            helper.make_node("QLinearConv", ["a", "s", "z", "w", "t", "z", "s", "z"], ["y"]),
        ],
        [
            scalar("s", 0.1), scalar("z", 0, np.int8), numpy_helper.from_array(np.ones((4, 3, 1, 1), np.int8), "w"),
            numpy_helper.from_array(np.full(3, 0.1, np.float32), "t"),
        ],
        "its weights have 3 scales, expected 1 or 4",
    ),
    "another domain": (
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["a"]),
            helper.make_node(
                "QLinearConv", ["a", "s", "z", "w", "s", "z", "s", "z"], ["y"], domain="com.ms.internal.nhwc"
            ),
        ],
        [scalar("s", 0.1), scalar("z", 0, np.int8), numpy_helper.from_array(np.ones((4, 3, 1, 1), np.int8), "w")],
        r"QLinearConv\): it is of the domain 'com.ms.internal.nhwc', expected one of",
    ),
    "pads twice": (
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["a"]),
            helper.make_node("MaxPool", ["a"], ["y"], kernel_shape=[2, 2], auto_pad="VALID", pads=[0, 0, 1, 1]),
        ],
        [scalar("s", 0.1), scalar("z", 0, np.int8)], r"auto_pad is 'VALID', and pads are \[0, 0, 1, 1\], expected one",
    ),
    "windows beyond the image": (
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["a"]),
            helper.make_node("MaxPool", ["a"], ["y"], kernel_shape=[2, 2], auto_pad="SAME_LOWER"),
        ],
        [scalar("s", 0.1), scalar("z", 0, np.int8)], "its windows are padded or spread, expected windows within the im",
    ),
    "a scale of two axes": (
        [helper.make_node("QuantizeLinear", ["x", "s", "z"], ["y"])],
        [numpy_helper.from_array(np.full((1, 1), 0.1, np.float32), "s"), scalar("z", 0, np.int8)],
        r"the scale of its result has the shape \(1, 1\), expected one number",
    ),
    "a factor beyond float32": (
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["a"]),
            helper.make_node("QLinearConv", ["a", "s", "z", "w", "s", "z", "t", "z"], ["y"]),
        ],
        [
            scalar("s", 1e20), scalar("t", 1e-20), scalar("z", 0, np.int8),
            numpy_helper.from_array(np.ones((4, 3, 1, 1), np.int8), "w"),
        ],
        "its factor, input times weights over result, is beyond float32",
    ),
    "a sum left as floats": (
        [
            helper.make_node("QuantizeLinear", ["x", "s", "z"], ["a"]),
            helper.make_node("DequantizeLinear", ["a", "s", "z"], ["b"]),
            helper.make_node("DequantizeLinear", ["a", "t", "z"], ["c"]),
            helper.make_node("Add", ["b", "c"], ["d"]), helper.make_node("Sigmoid", ["d"], ["y"]),
        ],
        [scalar("s", 0.1), scalar("t", 0.07), scalar("z", 0, np.int8)], r"Sigmoid.*no such operator",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_taken_is_named(case: str, tmp_path: Path) -> None:
    """One error that names the node and what was expected."""
    nodes, constants, message = REFUSED[case]
    with pytest.raises(FileError, match=message):
        import_qonnx(saved(tmp_path, nodes, constants))


def test_an_int8_model_goes_through_every_form(tmp_path: Path) -> None:
    """Loops, C and ONNX give the taps of an imported 8-bit model."""
    from fxsim.engines.c import run_c
    from fxsim.engines.loops import run_loops
    from fxsim.formats.onnx import export_onnx

    model = import_qonnx(quantised(tmp_path, "QOperator", "QInt8", "QInt8"))
    assert {Pad, Threshold, WeightedAdd} <= {type(node.op) for node in model.graph.nodes}
    x = np.random.default_rng(2).integers(-128, 128, (2, *model.graph.input_shape)).astype(np.int8)
    expected = fxsim.run(model, x, "all")
    looped, compiled = run_loops(model, x, model.graph.taps), run_c(model, x, model.graph.taps)
    export_onnx(model, tmp_path / "out.onnx", taps="all")
    session = onnxruntime.InferenceSession(tmp_path / "out.onnx")
    ran = dict(zip(model.graph.taps, session.run(list(model.graph.taps), {"input": x}), strict=True))
    for tap, values in expected.items():
        np.testing.assert_array_equal(looped[tap], values, tap)
        np.testing.assert_array_equal(compiled[tap], values, tap)
        np.testing.assert_array_equal(ran[tap], values, tap)
