"""Findings: everything in a description that does not fit, in place of the first thing only."""

import difflib
import typing
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from fxsim.devices.described.description import BYTES_MAX, EXPECTED, Description, read_description
from fxsim.devices.described.parts import CHOOSE, Part, check_texts
from fxsim.errors import FileError, ToolError
from fxsim.formats.text import decode_toml, read_bounded, short


class SeveralError(FileError):
    """Several things that are wrong at once; as a text it is the first, one line."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems[0])


class Findings:
    """A list of what was found wrong. Without `collecting` the first error is raised where it is found."""

    def __init__(self, collecting: bool = False) -> None:
        self.collecting = collecting
        self.problems: list[str] = []

    @contextmanager
    def part(self) -> Iterator[None]:
        """A part that may be wrong while the others are still looked at: its errors are collected."""
        try:
            yield
        except (FileError, ToolError) as error:
            if not self.collecting:
                raise
            found = error.problems if isinstance(error, SeveralError) else (str(error),)
            self.problems += [problem for problem in found if problem not in self.problems]


def description_of(path: Path, findings: Findings) -> Description | None:
    """The description in a file.

    Where it is none, and findings are collected: what is left of it without the keys that are wrong, each of which is
    found by its place; None where too little is left.
    """
    if not findings.collecting:
        every = Findings(collecting=True)
        description = description_of(path, every)
        if every.problems:
            raise FileError(every.problems[0])
        return description
    try:
        return read_description(path)
    except FileError as error:
        try:
            raw: dict[str, Any] = decode_toml(str(path), read_bounded(path, BYTES_MAX, EXPECTED), dict, EXPECTED)
        except FileError as unreadable:
            findings.problems.append(str(unreadable))
            return None
        problems: list[str] = []
        left = _sound(raw, Description, "", problems)
        findings.problems += [f"{path}: {problem}" for problem in problems] or [str(error)]
        try:
            return msgspec.convert(left, Description)
        except (msgspec.ValidationError, ValueError):
            # What follows from what was taken away is no finding of its own.
            return None


def nearest(word: str, there: Iterable[str], lead: str = "; the nearest that there is: ") -> str:
    """Words that name the nearest of what there is, empty where nothing is near."""
    near = difflib.get_close_matches(word, list(there), 1, 0.3)
    return f"{lead}'{near[0]}'" if near else ""


def among(word: str, there: Iterable[str], most: int = 8) -> str:
    """Words that list what there is, the nearest to a word first, or as it comes where a person must choose."""
    names = list(there)
    if word != CHOOSE:
        names.sort(key=lambda name: -difflib.SequenceMatcher(None, word, name).ratio())
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return f"{', '.join(names[:most]) or 'none'}{more}"


def _sound(raw: dict[str, Any], kind: type[Part], place: str, problems: list[str]) -> dict[str, Any]:
    """The entries of a table that its kind takes; the others are added to the problems."""
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    left: dict[str, Any] = {}
    for key, value in raw.items():
        name = f"{place}{short(key)}"
        if key not in fields:
            problems.append(f"{name}: unknown key{nearest(key, fields)}")
            continue
        part, many = _part_of(fields[key].type)
        if part is not None and many and isinstance(value, list):
            items = []
            for n, item in enumerate(value):
                if (sound := _sound_part(item, part, f"{key} {n + 1}{_called(item)}", problems)) is not None:
                    items.append(sound)
            left[key] = items
        elif part is not None and isinstance(value, dict):
            if (sound := _sound_part(value, part, name, problems)) is not None:
                left[key] = sound
        elif _fits(key, value, fields[key].type, name, problems):
            left[key] = value
    problems += [
        f"{place}{field.name}: missing, expected in every {kind.__name__.lower()}"
        for field in fields.values()
        if field.required and field.name not in raw
    ]
    return left


def _sound_part(item: Any, kind: type[Part], place: str, problems: list[str]) -> dict[str, Any] | None:
    if not isinstance(item, dict):
        problems.append(f"{place}: expected a table of keys")
        return None
    before = len(problems)
    left = _sound(item, kind, f"{place}: ", problems)
    try:
        msgspec.convert(left, kind)
    except (msgspec.ValidationError, ValueError) as error:
        if len(problems) == before:
            problems.append(f"{place}: {short(str(error), 500)}")
        return None
    return left


def _called(item: Any) -> str:
    """The name by which an entry of a list is known, in brackets."""
    name = (
        next((item[key] for key in ("role", "name", "file") if key in item), None) if isinstance(item, dict) else None
    )
    return f" ({short(name)})" if isinstance(name, str) else ""


def _fits(key: str, value: Any, kind: Any, name: str, problems: list[str]) -> bool:
    try:
        msgspec.convert(value, kind)
        check_texts(value, key)
    except (msgspec.ValidationError, ValueError) as error:
        left = f"{CHOOSE} is left, where you must choose" if value == CHOOSE else short(str(error), 500)
        if isinstance(value, str) and value != CHOOSE and (choices := _choices(kind)):
            left = f"is {short(repr(value))}, expected one of {', '.join(map(str, choices))}{nearest(value, choices)}"
        problems.append(f"{name}: {left}")
        return False
    return True


def _choices(kind: Any) -> tuple[str, ...]:
    """The words that a field takes; none where it takes others, too."""
    if typing.get_origin(kind) is typing.Literal:
        return typing.get_args(kind)
    inner = [one for one in typing.get_args(kind) if one is not type(None)]
    return _choices(inner[0]) if len(inner) == 1 else ()


def _part_of(kind: Any) -> tuple[type[Part] | None, bool]:
    """The part that a field's type holds, and whether it holds several."""
    if typing.get_origin(kind) is typing.Annotated:
        return _part_of(typing.get_args(kind)[0])
    if isinstance(kind, type) and issubclass(kind, Part):
        return kind, False
    for inner in typing.get_args(kind):
        part, many = _part_of(inner)
        if part is not None:
            return part, many or typing.get_origin(kind) is tuple
    return None, False
