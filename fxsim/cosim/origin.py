"""Inherited or local: whether a wrong value follows from wrong ones before it, or is its own node's fault.

A node is computed again from what the RTL itself gave at its inputs. Where that is what the RTL gave at the node, the
difference is inherited; where it is not, the node has a fault of its own, whatever came before.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fxsim.compare import Difference
from fxsim.compare.lineage import Lineage, Wide
from fxsim.contract.arithmetic import Integers
from fxsim.cosim.given import GIVEN_IMAGES, overlay
from fxsim.cosim.result import Origins, TapOrigin
from fxsim.devices import Layout
from fxsim.engines import Engine, run
from fxsim.graph import INPUT
from fxsim.simulate.differences import Differences

ORIGIN_IMAGES = GIVEN_IMAGES
"""Images that are looked into, from the first that differs on: those of which the values are kept."""

_RECORDS_MAX = 1 << 22


def differences_max(layout: Layout) -> int:
    """Most differences that are kept of a run: all of the images that are looked into, where that is not too many."""
    tensors = layout.model.graph.tensors
    values = sum(tensors[tap].size for tap in (*layout.compared, layout.output_tap))
    return min(values * (ORIGIN_IMAGES + 1), _RECORDS_MAX)


@dataclass
class _Count:
    """Running counts of one stream."""

    nodes: tuple[str, ...] = ()
    differ: int = 0
    inherited: int = 0
    local: int = 0
    hidden: int = 0
    unknown: int = 0
    first: Difference | None = None


def find_origins(
    layout: Layout,
    shown: Mapping[str, int],
    differences: Differences,
    x: Integers,
    first_image: int,
    engine: Engine | str,
) -> Origins:
    """The origins of the differences of a run on images `x`, in the first images that differ.

    `shown`: images of which a stream gave all values, by stream: compared taps in the order of the harness's numbers,
    and the output. `first_image`: what the first image of `x` is called.
    """
    numbers = {name: number for number, name in enumerate(layout.shown)} | {layout.output: -1}
    streams = (*layout.compared, layout.output)
    images = differences.images[:ORIGIN_IMAGES]
    counts = {name: _Count() for name in streams}
    if images:
        expected = run(layout.model, x[list(images)], layout.needed, engine)
    for at, image in enumerate(images):
        own = {tap: values[at : at + 1] for tap, values in expected.items()}
        got = {
            name: overlay(layout, name, own, differences.of(image, numbers[name]))
            for name in streams
            if image < shown[name]
        }
        given = {name: x[image : image + 1] if name == INPUT else own[name] for name in layout.stimulus}
        seen = Lineage(layout.model, given, {tap: got[tap][None] if tap in got else None for tap in layout.compared})
        for name in streams:
            records = differences.of(image, numbers[name])
            _count(counts[name], layout, seen, name, got.get(name), own, len(records), image + first_image)
    found = tuple(
        TapOrigin(
            tap=name,
            differ=count.differ,
            inherited=count.inherited,
            local=count.local,
            hidden=count.hidden,
            unknown=count.unknown,
            nodes=count.nodes,
            first=count.first,
        )
        for name, count in counts.items()
        if count.differ or count.hidden
    )
    return Origins(images=tuple(image + first_image for image in images), taps=found)


def _count(
    count: _Count,
    layout: Layout,
    seen: Lineage,
    stream: str,
    got: Wide | None,
    expected: Mapping[str, Integers],
    differ: int,
    image: int,
) -> None:
    graph = layout.model.graph
    passes_on = stream == layout.output and layout.output_tap in layout.compared
    tap = layout.output_tap if stream == layout.output else stream
    again = seen.given(tap) if passes_on else seen.again(tap)
    count.nodes = () if passes_on else seen.behind(tap)
    count.differ += differ
    if got is None or again is None:
        count.unknown += differ
        return
    wrong = got != expected[tap][0]
    local = got != again[0]
    count.local += int(np.count_nonzero(local & wrong))
    count.inherited += int(np.count_nonzero(wrong & ~local))
    count.hidden += int(np.count_nonzero(local & ~wrong))
    if count.first is None and local.any():
        place = tuple(int(i) for i in np.argwhere(local)[0])
        count.first = Difference(
            image=image,
            tap=stream,
            expected=int(again[0][place]),
            got=int(got[place]),
            index=dict(zip(graph.tensors[tap].axes, place, strict=True)),
            carries=tap if stream == layout.output else None,
        )
