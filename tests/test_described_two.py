"""Somebody's design with two input streams: each is driven by itself, and what does not fit or is wrong is named."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from fxsim.cosim import CosimRequest, CosimResult, cosim
from fxsim.cosim.four_state import four_state
from fxsim.cosim.nodes import run_nodes
from fxsim.devices.described.bind import bind
from fxsim.devices.described.check import check
from fxsim.devices.described.proofs import provable_of
from fxsim.devices.described.propose import propose
from fxsim.errors import ToolError
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Relu
from fxsim.paths import rtl_dir
from fxsim.prove.blocks import PROVED
from fxsim.vectors.kit import write_kit
from tests.test_described import X, written
from tests.test_kit import ran
from tests.test_prove_described import ask

SUM = Model(Graph((3, 6), (Node("a", Relu(), (INPUT,)), Node("b", Add(), ("a", INPUT)))), "sum")

# A residual adder: two values a beat of one operand, one of the other, and the frame of the other. Faults are told to
# it by a file that it reads when it starts: it takes the upper lane first (1), adds the value before (2), takes no
# more of the second after one image (3), or does not look at the valid of the second (4).
JOIN = """
module join2 (
    input wire clk, input wire rst,
    input wire [15:0] s_tdata, input wire s_tvalid, output wire s_tready, input wire s_tlast,
    input wire [7:0] r_tdata, input wire r_tvalid, output wire r_tready, input wire r_tlast,
    output reg [7:0] m_tdata, output reg m_tvalid, input wire m_tready, output reg m_tlast
);
  reg [7:0] fault[0:0];
  initial $readmemh("fault.hex", fault);
  reg half, seen;
  reg [7:0] old;
  wire stuck = fault[0] == 3 && seen;
  wire take = s_tvalid && (r_tvalid || fault[0] == 4) && (!m_tvalid || m_tready) && !stuck;
  assign s_tready = take && half;
  assign r_tready = take;
  wire [7:0] x = (half ^ (fault[0] == 1)) ? s_tdata[15:8] : s_tdata[7:0];
  wire [7:0] r = fault[0] == 2 ? old : r_tdata;
  wire signed [8:0] sum = {x[7], x} + {r[7], r};
  always @(posedge clk) begin
    if (take) begin
      m_tdata <= sum > 127 ? 8'd127 : sum < -128 ? 8'h80 : sum[7:0];
      m_tlast <= r_tlast;
      old <= r_tdata;
    end
    if (rst) {half, seen, m_tvalid} <= 0;
    else begin
      if (take) half <= !half;
      if (take && s_tlast && half) seen <= 1;
      if (take) m_tvalid <= 1;
      else if (m_tready) m_tvalid <= 0;
    end
  end
