"""Pointwise steps: functions of one value or two at a place, done one after the other to a few pixels.

They take and give tensors of words where these lie, and buffers: of CHANNEL_STEP channels of PIXELS pixels, in 32 bits.
Numbers of a channel lie one row after the other,
each row as long as a pixel's. Sums that may need more than 32 bits are made in 64.
"""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="call-arg,unreachable,var-annotated"
# Numba infers its own types: annotations would be a second, unchecked statement of them; and it gives an intrinsic its
# first argument, the typing context.

from fxsim.contract.rescaling import HIGH_MULTIPLY_BITS
from fxsim.engines.compiled.codes import (
    FROM_ARENA,
    GATE,
    P_BYTES,
    P_CHANNELS_OUT,
    P_PIXELS_OUT,
    P_WORDS,
    RELU,
    RESCALE_AWAY,
    RESCALE_EVEN,
    RESCALE_TWICE,
    RESCALE_UP,
    SCALE,
    SCALE_WIDE,
    SCALE_WITHIN,
    SLOPE,
    SLOPE_WIDE,
    SLOPE_WITHIN,
    STEPS,
    SUM,
    TO_ARENA,
    U_A,
    U_AT,
    U_B,
    U_COUNT,
    U_OP,
    U_SIGNED,
    U_Y,
    WEIGHTED,
    WEIGHTED_WIDE,
    WEIGHTED_WITHIN,
)
from fxsim.engines.compiled.layout import round_up
from fxsim.engines.compiled.pixel_layout import CHANNEL_STEP
from fxsim.engines.compiled.vectors import I8, I32, I64, broadcast, load, splat, store, vector_of
from fxsim.engines.compiled.views import address_of
from fxsim.jit import cgutils, intrinsic, njit, types

PIXELS = 64
"""Pixels of a buffer."""
BUFFER_BYTES = 4 * CHANNEL_STEP * PIXELS

_BYTES, _WORDS, _LONGS = (vector_of(kind, CHANNEL_STEP) for kind in (I8, I32, I64))


def _pointer(builder, at):
    return builder.inttoptr(at, I8.as_pointer())


def _operation(rows, wide, compute):
    """An intrinsic that sets y to `compute` of a and b and of so many rows of numbers.

    `wide`: in 64 bits. Of addresses: y, a, b, the numbers; bytes of a row of these; pixels; bytes from a pixel of y, a
    and b to the next.
    """

    @intrinsic
    def operation(_typing, y, a, b, numbers, row, pixels, y_step, a_step, b_step):
        def generate(_context, builder, _signature, arguments):
            y, a, b, numbers, row, pixels, y_step, a_step, b_step = arguments
            y, a, b, numbers = (_pointer(builder, at) for at in (y, a, b, numbers))

            def widened(values):
                return builder.sext(values, _LONGS) if wide else values

            constants = [widened(load(builder, numbers, (builder.mul(row, I64(i)),), _WORDS, 4)) for i in range(rows)]
            with cgutils.for_range(builder, pixels) as pixel:
                values = [
                    widened(load(builder, x, (builder.mul(pixel.index, step),), _WORDS, 4))
                    for x, step in ((a, a_step), (b, b_step))
                ]
                found = compute(builder, *values, *constants)
                found = builder.trunc(found, _WORDS) if wide else found
                store(builder, found, y, (builder.mul(pixel.index, y_step),), 4)
            return I64(0)

        return types.int64(y, a, b, numbers, row, pixels, y_step, a_step, b_step), generate

    return operation


def _clamp(builder, value, low, high):
    value = builder.select(builder.icmp_signed("<", value, low), low, value)
    return builder.select(builder.icmp_signed(">", value, high), high, value)


def _round_shift(builder, value, shift):
    one = splat(value.type, 1)
    half = builder.lshr(builder.shl(one, shift), one)
    return builder.ashr(builder.add(value, half), shift)


