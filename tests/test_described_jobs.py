"""Somebody's own RTL that works off jobs: started by a pulse, its input and output in memories."""

import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxsim.cosim import CosimResult, cosim
from fxsim.devices.described.check import check
from fxsim.errors import FxsimError, StimulusError
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Linear, Relu

JOBS = Path(__file__).parent / "rtl" / "jobs"
RANDOM = np.random.default_rng(20261129)
X = RANDOM.integers(-128, 128, (8, 3, 6)).astype(np.int8)

Edit = Callable[[str], str]


@pytest.fixture(scope="module")
def model() -> Model:
    """Two linears with a ReLU between them."""

    def linear(outputs: int, inputs: int) -> Linear:
        weight = RANDOM.integers(-128, 128, (outputs, inputs)).astype(np.int8)
        bias = RANDOM.integers(-100, 100, outputs).astype(np.int8)
        return Linear(weight, bias, RANDOM.integers(6, 10, outputs).astype(np.uint8))

    nodes = (Node("fc1", linear(4, 6), (INPUT,)), Node("act", Relu(), ("fc1",)), Node("fc2", linear(2, 4), ("act",)))
    return Model(Graph((3, 6), nodes), "two")


def swap(old: str, new: str) -> Edit:
    """An edit of a text that stands somewhere."""
    return lambda text: re.sub(re.escape(old), lambda _: new, text, count=1)


def design(folder: Path, edits: dict[str, Edit] | None = None, name: str = "jobs") -> Path:
    """A copy of the design in a new folder, files edited; returns its description."""
    shutil.copytree(JOBS, folder)
    for file, edit in (edits or {}).items():
        before = (folder / file).read_text()
        after = edit(before)
        assert after != before
        (folder / file).write_text(after)
    return folder / f"{name}.toml"


def simulate(model: Model, dut: Path, x: np.ndarray = X, **options: object) -> CosimResult:
    """Co-simulate a described design, compiled quickly."""
    return cosim(model, x, accel="described", dut=str(dut), optimise="-O0", **options)


# --- descriptions that do not fit, before anything is built ---


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('start = "start"', 'start = "go"', "control, start: the design has no port 'go'"),
        ('done = "done"', 'done = "rst"', "control, done: port 'rst' is an input, expected an output"),
        ('done = "done"', 'done = "y_addr"', "port 'y_addr' has 8 bits, expected 1"),
        ('busy = "busy"', 'idle = "busy"', "idle"),
        ('address = "x_addr"', 'address = "x_adr"', "no port 'x_adr'; the nearest that there is: 'x_addr'"),
        ('read = "x_q"', 'read = "h_d"', "ram 'x', read: port 'h_d' is an output, expected an input"),
        ('enable = "x_en"\nread = "x_q"', 'enable = "x_en"', "ram 'x' needs read or write data"),
        ('write_enable = "h_we"', "", "ram 'h' needs both write and write_enable"),
        ('write_enable = "y_we"', 'write_enable = "h_d"', "'h_d' has 8 bits, expected 1, or one a byte"),
        ("latency = 2", "latency = 65", "latency"),
        ('memory = "y"\nrole', 'memory = "z"\nrole', "there is no such memory, only: h, x, y"),
        ("lanes = 2", "lanes = 1", "a word has 16 bits, expected 8 .1 lanes of int8."),
        ('memory = "x"\nrole = "input"', 'memory = "x"\nrole = "input"\nbase = 250', "250 to 267 .* 256"),
        ('role = "output"\ntensor = "act"', 'role = "output"\ntensor = "act1"', "the model has no tensor 'act1'"),
        ('tensor = "act"\n', "", "2 regions are the model's output|a word has 8 bits"),
        ('role = "input"', 'role = "scratch"', "states its words"),
        ('role = "input"', 'role = "scratch"\nwords = 4', "no region is an input"),
        ('memory = "x"\nrole = "input"', 'memory = "y"\nrole = "input"', "no port of it can read"),
        ('memory = "y"\nrole', 'memory = "x"\nrole', "no port of it can write"),
        ('name = "fc1"', 'name = "act"', "tap 'act' is described twice"),
        ('[[tap]]', '[[region]]\nmemory = "h"\nrole = "scratch"\nwords = 1\n[[tap]]', "output and scratch .*'h'"),
        ('[[tap]]', '[[region]]\nmemory = "h"\nrole = "parameter"\nbase=12\ntensor = "fc1.wait"\n[[tap]]', "no array"),
        ('[[tap]]', '[[memory]]\nfile = "w"\ntensor = "fc1.weight"\n[[memory]]\nfile = "w/b"\ntensor = "fc1.bias"\n'
         '[[tap]]', "file 'w/b' lies below 'w', which is a file, too"),
        ('[[tap]]', '[[stream]]\nrole = "input"\nprefix = "s"\n[[tap]]', "no streams"),
        ('control = { start = "start", done = "done", busy = "busy" }', "", "memories and registers need a"),
        ('clock = "clk"', "", "nothing drives the input clk"),
        ('role = "input"', 'role = "input"\nlanes = 1\ntensor = "fc2"', "'fc2' is input and output"),
        ('[[tap]]', '[[ram]]\nname = "s"\naddress = "h_addr"\nread = "h_q"\n[[region]]\nmemory = "s"\n'
         'role = "input"\ntensor = "act"\n[[tap]]', "ram 's': port 'h_q' is that of ram 'h', too: expected one"),
        ('[[tap]]', '[[region]]\nmemory = "h"\nrole = "input"\nbase = 12\ntensor = "act"\n[[tap]]',
         "'fc2' is not computed from 'input'"),
        ('role = "input"', 'role = "input"\ntensor = "act"', "tap 'act' lies outside of .* computes: fc2"),
    ],
)  # fmt: skip
def test_description_that_does_not_fit_is_one_message(
    model: Model, tmp_path: Path, old: str, new: str, words: str
) -> None:
    """Names the file, the place and what was expected; nothing is built."""
    path = design(tmp_path / "design", {"jobs.toml": swap(old, new)})
    with pytest.raises(FxsimError, match=words) as caught:
        simulate(model, path, status=lambda text: pytest.fail(f"{text}: before the description was refused"))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


