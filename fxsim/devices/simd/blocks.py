"""The SIMD accelerator's blocks to prove: of the sizes that it is built with, for all models."""

from collections.abc import Mapping

from fxsim.contract import AFFINE_ACC_BITS
from fxsim.devices.blocks import CLAMP, MAC_CELL, Peek, ProvableBlock, blocks_of
from fxsim.devices.settings import Settings
from fxsim.devices.simd.memory_image import Buffers
from fxsim.graph import Model

_POOL_BITS = 23
"""Bits of the sums of `pool_lane.v`."""
_WORD_BITS = 128
_LINES = ((3, 16), (4, 16), (17, 20))
"""Cycles and bits of the delay lines of `simd_epilogue.v` and `simd_core.v`."""
_SIZE = 16
"""Rows and columns of `mac_tile.v`."""

POOL_LANE = f"""\
module prove_pool_lane (
    input  wire               clk,
    input  wire               enable,
    input  wire               first,
    input  wire               finish,
    input  wire signed [7:0]  x,
    input  wire [3:0]         shift,
    input  wire signed [22:0] sum_now,
    output wire               wrong
);
{CLAMP}
  wire [7:0] y;
  pool_lane block (.clk(clk), .enable(enable), .first(first), .finish(finish), .x(x), .shift(shift), .y(y));
  // One cycle, of any sum: so what stands after some values is their sum, modulo 2^23, and y its average.
  wire signed [63:0] so_far = first ? 64'sd0 : sum_now;
  reg signed [63:0] sum_next;
  reg [7:0] y_next;
  always @(posedge clk) begin
    sum_next <= enable ? so_far + x : sum_now;
    y_next <= finish ? rule(sum_now, {{4'd0, shift}}, 8'sd0) : y;
  end
  assign wrong = sum_now != sum_next[22:0] || y != y_next;
endmodule
"""

