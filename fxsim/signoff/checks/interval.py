"""Kind `interval`: cycles between images once the pipeline filled, the greatest there were against a bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from fxsim.signoff.context import Context, Outcome
from fxsim.signoff.kind import Kind, Picture, Topic
from fxsim.signoff.plan import Name
from fxsim.signoff.record import Data, Details, Figure
from fxsim.signoff.report.style import ACCENT, FAILED, INK, PASSED, new_canvas, shorten
from fxsim.signoff.simulation import (
    COMPARED,
    CYCLES,
    SIMULATED,
    SIMULATIONS,
    UNPROBED,
    Cycles,
    RtlCheck,
    Simulation,
    describe,
    find_reason,
    keep_failure,
    setup_of,
    simulate,
    take_images,
)
from fxsim.traces.kept import Given

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


class IntervalCheck(RtlCheck, frozen=True, tag="interval", kw_only=True):
    """In the RTL no two images that follow one another are more than `bound` cycles apart once the pipeline filled.

    `published` is shown beside it.
    """

    accelerator: Name | None = None
    bound: Cycles
    published: Cycles | None = None
    images: Annotated[int, Meta(ge=3, le=1000)] = 6


class Interval(Data, frozen=True):
    """Measured cycles between images, the bound that the greatest must hold, and what a published design needs."""

    FIELD = "intervals"

    model: str
    greatest_cycles: int | None
    median_cycles: int | None
    bound_cycles: int
    published_cycles: int | None
    latency_cycles: int | None


def run(check: IntervalCheck, context: Context, seed: int) -> Outcome:
    """Cycles between images once the pipeline filled: the greatest there were against the bound."""
    model = context.model(check.model)
    x = take_images(check.images, context.stimulus(check.stimulus, model, seed))
    setup = setup_of(check, check.accelerators[0])
    given: list[Given] = []
    result = simulate(model, x, "none", context, setup, given=given)
    timing = result.timing
    greatest = None if timing.interval is None else timing.interval.max
    median = None if timing.interval is None else timing.interval.median
    reason, kept = None, None
    if not result.passed:
        kept, note = keep_failure(check, result, model, x, context, check.rtl, given)
        reason = find_reason(result) + note
    elif greatest is None:
        reason = "the interval could not be measured"
    elif greatest > check.bound:
        reason = f"{greatest:,} cycles between two images, expected at most {check.bound:,}"
    figures = (
        Figure("between images, greatest", greatest, "cycles"),
        Figure("between images, median", median, "cycles"),
        Figure("intervals measured", 0 if timing.interval is None else timing.interval.count),
        Figure("bound", check.bound, "cycles"),
        Figure("published", check.published, "cycles"),
        Figure("latency of the first image", timing.latency_cycles, "cycles"),
        Figure("simulated cycles a second", timing.cycles_per_second),
        Figure("build", result.build.build_seconds, "s"),
    )
    between = "cycles between images not measured"
    if greatest is not None:
        between = f"at most {greatest:,} cycles between images (median {median:,})"
    summary = f"{between}, bound {check.bound:,}"
    summary += f", published {check.published:,}" if check.published is not None else ""
    summary += f"; latency {timing.latency_cycles:,}" if timing.latency_cycles is not None else ""
    row = Interval(check.model, greatest, median, check.bound, check.published, timing.latency_cycles)
    if unprobed := result.streams.unprobed:
        summary += f"; not looked at: {', '.join(unprobed)}"
    details = Details(figures, [row, describe(check.model, result, setup)])
    return Outcome(summary, reason, details, kept)


def _intervals(intervals: Sequence[Interval]) -> Canvas:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    canvas = new_canvas(0.7 + 0.55 * len(intervals))
    axes = canvas.add_subplot()
    for row, interval in enumerate(intervals):
        measured = interval.greatest_cycles
        if measured is not None:
            colour = PASSED if measured <= interval.bound_cycles else FAILED
            axes.barh(row, measured, height=0.5, color=colour)
        axes.plot([interval.bound_cycles] * 2, [row - 0.36, row + 0.36], color=INK, linewidth=1.8)
        text = "not measured" if measured is None else f"{measured:,}"
        text += f" (bound {interval.bound_cycles:,}"
        if interval.published_cycles is not None:
            axes.plot([interval.published_cycles], [row], marker="D", markersize=5, color=ACCENT)
            text += f", published {interval.published_cycles:,}"
        text += ")"
        end = max(measured or 0, interval.bound_cycles, interval.published_cycles or 0)
        axes.annotate(text, (end, row), xytext=(9, 0), textcoords="offset points", va="center", fontsize=8.5)
    longest = max(max(i.greatest_cycles or 0, i.bound_cycles, i.published_cycles or 0) for i in intervals)
    axes.set_xlim(0, longest * 1.42)
    axes.set_ylim(len(intervals) - 0.4, -0.6)
    axes.set_yticks(range(len(intervals)), [shorten(interval.model) for interval in intervals])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("cycles")
    handles = [
        Patch(facecolor=PASSED, label="greatest measured"),
        Line2D([], [], color=INK, linewidth=1.8, label="bound"),
        Line2D([], [], color=ACCENT, marker="D", linestyle="", markersize=5, label="published"),
    ]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0)
    return canvas


KIND = Kind(
    settings=IntervalCheck,
    about="in the RTL no image comes out more than `bound` cycles after the one before, once the pipeline filled",
    run=run,
    data=(Interval, Simulation),
    report=(
        COMPARED,
        SIMULATED,
        Picture(
            "Cycles between images",
            "The greatest once the pipeline filled, the bound that it must hold, and the published accelerator.",
            lambda check: check.details.of(Interval),
            _intervals,
            topic=Topic.CYCLES,
        ),
        SIMULATIONS,
        UNPROBED,
        CYCLES,
    ),
)
