`default_nettype none

// One channel of the epilogue: everything that is done to a sum of products but tables and pooling. Eight stages, a value
// a cycle; stage k is k cycles after `acc`.
//
//   0  acc comes in
//   1  bias and shift come in: the lane's own, or those of the row where `by_row`
//   2  acc is shifted
//   3  linear = what is left, rounded and with bias; its product with the weight of the affine
//   4  affine = its requantisation, or linear where `affine_select` is low, there in stage 5
//   5  add = sat8(affine + residual), or affine where `add_select` is low, there in stage 6
//   6  products with the weights of res_affine and of the next layer's affine
//   7  their requantisations: res_affine, and next = the affine, relu or copy of add; there in stage 8
//
// Registers load only where the stage's enable is high, and those of an affine only where it is used.
//
// Parameters
//   ACC_W  width of the sum, bits, 10 or more
module simd_lane #(
    parameter ACC_W = 26
) (
    input  wire             clk,
    input  wire [      7:0] enable,            // of stage k: bit k
    input  wire [ACC_W-1:0] acc,               // two's complement, stage 0
    input  wire             by_row,            // stage 1
    input  wire [      7:0] lane_bias,         // two's complement, stage 1, as the three below
    input  wire [      7:0] lane_shift,        // unsigned
    input  wire [      7:0] row_bias,          // two's complement
    input  wire [      7:0] row_shift,         // unsigned
    output wire [      7:0] linear,            // two's complement, stage 3, until the next value
    input  wire             affine_enable,     // stage 3, as the affine's constants
    input  wire [      7:0] affine_w,
    input  wire [      7:0] affine_b,
    input  wire [      7:0] affine_s,
    input  wire             affine_select,     // stage 4
    output wire [      7:0] affine,            // two's complement, stage 5, until the next value
    input  wire             add_select,        // stage 5
    input  wire [      7:0] residual,          // two's complement, stage 5
    output wire [      7:0] add,               // two's complement, stage 6, until the next value
    input  wire             res_enable,        // stage 6, as res_affine's constants
    input  wire [      7:0] res_w,
    input  wire [      7:0] res_b,
    input  wire [      7:0] res_s,
    input  wire             next_enable,       // stage 6, as the next affine's constants
    input  wire [      7:0] next_w,
    input  wire [      7:0] next_b,
    input  wire [      7:0] next_s,
    input  wire             next_affine,       // stage 7
    input  wire             next_relu,         // stage 7
    output wire [      7:0] res_affine,        // two's complement, stage 8, until the next value with res_enable
    output wire [      7:0] next               // two's complement, stage 8, until the next value
);

  reg [ACC_W-1:0] acc_1_reg;
  reg [ACC_W-1:0] acc_2_reg;
  reg [7:0] bias_2_reg;
  reg [7:0] shift_2_reg;
  reg [9:0] shifted_3_reg;  // in halves
  reg [7:0] bias_3_reg;
  reg [7:0] linear_4_reg;
  reg [7:0] affine_5_reg;
  reg [7:0] add_6_reg;
  reg [7:0] add_7_reg;
  reg [7:0] res_8_reg;
  reg [7:0] next_8_reg;

  wire [9:0] shifted;
  shift_clip #(
      .ACC_W(ACC_W)
  ) shift_acc (
      .acc(acc_2_reg),
      .shift(shift_2_reg),
      .y(shifted)
  );

  wire [7:0] linear_3;
  requantise #(
      .ACC_W(10)
  ) requantise_shifted (
      .acc(shifted_3_reg),
      .shift(8'd1),
      .bias(bias_3_reg),
      .y(linear_3)
  );

  wire [7:0] scaled;
  affine_lane affine_2 (
      .clk(clk),
      .enable(affine_enable),
      .x(linear_3),
      .w(affine_w),
      .b(affine_b),
      .s(affine_s),
      .y(scaled)
  );

  wire [7:0] sum;
  saturating_add add_residual (
      .x(affine_5_reg),
      .r(residual),
      .y(sum)
  );

  wire [7:0] res_scaled;
  affine_lane affine_residual (
      .clk(clk),
      .enable(res_enable),
      .x(add_6_reg),
      .w(res_w),
      .b(res_b),
      .s(res_s),
      .y(res_scaled)
  );

  wire [7:0] next_scaled;
  affine_lane affine_next (
      .clk(clk),
      .enable(next_enable),
      .x(add_6_reg),
      .w(next_w),
      .b(next_b),
      .s(next_s),
      .y(next_scaled)
  );

  wire [7:0] unscaled = (next_relu && add_7_reg[7]) ? 8'd0 : add_7_reg;

  always @(posedge clk) begin
    if (enable[0]) acc_1_reg <= acc;
    if (enable[1]) begin
      acc_2_reg   <= acc_1_reg;
      bias_2_reg  <= by_row ? row_bias : lane_bias;
      shift_2_reg <= by_row ? row_shift : lane_shift;
    end
    if (enable[2]) begin
      shifted_3_reg <= shifted;
      bias_3_reg <= bias_2_reg;
    end
    if (enable[3]) linear_4_reg <= linear_3;
    if (enable[4]) affine_5_reg <= affine_select ? scaled : linear_4_reg;
    if (enable[5]) add_6_reg <= add_select ? sum : affine_5_reg;
    if (enable[6]) add_7_reg <= add_6_reg;
    if (enable[7]) begin
      res_8_reg  <= res_scaled;
      next_8_reg <= next_affine ? next_scaled : unscaled;
    end
  end

  assign linear = linear_3;
  assign affine = affine_5_reg;
  assign add = add_6_reg;
  assign res_affine = res_8_reg;
  assign next = next_8_reg;

endmodule

`default_nettype wire
