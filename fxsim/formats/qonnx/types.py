"""Types of an ONNX file's tensors of whole numbers: codes of 8 bits or sums of 32, on which few operators compute."""

import numpy as np
import numpy.typing as npt

from fxsim.formats.onnx.read import OnnxGraph, OnnxNode
from fxsim.formats.qonnx.values import NotTakenError
from fxsim.formats.text import short

_INT8, _UINT8, _INT32 = np.dtype(np.int8), np.dtype(np.uint8), np.dtype(np.int32)

_MOVES = {
    "MaxPool", "Reshape", "Flatten", "Transpose", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Pad",
}  # fmt: skip
"""Operators whose results are of the type of what they read."""

_ENDS = {"TopK", "ArgMax", "Cast", "Shape"}
"""Operators that read whole numbers and give others, or floats."""

_ZERO_OF_RESULT = {
    "QuantizeLinear": 2, "QLinearConv": 7, "QLinearMatMul": 7, "QLinearAdd": 7, "QGemm": 8, "QLinearConcat": 1,
    "QLinearAveragePool": 4, "QLinearGlobalAveragePool": 4, "QLinearLeakyRelu": 4, "QLinearSigmoid": 4,
}  # fmt: skip
"""From an operator that gives codes: the input that is the zero point of its result, whose type they have."""

_CODES_OF = {
    "DequantizeLinear": (0,), "ConvInteger": (0,), "MatMulInteger": (0,), "QLinearAdd": (0, 3), "QLinearConv": (0,),
    "QLinearMatMul": (0,), "QGemm": (0,), "QLinearAveragePool": (0,), "QLinearGlobalAveragePool": (0,),
    "QLinearLeakyRelu": (0,), "QLinearSigmoid": (0,),
}  # fmt: skip
"""From an operator that reads codes: those inputs; the zero point of each comes two inputs behind it."""


def code_types(graph: OnnxGraph) -> dict[str, npt.DTypeLike]:
    """The type of each tensor of whole numbers that is computed: int8, uint8, or int32 of sums."""
    found: dict[str, npt.DTypeLike] = {}
    for node in graph.nodes:
        if not node.outputs:
            continue
        if node.op in ("ConvInteger", "MatMulInteger"):
            found[node.outputs[0]] = _INT32
        elif node.op in _ZERO_OF_RESULT:
            zero = graph.constants.get(_input(node, _ZERO_OF_RESULT[node.op]))
            # QGemm without a scale of its result gives floats, which is refused.
            found[node.outputs[0]] = _UINT8 if zero is None else zero.dtype
        elif node.op in _MOVES and _input(node, 0) in found:
            found[node.outputs[0]] = found[node.inputs[0]]
    return found


def check_types(node: OnnxNode, graph: OnnxGraph, types: dict[str, npt.DTypeLike], fed: str) -> None:
    """NotTakenError where an operator computes with codes as if they were values, or with values as if they were codes.

    Or with codes of another type than that of the zero point that it states. `fed`: the tensor that the model is fed,
    of which the file need not know that it is codes.
    """
    reads = tuple(range(2, len(node.inputs), 3)) if node.op == "QLinearConcat" else _CODES_OF.get(node.op, ())
    for at in reads:
        name = _input(node, at)
        if name in graph.constants or name == fed or not name:
            continue
        if name not in types:
            raise NotTakenError(f"it reads '{short(name)}', which is no tensor of codes, expected one")
        zero = graph.constants.get(_input(node, at + 2))
        if zero is not None and zero.dtype != types[name]:
            raise NotTakenError(f"it reads '{short(name)}', which is {types[name]}; its zero point is {zero.dtype}")
        if zero is None and node.op != "DequantizeLinear" and types[name] == _INT32:
            raise NotTakenError(f"it reads '{short(name)}', which is {types[name]}, expected codes of 8 bits")
    if reads or node.op in _MOVES or node.op in _ENDS:
        return
    for name in node.inputs:
        if name in types:
            raise NotTakenError(f"it computes with '{short(name)}', which is {types[name]}: needs a DequantizeLinear")


def _input(node: OnnxNode, at: int) -> str:
    return node.inputs[at] if at < len(node.inputs) else ""
