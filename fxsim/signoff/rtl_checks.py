"""Checks of the RTL under Verilator: bit-exactness, cycles between images, and that a fault is found."""

import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from fxsim import temporary
from fxsim.contract.arithmetic import Int8
from fxsim.cosim import Accelerator, CosimResult, cosim
from fxsim.cosim.replay import keep
from fxsim.engines import Engine
from fxsim.errors import FxsimError
from fxsim.families import recognise_resmlp
from fxsim.graph import Model
from fxsim.paths import rtl_dir
from fxsim.rtl import build_memory_image
from fxsim.rtl.build import OPTIMISE
from fxsim.signoff.context import Context, Outcome
from fxsim.signoff.plan import Check, CosimCheck, CyclesCheck, IntervalCheck, RtlCheck, RtlFaultCheck
from fxsim.signoff.record import (
    Agreement,
    Comparison,
    Cycles,
    Details,
    Figure,
    Interval,
    LayerCycles,
    Simulation,
    TapAgreement,
    TapFigures,
    TimelineSpan,
    Way,
)

_QUICK = "-O1"
_SMALL_DESIGN = 4096
"""Weights up to which a design counts as small: it simulates in no time, so that building it should take little too."""

_ALONE, _BATCH, _KEPT = "an image alone", "in a batch", "in a batch, parameters kept"
"""How images are run to count their cycles."""


def bit_exact(check: CosimCheck, context: Context, seed: int) -> Outcome:
    """One simulation of each accelerator for each stall pattern, all taps compared."""
    model = context.model(check.model)
    x = _images(check.images, context.stimulus(check.stimulus, model, seed))
    runs = [(accelerator, pattern) for accelerator in check.accelerators for pattern in check.stalls]
    results, simulations, comparisons, problems = [], [], [], []
    kept, note = None, ""
    for number, (accelerator, pattern) in enumerate(runs):
        stall = pattern.replace("{seed}", str(seed))
        result = _simulate(model, x, stall, context, _setup(check, accelerator), check.engine)
        results.append(result)
        simulations.append(_simulation(check.model, result))
        taps = tuple(TapFigures(tap, found.compared, found.mismatches) for tap, found in result.taps.items())
        comparisons.append(Comparison(f"{check.name}, {accelerator}, {stall}", True, taps))
        if not result.passed:
            problems.append(f"{accelerator}, stall {stall}: {_finding(result)}")
            if len(problems) == 1:
                kept, note = _keep(check, result, model, x, context)
        context.status(f"simulation {number + 1} of {len(runs)} done")
    values = sum(s.compared for s in simulations)
    wrong = sum(s.mismatches for s in simulations)
    figures: tuple[Figure, ...] = (
        Figure("values compared in the RTL", values),
        Figure("values that differ", wrong),
        Figure("taps", len(model.graph.taps)),
        Figure("accelerators", ", ".join(check.accelerators)),
        Figure("stall patterns", len(check.stalls)),
        Figure("images simulated", sum(s.images for s in simulations)),
        Figure("simulated cycles a second", round(sum(s.cycles for s in simulations) / _seconds(simulations))),
        Figure("build", round(sum(s.build_seconds for s in simulations), 1), "s"),
    )
    agreements: tuple[Agreement, ...] = ()
    agreed = ""
    if len(check.accelerators) > 1:
        agreement = _agreement(check, model, len(x), results)
        agreements = (agreement,)
        problems += _missing(agreement)
        each = sum(tap.values for tap in agreement.taps)
        figures += (Figure("values of the same images, three ways", each),)
        agreed = "three ways (integer model, streaming RTL, SIMD RTL): "
    summary = (
        f"{agreed}{len(model.graph.taps)} taps, {values:,} values under {len(check.stalls)} stall pattern(s), "
        f"{wrong:,} differ; {simulations[0].images} images each"
    )
    details = Details(
        figures=figures, simulations=tuple(simulations), comparisons=tuple(comparisons), agreements=agreements
    )
    return Outcome(summary, "; ".join(problems[:3]) + note or None, details, kept)


def _agreement(check: CosimCheck, model: Model, images: int, results: list[CosimResult]) -> Agreement:
    """What each accelerator gave at each tap of the same images, over all its simulations."""
    taps = []
    for tap in model.graph.taps:
        ways = []
        for accelerator in check.accelerators:
            found = [r.taps[tap] for r in results if r.accel == accelerator and tap in r.taps]
            ways.append(Way(accelerator, sum(t.compared for t in found), sum(t.mismatches for t in found)))
        taps.append(TapAgreement(tap, images * math.prod(model.graph.shapes[tap]), tuple(ways)))
    return Agreement(check.model, images, len(check.stalls), tuple(taps))


