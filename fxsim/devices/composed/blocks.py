"""Blocks of the composed accelerator to prove, beside the rules of the contract."""

import numpy as np

from fxsim.devices.blocks import Peek, ProvableBlock
from fxsim.devices.composed.parts import Instance
from fxsim.devices.composed.paths import matmul_latency, product_latency
from fxsim.devices.composed.plan import make_plan
from fxsim.devices.settings import Settings
from fxsim.graph import Model

FEW_DOT_PRODUCT = """\
module prove_few_dot_product #(
    parameter LANES = 64,
    parameter X_W = 1,
    parameter X_KIND = 2,
    parameter W_W = 1,
    parameter W_BIPOLAR = 1,
    parameter ACC_W = 8,
    parameter LATENCY = 4
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire                 enable,
    input  wire                 in_valid,
    input  wire [LANES*X_W-1:0] x,
    input  wire [LANES*W_W-1:0] w,
    output wire                 wrong_valid,
    output wire                 wrong_sum,
    output wire                 still,
    output wire [ACC_W-1:0]     sum           // so that no register of the block is left out as unused
);
  wire out_valid;
  few_dot_product #(
      .LANES(LANES), .X_W(X_W), .X_KIND(X_KIND), .W_W(W_W), .W_BIPOLAR(W_BIPOLAR), .ACC_W(ACC_W)
  ) block (
      .clk(clk), .rst(rst), .enable(enable), .in_valid(in_valid), .x(x), .w(w), .out_valid(out_valid), .sum(sum)
  );

  // The same where it moves in every cycle, which is all that a row sees that is not taken away.
  wire [ACC_W-1:0] moving_sum;
  few_dot_product #(
      .LANES(LANES), .X_W(X_W), .X_KIND(X_KIND), .W_W(W_W), .W_BIPOLAR(W_BIPOLAR), .ACC_W(ACC_W)
  ) moving (
      .clk(clk), .rst(1'b0), .enable(1'b1), .in_valid(in_valid), .x(x), .w(w), .out_valid(), .sum(moving_sum)
  );

  // The last LATENCY cycles, the newest lowest: rows, and which of them are there that no reset took away. Cycles that
  // stand still are none of them: that these change nothing is what `still` asks for.
  reg [LANES*X_W*LATENCY-1:0] x_line;
  reg [LANES*W_W*LATENCY-1:0] w_line;
  reg [LATENCY-1:0] row_line, moves_line, entered_line;
  always @(posedge clk) begin
    x_line <= {x_line, x};
    w_line <= {w_line, w};
    row_line <= rst ? {LATENCY{1'b0}} : {row_line, in_valid};
    moves_line <= {moves_line, enable || rst};
    entered_line <= {entered_line, in_valid};
  end
  assign still = !enable && !rst;

  // The sum of all products, in the order of the block, so that the solver need not know that any is as good: GROUP
  // neighbours by pairs, then by fours. Of products that are -1 or 1 those that are 1 are counted, m of them: their
  // sum is m - (LANES - m).
  localparam MATCH = X_KIND == 2 && W_BIPOLAR != 0;
  localparam GROUP = MATCH ? 8 : (X_W + W_W <= 4) ? 4 : 1;
  localparam TREE = LATENCY - 1 - (MATCH ? 1 : 0);
  localparam GROUPS = 1 << (2 * TREE);
  wire [LANES*X_W-1:0] x_row = x_line[LANES*X_W*(LATENCY-1)+:LANES*X_W];
  wire [LANES*W_W-1:0] w_row = w_line[LANES*W_W*(LATENCY-1)+:LANES*W_W];
  wire [32*GROUP*GROUPS-1:0] products;
  wire [32*GROUPS-1:0] groups;
  genvar l, k;
  generate
    for (k = 0; k < GROUP * GROUPS; k = k + 1) begin : lane
      if (k < LANES) begin : number
        wire [X_W-1:0] x_bits = x_row[X_W*k+:X_W];
        wire [W_W-1:0] w_bits = w_row[W_W*k+:W_W];
        wire signed [31:0] x_number = (X_KIND == 2) ? (x_bits[0] ? 32'sd1 : -32'sd1)
            : $signed({{(32 - X_W) {X_KIND == 0 && x_bits[X_W-1]}}, x_bits});
        wire signed [31:0] w_number = (W_BIPOLAR != 0) ? (w_bits[0] ? 32'sd1 : -32'sd1)
            : $signed({{(32 - W_W) {w_bits[W_W-1]}}, w_bits});
        wire signed [31:0] product = x_number * w_number;
        assign products[32*k+:32] = MATCH ? {31'd0, product == 32'sd1} : product;
      end else begin : nothing
        assign products[32*k+:32] = 32'd0;
      end
    end
    for (k = 0; k < GROUPS; k = k + 1) begin : group
      wire [32*GROUP-1:0] part = products[32*GROUP*k+:32*GROUP];
      if (GROUP == 8) begin : eight
        assign groups[32*k+:32] = ((part[31:0] + part[63:32]) + (part[95:64] + part[127:96])) +
            ((part[159:128] + part[191:160]) + (part[223:192] + part[255:224]));
      end else if (GROUP == 4) begin : four
        assign groups[32*k+:32] = (part[31:0] + part[63:32]) + (part[95:64] + part[127:96]);
      end else begin : one
        assign groups[32*k+:32] = part;
      end
    end
    for (l = 0; l <= TREE; l = l + 1) begin : fours
      localparam NODES = 1 << (2 * (TREE - l));
      wire [32*NODES-1:0] sums;
      if (l == 0) begin : first
        assign sums = groups;
      end else begin : add
        for (k = 0; k < NODES; k = k + 1) begin : node
          assign sums[32*k+:32] = (fours[l-1].sums[32*4*k+:32] + fours[l-1].sums[32*(4*k+1)+:32]) +
              (fours[l-1].sums[32*(4*k+2)+:32] + fours[l-1].sums[32*(4*k+3)+:32]);
        end
      end
    end
  endgenerate
  wire [31:0] total = fours[TREE].sums;
  wire [31:0] expected = MATCH ? total - (LANES - total) : total;
  assign wrong_valid = &moves_line && out_valid != row_line[LATENCY-1];
  assign wrong_sum = entered_line[LATENCY-1] && moving_sum != expected[ACC_W-1:0];
endmodule
"""

