"""Kind `cycles`: cycles an image of the SIMD accelerator, alone and in batches, against a bound; where they went."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from fxsim.cosim import CosimResult
from fxsim.devices.simd import SimdFigures, build_memory_image
from fxsim.devices.simd.device import DEVICE
from fxsim.devices.simd.figures import MULTIPLIERS, LayerFigures, Span
from fxsim.signoff.context import Context, Outcome, first_few
from fxsim.signoff.kind import Kind, Picture, Section, Topic
from fxsim.signoff.plan import Check, Name, Part
from fxsim.signoff.record import Data, Details, Figure
from fxsim.signoff.report.elements import Block, Cell, Column, Row, Table, format_figure, format_percent
from fxsim.signoff.report.style import (
    ACCENT,
    CARD,
    ERROR,
    INK,
    MUTED,
    PASSED,
    SECOND,
    SKIPPED,
    new_canvas,
    shorten,
)
from fxsim.signoff.simulation import (
    COMPARED,
    CYCLES,
    SIMULATED,
    SIMULATIONS,
    UNPROBED,
    ReadLatency,
    Setup,
    Simulation,
    describe,
    find_reason,
    keep_failure,
    simulate,
    take_images,
)
from fxsim.signoff.simulation import Cycles as Count
from fxsim.traces.kept import Given

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

_ALONE, _BATCH, _KEPT = "an image alone", "in a batch", "in a batch, parameters kept"
"""The three ways in which images are run to count their cycles."""


class FasterThan(Part, frozen=True, kw_only=True):
    """Another model, and how many times its cycles an image must be those of the check's own model, at least."""

    model: Name
    ratio: Annotated[float, Meta(gt=0, le=1000)]


class CyclesCheck(Check, frozen=True, tag="cycles", kw_only=True):
    """In the RTL of the SIMD accelerator no image takes more than `bound` cycles, everything loaded for each image.

    That is so for jobs of one image, from start to done, and for the images of one job. With the parameters kept, where
    they fit, the cycles are reported. `published` is shown beside them.
    """

    model: Name
    stimulus: Name
    bound: Count
    published: Count | None = None
    faster_than: FasterThan | None = None
    images: Annotated[int, Meta(ge=3, le=1000)] = 4
    read_latency: ReadLatency | None = None

    @property
    def named_models(self) -> tuple[str, ...]:
        """The check's own model and the slower one."""
        return (self.model, *(() if self.faster_than is None else (self.faster_than.model,)))

    @property
    def setups(self) -> tuple[Setup, ...]:
        """The SIMD accelerator."""
        return (Setup(DEVICE.name),)

    def problems(self) -> Iterator[str]:
        """The check must compare two models."""
        if self.faster_than is not None and self.faster_than.model == self.model:
            yield f"compares model '{self.model}' with itself"


class Cycles(Data, frozen=True):
    """Measured cycles an image of the SIMD accelerator, the greatest each.

    `alone_cycles`: of jobs of one image. `batch_cycles`: between images of one job; `kept_cycles`: there, with the
    parameters kept (null where they do not fit). Layers and timeline are of a job of one image.
    `ratio`: how many times these cycles the model `faster_than` needs alone; `ratio_bound`: the least that it must be.
    """

    FIELD = "cycles"

    model: str
    read_latency: int
    alone_cycles: int | None
    batch_cycles: int | None
    kept_cycles: int | None
    bound_cycles: int
    published_cycles: int | None
    faster_than: str | None
    ratio: float | None
    ratio_bound: float | None
    layers: tuple[LayerFigures, ...]
    timeline: tuple[Span, ...]

    @property
    def utilisation(self) -> float | None:
        """The part of the multipliers' time, in an image alone, that the model's products take."""
        macs = sum(layer.macs for layer in self.layers)
        return None if self.alone_cycles is None else macs / (MULTIPLIERS * self.alone_cycles)


