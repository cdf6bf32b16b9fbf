"""Quantisation: steps from observed magnitudes, shifts, quantisation-aware training, tables."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import torch
from torch import Tensor

from fxsim.data import Preprocessing
from fxsim.errors import FxsimError
from fxsim.formats.atomic import check_target
from fxsim.networks.checkpoint import Float, load_float, save_checkpoint
from fxsim.networks.fold import fold
from fxsim.networks.quantised import Kind, QuantisedResMLP, ShiftRule
from fxsim.networks.quantised_ode import OdeFormat, OdeNetwork, quantise_ode
from fxsim.networks.resmlp import ResMLP
from fxsim.training.keys import content_key
from fxsim.training.log import EpochRecord
from fxsim.training.loop import Batch, Progress, Stage, Tell, deterministic, discard_partial, run_stages, silent
from fxsim.training.losses import chunks, compute_logits, count_correct, distillation_loss, validate
from fxsim.training.recipe import QuantizeSection, Recipe, Schedule
from fxsim.training.splits import Examples, Indices, Splits, load_splits
from fxsim.training.train import batch_tokens, provenance, refuse_inputs

_SECTIONS = ("data", "augmentation", "quantize")

Network = QuantisedResMLP | OdeNetwork
"""A quantised network that a float one becomes."""


class PercentileTrial(msgspec.Struct, frozen=True):
    """A percentile of the observed magnitudes, and what the network quantised by it does on validation pictures."""

    percentile: float
    accuracy: float
    loss: float


@dataclass(frozen=True)
class Quantisation:
    """Findings of `quantise`: all percentiles tried, the chosen first; every epoch; how the result does."""

    trials: tuple[PercentileTrial, ...]
    records: tuple[EpochRecord, ...]
    validation_accuracy: float


@dataclass(frozen=True)
class Observation:
    """The largest magnitude per image at every tap: {tap: float32 [images]}."""

    magnitudes: Mapping[str, Tensor]

    def steps(self, network: QuantisedResMLP, percentile: float, input_step: float) -> dict[str, float]:
        """A step for every name in `step_names`: the percentile over images / 128; the mean of these at a join.

        The exceptions: the input's, which is given; a relu's alone decides for the linear before it, for what that one
        clips from below, the relu sets to 0; the pool's average does not count.
        """
        largest: dict[str, list[float]] = {}
        relus = {slot.inputs[0] for slot in network.slots if slot.kind is Kind.RELU}
        for slot in network.slots:
            if slot.kind is Kind.POOL or slot.tap in relus:
                continue
            value = float(np.percentile(self.magnitudes[slot.tap].numpy(), percentile))
            largest.setdefault(slot.step, []).append(value)
        # A tensor that is 0 on all images has no scale; any does.
        steps = {name: (sum(values) / len(values) or 1.0) / 128 for name, values in largest.items()}
        return {"input": input_step, **steps}


def input_step(preprocessing: Preprocessing) -> float:
    """The step at which the largest token value that a picture can give has code 127: nothing is ever clipped.

    It follows from the preprocessing alone, so that all networks of one preprocessing take the same codes.
    """
    largest = max(max(m, 1 - m) / s for m, s in zip(preprocessing.mean, preprocessing.std, strict=True))
    return float(np.float32(largest / 127))


def input_power(preprocessing: Preprocessing) -> float:
    """The least 2^k at which the largest token value that a picture can give has code 128, which is held as 127."""
    largest = max(max(m, 1 - m) / s for m, s in zip(preprocessing.mean, preprocessing.std, strict=True))
    return 2.0 ** math.ceil(math.log2(largest / 128))


@torch.no_grad()
def observe(network: Network, tokens: Tensor) -> Observation:
    """The magnitudes of a folded network's real values on `tokens`, float32 [n, tokens, values]."""
    parts: dict[str, list[Tensor]] = {}
    for x in chunks(tokens):
        for tap, values in network.float_taps(x):
            parts.setdefault(tap, []).append(values.abs().flatten(1).amax(dim=1))
    return Observation({tap: torch.cat(values).cpu() for tap, values in parts.items()})


def calibrate(
    network: QuantisedResMLP,
    observation: Observation,
    percentiles: tuple[float, ...],
    rule: ShiftRule,
    step: float,
    validation: Examples,
) -> tuple[PercentileTrial, ...]:
    """Set steps and shifts by the percentile that classifies most validation pictures; on a tie, of the least loss.

    Returns what every percentile gave, the chosen one first.
    """

    def choose(percentile: float) -> None:
        network.set_steps(observation.steps(network, percentile, step))
        network.choose_shifts(rule)

    return _best_of(network, percentiles, choose, validation)


def calibrate_ode(
    network: OdeNetwork, observation: Observation, percentiles: tuple[float, ...], validation: Examples
) -> tuple[PercentileTrial, ...]:
    """`calibrate` of a Neural ODE: steps of 2^k that hold a percentile of the images' largest magnitudes."""

    def choose(percentile: float) -> None:
        magnitudes = observation.magnitudes.items()
        network.set_steps({tap: float(np.percentile(values.numpy(), percentile)) for tap, values in magnitudes})

    return _best_of(network, percentiles, choose, validation)


def _best_of(
    network: Network, percentiles: tuple[float, ...], choose: Callable[[float], None], validation: Examples
) -> tuple[PercentileTrial, ...]:
    trials = []
    for percentile in percentiles:
        choose(percentile)
        found = validate(network, validation)
        assert found.accuracy is not None
        assert found.loss is not None
        trials.append(PercentileTrial(percentile, found.accuracy, found.loss))
    trials.sort(key=lambda trial: (-trial.accuracy, trial.loss))
    choose(trials[0].percentile)
    return tuple(trials)


