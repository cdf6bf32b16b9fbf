"""Entry points: the devices, importers, checks and hypotheses that other packages add."""

from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from fxsim.errors import FxsimError

_T = TypeVar("_T")


def find_plugins(group: str) -> dict[str, EntryPoint]:
    """The entry points of a group by name, in the order of their names; FxsimError where two packages have one name."""
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: entry.name):
        first = found.setdefault(entry.name, entry)
        if first.value != entry.value:
            raise FxsimError(f"two entry points of {group} are called '{entry.name}': {first.value} and {entry.value}")
    return found


def load_plugin(what: str, entry: EntryPoint, wanted: type[_T], check: Callable[[_T], object] = lambda _: None) -> _T:
    """The object of an entry point, or what it returns where it is a function that gives one.

    `what`: the thing in words. `check` raises where it is not as it should be. FxsimError in one line where anything
    goes wrong in that package's code, or where it gives something else.
    """
    where = f"the {what} '{entry.name}' ({entry.value})"
    try:
        found: Any = entry.load()
        if not isinstance(found, wanted) and callable(found):
            found = found()
        if isinstance(found, wanted):
            check(found)
    except Exception as error:  # code of another package: anything may go wrong there
        words = " ".join(str(error).split()) or "no message"
        raise FxsimError(f"{where} cannot be loaded: {type(error).__name__}: {words}") from error
    if not isinstance(found, wanted):
        name = f"{wanted.__module__.removesuffix('.base')}.{wanted.__qualname__}"
        raise FxsimError(f"{where} cannot be loaded: it is a {type(found).__name__}, expected a {name}")
    return found


class Registry(Mapping[str, _T], Generic[_T]):
    """The things of one kind by name: the project's own, and what other packages add. `registry[name]` loads one.

    `own`: the modules of the project's own, each of which has it as `constant`. Each has its name as `name`. `missing`
    is the error of a name that there is not; FxsimError in one line for what cannot be loaded, or is not what its entry
    point says.
    """

    def __init__(
        self,
        group: str,
        what: str,
        wanted: type[_T],
        own: Mapping[str, str],
        constant: str,
        missing: type[FxsimError],
        check: Callable[[_T], object] = lambda _: None,
    ) -> None:
        self._group, self._what, self._wanted = group, what, wanted
        self._own, self._constant, self._missing, self._check = own, constant, missing, check
        self._loaded: dict[str, _T] = {}

    @property
    def own(self) -> tuple[str, ...]:
        """Names of the project's own."""
        return tuple(self._own)

    def __iter__(self) -> Iterator[str]:
        yield from self._own
        yield from (name for name in find_plugins(self._group) if name not in self._own)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in tuple(self)

    def __getitem__(self, name: str) -> _T:
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def _load(self, name: str) -> _T:
        if name in self._own:
            own: _T = getattr(import_module(self._own[name]), self._constant)
            return own
        entry = find_plugins(self._group).get(name)
        if entry is None:
            raise self._missing(f"there is no {self._what} '{name}'; there are: {', '.join(self)}")
        found = load_plugin(self._what, entry, self._wanted, self._check)
        if (called := getattr(found, "name", None)) != name:
            where = f"the {self._what} '{name}' ({entry.value})"
            raise FxsimError(f"{where} cannot be loaded: it calls itself '{called}'")
        return found
