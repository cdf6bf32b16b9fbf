`default_nettype none

// Decides what the multiplier tile does in every cycle: which words are fed, which weights they meet, and when.
//
// A layer is (G output groups) x (I token groups) tiles, a tile KB slots, a slot 16 feed cycles. While one tile is fed
// the next one is worked out: its addresses, and what must be there before it may start. If that is there in the
// tile's last feed cycle, the next tile's feed follows without a lost cycle, across tiles, layers and images.
//
//   queue of descriptors -> FETCH -> DERIVE -> PREPARE -> CHECK -> OFFER -> feed
//                             ^ next layer        ^-- next tile -----|
//
// A tile starts once
//   its chunk and its constant group are loaded    chunks_loaded, groups_loaded (modulo 2^16)
//   the first layer: the image words it reads are  image_words_loaded: of tokens up to its last one, or all of them
//                                                  where tokens are mixed
//   any other layer: the words it reads are        tiles_written (modulo 2^16): where channels are mixed, all groups of
//   written                                        its tokens; where tokens are mixed, all tokens of its group; behind
//                                                  a pool everything
//   the last layer: there is room for its result   result_ready
// tiles_written counts in cycle n: the feed may start in n + 1. The other conditions: n + 2.
//
// Every layer takes a place of the constants' ring for each of its G groups, and groups_loaded counts it, even where the
// group has neither constants nor a table. The ring of tables moves on by the table's words, endpoint: two more.
//
// Outputs are registers. tile_* belong to the tile that is fed and hold from its first to its last feed cycle; the
// tag is taken in the last one, in which tile_valid is high. Rings are used in the order of the parameter stream;
// tile_free_* say what the tile is the last one to use, 0 with keep. With keep the descriptors stay in the queue and
// every image starts again at its front, and at index 0 of every ring. image_release is high in the cycle of the
// image's last feed; image_words_loaded must belong to the next image within 10 cycles, which it has if the first layer
// is not the last.
//
// Activation bank: layer n since reset, counted over all images, reads bank n mod 2 and writes the other. For the
// modular comparisons the tiles of two successive layers must be fewer than 2^15: true up to 16384 activation words.
//
// mon_wait, in cycles without a feed: 1 no descriptor, or its parameters are not loaded; 2 the image; 3 results of the
// layer before; 4 no room for results; the lowest where there are several. 0 with a feed, and once all images are fed.
//
// Parameters, each a power of two
//   WEIGHT_WORDS     words of the ring of weights, 16 to 32768
//   TABLE_WORDS      words of the ring of tables, 2 to 32768
//   CONSTANT_GROUPS  groups in the ring of constants, 1 to 32768
//   CHUNKS           chunks in the ring of biases and shifts, 1 to 32768
//   LAYERS           descriptors in the queue, 2 to 32768
module simd_sequencer #(
    parameter WEIGHT_WORDS = 8192,
    parameter TABLE_WORDS = 4096,
    parameter CONSTANT_GROUPS = 128,
    parameter CHUNKS = 128,
    parameter LAYERS = 32
) (
    input  wire         clk,
    input  wire         rst,
    input  wire         keep,                    // constant from the reset on
    input  wire [ 31:0] image_count,             // constant from the reset on
    // Descriptors, checked by the loader.
    input  wire         layer_valid,
    output wire         layer_ready,
    input  wire [127:0] layer_data,
    // What is in the memories.
    input  wire [ 15:0] chunks_loaded,           // since the reset, modulo 2^16
    input  wire [ 15:0] groups_loaded,           // since the reset, modulo 2^16
    input  wire [ 15:0] image_words_loaded,      // of the image that is in the buffer
    output wire         image_release,
    input  wire [ 15:0] tiles_written,           // since the reset, modulo 2^16
    input  wire         result_ready,
    // Feed.
    output wire         feed_valid,
    output wire         feed_image,
    output wire         feed_bank,
    output wire [ 15:0] feed_address,
    output wire         feed_zero,
    output wire         feed_transpose,
    output wire [ 15:0] step_weight_address,
    output wire         step_first,
    output wire         step_last,
    output wire         step_swap,
    // Tag of the tile.
    output wire         tile_valid,
    output wire         tile_token_mixing,
    output wire         tile_affine,
    output wire         tile_add,
    output wire         tile_res,
    output wire         tile_pool,
    output wire         tile_last_layer,
    output wire [  1:0] tile_next,
    output wire [  1:0] tile_rule,
    output wire [  3:0] tile_points_log2,
    output wire [ 15:0] tile_table_base,
    output wire [  3:0] tile_pool_shift,
    output wire [ 15:0] tile_tokens,
    output wire [ 15:0] tile_token_base,
    output wire         tile_first_tokens,
    output wire         tile_last_tokens,
    output wire [ 15:0] tile_group,
    output wire [ 15:0] tile_groups,
    output wire [ 15:0] tile_address,
    output wire [ 15:0] tile_chunk,
    output wire [ 15:0] tile_constants,
    output wire         tile_bank,
    output wire         tile_free_chunk,
    output wire [ 15:0] tile_free_weight_words,
    output wire         tile_free_group,
    output wire [ 15:0] tile_free_table_words,
    // Monitors.
    output wire         mon_step,
    output wire [ 15:0] mon_layer,
    output wire [  2:0] mon_wait
);

  generate
    if (WEIGHT_WORDS < 16 || WEIGHT_WORDS > 32768 || (WEIGHT_WORDS & (WEIGHT_WORDS - 1)) != 0) begin : illegal_weight
      illegal_parameter_WEIGHT_WORDS_is_not_a_power_of_two_from_16_to_32768 stop ();
    end
    if (TABLE_WORDS < 2 || TABLE_WORDS > 32768 || (TABLE_WORDS & (TABLE_WORDS - 1)) != 0) begin : illegal_table
      illegal_parameter_TABLE_WORDS_is_not_a_power_of_two_from_2_to_32768 stop ();
    end
    if (CONSTANT_GROUPS < 1 || CONSTANT_GROUPS > 32768 || (CONSTANT_GROUPS & (CONSTANT_GROUPS - 1)) != 0)
    begin : illegal_constant
      illegal_parameter_CONSTANT_GROUPS_is_not_a_power_of_two_up_to_32768 stop ();
    end
    if (CHUNKS < 1 || CHUNKS > 32768 || (CHUNKS & (CHUNKS - 1)) != 0) begin : illegal_chunks
      illegal_parameter_CHUNKS_is_not_a_power_of_two_up_to_32768 stop ();
    end
    if (LAYERS < 2 || LAYERS > 32768 || (LAYERS & (LAYERS - 1)) != 0) begin : illegal_layers
      illegal_parameter_LAYERS_is_not_a_power_of_two_from_2_to_32768 stop ();
    end
  endgenerate

  localparam [31:0] WEIGHT_MASK_32 = WEIGHT_WORDS - 1;
  localparam [31:0] TABLE_MASK_32 = TABLE_WORDS - 1;
  localparam [31:0] CONSTANT_MASK_32 = CONSTANT_GROUPS - 1;
  localparam [31:0] CHUNK_MASK_32 = CHUNKS - 1;
  localparam [15:0] WEIGHT_MASK = WEIGHT_MASK_32[15:0];
  localparam [15:0] TABLE_MASK = TABLE_MASK_32[15:0];
  localparam [15:0] CONSTANT_MASK = CONSTANT_MASK_32[15:0];
  localparam [15:0] CHUNK_MASK = CHUNK_MASK_32[15:0];

  localparam [1:0] NEXT_TABLE = 2'd3;
  localparam [1:0] RULE_ENDPOINT = 2'd2;

  localparam [2:0] FETCH = 3'd0;
  localparam [2:0] DERIVE = 3'd1;
  localparam [2:0] PREPARE = 3'd2;
  localparam [2:0] CHECK = 3'd3;
  localparam [2:0] OFFER = 3'd4;

  localparam [2:0] WAIT_NOTHING = 3'd0;
  localparam [2:0] WAIT_PARAMETERS = 3'd1;
  localparam [2:0] WAIT_IMAGE = 3'd2;
  localparam [2:0] WAIT_RESULTS = 3'd3;
  localparam [2:0] WAIT_ROOM = 3'd4;

  reg  [2:0] state_reg;
  wire start;      // the tile on offer is fed from the next cycle on
  wire layer_end;  // ... and is its layer's last one
  wire image_end;  // ... and that layer is the image's last one

  // ---- Queue of descriptors: a FIFO; with keep they stay, and are read again for every image ----

  localparam POINTER_W = $clog2(LAYERS) + 1;  // one bit more than an index
  localparam [POINTER_W-1:0] ZERO = {POINTER_W{1'b0}};

  reg [127:0] queue[0:LAYERS-1];
  reg [POINTER_W-1:0] write_pointer_reg;
  reg [POINTER_W-1:0] read_pointer_reg;
  reg layer_ready_reg;
  reg [31:0] images_started_reg;  // images whose every tile was given out

  wire accept = layer_valid && layer_ready_reg;
  wire unread = read_pointer_reg != write_pointer_reg;
  wire finished = images_started_reg == image_count;
  wire fetch = state_reg == FETCH && unread && !finished;
  wire rewind = image_end && keep;

  wire [POINTER_W-1:0] write_pointer_next = write_pointer_reg + {{(POINTER_W - 1) {1'b0}}, accept};
  wire [POINTER_W-1:0] read_pointer_next = read_pointer_reg + {{(POINTER_W - 1) {1'b0}}, fetch};
  wire [POINTER_W-1:0] level_next = write_pointer_next - (keep ? ZERO : read_pointer_next);

  always @(posedge clk) if (accept) queue[write_pointer_reg[POINTER_W-2:0]] <= layer_data;

  always @(posedge clk) begin
    if (rst) begin
      write_pointer_reg <= ZERO;
      read_pointer_reg <= ZERO;
      layer_ready_reg <= 1'b0;  // nothing is taken in a reset, whatever the loader shows: it is reset, too, and shows nothing
    end else begin
      write_pointer_reg <= write_pointer_next;
      read_pointer_reg <= rewind ? ZERO : read_pointer_next;
      layer_ready_reg <= !level_next[POINTER_W-1];
    end
  end

  // ---- The layer whose tiles are given out ----

  reg [127:0] layer_reg;
  always @(posedge clk) if (fetch) layer_reg <= queue[read_pointer_reg[POINTER_W-2:0]];

  wire fixed;
  wire token_mixing;
  wire affine;
  wire add;
  wire res_affine;
  wire pool;
  wire first_layer;
  wire last_layer;
  wire [1:0] next_operator;
  wire [1:0] rule;
  wire [3:0] points_log2;
  wire [3:0] pool_shift;
  wire [15:0] tokens;
  wire [15:0] in_groups;
  wire [15:0] out_groups;
  wire [31:0] words;
  wire [15:0] number;
  wire unused_fields = &{1'b0, fixed, words, number};  // the loader's business

  simd_descriptor descriptor (
      .word(layer_reg),
      .fixed(fixed),
      .token_mixing(token_mixing),
      .affine(affine),
      .add(add),
      .res_affine(res_affine),
      .pool(pool),
      .first(first_layer),
      .last(last_layer),
      .next(next_operator),
      .rule(rule),
      .points_log2(points_log2),
      .pool_shift(pool_shift),
      .tokens(tokens),
      .in_groups(in_groups),
      .groups(out_groups),
      .words(words),
      .number(number)
  );

  // Worked out in DERIVE, constant over the layer.
  reg [15:0] token_groups_reg;      // I
  reg [15:0] last_token_base_reg;   // 16 (I - 1)
  reg [15:0] last_group_reg;        // G - 1
  reg [15:0] last_block_reg;        // KB - 1
  reg [15:0] chunk_words_reg;       // 16 KB
  reg [15:0] in_stride_reg;         // words of 16 tokens, input
  reg [15:0] out_stride_reg;        // words of 16 tokens, output
  reg [15:0] image_words_reg;       // of the whole image, modulo 2^16
  reg [15:0] table_words_reg;
  reg [15:0] chunk_reg;             // index of the tile's chunk since the reset or the image's start
  reg [15:0] weight_base_reg;       // the tile's first weight word in the ring
  reg [15:0] layer_chunk_reg;       // where the layer's chunks begin
  reg [15:0] layer_weight_reg;
  reg [15:0] tiles_before_reg;      // tiles given out before this layer began, modulo 2^16
  reg behind_pool_reg;

  // Since the reset or the image's start.
  reg [15:0] tile_count_reg;        // tiles given out, modulo 2^16
  reg [15:0] previous_tiles_reg;    // of them before the layer that came last began; as previous_pool_reg not reset:
  reg previous_pool_reg;            // an image's first layer waits for no results, and behind it they are known
  reg [15:0] layer_number_reg;
  reg bank_reg;

  wire [15:0] last_token = tokens - 16'd1;
  wire unused_token = &{1'b0, last_token[3:0]};
  wire [15:0] token_groups = {4'd0, last_token[15:4]} + 16'd1;
  wire [15:0] blocks = token_mixing ? token_groups : in_groups;
  wire [15:0] table_points = 16'd1 << points_log2;
  wire [15:0] table_words = table_points + {14'd0, rule == RULE_ENDPOINT, 1'b0};
  wire [15:0] all_words = tokens * in_groups;
  wire has_table = next_operator == NEXT_TABLE;

  always @(posedge clk) begin
    if (state_reg == DERIVE) begin
      token_groups_reg <= token_groups;
      last_token_base_reg <= {last_token[15:4], 4'd0};
      last_group_reg <= out_groups - 16'd1;
      last_block_reg <= blocks - 16'd1;
      chunk_words_reg <= {blocks[11:0], 4'd0};
      in_stride_reg <= {in_groups[11:0], 4'd0};
      out_stride_reg <= {out_groups[11:0], 4'd0};
      image_words_reg <= all_words;
      table_words_reg <= has_table ? table_words : 16'd0;
      layer_chunk_reg <= chunk_reg;
      layer_weight_reg <= weight_base_reg;
      tiles_before_reg <= tile_count_reg;
      behind_pool_reg <= previous_pool_reg;
    end
  end

  // ---- The tile on offer: group g, tokens 16 i on ----

  reg [15:0] group_reg;             // g
  reg [15:0] token_base_reg;        // 16 i
  reg [15:0] in_base_reg;           // 16 i KG
  reg [15:0] out_base_reg;          // 16 i G
  reg [15:0] constants_reg;         // index of its constant group
  reg [15:0] table_base_reg;        // its first table word in the ring
  reg [15:0] column_target_reg;     // token mixing: tiles given out up to the end of the input group g

  // Worked out in PREPARE.
  reg last_tokens_reg;
  reg last_group_now_reg;
  reg [15:0] chunks_needed_reg;
  reg [15:0] groups_needed_reg;
  reg [15:0] image_needed_reg;
  reg [15:0] tiles_needed_reg;
  reg [15:0] out_address_reg;

  // Worked out in CHECK, and from then on in every cycle.
  reg parameters_ok_reg;
  reg image_ok_reg;
  reg room_ok_reg;

  wire last_tokens = token_base_reg == last_token_base_reg;
  // Channel mixing: the input's tiles come group by group; of its last I, one a token group, the i-th is needed.
  wire [15:0] row_target = tiles_before_reg - token_groups_reg + {4'd0, token_base_reg[15:4]} + 16'd1;

  wire [15:0] chunks_ahead = chunks_loaded - chunks_needed_reg;
  wire [15:0] groups_ahead = groups_loaded - groups_needed_reg;
  wire [15:0] tiles_ahead = tiles_written - tiles_needed_reg;
  wire unused_ahead = &{1'b0, chunks_ahead[14:0], groups_ahead[14:0], tiles_ahead[14:0]};
  wire results_ok = first_layer || !tiles_ahead[15];

  always @(posedge clk) begin
    last_tokens_reg <= last_tokens;
    last_group_now_reg <= group_reg == last_group_reg;
    chunks_needed_reg <= chunk_reg + 16'd1;
    groups_needed_reg <= constants_reg + 16'd1;
    // A first layer that mixes tokens, which simd_loader refuses, would need the whole image.
    image_needed_reg <= (token_mixing || last_tokens) ? image_words_reg : in_base_reg + in_stride_reg;
    tiles_needed_reg <= behind_pool_reg ? tiles_before_reg : token_mixing ? column_target_reg : row_target;
    out_address_reg <= out_base_reg + group_reg;
    parameters_ok_reg <= !chunks_ahead[15] && !groups_ahead[15];
    image_ok_reg <= !first_layer || image_words_loaded >= image_needed_reg;
    room_ok_reg <= !last_layer || result_ready;
  end

  wire offered = state_reg == OFFER && parameters_ok_reg && image_ok_reg && results_ok && room_ok_reg;

  assign layer_end = start && last_tokens_reg && last_group_now_reg;
  assign image_end = layer_end && last_layer;

  // The next tile: the next tokens, or the next group from its first tokens on. Chunks: one a group where channels are
  // mixed; where tokens are mixed one a token group, and all of them again for the next group.
  wire again = token_mixing && last_tokens_reg && !last_group_now_reg;
  wire next_chunk = token_mixing ? !again : last_tokens_reg;

  always @(posedge clk) begin
    if (rst) begin
      state_reg <= FETCH;
      images_started_reg <= 32'd0;
      tile_count_reg <= 16'd0;
      layer_number_reg <= 16'd0;  // shown as mon_layer only
      bank_reg <= 1'b0;
      chunk_reg <= 16'd0;
      weight_base_reg <= 16'd0;
      constants_reg <= 16'd0;
      table_base_reg <= 16'd0;
    end else begin
      case (state_reg)
        FETCH: if (fetch) state_reg <= DERIVE;
        DERIVE: begin
          state_reg <= PREPARE;
          group_reg <= 16'd0;
          token_base_reg <= 16'd0;
          in_base_reg <= 16'd0;
          out_base_reg <= 16'd0;
          column_target_reg <= previous_tiles_reg + token_groups;
        end
        PREPARE: state_reg <= CHECK;
        CHECK: state_reg <= OFFER;
        default:
        if (start) begin
          state_reg <= layer_end ? FETCH : PREPARE;
          tile_count_reg <= tile_count_reg + 16'd1;
          token_base_reg <= last_tokens_reg ? 16'd0 : token_base_reg + 16'd16;
          in_base_reg <= last_tokens_reg ? 16'd0 : in_base_reg + in_stride_reg;
          out_base_reg <= last_tokens_reg ? 16'd0 : out_base_reg + out_stride_reg;
          if (last_tokens_reg) begin
            group_reg <= group_reg + 16'd1;
            column_target_reg <= column_target_reg + token_groups_reg;
          end
          if (rewind) begin
            chunk_reg <= 16'd0;
            weight_base_reg <= 16'd0;
            constants_reg <= 16'd0;
            table_base_reg <= 16'd0;
          end else begin
            if (again) begin
              chunk_reg <= layer_chunk_reg;
              weight_base_reg <= layer_weight_reg;
            end else if (next_chunk) begin
              chunk_reg <= chunk_reg + 16'd1;
              weight_base_reg <= (weight_base_reg + chunk_words_reg) & WEIGHT_MASK;
            end
            if (last_tokens_reg) begin
              constants_reg <= constants_reg + 16'd1;
              table_base_reg <= (table_base_reg + table_words_reg) & TABLE_MASK;
            end
          end
          if (layer_end) begin
            previous_tiles_reg <= tiles_before_reg;
            previous_pool_reg <= pool;
            layer_number_reg <= last_layer ? 16'd0 : layer_number_reg + 16'd1;
            bank_reg <= !bank_reg;
          end
          if (image_end) images_started_reg <= images_started_reg + 32'd1;
        end
      endcase
    end
  end

  // ---- The tile that is fed ----

  reg feed_valid_reg;
  reg [3:0] step_reg;               // of the slot
  reg [15:0] blocks_left_reg;       // slots of the tile behind this one
  reg [15:0] in_stride_now_reg;     // KG, from token to token
  reg [15:0] slot_base_reg;         // address of the slot's first word
  reg [15:0] token_reg;             // that is fed
  reg [15:0] feed_address_reg;
  reg feed_zero_reg;
  reg feed_image_reg;
  reg feed_bank_reg;
  reg [15:0] weight_address_reg;
  reg step_first_reg;
  reg step_last_reg;
  reg image_release_reg;

  reg tile_token_mixing_reg;
  reg tile_affine_reg;
  reg tile_add_reg;
  reg tile_res_reg;
  reg tile_pool_reg;
  reg tile_last_layer_reg;
  reg [1:0] tile_next_reg;
  reg [1:0] tile_rule_reg;
  reg [3:0] tile_points_log2_reg;
  reg [15:0] tile_table_base_reg;
  reg [3:0] tile_pool_shift_reg;
  reg [15:0] tile_tokens_reg;
  reg [15:0] tile_token_base_reg;
  reg tile_first_tokens_reg;
  reg tile_last_tokens_reg;
  reg [15:0] tile_group_reg;
  reg [15:0] tile_groups_reg;
  reg [15:0] tile_address_reg;
  reg [15:0] tile_chunk_reg;
  reg [15:0] tile_constants_reg;
  reg tile_bank_reg;
  reg tile_free_chunk_reg;
  reg [15:0] tile_free_weight_words_reg;
  reg tile_free_group_reg;
  reg [15:0] tile_free_table_words_reg;
  reg tile_layer_end_reg;
  reg [15:0] mon_layer_reg;
  reg [2:0] mon_wait_reg;

  assign start = offered && (!feed_valid_reg || step_last_reg);

  wire slot_end = step_reg == 4'd15;
  wire last_block = blocks_left_reg == 16'd0;
  wire before_last = step_reg == 4'd14 && last_block;
  wire next_channels = slot_end && !tile_token_mixing_reg;
  wire [15:0] slot_base_next = slot_base_reg + 16'd1;
  wire [15:0] token_next = next_channels ? tile_token_base_reg : token_reg + 16'd1;
  wire free_chunk = !keep && (token_mixing ? last_group_now_reg : last_tokens_reg);
  wire free_group = !keep && last_tokens_reg;

  always @(posedge clk) begin
    if (start) begin
      in_stride_now_reg <= in_groups;
      feed_image_reg <= first_layer;
      feed_bank_reg <= bank_reg;
      tile_token_mixing_reg <= token_mixing;
      tile_affine_reg <= affine;
      tile_add_reg <= add;
      tile_res_reg <= res_affine;
      tile_pool_reg <= pool;
      tile_last_layer_reg <= last_layer;
      tile_next_reg <= next_operator;
      tile_rule_reg <= rule;
      tile_points_log2_reg <= points_log2;
      tile_table_base_reg <= table_base_reg;
      tile_pool_shift_reg <= pool_shift;
      tile_tokens_reg <= tokens;
      tile_token_base_reg <= token_base_reg;
      tile_first_tokens_reg <= token_base_reg == 16'd0;
      tile_last_tokens_reg <= last_tokens_reg;
      tile_group_reg <= group_reg;
      tile_groups_reg <= out_groups;
      tile_address_reg <= out_address_reg;
      tile_chunk_reg <= chunk_reg & CHUNK_MASK;
      tile_constants_reg <= constants_reg & CONSTANT_MASK;
      tile_bank_reg <= !bank_reg;
      tile_free_chunk_reg <= free_chunk;
      tile_free_weight_words_reg <= free_chunk ? chunk_words_reg : 16'd0;
      tile_free_group_reg <= free_group;
      tile_free_table_words_reg <= free_group ? table_words_reg : 16'd0;
      tile_layer_end_reg <= layer_end;
      mon_layer_reg <= layer_number_reg;
    end else if (!feed_valid_reg || step_last_reg) begin
      mon_layer_reg <= layer_number_reg;
    end
    // Token after token: KG words on. The next slot: the tokens that follow, or the next channels of the same tokens.
    if (start) begin
      step_reg <= 4'd0;
      blocks_left_reg <= last_block_reg;
      slot_base_reg <= in_base_reg;
      token_reg <= token_mixing ? 16'd0 : token_base_reg;
      feed_address_reg <= token_mixing ? group_reg : in_base_reg;
      feed_zero_reg <= 1'b0;
      weight_address_reg <= weight_base_reg;
    end else if (feed_valid_reg) begin
      step_reg <= step_reg + 4'd1;
      if (slot_end) begin
        blocks_left_reg <= blocks_left_reg - 16'd1;
        slot_base_reg <= slot_base_next;
      end
      token_reg <= token_next;
      feed_address_reg <= next_channels ? slot_base_next : feed_address_reg + in_stride_now_reg;
      feed_zero_reg <= token_next >= tile_tokens_reg;
      weight_address_reg <= (weight_address_reg + 16'd1) & WEIGHT_MASK;
    end
    // step_first_reg is not reset: it is looked at only with feed_valid_reg. image_release_reg would be low a cycle later,
    // and mon_layer_reg would be layer_number_reg: what feeds them is reset. Reset so that they are in the first cycle.
    step_first_reg <= start;
    if (rst) begin
      feed_valid_reg <= 1'b0;
      step_last_reg <= 1'b0;
      image_release_reg <= 1'b0;
      mon_layer_reg <= 16'd0;
      mon_wait_reg <= WAIT_NOTHING;  // a reset waits for nothing
    end else begin
      feed_valid_reg <= start || (feed_valid_reg && !step_last_reg);
      step_last_reg <= feed_valid_reg && before_last;
      image_release_reg <= feed_valid_reg && before_last && feed_image_reg && tile_layer_end_reg;
      if (start || (feed_valid_reg && !step_last_reg) || finished) mon_wait_reg <= WAIT_NOTHING;
      else if (state_reg != OFFER || !parameters_ok_reg) mon_wait_reg <= WAIT_PARAMETERS;
      else if (!image_ok_reg) mon_wait_reg <= WAIT_IMAGE;
      else if (!results_ok) mon_wait_reg <= WAIT_RESULTS;
      else mon_wait_reg <= WAIT_ROOM;
    end
  end

  assign layer_ready = layer_ready_reg;
  assign image_release = image_release_reg;
  assign feed_valid = feed_valid_reg;
  assign feed_image = feed_image_reg;
  assign feed_bank = feed_bank_reg;
  assign feed_address = feed_address_reg;
  assign feed_zero = feed_zero_reg;
  assign feed_transpose = !tile_token_mixing_reg;
  assign step_weight_address = weight_address_reg;
  assign step_first = step_first_reg;
  assign step_last = step_last_reg;
  assign step_swap = tile_token_mixing_reg;
  assign tile_valid = step_last_reg;
  assign tile_token_mixing = tile_token_mixing_reg;
  assign tile_affine = tile_affine_reg;
  assign tile_add = tile_add_reg;
  assign tile_res = tile_res_reg;
  assign tile_pool = tile_pool_reg;
  assign tile_last_layer = tile_last_layer_reg;
  assign tile_next = tile_next_reg;
  assign tile_rule = tile_rule_reg;
  assign tile_points_log2 = tile_points_log2_reg;
  assign tile_table_base = tile_table_base_reg;
  assign tile_pool_shift = tile_pool_shift_reg;
  assign tile_tokens = tile_tokens_reg;
  assign tile_token_base = tile_token_base_reg;
  assign tile_first_tokens = tile_first_tokens_reg;
  assign tile_last_tokens = tile_last_tokens_reg;
  assign tile_group = tile_group_reg;
  assign tile_groups = tile_groups_reg;
  assign tile_address = tile_address_reg;
  assign tile_chunk = tile_chunk_reg;
  assign tile_constants = tile_constants_reg;
  assign tile_bank = tile_bank_reg;
  assign tile_free_chunk = tile_free_chunk_reg;
  assign tile_free_weight_words = tile_free_weight_words_reg;
  assign tile_free_group = tile_free_group_reg;
  assign tile_free_table_words = tile_free_table_words_reg;
  assign mon_step = feed_valid_reg;
  assign mon_layer = mon_layer_reg;
  assign mon_wait = mon_wait_reg;

endmodule

`default_nettype wire
