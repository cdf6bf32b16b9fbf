"""The compiled evaluator: a program's cells on bits that are constants, symbols, or unknown; see `docs/prove.md`.

A bit is a number: 0 and 1 are constants; a negative one is unknown, -1 - the number of a reason; (term + 1) * 64 + i is
bit i of a term. Terms are numbered records (kind, width, three operands), each there once, operands before users. All
that is done with a bit that is unknown is unknown, unless the result is the same for 0 and 1: nothing is ever assumed
of it, not even that it equals itself.
"""

import numpy as np

from fxsim.jit import njit, types

# Kinds of program cells.
(
    OP_NOT,
    OP_AND,
    OP_OR,
    OP_XOR,
    OP_ADD,
    OP_SUB,
    OP_MUL,
    OP_EQ,
    OP_ULT,
    OP_SLT,
    OP_REDOR,
    OP_REDAND,
    OP_REDXOR,
    OP_ITE,
    OP_SLL,
    OP_SRL,
    OP_SRA,
    OP_READ,
) = range(18)

# Kinds of terms: VAR (number of the variable), CONST (value), SLICE (of a, from bit b), SEXT (of a), CONCAT (a above
# b), READ (memory b at a).
T_VAR, T_CONST, T_SLICE, T_SEXT, T_CONCAT, T_READ = range(6)
T_NOT, T_AND, T_OR, T_XOR, T_ADD, T_SUB, T_MUL, T_EQ, T_ULT, T_SLT, T_ITE, T_REDXOR, T_CUT = range(6, 19)

TERM_BITS_MAX = 64
BOUND_DEPTH, BOUND_TERMS = 8, 40
"""Terms below each other, and in all, that are looked at for the largest value that a term can have."""
CELL_TERMS = 300
BIT_TERMS = 5
"""Most terms that a cell makes: so many, and so many for each bit of result and operand."""

TERMS, ROOM, HASH_MASK, FULL, CELL, ASKED = 0, 1, 2, 3, 4, 5
"""Places in the counters: terms there are, most there may be, the hash table's size less one; 1 in FULL where there may
soon be too many (nothing is lost), 2 where there were, LOOKED_UP where the cell CELL reads a memory at an address that
is a term: its result is put there by whoever called, who then goes on. CHOSEN where the cell CELL chooses, by a term,
between what is known and what is not: whoever called sees whether it is one of them for all values, and goes on, with
CELL + 1 in ASKED."""
LOOKED_UP, CHOSEN = 3, 4
COUNTERS = 6


@njit
def make_term(kind, width, a, b, c, kinds, widths, args, table, count):  # type: ignore[no-untyped-def]
    """The number of a term, made where it is not there yet."""
    h = np.uint64(kind) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(width)
    h = (h ^ np.uint64(a)) * np.uint64(0xBF58476D1CE4E5B9)
    h = ((h ^ (h >> np.uint64(29))) ^ np.uint64(b)) * np.uint64(0xBF58476D1CE4E5B9)
    h = ((h ^ (h >> np.uint64(29))) ^ np.uint64(c)) * np.uint64(0xBF58476D1CE4E5B9)
    h ^= h >> np.uint64(29)
    place = np.int64(h & np.uint64(count[HASH_MASK]))
    while True:
        t = table[place]
        if t < 0:
            break
        if kinds[t] == kind and widths[t] == width and args[t, 0] == a and args[t, 1] == b and args[t, 2] == c:
            return np.int64(t)
        place = (place + 1) & count[HASH_MASK]
    t = count[TERMS]
    if t >= count[ROOM]:
        count[FULL] = 2
        return np.int64(0)
    count[TERMS] = t + 1
    kinds[t] = kind
    widths[t] = width
    args[t, 0] = a
    args[t, 1] = b
    args[t, 2] = c
    table[place] = t
    return np.int64(t)


