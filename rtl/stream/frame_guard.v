`default_nettype none

// Checks and repairs the framing of the input: whatever comes in, images of exactly BEATS beats go out.
//
//   tlast on beat BEATS          a good image
//   tlast earlier                the image is padded with zeros, with s_axis_tready low; frame_error_early
//   no tlast on beat BEATS       beats are swallowed up to and including the next tlast; frame_error_late
//
// With the last beat of every image one flag goes out on m_flag_axis: 1 for a bad image. A flag that is not taken
// holds back the end of the next image. Latency 1 cycle, full rate; s_axis_tready depends combinationally on
// m_axis_tready and m_flag_axis_tready.
//
// Parameters
//   BEATS   beats of an image, 1 or more
//   DATA_W  width of a beat, bits, 1 or more
module frame_guard #(
    parameter BEATS = 3072,
    parameter DATA_W = 8
) (
    input  wire              clk,
    input  wire              rst,
    input  wire [DATA_W-1:0] s_axis_tdata,
    input  wire              s_axis_tvalid,
    output wire              s_axis_tready,
    input  wire              s_axis_tlast,
    output wire [DATA_W-1:0] m_axis_tdata,
    output wire              m_axis_tvalid,
    input  wire              m_axis_tready,
    output wire              m_flag_axis_tdata,
    output wire              m_flag_axis_tvalid,
    input  wire              m_flag_axis_tready,
    output wire              frame_error_early,  // sticky until reset
    output wire              frame_error_late  // sticky until reset
);

  localparam INDEX_W = (BEATS > 1) ? $clog2(BEATS) : 1;
  localparam [31:0] LAST_32 = BEATS - 1;
  localparam [INDEX_W-1:0] LAST = LAST_32[INDEX_W-1:0];

  localparam [1:0] PASS = 2'd0;
  localparam [1:0] PAD = 2'd1;
  localparam [1:0] SWALLOW = 2'd2;

  generate
    if (BEATS < 1) begin : illegal_beats
      illegal_parameter_BEATS_is_below_1 stop ();
    end
    if (DATA_W < 1) begin : illegal_data_w
      illegal_parameter_DATA_W_is_below_1 stop ();
    end
  endgenerate

  reg [1:0] state_reg;
  reg [INDEX_W-1:0] index_reg;
  reg early_reg;
  reg late_reg;
  reg [DATA_W-1:0] output_reg;
  reg output_valid_reg;
  reg flag_reg;
  reg flag_valid_reg;

  wire last = index_reg == LAST;
  wire output_free = !output_valid_reg || m_axis_tready;
  wire flag_free = !flag_valid_reg || m_flag_axis_tready;
  wire room = output_free && (!last || flag_free);

  assign s_axis_tready = (state_reg == SWALLOW) || (state_reg == PASS && room);
  wire accepted = s_axis_tvalid && s_axis_tready;
  wire emit = room && ((state_reg == PASS && s_axis_tvalid) || state_reg == PAD);
  wire finished = emit && last;
  wire early = state_reg == PASS && accepted && s_axis_tlast && !last;
  wire late = state_reg == PASS && accepted && !s_axis_tlast && last;

  always @(posedge clk) begin
    if (emit) output_reg <= (state_reg == PAD) ? {DATA_W{1'b0}} : s_axis_tdata;
    if (finished) flag_reg <= state_reg == PAD || late;
    if (rst) begin
      state_reg <= PASS;
      index_reg <= {INDEX_W{1'b0}};
      early_reg <= 1'b0;
      late_reg <= 1'b0;
      output_valid_reg <= 1'b0;
      flag_valid_reg <= 1'b0;
    end else begin
      if (early) state_reg <= PAD;
      else if (late) state_reg <= SWALLOW;
      else if (state_reg == PAD && finished) state_reg <= PASS;
      else if (state_reg == SWALLOW && accepted && s_axis_tlast) state_reg <= PASS;
      if (emit) index_reg <= last ? {INDEX_W{1'b0}} : index_reg + 1'b1;
      if (early) early_reg <= 1'b1;
      if (late) late_reg <= 1'b1;
      if (output_free) output_valid_reg <= emit;
      if (flag_free) flag_valid_reg <= finished;
    end
  end

  assign m_axis_tdata = output_reg;
  assign m_axis_tvalid = output_valid_reg;
  assign m_flag_axis_tdata = flag_reg;
  assign m_flag_axis_tvalid = flag_valid_reg;
  assign frame_error_early = early_reg;
  assign frame_error_late = late_reg;

endmodule

`default_nettype wire
