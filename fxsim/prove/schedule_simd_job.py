"""Properties of what carries the SIMD accelerator's jobs out, under every schedule, as ghost Verilog in a copy of each.

Ghosts walk through the memory image as `docs/memory-image.md` has it, and count up what the modules count down.
"""

from fxsim.prove.schedule import Progress, Properties

_D_FIELDS = """
  // The fields of the descriptor that was taken last.
  wire gh_tm = layer_reg[8], gh_affine = layer_reg[9], gh_add = layer_reg[10], gh_res = layer_reg[11];
  wire gh_pool = layer_reg[12], gh_first = layer_reg[13], gh_last = layer_reg[14];
  wire [1:0] gh_next = layer_reg[17:16], gh_rule = layer_reg[19:18];
  wire [3:0] gh_log2 = layer_reg[23:20], gh_pooled = layer_reg[27:24];
  wire [15:0] gh_tokens = layer_reg[47:32], gh_ins = layer_reg[63:48], gh_outs = layer_reg[79:64];
  wire [31:0] gh_words = layer_reg[111:80];
"""


def _descriptor(number: int, flags: int, stage: int, tokens: int, ins: int, outs: int, words: int) -> int:
    """A descriptor; `flags`: bits 8 to 14, `stage`: bits 16 to 27."""
    fields = ((0xD5, 0), (flags, 8), (stage, 16), (tokens, 32), (ins, 48), (outs, 64), (words, 80), (number, 112))
    return sum(value << low for value, low in fields)


_LAYERS = (
    # An affine behind it: of each of two groups a chunk and its constants.
    _descriptor(0, 0x20, 0x001, 16, 1, 2, 2 * 21),
    # Over tokens, with an affine, a sum, another affine and tables of 4 points and two more: a chunk, then each group.
    _descriptor(1, 0x0F, 0x02B, 16, 2, 2, 18 + 2 * 12),
    # Over tokens, with nothing but a pool.
    _descriptor(2, 0x11, 0x400, 16, 2, 2, 18),
    _descriptor(3, 0x40, 0x000, 1, 2, 1, 34),
)
"""A pass of layers, each of which takes another way."""
_LAYER_WORDS = sum((layer >> 80 & 0xFFFFFFFF) + 1 for layer in _LAYERS)