@njit
def vector_term(v, w, kinds, widths, args, table, count):  # type: ignore[no-untyped-def]
    """The term of `w` bits, none of them unknown: of slices and constants side by side, the lowest first."""
    whole = np.int64(-1)
    so_far = 0
    i = 0
    while i < w:
        code = v[i]
        n = 1
        if code < 2:
            value = np.uint64(0)
            n = 0
            while i + n < w and v[i + n] < 2:
                value |= np.uint64(v[i + n]) << np.uint64(n)
                n += 1
            piece = make_term(T_CONST, n, np.int64(value), 0, 0, kinds, widths, args, table, count)
        else:
            if i > 0 and code == v[i - 1]:
                while i + n < w and v[i + n] == code:
                    n += 1
                if i + n == w:
                    # Copies of the top bit, up to the end.
                    return make_term(T_SEXT, w, whole, 0, 0, kinds, widths, args, table, count)
                n = 1
            else:
                while i + n < w and v[i + n] == code + n and (code & 63) + n < 64:
                    n += 1
            base, low = (code >> 6) - 1, code & 63
            if low == 0 and n == widths[base]:
                piece = base
            else:
                piece = make_term(T_SLICE, n, base, low, 0, kinds, widths, args, table, count)
        so_far += n
        if whole >= 0:
            piece = make_term(T_CONCAT, so_far, piece, whole, 0, kinds, widths, args, table, count)
        whole = piece
        i += n
    return whole


@njit
def _mask(w):  # type: ignore[no-untyped-def]
    return np.uint64(0xFFFFFFFFFFFFFFFF) if w >= 64 else (np.uint64(1) << np.uint64(w)) - np.uint64(1)


@njit
def _number(v, w):  # type: ignore[no-untyped-def]
    value = np.uint64(0)
    for i in range(w):
        value |= np.uint64(v[i]) << np.uint64(i)
    return value


@njit
def _put(result, term, w):  # type: ignore[no-untyped-def]
    for i in range(w):
        result[i] = (term + 1) * 64 + i


@njit
def _put_number(result, value, w):  # type: ignore[no-untyped-def]
    for i in range(w):
        result[i] = np.int64((value >> np.uint64(i)) & np.uint64(1))


@njit
def _fill(result, w, code):  # type: ignore[no-untyped-def]
    for i in range(w):
        result[i] = code


@njit
def _first_unknown(v, w):  # type: ignore[no-untyped-def]
    for i in range(w):
        if v[i] < 0:
            return v[i]
    return np.int64(0)


@njit
def _all_constant(v, w):  # type: ignore[no-untyped-def]
    constant = True
    for i in range(w):
        constant = constant and 0 <= v[i] <= 1
    return constant


@njit
def _bitwise(op, x, y, w, result, kinds, widths, args, table, count):  # type: ignore[no-untyped-def]
    """NOT, AND, OR, XOR and what is left of them where no bit is known: terms of up to 64 bits at a time."""
    for start in range(0, w, 64):
        n = min(64, w - start)
        left = False
        for i in range(start, start + n):
            a = x[i]
            b = y[i]
            code = np.int64(2)
            if op == OP_NOT:
                if a < 0:
                    code = a
                elif a < 2:
                    code = 1 - a
                else:
                    t = (a >> 6) - 1
                    if kinds[t] == T_NOT and widths[t] == 1:
                        inner = args[t, 0]
                        if kinds[inner] == T_SLICE:
                            code = (args[inner, 0] + 1) * 64 + args[inner, 1]
                        else:
                            code = (inner + 1) * 64
            elif op == OP_AND:
                if a == 0 or b == 0:
                    code = np.int64(0)
                elif a == 1:
                    code = b
                elif b == 1 or a < 0:
                    code = a
                elif b < 0:
                    code = b
                elif a == b:
                    code = a
            elif op == OP_OR:
                if a == 1 or b == 1:
                    code = np.int64(1)
                elif a == 0:
                    code = b
                elif b == 0 or a < 0:
                    code = a
                elif b < 0:
                    code = b
                elif a == b:
                    code = a
            else:
                if a < 0:
                    code = a
                elif b < 0:
                    code = b
                elif a < 2 and b < 2:
                    code = a ^ b
                elif a == 0:
                    code = b
                elif b == 0:
                    code = a
                elif a == b:
                    code = np.int64(0)
            result[i] = code
            left = left or code == 2
        if not left:
            continue
        # Bits of a code that is decided do not matter in the term: 0 stands for them there.
        v = np.empty(64, np.int64)
        u = np.empty(64, np.int64)
        for i in range(n):
            undecided = result[start + i] == 2
            v[i] = x[start + i] if undecided else 0
            u[i] = y[start + i] if undecided else 0
        first = vector_term(v, n, kinds, widths, args, table, count)
        if op == OP_NOT:
            t = make_term(T_NOT, n, first, 0, 0, kinds, widths, args, table, count)
        else:
            second = vector_term(u, n, kinds, widths, args, table, count)
            kind = T_AND if op == OP_AND else T_OR if op == OP_OR else T_XOR
            t = make_term(kind, n, first, second, 0, kinds, widths, args, table, count)
        for i in range(n):
            if result[start + i] == 2:
                result[start + i] = (t + 1) * 64 + i


