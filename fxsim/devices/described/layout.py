"""The streams of a described design: values in the beats that its description states."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Integers
from fxsim.devices.base import Layout
from fxsim.devices.described.bind import Bound
from fxsim.devices.described.packing import Beats
from fxsim.graph import INPUT


@dataclass(frozen=True)
class DescribedLayout(Layout):
    """The layout of a described design's streams; `compared` are of the taps that it shows."""

    bound: Bound

    @property
    def output(self) -> str:
        """The output's data port."""
        return self.bound.output.signals.data

    @property
    def shown(self) -> tuple[str, ...]:
        """The taps that are described."""
        return tuple(tap.name for tap in self.bound.taps)

    @property
    def output_tap(self) -> str:
        """The tap that the output carries."""
        return self.bound.output.tensors[0]

    @property
    def stimulus(self) -> tuple[str, ...]:
        """The tensors that the inputs carry."""
        return tuple(tensor for stream in self.bound.inputs for tensor in stream.tensors)

    def beats(self, stream: str) -> Beats:
        """The packing of a tap, or of the output."""
        if stream == self.output:
            return self.bound.output.beats
        return next(tap.beats for tap in self.bound.taps if tap.name == stream)

    def index(self, stream: str, value: int) -> dict[str, int]:
        """The index by axis of a value from its number in an image's stream."""
        return self.beats(stream).index(value)

    def place(self, stream: str, index: int) -> tuple[int | None, int]:
        """Token and channel of a value, as far as the tensor has such axes."""
        at = self.index(stream, index)
        return at.get("token"), at.get("channel", 0)

    @property
    def content_bytes(self) -> int:
        """Bytes of stimulus, output and compared taps."""
        inputs = (stream.beats for stream in self.bound.inputs)
        streams = (*inputs, self.bound.output.beats, *(self.beats(tap) for tap in self.compared))
        return sum(beats.image_bytes for beats in streams)

    def stimuli(self, x: Integers, values: Mapping[str, Integers]) -> list[npt.NDArray[np.uint8]]:
        """The stimulus of each input stream, beat by beat."""
        found = []
        for stream in self.bound.inputs:
            given = [x if name == INPUT else values[name] for name in stream.tensors]
            found.append(stream.beats.pack(given[0] if len(given) == 1 else np.stack(given, axis=-1)))
        return found

    def contents(self, x: Integers, values: dict[str, Integers]) -> list[npt.NDArray[np.int8] | npt.NDArray[np.uint8]]:
        """Stimulus of all inputs, output, then the compared taps, beat by beat."""
        stimuli = self.stimuli(x, values)
        stimulus = stimuli[0] if len(stimuli) == 1 else np.concatenate(stimuli, axis=1)
        output = self.bound.output.beats.pack(values[self.output_tap])
        taps = (self.beats(tap).pack(values[tap]) for tap in self.compared)
        return [stimulus, output, *taps]
