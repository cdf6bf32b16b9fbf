"""The importers by name: the project's own, and those that other packages add by the entry point group `fxsim.formats`.

An importer reads files of one kind into a model. An entry point's name is the importer's, its object an `Importer` or a
function without arguments that returns one. It is loaded when the importer is asked for by name.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

from fxsim.errors import FileError, FxsimError
from fxsim.graph import Model

GROUP = "fxsim.formats"

DEFAULT = "headers"
"""The importer that reads where none is named."""

_OWN = {"headers": "fxsim.formats.headers.importer"}
"""Modules of the project's own importers, each of which has it as IMPORTER."""


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
    """Options of `fxsim import` that it takes, as arguments of `read`: of `layout` and `rule`."""


class Importers(Mapping[str, Importer]):
    """Every importer by name. `IMPORTERS[name]` loads it.

    FileError for a name that there is not, FxsimError in one line for an importer of another package that cannot be
    loaded, or that is not what its entry point says.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Importer] = {}

    def __iter__(self) -> Iterator[str]:
        yield from _OWN
        yield from (name for name in self._entries() if name not in _OWN)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in tuple(self)

    def __getitem__(self, name: str) -> Importer:
        if name not in self._loaded:
            if name in _OWN:
                importer = import_module(_OWN[name]).IMPORTER
            elif name in self._entries():
                importer = _load(self._entries()[name])
            else:
                raise FileError(f"there is no importer '{name}'; there are: {', '.join(self)}")
            self._loaded[name] = importer
        return self._loaded[name]

    @staticmethod
    def _entries() -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)}


def _load(entry: EntryPoint) -> Importer:
    where = f"the importer '{entry.name}' ({entry.value})"
    try:
        importer = entry.load()
        if not isinstance(importer, Importer) and callable(importer):
            importer = importer()
    except Exception as error:  # code of another package: anything may go wrong there
        words = " ".join(str(error).split()) or "no message"
        raise FxsimError(f"{where} cannot be loaded: {type(error).__name__}: {words}") from error
    if not isinstance(importer, Importer):
        kind = type(importer).__name__
        raise FxsimError(f"{where} cannot be loaded: it is a {kind}, expected a fxsim.formats.importers.Importer")
    if importer.name != entry.name:
        raise FxsimError(f"{where} cannot be loaded: it calls itself '{importer.name}'")
    return importer


IMPORTERS = Importers()


def import_model(path: Path, importer: str = DEFAULT, **options: object) -> Model:
    """The model that an importer reads from a file or folder; `options` are those of `Importer.options`.

    FileError where the importer takes no such option, and whatever it refuses; FxsimError where it gives no model.
    """
    chosen = IMPORTERS[importer]
    for option in options:
        if option not in chosen.options:
            taken = ", ".join(sorted(chosen.options)) or "none"
            raise FileError(f"{path}: the importer '{importer}' has no option '{option}'; it has: {taken}")
    model = chosen.read(path, **options)
    if not isinstance(model, Model):
        raise FxsimError(f"{path}: the importer '{importer}' gave a {type(model).__name__}, expected a Model")
    return model