@njit
def _arithmetic(op, x, y, w, own, result, kinds, widths, args, table, count):  # type: ignore[no-untyped-def]
    """ADD, SUB and MUL, modulo 2^w."""
    unknown = _first_unknown(x, w)
    if unknown == 0:
        unknown = _first_unknown(y, w)
    constant_x, constant_y = _all_constant(x, w), _all_constant(y, w)
    if w > TERM_BITS_MAX:
        _fill(result, w, own if unknown == 0 else unknown)
        return
    if constant_x and constant_y:
        a, b = _number(x, w), _number(y, w)
        _put_number(result, a + b if op == OP_ADD else a - b if op == OP_SUB else a * b, w)
        return
    if constant_y:
        b = _number(y, w)
        if op == OP_MUL and b == 0:
            _fill(result, w, np.int64(0))
            return
        if (op == OP_MUL and b == 1) or (op != OP_MUL and b == 0):
            for i in range(w):
                result[i] = x[i]
            return
    if constant_x and op != OP_SUB:
        a = _number(x, w)
        if op == OP_MUL and a == 0:
            _fill(result, w, np.int64(0))
            return
        if (op == OP_MUL and a == 1) or (op == OP_ADD and a == 0):
            for i in range(w):
                result[i] = y[i]
            return
    if unknown != 0:
        _fill(result, w, unknown)
        return
    first = vector_term(x, w, kinds, widths, args, table, count)
    second = vector_term(y, w, kinds, widths, args, table, count)
    if constant_x and op == OP_MUL:
        first, second = second, first
    kind = T_ADD if op == OP_ADD else T_SUB if op == OP_SUB else T_MUL
    _put(result, make_term(kind, w, first, second, 0, kinds, widths, args, table, count), w)


@njit
def _largest(root, kinds, widths, args):  # type: ignore[no-untyped-def]
    """A number that no value of a term is above, unsigned. No recursion: its code could not be kept in the cache."""
    terms, done = np.empty(BOUND_DEPTH, np.int64), np.empty(BOUND_DEPTH, np.int64)
    found = np.zeros((BOUND_DEPTH, 3), np.uint64)
    terms[0], done[0] = root, 0
    depth, looks = 1, 1
    while True:
        t = terms[depth - 1]
        kind, most = kinds[t], _mask(widths[t])
        inner = kind in (T_SLICE, T_CONCAT, T_ADD, T_ITE)
        if inner and depth < BOUND_DEPTH and looks < BOUND_TERMS and done[depth - 1] < operand_count(kind):
            terms[depth], done[depth] = args[t, done[depth - 1]], 0
            done[depth - 1] += 1
            depth += 1
            looks += 1
            continue
        value = most
        first, second, third = found[depth - 1, 0], found[depth - 1, 1], found[depth - 1, 2]
        if kind == T_CONST:
            value = np.uint64(args[t, 0])
        elif inner and done[depth - 1] == operand_count(kind):
            if kind == T_SLICE:
                value = min(most, first >> np.uint64(args[t, 1]))
            elif kind == T_CONCAT:
                value = (first << np.uint64(widths[args[t, 1]])) + second
            elif kind == T_ITE:
                value = max(second, third)
            elif widths[t] < 64 and first + second <= most:
                value = first + second
        depth -= 1
        if depth == 0:
            return value
        found[depth - 1, done[depth - 1] - 1] = value


