"""The cost of a table's size, edge rule and points: errors against the full tables, and changed predictions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from fxsim.contract import INT8_MIN, TableRule, expand_table
from fxsim.contract.arithmetic import Int8, Int64
from fxsim.engines import run_chunks
from fxsim.errors import ModelError, StimulusError
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Lut
from fxsim.tables.points import CODES, PointMethod, compress_tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Progress = Callable[[int, int], None]
Tables = Mapping[str, Int8]
"""By tap."""


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One way to store a model's tables, against its full tables.

    `method` is None for the full tables themselves. `bytes`: what all tables store. `mean_error`, `worst_error` and
    `differing` are over all 256 inputs of all channels of all tables: the mean absolute and the greatest error in int8
    steps, and the share of entries that are not exact. `used_mean_error` and `used_differing`: the same with each entry
    weighted by how often the data read it in the full model. `correct`: pictures, of `images`, whose predicted class is
    the label. `changed`: those whose predicted class is not the full model's. What needs data is None without.
    """

    points: int
    rule: TableRule
    method: PointMethod | None
    bytes: int
    mean_error: float
    worst_error: int
    differing: float
    used_mean_error: float | None
    used_differing: float | None
    correct: int | None
    changed: int | None
    images: int | None


def study(
    full_tables: Tables,
    model: Model,
    codes: Int8 | None,
    labels: Int64 | None,
    points: Sequence[int],
    rules: Sequence[TableRule],
    methods: Sequence[PointMethod],
    progress: Progress = lambda *_: None,
) -> list[Row]:
    """The full tables, then every combination of `points`, `rules` and `methods`, in this order.

    `full_tables` gives the int8 [C, 256] of every lut of `model` by tap; the model's own are not looked at. `codes`
    int8 [image, token, value] and `labels` int64 [image], or None for both: then no row says anything about data. The
    predicted class is the first greatest value of the model's output. ModelError or StimulusError where something does
    not fit. `progress` is called with rows done and all rows.
    """
    # First: it says what is wrong with tables that do not fit.
    baseline = with_tables(model, full_tables, TableRule.FULL)
    if not full_tables:
        raise ModelError(f"model '{model.name}' has no activation tables, expected some to compare")
    data = None if codes is None or labels is None else _Data(baseline, codes, labels)
    formats = [(p, rule, method) for p in points for rule in rules for method in methods]
    rows = [_row((CODES, TableRule.FULL, None), full_tables, full_tables, full_tables, data, baseline)]
    progress(1, 1 + len(formats))
    for p, rule, method in formats:
        stored = {tap: compress_tables(full, p, rule, method) for tap, full in full_tables.items()}
        read = {tap: expand_table(table, rule) for tap, table in stored.items()}
        rows.append(_row((p, rule, method), stored, read, full_tables, data, model))
        progress(len(rows), 1 + len(formats))
    return rows


def accuracy(row: Row) -> float:
    """Share of pictures that are classified rightly, in percent; not a number without data."""
    return 100 * row.correct / row.images if row.correct is not None and row.images else float("nan")


def best(rows: Sequence[Row], points: int) -> Row | None:
    """The row to recommend among those of so many points; None where there is none.

    Fewest changed predictions; then the least mean error, over all inputs; then the least worst error; then the first.
    Full tables do not compete.
    """
    of_that_size = [row for row in rows if row.points == points and row.method is not None]
    return min(of_that_size, key=lambda row: (row.changed or 0, row.mean_error, row.worst_error), default=None)


# --- Models and their tables -----------------------------------------------------------------------------------------


def full_tables_of(model: Model) -> dict[str, Int8]:
    """The function of each of a model's tables at all 256 inputs, int8 [C, 256], by tap."""
    return {node.name: expand_table(lut.table, lut.rule) for node, lut in _luts(model)}


def with_tables(model: Model, tables: Tables, rule: TableRule) -> Model:
    """The model with other tables, by tap: one for each it has. ModelError names a tap where this does not fit."""
    luts = {node.name for node, _ in _luts(model)}
    for tap in sorted(luts ^ tables.keys()):
        raise ModelError(f"table '{tap}' {'is missing' if tap in luts else f'is of no lut of model {model.name!r}'}")
    nodes = [
        Node(node.name, Lut(tables[node.name], rule), node.inputs) if node.name in luts else node
        for node in model.graph.nodes
    ]
    return Model(Graph(model.graph.input_shape, tuple(nodes)), model.name, model.provenance)


def _luts(model: Model) -> list[tuple[Node, Lut]]:
    return [(node, node.op) for node in model.graph.nodes if isinstance(node.op, Lut)]


# --- Measuring -------------------------------------------------------------------------------------------------------


