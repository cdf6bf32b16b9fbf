"""Kits and four states of designs that work off jobs: right in Icarus Verilog, and every fault is found."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from fxsim.contract import TableRule
from fxsim.cosim import CosimRequest
from fxsim.cosim.four_state import FourStateResult, four_state
from fxsim.cosim.nodes import run_nodes
from fxsim.devices.described.check import check
from fxsim.errors import StimulusError
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Affine, Relu
from fxsim.vectors.kit import write_kit
from tests.test_described_axi4 import FAULTS, described, faulty
from tests.test_described_axi4 import X as AXI4_X
from tests.test_described_axi4 import model as dense
from tests.test_described_jobs import X, inside, swap
from tests.test_described_jobs import design as jobs_design
from tests.test_described_jobs import model as two
from tests.test_described_jobs import single as one_output
from tests.test_kit import ran

__all__ = ["dense", "one_output", "two"]  # fixtures

pytestmark = [pytest.mark.icarus, pytest.mark.slow]

SLOW = 'done = "done", timeout = 2000'


def both(kit: Path) -> tuple[int, str]:
    """The status of a kit's script, and all that it printed."""
    done = subprocess.run([kit / "run.sh"], capture_output=True, text=True, check=False, timeout=300)
    return done.returncode, done.stdout


def tried(kit: Path, file: str, right: str, *edits: tuple[str, str]) -> str:
    """The verdict of a kit on Verilog that is edited, which is not to pass."""
    text = right
    for old, new in edits:
        assert old in text, old
        text = text.replace(old, new, 1)
    (kit / "rtl" / file).write_text(text)
    status, said = ran(kit)
    assert status == 1, (edits, said)
    return said


def test_kit_of_a_design_with_rams_finds_every_fault(two: Model, tmp_path: Path) -> None:
    """Right without and with resets; a value, X, a word too few, one outside, a surplus beat, stuck, `$error`."""
    path = jobs_design(tmp_path / "d", {"jobs.toml": swap('done = "done"', SLOW)})
    kit = tmp_path / "kit"
    write_kit(two, X[:3], kit, "described", {"dut": str(path)})
    status, said = both(kit)
    assert (status, said.count("\nPASS: 3 images, 81 beats equal\n")) == (0, 2), said
    right = (kit / "rtl" / "jobs.v").read_text()
    for edit, words in (
        (("q < 0 ? 8'sd0 : q", "q < 1 ? 8'sd1 : q"), "FAIL: image 0, tap act, beat "),
        (("32'sd1 <<< (shift - 1)", "32'sd0"), "FAIL: image 0, tap fc1, beat "),
        (("y_d <= {q, y_d[15:8]}", "y_d <= {q, 8'hxx}"), "FAIL: image 0, output, beat 0, lane 0: expected "),
        (("y_we <= row[0]", "y_we <= row[0] && token != 2"), "FAIL: image 0, output, beat 2, lane 0: expected "),
        (("y_we <= row[0]", "y_we <= row[0] || 1'bx"), "FAIL: image 0, ram y: its write enable is unknown"),
        (("y_addr <= token", "y_addr <= token + 1"), "FAIL: image 0, ram y: write outside every region, address 0x"),
        (("x_addr = token * INPUTS + column", "x_addr = 18"), "FAIL: image 0, ram x: read outside every region, add"),
        (("h_en = (state", "h_en = (1'bx && state"), "FAIL: image 0, ram h: its enable is unknown"),
        (("state == WRITE && !layer;", "state == WRITE;"), "FAIL: tap fc1: more than 12 beats came"),
        (("state == WRITE && !layer;", "state == WRITE && !layer && token != 1;"), "FAIL: image 0, tap fc1, beat 4"),
        (("if (start) begin", "if (0) begin"), "FAIL: image 0, no end of 'wait for done' in 2000 cycles"),
        (("done <= 1;", "done <= 1'bx;"), "FAIL: image 0, done is x (cycle "),
        (("busy = state != IDLE", "busy = 0"), "FAIL: image 0, busy never high in a job"),
        (("done <= 0;\n    y_we", "done <= busy && token == 1;\n    y_we"), "FAIL: "),
    ):
        verdict = tried(kit, "jobs.v", right, edit)
        assert verdict.startswith(words), (edit, verdict)
    assert tried(kit, "jobs.v", right, ("endmodule", 'initial $error("no");\nendmodule')).startswith("PASS")


