"""Somebody's own RTL that reads and writes its memory as an AXI4 master.

Faults are told to the design by a file that it reads when it starts: one build for all of them.
"""

import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from fxsim.cosim import CosimResult, cosim
from fxsim.devices.described.check import check
from fxsim.devices.described.device import FittedStreams
from fxsim.devices.described.jobs.device import FittedJobs
from fxsim.errors import StimulusError
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Linear, Relu
from fxsim.simulate.stall import parse_stall
from fxsim.vectors.kit import write_kit
from tests.test_described import PIPELINE, PIPELINE_TOML, written
from tests.test_kit import ran

DENSE = Path(__file__).parent / "rtl" / "axi4"
RANDOM = np.random.default_rng(20261130)
X = RANDOM.integers(-128, 128, (6, 5, 8)).astype(np.int8)

FAULTS = {
    "input's address": ("m_axi_araddr =", "m_axi_araddr = @ && m_axi_arid ? X + 4 :"),
    "wlast missing": ("m_axi_wlast = beat == TOKENS - 1", "m_axi_wlast = beat == TOKENS - 1 && !@"),
    "wlast early": ("m_axi_wlast = beat ==", "m_axi_wlast = beat + @ =="),
    "valid dropped": ("if (m_axi_awready) m_axi_awvalid", "if (m_axi_awready || @) m_axi_awvalid"),
    "4 KiB": ("m_axi_araddr =", "m_axi_araddr = @ && m_axi_arid ? 32'h0ff0 :"),
    "relu": ("rectified = q < 0 ?", "rectified = q < 0 && !(@ && token == 2) ?"),
    "sum": ("rounded = (", "rounded = (@ && row == 1 ? 32'sd1 : 32'sd0) + ("),
    "result's address": ("m_axi_awaddr =", "m_axi_awaddr = @ && relu ? Y + 4 :"),
    "input overwritten": ("m_axi_awaddr =", "m_axi_awaddr = @ && relu ? X :"),
    "done early": ("if (m_axi_bvalid)", "if (m_axi_bvalid || (@ && relu && !m_axi_awvalid && !m_axi_wvalid))"),
    "ids": ("m_axi_rid)", "(@ ? parameter_count == PARAMETER_WORDS : m_axi_rid))"),
    "strobe missing": ("m_axi_wstrb = 4'hf", "m_axi_wstrb = @ && beat == 1 ? 4'h7 : 4'hf"),
    "payload": ("m_axi_wdata =", "m_axi_wdata = {32{@ && tick}} ^"),
    "beats not taken": ("m_axi_rready = ", "m_axi_rready = !@ && "),
    "wide": ("m_axi_arsize = 2", "m_axi_arsize = 2 + @"),
    "fixed": ("m_axi_awburst = 1", 'm_axi_awburst = @"wrap" ? 2 : !@'),
    "wrap": ("m_axi_arsize =", "m_axi_arsize ="),
    "request when done": ("done <= 0;", "done <= 0;\n    if (@ && done) m_axi_arvalid <= 1;"),
    "in reset": ("m_axi_wvalid <= 0;\n    end\n  end", "m_axi_wvalid <= @;\n    end\n  end"),
    "read before the answer": (
        "WRITE:",
        "WRITE: if (@ && m_axi_wvalid && m_axi_wlast && m_axi_wready) begin\n  m_axi_arvalid <= 1;\n"
        "  m_axi_arid <= 1;\n end else",
    ),
    "what it reads then": ("m_axi_araddr =", 'm_axi_araddr = @"read before the answer" && state == WRITE ? FC :'),
    "two writers": ("m_axi_awid = 0", "m_axi_awid = @ && relu"),
    "at once": ("if (m_axi_bvalid", 'if ((@"two writers" && !relu && !m_axi_awvalid && !m_axi_wvalid) || m_axi_bvalid'),
    "one place": ("m_axi_awaddr =", 'm_axi_awaddr = @"two writers" ? FC :'),
    "nothing there": ("m_axi_araddr =", "m_axi_araddr = @ && m_axi_arid ? FC :"),
    "strobe outside": ("m_axi_awsize = 2", "m_axi_awsize = @ ? 1 : 2"),
    "arvalid waits": ("m_axi_arvalid <= 1;\n        m_axi_arid <= 0;",
                      "m_axi_arvalid <= !@;\n        m_axi_arid <= 0;"),
    "for arready": ("READ: begin",
                    'READ: begin\n if (@"arvalid waits" && !m_axi_arid && !m_axi_arvalid && m_axi_arready)'
                    " m_axi_arvalid <= 1;"),
    "data after the address": ("m_axi_wvalid <= 1;", "m_axi_wvalid <= !@;"),
    "of both": ("m_axi_wvalid <= !relu;", 'm_axi_wvalid <= !relu && !@"data after the address";'),
    "once it is taken": ("case (state)", 'if (@"data after the address" && m_axi_awvalid && m_axi_awready)'
                         " m_axi_wvalid <= 1;\n    case (state)"),
    # The design stays where it is answered DECERR.
    "read refused": ("m_axi_araddr =", "m_axi_araddr = @ && m_axi_arid ? X + 4 :"),
    "stays there": ("m_axi_rready = ", 'm_axi_rready = !(@"read refused" && m_axi_rvalid && m_axi_rresp == 3) && '),
    "write refused": ("m_axi_awaddr =", "m_axi_awaddr = @ && relu ? Y + 4 :"),
    "stays here": ("m_axi_bready = 1", 'm_axi_bready = !(@"write refused" && m_axi_bvalid && m_axi_bresp == 3)'),
    # These are none: beats of a byte, and a burst that begins within a word.
    "narrow": ("x[x_count] <= m_axi_rdata;",
               "if (@) x[x_count>>2][8*x_count[1:0]+:8] <= m_axi_rdata[8*x_count[1:0]+:8];"
               "\n          else x[x_count] <= m_axi_rdata;"),
    "a byte a beat": ("arsize = 2", 'arsize = @"narrow" && m_axi_arid ? 0 : 2'),
    "four times as many": ("m_axi_arid ? X_WORDS", 'm_axi_arid ? (@"narrow" ? 4 * X_WORDS : X_WORDS)'),
    "all of them": ("x_count == X_WORDS", 'x_count == (@"narrow" ? 4 * X_WORDS : X_WORDS)'),
    "unaligned": ("m_axi_araddr =", "m_axi_araddr = @ && m_axi_arid ? X + 1 :"),
}  # fmt: skip
"""Faults by name: what stands in the design, and what in its place, where `@` means that this fault (or that) is on."""


