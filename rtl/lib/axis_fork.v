`default_nettype none

// One stream to two: each value is taken exactly once on either side, in either order; the next value comes when both
// have it. Latency 0: data and valid pass through; s_axis_tready depends combinationally on both m*_axis_tready.
//
// Parameters
//   DATA_W  width of a value, bits, 1 or more
module axis_fork #(
    parameter DATA_W = 8
) (
    input  wire              clk,
    input  wire              rst,
    input  wire [DATA_W-1:0] s_axis_tdata,
    input  wire              s_axis_tvalid,
    output wire              s_axis_tready,
    output wire [DATA_W-1:0] m0_axis_tdata,
    output wire              m0_axis_tvalid,
    input  wire              m0_axis_tready,
    output wire [DATA_W-1:0] m1_axis_tdata,
    output wire              m1_axis_tvalid,
    input  wire              m1_axis_tready
);

  generate
    if (DATA_W < 1) begin : illegal_data_w
      illegal_parameter_DATA_W_is_below_1 stop ();
    end
  endgenerate

  // The value that stands at the input has already been taken on this side.
  reg taken0_reg;
  reg taken1_reg;

  assign m0_axis_tdata  = s_axis_tdata;
  assign m1_axis_tdata  = s_axis_tdata;
  assign m0_axis_tvalid = s_axis_tvalid && !taken0_reg;
  assign m1_axis_tvalid = s_axis_tvalid && !taken1_reg;

  wire done0 = taken0_reg || m0_axis_tready;
  wire done1 = taken1_reg || m1_axis_tready;
  assign s_axis_tready = done0 && done1;

  always @(posedge clk) begin
    if (rst) begin
      taken0_reg <= 1'b0;
      taken1_reg <= 1'b0;
    end else if (s_axis_tvalid) begin
      taken0_reg <= done0 && !done1;
      taken1_reg <= done1 && !done0;
    end
  end

endmodule

`default_nettype wire
