"""Co-simulation in four states: every value of every tap equal to the model's, and none of them unknown.

A simulator of two states gives every unknown value (X) and every undriven one (Z) a value, which may be the right one.
Here they stay what they are, from power-on, where nothing holds anything, to the output. See `docs/cosim.md`.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from fxsim import temporary
from fxsim.compare import Difference, TapComparison, named, place, sentence
from fxsim.cosim.given import given_in_four_states
from fxsim.cosim.request import check_images
from fxsim.devices import DEFAULT, DEVICES, Device, make_settings, options_of
from fxsim.devices.four_state import Expected, FourStateBench
from fxsim.engines import Engine
from fxsim.errors import StimulusError
from fxsim.formats import model_sha256
from fxsim.graph import Model, check_model
from fxsim.simulate.build import Status
from fxsim.simulate.four_state import Trace, find_icarus, run_four_state
from fxsim.traces.kept import Given

IMAGES_MAX = 8
"""Images that are simulated where the caller does not say which: Icarus is a hundred times slower than Verilator."""

STALLS = (0, 40)
"""Percent of cycles in which both sides hold back, one run each: what only fills while others wait is used, too."""

STALL_MAX = 99
"""Most percent of cycles in which both sides may hold back."""

RESETS = 3
"""Resets of one cycle each, in mid-run where sides hold back: registers hold what was, and have no time to drain."""

_EXAMPLES = 8


class FourStateRun(msgspec.Struct, frozen=True):
    """One run. `stall`: percent of cycles in which both sides held back. `ended`: `done`, or what went wrong.

    `resets`: how often the design was reset in mid-run; what came before counts where it differs. `resets_asked`: how
    often it was to be.
    `unknown`: the handshake signal that was X or Z, and when; null where there was none. `fault`: what else the design
    did wrong, such as a write outside of every region; null where it did nothing.
    """

    stall: int
    resets: int
    resets_asked: int
    cycles: int
    ended: str
    unknown: str | None
    taps: tuple[TapComparison, ...]
    fault: str | None = None

    @property
    def passed(self) -> bool:
        """Whether all values came, known and equal."""
        whole = self.ended == "done" and self.resets == self.resets_asked
        return whole and self.unknown is None and self.fault is None and all(tap.equal for tap in self.taps)


class FourStateResult(msgspec.Struct, frozen=True, kw_only=True):
    """A design in four states. `taps` in a run are those of the model, then the outputs of the device with their flags.

    `reason`: one sentence on the first thing that is wrong, null where all is right. `unknown_values`: values that were
    X or Z, wholly or in part, in taps and outputs; they count as differences there, `got` being their bits.
    `unprobed`: taps of the model that were not looked at, since the design shows none; of them `outside` are not
    computed by the design, which is a part of the model. `settings`: the device's.
    """

    passed: bool
    reason: str | None
    images: int
    unknown_values: int
    runs: tuple[FourStateRun, ...]
    accel: str
    model: str
    model_sha256: str
    image_start: int
    image_stop: int
    engine: str
    rtl_sha256: str
    parameters: dict[str, int]
    simulator: str
    wall_seconds: float
    settings: dict[str, int | str | bool] = {}
    unprobed: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()


def four_state(
    model: Model,
    x: npt.NDArray[np.generic],
    *,
    accel: str = DEFAULT,
    settings: Mapping[str, object] | None = None,
    images: tuple[int, int] | None = None,
    engine: Engine | str = Engine.AUTO,
    rtl: Path | None = None,
    stalls: Iterable[int] = STALLS,
    status: Status | None = None,
    given: Callable[[Given], None] | None = None,
) -> FourStateResult:
    """Simulate an accelerator in Icarus Verilog on int8 images `x` [image, token, value]; compare every tap.

    `settings`: the device's, such as `dut`, the description of a design; taps that it does not show are not compared.
    `images`: (start, stop) of those of `x` to use, by default the first eight. `rtl`: a folder of Verilog in place of
    the device's own. `stalls`: percent of cycles in which both sides hold back, one run each. `given` is given what
    the design gave at the taps in the first images that differ, of the first run in which some do.

    Raises StimulusError for images that do not fit, and for an accelerator without a harness for four states;
    ModelError where the accelerator cannot compute the model; ToolError where building or simulating fails.
    """
    began = time.monotonic()
    check_model(model)
    check_images(images)
    device = DEVICES[accel]
    if not device.four_state:
        raise StimulusError(f"the accelerator '{device.name}' has no harness for four states")
    chosen = _settings_of(device, settings or {})
    fitted = device.fit(model, make_settings(device.name, device.settings, chosen))
    stimulus = model.check_stimulus(x)
    start, stop = images if images is not None else (0, min(IMAGES_MAX, len(stimulus)))
    if not 0 <= start < stop <= len(stimulus):
        raise StimulusError(f"images {start}:{stop} were asked for, expected a non-empty part of 0:{len(stimulus)}")
    shares = tuple(stalls)
    for share in shares:
        if not isinstance(share, int) or not 0 <= share <= STALL_MAX:
            raise StimulusError(f"both sides are to hold back in {share!r} % of cycles, expected 0 to {STALL_MAX}")
    simulator, sources = find_icarus(), fitted.design.read(rtl)
    words, layout = fitted.design.icarus_words(sources), fitted.layout(())
    shown = model.graph.taps if fitted.probed is None else (*fitted.probed, layout.output_tap)
    unprobed = tuple(tap for tap in model.graph.taps if tap not in shown)
    runs, unknown_values, came = [], 0, None
    for stall in shares:
        if status is not None:
            status(f"simulating in four states, {f'both sides holding back in {stall} %' if stall else 'no stalls'}")
        with temporary.folder("four-state") as work:
            bench = fitted.four_state(stimulus[start:stop], engine, stall, work)
            resets = RESETS if stall and fitted.has_reset else 0
            trace = run_four_state(bench.harness, bench.macros | {"RESETS": resets}, sources, work, words, bench.top)
        parts = [bench.found(Trace(values)) for values in (*trace.broken_off, trace.values)]
        found = parts[-1]
        unknown_values += sum(_number(bits) is None for part in parts for values in part.values() for _, bits in values)
        unknown = _handshake(trace.unknown, bench, found, start) if trace.unknown is not None else None
        taps = tuple(
            _compare(expected, [part[name] for part in parts], start) for name, expected in bench.streams.items()
        )
        if came is None:
            came = given_in_four_states(layout, stimulus[start:stop], bench.streams, found, start, engine)
        ended = (trace.cycles, trace.end, unknown, taps, trace.fault)
        runs.append(FourStateRun(stall, len(trace.broken_off), resets, *ended))
    if not runs:
        raise StimulusError("no run in four states was asked for")
    if given is not None and came is not None:
        given(came)
    return FourStateResult(
        passed=all(run.passed for run in runs),
        reason=next((_reason(run) for run in runs if not run.passed), None),
        images=stop - start,
        unknown_values=unknown_values,
        runs=tuple(runs),
        accel=device.name,
        model=model.name,
        model_sha256=model_sha256(model),
        image_start=start,
        image_stop=stop,
        engine=str(engine),
        rtl_sha256=sources.sha256,
        parameters=fitted.parameters,
        simulator=simulator,
        wall_seconds=round(time.monotonic() - began, 3),
        settings=chosen,
        unprobed=unprobed,
        outside=fitted.outside(unprobed),
    )


def _settings_of(device: Device, settings: Mapping[str, object]) -> dict[str, int | str | bool]:
    """The settings that are given, which must say what the design is: StimulusError at any that say how it is run."""
    options = options_of(device.settings)
    own = {option.field for option in options if option.setting.file or option.setting.design}
    made = make_settings(device.name, device.settings, settings)
    given = {name: getattr(made, name) for name, value in settings.items() if value is not None}
    if other := sorted(given.keys() - own):
        raise StimulusError(f"the accelerator '{device.name}' runs in four states with its own '{other[0]}' only")
    return given


def _number(bits: str, signed: bool = True) -> int | None:
    """The number that bits state, in two's complement or without a sign; None where a bit is unknown."""
    return None if set(bits) - {"0", "1"} else int(bits, 2) - (signed * int(bits[0]) << len(bits))


