"""The record of an image for a design that works off jobs: inputs, output and taps in the words that are described."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Integers
from fxsim.devices.base import Layout
from fxsim.devices.described.jobs.bind import BoundJobs
from fxsim.devices.described.jobs.bound import BoundRegion
from fxsim.devices.described.packing import Beats
from fxsim.graph import INPUT


@dataclass(frozen=True)
class JobsLayout(Layout):
    """The layout of a job's tensors; `compared` are of the taps that the design shows."""

    bound: BoundJobs

    @property
    def output(self) -> str:
        """The output's memory."""
        return self.bound.output.memory

    @property
    def output_tap(self) -> str:
        """The tap that the output carries."""
        return self.bound.output_tensor

    @property
    def stimulus(self) -> tuple[str, ...]:
        """The tensors that input regions carry."""
        return tuple(dict.fromkeys(region.tap or INPUT for region in self._inputs))

    @property
    def shown(self) -> tuple[str, ...]:
        """The taps that are described."""
        return self.bound.shown

    @property
    def given(self) -> str:
        """A digit for each tap: 0 not in the record, 1 compared, 2 only given (of what is overwritten)."""
        inside = {r.tap for r in self.bound.regions if r.role == "output" and self.bound.inside(r.memory)}
        return "".join("1" if tap in self.compared else "2" if tap in inside else "0" for tap in self.shown)

    @property
    def needed(self) -> tuple[str, ...]:
        """The taps that must be computed: those in the record, side inputs, and the output."""
        given = (tap for tap, how in zip(self.shown, self.given, strict=True) if how != "0")
        sides = (region.tap for region in self._inputs if region.tap is not None)
        output = self.output_tap
        return (*(tap for tap in dict.fromkeys((*given, *sides)) if tap != output), output)

    @property
    def _inputs(self) -> tuple[BoundRegion, ...]:
        return tuple(region for region in self.bound.regions if region.role == "input")

    @staticmethod
    def shapes(bound: BoundJobs) -> list[Beats]:
        """The packings of all taps that are shown, in order."""
        return [_tap_beats(bound, tap) for tap in bound.shown]

    def beats(self, stream: str) -> Beats:
        """The packing of a tap, or of the output."""
        return _beats(self.bound.output) if stream == self.output else _tap_beats(self.bound, stream)

    def index(self, stream: str, value: int) -> dict[str, int]:
        """The index by axis of a value from its number in an image's words."""
        return self.beats(stream).index(value)

    def place(self, stream: str, index: int) -> tuple[int | None, int]:
        """Token and channel of a value, as far as the tensor has such axes."""
        at = self.index(stream, index)
        return at.get("token"), at.get("channel", 0)

    @property
    def content_bytes(self) -> int:
        """Bytes of inputs, output and taps."""
        taps = [self.beats(tap) for tap, how in zip(self.shown, self.given, strict=True) if how != "0"]
        streams = (*map(_beats, self._inputs), _beats(self.bound.output), *taps)
        return sum(beats.image_bytes for beats in streams)

    def contents(self, x: Integers, values: dict[str, Integers]) -> list[npt.NDArray[np.int8] | npt.NDArray[np.uint8]]:
        """Inputs of all regions, output, then taps, word by word."""
        inputs = [_beats(region).pack(x if region.tap is None else values[region.tap]) for region in self._inputs]
        output = _beats(self.bound.output).pack(values[self.output_tap])
        given = (tap for tap, how in zip(self.shown, self.given, strict=True) if how != "0")
        return [*inputs, output, *(self.beats(tap).pack(values[tap]) for tap in given)]


def _beats(region: BoundRegion) -> Beats:
    assert region.beats is not None
    return region.beats


def _tap_beats(bound: BoundJobs, name: str) -> Beats:
    for tap in bound.taps:
        if tap.name == name:
            return tap.beats
    return next(_beats(region) for region in bound.regions if region.role == "output" and region.tap == name)
