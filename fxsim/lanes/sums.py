"""Sums of products, in a form that is computed at once: adder trees before their registers, operands packed.

A tree of adders with registers between its levels, whose registers take values under one condition, is the whole sum
in one register and a chain of registers behind it: what registers hold goes through the adder before it is stored. So
the sum is the same in every cycle, of any values that the registers take.

Operands of a byte that are taken under one condition stand side by side in one register, and so do the words of ROMs
that they come from.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from fxsim.lanes.words import WORD, Column, Piece, Value, Word, Words, Write, merged, part_of, width_of

TERMS_MAX = 1024
"""Most registers of one sum."""
_LEVELS_MAX = 12
_BYTE = 8
_BYTES_OF_DATA = 4
"""Operands of data side by side: what an instruction takes."""
_BYTES_OF_CONTROL = 8
_DEPTH_MAX = 4
_LINEAR = frozenset(("add", "sext"))

_SUM = "the sum of "
_OWN = "own"
_TAKEN = "taken"


class Product(NamedTuple):
    """A product (`term`) of a signed byte, or less, of data and one of control, as a sum takes it."""

    term: Value
    data: Value
    control: Value


def with_sums(words: Words) -> Words:
    """The same words, with sums of products and their operands in one register each where that can be."""
    for _ in range(_LEVELS_MAX):
        found = list(_sums(words))
        if not found:
            break
        words = _Moved(words, found).words
    return _Packed(words).words


def products_of(words: Words, value: Value, inlined: Callable[[int], bool]) -> tuple[list[Product], list[Value]]:
    """The products that a value is the sum of, in as many bits as it has, and what else it is the sum of.

    `inlined`: of an operation whether it is computed where it is used.
    """
    width = width_of(value)
    products: list[Product] = []
    others: list[Value] = []
    pending = [value]
    while pending:
        term = part_of(pending.pop(), 0, width)
        word = words.words[term[0].word] if term[0].word >= 0 else None
        if word is not None and inlined(term[0].word) and word.lanes:
            if word.kind == "add" and len(term) == 1 and term[0].low == 0:
                pending += reversed(word.args)
                continue
            if word.kind == "mul" and _is_extended(words.words, term) and (product := _product(words, term)):
                products.append(product)
                continue
        others.append(term)
    return products, others


def _product(words: Words, term: Value) -> Product | None:
    a, b = (_byte(words.words, arg, width_of(term)) for arg in words.words[term[0].word].args)
    if a is None or b is None or words.depends(a) == words.depends(b):
        return None
    return Product(term, a, b) if words.depends(a) else Product(term, b, a)


def _is_extended(words: list[Word], term: Value) -> bool:
    """Whether a term is a product's lowest bits, or all that it has but for copies of its sign, and such copies."""
    first = term[0]
    if first.low != 0:
        return False
    if len(term) == 1:
        return True
    top = Piece(first.word, first.width - 1, 1)
    args = words[first.word].args
    bits = sum(_significant(words, arg) for arg in args)
    return first.width >= bits and all(piece == top for piece in term[1:])


def _significant(words: list[Word], value: Value) -> int:
    base = _byte(words, value, width_of(value))
    return width_of(value) if base is None else width_of(base)


def _byte(words: list[Word], value: Value, width: int) -> Value | None:
    """The bits, at most eight, that a value's lowest `width` bits extend by their sign; else None."""
    value = part_of(value, 0, min(width, width_of(value)))
    if len(value) == 1 and value[0].word >= 0:
        word = words[value[0].word]
        if word.kind == "sext" and value[0].low == 0 and width_of(word.args[0]) <= min(_BYTE, value[0].width):
            return word.args[0]
    first = value[0]
    if first.word >= 0 and first.width <= _BYTE and len(value) > 1:
        top = Piece(first.word, first.low + first.width - 1, 1)
        if all(piece == top for piece in value[1:]):
            return (first,)
    return None


# --- Sums before registers -------------------------------------------------------------------------------------------


class _Sum(NamedTuple):
    """A sum (`word`) of nothing but registers, which take values under one condition and are read nowhere else."""

    word: int
    registers: frozenset[int]


class _Shape(NamedTuple):
    """Choices of control between a register's own value and others: as many others as it has `others`."""

    choices: object
    others: tuple[Value, ...]


