`default_nettype none

// floor(2 * acc / 2^shift), clipped to -512 to 511, in integers wide enough for every shift. Only ever proved equal to
// shift_clip.v.
//
// Parameters
//   ACC_W  accumulator width, bits, 10 or more
module shift_clip_spec #(
    parameter ACC_W = 23
) (
    input  wire signed [ACC_W-1:0] acc,
    input  wire        [7:0]       shift,
    output wire signed [9:0]       y
);

  localparam WIDE_W = ACC_W + 260;

  wire signed [WIDE_W-1:0] one = 1;
  wire signed [WIDE_W-1:0] doubled = acc * 2;
  wire signed [WIDE_W-1:0] place = one <<< shift;
  wire signed [WIDE_W-1:0] halves = doubled >>> shift;
  assign y = doubled >= 512 * place ? 10'sd511 : doubled < -512 * place ? -10'sd512 : halves[9:0];

endmodule

`default_nettype wire
