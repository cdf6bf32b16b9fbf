"""What a description's streams, ports and files may look like: macros across files, keeps, roles, resets, bubbles."""

from pathlib import Path

import pytest

from fxsim.cosim import CosimResult, cosim
from fxsim.cosim.four_state import four_state
from fxsim.devices.described.bind import bind
from fxsim.devices.described.check import check
from fxsim.devices.described.elaborate import Verilog, elaborate_ports, expression_bits
from fxsim.devices.described.filelist import read_file_list
from fxsim.devices.described.findings import SeveralError
from fxsim.devices.described.nodes import list_nodes
from fxsim.devices.described.vhdl import verilog_of
from fxsim.errors import FileError, FxsimError, ToolError
from fxsim.prove.blocks import PROVED
from fxsim.vectors.kit import write_kit
from tests.test_described import AXI, AXI_TOML, PIPELINE, PIPELINE_TOML, RELU, X, design, swap, written
from tests.test_described import model as awkward_model
from tests.test_kit import ran
from tests.test_nodes import TWO, two_stages
from tests.test_prove_described import ask

model = awkward_model


def simulate(dut: Path, **options: object) -> CosimResult:
    """Co-simulate the ReLU, compiled quickly."""
    return cosim(RELU, X, accel="described", dut=str(dut), optimise="-O0", **options)


# --- sources ---


def verilog(**files: str) -> Verilog:
    """Sources in this order."""
    texts = {f"{name}.v": text.encode() for name, text in files.items()}
    return Verilog("d.toml", texts, tuple(texts), (), {})


def test_macros_hold_across_files_and_the_simulators_own_is_there() -> None:
    """A port that is there, and its width, by a macro of an earlier file; one by the macro that Verilator defines."""
    top = (
        "module top (\n`ifdef WIDE\ninput wire [15:0] a,\n`else\ninput wire [7:0] a,\n`endif\n"
        "`ifdef VERILATOR\ninput wire v,\n`endif\noutput wire [`N-1:0] y);\n"
        "wire [`N-1:0] q = 0; assign y = q;\nendmodule\n"
    )
    ports = elaborate_ports(verilog(first="`define WIDE\n`define N 5\n", second=top), "top", {})
    assert {port.name: port.bits for port in ports.values()} == {"a": 16, "v": 1, "y": 5}
    with pytest.raises(SeveralError, match=r"second\.v, line"):
        elaborate_ports(verilog(second=top, first="`define WIDE\n`define N 5\n"), "top", {})
    wrapper = "module fxsim_wrapper;\n  top dut ();\n"
    both = verilog(first="`define N 5\n", second=top)
    assert expression_bits(both, wrapper, {"tap": "dut.q", "no": "dut.r"})["tap"] == 5


def test_file_lists_name_a_file_of_each_folder(tmp_path: Path) -> None:
    """The same name in a list and in one of a folder below is two files; named twice, one."""
    (tmp_path / "sub").mkdir()
    for name, text in (("a.sv", ""), ("sub/a.sv", ""), ("t.f", "a.sv\n-F sub/s.f\n./a.sv\n"), ("sub/s.f", "a.sv\n")):
        (tmp_path / name).write_text(text)
    assert read_file_list("d", tmp_path, "t.f").sources == ["a.sv", "sub/a.sv"]


def test_nodes_below_a_folder_have_their_sources_below_the_other(tmp_path: Path) -> None:
    """With Verilog of another folder a module's is looked for where its description lies."""
    path = two_stages(tmp_path / "d", '["units/first.toml"]')
    text = (path.parent / "first.toml").read_text()
    for folder in (path.parent / "units", tmp_path / "rtl" / "units"):
        folder.mkdir(parents=True)
        (folder / "pipeline.v").write_text(PIPELINE)
    (path.parent / "units" / "first.toml").write_text(text)
    nodes = list_nodes(TWO, str(path), tmp_path / "rtl")
    assert [(node.tap, node.rtl) for node in nodes] == [("a", tmp_path / "rtl" / "units")]


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('file f : text open read_mode is "/srv/w.hex";', "/srv/w.hex"),
        ('x <= f("a");\n  y <= read("../w.hex");', "../w.hex"),
        ('constant at : string := "/" & "tmp";', "/"),
        ('read("rom/../../w.hex")', "rom/../../w.hex"),
    ],
)
def test_vhdl_that_names_files_elsewhere_is_refused(text: str, named: str) -> None:
    """What stands in them is not known, so that what was made before could be another design."""
    with pytest.raises(FileError, match=rf"d: sources: a\.vhd, line {text.count(chr(10)) + 1}: '{named}' names a file"):
        verilog_of("d", {"a.vhd": text.encode()}, ("a.vhd",), "top", {})


