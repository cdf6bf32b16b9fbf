"""Kind `speed`: equal values on what is measured, and figures of the machine that measured them.

They are measured anew in every run: nothing of them is kept for another one, and the record names the machine. What
stays the same from machine to machine are ratios, of contestants to each other and to what the machine can do at most:
these a plan may demand.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from msgspec import Meta

from fxsim.benchmark.record import (
    RECORD_BYTES_MAX,
    Contestant,
    Measured,
    Operator,
    Result,
    parse_contestant,
    read_record,
    spread,
)
from fxsim.errors import FxsimError
from fxsim.formats import model_sha256
from fxsim.formats.text import read_bounded
from fxsim.machine import count_cores
from fxsim.signoff.context import Context, Outcome, first_few
from fxsim.signoff.kind import Kind, Picture, Section, Topic, Yardstick
from fxsim.signoff.plan import Check, Name, Part
from fxsim.signoff.record import Data, Details, Figure, Record
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
_ROUNDS_RATIOS, _ROUNDS_RATIOS_MAX = 7, 21
ROOF = "roof"
"""The word for what a contestant's host can do at most, in the place of another contestant."""


class Ratio(Part, frozen=True, kw_only=True):
    """The least ratio of a contestant's images a second to those of another, `to`, or to those that its roof allows.

    Both are names as `fxsim bench engine --only` takes them, with batch and threads. The ratio is the median of those
    of single rounds. `spread_percent`: the most that half the range between their quartiles may be of it.
    """

    contestant: Name
    to: Name
    at_least: Annotated[float, Meta(gt=0)]
    spread_percent: Annotated[float, Meta(gt=0, le=100)] = 20.0

    @property
    def contestants(self) -> tuple[Contestant, ...]:
        """The contestant and, but where that is the roof, the one that it is compared with."""
        return tuple(parse_contestant(name) for name in (self.contestant, self.to) if name != ROOF)


class SpeedCheck(Check, frozen=True, tag="speed", kw_only=True):
    """Every path of the engines gives the reference engine's values on the images that it is measured with.

    Measured for some seconds: images a second of each, what the machine can do at most, and where the time goes. Only
    with `at_least` is a speed demanded: the fastest path must compute so many images a second; only with `ratios` are
    ratios. `threads`: by default one a core. `before`: a record that `fxsim bench engine -o` wrote of the same model,
    which the report shows beside.
    """

    model: Name
    stimulus: Name
    images: Annotated[int, Meta(ge=1, le=1000)] = 32
    threads: Annotated[int, Meta(ge=1, le=1024)] | None = None
    at_least: Annotated[float, Meta(gt=0)] | None = None
    ratios: tuple[Ratio, ...] = ()
    before: Name | None = None

    def problems(self) -> Iterator[str]:
        """Every ratio must be of two contestants that there are, and one that can be missed and reached."""
        yield from super().problems()
        for ratio in self.ratios:
            try:
                parse_contestant(ratio.contestant)
                if ratio.to != ROOF:
                    parse_contestant(ratio.to)
            except FxsimError as error:
                yield f"has a ratio of which {error}; in the place of the second one, '{ROOF}' may stand"
                continue
            if ratio.contestant == ratio.to:
                yield f"compares contestant '{ratio.to}' with itself"
            if ratio.to == ROOF and ratio.at_least > 1:
                yield f"demands {ratio.at_least:g} of what '{ratio.contestant}' can do at most, expected up to 1"
        pairs = [(ratio.contestant, ratio.to) for ratio in self.ratios]
        for name, to in sorted({pair for pair in pairs if pairs.count(pair) > 1}):
            yield f"demands the ratio of '{name}' to '{to}' more than once"


class RatioFound(Record, frozen=True):
    """A ratio that was demanded, and what became of it.

    `rounds`: it in each round; empty where it was not measured. `verdict`: `noisy` where the rounds differ by more than
    `spread_percent`, or the roof was beaten: then it is not known; `skipped` where this machine lacks what it needs.
    """

    contestant: str
    to: str
    at_least: float
    spread_percent: float
    rounds: tuple[float, ...]
    verdict: Literal["passed", "failed", "noisy", "skipped"]
    reason: str | None

    @property
    def name(self) -> str:
        """The two contestants, or the contestant and the roof, in a few words."""
        return f"{self.contestant} to {'its roof' if self.to == ROOF else self.to}"


