"""Co-simulation from a model and images to a result."""

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import fields
from functools import partial
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from fxsim import temporary
from fxsim.compare import Comparison, Difference, TapComparison
from fxsim.contract.arithmetic import Integers
from fxsim.cosim.given import given_of
from fxsim.cosim.origin import ORIGIN_IMAGES, differences_max, find_origins
from fxsim.cosim.parts import cut, join, requests_of, run_in_parts
from fxsim.cosim.request import POWER_ON_IMAGES, POWER_ON_RESETS, POWER_ON_SEED_MAX, WATCHDOG_MAX, CosimRequest
from fxsim.cosim.result import (
    BuildUsed,
    CosimResult,
    CosimVerdict,
    Fault,
    Provenance,
    Stop,
    Streams,
    TapResult,
    Timing,
)
from fxsim.devices import DEFAULT, DEVICES, Device, Fitted, Layout, make_settings
from fxsim.engines import run_chunks
from fxsim.errors import StimulusError, ToolError
from fxsim.formats import atomic_write, model_sha256
from fxsim.graph import ALL_TAPS, Model
from fxsim.machine import count_jobs
from fxsim.simulate import Stall, build_simulator, messages, parse_stall
from fxsim.simulate.build import Build, Status
from fxsim.simulate.code_coverage import Coverage, read_coverage
from fxsim.simulate.differences import Differences, difference_arguments, read_differences
from fxsim.simulate.process import Feeder, Records, simulate
from fxsim.simulate.sources import Sources
from fxsim.traces.kept import Given

Progress = Callable[[int, int], None]
"""A function that is called with (images done, images in all)."""


class Simulator(Protocol):
    """A simulator in Verilator's place, of so many images side by side."""

    @property
    def lanes(self) -> int:
        """The images that it carries side by side."""

    def build(self, fitted: Fitted, into: Path, rtl: Path | None, status: Status | None) -> Build:
        """Put it into a folder."""

    def records(self, layout: Layout) -> Records:
        """The records that its harness reads."""


def cosim(
    model: Model,
    x: npt.NDArray[np.generic],
    *,
    accel: str = DEFAULT,
    progress: Progress | None = None,
    status: Status | None = None,
    **options: Any,
) -> CosimResult:
    """Simulate a device on images: `run_cosim` with a request's fields, and the device's settings, as keywords."""
    known = {field.name for field in fields(CosimRequest)} - {"model", "x", "device", "settings"}
    asked = {name: value for name, value in options.items() if name in known}
    settings = {name: value for name, value in options.items() if name not in known}
    return run_cosim(CosimRequest(model, x, accel, settings, **asked), progress=progress, status=status)


