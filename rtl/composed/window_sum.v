`default_nettype none

// Sums over a window, channel by channel: of PLACES pixels, each of WORDS beats of LANES values, the sum of each value of a
// pixel over the places, each multiplied by its weight: a depthwise convolution; or by 1: a sum pool. Pixels and beats
// count with the beats, so that the first beat after reset is the first of a window.
//
// Takes PLACES x WORDS beats a window at full rate, one multiplier a lane, and gives WORDS, each 2 cycles after the last
// pixel's beat (product, sum). The sums so far stand in a memory of WORDS words that is read asynchronously (small:
// look-up-table memory). Weights are fetched one beat ahead. s_axis_tready depends combinationally on m_axis_tready.
//
// Parameters
//   PLACES   pixels of a window, 1 or more
//   WORDS    beats of a pixel, 1 or more
//   LANES    values of a beat, 1 or more
//   X_W, X_KIND  width and kind of a value, see window_sum_lane
//   W_W      width of a weight, bits, two's complement, 0 to 8; 0: every weight is 1
//   ACC_W    width of a sum, bits, see window_sum_lane
//   W_FILE   $readmemh file of PLACES x WORDS words; of value n of beat b of pixel p at [W_W * n +: W_W] of word
//            p * WORDS + b
module window_sum #(
    parameter PLACES = 9,
    parameter WORDS = 16,
    parameter LANES = 1,
    parameter X_W = 8,
    parameter X_KIND = 0,
    parameter W_W = 8,
    parameter ACC_W = 19,
    parameter W_FILE = "window_sum_w.hex"
) (
    input  wire                   clk,
    input  wire                   rst,
    input  wire [  LANES*X_W-1:0] s_axis_tdata,
    input  wire                   s_axis_tvalid,
    output wire                   s_axis_tready,
    output wire [LANES*ACC_W-1:0] m_axis_tdata,
    output wire                   m_axis_tvalid,
    input  wire                   m_axis_tready
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
    if (W_W < 0 || W_W > 8) begin : illegal_w_w
      illegal_parameter_W_W_is_not_0_to_8 stop ();
    end
  endgenerate

  localparam FACTOR_W = (W_W > 0) ? W_W : 2;
  localparam PLACE_W = (PLACES > 1) ? $clog2(PLACES) : 1;
  localparam WORD_W = (WORDS > 1) ? $clog2(WORDS) : 1;
  localparam [31:0] PLACE_LAST_32 = PLACES - 1;
  localparam [31:0] WORD_LAST_32 = WORDS - 1;
  localparam [PLACE_W-1:0] PLACE_LAST = PLACE_LAST_32[PLACE_W-1:0];
  localparam [WORD_W-1:0] WORD_LAST = WORD_LAST_32[WORD_W-1:0];

  reg [LANES*ACC_W-1:0] sums[0:WORDS-1];
  reg [PLACE_W-1:0] place_reg;  // of the product
  reg [WORD_W-1:0] word_reg;
  reg product_valid_reg;  // each lane holds a product
  reg [LANES*ACC_W-1:0] y_reg;
  reg y_valid_reg;

  wire fetched;  // the weights of the next beat are there
  wire free = !y_valid_reg || m_axis_tready;
  assign s_axis_tready = fetched && free;
  assign m_axis_tdata  = y_reg;
  assign m_axis_tvalid = y_valid_reg;
  wire accepted = s_axis_tvalid && s_axis_tready;

  wire [LANES*FACTOR_W-1:0] factors;
  genvar n;
  generate
    if (W_W == 0) begin : ones
      assign fetched = 1'b1;
      assign factors = {LANES{2'b01}};
    end else begin : rom
      localparam BEATS = PLACES * WORDS;
      localparam BEAT_W = (BEATS > 1) ? $clog2(BEATS) : 1;
      localparam [31:0] BEAT_LAST_32 = BEATS - 1;
      localparam [BEAT_W-1:0] BEAT_LAST = BEAT_LAST_32[BEAT_W-1:0];
      reg [LANES*W_W-1:0] weights[0:BEATS-1];
      initial $readmemh(W_FILE, weights);
      reg fetched_reg;
      reg [BEAT_W-1:0] fetch_reg;
      reg [LANES*W_W-1:0] weights_reg;
      wire fetch = !fetched_reg || accepted;
      assign fetched = fetched_reg;
      assign factors = weights_reg;
      always @(posedge clk) begin
        if (fetch) weights_reg <= weights[fetch_reg];
        if (rst) begin
          fetched_reg <= 1'b0;
          fetch_reg   <= {BEAT_W{1'b0}};
        end else if (fetch) begin
          fetched_reg <= 1'b1;
          fetch_reg   <= (fetch_reg == BEAT_LAST) ? {BEAT_W{1'b0}} : fetch_reg + 1'b1;
        end
      end
    end
  endgenerate

  wire first = place_reg == {PLACE_W{1'b0}};
  wire last = place_reg == PLACE_LAST;
  wire add = product_valid_reg && free;
  wire [LANES*ACC_W-1:0] so_far = sums[word_reg];
  wire [LANES*ACC_W-1:0] sum;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      window_sum_lane #(
          .X_W(X_W),
          .X_KIND(X_KIND),
          .W_W(FACTOR_W),
          .ACC_W(ACC_W)
      ) add_product (
          .clk(clk),
          .enable(accepted),
          .x(s_axis_tdata[X_W*n+:X_W]),
          .w(factors[FACTOR_W*n+:FACTOR_W]),
          .first(first),
          .so_far(so_far[ACC_W*n+:ACC_W]),
          .sum(sum[ACC_W*n+:ACC_W])
      );
    end
  endgenerate

  always @(posedge clk) begin
    if (add) sums[word_reg] <= sum;
  end

  always @(posedge clk) begin
    if (add) y_reg <= sum;
    if (rst) begin
      product_valid_reg <= 1'b0;
      y_valid_reg <= 1'b0;
      place_reg <= {PLACE_W{1'b0}};
      word_reg <= {WORD_W{1'b0}};
    end else begin
      if (free) begin
        product_valid_reg <= accepted;
        y_valid_reg <= product_valid_reg && last;
      end
      if (add) begin
        word_reg <= (word_reg == WORD_LAST) ? {WORD_W{1'b0}} : word_reg + 1'b1;
        if (word_reg == WORD_LAST) place_reg <= last ? {PLACE_W{1'b0}} : place_reg + 1'b1;
      end
    end
  end

endmodule

`default_nettype wire
