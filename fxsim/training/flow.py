"""A whole recipe: teacher, student, quantised network, integer model, evaluation; what is there is not redone."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from filelock import FileLock, Timeout

from fxsim.errors import FileError, FxsimError
from fxsim.formats import atomic_write, load
from fxsim.formats.text import read_json
from fxsim.temporary import sweep
from fxsim.training.distill import distill, distill_key
from fxsim.training.evaluate import evaluate, test_codes
from fxsim.training.integer_model import write_model
from fxsim.training.keys import code, file_sha256
from fxsim.training.log import log_path, read_log
from fxsim.training.loop import Progress, Tell, discard_partial, silent
from fxsim.training.quantise import quantise, quantise_key
from fxsim.training.recipe import Recipe, load_recipe
from fxsim.training.splits import Splits, load_splits
from fxsim.training.train import train, train_key

FLOAT = "float.safetensors"
QUANTISED = "quantised.safetensors"
MODEL = "model.safetensors"
EVALUATION = "evaluation.json"
CURVES = "training.svg"
"""Losses and accuracies over the epochs, as a picture."""
RECORD = "flow.json"
"""Record of the results in the folder, with the key of what each depends on and its hash."""

ProgressFor = Callable[[str], AbstractContextManager[Progress]]
"""Given what is being done, a progress report for it."""

_LOCK = ".lock"
_POLL_SECONDS = 0.5
_RECORD_BYTES_MAX = 1 << 20


class _Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    key: str
    sha256: str


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    version: int
    results: dict[str, _Result]


@dataclass(frozen=True)
class FlowResult:
    """Files that a flow left in `folder`. None for what the recipe does not reach; `made`: what was not reused."""

    folder: Path
    network: Path
    teacher: Path | None
    quantised: Path | None
    model: Path | None
    evaluation: Path | None
    made: tuple[str, ...]


def no_progress(_label: str) -> AbstractContextManager[Progress]:
    """A progress report to nobody."""
    return nullcontext(silent)


def flow(
    recipe: Recipe, folder: Path | None = None, progress: ProgressFor = no_progress, tell: Tell = silent
) -> FlowResult:
    """Carry a recipe out into `folder`, by default `runs/NAME`; the teacher's recipe into its own folder beside it.

    Results are FLOAT and, with [quantize], QUANTISED, MODEL and EVALUATION, with logs beside them. One is reused where
    nothing that it depends on changed: recipe sections, seed, data, the results before it, fxsim's code, torch.
    Whatever interrupts a flow leaves every finished result, and the next one as far as it came (see `run_stages`).
    Where another flow works in the teacher's folder, this one waits for it. FxsimError where something cannot be read,
    does not fit or cannot be written, where another flow runs in `folder`, or made another teacher meanwhile.
    """
    folder = Path("runs") / recipe.name if folder is None else folder
    master = _load_teacher(recipe, folder)
    splits = load_splits(recipe)
    if recipe.few_bits is not None:
        return _few_bits(recipe, folder, splits, progress, tell)
    teacher: Path | None = None
    made: list[str] = []
    if master is not None:
        teacher, made = _make_teacher(master, splits, folder, progress, tell)
    stated = None if teacher is None else file_sha256(teacher)
    with _Folder.open(folder) as results:
        network = _make_network(recipe, splits, teacher, results, progress, tell)
        if recipe.quantize is None:
            _draw(recipe, (network,), results)
            return FlowResult(folder, network, teacher, None, None, None, (*made, *results.made))
        if teacher is not None and file_sha256(teacher) != stated:
            raise FxsimError(
                f"{teacher}: another flow made it anew meanwhile; expected the flows of another seed or data to have "
                "their folders elsewhere (-o)"
            )
        quantised = _make_quantised(recipe, splits, network, teacher, results, progress, tell)
        _draw(recipe, (network, quantised), results)
        model = _make_model(recipe, quantised, results, tell)
        evaluation = _make_evaluation(recipe, splits, network, quantised, model, results, progress, tell)
        return FlowResult(folder, network, teacher, quantised, model, evaluation, (*made, *results.made))


def _few_bits(recipe: Recipe, folder: Path, splits: Splits, progress: ProgressFor, tell: Tell) -> FlowResult:
    """A recipe of a network of few bits: training gives the quantised network."""
    with _Folder.open(folder) as results:
        quantised = results.path(QUANTISED)
        if not results.has(QUANTISED, key := train_key(recipe, splits), tell):
            with progress(f"{recipe.name}: train") as report:
                train(recipe, quantised, splits, report, tell)
            results.add(QUANTISED, key)
        discard_partial(quantised)
        _draw(recipe, (quantised,), results)
        model = _make_model(recipe, quantised, results, tell)
        evaluation = _make_evaluation(recipe, splits, None, quantised, model, results, progress, tell)
        return FlowResult(folder, quantised, None, quantised, model, evaluation, tuple(results.made))


def _draw(recipe: Recipe, trained: tuple[Path, ...], results: "_Folder") -> None:
    """The picture of the training, where anything was trained or there is none yet."""
    picture = results.path(CURVES)
    if picture.exists() and not results.made:
        return
    from fxsim.formats.figures import write_figure
    from fxsim.training.curves import draw_curves

    records = [record for path in trained if log_path(path).exists() for record in read_log(log_path(path))]
    if records:
        write_figure(draw_curves(records, f"{recipe.name}, seed {recipe.seed}"), picture)


def write_stimulus(recipe: Recipe, model: Path, images: int, path: Path) -> int:
    """Write the first `images` test pictures as codes, as a model takes them, to a .npy file; returns how many.

    int8 [image, token, value]: what `fxsim run` and `fxsim cosim` take. FileError where it cannot be written.
    """
    codes, _ = test_codes(load(model), recipe.data.source, recipe.data_path)
    with atomic_write(path) as file, file.open("wb") as stream:
        np.save(stream, codes[:images], allow_pickle=False)
    return min(images, len(codes))


def _load_teacher(recipe: Recipe, folder: Path) -> Recipe | None:
    """The recipe of a recipe's teacher, if it has one. FxsimError where the two do not fit."""
    if recipe.teacher is None:
        return None
    teacher = load_recipe(recipe.teacher, recipe.data_path, recipe.seed, recipe.device)
    if teacher.teacher is not None:
        raise FxsimError(f"{teacher.path}: is a teacher's recipe and has a [teacher] itself, expected one that has not")
    # Another split, and the teacher would have seen what the student is validated on.
    if teacher.describe("data") != recipe.describe("data") | {"threads": teacher.threads}:
        raise FxsimError(f"{recipe.path}: its [data] differs from that of the teacher's recipe {teacher.path}")
    for name in ("channels", "blocks"):
        its, wanted = getattr(teacher.resmlp, name), getattr(recipe.resmlp, name)
        if its != wanted:
            raise FxsimError(
                f"{recipe.path}: [network] {name} is {wanted}, in the teacher's recipe {teacher.path} {its}; "
                "expected the same"
            )
    if teacher.name == recipe.name or (folder.parent / teacher.name).resolve() == folder.resolve():
        raise FxsimError(f"{folder}: is the teacher's folder too, expected another one or another name")
    return teacher


