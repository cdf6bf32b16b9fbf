"""`golden/manifest.json`: what is in the folder, how each model was made, what was measured of it; and the check."""

import hashlib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from fxsim.contract import Number
from fxsim.contract.arithmetic import Int8, Integers
from fxsim.engines import run
from fxsim.errors import FileError, FxsimError
from fxsim.formats import load, model_sha256, read_stimulus
from fxsim.formats.text import read_json
from fxsim.graph import Model

SATURATING_BITS = 8
"""Bits of the narrowest format of which values at the ends are counted."""
FORMAT = "fxsim.golden"
VERSION = 2
MANIFEST = "manifest.json"
MANIFEST_BYTES_MAX = 16 << 20
PLAN = "signoff.toml"
"""The plan of a sign-off, written by hand, which may lie in the folder without being in the manifest."""
WAIVERS = ("code_coverage_simd.toml", "code_coverage_stream.toml")
"""Waivers of the plan's checks, which are written by hand as the plan is."""
AREAS = "areas.json"
"""Areas that the plan's checks hold designs to, which `fxsim area --record` writes."""
IMPORTED = ("imported/qdq.onnx", "imported/qoperator.onnx", "imported/small.tflite")
"""Files of other tools that the plan's checks import, which `scripts/make_imported.py` writes."""
ACCEPTED = "signoff.accepted.json"
"""Cycles that the plan's runs are held to, which `fxsim signoff --accept` writes beside it."""

_Path = Annotated[str, Meta(min_length=1, max_length=500, pattern=r"^[^\x00-\x1f\\]+$")]
_Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Positive = Annotated[int, Meta(ge=1, le=2**53)]
_Word = Annotated[str, Meta(min_length=1, max_length=500)]
_Shift = Annotated[str, Meta(pattern="^(0|[1-9][0-9]?|1[0-9]{2}|2[0-4][0-9]|25[0-5])$")]


class GoldenFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the folder, by its path inside it."""

    path: _Path
    bytes: _Count
    sha256: _Sha256


class TapStatistics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Statistics of a tap's values on all images of the stimulus.

    `saturated` is the share at its format's least or greatest; 0 of formats of fewer than 8 bits, whose ends are what
    their values are for.
    """

    tap: _Word
    min: int
    max: int
    mean: float
    std: float
    saturated: float


