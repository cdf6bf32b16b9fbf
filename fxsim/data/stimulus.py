"""Images for a model from what people have: published samples in C headers, pictures in files."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from fxsim.contract.arithmetic import Int8
from fxsim.data.input_format import KEY, InputFormat, codes
from fxsim.data.pictures import Pictures, UInt8, check_images
from fxsim.data.preprocessing import SIZE_MAX, Preprocessing, fit_pictures, to_tokens
from fxsim.errors import FileError, StimulusError
from fxsim.formats.headers import read_header_arrays
from fxsim.formats.npy import map_array
from fxsim.graph import Model

SAMPLES = "quant_samples.h"
"""The header of samples in a folder of published headers."""
SAMPLES_ARRAY = "samples_input"
"""The array of images in it."""

PICTURES_MAX = 100_000
"""Most pictures that are read at once."""
_SUFFIXES = (".png", ".jpg", ".jpeg")
_MODES = {"1": "L", "L": "L", "P": "RGB", "RGB": "RGB"}
"""Pillow's modes that are read, and what each is read as; the others have more than 8 bits, or transparency."""


class SampleLayout(StrEnum):
    """The order of an image's two indices in an array of samples."""

    AUTO = "auto"
    """To be seen from the model's input, where tokens and values are not equally many."""
    TOKEN_VALUE = "token-value"  # noqa: S105  # no password
    """[token][value], as for the streaming design."""
    VALUE_TOKEN = "value-token"  # noqa: S105
    """[value][token], as for the SIMD design."""


def read_samples(path: Path, array: str, model: Model | None, layout: SampleLayout) -> tuple[Int8, SampleLayout]:
    """An array of a C header as images, int8 [image, token, value], and the layout it was found in.

    The array is [image] and the two indices of `layout`, or one image without the first. Without a model that says how
    many tokens and values there are, a single image needs a stated layout, and several are [image][token][value]
    unless another is stated. FileError where the array is missing, of another type, or does not fit the model.
    """
    arrays = read_header_arrays(path)
    if array not in arrays:
        names = ", ".join(list(arrays)[:20]) or "none"
        raise FileError(f"{path}: has no array '{array}', expected one of: {names}")
    x = arrays[array]
    found = "".join(f"[{n}]" for n in x.shape)
    where = f"{path}: array '{array}'"
    if x.dtype != np.int8 or x.ndim not in (2, 3):
        raise FileError(
            f"{where} is {x.dtype} {found}, expected int8 [image][token][value], or one image without [image]"
        )
    if model is None:
        if layout is SampleLayout.AUTO and x.ndim == 2:
            raise FileError(f"{where} has shape {found}, of which no model says what is what; give one, or the layout")
        layout = SampleLayout.TOKEN_VALUE if layout is SampleLayout.AUTO else layout
    else:
        shape = _two_sizes(model)
        ways = {SampleLayout.TOKEN_VALUE: shape, SampleLayout.VALUE_TOKEN: shape[::-1]}
        fitting = [way for way, sizes in ways.items() if x.shape[-2:] == sizes and layout in (way, SampleLayout.AUTO)]
        if not fitting:
            expected = f"{shape[0]} tokens of {shape[1]} values"
            raise FileError(f"{where} has shape {found}, expected images of {expected} in layout '{layout}'")
        if len(fitting) > 1:
            raise FileError(
                f"{where} has as many tokens as values, so that their order cannot be seen; give the layout"
            )
        layout = fitting[0]
    x = x[None] if x.ndim == 2 else x
    x = x.transpose(0, 2, 1) if layout is SampleLayout.VALUE_TOKEN else x
    return np.ascontiguousarray(x), layout


def _two_sizes(model: Model) -> tuple[int, int]:
    """Tokens and values of a model's input."""
    if len(model.graph.input_shape) != 2:
        raise StimulusError(f"model '{model.name}' takes inputs {model.graph.input_shape}, expected (tokens, values)")
    tokens, values = model.graph.input_shape
    return tokens, values


