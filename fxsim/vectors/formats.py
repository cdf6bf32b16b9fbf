"""The file formats of vectors. In all of them every value takes the same number of bytes.

That is what makes a file cheap to write and to check: a value's text is looked up rather than formatted, and the place
of the first byte that differs says which value it belongs to.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Int8, UInt8


@dataclass(frozen=True)
class Format:
    """One way to write an int8 array: `header`, then values joined by `separator`, then `footer`.

    `texts` is uint8 [256, width]: the bytes of each value, indexed by its two's complement code. `header` is given the
    array's symbol and shape.
    """

    name: str
    suffix: str
    header: Callable[[str, tuple[int, ...]], bytes]
    texts: UInt8
    separator: bytes
    footer: bytes

    @property
    def slot(self) -> int:
        """Bytes from the beginning of one value to the beginning of the next."""
        return int(self.texts.shape[1]) + len(self.separator)

    def render(self, values: Int8) -> bytes:
        """The bytes of some values in their order, a separator after each."""
        body = np.empty((values.size, self.slot), np.uint8)
        width = self.texts.shape[1]
        body[:, :width] = self.texts[np.ascontiguousarray(values).reshape(-1).view(np.uint8)]
        body[:, width:] = np.frombuffer(self.separator, np.uint8)
        return body.tobytes()


class Renderer:
    """The bytes of one file, in parts: `header`, then one part for each piece of its values."""

    def __init__(self, fmt: Format, symbol: str, shape: tuple[int, ...]) -> None:
        self.fmt = fmt
        self.header = fmt.header(symbol, shape)
        self.remaining = math.prod(shape)

    def part(self, values: Int8) -> bytes:
        """The next values; the last part ends with the footer, in place of its last separator."""
        self.remaining -= values.size
        body = self.fmt.render(values)
        if self.remaining == 0:
            body = body[: len(body) - len(self.fmt.separator)] + self.fmt.footer
        return body


def _texts(render: Callable[[int], str]) -> UInt8:
    """Texts of all 256 codes, from a function of the int8 value."""
    values = np.arange(256).astype(np.uint8).view(np.int8)
    return np.array([list(render(int(v)).encode("latin-1")) for v in values], np.uint8)


def _hex(value: int) -> str:
    return f"{value & 0xFF:02x}"


def _npy_header(_symbol: str, shape: tuple[int, ...]) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "|i1", "fortran_order": False, "shape": shape})
    return file.getvalue()


def _coe_header(symbol: str, shape: tuple[int, ...]) -> bytes:
    dims = " x ".join(map(str, shape))
    return (
        f"; {symbol}: int8, {dims}, last index fastest\n"
        "memory_initialization_radix=16;\nmemory_initialization_vector=\n"
    ).encode()


def _c_header(symbol: str, shape: tuple[int, ...]) -> bytes:
    dims = " x ".join(map(str, shape))
    return (
        f"/* {symbol}: {dims}, last index fastest. */\n"
        f"#ifndef FXSIM_{symbol.upper()}_H\n#define FXSIM_{symbol.upper()}_H\n"
        f"#include <stdint.h>\nstatic const int8_t {symbol}[{math.prod(shape)}] = {{\n"
    ).encode()


def _no_header(_symbol: str, _shape: tuple[int, ...]) -> bytes:
    return b""


FORMATS = {
    fmt.name: fmt
    for fmt in (
        Format("hex", ".hex", _no_header, _texts(_hex), b"\n", b"\n"),
        Format("npy", ".npy", _npy_header, _texts(lambda v: chr(v & 0xFF)), b"", b""),
        Format("coe", ".coe", _coe_header, _texts(_hex), b",\n", b";\n"),
        Format("c", ".h", _c_header, _texts("{:4d}".format), b",\n", b"\n};\n#endif\n"),
    )
}
"""Every format by name: Verilog's $readmemh, numpy, Xilinx memory initialisation, C header with an int8_t array."""


def decode_slot(fmt: Format, found: bytes) -> str:
    """What stands in a value's place, as a number where it is one, else quoted."""
    matches = (fmt.texts == np.frombuffer(found, np.uint8)).all(axis=1) if len(found) == fmt.texts.shape[1] else None
    if matches is not None and matches.any():
        code: npt.NDArray[np.intp] = np.flatnonzero(matches)
        return str(int(code.astype(np.uint8).view(np.int8)[0]))
    return repr(found.decode("latin-1"))