def test_kit_finds_what_only_resets_show(two: Model, tmp_path: Path) -> None:
    """A state that only power-on sets: the run without resets passes, the one with resets does not."""
    path = jobs_design(tmp_path / "d", {"jobs.toml": swap('done = "done"', SLOW)})
    kit = tmp_path / "kit"
    write_kit(two, X[:3], kit, "described", {"dut": str(path)})
    verilog = kit / "rtl" / "jobs.v"
    text = verilog.read_text()
    assert "if (rst) begin\n      state <= IDLE;" in text
    verilog.write_text(
        text.replace("if (rst) begin\n      state <= IDLE;", "if (rst) begin").replace(
            "reg layer;", "reg layer;\n  initial #1 {state, layer} = 0;"
        )
    )
    status, said = both(kit)
    first, second = said.split("stalls in 40 of 100 cycles, 3 resets amid the images:\n")
    assert (status, "\nPASS" in first, "FAIL" in second) == (1, True, True), said


def test_kit_of_a_design_with_registers_carries_out_the_steps(two: Model, tmp_path: Path) -> None:
    """Writes, a read back, the interrupt and a poll; AXI4-Lite's rules; each fault names its step."""
    path = jobs_design(tmp_path / "d", {"registers.toml": swap('wait = "irq"', 'wait = "irq", timeout = 2000')},
                       "registers")  # fmt: skip
    path.write_text(path.read_text().replace("{ read = 0x08,", "{ read = 0x08, timeout = 300,"))
    kit = tmp_path / "kit"
    write_kit(two, X[:2], kit, "described", {"dut": str(path)})
    status, said = both(kit)
    assert (status, said.count("\nPASS: 2 images, 54 beats equal\n")) == (0, 3), said
    right = (kit / "rtl" / "registers.v").read_text()
    for edit, words in (
        (("tokens <= s_axi_wdata[7:0]", "tokens <= s_axi_wdata[7:1]"), "read of register 0x8 is 00000001, expected"),
        (("irq = done", "irq = 1'bx"), "irq is x (cycle "),
        (("irq = done", "irq = 0"), "no end of 'wait for irq' in 2000 cycles"),
        (("s_axi_bresp = 0", "s_axi_bresp = 2"), "write of register 0x8: it is not answered OKAY"),
        (("s_axi_awready = write", "s_axi_awready = 1'bz"), "awready is z (cycle "),
        (("== 4 ? {31'd0, done}", "== 12 ? {31'd0, done}"), "no end of 'poll of register 0x4' in 500 cycles"),
        (("== 4 ? {31'd0, done}", "== 4 ? {31'd0, 1'bx}"), "poll of register 0x4 is "),
    ):  # fmt: skip
        assert words in tried(kit, "registers.v", right, edit), edit
    # An answer that comes once somebody would take it: only a ready that waits shows it.
    late = right.replace("s_axi_rvalid <= 1;", "pend <= 1;", 1).replace(
        "!s_axi_rvalid && ready", "!pend && !s_axi_rvalid && ready"
    )
    late = late.replace(
        "if (s_axi_rready) s_axi_rvalid <= 0;",
        "if (s_axi_rready) s_axi_rvalid <= 0;\n    if (pend && s_axi_rready) {s_axi_rvalid, pend} <= 2'b10;\n"
        "    if (rst) pend <= 0;",
    )
    (kit / "rtl" / "registers.v").write_text(late.replace("  wire write =", "  reg pend;\n  wire write ="))
    status, said = both(kit)
    assert (status, said.count("\nPASS"), "read of register 0x8: valid waits for ready" in said) == (1, 2, True), said


