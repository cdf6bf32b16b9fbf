`default_nettype none

// max(x, 0), LANES values a beat. Latency 1 cycle, full rate; s_axis_tready depends combinationally on m_axis_tready.
// Capacity 1 beat.
//
// Parameters
//   LANES  values of a beat: 1, 2 or 4
module relu #(
    parameter LANES = 1
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [8*LANES-1:0] s_axis_tdata,   // the first value lowest
    input  wire               s_axis_tvalid,
    output wire               s_axis_tready,
    output wire [8*LANES-1:0] m_axis_tdata,   // likewise
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

  assign s_axis_tready = !y_valid_reg || m_axis_tready;
  assign m_axis_tdata  = y_reg;
  assign m_axis_tvalid = y_valid_reg;

  wire [8*LANES-1:0] y;
  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      assign y[8*n+:8] = s_axis_tdata[8*n+7] ? 8'd0 : s_axis_tdata[8*n+:8];
    end
  endgenerate

  always @(posedge clk) begin
    if (s_axis_tready) y_reg <= y;
    if (rst) y_valid_reg <= 1'b0;
    else if (s_axis_tready) y_valid_reg <= s_axis_tvalid;
  end

endmodule

`default_nettype wire
