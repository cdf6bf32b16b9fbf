"""Properties of the stream modules under every schedule, as ghost Verilog inside a copy of each.

One value is followed: any, whichever the ghost input `gh_mark` picks. A ghost counter says how many values are inside
and how many of them stand before it, so that it leaves as the output of its own number; a ghost register keeps it.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fxsim.errors import ModelError
from fxsim.prove.schedule import Progress, Properties

STABLE = "a valid output stays, with its data, until it is taken"
EXISTS = "no output without an input"
DATA = "each value leaves in its turn, as it was taken in: none lost, doubled, or out of order"
FUNCTION = "each output is the module's function of its own input, in the order of inputs"
READY = "what is not ready holds a value: it waits for its output alone"


def bits_of(count: int) -> int:
    """Bits of a counter that goes up to `count`."""
    return max(1, count.bit_length())


def one_by_one(
    capacity: int,
    data: str = "s_axis_tdata",
    width: int = 8,
    enters: str = "",
    given: int | None = None,
    leaves: str = "",
) -> str:
    """Ghosts of a module that gives one output for each input, `capacity` of which are inside at most.

    `width`: bits of what is kept of an input; `given`: bits of an output, by default as many. `leaves`: when one
    leaves, where that is not when m_axis is taken; no ghost keeps what m_axis showed then.
    """
    top = bits_of(capacity) - 1
    return f"""
  wire gh_in = {enters or "s_axis_tvalid && s_axis_tready && !rst"};
  wire gh_out = {leaves or "m_axis_tvalid && m_axis_tready && !rst"};
  reg [{top}:0] gh_inside;   // values inside
  reg [{top}:0] gh_before;   // of them, before the one that is followed
  reg gh_follows;            // it is inside
  reg [{width - 1}:0] gh_value;
  wire gh_starts = gh_in && gh_mark && !gh_follows;
  always @(posedge clk) begin
    gh_inside <= rst ? 0 : gh_inside + gh_in - gh_out;
    if (rst) gh_follows <= 1'b0;
    else if (gh_starts) begin
      gh_follows <= 1'b1;
      gh_value <= {data};
      gh_before <= gh_inside - gh_out;
    end else if (gh_follows && gh_out) begin
      if (gh_before == 0) gh_follows <= 1'b0;
      else gh_before <= gh_before - 1'b1;
    end
  end
{"" if leaves else stable("m_axis", width if given is None else given)}"""


def _of_one_value(module: str, parameters: dict[str, int], name: str = "LANES", value: int = 1) -> None:
    """Refuse a module whose beats are of more than a value of eight bits."""
    if (found := parameters.get(name, value)) != value:
        raise ModelError(f"nothing is stated of {module} with {name} {found}, but with {value}")


def stable(stream: str, width: int = 8, payload: str = "") -> str:
    """Ghosts that keep what an output showed when it was not taken."""
    return f"""
  reg gh_{stream}_waits;
  reg [{width - 1}:0] gh_{stream}_shown;
  always @(posedge clk) begin
    gh_{stream}_waits <= {stream}_tvalid && !{stream}_tready && !rst;
    gh_{stream}_shown <= {payload or f"{stream}_tdata"};
  end
"""


def stays(stream: str, payload: str = "") -> str:
    """The condition under which an output that was not taken is as it was shown."""
    return f"!gh_{stream}_waits || ({stream}_tvalid && {payload or f'{stream}_tdata'} == gh_{stream}_shown)"


def single(
    module: str,
    parameters: dict[str, int],
    capacity: int,
    holds: dict[str, str],
    expected: str = "gh_value",
    says: str = DATA,
    ghost: str = "",
    width: int = 8,
    ready: str = "s_axis_tready",
    **more: Any,
) -> Properties:
    """Properties of a module of one input and one output stream, one output an input."""
    enters = more.pop("enters", "")
    data = more.pop("data", "s_axis_tdata")
    given = more.pop("given", None)
    inputs = more.pop("inputs", {})
    progress = more.pop("progress", {})
    reached = more.pop("reached", {})
    return Properties(
        module=module,
        parameters=parameters,
        inputs={"gh_mark": 1, **inputs},
        ghost=one_by_one(capacity, data, width, enters, given) + ghost,
        holds={
            "order": f"!(gh_follows && gh_before == 0 && m_axis_tvalid) || m_axis_tdata == ({expected})",
            "exists": "!m_axis_tvalid || gh_inside != 0",
            "stable": stays("m_axis"),
            "ready": f"{ready} || gh_inside != 0",
            "before": "!gh_follows || gh_before < gh_inside",
            **holds,
        },
        says={"order": says, "exists": EXISTS, "stable": STABLE, "ready": READY},
        reached={"follows": "gh_follows && gh_before == 0 && gh_out", "waits": "gh_m_axis_waits", **reached},
        progress={
            "moves": Progress("gh_inside != 0 && m_axis_tready", "gh_out", capacity + 1),
            "offers": Progress("gh_inside != 0", "m_axis_tvalid", capacity + 1),
            **progress,
        },
        **more,
    )


def axis_register(parameters: dict[str, int]) -> Properties:
    """A register slice."""
    _of_one_value("axis_register", parameters, "DATA_W", 8)
    return single(
        "axis_register",
        {},
        2,
        {
            "inside": "gh_inside == {1'b0, output_valid_reg} + {1'b0, skid_valid_reg}",
            "skid": "!skid_valid_reg || output_valid_reg",
            "first": "!(gh_follows && gh_before == 0) || output_reg == gh_value",
            "second": "!(gh_follows && gh_before == 1) || skid_reg == gh_value",
        },
        reached={"full": "gh_inside == 2 && gh_follows && gh_before == 1"},
    )


def axis_fifo(parameters: dict[str, int]) -> Properties:
    """A FIFO of exactly DEPTH entries."""
    depth, width = parameters["DEPTH"], parameters.get("DATA_W", 8)
    exactly = {"capacity": f"s_axis_tready || gh_inside == {depth}"}
    if depth == 1:
        holds = {
            "inside": "gh_inside == output_valid_reg",
            "first": "!gh_follows || (gh_before == 0 && output_reg == gh_value)",
        }
    else:
        name = "several."
        holds = {
            "inside": f"gh_inside == {name}stored_reg + output_valid_reg",
            "bounds": f"{name}write_reg <= {depth - 2} && {name}read_reg <= {depth - 2} && "
            f"{name}stored_reg <= {depth - 1}",
            "empty": f"{name}stored_reg == 0 || output_valid_reg",
            "pointers": f"gh_write == {name}write_reg",
            "first": "!(gh_follows && gh_before == 0) || output_reg == gh_value",
            "stored": f"!(gh_follows && gh_before != 0) || {name}memory[gh_place] == gh_value",
        }
        wide = bits_of(2 * depth) + 1
        index = max(1, (depth - 2).bit_length())
        ghost = f"""
  wire [{wide - 1}:0] gh_to_write = {name}read_reg + {name}stored_reg;
  wire [{wide - 1}:0] gh_write = gh_to_write >= {depth - 1} ? gh_to_write - {depth - 1} : gh_to_write;
  wire [{wide - 1}:0] gh_sum = {name}read_reg + gh_before - 1'b1;
  wire [{wide - 1}:0] gh_wrapped = gh_sum >= {depth - 1} ? gh_sum - {depth - 1} : gh_sum;
  wire [{index - 1}:0] gh_place = gh_wrapped[{index - 1}:0];
