"""The mon_* ports: the stream of every tap inside a module."""

from typing import Any

from testbenches.common.stream import ProtocolError, Stream, known


class TapStream(Stream):
    """A stream that is only looked at; `Taps` says what its signals are."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.valid = self.ready = self.fired = False
        self.beat = 0


class Taps:
    """The streams of all taps, by name; tap i is at mon_valid[i], mon_ready[i], mon_data[w i +: w]."""

    def __init__(self, dut: Any, names: tuple[str, ...]) -> None:
        self.dut = dut
        self.streams = {name: TapStream(name) for name in names}
        assert len(dut.mon_valid) == len(dut.mon_ready) == len(names)
        self.width, left = divmod(len(dut.mon_data), len(names))
        assert self.width in (8, 16, 32)
        assert left == 0

    def sample(self) -> None:
        """Read the ports, all settled; ProtocolError where a handshake is X, or the data of a valid beat."""
        valid, ready = known(self.dut.mon_valid), known(self.dut.mon_ready)
        # Bits as text, highest first: data of a stream without a valid beat may be X.
        data = str(self.dut.mon_data.value)
        for i, stream in enumerate(self.streams.values()):
            stream.valid, stream.ready = bool(valid >> i & 1), bool(ready >> i & 1)
            stream.fired = stream.valid and stream.ready
            if stream.valid:
                bits = data[len(data) - self.width * (i + 1) : len(data) - self.width * i]
                if not set(bits) <= {"0", "1"}:
                    raise ProtocolError(f"tap {stream.name} is {bits}")
                stream.beat = int(bits, 2)