# --- RAMs of the harness ---


@pytest.mark.verilator
def test_right_design_passes_with_gaps_and_resets(model: Model, tmp_path: Path) -> None:
    """Taps, one of which lies in a RAM, and the output are compared; what cannot wait is not held back."""
    path = design(tmp_path / "design")
    result = simulate(model, path)
    assert result.passed
    assert {name: tap.compared for name, tap in result.streams.taps.items()} == {"fc1": 8 * 12, "act": 8 * 12}
    assert result.streams.output.compared == 8 * 6
    # 3 cycles a product of the first layer, with a RAM of two cycles, 2 of the second; 2 more a value.
    assert result.timing.latency_cycles == 3 * (4 * (6 * 3 + 2) + 2 * (4 * 2 + 2)) + 2
    disturbed = simulate(model, path, stall="gap:7+reset:2:6")
    assert disturbed.passed
    assert disturbed.timing.resets == 6
    with pytest.raises(StimulusError, match="can wait"):
        simulate(model, path, stall="random:1")


FAULTS: dict[str, tuple[str, str, str | None, set[str]]] = {
    # The address of the input is one too far: its last read is of nothing.
    "address": ("token * INPUTS + column;", "token * INPUTS + column + @;", "fc1", {"read outside every region"}),
    # The data of the input is taken a cycle too early.
    "latency": ("state <= layer ? SUM : WAIT", "state <= layer || @ ? SUM : WAIT", "fc1", set()),
    "relu": ("q < 0 ? 8'sd0 : q", "q < 0 && !(@ && row == 2) ? 8'sd0 : q", "act", set()),
    "sum": ("weight * operand", "weight * operand + (@ && layer ? 32'sd64 : 32'sd0)", "y", set()),
    "unwritten": ("y_we <= row[0]", "y_we <= row[0] && !(@ && token == 1)", None, {"output never written"}),
    "outside": ("y_addr <= token", "y_addr <= token + (@ && token == 2)", None,
                {"output never written", "write outside every region"}),
    "hole": ("h_we = state == WRITE && !layer", "h_we = state == WRITE && !layer && !(@ && row == 3)", "y",
             {"output never written", "read of a word that nothing was written to"}),
    "order": ("h_we ? token * HIDDEN + row", "h_we ? (token * HIDDEN + row) ^ @", "act", set()),
    "done": ("done <= 0;\n    y_we", "done <= @ && done && state == IDLE && !start;\n    y_we", None,
             {"done without a job"}),
    "late": ("y_we <= 0;\n    case", "y_we <= @ && done;\n    case", None, {"write without a job"}),
    # Busy for ever, but only after the last job.
    "busy": ("assign busy = state != IDLE;",
             "reg [7:0] jobs;\n  always @(posedge clk) jobs <= rst ? 0 : jobs + done;\n"
             "  assign busy = state != IDLE || (@ && jobs + done == 8);", None, {"busy without a job"}),
}  # fmt: skip
"""Faults by name: what stands in the design, and what in its place, where `@` means that this one is on; what is found.

Which of them a file says that the design reads when it starts: one build for all.
"""


