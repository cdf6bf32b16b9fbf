"""Co-simulation from a model and images to a result."""

import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fxsim.cosim import messages
from fxsim.cosim.diagnose import INPUT_STREAM, explain
from fxsim.cosim.process import Feeder, simulate
from fxsim.cosim.result import CosimResult, Difference, Fault, Stop, StreamState, TapResult
from fxsim.cosim.stall import Burst, Random, Side, Stall, parse_stall
from fxsim.cosim.streams import OUTPUT, Layout
from fxsim.engines import Engine, run_chunks
from fxsim.errors import StimulusError
from fxsim.files import atomic_write, model_sha256
from fxsim.model import Model, ResMLPConfig, recognise_resmlp
from fxsim.rtl import build_stream, rtl_parameters, write_roms
from fxsim.rtl.build import Status

WATCHDOG_MAX = 10**12
_WATCHDOG_MIN = 1000
_SPARE_TOKENS = 32
_RESET_REACH = 12
"""A reset comes within so many images of the last one: enough to fill the pipeline of the published design."""
_POWER_ON_SEED = 1
"""Of what registers hold at power-on that nothing resets: anything but the zeros that hide them."""

Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


class Accelerator(StrEnum):
    """Which RTL is simulated."""

    STREAM = "stream"


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
    progress: Progress | None = None,
    status: Status | None = None,
) -> CosimResult:
    """Simulate an accelerator on int8 images `x` [image, token, value] and compare named taps with the model.

    `taps` are compared value by value ('all'; none: an empty tuple); the output and the rules of its stream always are.
    `stall`: see `PATTERNS`. `images`: (start, stop) of those of `x` to use. `wave`: an FST file to write, from image
    `wave_from` on (by default from reset). `rtl`: a folder of Verilog in place of the project's own. `watchdog`: cycles
    without any handshake after which a design counts as stuck, by default four times those an image may take.
    `optimise`: other compiler flags than `build_stream`'s for the simulated design. `progress` is told images, `status`
    words.

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
    layout = Layout(model, () if names == () else model.select_taps(names))
    run_chunks(model, stimulus[:0], layout.needed, engine)  # an unknown engine is refused before anything is built
    config = recognise_resmlp(model.graph)
    bound = interval_bound(model)
    limit = max(_WATCHDOG_MIN, 4 * bound) if watchdog is None else watchdog
    if not 1 <= limit <= WATCHDOG_MAX:
        raise StimulusError(f"watchdog is {limit} cycles, expected 1 to {WATCHDOG_MAX}")
    if wave_from is not None and wave is None:
        raise StimulusError(f"the waveform is to start at image {wave_from}, but no waveform was asked for")
    if wave_from is not None and not start <= wave_from < stop:
        raise StimulusError(f"the waveform is to start at image {wave_from}, expected one from {start} to {stop - 1}")
    parameters = rtl_parameters(model)
    arguments = {
        "images": str(stop - start),
        "input_size": str(layout.input_size),
        "output_size": str(layout.size(OUTPUT)),
        "tap_sizes": ",".join(str(layout.size(tap)) for tap in model.graph.taps),
        "compared": "".join("1" if tap in layout.compared else "0" for tap in model.graph.taps),
        "input_stall": _stall_argument(pattern.input, bound),
        "output_stall": _stall_argument(pattern.output, bound),
        "gap": str(pattern.gap),
        "resets": str(pattern.resets),
        "reset_seed": str(pattern.reset_seed),
        "reset_reach": str(_RESET_REACH),
        # As long as an image may need to come out.
        "reset_delays": str(max(256, 2 * bound * (config.blocks + 1))),
        "power_on_seed": str(_POWER_ON_SEED),
        "inside_max": str(images_inside_max(config)),
        "watchdog": str(limit),
        # Long enough for what a surplus image would need to come out.
        "drain": str(max(256, 2 * bound)),
        "wave_from": str((wave_from or start) - start),
    }
    with tempfile.TemporaryDirectory(prefix="fxsim-cosim-") as folder, _written(wave) as wave_path:
        work = Path(folder)
        build = build_stream(parameters, work, rtl=rtl, traced=wave is not None, optimise=optimise, status=status)
        write_roms(model, work)
        if status is not None:
            status("simulating")
        command = [str(build.executable), *(f"{k}={v}" for k, v in arguments.items()), f"wave={wave_path or ''}"]
        feeder = Feeder(layout, stimulus[start:stop], engine)
        found = simulate(command, work, feeder, lambda done: progress(done, stop - start) if progress else None)

    reader = _Reader(layout, start)
    streams = dict(zip(model.graph.taps, found.taps, strict=True))
    root = _root({tap: streams[tap] for tap in layout.compared} | {OUTPUT: found.output})
    complete = found.images == stop - start and found.resets == pattern.resets and not found.hung
    passed = complete and found.fault_count == 0 and root is None
    entered = root[1].entered if root else found.faults[0].entered if found.faults else found.entered
    return CosimResult(
        passed=passed,
        images=found.images,
        taps={tap: reader.tap(tap, streams[tap]) for tap in layout.compared},
        first_mismatch=reader.difference(*root) if root else None,
        interval_cycles=found.interval.median if found.interval else None,
        latency_cycles=found.first_latency,
        cycles_per_second=round(found.cycles / max(found.seconds, 1e-9)),
        output=reader.tap(OUTPUT, found.output),
        faults=tuple(reader.fault(fault) for fault in found.faults),
        fault_count=found.fault_count,
        stopped=reader.stop(found, limit) if found.hung else None,
        # Where a reset falls depends on how many images there are.
        replay=None if passed else (start, stop if pattern.resets else start + entered),
        interval_bound_cycles=bound,
        interval_within_bound=found.interval.max <= bound if found.interval and pattern.text == "none" else None,
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
        parameters=parameters,
        build_key=build.key,
        build_cached=build.cached,
        build_seconds=build.seconds,
        verilator=build.verilator,
        compiler=build.compiler,
        simulation_seconds=round(found.seconds, 6),
        waiting_seconds=round(found.seconds_waiting, 6),
        wall_seconds=round(time.monotonic() - began, 3),
    )


def interval_bound(model: Model) -> int:
    """Most cycles between images in steady state: the beats of an image at its busiest stream, one a cycle."""
    c = recognise_resmlp(model.graph)
    return max(c.tokens * max(c.values, c.channels, c.hidden), c.channels, c.classes)


def images_inside_max(config: ResMLPConfig) -> int:
    """Most images that may be on their way at once: twice what a design of this size can hold, and some more.

    Each block's residual FIFOs hold under three images and some tokens; so do the other operators together.
    """
    spare = -(-_SPARE_TOKENS // config.tokens)
    return 8 + 2 * (config.blocks + 1) * (3 + spare)


def _root(streams: Mapping[str, messages.Stream]) -> tuple[str, messages.Mismatch] | None:
    """The first difference in the order of data: of the lowest image, the first in graph order (that of `streams`)."""
    firsts = [(name, stream.first) for name, stream in streams.items() if stream.first is not None]
    return min(firsts, key=lambda first: first[1].image, default=None)  # the first of equals


def _image_range(images: tuple[int, int] | None, count: int) -> tuple[int, int]:
    start, stop = images if images is not None else (0, count)
    if not 0 <= start < stop <= count:
        raise StimulusError(f"images {start}:{stop} were asked for, expected a non-empty part of 0:{count}")
    return start, stop


def _stall_argument(side: Side, bound: int) -> str:
    """One side's stalls as the harness reads them: mode, seed, parameter."""
    match side:
        case Random(seed, millionths):
            return f"1,{seed},{millionths}"
        case Burst(seed):
            return f"2,{seed},{2 * bound}"
    return "0,0,0"