def _make_teacher(
    teacher: Recipe, splits: Splits, folder: Path, progress: ProgressFor, tell: Tell
) -> tuple[Path, list[str]]:
    # Students that are trained side by side have one teacher: the first makes it, the others wait.
    with _Folder.open(folder.parent / teacher.name, waits=tell) as results:
        path = _make_network(teacher, splits, None, results, progress, tell)
        return path, [f"teacher {name}" for name in results.made]


def _make_network(
    recipe: Recipe, splits: Splits, teacher: Path | None, results: "_Folder", progress: ProgressFor, tell: Tell
) -> Path:
    output = results.path(FLOAT)
    if recipe.train is not None:
        if not results.has(FLOAT, key := train_key(recipe, splits), tell):
            with progress(f"{recipe.name}: train") as report:
                train(recipe, output, splits, report, tell)
            results.add(FLOAT, key)
    else:
        assert teacher is not None  # [distill] needs a [teacher], which the recipe's reader checked
        if not results.has(FLOAT, key := distill_key(recipe, splits, teacher), tell):
            with progress(f"{recipe.name}: distill") as report:
                distill(recipe, teacher, output, splits, report, tell)
            results.add(FLOAT, key)
    discard_partial(output)
    return output


def _make_quantised(
    recipe: Recipe,
    splits: Splits,
    network: Path,
    teacher: Path | None,
    results: "_Folder",
    progress: ProgressFor,
    tell: Tell,
) -> Path:
    output = results.path(QUANTISED)
    key = _join(quantise_key(recipe, splits, network, teacher), recipe.describe("export"))
    if not results.has(QUANTISED, key, tell):
        with progress(f"{recipe.name}: quantize") as report:
            quantise(recipe, network, teacher, output, splits=splits, progress=report, tell=tell)
        results.add(QUANTISED, key)
    discard_partial(output)
    return output