"""
        return single(
            "axis_fifo",
            {"DEPTH": depth, "DATA_W": width},
            depth,
            {**holds, **exactly},
            ghost=ghost,
            width=width,
            progress={
                "moves": Progress("gh_inside != 0 && m_axis_tready", "gh_out", 2),
                "offers": Progress("gh_inside != 0", "m_axis_tvalid", 2),
            },
        )
    return single("axis_fifo", {"DEPTH": depth, "DATA_W": width}, depth, {**holds, **exactly}, width=width)


def relu(parameters: dict[str, int]) -> Properties:
    """A ReLU, one register."""
    _of_one_value("relu", parameters)
    value = "(gh_value[7] ? 8'd0 : gh_value)"
    return single(
        "relu",
        {},
        1,
        {
            "inside": "gh_inside == y_valid_reg",
            "first": f"!gh_follows || (gh_before == 0 && y_reg == {value})",
        },
        expected=value,
        says=FUNCTION,
    )


def add(parameters: dict[str, int]) -> Properties:
    """A sum of two streams."""
    _of_one_value("add", parameters)
    enters = "s0_axis_tvalid && s0_axis_tready && !rst"
    return single(
        "add",
        {},
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
        width=16,
        ghost="""
  wire [7:0] gh_y;
  saturating_add gh_sum (.x(gh_value[7:0]), .r(gh_value[15:8]), .y(gh_y));
""",
        ready="(s0_axis_tready == s1_axis_tvalid && s1_axis_tready == s0_axis_tvalid)",
        needs=("saturating_add",),
    )


def affine(parameters: dict[str, int]) -> Properties:
    """An affine: the channel counts with the values, constants are fetched one ahead."""
    _of_one_value("affine", parameters)
    channels = parameters["CHANNELS"]
    last, top = channels - 1, max(1, (channels - 1).bit_length()) - 1
    return single(
        "affine",
        {"CHANNELS": channels},
        2,
        {
            "inside": "gh_inside == {1'b0, product_valid_reg} + {1'b0, y_valid_reg}",
            "channel": f"gh_channel <= {last}",
            "own": f"!gh_follows || gh_own <= {last}",
            "unfetched": "fetched_reg || (fetch_reg == 0 && gh_channel == 0 && gh_inside == 0)",
            "fetch": f"!fetched_reg || fetch_reg == (gh_channel == {last} ? 0 : gh_channel + 1'b1)",
            "constants": "!fetched_reg || {weight_reg, bias_reg, shift_reg} == "
            "{weights[gh_channel], biases[gh_channel], shifts[gh_channel]}",
            "product": "!(gh_follows && product_valid_reg && gh_before == y_valid_reg) || y == gh_y",
            "result": "!(gh_follows && gh_before == 0 && y_valid_reg) || y_reg == gh_y",
        },
        expected="gh_y",
        says=FUNCTION,
        ready="(s_axis_tready || !fetched_reg)",
        ghost=f"""
  reg [{top}:0] gh_channel;  // of the next value
  reg [{top}:0] gh_own;      // of the one that is followed
  always @(posedge clk) begin
    if (rst) gh_channel <= 0;
    else if (gh_in) gh_channel <= gh_channel == {last} ? 0 : gh_channel + 1'b1;
    if (gh_starts) gh_own <= gh_channel;
  end
  wire signed [15:0] gh_x = {{{{8{{gh_value[7]}}}}, gh_value}};
  wire [7:0] gh_weight = weights[gh_own];
  wire signed [15:0] gh_w = {{{{8{{gh_weight[7]}}}}, gh_weight}};
  wire [15:0] gh_product = gh_x * gh_w;
  wire [7:0] gh_y;
  requantise #(.ACC_W(16)) gh_requantise (.acc(gh_product), .shift(shifts[gh_own]), .bias(biases[gh_own]), .y(gh_y));