_TABLE_RULE = """\
// What a lane's look-up is, and its store, by the words that stand there. `clamp` and `hold`: of the last segment.
module table_rule #(
    parameter WORDS = 4096,
    parameter HALF_W = 11                  // bits of a place in either memory
) (
    input  wire              clk,
    input  wire              write_enable,
    input  wire [15:0]       write_address,
    input  wire [7:0]        write_data,
    input  wire              read_enable,
    input  wire signed [7:0] x,
    input  wire [15:0]       base,
    input  wire [3:0]        points_log2,
    input  wire              clamp,
    input  wire              hold,
    input  wire [7:0]        y,
    input  wire [15:0]       place,        // any word of the store
    input  wire [7:0]        even_word,
    input  wire [7:0]        odd_word,
    input  wire [7:0]        even_there,
    input  wire [7:0]        odd_there,
    output wire [HALF_W-1:0] even_place,
    output wire [HALF_W-1:0] odd_place,
    output wire [8:0]        wrong         // with 2^2 to 2^8 points, as y stays, of the store
);
  // The segment and how far the value is in it, in parts of its length.
  wire [31:0] points = 32'd1 << points_log2;
  wire [31:0] bits = 32'd8 - {28'd0, points_log2};
  wire signed [31:0] code = x + 32'sd128;
  wire [31:0] segment = code >> bits;
  wire [31:0] part = code - (segment << bits);
  wire [31:0] start = (clamp && segment == points - 32'd1) ? points - 32'd2 : segment;
  wire level = hold && segment == points - 32'd1;
  wire [31:0] start_word = (base + start) & (WORDS - 1);
  wire [31:0] stop_word = (base + start + 32'd1) & (WORDS - 1);

  // Words before the edge: of two that follow each other one is even and one is odd.
  assign even_place = start_word[0] ? stop_word[HALF_W:1] : start_word[HALF_W:1];
  assign odd_place = start_word[0] ? start_word[HALF_W:1] : stop_word[HALF_W:1];
  wire signed [31:0] t0 = $signed(start_word[0] ? odd_word : even_word);
  // (t1 - t0) part, by the difference of the odd word and the even one; none where t1 is t0.
  wire signed [31:0] odd_value = $signed(odd_word), even_value = $signed(even_word);
  wire signed [31:0] way = level ? 32'sd0 : start_word[0] ? -$signed(part) : $signed(part);
  wire signed [31:0] doubled = 2 * (odd_value - even_value) * way + $signed(32'd1 << bits);
  wire signed [31:0] expected = t0 + (doubled >>> (bits + 32'd1));
  wire legal = !base[0] && base < WORDS && points_log2 >= 4'd2 && points_log2 <= 4'd8 && !(clamp && hold);
  reg known_1, known_2, unread_1, unread_2;
  reg [3:0] points_1, points_2;
  reg signed [31:0] expected_1, expected_2;
  reg [7:0] y_1;

  // Any word: what was written there last, or what it was.
  wire [7:0] there = place[0] ? odd_there : even_there;
  reg [7:0] there_next;
  reg [15:0] place_then;
  reg legal_then;
  always @(posedge clk) begin
    known_1 <= read_enable && legal;
    known_2 <= known_1;
    points_1 <= points_log2;
    points_2 <= points_1;
    expected_1 <= expected;
    expected_2 <= expected_1;
    unread_1 <= !read_enable;
    unread_2 <= unread_1;
    y_1 <= y;
    there_next <= (write_enable && write_address == place) ? write_data : there;
    place_then <= place;
    legal_then <= place < WORDS && write_address < WORDS;
  end
  // One bit a number of points, so that shifts are by constants.
  genvar p;
  generate
    for (p = 2; p <= 8; p = p + 1) begin : size
      assign wrong[p-2] = known_2 && points_2 == p && $signed(y) != expected_2;
    end
  endgenerate
  assign wrong[7] = unread_2 && y != y_1;
  assign wrong[8] = legal_then && place == place_then && there != there_next;
endmodule
"""
_TABLE_WRONG = (*(f"wrong_{points}" for points in range(2, 9)), "wrong_stays", "wrong_store")
"""The names of what `table_rule` finds wrong, by the bit of its output."""


def _lookup(top: str, lanes: int, block: str) -> str:
    """A module of so many lanes beside the rule of each; the ports that are a lane's own are named by it."""
    lane = ["" if lanes == 1 else f"_{number}" for number in range(lanes)]
    peeks = "".join(
        f"    input  wire [7:0]        even_word{n}, odd_word{n}, even_there{n}, odd_there{n},\n"
        f"    output wire [HALF_W-1:0] even_place{n}, odd_place{n},\n"
        for n in lane
    )
    wrong = "".join(f"    output wire              {name}{n},\n" for n in lane for name in _TABLE_WRONG)
    rules = "".join(
        f"  table_rule #(.WORDS(WORDS), .HALF_W(HALF_W)) rule{n} (\n"
        f"      .clk(clk), .write_enable(write_enable), .write_address(write_address), "
        f".write_data(write_data[{8 * i}+:8]),\n"
        f"      .read_enable(read_enable), .x(x[{8 * i}+:8]), .base(base), .points_log2(points_log2), .clamp(clamp),\n"
        f"      .hold(hold), .y(y[{8 * i}+:8]), .place(place), .even_word(even_word{n}), .odd_word(odd_word{n}),\n"
        f"      .even_there(even_there{n}), .odd_there(odd_there{n}), .even_place(even_place{n}),\n"
        f"      .odd_place(odd_place{n}), .wrong({{{', '.join(f'{name}{n}' for name in reversed(_TABLE_WRONG))}}})\n"
        f"  );\n"
        for i, n in enumerate(lane)
    )
    return f"""\
{_TABLE_RULE}
module {top} #(
    parameter WORDS = 4096,
    parameter HALF_W = 11
) (
    input  wire              clk,
    input  wire              write_enable,
    input  wire [15:0]       write_address,
    input  wire [{8 * lanes - 1}:0]       write_data,
    input  wire              read_enable,
    input  wire [{8 * lanes - 1}:0]       x,
    input  wire [15:0]       base,
    input  wire [3:0]        points_log2,
    input  wire [1:0]        edge_rule,
    input  wire [15:0]       place,
{peeks}{wrong}    output wire [HALF_W-1:0] place_half
);
  wire [{8 * lanes - 1}:0] y;
  wire clamp = edge_rule == 2'd0, hold = edge_rule == 2'd1;
  assign place_half = place[HALF_W:1];
{block}{rules}endmodule
"""


