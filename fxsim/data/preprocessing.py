"""The way from a picture to tokens: size, colours, normalisation, patches."""

import math
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from fxsim.data.pictures import Float32, Pictures, UInt8, check_images
from fxsim.errors import StimulusError

SIZE_MAX = 1024
"""Pixels of a side, at most: a file that states more is damaged."""


class SettingsError(StimulusError, ValueError):
    """A `Preprocessing` or `Augmentation` that may not exist. As a ValueError it gets the place added by msgspec."""


class Preprocessing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The way from a picture to tokens. SettingsError where the numbers do not fit each other.

    The picture is `size` x `size` pixels of `colours` (1 or 3), cut into patches of `patch` x `patch` pixels; `mean`
    and `std` are per colour, of pixel / 255.
    """

    size: int
    colours: int
    patch: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if not 1 <= self.size <= SIZE_MAX:
            raise SettingsError(f"size is {self.size}, expected 1 to {SIZE_MAX} pixels")
        if self.colours not in (1, 3):
            raise SettingsError(f"colours is {self.colours}, expected 1 or 3")
        if self.patch < 1 or self.size % self.patch:
            raise SettingsError(f"patch is {self.patch}, expected a divisor of size, {self.size}")
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) != self.colours:
                raise SettingsError(f"{name} has {len(values)} numbers, expected one a colour, {self.colours}")
            if not all(math.isfinite(value) for value in values):
                raise SettingsError(f"{name} is {values}, expected finite numbers")
        if any(value <= 0 for value in self.std):
            raise SettingsError(f"std is {self.std}, expected positive numbers")

    @property
    def tokens(self) -> int:
        """Tokens of a picture: its patches, (size / patch)^2."""
        return (self.size // self.patch) ** 2

    @property
    def values(self) -> int:
        """Values of a token: patch^2 * colours."""
        return self.patch**2 * self.colours


def fit_pictures(pictures: Pictures, pre: Preprocessing) -> Pictures:
    """The pictures in the size and colours that `pre` states: images uint8 [n, size, size, colours].

    Colour to grey is Pillow's luma (ITU-R 601-2, in integers); the size is changed by Pillow's bilinear filter, which
    averages where it shrinks, and does not keep the proportions of a picture that is not square; grey to colour repeats
    the grey value. A picture that fits already is not changed.
    """
    images = pictures.images
    if images.shape[3] == 3 and pre.colours == 1:
        images = _luma(images)
    if images.shape[1:3] != (pre.size, pre.size):
        images = _resize(images, pre.size)
    if images.shape[3] == 1 and pre.colours == 3:
        images = np.repeat(images, 3, axis=3)
    return Pictures(images, pictures.labels)


def to_tokens(images: UInt8, pre: Preprocessing) -> Float32:
    """Tokens of fitted pictures: uint8 [n, size, size, colours] to float32 [n, tokens, values].

    Each value is (pixel / 255 - mean) / std, computed in float64 and rounded once. Patches are in row-major order, the
    values of a patch in the order (row, column, colour). StimulusError where the pictures are not fitted.
    """
    check_images(images)
    if images.shape[1:] != (pre.size, pre.size, pre.colours):
        raise StimulusError(
            f"pictures have shape {images.shape[1:]}, expected ({pre.size}, {pre.size}, {pre.colours}): fit them first"
        )
    # 256 pixel values are all there are: one table a colour.
    pixel = np.arange(256, dtype=np.float64)[:, None] / 255
    table = ((pixel - np.array(pre.mean)) / np.array(pre.std)).astype(np.float32)
    side = pre.size // pre.patch
    patches = images.reshape(-1, side, pre.patch, side, pre.patch, pre.colours).transpose(0, 1, 3, 2, 4, 5)
    tokens: Float32 = table[patches, np.arange(pre.colours)].reshape(len(images), pre.tokens, pre.values)
    return tokens


def channel_statistics(pictures: Pictures) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation (of the population) of pixel / 255, per colour, over all pixels of all pictures.

    Computed from exact integer sums, rounded once at the end. StimulusError where there are no pictures.
    """
    if not len(pictures):
        raise StimulusError("mean and standard deviation of no pictures were asked for, expected at least one")
    means, deviations = [], []
    for colour in range(pictures.images.shape[3]):
        counts = [int(n) for n in np.bincount(pictures.images[..., colour].ravel(), minlength=256)]
        total = sum(counts)
        first = sum(n * value for value, n in enumerate(counts))
        second = sum(n * value**2 for value, n in enumerate(counts))
        means.append(first / (255 * total))
        deviations.append(math.sqrt((total * second - first**2) / (255 * total) ** 2))
    return tuple(means), tuple(deviations)


def _luma(images: UInt8) -> UInt8:
    # Pillow's integers, weights of 2^-16: 0.299, 0.587, 0.114.
    weights = np.array([19595, 38470, 7471], np.uint32)
    grey: npt.NDArray[Any] = (images @ weights + np.uint32(1 << 15)) >> np.uint32(16)
    return grey.astype(np.uint8)[..., None]


def _resize(images: UInt8, size: int) -> UInt8:
    from PIL import Image

    resized = np.empty((len(images), size, size, images.shape[3]), np.uint8)
    for i, image in enumerate(images):
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        resized[i] = np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR)).reshape(size, size, -1)
    return resized