def _written(wave: Path | None) -> AbstractContextManager[Path | None]:
    """The file to write a waveform to, which takes its name when the simulation has ended; None without one."""
    return nullcontext() if wave is None else atomic_write(wave.absolute())


# --- From the harness's numbers to names -----------------------------------------------------------------------------


class _Reader:
    """Turns stream numbers and indices into taps, tokens and channels, and counts images as the user's array does."""

    def __init__(self, layout: Layout, first_image: int) -> None:
        self._layout = layout
        self._first = first_image

    def tap(self, name: str, stream: messages.Stream) -> TapResult:
        return TapResult(
            compared=stream.compared,
            mismatches=stream.mismatches,
            stalled_cycles=stream.stalled,
            first_mismatch=self.difference(name, stream.first) if stream.first else None,
            examples=tuple(self.difference(name, mismatch) for mismatch in stream.examples),
        )

    def difference(self, name: str, m: messages.Mismatch) -> Difference:
        token, channel = self._layout.place(name, m.index)
        return Difference(m.image + self._first, name, token, channel, m.expected, m.got, m.cycle)

    def fault(self, fault: messages.Fault) -> Fault:
        name = OUTPUT if fault.stream < 0 else self._layout.model.graph.taps[fault.stream]
        token, channel = self._layout.place(name, fault.index)
        return Fault(fault.kind, name, fault.image + self._first, token, channel, fault.cycle)

    def stop(self, found: messages.Found, idle: int) -> Stop:
        graph = self._layout.model.graph
        states = {INPUT_STREAM: self._state(INPUT_STREAM, found.input)}
        states |= {tap: self._state(tap, stream) for tap, stream in zip(graph.taps, found.taps, strict=True)}
        states[OUTPUT] = self._state(OUTPUT, found.output)
        return Stop(found.cycles, states[OUTPUT].image, idle, explain(graph, states), tuple(states.values()))

    def _state(self, name: str, stream: messages.Stream) -> StreamState:
        if name == INPUT_STREAM:
            token, channel = divmod(stream.index, self._layout.model.graph.input_shape[1])
            place: tuple[int | None, int] = token, channel
        else:
            place = self._layout.place(name, stream.index)
        state = "empty" if not stream.valid else "passing" if stream.ready else "held"
        return StreamState(name, state, stream.image + self._first, *place)
