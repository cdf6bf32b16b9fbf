"""Cases in a folder: a model, images, and the values that came instead of its own, as `fxsim diff` reads them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from fxsim.compare import FourState
from fxsim.contract.arithmetic import Int64, Integers
from fxsim.errors import FileError

MODEL, GOT = "model.safetensors", "got"
"""In a case's folder: the model, and the folder of what came."""
STIMULUS, TAPS, NUMBERS = "images.npy", "taps", "images.json"
"""In that: the images, a folder with a file a tap, and what the images are called where they came from."""


@dataclass(frozen=True, eq=False)
class Given:
    """Images `x`, their `numbers` where they came from, and what came at taps: int64 [image, ...] each.

    A name that is no tap of the model holds what came beside them.
    """

    x: Integers
    numbers: tuple[int, ...]
    taps: Mapping[str, Int64 | FourState]

    def write(self, folder: Path) -> None:
        """Write it into a new folder; unknown bits as text, X and Z among the digits."""
        (folder / TAPS).mkdir(parents=True)
        np.save(folder / STIMULUS, self.x)
        for tap, values in self.taps.items():
            if isinstance(values, FourState) and values.unknown.any():
                places = np.ndindex(values.values.shape)
                text = "".join(f"{values.text(at).rjust(values.bits, values.text(at)[0])}\n" for at in places)
                (folder / TAPS / f"{tap}.memb").write_text(text, encoding="ascii")
            else:
                np.save(folder / TAPS / f"{tap}.npy", least(values.values if isinstance(values, FourState) else values))
        (folder / NUMBERS).write_bytes(msgspec.json.encode(self.numbers))


def least(values: Int64) -> Integers:
    """The same values in the narrowest signed type that holds them."""
    for dtype in (np.int8, np.int16, np.int32):
        limits = np.iinfo(dtype)
        if not values.size or (limits.min <= values.min() and values.max() <= limits.max):
            return values.astype(dtype)
    return values


class Kept(NamedTuple):
    """The files of a case, and what its images are called where they came from."""

    model: Path
    stimulus: Path
    trace: Path
    numbers: tuple[int, ...]


def read_kept(folder: Path) -> Kept:
    """The files of a case in a folder. FileError where it is none, or holds no values that came."""
    if not (folder / MODEL).is_file():
        raise FileError(f"{folder}: is no folder that `fxsim cosim --keep` writes: it has no {MODEL}")
    if not (folder / GOT).is_dir():
        raise FileError(f"{folder}: holds no values that the RTL gave ({GOT}/): it did not fail by a wrong value")
    path = folder / GOT / NUMBERS
    try:
        # A number a kept image, of which there are few.
        with path.open("rb") as file:
            numbers = msgspec.json.decode(file.read(1 << 16), type=tuple[int, ...])
    except (OSError, msgspec.MsgspecError) as error:
        raise FileError(f"{path}: cannot be read: {error}") from None
    return Kept(folder / MODEL, folder / GOT / STIMULUS, folder / GOT / TAPS, numbers)
