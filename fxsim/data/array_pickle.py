"""Plain values out of pickles, without pickle: nothing is imported, nothing in the file is called.

CIFAR-10's python batches are pickles, and unpickling runs whatever a file asks for. Here the opcodes, cut up by the
standard library's pickletools, are followed by a small interpreter. It knows what a dict of texts, whole numbers, lists
and uint8 arrays is made of in protocol 2, from Python 2 or 3 and numpy 1 or 2; at anything else it stops.
"""

import io
import math
import pickletools
from pathlib import Path
from typing import Any

import numpy as np

from fxsim.data.folder import printable
from fxsim.data.pictures import UInt8
from fxsim.errors import FileError

_OPCODES_MAX = 1 << 18
"""A CIFAR-10 batch has some 50,000; each makes at most one value, so this bounds time and memory."""


class _Name:
    """A name that a pickle refers to: one of five, never looked up."""


_RECONSTRUCT, _NDARRAY, _DTYPE, _ENCODE = _Name(), _Name(), _Name(), _Name()

_NAMES = {
    "numpy.core.multiarray _reconstruct": _RECONSTRUCT,
    "numpy._core.multiarray _reconstruct": _RECONSTRUCT,
    "numpy ndarray": _NDARRAY,
    "numpy dtype": _DTYPE,
    # How Python 3 writes bytes in protocol 2: encode(text, "latin1").
    "_codecs encode": _ENCODE,
}

_DTYPE_STATE = (3, "|", None, None, None, -1, -1, 0)
"""State that numpy keeps of uint8: version, byte order, and nothing of subarrays, fields, sizes, flags."""


class _Array:
    """An array: no value before its state came."""

    value: UInt8 | None = None


class _Dtype:
    """The type uint8, the only one there is."""


class _Mark:
    """Places on the stack where a list, tuple or dict begins."""


_MARK = _Mark()

_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = ("BININT", "BININT1", "BININT2", "LONG1", "BINSTRING", "SHORT_BINSTRING", "BINUNICODE")
_SHORT_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}


class _RefusedError(Exception):
    """The reason why the present opcode is not followed."""


def read_pickle(path: Path, content: bytes) -> dict[str, Any]:
    """The dict that `content`, the pickle at `path`, holds: its values by key, arrays as uint8.

    Keys are texts; bytes and the strings of Python 2 are read as Latin-1. FileError, with opcode and byte offset, where
    the pickle is cut short, asks for anything but plain values and uint8 arrays, or is longer than a batch can be.
    """
    file = io.BytesIO(content)
    machine = _Machine(len(content))
    opcodes = pickletools.genops(file)
    for _ in range(_OPCODES_MAX):
        offset = file.tell()
        try:
            opcode, argument, _ = next(opcodes)
        except Exception as error:
            # pickletools: an unknown opcode, an argument that is cut short or cannot be decoded.
            shown = printable(str(error).split("\n")[0], 120)
            raise FileError(f"{path}: byte {offset:,}: the pickle is damaged or cut short: {shown}") from None
        try:
            machine.follow(opcode.name, argument)
        except _RefusedError as error:
            raise FileError(f"{path}: byte {offset:,}: opcode {opcode.name}: {error}") from None
        if opcode.name == "STOP":
            excess = len(content) - file.tell()
            if excess:
                raise FileError(f"{path}: has {excess:,} bytes after the pickle, expected none")
            return _top(path, machine.stack)
    raise FileError(f"{path}: has more than {_OPCODES_MAX:,} opcodes, expected the pickle of a CIFAR-10 batch")


def _top(path: Path, stack: list[Any]) -> dict[str, Any]:
    if len(stack) != 1 or type(stack[0]) is not dict:
        raise FileError(f"{path}: holds something other than one dict, expected the pickle of a CIFAR-10 batch")
    return {key: value.value if isinstance(value, _Array) else value for key, value in stack[0].items()}


