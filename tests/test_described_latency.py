"""Pipelines without a handshake whose latency is found: shown, the same in every trial, or refused."""

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.cosim import command
from fxsim.cosim import CosimResult, cosim
from fxsim.errors import FileError, FxsimError
from fxsim.formats import save
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Relu

RELU = Model(Graph((3, 6), (Node("act", Relu(), (INPUT,)),)), "relu")
X = np.random.default_rng(6).integers(-128, 128, (12, 3, 6)).astype(np.int8)
PIPELINE = """
module pipeline (input wire clk, input wire [143:0] x, output wire [143:0] y);
  reg [143:0] held [0:LAST];
  integer i, k;
  always @(posedge clk) begin
    for (i = 0; i < 18; i = i + 1) held[0][8*i +: 8] <= x[8*i + 7] ? 8'd0 : x[8*i +: 8];
    for (k = 0; k < LAST; k = k + 1) held[k + 1] <= held[k];
  end
  assign y = held[LAST];
endmodule
"""
COMBINATIONAL = """
module pipeline (input wire [143:0] x, output wire [143:0] y);
  genvar i;
  generate
    for (i = 0; i < 18; i = i + 1) begin : lane
      assign y[8*i +: 8] = x[8*i + 7] ? 8'd0 : x[8*i +: 8];
    end
  endgenerate
endmodule
"""
DELAYED = """
module pipeline (input wire clk, input wire [143:0] x, output reg [143:0] y);
  reg [143:0] held [0:599];  // a memory: as many registers would take the compiler long
  reg [9:0] at = 0;
  integer i;
  always @(posedge clk) begin
    for (i = 0; i < 18; i = i + 1) y[8*i +: 8] <= held[at][8*i + 7] ? 8'd0 : held[at][8*i +: 8];
    held[at] <= x;
    at <= at == 599 ? 10'd0 : at + 10'd1;
  end
endmodule
"""
TOGGLING = "reg t = 0; always @(posedge clk) t <= ~t;\nassign y = held[0] ^ t;"
TOML = """
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
latency = "find"
"""


def written(folder: Path, verilog: str, description: str = TOML) -> Path:
    """A design of one file with its description, in a new folder."""
    folder.mkdir()
    (folder / "pipeline.v").write_text(verilog)
    (folder / "pipeline.toml").write_text(description)
    return folder / "pipeline.toml"


def simulate(dut: Path, **options: object) -> CosimResult:
    """Co-simulate, compiled quickly."""
    return cosim(RELU, X, accel="described", dut=str(dut), optimise="-O0", **options)


def stages(number: int) -> str:
    """The pipeline with so many registers."""
    return PIPELINE.replace("LAST", str(number - 1))


@pytest.mark.verilator
@pytest.mark.parametrize(
    ("verilog", "description", "latency"),
    [
        pytest.param(stages(1), TOML, 1, marks=pytest.mark.thorough),
        (stages(7), TOML, 7),
        (COMBINATIONAL, TOML.replace('clock = "clk"', ""), 0),
    ],
    ids=["1", "7", "combinational"],
)
def test_latency_is_found_and_shown(tmp_path: Path, verilog: str, description: str, latency: int) -> None:
    """Registers are counted by the reaction of the output; every value is compared at that latency, and it is said."""
    dut = written(tmp_path / "d", verilog, description)
    result = simulate(dut, stall="random:5+gap:2")
    assert result.passed
    assert result.streams.output.compared == 12 * 18
    assert result.flat()["described"].latency == latency
    assert result.timing.latency_cycles == latency + 1  # both ends counted
    stated = written(tmp_path / "s", verilog, description.replace('"find"', str(latency)))
    assert simulate(stated).passed
    assert simulate(stated).flat()["described"].latency is None


@pytest.mark.verilator
def test_command_shows_the_latency_that_was_found(tmp_path: Path) -> None:
    """A line for people."""
    save(RELU, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", X)
    dut = written(tmp_path / "d", stages(1))
    done = CliRunner().invoke(command, [str(tmp_path / "m.safetensors"), str(tmp_path / "x.npy"), "--dut", str(dut)])
    assert done.exit_code == 0, done.output
    assert "latency found: the output reacts 1 cycles after its input" in done.output


@pytest.mark.verilator
def test_no_latency_makes_a_wrong_design_right(tmp_path: Path) -> None:
    """One value of one channel is wrong: the latency is found all the same, and the value is a difference."""
    wrong = stages(3).replace("assign y = held[2];", "assign y = held[2] ^ (held[2][7:0] == 8'd0);")
    result = simulate(written(tmp_path / "d", wrong))
    assert not result.passed
    assert result.flat()["described"].latency == 3
    first = result.verdict.first_mismatch
    image = next(i for i in range(len(X)) if X[i, 0, 0] <= 0)
    assert first is not None
    assert (first.image, first.token, first.channel) == (image, 0, 0)


@pytest.mark.verilator
@pytest.mark.parametrize(
    ("verilog", "words"),
    [
        (stages(3).replace("held[2];", "{held[1][143:8], held[2][7:0]};"), "the output changes 2 and 3 cycles after"),
        (stages(1).replace("assign y = held[0];", "assign y = 144'd0;"), "the output reacts to 0 of 8 changes"),
        (stages(1).replace("assign y = held[0];", TOGGLING), "the output changes"),
        (
            stages(2).replace("assign y = held[1];", "reg t = 0; assign y = t ? held[1] : held[0];\n"
                              "always @(posedge clk) if (held[0] != held[1]) t <= ~t;"),
            "expected",
        ),
        (DELAYED, "it is slower, or changes by itself|reacts to 0 of 8"),
    ],
    ids=["lanes apart", "constant", "by itself", "now and then", "too slow"],
)  # fmt: skip
def test_what_has_no_one_latency_is_refused(tmp_path: Path, verilog: str, words: str) -> None:
    """Outputs apart, none, one that changes by itself, one that differs from time to time, one beyond the bound."""
    with pytest.raises(FxsimError, match='latency = "find"') as caught:
        simulate(written(tmp_path / "d", verilog))
    assert re.search(words, str(caught.value))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("lanes = 18\n[[", "lanes = 6\n[[", "an image has 3 beats in and 1 out, expected one each"),
        ('{ data = "x" }', '{ data = "x", start = "s" }', "has a ready or a start"),
        ('latency = "find"', 'latency = "seek"', "latency"),
    ],
)
def test_latency_is_only_sought_where_it_can_be_told(tmp_path: Path, old: str, new: str, words: str) -> None:
    """Several beats an image, and an input that says when it begins: refused before anything is built."""
    verilog = stages(1).replace("[143:0] x,", "[47:0] x,") if "lanes" in new else stages(1)
    verilog = verilog.replace("input wire clk,", "input wire clk, input wire s,") if "start" in new else verilog
    assert old in TOML
    with pytest.raises(FileError, match=words):
        simulate(written(tmp_path / "d", verilog, TOML.replace(old, new)))
