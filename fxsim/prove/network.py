"""A design's modules as a network of streams, run to the end of an image with the least that is proved of each.

Of a module the counts alone are kept: values taken at each input, values given at each output. It is counted on to
offer an output that its inputs have determined, and to take an input while nothing that it has is to leave (a FIFO:
while it has fewer than DEPTH). Both stay so whatever else passes; so the network is persistent: where one order of
passing reaches the end, no order stands still before it. `docs/prove.md` has the argument.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

_KNOWN = frozenset(
    (
        "activation_table",
        "add",
        "affine",
        "axis_fifo",
        "axis_fork",
        "axis_register",
        "frame_guard",
        "frame_tag",
        "linear",
        "pool",
        "relu",
        "transpose",
    )
)
"""Modules of which it is said here when they take and give."""
_STUCK_SHOWN = 6


class Part(NamedTuple):
    """A module in the network: its hierarchical name, its parameters, and the number of the stream at each port."""

    name: str
    module: str
    parameters: Mapping[str, int]
    inputs: Mapping[str, int]
    outputs: Mapping[str, int]


class Network(NamedTuple):
    """Parts, and the streams between them by name; `source` and `sink` are those of the design's own ports."""

    parts: tuple[Part, ...]
    streams: tuple[str, ...]
    source: int
    sink: int


class Standing(msgspec.Struct, frozen=True):
    """Whether the whole cannot stand still. `transfers`: values that passed in the run to an image's end.

    `cycles`: within which one stream passes a value while the outside offers and takes. `why`: what stands in the way,
    empty where nothing does.
    """

    proved: bool
    streams: int
    transfers: int
    cycles: int
    why: str


