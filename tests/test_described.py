"""Somebody's own RTL, bound to a model by a description: what passes, what is found, what is refused."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.cosim import _print_failure, command
from fxsim.cli.diff import command as explain
from fxsim.contract import Tensor
from fxsim.contract.number import Number
from fxsim.cosim import CosimResult, cosim
from fxsim.devices.described.bind import bind
from fxsim.devices.described.expressions import below
from fxsim.devices.described.packing import make_beats
from fxsim.devices.described.parts import Packing
from fxsim.errors import FileError, FxsimError, StimulusError
from fxsim.formats import save
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Linear, Relu

AWKWARD = Path(__file__).parent / "rtl" / "awkward"
RANDOM = np.random.default_rng(20261129)
X = RANDOM.integers(-128, 128, (12, 3, 6)).astype(np.int8)

Edit = Callable[[str], str]


@pytest.fixture(scope="module")
def model() -> Model:
    """A linear, with a shift of 0 among others, and a ReLU."""
    weight = RANDOM.integers(-128, 128, (4, 6)).astype(np.int8)
    bias, shift = np.array([3, -90, 0, 100], np.int8), np.array([8, 0, 9, 7], np.uint8)
    nodes = (Node("fc", Linear(weight, bias, shift), (INPUT,)), Node("act", Relu(), ("fc",)))
    return Model(Graph((3, 6), nodes), "tiny")


def design(folder: Path, edits: dict[str, Edit] | None = None) -> Path:
    """A copy of the awkward design in a new folder, files edited; returns its description."""
    shutil.copytree(AWKWARD, folder)
    for name, edit in (edits or {}).items():
        before = (folder / name).read_text()
        after = edit(before)
        assert after != before
        (folder / name).write_text(after)
    return folder / "awkward.toml"


def swap(old: str, new: str) -> Edit:
    """An edit of a text that stands once."""
    return lambda text: re.sub(re.escape(old), lambda _: new, text, count=1)


def simulate(model: Model, dut: Path, **options: object) -> CosimResult:
    """Co-simulate a described design, compiled quickly."""
    return cosim(model, X, accel="described", dut=str(dut), optimise="-O0", **options)


# --- expressions and packing ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", "dut.a"),
        ("u_core.g[3].q", "dut.u_core.g [ 3 ].q"),
        ("{a, b.c}", "{ dut.a , dut.b.c }"),
        ("v & ~stall", "dut.v & ~ dut.stall"),
        ("m[8 +: 8]", "dut.m [ 8 +: 8 ]"),
        ("s == 2'd3", "dut.s == 2'd3"),
    ],
)
def test_names_of_an_expression_are_put_below_the_instance(text: str, expected: str) -> None:
    """Every name but those behind a dot."""
    assert below("dut", text, "tap") == expected


@pytest.mark.parametrize(
    "text", ["", "a; assign b = 1", "$finish", "`X", '"text"', "a[3", "a)", "(a]", "\\esc ", "end", "a // b\n", "a = b"]
)
def test_what_is_no_expression_is_refused(text: str) -> None:
    """Nothing that could end the statement it stands in."""
    with pytest.raises(FileError, match="tap"):
        below("dut", text, "tap")


@pytest.mark.parametrize(
    ("packing", "beats"),
    [
        (Packing(), [[0], [1], [2], [3], [4], [5]]),
        (Packing(lanes=2), [[0, 1], [2, 3], [4, 5]]),
        (Packing(lanes=2, pack="row"), [[0, 1], [2, -1], [3, 4], [5, -1]]),
        (Packing(lanes=4), [[0, 1, 2, 3], [4, 5, -1, -1]]),
        (Packing(order=("channel", "token")), [[0], [3], [1], [4], [2], [5]]),
        (Packing(lanes=3, order=("-token", "channel")), [[3, 4, 5], [0, 1, 2]]),
        (Packing(lanes=3, order=("token", "-channel")), [[2, 1, 0], [5, 4, 3]]),
    ],
)
def test_values_lie_in_beats_as_stated(packing: Packing, beats: list[list[int]]) -> None:
    """Two tokens of three channels."""
    assert make_beats(packing, Tensor(("token", "channel"), (2, 3)), "stream").places.tolist() == beats


def test_values_are_packed_with_their_sign_and_lanes_that_are_empty_are_0() -> None:
    """A lane of 12 bits takes two bytes."""
    beats = make_beats(Packing(lanes=2, number="int12"), Tensor(("channel",), (3,)), "stream")
    packed = beats.pack(np.array([[-1, 2, -128]], np.int8))
    assert packed.tolist() == [[0xFF, 0xFF, 2, 0, 0x80, 0xFF, 0, 0]]


@pytest.mark.parametrize(
    ("packing", "words"),
    [
        (Packing(order=("token",)), "order is token, expected each of token, channel once"),
        (Packing(order=("token", "head")), "order is token, head"),
        (Packing(number="int4"), "a lane is int4, which cannot hold every int8"),
        (Packing(number="uint8"), "a lane is uint8, which cannot hold every int8"),
        (Packing(number="float8"), "number format is 'float8'"),
    ],
)
def test_packing_that_does_not_fit_is_refused(packing: Packing, words: str) -> None:
    """An axis that is missing or unknown, a number that is too narrow."""
    with pytest.raises(FileError, match=words):
        make_beats(packing, Tensor(("token", "channel"), (2, 3), Number(8)), "stream")


# --- descriptions that do not fit, before anything is built ---


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ({"awkward.toml": swap('top = "awkward"', 'top = "awkwart"')}, "there is no module 'awkwart'"),
        ({"awkward.toml": swap('"clk_i"', '"clk"')}, "clock: the design has no port 'clk'; the nearest .* 'clk_i'"),
        ({"awkward.toml": swap('"rst_ni"', '"out_vld"')}, "reset: port 'out_vld' is an output, expected an input"),
        ({"awkward.toml": swap("tie = { mode_i = 1 }", "")}, "nothing drives the input mode_i"),
        ({"awkward.toml": swap("mode_i = 1", "mode_i = 2")}, "tie: 2 does not fit port 'mode_i' of 1 bits"),
        ({"awkward.toml": swap("lanes = 2", "lanes = 3")}, "'in_pair' has 16 bits, expected 24 .*3 lanes of int8"),
        ({"awkward.toml": swap('name = "fc"', 'name = "fc1"')}, "model has no such tap; the nearest that it has: 'fc'"),
        ({"awkward.toml": swap("g_out[3].u_neuron", "g_out[3].u_neurn")}, "tap 'fc', data: .*'u_neurn'.*'u_neuron'"),
        ({"awkward.toml": swap("g_out[3].u_neuron.q_o, ", "")}, "has 24 bits, expected 32"),
        ({"awkward.toml": swap('valid = "done"', 'valid = "beat"')}, "tap 'fc', valid: beat has 2 bits, expected 1"),
        ({"awkward.toml": swap('"fc.channel"', '"fc.head"')}, "parameters: OUTPUTS is 'fc.head'"),
        ({"awkward.toml": swap('"fc.weight"', '"fc.wait"')}, "memory 'w.hex': the model has no array 'fc.wait'"),
        ({"awkward.toml": swap('"neuron.sv", ', "")}, "neuron"),
        ({"awkward.toml": swap('"neuron.sv"', '"../neuron.sv"')}, "leads out of the folder"),
        ({"awkward.toml": swap('"neuron.sv"', '"none*.sv"')}, "means no file"),
        ({"awkward.toml": swap('file = "w.hex"', 'file = "/tmp/w.hex"')}, "expected a name below the folder"),
        ({"awkward.toml": swap('word = "row"', 'words = "row"')}, "words"),
        ({"awkward.toml": swap('role = "output"', 'role = "input"')}, "expected input and output"),
        ({"neuron.sv": swap("endmodule", "endmodul")}, "neuron.sv, line"),
    ],
)  # fmt: skip
def test_description_that_does_not_fit_is_one_message(
    model: Model, tmp_path: Path, edits: dict[str, Edit], words: str
) -> None:
    """Names the file, the place and what was expected; nothing is built."""
    path = design(tmp_path / "design", edits)
    with pytest.raises(FxsimError, match=words) as caught:
        simulate(model, path, status=lambda text: pytest.fail(f"{text}: before the description was refused"))
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_source_that_is_a_link_out_of_the_folder_is_refused(model: Model, tmp_path: Path) -> None:
    """What lies elsewhere is not the design's."""
    path = design(tmp_path / "design")
    (tmp_path / "neuron.sv").write_bytes((path.parent / "neuron.sv").read_bytes())
    (path.parent / "neuron.sv").unlink()
    (path.parent / "neuron.sv").symlink_to(tmp_path / "neuron.sv")
    with pytest.raises(FileError, match="is a link out of the folder"):
        simulate(model, path)


