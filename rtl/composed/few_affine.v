`default_nettype none

// Scaling with constants that come round with the values: y = clip(round_shift(x * w + a, s) + b), to the range of y;
// round_shift and clip as scale_lane has them. LANES values a beat; the constants are those of PERIOD values, so that the
// first beat after reset has those of values 0 to LANES - 1.
//
// PERIOD is the channels where each has constants of its own, an image's values where each place has, and LANES where all
// have the same. Those of the next beat are fetched meanwhile. Latency 3 cycles (product, shift, sum), full rate;
// s_axis_tready depends combinationally on m_axis_tready. Capacity 3 beats.
//
// Parameters
//   PERIOD                     values with constants of their own, 1 or more
//   LANES                      values of a beat, a divisor of PERIOD
//   X_W                        width of x, bits, see scale_lane
//   X_SIGNED                   1: x is two's complement, 0: unsigned
//   W_W                        width of w, bits, 0 to 32; 0: every w is 1
//   A_W                        width of a, bits, 1 or more
//   ACC_W                      width of x * w + a, bits, as many as hold it, see scale_lane; w has 2 bits there where W_W is 0
//   S_W, B_W, Y_W, Y_SIGNED, RELU, ROUNDING
//                              shift, bias and result, see scale_lane
//   C_FILE                     $readmemh file of PERIOD / LANES words; of value c at [(W_W + A_W + S_W + B_W) * (c % LANES) +:]
//                              of word c / LANES, lowest first: w, a (two's complement), s, b (two's complement)
module few_affine #(
    parameter PERIOD = 16,
    parameter LANES = 1,
    parameter X_W = 19,
    parameter X_SIGNED = 1,
    parameter W_W = 0,
    parameter A_W = 1,
    parameter ACC_W = 20,
    parameter S_W = 4,
    parameter B_W = 8,
    parameter Y_W = 8,
    parameter Y_SIGNED = 1,
    parameter RELU = 0,
    parameter ROUNDING = 0,
    parameter C_FILE = "few_affine_c.hex"
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [LANES*X_W-1:0] s_axis_tdata,
    input  wire                 s_axis_tvalid,
    output wire                 s_axis_tready,
    output wire [LANES*Y_W-1:0] m_axis_tdata,
    output wire                 m_axis_tvalid,
    input  wire                 m_axis_tready
);

  generate
    if (LANES < 1 || PERIOD < LANES || PERIOD % LANES != 0) begin : illegal_period
      illegal_parameter_PERIOD_is_no_multiple_of_LANES stop ();
    end
    if (W_W < 0 || W_W > 32) begin : illegal_w_w
      illegal_parameter_W_W_is_not_0_to_32 stop ();
    end
  endgenerate

  localparam LANE_W = W_W + A_W + S_W + B_W;
  localparam FACTOR_W = (W_W > 0) ? W_W : 2;
  localparam GROUPS = PERIOD / LANES;
  localparam GROUP_W = (GROUPS > 1) ? $clog2(GROUPS) : 1;
  localparam [31:0] LAST_32 = GROUPS - 1;
  localparam [GROUP_W-1:0] LAST = LAST_32[GROUP_W-1:0];

  reg [LANES*LANE_W-1:0] constants[0:GROUPS-1];
  initial $readmemh(C_FILE, constants);

  // Constants of the next beat's values, fetched one beat ahead.
  reg fetched_reg;
  reg [GROUP_W-1:0] fetch_reg;
  reg [LANES*LANE_W-1:0] constants_reg;

  reg acc_valid_reg;
  reg wide_valid_reg;
  reg y_valid_reg;

  wire y_free = !y_valid_reg || m_axis_tready;
  wire wide_free = !wide_valid_reg || y_free;
  wire acc_free = !acc_valid_reg || wide_free;
  assign s_axis_tready = fetched_reg && acc_free;
  wire accepted = s_axis_tvalid && s_axis_tready;
  wire fetch = !fetched_reg || accepted;

  always @(posedge clk) begin
    if (fetch) constants_reg <= constants[fetch_reg];
    if (rst) begin
      fetched_reg <= 1'b0;
      fetch_reg <= {GROUP_W{1'b0}};
      acc_valid_reg <= 1'b0;
      wide_valid_reg <= 1'b0;
      y_valid_reg <= 1'b0;
    end else begin
      if (fetch) begin
        fetched_reg <= 1'b1;
        fetch_reg   <= (fetch_reg == LAST) ? {GROUP_W{1'b0}} : fetch_reg + 1'b1;
      end
      if (acc_free) acc_valid_reg <= accepted;
      if (wide_free) wide_valid_reg <= acc_valid_reg;
      if (y_free) y_valid_reg <= wide_valid_reg;
    end
  end

  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      wire [LANE_W-1:0] constant = constants_reg[LANE_W*n+:LANE_W];
      wire [FACTOR_W-1:0] w;
      if (W_W == 0) begin : as_it_is
        assign w = 2'b01;
      end else begin : multiplied
        assign w = constant[FACTOR_W-1:0];
      end
      // a is multiplied by 1.
      scale_lane #(
          .X_W(X_W),
          .X_SIGNED(X_SIGNED),
          .W_W(FACTOR_W),
          .R_W(1),
          .R_SIGNED(0),
          .V_W(A_W),
          .ACC_W(ACC_W),
          .S_W(S_W),
          .B_W(B_W),
          .Y_W(Y_W),
          .Y_SIGNED(Y_SIGNED),
          .RELU(RELU),
          .ROUNDING(ROUNDING)
      ) scale (
          .clk(clk),
          .scale_enable(accepted),
          .shift_enable(acc_valid_reg && wide_free),
          .sum_enable(wide_valid_reg && y_free),
          .x(s_axis_tdata[X_W*n+:X_W]),
          .w(w),
          .r(1'b1),
          .v(constant[W_W+:A_W]),
          .shift(constant[W_W+A_W+:S_W]),
          .bias(constant[W_W+A_W+S_W+:B_W]),
          .y(m_axis_tdata[Y_W*n+:Y_W])
      );
    end
  endgenerate

  assign m_axis_tvalid = y_valid_reg;

endmodule

`default_nettype wire
