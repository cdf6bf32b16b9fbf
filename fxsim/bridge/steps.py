"""Quantisation error over the steps of a Neural ODE: float against fake-quant against integers, step by step.

Each step's x is a tap. Of one, in real values: float is the network with nothing quantised, fake-quant the float32 one
of training, integer the integer model's codes times the step. An error is the root mean square of the difference to
float over the root mean square of float, over all images and values of the tap.

The same parameters are computed with other numbers of steps, h = 1 / steps, too: the network was trained with one.
"""

import math
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from fxsim.bridge.run import read_images
from fxsim.contract.arithmetic import Int8, Int64
from fxsim.data import DataSource
from fxsim.engines import Engine, run
from fxsim.errors import FileError
from fxsim.graph import Model
from fxsim.networks.checkpoint import load_quantised
from fxsim.networks.quantised import FLOAT
from fxsim.networks.quantised_ode import OdeNetwork
from fxsim.training.keys import file_sha256
from fxsim.training.loop import Progress, deterministic, silent

COUNTS = (1, 2, 4, 8, 16)
"""Numbers of steps that the network is computed with, and the one it was trained with."""

FORMS = ("float", "fake-quant", "integer")
_BATCH = 64


class StepError(msgspec.Struct, frozen=True):
    """Errors of x after one step: relative to float; `differ`: values whose code fake-quant and integers have unlike.

    `size`: the root mean square of float's x, in real values.
    """

    tap: str
    size: float
    fake_quant: float
    integer: float
    differ: int
    values: int


class StepCount(msgspec.Struct, frozen=True):
    """A number of steps: pictures that each form classifies rightly, and the errors of x after the last block."""

    steps: int
    correct: dict[str, int]
    fake_quant: float
    integer: float


class StepsRecord(msgspec.Struct, frozen=True):
    """Findings of `measure_steps`: errors step by step, of every block in order, and every number of steps."""

    name: str
    checkpoint_sha256: str
    data: str
    data_sha256: str
    images: int
    trained_steps: int
    steps: tuple[StepError, ...]
    counts: tuple[StepCount, ...]


class _Sums:
    """Sums of squares of one tap, batch by batch."""

    def __init__(self) -> None:
        self.size = self.fake_quant = self.integer = 0.0
        self.differ = self.values = 0

    def add(self, real: Tensor, fake: Tensor, codes: Tensor, step: Tensor) -> None:
        """`real` in real values; `fake` and `codes` in codes, float64; `step` of the codes."""
        exact = real.double()
        self.size += float(exact.square().sum())
        self.fake_quant += float((fake * step - exact).square().sum())
        self.integer += float((codes * step - exact).square().sum())
        self.differ += int((fake != codes).sum())
        self.values += codes.numel()

    def errors(self, tap: str) -> StepError:
        """The roots of the squares, over those of float."""
        size = math.sqrt(self.size / self.values)
        fake, integer = (math.sqrt(s / self.size) if self.size else 0.0 for s in (self.fake_quant, self.integer))
        return StepError(tap, size, fake, integer, self.differ, self.values)


def measure_steps(
    checkpoint_path: Path,
    source: DataSource | None = None,
    data_path: Path | None = None,
    images: int | None = None,
    engine: Engine | str = Engine.AUTO,
    progress: Progress = silent,
) -> StepsRecord:
    """Measure the errors of a quantised Neural ODE's file on a data set's first `images` pictures for testing.

    By default the data set that it was trained on, and all its pictures. FxsimError where the file is missing or
    damaged, holds another network, or does not fit the data.
    """
    network, checkpoint = load_quantised(checkpoint_path)
    if not isinstance(network, OdeNetwork):
        raise FileError(f"{checkpoint_path}: holds a network without steps, expected a quantised Neural ODE")
    given = read_images(checkpoint_path, network, checkpoint, source, data_path, images)
    trained = network.config.steps
    numbers = sorted({*COUNTS, trained})
    done, total = 0, len(numbers) * len(given.codes)
    counts: list[StepCount] = []
    steps: tuple[StepError, ...] = ()
    with deterministic(1):
        for number in numbers:
            again = network if number == trained else network.with_steps(number)
            sums, correct = _measure(again, given.codes, given.labels, engine)
            errors = tuple(found.errors(tap) for tap, found in sums.items())
            if number == trained:
                steps = errors
            counts.append(StepCount(number, correct, errors[-1].fake_quant, errors[-1].integer))
            done += len(given.codes)
            progress(done, total)
    return StepsRecord(
        name=checkpoint.provenance.get("recipe") or checkpoint_path.stem,
        checkpoint_sha256=file_sha256(checkpoint_path),
        data=given.name,
        data_sha256=given.sha256,
        images=len(given.codes),
        trained_steps=trained,
        steps=steps,
        counts=tuple(counts),
    )


@torch.no_grad()
def _measure(
    network: OdeNetwork, codes: Int8, labels: Int64 | None, engine: Engine | str
) -> tuple[dict[str, _Sums], dict[str, int]]:
    """Sums of every step's x, and how many pictures each form classifies rightly."""
    model = Model(network.graph(), "steps")
    taps = network.state_taps()
    sums = {tap: _Sums() for tap in taps}
    correct = dict.fromkeys(FORMS, 0)
    for start in range(0, len(codes), _BATCH):
        part = codes[start : start + _BATCH]
        inputs = torch.from_numpy(part)
        real = dict(network.float_taps(inputs.float() * network.step("input")))
        fake = network.run_taps(inputs, FLOAT, (*taps, "scores"))
        found = run(model, part, (*taps, "scores"), engine)
        for tap in taps:
            integer = torch.from_numpy(found[tap]).double()
            sums[tap].add(real[tap], fake[tap], integer, network.step(tap).double())
        if labels is not None:
            wanted = labels[start : start + _BATCH]
            scores = (real["scores"].numpy(), fake["scores"].numpy(), found["scores"])
            for form, values in zip(FORMS, scores, strict=True):
                correct[form] += int((values.argmax(axis=1) == wanted).sum())
    return sums, correct
