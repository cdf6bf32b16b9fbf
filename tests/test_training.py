"""Training: losses, frozen parts, the same bytes every time, and going on after an interruption as if without."""

import dataclasses
import math
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread, Timer

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from filelock import FileLock
from torch import Tensor, nn

import fxsim.training.flow as flow_module
import fxsim.training.loop as loop
from fxsim.cli.distill import command as distill_command
from fxsim.cli.flow import command as flow_command
from fxsim.cli.train import command as train_command
from fxsim.errors import FileError, FxsimError
from fxsim.formats import load
from fxsim.networks.b_spline import BSpline
from fxsim.networks.checkpoint import load_checkpoint, load_float, load_quantised
from fxsim.networks.resmlp import ResMLP
from fxsim.signoff import read_record
from fxsim.signoff.checks import CHECKS
from fxsim.signoff.checks.cosim import CosimCheck
from fxsim.signoff.context import Context, Outcome
from fxsim.training.distill import distill, distill_key
from fxsim.training.flow import CURVES, EVALUATION, FLOAT, MODEL, QUANTISED, RECORD, flow
from fxsim.training.keys import content_key, file_sha256
from fxsim.training.log import log_path, read_log
from fxsim.training.loop import Batch, Stage, Validation, cosine, run_stages
from fxsim.training.losses import distillation_loss
from fxsim.training.partial import Position, partial_path, read_partial, write_partial
from fxsim.training.recipe import Device, Keep, Recipe, Schedule, load_recipe
from fxsim.training.splits import Examples, Splits, load_splits
from fxsim.training.train import build_network, train
from tests.conftest import SEED

_HEAD = """
seed = 7
threads = 1
[data]
source = "digits"
size = 8
colours = 1
patch = 4
{augmentation}
[network]
channels = 4
blocks = 2
"""

TEACHER = 'name = "teacher"' + _HEAD + 'hidden = 8\nactivation = "relu"\n[train]\nepochs = 3\nbatch = 64\n'
STUDENT = (
    'name = "student"' + _HEAD + 'hidden = 4\nactivation = "{activation}"\n'
    '[teacher]\nrecipe = "teacher.toml"\n[transfer]\nepochs = 2\nbatch = 64\n'
    "[distill]\nepochs = 2\nbatch = 64\n[quantize]\nepochs = 2\nbatch = 64\npercentiles = [90.0, 100.0]\n"
    '[export]\nmethod = "decimate"\n'
)
CROP = "[augmentation]\ncrop_padding = 1"

PICTURES = 150
"""Number of the digits' training pictures that these tests train with; the last batch is smaller than the others."""


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every recipe's data cut to a few pictures."""

    def cut(recipe: Recipe) -> Splits:
        splits = load_splits(recipe)

        def first(examples: Examples, count: int) -> Examples:
            return Examples(examples.pictures.take(range(count)), examples.preprocessing)

        return dataclasses.replace(splits, train=first(splits.train, PICTURES), validation=first(splits.validation, 40))

    for module in ("train", "distill", "quantise", "flow"):
        monkeypatch.setattr(f"fxsim.training.{module}.load_splits", cut)


@pytest.fixture
def recipes(tmp_path: Path) -> Callable[..., Path]:
    """Writes the teacher's and the student's recipe and returns the student's path."""

    def write(activation: str = "relu", augmentation: str = "") -> Path:
        (tmp_path / "teacher.toml").write_text(TEACHER.format(augmentation=augmentation))
        student = tmp_path / "student.toml"
        student.write_text(STUDENT.format(augmentation=augmentation, activation=activation))
        return student

    return write


class Interruption:
    """A progress report that interrupts after so many batches."""

    def __init__(self, after: int) -> None:
        self._after = after

    def __call__(self, done: int, _total: int) -> None:
        """Be told that so many batches are done."""
        if done >= self._after:
            raise KeyboardInterrupt


def made_teacher(recipes: Path) -> Path:
    """The teacher's network, trained."""
    output = recipes.parent / "teacher.safetensors"
    train(load_recipe(recipes.parent / "teacher.toml"), output)
    return output


# --- formulas ---


