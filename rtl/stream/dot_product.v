`default_nettype none

// Pipelined dot product of two rows of int8: sum over k of x[k] * w[k].
//
// One register after the multipliers and one after each level of a tree of four-input adders. A row enters in every
// cycle with `enable` and `in_valid`; its sum stands at the output LATENCY = 1 + ceil(log4(LANES)) enabled cycles
// later, marked by `out_valid`. While `enable` is low everything stands still. Registers load only for valid rows.
//
// Every node is ACC_W wide: arithmetic is modulo 2^ACC_W, so the sum is right whenever it fits ACC_W bits.
//
// Parameters
//   LANES  products a cycle, 1 or more
//   ACC_W  width of the sum, bits, 16 or more; 16 + ceil(log2(LANES)) always suffices
module dot_product #(
    parameter LANES = 96,
    parameter ACC_W = 23
) (
    input  wire               clk,
    input  wire               rst,
    input  wire               enable,
    input  wire               in_valid,
    input  wire [8*LANES-1:0] x,          // two's complement bytes, x[k] at [8k +: 8]
    input  wire [8*LANES-1:0] w,          // likewise
    output wire               out_valid,
    output wire [  ACC_W-1:0] sum         // two's complement
);

  localparam PRODUCT_W = 16;
  localparam LEVELS = (LANES > 1) ? ($clog2(LANES) + 1) / 2 : 0;  // ceil(log4(LANES))
  localparam LATENCY = 1 + LEVELS;

  generate
    if (LANES < 1) begin : illegal_lanes
      illegal_parameter_LANES_is_below_1 stop ();
    end
    if (ACC_W < PRODUCT_W) begin : illegal_acc_w
      illegal_parameter_ACC_W_is_below_16 stop ();
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

  // level[0] holds the products, level[l] the sums of up to four neighbours of level l - 1, the last level one sum.
  genvar l, k;
  generate
    for (l = 0; l <= LEVELS; l = l + 1) begin : level
      localparam NODES = (LANES > 1) ? (LANES + (1 << (2 * l)) - 1) >> (2 * l) : 1;
      for (k = 0; k < NODES; k = k + 1) begin : node
        reg signed [ACC_W-1:0] value_reg;
        if (l == 0) begin : multiply
          wire signed [7:0] x_lane = x[8*k+:8];
          wire signed [7:0] w_lane = w[8*k+:8];
          always @(posedge clk) if (loading[l]) value_reg <= x_lane * w_lane;
        end else begin : add
          localparam BELOW = (LANES + (1 << (2 * (l - 1))) - 1) >> (2 * (l - 1));
          localparam LEAVES = BELOW - 4 * k;  // all that are left; the node takes up to four
          if (LEAVES >= 4) begin : four
            always @(posedge clk) begin
              if (loading[l]) begin
                value_reg <= (level[l-1].node[4*k].value_reg + level[l-1].node[4*k+1].value_reg)
                           + (level[l-1].node[4*k+2].value_reg + level[l-1].node[4*k+3].value_reg);
              end
            end
          end else if (LEAVES == 3) begin : three
            always @(posedge clk) begin
              if (loading[l]) begin
                value_reg <= (level[l-1].node[4*k].value_reg + level[l-1].node[4*k+1].value_reg)
                           + level[l-1].node[4*k+2].value_reg;
              end
            end
          end else if (LEAVES == 2) begin : two
            always @(posedge clk) begin
              if (loading[l]) value_reg <= level[l-1].node[4*k].value_reg + level[l-1].node[4*k+1].value_reg;
            end
          end else begin : one
            always @(posedge clk) if (loading[l]) value_reg <= level[l-1].node[4*k].value_reg;
          end
        end
      end
    end
  endgenerate

  assign out_valid = stage_valid[LATENCY];
  assign sum = level[LEVELS].node[0].value_reg;

endmodule

`default_nettype wire