def run_cosim(
    request: CosimRequest,
    *,
    progress: Progress | None = None,
    status: Status | None = None,
    whole: Callable[[Layout, Differences], None] | None = None,
    given: Callable[[Given], None] | None = None,
    covered: Callable[[Coverage, Sources], None] | None = None,
    simulator: Simulator | None = None,
) -> CosimResult:
    """Simulate a device on images and compare named taps with the model. `progress` is told images, `status` words.

    `whole` is given every value that differed, of all images of the first run. `given` is given what the RTL gave at
    the taps in the first images that differ, of the run that is reported; it is not called where no value differed.
    `simulator` stands in Verilator's place, where one is given. `covered` is given what of the Verilog was run, over
    all runs whose result counts, and the files that it is of: the simulator then counts it, and takes several times as
    long.

    A failed comparison or a stuck design is a result, not an exception. Raises StimulusError for images, taps, devices,
    settings, patterns or numbers that do not fit; ModelError where the device cannot compute the model; ToolError where
    building or running the simulator fails; FileError where `wave` cannot be written.
    """
    began = time.monotonic()
    model = request.model
    device = DEVICES[request.device]
    settings = make_settings(device.name, device.settings, request.settings)
    pattern = _pattern(request.stall, device)
    stimulus = model.check_stimulus(request.x)
    start, stop = _image_range(request.images, len(stimulus))
    names = request.taps if isinstance(request.taps, str) else tuple(request.taps)
    compared = () if names == () else model.select_taps(names)
    fitted = device.fit(model, settings)
    fitted.refuse_stall(pattern)
    compared, unprobed = _probed(fitted, model, compared, names)
    layout = fitted.layout(compared)
    # An unknown engine is refused before anything is built.
    run_chunks(model, stimulus[:0], layout.needed, request.engine)
    limit = fitted.watchdog if request.watchdog is None else request.watchdog
    if not 1 <= limit <= WATCHDOG_MAX:
        raise StimulusError(f"watchdog is {limit} cycles, expected 1 to {WATCHDOG_MAX}")
    wave, wave_from = request.wave, request.wave_from
    if wave_from is not None and wave is None:
        raise StimulusError(f"the waveform is to start at image {wave_from}, but no waveform was asked for")
    if wave_from is not None and not start <= wave_from < stop:
        raise StimulusError(f"the waveform is to start at image {wave_from}, expected one from {start} to {stop - 1}")
    seeds = _power_on_seeds(request.power_on_seeds)
    if simulator is not None:
        if refused := [name for name, there in (("a waveform", wave), ("code coverage", covered)) if there is not None]:
            raise StimulusError(f"{refused[0]} is of a design in one lane: leave out lanes")
        if not device.lanes or fitted.data_ports is None:
            able = ", ".join(name for name in DEVICES.own if DEVICES[name].lanes)
            said = fitted.without_lanes if device.lanes else f"expected one of: {able}"
            raise StimulusError(f"the accelerator '{device.name}' is not simulated in lanes, {said}")
    if request.jobs > 1:
        if whole is not None or covered is not None:
            raise StimulusError("what is measured over a whole run is of one simulator: leave out jobs")
        parts = cut(request, fitted, pattern, start, stop)
        if len(parts) > 1:
            one = partial(run_cosim, simulator=simulator)
            result = run_in_parts(request, fitted, parts, seeds, one, progress, status, given)
            seconds, sha256 = round(time.monotonic() - began, 3), _hash_images(stimulus, result)
            return result.replace(wall_seconds=seconds, images_sha256=sha256)
    gave: dict[int, Given | None] = {}
    # What the simulator reads has a folder of its own, in which no name is taken.
    with temporary.folder("cosim") as work, temporary.folder("files") as files, _written(wave) as wave_path:
        if simulator is not None:
            build = simulator.build(fitted, work, request.rtl, status)
        else:
            build = build_simulator(
                fitted.design,
                fitted.parameters,
                work,
                rtl=request.rtl,
                traced=wave is not None,
                counted=covered is not None,
                optimise=request.optimise,
                status=status,
            )
        fitted.write_files(files)
        if status is not None:
            status("simulating")

        def run(
            seed: int, stop: int, pattern: Stall, waveform: Path | None, report: Progress | None, given_up: Event
        ) -> CosimResult:
            arguments = fitted.arguments(layout, stop - start, pattern) | {
                "power_on_seed": str(seed),
                "watchdog": str(limit),
                "wave_from": str((wave_from or start) - start),
                "wave": str(waveform or ""),
                "coverage": str(work / f"coverage-{seed}.dat"),
            }
            kept, most = work / f"differences-{seed}.bin", differences_max(layout)
            looked_into = ORIGIN_IMAGES
            if whole is not None and seed == seeds[0]:
                most, looked_into = most * (stop - start), stop - start
            arguments |= difference_arguments(kept, most, looked_into)
            command = [str(build.executable), *(f"{k}={v}" for k, v in arguments.items())]
            records = layout if simulator is None else simulator.records(layout)
            feeder = Feeder(records, stimulus[start:stop], request.engine)
            errors = work / f"stderr-{seed}"
            tell = partial(_report, report, stop - start)
            found = simulate(command, files, feeder, tell, errors=errors, given_up=given_up)
            lanes = 1 if simulator is None else simulator.lanes
            used = _Used(device, fitted, layout, build, pattern, (start, stop), seed, limit, str(request.engine), lanes)
            result = _result(model, used, found)
            differences = read_differences(kept, most)
            if whole is not None and seed == seeds[0]:
                whole(layout, differences)
            if result.verdict.first_mismatch is None:
                return result
            shown = {tap: stream.image for tap, stream in zip(layout.shown, found.taps, strict=True)}
            shown[layout.output] = found.output.image
            looked = (layout, shown, differences, stimulus[start:stop], start, request.engine)
            gave[seed] = given_of(*looked)
            verdict = msgspec.structs.replace(result.verdict, origins=find_origins(*looked))
            return msgspec.structs.replace(result, verdict=verdict)

        resets = POWER_ON_RESETS if "reset" in device.stalls and fitted.has_reset else 0
        few = min(stop, start + POWER_ON_IMAGES)
        runs = [partial(run, seeds[0], stop, pattern, wave_path, progress)]
        others = [pattern.only_reset(seed, resets) for seed in seeds[1:]]
        if "wait" in device.stalls and fitted.has_waits:
            others[::2] = [other.waiting() for other in others[::2]]
        runs += [partial(run, seed, few, other, None, None) for seed, other in zip(seeds[1:], others, strict=True)]
        results = _to_first_failed(runs, count_jobs())
        result = results[0]
        if not results[-1].verdict.passed:
            result = results[-1]
        else:
            fitted.hold_together({ran.provenance.power_on_seed: ran.figures for ran in results})
        if covered is not None:
            files_of = [work / f"coverage-{ran.provenance.power_on_seed}.dat" for ran in results]
            sources = fitted.design.read(request.rtl)
            if sources.sha256 != build.rtl_sha256:
                raise ToolError(f"the Verilog of {sources.folder} changed while it was simulated")
            own = {name: text for name, text in sources.files.items() if name not in fitted.design.generated}
            covered(read_coverage(files_of, sources, fitted.design.generated), Sources(sources.folder, own))
    if given is not None and (came := gave.get(result.provenance.power_on_seed)) is not None:
        given(came)
    return msgspec.structs.replace(
        result,
        streams=msgspec.structs.replace(result.streams, unprobed=unprobed, outside=fitted.outside(unprobed)),
        timing=msgspec.structs.replace(result.timing, wall_seconds=round(time.monotonic() - began, 3)),
        provenance=msgspec.structs.replace(
            result.provenance, power_on_seeds=seeds, images_sha256=_hash_images(stimulus, result)
        ),
    )


