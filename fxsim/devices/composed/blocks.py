"""Blocks of the composed accelerator to prove, beside the rules of the contract."""

from fxsim.devices.blocks import ProvableBlock
from fxsim.devices.composed.plan import Instance, make_plan
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

  // The sum of all products, in the order of the block, so that the solver need not know that the order is all one:
  // GROUP neighbours by pairs, then by fours. Of products that are -1 or 1 those that are 1 are counted, m of them: their
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

WINDOW_MAX = """\
module prove_window_max #(
    parameter PLACES = 4,
    parameter LANES = 4,
    parameter X_W = 1,
    parameter X_SIGNED = 0,
    parameter PLACE_W = 2
) (
    input  wire                 clk,
    input  wire                 rst,
    input  wire [LANES*X_W-1:0] x,
    input  wire                 valid,
    input  wire                 out_ready,
    input  wire [PLACE_W-1:0]   place_now,
    input  wire [LANES*X_W-1:0] greatest_now,
    output wire                 wrong
);
  wire ready, out_valid;
  wire [LANES*X_W-1:0] y;
  window_max #(.PLACES(PLACES), .WORDS(1), .LANES(LANES), .X_W(X_W), .X_SIGNED(X_SIGNED)) block (
      .clk(clk), .rst(rst), .s_axis_tdata(x), .s_axis_tvalid(valid), .s_axis_tready(ready),
      .m_axis_tdata(y), .m_axis_tvalid(out_valid), .m_axis_tready(out_ready)
  );

  // The rule: pixels of the window so far, and the greatest value of each lane among them.
  reg [31:0] count;
  reg [LANES*X_W-1:0] most, y_next;
  reg known, y_then, y_stays;
  wire taken = valid && ready;
  wire end_of_window = count == PLACES - 1;
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
  // What the block holds of a window that has begun is that.
  wire agrees = {{(32 - PLACE_W) {1'b0}}, place_now} == count && count < PLACES &&
                (count == 0 || greatest_now == most);
  always @(posedge clk) begin
    count <= rst ? 32'd0 : taken ? (end_of_window ? 32'd0 : count + 32'd1) : count;
    if (taken) most <= more;
    known <= rst || agrees;
    y_then <= !rst && taken && end_of_window;
    y_stays <= !rst && out_valid && !out_ready;
    y_next <= (taken && end_of_window) ? more : y;
  end
  assign wrong = known && (
      !agrees || ready != (!out_valid || out_ready) || out_valid != (y_then || y_stays) || (out_valid && y != y_next));
endmodule
"""


def blocks(model: Model, settings: Settings) -> dict[str, tuple[ProvableBlock, ...]]:
    """The accelerator's blocks by module, with the sizes of a model. ModelError where the model does not fit it."""
    plan = make_plan(model, getattr(settings, "interval", None))
    instances = [instance for part in plan.parts for instance in part.instances]
    sums = [_dot_product(instance) for instance in instances if instance.module == "few_linear"]
    found = {"few_dot_product": tuple({block.name: block for block in sums}.values())}
    return {module: every for module, every in found.items() if every}


def _dot_product(instance: Instance) -> ProvableBlock:
    """The dot product inside one layer's sums."""
    p = {name: int(value) for name, value in instance.parameters.items() if value.isdecimal()}
    lanes = p["BEATS"] * p["LANES"]
    match = p["X_KIND"] == 2 and p["W_BIPOLAR"] == 1
    group = 8 if match else 4 if p["X_W"] + p["W_W"] <= 4 else 1
    latency, nodes = 1 + match, -(-lanes // group)
    while nodes > 1:
        latency, nodes = latency + 1, -(-nodes // 4)
    kept = {name: p[name] for name in ("X_W", "X_KIND", "W_W", "W_BIPOLAR", "ACC_W")}
    return ProvableBlock(
        f"few_dot_product ({lanes} lanes, {', '.join(f'{name} {value}' for name, value in kept.items())})",
        "prove_few_dot_product",
        FEW_DOT_PRODUCT,
        {"LANES": lanes, **kept, "LATENCY": latency},
        cycle=latency,
        wrong=("wrong_valid", "wrong_sum"),
        still="still",
    )
