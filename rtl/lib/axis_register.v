`default_nettype none

// Register slice: two entries, full rate, and no combinational path between its two sides in either direction.
// Latency 1 cycle. Capacity 2 values.
//
// Parameters
//   DATA_W  width of a value, bits, 1 or more
module axis_register #(
    parameter DATA_W = 8
) (
    input  wire              clk,
    input  wire              rst,
    input  wire [DATA_W-1:0] s_axis_tdata,
    input  wire              s_axis_tvalid,
    output wire              s_axis_tready,
    output wire [DATA_W-1:0] m_axis_tdata,
    output wire              m_axis_tvalid,
    input  wire              m_axis_tready
);

  generate
    if (DATA_W < 1) begin : illegal_data_w
      illegal_parameter_DATA_W_is_below_1 stop ();
    end
  endgenerate

  // `output_reg` is presented; `skid_reg` catches the value that arrives in the cycle in which the output stalls.
  reg [DATA_W-1:0] output_reg;
  reg              output_valid_reg;
  reg [DATA_W-1:0] skid_reg;
  reg              skid_valid_reg;

  assign s_axis_tready = !skid_valid_reg;
  assign m_axis_tdata  = output_reg;
  assign m_axis_tvalid = output_valid_reg;

  wire accepted = s_axis_tvalid && s_axis_tready;
  wire output_free = !output_valid_reg || m_axis_tready;

  always @(posedge clk) begin
    if (output_free) output_reg <= skid_valid_reg ? skid_reg : s_axis_tdata;
    if (accepted) skid_reg <= s_axis_tdata;
    if (rst) begin
      output_valid_reg <= 1'b0;
      skid_valid_reg   <= 1'b0;
    end else if (output_free) begin
      output_valid_reg <= skid_valid_reg || accepted;
      skid_valid_reg   <= 1'b0;
    end else if (accepted) begin
      skid_valid_reg <= 1'b1;
    end
  end

endmodule

`default_nettype wire