THRESHOLD_LANE = """\
module prove_threshold_lane #(
    parameter X_W = 9,
    parameter X_SIGNED = 1,
    parameter STEPS = 1,
    parameter Y_W = 1,
    parameter [Y_W*(STEPS+1)-1:0] LEVELS = 2'b10
) (
    input  wire                              clk,
    input  wire                              compare_enable,
    input  wire                              count_enable,
    input  wire                              level_enable,
    input  wire [X_W-1:0]                    x,
    input  wire [STEPS*(X_W+2-X_SIGNED)-1:0] thresholds,
    input  wire                              falling,
    output wire                              wrong
);
  localparam T_W = X_W + 2 - X_SIGNED;
  wire [Y_W-1:0] y;
  threshold_lane #(.X_W(X_W), .X_SIGNED(X_SIGNED), .STEPS(STEPS), .Y_W(Y_W), .LEVELS(LEVELS)) block (
      .clk(clk), .compare_enable(compare_enable), .count_enable(count_enable), .level_enable(level_enable),
      .x(x), .thresholds(thresholds), .falling(falling), .y(y)
  );

  // Thresholds of the channel as they are, a falling one's from their complements; how many are passed, one by one.
  wire signed [33:0] number = {{(34 - X_W) {X_SIGNED != 0 && x[X_W-1]}}, x};
  wire [9*(STEPS+1)-1:0] counts;
  wire [STEPS-1:0] descends;
  assign counts[8:0] = 9'd0;
  genvar k;
  generate
    for (k = 0; k < STEPS; k = k + 1) begin : step
      wire signed [33:0] stored = {{(34 - T_W) {thresholds[T_W*k+T_W-1]}}, thresholds[T_W*k+:T_W]};
      wire signed [33:0] t = falling ? -stored - 34'sd1 : stored;
      assign counts[9*(k+1)+:9] = counts[9*k+:9] + ((falling ? number <= t : number >= t) ? 9'd1 : 9'd0);
      if (k > 0) begin : order
        assign descends[k] = stored < step[k-1].stored;
      end else begin : first
        assign descends[k] = 1'b0;
      end
    end
  endgenerate

  // Two cycles later: the level of the count, where each step was taken in its cycle; else what was there stays.
  reg compared, counted, looked, kept;
  reg [8:0] count_1, count_2;
  reg [Y_W-1:0] expected, earlier;
  wire [Y_W*512-1:0] levels = {{(Y_W * (511 - STEPS)) {1'b0}}, LEVELS};
  always @(posedge clk) begin
    compared <= compare_enable && !(|descends);
    count_1 <= counts[9*STEPS+:9];
    counted <= compared && count_enable;
    count_2 <= count_1;
    looked <= counted && level_enable;
    expected <= levels[Y_W*count_2+:Y_W];
    kept <= !level_enable;
    earlier <= y;
  end
  assign wrong = (looked && y != expected) || (kept && y != earlier);
endmodule
"""

