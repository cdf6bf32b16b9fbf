"""Properties of the composed accelerator's modules over the channels of a pixel: the greatest, two joined, window sums.

`schedule_composed.py` has those of the others.
"""

from fxsim.prove.schedule import Progress, Properties
from fxsim.prove.schedule_constants import WIDE, counter, joined, slice_wide
from fxsim.prove.schedule_modules import READY, STABLE, bits_of, constant, stable, stays

_SIGNED, _BIPOLAR = 0, 2
"""X_KIND of signed values, and of bits that stand for -1 and 1."""


def channel_argmax(parameters: dict[str, int]) -> Properties:
    """The channel of the greatest: two channels are followed, any, of which one may be the one that is given.

    The other is nowhere greater, and before the one that is given it is less.
    """
    p = dict(parameters)
    words, lanes, classes, bits, y_bits = (p[name] for name in ("WORDS", "LANES", "CLASSES", "X_W", "Y_W"))
    last, top = words - 1, max(1, (words - 1).bit_length()) - 1
    number = bits_of(words * lanes + lanes) + 1
    wide = bits + 1
    kept = []
    for letter in "ab":
        choice = f"{wide}'d0"
        for n in reversed(range(lanes)):
            value = slice_wide("s_axis_tdata", bits * n, bits, bool(p["X_SIGNED"]), wide)
            choice = f"gh_{letter} == gh_first + {number}'d{n} ? {value} : {choice}"
        kept.append(
            f"{constant(f'gh_{letter}', number)}"
            f"  initial gh_{letter} = {(letter == 'b') * (classes - 1)};  // of runs by chance alone\n"
            f"  wire signed [{wide - 1}:0] gh_now_{letter} = {choice};\n"
            f"  reg signed [{wide - 1}:0] gh_value_{letter};\n"
            f"  always @(posedge clk) if (gh_in && gh_{letter} >= gh_first && gh_{letter} < gh_first + "
            f"{number}'d{lanes}) gh_value_{letter} <= gh_now_{letter};\n"
        )
    ghost = f"""
  wire gh_in = s_axis_tvalid && s_axis_tready && !rst;
  wire gh_out = m_axis_tvalid && m_axis_tready && !rst;
{counter("gh_word_in", "gh_in", last, top)}
  wire [{number - 1}:0] gh_first = gh_word_in * {number}'d{lanes};  // channel of the beat that comes in
{"".join(kept)}
  reg [1:0] gh_whole;  // pixels that have been taken in whole and not left
  always @(posedge clk) gh_whole <= rst ? 0 : gh_whole + (gh_in && gh_word_in == {last}) - gh_out;
  // Channels of the pixel that have been taken.
  wire [{number - 1}:0] gh_there = gh_whole != 0 ? {number}'d{words * lanes} : gh_first;
  wire [{number - 1}:0] gh_found = {{{number}'d0, found_reg}};
  wire signed [{wide - 1}:0] gh_greatest = {slice_wide("gh_unturned", 0, bits, bool(p["X_SIGNED"]), wide)};
  wire [{bits - 1}:0] gh_unturned = greatest_reg ^ {bits}'d{p["X_SIGNED"] << (bits - 1)};
{stable("m_axis", y_bits)}"""
    given = f"{{{number}'d0, m_axis_tdata}}"
    shown = f"!(m_axis_tvalid && gh_b == ({given}) && gh_a < {classes})"
    return Properties(
        "channel_argmax",
        p,
        ghost,
        {
            "class": f"!m_axis_tvalid || ({given}) < {classes}",
            "greatest": f"{shown} || gh_value_a <= gh_value_b",
            "first": f"{shown} || gh_a >= gh_b || gh_value_a < gh_value_b",
            "exists": "m_axis_tvalid == (gh_whole == 1)",
            "stable": stays("m_axis"),
            "ready": "s_axis_tready || gh_whole != 0",
            "whole": f"gh_whole <= 1 && (gh_whole == 0 || gh_word_in == 0) && gh_word_in <= {last}",
            "channel": "channel_reg == gh_first",
            "found": f"gh_there == 0 || (gh_found < {classes} && gh_found < gh_there)",
            "own": "gh_there == 0 || gh_found != gh_b || gh_greatest == gh_value_b",
            "other": f"!(gh_a < {classes} && gh_a < gh_there) || (gh_value_a <= gh_greatest && "
            "(gh_a >= gh_found || gh_value_a < gh_greatest))",
        },
        {
            "class": "each output is the number of a channel that is compared",
            "greatest": "no channel of the output's own pixel is greater than the one it names",
            "first": "each channel before the one that an output names is less",
            "exists": "an output for each pixel that has been taken in whole, once, and no other",
            "stable": STABLE,
            "ready": READY,
        },
        reached={
            "other": f"gh_out && ({given}) == gh_b{' && gh_a != gh_b' * (classes > 1)}",
            "waits": "gh_m_axis_waits",
        },
        progress={
            "moves": Progress("gh_whole != 0 && m_axis_tready", "gh_out", 1),
            "offers": Progress("gh_whole != 0", "m_axis_tvalid", 1),
            "goes": Progress("s_axis_tvalid && m_axis_tready", "gh_in", 1),
        },
        word=max(32, number),
        cycles=4000 + 40 * words,
    )


