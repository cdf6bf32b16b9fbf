"""Memory files for `$readmemh`: arrays of the model in words, at addresses."""

import re
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from fxsim.devices.described.description import Memory
from fxsim.devices.described.order import arrange
from fxsim.devices.described.packing import is_big, turned
from fxsim.devices.described.tensors import array_of
from fxsim.errors import FileError
from fxsim.graph import Model

READ_BY_NAME = re.compile(rb"\$readmem[hb]\s*\(\s*([A-Za-z_]\w{0,100})\s*,\s*([A-Za-z_]\w{0,100})")
"""A memory that is read from the file that a parameter names: the parameter, and the memory."""
_AXES = ("out", "in")
_NAME_BYTES_MAX = 255
"""Longest name of a file or folder, in bytes."""


def holds(bits: int, value: "np.ndarray[Any, Any]") -> bool:
    """Whether so many bits hold every value of an array, in two's complement where one is negative."""
    low, high = int(value.min()), int(value.max())
    return low >= -(1 << (bits - 1)) and high < 1 << (bits - (low < 0))


def memory_text(path: Path, memory: Memory, model: Model) -> str:
    """The text of one entry: hexadecimal words, one a line, from its address where it states one.

    FileError with file and place where the model has no such array, or it does not fit the words.
    """
    where = f"{path}: memory '{memory.file}'"
    parts = memory.file.split("/")
    if {"", ".", ".."} & {*parts} or max(len(part.encode()) for part in parts) > _NAME_BYTES_MAX:
        raise FileError(
            f"{where}: expected a name below the folder the simulator runs in, no part of which is empty, '.', '..' or "
            f"longer than {_NAME_BYTES_MAX} bytes"
        )
    value = array_of(memory.tensor, model, where)
    if not holds(memory.bits, value):
        raise FileError(
            f"{where}: values of '{memory.tensor}' are {value.min()} to {value.max()}, which {memory.bits} bits do not "
            "hold"
        )
    if memory.order is not None:
        if not 0 < value.ndim <= len(_AXES):
            raise FileError(
                f"{where}: '{memory.tensor}' has {value.ndim} axes, expected {' and '.join(_AXES)} to order"
            )
        value = value.reshape(-1)[arrange(_AXES[: value.ndim], value.shape, memory.order, where)]
    if memory.word == "row" and value.ndim == 1:
        raise FileError(f"{where}: '{memory.tensor}' has one axis and no rows, expected word = 'value', or lanes")
    lanes = memory.lanes or (value.shape[-1] if memory.word == "row" else 1)
    values = [int(element) for element in value.reshape(-1)]
    if len(values) % lanes:
        raise FileError(f"{where}: '{memory.tensor}' has {len(values)} values, which words of {lanes} do not divide")
    big = is_big(memory.byte_order, memory.bits, "a value", where)
    digits, mask = -(-memory.bits * lanes // 4), (1 << memory.bits) - 1
    lines = [] if memory.address is None else [f"@{memory.address:x}\n"]
    for at in range(0, len(values), lanes):
        word, row = 0, values[at : at + lanes]
        for element in row if memory.first == "high" else reversed(row):
            coded = element & mask
            word = word << memory.bits | (turned(coded, memory.bits) if big else coded)
        lines.append(f"{word:0{digits}x}\n")
    return "".join(lines)


def joined(path: Path, memory: Memory, text: str, before: str) -> str:
    """The text of a file with one more entry; FileError where addresses are not stated, or overlap."""
    where = f"{path}: memory '{memory.file}'"
    taken: set[int] = set()
    at = None
    for line in (before + text).split():
        if line.startswith("@"):
            at = int(line[1:], 16)
            continue
        if at is None or not before.startswith("@") or not text.startswith("@"):
            raise FileError(f"{where} is described twice, expected an address in each entry")
        if at in taken:
            raise FileError(f"{where}: two entries have a word at address {at}")
        taken.add(at)
        at += 1
    return before + text


def refuse_nested(path: Path, memories: Collection[str], names: Collection[str]) -> None:
    """FileError where a memory file, or one that a command made, lies below a file or has files below it.

    `names`: the other files of the design.
    """
    for name in sorted({*memories, *names}):
        for above in map(str, PurePosixPath(name).parents):
            if above in memories or (above in names and name in memories):
                raise FileError(
                    f"{path}: file '{name}' lies below '{above}', which is a file, too: expected other names"
                )
