"""The ONNX file: the graph, what it was made from, checked before it takes its name."""

import os
from collections.abc import Iterable

from fxsim.contract import CONTRACT_VERSION
from fxsim.errors import FileError, ModelError
from fxsim.formats import atomic_write, model_sha256
from fxsim.formats.onnx.extra import require
from fxsim.graph import ALL_TAPS, Model
from fxsim.version import __version__

OPSET = 14
"""Version of the operators: the first whose Relu takes int8. Part of ONNX 1.9, so that old runtimes read it too."""

IR_VERSION = 7
"""Version of the file's structure, ONNX 1.9's too."""

BATCH_MAX = 1 << 20
"""Largest fixed batch."""


def onnx_bytes(model: Model, taps: str | Iterable[str] = ALL_TAPS, batch: int | None = None) -> bytes:
    """A model as an ONNX file, whose outputs are the named taps (by default all); the same model gives the same bytes.

    `batch`: images in each run, None for any number. The metadata states `name`, `model_sha256`, `fxsim_version` and
    `contract_version`. StimulusError names an unknown tap; ModelError says what cannot be exported: a batch out of
    range, a name that is not valid Unicode, too many parameters. ToolError where the extra is not installed.
    """
    require("onnx")
    import onnx
    from onnx import helper

    from fxsim.formats.onnx.graph import build_graph

    names = model.select_taps(taps)
    if batch is not None and not 1 <= batch <= BATCH_MAX:
        raise ModelError(f"batch is {batch}, expected 1 to {BATCH_MAX:,}, or none for any number of images")
    try:
        model.name.encode()
    except UnicodeEncodeError:
        raise ModelError(f"model name {model.name!r} is not valid Unicode, which ONNX demands") from None
    proto = helper.make_model(
        build_graph(model.graph, names, batch),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="fxsim",
        producer_version=__version__,
    )
    properties = {
        "name": model.name,
        "model_sha256": model_sha256(model),
        "fxsim_version": __version__,
        "contract_version": str(CONTRACT_VERSION),
    }
    helper.set_model_props(proto, properties)
    onnx.checker.check_model(proto, full_check=True)
    data: bytes = proto.SerializeToString(deterministic=True)
    return data


def export_onnx(
    model: Model, path: str | os.PathLike[str], taps: str | Iterable[str] = ALL_TAPS, batch: int | None = None
) -> int:
    """Write what `onnx_bytes` gives, whole or not at all, and return how many bytes these are.

    FileError where it cannot be exported or written.
    """
    try:
        data = onnx_bytes(model, taps, batch)
    except ModelError as error:
        raise FileError(f"cannot write {path}: {error}") from None
    with atomic_write(path) as file:
        return file.write_bytes(data)