def _scaled_wide(builder, a, _b, weight, before, shift, after, low, high):
    total = builder.add(builder.mul(a, weight), before)
    return _clamp(builder, builder.add(_round_shift(builder, total, shift), after), low, high)


def _sloped_wide(builder, a, _b, weight, shift, low, high):
    below = builder.icmp_signed("<", a, splat(a.type, 0))
    return _clamp(builder, builder.select(below, _round_shift(builder, builder.mul(a, weight), shift), a), low, high)


def _weighted_wide(builder, a, b, weight, other, shift, low, high):
    total = builder.add(builder.mul(a, weight), builder.mul(b, other))
    return _clamp(builder, _round_shift(builder, total, shift), low, high)


# In 32 bits, starts hold the rounding half.


def _scaled_within(builder, a, _b, weight, start, shift):
    return builder.ashr(builder.add(builder.mul(a, weight), start), shift)


def _sloped_within(builder, a, b, weight, start, shift):
    below = builder.icmp_signed("<", a, splat(a.type, 0))
    return builder.select(below, _scaled_within(builder, a, b, weight, start, shift), a)


def _weighted_within(builder, a, b, weight, other, start, shift):
    total = builder.add(builder.mul(a, weight), builder.mul(b, other))
    return builder.ashr(builder.add(total, start), shift)


def _scaled(builder, a, b, weight, start, shift, after, low, high):
    return _clamp(builder, builder.add(_scaled_within(builder, a, b, weight, start, shift), after), low, high)


def _sloped(builder, a, b, weight, start, shift, low, high):
    return _clamp(builder, _sloped_within(builder, a, b, weight, start, shift), low, high)


def _weighted(builder, a, b, weight, other, start, shift, low, high):
    return _clamp(builder, _weighted_within(builder, a, b, weight, other, start, shift), low, high)


def _half(builder, one, shift):
    return builder.lshr(builder.shl(one, shift), splat(one.type, 1))


def _away(builder, value, shift):
    """Shifted to the nearest, ties away from zero: below zero one less than a half is added, where there is a half."""
    half = _half(builder, splat(value.type, 1), shift)
    below = builder.and_(builder.lshr(value, splat(value.type, 63)), _is_shifted(builder, shift))
    return builder.ashr(builder.add(value, builder.sub(half, below)), shift)


def _is_shifted(builder, shift):
    """1 where there is a shift, else 0."""
    return builder.zext(builder.icmp_signed("!=", shift, splat(shift.type, 0)), shift.type)


def _rescaled(rounding):
    """(a + addend) * multiplier, shifted and rounded, plus bias; a half is added before where `tie` is 1.

    Each product, a * multiplier and addend * multiplier, is of 63 bits at most, their sum is proved to have at most 62,
    and a half is at most 2^61: nothing leaves 64 bits.
    """

    def compute(builder, a, _b, addend, multiplier, shift, tie, bias, low, high):
        product, added = builder.mul(a, multiplier), builder.mul(addend, multiplier)
        if rounding == RESCALE_UP:
            more = builder.add(added, _half(builder, tie, shift))
            found = builder.ashr(builder.add(product, more), shift)
        elif rounding == RESCALE_AWAY:
            found = _away(builder, builder.add(product, added), shift)
        elif rounding == RESCALE_EVEN:
            one = _is_shifted(builder, shift)
            total = builder.add(product, added)
            odd = builder.and_(builder.ashr(total, shift), one)
            less = builder.sub(_half(builder, tie, shift), one)
            found = builder.ashr(builder.add(builder.add(total, less), odd), shift)
        else:
            places = splat(shift.type, HIGH_MULTIPLY_BITS)
            first = builder.select(builder.icmp_signed("<", shift, places), shift, places)
            more = builder.add(added, _half(builder, tie, first))
            high_part = builder.ashr(builder.add(product, more), first)
            found = _away(builder, high_part, builder.sub(shift, first))
        return _clamp(builder, builder.add(found, bias), low, high)

    return _operation(7, True, compute)


def _gated(builder, a, b, threshold):
    return builder.select(builder.icmp_signed(">=", b, threshold), a, splat(a.type, 0))