def test_kit_of_an_axi4_master_serves_and_judges_its_memory(dense: Model, tmp_path: Path) -> None:
    """Two bursts at once, results and a tap in memory; addresses, counts, strobes and X are found."""
    path = described(tmp_path / "d", ('done = "done"', SLOW))
    kit = tmp_path / "kit"
    write_kit(dense, AXI4_X[:2], kit, "described", {"dut": str(path)})
    status, said = both(kit)
    assert (status, said.count("\nPASS: 2 images, 20 beats equal\n")) == (0, 3), said
    right = (kit / "rtl" / "dense.v").read_text()
    for edit, words in (
        (("rectified = q < 0 ?", "rectified = q < 1 ? 8'sd1 : q < 0 ?"), "image 0, output, beat "),
        (("m_axi_awlen = TOKENS - 1", "m_axi_awlen = TOKENS - 2"), "m_axi_w: wlast missing, address 0x"),
        (("m_axi_wlast = beat ==", "m_axi_wlast = beat + 1 =="), "m_axi_w: wlast too early"),
        (("m_axi_wstrb = 4'hf", "m_axi_wstrb = beat == 1 ? 4'h7 : 4'hf"), "image 0, tap fc, beat 1, lane 3: expected "),
        (("m_axi_wstrb = 4'hf", "m_axi_wstrb = 4'hx"), "m_axi_w: wstrb or wlast is unknown"),
        (("m_axi_awaddr = relu ? Y", "m_axi_awaddr = relu ? X"), "m_axi_w: write into what is only read"),
        (("m_axi_awaddr = relu ? Y", "m_axi_awaddr = relu ? Y + 4"), "m_axi_w: write outside every region"),
        (("m_axi_arid ? X :", "m_axi_arid ? 32'h0ff0 :"), "m_axi_ar: burst crosses 4 KiB"),
        (("m_axi_arid ? X :", "m_axi_arid ? FC :"), "m_axi_ar: read of bytes that nothing was written to"),
        (("m_axi_arid ? X :", "m_axi_arid ? 0 :"), "m_axi_ar: read outside every region, address 0x0000000000000000"),
        (("m_axi_rready = state", "m_axi_rready = 0 && state"), "no end of 'wait for done' in 2000 cycles"),
        (("m_axi_arsize = 2", "m_axi_arsize = 3"), "m_axi_ar: burst with beats wider than the data"),
        (("if (m_axi_bvalid)", "if (m_axi_bvalid || (relu && !m_axi_awvalid && !m_axi_wvalid))"),
         "done with transfers under way"),
    ):  # fmt: skip
        assert words in tried(kit, "dense.v", right, edit), edit


def test_kit_reaches_rams_inside_and_in_bytes(one_output: Model, tmp_path: Path) -> None:
    """Inputs are written, outputs read through the design's port; start and done are levels; a ROM has no clock."""
    path = inside(tmp_path / "d")
    write_kit(one_output, X[:3], tmp_path / "kit", "described", {"dut": str(path)})
    assert ran(tmp_path / "kit") == (0, "PASS: 3 images, 9 beats equal")
    right = (tmp_path / "kit" / "rtl" / "inside.v").read_text()
    said = tried(tmp_path / "kit", "inside.v", right, ("memory[32 + n / 6] <=", "if (n != 11) memory[32 + n / 6] <="))
    assert said.startswith("FAIL: image 0, output, beat 1, lane 0: expected ")
    assert "got xxxx" in said


ADDER = """
// A sum of two tensors in RAMs of their own, saturated to eight bits, two values a word.
module adder (
    input wire clk, input wire rst, input wire start, output reg done,
    output reg [3:0] at, output wire en, input wire [15:0] x, input wire [15:0] r,
    output reg [3:0] to, output reg we, output reg [15:0] y
);
  function [7:0] sum;
    input signed [7:0] a, b;
    reg signed [8:0] s;
    begin
      s = a + b;
      sum = s > 127 ? 8'd127 : s < -128 ? 8'h80 : s[7:0];
    end
  endfunction
  reg run, come;
  assign en = run;
  always @(posedge clk) begin
    done <= 0;
    we <= 0;
    come <= run;
    if (start) begin run <= 1; at <= 0; end
    if (run) begin at <= at + 1; run <= at != 8; end
    if (come) begin to <= at - 1; we <= 1; y <= {sum(x[15:8], r[15:8]), sum(x[7:0], r[7:0])}; done <= !run; end
    if (rst) begin run <= 0; come <= 0; end
  end
endmodule
"""
ADDER_TOML = """
top = "adder"
sources = ["adder.v"]
clock = "clk"
reset = { signal = "rst" }
control = { start = "start", done = "done", timeout = 2000 }
nodes = ["adder.toml"]
[[ram]]
name = "x"
address = "at"
enable = "en"
read = "x"
[[ram]]
name = "r"
address = "at"
enable = "en"
read = "r"
[[ram]]
name = "y"
address = "to"
write = "y"
write_enable = "we"
[[region]]
memory = "x"
role = "input"
tensor = "left"
lanes = 2
[[region]]
memory = "r"
role = "input"
tensor = "right"
lanes = 2
[[region]]
memory = "y"
role = "output"
tensor = "sum"
lanes = 2
"""