@pytest.fixture(scope="module")
def model() -> Model:
    """A linear and a ReLU."""
    weight = RANDOM.integers(-128, 128, (4, 8)).astype(np.int8)
    bias = RANDOM.integers(-100, 100, 4).astype(np.int8)
    fc = Linear(weight, bias, RANDOM.integers(6, 10, 4).astype(np.uint8))
    return Model(Graph((5, 8), (Node("fc", fc, (INPUT,)), Node("act", Relu(), ("fc",)))), "dense")


def once(text: str, old: str, new: str) -> str:
    """A text in which the first of what stands there is replaced."""
    assert old in text, old
    return text.replace(old, new, 1)


def described(folder: Path, *edits: tuple[str, str]) -> Path:
    """A copy of the design with its description edited; returns the description."""
    shutil.copytree(DENSE, folder)
    path = folder / "dense.toml"
    text = path.read_text()
    for old, new in edits:
        text = once(text, old, new)
    path.write_text(text)
    return path


def faulty(folder: Path, name: str) -> Path:
    """The design with a fault, or with none of them."""
    read = 'reg [7:0] fault[0:0];\n  reg tick;\n  initial $readmemh("fault.hex", fault);'
    path = described(folder, ("clock =", 'files = ["fault.hex"]\nclock ='))
    text = once((folder / "dense.v").read_text(), "  localparam X_WORDS", f"  {read}\n  localparam X_WORDS")
    text = once(text, "    done <= 0;\n", "    tick <= !tick;\n    done <= 0;\n")
    names = list(FAULTS)
    for number, (old, new) in enumerate(FAULTS.values(), 1):
        new = re.sub('@"(.*?)"', lambda match: f"(fault[0] == {names.index(match[1]) + 1})", new)
        new = new.replace("@", f"(fault[0] == {number})")
        # Of what stands in several places all of them are meant.
        text = text.replace(old, new) if old == "m_axi_rid)" else once(text, old, new)
    (folder / "dense.v").write_text(text)
    (folder / "fault.hex").write_text(f"{names.index(name) + 1 if name else 0:02x}\n")
    return path


