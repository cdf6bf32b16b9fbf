"""Kind `speed`: equal values on what is measured, and figures of the machine that measured them.

They are measured anew in every run: nothing of them is kept for another one, and the record names the machine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from fxsim.benchmark.record import Measured, Operator, Result
from fxsim.machine import count_cores
from fxsim.signoff.context import Context, Outcome, first_few
from fxsim.signoff.kind import Kind, Picture, Section, Topic, Yardstick
from fxsim.signoff.plan import Check, Name
from fxsim.signoff.record import Data, Details, Figure
from fxsim.signoff.report.elements import Block, Cell, Column, Row, Table, Value, format_figure, format_percent
from fxsim.signoff.report.style import (
    ACCENT,
    CARD,
    ERROR,
    FAILED,
    INK,
    LINE,
    MUTED,
    PASSED,
    SECOND,
    SKIPPED,
    new_canvas,
    shorten,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

    from fxsim.benchmark.figure import Palette

_ROUNDS, _ROUNDS_MAX = 3, 9
_SECONDS = 0.03
_BATCHES = (1, 512)


class SpeedCheck(Check, frozen=True, tag="speed", kw_only=True):
    """Every path of the engines gives the reference engine's values on the images that it is measured with.

    Measured for some seconds: images a second of each, what the machine can do at most, and where the time goes. Only
    with `at_least` is a speed demanded: the fastest path must compute so many images a second. `threads`: by default
    one a core.
    """

    model: Name
    stimulus: Name
    images: Annotated[int, Meta(ge=1, le=1000)] = 32
    threads: Annotated[int, Meta(ge=1, le=1024)] | None = None
    at_least: Annotated[float, Meta(gt=0)] | None = None


class Speed(Data, frozen=True):
    """Measured speed of the engines, on the machine that it names. `at_least`: images a second demanded of the fastest.

    `reached`: what the fastest path computes a second, the median of the rounds; None where none was measured.
    """

    FIELD = "speeds"

    measured: Measured
    at_least: float | None
    reached: float | None


def run(check: SpeedCheck, context: Context, seed: int) -> Outcome:
    """Every engine on every instruction set of this machine, what it can do at most, and the time by operator."""
    # Only here: what measures takes half a second to import.
    from fxsim.benchmark.contestants import COMPILED, list_engines
    from fxsim.benchmark.measure import measure
    from fxsim.engines.compiled import instruction_sets

    model = context.model(check.model)
    images = context.stimulus(check.stimulus, model, seed)[: check.images]
    threads = check.threads or count_cores()
    measured = measure(
        model,
        images,
        list_engines(tuple(kind.name for kind in instruction_sets()), threads, _BATCHES),
        threads=threads,
        rounds=_ROUNDS,
        rounds_max=_ROUNDS_MAX,
        seconds=_SECONDS,
        seed=seed,
        report=context.progress,
    )
    rates = {
        result.contestant.name: rate.median
        for result in measured.results
        if (rate := measured.rate(result)) is not None and result.contestant.engine == COMPILED
    }
    fastest = max(rates, key=lambda name: rates[name], default=None)
    reached = None if fastest is None else rates[fastest]
    problems = [
        f"{result.contestant.name}: {result.difference}" for result in measured.results if result.equal is False
    ]
    if check.at_least is not None and (reached is None or reached < check.at_least):
        found = "nothing" if reached is None else f"{reached:,.0f} ({fastest})"
        problems.append(f"{found} images/s, expected at least {check.at_least:,.0f}")
        problems += [f"not measurable now: {line}" for line in measured.unmeasurable]
    by_name = {result.contestant.name: result for result in measured.results}
    share = None if fastest is None else measured.share(by_name[fastest])
    machine = measured.machine
    figures = (
        Figure("measured on", f"{machine.processor}, {machine.cores} cores, {', '.join(machine.instruction_sets)}"),
        Figure("images compared with the reference engine", len(images)),
        Figure("paths", len(measured.results)),
        Figure("paths whose values differ", sum(result.equal is False for result in measured.results)),
        Figure("paths that cannot compute the model", sum(result.absent is not None for result in measured.results)),
        Figure("fastest path", fastest),
        Figure("its images a second", None if reached is None else round(reached)),
        Figure("part of the products that the machine can do", None if share is None else round(100 * share, 1), "%"),
        Figure("demanded images a second", check.at_least),
        Figure("rounds", measured.rounds),
        Figure("figures that were not measurable", len(measured.unmeasurable)),
    )
    equal = sum(result.equal is True for result in measured.results)
    summary = f"{check.model}: {equal} of {len(measured.results)} paths = reference on {len(images)} images"
    if problems:
        summary = f"{check.model}: {len(problems)} problem(s)"
    elif reached is not None:
        summary += f"; {reached:,.0f} images/s on {machine.processor}, {threads} thread(s)"
    details = Details(figures, [Speed(measured, check.at_least, reached)])
    unmeasurable = measured.unmeasurable
    reported = f"not measurable now: {first_few(unmeasurable)}" if unmeasurable else None
    return Outcome(summary, first_few(problems) or None, details, reported=reported)


def _palette() -> Palette:
    """Colours of the page for pictures of a measurement."""
    from fxsim.benchmark.figure import Palette

    return Palette(
        paper=CARD,
        ink=INK,
        muted=MUTED,
        line=LINE,
        compiled=ACCENT,
        loops=PASSED,
        others=SKIPPED,
        published=FAILED,
        steps=(ACCENT, SECOND, PASSED, ERROR, SKIPPED, MUTED),
    )


def _rooflines(speeds: Sequence[Measured]) -> Canvas:
    """Draw a panel a model."""
    from fxsim.benchmark.figure import draw_roofline

    canvas = new_canvas(5.2 * len(speeds), layout="constrained")
    for panel, measured in zip(canvas.subplots(len(speeds), 1, squeeze=False).flatten(), speeds, strict=True):
        draw_roofline(
            panel, measured, _palette(), f"{shorten(measured.model)} on {shorten(measured.machine.processor)}"
        )
    return canvas


def _operator_times(speeds: Sequence[Measured]) -> Canvas:
    """Draw a bar a model."""
    from fxsim.benchmark.figure import draw_steps

    canvas = new_canvas(2.0 * len(speeds), layout="constrained")
    for panel, measured in zip(canvas.subplots(len(speeds), 1, squeeze=False).flatten(), speeds, strict=True):
        draw_steps(panel, measured, _palette(), shorten(measured.model))
    return canvas


_PATHS = (
    Column("path", whole=True),
    *(
        Column(title, number=True)
        for title in (
            "batch", "threads", "images/s", "±", "of the peak", "times the plain loops", "times the published FPGA",
        )
    ),
    Column("equal"),
)  # fmt: skip


def _path(measured: Measured, result: Result) -> Row:
    """A row of the table of paths."""
    who, rate = result.contestant, measured.rate(result)
    remark = result.difference or result.absent
    if not result.steady or measured.is_beyond(result):
        remark = "not measurable now"
    cells: list[Value | Cell] = [Cell(who.path, remark=remark), who.batch, who.threads]
    if rate is None:
        cells.append(Cell(span=5))
    else:
        ratio, fpga = measured.ratio(result), measured.published
        cells += [
            Cell(round(rate.median), strong=True),
            round(rate.half),
            format_percent(measured.share(result)),
            "" if ratio is None else round(ratio, 2),
            "" if fpga is None else round(rate.median / fpga.images_per_second, 2),
        ]
    equal = "" if result.equal is None else "yes" if result.equal else "no"
    return Row((*cells, equal), failed=result.equal is False)


def _gmacs(measured: Measured, operator: Operator) -> Value:
    """GMAC/s of an operator for its table; a dash where that could not be measured."""
    if not operator.macs:
        return ""
    rate = measured.operator_rate(operator)
    return None if rate is None else rate / 1e9


def _write(speeds: Sequence[Speed]) -> list[Block]:
    """Tables of the paths and of the time by operator, for each model."""
    blocks = []
    for speed in speeds:
        measured = speed.measured
        isa = "not measured" if measured.profile is None else measured.profile.isa
        operators = Table(
            (
                Column(f"time by operator, {isa}, one thread"), Column("steps", number=True),
                Column("µs an image", number=True), Column("GMAC/s", number=True),
            ),
            tuple(
                Row(
                    (
                        operator.name, operator.steps, round(operator.seconds * 1e6, 2),
                        _gmacs(measured, operator),
                    )
                )
                for operator in measured.operators()
            ),
        )  # fmt: skip
        machine, published = measured.machine, measured.published
        note = (
            f"Measured in this run on {machine.processor}, {machine.cores:,} cores, "
            f"{', '.join(machine.instruction_sets)}: nothing is kept from an earlier one. The median of "
            f"{measured.rounds:,} rounds, ± half the range between the quartiles. Each path was compared with the "
            f"reference engine on {measured.images_checked:,} images before it was timed."
        )
        if measured.unmeasurable:
            note += f" Not measurable now: {'; '.join(measured.unmeasurable)}."
        if speed.at_least is not None:
            note += f" Demanded of the fastest: {format_figure(speed.at_least)} images/s."
        if published is not None:
            note += f" FPGA: {format_figure(published.images_per_second)} images/s, {published.source}."
        paths = Table(_PATHS, tuple(_path(measured, result) for result in measured.results))
        heading = f"{measured.model}: {measured.macs:,} multiply-accumulates an image"
        blocks.append(Block((paths, operators), heading=heading, note=note))
    return blocks


KIND = Kind(
    settings=SpeedCheck,
    about="every engine gives the reference engine's values on the images that its speed is measured with",
    run=run,
    data=(Speed,),
    report=(
        Picture(
            "Speed of the engines under the roofs of the machine",
            "GMAC/s on one core. Slanted: what can be read; level: products that instruction sets can do; dots: the "
            "network on each path; diamonds: operators of the compiled engine. Measured on the machine of this run.",
            lambda check: [speed.measured for speed in check.details.of(Speed)],
            _rooflines,
            topic=Topic.SPEED,
        ),
        Picture(
            "Where the compiled engine's time goes",
            "\u00b5s an image on one thread, by kind of operator.",
            lambda check: [s.measured for s in check.details.of(Speed) if s.measured.profile is not None],
            _operator_times,
            topic=Topic.SPEED,
        ),
        Section("Speed of the engines", lambda check: check.details.of(Speed), _write, topic=Topic.SPEED),
        Yardstick(
            lambda _: {},
            lambda check: {
                f"images/s of {row.measured.model}": row.reached
                for row in check.details.of(Speed)
                if row.reached is not None
            },
        ),
    ),
    alone=True,
)
