"""Properties of products of two streams under every schedule: image by image, and value by value."""

from fxsim.prove.schedule import Progress, Properties
from fxsim.prove.schedule_constants import WIDE, counter, joined, slice_wide
from fxsim.prove.schedule_modules import STABLE, bits_of, constant, single, stable, stays
from fxsim.prove.schedule_pipeline import pipeline, tree


def _width(count: int) -> int:
    """Bits of a counter of so many values."""
    return max(1, (count - 1).bit_length())


def _counters(letter: str, moves: str, counts: dict[str, int]) -> str:
    """Ghost registers gh_LETTER_NAME, the fastest first, each of which moves when those before it begin anew."""
    text, carry = "", moves
    for name, count in counts.items():
        own = f"gh_{letter}_{name}"
        text += (
            f"  reg [{_width(count) - 1}:0] {own};\n"
            f"  wire {own}_ends = {carry} && {own} == {count - 1};\n"
            f"  always @(posedge clk) if (rst) {own} <= 0; else if ({carry}) "
            f"{own} <= {own} == {count - 1} ? 0 : {own} + 1'b1;\n"
        )
        carry = f"{own}_ends"
    return text


def few_matmul(parameters: dict[str, int]) -> Properties:
    """Products of two images: one beat of sums of one row is followed, any, with its part of the other image.

    Images of each stream are counted from the reset, modulo more than can be inside: rows of x meet the image of r of
    their own number. In place of `few_dot_product` stands a pipeline as for `few_linear`.
    """
    p = dict(parameters)
    places, heads, terms, columns, given = (p[name] for name in ("PLACES", "HEADS", "TERMS", "COLUMNS", "OUT_LANES"))
    x_bits, r_bits, r_lanes, acc = (p[name] for name in ("X_W", "R_W", "R_LANES", "ACC_W"))
    groups, beat = columns // given, p["X_LANES"] * x_bits
    beats, slice_bits, page = heads * terms // p["X_LANES"], terms * x_bits, heads * groups
    row, w_bits = beats * beat, r_bits + 1 - p["R_SIGNED"]
    weights, address = terms * w_bits, _width(2 * page)
    block = {"LANES": terms, "X_W": x_bits, "X_KIND": 1 - p["X_SIGNED"], "W_W": w_bits, "W_BIPOLAR": 0, "ACC_W": acc}
    _, levels, _ = tree(terms, block)
    latency = len(levels)
    images = 1 << bits_of(latency + 6)  # more than can be inside, a row or an image each
    parts = terms // r_lanes if p["TRANSPOSED"] else groups
    # Of r, from the fastest: parts of a head, heads, places, of which `given` are sums of one beat.
    r_counts = {"part": parts, "head": heads}
    r_counts |= {"bank": given, "word": groups} if p["TRANSPOSED"] else {"row": terms}
    out_counts = {"group": groups, "head": heads, "place": places, "image": images}
    all_tags, all_rows = images * places * page, images * places
    tag, wide = _width(all_tags), bits_of(all_tags + terms * columns * heads * parts) + 1

    def flat(letter: str, counts: dict[str, int]) -> str:
        """Counters as one number, the last counting most."""
        text = f"{wide}'d0"
        for name, count in reversed(counts.items()):
            text = f"(({text}) * {wide}'d{count} + gh_{letter}_{name})"
        return text

    def after(number: str, count: int) -> str:
        return f"({number} == {count - 1} ? 0 : {number} + 1'b1)"

    def hit(number: str) -> str:
        return f"(gh_ok && {number} == gh_follow)"

    rows = {"place": places, "image": images}
    inside_image = {name: count for name, count in out_counts.items() if name != "image"}
    owns = "".join(
        f"{constant(f'gh_o_{name}', _width(count))}"
        f"  initial gh_o_{name} = {(name in ('group', 'head')) * (count - 1)};  // of runs by chance alone\n"
        for name, count in out_counts.items()
    )
    elements, there, pages = [], [], []
    for n in range(given):
        for t in range(terms):
            at = n * terms + t
            if p["TRANSPOSED"]:
                comes = f"gh_r_word == gh_o_group && gh_r_bank == {n} && gh_r_part == {t // r_lanes}"
                number = (
                    f"((gh_o_group * {wide}'d{given} + {wide}'d{n}) * {wide}'d{heads} + gh_o_head) * {wide}'d{parts}"
                )
                number += f" + {wide}'d{t // r_lanes}"
                lane = t % r_lanes
            else:
                comes = f"gh_r_row == {t} && gh_r_part == gh_o_group"
                number = f"({wide}'d{t * heads} + gh_o_head) * {wide}'d{parts} + gh_o_group"
                lane = n
            elements.append(
                f"  always @(posedge clk) if (gh_in1 && gh_r_image == gh_o_image && gh_r_head == gh_o_head && {comes}) "
                f"gh_r[{r_bits * at}+:{r_bits}] <= s1_axis_tdata[{r_bits * lane}+:{r_bits}];\n"
                f"  wire [{wide - 1}:0] gh_number{at} = {number};\n"
                f"  assign gh_w[{w_bits * at}+:{w_bits}] = "
                f"{'' if p['R_SIGNED'] else '{1' + chr(39) + 'b0, '}gh_r[{r_bits * at}+:{r_bits}]"
                f"{'' if p['R_SIGNED'] else '}'};\n"
            )
            there.append(f"gh_before || (gh_filling && gh_r_at > gh_number{at})")
            pages.append(f"!({there[-1]}) || gh_helds[{r_bits * at}+:{r_bits}] == gh_r[{r_bits * at}+:{r_bits}]")
    chain, keeps = [f"wire [{tag - 1}:0] gh_w0 = gh_leaves;"], []
    for i in range(latency):
        stage = latency - 1 - i
        own = f"gh_tags[{stage * tag}+:{tag}]"
        chain.append(f"wire [{tag - 1}:0] gh_w{i + 1} = gh_valids[{stage}] ? {after(f'gh_w{i}', all_tags)} : gh_w{i};")
        keeps.append(f"!gh_valids[{stage}] || {own} == gh_w{i}")
    own_stages = [f"(gh_valids[{s}] && {hit(f'gh_tags[{s * tag}+:{tag}]')})" for s in range(latency)]
    shifted = "s0_axis_tdata" if beats == 1 else f"{{s0_axis_tdata, gh_row[{row - 1}:{beat}]}}"
    lanes_hit = [joined(f"gh_every_hits[{latency * n + s}]" for n in range(given)) for s in range(latency)]
    columns_held = joined(f"lane[{n}].column == gh_w[{weights * n}+:{weights}]" for n in range(given))
    inside = "((row_valid_reg && filled_reg[use_reg]) || operands_valid_reg || gh_valids != 0)"
    bounds = [
        f"gh_{letter}_{name} <= {count - 1}"
        for letter, counts in (
            ("x", {"beat": beats, "place": places}), ("r", r_counts), ("u", inside_image), ("l", inside_image),
        )
        for name, count in counts.items()
    ]  # fmt: skip
    return Properties(
        "few_matmul",
        p,
        f"""
  wire gh_in0 = s0_axis_tvalid && s0_axis_tready && !rst;
  wire gh_in1 = s1_axis_tvalid && s1_axis_tready && !rst;
  wire gh_out = m_axis_tvalid && m_axis_tready && !rst;
  // What comes in of x, of r, what is multiplied next, what leaves next.
{_counters("x", "gh_in0", {"beat": beats, **rows})}{_counters("r", "gh_in1", {**r_counts, "image": images})}
{_counters("u", "issue && !rst", out_counts)}{_counters("l", "gh_out", out_counts)}
{owns}
  wire gh_ok = {joined(f"gh_o_{name} <= {count - 1}" for name, count in out_counts.items())};
  wire [{wide - 1}:0] gh_leaves_wide = {flat("l", out_counts)}, gh_used_wide = {flat("u", out_counts)};
  wire [{wide - 1}:0] gh_follow_wide = {flat("o", out_counts)};
  wire [{tag - 1}:0] gh_leaves = gh_leaves_wide[{tag - 1}:0], gh_used = gh_used_wide[{tag - 1}:0];
  assign gh_follow = gh_follow_wide[{tag - 1}:0];
  wire [{wide - 1}:0] gh_taken_row = {flat("x", rows)}, gh_used_row = {flat("u", rows)};
  wire [{wide - 1}:0] gh_row1 = {after("gh_used_row", all_rows)}, gh_row2 = {after("gh_row1", all_rows)};
  wire [{wide - 1}:0] gh_own_row = {flat("o", rows)}, gh_leaves_row = {flat("l", rows)};
  wire [{wide - 1}:0] gh_used_at = {flat("u", inside_image)};  // in its image
  wire [{wide - 1}:0] gh_r_at = {flat("r", r_counts)};
  // Images of r that are there in whole and not done with; the followed one's number among these and the next.
  wire [{_width(images) - 1}:0] gh_filled = gh_r_image - gh_u_image, gh_own_turn = gh_o_image - gh_u_image;
  wire gh_before = gh_own_turn < gh_filled, gh_filling = gh_own_turn == gh_filled;
  wire gh_collects = gh_in0 && gh_x_place == gh_o_place && gh_x_image == gh_o_image;
  always @(posedge clk) if (gh_collects) gh_row <= {shifted};
  wire [{row - 1}:0] gh_of_head = gh_row >> (gh_o_head * {wide}'d{slice_bits});
  wire [{row - 1}:0] gh_rest = gh_row >> (gh_u_head * {wide}'d{slice_bits});
  assign gh_x = gh_of_head[{slice_bits - 1}:0];
  reg [{given * terms * r_bits - 1}:0] gh_r;
{"".join(elements)}
  assign gh_held_at = gh_o_image[0] * {wide}'d{page} + gh_o_head * {wide}'d{groups} + gh_o_group;
  wire [{wide - 1}:0] gh_read_at = gh_u_image[0] * {wide}'d{page} + gh_u_head * {wide}'d{groups} + gh_u_group;
  wire [{wide - 1}:0] gh_fill_at = gh_r_image[0] * {wide}'d{page} + gh_r_head * {wide}'d{groups} +
      {"gh_r_word" if p["TRANSPOSED"] else "gh_r_part"};
  always @(posedge clk) begin
    if (issue) gh_tag <= gh_used;
    if (gh_issues && advance) gh_sum <= gh_fresh;
  end
  assign gh_issues = operands_valid_reg && {hit("gh_tag")};
  {chr(10).join(chain)}
  wire [{tag - 1}:0] gh_w_all = operands_valid_reg ? {after(f"gh_w{latency}", all_tags)} : gh_w{latency};
{stable("m_axis", given * acc)}""",
        {
            "order": f"!(m_axis_tvalid && {hit('gh_leaves')}) || m_axis_tdata == gh_sum",
            "sums": joined(f"!{own} || ({lanes_hit[s]})" for s, own in enumerate(own_stages)),
            "once": f"!gh_issues || !({' || '.join(own_stages)})",
            "exists": "!m_axis_tvalid || (gh_leaves_row != gh_taken_row && gh_l_image != gh_r_image)",
            "stable": stays("m_axis"),
            "ready": "(s0_axis_tready || row_valid_reg) && (s1_axis_tready || gh_filled == 2)",
            "bounds": joined(bounds),
            "control": "collect_index_reg == gh_x_beat && (!collect_full_reg || (gh_x_beat == 0 && row_valid_reg)) "
            "&& (row_valid_reg || (gh_u_group == 0 && gh_u_head == 0)) && group_reg == gh_u_group && "
            "head_reg == gh_u_head && place_reg == gh_u_place && use_reg == gh_u_image[0]",
            "fills": "fill_part_reg == gh_r_part && fill_head_reg == gh_r_head && fill_reg == gh_r_image[0] && "
            + (
                f"by_places.bank_reg == gh_r_bank && fill_row_reg == gh_r_word * {wide}'d{given} + gh_r_bank && "
                f"by_places.first_reg == gh_r_image[0] * {wide}'d{page} + gh_r_word"
                if p["TRANSPOSED"]
                else "fill_row_reg == gh_r_row"
            ),
            "filled": "gh_filled <= 2 && filled_reg == (gh_filled == 0 ? 2'b00 : gh_filled == 2 ? 2'b11 : "
            "use_reg ? 2'b10 : 2'b01) && (gh_filled != 2 || gh_r_at == 0) && (gh_filled != 0 || gh_used_at == 0)",
            "addresses": "address_reg == gh_read_at && fill_address_reg == gh_fill_at",
            "rows": "gh_taken_row == (collect_full_reg ? gh_row2 : row_valid_reg ? gh_row1 : gh_used_row)",
            "chain": f"{joined(keeps)} && (!operands_valid_reg || gh_tag == gh_w{latency}) && gh_w_all == gh_used",
            "alike": f"gh_every_valids == {{{given}{{gh_valids}}}}",
            "collected": "!(gh_ok && gh_x_beat != 0 && gh_taken_row == gh_own_row) || "
            f"((collect_reg ^ gh_row) >> ({beat} * ({beats} - gh_x_beat))) == 0",
            "waits": "!(gh_ok && collect_full_reg && gh_row1 == gh_own_row) || collect_reg == gh_row",
            "uses": "!(gh_ok && row_valid_reg && gh_used_row == gh_own_row) || row_reg == gh_rest",
            "pages": f"!gh_ok || ({joined(pages)})",
            "operands": f"!gh_issues || (slice_reg == gh_x && {columns_held})",
        },
        {
            "order": "output of image i, place, head h and group g is the sums of the place's part h of image i of x "
            "with those columns of image i of r",
            "sums": "no other sums are given for it",
            "once": "and it leaves before an image of the same count comes",
            "exists": "no output of a row that has not been taken in whole, nor of an image of r",
            "stable": STABLE,
            "ready": "x waits for a row that is multiplied, r for one of two images that are there",
        },
        inputs={"gh_other": given * acc, "gh_fresh": given * acc},
        reached={"own": f"gh_out && {hit('gh_leaves')}", "waits": "gh_m_axis_waits"},
        progress={
            "moves": Progress(f"{inside} && m_axis_tready", "gh_out", latency + 2, ("control",)),
            "offers": Progress(inside, "m_axis_tvalid", latency + 2, ("control",)),
            "goes": Progress(
                "s0_axis_tvalid && s1_axis_tvalid && m_axis_tready",
                "gh_in0 || gh_in1 || gh_out",
                latency + 2,
                ("bounds", "control", "fills", "filled"),
            ),
        },
        word=max(32, tag),
        stubs=pipeline(latency, block),
        needs=("ram",),
        opened={
            "ram": (
                f"input wire [{address - 1}:0] gh_at, output wire [{r_bits - 1}:0] gh_held,",
                "assign gh_held = memory[gh_at];",
            )
        },
        patches=(
            (
                "  genvar t, n;\n",
                f"  wire gh_issues; reg [{row - 1}:0] gh_row; wire [{slice_bits - 1}:0] gh_x;\n"
                f"  wire [{given * weights - 1}:0] gh_w; reg [{given * acc - 1}:0] gh_sum;\n"
                f"  reg [{tag - 1}:0] gh_tag; wire [{tag - 1}:0] gh_follow;\n"
                f"  wire [{address - 1}:0] gh_held_at; wire [{given * terms * r_bits - 1}:0] gh_helds;\n"
                f"  wire [{given * latency - 1}:0] gh_every_valids, gh_every_hits;\n"
                f"  wire [{given * latency * tag - 1}:0] gh_every_tags;\n"
                f"  wire [{latency - 1}:0] gh_valids = gh_every_valids[{latency - 1}:0];\n"
                f"  wire [{latency * tag - 1}:0] gh_tags = gh_every_tags[{latency * tag - 1}:0];\n"
                "  genvar t, n;\n",
            ),
            (
                "        ) page (\n",
                "        ) page (\n            .gh_at(gh_held_at),\n"
                f"            .gh_held(gh_helds[{r_bits}*({terms}*n+t)+:{r_bits}]),\n",
            ),
            ("          .ACC_W(ACC_W)\n", f"          .ACC_W(ACC_W), .TAG_W({tag})\n"),
            (
                "          .sum(m_axis_tdata[ACC_W*n+:ACC_W])\n",
                "          .sum(m_axis_tdata[ACC_W*n+:ACC_W]), .gh_issues(gh_issues), .gh_tag(gh_tag),\n"
                f"          .gh_x(gh_x), .gh_w(gh_w[{weights}*n+:{weights}]),\n"
                "          .gh_sum(gh_sum[ACC_W*n+:ACC_W]), .gh_other(gh_other[ACC_W*n+:ACC_W]),\n"
                f"          .gh_valids(gh_every_valids[{latency}*n+:{latency}]),\n"
                f"          .gh_hits(gh_every_hits[{latency}*n+:{latency}]),\n"
                f"          .gh_tags(gh_every_tags[{latency * tag}*n+:{latency * tag}])\n",
            ),
        ),
        cycles=4000 + 8 * (places * beats + terms * columns * heads),
        slow=True,
    )


