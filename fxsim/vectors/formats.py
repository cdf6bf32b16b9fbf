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
    about: str
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

    def size(self, symbol: str, shape: tuple[int, ...]) -> int:
        """Bytes of a whole file."""
        return len(self.header(symbol, shape)) + math.prod(shape) * self.slot - len(self.separator) + len(self.footer)


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
        f"/* {symbol}: {dims}, last index fastest. */\n#ifndef FXSIM_{symbol.upper()}_H\n#define FXSIM_{symbol.upper()}_H\n"
        f"#include <stdint.h>\nstatic const int8_t {symbol}[{math.prod(shape)}] = {{\n"
    ).encode()


def _no_header(_symbol: str, _shape: tuple[int, ...]) -> bytes:
    return b""


FORMATS = {
    fmt.name: fmt
    for fmt in (
        Format("hex", ".hex", "Verilog's $readmemh: a byte in hexadecimal a line", _no_header, _texts(_hex), b"\n", b"\n"),
        Format("npy", ".npy", "numpy's own", _npy_header, _texts(lambda v: chr(v & 0xFF)), b"", b""),
        Format("coe", ".coe", "Xilinx memory initialisation, radix 16", _coe_header, _texts(_hex), b",\n", b";\n"),
        Format("c", ".h", "C header: a static const int8_t array", _c_header, _texts("{:4d}".format), b",\n", b"\n};\n#endif\n"),
    )
}
"""Every format by name."""


def decode_slot(fmt: Format, found: bytes) -> str:
    """What stands in a value's place, as a number where it is one, else quoted."""
    matches = (fmt.texts == np.frombuffer(found, np.uint8)).all(axis=1) if len(found) == fmt.texts.shape[1] else None
    if matches is not None and matches.any():
        code: npt.NDArray[np.intp] = np.flatnonzero(matches)
        return str(int(code.astype(np.uint8).view(np.int8)[0]))
    return repr(found.decode("latin-1"))
