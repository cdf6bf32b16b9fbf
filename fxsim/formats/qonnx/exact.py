"""Exact thresholds: which integers a chain of real functions brings to a quantiser's boundary, as rationals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

_DECIDED = Fraction(1, 1 << 100)
"""A threshold that lies closer to an integer without being it is not decided: roots are exact to 256 bits."""
_ROOT_BITS = 260


class UndecidedError(ValueError):
    """A threshold so close to an integer that the root of a variance would have to be known better."""


@dataclass(frozen=True)
class Affine:
    """x * scale + offset, a pair for each channel, or one for all."""

    scale: tuple[Fraction, ...]
    offset: tuple[Fraction, ...]

    def of(self, channel: int) -> tuple[Fraction, Fraction]:
        """Scale and offset of a channel."""
        at = channel if len(self.scale) > 1 else 0
        return self.scale[at], self.offset[at]


@dataclass(frozen=True)
class Clamp:
    """x, at least `low` and at most `high`, where they are given: what ReLU and Clip do."""

    low: Fraction | None
    high: Fraction | None


Step = Affine | Clamp
"""A function of one variable; its derivative has one sign."""


@dataclass(frozen=True)
class Boundary:
    """A value is beyond it from `value` on, or where `strict` from what is greater."""

    value: Fraction
    strict: bool = False


@dataclass(frozen=True)
class Passed:
    """The integers that are beyond a boundary after some steps: from `least` on where `rising`, else up to it.

    `at`: the real number there; None where no integer matters: all are beyond (`always`), or none.
    """

    rising: bool
    least: int
    at: Fraction | None
    always: bool = False


def after(first: Sequence[Step], then: Affine) -> tuple[Step, ...]:
    """The steps and one more, joined with the last where both are affine."""
    if not first or not isinstance(first[-1], Affine):
        return (*first, then)
    last = first[-1]
    count = max(len(last.scale), len(then.scale))
    pairs = []
    for channel in range(count):
        (a, b), (c, d) = last.of(channel), then.of(channel)
        pairs.append((a * c, b * c + d))
    return (*first[:-1], Affine(tuple(a for a, _ in pairs), tuple(b for _, b in pairs)))


def passed(steps: Sequence[Step], channel: int, boundary: Boundary) -> Passed:
    """The integers that steps bring beyond a boundary. UndecidedError where a root is not known well enough to say."""
    t, strict, rising = boundary.value, boundary.strict, True
    for step in reversed(steps):
        if isinstance(step, Affine):
            scale, offset = step.of(channel)
            if scale == 0:
                return Passed(True, 0, None, _beyond(offset, t, strict, rising))
            t = (t - offset) / scale
            rising = rising == (scale > 0)
        else:
            # Beyond t already at the end that lies farthest back, or not even at the other.
            near, far = (step.low, step.high) if rising else (step.high, step.low)
            if near is not None and _beyond(near, t, strict, rising):
                return Passed(True, 0, None, True)
            if far is not None and not _beyond(far, t, strict, rising):
                return Passed(True, 0, None, False)
    nearest = round(t)
    if t != nearest and abs(t - nearest) < _DECIDED:
        raise UndecidedError
    if rising:
        return Passed(True, math.floor(t) + 1 if strict else math.ceil(t), t)
    return Passed(False, math.ceil(t) - 1 if strict else math.floor(t), t)


def _beyond(value: Fraction, t: Fraction, strict: bool, rising: bool) -> bool:
    if value == t:
        return not strict
    return (value > t) == rising


def slope(steps: Sequence[Step], channel: int) -> Fraction:
    """Product of the scales of all steps."""
    return math.prod((step.of(channel)[0] for step in steps if isinstance(step, Affine)), start=Fraction(1))


def root(value: Fraction) -> Fraction:
    """Square root of a number from 0 on: exact where it is rational, else to 256 bits."""
    up, down = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if up * up == value.numerator and down * down == value.denominator:
        return Fraction(up, down)
    shift = max(0, _ROOT_BITS - (value.numerator.bit_length() - value.denominator.bit_length()) // 2)
    return Fraction(math.isqrt((value.numerator << 2 * shift) // value.denominator), 1 << shift)


# --- Quantisers ------------------------------------------------------------------------------------------------------

HALF_MODES = ("ROUND", "HALF_EVEN", "HALF_UP", "HALF_DOWN")
MODES = (*HALF_MODES, "UP", "DOWN", "CEIL", "FLOOR")
"""QONNX's names of roundings; ROUND is HALF_EVEN. UP and HALF_UP go away from zero, DOWN and HALF_DOWN towards it."""


def rounding_boundary(mode: str, k: int) -> Boundary:
    """The boundary from which values are rounded to k or more."""
    half = Fraction(2 * k - 1, 2)
    match mode:
        case "ROUND" | "HALF_EVEN":
            return Boundary(half, strict=k % 2 != 0)
        case "HALF_UP":
            return Boundary(half, strict=half < 0)
        case "HALF_DOWN":
            return Boundary(half, strict=half > 0)
        case "UP":
            return Boundary(Fraction(k - 1), strict=True) if k >= 1 else Boundary(Fraction(k))
        case "DOWN":
            return Boundary(Fraction(k)) if k >= 1 else Boundary(Fraction(k - 1), strict=True)
        case "CEIL":
            return Boundary(Fraction(k - 1), strict=True)
    assert mode == "FLOOR", mode
    return Boundary(Fraction(k))


def rounded(value: Fraction, mode: str) -> int:
    """A value rounded by a mode."""
    k = math.floor(value) + 1
    boundary = rounding_boundary(mode, k)
    return k if _beyond(value, boundary.value, boundary.strict, rising=True) else k - 1
