"""Recognition of a design's ports by their names: clocks, resets, streams, and interfaces of other kinds.

It proposes, for a person to look at: what is not plain is left open.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fxsim.devices.described.elaborate import Port

_CLOCK = re.compile(r"(?:^|.*_)(?:a|s)?(?:clk|clock|ck)(?:_i|_in|_\d+)?\Z", re.IGNORECASE)
_RESET = re.compile(r"(?:^|.*_)(?:a|s)?(?:n)?(?:rst|reset)(?P<low>n|_n|_ni|ni|_b|b|_l)?(?:_i|_in)?\Z", re.IGNORECASE)
_LOW_FIRST = re.compile(r"(?:^|_)n(?:rst|reset)", re.IGNORECASE)
_SIDE = re.compile(r"_(?:i|o|in|out)\Z")
_WORDS = {
    "valid": ("tvalid", "valid", "vld", "val"),
    "ready": ("tready", "ready", "rdy"),
    "last": ("tlast", "last", "eop"),
    "keep": ("tkeep", "keep"),
    "start": ("start", "sop", "first"),
    "data": ("tdata", "data", "dat", "bits", "payload"),
}
_AXI = ("awaddr", "awvalid", "wdata", "wvalid", "araddr", "arvalid", "rdata", "rvalid")
_CHANNEL = re.compile(r"(?:aw|w|b|ar|r)[a-z]+\Z", re.IGNORECASE)
_BURST = ("awlen", "arlen")
_MEMORY = re.compile(r"(?P<name>.*?)_?(?:addr|address|adr)(?:_[io])?\Z", re.IGNORECASE)


@dataclass
class Group:
    """Ports that look like a stream: what each is taken for; `sure` where names say all of it."""

    role: str
    ports: dict[str, str] = field(default_factory=dict)
    prefix: str | None = None
    candidates: tuple[str, ...] = ()

    @property
    def axi(self) -> bool:
        """Whether it is named like an AXI4-Stream."""
        return self.prefix is not None


@dataclass(frozen=True)
class Recognised:
    """The ports of a design, each in one place. `low`: the resets that look active low; `rest`: of no known kind."""

    clocks: tuple[str, ...]
    resets: tuple[str, ...]
    low: frozenset[str]
    streams: tuple[Group, ...]
    others: dict[str, tuple[str, ...]]
    rest: tuple[str, ...]


def recognise(ports: Mapping[str, Port]) -> Recognised:
    """Sort ports into clocks, resets, streams of both roles, interfaces of other kinds, and the rest."""
    left = dict(ports)
    clocks = _take(left, lambda port: port.direction == "in" and port.bits == 1 and _CLOCK.match(port.name) is not None)
    resets = _take(left, lambda port: port.direction == "in" and port.bits == 1 and _RESET.match(port.name) is not None)
    low = frozenset(
        name for name in resets if (found := _RESET.match(name)) and (found["low"] or _LOW_FIRST.search(name))
    )
    others = _axi(left) | _memories(left)
    streams = [*_axi_streams(left), *_handshakes(left)]
    for role, direction in (("input", "in"), ("output", "out")):
        wide = tuple(port.name for port in left.values() if port.direction == direction and port.bits > 1)
        if wide and not any(group.role == role for group in streams):
            streams.append(Group(role, {"data": wide[0]} if len(wide) == 1 else {}, candidates=wide[:20]))
            if len(wide) == 1:
                left.pop(wide[0])
    return Recognised(clocks, resets, low, tuple(streams), others, tuple(left))


def _take(left: dict[str, Port], wanted: object) -> tuple[str, ...]:
    assert callable(wanted)
    names = tuple(name for name, port in left.items() if wanted(port))
    for name in names:
        left.pop(name)
    return names


def _axi(left: dict[str, Port]) -> dict[str, tuple[str, ...]]:
    """AXI4 and AXI4-Lite interfaces, by what to call them: at least an address and its valid of one direction."""
    found = {}
    # The longest that fits: awvalid ends with wvalid, too.
    ends = {name: word for name in left for word in sorted(_AXI, key=len) if name.lower().endswith(word)}
    prefixes = dict.fromkeys(name[: -len(word)] for name, word in ends.items())
    for prefix in prefixes:
        words = {word for name, word in ends.items() if name[: -len(word)] == prefix}
        if not ({"awaddr", "awvalid"} <= words or {"araddr", "arvalid"} <= words):
            continue
        address = next(name for name, word in ends.items() if name.startswith(prefix) and word in ("awaddr", "araddr"))
        burst = any(name.lower() == f"{prefix}{word}".lower() for name in left for word in _BURST)
        kind = "AXI4" if burst else "AXI4-Lite"
        side = "master" if left[address].direction == "out" else "slave"
        names = tuple(n for n in left if n.startswith(prefix) and _CHANNEL.match(n[len(prefix) :]))
        found[f"{kind} {side} {prefix.rstrip('_') or 'without prefix'}"] = names
        for name in names:
            left.pop(name)
    return found


def _memories(left: dict[str, Port]) -> dict[str, tuple[str, ...]]:
    """Ports of memories outside: an address that the design gives, with data of the same name."""
    found = {}
    for port in list(left.values()):
        match = _MEMORY.match(port.name)
        if match is None or port.direction != "out" or port.name not in left:
            continue
        stem = match["name"]
        names = tuple(name for name in left if name.startswith(f"{stem}_" if stem else "")) if stem else (port.name,)
        if any(left[name].direction == "in" for name in names):
            found[f"memory port {stem}"] = names
            for name in names:
                left.pop(name)
    return found


def _axi_streams(left: dict[str, Port]) -> list[Group]:
    groups = []
    for name in [name for name in left if name.endswith("_tdata")]:
        prefix = name.removesuffix("_tdata")
        if f"{prefix}_tvalid" not in left:
            continue
        group = Group("input" if left[name].direction == "in" else "output", prefix=prefix)
        for kind in ("data", "valid", "ready", "last", "keep"):
            if left.pop(f"{prefix}_t{kind}", None) is not None:
                group.ports[kind] = f"{prefix}_t{kind}"
        groups.append(group)
    return groups


def _split(name: str) -> tuple[str | None, str]:
    """The kind of signal that a word of a name says, and what is left of the name without it."""
    words = _SIDE.sub("", name).split("_")
    for kind, said in _WORDS.items():
        for n in (len(words) - 1, 0):
            if words[n].lower() in said:
                return kind, "_".join(words[:n] + words[n + 1 :])
    return None, name


def _handshakes(left: dict[str, Port]) -> list[Group]:
    """Groups around each valid: what has the same name but for the word that says what it is."""
    groups = []
    for name in list(left):
        kind, stem = _split(name)
        if kind != "valid" or left[name].bits != 1 or name not in left:
            continue
        direction = left[name].direction
        group = Group("input" if direction == "in" else "output", {"valid": name})
        for other, port in left.items():
            found, rest = _split(other)
            if found in (None, "valid") or rest != stem or found in group.ports:
                continue
            if (port.direction == direction) == (found == "ready"):
                continue
            group.ports[found] = other
        if "data" not in group.ports:
            same = [p.name for p in left.values() if p.direction == direction and p.bits > 1]
            near = [n for n in same if (stem and n.startswith(f"{stem}_")) or n == stem] or same
            if len(near) == 1:
                group.ports["data"] = near[0]
            group.candidates = tuple(near[:20])
        for taken in group.ports.values():
            left.pop(taken, None)
        groups.append(group)
    return groups
