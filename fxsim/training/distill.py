"""A student from a teacher: knowledge transfer block by block, then distillation of the whole."""

from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from torch import Tensor, nn

from fxsim.errors import FxsimError
from fxsim.families import DIMENSIONS
from fxsim.formats.atomic import check_target
from fxsim.networks.b_spline import BSpline
from fxsim.networks.checkpoint import load_float, save_checkpoint
from fxsim.networks.resmlp import ResMLP
from fxsim.training.keys import content_key, file_sha256
from fxsim.training.log import EpochRecord
from fxsim.training.loop import (
    Batch,
    Progress,
    Stage,
    Tell,
    Validation,
    deterministic,
    discard_partial,
    run_stages,
    silent,
)
from fxsim.training.losses import chunks, compute_logits, count_correct, distillation_loss, validate
from fxsim.training.recipe import DistillSection, Recipe, TransferSection
from fxsim.training.splits import Indices, Splits, load_splits
from fxsim.training.train import batch_tokens, build_network, provenance, refuse_inputs

_SECTIONS = ("data", "augmentation", "network", "transfer", "distill")
_CACHE_BYTES = 1 << 28
"""Activations that are kept for a block rather than computed again every epoch, at most."""


def distill(
    recipe: Recipe,
    teacher: Path,
    output: Path,
    splits: Splits | None = None,
    progress: Progress = silent,
    tell: Tell = silent,
) -> tuple[EpochRecord, ...]:
    """Train a recipe's student from the network file `teacher` into the network file `output`; the epochs' records.

    [transfer], where the recipe has it: the embedding becomes the teacher's; then for each block in turn, with
    what is before it frozen, the mean squared error between the student's and the teacher's activations after it.
    [distill]: all parameters, by `distillation_loss`. Both networks see the same augmented pictures.

    An interrupted training goes on where it stopped (see `run_stages`). FxsimError where the recipe has no [distill],
    teacher and student do not fit, the data cannot be read, or `output` cannot be written.
    """
    if recipe.distill is None:
        raise FxsimError(f"{recipe.path}: has no [distill] section, expected one to train from a teacher")
    check_target(output, streams=False)
    refuse_inputs(output, teacher)
    splits = splits or load_splits(recipe)
    key = distill_key(recipe, splits, teacher)
    # Now: later the file may be another one.
    teacher_sha256 = file_sha256(teacher)
    with deterministic(recipe.threads):
        student = build_network(recipe, splits)
        master = load_teacher(teacher, student, splits)
        stages = []
        if recipe.transfer is not None:
            student.embed.load_state_dict(master.embed.state_dict())
            stages = [
                _transfer_stage(recipe, recipe.transfer, splits, student, master, block)
                for block in range(len(student.blocks))
            ]
        stages.append(_distill_stage(recipe, recipe.distill, splits, student, master))
        records = run_stages(student, stages, seed=recipe.seed, output=output, key=key, progress=progress, tell=tell)
        figures = validate(student, splits.validation)
    stated = provenance(recipe, splits, "distill", key, figures.accuracy) | {"teacher_sha256": teacher_sha256}
    save_checkpoint(student, output, splits.preprocessing, stated)
    discard_partial(output)
    return records


def distill_key(recipe: Recipe, splits: Splits, teacher: Path) -> str:
    """The hash of everything that the result of `distill` depends on."""
    return content_key(recipe, _SECTIONS, splits.sha256, {"teacher": teacher})


def load_teacher(path: Path, student: ResMLP, splits: Splits) -> ResMLP:
    """A teacher's network, in eval mode, its parameters fixed. FxsimError where it does not fit the student."""
    network, checkpoint = load_float(path)
    if not isinstance(network, ResMLP):
        raise FxsimError(f"{path}: holds a Neural ODE, expected a ResMLP as the teacher")
    for name in DIMENSIONS:
        if name == "hidden":  # a teacher's may be wider
            continue
        found, wanted = getattr(network.config, name), getattr(student.config, name)
        if found != wanted:
            raise FxsimError(f"{path}: the teacher has {found} {name}, the student {wanted}; expected the same")
    if checkpoint.preprocessing != splits.preprocessing:
        raise FxsimError(
            f"{path}: the teacher was trained with {checkpoint.preprocessing}, "
            f"the student's recipe has {splits.preprocessing}; expected the same"
        )
    return network.requires_grad_(False).to(splits.train.device)


def _distill_stage(recipe: Recipe, section: DistillSection, splits: Splits, student: ResMLP, teacher: ResMLP) -> Stage:
    labels = splits.train.labels

    @cache
    def every_target() -> Tensor:
        return compute_logits(teacher, splits.train.tokens)

    def loss(indices: Indices, rng: np.random.Generator) -> Batch:
        x, where = batch_tokens(recipe, splits, indices, rng), torch.from_numpy(indices)
        targets = compute_logits(teacher, x) if recipe.augments else every_target()[where]
        logits = student(x)
        total = distillation_loss(logits, targets, labels[where], section.alpha, section.temperature)
        if section.tv2:
            total = total + section.tv2 * student.tv2()
        return Batch(total, count_correct(logits, labels[where]))

    return Stage(
        name="distill",
        schedule=section,
        examples=len(splits.train),
        trained=student,
        loss=loss,
        validate=lambda: validate(student, splits.validation),
        keep=section.keep,
    )


def _transfer_stage(
    recipe: Recipe, section: TransferSection, splits: Splits, student: ResMLP, teacher: ResMLP, number: int
) -> Stage:
    """Training of block `number` alone, towards the teacher's activations after its block of that number."""
    block = student.blocks[number]

    def activations(x: Tensor) -> tuple[Tensor, Tensor]:
        """The student's block's input, and the output wanted of it."""
        with torch.no_grad():
            return _stage(student, x, number), _stage(teacher, x, number + 1)

    @cache
    def every_activation() -> tuple[Tensor, Tensor]:
        parts = [activations(part) for part in chunks(splits.train.tokens)]
        return torch.cat([given for given, _ in parts]), torch.cat([wanted for _, wanted in parts])

    config = student.config
    kept = not recipe.augments and 8 * len(splits.train) * config.tokens * config.channels <= _CACHE_BYTES

    def loss(indices: Indices, rng: np.random.Generator) -> Batch:
        if kept:
            where = torch.from_numpy(indices)
            given, wanted = (every[where] for every in every_activation())
        else:
            given, wanted = activations(batch_tokens(recipe, splits, indices, rng))
        total = F.mse_loss(block(given), wanted)
        if section.tv2:
            total = total + section.tv2 * _tv2(block)
        return Batch(total)

    def validation() -> Validation:
        total = 0.0
        for part in chunks(splits.validation.tokens):
            given, wanted = activations(part)
            total += float(F.mse_loss(block(given), wanted)) * len(part)
        return Validation(total / len(splits.validation))

    return Stage(
        name=f"transfer.{number}",
        schedule=section,
        examples=len(splits.train),
        trained=block,
        loss=loss,
        validate=validation,
    )


def _stage(network: ResMLP, x: Tensor, number: int) -> Tensor:
    """Activations after the embedding (0) or after so many blocks; later blocks are not computed."""
    return next(islice(network.stages(x), number, None))


def _tv2(block: nn.Module) -> Tensor:
    splines = [module.tv2() for module in block.modules() if isinstance(module, BSpline)]
    return torch.stack(splines).sum() if splines else torch.zeros(())