@njit
def _compare(op, x, y, w, own, result, kinds, widths, args, table, count):  # type: ignore[no-untyped-def]
    """EQ, ULT and SLT; the last two of what is not constant are terms."""
    if op == OP_EQ:
        same = True
        for i in range(w):
            if (x[i] == 0 and y[i] == 1) or (x[i] == 1 and y[i] == 0):
                result[0] = 0
                return
            same = same and x[i] == y[i] and x[i] >= 0
        if same:
            result[0] = 1
            return
    unknown = _first_unknown(x, w)
    if unknown == 0:
        unknown = _first_unknown(y, w)
    if unknown != 0:
        result[0] = unknown
        return
    if op != OP_EQ and _all_constant(x, w) and _all_constant(y, w):
        # The highest bit that differs decides; of numbers with a sign the other way round where it is the sign.
        result[0] = 0
        for i in range(w - 1, -1, -1):
            if x[i] != y[i]:
                result[0] = x[i] if op == OP_SLT and i == w - 1 else y[i]
                return
        return
    if w > TERM_BITS_MAX:
        result[0] = own
        return
    first = vector_term(x, w, kinds, widths, args, table, count)
    if op == OP_ULT and _all_constant(y, w) and _largest(first, kinds, widths, args) < _number(y, w):
        result[0] = 1
        return
    second = vector_term(y, w, kinds, widths, args, table, count)
    kind = T_EQ if op == OP_EQ else T_ULT if op == OP_ULT else T_SLT
    _put(result, make_term(kind, 1, first, second, 0, kinds, widths, args, table, count), 1)


@njit
def _reduce(op, x, w, own, result, kinds, widths, args, table, count):  # type: ignore[no-untyped-def]
    """REDOR, REDAND and REDXOR."""
    if op == OP_REDXOR:
        unknown = _first_unknown(x, w)
        if unknown != 0:
            result[0] = unknown
        elif _all_constant(x, w):
            parity = np.int64(0)
            for i in range(w):
                parity ^= x[i]
            result[0] = parity
        elif w > TERM_BITS_MAX:
            result[0] = own
        else:
            v = vector_term(x, w, kinds, widths, args, table, count)
            _put(result, make_term(T_REDXOR, 1, v, 0, 0, kinds, widths, args, table, count), 1)
        return
    # What decides it: a 1 for OR, a 0 for AND.
    deciding = 1 if op == OP_REDOR else 0
    neutral = True
    for i in range(w):
        if x[i] == deciding:
            result[0] = deciding
            return
        neutral = neutral and x[i] == 1 - deciding
    if neutral:
        result[0] = 1 - deciding
        return
    unknown = _first_unknown(x, w)
    if unknown != 0:
        result[0] = unknown
        return
    if w > TERM_BITS_MAX:
        result[0] = own
        return
    v = vector_term(x, w, kinds, widths, args, table, count)
    against = np.int64(_mask(w)) if op == OP_REDAND else np.int64(0)
    other = make_term(T_CONST, w, against, 0, 0, kinds, widths, args, table, count)
    t = make_term(T_EQ, 1, v, other, 0, kinds, widths, args, table, count)
    if op == OP_REDOR:
        t = make_term(T_NOT, 1, t, 0, 0, kinds, widths, args, table, count)
    _put(result, t, 1)


@njit
def _choose(condition, x, y, w, result, kinds, widths, args, table, count):  # type: ignore[no-untyped-def]
    """ITE: one of the two where the condition is constant; else a term of what differs."""
    if condition == 1 or condition == 0:
        for i in range(w):
            result[i] = x[i] if condition == 1 else y[i]
        return
    for start in range(0, w, 64):
        n = min(64, w - start)
        left = False
        for i in range(start, start + n):
            if x[i] == y[i]:
                # Unknown bits of one reason are any two bits: what is chosen is as unknown.
                result[i] = x[i]
            elif condition < 0:
                result[i] = condition
            elif x[i] < 0 or y[i] < 0:
                result[i] = min(x[i], y[i])
            else:
                result[i] = 2
                left = True
        if not left:
            continue
        v = np.empty(64, np.int64)
        u = np.empty(64, np.int64)
        for i in range(n):
            undecided = result[start + i] == 2
            v[i] = x[start + i] if undecided else 0
            u[i] = y[start + i] if undecided else 0
        c = np.empty(1, np.int64)
        c[0] = condition
        chooser = vector_term(c, 1, kinds, widths, args, table, count)
        first = vector_term(v, n, kinds, widths, args, table, count)
        second = vector_term(u, n, kinds, widths, args, table, count)
        t = make_term(T_ITE, n, chooser, first, second, kinds, widths, args, table, count)
        for i in range(n):
            if result[start + i] == 2:
                result[start + i] = (t + 1) * 64 + i


