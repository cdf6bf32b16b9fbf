"""Co-simulation from a model and images to a result."""

import math
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from fxsim import temporary
from fxsim.compare import Comparison, Difference, TapComparison
from fxsim.cosim.result import CosimResult, Fault, Stop, TapResult
from fxsim.devices.base import Layout, Target
from fxsim.devices.simd import SimdFigures
from fxsim.devices.simd.device import SimdTarget
from fxsim.devices.stream.device import StreamTarget
from fxsim.engines import Engine, run_chunks
from fxsim.errors import StimulusError
from fxsim.formats import atomic_write, model_sha256
from fxsim.graph import Model
from fxsim.simulate import Stall, build_simulator, messages, parse_stall
from fxsim.simulate.build import Status
from fxsim.simulate.process import Feeder, simulate

WATCHDOG_MAX = 10**12
_POWER_ON_SEED = 1
"""Of what registers hold at power-on that nothing resets: anything but the zeros that hide them."""

Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


class Accelerator(StrEnum):
    """Which RTL is simulated."""

    STREAM = "stream"
    SIMD = "simd"


def cosim(
    model: Model,
    x: npt.NDArray[np.generic],
    *,
    accel: Accelerator | str = Accelerator.STREAM,
    taps: str | Iterable[str] = "all",
    stall: str | Stall = "none",
    images: tuple[int, int] | None = None,
    engine: Engine | str = Engine.AUTO,
    wave: Path | None = None,
    wave_from: int | None = None,
    rtl: Path | None = None,
    watchdog: int | None = None,
    optimise: str | None = None,
    read_latency: int | None = None,
    batch: int | None = None,
    keep: bool | None = None,
    progress: Progress | None = None,
    status: Status | None = None,
) -> CosimResult:
    """Simulate an accelerator on int8 images `x` [image, token, value] and compare named taps with the model.

    `taps` are compared value by value ('all'; none: an empty tuple); the output and the rules of its stream always are.
    `stall`: see `PATTERNS`. `images`: (start, stop) of those of `x` to use. `wave`: an FST file to write, from image
    `wave_from` on (by default from reset). `rtl`: a folder of Verilog in place of the project's own. `watchdog`: cycles
    without anything moving after which a design counts as stuck, by default four times those an image may take (stream;
    at least 1,000) or 1,000 (simd). `optimise`: other compiler flags than `build_simulator`'s for the simulated design.
    `progress` is told images, `status` words.

    Of the SIMD accelerator alone: `read_latency`, cycles from a read's address to its first beat and from a write's
    last beat to its response (64); `batch`, images of a job, by default all of them; `keep`, a job reads the parameters
    once and not anew for every image.

    A failed comparison or a stuck design is a result, not an exception. Raises StimulusError for images, taps, patterns
    or numbers that do not fit; ModelError where the accelerator cannot compute the model; ToolError where building or
    running the simulator fails; FileError where `wave` cannot be written.
    """
    began = time.monotonic()
    if accel not in tuple(Accelerator):
        raise StimulusError(f"there is no accelerator '{accel}'; there are: {', '.join(Accelerator)}")
    pattern = parse_stall(stall) if isinstance(stall, str) else stall
    stimulus = model.check_stimulus(x)
    start, stop = _image_range(images, len(stimulus))
    names = taps if isinstance(taps, str) else tuple(taps)
    compared = () if names == () else model.select_taps(names)
    target: Target
    if accel == Accelerator.SIMD:
        target = SimdTarget(model, compared, read_latency, batch, keep)
    else:
        for what, value in (("read_latency", read_latency), ("batch", batch), ("keep", keep)):
            if value is not None:
                raise StimulusError(f"{what} is for the accelerator 'simd', expected none for '{accel}'")
        target = StreamTarget(model, compared, pattern)
    layout = target.layout
    run_chunks(model, stimulus[:0], layout.needed, engine)  # an unknown engine is refused before anything is built
    limit = target.watchdog if watchdog is None else watchdog
    if not 1 <= limit <= WATCHDOG_MAX:
        raise StimulusError(f"watchdog is {limit} cycles, expected 1 to {WATCHDOG_MAX}")
    if wave_from is not None and wave is None:
        raise StimulusError(f"the waveform is to start at image {wave_from}, but no waveform was asked for")
    if wave_from is not None and not start <= wave_from < stop:
        raise StimulusError(f"the waveform is to start at image {wave_from}, expected one from {start} to {stop - 1}")
    arguments = target.arguments(stop - start, pattern) | {
        "power_on_seed": str(_POWER_ON_SEED),
        "watchdog": str(limit),
        "wave_from": str((wave_from or start) - start),
    }
    with temporary.folder("cosim") as work, _written(wave) as wave_path:
        build = build_simulator(
            target.design,
            target.parameters,
            work,
            rtl=rtl,
            traced=wave is not None,
            optimise=optimise,
            status=status,
        )
        target.write_files(work)
        if status is not None:
            status("simulating")
        command = [str(build.executable), *(f"{k}={v}" for k, v in arguments.items()), f"wave={wave_path or ''}"]
        feeder = Feeder(layout, stimulus[start:stop], engine)
        found = simulate(command, work, feeder, lambda done: progress(done, stop - start) if progress else None)

    reader = _Reader(layout, start, stop - start, pattern.disturbs)
    streams = {tap: stream for tap, stream in zip(model.graph.taps, found.taps, strict=True) if tap in layout.compared}
    streams |= {layout.output: found.output}
    # In the order of the graph, the output last.
    comparison = Comparison(
        expected="model",
        found=str(accel),
        images=stop - start,
        taps=tuple(reader.compare(tap, stream) for tap, stream in streams.items()),
    )
    results = {tap.tap: TapResult.of(tap, streams[tap.tap].stalled) for tap in comparison.taps}
    first = comparison.first
    root = None if first is None else streams[first.tap].first
    disturbances = (found.resets, found.simd.errors, found.simd.stops) if found.simd else (found.resets, 0, 0)
    asked = (pattern.resets, pattern.errors, pattern.stops)
    complete = found.images == stop - start and disturbances == asked and not found.hung
    passed = complete and found.fault_count == 0 and comparison.equal
    entered = root.entered if root else found.faults[0].entered if found.faults else found.entered
    return CosimResult(
        passed=passed,
        images=found.images,
        taps={tap: results[tap] for tap in layout.compared},
        first_mismatch=first,
        interval_cycles=found.interval.median if found.interval else None,
        latency_cycles=found.first_latency,
        cycles_per_second=round(found.cycles / max(found.seconds, 1e-9)),
        output=results[layout.output],
        faults=tuple(reader.fault(fault) for fault in found.faults),
        fault_count=found.fault_count,
        stopped=_stopped(target, found, start, limit) if found.hung else None,
        # Where a reset falls depends on how many images there are.
        replay=None if passed else (start, stop if pattern.disturbs else start + entered),
        interval_bound_cycles=target.bound,
        interval_within_bound=target.within_bound(found),
        interval=found.interval,
        input_interval=found.input_interval,
        latency=found.latency,
        first_output_cycles=found.first_output_latency,
        cycles=found.cycles,
        resets=found.resets,
        accel=str(accel),
        model=model.name,
        model_sha256=model_sha256(model),
        image_start=start,
        image_stop=stop,
        stall=pattern.text,
        power_on_seed=_POWER_ON_SEED,
        watchdog_cycles=limit,
        engine=str(engine),
        rtl_sha256=build.rtl_sha256,
        parameters=target.parameters,
        build_key=build.key,
        build_cached=build.cached,
        build_seconds=build.seconds,
        verilator=build.verilator,
        compiler=build.compiler,
        simulation_seconds=round(found.seconds, 6),
        waiting_seconds=round(found.seconds_waiting, 6),
        wall_seconds=round(time.monotonic() - began, 3),
        simd=_simd(target.figures(found, stop - start)),
    )


