"""The contract once more, in Python integers of any size: what proofs hold engines and RTL to.

It shares no code with `fxsim.contract`, which the engines are built on: a fault there is one on one side only.
"""

from collections.abc import Sequence

from fxsim.contract import TableRule

LOW, HIGH = -128, 127


def saturated(value: int, low: int = LOW, high: int = HIGH) -> int:
    """The integer of a range, by default int8's, that is nearest to `value`."""
    return min(max(value, low), high)


def rounded(value: int, shift: int) -> int:
    """Half-up rounding, floor(value / 2^shift + 1/2), for any integer and any shift from 0 on."""
    return (2 * value + (1 << shift)) // (1 << (shift + 1))


def requantised(total: int, shift: int, bias: int) -> int:
    """A sum made int8: rounded by `shift` places, then the bias, then saturated."""
    return saturated(rounded(total, shift) + bias)


def least_sum(result: int, shift: int, bias: int) -> int:
    """The least sum whose requantised value, before it is saturated, is `result` or more."""
    return -((1 - 2 * (result - bias) << shift) // 2)


def looked_up(stored: Sequence[int], rule: TableRule, x: int) -> int:
    """The value at `x`, an int8, of one function of which `stored` are the points."""
    code = x + 128
    if rule is TableRule.FULL:
        return stored[code]
    points = len(stored) - (rule is TableRule.ENDPOINT)
    left, right, fraction = segment(points, rule, code)
    bits = (256 // points).bit_length() - 1
    return stored[left] + rounded((stored[right] - stored[left]) * fraction, bits)


def segment(points: int, rule: TableRule, code: int) -> tuple[int, int, int]:
    """The two entries of an interpolated table of P points that an input code 0 to 255 lies between, and how far.

    The last is in parts of the step, 256 / P codes.
    """
    step = 256 // points
    left, fraction = divmod(code, step)
    if rule is TableRule.CLAMP and left == points - 1:
        left -= 1
    right = left + 1
    if rule is TableRule.HOLD and left == points - 1:
        right = left
    return left, right, fraction


def averaged(total: int, count: int) -> int:
    """The average of `count` values, a power of two, of which `total` is the sum."""
    return rounded(total, count.bit_length() - 1)