def _shape(words: Words, register: int) -> _Shape:
    others: list[Value] = []

    def of(value: Value, depth: int) -> object:
        if value == (Piece(register, 0, words.words[register].width),):
            return _OWN
        word = words.words[value[0].word] if len(value) == 1 and value[0].word >= 0 else None
        chosen = word is not None and word.kind == "ite" and value[0].width == word.width
        if word is None or not chosen or words.depends(word.args[0]) or depth == _DEPTH_MAX:
            others.append(value)
            return _TAKEN
        return word.args[0], of(word.args[1], depth + 1), of(word.args[2], depth + 1)

    choices = of(words.following[register], 0)
    return _Shape(choices, tuple(others))


def _sums(words: Words) -> Iterator[_Sum]:
    """Sums of registers that can be computed before these are: of each tree the largest, none within another."""
    uses = _uses(words)
    seen: set[int] = set()
    for index in sorted(uses, reverse=True):
        word = words.words[index]
        if word.kind != "add" or not word.lanes or index in seen:
            continue
        inner, registers = _within(words, index)
        if registers is None or len(registers) < 2:
            # A smaller one may be: those within it are looked at later.
            continue
        counts: dict[int, int] = {}
        for of in inner:
            for piece in (piece for arg in words.words[of].args for piece in arg):
                counts[piece.word] = counts.get(piece.word, 0) + 1
        if any(counts[of] != uses[of] for of in (*registers, *(inner - {index}))):
            continue
        if len({_shape(words, register).choices for register in registers}) == 1:
            seen |= inner
            yield _Sum(index, frozenset(registers))


def _within(words: Words, root: int) -> tuple[set[int], set[int] | None]:
    """The operations that a sum consists of, and the registers that it reads: None where it reads something else."""
    inner, registers, pending = {root}, set[int](), [root]
    while pending:
        for piece in (piece for arg in words.words[pending.pop()].args for piece in arg):
            if piece.word < 0 or piece.word in inner:
                continue
            word = words.words[piece.word]
            if word.kind == "register" and word.lanes and piece.word in words.following:
                registers.add(piece.word)
            elif word.kind in _LINEAR and word.lanes:
                inner.add(piece.word)
                pending.append(piece.word)
            else:
                return inner, None
            if len(registers) > TERMS_MAX:
                return inner, None
    return inner, registers


def _uses(words: Words) -> dict[int, int]:
    """The number of readings of each word that outputs and what is stored depend on."""
    pending: list[Value] = [*words.outputs.values()]
    uses: dict[int, int] = {}
    columns: set[int] = set()
    while pending:
        for piece in pending.pop():
            if piece.word < 0:
                continue
            uses[piece.word] = uses.get(piece.word, 0) + 1
            if uses[piece.word] > 1:
                continue
            word = words.words[piece.word]
            pending += word.args
            if word.kind == "register" and piece.word in words.following:
                pending += _taken_by(words, piece.word)
            if word.kind == "read" and word.low not in columns:
                columns.add(word.low)
                for write in words.columns[word.low].writes:
                    pending += [write.address, write.data, *(value for value, _ in write.conditions)]
    return uses


def _taken_by(words: Words, register: int) -> list[Value]:
    """Values that a register takes and conditions it takes them by, not counting that it holds its own value."""
    shape = _shape(words, register)
    found, pending = [*shape.others], [shape.choices]
    for choices in pending:
        if isinstance(choices, tuple):
            found.append(choices[0])
            pending += choices[1:]
    return found


# --- Words anew ------------------------------------------------------------------------------------------------------


