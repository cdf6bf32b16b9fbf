"""Kind `published`: a published model on its published images, against every published stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from msgspec import Meta, field
from msgspec.structs import replace

from fxsim import engines
from fxsim.compare import ArraySource, TapShape, model_taps
from fxsim.contract import TableRule
from fxsim.contract.arithmetic import Int8
from fxsim.errors import FileError
from fxsim.families import recognise_resmlp
from fxsim.formats import model_sha256
from fxsim.formats.headers import read_header_arrays
from fxsim.formats.npy import read_archive
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Lut
from fxsim.signoff.comparison import DIFFERENCES, Comparison, compare_sources, only_reported
from fxsim.signoff.context import SAMPLES, Context, Outcome, first_few, import_published, published_samples
from fxsim.signoff.kind import Kind, Picture, Topic
from fxsim.signoff.plan import Check, Name, Texts
from fxsim.signoff.record import Details, Figure
from fxsim.signoff.report.style import ACCENT, SECOND, new_canvas, shorten, tick_names

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


EXTRA = "quant_samples_extra.h"

_EXTRA_TAPS = {
    "samples_token_mixer_res": "token_mixer.res_affine",
    "samples_token_mixer_affine_1": "token_mixer.affine_1",
    "samples_token_mixer_linear_1": "token_mixer.linear",
    "samples_token_mixer_affine_2": "token_mixer.affine_2",
    "samples_token_mixer_post": "token_mixer.add",
    "samples_mlp_res": "mlp.res_affine",
    # Captured after the in-place ReLU: the same values as the next one.
    "samples_mlp_linear_1": "mlp.relu",
    "samples_mlp_linear_1_relu": "mlp.relu",
    "samples_mlp_linear_2": "mlp.linear_2",
    "samples_mlp_post": "mlp.add",
}
"""Taps inside block 0, of image 0, by the name of the published array."""

_AS = " (as "
"""Text between a tap and the name that it is published by, where that is another."""

_CHANNEL_MAJOR = ("samples_token_mixer_affine_1", "samples_token_mixer_linear_1")
"""Arrays that are published as [channel][token]."""


Distance = Annotated[int, Meta(ge=0, le=255)]


class PublishedCheck(Check, frozen=True, tag="published", kw_only=True):
    """A published model against the samples published with it.

    Taps in `exact` must be equal; others at most as far away, in int8 steps, as `within` says by tap. `same_as` names a
    folder whose model must be the same network. `trace` names an .npz of taps beside it, whose taps must be at most as
    far away as `trace_within` says, or, with `trace_past_the_end`, equal where the model's tables are read past their
    end. Of a tap for which nothing is said the distance is reported, and the check does not pass.
    """

    folder: str
    exact: Texts | Literal["all"]
    within: dict[Name, Distance] = field(default_factory=dict)
    same_as: str | None = None
    trace: str | None = None
    trace_within: dict[Name, Distance] = field(default_factory=dict)
    trace_past_the_end: bool = False

    def problems(self) -> Iterator[str]:
        """Bounds must be of taps that are compared and need not be equal anyway."""
        if self.trace is None and (self.trace_within or self.trace_past_the_end):
            yield "sets bounds for a trace, but names no trace"
        for tap in self.within:
            if self.exact == "all" or tap in self.exact:
                yield f"sets a distance for '{tap}', which must be equal"


def run(check: PublishedCheck, context: Context, _seed: int) -> Outcome:
    """A published model on its published images, against every published stage."""
    folder = context.published(check.folder)
    model = import_published(folder)
    context.hashes[f"published {check.folder}"] = model_sha256(model)
    samples = published_samples(folder)
    beside = [folder / name for name in (SAMPLES, EXTRA, check.trace) if name and (folder / name).is_file()]
    context.note_published(check.folder, *beside)
    x = _as_images(samples["samples_input"], model.graph.input_shape)
    stages = _stages(model, samples)
    values = engines.run(model, x, "all")
    exact = set(stages) if check.exact == "all" else set(check.exact)
    if missing := sorted(exact - set(stages)):
        raise FileError(f"{folder}: has no samples of {', '.join(missing)}, which the plan wants to be exact")

    comparisons: list[Comparison] = []
    problems: list[str] = []
    figures: list[Figure] = [Figure("images", len(x))]

    reported: list[str] = []

    def compare(
        title: str,
        expected: Mapping[str, Int8],
        found: Mapping[str, Int8],
        within: Mapping[str, int] | None = None,
        explained: bool = False,
    ) -> None:
        """Demand equality, or the distances `within`; a tap without one is only reported, unless it is `explained`."""
        comparison, first = _compare(title, model, expected, found, exact=within is None)
        if within is None:
            problems.extend([first] if first else [])
        else:
            rows = tuple(replace(row, bound=within.get(_tap(row.tap))) for row in comparison.taps)
            comparison = replace(comparison, taps=rows)
            problems.extend(
                f"{title}: tap {row.tap} is {row.max_distance} away, expected at most {row.bound}"
                for row in rows
                if row.bound is not None and (row.max_distance or 0) > row.bound
            )
            free = [row.tap for row in rows if row.bound is None]
            if free and not explained:
                reported.append(f"{title}: no distance is demanded of {', '.join(free)}")
            problems.extend(f"{title}: tap {row.tap}: no value was compared" for row in rows if row.compared == 0)
        comparisons.append(comparison)
        figures.append(Figure(f"{title}: values compared", sum(row.compared for row in comparison.taps)))
        figures.append(Figure(f"{title}: values that differ", sum(row.mismatches for row in comparison.taps)))
        figures.append(Figure(f"{title}: greatest distance", max(row.max_distance or 0 for row in comparison.taps)))

    compare(f"{check.folder}: exact stages", {tap: v for tap, v in stages.items() if tap in exact}, values)
    others = {tap: v for tap, v in stages.items() if tap not in exact}
    if others:
        compare(f"{check.folder}: published dump", others, values, check.within)
    inside = _inside(folder, values) if (folder / EXTRA).is_file() else None
    if inside is not None:
        within = None if check.exact == "all" else check.within
        compare(f"{check.folder}: inside block 0", *inside, within)
    compared = {*others, *map(_tap, () if inside is None else inside[0])}
    if unknown := sorted(check.within.keys() - compared):
        raise FileError(f"{folder}: has no samples of {', '.join(unknown)}, of which the plan demands a distance")
    agree = int((values["classifier"].argmax(axis=1) == stages["classifier"].argmax(axis=1)).sum())
    figures.append(Figure("predicted class agrees", f"{agree} of {len(x)}", "images"))
    if check.same_as is not None:
        same = model_sha256(import_published(context.published(check.same_as))) == model_sha256(model)
        figures.append(Figure(f"same network as {check.same_as}", "yes" if same else "no"))
        if not same:
            problems.append(f"the model of {check.folder} is another network than that of {check.same_as}")
    if check.trace is not None:
        trace = _trace(folder / check.trace, model)
        if unknown := sorted(check.trace_within.keys() - trace[0].keys()):
            raise FileError(
                f"{folder / check.trace}: has no {', '.join(unknown)}, of which the plan demands a distance"
            )
        compare(f"{check.folder}: {check.trace}", *trace, check.trace_within, explained=check.trace_past_the_end)
        expected, found = _trace(folder / check.trace, read_past_the_end(model))
        reading = f"{check.trace}, were t[P] the next channel's first point"
        left, first = _compare(reading, model, expected, found, exact=check.trace_past_the_end)
        if check.trace_past_the_end:
            comparisons.append(left)
            problems += [first] if first else []
        equal = sum(row.mismatches == 0 for row in left.taps)
        figures.append(Figure(f"{reading}: taps equal", f"{equal} of {len(left.taps)}"))
        figures.append(Figure(f"{reading}: values that differ", sum(row.mismatches for row in left.taps)))
    demanded = [row for comparison in comparisons if comparison.exact for row in comparison.taps]
    wrong = sum(row.mismatches for row in demanded)
    summary = f"{sum(row.compared for row in demanded):,} values that must be equal, {wrong:,} differ"
    for comparison in (comparison for comparison in comparisons if not comparison.exact):
        furthest = max(row.max_distance or 0 for row in comparison.taps)
        summary += f"; {comparison.title.removeprefix(f'{check.folder}: ')} at most {furthest} away"
    details = Details(figures, comparisons)
    return Outcome(
        f"{summary}; class agrees on {agree} of {len(x)}",
        first_few(problems) or None,
        details,
        reported="; ".join(reported) or None,
    )


def _tap(label: str) -> str:
    """The tap that a comparison's label names."""
    return label.partition(_AS)[0]


