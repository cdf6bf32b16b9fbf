"""What only the SIMD accelerator has to say of a co-simulation."""

import msgspec

from fxsim.simulate.messages import Span, Spread


class LayerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What one layer (a matrix product) took of the SIMD accelerator: that of the first job's first image, exactly.

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


class SimdFigures(msgspec.Struct, frozen=True, kw_only=True):
    """What only the SIMD accelerator has. `layers` and `timeline` are those of the first job's first image.

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