def channel_concat(parameters: dict[str, int]) -> Properties:
    """The channels of two streams, pixel by pixel: each output is the one input that it takes."""
    p = dict(parameters)
    first, second, width = (p[name] for name in ("X_WORDS", "R_WORDS", "DATA_W"))
    last = first + second - 1
    top = bits_of(last) - 1
    ghost = f"""
  wire gh_in0 = s0_axis_tvalid && s0_axis_tready && !rst;
  wire gh_in1 = s1_axis_tvalid && s1_axis_tready && !rst;
  wire gh_out = m_axis_tvalid && m_axis_tready && !rst;
{counter("gh_turn", "gh_out", last, top)}{counter("gh_taken0", "gh_in0", first - 1, top)}
{counter("gh_taken1", "gh_in1", second - 1, top)}
  wire gh_of_first = gh_turn < {first};
{stable("s0_axis", width)}{stable("s1_axis", width)}{stable("m_axis", width)}"""
    return Properties(
        "channel_concat",
        p,
        ghost,
        {
            "data": "m_axis_tdata == (gh_of_first ? s0_axis_tdata : s1_axis_tdata)",
            "exists": "m_axis_tvalid == (gh_of_first ? s0_axis_tvalid : s1_axis_tvalid)",
            "first": "gh_in0 == (gh_out && gh_of_first)",
            "second": "gh_in1 == (gh_out && !gh_of_first)",
            "stable": stays("m_axis"),
            "ready": "(gh_of_first ? s0_axis_tready : s1_axis_tready) == m_axis_tready",
            "word": f"word_reg == gh_turn && gh_turn <= {last}",
            "taken": f"gh_of_first ? gh_taken0 == gh_turn && gh_taken1 == 0 : gh_taken0 == 0 && "
            f"gh_taken1 + {first} == gh_turn",
        },
        {
            "data": "an output is the beat of the first stream or, behind its channels, of the second",
            "exists": "it is valid when that beat is",
            "first": "a beat of the first stream is taken when it leaves, in the first's part of a pixel",
            "second": "a beat of the second stream is taken when it leaves, in the second's part of a pixel",
            "stable": STABLE,
            "ready": "the stream whose turn it is waits for the output alone",
        },
        assumed={"stable0": stays("s0_axis"), "stable1": stays("s1_axis")},
        reached={"second": f"gh_in1 && gh_turn == {last}", "first": "gh_in0", "waits": "gh_m_axis_waits"},
        progress={"goes": Progress("s0_axis_tvalid && s1_axis_tvalid && m_axis_tready", "gh_out", 1)},
    )


