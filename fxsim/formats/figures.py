"""Pictures drawn with matplotlib, as files that are the same whenever the drawing is. Imports matplotlib."""

import os
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from fxsim.errors import FileError
from fxsim.formats.atomic import atomic_write, check_target

STYLE: Any = {
    "svg.fonttype": "none",
    # Identifiers inside an SVG are hashes; without a salt they are random.
    "svg.hashsalt": "fxsim",
    "font.size": 9,
    # Names come from files: a $ in one is not mathematics.
    "text.parse_math": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "grid.linewidth": 0.5,
    "grid.color": "#d8d8d8",
    "legend.frameon": False,
    "legend.fontsize": 8,
}
"""The look of figures; draw inside `matplotlib.rc_context(STYLE)`."""

_FORMATS = {".svg": "svg", ".png": "png"}


def check_figure_target(path: Path) -> None:
    """FileError unless `write_figure` could write there: for those who want to know before a long computation."""
    if path.suffix.lower() not in _FORMATS:
        raise FileError(f"cannot draw {path}: expected a name that ends in .svg or .png")
    check_target(path)


def write_figure(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a figure as .svg or .png, by the name's ending, whole or not at all. FileError where it cannot be."""
    path = Path(path)
    check_figure_target(path)
    kind = _FORMATS[path.suffix.lower()]
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with atomic_write(path) as file, mpl.rc_context(STYLE):
        figure.savefig(file, format=kind, bbox_inches="tight", pad_inches=0.06, dpi=150, metadata=metadata)
