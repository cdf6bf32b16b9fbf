"""Reading plans, and reading and writing records: where TOML and JSON meet the kinds of check."""

import hashlib
import os
import re
from collections.abc import Iterator
from functools import reduce
from operator import or_
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import field

from fxsim.errors import FileError
from fxsim.formats import atomic_write
from fxsim.formats.text import decode_json, decode_toml, read_bounded, short
from fxsim.paths import golden_dir
from fxsim.signoff.checks import CHECKS
from fxsim.signoff.plan import (
    LIMIT,
    NETWORKS_VARIABLE,
    PUBLISHED_VARIABLE,
    Check,
    Limit,
    ModelSource,
    Name,
    Part,
    Plan,
    Seed,
    StimulusSource,
    Testpoint,
)
from fxsim.signoff.record import Data, Details, Figure, SignoffRecord
from fxsim.signoff.testpoints import testpoint_problems

PLAN_BYTES_MAX = 1 << 20
RECORD_BYTES_MAX = 256 << 20

C = TypeVar("C")


class _Content(Part, Generic[C], frozen=True, kw_only=True):
    """The TOML file; C is the settings of any kind of check."""

    title: str
    seed: Seed
    limit: Limit = LIMIT
    published: str | None = None
    networks: str | None = None
    models: dict[Name, ModelSource] = field(default_factory=dict)
    stimuli: dict[Name, StimulusSource] = field(default_factory=dict)
    check: tuple[C, ...]
    testpoint: tuple[Testpoint, ...] = ()


def default_plan() -> Path:
    """The project's own plan."""
    return golden_dir() / "signoff.toml"


def load_plan(path: str | os.PathLike[str] | None = None, seed: int | None = None) -> Plan:
    """Read a plan and check it, by default the project's own. FileError names the place and what was expected.

    `seed`: in place of the plan's own. FXSIM_PUBLISHED in the environment names another folder of published data than
    the plan's, FXSIM_NETWORKS another one of other tools' networks.
    """
    path = Path(path) if path is not None else default_plan()
    settings: Any = reduce(or_, (kind.settings for kind in CHECKS.values()))
    data = read_bounded(path, PLAN_BYTES_MAX, "a sign-off plan")
    try:
        content: _Content[Check] = decode_toml(str(path), data, _Content[settings], "a sign-off plan")
    except FileError as error:
        raise FileError(str(error) + _check_meant(str(error), data)) from None
    _check_content(path, content)
    plan = Plan(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        title=content.title,
        seed=content.seed if seed is None else seed,
        published=_root(path, PUBLISHED_VARIABLE, content.published),
        networks=_root(path, NETWORKS_VARIABLE, content.networks),
        models=content.models,
        stimuli=content.stimuli,
        checks=content.check,
        stated_seed=content.seed,
        testpoints=content.testpoint,
        limit=content.limit,
    )
    for problem in testpoint_problems(plan):
        raise FileError(f"{path}: {problem}")
    return plan


def _root(path: Path, variable: str, stated: str | None) -> Path | None:
    """A folder of data that others published: as the environment says, else the plan, from its own folder on."""
    if override := os.environ.get(variable):
        return Path(override)
    return None if stated is None else Path(os.path.normpath(path.resolve().parent / stated))


def _check_meant(message: str, data: bytes) -> str:
    """The name of the check that a message speaks of by its number; empty where it speaks of none, or it has none."""
    number = re.search(r"\$\.check\[(\d+)\]", message)
    if number is None:
        return ""
    plan = decode_toml("", data, dict[str, Any], "")  # a text of TOML: types were what was wrong
    check = plan["check"][int(number[1])]
    name = check.get("name") if isinstance(check, dict) else None
    return f", which is check '{short(name)}'" if isinstance(name, str) else ""


