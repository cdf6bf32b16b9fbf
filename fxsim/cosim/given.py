"""The values that a device gave in images that differ, by tap: kept in a failure's folder, for `fxsim diff`."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile

import numpy as np
import numpy.typing as npt

from fxsim.compare import FourState
from fxsim.compare.lineage import Wide
from fxsim.contract.arithmetic import Integers
from fxsim.devices import Layout
from fxsim.devices.four_state import Expected
from fxsim.engines import Engine, run
from fxsim.graph import INPUT
from fxsim.simulate.differences import Differences, Records
from fxsim.traces.kept import Given

GIVEN_IMAGES = 4
"""Images that are kept, from the first that differs on: bounds memory."""

OUTPUT = "output"
"""Name of the device's output, where it differs in another way than the tap that it carries."""


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
    layout: Layout,
    x: Integers,
    streams: Mapping[str, Expected],
    found: Mapping[str, list[tuple[int, str]]],
    first_image: int,
    engine: Engine | str,
) -> Given | None:
    """The values that a simulator of four states gave in the first images `x` that differ; None where none does.

    `found`: cycle and bits of the values of each of `streams`.
    """
    graph, output = layout.model.graph, layout.output
    read = {e.name: _Stream(e, found[key], graph.tensors[layout.output_tap if e.name == output else e.name].shape)
            for key, e in streams.items() if e.name in (*graph.taps, output)}  # fmt: skip
    every = [image for image in range(min(stream.images for stream in read.values()))
             if any(stream.differs(image) for stream in read.values())]  # fmt: skip
    images = every[:GIVEN_IMAGES] or [0]
    came = {name: stream for name, stream in read.items() if max(images) < stream.images}
    if not any(stream.differs(image) for stream in came.values() for image in images):
        return None
    inside = tuple(name for name in layout.stimulus if name != INPUT)
    arrays: dict[str, Wide | FourState] = {}
    if inside:
        arrays |= {tap: v.astype(np.int64) for tap, v in run(layout.model, x[images], inside, engine).items()}
    arrays |= {name: stream.values(images) for name, stream in came.items()}
    _name_output(arrays, output, layout.output_tap, read[output].right(images))
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
            values[at] = code - (expected.signed * (code >> len(text) - 1) << len(text))
            unknown[at] = int("".join("0" if bit in "01" else "1" for bit in text), 2)
    return values, unknown
