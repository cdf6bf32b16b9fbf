"""Properties of the composed accelerator's modules with constants that come round with the beats, from any ROM.

`schedule_composed.py` has those of the others.
"""

from collections.abc import Callable, Iterator
from typing import Any

from fxsim.prove.schedule import Progress, Properties
from fxsim.prove.schedule_modules import single

WIDE = 40
"""Bits of numbers in which nothing here wraps."""
_CHUNK = 32
"""Bits of the parts in which levels are parameters of a proof, as evidence has no wider numbers."""


def joined(expressions: Iterator[str] | list[str]) -> str:
    """The conjunction of expressions."""
    return " && ".join(f"({expression})" for expression in expressions)


def counter(name: str, moves: str, last: int, top: int) -> str:
    """A ghost register that counts to `last` and begins anew."""
    return f"""
  reg [{top}:0] {name};
  always @(posedge clk) begin
    if (rst) {name} <= 0;
    else if ({moves}) {name} <= {name} == {last} ? 0 : {name} + 1'b1;
  end
"""


def slice_wide(text: str, low: int, bits: int, signed: bool, wide: int = WIDE) -> str:
    """Bits of a vector as a number of so many more bits."""
    high = f"{text}[{low + bits - 1}]" if signed else "1'b0"
    return f"{{{{{wide - bits}{{{high}}}}}, {text}[{low}+:{bits}]}}"


def split_levels(levels: int, width: int) -> dict[str, int]:
    """The levels of a layer of thresholds as parameters of its proof, by parts of 32 bits."""
    return {
        f"LEVELS_{low}" if low else "LEVELS": levels >> low & ((1 << _CHUNK) - 1) for low in range(0, width, _CHUNK)
    }


def _coming_round(
    module: str,
    parameters: dict[str, int],
    groups: int,
    rom: str,
    bits: int,
    steps: dict[str, tuple[str, str]],
    ghost: str,
    ready: str = "s_axis_tready",
    together: str = "",
    **more: Any,
) -> Properties:
    """Properties of a module that takes three steps, with constants of one of `groups` beats, fetched a beat ahead.

    `rom`: its memory, of words of `bits`, which it fetches into the register of that name; the ghost finds the word of
    the followed beat as `gh_rom`, and states the result as `gh_y`. `steps`: of the first two the register that says
    whether it was taken, and what its registers then are. `ready`: that nothing else than the fetch and what is inside
    holds a beat up; `together`: that a beat leaves all of several inputs.
    """
    last, top = groups - 1, max(1, (groups - 1).bit_length()) - 1
    valids = [*(valid for valid, _ in steps.values()), "y_valid_reg"]
    counted = [f"{{1'b0, {valid}}}" for valid in valids]
    later = [" + ".join(counted[i + 1 :]) for i in range(len(steps))]
    return single(
        module,
        parameters,
        len(valids),
        {
            "inside": f"gh_inside == {' + '.join(counted)}",
            "group": f"gh_group <= {last} && (!gh_follows || gh_own <= {last})",
            "unfetched": "fetched_reg || (fetch_reg == 0 && gh_group == 0 && gh_inside == 0)",
            "fetch": f"!fetched_reg || fetch_reg == (gh_group == {last} ? 0 : gh_group + 1'b1)",
            "constants": f"!fetched_reg || {rom}_reg == {rom}[gh_group]",
            **{
                name: f"!(gh_follows && {valid} && gh_before == {behind}) || ({holds})"
                for (name, (valid, holds)), behind in zip(steps.items(), later, strict=True)
            },
            "result": "!(gh_follows && gh_before == 0 && y_valid_reg) || m_axis_tdata == gh_y",
            **({"together": together} if together else {}),
        },
        expected="gh_y",
        ready=f"({ready} || !fetched_reg)",
        ghost=counter("gh_group", "gh_in", last, top)
        + f"  reg [{top}:0] gh_own;  // the beat of the round that is followed\n"
        "  always @(posedge clk) if (gh_starts) gh_own <= gh_group;\n"
        f"  wire [{bits - 1}:0] gh_rom = {rom}[gh_own];\n" + ghost,
        word=bits,
        progress={"fetches": Progress("gh_inside == 0", ready, 2)},
        reached={"wraps": f"gh_in && gh_group == {last}"},
        **more,
    )