def faulty(folder: Path, name: str, faults: Mapping[str, tuple[Any, ...]], top: str, before: str) -> Path:
    """A design with the fault of a name, or with none; the register that is told stands before a text of it."""

    def told(text: str) -> str:
        text = swap(before, f'reg [7:0] fault[0:0];\n  initial $readmemh("fault.hex", fault);\n  {before}')(text)
        for number, (old, new, *_) in enumerate(faults.values(), 1):
            assert old in text, old
            text = swap(old, re.sub("@(?! *[(])", f"(fault[0] == {number})", new))(text)
        return text

    edits = {f"{top}.v": told, f"{top}.toml": swap("clock =", 'files = ["fault.hex"]\nclock =')}
    path = design(folder, edits, top)
    (folder / "fault.hex").write_text(f"{[*faults].index(name) + 1 if name else 0:x}\n")
    return path


@pytest.mark.verilator
@pytest.mark.parametrize("name", ["", *FAULTS])
def test_fault_is_located(model: Model, tmp_path: Path, name: str) -> None:
    """The first difference is at the faulty operator's tap; accesses that mean nothing are named."""
    result = simulate(model, faulty(tmp_path / "design", name, FAULTS, "jobs", "localparam IDLE"))
    _, _, tap, kinds = FAULTS.get(name, ("", "", None, set()))
    assert result.passed == (name == "")
    first = result.verdict.first_mismatch
    assert (None if first is None else first.tap) == tap
    assert {fault.kind for fault in result.verdict.faults} == kinds


@pytest.mark.verilator
def test_two_writes_of_a_word_in_one_cycle_are_a_fault(model: Model, tmp_path: Path) -> None:
    """Even of the same data: RAMs differ in what stays."""
    twice = "output wire [7:0] z_addr, output wire z_we, output wire [15:0] z_d,\n    output reg [7:0] y_addr"
    edits = {"jobs.v": swap("output reg [7:0] y_addr", twice)}
    path = design(tmp_path / "a", edits)
    same = "  assign z_addr = y_addr;\n  assign z_we = y_we && token == 2;\n  assign z_d = y_d;\nendmodule"
    (path.parent / "jobs.v").write_text((path.parent / "jobs.v").read_text().replace("endmodule", same))
    port = '[[ram]]\nname = "z"\nmemory = "y"\naddress = "z_addr"\nwrite = "z_d"\nwrite_enable = "z_we"\n\n[[region]]'
    path.write_text(path.read_text().replace("[[region]]", port, 1))
    result = simulate(model, path)
    assert {fault.kind for fault in result.verdict.faults} == {"two writes of a word in one cycle"}
    assert result.verdict.first_mismatch is None
    assert result.verdict.faults[0].detail == "address 0x1 of y, with y"