@njit
def _half_known(x, y, w):  # type: ignore[no-untyped-def]
    found = False
    for i in range(w):
        found = found or (x[i] < 0) != (y[i] < 0)
    return found


@njit
def _shift(op, x, y, w, own, result):  # type: ignore[no-untyped-def]
    """SLL, SRL and SRA by a constant: bits move. By anything else the result is unknown."""
    unknown = _first_unknown(y, w)
    if unknown != 0 or not _all_constant(y, w):
        _fill(result, w, unknown if unknown != 0 else own)
        return
    places = np.int64(0)
    for i in range(w - 1, -1, -1):
        places = min(2 * places + y[i], np.int64(w))
    filling = x[w - 1] if op == OP_SRA else np.int64(0)
    for i in range(w):
        source = i - places if op == OP_SLL else i + places
        result[i] = x[source] if 0 <= source < w else filling


@njit
def _gather(operands, at, w, bits, v):  # type: ignore[no-untyped-def]
    for i in range(w):
        v[i] = bits[operands[at + i]]


@njit
def _mark(holder, consumers_at, consumers, cells, dirty, blocks, latches):  # type: ignore[no-untyped-def]
    for i in range(consumers_at[holder], consumers_at[holder + 1]):
        user = consumers[i]
        if user < cells:
            dirty[user] = 1
            blocks[user >> 6] = 1
        else:
            latches[user - cells] = 1


@njit
def _read(k, code, operands, bits, v, result, memory, memories, writes, kinds, widths, args, table, count):  # type: ignore[no-untyped-def]
    """READ: the word at a constant address, after the writes before it in the cycle; of a ROM at any address a term.

    Of a memory that is written, without writes before it in the cycle, at an address that is a term: see LOOKED_UP.
    """
    w, at, aw, m = code[k, 2], code[k, 3], code[k, 6], code[k, 5]
    first_write, last_write = code[k, 8], code[k, 9]
    _gather(operands, at, aw, bits, v)
    unknown = _first_unknown(v, aw)
    if unknown != 0:
        _fill(result, w, unknown)
        return
    if not _all_constant(v, aw):
        if memories[m, 3] == 1 and last_write == first_write and w <= TERM_BITS_MAX and aw <= TERM_BITS_MAX:
            address = vector_term(v, aw, kinds, widths, args, table, count)
            _put(result, make_term(T_READ, w, address, m, 0, kinds, widths, args, table, count), w)
        elif last_write == first_write and w <= TERM_BITS_MAX and aw <= TERM_BITS_MAX:
            count[FULL] = LOOKED_UP
            count[CELL] = k
        else:
            _fill(result, w, np.int64(memories[m, 4]))
        return
    address = np.int64(_number(v, aw))
    start = memories[m, 0] + address * memories[m, 1]
    for i in range(w):
        result[i] = memory[start + i]
    # Writes that stand before this read, the first one first.
    other = np.empty(64, np.int64)
    for j in range(first_write, last_write):
        condition = _condition(j, operands, bits, writes)
        if condition == 0:
            continue
        _gather(operands, writes[j, 3], aw, bits, other)
        if condition != 1 or not _all_constant(other, aw):
            _fill(result, w, np.int64(memories[m, 4]))
        elif np.int64(_number(other, aw)) == address:
            for i in range(w):
                result[i] = bits[operands[writes[j, 4] + i]]


@njit
def _condition(j, operands, bits, writes):  # type: ignore[no-untyped-def]
    """Whether a write is done: 1, 0, or neither where some condition is not constant and none is 0."""
    done = np.int64(1)
    for i in range(writes[j, 1], writes[j, 2]):
        place = operands[i]
        bit = bits[place >> 1]
        if bit == 0 or bit == 1:
            if bit == place & 1:
                return np.int64(0)
        else:
            done = np.int64(2)
    return done