def window_sum(parameters: dict[str, int]) -> Properties:
    """Sums over windows: one beat of the pixels is followed, any, with the weights of its own places."""
    p = dict(parameters)
    places, words, lanes, bits, w_bits, acc = (p[name] for name in ("PLACES", "WORDS", "LANES", "X_W", "W_W", "ACC_W"))
    last, top = words - 1, max(1, (words - 1).bit_length()) - 1
    end, place_top = places - 1, max(1, (places - 1).bit_length()) - 1
    address = bits_of(places * words)
    width = lanes * acc
    more = []
    for n in range(lanes):
        value = slice_wide("s_axis_tdata", bits * n, bits, p["X_KIND"] == _SIGNED)
        if p["X_KIND"] == _BIPOLAR:
            value = f"s_axis_tdata[{n}] ? {WIDE}'sd1 : -{WIDE}'sd1"
        weight = slice_wide("gh_weights", w_bits * n, w_bits, signed=True) if w_bits else f"{WIDE}'sd1"
        more.append(
            f"  wire signed [{WIDE - 1}:0] gh_x{n} = {value}, gh_w{n} = {weight}, gh_product{n} = gh_x{n} * gh_w{n};\n"
            f"  wire [{acc - 1}:0] gh_far{n} = gh_place == 0 ? 0 : gh_sum[{acc * n}+:{acc}];\n"
            f"  assign gh_more[{acc * n}+:{acc}] = gh_far{n} + gh_product{n}[{acc - 1}:0];"
        )
    weights = f"  wire [{lanes * w_bits - 1}:0] gh_weights = rom.weights[gh_at];" if w_bits else ""
    ghost = f"""
  wire gh_in = s_axis_tvalid && s_axis_tready && !rst;
  wire gh_out = m_axis_tvalid && m_axis_tready && !rst;
{constant("gh_own", top + 1)}
  initial gh_own = 0;  // of runs by chance alone: induction begins anywhere
{counter("gh_word_in", "gh_in", last, top)}{counter("gh_place", f"gh_in && gh_word_in == {last}", end, place_top)}
{counter("gh_leaving", "gh_out", last, top)}
  wire [{address - 1}:0] gh_at = gh_place * {address}'d{words} + gh_word_in;  // the weights of the next input
  wire [{address - 1}:0] gh_at_next = gh_at == {places * words - 1} ? 0 : gh_at + 1'b1;
{weights}
  // Of the followed beat: its sum so far, and of two windows that have been taken in whole, the one that is next first.
  reg [{width - 1}:0] gh_sum, gh_total, gh_behind;
  wire [{width - 1}:0] gh_more;
{chr(10).join(more)}
  wire gh_mine = gh_in && gh_word_in == gh_own;
  wire gh_ends = gh_in && gh_place == {end};
  wire gh_leaves = gh_out && gh_leaving == gh_own;
  reg [1:0] gh_whole, gh_owned;  // outputs that have not left, all inputs of which have been taken; the followed beat's
  wire [1:0] gh_rest = gh_owned - gh_leaves;
  reg [{top}:0] gh_newest;  // of the input that was taken last
  reg [{place_top}:0] gh_newest_place;
  always @(posedge clk) begin
    gh_whole <= rst ? 0 : gh_whole + gh_ends - gh_out;
    gh_owned <= rst ? 0 : gh_rest + (gh_mine && gh_ends);
    if (gh_mine) gh_sum <= gh_more;
    if (gh_leaves) gh_total <= gh_behind;
    if (gh_mine && gh_ends && gh_rest == 0) gh_total <= gh_more;
    if (gh_mine && gh_ends && gh_rest != 0) gh_behind <= gh_more;
    if (gh_in) begin
      gh_newest <= gh_word_in;
      gh_newest_place <= gh_place;
    end
  end
  wire [{top}:0] gh_comes = gh_place == {end} ? gh_word_in : 0;  // the beat whose result is whole next
  wire [{top}:0] gh_after = gh_leaving == {last} ? 0 : gh_leaving + 1'b1;
  wire [{top}:0] gh_after_that = gh_after == {last} ? 0 : gh_after + 1'b1;
  wire gh_product_ends = product_valid_reg && gh_newest_place == {end};
  wire gh_product_own = product_valid_reg && gh_newest == gh_own;
{stable("m_axis", width)}"""
    following = joined(
        [
            f"gh_word_in == (gh_newest == {last} ? 0 : gh_newest + 1'b1)",
            f"gh_place == (gh_newest != {last} ? gh_newest_place : gh_newest_place == {end} ? 0 : "
            "gh_newest_place + 1'b1)",
            "word_reg == gh_newest && place_reg == gh_newest_place",
        ]
    )
    fetched = {
        "weights": "rom.fetched_reg ? rom.weights_reg == gh_weights && rom.fetch_reg == gh_at_next : "
        "rom.fetch_reg == 0 && gh_at == 0 && gh_whole == 0 && !product_valid_reg"
    }
    return Properties(
        "window_sum",
        p,
        ghost,
        {
            "order": "!(m_axis_tvalid && gh_leaving == gh_own) || (gh_owned != 0 && m_axis_tdata == gh_total)",
            "exists": "!m_axis_tvalid || gh_whole != 0",
            "stable": stays("m_axis"),
            "ready": "s_axis_tready || gh_whole != 0" + (" || !rom.fetched_reg" if w_bits else ""),
            "counters": f"gh_word_in <= {last} && gh_place <= {end} && gh_leaving <= {last} && "
            f"(!product_valid_reg || (gh_newest <= {last} && gh_newest_place <= {end}))",
            "newest": f"product_valid_reg ? {following} : word_reg == gh_word_in && place_reg == gh_place",
            "whole": "gh_whole == {1'b0, y_valid_reg} + {1'b0, gh_product_ends}",
            "leaving": "gh_comes == (gh_whole == 0 ? gh_leaving : gh_whole == 1 ? gh_after : gh_after_that)",
            "owned": "gh_owned == {1'b0, y_valid_reg && gh_leaving == gh_own} + {1'b0, gh_product_ends && "
            "gh_product_own}",
            "kept": f"gh_own > {last} || gh_product_own || (gh_place == 0 && gh_word_in <= gh_own) || "
            "sums[gh_own] == gh_sum",
            "product": "!gh_product_own || sum == gh_sum",
            "result": "!(gh_product_own && gh_product_ends) || gh_sum == (gh_owned == 2 ? gh_behind : gh_total)",
            **(fetched if w_bits else {}),
        },
        {
            "order": "output w of a window is the sum of each lane of beat w of all its pixels, each times its weight, "
            f"modulo 2^{acc}",
            "exists": "no output but after the last pixel's beat, each once, in the order of beats",
            "stable": STABLE,
            "ready": READY,
        },
        reached={"own": "gh_leaves", "waits": "gh_m_axis_waits"},
        progress={
            "moves": Progress("gh_whole != 0 && m_axis_tready", "gh_out", 3),
            "offers": Progress("gh_whole != 0", "m_axis_tvalid", 3),
            "goes": Progress("s_axis_tvalid && m_axis_tready", "gh_in", 2),
        },
        word=max(32, width, lanes * w_bits),
        needs=("window_sum_lane",),
        absent=() if w_bits else ("weights",),
        cycles=4000 + 8 * places * words,
    )