def threshold(parameters: dict[str, int]) -> Properties:
    """Thresholds: the level of as many as a value has passed, counted one by one, of the beat's own channels.

    Thresholds of a channel ascend, which is assumed: it is looked at in the ROM that a design has.
    """
    p = dict(parameters)
    channels, lanes, bits, steps, width = (p[name] for name in ("CHANNELS", "LANES", "X_W", "STEPS", "Y_W"))
    signed, total = bool(p["X_SIGNED"]), width * (steps + 1)
    levels = sum(p[name] << (int(name[7:] or 0)) for name in split_levels(0, total))
    t_bits = bits + 2 - signed
    lane_bits, count_bits = steps * t_bits + 1, steps.bit_length()
    groups = channels // lanes
    ghost = [
        f"  wire [{lanes * steps - 1}:0] gh_passed, gh_passing;\n"
        f"  wire [{lanes * count_bits - 1}:0] gh_counts, gh_counting;\n"
        f"  wire [{lanes * width - 1}:0] gh_y;\n"
        f"  wire [{total - 1}:0] gh_levels = {total}'h{levels:x};",
    ]
    ascends = []
    for n in range(lanes):
        ghost.append(f"  wire signed [{WIDE - 1}:0] gh_x{n} = {slice_wide('gh_value', bits * n, bits, signed)};")
        ghost.append(f"  wire gh_falls{n} = gh_rom[{lane_bits * (n + 1) - 1}];")
        total_text = []
        for k in range(steps):
            stored = slice_wide("gh_rom", lane_bits * n + t_bits * k, t_bits, signed=True)
            name = f"{n}_{k}"
            ghost.append(f"  wire signed [{WIDE - 1}:0] gh_s{name} = {stored};")
            ghost.append(
                f"  wire signed [{WIDE - 1}:0] gh_t{name} = gh_falls{n} ? -gh_s{name} - {WIDE}'sd1 : gh_s{name};"
            )
            ghost.append(
                f"  assign gh_passed[{steps * n + k}] = gh_falls{n} ? gh_x{n} <= gh_t{name} : gh_x{n} >= gh_t{name};"
            )
            total_text.append(f"{{{count_bits}'d0, gh_passed[{steps * n + k}]}}")
            if k:
                ascends.append(f"gh_s{name} >= gh_s{n}_{k - 1}")
        ghost.append(f"  wire [{count_bits}:0] gh_count{n} = {' + '.join(total_text)};")
        ghost.append(f"  assign gh_counts[{count_bits * n}+:{count_bits}] = gh_count{n}[{count_bits - 1}:0];")
        ghost.append(f"  assign gh_y[{width * n}+:{width}] = gh_levels >> (gh_count{n} * 16'd{width});")
    contents = {
        group: sum(_ascending(group * lanes + n, steps, bits, signed, t_bits) << (lane_bits * n) for n in range(lanes))
        for group in range(groups)
    }
    if groups == 1:
        ghost.append(f"  initial thresholds[0] = {lanes * lane_bits}'h{contents[0]:x};  // of runs by chance alone")
    return _coming_round(
        "threshold",
        p,
        groups,
        "thresholds",
        lanes * lane_bits,
        {
            "passed": ("passed_valid_reg", "gh_passing == gh_passed"),
            "count": ("count_valid_reg", "gh_counting == gh_counts"),
        },
        "\n".join(ghost) + "\n",
        says="each output is the level of as many thresholds of its channel as its own input has passed, in the order "
        "of inputs",
        width=lanes * bits,
        given=lanes * width,
        assumed={"ascend": f"!gh_follows || gh_own > {groups - 1} || {joined(ascends)}"} if ascends else {},
        needs=("threshold_lane",),
        opened={
            "threshold_lane": (
                "output wire [STEPS-1:0] gh_passed, output wire [$clog2(STEPS+1)-1:0] gh_count,",
                "assign gh_passed = passed_reg; assign gh_count = count_reg;",
            )
        },
        patches=(
            ("= 2'b10,", f"= {total}'h{levels:x},"),
            (
                "          .clk(clk),\n          .compare_enable",
                f"          .gh_passed(gh_passing[{steps}*n+:{steps}]),\n"
                f"          .gh_count(gh_counting[{count_bits}*n+:{count_bits}]),\n"
                "          .clk(clk),\n          .compare_enable",
            ),
        ),
        set_by_patch=tuple(split_levels(0, total)),
        contents={"thresholds": contents},
    )


