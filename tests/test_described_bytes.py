"""Byte order of values wider than a byte: in streams, taps, memory files and RAMs; expectations are by hand."""

from pathlib import Path

import numpy as np
import pytest

from fxsim.contract import Tensor
from fxsim.cosim.four_state import four_state
from fxsim.devices.described.check import check
from fxsim.devices.described.description import Memory
from fxsim.devices.described.memory import memory_text
from fxsim.devices.described.packing import make_beats
from fxsim.devices.described.parts import Packing
from fxsim.errors import FileError
from fxsim.vectors.kit import write_kit
from tests.test_described import RELU, X, simulate, written
from tests.test_described_orders import HERE, network
from tests.test_kit import ran

SWAPPED = """
module swapped (input wire clk, input wire [31:0] x, input wire v, output reg [31:0] y, output reg w);
  // Two values a beat, the first above; of each the most significant byte below.
  wire signed [15:0] first = {x[23:16], x[31:24]};
  wire signed [15:0] second = {x[7:0], x[15:8]};
  wire signed [15:0] a = first < 0 ? 0 : first;
  wire signed [15:0] b = second < 0 ? 0 : second;
  initial w = 0;
  always @(posedge clk) begin
    w <= v;
    y <= {a[7:0], a[15:8], b[7:0], b[15:8]};
  end
endmodule
"""
SWAPPED_TOML = """
top = "swapped"
sources = ["swapped.v"]
clock = "clk"
[[stream]]
role = "input"
signals = { data = "x", valid = "v" }
lanes = 2
number = "int16"
lane_order = "high"
byte_order = "big"
[[stream]]
role = "output"
signals = { data = "y", valid = "w" }
lanes = 2
number = "int16"
lane_order = "high"
byte_order = "big"
[[tap]]
name = "act"
data = "{a, b}"
valid = "v"
lanes = 2
number = "int16"
lane_order = "high"
"""
RAM = """
module echo (
    input wire clk, input wire start, output reg done,
    output reg [4:0] x_addr, input wire [15:0] x_q,
    output wire [4:0] y_addr, output wire y_we, output wire [15:0] y_d
);
  reg run;
  initial {run, done} = 0;
  // The byte below holds the sign.
  assign y_addr = x_addr, y_we = run, y_d = x_q[0] ? 16'd0 : x_q;
  always @(posedge clk) begin
    done <= run && x_addr == 17;
    if (start) begin run <= 1; x_addr <= 0; end
    else if (run) begin x_addr <= x_addr + 1; run <= x_addr != 17; end
  end
endmodule
"""
RAM_TOML = """
top = "echo"
sources = ["echo.v"]
clock = "clk"
control = { start = "start", done = "done" }
[[ram]]
name = "x"
address = "x_addr"
read = "x_q"
latency = 0
[[ram]]
name = "y"
address = "y_addr"
write = "y_d"
write_enable = "y_we"
[[region]]
memory = "x"
role = "input"
number = "int16"
byte_order = "big"
[[region]]
memory = "y"
role = "output"
number = "int16"
byte_order = "big"
"""


@pytest.mark.verilator
@pytest.mark.icarus
def test_streams_of_values_whose_most_significant_byte_is_below(tmp_path: Path) -> None:
    """The same by cosim, kit and four states, with a tap in the other order; as little-endian it is found wrong."""
    path = written(tmp_path / "d", "swapped", SWAPPED, SWAPPED_TOML)
    found = check(path, RELU)
    assert [line.byte_order for line in (*found.streams, *found.taps)] == ["big", "big", "little"]
    assert simulate(RELU, path, stall="random:3").passed
    write_kit(RELU, X[:2], tmp_path / "kit", "described", {"dut": str(path)})
    first, second = (int(value) & 0xFFFF for value in X[0, 0, :2])
    turned = [(value & 255) << 8 | value >> 8 for value in (first, second)]
    assert (tmp_path / "kit" / "stimulus.hex").read_text().split()[0] == f"{turned[0] << 16 | turned[1]:08x}"
    assert ran(tmp_path / "kit") == (0, "PASS: 2 images, 36 beats equal")
    known = four_state(RELU, X, accel="described", settings={"dut": str(path)}, images=(0, 2))
    assert known.passed, known.reason
    for n, (one, other) in enumerate((("[[tap]]", 0), ("[[stream]]", 2))):
        head, mark, tail = SWAPPED_TOML.partition(one) if other == 0 else SWAPPED_TOML.rpartition(one)
        text = head.replace('byte_order = "big"', "") + mark + tail.replace('byte_order = "big"', "")
        wrong = written(tmp_path / f"w{n}", "swapped", SWAPPED, text)
        options = {"accel": "described", "settings": {"dut": str(wrong)}, "images": (0, 2), "stalls": (0,)}
        assert not four_state(RELU, X, **options).passed  # type: ignore[arg-type]
    assert not simulate(RELU, wrong).passed


@pytest.mark.verilator
@pytest.mark.thorough
def test_memories_of_jobs_have_it_too(tmp_path: Path) -> None:
    """An input and an output of 16 bits; where the design takes them otherwise they differ."""
    right = simulate(RELU, written(tmp_path / "a", "echo", RAM, RAM_TOML))
    assert (right.passed, right.streams.output.compared) == (True, 12 * 18)
    wrong = simulate(RELU, written(tmp_path / "b", "echo", RAM, RAM_TOML.replace('byte_order = "big"', "")))
    assert wrong.streams.mismatches > 0


def test_memory_files_have_it_by_value() -> None:
    """Bias -1 and 2 of 16 bits, and rows of four values of 24 bits; lanes are turned by `first` alone."""
    bias = Memory(file="b.hex", tensor="fc.bias", bits=16, byte_order="big")
    assert memory_text(HERE, bias, network()) == "ffff\n0200\n"
    row = Memory(file="w.hex", tensor="fc.weight", bits=24, word="row", byte_order="big", first="high")
    assert memory_text(HERE, row, network()).split()[0] == "100000110000120000130000"
    low = Memory(file="w.hex", tensor="fc.weight", bits=24, word="row", byte_order="big")
    assert memory_text(HERE, low, network()).split()[0] == "130000120000110000100000"


@pytest.mark.parametrize("bits", [8, 12])
def test_byte_order_of_what_has_none_is_refused(bits: int) -> None:
    """One byte, and no whole bytes: what is meant is an order of lanes, or nothing."""
    words = f"byte_order is 'big', and .* has {bits} bits, expected 16, 24 or 32"
    with pytest.raises(FileError, match=words):
        make_beats(Packing(number=f"int{bits}", byte_order="big"), Tensor(("channel",), (2,)), "stream")
    with pytest.raises(FileError, match=words):
        memory_text(HERE, Memory(file="b.hex", tensor="fc.bias", bits=bits, byte_order="big"), network())


def test_packing_has_it() -> None:
    """Values stay what they are in the record; only the wires turn them."""
    beats = make_beats(Packing(number="int16", byte_order="big"), Tensor(("channel",), (2,)), "stream")
    assert beats.big_endian
    assert beats.pack(np.array([[1, -2]], np.int8)).tolist() == [[1, 0, 0xFE, 0xFF]]