class Speed(Data, frozen=True):
    """Measured speed of the engines, on the machine that it names. `at_least`: images a second demanded of the fastest.

    `reached`: what the fastest path computes a second, the median of the rounds; None where none was measured.
    `ratios`: those demanded. `before`: an earlier measurement of the model, which nothing is judged by.
    """

    FIELD = "speeds"

    measured: Measured
    at_least: float | None
    reached: float | None
    ratios: tuple[RatioFound, ...] = ()
    before: Measured | None = None


def _judge(ratio: Ratio, measured: Measured, lacks: dict[str, str]) -> RatioFound:
    """Judge a ratio by what was measured; `lacks`: contestants that this machine lacks something for, and what."""
    names = [who.name for who in ratio.contestants]
    by_name = {result.contestant.name: result for result in measured.results}

    def found(verdict: Literal["passed", "failed", "noisy", "skipped"], reason: str | None) -> RatioFound:
        stated = ratio.contestant, ratio.to, ratio.at_least, ratio.spread_percent
        return RatioFound(*stated, rounds, verdict, reason)

    rounds: tuple[float, ...] = ()
    for name in names:
        if name in lacks:
            return found("skipped", f"{name}: {lacks[name]}")
    for name in names:
        wrong = by_name[name].difference or by_name[name].absent
        if wrong is not None:
            return found("failed", f"{name}: {wrong}")
    result, *others = (by_name[name] for name in names)
    rounds = measured.paired(result, *others)
    if not rounds:
        return found("failed", f"{ratio.contestant} has no roof here")
    if not others and measured.is_beyond(result):
        return found("noisy", "the roof was beaten, which cannot be")
    figure = spread(rounds)
    part = 100 * figure.half / figure.median
    if part > ratio.spread_percent:
        said = f"{figure.low:.3g} to {figure.high:.3g} between quartiles of {len(rounds)} rounds, \u00b1 {part:.0f} %"
        return found("noisy", f"{said}, expected at most {ratio.spread_percent:g} %")
    if figure.median < ratio.at_least:
        return found("failed", f"{figure.median:.3g}, expected at least {ratio.at_least:g}")
    return found("passed", None)


def _read_before(check: SpeedCheck, context: Context, sha256: str) -> Measured | None:
    if check.before is None:
        return None
    path = context.path(check.before)
    before = read_record(path).measured
    if before.model_sha256 != sha256:
        raise FxsimError(f"{path} was measured of another model: {before.model_sha256[:12]}, expected {sha256[:12]}")
    content = read_bounded(path, RECORD_BYTES_MAX, "a record of fxsim bench engine")
    context.note_hash(f"measured before {check.before}", hashlib.sha256(content).hexdigest())
    return before


def run(check: SpeedCheck, context: Context, seed: int) -> Outcome:
    """Every engine on every instruction set of this machine, what it can do at most, and the time by operator."""
    # Only here: what measures takes half a second to import.
    from fxsim.benchmark.contestants import COMPILED, lacking, list_engines
    from fxsim.benchmark.hosts import lesser_hosts
    from fxsim.benchmark.measure import measure
    from fxsim.engines.compiled import instruction_sets

    model = context.model(check.model)
    images = context.stimulus(check.stimulus, model, seed)[: check.images]
    threads = check.threads or count_cores()
    before = _read_before(check, context, model_sha256(model))
    sets = tuple(kind.name for kind in instruction_sets())
    named = {who.name: who for ratio in check.ratios for who in ratio.contestants}
    hosts = lesser_hosts(sets)
    needs = {name: lacking(who, sets, hosts, count_cores()) for name, who in named.items()}
    lacks = {name: need for name, need in needs.items() if need is not None}
    engines = {who.name: who for who in list_engines(sets, threads, _BATCHES)}

    def judge(measured: Measured) -> list[RatioFound]:
        return [_judge(ratio, measured, lacks) for ratio in check.ratios]

    measured = measure(
        model,
        images,
        list((engines | {name: who for name, who in named.items() if name not in lacks}).values()),
        threads=threads,
        rounds=_ROUNDS_RATIOS if check.ratios else _ROUNDS,
        rounds_max=_ROUNDS_RATIOS_MAX if check.ratios else _ROUNDS_MAX,
        seconds=_SECONDS,
        seed=seed,
        report=context.progress,
        settled=lambda m: not m.unmeasurable and all(ratio.verdict != "noisy" for ratio in judge(m)),
    )
    ratios = judge(measured)
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
    for ratio in ratios:
        if ratio.verdict in ("failed", "noisy"):
            problems.append(f"{ratio.name}: {'noisy: ' if ratio.verdict == 'noisy' else ''}{ratio.reason}")
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
        *(
            Figure(f"ratio of {ratio.name}", round(spread(ratio.rounds).median, 3) if ratio.rounds else None)
            for ratio in ratios
        ),
    )
    equal = sum(result.equal is True for result in measured.results)
    summary = f"{check.model}: {equal} of {len(measured.results)} paths = reference on {len(images)} images"
    if problems:
        summary = f"{check.model}: {len(problems)} problem(s)"
    elif reached is not None:
        summary += f"; {reached:,.0f} images/s on {machine.processor}, {threads} thread(s)"
        if ratios:
            summary += f"; {sum(ratio.verdict == 'passed' for ratio in ratios)} of {len(ratios)} ratios held"
    details = Details(figures, [Speed(measured, check.at_least, reached, tuple(ratios), before)])
    reported = [f"skipped: {ratio.name}: {ratio.reason}" for ratio in ratios if ratio.verdict == "skipped"]
    if measured.unmeasurable:
        reported.append(f"not measurable now: {first_few(measured.unmeasurable)}")
    return Outcome(summary, first_few(problems) or None, details, reported=first_few(reported) or None)


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