def _handshake(
    signal: tuple[str, int, str], bench: FourStateBench, found: dict[str, list[tuple[int, str]]], first_image: int
) -> str:
    """A handshake signal that nobody knows, and the next value of the stream that it belongs to."""
    name, cycle, bits = signal
    words = f"{bench.signals.get(name, name)} is {bits.upper()} in cycle {cycle:,}"
    stream = bench.handshakes.get(name)
    if stream is None:
        return words
    expected = bench.streams[stream]
    image, index = divmod(len(found[stream]), expected.values.shape[1])
    tap = named(expected.name, expected.carries)
    return f"{place(image + first_image, expected.place(index), tap)}: {words}"


def _compare(expected: Expected, parts: list[list[tuple[int, str]]], first_image: int) -> TapComparison:
    """Compare value by value, as far as both go; too few or too many values leave the comparison incomplete.

    Parts but the last one were broken off by a reset: values missing there are none that were to come.
    """
    *broken_off, last = [len(part) for part in parts]
    size = expected.values.shape[1]
    differences = []
    wanted = expected.values.reshape(-1).tolist()
    before = sum(min(length, len(wanted)) for length in broken_off)
    pairs = (pair for part in parts for pair in enumerate(zip(wanted, part, strict=False)))
    for n, (want, (cycle, bits)) in pairs:
        got = _number(bits, expected.signed) if len(bits) == expected.bits else None
        if got != want:
            image, index = divmod(n, size)
            differences.append(
                Difference(
                    image=image + first_image,
                    tap=expected.name,
                    expected=want,
                    got=bits.upper() if got is None else got,
                    cycle=cycle,
                    index=expected.place(index),
                    carries=expected.carries,
                )
            )
    return TapComparison(
        tap=expected.name,
        values=len(wanted) + before,
        # What the last part lacks is not made up for by what another has too much.
        compared=last + (sum(broken_off) if last >= len(wanted) else before),
        differ=len(differences),
        first=differences[0] if differences else None,
        examples=tuple(differences[:_EXAMPLES]),
    )


def _reason(run: FourStateRun) -> str:
    """The first thing that is wrong with a run, in the order of the data: of the lowest image, the first tap."""
    firsts = [tap.first for tap in run.taps if tap.first is not None]
    if firsts:
        return sentence(min(firsts, key=lambda first: first.image))
    if run.unknown is not None:
        return f"{run.unknown}, so that nobody can say whether a value is there"
    if run.fault is not None:
        return run.fault
    if run.ended == "missing":
        wrong = next((tap for tap in run.taps if tap.compared < tap.values), run.taps[0])
        return f"{wrong.tap}: a job began before all values of the one before had come, in cycle {run.cycles:,}"
    if run.ended != "done":
        return f"the design is {run.ended} after {run.cycles:,} cycles"
    if run.resets != run.resets_asked:
        return f"the harness reset the design {run.resets} times, expected {run.resets_asked}"
    wrong = next(tap for tap in run.taps if not tap.equal)
    return f"{wrong.tap}: {wrong.compared:,} values came, expected {wrong.values:,}"
