`default_nettype none

// Joins two streams: sat8(x + r), one value a beat. A value leaves either input only together with its partner.
// Latency 1 cycle, full rate; the inputs' tready depend combinationally on m_axis_tready and on each other's tvalid.
// Capacity 1 value.
module add (
    input  wire       clk,
    input  wire       rst,
    input  wire [7:0] s0_axis_tdata,   // x
    input  wire       s0_axis_tvalid,
    output wire       s0_axis_tready,
    input  wire [7:0] s1_axis_tdata,   // r
    input  wire       s1_axis_tvalid,
    output wire       s1_axis_tready,
    output wire [7:0] m_axis_tdata,
    output wire       m_axis_tvalid,
    input  wire       m_axis_tready
);

  reg [7:0] y_reg;
  reg y_valid_reg;

  wire free = !y_valid_reg || m_axis_tready;
  wire both = s0_axis_tvalid && s1_axis_tvalid;
  assign s0_axis_tready = free && s1_axis_tvalid;
  assign s1_axis_tready = free && s0_axis_tvalid;
  assign m_axis_tdata   = y_reg;
  assign m_axis_tvalid  = y_valid_reg;

  wire [7:0] y;
  saturating_add saturating_add_pair (
      .x(s0_axis_tdata),
      .r(s1_axis_tdata),
      .y(y)
  );

  always @(posedge clk) begin
    if (free && both) y_reg <= y;
    if (rst) y_valid_reg <= 1'b0;
    else if (free) y_valid_reg <= both;
  end

endmodule

`default_nettype wire
