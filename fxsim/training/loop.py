"""The training loop: stages of epochs that can be interrupted anywhere and go on as if nothing had happened.

Nothing random outlives an epoch: its generator follows from the seed, the stage's name and the epoch's number. So what
a training depends on at the end of an epoch is the network, the optimiser and the position, which the partial file has.
"""

import contextlib
import math
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from fxsim.errors import FileError, FxsimError
from fxsim.networks.b_spline import BSpline
from fxsim.training.log import EpochRecord, append_log, log_path, rewrite_log
from fxsim.training.partial import Position, Tensors, partial_path, read_partial, write_partial
from fxsim.training.recipe import Keep, Schedule
from fxsim.training.splits import Indices

Progress = Callable[[int, int], None]
"""Called with (done, total) as work goes on."""
Tell = Callable[[str], None]
"""Called with a line for the user."""

_WRITE_SECONDS = 10.0
"""At most one partial file in so many seconds: short epochs must not become writing."""
_OPTIMISER_FIELDS = ("step", "exp_avg", "exp_avg_sq")


@dataclass(frozen=True)
class Batch:
    """Outcome of a batch: mean loss over its examples, and how many were classified rightly, None where none are."""

    loss: Tensor
    correct: int | None = None


@dataclass(frozen=True)
class Validation:
    """Figures on the validation pictures: mean loss, fraction classified rightly."""

    loss: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One part of a training. `loss` is given the examples' indices and a generator for whatever is random.

    `trained` is in training mode and its parameters are optimised; the rest of the network stays in eval mode and as it
    is. `after_epoch` is called before validation.
    """

    name: str
    schedule: Schedule
    examples: int
    trained: nn.Module
    loss: Callable[[Indices, np.random.Generator], Batch]
    validate: Callable[[], Validation]
    keep: Keep = Keep.LAST
    after_epoch: Callable[[], None] | None = None

    @property
    def batches(self) -> int:
        """Batches of an epoch; the last may be smaller."""
        return math.ceil(self.examples / self.schedule.batch)


def silent(*_: object) -> None:
    """A listener that does nothing."""


@contextlib.contextmanager
def deterministic(threads: int) -> Iterator[None]:
    """So many threads and deterministic algorithms within the block: the same sums in the same order every time."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])


