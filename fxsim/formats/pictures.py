"""Looks of the pictures in pages, which are inline SVG drawn from data alone.

Colours are named by the page's CSS variables, so that pictures follow its light or dark scheme. The same record gives
the same SVG. matplotlib is imported only where something is drawn.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

# Colours that stand for CSS variables until the SVG is written.
INK, MUTED, LINE, CARD, PASSED, FAILED, ERROR, SKIPPED, ACCENT, SECOND = (f"#0a0b{i:02x}" for i in range(0x10, 0x1A))
_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    LINE: "--line",
    CARD: "--card",
    PASSED: "--passed",
    FAILED: "--failed",
    ERROR: "--error",
    SKIPPED: "--skipped",
    ACCENT: "--accent",
    SECOND: "--second",
}
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.size": 9,
    "text.color": INK,
    # Names come from files: a $ in one is not mathematics.
    "text.parse_math": False,
    "axes.edgecolor": LINE,
    "axes.labelcolor": MUTED,
    "axes.titlecolor": INK,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "axes.axisbelow": True,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "legend.fontsize": 8,
}
_WIDTH = 10.5
"""Width of a picture in inches; the page scales it to its own width."""


def new_canvas(height: float, **options: Any) -> Canvas:
    """An empty picture as wide as the page, so many inches high."""
    from matplotlib.figure import Figure

    return Figure(figsize=(_WIDTH, height), **options)


def draw_svg(draw: Callable[[], Canvas], title: str) -> str:
    """The SVG element of what `draw` draws, without anything that changes from run to run or that the page sets itself.

    `title` makes the element's identifiers those of one picture of the page.
    """
    import matplotlib as mpl

    file = io.StringIO()
    # The styles and the salt of identifiers hold for one picture.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": title}):
        draw().savefig(
            file, format="svg", transparent=True, bbox_inches="tight", pad_inches=0.05, metadata={"Date": None}
        )
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


def shorten(name: str, most: int = 50) -> str:
    """A name as it fits into a picture."""
    name = name.replace("blocks.", "").replace("token_mixer.", "mix.")
    return name if len(name) <= most else f"{name[: most - 3]}..."


def tick_names(names: Iterable[str]) -> list[str]:
    """Names of taps beside an axis."""
    return [shorten(name, 24) for name in names]