_LANES = 16
_OF_TABLES = {f"_{lane}": f"lane[{lane}].table_lane_l." for lane in range(_LANES)}
"""The lanes of `simd_tables.v`: what their ports' names end in, and their instances."""
TABLE_LANE = _lookup(
    "prove_table_lane",
    1,
    """\
  wire [31:0] points = 32'd1 << points_log2;
  table_lane #(.WORDS(WORDS)) block (
      .clk(clk), .write_enable(write_enable), .write_address(write_address), .write_data(write_data),
      .read_enable(read_enable), .x(x), .base(base), .points_log2(points_log2), .last_point(points[7:0] - 8'd1),
      .clamp(clamp), .hold(hold), .y(y)
  );
""",
)
SIMD_TABLES = _lookup(
    "prove_simd_tables",
    _LANES,
    """\
  simd_tables #(.TABLE_WORDS(WORDS)) block (
      .clk(clk), .write_enable(write_enable), .write_address(write_address), .write_data(write_data),
      .read_enable(read_enable), .x(x), .base(base), .points_log2(points_log2), .rule(edge_rule), .y(y)
  );
""",
)

RAM = """\
module prove_ram #(
    parameter WORDS = 16,
    parameter WIDTH = 128,
    parameter ADDRESS_W = 4
) (
    input  wire                 clk,
    input  wire                 write_enable,
    input  wire [ADDRESS_W-1:0] write_address,
    input  wire [WIDTH-1:0]     write_data,
    input  wire                 read_enable,
    input  wire [ADDRESS_W-1:0] read_address,
    input  wire [ADDRESS_W-1:0] place,          // any word
    input  wire [WIDTH-1:0]     word,
    output wire                 wrong_word,
    output wire                 wrong_read
);
  wire [WIDTH-1:0] read_data;
  ram #(.WORDS(WORDS), .WIDTH(WIDTH)) block (
      .clk(clk), .write_enable(write_enable), .write_address(write_address), .write_data(write_data),
      .read_enable(read_enable), .read_address(read_address), .read_data(read_data)
  );
  reg [WIDTH-1:0] word_next, read_next;
  reg [ADDRESS_W-1:0] place_then;
  reg known;
  always @(posedge clk) begin
    place_then <= place;
    word_next <= (write_enable && write_address == place) ? write_data : word;
    known <= !read_enable || read_address == place;
    read_next <= read_enable ? word : read_data;
  end
  assign wrong_word = place == place_then && word != word_next;
  assign wrong_read = known && read_data != read_next;
endmodule
"""

DELAY_LINE = """\
module prove_delay_line #(
    parameter DEPTH = 16,
    parameter WIDTH = 1
) (
    input  wire             clk,
    input  wire             rst,
    input  wire [WIDTH-1:0] d,
    input  wire             mark,   // the value that is followed comes in
    output wire             wrong
);
  wire [WIDTH-1:0] q;
  delay_line #(.DEPTH(DEPTH), .WIDTH(WIDTH)) block (.clk(clk), .rst(rst), .d(d), .q(q));
  reg [WIDTH-1:0] value;
  reg [31:0] age;
  always @(posedge clk) begin
    if (mark) begin
      age <= 32'd1;
      value <= rst ? {WIDTH{1'b0}} : d;
    end else begin
      // 0: none. So that the age which is asked for is not there but by a mark.
      age <= (age == 32'd0) ? 32'd0 : age + 32'd1;
      if (rst) value <= {WIDTH{1'b0}};
    end
  end
  assign wrong = age == DEPTH && q != value;
endmodule
"""