def test_the_distillation_loss_is_the_formula() -> None:
    """Alpha T^2 H(teacher, student at T) + (1 - alpha) H(labels, student), in plain Python."""
    rng = np.random.default_rng(SEED)
    logits, teacher = rng.normal(0, 3, (5, 4)), rng.normal(0, 3, (5, 4))
    labels = rng.integers(0, 4, 5)
    alpha, temperature = 0.7, 2.5

    def log_softmax(row: np.ndarray, t: float) -> list[float]:
        scaled = [v / t for v in row.tolist()]
        total = math.log(math.fsum(math.exp(v - max(scaled)) for v in scaled)) + max(scaled)
        return [v - total for v in scaled]

    expected = 0.0
    for i in range(5):
        target = [math.exp(v) for v in log_softmax(teacher[i], temperature)]
        soft = -sum(p * v for p, v in zip(target, log_softmax(logits[i], temperature), strict=True))
        hard = -log_softmax(logits[i], 1.0)[labels[i]]
        expected += (alpha * temperature**2 * soft + (1 - alpha) * hard) / 5
    found = distillation_loss(
        torch.from_numpy(logits), torch.from_numpy(teacher), torch.from_numpy(labels), alpha, temperature
    )
    assert float(found) == pytest.approx(expected, rel=1e-12)


def test_the_learning_rate_falls_as_a_cosine() -> None:
    """From the first to the final over the batches of a stage, half-way at half of them."""
    assert cosine(1e-3, 1e-5, 0.0) == pytest.approx(1e-3, rel=1e-12)
    assert cosine(1e-3, 1e-5, 0.5) == pytest.approx((1e-3 + 1e-5) / 2, rel=1e-12)
    assert cosine(1e-3, 1e-5, 1.0) == pytest.approx(1e-5, rel=1e-12)
    assert cosine(1e-3, 1e-5, 1 / 3) == pytest.approx(1e-5 + 0.99e-3 * 0.75, rel=1e-12)


def quadratic_stage(layer: nn.Module, **changes: object) -> Stage:
    """A stage on one parameter whose loss says everything about what the loop did."""
    weight = next(layer.parameters())
    fields: dict[str, object] = {
        "name": "quadratic",
        "schedule": Schedule(epochs=3, batch=4, learning_rate=0.1, final_learning_rate=0.01),
        "examples": 10,
        "trained": layer,
        "loss": lambda indices, _rng: Batch((weight * float(indices.sum() + 1)).square().sum()),
        "validate": lambda: Validation(accuracy=0.5),
    }
    return Stage(**(fields | changes))  # type: ignore[arg-type]


def test_the_loop_is_adam_over_shuffled_batches(tmp_path: Path) -> None:
    """Weights after three epochs are those of Adam written down here, on the batches that the loss was given."""
    torch.manual_seed(SEED)
    layer = nn.Linear(2, 1, bias=False).double()
    w = layer.weight.detach().numpy().copy()
    batches: list[list[int]] = []

    def loss(indices: np.ndarray, _rng: np.random.Generator) -> Batch:
        batches.append(indices.tolist())
        return Batch((layer.weight * float(indices.sum() + 1)).square().sum())

    records = run_stages(layer, [quadratic_stage(layer, loss=loss)], seed=SEED, output=tmp_path / "x", key="k")
    assert [len(batch) for batch in batches] == [4, 4, 2] * 3
    epochs = [[*batches[i], *batches[i + 1], *batches[i + 2]] for i in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]
    m, v = np.zeros_like(w), np.zeros_like(w)
    losses = []
    for t, batch in enumerate(batches):
        rate = 0.01 + 0.09 * (1 + math.cos(math.pi * t / 9)) / 2
        factor = (sum(batch) + 1) ** 2
        losses.append((w**2).sum() * factor)
        gradient = 2 * w * factor
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        w = w - rate * (m / (1 - 0.9 ** (t + 1))) / (np.sqrt(v / (1 - 0.999 ** (t + 1))) + 1e-8)
    np.testing.assert_allclose(layer.weight.detach().numpy(), w, rtol=1e-9)
    assert records[2].loss == pytest.approx((4 * losses[6] + 4 * losses[7] + 2 * losses[8]) / 10, rel=1e-9)
    assert [record.epoch for record in records] == [1, 2, 3]


