"""What the harnesses print: streams by number, values by their index in the stream, images from 0."""

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """A quantity that was measured `count` times, in cycles."""

    min: int
    median: int
    max: int
    count: int


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """When a part of the SIMD accelerator was busy with a layer, in cycles from the first job's start, `end` excluded.

    `kind`: `load` (its parameters' first beat to their last; layer -1: the image's), `compute` (first step to last) or
    `write` (layer -1: the first beat of the image's result to its last response).
    """

    kind: str
    layer: int
    start: int
    end: int


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
    """A broken rule; `stream` is a tap's number, -1 for the output, or the name of what is neither."""

    kind: str
    stream: int | str
    image: int
    index: int
    cycle: int
    entered: int
    detail: str | None = None


class SimdStage(msgspec.Struct):
    """Where a stage of the SIMD accelerator stands: whose value comes next, and which."""

    stage: int
    tap: int
    image: int
    index: int


class SimdState(msgspec.Struct):
    """The SIMD accelerator in the last cycle.

    `phase`: of the master (`gap`, `setup`, `run`, `collect`, `drain`); `access`: what it waits for, if anything;
    `layer`, `wait`: the monitors; `beat`, `answer`: the memory offers one; `address_starves`, `data_starves`: it waits
    for the other part of a write before it takes this one; then bursts under way.
    """

    phase: str
    access: str
    layer: int
    wait: int
    beat: bool
    answer: bool
    address_starves: bool
    data_starves: bool
    parameter_bursts: int
    image_bursts: int
    writes: int
    responses: int
    stages: list[SimdStage]


class SimdLayer(msgspec.Struct):
    """What a layer took."""

    steps: int
    cycles: int
    waits_parameters: int
    waits_image: int
    waits_results_before: int
    waits_room: int


class Simd(msgspec.Struct):
    """What only the SIMD accelerator has."""

    jobs: int
    job_cycles: Spread | None
    single_cycles: Spread | None
    read_beats: int
    write_beats: int
    errors: int
    stops: int
    state: SimdState
    layers: list[SimdLayer]
    timeline: list[Span]


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
    output: Stream
    taps: list[Stream]
    fault_count: int
    faults: list[Fault]
    input: Stream | None = None
    simd: Simd | None = None


class Line(msgspec.Struct):
    """One line of the harness: progress, or the result."""

    done: int | None = None
    cycle: int | None = None
    result: Found | None = None
