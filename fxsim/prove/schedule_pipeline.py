"""The pipeline of `few_dot_product` as what stands in its place where the modules around it are proved."""

BIPOLAR = 2
"""Bits of -1 and 1, as X_KIND says it."""


def tree(lanes: int, p: dict[str, int]) -> tuple[int, list[int], bool]:
    """Products that a node of the first level adds, nodes of each level, and whether matches are counted."""
    match = p["X_KIND"] == BIPOLAR and bool(p["W_BIPOLAR"])
    group = 8 if match else 4 if p["X_W"] + p["W_W"] <= 4 else 1
    levels = [-(-lanes // group)]
    while levels[-1] > 1:
        levels.append(-(-levels[-1] // 4))
    return group, levels, match


_PIPELINE = """
module few_dot_product #(
    parameter LANES = 64,
    parameter X_W = 1,
    parameter X_KIND = 2,
    parameter W_W = 1,
    parameter W_BIPOLAR = 1,
    parameter ACC_W = 8,
    parameter TAG_W = 1
) (
    input wire clk, input wire rst, input wire enable, input wire in_valid,
    input wire [LANES*X_W-1:0] x, input wire [LANES*W_W-1:0] w,
    output wire out_valid, output wire [ACC_W-1:0] sum,
    input wire gh_issues, input wire [LANES*X_W-1:0] gh_x, input wire [LANES*W_W-1:0] gh_w,
    input wire [TAG_W-1:0] gh_tag, input wire [ACC_W-1:0] gh_sum, input wire [ACC_W-1:0] gh_other,
    output wire [LATENCY-1:0] gh_valids, output wire [LATENCY-1:0] gh_hits, output wire [LATENCY*TAG_W-1:0] gh_tags
);
  localparam LATENCY = @LATENCY@;
  generate
    // Of these the sums that are meant are those of this block.
    if (LANES != @LANES@ || X_W != @X_W@ || X_KIND != @X_KIND@ || W_W != @W_W@ || W_BIPOLAR != @W_BIPOLAR@ ||
        ACC_W != @ACC_W@) begin : other
      few_dot_product_has_other_parameters stop ();
    end
  endgenerate
  reg [LATENCY-1:0] valid_reg;
  reg [LATENCY-1:0] hit_reg;
  reg [LATENCY*TAG_W-1:0] tag_reg;
  wire [LATENCY:0] stage_valid = {valid_reg, in_valid};
  wire [LATENCY:0] stage_hit = {hit_reg, gh_issues && x == gh_x && w == gh_w};
  wire [(LATENCY+1)*TAG_W-1:0] stage_tag = {tag_reg, gh_tag};
  reg [ACC_W-1:0] other_reg;
  integer i;
  always @(posedge clk) begin
    if (enable) other_reg <= gh_other;
    if (rst) valid_reg <= {LATENCY{1'b0}};
    else if (enable) valid_reg <= stage_valid[LATENCY-1:0];
    for (i = 0; i < LATENCY; i = i + 1) begin
      if (enable && stage_valid[i]) begin
        hit_reg[i] <= stage_hit[i];
        tag_reg[i*TAG_W+:TAG_W] <= stage_tag[i*TAG_W+:TAG_W];
      end
    end
  end
  assign out_valid = valid_reg[LATENCY-1];
  assign sum = hit_reg[LATENCY-1] ? gh_sum : other_reg;
  assign gh_valids = valid_reg;
  assign gh_hits = hit_reg;
  assign gh_tags = tag_reg;
endmodule
"""


def pipeline(latency: int, block: dict[str, int]) -> str:
    """The Verilog of a pipeline of so many registers for a `few_dot_product` with these parameters, and no others.

    It carries whether what entered with `gh_issues` is `gh_x` and `gh_w`: their sum is `gh_sum`, all others are free.
    """
    text = _PIPELINE.replace("@LATENCY@", str(latency))
    for name, number in block.items():
        text = text.replace(f"@{name}@", str(number))
    return text
