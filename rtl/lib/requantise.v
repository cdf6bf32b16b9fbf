`default_nettype none

// Requantisation of one accumulator: y = sat8(round_shift(acc, shift) + bias). Combinational.
//
// round_shift(a, s) = floor(a / 2^s + 1/2) for every s from 0 to 255: ties go towards plus infinity, a shift
// beyond the accumulator's width gives 0. One zero is appended below the accumulator before it is shifted, so
// that the bit just under the result is the rounding bit for s >= 1 and is 0 for s = 0.
//
// Parameters
//   ACC_W  accumulator width, bits, 2 or more
module requantise #(
    parameter ACC_W = 23
) (
    input  wire [ACC_W-1:0] acc,    // two's complement
    input  wire [7:0]       shift,  // unsigned
    input  wire [7:0]       bias,   // two's complement, at the scale of y
    output wire [7:0]       y       // two's complement
);

  localparam WIDE_W = ACC_W + 1;
  // One bit more than the wider addend. The rounding bit needs none: where it is 1 the accumulator has been shifted.
  localparam SUM_W = (ACC_W > 8 ? ACC_W : 8) + 1;
  localparam HIGH_W = SUM_W - 7;  // the sign and everything above an int8's seven magnitude bits

  generate
    if (ACC_W < 2) begin : illegal_acc_w
      illegal_parameter_ACC_W_is_below_2 stop ();
    end
  endgenerate

  wire signed [WIDE_W-1:0] appended = {acc, 1'b0};
  wire signed [WIDE_W-1:0] wide = appended >>> shift;
  wire [ACC_W-1:0] quotient = wide[WIDE_W-1:1];
  wire [SUM_W-1:0] quotient_extended = {{(SUM_W - ACC_W) {quotient[ACC_W-1]}}, quotient};
  wire [SUM_W-1:0] rounding_bit = {{(SUM_W - 1) {1'b0}}, wide[0]};
  wire [SUM_W-1:0] bias_extended = {{(SUM_W - 8) {bias[7]}}, bias};
  wire [SUM_W-1:0] sum = quotient_extended + rounding_bit + bias_extended;

  wire negative = sum[SUM_W-1];
  wire fits = sum[SUM_W-1:7] == {HIGH_W{negative}};
  assign y = fits ? sum[7:0] : {negative, {7{!negative}}};

endmodule

`default_nettype wire