class _Machine:
    """The stack and the memo of a pickle; `size` is its bytes, which bounds what may be made from it."""

    def __init__(self, size: int) -> None:
        self.stack: list[Any] = []
        self._memo: dict[int, Any] = {}
        self._bytes_left = size

    def follow(self, name: str, argument: Any) -> None:
        if name in _LITERALS:
            self.stack.append(argument)
        elif name in _CONSTANTS:
            self.stack.append(_CONSTANTS[name])
        elif name in _SHORT_TUPLES:
            self.stack.append(tuple(self._pop_many(_SHORT_TUPLES[name])))
        elif name in ("BINPUT", "LONG_BINPUT"):
            self._memo[argument] = self._top()
        elif name in ("BINGET", "LONG_BINGET"):
            if argument not in self._memo:
                raise _RefusedError(f"memo {argument} is empty")
            self.stack.append(self._memo[argument])
        elif name == "EMPTY_DICT":
            self.stack.append({})
        elif name == "EMPTY_LIST":
            self.stack.append([])
        elif name == "MARK":
            self.stack.append(_MARK)
        elif name == "TUPLE":
            self.stack.append(tuple(self._pop_to_mark()))
        elif name == "APPEND":
            self._extend(self._pop_many(1))
        elif name == "APPENDS":
            self._extend(self._pop_to_mark())
        elif name == "SETITEM":
            self._update(self._pop_many(2))
        elif name == "SETITEMS":
            self._update(self._pop_to_mark())
        elif name == "GLOBAL":
            if argument not in _NAMES:
                raise _RefusedError(
                    f"refers to '{printable(argument)}', expected nothing but plain values and uint8 arrays"
                )
            self.stack.append(_NAMES[argument])
        elif name == "REDUCE":
            callee, arguments = self._pop_many(2)
            self.stack.append(self._reduce(callee, arguments))
        elif name == "BUILD":
            (state,) = self._pop_many(1)
            self._build(self._top(), state)
        elif name == "PROTO":
            if argument != 2:
                raise _RefusedError(f"protocol {argument}, expected 2")
        elif name != "STOP":
            raise _RefusedError(
                "does not belong in a CIFAR-10 batch, expected plain values and uint8 arrays in protocol 2"
            )

    def _top(self) -> Any:
        if not self.stack or self.stack[-1] is _MARK:
            raise _RefusedError("the stack is empty")
        return self.stack[-1]

    def _pop_many(self, count: int) -> list[Any]:
        start = len(self.stack) - count
        # Identity, not equality: what is on the stack may contain itself.
        if start < 0 or any(value is _MARK for value in self.stack[start:]):
            raise _RefusedError(f"the stack has fewer than {count} values")
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def _pop_to_mark(self) -> list[Any]:
        for start in range(len(self.stack) - 1, -1, -1):
            if self.stack[start] is _MARK:
                values = self.stack[start + 1 :]
                del self.stack[start:]
                return values
        raise _RefusedError("there is no mark on the stack")

    def _extend(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is not list:
            raise _RefusedError("appends to something other than a list")
        target.extend(values)

    def _update(self, values: list[Any]) -> None:
        target = self._top()
        if type(target) is not dict or len(values) % 2:
            raise _RefusedError("sets items of something other than a dict, or a key without a value")
        for key, value in zip(values[::2], values[1::2], strict=True):
            if type(key) is bytes:
                key = key.decode("latin-1")
            # Texts only: the hash of a deeply nested tuple would exhaust the interpreter's own stack.
            if type(key) is not str:
                raise _RefusedError("a dict's key is not a text")
            if key in target:
                raise _RefusedError(f"a dict has the key '{printable(key)}' twice")
            target[key] = value

    def _reduce(self, callee: Any, arguments: Any) -> Any:
        if type(arguments) is tuple:
            if callee is _ENCODE and len(arguments) == 2 and _same(arguments[1:], ("latin1",)):
                return self._encode(arguments[0])
            if callee is _RECONSTRUCT and len(arguments) == 3 and arguments[0] is _NDARRAY:
                # The bytes b"b" are a string where Python 2 wrote them.
                if _same(arguments[1:], ((0,), "b")) or _same(arguments[1:], ((0,), b"b")):
                    return _Array()
            elif callee is _DTYPE and (_same(arguments, ("u1", 0, 1)) or _same(arguments, ("u1", False, True))):
                return _Dtype()
        raise _RefusedError("calls something, expected nothing but what makes bytes and uint8 arrays")

    def _encode(self, text: Any) -> bytes:
        if type(text) is not str:
            raise _RefusedError("encodes something other than a text")
        # One long text could be encoded again and again.
        self._bytes_left -= len(text)
        if self._bytes_left < 0:
            raise _RefusedError("makes more bytes than the file has")
        try:
            return text.encode("latin-1")
        except UnicodeEncodeError:
            raise _RefusedError("encodes characters that are not bytes") from None

    def _build(self, target: Any, state: Any) -> None:
        if type(target) is _Dtype:
            if not _same(state, _DTYPE_STATE):
                raise _RefusedError("the state of a type is not that of uint8")
            return
        if type(target) is not _Array or target.value is not None:
            raise _RefusedError("sets the state of something other than a new array")
        if type(state) is not tuple or len(state) != 5 or not _same(state[:1], (1,)):
            raise _RefusedError("the state of an array is not (1, shape, type, order, bytes)")
        _, shape, dtype, fortran, data = state
        if type(dtype) is not _Dtype or not (fortran is False or _same((fortran,), (0,))):
            raise _RefusedError("an array is not of type uint8 in row-major order")
        if type(shape) is not tuple or not all(type(n) is int and n >= 0 for n in shape) or len(shape) > 4:
            raise _RefusedError("the shape of an array is not up to four whole numbers")
        if type(data) is str:
            data = self._encode(data)
        if type(data) is not bytes or len(data) != math.prod(shape):
            raise _RefusedError("the bytes of an array do not fit its shape")
        target.value = np.frombuffer(data, np.uint8).reshape(shape)


def _same(value: Any, expected: Any) -> bool:
    """Whether values are equal and of the same types; looks no deeper than `expected` goes."""
    if type(value) is not type(expected):
        return False
    if isinstance(expected, tuple):
        return len(value) == len(expected) and all(_same(a, b) for a, b in zip(value, expected, strict=True))
    return bool(value == expected)
