"""Pictures of a bridge, drawn from its record alone. Imports matplotlib."""

import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from fxsim.bridge.attribute import RULES
from fxsim.bridge.record import UNEXPLAINED, BridgeRecord, TapDifferences
from fxsim.bridge.steps import StepsRecord
from fxsim.errors import FxsimError
from fxsim.formats.figures import STYLE

COLOURS = {
    RULES["ties"]: "#2b6cb0",
    RULES["sums"]: "#e0a030",
    RULES["saturation"]: "#c0443c",
    RULES["tables"]: "#5a9e6f",
    UNEXPLAINED: "#000000",
}
_COMBINED = "#8a63a8"
"""Causes of several rules together."""


def draw_bridge(record: BridgeRecord) -> Figure:
    """Differences tap by tap: those that begin there, stacked by cause, and below how far those carried over spread.

    FxsimError where the contract did not hold: there is nothing to draw.
    """
    if record.float_mode is None:
        raise FxsimError("the integer model is not the network's: there are no causes to draw")
    taps = record.float_mode.taps
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(2.5 + 0.2 * len(taps), 5.4), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        places = range(len(taps))
        base = [0.0] * len(taps)
        for cause in _causes(taps):
            shares = [100 * tap.causes.get(cause, 0) / tap.compared for tap in taps]
            upper.bar(places, shares, bottom=base, width=0.75, color=COLOURS.get(cause, _COMBINED), label=cause)
            base = [b + share for b, share in zip(base, shares, strict=True)]
        upper.set_ylabel("begin here, % of values")
        upper.set_title(
            f"{_short(record.name)}: float fake-quant against the integer model, {record.images:,} images of "
            f"{_short(record.data)}"
        )
        if any(base):
            upper.legend()
        differ = [100 * tap.differ / tap.compared for tap in taps]
        carried = [100 * tap.carried / tap.compared for tap in taps]
        lower.plot(places, differ, color="#555555", marker=".", linewidth=1.2, label="differ")
        lower.plot(places, carried, color="#d07a2a", marker=".", linewidth=1.2, linestyle="--", label="carried over")
        lower.set_ylabel("% of values")
        lower.set_ylim(bottom=0)
        lower.legend()
        lower.set_xlim(-0.7, len(taps) - 0.3)
        lower.set_xticks(places, [_tap(tap.tap) for tap in taps], rotation=90, fontsize=7)
        for axes in (upper, lower):
            axes.grid(axis="y")
    return figure


def draw_steps(record: StepsRecord) -> Figure:
    """Errors of x step by step, and of the last x with the pictures classified rightly by numbers of steps."""
    colours = {"fake-quant": "#2b6cb0", "integer": "#c0443c", "float": "#555555"}
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.4, 3.4), layout="constrained")
        left, middle, right = figure.subplots(1, 3, width_ratios=(4, 3, 3))
        places = range(1, len(record.steps) + 1)
        for form, errors in (
            ("fake-quant", [100 * step.fake_quant for step in record.steps]),
            ("integer", [100 * step.integer for step in record.steps]),
        ):
            left.plot(places, errors, color=colours[form], marker=".", linewidth=1.2, label=form)
        names = [step.tap.removesuffix(".x").replace(".step", " ") for step in record.steps]
        left.set_xticks(places, names, rotation=90)
        left.set_ylabel("error of x, % of its size")
        left.set_title(f"{_short(record.name)}: after each step", fontsize=9)
        numbers = [count.steps for count in record.counts]
        for form, errors in (
            ("fake-quant", [100 * count.fake_quant for count in record.counts]),
            ("integer", [100 * count.integer for count in record.counts]),
        ):
            middle.plot(numbers, errors, color=colours[form], marker=".", linewidth=1.2, label=form)
        middle.set_title("error of the last x", fontsize=9)
        for form in record.counts[0].correct:
            shares = [100 * count.correct[form] / record.images for count in record.counts]
            right.plot(numbers, shares, color=colours[form], marker=".", linewidth=1.2, label=form)
        right.set_title("pictures right, %", fontsize=9)
        for axes in (middle, right):
            axes.set_xscale("log", base=2)
            axes.set_xticks(numbers, [str(number) for number in numbers])
            axes.axvline(record.trained_steps, color="#d8d8d8", linewidth=0.8)
            axes.set_xlabel("steps of Euler's method")
        for axes in (left, middle):
            axes.set_ylim(bottom=0)
        for axes in (left, middle, right):
            axes.grid(axis="y")
            axes.legend()
    return figure


def inline_svg(figure: Figure) -> str:
    """A figure as an SVG element for a page; the same figure gives the same text."""
    file = io.StringIO()
    with mpl.rc_context(STYLE):
        figure.savefig(file, format="svg", bbox_inches="tight", pad_inches=0.06, metadata={"Date": None})
    text = file.getvalue()
    return text[text.index("<svg") :]


def _causes(taps: Sequence[TapDifferences]) -> list[str]:
    """Every cause that occurs, rules by themselves first."""
    found = dict.fromkeys(cause for tap in taps for cause in tap.causes)
    return [cause for cause in COLOURS if cause in found] + [cause for cause in found if cause not in COLOURS]


def _tap(name: str) -> str:
    return name.replace("blocks.", "").replace("token_mixer.", "mix.")


def _short(name: str, most: int = 40) -> str:
    shown = "".join(c if c.isprintable() else " " for c in name)
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."