def split_cosim(request: CosimRequest) -> tuple[CosimRequest, ...]:
    """Requests that a co-simulation is split into, to be run anywhere: `request.jobs` parts, or as many as can be.

    Last comes, where there are further power-on seeds, that of these. Parts and errors are those of `run_cosim`.
    """
    _, parts, seeds = _divide(request)
    return requests_of(request, parts, seeds)


def join_cosim(request: CosimRequest, results: Sequence[CosimResult]) -> CosimResult:
    """The result of a co-simulation from those of the requests that `split_cosim` gives of it, in their order.

    It is `run_cosim`'s, but for seconds: of these, `wall_seconds` is the longest part's. StimulusError where results
    are not, each, of its request: of other images, another model, device, setting, stall or taps, or too few; ToolError
    where the Verilog was another one than the request's, as it is now.
    """
    fitted, parts, seeds = _divide(request)
    asked = requests_of(request, parts, seeds)
    if len(results) != len(asked):
        raise StimulusError(f"{len(results)} results, expected {len(asked)}, one of each request")
    sha256, stall = model_sha256(request.model), _pattern(request.stall, DEVICES[request.device]).text
    names = request.taps if isinstance(request.taps, str) else tuple(request.taps)
    taps = _probed(fitted, request.model, () if names == () else request.model.select_taps(names), names)[0]
    stimulus, rtl_sha256 = request.model.check_stimulus(request.x), fitted.design.read(request.rtl).sha256
    for number, (one, result) in enumerate(zip(asked, results, strict=True)):
        start, stop = one.images or (0, 0)
        of = result.provenance
        for what, found, expected in (
            ("images", (of.image_start, of.image_stop), (start, stop)),
            ("images with the hash", of.images_sha256, _hash_images(stimulus, result)),
            ("power-on seeds", of.power_on_seeds, tuple(one.power_on_seeds)),
            ("model", of.model_sha256, sha256),
            ("accelerator", of.accel, request.device),
            ("images side by side", of.lanes, 1),
            ("settings", of.settings, msgspec.structs.asdict(fitted.pinned(stop - start))),
            ("stall", of.stall if number < len(parts) else stall, stall),
            ("taps", tuple(result.streams.taps), tuple(taps)),
        ):
            if found != expected:
                raise StimulusError(f"result {number} is of {what} {found}, expected {expected}")
        if result.build.rtl_sha256 != rtl_sha256:
            raise ToolError(f"result {number} is of other Verilog than the request's")
    longest = max(result.timing.wall_seconds for result in results)
    joined = join(fitted, results, parts, seeds)
    return joined.replace(wall_seconds=longest, images_sha256=_hash_images(stimulus, joined))