def few_product(parameters: dict[str, int]) -> Properties:
    """Products value by value: a beat of r is followed, any, with the value of x that stands beside it."""
    p = dict(parameters)
    lanes, x_bits, r_bits, width = (p[name] for name in ("LANES", "X_W", "R_W", "Y_W"))
    groups = p["COLUMNS"] // lanes
    last = groups - 1
    ghost = [
        counter("gh_group", "gh_in", last, _width(groups) - 1),
        "  wire gh_in0 = s0_axis_tvalid && s0_axis_tready && !rst;\n",
        f"  wire [{lanes * width - 1}:0] gh_y;\n",
        stable("s0_axis", x_bits),
    ]
    for n in range(lanes):
        x = slice_wide("gh_value", lanes * r_bits, x_bits, bool(p["X_SIGNED"]))
        r = slice_wide("gh_value", r_bits * n, r_bits, bool(p["R_SIGNED"]))
        ghost.append(
            f"  wire signed [{WIDE - 1}:0] gh_x{n} = {x}, gh_r{n} = {r}, gh_product{n} = gh_x{n} * gh_r{n};\n"
            f"  assign gh_y[{width * n}+:{width}] = gh_product{n}[{width - 1}:0];\n"
        )
    values = ", ".join(["x_reg", *(f"lane[{n}].r_reg" for n in reversed(range(lanes)))])
    return single(
        "few_product",
        p,
        2,
        {
            "inside": "gh_inside == {1'b0, values_valid_reg} + {1'b0, y_valid_reg}",
            "group": f"group_reg == gh_group && gh_group <= {last}",
            "together": f"gh_in0 == (gh_in && gh_group == {last}) && (!gh_in || s0_axis_tvalid)",
            "values": f"!(gh_follows && values_valid_reg && gh_before == y_valid_reg) || {{{values}}} == gh_value",
            "first": "!(gh_follows && gh_before == 0 && y_valid_reg) || m_axis_tdata == gh_y",
        },
        expected="gh_y",
        says="each output is the product of its own r with the value of x that it came beside, in the order of r",
        enters="s1_axis_tvalid && s1_axis_tready && !rst",
        data="{s0_axis_tdata, s1_axis_tdata}",
        width=x_bits + lanes * r_bits,
        given=lanes * width,
        ghost="".join(ghost),
        ready=f"(s1_axis_tready == s0_axis_tvalid && s0_axis_tready == (s1_axis_tvalid && gh_group == {last}))",
        assumed={"stable0": stays("s0_axis")},
        reached={"wraps": "gh_in0"},
        progress={"goes": Progress("s0_axis_tvalid && s1_axis_tvalid && m_axis_tready", "gh_in", 1)},
    )
