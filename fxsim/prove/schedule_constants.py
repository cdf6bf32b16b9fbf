"""Properties of the composed accelerator's modules with constants that come round with the beats, from any ROM.

`schedule_composed.py` has those of the others.
"""

from collections.abc import Iterator

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
    last, top = groups - 1, max(1, (groups - 1).bit_length()) - 1
    ghost = [
        counter("gh_group", "gh_in", last, top),
        f"  reg [{top}:0] gh_own;  // the beat of the pixel that is followed\n"
        "  always @(posedge clk) if (gh_starts) gh_own <= gh_group;\n"
        f"  wire [{lanes * lane_bits - 1}:0] gh_rom = thresholds[gh_own];\n"
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
    return single(
        "threshold",
        p,
        3,
        {
            "inside": "gh_inside == {1'b0, passed_valid_reg} + {1'b0, count_valid_reg} + {1'b0, y_valid_reg}",
            "group": f"gh_group <= {last} && (!gh_follows || gh_own <= {last})",
            "unfetched": "fetched_reg || (fetch_reg == 0 && gh_group == 0 && gh_inside == 0)",
            "fetch": f"!fetched_reg || fetch_reg == (gh_group == {last} ? 0 : gh_group + 1'b1)",
            "constants": "!fetched_reg || thresholds_reg == thresholds[gh_group]",
            "passed": "!(gh_follows && passed_valid_reg && gh_before == {1'b0, count_valid_reg} + {1'b0, y_valid_reg}) "
            "|| gh_passing == gh_passed",
            "count": "!(gh_follows && count_valid_reg && gh_before == y_valid_reg) || gh_counting == gh_counts",
            "result": "!(gh_follows && gh_before == 0 && y_valid_reg) || m_axis_tdata == gh_y",
        },
        expected="gh_y",
        says="each output is the level of as many thresholds of its channel as its own input has passed, in the order "
        "of inputs",
        ghost="\n".join(ghost) + "\n",
        data="s_axis_tdata",
        width=lanes * bits,
        given=lanes * width,
        ready="(s_axis_tready || !fetched_reg)",
        progress={"fetches": Progress("gh_inside == 0", "s_axis_tready", 2)},
        assumed={"ascend": f"!gh_follows || gh_own > {last} || {joined(ascends)}"} if ascends else {},
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
        word=lanes * lane_bits,
        reached={"wraps": f"gh_in && gh_group == {last}"},
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
