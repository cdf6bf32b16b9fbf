"""Checking a folder of vectors: everything in it is derived again from its model and stimulus, and compared exactly."""

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from fxsim.compare import Difference, Tally, TapShape, model_taps, sentence
from fxsim.contract.arithmetic import Integers
from fxsim.errors import FxsimError
from fxsim.formats import load, model_sha256, read_stimulus
from fxsim.graph import INPUT, Model
from fxsim.vectors.derive import PlannedFile, Progress, derive, no_progress, tensor_index
from fxsim.vectors.formats import FORMATS, decode_slot
from fxsim.vectors.manifest import MANIFEST, MODEL_FILE, STIMULUS_FILE, VectorFile, VectorManifest, read_manifest
from fxsim.vectors.stimulus import draw_stimulus


class VectorProblem(msgspec.Struct, frozen=True):
    """One thing that is wrong with a folder, said in `message`; with its place where it is a value."""

    file: str
    message: str
    image: int | None = None
    token: int | None = None
    channel: int | None = None
    expected: int | None = None
    found: str | None = None


class VectorCheck(msgspec.Struct, frozen=True):
    """The findings of a check. `values` counts the expected values derived and compared, by digest or in a file."""

    passed: bool
    directory: str
    model: str
    images: int
    taps: int
    files: int
    values: int
    problems: tuple[VectorProblem, ...]


def check_vectors(
    directory: str | os.PathLike[str],
    model: Model | None = None,
    engine: str = "auto",
    progress: Progress = no_progress,
) -> VectorCheck:
    """Derive every file of a folder again and compare; `model`, if given, must compute the same as the folder's own.

    All problems come in the result: files that are missing, extra or different, with the first differing value of each.
    FileError only where there is no manifest to check against.
    """
    root = Path(directory)
    stated = read_manifest(root)
    problems = _listing(root, stated)
    own, x = _sources(root, stated, model, problems)
    compared = 0

    def count(done: int, total: int) -> None:
        nonlocal compared
        assert own is not None
        compared = done * sum(tap.size for tap in model_taps(own))
        progress(done, total)

    if own is not None and x is not None:
        problems += _compare(root, stated, own, x, engine, count)
    return VectorCheck(
        passed=not problems,
        directory=str(root),
        model=stated.model.name,
        images=stated.stimulus.shape[0],
        taps=len(stated.taps),
        files=len(stated.files()) + 1,
        values=compared,
        problems=tuple(problems),
    )


def _listing(root: Path, stated: VectorManifest) -> list[VectorProblem]:
    """Files that should not be there. Missing ones are found when they are to be compared."""
    known = {MANIFEST, *(file.path for file in stated.files())}
    found = {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_symlink() or not path.is_dir()}
    return [VectorProblem(path, f"{path}: is not in the manifest") for path in sorted(found - known)]


def _sources(
    root: Path, stated: VectorManifest, given: Model | None, problems: list[VectorProblem]
) -> tuple[Model | None, Integers | None]:
    """The folder's model and stimulus; None for one that is not what the manifest states: nothing follows from it."""
    try:
        model = load(root / MODEL_FILE)
    except FxsimError as error:
        problems.append(VectorProblem(MODEL_FILE, str(error)))
        return None, None
    sound = True

    def wrong(file: str, message: str) -> None:
        nonlocal sound
        sound = False
        problems.append(VectorProblem(file, f"{file}: {message}"))

    if _file_record(root, MODEL_FILE) != stated.model.file:
        wrong(MODEL_FILE, f"the file's bytes differ from those the manifest states (sha256 {stated.model.file.sha256})")
    sha256 = model_sha256(model)
    if sha256 != stated.model.sha256:
        wrong(MODEL_FILE, f"computes something else: model sha256 {sha256}, the manifest states {stated.model.sha256}")
    if given is not None and model_sha256(given) != sha256:
        wrong(MODEL_FILE, f"model sha256 {sha256}, the model to check against has {model_sha256(given)}")
    try:
        x = read_stimulus(root / STIMULUS_FILE, model)
    except FxsimError as error:
        problems.append(VectorProblem(STIMULUS_FILE, str(error)))
        return None, None
    if _sha256(x) != stated.stimulus.sha256:
        wrong(STIMULUS_FILE, f"values have sha256 {_sha256(x)}, the manifest states {stated.stimulus.sha256}")
    if stated.stimulus.draw is not None:
        sound &= _compare_draw(stated, model, x, problems)
    return (model, x) if sound else (None, None)


def _sha256(x: Integers) -> str:
    digest = hashlib.sha256()
    for image in x:
        digest.update(image.tobytes())
    return digest.hexdigest()


def _file_record(root: Path, path: str) -> VectorFile:
    data = (root / path).read_bytes()
    return VectorFile(path, len(data), hashlib.sha256(data).hexdigest(), "")


def _compare_draw(stated: VectorManifest, model: Model, x: Integers, problems: list[VectorProblem]) -> bool:
    """Whether the stimulus is what its seed gives."""
    draw, seed = stated.stimulus.draw, stated.stimulus.seed
    assert draw is not None
    assert seed is not None  # `read_manifest` holds it to be there with a draw
    try:
        expected = draw_stimulus(draw, len(x), model.graph.input, seed)
    except FxsimError as error:
        problems.append(VectorProblem(MANIFEST, f"{MANIFEST}: {error}"))
        return False
    tally = Tally(TapShape(INPUT, tensor_index(model, INPUT)[1:], model.graph.input_shape), len(x))
    tally.add(expected, x, (f"draw '{draw}'", STIMULUS_FILE))
    found = tally.result()
    if found.first is not None:
        problems.append(_difference(STIMULUS_FILE, found.first))
    return found.equal


