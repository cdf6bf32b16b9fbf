"""Blocks to prove for all their inputs, combinational or of registers: each beside its rule, in Verilog of its own.

The rule is written as the contract states it, in numbers so wide that nothing wraps, and not as the block does it. Of a
block with a state it says what one cycle, or its latency, makes of any state; an invariant is one output that must not
be 1: what held before, and not now.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class Peek(NamedTuple):
    """A net of the block by its name in the netlist; of a memory the word at `address`, a port of the top."""

    net: str
    address: str = ""


class ProvableBlock(NamedTuple):
    """A module beside its rule: `verilog` is the text of a module `top` whose outputs `wrong` must never be 1.

    `parameters`: of the top. `cycle`: the first cycle in which it is asked, after any that went before and whatever
    registers held. `peeks`: inputs of the top that show what is inside the block. `still`: an output of the top; in a
    cycle in which it is 1 no register of the instance `block` may change. `files`: ROM files by name, for their sizes:
    of what they hold nothing is assumed.
    """

    name: str
    top: str
    verilog: str
    parameters: Mapping[str, int]
    cycle: int = 0
    wrong: tuple[str, ...] = ("wrong",)
    peeks: Mapping[str, Peek] = {}
    still: str = ""
    files: Mapping[str, bytes] = {}


_SHIFTED_BITS = 10
"""Width of a sum that `shift_clip` has shifted, bits: twice the result before its bias."""

CLAMP = """
  // saturate(round_shift(total, shift) + bias): floor((2 total + 2^shift) / 2^(shift + 1)), the bias, the range.
  function [7:0] rule;
    input signed [63:0] total;
    input [7:0] shift;
    input signed [7:0] bias;
    reg signed [63:0] places, rounded;
    begin
      // Beyond 40 places every sum of fewer bits rounds to 0, as it does with 40.
      places = (shift > 8'd40) ? 64'sd40 : {56'd0, shift};
      rounded = ((total <<< 1) + (64'sd1 <<< places)) >>> (places + 64'sd1);
      rounded = rounded + bias;
      rule = (rounded > 64'sd127) ? 8'h7f : (rounded < -64'sd128) ? 8'h80 : rounded[7:0];
    end
  endfunction
"""

REQUANTISE = f"""\
module prove_requantise #(
    parameter ACC_W = 23
) (
    input  wire signed [ACC_W-1:0] acc,
    input  wire [7:0]              shift,
    input  wire signed [7:0]       bias,
    output wire                    wrong
);
{CLAMP}
  wire [7:0] y;
  requantise #(.ACC_W(ACC_W)) block (.acc(acc), .shift(shift), .bias(bias), .y(y));
  wire signed [63:0] total = acc;
  assign wrong = y != rule(total, shift, bias);
endmodule
"""

SATURATING_ADD = """\
module prove_saturating_add (
    input  wire signed [7:0] x,
    input  wire signed [7:0] r,
    output wire              wrong
);
  wire [7:0] y;
  saturating_add block (.x(x), .r(r), .y(y));
  wire signed [31:0] wide_x = x;
  wire signed [31:0] wide_r = r;
  wire signed [31:0] sum = wide_x + wide_r;
  wire [7:0] expected = (sum > 32'sd127) ? 8'h7f : (sum < -32'sd128) ? 8'h80 : sum[7:0];
  assign wrong = y != expected;
endmodule
"""

SHIFT_CLIP = """\
module prove_shift_clip #(
    parameter ACC_W = 23
) (
    input  wire signed [ACC_W-1:0] acc,
    input  wire [7:0]              shift,
    output wire                    wrong
);
  wire [9:0] y;
  shift_clip #(.ACC_W(ACC_W)) block (.acc(acc), .shift(shift), .y(y));
  // floor(2 acc / 2^shift), from -512 to 511. Beyond 40 places every sum of fewer bits is 0 or -1, as with 40.
  wire signed [63:0] total = acc;
  wire [7:0] places = (shift > 8'd40) ? 8'd40 : shift;
  wire signed [63:0] halves = (total <<< 1) >>> places;
  wire signed [63:0] expected = (halves > 64'sd511) ? 64'sd511 : (halves < -64'sd512) ? -64'sd512 : halves;
  assign wrong = $signed(y) != expected;
endmodule
"""

AFFINE_LANE = f"""\
module prove_affine_lane (
    input  wire              clk,
    input  wire              enable,
    input  wire signed [7:0] x,
    input  wire signed [7:0] w,
    input  wire signed [7:0] b,
    input  wire [7:0]        s,
    output wire              wrong
);
{CLAMP}
  wire [7:0] y;
  affine_lane block (.clk(clk), .enable(enable), .x(x), .w(w), .b(b), .s(s), .y(y));
  reg known;
  reg signed [63:0] x_then, w_then;
  reg signed [7:0] b_then;
  reg [7:0] s_then;
  always @(posedge clk) begin
    known <= enable;
    x_then <= x;
    w_then <= w;
    b_then <= b;
    s_then <= s;
  end
  assign wrong = known && y != rule(x_then * w_then, s_then, b_then);
endmodule
"""

MAC_CELL = """\
module prove_mac_cell #(
    parameter ACC_W = 26
) (
    input  wire              clk,
    input  wire              multiply,
    input  wire              accumulate,
    input  wire              first,
    input  wire signed [7:0] a,
    input  wire signed [7:0] b,
    output wire              wrong
);
  wire [ACC_W-1:0] sum;
  mac_cell #(.ACC_W(ACC_W)) block (
      .clk(clk), .multiply(multiply), .accumulate(accumulate), .first(first), .a(a), .b(b), .sum(sum)
  );
  reg multiplied, known, kept;
  reg signed [63:0] a_then, b_then;
  reg [ACC_W-1:0] earlier;
  reg signed [63:0] expected;
  wire signed [63:0] sum_before = first ? 64'sd0 : $signed(sum);
  always @(posedge clk) begin
    multiplied <= multiply;
    a_then <= a;
    b_then <= b;
    known <= multiplied && accumulate;
    expected <= sum_before + a_then * b_then;
    kept <= !accumulate;
    earlier <= sum;
  end
  assign wrong = (known && sum != expected[ACC_W-1:0]) || (kept && sum != earlier);
endmodule
"""


def blocks_of(acc_bits: Iterable[int], clipped_bits: Iterable[int]) -> dict[str, tuple[ProvableBlock, ...]]:
    """The blocks that accelerators share, by module.

    `acc_bits`: widths of the accumulators that are requantised in one stage; `clipped_bits`: in two.
    """
    return {
        "requantise": tuple(
            ProvableBlock(f"requantise ({bits} bits)", "prove_requantise", REQUANTISE, {"ACC_W": bits})
            for bits in sorted({*acc_bits, _SHIFTED_BITS})
        ),
        "shift_clip": tuple(
            ProvableBlock(f"shift_clip ({bits} bits)", "prove_shift_clip", SHIFT_CLIP, {"ACC_W": bits})
            for bits in sorted(set(clipped_bits))
        ),
        "saturating_add": (ProvableBlock("saturating_add", "prove_saturating_add", SATURATING_ADD, {}),),
        "affine_lane": (ProvableBlock("affine_lane", "prove_affine_lane", AFFINE_LANE, {}, cycle=1),),
    }