def due(part: Part, port: str, taken: Mapping[str, int]) -> int:
    """Outputs at a port that these inputs determine, from the first on; of a module that holds what it has taken."""
    of = part.parameters
    if part.module == "add":
        return min(taken["s0_axis"], taken["s1_axis"])
    count = taken["s_axis"]
    if port == "m_flag_axis":
        return count // of["BEATS"]
    if part.module == "pool" and of["TOKENS"] > 1:
        image, rest = divmod(count, of["TOKENS"] * of["CHANNELS"])
        return image * of["CHANNELS"] + max(rest - (of["TOKENS"] - 1) * of["CHANNELS"], 0)
    if part.module == "linear":
        return of["OUT"] * (count // of["IN"])
    if part.module == "transpose":
        image, rest = divmod(count, of["ROWS"] * of["COLS"])
        whole = rest - (of["ROWS"] - 1) * of["COLS"]
        # Of the first column an element a row; then all but the last row's of the next column, too.
        own = -(-rest // of["COLS"]) if whole <= 0 else of["ROWS"] * whole + of["ROWS"] - 1
        return image * of["ROWS"] * of["COLS"] + own
    return count


class Runner:
    """The network's counts, and what can pass: `sent` by stream."""

    def __init__(self, network: Network, beats: int) -> None:
        self._network = network
        self._beats = beats
        self.sent = [0] * len(network.streams)
        self._producer: dict[int, tuple[Part, str]] = {}
        self._consumer: dict[int, tuple[Part, str]] = {}
        for part in network.parts:
            self._producer |= {stream: (part, port) for port, stream in part.outputs.items()}
            self._consumer |= {stream: (part, port) for port, stream in part.inputs.items()}

    def run(self, *, backwards: bool = False) -> int:
        """Let values pass until none can; how many did. `backwards`: in another order, which makes no difference."""
        passed, moved = 0, True
        order = range(len(self.sent))
        while moved:
            moved = False
            for stream in reversed(order) if backwards else order:
                while self.passes(stream):
                    passed += 1
                    moved = True
                    if backwards:
                        break
        return passed

    def passes(self, stream: int) -> bool:
        """Let a value pass at a stream, and at those that it passes at in the same cycle, where it can."""
        part, port = self._consumer.get(stream, (None, ""))
        # The input of a fork, and of a tag, passes with an output.
        if part is not None and part.module in ("axis_fork", "frame_tag"):
            return False
        if not self.gives(stream) or not self.takes(stream):
            return False
        if part is not None and part.module == "add":
            # Both operands at once: told by the first.
            if port != "s0_axis":
                return False
            self._send(part.inputs["s1_axis"])
        self._send(stream)
        return True

    def gives(self, stream: int) -> bool:
        """Whether the next value of a stream stands there, sooner or later, until it is taken."""
        if stream == self._network.source:
            return self.sent[stream] < self._beats
        part, port = self._producer[stream]
        if part.module == "axis_fork":
            own = part.inputs["s_axis"]
            return self.sent[stream] == self.sent[own] and self.gives(own)
        if part.module == "frame_tag":
            return all(self.gives(own) for own in part.inputs.values())
        return self.sent[stream] < due(part, port, self._taken(part))

    def takes(self, stream: int) -> bool:
        """Whether a value of a stream is taken, once it stands there."""
        if stream == self._network.sink:
            return True
        part, _ = self._consumer[stream]
        if part.module == "axis_fifo":
            return self.sent[stream] - self.sent[part.outputs["m_axis"]] < part.parameters["DEPTH"]
        if part.module == "add" and not all(self.gives(own) for own in part.inputs.values()):
            return False
        taken = self._taken(part)
        return all(self.sent[own] >= due(part, port, taken) for port, own in part.outputs.items())

    def _taken(self, part: Part) -> dict[str, int]:
        return {port: self.sent[own] for port, own in part.inputs.items()}

    def _send(self, stream: int) -> None:
        self.sent[stream] += 1
        part, _ = self._producer.get(stream, (None, ""))
        if part is not None and part.module == "axis_fork":
            own = part.inputs["s_axis"]
            if all(self.sent[side] > self.sent[own] for side in part.outputs.values()):
                self._send(own)
        elif part is not None and part.module == "frame_tag":
            self._send(part.inputs["s_axis"])
            if self.sent[stream] % part.parameters["BEATS"] == 0:
                self._send(part.inputs["s_flag_axis"])

    def stuck(self) -> str:
        """The modules that hold values which cannot leave, or lack some, in words; empty where all is as it began."""
        wrong = []
        if self.sent[self._network.source] != self._beats:
            wrong.append(f"'{self._network.streams[self._network.source]}' took {self.sent[self._network.source]}")
        for part in self._network.parts:
            if part.module in ("axis_fork", "frame_tag"):
                continue
            taken = self._taken(part)
            left = [port for port, own in part.outputs.items() if self.sent[own] != due(part, port, taken)]
            if left or not _is_between(part, taken):
                counts = ", ".join(f"{port} {count}" for port, count in taken.items())
                given = ", ".join(f"{port} {self.sent[own]}" for port, own in part.outputs.items())
                wrong.append(f"'{part.name}' ({part.module}) took {counts} and gave {given}")
        return "; ".join(wrong[:_STUCK_SHOWN])


def _is_between(part: Part, taken: Mapping[str, int]) -> bool:
    """Whether a module stands as before its first value: amid no row and no image of its own."""
    of, (count, *others) = part.parameters, taken.values()
    periods: dict[str, Callable[[], int]] = {
        "linear": lambda: of["IN"],
        "transpose": lambda: of["ROWS"] * of["COLS"],
        "pool": lambda: of["TOKENS"] * of["CHANNELS"],
        "frame_guard": lambda: of["BEATS"],
        "affine": lambda: of["CHANNELS"],
        "activation_table": lambda: of["CHANNELS"],
    }
    period = periods.get(part.module, lambda: 1)()
    return count % period == 0 and all(other == count for other in others)


def stands(network: Network, beats: int, cycles: int) -> Standing:
    """Run a network to the end of an image of so many values; `cycles`: within which each module keeps its promises."""
    strange = sorted({part.module for part in network.parts} - _KNOWN)
    if strange:
        return Standing(False, len(network.streams), 0, cycles, f"it is not said when '{strange[0]}' takes and gives")
    runner = Runner(network, beats)
    transfers = runner.run()
    why = runner.stuck()
    if why:
        why = f"counting on no more than is proved of each module, nothing passes after {transfers:,} values: {why}"
    return Standing(not why, len(network.streams), transfers, cycles, why)
