`default_nettype none

// The end of a scaled sum: y = clip(round_shift(acc, shift) + bias), to the range of y. round_shift(a, s) =
// floor(a / 2^s + 1/2), for every shift: ties go towards plus infinity.
//
// Takes acc, shift and bias in a cycle with `shift_enable`, and adds and clips in one with `sum_enable`; y is there in the
// next cycle, and stays until the one after. One zero is appended below the sum before it is shifted, so that the bit
// just under the result is the rounding bit for shifts of 1 and more, and 0 for a shift of 0.
//
// Parameters
//   ACC_W     width of the sum, bits, 2 or more
//   S_W       width of the shift, bits, 1 to 8
//   B_W       width of the bias, bits, 1 or more
//   Y_W       width of the result, bits, 1 or more
//   Y_SIGNED  1: the result is two's complement, 0: unsigned
//   RELU      1: the result is not below 0, whatever its format
module finish_lane #(
    parameter ACC_W = 20,
    parameter S_W = 4,
    parameter B_W = 8,
    parameter Y_W = 8,
    parameter Y_SIGNED = 1,
    parameter RELU = 0
) (
    input  wire             clk,
    input  wire             shift_enable,
    input  wire             sum_enable,
    input  wire [ACC_W-1:0] acc,           // two's complement
    input  wire [  S_W-1:0] shift,         // unsigned
    input  wire [  B_W-1:0] bias,          // two's complement, at the scale of y
    output wire [  Y_W-1:0] y
);

  generate
    if (ACC_W < 2) begin : illegal_acc_w
      illegal_parameter_ACC_W_is_below_2 stop ();
    end
    if (S_W < 1 || S_W > 8) begin : illegal_s_w
      illegal_parameter_S_W_is_not_1_to_8 stop ();
    end
    if (B_W < 1) begin : illegal_b_w
      illegal_parameter_B_W_is_below_1 stop ();
    end
    if (Y_W < 1) begin : illegal_y_w
      illegal_parameter_Y_W_is_below_1 stop ();
    end
    if (Y_SIGNED != 0 && Y_SIGNED != 1) begin : illegal_y_signed
      illegal_parameter_Y_SIGNED_is_not_0_or_1 stop ();
    end
    if (RELU != 0 && RELU != 1) begin : illegal_relu
      illegal_parameter_RELU_is_not_0_or_1 stop ();
    end
  endgenerate

  localparam WIDE_W = ACC_W + 1;
  // One bit more than the wider addend, and more than an unsigned result has. The rounding bit needs none: where it is 1
  // the sum has been shifted.
  localparam WIDER = (ACC_W > B_W) ? ACC_W : B_W;
  localparam SUM_W = ((WIDER > Y_W) ? WIDER : Y_W) + 1;
  localparam MAGNITUDE_W = Y_W - Y_SIGNED;    // bits of y below its sign
  localparam HIGH_W = SUM_W - MAGNITUDE_W;    // the sum's sign and everything above those
  localparam NOT_BELOW_0 = Y_SIGNED == 0 || RELU != 0;

  wire signed [WIDE_W-1:0] appended = {acc, 1'b0};
  wire signed [WIDE_W-1:0] wide = appended >>> shift;

  reg [WIDE_W-1:0] wide_reg;
  reg [B_W-1:0] bias_reg;
  reg [Y_W-1:0] y_reg;

  wire [ACC_W-1:0] quotient = wide_reg[WIDE_W-1:1];
  wire [SUM_W-1:0] quotient_extended = {{(SUM_W - ACC_W) {quotient[ACC_W-1]}}, quotient};
  wire [SUM_W-1:0] rounding_bit = {{(SUM_W - 1) {1'b0}}, wide_reg[0]};
  wire [SUM_W-1:0] bias_extended = {{(SUM_W - B_W) {bias_reg[B_W-1]}}, bias_reg};
  wire [SUM_W-1:0] sum = quotient_extended + rounding_bit + bias_extended;
  wire negative = sum[SUM_W-1];
  wire fits = sum[SUM_W-1:MAGNITUDE_W] == {HIGH_W{negative}};

  wire [Y_W-1:0] most = {Y_W{1'b1}} >> Y_SIGNED;
  wire [Y_W-1:0] least = NOT_BELOW_0 ? {Y_W{1'b0}} : ~most;
  wire [Y_W-1:0] clipped = (negative && (NOT_BELOW_0 || !fits)) ? least : fits ? sum[Y_W-1:0] : most;

  always @(posedge clk) begin
    if (shift_enable) begin
      wide_reg <= wide;
      bias_reg <= bias;
    end
    if (sum_enable) y_reg <= clipped;
  end

  assign y = y_reg;

endmodule

`default_nettype wire