@dataclass
class _Copy:
    """Words being made of others: `found` of each word that there was the value that it is now."""

    old: Words
    words: list[Word] = field(default_factory=list)
    found: list[Value] = field(default_factory=list)
    following: dict[int, Value] = field(default_factory=dict)
    columns: list[Column] = field(default_factory=list)
    _known: dict[Word, int] = field(default_factory=dict)

    def value(self, value: Value) -> Value:
        """The value that one of the old words is now."""
        return merged(
            part for p in value for part in ((p,) if p.word < 0 else part_of(self.found[p.word], p.low, p.width))
        )

    def register(self, width: int, name: str, *, lanes: bool) -> Value:
        """A new register."""
        self.words.append(Word("register", width, lanes, (), 0, name))
        return (Piece(len(self.words) - 1, 0, width),)

    def operation(self, kind: str, width: int, args: tuple[Value, ...], low: int = 0) -> Value:
        """An operation; what is computed alike is one word."""
        args = tuple(map(merged, args))
        lanes = any(self.words[piece.word].lanes for arg in args for piece in arg if piece.word >= 0)
        word = Word(kind, width, lanes, args, low)
        if word not in self._known:
            self._known[word] = len(self.words)
            self.words.append(word)
        return (Piece(self._known[word], 0, width),)

    def chosen(self, choices: object, own: Value, others: Iterator[Value]) -> Value:
        """The value that a register takes by its choices."""
        if choices == _OWN:
            return own
        if choices == _TAKEN:
            return next(others)
        assert isinstance(choices, tuple)
        a, b = (self.chosen(side, own, others) for side in choices[1:])
        return self.operation("ite", width_of(own), (self.value(choices[0]), a, b))

    def copy(self, index: int) -> None:
        """Take over a word."""
        word = self.old.words[index]
        self.words.append(word._replace(args=tuple(map(self.value, word.args))))
        self.found.append((Piece(len(self.words) - 1, 0, word.width),))

    def done(self, left_out: Iterable[int]) -> Words:
        """All words, with what registers take but for those that are left out."""
        out = frozenset(left_out)
        for index, value in self.old.following.items():
            if index not in out:
                (own,) = self.found[index]
                self.following[own.word] = self.value(value)
        taken = [
            Write(tuple((self.value(c), no) for c, no in w.conditions), self.value(w.address), self.value(w.data))
            for column in self.old.columns
            for w in column.writes
        ]
        writes = iter(taken)
        for at, column in enumerate(self.old.columns):
            self.columns[at].writes = [next(writes) for _ in column.writes]
        inputs = {name: self.value(value) for name, value in self.old.inputs.items()}
        outputs = {name: self.value(value) for name, value in self.old.outputs.items()}
        return Words(self.words, self.following, self.columns, inputs, outputs)


def _copied(words: Words) -> _Copy:
    columns = [Column(c.name, c.words, c.width, c.lanes, c.content) for c in words.columns]
    return _Copy(words, columns=columns)


class _Moved:
    """Words in which sums are registers in place of those that they were of."""

    def __init__(self, old: Words, sums: Iterable[_Sum]) -> None:
        self._old = old
        self._copy = _copied(old)
        roots = {of.word: of for of in sums}
        for index, word in enumerate(old.words):
            if index in roots:
                first = old.words[min(roots[index].registers)]
                name = _SUM + first.name.removeprefix(_SUM)
                self._copy.found.append(self._copy.register(word.width, name, lanes=True))
            else:
                self._copy.copy(index)
        for of in roots.values():
            shapes = {register: _shape(old, register) for register in of.registers}
            one = next(iter(shapes.values()))
            own = self._copy.found[of.word]
            taken = (
                self._applied(of.word, {register: self._copy.value(s.others[n]) for register, s in shapes.items()})
                for n in range(len(one.others))
            )
            self._copy.following[own[0].word] = self._copy.chosen(one.choices, own, taken)
        self.words = self._copy.done(register for of in roots.values() for register in of.registers)

    def _applied(self, root: int, values: dict[int, Value]) -> Value:
        """A sum of what its registers take."""
        made = dict(values)
        for index in sorted({root} | _within(self._old, root)[0]):
            word = self._old.words[index]
            args = tuple(
                merged(part for p in arg for part in ((p,) if p.word < 0 else part_of(made[p.word], p.low, p.width)))
                for arg in word.args
            )
            made[index] = self._copy.operation(word.kind, word.width, tuple(map(self._product, args)))
        return made[root]

    def _product(self, value: Value) -> Value:
        """A value; of a product's bits and copies of the last one, that the product repeats itself, the product."""
        first, words = value[0], self._copy.words
        product = first.word >= 0 and words[first.word].kind == "mul" and _is_extended(words, value)
        whole = product and words[first.word].width >= width_of(value)
        return (Piece(first.word, 0, width_of(value)),) if whole else value