@pytest.mark.verilator
def test_ram_without_a_register_shows_what_was_written_the_cycle_before(tmp_path: Path) -> None:
    """A word that is written in one cycle, and read without latency in the next."""
    (tmp_path / "echo.v").write_text("""
module echo (
    input wire clk, input wire start, output reg done,
    output reg [4:0] x_addr, input wire signed [7:0] x_q,
    output wire s_addr, output wire s_we, output wire [7:0] s_d, input wire signed [7:0] s_q,
    output wire [4:0] y_addr, output wire y_we, output wire [7:0] y_d
);
  reg [1:0] state;
  initial {state, done} = 0;
  assign s_addr = 0, s_we = state == 1, s_d = x_q;
  assign y_addr = x_addr, y_we = state == 2, y_d = s_q < 0 ? 0 : s_q;
  always @(posedge clk) begin
    done <= state == 2 && x_addr == 17;
    case (state)
      0: if (start) begin state <= 1; x_addr <= 0; end
      1: state <= 2;
      default: begin x_addr <= x_addr + 1; state <= x_addr == 17 ? 0 : 1; end
    endcase
  end
endmodule
""")
    ports = (("x", 'read = "x_q"'), ("s", 'read = "s_q"\nwrite = "s_d"\nwrite_enable = "s_we"'),
             ("y", 'write = "y_d"\nwrite_enable = "y_we"'))  # fmt: skip
    text = 'top = "echo"\nsources = "echo.v"\nclock = "clk"\ncontrol = { start = "start", done = "done" }\n'
    text += "".join(f'[[ram]]\nname = "{n}"\naddress = "{n}_addr"\nlatency = 0\n{rest}\n' for n, rest in ports)
    regions = (("x", "input", ""), ("s", "scratch", "words = 1\n"), ("y", "output", ""))
    text += "".join(f'[[region]]\nmemory = "{n}"\nrole = "{role}"\n{rest}' for n, role, rest in regions)
    (tmp_path / "echo.toml").write_text(text)
    relu = Model(Graph((3, 6), (Node("act", Relu(), (INPUT,)),)), "relu")
    result = simulate(relu, tmp_path / "echo.toml")
    assert result.passed
    assert result.streams.output.compared == 8 * 18


# --- RAMs inside the design, levels, addresses in bytes ---

INSIDE = """
module own_ram (
    input wire clk, input wire rst_n, input wire go, output reg ready,
    input wire [8:0] addr, input wire en, input wire [1:0] we, input wire [15:0] d, output reg [15:0] q,
    output reg [4:0] w_addr, input wire signed [7:0] w_q
);
  // Words 0 to 8: three tokens of six values, two a word, the first above. Words 32 to 34: the sums of each token's
  // values times weights of the harness's ROM, which has no clock.
  reg [15:0] memory[0:63];
  reg [5:0] n;
  reg signed [23:0] sum;
  reg run, was;
  wire [15:0] word = memory[n[5:1]];
  wire signed [7:0] x = n[0] ? word[7:0] : word[15:8];
  wire [5:0] column = n % 6;
  always @(*) w_addr = column + 16;
  wire signed [23:0] next = sum + x * w_q;
  wire signed [23:0] scaled = ((next + 128) >>> 8) + 5;
  wire [7:0] y = scaled > 127 ? 8'd127 : scaled < -128 ? 8'h80 : scaled[7:0];
  integer k;
  always @(posedge clk) begin
    if (en) begin
      q <= memory[addr[6:1]];
      for (k = 0; k < 2; k = k + 1) if (we[k]) memory[addr[6:1]][8*k +: 8] <= d[8*k +: 8];
    end
    was <= go;
    if (go && !was) begin run <= 1; n <= 0; sum <= 0; ready <= 0; end
    if (run) begin
      n <= n + 1;
      sum <= column == 5 ? 0 : next;
      if (column == 5) memory[32 + n / 6] <= {8'd0, y};
      if (n == 17) begin run <= 0; ready <= 1; end
    end
    if (!rst_n) begin run <= 0; was <= 0; ready <= 0; end
  end
endmodule
"""
INSIDE_TOML = """
top = "own_ram"
sources = ["inside.v"]
clock = "clk"
reset = { signal = "rst_n", active = "low" }
control = { start = "go", start_kind = "level", done = "ready", done_kind = "level" }
[[ram]]
name = "own"
inside = true
address = "addr"
enable = "en"
read = "q"
write = "d"
write_enable = "we"
unit = "bytes"
[[ram]]
name = "rom"
address = "w_addr"
read = "w_q"
latency = 0
[[region]]
memory = "own"
role = "input"
lanes = 2
lane_order = "high"
[[region]]
memory = "own"
role = "output"
base = 64
number = "uint16"
[[region]]
memory = "rom"
role = "parameter"
tensor = "fc.weight"
base = 16
"""


