"""Checks of the RTL under Verilator: bit-exactness, cycles between images, and that a fault is found."""

import shutil
import tempfile
from pathlib import Path

from fxsim.contract.arithmetic import Int8
from fxsim.cosim import CosimResult, cosim
from fxsim.cosim.replay import keep
from fxsim.engines import Engine
from fxsim.errors import FxsimError
from fxsim.model import Model, recognise_resmlp
from fxsim.paths import rtl_dir
from fxsim.rtl.build import OPTIMISE
from fxsim.signoff.context import Context, Outcome
from fxsim.signoff.plan import CosimCheck, IntervalCheck, RtlFaultCheck
from fxsim.signoff.record import Comparison, Details, Figure, Interval, Simulation, TapFigures

_QUICK = "-O1"
_SMALL_DESIGN = 4096
"""Weights up to which a design counts as small: it simulates in no time, so that building it should take little too."""


def bit_exact(check: CosimCheck, context: Context, seed: int) -> Outcome:
    """One simulation for each stall pattern, all taps compared."""
    model = context.model(check.model)
    x = _images(check.images, context.stimulus(check.stimulus, model, seed))
    simulations, comparisons, problems = [], [], []
    kept, note = None, ""
    for number, pattern in enumerate(check.stalls):
        stall = pattern.replace("{seed}", str(seed))
        result = _simulate(model, x, stall, context, check.accelerator, check.engine)
        simulations.append(_simulation(check.model, result))
        taps = tuple(TapFigures(tap, found.compared, found.mismatches) for tap, found in result.taps.items())
        comparisons.append(Comparison(f"{check.name}, {stall}", True, taps))
        if not result.passed:
            problems.append(f"stall {stall}: {_finding(result)}")
            if len(problems) == 1:
                kept, note = _keep(check, result, model, x, context)
        context.status(f"stall pattern {number + 1} of {len(check.stalls)} done")
    values = sum(s.compared for s in simulations)
    wrong = sum(s.mismatches for s in simulations)
    first = simulations[0]
    figures = (
        Figure("values compared in the RTL", values),
        Figure("values that differ", wrong),
        Figure("taps", len(model.graph.taps)),
        Figure("stall patterns", len(simulations)),
        Figure("images simulated", sum(s.images for s in simulations)),
        Figure("simulated cycles a second", round(sum(s.cycles for s in simulations) / _seconds(simulations))),
        Figure("build", round(sum(s.build_seconds for s in simulations), 1), "s"),
    )
    summary = (
        f"{len(model.graph.taps)} taps, {values:,} values under {len(simulations)} stall pattern(s), {wrong:,} differ; "
        f"{first.images} images each"
    )
    details = Details(figures=figures, simulations=tuple(simulations), comparisons=tuple(comparisons))
    return Outcome(summary, "; ".join(problems[:3]) + note or None, details, kept)


def interval(check: IntervalCheck, context: Context, seed: int) -> Outcome:
    """Cycles between images once the pipeline filled: the greatest there were against the bound."""
    model = context.model(check.model)
    x = _images(check.images, context.stimulus(check.stimulus, model, seed))
    result = _simulate(model, x, "none", context, check.accelerator)
    greatest = None if result.interval is None else result.interval.max
    median = None if result.interval is None else result.interval.median
    reason, kept = None, None
    if not result.passed:
        kept, note = _keep(check, result, model, x, context)
        reason = _finding(result) + note
    elif greatest is None:
        reason = "the interval could not be measured"
    elif greatest > check.bound:
        reason = f"{greatest:,} cycles between two images, expected at most {check.bound:,}"
    figures = (
        Figure("between images, greatest", greatest, "cycles"),
        Figure("between images, median", median, "cycles"),
        Figure("intervals measured", 0 if result.interval is None else result.interval.count),
        Figure("bound", check.bound, "cycles"),
        Figure("published", check.published, "cycles"),
        Figure("latency of the first image", result.latency_cycles, "cycles"),
        Figure("simulated cycles a second", result.cycles_per_second),
        Figure("build", result.build_seconds, "s"),
    )
    between = "cycles between images not measured"
    if greatest is not None:
        between = f"at most {greatest:,} cycles between images (median {median:,})"
    summary = f"{between}, bound {check.bound:,}"
    summary += f", published {check.published:,}" if check.published is not None else ""
    summary += f"; latency {result.latency_cycles:,}" if result.latency_cycles is not None else ""
    row = Interval(check.model, greatest, median, check.bound, check.published, result.latency_cycles)
    details = Details(figures=figures, intervals=(row,), simulations=(_simulation(check.model, result),))
    return Outcome(summary, reason, details, kept)


