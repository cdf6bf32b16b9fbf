"""The generator of `golden/`: two random models made now, trained ones taken from what their recipes' flows left."""

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np

from fxsim.contract import TableRule
from fxsim.contract.arithmetic import Int8
from fxsim.errors import FileError
from fxsim.families import ResMLPConfig
from fxsim.families.random import generate_model, natural_images
from fxsim.formats import load, save
from fxsim.formats.npy import map_array
from fxsim.golden.manifest import (
    FORMAT,
    MANIFEST,
    VERSION,
    GoldenFile,
    GoldenManifest,
    GoldenModel,
    Training,
    golden_file,
    measure,
    read_manifest,
)
from fxsim.graph import Model

SEED = 1821  # The paper's volume and article number, TRETS 18(2):21, run together.

STATEMENT = (
    "Models with `training` were trained, distilled and quantised by the recipe named there, on the handwritten digits "
    "that scikit-learn brings along, enlarged where the recipe says so: a small, easy data set, whose accuracies say "
    "nothing of others. Their stimuli are test pictures. The other models classify nothing: weights and activation "
    "functions are random; shifts and biases were set layer by layer from the accumulators that their stimulus gives, "
    "so that activations use the range of int8 with few saturations; their images are seeded sums of gradients, "
    "Gaussian blobs and noise."
)


@dataclass(frozen=True)
class Pictures:
    """One synthetic stimulus."""

    name: str
    count: int
    grid: tuple[int, int]
    patch: int


@dataclass(frozen=True)
class RandomRecipe:
    """A random model: its dimensions and the vectors that are kept of it. The stimulus is its own `Pictures`."""

    name: str
    config: ResMLPConfig
    stimulus: Pictures
    vector_format: str


@dataclass(frozen=True)
class TrainedRecipe:
    """A trained model: its recipe's name, its stimulus (so many test pictures), and the vectors that are kept of it.

    `floats`: whether it began as a float network; one of few bits is quantised from its beginning on.
    """

    name: str
    stimulus: str
    vector_images: int
    vector_taps: tuple[str, ...]
    vector_format: str
    floats: bool = True


_SMALL = ResMLPConfig(tokens=16, values=12, channels=10, hidden=14, blocks=2, classes=5)
_PICTURES = Pictures("images_16x12", 16, (4, 4), 2)
_PAPER_TAPS = ("embed", "pool", "classifier")
_FRACTIONAL_TAPS = ("thermometer", "fm.0", "quant.2", "msb.2", "lsb.2", "fm.3", "fm.4", "mean", "dense")
_ODE_TAPS = (
    "stem", "ode.step0.d1", "ode.step0.p1", "ode.step0.d2", "ode.step0.p2", "ode.step0.x", "ode.step1.x", "ode.step2.x",
    "ode.step3.x", "down", "mhsa.attention", "mhsa.heads", "mhsa.x", "pool", "scores",
)  # fmt: skip
_SOFTMAX_TAPS = ("mhsa.below", "mhsa.exp", "mhsa.reciprocal", "mhsa.product", "mhsa.attention", "scores")
_STIMULUS_IMAGES = 32
_RANDOM_VECTOR_IMAGES = 4

RANDOM = (
    RandomRecipe("small", replace(_SMALL, points=16, rule=TableRule.CLAMP), _PICTURES, "hex"),
    RandomRecipe("small_relu", _SMALL, _PICTURES, "npy"),
)
TRAINED = (
    TrainedRecipe("digits_small", "digits_16x4", 4, ("all",), "hex"),
    TrainedRecipe("psa_h96", "digits_64x48", 2, _PAPER_TAPS, "npy"),
    TrainedRecipe("b_spline_h96", "digits_64x48", 2, ("classifier",), "npy"),
    TrainedRecipe("relu_h96", "digits_64x48", 2, _PAPER_TAPS, "npy"),
    TrainedRecipe("relu_h192", "digits_64x48", 2, ("classifier",), "npy"),
    TrainedRecipe("teacher_h384", "digits_64x48", 2, ("classifier",), "npy"),
    TrainedRecipe("digits_binary", "digits_8x8", 4, ("all",), "npy", floats=False),
    TrainedRecipe("digits_fractional", "digits_8x8", 4, _FRACTIONAL_TAPS, "npy", floats=False),
    TrainedRecipe("digits_ode", "digits_8x8_q7", 4, _ODE_TAPS, "npy"),
    TrainedRecipe("digits_softmax", "digits_8x8_q7", 2, _SOFTMAX_TAPS, "npy"),
)


def names() -> tuple[str, ...]:
    """Every golden model."""
    return tuple(recipe.name for recipe in (*RANDOM, *TRAINED))