@pytest.fixture(scope="module")
def single() -> Model:
    """A linear with one output."""
    weight = RANDOM.integers(-128, 128, (1, 6)).astype(np.int8)
    fc = Linear(weight, np.array([5], np.int8), np.array([8], np.uint8))
    return Model(Graph((3, 6), (Node("fc", fc, (INPUT,)),)), "single")


def inside(folder: Path, old: str = "", new: str = "", edits: dict[str, str] | None = None) -> Path:
    """The design with its RAM inside, Verilog edited, in a new folder; returns its description."""
    folder.mkdir()
    text = INSIDE_TOML.replace("uint16", "int16")
    for before, after in (edits or {}).items():
        assert before in text
        text = text.replace(before, after)
    assert old in INSIDE
    # A value of 8 bits stands in a word of 16 with its sign.
    verilog = INSIDE.replace(old, new, 1) if old else INSIDE
    (folder / "inside.v").write_text(verilog.replace("{8'd0, y}", "{{8{y[7]}}, y}"))
    (folder / "inside.toml").write_text(text)
    return folder / "inside.toml"


@pytest.mark.verilator
def test_ram_inside_the_design_is_written_and_read_through_its_port(single: Model, tmp_path: Path) -> None:
    """With stalls of the accesses and resets; start and done are levels, the weights stand in a ROM without a clock."""
    path = inside(tmp_path / "a")
    assert simulate(single, path).passed
    disturbed = simulate(single, path, stall="random:3+reset:5:4")
    assert disturbed.passed
    assert disturbed.timing.resets == 4
    assert disturbed.streams.output.compared == 8 * 3


@pytest.mark.verilator
@pytest.mark.slow
@pytest.mark.parametrize(
    ("old", "new", "edits", "kinds", "wrong"),
    [
        ("if (column == 5) memory", "if (column == 5 && n != 11) memory", {}, {"output never written"}, False),
        pytest.param(
            "memory[32 + n / 6]", "memory[33 + n / 6]", {}, {"output never written"}, True, marks=pytest.mark.thorough
        ),
        pytest.param(
            "", "", {'unit = "bytes"': 'unit = "bytes"\nlatency = 2'}, set(), True, marks=pytest.mark.thorough
        ),
        pytest.param("", "", {'lane_order = "high"': 'lane_order = "low"'}, set(), True, marks=pytest.mark.thorough),
        ("w_addr = column + 16", "w_addr = column + 15", {}, {"read outside every region"}, True),
        pytest.param("n == 17", "n == 16", {}, {"output never written"}, False, marks=pytest.mark.thorough),
        pytest.param(
            "ready <= 0; end\n    if (run)", "end\n    if (run)", {}, {"timeout"}, False, marks=pytest.mark.thorough
        ),
    ],
    ids=["unwritten", "address", "latency", "lanes", "rom", "early", "done"],
)
def test_fault_with_a_ram_inside_is_found(
    single: Model, tmp_path: Path, old: str, new: str, edits: dict[str, str], kinds: set[str], wrong: bool
) -> None:
    """Words that the design does not write are told from those that are wrong."""
    path = inside(tmp_path / "a", old, new, edits)
    if kinds == {"timeout"}:
        path.write_text(path.read_text().replace('done_kind = "level"', 'done_kind = "level", timeout = 500'))
    result = simulate(single, path)
    assert not result.passed
    assert {fault.kind for fault in result.verdict.faults} == kinds
    assert (result.verdict.first_mismatch is not None) == wrong