def propagate(  # type: ignore[no-untyped-def]
    code, operands, consumers_at, consumers, writes, memories,
    bits, memory, dirty, blocks, latches, result, scratch, kinds, widths, args, table, count,
):  # fmt: skip
    """Evaluate every cell that something it depends on has changed for. Stops, to go on later, where terms are full."""
    cells = len(code)
    for block in range(len(blocks)):
        # A cell marks only those behind it, which may lie in the same block.
        while blocks[block] == 1:
            blocks[block] = 0
            for k in range(block << 6, min((block + 1) << 6, cells)):
                if dirty[k] == 0:
                    continue
                if count[ROOM] - count[TERMS] < CELL_TERMS + BIT_TERMS * (code[k, 2] + code[k, 6]):
                    blocks[block] = 1
                    count[FULL] = 1
                    return
                dirty[k] = 0
                op, out, w, own = code[k, 0], code[k, 1], code[k, 2], -np.int64(1) - code[k, 7]
                x, y = scratch[0], scratch[1]
                if op == OP_READ:
                    _read(
                        k, code, operands, bits, x, result, memory, memories, writes, kinds, widths, args, table, count
                    )
                    if count[FULL] == LOOKED_UP:
                        blocks[block] = 1
                        return
                else:
                    _gather(operands, code[k, 3], code[k, 6], bits, x)
                    if op == OP_NOT:
                        _bitwise(op, x, x, w, result, kinds, widths, args, table, count)
                    elif op <= OP_XOR:
                        _gather(operands, code[k, 4], w, bits, y)
                        _bitwise(op, x, y, w, result, kinds, widths, args, table, count)
                    elif op <= OP_MUL:
                        _gather(operands, code[k, 4], w, bits, y)
                        _arithmetic(op, x, y, w, own, result, kinds, widths, args, table, count)
                    elif op <= OP_SLT:
                        _gather(operands, code[k, 4], code[k, 6], bits, y)
                        _compare(op, x, y, code[k, 6], own, result, kinds, widths, args, table, count)
                    elif op <= OP_REDXOR:
                        _reduce(op, x, code[k, 6], own, result, kinds, widths, args, table, count)
                    elif op == OP_ITE:
                        condition = x[0]
                        _gather(operands, code[k, 4], w, bits, x)
                        _gather(operands, code[k, 5], w, bits, y)
                        if condition > 1 and count[ASKED] != k + 1 and _half_known(x, y, w):
                            count[FULL], count[CELL] = CHOSEN, k
                            dirty[k] = 1
                            blocks[block] = 1
                            return
                        count[ASKED] = 0
                        _choose(condition, x, y, w, result, kinds, widths, args, table, count)
                    else:
                        _gather(operands, code[k, 4], w, bits, y)
                        _shift(op, x, y, w, own, result)
                changed = False
                for i in range(w):
                    if bits[out + i] != result[i]:
                        bits[out + i] = result[i]
                        changed = True
                if changed:
                    _mark(k, consumers_at, consumers, cells, dirty, blocks, latches)


def tick(  # type: ignore[no-untyped-def]
    cells, states, operands, consumers_at, consumers, readers_at, readers, writes, memories,
    bits, memory, dirty, blocks, latches, following,
):  # fmt: skip
    """Go on to the next cycle: registers take their next values, memories what is written."""
    # Both before anything changes; by the number of each register, as those that change may mark others.
    at = end = 0
    for s in range(len(states)):
        if latches[s] == 1:
            latches[s] = 0
            following[end] = s
            for i in range(states[s, 1]):
                following[end + 1 + i] = bits[operands[states[s, 2] + i]]
            end += 1 + states[s, 1]
    for j in range(len(writes)):
        _write(j, operands, readers_at, readers, writes, memories, bits, memory, dirty, blocks)
    while at < end:
        s = following[at]
        start = states[s, 0]
        changed = False
        for i in range(states[s, 1]):
            if bits[start + i] != following[at + 1 + i]:
                bits[start + i] = following[at + 1 + i]
                changed = True
        at += 1 + states[s, 1]
        if changed:
            _mark(cells + s, consumers_at, consumers, cells, dirty, blocks, latches)