def _ascending(channel: int, steps: int, bits: int, signed: bool, t_bits: int) -> int:
    """A channel's part of a word of thresholds that ascend, others than those of its neighbours; half of them fall."""
    low = -(1 << (bits - 1)) if signed else 0
    falls, step = (channel * 3 >> 1) & 1, max(1, (1 << bits) // (steps + 1))
    spread = [low + (k + 1) * (1 << bits) // (steps + 1) - channel % step for k in range(steps)]
    stored = sorted(~t if falls else t for t in spread)
    codes = sum((t & ((1 << t_bits) - 1)) << (t_bits * k) for k, t in enumerate(stored))
    return codes | falls << (t_bits * steps)


def full_table(parameters: dict[str, int]) -> Properties:
    """Full tables: the entry of the input's code in the table of its channel, of whatever the ROM holds."""
    p = dict(parameters)
    channels, lanes, bits, width = (p[name] for name in ("CHANNELS", "LANES", "X_W", "Y_W"))
    groups = channels // lanes
    last, top = groups - 1, max(1, (groups - 1).bit_length()) - 1
    least = 1 << (bits - 1) if p["X_SIGNED"] else 0
    ghost = [counter("gh_group", "gh_in", last, top)]
    equal = []
    address = max(1, ((groups << bits) - 1).bit_length())
    for n in range(lanes):
        number = slice_wide("s_axis_tdata", bits * n, bits, bool(p["X_SIGNED"]))
        ghost.append(
            f"  wire [{WIDE - 1}:0] gh_at{n} = gh_group * {WIDE}'d{1 << bits} + {number} + {WIDE}'d{least};\n"
            f"  reg [{width - 1}:0] gh_y{n};\n"
            f"  wire [{lanes * width - 1}:0] gh_entry{n} = lane[{n}].entries[gh_at{n}[{address - 1}:0]];\n"
            f"  always @(posedge clk) if (gh_starts) gh_y{n} <= gh_entry{n}[{width * n}+:{width}];"
        )
        equal.append(f"m_axis_tdata[{width * n}+:{width}] == gh_y{n}")
    ys = ", ".join(f"gh_y{n}" for n in reversed(range(lanes)))
    return single(
        "full_table",
        p,
        1,
        {
            "inside": "gh_inside == y_valid_reg",
            "group": f"group_reg == gh_group && gh_group <= {last}",
            "first": f"!gh_follows || (gh_before == 0 && y_valid_reg && {joined(equal)})",
        },
        expected=f"{{{ys}}}",
        says="each output is the entry of its own input in its channel's table, in the order of inputs",
        ghost="\n".join(ghost) + "\n",
        width=lanes * bits,
        given=lanes * width,
        word=lanes * width,
        reached={"wraps": f"gh_in && gh_group == {last}"},
    )


# --- Products, shifts and sums ---------------------------------------------------------------------------------------

_OPENED = {
    "scale_lane": (
        "output wire [ACC_W-1:0] gh_acc, output wire [S_W-1:0] gh_shift, output wire [B_W-1:0] gh_bias, "
        "output wire [ACC_W:0] gh_wide, output wire [B_W-1:0] gh_wide_bias,",
        "assign gh_acc = acc_reg; assign gh_shift = shift_reg; assign gh_bias = bias_reg; assign gh_wide = wide_reg; "
        "assign gh_wide_bias = wide_bias_reg;",
    )
}


def _scaled(
    module: str,
    p: dict[str, int],
    lane: Callable[[int], tuple[str, str, str]],
    bits: int,
    b_bits: int,
    *,
    relu: bool,
    rounding: int = 0,
    **more: Any,
) -> Properties:
    """Properties of a module that scales: clip(floor(acc / 2^shift + 1/2) + bias), acc modulo 2^ACC_W.

    `rounding`: ROUNDING of the lane, which says where ties go.

    `lane`: of each lane acc in ACC_W bits, shift and bias, of the beat that is taken and `gh_now`, the word of the ROM
    for it, of `bits` a lane. They are kept of the followed beat, so that only where it is taken two products are equal.
    """
    lanes, acc, s_bits, width = (p[name] for name in ("LANES", "ACC_W", "S_W", "Y_W"))
    # Neither half a unit more, nor the bias, nor the end of a result without a sign leaves these.
    last = {0: acc, 3: max(acc, 33) + 1}.get(rounding, acc + 1)
    wide = max(last, b_bits, width) + 2
    number = f"  wire signed [{wide - 1}:0]"
    below = 1 << (width - 1) if p["Y_SIGNED"] else 0
    most, least = f"{wide}'sd{(1 << width) - 1 - below}", f"-{wide}'sd{0 if relu else below}"
    inside = {"acc": acc, "shift": s_bits, "bias": b_bits, "wide": acc + 1, "wide_bias": b_bits}
    ghost = [f"  wire [{lanes * width - 1}:0] gh_y;\n{number} gh_one = 1;"]
    ghost.append(f"  wire [{lanes * bits - 1}:0] gh_now = constants[gh_group];")
    ghost += [f"  wire [{lanes * own - 1}:0] gh_{name}s;" for name, own in inside.items()]
    products, quotients = [], []
    for n in range(lanes):
        total, shift, bias = lane(n)
        ghost += [
            f"  reg signed [{acc - 1}:0] gh_acc{n};",
            f"  reg [{s_bits - 1}:0] gh_shift{n};",
            f"  reg [{b_bits - 1}:0] gh_bias{n};",
            "  always @(posedge clk) if (gh_starts) begin",
            f"    gh_acc{n} <= {total};\n    gh_shift{n} <= {shift};\n    gh_bias{n} <= {bias};\n  end",
            # Beyond the last places each sum is 0, as with these.
            f"  wire [31:0] gh_places{n} = gh_shift{n} > {last} ? {last} : gh_shift{n};",
            f"{number} gh_whole{n} = gh_acc{n};",
            *_rounded(n, number, rounding),
            f"{number} gh_moved{n} = gh_rounded{n} + {_signed(f'gh_bias{n}', 0, b_bits, wide)};",
            f"  assign gh_y[{width * n}+:{width}] = gh_moved{n} > {most} ? {most} : "
            f"gh_moved{n} < {least} ? {least} : gh_moved{n};",
            # In place of the rounded value the module has its quotient, and the half unit that is still to be added.
            f"{number} gh_quotient{n} = {slice_wide('gh_wides', (acc + 1) * n + 1, acc, True, wide)};",
            f"{number} gh_given{n} = gh_quotient{n} + gh_wides[{(acc + 1) * n}];",
        ]
        products.append(
            f"gh_accs[{acc * n}+:{acc}] == gh_acc{n} && gh_shifts[{s_bits * n}+:{s_bits}] == gh_shift{n} && "
            f"gh_biass[{b_bits * n}+:{b_bits}] == gh_bias{n}"
        )
        quotients.append(f"gh_given{n} == gh_rounded{n} && gh_wide_biass[{b_bits * n}+:{b_bits}] == gh_bias{n}")
    enable = "          .clk(clk),\n          .scale_enable"
    opens = "".join(f"          .gh_{name}(gh_{name}s[{own}*n+:{own}]),\n" for name, own in inside.items())
    return _coming_round(
        module,
        p,
        p["PERIOD"] // lanes,
        "constants",
        lanes * bits,
        {"product": ("acc_valid_reg", joined(products)), "quotient": ("wide_valid_reg", joined(quotients))},
        "\n".join(ghost) + "\n",
        given=lanes * width,
        needs=("scale_lane",),
        opened=_OPENED,
        patches=((enable, opens + enable),),
        splits={"product": ("gh_starts", "accepted"), "quotient": ("gh_starts",), "result": ("gh_starts",)},
        **more,
    )


def _rounded(n: int, number: str, rounding: int) -> list[str]:
    """Verilog of a lane's gh_rounded, gh_whole rounded by gh_places: half a unit more, what is below a unit dropped.

    A tie is where half a unit made it a whole one, which is one too much where it is odd (1), or where the number was
    below 0 (2); so is what the first 31 places leave, with the places that are left (3).
    """
    whole, places = f"gh_whole{n}", f"gh_places{n}"
    if rounding == 0:
        return [
            f"{number} gh_half{n} = {whole} + (gh_one <<< ({places} - 1));",
            f"{number} gh_rounded{n} = {places} == 0 ? {whole} : gh_half{n} >>> {places};",
        ]
    twice = f"{places} > 31" if rounding == 3 else "1'b0"
    too_much = {1: f"gh_near{n}[0]", 2: f"gh_left{n} < 0", 3: f"{twice} && gh_left{n} < 0"}[rounding]
    return [
        f"  wire [31:0] gh_rest{n} = {twice} ? {places} - 31 : {places};",
        f"{number} gh_left{n} = {twice} ? {whole} >>> 31 : {whole};",
        f"{number} gh_half{n} = gh_left{n} + (gh_one <<< (gh_rest{n} - 1));",
        f"{number} gh_near{n} = gh_half{n} >>> gh_rest{n};",
        f"  wire gh_too_much{n} = (gh_near{n} <<< gh_rest{n}) == gh_half{n} && {too_much};",
        f"{number} gh_rounded{n} = {places} == 0 ? {whole} : gh_too_much{n} ? gh_near{n} - gh_one : gh_near{n};",
    ]


_TIES = (
    "",
    ", ties to the even one",
    ", ties away from zero",
    ", of shifts above 31 without what is below 2^31, ties away from zero",
)
"""Words that follow floor(.. + 1/2) for each ROUNDING of the lane."""


def _signed(text: str, low: int, bits: int, wide: int, signed: bool = True) -> str:
    """Bits of a vector as a signed number of so many more bits."""
    return f"$signed({slice_wide(text, low, bits, signed, wide)})"


def few_affine(parameters: dict[str, int]) -> Properties:
    """A value scaled by the constants of its place in the round: a product and a sum, a shift, a sum, all clipped."""
    p = dict(parameters)
    lanes, bits, acc = (p[name] for name in ("LANES", "X_W", "ACC_W"))
    w_bits, a_bits, s_bits, b_bits = (p[name] for name in ("W_W", "A_W", "S_W", "B_W"))
    each = w_bits + a_bits + s_bits + b_bits

    def lane(n: int) -> tuple[str, str, str]:
        at = each * n
        x = _signed("s_axis_tdata", bits * n, bits, acc, bool(p["X_SIGNED"]))
        w = f" * {_signed('gh_now', at, w_bits, acc)}" if w_bits else ""
        a = _signed("gh_now", at + w_bits, a_bits, acc)
        at += w_bits + a_bits
        return f"{x}{w} + {a}", f"gh_now[{at}+:{s_bits}]", f"gh_now[{at + s_bits}+:{b_bits}]"

    return _scaled(
        "few_affine",
        p,
        lane,
        each,
        b_bits,
        relu=bool(p["RELU"]),
        rounding=p["ROUNDING"],
        says=f"each output is clip(floor((x w + a) / 2^s + 1/2) + b){_TIES[p['ROUNDING']]}, of its own input, x w + a "
        "modulo 2^ACC_W, with the constants of its place in the round, in the order of inputs",
        width=lanes * bits,
    )


def few_weighted_add(parameters: dict[str, int]) -> Properties:
    """A sum of two streams, each times a constant of its place in the round, shifted and clipped."""
    p = dict(parameters)
    lanes, acc, w_bits, s_bits = (p[name] for name in ("LANES", "ACC_W", "W_W", "S_W"))
    each = 2 * w_bits + s_bits

    def lane(n: int) -> tuple[str, str, str]:
        x = _signed("s0_axis_tdata", p["X_W"] * n, p["X_W"], acc, bool(p["X_SIGNED"]))
        r = _signed("s1_axis_tdata", p["R_W"] * n, p["R_W"], acc, bool(p["R_SIGNED"]))
        w, v = (_signed("gh_now", each * n + w_bits * i, w_bits, acc) for i in range(2))
        return f"{x} * {w} + {r} * {v}", f"gh_now[{each * n + 2 * w_bits}+:{s_bits}]", "1'b0"

    enters = "s0_axis_tvalid && s0_axis_tready && !rst"
    return _scaled(
        "few_weighted_add",
        p,
        lane,
        each,
        1,
        relu=False,
        says="each output is clip(floor((x w + r v) / 2^s + 1/2)) of both its own inputs, x w + r v modulo 2^ACC_W, "
        "with the constants of its place in the round, in the order of inputs",
        enters=enters,
        data="{s1_axis_tdata, s0_axis_tdata}",
        width=lanes * (p["X_W"] + p["R_W"]),
        ready="(s0_axis_tready == s1_axis_tvalid && s1_axis_tready == s0_axis_tvalid)",
        together=f"({enters}) == (s1_axis_tvalid && s1_axis_tready && !rst)",
    )