def test_splines_have_a_learning_rate_of_their_own(tmp_path: Path) -> None:
    """Adam's first step moves every parameter by the learning rate, whatever the gradient: here by two of them."""
    network = nn.Sequential(nn.Linear(2, 2), BSpline(2, knots=3))
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    schedule = Schedule(epochs=1, learning_rate=0.01, final_learning_rate=0.0, spline_learning_rate=0.25)

    def loss(*_: object) -> Batch:
        return Batch(torch.stack([(value * 3.0).sum() for value in network.parameters()]).sum())

    stage = quadratic_stage(nn.Linear(1, 1), schedule=schedule, trained=network, loss=loss)
    run_stages(network, [stage], seed=1, output=tmp_path / "x", key="k")
    for name, value in network.named_parameters():
        rate = 0.25 if name == "1.coefficients" else 0.01
        np.testing.assert_allclose((before[name] - value).detach().numpy(), rate, rtol=1e-4)


@pytest.mark.parametrize(("keep", "epoch"), [(Keep.LAST, 3), (Keep.BEST, 2)])
def test_the_epoch_that_was_asked_for_is_kept(tmp_path: Path, keep: Keep, epoch: int) -> None:
    """The last, or the first of those with the greatest validation accuracy; also after an interruption later on."""
    accuracies = {1: 0.2, 2: 0.9, 3: 0.9}
    for interrupted in (False, True):
        torch.manual_seed(SEED)
        layer = nn.Linear(2, 1, bias=False)
        seen: list[Tensor] = []

        def validate(layer: nn.Linear = layer, seen: list[Tensor] = seen) -> Validation:
            seen.append(layer.weight.detach().clone())
            return Validation(accuracy=accuracies[len(seen)])

        stage, output = quadratic_stage(layer, keep=keep, validate=validate), tmp_path / f"{interrupted}"
        if interrupted:
            with pytest.raises(KeyboardInterrupt):
                run_stages(layer, [stage], seed=1, output=output, key="k", progress=Interruption(8))
            # Going on must not depend on what is in the network.
            nn.init.zeros_(layer.weight)
        run_stages(layer, [stage], seed=1, output=output, key="k")
        assert len(seen) == 3
        assert not torch.equal(seen[1], seen[2])
        assert torch.equal(layer.weight, seen[epoch - 1])


def test_a_loss_that_is_not_finite_stops_with_a_message(tmp_path: Path) -> None:
    """Stage, epoch and the learning rate are named; the epochs before it are kept."""
    layer = nn.Linear(2, 1)
    calls = iter([1.0] * 4 + [math.nan] * 9)
    stage = quadratic_stage(layer, loss=lambda *_: Batch(layer.weight.sum() * next(calls)))
    with pytest.raises(FxsimError, match=r"stage quadratic, epoch 2: the loss is nan.*learning_rate than 0\.1"):
        run_stages(layer, [stage], seed=1, output=tmp_path / "x", key="k")
    assert read_partial(partial_path(tmp_path / "x"), "k").epoch == 1


# --- the same bytes ---


def test_training_twice_gives_the_same_bytes(recipes: Callable[..., Path], tmp_path: Path) -> None:
    """With augmentation, whatever torch's and numpy's global generators were before; another seed gives others."""
    recipe = load_recipe(recipes(augmentation=CROP).parent / "teacher.toml")
    hashes = []
    for number in range(2):
        torch.manual_seed(number)
        state = torch.random.get_rng_state()
        train(recipe, tmp_path / "a.safetensors")
        assert torch.equal(torch.random.get_rng_state(), state)
        hashes.append(file_sha256(tmp_path / "a.safetensors"))
    assert hashes[0] == hashes[1]
    train(dataclasses.replace(recipe, seed=8), tmp_path / "a.safetensors")
    assert file_sha256(tmp_path / "a.safetensors") != hashes[0]


