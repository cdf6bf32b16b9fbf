"""The partial file: where a training stands after an epoch, so that it can go on there.

It is a safetensors file; nothing in it is executable. Tensors: `network.*` (parameters and buffers), `best.*` (those of
the best epoch so far, where that one is kept), `optimiser.{parameter}.{field}`. The rest is JSON in the metadata, with
the key of what is being trained.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct
from safetensors.torch import save as serialise
from torch import Tensor

from fxsim.errors import FileError
from fxsim.formats import atomic_write
from fxsim.formats.metadata import open_tensors
from fxsim.formats.text import decode_json
from fxsim.training.log import EpochRecord

FORMAT = "fxsim.partial"
VERSION = 1
PARTIAL_BYTES_MAX = 4 << 30

_KEY = "fxsim"

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Position:
    """After `epoch` epochs of stage number `stage`: everything that goes on from there depends on."""

    stage: int
    epoch: int
    records: tuple[EpochRecord, ...]
    network: Tensors
    optimiser: Tensors
    best: Tensors
    best_accuracy: float | None


class _Metadata(Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    version: int
    key: str
    stage: int
    epoch: int
    records: tuple[EpochRecord, ...]
    best_accuracy: float | None


def partial_path(output: Path) -> Path:
    """The path of the partial file of what is trained into `output`."""
    return output.with_name(f"{output.stem}.partial.safetensors")


def write_partial(path: Path, key: str, position: Position) -> None:
    """Write a partial file, whole or not at all. FileError where it cannot be."""
    tensors: Tensors = {}
    for part, values in (("network", position.network), ("optimiser", position.optimiser), ("best", position.best)):
        tensors |= {f"{part}.{name}": value for name, value in values.items()}
    metadata = _Metadata(FORMAT, VERSION, key, position.stage, position.epoch, position.records, position.best_accuracy)
    data = serialise(tensors, {_KEY: msgspec.json.encode(metadata).decode()})
    with atomic_write(path) as file:
        file.write_bytes(data)


def read_partial(path: Path, key: str) -> Position:
    """Read a partial file. FileError where it is damaged or, by its key, of something else.

    What the tensors are is left to the reader, who knows the network.
    """
    with open_tensors(path, str(path), "pt", PARTIAL_BYTES_MAX) as file:
        metadata = _decode(path, file.metadata())
        if metadata.key != key:
            raise FileError(
                f"{path}: is of another recipe, input, data, or version of fxsim, torch, numpy, numba or pillow"
            )
        parts: dict[str, Tensors] = {"network": {}, "optimiser": {}, "best": {}}
        for full_name in file.keys():  # noqa: SIM118  # no mapping
            part, _, name = full_name.partition(".")
            if part not in parts:
                raise FileError(f"{path}: has a tensor that belongs to nothing")
            parts[part][name] = file.get_tensor(full_name)
    return Position(metadata.stage, metadata.epoch, metadata.records, **parts, best_accuracy=metadata.best_accuracy)


def _decode(path: Path, found: Mapping[str, str] | None) -> _Metadata:
    text = (found or {}).get(_KEY, "")
    metadata = decode_json(f"{path}: metadata", text.encode(), _Metadata, "that of a partial file of fxsim")
    if (metadata.format, metadata.version) != (FORMAT, VERSION):
        raise FileError(f"{path}: is not a partial file of this version of fxsim")
    return metadata
