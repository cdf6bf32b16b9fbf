"""The values that a device gave in images that differ, by tap: kept in a failure's folder, for `fxsim diff`."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from fxsim.compare import FourState
from fxsim.compare.lineage import Wide
from fxsim.contract.arithmetic import Integers
from fxsim.devices import Layout
from fxsim.devices.four_state import Expected
from fxsim.engines import Engine, run
from fxsim.errors import FileError
from fxsim.graph import INPUT, Model
from fxsim.simulate.differences import Differences, Records

GIVEN_IMAGES = 4
"""Images that are kept, from the first that differs on: bounds memory."""

MODEL, GOT = "model.safetensors", "got"
"""In a failure's folder: the model, and the folder of what was given."""
STIMULUS, TAPS, NUMBERS = "images.npy", "taps", "images.json"
"""In that: the images, a folder with a file a tap, and the images' numbers in the co-simulation's input."""
OUTPUT = "output"
"""File of the device's output, where it differs in another way than the last tap."""


@dataclass(frozen=True, eq=False)
class Given:
    """Images `x` that differ, `numbers` in the input of the co-simulation, and what came: int64 [image, ...] by tap.

    Taps are those of which all values of these images were seen. The device's output stands as its tap; but as
    `OUTPUT`, which is no tap, where it shows that tap too, and gives other wrong values there.
    """

    x: Integers
    numbers: tuple[int, ...]
    taps: Mapping[str, Wide | FourState]

    def write(self, folder: Path) -> None:
        """Write it into a new folder; unknown bits as text, X and Z among the digits."""
        (folder / TAPS).mkdir(parents=True)
        np.save(folder / STIMULUS, self.x)
        for tap, values in self.taps.items():
            if isinstance(values, FourState) and values.unknown.any():
                places = np.ndindex(values.values.shape)
                text = "".join(f"{values.text(at).rjust(values.bits, values.text(at)[0])}\n" for at in places)
                (folder / TAPS / f"{tap}.memb").write_text(text, encoding="ascii")
            else:
                np.save(
                    folder / TAPS / f"{tap}.npy", _least(values.values if isinstance(values, FourState) else values)
                )
        (folder / NUMBERS).write_bytes(msgspec.json.encode(self.numbers))


def _least(values: Wide) -> Integers:
    """The same values in the narrowest signed type that holds them."""
    for dtype in (np.int8, np.int16, np.int32):
        limits = np.iinfo(dtype)
        if not values.size or (limits.min <= values.min() and values.max() <= limits.max):
            return values.astype(dtype)
    return values


def overlay(layout: Layout, stream: str, expected: Mapping[str, Integers], records: Records) -> Wide:
    """A stream's values in one image: the expected ones, and where they differed what came."""
    tap = layout.output_tap if stream == layout.output else stream
    values: Wide = expected[tap][0].astype(np.int64)
    for index, got in zip(records["index"].tolist(), records["got"].tolist(), strict=True):
        values[tuple(layout.index(stream, index).values())] = got
    return values


def given_of(
    layout: Layout,
    shown: Mapping[str, int],
    differences: Differences,
    x: Integers,
    first_image: int,
    engine: Engine | str,
) -> Given | None:
    """The values that a run on images `x` gave in the first that differ and came whole; else those of the very first.

    None where no value differed, or too many to know them. `shown` and `first_image` as `find_origins` has them.
    """
    images = differences.images[:GIVEN_IMAGES]
    if not images:
        return None
    streams = (*layout.compared, layout.output)
    whole = tuple(takewhile(lambda image: all(image < shown[name] for name in streams), images)) or images[:1]
    numbers = {name: number for number, name in enumerate(layout.shown)} | {layout.output: -1}
    expected = run(layout.model, x[list(whole)], layout.needed, engine)
    found: dict[str, Wide | FourState] = {
        name: expected[name].astype(np.int64) for name in layout.stimulus if name != INPUT
    }
    for name in streams:
        if max(whole) < shown[name]:
            own = [{tap: values[at : at + 1] for tap, values in expected.items()} for at in range(len(whole))]
            records = (differences.of(image, numbers[name]) for image in whole)
            values = np.stack([overlay(layout, name, *pair) for pair in zip(own, records, strict=True)])
            found[name] = values
    _name_output(found, layout.output, layout.output_tap, expected[layout.output_tap])
    order = [tap for tap in (*layout.model.graph.taps, OUTPUT) if tap in found]
    return Given(x[list(whole)], tuple(image + first_image for image in whole), {tap: found[tap] for tap in order})


def _name_output(found: dict[str, Wide | FourState], output: str, tap: str, expected: Integers) -> None:
    """Let the output stand as its tap, or beside it where both are wrong in ways of their own."""
    if output not in found or output == tap:
        return
    values = found.pop(output)
    shown = found.get(tap)
    if shown is None or _same(shown, expected):
        found[tap] = values
    elif not _same(values, expected) and not _same(values, shown):
        found[OUTPUT] = values


