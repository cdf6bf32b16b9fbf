"""Recorded areas: figures that were once measured and are kept in a file, to which later ones are held."""

from collections import Counter
from pathlib import Path
from typing import Literal

import msgspec

from fxsim.errors import FileError
from fxsim.formats import atomic_write
from fxsim.formats.text import read_json
from fxsim.synthesis.record import Area, Resources

RECORDED_BYTES_MAX = 1 << 20


class Recorded(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An area that was measured. `yosys`: the version that measured it; `model_sha256`: of the model's parameters."""

    model: str
    model_sha256: str
    design: str
    device: str
    yosys: str
    total: Resources

    @property
    def key(self) -> tuple[str, ...]:
        """The figures' subject: of one there is one record."""
        return self.design, self.model, self.device


class RecordedAreas(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of recorded areas."""

    format: Literal["fxsim.areas"]
    version: Literal[1]
    areas: tuple[Recorded, ...]


def read_recorded(path: Path) -> tuple[Recorded, ...]:
    """The recorded areas of a file; FileError where it is none, or has two records of one design, model and device."""
    areas = read_json(path, RecordedAreas, RECORDED_BYTES_MAX, "a file of recorded areas").areas
    for (design, model, device), count in Counter(each.key for each in areas).items():
        if count > 1:
            raise FileError(f"{path}: has {count} records of {design} with {model} on {device}, expected one")
    return areas


def record_area(area: Area, path: Path) -> None:
    """Keep an area in a file, in place of what that has of the same design with the same model on the same device."""
    made = Recorded(area.model, area.model_sha256, area.design, area.device, area.yosys, area.total)
    kept = {each.key: each for each in (read_recorded(path) if path.exists() else ())} | {made.key: made}
    areas = RecordedAreas("fxsim.areas", 1, tuple(kept[key] for key in sorted(kept)))
    with atomic_write(path) as place:
        place.write_bytes(msgspec.json.format(msgspec.json.encode(areas), indent=2) + b"\n")


def find_recorded(areas: tuple[Recorded, ...], area: Area) -> Recorded | None:
    """The record of the same design with the same model on the same device; None where there is none."""
    return next((each for each in areas if each.key == (area.design, area.model, area.device)), None)
