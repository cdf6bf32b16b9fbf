"""TensorFlow Lite's 8-bit models: every tensor as LiteRT's kernels give it, of models that are written here."""

import platform
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import fxsim
from fxsim.errors import FileError
from fxsim.formats.tflite import read
from fxsim.formats.tflite.importer import import_tflite
from fxsim.formats.tflite.read import read_tflite
from fxsim.graph import Model
from fxsim.operators import Pad, Rescale, Threshold
from tests.tflite_models import KERNELS, Lite, executed

Array = npt.NDArray[Any]
pytestmark = pytest.mark.onnx

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite")

# Of other processors the optimised kernels' rounding is another, or not known.
ALL = tuple(k for k in KERNELS if k == "reference" or platform.machine() in ("x86_64", "AMD64"))
EXACT, SINGLE = (tuple(k for k in ALL if k != other) for other in ("xnnpack", "optimised"))


def differing(path: Path, kernels: str, images: int = 24) -> tuple[Model, dict[str, int]]:
    """Values of every tensor of the file that differ from LiteRT's, by tap, of random codes and of both ends."""
    model = import_tflite(path, kernels)
    number, shape = model.graph.input.number, model.graph.input_shape
    rng = np.random.default_rng(7)
    x = rng.integers(number.low, number.high + 1, (images, *shape)).astype(number.dtype)
    x[0], x[1] = number.low, number.high
    origins = dict(
        text.split(" = ", 1) for text in model.provenance["tensors of the file"].split(", ") if " = " in text
    )
    # Where a function of codes follows, the tensor is what that gives; sums and padding are no tensors of the file.
    last = {name: tap for tap, name in origins.items() if " " not in name}
    found = executed(path.read_bytes(), x, kernels, tuple(last))
    taps = fxsim.run(model, x, "all")
    return model, {
        tap: int((taps[tap].reshape(images, -1) != found[name].reshape(images, -1)).sum()) for name, tap in last.items()
    }


# --- Kernel by kernel ------------------------------------------------------------------------------------------------

Made = Callable[[Lite, int], int]


def added(lite: Lite, x: int, other: tuple[float, int], y: tuple[float, int], activation: str = "NONE") -> int:
    """The sum of an image and of its convolution, in another scale."""
    r = lite.conv(x, lite.shape(x)[-1], (1, 1), y=other)
    number = getattr(lite.schema.ActivationFunctionType, activation)
    result = lite.tensor(lite.shape(x), *y)
    return lite.apply("ADD", [x, r], result, "AddOptions", 2, fusedActivationFunction=number)


def meant(lite: Lite, x: int, y: tuple[float, int], keep: bool) -> int:
    """The mean over rows and columns."""
    axes = lite.tensor((2,), values=np.array([1, 2], np.int32), kind="INT32")
    channels = lite.shape(x)[-1]
    result = lite.tensor((1, 1, 1, channels) if keep else (1, channels), *y)
    return lite.apply("MEAN", [x, axes], result, "ReducerOptions", 2, keepDims=keep)


def padded(lite: Lite, x: int, value: int | None = None) -> int:
    """An image with rows and columns around it."""
    sizes = lite.tensor((4, 2), values=np.array([[0, 0], [1, 2], [0, 3], [0, 0]], np.int32), kind="INT32")
    _, rows, columns, channels = lite.shape(x)
    own = lite.tensors[x].quantization
    result = lite.tensor((1, rows + 3, columns + 3, channels), own.scale[0], own.zeroPoint[0])
    if value is None:
        return lite.apply("PAD", [x, sizes], result, "PadOptions", 2)
    constant = lite.tensor((1,), own.scale[0], own.zeroPoint[0], values=np.array([value], np.int8))
    return lite.apply("PADV2", [x, sizes, constant], result, "PadV2Options", 2)


def rectified(lite: Lite, x: int, kind: str, y: tuple[float, int], **settings: Any) -> int:
    """RELU and its like by itself."""
    options = "LeakyReluOptions" if settings else ""
    version = 1 if kind == "RELU_N1_TO_1" else 2
    return lite.apply(kind, [x], lite.tensor(lite.shape(x), *y), options, version, **settings)