@njit
def _write(j, operands, readers_at, readers, writes, memories, bits, memory, dirty, blocks):  # type: ignore[no-untyped-def]
    condition = _condition(j, operands, bits, writes)
    if condition == 0:
        return
    m = writes[j, 0]
    start, w, words, aw = memories[m, 0], memories[m, 1], memories[m, 2], memories[m, 5]
    address = np.int64(0)
    constant = condition == 1
    for i in range(aw):
        bit = bits[operands[writes[j, 3] + i]]
        constant = constant and (bit == 0 or bit == 1)
        address |= (bit & 1) << i
    changed = False
    if constant:
        for i in range(w):
            data = bits[operands[writes[j, 4] + i]]
            if memory[start + address * w + i] != data:
                memory[start + address * w + i] = data
                changed = True
    else:
        # Whether or where it is written depends on data: all may be anything.
        for i in range(words * w):
            memory[start + i] = np.int64(memories[m, 4])
        changed = True
    if changed:
        for i in range(readers_at[m], readers_at[m + 1]):
            dirty[readers[i]] = 1
            blocks[readers[i] >> 6] = 1


def set_bits(  # type: ignore[no-untyped-def]
    cells, positions, values, owners, consumers_at, consumers, bits, dirty, blocks, latches
):
    """Put values at some places, and mark who reads them; a register takes its next value all the same."""
    for i in range(len(positions)):
        if bits[positions[i]] != values[i]:
            bits[positions[i]] = values[i]
            owner = owners[positions[i]]
            _mark(owner, consumers_at, consumers, cells, dirty, blocks, latches)
            if cells <= owner < cells + len(latches):
                latches[owner - cells] = 1


def collect(bits, memory, marked, kinds, widths, args, table, count):  # type: ignore[no-untyped-def]
    """Keep only the terms that some bit or word is made of; `marked` is as long as there are terms."""
    terms = count[TERMS]
    for t in range(terms):
        marked[t] = 0
    for codes in (bits, memory):
        for i in range(len(codes)):
            if codes[i] >= 64:
                marked[(codes[i] >> 6) - 1] = 1
    for t in range(terms - 1, -1, -1):
        if marked[t] == 1:
            for j in range(operand_count(kinds[t])):
                marked[args[t, j]] = 1
    for i in range(len(table)):
        table[i] = -1
    count[TERMS] = 0
    for t in range(terms):
        if marked[t] == 1:
            a, b, c = args[t, 0], args[t, 1], args[t, 2]
            n = operand_count(kinds[t])
            if n > 0:
                a = np.int64(marked[a])
            if n > 1:
                b = np.int64(marked[b])
            if n > 2:
                c = np.int64(marked[c])
            # Its new number is at most its old one, and those before it have theirs.
            marked[t] = make_term(kinds[t], widths[t], a, b, c, kinds, widths, args, table, count)
    for codes in (bits, memory):
        for i in range(len(codes)):
            if codes[i] >= 64:
                codes[i] = (np.int64(marked[(codes[i] >> 6) - 1]) + 1) * 64 + (codes[i] & 63)


@njit
def operand_count(kind):  # type: ignore[no-untyped-def]
    """The number of a term's operands that are terms: the first ones."""
    if kind in (T_VAR, T_CONST, T_CUT):
        return 0
    if kind in (T_SLICE, T_SEXT, T_READ, T_NOT, T_REDXOR):
        return 1
    return 3 if kind == T_ITE else 2


# --- Signatures ------------------------------------------------------------------------------------------------------

_I64, _I32, _U8 = types.int64[::1], types.int32[::1], types.uint8[::1]
_I64_2 = types.int64[:, ::1]
_TERMS = (_U8, _U8, _I64_2, _I32, _I64)

PROPAGATE = types.void(
    _I64_2, _I32, _I32, _I32, _I64_2, _I64_2, _I64, _I64, _U8, _U8, _U8, _I64, _I64_2, *_TERMS
)  # fmt: skip
TICK = types.void(
    types.int64, _I64_2, _I32, _I32, _I32, _I32, _I32, _I64_2, _I64_2, _I64, _I64, _U8, _U8, _U8, _I64
)  # fmt: skip
SET_BITS = types.void(types.int64, _I32, _I64, _I32, _I32, _I32, _I64, _U8, _U8, _U8)
COLLECT = types.void(_I64, _I64, _I32, *_TERMS)
