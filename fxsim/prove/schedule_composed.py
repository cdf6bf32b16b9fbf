"""Properties of the composed accelerator's modules under every schedule, as ghost Verilog inside a copy of each.

Each output is stated as a function of inputs and of words of ROMs, which have any content: windows are looked up by
row and column, products are added in numbers of 40 bits. Modules with constants that come round with the beats are in
`schedule_constants.py`. What a ROM of the design holds is another question (`composed.py`).
"""

from collections.abc import Callable

from fxsim.prove.schedule import Progress, Properties
from fxsim.prove.schedule_channels import channel_argmax, channel_concat, window_sum
from fxsim.prove.schedule_constants import (
    WIDE,
    counter,
    few_affine,
    few_weighted_add,
    full_table,
    joined,
    slice_wide,
    threshold,
)
from fxsim.prove.schedule_matmul import few_matmul, few_product
from fxsim.prove.schedule_modules import (
    FUNCTION,
    READY,
    STABLE,
    axis_fifo,
    axis_fork,
    bits_of,
    constant,
    single,
    stable,
    stays,
)
from fxsim.prove.schedule_pipeline import BIPOLAR, pipeline, tree

_ROUNDS = 4
"""Rings by which rows are moved before they are taken modulo one: enough for any above the image that is read."""


# --- Sums of two, and the greatest -----------------------------------------------------------------------------------


def few_add(parameters: dict[str, int]) -> Properties:
    """A sum of two streams, saturated."""
    p = dict(parameters)
    lanes, width = p["LANES"], p["Y_W"]
    low = -(1 << (width - 1)) if p["Y_SIGNED"] else 0
    high = low + (1 << width) - 1
    ghost = [f"  wire [{lanes * width - 1}:0] gh_y;"]
    for n in range(lanes):
        x = slice_wide("gh_value", p["X_W"] * n, p["X_W"], bool(p["X_SIGNED"]))
        r = slice_wide("gh_value", lanes * p["X_W"] + p["R_W"] * n, p["R_W"], bool(p["R_SIGNED"]))
        ghost.append(
            f"  wire signed [{WIDE - 1}:0] gh_x{n} = {x}, gh_r{n} = {r}, gh_sum{n} = gh_x{n} + gh_r{n};\n"
            f"  assign gh_y[{width * n}+:{width}] = gh_sum{n} > {WIDE}'sd{high} ? {WIDE}'sd{high} : "
            f"gh_sum{n} < {'-' if low else ''}{WIDE}'sd{-low} ? {'-' if low else ''}{WIDE}'sd{-low} : gh_sum{n};"
        )
    enters = "s0_axis_tvalid && s0_axis_tready && !rst"
    return single(
        "few_add",
        p,
        1,
        {
            "inside": "gh_inside == y_valid_reg",
            "first": "!gh_follows || (gh_before == 0 && y_reg == gh_y)",
            "together": f"({enters}) == (s1_axis_tvalid && s1_axis_tready && !rst)",
        },
        expected="gh_y",
        says=FUNCTION,
        enters=enters,
        data="{s1_axis_tdata, s0_axis_tdata}",
        width=lanes * (p["X_W"] + p["R_W"]),
        given=lanes * width,
        ghost="\n".join(ghost) + "\n",
        ready="(s0_axis_tready == s1_axis_tvalid && s1_axis_tready == s0_axis_tvalid)",
    )


