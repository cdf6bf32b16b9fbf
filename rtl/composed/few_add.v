`default_nettype none

// Joins two streams of few bits: y = x + r, saturated to y's range, LANES of each a beat. A beat leaves either input only
// together with its partner.
//
// Latency 1 cycle, full rate; the inputs' tready depend combinationally on m_axis_tready and on each other's tvalid.
// Capacity 1 beat.
//
// Parameters
//   LANES     values of a beat, 1 or more
//   X_W       width of x, bits, 1 to 16
//   X_SIGNED  1: x is two's complement, 0: unsigned
//   R_W       width of r, bits, 1 to 16
//   R_SIGNED  the same of r
//   Y_W       width of y, bits, 1 to 16
//   Y_SIGNED  the same of y
module few_add #(
    parameter LANES = 1,
    parameter X_W = 8,
    parameter X_SIGNED = 1,
    parameter R_W = 8,
    parameter R_SIGNED = 1,
    parameter Y_W = 8,
    parameter Y_SIGNED = 1
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
    if (LANES < 1) begin : illegal_lanes
      illegal_parameter_LANES_is_below_1 stop ();
    end
    if (X_W < 1 || X_W > 16 || R_W < 1 || R_W > 16 || Y_W < 1 || Y_W > 16) begin : illegal_width
      illegal_parameter_WIDTH_is_not_1_to_16 stop ();
    end
    if (X_SIGNED < 0 || X_SIGNED > 1 || R_SIGNED < 0 || R_SIGNED > 1 || Y_SIGNED < 0 || Y_SIGNED > 1) begin : illegal_sign
      illegal_parameter_SIGNED_is_not_0_or_1 stop ();
    end
  endgenerate

  // Wide enough for both, their sum, and y's range, all as signed numbers.
  localparam WIDER = (X_W > R_W) ? X_W : R_W;
  localparam SUM_W = ((WIDER > Y_W) ? WIDER : Y_W) + 2;
  localparam [31:0] LOW_32 = (Y_SIGNED != 0) ? -(1 << (Y_W - 1)) : 0;
  localparam [31:0] HIGH_32 = (Y_SIGNED != 0) ? (1 << (Y_W - 1)) - 1 : (1 << Y_W) - 1;
  localparam signed [SUM_W-1:0] LOW = LOW_32[SUM_W-1:0];
  localparam signed [SUM_W-1:0] HIGH = HIGH_32[SUM_W-1:0];

  reg [LANES*Y_W-1:0] y_reg;
  reg y_valid_reg;

  wire free = !y_valid_reg || m_axis_tready;
  wire both = s0_axis_tvalid && s1_axis_tvalid;
  assign s0_axis_tready = free && s1_axis_tvalid;
  assign s1_axis_tready = free && s0_axis_tvalid;
  assign m_axis_tdata   = y_reg;
  assign m_axis_tvalid  = y_valid_reg;

  wire [LANES*Y_W-1:0] y;
  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      wire x_high = (X_SIGNED != 0) && s0_axis_tdata[X_W*n+X_W-1];
      wire r_high = (R_SIGNED != 0) && s1_axis_tdata[R_W*n+R_W-1];
      wire signed [SUM_W-1:0] x = {{(SUM_W - X_W) {x_high}}, s0_axis_tdata[X_W*n+:X_W]};
      wire signed [SUM_W-1:0] r = {{(SUM_W - R_W) {r_high}}, s1_axis_tdata[R_W*n+:R_W]};
      wire signed [SUM_W-1:0] sum = x + r;
      assign y[Y_W*n+:Y_W] = (sum < LOW) ? LOW[Y_W-1:0] : (sum > HIGH) ? HIGH[Y_W-1:0] : sum[Y_W-1:0];
    end
  endgenerate

  always @(posedge clk) begin
    if (free && both) y_reg <= y;
    if (rst) y_valid_reg <= 1'b0;
    else if (free) y_valid_reg <= both;
  end

endmodule

`default_nettype wire