@pytest.mark.parametrize(("augmentation", "seconds"), [("", 0.0), (CROP, 1e9)])
@pytest.mark.parametrize("after", [1, 4, 5, 12, 14])
def test_an_interrupted_training_goes_on_bit_for_bit(
    recipes: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    augmentation: str,
    seconds: float,
    after: int,
) -> None:
    """In a transfer stage, between stages, in the last: the same file as without, and every epoch in the log once."""
    monkeypatch.setattr(loop, "_WRITE_SECONDS", seconds)
    path = recipes("b-spline", augmentation)
    recipe, teacher = load_recipe(path), made_teacher(path)
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    distill(recipe, teacher, whole)
    with pytest.raises(KeyboardInterrupt):
        distill(recipe, teacher, parts, progress=Interruption(after))
    assert not parts.exists()
    told: list[str] = []
    distill(recipe, teacher, parts, tell=told.append)
    # Three batches an epoch: the first epoch was whole where at least three were done and it was validated.
    epochs = (after - 1) // 3
    assert bool(told) == (epochs > 0)
    assert file_sha256(parts) == file_sha256(whole)
    logs = [
        [msgspec.structs.replace(record, seconds=0.0) for record in read_log(log_path(output))]
        for output in (whole, parts)
    ]
    assert logs[0] == logs[1]
    assert [(record.stage, record.epoch) for record in logs[0]] == [
        (stage, epoch) for stage in ("transfer.0", "transfer.1", "distill") for epoch in (1, 2)
    ]
    assert not partial_path(parts).exists()