def reshaped(lite: Lite, x: int, *sizes: int) -> int:
    """The same codes in another shape."""
    own = lite.tensors[x].quantization
    result = lite.tensor(sizes, own.scale[0], own.zeroPoint[0])
    stated = lite.tensor((len(sizes),), values=np.array(sizes, np.int32), kind="INT32")
    return lite.apply("RESHAPE", [x, stated], result, "ReshapeOptions", 1)


def transposed(lite: Lite, x: int, *order: int, version: int = 1) -> int:
    """Axes exchanged."""
    own, shape = lite.tensors[x].quantization, lite.shape(x)
    result = lite.tensor([shape[axis] for axis in order], own.scale[0], own.zeroPoint[0])
    stated = lite.tensor((len(order),), values=np.array(order, np.int32), kind="INT32")
    return lite.apply("TRANSPOSE", [x, stated], result, "TransposeOptions", version)


def tokens(lite: Lite, x: int) -> int:
    """Pixels and channels exchanged, as by what mixes tokens, and an image made of them."""
    x = transposed(lite, reshaped(lite, x, 1, 42, 8), 0, 2, 1)
    return lite.conv(reshaped(lite, x, 1, 4, 6, 14), 5, y=(0.2, 1))


IMAGE, ROW_OF = (1, 7, 6, 8), (1, 24)
TIES = (2.0 ** np.arange(-5, 4)).astype(np.float32)
"""Scales of weights whose products with 0.05 over 3.2 or 1.6 are powers of two: every other sum is a tie."""
CASES: dict[str, tuple[tuple[int, ...], Made, tuple[str, ...]]] = {
    "conv": (IMAGE, lambda m, x: m.conv(x, 12, y=(0.21, 5)), ALL),
    "another shape": (IMAGE, lambda m, x: m.conv(reshaped(m, m.conv(x, 8), 1, 6, 14, 4), 5, y=(0.2, 1)), ALL),
    "rows for columns": (IMAGE, lambda m, x: m.conv(transposed(m, m.conv(x, 5), 0, 2, 1, 3), 5, y=(0.2, 1)), ALL),
    "channels first": (IMAGE, lambda m, x: transposed(m, m.conv(x, 5), 0, 3, 1, 2, version=4), ALL),
    "tokens for channels": (IMAGE, tokens, ALL),
    "conv, stride 2": (IMAGE, lambda m, x: m.conv(x, 12, stride=(2, 2), y=(0.2, -11)), ALL),
    "conv, valid, stride 2 and 1": (IMAGE, lambda m, x: m.conv(x, 5, (3, 2), (2, 1), False, (0.2, 0)), ALL),
    "conv, dilated": (IMAGE, lambda m, x: m.conv(x, 5, (3, 2), dilation=(2, 3), y=(0.2, 1)), ALL),
    "conv of a place, relu": (IMAGE, lambda m, x: m.conv(x, 20, (1, 1), y=(0.05, -128), activation="RELU"), ALL),
    "conv, relu within": (IMAGE, lambda m, x: m.conv(x, 9, y=(0.2, -40), activation="RELU"), ALL),
    "conv, relu6": (IMAGE, lambda m, x: m.conv(x, 9, y=(0.1, -30), activation="RELU6"), ALL),
    "conv, one scale": (IMAGE, lambda m, x: m.conv(x, 9, y=(0.2, 2), per_axis=False), ALL),
    "conv of ties": (IMAGE, lambda m, x: m.conv(x, 9, y=(3.2, 3), scales=TIES), ALL),
    "depthwise of ties": (IMAGE, lambda m, x: m.conv(x, 0, depthwise=1, y=(1.6, 3), scales=TIES[:8]), ALL),
    "conv of a great factor": (IMAGE, lambda m, x: m.conv(x, 9, (1, 1), y=(0.0002, 2)), ALL),
    "depthwise": (IMAGE, lambda m, x: m.conv(x, 0, depthwise=1, y=(0.1, 3)), ALL),
    "depthwise, two a channel": (IMAGE, lambda m, x: m.conv(x, 0, stride=(2, 2), depthwise=2, y=(0.1, 3)), ALL),
    "depthwise, beside vectors": ((1, 5, 5, 11), lambda m, x: m.conv(x, 0, (2, 2), depthwise=1, y=(0.02, 3)), ALL),
    "depthwise, relu6": (IMAGE, lambda m, x: m.conv(x, 0, depthwise=1, y=(0.04, -128), activation="RELU6"), ALL),
    "dense": (ROW_OF, lambda m, x: m.dense(x, 40, (0.11, -3)), ALL),
    "dense, by axis": (ROW_OF, lambda m, x: m.dense(x, 40, (0.11, 4), per_axis=True), ALL),
    "dense, relu": (ROW_OF, lambda m, x: m.dense(x, 40, (0.05, -20), "RELU"), ALL),
    "dense of ties": (ROW_OF, lambda m, x: m.dense(x, 9, (3.2, 7), scales=TIES), ALL),
    "dense without a bias": (ROW_OF, lambda m, x: m.dense(x, 7, (0.05, 0), biased=False), ALL),
    "dense of an image": (IMAGE, lambda m, x: m.dense(x, 11, (0.31, -3)), EXACT),
    "greatest": (IMAGE, lambda m, x: m.pool("MAX", x, (2, 2), (2, 2)), ALL),
    "greatest, same": (IMAGE, lambda m, x: m.pool("MAX", x, (3, 3), (2, 2), True), ALL),
    "greatest, relu": (IMAGE, lambda m, x: m.pool("MAX", x, (2, 3), (1, 2), activation="RELU"), ALL),
    "average": (IMAGE, lambda m, x: m.pool("AVERAGE", x, (2, 2), (2, 2)), ALL),
    "average of 9": (IMAGE, lambda m, x: m.pool("AVERAGE", x, (3, 3), (1, 1)), ALL),
    "average of all, relu6": (IMAGE, lambda m, x: m.pool("AVERAGE", x, (7, 6), (1, 1), activation="RELU6"), ALL),
    "mean": (IMAGE, lambda m, x: meant(m, x, (0.021, -7), False), EXACT),
    "mean of the same scale": (IMAGE, lambda m, x: meant(m, x, (0.05, 3), False), EXACT),
    "mean of 16": ((1, 4, 4, 8), lambda m, x: meant(m, x, (0.05, 2), False), EXACT),
    "mean that keeps its axes": (IMAGE, lambda m, x: meant(m, x, (0.03, 3), True), EXACT[:1]),
    "sum": (IMAGE, lambda m, x: added(m, x, (0.031, -9), (0.07, 5)), SINGLE),
    "sum of other scales": (IMAGE, lambda m, x: added(m, x, (0.0317183, -9), (0.0731234, 5)), ALL),
    "sum of one scale": (IMAGE, lambda m, x: added(m, x, (0.05, 3), (0.1, 0)), SINGLE),
    "sum, relu": (IMAGE, lambda m, x: added(m, x, (0.11, 100), (0.2, -100), "RELU"), ALL),
    "padded": (IMAGE, lambda m, x: padded(m, x), ALL),
    "padded by a value": (IMAGE, lambda m, x: padded(m, x, -77), EXACT),
    "relu": (IMAGE, lambda m, x: rectified(m, x, "RELU", (0.04, -100)), EXACT),
    "relu6": (IMAGE, lambda m, x: rectified(m, x, "RELU6", (0.03, -128)), EXACT),
    "relu of ties": (IMAGE, lambda m, x: rectified(m, m.conv(x, 8, y=(0.109, -28)), "RELU", (0.044, -128)), EXACT),
    "relu within 1": (IMAGE, lambda m, x: rectified(m, x, "RELU_N1_TO_1", (0.02, -8)), EXACT),
    "leaky": (IMAGE, lambda m, x: rectified(m, x, "LEAKY_RELU", (0.06, 9), alpha=0.13), EXACT),
    "another scale": (
        IMAGE, lambda m, x: m.apply("QUANTIZE", [x], m.tensor(IMAGE, 0.0723, -31), "QuantizeOptions", 1), EXACT[:1],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("case", "kernels"), [(case, k) for case, (_, _, all_) in CASES.items() for k in all_])
def test_every_kernel_gives_its_codes(case: str, kernels: str, tmp_path: Path) -> None:
    """Each operator with random weights and scales, by the reference kernels, the optimised ones and XNNPACK."""
    shape, make, _ = CASES[case]
    lite = Lite()
    x = lite.tensor(shape, 0.05, 3)
    y = make(lite, x)
    path = lite.save(tmp_path / "m.tflite", [x], [y])
    _, wrong = differing(path, kernels)
    assert wrong
    assert set(wrong.values()) == {0}, wrong


def test_sums_are_weighted_or_from_tables(tmp_path: Path) -> None:
    """Weights where they part all pairs of codes as the kernels do; tables of the kernels' own parts where none do."""
    for other, operators in (((0.0317183, -9), 1), ((0.031, -9), 7)):
        lite = Lite()
        x = lite.tensor(IMAGE, 0.05, 3)
        y = added(lite, x, other, (0.07, 5) if operators == 7 else (0.0731234, 5))
        model = import_tflite(lite.save(tmp_path / "m.tflite", [x], [y]))
        kinds = [node.op.kind for node in model.graph.nodes[2:-1]]
        assert len(kinds) == operators, kinds
        assert set(kinds) <= {"weighted_add", "lut"}


# --- Whole networks --------------------------------------------------------------------------------------------------


def network(head: str = "MEAN", ends: str = "int8") -> tuple[Lite, int, int]:
    """A small network with a residual path: its input and output; `ends`: "int8", "uint8" or "float"."""
    lite = Lite()
    shape = (1, 12, 10, 3)
    if ends == "int8":
        source = first = lite.tensor(shape, 0.02, -3)
    else:
        number = {"uint8": (0.02, 125, "UINT8"), "float": (1.0, 0, "FLOAT32")}[ends]
        source, first = lite.tensor(shape, *number), lite.tensor(shape, 0.02, -3)
        if ends == "float":
            lite.tensors[source].quantization = None
        lite.apply("QUANTIZE", [source], first, "QuantizeOptions", 1)
    a = lite.conv(first, 16, stride=(2, 2), y=(0.0235294, -128), activation="RELU6")
    b = lite.conv(a, 0, depthwise=1, y=(0.0213, -128), activation="RELU6")
    c = lite.conv(b, 16, (1, 1), y=(0.0411, 7))
    d = lite.tensor(lite.shape(a), 0.0525, -17)
    lite.apply("ADD", [a, c], d, "AddOptions", 2)
    e = lite.pool("MAX", d, (2, 2), (2, 2))
    f = lite.conv(e, 24, (3, 3), y=(0.061, -128), activation="RELU")
    if head == "MEAN":
        g = meant(lite, f, (0.037, -128), False)
    else:
        g = lite.pool("AVERAGE", f, (3, 2), (1, 1))
        flat = lite.tensor((1, 24), 0.061, -128)
        sizes = lite.tensor((2,), values=np.array([-1, 24], np.int32), kind="INT32")
        g = lite.apply("RESHAPE", [g, sizes], flat, "ReshapeOptions", 1)
    h = lite.dense(g, 10, (0.113, 9))
    if head == "MEAN":
        return lite, source, h
    i = lite.tensor((1, 10), 1 / 256, -128)
    return lite, source, lite.apply("SOFTMAX", [h], i, "SoftmaxOptions", 2, beta=1.0)


@pytest.mark.parametrize(("head", "kernels"), [("MEAN", k) for k in EXACT] + [("AVERAGE_POOL_2D", k) for k in ALL])
def test_every_tensor_of_a_network_is_that_of_litert(head: str, kernels: str, tmp_path: Path) -> None:
    """Codes of every layer of a small network, with a dense layer behind a mean or an average and a reshape."""
    lite, x, y = network(head)
    model, wrong = differing(lite.save(tmp_path / "net.tflite", [x], [y]), kernels)
    assert len(wrong) >= 8
    assert set(wrong.values()) == {0}, wrong
    assert kernels in model.provenance["requantisation"]
    assert model.provenance["output"].endswith("then SOFTMAX") == (head != "MEAN")
    found = {type(node.op) for node in model.graph.nodes}
    assert {Pad, Threshold, Rescale} <= found


def test_a_network_goes_through_every_form(tmp_path: Path) -> None:
    """Loops, C and the compiled engine give the taps of an imported model, whose file is read again as it was."""
    from fxsim.engines.c import run_c
    from fxsim.engines.compiled import instruction_sets, run_compiled
    from fxsim.engines.loops import run_loops

    lite, source, y = network()
    model = import_tflite(lite.save(tmp_path / "net.tflite", [source], [y]))
    fxsim.save(model, tmp_path / "m.safetensors")
    assert fxsim.load(tmp_path / "m.safetensors") == model
    x = np.random.default_rng(2).integers(-128, 128, (3, *model.graph.input_shape)).astype(np.int8)
    expected = fxsim.run(model, x, "all", engine="reference")
    found = {"loops": run_loops(model, x, model.graph.taps), "C": run_c(model, x, model.graph.taps)}
    found |= {isa.name: run_compiled(model, x, model.graph.taps, isa=isa.name) for isa in instruction_sets()}
    for form, taps in found.items():
        for tap, values in expected.items():
            np.testing.assert_array_equal(taps[tap], values, f"{form}, {tap}")


@pytest.mark.parametrize("kernels", ALL)
def test_codes_of_uint8_are_brought_to_int8(kernels: str, tmp_path: Path) -> None:
    """A QUANTIZE between codes of one scale rounds nothing, whatever the kernels."""
    lite = Lite()
    x = lite.tensor(IMAGE, 0.05, 131, "UINT8")
    y = lite.conv(lite.apply("QUANTIZE", [x], lite.tensor(IMAGE, 0.05, 3), "QuantizeOptions", 1), 4, y=(0.2, 1))
    _, wrong = differing(lite.save(tmp_path / "m.tflite", [x], [y]), kernels)
    assert list(wrong.values()) == [0, 0]


@pytest.mark.parametrize("ends", ["uint8", "float"])
def test_a_network_may_be_fed_otherwise(ends: str, tmp_path: Path) -> None:
    """Of uint8 its codes are fed, of floats the codes that the first QUANTIZE gives; floats at the end are left out."""
    lite, source, y = network(ends=ends)
    if ends == "float":
        result = lite.tensor((1, 10), 1.0, 0, "FLOAT32")
        lite.tensors[result].quantization = None
        y = lite.apply("DEQUANTIZE", [y], result, "DequantizeOptions", 2)
    path = lite.save(tmp_path / "net.tflite", [source], [y])
    model = import_tflite(path)
    number, shape = model.graph.input.number, model.graph.input_shape
    codes = np.random.default_rng(3).integers(number.low, number.high + 1, (6, *shape)).astype(number.dtype)
    scores = fxsim.run(model, codes)[model.graph.nodes[-1].name].reshape(6, 10)
    assert len(np.unique(scores)) > 9
    if ends == "uint8":
        (expected,) = executed(path.read_bytes(), codes, "reference").values()
        np.testing.assert_array_equal(scores, expected)
        return
    floats = ((codes.astype(np.float32) + 3) * np.float32(0.02)).astype(np.float32)
    (expected,) = executed(path.read_bytes(), floats, "reference").values()
    np.testing.assert_array_equal(((scores - np.int64(9)) * np.float64(np.float32(0.113))).astype(np.float32), expected)
    assert model.provenance["output"].endswith("then DEQUANTIZE")


def test_the_command_reads_a_model(tmp_path: Path) -> None:
    """`fxsim import` by what the file looks like, and with the kernels that are stated."""
    from click.testing import CliRunner

    from fxsim.cli.import_model import command

    lite, x, y = network()
    path = lite.save(tmp_path / "net.tflite", [x], [y])
    for more, kernels in (((), "reference"), (("--from", "tflite", "--kernels", "optimised"), "optimised")):
        result = CliRunner().invoke(command, [str(path), "-o", str(tmp_path / "m.safetensors"), *more])
        assert result.exit_code == 0, result.output
        assert fxsim.load(tmp_path / "m.safetensors").provenance["kernels"] == kernels


# --- What is refused -------------------------------------------------------------------------------------------------


def refused_lite() -> dict[str, tuple[Callable[[Lite, int], int], str]]:
    """Models that are not taken: what is done to an image, and the message."""

    def unknown(lite: Lite, x: int) -> int:
        y = lite.apply("LOGISTIC", [x], lite.tensor(IMAGE, 1 / 256, -128), version=1)
        z = lite.conv(y, 4)
        return lite.apply("TANH", [z], lite.tensor(lite.shape(z), 1 / 128, 0), version=1)

    def floats(lite: Lite, x: int) -> int:
        return lite.apply("MAX_POOL_2D", [x], lite.tensor((1, 7, 6, 8), 1.0, 0, "FLOAT32"), "Pool2DOptions", 1,
                          strideH=1, strideW=1, filterHeight=1, filterWidth=1, padding=1)  # fmt: skip

    def settings(lite: Lite, x: int) -> int:
        return lite.apply("MAX_POOL_2D", [x], lite.tensor(IMAGE, 0.05, 3), "", 1)

    def moved(lite: Lite, x: int) -> int:
        y = lite.conv(x, 4)
        lite.tensors[lite.operators[-1].inputs[1]].quantization.zeroPoint = [1] * 4
        return y

    def shaped(lite: Lite, x: int) -> int:
        y = lite.conv(x, 4)
        lite.tensors[y].shape = [1, 6, 6, 4]
        return y

    def followed(lite: Lite, x: int) -> int:
        row = lite.dense(x, 6)
        y = lite.apply("SOFTMAX", [row], lite.tensor((1, 6), 1 / 256, -128), "SoftmaxOptions", 2, beta=1.0)
        return lite.dense(y, 3)

    def biased(lite: Lite, x: int) -> int:
        y = lite.conv(x, 4)
        scales = lite.tensors[lite.operators[-1].inputs[2]].quantization
        scales.scale = [2 * scale for scale in scales.scale]
        return y

    def sparse(lite: Lite, x: int) -> int:
        y = lite.conv(x, 4)
        lite.tensors[lite.operators[-1].inputs[1]].sparsity = lite.schema.SparsityParametersT()
        return y

    def weights(**changed: Any) -> Callable[[Lite, int], int]:
        def made(lite: Lite, x: int) -> int:
            y = lite.conv(x, 4)
            for name, value in changed.items():
                setattr(lite.tensors[lite.operators[-1].inputs[1]].quantization, name, value)
            return y

        return made

    def multiplied(lite: Lite, x: int) -> int:
        y = lite.conv(x, 0, depthwise=1)
        lite.operators[-1].builtinOptions.depthMultiplier = 3
        return y

    def newer(lite: Lite, x: int) -> int:
        y = lite.conv(x, 4)
        lite.codes[-1].version = 9
        return y

    def other_settings(lite: Lite, x: int) -> int:
        y = added(lite, x, (0.031, -9), (0.07, 5))
        lite.operators[-1].builtinOptionsType = lite.schema.BuiltinOptions.ConcatenationOptions
        lite.operators[-1].builtinOptions = lite.schema.ConcatenationOptionsT()
        lite.operators[-1].builtinOptions.fusedActivationFunction = 1
        return y

    def biases(lite: Lite, x: int) -> int:
        y = lite.conv(x, 4, per_axis=False)
        scales = lite.tensors[lite.operators[-1].inputs[2]].quantization
        scales.scale, scales.zeroPoint = list(scales.scale) * 4, [0] * 4
        return y

    def reshaped(lite: Lite, x: int) -> int:
        sizes = lite.tensor((4,), values=np.array([1, 6, 7, 8], np.int32), kind="INT32")
        return lite.conv(lite.apply("RESHAPE", [x, sizes], lite.tensor(IMAGE, 0.05, 3), "ReshapeOptions", 1), 3)

    def beyond(lite: Lite, x: int) -> int:
        return lite.conv(x, 4, (1, 1), y=(1e-12, 0))

    return {
        "operators that are not known": (
            unknown, r"operator 0 \(LOGISTIC\): there is no such operator here; needs one of the contract.*"
        ),
        "floats": (floats, "operator 0 .MAX_POOL_2D.*its result is FLOAT32, expected INT8"),
        "no settings": (settings, "its settings are missing, of which 'filter_h' is needed"),
        "zero points of weights": (moved, "its weights have zero points, expected 0"),
        "another shape": (shaped, r"its result has the shape \(1, 6, 6, 4\) in the file, expected \(1, 7, 6, 4\)"),
        "what only ends": (followed, r"operator 2 \(FULLY_CONNECTED\).*it follows SOFTMAX, which only ends a model"),
        "a bias of another scale": (biased, "the scale of its bias is not that of its sums, input times weights"),
        "sparse weights": (sparse, "has sparsity, which is not read"),
        "scales along another axis": (
            weights(quantizedDimension=3), "the scales of its weights are along axis 3, expected 0, that of outputs"
        ),
        "another number of outputs": (multiplied, r"\(1, 3, 3, 8\), its input has 8 channels, each of 3 outputs"),
        "a version that is not known": (newer, r"operator 0 \(CONV_2D\).*it is of version 9, expected 1 to 8"),
        "settings of another": (other_settings, "its settings are ConcatenationOptions, expected AddOptions"),
        "more scales of the bias": (biases, "its bias has 4 scales, expected 1 as its weights"),
        "a shape stated otherwise": (
            reshaped, r"its result has the shape \(1, 7, 6, 8\) in the file, expected \[1, 6, 7, 8\]"
        ),
        "images exchanged": (
            lambda m, x: transposed(m, x, 1, 0, 2, 3), r"its order is \[1, 0, 2, 3\], expected 0 and then the other 3",
        ),
        "an axis twice": (
            lambda m, x: transposed(m, x, 0, 1, 1, 3), r"its order is \[0, 1, 1, 3\], expected 0 and then the other 3",
        ),
        "a factor too great": (beyond, "its factor is so great that sums leave the kernels' 32 bits"),
        "windows beyond the image": (
            lambda m, x: m.pool("AVERAGE", x, (3, 3), (1, 1), True), r"operator 0 \(AVERAGE_POOL_2D\).*needs VALID",
        ),
    }  # fmt: skip


@pytest.mark.parametrize("case", refused_lite())
def test_what_is_not_taken_is_named(case: str, tmp_path: Path) -> None:
    """One error that names the operator, its settings and what was expected."""
    make, message = refused_lite()[case]
    lite = Lite()
    x = lite.tensor(IMAGE, 0.05, 3)
    with pytest.raises(FileError, match=message):
        import_tflite(lite.save(tmp_path / "m.tflite", [x], [make(lite, x)]))


def test_what_xnnpack_does_not_take_is_named(tmp_path: Path) -> None:
    """A factor from 256 on, which its own kernels refuse."""
    for scale, taken in ((4e-6, True), (3.9e-6, False)):
        lite = Lite()
        x = lite.tensor(IMAGE, 0.05, 3)
        y = lite.conv(x, 4, (1, 1), y=(scale, 0), scales=np.full(4, 0.02, np.float32))
        path = lite.save(tmp_path / "m.tflite", [x], [y])
        if taken:
            assert set(differing(path, "xnnpack")[1].values()) == {0}
        else:
            with pytest.raises(FileError, match=r"its factor is 256\.41, expected less than 256 of XNNPACK"):
                import_tflite(path, "xnnpack")
            with pytest.raises(RuntimeError, match="XNNPACK"):
                executed(path.read_bytes(), np.zeros((1, *IMAGE[1:]), np.int8), "xnnpack")


def test_a_setting_that_is_not_known_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A field of a table of settings that a newer schema has: here the activation, to one that lacks it."""
    monkeypatch.setitem(read._TABLES, "Pool2DOptions", read._TABLES["Pool2DOptions"][:5])
    lite = Lite()
    x = lite.tensor(IMAGE, 0.05, 3)
    y = lite.pool("MAX", x, (2, 2), (2, 2), activation="RELU6")
    with pytest.raises(FileError, match="a Pool2DOptions has a setting in field 5, which is not known"):
        import_tflite(lite.save(tmp_path / "m.tflite", [x], [y]))


def test_all_operators_that_are_not_taken_are_named_at_once(tmp_path: Path) -> None:
    """Two that do not follow one another are both in the message."""
    lite = Lite()
    x = lite.tensor(IMAGE, 0.05, 3)
    a = lite.apply("LOGISTIC", [x], lite.tensor(IMAGE, 1 / 256, -128), version=1)
    b = lite.apply("HARD_SWISH", [x], lite.tensor(IMAGE, 0.05, 3), version=1)
    y = lite.apply("ADD", [a, b], lite.tensor(IMAGE, 0.1, 0), "AddOptions", 2)
    with pytest.raises(
        FileError, match=r"2 operators are not taken: operator 0 \(LOGISTIC\).*operator 1 \(HARD_SWISH\)"
    ):
        import_tflite(lite.save(tmp_path / "m.tflite", [x], [y]))


# --- Files that nobody vouches for -----------------------------------------------------------------------------------


def test_what_is_read_is_what_the_library_reads(tmp_path: Path) -> None:
    """Tensors, scales, contents, operators and their settings, against the accessors of the package `tflite`."""
    import tflite

    lite, x, y = network("AVERAGE_POOL_2D")
    path = lite.save(tmp_path / "m.tflite", [x], [y])
    graph, data = read_tflite(path)
    model = tflite.Model.GetRootAs(data)
    own = model.Subgraphs(0)
    assert len(graph.tensors) == own.TensorsLength()
    assert (list(graph.inputs), list(graph.outputs)) == (own.InputsAsNumpy().tolist(), own.OutputsAsNumpy().tolist())
    for i, tensor in enumerate(graph.tensors):
        there = own.Tensors(i)
        assert tensor.name == there.Name().decode()
        assert list(tensor.shape) == there.ShapeAsNumpy().tolist()
        assert getattr(tflite.TensorType, tensor.kind) == there.Type()
        np.testing.assert_array_equal(tensor.scale, there.Quantization().ScaleAsNumpy())
        np.testing.assert_array_equal(tensor.zero, there.Quantization().ZeroPointAsNumpy())
        assert tensor.axis == there.Quantization().QuantizedDimension()
        content = model.Buffers(there.Buffer()).DataAsNumpy()
        if tensor.content is None:
            assert isinstance(content, int)
        else:
            assert tensor.content.tobytes() == content.tobytes()
    for op in graph.operators:
        there = own.Operators(op.at)
        code = model.OperatorCodes(there.OpcodeIndex())
        assert getattr(tflite.BuiltinOperator, op.kind) == code.BuiltinCode()
        assert list(op.inputs) == there.InputsAsNumpy().tolist()
        if op.kind == "CONV_2D":
            options = tflite.Conv2DOptions()
            options.Init(there.BuiltinOptions().Bytes, there.BuiltinOptions().Pos)
            assert op.settings == {
                "padding": options.Padding(), "stride_w": options.StrideW(), "stride_h": options.StrideH(),
                "activation": options.FusedActivationFunction(), "dilation_w": options.DilationWFactor(),
                "dilation_h": options.DilationHFactor(), "bias_type": options.QuantizedBiasType(),
            }  # fmt: skip


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    """Words of a file changed at random, and files cut short: a model, or one error of the file, and nothing else."""
    lite = Lite()
    x = lite.tensor((1, 3, 3, 2), 0.05, 3)
    y = lite.dense(lite.conv(x, 2, y=(0.2, 1)), 3)
    data = bytearray(lite.data([x], [y]))
    path, rng, refused = tmp_path / "m.tflite", np.random.default_rng(11), []
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(0, len(damaged) // 4)) * 4
            value = int(rng.choice(np.array([0, 1, 4, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 0x80000000, len(data)])))
            struct.pack_into("<I", damaged, at, value if rng.random() < 0.7 else int(rng.integers(0, 2**32)))
        if rng.random() < 0.1:
            damaged = damaged[: int(rng.integers(0, len(damaged)))]
        path.write_bytes(damaged)
        try:
            assert isinstance(import_tflite(path), Model)
        except FileError as error:
            refused.append(str(error))
    assert len(refused) > 50
    assert all(text.startswith(f"{path}: ") and len(text) < 4000 for text in refused)


def test_files_that_are_none_are_refused(tmp_path: Path) -> None:
    """No file, a folder, another format, several graphs, tables without end."""
    lite = Lite()
    x = lite.tensor((1, 3, 3, 2), 0.05, 3)
    data = lite.data([x], [lite.conv(x, 2)])
    with pytest.raises(FileError, match="there is no such file"):
        import_tflite(tmp_path / "none.tflite")
    with pytest.raises(FileError, match="is not a regular file"):
        import_tflite(tmp_path)
    path = tmp_path / "m.tflite"
    for content, message in (
        (b"", "there is no 'TFL3' in it"), (data[:4] + b"ONNX" + data[8:], "there is no 'TFL3' in it"),
        (b"\xff\xff\xff\x7fTFL3", "is damaged: an offset leads to"), (data[:40], "is damaged"),
    ):  # fmt: skip
        path.write_bytes(content)
        with pytest.raises(FileError, match=message):
            import_tflite(path)
    path.write_bytes(data)
    with pytest.raises(FileError, match="the kernels are 'fast', expected reference or optimised or xnnpack"):
        import_tflite(path, "fast")