class _Data:
    """Pictures and labels, what the full model predicts for them, and how often they read each entry of its tables."""

    def __init__(self, full_model: Model, codes: Int8, labels: Int64) -> None:
        self.codes = full_model.check_stimulus(codes)
        self.labels = labels
        self.output = full_model.graph.output
        shape = full_model.graph.shapes[self.output]
        if len(shape) != 1:
            raise ModelError(f"model '{full_model.name}' gives values of shape {shape}, expected a score a class")
        if not len(codes) or labels.shape != (len(codes),):
            raise StimulusError(f"labels have shape {labels.shape}, expected ({len(codes)},), and at least one")
        if labels.min() < 0 or labels.max() >= shape[0]:
            raise StimulusError(f"labels are {labels.min()} to {labels.max()}, expected 0 to {shape[0] - 1}")
        self.uses = {node.name: np.zeros(lut.table.shape, np.int64) for node, lut in _luts(full_model)}
        self.predicted = np.concatenate(list(self._predict_and_count(full_model)))

    def _predict_and_count(self, full_model: Model) -> Iterator[Int64]:
        """Predictions chunk by chunk, adding to `uses` on the way."""
        sources = {node.name: node.inputs[0] for node, _ in _luts(full_model)}
        for part, values in run_chunks(full_model, self.codes, {self.output, *sources.values()} - {INPUT}):
            for tap, source in sources.items():
                inputs = self.codes[part] if source == INPUT else values[source]
                channels = inputs.shape[-1]
                entry = np.arange(channels) * CODES + (inputs.reshape(-1, channels).astype(np.int64) - INT8_MIN)
                self.uses[tap] += np.bincount(entry.ravel(), minlength=channels * CODES).reshape(channels, CODES)
            yield values[self.output].argmax(axis=1)

    def predictions(self, model: Model) -> Int64:
        """The class that a model predicts for each picture."""
        return np.concatenate(
            [values[self.output].argmax(axis=1) for _, values in run_chunks(model, self.codes, (self.output,))]
        )


def _row(
    how: tuple[int, TableRule, PointMethod | None],
    stored: Tables,
    read: Tables,
    full: Tables,
    data: _Data | None,
    model: Model,
) -> Row:
    """The row of the tables `stored`, which `read` are at every input."""
    points, rule, method = how
    error = np.concatenate([np.abs(read[tap].astype(np.int64) - full[tap]).ravel() for tap in full])
    used_mean_error = used_differing = correct = changed = images = None
    if data is not None:
        uses = np.concatenate([data.uses[tap].ravel() for tap in full])
        used_mean_error = float((error * uses).sum() / uses.sum())
        used_differing = float(uses[error > 0].sum() / uses.sum())
        predicted = data.predictions(with_tables(model, stored, rule))
        correct, images = int((predicted == data.labels).sum()), len(data.labels)
        changed = int((predicted != data.predicted).sum())
    return Row(
        points=points,
        rule=rule,
        method=method,
        bytes=sum(table.size for table in stored.values()),
        mean_error=float(error.mean()),
        worst_error=int(error.max()),
        differing=float((error > 0).mean()),
        used_mean_error=used_mean_error,
        used_differing=used_differing,
        correct=correct,
        changed=changed,
        images=images,
    )


# --- The picture -----------------------------------------------------------------------------------------------------

_LINES: dict[PointMethod, dict[str, Any]] = {
    PointMethod.DECIMATE: {"color": "#6b7280", "marker": "o"},
    PointMethod.LEAST_SQUARES: {"color": "#1d4ed8", "marker": "s"},
    PointMethod.MINIMAX: {"color": "#c2410c", "marker": "^"},
}


def draw(rows: Sequence[Row], title: str) -> "Figure":
    """A picture of what `study` found: a column an edge rule, a line a method, against P.

    The mean and the worst error, and where there are data the accuracy, beside that of the full tables, `rows[0]`.
    """
    # Whoever wants no picture does without the time that this takes.
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    from fxsim.formats.figures import STYLE

    full, stored = rows[0], sorted(rows[1:], key=lambda row: row.points)
    rules = list(dict.fromkeys(row.rule for row in rows[1:]))
    methods = [method for method in PointMethod if any(row.method == method for row in stored)]
    sizes = sorted({row.points for row in stored})
    # What is drawn, its axis, and up to where that is linear: errors may be 0.
    panels: list[tuple[str, Callable[[Row], float], float | None]] = [
        ("mean error (int8 steps)", lambda row: row.mean_error, 0.01),
        ("worst error (int8 steps)", lambda row: row.worst_error, 1),
    ]
    if full.correct is not None:
        panels.append(("accuracy (%)", accuracy, None))
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(3.0 * len(rules) + 0.8, 2.2 * len(panels) + 0.8), layout="constrained")
        figure.suptitle(f"{title}: activation tables against full ones", fontsize=10)
        grid: Any = figure.subplots(len(panels), len(rules), sharex=True, sharey="row", squeeze=False)
        for (label, value, linear_until), panel_row in zip(panels, grid, strict=True):
            panel_row[0].set_ylabel(label)
            for rule, axes in zip(rules, panel_row, strict=True):
                for method in methods:
                    line = [row for row in stored if (row.rule, row.method) == (rule, method)]
                    axes.plot(
                        [row.points for row in line], [value(row) for row in line],
                        label=method, markersize=4, linewidth=1.2, **_LINES[method],
                    )  # fmt: skip
                axes.grid(visible=True)
                axes.set_xscale("log", base=2)
                axes.xaxis.set_major_locator(FixedLocator(sizes))
                axes.xaxis.set_minor_locator(NullLocator())
                axes.set_xticklabels([str(size) for size in sizes])
                if linear_until is None:
                    axes.axhline(value(full), color="black", linewidth=0.8, linestyle=":", label="full tables")
                else:
                    # Limits for all columns, which share the axis: 0 below only where something is near it.
                    values = [value(row) for row in stored]
                    axes.set_yscale("symlog", linthresh=linear_until)
                    axes.set_ylim(0 if min(values) < linear_until else min(values) / 2, 2 * max(*values, linear_until))
                    axes.yaxis.set_major_formatter(FuncFormatter(lambda tick, _: f"{tick:g}"))
        for rule, axes in zip(rules, grid[0], strict=True):
            axes.set_title(f"edge rule {rule}")
        for axes in grid[-1]:
            axes.set_xlabel("points P")
        lines, names = grid[-1][0].get_legend_handles_labels()
        figure.legend(lines, names, loc="outside lower center", ncols=len(names))
    return figure