WINDOW_MAX = """\
module prove_window_max #(
    parameter PLACES = 4,
    parameter WORDS = 1,
    parameter LANES = 4,
    parameter X_W = 1,
    parameter X_SIGNED = 0,
    parameter PLACE_W = 2,
    parameter WORD_W = 1
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [LANES*X_W-1:0] x,
    input  wire                 valid,
    input  wire                 out_ready,
    input  wire [WORD_W-1:0]    looked,
    input  wire [PLACE_W-1:0]   place_now,
    input  wire [WORD_W-1:0]    word_now,
    input  wire [LANES*X_W-1:0] greatest_now,
    output wire                 wrong
);
  wire ready, out_valid;
  wire [LANES*X_W-1:0] y;
  window_max #(.PLACES(PLACES), .WORDS(WORDS), .LANES(LANES), .X_W(X_W), .X_SIGNED(X_SIGNED)) block (
      .clk(clk), .rst(rst), .s_axis_tdata(x), .s_axis_tvalid(valid), .s_axis_tready(ready),
      .m_axis_tdata(y), .m_axis_tvalid(out_valid), .m_axis_tready(out_ready)
  );

  // The rule: pixels of the window so far, beats of the pixel so far, and of one word, any, the greatest value of each
  // lane in the window so far.
  reg [31:0] count, beat;
  reg [LANES*X_W-1:0] most, y_next;
  reg [WORD_W-1:0] looked_then;
  reg known, y_then, y_stays, y_is_looked;
  wire taken = valid && ready;
  wire end_of_pixel = beat == WORDS - 1;
  wire end_of_window = count == PLACES - 1;
  wire is_looked = beat == {{(32 - WORD_W) {1'b0}}, looked};
  wire [LANES*X_W-1:0] more;
  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      wire [X_W-1:0] now = x[X_W*n+:X_W];
      wire [X_W-1:0] far = most[X_W*n+:X_W];
      wire signed [32:0] now_number = {{(33 - X_W) {X_SIGNED != 0 && now[X_W-1]}}, now};
      wire signed [32:0] far_number = {{(33 - X_W) {X_SIGNED != 0 && far[X_W-1]}}, far};
      assign more[X_W*n+:X_W] = (count == 0 || now_number > far_number) ? now : far;
    end
  endgenerate
  // What the block holds of the word, where this window has had it, is that.
  wire has_had_it = count != 0 || beat > {{(32 - WORD_W) {1'b0}}, looked};
  wire agrees = {{(32 - PLACE_W) {1'b0}}, place_now} == count && count < PLACES &&
                {{(32 - WORD_W) {1'b0}}, word_now} == beat && beat < WORDS && (!has_had_it || greatest_now == most);
  always @(posedge clk) begin
    beat <= rst ? 32'd0 : taken ? (end_of_pixel ? 32'd0 : beat + 32'd1) : beat;
    count <= rst ? 32'd0 : (taken && end_of_pixel) ? (end_of_window ? 32'd0 : count + 32'd1) : count;
    if (taken && is_looked) most <= more;
    looked_then <= looked;
    known <= (rst || agrees) && looked < WORDS;
    y_then <= !rst && taken && end_of_window;
    y_stays <= !rst && out_valid && !out_ready;
    y_is_looked <= (taken && end_of_window) ? is_looked : out_valid && !out_ready;
    y_next <= (taken && end_of_window) ? more : y;
  end
  assign wrong = known && looked == looked_then && (
      !agrees || ready != (!out_valid || out_ready) || out_valid != (y_then || y_stays) ||
      (out_valid && y_is_looked && y != y_next));
endmodule
"""

