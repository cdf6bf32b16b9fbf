"""The inputs of a module under test: its clock, and pins that are written only where they change.

Writing a pin takes cocotb and the simulator longer than most of what a testbench does in a cycle, and most pins keep
their value from one cycle to the next.
"""

from typing import Any

import cocotb
from cocotb.clock import Clock
from cocotb.triggers import Timer


def start_clock(dut: Any) -> None:
    """Let `clk` run from now on, 2 ns a cycle, high first.

    But for its first edge, which comes together with whatever else is set now, it is the simulator's own clock: one
    that Python drives would wake it twice a cycle.
    """
    dut.clk.value = 1

    async def run() -> None:
        await Timer(1, "ns")
        Clock(dut.clk, 2, "ns", impl="gpi").start(start_high=False)

    cocotb.start_soon(run())


class Pin:
    """An input that nothing but this object writes."""

    __slots__ = ("handle", "last")

    def __init__(self, handle: Any) -> None:
        self.handle = handle
        self.last: int | None = None

    def set(self, value: int) -> None:
        """Give it a value; nothing happens where it has that already."""
        if value != self.last:
            self.handle.value = self.last = value


class Pins:
    """The inputs of a module by name, as attributes; each is written by no other means."""

    def __init__(self, dut: Any) -> None:
        vars(self).update(_dut=dut, _last={})

    def __setattr__(self, name: str, value: int) -> None:
        if self._last.get(name) != value:
            getattr(self._dut, name).value = self._last[name] = value

    _dut: Any
    _last: dict[str, int]