def _positive(builder, a, _b):
    return builder.select(builder.icmp_signed("<", a, splat(a.type, 0)), splat(a.type, 0), a)


_sum = _operation(2, False, lambda builder, a, b, low, high: _clamp(builder, builder.add(a, b), low, high))
_gate, _relu = _operation(1, False, _gated), _operation(0, False, _positive)
_scale, _scale_wide = _operation(6, False, _scaled), _operation(6, True, _scaled_wide)
_slope, _slope_wide = _operation(5, False, _sloped), _operation(4, True, _sloped_wide)
_weigh, _weigh_wide = _operation(6, False, _weighted), _operation(5, True, _weighted_wide)
_scale_within, _slope_within = _operation(3, False, _scaled_within), _operation(3, False, _sloped_within)
_weigh_within = _operation(4, False, _weighted_within)
_rescale_up, _rescale_away, _rescale_even, _rescale_twice = (
    _rescaled(rounding) for rounding in (RESCALE_UP, RESCALE_AWAY, RESCALE_EVEN, RESCALE_TWICE)
)


@intrinsic
def _steps(_typing, y, a, numbers, row, pixels, count, y_step, a_step):
    """Set y to the level of each value of a: the first row, and `count` times where it reaches the next, one more."""

    def generate(_context, builder, _signature, arguments):
        y, a, numbers, row, pixels, count, y_step, a_step = arguments
        y, a, numbers = (_pointer(builder, at) for at in (y, a, numbers))
        first = load(builder, numbers, (), _WORDS, 4)
        level = cgutils.alloca_once(builder, _WORDS)
        with cgutils.for_range(builder, pixels) as pixel:
            value = load(builder, a, (builder.mul(pixel.index, a_step),), _WORDS, 4)
            builder.store(first, level)
            with cgutils.for_range(builder, count) as step:
                place = builder.mul(row, builder.add(builder.mul(step.index, I64(2)), I64(1)))
                limit = load(builder, numbers, (place,), _WORDS, 4)
                more = load(builder, numbers, (place, row), _WORDS, 4)
                reached = builder.select(builder.icmp_signed(">=", value, limit), more, splat(_WORDS, 0))
                builder.store(builder.add(builder.load(level), reached), level)
            store(builder, builder.load(level), y, (builder.mul(pixel.index, y_step),), 4)
        return I64(0)

    return types.int64(y, a, numbers, row, pixels, count, y_step, a_step), generate


@intrinsic
def _take(_typing, y, x, row, pixels, base):
    """Set a buffer to pixels `row` bytes apart, of bytes less `base`."""

    def generate(_context, builder, _signature, arguments):
        y, x, row, pixels, base = arguments
        y, x = (_pointer(builder, at) for at in (y, x))
        less = broadcast(builder, builder.trunc(base, I32), CHANNEL_STEP)
        with cgutils.for_range(builder, pixels) as pixel:
            value = builder.zext(load(builder, x, (builder.mul(pixel.index, row),), _BYTES), _WORDS)
            value = builder.sub(value, less)
            store(builder, value, y, (builder.mul(pixel.index, I64(4 * CHANNEL_STEP)),), 4)
        return I64(0)

    return types.int64(y, x, row, pixels, base), generate


@intrinsic
def _put(_typing, y, a, row, pixels, base):
    """Store a buffer to pixels `row` bytes apart, as bytes plus `base`."""

    def generate(_context, builder, _signature, arguments):
        y, a, row, pixels, base = arguments
        y, a = (_pointer(builder, at) for at in (y, a))
        more = broadcast(builder, builder.trunc(base, I32), CHANNEL_STEP)
        with cgutils.for_range(builder, pixels) as pixel:
            value = load(builder, a, (builder.mul(pixel.index, I64(4 * CHANNEL_STEP)),), _WORDS, 4)
            value = builder.trunc(builder.add(value, more), _BYTES)
            store(builder, value, y, (builder.mul(pixel.index, row),))
        return I64(0)

    return types.int64(y, a, row, pixels, base), generate


