`default_nettype none

// max(x, 0), one value a beat. Latency 1 cycle, full rate; s_axis_tready depends combinationally on m_axis_tready.
// Capacity 1 value.
module relu (
    input  wire       clk,
    input  wire       rst,
    input  wire [7:0] s_axis_tdata,
    input  wire       s_axis_tvalid,
    output wire       s_axis_tready,
    output wire [7:0] m_axis_tdata,
    output wire       m_axis_tvalid,
    input  wire       m_axis_tready
);

  reg [7:0] y_reg;
  reg y_valid_reg;

  assign s_axis_tready = !y_valid_reg || m_axis_tready;
  assign m_axis_tdata  = y_reg;
  assign m_axis_tvalid = y_valid_reg;

  always @(posedge clk) begin
    if (s_axis_tready) y_reg <= s_axis_tdata[7] ? 8'd0 : s_axis_tdata;
    if (rst) y_valid_reg <= 1'b0;
    else if (s_axis_tready) y_valid_reg <= s_axis_tvalid;
  end

endmodule

`default_nettype wire