@contextlib.contextmanager
def torch_seed(seed: int, name: str) -> Iterator[None]:
    """Torch's generator seeded for the block, for initialisers; afterwards as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(_generator(seed, name).integers(2**63)))
        yield


def run_stages(
    network: nn.Module,
    stages: Sequence[Stage],
    *,
    seed: int,
    output: Path,
    key: str,
    progress: Progress = silent,
    tell: Tell = silent,
) -> tuple[EpochRecord, ...]:
    """Train `network` in place through `stages` and return every epoch's record.

    Beside `output`, which the caller writes, are the log and the partial file. A partial file of the same `key` is gone
    on from, bit for bit as if there had been no interruption; any other is ignored, which `tell` is told. The caller
    removes it (`discard_partial`) once `output` is written. The network is in eval mode afterwards.

    Whatever ends the training early, Ctrl-C included, the partial file has the last whole epoch. FxsimError where a
    loss is not finite; FileError where a file cannot be written.
    """
    position = _resume(network, stages, partial_path(output), key, tell)
    log = log_path(output)
    rewrite_log(log, position.records)
    keeper = _Keeper(partial_path(output), key)
    total = sum(stage.schedule.epochs * stage.batches for stage in stages)
    done = sum(stage.schedule.epochs * stage.batches for stage in stages[: position.stage])
    try:
        for index in range(position.stage, len(stages)):
            stage = stages[index]
            if index > position.stage:
                position = Position(index, 0, position.records, {}, {}, {}, None)
            report = _report_from(done, total, progress)
            position = _run_stage(network, stage, position, seed, log, keeper, report)
            done += stage.schedule.epochs * stage.batches
    except BaseException:
        # Disk trouble here must not hide what ended the training.
        with contextlib.suppress(FxsimError):
            keeper.flush()
        raise
    network.eval()
    return position.records


def _report_from(done: int, total: int, progress: Progress) -> Callable[[int], None]:
    return lambda batches: progress(done + batches, total)


def discard_partial(output: Path) -> None:
    """Remove the partial file of what was trained into `output`, if there is one."""
    partial_path(output).unlink(missing_ok=True)


def _run_stage(
    network: nn.Module,
    stage: Stage,
    position: Position,
    seed: int,
    log: Path,
    keeper: "_Keeper",
    report: Callable[[int], None],
) -> Position:
    optimiser = _build_optimiser(stage)
    _load_optimiser(optimiser, position.optimiser)
    while position.epoch < stage.schedule.epochs:
        began = time.monotonic()
        loss, accuracy = _run_epoch(network, stage, optimiser, position.epoch, seed, report)
        network.eval()
        if stage.after_epoch is not None:
            stage.after_epoch()
        with torch.no_grad():
            validation = stage.validate()
        record = EpochRecord(
            stage=stage.name,
            epoch=position.epoch + 1,
            epochs=stage.schedule.epochs,
            loss=loss,
            accuracy=accuracy,
            validation_loss=validation.loss,
            validation_accuracy=validation.accuracy,
            learning_rate=optimiser.param_groups[0]["lr"],
            seconds=round(time.monotonic() - began, 3),
        )
        now = _copy(network.state_dict())
        best, best_accuracy = position.best, position.best_accuracy
        if stage.keep is Keep.BEST:
            accuracy_now = validation.accuracy
            assert accuracy_now is not None, "a stage that keeps the best epoch has validation accuracies"
            if best_accuracy is None or accuracy_now > best_accuracy:
                best, best_accuracy = _copy(now), accuracy_now
        position = Position(
            position.stage,
            position.epoch + 1,
            (*position.records, record),
            now,
            _optimiser_tensors(optimiser),
            best,
            best_accuracy,
        )
        keeper.keep(position)
        append_log(log, record)
    if position.best:
        network.load_state_dict(position.best)
    return position


def _run_epoch(
    network: nn.Module,
    stage: Stage,
    optimiser: torch.optim.Optimizer,
    epoch: int,
    seed: int,
    report: Callable[[int], None],
) -> tuple[float, float | None]:
    """One pass over the examples; returns mean loss and accuracy."""
    network.eval()
    stage.trained.train()
    rng = _generator(seed, stage.name, epoch)
    order = rng.permutation(stage.examples)
    batch, batches = stage.schedule.batch, stage.batches
    losses, correct = 0.0, 0
    counted = True
    for number in range(batches):
        _set_learning_rates(optimiser, stage.schedule, (epoch * batches + number) / (stage.schedule.epochs * batches))
        indices = order[number * batch : (number + 1) * batch]
        result = stage.loss(indices, rng)
        value = float(result.loss.detach())
        if not math.isfinite(value):
            raise FxsimError(
                f"stage {stage.name}, epoch {epoch + 1}: the loss is {value}, expected a finite number; "
                f"a smaller learning_rate than {stage.schedule.learning_rate} may help"
            )
        optimiser.zero_grad()
        result.loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses += value * len(indices)
        counted = counted and result.correct is not None
        correct += result.correct or 0
        report(epoch * batches + number + 1)
    return losses / stage.examples, correct / stage.examples if counted else None


def cosine(first: float, final: float, done: float) -> float:
    """The learning rate when a part of a stage is done: final + (first - final)(1 + cos(pi done)) / 2."""
    return final + (first - final) * (1 + math.cos(math.pi * done)) / 2


def _set_learning_rates(optimiser: torch.optim.Optimizer, schedule: Schedule, done: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = cosine(group["initial_lr"], schedule.final_learning_rate, done)


def _build_optimiser(stage: Stage) -> torch.optim.Optimizer:
    """AdamW without weight decay. Its state is a parameter's own, so that one with two rates is two optimisers."""
    coefficients = {id(m.coefficients) for m in stage.trained.modules() if isinstance(m, BSpline)}
    schedule = stage.schedule
    parameters = list(stage.trained.parameters())
    rates = (schedule.learning_rate, schedule.spline_learning_rate or schedule.learning_rate)
    groups = [
        {"params": [p for p in parameters if (id(p) in coefficients) is spline], "lr": rate, "initial_lr": rate}
        for spline, rate in ((False, rates[0]), (True, rates[1]))
    ]
    return torch.optim.AdamW([group for group in groups if group["params"]], weight_decay=0.0)


