"""AXI4-Stream: the pins of one stream, a driver for either side of it, and a monitor that holds it to the rules."""

from collections import deque
from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from testbenches.common.pins import Pin
from testbenches.common.stalls import Stall, flowing

Beat = int | tuple[int, ...]
"""tdata as an unsigned number; with sideband signals a tuple of tdata and those."""


class ProtocolError(AssertionError):
    """A stream broke a rule of AXI4-Stream, or carried an X."""


def known(handle: Any) -> int:
    """The unsigned value of a signal; ProtocolError where any of its bits is X or Z."""
    try:
        # The bits as the simulator gives them: of `handle.value` cocotb would make an object first, and monitors read
        # dozens of signals a cycle.
        return int(handle._handle.get_signal_val_binstr(), 2)
    except ValueError:
        raise ProtocolError(f"{handle._name} is {handle.value}") from None


def beats(values: npt.ArrayLike, lanes: int = 1) -> list[int]:
    """An int8 array of any shape as beats of so many values, last index fastest; a beat's first value lowest."""
    rows = np.ascontiguousarray(values, np.int8).view(np.uint8).reshape(-1, lanes)
    return [int.from_bytes(row.tobytes(), "little") for row in rows]


def packed(values: npt.ArrayLike, lanes: int, bits: int) -> list[int]:
    """Integers of any shape as beats, last index fastest: `lanes` a beat, each of `bits` bits, the first lowest."""
    flat = np.asarray(values).reshape(-1, lanes).tolist()
    mask = (1 << bits) - 1
    return [sum((int(value) & mask) << bits * lane for lane, value in enumerate(beat)) for beat in flat]


class Stream:
    """The pins `{name}_tdata`, `{name}_tvalid`, `{name}_tready` and sidebands, and what they were in the last cycle."""

    def __init__(self, dut: Any, name: str, sidebands: tuple[str, ...] = ()) -> None:
        self.name = name
        self.tvalid = getattr(dut, f"{name}_tvalid")
        self.tready = getattr(dut, f"{name}_tready")
        self.payload = [getattr(dut, f"{name}_{field}") for field in ("tdata", *sidebands)]
        self.valid = self.ready = self.fired = False
        self.beat: Beat = 0

    def sample(self) -> None:
        """Read the pins, all settled; ProtocolError where the handshake is X, or the payload of a valid beat."""
        self.valid = known(self.tvalid) == 1
        self.ready = known(self.tready) == 1
        self.fired = self.valid and self.ready
        if self.valid:
            fields = [known(handle) for handle in self.payload]
            self.beat = fields[0] if len(fields) == 1 else tuple(fields)

    def __str__(self) -> str:
        return f"{self.name} (valid {int(self.valid)}, ready {int(self.ready)})"


class Source:
    """Drives a stream that enters the module: every beat it was sent, in order, with pauses where `stall` says so."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.stall: Stall = flowing()
        self.waiting: deque[Beat] = deque()
        self.presenting = False
        self.tvalid = Pin(stream.tvalid)
        self.reset()

    def send(self, values: Iterable[Beat]) -> None:
        """Queue beats behind those that still wait."""
        self.waiting.extend(values)

    def reset(self) -> None:
        """Drop what waits; tvalid is low from now on."""
        self.waiting.clear()
        self.presenting = False
        self.tvalid.set(0)

    def drive(self) -> None:
        """Set the pins for the coming clock edge. A beat once shown stays until it is taken."""
        if self.presenting and self.stream.fired:
            self.waiting.popleft()
            self.presenting = False
        held_back = next(self.stall)
        if not self.presenting and self.waiting and not held_back:
            self.presenting = True
            beat = self.waiting[0]
            for handle, value in zip(self.stream.payload, beat if isinstance(beat, tuple) else (beat,), strict=True):
                handle.value = value
        self.tvalid.set(int(self.presenting))

    @property
    def idle(self) -> bool:
        """Whether everything sent has been taken."""
        return not self.waiting or (len(self.waiting) == 1 and self.presenting and self.stream.fired)


class Sink:
    """Drives tready of a stream that leaves the module."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.stall: Stall = flowing()
        self.waits = False
        self.tready = Pin(stream.tready)
        self.tready.set(0)

    def drive(self) -> None:
        """Set tready for the coming clock edge. One that `waits` is not ready before it has seen a beat."""
        unseen = self.waits and (not self.stream.valid or self.stream.fired)
        self.tready.set(int(not next(self.stall) and not unseen))


class Monitor:
    """Records the beats of a stream and the cycles in which they pass; raises where the sender breaks the rules.

    A beat once shown stays, unchanged, until it is taken.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.reset()

    def reset(self) -> None:
        """Forget everything: what was shown before a reset need not stay."""
        self.beats: list[Beat] = []
        self.cycles: list[int] = []
        self.owed: Beat | None = None

    def sample(self, cycle: int) -> None:
        """Look at one cycle, after its signals have settled."""
        stream = self.stream
        if self.owed is not None:
            if not stream.valid:
                raise ProtocolError(f"cycle {cycle}: {stream.name} withdrew {self.owed} before it was taken")
            if stream.beat != self.owed:
                raise ProtocolError(
                    f"cycle {cycle}: {stream.name} changed from {self.owed} to {stream.beat} while it waited"
                )
        self.owed = stream.beat if stream.valid and not stream.ready else None
        if stream.fired:
            self.beats.append(stream.beat)
            self.cycles.append(cycle)
