"""The picture of coverage: for every node the shares of its points by state. Imports matplotlib."""

from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fxsim.coverage.record import Coverage, Figures, by_node
from fxsim.formats.figures import STYLE, write_figure

STATES = ("images", "directed", "unreachable", "open")
"""The parts of a bar, from left to right."""

_COLOURS = {"images": "#2a78b5", "directed": "#8fc1e3", "unreachable": "#c9c9c9", "open": "#d1495b"}
_LABELS = {
    "images": "covered in whole images",
    "directed": "covered by stimuli of the node alone",
    "unreachable": "proved unreachable",
    "open": "open",
}


def shares(figures: Figures) -> dict[str, float]:
    """The share of a node's points in each state; they add up to 1."""
    counts = {
        "images": figures.covered - figures.directed,
        "directed": figures.directed,
        "unreachable": figures.unreachable,
        "open": figures.open,
    }
    return {state: count / max(1, figures.points) for state, count in counts.items()}


def draw_bars(axes: Axes, rows: dict[str, Figures], colours: dict[str, str] | None = None) -> None:
    """Draw a bar for every node, the first at the top, with the number of its open points behind it."""
    chosen = colours or _COLOURS
    left = [0.0] * len(rows)
    for state in STATES:
        widths = [shares(figures)[state] for figures in rows.values()]
        axes.barh(range(len(rows)), widths, left=left, height=0.72, color=chosen[state], label=_LABELS[state])
        left = [a + b for a, b in zip(left, widths, strict=True)]
    for at, figures in enumerate(rows.values()):
        text = f"{figures.points:,}" + (f", {figures.open:,} open" if figures.open else "")
        axes.annotate(text, (1.0, at), xytext=(5, 0), textcoords="offset points", va="center", fontsize=7)
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(0, 1.0)
    axes.xaxis.set_major_formatter(lambda value, _position: f"{value:.0%}")
    axes.set_xlabel("points")


def draw_coverage(coverage: Coverage) -> Figure:
    """The picture of a coverage."""
    rows = by_node(coverage)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 1.1 + 0.24 * len(rows)))
        axes = figure.add_subplot()
        draw_bars(axes, rows)
        axes.set_title(coverage.model, pad=22)
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=4, borderaxespad=0.2)
    return figure


def write_picture(coverage: Coverage, path: Path) -> None:
    """Draw a coverage into a file, .svg or .png."""
    write_figure(draw_coverage(coverage), path)
