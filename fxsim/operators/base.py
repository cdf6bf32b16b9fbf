"""The base of all operators: frozen records that check themselves, their tensors, and tables about them."""

import dataclasses
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from fxsim.contract import (
    ACC_BITS_MAX,
    CHANNEL,
    COLUMN,
    DIMENSION_MAX,
    ROW,
    Number,
    Pair,
    Tensor,
    bias_number,
    window_places,
)
from fxsim.contract.arithmetic import Int64
from fxsim.errors import ModelError

ACTIVATION_BITS = (1, 16)
"""Narrowest and widest number that operators take and give, in bits."""

SUM_BITS = (1, 32)
"""Narrowest and widest signed number of a sum that is neither rounded nor saturated, in bits."""

WEIGHT_BITS = (1, 8)
"""Narrowest and widest signed weight, in bits."""


@dataclass(frozen=True)
class Cost:
    """The cost of one operator for one image.

    `macs`: multiply-accumulates of a linear or a convolution; `products`: other multiplications; `parameters`: weights,
    biases and shifts, in numbers; `table_bytes`: stored entries of tables and thresholds, in bytes.
    """

    macs: int = 0
    products: int = 0
    parameters: int = 0
    table_bytes: int = 0


class Operator:
    """Base of every operator: a frozen dataclass whose fields are its tensors and attributes.

    A subclass states `kind` (its name in files), `arity` (inputs it takes), `tensors` and `attributes` (names of its
    arrays and of all else that a file states of it, in the order of files), and the methods below.
    """

    kind: ClassVar[str]
    arity: ClassVar[int]
    tensors: ClassVar[tuple[str, ...]] = ()
    attributes: ClassVar[tuple[str, ...]] = ()

    def result(self, *inputs: Tensor) -> Tensor:
        """The tensor that it gives of these inputs; ModelError where it cannot take them."""
        raise NotImplementedError

    def accumulator_range(self, *inputs: Tensor) -> tuple[Int64, Int64] | None:  # noqa: ARG002  # those that sum use it
        """Least and greatest accumulator value for any such inputs, int64 [N] each; None where it does not sum."""
        return None

    def cost(self, result: Tensor) -> Cost:  # noqa: ARG002  # those that cost something use it
        """The cost of computing `result` once."""
        return Cost()

    def arrays(self) -> Iterator[tuple[str, npt.NDArray[np.integer]]]:
        """Its tensors by name."""
        return ((name, getattr(self, name)) for name in self.tensors)

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


# --- Tables of what a room says about operators ----------------------------------------------------------------------

Row = TypeVar("Row")


@dataclass(frozen=True)
class NotTaken:
    """A row of a table that says why an operator is not taken there; `reason` ends the sentence "not taken, ..."."""

    reason: str


class OperatorTable(Generic[Row]):
    """A room's row for each kind of operator: a function, or why there is none.

    `name` says whose table it is, as the subject of a sentence. A test holds the rows of every table in `TABLES` equal
    to the set of operators.
    """

    def __init__(self, name: str, rows: Mapping[type[Operator], Row | NotTaken]) -> None:
        self.name = name
        self.rows: dict[type[Operator], Row | NotTaken] = dict(rows)
        TABLES[name] = self

    def __getitem__(self, kind: type[Operator]) -> Row:
        """The row of a kind; ModelError where it is not taken or not known."""
        row = self.rows.get(kind, NotTaken("because nothing states how"))
        if isinstance(row, NotTaken):
            raise ModelError(f"{self.name} does not take the operator '{kind.kind}', {row.reason}")
        return row


TABLES: dict[str, OperatorTable[Any]] = {}
"""Every table there is, by name: filled as the rooms are imported."""


# --- Checks that the records make ------------------------------------------------------------------------------------

Choice = TypeVar("Choice", bound=StrEnum)


def integer(value: object, what: str) -> int:
    """`value` as an int if it is one, of whatever integer type."""
    try:
        return operator.index(value)  # type: ignore[arg-type]  # anything else raises
    except TypeError:
        raise ModelError(f"{what} is {value!r}, expected a whole number") from None


def choice(value: str, choices: type[Choice], what: str) -> Choice:
    """The member of `choices` that `value` names."""
    if value not in tuple(choices):
        raise ModelError(f"{what} is {value!r}, expected {' or '.join(choices)}")
    return choices(value)


def checked_array(value: npt.ArrayLike, dtype: npt.DTypeLike, ndim: int, what: str) -> Any:
    """A read-only, contiguous copy of `value`, which must already have exactly this type and number of dimensions."""
    try:
        array = np.asarray(value)
    except ValueError:
        raise ModelError(f"{what} has rows of different lengths, expected {ndim} non-empty dimension(s)") from None
    if array.dtype != dtype:
        raise ModelError(f"{what} has type {array.dtype}, expected {np.dtype(dtype)}")
    if array.ndim != ndim or 0 in array.shape:
        raise ModelError(f"{what} has shape {array.shape}, expected {ndim} non-empty dimension(s)")
    # On bytes, which nothing can make writeable again.
    return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)


def checked_values(value: npt.ArrayLike, number: Number, ndim: int, what: str) -> Any:
    """A read-only copy of `value`: of the format's numpy type, every value in its range."""
    array = checked_array(value, number.dtype, ndim, what)
    if not number.holds(array):
        raise ModelError(f"{what} reaches from {array.min()} to {array.max()}, expected {number}")
    return array