def _optimiser_tensors(optimiser: torch.optim.Optimizer) -> Tensors:
    state = optimiser.state_dict()["state"]
    return _copy({f"{index}.{field}": value for index, fields in state.items() for field, value in fields.items()})


def _load_optimiser(optimiser: torch.optim.Optimizer, tensors: Tensors) -> None:
    if not tensors:
        return
    state: dict[int, Tensors] = {}
    for name, value in tensors.items():
        index, _, field = name.partition(".")
        state.setdefault(int(index), {})[field] = value
    optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _copy(tensors: Tensors) -> Tensors:
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


def _generator(seed: int, name: str, epoch: int = 0) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode()), epoch])


class _Keeper:
    """Writes positions to the partial file: not too often, but the last one in any case (`flush`)."""

    def __init__(self, path: Path, key: str) -> None:
        self._path = path
        self._key = key
        self._pending: Position | None = None
        self._written = time.monotonic()

    def keep(self, position: Position) -> None:
        self._pending = position
        if time.monotonic() - self._written >= _WRITE_SECONDS:
            self.flush()

    def flush(self) -> None:
        if self._pending is not None:
            write_partial(self._path, self._key, self._pending)
            self._pending, self._written = None, time.monotonic()


def _resume(network: nn.Module, stages: Sequence[Stage], path: Path, key: str, tell: Tell) -> Position:
    """The point to go on from: from the partial file, which is loaded into the network, or from the beginning."""
    beginning = Position(0, 0, (), {}, {}, {}, None)
    if not path.exists():
        return beginning
    try:
        position = read_partial(path, key)
        _check(position, network, stages, path)
    except FileError as error:
        tell(f"{error}; ignored, training from the beginning")
        return beginning
    network.load_state_dict(position.network)
    tell(f"going on after epoch {position.epoch} of stage {stages[position.stage].name} ({path})")
    return position


def _check(position: Position, network: nn.Module, stages: Sequence[Stage], path: Path) -> None:
    """FileError unless a position fits the network and the stages: a right key does not make a file whole."""
    damaged = FileError(f"{path}: does not fit what is being trained")
    if not 0 <= position.stage < len(stages):
        raise damaged
    stage = stages[position.stage]
    if not 1 <= position.epoch <= stage.schedule.epochs:
        raise damaged
    whole = _forms(network.state_dict())
    if _forms(position.network) != whole or (position.best and _forms(position.best) != whole):
        raise damaged
    if (stage.keep is Keep.BEST) != bool(position.best) or bool(position.best) != (position.best_accuracy is not None):
        raise damaged
    parameters = [p for group in _build_optimiser(stage).param_groups for p in group["params"]]
    allowed: dict[str, tuple[torch.Size, torch.dtype]] = {}
    for i, parameter in enumerate(parameters):
        forms = _forms({"step": torch.zeros(()), "exp_avg": parameter, "exp_avg_sq": parameter})
        allowed |= {f"{i}.{field}": forms[field] for field in _OPTIMISER_FIELDS}
    found = _forms(position.optimiser)
    if not found or any(allowed.get(name) != form for name, form in found.items()):
        raise damaged


def _forms(tensors: Tensors) -> dict[str, tuple[torch.Size, torch.dtype]]:
    return {name: (tensor.shape, tensor.dtype) for name, tensor in tensors.items()}