def test_node_of_two_operands_that_works_off_jobs(tmp_path: Path) -> None:
    """A part amid the model: operands in two RAMs of one address, its result no output; alone, as a kit, and wrong."""
    ones, zeros, shifts = np.ones(6, np.int8), np.zeros(6, np.int8), np.zeros(6, np.uint8)
    nodes = (
        Node("left", Affine(ones, zeros, shifts), (INPUT,)),
        Node("right", Affine(ones * 3, zeros, shifts), (INPUT,)),
        Node("sum", Add(), ("left", "right")),
        Node("last", Relu(), ("sum",)),
    )
    model, path = Model(Graph((3, 6), nodes), "sums"), tmp_path / "adder.toml"
    (tmp_path / "adder.v").write_text(ADDER)
    path.write_text(ADDER_TOML)
    found = check(path, model)
    assert (found.problems, [line.name for line in found.streams]) == ((), ["left", "right", "sum"])
    write_kit(model, X[:2], tmp_path / "kit", "described", {"dut": str(path)})
    assert ran(tmp_path / "kit") == (0, "PASS: 2 images, 18 beats equal")
    assert tried(tmp_path / "kit", "adder.v", ADDER, ("s > 127 ?", "s > 60 ?")).startswith("FAIL: image ")
    (tmp_path / "adder.v").write_text(ADDER.replace("s > 127 ?", "s > 60 ?"))
    result = run_nodes(CosimRequest(model, X[:2], "described", {"dut": str(path)}, power_on_seeds=(1,)))
    (node,) = result.nodes
    assert ((node.tap, node.part), node.compared, node.values) == (("sum", ("sum",)), 36, 36)
    assert result.missing == ("left", "right", "last")
    x = X[:2].astype(int)
    sums = x + np.clip(3 * x, -128, 127)
    assert (node.differ, node.passed) == (int(((sums > 60) & (sums < 127)).sum()), False)


def of(model: Model, dut: Path, x: np.ndarray, **options: object) -> FourStateResult:
    """A described design in four states, on two images."""
    settings = {"dut": str(dut)}
    return four_state(model, x, accel="described", settings=settings, images=(0, 2), engine="reference", **options)  # type: ignore[arg-type]


def test_jobs_in_four_states(two: Model, dense: Model, tmp_path: Path) -> None:
    """RAMs, registers and an AXI4 master: known and equal, with stalls and resets; a fault is the reason."""
    for n, (model, path, x, counts) in enumerate((
        (two, jobs_design(tmp_path / "a"), X, {"fc1": 24, "act": 24, "y": 12}),
        (two, jobs_design(tmp_path / "b", name="registers"), X, {"fc1": 24, "act": 24, "y": 12}),
        (dense, described(tmp_path / "c"), AXI4_X, {"fc": 40, "ddr": 40}),
    )):  # fmt: skip
        result = of(model, path, x)
        assert (result.passed, result.reason, result.unknown_values) == (True, None, 0), n
        assert {tap.tap: tap.compared for tap in result.runs[0].taps} == counts
        assert [(run.stall, run.resets) for run in result.runs] == [(0, 0), (40, 3)]
    for n, (old, new, words) in enumerate((
        ("q < 0 ? 8'sd0 : q", "q < 0 ? 8'hxx : q", "image 0, tap act, token "),
        ("y_we <= row[0]", "y_we <= row[0] && token != 2", "tap fc2 at y, token 2, channel 0: expected "),
        ("y_addr <= token", "y_addr <= token + 1", "ram y: write outside every region, address 0x0000000000000003 ("),
        ("state == WRITE && !layer;", "state == WRITE && (layer ? 1'bx : 1'b1);", "fc1_valid is X in cycle "),
    )):  # fmt: skip
        wrong = of(two, jobs_design(tmp_path / f"w{n}", {"jobs.v": swap(old, new)}), X, stalls=(0,))
        assert not wrong.passed
        assert words in str(wrong.reason), wrong.reason