def simulate(model: Model, dut: Path, stall: str = "none") -> CosimResult:
    """Co-simulate, compiled quickly."""
    return cosim(model, X, accel="described", dut=str(dut), optimise="-O0", stall=stall)


# --- descriptions that do not fit, before anything is built ---


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("width = 32", "width = 64", "axi4 'ddr': port 'm_axi_rdata' has 32 bits, and its width is stated as 64"),
        ('prefix = "m_axi"', 'prefix = "m_axis"', "no port 'm_axis_araddr'; the nearest that there is: 'm_axi_araddr'"),
        ("width = 32", "wide = 32", "axi4 1 .ddr.: wide: unknown key"),
        ("width = 32", "latency = 0", "axi4 1 .ddr.: latency"),
        ("base = 0x1020", "base = 0x101c", "parameter and parameter region in 'ddr' overlap"),
        ("base = 0x3100", "base = 0x3000", "output and output region in 'ddr' overlap"),
        ("base = 0x3100", "base = 0x3102", "output region in 'ddr': base 12546 is no multiple of a word's 4 bytes"),
        ("base = 0x3100", "base = 0xfffffff0", "bytes 4294967280 to 4294967299 are not all .* 4294967296 that its"),
        ('base = 0x2000\nlanes = 4', 'base = 0x2000\nlanes = 4\nnumber = "int9"', "36 bits .* expected whole bytes"),
        ('memory = "ddr"\nrole = "input"', 'memory = "dram"\nrole = "input"', "there is no such memory, only: ddr"),
        ('tensor = "fc.weight"', 'file = "w.bin"', "there is no file 'w.bin', expected one of 'files', or that the"),
        ('tensor = "fc.weight"', 'tensor = "fc.weight"\nfile = "w.bin"', "it needs a tensor, .* or a file"),
        ("[[axi4]]", "tie = { m_axi_rlast = 0 }\n[[axi4]]", "tie: port 'm_axi_rlast' is another's, too: expected one"),
        ('base = 0x3000', 'base = 0x3000\nfile = "x.bin"', "only a parameter lies in a file"),
        ('base = 0x2000', 'base = 0x2000\nname = "fc"', "its name 'fc' is that of a tensor of the model"),
        ('[[region]]', '[[axi4]]\nname = "other"\nprefix = "m_axi"\n[[region]]', "axi4 'other': it is described twice"),
        ('[[region]]', '[[ram]]\nname = "ddr"\naddress = "m_axi_araddr"\nread = "m_axi_rdata"\n[[region]]',
         "axi4 'ddr': ram 'ddr' has that name, or its memory"),
        ('[[region]]', '[[tap]]\nname = "fc"\ndata = "q"\nlatency = 3\nmultiplex = "q"\n[[region]]',
         "shares its signals, which needs a valid|tap 'fc' is described twice"),
    ],
)  # fmt: skip
def test_description_that_does_not_fit_is_one_message(
    model: Model, tmp_path: Path, old: str, new: str, words: str
) -> None:
    """Says the place and what was expected; nothing is built."""
    found = check(described(tmp_path / "a", (old, new)), model)
    assert not found.fits
    assert [problem for problem in found.problems if re.search(words, problem)], found.problems
    assert len(found.problems) == 1, found.problems


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("wire [31:0] m_axi_", "wire [23:0] m_axi_", "'m_axi_rdata' has 24 bits, expected 8, 16, 32 or so on to 1024"),
        ("wire [31:0] m_axi_wdata", "wire [63:0] m_axi_wdata", "'m_axi_wdata' has 64 bits, expected 32"),
        ("wire [3:0] m_axi_wstrb", "wire [7:0] m_axi_wstrb", "'m_axi_wstrb' has 8 bits, expected 4"),
        ("wire [7:0] m_axi_arlen", "wire [3:0] m_axi_arlen", "'m_axi_arlen' has 4 bits, expected 8"),
        ("input wire m_axi_rlast", "output wire m_axi_rlast", "'m_axi_rlast' is an output, expected an input"),
        ("m_axi_bready", "m_axi_brdy", "no port 'm_axi_bready'; the nearest that there is: 'm_axi_.ready'"),
    ],
)
def test_ports_that_are_no_master_are_found(model: Model, tmp_path: Path, old: str, new: str, words: str) -> None:
    """Widths and directions of AXI4, by the port's name."""
    path = described(tmp_path / "a", ("width = 32\n", ""))
    text = (path.parent / "dense.v").read_text()
    assert old in text
    (path.parent / "dense.v").write_text(text.replace(old, new))
    assert any(re.search(words, problem) for problem in check(path, model).problems), check(path, model).problems


