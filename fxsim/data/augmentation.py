"""Random changes to pictures while training: crops, flips and RandAugment, as torchvision defines them."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from fxsim.data.pictures import UInt8, check_images
from fxsim.data.preprocessing import SIZE_MAX, SettingsError

if TYPE_CHECKING:
    from PIL.Image import Image

BINS = 31
"""Magnitudes 0 to 30 of RandAugment."""

_OPS_MAX = 100
"""Operations a picture, at most."""


class Augmentation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Changes made to a training picture, in the order of the fields. SettingsError where a number is out of range.

    `crop_padding` zero pixels go around the picture and a crop of its old size is taken at random; `flip` mirrors left
    and right with probability 1/2; then `rand_augment_ops` operations of RandAugment follow, each of
    `rand_augment_magnitude`, 0 to 30. The defaults change nothing.
    """

    crop_padding: int = 0
    flip: bool = False
    rand_augment_ops: int = 0
    rand_augment_magnitude: int = 9

    def __post_init__(self) -> None:
        for name, value, limit in (
            ("crop_padding", self.crop_padding, SIZE_MAX),
            ("rand_augment_ops", self.rand_augment_ops, _OPS_MAX),
            ("rand_augment_magnitude", self.rand_augment_magnitude, BINS - 1),
        ):
            if not 0 <= value <= limit:
                raise SettingsError(f"{name} is {value}, expected 0 to {limit}")


def augment(images: UInt8, augmentation: Augmentation, rng: np.random.Generator) -> UInt8:
    """Changed copies of pictures: uint8 [n, height, width, colours], 1 or 3 colours, to the same shape.

    The same pictures, augmentation and state of `rng` give the same result. StimulusError where the images are of
    another type or shape.
    """
    check_images(images)
    result = images
    if augmentation.crop_padding:
        offsets = rng.integers(0, 2 * augmentation.crop_padding + 1, (len(images), 2))
        result = crop(result, augmentation.crop_padding, offsets)
    if augmentation.flip:
        result = np.where(rng.integers(0, 2, len(images), bool)[:, None, None, None], result[:, :, ::-1], result)
    if augmentation.rand_augment_ops:
        shape = (len(images), augmentation.rand_augment_ops)
        choices = rng.integers(0, len(OPERATIONS), shape)
        negative = rng.integers(0, 2, shape, bool)
        result = _rand_augment(result, choices, negative, augmentation.rand_augment_magnitude)
    # Never the caller's own memory, whatever was switched off.
    return result.copy() if result is images else result


def crop(images: UInt8, padding: int, offsets: npt.NDArray[np.int64]) -> UInt8:
    """Crops of zero-padded pictures: the picture i's starts at row and column `offsets[i]`, each 0 to 2 * padding."""
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = sliding_window_view(padded, (height, width), axis=(1, 2))
    return np.ascontiguousarray(np.moveaxis(windows[np.arange(len(images)), offsets[:, 0], offsets[:, 1]], 1, 3))


def _rand_augment(
    images: UInt8, choices: npt.NDArray[np.int64], negative: npt.NDArray[np.bool_], magnitude: int
) -> UInt8:
    from PIL import Image

    names = list(OPERATIONS)
    result = np.empty_like(images)
    for i, image in enumerate(images):
        picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
        for choice, minus in zip(choices[i], negative[i], strict=True):
            picture = apply_operation(picture, names[choice], magnitude, bool(minus))
        result[i] = np.asarray(picture).reshape(image.shape)
    return result


def apply_operation(picture: "Image", name: str, magnitude: int, negative: bool = False) -> "Image":
    """One operation of RandAugment on a Pillow picture of mode L or RGB, as torchvision's RandAugment does it.

    `magnitude` is 0 to 30. `negative` turns the direction of those operations that have one, and is ignored by others.
    Pixels from outside the picture are zero; positions are rounded to the nearest pixel.
    """
    signed, strength, operation = OPERATIONS[name]
    value = strength(magnitude, picture.size)
    return operation(picture, -value if signed and negative else value)