def _simd(figures: msgspec.Struct | None) -> SimdFigures | None:
    assert figures is None or isinstance(figures, SimdFigures)
    return figures


def _image_range(images: tuple[int, int] | None, count: int) -> tuple[int, int]:
    start, stop = images if images is not None else (0, count)
    if not 0 <= start < stop <= count:
        raise StimulusError(f"images {start}:{stop} were asked for, expected a non-empty part of 0:{count}")
    return start, stop


def _stopped(target: Target, found: messages.Found, first_image: int, idle: int) -> Stop:
    reason, states = target.stuck(found, first_image)
    return Stop(found.cycles, states[-1].image, idle, reason, states)


def _written(wave: Path | None) -> AbstractContextManager[Path | None]:
    """The file to write a waveform to, which takes its name when the simulation has ended; None without one."""
    return nullcontext() if wave is None else atomic_write(wave.absolute())


# --- From the harness's numbers to names -----------------------------------------------------------------------------


class _Reader:
    """Turns stream numbers and indices into taps, tokens and channels, and counts images as the user's array does."""

    def __init__(self, layout: Layout, first_image: int, images: int, repeats: bool) -> None:
        self._layout = layout
        self._first = first_image
        self._images = images
        self._repeats = repeats

    def compare(self, name: str, stream: messages.Stream) -> TapComparison:
        graph = self._layout.model.graph
        shape = graph.shapes[graph.output if name == self._layout.output else name]
        return TapComparison(
            tap=name,
            values=self._images * math.prod(shape),
            compared=stream.compared,
            differ=stream.mismatches,
            first=self.difference(name, stream.first) if stream.first else None,
            examples=tuple(self.difference(name, mismatch) for mismatch in stream.examples),
            repeats=self._repeats,
        )

    def difference(self, name: str, m: messages.Mismatch) -> Difference:
        token, channel = self._layout.place(name, m.index)
        index = {"channel": channel} if token is None else {"token": token, "channel": channel}
        return Difference(
            image=m.image + self._first, tap=name, index=index, expected=m.expected, got=m.got, cycle=m.cycle
        )

    def fault(self, fault: messages.Fault) -> Fault:
        image = fault.image + self._first
        if isinstance(fault.stream, str):
            return Fault(fault.kind, fault.stream, image, None, None, fault.cycle, fault.detail)
        name = self._layout.output if fault.stream < 0 else self._layout.model.graph.taps[fault.stream]
        token, channel = self._layout.place(name, fault.index)
        return Fault(fault.kind, name, image, token, channel, fault.cycle, fault.detail)