@pytest.mark.verilator
def test_rams_inside_of_different_latencies_and_a_long_job(tmp_path: Path) -> None:
    """Two ports, read one after the other, the first the slower; the job takes 3,000 cycles in which nothing moves."""
    (tmp_path / "slow.v").write_text("""
module slow (
    input wire clk, input wire start, output reg done,
    input wire [5:0] a_addr, input wire a_we, input wire [7:0] a_d, output reg [7:0] a_q,
    input wire [4:0] b_addr, input wire b_we, input wire [7:0] b_d, output reg [7:0] b_q
);
  reg signed [7:0] a[0:63], b[0:31];
  reg [7:0] a_1, a_2;
  reg [11:0] n;
  initial {n, done} = 0;
  integer k;
  always @(posedge clk) begin
    {a_q, a_2, a_1} <= {a_2, a_1, a[a_addr]};
    b_q <= b[b_addr];
    if (a_we) a[a_addr] <= a_d;
    if (b_we) b[b_addr] <= b_d;
    if (start) n <= 3000;
    if (n != 0) n <= n - 1;
    done <= n == 1;
    if (n == 1)
      for (k = 0; k < 18; k = k + 1) begin
        a[k + 32] <= a[k] < 0 ? 0 : a[k];
        b[k] <= a[k] < 0 ? 0 : a[k];
      end
  end
endmodule
""")
    text = 'top = "slow"\nsources = "slow.v"\nclock = "clk"\ncontrol = { start = "start", done = "done" }\n'
    text += "".join(
        f'[[ram]]\nname = "{n}"\ninside = true\naddress = "{n}_addr"\nread = "{n}_q"\nwrite = "{n}_d"\n'
        f'write_enable = "{n}_we"\nlatency = {latency}\n'
        for n, latency in (("a", 3), ("b", 1))
    )
    text += '[[region]]\nmemory = "a"\nrole = "input"\n'
    text += '[[region]]\nmemory = "a"\nrole = "output"\nbase = 32\ntensor = "one"\n'
    text += '[[region]]\nmemory = "b"\nrole = "output"\n'
    (tmp_path / "slow.toml").write_text(text)
    twice = Model(Graph((3, 6), (Node("one", Relu(), (INPUT,)), Node("two", Relu(), ("one",)))), "twice")
    result = simulate(twice, tmp_path / "slow.toml")
    assert result.passed
    assert result.timing.latency_cycles is not None
    assert result.timing.latency_cycles > 3000
    assert {name: tap.compared for name, tap in result.streams.taps.items()} == {"one": 8 * 18}
    assert result.streams.output.compared == 8 * 18


@pytest.mark.verilator
@pytest.mark.thorough
def test_job_that_does_not_end_names_the_step(model: Model, tmp_path: Path) -> None:
    """Neither without any movement, nor with accesses that go on for ever."""
    idle = design(tmp_path / "a", {"jobs.v": swap("if (start) begin", "if (0) begin")})
    stuck = simulate(model, idle, watchdog=1000)
    assert stuck.verdict.stopped is not None
    assert "image 0: 'wait for done' does not end" in stuck.verdict.stopped.reason
    endless = {"jobs.v": swap("state <= IDLE;\n              done <= 1;", "state <= READ;")}
    endless |= {"jobs.toml": swap('done = "done"', 'done = "done", timeout = 2000')}
    result = simulate(model, design(tmp_path / "b", endless))
    assert "timeout" in {fault.kind for fault in result.verdict.faults}
    assert "no end of 'wait for done' in 2000 cycles" in {fault.detail for fault in result.verdict.faults}


def test_check_shows_regions_and_what_does_not_fit(model: Model, tmp_path: Path) -> None:
    """Regions stand among the streams; nothing is built."""
    found = check(design(tmp_path / "a"), model)
    assert found.fits
    assert [(line.name, line.role, line.data, line.beats) for line in found.streams] == [
        ("input", "input", "x", 18), ("act", "output", "h", 12), ("fc2", "output", "y", 3),
    ]  # fmt: skip
    assert found.unprobed == ()
    wrong = check(design(tmp_path / "b", {"jobs.toml": swap("x_addr", "x_adr")}), model)
    assert not wrong.fits
    assert "no port 'x_adr'" in wrong.problems[0]


