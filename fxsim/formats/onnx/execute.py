"""ONNX Runtime executes a graph: one that was exported, or a part of a file that others wrote.

It is an implementation of the contract that shares no code with the engines.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Int8
from fxsim.errors import ToolError
from fxsim.formats.onnx.extra import require
from fxsim.formats.onnx.read import OnnxGraph
from fxsim.formats.text import short
from fxsim.graph import INPUT

Array = npt.NDArray[Any]


def open_onnx(data: bytes, threads: int = 1, optimise: bool = True) -> Callable[[Int8], dict[str, Int8]]:
    """A function that computes the outputs of an ONNX file by name, for int8 [image, token, value], at least one image.

    On the CPU, operators one after the other, each on `threads` threads. `optimise`: with ONNX Runtime's rewriting of
    the graph, as it is by default everywhere, or the graph just as it is written. ToolError where the extra is not
    installed.
    """
    session = _session(data, threads, optimise)
    names = [output.name for output in session.get_outputs()]

    def compute(x: Int8) -> dict[str, Int8]:
        return dict(zip(names, session.run(names, {INPUT: x}), strict=True))

    return compute


def open_part(
    graph: OnnxGraph, data: bytes, fed: tuple[str, tuple[int, ...], npt.DTypeLike], wanted: Sequence[str],
    unsigned: bool = False,
) -> Callable[[Array], list[Array]]:  # fmt: skip
    """A function that computes tensors of a file that was read, from the tensor `fed` on: name, shape and type.

    What `wanted` does not need is left out; constants are as they were read. `unsigned`: all codes are uint8, so that
    weights of int8 may be made uint8, too, where processors without VNNI saturate sums of their products otherwise.
    ToolError where the extra is not installed, or ONNX Runtime refuses the graph.
    """
    require("onnx", "onnxruntime")
    import onnx
    from onnx import helper, numpy_helper

    file = onnx.ModelProto.FromString(data)
    name, shape, kind = fed
    needed, nodes = set(wanted), []
    for node in reversed(file.graph.node):
        if needed & set(node.output) and name not in node.output:
            nodes.append(node)
            needed |= set(node.input)
    part = helper.make_graph(
        nodes[::-1],
        "part",
        [helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(kind)), shape)],
        [helper.make_empty_tensor_value_info(tensor) for tensor in wanted],
        [numpy_helper.from_array(array, known) for known, array in graph.constants.items() if known in needed],
    )
    made = helper.make_model(part, opset_imports=file.opset_import, ir_version=file.ir_version)
    # By default operators on codes of int8 are joined on x86 only where a rewriting to uint8 reaches them.
    entries = {"session.qdqisint8allowed": "1", **({"session.x64quantprecision": "1"} if unsigned else {})}
    with _told():
        session = _session(made.SerializeToString(), 1, True, entries)

    def compute(values: Array) -> list[Array]:
        with _told():
            found: list[Array] = session.run(list(wanted), {name: np.ascontiguousarray(values)})
        return found

    return compute


@contextmanager
def _told() -> Iterator[None]:
    """ToolError for whatever ONNX Runtime raises, whose errors are of no one class."""
    try:
        yield
    except Exception as error:
        raise ToolError(f"ONNX Runtime does not execute it: {short(str(error).partition(chr(10))[0], 300)}") from error


def _session(data: bytes, threads: int, optimise: bool, entries: Mapping[str, str] | None = None) -> Any:
    """A session on the CPU; see `open_onnx`. `entries`: further settings by ONNX Runtime's names."""
    require("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    # Threads that wait leave the processor to others.
    for key, value in {"session.intra_op.allow_spinning": "0", **(entries or {})}.items():
        options.add_session_config_entry(key, value)
    options.log_severity_level = 3  # errors only
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
