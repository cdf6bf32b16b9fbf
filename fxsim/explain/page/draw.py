"""Pictures of a faulty tap: how far values are off, where, and what a table gives. matplotlib is imported late."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fxsim.contract.arithmetic import Int64
from fxsim.engines import apply
from fxsim.explain.applied import changes_of
from fxsim.explain.locate import Located, Mask
from fxsim.explain.result import Fault
from fxsim.explain.rules import Rule, compute
from fxsim.formats.pictures import ACCENT, FAILED, LINE, MUTED, draw_svg, new_canvas
from fxsim.graph import Node
from fxsim.operators import Lut

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

_BARS_MAX = 61
_POINTS_MAX = 2_000
_CELLS_MAX = 512
"""Most rows and columns of a map; more are put together."""


class Picture(NamedTuple):
    """A picture, as an SVG element, with its caption."""

    caption: str
    svg: str


def pictures(located: Located, fault: Fault, number: int) -> list[Picture]:
    """The pictures of a fault, the page's so-and-so-many-th."""
    again = located.again(fault.tap)
    if again is None:
        return []
    hidden = located.unknown.get(fault.tap, np.zeros(again.shape, bool))
    got = located.got[fault.tap]
    off = (got - again)[~hidden]
    wrong = (got != again) | hidden
    found = []
    if off.any():
        found.append(Picture("How far wrong values are off, and how many of them.", _svg(_histogram, off, number)))
    found.append(Picture("Where: of all images, the share of wrong values at each place.", _svg(_map, wrong, number)))
    if (table := _read_table(located, fault, wrong & ~hidden)) is not None:
        node, x, came, at = table
        channel = int(np.argmax(at.reshape(-1, at.shape[-1]).sum(axis=0)))
        what = "what came" if fault.node == fault.tap else "what the rule makes"
        caption = f"The function of {node.name}, channel {channel}, which has most wrong values, and {what} for these."
        found.append(Picture(caption, _svg(partial(_table, node, x, came, at), channel, number)))
    return found


def _read_table(located: Located, fault: Fault, wrong: Mask) -> tuple[Node, Int64, Int64, Mask] | None:
    """A faulty table, its inputs, and results with those that are wrong: of the trace, else what the rule makes."""
    node = located.model.graph.by_name[fault.node]
    x, again = located.inputs(node.inputs[0]), located.again(node.name)
    if not isinstance(node.op, Lut) or x is None or again is None:
        return None
    if fault.node == fault.tap:
        return node, x, located.got[fault.tap], wrong
    changes = changes_of(located, fault)
    if len(changes) != 1:
        return None
    made = compute(node.op, Rule(**changes[0].fields), x)
    return node, x, made, made != again


def _svg(draw: Callable[[Any], Canvas], given: object, number: int) -> str:
    # Identifiers hold letters alone.
    letter = "abcdefghijklmnopqrstuvwxyz"[number % 26] * (1 + number // 26)
    return draw_svg(partial(draw, given), f"{getattr(draw, '__name__', 'table').strip('_')} of fault {letter}")


def _histogram(off: Int64) -> Canvas:
    canvas = new_canvas(2.2)
    axes = canvas.add_subplot()
    values, counts = np.unique(off[off != 0], return_counts=True)
    if len(values) > _BARS_MAX:
        edges = np.linspace(values.min(), values.max() + 1, _BARS_MAX + 1)
        counts, _ = np.histogram(off[off != 0], edges)
        axes.bar(edges[:-1], counts, width=np.diff(edges), align="edge", color=ACCENT)
    else:
        axes.bar(values, counts, width=0.8, color=ACCENT)
        if len(values) <= 21:
            axes.set_xticks(values)
    axes.set_xlabel("came, less what its inputs make")
    axes.set_ylabel("values")
    axes.locator_params(axis="y", integer=True)
    return canvas


def _map(wrong: Mask) -> Canvas:
    share = wrong.mean(axis=0)
    share = share.reshape(-1, share.shape[-1]) if share.ndim else share.reshape(1, 1)
    for axis in (0, 1):
        if share.shape[axis] > _CELLS_MAX:
            parts = np.array_split(share, _CELLS_MAX, axis=axis)
            share = np.stack([part.mean(axis=axis) for part in parts], axis=axis)
    canvas = new_canvas(min(6.0, max(1.2, 0.8 + 9.0 * share.shape[0] / max(share.shape[1], 8))))
    axes = canvas.add_subplot()
    # Cells as one path each would be thousands; an image is one.
    most = max(float(share.max()), 1e-9)
    shown = axes.imshow(
        np.ma.masked_equal(share, 0), cmap="inferno_r", vmin=0, vmax=most, aspect="auto", interpolation="nearest"
    )
    axes.set_xlabel("channel")
    axes.set_ylabel("token" if share.shape[0] > 1 else "")
    if share.shape[0] == 1:
        axes.set_yticks([])
    canvas.colorbar(shown, ax=axes, label="share wrong")
    return canvas


def _table(node: Node, x: Int64, got: Int64, wrong: Mask, channel: int) -> Canvas:
    op = node.op
    assert isinstance(op, Lut)
    codes = np.arange(op.number.low, op.number.high + 1)
    everywhere = np.repeat(codes.astype(op.number.dtype)[:, None], op.table.shape[0], axis=1)
    curve = apply(node, everywhere)[:, channel]
    canvas = new_canvas(3.0)
    axes = canvas.add_subplot()
    axes.plot(codes, curve, color=MUTED, linewidth=1, label="the table")
    points = codes[:: op.number.codes // op.points]
    axes.vlines(points, curve.min(), curve.max(), color=LINE, linewidth=0.5)
    at = wrong[..., channel]
    pairs = np.unique(np.stack([x[..., channel][at], got[..., channel][at]]), axis=1)[:, :_POINTS_MAX]
    axes.plot(*pairs, linestyle="", marker="o", markersize=3, color=FAILED, label="wrong")
    axes.set_xlabel("input")
    axes.set_ylabel("result")
    axes.legend(loc="best")
    return canvas