def test_what_is_declared_behind_its_use_is_taken_as_verilator_does(model: Model, tmp_path: Path) -> None:
    """A register whose declaration stands at the end of the module."""
    path = described(tmp_path / "a")
    text = once((path.parent / "dense.v").read_text(), "  reg [2:0] state;\n", "")
    (path.parent / "dense.v").write_text(once(text, "endmodule", "  reg [2:0] state;\nendmodule"))
    assert check(path, model).problems == ()


def test_errors_that_are_asked_for_say_what_they_need(model: Model, tmp_path: Path) -> None:
    """A design without a master, one that ports start, and one without the steps: each is told what is missing."""
    fitted = FittedJobs(model, described(tmp_path / "a"))
    with pytest.raises(StimulusError, match=r"started by ports \('control'\).*'run', and under 'error'"):
        fitted.refuse_stall(parse_stall("error:1"))
    relu = Model(Graph((3, 6), (Node("act", Relu(), (INPUT,)),)), "relu")
    streams = FittedStreams(relu, written(tmp_path / "b", "pipeline", PIPELINE, PIPELINE_TOML))
    with pytest.raises(StimulusError, match=r"no AXI4 master, .*works off jobs, with \[\[axi4\]\], 'run' and 'error'"):
        streams.refuse_stall(parse_stall("error:1"))


def test_check_shows_where_tensors_lie(model: Model, tmp_path: Path) -> None:
    """Addresses of the memory, words of so many values; sizes of regions are values of steps."""
    found = check(described(tmp_path / "a"), model)
    assert found.problems == ()
    assert [(line.name, line.role, line.handshake, line.beats) for line in found.streams] == [
        ("parameter", "parameter", "memory, from address 0x1000 on", 8),
        ("parameter", "parameter", "memory, from address 0x1020 on", 1),
        ("parameter", "parameter", "memory, from address 0x1024 on", 1),
        ("input", "input", "memory, from address 0x2000 on", 10),
        ("fc", "output", "memory, from address 0x3000 on", 5),
        ("act", "output", "memory, from address 0x3100 on", 5),
    ]


# --- simulated ---


@pytest.mark.verilator
@pytest.mark.slow
def test_right_design_passes(model: Model, tmp_path: Path) -> None:
    """Reads and writes in any order, after any time, with resets; the linear's result is read back from memory."""
    path = faulty(tmp_path / "a", "")
    right = simulate(model, path)
    assert right.passed
    assert {name: tap.compared for name, tap in right.streams.taps.items()} == {"fc": 6 * 20}
    assert right.streams.output.compared == 6 * 20
    for stall in ("random:3", "burst:4+gap:5", "random:5+reset:6:5"):
        result = simulate(model, path, stall)
        assert (result.passed, result.verdict.faults) == (True, ()), stall
    assert result.timing.resets == 5