def _divide(request: CosimRequest) -> tuple[Fitted, tuple[tuple[int, int], ...], tuple[int, ...]]:
    """The fitted device of a request, its parts, and its power-on seeds."""
    device = DEVICES[request.device]
    pattern = _pattern(request.stall, device)
    stimulus = request.model.check_stimulus(request.x)
    start, stop = _image_range(request.images, len(stimulus))
    fitted = device.fit(request.model, make_settings(device.name, device.settings, request.settings))
    fitted.refuse_stall(pattern)
    return fitted, cut(request, fitted, pattern, start, stop), _power_on_seeds(request.power_on_seeds)


def _hash_images(x: Integers, result: CosimResult) -> str:
    """Hash of the images of `x` that a result is of: their shape, then their values, each as 64 bits."""
    images = x[result.provenance.image_start : result.provenance.image_stop]
    digest = hashlib.sha256(repr(images.shape).encode())
    for image in images:
        digest.update(image.astype("<i8").tobytes())
    return digest.hexdigest()


def _report(report: Progress | None, images: int, done: int) -> None:
    if report is not None:
        report(done, images)


def _to_first_failed(runs: Sequence[Callable[[Event], CosimResult]], jobs: int) -> list[CosimResult]:
    """The results in order up to that of the first run that did not pass; `jobs` of them at once.

    Runs after one that fails, or raises, are given up: what comes is what would of one after the other.
    """
    given_up = Event()
    with ThreadPoolExecutor(min(jobs, len(runs)), "fxsim-run") as pool:
        # With one at a time, here: a run that comes after a failure is not even begun.
        waiting = [pool.submit(run, given_up).result if jobs > 1 else partial(run, given_up) for run in runs]
        try:
            results: list[CosimResult] = []
            for wait in waiting:
                results.append(wait())
                if not results[-1].verdict.passed:
                    break
            return results
        finally:
            given_up.set()
            pool.shutdown(cancel_futures=True)


class _Used(NamedTuple):
    """One run of a simulator: its device, what it was run with, and the images of the input that it computed."""

    device: Device
    fitted: Fitted
    layout: Layout
    build: Build
    pattern: Stall
    images: tuple[int, int]
    seed: int
    limit: int
    engine: str
    lanes: int


