"""The contract of the arithmetic in Python integers, for the expectations of the SIMD accelerator's testbenches."""

from collections.abc import Sequence

CLAMP, HOLD, ENDPOINT = range(3)
"""Edge rules of a table, as the hardware numbers them."""

RULES = (CLAMP, HOLD, ENDPOINT)

POINTS_LOG2 = range(2, 9)
"""Tables have 4 to 256 points."""


def sat8(v: int) -> int:
    """The int8 nearest to v."""
    return max(-128, min(127, v))


def round_shift(a: int, s: int) -> int:
    """floor(a / 2^s + 1/2)."""
    return (2 * a + 2**s) // 2 ** (s + 1)


def requantise(a: int, s: int, b: int) -> int:
    """sat8(round_shift(a, s) + b)."""
    return sat8(round_shift(a, s) + b)


def lookup(x: int, stored: Sequence[int], points: int, rule: int) -> int:
    """The value at int8 `x` of the table whose first point is stored[0]."""
    step = 256 // points
    m, f = divmod(x + 128, step)
    if m == points - 1 and rule == CLAMP:
        m = points - 2
    if m == points - 1 and rule == HOLD:
        return stored[m]
    return stored[m] + (2 * (stored[m + 1] - stored[m]) * f + step) // (2 * step)


def stored_points(points: int, rule: int) -> int:
    """Words that a table takes: one more for the end point, and one to make it even."""
    return points + 2 if rule == ENDPOINT else points


def word(values: Sequence[int]) -> int:
    """Bytes, signed or not, as one number, value l at bits [8l +: 8]."""
    return int.from_bytes(bytes(value & 0xFF for value in values), "little")