SIMD_RANGE = """\
module prove_simd_range #(
    parameter ADDRESS_W = 64
) (
    input  wire        clk,
    input  wire        start,
    input  wire [60:0] last,
    input  wire [27:0] stride,
    input  wire [31:0] steps,
    input  wire [61:0] end_now,
    input  wire [59:0] addend_now,
    input  wire [31:0] steps_now,
    output wire        wrong
);
  wire checked, beyond;
  simd_range #(.ADDRESS_W(ADDRESS_W)) block (
      .clk(clk), .start(start), .last(last), .stride(stride), .steps(steps), .checked(checked), .beyond(beyond)
  );
  // In numbers so wide that nothing wraps: end + addend * steps stays what it was at the start, last + stride * steps,
  // because end + a * (2 s + b) = (end + a * b) + 2 a * s, step by step. `cycles`: since the start, 32 at most.
  wire [95:0] end_wide = {34'd0, end_now};
  wire [95:0] addend_wide = {36'd0, addend_now};
  wire [95:0] steps_wide = {64'd0, steps_now};
  reg [31:0] cycles;
  wire fits = cycles <= 32'd32 && steps_wide < (96'd1 << (32'd32 - cycles)) &&
              (steps_now == 32'd0 || addend_wide < (96'd1 << (32'd28 + cycles))) &&
              end_wide < (96'd1 << 61) + (96'd1 << (32'd28 + cycles));
  reg known;
  reg [95:0] end_next, addend_next, steps_next;
  always @(posedge clk) begin
    known <= start || fits;
    cycles <= start ? 32'd0 : (cycles == 32'd32) ? cycles : cycles + 32'd1;
    end_next <= start ? {35'd0, last} : end_wide + (steps_now[0] ? addend_wide : 96'd0);
    addend_next <= start ? {68'd0, stride} : 96'd2 * addend_wide;
    steps_next <= start ? {64'd0, steps} : steps_wide >> 1;
  end
  assign wrong = known && (
      !fits || end_wide != end_next || steps_wide != steps_next ||
      (steps_now != 32'd0 && addend_wide != addend_next) ||
      checked != (steps_now == 32'd0) || beyond != (end_wide >= (96'd1 << (ADDRESS_W - 4))));
endmodule
"""

