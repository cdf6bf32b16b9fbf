"""The compiled reading of a value's term: its cone, the variables it depends on, and the linear form in it, if any.

A cone is a table, a row a term, operands before users, the value itself last: kind, width, three operands. Operands
that are terms are rows; a VAR's first operand numbers the cone's own variables in the order in which they are met.
"""

import numpy as np

from fxsim.jit import njit, types
from fxsim.prove.compiled.kernel import (
    T_ADD,
    T_AND,
    T_CONCAT,
    T_CONST,
    T_CUT,
    T_EQ,
    T_ITE,
    T_MUL,
    T_NOT,
    T_OR,
    T_READ,
    T_REDXOR,
    T_SEXT,
    T_SLICE,
    T_SLT,
    T_SUB,
    T_ULT,
    T_VAR,
    T_XOR,
    operand_count,
    vector_term,
)

ROWS_MAX = 1 << 16
"""Most rows of a cone."""
COLUMNS, TERM = 5, 5
"""The columns of a cone that say what it computes, and the one after them: the term of each row."""

# What `inspect` says, by place.
ROWS, VARIABLES, FORM, LOW, HIGH, WIDTH, CONSTANT, INNER = range(8)
# FORM: 1 where the value is a function of one linear form, 0 where not looked for or of none; -1: of several.
_BIG = 1 << 60
_HALF_MAX, _HALF_VARIABLE_MAX = 32, 16
"""Most bits of a lower half, and of a variable of a form with halves: sums of 2^14 products stay below 2^60."""
_CHUNK = 256


@njit
def _walk(root, stop, kinds, widths, args, seen, stack, rows, variables):  # type: ignore[no-untyped-def]
    """Fill the rows of a cone; `stop` is a term that stands for a number of its own (CUT). Returns rows, variables.

    Where there are too many: -1. `seen` [term, 3]: the number of the walk that met a term, and its row; in [0, 2] the
    number of the last walk.
    """
    seen[0, 2] += 1
    walk = seen[0, 2]
    n = variables_met = np.int64(0)
    stack[0, 0] = root
    stack[0, 1] = 0
    depth = 1
    while depth > 0:
        t = stack[depth - 1, 0]
        done = stack[depth - 1, 1]
        kind = np.int64(kinds[t])
        count = 0 if t == stop else operand_count(kind)
        if done < count:
            stack[depth - 1, 1] += 1
            child = args[t, done]
            if seen[child, 0] != walk:
                stack[depth, 0] = child
                stack[depth, 1] = 0
                depth += 1
                if depth >= len(stack):
                    return np.int64(-1), variables_met
            continue
        depth -= 1
        if seen[t, 0] == walk:
            continue
        if n >= len(rows) or variables_met >= len(variables):
            return np.int64(-1), variables_met
        seen[t, 0] = walk
        seen[t, 1] = n
        rows[n, TERM] = t
        rows[n, 0] = T_CUT if t == stop else kind
        rows[n, 1] = widths[t]
        for j in range(3):
            rows[n, 2 + j] = 0 if t == stop else seen[args[t, j], 1] if j < count else args[t, j]
        if kind == T_VAR and t != stop:
            variables[variables_met] = args[t, 0]
            rows[n, 2] = variables_met
            variables_met += 1
        n += 1
    return n, variables_met


def read_small(codes, kinds, widths, args, table, count, rows, variables, found):  # type: ignore[no-untyped-def]
    """Read the cone of these bits, none of them unknown, as `inspect` does: ROWS, -1 where `rows` cannot hold it.

    Fills `variables` with their numbers, VARIABLES of them; looks for no form.
    """
    root = vector_term(codes, len(codes), kinds, widths, args, table, count)
    stack = np.empty((len(rows) + 1, 2), np.int64)
    n = met = np.int64(0)
    stack[0, 0], stack[0, 1] = root, 0
    depth = 1
    while depth > 0:
        t, done = stack[depth - 1, 0], stack[depth - 1, 1]
        kind = np.int64(kinds[t])
        operands = operand_count(kind)
        if done < operands:
            stack[depth - 1, 1] += 1
            if _row_of(rows, n, args[t, done]) < 0:
                if depth >= len(stack):
                    found[ROWS] = -1
                    return
                stack[depth, 0], stack[depth, 1] = args[t, done], 0
                depth += 1
            continue
        depth -= 1
        if _row_of(rows, n, t) >= 0:
            continue
        if n >= len(rows) or met >= len(variables):
            found[ROWS] = -1
            return
        rows[n, TERM], rows[n, 0], rows[n, 1] = t, kind, widths[t]
        for j in range(3):
            rows[n, 2 + j] = _row_of(rows, n, args[t, j]) if j < operands else args[t, j]
        if kind == T_VAR:
            variables[met] = args[t, 0]
            rows[n, 2] = met
            met += 1
        n += 1
    found[ROWS], found[VARIABLES] = n, met


