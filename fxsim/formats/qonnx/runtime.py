"""ONNX Runtime on the file that a model was imported from: every tensor of codes, as whole numbers of the model.

Needs the extra `onnx`. Whatever lies between codes, sums among them, is in floats there, or joined with what follows.
"""

from pathlib import Path

import numpy as np

from fxsim.contract.arithmetic import Integers
from fxsim.errors import ToolError
from fxsim.formats.importers import Execute
from fxsim.formats.onnx.execute import open_part
from fxsim.formats.qonnx.tensors import read_again, scales_of, tensors_of
from fxsim.formats.qonnx.types import code_types
from fxsim.graph import Model


def open_onnxruntime(path: Path, model: Model) -> tuple[tuple[str, ...], Execute]:
    """The taps of a model that a file has as tensors of whole numbers, and a function that has the file executed.

    As ONNX Runtime executes files by default, image by image, from the codes on that the model is fed. The function is
    given images as the model takes them, and gives each tap as int64 [image, ...].

    ToolError where the extra is not installed, or ONNX Runtime refuses the file; ModelError where the file gives
    another model; FileError as the importer's.
    """
    read, name, flow = read_again(path, model)
    codes = code_types(read.onnx)
    tensors = dict(tensors_of(read, codes))
    if not tensors:
        return (), lambda _: {}
    scale, offset = scales_of(flow)
    number = model.graph.input.number
    kind = number.dtype if name in codes else np.dtype(np.float32)
    wanted = [tensor for tensor, _ in tensors.values()]
    # Codes of the file are what the model has plus an offset: those of int8 have a sign.
    signed = any(known.low + int(known.affine("it").of(0)[1]) < 0 for _, known in tensors.values())
    try:
        run = open_part(read.onnx, read.data, (name, flow.index.shape, kind), wanted, unsigned=not signed)
    except ToolError as error:
        raise ToolError(f"{path}: {error}") from None

    def compute(x: Integers) -> dict[str, Integers]:
        found = {tap: np.empty((len(x), *model.graph.shapes[tap]), np.int64) for tap in tensors}
        for image, fed in enumerate(x):
            values = fed.reshape(-1)[flow.index]
            given = run(values if name in codes else (values * scale + offset).astype(np.float32))
            for (tap, (tensor, own)), result in zip(tensors.items(), given, strict=True):
                if result.shape != own.index.shape:
                    raise ToolError(f"{path}: '{tensor}' has the shape {result.shape}, expected {own.index.shape}")
                _, added = scales_of(own)
                place = np.empty(own.tensor.size, np.int64)
                place[own.index.ravel()] = (result.astype(np.int64) - added.astype(np.int64)).ravel()
                found[tap][image] = place.reshape(model.graph.shapes[tap])
        return found

    return tuple(tap for tap in model.graph.taps if tap in tensors), compute