SIMD_LANE = f"""\
module prove_simd_lane #(
    parameter ACC_W = 26
) (
    input  wire                    clk,
    input  wire [7:0]              enable,
    input  wire signed [ACC_W-1:0] acc,
    input  wire                    by_row,
    input  wire signed [7:0]       lane_bias,
    input  wire [7:0]              lane_shift,
    input  wire signed [7:0]       row_bias,
    input  wire [7:0]              row_shift,
    input  wire                    affine_enable,
    input  wire signed [7:0]       affine_w,
    input  wire signed [7:0]       affine_b,
    input  wire [7:0]              affine_s,
    input  wire                    affine_select,
    input  wire                    add_select,
    input  wire signed [7:0]       residual,
    input  wire                    res_enable,
    input  wire signed [7:0]       res_w,
    input  wire signed [7:0]       res_b,
    input  wire [7:0]              res_s,
    input  wire                    next_enable,
    input  wire signed [7:0]       next_w,
    input  wire signed [7:0]       next_b,
    input  wire [7:0]              next_s,
    input  wire                    next_affine,
    input  wire                    next_relu,
    output wire                    wrong_linear,
    output wire                    wrong_affine,
    output wire                    wrong_add,
    output wire                    wrong_res,
    output wire                    wrong_next
);
{CLAMP}
  wire signed [7:0] linear, affine, add, res_affine, next;
  simd_lane #(.ACC_W(ACC_W)) block (
      .clk(clk), .enable(enable), .acc(acc), .by_row(by_row), .lane_bias(lane_bias), .lane_shift(lane_shift),
      .row_bias(row_bias), .row_shift(row_shift), .linear(linear), .affine_enable(affine_enable), .affine_w(affine_w),
      .affine_b(affine_b), .affine_s(affine_s), .affine_select(affine_select), .affine(affine),
      .add_select(add_select), .residual(residual), .add(add), .res_enable(res_enable), .res_w(res_w), .res_b(res_b),
      .res_s(res_s), .next_enable(next_enable), .next_w(next_w), .next_b(next_b), .next_s(next_s),
      .next_affine(next_affine), .next_relu(next_relu), .res_affine(res_affine), .next(next)
  );

  // Each output by what stood at the inputs, and at the output before it, so many cycles ago.
  reg [7:0] enable_1, enable_2, enable_3;
  reg signed [63:0] acc_1, acc_2, acc_3;
  reg signed [7:0] bias_1, bias_2;
  reg [7:0] shift_1, shift_2;
  reg signed [7:0] linear_1, linear_2, affine_1, add_1, add_2, res_1, next_1;
  reg scaled_1, scaled_2, selected_1, added_1, res_scaled_1, res_scaled_2, next_scaled_1, next_scaled_2;
  reg affine_chosen_1, relu_chosen_1;
  reg signed [7:0] residual_1;
  // int8 times int8 fits 16 bits.
  reg signed [15:0] affine_product_1, affine_product_2, res_product_1, res_product_2, next_product_1, next_product_2;
  reg signed [7:0] affine_b_1, affine_b_2, res_b_1, res_b_2, next_b_1, next_b_2;
  reg [7:0] affine_s_1, affine_s_2, res_s_1, res_s_2, next_s_1, next_s_2;
  always @(posedge clk) begin
    enable_1 <= enable;
    enable_2 <= enable_1;
    enable_3 <= enable_2;
    acc_1 <= acc;
    acc_2 <= acc_1;
    acc_3 <= acc_2;
    bias_1 <= by_row ? row_bias : lane_bias;
    bias_2 <= bias_1;
    shift_1 <= by_row ? row_shift : lane_shift;
    shift_2 <= shift_1;
    linear_1 <= linear;
    linear_2 <= linear_1;
    affine_1 <= affine;
    add_1 <= add;
    add_2 <= add_1;
    res_1 <= res_affine;
    next_1 <= next;
    scaled_1 <= affine_enable;
    scaled_2 <= scaled_1;
    affine_product_1 <= linear * affine_w;
    affine_product_2 <= affine_product_1;
    affine_b_1 <= affine_b;
    affine_b_2 <= affine_b_1;
    affine_s_1 <= affine_s;
    affine_s_2 <= affine_s_1;
    selected_1 <= affine_select;
    added_1 <= add_select;
    residual_1 <= residual;
    res_scaled_1 <= res_enable;
    res_scaled_2 <= res_scaled_1;
    res_product_1 <= add * res_w;
    res_product_2 <= res_product_1;
    res_b_1 <= res_b;
    res_b_2 <= res_b_1;
    res_s_1 <= res_s;
    res_s_2 <= res_s_1;
    next_scaled_1 <= next_enable;
    next_scaled_2 <= next_scaled_1;
    next_product_1 <= add * next_w;
    next_product_2 <= next_product_1;
    next_b_1 <= next_b;
    next_b_2 <= next_b_1;
    next_s_1 <= next_s;
    next_s_2 <= next_s_1;
    affine_chosen_1 <= next_affine;
    relu_chosen_1 <= next_relu;
  end

  assign wrong_linear = enable_1[2] ?
      enable_3[0] && enable_2[1] && linear != $signed(rule(acc_3, shift_2, bias_2)) : linear != linear_1;

  wire [7:0] affine_rule = rule(affine_product_2, affine_s_2, affine_b_2);
  assign wrong_affine = !enable_1[4] ? affine != affine_1 :
      selected_1 ? scaled_2 && affine != $signed(affine_rule) : enable_2[3] && affine != linear_2;

  // saturate(affine + residual) by its own means: a shift by 0.
  wire signed [63:0] sum = affine_1 + residual_1;
  wire [7:0] add_rule = rule(sum, 8'd0, 8'sd0);
  assign wrong_add = !enable_1[5] ? add != add_1 :
      added_1 ? add != $signed(add_rule) : add != affine_1;

  wire [7:0] res_rule = rule(res_product_2, res_s_2, res_b_2);
  assign wrong_res = enable_1[7] ? res_scaled_2 && res_affine != $signed(res_rule) : res_affine != res_1;

  wire [7:0] next_rule = rule(next_product_2, next_s_2, next_b_2);
  wire signed [7:0] unscaled = (relu_chosen_1 && add_2 < 8'sd0) ? 8'sd0 : add_2;
  assign wrong_next = !enable_1[7] ? next != next_1 :
      affine_chosen_1 ? next_scaled_2 && next != $signed(next_rule) : enable_2[6] && next != unscaled;
endmodule
"""