class Training(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model's training, and what came of it on the test pictures of its data set.

    `checkpoint` is the quantised network that the model was exported from. `*_correct` counts pictures put into the
    right class by the float network, by the quantised one in float arithmetic, and by the integer model. `saturated`
    counts, for each tap of the integer model, the values at its format's ends on all test pictures. `float_correct` is
    None where training quantises from its beginning on, so that there is no float network.
    """

    recipe: _Path
    recipe_sha256: _Sha256
    data: _Word
    data_sha256: _Sha256
    checkpoint: _Path
    test_images: _Positive
    float_correct: _Count | None
    fake_quant_correct: _Count
    integer_correct: _Count
    saturated: dict[_Word, _Count]


class GoldenModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model: where it is, how it was made, and what was measured.

    `shifts` counts channels by shift; a network of signs and thresholds has none.

    `training` is None of a random model, which was calibrated on `stimulus` instead; `taps` are measured on that.
    """

    name: _Word
    file: _Path
    model_sha256: _Sha256
    stimulus: _Path
    images: _Positive
    seed: _Count
    shifts: dict[_Shift, _Positive]
    taps: Annotated[list[TapStatistics], Meta(min_length=1)]
    training: Training | None


class GoldenManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`golden/manifest.json`."""

    format: str
    version: int
    generator: str
    seed: int
    statement: str
    models: Annotated[list[GoldenModel], Meta(min_length=1)]
    files: Annotated[list[GoldenFile], Meta(min_length=1)]


def measure(
    model: Model, file: str, stimulus: str, images: Int8, seed: int, training: Training | None = None
) -> GoldenModel:
    """A model's shifts, and its values at every tap on `images`, as the manifest records them."""
    shifts = [a for node in model.graph.nodes for name, a in node.op.arrays() if name == "shift"]
    counts = {str(s): int(n) for s, n in enumerate(np.bincount(np.concatenate(shifts))) if n} if shifts else {}
    values = run(model, images, "all", engine="reference")
    taps = [tap_statistics(tap, v, model.graph.tensors[tap].number) for tap, v in values.items()]
    return GoldenModel(model.name, file, model_sha256(model), stimulus, len(images), seed, counts, taps, training)


def tap_statistics(tap: str, values: Integers, number: Number) -> TapStatistics:
    """Range, mean, spread and saturation of a tap's values; from exact integer sums, so the same on every machine."""
    v = values.astype(np.int64)
    n, total, squares = v.size, int(v.sum()), int((v * v).sum())
    std = math.sqrt(n * squares - total * total) / n
    saturated = int(((v == number.low) | (v == number.high)).sum()) if number.bits >= SATURATING_BITS else 0
    return TapStatistics(tap, int(v.min()), int(v.max()), round(total / n, 3), round(std, 3), round(saturated / n, 6))


def golden_file(directory: Path, path: Path) -> GoldenFile:
    """The record of one file of the folder; FileError where it is missing, or no regular file."""
    place = directory / path
    if not place.is_file():
        what = "is not a regular file" if place.exists() else "there is no such file"
        raise FileError(f"{place}: {what}, expected a golden file")
    try:
        with place.open("rb") as file:
            # Read piece by piece: nobody vouches for its size.
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            return GoldenFile(path.as_posix(), file.tell(), sha256)
    except OSError as error:
        raise FileError(f"{place}: {error.strerror or error}, expected a golden file") from None


def read_manifest(directory: Path) -> GoldenManifest:
    """`manifest.json` of a golden folder; FileError where it is missing or not one.

    Everything that it names stands in it once, and every file that a model needs is among its files.
    """
    path = directory / MANIFEST
    manifest = read_json(path, GoldenManifest, MANIFEST_BYTES_MAX, "a golden manifest")
    if (manifest.format, manifest.version) != (FORMAT, VERSION):
        raise FileError(f"{path}: states {manifest.format} {manifest.version}, expected {FORMAT} {VERSION}")
    for name in _paths(manifest):
        if Path(name).is_absolute() or ".." in Path(name).parts or not Path(name).parts:
            raise FileError(f"{path}: names the file '{name}', expected one inside the folder")
    files = [file.path for file in manifest.files]
    _refuse_repeated(path, "file", files)
    _refuse_repeated(path, "model", (model.name for model in manifest.models))
    for model in manifest.models:
        _refuse_repeated(path, f"model {model.name}'s tap", (statistics.tap for statistics in model.taps))
        if model.training is not None:
            _check_counts(path, model.name, model.training)
    for name in _paths(manifest):
        if name not in files:
            raise FileError(f"{path}: names '{name}', which is not among its files")
    return manifest


def _refuse_repeated(path: Path, what: str, names: Iterable[str]) -> None:
    seen = set()
    for name in names:
        if name in seen:
            raise FileError(f"{path}: has the {what} '{name}' twice, expected once")
        seen.add(name)


def _check_counts(path: Path, model: str, training: Training) -> None:
    for what in ("float_correct", "fake_quant_correct", "integer_correct"):
        if (getattr(training, what) or 0) > training.test_images:
            raise FileError(f"{path}: model '{model}' has {what} beyond its {training.test_images} test_images")


def _paths(manifest: GoldenManifest, of_models: bool = False) -> Iterator[str]:
    """Everything in a manifest that is read or written as a file of the folder; models' own files alone if so asked."""
    if not of_models:
        yield from (file.path for file in manifest.files)
    for model in manifest.models:
        yield from (model.file, model.stimulus)
        if model.training is not None:
            yield model.training.checkpoint


def check_golden(directory: Path) -> list[str]:
    """Problems of a golden folder, one line each: files by hash, then every statistic measured again.

    `check_training` measures the figures of trained models. FileError where the manifest is not one.
    """
    manifest = read_manifest(directory)
    listed = {file.path for file in manifest.files} | {MANIFEST, PLAN, *WAIVERS, AREAS, *IMPORTED, ACCEPTED}
    present_files = sorted(p.relative_to(directory).as_posix() for p in directory.rglob("*") if not p.is_dir())
    problems = [f"{directory / name}: is not in the manifest" for name in present_files if name not in listed]
    used = set(_paths(manifest, of_models=True))
    folders = tuple(f"vectors/{model.name}/" for model in manifest.models)
    problems += [
        f"{directory / file.path}: is of no model of the manifest's"
        for file in manifest.files
        if file.path not in used and not file.path.startswith(folders)
    ]
    for file in manifest.files:
        try:
            present = golden_file(directory, Path(file.path))
        except FileError as error:
            problems.append(str(error))
            continue
        if present != file:
            problems.append(f"{directory / file.path}: sha256 {present.sha256}, the manifest states {file.sha256}")
    if problems:
        return problems  # statistics of damaged files would say the same less clearly
    for stated in manifest.models:
        try:
            model = load(directory / stated.file)
            images = read_stimulus(directory / stated.stimulus, model)
        except FxsimError as error:
            problems.append(str(error))
            continue
        found_model = measure(model, stated.file, stated.stimulus, images, stated.seed)
        if (model.name, len(images)) != (stated.name, stated.images):
            problems.append(
                f"{stated.file}: is '{model.name}' measured on {len(images)} images, "
                f"the manifest states '{stated.name}' on {stated.images}"
            )
        if found_model.model_sha256 != stated.model_sha256:
            problems.append(f"{stated.file}: model sha256 differs from the manifest's")
        if found_model.shifts != stated.shifts:
            problems.append(f"{stated.file}: shifts {found_model.shifts}, the manifest states {stated.shifts}")
        by_tap = {statistics.tap: statistics for statistics in stated.taps}
        problems += [
            f"{stated.file}, tap {found.tap}: measured {found}, the manifest states {by_tap.get(found.tap)}"
            for found in found_model.taps
            if by_tap.get(found.tap) != found
        ]
        unknown = by_tap.keys() - {found.tap for found in found_model.taps}
        problems += [f"{stated.file}: the manifest has statistics of '{tap}', which is no tap" for tap in unknown]
    return problems