def _make_model(recipe: Recipe, quantised: Path, results: "_Folder", tell: Tell) -> Path:
    output = results.path(MODEL)
    key = _join("model", recipe.name, file_sha256(quantised), code())
    if not results.has(MODEL, key, tell):
        write_model(quantised, output)
        results.add(MODEL, key)
    return output


def _make_evaluation(
    recipe: Recipe,
    splits: Splits,
    network: Path | None,
    quantised: Path,
    model: Path,
    results: "_Folder",
    progress: ProgressFor,
    tell: Tell,
) -> Path:
    output = results.path(EVALUATION)
    inputs = [file_sha256(path) for path in (network, quantised, model) if path is not None]
    key = _join("evaluation", *inputs, splits.sha256, recipe.describe("data"), code("engines"))
    if not results.has(EVALUATION, key, tell):
        with progress(f"{recipe.name}: evaluate") as report:
            found = evaluate(model, recipe.data.source, recipe.data_path, network, quantised, progress=report)
        with atomic_write(output) as file:
            file.write_bytes(msgspec.json.format(msgspec.json.encode(found)) + b"\n")
        results.add(EVALUATION, key)
    return output


def _join(*parts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


@dataclass
class _Folder:
    """A folder of results and its record, locked by this process."""

    folder: Path
    results: dict[str, _Result]
    made: list[str] = field(default_factory=list)

    @classmethod
    @contextlib.contextmanager
    def open(cls, folder: Path, waits: Tell | None = None) -> Iterator["_Folder"]:
        """Lock the folder. Where another flow has it: wait, which `waits` is told, or else FxsimError."""
        lock = FileLock(folder / _LOCK)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                if waits is None:
                    raise FxsimError(f"{folder}: another flow is running there; expected it to have ended") from None
                waits(f"{folder}: another flow is running there, waiting for it to end")
                lock.acquire(poll_interval=_POLL_SECONDS)
        except OSError as error:
            raise FileError(f"cannot write into the folder {folder}: {error.strerror or error}") from None
        try:
            sweep(folder)
            yield cls(folder, _read_record(folder / RECORD))
        finally:
            lock.release()

    def path(self, name: str) -> Path:
        return self.folder / name

    def has(self, name: str, key: str, tell: Tell) -> bool:
        """Whether the result is there, is of this key, and is the file that was written."""
        known, path = self.results.get(name), self.path(name)
        if known is None or known.key != key or not path.is_file() or file_sha256(path) != known.sha256:
            return False
        tell(f"{path}: nothing it depends on changed, used again")
        return True

    def add(self, name: str, key: str) -> None:
        """Record a result that was just written."""
        self.results[name] = _Result(key, file_sha256(self.path(name)))
        self.made.append(name)
        record = _Record("fxsim.flow", 1, self.results)
        with atomic_write(self.path(RECORD)) as file:
            file.write_bytes(msgspec.json.format(msgspec.json.encode(record)) + b"\n")


def _read_record(path: Path) -> dict[str, _Result]:
    """The record's results; none where there is no record that can be read: they are made anew."""
    try:
        record = read_json(path, _Record, _RECORD_BYTES_MAX, "a record of a flow")
    except FileError:
        return {}
    return record.results if (record.format, record.version) == ("fxsim.flow", 1) else {}