def checked_number(
    value: Number, bits: tuple[int, int], what: str, signed: bool = False, bipolar: bool = False
) -> Number:
    """`value` if it is a number format of a width within `bits`; `signed`: and signed; `bipolar`: which it may be."""
    if not isinstance(value, Number):
        raise ModelError(f"{what} is {value!r}, expected a number format")
    if value.bipolar and not bipolar:
        raise ModelError(f"{what} is {value}, expected one that holds 0 too")
    if not bits[0] <= value.bits <= bits[1] or (signed and not value.signed):
        raise ModelError(
            f"{what} is {value}, expected {'a signed number' if signed else 'one'} of {bits[0]} to {bits[1]} bits"
        )
    return value


def checked_acc_bits(acc_bits: int, what: str) -> int:
    """A width of an accumulator, in bits."""
    bits = integer(acc_bits, f"{what} accumulator width")
    if not 2 <= bits <= ACC_BITS_MAX:
        raise ModelError(f"{what} accumulator width is {bits} bits, expected 2 to {ACC_BITS_MAX}")
    return bits


def check_requantisation(op: Any, what: str, ndim: int, sums: bool = False) -> None:
    """Check and set the fields that linear and affine share: weight, bias, shift and their formats.

    `sums`: a signed result may be as wide as a sum.
    """
    number = checked_number(op.weight_number, WEIGHT_BITS, f"{what} weight number", signed=True, bipolar=True)
    bits = SUM_BITS if sums and getattr(op.out, "signed", False) else ACTIVATION_BITS
    out = checked_number(op.out, bits, f"{what} result number")
    set_field(op, "weight", checked_values(op.weight, number, ndim, f"{what} weight"))
    set_field(op, "bias", checked_values(op.bias, bias_number(out), 1, f"{what} bias"))
    set_field(op, "shift", checked_array(op.shift, np.uint8, 1, f"{what} shift"))
    count = op.weight.shape[0]
    for name in ("bias", "shift"):
        if getattr(op, name).shape != (count,):
            raise ModelError(f"{what} {name} has shape {getattr(op, name).shape}, expected ({count},)")


def set_field(op: Any, name: str, value: object) -> None:
    """Set a field of a frozen record while it is built."""
    object.__setattr__(op, name, value)


def check_channels(what: str, shape: tuple[int, ...], count: int) -> None:
    """ModelError unless the last axis of a shape has so many channels."""
    if shape[-1:] != (count,):
        raise ModelError(f"{what} has shape {shape}, expected {count} channels")


def checked_shift(value: npt.ArrayLike, count: int, what: str) -> Any:
    """A read-only copy of uint8 shifts, one for each of `count` channels."""
    shift = checked_array(value, np.uint8, 1, f"{what} shift")
    check_channels(f"{what} shift", shift.shape, count)
    return shift


def check_input(x: Tensor, what: str, bipolar: bool = False, sums: bool = False) -> None:
    """ModelError unless operators compute with numbers of this format; `bipolar`, `sums`: those that take such too."""
    if sums and x.number.signed:
        checked_number(x.number, SUM_BITS, f"{what} input", bipolar=bipolar)
    else:
        checked_number(x.number, ACTIVATION_BITS, f"{what} input", bipolar=bipolar)


def checked_sizes(values: object, count: int, least: int, what: str) -> Any:
    """A tuple of `count` whole numbers of `least` to `DIMENSION_MAX`."""
    expected = f"{count} numbers of {least} to {DIMENSION_MAX}"
    if not isinstance(values, list | tuple) or len(values) != count:
        raise ModelError(f"{what} is {values!r}, expected {expected}")
    sizes = tuple(integer(value, what) for value in values)
    if not all(least <= size <= DIMENSION_MAX for size in sizes):
        raise ModelError(f"{what} is {sizes}, expected {expected}")
    return sizes


def checked_order(order: object, kind: str) -> tuple[int, ...]:
    """Numbers of axes, slowest first; `check_order` holds them to a tensor's."""
    if not isinstance(order, list | tuple):
        raise ModelError(f"{kind} order is {order!r}, expected numbers of axes")
    return tuple(integer(place, f"{kind} order") for place in order)


def check_order(order: tuple[int, ...], x: Tensor, kind: str) -> None:
    """ModelError unless an order has each axis of a tensor once."""
    if sorted(order) != list(range(len(x.axes))):
        raise ModelError(f"{kind} has the order {order}, expected each of the {len(x.axes)} axes once")


def windowed(
    x: Tensor, what: str, kernel: Pair, stride: Pair, dilation: Pair = (1, 1), padding: Pair = (0, 0)
) -> tuple[int, ...]:
    """Places of a window in the rows and the columns of an image; ModelError unless it has such, and channels.

    `padding`: rows and columns that are put around it, of both sides together.
    """
    if x.axes != (ROW, COLUMN, CHANNEL):
        raise ModelError(f"{what} takes rows, columns and channels, its input has the axes {', '.join(x.axes)}")
    places = tuple(window_places(x.shape[i] + padding[i], kernel[i], stride[i], dilation[i]) for i in range(2))
    if min(places) < 1:
        raise ModelError(f"{what} of {kernel[0]} x {kernel[1]} does not fit into an input of shape {x.shape}")
    return places