def run(check: CyclesCheck, context: Context, seed: int) -> Outcome:
    """Cycles an image of the SIMD accelerator, alone and in batches, against the bound, and where they went."""
    latency = {} if check.read_latency is None else {"read_latency": check.read_latency}
    alone_setup = Setup(DEVICE.name, latency | {"batch": 1, "keep": False})
    batch_setup = Setup(DEVICE.name, latency | {"batch": check.images, "keep": False})
    runs = {_ALONE: (check.model, alone_setup), _BATCH: (check.model, batch_setup)}
    if build_memory_image(context.model(check.model)).keeps:
        runs[_KEPT] = check.model, Setup(DEVICE.name, {**batch_setup.settings, "keep": True})
    wanted = check.faster_than
    if wanted is not None:
        runs[wanted.model] = wanted.model, alone_setup
    measured: dict[str, int | None] = {}
    results, problems = [], []
    kept, note = None, ""
    for name, (model_name, ran) in runs.items():
        model = context.model(model_name)
        x = take_images(check.images, context.stimulus(check.stimulus, model, seed))
        given: list[Given] = []
        result = simulate(model, x, "none", context, ran, given=given)
        results.append((model_name, result))
        measured[name] = _greatest_cycles(result)
        context.status(f"simulation {len(results)} of {len(runs)} done")
        if not result.passed:
            problems.append(f"{name}: {find_reason(result)}")
            if kept is None:
                kept, note = keep_failure(check, result, model, x, context, given=given)
        elif measured[name] is None:
            problems.append(f"{name}: the cycles of an image could not be measured")
    alone, batch = measured[_ALONE], measured[_BATCH]
    for which in (_ALONE, _BATCH):
        greatest = measured[which]
        if greatest is not None and greatest > check.bound:
            problems.append(f"{which}: {greatest:,} cycles, expected at most {check.bound:,}")
    ratio = None
    if wanted is not None and alone is not None and (other := measured[wanted.model]) is not None:
        ratio = other / alone
        if ratio < wanted.ratio:
            problems.append(f"{wanted.model} takes {ratio:.4f} times as long, expected at least {wanted.ratio:g} times")

    figures_of_alone = _figures(results[0][1])
    row = Cycles(
        model=check.model,
        read_latency=figures_of_alone.read_latency,
        alone_cycles=alone,
        batch_cycles=batch,
        kept_cycles=measured.get(_KEPT),
        bound_cycles=check.bound,
        published_cycles=check.published,
        faster_than=None if wanted is None else wanted.model,
        ratio=None if ratio is None else round(ratio, 4),
        ratio_bound=None if wanted is None else wanted.ratio,
        layers=figures_of_alone.layers,
        timeline=figures_of_alone.timeline,
    )
    used = row.utilisation
    figures: tuple[Figure, ...] = (
        Figure("greatest of an image alone, everything loaded for it", alone, "cycles"),
        Figure("greatest in a batch", batch, "cycles"),
        Figure("greatest in a batch, parameters kept", row.kept_cycles if _KEPT in runs else "they do not fit"),
        Figure("bound", check.bound, "cycles"),
        Figure("published", check.published, "cycles"),
        Figure("multipliers used, of an image alone", None if used is None else round(100 * used, 2), "%"),
        Figure("latency of the memory", row.read_latency, "cycles"),
        Figure("words read, of an image alone", figures_of_alone.read_beats // check.images),
        Figure("words written, of an image alone", figures_of_alone.write_beats // check.images),
    )
    summary = f"{_cycles(alone)} for an image alone, bound {check.bound:,}"
    summary += f", published {check.published:,}" if check.published is not None else ""
    summary += f"; {_cycles(batch)} in a batch"
    summary += f", {_cycles(row.kept_cycles)} with the parameters kept" if _KEPT in runs else ""
    if wanted is not None:
        figures += (
            Figure(f"alone, {wanted.model}", measured[wanted.model], "cycles"),
            Figure(f"{wanted.model} takes", row.ratio, "times as long"),
            Figure("which must be at least", wanted.ratio, "times"),
        )
        summary += f"; {wanted.model} takes {'–' if ratio is None else f'{ratio:.3f}'} times as long"  # noqa: RUF001
    details = Details(figures, [*(describe(name, result) for name, result in results), row])
    return Outcome(summary, first_few(problems) + note or None, details, kept)


def _figures(result: CosimResult) -> SimdFigures:
    assert isinstance(result.figures, SimdFigures)  # the SIMD accelerator was simulated
    return result.figures


def _greatest_cycles(result: CosimResult) -> int | None:
    """The most cycles that an image took: a job of one image from its start to done, else between results of a job."""
    simd = _figures(result)
    spread = simd.job_cycles if simd.batch == 1 else simd.image_cycles
    return None if spread is None else spread.max


def _cycles(count: int | None) -> str:
    return "unmeasured cycles" if count is None else f"{count:,} cycles"


def split_cycles(layer: LayerFigures) -> dict[str, float]:
    """A layer's cycles by what the multipliers did in them; together they are all of its cycles."""
    useful = layer.macs / MULTIPLIERS
    parts = {
        "the model's products": useful,
        "products of padding": layer.steps - useful,
        "waits for parameters": layer.waits_parameters,
        "waits for the image": layer.waits_image,
        "waits for the layer before": layer.waits_results_before,
        "waits for room": layer.waits_room,
    }
    return parts | {"rest": layer.cycles - sum(parts.values())}


_PARTS = (ACCENT, SECOND, SKIPPED, ERROR, PASSED, INK, MUTED)
"""Colours of `split_cycles`, in its order."""


def _utilisation(rows: Sequence[Cycles]) -> Canvas:
    """Draw a panel a model, a bar a layer."""
    from matplotlib.patches import Patch

    lines = -(-len(rows) // 2)
    most = max(len(row.layers) for row in rows)
    canvas = new_canvas(0.5 + lines * (0.55 + 0.17 * most), layout="constrained")
    panels = canvas.subplots(lines, 2, squeeze=False).flatten()
    handles: dict[str, Patch] = {}
    for panel, row in zip(panels, rows, strict=False):
        places = range(len(row.layers))
        ends = [0.0] * len(row.layers)
        splits = [split_cycles(layer) for layer in row.layers]
        for colour, what in zip(_PARTS, splits[0], strict=True):
            widths = [split[what] for split in splits]
            if not any(widths):
                continue
            panel.barh(places, widths, left=ends, height=0.72, color=colour)
            ends = [end + width for end, width in zip(ends, widths, strict=True)]
            handles.setdefault(what, Patch(facecolor=colour, label=what))
        for place, layer in enumerate(row.layers):
            part = layer.macs / (MULTIPLIERS * max(layer.cycles, 1))
            panel.annotate(
                f"{part:.1%}", (ends[place], place), xytext=(4, 0), textcoords="offset points", va="center", fontsize=7
            )
        used = row.utilisation
        title = (
            shorten(row.model) if used is None else f"{shorten(row.model)}: {used:.1%} of {row.alone_cycles:,} cycles"
        )
        panel.set_title(title, loc="left", fontsize=8.5)
        panel.set_xlim(0, max(*ends, 1) * 1.14)
        panel.set_ylim(len(row.layers) - 0.4, -0.6)
        panel.set_yticks(places, [f"{layer.number}  {shorten(layer.name, 24)}" for layer in row.layers], fontsize=7)
        panel.tick_params(axis="y", length=0)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        panel.tick_params(axis="x", labelsize=7)
    for panel in panels[len(rows) :]:
        panel.set_visible(False)
    canvas.legend(handles=list(handles.values()), loc="outside upper right", ncols=4)
    return canvas


_LANES = {"write": "write result", "compute": "compute", "load": "load parameters", "image": "load image"}
_KINDS = {"load": (SKIPPED, "load"), "compute": (ACCENT, "compute"), "write": (PASSED, "write back")}


def _timeline(rows: Sequence[Cycles]) -> Canvas:
    """Draw a panel a model, on one scale; a lane for each thing that can go on beside the others."""
    from matplotlib.patches import Patch

    canvas = new_canvas(0.7 + 1.15 * len(rows), layout="constrained")
    panels = canvas.subplots(len(rows), 1, squeeze=False, sharex=True).flatten()
    longest = max(span.end for row in rows for span in row.timeline)
    lanes = list(_LANES)
    for panel, row in zip(panels, rows, strict=True):
        for span in row.timeline:
            lane = lanes.index("image" if span.kind == "load" and span.layer < 0 else span.kind)
            width, colour = span.end - span.start, _KINDS[span.kind][0]
            wide = width > 0.012 * longest
            # A gap between neighbours would be all there is to see of a narrow one.
            edge = CARD if wide else colour
            panel.barh(lane, width, left=span.start, height=0.7, color=colour, edgecolor=edge, linewidth=0.5)
            if wide and span.layer >= 0:
                middle = span.start + width / 2
                panel.text(middle, lane, str(span.layer), ha="center", va="center", fontsize=6.5, color=CARD)
        panel.set_title(shorten(row.model), loc="left", fontsize=8.5)
        panel.set_yticks(range(len(lanes)), [_LANES[lane] for lane in lanes], fontsize=7.5)
        panel.tick_params(axis="y", length=0)
        panel.set_ylim(-0.6, len(lanes) - 0.4)
        panel.set_xlim(0, longest)
        panel.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    panels[-1].set_xlabel("cycles")
    handles = [Patch(facecolor=colour, label=label) for colour, label in _KINDS.values()]
    canvas.legend(handles=handles, loc="outside upper right", ncols=3)
    return canvas


_COLUMNS = (
    Column("model"),
    *(
        Column(title, number=True)
        for title in (
            "alone", "bound", "published", "in a batch", "parameters kept", "multipliers used", "memory latency",
        )
    ),
    Column("as many times"),
)  # fmt: skip


def _write(rows: Sequence[Cycles]) -> list[Block]:
    """Write a table with a row a model."""
    table = []
    for row in rows:
        times = ""
        if row.faster_than is not None:
            times = f"{row.faster_than}: {format_figure(row.ratio)}, at least {format_figure(row.ratio_bound)}"
        cells = (
            row.model, Cell(row.alone_cycles, strong=True), row.bound_cycles, row.published_cycles, row.batch_cycles,
            row.kept_cycles, format_percent(row.utilisation), row.read_latency, times,
        )  # fmt: skip
        table.append(Row(cells))
    return [Block((Table(_COLUMNS, tuple(table)),))]


KIND = Kind(
    settings=CyclesCheck,
    about="in the RTL of the SIMD accelerator no image takes more than `bound` cycles",
    run=run,
    data=(Cycles, Simulation),
    report=(
        COMPARED,
        SIMULATED,
        Picture(
            "Where the SIMD accelerator's cycles go",
            "Cycles of each layer of an image alone, all loaded for it. Beside them: the part of the multipliers' time "
            "that the model's products take.",
            lambda check: [row for row in check.details.of(Cycles) if row.layers],
            _utilisation,
            topic=Topic.CYCLES,
        ),
        Picture(
            "Timeline of an image in the SIMD accelerator",
            "From the start of a job of one image to its end. Numbers are layers.",
            lambda check: [row for row in check.details.of(Cycles) if row.timeline],
            _timeline,
            topic=Topic.CYCLES,
        ),
        Section(
            "Cycles an image in the SIMD accelerator",
            lambda check: check.details.of(Cycles),
            _write,
            "The greatest each. Alone: jobs of one image, from start to done, descriptors, parameters and image all "
            "read for it. In a batch: from result to result of one job. Parameters kept: read once a job; a dash where "
            "they do not fit the buffers. As many times: the cycles that the named model needs alone, over these.",
            topic=Topic.CYCLES,
        ),
        SIMULATIONS,
        UNPROBED,
        CYCLES,
    ),
)
