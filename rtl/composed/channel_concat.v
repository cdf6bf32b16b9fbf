`default_nettype none

// Joins the channels of two streams of images: of each pixel X_WORDS beats of the first, then R_WORDS of the second. Beats
// count, so that the first after reset is the first of a pixel.
//
// Latency 0, full rate: data, valid and ready pass; the inputs' tready depend combinationally on m_axis_tready.
//
// Parameters
//   X_WORDS, R_WORDS  beats of a pixel of either, 1 or more
//   DATA_W            width of a beat, bits, 1 or more
module channel_concat #(
    parameter X_WORDS = 2,
    parameter R_WORDS = 3,
    parameter DATA_W = 8
) (
    input  wire              clk,
    input  wire              rst,
    input  wire [DATA_W-1:0] s0_axis_tdata,
    input  wire              s0_axis_tvalid,
    output wire              s0_axis_tready,
    input  wire [DATA_W-1:0] s1_axis_tdata,
    input  wire              s1_axis_tvalid,
    output wire              s1_axis_tready,
    output wire [DATA_W-1:0] m_axis_tdata,
    output wire              m_axis_tvalid,
    input  wire              m_axis_tready
);

  generate
    if (X_WORDS < 1 || R_WORDS < 1) begin : illegal_words
      illegal_parameter_WORDS_is_below_1 stop ();
    end
    if (DATA_W < 1) begin : illegal_data_w
      illegal_parameter_DATA_W_is_below_1 stop ();
    end
  endgenerate

  localparam WORD_W = $clog2(X_WORDS + R_WORDS);
  localparam [31:0] X_LAST_32 = X_WORDS - 1;
  localparam [31:0] LAST_32 = X_WORDS + R_WORDS - 1;
  localparam [WORD_W-1:0] X_LAST = X_LAST_32[WORD_W-1:0];
  localparam [WORD_W-1:0] LAST = LAST_32[WORD_W-1:0];

  reg  [WORD_W-1:0] word_reg;
  wire second = word_reg > X_LAST;
  assign m_axis_tdata   = second ? s1_axis_tdata : s0_axis_tdata;
  assign m_axis_tvalid  = second ? s1_axis_tvalid : s0_axis_tvalid;
  assign s0_axis_tready = m_axis_tready && !second;
  assign s1_axis_tready = m_axis_tready && second;

  always @(posedge clk) begin
    if (rst) word_reg <= {WORD_W{1'b0}};
    else if (m_axis_tvalid && m_axis_tready) word_reg <= (word_reg == LAST) ? {WORD_W{1'b0}} : word_reg + 1'b1;
  end

endmodule

`default_nettype wire
