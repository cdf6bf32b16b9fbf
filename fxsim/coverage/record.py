"""The record of coverage: every point of a model, what hit it, and the proof where nothing can. It is a JSON file.

Points are bits, in the order in which `fxsim.coverage.points` states them. A file is held to a model by its hash.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from fxsim.coverage.points import POINTS_MAX, Bools, NodePoints
from fxsim.errors import FileError, FxsimError
from fxsim.formats import atomic_write

FORMAT = 1
FILE_BYTES_MAX = 1 << 28
"""Largest file that is read."""

Count = Annotated[int, Meta(ge=0, le=1 << 62)]


class Source(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One source of values: `kind` engine, trace, rtl or directed; `name` says which; `sha256`: of the images.

    `nodes`: how many nodes' values were counted; `values`: those compared and equal, of a trace and of RTL. `design`:
    of RTL, its device and the hash of its Verilog, as `stream 1234...`; empty where an earlier version wrote it.
    """

    kind: str
    name: str
    images: Count
    sha256: str
    nodes: Count
    values: Count = 0
    design: str = ""


class GroupCoverage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The points of one name at a node, each a bit, in hexadecimal.

    `images`: hit in whole images; `directed`: by stimuli of the node alone; `rtl`: with values that RTL computed and
    that were compared and equal; `unreachable`, by the name of a proof.
    """

    name: str
    points: Annotated[int, Meta(ge=1, le=POINTS_MAX)]
    images: str
    directed: str
    rtl: str
    unreachable: dict[str, str]


class NodeCoverage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The groups of a node. `images`: how many were counted. `facts`: figures of its parameters.

    `domain`: what proofs rest on: by tensor, the SHA-256 of the values that each place can have. `low`, `high`: the
    least and greatest sum of each row, where they are proved.
    """

    node: str
    kind: str
    images: Count
    facts: dict[str, int]
    groups: tuple[GroupCoverage, ...]
    domain: dict[str, str] = {}
    low: tuple[int, ...] = ()
    high: tuple[int, ...] = ()


class Coverage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The coverage of a model. `moments`: by device, how often what it counts came in each of its moments.

    `not_measured`: what of the traffic was not looked at, in words.
    """

    format: int
    model: str
    model_sha256: str
    sources: tuple[Source, ...]
    nodes: tuple[NodeCoverage, ...]
    not_measured: tuple[str, ...] = ()
    moments: dict[str, dict[str, Count]] = {}


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of points. Every point is covered, unreachable or open.

    `directed`: of the covered ones, those that no image hit, but a stimulus of the node alone; `rtl`: those hit in RTL.
    """

    points: int
    covered: int
    directed: int
    unreachable: int
    open: int
    rtl: int

    def __add__(self, other: "Figures") -> "Figures":
        """The sum of two counts."""
        names = self.__struct_fields__
        return Figures(**{name: getattr(self, name) + getattr(other, name) for name in names})


NOTHING = Figures(points=0, covered=0, directed=0, unreachable=0, open=0, rtl=0)


# --- Bits ------------------------------------------------------------------------------------------------------------


def packed(bits: Bools) -> str:
    """Bits as hexadecimal text."""
    return np.packbits(bits).tobytes().hex()


