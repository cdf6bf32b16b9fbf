"""The file formats of vectors. Every value takes the same number of bytes.

That is what makes a file cheap to write and to check: a value's text is looked up rather than formatted, and the place
of the first byte that differs says which value it belongs to.
"""

import functools
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fxsim.contract import INT8, Number
from fxsim.contract.arithmetic import Integers, UInt8


@dataclass(frozen=True)
class Format:
    """One way to write an array of whole numbers: `header`, then values joined by `separator`, then `footer`.

    `text` gives the bytes of one value, as many for each; `header` those that come first, of the array's symbol and
    shape. Both are told the number format, `number`.
    """

    name: str
    suffix: str
    header: Callable[[str, tuple[int, ...], Number], bytes]
    text: Callable[[int, Number], bytes]
    separator: bytes
    footer: bytes
    number: Number = INT8

    def of(self, number: Number) -> "Format":
        """The same for values of another number format."""
        return self if number == self.number else replace(self, number=number)

    @property
    def texts(self) -> UInt8:
        """The bytes of every value, uint8 [codes, width], indexed by its low bits (two's complement)."""
        return _texts(self.text, self.number)

    @property
    def slot(self) -> int:
        """Bytes from the beginning of one value to the beginning of the next."""
        return int(self.texts.shape[1]) + len(self.separator)

    def render(self, values: Integers) -> bytes:
        """The bytes of some values in their order, a separator after each."""
        body = np.empty((values.size, self.slot), np.uint8)
        width = self.texts.shape[1]
        # Not `astype`: the bits as they are, of which the format has the low ones.
        bits = np.ascontiguousarray(values).reshape(-1).view(f"u{values.dtype.itemsize}")
        body[:, :width] = self.texts[bits & (self.number.codes - 1)]
        body[:, width:] = np.frombuffer(self.separator, np.uint8)
        return body.tobytes()


@functools.cache
def _texts(text: Callable[[int, Number], bytes], number: Number) -> UInt8:
    values = (code - number.codes if code > number.high else code for code in range(number.codes))
    return np.frombuffer(b"".join(text(value, number) for value in values), np.uint8).reshape(number.codes, -1)


class Renderer:
    """The bytes of one file, in parts: `header`, then one part for each piece of its values."""

    def __init__(self, fmt: Format, symbol: str, shape: tuple[int, ...]) -> None:
        self.fmt = fmt
        self.header = fmt.header(symbol, shape, fmt.number)
        self.remaining = math.prod(shape)

    def part(self, values: Integers) -> bytes:
        """The next values; the last part ends with the footer, in place of its last separator."""
        self.remaining -= values.size
        body = self.fmt.render(values)
        if self.remaining == 0:
            body = body[: len(body) - len(self.fmt.separator)] + self.fmt.footer
        return body


def _hex(value: int, number: Number) -> bytes:
    return f"{value & (number.codes - 1):0{-(-number.bits // 4)}x}".encode()


def _raw(value: int, number: Number) -> bytes:
    return value.to_bytes(number.dtype.itemsize, "little", signed=number.signed)


def _decimal(value: int, number: Number) -> bytes:
    return f"{value:{max(len(str(number.low)), len(str(number.high)))}d}".encode()


def _npy_header(_symbol: str, shape: tuple[int, ...], number: Number) -> bytes:
    file = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(number.dtype.newbyteorder("<"))
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue()


def _coe_header(symbol: str, shape: tuple[int, ...], number: Number) -> bytes:
    dims = " x ".join(map(str, shape))
    return (
        f"; {symbol}: {number}, {dims}, last index fastest\n"
        "memory_initialization_radix=16;\nmemory_initialization_vector=\n"
    ).encode()


def _c_header(symbol: str, shape: tuple[int, ...], number: Number) -> bytes:
    dims = " x ".join(map(str, shape))
    kind = f"{number.dtype.name}_t"
    what = dims if number.bits == 8 * number.dtype.itemsize else f"{number}, {dims}"
    return (
        f"/* {symbol}: {what}, last index fastest. */\n"
        f"#ifndef FXSIM_{symbol.upper()}_H\n#define FXSIM_{symbol.upper()}_H\n"
        f"#include <stdint.h>\nstatic const {kind} {symbol}[{math.prod(shape)}] = {{\n"
    ).encode()


def _no_header(_symbol: str, _shape: tuple[int, ...], _number: Number) -> bytes:
    return b""


FORMATS = {
    fmt.name: fmt
    for fmt in (
        Format("hex", ".hex", _no_header, _hex, b"\n", b"\n"),
        Format("npy", ".npy", _npy_header, _raw, b"", b""),
        Format("coe", ".coe", _coe_header, _hex, b",\n", b";\n"),
        Format("c", ".h", _c_header, _decimal, b",\n", b"\n};\n#endif\n"),
    )
}
"""Every format by name: Verilog's $readmemh, numpy, Xilinx memory initialisation, C header; for int8 (see `of`)."""


def decode_slot(fmt: Format, found: bytes) -> str:
    """The text in a value's place, as a number where it is one, else quoted."""
    matches = (fmt.texts == np.frombuffer(found, np.uint8)).all(axis=1) if len(found) == fmt.texts.shape[1] else None
    if matches is not None and matches.any():
        code = int(np.flatnonzero(matches)[0])
        return str(code - fmt.number.codes if code > fmt.number.high else code)
    return repr(found.decode("latin-1"))
