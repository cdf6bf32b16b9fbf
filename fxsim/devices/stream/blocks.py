"""The streaming accelerator's blocks to prove: with the widths, lanes and sizes of a model."""

from fxsim.contract import AFFINE_ACC_BITS
from fxsim.devices.blocks import Peek, ProvableBlock, blocks_of
from fxsim.devices.stream.nodes import module_parameters
from fxsim.devices.stream.roms import rtl_parameters
from fxsim.devices.stream.settings import StreamSettings
from fxsim.families import recognise_resmlp
from fxsim.graph import Model
from fxsim.operators import Linear

SEGMENT_STEP = """\
module prove_segment_step #(
    parameter FRAC_W = 2
) (
    input  wire signed [7:0] t0,
    input  wire signed [7:0] t1,
    input  wire [FRAC_W-1:0] frac,
    output wire              wrong
);
  wire [8:0] step;
  segment_step #(.FRAC_W(FRAC_W)) block (.t0(t0), .t1(t1), .frac(frac), .step(step));
  // floor(2 (t1 - t0) frac / 2^FRAC_W), modulo 512
  wire signed [31:0] start = t0;
  wire signed [31:0] stop = t1;
  wire signed [31:0] part = {1'b0, frac};
  wire signed [31:0] halves = (2 * (stop - start) * part) >>> FRAC_W;
  assign wrong = step != halves[8:0];
endmodule
"""

PRODUCT_PAIR = """\
module prove_product_pair (
    input  wire signed [7:0] x,
    input  wire signed [7:0] w0,
    input  wire signed [7:0] w1,
    output wire              wrong
);
  wire [33:0] p;
  product_pair block (.x(x), .w0(w0), .w1(w1), .p(p));
  // Two products, each of its own, in numbers so wide that nothing wraps.
  wire signed [63:0] low = x * (w0 + 64'sd128);
  wire signed [63:0] high = x * w1;
  wire signed [63:0] pair = $signed(p);
  assign wrong = pair != (high <<< 18) + low;
endmodule
"""

SPLIT_PAIR = """\
module prove_split_pair (
    input  wire signed [31:0] low,
    input  wire signed [31:0] high,
    output wire               wrong
);
  // Four of each of prove_product_pair: x from -128 to 127, w0 + 128 from 0 to 255.
  wire there = low >= -32'sd4 * 32'sd128 * 32'sd255 && low <= 32'sd4 * 32'sd127 * 32'sd255 &&
               high >= -32'sd4 * 32'sd128 * 32'sd127 && high <= 32'sd4 * 32'sd128 * 32'sd128;
  wire signed [63:0] wide_low = low;
  wire signed [63:0] wide_high = high;
  wire signed [63:0] pair = (wide_high <<< 18) + wide_low;
  wire [17:0] low_found, high_found;
  split_pair block (.pair(pair[35:0]), .low(low_found), .high(high_found));
  wire signed [31:0] got_low = $signed(low_found);
  wire signed [31:0] got_high = $signed(high_found);
  assign wrong = there && (got_low != low || got_high != high);
endmodule
"""