@njit
def _lies_at(number, room, words_at, whole):
    """Address of what an operation takes or gives, and bytes from a pixel of it to the next.

    `room`: where buffers start; `words_at`: the address of the place in a tensor that lies at the arena's start.
    """
    if number >= 0:
        return room + number * BUFFER_BYTES, 4 * CHANNEL_STEP
    return words_at - 1 - number, 4 * whole


@njit
def pointwise(step, operations, images, words, arena, buffers):
    """A step of operations, PIXELS pixels of CHANNEL_STEP channels at a time."""
    count = images * step[P_PIXELS_OUT]
    whole = round_up(step[P_CHANNELS_OUT], CHANNEL_STEP)
    first, last = step[P_BYTES], step[P_BYTES] + step[P_WORDS]
    room, memory, row = address_of(buffers), address_of(arena), 4 * whole
    for channel in range(0, whole, CHANNEL_STEP):
        numbers = address_of(words) + 4 * channel
        for pixel in range(0, count, PIXELS):
            pixels = min(PIXELS, count - pixel)
            place = pixel * whole + channel
            for i in range(first, last):
                op = operations[i, U_OP]
                a, a_step = _lies_at(operations[i, U_A], room, memory + 4 * place, whole)
                b, b_step = _lies_at(operations[i, U_B], room, memory + 4 * place, whole)
                y, y_step = _lies_at(operations[i, U_Y], room, memory + 4 * place, whole)
                at = numbers + 4 * operations[i, U_AT]
                if op in (FROM_ARENA, TO_ARENA):
                    here, base = memory + operations[i, U_AT] + place, 128 * operations[i, U_SIGNED]
                    if op == FROM_ARENA:
                        _take(y, here, whole, pixels, base)
                    else:
                        _put(here, a, whole, pixels, base)
                elif op == SUM:
                    _sum(y, a, b, at, row, pixels, y_step, a_step, b_step)
                elif op == GATE:
                    _gate(y, a, b, at, row, pixels, y_step, a_step, b_step)
                elif op == STEPS:
                    _steps(y, a, at, row, pixels, operations[i, U_COUNT], y_step, a_step)
                elif op == RELU:
                    _relu(y, a, b, at, row, pixels, y_step, a_step, b_step)
                elif op == SCALE:
                    _scale(y, a, b, at, row, pixels, y_step, a_step, b_step)
                elif op == SCALE_WIDE:
                    _scale_wide(y, a, b, at, row, pixels, y_step, a_step, b_step)
                elif op == SCALE_WITHIN:
                    _scale_within(y, a, b, at, row, pixels, y_step, a_step, b_step)
                elif op == SLOPE:
                    _slope(y, a, b, at, row, pixels, y_step, a_step, b_step)
                elif op == SLOPE_WIDE:
                    _slope_wide(y, a, b, at, row, pixels, y_step, a_step, b_step)
                elif op == SLOPE_WITHIN:
                    _slope_within(y, a, b, at, row, pixels, y_step, a_step, b_step)
                elif op == WEIGHTED:
                    _weigh(y, a, b, at, row, pixels, y_step, a_step, b_step)
                elif op == WEIGHTED_WIDE:
                    _weigh_wide(y, a, b, at, row, pixels, y_step, a_step, b_step)
                elif op == WEIGHTED_WITHIN:
                    _weigh_within(y, a, b, at, row, pixels, y_step, a_step, b_step)
                elif op == RESCALE_UP:
                    _rescale_up(y, a, b, at, row, pixels, y_step, a_step, b_step)
                elif op == RESCALE_AWAY:
                    _rescale_away(y, a, b, at, row, pixels, y_step, a_step, b_step)
                elif op == RESCALE_EVEN:
                    _rescale_even(y, a, b, at, row, pixels, y_step, a_step, b_step)
                else:
                    _rescale_twice(y, a, b, at, row, pixels, y_step, a_step, b_step)
