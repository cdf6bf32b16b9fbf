`default_nettype none

// The greatest of a window: of PLACES pixels, each of WORDS beats of LANES values, the greatest value of each lane of each
// beat. Pixels and beats count with the beats, so that the first beat after reset is the first of a window.
//
// Takes PLACES x WORDS beats a window at full rate and gives WORDS, each 1 cycle after the last pixel's beat. The greatest
// values so far stand in a memory of WORDS words that is read asynchronously (small: look-up-table memory).
// s_axis_tready depends combinationally on m_axis_tready.
//
// Parameters
//   PLACES   pixels of a window, 1 or more
//   WORDS    beats of a pixel, 1 or more
//   LANES    values of a beat, 1 or more
//   X_W      width of a value, bits, 1 or more
//   X_SIGNED 1: values are signed (two's complement), 0: unsigned, or bits that stand for -1 and 1
module window_max #(
    parameter PLACES = 4,
    parameter WORDS = 1,
    parameter LANES = 16,
    parameter X_W = 1,
    parameter X_SIGNED = 0
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [LANES*X_W-1:0] s_axis_tdata,
    input  wire                 s_axis_tvalid,
    output wire                 s_axis_tready,
    output wire [LANES*X_W-1:0] m_axis_tdata,
    output wire                 m_axis_tvalid,
    input  wire                 m_axis_tready
);

  generate
    if (PLACES < 1) begin : illegal_places
      illegal_parameter_PLACES_is_below_1 stop ();
    end
    if (WORDS < 1) begin : illegal_words
      illegal_parameter_WORDS_is_below_1 stop ();
    end
    if (LANES < 1) begin : illegal_lanes
      illegal_parameter_LANES_is_below_1 stop ();
    end
    if (X_W < 1) begin : illegal_x_w
      illegal_parameter_X_W_is_below_1 stop ();
    end
    if (X_SIGNED != 0 && X_SIGNED != 1) begin : illegal_x_signed
      illegal_parameter_X_SIGNED_is_not_0_or_1 stop ();
    end
  endgenerate

  localparam PLACE_W = (PLACES > 1) ? $clog2(PLACES) : 1;
  localparam WORD_W = (WORDS > 1) ? $clog2(WORDS) : 1;
  localparam [31:0] PLACE_LAST_32 = PLACES - 1;
  localparam [31:0] WORD_LAST_32 = WORDS - 1;
  localparam [PLACE_W-1:0] PLACE_LAST = PLACE_LAST_32[PLACE_W-1:0];
  localparam [WORD_W-1:0] WORD_LAST = WORD_LAST_32[WORD_W-1:0];

  reg [LANES*X_W-1:0] greatest[0:WORDS-1];
  reg [PLACE_W-1:0] place_reg;
  reg [WORD_W-1:0] word_reg;
  reg y_valid_reg;
  reg [LANES*X_W-1:0] y_reg;

  assign s_axis_tready = !y_valid_reg || m_axis_tready;
  assign m_axis_tdata  = y_reg;
  assign m_axis_tvalid = y_valid_reg;
  wire accepted = s_axis_tvalid && s_axis_tready;
  wire first = place_reg == {PLACE_W{1'b0}};
  wire last = place_reg == PLACE_LAST;

  wire [LANES*X_W-1:0] so_far = greatest[word_reg];
  wire [LANES*X_W-1:0] chosen;
  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      // The sign's bit inverted makes a signed number an unsigned one of the same order.
      localparam [31:0] SIGNED_32 = X_SIGNED;
      wire [X_W-1:0] turn = {SIGNED_32[0], {(X_W - 1) {1'b0}}};
      wire [X_W-1:0] now = s_axis_tdata[X_W*n+:X_W];
      wire [X_W-1:0] kept = so_far[X_W*n+:X_W];
      assign chosen[X_W*n+:X_W] = (first || (now ^ turn) > (kept ^ turn)) ? now : kept;
    end
  endgenerate

  always @(posedge clk) begin
    if (accepted) greatest[word_reg] <= chosen;
  end

  always @(posedge clk) begin
    if (accepted) y_reg <= chosen;
    if (rst) begin
      y_valid_reg <= 1'b0;
      place_reg <= {PLACE_W{1'b0}};
      word_reg <= {WORD_W{1'b0}};
    end else begin
      if (s_axis_tready) y_valid_reg <= accepted && last;
      if (accepted) begin
        word_reg <= (word_reg == WORD_LAST) ? {WORD_W{1'b0}} : word_reg + 1'b1;
        if (word_reg == WORD_LAST) place_reg <= last ? {PLACE_W{1'b0}} : place_reg + 1'b1;
      end
    end
  end

endmodule

`default_nettype wire
