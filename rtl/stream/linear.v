`default_nettype none

// Fully connected layer: y[n] = sat8(round_shift(sum over k of x[k] * w[n][k], s[n]) + b[n]).
//
// Collects a row of IN values, then multiplies it by one whole weight row a cycle, giving OUT results in OUT cycles.
// The next row is collected meanwhile, so that a row takes max(IN, OUT) cycles with no gap. The first result stands at
// the output LATENCY = 4 + ceil(log4(IN)) cycles after the row's last value was taken: row register, product, adder
// levels, shift, result. s_axis_tready depends on a register only: no combinational path crosses this module.
//
// Parameters
//   IN                      values of an input row, 1 or more
//   OUT                     values of an output row, 1 or more
//   ACC_W                   accumulator width, bits, 16 or more; 16 + ceil(log2(IN)) always suffices
//   W_FILE                  $readmemh file of OUT weight rows; w[n][k] at [8k +: 8] of word n, two's complement
//   B_FILE, S_FILE          $readmemh files of OUT bytes: biases (two's complement), shifts (unsigned)
module linear #(
    parameter IN = 96,
    parameter OUT = 96,
    parameter ACC_W = 23,
    parameter W_FILE = "linear_w.hex",
    parameter B_FILE = "linear_b.hex",
    parameter S_FILE = "linear_s.hex"
) (
    input  wire       clk,
    input  wire       rst,
    input  wire [7:0] s_axis_tdata,
    input  wire       s_axis_tvalid,
    output wire       s_axis_tready,
    output wire [7:0] m_axis_tdata,
    output wire       m_axis_tvalid,
    input  wire       m_axis_tready
);

  localparam ROW_W = 8 * IN;
  localparam IN_INDEX_W = (IN > 1) ? $clog2(IN) : 1;
  localparam OUT_INDEX_W = (OUT > 1) ? $clog2(OUT) : 1;
  localparam [31:0] IN_LAST_32 = IN - 1;
  localparam [31:0] OUT_LAST_32 = OUT - 1;
  localparam [IN_INDEX_W-1:0] IN_LAST = IN_LAST_32[IN_INDEX_W-1:0];
  localparam [OUT_INDEX_W-1:0] OUT_LAST = OUT_LAST_32[OUT_INDEX_W-1:0];

  generate
    if (IN < 1) begin : illegal_in
      illegal_parameter_IN_is_below_1 stop ();
    end
    if (OUT < 1) begin : illegal_out
      illegal_parameter_OUT_is_below_1 stop ();
    end
  endgenerate

  reg [ROW_W-1:0] weights[0:OUT-1];
  reg [7:0] biases[0:OUT-1];
  reg [7:0] shifts[0:OUT-1];
  initial $readmemh(W_FILE, weights);
  initial $readmemh(B_FILE, biases);
  initial $readmemh(S_FILE, shifts);

  reg [ROW_W-1:0] collect_reg;  // the row being collected; the newest value at the top
  reg [IN_INDEX_W-1:0] collect_index_reg;
  reg collect_full_reg;  // a whole row waits for row_reg
  reg [ROW_W-1:0] row_reg;  // the row being multiplied
  reg row_valid_reg;
  reg [OUT_INDEX_W-1:0] row_index_reg;

  // Constants of the next use, fetched one use ahead: the weight row for row_reg, bias and shift for the sum.
  reg weight_fetched_reg;
  reg [OUT_INDEX_W-1:0] weight_fetch_reg;
  reg [ROW_W-1:0] weight_row_reg;
  reg bias_fetched_reg;
  reg [OUT_INDEX_W-1:0] bias_fetch_reg;
  reg [7:0] bias_reg;
  reg [7:0] shift_reg;

  // The sum, shifted, with its bias.
  reg shifted_valid_reg;
  reg [9:0] shifted_reg;
  reg [7:0] shifted_bias_reg;

  reg y_valid_reg;
  reg [7:0] y_reg;

  wire sum_valid;
  wire [ACC_W-1:0] sum;
  wire y_free = !y_valid_reg || m_axis_tready;
  wire shifted_free = !shifted_valid_reg || y_free;
  wire advance = !sum_valid || shifted_free;

  // Collecting
  assign s_axis_tready = !collect_full_reg;
  wire accepted = s_axis_tvalid && s_axis_tready;
  wire row_complete = accepted && collect_index_reg == IN_LAST;
  wire [ROW_W-1:0] collected = (collect_reg >> 8) | ({{(ROW_W - 8) {1'b0}}, s_axis_tdata} << (ROW_W - 8));

  // Multiplying: row_valid_reg and the first weight row are there at the earliest one cycle after reset, together.
  wire row_used = row_valid_reg && advance;
  wire row_free = !row_valid_reg || (row_used && row_index_reg == OUT_LAST);
  wire row_load = row_free && (collect_full_reg || row_complete);
  wire weight_fetch = !weight_fetched_reg || row_used;
  wire bias_fetch = !bias_fetched_reg || (sum_valid && shifted_free);

  always @(posedge clk) begin
    if (accepted) collect_reg <= collected;
    if (row_load) row_reg <= collect_full_reg ? collect_reg : collected;
    if (rst) begin
      collect_index_reg <= {IN_INDEX_W{1'b0}};
      collect_full_reg <= 1'b0;
      row_valid_reg <= 1'b0;
      row_index_reg <= {OUT_INDEX_W{1'b0}};
    end else begin
      if (accepted) collect_index_reg <= row_complete ? {IN_INDEX_W{1'b0}} : collect_index_reg + 1'b1;
      collect_full_reg <= (collect_full_reg || row_complete) && !row_free;
      row_valid_reg <= row_load || !row_free;
      if (row_used) row_index_reg <= (row_index_reg == OUT_LAST) ? {OUT_INDEX_W{1'b0}} : row_index_reg + 1'b1;
    end
  end

  always @(posedge clk) begin
    if (weight_fetch) weight_row_reg <= weights[weight_fetch_reg];
    if (rst) begin
      weight_fetched_reg <= 1'b0;
      weight_fetch_reg   <= {OUT_INDEX_W{1'b0}};
    end else if (weight_fetch) begin
      weight_fetched_reg <= 1'b1;
      weight_fetch_reg   <= (weight_fetch_reg == OUT_LAST) ? {OUT_INDEX_W{1'b0}} : weight_fetch_reg + 1'b1;
    end
  end

  dot_product #(
      .LANES(IN),
      .ACC_W(ACC_W)
  ) dot_product_row (
      .clk(clk),
      .rst(rst),
      .enable(advance),
      .in_valid(row_valid_reg),
      .x(row_reg),
      .w(weight_row_reg),
      .out_valid(sum_valid),
      .sum(sum)
  );

  // Requantising
  always @(posedge clk) begin
    if (bias_fetch) begin
      bias_reg  <= biases[bias_fetch_reg];
      shift_reg <= shifts[bias_fetch_reg];
    end
    if (rst) begin
      bias_fetched_reg <= 1'b0;
      bias_fetch_reg   <= {OUT_INDEX_W{1'b0}};
    end else if (bias_fetch) begin
      bias_fetched_reg <= 1'b1;
      bias_fetch_reg   <= (bias_fetch_reg == OUT_LAST) ? {OUT_INDEX_W{1'b0}} : bias_fetch_reg + 1'b1;
    end
  end

  wire [9:0] shifted;
  shift_clip #(
      .ACC_W(ACC_W)
  ) shift_sum (
      .acc(sum),
      .shift(shift_reg),
      .y(shifted)
  );

  wire [7:0] y;
  requantise #(
      .ACC_W(10)
  ) requantise_shifted (
      .acc(shifted_reg),
      .shift(8'd1),
      .bias(shifted_bias_reg),
      .y(y)
  );

  always @(posedge clk) begin
    if (sum_valid && shifted_free) begin
      shifted_reg <= shifted;
      shifted_bias_reg <= bias_reg;
    end
    if (shifted_valid_reg && y_free) y_reg <= y;
    if (rst) begin
      shifted_valid_reg <= 1'b0;
      y_valid_reg <= 1'b0;
    end else begin
      if (shifted_free) shifted_valid_reg <= sum_valid;
      if (y_free) y_valid_reg <= shifted_valid_reg;
    end
  end

  assign m_axis_tdata  = y_reg;
  assign m_axis_tvalid = y_valid_reg;

endmodule

`default_nettype wire