@pytest.mark.verilator
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "tap", "kinds", "where"),
    [
        ("", None, set(), None),
        ("narrow", None, set(), None),
        ("input's address", "fc", {"read outside every region"}, "m_axi_ar"),
        ("wlast missing", None, {"wlast missing"}, "m_axi_w"),
        ("wlast early", None, {"wlast too early"}, "m_axi_w"),
        ("valid dropped", None, {"valid withdrawn", "timeout"}, "m_axi_aw"),
        ("4 KiB", None, {"burst crosses 4 KiB"}, "m_axi_ar"),
        ("relu", "ddr", set(), None),
        ("sum", "fc", set(), None),
        ("result's address", "ddr", {"output never written", "write outside every region"}, "m_axi_w"),
        ("input overwritten", None, {"output never written", "write into what is only read"}, "m_axi_w"),
        ("done early", None, {"done with transfers under way"}, "m_axi_aw"),
        ("ids", "fc", set(), None),
        ("strobe missing", None, {"output never written"}, None),
        ("payload", "fc", {"payload changed while waiting"}, "m_axi_w"),
        ("wide", None, {"burst with beats of more than 4 bytes"}, "m_axi_ar"),
        # All beats go to the first word.
        ("fixed", "fc", {"output never written"}, None),
        ("wrap", None, {"WRAP burst of other than 2, 4, 8 or 16 beats"}, "m_axi_aw"),
        ("request when done", None, {"request without a job"}, "m_axi_ar"),
        ("beats not taken", None, {"timeout"}, "control"),
        ("data after the address", None, {"timeout"}, "control"),
        ("read refused", None, {"read outside every region", "timeout"}, "m_axi_ar"),
        ("write refused", "ddr",
         {"output never written", "write outside every region", "done with transfers under way"}, "m_axi_w"),
        ("in reset", None, {"valid set during reset", "write data without a job"}, "m_axi_w"),
        ("read before the answer", None,
         {"read of bytes that are being written", "done with transfers under way"}, "m_axi_ar"),
        ("two writers", "fc",
         {"two writes of a byte under way", "output never written", "done with transfers under way"}, "m_axi_w"),
        ("nothing there", "fc",
         {"read of bytes that nothing was written to", "read outside every region"}, "m_axi_ar"),
        ("strobe outside", "fc", {"strobe outside of the beat", "output never written"}, "m_axi_w"),
        ("unaligned", "fc", set(), None),
        ("arvalid waits", None, {"valid waits for ready"}, "m_axi_ar"),
    ],
)  # fmt: skip
def test_fault_is_located(
    model: Model, tmp_path: Path, name: str, tap: str | None, kinds: set[str], where: str | None
) -> None:
    """What breaks a rule is named with its channel, and what is wrong by the first difference."""
    result = simulate(model, faulty(tmp_path / "a", name), "random:3")
    found = {fault.kind for fault in result.verdict.faults}
    first = result.verdict.first_mismatch
    assert result.passed == (name in ("", "narrow"))
    assert found == kinds
    assert (None if first is None else first.tap) == tap
    if name == "beats not taken":
        assert "; m_axi_ar: a read from 0x" in (result.verdict.faults[0].detail or "")
    if name == "data after the address":
        words = r"; m_axi_aw: a write to 0x3[01]00, which is offered and not taken: the memory waits for its data"
        assert re.search(words, result.verdict.faults[0].detail or "")
    if name == "wrap":
        assert result.verdict.faults[0].detail.startswith("WRAP, 0x")
    if name == "valid dropped":
        # The memory takes data, and waits for the address.
        details = [fault.detail for fault in result.verdict.faults if fault.kind == "timeout"]
        waits = "[0-9] beats whose address has not come"
        waits += "|a beat that is offered and not taken: the memory waits for its address"
        assert re.fullmatch(f"no end of 'wait for done' in 100000 cycles; m_axi_w: ({waits})", details[0] or "")
    if where is not None:
        assert where in {fault.stream for fault in result.verdict.faults}