def resmlp(channels: int) -> Model:
    """A ResMLP of one block with tables, random, of so many channels; its classes do not fill a word."""
    config = ResMLPConfig(4, 20, channels, 16, 1, 10, points=8, rule=TableRule.CLAMP)
    random = np.random.default_rng(7)
    parameters: dict[str, np.ndarray] = {}
    for name, shape in resmlp_parameters(config).items():
        low, high, kind = (4, 9, np.uint8) if name.endswith("shift") else (-128, 128, np.int8)
        parameters[name] = random.integers(low, high, shape).astype(kind)
    return Model(build_resmlp(config, parameters), "small")


def test_kit_of_the_simd_accelerator_judges_every_tap(tmp_path: Path) -> None:
    """Program, image and result in one memory, taps one after the other at the stages; a fault is found at its tap."""
    model, kit = resmlp(32), tmp_path / "kit"
    x = np.random.default_rng(8).integers(-128, 128, (1, 4, 20)).astype(np.int8)
    write_kit(model, x, kit, "simd")
    shutil.copyfile(kit / "sources.txt", kit / "kit.f")
    build = ["iverilog", "-g2012", "-s", "testbench", "-o", "kit.vvp", "parameters.v", "testbench.v", "-c", "kit.f"]

    def once(**parameters: int) -> str:
        words = [word for name, value in parameters.items() for word in ("-P", f"testbench.{name}={value}")]
        subprocess.run([*build[:4], *words, *build[4:]], cwd=kit, check=True)
        return subprocess.run(["vvp", "-n", "kit.vvp"], cwd=kit, check=True, capture_output=True, text=True).stdout

    beats = sum(int(np.prod(shape[:-1], dtype=int)) * -(-shape[-1] // 16) for shape in model.graph.shapes.values()) + 1
    beats -= 4 * 2  # the input's
    assert once() == f"PASS: 1 images, {beats} beats equal\n"
    verilog = kit / "rtl" / "lib" / "saturating_add.v"
    text = verilog.read_text()
    assert "assign y = fits ?" in text
    verilog.write_text(text.replace("assign y = fits ?", "assign y = 1 ?"))
    assert once().startswith("FAIL: image 0, tap blocks.0.token_mixer.add, beat ")


def test_kit_of_the_simd_accelerator_refuses_groups_that_are_not_full(tmp_path: Path) -> None:
    """A description has no last group of four channels; what serves instead is said."""
    x = np.zeros((1, 4, 20), np.int8)
    with pytest.raises(StimulusError, match=r"'embed' has 20 channels, expected at most 16 or .*'fxsim memory-image'"):
        write_kit(resmlp(20), x, tmp_path / "kit", "simd")
    assert not (tmp_path / "kit").exists()


def test_kit_looks_at_as_much_of_axi4_as_the_co_simulation(dense: Model, tmp_path: Path) -> None:
    """Faults are told by a file that the design reads; some show with stalls only, or with a ready that waits."""
    kit = tmp_path / "kit"
    path = faulty(tmp_path / "d", "")
    path.write_text(path.read_text().replace('done = "done"', SLOW))
    write_kit(dense, AXI4_X[:2], kit, "described", {"dut": str(path)})
    for fault, words in (
        ("narrow", "PASS: 2 images, 20 beats equal"),  # is none
        ("in reset", "m_axi_w: valid set during reset"),
        ("ids", "FAIL: "),  # answers come in another order
        ("read before the answer", "m_axi_ar: read of bytes that are being written"),
        ("two writers", "m_axi_w: two writes of a byte under way"),
        ("strobe outside", "m_axi_w: strobe outside of the beat"),
        ("arvalid waits", "m_axi_ar: valid waits for ready"),
    ):
        (kit / "fault.hex").write_text(f"{list(FAULTS).index(fault) + 1:02x}\n")
        status, said = both(kit)
        right = words.startswith("PASS")
        assert (status, words in said, said.count("\nPASS") == 3) == (not right, True, right), (fault, said)
    # A payload that changes in the second cycle in which it waits: without stalls nothing waits.
    (kit / "fault.hex").write_text("00\n")
    verilog = kit / "rtl" / "dense.v"
    text = verilog.read_text().replace("m_axi_wdata =", "m_axi_wdata = {32{late}} ^", 1)
    late = "  reg late;\n  always @(posedge clk) late <= m_axi_wvalid && !m_axi_wready;\n"
    verilog.write_text(text.replace("  localparam X_WORDS", f"{late}  localparam X_WORDS", 1))
    status, said = both(kit)
    assert (status, said.count("\nPASS"), "m_axi_w: payload changed while waiting" in said) == (1, 1, True), said
