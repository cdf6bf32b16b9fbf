"""Kind `golden`: hashes and statistics of a golden folder; its values and some of its tables' curves for the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fxsim.contract import expand_table
from fxsim.formats import load
from fxsim.golden import check_golden, check_training, read_manifest
from fxsim.graph import Model
from fxsim.operators import Lut
from fxsim.signoff.context import Context, Outcome, summarise
from fxsim.signoff.kind import Kind, Picture, Topic
from fxsim.signoff.plan import Check
from fxsim.signoff.record import Data, Details, Figure, Record
from fxsim.signoff.report.style import ACCENT, INK, LINE, SECOND, new_canvas, shorten, tick_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

_CURVES_SHOWN = 6


class GoldenCheck(Check, frozen=True, tag="golden", kw_only=True):
    """Every file of a golden folder against its manifest, and every statistic in it measured again.

    So are the figures of trained models, on their data's test pictures; without torch these are reported as stated.
    """

    directory: str


class TapValues(Record, frozen=True):
    """Statistics of a tap's values: spread, and the share at either end of int8."""

    tap: str
    min: int
    max: int
    std: float
    saturated: float


class ValueStatistics(Data, frozen=True):
    """A model's values on its golden images."""

    FIELD = "values"

    model: str
    images: int
    taps: tuple[TapValues, ...]


class Curve(Data, frozen=True):
    """One channel of an activation table: stored points at input codes, and the function at all 256 inputs."""

    FIELD = "curves"

    model: str
    tap: str
    channel: int
    rule: str
    codes: tuple[int, ...]
    points: tuple[int, ...]
    every: tuple[int, ...]


def run(check: GoldenCheck, context: Context, _seed: int) -> Outcome:
    """Hashes and statistics of a golden folder; its values and some of its tables' curves for the report."""
    directory = context.path(check.directory)
    manifest = read_manifest(directory)
    problems = check_golden(directory)
    # Models of damaged files would say the same less clearly.
    trained = None if problems else check_training(directory, manifest, context.progress)
    problems += [] if trained is None else trained.problems
    values: list[Data] = []
    curves: list[Data] = []
    for model in manifest.models:
        taps = tuple(TapValues(t.tap, t.min, t.max, t.std, t.saturated) for t in model.taps)
        values.append(ValueStatistics(model.name, model.images, taps))
    if not problems:
        for stated in manifest.models:
            curves += _curves(load(directory / stated.file))
    shifts = sorted({int(shift) for model in manifest.models for shift in model.shifts})
    saturated = max(tap.saturated for model in manifest.models for tap in model.taps)
    figures = (
        Figure("files by sha256", len(manifest.files)),
        Figure("models", len(manifest.models)),
        Figure("statistics measured again", sum(len(model.taps) for model in manifest.models), "taps"),
        Figure("shifts", f"{shifts[0]} to {shifts[-1]}"),
        Figure("most saturated tap", round(100 * saturated, 3), "%"),
        Figure("trained models", sum(model.training is not None for model in manifest.models)),
        Figure("test pictures classified again", None if trained is None else trained.pictures),
        Figure("recipes by sha256", None if trained is None else trained.recipes),
        Figure("right answers of float networks", "as stated: these networks are not kept"),
    )
    summary = f"{len(manifest.files)} files and {figures[2].value} taps' statistics are as the manifest states"
    reported = None
    if trained is not None and trained.unmeasured is not None:
        reported = f"figures of trained models were not measured again: {trained.unmeasured}"
    return summarise(summary, problems, Details(figures, [*values, *curves]), reported)


def _curves(model: Model) -> list[Data]:
    """A few channels of each kind of table of a model's first block."""
    curves: list[Data] = []
    for node in model.graph.nodes:
        if not isinstance(node.op, Lut) or not node.name.startswith("blocks.0."):
            continue
        table, rule = node.op.table, node.op.rule
        every = expand_table(table, rule)
        step = 256 // node.op.points
        codes = tuple(min(step * i - 128, 127) for i in range(table.shape[1]))
        for channel in range(min(_CURVES_SHOWN, len(table))):
            points, function = tuple(table[channel].tolist()), tuple(every[channel].tolist())
            curves.append(Curve(model.name, node.name, channel, str(rule), codes, points, function))
    return curves


