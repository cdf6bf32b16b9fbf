`default_nettype none

// Fully connected layer: y[n] = sat8(round_shift(sum over k of x[k] * w[n][k], s[n]) + b[n]).
//
// Collects a row of IN values, then multiplies it by OUTPUTS whole weight rows a cycle, giving OUT results in
// OUT / OUTPUTS cycles. The next row is collected meanwhile, OUTPUTS values a cycle, so that a row takes
// max(IN, OUT) / OUTPUTS cycles with no gap. The first result stands at the output LATENCY = 4 + ceil(log4(IN)) cycles
// after the row's last value was taken: row register, product, adder levels, shift, result. s_axis_tready depends on a
// register only: no combinational path crosses this module.
//
// Parameters
//   IN                      values of an input row, 1 or more, a multiple of OUTPUTS
//   OUT                     values of an output row, 1 or more, a multiple of OUTPUTS
//   ACC_W                   accumulator width, bits, 16 or more; 16 + ceil(log2(IN)) always suffices
//   OUTPUTS                 values of a beat, in and out, and weight rows a cycle: 1, 2 or 4
//   PACKED                  1: a multiplier makes the products of a value with two weight rows (OUTPUTS 2 or 4); one
//                           of 27 x 18 bits does, smaller ones are not saved. 0: a multiplier for each product
//   BLOCK_ROM               1: weights in memory blocks; 0: wherever synthesis puts them, small ones in look-up tables
//   W_FILE                  $readmemh file of OUT weight rows; w[n][k] at [8k +: 8] of word n, two's complement
//   B_FILE, S_FILE          $readmemh files of OUT bytes: biases (two's complement), shifts (unsigned)
module linear #(
    parameter IN = 96,
    parameter OUT = 96,
    parameter ACC_W = 23,
    parameter OUTPUTS = 1,
    parameter PACKED = 0,
    parameter BLOCK_ROM = 0,
    parameter W_FILE = "linear_w.hex",
    parameter B_FILE = "linear_b.hex",
    parameter S_FILE = "linear_s.hex"
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [8*OUTPUTS-1:0] s_axis_tdata,   // the row's next value lowest
    input  wire                 s_axis_tvalid,
    output wire                 s_axis_tready,
    output wire [8*OUTPUTS-1:0] m_axis_tdata,   // likewise
    output wire                 m_axis_tvalid,
    input  wire                 m_axis_tready
);

  localparam ROW_W = 8 * IN;
  localparam BEAT_W = 8 * OUTPUTS;
  localparam BEATS_IN = IN / OUTPUTS;
  localparam BEATS_OUT = OUT / OUTPUTS;
  localparam ADDRESS_W = (OUT > 1) ? $clog2(OUT) : 1;  // of a weight row
  localparam IN_INDEX_W = (BEATS_IN > 1) ? $clog2(BEATS_IN) : 1;
  localparam OUT_INDEX_W = (BEATS_OUT > 1) ? $clog2(BEATS_OUT) : 1;
  localparam [31:0] IN_LAST_32 = BEATS_IN - 1;
  localparam [31:0] OUT_LAST_32 = BEATS_OUT - 1;
  localparam [IN_INDEX_W-1:0] IN_LAST = IN_LAST_32[IN_INDEX_W-1:0];
  localparam [OUT_INDEX_W-1:0] OUT_LAST = OUT_LAST_32[OUT_INDEX_W-1:0];

  // Packed sums are never narrower than dot_product_pair.v asks.
  localparam PAIR_ACC_W = (IN > 4) ? 16 + $clog2(IN) : 18;
  localparam SUM_W = (PACKED && ACC_W < PAIR_ACC_W) ? PAIR_ACC_W : ACC_W;

  generate
    if (IN < 1) begin : illegal_in
      illegal_parameter_IN_is_below_1 stop ();
    end
    if (OUT < 1) begin : illegal_out
      illegal_parameter_OUT_is_below_1 stop ();
    end
    if (OUTPUTS != 1 && OUTPUTS != 2 && OUTPUTS != 4) begin : illegal_outputs
      illegal_parameter_OUTPUTS_is_not_1_2_or_4 stop ();
    end else if (IN % OUTPUTS != 0) begin : illegal_in_of_outputs
      illegal_parameter_IN_is_no_multiple_of_OUTPUTS stop ();
    end else if (OUT % OUTPUTS != 0) begin : illegal_out_of_outputs
      illegal_parameter_OUT_is_no_multiple_of_OUTPUTS stop ();
    end
    if (PACKED != 0 && PACKED != 1) begin : illegal_packed
      illegal_parameter_PACKED_is_not_0_or_1 stop ();
    end else if (PACKED && OUTPUTS == 1) begin : illegal_packed_alone
      illegal_parameter_PACKED_is_1_with_one_output stop ();
    end
    if (BLOCK_ROM != 0 && BLOCK_ROM != 1) begin : illegal_block_rom
      illegal_parameter_BLOCK_ROM_is_not_0_or_1 stop ();
    end
  endgenerate

  // Attributes are not looked at by Verilator.
  // verilator lint_off UNUSEDPARAM
  localparam WEIGHT_STYLE = BLOCK_ROM ? "block" : "auto";
  // verilator lint_on UNUSEDPARAM
  (* rom_style = WEIGHT_STYLE *)
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

  // Constants of the next use, fetched one use ahead: the weight rows for row_reg, biases and shifts for the sums.
  reg weight_fetched_reg;
  reg [OUT_INDEX_W-1:0] weight_fetch_reg;
  reg [OUTPUTS*ROW_W-1:0] weight_row_reg;
  reg bias_fetched_reg;
  reg [OUT_INDEX_W-1:0] bias_fetch_reg;
  reg [BEAT_W-1:0] bias_reg;
  reg [BEAT_W-1:0] shift_reg;

  // The sums, shifted, with their biases.
  reg shifted_valid_reg;
  reg [10*OUTPUTS-1:0] shifted_reg;
  reg [BEAT_W-1:0] shifted_bias_reg;

  reg y_valid_reg;
  reg [BEAT_W-1:0] y_reg;

  wire [OUTPUTS-1:0] sums_valid;
  wire sum_valid = &sums_valid;  // all at once
  wire [OUTPUTS*SUM_W-1:0] sum;
  wire y_free = !y_valid_reg || m_axis_tready;
  wire shifted_free = !shifted_valid_reg || y_free;
  wire advance = !sum_valid || shifted_free;

  // Collecting
  assign s_axis_tready = !collect_full_reg;
  wire accepted = s_axis_tvalid && s_axis_tready;
  wire row_complete = accepted && collect_index_reg == IN_LAST;
  wire [ROW_W-1:0] collected = (collect_reg >> BEAT_W) |
                               ({{(ROW_W - BEAT_W) {1'b0}}, s_axis_tdata} << (ROW_W - BEAT_W));

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
    if (rst) begin
      weight_fetched_reg <= 1'b0;
      weight_fetch_reg   <= {OUT_INDEX_W{1'b0}};
    end else if (weight_fetch) begin
      weight_fetched_reg <= 1'b1;
      weight_fetch_reg   <= (weight_fetch_reg == OUT_LAST) ? {OUT_INDEX_W{1'b0}} : weight_fetch_reg + 1'b1;
    end
  end

  // Requantising
  always @(posedge clk) begin
    if (rst) begin
      bias_fetched_reg <= 1'b0;
      bias_fetch_reg   <= {OUT_INDEX_W{1'b0}};
    end else if (bias_fetch) begin
      bias_fetched_reg <= 1'b1;
      bias_fetch_reg   <= (bias_fetch_reg == OUT_LAST) ? {OUT_INDEX_W{1'b0}} : bias_fetch_reg + 1'b1;
    end
  end

  // Output n of a beat has row, bias and shift n of each OUTPUTS of them.
  wire [10*OUTPUTS-1:0] shifted;
  wire [BEAT_W-1:0] y;
  wire [ADDRESS_W-1:0] first_weight = {{(ADDRESS_W - OUT_INDEX_W) {1'b0}}, weight_fetch_reg} << $clog2(OUTPUTS);
  wire [ADDRESS_W-1:0] first_bias = {{(ADDRESS_W - OUT_INDEX_W) {1'b0}}, bias_fetch_reg} << $clog2(OUTPUTS);
  genvar n;
  generate
    for (n = 0; n < OUTPUTS; n = n + 1) begin : lane
      localparam [31:0] LANE_32 = n;
      localparam [ADDRESS_W-1:0] LANE = LANE_32[ADDRESS_W-1:0];

      always @(posedge clk) begin
        if (weight_fetch) weight_row_reg[ROW_W*n+:ROW_W] <= weights[first_weight|LANE];
        if (bias_fetch) begin
          bias_reg[8*n+:8]  <= biases[first_bias|LANE];
          shift_reg[8*n+:8] <= shifts[first_bias|LANE];
        end
      end

      if (PACKED == 0) begin : alone
        dot_product #(
            .LANES(IN),
            .ACC_W(SUM_W)
        ) dot_product_row (
            .clk(clk),
            .rst(rst),
            .enable(advance),
            .in_valid(row_valid_reg),
            .x(row_reg),
            .w(weight_row_reg[ROW_W*n+:ROW_W]),
            .out_valid(sums_valid[n]),
            .sum(sum[SUM_W*n+:SUM_W])
        );
      end

      shift_clip #(
          .ACC_W(SUM_W)
      ) shift_sum (
          .acc(sum[SUM_W*n+:SUM_W]),
          .shift(shift_reg[8*n+:8]),
          .y(shifted[10*n+:10])
      );

      requantise #(
          .ACC_W(10)
      ) requantise_shifted (
          .acc(shifted_reg[10*n+:10]),
          .shift(8'd1),
          .bias(shifted_bias_reg[8*n+:8]),
          .y(y[8*n+:8])
      );
    end
  endgenerate

  // Outputs by twos, and the sum of the row, which they need.
  generate
    if (PACKED) begin : packed_rows
      localparam ROW_SUM_W = 8 + $clog2(IN);
      reg [ROW_SUM_W-1:0] collect_sum_reg;  // of the row being collected
      reg [ROW_SUM_W-1:0] row_sum_reg;      // of row_reg
      wire [ROW_SUM_W*(OUTPUTS+1)-1:0] so_far;
      wire [ROW_SUM_W-1:0] collected_sum = so_far[ROW_SUM_W*OUTPUTS+:ROW_SUM_W];
      assign so_far[ROW_SUM_W-1:0] = (collect_index_reg == {IN_INDEX_W{1'b0}}) ? {ROW_SUM_W{1'b0}} : collect_sum_reg;

      for (n = 0; n < OUTPUTS; n = n + 1) begin : value
        wire [7:0] taken = s_axis_tdata[8*n+:8];
        assign so_far[ROW_SUM_W*(n+1)+:ROW_SUM_W] =
            so_far[ROW_SUM_W*n+:ROW_SUM_W] + {{(ROW_SUM_W - 8) {taken[7]}}, taken};
      end

      always @(posedge clk) begin
        if (accepted) collect_sum_reg <= collected_sum;
        if (row_load) row_sum_reg <= collect_full_reg ? collect_sum_reg : collected_sum;
      end

      for (n = 0; n < OUTPUTS; n = n + 2) begin : two
        wire pair_valid;
        dot_product_pair #(
            .LANES(IN),
            .ACC_W(SUM_W)
        ) dot_product_rows (
            .clk(clk),
            .rst(rst),
            .enable(advance),
            .in_valid(row_valid_reg),
            .x(row_reg),
            .x_sum(row_sum_reg),
            .w0(weight_row_reg[ROW_W*n+:ROW_W]),
            .w1(weight_row_reg[ROW_W*(n+1)+:ROW_W]),
            .out_valid(pair_valid),
            .sum0(sum[SUM_W*n+:SUM_W]),
            .sum1(sum[SUM_W*(n+1)+:SUM_W])
        );
        assign sums_valid[n+:2] = {2{pair_valid}};
      end
    end
  endgenerate

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
