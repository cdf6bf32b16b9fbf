"""Words as they were sampled, some of whose bits may be unknown, and the values of a tap inside them."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fxsim.compare import FourState
from fxsim.contract import Number, Sign
from fxsim.contract.arithmetic import Integers, UInt8
from fxsim.errors import FileError

WORD_BITS_MAX = 1 << 16
"""Widest word of a trace, in bits."""
BYTES_MAX = 1 << 29
"""Bytes that the words of one tap may have, known and unknown bits each; checked before they are kept."""

_ROWS_BITS = 1 << 23
"""Bits that are taken apart at once."""

LETTERS = {"0": (0, 0), "1": (1, 0), "l": (0, 0), "h": (1, 0), "z": (0, 1)}
"""A bit's letter in files, lower case, as the bit and whether it is unknown; L and H of VHDL are weak 0 and 1.

Every other letter (X, and U, W, - of VHDL) is X: bit 1, unknown.
"""


@dataclass(frozen=True)
class Words:
    """Samples of a signal in order, `bits` wide. `values` and `unknown` are uint8 [sample, byte], lowest byte first.

    Bits are coded as in `FourState`. `unknown` is None where every bit is known. `origin` names file and signal.
    """

    origin: str
    bits: int
    values: UInt8
    unknown: UInt8 | None = None

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.values)

    def part(self, samples: slice) -> "Words":
        """Some of the samples."""
        return Words(
            self.origin, self.bits, self.values[samples], None if self.unknown is None else self.unknown[samples]
        )


class WordsWriter:
    """Collects words one by one, in memory of which the size is bounded. `where` begins messages."""

    def __init__(self, where: str, bits: int) -> None:
        if not 1 <= bits <= WORD_BITS_MAX:
            raise FileError(f"{where}: words have {bits:,} bits, expected 1 to {WORD_BITS_MAX:,}")
        self._where = where
        self._bits = bits
        self._bytes = -(-bits // 8)
        self._values = bytearray()
        self._unknown: dict[int, int] = {}
        self._count = 0

    def __len__(self) -> int:
        """Words so far."""
        return self._count

    def add(self, value: int, unknown: int = 0) -> None:
        """One more word; its bits must fit."""
        if len(self._values) >= BYTES_MAX:
            raise FileError(
                f"{self._where}: has more than {BYTES_MAX:,} bytes of values, the most that are read of one tap"
            )
        self._values += value.to_bytes(self._bytes, "little")
        if unknown:
            self._unknown[self._count] = unknown
        self._count += 1

    def words(self) -> Words:
        """All that came."""
        values = np.frombuffer(self._values, np.uint8).reshape(self._count, self._bytes)
        unknown = None
        if self._unknown:
            unknown = np.zeros(values.shape, np.uint8)
            for sample, bits in self._unknown.items():
                unknown[sample] = np.frombuffer(bits.to_bytes(self._bytes, "little"), np.uint8)
        return Words(self._where, self._bits, values, unknown)


def parse_bits(text: str) -> tuple[int, int]:
    """A word and its unknown bits, from letters, most significant first."""
    lower = text.lower()
    if set(lower) <= {"0", "1"}:
        return int(lower, 2), 0
    value = unknown = 0
    for letter in lower:
        bit, is_unknown = LETTERS.get(letter, (1, 1))
        value, unknown = value << 1 | bit, unknown << 1 | is_unknown
    return value, unknown


def split_lanes(words: Words, lanes: int, number: Number, high_first: bool) -> Integers | FourState:
    """Values of all lanes, word after word, [sample * lanes]; the lowest lane first, or the highest.

    A lane of a bipolar number is one bit: 0 for -1, 1 for 1.
    """
    assert words.bits == lanes * number.bits
    values = _lanes(words.values, lanes, number, high_first)
    if words.unknown is None:
        return values
    unsigned = Number(number.bits, Sign.UNSIGNED)
    unknown = _lanes(words.unknown, lanes, unsigned, high_first).astype(np.uint32)
    return FourState(values, unknown, number.bits)


def _lanes(data: UInt8, lanes: int, number: Number, high_first: bool) -> Integers:
    found: Integers = np.empty((len(data), lanes), number.dtype)
    weights = 1 << np.arange(number.bits, dtype=np.int64)
    if number.signed and not number.bipolar:
        weights[-1] = -weights[-1]
    for rows in _parts(len(data), max(1, _ROWS_BITS // (lanes * number.bits))):
        bits = np.unpackbits(data[rows], axis=1, count=lanes * number.bits, bitorder="little")
        values = bits.reshape(len(bits), lanes, number.bits) @ weights
        found[rows] = values * 2 - 1 if number.bipolar else values
    return np.ascontiguousarray(found[:, ::-1] if high_first else found).reshape(-1)


def pack_numbers(origin: str, values: npt.NDArray[np.integer], bits: int) -> Words:
    """Integers as words of so many bits; FileError for one that they cannot hold, read as signed or as unsigned."""
    flat = values.reshape(-1)
    if flat.dtype.itemsize * 8 > bits or flat.dtype.kind == "u":
        low, high = -(1 << (bits - 1)), (1 << bits) - 1
        wrong = np.flatnonzero((flat < low) | (flat > high))
        if bits < 64 and wrong.size:
            at = int(wrong[0])
            raise FileError(f"{origin}: value {at:,} (from 0) is {flat[at]}, expected what {bits} bits can hold")
    size = -(-bits // 8)
    little = np.ascontiguousarray(flat.astype(flat.dtype.newbyteorder("<")))
    data = little.view(np.uint8).reshape(len(flat), flat.dtype.itemsize)
    if size > data.shape[1]:
        raise FileError(f"{origin}: values are {values.dtype}, expected words of at least {bits} bits")
    return Words(origin, bits, np.ascontiguousarray(data[:, :size]))


def _parts(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))
