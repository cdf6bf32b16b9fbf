"""Properties of the composed accelerator's `frame_loop` under every schedule: one body that computes all steps."""

from fxsim.prove.schedule import Progress, Properties
from fxsim.prove.schedule_constants import counter
from fxsim.prove.schedule_modules import STABLE, bits_of, one_by_one, stable, stays


def frame_loop(parameters: dict[str, int]) -> Properties:
    """Images led through a body: beats are counted on either side of it, one that is kept is followed, any.

    Kept are, in turn, the beats of all steps but an image's last, and taken again those of all but its first: the one
    kept as so-manieth is the one taken again as so-manieth. Assumed of the body: it gives no more than it has taken.
    """
    p = dict(parameters)
    steps, beats, lanes, x_bits, y_bits = (p[name] for name in ("STEPS", "BEATS", "LANES", "X_W", "Y_W"))
    last, width, all_kept = steps - 1, lanes * y_bits, (steps - 1) * beats
    step_top, beat_top, wide = bits_of(last) - 1, bits_of(beats) - 1, bits_of(2 * steps * beats) + 1
    several = "several."

    def at(name: str) -> str:
        return f"gh_{name}_step * {wide}'d{beats} + gh_{name}_beat"

    extended = []
    for n in reversed(range(lanes)):
        sign = f"s0_axis_tdata[{x_bits * (n + 1) - 1}]" if p["X_SIGNED"] else "1'b0"
        above = f"{{{y_bits - x_bits}{{{sign}}}}}, " if y_bits > x_bits else ""
        extended.append(f"{above}s0_axis_tdata[{x_bits * n}+:{x_bits}]")
    ghost = f"""
  wire gh_take = m0_axis_tvalid && m0_axis_tready && !rst;
  wire gh_give = s1_axis_tvalid && s1_axis_tready && !rst;
{counter("gh_take_beat", "gh_take", beats - 1, beat_top)}{counter("gh_give_beat", "gh_give", beats - 1, beat_top)}
  wire gh_take_ends = gh_take && gh_take_beat == {beats - 1}, gh_give_ends = gh_give && gh_give_beat == {beats - 1};
{counter("gh_take_step", "gh_take_ends", last, step_top)}{counter("gh_give_step", "gh_give_ends", last, step_top)}
  reg gh_ahead;  // the body takes of the next image already, while it gives of the one before
  always @(posedge clk) gh_ahead <= !rst && (gh_ahead ^ (gh_take_ends && gh_take_step == {last})
      ^ (gh_give_ends && gh_give_step == {last}));
  wire [{wide - 1}:0] gh_taken = {at("take")}, gh_given = {at("give")};
  wire [{wide - 1}:0] gh_again = gh_taken > {beats} ? gh_taken - {beats} : 0;
  wire [{wide - 1}:0] gh_kept = gh_given < {all_kept} ? gh_given : {all_kept};
  wire gh_body = gh_given < gh_taken + (gh_ahead ? {steps * beats} : 0);  // it has beats that it has not given
  wire [{width - 1}:0] gh_entering = {{{", ".join(extended)}}};
"""
    ghost += one_by_one(
        beats,
        "s1_axis_tdata",
        width,
        f"gh_give && gh_give_step != {last}",
        leaves="gh_take && gh_take_step != 0",
    )
    ghost += stable("s0_axis", lanes * x_bits)
    ghost += "".join(stable(name, width) for name in ("s1_axis", "m0_axis", "m1_axis"))
    holds = {
        "enters": "gh_take_step != 0 || (m0_axis_tvalid == s0_axis_tvalid && m0_axis_tdata == gh_entering && "
        "s0_axis_tready == m0_axis_tready)",
        "outside": "gh_take_step == 0 || !s0_axis_tready",
        "order": "!(gh_follows && gh_before == 0 && m0_axis_tvalid && gh_take_step != 0) || m0_axis_tdata == gh_value",
        "again": "gh_take_step == 0 || m0_axis_tvalid == (gh_inside != 0)",
        "leaves": f"m1_axis_tvalid == (s1_axis_tvalid && gh_give_step == {last}) && m1_axis_tdata == s1_axis_tdata && "
        f"(gh_give_step != {last} || s1_axis_tready == m1_axis_tready)",
        "room": f"gh_give_step == {last} || s1_axis_tready || !gh_body",
        "stable": f"({stays('m0_axis')}) && ({stays('m1_axis')})",
        "before": "!gh_follows || gh_before < gh_inside",
        "registers": "take_step_reg == gh_take_step && take_beat_reg == gh_take_beat && "
        "give_step_reg == gh_give_step && give_beat_reg == gh_give_beat",
        "bounds": f"gh_take_step <= {last} && gh_give_step <= {last} && gh_take_beat <= {beats - 1} && "
        f"gh_give_beat <= {beats - 1}",
        "count": f"gh_inside + gh_again + (gh_ahead ? {all_kept} : 0) == gh_kept",
        "body": f"gh_given <= gh_taken + (gh_ahead ? {steps * beats} : 0)",
    }
    if beats == 1:
        ports = f"output wire gh_occupied, output wire [{width - 1}:0] gh_output,"
        drives = "assign gh_occupied = output_valid_reg; assign gh_output = output_reg;"
        names = ["occupied", "output"]
        wires = f"  wire gh_occupied; wire [{width - 1}:0] gh_output;\n"
        holds |= {
            "inside": "gh_inside == gh_occupied",
            "first": "!gh_follows || (gh_before == 0 && gh_output == gh_value)",
        }
    else:
        index, stored = max(1, (beats - 2).bit_length()), max(1, (beats - 1).bit_length())
        sum_w = bits_of(2 * beats) + 1
        ports = (
            f"output wire gh_occupied, output wire [{width - 1}:0] gh_output, output wire [{stored - 1}:0] gh_stored, "
            f"output wire [{index - 1}:0] gh_read, output wire [{index - 1}:0] gh_write, "
            f"input wire [{index - 1}:0] gh_at, output wire [{width - 1}:0] gh_held,"
        )
        drives = (
            "assign gh_occupied = output_valid_reg; assign gh_output = output_reg; "
            f"assign gh_stored = {several}stored_reg; assign gh_read = {several}read_reg; "
            f"assign gh_write = {several}write_reg; assign gh_held = {several}memory[gh_at];"
        )
        names = ["occupied", "output", "stored", "read", "write", "at", "held"]
        wires = (
            f"  wire gh_occupied; wire [{width - 1}:0] gh_output, gh_held; wire [{stored - 1}:0] gh_stored;\n"
            f"  wire [{index - 1}:0] gh_read, gh_write, gh_at;\n"
        )
        ghost += f"""
  wire [{sum_w - 1}:0] gh_to_write = gh_read + gh_stored;
  wire [{sum_w - 1}:0] gh_wrapped_write = gh_to_write >= {beats - 1} ? gh_to_write - {beats - 1} : gh_to_write;
  wire [{sum_w - 1}:0] gh_sum = gh_read + gh_before - 1'b1;
  wire [{sum_w - 1}:0] gh_place = gh_sum >= {beats - 1} ? gh_sum - {beats - 1} : gh_sum;
  assign gh_at = gh_place[{index - 1}:0];
"""
        holds |= {
            "inside": "gh_inside == gh_stored + gh_occupied",
            "places": f"gh_write <= {beats - 2} && gh_read <= {beats - 2} && gh_stored <= {beats - 1}",
            "empty": "gh_stored == 0 || gh_occupied",
            "pointers": "gh_wrapped_write == gh_write",
            "first": "!(gh_follows && gh_before == 0) || gh_output == gh_value",
            "stored": "!(gh_follows && gh_before != 0) || gh_held == gh_value",
        }
    connects = "".join(f"      .gh_{name}(gh_{name}),\n" for name in names)
    return Properties(
        "frame_loop",
        p,
        ghost,
        holds,
        {
            "enters": "in an image's first step the body takes what enters, extended to a value between steps",
            "outside": "in its other steps nothing enters: the next image waits",
            "order": "then it takes what it gave in the step before, in its turn: none lost, doubled, or out of order",
            "again": "which is offered as soon as it is there, and only then",
            "leaves": "what the last step gives leaves, and nothing else does",
            "room": "what another step gives always has a place",
            "stable": STABLE,
        },
        inputs={"gh_mark": 1},
        assumed={
            "stable0": stays("s0_axis"),
            "stable1": stays("s1_axis"),
            "taken": "!s1_axis_tvalid || gh_body",
        },
        withheld={"taken": "s1_axis_tvalid"},
        reached={
            "follows": "gh_follows && gh_before == 0 && gh_out",
            "leaves": f"gh_give_ends && gh_give_step == {last}",
            "ahead": "gh_ahead && gh_take",
        },
        progress={"goes": Progress("gh_take_step == 0 && s0_axis_tvalid && m0_axis_tready", "gh_take", 1)},
        needs=("axis_fifo",),
        opened={"axis_fifo": (ports, drives)},
        patches=(
            ("  wire enters = take_step_reg", wires + "  wire enters = take_step_reg"),
            ("  ) image (\n", "  ) image (\n" + connects),
        ),
        cycles=4000 + 40 * steps * beats,
    )
