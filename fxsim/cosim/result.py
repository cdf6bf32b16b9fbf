"""The result of a co-simulation, as records that are also its JSON."""

from collections.abc import Iterable
from typing import Any, Self

import msgspec

from fxsim.compare import Comparison, Difference, TapComparison
from fxsim.devices import DEVICES, Figures, StreamState
from fxsim.simulate.messages import Spread
from fxsim.simulate.stall import parse_stall


class TapResult(msgspec.Struct, frozen=True):
    """One stream: values compared, how many differed, the first that did by place, and the first few by time.

    `stalled_cycles`: how long a value stood in the stream that was not taken at once. `values`: those that the images
    have there, as many as must be compared; where images were interrupted and computed again, at least as many.
    `largest`: the greatest distance of a wrong value from the right one, null where it was not measured.
    """

    compared: int
    mismatches: int
    stalled_cycles: int
    first_mismatch: Difference | None
    examples: tuple[Difference, ...]
    values: int = 0
    largest: int | float | None = None

    @classmethod
    def of(cls, tap: TapComparison, stalled_cycles: int) -> Self:
        """The stream of a tap that was compared."""
        return cls(tap.compared, tap.differ, stalled_cycles, tap.first, tap.examples, tap.values, tap.largest)

    def comparison(self, name: str, repeats: bool) -> TapComparison:
        """The comparison of a tap; `repeats` where images were interrupted and computed again."""
        return TapComparison(
            tap=name,
            values=self.values,
            compared=self.compared,
            differ=self.mismatches,
            first=self.first_mismatch,
            examples=self.examples,
            repeats=repeats,
            largest=self.largest,
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


class TapOrigin(msgspec.Struct, frozen=True, kw_only=True):
    """The origins of one stream's differences, in the images that were looked into.

    Of `differ` values that are not the model's, `inherited` are what the nodes before make of what the RTL gave there,
    `local` are not, and of `unknown` ones it cannot be said, since not every value before them was seen. `hidden`:
    local faults whose value is the model's all the same. `nodes`: those that a local fault can be in: the tap's, and
    those before it that are not shown; none for an output that passes the last tap on. `first`: the first local one;
    its `expected` is what the nodes make of the RTL's own values.
    """

    tap: str
    differ: int
    inherited: int
    local: int
    hidden: int
    unknown: int
    nodes: tuple[str, ...]
    first: Difference | None


class Origins(msgspec.Struct, frozen=True, kw_only=True):
    """Inherited or local: every stream that differs, in graph order, the output last; `images` were looked into.

    Only images of which all differences are known are: none, where the first that differs has too many.
    """

    images: tuple[int, ...]
    taps: tuple[TapOrigin, ...]

    @property
    def local(self) -> tuple[TapOrigin, ...]:
        """The streams that have a fault of their own."""
        return tuple(tap for tap in self.taps if tap.local or tap.hidden)

    @property
    def sentence(self) -> str:
        """The sentence that says which nodes have faults of their own, and what is inherited or unknown."""
        if not self.images:
            return "which of them are faults of their own is unknown: too many values differ in the first image"
        number = len(self.images)
        where = f"image {self.images[0]}" if number == 1 else f"the {number} images {_listed(map(str, self.images))}"
        parts = [f"in {where}: faults of their own at {_listed(_place(tap) for tap in self.local) or 'no tap'}"]
        if inherited := [tap.tap for tap in self.taps if tap.inherited and not (tap.local or tap.hidden)]:
            parts.append(f"only inherited at {_listed(inherited)}")
        if unknown := [tap.tap for tap in self.taps if tap.unknown]:
            parts.append(f"unknown at {_listed(unknown)}, since not every value before was seen")
        return "; ".join(parts)


_LISTED = 12


def _listed(names: Iterable[str]) -> str:
    shown = list(names)
    more = f" and {len(shown) - _LISTED} more" if len(shown) > _LISTED else ""
    return ", ".join(shown[:_LISTED]) + more


def _place(tap: TapOrigin) -> str:
    unseen = f" (or {' or '.join(tap.nodes[:-1])}, not shown)" if len(tap.nodes) > 1 else ""
    return f"{tap.tap}{unseen}"


class CosimVerdict(msgspec.Struct, frozen=True, kw_only=True):
    """The verdict, and what speaks against passing.

    `passed`: every image came out; every value of every compared tap and of the output was compared, all of them, and
    equal; no rule was broken. `first_mismatch`: of the lowest image that has one, the first in graph order; later taps
    only pass it on. `replay`: (start, stop) of the images that a run must have to show the first failure again, cycle
    for cycle. `origins`: null where no value differed.
    """

    passed: bool
    images: int
    first_mismatch: Difference | None
    faults: tuple[Fault, ...]
    fault_count: int
    stopped: Stop | None
    replay: tuple[int, int] | None
    origins: Origins | None = None

    @property
    def failing_image(self) -> int | None:
        """The image that failed first: the first mismatch's, else the first fault's, else where nothing moved."""
        places = (self.first_mismatch, *self.faults[:1], self.stopped)
        return next((place.image for place in places if place is not None), None)


class Streams(msgspec.Struct, frozen=True, kw_only=True):
    """The streams that were compared: taps by name in graph order, and the device's output.

    `unprobed`: taps of the model that were not looked at, since the design shows no such tap; of them `outside` are not
    computed by the design, which is a part of the model. `output_tap`: the tap that the output carries. `moments`: how
    often each of those came that the device counts, such as a reset in a phase of an image.
    """

    taps: dict[str, TapResult]
    output: TapResult
    output_name: str
    unprobed: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    output_tap: str = ""
    moments: dict[str, int] = {}

    @property
    def mismatches(self) -> int:
        """Wrong values over all taps and the output."""
        return sum(tap.mismatches for tap in (*self.taps.values(), self.output))

    @property
    def compared(self) -> int:
        """Values compared at all taps and the output."""
        return sum(tap.compared for tap in (*self.taps.values(), self.output))


class Timing(msgspec.Struct, frozen=True, kw_only=True):
    """Cycles, counted from 0 at power-on, reset included, and seconds.

    `interval_cycles`: between the last values of consecutive images (or results, of a device that works in jobs: those
    of one job), the median after the pipeline filled (null under three images, or where every image was interrupted);
    `interval` all there is to say of it. `interval_bound_cycles`: the most that a right design takes where nothing
    holds it back; `interval_within_bound`: no interval was longer; null where stalls were asked for, where no interval
    was measured, and where there is no bound. `passed` does not depend on it. `interval_least_cycles`: the fewest that
    any design of the device can take, null where it is not stated.

    `latency_cycles`: of the first image, from its first value's cycle (or its job's start) to its last score's (or its
    acknowledged result), both counted; `first_output_cycles` the same to its first score; `latency` over all images,
    queueing included.
    """

    interval_cycles: int | None
    latency_cycles: int | None
    first_output_cycles: int | None
    interval: Spread | None
    input_interval: Spread | None
    latency: Spread | None
    interval_bound_cycles: int | None
    interval_least_cycles: int | None
    interval_within_bound: bool | None
    cycles: int
    resets: int
    cycles_per_second: int
    simulation_seconds: float
    simulation_cpu_seconds: float
    waiting_seconds: float
    wall_seconds: float


class BuildUsed(msgspec.Struct, frozen=True, kw_only=True):
    """The simulator: `rtl_sha256` of all files of the RTL folder as they were, and what it was built with.

    `verilator`: its version, empty where the simulator was built from a netlist of `yosys`.
    """

    rtl_sha256: str
    parameters: dict[str, int]
    build_key: str
    build_cached: bool
    build_seconds: float
    verilator: str
    compiler: str
    yosys: str = ""


class Provenance(msgspec.Struct, frozen=True, kw_only=True):
    """The run that a result is of: device (`accel`) with its settings, none left open, model, images, stalls.

    `image_start`, `image_stop`: the images of the input. `parts`: those of each simulator that they were split over,
    none where there was one. Each began at power-on: cycles are summed up over them, those of a difference are
    counted in its part, and nothing is said of intervals. `images_sha256`: of those images, their shape and values.

    `lanes`: the images that went through the design side by side.

    `power_on_seed`: of the bits that registers held at power-on in the run that is reported: the first of
    `power_on_seeds`, or the one under which the design failed.
    """

    accel: str
    settings: dict[str, int | str | bool | None]
    model: str
    model_sha256: str
    image_start: int
    image_stop: int
    stall: str
    power_on_seed: int
    watchdog_cycles: int
    engine: str
    power_on_seeds: tuple[int, ...] = ()
    parts: tuple[tuple[int, int], ...] = ()
    lanes: int = 1
    images_sha256: str = ""


class CosimResult(msgspec.Struct, frozen=True, kw_only=True):
    """A co-simulation, in parts. Image numbers are those of the input array.

    `figures`: what only this device has to say. Every field of every part is an attribute of the result too, and the
    figures are one by the name of the device; so they stand in the JSON (`flat`).
    """

    verdict: CosimVerdict
    streams: Streams
    timing: Timing
    build: BuildUsed
    provenance: Provenance
    figures: Figures | None = None

    @property
    def passed(self) -> bool:
        """Whether everything held."""
        return self.verdict.passed

    @property
    def comparison(self) -> Comparison:
        """The comparison of all streams, the output last."""
        streams = self.streams.taps | {"output": self.streams.output}
        repeats = parse_stall(self.provenance.stall).disturbs
        return Comparison(
            expected=self.provenance.model,
            found=self.provenance.accel,
            images=self.provenance.image_stop - self.provenance.image_start,
            taps=tuple(stream.comparison(name, repeats) for name, stream in streams.items()),
        )

    @property
    def shortfall(self) -> str | None:
        """The stream of which another number of values was compared than there are, in words; None if all were.

        Only where every image came out: of images that did not, no value can have been compared.
        """
        out = self.verdict.images == self.provenance.image_stop - self.provenance.image_start
        return self.comparison.reason if out and self.verdict.first_mismatch is None else None

    def flat(self) -> dict[str, object]:
        """All fields of all parts by name, as in JSON; the figures of each device of the project's own by its name.

        Where a device states no bound but the fewest cycles, `interval_bound_cycles` is these, as it always was.
        """
        fields: dict[str, object] = {}
        for part in self._parts:
            fields |= msgspec.structs.asdict(part)
        if self.timing.interval_bound_cycles is None:
            fields["interval_bound_cycles"] = self.timing.interval_least_cycles
        own = {name: None for name in DEVICES.own if DEVICES[name].figures is not None}
        return fields | own | ({} if self.figures is None else {self.provenance.accel: self.figures})

    def replace(self, **changes: object) -> Self:
        """The result with other values of some fields of its parts, by name."""
        figures = changes.pop("figures", self.figures)
        parts = {}
        for name, part in zip(_PARTS, self._parts, strict=True):
            own = {field: changes.pop(field) for field in part.__struct_fields__ if field in changes}
            parts[name] = msgspec.structs.replace(part, **own)
        if changes:
            raise TypeError(f"a result has no field '{next(iter(changes))}'")
        return msgspec.structs.replace(self, figures=figures, **parts)

    @property
    def _parts(self) -> tuple[msgspec.Struct, ...]:
        return tuple(getattr(self, name) for name in _PARTS)

    def __getattr__(self, name: str) -> Any:
        """A field of one of the parts, or the figures by the name of the device that has such."""
        if not name.startswith("_"):
            for part in self._parts:
                if hasattr(part, name):
                    return getattr(part, name)
            if name == self.provenance.accel:
                return self.figures
            if name in DEVICES and DEVICES[name].figures is not None:
                return None
        raise AttributeError(f"a result has no field '{name}'")


_PARTS = ("verdict", "streams", "timing", "build", "provenance")
