"""The part of what the harness prints that only the SIMD accelerator has."""

import msgspec

from fxsim.devices.simd.figures import Span
from fxsim.simulate.messages import Spread


class Stage(msgspec.Struct):
    """The place of a stage in its work: whose value comes next, and which."""

    stage: int
    tap: int
    image: int
    index: int


class State(msgspec.Struct):
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
    stages: list[Stage]


class LayerCounts(msgspec.Struct):
    """Cycles of a layer: those that it computed in, those that it took in all, and those that it waited in."""

    steps: int
    cycles: int
    waits_parameters: int
    waits_image: int
    waits_results_before: int
    waits_room: int


class Part(msgspec.Struct):
    """The device's own part of the harness's result."""

    jobs: int
    job_cycles: Spread | None
    single_cycles: Spread | None
    read_beats: int
    write_beats: int
    errors: int
    stops: int
    state: State
    layers: list[LayerCounts]
    timeline: list[Span]
