`default_nettype none

// One value scaled: y = clip(round_shift(x * w + r * v, shift) + bias), to the range of y. round_shift(a, s) is a / 2^s
// rounded to the nearest whole number, for every shift; ROUNDING says where ties go.
//
// Takes x, w, r, v, shift and bias in a cycle with `scale_enable`, shifts in one with `shift_enable`, and adds and clips in
// one with `sum_enable`; y is there in the next cycle, and stays until the one after. One zero is appended below the sum
// before it is shifted, so that the bit just under the result is the rounding bit for shifts of 1 and more, and 0 for a
// shift of 0. What is kept there is whether 1 is to be added: the rounding bit, of a tie only where ROUNDING says so.
//
// Parameters
//   X_W, X_SIGNED  width of x, bits, 1 to 32; 1: it is two's complement, 0: unsigned
//   W_W            width of w, bits, 1 or more
//   R_W, R_SIGNED  of r, as of x
//   V_W            width of v, bits, 1 or more
//   ACC_W          width of x * w + r * v, bits, as many as hold it, more than any of x, w, r and v has
//   S_W            width of the shift, bits, 1 to 8
//   B_W            width of the bias, bits, 1 or more
//   Y_W, Y_SIGNED  width of y, bits, 1 or more; 1: it is two's complement, 0: unsigned
//   RELU           1: y is not below 0, whatever its format
//   ROUNDING       ties go 0: towards plus infinity; 1: to the even one; 2: away from zero; 3: of shifts of up to 31
//                  towards plus infinity, else what is below 2^31 is dropped first, and ties of the rest go away from zero
module scale_lane #(
    parameter X_W = 19,
    parameter X_SIGNED = 1,
    parameter W_W = 2,
    parameter R_W = 1,
    parameter R_SIGNED = 0,
    parameter V_W = 2,
    parameter ACC_W = 20,
    parameter S_W = 4,
    parameter B_W = 8,
    parameter Y_W = 8,
    parameter Y_SIGNED = 1,
    parameter RELU = 0,
    parameter ROUNDING = 0
) (
    input  wire           clk,
    input  wire           scale_enable,
    input  wire           shift_enable,
    input  wire           sum_enable,
    input  wire [X_W-1:0] x,
    input  wire [W_W-1:0] w,             // two's complement
    input  wire [R_W-1:0] r,
    input  wire [V_W-1:0] v,             // two's complement
    input  wire [S_W-1:0] shift,         // unsigned
    input  wire [B_W-1:0] bias,          // two's complement, at the scale of y
    output wire [Y_W-1:0] y
);

  generate
    if (X_W < 1 || X_W > 32 || R_W < 1 || R_W > 32) begin : illegal_width
      illegal_parameter_X_W_or_R_W_is_not_1_to_32 stop ();
    end
    if (W_W < 1 || V_W < 1) begin : illegal_factor
      illegal_parameter_W_W_or_V_W_is_below_1 stop ();
    end
    if (ACC_W <= X_W || ACC_W <= W_W || ACC_W <= R_W || ACC_W <= V_W) begin : illegal_acc_w
      illegal_parameter_ACC_W_is_not_above_X_W_and_W_W_and_R_W_and_V_W stop ();
    end
    if (S_W < 1 || S_W > 8) begin : illegal_s_w
      illegal_parameter_S_W_is_not_1_to_8 stop ();
    end
    if (B_W < 1 || Y_W < 1) begin : illegal_result
      illegal_parameter_B_W_or_Y_W_is_below_1 stop ();
    end
    if (X_SIGNED < 0 || X_SIGNED > 1 || R_SIGNED < 0 || R_SIGNED > 1 || Y_SIGNED < 0 || Y_SIGNED > 1) begin : illegal_sign
      illegal_parameter_SIGNED_is_not_0_or_1 stop ();
    end
    if (RELU != 0 && RELU != 1) begin : illegal_relu
      illegal_parameter_RELU_is_not_0_or_1 stop ();
    end
    if (ROUNDING < 0 || ROUNDING > 3) begin : illegal_rounding
      illegal_parameter_ROUNDING_is_not_0_to_3 stop ();
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

  wire x_high = (X_SIGNED != 0) && x[X_W-1];
  wire r_high = (R_SIGNED != 0) && r[R_W-1];
  wire signed [ACC_W-1:0] x_extended = {{(ACC_W - X_W) {x_high}}, x};
  wire signed [ACC_W-1:0] w_extended = {{(ACC_W - W_W) {w[W_W-1]}}, w};
  wire signed [ACC_W-1:0] r_extended = {{(ACC_W - R_W) {r_high}}, r};
  wire signed [ACC_W-1:0] v_extended = {{(ACC_W - V_W) {v[V_W-1]}}, v};
  wire signed [ACC_W-1:0] xw = x_extended * w_extended;
  wire signed [ACC_W-1:0] rv = r_extended * v_extended;

  reg [ACC_W-1:0] acc_reg;
  reg [S_W-1:0] shift_reg;
  reg [B_W-1:0] bias_reg;
  reg [WIDE_W-1:0] wide_reg;
  reg [B_W-1:0] wide_bias_reg;
  reg [Y_W-1:0] y_reg;

  wire signed [WIDE_W-1:0] appended = {acc_reg, 1'b0};
  wire signed [WIDE_W-1:0] wide = appended >>> shift_reg;

  // Whether 1 is added to the quotient: above half a unit, and of a tie as ROUNDING says.
  wire up;
  generate
    if (ROUNDING == 0) begin : ties_up
      assign up = wide[0];
    end else begin : ties
      // What is dropped below the rounding bit, of all that the first 31 places leave where these are dropped first.
      localparam FIRST = (ROUNDING == 3) ? 32 : 0;
      localparam LONG_W = (WIDE_W > FIRST) ? WIDE_W : FIRST + 1;
      wire [LONG_W-1:0] all_bits = {{(LONG_W - ACC_W) {acc_reg[ACC_W-1]}}, acc_reg} << 1;
      wire [LONG_W-1:0] dropped = all_bits & ~({LONG_W{1'b1}} << shift_reg) & ({LONG_W{1'b1}} << FIRST);
      wire tie = !(|dropped);
      wire tie_up;
      if (ROUNDING == 1) begin : even
        assign tie_up = wide[1];
      end else if (ROUNDING == 2) begin : away
        assign tie_up = !acc_reg[ACC_W-1];
      end else begin : twice
        wire [8:0] places = {{(9 - S_W) {1'b0}}, shift_reg};
        assign tie_up = !acc_reg[ACC_W-1] || places < 9'd32;
      end
      assign up = wide[0] && (!tie || tie_up);
    end
  endgenerate

  wire [ACC_W-1:0] quotient = wide_reg[WIDE_W-1:1];
  wire [SUM_W-1:0] quotient_extended = {{(SUM_W - ACC_W) {quotient[ACC_W-1]}}, quotient};
  wire [SUM_W-1:0] rounding_bit = {{(SUM_W - 1) {1'b0}}, wide_reg[0]};
  wire [SUM_W-1:0] bias_extended = {{(SUM_W - B_W) {wide_bias_reg[B_W-1]}}, wide_bias_reg};
  wire [SUM_W-1:0] sum = quotient_extended + rounding_bit + bias_extended;
  wire negative = sum[SUM_W-1];
  wire fits = sum[SUM_W-1:MAGNITUDE_W] == {HIGH_W{negative}};

  wire [Y_W-1:0] most = {Y_W{1'b1}} >> Y_SIGNED;
  wire [Y_W-1:0] least = NOT_BELOW_0 ? {Y_W{1'b0}} : ~most;
  wire [Y_W-1:0] clipped = (negative && (NOT_BELOW_0 || !fits)) ? least : fits ? sum[Y_W-1:0] : most;

  always @(posedge clk) begin
    if (scale_enable) begin
      acc_reg   <= xw + rv;
      shift_reg <= shift;
      bias_reg  <= bias;
    end
    if (shift_enable) begin
      wide_reg <= {wide[WIDE_W-1:1], up};
      wide_bias_reg <= bias_reg;
    end
    if (sum_enable) y_reg <= clipped;
  end

  assign y = y_reg;

endmodule

`default_nettype wire
