"""The report's pictures, as inline SVG drawn from a record alone.

Colours are named by the page's CSS variables, so that pictures follow its light or dark scheme. The same record gives
the same SVG.
"""

import io
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from fxsim.benchmark.figure import Palette, draw_roofline, draw_steps
from fxsim.benchmark.record import Measured
from fxsim.signoff.record import (
    MULTIPLIERS,
    Comparison,
    Curve,
    Cycles,
    Interval,
    LayerCycles,
    SignoffRecord,
    ValueStatistics,
)

# Colours that stand for CSS variables until the SVG is written.
_INK, _MUTED, _LINE, _CARD, _PASSED, _FAILED, _ERROR, _SKIPPED, _ACCENT, _SECOND = (
    f"#0a0b{i:02x}" for i in range(0x10, 0x1A)
)
_VARIABLES = {
    _INK: "--ink",
    _MUTED: "--muted",
    _LINE: "--line",
    _CARD: "--card",
    _PASSED: "--passed",
    _FAILED: "--failed",
    _ERROR: "--error",
    _SKIPPED: "--skipped",
    _ACCENT: "--accent",
    _SECOND: "--second",
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": _INK,
    # Names come from files: a $ in one is not mathematics.
    "text.parse_math": False,
    "axes.edgecolor": _LINE,
    "axes.labelcolor": _MUTED,
    "axes.titlecolor": _INK,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": _LINE,
    "grid.linewidth": 0.6,
    "xtick.color": _LINE,
    "ytick.color": _LINE,
    "xtick.labelcolor": _MUTED,
    "ytick.labelcolor": _MUTED,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
_WIDTH = 10.5
"""Inches; the page scales pictures to its own width."""


class Picture:
    """One picture: title, what there is to see, and the SVG."""

    def __init__(self, title: str, caption: str, svg: str) -> None:
        self.title = title
        self.caption = caption
        self.svg = svg


def draw_pictures(record: SignoffRecord) -> list[Picture]:
    """Every picture that the record has data for, in the order of the page."""
    details = [check.details for check in record.checks]
    simulated = [c for check in record.checks if check.kind == "cosim" for c in check.details.comparisons]
    reported = [(check.kind, c) for check in record.checks for c in check.details.comparisons if not c.exact]
    distances = [c for kind, c in reported if kind == "published"]
    cycles = [row for d in details for row in d.cycles]
    speeds = [speed.measured for d in details for speed in d.speeds]
    fake_quant = [c for kind, c in reported if kind == "bridge"]
    drawings: list[tuple[str, str, Callable[[Any], Canvas], Sequence[Any]]] = [
        (
            "RTL against model, tap by tap",
            "Each row is a simulation of the RTL, each column a tap. Where the model has no such tap the row is blank.",
            _taps,
            simulated,
        ),
        (
            "Cycles between images",
            "The greatest once the pipeline filled, the bound that it must hold, and the published accelerator.",
            _intervals,
            [interval for d in details for interval in d.intervals],
        ),
        (
            "Where the SIMD accelerator's cycles go",
            "Cycles of each layer of an image alone, all loaded for it. Beside them: the part of the multipliers' time "
            "that the model's products take.",
            _utilisation,
            [row for row in cycles if row.layers],
        ),
        (
            "Timeline of an image in the SIMD accelerator",
            "From the start of a job of one image to its end. Numbers are layers.",
            _timeline,
            [row for row in cycles if row.timeline],
        ),
        (
            "Speed of the engines under the roofs of the machine",
            "GMAC/s on one core. Slanted: what can be read; level: products that instruction sets can do; dots: the "
            "network on each path; diamonds: operators of the compiled engine. Measured on the machine of this run.",
            _rooflines,
            speeds,
        ),
        (
            "Where the compiled engine's time goes",
            "\u00b5s an image on one thread, by kind of operator.",
            _operator_times,
            [speed for speed in speeds if speed.profile is not None],
        ),
        (
            "Distance to the published PSA data",
            "In int8 steps, over all published values of a tap. Reported; equality is not demanded of these.",
            _distances,
            distances,
        ),
        (
            "Float fake-quant against the golden models",
            "Share of a tap's values that the customary fake-quant of training gives otherwise than the integer model.",
            _shares,
            fake_quant,
        ),
        (
            "Activation tables",
            "The function at all 256 inputs (line) and the points that are stored (dots).",
            _curves,
            [curve for d in details for curve in d.curves],
        ),
        (
            "Values of the golden models",
            "Spread of a tap's values in int8 steps, and how many of them are at -128 or 127.",
            _values,
            [values for d in details for values in d.values],
        ),
    ]
    pictures = []
    for title, caption, draw, data in drawings:
        if data:
            # The styles and the salt of identifiers hold for one picture.
            with mpl.rc_context({**_STYLE, "svg.hashsalt": title}):
                pictures.append(Picture(title, caption, _svg(draw(data), title)))
    return pictures


def _svg(canvas: Canvas, title: str) -> str:
    """The figure as an SVG element, without anything that changes from run to run or that the page sets itself."""
    file = io.StringIO()
    canvas.savefig(file, format="svg", transparent=True, bbox_inches="tight", pad_inches=0.05, metadata={"Date": None})
    text = file.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Identifiers of several pictures share one page.
    prefix = re.sub(r"[^a-z]+", "-", title.lower())
    text = re.sub(r'\bid="', f'id="{prefix}-', text)
    text = re.sub(r'href="#', f'href="#{prefix}-', text)
    text = re.sub(r"url\(#", f"url(#{prefix}-", text)
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    width, height = re.findall(r'(?:width|height)="([\d.]+)pt"', text)[:2]
    opening = f'<svg role="img" aria-label="{title}" viewBox="0 0 {width} {height}">'
    return re.sub(r"<svg [^>]*>", opening, text, count=1)


def _tap_order(comparisons: Sequence[Comparison]) -> list[str]:
    """All taps of several models in the order of the network: a ReLU model's `relu` beside a PSA model's `psa_2`."""
    order: list[str] = []
    for comparison in sorted(comparisons, key=lambda c: -len(c.taps)):
        position = 0
        for row in comparison.taps:
            if row.tap in order:
                position = order.index(row.tap) + 1
            else:
                order.insert(position, row.tap)
                position += 1
    return order


def _short(name: str, most: int = 50) -> str:
    """A name as it fits into a picture."""
    name = name.replace("blocks.", "").replace("token_mixer.", "mix.")
    return name if len(name) <= most else f"{name[: most - 3]}..."


def _ticks(names: Iterable[str]) -> list[str]:
    """Names of taps beside an axis."""
    return [_short(name, 24) for name in names]


def _taps(comparisons: Sequence[Comparison]) -> Canvas:
    order = _tap_order(comparisons)
    canvas = Canvas(figsize=(_WIDTH, 1.3 + 0.2 * len(comparisons)))
    axes = canvas.add_subplot()
    for row, comparison in enumerate(comparisons):
        wrong = {order.index(tap.tap): bool(tap.mismatches) for tap in comparison.taps}
        for colour, is_wrong in ((_PASSED, False), (_FAILED, True)):
            columns = [column for column, found in wrong.items() if found is is_wrong]
            axes.plot(columns, [row] * len(columns), linestyle="", marker="s", markersize=8.4, color=colour)
        for column in (column for column, found in wrong.items() if found):
            axes.text(column, row, "!", ha="center", va="center", fontsize=8, fontweight="bold")
    axes.set_xlim(-0.6, len(order) - 0.4)
    axes.set_ylim(len(comparisons) - 0.4, -0.6)
    axes.set_yticks(range(len(comparisons)), [_short(comparison.title) for comparison in comparisons], fontsize=7.5)
    axes.set_xticks(range(len(order)), _ticks(order), rotation=90, fontsize=6.5)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    handles = [Patch(facecolor=_PASSED, label="all values equal"), Patch(facecolor=_FAILED, label="values differ (!)")]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)
    return canvas