def simd_loader(parameters: dict[str, int]) -> Properties:
    """The words of the parameters: to which place each goes, which descriptors are sound, what is wrong with others.

    The word that comes is any, or in runs by chance often the descriptor that is due.
    """
    size = {
        name: parameters[name]
        for name in (
            "ACTIVATION_WORDS", "IMAGE_WORDS", "RESIDUAL_WORDS", "WEIGHT_WORDS", "TABLE_WORDS", "CONSTANT_GROUPS",
            "CHUNKS", "LAYERS", "ACC_W",
        )
    }  # fmt: skip
    weights, chunks, groups, tables = (size[n] for n in ("WEIGHT_WORDS", "CHUNKS", "CONSTANT_GROUPS", "TABLE_WORDS"))
    due = " : ".join(f"gh_number == {i} ? 128'h{layer:032x}" for i, layer in enumerate(_LAYERS))
    ghost = f"""
  wire [127:0] gh_data = gh_good && gh_part == 0 && gh_number < {len(_LAYERS)} ? ({due} : 128'd0) : word_data;
{_D_FIELDS}
  wire [15:0] gh_token_groups = ({{16'd0, gh_tokens}} + 32'd15) >> 4;
  wire [15:0] gh_blocks = gh_tm ? gh_token_groups : gh_ins;         // of 16 products of a sum
  wire [15:0] gh_chunks = gh_tm ? gh_token_groups : gh_outs;
  wire [19:0] gh_weights = {{gh_blocks, 4'd0}};                      // words of a chunk behind bias and shift
  wire [3:0] gh_constants = (gh_affine ? 3 : 0) + (gh_res ? 3 : 0) + (gh_next == 1 ? 3 : 0);
  wire [8:0] gh_points = gh_next == 3 ? (9'd1 << gh_log2) + (gh_rule == 2 ? 9'd2 : 9'd0) : 9'd0;
  wire gh_bare = gh_constants == 0 && gh_points == 0;               // a group without words

  // Where the next word goes: 0 descriptor, 1 chunk, 2 constants, 3 table, 4 nowhere, a group without words.
  reg gh_dead;                      // an error was told, to which a reset is the answer
  reg [2:0] gh_part;
  reg [19:0] gh_k;                  // its number in the part
  reg [15:0] gh_c, gh_g;            // chunks and groups of the layer that are complete
  reg [2:0] gh_age;                 // cycles since a descriptor was taken; 4: it is shown; 0: none
  reg [127:0] gh_descriptor;              // that descriptor
  reg [15:0] gh_number;             // of the layer that comes next, or is looked at
  reg [15:0] gh_was_tokens, gh_was_groups;
  reg [32:0] gh_gone;               // words of the layers of this pass that are sound
  reg [31:0] gh_param, gh_image, gh_result;
  reg gh_kept;
  // Words, chunks and groups since the reset, and of these what is not freed.
  reg [15:0] gh_w, gh_cs, gh_cs_1, gh_gs, gh_gs_1, gh_t, gh_wu, gh_cu, gh_gu, gh_tu;
  wire gh_free_chunk = free_chunk && gh_cu != 0;  // nothing is freed that is not there
  wire gh_free_group = free_group && gh_gu != 0;
  wire [15:0] gh_free_weights = !gh_free_chunk ? 16'd0 : free_weight_words <= gh_wu ? free_weight_words : gh_wu;
  wire [15:0] gh_free_tables = !gh_free_group ? 16'd0 : free_table_words <= gh_tu ? free_table_words : gh_tu;

  wire gh_settled = gh_age == 0 || gh_age == 4;
  wire gh_chunk_room = gh_cu < {chunks}, gh_group_room = gh_gu < {groups};
  reg gh_ready;
  always @* begin
    case (gh_part)
      0: gh_ready = gh_age == 0;
      1: gh_ready = gh_k == 0 ? gh_chunk_room && (gh_tm || gh_group_room) : gh_k == 1 || gh_wu < {weights};
      2: gh_ready = gh_group_room;
      3: gh_ready = gh_group_room && gh_tu < {tables};
      default: gh_ready = 1'b0;
    endcase
  end
  wire gh_take = word_valid && word_ready && !rst && !gh_dead;
  wire gh_of_chunk = gh_take && gh_part == 1, gh_of_table = gh_take && gh_part == 3;
  wire gh_chunk_end = gh_of_chunk && gh_k >= 2 && gh_k - 20'd1 == gh_weights;
  wire gh_constants_end = gh_take && gh_part == 2 && gh_k + 20'd1 == {{16'd0, gh_constants}};
  wire gh_table_end = gh_of_table && gh_k + 20'd1 == {{11'd0, gh_points}};
  wire gh_group_end = (gh_constants_end && gh_points == 0) || gh_table_end || (gh_chunk_end && !gh_tm && gh_bare) ||
      (gh_part == 4 && gh_group_room && !rst && !gh_dead);
  wire gh_layer_end = gh_group_end && gh_g + 16'd1 == gh_outs;
  wire [2:0] gh_of_group = gh_constants != 0 ? 3'd2 : gh_points != 0 ? 3'd3 : 3'd4;
  // The k-th constant: of affine, res_affine, next, those that are there, each weight, bias, shift.
  wire [3:0] gh_second = gh_affine ? 4'd3 : 4'd0;
  wire [3:0] gh_third = gh_second + (gh_res ? 4'd3 : 4'd0);
  wire [3:0] gh_bit = gh_k[3:0] < gh_second ? gh_k[3:0] : gh_k[3:0] < gh_third ? 4'd3 + gh_k[3:0] - gh_second
      : 4'd6 + gh_k[3:0] - gh_third;
  wire [8:0] gh_all = {{{{3{{gh_next == 1}}}}, {{3{{gh_res}}}}, {{3{{gh_affine}}}}}};

  // What a descriptor must be: its products a cycle after it was taken, what is wrong with it two cycles after.
  reg [31:0] gh_in, gh_out, gh_products;
  reg [24:0] gh_group_total;
  wire [8:0] gh_group_words = gh_points + {{5'd0, gh_constants}};
  wire [39:0] gh_total = {{8'd0, gh_products}} * 16 + {{24'd0, gh_chunks}} * 2 + {{15'd0, gh_group_total}};
  wire gh_bad_now = layer_reg[7:0] != 8'hd5 || layer_reg[15] || layer_reg[31:28] != 0 ||
      gh_tokens == 0 || gh_ins == 0 || gh_outs == 0 ||
      (gh_next == 3 ? gh_log2 < 2 || gh_log2 > 8 || gh_rule == 3 : gh_log2 != 0 || gh_rule != 0) ||
      (gh_pool ? {{16'd0, gh_tokens}} != 32'd1 << gh_pooled || gh_next != 0 : gh_pooled != 0) ||
      (gh_last && (gh_tokens != 1 || gh_next != 0 || gh_pool || gh_add || gh_res || gh_affine ||
                   {{16'd0, gh_outs}} != gh_result)) ||
      layer_reg[127:112] != gh_number || gh_first != (gh_number == 0) ||
      (gh_number != 0 && (gh_tokens != gh_was_tokens || gh_ins != gh_was_groups)) ||
      (gh_tm && (gh_ins != gh_outs || gh_first || gh_last)) ||
      gh_total != {{8'd0, gh_words}} || (gh_first && gh_in != gh_image);
  wire gh_unfit_now = gh_weights > {weights} || gh_weights > 20'd{1 << size["ACC_W"] - 16} ||
      (gh_tm && (gh_chunks > {chunks} || {{8'd0, gh_products}} * 40'd16 > {weights})) || gh_points > {tables} ||
      (gh_kept && gh_number >= {size["LAYERS"]}) || (gh_first && gh_in > {size["IMAGE_WORDS"]}) ||
      gh_out > {size["ACTIVATION_WORDS"]} || ((gh_res || gh_add) && gh_out > {size["RESIDUAL_WORDS"]});
  wire [33:0] gh_ends = {{1'b0, gh_gone}} + {{2'd0, gh_words}} + 34'd1;  // words of the pass up to the layer's last
  reg gh_bad, gh_unfit, gh_cut;
  wire gh_cut_now = gh_last ? gh_ends != {{2'd0, gh_param}} : gh_ends >= {{2'd0, gh_param}};
  wire gh_sound = gh_age == 3 && !gh_bad && !gh_unfit && !gh_cut && !rst && !gh_dead;
  wire gh_fault = gh_age == 3 && (gh_bad || gh_unfit || gh_cut);
  // With keep nothing is freed: where there is no room, there will be none.
  wire gh_full = keep && gh_age == 0 && gh_part != 0 && !(gh_part == 4 ? gh_group_room : gh_ready);

  // What is shown a cycle later.
  reg gh_weight, gh_bias, gh_shift, gh_entry, gh_any;
  reg [8:0] gh_constant_write;
  reg [127:0] gh_shown;
  reg [15:0] gh_weight_at, gh_chunk_at, gh_group_at, gh_table_at;
  always @(posedge clk) begin
    gh_in <= {{16'd0, gh_tokens}} * {{16'd0, gh_ins}};
    gh_out <= {{16'd0, gh_tokens}} * {{16'd0, gh_outs}};
    gh_products <= {{16'd0, gh_chunks}} * {{16'd0, gh_blocks}};
    gh_group_total <= {{9'd0, gh_outs}} * {{16'd0, gh_group_words}};
    gh_bad <= gh_bad_now;
    gh_unfit <= gh_unfit_now;
    gh_cut <= gh_cut_now;
    gh_shown <= gh_data;
    gh_weight_at <= gh_w & 16'd{weights - 1};
    gh_chunk_at <= gh_cs & 16'd{chunks - 1};
    gh_group_at <= gh_gs & 16'd{groups - 1};
    gh_table_at <= gh_t & 16'd{tables - 1};
    gh_weight <= gh_of_chunk && gh_k >= 2;
    gh_bias <= gh_of_chunk && gh_k == 0;
    gh_shift <= gh_of_chunk && gh_k == 1;
    gh_entry <= gh_of_table;
    gh_constant_write <= (gh_take && gh_part == 2) ? 9'd1 << gh_bit : 9'd0;
    if (rst) begin
      gh_dead <= 1'b0;
      gh_part <= 0;
      gh_age <= 0;
      gh_number <= 0;
      gh_gone <= 0;
      gh_param <= param_words;
      gh_image <= image_words;
      gh_result <= result_words;
      gh_kept <= keep;
      gh_w <= 0;
      gh_cs <= 0;
      gh_cs_1 <= 0;
      gh_gs <= 0;
      gh_gs_1 <= 0;
      gh_t <= 0;
      gh_wu <= 0;
      gh_cu <= 0;
      gh_gu <= 0;
      gh_tu <= 0;
    end else begin
      if (error_valid) gh_dead <= 1'b1;
      if (gh_take && gh_part == 0) begin
        gh_descriptor <= gh_data;
        gh_part <= 1;
        gh_k <= 0;
        gh_c <= 0;
        gh_g <= 0;
        gh_age <= 1;
      end else begin
        if (gh_age == 4 ? layer_ready : 1'b0) gh_age <= 0;
        else if (gh_age != 0 && gh_age != 4) gh_age <= gh_age + 3'd1;
        if (gh_chunk_end) gh_c <= gh_c + 16'd1;
        if (gh_group_end) gh_g <= gh_g + 16'd1;
        if (gh_layer_end) gh_part <= 0;
        else if (gh_group_end) begin
          gh_part <= gh_tm ? gh_of_group : 3'd1;
          gh_k <= 0;
        end else if (gh_chunk_end) begin
          gh_part <= (gh_tm && gh_c + 16'd1 != gh_chunks) ? 3'd1 : gh_of_group;
          gh_k <= 0;
        end else if (gh_constants_end) begin
          gh_part <= 3;
          gh_k <= 0;
        end else if (gh_take) gh_k <= gh_k + 20'd1;
      end
      if (gh_sound) begin
        gh_number <= gh_last ? 16'd0 : gh_number + 16'd1;
        gh_gone <= gh_last ? 33'd0 : gh_ends[32:0];
        gh_was_tokens <= gh_pool ? 16'd1 : gh_tokens;
        gh_was_groups <= gh_outs;
      end
      gh_w <= gh_w + (gh_of_chunk && gh_k >= 2);
      gh_cs <= gh_cs + gh_chunk_end;
      gh_cs_1 <= gh_cs;
      gh_gs <= gh_gs + gh_group_end;
      gh_gs_1 <= gh_gs;
      gh_t <= gh_t + gh_of_table;
      gh_wu <= gh_wu + (gh_of_chunk && gh_k >= 2) - gh_free_weights;
      gh_cu <= gh_cu + gh_chunk_end - gh_free_chunk;
      gh_gu <= gh_gu + gh_group_end - gh_free_group;
      gh_tu <= gh_tu + gh_of_table - gh_free_tables;
    end
  end
"""
    alive = "gh_dead || "
    holds = {
        "weights": "weight_write == gh_weight && (!gh_weight || weight_write_address == gh_weight_at)",
        "chunks": "bias_write == gh_bias && shift_write == gh_shift && "
        "(!(gh_bias || gh_shift) || chunk_write_address == gh_chunk_at)",
        "constants": "constant_write == gh_constant_write && "
        "(gh_constant_write == 0 || constant_write_address == gh_group_at)",
        "tables": "table_write == gh_entry && (!gh_entry || table_write_address == gh_table_at)",
        "data": "!(gh_weight || gh_bias || gh_shift || gh_entry || gh_constant_write != 0) || "
        "parameter_data == gh_shown",
        "counted": "chunks_loaded == gh_cs_1 && groups_loaded == gh_gs_1",
        "room": f"gh_wu <= {weights} && gh_cu <= {chunks} && gh_gu <= {groups} && gh_tu <= {tables}",
        "takes": "word_ready == gh_ready",
        "layer": "layer_valid == (gh_age == 4) && (gh_age != 4 || layer_data == gh_descriptor)",
        "refused": "error_valid == (gh_fault || gh_full)",
        "code": "!error_valid || (error_code == (gh_full ? 4 : gh_bad ? 3 : gh_unfit ? 4 : 5) && "
        "error_layer == (gh_full ? layer_reg[127:112] : gh_number))",
        # Invariants.
        "part": "phase_reg == (gh_part == 0 ? 0 : gh_part == 1 ? (gh_k == 0 ? 1 : gh_k == 1 ? 2 : 3) : "
        "gh_part + 3'd2) && gh_part <= 4",
        "word": "(gh_part == 0 && gh_age == 0) || (layer_reg == gh_descriptor && blocks_reg == gh_blocks && "
        "chunks_reg == gh_chunks && table_words_reg == gh_points && group_words_reg == gh_group_words)",
        "left": "gh_part == 0 || gh_age == 1 || (chunks_left_reg == gh_chunks - gh_c && "
        "groups_left_reg == gh_outs - gh_g && (gh_part != 1 || gh_k < 2 || weights_left_reg == "
        "gh_weights - (gh_k - 20'd2)) && table_left_reg == gh_points - (gh_part == 3 ? gh_k[8:0] : 9'd0) && "
        "constants_left_reg == (gh_part == 2 ? gh_all & (9'h1ff << gh_bit) : gh_part == 3 ? 9'd0 : gh_all))",
        "young": "gh_settled || (gh_part == 1 && gh_c == 0 && gh_g == 0 && gh_k < {17'd0, gh_age})",
        "bounds": "!gh_settled || gh_part == 0 || (gh_weights != 0 && gh_chunks != 0 && gh_g < gh_outs && "
        "(gh_next != 3 || gh_points != 0) && "
        "(gh_part != 1 || (gh_c < gh_chunks && gh_k <= gh_weights + 20'd1)) && "
        "(gh_part != 2 || gh_k < {16'd0, gh_constants}) && (gh_part != 3 || gh_k < {11'd0, gh_points}) && "
        "(gh_part != 4 || (gh_bare && gh_tm)) && "
        "(gh_tm ? gh_c == gh_chunks || (gh_part == 1 && gh_g == 0) : gh_c == gh_g + (gh_part != 1)))",
        "begun": "gh_part != 1 || gh_k == 0 || (gh_chunk_room && (gh_tm || gh_group_room))",
        "grouped": "gh_tm || gh_part <= 1 || gh_group_room",
        "ages": "gh_age <= 4 && fresh_reg == (gh_age == 1) && products_reg == (gh_age == 2) && "
        "verdict_reg == (gh_age == 3) && waiting_reg == (gh_age == 4)",
        "expected": "number_reg == gh_number && (gh_number == 0 || (tokens_reg == gh_was_tokens && "
        "groups_reg == gh_was_groups)) && {1'b0, words_left_reg} == {1'b0, gh_param} - gh_gone && "
        "gh_gone <= {1'b0, gh_param}",
        "products": "gh_age != 2 || (in_words_reg == gh_in && out_words_reg == gh_out && "
        "weight_blocks_reg == gh_products && group_total_reg == gh_group_total)",
        "rings": f"weight_address_reg == (gh_w & 16'd{weights - 1}) && chunk_slot_reg == (gh_cs & 16'd{chunks - 1}) && "
        f"group_slot_reg == (gh_gs & 16'd{groups - 1}) && table_address_reg == (gh_t & 16'd{tables - 1})",
        "used": "weights_used_reg == gh_wu && chunks_used_reg == gh_cu && groups_used_reg == gh_gu && "
        "table_used_reg == gh_tu",
        "ends": "gh_cs == gh_cs_1 + {15'd0, chunk_end_reg} && gh_gs == gh_gs_1 + {15'd0, group_end_reg}",
        "fields": "gh_age != 2 || ((bad_field_reg || gh_total != {8'd0, gh_words} || (gh_first && gh_in != gh_image)) "
        "== gh_bad_now && (unfit_field_reg || (gh_first && gh_in > IMAGE_ROOM) || gh_out > ACTIVATION_ROOM || "
        "((gh_res || gh_add) && gh_out > RESIDUAL_ROOM) || "
        "(gh_tm && {8'd0, gh_products} * 40'd16 > {8'd0, WEIGHT_ROOM})) == gh_unfit_now)",
        "judged": "gh_age != 3 || (gh_cut == gh_cut_now && (gh_bad || (gh_tokens != 0 && gh_ins != 0 && "
        "gh_outs != 0 && (gh_next != 3 || (gh_log2 >= 2 && gh_log2 <= 8)))))",
        "verdict": "gh_age != 3 || (bad_reg == gh_bad && unfit_reg == gh_unfit && cut_reg == gh_cut)",
    }
    return Properties(
        "simd_loader",
        size,
        ghost,
        {key: f"{alive}({text})" for key, text in holds.items()},
        {
            "weights": "each word of weights goes to the next place of their ring, in the cycle after it was taken",
            "chunks": "bias and shift of each chunk go to the chunk's place",
            "constants": "each constant goes to its memory, of those that the descriptor names, at its group's place",
            "tables": "each point goes to the next place of the ring of tables",
            "data": "with each write its word is shown; a descriptor is written nowhere",
            "counted": "chunks and groups count as loaded in the cycle after their last word was shown",
            "room": "nothing is written over what is not freed",
            "takes": "a word is taken wherever there is room for it, and nowhere else",
            "layer": "each sound descriptor is shown once, four cycles after it was taken, until it is taken",
            "refused": "an error is told of each descriptor that is not sound, of what does not fit for ever, and of "
            "nothing else",
            "code": "the error has its code, the lowest, and the layer",
        },
        inputs={"gh_good": 1},
        assumed={
            "steady": "rst || (param_words == gh_param && image_words == gh_image && result_words == gh_result && "
            "keep == gh_kept)"
        },
        patches=(
            ("layer_reg <= word_data;", "layer_reg <= gh_data;"),
            (".word(word_data)", ".word(gh_data)"),
            ("data_reg <= word_data;", "data_reg <= gh_data;"),
            ("weights_freed = free_chunk ? free_weight_words : 16'd0", "weights_freed = gh_free_weights"),
            ("table_freed = free_group ? free_table_words : 16'd0", "table_freed = gh_free_tables"),
            ("- {15'd0, free_chunk}", "- {15'd0, gh_free_chunk}"),
            ("- {15'd0, free_group}", "- {15'd0, gh_free_group}"),
        ),
        needs=("simd_descriptor",),
        reached={
            "pass": "gh_sound && gh_last",
            "bare": "gh_part == 4 && gh_group_end && gh_layer_end",
            "table": "gh_table_end && gh_tm",
            "waits": "gh_age == 4 && !layer_ready",
            "bad": "gh_fault && gh_bad && !gh_dead",
        },
        progress={
            "goes_on": Progress(
                f"word_valid && layer_ready && gh_cu < {chunks} && gh_gu < {groups} && gh_wu < {weights} && "
                f"gh_tu < {tables} && !gh_dead",
                "gh_take || gh_group_end",
                5,
            )
        },
        steady={
            "param_words": (_LAYER_WORDS, _LAYER_WORDS),
            "image_words": (16, 16),
            "result_words": (1, 1),
            "keep": (0, 1),
        },
        chances={"gh_good": 0.95, "free_chunk": 0.05, "free_group": 0.05},
    )