def _level(top: float, magnitude: int) -> float:
    """The level `magnitude` of 31 from 0 to `top`, to float32's last bit as torchvision has it: counted from both ends.

    An enhanced picture is truncated to whole numbers, so that the last bit can be seen.
    """
    whole = np.float32(top)
    step = whole / np.float32(BINS - 1)
    if magnitude < BINS // 2:
        return float(step * np.float32(magnitude))
    # One rounding for product and difference together: a fused multiply-add.
    return float(np.float32(float(whole) - float(step) * (BINS - 1 - magnitude)))


def _affine(picture: "Image", matrix: tuple[float, float, float, float, float, float]) -> "Image":
    # The matrix takes a place in the result to its place in the picture, as Pillow wants it.
    from PIL import Image

    return picture.transform(picture.size, Image.Transform.AFFINE, matrix, Image.Resampling.NEAREST, fillcolor=0)


def _rotate(picture: "Image", degrees: float) -> "Image":
    from PIL import Image

    return picture.rotate(degrees, Image.Resampling.NEAREST, fillcolor=0)


def _enhance(kind: str) -> Callable[["Image", float], "Image"]:
    def operation(picture: "Image", value: float) -> "Image":
        from PIL import Image, ImageEnhance

        enhanced: Image.Image = getattr(ImageEnhance, kind)(picture).enhance(1 + value)
        return enhanced

    return operation


def _posterize(picture: "Image", bits: float) -> "Image":
    from PIL import ImageOps

    return ImageOps.posterize(picture, int(bits))


def _solarize(picture: "Image", threshold: float) -> "Image":
    from PIL import ImageOps

    # A threshold of 255 turns white to black, at magnitude 0 too: so it is in torchvision.
    return ImageOps.solarize(picture, threshold)  # type: ignore[arg-type]  # compared only, so a float will do


def _autocontrast(picture: "Image", _: float) -> "Image":
    from PIL import ImageOps

    return ImageOps.autocontrast(picture)


def _equalize(picture: "Image", _: float) -> "Image":
    from PIL import ImageOps

    return ImageOps.equalize(picture)


_Strength = Callable[[int, tuple[int, int]], float]

OPERATIONS: dict[str, tuple[bool, _Strength, Callable[["Image", float], "Image"]]] = {
    # name: (has a direction, value from magnitude and (width, height), what is done with the value)
    "Identity": (False, lambda *_: 0, lambda picture, _: picture),
    "ShearX": (True, lambda m, _: _level(0.3, m), lambda picture, v: _affine(picture, (1, v, 0, 0, 1, 0))),
    "ShearY": (True, lambda m, _: _level(0.3, m), lambda picture, v: _affine(picture, (1, 0, 0, v, 1, 0))),
    # Whole pixels, towards zero; a positive value moves the picture right, or down.
    "TranslateX": (
        True,
        lambda m, size: int(_level(150 / 331 * size[0], m)),
        lambda picture, v: _affine(picture, (1, 0, -v, 0, 1, 0)),
    ),
    "TranslateY": (
        True,
        lambda m, size: int(_level(150 / 331 * size[1], m)),
        lambda picture, v: _affine(picture, (1, 0, 0, 0, 1, -v)),
    ),
    "Rotate": (True, lambda m, _: _level(30, m), _rotate),
    "Brightness": (True, lambda m, _: _level(0.9, m), _enhance("Brightness")),
    "Color": (True, lambda m, _: _level(0.9, m), _enhance("Color")),
    "Contrast": (True, lambda m, _: _level(0.9, m), _enhance("Contrast")),
    "Sharpness": (True, lambda m, _: _level(0.9, m), _enhance("Sharpness")),
    "Posterize": (False, lambda m, _: 8 - round(m / 7.5), _posterize),
    "Solarize": (False, lambda m, _: _level(255, BINS - 1 - m), _solarize),
    "AutoContrast": (False, lambda *_: 0, _autocontrast),
    "Equalize": (False, lambda *_: 0, _equalize),
}
"""torchvision's fourteen operations, in its order."""
