"""The page of a `Sensitivity`: pictures of what matters where, and the ranked tables."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fxsim.explain.page.draw import Picture
from fxsim.explain.sensitivity.result import Effect, Everywhere, Outcome, Sensitivity
from fxsim.formats import atomic_write
from fxsim.formats.pages import page_templates
from fxsim.formats.pictures import ACCENT, FAILED, LINE, MUTED, PASSED, draw_svg, new_canvas, tick_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

SHOWN = 300
"""Most rows of the ranked table."""
_OUT_SHOWN = 200
_COLOURS = (ACCENT, FAILED, PASSED, MUTED)
_CURVES = {
    "activation_bits": "activations, bits", "weight_bits": "weights, bits", "accumulator_width": "accumulators, bits",
    "lut_resampled": "tables, log2 of points",
}  # fmt: skip


def write_sensitivity(result: Sensitivity, path: str | os.PathLike[str]) -> None:
    """Write the page, whole or not at all; it needs no other file. Every text in it is escaped."""
    text = render(result)
    with atomic_write(path) as file:
        file.write_text(text, encoding="utf-8")


def render(result: Sensitivity) -> str:
    """The page."""
    computed = [effect for effect in result.effects if effect.only is not None]
    pictures = [Picture("Answers changed, by node and rule (the worst of each rule's parameters)", _map(result))]
    if any(change.label in _CURVES and change.outcome for change in result.everywhere):
        pictures.append(Picture("Answers changed by size and width, at all nodes at once", _curves(result)))
    return page_templates(Path(__file__).parent).get_template("sensitivity.html.j2").render(
        result=result,
        named=named,
        nodes=len({effect.node for effect in result.effects}),
        pictures=pictures if computed else [],
        shown=computed[:SHOWN],
        left=max(0, len(computed) - SHOWN),
        out=[effect for effect in result.effects if effect.left_out][:_OUT_SHOWN],
    )  # fmt: skip


def named(change: Effect | Everywhere) -> str:
    """A change's label and parameters in words."""
    return f"{change.label} {', '.join(f'{k} {v}' for k, v in change.parameters.items())}".rstrip()


def _share(outcome: Outcome, result: Sensitivity) -> float:
    return outcome.top1_changed / result.images


def _map(result: Sensitivity) -> str:
    worst: dict[tuple[str, str], float] = defaultdict(float)
    for effect in result.effects:
        if effect.only is not None:
            at = (effect.node, effect.label)
            worst[at] = max(worst[at], _share(effect.only, result))
    order = [tap.tap for tap in result.taps]
    nodes = sorted({node for node, _ in worst}, key=order.index)
    labels = sorted({label for _, label in worst}, key=lambda label: -max(worst[n, label] for n in nodes))
    cells = np.array([[worst.get((node, label), np.nan) for label in labels] for node in nodes])

    def draw() -> Canvas:
        canvas = new_canvas(1.9 + 0.2 * len(nodes))
        axes = canvas.add_subplot()
        shown = axes.imshow(np.ma.masked_invalid(cells), cmap="inferno_r", vmin=0, vmax=1, aspect="auto")
        axes.set_yticks(range(len(nodes)), tick_names(nodes))
        axes.set_xticks(range(len(labels)), labels, rotation=60, ha="right")
        canvas.colorbar(shown, ax=axes, label="share of images")
        return canvas

    return draw_svg(draw, "answers changed by node and rule")


def _curves(result: Sensitivity) -> str:
    curves: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for change in result.everywhere:
        if change.label in _CURVES and change.outcome is not None:
            size = change.parameters.get("bits") or np.log2(change.parameters["points"])
            curves[change.label].append((float(size), _share(change.outcome, result)))

    def draw() -> Canvas:
        canvas = new_canvas(2.6)
        axes = canvas.add_subplot()
        for colour, (label, title) in zip(_COLOURS, _CURVES.items(), strict=True):
            if curves[label]:
                axes.plot(
                    *zip(*sorted(curves[label]), strict=True), marker="o", markersize=3, color=colour, label=title
                )
        axes.grid(color=LINE, linewidth=0.5)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("bits, or log2 of points")
        axes.set_ylabel("share of images")
        axes.locator_params(axis="x", integer=True)
        axes.legend(loc="best")
        return canvas

    return draw_svg(draw, "answers changed by size and width")