def write_golden(
    directory: Path, only: Iterable[str] | None = None, runs: Path | None = None, kept: Path | None = None
) -> GoldenManifest:
    """Write models, stimuli, vectors and manifest into an existing folder; `only` limits it to some models.

    Trained models come from `runs`, the folder that holds their flows' folders, or else, as they were, from the golden
    folder `kept`. FileError where one is not there or is not what its record says.
    """
    wanted = set(names() if only is None else only)
    models: list[GoldenModel] = []
    files: dict[Path, GoldenFile] = {}

    def add(*paths: Path) -> None:
        files.update({path: golden_file(directory, path) for path in paths})

    for random in RANDOM:
        if random.name in wanted:
            pictures = random.stimulus
            images = natural_images(pictures.count, pictures.grid, pictures.patch, SEED)
            # Each model's seed follows from its name alone, so that adding a recipe changes no other.
            seed = SEED + int.from_bytes(hashlib.sha256(random.name.encode()).digest()[:4])
            model = generate_model(random.name, random.config, images, seed)
            stimulus = _write_stimulus(directory, pictures.name, images)
            path = Path(f"{random.name}.safetensors")
            save(model, directory / path)
            vectors = _write_vectors(directory, model, images[:_RANDOM_VECTOR_IMAGES], ("all",), random.vector_format)
            add(stimulus, path, *vectors)
            models.append(measure(model, path.name, stimulus.name, images, seed))
    for trained in TRAINED:
        if trained.name in wanted:
            source = _from_runs(trained, runs) if runs is not None else _from_kept(trained, kept)
            stimulus = _write_stimulus(directory, trained.stimulus, source.images)
            path, checkpoint = Path(f"{trained.name}.safetensors"), Path(source.training.checkpoint)
            (directory / checkpoint).parent.mkdir(exist_ok=True)
            shutil.copyfile(source.model, directory / path)
            shutil.copyfile(source.checkpoint, directory / checkpoint)
            model = load(directory / path)
            vectors = _write_vectors(
                directory, model, source.images[: trained.vector_images], trained.vector_taps, trained.vector_format
            )
            add(stimulus, path, checkpoint, *vectors)
            models.append(measure(model, path.name, stimulus.name, source.images, source.seed, source.training))
    manifest = GoldenManifest(
        FORMAT, VERSION, "python -m fxsim.golden", SEED, STATEMENT, models, [files[path] for path in sorted(files)]
    )
    text = msgspec.json.format(msgspec.json.encode(manifest))
    (directory / MANIFEST).write_bytes(text + b"\n")
    return manifest


@dataclass(frozen=True)
class _Source:
    """A trained model before it is in the new folder."""

    model: Path
    checkpoint: Path
    images: Int8
    seed: int
    training: Training


def _from_kept(recipe: TrainedRecipe, kept: Path | None) -> _Source:
    if kept is None:
        raise FileError(
            f"the trained model '{recipe.name}' comes from nowhere, expected the folder of its recipe's flow"
        )
    stated = next((model for model in read_manifest(kept).models if model.name == recipe.name), None)
    if stated is None or stated.training is None:
        raise FileError(
            f"{kept}: its manifest has no trained model '{recipe.name}'; give the folder of its recipe's flow"
        )
    images = map_array(kept / stated.stimulus)
    return _Source(kept / stated.file, kept / stated.training.checkpoint, images, stated.seed, stated.training)


def _from_runs(recipe: TrainedRecipe, runs: Path) -> _Source:
    """The files of a flow, held against each other: the model is the checkpoint's, the accuracies are measured."""
    # torch is an extra, and only this needs it.
    from fxsim.data import DataSource
    from fxsim.training.evaluate import evaluate, test_codes
    from fxsim.training.flow import FLOAT, MODEL, QUANTISED
    from fxsim.training.keys import file_sha256

    folder = runs / recipe.name
    model_path, checkpoint, floating = (folder / name for name in (MODEL, QUANTISED, FLOAT))
    model = load(model_path)
    # The name is that of a folder of vectors, too.
    came_from = model.provenance.get("recipe")
    if (model.name, came_from) != (recipe.name, recipe.name):
        raise FileError(
            f"{model_path}: is model '{model.name}' of recipe '{came_from}', expected '{recipe.name}' of its recipe"
        )
    try:
        source, seed = DataSource(model.provenance["data"]), int(model.provenance["seed"])
    except (KeyError, ValueError) as error:
        raise FileError(
            f"{model_path}: its provenance does not say on what data and from which seed it was trained ({error}), "
            "expected the results of one flow"
        ) from None
    found = evaluate(model_path, source, None, floating if recipe.floats else None, checkpoint)
    if not found.exports_to_model:
        raise FileError(f"{model_path}: is not what {checkpoint} exports, expected the results of one flow")
    correct = {name: accuracy.correct for name, accuracy in found.networks.items()}
    recipe_file = Path("recipes") / f"{recipe.name}.toml"
    training = Training(
        recipe=recipe_file.as_posix(),
        recipe_sha256=file_sha256(recipe_file),
        data=str(source),
        data_sha256=found.data_sha256,
        checkpoint=f"checkpoints/{recipe.name}.safetensors",
        test_images=found.pictures,
        float_correct=correct.get("float"),
        fake_quant_correct=correct["fake-quant"],
        integer_correct=correct["integer"],
        saturated={tap.tap: tap.low + tap.high for tap in found.saturation},
    )
    codes, _ = test_codes(model, source, None)
    return _Source(model_path, checkpoint, codes[:_STIMULUS_IMAGES], seed, training)


def _write_stimulus(directory: Path, name: str, images: Int8) -> Path:
    """The stimulus's file; where several models share it, it must be the same for all."""
    path = Path(f"{name}.npy")
    if (directory / path).exists() and not np.array_equal(map_array(directory / path), images):
        raise FileError(f"{directory / path}: differs from model to model; expected recipes with one preprocessing")
    np.save(directory / path, images, allow_pickle=False)
    return path


def _write_vectors(directory: Path, model: Model, images: Int8, taps: tuple[str, ...], data_format: str) -> list[Path]:
    from fxsim.vectors import write_vectors

    vectors = Path("vectors") / model.name
    (directory / "vectors").mkdir(exist_ok=True)
    write_vectors(model, images, directory / vectors, taps=taps, data_format=data_format, seed=SEED, engine="reference")
    return sorted(path.relative_to(directory) for path in (directory / vectors).rglob("*") if path.is_file())
