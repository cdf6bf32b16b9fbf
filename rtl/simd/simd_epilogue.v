`default_nettype none

// The elementwise operators behind the multiplier tile: each row of sums (one token, 16 channels) is requantised, passed
// through the operators that its layer has, and written. A row a cycle, without backpressure. Stage k is k cycles after
// the row came in:
//
//   0  the row; its chunk is read           5  add; the other constants are read
//   1  bias and shift come in               6  products of res_affine and the next affine; table read; pool sum
//   2  sums shifted; constants are read     7  their requantisations, table interpolation, rounding of the pool
//   3  rounding, bias; product of affine    8  writes: residual, activation or result
//   4  its requantisation; residual read    9  tiles_written counts the tile, what it frees is given free
//
// The tag, tile_*, belongs to the tile whose rows come in and holds from row 0 to row 15. Tiles come as 16 successive
// cycles of row_valid, row_index 0 to 15, one after another without a gap or after any gap; each stage takes what it needs
// of the tag when the tile's row 0 is in the stage before. Rows of tokens from tile_tokens on are dropped, their sums
// may be anything. Bias and shift are the lane's own, or with tile_token_mixing byte row_index of the words.
//
// A row's address in the residual memory and in the activation buffer is tile_address + row_index * tile_groups. Without
// tile_pool each row is written to the activation buffer as stage 4 of the chain leaves it (tile_next: 0 none, 1 affine,
// 2 relu, 3 table), or with tile_last_layer given out as a result instead. With tile_pool nothing is written but the average
// over all tokens, once, behind row 15 of the tile with tile_last_tokens, at address tile_group; the tiles of a group must
// follow each other, from tile_first_tokens on. Every write is presented in stage 8, so a read in stage 9 or later finds it.
//
// free_weight_words and free_table_words are 0 in cycles in which nothing is given free. Monitors, 128 bits each, are valid
// for a row of a token below tile_tokens of a layer that has the operator: 0 linear (stage 3), 1 affine (5), 2 add (6),
// 3 res_affine, 4 next, 5 pool, one word a group (8).
//
// Parameters
//   ACC_W           width of a sum, bits, 10 or more
//   RESIDUAL_WORDS  words of the residual memory, 1 to 65536
//   TABLE_WORDS     words of the ring of tables, a power of two from 4 to 65536
module simd_epilogue #(
    parameter ACC_W = 26,
    parameter RESIDUAL_WORDS = 1024,
    parameter TABLE_WORDS = 4096
) (
    input  wire                clk,
    input  wire                rst,
    // Rows, and the tag of their tile.
    input  wire                row_valid,
    input  wire [         3:0] row_index,
    input  wire [16*ACC_W-1:0] row_acc,               // column c at [ACC_W*c+:ACC_W], two's complement
    input  wire                tile_token_mixing,
    input  wire                tile_affine,
    input  wire                tile_add,
    input  wire                tile_res,
    input  wire                tile_pool,
    input  wire                tile_last_layer,
    input  wire [         1:0] tile_next,
    input  wire [         1:0] tile_rule,
    input  wire [         3:0] tile_points_log2,
    input  wire [        15:0] tile_table_base,
    input  wire [         3:0] tile_pool_shift,
    input  wire [        15:0] tile_tokens,
    input  wire [        15:0] tile_token_base,
    input  wire                tile_first_tokens,
    input  wire                tile_last_tokens,
    input  wire [        15:0] tile_group,
    input  wire [        15:0] tile_groups,
    input  wire [        15:0] tile_address,
    input  wire [        15:0] tile_chunk,
    input  wire [        15:0] tile_constants,
    input  wire                tile_bank,
    input  wire                tile_free_chunk,
    input  wire [        15:0] tile_free_weight_words,
    input  wire                tile_free_group,
    input  wire [        15:0] tile_free_table_words,
    // Constants: each a cycle after its address.
    output wire [        15:0] chunk_read_address,    // stage 0
    input  wire [       127:0] bias,
    input  wire [       127:0] shift,
    output wire [        15:0] affine_address,        // stage 2
    input  wire [       127:0] affine_w,
    input  wire [       127:0] affine_b,
    input  wire [       127:0] affine_s,
    output wire [        15:0] res_address,           // stage 5
    input  wire [       127:0] res_w,
    input  wire [       127:0] res_b,
    input  wire [       127:0] res_s,
    output wire [        15:0] next_address,          // stage 5
    input  wire [       127:0] next_w,
    input  wire [       127:0] next_b,
    input  wire [       127:0] next_s,
    // Writes of the ring of tables.
    input  wire                table_write,
    input  wire [        15:0] table_write_address,
    input  wire [       127:0] table_write_data,
    // What comes out.
    output wire                activation_write,
    output wire                activation_bank,
    output wire [        15:0] activation_address,
    output wire [       127:0] activation_data,
    output wire                result_valid,
    output wire [       127:0] result_data,
    output wire [        15:0] tiles_written,         // modulo 2^16
    output wire                free_chunk,
    output wire [        15:0] free_weight_words,
    output wire                free_group,
    output wire [        15:0] free_table_words,
    output wire [         5:0] mon_valid,
    output wire [       767:0] mon_data               // monitor s at [128s+:128]
);

  localparam LANES = 16;
  localparam WORD_W = 8 * LANES;
  localparam [3:0] FIRST_ROW = 4'd0;
  localparam [3:0] LAST_ROW = 4'd15;
  localparam [1:0] NEXT_NONE = 2'd0;
  localparam [1:0] NEXT_AFFINE = 2'd1;
  localparam [1:0] NEXT_RELU = 2'd2;
  localparam [1:0] NEXT_TABLE = 2'd3;
  localparam RESIDUAL_W = (RESIDUAL_WORDS > 1) ? $clog2(RESIDUAL_WORDS) : 1;

  generate
    if (RESIDUAL_WORDS < 1 || RESIDUAL_WORDS > 65536) begin : illegal_residual_words
      illegal_parameter_RESIDUAL_WORDS_is_not_1_to_65536 stop ();
    end
  endgenerate

  // ---- Which row is in which stage: bit k is stage k ----

  wire [16:0] token = {1'b0, tile_token_base} + {13'd0, row_index};
  reg  [ 8:1] real_reg;
  reg  [ 7:1] first_reg;
  reg  [ 8:1] last_reg;
  wire [ 8:0] real_row = {real_reg, row_valid && token < {1'b0, tile_tokens}};
  wire [ 7:0] first_row = {first_reg, row_valid && row_index == FIRST_ROW};
  wire [ 8:0] last_row = {last_reg, row_valid && row_index == LAST_ROW};

  // first_reg is not reset: it only says when a stage takes the tag's fields over, and the next tile's first row does
  // that again behind whatever a reset left.
  always @(posedge clk) begin
    first_reg <= first_row[6:0];
    if (rst) begin
      real_reg <= 8'd0;
      last_reg <= 8'd0;
    end else begin
      real_reg <= real_row[7:0];
      last_reg <= last_row[7:0];
    end
  end

  // ---- The row's address: residual in stage 4, everything in stage 8 ----

  reg  [15:0] address_1_reg;
  wire [15:0] address_4;
  wire [15:0] address_8;
  always @(posedge clk) begin
    if (row_valid) address_1_reg <= (row_index == FIRST_ROW) ? tile_address : address_1_reg + tile_groups;
  end
  delay_line #(
      .DEPTH(3),
      .WIDTH(16)
  ) address_to_4 (
      .clk(clk),
      .rst(rst),
      .d(address_1_reg),
      .q(address_4)
  );
  delay_line #(
      .DEPTH(4),
      .WIDTH(16)
  ) address_to_8 (
      .clk(clk),
      .rst(rst),
      .d(address_4),
      .q(address_8)
  );

  // ---- What each stage holds of the tag ----

  reg token_mixing_1_reg;
  reg [15:0] constants_2_reg;
  reg affine_3_reg;
  reg affine_4_reg;
  reg add_4_reg;
  reg affine_5_reg;
  reg add_5_reg;
  reg [15:0] constants_5_reg;
  reg add_6_reg;
  reg res_6_reg;
  reg pool_6_reg;
  reg first_tokens_6_reg;
  reg [1:0] next_6_reg;
  reg [15:0] table_base_6_reg;
  reg [3:0] points_log2_6_reg;
  reg [1:0] rule_6_reg;
  reg [1:0] next_7_reg;
  reg pool_7_reg;
  reg last_tokens_7_reg;
  reg [3:0] pool_shift_7_reg;
  reg res_8_reg;
  reg [1:0] next_8_reg;
  reg pool_8_reg;
  reg last_tokens_8_reg;
  reg last_layer_8_reg;
  reg bank_8_reg;
  reg [15:0] group_8_reg;
  reg free_chunk_8_reg;
  reg [15:0] free_weight_words_8_reg;
  reg free_group_8_reg;
  reg [15:0] free_table_words_8_reg;

  always @(posedge clk) begin
    if (first_row[0]) token_mixing_1_reg <= tile_token_mixing;
    if (first_row[1]) constants_2_reg <= tile_constants;
    if (first_row[2]) affine_3_reg <= tile_affine;
    if (first_row[3]) begin
      affine_4_reg <= tile_affine;
      add_4_reg <= tile_add;
    end
    if (first_row[4]) begin
      affine_5_reg <= tile_affine;
      add_5_reg <= tile_add;
      constants_5_reg <= tile_constants;
    end
    if (first_row[5]) begin
      add_6_reg <= tile_add;
      res_6_reg <= tile_res;
      pool_6_reg <= tile_pool;
      first_tokens_6_reg <= tile_first_tokens;
      next_6_reg <= tile_next;
      table_base_6_reg <= tile_table_base;
      points_log2_6_reg <= tile_points_log2;
      rule_6_reg <= tile_rule;
    end
    if (first_row[6]) begin
      next_7_reg <= tile_next;
      pool_7_reg <= tile_pool;
      last_tokens_7_reg <= tile_last_tokens;
      pool_shift_7_reg <= tile_pool_shift;
    end
    if (first_row[7]) begin
      res_8_reg <= tile_res;
      next_8_reg <= tile_next;
      pool_8_reg <= tile_pool;
      last_tokens_8_reg <= tile_last_tokens;
      last_layer_8_reg <= tile_last_layer;
      bank_8_reg <= tile_bank;
      group_8_reg <= tile_group;
      free_chunk_8_reg <= tile_free_chunk;
      free_weight_words_8_reg <= tile_free_weight_words;
      free_group_8_reg <= tile_free_group;
      free_table_words_8_reg <= tile_free_table_words;
    end
  end

  // ---- Constants ----

  assign chunk_read_address = tile_chunk;
  assign affine_address = constants_2_reg;
  assign res_address = constants_5_reg;
  assign next_address = constants_5_reg;

  reg [3:0] row_1_reg;
  always @(posedge clk) if (row_valid) row_1_reg <= row_index;
  wire [7:0] row_bias = bias[{row_1_reg, 3'd0}+:8];
  wire [7:0] row_shift = shift[{row_1_reg, 3'd0}+:8];

  // ---- Lanes ----

  wire [WORD_W-1:0] residual_5;
  wire [WORD_W-1:0] linear_3;
  wire [WORD_W-1:0] affine_5;
  wire [WORD_W-1:0] add_6;
  wire [WORD_W-1:0] res_8;
  wire [WORD_W-1:0] untabled_8;
  wire [WORD_W-1:0] pool_8;

  genvar l;
  generate
    for (l = 0; l < LANES; l = l + 1) begin : lane
      simd_lane #(
          .ACC_W(ACC_W)
      ) simd_lane_l (
          .clk(clk),
          .enable(real_row[7:0]),
          .acc(row_acc[ACC_W*l+:ACC_W]),
          .by_row(token_mixing_1_reg),
          .lane_bias(bias[8*l+:8]),
          .lane_shift(shift[8*l+:8]),
          .row_bias(row_bias),
          .row_shift(row_shift),
          .linear(linear_3[8*l+:8]),
          .affine_enable(real_row[3] && affine_3_reg),
          .affine_w(affine_w[8*l+:8]),
          .affine_b(affine_b[8*l+:8]),
          .affine_s(affine_s[8*l+:8]),
          .affine_select(affine_4_reg),
          .affine(affine_5[8*l+:8]),
          .add_select(add_5_reg),
          .residual(residual_5[8*l+:8]),
          .add(add_6[8*l+:8]),
          .res_enable(real_row[6] && res_6_reg),
          .res_w(res_w[8*l+:8]),
          .res_b(res_b[8*l+:8]),
          .res_s(res_s[8*l+:8]),
          .next_enable(real_row[6] && next_6_reg == NEXT_AFFINE),
          .next_w(next_w[8*l+:8]),
          .next_b(next_b[8*l+:8]),
          .next_s(next_s[8*l+:8]),
          .next_affine(next_7_reg == NEXT_AFFINE),
          .next_relu(next_7_reg == NEXT_RELU),
          .res_affine(res_8[8*l+:8]),
          .next(untabled_8[8*l+:8])
      );

      pool_lane pool_lane_l (
          .clk(clk),
          .enable(real_row[6] && pool_6_reg),
          .first(first_tokens_6_reg && first_row[6]),
          .finish(last_row[7] && pool_7_reg && last_tokens_7_reg),
          .x(add_6[8*l+:8]),
          .shift(pool_shift_7_reg),
          .y(pool_8[8*l+:8])
      );
    end
  endgenerate

  // ---- Residual memory and tables ----

  wire unused_address = &{1'b0, {1'b0, address_4} >> RESIDUAL_W};
  ram #(
      .WORDS(RESIDUAL_WORDS),
      .WIDTH(WORD_W)
  ) residual (
      .clk(clk),
      .write_enable(real_row[8] && res_8_reg),
      .write_address(address_8[RESIDUAL_W-1:0]),
      .write_data(res_8),
      .read_enable(real_row[4] && add_4_reg),
      .read_address(address_4[RESIDUAL_W-1:0]),
      .read_data(residual_5)
  );

  wire [WORD_W-1:0] table_8;
  simd_tables #(
      .TABLE_WORDS(TABLE_WORDS)
  ) tables (
      .clk(clk),
      .write_enable(table_write),
      .write_address(table_write_address),
      .write_data(table_write_data),
      .read_enable(real_row[6] && next_6_reg == NEXT_TABLE),
      .x(add_6),
      .base(table_base_6_reg),
      .points_log2(points_log2_6_reg),
      .rule(rule_6_reg),
      .y(table_8)
  );

  // ---- Writes ----

  wire [WORD_W-1:0] next_8 = (next_8_reg == NEXT_TABLE) ? table_8 : untabled_8;
  wire pooled = last_row[8] && pool_8_reg && last_tokens_8_reg;
  wire written = pool_8_reg ? pooled : real_row[8];
  wire [WORD_W-1:0] word = pool_8_reg ? pool_8 : next_8;

  assign activation_write = written && !last_layer_8_reg;
  assign activation_bank = bank_8_reg;
  assign activation_address = pool_8_reg ? group_8_reg : address_8;
  assign activation_data = word;
  assign result_valid = written && last_layer_8_reg;
  assign result_data = word;

  // ---- The tile is done ----

  reg [15:0] tiles_written_reg;
  reg free_chunk_reg;
  reg free_group_reg;
  reg [15:0] free_weight_words_reg;
  reg [15:0] free_table_words_reg;
  wire chunk_done = last_row[8] && free_chunk_8_reg;
  wire group_done = last_row[8] && free_group_8_reg;
  // What is given free is a strobe with its amounts: low from the first cycle after a reset on. The loader, which counts
  // it, is reset together with this, so that it matters only where this stands alone.
  always @(posedge clk) begin
    if (rst) begin
      tiles_written_reg <= 16'd0;
      free_chunk_reg <= 1'b0;
      free_group_reg <= 1'b0;
      free_weight_words_reg <= 16'd0;
      free_table_words_reg <= 16'd0;
    end else begin
      if (last_row[8]) tiles_written_reg <= tiles_written_reg + 16'd1;
      free_chunk_reg <= chunk_done;
      free_group_reg <= group_done;
      free_weight_words_reg <= chunk_done ? free_weight_words_8_reg : 16'd0;
      free_table_words_reg <= group_done ? free_table_words_8_reg : 16'd0;
    end
  end
  assign tiles_written = tiles_written_reg;
  assign free_chunk = free_chunk_reg;
  assign free_weight_words = free_weight_words_reg;
  assign free_group = free_group_reg;
  assign free_table_words = free_table_words_reg;

  // ---- Monitors ----

  assign mon_valid = {
    pooled,
    real_row[8] && next_8_reg != NEXT_NONE,
    real_row[8] && res_8_reg,
    real_row[6] && add_6_reg,
    real_row[5] && affine_5_reg,
    real_row[3]
  };
  assign mon_data = {pool_8, next_8, res_8, add_6, affine_5, linear_3};

endmodule

`default_nettype wire
