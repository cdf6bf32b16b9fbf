#!/usr/bin/env python3
"""Writes golden/imported/: small 8-bit models of other formats, seeded, for the sign-off's checks of kind `runtime`.

The ONNX models are quantised by ONNX Runtime's own quantiser, with codes and weights of int8, whose sums every
processor computes exactly; the TensorFlow Lite model is written by the tests' writer. It needs the extras `onnx` and
`tflite`.
"""

import importlib.util
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

ROOT = Path(__file__).resolve().parent.parent
SEED = 1821
SHAPE = (3, 8, 8)


class Pictures(CalibrationDataReader):  # type: ignore[misc]  # it has no types
    """Random pictures, by which the quantiser finds ranges."""

    def __init__(self) -> None:
        """Eight pictures of the same seed."""
        rng = np.random.default_rng(SEED)
        self.left: Iterator[Any] = iter(rng.standard_normal((8, 1, *SHAPE)).astype(np.float32))

    def get_next(self) -> dict[str, Any] | None:
        """The next one, by the name of the input."""
        found = next(self.left, None)
        return None if found is None else {"x": found}


def float_model() -> Any:
    """A small float network: padded, grouped and strided convolutions, a residual path, windows, a mean, a product."""
    rng = np.random.default_rng(SEED)

    def floats(name: str, *shape: int) -> Any:
        scale = 1.5 / np.sqrt(np.prod(shape[1:])) if len(shape) > 1 else 0.2
        return numpy_helper.from_array((rng.standard_normal(shape) * scale).astype(np.float32), name)

    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w0", "b0"], ["c0"], pads=[1, 1, 1, 1]), node("Relu", ["c0"], ["r0"]),
        node("Conv", ["r0", "w1", "b1"], ["c1"], pads=[1, 0, 1, 2], group=4), node("Add", ["c1", "r0"], ["s"]),
        node("MaxPool", ["s"], ["p"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p", "w2"], ["c2"], strides=[2, 1]), node("Relu", ["c2"], ["r2"]),
        node("GlobalAveragePool", ["r2"], ["g"]), node("Flatten", ["g"], ["f"]),
        node("Gemm", ["f", "w3", "b3"], ["y"], transB=1),
    ]  # fmt: skip
    weights = [
        floats("w0", 4, 3, 3, 3), floats("b0", 4), floats("w1", 4, 1, 3, 3), floats("b1", 4), floats("w2", 6, 4, 2, 2),
        floats("w3", 5, 6), floats("b3", 5),
    ]  # fmt: skip
    ends = [
        helper.make_tensor_value_info("x", 1, ["n", *SHAPE]),
        helper.make_tensor_value_info("y", 1, ["n", 5]),
    ]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def write_onnx(path: Path, form: QuantFormat) -> None:
    """The network, quantised in a form, a scale for each output of a product."""
    with tempfile.TemporaryDirectory() as folder:
        floating = Path(folder) / "float.onnx"
        onnx.save(float_model(), floating)
        quantize_static(
            floating, path, Pictures(), quant_format=form, per_channel=True, activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
        )  # fmt: skip


def write_tflite(path: Path) -> None:
    """A network of the same layers."""
    spec = importlib.util.spec_from_file_location("tflite_models", ROOT / "tests" / "tflite_models.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    lite = module.Lite(rng=np.random.default_rng(SEED))
    x = lite.tensor((1, 8, 8, 3), 0.02, -3)
    a = lite.conv(x, 8, y=(0.0235294, -128), activation="RELU6")
    b = lite.conv(a, 0, depthwise=1, y=(0.0213, 5))
    c = lite.tensor(lite.shape(a), 0.0413, -17)
    lite.apply("ADD", [a, b], c, "AddOptions", 2)
    d = lite.conv(lite.pool("MAX", c, (2, 2), (2, 2)), 6, (2, 2), (2, 1), False, (0.061, -128), "RELU")
    e = lite.tensor((1, 6), 0.037, -128)
    axes = lite.tensor((2,), values=np.array([1, 2], np.int32), kind="INT32")
    lite.apply("MEAN", [d, axes], e, "ReducerOptions", 2, keepDims=False)
    lite.save(path, [x], [lite.dense(e, 5, (0.113, 9))])


def main() -> None:
    """All three."""
    folder = ROOT / "golden" / "imported"
    folder.mkdir(exist_ok=True)
    write_onnx(folder / "qdq.onnx", QuantFormat.QDQ)
    write_onnx(folder / "qoperator.onnx", QuantFormat.QOperator)
    write_tflite(folder / "small.tflite")


if __name__ == "__main__":
    main()
