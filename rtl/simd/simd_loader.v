`default_nettype none

// Takes the words of the parameter stream apart: checks each layer's descriptor, passes it on, and writes every other
// word to the ring it belongs to, one a cycle wherever there is room. The stream is described in docs/memory-image.md.
//
// Places in the rings are taken in order, modulo their sizes; `free_*` give them back. A write is shown for one cycle,
// `parameter_data` with it; `chunks_loaded` and `groups_loaded` (modulo 2^16) count a chunk or group in the cycle after
// its last word was shown. A group without any words is counted too, with its chunk where chunks and groups alternate.
// With `keep` nothing is ever freed, so a ring that has no room is an error.
//
// A descriptor costs the cycle in which it is taken: it is checked while the first words of its layer are on their way,
// and is shown at `layer_data` four cycles later; no other is taken before it has been. If anything is wrong with it,
// `error_valid` is high for a cycle three cycles after it was taken, and is to be answered with a reset; layer_data
// never shows it. The pass ends with the layer marked `last`; the next descriptor must be a first one again.
//
//   3 BAD_DESCRIPTOR   a field is illegal or contradicts another one, the layer before, or the configuration; also a
//                      first or last layer that mixes tokens
//   4 DOES_NOT_FIT     the layer is too large for a buffer; with `keep`, too many layers, or a ring is full
//   5 PARAMETERS_END   the words the layer claims go beyond `param_words`, or do not leave what they must: nothing
//                      behind the last layer, something behind any other
//
// The lowest code is reported. `param_words`, `image_words`, `result_words` and `keep` must not change between resets.
//
// Parameters, as in simd_resmlp
//   the rings: powers of two from 1 to 32768, WEIGHT_WORDS from 16; LAYERS 1 or more; ACC_W 20 to 32
module simd_loader #(
    parameter ACTIVATION_WORDS = 2048,
    parameter IMAGE_WORDS = 512,
    parameter RESIDUAL_WORDS = 1024,
    parameter WEIGHT_WORDS = 8192,
    parameter TABLE_WORDS = 4096,
    parameter CONSTANT_GROUPS = 128,
    parameter CHUNKS = 128,
    parameter LAYERS = 32,
    parameter ACC_W = 26
) (
    input  wire         clk,
    input  wire         rst,
    input  wire         keep,
    input  wire [ 31:0] param_words,
    input  wire [ 31:0] image_words,
    input  wire [ 31:0] result_words,
    input  wire         word_valid,
    output wire         word_ready,
    input  wire [127:0] word_data,
    output wire         layer_valid,
    input  wire         layer_ready,
    output wire [127:0] layer_data,
    output wire [ 15:0] chunks_loaded,
    output wire [ 15:0] groups_loaded,
    output wire [127:0] parameter_data,
    output wire         weight_write,
    output wire [ 15:0] weight_write_address,
    output wire         bias_write,
    output wire         shift_write,
    output wire [ 15:0] chunk_write_address,
    output wire [  8:0] constant_write,
    output wire [ 15:0] constant_write_address,
    output wire         table_write,
    output wire [ 15:0] table_write_address,
    input  wire         free_chunk,
    input  wire [ 15:0] free_weight_words,
    input  wire         free_group,
    input  wire [ 15:0] free_table_words,
    output wire         error_valid,
    output wire [  7:0] error_code,
    output wire [ 15:0] error_layer
);

  localparam [7:0] BAD_DESCRIPTOR = 8'd3;
  localparam [7:0] DOES_NOT_FIT = 8'd4;
  localparam [7:0] PARAMETERS_END = 8'd5;
  localparam [1:0] NEXT_NONE = 2'd0;
  localparam [1:0] NEXT_AFFINE = 2'd1;
  localparam [1:0] NEXT_TABLE = 2'd3;
  localparam [1:0] RULE_ENDPOINT = 2'd2;  // the last one there is
  localparam [3:0] POINTS_LOG2_LEAST = 4'd2;
  localparam [3:0] POINTS_LOG2_MOST = 4'd8;

  localparam [31:0] ACTIVATION_ROOM = ACTIVATION_WORDS;
  localparam [31:0] IMAGE_ROOM = IMAGE_WORDS;
  localparam [31:0] RESIDUAL_ROOM = RESIDUAL_WORDS;
  localparam [31:0] WEIGHT_ROOM = WEIGHT_WORDS;
  localparam [31:0] CHUNK_ROOM = CHUNKS;
  localparam [31:0] GROUP_ROOM = CONSTANT_GROUPS;
  localparam [31:0] TABLE_ROOM = TABLE_WORDS;
  localparam [31:0] LAYER_ROOM = LAYERS;
  localparam [31:0] MOST_INPUTS = 1 << (ACC_W - 16);  // of a sum
  localparam [31:0] WEIGHT_LAST = WEIGHT_WORDS - 1;
  localparam [31:0] CHUNK_LAST = CHUNKS - 1;
  localparam [31:0] GROUP_LAST = CONSTANT_GROUPS - 1;
  localparam [31:0] TABLE_LAST = TABLE_WORDS - 1;

  generate
    if (WEIGHT_WORDS < 16 || WEIGHT_WORDS > 32768 || (WEIGHT_WORDS & (WEIGHT_WORDS - 1)) != 0) begin : illegal_weights
      illegal_parameter_WEIGHT_WORDS_is_not_a_power_of_two_from_16_to_32768 stop ();
    end
    if (TABLE_WORDS < 1 || TABLE_WORDS > 32768 || (TABLE_WORDS & (TABLE_WORDS - 1)) != 0) begin : illegal_tables
      illegal_parameter_TABLE_WORDS_is_not_a_power_of_two_up_to_32768 stop ();
    end
    if (CONSTANT_GROUPS < 1 || CONSTANT_GROUPS > 32768 || (CONSTANT_GROUPS & (CONSTANT_GROUPS - 1)) != 0)
    begin : illegal_groups
      illegal_parameter_CONSTANT_GROUPS_is_not_a_power_of_two_up_to_32768 stop ();
    end
    if (CHUNKS < 1 || CHUNKS > 32768 || (CHUNKS & (CHUNKS - 1)) != 0) begin : illegal_chunks
      illegal_parameter_CHUNKS_is_not_a_power_of_two_up_to_32768 stop ();
    end
    if (LAYERS < 1) begin : illegal_layers
      illegal_parameter_LAYERS_is_below_1 stop ();
    end
    if (ACC_W < 20 || ACC_W > 32) begin : illegal_acc_w
      illegal_parameter_ACC_W_is_not_20_to_32 stop ();
    end
  endgenerate

  localparam [2:0] DESCRIPTOR = 3'd0;
  localparam [2:0] BIAS = 3'd1;
  localparam [2:0] SHIFT = 3'd2;
  localparam [2:0] WEIGHT = 3'd3;
  localparam [2:0] CONSTANT = 3'd4;
  localparam [2:0] TABLE = 3'd5;
  localparam [2:0] EMPTY = 3'd6;  // a group without words, behind a chunk of another group or another such group

  // ---- The layer ----

  reg [127:0] layer_reg;
  wire fixed;
  wire token_mixing;
  wire affine;
  wire add;
  wire res_affine;
  wire pool;
  wire first;
  wire last;
  wire [1:0] next;
  wire [1:0] rule;
  wire [3:0] points_log2;
  wire [3:0] pool_shift;
  wire [15:0] tokens;
  wire [15:0] in_groups;
  wire [15:0] groups;
  wire [31:0] words;
  wire [15:0] number;

  simd_descriptor descriptor (
      .word(layer_reg),
      .fixed(fixed),
      .token_mixing(token_mixing),
      .affine(affine),
      .add(add),
      .res_affine(res_affine),
      .pool(pool),
      .first(first),
      .last(last),
      .next(next),
      .rule(rule),
      .points_log2(points_log2),
      .pool_shift(pool_shift),
      .tokens(tokens),
      .in_groups(in_groups),
      .groups(groups),
      .words(words),
      .number(number)
  );

  wire [8:0] constants = {{3{next == NEXT_AFFINE}}, {3{res_affine}}, {3{affine}}};  // shift, bias, weight of each
  wire has_constants = |constants;
  wire has_table = next == NEXT_TABLE;

  // What its products are of is worked out of the descriptor as it comes, and stands beside it from then on.
  wire coming_fixed;
  wire coming_token_mixing;
  wire coming_affine;
  wire coming_add;
  wire coming_res_affine;
  wire coming_pool;
  wire coming_first;
  wire coming_last;
  wire [1:0] coming_next;
  wire [1:0] coming_rule;
  wire [3:0] coming_points_log2;
  wire [3:0] coming_pool_shift;
  wire [15:0] coming_tokens;
  wire [15:0] coming_in_groups;
  wire [15:0] coming_groups;
  wire [31:0] coming_words;
  wire [15:0] coming_number;
  wire unused_coming = &{1'b0, coming_fixed, coming_add, coming_pool, coming_first, coming_last, coming_pool_shift,
                         coming_words, coming_number};

  simd_descriptor coming (
      .word(word_data),
      .fixed(coming_fixed),
      .token_mixing(coming_token_mixing),
      .affine(coming_affine),
      .add(coming_add),
      .res_affine(coming_res_affine),
      .pool(coming_pool),
      .first(coming_first),
      .last(coming_last),
      .next(coming_next),
      .rule(coming_rule),
      .points_log2(coming_points_log2),
      .pool_shift(coming_pool_shift),
      .tokens(coming_tokens),
      .in_groups(coming_in_groups),
      .groups(coming_groups),
      .words(coming_words),
      .number(coming_number)
  );

  wire [16:0] tokens_up = {1'b0, coming_tokens} + 17'd15;
  wire [15:0] token_groups = {3'd0, tokens_up[16:4]};
  wire unused_tokens_up = &{1'b0, tokens_up[3:0]};
  // log2 of more than 8 comes out as 0 and is refused.
  wire [8:0] points = 9'd1 << coming_points_log2;
  wire [8:0] table_words = (coming_next == NEXT_TABLE) ? points + ((coming_rule == RULE_ENDPOINT) ? 9'd2 : 9'd0) : 9'd0;
  wire [3:0] constant_words = (coming_affine ? 4'd3 : 4'd0) + (coming_res_affine ? 4'd3 : 4'd0)
                              + ((coming_next == NEXT_AFFINE) ? 4'd3 : 4'd0);

  reg [15:0] blocks_reg;
  reg [15:0] chunks_reg;
  reg [8:0] table_words_reg;
  reg [8:0] group_words_reg;
  wire [19:0] chunk_weights = {blocks_reg, 4'd0};

  // ---- Where the next word goes ----

  reg [2:0] phase_reg;
  reg [15:0] chunks_left_reg;
  reg [15:0] groups_left_reg;
  reg [19:0] weights_left_reg;
  reg [8:0] constants_left_reg;
  reg [8:0] table_left_reg;

  reg [15:0] weight_address_reg;
  reg [15:0] chunk_slot_reg;
  reg [15:0] group_slot_reg;
  reg [15:0] table_address_reg;
  reg [15:0] weights_used_reg;
  reg [15:0] chunks_used_reg;
  reg [15:0] groups_used_reg;
  reg [15:0] table_used_reg;

  wire checking;
  wire sound;
  wire chunk_room = chunks_used_reg != CHUNK_ROOM[15:0];
  wire group_room = groups_used_reg != GROUP_ROOM[15:0];
  wire weight_room = weights_used_reg != WEIGHT_ROOM[15:0];
  wire table_room = table_used_reg != TABLE_ROOM[15:0];

  // A chunk that is followed by its group begins only where both have a place; so its end may count both.
  reg room;
  always @* begin
    case (phase_reg)
      DESCRIPTOR: room = !checking;
      BIAS: room = chunk_room && (token_mixing || group_room);
      SHIFT: room = 1'b1;
      WEIGHT: room = weight_room;
      TABLE: room = group_room && table_room;
      default: room = group_room;
    endcase
  end

  wire in_descriptor = phase_reg == DESCRIPTOR;
  wire in_empty = phase_reg == EMPTY;
  assign word_ready = room && !in_empty;
  wire taken = word_valid && word_ready;
  wire [8:0] constant = constants_left_reg & (~constants_left_reg + 9'd1);  // the lowest one left

  wire chunk_end = taken && phase_reg == WEIGHT && weights_left_reg == 20'd1;
  wire chunks_end = chunk_end && chunks_left_reg == 16'd1;
  wire constants_end = taken && phase_reg == CONSTANT && constant == constants_left_reg;
  wire table_end = taken && phase_reg == TABLE && table_left_reg == 9'd1;
  wire group_begin = chunk_end && (!token_mixing || chunks_end);  // what follows is a group
  wire no_words = !has_constants && !has_table;
  wire group_end = (constants_end && !has_table) || table_end || (in_empty && room)
                   || (chunk_end && !token_mixing && no_words);
  wire groups_end = group_end && groups_left_reg == 16'd1;
  wire [2:0] group_phase = has_constants ? CONSTANT : has_table ? TABLE : EMPTY;

  always @(posedge clk) begin
    if (rst) phase_reg <= DESCRIPTOR;
    else if (taken && in_descriptor) phase_reg <= BIAS;
    else if (taken && phase_reg == BIAS) phase_reg <= SHIFT;
    else if (taken && phase_reg == SHIFT) phase_reg <= WEIGHT;
    else if (groups_end) phase_reg <= DESCRIPTOR;
    else if (group_end) phase_reg <= token_mixing ? group_phase : BIAS;
    else if (group_begin) phase_reg <= group_phase;
    else if (chunk_end) phase_reg <= BIAS;
    else if (constants_end) phase_reg <= TABLE;
  end

  reg fresh_reg;  // the layer's descriptor was taken one cycle ago

  always @(posedge clk) begin
    if (rst) fresh_reg <= 1'b0;
    else fresh_reg <= taken && in_descriptor;

    if (taken && in_descriptor) begin
      layer_reg <= word_data;
      blocks_reg <= coming_token_mixing ? token_groups : coming_in_groups;
      chunks_reg <= coming_token_mixing ? token_groups : coming_groups;
      table_words_reg <= table_words;
      group_words_reg <= table_words + {5'd0, constant_words};
    end

    // In the cycle of `fresh_reg` no chunk or group can end.
    if (fresh_reg) chunks_left_reg <= chunks_reg;
    else if (chunk_end) chunks_left_reg <= chunks_left_reg - 16'd1;
    if (fresh_reg) groups_left_reg <= groups;
    else if (group_end) groups_left_reg <= groups_left_reg - 16'd1;

    if (taken && phase_reg == SHIFT) weights_left_reg <= chunk_weights;
    else if (taken && phase_reg == WEIGHT) weights_left_reg <= weights_left_reg - 20'd1;

    if (fresh_reg || group_end) constants_left_reg <= constants;
    else if (taken && phase_reg == CONSTANT) constants_left_reg <= constants_left_reg & ~constant;
    if (fresh_reg || group_end) table_left_reg <= table_words_reg;
    else if (taken && phase_reg == TABLE) table_left_reg <= table_left_reg - 9'd1;
  end

  // ---- Rings ----

  wire weight_taken = taken && phase_reg == WEIGHT;
  wire table_taken = taken && phase_reg == TABLE;
  wire [15:0] weights_freed = free_chunk ? free_weight_words : 16'd0;
  wire [15:0] table_freed = free_group ? free_table_words : 16'd0;
  reg chunk_end_reg;
  reg group_end_reg;
  reg [15:0] chunks_loaded_reg;
  reg [15:0] groups_loaded_reg;

  always @(posedge clk) begin
    if (rst) begin
      weight_address_reg <= 16'd0;
      chunk_slot_reg <= 16'd0;
      group_slot_reg <= 16'd0;
      table_address_reg <= 16'd0;
      weights_used_reg <= 16'd0;
      chunks_used_reg <= 16'd0;
      groups_used_reg <= 16'd0;
      table_used_reg <= 16'd0;
      chunk_end_reg <= 1'b0;
      group_end_reg <= 1'b0;
      chunks_loaded_reg <= 16'd0;
      groups_loaded_reg <= 16'd0;
    end else begin
      if (weight_taken) weight_address_reg <= (weight_address_reg + 16'd1) & WEIGHT_LAST[15:0];
      if (table_taken) table_address_reg <= (table_address_reg + 16'd1) & TABLE_LAST[15:0];
      if (chunk_end) chunk_slot_reg <= (chunk_slot_reg + 16'd1) & CHUNK_LAST[15:0];
      if (group_end) group_slot_reg <= (group_slot_reg + 16'd1) & GROUP_LAST[15:0];
      weights_used_reg <= weights_used_reg + {15'd0, weight_taken} - weights_freed;
      table_used_reg <= table_used_reg + {15'd0, table_taken} - table_freed;
      chunks_used_reg <= chunks_used_reg + {15'd0, chunk_end} - {15'd0, free_chunk};
      groups_used_reg <= groups_used_reg + {15'd0, group_end} - {15'd0, free_group};
      chunk_end_reg <= chunk_end;
      group_end_reg <= group_end;
      chunks_loaded_reg <= chunks_loaded_reg + {15'd0, chunk_end_reg};
      groups_loaded_reg <= groups_loaded_reg + {15'd0, group_end_reg};
    end
  end

  assign chunks_loaded = chunks_loaded_reg;
  assign groups_loaded = groups_loaded_reg;

  reg [127:0] data_reg;
  reg weight_write_reg;
  reg bias_write_reg;
  reg shift_write_reg;
  reg table_write_reg;
  reg [8:0] constant_write_reg;
  reg [15:0] weight_write_address_reg;
  reg [15:0] chunk_write_address_reg;
  reg [15:0] constant_write_address_reg;
  reg [15:0] table_write_address_reg;

  always @(posedge clk) begin
    data_reg <= word_data;
    weight_write_address_reg <= weight_address_reg;
    chunk_write_address_reg <= chunk_slot_reg;
    constant_write_address_reg <= group_slot_reg;
    table_write_address_reg <= table_address_reg;
    // Strobes are low after a reset. What a stray one wrote would be overwritten: every place is written before it counts
    // as loaded, and is read only then.
    if (rst) begin
      weight_write_reg <= 1'b0;
      bias_write_reg <= 1'b0;
      shift_write_reg <= 1'b0;
      table_write_reg <= 1'b0;
      constant_write_reg <= 9'd0;
    end else begin
      weight_write_reg <= weight_taken;
      bias_write_reg <= taken && phase_reg == BIAS;
      shift_write_reg <= taken && phase_reg == SHIFT;
      table_write_reg <= table_taken;
      constant_write_reg <= (taken && phase_reg == CONSTANT) ? constant : 9'd0;
    end
  end

  assign parameter_data = data_reg;
  assign weight_write = weight_write_reg;
  assign weight_write_address = weight_write_address_reg;
  assign bias_write = bias_write_reg;
  assign shift_write = shift_write_reg;
  assign chunk_write_address = chunk_write_address_reg;
  assign constant_write = constant_write_reg;
  assign constant_write_address = constant_write_address_reg;
  assign table_write = table_write_reg;
  assign table_write_address = table_write_address_reg;

  // ---- The descriptor ----

  // Expected of it: its number, tokens and input groups; and the words of the pass that are left, its own included.
  reg [15:0] number_reg;
  reg [15:0] tokens_reg;
  reg [15:0] groups_reg;
  reg [31:0] words_left_reg;
  wire expect_first = number_reg == 16'd0;

  // One cycle after it was taken: fields alone, and products.
  reg [31:0] in_words_reg;
  reg [31:0] out_words_reg;
  reg [31:0] weight_blocks_reg;  // of 16 words
  reg [24:0] group_total_reg;
  reg bad_field_reg;
  reg unfit_field_reg;

  wire bad_table = has_table ? (points_log2 < POINTS_LOG2_LEAST || points_log2 > POINTS_LOG2_MOST || rule > RULE_ENDPOINT)
                             : (points_log2 != 4'd0 || rule != 2'd0);
  wire bad_pool = pool ? (tokens != (16'd1 << pool_shift) || next != NEXT_NONE) : pool_shift != 4'd0;
  wire bad_last = last && (tokens != 16'd1 || next != NEXT_NONE || pool || add || res_affine || affine
                           || {16'd0, groups} != result_words);
  wire bad_chain = number != number_reg || first != expect_first
                   || (!expect_first && (tokens != tokens_reg || in_groups != groups_reg));
  wire bad_mixing = token_mixing && (in_groups != groups || first || last);
  wire bad_size = tokens == 16'd0 || in_groups == 16'd0 || groups == 16'd0;

  always @(posedge clk) begin
    in_words_reg <= {16'd0, tokens} * {16'd0, in_groups};
    out_words_reg <= {16'd0, tokens} * {16'd0, groups};
    weight_blocks_reg <= {16'd0, chunks_reg} * {16'd0, blocks_reg};
    group_total_reg <= {9'd0, groups} * {16'd0, group_words_reg};
    bad_field_reg <= bad_table || bad_pool || bad_last || bad_chain || bad_mixing || bad_size || !fixed;
    unfit_field_reg <= {12'd0, chunk_weights} > WEIGHT_ROOM || {12'd0, chunk_weights} > MOST_INPUTS
                       || (token_mixing && {16'd0, chunks_reg} > CHUNK_ROOM) || {23'd0, table_words_reg} > TABLE_ROOM
                       || (keep && {16'd0, number_reg} >= LAYER_ROOM);
  end

  // Two cycles after: everything.
  reg bad_reg;
  reg unfit_reg;
  reg cut_reg;
  wire [36:0] total = {1'b0, weight_blocks_reg, 4'd0} + {20'd0, chunks_reg, 1'b0} + {12'd0, group_total_reg};
  wire [32:0] layer_words = {1'b0, words} + 33'd1;

  always @(posedge clk) begin
    bad_reg <= bad_field_reg || total != {5'd0, words} || (first && in_words_reg != image_words);
    unfit_reg <= unfit_field_reg || (first && in_words_reg > IMAGE_ROOM) || out_words_reg > ACTIVATION_ROOM
                 || ((res_affine || add) && out_words_reg > RESIDUAL_ROOM)
                 || (token_mixing && {weight_blocks_reg, 4'd0} > {4'd0, WEIGHT_ROOM});
    cut_reg <= last ? layer_words != {1'b0, words_left_reg} : layer_words >= {1'b0, words_left_reg};
  end

  // Three cycles after: the verdict.
  reg products_reg;
  reg verdict_reg;
  reg waiting_reg;  // to be taken
  wire bad = bad_reg || unfit_reg || cut_reg;
  wire passed = verdict_reg && !bad;
  assign checking = fresh_reg || products_reg || verdict_reg || waiting_reg;
  assign sound = !checking && !in_descriptor;

  always @(posedge clk) begin
    if (rst) begin
      products_reg <= 1'b0;
      verdict_reg  <= 1'b0;
      waiting_reg  <= 1'b0;
    end else begin
      products_reg <= fresh_reg;
      verdict_reg  <= products_reg;
      waiting_reg  <= (waiting_reg && !layer_ready) || passed;
    end

    if (rst || (passed && last)) begin
      number_reg <= 16'd0;
      words_left_reg <= param_words;
    end else if (passed) begin
      number_reg <= number_reg + 16'd1;
      words_left_reg <= words_left_reg - layer_words[31:0];
    end
    if (passed) begin
      tokens_reg <= pool ? 16'd1 : tokens;
      groups_reg <= groups;
    end
  end

  assign layer_valid = waiting_reg;
  assign layer_data  = layer_reg;

  // With `keep` a word that has no room now will never have any.
  wire full = keep && sound && !room;

  assign error_valid = (verdict_reg && bad) || full;
  assign error_code = full ? DOES_NOT_FIT : bad_reg ? BAD_DESCRIPTOR : unfit_reg ? DOES_NOT_FIT : PARAMETERS_END;
  // Once it has passed, the number expected is that of the layer behind.
  assign error_layer = full ? number : number_reg;

endmodule

`default_nettype wire