FEW_ADD = """\
module prove_few_add #(
    parameter LANES = 1,
    parameter X_W = 8,
    parameter X_SIGNED = 1,
    parameter R_W = 8,
    parameter R_SIGNED = 1,
    parameter Y_W = 8,
    parameter Y_SIGNED = 1
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [LANES*X_W-1:0] x,
    input  wire                 x_valid,
    input  wire [LANES*R_W-1:0] r,
    input  wire                 r_valid,
    input  wire                 out_ready,
    output wire                 wrong
);
  wire x_ready, r_ready, out_valid;
  wire [LANES*Y_W-1:0] y;
  few_add #(
      .LANES(LANES), .X_W(X_W), .X_SIGNED(X_SIGNED), .R_W(R_W), .R_SIGNED(R_SIGNED), .Y_W(Y_W), .Y_SIGNED(Y_SIGNED)
  ) block (
      .clk(clk), .rst(rst), .s0_axis_tdata(x), .s0_axis_tvalid(x_valid), .s0_axis_tready(x_ready),
      .s1_axis_tdata(r), .s1_axis_tvalid(r_valid), .s1_axis_tready(r_ready),
      .m_axis_tdata(y), .m_axis_tvalid(out_valid), .m_axis_tready(out_ready)
  );

  // Both are taken together, where the sum before them is gone; their sum is there in the next cycle, and until it is
  // taken.
  localparam signed [33:0] LEAST = (Y_SIGNED != 0) ? -(34'sd1 <<< (Y_W - 1)) : 34'sd0;
  localparam signed [33:0] MOST = LEAST + (34'sd1 <<< Y_W) - 34'sd1;
  wire [LANES*Y_W-1:0] sums;
  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      wire signed [33:0] x_number = {{(34 - X_W) {X_SIGNED != 0 && x[X_W*n+X_W-1]}}, x[X_W*n+:X_W]};
      wire signed [33:0] r_number = {{(34 - R_W) {R_SIGNED != 0 && r[R_W*n+R_W-1]}}, r[R_W*n+:R_W]};
      wire signed [33:0] sum = x_number + r_number;
      wire signed [33:0] y_number = (sum > MOST) ? MOST : (sum < LEAST) ? LEAST : sum;
      assign sums[Y_W*n+:Y_W] = y_number[Y_W-1:0];
    end
  endgenerate
  wire room = !out_valid || out_ready;
  wire taken = x_valid && r_valid && room;
  reg y_then, y_stays;
  reg [LANES*Y_W-1:0] y_next;
  always @(posedge clk) begin
    y_then <= !rst && taken;
    y_stays <= !rst && out_valid && !out_ready;
    y_next <= taken ? sums : y;
  end
  assign wrong = (x_valid && x_ready) != taken || (r_valid && r_ready) != taken ||
      out_valid != (y_then || y_stays) || (out_valid && y != y_next);
endmodule
"""

