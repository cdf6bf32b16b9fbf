`default_nettype none

// Puts tlast and tuser on the output: tlast on every BEATS-th beat, tuser with the image's flag on all its beats.
// One flag comes on s_flag_axis for every image, in order; it is taken with the image's last beat. Latency 0: data and
// handshake pass through combinationally while a flag is there.
//
// Parameters
//   BEATS   beats of an image, 1 or more
//   DATA_W  width of a beat, bits, 1 or more
module frame_tag #(
    parameter BEATS = 10,
    parameter DATA_W = 8
) (
    input  wire              clk,
    input  wire              rst,
    input  wire [DATA_W-1:0] s_axis_tdata,
    input  wire              s_axis_tvalid,
    output wire              s_axis_tready,
    input  wire              s_flag_axis_tdata,
    input  wire              s_flag_axis_tvalid,
    output wire              s_flag_axis_tready,
    output wire [DATA_W-1:0] m_axis_tdata,
    output wire              m_axis_tvalid,
    input  wire              m_axis_tready,
    output wire              m_axis_tlast,
    output wire              m_axis_tuser
);

  localparam INDEX_W = (BEATS > 1) ? $clog2(BEATS) : 1;
  localparam [31:0] LAST_32 = BEATS - 1;
  localparam [INDEX_W-1:0] LAST = LAST_32[INDEX_W-1:0];

  generate
    if (BEATS < 1) begin : illegal_beats
      illegal_parameter_BEATS_is_below_1 stop ();
    end
    if (DATA_W < 1) begin : illegal_data_w
      illegal_parameter_DATA_W_is_below_1 stop ();
    end
  endgenerate

  reg [INDEX_W-1:0] index_reg;
  wire last = index_reg == LAST;
  wire passed = m_axis_tvalid && m_axis_tready;

  assign m_axis_tdata = s_axis_tdata;
  assign m_axis_tvalid = s_axis_tvalid && s_flag_axis_tvalid;
  assign m_axis_tlast = last;
  assign m_axis_tuser = s_flag_axis_tdata;
  assign s_axis_tready = m_axis_tready && s_flag_axis_tvalid;
  assign s_flag_axis_tready = passed && last;

  always @(posedge clk) begin
    if (rst) index_reg <= {INDEX_W{1'b0}};
    else if (passed) index_reg <= last ? {INDEX_W{1'b0}} : index_reg + 1'b1;
  end

endmodule

`default_nettype wire
