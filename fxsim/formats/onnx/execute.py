"""ONNX Runtime executes an exported graph: an implementation of the contract that shares no code with the engines."""

from collections.abc import Callable

from fxsim.contract.arithmetic import Int8
from fxsim.formats.onnx.extra import require
from fxsim.graph import INPUT


def open_onnx(data: bytes, threads: int = 1, optimise: bool = True) -> Callable[[Int8], dict[str, Int8]]:
    """A function that computes the outputs of an ONNX file by name, for int8 [image, token, value], at least one image.

    On the CPU, operators one after the other, each on `threads` threads. `optimise`: with ONNX Runtime's rewriting of
    the graph, as it is by default everywhere, or the graph just as it is written. ToolError where the extra is not
    installed.
    """
    require("onnxruntime")
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True
    # Threads that wait leave the processor to others.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only
    level = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]

    def compute(x: Int8) -> dict[str, Int8]:
        return dict(zip(names, session.run(names, {INPUT: x}), strict=True))

    return compute
