"""The testbenches' own checks: a failing cocotb test fails pytest, and every rule a stream can break is seen."""

from pathlib import Path

import cocotb
import pytest

from testbenches.common.bench import Bench
from testbenches.common.checks import check_paths, check_rate, check_reset, check_stalls
from testbenches.common.seeds import generator
from testbenches.common.simulation import simulate
from testbenches.common.stalls import PAIRS

HERE = Path(__file__).resolve().parent
VALUES = [*range(60), 100, *range(60, 100), *range(101, 140)]
TRAFFIC = ({"s_axis": VALUES}, {"m_axis": VALUES})

FAULTS = {
    "wrong value": "beat 60 is 101, expected 100",
    "lost value": "beat 60 is 60, expected 100",
    "surplus value": "beat 61 is 100, expected 60",
    "valid withdrawn": "withdrew",
    "data changed": "while it waited",
    "data unknown": "m_axis_tdata is XXXXXXXX",
    "valid unknown": "m_axis_tvalid is X",
    "valid waits for ready": "m_axis depends on the other side",
    "no reset": "m_axis is valid while rst is high",
    "half rate": "not a value every cycle",
    "stands still": "not done after",
}
"""Faults of faulty.v in the order of their numbers, from 1, and what the report must say of each."""


@cocotb.test()
@cocotb.parametrize(stall=list(PAIRS))
async def passes_every_value_on(dut, stall):
    """Values, order and the rules of the handshake."""
    await check_stalls(await Bench.started(dut), *TRAFFIC, stall, generator(f"common {stall}"))


@cocotb.test()
async def takes_a_value_every_cycle(dut):
    """The rate."""
    cycles = await check_rate(await Bench.started(dut), *TRAFFIC)
    assert cycles == list(range(1, 1 + len(VALUES))), "not a value every cycle"


@cocotb.test()
async def starts_afresh_after_a_reset(dut):
    """The reset."""
    await check_reset(await Bench.started(dut), *TRAFFIC, generator("common reset"))


@cocotb.test()
async def shows_values_without_waiting(dut):
    """Paths from one handshake signal to the other."""
    await check_paths(await Bench.started(dut), TRAFFIC[0], generator("common paths"), registered=False)


def test_sound_module_passes(tmp_path: Path) -> None:
    """The module without a fault passes all checks, so that each failure below is the fault's."""
    simulate(__name__, "faulty", tmp_path, {"FAULT": 0}, sources=HERE)


@pytest.mark.parametrize(("fault", "report"), FAULTS.items())
def test_fault_is_reported(fault: str, report: str, tmp_path: Path) -> None:
    """Each fault fails the run under pytest, with a report that says what was broken."""
    with pytest.raises(AssertionError) as failure:
        simulate(__name__, "faulty", tmp_path, {"FAULT": 1 + list(FAULTS).index(fault)}, sources=HERE)
    assert report in str(failure.value)


def test_run_without_a_test_fails(tmp_path: Path) -> None:
    """A testbench in which no cocotb test is found does not pass."""
    with pytest.raises(AssertionError, match="faulty"):
        simulate("testbenches.common.seeds", "faulty", tmp_path, sources=HERE)


def test_build_that_fails_is_reported(tmp_path: Path) -> None:
    """Verilog that does not compile fails the run, and the report shows the compiler's message."""
    (tmp_path / "broken.v").write_text("module broken (input wire clk) endmodule\n")
    with pytest.raises(AssertionError, match="syntax error"):
        simulate(__name__, "broken", tmp_path, sources=tmp_path)
