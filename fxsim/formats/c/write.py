"""The folder of a network in C: its files, and images with the taps that it must give of them."""

import os
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy.typing as npt

from fxsim.contract import Tensor
from fxsim.contract.arithmetic import Integers
from fxsim.errors import FileError, ModelError
from fxsim.formats.atomic import atomic_write
from fxsim.formats.c.files import c_files
from fxsim.formats.c.names import c_name_of, checked_c_name
from fxsim.graph import Model

_MARK = b"written by fxsim export-c"
"""Words of the first line of every file that is written; what lacks them is somebody's own."""

_MARK_BYTES = 200


def export_c(
    model: Model,
    folder: str | os.PathLike[str],
    images: Integers,
    expected: Mapping[str, Integers],
    name: str | None = None,
) -> tuple[Path, ...]:
    """Write a model as C99 into a folder, and return the files' paths; all appear together, when they are complete.

    `images`, [image, ...] as the model takes them, at least one, are what `make check` computes there; `expected`: all
    their taps, by name. `name` is what files and identifiers begin with, by default made from the model's. FileError
    for an illegal name, where the model cannot be exported, where a file would be replaced that is not the same
    network's of an earlier export, or where the system refuses.
    """
    name = c_name_of(model.name) if name is None else checked_c_name(name)
    images = model.check_stimulus(images)
    for tap in model.graph.taps:
        _check(tap, expected, model.graph.tensors[tap], len(images))
    try:
        contents = {file: text.encode("ascii") for file, text in c_files(model, name).items()}
    except ModelError as error:
        raise FileError(f"cannot write {folder}: {error}") from None
    contents[f"{name}_check_images.bin"] = raw_images(images)
    contents[f"{name}_check_taps.bin"] = b"".join(
        raw_images(expected[tap][i]) for i in range(len(images)) for tap in model.graph.taps
    )
    folder = Path(folder)
    for file, content in contents.items():
        _refuse_replacing(folder / file, content)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot write {folder}: {error.strerror or error}") from None
    with ExitStack() as stack:
        for file, content in contents.items():
            stack.enter_context(atomic_write(folder / file)).write_bytes(content)
    return tuple(folder / file for file in contents)


def raw_images(values: npt.NDArray[Any]) -> bytes:
    """Values as the program reads and writes them: image after image, the last axis fastest, low bytes first."""
    return values.astype(values.dtype.newbyteorder("<"), order="C", copy=False).tobytes()


def _check(tap: str, expected: Mapping[str, Integers], tensor: Tensor, images: int) -> None:
    values = expected.get(tap)
    shape = (images, *tensor.shape)
    if images < 1 or values is None or values.shape != shape or values.dtype != tensor.number.dtype:
        found = "no values" if values is None else f"{values.dtype} of shape {values.shape}"
        raise FileError(f"tap '{tap}' has {found} to check with, expected {tensor.number.dtype} of shape {shape}")


def _refuse_replacing(path: Path, content: bytes) -> None:
    """FileError where a text in the place of one that is written is not the same network's, of an earlier export."""
    if not content.split(b"\n", 1)[0].rstrip(b" */").endswith(_MARK) or not path.exists():
        return  # a file of numbers, whose name nobody else will have; or a new one
    try:
        with path.open("rb") as file:
            found = file.read(_MARK_BYTES)
    except OSError as error:
        raise FileError(f"cannot write {path}: {error.strerror or error}") from None
    if found.split(b"\n", 1)[0] != content.split(b"\n", 1)[0]:
        raise FileError(f"cannot write {path}: it is there, and is not of this network as fxsim exports it to C")