SCALE_LANE = """\
module prove_scale_lane #(
    parameter X_W = 19,
    parameter X_SIGNED = 1,
    parameter W_W = 2,
    parameter R_W = 1,
    parameter R_SIGNED = 0,
    parameter V_W = 2,
    parameter ACC_W = 20,
    parameter S_W = 4,
    parameter B_W = 8,
    parameter Y_W = 8,
    parameter Y_SIGNED = 1,
    parameter RELU = 0,
    parameter ROUNDING = 0
) (
    input  wire                  clk,
    input  wire                  scale_enable,
    input  wire                  shift_enable,
    input  wire                  sum_enable,
    input  wire        [X_W-1:0] x,
    input  wire signed [W_W-1:0] w,
    input  wire        [R_W-1:0] r,
    input  wire signed [V_W-1:0] v,
    input  wire        [S_W-1:0] shift,
    input  wire signed [B_W-1:0] bias,
    output wire                  wrong
);
  wire [Y_W-1:0] y;
  scale_lane #(
      .X_W(X_W), .X_SIGNED(X_SIGNED), .W_W(W_W), .R_W(R_W), .R_SIGNED(R_SIGNED), .V_W(V_W), .ACC_W(ACC_W), .S_W(S_W),
      .B_W(B_W), .Y_W(Y_W), .Y_SIGNED(Y_SIGNED), .RELU(RELU), .ROUNDING(ROUNDING)
  ) block (
      .clk(clk), .scale_enable(scale_enable), .shift_enable(shift_enable), .sum_enable(sum_enable), .x(x), .w(w), .r(r),
      .v(v), .shift(shift), .bias(bias), .y(y)
  );

  // The sum of the products in ACC_W bits, which is it wherever it fits them.
  wire signed [X_W:0] x_number = {X_SIGNED != 0 && x[X_W-1], x};
  wire signed [R_W:0] r_number = {R_SIGNED != 0 && r[R_W-1], r};
  wire signed [ACC_W-1:0] xw = x_number * w;
  wire signed [ACC_W-1:0] rv = r_number * v;
  wire signed [ACC_W-1:0] acc = xw + rv;

  // Half a unit is added and what is below one dropped: floor((acc + 2^(shift - 1)) / 2^shift). Beyond LAST places
  // every sum rounds to 0, as it does with LAST. A tie is a sum that half a unit made a whole one: that is one too much
  // where it is odd (ROUNDING 1), or where the sum was below 0 (2). 3: so is rounded what the first 31 places leave.
  localparam LAST = (ROUNDING == 0) ? ACC_W : (ROUNDING == 3 && ACC_W < 33) ? 34 : ACC_W + 1;
  localparam RULE_W = (LAST > B_W ? (LAST > Y_W ? LAST : Y_W) : (B_W > Y_W ? B_W : Y_W)) + 2;
  reg signed [ACC_W-1:0] acc_1;
  reg [S_W-1:0] shift_1;
  reg signed [B_W-1:0] bias_1, bias_2;
  wire [31:0] places = ({{(32 - S_W) {1'b0}}, shift_1} > LAST) ? LAST : {{(32 - S_W) {1'b0}}, shift_1};
  wire signed [RULE_W-1:0] one = 1;
  wire signed [RULE_W-1:0] wide = acc_1;
  wire twice = ROUNDING == 3 && places > 31;
  wire [31:0] left = twice ? places - 31 : places;
  wire signed [RULE_W-1:0] first = twice ? wide >>> 31 : wide;
  wire signed [RULE_W-1:0] more = first + (one <<< (left - 1));
  wire signed [RULE_W-1:0] near = more >>> left;
  wire too_much = (near <<< left) == more && ((ROUNDING == 1 && near[0]) || ((ROUNDING == 2 || twice) && first < 0));
  wire signed [RULE_W-1:0] rounded = (places == 0) ? wide : near - (too_much ? one : 0);
  reg signed [RULE_W-1:0] rounded_2;
  wire signed [RULE_W-1:0] moved = rounded_2 + bias_2;
  wire signed [RULE_W-1:0] most = (one <<< (Y_W - Y_SIGNED)) - one;
  wire signed [RULE_W-1:0] least = (Y_SIGNED != 0 && RELU == 0) ? -(one <<< (Y_W - 1)) : 0;
  wire signed [RULE_W-1:0] clipped = (moved > most) ? most : (moved < least) ? least : moved;

  // Three cycles later: of each value whose steps were taken in their cycles; else what was there stays.
  reg scaled, shifted, summed, kept;
  reg [Y_W-1:0] expected, earlier;
  always @(posedge clk) begin
    scaled <= scale_enable;
    acc_1 <= acc;
    shift_1 <= shift;
    bias_1 <= bias;
    shifted <= scaled && shift_enable;
    rounded_2 <= rounded;
    bias_2 <= bias_1;
    summed <= shifted && sum_enable;
    expected <= clipped[Y_W-1:0];
    kept <= !sum_enable;
    earlier <= y;
  end
  assign wrong = (summed && y != expected) || (kept && y != earlier);
endmodule
"""