# --- Operands side by side -------------------------------------------------------------------------------------------


class _Packed:
    """Words in which operands of products stand side by side."""

    def __init__(self, old: Words) -> None:
        self._old = old
        self._copy = _copied(old)
        self._joined: dict[tuple[int, ...], int] = {}
        groups = list(self._groups())
        group_of = {register: group for group in groups for register in group}
        packed: dict[tuple[int, ...], Value] = {}
        for index, word in enumerate(old.words):
            group = group_of.get(index)
            if group is None:
                self._copy.copy(index)
                continue
            if group not in packed:
                packed[group] = self._copy.register(_BYTE * len(group), word.name, lanes=word.lanes)
            self._copy.found.append(part_of(packed[group], _BYTE * group.index(index), _BYTE))
        for group, own in packed.items():
            shapes = [_shape(old, register) for register in group]
            taken = (
                self._reads_joined([self._copy.value(shape.others[n]) for shape in shapes])
                for n in range(len(shapes[0].others))
            )
            self._copy.following[own[0].word] = self._copy.chosen(shapes[0].choices, own, taken)
        self.words = self._copy.done(group_of)

    def _groups(self) -> Iterator[tuple[int, ...]]:
        """Registers that are to be one: bytes, taken under one condition, in the order of a sum."""
        old, seen = self._old, set[int]()
        choices: dict[int, object] = {}
        for register in sorted(old.following):
            if not old.words[register].lanes:
                continue
            for value in _taken_by(old, register):
                products, _ = products_of(old, value, lambda _: True)
                for count, operands in (
                    (_BYTES_OF_DATA, [product.data for product in products]),
                    (_BYTES_OF_CONTROL, [product.control for product in products]),
                ):
                    group: list[int] = []
                    for operand in operands:
                        index = operand[0].word
                        if not self._is_byte(operand) or index in seen:
                            continue
                        seen.add(index)
                        choices[index] = _shape(old, index).choices
                        if group and (len(group) == count or choices[group[0]] != choices[index]):
                            yield tuple(group)
                            group = []
                        group.append(index)
                    if group:
                        yield tuple(group)

    def _is_byte(self, value: Value) -> bool:
        index = value[0].word
        whole = value == (Piece(index, 0, _BYTE),) and index >= 0 and self._old.words[index].width == _BYTE
        if not whole or self._old.words[index].kind != "register" or index not in self._old.following:
            return False
        # What agrees is compared, and named, for itself.
        return self._old.words[index].lanes or not self._old.depends(self._old.following[index])

    def _reads_joined(self, values: list[Value]) -> Value:
        """Values side by side; where all are words of ROMs at one address, a word of one ROM."""
        reads = [self._copy.words[value[0].word] for value in values if value[0].word >= 0]
        whole = len(reads) == len(values) and all(
            word.kind == "read" and value == (Piece(value[0].word, 0, word.width),)
            for word, value in zip(reads, values, strict=True)
        )
        if not whole or len({word.args for word in reads}) != 1 or sum(word.width for word in reads) > WORD:
            return merged(piece for value in values for piece in value)
        numbers = tuple(word.low for word in reads)
        number = self._joined.get(numbers) if numbers in self._joined else self._join(numbers)
        if number is None:
            return merged(piece for value in values for piece in value)
        return self._copy.operation("read", self._copy.columns[number].width, reads[0].args, number)

    def _join(self, numbers: tuple[int, ...]) -> int | None:
        """The number of a ROM of several side by side, a new one; None where they have no known content alike."""
        columns = [self._copy.columns[number] for number in numbers]
        contents = [column.content for column in columns]
        if any(content is None for content in contents) or len({column.words for column in columns}) != 1:
            return None
        joined: list[int | None] = []
        for row in zip(*(content for content in contents if content is not None), strict=True):
            known, at = 0, 0
            for word, column in zip(row, columns, strict=True):
                known |= (word or 0) << at
                at += column.width
            if None in row and set(row) != {None}:
                return None
            joined.append(None if None in row else known)
        self._joined[numbers] = len(self._copy.columns)
        width = sum(column.width for column in columns)
        self._copy.columns.append(Column(columns[0].name, columns[0].words, width, lanes=False, content=tuple(joined)))
        return self._joined[numbers]