""",
        progress={"fetches": Progress("gh_inside == 0", "s_axis_tready", 2)},
        needs=("affine_lane", "requantise"),
        reached={"wraps": f"gh_in && gh_channel == {last}"},
        splits={
            "product": ("gh_starts", "gh_in"),
            "result": ("gh_starts", "y_free && product_valid_reg", "gh_before == y_valid_reg"),
        },
    )


def activation_table(parameters: dict[str, int]) -> Properties:
    """A table per channel, in three stages."""
    _of_one_value("activation_table", parameters)
    channels, points, rule = parameters["CHANNELS"], parameters["POINTS"], parameters["TABLE_RULE"]
    stored = points + (rule == 2)
    fraction = 8 - (points - 1).bit_length()
    width, top = (channels * stored - 1).bit_length(), max(1, (channels - 1).bit_length()) - 1
    if fraction:
        result = f"""
  reg [7:0] gh_t1;
  reg [{fraction - 1}:0] gh_fraction;
  always @(posedge clk) if (gh_starts) begin
    gh_t1 <= copy[0].points[interpolated.end_address];
    gh_fraction <= index[{fraction - 1}:0];
  end
  wire [8:0] gh_step;
  segment_step #(.FRAC_W({fraction})) gh_segment (.t0(gh_t0), .t1(gh_t1), .frac(gh_fraction), .step(gh_step));
  wire [7:0] gh_y = gh_t0 + gh_step[8:1] + {{7'd0, gh_step[0]}};
"""
        ends = " && interpolated.t1_reg == gh_t1 && interpolated.frac_reg == gh_fraction"
        step = " && interpolated.step_reg == gh_step"
    else:
        result = "  wire [7:0] gh_y = gh_t0;\n"
        ends = step = ""
    return single(
        "activation_table",
        {"CHANNELS": channels, "POINTS": points, "TABLE_RULE": rule},
        3,
        {
            "inside": "gh_inside == {1'b0, points_valid_reg} + {1'b0, step_valid_reg} + {1'b0, y_valid_reg}",
            "channel": f"gh_channel <= {channels - 1} && base_reg == gh_base",
            "points": "!(gh_follows && points_valid_reg && "
            "gh_before == {1'b0, step_valid_reg} + {1'b0, y_valid_reg}) || "
            f"(t0_reg == gh_t0{ends})",
            "step": f"!(gh_follows && step_valid_reg && gh_before == y_valid_reg) || (start_reg == gh_t0{step})",
            "result": "!(gh_follows && gh_before == 0 && y_valid_reg) || y_reg == gh_y",
        },
        expected="gh_y",
        says="each output is a function of its own input, its channel and the table, in the order of inputs",
        ghost=f"""
  reg [{top}:0] gh_channel;  // of the next value
  always @(posedge clk) begin
    if (rst) gh_channel <= 0;
    else if (gh_in) gh_channel <= gh_channel == {channels - 1} ? 0 : gh_channel + 1'b1;
  end
  wire [{width + 8}:0] gh_wide = gh_channel * {stored};
  wire [{width - 1}:0] gh_base = gh_wide[{width - 1}:0];
  // What it is a function of: the points at addresses of base and value alone.
  reg [7:0] gh_t0;
  always @(posedge clk) if (gh_starts) gh_t0 <= copy[0].points[start_address];
{result}""",
        needs=("segment_step",),
        reached={"wraps": f"gh_in && gh_channel == {channels - 1}"},
        splits={
            "points": ("gh_starts", "gh_in"),
            "step": ("gh_starts", "step_free && points_valid_reg"),
            "result": ("gh_starts", "y_free && step_valid_reg"),
        },
    )


def axis_fork(parameters: dict[str, int]) -> Properties:
    """A fork: every value once on either side."""
    width = parameters.get("DATA_W", 8)
    sides = {}
    for side in (0, 1):
        sides[f"taken{side}"] = f"taken{side}_reg == gh_had{side}"
        sides[f"once{side}"] = f"!gh_out{side} || !gh_had{side}"
        sides[f"all{side}"] = f"!gh_in || gh_had{side} || gh_out{side}"
        sides[f"data{side}"] = f"m{side}_axis_tdata == s_axis_tdata && (!m{side}_axis_tvalid || s_axis_tvalid)"
        sides[f"stable{side}"] = stays(f"m{side}_axis")
        sides[f"offers{side}"] = f"!s_axis_tvalid || gh_had{side} || m{side}_axis_tvalid"
    ghost = """
  wire gh_in = s_axis_tvalid && s_axis_tready && !rst;
""" + stable("s_axis", width)
    for side in (0, 1):
        ghost += f"""
  wire gh_out{side} = m{side}_axis_tvalid && m{side}_axis_tready && !rst;
  reg gh_had{side};  // this side has had the value that stands at the input
  always @(posedge clk) gh_had{side} <= !rst && !gh_in && (gh_had{side} || gh_out{side});
{stable(f"m{side}_axis", width)}"""
    return Properties(
        "axis_fork",
        {} if width == 8 else {"DATA_W": width},
        ghost,
        {**sides, "not_both": "!(gh_had0 && gh_had1)", "waiting": "!(gh_had0 || gh_had1) || gh_s_axis_waits"},
        {
            **{f"once{side}": f"output {side} has no value twice" for side in (0, 1)},
            **{f"all{side}": f"output {side} has had each value when the input goes on" for side in (0, 1)},
            **{f"data{side}": f"output {side} shows the value at the input" for side in (0, 1)},
            **{f"stable{side}": STABLE for side in (0, 1)},
            **{f"offers{side}": f"output {side} is valid until it has had the value at the input" for side in (0, 1)},
        },
        assumed={"stable": stays("s_axis")},
        reached={"apart": "gh_had0 && gh_out1", "other": "gh_had1 && gh_out0"},
        progress={"moves": Progress("s_axis_tvalid && m0_axis_tready && m1_axis_tready", "gh_in", 1)},
    )


def frame_tag(parameters: dict[str, int]) -> Properties:
    """The end of a stream of images: tlast, and each image's flag on all of its values."""
    _of_one_value("frame_tag", parameters, "DATA_W", 8)
    beats = parameters["BEATS"]
    last, top = beats - 1, max(1, (beats - 1).bit_length()) - 1
    payload = "{m_axis_tlast, m_axis_tuser, m_axis_tdata}"
    ghost = (
        f"""
  wire gh_in = s_axis_tvalid && s_axis_tready && !rst;
  wire gh_flag = s_flag_axis_tvalid && s_flag_axis_tready && !rst;
  wire gh_out = m_axis_tvalid && m_axis_tready && !rst;
  reg [{top}:0] gh_index;  // of the next output in its image
  always @(posedge clk) begin
    if (rst) gh_index <= 0;
    else if (gh_out) gh_index <= gh_index == {last} ? 0 : gh_index + 1'b1;
  end
"""
        + stable("s_axis")
        + stable("s_flag_axis", 1)
        + stable("m_axis", 10, payload)
    )
    return Properties(
        "frame_tag",
        {"BEATS": beats},
        ghost,
        {
            "together": "gh_in == gh_out",
            "flag": f"gh_flag == (gh_out && gh_index == {last})",
            "data": "!m_axis_tvalid || (s_axis_tvalid && s_flag_axis_tvalid && m_axis_tdata == s_axis_tdata && "
            f"m_axis_tuser == s_flag_axis_tdata && m_axis_tlast == (gh_index == {last}))",
            "stable": stays("m_axis", payload),
            "index": f"index_reg == gh_index && gh_index <= {last}",
            "offers": "!(s_axis_tvalid && s_flag_axis_tvalid) || m_axis_tvalid",
        },
        {
            "offers": "an output is valid where a value and its flag stand at the inputs",
            "together": "a value leaves as it is taken in",
            "flag": "a flag is taken with the last value of its image, and only then",
            "data": "an output is its value, the flag that stands there, and tlast at the last of an image",
            "stable": STABLE,
        },
        assumed={"value": stays("s_axis"), "flag": stays("s_flag_axis")},
        reached={"last": f"gh_out && gh_index == {last}", "waits": "gh_m_axis_waits"},
        progress={"moves": Progress("s_axis_tvalid && s_flag_axis_tvalid && m_axis_tready", "gh_out", 1)},
    )


def constant(register: str, width: int) -> str:
    """A ghost register of any value, which stays what it is."""
    return f"""
  reg [{width - 1}:0] {register};
  always @(posedge clk) if (!gh_constant) {register} <= gh_word[{width - 1}:0];
"""


def pool(parameters: dict[str, int]) -> Properties:
    """The average over tokens: one channel is followed, any."""
    _of_one_value("pool", parameters)
    tokens, channels = parameters["TOKENS"], parameters["CHANNELS"]
    if tokens == 1:
        return single(
            "pool",
            parameters,
            1,
            {"inside": "gh_inside == y_valid_reg", "first": "!gh_follows || (gh_before == 0 && y_reg == gh_value)"},
        )
    shift, m = (tokens - 1).bit_length(), "genblk1.genblk1.several."
    bits, last, top = 8 + shift, channels - 1, max(1, (channels - 1).bit_length()) - 1
    return Properties(
        "pool",
        {"TOKENS": tokens, "CHANNELS": channels},
        f"""
  wire gh_in = s_axis_tvalid && s_axis_tready && !rst;
  wire gh_out = m_axis_tvalid && m_axis_tready && !rst;
{constant("gh_own", top + 1)}
  initial gh_own = 0;  // of runs by chance alone: induction begins anywhere
  reg [{top}:0] gh_channel, gh_leaving, gh_shown;  // of the next input, of the next output, of the one that is shown
  reg [{shift - 1}:0] gh_token;
  reg [{bits - 1}:0] gh_sum, gh_total;      // of the followed channel: so far, and of a whole image
  wire [{bits - 1}:0] gh_more = (gh_token == 0 ? {bits}'d0 : gh_sum) + {{{{{shift}{{s_axis_tdata[7]}}}}, s_axis_tdata}};
  wire gh_mine = gh_in && gh_channel == gh_own;
  always @(posedge clk) begin
    if (rst) begin
      gh_channel <= 0;
      gh_token <= 0;
      gh_leaving <= 0;
    end else begin
      if (gh_in) gh_channel <= gh_channel == {last} ? 0 : gh_channel + 1'b1;
      if (gh_in && gh_channel == {last}) gh_token <= gh_token + 1'b1;
      if (gh_out) gh_leaving <= gh_leaving == {last} ? 0 : gh_leaving + 1'b1;
    end
    if (gh_mine) gh_sum <= gh_more;
    if (gh_mine && gh_token == {tokens - 1}) gh_total <= gh_more;
    if (gh_in) gh_shown <= gh_channel;
  end
  wire [{top}:0] gh_comes = gh_token == {tokens - 1} ? gh_channel : 0;  // the channel whose result comes next
  wire [{top}:0] gh_after = gh_leaving == {last} ? 0 : gh_leaving + 1'b1;
  wire [7:0] gh_y = gh_total[{bits - 1}:{shift}] + {{7'd0, gh_total[{shift - 1}]}};
{stable("m_axis")}""",
        {
            "order": "!(m_axis_tvalid && gh_leaving == gh_own) || m_axis_tdata == gh_y",
            "exists": "!m_axis_tvalid || gh_after == gh_comes",
            "complete": "m_axis_tvalid || gh_leaving == gh_comes",
            "stable": stays("m_axis"),
            "ready": "s_axis_tready || y_valid_reg",
            "counters": f"{m}channel_reg == gh_channel && {m}token_reg == gh_token && "
            f"gh_channel <= {last} && gh_leaving <= {last}",
            "sum": f"gh_own > {last} || (gh_token == 0 && gh_channel <= gh_own) || {m}sums[gh_own] == gh_sum",
            "shown": "!y_valid_reg || gh_shown == gh_leaving",
            "result": "!(y_valid_reg && gh_shown == gh_own) || y_reg == gh_y",
        },
        {
            "order": "the output of a channel is the rounded average of its values of one whole image",
            "exists": "no output but after a channel's last token, each once, in the order of channels",
            "complete": "no output is lost: what is not shown has been taken",
            "stable": STABLE,
            "ready": READY,
        },
        reached={"own": "gh_out && gh_leaving == gh_own", "waits": "gh_m_axis_waits"},
        progress={"moves": Progress("y_valid_reg && m_axis_tready", "gh_out", 1)},
        word=32,
        cycles=4000 + 2 * tokens * channels,
    )


def frame_guard(parameters: dict[str, int]) -> Properties:
    """The start of a stream of images: framing is checked and repaired."""
    _of_one_value("frame_guard", parameters, "DATA_W", 8)
    beats = parameters["BEATS"]
    last, top = beats - 1, max(1, (beats - 1).bit_length()) - 1
    base = single(
        "frame_guard",
        {"BEATS": beats},
        1,
        {
            "inside": "gh_inside == output_valid_reg",
            "first": "!gh_follows || (gh_before == 0 && output_reg == gh_value)",
            "state": f"state_reg == gh_state && gh_state <= 2 && index_reg == gh_index && gh_index <= {last}",
            "start": "gh_state != 2 || gh_index == 0",
            "pass": "gh_state != 0 || gh_enters == gh_took",
            "pad": "gh_state != 1 || !gh_took",
            "swallow": "gh_state != 2 || !gh_enters",
            "flag": "m_flag_axis_tvalid == gh_flag_waits && (!gh_flag_waits || m_flag_axis_tdata == gh_flag)",
            "one_flag": "!(gh_flag_in && gh_flag_waits && !gh_flag_out)",
            "flag_stable": stays("m_flag_axis"),
        },
        says="each value of a repaired image leaves in its turn",
        enters="emit && !rst",
        data="(gh_state == 1 ? 8'd0 : s_axis_tdata)",
        ready="(s_axis_tready || gh_state == 1 || gh_flag_waits)",
        ghost=f"""
  wire gh_took = s_axis_tvalid && s_axis_tready && !rst;
  wire gh_enters = emit && !rst;
  wire gh_flag_out = m_flag_axis_tvalid && m_flag_axis_tready && !rst;
  reg [1:0] gh_state;        // 0 pass, 1 pad, 2 swallow
  reg [{top}:0] gh_index;    // of the next value of the image that leaves
  reg gh_flag_waits, gh_flag;
  wire gh_last = gh_index == {last};
  wire gh_flag_in = gh_enters && gh_last;
  always @(posedge clk) begin
    if (rst) begin
      gh_state <= 0;
      gh_index <= 0;
      gh_flag_waits <= 0;
    end else begin
      if (gh_enters) gh_index <= gh_last ? 0 : gh_index + 1'b1;
      if (gh_state == 0 && gh_took) gh_state <= s_axis_tlast == gh_last ? 0 : s_axis_tlast ? 1 : 2;
      if (gh_state == 1 && gh_enters && gh_last) gh_state <= 0;
      if (gh_state == 2 && gh_took && s_axis_tlast) gh_state <= 0;
      gh_flag_waits <= gh_flag_in || (gh_flag_waits && !gh_flag_out);
      if (gh_flag_in) gh_flag <= gh_state == 1 || !s_axis_tlast;
    end
  end
{stable("m_flag_axis", 1)}""",
        progress={
            "goes_on": Progress("s_axis_tvalid && m_axis_tready && m_flag_axis_tready", "gh_took || gh_enters", 1)
        },
        reached={"padded": "gh_state == 1 && gh_enters && gh_last", "swallows": "gh_state == 2 && gh_took"},
        cycles=4000 + 8 * beats,
    )
    says = {
        "pass": "in an image each value that is taken is one that leaves",
        "pad": "a short image is padded without taking any",
        "swallow": "after a long image values are taken without any that leaves",
        "flag": "each image has one flag, 1 where it was repaired, in its turn",
        "one_flag": "no flag is lost",
        "flag_stable": STABLE,
    }
    return replace(base, says=base.says | says)


def dot_product(parameters: dict[str, int]) -> Properties:
    """A pipelined sum of products: the sum of each row, so many enabled cycles later."""
    lanes, acc = parameters["LANES"], parameters["ACC_W"]
    levels = [lanes]
    while levels[-1] > 1:
        levels.append(-(-levels[-1] // 4))
    latency = len(levels)
    nodes, holds = [], {}
    for k in range(lanes):
        nodes += [
            f"wire signed [7:0] gh_x{k} = gh_x[{8 * k}+:8], gh_w{k} = gh_w[{8 * k}+:8];",
            f"wire signed [{acc - 1}:0] gh_n0_{k} = gh_x{k} * gh_w{k};",
        ]
    for level in range(1, latency):
        for k in range(levels[level]):
            parts = [f"gh_n{level - 1}_{j}" for j in range(4 * k, min(4 * k + 4, levels[level - 1]))]
            pairs = [" + ".join(parts[i : i + 2]) for i in range(0, len(parts), 2)]
            total = " + ".join(f"({pair})" for pair in pairs)
            nodes.append(f"wire signed [{acc - 1}:0] gh_n{level}_{k} = {total};")
    for level in range(latency):
        equal = " && ".join(f"level[{level}].node[{k}].value_reg == gh_n{level}_{k}" for k in range(levels[level]))
        holds[f"level{level}"] = f"!(gh_follows && gh_stage == {level}) || ({equal})"
    top = bits_of(latency) - 1
    return Properties(
        "dot_product",
        {"LANES": lanes, "ACC_W": acc},
        f"""
  reg gh_follows;
  reg [{top}:0] gh_stage;
  reg [{8 * lanes - 1}:0] gh_x, gh_w;
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
""",
        {
            "order": f"!(gh_follows && gh_stage == {latency - 1}) || (out_valid && sum == gh_n{latency - 1}_0)",
            "exists": f"out_valid == gh_valid[{latency - 1}]",
            "valid": "valid_reg == gh_valid",
            "stage": f"!gh_follows || (gh_stage <= {latency - 1} && gh_valid[gh_stage])",
            **holds,
        },
        {
            "order": f"the sum that stands there {latency} enabled cycles after a row is that row's",
            "exists": f"a sum is valid where its row was, {latency} enabled cycles before",
        },
        inputs={"gh_mark": 1},
        reached={"order": f"gh_follows && gh_stage == {latency - 1} && out_valid"},
        splits=dict.fromkeys(holds, ("enable", "gh_starts")),
    )


_LINEAR_STUB = """
module dot_product #(
    parameter LANES = 96,
    parameter ACC_W = 23,
    parameter TAG_W = 1
) (
    input wire clk, input wire rst, input wire enable, input wire in_valid,
    input wire [8*LANES-1:0] x, input wire [8*LANES-1:0] w,
    output wire out_valid, output wire [ACC_W-1:0] sum,
    input wire gh_issues, input wire [8*LANES-1:0] gh_x, input wire [8*LANES-1:0] gh_w,
    input wire [TAG_W-1:0] gh_tag, input wire [ACC_W-1:0] gh_sum, input wire [ACC_W-1:0] gh_other,
    output wire [LATENCY-1:0] gh_valids, output wire [LATENCY-1:0] gh_hits, output wire [LATENCY*TAG_W-1:0] gh_tags
);
  localparam LATENCY = @LATENCY@;
  reg [LATENCY-1:0] valid_reg;
  reg [LATENCY-1:0] hit_reg;
  reg [LATENCY*TAG_W-1:0] tag_reg;
  wire [LATENCY:0] stage_valid = {valid_reg, in_valid};
  wire [LATENCY:0] stage_hit = {hit_reg, gh_issues && x == gh_x && w == gh_w};
  wire [(LATENCY+1)*TAG_W-1:0] stage_tag = {tag_reg, gh_tag};
  integer i;
  always @(posedge clk) begin
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
  assign sum = hit_reg[LATENCY-1] ? gh_sum : gh_other;
  assign gh_valids = valid_reg;
  assign gh_hits = hit_reg;
  assign gh_tags = tag_reg;
endmodule
"""


def linear(parameters: dict[str, int]) -> Properties:
    """A linear: one output of one row is followed, any; of the sum it is only taken that it is a function.

    In place of `dot_product` stands a pipeline of the same depth and control that carries whether what entered is the
    followed row and weights: their sum is one value, any; all others are free. That is what is proved of dot_product.
    """
    _of_one_value("linear", parameters, "OUTPUTS")
    size, outputs, acc = parameters["IN"], parameters["OUT"], parameters["ACC_W"]
    latency = 1
    lanes = size
    while lanes > 1:
        lanes, latency = -(-lanes // 4), latency + 1
    wide, last, row = max(1, (outputs - 1).bit_length()), outputs - 1, 8 * size
    tag = wide + 4
    chain = [f"wire [{tag - 1}:0] gh_w0 = gh_leaves;"]
    chain.append(f"wire [{tag - 1}:0] gh_w1; wire gh_k1; assign gh_k1 = !y_valid_reg || gh_shown == gh_w0;")
    chain.append(f"wire [{tag - 1}:0] gh_w2; wire gh_k2; assign gh_k2 = !shifted_valid_reg || gh_shifting == gh_w1;")
    steps = [("gh_w0", "y_valid_reg", "gh_w1"), ("gh_w1", "shifted_valid_reg", "gh_w2")]
    keeps = ["gh_k1", "gh_k2"]
    for i in range(2, latency + 2):
        stage = latency + 1 - i
        chain.append(
            f"wire [{tag - 1}:0] gh_w{i + 1}; wire gh_k{i + 1}; "
            f"assign gh_k{i + 1} = !gh_valids[{stage}] || gh_tags[{stage * tag}+:{tag}] == gh_w{i};"
        )
        steps.append((f"gh_w{i}", f"gh_valids[{stage}]", f"gh_w{i + 1}"))
        keeps.append(f"gh_k{i + 1}")
    for before, there, after in steps:
        following = (
            f"({before}[{wide - 1}:0] == {last} ? {{{before}[{tag - 1}:{wide}] + 4'd1, {wide}'d0}} : {before} + 1'b1)"
        )
        chain.append(f"assign {after} = {there} ? {following} : {before};")
    newest = f"gh_w{latency + 2}"
    follow = "{gh_number, gh_own}"
    inside = "row_valid_reg || gh_valids != 0 || shifted_valid_reg || y_valid_reg"
    shifted = "s_axis_tdata" if size == 1 else f"{{s_axis_tdata, gh_row[{row - 1}:8]}}"
    return Properties(
        "linear",
        {"IN": size, "OUT": outputs, "ACC_W": acc},
        f"""
  wire gh_in = s_axis_tvalid && s_axis_tready && !rst;
  wire gh_out = m_axis_tvalid && m_axis_tready && !rst;
{constant("gh_own", wide)}{constant("gh_sum", acc)}
  reg [2:0] gh_phase;               // of the followed row: 0 none, 1 comes in, 2 waits, 3 is used, 4 was for gh_own
  reg [{bits_of(latency + 1) - 1}:0] gh_at;  // in phase 4: the stage of dot_product, {latency} for the one behind it
  reg [3:0] gh_number, gh_taken, gh_used;  // of the row that is followed, that comes in, that is used
  reg [{tag - 1}:0] gh_leaves, gh_shown;   // row and index of the next output, of what y_reg holds
  reg [{tag - 1}:0] gh_shifting;           // of what shifted_reg holds
  reg [{wide - 1}:0] gh_sums;       // index of the next sum
  wire gh_starts = gh_in && collect_index_reg == 0 && gh_mark && gh_phase == 0 && gh_own <= {last};
  wire gh_fills = gh_in && (gh_starts || gh_phase == 1);
  assign gh_issues = row_used && gh_phase == 3 && row_index_reg == gh_own;
  assign gh_weights = weights[gh_own];
  assign gh_tag = {{gh_used, row_index_reg}};
  wire gh_ends = row_used && row_index_reg == {last};
  wire gh_shift = sum_valid && shifted_free;
  wire gh_result = shifted_valid_reg && y_free;
  always @(posedge clk) begin
    if (rst) begin
      gh_phase <= 0;
      gh_taken <= 0;
      gh_used <= 0;
      gh_leaves <= 0;
      gh_sums <= 0;
    end else begin
      if (gh_in && collect_index_reg == {size - 1}) gh_taken <= gh_taken + 1'b1;
      if (gh_ends) gh_used <= gh_used + 1'b1;
      if (gh_shift) gh_sums <= gh_sums == {last} ? 0 : gh_sums + 1'b1;
      if (gh_out) gh_leaves <= gh_leaves[{wide - 1}:0] == {last} ?
          {{gh_leaves[{tag - 1}:{wide}] + 4'd1, {wide}'d0}} : gh_leaves + 1'b1;
      if (gh_fills) gh_phase <= collect_index_reg != {size - 1} ? 1 : row_load ? 3 : 2;
      else if (gh_phase == 2 && row_load) gh_phase <= 3;
      else if (gh_issues) gh_phase <= 4;
      else if (gh_phase == 4 && gh_at == {latency + 1} && gh_out) gh_phase <= 0;
      if (gh_issues) gh_at <= 0;
      else if (gh_phase == 4 && gh_at < {latency} && advance) gh_at <= gh_at + 1'b1;
      else if (gh_phase == 4 && gh_at == {latency} && y_free) gh_at <= gh_at + 1'b1;
    end
    if (gh_starts) gh_number <= gh_taken;
    if (gh_fills) gh_row <= {shifted};
    if (gh_shift) gh_shifting <= gh_tags[{(latency - 1) * tag}+:{tag}];
    if (gh_result) gh_shown <= gh_shifting;
  end
  {chr(10).join(chain)}
  wire [{wide - 1}:0] gh_next_row = row_index_reg == {last} ? 0 : row_index_reg + 1'b1;
  wire [{wide - 1}:0] gh_next_sum = gh_sums == {last} ? 0 : gh_sums + 1'b1;
  wire [9:0] gh_shifted;
  wire [7:0] gh_y;
  shift_clip #(.ACC_W({acc})) gh_shift_clip (.acc(gh_sum), .shift(shifts[gh_own]), .y(gh_shifted));
  requantise #(.ACC_W(10)) gh_requantise (.acc(gh_shifted), .shift(8'd1), .bias(biases[gh_own]), .y(gh_y));
{stable("m_axis")}""",
        {
            "order": f"!(m_axis_tvalid && gh_phase != 0 && gh_leaves == {follow}) || "
            f"(gh_phase == 4 && gh_at == {latency + 1} && m_axis_tdata == gh_y)",
            "exists": f"!m_axis_tvalid || gh_leaves[{tag - 1}:{wide}] != gh_taken",
            "stable": stays("m_axis"),
            "ready": "s_axis_tready || row_valid_reg",
            "control": f"collect_index_reg <= {size - 1} && row_index_reg <= {last} && "
            "(!collect_full_reg || (collect_index_reg == 0 && row_valid_reg)) && (row_valid_reg || row_index_reg == 0)",
            "rows": "gh_taken == gh_used + row_valid_reg + collect_full_reg",
            "weights": "weight_fetched_reg ? "
            "weight_row_reg == weights[row_index_reg] && weight_fetch_reg == gh_next_row "
            ": !row_valid_reg && weight_fetch_reg == 0",
            "biases": f"gh_sums <= {last} && (bias_fetched_reg ? bias_reg == biases[gh_sums] && "
            "shift_reg == shifts[gh_sums] && bias_fetch_reg == gh_next_sum "
            ": bias_fetch_reg == 0 && gh_sums == 0 && gh_valids == 0 && !row_valid_reg)",
            "chain": f"{' && '.join(keeps)} && {newest} == {{gh_used, row_index_reg}} && "
            f"gh_sums == gh_w2[{wide - 1}:0] && gh_leaves[{wide - 1}:0] <= {last}",
            "phase": f"gh_phase <= 4 && (gh_phase == 0 || gh_own <= {last})",
            "fills": f"gh_phase != 1 || (collect_index_reg != 0 && gh_number == gh_taken && "
            f"((collect_reg ^ gh_row) >> (8 * ({size} - collect_index_reg))) == 0)",
            "waits": "gh_phase != 2 || (collect_full_reg && collect_reg == gh_row && gh_number == gh_used + 4'd1)",
            "uses": "gh_phase != 3 || "
            "(row_valid_reg && row_reg == gh_row && gh_number == gh_used && row_index_reg <= gh_own)",
            "sums": f"!(gh_phase == 4 && gh_at < {latency}) || "
            f"(gh_valids[gh_at] && gh_hits[gh_at] && gh_at_tag == {follow})",
            "shifted": f"!(gh_phase == 4 && gh_at == {latency}) || (shifted_valid_reg && gh_shifting == {follow} && "
            "shifted_reg == gh_shifted && shifted_bias_reg == biases[gh_own])",
            "result": f"!(gh_phase == 4 && gh_at > {latency}) || "
            f"(gh_at == {latency + 1} && y_valid_reg && gh_shown == {follow} && y_reg == gh_y)",
        },
        {
            "order": "output r OUT + n is the module's function of row r and of weights, bias and shift n",
            "exists": "no output of a row that has not been taken in whole",
            "stable": STABLE,
            "ready": READY,
        },
        inputs={"gh_mark": 1, "gh_other": acc},
        reached={"own": f"gh_out && gh_phase == 4 && gh_at == {latency + 1}", "waits": "gh_m_axis_waits"},
        progress={
            "moves": Progress(f"({inside}) && m_axis_tready", "gh_out", latency + 3, ("control",)),
            "offers": Progress(inside, "m_axis_tvalid", latency + 3, ("control",)),
        },
        needs=("shift_clip", "requantise"),
        word=max(row, acc),
        stubs=_LINEAR_STUB.replace("@LATENCY@", str(latency)),
        patches=(
            (
                "  genvar n;\n",
                f"  wire gh_issues; reg [{row - 1}:0] gh_row; wire [{row - 1}:0] gh_weights;\n"
                f"  wire [{tag - 1}:0] gh_tag; wire [{latency - 1}:0] gh_valids, gh_hits;\n"
                f"  wire [{latency * tag - 1}:0] gh_tags;\n"
                f"  wire [{tag - 1}:0] gh_at_tag = gh_tags >> (gh_at * {tag});\n"
                "  genvar n;\n",
            ),
            (
                "        dot_product #(\n            .LANES(IN),\n            .ACC_W(SUM_W)\n        )",
                f"        dot_product #(.LANES(IN), .ACC_W(SUM_W), .TAG_W({tag}))",
            ),
            (
                "            .sum(sum[SUM_W*n+:SUM_W])\n",
                "            .sum(sum[SUM_W*n+:SUM_W]), .gh_issues(gh_issues), .gh_tag(gh_tag), .gh_sum(gh_sum),\n"
                "            .gh_x(gh_row), .gh_w(gh_weights),\n"
                "            .gh_other(gh_other), .gh_valids(gh_valids), .gh_hits(gh_hits), .gh_tags(gh_tags)\n",
            ),
        ),
        splits={
            "shifted": (f"gh_phase == 4 && gh_at == {latency - 1}", "gh_shift"),
            "result": (f"gh_phase == 4 && gh_at == {latency}", "gh_result"),
        },
    )


def transpose(parameters: dict[str, int]) -> Properties:
    """A transpose in place: one element of one image is followed, any.

    Places are multiples of the image's stride modulo L = ROWS COLS - 1. Of them it is only taken, as a memory gh_places
    of them all by stride and index, what holds of i s mod L: steps, i (COLS s) = (i COLS) s, and that different i have
    different places. The last holds as L and COLS, and so all strides, powers of COLS, have no factor in common.
    """
    _of_one_value("transpose", parameters)
    rows, cols = parameters["ROWS"], parameters["COLS"]
    if rows == 1 or cols == 1:
        raise ModelError("a transpose of one row or column is a register slice, of which nothing is stated here")
    size = rows * cols
    last, bits = size - 1, (size - 1).bit_length()
    top, m = bits - 1, "genblk1.genblk1.moved."
    wide = bits + 1

    def whole(value: int) -> str:
        return f"{bits}'d{value}"

    def place(stride: str, index: str) -> str:
        return f"gh_places[{{{stride}, {index}}}]"

    def step(stride: str, index: str) -> str:
        """A step of the places of an image, for all but the last two indices."""
        total = f"({{1'b0, {place(stride, index)}}} + {{1'b0, {stride}}})"
        reduced = f"({total} >= {last} ? {total} - {wide}'d{last} : {total})"
        following = place(stride, f"{whole(1)} + {index}")
        return f"({index} >= {last - 1} || {{1'b0, {following}}} == {reduced})"

    def known(stride: str, index: str) -> str:
        """Places at both ends, and in between."""
        first, second, end = place(stride, whole(0)), place(stride, whole(1)), place(stride, whole(last))
        return (
            f"({first} == 0 && {second} == {stride} && {end} == {last} && {stride} < {last} && "
            f"{step(stride, index)} && "
            f"({index} >= {last} || {place(stride, index)} < {last}))"
        )

    strides = [pow(cols, n, last) for n in range(6)]
    contents = {(s << bits) | i: i * s % last if i < last else last for s in strides for i in range(size)}
    ghost = f"""
  wire gh_in = s_axis_tvalid && s_axis_tready && !rst;
  wire gh_out = m_axis_tvalid && m_axis_tready && !rst;
{constant("gh_row", bits)}{constant("gh_col", bits)}
  initial begin  // of runs by chance alone: induction begins anywhere
    gh_row = 1;
    gh_col = 0;
  end
  wire gh_chosen = gh_row < {rows} && gh_col < {cols};
  wire [{top}:0] gh_element = gh_row * {bits}'d{cols} + gh_col;  // as it comes in
  wire [{top}:0] gh_output = gh_col * {bits}'d{rows} + gh_row;   // as it leaves
  reg [{top}:0] gh_places[0:{(1 << (2 * bits)) - 1}];            // by stride and index
  always @(posedge clk) if (!gh_constant) gh_places[{{gh_address, gh_address}}] <= gh_word[{top}:0];
  reg [1:0] gh_phase;          // 0 not here, 1 in the memory, 2 in the output register
  reg gh_odd;                  // of its image
  reg [7:0] gh_value;
  reg [{top}:0] gh_stride;     // of the image that is read
  reg [{top}:0] gh_read_row, gh_read_col, gh_leaves;
  reg gh_leaves_odd;
  wire gh_read = {m}read && !rst;
  wire [{top}:0] gh_after = {place("gh_stride", whole(cols))};  // the stride of the image behind it
  wire gh_starts = gh_in && {m}write_index_reg == gh_element && gh_mark && gh_phase == 0 && gh_chosen;
  wire gh_mine = gh_phase == 1 && gh_read && {m}read_index_reg == gh_output && {m}read_odd_reg == gh_odd;
  always @(posedge clk) begin
    if (rst) begin
      gh_phase <= 0;
      gh_stride <= 1;
      gh_read_row <= 0;
      gh_read_col <= 0;
      gh_leaves <= 0;
      gh_leaves_odd <= 0;
    end else begin
      if (gh_starts) gh_phase <= 1;
      else if (gh_mine) gh_phase <= 2;
      else if (gh_phase == 2 && gh_out) gh_phase <= 0;
      if (gh_read) begin
        gh_read_row <= gh_read_row == {rows - 1} ? 0 : gh_read_row + 1'b1;
        if (gh_read_row == {rows - 1}) gh_read_col <= gh_read_col == {cols - 1} ? 0 : gh_read_col + 1'b1;
        if ({m}read_index_reg == {last}) gh_stride <= {m}write_stride_reg;
      end
      if (gh_out) gh_leaves <= gh_leaves == {last} ? 0 : gh_leaves + 1'b1;
      if (gh_out && gh_leaves == {last}) gh_leaves_odd <= !gh_leaves_odd;
    end
    if (gh_starts) begin
      gh_value <= s_axis_tdata;
      gh_odd <= {m}write_odd_reg;
    end
  end
  wire [{top}:0] gh_next = gh_leaves == {last} ? 0 : gh_leaves + 1'b1;
  wire gh_next_odd = gh_leaves_odd ^ (gh_leaves == {last});
  wire [{top}:0] gh_own_stride = gh_odd == {m}read_odd_reg ? gh_stride : {m}write_stride_reg;
  wire [{top}:0] gh_own_place = {place("gh_own_stride", "gh_element")};
{stable("m_axis")}"""
    return Properties(
        "transpose",
        {"ROWS": rows, "COLS": cols},
        ghost,
        {
            "order": "!(m_axis_tvalid && gh_phase != 0 && gh_leaves == gh_output && gh_leaves_odd == gh_odd) || "
            "(gh_phase == 2 && m_axis_tdata == gh_value)",
            "exists": f"!(gh_chosen && {m}same_image && {m}write_index_reg <= gh_element) || "
            f"{m}read_index_reg <= gh_output",
            "stable": stays("m_axis"),
            "ready": f"s_axis_tready || {m}readable",
            "gives": f"{m}readable == (!{m}same_image || {m}write_index_reg > {m}read_element_reg)",
            "bounds": f"{m}write_index_reg <= {last} && {m}read_index_reg <= {last} && gh_leaves <= {last} && "
            f"gh_read_row < {rows} && gh_read_col < {cols} && {m}write_stride_reg < {last} && gh_stride < {last}",
            "reads": f"{m}read_index_reg == gh_read_col * {bits}'d{rows} + gh_read_row && "
            f"{m}read_element_reg == gh_read_row * {bits}'d{cols} + gh_read_col",
            "ahead": f"{m}same_image || {m}write_index_reg <= {m}read_index_reg",
            "leaves": "m_axis_tvalid ? "
            f"gh_next == {m}read_index_reg && gh_next_odd == {m}read_odd_reg : "
            f"gh_leaves == {m}read_index_reg && gh_leaves_odd == {m}read_odd_reg",
            "strides": f"{m}write_stride_reg == ({m}same_image ? gh_stride : gh_after)",
            "next": f"{m}write_index_reg > {cols} ? {m}next_stride_reg == "
            f"{place(m + 'write_stride_reg', whole(cols))} : {m}same_image || {m}next_stride_reg == gh_after",
            "write_place": f"{m}write_place_reg == {place(m + 'write_stride_reg', m + 'write_index_reg')}",
            "read_place": f"{m}read_index_reg == 1 || {m}read_place_reg == {place('gh_after', m + 'read_index_reg')}",
            "read_stride": f"{m}read_index_reg < 2 || {m}read_stride_reg == gh_after",
            "phase": "gh_phase <= 2 && (gh_phase == 0 || gh_chosen)",
            "here": f"gh_phase != 1 || (gh_odd == {m}write_odd_reg ? {m}write_index_reg > gh_element : !{m}same_image)",
            "unread": f"!(gh_phase == 1 && gh_odd == {m}read_odd_reg) || {m}read_index_reg <= gh_output",
            "inside": f"gh_phase != 1 || gh_own_place <= {last}",
            "stored": f"gh_phase != 1 || {m}memory[gh_own_place] == gh_value",
            "result": "gh_phase != 2 || (m_axis_tvalid && m_axis_tdata == gh_value && gh_leaves == gh_output && "
            "gh_leaves_odd == gh_odd)",
        },
        {
            "order": "output c ROWS + r of an image is its element r COLS + c, as it was taken in",
            "exists": "no output leaves before its element has been taken",
            "gives": "an element that has been taken is there to leave in its turn",
            "stable": STABLE,
            "ready": READY,
        },
        inputs={"gh_mark": 1},
        assumed={
            "writes": known(f"{m}write_stride_reg", f"{m}write_index_reg"),
            "reads": known("gh_after", f"{m}read_index_reg"),
            "transposed": f"!gh_chosen || {place('gh_after', 'gh_output')} == {place('gh_stride', 'gh_element')}",
            "apart": f"!gh_chosen || "
            f"({place('gh_after', m + 'write_index_reg')} != {place('gh_after', 'gh_output')} || "
            f"{m}write_index_reg == gh_output) && ({place(m + 'write_stride_reg', m + 'write_index_reg')} != "
            f"{place(m + 'write_stride_reg', 'gh_element')} || {m}write_index_reg == gh_element)",
        },
        reached={"own": "gh_out && gh_phase == 2", "waits": "gh_m_axis_waits"},
        progress={
            "moves": Progress(
                f"({m}output_valid_reg || {m}readable) && m_axis_tready", "gh_out", 2, ("ahead", "bounds")
            ),
            "offers": Progress(f"{m}output_valid_reg || {m}readable", "m_axis_tvalid", 2, ("ahead", "bounds")),
        },
        word=max(8, bits),
        needs=("axis_register",),
        contents={"gh_places": contents},
    )


PARTS = {
    "affine_lane": "affine",
    "requantise": "affine and linear",
    "shift_clip": "linear",
    "segment_step": "activation_table",
    "saturating_add": "add",
}
"""Modules without a stream, as parts of which others they are proved."""

_Make = Callable[[dict[str, int]], Properties]

MODULES: dict[str, _Make] = {
    make.__name__: make
    for make in (
        axis_register,
        axis_fifo,
        axis_fork,
        relu,
        add,
        affine,
        activation_table,
        pool,
        dot_product,
        linear,
        frame_guard,
        frame_tag,
        transpose,
    )
}
"""The properties of each module, by its parameters."""


def properties_of(module: str, parameters: dict[str, int]) -> Properties:
    """The properties of a module with these parameters; ModelError where there are none for it."""
    if module not in MODULES:
        raise ModelError(
            f"nothing is stated of module '{module}' for all schedules; of these it is: {', '.join(MODULES)}"
        )
    return MODULES[module](parameters)