def _mac_tile() -> str:
    """The rule of the tile: every sum by one step, and which rows leave when."""
    rows = range(_SIZE)
    sums = "\n".join(f"    input  wire [16*ACC_W-1:0] sums_{r}," for r in rows)
    wrong = "\n".join(
        f"    output wire                wrong_{r},\n    output wire                wrong_kept_{r}," for r in rows
    )
    asked = "\n".join(
        f"  row_rule #(.ACC_W(ACC_W)) rule_{r} (\n"
        f"      .clk(clk), .sums(sums_{r}), .valid(valid_line[{r + 1}]), .first(first_line[{r + 1}]),\n"
        f"      .x(rows_line[{128 * (r + 1) + 8 * r}+:8]), .columns(columns_line[{128 * (r + 1)}+:128]), "
        f".wrong(wrong_{r}),\n      .wrong_kept(wrong_kept_{r})\n  );"
        for r in rows
    )
    chosen = "\n".join(f"      4'd{r}: leaving <= sums_{r};" for r in rows)
    return f"""\
// One row's sums: the step that is given reaches them now.
module row_rule #(
    parameter ACC_W = 26
) (
    input  wire                clk,
    input  wire [16*ACC_W-1:0] sums,
    input  wire                valid,
    input  wire                first,
    input  wire signed [7:0]   x,
    input  wire [127:0]        columns,
    output wire                wrong,
    output wire                wrong_kept
);
  reg [16*ACC_W-1:0] earlier;
  always @(posedge clk) earlier <= sums;
  wire [15:0] differs;
  genvar c;
  generate
    for (c = 0; c < 16; c = c + 1) begin : column
      wire signed [7:0] w = columns[8*c+:8];
      wire signed [ACC_W-1:0] product = x * w;
      wire [ACC_W-1:0] so_far = first ? {{ACC_W{{1'b0}}}} : earlier[ACC_W*c+:ACC_W];
      wire [ACC_W-1:0] after = so_far + product;
      assign differs[c] = sums[ACC_W*c+:ACC_W] != after;
    end
  endgenerate
  assign wrong = valid && |differs;
  assign wrong_kept = !valid && sums != earlier;
endmodule

module prove_mac_tile #(
    parameter ACC_W = 26
) (
    input  wire                clk,
    input  wire                rst,
    input  wire                valid,
    input  wire                first,
    input  wire                last,
    input  wire [127:0]        rows,
    input  wire [127:0]        columns,
{sums}
    input  wire                last_now,
    input  wire                leaving_now,
    input  wire [3:0]          index_now,
{wrong}
    output wire                wrong_control,
    output wire                wrong_row
);
  wire row_valid;
  wire [3:0] row_index;
  wire [16*ACC_W-1:0] row_acc;
  mac_tile #(.ACC_W(ACC_W)) block (
      .clk(clk), .rst(rst), .valid(valid), .first(first), .last(last), .rows(rows), .columns(columns),
      .row_valid(row_valid), .row_index(row_index), .row_acc(row_acc)
  );

  // What stood at the inputs k + 1 cycles ago, at k. A step reaches the sums of row r r + 2 cycles later.
  reg [128*17-1:0] rows_line, columns_line;
  reg [16:0] valid_line, first_line;
  always @(posedge clk) begin
    rows_line <= {{rows_line, rows}};
    columns_line <= {{columns_line, columns}};
    valid_line <= {{valid_line, valid}};
    first_line <= {{first_line, first}};
  end
{asked}

  // Last steps k + 1 cycles ago since the reset, 16 apart at least. Row r leaves the array r + 2 cycles after one, and
  // is at the output a cycle later.
  reg [17:0] lasts;
  function [4:0] place;  // of the one bit, 16 where there is none
    input [15:0] bits;
    integer i;
    begin
      place = 5'd16;
      for (i = 0; i < 16; i = i + 1) if (bits[i]) place = i;
    end
  endfunction
  function one_at_most;
    input [15:0] bits;
    one_at_most = (bits & (bits - 16'd1)) == 16'd0;
  endfunction
  wire apart = one_at_most(lasts[15:0]) && one_at_most(lasts[16:1]) && one_at_most(lasts[17:2]);
  wire [4:0] held_at = place(lasts[16:1]);
  wire [4:0] outside = place(lasts[17:2]);
  wire agrees = apart && last_now == lasts[0] && leaving_now == (held_at != 5'd16) &&
                index_now == (leaving_now ? held_at[3:0] : 4'd0) &&
                row_valid == (outside != 5'd16) && (!row_valid || row_index == outside[3:0]);
  reg known, leaves;
  reg [16*ACC_W-1:0] leaving;
  always @(posedge clk) begin
    lasts <= rst ? 18'd0 : {{lasts, valid && last}};
    known <= rst || (agrees && !(valid && last && lasts[14:0] != 15'd0));
    leaves <= leaving_now;
    case (index_now)
{chosen}
    endcase
  end
  assign wrong_control = known && !agrees;
  assign wrong_row = leaves && row_acc != leaving;
endmodule
"""