@njit
def _row_of(rows, n, term):  # type: ignore[no-untyped-def]
    for r in range(n):
        if rows[r, TERM] == term:
            return np.int64(r)
    return np.int64(-1)


@njit
def _value(bits, width):  # type: ignore[no-untyped-def]
    """A number of `width` bits as two's complement."""
    if width >= 64:
        return bits
    return (bits << (64 - width)) >> (64 - width)


@njit
def _half(rows, r, bounds):  # type: ignore[no-untyped-def]
    """The form of which a row is a half: its row, the bits of the lower half, whether this is the upper one; -1: none.

    The lower half is all from bit 0 on, the upper one what is above, and 1 more where the lower half's highest bit is
    set: in two's complement the form is upper * 2^bits + lower.
    """
    kind, width, a, b = rows[r, 0], rows[r, 1], rows[r, 2], rows[r, 3]
    if kind == T_SLICE and b == 0 and width <= _HALF_MAX and bounds[a, 0] == 2:
        return a, width, False
    if kind == T_ADD:
        for above, carry in ((a, b), (b, a)):
            if rows[above, 0] != T_SLICE or rows[carry, 0] != T_CONCAT:
                continue
            whole, bits = rows[above, 2], rows[above, 3]
            zeros, bit = rows[carry, 2], rows[carry, 3]
            if (
                bounds[whole, 0] == 2
                and 0 < bits <= _HALF_MAX
                and bits + width == rows[whole, 1]
                and rows[zeros, 0] == T_CONST
                and rows[zeros, 2] == 0
                and rows[bit, 0] == T_SLICE
                and rows[bit, 1] == 1
                and rows[bit, 2] == whole
                and rows[bit, 3] == bits - 1
            ):
                return whole, bits, True
    return np.int64(-1), np.int64(0), False


@njit
def _parted(number, bits, upper):  # type: ignore[no-untyped-def]
    """A number's lower half, in two's complement of `bits`, or its upper one: it is upper * 2^bits + lower."""
    half = np.int64(1) << (bits - 1)
    lower = ((number + half) & (2 * half - 1)) - half
    return (number - lower) >> bits if upper else lower


@njit
def _reach(coefficients, constant, of_width):  # type: ignore[no-untyped-def]
    """The least and greatest value of a linear form of variables of these widths."""
    low = high = constant
    for v in range(len(of_width)):
        end = np.int64(1) << (of_width[v] - 1)
        low += min(-end * coefficients[v], (end - 1) * coefficients[v])
        high += max(-end * coefficients[v], (end - 1) * coefficients[v])
    return low, high


@njit
def _reach_of_half(rows, whole, bits, upper, bounds, of_width, scratch, part, nested):  # type: ignore[no-untyped-def]
    """Whether a half of a form is a linear form, and its least and greatest value. `scratch`, `nested`: all 0.

    The lower half is one modulo 2^bits, whose coefficients are those of the whole modulo 2^bits. The upper one is what
    is left of them, where neither the whole nor the lower half can wrap.
    """
    constant = _of_whole(rows, whole, nested, scratch)
    for v in range(len(scratch)):
        part[v] = _parted(scratch[v], bits, False)
    low, high = _reach(part, _parted(constant, bits, False), of_width)
    good = True
    if upper:
        half, end = np.int64(1) << (bits - 1), np.int64(1) << (rows[whole, 1] - 1)
        good = -half <= low and high < half and -end <= bounds[whole, 1] and bounds[whole, 2] < end
        for v in range(len(scratch)):
            part[v] = _parted(scratch[v], bits, True)
        low, high = _reach(part, _parted(constant, bits, True), of_width)
    for v in range(len(scratch)):
        scratch[v] = 0
    return good, low, high


