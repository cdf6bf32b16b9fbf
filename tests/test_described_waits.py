"""Rules of AXI4-Stream that a receiver which is always ready, or ready at random, does not show to be broken.

Faults are told to the design by a file that it reads when it starts: one build for all of them.
"""

from pathlib import Path

import pytest

from fxsim.cosim import CosimResult, cosim
from fxsim.errors import StimulusError
from tests.test_described import PIPELINE, PIPELINE_TOML, RELU, X, written

# One register; by the fault, valid comes once ready was high (1), the register moves only while ready is (2), or valid
# is high during reset (3).
SLICE = """
module slice (
    input wire clk, input wire rst, input wire [7:0] s_tdata, input wire s_tvalid, output wire s_tready,
    output reg [7:0] m_tdata, output wire m_tvalid, input wire m_tready
);
  reg [7:0] fault[0:0];
  initial $readmemh("fault.hex", fault);
  reg have, shown;
  assign m_tvalid = (fault[0] == 1 ? shown : have) | (fault[0] == 3 & rst);
  assign s_tready = fault[0] == 2 ? m_tready : !have | (m_tvalid & m_tready);
  always @(posedge clk) begin
    if (m_tvalid & m_tready) {have, shown} <= 0;
    else if (have & m_tready) shown <= 1;
    if (s_tready) begin
      have <= s_tvalid;
      m_tdata <= s_tdata[7] ? 8'd0 : s_tdata;
    end
    if (rst) {have, shown} <= 0;
  end
endmodule
"""
SLICE_TOML = """
top = "slice"
sources = "slice.v"
files = ["fault.hex"]
clock = "clk"
reset = { signal = "rst", cycles = 3 }
[[stream]]
role = "input"
prefix = "s"
[[stream]]
role = "output"
prefix = "m"
"""


def simulate(dut: Path, fault: int = 0, **options: object) -> CosimResult:
    """Co-simulate the ReLU with one of the faults, or none, compiled quickly."""
    (dut.parent / "fault.hex").write_text(f"{fault:02x}\n")
    return cosim(RELU, X, accel="described", dut=str(dut), optimise="-O0", **options)


@pytest.mark.verilator
def test_output_that_waits_for_ready_or_is_valid_during_reset_is_found(tmp_path: Path) -> None:
    """Ready waits for valid under every other seed but the first: the result of the first is what it was."""
    path = written(tmp_path / "a", "slice", SLICE, SLICE_TOML)
    right = simulate(path)
    assert (right.passed, right.verdict.faults, right.provenance.stall) == (True, (), "none")
    assert (right.timing.interval.median, right.timing.latency_cycles) == (18, 19)
    for stall in ("wait", "wait+random:3+reset:4:5", "burst:2+wait"):
        result = simulate(path, stall=stall)
        assert (result.passed, result.verdict.faults, result.provenance.stall) == (True, (), stall)
    waits = simulate(path, 0, stall="wait")
    # Each value is first seen by the receiver, then taken.
    assert (waits.timing.interval.median, waits.timing.latency_cycles) == (36, 37)
    for fault in (1, 2):
        assert simulate(path, fault, power_on_seeds=(1,), stall="random:1").passed
        wrong = simulate(path, fault, watchdog=50)
        assert [(found.kind, found.stream, found.image) for found in wrong.verdict.faults] == [
            ("tvalid waits for tready", "m_tdata", 0)
        ]
        assert (wrong.provenance.stall, wrong.provenance.power_on_seed) == ("reset:2:3+wait", 2)
        assert (wrong.verdict.stopped, wrong.streams.mismatches) == (None, 0)
    asserted = simulate(path, 3, stall="reset:3:4")
    kinds = {fault.kind for fault in asserted.verdict.faults}
    assert kinds == {"valid set during reset"}
    # At power-on, and after resets of 2 cycles or more in mid-run.
    assert len(asserted.verdict.faults) > 1


def test_ready_that_waits_is_refused_without_axi(tmp_path: Path) -> None:
    """A pattern that nothing can keep is named; it stands once, and not beside none."""
    path = written(tmp_path / "a", "pipeline", PIPELINE, PIPELINE_TOML)
    with pytest.raises(StimulusError, match=r"'wait': the output of .*pipeline\.toml is no AXI4-Stream with a ready"):
        simulate(path, stall="wait")
    for stall in ("wait+wait", "none+wait", "wait:1"):
        with pytest.raises(StimulusError, match="stall pattern"):
            simulate(path, stall=stall)