MAC_TILE = _mac_tile()

UNPROVED = {
    "axi_read_arbiter": "its properties are proved with --schedule all",
    "axi_reader": "its properties are proved with --schedule all",
    "axi_writer": "its properties are proved with --schedule all",
    "block_transpose": "its properties are proved with --schedule all",
    "simd_control": "its properties are proved with --schedule all",
    "simd_core": "its order of layers is in descriptors, which it reads from memory",
    "simd_descriptor": "it gives bits of a descriptor names: no rule but its own text",
    "simd_epilogue": "its stages are proved alone; in which order they are used is in descriptors",
    "simd_loader": "its properties are proved with --schedule all",
    "simd_memory": "its rule is AXI's and that of the memory image, and none is stated here",
    "simd_registers": "its properties are proved with --schedule all",
    "simd_resmlp": "its order of layers is in descriptors, which it reads from memory",
    "simd_sequencer": "its properties are proved with --schedule all",
}
"""The accelerator's modules that are not proved alone, with the reason."""


def blocks(model: Model, settings: Settings) -> dict[str, tuple[ProvableBlock, ...]]:  # noqa: ARG001  # the same for all
    """The blocks by module."""
    buffers = Buffers()
    bits = buffers.acc_w
    cell = ProvableBlock("mac_cell", "prove_mac_cell", MAC_CELL, {"ACC_W": bits}, cycle=2)
    pool = ProvableBlock(
        "pool_lane", "prove_pool_lane", POOL_LANE, {}, cycle=1, peeks={"sum_now": Peek("block.sum_reg")}
    )
    lanes = tuple(f"wrong_{stage}" for stage in ("linear", "affine", "add", "res", "next"))
    lane = ProvableBlock("simd_lane", "prove_simd_lane", SIMD_LANE, {"ACC_W": bits}, cycle=3, wrong=lanes)
    ends = {f"{name}_now": Peek(f"block.{name}_reg") for name in ("end", "addend", "steps")}
    range_ = ProvableBlock(
        "simd_range", "prove_simd_range", SIMD_RANGE, {"ADDRESS_W": buffers.address_w}, cycle=1, peeks=ends
    )
    lines = tuple(
        ProvableBlock(
            f"delay_line ({depth} cycles, {width} bits)",
            "prove_delay_line",
            DELAY_LINE,
            {"DEPTH": depth, "WIDTH": width},
            cycle=depth,
        )
        for depth, width in _LINES
    )
    return blocks_of((AFFINE_ACC_BITS, _POOL_BITS), (bits,)) | {
        "mac_cell": (cell,),
        "mac_tile": _tile(bits),
        "pool_lane": (pool,),
        "simd_lane": (lane,),
        "simd_range": (range_,),
        "table_lane": (_tables("table_lane", TABLE_LANE, buffers.table_words, {"": ""}),),
        "simd_tables": (_tables("simd_tables", SIMD_TABLES, buffers.table_words, _OF_TABLES),),
        "ram": _rams(buffers),
        "delay_line": lines,
    }


