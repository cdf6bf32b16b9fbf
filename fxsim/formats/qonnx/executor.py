"""QONNX's own executor: what its project computes of a file, as integers of the model that was made of it.

Needs the extra `qonnx`. The executor computes in float32, node after node, with functions of its own for quantisers and
ONNX Runtime for the rest.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Integers
from fxsim.errors import FileError, ToolError
from fxsim.formats.onnx import IR_VERSION
from fxsim.formats.qonnx.importer import DOMAINS, Read
from fxsim.formats.qonnx.tensors import read_again, scales_of, tensors_of
from fxsim.formats.qonnx.values import Flow
from fxsim.formats.text import short
from fxsim.graph import Model

Floats = npt.NDArray[np.float64]

WHOLE = 0.01
"""A value of the executor this close to a whole number of its scale is that number: float32 sums are not exact."""


def open_qonnx(path: Path, model: Model) -> tuple[tuple[str, ...], Callable[[Integers], dict[str, Floats]]]:
    """The taps of a model that a QONNX file has as tensors, and a function that executes the file on images.

    `model` must be what the file is imported to; it says what is fed. The function is given images as the model takes
    them, and gives each tap as float64 [image, ...]: (value - offset) / scale, where that lies within 1/100 of a whole
    number that number, else as it is.

    ToolError where the extra is not installed, or the executor refuses the file; ModelError where the file gives
    another model; FileError as the importer's, and for operators of a domain that is not QONNX's.
    """
    if find_spec("qonnx") is None:
        raise ToolError("the extra 'qonnx' is not installed: there is no qonnx here")
    read, name, flow = read_again(path, model)
    # Of another domain the executor would import whatever module has its name.
    for node in read.onnx.nodes:
        if node.domain not in DOMAINS:
            raise FileError(f"{path}: {node.place} is of the domain '{short(node.domain)}', which is not executed")
    tensors = dict(tensors_of(read))
    executor = _Executor(path, read, name, flow)

    def compute(x: Integers) -> dict[str, Floats]:
        found = {tap: np.empty((len(x), *model.graph.shapes[tap])) for tap in tensors}
        for image, codes in enumerate(x):
            values = executor.run(codes)
            for tap, (name, flow) in tensors.items():
                found[tap][image] = _integers(flow, values[name]).reshape(model.graph.shapes[tap])
        return found

    return tuple(tap for tap in model.graph.taps if tap in tensors), compute


def _integers(flow: Flow, values: npt.NDArray[Any]) -> Floats:
    """The integers that a tensor of the file stands for, in the order of the model's tensor."""
    if values.shape != flow.index.shape:
        raise ToolError(f"QONNX's executor gave a tensor of shape {values.shape}, expected {flow.index.shape}")
    scale, offset = scales_of(flow)
    exact = (values.astype(np.float64) - offset) / scale
    nearest = np.round(exact)
    codes = np.empty(flow.tensor.size)
    codes[flow.index.ravel()] = np.where(np.abs(exact - nearest) <= WHOLE, nearest, exact).ravel()
    return codes


class _Executor:
    """A file as QONNX's executor runs it, from the tensor `name` on, which is the model's input."""

    def __init__(self, path: Path, read: Read, name: str, flow: Flow) -> None:
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.transformation.infer_shapes import InferShapes

        self.path, self.name, self.flow = path, name, flow
        self.scale, self.offset = scales_of(flow)
        with self._told():
            wrapper = ModelWrapper(str(path))
            # It infers no shape behind a Reshape to a shape that is computed.
            for tensor, known in read.flows.items():
                if known.padding == (0, 0, 0, 0):
                    wrapper.set_tensor_shape(tensor, list(known.index.shape))
            self.wrapper = wrapper.transform(InferShapes())
            producer = self.wrapper.find_producer(name)
            if producer is not None:
                # What is fed is what it would give.
                self.wrapper.graph.node.remove(producer)

    def run(self, codes: Integers) -> Mapping[str, npt.NDArray[Any]]:
        """Every tensor of the file for the codes of one image."""
        from qonnx.core.onnx_exec import execute_onnx

        value = codes.reshape(-1)[self.flow.index] * self.scale + self.offset
        with self._told(), _known_to_onnx_runtime():
            found: Mapping[str, npt.NDArray[Any]] = execute_onnx(
                self.wrapper, {self.name: value.astype(np.float32)}, return_full_exec_context=True
            )
        return found

    @contextmanager
    def _told(self) -> Iterator[None]:
        """ToolError for whatever the executor raises, which has no errors of its own."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        except Exception as error:
            reason = short(str(error).partition("\n")[0])
            raise ToolError(
                f"{self.path}: QONNX's executor does not execute it: {type(error).__name__}: {reason}"
            ) from error


@contextmanager
def _known_to_onnx_runtime() -> Iterator[None]:
    """Let the executor make its graphs of one node in a version of the format that ONNX Runtime knows.

    It makes them in the newest that `onnx` can write, which an ONNX Runtime of the same day refuses.
    """
    from qonnx.core import onnx_exec

    made = onnx_exec.qonnx_make_model

    def make(*arguments: Any, **options: Any) -> Any:
        model = made(*arguments, **options)
        model.ir_version = IR_VERSION
        return model

    onnx_exec.qonnx_make_model = make
    try:
        yield
    finally:
        onnx_exec.qonnx_make_model = made
