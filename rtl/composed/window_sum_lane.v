`default_nettype none

// One value of a window's sum: sum = x * w, and what was summed so far.
//
// Takes x and w in a cycle with `enable`; from the next cycle on, until the one after the next `enable`, `sum` is their
// product and, but for the first of a window, `so_far`, combinationally.
//
// Parameters
//   X_W      width of a value, bits, 1 to 16
//   X_KIND   0: values are signed (two's complement), 1: unsigned, 2: one bit, 0 for -1 and 1 for 1
//   W_W      width of a weight, bits, 1 to 8
//   ACC_W    width of a sum, bits, 1 or more: it is given modulo 2^ACC_W, so that it is right whenever it fits
module window_sum_lane #(
    parameter X_W = 8,
    parameter X_KIND = 0,
    parameter W_W = 8,
    parameter ACC_W = 19
) (
    input  wire             clk,
    input  wire             enable,
    input  wire [  X_W-1:0] x,
    input  wire [  W_W-1:0] w,       // two's complement
    input  wire             first,
    input  wire [ACC_W-1:0] so_far,
    output wire [ACC_W-1:0] sum      // two's complement
);

  generate
    if (X_W < 1 || X_W > 16) begin : illegal_x_w
      illegal_parameter_X_W_is_not_1_to_16 stop ();
    end
    if (X_KIND < 0 || X_KIND > 2 || (X_KIND == 2 && X_W != 1)) begin : illegal_x_kind
      illegal_parameter_X_KIND_is_not_0_to_2_or_X_W_not_1_for_2 stop ();
    end
    if (W_W < 1 || W_W > 8) begin : illegal_w_w
      illegal_parameter_W_W_is_not_1_to_8 stop ();
    end
    if (ACC_W < 1) begin : illegal_acc_w
      illegal_parameter_ACC_W_is_below_1 stop ();
    end
  endgenerate

  wire [ACC_W+X_W-1:0] x_wide;
  wire [ACC_W+W_W-1:0] w_wide = {{ACC_W{w[W_W-1]}}, w};
  generate
    if (X_KIND == 2) begin : signs
      assign x_wide = {{ACC_W{!x[0]}}, 1'b1};
    end else begin : numbers
      wire high = (X_KIND == 0) && x[X_W-1];
      assign x_wide = {{ACC_W{high}}, x};
    end
  endgenerate
  wire signed [ACC_W-1:0] x_number = x_wide[ACC_W-1:0];
  wire signed [ACC_W-1:0] w_number = w_wide[ACC_W-1:0];
  wire unused = &{1'b0, x_wide[ACC_W+X_W-1:ACC_W], w_wide[ACC_W+W_W-1:ACC_W]};

  reg [ACC_W-1:0] product_reg;
  always @(posedge clk) if (enable) product_reg <= x_number * w_number;
  assign sum = product_reg + (first ? {ACC_W{1'b0}} : so_far);

endmodule

`default_nettype wire