def window_max(parameters: dict[str, int]) -> Properties:
    """The greatest of a window: one beat of the pixels is followed, any."""
    p = dict(parameters)
    places, words, lanes, bits = (p[name] for name in ("PLACES", "WORDS", "LANES", "X_W"))
    signed = bool(p["X_SIGNED"])
    last, top = words - 1, max(1, (words - 1).bit_length()) - 1
    end, place_top = places - 1, max(1, (places - 1).bit_length()) - 1
    width = lanes * bits
    more = []
    for n in range(lanes):
        now, far = (slice_wide(name, bits * n, bits, signed) for name in ("s_axis_tdata", "gh_most"))
        more.append(
            f"  wire signed [{WIDE - 1}:0] gh_now{n} = {now}, gh_far{n} = {far};\n"
            f"  assign gh_more[{bits * n}+:{bits}] = gh_place == 0 || gh_now{n} > gh_far{n} ? gh_now{n} : gh_far{n};"
        )
    ghost = f"""
  wire gh_in = s_axis_tvalid && s_axis_tready && !rst;
  wire gh_out = m_axis_tvalid && m_axis_tready && !rst;
{constant("gh_own", top + 1)}
  initial gh_own = 0;  // of runs by chance alone: induction begins anywhere
{counter("gh_word_in", "gh_in", last, top)}{counter("gh_place", f"gh_in && gh_word_in == {last}", end, place_top)}
{counter("gh_leaving", "gh_out", last, top)}
  reg [{top}:0] gh_shown;               // of the input that was taken last
  reg [{width - 1}:0] gh_most, gh_total;  // of the followed beat: so far, and of a whole window
  wire [{width - 1}:0] gh_more;
{chr(10).join(more)}
  wire gh_mine = gh_in && gh_word_in == gh_own;
  always @(posedge clk) begin
    if (gh_mine) gh_most <= gh_more;
    if (gh_mine && gh_place == {end}) gh_total <= gh_more;
    if (gh_in) gh_shown <= gh_word_in;
  end
  wire [{top}:0] gh_comes = gh_place == {end} ? gh_word_in : 0;  // the beat whose result comes next
  wire [{top}:0] gh_after = gh_leaving == {last} ? 0 : gh_leaving + 1'b1;
{stable("m_axis", width)}"""
    return Properties(
        "window_max",
        p,
        ghost,
        {
            "order": "!(m_axis_tvalid && gh_leaving == gh_own) || m_axis_tdata == gh_total",
            "exists": "!m_axis_tvalid || gh_after == gh_comes",
            "complete": "m_axis_tvalid || gh_leaving == gh_comes",
            "stable": stays("m_axis"),
            "ready": "s_axis_tready || y_valid_reg",
            "counters": f"word_reg == gh_word_in && place_reg == gh_place && gh_word_in <= {last} && "
            f"gh_place <= {end} && gh_leaving <= {last}",
            "greatest": f"gh_own > {last} || (gh_place == 0 && gh_word_in <= gh_own) || greatest[gh_own] == gh_most",
            "shown": "!y_valid_reg || gh_shown == gh_leaving",
            "result": "!(y_valid_reg && gh_shown == gh_own) || y_reg == gh_total",
        },
        {
            "order": "output w of a window is the greatest value of each lane of beat w of all its pixels",
            "exists": "no output but after the last pixel's beat, each once, in the order of beats",
            "complete": "no output is lost: what is not shown has been taken",
            "stable": STABLE,
            "ready": READY,
        },
        reached={"own": "gh_out && gh_leaving == gh_own", "waits": "gh_m_axis_waits"},
        progress={"moves": Progress("y_valid_reg && m_axis_tready", "gh_out", 1)},
        word=max(32, width),
        cycles=4000 + 8 * places * words,
    )


# --- Sums of products ------------------------------------------------------------------------------------------------