DOT_PRODUCT = """\
module prove_dot_product #(
    parameter LANES = 96,
    parameter ACC_W = 23,
    parameter LATENCY = 5
) (
    input  wire               clk,
    input  wire               rst,
    input  wire               enable,
    input  wire               in_valid,
    input  wire [8*LANES-1:0] x,
    input  wire [8*LANES-1:0] w,
    output wire               wrong_valid,
    output wire               wrong_sum,
    output wire               still,
    output wire [ACC_W-1:0]   sum           // so that no register of the block is left out as unused
);
  wire out_valid;
  dot_product #(.LANES(LANES), .ACC_W(ACC_W)) block (
      .clk(clk), .rst(rst), .enable(enable), .in_valid(in_valid), .x(x), .w(w), .out_valid(out_valid), .sum(sum)
  );

  // The same where it moves in every cycle, which is all that a row sees that is not taken away.
  wire [ACC_W-1:0] moving_sum;
  dot_product #(.LANES(LANES), .ACC_W(ACC_W)) moving (
      .clk(clk), .rst(1'b0), .enable(1'b1), .in_valid(in_valid), .x(x), .w(w), .out_valid(), .sum(moving_sum)
  );
  reg [LATENCY-1:0] entered_line;
  always @(posedge clk) entered_line <= {entered_line, in_valid};

  // The last LATENCY cycles, the newest lowest: rows, and which of them are there that no reset took away. Cycles that
  // stand still are none of them: that these change nothing is what `still` asks for.
  reg [8*LANES*LATENCY-1:0] x_line, w_line;
  reg [LATENCY-1:0] row_line, moves_line;
  always @(posedge clk) begin
    x_line <= {x_line, x};
    w_line <= {w_line, w};
    row_line <= rst ? {LATENCY{1'b0}} : {row_line, in_valid};
    moves_line <= {moves_line, enable || rst};
  end
  assign still = !enable && !rst;

  // The sum of all products, by fours so that the solver need not know that the order is all one, modulo 2^ACC_W.
  wire [8*LANES-1:0] x_row = x_line[8*LANES*(LATENCY-1)+:8*LANES];
  wire [8*LANES-1:0] w_row = w_line[8*LANES*(LATENCY-1)+:8*LANES];
  genvar l, k;
  generate
    for (l = 0; l < LATENCY; l = l + 1) begin : fours
      localparam NODES = 1 << (2 * (LATENCY - 1 - l));
      wire [ACC_W*NODES-1:0] sums;
      for (k = 0; k < NODES; k = k + 1) begin : node
        if (l > 0) begin : add
          assign sums[ACC_W*k+:ACC_W] =
              (fours[l-1].sums[ACC_W*4*k+:ACC_W] + fours[l-1].sums[ACC_W*(4*k+1)+:ACC_W]) +
              (fours[l-1].sums[ACC_W*(4*k+2)+:ACC_W] + fours[l-1].sums[ACC_W*(4*k+3)+:ACC_W]);
        end else if (k < LANES) begin : multiply
          wire signed [7:0] x_lane = x_row[8*k+:8];
          wire signed [7:0] w_lane = w_row[8*k+:8];
          wire signed [ACC_W-1:0] product = x_lane * w_lane;
          assign sums[ACC_W*k+:ACC_W] = product;
        end else begin : nothing
          assign sums[ACC_W*k+:ACC_W] = {ACC_W{1'b0}};
        end
      end
    end
  endgenerate
  wire [ACC_W-1:0] total = fours[LATENCY-1].sums;
  assign wrong_valid = &moves_line && out_valid != row_line[LATENCY-1];
  assign wrong_sum = entered_line[LATENCY-1] && moving_sum != total;
endmodule
"""

FRAME_GUARD = """\
module prove_frame_guard #(
    parameter BEATS = 3072,
    parameter INDEX_W = 12
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [7:0]         data,
    input  wire               valid,
    input  wire               last,
    input  wire               out_ready,
    input  wire               flag_ready,
    input  wire [1:0]         state_now,
    input  wire [INDEX_W-1:0] index_now,
    output wire               wrong
);
  wire ready, out_valid, flag, flag_valid, early, late;
  wire [7:0] out_data;
  frame_guard #(.BEATS(BEATS)) block (
      .clk(clk), .rst(rst), .s_axis_tdata(data), .s_axis_tvalid(valid), .s_axis_tready(ready), .s_axis_tlast(last),
      .m_axis_tdata(out_data), .m_axis_tvalid(out_valid), .m_axis_tready(out_ready),
      .m_flag_axis_tdata(flag), .m_flag_axis_tvalid(flag_valid), .m_flag_axis_tready(flag_ready),
      .frame_error_early(early), .frame_error_late(late)
  );

  // The rule. Values of the image that went on so far; whether it is being filled up, or its rest thrown away.
  reg [31:0] count;
  reg filling, dropping;
  wire end_of_image = count == BEATS - 1;
  wire taken = valid && ready;
  wire room = (!out_valid || out_ready) && (!end_of_image || !flag_valid || flag_ready);
  wire goes_on = filling ? room : taken && !dropping;
  wire wrong_ready = ready != (dropping || (!filling && room));
  wire too_short = taken && !filling && !dropping && last && !end_of_image;
  wire too_long = taken && !filling && !dropping && !last && end_of_image;
  wire agrees = {30'd0, state_now} == (dropping ? 32'd2 : filling ? 32'd1 : 32'd0) && !(filling && dropping) &&
                {{(32 - INDEX_W) {1'b0}}, index_now} == count && count < BEATS && !(dropping && count != 0);

  // What one cycle makes of it.
  reg known, value_then, value_stays, flag_then, flag_stays, early_next, late_next, bad_next;
  reg [7:0] data_next;
  always @(posedge clk) begin
    count <= rst ? 32'd0 : goes_on ? (end_of_image ? 32'd0 : count + 32'd1) : count;
    filling <= !rst && (too_short || (filling && !(goes_on && end_of_image)));
    dropping <= !rst && (too_long || (dropping && !(taken && last)));
    known <= rst || agrees;
    value_then <= !rst && goes_on;
    value_stays <= !rst && out_valid && !out_ready;
    flag_then <= !rst && goes_on && end_of_image;
    flag_stays <= !rst && flag_valid && !flag_ready;
    data_next <= goes_on ? (filling ? 8'd0 : data) : out_data;
    bad_next <= (goes_on && end_of_image) ? (filling || too_long) : flag;
    early_next <= !rst && (early || too_short);
    late_next <= !rst && (late || too_long);
  end
  assign wrong = known && (
      !agrees || wrong_ready || early != early_next || late != late_next ||
      out_valid != (value_then || value_stays) || (out_valid && out_data != data_next) ||
      flag_valid != (flag_then || flag_stays) || (flag_valid && flag != bad_next));
endmodule
"""

