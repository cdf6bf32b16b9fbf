"""Properties of `frame_loop` under every schedule: images through a body, step by step, and onward."""

from fxsim.prove.schedule import Progress, Properties
from fxsim.prove.schedule_modules import STABLE, bits_of, stable, stays

_IMAGES = 4
"""Images are counted modulo so many: what is kept is of one image or of the next."""


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
            f"  always @(posedge clk) if (rst) {own} <= 0; else if ({carry}) "
            f"{own} <= {own} == {count - 1} ? 0 : {own} + 1'b1;\n"
        )
        carry = f"({carry} && {own} == {count - 1})"
    return text


def frame_loop(parameters: dict[str, int]) -> Properties:
    """Images through a body: beats that pass to it and come back are counted; one that is kept is followed, any.

    Nothing is assumed of the body but that what it offers stays: number j of the beats that come back before a last
    step is number j of those that a later step takes, whenever they come.
    """
    p = dict(parameters)
    steps, beats, lanes, x_bits, y_bits = (p[name] for name in ("STEPS", "BEATS", "LANES", "X_W", "Y_W"))
    width, last, kept = lanes * y_bits, steps - 1, (steps - 1) * beats
    wide = bits_of(2 * _IMAGES * kept + 2 * beats) + 1
    counts = {"beat": beats, "step": steps, "image": _IMAGES}
    top = bits_of(beats) - 1
    place = _width(beats - 1)
    ends = f"{wide}'d{_IMAGES * kept}"
    extended = []
    for n in reversed(range(lanes)):
        sign = f"s0_axis_tdata[{x_bits * (n + 1) - 1}]" if p["X_SIGNED"] else "1'b0"
        above = [f"{{{y_bits - x_bits}{{{sign}}}}}"] if y_bits > x_bits else []
        extended.append(", ".join([*above, f"s0_axis_tdata[{x_bits * n}+:{x_bits}]"]))

    def modulo(number: str) -> str:
        """A number below twice the beats of all images that are told apart, modulo these."""
        return f"(({number}) >= {ends} ? ({number}) - {ends} : ({number}))"

    def flat(letter: str, step: str) -> str:
        return f"(gh_{letter}_image * {wide}'d{last} + {step}) * {wide}'d{beats} + gh_{letter}_beat"

    if beats == 1:
        body = "assign gh_stored = 0; assign gh_write = 0; assign gh_read = 0; assign gh_held = 0;"
    else:
        body = (
            "assign gh_stored = several.stored_reg; assign gh_write = several.write_reg; "
            "assign gh_read = several.read_reg; assign gh_held = several.memory[gh_at];"
        )
    slots = max(1, beats - 1)
    return Properties(
        "frame_loop",
        p,
        f"""
  wire gh_take = m0_axis_tvalid && m0_axis_tready && !rst;
  wire gh_give = s1_axis_tvalid && s1_axis_tready && !rst;
  // What the body takes next, and what it gives next.
{_counters("t", "gh_take", counts)}{_counters("g", "gh_give", counts)}
  wire gh_enters = gh_t_step == 0, gh_leaves = gh_g_step == {last};
  wire gh_in = gh_give && !gh_leaves, gh_out = gh_take && !gh_enters;
  wire [{width - 1}:0] gh_entering = {{{", ".join(extended)}}};
  // Of beats that are kept between steps: the number of the next that comes, of the next that goes.
  wire [{wide - 1}:0] gh_ahead = {flat("t", f"gh_t_step - {wide}'d1")}, gh_first = gh_t_image * {wide}'d{kept};
  wire [{wide - 1}:0] gh_goes = gh_enters ? gh_first : gh_ahead;
  wire [{wide - 1}:0] gh_back = {flat("g", "gh_g_step")}, gh_next = gh_g_image * {wide}'d{kept} + {wide}'d{kept};
  wire [{wide - 1}:0] gh_comes = gh_leaves ? {modulo("gh_next")} : gh_back;
  reg [{top}:0] gh_inside, gh_before;  // beats that are kept; of them, before the one that is followed
  reg gh_follows;
  reg [{width - 1}:0] gh_value;
  reg [{_width(beats) - 1}:0] gh_o_beat;
  reg [{_width(steps) - 1}:0] gh_o_step;
  reg [{_width(_IMAGES) - 1}:0] gh_o_image;
  wire [{wide - 1}:0] gh_own = {flat("o", "gh_o_step")};
  wire [{wide - 1}:0] gh_all = gh_goes + gh_inside, gh_turn = gh_goes + gh_before;
  wire gh_starts = gh_in && gh_mark && !gh_follows;
  always @(posedge clk) begin
    gh_inside <= rst ? 0 : gh_inside + gh_in - gh_out;
    if (rst) gh_follows <= 1'b0;
    else if (gh_starts) begin
      gh_follows <= 1'b1;
      gh_before <= gh_inside - gh_out;
      gh_value <= s1_axis_tdata;
      gh_o_beat <= gh_g_beat;
      gh_o_step <= gh_g_step;
      gh_o_image <= gh_g_image;
    end else if (gh_follows && gh_out) begin
      if (gh_before == 0) gh_follows <= 1'b0;
      else gh_before <= gh_before - 1'b1;
    end
  end
  wire [{wide - 1}:0] gh_to_write = gh_read + gh_stored;
  wire [{wide - 1}:0] gh_writes = gh_to_write >= {slots} ? gh_to_write - {slots} : gh_to_write;
  wire [{wide - 1}:0] gh_sum = gh_read + gh_before - 1'b1;
  wire [{wide - 1}:0] gh_wrapped = gh_sum >= {slots} ? gh_sum - {slots} : gh_sum;
  assign gh_at = gh_wrapped[{place - 1}:0];
{stable("s0_axis", x_bits * lanes)}{stable("s1_axis", width)}{stable("m0_axis", width)}{stable("m1_axis", width)}""",
        {
            "enters": "!gh_enters || (m0_axis_tdata == gh_entering && m0_axis_tvalid == s0_axis_tvalid)",
            "waits": "s0_axis_tready == (gh_enters && m0_axis_tready)",
            "order": "!(gh_follows && gh_before == 0 && !gh_enters && m0_axis_tvalid) || (m0_axis_tdata == gh_value && "
            "gh_t_beat == gh_o_beat && gh_t_step == gh_o_step + 1 && gh_t_image == gh_o_image)",
            "exists": "gh_enters || m0_axis_tvalid == (gh_inside != 0)",
            "leaves": "m1_axis_tvalid == (gh_leaves && s1_axis_tvalid) && "
            "(!m1_axis_tvalid || m1_axis_tdata == s1_axis_tdata)",
            "ready": f"s1_axis_tready == (gh_leaves ? m1_axis_tready : gh_inside != {beats})",
            "stable0": stays("m0_axis"),
            "stable1": stays("m1_axis"),
            "bounds": " && ".join(
                f"gh_{letter}_{name} <= {count - 1}" for letter in "tg" for name, count in counts.items()
            )
            + f" && gh_inside <= {beats} && gh_stored <= {beats - 1}",
            "counters": "take_step_reg == gh_t_step && take_beat_reg == gh_t_beat && give_step_reg == gh_g_step && "
            "give_beat_reg == gh_g_beat",
            "kept": f"gh_comes == {modulo('gh_all')}",
            "turn": f"!gh_follows || (gh_before < gh_inside && gh_o_beat <= {beats - 1} && gh_o_step < {last} && "
            f"gh_own == {modulo('gh_turn')})",
            "inside": "gh_inside == gh_stored + kept_valid",
            "pointers": f"gh_writes == gh_write && gh_write < {slots} && gh_read < {slots} && "
            "(gh_stored == 0 || kept_valid)"
            if beats > 1
            else "gh_stored == 0",
            "first": "!(gh_follows && gh_before == 0) || kept == gh_value",
            "stored": "!(gh_follows && gh_before != 0) || gh_held == gh_value",
        },
        {
            "enters": "the body's first step of an image takes the image's beats, each value extended by its sign",
            "waits": "and no beat of an image is taken before the body has taken the image before in its last step",
            "order": "every later step of an image takes what came back of the step before, in its place, unchanged",
            "exists": "a later step takes what has come back, and nothing else",
            "leaves": "what comes back of an image's last step leaves, and nothing else",
            "ready": "what comes back waits for the output where it leaves, else for room: a whole image is kept",
            "stable0": STABLE,
            "stable1": STABLE,
        },
        inputs={"gh_mark": 1},
        assumed={"stable0": stays("s0_axis"), "stable1": stays("s1_axis")},
        reached={
            "kept": "gh_follows && gh_before == 0 && gh_out",
            "leaves": "m1_axis_tvalid && m1_axis_tready",
            "next": "gh_t_image == 1 && gh_take",
            "waits": "gh_m0_axis_waits && gh_inside != 0",
        },
        progress={
            "goes": Progress("gh_inside != 0 && !gh_enters && m0_axis_tready", "gh_out", 1),
            "enters": Progress("gh_enters && s0_axis_tvalid && m0_axis_tready", "s0_axis_tready && gh_take", 1),
            "leaves": Progress("gh_leaves && s1_axis_tvalid && m1_axis_tready", "gh_give", 1),
            "keeps": Progress(f"!gh_leaves && s1_axis_tvalid && gh_inside != {beats}", "gh_in", 1),
        },
        word=max(32, width),
        needs=("axis_fifo",),
        opened={
            "axis_fifo": (
                f"output wire [{top}:0] gh_stored, output wire [{place - 1}:0] gh_write, "
                f"output wire [{place - 1}:0] gh_read, input wire [{place - 1}:0] gh_at, "
                f"output wire [{width - 1}:0] gh_held,",
                body,
            )
        },
        patches=(
            (
                "  genvar n;\n",
                f"  wire [{top}:0] gh_stored; wire [{place - 1}:0] gh_write, gh_read, gh_at;\n"
                f"  wire [{width - 1}:0] gh_held;\n  genvar n;\n",
            ),
            (
                "  ) image (\n",
                "  ) image (\n      .gh_stored(gh_stored), .gh_write(gh_write), .gh_read(gh_read), .gh_at(gh_at),\n"
                "      .gh_held(gh_held),\n",
            ),
        ),
        cycles=4000 + 8 * steps * beats,
    )