def few_dot_product(parameters: dict[str, int]) -> Properties:
    """A pipelined sum of products of few bits: the sum of each row, so many enabled cycles later."""
    p = dict(parameters)
    lanes, x_bits, w_bits, acc = (p[name] for name in ("LANES", "X_W", "W_W", "ACC_W"))
    group, levels, match = tree(lanes, p)
    latency = len(levels) + match
    # A product of numbers needs no more bits than both have; of bits and numbers, one more than these.
    wide, narrow = 32, x_bits + w_bits
    nodes: list[str] = []
    holds: dict[str, str] = {}
    splits: dict[str, tuple[str, ...]] = {}

    def total(parts: list[str]) -> str:
        """A sum in pairs, pairs of pairs, and so on."""
        while len(parts) > 1:
            parts = [f"({' + '.join(parts[i : i + 2])})" for i in range(0, len(parts), 2)]
        return parts[0]

    for k in range(lanes):
        if match:
            # Of products that are -1 or 1 those that are 1 are counted.
            nodes.append(f"wire [{wide - 1}:0] gh_p{k} = {{{wide - 1}'d0, gh_x[{k}] == gh_w[{k}]}};")
            continue
        x = "" if p["X_KIND"] == BIPOLAR else slice_wide("gh_x", x_bits * k, x_bits, p["X_KIND"] == 0, narrow)
        w = "" if p["W_BIPOLAR"] else slice_wide("gh_w", w_bits * k, w_bits, signed=True, wide=narrow)
        product = f"gh_x{k} * gh_w{k}"
        if not x or not w:
            product = f"gh_x[{k}] ? gh_w{k} : -gh_w{k}" if w else f"gh_w[{k}] ? gh_x{k} : -gh_x{k}"
        for name, text in ((f"gh_x{k}", x), (f"gh_w{k}", w), (f"gh_p{k}", product)):
            nodes += [f"wire signed [{narrow - 1}:0] {name} = {text};"] if text else []
    for k in range(levels[0]):
        own = [f"gh_p{j}" for j in range(group * k, min(group * (k + 1), lanes))]
        own += [f"{wide}'d0"] * (group - len(own) if match else 0)
        nodes.append(f"wire signed [{wide - 1}:0] gh_n0_{k} = {total(own)};")
    for level in range(1, len(levels)):
        for k in range(levels[level]):
            own = [f"gh_n{level - 1}_{j}" for j in range(4 * k, min(4 * k + 4, levels[level - 1]))]
            nodes.append(f"wire signed [{wide - 1}:0] gh_n{level}_{k} = {total(own)};")
    for level, count in enumerate(levels):
        # Compared as numbers: a node too narrow for its sum is another number.
        equal = joined(f"level[{level}].node[{k}].value_reg == gh_n{level}_{k}" for k in range(count))
        holds[f"level{level}"] = f"!(gh_follows && gh_stage == {level}) || ({equal})"
        # Case by case, so that what is equal before is put in its place, and products are compared where a row enters.
        before = f"gh_follows && gh_stage == (enable ? {level - 1} : {level})" if level else "gh_follows && !enable"
        splits[f"level{level}"] = ("enable", "gh_starts", before)
    whole = f"gh_n{len(levels) - 1}_0"
    # Of m products that are 1 and the others, -1, the sum is m - (LANES - m).
    expected = f"{whole} - ({wide}'d{lanes} - {whole})" if match else whole
    top = bits_of(latency) - 1
    return Properties(
        "few_dot_product",
        p,
        f"""
  reg gh_follows;
  reg [{top}:0] gh_stage;
  reg [{lanes * x_bits - 1}:0] gh_x;
  reg [{lanes * w_bits - 1}:0] gh_w;
  reg [{latency - 1}:0] gh_valid;  // what was valid so many enabled cycles ago
  wire gh_starts = enable && in_valid && gh_mark && !gh_follows && !rst;
  always @(posedge clk) begin
    if (rst) begin
      gh_follows <= 0;
      gh_valid <= 0;
    end else if (enable) begin
      gh_valid <= {{gh_valid, in_valid}};
      if (gh_starts) begin
        gh_follows <= 1'b1;
        gh_stage <= 0;
      end else begin
        gh_follows <= gh_follows && gh_stage != {latency - 1};
        gh_stage <= gh_stage + 1'b1;
      end
    end
    if (gh_starts) begin
      gh_x <= x;
      gh_w <= w;
    end
  end
  {chr(10).join(nodes)}
  wire [{wide - 1}:0] gh_sum = {expected};
""",
        {
            "order": f"!(gh_follows && gh_stage == {latency - 1}) || (out_valid && sum == gh_sum[{acc - 1}:0])",
            "exists": f"out_valid == gh_valid[{latency - 1}]",
            "valid": "valid_reg == gh_valid",
            "stage": f"!gh_follows || (gh_stage <= {latency - 1} && gh_valid[gh_stage])",
            **holds,
        },
        {
            "order": f"the sum that stands there {latency} enabled cycles after a row is that of its products, "
            f"modulo 2^{acc}",
            "exists": f"a sum is valid where its row was, {latency} enabled cycles before",
        },
        inputs={"gh_mark": 1},
        reached={"order": f"gh_follows && gh_stage == {latency - 1} && out_valid"},
        splits=splits,
    )