def _difference(file: str, difference: Difference, note: str = "") -> VectorProblem:
    """The problem of a file in which one value differs."""
    message = f"{file}: {sentence(difference, tap='', got='found')}{note}"
    channel = difference.index.get("value") if difference.channel is None else difference.channel
    return VectorProblem(
        file, message, difference.image, difference.token, channel, int(difference.expected), str(difference.got)
    )


def _compare(
    root: Path, stated: VectorManifest, model: Model, x: Integers, engine: str, progress: Progress
) -> list[VectorProblem]:
    """Every data file byte for byte, then every statement of the manifest."""
    if stated.data_format not in FORMATS:
        message = f"data_format is '{stated.data_format}', expected one of {', '.join(FORMATS)}"
        return [VectorProblem(MANIFEST, f"{MANIFEST}: {message}")]
    kept = {tap.name for tap in stated.taps if tap.file is not None}
    taps = tuple(name for name in model.graph.taps if name in kept)
    readers: list[_Reader] = []

    def open_reader(plan: PlannedFile) -> _Reader:
        readers.append(_Reader(root, plan))
        return readers[-1]

    derived = derive(
        model,
        x,
        taps,
        stated.data_format,
        stated.model.file,
        stated.stimulus.draw,
        stated.stimulus.seed,
        engine,
        open_reader,
        progress,
    )
    problems = [reader.problem for reader in readers if reader.problem is not None]
    # Who computed it is the one thing that may differ.
    derived = msgspec.structs.replace(derived, engine=stated.engine, fxsim_version=stated.fxsim_version)
    return problems + _manifest_problems(stated, derived)


def _manifest_problems(stated: VectorManifest, derived: VectorManifest) -> list[VectorProblem]:
    """The first difference of each of the manifest's parts, as `part.part: expected, found`."""
    problems = []

    def compare(where: str, expected: object, found: object) -> None:
        if expected == found:
            return
        if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
            for key in expected:
                compare(f"{where}.{key}" if where else key, expected[key], found[key])
            return
        message = f"{MANIFEST}: {where} is {found!r}, expected {expected!r}"
        problems.append(VectorProblem(MANIFEST, message))

    def by_tap(manifest: VectorManifest) -> dict[str, object]:
        # By name, so that a tap that is missing or twice there is named.
        return {tap.name: msgspec.to_builtins(tap) for tap in manifest.taps}

    expected_taps, stated_taps = by_tap(derived), by_tap(stated)
    if [tap.name for tap in stated.taps] != [tap.name for tap in derived.taps]:
        names = [tap.name for tap in stated.taps]
        message = f"{MANIFEST}: taps are {', '.join(names)}; expected {', '.join(expected_taps)}"
        problems.append(VectorProblem(MANIFEST, message))
    else:
        compare("taps", expected_taps, stated_taps)
    compare(
        "",
        msgspec.to_builtins(msgspec.structs.replace(derived, taps=())),
        msgspec.to_builtins(msgspec.structs.replace(stated, taps=())),
    )
    return problems


class _Reader:
    """A sink that compares a file on disk with the bytes it should have; `problem` is its first difference."""

    def __init__(self, root: Path, plan: PlannedFile) -> None:
        self.plan = plan
        self.problem: VectorProblem | None = None
        self._index = 0
        self._file: BinaryIO | None = None
        path = root / plan.path
        if path.is_file():
            try:
                self._file = path.open("rb")
            except OSError as error:
                self._wrong(f"cannot be read: {error.strerror or error}")
        else:
            self._wrong("is missing")

    def _wrong(self, message: str) -> None:
        self.problem = VectorProblem(self.plan.path, f"{self.plan.path}: {message}")

    def header(self, data: bytes) -> None:
        if self._file is not None and (found := self._file.read(len(data))) != data:
            self._wrong(f"begins with {_short(found)}, expected {_short(data)}")

    def values(self, data: bytes, values: Integers) -> None:
        first, self._index = self._index, self._index + values.size
        if self._file is None or self.problem is not None:
            return
        found = self._file.read(len(data))
        if found == data:
            return
        shorter = min(len(found), len(data))
        differs = np.frombuffer(found, np.uint8, shorter) != np.frombuffer(data, np.uint8, shorter)
        offset = int(differs.argmax()) if differs.any() else shorter
        slot, width = self.plan.fmt.slot, self.plan.fmt.width
        value = offset // slot
        if value >= values.size or (value == values.size - 1 and offset % slot >= width):
            self._wrong(f"ends with {_short(found[offset:])}, expected {_short(data[offset:])}")
            return
        text = found[value * slot : value * slot + width]
        image, *place = (int(i) for i in np.unravel_index(first + value, self.plan.shape))
        difference = Difference(
            image=image,
            tap=self.plan.source,
            index=dict(zip(self.plan.index[1:], place, strict=True)),
            expected=int(values.reshape(-1)[value]),
            got=decode_slot(self.plan.fmt, text) if text else "the end of the file",
        )
        after = found[value * slot + width : (value + 1) * slot]
        note = f", and after it {_short(after)}" if after != self.plan.fmt.separator and len(text) == width else ""
        self.problem = _difference(self.plan.path, difference, note)

    def close(self) -> None:
        if self._file is None:
            return
        if self.problem is None and self._file.read(1):
            self._wrong("goes on after its last value, expected the end of the file")
        self._file.close()


def _short(data: bytes) -> str:
    return repr(data[:60].decode("latin-1")) + ("..." if len(data) > 60 else "")
