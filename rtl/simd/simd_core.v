`default_nettype none

// The computing side of the SIMD accelerator: a 16 x 16 multiplier tile, what feeds it, and the elementwise operators
// behind it. The memory side writes parameters and images into its memories and counts them; the sequencer starts a
// tile once all that it reads is there.
//
//   image or activation buffer -> block_transpose -> mac_tile -> simd_epilogue -> the other activation buffer, results
//                                        weights ------^            ^------ biases, shifts, constants, tables
//
// A cycle of the sequencer's feed reads an activation word; the multiplier step it belongs to comes 19 cycles
// later: one for the memory, 17 for the block that is collected and turned, one for the operand registers. A tile's
// tag waits in a FIFO meanwhile. See docs/simd.md.
//
// Parameters, as in simd_resmlp (a word is 128 bits)
//   ACTIVATION_WORDS  words of each of the two activation buffers, a power of two up to 16384
//   IMAGE_WORDS       words of the image buffer, a power of two up to 32768
//   RESIDUAL_WORDS    words of the residual buffer, likewise
//   WEIGHT_WORDS      words of the ring of weights
//   TABLE_WORDS       words of the ring of tables
//   CONSTANT_GROUPS   groups of 16 channels whose constants the ring holds
//   CHUNKS            chunks whose biases and shifts the ring holds
//   LAYERS            layers whose descriptors are kept with `keep`
//   ACC_W             accumulator width, bits
module simd_core #(
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
    input  wire [31:0]  image_count,
    // Layer descriptors, and how much of what the layers need is in the memories.
    input  wire         layer_valid,
    output wire         layer_ready,
    input  wire [127:0] layer_data,
    input  wire [15:0]  chunks_loaded,
    input  wire [15:0]  groups_loaded,
    input  wire [15:0]  image_words_loaded,
    output wire         image_release,
    // Writes of the memory side.
    input  wire [127:0] parameter_data,
    input  wire         weight_write,
    input  wire [15:0]  weight_write_address,
    input  wire         bias_write,
    input  wire         shift_write,
    input  wire [15:0]  chunk_write_address,
    input  wire [8:0]   constant_write,
    input  wire [15:0]  constant_write_address,
    input  wire         table_write,
    input  wire [15:0]  table_write_address,
    input  wire         image_write,
    input  wire [15:0]  image_write_address,
    input  wire [127:0] image_write_data,
    // What has been used and may be overwritten.
    output wire         free_chunk,
    output wire [15:0]  free_weight_words,
    output wire         free_group,
    output wire [15:0]  free_table_words,
    // Words of the last layer.
    output wire         result_valid,
    output wire [127:0] result_data,
    input  wire         result_ready,
    // Monitors; see simd_resmlp.
    output wire [5:0]   mon_valid,
    output wire [767:0] mon_data,
    output wire         mon_step,
    output wire [15:0]  mon_layer,
    output wire [2:0]   mon_wait
);

  generate
    if (ACTIVATION_WORDS < 1 || ACTIVATION_WORDS > 16384 || (ACTIVATION_WORDS & (ACTIVATION_WORDS - 1)) != 0)
    begin : illegal_activation_words
      illegal_parameter_ACTIVATION_WORDS_is_not_a_power_of_two_up_to_16384 stop ();
    end
    if (IMAGE_WORDS < 1 || IMAGE_WORDS > 32768 || (IMAGE_WORDS & (IMAGE_WORDS - 1)) != 0) begin : illegal_image_words
      illegal_parameter_IMAGE_WORDS_is_not_a_power_of_two_up_to_32768 stop ();
    end
    if (RESIDUAL_WORDS < 1 || RESIDUAL_WORDS > 32768 || (RESIDUAL_WORDS & (RESIDUAL_WORDS - 1)) != 0)
    begin : illegal_residual_words
      illegal_parameter_RESIDUAL_WORDS_is_not_a_power_of_two_up_to_32768 stop ();
    end
  endgenerate

  localparam WORD_W = 128;
  localparam BLOCK_DELAY = 17;              // of block_transpose
  localparam WEIGHT_DELAY = BLOCK_DELAY;    // the weights' memory takes the cycle that the activations' took
  // Bits of constant_write: weight, bias and shift of the three affines.
  localparam AFFINE_W = 0;
  localparam AFFINE_B = 1;
  localparam AFFINE_S = 2;
  localparam RES_W = 3;
  localparam RES_B = 4;
  localparam RES_S = 5;
  localparam NEXT_W = 6;
  localparam NEXT_B = 7;
  localparam NEXT_S = 8;

  localparam TILES_INSIDE = 4;              // tags that wait: a tile's last feed to its last row takes below 48 cycles

  // Of a tag: flags, codes, log2s, and what counts words, tokens, groups or places.
  localparam TAG_W = 11 + 2 * 2 + 2 * 4 + 10 * 16;

  localparam ACTIVATION_ADDRESS_W = (ACTIVATION_WORDS > 1) ? $clog2(ACTIVATION_WORDS) : 1;
  localparam IMAGE_ADDRESS_W = (IMAGE_WORDS > 1) ? $clog2(IMAGE_WORDS) : 1;
  localparam WEIGHT_ADDRESS_W = (WEIGHT_WORDS > 1) ? $clog2(WEIGHT_WORDS) : 1;
  localparam CONSTANT_ADDRESS_W = (CONSTANT_GROUPS > 1) ? $clog2(CONSTANT_GROUPS) : 1;
  localparam CHUNK_ADDRESS_W = (CHUNKS > 1) ? $clog2(CHUNKS) : 1;

  // ---- Sequencer ----

  wire feed_valid;
  wire feed_image;
  wire feed_bank;
  wire [15:0] feed_address;
  wire feed_zero;
  wire feed_transpose;
  wire [15:0] step_weight_address;
  wire step_first;
  wire step_last;
  wire step_swap;
  wire tile_valid;
  wire tile_token_mixing;
  wire tile_affine;
  wire tile_add;
  wire tile_res;
  wire tile_pool;
  wire tile_last_layer;
  wire [1:0] tile_next;
  wire [1:0] tile_rule;
  wire [3:0] tile_points_log2;
  wire [15:0] tile_table_base;
  wire [3:0] tile_pool_shift;
  wire [15:0] tile_tokens;
  wire [15:0] tile_token_base;
  wire tile_first_tokens;
  wire tile_last_tokens;
  wire [15:0] tile_group;
  wire [15:0] tile_groups;
  wire [15:0] tile_address;
  wire [15:0] tile_chunk;
  wire [15:0] tile_constants;
  wire tile_bank;
  wire tile_free_chunk;
  wire [15:0] tile_free_weight_words;
  wire tile_free_group;
  wire [15:0] tile_free_table_words;
  wire [15:0] tiles_written;

  simd_sequencer #(
      .WEIGHT_WORDS(WEIGHT_WORDS),
      .TABLE_WORDS(TABLE_WORDS),
      .CONSTANT_GROUPS(CONSTANT_GROUPS),
      .CHUNKS(CHUNKS),
      .LAYERS(LAYERS)
  ) sequencer (
      .clk(clk),
      .rst(rst),
      .keep(keep),
      .image_count(image_count),
      .layer_valid(layer_valid),
      .layer_ready(layer_ready),
      .layer_data(layer_data),
      .chunks_loaded(chunks_loaded),
      .groups_loaded(groups_loaded),
      .image_words_loaded(image_words_loaded),
      .image_release(image_release),
      .tiles_written(tiles_written),
      .result_ready(result_ready),
      .feed_valid(feed_valid),
      .feed_image(feed_image),
      .feed_bank(feed_bank),
      .feed_address(feed_address),
      .feed_zero(feed_zero),
      .feed_transpose(feed_transpose),
      .step_weight_address(step_weight_address),
      .step_first(step_first),
      .step_last(step_last),
      .step_swap(step_swap),
      .tile_valid(tile_valid),
      .tile_token_mixing(tile_token_mixing),
      .tile_affine(tile_affine),
      .tile_add(tile_add),
      .tile_res(tile_res),
      .tile_pool(tile_pool),
      .tile_last_layer(tile_last_layer),
      .tile_next(tile_next),
      .tile_rule(tile_rule),
      .tile_points_log2(tile_points_log2),
      .tile_table_base(tile_table_base),
      .tile_pool_shift(tile_pool_shift),
      .tile_tokens(tile_tokens),
      .tile_token_base(tile_token_base),
      .tile_first_tokens(tile_first_tokens),
      .tile_last_tokens(tile_last_tokens),
      .tile_group(tile_group),
      .tile_groups(tile_groups),
      .tile_address(tile_address),
      .tile_chunk(tile_chunk),
      .tile_constants(tile_constants),
      .tile_bank(tile_bank),
      .tile_free_chunk(tile_free_chunk),
      .tile_free_weight_words(tile_free_weight_words),
      .tile_free_group(tile_free_group),
      .tile_free_table_words(tile_free_table_words),
      .mon_step(mon_step),
      .mon_layer(mon_layer),
      .mon_wait(mon_wait)
  );

  // ---- Activations ----

  wire activation_write;
  wire activation_bank;
  wire [15:0] activation_address;
  wire [WORD_W-1:0] activation_data;
  wire [WORD_W-1:0] image_word;
  wire [WORD_W-1:0] bank_0_word;
  wire [WORD_W-1:0] bank_1_word;

  ram #(
      .WORDS(IMAGE_WORDS),
      .WIDTH(WORD_W)
  ) image_buffer (
      .clk(clk),
      .write_enable(image_write),
      .write_address(image_write_address[IMAGE_ADDRESS_W-1:0]),
      .write_data(image_write_data),
      .read_enable(feed_valid && feed_image),
      .read_address(feed_address[IMAGE_ADDRESS_W-1:0]),
      .read_data(image_word)
  );

  ram #(
      .WORDS(ACTIVATION_WORDS),
      .WIDTH(WORD_W)
  ) activation_buffer_0 (
      .clk(clk),
      .write_enable(activation_write && !activation_bank),
      .write_address(activation_address[ACTIVATION_ADDRESS_W-1:0]),
      .write_data(activation_data),
      .read_enable(feed_valid && !feed_image && !feed_bank),
      .read_address(feed_address[ACTIVATION_ADDRESS_W-1:0]),
      .read_data(bank_0_word)
  );

  ram #(
      .WORDS(ACTIVATION_WORDS),
      .WIDTH(WORD_W)
  ) activation_buffer_1 (
      .clk(clk),
      .write_enable(activation_write && activation_bank),
      .write_address(activation_address[ACTIVATION_ADDRESS_W-1:0]),
      .write_data(activation_data),
      .read_enable(feed_valid && !feed_image && feed_bank),
      .read_address(feed_address[ACTIVATION_ADDRESS_W-1:0]),
      .read_data(bank_1_word)
  );

  // Which memory the word comes from that a read gives in this cycle.
  reg read_valid_reg;
  reg read_image_reg;
  reg read_bank_reg;
  reg read_zero_reg;
  reg read_transpose_reg;
  always @(posedge clk) begin
    read_image_reg <= feed_image;
    read_bank_reg <= feed_bank;
    read_zero_reg <= feed_zero;
    read_transpose_reg <= feed_transpose;
    if (rst) read_valid_reg <= 1'b0;  // what feeds it is, too: as with word_valid_reg below
    else read_valid_reg <= feed_valid;
  end

  wire [WORD_W-1:0] bank_word = read_bank_reg ? bank_1_word : bank_0_word;
  wire [WORD_W-1:0] read_word = read_image_reg ? image_word : bank_word;
  wire [WORD_W-1:0] block_word;

  block_transpose transposer (
      .clk(clk),
      .rst(rst),
      .in_valid(read_valid_reg),
      .in_transpose(read_transpose_reg),
      .in_data(read_zero_reg ? {WORD_W{1'b0}} : read_word),
      .out_data(block_word)
  );

  // ---- Multiplier tile ----

  wire weight_read;
  wire weight_first;
  wire weight_last;
  wire weight_swap;
  wire [15:0] weight_read_address;
  wire [WORD_W-1:0] weight_word;

  delay_line #(
      .DEPTH(WEIGHT_DELAY),
      .WIDTH(20)
  ) weight_delay (
      .clk(clk),
      .rst(rst),
      .d({feed_valid, step_first, step_last, step_swap, step_weight_address}),
      .q({weight_read, weight_first, weight_last, weight_swap, weight_read_address})
  );

  ram #(
      .WORDS(WEIGHT_WORDS),
      .WIDTH(WORD_W)
  ) weights (
      .clk(clk),
      .write_enable(weight_write),
      .write_address(weight_write_address[WEIGHT_ADDRESS_W-1:0]),
      .write_data(parameter_data),
      .read_enable(weight_read),
      .read_address(weight_read_address[WEIGHT_ADDRESS_W-1:0]),
      .read_data(weight_word)
  );

  // The step's two operands are at hand one cycle after the weights' address, and in registers one cycle later. Where
  // tokens are mixed the weights are the rows: each weighs one token, and the columns are channels as everywhere.
  reg word_valid_reg;
  reg word_first_reg;
  reg word_last_reg;
  reg word_swap_reg;
  reg operands_valid_reg;
  reg operands_first_reg;
  reg operands_last_reg;
  reg [WORD_W-1:0] rows_reg;
  reg [WORD_W-1:0] columns_reg;
  always @(posedge clk) begin
    word_first_reg <= weight_first;
    word_last_reg <= weight_last;
    word_swap_reg <= weight_swap;
    operands_first_reg <= word_first_reg;
    operands_last_reg <= word_last_reg;
    if (word_valid_reg) begin
      rows_reg <= word_swap_reg ? weight_word : block_word;
      columns_reg <= word_swap_reg ? block_word : weight_word;
    end
    // Each alone could do without: what feeds it is reset, and core_rst lasts two cycles or more wherever anything is
    // under way. Reset all the same, so that one cycle is enough.
    if (rst) begin
      word_valid_reg <= 1'b0;
      operands_valid_reg <= 1'b0;
    end else begin
      word_valid_reg <= weight_read;
      operands_valid_reg <= word_valid_reg;
    end
  end

  wire row_valid;
  wire [3:0] row_index;
  wire [16*ACC_W-1:0] row_acc;

  mac_tile #(
      .ACC_W(ACC_W)
  ) tile (
      .clk(clk),
      .rst(rst),
      .valid(operands_valid_reg),
      .first(operands_first_reg),
      .last(operands_last_reg),
      .rows(rows_reg),
      .columns(columns_reg),
      .row_valid(row_valid),
      .row_index(row_index),
      .row_acc(row_acc)
  );

  // ---- The tile's tag waits for its rows ----

  wire row_token_mixing;
  wire row_affine;
  wire row_add;
  wire row_res;
  wire row_pool;
  wire row_last_layer;
  wire [1:0] row_next;
  wire [1:0] row_rule;
  wire [3:0] row_points_log2;
  wire [15:0] row_table_base;
  wire [3:0] row_pool_shift;
  wire [15:0] row_tokens;
  wire [15:0] row_token_base;
  wire row_first_tokens;
  wire row_last_tokens;
  wire [15:0] row_group;
  wire [15:0] row_groups;
  wire [15:0] row_address;
  wire [15:0] row_chunk;
  wire [15:0] row_constants;
  wire row_bank;
  wire row_free_chunk;
  wire [15:0] row_free_weight_words;
  wire row_free_group;
  wire [15:0] row_free_table_words;
  wire tag_ready;
  wire tag_valid;

  axis_fifo #(
      .DEPTH(TILES_INSIDE),
      .DATA_W(TAG_W)
  ) tags (
      .clk(clk),
      .rst(rst),
      .s_axis_tdata({
        tile_token_mixing,
        tile_affine,
        tile_add,
        tile_res,
        tile_pool,
        tile_last_layer,
        tile_next,
        tile_rule,
        tile_points_log2,
        tile_table_base,
        tile_pool_shift,
        tile_tokens,
        tile_token_base,
        tile_first_tokens,
        tile_last_tokens,
        tile_group,
        tile_groups,
        tile_address,
        tile_chunk,
        tile_constants,
        tile_bank,
        tile_free_chunk,
        tile_free_weight_words,
        tile_free_group,
        tile_free_table_words
      }),
      .s_axis_tvalid(tile_valid),
      .s_axis_tready(tag_ready),
      .m_axis_tdata({
        row_token_mixing,
        row_affine,
        row_add,
        row_res,
        row_pool,
        row_last_layer,
        row_next,
        row_rule,
        row_points_log2,
        row_table_base,
        row_pool_shift,
        row_tokens,
        row_token_base,
        row_first_tokens,
        row_last_tokens,
        row_group,
        row_groups,
        row_address,
        row_chunk,
        row_constants,
        row_bank,
        row_free_chunk,
        row_free_weight_words,
        row_free_group,
        row_free_table_words
      }),
      .m_axis_tvalid(tag_valid),
      .m_axis_tready(row_valid && row_index == 4'd15)
  );

  // ---- Constants ----

  wire [15:0] chunk_read_address;
  wire [15:0] affine_address;
  wire [15:0] res_address;
  wire [15:0] next_address;
  wire [WORD_W-1:0] bias_word;
  wire [WORD_W-1:0] shift_word;
  wire [WORD_W-1:0] affine_w_word;
  wire [WORD_W-1:0] affine_b_word;
  wire [WORD_W-1:0] affine_s_word;
  wire [WORD_W-1:0] res_w_word;
  wire [WORD_W-1:0] res_b_word;
  wire [WORD_W-1:0] res_s_word;
  wire [WORD_W-1:0] next_w_word;
  wire [WORD_W-1:0] next_b_word;
  wire [WORD_W-1:0] next_s_word;

  ram #(
      .WORDS(CHUNKS),
      .WIDTH(WORD_W)
  ) biases (
      .clk(clk),
      .write_enable(bias_write),
      .write_address(chunk_write_address[CHUNK_ADDRESS_W-1:0]),
      .write_data(parameter_data),
      .read_enable(1'b1),
      .read_address(chunk_read_address[CHUNK_ADDRESS_W-1:0]),
      .read_data(bias_word)
  );

  ram #(
      .WORDS(CHUNKS),
      .WIDTH(WORD_W)
  ) shifts (
      .clk(clk),
      .write_enable(shift_write),
      .write_address(chunk_write_address[CHUNK_ADDRESS_W-1:0]),
      .write_data(parameter_data),
      .read_enable(1'b1),
      .read_address(chunk_read_address[CHUNK_ADDRESS_W-1:0]),
      .read_data(shift_word)
  );

  ram #(
      .WORDS(CONSTANT_GROUPS),
      .WIDTH(WORD_W)
  ) affine_w_constants (
      .clk(clk),
      .write_enable(constant_write[AFFINE_W]),
      .write_address(constant_write_address[CONSTANT_ADDRESS_W-1:0]),
      .write_data(parameter_data),
      .read_enable(1'b1),
      .read_address(affine_address[CONSTANT_ADDRESS_W-1:0]),
      .read_data(affine_w_word)
  );

  ram #(
      .WORDS(CONSTANT_GROUPS),
      .WIDTH(WORD_W)
  ) affine_b_constants (
      .clk(clk),
      .write_enable(constant_write[AFFINE_B]),
      .write_address(constant_write_address[CONSTANT_ADDRESS_W-1:0]),
      .write_data(parameter_data),
      .read_enable(1'b1),
      .read_address(affine_address[CONSTANT_ADDRESS_W-1:0]),
      .read_data(affine_b_word)
  );

  ram #(
      .WORDS(CONSTANT_GROUPS),
      .WIDTH(WORD_W)
  ) affine_s_constants (
      .clk(clk),
      .write_enable(constant_write[AFFINE_S]),
      .write_address(constant_write_address[CONSTANT_ADDRESS_W-1:0]),
      .write_data(parameter_data),
      .read_enable(1'b1),
      .read_address(affine_address[CONSTANT_ADDRESS_W-1:0]),
      .read_data(affine_s_word)
  );

  ram #(
      .WORDS(CONSTANT_GROUPS),
      .WIDTH(WORD_W)
  ) res_w_constants (
      .clk(clk),
      .write_enable(constant_write[RES_W]),
      .write_address(constant_write_address[CONSTANT_ADDRESS_W-1:0]),
      .write_data(parameter_data),
      .read_enable(1'b1),
      .read_address(res_address[CONSTANT_ADDRESS_W-1:0]),
      .read_data(res_w_word)
  );

  ram #(
      .WORDS(CONSTANT_GROUPS),
      .WIDTH(WORD_W)
  ) res_b_constants (
      .clk(clk),
      .write_enable(constant_write[RES_B]),
      .write_address(constant_write_address[CONSTANT_ADDRESS_W-1:0]),
      .write_data(parameter_data),
      .read_enable(1'b1),
      .read_address(res_address[CONSTANT_ADDRESS_W-1:0]),
      .read_data(res_b_word)
  );

  ram #(
      .WORDS(CONSTANT_GROUPS),
      .WIDTH(WORD_W)
  ) res_s_constants (
      .clk(clk),
      .write_enable(constant_write[RES_S]),
      .write_address(constant_write_address[CONSTANT_ADDRESS_W-1:0]),
      .write_data(parameter_data),
      .read_enable(1'b1),
      .read_address(res_address[CONSTANT_ADDRESS_W-1:0]),
      .read_data(res_s_word)
  );

  ram #(
      .WORDS(CONSTANT_GROUPS),
      .WIDTH(WORD_W)
  ) next_w_constants (
      .clk(clk),
      .write_enable(constant_write[NEXT_W]),
      .write_address(constant_write_address[CONSTANT_ADDRESS_W-1:0]),
      .write_data(parameter_data),
      .read_enable(1'b1),
      .read_address(next_address[CONSTANT_ADDRESS_W-1:0]),
      .read_data(next_w_word)
  );

  ram #(
      .WORDS(CONSTANT_GROUPS),
      .WIDTH(WORD_W)
  ) next_b_constants (
      .clk(clk),
      .write_enable(constant_write[NEXT_B]),
      .write_address(constant_write_address[CONSTANT_ADDRESS_W-1:0]),
      .write_data(parameter_data),
      .read_enable(1'b1),
      .read_address(next_address[CONSTANT_ADDRESS_W-1:0]),
      .read_data(next_b_word)
  );

  ram #(
      .WORDS(CONSTANT_GROUPS),
      .WIDTH(WORD_W)
  ) next_s_constants (
      .clk(clk),
      .write_enable(constant_write[NEXT_S]),
      .write_address(constant_write_address[CONSTANT_ADDRESS_W-1:0]),
      .write_data(parameter_data),
      .read_enable(1'b1),
      .read_address(next_address[CONSTANT_ADDRESS_W-1:0]),
      .read_data(next_s_word)
  );

  // ---- Elementwise operators ----

  simd_epilogue #(
      .ACC_W(ACC_W),
      .RESIDUAL_WORDS(RESIDUAL_WORDS),
      .TABLE_WORDS(TABLE_WORDS)
  ) epilogue (
      .clk(clk),
      .rst(rst),
      .row_valid(row_valid),
      .row_index(row_index),
      .row_acc(row_acc),
      .tile_token_mixing(row_token_mixing),
      .tile_affine(row_affine),
      .tile_add(row_add),
      .tile_res(row_res),
      .tile_pool(row_pool),
      .tile_last_layer(row_last_layer),
      .tile_next(row_next),
      .tile_rule(row_rule),
      .tile_points_log2(row_points_log2),
      .tile_table_base(row_table_base),
      .tile_pool_shift(row_pool_shift),
      .tile_tokens(row_tokens),
      .tile_token_base(row_token_base),
      .tile_first_tokens(row_first_tokens),
      .tile_last_tokens(row_last_tokens),
      .tile_group(row_group),
      .tile_groups(row_groups),
      .tile_address(row_address),
      .tile_chunk(row_chunk),
      .tile_constants(row_constants),
      .tile_bank(row_bank),
      .tile_free_chunk(row_free_chunk),
      .tile_free_weight_words(row_free_weight_words),
      .tile_free_group(row_free_group),
      .tile_free_table_words(row_free_table_words),
      .chunk_read_address(chunk_read_address),
      .bias(bias_word),
      .shift(shift_word),
      .affine_address(affine_address),
      .affine_w(affine_w_word),
      .affine_b(affine_b_word),
      .affine_s(affine_s_word),
      .res_address(res_address),
      .res_w(res_w_word),
      .res_b(res_b_word),
      .res_s(res_s_word),
      .next_address(next_address),
      .next_w(next_w_word),
      .next_b(next_b_word),
      .next_s(next_s_word),
      .table_write(table_write),
      .table_write_address(table_write_address),
      .table_write_data(parameter_data),
      .activation_write(activation_write),
      .activation_bank(activation_bank),
      .activation_address(activation_address),
      .activation_data(activation_data),
      .result_valid(result_valid),
      .result_data(result_data),
      .tiles_written(tiles_written),
      .free_chunk(free_chunk),
      .free_weight_words(free_weight_words),
      .free_group(free_group),
      .free_table_words(free_table_words),
      .mon_valid(mon_valid),
      .mon_data(mon_data)
  );

  // Addresses are as wide as any buffer may need. The tags' FIFO is never full, and never empty when a row comes.
  wire unused = &{
    1'b0, weight_write_address, chunk_write_address, constant_write_address, image_write_address, feed_address,
    activation_address, weight_read_address, chunk_read_address, affine_address, res_address, next_address, tag_ready,
    tag_valid
  };

endmodule

`default_nettype wire
