"""The JSON Schema of a record, `docs/signoff.schema.json`: for those who read records by other programs than fxsim."""

from inspect import cleandoc
from typing import Any

import msgspec
from msgspec.structs import fields

from fxsim.signoff.files import data_kinds
from fxsim.signoff.record import CheckRecord, Figure, SignoffRecord

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def record_schema() -> dict[str, Any]:
    """The JSON Schema of `signoff.json`, draft 2020-12: every field is there, and no other."""
    lists: list[tuple[str, Any]] = [("figures", tuple[Figure, ...])]
    lists += [(name, tuple[row, ...]) for name, row in data_kinds().items()]  # type: ignore[valid-type]
    details = msgspec.defstruct("Details", lists, forbid_unknown_fields=True)
    details.__doc__ = "Findings of a check beyond its verdict: figures, and data of its kind."
    check = _written(CheckRecord, details=details)
    record = _written(SignoffRecord, checks=tuple[check, ...])  # type: ignore[valid-type]
    schema = msgspec.json.schema(record)
    for definition in schema["$defs"].values():
        # All are written, those with a default, too.
        if "properties" in definition:
            definition["required"] = list(definition["properties"])
            for found in definition["properties"].values():
                found.pop("default", None)
        if "description" in definition:
            definition["description"] = cleandoc(definition["description"])
    return {"$schema": _DIALECT, "title": "Record of a sign-off"} | schema


def _written(struct: type[msgspec.Struct], **replaced: Any) -> type[msgspec.Struct]:
    """A struct as it is written, in which no field may be left out; `replaced`: other types for some of its fields."""
    every = [(field.name, replaced.get(field.name, field.type)) for field in fields(struct)]
    written = msgspec.defstruct(struct.__name__, every, forbid_unknown_fields=True)
    written.__doc__ = struct.__doc__
    return written