def rtl_fault(check: RtlFaultCheck, context: Context, seed: int) -> Outcome:
    """A faulty copy of the RTL: the comparison must fail, at the expected tap first."""
    model = context.model(check.model)
    x = _images(check.images, context.stimulus(check.stimulus, model, seed))
    with tempfile.TemporaryDirectory(prefix="fxsim-fault-") as folder:
        copy = Path(folder) / "rtl"
        shutil.copytree(rtl_dir(), copy)
        path = copy / check.file
        if path.parent != copy or not path.is_file():
            raise FxsimError(f"there is no Verilog file '{check.file}' to put a fault into")
        text = path.read_text(encoding="utf-8")
        if text.count(check.find) != 1:
            raise FxsimError(f"rtl/{check.file} has '{check.find}' {text.count(check.find)} times, expected once")
        path.write_text(text.replace(check.find, check.replace), encoding="utf-8")
        result = _simulate(model, x, "none", context, check.accelerator, rtl=copy)
    first = result.first_mismatch
    reason = None
    if first is None:
        reason = f"the fault in {check.file} was not found in {result.images} images"
    elif first.tap != check.first_tap:
        reason = f"the fault in {check.file} was first seen at {first.tap}, expected {check.first_tap}"
    figures = (
        Figure("fault", f"{check.file}: '{check.find}' became '{check.replace}'"),
        Figure("values compared", sum(tap.compared for tap in result.taps.values())),
        Figure("values that differ", result.mismatches),
        Figure("first difference", "none" if first is None else _place(result)),
    )
    summary = f"fault in {check.file}: " + ("not found" if first is None else f"found at {_place(result)}")
    return Outcome(summary, reason, Details(figures=figures))


def _images(count: int, x: Int8) -> Int8:
    if len(x) < count:
        raise FxsimError(f"the plan wants {count} images of a stimulus that has {len(x)}")
    return x[:count]


def _simulate(
    model: Model,
    x: Int8,
    stall: str,
    context: Context,
    accelerator: str,
    engine: Engine = Engine.AUTO,
    rtl: Path | None = None,
) -> CosimResult:
    c = recognise_resmlp(model.graph)
    small = c.blocks * (2 * c.channels * c.hidden + c.tokens**2) <= _SMALL_DESIGN
    result = cosim(
        model,
        x,
        accel=accelerator,
        stall=stall,
        engine=engine,
        rtl=rtl,
        progress=context.progress,
        status=context.status,
        optimise=_QUICK if small else OPTIMISE,
    )
    if rtl is None:
        context.hashes["rtl"] = result.rtl_sha256
    return result


def _keep(
    check: CosimCheck | IntervalCheck, result: CosimResult, model: Model, x: Int8, context: Context
) -> tuple[str | None, str]:
    """Leave what repeats a failed simulation in a folder of the check's, where files are written at all.

    Returns the folder as the record names it, and what to add to the reason: that keeping failed must not hide what the
    check found.
    """
    folder = context.failure_folder(check.name)
    if folder is None or context.output is None:
        return None, ""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        keep(folder, result, model, x)
    except (FxsimError, OSError) as error:
        return None, f"; the failure could not be kept: {error}"
    return folder.relative_to(context.output).as_posix(), ""


def _simulation(model: str, result: CosimResult) -> Simulation:
    return Simulation(
        model=model,
        stall=result.stall,
        images=result.images,
        compared=sum(tap.compared for tap in (*result.taps.values(), result.output)),
        mismatches=result.mismatches,
        passed=result.passed,
        finding=None if result.passed else _finding(result),
        interval_cycles=result.interval_cycles,
        bound_cycles=result.interval_bound_cycles,
        latency_cycles=result.latency_cycles,
        cycles=result.cycles,
        cycles_per_second=result.cycles_per_second,
        build_seconds=result.build_seconds,
        build_cached=result.build_cached,
    )


def _seconds(simulations: list[Simulation]) -> float:
    return sum(s.cycles / max(s.cycles_per_second, 1) for s in simulations) or 1.0


def _place(result: CosimResult) -> str:
    d = result.first_mismatch
    assert d is not None
    token = "" if d.token is None else f" token {d.token},"
    return (
        f"{d.tap}, image {d.image},{token} channel {d.channel}: expected {d.expected}, got {d.got} (cycle {d.cycle:,})"
    )


def _finding(result: CosimResult) -> str:
    """Why a simulation did not pass."""
    if result.first_mismatch is not None:
        return f"{result.mismatches:,} values differ, first {_place(result)}"
    if result.stopped is not None:
        return f"stopped at cycle {result.stopped.cycle:,}: {result.stopped.reason}"
    if result.faults:
        fault = result.faults[0]
        return f"{fault.kind} on {fault.stream}, image {fault.image}, cycle {fault.cycle:,}"
    return f"only {result.images} images came out"
