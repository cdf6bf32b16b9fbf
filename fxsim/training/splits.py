"""The data of a recipe: pictures to train, validate and test with, as tokens."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fxsim.data import (
    Augmentation,
    DataSource,
    Pictures,
    Preprocessing,
    augment,
    channel_statistics,
    fit_pictures,
    load_data,
    split,
    to_tokens,
)
from fxsim.errors import FxsimError, StimulusError
from fxsim.training.recipe import Device, Recipe

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Examples:
    """Fitted pictures with their labels, as tensors on `device`."""

    pictures: Pictures
    preprocessing: Preprocessing
    device: str = "cpu"

    def __len__(self) -> int:
        return len(self.pictures)

    @cached_property
    def tokens(self) -> Tensor:
        """float32 [n, tokens, values], not augmented."""
        return torch.from_numpy(to_tokens(self.pictures.images, self.preprocessing)).to(self.device)

    @cached_property
    def labels(self) -> Tensor:
        """int64 [n]."""
        return torch.from_numpy(self.pictures.labels).to(self.device)

    def augmented(self, indices: Indices, augmentation: Augmentation, rng: np.random.Generator) -> Tensor:
        """Tokens of the pictures at `indices`, changed at random: float32 [n, tokens, values]."""
        images = augment(self.pictures.images[indices], augmentation, rng)
        return torch.from_numpy(to_tokens(images, self.preprocessing)).to(self.device)


@dataclass(frozen=True, eq=False)
class Splits:
    """The data that a recipe trains, validates and tests with. `sha256` is the whole data set's."""

    train: Examples
    validation: Examples
    test: Examples
    preprocessing: Preprocessing
    classes: int
    sha256: str


def load_splits(recipe: Recipe) -> Splits:
    """The recipe's data: validation pictures drawn from the training ones by its seed, class by class.

    FxsimError where the data is missing, damaged, or does not fit the recipe, or there is no such device.
    """
    if recipe.device is Device.CUDA and not torch.cuda.is_available():
        raise FxsimError("device is 'cuda', but PyTorch finds no CUDA device here: expected one, or --device cpu")
    section = recipe.data
    if section.source != DataSource.DIGITS and recipe.data_path is None:
        raise FxsimError(
            f"{recipe.path}: [data] has no path, expected the folder of {section.source} there or by --data-path"
        )
    data = load_data(section.source, recipe.data_path)
    try:
        train, validation = split(data.train, section.validation, recipe.seed)
    except StimulusError as error:
        raise FxsimError(f"{recipe.path}: [data] validation: {error}") from None
    colours, size = section.colours, section.size
    stand_in = Preprocessing(size, colours, section.patch, (0.0,) * colours, (1.0,) * colours)
    fitted = [fit_pictures(pictures, stand_in) for pictures in (train, validation, data.test)]
    mean, std = section.mean, section.std
    if mean is None or std is None:
        mean, std = channel_statistics(fitted[0])
        if min(std) == 0:
            raise FxsimError(f"{recipe.path}: all training pictures are of one grey, so that they cannot be normalised")
    pre = Preprocessing(size, colours, section.patch, mean, std)
    examples = [Examples(pictures, pre, recipe.device) for pictures in fitted]
    return Splits(examples[0], examples[1], examples[2], pre, data.classes, data.sha256)
