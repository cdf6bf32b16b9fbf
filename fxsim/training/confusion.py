"""The picture of a confusion matrix. Imports matplotlib."""

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from fxsim.formats.figures import STYLE
from fxsim.training.evaluate import Evaluation

_LABELLED = 20
"""Classes up to which every count is written out."""


def draw_confusion(evaluation: Evaluation) -> Figure:
    """Pictures by their class (row) and the class that the integer model gives them (column), shaded by row shares."""
    counts = np.array(evaluation.confusion)
    classes = len(counts)
    of_row = counts.sum(axis=1, keepdims=True)
    # A class without pictures has an empty row.
    shares = counts / np.maximum(of_row, 1)
    side = 2.2 + 0.34 * min(classes, _LABELLED)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(side, side), layout="constrained")
        axes = figure.add_subplot()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if classes <= _LABELLED:
            for (row, column), count in np.ndenumerate(counts):
                if count:
                    colour = "white" if shares[row, column] > 0.5 else "black"
                    axes.text(column, row, f"{count}", ha="center", va="center", fontsize=7.5, color=colour)
            axes.set_xticks(range(classes))
            axes.set_yticks(range(classes))
        for spine in axes.spines.values():
            spine.set_visible(False)
        axes.tick_params(length=0)
        axes.set_xlabel("class given by the integer model")
        axes.set_ylabel("class of the picture")
        found = evaluation.networks["integer"]
        axes.set_title(
            f"{_short(evaluation.model)} on {evaluation.data} ({evaluation.split}):\n"
            f"{found.correct:,} of {found.total:,} right, {found.accuracy:.1%}"
        )
    return figure


def _short(name: str, most: int = 40) -> str:
    shown = "".join(c if c.isprintable() else " " for c in name)
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."
