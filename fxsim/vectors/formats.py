"""The file formats of vectors. Every value takes the same number of bytes.

That is what makes a file cheap to write and to check: up to 16 bits, a value's text is looked up rather than formatted,
and the place of the first byte that differs says which value it belongs to.
"""

import functools
import io
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from fxsim.contract import INT8, Number
from fxsim.contract.arithmetic import Integers, UInt8

_TABLE_BITS = 16
"""Widest number whose texts are made once and looked up."""


@dataclass(frozen=True)
class Format:
    """One way to write an array of whole numbers: `header`, then values joined by `separator`, then `footer`.

    `text` gives the bytes of one value, as many for each, and `read` the value of such bytes, where they are one;
    `header` gives the bytes that come first, of the array's symbol and shape. All are told the number format, `number`.
    """

    name: str
    suffix: str
    header: Callable[[str, tuple[int, ...], Number], bytes]
    text: Callable[[int, Number], bytes]
    read: Callable[[bytes, Number], int]
    separator: bytes
    footer: bytes
    number: Number = INT8

    def of(self, number: Number) -> "Format":
        """The same for values of another number format."""
        return self if number == self.number else replace(self, number=number)

    @property
    def width(self) -> int:
        """Bytes of a value."""
        return len(self.text(self.number.low, self.number))

    @property
    def slot(self) -> int:
        """Bytes from the beginning of one value to the beginning of the next."""
        return self.width + len(self.separator)

    def render(self, values: Integers) -> bytes:
        """The bytes of some values in their order, a separator after each."""
        body = np.empty((values.size, self.slot), np.uint8)
        width, flat = self.width, values.reshape(-1)
        if self.number.bits <= _TABLE_BITS:
            body[:, :width] = _texts(self.text, self.number)[flat.astype(np.int64) - self.number.low]
        elif flat.size:
            body[:, :width] = _joined(self.text, self.number, flat.tolist())
        body[:, width:] = np.frombuffer(self.separator, np.uint8)
        return body.tobytes()


@functools.cache
def _texts(text: Callable[[int, Number], bytes], number: Number) -> UInt8:
    """The bytes of every whole number from a format's least to its greatest, uint8 [numbers, width]."""
    return _joined(text, number, list(range(number.low, number.high + 1)))


def _joined(text: Callable[[int, Number], bytes], number: Number, values: list[int]) -> UInt8:
    return np.frombuffer(b"".join(text(value, number) for value in values), np.uint8).reshape(len(values), -1)


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
    bits = value > 0 if number.bipolar else value & (number.codes - 1)
    return f"{bits:0{-(-number.bits // 4)}x}".encode()


def _read_hex(text: bytes, number: Number) -> int:
    bits = int(text, 16)
    if number.bipolar:
        return 2 * bits - 1
    return bits - number.codes if bits > number.high else bits


def _raw(value: int, number: Number) -> bytes:
    return value.to_bytes(number.dtype.itemsize, "little", signed=number.signed)


def _read_raw(data: bytes, number: Number) -> int:
    return int.from_bytes(data, "little", signed=number.signed)


def _decimal(value: int, number: Number) -> bytes:
    return f"{value:{max(len(str(number.low)), len(str(number.high)))}d}".encode()


def _read_decimal(text: bytes, _number: Number) -> int:
    return int(text)


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
        Format("hex", ".hex", _no_header, _hex, _read_hex, b"\n", b"\n"),
        Format("npy", ".npy", _npy_header, _raw, _read_raw, b"", b""),
        Format("coe", ".coe", _coe_header, _hex, _read_hex, b",\n", b";\n"),
        Format("c", ".h", _c_header, _decimal, _read_decimal, b",\n", b"\n};\n#endif\n"),
    )
}
"""Every format by name: Verilog's $readmemh, numpy, Xilinx memory initialisation, C header; for int8 (see `of`)."""


def decode_slot(fmt: Format, found: bytes) -> str:
    """The text in a value's place, as a number where it is one, else quoted."""
    try:
        value = fmt.read(found, fmt.number)
    except ValueError:
        value = None
    if value is not None and fmt.number.held(np.array(value)) and fmt.text(value, fmt.number) == found:
        return str(value)
    return repr(found.decode("latin-1"))
