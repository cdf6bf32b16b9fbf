"""The importers by name: the project's own, and those that other packages add by the entry point group `fxsim.formats`.

An importer reads files of one kind into a model. An entry point's name is the importer's, its object an `Importer` or a
function without arguments that returns one. It is loaded when the importer is asked for by name.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fxsim.contract.arithmetic import Integers
from fxsim.errors import FileError, FxsimError
from fxsim.graph import Model
from fxsim.plugins import Registry

GROUP = "fxsim.formats"

DEFAULT = "headers"
"""The importer that reads where none is named, and none of the project's own knows the files by their looks."""

_OWN = {
    "headers": "fxsim.formats.headers.importer",
    # Before bnn-pynq, which any .npz file looks like.
    "fracbnn": "fxsim.formats.fracbnn",
    "neural-ode": "fxsim.formats.neural_ode",
    "bnn-pynq": "fxsim.formats.bnn_pynq",
    "qonnx": "fxsim.formats.qonnx.importer",
    "tflite": "fxsim.formats.tflite.importer",
}
"""Modules of the project's own importers, each of which has it as IMPORTER."""


Execute = Callable[[Integers], dict[str, Integers]]
"""A function from images, as a model takes them, to taps as whole numbers [image, ...]."""


@dataclass(frozen=True)
class Program:
    """The program that files of a format are written for, which executes them.

    `missing`: the reason why it is not on this machine, or None. `open`: of a file, and the model that it is imported
    to, the taps that the file has as tensors of whole numbers, and a function that computes them. It raises FileError
    as the importer does, ModelError where the file gives another model, ToolError where the program refuses the file.
    """

    name: str
    missing: Callable[[], str | None]
    open: Callable[[Path, Model], tuple[tuple[str, ...], Execute]]


@dataclass(frozen=True)
class Importer:
    """One format of other tools, and the function that reads it."""

    name: str
    takes: str
    """The files that it takes, in words, for help."""
    read: Callable[..., Model]
    """The model of a file or folder, given as a path; then, by name, those of its `options` that are set. It raises
    FileError alone."""
    files: Callable[[Path], Iterable[Path]] = lambda path: (path,)
    """Every file that is read for a path, there or not: none of them is written over."""
    options: frozenset[str] = frozenset()
    """Options of `fxsim import` that it takes, as arguments of `read`: `layout`, `rule`, `topology`, `input_number`,
    `kernels`."""
    looks: Callable[[Path], bool] = lambda _: False
    """Whether a path looks like what it takes, so that the importer need not be named; asked of the project's own."""
    program: Program | None = None
    """The program that executes its files, where there is one that does so tensor by tensor."""


IMPORTERS = Registry(GROUP, "importer", Importer, _OWN, "IMPORTER", FileError)
"""Every importer by name."""


def find_importer(path: Path) -> str:
    """Name of the importer for a path, by what it looks like; `DEFAULT` where it looks like nothing known."""
    return next((name for name in IMPORTERS.own if IMPORTERS[name].looks(path)), DEFAULT)


def find_program(path: Path) -> Program:
    """The program that executes a file, by what the file looks like; FileError where none is known."""
    program = IMPORTERS[find_importer(path)].program
    if program is None:
        raise FileError(f"{path}: no program is known that executes it, expected a file .onnx or .tflite")
    return program


QONNX, RUNTIME = "qonnx:", "runtime:"
"""Words before a file's path that say whose program executes it: QONNX's own executor, or `find_program`'s."""


def open_original(text: str, model: Model) -> tuple[tuple[str, ...], Callable[[Integers], Mapping[str, Any]]]:
    """The taps that the file `qonnx:FILE` or `runtime:FILE` has of the model imported from it, and what computes them.

    That is a function from images to taps [image, ...], of QONNX's executor as float64. It raises what
    `Program.open` does; FileError where `text` names no program.
    """
    if text.startswith(QONNX):
        from fxsim.formats.qonnx.executor import open_qonnx

        return open_qonnx(Path(text.removeprefix(QONNX)), model)
    if text.startswith(RUNTIME):
        path = Path(text.removeprefix(RUNTIME))
        return find_program(path).open(path, model)
    raise FileError(f"'{text}' says no program that executes it, expected {QONNX}FILE or {RUNTIME}FILE")


def import_model(path: Path, importer: str | None = None, **options: object) -> Model:
    """The model that an importer reads from a file or folder; `options` are those of `Importer.options`.

    Without a name the importer is `find_importer`'s.

    FileError where the importer takes no such option, and whatever it refuses; FxsimError where it gives no model.
    """
    importer = importer or find_importer(path)
    chosen = IMPORTERS[importer]
    for option in options:
        if option not in chosen.options:
            taken = ", ".join(sorted(chosen.options)) or "none"
            raise FileError(f"{path}: the importer '{importer}' has no option '{option}'; it has: {taken}")
    model = chosen.read(path, **options)
    if not isinstance(model, Model):
        raise FxsimError(f"{path}: the importer '{importer}' gave a {type(model).__name__}, expected a Model")
    return model
