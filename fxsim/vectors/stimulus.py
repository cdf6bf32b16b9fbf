"""Stimuli drawn from a seed, for inputs that no image would give."""

from collections.abc import Callable

import numpy as np

from fxsim.contract import INT8_MAX, INT8_MIN, Shape
from fxsim.contract.arithmetic import Int8
from fxsim.errors import StimulusError
from fxsim.vectors.manifest import SEED_MAX

VALUES_MAX = 1 << 28
"""Most values of a stimulus that is drawn; drawing takes nine bytes for each."""

_EXTREMES = np.array([INT8_MIN, INT8_MAX], np.int8)


def _uniform(shape: Shape, rng: np.random.Generator) -> Int8:
    return rng.integers(INT8_MIN, INT8_MAX, shape, np.int8, endpoint=True)


def _extreme(shape: Shape, rng: np.random.Generator) -> Int8:
    """Only -128 and 127: image by image in another proportion, from all of one to all of the other."""
    share = np.linspace(0, 1, shape[0])[:, None, None]
    return _EXTREMES[(rng.random(shape) < share).astype(np.intp)]


DRAWS: dict[str, Callable[[Shape, np.random.Generator], Int8]] = {
    "uniform": _uniform,
    "extreme": _extreme,
}
"""Ways to draw: `uniform` over all of int8; `extreme`, nothing but -128 and 127."""


def draw_stimulus(draw: str, images: int, input_shape: Shape, seed: int) -> Int8:
    """int8 [image, token, value] by one of DRAWS; the same arguments give the same values. StimulusError for others."""
    if draw not in DRAWS:
        raise StimulusError(f"there is no way '{draw}' to draw a stimulus; there are: {', '.join(DRAWS)}")
    if images < 1:
        raise StimulusError(f"a stimulus of {images} images was asked for, expected at least 1")
    if (values := images * input_shape[0] * input_shape[1]) > VALUES_MAX:
        raise StimulusError(f"a stimulus of {values:,} values was asked for, expected at most {VALUES_MAX:,}")
    check_seed(seed)
    return DRAWS[draw]((images, *input_shape), np.random.default_rng(seed))


def check_seed(seed: int) -> None:
    """StimulusError for a seed that cannot be drawn from or recorded."""
    if not 0 <= seed <= SEED_MAX:
        raise StimulusError(f"seed is {seed}, expected 0 to {SEED_MAX}")