def test_check_says_everything_that_does_not_fit(model: Model, tmp_path: Path) -> None:
    """Unknown keys, ports, regions, taps and sequences of one description, each in a line of its own."""
    edits = (
        ('top = "jobs"', 'tops = "jobs"\ntop = "jobs"'), ('busy = "busy"', 'busy = "bussy"'), ("x_addr", "x_adr"),
        ('name = "fc1"', 'name = "fc7"'),
    )  # fmt: skip
    path = design(tmp_path / "a")
    for old, new in edits:
        path.write_text(swap(old, new)(path.read_text()))
    problems = check(path, model).problems
    for words in ("tops: unknown key", "no port 'bussy'", "no port 'x_adr'", "tap 'fc7': the model has no such tap"):
        assert sum(words in problem for problem in problems) == 1, words
    assert len(problems) == len(edits)
    path = design(tmp_path / "b", name="registers")
    for old, new in (("write = 0x08", "write = 0x18"), ('"irq"', '"irk"'), ("lanes = 2", "lanes = 1")):
        path.write_text(swap(old, new)(path.read_text()))
    problems = check(path, model).problems
    assert len(problems) == 3
    for words in ("write of register 0x18", "no port 'irk'", "a word has 16 bits"):
        assert any(words in problem for problem in problems), words


def test_design_of_a_part_says_what_is_not_looked_at(model: Model, tmp_path: Path) -> None:
    """With the tap before the last as its input the design is of the last alone, and nothing else is compared."""
    path = design(tmp_path / "a", {"jobs.toml": swap('role = "input"', 'role = "input"\ntensor = "act"')})
    text = path.read_text().replace('role = "output"\ntensor = "act"', 'role = "scratch"\nwords = 12')
    path.write_text(re.sub(r"\[\[tap\]\].*?\n\n", "", text, flags=re.DOTALL))
    found = check(path, model)
    assert found.problems == ()
    assert found.unprobed == ("fc1", "act")


# --- AXI4-Lite registers with a written sequence ---


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('prefix = "s_axi"', 'prefix = "m_axi"', "registers: the design has no port 'm_axi_awaddr'; the nearest"),
        ("write = 0x08", "write = 0x09", "write of register 0x9: expected a multiple of 4"),
        ("write = 0x08", "write = 0x18", "write of register 0x18: 's_axi_awaddr' has 4 bits, expected .* up to 0xf"),
        ("poll = 0x04", "poll = 0x14", "poll of register 0x14: 's_axi_araddr' has 4 bits, expected .* up to 0xf"),
        ('value = "input.token"', 'value = "input.tokens"', "write of register 0x8 is 'input.tokens'"),
        ('value = "input.token"', "value = 4294967296", "value"),
        (
            "mask = 1, value = 1",
            "mask = 1, value = 2",
            "poll of register 0x4: value 0x2 has bits that the mask 0x1 has",
        ),
        ('wait = "irq"', 'wait = "irk"', "wait: the design has no port 'irk'; the nearest that there is: 'irq'"),
        ('wait = "irq"', 'wait = "irq", value = 1', "a step 'wait' has no value"),
        ('wait = "irq"', 'wait = "irq", poll = 4', "wait of write, read, poll and wait|poll and wait"),
        ("write = 0x00, value = 1", "write = 0x00", "a step 'write' needs a value"),
        ('registers = { prefix = "s_axi" }', "", "a step 'write' needs registers"),
        ("run = [", 'control = { start = "rst", done = "irq" }\nrun = [', "by a control or by steps"),
    ],
)
def test_sequence_that_does_not_fit_is_one_message(
    model: Model, tmp_path: Path, old: str, new: str, words: str
) -> None:
    """Names the step and what was expected; nothing is built."""
    path = design(tmp_path / "design", {"registers.toml": swap(old, new)}, "registers")
    with pytest.raises(FxsimError, match=words) as caught:
        simulate(model, path, status=lambda text: pytest.fail(f"{text}: before the description was refused"))
    assert "\n" not in str(caught.value)


@pytest.mark.verilator
def test_sequence_of_registers_runs_each_job(model: Model, tmp_path: Path) -> None:
    """Set up once after each reset; a run of each image; accesses are delayed where stalls are asked for."""
    path = design(tmp_path / "design", name="registers")
    right = simulate(model, path)
    assert right.passed
    assert right.streams.output.compared == 8 * 6
    disturbed = simulate(model, path, stall="random:3+gap:5+reset:1:5")
    assert disturbed.passed
    assert disturbed.timing.resets == 5


