"""Figures of a co-simulation that only the SIMD accelerator has."""

from typing import Literal

import msgspec

from fxsim.devices.base import Figures, Table
from fxsim.simulate.messages import Spread

MULTIPLIERS = 256
"""Multiplications that the array can do in a cycle."""


class Span(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A span of time in which a part of the SIMD accelerator was busy with a layer, from `start` to `end`, excluded.

    Both are cycles from the first job's start. `kind`: `load` (its parameters' first beat to their last; layer -1: the
    image's), `compute` (first step to last) or `write` (layer -1: the first beat of the image's result to its last
    response).
    """

    kind: Literal["load", "compute", "write"]
    layer: int
    start: int
    end: int


class LayerFigures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Figures of one layer (a matrix product) on the SIMD accelerator: those of the first job's first image, exactly.

    `name`: the product's tap. `macs`: multiplications that the model asks for. `steps`: cycles in which the array
    computed. `cycles`: from the end of the layer before (or the job's start) to this layer's last step, waiting
    included; the four waits are the cycles of these in which nothing could be computed for want of it.
    """

    number: int
    name: str
    macs: int
    steps: int
    cycles: int
    waits_parameters: int
    waits_image: int
    waits_results_before: int
    waits_room: int


class SimdFigures(Figures, frozen=True, kw_only=True):
    """Figures that only the SIMD accelerator has. `layers` and `timeline` are those of the first job's first image.

    `job_cycles`: the register CYCLES of every job that ran to its end. `image_cycles`: between the results of two
    images of one job. `single_image_cycles`: the median of `job_cycles` over jobs of one image. `errors`, `stops`: AXI
    errors given and stops asked for (stall patterns `error`, `stop`); `jobs` counts the jobs that they ended too.
    """

    read_latency: int
    batch: int
    keep: bool
    jobs: int
    job_cycles: Spread | None
    image_cycles: Spread | None
    single_image_cycles: int | None
    read_beats: int
    write_beats: int
    layers: tuple[LayerFigures, ...]
    timeline: tuple[Span, ...]
    errors: int = 0
    stops: int = 0

    def tables(self) -> tuple[Table, ...]:
        """A table of the first image: each layer's cycles, and what they went to."""
        rows = tuple(
            (layer.name, layer.cycles, f"{layer.macs / (MULTIPLIERS * layer.cycles):.1%}", _waits(layer))
            for layer in self.layers
        )
        return (Table("first image", ("layer", "cycles", "MACs used", "cycles waiting for"), rows),) if rows else ()

    def lines(self) -> tuple[str, ...]:
        """Jobs, what went over the bus, and how often it was disturbed."""
        parameters = "once a job" if self.keep else "for every image"
        lines = [
            f"{self.jobs:,} jobs of up to {self.batch:,} images, memory answers after {self.read_latency:,} cycles, "
            f"parameters read {parameters}",
            f"{self.read_beats:,} beats read, {self.write_beats:,} written, 16 bytes each",
        ]
        if self.errors or self.stops:
            lines.append(f"{self.errors:,} errors on the bus, {self.stops:,} stops")
        return tuple(lines)


def _waits(layer: LayerFigures) -> str:
    waits = {
        "parameters": layer.waits_parameters,
        "image": layer.waits_image,
        "results": layer.waits_results_before,
        "room": layer.waits_room,
    }
    return ", ".join(f"{what} {cycles:,}" for what, cycles in waits.items() if cycles)