def few_linear(parameters: dict[str, int]) -> Properties:
    """Rows times weights: one beat of sums of one row is followed, any.

    In place of `few_dot_product` stands a pipeline of its depth and control, which carries whether what entered is the
    followed row and weights: their sum is one value, any; all others are free. That is what is proved of
    few_dot_product, which makes the value the sum of their products.
    """
    p = dict(parameters)
    beats, lanes, outputs, given = (p[name] for name in ("BEATS", "LANES", "OUT", "OUT_LANES"))
    acc, beat = p["ACC_W"], p["LANES"] * p["X_W"]
    row, weights = beats * beat, beats * lanes * p["W_W"]
    _, levels, match = tree(beats * lanes, p)
    latency = len(levels) + match
    last = outputs // given - 1
    wide = max(1, last.bit_length())
    counts = bits_of(latency + 4)  # of rows that can be inside, and one more
    tag = wide + counts
    end = beats - 1
    chain = [f"wire [{tag - 1}:0] gh_w0 = gh_leaves;"]
    keeps = []
    for i in range(latency):
        stage = latency - 1 - i
        there = f"gh_valids[{stage}]"
        row_next = f"{{gh_w{i}[{tag - 1}:{wide}] + {counts}'d1, {wide}'d0}}"
        following = f"(gh_w{i}[{wide - 1}:0] == {last} ? {row_next} : gh_w{i} + 1'b1)"
        chain.append(f"wire [{tag - 1}:0] gh_w{i + 1} = {there} ? {following} : gh_w{i};")
        keeps.append(f"(!{there} || gh_tags[{stage * tag}+:{tag}] == gh_w{i})")
    follow = "{gh_number, gh_own}"
    inside = "(row_valid_reg || gh_valids != 0)"
    shifted = "s_axis_tdata" if beats == 1 else f"{{s_axis_tdata, gh_row[{row - 1}:{beat}]}}"
    block = {name: p[name] for name in ("X_W", "X_KIND", "W_W", "W_BIPOLAR", "ACC_W")} | {"LANES": beats * lanes}
    return Properties(
        "few_linear",
        p,
        f"""
  wire gh_in = s_axis_tvalid && s_axis_tready && !rst;
  wire gh_out = m_axis_tvalid && m_axis_tready && !rst;
{constant("gh_own", wide)}{constant("gh_sum", given * acc)}
  initial gh_own = 0;  // of runs by chance alone: induction begins anywhere
  assign gh_weights = weights[gh_own];
  reg [2:0] gh_phase;               // of the followed row: 0 none, 1 comes in, 2 waits, 3 is used, 4 was for gh_own
  reg [{bits_of(latency) - 1}:0] gh_at;  // in phase 4: the stage of few_dot_product
  reg [{counts - 1}:0] gh_number, gh_taken, gh_used;  // of the row that is followed, that comes in, that is used
  reg [{tag - 1}:0] gh_leaves;      // row and index of the next output
  wire gh_starts = gh_in && collect_index_reg == 0 && gh_pick && gh_phase == 0 && gh_own <= {last};
  wire gh_fills = gh_in && (gh_starts || gh_phase == 1);
  assign gh_issues = row_used && gh_phase == 3 && row_index_reg == gh_own;
  assign gh_tag = {{gh_used, row_index_reg}};
  wire gh_ends = row_used && row_index_reg == {last};
  always @(posedge clk) begin
    if (rst) begin
      gh_phase <= 0;
      gh_taken <= 0;
      gh_used <= 0;
      gh_leaves <= 0;
    end else begin
      if (gh_in && collect_index_reg == {end}) gh_taken <= gh_taken + 1'b1;
      if (gh_ends) gh_used <= gh_used + 1'b1;
      if (gh_out) gh_leaves <= gh_leaves[{wide - 1}:0] == {last} ?
          {{gh_leaves[{tag - 1}:{wide}] + {counts}'d1, {wide}'d0}} : gh_leaves + 1'b1;
      if (gh_fills) gh_phase <= collect_index_reg != {end} ? 1 : row_load ? 3 : 2;
      else if (gh_phase == 2 && row_load) gh_phase <= 3;
      else if (gh_issues) gh_phase <= 4;
      else if (gh_phase == 4 && gh_at == {latency - 1} && gh_out) gh_phase <= 0;
      if (gh_issues) gh_at <= 0;
      else if (gh_phase == 4 && advance) gh_at <= gh_at + 1'b1;
    end
    if (gh_starts) gh_number <= gh_taken;
    if (gh_fills) gh_row <= {shifted};
  end
  {chr(10).join(chain)}
  wire [{wide - 1}:0] gh_next_row = row_index_reg == {last} ? 0 : row_index_reg + 1'b1;
{stable("m_axis", given * acc)}""",
        {
            "order": f"!(m_axis_tvalid && gh_phase != 0 && gh_leaves == {follow}) || "
            f"(gh_phase == 4 && gh_at == {latency - 1} && m_axis_tdata == gh_sum)",
            "exists": f"!m_axis_tvalid || gh_leaves[{tag - 1}:{wide}] != gh_taken",
            "stable": stays("m_axis"),
            "ready": "s_axis_tready || row_valid_reg",
            "control": f"collect_index_reg <= {end} && row_index_reg <= {last} && "
            "(!collect_full_reg || (collect_index_reg == 0 && row_valid_reg)) && (row_valid_reg || row_index_reg == 0)",
            "rows": "gh_taken == gh_used + row_valid_reg + collect_full_reg",
            "weights": "fetched_reg ? weight_rows_reg == weights[row_index_reg] && fetch_reg == gh_next_row "
            ": !row_valid_reg && fetch_reg == 0",
            "chain": f"{' && '.join(keeps)} && gh_w{latency} == {{gh_used, row_index_reg}} && "
            f"gh_leaves[{wide - 1}:0] <= {last}",
            "alike": f"gh_every_valids == {{{given}{{gh_valids}}}}",
            "phase": f"gh_phase <= 4 && (gh_phase == 0 || gh_own <= {last})",
            "fills": f"gh_phase != 1 || (collect_index_reg != 0 && gh_number == gh_taken && "
            f"((collect_reg ^ gh_row) >> ({beat} * ({beats} - collect_index_reg))) == 0)",
            "waits": "gh_phase != 2 || "
            f"(collect_full_reg && collect_reg == gh_row && gh_number == gh_used + {counts}'d1)",
            "uses": "gh_phase != 3 || "
            "(row_valid_reg && row_reg == gh_row && gh_number == gh_used && row_index_reg <= gh_own)",
            "sums": f"gh_phase != 4 || (gh_at < {latency} && gh_valids[gh_at] && gh_at_hits && gh_at_tag == {follow})",
        },
        {
            "order": "output r OUT / OUT_LANES + g is the sums of row r with the words of weights g",
            "exists": "no output of a row that has not been taken in whole",
            "stable": STABLE,
            "ready": READY,
        },
        inputs={"gh_pick": 1, "gh_other": given * acc},
        reached={"own": f"gh_out && gh_phase == 4 && gh_at == {latency - 1}", "waits": "gh_m_axis_waits"},
        progress={
            "moves": Progress(f"{inside} && m_axis_tready", "gh_out", latency + 1, ("control", "weights")),
            "offers": Progress(inside, "m_axis_tvalid", latency + 1, ("control", "weights")),
        },
        word=max(given * weights, given * acc, wide),
        stubs=pipeline(latency, block),
        patches=(
            (
                "  genvar n;\n",
                f"  wire gh_issues; reg [{row - 1}:0] gh_row; wire [{given * weights - 1}:0] gh_weights;\n"
                f"  wire [{tag - 1}:0] gh_tag;\n"
                f"  wire [{given * latency - 1}:0] gh_every_valids, gh_every_hits;\n"
                f"  wire [{given * latency * tag - 1}:0] gh_every_tags;\n"
                # All lanes keep the same time, which is seen of each.
                f"  wire [{latency - 1}:0] gh_valids = gh_every_valids[{latency - 1}:0];\n"
                f"  wire [{latency * tag - 1}:0] gh_tags = gh_every_tags[{latency * tag - 1}:0];\n"
                f"  wire [{tag - 1}:0] gh_at_tag = gh_tags >> (gh_at * {tag});\n"
                f"  wire gh_at_hits = {' && '.join(f'gh_every_hits[{latency * n} + gh_at]' for n in range(given))};\n"
                "  genvar n;\n",
            ),
            ("          .ACC_W(ACC_W)\n", f"          .ACC_W(ACC_W), .TAG_W({tag})\n"),
            (
                "          .sum(m_axis_tdata[ACC_W*n+:ACC_W])\n",
                "          .sum(m_axis_tdata[ACC_W*n+:ACC_W]), .gh_issues(gh_issues), .gh_tag(gh_tag),\n"
                f"          .gh_x(gh_row), .gh_w(gh_weights[{weights}*n+:{weights}]),\n"
                "          .gh_sum(gh_sum[ACC_W*n+:ACC_W]), .gh_other(gh_other[ACC_W*n+:ACC_W]),\n"
                f"          .gh_valids(gh_every_valids[{latency}*n+:{latency}]),\n"
                f"          .gh_hits(gh_every_hits[{latency}*n+:{latency}]),\n"
                f"          .gh_tags(gh_every_tags[{latency * tag}*n+:{latency * tag}])\n",
            ),
        ),
        cycles=4000 + 8 * (beats + last),
        slow=True,
        chances={"gh_pick": 0.9},
    )


