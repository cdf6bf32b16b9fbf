"""Packing: which value of a tensor is in which lane of which beat of its stream."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from fxsim.contract import Tensor
from fxsim.contract.arithmetic import Integers
from fxsim.contract.number import Number
from fxsim.devices.described.order import arrange
from fxsim.devices.described.parts import Packing
from fxsim.errors import FileError, ModelError


@dataclass(frozen=True)
class Beats:
    """One image of a tensor in a stream: `lanes` values a beat, each in `slot` bytes for the harness.

    `places`: int64 [beat, lane], the number of the value in the tensor (slowest axis first), -1 where a lane is empty.
    All beats are full but the last of each of `rows` runs of `row_beats`, whose first `tail` lanes hold values.
    `order`: the axes, slowest first, as they were stated. `big_endian`: a value's most significant byte is in its
    lane's lowest bits.
    """

    tensor: Tensor
    number: Number
    lanes: int
    low_first: bool
    row_beats: int
    rows: int
    tail: int
    order: tuple[str, ...]
    places: npt.NDArray[np.int64] = field(repr=False)
    big_endian: bool = False

    def lane(self, value: int) -> int:
        """The lane, counted from the least significant, that value number `value` of a beat is in."""
        return value if self.low_first else self.lanes - 1 - value

    @property
    def slot(self) -> int:
        """Bytes of a value, as the harness sees it: 1, 2 or 4."""
        return self.number.dtype.itemsize

    @property
    def beats(self) -> int:
        """Beats of an image."""
        return self.rows * self.row_beats

    @property
    def image_bytes(self) -> int:
        """Bytes of an image, empty lanes included."""
        return self.beats * self.lanes * self.slot

    def pack(self, values: Integers) -> npt.NDArray[np.uint8]:
        """Bytes [image, byte] of values [image, *shape]; empty lanes are 0."""
        flat = np.ascontiguousarray(values).reshape(len(values), -1)
        beats = flat[:, self.places.reshape(-1)].astype(self.number.dtype)
        beats[:, self.places.reshape(-1) < 0] = 0
        return np.ascontiguousarray(beats).view(np.uint8).reshape(len(values), -1)

    def index(self, value: int) -> dict[str, int]:
        """The index by axis of the value that comes as number `value` in an image's stream."""
        order = self.places[self.places >= 0]
        # A value too many has no place: it is counted on from the last.
        at = np.unravel_index(int(order[min(value, order.size - 1)]), self.tensor.shape)
        return {axis: int(i) for axis, i in zip(self.tensor.axes, at, strict=True)}


def turned(value: int, bits: int) -> int:
    """A value of so many bits, whole bytes, with its bytes from the last to the first."""
    return int.from_bytes(value.to_bytes(bits // 8, "little"), "big")


def is_big(byte_order: str, bits: int, what: str, where: str) -> bool:
    """Whether bytes are in big-endian order; FileError, which begins with `where`, of a value without such an order.

    `what` has those bits.
    """
    if byte_order == "big" and (bits % 8 != 0 or bits == 8):
        raise FileError(
            f"{where}: byte_order is 'big', and {what} has {bits} bits, expected 16, 24 or 32: it turns the bytes of "
            "one value, not lanes"
        )
    return byte_order == "big"


def make_beats(packing: Packing, tensor: Tensor, where: str) -> Beats:
    """The packing of a tensor; FileError, which begins with `where`, for an order or number that does not fit it."""
    try:
        number = tensor.number if packing.number is None else Number.parse(packing.number)
    except ModelError as error:
        raise FileError(f"{where}: {error}") from None
    if number.bipolar:
        raise FileError(f"{where}: a lane is {number}; expected another number, such as int2, which holds -1 and 1")
    if number.low > tensor.number.low or number.high < tensor.number.high:
        raise FileError(f"{where}: a lane is {number}, which cannot hold every {tensor.number} of the model")
    big = is_big(packing.byte_order, number.bits, "a lane", where)
    order = tensor.axes if packing.order is None else packing.order
    grid = arrange(tensor.axes, tensor.shape, order, where)
    rows = grid.reshape(-1, grid.shape[-1]) if packing.pack == "row" else grid.reshape(1, -1)
    row_beats = -(-rows.shape[1] // packing.lanes)
    places = np.full((len(rows), row_beats * packing.lanes), -1, np.int64)
    places[:, : rows.shape[1]] = rows
    return Beats(
        tensor,
        number,
        packing.lanes,
        packing.lane_order == "low",
        row_beats,
        len(rows),
        rows.shape[1] - (row_beats - 1) * packing.lanes,
        tuple(order),
        places.reshape(-1, packing.lanes),
        big,
    )
