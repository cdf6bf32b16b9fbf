`default_nettype none

// Two pipelined dot products of one row of int8 with two rows of weights: the sums over k of x[k] * w0[k] and of
// x[k] * w1[k]. Made as two of dot_product.v are, in the same cycles, but with half of the multipliers: product_pair.v
// forms both products of an x in one.
//
// The first two stages hold both in one word: products, then sums of up to four. From there on the two halves are added
// up apart. The lower half is that of w0 + 128: what is too much, 128 times the sum of the row, is taken off at the end.
// The sum of the row comes with the row and goes along with it.
//
// Parameters
//   LANES  products of a sum, 2 or more
//   ACC_W  width of a sum, bits, 18 or more and 16 + ceil(log2(LANES)) or more
module dot_product_pair #(
    parameter LANES = 96,
    parameter ACC_W = 23
) (
    input  wire                       clk,
    input  wire                       rst,
    input  wire                       enable,
    input  wire                       in_valid,
    input  wire [        8*LANES-1:0] x,          // two's complement bytes, x[k] at [8k +: 8]
    input  wire [8+$clog2(LANES)-1:0] x_sum,      // two's complement: the sum of all x[k]
    input  wire [        8*LANES-1:0] w0,         // as x
    input  wire [        8*LANES-1:0] w1,
    output wire                       out_valid,
    output wire [          ACC_W-1:0] sum0,       // two's complement
    output wire [          ACC_W-1:0] sum1
);

  localparam PAIR_W = 34;
  localparam FOUR_W = 36;  // the sum of four
  localparam HALF_W = 18;
  localparam X_SUM_W = 8 + $clog2(LANES);
  localparam EXCESS_W = X_SUM_W + 7;  // 128 times the sum of the row
  localparam LEVELS = (LANES > 1) ? ($clog2(LANES) + 1) / 2 : 1;  // ceil(log4(LANES))
  localparam LATENCY = 1 + LEVELS;
  localparam FOURS = (LANES + 3) / 4;

  generate
    if (LANES < 2) begin : illegal_lanes
      illegal_parameter_LANES_is_below_2 stop ();
    end
    if (ACC_W < HALF_W) begin : illegal_acc_w
      illegal_parameter_ACC_W_is_below_18 stop ();
    end
    if (ACC_W < 16 + $clog2(LANES)) begin : illegal_acc_w_of_lanes
      illegal_parameter_ACC_W_is_below_that_of_LANES stop ();
    end
  endgenerate

  // valid_reg[i]: register stage i holds a value; loading[i]: it takes a new one at the next edge.
  reg  [LATENCY-1:0] valid_reg;
  wire [  LATENCY:0] stage_valid = {valid_reg, in_valid};
  wire [LATENCY-1:0] loading = stage_valid[LATENCY-1:0] & {LATENCY{enable}};

  always @(posedge clk) begin
    if (rst) valid_reg <= {LATENCY{1'b0}};
    else if (enable) valid_reg <= stage_valid[LATENCY-1:0];
  end

  genvar l, k;

  // The sum of the row beside each stage.
  generate
    for (l = 0; l < LATENCY; l = l + 1) begin : beside
      reg [X_SUM_W-1:0] x_sum_reg;
      if (l == 0) begin : first
        always @(posedge clk) if (loading[l]) x_sum_reg <= x_sum;
      end else begin : further
        always @(posedge clk) if (loading[l]) x_sum_reg <= beside[l-1].x_sum_reg;
      end
    end
  endgenerate

  // Stage 0: pairs of products, extended to what four of them make, 0 where there is none; stage 1: their sums, parted.
  wire [HALF_W*FOURS-1:0] low, high;
  generate
    for (k = 0; k < 4 * FOURS; k = k + 1) begin : product
      wire [FOUR_W-1:0] pair;
      if (k < LANES) begin : multiply
        wire [PAIR_W-1:0] p;
        reg  [PAIR_W-1:0] pair_reg;
        product_pair product_pair_lane (
            .x (x[8*k+:8]),
            .w0(w0[8*k+:8]),
            .w1(w1[8*k+:8]),
            .p (p)
        );
        always @(posedge clk) if (loading[0]) pair_reg <= p;
        assign pair = {{(FOUR_W - PAIR_W) {pair_reg[PAIR_W-1]}}, pair_reg};
      end else begin : nothing
        assign pair = {FOUR_W{1'b0}};
      end
    end
    for (k = 0; k < FOURS; k = k + 1) begin : four
      reg [FOUR_W-1:0] four_reg;
      always @(posedge clk) begin
        if (loading[1]) begin
          four_reg <= (product[4*k].pair + product[4*k+1].pair) + (product[4*k+2].pair + product[4*k+3].pair);
        end
      end
      split_pair split_four (
          .pair(four_reg),
          .low (low[HALF_W*k+:HALF_W]),
          .high(high[HALF_W*k+:HALF_W])
      );
    end
  endgenerate

  // level[1] holds the halves of the sums of four, level[l] the sums of up to four neighbours of level l - 1.
  generate
    for (l = 1; l <= LEVELS; l = l + 1) begin : level
      localparam NODES = (LANES + (1 << (2 * l)) - 1) >> (2 * l);
      wire [ACC_W*NODES-1:0] lows, highs;
      for (k = 0; k < NODES; k = k + 1) begin : node
        if (l == 1) begin : halves
          assign lows[ACC_W*k+:ACC_W]  = {{(ACC_W - HALF_W + 1) {low[HALF_W*k+HALF_W-1]}}, low[HALF_W*k+:HALF_W-1]};
          assign highs[ACC_W*k+:ACC_W] = {{(ACC_W - HALF_W + 1) {high[HALF_W*k+HALF_W-1]}}, high[HALF_W*k+:HALF_W-1]};
        end else begin : add
          localparam BELOW = (LANES + (1 << (2 * (l - 1))) - 1) >> (2 * (l - 1));
          localparam LEAVES = (BELOW - 4 * k > 4) ? 4 : BELOW - 4 * k;
          reg [ACC_W-1:0] low_reg, high_reg;
          wire [4*ACC_W-1:0] low_leaves = {
            {((4 - LEAVES) * ACC_W) {1'b0}}, level[l-1].lows[4*ACC_W*k+:LEAVES*ACC_W]
          };
          wire [4*ACC_W-1:0] high_leaves = {
            {((4 - LEAVES) * ACC_W) {1'b0}}, level[l-1].highs[4*ACC_W*k+:LEAVES*ACC_W]
          };
          always @(posedge clk) begin
            if (loading[l]) begin
              low_reg <= (low_leaves[0+:ACC_W] + low_leaves[ACC_W+:ACC_W])
                       + (low_leaves[2*ACC_W+:ACC_W] + low_leaves[3*ACC_W+:ACC_W]);
              high_reg <= (high_leaves[0+:ACC_W] + high_leaves[ACC_W+:ACC_W])
                        + (high_leaves[2*ACC_W+:ACC_W] + high_leaves[3*ACC_W+:ACC_W]);
            end
          end
          assign lows[ACC_W*k+:ACC_W]  = low_reg;
          assign highs[ACC_W*k+:ACC_W] = high_reg;
        end
      end
    end
  endgenerate

  wire [X_SUM_W-1:0] x_sum_last = beside[LATENCY-1].x_sum_reg;
  wire [ACC_W-1:0] excess = {{(ACC_W - EXCESS_W) {x_sum_last[X_SUM_W-1]}}, x_sum_last, 7'd0};

  assign out_valid = stage_valid[LATENCY];
  assign sum0 = level[LEVELS].lows - excess;
  assign sum1 = level[LEVELS].highs;

endmodule

`default_nettype wire