def _compare(
    title: str, model: Model, expected: Mapping[str, Int8], found: Mapping[str, Int8], exact: bool
) -> tuple[Comparison, str | None]:
    """Every published array, under the name of its tap, with the same as it was computed."""
    shapes = {shape.tap: shape for shape in model_taps(model)}
    taps = [TapShape(name, shapes[_tap(name)].axes, shapes[_tap(name)].shape) for name in expected]
    return compare_sources(title, ArraySource("published", expected), ArraySource("computed", found), taps, exact)


def _as_images(values: Int8, shape: tuple[int, ...]) -> Int8:
    """Published samples as [image, ...]: those of the SIMD design are one image, and channel-major."""
    if values.shape[1:] == shape:
        return values
    if values.shape == shape[::-1]:
        return np.ascontiguousarray(values.T)[None]
    raise FileError(f"published samples have shape {values.shape}, expected (images, {', '.join(map(str, shape))})")


def _stages(model: Model, samples: Mapping[str, Int8]) -> dict[str, Int8]:
    """Published stages by tap: after the embedding, after each block, the classifier."""
    blocks = recognise_resmlp(model.graph).blocks
    names = {"samples_inter_0": "embed", "samples_output": "classifier"}
    names |= {f"samples_inter_{i + 1}": f"blocks.{i}.mlp.add" for i in range(blocks)}
    if missing := sorted(names.keys() - samples.keys()):
        raise FileError(f"published samples lack {', '.join(missing)}")
    taps = {tap: _as_images(samples[name], model.graph.shapes[tap]) for name, tap in names.items()}
    return {tap: taps[tap] for tap in model.graph.taps if tap in taps}