@njit
def _linear(rows, n, bounds, of_width, scratch, part, nested):  # type: ignore[no-untyped-def]
    """Find the rows that are linear forms modulo 2^width, and their bounds as whole numbers, never wrapped.

    `bounds` [row]: 0 not linear, 1 a constant, 2 a form of variables, 3 one with halves of forms in it; least, greatest
    value. `of_width`: the widths of the variables; of none: halves are not looked for. The rest is scratch, all 0.
    """
    for r in range(n):
        kind, width, a, b = rows[r, 0], rows[r, 1], rows[r, 2], rows[r, 3]
        form = low = high = np.int64(0)
        if kind == T_VAR:
            form, low, high = np.int64(2), -(np.int64(1) << (width - 1)), (np.int64(1) << (width - 1)) - 1
        elif kind == T_CONST:
            form = np.int64(1)
            low = high = _value(a, width)
        elif kind == T_SEXT and bounds[a, 0] > 0:
            # Only what has not wrapped is extended as the number it is.
            half = np.int64(1) << (rows[a, 1] - 1)
            if -half <= bounds[a, 1] and bounds[a, 2] < half:
                form, low, high = bounds[a, 0], bounds[a, 1], bounds[a, 2]
        elif kind == T_CONCAT and rows[a, 0] == T_CONST and rows[a, 2] == 0 and bounds[b, 0] > 0:
            # Zeros above: the number itself where it is not negative.
            if rows[b, 0] == T_CONST:
                form = np.int64(1)
                low = high = rows[b, 2]
            elif bounds[b, 1] >= 0 and bounds[b, 2] >> min(rows[b, 1], np.int64(62)) == 0:
                form, low, high = bounds[b, 0], bounds[b, 1], bounds[b, 2]
        elif kind == T_CONCAT and rows[b, 0] == T_CONST and rows[b, 2] == 0 and bounds[a, 0] > 0:
            # Zeros below: times a power of two.
            if rows[b, 1] < 32 and bounds[a, 1] > -_BIG >> 32 and bounds[a, 2] < _BIG >> 32:
                form, low, high = bounds[a, 0], bounds[a, 1] << rows[b, 1], bounds[a, 2] << rows[b, 1]
        elif kind == T_ADD and bounds[a, 0] > 0 and bounds[b, 0] > 0:
            form = max(bounds[a, 0], bounds[b, 0])
            low, high = bounds[a, 1] + bounds[b, 1], bounds[a, 2] + bounds[b, 2]
        elif kind == T_SUB and bounds[a, 0] > 0 and bounds[b, 0] > 0:
            form = max(bounds[a, 0], bounds[b, 0])
            low, high = bounds[a, 1] - bounds[b, 2], bounds[a, 2] - bounds[b, 1]
        elif kind == T_MUL and rows[b, 0] == T_CONST and bounds[a, 0] > 0:
            factor = _value(rows[b, 2], rows[b, 1])
            # A product of less than 2^60, by a small factor or of a small form.
            bits = 40 if -(1 << 20) < factor < 1 << 20 else 30
            if abs(factor) < 1 << 30 and bounds[a, 1] > -(1 << bits) and bounds[a, 2] < 1 << bits:
                form = bounds[a, 0]
                low = min(bounds[a, 1] * factor, bounds[a, 2] * factor)
                high = max(bounds[a, 1] * factor, bounds[a, 2] * factor)
        if form == 0 and len(of_width) > 0:
            whole, split, upper = _half(rows, r, bounds)
            if whole >= 0:
                good, low, high = _reach_of_half(
                    rows, whole, split, upper, bounds, of_width, scratch, part, nested
                )  # fmt: skip
                form = np.int64(3) if good else np.int64(0)
        if low < -_BIG or high > _BIG:
            form = np.int64(0)
        bounds[r, 0], bounds[r, 1], bounds[r, 2] = form, low, high


@njit
def _the_form(rows, n, bounds, stack, met):  # type: ignore[no-untyped-def]
    """The row of the one linear form of variables that the last row is a function of; -1: none, -2: several.

    A form that is extended is one with the form itself.
    """
    for r in range(n):
        met[r] = 0
    found = np.int64(-1)
    stack[0, 0] = n - 1
    met[n - 1] = 1
    depth = 1
    while depth > 0:
        depth -= 1
        r = stack[depth, 0]
        if bounds[r, 0] >= 2:
            while rows[r, 0] == T_SEXT:
                r = rows[r, 2]
            if found >= 0 and found != r:
                return np.int64(-2)
            found = r
            continue
        if bounds[r, 0] == 1:
            continue
        for j in range(operand_count(rows[r, 0])):
            child = rows[r, 2 + j]
            if met[child] == 0:
                met[child] = 1
                stack[depth, 0] = child
                depth += 1
    return found


