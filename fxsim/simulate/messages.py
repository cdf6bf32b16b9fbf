"""Messages that the harnesses print: streams by number, values by their index in the stream, images from 0."""

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """A quantity that was measured `count` times, in cycles."""

    min: int
    median: int
    max: int
    count: int


class Mismatch(msgspec.Struct):
    """A wrong value; `entered`: images that had entered or stood at the input."""

    image: int
    index: int
    cycle: int
    entered: int
    expected: int
    got: int


class Stream(msgspec.Struct):
    """A stream: what was found of its values, where it is, and its handshake in the last cycle.

    `largest`: the greatest distance of a wrong value from the right one.
    """

    compared: int
    mismatches: int
    stalled: int
    first: Mismatch | None
    examples: list[Mismatch]
    image: int
    index: int
    valid: bool
    ready: bool
    largest: int | None = None


class Fault(msgspec.Struct):
    """A broken rule; `stream` is a tap's number, -1 for the output, or the name of what is neither."""

    kind: str
    stream: int | str
    image: int
    index: int
    cycle: int
    entered: int
    detail: str | None = None


class Found(msgspec.Struct):
    """The result. `device`: what only the harness of this device has to say, as JSON.

    `seconds` without those of waiting for images; `cpu_seconds`: of the processor, from the harness's start.
    `moments`: how often what is counted came in each. `input`, `inputs`: the input stream of a device that has one, or
    all of one that may have several.
    """

    images: int
    cycles: int
    seconds: float
    seconds_waiting: float
    cpu_seconds: float
    entered: int
    resets: int
    hung: bool
    interval: Spread | None
    input_interval: Spread | None
    latency: Spread | None
    first_latency: int | None
    first_output_latency: int | None
    output: Stream
    taps: list[Stream]
    fault_count: int
    faults: list[Fault]
    input: Stream | None = None
    inputs: tuple[Stream, ...] = ()
    moments: tuple[int, ...] = ()
    device: msgspec.Raw = msgspec.Raw(b"null")


class Line(msgspec.Struct):
    """One line of the harness: progress, or the result."""

    done: int | None = None
    cycle: int | None = None
    result: Found | None = None