endmodule
"""
JOIN_TOML = """
top = "join2"
sources = "join2.v"
files = ["fault.hex"]
clock = "clk"
reset = { signal = "rst", cycles = 3 }
[[stream]]
role = "input"
tensor = "a"
prefix = "s"
lanes = 2
[[stream]]
role = "input"
tensor = "input"
prefix = "r"
[[stream]]
role = "output"
tensor = "b"
prefix = "m"
"""


def joined(folder: Path, fault: int = 0, text: str = JOIN_TOML) -> Path:
    """The design with one of its faults, or none."""
    path = written(folder, "join2", JOIN, text)
    (folder / "fault.hex").write_text(f"{fault:02x}\n")
    return path


def simulate(path: Path, fault: int = 0, **options: object) -> CosimResult:
    """Co-simulate the adder with one of its faults, compiled quickly."""
    (path.parent / "fault.hex").write_text(f"{fault:02x}\n")
    return cosim(SUM, X, accel="described", dut=str(path), optimise="-O0", power_on_seeds=(1,), **options)


@pytest.mark.verilator
def test_adder_of_two_streams_is_right_under_independent_stalls_and_its_faults_are_found(tmp_path: Path) -> None:
    """Of one build: what is right, wrong lanes, an operand that is late, not waited for, or stuck."""
    path = joined(tmp_path / "d")
    for stall in ("none", "random:1", "burst:3+reset:4:3", "input:5:0.8+gap:9"):
        right = simulate(path, stall=stall)
        assert (right.passed, right.streams.output.compared >= X.size) == (True, True), stall
    lanes = simulate(path, 1)
    # By hand: x[t, c] + relu of the value beside it.
    relu = np.maximum(X.astype(int), 0)
    beside = relu.reshape(len(X), -1, 2)[:, :, ::-1].reshape(X.shape)
    wrong = np.clip(X.astype(int) + beside, -128, 127) != np.clip(X.astype(int) + relu, -128, 127)
    assert lanes.streams.output.mismatches == int(wrong.sum()) > 0
    first = lanes.verdict.first_mismatch
    assert first is not None
    image, token, channel = (int(i) for i in np.argwhere(wrong)[0])
    assert (first.image, first.index) == (image, {"token": token, "channel": channel})
    late = simulate(path, 2).verdict
    assert late.first_mismatch is not None
    assert late.origins is not None
    assert [tap.nodes for tap in late.origins.local] == [("b",)]
    # Without stalls both operands are always there.
    assert simulate(path, 4).passed
    assert not simulate(path, 4, stall="random:1").passed
    stuck = simulate(path, 3, watchdog=60).verdict.stopped
    assert stuck is not None
    assert stuck.reason == "'s_tdata' and 'r_tdata' hold a value that nobody takes"
    states = {state.stream: (state.state, state.image) for state in stuck.streams}
    assert states["s_tdata"] == states["r_tdata"] == ("held", 1)


@pytest.mark.icarus
def test_frame_of_the_second_stream_is_driven_and_checked(tmp_path: Path) -> None:
    """In four states: the design's last is the second stream's; where that comes a row, the output's is too early."""
    right = four_state(SUM, X, accel="described", settings={"dut": str(joined(tmp_path / "a"))}, images=(0, 3))
    assert (right.passed, right.runs[0].taps[0].tap) == (True, "m_tdata")
    text = JOIN_TOML.replace('prefix = "r"', 'prefix = "r"\nlast = "row"\npack = "row"')
    wrong = joined(tmp_path / "b", text=text)
    found = four_state(SUM, X, accel="described", settings={"dut": str(wrong)}, images=(0, 3), stalls=(0,))
    assert not found.passed
    assert "m_tlast" in str(found.reason)
    # The first row ends with the sixth of eighteen beats.
    first = found.runs[0].taps[1].first
    assert first is not None
    assert (first.image, first.index, first.expected, first.got) == (0, {"token": 0, "channel": 5}, 0, -1)


@pytest.mark.icarus
def test_kit_has_a_file_for_each_stream_and_finds_the_same_faults(tmp_path: Path) -> None:
    """Three runs: without stalls, with them and resets, and with a ready that waits; the fault names beat and lane."""
    write_kit(SUM, X[:3], tmp_path / "kit", "described", {"dut": str(joined(tmp_path / "d"))})
    kit = tmp_path / "kit"
    low, high = (X[0, 0, n].astype(int).clip(0) for n in (0, 1))
    assert (kit / "stimulus_1.hex").read_text().split()[0] == f"{high << 8 | low:04x}"
    assert (kit / "stimulus_2.hex").read_text().split()[:2] == [f"{int(v) & 255:02x}" for v in X[0, 0, :2]]
    done = subprocess.run([kit / "run.sh"], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout.count("PASS: 3 images, 54 beats equal\n")) == (0, 3 + 3), done.stdout
    for fault, words in (
        (1, "FAIL: image 0, output, beat "),
        (2, "FAIL: image 0, output, beat 0, lane 0: "),
        (3, "FAIL: 18 of 54 beats came out, 27 of 81 went in"),
        (4, "PASS"),  # where both are always there, nothing is wrong
    ):
        (kit / "fault.hex").write_text(f"{fault:02x}\n")
        status, said = ran(kit)
        assert (status, said.startswith(words)) == (1, True), said


