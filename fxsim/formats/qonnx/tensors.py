"""The tensors of an ONNX file that hold a model's taps: what programs that execute the file are asked for."""

import re
from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fxsim.errors import ModelError
from fxsim.formats.qonnx.exact import Affine
from fxsim.formats.qonnx.importer import Read, read_qonnx
from fxsim.formats.qonnx.values import Flow
from fxsim.formats.text import short
from fxsim.graph import INPUT, Model

Floats = npt.NDArray[np.float64]

_FED = re.compile(r"'.*': (u?int[0-9]+)(?: / ([0-9]+))?\Z", re.DOTALL)


def read_again(path: Path, model: Model) -> tuple[Read, str, Flow]:
    """The file that a model was imported from, and the tensor that the model is fed.

    What is fed is what the model says. ModelError where the file gives another model; FileError as the importer's.
    """
    fed = _FED.match(model.provenance.get("input", ""))
    read = read_qonnx(path, None if fed is None else f"{fed[1]}/{fed[2] or 1}")
    if read.model.graph != model.graph:
        raise ModelError(f"{path}: is imported to another model than '{short(model.name)}'")
    return read, *next((name, flow) for name, flow in read.flows.items() if flow.tap == INPUT)


def tensors_of(read: Read, among: Collection[str] | None = None) -> Iterator[tuple[str, tuple[str, Flow]]]:
    """By tap the first tensor of the file that holds all of its integers, each times a scale plus an offset.

    `among`: the tensors that are looked at, by default all.
    """
    found: set[str] = set()
    for name, flow in read.flows.items():
        if flow.tap is None or flow.tap in (INPUT, *found) or (among is not None and name not in among):
            continue
        whole = flow.index.size == flow.tensor.size and len(np.unique(flow.index)) == flow.tensor.size
        plain = flow.padding == (0, 0, 0, 0) and not flow.ended and flow.parts is None
        affine = not flow.steps or (len(flow.steps) == 1 and isinstance(flow.steps[0], Affine))
        if whole and plain and affine and all(flow.affine("it").scale):
            found.add(flow.tap)
            yield flow.tap, (name, flow)


def scales_of(flow: Flow) -> tuple[Floats, Floats]:
    """Scale and offset of each value of a tensor, in its shape in the file."""
    affine = flow.affine("it")
    pairs = np.array([[float(part) for part in affine.of(channel)] for channel in range(flow.channels)])
    of_channel = pairs[flow.index % flow.channels]
    return of_channel[..., 0], of_channel[..., 1]
