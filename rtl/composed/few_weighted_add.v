`default_nettype none

// Joins two streams at scales of their own: y = clip(round_shift(x * w + r * v, s)), to the range of y, with constants that
// come round with the values; round_shift and clip as scale_lane has them. LANES values a beat; a beat leaves either input
// only together with its partner.
//
// The constants are those of PERIOD values, so that the first beat after reset has those of values 0 to LANES - 1; LANES
// where all have the same. Those of the next beat are fetched meanwhile. Latency 3 cycles (products, shift, sum), full
// rate; the inputs' tready depend combinationally on m_axis_tready and on each other's tvalid. Capacity 3 beats.
//
// Parameters
//   PERIOD         values with constants of their own, 1 or more
//   LANES          values of a beat, a divisor of PERIOD
//   X_W, X_SIGNED  width of x, bits, see scale_lane; 1: it is two's complement, 0: unsigned
//   R_W, R_SIGNED  the same of r
//   W_W            width of w and v, bits, 1 or more
//   ACC_W          width of x * w + r * v, bits, as many as hold it, more than x, r and w have
//   S_W, Y_W, Y_SIGNED
//                  shift and result, see scale_lane
//   C_FILE         $readmemh file of PERIOD / LANES words; of value c at [(2 * W_W + S_W) * (c % LANES) +:] of word
//                  c / LANES, lowest first: w, v (two's complement), s
module few_weighted_add #(
    parameter PERIOD = 16,
    parameter LANES = 1,
    parameter X_W = 8,
    parameter X_SIGNED = 1,
    parameter R_W = 8,
    parameter R_SIGNED = 1,
    parameter W_W = 4,
    parameter ACC_W = 12,
    parameter S_W = 2,
    parameter Y_W = 8,
    parameter Y_SIGNED = 1,
    parameter C_FILE = "few_weighted_add_c.hex"
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [LANES*X_W-1:0] s0_axis_tdata,   // x
    input  wire                 s0_axis_tvalid,
    output wire                 s0_axis_tready,
    input  wire [LANES*R_W-1:0] s1_axis_tdata,   // r
    input  wire                 s1_axis_tvalid,
    output wire                 s1_axis_tready,
    output wire [LANES*Y_W-1:0] m_axis_tdata,
    output wire                 m_axis_tvalid,
    input  wire                 m_axis_tready
);

  generate
    if (LANES < 1 || PERIOD < LANES || PERIOD % LANES != 0) begin : illegal_period
      illegal_parameter_PERIOD_is_no_multiple_of_LANES stop ();
    end
  endgenerate

  localparam LANE_W = 2 * W_W + S_W;
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
  wire free = fetched_reg && acc_free;
  assign s0_axis_tready = free && s1_axis_tvalid;
  assign s1_axis_tready = free && s0_axis_tvalid;
  wire accepted = free && s0_axis_tvalid && s1_axis_tvalid;
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
      scale_lane #(
          .X_W(X_W),
          .X_SIGNED(X_SIGNED),
          .W_W(W_W),
          .R_W(R_W),
          .R_SIGNED(R_SIGNED),
          .V_W(W_W),
          .ACC_W(ACC_W),
          .S_W(S_W),
          .B_W(1),
          .Y_W(Y_W),
          .Y_SIGNED(Y_SIGNED),
          .RELU(0)
      ) scale (
          .clk(clk),
          .scale_enable(accepted),
          .shift_enable(acc_valid_reg && wide_free),
          .sum_enable(wide_valid_reg && y_free),
          .x(s0_axis_tdata[X_W*n+:X_W]),
          .w(constant[W_W-1:0]),
          .r(s1_axis_tdata[R_W*n+:R_W]),
          .v(constant[W_W+:W_W]),
          .shift(constant[2*W_W+:S_W]),
          .bias(1'b0),
          .y(m_axis_tdata[Y_W*n+:Y_W])
      );
    end
  endgenerate

  assign m_axis_tvalid = y_valid_reg;

endmodule

`default_nettype wire