@njit
def _pass_on(rows, r, weights, coefficients):  # type: ignore[no-untyped-def]
    """Pass the weight of a row of a linear form on to what it is made of; returns what it adds to the constant."""
    weight, constant = weights[r], np.int64(0)
    weights[r] = 0
    kind, a, b = rows[r, 0], rows[r, 2], rows[r, 3]
    if kind == T_VAR:
        coefficients[a] += weight
    elif kind == T_CONST:
        constant = weight * _value(a, rows[r, 1])
    elif kind == T_SEXT:
        weights[a] += weight
    elif kind == T_CONCAT:
        if rows[a, 0] == T_CONST and rows[a, 2] == 0:
            if rows[b, 0] == T_CONST:
                constant = weight * rows[b, 2]
            else:
                weights[b] += weight
        else:
            weights[a] += weight << rows[b, 1]
    elif kind == T_ADD:
        weights[a] += weight
        weights[b] += weight
    elif kind == T_SUB:
        weights[a] += weight
        weights[b] -= weight
    else:
        weights[a] += weight * _value(rows[b, 2], rows[b, 1])
    return constant


@njit
def _of_whole(rows, form, weights, coefficients):  # type: ignore[no-untyped-def]
    """The coefficient of every variable in a linear form without halves; returns the constant. All are 0 before."""
    weights[form] = 1
    constant = np.int64(0)
    for r in range(form, -1, -1):
        if weights[r] != 0:
            constant += _pass_on(rows, r, weights, coefficients)
    return constant


@njit
def _coefficients(rows, form, bounds, weights, coefficients, scratch, nested):  # type: ignore[no-untyped-def]
    """The coefficient of every variable in the linear form of a row; returns the constant. All are 0 before."""
    weights[form] = 1
    constant = np.int64(0)
    for r in range(form, -1, -1):
        weight = weights[r]
        if weight == 0:
            continue
        whole, bits, upper = np.int64(-1), np.int64(0), False
        if bounds[r, 0] == 3:
            whole, bits, upper = _half(rows, r, bounds)
        if whole < 0:
            constant += _pass_on(rows, r, weights, coefficients)
            continue
        weights[r] = 0
        constant += weight * _parted(_of_whole(rows, whole, nested, scratch), bits, upper)
        for v in range(len(scratch)):
            coefficients[v] += weight * _parted(scratch[v], bits, upper)
            scratch[v] = 0
    return constant


@njit
def _widths(rows, n, size):  # type: ignore[no-untyped-def]
    """The widths of a cone's variables, `size` of them; none where one has more bits than a form of halves takes."""
    of_width = np.zeros(size, np.int64)
    for r in range(n):
        if size > 0 and rows[r, 0] == T_VAR:
            of_width[rows[r, 2]] = rows[r, 1]
            if rows[r, 1] > _HALF_VARIABLE_MAX:
                return np.zeros(0, np.int64)
    return of_width


def inspect(  # type: ignore[no-untyped-def]
    codes, few, halves, kinds, widths, args, table, count,
    seen, stack, rows, inner, variables, coefficients, bounds, weights, found,
):  # fmt: skip
    """Read the term of these bits, none of them unknown. `found` is filled; see ROWS and what follows it.

    With more than `few` variables its linear form is looked for: `coefficients` by variable, as whole numbers, and the
    rest of the value as a function of it, a cone in `inner`. With `halves` halves of forms are forms.
    """
    root = vector_term(codes, len(codes), kinds, widths, args, table, count)
    n, met = _walk(root, np.int64(-1), kinds, widths, args, seen, stack, rows, variables)
    for i in range(len(found)):
        found[i] = 0
    found[ROWS], found[VARIABLES] = n, met
    if n < 0 or met <= few:
        return
    size = met if halves else 0
    scratch, part, nested = np.zeros(size, np.int64), np.zeros(size, np.int64), np.zeros(n if halves else 0, np.int64)
    of_width = _widths(rows, n, size)
    _linear(rows, n, bounds, of_width, scratch, part, nested)
    form = _the_form(rows, n, bounds, stack, weights)
    if form < 0:
        found[FORM] = form + 1
        return
    found[FORM], found[LOW], found[HIGH], found[WIDTH] = 1, bounds[form, 1], bounds[form, 2], rows[form, 1]
    for r in range(form + 1):
        weights[r] = 0
    for i in range(met):
        coefficients[i] = 0
    found[CONSTANT] = _coefficients(rows, form, bounds, weights, coefficients, scratch, nested)
    if bounds[form, 0] == 3:
        # Of the form itself: what its halves have in common, and bounds do not see, is taken off again.
        found[LOW], found[HIGH] = _reach(coefficients, found[CONSTANT], of_width)
    found[INNER], _ = _walk(root, rows[form, TERM], kinds, widths, args, seen, stack, inner, weights)


