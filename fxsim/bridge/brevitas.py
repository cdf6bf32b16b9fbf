"""Brevitas networks as integer models, by way of QONNX. Needs the extra `brevitas`."""

import contextlib
import io
import shutil
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

from fxsim import temporary
from fxsim.errors import FileError, ModelError, ToolError
from fxsim.formats.atomic import atomic_write, check_target
from fxsim.formats.qonnx.importer import import_qonnx
from fxsim.formats.text import short
from fxsim.graph import Model

_NEEDED = ("brevitas", "onnx", "onnxscript", "onnxoptimizer")


def import_brevitas(
    network: torch.nn.Module, shape: tuple[int, ...], input_number: str | None = None, path: Path | None = None
) -> Model:
    """The integer model of a network of Brevitas's layers in evaluation mode: sums, and exact thresholds.

    Brevitas exports the network to QONNX, which is read as `fxsim.formats.qonnx` reads any file: nothing is
    approximated, and what cannot be exact is refused. `shape`: of one picture as the network takes it, (channels, rows,
    columns) or (values,); the model takes [row, column, channel]. `input_number`: the integers that are fed, `uint8`,
    or `uint8/255` where the network reads code / 255; by default levels of its first quantiser. `path`: where the QONNX
    file is kept, of which the model then states the hash.

    ToolError where the extra is not installed; ModelError where the network is in training mode, Brevitas cannot export
    it, or a node of it is not taken, by name; FileError where `path` cannot be written.
    """
    name = short(type(network).__name__)
    absent = [module for module in _NEEDED if find_spec(module) is None]
    if absent:
        raise ToolError(f"the extra 'brevitas' is not installed: there is no {' and no '.join(absent)} here")
    if any(module.training for module in network.modules()):
        raise ModelError(f"{name} is in training mode, in which batch norms are of each batch: call eval() first")
    if path is not None:
        check_target(path)
    with temporary.folder("brevitas") as folder:
        file = folder / (f"{name}.onnx" if path is None else path.name)
        _export(network, name, shape, file)
        try:
            model = import_qonnx(file, input_number)
        except FileError as error:
            raise ModelError(f"{name}{str(error).removeprefix(str(file))}") from None
        if path is not None:
            with atomic_write(path) as made:
                shutil.copyfile(file, made)
    stated = dict(model.provenance)
    stated["source"] = f"Brevitas network {name}, exported to QONNX by Brevitas {version('brevitas')}"
    if path is None:
        del stated[f"sha256 of {short(file.name)}"]
    return Model(model.graph, name, stated)


def _export(network: torch.nn.Module, name: str, shape: tuple[int, ...], file: Path) -> None:
    """A network as a QONNX file; ModelError with the first line of what Brevitas raises."""
    from brevitas.export import export_qonnx

    try:
        # PyTorch prints what it is at.
        with torch.no_grad(), contextlib.redirect_stdout(io.StringIO()):
            export_qonnx(network, args=torch.zeros(1, *shape), export_path=str(file), verbose=False)
    except Exception as error:
        reason = short(str(error).strip().partition("\n")[0], 200)
        raise ModelError(
            f"{name}: Brevitas cannot export it for pictures of {shape}: {type(error).__name__}: {reason}"
        ) from error