def test_vhdl_with_comments_operators_and_plain_names_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Division by its name, dots at the end of a sentence, a comment."""
    monkeypatch.setenv("PATH", "")
    text = b'function "/" (l : t) return t; function "/=" (l : t) return t;\n'
    text += b'report "loading..."; -- "/etc"\nread("a/w.hex")'
    with pytest.raises(FxsimError, match="GHDL is not installed"):
        verilog_of("d", {"a.vhd": text}, ("a.vhd",), "top", {})


@pytest.mark.verilator
def test_files_may_have_the_names_of_the_simulators_own(model, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """A memory file that is called as the program, or as what it writes, is read by the design and nothing else."""
    for n, name in enumerate(("simulate", "stderr-1", "differences-1.bin")):
        edits = {"awkward.toml": swap("w.hex", name), "awkward.sv": swap("w.hex", name)}
        assert cosim(model, X, accel="described", dut=str(design(tmp_path / str(n), edits)), optimise="-O0").passed


# --- ports ---


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("tie = { clk = 0 }", "tie = { clk = 0, s_axis_tvalid = 1 }", "as tie and as input stream, valid"),
        ("tie = { clk = 0 }", 'tie = { clk = 0 }\nclock = "clk"', "port 'clk' is named twice, as clock and as tie"),
        ("tie = { clk = 0 }", 'clock = ["clk", "clk"]', "port 'clk' is named twice, as clock and as clock"),
        ("tie = { clk = 0 }", "tie = { clk = 0, rst_n = 1 }", "port 'rst_n' is named twice, as reset and as tie"),
        (
            'prefix = "m_axis"',
            'signals = { data = "m_axis_tdata", valid = "m_axis_tvalid", last = "m_axis_tvalid" }',
            "port 'm_axis_tvalid' is named twice, as output stream, valid and as output stream, last",
        ),
        ('prefix = "s_axis"', 'prefix = "s_axis"\ninterval = 4', "it has ready, .* and states an interval"),
        ('prefix = "s_axis"', 'prefix = "s_axis"\nprotocol = "axi4-stream"', "input stream states a protocol"),
        (
            'prefix = "m_axis"',
            'protocol = "axi4-stream"\n'
            'signals = { data = "m_axis_tdata", valid = "m_axis_tvalid", last = "m_axis_tlast" }',
            "protocol is 'axi4-stream', whose rules need a ready",
        ),
    ],
)  # fmt: skip
def test_ports_of_two_roles_and_keys_that_mean_nothing_are_refused(
    tmp_path: Path, old: str, new: str, words: str
) -> None:
    """Which of the two a port is nobody said; a key that has no effect says something that is not so."""
    assert old in AXI_TOML
    text = AXI_TOML.replace(old, new, 1)
    ready = "" if "m_axis_tready" in new or 'prefix = "m' not in old else ", m_axis_tready = 1"
    text = text.replace("clk = 0", f"clk = 0{ready}", 1)
    with pytest.raises(FileError, match=words):
        bind(written(tmp_path / "d", "axi", AXI, text), RELU)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('word = "row"', 'word = "row"\nlanes = 2', "states both a word and lanes"),
        ('"fc.bias"', '"fc.bias"\nword = "row"', "'fc.bias' has one axis and no rows"),
    ],
)
def test_memory_with_words_that_mean_nothing_is_refused(  # type: ignore[no-untyped-def]
    model, tmp_path: Path, old: str, new: str, words: str
) -> None:
    """A word and lanes, and a row of what has none."""
    with pytest.raises(FileError, match=words):
        bind(design(tmp_path / "d", {"awkward.toml": swap(old, new)}), model)


@pytest.mark.parametrize(("value", "held"), [(1, "4'd1"), (-1, "4'd15"), (0, "4'd0")])
def test_tied_input_holds_a_number_as_wide_as_its_port(tmp_path: Path, value: int, held: str) -> None:
    """A number of 32 bits at a port of four would warn in Icarus, and in others."""
    verilog = PIPELINE.replace("input wire clk,", "input wire clk, input wire [3:0] mode,")
    bound = bind(written(tmp_path / "d", "pipeline", verilog, f"tie = {{ mode = {value} }}\n{PIPELINE_TOML}"), RELU)
    assert f".mode({held})" in bound.wrapper
    write_kit(RELU, X, tmp_path / "kit", "described", {"dut": str(bound.path)})
    assert f".mode({held})" in "".join(path.read_text() for path in (tmp_path / "kit").glob("*.v"))


HIGH = AXI.replace("m_axis_tkeep = s_axis_tkeep", "m_axis_tkeep = s_axis_tlast ? 4'b1100 : 4'b1111").replace(
    "s_axis_tdata[8*i + 7] ?", "(s_axis_tdata[8*i + 7] || !s_axis_tkeep[i]) ?"
)
HIGH_TOML = AXI_TOML.replace("lanes = 4", 'lanes = 4\nlane_order = "high"')


@pytest.mark.verilator
@pytest.mark.icarus
def test_keep_lies_where_its_values_do(tmp_path: Path) -> None:
    """With the first value in the highest lane, so is its bit of keep; both ways, in simulation and in a kit."""
    for n, (old, new, kind) in enumerate((("", "", None), ("4'b1100", "4'b0011", "tkeep wrong"))):
        path = written(tmp_path / f"d{n}", "axi", HIGH.replace(old, new) if old else HIGH, HIGH_TOML)
        result = simulate(path)
        assert result.passed == (kind is None)
        assert result.streams.mismatches == 0
        assert {fault.kind for fault in result.verdict.faults} == ({kind} if kind else set())
        write_kit(RELU, X, tmp_path / f"kit{n}", "described", {"dut": str(path)})
        status, said = ran(tmp_path / f"kit{n}")
        assert (status, said[:5]) == ((0, "PASS:") if kind is None else (1, "FAIL:"))


FRAMED = AXI.replace("module axi (", "module axi (input wire s_axis_tuser, output wire m_axis_tuser,").replace(
    "  genvar i;", "  assign m_axis_tuser = s_axis_tuser;\n  genvar i;"
)


def _signals(prefix: str) -> str:
    """The ports of a prefix by their names, with the start of an image at `tuser`."""
    said = {kind: f'"{prefix}_t{kind}"' for kind in ("data", "valid", "ready", "last", "keep")}
    named = ", ".join(f"{kind} = {port}" for kind, port in {**said, "start": f'"{prefix}_tuser"'}.items())
    return f'signals = {{ {named} }}\nprotocol = "axi4-stream"' if prefix == "m_axis" else f"signals = {{ {named} }}"


FRAMED_TOML = AXI_TOML.replace('prefix = "s_axis"', _signals("s_axis")).replace('prefix = "m_axis"', _signals("m_axis"))


@pytest.mark.verilator
@pytest.mark.icarus
@pytest.mark.parametrize(
    ("drives", "kind", "beat", "words"),
    [
        ("s_axis_tuser", None, 0, "PASS: "),
        ("1'b0", "start missing", 0, "FAIL: image 0, output, beat 0: start is 0"),
        ("s_axis_tuser | s_axis_tlast", "start amid an image", 1, "FAIL: image 0, output, beat 1: start is 1"),
        ("s_axis_tuser & m_axis_tready", "beat changed while waiting", 0, None),
    ],
)
def test_start_of_the_output_is_high_with_the_first_beat_alone(
    tmp_path: Path, drives: str, kind: str | None, beat: int, words: str | None
) -> None:
    """As video has it at tuser: in simulation, in four states, in a kit and in a proof; what is wrong is named."""
    verilog = FRAMED.replace("m_axis_tuser = s_axis_tuser", f"m_axis_tuser = {drives}")
    path = written(tmp_path / "d", "axi", verilog, FRAMED_TOML)
    result = simulate(path, stall="random:1")
    assert ({fault.kind for fault in result.verdict.faults}, result.streams.mismatches) == ({kind} - {None}, 0)
    assert result.passed == (kind is None)
    if kind is not None:
        first = result.verdict.faults[0]
        assert (first.stream, first.token, first.channel) == ("m_axis_tdata", 0, 4 * beat)
        assert first.image == 0 or kind == "beat changed while waiting"  # the first that waits
    known = four_state(RELU, X, accel="described", settings={"dut": str(path)}, images=(0, 12))
    named = "m_axis_tuser" if words is not None else kind
    assert (known.passed, kind is None or str(named) in str(known.reason)) == (kind is None, True), known.reason
    # Without stalls ready is never low.
    if words is not None:
        write_kit(RELU, X, tmp_path / "kit", "described", {"dut": str(path)})
        status, said = ran(tmp_path / "kit")
        assert (status == 0, said.startswith(words)) == (kind is None, True), said
        assert (ask(RELU, path).status == PROVED) == (kind is None)


def test_what_stands_beside_a_stream_is_named(tmp_path: Path) -> None:
    """A tuser that has no role: of the output a note says so, of the input it is refused; both say what it may be."""
    tied = f"tie = {{ clk = 0, s_axis_tuser = 0 }}{AXI_TOML.replace('tie = { clk = 0 }', '')}"
    (note,) = check(written(tmp_path / "a", "axi", FRAMED, tied), RELU).notes
    assert note.startswith("output 'm_axis_tuser' is not looked at: where it is high with an image's first beat alone")
    (problem,) = check(written(tmp_path / "b", "axi", FRAMED, AXI_TOML), RELU).problems
    assert "nothing drives the input s_axis_tuser: " in problem
    assert "is the 'start' of the stream's signals" in problem


@pytest.mark.verilator
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("input wire clk,", "input wire clk,\n`ifdef verilator3\ninput wire more,\n`endif\n", "missing pin: 'more'"),
        ("output reg [143:0] y", "output reg [`YBITS-1:0] y", "port connection 'y' expects 136 bits"),
    ],
)
def test_ports_that_the_simulator_sees_otherwise_are_refused(tmp_path: Path, old: str, new: str, words: str) -> None:
    """By a macro that only it has: an input that nothing drives, and an output that is narrower than the stream."""
    bits = "`ifdef verilator3\n`define YBITS 136\n`else\n`define YBITS 144\n`endif\n"
    path = written(tmp_path / "d", "pipeline", bits + PIPELINE.replace(old, new), PIPELINE_TOML)
    with pytest.raises(ToolError, match=f"Verilator finds other ports of the design: .*{words}"):
        simulate(path)


@pytest.mark.verilator
def test_outputs_that_no_stream_has_are_left_open(tmp_path: Path) -> None:
    """One that nobody looks at is no port that is missing."""
    more = PIPELINE.replace("input wire clk,", "input wire clk, output wire busy,")
    assert simulate(written(tmp_path / "d", "pipeline", more, PIPELINE_TOML), power_on_seeds=(1,)).passed


# --- time ---

ONE = PIPELINE.replace("input wire clk,", "input wire clk, input wire rst,").replace(
    "held <= x;", "held <= x; if (rst) y <= 0; else"
).replace("held[8*i", "x[8*i")  # fmt: skip
ONE_TOML = PIPELINE_TOML.replace("latency = 2", "latency = 1").replace(
    'clock = "clk"', 'clock = "clk"\nreset = { signal = "rst" }'
)
NONE = ONE.replace("always @(posedge clk) begin", "always @* begin").replace("<=", "=")


@pytest.mark.verilator
@pytest.mark.parametrize(
    ("verilog", "text", "latency"), [(ONE, ONE_TOML, 1), (NONE, ONE_TOML.replace("latency = 1", "latency = 0"), 0)]
)
def test_resets_of_short_pipelines_all_happen(tmp_path: Path, verilog: str, text: str, latency: int) -> None:
    """One register or none: the last beat is due in the cycle that its image comes in, or the next."""
    path = written(tmp_path / "d", "pipeline", verilog, text)
    result = simulate(path)
    assert result.passed
    assert result.timing.latency_cycles == latency + 1
    disturbed = simulate(path, stall="random:5+reset:3:9")
    assert disturbed.passed
    assert disturbed.timing.resets == 9


BEATS_TOML = PIPELINE_TOML.replace("lanes = 18", "lanes = 6").replace("latency = 2", "latency = 1")
BEATS = PIPELINE.replace("[143:0]", "[47:0]").replace("i < 18", "i < 6").replace("held[8*i", "x[8*i")


@pytest.mark.verilator
@pytest.mark.icarus
@pytest.mark.parametrize("valid", [False, True])
def test_pipeline_of_a_fixed_latency_is_held_back_between_images_only(tmp_path: Path, valid: bool) -> None:
    """Three beats an image, out a beat a cycle: no bubble is put among them, whether the input has a valid or not."""
    verilog, text = BEATS, BEATS_TOML
    if valid:
        verilog = verilog.replace("input wire clk,", "input wire clk, input wire v,")
        text = text.replace('data = "x"', 'data = "x", valid = "v"')
        assert verilog != BEATS
        assert text != BEATS_TOML
    path = written(tmp_path / "d", "pipeline", verilog, text)
    result = simulate(path, stall="random:5+gap:3")
    assert result.passed
    assert result.streams.output.compared == 12 * 18
    write_kit(RELU, X, tmp_path / "kit", "described", {"dut": str(path)})
    bench = tmp_path / "kit" / "testbench.v"
    bench.write_text(bench.read_text().replace("parameter STALL = 0", "parameter STALL = 40"))
    status, said = ran(tmp_path / "kit")
    assert (status, said[:5]) == (0, "PASS:")


@pytest.mark.verilator
def test_image_that_comes_out_before_it_is_in_is_a_result(tmp_path: Path) -> None:
    """Three beats in and one out, with the first of them: what came is compared, and differs; resets do not matter."""
    verilog = """
    module pipeline (input wire clk, input wire rst, input wire [47:0] x, input wire v, output wire [143:0] y);
      assign y = {3{x}};
    endmodule
    """
    text = PIPELINE_TOML.replace("lanes = 18", "lanes = 6", 1).replace("latency = 2", "latency = 0")
    text = text.replace('data = "x"', 'data = "x", valid = "v"').replace(
        "[[str", 'reset = { signal = "rst" }\n[[str', 1
    )
    path = written(tmp_path / "d", "pipeline", verilog, text)
    for stall in ("none", "random:5+gap:2", "random:5+reset:3:5"):
        result = simulate(path, stall=stall)
        assert not result.passed
        assert result.streams.output.compared >= 12 * 18


@pytest.mark.verilator
def test_latency_that_depends_on_power_on_is_refused(tmp_path: Path) -> None:
    """A register that nothing writes chooses between two: each run passes at its own latency."""
    verilog = """
    module pipeline (input wire clk, input wire [143:0] x, output wire [143:0] y);
      reg [143:0] one, two;
      reg slow;
      integer i;
      always @(posedge clk) begin
        for (i = 0; i < 18; i = i + 1) one[8*i +: 8] <= x[8*i + 7] ? 8'd0 : x[8*i +: 8];
        two <= one;
        slow <= slow;
      end
      assign y = slow ? two : one;
    endmodule
    """
    path = written(tmp_path / "d", "pipeline", verilog, PIPELINE_TOML.replace("latency = 2", 'latency = "find"'))
    with pytest.raises(FxsimError, match=r'latency = "find": the output reacts [12] cycles .* and [12] from seed'):
        simulate(path)
    assert simulate(path, power_on_seeds=(1,)).passed