def simd_control(parameters: dict[str, int]) -> Properties:
    """A run from start to end: what is refused, what ends it, what is told of it.

    Whether ranges are beyond the address space is `simd_range`'s word, which is proved alone.
    """
    width, quiet = parameters["ADDRESS_W"], parameters["QUIET"]
    ends = "".join(
        f"  wire [68:0] gh_{name}_end = {{5'd0, {name}_address}} + {{33'd0, {name}_words, 4'd0}};\n"
        for name in ("param", "image", "result")
    )
    ghost = f"""
  // Of the configuration a cycle ago: its ends in bytes, the first behind the last.
{ends}  reg gh_no_count, gh_no_address;
  wire [31:0] gh_done_images = gh_all ? image_count : images_done;  // any, and often all
  wire gh_begin = start && !gh_no_count && !gh_no_address;
  reg [1:0] gh_state;               // 0 idle, 1 a run, 2 a failed one that comes to its end
  reg gh_done, gh_error, gh_broken;
  reg [7:0] gh_code;
  reg [15:0] gh_layer;
  reg [63:0] gh_cycles;
  reg [31:0] gh_still;              // cycles without read data and without a waiting address, up to QUIET
  wire gh_range = gh_state == 1 && (images_beyond || results_beyond);
  wire gh_failed = read_error || read_broken || write_error || loader_error || gh_range || stop;
  wire gh_drained = writes_idle && address_idle && (reads_idle || (gh_broken && gh_still == {quiet}));
  wire gh_finished = gh_state == 1 && !gh_failed && gh_done_images == image_count;
  wire gh_ended = gh_finished || (gh_state == 2 && gh_drained);
  always @(posedge clk) begin
    gh_no_count <= param_words == 0 || image_count == 0 || image_words == 0 || result_words == 0;
    gh_no_address <= param_address[3:0] != 0 || image_address[3:0] != 0 || result_address[3:0] != 0 ||
        image_stride[3:0] != 0 || result_stride[3:0] != 0 ||
        {{4'd0, image_stride}} < {{image_words, 4'd0}} || {{4'd0, result_stride}} < {{result_words, 4'd0}} ||
        gh_param_end > (69'd1 << {width}) || gh_image_end > (69'd1 << {width}) || gh_result_end > (69'd1 << {width});
    if (rst) begin
      gh_state <= 0;
      gh_done <= 1'b0;
      gh_error <= 1'b0;
      gh_broken <= 1'b0;
      gh_code <= 0;
      gh_layer <= 0;
      gh_cycles <= 0;
      gh_still <= 0;
    end else begin
      if (gh_begin) gh_state <= 1;
      else if (gh_ended) gh_state <= 0;
      else if (gh_state == 1 && gh_failed) gh_state <= 2;
      if (start) begin
        gh_done <= !gh_begin;
        gh_error <= !gh_begin;
        gh_code <= gh_begin ? 0 : gh_no_count ? 2 : 1;
        gh_layer <= 0;
        gh_cycles <= 0;
      end else begin
        gh_done <= gh_ended || (gh_done && !clear_done);
        gh_error <= (gh_ended && gh_code != 0) || (gh_error && !clear_error);
        if (gh_state == 1 && gh_failed) begin
          // The first of them, in this order.
          gh_layer <= 0;
          if (read_error) gh_code <= 6;
          else if (read_broken) gh_code <= 8;
          else if (write_error) gh_code <= 7;
          else if (loader_error) begin
            gh_code <= loader_code;
            gh_layer <= loader_layer;
          end else if (gh_range) gh_code <= 1;
          else gh_code <= 9;
        end
        if (gh_state != 0) gh_cycles <= gh_cycles + 1;
      end
      gh_broken <= !gh_begin && (gh_broken || (read_broken && gh_state != 0));
      gh_still <= (gh_begin || read_beat || !address_idle) ? 0 : gh_still == {quiet} ? {quiet} : gh_still + 1;
    end
  end
"""
    return Properties(
        "simd_control",
        {"ADDRESS_W": width, "QUIET": quiet},
        ghost,
        {
            "begins": "begin_run == gh_begin",
            "runs": "running == (gh_state == 1) && core_rst == (rst || gh_state != 1)",
            "busy": "busy == (gh_state != 0) && cycles == gh_cycles",
            "done": "done == gh_done && error == gh_error",
            "code": "error_code == gh_code && error_layer == gh_layer",
            "checked": "checked == (images_checked && results_checked && !gh_range)",
            # Invariants.
            "configuration": "bad_count_reg == gh_no_count && "
            "(gh_no_count || (bad_address_reg || bad_end) == gh_no_address)",
            "broken": f"broken_reg == gh_broken && quiet_reg == gh_still && gh_still <= {quiet}",
            "state": "gh_state != 3",
        },
        {
            "begins": "a run begins with a start, where counts, addresses, strides and ends are sound, and never else",
            "runs": "it goes on until the results of all images are acknowledged or anything fails, and the core is in "
            "reset unless it does",
            "busy": "it is told to be in progress until its reads and writes have come to their end, and its "
            "cycles are counted",
            "done": "DONE and ERROR come with the end, or a start that is refused, and stay until they are cleared",
            "code": "the code is the first error's, of those of one cycle the first in order, the layer the loader's",
            "checked": "ends count as checked where both ranges do, and none is beyond",
        },
        inputs={"gh_all": 1},
        patches=(("images_done == image_count", "gh_done_images == image_count"),),
        needs=("simd_range",),
        reached={
            "finished": "gh_finished",
            "drained": "gh_state == 2 && gh_drained && gh_code == 9",
            "refused": "start && gh_no_count",
            "later": "gh_state == 2 && !gh_drained",
            "loader": "gh_state == 2 && gh_layer != 0",
            **({"broken": "gh_state == 2 && gh_drained && !reads_idle"} if quiet < 8 else {}),
        },
        progress={
            "comes_to_its_end": Progress("gh_state == 2 && reads_idle && writes_idle && address_idle", "gh_ended", 1)
        },
        steady={
            "param_address": (0, 0), "image_address": (0, 0), "result_address": (0, 0), "image_stride": (64, 64),
            "result_stride": (64, 64), "image_words": (1, 4), "result_words": (1, 4), "image_count": (1, 9),
        },
        chances={
            "param_words": 0.9, "start": 0.1, "stop": 0.02, "read_error": 0.02, "read_broken": 0.05,
            "write_error": 0.02, "loader_error": 0.05, "gh_all": 0.05, "read_beat": 0.1, "reads_idle": 0.05,
            "address_idle": 0.9,
        },
    )  # fmt: skip