def quantise(
    recipe: Recipe,
    student: Path,
    teacher: Path | None,
    output: Path,
    splits: Splits | None = None,
    progress: Progress = silent,
    tell: Tell = silent,
) -> Quantisation:
    """Quantise the network file `student` by a recipe's [quantize] and [export] into the network file `output`.

    Quantisation-aware training learns from the network file `teacher` or, where that is None, from the float network
    itself. An interrupted training goes on where it stopped (see `run_stages`). FxsimError where the recipe has no
    [quantize], the networks do not fit its data, or `output` cannot be written.
    """
    section = recipe.quantize
    if section is None:
        raise FxsimError(f"{recipe.path}: has no [quantize] section, expected one to quantise by")
    check_target(output, streams=False)
    refuse_inputs(output, student, teacher)
    splits = splits or load_splits(recipe)
    key = quantise_key(recipe, splits, student, teacher)
    network = _load(student, splits)
    master = network if teacher is None else _load(teacher, splits)
    with deterministic(recipe.threads):
        rng = np.random.default_rng([recipe.seed, 20])
        count = max(1, round(section.observe_fraction * len(splits.train)))
        chosen = np.sort(rng.choice(len(splits.train), count, replace=False))
        quantised, trials = _begin(section, network, splits, splits.train.tokens[torch.from_numpy(chosen)])
        tell(f"percentile {trials[0].percentile:g}: {trials[0].accuracy:.2%} of the validation pictures")
        records: tuple[EpochRecord, ...] = ()
        if section.epochs:
            stage = _stage(recipe, section, quantised, master, splits)
            records = run_stages(
                quantised, [stage], seed=recipe.seed, output=output, key=key, progress=progress, tell=tell
            )
        if isinstance(quantised, QuantisedResMLP):
            quantised.store_tables(recipe.export.tables)
        figures = validate(quantised, splits.validation)
    assert figures.accuracy is not None
    stated = provenance(recipe, splits, "quantize", key, figures.accuracy)
    stated["calibration"] = msgspec.json.encode(trials).decode()
    save_checkpoint(quantised, output, splits.preprocessing, stated)
    discard_partial(output)
    return Quantisation(trials, records, figures.accuracy)


def quantise_key(recipe: Recipe, splits: Splits, student: Path, teacher: Path | None) -> str:
    """The hash of everything that the training of `quantise` depends on; the tables depend on [export] too."""
    inputs = {"student": student} if teacher is None else {"student": student, "teacher": teacher}
    return content_key(recipe, _SECTIONS, splits.sha256, inputs)


def _begin(
    section: QuantizeSection, network: Float, splits: Splits, tokens: Tensor
) -> tuple[Network, tuple[PercentileTrial, ...]]:
    """The quantised network with its first steps, from what `tokens` give, and the percentiles tried."""
    if isinstance(network, ResMLP):
        folded = fold(network)
        observation, step = observe(folded, tokens), input_step(splits.preprocessing)
        return folded, calibrate(folded, observation, section.percentiles, section.shift_rule, step, splits.validation)
    formats = OdeFormat(
        quantiser=section.quantiser,
        weight_bits=section.weight_bits,
        activation_bits=section.activation_bits,
        input_step=input_power(splits.preprocessing),
    )
    quantised = quantise_ode(network, formats)
    return quantised, calibrate_ode(quantised, observe(quantised, tokens), section.percentiles, splits.validation)


def _load(path: Path, splits: Splits) -> Float:
    network, checkpoint = load_float(path)
    if checkpoint.preprocessing != splits.preprocessing:
        raise FxsimError(
            f"{path}: was trained with {checkpoint.preprocessing}, the recipe has {splits.preprocessing}; "
            "expected the same"
        )
    if network.config.classes != splits.classes:
        raise FxsimError(f"{path}: has {network.config.classes} classes, the recipe's data {splits.classes}")
    return network.to(splits.train.device)


def _stage(recipe: Recipe, section: QuantizeSection, network: Network, teacher: Float, splits: Splits) -> Stage:
    """Quantisation-aware training: float32 fake-quant, gradients straight through, steps learnt; distillation."""
    labels = splits.train.labels
    # Without augmentation every epoch sees the same pictures: the teacher looks once.
    known = None if recipe.augments else compute_logits(teacher, splits.train.tokens)

    def loss(indices: Indices, rng: np.random.Generator) -> Batch:
        tokens, rows = batch_tokens(recipe, splits, indices, rng), torch.from_numpy(indices)
        targets = compute_logits(teacher, tokens) if known is None else known[rows]
        logits = network(tokens)
        value = distillation_loss(logits, targets, labels[rows], section.alpha, section.temperature)
        return Batch(value, count_correct(logits, labels[rows]))

    def after_epoch() -> None:
        if isinstance(network, QuantisedResMLP):
            network.choose_shifts(section.shift_rule)

    return Stage(
        name="quantize",
        schedule=Schedule(
            epochs=section.epochs,
            batch=section.batch,
            learning_rate=section.learning_rate,
            final_learning_rate=section.final_learning_rate,
            spline_learning_rate=section.spline_learning_rate,
        ),
        examples=len(splits.train),
        trained=network,
        loss=loss,
        validate=lambda: validate(network, splits.validation),
        keep=section.keep,
        after_epoch=after_epoch,
    )
