"""Recognition of a design's ports by their names: clocks, resets, streams, and interfaces of other kinds.

It proposes, for a person to look at: what is not plain is left open.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from fxsim.devices.described.elaborate import Port, Signal

_CLOCK = re.compile(r"(?:^|.*_)(?:a|s)?(?:clk|clock|ck)(?:_i|_in|_\d+)?\Z", re.IGNORECASE)
_CLOCKS = re.compile(r"(?:^|.*_)(?:a|s)?(?:clk|clock|ck)(?:_(?!en|ce|gate|valid|ok).*|\d+)?\Z", re.IGNORECASE)
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
_ADDRESS = re.compile(r"(?P<stem>.*?)_?(?:addr|address|adr)(?P<n>\d*)(?:_[io])?\Z", re.IGNORECASE)
_MEMBER = re.compile(r"_?(?P<word>[a-z_]+?)(?P<n>\d*)(?:_[io])?\Z", re.IGNORECASE)
_RAM = {
    "enable": ("en", "ena", "ce", "cs", "re", "ren", "rden", "rd", "rd_en"),
    "write_enable": ("we", "wea", "wen", "wren", "wr", "wr_en", "wstrb"),
}
_RAM_DATA = ("data", "dat", "d", "q", "di", "do", "din", "dout", "rd", "wd", "rdata", "wdata", "rd_data", "wr_data")
_CONTROL = {"start": ("start", "go"), "done": ("done", "finish", "finished"), "busy": ("busy",)}


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
class RamPort:
    """Ports that look like one to a RAM outside, by what a description calls them."""

    name: str
    ports: dict[str, str]


@dataclass(frozen=True)
class Recognised:
    """The ports of a design, each in one place. `low`: the resets that look active low; `rest`: of no known kind.

    `jobs`: whether it looks like a design that works off jobs, whose values lie in memories: there are no streams then,
    and `control` has the ports that start a job or say that it is done.
    """

    clocks: tuple[str, ...]
    resets: tuple[str, ...]
    low: frozenset[str]
    streams: tuple[Group, ...]
    rams: tuple[RamPort, ...]
    masters: dict[str, tuple[str, ...]]
    slaves: dict[str, tuple[str, ...]]
    others: dict[str, tuple[str, ...]]
    jobs: bool
    control: dict[str, str]
    rest: tuple[str, ...]


def looks_like_clock(name: str) -> bool:
    """Whether an input is called like a clock, be it one of several."""
    return _CLOCKS.match(name) is not None


def recognise(ports: Mapping[str, Port]) -> Recognised:
    """Sort ports into clocks, resets, streams of both roles, interfaces of other kinds, and the rest."""
    left = {name: port for name, port in ports.items() if port.flat}
    clocks = _take(left, lambda port: port.direction == "in" and port.bits == 1 and _CLOCK.match(port.name) is not None)
    resets = _take(left, lambda port: port.direction == "in" and port.bits == 1 and _RESET.match(port.name) is not None)
    low = frozenset(
        name for name in resets if (found := _RESET.match(name)) and (found["low"] or _LOW_FIRST.search(name))
    )
    buses = _axi(left)
    masters, slaves = buses["AXI4 master"], buses["AXI4-Lite slave"]
    others = {f"{kind} {prefix or 'without prefix'}": names for kind in buses for prefix, names in buses[kind].items()}
    rams = _rams(left)
    others |= {f"memory port {ram.name}": tuple(n for n in ports if n in ram.ports.values()) for ram in rams}
    streams = [*_axi_streams(left), *_handshakes(left)]
    plain = any(port.bits > 1 for port in left.values())
    jobs = not streams and bool(rams or masters or (slaves and not plain))
    for role, direction in () if jobs else (("input", "in"), ("output", "out")):
        wide = tuple(port.name for port in left.values() if port.direction == direction and port.bits > 1)
        if wide and not any(group.role == role for group in streams):
            streams.append(Group(role, {"data": wide[0]} if len(wide) == 1 else {}, candidates=wide[:20]))
            if len(wide) == 1:
                left.pop(wide[0])
    control = _control(left) if jobs else {}
    rest = tuple(name for name, port in ports.items() if name in left or not port.flat)
    return Recognised(clocks, resets, low, tuple(streams), rams, masters, slaves, others, jobs, control, rest)


def _take(left: dict[str, Port], wanted: object) -> tuple[str, ...]:
    assert callable(wanted)
    names = tuple(name for name, port in left.items() if wanted(port))
    for name in names:
        left.pop(name)
    return names


def _axi(left: dict[str, Port]) -> dict[str, dict[str, tuple[str, ...]]]:
    """AXI4 and AXI4-Lite interfaces by kind and prefix: at least an address and its valid of one direction."""
    found: dict[str, dict[str, tuple[str, ...]]] = {
        f"{kind} {side}": {} for kind in ("AXI4", "AXI4-Lite") for side in ("master", "slave")
    }
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
        found[f"{kind} {side}"][prefix.rstrip("_")] = names
        for name in names:
            left.pop(name)
    return found


def _rams(left: dict[str, Port]) -> tuple[RamPort, ...]:
    """Ports to RAMs outside: an address that the design gives, with data of the same name, read or written."""
    found = []
    for port in list(left.values()):
        match = _ADDRESS.match(port.name)
        if match is None or port.direction != "out" or port.name not in left:
            continue
        stem, members = match["stem"], {"address": port.name}
        for other in left.values():
            member = _MEMBER.match(other.name.removeprefix(stem)) if other.name.startswith(stem) else None
            if member is None or member["n"] != match["n"]:
                continue
            word, out = member["word"].lower(), other.direction == "out"
            kind = next((kind for kind, words in _RAM.items() if out and word in words), None)
            if kind is None and word in _RAM_DATA:
                kind = "write" if out else "read"
            if kind is not None:
                members.setdefault(kind, other.name)
        if "read" not in members and "write" in members and "write_enable" not in members and "enable" in members:
            members["write_enable"] = members.pop("enable")
        if not {"read", "write"} & members.keys():
            continue
        found.append(RamPort(f"{stem.rstrip('_') or 'ram'}{match['n']}", members))
        for name in members.values():
            left.pop(name)
    return tuple(found)


def _control(left: dict[str, Port]) -> dict[str, str]:
    """The ports that start a job, and say that it is done or runs."""
    found: dict[str, str] = {}
    for name, port in list(left.items()):
        words = _SIDE.sub("", name).lower().split("_")
        for kind, said in _CONTROL.items():
            right = port.bits == 1 and port.direction == ("in" if kind == "start" else "out")
            if right and kind not in found and {words[0], words[-1]} & set(said):
                found[kind] = left.pop(name).name
                break
    return {kind: found[kind] for kind in _CONTROL if kind in found}


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


def handshakes_of(signals: Iterable[Signal]) -> Callable[[str], dict[str, str]]:
    """Valid and ready of a signal, by its name: beside it, of one bit, and called the same but for that word."""
    named: dict[str, dict[str, str]] = {}
    for signal in signals:
        scope, dot, leaf = signal.name.rpartition(".")
        kind, stem = _split(leaf)
        if kind in ("valid", "ready") and signal.bits == 1 and signal.words is None:
            named.setdefault(scope + dot + stem, {}).setdefault(kind, signal.name)

    def found(name: str) -> dict[str, str]:
        scope, dot, leaf = name.rpartition(".")
        kind, stem = _split(leaf)
        return named.get(scope + dot + stem, {}) if kind in (None, "data") else {}

    return found


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