# Two streams that nothing holds back: a pipeline that adds what comes in one cycle.
STEP = """
module step (
    input wire clk, input wire [23:0] a, input wire a_valid, input wire [23:0] r, input wire r_valid,
    output reg [23:0] y, output reg y_valid
);
  integer i;
  reg signed [8:0] s;
  always @(posedge clk) begin
    y_valid <= a_valid && r_valid;
    for (i = 0; i < 3; i = i + 1) begin
      s = {a[8*i+7], a[8*i+:8]} + {r[8*i+7], r[8*i+:8]};
      y[8*i+:8] <= s > 127 ? 8'd127 : s < -128 ? 8'h80 : s[7:0];
    end
  end
endmodule
"""
STEP_TOML = """
top = "step"
sources = "step.v"
clock = "clk"
[[stream]]
role = "input"
tensor = "a"
signals = { data = "a", valid = "a_valid" }
lanes = 3
[[stream]]
role = "input"
tensor = "input"
signals = { data = "r", valid = "r_valid" }
lanes = 3
[[stream]]
role = "output"
tensor = "b"
signals = { data = "y", valid = "y_valid" }
lanes = 3
"""


@pytest.mark.icarus
def test_streams_that_cannot_be_held_back_come_in_step(tmp_path: Path) -> None:
    """Beats of both come in one cycle, with gaps or, where the output has a latency only, image by image."""
    for name, text in (
        ("valid", STEP_TOML),
        ("latency", STEP_TOML.replace(', valid = "y_valid" }\nlanes = 3', " }\nlanes = 3\nlatency = 1")),
    ):
        path = written(tmp_path / name, "step", STEP, text)
        result = four_state(SUM, X, accel="described", settings={"dut": str(path)}, images=(0, 3))
        assert result.passed, (name, result.reason)
        assert [run.taps[0].compared for run in result.runs] == [54, 54]


@pytest.mark.verilator
def test_streams_in_step_are_simulated_with_gaps(tmp_path: Path) -> None:
    """The same in the co-simulation, which holds both back at once."""
    result = cosim(
        SUM, X, accel="described", dut=str(written(tmp_path / "d", "step", STEP, STEP_TOML)), optimise="-O0",
        power_on_seeds=(1,), stall="random:3:0.7+gap:5",
    )  # fmt: skip
    assert (result.passed, result.streams.output.compared) == (True, X.size)
    assert result.timing.interval.median > 6


NODE_TOML = """
top = "add"
sources = ["stream/add.v", "lib/saturating_add.v"]
clock = "clk"
reset = { signal = "rst" }
[[stream]]
role = "input"
tensor = "a"
prefix = "s0_axis"
[[stream]]
role = "input"
tensor = "input"
prefix = "s1_axis"
[[stream]]
role = "output"
tensor = "b"
prefix = "m_axis"
"""