def _draw_curves(curves: Sequence[Curve]) -> Canvas:
    """The tables of the first model that has any of the largest number of points."""
    model = max(curves, key=lambda curve: len(curve.points)).model
    shown = [curve for curve in curves if curve.model == model]
    taps = list(dict.fromkeys(curve.tap for curve in shown))
    columns = max(sum(curve.tap == tap for curve in shown) for tap in taps)
    canvas = new_canvas(0.3 + 1.55 * len(taps), layout="constrained")
    grid = canvas.subplots(len(taps), columns, sharex=True, sharey=True, squeeze=False)
    for row, tap in zip(grid, taps, strict=True):
        panels: list[Axes] = list(row)
        for curve in (curve for curve in shown if curve.tap == tap):
            panel = panels.pop(0)
            panel.axhline(0, color=LINE, linewidth=0.6)
            panel.axvline(0, color=LINE, linewidth=0.6)
            panel.plot(range(-128, 128), curve.every, color=ACCENT, linewidth=1)
            panel.plot(curve.codes, curve.points, linestyle="", marker=".", markersize=2.2, color=INK)
            panel.set_title(f"{shorten(curve.tap, 24)}[{curve.channel}]", loc="left", fontsize=7.5)
            panel.set_xlim(-132, 132)
            panel.set_ylim(-136, 136)
            panel.set_xticks([-128, 0, 127])
            panel.set_yticks([-128, 0, 127])
            panel.tick_params(labelsize=7)
        for panel in panels:
            panel.set_visible(False)
    canvas.suptitle(
        f"{shorten(model)}: {len(shown[0].points)} points, rule {shorten(shown[0].rule)}",
        fontsize=8.5,
        x=0.01,
        ha="left",
    )
    return canvas


def _draw_values(statistics: Sequence[ValueStatistics]) -> Canvas:
    """The two models with the most taps: their spread above, their saturation below."""
    shown = sorted(statistics, key=lambda s: -len(s.taps))[:2]
    canvas = new_canvas(3.4, layout="constrained")
    panels = canvas.subplots(2, len(shown), squeeze=False, sharey="row", sharex="col")
    for column, model in enumerate(shown):
        spread, saturation = panels[0][column], panels[1][column]
        places = range(len(model.taps))
        spread.bar(places, [tap.std for tap in model.taps], color=ACCENT, width=0.7)
        spread.set_title(f"{shorten(model.model)}, {model.images} images", loc="left")
        saturation.bar(places, [100 * tap.saturated for tap in model.taps], color=SECOND, width=0.7)
        saturation.set_xticks(places, tick_names(tap.tap for tap in model.taps), rotation=90, fontsize=5.5)
        for panel in (spread, saturation):
            panel.grid(axis="y")
            panel.tick_params(axis="x", length=0)
    panels[0][0].set_ylabel("standard deviation")
    panels[1][0].set_ylabel("saturated, %")
    return canvas


KIND = Kind(
    settings=GoldenCheck,
    about="a golden folder's files have the manifest's hashes, and all figures in it are measured again",
    run=run,
    data=(ValueStatistics, Curve),
    report=(
        Picture(
            "Activation tables",
            "The function at all 256 inputs (line) and the points that are stored (dots).",
            lambda check: check.details.of(Curve),
            _draw_curves,
            topic=Topic.VALUES,
        ),
        Picture(
            "Values of the golden models",
            "Spread of a tap's values in int8 steps, and how many of them are at -128 or 127.",
            lambda check: check.details.of(ValueStatistics),
            _draw_values,
            topic=Topic.VALUES,
        ),
    ),
)