def test_described_device_needs_a_description(model: Model) -> None:
    """Without one there is nothing to simulate."""
    with pytest.raises(StimulusError, match=r"expected --dut FILE\.toml"):
        cosim(model, X, accel="described")


# --- simulation ---


@pytest.mark.verilator
def test_right_design_passes_with_stalls_and_resets(model: Model, tmp_path: Path) -> None:
    """Every value of the tap and of the output is compared; what the design cannot do is refused."""
    path = design(tmp_path / "design")
    result = simulate(model, path)
    assert result.passed
    assert {name: tap.compared for name, tap in result.streams.taps.items()} == {"fc": 12 * 12}
    assert result.streams.output.compared == 12 * 12
    assert result.streams.unprobed == ()
    disturbed = simulate(model, path, stall="random:3+gap:7+reset:2:6")
    assert disturbed.passed
    assert disturbed.timing.resets == 6
    with pytest.raises(StimulusError, match="has no ready"):
        simulate(model, path, stall="output:1")
    with pytest.raises(StimulusError, match="describes no AXI4 master"):
        simulate(model, path, stall="error:1")


@pytest.mark.verilator
@pytest.mark.parametrize(
    ("edits", "tap", "channels"),
    [
        # The fifth weight's product is lost, in every channel; only the second has a shift of 0.
        ({"neuron.sv": swap("k < INPUTS", "k < INPUTS - 1")}, "fc", {0, 1, 2, 3}),
        ({"awkward.sv": swap("q < 0 ? '0 : q", "(n == 2 || q > 0) ? q : '0")}, "out_vec", {2}),
        ({"awkward.toml": swap('first = "high"', 'first = "low"')}, "fc", {0, 1, 2, 3}),
    ],
    ids=["product", "relu", "weights"],
)
def test_fault_is_located(model: Model, tmp_path: Path, edits: dict[str, Edit], tap: str, channels: set[int]) -> None:
    """The first difference is at the faulty operator's tap, and only in channels that it has."""
    result = simulate(model, design(tmp_path / "design", edits))
    assert not result.passed
    first = result.verdict.first_mismatch
    assert first is not None
    assert first.tap == tap
    stream = result.streams.taps.get(tap, result.streams.output)
    assert {example.index["channel"] for example in stream.examples} <= channels
    if tap == "out_vec":
        assert result.streams.taps["fc"].mismatches == 0