def _intervals(intervals: Sequence[Interval]) -> Canvas:
    canvas = Canvas(figsize=(_WIDTH, 0.7 + 0.55 * len(intervals)))
    axes = canvas.add_subplot()
    for row, interval in enumerate(intervals):
        measured = interval.greatest_cycles
        if measured is not None:
            colour = _PASSED if measured <= interval.bound_cycles else _FAILED
            axes.barh(row, measured, height=0.5, color=colour)
        axes.plot([interval.bound_cycles] * 2, [row - 0.36, row + 0.36], color=_INK, linewidth=1.8)
        text = "not measured" if measured is None else f"{measured:,}"
        text += f" (bound {interval.bound_cycles:,}"
        if interval.published_cycles is not None:
            axes.plot([interval.published_cycles], [row], marker="D", markersize=5, color=_ACCENT)
            text += f", published {interval.published_cycles:,}"
        text += ")"
        end = max(measured or 0, interval.bound_cycles, interval.published_cycles or 0)
        axes.annotate(text, (end, row), xytext=(9, 0), textcoords="offset points", va="center", fontsize=8.5)
    longest = max(max(i.greatest_cycles or 0, i.bound_cycles, i.published_cycles or 0) for i in intervals)
    axes.set_xlim(0, longest * 1.42)
    axes.set_ylim(len(intervals) - 0.4, -0.6)
    axes.set_yticks(range(len(intervals)), [_short(interval.model) for interval in intervals])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.set_xlabel("cycles")
    handles = [
        Patch(facecolor=_PASSED, label="greatest measured"),
        Line2D([], [], color=_INK, linewidth=1.8, label="bound"),
        Line2D([], [], color=_ACCENT, marker="D", linestyle="", markersize=5, label="published"),
    ]
    axes.legend(handles=handles, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, borderaxespad=0)
    return canvas