def simd_sequencer(parameters: dict[str, int]) -> Properties:
    """The order of a job: which tile is fed when, of which words and weights, and what its tag says.

    One descriptor of the queue is followed, any. Addresses are those of steps from token to token, not of products.
    """
    names = ("WEIGHT_WORDS", "TABLE_WORDS", "CONSTANT_GROUPS", "CHUNKS", "LAYERS")
    size = {name: parameters[name] for name in names}
    weights, tables, groups, chunks, layers = size.values()
    bits = (layers - 1).bit_length()
    tag = {
        "token_mixing": "gh_tm", "affine": "gh_affine", "add": "gh_add", "res": "gh_res", "pool": "gh_pool",
        "last_layer": "gh_last", "next": "gh_next", "rule": "gh_rule", "points_log2": "gh_log2",
        "table_base": f"gh_table & 16'd{tables - 1}", "pool_shift": "gh_pooled", "tokens": "gh_tokens",
        "token_base": "{gh_i, 4'd0}", "first_tokens": "gh_i == 0", "last_tokens": "gh_last_tokens", "group": "gh_g",
        "groups": "gh_outs", "address": "gh_out_row + gh_g", "chunk": f"gh_chunk & 16'd{chunks - 1}",
        "constants": f"gh_constant_group & 16'd{groups - 1}", "bank": "!gh_bank", "free_chunk": "gh_frees_chunk",
        "free_weight_words": "gh_frees_chunk ? gh_chunk_words : 16'd0", "free_group": "!keep && gh_last_tokens",
        "free_table_words": "!keep && gh_last_tokens ? gh_table_words : 16'd0",
    }  # fmt: skip
    wide = {
        "next": 2, "rule": 2, "points_log2": 4, "table_base": 16, "pool_shift": 4, "tokens": 16, "token_base": 16,
        "group": 16, "groups": 16, "address": 16, "chunk": 16, "constants": 16, "free_weight_words": 16,
        "free_table_words": 16,
    }  # fmt: skip
    declared = "".join(f"  reg [{wide.get(name, 1) - 1}:0] gh_tag_{name};\n" for name in tag)
    given = "".join(f"      gh_tag_{name} <= {text};\n" for name, text in tag.items())
    ghost = f"""
  // What is put into the queue: any descriptor that has tokens and groups, as all have that the loader lets pass.
  wire [15:0] gh_t = gh_small ? {{11'd0, layer_data[36:32]}} : layer_data[47:32];
  wire [15:0] gh_k = gh_small ? {{14'd0, layer_data[49:48]}} : layer_data[63:48];
  wire [15:0] gh_n = gh_small ? {{14'd0, layer_data[65:64]}} : layer_data[79:64];
  function [127:0] gh_sound;
    input [127:0] word;
    gh_sound = {{word[127:80], word[79:64] == 0 ? 16'd1 : word[79:64], word[63:48] == 0 ? 16'd1 : word[63:48],
                word[47:32] == 0 ? 16'd1 : word[47:32], word[31:0]}};
  endfunction
  wire [127:0] gh_data = gh_sound({{layer_data[127:80], gh_n, gh_k, gh_t, layer_data[31:0]}});
{_D_FIELDS}
  wire [11:0] gh_last_i = (gh_tokens - 16'd1) >> 4;
  wire [15:0] gh_token_groups = {{4'd0, gh_last_i}} + 16'd1;
  wire [15:0] gh_blocks = gh_tm ? gh_token_groups : gh_ins;
  wire [15:0] gh_chunk_words = {{gh_blocks[11:0], 4'd0}};
  wire [15:0] gh_table_words = gh_next == 3 ? (16'd1 << gh_log2) + (gh_rule == 2 ? 16'd2 : 16'd0) : 16'd0;

  // The queue: descriptors taken since the reset, and of these fetched; with keep of each image anew.
  reg gh_kept;
  reg [31:0] gh_count;
  reg [15:0] gh_taken, gh_fetched;
  reg gh_follows, gh_due;
  reg [15:0] gh_followed;           // the number of the one that is followed
  reg [127:0] gh_value, gh_due_value;
  wire [15:0] gh_passed = gh_kept ? 16'd0 : gh_fetched;
  wire gh_takes = layer_valid && layer_ready && !rst;
  wire gh_fetch = fetch && !rst;
  wire gh_start = start && !rst;

  // The tile that is next: group g, tokens 16 i on, of a layer; and where it is in the rings, counted from their start.
  reg [11:0] gh_i;
  reg [15:0] gh_g, gh_layer_chunk, gh_layer_constants, gh_layer_weight, gh_weight, gh_table;
  reg [15:0] gh_in_row, gh_out_row; // words before token 16 i, of input and result
  reg [15:0] gh_tiles, gh_before, gh_previous;  // tiles given out, those before this layer, before the one before
  reg [15:0] gh_column;             // over tokens: tiles up to the end of input group g
  reg [15:0] gh_all_words;
  reg gh_behind_pool, gh_previous_pool, gh_bank;
  reg gh_any, gh_known;             // a layer has ended since the reset; one had as this one began
  reg [31:0] gh_images;
  wire [15:0] gh_chunk = gh_layer_chunk + (gh_tm ? {{4'd0, gh_i}} : gh_g);
  wire [15:0] gh_constant_group = gh_layer_constants + gh_g;
  wire gh_last_tokens = gh_i == gh_last_i;
  wire gh_last_group = gh_g + 16'd1 == gh_outs;
  wire gh_layer_end = gh_last_tokens && gh_last_group;
  wire gh_rewinds = gh_layer_end && gh_last && keep;
  wire gh_frees_chunk = !keep && (gh_tm ? gh_last_group : gh_last_tokens);

  // What must be there before it may be fed.
  wire [15:0] gh_chunks_more = chunks_loaded - gh_chunk - 16'd1;
  wire [15:0] gh_groups_more = groups_loaded - gh_constant_group - 16'd1;
  wire [15:0] gh_words_needed = gh_tm || gh_last_tokens ? gh_all_words : gh_in_row + {{gh_ins[11:0], 4'd0}};
  wire [15:0] gh_tiles_needed = gh_behind_pool ? gh_before : gh_tm ? gh_column :
      gh_before - gh_token_groups + {{4'd0, gh_i}} + 16'd1;
  wire [15:0] gh_tiles_more = tiles_written - gh_tiles_needed;
  wire gh_loaded = !gh_chunks_more[15] && !gh_groups_more[15];
  wire gh_image_there = !gh_first || image_words_loaded >= gh_words_needed;
  wire gh_results_there = gh_first || (gh_known && !gh_tiles_more[15]);
  wire gh_room = !gh_last || result_ready;
  reg gh_loaded_1, gh_image_1, gh_room_1;

  // The tile that is fed: slot s, step p.
{declared}  reg gh_feeds, gh_of_image, gh_of_bank, gh_ends_layer;
  reg [15:0] gh_s, gh_row, gh_from_row, gh_from_weight, gh_stride, gh_slots;
  reg [3:0] gh_p;
  wire [15:0] gh_token = gh_tag_token_mixing ? {{gh_s[11:0], gh_p}} : gh_tag_token_base + {{12'd0, gh_p}};
  wire gh_step_last = gh_feeds && gh_p == 15 && gh_s + 16'd1 == gh_slots;

  always @(posedge clk) begin
    gh_loaded_1 <= gh_loaded;
    gh_image_1 <= gh_image_there;
    gh_room_1 <= gh_room;
    if (state_reg == DERIVE) gh_all_words <= gh_tokens * gh_ins;
    gh_due_value <= gh_value;
    gh_due <= gh_fetch && gh_follows && gh_fetched == gh_followed;
    if (rst) begin
      gh_kept <= keep;
      gh_count <= image_count;
      gh_taken <= 0;
      gh_fetched <= 0;
      gh_follows <= 1'b0;
      gh_layer_chunk <= 0;
      gh_layer_constants <= 0;
      gh_layer_weight <= 0;
      gh_weight <= 0;
      gh_table <= 0;
      gh_tiles <= 0;
      gh_bank <= 1'b0;
      gh_images <= 0;
      gh_any <= 1'b0;
      gh_feeds <= 1'b0;
    end else begin
      gh_taken <= gh_taken + gh_takes;
      gh_fetched <= (gh_start && gh_rewinds) ? 16'd0 : gh_fetched + gh_fetch;
      if (gh_takes && gh_mark && !gh_follows) begin
        gh_follows <= 1'b1;
        gh_followed <= gh_taken;
        gh_value <= gh_data;
      end else if (gh_fetch && gh_follows && gh_fetched == gh_followed && !keep) gh_follows <= 1'b0;
      if (gh_fetch) begin
        gh_i <= 0;
        gh_g <= 0;
        gh_in_row <= 0;
        gh_out_row <= 0;
        gh_before <= gh_tiles;
        gh_behind_pool <= gh_previous_pool;
        gh_known <= gh_any;
        gh_layer_weight <= gh_weight;
      end
      if (state_reg == DERIVE) gh_column <= gh_previous + gh_token_groups;
      if (gh_start) begin
        gh_tiles <= gh_tiles + 16'd1;
        gh_i <= gh_last_tokens ? 12'd0 : gh_i + 12'd1;
        gh_in_row <= gh_last_tokens ? 16'd0 : gh_in_row + {{gh_ins[11:0], 4'd0}};
        gh_out_row <= gh_last_tokens ? 16'd0 : gh_out_row + {{gh_outs[11:0], 4'd0}};
        if (gh_last_tokens) begin
          gh_g <= gh_g + 16'd1;
          gh_column <= gh_column + gh_token_groups;
        end
        // Over tokens the layer's chunks are used for each group again.
        if (gh_rewinds) gh_weight <= 0;
        else if (gh_tm && gh_last_tokens && !gh_last_group) gh_weight <= gh_layer_weight;
        else if (gh_tm || gh_last_tokens) gh_weight <= gh_weight + gh_chunk_words;
        if (gh_rewinds) gh_table <= 0;
        else if (gh_last_tokens) gh_table <= gh_table + gh_table_words;
        if (gh_layer_end) begin
          gh_layer_chunk <= gh_rewinds ? 16'd0 : gh_layer_chunk + (gh_tm ? gh_token_groups : gh_outs);
          gh_layer_constants <= gh_rewinds ? 16'd0 : gh_layer_constants + gh_outs;
          gh_previous <= gh_before;
          gh_previous_pool <= gh_pool;
          gh_bank <= !gh_bank;
          gh_any <= 1'b1;
          if (gh_last) gh_images <= gh_images + 1;
        end
      end
      gh_feeds <= gh_start || (gh_feeds && !gh_step_last);
    end
    if (gh_start) begin
{given}      gh_of_image <= gh_first;
      gh_of_bank <= gh_bank;
      gh_ends_layer <= gh_layer_end;
      gh_s <= 0;
      gh_p <= 0;
      gh_row <= gh_tm ? 16'd0 : gh_in_row;
      gh_from_row <= gh_in_row;
      gh_from_weight <= gh_weight;
      gh_stride <= gh_ins;
      gh_slots <= gh_blocks;
    end else if (gh_feeds) begin
      gh_p <= gh_p + 4'd1;
      gh_row <= (gh_p == 15 && !gh_tag_token_mixing) ? gh_from_row : gh_row + gh_stride;
      if (gh_p == 15) gh_s <= gh_s + 16'd1;
    end
  end
"""
    fed = "!gh_feeds || "
    busy, ready, offered = "state_reg == FETCH || ", "state_reg <= DERIVE || ", "state_reg <= PREPARE || "
    return Properties(
        "simd_sequencer",
        size,
        ghost,
        {
            "feeds": "feed_valid == gh_feeds && step_last == gh_step_last && tile_valid == gh_step_last && "
            f"({fed}step_first == (gh_s == 0 && gh_p == 0))",
            "words": f"{fed}(feed_address == gh_row + (gh_tag_token_mixing ? gh_tag_group : gh_s) && "
            "feed_zero == (gh_token >= gh_tag_tokens) && feed_image == gh_of_image && feed_bank == gh_of_bank && "
            "feed_transpose == !gh_tag_token_mixing && step_swap == gh_tag_token_mixing)",
            "weights": f"{fed}step_weight_address == ((gh_from_weight + {{gh_s[11:0], gh_p}}) & 16'd{weights - 1})",
            "tag": f"{fed}({' && '.join(f'tile_{name} == gh_tag_{name}' for name in tag)})",
            "release": "image_release == (gh_step_last && gh_of_image && gh_ends_layer)",
            "waits": "!gh_start || (gh_loaded_1 && gh_image_1 && (gh_results_there || !gh_known) && gh_room_1 && "
            "(!gh_feeds || gh_step_last) && gh_images != gh_count)",
            "fetched": "!gh_due || layer_reg == gh_due_value",
            "accepts": f"!layer_ready || gh_taken - gh_passed < 16'd{layers}",
            # Invariants.
            "state": "state_reg <= OFFER && (state_reg == FETCH || gh_images != gh_count) && "
            "images_started_reg == gh_images",
            "queue": f"(!gh_kept || gh_fetched <= gh_taken) && gh_taken - gh_passed <= 16'd{layers} && "
            f"write_pointer_reg == gh_taken[{bits}:0] && read_pointer_reg == gh_fetched[{bits}:0]",
            "followed": "!gh_follows || (gh_followed - gh_passed < gh_taken - gh_passed && "
            f"queue[gh_followed[{bits - 1}:0]] == gh_value && gh_sound(gh_value) == gh_value)",
            "fields": f"{busy}(gh_tokens != 0 && gh_ins != 0 && gh_outs != 0)",
            "derived": f"{ready}(token_groups_reg == gh_token_groups && last_token_base_reg == {{gh_last_i, 4'd0}} && "
            "last_group_reg == gh_outs - 16'd1 && last_block_reg == gh_blocks - 16'd1 && "
            "chunk_words_reg == gh_chunk_words && in_stride_reg == {gh_ins[11:0], 4'd0} && "
            "out_stride_reg == {gh_outs[11:0], 4'd0} && image_words_reg == gh_all_words && "
            "table_words_reg == gh_table_words && layer_chunk_reg == gh_layer_chunk && "
            f"layer_weight_reg == (gh_layer_weight & 16'd{weights - 1}) && tiles_before_reg == gh_before && "
            "(!gh_known || (behind_pool_reg == gh_behind_pool && column_target_reg == gh_column)))",
            "tile": f"{ready}(group_reg == gh_g && token_base_reg == {{gh_i, 4'd0}} && in_base_reg == gh_in_row && "
            "out_base_reg == gh_out_row && gh_i <= gh_last_i && gh_g < gh_outs)",
            "counted": "tile_count_reg == gh_tiles && bank_reg == gh_bank && "
            f"weight_base_reg == (gh_weight & 16'd{weights - 1}) && table_base_reg == (gh_table & 16'd{tables - 1})",
            "places": "chunk_reg == (state_reg == FETCH ? gh_layer_chunk : gh_chunk) && "
            "constants_reg == (state_reg == FETCH ? gh_layer_constants : gh_constant_group)",
            "derive": "state_reg != DERIVE || (gh_i == 0 && gh_g == 0 && gh_in_row == 0 && gh_out_row == 0 && "
            "gh_before == gh_tiles && gh_layer_weight == gh_weight && "
            "(!gh_known || (gh_any && gh_behind_pool == previous_pool_reg)))",
            "before": "!gh_any || (previous_tiles_reg == gh_previous && previous_pool_reg == gh_previous_pool)",
            "prepared": f"{offered}(last_tokens_reg == gh_last_tokens && last_group_now_reg == gh_last_group && "
            "chunks_needed_reg == gh_chunk + 16'd1 && groups_needed_reg == gh_constant_group + 16'd1 && "
            "image_needed_reg == gh_words_needed && (!gh_known || tiles_needed_reg == gh_tiles_needed) && "
            "out_address_reg == gh_out_row + gh_g)",
            "checked": "state_reg != OFFER || (parameters_ok_reg == gh_loaded_1 && image_ok_reg == gh_image_1 && "
            "room_ok_reg == gh_room_1)",
            "fed": f"{fed}(step_reg == gh_p && blocks_left_reg == gh_slots - gh_s - 16'd1 && gh_s < gh_slots && "
            "in_stride_now_reg == gh_stride && token_reg == gh_token && gh_tag_tokens != 0 && "
            "tile_layer_end_reg == gh_ends_layer && "
            "(gh_tag_token_mixing || slot_base_reg == gh_from_row + gh_s))",
            "row": f"{fed}gh_p != 0 || gh_tag_token_mixing || gh_row == gh_from_row",
        },
        {
            "feeds": "a tile is fed in 16 steps a slot without a gap, and its first and last step are told",
            "words": "each step reads its token's word: over channels slot by slot, over tokens group by group, and "
            "zero behind the last token",
            "weights": "it meets the next word of its chunk",
            "tag": "the tag says the tile's layer, group, tokens, places in rings and what it is the last to use",
            "release": "the image is released with the last step that reads it",
            "waits": "a tile is not fed before parameters, image, results and room are there, the tile before is fed, "
            "and images are left",
            "fetched": "descriptors are carried out in their order, with keep again for each image",
            "accepts": "none is taken for which there is no room",
        },
        inputs={"gh_mark": 1, "gh_small": 1},
        assumed={"steady": "rst || (keep == gh_kept && image_count == gh_count)"},
        patches=(
            (
                "queue[write_pointer_reg[POINTER_W-2:0]] <= layer_data;",
                "queue[write_pointer_reg[POINTER_W-2:0]] <= gh_data;",
            ),
            (
                "layer_reg <= queue[read_pointer_reg[POINTER_W-2:0]];",
                "layer_reg <= gh_sound(queue[read_pointer_reg[POINTER_W-2:0]]);",
            ),
        ),
        needs=("simd_descriptor",),
        reached={
            "tokens": "gh_step_last && gh_tag_token_mixing && gh_s != 0",
            "channels": "gh_step_last && !gh_tag_token_mixing && gh_s != 0",
            "follows": "gh_due",
            "image": "gh_start && gh_layer_end && gh_last",
            "gapless": "gh_start && gh_feeds",
        },
        progress={
            "begins": Progress(
                "gh_images != gh_count && (state_reg != FETCH || gh_taken != gh_fetched) && "
                "(!gh_feeds || gh_step_last) && "
                "(state_reg <= DERIVE || (gh_loaded && gh_image_there && gh_results_there && gh_room))",
                "gh_start",
                6,
            )
        },
        steady={"keep": (0, 1), "image_count": (2, 9), "gh_small": (1, 1)},
    )


JOB = {make.__name__: make for make in (simd_loader, simd_control, simd_sequencer)}
"""The properties of each module, by its parameters."""