def test_a_killed_training_goes_on_from_the_last_partial_file(
    recipes: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A partial file older than the log: the same bytes, and every epoch in the log once."""
    monkeypatch.setattr(loop, "_WRITE_SECONDS", 0.0)
    recipe = load_recipe(recipes(augmentation=CROP).parent / "teacher.toml")
    output = tmp_path / "x.safetensors"
    older: list[bytes] = []

    def watch(done: int, _total: int) -> None:
        if done == 4:
            older.append(partial_path(output).read_bytes())

    train(recipe, output, progress=watch)
    expected = file_sha256(output)
    output.unlink()
    _put(output, older[0])
    told: list[str] = []
    train(recipe, output, tell=told.append)
    assert told == [f"going on after epoch 1 of stage train ({partial_path(output)})"]
    assert file_sha256(output) == expected
    assert [record.epoch for record in read_log(log_path(output))] == [1, 2, 3]


def test_a_partial_file_of_anything_else_is_ignored_and_told(recipes: Callable[..., Path], tmp_path: Path) -> None:
    """Another recipe's, a damaged one, and one of this key whose tensors do not fit; the result is as from scratch."""
    recipe = load_recipe(recipes().parent / "teacher.toml")
    output = tmp_path / "x.safetensors"
    train(recipe, output)
    expected = file_sha256(output)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, output, progress=Interruption(5))
    good = partial_path(output).read_bytes()
    other = dataclasses.replace(recipe, train=msgspec.structs.replace(recipe.train, learning_rate=5e-3))
    cases: list[tuple[Callable[[], None], str]] = [
        (lambda: _interrupt(other, output), "another recipe, input, data"),
        (lambda: _put(output, good[: len(good) // 2]), "is not a whole safetensors file"),
        (lambda: _put(output, b"nonsense"), "is not a whole safetensors file"),
        (lambda: _tamper(output, good, network={}), "does not fit"),
        (lambda: _tamper(output, good, stage=1), "does not fit"),
        (lambda: _tamper(output, good, epoch=4), "does not fit"),
        (lambda: _tamper(output, good, optimiser={"0.exp_avg": torch.zeros(99)}), "does not fit"),
        (lambda: _tamper(output, good, optimiser={"x.y": torch.zeros(99)}), "does not fit"),
        (lambda: _tamper(output, good, optimiser={}), "does not fit"),
        (lambda: _tamper(output, good, best={"a": torch.zeros(1)}), "does not fit"),
    ]
    for prepare, message in cases:
        prepare()
        told: list[str] = []
        train(recipe, output, tell=told.append)
        assert len(told) == 1
        assert message in told[0]
        assert "from the beginning" in told[0]
        assert file_sha256(output) == expected


def _interrupt(recipe: Recipe, output: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(recipe, output, progress=Interruption(5))


def _put(output: Path, data: bytes) -> None:
    partial_path(output).write_bytes(data)


def _tamper(output: Path, good: bytes, **changes: object) -> None:
    _put(output, good)
    key = load_checkpoint(output).provenance["key"]
    position = read_partial(partial_path(output), key)
    fields = {field.name: getattr(position, field.name) for field in dataclasses.fields(position)}
    write_partial(partial_path(output), key, Position(**(fields | changes)))


# --- what is trained ---


def states(network: ResMLP) -> dict[str, Tensor]:
    """Copies of all parameters and buffers."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def test_transfer_trains_one_block_at_a_time(
    recipes: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The embedding is the teacher's; in stage i nothing but block i changes, batch norms' statistics included."""
    path = recipes("lerp-psa", CROP)
    teacher = made_teacher(path)
    after: dict[str, dict[str, Tensor]] = {}
    original = loop._run_epoch

    def watched(network: ResMLP, stage: Stage, *rest: object) -> object:
        after.setdefault(f"before {stage.name}", states(network))
        result = original(network, stage, *rest)  # type: ignore[arg-type]
        after[stage.name] = states(network)
        return result

    monkeypatch.setattr(loop, "_run_epoch", watched)
    distill(load_recipe(path), teacher, tmp_path / "s.safetensors")
    master = load_float(teacher)[0].state_dict()
    for number in (0, 1):
        old, new = after[f"before transfer.{number}"], after[f"transfer.{number}"]
        for name, tensor in new.items():
            if not name.startswith(f"blocks.{number}."):
                assert torch.equal(tensor, old[name]), name
        changed = [name for name in new if not torch.equal(new[name], old[name])]
        assert f"blocks.{number}.mlp.norm.running_mean" in changed
        assert f"blocks.{number}.mlp.linear_2.weight" in changed
        for name in ("embed.weight", "embed.bias"):
            assert torch.equal(new[name], master[name])
    old, new = after["before distill"], after["distill"]
    assert all(not torch.equal(new[name], old[name]) for name in new if not name.endswith("num_batches_tracked"))


def test_transfer_is_measured_by_the_distance_of_activations(recipes: Callable[..., Path], tmp_path: Path) -> None:
    """The last validation loss of each block is the mean squared difference of what the two networks' blocks give."""
    path = recipes("lerp-psa")
    teacher, recipe, output = made_teacher(path), load_recipe(path), tmp_path / "s.safetensors"
    # Stopped in the first batch of distillation, the partial file has the network as transfer left it.
    with pytest.raises(KeyboardInterrupt):
        distill(recipe, teacher, output, progress=Interruption(13))
    position = read_partial(partial_path(output), distill_key(recipe, flow_module.load_splits(recipe), teacher))
    splits = flow_module.load_splits(recipe)
    student = build_network(recipe, splits)
    student.load_state_dict(position.network)
    given: dict[str, list[np.ndarray]] = {}
    for name, network in (("student", student.eval()), ("teacher", load_float(teacher)[0])):
        for block in network.blocks:
            block.register_forward_hook(
                lambda _m, _i, y, name=name: given.setdefault(name, []).append(y.detach().double().numpy())
            )
        network(splits.validation.tokens)
    for number in (0, 1):
        stated = [record for record in position.records if record.stage == f"transfer.{number}"][-1].validation_loss
        expected = ((given["student"][number] - given["teacher"][number]) ** 2).mean()
        assert stated == pytest.approx(expected, rel=1e-5)


def test_augmentation_changes_the_pictures_not_the_labels(recipes: Callable[..., Path]) -> None:
    """Crops are of the pictures at the indices, the same for the same generator."""
    recipe = load_recipe(recipes(augmentation=CROP))
    splits = load_splits(recipe)
    where = np.array([3, 1, 2])
    a, b, c = (splits.train.augmented(where, recipe.augmentation, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.shape == (3, 4, 16)


# --- refusals ---


def test_a_teacher_that_does_not_fit_is_refused(recipes: Callable[..., Path], tmp_path: Path) -> None:
    """Other dimensions, other preprocessing, a file that is not there, the teacher as output."""
    path = recipes()
    teacher, recipe = made_teacher(path), load_recipe(path)
    output = tmp_path / "s.safetensors"
    wider = dataclasses.replace(recipe, network=msgspec.structs.replace(recipe.resmlp, channels=5))
    with pytest.raises(FxsimError, match="teacher has 4 channels, the student 5"):
        distill(wider, teacher, output)
    other = dataclasses.replace(recipe, data=msgspec.structs.replace(recipe.data, mean=(0.5,), std=(1.0,)))
    with pytest.raises(FxsimError, match="expected the same"):
        distill(other, teacher, output)
    with pytest.raises(FileError, match="none"):
        distill(recipe, tmp_path / "none", output)
    with pytest.raises(FxsimError, match="is read as an input"):
        distill(recipe, teacher, teacher)
    with pytest.raises(FxsimError, match=r"no \[train\]"):
        train(recipe, output)
    with pytest.raises(FxsimError, match=r"no \[distill\]"):
        distill(load_recipe(path.parent / "teacher.toml"), teacher, output)
    with pytest.raises(FileError, match="there is no folder"):
        train(load_recipe(path.parent / "teacher.toml"), tmp_path / "a" / "b")
    assert not output.exists()


# --- the flow ---


def test_a_flow_makes_what_is_missing_and_nothing_else(recipes: Callable[..., Path], tmp_path: Path) -> None:
    """Everything at first; nothing again; after a change, what depends on it; a damaged result and what follows."""
    path, folder = recipes("lerp-psa"), tmp_path / "runs" / "student"
    everything = ("teacher float.safetensors", FLOAT, QUANTISED, MODEL, EVALUATION)
    assert flow(load_recipe(path), folder).made == everything
    before = {name: file_sha256(folder / name) for name in (FLOAT, QUANTISED, MODEL, EVALUATION)}
    assert load(folder / MODEL).name == "student"
    load_quantised(folder / QUANTISED)
    assert flow(load_recipe(path), folder).made == ()
    path.write_text(path.read_text().replace("[quantize]", "[quantize]\nlearning_rate = 5e-4"))
    assert flow(load_recipe(path), folder).made == (QUANTISED, MODEL, EVALUATION)
    assert file_sha256(folder / QUANTISED) != before[QUANTISED]
    path.write_text(path.read_text().replace("\nlearning_rate = 5e-4", "") + "points = 32\n")
    assert flow(load_recipe(path), folder).made == (QUANTISED, MODEL, EVALUATION)
    path.write_text(path.read_text().replace("points = 32\n", ""))
    (folder / FLOAT).write_bytes((folder / FLOAT).read_bytes()[:-1])
    # The float network comes out as it was, and so does what follows from it.
    assert flow(load_recipe(path), folder).made == (FLOAT, QUANTISED, MODEL, EVALUATION)
    assert {name: file_sha256(folder / name) for name in before} == before
    (folder / RECORD).write_text("{")
    assert flow(load_recipe(path), folder).made == everything[1:]


def test_an_interrupted_flow_goes_on_and_leaves_nothing_half_written(
    recipes: Callable[..., Path], tmp_path: Path
) -> None:
    """Interrupted in every stage in turn, it ends with the files that an uninterrupted one gives."""
    path, folder, whole = recipes(), tmp_path / "a" / "student", tmp_path / "b" / "student"
    flow(load_recipe(path), whole)
    counts: dict[str, int] = {}

    @contextmanager
    def interrupting(label: str) -> Iterator[loop.Progress]:
        counts[label] = counts.get(label, 0) + 1
        yield Interruption(4) if counts[label] == 1 and "evaluate" not in label else (lambda *_: None)

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            flow(load_recipe(path), folder, interrupting)
    flow(load_recipe(path), folder, interrupting)
    assert sorted(counts) == ["student: distill", "student: evaluate", "student: quantize", "teacher: train"]
    for name in (FLOAT, QUANTISED, MODEL, EVALUATION):
        assert file_sha256(folder / name) == file_sha256(whole / name), name
    assert {p.name for p in folder.iterdir()} == {p.name for p in whole.iterdir()}


@contextmanager
def another_flow(folder: Path) -> Iterator[Event]:
    """The folder is somebody else's until the event is set, or the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    has_it, end = Event(), Event()

    def hold() -> None:
        with FileLock(folder / ".lock"):
            has_it.set()
            end.wait()

    thread = Thread(target=hold)
    thread.start()
    has_it.wait()
    try:
        yield end
    finally:
        end.set()
        thread.join()


def test_students_of_one_teacher_wait_for_it(recipes: Callable[..., Path], tmp_path: Path) -> None:
    """A flow says that it waits for the teacher's folder, goes on once that is free, and can be interrupted."""
    path, folder = recipes(), tmp_path / "runs" / "student"
    told: list[str] = []

    with another_flow(tmp_path / "runs" / "teacher") as end:

        def tell(line: str) -> None:
            told.append(line)
            Timer(0.5, end.set).start()

        @contextmanager
        def begun(_label: str) -> Iterator[loop.Progress]:
            assert end.is_set()
            yield lambda *_: None

        assert flow(load_recipe(path), folder, begun, tell).made[0] == "teacher float.safetensors"
    assert told[0] == f"{tmp_path / 'runs' / 'teacher'}: another flow is running there, waiting for it to end"

    def interrupt(_line: str) -> None:
        raise KeyboardInterrupt

    with another_flow(tmp_path / "runs" / "teacher"), pytest.raises(KeyboardInterrupt):
        flow(load_recipe(path), folder, tell=interrupt)


def test_a_teacher_that_is_made_anew_meanwhile_is_noticed(recipes: Callable[..., Path], tmp_path: Path) -> None:
    """A student is not quantised with another teacher than it was distilled from."""
    path, folder = recipes(), tmp_path / "runs" / "student"
    other = tmp_path / "runs" / "teacher" / FLOAT

    @contextmanager
    def meanwhile(label: str) -> Iterator[loop.Progress]:
        yield lambda *_: None
        if label == "student: distill":
            train(load_recipe(tmp_path / "teacher.toml", seed=8), other)

    with pytest.raises(FxsimError, match="another flow made it anew meanwhile") as caught:
        flow(load_recipe(path), folder, meanwhile)
    assert str(caught.value).startswith(f"{other}: ")
    assert flow(load_recipe(path), folder).made == ("teacher float.safetensors", QUANTISED, MODEL, EVALUATION)


def test_what_a_killed_flow_was_writing_is_removed(recipes: Callable[..., Path], tmp_path: Path) -> None:
    """Its temporary files alone: whatever else is in the folder stays."""
    path, folder = recipes(), tmp_path / "runs" / "t"
    folder.mkdir(parents=True)
    own = folder / "notes.tmp"
    own.write_text("x")
    code = (
        "import os, signal; from pathlib import Path; from fxsim.formats import atomic_write\n"
        f"with atomic_write(Path({str(folder / FLOAT)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    (leftover,) = folder.glob(f".{FLOAT}*")
    flow(load_recipe(path.parent / "teacher.toml"), folder)
    assert (leftover.exists(), own.exists()) == (False, True)


def test_a_renamed_recipe_is_carried_out_anew(recipes: Callable[..., Path], tmp_path: Path) -> None:
    """Results state the recipe's name: in the same folder, too, they are those of a new one."""
    path, folder = recipes().parent / "teacher.toml", tmp_path / "runs" / "x"
    flow(load_recipe(path), folder)
    path.write_text(path.read_text().replace('"teacher"', '"renamed"'))
    assert flow(load_recipe(path), folder).made == (FLOAT,)
    assert load_checkpoint(folder / FLOAT).provenance["recipe"] == "renamed"


def test_two_flows_do_not_share_a_folder(recipes: Callable[..., Path], tmp_path: Path) -> None:
    """The second is refused while the first runs; a teacher that does not fit is refused, and one's own folder."""
    path, folder = recipes(), tmp_path / "runs" / "student"
    with another_flow(tmp_path / "runs" / "t"), pytest.raises(FxsimError, match="another flow is running there"):
        flow(load_recipe(path.parent / "teacher.toml"), tmp_path / "runs" / "t")
    with pytest.raises(FxsimError, match="is the teacher's folder too"):
        flow(load_recipe(path), tmp_path / "runs" / "teacher")
    teacher = tmp_path / "teacher.toml"
    teacher.write_text(teacher.read_text().replace("patch = 4", "patch = 4\nvalidation = 0.3"))
    with pytest.raises(FxsimError, match=r"\[data\] differs"):
        flow(load_recipe(path), folder)
    teacher.write_text(TEACHER.format(augmentation="").replace("channels = 4", "channels = 6"))
    with pytest.raises(FxsimError, match=r"\[network\] channels is 4, in the teacher's recipe .* 6"):
        flow(load_recipe(path), folder)
    # Refused before anything is made.
    assert not folder.exists()
    assert not (tmp_path / "runs" / "teacher").exists()


# --- the command line ---


def test_the_commands_train_distil_and_flow(recipes: Callable[..., Path], tmp_path: Path) -> None:
    """Each writes what it says; JSON is JSON; the flow's table has the accuracies."""
    path = recipes()
    teacher, student = tmp_path / "t.safetensors", tmp_path / "s.safetensors"
    run = CliRunner().invoke
    result = run(train_command, [str(tmp_path / "teacher.toml"), "-o", str(teacher)], catch_exceptions=False)
    assert (result.exit_code, "3 epochs, validation accuracy" in result.output) == (0, True)
    arguments = [str(path), "--teacher", str(teacher), "-o", str(student), "--json"]
    result = run(distill_command, arguments, catch_exceptions=False)
    assert msgspec.json.decode(result.stdout)["last"]["stage"] == "distill"
    result = run(flow_command, [str(path), "-o", str(tmp_path / "r" / "s")], catch_exceptions=False)
    assert result.exit_code == 0
    assert "fake-quant" in result.stdout
    result = run(flow_command, [str(path), "-o", str(tmp_path / "r" / "s"), "--json"], catch_exceptions=False)
    assert msgspec.json.decode(result.stdout)["made"] == []
    assert run(flow_command, [str(path), "--json", "--signoff"]).exit_code == 2
    result = run(
        flow_command, [str(tmp_path / "teacher.toml"), "-o", str(tmp_path / "r" / "t")], catch_exceptions=False
    )
    assert "validation accuracy" in result.stdout


@pytest.mark.parametrize(("reason", "status"), [(None, 0), ("a value differs", 1)])
def test_a_flow_signs_its_model_off(
    recipes: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reason: str | None,
    status: int,
) -> None:
    """Plan and test pictures lie beside the model; the sign-off's verdict is the exit status; the RTL is left out."""
    seen: list[tuple[str, np.ndarray]] = []

    def rtl(check: CosimCheck, context: Context, seed: int) -> Outcome:
        model = context.model(check.model)
        seen.append((check.name, context.stimulus(check.stimulus, model, seed)[: check.images]))
        return Outcome("simulated", reason)

    monkeypatch.setitem(CHECKS, "cosim", dataclasses.replace(CHECKS["cosim"], run=rtl))
    path, folder = recipes(), tmp_path / "runs" / "student"
    result = CliRunner().invoke(flow_command, [str(path), "-o", str(folder), "--signoff"])
    assert result.exit_code == status, result.output
    record = read_record(folder / "reports" / "signoff.json")
    assert record.complete
    assert record.passed is (status == 0)
    assert [check.kind for check in record.checks] == ["accumulators", "engines", "bridge", "cosim", "cosim"]
    network, _ = load_quantised(folder / QUANTISED)
    expected = network.input_codes(load_splits(load_recipe(path)).test.tokens[:4]).numpy()
    name, images = seen[0]
    assert name == "rtl-test-images"
    assert np.array_equal(images, expected)
    assert len(np.load(folder / "test_images.npy")) == 32


def test_a_device_that_is_not_there_is_one_error(
    recipes: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where PyTorch finds no GPU, --device cuda says so before anything is computed or written."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = CliRunner().invoke(flow_command, [str(recipes()), "-o", str(tmp_path / "runs" / "s"), "--device", "cuda"])
    assert isinstance(result.exception, FxsimError)
    assert "no CUDA device here: expected one, or --device cpu" in str(result.exception)
    assert not (tmp_path / "runs").exists()


def test_results_of_another_device_are_not_used_again(recipes: Callable[..., Path]) -> None:
    """A result's key depends on the device."""
    path = recipes()
    keys = {content_key(load_recipe(path, device=device), ("data",), "0" * 64, {}) for device in Device}
    assert len(keys) == len(Device)


def test_a_flow_leaves_a_picture_of_its_training(recipes: Callable[..., Path], tmp_path: Path) -> None:
    """The picture names every stage, and is made again where it is gone, the same."""
    folder = tmp_path / "runs" / "student"
    flow(load_recipe(recipes()), folder)
    picture = (folder / CURVES).read_bytes()
    for stage in {record.stage for name in (FLOAT, QUANTISED) for record in read_log(log_path(folder / name))}:
        assert stage.encode() in picture
    (folder / CURVES).unlink()
    flow(load_recipe(recipes()), folder)
    assert (folder / CURVES).read_bytes() == picture