def evaluate(rows, inputs, memory, memories, scratch, values, good):  # type: ignore[no-untyped-def]
    """The values of a cone, unsigned, for columns of its variables (or of its CUT) in `inputs`, as two's complement.

    `good`: 0 where a word that nothing had set was read.
    """
    n, columns = len(rows), inputs.shape[1]
    one = np.uint64(1)
    for start in range(0, columns, _CHUNK):
        size = min(_CHUNK, columns - start)
        for i in range(size):
            good[start + i] = 1
        for r in range(n):
            kind, width, a, b, c = rows[r, 0], rows[r, 1], rows[r, 2], rows[r, 3], rows[r, 4]
            mask = np.uint64(0xFFFFFFFFFFFFFFFF) if width >= 64 else (one << np.uint64(width)) - one
            for i in range(size):
                v = np.uint64(0)
                if kind in (T_VAR, T_CUT):
                    v = np.uint64(inputs[a, start + i])
                elif kind == T_CONST:
                    v = np.uint64(a)
                elif kind == T_SLICE:
                    v = scratch[a, i] >> np.uint64(b)
                elif kind == T_SEXT:
                    v = np.uint64(_value(np.int64(scratch[a, i]), rows[a, 1]))
                elif kind == T_CONCAT:
                    v = scratch[b, i] | (scratch[a, i] << np.uint64(rows[b, 1]))
                elif kind == T_READ:
                    at = memories[b, 0] + np.int64(scratch[a, i]) * memories[b, 1]
                    for j in range(width):
                        bit = memory[at + j]
                        if bit == 1:
                            v |= one << np.uint64(j)
                        elif bit != 0:
                            good[start + i] = 0
                elif kind == T_NOT:
                    v = ~scratch[a, i]
                elif kind == T_AND:
                    v = scratch[a, i] & scratch[b, i]
                elif kind == T_OR:
                    v = scratch[a, i] | scratch[b, i]
                elif kind == T_XOR:
                    v = scratch[a, i] ^ scratch[b, i]
                elif kind == T_ADD:
                    v = scratch[a, i] + scratch[b, i]
                elif kind == T_SUB:
                    v = scratch[a, i] - scratch[b, i]
                elif kind == T_MUL:
                    v = scratch[a, i] * scratch[b, i]
                elif kind == T_EQ:
                    v = np.uint64(scratch[a, i] == scratch[b, i])
                elif kind == T_ULT:
                    v = np.uint64(scratch[a, i] < scratch[b, i])
                elif kind == T_SLT:
                    w = rows[a, 1]
                    v = np.uint64(_value(np.int64(scratch[a, i]), w) < _value(np.int64(scratch[b, i]), w))
                elif kind == T_ITE:
                    v = scratch[b, i] if scratch[a, i] == one else scratch[c, i]
                elif kind == T_REDXOR:
                    w = scratch[a, i]
                    while w != np.uint64(0):
                        v ^= one
                        w &= w - one
                else:
                    good[start + i] = 0
                scratch[r, i] = v & mask
        for i in range(size):
            values[start + i] = scratch[n - 1, i]


_I64, _I32, _U8, _U64 = types.int64[::1], types.int32[::1], types.uint8[::1], types.uint64[::1]
_I64_2, _U64_2 = types.int64[:, ::1], types.uint64[:, ::1]
INSPECT = types.void(
    _I64, types.int64, types.boolean, _U8, _U8, _I64_2, _I32, _I64,
    _I64_2, _I64_2, _I64_2, _I64_2, _I64, _I64, _I64_2, _I64, _I64,
)  # fmt: skip
READ_SMALL = types.void(_I64, _U8, _U8, _I64_2, _I32, _I64, _I64_2, _I64, _I64)
EVALUATE = types.void(_I64_2, _I64_2, _I64, _I64_2, _U64_2, _U64, _U8)
