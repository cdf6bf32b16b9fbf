"""The manifest's figures of trained models, held against the models, their provenance and the data's test pictures."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from fxsim.errors import FxsimError
from fxsim.formats import load
from fxsim.golden.manifest import GoldenManifest, GoldenModel, Training

FLOAT_PICTURES = 2
"""Pictures by which the float arithmetic of another processor, which sums in another order, may differ."""


@dataclass(frozen=True)
class Trained:
    """Findings: problems, one line each; test pictures classified again; why nothing was, None where it was.

    `recipes`: recipes whose hash was compared, which are not part of an installed package.
    """

    problems: list[str]
    pictures: int
    recipes: int
    unmeasured: str | None


def check_training(
    directory: Path, manifest: GoldenManifest, progress: Callable[[int, int], None] = lambda *_: None
) -> Trained:
    """Hold every trained model's figures against the model itself.

    Recipe, data and their hashes must be those of the model's provenance, and of the recipe's file where it is there.
    On the data's test pictures the integer model must classify as many rightly as stated and saturate as often, tap by
    tap; fake-quant may differ by `FLOAT_PICTURES`. That needs the extra `torch`. `float_correct` cannot be measured:
    the float network is not kept.
    """
    problems: list[str] = []
    pictures = recipes = 0
    missing = find_spec("torch") is None or find_spec("sklearn") is None
    reason = "the extra 'torch' is not installed, which brings the data and the networks" if missing else None
    for number, stated in enumerate(manifest.models):
        progress(number, len(manifest.models))
        problems += _check_provenance(directory, stated)
        training = stated.training
        if training is None:
            continue
        recipe = directory.resolve().parent / training.recipe
        if recipe.is_file():
            recipes += 1
            with recipe.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != training.recipe_sha256:
                problems.append(f"{training.recipe}: sha256 {found}, the manifest states {training.recipe_sha256}")
        if not missing:
            problems += _check_figures(directory, stated, training)
            pictures += training.test_images
    return Trained(problems, pictures, recipes, reason)


def _check_provenance(directory: Path, stated: GoldenModel) -> list[str]:
    """Problems of what the model's file says of its making, against the manifest."""
    said = load(directory / stated.file).provenance
    training = stated.training
    if training is None:
        if "recipe" in said:
            return [f"{stated.file}: was trained by recipe '{said['recipe']}', the manifest states no training"]
        return []
    expected = {"recipe": Path(training.recipe).stem, "data": training.data, "data_sha256": training.data_sha256}
    return [
        f"{stated.file}: its provenance has {key} '{said.get(key)}', the manifest states '{value}'"
        for key, value in expected.items()
        if said.get(key) != value
    ]


def _check_figures(directory: Path, stated: GoldenModel, training: Training) -> list[str]:
    """Test pictures classified again, integer and fake-quant, and saturations counted."""
    from fxsim.data import DataSource
    from fxsim.training.evaluate import evaluate

    if training.data != DataSource.DIGITS:
        return [f"{stated.file}: was trained on '{training.data}', expected digits, which every machine has"]
    try:
        found = evaluate(
            directory / stated.file, DataSource.DIGITS, quantised_checkpoint=directory / training.checkpoint
        )
    except FxsimError as error:
        return [f"{stated.file}: {error}"]
    problems = []
    integer, fake_quant = (found.networks[name].correct for name in ("integer", "fake-quant"))
    for what, measured, said in (
        ("sha256 of the data", found.data_sha256, training.data_sha256),
        ("test pictures", found.pictures, training.test_images),
        ("pictures that the integer model classifies rightly", integer, training.integer_correct),
    ):
        if measured != said:
            problems.append(f"{stated.file}: {what}: measured {measured}, the manifest states {said}")
    if abs(fake_quant - training.fake_quant_correct) > FLOAT_PICTURES:
        problems.append(
            f"{stated.file}: pictures that fake-quant classifies rightly: measured {fake_quant}, the manifest states "
            f"{training.fake_quant_correct}, expected at most {FLOAT_PICTURES} more or fewer"
        )
    if found.exports_to_model is not True:
        problems.append(f"{stated.file}: is not what {training.checkpoint} exports")
    saturated = {tap.tap: tap.low + tap.high for tap in found.saturation}
    problems += [
        f"{stated.file}, tap {tap}: {saturated.get(tap)} saturated values on the test pictures, the manifest states "
        f"{training.saturated.get(tap)}"
        for tap in sorted(saturated.keys() | training.saturated.keys())
        if saturated.get(tap) != training.saturated.get(tap)
    ]
    return problems