def split_cycles(layer: LayerCycles) -> dict[str, float]:
    """A layer's cycles by what the multipliers did in them; together they are all of its cycles."""
    useful = layer.macs / MULTIPLIERS
    parts = {
        "the model's products": useful,
        "products of padding": layer.steps - useful,
        "waits for parameters": layer.waits_parameters,
        "waits for the image": layer.waits_image,
        "waits for the layer before": layer.waits_results_before,
        "waits for room": layer.waits_room,
    }
    return parts | {"rest": layer.cycles - sum(parts.values())}


_PARTS = (_ACCENT, _SECOND, _SKIPPED, _ERROR, _PASSED, _INK, _MUTED)
"""Colours of `split_cycles`, in its order."""


def _utilisation(rows: Sequence[Cycles]) -> Canvas:
    """A panel a model, a bar a layer."""
    lines = -(-len(rows) // 2)
    most = max(len(row.layers) for row in rows)
    canvas = Canvas(figsize=(_WIDTH, 0.5 + lines * (0.55 + 0.17 * most)), layout="constrained")
    panels = canvas.subplots(lines, 2, squeeze=False).flatten()
    handles: dict[str, Patch] = {}
    for panel, row in zip(panels, rows, strict=False):
        places = range(len(row.layers))
        ends = [0.0] * len(row.layers)
        splits = [split_cycles(layer) for layer in row.layers]
        for colour, what in zip(_PARTS, splits[0], strict=True):
            widths = [split[what] for split in splits]
            if not any(widths):
                continue
            panel.barh(places, widths, left=ends, height=0.72, color=colour)
            ends = [end + width for end, width in zip(ends, widths, strict=True)]
            handles.setdefault(what, Patch(facecolor=colour, label=what))
        for place, layer in enumerate(row.layers):
            part = layer.macs / (MULTIPLIERS * max(layer.cycles, 1))
            panel.annotate(
                f"{part:.1%}", (ends[place], place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7
            )
        used = row.utilisation
        title = _short(row.model) if used is None else f"{_short(row.model)}: {used:.1%} of {row.alone_cycles:,} cycles"
        panel.set_title(title, loc="left", fontsize=8.5)
        panel.set_xlim(0, max(*ends, 1) * 1.14)
        panel.set_ylim(len(row.layers) - 0.4, -0.6)
        panel.set_yticks(places, [f"{layer.number}  {_short(layer.name, 24)}" for layer in row.layers], fontsize=7)
        panel.tick_params(axis="y", length=0)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        panel.tick_params(axis="x", labelsize=7)
    for panel in panels[len(rows) :]:
        panel.set_visible(False)
    canvas.legend(handles=list(handles.values()), loc="outside upper right", ncols=4)
    return canvas


_LANES = {"write": "write result", "compute": "compute", "load": "load parameters", "image": "load image"}
_KINDS = {"load": (_SKIPPED, "load"), "compute": (_ACCENT, "compute"), "write": (_PASSED, "write back")}


def _timeline(rows: Sequence[Cycles]) -> Canvas:
    """A panel a model, on one scale; a lane for each thing that can go on beside the others."""
    canvas = Canvas(figsize=(_WIDTH, 0.7 + 1.15 * len(rows)), layout="constrained")
    panels = canvas.subplots(len(rows), 1, squeeze=False, sharex=True).flatten()
    longest = max(span.end for row in rows for span in row.timeline)
    lanes = list(_LANES)
    for panel, row in zip(panels, rows, strict=True):
        for span in row.timeline:
            lane = lanes.index("image" if span.kind == "load" and span.layer < 0 else span.kind)
            width, colour = span.end - span.start, _KINDS[span.kind][0]
            wide = width > 0.012 * longest
            # A gap between neighbours would be all there is to see of a narrow one.
            edge = _CARD if wide else colour
            panel.barh(lane, width, left=span.start, height=0.7, color=colour, edgecolor=edge, linewidth=0.5)
            if wide and span.layer >= 0:
                middle = span.start + width / 2
                panel.text(middle, lane, str(span.layer), ha="center", va="center", fontsize=6.5, color=_CARD)
        panel.set_title(_short(row.model), loc="left", fontsize=8.5)
        panel.set_yticks(range(len(lanes)), [_LANES[lane] for lane in lanes], fontsize=7.5)
        panel.tick_params(axis="y", length=0)
        panel.set_ylim(-0.6, len(lanes) - 0.4)
        panel.set_xlim(0, longest)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    panels[-1].set_xlabel("cycles")
    handles = [Patch(facecolor=colour, label=label) for colour, label in _KINDS.values()]
    canvas.legend(handles=handles, loc="outside upper right", ncols=3)
    return canvas


_PALETTE = Palette(
    paper=_CARD,
    ink=_INK,
    muted=_MUTED,
    line=_LINE,
    compiled=_ACCENT,
    loops=_PASSED,
    others=_SKIPPED,
    published=_FAILED,
    steps=(_ACCENT, _SECOND, _PASSED, _ERROR, _SKIPPED, _MUTED),
)


def _rooflines(speeds: Sequence[Measured]) -> Canvas:
    """A panel a model."""
    canvas = Canvas(figsize=(_WIDTH, 5.2 * len(speeds)), layout="constrained")
    for panel, measured in zip(canvas.subplots(len(speeds), 1, squeeze=False).flatten(), speeds, strict=True):
        draw_roofline(panel, measured, _PALETTE, f"{_short(measured.model)} on {_short(measured.machine.processor)}")
    return canvas


def _operator_times(speeds: Sequence[Measured]) -> Canvas:
    """A bar a model."""
    canvas = Canvas(figsize=(_WIDTH, 2.0 * len(speeds)), layout="constrained")
    for panel, measured in zip(canvas.subplots(len(speeds), 1, squeeze=False).flatten(), speeds, strict=True):
        draw_steps(panel, measured, _PALETTE, _short(measured.model))
    return canvas


def _distances(comparisons: Sequence[Comparison]) -> Canvas:
    canvas = Canvas(figsize=(_WIDTH, 2.8), layout="constrained")
    ratios = [max(len(comparison.taps), 4) for comparison in comparisons]
    panels = canvas.subplots(1, len(comparisons), width_ratios=ratios, squeeze=False)[0]
    for panel, comparison in zip(panels, comparisons, strict=True):
        places = range(len(comparison.taps))
        most = [row.max_distance or 0 for row in comparison.taps]
        panel.bar(places, most, width=0.7, color=_SECOND, label="greatest")
        panel.bar(places, [row.mean_distance or 0 for row in comparison.taps], width=0.36, color=_ACCENT, label="mean")
        for place, value in zip(places, most, strict=True):
            panel.text(place, value, str(value), ha="center", va="bottom", fontsize=7.5)
        panel.set_xticks(places, _ticks(row.tap for row in comparison.taps), rotation=90, fontsize=7)
        panel.set_title(_short(comparison.title), loc="left", fontsize=8)
        panel.grid(axis="y")
    panels[0].set_ylabel("int8 steps")
    handles, labels = panels[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper right", ncols=2)
    return canvas


def _shares(comparisons: Sequence[Comparison]) -> Canvas:
    rows = -(-len(comparisons) // 2)
    canvas = Canvas(figsize=(_WIDTH, 0.4 + 1.5 * rows), layout="constrained")
    panels = canvas.subplots(rows, 2, squeeze=False, sharey=True).flatten()
    for panel, comparison in zip(panels, comparisons, strict=False):
        shares = [100 * row.mismatches / row.compared for row in comparison.taps]
        panel.bar(range(len(shares)), shares, width=0.8, color=_ACCENT)
        # Too many taps to name each: where the blocks end says enough.
        ends = [place for place, row in enumerate(comparison.taps) if row.tap.endswith("mlp.add")]
        panel.set_xticks(ends, [f"block {number}" for number in range(len(ends))], fontsize=7)
        panel.set_title(_short(comparison.title.partition(":")[0]), loc="left", fontsize=8)
        panel.grid(axis="y")
    for panel in panels[len(comparisons) :]:
        panel.set_visible(False)
    for panel in panels[::2]:
        panel.set_ylabel("differ, %", fontsize=8)
    return canvas


def _curves(curves: Sequence[Curve]) -> Canvas:
    """The tables of the first model that has any of the largest number of points."""
    model = max(curves, key=lambda curve: len(curve.points)).model
    shown = [curve for curve in curves if curve.model == model]
    taps = list(dict.fromkeys(curve.tap for curve in shown))
    columns = max(sum(curve.tap == tap for curve in shown) for tap in taps)
    canvas = Canvas(figsize=(_WIDTH, 0.3 + 1.55 * len(taps)), layout="constrained")
    grid = canvas.subplots(len(taps), columns, sharex=True, sharey=True, squeeze=False)
    for row, tap in zip(grid, taps, strict=True):
        panels: list[Axes] = list(row)
        for curve in (curve for curve in shown if curve.tap == tap):
            panel = panels.pop(0)
            panel.axhline(0, color=_LINE, linewidth=0.6)
            panel.axvline(0, color=_LINE, linewidth=0.6)
            panel.plot(range(-128, 128), curve.every, color=_ACCENT, linewidth=1)
            panel.plot(curve.codes, curve.points, linestyle="", marker=".", markersize=2.2, color=_INK)
            panel.set_title(f"{_short(curve.tap, 24)}[{curve.channel}]", loc="left", fontsize=7.5)
            panel.set_xlim(-132, 132)
            panel.set_ylim(-136, 136)
            panel.set_xticks([-128, 0, 127])
            panel.set_yticks([-128, 0, 127])
            panel.tick_params(labelsize=7)
        for panel in panels:
            panel.set_visible(False)
    canvas.suptitle(
        f"{_short(model)}: {len(shown[0].points)} points, rule {_short(shown[0].rule)}", fontsize=8.5, x=0.01, ha="left"
    )
    return canvas


def _values(statistics: Sequence[ValueStatistics]) -> Canvas:
    """The two models with the most taps: their spread above, their saturation below."""
    shown = sorted(statistics, key=lambda s: -len(s.taps))[:2]
    canvas = Canvas(figsize=(_WIDTH, 3.4), layout="constrained")
    panels = canvas.subplots(2, len(shown), squeeze=False, sharey="row", sharex="col")
    for column, model in enumerate(shown):
        spread, saturation = panels[0][column], panels[1][column]
        places = range(len(model.taps))
        spread.bar(places, [tap.std for tap in model.taps], color=_ACCENT, width=0.7)
        spread.set_title(f"{_short(model.model)}, {model.images} images", loc="left")
        saturation.bar(places, [100 * tap.saturated for tap in model.taps], color=_SECOND, width=0.7)
        saturation.set_xticks(places, _ticks(tap.tap for tap in model.taps), rotation=90, fontsize=5.5)
        for panel in (spread, saturation):
            panel.grid(axis="y")
            panel.tick_params(axis="x", length=0)
    panels[0][0].set_ylabel("standard deviation")
    panels[1][0].set_ylabel("saturated, %")
    return canvas
