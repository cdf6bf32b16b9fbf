"""LiteRT on the file that a model was imported from: every tensor of codes. Needs the extra `tflite`."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fxsim.contract.arithmetic import Integers
from fxsim.errors import ModelError, ToolError
from fxsim.formats.importers import Execute
from fxsim.formats.text import short
from fxsim.formats.tflite.importer import read_model
from fxsim.formats.tflite.read import missing
from fxsim.formats.tflite.rules import Kernels
from fxsim.graph import INPUT, Model

_RESOLVERS = {
    Kernels.REFERENCE: "BUILTIN_REF",
    Kernels.OPTIMISED: "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    Kernels.XNNPACK: "BUILTIN",
}
"""The interpreter's name of each set of kernels."""


def open_litert(path: Path, model: Model) -> tuple[tuple[str, ...], Execute]:
    """The taps of a model that a file has as tensors, and a function that has LiteRT execute the file.

    By the kernels whose rounding the model has, on one thread, image by image. The function is given images as the
    model takes them, and gives each tap as int64 [image, ...].

    ToolError where the extra is not installed, or LiteRT refuses the file; ModelError where the file gives another
    model; FileError as the importer's.
    """
    reason = missing()
    if reason is not None:
        raise ToolError(reason)
    kernels = model.provenance.get("kernels", Kernels.REFERENCE)
    read = read_model(path, kernels)
    if read.model.graph != model.graph:
        raise ModelError(f"{path}: is imported to another model than '{short(model.name)}'")
    fed = next(number for number, stream in read.streams.items() if stream.tap == INPUT)
    (source,) = read.lite.inputs
    start = read.streams[fed]
    floats = read.lite.tensors[source].kind == "FLOAT32"
    tensors: dict[str, int] = {}
    for number, stream in read.streams.items():
        if stream.tap != INPUT and not stream.ended:
            tensors.setdefault(stream.tap, number)
    with _told(path):
        one = _interpreter(read.data, Kernels(kernels))

    def compute(x: Integers) -> dict[str, Integers]:
        found = {tap: np.empty((len(x), *model.graph.shapes[tap]), np.int64) for tap in tensors}
        for image, codes in enumerate(x):
            fitting = codes.reshape(read.lite.tensors[source].shape)
            # Floats that the first QUANTIZE brings to these codes.
            value = ((fitting.astype(np.float32) - start.zero) * start.scale).astype(np.float32) if floats else fitting
            with _told(path):
                one.set_tensor(source, value)
                one.invoke()
                values = {number: one.get_tensor(number) for number in (fed, *tensors.values())}
            if (values[fed].reshape(-1) != codes.reshape(-1)).any():
                raise ToolError(f"{path}: LiteRT's first QUANTIZE does not give the codes of image {image}")
            for tap, number in tensors.items():
                found[tap][image] = values[number].reshape(model.graph.shapes[tap])
        return found

    return tuple(tap for tap in model.graph.taps if tap in tensors), compute


def _interpreter(data: bytes, kernels: Kernels) -> Any:
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that keeping all tensors takes memory
        one = Interpreter(
            model_content=data,
            experimental_op_resolver_type=getattr(OpResolverType, _RESOLVERS[kernels]),
            num_threads=1,
            experimental_preserve_all_tensors=True,
        )
    one.allocate_tensors()
    return one


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """ToolError for whatever LiteRT raises, whose errors are of no one class."""
    try:
        yield
    except Exception as error:
        reason = short(" ".join(str(error).split()), 300)
        raise ToolError(f"{path}: LiteRT does not execute it: {reason}") from error