@pytest.mark.verilator
def test_adder_of_the_project_is_a_described_node(tmp_path: Path) -> None:
    """`rtl/stream/add.v`, which nothing describes otherwise; one that adds a wrong bit is found at its node."""
    (tmp_path / "add.toml").write_text(NODE_TOML)
    (tmp_path / "top.toml").write_text(f'nodes = ["add.toml"]\n{NODE_TOML}')
    for name in ("stream/add.v", "lib/saturating_add.v"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text((rtl_dir() / name).read_text())
    request = CosimRequest(
        SUM, X, "described", {"dut": str(tmp_path / "top.toml")}, stall="random:1", power_on_seeds=(1,)
    )
    found = run_nodes(request)
    assert [(node.tap, node.part, node.passed, node.compared) for node in found.nodes] == [("b", ("b",), True, X.size)]
    assert found.missing == ("a",)
    (checked,) = (line for line in check(tmp_path / "add.toml", SUM).streams if line.data == "s1_axis_tdata")
    assert (checked.role, checked.name, checked.handshake) == ("input", "input", "valid, ready, AXI4-Stream")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('tensor = "a"\n', "", "input stream 1 ('s') of 2 states no tensor: expected of each the one"),
        ('tensor = "input"', 'tensor = "a"', "input streams: 'a' is carried twice"),
        ('tensor = "b"', 'tensor = "a"', "'a' is not computed from 'a'"),
        ('tensor = "a"', 'tensor = "CHOOSE"', "input stream 's': choose a tensor, one of input, a, b"),
        ("lanes = 2", "lanes = 4", "input stream 's': port 's_tdata' has 16 bits, expected 32"),
        ('prefix = "r"', 'prefix = "q"', "input stream 'q': the design has neither q_tdata nor q_data"),
        (
            'prefix = "r"',
            'signals = { data = "r_tdata", valid = "r_tvalid", last = "r_tlast" }',
            "input streams: 's_tdata' has a ready and 'r_tdata' has none: how far the one may run ahead",
        ),
        (
            'prefix = "m"',
            'signals = { data = "m_tdata", last = "m_tlast" }\nlatency = 2',
            "output stream: it has a latency, behind the first beat of which of 2 inputs",
        ),
    ],
)
def test_what_does_not_fit_names_the_stream(tmp_path: Path, old: str, new: str, words: str) -> None:
    """Each by the prefix or data of its ports."""
    assert old in JOIN_TOML
    path = joined(tmp_path / "d", text=JOIN_TOML.replace(old, new))
    problems = "\n".join(check(path, SUM).problems)
    assert words in problems, problems


def test_first_description_of_two_streams_is_right_but_for_what_must_be_chosen(tmp_path: Path) -> None:
    """Both operands in the order of the ports, and the node that has them; without a model they are left to choose."""
    path = joined(tmp_path / "d")
    text = propose("join2", (path.parent / "join2.v",), path.parent, (), SUM)
    assert 'tensor = "a"  # by the order of the ports: look which operand it is; b of a and input' in text
    assert "[[tap]]" not in text
    # The file of faults is none of the model's arrays.
    path.write_text('files = ["fault.hex"]\n' + text.replace('[[memory]]\nfile = "fault.hex"\ntensor = "CHOOSE"', ""))
    found = check(path, SUM)
    assert (found.problems, [line.lanes for line in found.streams]) == ((), [2, 1, 1])
    # A stream that has the name of an operand carries it, wherever its ports stand.
    named = (path.parent / "join2.v").read_text().replace("r_t", "a_t")
    (path.parent / "join2.v").write_text(named)
    text = propose("join2", (path.parent / "join2.v",), path.parent, (), SUM)
    assert text.index('tensor = "a"  # by name') < text.index('prefix = "a"') < text.index('tensor = "input"')
    bare = propose("join2", (path.parent / "join2.v",), path.parent, (), None)
    assert bare.count('tensor = "CHOOSE"') >= 3


def test_proof_of_streams_in_step_is_refused(tmp_path: Path) -> None:
    """A ready of each is what a proof needs."""
    path = written(tmp_path / "d", "step", STEP, STEP_TOML)
    with pytest.raises(ToolError, match="2 input streams without a ready: their beats must come in the same cycles"):
        provable_of(bind(path, SUM), SUM, 100)


@pytest.mark.slow
@pytest.mark.thorough  # what `fxsim prove` shows of one input stream already
def test_adder_of_two_streams_is_proved_under_stalls_and_a_late_operand_is_not(tmp_path: Path) -> None:
    """Each stream's values are symbols of its own tensor, in its own lanes."""
    right = ask(SUM, joined(tmp_path / "right"), schedule="random:3", images=2)
    assert (right.status, right.stopped, right.findings) == (PROVED, "", ())
    assert [(tap.stream, tap.values, tap.proved) for tap in right.taps] == [("m_tdata", 36, 36)]
    late = ask(SUM, joined(tmp_path / "late", 2))
    assert late.status != PROVED
    assert late.findings[0].tap == "b"
