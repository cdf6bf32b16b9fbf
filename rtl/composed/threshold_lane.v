`default_nettype none

// Thresholds of one channel, which come with the value: y = level[k], k the number of thresholds that x has passed.
//
// A rising channel has passed t where x >= t. A falling one, which has where x <= t, is turned round: ~x >= ~t. As the
// thresholds ascend, what was passed is a run of ones from the lowest, whose length is found by halving: its top bit is
// the middle one, which says in which half the rest is.
//
// Takes x, thresholds and falling in a cycle with `compare_enable`, counts what was passed in one with `count_enable`, and
// looks the level up in one with `level_enable`; y is there in the next cycle, and stays until the one after.
//
// Parameters
//   X_W       width of a value, bits, 1 or more
//   X_SIGNED  1: values are signed (two's complement), 0: unsigned
//   STEPS     thresholds, 1 to 255
//   Y_W       width of a level, bits, 1 or more
//   LEVELS    the levels, level[k] at [Y_W * k +: Y_W], for k from 0 to STEPS
module threshold_lane #(
    parameter X_W = 9,
    parameter X_SIGNED = 1,
    parameter STEPS = 1,
    parameter Y_W = 1,
    parameter [Y_W*(STEPS+1)-1:0] LEVELS = 2'b10
) (
    input  wire                              clk,
    input  wire                              compare_enable,
    input  wire                              count_enable,
    input  wire                              level_enable,
    input  wire [                   X_W-1:0] x,
    input  wire [STEPS*(X_W+2-X_SIGNED)-1:0] thresholds,      // signed, X_W + 2 - X_SIGNED bits each, ascending
    input  wire                              falling,         // where the channel falls: their complements
    output wire [                   Y_W-1:0] y
);

  generate
    if (X_W < 1) begin : illegal_x_w
      illegal_parameter_X_W_is_below_1 stop ();
    end
    if (X_SIGNED != 0 && X_SIGNED != 1) begin : illegal_x_signed
      illegal_parameter_X_SIGNED_is_not_0_or_1 stop ();
    end
    if (STEPS < 1 || STEPS > 255) begin : illegal_steps
      illegal_parameter_STEPS_is_not_1_to_255 stop ();
    end
    if (Y_W < 1) begin : illegal_y_w
      illegal_parameter_Y_W_is_below_1 stop ();
    end
  endgenerate

  localparam T_W = X_W + 2 - X_SIGNED;
  localparam COUNT_W = $clog2(STEPS + 1);

  wire high = (X_SIGNED != 0) && x[X_W-1];
  wire signed [T_W-1:0] turned = {{(T_W - X_W) {high}}, x} ^ {T_W{falling}};

  reg [STEPS-1:0] passed_reg;
  reg [COUNT_W-1:0] count_reg;
  reg [Y_W-1:0] y_reg;

  // Beyond STEPS nothing is passed, and no level is reached.
  wire [(1<<COUNT_W)-2:0] passed;
  wire [Y_W*(1<<COUNT_W)-1:0] levels;
  assign passed[STEPS-1:0] = passed_reg;
  assign levels[Y_W*(STEPS+1)-1:0] = LEVELS;

  wire [COUNT_W-1:0] count;
  genvar k;
  generate
    if (STEPS + 1 < (1 << COUNT_W)) begin : beyond
      assign passed[(1<<COUNT_W)-2:STEPS] = {((1 << COUNT_W) - 1 - STEPS) {1'b0}};
      assign levels[Y_W*(1<<COUNT_W)-1:Y_W*(STEPS+1)] = {(Y_W * ((1 << COUNT_W) - 1 - STEPS)) {1'b0}};
    end
    for (k = 0; k < STEPS; k = k + 1) begin : step
      wire signed [T_W-1:0] least = thresholds[T_W*k+:T_W];
      always @(posedge clk) if (compare_enable) passed_reg[k] <= turned >= least;
    end
    // The bits that are left with k bits of the count to be found: 2^k - 1.
    for (k = COUNT_W; k > 0; k = k - 1) begin : left
      wire [(1<<k)-2:0] run;
      if (k == COUNT_W) begin : all
        assign run = passed;
      end else begin : half
        assign run = count[k] ? left[k+1].run[(1<<(k+1))-2:(1<<k)] : left[k+1].run[(1<<k)-2:0];
      end
      assign count[k-1] = run[(1<<(k-1))-1];
    end
  endgenerate

  always @(posedge clk) begin
    if (count_enable) count_reg <= count;
    if (level_enable) y_reg <= levels[Y_W*count_reg+:Y_W];
  end

  assign y = y_reg;

endmodule

`default_nettype wire
