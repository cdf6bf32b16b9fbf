"""The picture of one-dimensional fits. Imports matplotlib."""

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from fxsim.formats.figures import STYLE
from fxsim.networks.fit import FORMULAS, LIMIT, Fit, Target, measured_x, normalised_target
from fxsim.networks.resmlp import Activation

_NAMES = {Activation.PSA: "PSA", Activation.LERP_PSA: "LERP-PSA", Activation.B_SPLINE: "B-spline"}
_COLOURS = {Activation.PSA: "#0b6e99", Activation.LERP_PSA: "#d9730d", Activation.B_SPLINE: "#448361"}
_DASHES = {Activation.PSA: "-", Activation.LERP_PSA: "--", Activation.B_SPLINE: ":"}
_MARKED = {Activation.PSA: "centres", Activation.LERP_PSA: "grid points", Activation.B_SPLINE: "knots"}
_EVERY = 40
"""Measured points for each that a curve is drawn through."""
_BINS = 64
"""Intervals in each of which the largest error is drawn: at every point, errors would be a blur."""


def draw_fits(fits: Sequence[Fit]) -> Figure:
    """A column a function: the function and its fits; where centres, grid points and knots are; the errors."""
    targets = list(dict.fromkeys(fit.errors.function for fit in fits))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(0.8 + 4.4 * len(targets), 4.9), layout="constrained")
        panels = figure.subplots(3, len(targets), height_ratios=(5, 1.1, 3), sharex="col", squeeze=False)
        for (curves, marks, errors), target in zip(panels.T, targets, strict=True):
            _draw(curves, marks, errors, target, [fit for fit in fits if fit.errors.function == target])
        panels[0, 0].set_ylabel("value")
        panels[2, 0].set_ylabel("largest error")
        figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _draw(curves: Axes, marks: Axes, errors: Axes, target: Target, fits: Sequence[Fit]) -> None:
    every = normalised_target(target, measured_x())
    x = measured_x()[::_EVERY]
    curves.plot(x, every[::_EVERY], color="#b0b0b0", linewidth=3.5, label="function")
    curves.set_title(FORMULAS[target])
    curves.grid(visible=True)
    for row, fit in enumerate(fits):
        kind = fit.errors.activation
        style: Any = {"color": _COLOURS[kind], "linewidth": 1.2}
        values = fit.values[::_EVERY]
        curves.plot(
            x, values, linestyle=_DASHES[kind], label=f"{_NAMES[kind]}, {fit.errors.parameters} parameters", **style
        )
        # All but the last point: intervals begin with their first one.
        magnitudes = abs(fit.values - every)[:-1].reshape(_BINS, -1).max(axis=1)
        errors.stairs(
            magnitudes, np.linspace(-LIMIT, LIMIT, _BINS + 1), linestyle=_DASHES[kind], baseline=None, **style
        )
        inside = fit.marks[abs(fit.marks) <= LIMIT]
        marks.plot(inside, [row] * len(inside), linestyle="", marker="|", markersize=6, color=_COLOURS[kind])
    marks.set_yticks(range(len(fits)), [_MARKED[fit.errors.activation] for fit in fits], fontsize=7)
    marks.set_ylim(len(fits) - 0.4, -0.6)
    marks.tick_params(length=0)
    errors.set_yscale("log")
    errors.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    errors.yaxis.set_minor_formatter(NullFormatter())
    errors.grid(visible=True)
    errors.set_xlim(-LIMIT, LIMIT)
    errors.set_xlabel("x")