def _check_content(path: Path, content: _Content[Check]) -> None:
    """Check what types alone do not say: names that must exist, once; sources that must be one of several."""
    if not content.check:
        raise FileError(f"{path}: has no checks, expected at least one [[check]]")
    names = [check.name for check in content.check]
    for name in names:
        if names.count(name) > 1:
            raise FileError(f"{path}: check '{name}' is there {names.count(name)} times")
    for model_name, model in content.models.items():
        if sum(part is not None for part in (model.file, model.generate, model.random, model.published)) != 1:
            raise FileError(f"{path}: model '{model_name}' expects exactly one of file, generate, random, published")
    for stimulus_name, stimulus in content.stimuli.items():
        if sum(part is not None for part in (stimulus.file, stimulus.draw, stimulus.published)) != 1:
            raise FileError(f"{path}: stimulus '{stimulus_name}' expects exactly one of file, draw, published")
    for check in content.check:
        for problem in (*_named_twice(check), *check.problems()):
            raise FileError(f"{path}: check '{check.name}' {problem}")
        for word, named, known in (
            ("model", check.named_models, content.models),
            ("stimulus", check.named_stimuli, content.stimuli),
        ):
            for used in named:
                if used not in known:
                    raise FileError(f"{path}: check '{check.name}' names {word} '{used}', which the plan does not have")


def _named_twice(check: Check) -> Iterator[str]:
    """A problem for each model and stimulus that a check's list names twice: its figures would count it twice."""
    for word, field_ in (("model", "models"), ("stimulus", "stimuli")):
        names = getattr(check, field_, ())
        yield from (f"names {word} '{name}' more than once" for name in dict.fromkeys(names) if names.count(name) > 1)


def data_kinds() -> dict[str, type[Data]]:
    """Every kind of data that checks leave, by the name of its list in the record."""
    kinds = {row for kind in CHECKS.values() for row in kind.rows}
    return {row.FIELD: row for row in sorted(kinds, key=lambda row: row.FIELD)}


def encode_details(value: Any) -> Any:
    """An object that msgspec does not know, as one that it does."""
    if not isinstance(value, Details):
        raise NotImplementedError
    return {"figures": value.figures} | {field: value.of(row) for field, row in data_kinds().items()}


def decode_details(wanted: type, value: Any) -> Any:
    """A `Details` from its object; ValueError or ValidationError where it is not one."""
    if wanted is not Details:
        raise NotImplementedError
    if not isinstance(value, dict):
        raise ValueError("expected an object of figures and data")
    fields = data_kinds()
    for name in value:
        if name != "figures" and name not in fields:
            raise ValueError(f"has the unknown field '{name}'")
    figures = msgspec.convert(value.get("figures", ()), tuple[Figure, ...])
    rows: list[Data] = []
    for name, row in fields.items():
        kind: Any = tuple[row, ...]  # type: ignore[valid-type]  # a class known only now
        rows += msgspec.convert(value.get(name, ()), kind)
    return Details(figures, rows)


def encode_record(record: SignoffRecord) -> bytes:
    """A record as JSON."""
    return msgspec.json.format(msgspec.json.encode(record, enc_hook=encode_details)) + b"\n"


def decode_record(where: str, data: bytes) -> SignoffRecord:
    """A record from its JSON. FileError, which begins with `where`, where it is not one that this fxsim reads."""
    record = decode_json(where, data, SignoffRecord, "a sign-off record that this fxsim reads", decode_details)
    for check in record.checks:
        if check.kind not in CHECKS:
            raise FileError(f"{where}: check '{check.name}' is of kind '{check.kind}', which this fxsim does not know")
        foreign = {type(row) for row in check.details.data}.difference(CHECKS[check.kind].rows)
        for row in foreign:
            raise FileError(f"{where}: check '{check.name}' has {row.FIELD}, which no check of kind '{check.kind}' has")
    return record


def write_record(record: SignoffRecord, path: str | os.PathLike[str]) -> None:
    """Write a record as JSON, whole or not at all."""
    with atomic_write(path) as file:
        file.write_bytes(encode_record(record))


def read_record(path: str | os.PathLike[str]) -> SignoffRecord:
    """A record from its JSON; FileError where it is missing or not one that this fxsim reads."""
    path = Path(path)
    data = read_bounded(path, RECORD_BYTES_MAX, "a sign-off record that this fxsim reads")
    return decode_record(str(path), data)
