"""Training on labels: teachers, and students without one."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from torch import Tensor

import fxsim
from fxsim.errors import FxsimError, ModelError
from fxsim.formats.atomic import check_target
from fxsim.networks.checkpoint import save_checkpoint
from fxsim.networks.few_bits import FewBitNetwork
from fxsim.networks.neural_ode import NeuralOde
from fxsim.networks.resmlp import ResMLP
from fxsim.training.keys import content_key
from fxsim.training.log import EpochRecord
from fxsim.training.loop import (
    Batch,
    Progress,
    Stage,
    Tell,
    deterministic,
    discard_partial,
    run_stages,
    silent,
    torch_seed,
)
from fxsim.training.losses import count_correct, validate
from fxsim.training.recipe import Recipe
from fxsim.training.splits import Indices, Splits, load_splits

_SECTIONS = ("data", "augmentation", "network", "train")
_FEW_BITS_SECTIONS = ("data", "augmentation", "few_bits", "train")
_ODE_SECTIONS = ("data", "augmentation", "ode", "train")


def train(
    recipe: Recipe, output: Path, splits: Splits | None = None, progress: Progress = silent, tell: Tell = silent
) -> tuple[EpochRecord, ...]:
    """Train a recipe's network on labels, its [train] section, into the network file `output`; the epochs' records.

    The file has a float network, or of a recipe with [few_bits] a quantised one.

    An interrupted training goes on where it stopped (see `run_stages`). FxsimError where the recipe has no [train], the
    data cannot be read or does not fit, or `output` cannot be written.
    """
    section = recipe.train
    if section is None:
        raise FxsimError(f"{recipe.path}: has no [train] section, expected one to train on labels")
    check_target(output, streams=False)
    splits = splits or load_splits(recipe)
    key = train_key(recipe, splits)
    with deterministic(recipe.threads):
        network = build_any_network(recipe, splits)
        labels, tv2 = splits.train.labels, section.tv2

        def loss(indices: Indices, rng: np.random.Generator) -> Batch:
            logits, wanted = network(batch_tokens(recipe, splits, indices, rng)), labels[torch.from_numpy(indices)]
            total = F.cross_entropy(logits, wanted)
            if tv2 and isinstance(network, ResMLP):
                total = total + tv2 * network.tv2()
            return Batch(total, count_correct(logits, wanted))

        stage = Stage(
            name="train",
            schedule=section,
            examples=len(splits.train),
            trained=network,
            loss=loss,
            validate=lambda: validate(network, splits.validation),
            keep=section.keep,
        )
        records = run_stages(network, [stage], seed=recipe.seed, output=output, key=key, progress=progress, tell=tell)
        trained = network.fold() if isinstance(network, FewBitNetwork) else network
        figures = validate(trained, splits.validation)
    save_checkpoint(trained, output, splits.preprocessing, provenance(recipe, splits, "train", key, figures.accuracy))
    discard_partial(output)
    return records


def refuse_inputs(output: Path, *inputs: Path | None) -> None:
    """FxsimError where `output` is one of the files that are read."""
    for path in inputs:
        if path is not None and path.exists() and output.exists() and output.samefile(path):
            raise FxsimError(f"{output} is read as an input: writing there would destroy it, give another output")


def train_key(recipe: Recipe, splits: Splits) -> str:
    """The hash of everything that the result of `train` depends on."""
    sections = _SECTIONS if recipe.few_bits is None else _FEW_BITS_SECTIONS
    if recipe.ode is not None:
        sections = _ODE_SECTIONS
    return content_key(recipe, sections, splits.sha256, {})


def build_any_network(recipe: Recipe, splits: Splits) -> ResMLP | FewBitNetwork | NeuralOde:
    """`build_network`, or a network of few bits or a Neural ODE with batch norms."""
    if recipe.few_bits is None and recipe.ode is None:
        return build_network(recipe, splits)
    try:
        if recipe.ode is not None:
            ode = recipe.ode_config(splits.preprocessing, splits.classes)
            with torch_seed(recipe.seed, "network"):
                return NeuralOde(ode).to(recipe.device)
        config = recipe.few_bit_config(splits.preprocessing, splits.classes)
    except ModelError as error:
        raise FxsimError(f"{recipe.path}: {error}") from None
    with torch_seed(recipe.seed, "network"):
        return FewBitNetwork(config).to(recipe.device)


def build_network(recipe: Recipe, splits: Splits) -> ResMLP:
    """A recipe's network at its beginning, drawn from the recipe's seed. FxsimError where it does not fit the data."""
    try:
        config = recipe.network_config(splits.preprocessing, splits.classes)
    except ModelError as error:
        raise FxsimError(f"{recipe.path}: {error}") from None
    for name in ("train", "transfer", "distill"):
        section = getattr(recipe, name)
        # A batch norm has nothing to measure on one picture of one token.
        if section is not None and config.tokens == 1 and len(splits.train) % section.batch == 1 % section.batch:
            raise FxsimError(
                f"{recipe.path}: [{name}] batch is {section.batch}, which leaves one of {len(splits.train)} training "
                "pictures alone; expected another, as pictures are one token"
            )
    with torch_seed(recipe.seed, "network"):
        # Drawn on the CPU: the beginning is the same on every device.
        return ResMLP(config).to(recipe.device)


def batch_tokens(recipe: Recipe, splits: Splits, indices: Indices, rng: np.random.Generator) -> Tensor:
    """Tokens of training pictures, augmented as the recipe says: float32 [n, tokens, values]."""
    if recipe.augments:
        return splits.train.augmented(indices, recipe.augmentation, rng)
    return splits.train.tokens[torch.from_numpy(indices)]


def provenance(recipe: Recipe, splits: Splits, stage: str, key: str, accuracy: float | None) -> dict[str, str]:
    """The origin of a network, as its file states it."""
    return {
        "recipe": recipe.name,
        "stage": stage,
        "key": key,
        "seed": str(recipe.seed),
        "data": str(recipe.data.source),
        "data_sha256": splits.sha256,
        "validation_accuracy": "" if accuracy is None else f"{accuracy:.6f}",
        "fxsim": fxsim.__version__,
        "torch": str(torch.__version__),
    }
