`default_nettype none

// Sums of products of few bits: y[n] = sum over k of x[k] * w[n][k], for every row of BEATS x LANES values that comes.
//
// Collects a row, LANES values a beat, then multiplies it by OUT_LANES whole weight rows a cycle, giving OUT sums in
// OUT / OUT_LANES beats. The next row is collected meanwhile, so that a row takes max(BEATS, OUT / OUT_LANES) cycles with
// no gap. The first sums stand at the output 1 cycle and the latency of few_dot_product after the row's last beat was
// taken. s_axis_tready depends on registers only: no combinational path crosses this module.
//
// With BEATS of a whole image and OUT of all outputs it is a fully connected layer, behind image_window a convolution.
//
// Parameters
//   BEATS                   beats of a row, 1 or more
//   LANES                   values of a beat, 1 or more; value k of the row in lane k mod LANES of beat k / LANES
//   OUT                     sums of a row, 1 or more
//   OUT_LANES               sums of a beat, a divisor of OUT
//   X_W, X_KIND             width and kind of a value, see few_dot_product
//   W_W, W_BIPOLAR          width and kind of a weight, see few_dot_product
//   ACC_W                   width of a sum, bits, see few_dot_product
//   W_FILE                  $readmemh file of OUT / OUT_LANES words; w[n][k] in word n / OUT_LANES at
//                           [W_W * (n % OUT_LANES * BEATS * LANES + k) +: W_W]
module few_linear #(
    parameter BEATS = 9,
    parameter LANES = 16,
    parameter OUT = 16,
    parameter OUT_LANES = 1,
    parameter X_W = 1,
    parameter X_KIND = 2,
    parameter W_W = 1,
    parameter W_BIPOLAR = 1,
    parameter ACC_W = 9,
    parameter W_FILE = "few_linear_w.hex"
) (
    input  wire                       clk,
    input  wire                       rst,
    input  wire [      LANES*X_W-1:0] s_axis_tdata,
    input  wire                       s_axis_tvalid,
    output wire                       s_axis_tready,
    output wire [OUT_LANES*ACC_W-1:0] m_axis_tdata,
    output wire                       m_axis_tvalid,
    input  wire                       m_axis_tready
);

  generate
    if (BEATS < 1) begin : illegal_beats
      illegal_parameter_BEATS_is_below_1 stop ();
    end
    if (OUT_LANES < 1 || OUT < OUT_LANES || OUT % OUT_LANES != 0) begin : illegal_out
      illegal_parameter_OUT_is_no_multiple_of_OUT_LANES stop ();
    end
  endgenerate

  localparam BEAT_W = LANES * X_W;
  localparam ROW_W = BEATS * BEAT_W;
  localparam WEIGHTS_W = BEATS * LANES * W_W;
  localparam GROUPS = OUT / OUT_LANES;
  localparam BEAT_INDEX_W = (BEATS > 1) ? $clog2(BEATS) : 1;
  localparam GROUP_INDEX_W = (GROUPS > 1) ? $clog2(GROUPS) : 1;
  localparam [31:0] BEAT_LAST_32 = BEATS - 1;
  localparam [31:0] GROUP_LAST_32 = GROUPS - 1;
  localparam [BEAT_INDEX_W-1:0] BEAT_LAST = BEAT_LAST_32[BEAT_INDEX_W-1:0];
  localparam [GROUP_INDEX_W-1:0] GROUP_LAST = GROUP_LAST_32[GROUP_INDEX_W-1:0];

  reg [OUT_LANES*WEIGHTS_W-1:0] weights[0:GROUPS-1];
  initial $readmemh(W_FILE, weights);

  reg [ROW_W-1:0] collect_reg;  // the row being collected; the newest beat at the top
  reg [BEAT_INDEX_W-1:0] collect_index_reg;
  reg collect_full_reg;  // a whole row waits for row_reg
  reg [ROW_W-1:0] row_reg;  // the row being multiplied
  reg row_valid_reg;
  reg [GROUP_INDEX_W-1:0] row_index_reg;

  // The weight rows of the next use, fetched one use ahead.
  reg fetched_reg;
  reg [GROUP_INDEX_W-1:0] fetch_reg;
  reg [OUT_LANES*WEIGHTS_W-1:0] weight_rows_reg;

  wire [OUT_LANES-1:0] sum_valid;
  assign m_axis_tvalid = sum_valid[0];
  wire advance = !m_axis_tvalid || m_axis_tready;

  // Collecting
  assign s_axis_tready = !collect_full_reg;
  wire accepted = s_axis_tvalid && s_axis_tready;
  wire row_complete = accepted && collect_index_reg == BEAT_LAST;
  wire [ROW_W-1:0] collected = (collect_reg >> BEAT_W) | ({{(ROW_W - BEAT_W) {1'b0}}, s_axis_tdata} << (ROW_W - BEAT_W));

  // Multiplying: row_valid_reg and the first weight rows are there at the earliest one cycle after reset, together.
  wire row_used = row_valid_reg && advance;
  wire row_free = !row_valid_reg || (row_used && row_index_reg == GROUP_LAST);
  wire row_load = row_free && (collect_full_reg || row_complete);
  wire fetch = !fetched_reg || row_used;

  always @(posedge clk) begin
    if (accepted) collect_reg <= collected;
    if (row_load) row_reg <= collect_full_reg ? collect_reg : collected;
    if (rst) begin
      collect_index_reg <= {BEAT_INDEX_W{1'b0}};
      collect_full_reg <= 1'b0;
      row_valid_reg <= 1'b0;
      row_index_reg <= {GROUP_INDEX_W{1'b0}};
    end else begin
      if (accepted) collect_index_reg <= row_complete ? {BEAT_INDEX_W{1'b0}} : collect_index_reg + 1'b1;
      collect_full_reg <= (collect_full_reg || row_complete) && !row_free;
      row_valid_reg <= row_load || !row_free;
      if (row_used) row_index_reg <= (row_index_reg == GROUP_LAST) ? {GROUP_INDEX_W{1'b0}} : row_index_reg + 1'b1;
    end
  end

  always @(posedge clk) begin
    if (fetch) weight_rows_reg <= weights[fetch_reg];
    if (rst) begin
      fetched_reg <= 1'b0;
      fetch_reg   <= {GROUP_INDEX_W{1'b0}};
    end else if (fetch) begin
      fetched_reg <= 1'b1;
      fetch_reg   <= (fetch_reg == GROUP_LAST) ? {GROUP_INDEX_W{1'b0}} : fetch_reg + 1'b1;
    end
  end

  genvar n;
  generate
    for (n = 0; n < OUT_LANES; n = n + 1) begin : lane
      few_dot_product #(
          .LANES(BEATS * LANES),
          .X_W(X_W),
          .X_KIND(X_KIND),
          .W_W(W_W),
          .W_BIPOLAR(W_BIPOLAR),
          .ACC_W(ACC_W)
      ) dot_product_row (
          .clk(clk),
          .rst(rst),
          .enable(advance),
          .in_valid(row_valid_reg),
          .x(row_reg),
          .w(weight_rows_reg[WEIGHTS_W*n+:WEIGHTS_W]),
          .out_valid(sum_valid[n]),
          .sum(m_axis_tdata[ACC_W*n+:ACC_W])
      );
    end
    if (OUT_LANES > 1) begin : alike
      // All lanes keep the same time.
      wire unused = &{1'b0, sum_valid[OUT_LANES-1:1]};
    end
  endgenerate

endmodule

`default_nettype wire