def input_format(
    model: Model, mean: Sequence[float] | None, std: Sequence[float] | None, step: float | None
) -> InputFormat:
    """The input format of pictures for a model: as its provenance says, or else as stated here.

    `mean` and `std` are per colour, of pixel / 255; a code is (pixel / 255 - mean) / std over `step`, a float32 number.
    The picture's size, patches and colours follow from the model's input: square pictures, square patches, 1 or 3
    colours. StimulusError where both or neither say how, or the input is not one of pictures.
    """
    stated = (mean, std, step)
    if KEY in model.provenance:
        if stated != (None, None, None):
            raise StimulusError(
                f"model '{model.name}' states how pictures are given to it, expected no other statement"
            )
        return InputFormat.of(model)
    if mean is None or std is None or step is None:
        raise StimulusError(
            f"model '{model.name}' does not state how pictures are given to it, expected mean, deviation and step: "
            "--mean, --std and --step of `fxsim images`"
        )
    tokens, values = _two_sizes(model)
    for colours in (1, 3):
        patch, side = math.isqrt(values // colours), math.isqrt(tokens)
        if patch**2 * colours == values and side**2 == tokens:
            return InputFormat(Preprocessing(side * patch, colours, patch, tuple(mean), tuple(std)), step, "")
    raise StimulusError(
        f"model '{model.name}' takes {tokens} tokens of {values} values, which are no square patches of a square "
        "picture in 1 or 3 colours"
    )


@dataclass(frozen=True)
class PictureCodes:
    """Pictures as a model takes them: `images`, int8 [image, token, value], and how many were brought to its size."""

    images: Int8
    resized: int


def picture_codes(paths: Iterable[Path], wanted: InputFormat) -> PictureCodes:
    """The pictures of files and folders, in the order given and in folders by name, as codes.

    A file is a PNG or JPEG picture, or a .npy array, uint8 [picture, height, width] or [picture, height, width, 3];
    pictures of other sizes or colours are brought to those of the model as `fit_pictures` does it. FileError where a
    file is none of these, larger than 1,024 pixels on a side, or has more than 8 bits or transparency.
    """
    parts: list[Int8] = []
    resized = count = 0
    size = wanted.preprocessing.size
    for pictures in _read_all(paths):
        count += len(pictures)
        if count > PICTURES_MAX:
            raise FileError(f"more than {PICTURES_MAX:,} pictures were given, the most that are read at once")
        resized += len(pictures) if pictures.shape[1:3] != (size, size) else 0
        fitted = fit_pictures(Pictures(pictures, np.zeros(len(pictures), np.int64)), wanted.preprocessing)
        parts.append(codes(to_tokens(fitted.images, wanted.preprocessing), wanted.step))
    if not count:
        raise FileError("no pictures were given, expected at least one")
    return PictureCodes(np.concatenate(parts), resized)


def _read_all(paths: Iterable[Path]) -> Iterable[UInt8]:
    for path in paths:
        if path.is_dir():
            names = sorted(p for p in path.iterdir() if p.suffix.lower() in _SUFFIXES)
            if not names:
                raise FileError(f"{path}: has no picture in it, expected files {', '.join('*' + s for s in _SUFFIXES)}")
            for name in names:
                yield _read_picture(name)
        elif path.suffix.lower() == ".npy":
            yield _read_array(path)
        else:
            yield _read_picture(path)


def _read_array(path: Path) -> UInt8:
    array = map_array(path)
    images = array[..., None] if array.ndim == 3 else array
    try:
        check_images(images)
    except StimulusError as error:
        raise FileError(f"{path}: {error}") from None
    if max(images.shape[1:3]) > SIZE_MAX or not 1 <= len(images) <= PICTURES_MAX:
        raise FileError(
            f"{path}: has shape {array.shape}, expected 1 to {PICTURES_MAX:,} of at most {SIZE_MAX} pixels a side"
        )
    return images


def _read_picture(path: Path) -> UInt8:
    """One picture, uint8 [1, height, width, 1 or 3]."""
    from PIL import Image

    try:
        # The header alone is read here; what it states is checked before pixels are.
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            if max(picture.size) > SIZE_MAX:
                raise FileError(f"{path}: has {picture.size} pixels, expected at most {SIZE_MAX} a side")
            if picture.mode not in _MODES or "transparency" in picture.info:
                what = "transparency" if "transparency" in picture.info else f"mode '{picture.mode}'"
                raise FileError(f"{path}: has {what}, expected grey or colours of 8 bits and nothing else")
            pixels = np.asarray(picture.convert(_MODES[picture.mode]), np.uint8)
    except FileError:
        raise
    except OSError as error:
        raise FileError(f"{path}: cannot be read as a PNG or JPEG picture: {error.strerror or error}") from None
    # Damaged files fail in ways that Pillow does not list.
    except Exception as error:
        reason = str(error).split("\n")[0][:200]
        raise FileError(f"{path}: is not a whole PNG or JPEG picture: {reason}") from None
    return pixels.reshape(1, *pixels.shape[:2], -1)
