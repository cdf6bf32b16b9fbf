"""What a co-simulation found, as records that are also its JSON."""

from typing import Self

import msgspec

from fxsim.compare import Comparison, Difference, TapComparison
from fxsim.devices.base import StreamState
from fxsim.devices.simd.figures import SimdFigures
from fxsim.simulate.messages import Spread
from fxsim.simulate.stall import parse_stall


class TapResult(msgspec.Struct, frozen=True):
    """One stream: values compared, how many differed, the first that did by place, and the first few by time.

    `stalled_cycles`: how long a value stood in the stream that was not taken at once. `values`: those that the images
    have there, as many as must be compared; where images were interrupted and computed again, at least as many.
    """

    compared: int
    mismatches: int
    stalled_cycles: int
    first_mismatch: Difference | None
    examples: tuple[Difference, ...]
    values: int = 0

    @classmethod
    def of(cls, tap: TapComparison, stalled_cycles: int) -> Self:
        """The stream of a tap that was compared."""
        return cls(tap.compared, tap.differ, stalled_cycles, tap.first, tap.examples, tap.values)

    def comparison(self, name: str, repeats: bool) -> TapComparison:
        """What was compared; `repeats` where images were interrupted and computed again."""
        return TapComparison(
            tap=name,
            values=self.values,
            compared=self.compared,
            differ=self.mismatches,
            first=self.first_mismatch,
            examples=self.examples,
            repeats=repeats,
        )


class Fault(msgspec.Struct, frozen=True):
    """A broken rule of the streams: `kind` says which, the rest where (the next value of that stream) and when.

    `stream` may be an AXI channel (`m_axi_ar`) or the registers (`s_axil`), where there are no channels of a tensor;
    `detail` says what was seen there.
    """

    kind: str
    stream: str
    image: int
    token: int | None
    channel: int | None
    cycle: int
    detail: str | None = None


class Stop(msgspec.Struct, frozen=True):
    """The watchdog's finding: nothing had moved for `idle_cycles`, though neither side held back."""

    cycle: int
    image: int
    idle_cycles: int
    reason: str
    streams: tuple[StreamState, ...]


class CosimResult(msgspec.Struct, frozen=True, kw_only=True):
    """A co-simulation. Image numbers are those of the input array; cycles count from 0 at power-on, reset included.

    `passed`: every image came out; every value of every compared tap and of the output was compared, all of them, and
    equal; no rule was broken.
    `first_mismatch`: of the lowest image that has one, the first in graph order; later taps only pass it on.
    `interval_cycles`: between the last values of consecutive images, the median after the pipeline filled (null under
    three images, or where every image was interrupted); `interval` all there is to say of it.
    `interval_within_bound`: no interval was longer than `interval_bound_cycles`; null where stalls were asked for, and
    where no interval was measured. `passed` does not depend on it.
    `replay`: (start, stop) of the images that a run must have to show the first failure again, cycle for cycle.
    `latency_cycles`: of the first image, from its first value's cycle to its last score's, both counted;
    `first_output_cycles` the same to its first score; `latency` over all images, queueing included.
    SIMD accelerator: `interval` is between the results of one job; `interval_bound_cycles` are those that its
    multipliers need, of which no interval can have fewer, and `interval_within_bound` is null; latencies count from the
    job's start to the acknowledged result (a job of one image: the register CYCLES); `simd` has the rest.
    """

    passed: bool
    images: int
    taps: dict[str, TapResult]
    first_mismatch: Difference | None
    interval_cycles: int | None
    latency_cycles: int | None
    cycles_per_second: int
    output: TapResult
    faults: tuple[Fault, ...]
    fault_count: int
    stopped: Stop | None
    replay: tuple[int, int] | None
    interval_bound_cycles: int
    interval_within_bound: bool | None
    interval: Spread | None
    input_interval: Spread | None
    latency: Spread | None
    first_output_cycles: int | None
    cycles: int
    resets: int
    accel: str
    model: str
    model_sha256: str
    image_start: int
    image_stop: int
    stall: str
    power_on_seed: int
    watchdog_cycles: int
    engine: str
    rtl_sha256: str
    parameters: dict[str, int]
    build_key: str
    build_cached: bool
    build_seconds: float
    verilator: str
    compiler: str
    simulation_seconds: float
    waiting_seconds: float
    wall_seconds: float
    simd: SimdFigures | None = None

    @property
    def comparison(self) -> Comparison:
        """All that was compared, the output last."""
        streams = self.taps | {"output": self.output}
        repeats = parse_stall(self.stall).disturbs
        return Comparison(
            expected=self.model,
            found=self.accel,
            images=self.image_stop - self.image_start,
            taps=tuple(stream.comparison(name, repeats) for name, stream in streams.items()),
        )

    @property
    def shortfall(self) -> str | None:
        """The stream of which another number of values was compared than there are, in words; None if all were.

        Only where every image came out: of images that did not, no value can have been compared.
        """
        out = self.images == self.image_stop - self.image_start
        return self.comparison.reason if out and self.first_mismatch is None else None

    @property
    def mismatches(self) -> int:
        """Wrong values over all taps and the output."""
        return sum(tap.mismatches for tap in (*self.taps.values(), self.output))

    @property
    def failing_image(self) -> int | None:
        """The image that failed first: the first mismatch's, else the first fault's, else where nothing moved."""
        places = (self.first_mismatch, *self.faults[:1], self.stopped)
        return next((place.image for place in places if place is not None), None)
