`default_nettype none

// Activation tables of 16 lanes: a store of words of 16 points, and the look-up of 16 values a cycle, interpolated.
//
// Word base + p (modulo TABLE_WORDS) holds point p of 16 channels, lane l at bits [8l+:8]. A word x taken in a cycle with
// `read_enable` is y two cycles later and stays until the next one; a word a cycle. base, points_log2 and rule come
// with x. A written word can be read from the next cycle on.
//
// rule says what happens in the last segment, m = P - 1:
//   0 clamp     m = P - 2, f unchanged
//   1 hold      t[P] reads as t[P - 1]; a full table is this with 256 points
//   2 endpoint  P + 1 points are stored
//   3           not used, as endpoint
//
// Parameters
//   TABLE_WORDS  words of the store, a power of two from 4 to 65536
module simd_tables #(
    parameter TABLE_WORDS = 4096
) (
    input  wire         clk,
    input  wire         write_enable,
    input  wire [ 15:0] write_address,  // below TABLE_WORDS
    input  wire [127:0] write_data,
    input  wire         read_enable,
    input  wire [127:0] x,
    input  wire [ 15:0] base,           // even, below TABLE_WORDS
    input  wire [  3:0] points_log2,    // log2 P, 2 to 8
    input  wire [  1:0] rule,
    output wire [127:0] y
);

  localparam LANES = 16;
  localparam [1:0] RULE_CLAMP = 2'd0;
  localparam [1:0] RULE_HOLD = 2'd1;

  wire [7:0] last_point = ~(8'hff << points_log2);
  wire clamp = rule == RULE_CLAMP;
  wire hold = rule == RULE_HOLD;

  genvar l;
  generate
    for (l = 0; l < LANES; l = l + 1) begin : lane
      table_lane #(
          .WORDS(TABLE_WORDS)
      ) table_lane_l (
          .clk(clk),
          .write_enable(write_enable),
          .write_address(write_address),
          .write_data(write_data[8*l+:8]),
          .read_enable(read_enable),
          .x(x[8*l+:8]),
          .base(base),
          .points_log2(points_log2),
          .last_point(last_point),
          .clamp(clamp),
          .hold(hold),
          .y(y[8*l+:8])
      );
    end
  endgenerate

endmodule

`default_nettype wire