def _inside(folder: Path, values: Mapping[str, Int8]) -> tuple[dict[str, Int8], dict[str, Int8]]:
    """The inside of block 0 of image 0: as published, and as computed."""
    arrays = read_header_arrays(folder / EXTRA)
    if missing := sorted(_EXTRA_TAPS.keys() - arrays.keys()):
        raise FileError(f"{folder / EXTRA}: lacks {', '.join(missing)}")
    expected, found = {}, {}
    for name, stage in _EXTRA_TAPS.items():
        tap = f"blocks.0.{stage}"
        label = f"{tap}{_AS}{name})"
        expected[label] = (arrays[name].T if name in _CHANNEL_MAJOR else arrays[name])[None]
        found[label] = values[tap][:1]
    return expected, found


def _trace(path: Path, model: Model) -> tuple[dict[str, Int8], dict[str, Int8]]:
    """Taps that another implementation computed for inputs of its own: as published, and as computed here."""
    arrays = read_archive(path)
    if "input" not in arrays:
        raise FileError(f"{path}: has no array 'input'")
    x = arrays.pop("input")
    if not arrays:
        raise FileError(f"{path}: has no taps beside its array 'input'")
    found = engines.run(model, x, tuple(arrays))
    for tap, values in found.items():
        if arrays[tap].shape != values.shape or arrays[tap].dtype != values.dtype:
            given = f"{arrays[tap].dtype} {arrays[tap].shape}"
            raise FileError(f"{path}: '{tap}' is {given}, expected {values.dtype} {values.shape}")
    return {tap: arrays[tap] for tap in found}, found


def read_past_the_end(model: Model) -> Model:
    """The model as a design without an edge rule computes it: t[P] is what lies behind the points, the next channel's.

    Behind the last channel lies something unknown; its last point stands for it.
    """
    nodes = []
    for node in model.graph.nodes:
        op = node.op
        if isinstance(op, Lut) and op.rule is TableRule.CLAMP:
            behind = np.append(op.table[1:, 0], op.table[-1, -1])
            op = Lut(np.column_stack([op.table, behind]), TableRule.ENDPOINT)
        nodes.append(Node(node.name, op, node.inputs))
    return Model(Graph(model.graph.input_shape, tuple(nodes)), model.name)


def _distances(comparisons: Sequence[Comparison]) -> Canvas:
    canvas = new_canvas(2.8, layout="constrained")
    ratios = [max(len(comparison.taps), 4) for comparison in comparisons]
    panels = canvas.subplots(1, len(comparisons), width_ratios=ratios, squeeze=False)[0]
    for panel, comparison in zip(panels, comparisons, strict=True):
        places = range(len(comparison.taps))
        most = [row.max_distance or 0 for row in comparison.taps]
        panel.bar(places, most, width=0.7, color=SECOND, label="greatest")
        panel.bar(places, [row.mean_distance or 0 for row in comparison.taps], width=0.36, color=ACCENT, label="mean")
        for place, value in zip(places, most, strict=True):
            panel.text(place, value, str(value), ha="center", va="bottom", fontsize=7.5)
        panel.set_xticks(places, tick_names(row.tap for row in comparison.taps), rotation=90, fontsize=7)
        panel.set_title(shorten(comparison.title), loc="left", fontsize=8)
        panel.grid(axis="y")
    panels[0].set_ylabel("int8 steps")
    handles, labels = panels[0].get_legend_handles_labels()
    canvas.legend(handles, labels, loc="outside upper right", ncols=2)
    return canvas


KIND = Kind(
    settings=PublishedCheck,
    about="a published model gives the published samples: equal, or as far away as the plan allows",
    run=run,
    data=(Comparison,),
    report=(
        Picture(
            "Distance to the published PSA data",
            "In int8 steps, over all published values of a tap. Equality is not demanded of these.",
            only_reported,
            _distances,
            topic=Topic.AGREEMENT,
        ),
        DIFFERENCES,
    ),
)