def unpacked(text: str, count: int) -> Bools:
    """Bits of hexadecimal text; FileError where there are not as many as points."""
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raise FileError("coverage: bits are not hexadecimal") from None
    bits = np.unpackbits(np.frombuffer(raw, np.uint8))
    if len(raw) != -(-count // 8) or bits[count:].any() or len(text) != 2 * len(raw):
        raise FileError(f"coverage: {len(bits)} bits, expected those of {count} points")
    return bits[:count].astype(np.bool_)


class States:
    """The states of a group's points, as bits: each is covered, unreachable or open."""

    def __init__(self, group: GroupCoverage) -> None:
        self.images, self.directed, self.rtl = (
            unpacked(text, group.points) for text in (group.images, group.directed, group.rtl)
        )
        self.covered: Bools = self.images | self.directed
        self.unreachable = np.zeros(group.points, np.bool_)
        for text in group.unreachable.values():
            self.unreachable |= unpacked(text, group.points)
        self.open: Bools = ~(self.covered | self.unreachable)

    @property
    def figures(self) -> Figures:
        """The counts of each state."""
        return Figures(
            points=len(self.covered),
            covered=int(self.covered.sum()),
            directed=int((self.directed & ~self.images).sum()),
            unreachable=int(self.unreachable.sum()),
            open=int(self.open.sum()),
            rtl=int((self.rtl & self.covered).sum()),
        )


def check_consistent(coverage: Coverage) -> Coverage:
    """The coverage itself; FxsimError, naming it, where a point is proved unreachable and was hit all the same."""
    for node in coverage.nodes:
        for group in node.groups:
            states = States(group)
            wrong = np.flatnonzero(states.unreachable & (states.covered | states.rtl))
            if len(wrong):
                raise FxsimError(
                    f"node '{node.node}', {group.name}: point {int(wrong[0])} is proved unreachable and was hit: "
                    "the proof, or the values, are wrong"
                )
    return coverage


def figures_of(groups: Iterable[GroupCoverage]) -> Figures:
    """The counts of some groups together."""
    return sum((States(group).figures for group in groups), NOTHING)


def by_node(coverage: Coverage) -> dict[str, Figures]:
    """The counts of every node."""
    return {node.node: figures_of(node.groups) for node in coverage.nodes}


def by_family(coverage: Coverage) -> dict[str, Figures]:
    """The counts of every family of groups: the word before the dot of a group's name."""
    found: dict[str, Figures] = {}
    for node in coverage.nodes:
        for group in node.groups:
            family = group.name.partition(".")[0]
            found[family] = found.get(family, NOTHING) + States(group).figures
    return found


def missing_moments(coverage: Coverage) -> dict[str, tuple[str, ...]]:
    """By device, the moments that never came."""
    return {device: tuple(n for n, count in found.items() if not count) for device, found in coverage.moments.items()}


def total(coverage: Coverage) -> Figures:
    """The counts of all points."""
    return sum(by_node(coverage).values(), NOTHING)


# --- Making, merging, reading and writing ----------------------------------------------------------------------------


def make_node(points: NodePoints, images: int, hits: Mapping[str, list[Bools]]) -> NodeCoverage:
    """A node's record, of bits by the name of their field: `images`, `directed`, `rtl`."""
    none = [np.zeros(len(group), np.bool_) for group in points.groups]
    bits = {name: hits.get(name, none) for name in ("images", "directed", "rtl")}
    groups = tuple(
        GroupCoverage(
            name=group.name,
            points=len(group),
            unreachable={},
            **{name: packed(found[at]) for name, found in bits.items()},
        )
        for at, group in enumerate(points.groups)
    )
    return NodeCoverage(node=points.node, kind=points.kind, images=images, facts=dict(points.facts), groups=groups)


def merge(first: Coverage, second: Coverage) -> Coverage:
    """Both together. FileError where they are of different models, or a point of one is none of the other's.

    So where both have values of RTL, and it is not known to be the same Verilog of a device: what one design computed
    shows nothing of another. Values of several devices are merged, by name.
    """
    if first.model_sha256 != second.model_sha256:
        raise FileError(
            f"coverage of model '{second.model}' ({second.model_sha256[:12]}) cannot be merged with that of "
            f"'{first.model}' ({first.model_sha256[:12]}): they are different models"
        )
    shapes = [
        [(node.node, node.kind, [(g.name, g.points) for g in node.groups]) for node in one.nodes]
        for one in (first, second)
    ]
    if first.format != second.format or shapes[0] != shapes[1]:
        raise FileError(f"coverage of model '{first.model}': the points of one file are not those of the other")
    _refuse_other_rtl(first, second)
    nodes = tuple(_merge_nodes(a, b) for a, b in zip(first.nodes, second.nodes, strict=True))
    sources = first.sources + tuple(source for source in second.sources if source not in first.sources)
    left = tuple(dict.fromkeys((*first.not_measured, *second.not_measured)))
    moments = _merge_moments(first.moments, second.moments)
    merged = msgspec.structs.replace(first, nodes=nodes, sources=sources, not_measured=left, moments=moments)
    return check_consistent(merged)


def _refuse_other_rtl(first: Coverage, second: Coverage) -> None:
    """FileError where two records hold values of RTL that is not known to be the same."""
    found: list[dict[str, str]] = []
    for coverage in (first, second):
        own: dict[str, str] = {}
        for source in (source for source in coverage.sources if source.kind == "rtl"):
            device, _, sha256 = (source.design or f"{source.name.split(' ')[0]} ").partition(" ")
            own[device] = sha256
        found.append(own)
    for device in found[0].keys() & found[1].keys():
        one, other = found[0][device], found[1][device]
        if not one or not other:
            raise FileError(
                f"coverage of the RTL of '{device}' states no hash of its Verilog, as earlier versions wrote it: "
                "it is merged with none; measure it again"
            )
        if one != other:
            raise FileError(
                f"coverage of the RTL of '{device}' is of other Verilog ({other[:12]}) than that of the first record "
                f"({one[:12]}): what one computed shows nothing of the other"
            )


def _merge_moments(first: dict[str, dict[str, int]], second: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    """Counts of both; FileError where one device's moments are others in each: of another version's record."""
    merged = first | second
    for device in first.keys() & second.keys():
        one, other = first[device], second[device]
        if one.keys() != other.keys():
            raise FileError(f"coverage: the moments of '{device}' in one file are not those in the other")
        merged[device] = {name: count + other[name] for name, count in one.items()}
    return merged


def _merge_nodes(one: NodeCoverage, other: NodeCoverage) -> NodeCoverage:
    proved = one if one.domain else other
    if one.domain and other.domain and (one.domain, one.low, one.high) != (other.domain, other.low, other.high):
        raise FileError(f"node '{one.node}': the proofs of two files rest on different facts")
    groups = tuple(_merge_groups(a, b) for a, b in zip(one.groups, other.groups, strict=True))
    return msgspec.structs.replace(
        one,
        images=one.images + other.images,
        groups=groups,
        domain=proved.domain,
        low=proved.low,
        high=proved.high,
    )


def _merge_groups(one: GroupCoverage, other: GroupCoverage) -> GroupCoverage:
    def both(a: str, b: str) -> str:
        return packed(unpacked(a, one.points) | unpacked(b, one.points))

    none = packed(np.zeros(one.points, np.bool_))
    proofs = {
        name: both(one.unreachable.get(name, none), other.unreachable.get(name, none))
        for name in dict.fromkeys((*one.unreachable, *other.unreachable))
    }
    fields = {name: both(getattr(one, name), getattr(other, name)) for name in ("images", "directed", "rtl")}
    return msgspec.structs.replace(one, unreachable=proofs, **fields)


def write_coverage(coverage: Coverage, path: Path) -> None:
    """Write a record, whole or not at all."""
    with atomic_write(path) as file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(coverage), indent=1) + b"\n")


def read_coverage(path: Path) -> Coverage:
    """A record from a file. FileError where it is too large, damaged, of another format, or contradicts itself."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise FileError(f"{path}: is larger than {FILE_BYTES_MAX:,} bytes, expected a record of coverage")
        found = msgspec.json.decode(path.read_bytes(), type=Coverage)
    except OSError as error:
        raise FileError(f"cannot read {path}: {error.strerror or error}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise FileError(f"{path}: is no record of coverage: {error}") from None
    if found.format != FORMAT:
        raise FileError(f"{path}: is of format {found.format}, expected {FORMAT}")
    try:
        return check_consistent(found)
    except FxsimError as error:
        raise FileError(f"{path}: {error}") from None
