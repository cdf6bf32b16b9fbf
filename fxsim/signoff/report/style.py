"""Looks of the report's pictures: those of `fxsim.formats.pictures`."""

from fxsim.formats.pictures import (
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
    draw_svg,
    new_canvas,
    shorten,
    tick_names,
)

__all__ = [
    "ACCENT",
    "CARD",
    "ERROR",
    "FAILED",
    "INK",
    "LINE",
    "MUTED",
    "PASSED",
    "SECOND",
    "SKIPPED",
    "draw_svg",
    "new_canvas",
    "shorten",
    "tick_names",
]
