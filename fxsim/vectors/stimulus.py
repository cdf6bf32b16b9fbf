"""Stimuli drawn from a seed, for inputs that no image would give."""

import math
from collections.abc import Callable

import numpy as np

from fxsim.contract import INT8, Number, Shape, Tensor
from fxsim.contract.arithmetic import Integers
from fxsim.errors import StimulusError
from fxsim.vectors.manifest import SEED_MAX

VALUES_MAX = 1 << 28
"""Most values of a stimulus that is drawn; drawing takes nine bytes for each."""


def _uniform(shape: Shape, number: Number, rng: np.random.Generator) -> Integers:
    if number.bipolar:
        return _extreme_of(number)[rng.integers(0, 2, shape)]
    drawn: Integers = rng.integers(number.low, number.high, shape, number.dtype.type, endpoint=True)
    return drawn


def _extreme(shape: Shape, number: Number, rng: np.random.Generator) -> Integers:
    """Least and greatest values alone: image by image in another proportion, from all of one to all of the other."""
    share = np.linspace(0, 1, shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    drawn: Integers = _extreme_of(number)[(rng.random(shape) < share).astype(np.intp)]
    return drawn


def _extreme_of(number: Number) -> Integers:
    return np.array([number.low, number.high], number.dtype)


DRAWS: dict[str, Callable[[Shape, Number, np.random.Generator], Integers]] = {
    "uniform": _uniform,
    "extreme": _extreme,
}
"""Ways to draw: `uniform` over all values of the format; `extreme`, nothing but the least and the greatest."""


def draw_stimulus(draw: str, images: int, tensor: Tensor | Shape, seed: int) -> Integers:
    """Images [image, ...] of a tensor by one of DRAWS; the same arguments give the same values.

    A shape alone stands for an int8 tensor of it. StimulusError for draws, seeds and sizes that there are not.
    """
    shape, number = (tensor.shape, tensor.number) if isinstance(tensor, Tensor) else (tensor, INT8)
    if draw not in DRAWS:
        raise StimulusError(f"there is no way '{draw}' to draw a stimulus; there are: {', '.join(DRAWS)}")
    if images < 1:
        raise StimulusError(f"a stimulus of {images} images was asked for, expected at least 1")
    if (values := images * math.prod(shape)) > VALUES_MAX:
        raise StimulusError(f"a stimulus of {values:,} values was asked for, expected at most {VALUES_MAX:,}")
    check_seed(seed)
    return DRAWS[draw]((images, *shape), number, np.random.default_rng(seed))


def check_seed(seed: int) -> None:
    """StimulusError for a seed that cannot be drawn from or recorded."""
    if not 0 <= seed <= SEED_MAX:
        raise StimulusError(f"seed is {seed}, expected 0 to {SEED_MAX}")