WINDOW_SUM_LANE = """\
module prove_window_sum_lane #(
    parameter X_W = 8,
    parameter X_KIND = 0,
    parameter W_W = 8,
    parameter ACC_W = 19
) (
    input  wire                  clk,
    input  wire                  enable,
    input  wire        [X_W-1:0] x,
    input  wire signed [W_W-1:0] w,
    input  wire                  first,
    input  wire      [ACC_W-1:0] so_far,
    output wire                  wrong
);
  wire [ACC_W-1:0] sum;
  window_sum_lane #(.X_W(X_W), .X_KIND(X_KIND), .W_W(W_W), .ACC_W(ACC_W)) block (
      .clk(clk), .enable(enable), .x(x), .w(w), .first(first), .so_far(so_far), .sum(sum)
  );

  // The product of the cycle before, where it was taken, and the sum so far; else what was there stays, as is seen of a
  // first one.
  wire signed [X_W+1:0] number = (X_KIND == 2) ? (x[0] ? 1 : -1) : {{2{X_KIND == 0 && x[X_W-1]}}, x};
  wire signed [ACC_W-1:0] product = number * w;
  wire [ACC_W-1:0] added = first ? {ACC_W{1'b0}} : so_far;
  reg [ACC_W-1:0] product_1, earlier;
  reg taken, kept;
  always @(posedge clk) begin
    taken <= enable;
    product_1 <= product;
    kept <= !enable;
    earlier <= sum - added;
  end
  assign wrong = (taken && sum != product_1 + added) || (kept && sum != earlier + added);
endmodule
"""

_TABLE_FILE = "full_table.hex"
FULL_TABLE = """\
module prove_full_table #(
    parameter CHANNELS = 1,
    parameter LANES = 1,
    parameter X_W = 4,
    parameter X_SIGNED = 0,
    parameter Y_W = 4,
    parameter GROUP_W = 1,
    parameter ADDRESS_W = 4
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [LANES*X_W-1:0] x,
    input  wire                 valid,
    input  wire                 out_ready,
    input  wire [ADDRESS_W-1:0] looked,
    input  wire [GROUP_W-1:0]   group_now,
ENTRY_PORTS
    output wire                 wrong
);
  wire ready, out_valid;
  wire [LANES*Y_W-1:0] y;
  full_table #(
      .CHANNELS(CHANNELS), .LANES(LANES), .X_W(X_W), .X_SIGNED(X_SIGNED), .Y_W(Y_W), .T_FILE("TABLE_FILE")
  ) block (
      .clk(clk), .rst(rst), .s_axis_tdata(x), .s_axis_tvalid(valid), .s_axis_tready(ready),
      .m_axis_tdata(y), .m_axis_tvalid(out_valid), .m_axis_tready(out_ready)
  );

  // The rule: beats of the pixel so far, and of one address, any, that a value which has it gives its entry.
  localparam LOW = (X_SIGNED != 0) ? 1 << (X_W - 1) : 0;
  wire [LANES*LANES*Y_W-1:0] entries = {ENTRY_NAMES};
  reg [31:0] beat;
  reg known, y_then, y_stays;
  reg [LANES-1:0] is_looked;
  reg [LANES*Y_W-1:0] expected, earlier;
  wire taken = valid && ready;
  wire agrees = {{(32 - GROUP_W) {1'b0}}, group_now} == beat && beat < CHANNELS / LANES;
  wire [LANES-1:0] differs;
  genvar n;
  generate
    for (n = 0; n < LANES; n = n + 1) begin : lane
      wire [X_W-1:0] value = x[X_W*n+:X_W];
      wire signed [32:0] number = {{(33 - X_W) {X_SIGNED != 0 && value[X_W-1]}}, value};
      wire signed [32:0] at = $signed({1'b0, beat}) * (33'sd1 <<< X_W) + number + LOW;
      always @(posedge clk) begin
        is_looked[n] <= !rst && taken && at == $signed({{(33 - ADDRESS_W) {1'b0}}, looked});
        expected[Y_W*n+:Y_W] <= entries[(LANES*n+n)*Y_W+:Y_W];
      end
      assign differs[n] = is_looked[n] && y[Y_W*n+:Y_W] != expected[Y_W*n+:Y_W];
    end
  endgenerate
  always @(posedge clk) begin
    beat <= rst ? 32'd0 : taken ? (beat == CHANNELS / LANES - 1 ? 32'd0 : beat + 32'd1) : beat;
    known <= rst || agrees;
    y_then <= !rst && taken;
    y_stays <= !rst && out_valid && !out_ready;
    earlier <= y;
  end
  assign wrong = known && (
      !agrees || ready != (!out_valid || out_ready) || out_valid != (y_then || y_stays) || (|differs) ||
      (y_stays && y != earlier));
endmodule
"""