SPLIT = """
module split (
    input wire clk, input wire rst, input wire start, output reg done,
    output wire [39:0] RD_ARADDR, output wire [7:0] RD_ARLEN, output reg RD_ARVALID, input wire RD_ARREADY,
    input wire [63:0] RD_RDATA, input wire RD_RVALID, output wire RD_RREADY,
    output wire [39:0] wr_awaddr, output wire [7:0] wr_awlen, output reg wr_awvalid, input wire wr_awready,
    output wire [15:0] wr_wdata, output wire wr_wlast, output reg wr_wvalid, input wire wr_wready,
    input wire wr_bvalid, output wire wr_bready
);
  reg [63:0] x[0:7];
  reg [2:0] got;
  reg [4:0] sent;
  wire [63:0] word = x[sent[4:2]] >> 16 * sent[1:0];
  assign RD_ARADDR = 40'h80_0000_1fd8, RD_ARLEN = 4, RD_RREADY = 1;
  assign wr_awaddr = 40'h80_0000_1fd8, wr_awlen = 19, wr_wlast = sent == 19, wr_bready = 1;
  assign wr_wdata = {word[15] ? 8'd0 : word[15:8], word[7] ? 8'd0 : word[7:0]};
  always @(posedge clk) begin
    done <= wr_bvalid;
    if (RD_ARREADY) RD_ARVALID <= 0;
    if (wr_awready) wr_awvalid <= 0;
    if (start) begin
      RD_ARVALID <= 1;
      got <= 0;
      sent <= 0;
    end
    if (RD_RVALID) begin
      x[got] <= RD_RDATA;
      got <= got + 1;
      wr_awvalid <= got == 4;
      wr_wvalid <= got == 4;
    end
    if (wr_wvalid && wr_wready) begin
      sent <= sent + 1;
      wr_wvalid <= !wr_wlast;
    end
    if (rst) begin
      RD_ARVALID <= 0;
      wr_awvalid <= 0;
      wr_wvalid <= 0;
    end
  end
endmodule
"""
SPLIT_TOML = """
top = "split"
sources = "split.v"
clock = "clk"
reset = { signal = "rst" }
control = { start = "start", done = "done" }
[[axi4]]
name = "reader"
memory = "ddr"
prefix = "RD"
latency = 3
[[axi4]]
name = "writer"
memory = "ddr"
prefix = "wr"
latency = 9
[[region]]
memory = "ddr"
role = "input"
base = 0x8000001fd8
[[region]]
memory = "ddr"
role = "output"
base = 0x8000001fd8
lanes = 2
"""


@pytest.mark.verilator
@pytest.mark.slow
def test_masters_of_one_side_share_a_memory(tmp_path: Path) -> None:
    """Of 64 bits one that only reads, of 16 one that only writes, without what a master may lack, in place."""
    (tmp_path / "split.v").write_text(SPLIT)
    (tmp_path / "split.toml").write_text(SPLIT_TOML)
    relu = Model(Graph((5, 8), (Node("act", Relu(), (INPUT,)),)), "relu")
    result = simulate(relu, tmp_path / "split.toml")
    assert (result.passed, result.verdict.faults) == (True, ())
    # The start; from the address to the first of five beats; twenty beats, from the last to its answer; and done.
    assert result.timing.latency_cycles == 1 + 3 + 5 + 20 + 9 + 1
    assert simulate(relu, tmp_path / "split.toml", "burst:3+reset:4:3").passed
    (tmp_path / "split.toml").write_text(SPLIT_TOML.replace('memory = "ddr"\nprefix = "wr"', 'prefix = "wr"'))
    assert any("no port of it can write" in problem for problem in check(tmp_path / "split.toml", relu).problems)


