"""The picture of what modules take: areas in proportion, one for each kind of part of an FPGA. Imports matplotlib."""

from pathlib import Path

import matplotlib as mpl
import squarify
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from fxsim.formats.figures import STYLE, write_figure
from fxsim.synthesis.record import Area

_PARTS = (("lut", "look-up tables"), ("ff", "flip-flops"), ("dsp", "multipliers"), ("bram", "memory blocks"))
_COLOURS = (
    "#2a78b5",
    "#d98c3f",
    "#5a9e6f",
    "#8d6cab",
    "#b5555b",
    "#7f8a93",
    "#c2a83e",
    "#4fa3a8",
    "#a3705c",
    "#6473c1",
)
_WIDTH, _HEIGHT = 100.0, 62.0
_LETTER_WIDTH, _LABEL_HEIGHT = 1.9, 6.0
"""The room that a letter of a name takes, and the two lines of a name and its share, in the picture's units."""


def draw_area(area: Area) -> Figure:
    """The picture of a design: a treemap for each kind of part that it takes, modules in the same colours."""
    shown = [(field, title) for field, title in _PARTS if getattr(area.total, field)]
    colours = {row.module: _COLOURS[at % len(_COLOURS)] for at, row in enumerate(area.modules)}
    columns = min(2, len(shown))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.8 * columns, 0.9 + 3.2 * -(-len(shown) // columns)), layout="constrained")
        figure.suptitle(f"{area.design} with {area.model}, {area.device}", fontsize=10)
        for at, (field, title) in enumerate(shown, 1):
            axes = figure.add_subplot(-(-len(shown) // columns), columns, at)
            parts = {row.module: float(getattr(row.total, field)) for row in area.modules}
            axes.set_title(f"{getattr(area.total, field):,} {title}")
            _draw(axes, {name: part for name, part in parts.items() if part > 0}, colours)
        legend = [Patch(color=colour, label=name) for name, colour in colours.items()]
        figure.legend(handles=legend, loc="outside lower center", ncols=6)
    return figure


def _draw(axes: Axes, parts: dict[str, float], colours: dict[str, str]) -> None:
    ordered = sorted(parts.items(), key=lambda pair: pair[1], reverse=True)
    whole = sum(parts.values())
    sizes = squarify.normalize_sizes([part for _, part in ordered], _WIDTH, _HEIGHT)
    for (name, part), place in zip(ordered, squarify.squarify(sizes, 0, 0, _WIDTH, _HEIGHT), strict=True):
        corner, size = (place["x"], place["y"]), (place["dx"], place["dy"])
        axes.add_patch(Rectangle(corner, *size, facecolor=colours[name], edgecolor="white", linewidth=1.2))
        if size[0] >= _LETTER_WIDTH * len(name) and size[1] >= _LABEL_HEIGHT:
            middle = corner[0] + size[0] / 2, corner[1] + size[1] / 2
            axes.annotate(
                f"{name}\n{part / whole:.0%}", middle, ha="center", va="center", fontsize=7, color="white", clip_on=True
            )
    axes.set_xlim(0, _WIDTH)
    axes.set_ylim(_HEIGHT, 0)
    axes.set_axis_off()


def write_picture(area: Area, path: Path) -> None:
    """Draw a design's parts into a file, .svg or .png."""
    write_figure(draw_area(area), path)