def blocks(model: Model, settings: Settings) -> dict[str, tuple[ProvableBlock, ...]]:
    """The accelerator's blocks by module, with the sizes of a model. ModelError where the model does not fit it."""
    plan = make_plan(model, getattr(settings, "interval", None), getattr(settings, "share_loops", False))
    makers = {
        "few_linear": _dot_product,
        "threshold": _threshold_lane,
        "window_max": _window_max,
        "few_add": _add,
        "full_table": _table,
        "few_affine": _affine_lane,
        "few_matmul": _product_of_two,
        "few_weighted_add": _weighted_lane,
        "window_sum": _window_sum_lane,
    }
    found: dict[str, dict[str, ProvableBlock]] = {}
    for instance in plan.instances:
        block = makers[instance.module](instance) if instance.module in makers else None
        if block is not None:
            # Those of the same sizes are one.
            found.setdefault(block.top.removeprefix("prove_"), {})[block.name] = block
    return {module: tuple(every.values()) for module, every in found.items()}


def _numbers(instance: Instance, *names: str) -> dict[str, int]:
    return {name: int(instance.parameters[name]) for name in names}


def _sizes(module: str, parameters: dict[str, int]) -> str:
    """A block's name: its module, and what it is built with."""
    return f"{module} ({', '.join(f'{name} {value}' for name, value in parameters.items())})"


def _threshold_lane(instance: Instance) -> ProvableBlock:
    """One channel of a layer of thresholds, which come with the value: any that ascend."""
    p = _numbers(instance, "X_W", "X_SIGNED", "STEPS", "Y_W")
    levels = int(instance.parameters["LEVELS"].partition("'h")[2], 16)
    name = _sizes("threshold_lane", {**p, "LEVELS": levels})
    return ProvableBlock(name, "prove_threshold_lane", THRESHOLD_LANE, {**p, "LEVELS": levels}, cycle=3)


def _window_max(instance: Instance) -> ProvableBlock | None:
    """The greatest of a layer's windows; None of pixels of one beat, whose memory of one word has no address."""
    p = _numbers(instance, "PLACES", "WORDS", "LANES", "X_W", "X_SIGNED")
    if p["WORDS"] == 1:
        return None
    widths = {f"{name[:-1]}_W": max(1, (p[name] - 1).bit_length()) for name in ("PLACES", "WORDS")}
    peeks = {f"{name}_now": Peek(f"block.{name}_reg") for name in ("place", "word")}
    return ProvableBlock(
        _sizes("window_max", p),
        "prove_window_max",
        WINDOW_MAX,
        {**p, **widths},
        cycle=1,
        peeks={**peeks, "greatest_now": Peek("block.greatest", "looked")},
    )


def _add(instance: Instance) -> ProvableBlock:
    """The sums of two paths."""
    p = _numbers(instance, "LANES", "X_W", "X_SIGNED", "R_W", "R_SIGNED", "Y_W", "Y_SIGNED")
    return ProvableBlock(_sizes("few_add", p), "prove_few_add", FEW_ADD, p, cycle=1)


def _affine_lane(instance: Instance) -> ProvableBlock:
    """One value of a layer that is scaled, with any constants."""
    p = _numbers(
        instance, "X_W", "X_SIGNED", "W_W", "A_W", "ACC_W", "S_W", "B_W", "Y_W", "Y_SIGNED", "RELU", "ROUNDING"
    )
    # As few_affine has it: a factor of two bits where there is none, and what is added times one.
    return _scale_lane({**p, "W_W": p["W_W"] or 2, "R_W": 1, "R_SIGNED": 0, "V_W": p.pop("A_W")})


def _weighted_lane(instance: Instance) -> ProvableBlock:
    """One pair of values of a weighted sum, with any weights."""
    p = _numbers(instance, "X_W", "X_SIGNED", "W_W", "R_W", "R_SIGNED", "ACC_W", "S_W", "Y_W", "Y_SIGNED")
    return _scale_lane({**p, "V_W": p["W_W"], "B_W": 1, "RELU": 0, "ROUNDING": 0})