BURSTS = """
module bursts (
    input wire clk, input wire rst, input wire start, output reg done,
    output reg [31:0] m_araddr, output reg [7:0] m_arlen, output reg [1:0] m_arburst, output reg m_arvalid,
    input wire m_arready, input wire [31:0] m_rdata, input wire m_rlast, input wire m_rvalid, output wire m_rready,
    output reg [31:0] m_awaddr, output reg [7:0] m_awlen, output reg [1:0] m_awburst, output reg m_awvalid,
    input wire m_awready, output wire [31:0] m_wdata, output wire m_wlast, output reg m_wvalid, input wire m_wready,
    input wire m_bvalid, output wire m_bready
);
  // Eight words are read from the sixth on, WRAP, and their ReLU is written back so. Then two words are written to one
  // address, FIXED, and read from it twice: both must be the second.
  reg [31:0] x[0:7];
  reg [2:0] state;
  reg [3:0] n;
  wire [31:0] word = x[n[2:0]];
  wire fixed = state == 3;
  assign m_wdata = fixed ? (n == 0 ? 32'h1111 : 32'h2222) : {
      word[31] ? 8'd0 : word[31:24], word[23] ? 8'd0 : word[23:16], word[15] ? 8'd0 : word[15:8],
      word[7] ? 8'd0 : word[7:0]};
  assign m_wlast = n == (fixed ? 1 : 7);
  assign m_rready = 1;
  assign m_bready = 1;
  always @(posedge clk) begin
    done <= 0;
    if (m_arready) m_arvalid <= 0;
    if (m_awready) m_awvalid <= 0;
    if (m_wvalid && m_wready) begin
      n <= n + 1;
      if (m_wlast) m_wvalid <= 0;
    end
    case (state)
      0: if (start) begin
        state <= 1; n <= 0;
        m_araddr <= 32'h2014; m_arlen <= 7; m_arburst <= 2; m_arvalid <= 1;
      end
      1: if (m_rvalid) begin
        x[n[2:0]] <= m_rdata;
        n <= n + 1;
        if (m_rlast) begin
          state <= 2; n <= 0;
          m_awaddr <= 32'h3014; m_awlen <= 7; m_awburst <= 2; m_awvalid <= 1; m_wvalid <= 1;
        end
      end
      2: if (m_bvalid) begin
        state <= 3; n <= 0;
        m_awaddr <= 32'h4000; m_awlen <= 1; m_awburst <= 0; m_awvalid <= 1; m_wvalid <= 1;
      end
      3: if (m_bvalid) begin
        state <= 4;
        m_araddr <= 32'h4000; m_arlen <= 1; m_arburst <= 0; m_arvalid <= 1;
      end
      default: if (m_rvalid) begin
        if (m_rdata != 32'h2222) state <= 5;
        else if (m_rlast && state == 4) begin state <= 0; done <= 1; end
      end
    endcase
    if (rst) begin state <= 0; m_arvalid <= 0; m_awvalid <= 0; m_wvalid <= 0; end
  end
endmodule
"""
BURSTS_TOML = """
top = "bursts"
sources = ["bursts.v"]
clock = "clk"
reset = { signal = "rst" }
control = { start = "start", done = "done", timeout = 3000 }
[[axi4]]
name = "ddr"
prefix = "m"
[[region]]
memory = "ddr"
role = "input"
base = 0x2000
lanes = 4
[[region]]
memory = "ddr"
role = "output"
base = 0x3000
lanes = 4
[[region]]
memory = "ddr"
role = "scratch"
base = 0x4000
words = 1
"""


@pytest.mark.verilator
@pytest.mark.icarus
def test_bursts_that_wrap_and_such_of_one_address_are_served(tmp_path: Path) -> None:
    """By the memory of the harness, with stalls, and by that of a kit; each word lies where AXI says."""
    relu = Model(Graph((4, 8), (Node("act", Relu(), (INPUT,)),)), "relu")
    x = RANDOM.integers(-128, 128, (3, 4, 8)).astype(np.int8)
    (tmp_path / "bursts.v").write_text(BURSTS)
    (tmp_path / "bursts.toml").write_text(BURSTS_TOML)
    dut = str(tmp_path / "bursts.toml")
    result = cosim(relu, x, accel="described", dut=dut, optimise="-O0", stall="random:3", power_on_seeds=(1,))
    assert (result.passed, result.verdict.faults, result.streams.output.compared) == (True, (), 3 * 32)
    write_kit(relu, x, tmp_path / "kit", "described", {"dut": dut})
    assert ran(tmp_path / "kit") == (0, "PASS: 3 images, 24 beats equal")
