"""The page of a `Diff`: the graph of taps by state, and for each fault its cause, pictures and arithmetic."""

import base64
import io
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fxsim.compare import sentence
from fxsim.explain.locate import Located
from fxsim.explain.page.draw import Picture, pictures
from fxsim.explain.result import Diff, Fault, Telling, nodes_of, told
from fxsim.explain.steps import Step, hidden_steps, steps_of
from fxsim.explain.telling import IMAGES_FILE, Teller
from fxsim.formats import atomic_write
from fxsim.formats.pages import page_templates
from fxsim.graph import INPUT

_ROW, _LEFT, _LANE = 22, 150, 14
"""Height of a node's row, room for edges at its left, and what each further edge needs, in pixels."""
_LANES_MAX = 9
_FILE_MAX = 1 << 20
"""Most bytes of an input that is put into the page."""
FAULTS_SHOWN = 40
"""Most faults of which pictures are drawn: each has some."""


class _Box(NamedTuple):
    """A node in the graph: its name and operator, state, counts, and where it stands."""

    name: str
    kind: str
    state: str
    note: str
    y: int


class _File(NamedTuple):
    """An input that tells hypotheses apart, as a file in the page: its name, and a `data:` address of its bytes."""

    name: str
    address: str


class _Shown(NamedTuple):
    """A fault as the page shows it."""

    fault: Fault
    kind: str
    first: str
    parameters: tuple[tuple[str, str], ...]
    steps: tuple[Step, ...]
    hidden: str
    hidden_steps: tuple[Step, ...]
    telling: tuple[tuple[str, tuple[_File, ...]], ...]
    pictures: list[Picture]


def write_page(found: Diff, located: Located, path: str | os.PathLike[str], teller: Teller | None = None) -> None:
    """Write the page, whole or not at all. `located`: the trace as `locate` found it, of which `found` is.

    `teller`: holds the inputs that tell hypotheses apart, which are then put into the page.
    """
    text = render(found, located, teller)
    with atomic_write(path) as file:
        file.write_text(text, encoding="utf-8")


def render(found: Diff, located: Located, teller: Teller | None = None) -> str:
    """The page, which needs no other file. Every text in it is escaped: names come from files."""
    environment = page_templates(Path(__file__).parent)
    boxes, edges = _graph(found, located)
    return environment.get_template("page.html.j2").render(
        found=found,
        boxes=boxes,
        edges=edges,
        left=_LEFT,
        height=_ROW * len(boxes) + 8,
        faults=[_shown(fault, located, number, teller) for number, fault in enumerate(found.faults)],
        left_out=max(0, len(found.faults) - FAULTS_SHOWN),
    )


def _shown(fault: Fault, located: Located, number: int, teller: Teller | None) -> _Shown:
    hidden = hidden_steps(located, fault)
    return _Shown(
        fault=fault,
        kind=located.model.graph.by_name[fault.node].op.kind,
        first="" if fault.first is None else sentence(fault.first, tap="", expected="its inputs make", got="came"),
        parameters=tuple((name, _short(value)) for name, value in fault.parameters.items()),
        steps=steps_of(located, fault.tap),
        hidden="" if hidden is None else sentence(hidden.first, expected="its inputs make", got="the rule makes"),
        hidden_steps=() if hidden is None else hidden.steps,
        telling=tuple((told(telling), _files(telling, teller)) for telling in fault.telling),
        pictures=pictures(located, fault, number) if number < FAULTS_SHOWN else [],
    )


def _files(telling: Telling, teller: Teller | None) -> tuple[_File, ...]:
    """The telling inputs of one hypothesis, one image each, in .npy."""
    found: list[_File] = []
    if teller is None or telling.row is None:
        return ()
    for tensor, file in telling.files.items():
        images = np.stack(teller.images) if file == IMAGES_FILE else teller.operands[file]
        buffer = io.BytesIO()
        np.save(buffer, images[telling.row : telling.row + 1], allow_pickle=False)
        if buffer.tell() <= _FILE_MAX:
            text = base64.b64encode(buffer.getvalue()).decode("ascii")
            found.append(_File(f"{tensor}.npy", f"data:application/octet-stream;base64,{text}"))
    return tuple(found)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 300 else f"{text[:297]}..."


def _graph(found: Diff, located: Located) -> tuple[list[_Box], list[tuple[str, str]]]:
    """Nodes from top to bottom, and edges as SVG paths with the state of what they carry."""
    graph = located.model.graph
    taps = {tap.tap: tap for tap in found.taps}
    causes = {fault.tap: fault.label for fault in found.faults}
    # A rule's node that the trace does not have is named itself, not only what is behind it.
    hidden = {name: fault.label for fault in found.faults for name in nodes_of(fault) if name not in taps}
    boxes = [_Box(INPUT, "images", "equal", "", _ROW // 2)]
    for row, node in enumerate(graph.nodes, 1):
        state, note = "absent", "not in the trace"
        if node.name in hidden:
            state, note = "fault", f"{hidden[node.name]}, not in the trace"
        if (tap := taps.get(node.name)) is not None:
            state = "fault" if tap.local else "unknown" if tap.unknown else "inherited" if tap.differ else "equal"
            note = causes.get(node.name, "") or (f"{tap.differ:,} of {tap.values:,} differ" if tap.differ else "")
        boxes.append(_Box(node.name, node.op.kind, state, note, row * _ROW + _ROW // 2))
    row_of = {box.name: row for row, box in enumerate(boxes)}
    edges: list[tuple[str, str]] = []
    ends: list[int] = []
    for node in graph.nodes:
        for name in node.inputs:
            start, stop = row_of[name], row_of[node.name]
            top, bottom = boxes[start].y, boxes[stop].y
            if stop == start + 1:
                edges.append((f"M{_LEFT + 8},{top + 8}V{bottom - 8}", boxes[start].state))
                continue
            # Each edge that runs past others gets a lane of its own.
            lane = next((i for i, end in enumerate(ends) if end <= start), len(ends))
            ends[lane : lane + 1] = [stop]
            x = _LEFT - 12 - _LANE * min(lane, _LANES_MAX - 1)
            edges.append((f"M{_LEFT},{top}H{x}V{bottom}H{_LEFT}", boxes[start].state))
    return boxes, edges