FRAME_TAG = """\
module prove_frame_tag #(
    parameter BEATS = 10,
    parameter INDEX_W = 4
) (
    input  wire               clk,
    input  wire               rst,
    input  wire [7:0]         data,
    input  wire               valid,
    input  wire               flag,
    input  wire               flag_valid,
    input  wire               out_ready,
    input  wire [INDEX_W-1:0] index_now,
    output wire               wrong
);
  wire ready, flag_ready, out_valid, out_last, out_user;
  wire [7:0] out_data;
  frame_tag #(.BEATS(BEATS)) block (
      .clk(clk), .rst(rst), .s_axis_tdata(data), .s_axis_tvalid(valid), .s_axis_tready(ready),
      .s_flag_axis_tdata(flag), .s_flag_axis_tvalid(flag_valid), .s_flag_axis_tready(flag_ready),
      .m_axis_tdata(out_data), .m_axis_tvalid(out_valid), .m_axis_tready(out_ready),
      .m_axis_tlast(out_last), .m_axis_tuser(out_user)
  );

  // The rule: values that passed since the reset, in parts of BEATS.
  reg [31:0] count;
  reg known;
  wire passes = out_valid && out_ready;
  wire end_of_image = count == BEATS - 1;
  wire agrees = {{(32 - INDEX_W) {1'b0}}, index_now} == count && count < BEATS;
  always @(posedge clk) begin
    count <= rst ? 32'd0 : passes ? (end_of_image ? 32'd0 : count + 32'd1) : count;
    known <= rst || agrees;
  end
  assign wrong = known && (
      !agrees || out_valid != (valid && flag_valid) || (valid && ready) != passes ||
      (flag_valid && flag_ready) != (passes && end_of_image) ||
      (out_valid && (out_data != data || out_user != flag || out_last != end_of_image)));
endmodule
"""


def blocks(model: Model, settings: StreamSettings) -> dict[str, tuple[ProvableBlock, ...]]:  # noqa: ARG001  # of a value a beat
    """The accelerator's blocks by module, with the widths of a model. ModelError where the model does not fit it."""
    parameters, config = rtl_parameters(model), recognise_resmlp(model.graph)
    widths = {bits for name, bits in parameters.items() if name.endswith("_ACC_W")}
    fraction = 8 - (parameters["POINTS"].bit_length() - 1)
    step = ProvableBlock(f"segment_step ({fraction} bits)", "prove_segment_step", SEGMENT_STEP, {"FRAC_W": fraction})
    return blocks_of((AFFINE_ACC_BITS,), widths) | {
        "segment_step": (step,) if parameters["PSA"] and fraction > 0 else (),
        "dot_product": _dot_products(model),
        "product_pair": (ProvableBlock("product_pair", "prove_product_pair", PRODUCT_PAIR, {}),),
        "split_pair": (ProvableBlock("split_pair", "prove_split_pair", SPLIT_PAIR, {}),),
        "frame_guard": (_framing("frame_guard", FRAME_GUARD, config.tokens * config.values, ("state", "index")),),
        "frame_tag": (_framing("frame_tag", FRAME_TAG, config.classes, ("index",)),),
    }


def _dot_products(model: Model) -> tuple[ProvableBlock, ...]:
    """The different ones: of as many lanes as a linear has inputs."""
    linears = (module_parameters(model, node)[0] for node in model.graph.nodes if isinstance(node.op, Linear))
    found = []
    for lanes, bits in sorted({(parameters["IN"], parameters["ACC_W"]) for parameters in linears}):
        latency, nodes = 1, lanes
        while nodes > 1:
            latency, nodes = latency + 1, -(-nodes // 4)
        found.append(
            ProvableBlock(
                f"dot_product ({lanes} lanes, {bits} bits)",
                "prove_dot_product",
                DOT_PRODUCT,
                {"LANES": lanes, "ACC_W": bits, "LATENCY": latency},
                cycle=latency,
                wrong=("wrong_valid", "wrong_sum"),
                still="still",
            )
        )
    return tuple(found)


def _framing(module: str, verilog: str, beats: int, peeks: tuple[str, ...]) -> ProvableBlock:
    return ProvableBlock(
        f"{module} ({beats} values)",
        f"prove_{module}",
        verilog,
        {"BEATS": beats, "INDEX_W": max(1, (beats - 1).bit_length())},
        cycle=1,
        peeks={f"{name}_now": Peek(f"block.{name}_reg") for name in peeks},
    )
