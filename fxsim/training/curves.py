"""The picture of a training: losses and validation accuracy, epoch by epoch. Imports matplotlib."""

from collections.abc import Sequence
from itertools import groupby

import matplotlib as mpl
from matplotlib.figure import Figure

from fxsim.formats.figures import STYLE
from fxsim.training.log import EpochRecord


def draw_curves(records: Sequence[EpochRecord], title: str) -> Figure:
    """Loss (above, logarithmic) and validation accuracy (below) of all stages, one after the other.

    Stages have losses of their own kinds, which are not to be compared with each other: transfer has a mean squared
    error of activations, the others a cross-entropy.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8, 4.4), layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        at = 0
        for stage, group in groupby(records, key=lambda record: record.stage):
            part = list(group)
            epochs = range(at + 1, at + len(part) + 1)
            above.plot(epochs, [record.loss for record in part], color="#2f6fb2", linewidth=1.2)
            _plot(above, epochs, [record.validation_loss for record in part], "#c4622d", 1.2)
            _plot(below, epochs, [_percent(record.validation_accuracy) for record in part], "#c4622d", 1.2)
            for axes in (above, below):
                axes.axvline(at + 0.5, color="#d8d8d8", linewidth=0.8)
            below.annotate(
                stage, (at + 0.5, 0), xycoords=("data", "axes fraction"), xytext=(2, 3), textcoords="offset points",
                fontsize=7, rotation=90, va="bottom",
            )  # fmt: skip
            at += len(part)
        above.set_yscale("log")
        above.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        above.yaxis.set_minor_formatter(lambda *_: "")
        above.set_ylabel("loss")
        above.set_title(title)
        above.plot([], [], color="#2f6fb2", label="training")
        above.plot([], [], color="#c4622d", label="validation")
        above.legend(loc="upper right", ncols=2)
        below.set_ylabel("validation accuracy, %")
        below.set_xlabel("epoch")
        for axes in (above, below):
            axes.grid(axis="y")
    return figure


def _plot(axes: mpl.axes.Axes, epochs: range, values: list[float | None], colour: str, width: float) -> None:
    """A line through the values that there are."""
    known = [(epoch, value) for epoch, value in zip(epochs, values, strict=True) if value is not None]
    marker = "." if len(known) == 1 else ""
    axes.plot([e for e, _ in known], [v for _, v in known], color=colour, linewidth=width, marker=marker)


def _percent(accuracy: float | None) -> float | None:
    return None if accuracy is None else 100 * accuracy
