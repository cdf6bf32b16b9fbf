`default_nettype none

// Pipelined dot product of two rows of few bits each: sum over k of x[k] * w[k].
//
// Bits that stand for -1 and 1 are multiplied by XNOR: their matches are counted, and the sum is 2 * matches - LANES.
// Other products are formed as numbers. The first register holds sums of up to GROUP neighbouring products, one more
// stands behind each level of a tree of four-input adders, each level two bits wider than the one before, and where
// matches were counted one more behind the sum. A row enters in every cycle with `enable` and `in_valid`; its sum
// stands at the output LATENCY = 1 + ceil(log4(ceil(LANES / GROUP))) enabled cycles later, one more for matches, marked
// by `out_valid`. While `enable` is low everything stands still. Registers load only for valid rows.
//
// No node but the last is too narrow for its sum; the last is given modulo 2^ACC_W, so that it is right whenever it
// fits ACC_W bits.
//
// Parameters
//   LANES      products a cycle, 1 or more
//   X_W        width of a value, bits, 1 to 16
//   X_KIND     0: values are signed (two's complement), 1: unsigned, 2: one bit, 0 for -1 and 1 for 1
//   W_W        width of a weight, bits, 1 to 8
//   W_BIPOLAR  0: weights are signed, 1: one bit, 0 for -1 and 1 for 1
//   ACC_W      width of the sum, bits, 1 to 32
module few_dot_product #(
    parameter LANES = 64,
    parameter X_W = 1,
    parameter X_KIND = 2,
    parameter W_W = 1,
    parameter W_BIPOLAR = 1,
    parameter ACC_W = 8
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 enable,
    input  wire                 in_valid,
    input  wire [LANES*X_W-1:0] x,          // x[k] at [X_W*k +: X_W]
    input  wire [LANES*W_W-1:0] w,          // w[k] at [W_W*k +: W_W]
    output wire                 out_valid,
    output wire [    ACC_W-1:0] sum         // two's complement
);

  localparam MATCH = X_KIND == 2 && W_BIPOLAR != 0;
  localparam PRODUCT_W = MATCH ? 2 : X_W + W_W;  // a match is 0 or 1
  localparam GROUP = MATCH ? 8 : (PRODUCT_W <= 4) ? 4 : 1;
  localparam GROUPS = (LANES > GROUP) ? (LANES + GROUP - 1) / GROUP : 1;
  localparam LEAF_W = PRODUCT_W + $clog2(GROUP);
  localparam LEVELS = (GROUPS > 1) ? ($clog2(GROUPS) + 1) / 2 : 0;  // ceil(log4(GROUPS))
  localparam TOTAL_W = LEAF_W + 2 * LEVELS;
  localparam LATENCY = 1 + LEVELS + (MATCH ? 1 : 0);

  generate
    if (LANES < 1) begin : illegal_lanes
      illegal_parameter_LANES_is_below_1 stop ();
    end
    if (X_W < 1 || X_W > 16) begin : illegal_x_w
      illegal_parameter_X_W_is_not_1_to_16 stop ();
    end
    if (X_KIND < 0 || X_KIND > 2 || (X_KIND == 2 && X_W != 1)) begin : illegal_x_kind
      illegal_parameter_X_KIND_is_not_0_to_2_or_X_W_not_1_for_2 stop ();
    end
    if (W_W < 1 || W_W > 8) begin : illegal_w_w
      illegal_parameter_W_W_is_not_1_to_8 stop ();
    end
    if (W_BIPOLAR < 0 || W_BIPOLAR > 1 || (W_BIPOLAR == 1 && W_W != 1)) begin : illegal_w_bipolar
      illegal_parameter_W_BIPOLAR_is_not_0_or_1_or_W_W_not_1_for_1 stop ();
    end
    if (ACC_W < 1 || ACC_W > 32) begin : illegal_acc_w
      illegal_parameter_ACC_W_is_not_1_to_32 stop ();
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

  // Products, of up to GROUP neighbours of which level[0] holds the sums; level[l] holds those of up to four neighbours
  // of level l - 1, the last level one sum.
  genvar l, k;
  generate
    if (MATCH) begin : bits
      wire [GROUP*GROUPS-1:0] match;
      assign match[LANES-1:0] = x ~^ w;
      if (LANES < GROUP * GROUPS) begin : rest
        assign match[GROUP*GROUPS-1:LANES] = {(GROUP * GROUPS - LANES) {1'b0}};
      end
    end else begin : products
      for (k = 0; k < LANES; k = k + 1) begin : lane
        wire signed [LEAF_W-1:0] product;
        if (X_KIND == 2) begin : signs
          wire signed [LEAF_W-1:0] weight = {{(LEAF_W - W_W) {w[W_W*k+W_W-1]}}, w[W_W*k+:W_W]};
          assign product = x[k] ? weight : -weight;
        end else begin : numbers
          wire high = (X_KIND == 0) && x[X_W*k+X_W-1];
          wire signed [LEAF_W-1:0] value = {{(LEAF_W - X_W) {high}}, x[X_W*k+:X_W]};
          if (W_BIPOLAR != 0) begin : negated
            assign product = w[k] ? value : -value;
          end else begin : multiplied
            wire signed [LEAF_W-1:0] weight = {{(LEAF_W - W_W) {w[W_W*k+W_W-1]}}, w[W_W*k+:W_W]};
            assign product = value * weight;
          end
        end
      end
    end
    for (l = 0; l <= LEVELS; l = l + 1) begin : level
      localparam NODES = (GROUPS + (1 << (2 * l)) - 1) >> (2 * l);
      localparam WIDTH = LEAF_W + 2 * l;
      for (k = 0; k < NODES; k = k + 1) begin : node
        reg signed [WIDTH-1:0] value_reg;
        if (l < LEVELS) begin : passed
          wire signed [WIDTH+1:0] wide = {{2{value_reg[WIDTH-1]}}, value_reg};
        end
        if (l > 0) begin : add
          localparam BELOW = (GROUPS + (1 << (2 * (l - 1))) - 1) >> (2 * (l - 1));
          localparam LEAVES = BELOW - 4 * k;  // all that are left; the node takes up to four
          if (LEAVES >= 4) begin : four
            always @(posedge clk) begin
              if (loading[l]) begin
                value_reg <= (level[l-1].node[4*k].passed.wide + level[l-1].node[4*k+1].passed.wide)
                           + (level[l-1].node[4*k+2].passed.wide + level[l-1].node[4*k+3].passed.wide);
              end
            end
          end else if (LEAVES == 3) begin : three
            always @(posedge clk) begin
              if (loading[l]) begin
                value_reg <= (level[l-1].node[4*k].passed.wide + level[l-1].node[4*k+1].passed.wide)
                           + level[l-1].node[4*k+2].passed.wide;
              end
            end
          end else if (LEAVES == 2) begin : two
            always @(posedge clk) begin
              if (loading[l]) value_reg <= level[l-1].node[4*k].passed.wide + level[l-1].node[4*k+1].passed.wide;
            end
          end else begin : one
            always @(posedge clk) if (loading[l]) value_reg <= level[l-1].node[4*k].passed.wide;
          end
        end else if (MATCH) begin : counted
          wire [GROUP-1:0] match = bits.match[GROUP*k+:GROUP];
          wire [LEAF_W-1:0] first = ({4'd0, match[0]} + {4'd0, match[1]}) + ({4'd0, match[2]} + {4'd0, match[3]});
          wire [LEAF_W-1:0] second = ({4'd0, match[4]} + {4'd0, match[5]}) + ({4'd0, match[6]} + {4'd0, match[7]});
          always @(posedge clk) if (loading[l]) value_reg <= first + second;
        end else begin : summed
          localparam MEMBERS = LANES - GROUP * k;  // all that are left; the leaf takes up to GROUP
          if (GROUP == 1 || MEMBERS == 1) begin : one
            always @(posedge clk) if (loading[l]) value_reg <= products.lane[GROUP*k].product;
          end else if (MEMBERS >= 4) begin : four
            always @(posedge clk) begin
              if (loading[l]) begin
                value_reg <= (products.lane[4*k].product + products.lane[4*k+1].product)
                           + (products.lane[4*k+2].product + products.lane[4*k+3].product);
              end
            end
          end else if (MEMBERS == 3) begin : three
            always @(posedge clk) begin
              if (loading[l]) begin
                value_reg <= (products.lane[4*k].product + products.lane[4*k+1].product)
                           + products.lane[4*k+2].product;
              end
            end
          end else begin : two
            always @(posedge clk) begin
              if (loading[l]) value_reg <= products.lane[4*k].product + products.lane[4*k+1].product;
            end
          end
        end
      end
    end
  endgenerate

  // The sum, from matches what they stand for; bits beyond ACC_W are not given.
  localparam WHOLE_W = (TOTAL_W > ACC_W) ? TOTAL_W : ACC_W;
  localparam [31:0] LANES_32 = LANES;
  wire signed [TOTAL_W-1:0] total = level[LEVELS].node[0].value_reg;
  wire [WHOLE_W-1:0] whole;
  assign out_valid = stage_valid[LATENCY];
  generate
    if (MATCH) begin : from_matches
      reg [ACC_W-1:0] sum_reg;
      assign whole = {{(WHOLE_W - TOTAL_W) {1'b0}}, total} + {{(WHOLE_W - TOTAL_W) {1'b0}}, total}
                   - LANES_32[WHOLE_W-1:0];
      always @(posedge clk) if (loading[LATENCY-1]) sum_reg <= whole[ACC_W-1:0];
      assign sum = sum_reg;
    end else begin : as_it_is
      assign whole = {{(WHOLE_W - TOTAL_W) {total[TOTAL_W-1]}}, total};
      assign sum   = whole[ACC_W-1:0];
    end
    if (WHOLE_W > ACC_W) begin : beyond
      wire unused = &{1'b0, whole[WHOLE_W-1:ACC_W]};
    end
  endgenerate

endmodule

`default_nettype wire
