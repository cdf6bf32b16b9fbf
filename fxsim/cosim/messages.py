"""What the harness prints (`harness.cpp`): streams by number, values by their index in the stream, images from 0."""

import msgspec

from fxsim.cosim.result import Spread


class Mismatch(msgspec.Struct):
    """A wrong value; `entered`: images that had entered or stood at the input."""

    image: int
    index: int
    cycle: int
    entered: int
    expected: int
    got: int


class Stream(msgspec.Struct):
    """A stream: what was found of its values, where it is, and its handshake in the last cycle."""

    compared: int
    mismatches: int
    stalled: int
    first: Mismatch | None
    examples: list[Mismatch]
    image: int
    index: int
    valid: bool
    ready: bool


class Fault(msgspec.Struct):
    """A broken rule; `stream` is a tap's number, or -1 for the output."""

    kind: str
    stream: int
    image: int
    index: int
    cycle: int
    entered: int


class Found(msgspec.Struct):
    """The result."""

    images: int
    cycles: int
    seconds: float
    seconds_waiting: float
    entered: int
    resets: int
    hung: bool
    interval: Spread | None
    input_interval: Spread | None
    latency: Spread | None
    first_latency: int | None
    first_output_latency: int | None
    input: Stream
    output: Stream
    taps: list[Stream]
    fault_count: int
    faults: list[Fault]


class Line(msgspec.Struct):
    """One line of the harness: progress, or the result."""

    done: int | None = None
    cycle: int | None = None
    result: Found | None = None
