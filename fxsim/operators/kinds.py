"""The operators of the contract as frozen records. One that is illegal cannot be built."""

import dataclasses
import operator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from fxsim.contract import (
    ADD_ACC_BITS,
    AFFINE_ACC_BITS,
    INT8_MAX,
    INT8_MIN,
    TABLE_POINTS,
    TableRule,
    linear_acc_bits,
    pool_acc_bits,
    stored_points,
    worst_case_sums,
)
from fxsim.contract.arithmetic import Int8, Int64, UInt8
from fxsim.errors import ModelError

Shape = tuple[int, ...]
"""(tokens, channels), or (channels,) after the pool."""

ACC_BITS_MAX = 32
"""Widest accumulator that the compiled engine and the RTL support, in bits."""


class Axis(StrEnum):
    """What a linear sums over."""

    CHANNELS = "channels"
    TOKENS = "tokens"


def _checked(value: npt.ArrayLike, dtype: type[np.generic], ndim: int, what: str) -> Any:
    """A read-only, contiguous copy of `value`, which must already have exactly this type and number of dimensions."""
    array = np.asarray(value)
    if array.dtype != dtype:
        raise ModelError(f"{what} has type {array.dtype}, expected {np.dtype(dtype)}")
    if array.ndim != ndim or 0 in array.shape:
        raise ModelError(f"{what} has shape {array.shape}, expected {ndim} non-empty dimension(s)")
    array = np.array(array, order="C")
    array.flags.writeable = False
    return array


def integer(value: object, what: str) -> int:
    """`value` as an int if it is one, of whatever integer type."""
    try:
        return operator.index(value)  # type: ignore[arg-type]  # anything else raises
    except TypeError:
        raise ModelError(f"{what} is {value!r}, expected a whole number") from None


Choice = TypeVar("Choice", bound=StrEnum)


def choice(value: str, choices: type[Choice], what: str) -> Choice:
    """The member of `choices` that `value` names."""
    if value not in tuple(choices):
        raise ModelError(f"{what} is {value!r}, expected {' or '.join(choices)}")
    return choices(value)


class _Record:
    """Equality by value, and pickling that checks again, for frozen dataclasses that hold arrays."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Through the constructor: arrays come back read-only, and a doctored pickle cannot make an illegal record.
        return type(self), tuple(getattr(self, f.name) for f in dataclasses.fields(self))  # type: ignore[arg-type]

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return NotImplemented
        return all(
            np.array_equal(getattr(self, f.name), getattr(other, f.name))
            for f in dataclasses.fields(self)  # type: ignore[arg-type]  # every subclass is a dataclass
        )

    __hash__ = None  # type: ignore[assignment]  # arrays cannot be hashed


def _check_per_channel(bias: Int8, shift: UInt8, count: int, what: str) -> None:
    for name, array in (("bias", bias), ("shift", shift)):
        if array.shape != (count,):
            raise ModelError(f"{what} {name} has shape {array.shape}, expected ({count},)")


def _checked_acc_bits(acc_bits: int, what: str) -> int:
    bits = integer(acc_bits, f"{what} accumulator width")
    if not 2 <= bits <= ACC_BITS_MAX:
        raise ModelError(f"{what} accumulator width is {bits} bits, expected 2 to {ACC_BITS_MAX}")
    return bits


@dataclass(frozen=True, eq=False)
class Linear(_Record):
    """y[n] = sat8(round_shift(sum_k x[k] * weight[n, k], shift[n]) + bias[n]), over channels or over tokens.

    `weight` int8 [N, K], `bias` int8 [N], `shift` uint8 [N]. Over channels: (T, K) to (T, N), or (K,) to (N,).
    Over tokens: (K, C) to (N, C), each channel on its own. `acc_bits`: signed accumulator width, by default
    16 + ceil(log2 K).
    """

    kind: ClassVar[str] = "linear"
    arity: ClassVar[int] = 1
    weight: Int8
    bias: Int8
    shift: UInt8
    over: Axis = Axis.CHANNELS
    acc_bits: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _checked(self.weight, np.int8, 2, "linear weight"))
        object.__setattr__(self, "bias", _checked(self.bias, np.int8, 1, "linear bias"))
        object.__setattr__(self, "shift", _checked(self.shift, np.uint8, 1, "linear shift"))
        object.__setattr__(self, "over", choice(self.over, Axis, "linear over"))
        _check_per_channel(self.bias, self.shift, self.weight.shape[0], "linear")
        acc_bits = linear_acc_bits(self.weight.shape[1]) if self.acc_bits == 0 else self.acc_bits
        object.__setattr__(self, "acc_bits", _checked_acc_bits(acc_bits, "linear"))

    def output_shape(self, x: Shape) -> Shape:
        """Shape of the result for an input of shape `x`; ModelError where it does not fit."""
        outputs, inputs = self.weight.shape
        if self.over is Axis.TOKENS:
            if len(x) != 2 or x[0] != inputs:
                raise ModelError(f"linear over {inputs} tokens cannot take an input of shape {x}")
            return (outputs, x[1])
        if x[-1] != inputs:
            raise ModelError(f"linear over {inputs} channels cannot take an input of shape {x}")
        return (*x[:-1], outputs)

    def accumulator_range(self) -> tuple[Int64, Int64]:
        """Least and greatest accumulator value for any int8 input, int64 [N] each."""
        return worst_case_sums(self.weight)


@dataclass(frozen=True, eq=False)
class Affine(_Record):
    """y[c] = sat8(round_shift(x[c] * weight[c], shift[c]) + bias[c]); `weight`, `bias` int8 [C], `shift` uint8 [C]."""

    kind: ClassVar[str] = "affine"
    arity: ClassVar[int] = 1
    weight: Int8
    bias: Int8
    shift: UInt8
    acc_bits: int = AFFINE_ACC_BITS

    def __post_init__(self) -> None:
        object.__setattr__(self, "weight", _checked(self.weight, np.int8, 1, "affine weight"))
        object.__setattr__(self, "bias", _checked(self.bias, np.int8, 1, "affine bias"))
        object.__setattr__(self, "shift", _checked(self.shift, np.uint8, 1, "affine shift"))
        _check_per_channel(self.bias, self.shift, self.weight.shape[0], "affine")
        object.__setattr__(self, "acc_bits", _checked_acc_bits(self.acc_bits, "affine"))

    def output_shape(self, x: Shape) -> Shape:
        """The input's shape; ModelError where its channels do not fit."""
        if x[-1] != self.weight.shape[0]:
            raise ModelError(f"affine of {self.weight.shape[0]} channels cannot take an input of shape {x}")
        return x

    def accumulator_range(self) -> tuple[Int64, Int64]:
        """Least and greatest product for any int8 input, int64 [C] each."""
        return worst_case_sums(self.weight[:, None])


