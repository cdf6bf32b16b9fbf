"""Holes: what of a coverage is open, group by group, in words and bounded."""

import msgspec
import numpy as np

from fxsim.coverage.points import NO_POINTS, node_points
from fxsim.coverage.record import Coverage, States
from fxsim.errors import FileError
from fxsim.formats import model_sha256
from fxsim.graph import Model
from fxsim.operators import OPERATORS

EXAMPLES = 4


class Hole(msgspec.Struct, frozen=True, kw_only=True):
    """The open points of one group of a node, and the first few of them, in words where the model is there."""

    node: str
    group: str
    points: int
    open: int
    examples: tuple[str, ...]

    @property
    def text(self) -> str:
        """A line about them."""
        shown = "; ".join(self.examples)
        more = "; ..." if self.open > len(self.examples) else ""
        return f"open: {self.node}, {self.group}: {self.open:,} of {self.points:,}: {shown}{more}"


def without_points(coverage: Coverage) -> list[tuple[str, str, str]]:
    """The nodes whose operators have no points, with their kinds and the reasons."""
    reasons = {kind: NO_POINTS[op] for kind, op in OPERATORS.items() if op in NO_POINTS}
    return [(node.node, node.kind, reasons[node.kind]) for node in coverage.nodes if node.kind in reasons]


def list_holes(coverage: Coverage, model: Model | None = None) -> list[Hole]:
    """The groups with open points, in the order of the graph. FileError where the model is another one."""
    if model is not None and model_sha256(model) != coverage.model_sha256:
        raise FileError(f"the coverage is of another model than '{model.name}': their hashes differ")
    found = []
    for node in coverage.nodes:
        points = None
        for group in node.groups:
            places = np.flatnonzero(States(group).open)
            if not len(places):
                continue
            if points is None and model is not None:
                made = node_points(model.graph, model.graph.by_name[node.node])
                points = {own.name: own for own in made.groups}
            some = places[:EXAMPLES].tolist()
            words = [f"point {at}" if points is None else points[group.name].text(at) for at in some]
            words = [text.removeprefix(f"{group.name}, ") for text in words]
            found.append(
                Hole(node=node.node, group=group.name, points=group.points, open=len(places), examples=tuple(words))
            )
    return found
