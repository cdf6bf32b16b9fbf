"""TensorFlow Lite models as tests make them: written with LiteRT's own schema, and executed by LiteRT."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

KERNELS = {
    "reference": "BUILTIN_REF", "optimised": "BUILTIN_WITHOUT_DEFAULT_DELEGATES", "xnnpack": "BUILTIN",
}  # fmt: skip
"""The interpreter's sets of kernels, by the importer's name of their rounding."""


@dataclass
class Lite:
    """A model while it is put together: tensors by number, operators in order."""

    tensors: list[Any] = field(default_factory=list)
    buffers: list[Any] = field(default_factory=list)
    operators: list[Any] = field(default_factory=list)
    codes: list[Any] = field(default_factory=list)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(5))

    def __post_init__(self) -> None:
        from ai_edge_litert import schema_py_generated as schema

        self.schema: Any = schema
        self.buffers.append(schema.BufferT())

    def tensor(
        self, shape: Sequence[int], scale: float | Array = 0.1, zero: int = 0, kind: str = "INT8",
        values: Array | None = None, axis: int = 0,
    ) -> int:  # fmt: skip
        """A tensor's number; a constant where values are given."""
        made = self.schema.TensorT()
        made.shape, made.type = list(shape), getattr(self.schema.TensorType, kind)
        made.name, made.buffer = f"t{len(self.tensors)}".encode(), 0
        if values is not None:
            content = self.schema.BufferT()
            content.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
            self.buffers.append(content)
            made.buffer = len(self.buffers) - 1
        quantisation = self.schema.QuantizationParametersT()
        quantisation.scale = np.atleast_1d(np.float32(scale)).tolist()
        quantisation.zeroPoint = [zero] * len(quantisation.scale)
        quantisation.quantizedDimension = axis
        made.quantization = quantisation
        self.tensors.append(made)
        return len(self.tensors) - 1

    def apply(
        self, kind: str, inputs: Sequence[int], output: int, options: str = "", version: int = 2, **settings: Any
    ) -> int:
        """An operator's result: `options` is the name of its table of settings."""
        code = self.schema.OperatorCodeT()
        number = getattr(self.schema.BuiltinOperator, kind)
        code.builtinCode, code.deprecatedBuiltinCode, code.version = number, min(number, 127), version
        self.codes.append(code)
        made = self.schema.OperatorT()
        made.opcodeIndex, made.inputs, made.outputs = len(self.codes) - 1, list(inputs), [output]
        if options:
            made.builtinOptionsType = getattr(self.schema.BuiltinOptions, options)
            made.builtinOptions = getattr(self.schema, f"{options}T")()
            for name, value in settings.items():
                assert hasattr(made.builtinOptions, name), name
                setattr(made.builtinOptions, name, value)
        self.operators.append(made)
        return output

    def data(self, inputs: Sequence[int], outputs: Sequence[int]) -> bytes:
        """The file."""
        import flatbuffers

        model, graph = self.schema.ModelT(), self.schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = list(inputs), list(outputs)
        model.version, model.subgraphs, model.operatorCodes, model.buffers = 3, [graph], self.codes, self.buffers
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())

    def save(self, path: Path, inputs: Sequence[int], outputs: Sequence[int]) -> Path:
        """The file, written."""
        path.write_bytes(self.data(inputs, outputs))
        return path

    # --- Operators with random parameters ----------------------------------------------------------------------------

    def scales(self, count: int, low: float = 0.002, high: float = 0.02) -> Array:
        """Scales of weights, one for each output."""
        return self.rng.uniform(low, high, count).astype(np.float32)

    def shape(self, tensor: int) -> list[int]:
        """The shape of a tensor."""
        return list(self.tensors[tensor].shape)

    def bias(self, count: int, x: int, scales: Array) -> int:
        """A bias at the scale of the sums."""
        step = np.float32(self.tensors[x].quantization.scale[0]) * scales
        return self.tensor([count], step, 0, "INT32", self.rng.integers(-3000, 3000, count).astype(np.int32))

    def conv(
        self, x: int, outputs: int, kernel: tuple[int, int] = (3, 3), stride: tuple[int, int] = (1, 1),
        same: bool = True, y: tuple[float, int] = (0.1, 0), activation: str = "NONE", depthwise: int = 0,
        dilation: tuple[int, int] = (1, 1), per_axis: bool = True, scales: Array | None = None,
    ) -> int:  # fmt: skip
        """A convolution, or a depthwise one of so many outputs a channel."""
        batch, rows, columns, channels = self.shape(x)
        outputs = channels * depthwise if depthwise else outputs
        scales = self.scales(outputs if per_axis else 1) if scales is None else scales
        shape = (1, *kernel, outputs) if depthwise else (outputs, *kernel, channels)
        weight = self.tensor(
            shape, scales, 0, "INT8", self.rng.integers(-127, 128, shape).astype(np.int8), 3 if depthwise else 0
        )
        spans = [d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True)]
        places = [
            -(-size // step) if same else (size - span) // step + 1
            for size, step, span in zip((rows, columns), stride, spans, strict=True)
        ]
        result = self.tensor((batch, *places, outputs), *y)
        more = {"depthMultiplier": depthwise} if depthwise else {}
        return self.apply(
            "DEPTHWISE_CONV_2D" if depthwise else "CONV_2D",
            [x, weight, self.bias(outputs, x, scales)], result,
            "DepthwiseConv2DOptions" if depthwise else "Conv2DOptions", 3,
            padding=getattr(self.schema.Padding, "SAME" if same else "VALID"), strideH=stride[0], strideW=stride[1],
            dilationHFactor=dilation[0], dilationWFactor=dilation[1],
            fusedActivationFunction=getattr(self.schema.ActivationFunctionType, activation), **more,
        )  # fmt: skip

    def dense(self, x: int, outputs: int, y: tuple[float, int] = (0.1, 0), activation: str = "NONE",
              per_axis: bool = False, biased: bool = True, scales: Array | None = None) -> int:  # fmt: skip
        """A fully connected."""
        size = int(np.prod(self.shape(x)[1:]))
        scales = self.scales(outputs if per_axis else 1) if scales is None else scales
        weight = self.rng.integers(-127, 128, (outputs, size)).astype(np.int8)
        number = self.tensor((outputs, size), scales, 0, "INT8", weight)
        result = self.tensor((self.shape(x)[0], outputs), *y)
        return self.apply(
            "FULLY_CONNECTED", [x, number, self.bias(outputs, x, scales) if biased else -1], result,
            "FullyConnectedOptions", 4,
            fusedActivationFunction=getattr(self.schema.ActivationFunctionType, activation),
        )  # fmt: skip

    def pool(self, kind: str, x: int, kernel: tuple[int, int], stride: tuple[int, int], same: bool = False,
             activation: str = "NONE") -> int:  # fmt: skip
        """An average or the greatest of windows."""
        batch, rows, columns, channels = self.shape(x)
        places = [
            -(-size // step) if same else (size - span) // step + 1
            for size, step, span in zip((rows, columns), stride, kernel, strict=True)
        ]
        own = self.tensors[x].quantization
        result = self.tensor((batch, *places, channels), own.scale[0], own.zeroPoint[0])
        return self.apply(
            f"{kind}_POOL_2D", [x], result, "Pool2DOptions", 2,
            padding=getattr(self.schema.Padding, "SAME" if same else "VALID"), strideH=stride[0], strideW=stride[1],
            filterHeight=kernel[0], filterWidth=kernel[1],
            fusedActivationFunction=getattr(self.schema.ActivationFunctionType, activation),
        )  # fmt: skip


def executed(data: bytes, x: Array, kernels: str, names: Sequence[str] = ()) -> dict[str, Array]:
    """Every named tensor of each image, by LiteRT; the outputs where no name is given."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping all tensors takes memory
        kind = getattr(OpResolverType, KERNELS[kernels])
        one = Interpreter(
            model_content=data,
            experimental_op_resolver_type=kind,
            num_threads=1,
            experimental_preserve_all_tensors=bool(names),
        )
    one.allocate_tensors()
    source = one.get_input_details()[0]
    details = {d["name"]: d["index"] for d in (one.get_tensor_details() if names else one.get_output_details())}
    wanted = names or list(details)
    found: dict[str, list[Array]] = {name: [] for name in wanted}
    for image in x:
        one.set_tensor(source["index"], image.reshape(source["shape"]))
        one.invoke()
        for name in wanted:
            found[name].append(one.get_tensor(details[name]).copy()[0])
    return {name: np.stack(values) for name, values in found.items()}