@dataclass(frozen=True)
class Relu:
    """y = max(x, 0)."""

    kind: ClassVar[str] = "relu"
    arity: ClassVar[int] = 1

    def output_shape(self, x: Shape) -> Shape:
        """The input's shape."""
        return x


@dataclass(frozen=True, eq=False)
class Lut(_Record):
    """One 1-D function a channel.

    `table` int8 [C, 256] under `full`; [C, P] under `clamp` and `hold`; [C, P + 1] under `endpoint`; P a power of two
    from 4 to 256.
    """

    kind: ClassVar[str] = "lut"
    arity: ClassVar[int] = 1
    table: Int8
    rule: TableRule

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", _checked(self.table, np.int8, 2, "lut table"))
        object.__setattr__(self, "rule", choice(self.rule, TableRule, "lut rule"))
        legal = (256,) if self.rule is TableRule.FULL else tuple(stored_points(p, self.rule) for p in TABLE_POINTS)
        if self.table.shape[1] not in legal:
            raise ModelError(
                f"lut table stores {self.table.shape[1]} points a channel, expected {' or '.join(map(str, legal))} "
                f"under rule '{self.rule}'"
            )

    @property
    def points(self) -> int:
        """P, the number of points the 256 input codes are divided by (256 for a full table)."""
        return int(self.table.shape[1]) - (self.rule is TableRule.ENDPOINT)

    def output_shape(self, x: Shape) -> Shape:
        """The input's shape; ModelError where its channels do not fit."""
        if x[-1] != self.table.shape[0]:
            raise ModelError(f"lut of {self.table.shape[0]} channels cannot take an input of shape {x}")
        return x


@dataclass(frozen=True)
class Add:
    """y = sat8(x + r), of two inputs of one shape."""

    kind: ClassVar[str] = "add"
    arity: ClassVar[int] = 2
    acc_bits: int = ADD_ACC_BITS

    def __post_init__(self) -> None:
        object.__setattr__(self, "acc_bits", _checked_acc_bits(self.acc_bits, "add"))

    def output_shape(self, x: Shape, r: Shape) -> Shape:
        """The shape both inputs share; ModelError where they differ."""
        if x != r:
            raise ModelError(f"add cannot join inputs of shapes {x} and {r}")
        return x

    def accumulator_range(self) -> tuple[Int64, Int64]:
        """Least and greatest sum of two int8 values, int64 [1] each."""
        return np.array([2 * INT8_MIN]), np.array([2 * INT8_MAX])


@dataclass(frozen=True)
class Pool:
    """Average over T = 2^t tokens, rounded half up: (T, C) to (C,). `tokens` is T; `acc_bits` by default 8 + t."""

    kind: ClassVar[str] = "pool"
    arity: ClassVar[int] = 1
    tokens: int
    acc_bits: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", integer(self.tokens, "pool tokens"))
        if self.tokens < 1 or self.tokens & (self.tokens - 1):
            raise ModelError(f"pool is over {self.tokens} tokens, expected a power of two")
        acc_bits = pool_acc_bits(self.tokens) if self.acc_bits == 0 else self.acc_bits
        object.__setattr__(self, "acc_bits", _checked_acc_bits(acc_bits, "pool"))

    def output_shape(self, x: Shape) -> Shape:
        """(C,); ModelError unless the input is (tokens, C)."""
        if len(x) != 2 or x[0] != self.tokens:
            raise ModelError(f"pool over {self.tokens} tokens cannot take an input of shape {x}")
        return (x[1],)

    def accumulator_range(self) -> tuple[Int64, Int64]:
        """Least and greatest sum of `tokens` int8 values, int64 [1] each."""
        return np.array([self.tokens * INT8_MIN]), np.array([self.tokens * INT8_MAX])


Operator = Linear | Affine | Relu | Lut | Add | Pool
"""Each has `kind`, `arity` and `output_shape`; those that sum also have `acc_bits` and `accumulator_range`."""