def _tile(bits: int) -> tuple[ProvableBlock, ...]:
    """Its sums after as many cycles as the last row is behind the first one, and which rows leave, after one."""
    control = {f"{name}_now": Peek(f"block.{name}_reg") for name in ("last", "leaving", "index")}
    sums = ProvableBlock(
        "mac_tile (sums)",
        "prove_mac_tile",
        MAC_TILE,
        {"ACC_W": bits},
        cycle=_SIZE + 1,
        wrong=tuple(f"{word}_{row}" for word in ("wrong", "wrong_kept") for row in range(_SIZE)),
        peeks=control | {f"sums_{row}": Peek(f"block.row[{row}].acc") for row in range(_SIZE)},
    )
    return sums, sums._replace(name="mac_tile (rows)", cycle=1, wrong=("wrong_control", "wrong_row"))


def _tables(module: str, verilog: str, words: int, lanes: Mapping[str, str]) -> ProvableBlock:
    """One lane, or all; `lanes`: what stands behind the names of a lane's own ports, and where its memories are."""
    peeks = {
        f"{half}_{word}{port}": Peek(f"block.{lane}{half}_points.memory", place)
        for port, lane in lanes.items()
        for half in ("even", "odd")
        for word, place in (("word", f"{half}_place{port}"), ("there", "place_half"))
    }
    return ProvableBlock(
        f"{module} ({words} words)",
        f"prove_{module}",
        verilog,
        {"WORDS": words, "HALF_W": (words // 2 - 1).bit_length()},
        cycle=2,
        wrong=tuple(f"{name}{port}" for port in lanes for name in _TABLE_WRONG),
        peeks=peeks,
    )


def _rams(buffers: Buffers) -> tuple[ProvableBlock, ...]:
    """The different ones: image, activations, weights, residual, constants, and those of the tables, by byte."""
    of_words = (
        buffers.activation_words, buffers.image_words, buffers.residual_words, buffers.weight_words,
        buffers.constant_groups, buffers.chunks,
    )  # fmt: skip
    sizes = {(words, _WORD_BITS) for words in of_words} | {(buffers.table_words // 2, 8)}
    return tuple(
        ProvableBlock(
            f"ram ({words} words of {width} bits)",
            "prove_ram",
            RAM,
            {"WORDS": words, "WIDTH": width, "ADDRESS_W": (words - 1).bit_length()},
            cycle=1,
            wrong=("wrong_word", "wrong_read"),
            peeks={"word": Peek("block.memory", "place")},
        )
        for words, width in sorted(sizes)
    )