def _rooflines(speeds: Sequence[Speed]) -> Canvas:
    """Draw a panel a model, and one before it where there is an earlier measurement."""
    from fxsim.benchmark.figure import draw_roofline

    shown = []
    for speed in speeds:
        if speed.before is not None:
            shown += [("before: ", speed.before), ("now: ", speed.measured)]
        else:
            shown.append(("", speed.measured))
    canvas = new_canvas(5.2 * len(shown), layout="constrained")
    for panel, (when, measured) in zip(canvas.subplots(len(shown), 1, squeeze=False).flatten(), shown, strict=True):
        title = f"{when}{shorten(measured.model)} on {shorten(measured.machine.processor)}"
        draw_roofline(panel, measured, _palette(), title)
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


_RATIOS = (
    Column("ratio demanded", whole=True),
    Column("to", whole=True),
    *(Column(title, number=True) for title in ("at least", "median", "\u00b1", "of at most", "rounds")),
    Column("verdict"),
)


def _ratio(ratio: RatioFound) -> Row:
    """A row of the table of ratios that were demanded."""
    figure = spread(ratio.rounds) if ratio.rounds else None
    half = None if figure is None else figure.half / figure.median
    cells: list[Value | Cell] = [
        ratio.contestant, ratio.to, ratio.at_least, None if figure is None else round(figure.median, 3),
        format_percent(half), format_percent(ratio.spread_percent / 100), len(ratio.rounds),
        Cell(ratio.verdict, remark=ratio.reason),
    ]  # fmt: skip
    return Row(tuple(cells), failed=ratio.verdict in ("failed", "noisy"))


_BEFORE = (
    Column("path, before and now", whole=True),
    *(Column(title, number=True) for title in ("images/s before", "images/s now", "now over before")),
)


def _before(before: Measured, measured: Measured) -> Table:
    """The table of what both measured: images a second of each. Ratios only where both are of one processor."""
    earlier = {result.contestant.name: before.rate(result) for result in before.results}
    same = before.machine.processor == measured.machine.processor
    rows = []
    for result in measured.results:
        then, now = earlier.get(result.contestant.name), measured.rate(result)
        if then is not None and now is not None:
            ratio = round(now.median / then.median, 2) if same else ""
            rows.append(Row((result.contestant.name, round(then.median), round(now.median), ratio)))
    return Table(_BEFORE, tuple(rows))


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
        tables = [Table(_PATHS, tuple(_path(measured, result) for result in measured.results)), operators]
        if speed.ratios:
            tables.insert(0, Table(_RATIOS, tuple(_ratio(ratio) for ratio in speed.ratios)))
            note += (
                " Ratios demanded are medians of those of single rounds, in which both were measured; parts of the "
                "peak are of the roof's best round."
            )
        if speed.before is not None:
            tables.append(_before(speed.before, measured))
            then = speed.before.machine
            note += f" Before: on {then.processor}, {then.cores:,} cores; nothing is judged by it."
        heading = f"{measured.model}: {measured.macs:,} multiply-accumulates an image"
        blocks.append(Block(tuple(tables), heading=heading, note=note))
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
            lambda check: check.details.of(Speed),
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