@pytest.mark.verilator
def test_design_that_stops_and_one_that_goes_on_too_long_fail(model: Model, tmp_path: Path) -> None:
    """Values that do not come are a watchdog's finding, values too many a fault."""
    stopped = simulate(model, design(tmp_path / "a", {"awkward.toml": swap("mode_i = 1", "mode_i = 0")}))
    assert not stopped.passed
    assert stopped.verdict.stopped is not None
    assert "gives no more of image 0" in stopped.verdict.stopped.reason
    surplus = simulate(
        model, design(tmp_path / "b", {"awkward.sv": swap("out_vld <= done", "out_vld <= (done || fire)")})
    )
    assert not surplus.passed


@pytest.mark.verilator
@pytest.mark.slow
def test_command_says_what_was_not_compared_and_keeps_a_folder_that_repeats_a_failure(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--dut` alone chooses the device; the kept folder is whole and gives the same first difference."""
    taps = (AWKWARD / "awkward.toml").read_text()
    without = taps[: taps.index("[[tap]]")] + taps[taps.index("[[memory]]") :]
    path = design(tmp_path / "d", {"awkward.toml": lambda _: without, "neuron.sv": swap("if (shift_i != 0)", "if (0)")})
    save(model, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", X)
    words = [str(tmp_path / "m.safetensors"), str(tmp_path / "x.npy"), "--dut", str(path)]
    found = CliRunner().invoke(command, [*words, "--keep", str(tmp_path / "kept")])
    assert found.exit_code == 1, found.output
    assert "not compared, since the design shows no such tap: fc" in found.output
    first = re.search(r"first (.*)", found.output)
    assert first is not None
    assert {entry.name for entry in (tmp_path / "kept").iterdir()} == {
        "failure.gtkw", "failure.sucl",
        "got", "images.npy", "model.safetensors", "replay.sh", "result.json", "rom", "rtl",
    }  # fmt: skip
    explained = CliRunner().invoke(explain, [str(tmp_path / "kept"), "--json"])
    (cause,) = json.loads(explained.output)["faults"]
    assert (cause["tap"], cause["node"], cause["label"]) == ("act", "fc", "rounding_floor")
    monkeypatch.chdir(tmp_path / "kept")
    shutil.rmtree(tmp_path / "d")
    replay = (tmp_path / "kept" / "replay.sh").read_text().split("exec fxsim cosim ")[1].split()
    again = CliRunner().invoke(command, replay)
    assert again.exit_code == 1
    assert first[1] in again.output


# --- other interfaces ---

RELU = Model(Graph((3, 6), (Node("act", Relu(), (INPUT,)),)), "relu")

PIPELINE = """
module pipeline (input wire clk, input wire [143:0] x, output reg [143:0] y);
  reg [143:0] held;
  integer i;
  always @(posedge clk) begin
    held <= x;
    for (i = 0; i < 18; i = i + 1) y[8*i +: 8] <= held[8*i + 7] ? 8'd0 : held[8*i +: 8];
  end
endmodule
"""
PIPELINE_TOML = """
top = "pipeline"
sources = ["pipeline.v"]
clock = "clk"
[[stream]]
role = "input"
signals = { data = "x" }
lanes = 18
[[stream]]
role = "output"
signals = { data = "y" }
lanes = 18
latency = 2
"""

AXI = """
module axi (
    input wire clk, input wire rst_n,
    input wire [31:0] s_axis_tdata, input wire s_axis_tvalid, output wire s_axis_tready, input wire s_axis_tlast,
    input wire [3:0] s_axis_tkeep,
    output wire [31:0] m_axis_tdata, output wire m_axis_tvalid, input wire m_axis_tready, output wire m_axis_tlast,
    output wire [3:0] m_axis_tkeep
);
  genvar i;
  generate
    for (i = 0; i < 4; i = i + 1) begin : lane
      assign m_axis_tdata[8*i +: 8] = s_axis_tdata[8*i + 7] ? 8'd0 : s_axis_tdata[8*i +: 8];
    end
  endgenerate
  assign m_axis_tvalid = s_axis_tvalid & rst_n;
  assign s_axis_tready = m_axis_tready & rst_n;
  assign m_axis_tlast = s_axis_tlast;
  assign m_axis_tkeep = s_axis_tkeep;
endmodule
"""
AXI_TOML = """
top = "axi"
sources = ["axi.v"]
reset = { signal = "rst_n", active = "low" }
tie = { clk = 0 }
[[stream]]
role = "input"
prefix = "s_axis"
lanes = 4
pack = "row"
last = "row"
[[stream]]
role = "output"
prefix = "m_axis"
lanes = 4
pack = "row"
last = "row"
"""


def written(folder: Path, name: str, verilog: str, description: str) -> Path:
    """A design of one file with its description, in a new folder."""
    folder.mkdir()
    (folder / f"{name}.v").write_text(verilog)
    (folder / f"{name}.toml").write_text(description)
    return folder / f"{name}.toml"


@pytest.mark.verilator
def test_pipeline_without_handshake_or_reset_is_read_at_its_latency(tmp_path: Path) -> None:
    """A whole image a cycle, with bubbles too; one cycle beside it is found wrong, and a reset cannot be asked for."""
    right = simulate(RELU, written(tmp_path / "a", "pipeline", PIPELINE, PIPELINE_TOML), stall="random:5+gap:2")
    assert right.passed
    assert right.streams.output.compared == 12 * 18
    assert right.timing.latency_cycles == 3  # both ends counted
    for wrong in (1, 3):
        text = PIPELINE_TOML.replace("latency = 2", f"latency = {wrong}")
        late = simulate(RELU, written(tmp_path / f"w{wrong}", "pipeline", PIPELINE, text), stall="random:5+gap:2")
        assert not late.passed
        assert late.streams.mismatches > 0
    with pytest.raises(StimulusError, match="describes no reset"):
        simulate(RELU, tmp_path / "a" / "pipeline.toml", stall="reset:1")


def test_tap_of_a_fixed_latency_holds_back_whole_images_only(model: Model, tmp_path: Path) -> None:
    """A tap with a valid lets the input wait amid an image; one that comes at fixed cycles does not."""
    assert not bind(design(tmp_path / "a"), model).whole_images
    fixed = design(tmp_path / "b", {"awkward.toml": swap('valid = "done"', "latency = 3")})
    assert bind(fixed, model).whole_images


@pytest.mark.verilator
def test_rules_of_axi4_stream_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows of six in lanes of four: the last beat of each has two, with tkeep and tlast."""
    right = simulate(RELU, written(tmp_path / "a", "axi", AXI, AXI_TOML), stall="random:5+reset:3:2")
    assert right.passed
    assert right.streams.output.compared >= 12 * 18
    for n, (old, new, kind) in enumerate(
        (
            ("tlast = s_axis_tlast", "tlast = 1'b0", "tlast missing"),
            ("tlast = s_axis_tlast", "tlast = 1'b1", "tlast too early"),
            ("tkeep = s_axis_tkeep", "tkeep = 4'hf", "tkeep wrong"),
            # Right whenever it is taken.
            ("tkeep = s_axis_tkeep", "tkeep = s_axis_tkeep & {4{m_axis_tready}}", "beat changed while waiting"),
            ("s_axis_tvalid & rst_n", "s_axis_tvalid & rst_n & m_axis_tready", "tvalid waits for tready"),
        )
    ):
        assert old in AXI
        wrong = simulate(RELU, written(tmp_path / f"w{n}", "axi", AXI.replace(old, new), AXI_TOML), stall="random:5")
        assert not wrong.passed
        assert wrong.streams.mismatches == 0
        assert {fault.kind for fault in wrong.verdict.faults} == {kind}
        capsys.readouterr()
        _print_failure(wrong)
        # The first of many that are alike, then their number.
        shown, left = capsys.readouterr().out.count(kind), wrong.verdict.fault_count - 2
        assert (shown, left > 0) == (2, wrong.verdict.fault_count > 2)