def _result(model: Model, used: _Used, found: messages.Found) -> CosimResult:
    """The result of one run from what its harness found."""
    device, fitted, layout, build, pattern, (start, stop), seed, limit, engine, lanes = used
    reader = _Reader(layout, start, stop - start, pattern.disturbs)
    streams = {tap: stream for tap, stream in zip(layout.shown, found.taps, strict=True) if tap in layout.compared}
    streams |= {layout.output: found.output}
    # In the order of the graph, the output last.
    comparison = Comparison(
        expected="model",
        found=device.name,
        images=stop - start,
        taps=tuple(reader.compare(tap, stream) for tap, stream in streams.items()),
    )
    results = {tap.tap: TapResult.of(tap, streams[tap.tap].stalled) for tap in comparison.taps}
    first = comparison.first
    root = None if first is None else streams[first.tap].first
    given = {kind: times for kind, times in fitted.disturbances(found).items() if times}
    asked = {kind: times for kind, times in pattern.disturbances.items() if times}
    # How many resets, errors and stops are aimed depends on the moments that come.
    as_asked = pattern.aim is not None or given == asked
    complete = found.images == stop - start and as_asked and not found.hung
    passed = complete and found.fault_count == 0 and comparison.equal
    entered = root.entered if root else found.faults[0].entered if found.faults else found.entered
    return CosimResult(
        verdict=CosimVerdict(
            passed=passed,
            images=found.images,
            first_mismatch=first,
            faults=tuple(reader.fault(fault) for fault in found.faults),
            fault_count=found.fault_count,
            stopped=_stopped(fitted, layout, found, start, limit) if found.hung else None,
            # Where a reset falls depends on how many images there are.
            replay=None if passed else (start, stop if pattern.disturbs else start + entered),
        ),
        streams=Streams(
            taps={tap: results[tap] for tap in layout.compared},
            output=results[layout.output],
            output_name=layout.output,
            output_tap=layout.output_tap,
            moments=_moments(fitted.moments(layout), found),
        ),
        timing=Timing(
            interval_cycles=found.interval.median if found.interval else None,
            latency_cycles=found.first_latency,
            first_output_cycles=found.first_output_latency,
            interval=found.interval,
            input_interval=found.input_interval,
            latency=found.latency,
            interval_bound_cycles=fitted.limit.bound,
            interval_least_cycles=fitted.limit.least,
            interval_within_bound=_within_bound(fitted.limit.bound, found, pattern),
            cycles=found.cycles,
            resets=found.resets,
            cycles_per_second=round(found.cycles / max(found.seconds, 1e-9)),
            simulation_seconds=round(found.seconds, 6),
            simulation_cpu_seconds=round(found.cpu_seconds, 6),
            waiting_seconds=round(found.seconds_waiting, 6),
            wall_seconds=0.0,
        ),
        build=BuildUsed(
            rtl_sha256=build.rtl_sha256,
            parameters=fitted.parameters,
            build_key=build.key,
            build_cached=build.cached,
            build_seconds=build.seconds,
            verilator=build.verilator,
            yosys=build.yosys,
            compiler=build.compiler,
        ),
        provenance=Provenance(
            accel=device.name,
            settings=msgspec.structs.asdict(fitted.pinned(stop - start)),
            model=model.name,
            model_sha256=model_sha256(model),
            image_start=start,
            image_stop=stop,
            stall=pattern.text,
            power_on_seed=seed,
            watchdog_cycles=limit,
            engine=engine,
            lanes=lanes,
        ),
        figures=fitted.figures(found, -(-(stop - start) // lanes)),
    )


def _moments(names: tuple[str | None, ...], found: messages.Found) -> dict[str, int]:
    """The count of each moment, by its name; ToolError where the harness counts others."""
    if len(names) != len(found.moments):
        raise ToolError(f"the simulator counted {len(found.moments)} moments, expected {len(names)}")
    return {name: count for name, count in zip(names, found.moments, strict=True) if name is not None}


def _probed(
    fitted: Fitted, model: Model, asked: tuple[str, ...], names: str | tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The taps to compare, and those that were meant too but that the device does not show.

    The model's output is compared in any case, where it comes out. StimulusError where another tap that was named is
    not shown: only `all` means as many as there are.
    """
    if fitted.probed is None:
        return asked, ()
    part = model.graph.taps if fitted.part is None else fitted.part
    missing = tuple(tap for tap in asked if tap not in (*fitted.probed, part[-1]))
    if missing and ALL_TAPS not in ((names,) if isinstance(names, str) else names):
        shown = ", ".join(fitted.probed) or "none"
        raise StimulusError(f"tap '{missing[0]}' cannot be compared: the design shows no such tap; it shows: {shown}")
    return tuple(tap for tap in asked if tap in fitted.probed), missing


def _power_on_seeds(asked: Iterable[int]) -> tuple[int, ...]:
    """The seeds of power-on, each once; StimulusError where there is none, or one that the simulator does not have."""
    seeds = tuple(asked)
    wrong = [seed for seed in seeds if not 1 <= seed <= POWER_ON_SEED_MAX]
    if wrong or not seeds or len(set(seeds)) < len(seeds):
        raise StimulusError(
            f"power-on seeds are {', '.join(map(str, seeds)) or 'none'}, expected some from 1 to {POWER_ON_SEED_MAX}, "
            "each once"
        )
    return seeds


def _pattern(stall: str | Stall, device: Device) -> Stall:
    pattern = parse_stall(stall) if isinstance(stall, str) else stall
    if refused := sorted(pattern.kinds - device.stalls):
        raise StimulusError(
            f"stall pattern '{pattern.text}': the accelerator '{device.name}' takes no '{refused[0]}', "
            f"expected some of: {', '.join(sorted(device.stalls))}"
        )
    return pattern


def _within_bound(bound: int | None, found: messages.Found, pattern: Stall) -> bool | None:
    """Whether no interval was longer than the bound; None where there is none, or no interval, or stalls."""
    return found.interval.max <= bound if bound and found.interval and not pattern.kinds else None


def _image_range(images: tuple[int, int] | None, count: int) -> tuple[int, int]:
    start, stop = images if images is not None else (0, count)
    if not 0 <= start < stop <= count:
        raise StimulusError(f"images {start}:{stop} were asked for, expected a non-empty part of 0:{count}")
    return start, stop


def _stopped(fitted: Fitted, layout: Layout, found: messages.Found, first_image: int, idle: int) -> Stop:
    reason, states = fitted.stuck(layout, found, first_image)
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
        shape = graph.shapes[self._layout.output_tap if name == self._layout.output else name]
        return TapComparison(
            tap=name,
            values=self._images * math.prod(shape),
            compared=stream.compared,
            differ=stream.mismatches,
            first=self.difference(name, stream.first) if stream.first else None,
            examples=tuple(self.difference(name, mismatch) for mismatch in stream.examples),
            largest=stream.largest,
            repeats=self._repeats,
        )

    def difference(self, name: str, m: messages.Mismatch) -> Difference:
        return Difference(
            image=m.image + self._first,
            tap=name,
            index=self._layout.index(name, m.index),
            expected=m.expected,
            got=m.got,
            cycle=m.cycle,
            carries=self._layout.output_tap if name == self._layout.output else None,
        )

    def fault(self, fault: messages.Fault) -> Fault:
        image = fault.image + self._first
        if isinstance(fault.stream, str):
            return Fault(fault.kind, fault.stream, image, None, None, fault.cycle, fault.detail)
        name = self._layout.output if fault.stream < 0 else self._layout.shown[fault.stream]
        token, channel = self._layout.place(name, fault.index)
        return Fault(fault.kind, name, image, token, channel, fault.cycle, fault.detail)
