`default_nettype none

// sat8(floor(acc / 2^shift + 1/2) + bias) as the contract words it, in integers wide enough for every shift:
// floor(acc / 2^shift + 1/2) = floor((2 * acc + 2^shift) / 2^(shift + 1)). Only ever proved equal to requantise.v.
//
// Parameters
//   ACC_W  accumulator width, bits, 2 or more
module requantise_spec #(
    parameter ACC_W = 23
) (
    input  wire signed [ACC_W-1:0] acc,
    input  wire        [7:0]       shift,
    input  wire signed [7:0]       bias,
    output wire signed [7:0]       y
);

  localparam WIDE_W = ACC_W + 260;

  wire signed [WIDE_W-1:0] one = 1;
  wire signed [WIDE_W-1:0] numerator = acc * 2 + (one <<< shift);
  wire signed [WIDE_W-1:0] rounded = numerator >>> ({1'b0, shift} + 9'd1);
  wire signed [WIDE_W-1:0] sum = rounded + bias;
  assign y = sum > 127 ? 8'sd127 : sum < -128 ? -8'sd128 : sum[7:0];

endmodule

`default_nettype wire
