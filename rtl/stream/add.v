`default_nettype none

// Joins two streams: sat8(x + r), LANES values a beat. A beat leaves either input only together with its partner.
// Latency 1 cycle, full rate; the inputs' tready depend combinationally on m_axis_tready and on each other's tvalid.
// Capacity 1 beat.
//
// Parameters
//   LANES  values of a beat: 1, 2 or 4
module add #(
    parameter LANES = 1
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [8*LANES-1:0] s0_axis_tdata,   // x, the first value lowest, as in all streams
    input  wire               s0_axis_tvalid,
    output wire               s0_axis_tready,
    input  wire [8*LANES-1:0] s1_axis_tdata,   // r
    input  wire               s1_axis_tvalid,
    output wire               s1_axis_tready,
    output wire [8*LANES-1:0] m_axis_tdata,
    output wire               m_axis_tvalid,
    input  wire               m_axis_tready
);

  generate
    if (LANES != 1 && LANES != 2 && LANES != 4) begin : illegal_lanes
      illegal_parameter_LANES_is_not_1_2_or_4 stop ();
    end
  endgenerate

  reg [8*LANES-1:0] y_reg;
  reg y_valid_reg;

  wire free = !y_valid_reg || m_axis_tready;
  wire both = s0_axis_tvalid && s1_axis_tvalid;
  assign s0_axis_tready = free && s1_axis_tvalid;
  assign s1_axis_tready = free && s0_axis_tvalid;
  assign m_axis_tdata   = y_reg;
  assign m_axis_tvalid  = y_valid_reg;

  wire [8*LANES-1:0] y;
  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      saturating_add saturating_add_pair (
          .x(s0_axis_tdata[8*n+:8]),
          .r(s1_axis_tdata[8*n+:8]),
          .y(y[8*n+:8])
      );
    end
  endgenerate

  always @(posedge clk) begin
    if (free && both) y_reg <= y;
    if (rst) y_valid_reg <= 1'b0;
    else if (free) y_valid_reg <= both;
  end

endmodule

`default_nettype wire