def _missing(agreement: Agreement) -> list[str]:
    """Taps of which an accelerator gave fewer values than the model has: no agreement, though none differ."""
    return [
        f"{way.accelerator} gave {way.compared:,} values at {tap.tap}, expected {tap.values * agreement.simulations:,}"
        for tap in agreement.taps
        for way in tap.ways
        if way.compared < tap.values * agreement.simulations
    ]


def interval(check: IntervalCheck, context: Context, seed: int) -> Outcome:
    """Cycles between images once the pipeline filled: the greatest there were against the bound."""
    model = context.model(check.model)
    x = _images(check.images, context.stimulus(check.stimulus, model, seed))
    result = _simulate(model, x, "none", context, _setup(check, check.accelerator))
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


def cycles(check: CyclesCheck, context: Context, seed: int) -> Outcome:
    """Cycles an image of the SIMD accelerator, alone and in batches, against the bound, and where they went."""
    setup = _Setup(Accelerator.SIMD, check.read_latency, batch=1, keep=False)
    runs = {_ALONE: (check.model, setup), _BATCH: (check.model, replace(setup, batch=check.images))}
    if build_memory_image(context.model(check.model)).keeps:
        runs[_KEPT] = check.model, replace(setup, batch=check.images, keep=True)
    wanted = check.faster_than
    if wanted is not None:
        runs[wanted.model] = wanted.model, setup
    measured: dict[str, int | None] = {}
    results, problems = [], []
    kept, note = None, ""
    for name, (model_name, ran) in runs.items():
        model = context.model(model_name)
        x = _images(check.images, context.stimulus(check.stimulus, model, seed))
        result = _simulate(model, x, "none", context, ran)
        results.append((model_name, result))
        measured[name] = _greatest_cycles(result)
        context.status(f"simulation {len(results)} of {len(runs)} done")
        if not result.passed:
            problems.append(f"{name}: {_finding(result)}")
            if kept is None:
                kept, note = _keep(check, result, model, x, context)
        elif measured[name] is None:
            problems.append(f"{name}: the cycles of an image could not be measured")
    alone, batch = measured[_ALONE], measured[_BATCH]
    for which in (_ALONE, _BATCH):
        greatest = measured[which]
        if greatest is not None and greatest > check.bound:
            problems.append(f"{which}: {greatest:,} cycles, expected at most {check.bound:,}")
    ratio = None
    if wanted is not None and alone is not None and (other := measured[wanted.model]) is not None:
        ratio = other / alone
        if ratio < wanted.ratio:
            problems.append(f"{wanted.model} takes {ratio:.4f} times as long, expected at least {wanted.ratio:g} times")

    figures_of_alone = results[0][1].simd
    assert figures_of_alone is not None  # the SIMD accelerator was simulated
    row = Cycles(
        model=check.model,
        read_latency=figures_of_alone.read_latency,
        alone_cycles=alone,
        batch_cycles=batch,
        kept_cycles=measured.get(_KEPT),
        bound_cycles=check.bound,
        published_cycles=check.published,
        faster_than=None if wanted is None else wanted.model,
        ratio=None if ratio is None else round(ratio, 4),
        ratio_bound=None if wanted is None else wanted.ratio,
        layers=tuple(msgspec.convert(layer, LayerCycles, from_attributes=True) for layer in figures_of_alone.layers),
        timeline=tuple(msgspec.convert(span, TimelineSpan, from_attributes=True) for span in figures_of_alone.timeline),
    )
    used = row.utilisation
    figures: tuple[Figure, ...] = (
        Figure("greatest of an image alone, everything loaded for it", alone, "cycles"),
        Figure("greatest in a batch", batch, "cycles"),
        Figure("greatest in a batch, parameters kept", row.kept_cycles if _KEPT in runs else "they do not fit"),
        Figure("bound", check.bound, "cycles"),
        Figure("published", check.published, "cycles"),
        Figure("multipliers used, of an image alone", None if used is None else round(100 * used, 2), "%"),
        Figure("latency of the memory", row.read_latency, "cycles"),
        Figure("words read, of an image alone", figures_of_alone.read_beats // check.images),
        Figure("words written, of an image alone", figures_of_alone.write_beats // check.images),
    )
    summary = f"{_cycles(alone)} for an image alone, bound {check.bound:,}"
    summary += f", published {check.published:,}" if check.published is not None else ""
    summary += f"; {_cycles(batch)} in a batch"
    summary += f", {_cycles(row.kept_cycles)} with the parameters kept" if _KEPT in runs else ""
    if wanted is not None:
        figures += (
            Figure(f"alone, {wanted.model}", measured[wanted.model], "cycles"),
            Figure(f"{wanted.model} takes", row.ratio, "times as long"),
            Figure("which must be at least", wanted.ratio, "times"),
        )
        summary += f"; {wanted.model} takes {'–' if ratio is None else f'{ratio:.3f}'} times as long"  # noqa: RUF001
    details = Details(
        figures=figures, simulations=tuple(_simulation(name, result) for name, result in results), cycles=(row,)
    )
    return Outcome(summary, "; ".join(problems[:3]) + note or None, details, kept)


def _greatest_cycles(result: CosimResult) -> int | None:
    """The most cycles that an image took: a job of one image from its start to done, else between results of a job."""
    assert result.simd is not None  # the SIMD accelerator was simulated
    spread = result.simd.job_cycles if result.simd.batch == 1 else result.simd.image_cycles
    return None if spread is None else spread.max


def _cycles(count: int | None) -> str:
    return "unmeasured cycles" if count is None else f"{count:,} cycles"


def rtl_fault(check: RtlFaultCheck, context: Context, seed: int) -> Outcome:
    """A faulty copy of the RTL: the comparison must fail, at the expected tap first."""
    model = context.model(check.model)
    x = _images(check.images, context.stimulus(check.stimulus, model, seed))
    with temporary.folder("fault") as folder:
        copy = folder / "rtl"
        shutil.copytree(rtl_dir(), copy)
        path = copy / check.file
        if path.parent != copy or not path.is_file():
            raise FxsimError(f"there is no Verilog file '{check.file}' to put a fault into")
        text = path.read_text(encoding="utf-8")
        if text.count(check.find) != 1:
            raise FxsimError(f"rtl/{check.file} has '{check.find}' {text.count(check.find)} times, expected once")
        path.write_text(text.replace(check.find, check.replace), encoding="utf-8")
        result = _simulate(model, x, "none", context, _setup(check, check.accelerator), rtl=copy)
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


@dataclass(frozen=True)
class _Setup:
    """Which accelerator is simulated, and how; None where that is for the co-simulation to decide."""

    accelerator: Accelerator
    read_latency: int | None = None
    batch: int | None = None
    keep: bool | None = None

    @property
    def options(self) -> dict[str, Any]:
        """What the co-simulation is told."""
        settings = {"read_latency": self.read_latency, "batch": self.batch, "keep": self.keep}
        return {"accel": self.accelerator} | {name: value for name, value in settings.items() if value is not None}


def _setup(check: RtlCheck, accelerator: Accelerator) -> _Setup:
    """As a check wants an accelerator; its settings are those of the SIMD accelerator."""
    if accelerator is Accelerator.STREAM:
        return _Setup(accelerator)
    return _Setup(accelerator, check.read_latency, check.batch, check.keep)


def _simulate(
    model: Model,
    x: Int8,
    stall: str,
    context: Context,
    setup: _Setup,
    engine: Engine = Engine.AUTO,
    rtl: Path | None = None,
) -> CosimResult:
    c = recognise_resmlp(model.graph)
    small = c.blocks * (2 * c.channels * c.hidden + c.tokens**2) <= _SMALL_DESIGN
    result = cosim(
        model,
        x,
        stall=stall,
        engine=engine,
        rtl=rtl,
        progress=context.progress,
        status=context.status,
        # One SIMD accelerator computes all models.
        optimise=_QUICK if small and setup.accelerator is Accelerator.STREAM else OPTIMISE,
        **setup.options,
    )
    if rtl is None:
        context.hashes["rtl"] = result.rtl_sha256
    return result


def _keep(check: Check, result: CosimResult, model: Model, x: Int8, context: Context) -> tuple[str | None, str]:
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
        # Of the SIMD accelerator it is not a bound that is held, but one that nothing can be below.
        bound_cycles=result.interval_bound_cycles if result.accel == Accelerator.STREAM else None,
        latency_cycles=result.latency_cycles,
        cycles=result.cycles,
        cycles_per_second=result.cycles_per_second,
        build_seconds=result.build_seconds,
        build_cached=result.build_cached,
        accelerator=result.accel,
        batch=None if result.simd is None else result.simd.batch,
        keep=None if result.simd is None else result.simd.keep,
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
        seen = "" if fault.detail is None else f": {fault.detail}"
        return f"{fault.kind} on {fault.stream}, image {fault.image}, cycle {fault.cycle:,}{seen}"
    return f"only {result.images} images came out"
