"""A failed test: its error, and the folder that shows the failure again."""

import re
import shlex
import shutil
from itertools import count
from pathlib import Path

import msgspec
import numpy as np

from fxsim.cocotb.available import COCOTB_VERSION
from fxsim.compare import Comparison, Values
from fxsim.errors import FxsimError
from fxsim.formats import save
from fxsim.graph import INPUT, Model
from fxsim.temporary import beside
from fxsim.version import __version__


class ScoreboardError(AssertionError):
    """A design did not give the model's values, or broke a rule of its buses: fails the test.

    `comparison` has the counts of every tap that was watched, `folder` is the one that was kept, None where none was.
    """

    def __init__(self, message: str, comparison: Comparison, folder: Path | None) -> None:
        super().__init__(message)
        self.comparison = comparison
        self.folder = folder


class NeverCheckedError(AssertionError):
    """A test ended without having asked its scoreboard whether all values came: fails the test."""


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a failure: `failure.json` of a kept folder."""

    reason: str
    model: str
    model_sha256: str
    images: int
    """Images kept: all from the first to the one that failed, so that they keep their numbers."""
    of_images: int
    seed: int
    """The seed of the ends of all buses."""
    cycle: int
    comparison: Comparison
    unwatched: tuple[str, ...]
    simulator: str
    cocotb: str = COCOTB_VERSION
    fxsim: str = __version__


def keep(parent: Path, failure: Failure, model: Model, images: Values) -> Path:
    """Write model, images and record into a new folder in `parent`, whole or not at all. FxsimError or OSError."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "-", failure.model).strip(".-")[:80] or "model"
    temporary = beside(parent / name)
    try:
        temporary.mkdir(parents=True)
        save(model, temporary / "model.safetensors")
        np.save(temporary / "images.npy", images[: failure.images])
        (temporary / "failure.json").write_bytes(msgspec.json.format(msgspec.json.encode(failure)) + b"\n")
        for number in count(1):
            folder = parent / f"{name}-{number}"
            if not folder.exists():
                break
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def show_command(folder: Path, comparison: Comparison) -> str:
    """The command that writes the model's values at the taps that were watched, from a kept folder."""
    taps = ",".join(tap.tap for tap in comparison.taps if tap.tap != INPUT)
    words = ["fxsim", "vectors", str(folder / "model.safetensors"), str(folder / "images.npy")]
    words += ["--taps", taps] if taps else []
    return shlex.join([*words, "--format", "npy", "-o", str(folder / "values")])


def kept_words(parent: Path, failure: Failure, model: Model, images: Values) -> tuple[str, Path | None]:
    """Keep the folder; the words that name it, or say why there is none, and the folder."""
    try:
        folder = keep(parent, failure, model, images)
    except (FxsimError, OSError) as error:
        return f"could not be kept in {parent}: {error}", None
    return f"kept in {folder}; the model's values: {show_command(folder, failure.comparison)}", folder