REGISTER_FAULTS: dict[str, tuple[str, str, str, str | None]] = {
    "irq": ("assign irq = done", "assign irq = done && !@", "timeout", "no end of 'wait for irq' in 700 cycles"),
    "status": ("== 4 ? {31'd0, done}", "== (@ ? 12 : 4) ? {31'd0, done}", "timeout", "'poll of register 0x4' in 500"),
    "tokens": ("tokens <= s_axi_wdata[7:0]", "tokens <= @ ? s_axi_wdata[7:1] : s_axi_wdata[7:0]",
               "wrong value in a register", "read of register 0x8 is 0x1, expected 0x3"),
    "answer": ("s_axi_bresp = 0", "s_axi_bresp = @ ? 2 : 0", "register access refused", "write of register 0x8"),
    "withdrawn": ("if (s_axi_bready) s_axi_bvalid", "if (s_axi_bready || @) s_axi_bvalid", "valid withdrawn", None),
    "changed": ("    if (finished)", "    if (@ && s_axi_rvalid) s_axi_rdata <= ~s_axi_rdata;\n    if (finished)",
                "payload changed while waiting", None),
}  # fmt: skip


@pytest.mark.verilator
@pytest.mark.slow
@pytest.mark.parametrize("name", [*REGISTER_FAULTS, "value"])
def test_fault_of_registers_names_the_step(model: Model, tmp_path: Path, name: str) -> None:
    """The rules of AXI4-Lite are checked, and a step that does not end is named."""
    told = name if name in REGISTER_FAULTS else ""
    path = faulty(tmp_path / "design", told, REGISTER_FAULTS, "registers", "reg start,")
    text = path.read_text().replace('wait = "irq"', 'wait = "irq", timeout = 700')
    if name == "value":
        text = swap('value = "input.token" },\n  { read', "value = 2 },\n  { read")(text)
    path.write_text(text)
    result = simulate(model, path, stall="random:3")
    value = ("", "", "wrong value in a register", "read of register 0x8 is 0x2, expected 0x3")
    _, _, kind, detail = REGISTER_FAULTS.get(name, value)
    assert not result.passed
    assert kind in {fault.kind for fault in result.verdict.faults}
    assert detail is None or any(detail in (fault.detail or "") for fault in result.verdict.faults)


@pytest.mark.verilator
def test_answer_of_a_register_that_waits_for_ready_is_found(model: Model, tmp_path: Path) -> None:
    """The valid of an answer comes with its ready, or a cycle after it has seen it: AXI4-Lite forbids either.

    Which of them a file says that the design reads: one build. One that is only slow is right.
    """

    def edit(text: str) -> str:
        text = swap("output reg s_axi_bvalid", "output wire s_axi_bvalid")(text)
        text = re.sub(r"s_axi_bvalid <=", "answered <=", text)
        text = text.replace("!s_axi_bvalid", "!answered").replace(
            "if (s_axi_bready)", "if (s_axi_bready && s_axi_bvalid)"
        )
        return swap("  reg [7:0] tokens;", "  reg [7:0] tokens, waited;\n  reg answered, seen;\n"
                    "  reg [7:0] fault[0:0];\n  initial $readmemh(\"fault.hex\", fault);\n"
                    "  always @(posedge clk) begin\n    seen <= s_axi_bready && answered;\n"
                    "    waited <= answered ? waited + (waited != 200) : 0;\n  end\n"
                    "  assign s_axi_bvalid = answered && (fault[0] == 1 ? s_axi_bready :\n"
                    "      fault[0] == 2 ? seen : fault[0] == 3 ? waited == 200 : 1);")(text)  # fmt: skip

    path = design(tmp_path / "design", {"registers.v": edit}, "registers")
    path.write_text(swap('clock = "clk"', 'clock = "clk"\nfiles = ["fault.hex"]')(path.read_text()))
    for fault, found in ((0, None), (1, "valid waits for ready"), (2, "valid waits for ready"), (3, None)):
        (path.parent / "fault.hex").write_text(f"{fault:02x}\n")
        result = simulate(model, path)
        assert result.passed == (found is None), fault
        kinds = {(one.kind, one.stream) for one in result.verdict.faults}
        assert kinds == (set() if found is None else {(found, "s_axil_b")}), fault
        assert result.streams.mismatches == 0