# --- Windows ---------------------------------------------------------------------------------------------------------


def image_window(parameters: dict[str, int]) -> Properties:
    """The windows of images: one beat of the input is followed, any, through the ring of image rows.

    Rows are counted in the image that is read, its first 0: `gh_ahead` images lie between it and the one that comes
    in. Row r of it stands in the ring at row `gh_base` + r, modulo the ring's rows.
    """
    p = dict(parameters)
    rows, columns, words, width = (p[name] for name in ("ROWS", "COLUMNS", "WORDS", "DATA_W"))
    spans, places = {}, {}
    for name, size, pads in (("ROWS", rows, ("TOP", "BOTTOM")), ("COLUMNS", columns, ("LEFT", "RIGHT"))):
        spans[name] = p[f"DILATION_{name}"] * (p[f"KERNEL_{name}"] - 1) + 1
        padded = size + sum(p[f"PAD_{pad}"] for pad in pads)
        places[name] = (padded - spans[name]) // p[f"STRIDE_{name}"] + 1
    top, left, span = p["PAD_TOP"], p["PAD_LEFT"], spans["ROWS"]
    line = columns * words
    ring = p["LINES"]
    if not ring:
        # As image_window.v says of its rows; what holds of them is proved of any number.
        band = p["STRIDE_ROWS"] * (places["ROWS"] - 1)
        across = rows - max(band - top, 0) + min(span - top, rows)
        ring = max(min(span, rows) + p["STRIDE_ROWS"], across) + 1
    address = max(1, (ring * line - 1).bit_length())
    most = 2 * (ring + 2 * rows + span + 2 * top + line + columns + left + spans["COLUMNS"] + 4)
    bits = max(most.bit_length() + 1, address)

    def number(value: int) -> str:
        return f"{'-' if value < 0 else ''}{bits}'sd{abs(value)}"

    def wire(name: str, text: str) -> str:
        return f"  wire signed [{bits - 1}:0] {name} = {text};\n"

    def slot(name: str, row: str) -> str:
        """The row of the ring in which a row lies: `gh_base` + row modulo the ring, of rows from -2 rings on."""
        steps = [f"gh_base + {row} + {number(ring * _ROUNDS)}"]
        parts, count = "", 2 * _ROUNDS * ring + 4 * rows + 2 * span
        factor = 1
        while 2 * factor * ring <= count:
            factor *= 2
        parts += wire(f"{name}_0", steps[0])
        index = 0
        while factor:
            one, rings = f"{name}_{index}", number(factor * ring)
            parts += wire(f"{name}_{index + 1}", f"{one} >= {rings} ? {one} - {rings} : {one}")
            factor, index = factor // 2, index + 1
        return parts + wire(name, f"{name}_{index}")

    # What is counted of a window, from the fastest: the beats of a pixel, kernel columns and rows, places.
    counts = {
        "word": words,
        "kc": p["KERNEL_COLUMNS"],
        "kr": p["KERNEL_ROWS"],
        "pc": places["COLUMNS"],
        "pr": places["ROWS"],
    }

    def counters(letter: str, moves: str) -> str:
        text, carry = "", moves
        for name, count in counts.items():
            own = f"gh_{letter}_{name}"
            text += f"  reg signed [{bits - 1}:0] {own};\n"
            text += f"  wire {own}_ends = {own} == {number(count - 1)};\n"
            text += f"  wire {own}_moves = {carry};\n"
            text += f"  wire signed [{bits - 1}:0] {own}_then = {own}_ends ? {number(0)} : {own} + {number(1)};\n"
            text += f"  wire signed [{bits - 1}:0] {own}_next = {own}_moves ? {own}_then : {own};\n"
            text += f"  always @(posedge clk) {own} <= rst ? {number(0)} : {own}_next;\n"
            carry = f"{own}_moves && {own}_ends"
        text += f"  wire gh_{letter}_ends = {carry};\n"
        text += wire(
            f"gh_{letter}_row",
            f"gh_{letter}_pr * {number(p['STRIDE_ROWS'])} + gh_{letter}_kr * "
            f"{number(p['DILATION_ROWS'])} - {number(top)}",
        )
        text += wire(
            f"gh_{letter}_column",
            f"gh_{letter}_pc * {number(p['STRIDE_COLUMNS'])} + gh_{letter}_kc * "
            f"{number(p['DILATION_COLUMNS'])} - {number(left)}",
        )
        text += (
            f"  wire gh_{letter}_inside = gh_{letter}_row >= {number(0)} && gh_{letter}_row < {number(rows)} && "
            f"gh_{letter}_column >= {number(0)} && gh_{letter}_column < {number(columns)};\n"
        )
        return text

    def beyond_next(letter: str, other: str) -> str:
        """Whether the counters of one are those of another, one on."""
        carry, parts = "1'b1", []
        for name in counts:
            own = f"gh_{letter}_{name}"
            parts.append(f"gh_{other}_{name} == ({carry} ? {own}_then : {own})")
            carry = f"({carry} && {own}_ends)"
        return joined(parts)

    def same(letter: str, other: str) -> str:
        return joined(f"gh_{letter}_{name} == gh_{other}_{name}" for name in counts)

    # The first pixel that leaves.
    first = [
        next(at for k in range(p[f"KERNEL_{name}"]) if (at := k * p[f"DILATION_{name}"] - pad) >= 0)
        for name, pad in (("ROWS", top), ("COLUMNS", left))
    ]
    given = 2 * width if p["BIPOLAR"] else width
    value = (
        f"{{{', '.join(f'!gh_value[{k}], 1' + chr(39) + 'b1' for k in reversed(range(width)))}}}"
        if p["BIPOLAR"]
        else "gh_value"
    )
    image_ends = f"gh_in && gh_in_place == {number(line - 1)} && gh_in_row == {number(rows - 1)}"
    ghost = f"""
  wire gh_in = s_axis_tvalid && s_axis_tready && !rst;
  wire gh_out = m_axis_tvalid && m_axis_tready && !rst;
  wire gh_step = step && !rst;
{counters("i", "gh_step")}{counters("l", "gh_out")}
  // What comes in: its row and its place in the row; images ahead of the one that is read; the read one's first row.
  reg signed [{bits - 1}:0] gh_in_row, gh_in_place, gh_ahead, gh_base;
  reg signed [{bits - 1}:0] gh_in_slot;
  wire gh_in_line_ends = gh_in && gh_in_place == {number(line - 1)};
  wire gh_in_ends = {image_ends};
  wire signed [{bits - 1}:0] gh_base_sum = gh_base + {number(rows % ring)};
  always @(posedge clk) begin
    if (rst) begin
      gh_in_row <= 0;
      gh_in_place <= 0;
      gh_ahead <= 0;
      gh_base <= 0;
      gh_in_slot <= 0;
    end else begin
      if (gh_in) gh_in_place <= gh_in_line_ends ? {number(0)} : gh_in_place + {number(1)};
      if (gh_in_line_ends) gh_in_row <= gh_in_ends ? {number(0)} : gh_in_row + {number(1)};
      if (gh_in_line_ends) gh_in_slot <= gh_in_slot == {number(ring - 1)} ? {number(0)} : gh_in_slot + {number(1)};
      if (gh_in_ends && !gh_i_ends) gh_ahead <= gh_ahead + {number(1)};
      if (!gh_in_ends && gh_i_ends) gh_ahead <= gh_ahead - {number(1)};
      if (gh_i_ends) gh_base <= gh_base_sum >= {number(ring)} ? gh_base_sum - {number(ring)} : gh_base_sum;
    end
  end
{wire("gh_written", f"gh_ahead * {number(rows)} + gh_in_row")}  // rows that are there in whole
{wire("gh_band", f"gh_i_pr * {number(p['STRIDE_ROWS'])} - {number(top)}")}
{wire("gh_begin", f"gh_band > {number(0)} ? gh_band : {number(0)}")}
{wire("gh_under", f"gh_band + {number(span)}")}
{wire("gh_end", f"gh_under > {number(rows)} ? {number(rows)} : gh_under")}
  // The last output's image is the one before that which is read.
  wire gh_lags = output_valid_reg && {joined(f"gh_i_{name} == {number(0)}" for name in counts)};
{wire("gh_l_written", f"(gh_ahead + (gh_lags ? {number(1)} : {number(0)})) * {number(rows)} + gh_in_row")}
{constant("gh_own_row", bits)}{constant("gh_own_place", bits)}
  initial begin  // of runs by chance alone: induction begins anywhere
    gh_own_row = {first[0]};
    gh_own_place = {first[1] * words};
  end
  // The beat that is followed: its image, counted from that which is read, row, place in it, and row of the ring.
  reg gh_follows;
  reg signed [{bits - 1}:0] gh_f_image, gh_f_row, gh_f_place, gh_f_slot;
  reg [{width - 1}:0] gh_value;
  wire gh_starts = gh_in && gh_pick && !gh_follows && gh_in_row == gh_own_row && gh_in_place == gh_own_place;
{wire("gh_f_leaving", f"gh_f_image + (gh_lags ? {number(1)} : {number(0)})")}
{wire("gh_f_all", f"gh_f_image * {number(rows)} + gh_f_row")}
  always @(posedge clk) begin
    if (rst) gh_follows <= 1'b0;
    else if (gh_starts) gh_follows <= 1'b1;
    // None of its image leaves any more: its last has, or did before this one came.
    else if (gh_f_leaving < {number(0)} || (gh_l_ends && gh_f_leaving == {number(0)})) gh_follows <= 1'b0;
    if (gh_starts) begin
      gh_value <= s_axis_tdata;
      gh_f_row <= gh_in_row;
      gh_f_place <= gh_in_place;
      gh_f_slot <= gh_in_slot;
      gh_f_image <= gh_ahead - (gh_i_ends ? {number(1)} : {number(0)});
    end else if (gh_i_ends) gh_f_image <= gh_f_image - {number(1)};
  end
{slot("gh_slot_in", "gh_written")}{slot("gh_slot_band", "gh_band")}{slot("gh_slot_row", "gh_i_row")}
{slot("gh_slot_f", "gh_f_all")}
  wire [{address - 1}:0] gh_in_at = gh_in_slot * {number(line)} + gh_in_place;
  wire [{address - 1}:0] gh_band_at = gh_slot_band * {number(line)};
  wire [{address - 1}:0] gh_row_at = gh_slot_row * {number(line)};
  wire [{address - 1}:0] gh_left_at = gh_i_pc * {number(p["STRIDE_COLUMNS"] * words)} - {number(left * words)};
  wire [{address - 1}:0] gh_column_at = gh_i_column * {number(words)} + gh_i_word;
  assign gh_held_at = gh_f_slot * {number(line)} + gh_f_place;
{wire("gh_l_place", f"gh_l_column * {number(words)} + gh_l_word")}
  wire gh_mine = gh_follows && gh_f_leaving == {number(0)} && gh_l_row == gh_f_row && gh_l_inside &&
      gh_l_place == gh_f_place;
{stable("m_axis", given)}"""
    inside = "output_valid_reg || held_reg >= needed_reg"
    bounds = [f"gh_{letter}_{name} >= {number(0)} && gh_{letter}_{name} < {number(count)}"
              for letter in "il" for name, count in counts.items()]  # fmt: skip
    bounds += [f"gh_in_row >= {number(0)} && gh_in_row < {number(rows)}",
               f"gh_in_place >= {number(0)} && gh_in_place < {number(line)}",
               f"gh_base >= {number(0)} && gh_base < {number(ring)}",
               f"gh_in_slot >= {number(0)} && gh_in_slot < {number(ring)}"]  # fmt: skip
    return Properties(
        "image_window",
        p,
        ghost,
        {
            "order": f"!(m_axis_tvalid && gh_mine) || m_axis_tdata == {value}",
            "outside": f"!(m_axis_tvalid && !gh_l_inside) || m_axis_tdata == {given}'d0",
            "exists": "!(m_axis_tvalid && gh_l_inside) || gh_l_row < gh_l_written",
            "stable": stays("m_axis"),
            "ready": "s_axis_tready || held_reg >= needed_reg",
            "bounds": joined(bounds),
            "leaves": f"output_valid_reg ? {beyond_next('l', 'i')} : {same('l', 'i')}",
            "window": f"word_reg == gh_i_word && kernel_column_reg == gh_i_kc && kernel_row_reg == gh_i_kr && "
            f"left_reg == gh_i_pc * {number(p['STRIDE_COLUMNS'])} && band_reg == gh_i_pr * {number(p['STRIDE_ROWS'])}",
            "places": f"column_reg == gh_i_column + {number(left)} && row_reg == gh_i_row + {number(top)}",
            "columns": "left_address_reg == gh_left_at && column_address_reg == gh_column_at",
            "rows": "band_address_reg == gh_band_at && row_address_reg == gh_row_at",
            "writes": "write_reg == gh_in_at && write_place_reg == gh_in_place && gh_in_slot == gh_slot_in",
            "ahead": f"gh_ahead >= {number(-1)} && gh_ahead <= {number(ring // rows + 1)} && "
            f"gh_written - gh_begin <= {number(ring)}",
            "held": "held_reg == gh_written - gh_begin",
            "needed": "needed_reg == gh_end - gh_begin",
            "shown": "!output_valid_reg || in_image_reg == gh_l_inside",
            "followed": f"!gh_follows || (gh_f_leaving >= {number(-1)} && gh_f_image <= gh_ahead && "
            f"gh_f_row >= {number(0)} && gh_f_row < {number(rows)} && "
            f"gh_f_place >= {number(0)} && gh_f_place < {number(line)} && "
            f"gh_f_slot >= {number(0)} && gh_f_slot < {number(ring)} && (gh_f_all < gh_written || "
            "(gh_f_all == gh_written && gh_f_place < gh_in_place)))",
            "slot": "!(gh_follows && gh_f_all >= gh_begin) || gh_f_slot == gh_slot_f",
            "stored": "!(gh_follows && gh_f_all >= gh_begin) || gh_held == gh_value",
        },
        {
            "order": "each beat of an output is that of the pixel under the kernel's place, as it was taken in",
            "outside": "each beat of a pixel outside of the image is zero",
            "exists": "no output leaves before its pixel's row has been taken in whole",
            "stable": STABLE,
            "ready": "what is not ready has all rows of the next output: it waits for its output alone",
        },
        inputs={"gh_pick": 1},
        chances={"gh_pick": 0.9},
        slow=True,
        reached={"own": "gh_out && gh_mine", "waits": "gh_m_axis_waits", "window": "gh_l_pc_moves"},
        progress={
            "moves": Progress(f"({inside}) && m_axis_tready", "gh_out", 2, ("bounds",)),
            "offers": Progress("output_valid_reg || held_reg >= needed_reg", "m_axis_tvalid", 2, ("bounds",)),
        },
        word=max(width, bits),
        needs=("ram",),
        opened={
            "ram": (
                f"input wire [{address - 1}:0] gh_at, output wire [{width - 1}:0] gh_held,",
                "assign gh_held = memory[gh_at];",
            )
        },
        patches=(
            (
                "  ) ring (\n",
                "  ) ring (\n      .gh_at(gh_held_at),\n      .gh_held(gh_held),\n",
            ),
            (
                "  wire [DATA_W-1:0] pixel;\n",
                f"  wire [{address - 1}:0] gh_held_at;\n  wire [DATA_W-1:0] gh_held;\n  wire [DATA_W-1:0] pixel;\n",
            ),
        ),
        cycles=4000 + 4 * words * (rows * columns + places["ROWS"] * places["COLUMNS"] * counts["kc"] * counts["kr"]),
    )


COMPOSED: dict[str, Callable[[dict[str, int]], Properties]] = {
    make.__name__: make
    for make in (
        axis_fifo,
        axis_fork,
        channel_argmax,
        channel_concat,
        few_add,
        few_affine,
        few_dot_product,
        few_linear,
        few_matmul,
        few_product,
        few_weighted_add,
        full_table,
        image_window,
        threshold,
        window_max,
        window_sum,
    )
}
"""The properties of each module, by its parameters."""