def _same(values: Wide | FourState, others: Integers | FourState) -> bool:
    """Whether values are the others, unknown bits included."""
    (one, mask), (other, other_mask) = (
        (v.values, v.unknown) if isinstance(v, FourState) else (v, np.zeros(v.shape, np.uint32))
        for v in (values, others)
    )
    return np.array_equal(one, other) and np.array_equal(mask, other_mask)


def given_in_four_states(
    model: Model,
    x: Integers,
    streams: Mapping[str, Expected],
    found: Mapping[str, list[tuple[int, str]]],
    output: str,
    first_image: int,
) -> Given | None:
    """The values that a simulator of four states gave in the first images `x` that differ; None where none does.

    `found`: cycle and bits of the values of each of `streams`. `output`: the name of the one that gives the output.
    """
    graph = model.graph
    read = {e.name: _Stream(e, found[key], graph.tensors[graph.output if e.name == output else e.name].shape)
            for key, e in streams.items() if e.name in (*graph.taps, output)}  # fmt: skip
    every = [image for image in range(min(stream.images for stream in read.values()))
             if any(stream.differs(image) for stream in read.values())]  # fmt: skip
    images = every[:GIVEN_IMAGES] or [0]
    came = {name: stream for name, stream in read.items() if max(images) < stream.images}
    if not any(stream.differs(image) for stream in came.values() for image in images):
        return None
    arrays: dict[str, Wide | FourState] = {name: stream.values(images) for name, stream in came.items()}
    _name_output(arrays, output, graph.output, read[output].right(images))
    order = [tap for tap in (*graph.taps, OUTPUT) if tap in arrays]
    return Given(x[images], tuple(image + first_image for image in images), {tap: arrays[tap] for tap in order})


@dataclass(frozen=True)
class _Stream:
    """A stream of a simulator of four states: what it should give, cycle and bits of what came, shape of an image."""

    expected: Expected
    came: list[tuple[int, str]]
    shape: tuple[int, ...]

    @property
    def images(self) -> int:
        """Images of which all values came."""
        images, size = self.expected.values.shape
        return min(len(self.came) // int(size), int(images))

    def _bits(self, image: int) -> list[str]:
        size = self.expected.values.shape[1]
        return [bits.lower() for _, bits in self.came[image * size : (image + 1) * size]]

    def differs(self, image: int) -> bool:
        """Whether a value of an image is not the right one, or is not known."""
        return any(bits != code for bits, code in zip(self._bits(image), self._codes(image), strict=True))

    def _codes(self, image: int) -> list[str]:
        width = self.expected.bits
        return [f"{value % (1 << width):0{width}b}" for value in self.expected.values[image].tolist()]

    def right(self, images: list[int]) -> Integers:
        """The right values, int64 [image, ...]."""
        right = [_placed(self.expected, self.shape, self._codes(image)) for image in images]
        return np.stack([values for values, _ in right])

    def values(self, images: list[int]) -> FourState:
        """The values that came, int64 [image, ...]."""
        parts = [_placed(self.expected, self.shape, self._bits(image)) for image in images]
        return FourState(np.stack([v for v, _ in parts]), np.stack([u for _, u in parts]), self.expected.bits)


def _placed(expected: Expected, shape: tuple[int, ...], bits: list[str]) -> tuple[Wide, npt.NDArray[np.uint32]]:
    """One image's values and their unknown bits, by their places; what pads a tap's rows is left out.

    A value of another width than it should have is unknown as a whole.
    """
    values, unknown = np.zeros(shape, np.int64), np.zeros(shape, np.uint32)
    for index, text in enumerate(bits):
        at = tuple(expected.place(index).values())
        if all(i < size for i, size in zip(at, shape, strict=True)):
            text = text if len(text) == expected.bits else "x" * expected.bits
            # The coding of Verilog's VPI: X is 1 and unknown, Z is 0 and unknown.
            code = int("".join("1" if bit in "1x" else "0" for bit in text), 2)
            values[at] = code - (code >> len(text) - 1 << len(text))
            unknown[at] = int("".join("0" if bit in "01" else "1" for bit in text), 2)
    return values, unknown


class Failure(NamedTuple):
    """A kept failure, as `fxsim diff` reads it: files, and the numbers of the images."""

    model: Path
    stimulus: Path
    trace: Path
    numbers: tuple[int, ...]


def read_failure(folder: Path) -> Failure:
    """The parts of a kept failure. FileError where it is none, or holds no values of the RTL."""
    if not (folder / MODEL).is_file():
        raise FileError(f"{folder}: is no folder that `fxsim cosim --keep` writes: it has no {MODEL}")
    if not (folder / GOT).is_dir():
        raise FileError(f"{folder}: holds no values that the RTL gave ({GOT}/): it did not fail by a wrong value")
    path = folder / GOT / NUMBERS
    try:
        # A number a kept image, of which there are few.
        with path.open("rb") as file:
            numbers = msgspec.json.decode(file.read(1 << 16), type=tuple[int, ...])
    except (OSError, msgspec.MsgspecError) as error:
        raise FileError(f"{path}: cannot be read: {error}") from None
    return Failure(folder / MODEL, folder / GOT / STIMULUS, folder / GOT / TAPS, numbers)