def _scale_lane(values: dict[str, int]) -> ProvableBlock:
    names = ("X_W", "X_SIGNED", "W_W", "R_W", "R_SIGNED", "V_W", "ACC_W", "S_W", "B_W", "Y_W", "Y_SIGNED", "RELU")
    p = {name: values[name] for name in (*names, "ROUNDING")}
    return ProvableBlock(_sizes("scale_lane", p), "prove_scale_lane", SCALE_LANE, p, cycle=3)


def _window_sum_lane(instance: Instance) -> ProvableBlock:
    """One value of a window's sums, with any weight; of two bits where all are 1."""
    p = _numbers(instance, "X_W", "X_KIND", "W_W", "ACC_W")
    p["W_W"] = p["W_W"] or 2
    return ProvableBlock(_sizes("window_sum_lane", p), "prove_window_sum_lane", WINDOW_SUM_LANE, p, cycle=1)


def _table(instance: Instance) -> ProvableBlock | None:
    """A layer's tables, whatever they hold; None where entries are so few that their bits cannot all differ.

    Yosys keeps no bit of a memory that is constant or another's in the file: so no two bits have the same column there.
    """
    p = _numbers(instance, "CHANNELS", "LANES", "X_W", "X_SIGNED", "Y_W")
    lanes, groups = p["LANES"], p["CHANNELS"] // p["LANES"]
    widths = {"GROUP_W": max(1, (groups - 1).bit_length()), "ADDRESS_W": ((groups << p["X_W"]) - 1).bit_length()}
    entries, bits = groups << p["X_W"], lanes * p["Y_W"]
    if bits > (1 << entries) - 2:
        return None
    columns = np.arange(1, bits + 1)[::-1, None] >> np.minimum(np.arange(entries), 62) & 1
    words = ("".join(map(str, column)) for column in columns.T.tolist())
    names = [f"entry_{n}" for n in range(lanes)]
    text = FULL_TABLE.replace("TABLE_FILE", _TABLE_FILE).replace("ENTRY_NAMES", ", ".join(reversed(names)))
    text = text.replace("ENTRY_PORTS", "\n".join(f"    input  wire [LANES*Y_W-1:0] {name}," for name in names))
    peeks = {name: Peek(f"block.lane[{n}].entries", "looked") for n, name in enumerate(names)}
    if groups == 1:
        # A counter of one state is no register.
        text = text.replace("    input  wire [GROUP_W-1:0]   group_now,\n", "")
        text = text.replace("  wire ready,", "  wire [GROUP_W-1:0] group_now = {GROUP_W{1'b0}};\n  wire ready,")
    else:
        peeks["group_now"] = Peek("block.group_reg")
    return ProvableBlock(
        _sizes("full_table", p),
        "prove_full_table",
        text,
        {**p, **widths},
        cycle=1,
        peeks=peeks,
        files={_TABLE_FILE: "".join(f"{int(word, 2):x}\n" for word in words).encode("ascii")},
    )


def _dot_product(instance: Instance) -> ProvableBlock:
    """The dot product inside one layer's sums."""
    p = _numbers(instance, "BEATS", "LANES", "X_W", "X_KIND", "W_W", "W_BIPOLAR", "ACC_W")
    return _row_product({"LANES": p.pop("BEATS") * p.pop("LANES"), **p}, product_latency(instance.parameters))


def _product_of_two(instance: Instance) -> ProvableBlock:
    """The dot product inside the product of two tensors."""
    p = _numbers(instance, "TERMS", "X_W", "X_SIGNED", "R_W", "R_SIGNED", "ACC_W")
    signed = {"X_KIND": 1 - p["X_SIGNED"], "W_W": p["R_W"] + 1 - p["R_SIGNED"], "W_BIPOLAR": 0}
    parameters = {"LANES": p["TERMS"], "X_W": p["X_W"], **signed, "ACC_W": p["ACC_W"]}
    return _row_product(parameters, matmul_latency(p) - 1)


def _row_product(parameters: dict[str, int], latency: int) -> ProvableBlock:
    return ProvableBlock(
        _sizes("few_dot_product", parameters),
        "prove_few_dot_product",
        FEW_DOT_PRODUCT,
        {**parameters, "LATENCY": latency},
        cycle=latency,
        wrong=("wrong_valid", "wrong_sum"),
        still="still",
    )
