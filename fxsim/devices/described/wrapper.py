"""A module around somebody's top that shows every stream and tap in one form, which the harness knows.

Taps are read by hierarchical names: only these signals stay visible, and the design's own files stay as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fxsim.devices.described.description import Description, Signals
from fxsim.devices.described.elaborate import Port
from fxsim.devices.described.packing import Beats

INSTANCE = "dut"
TOP = "fxsim_wrapper"

_ZERO, _ONE = "1'b0", "1'b1"


@dataclass(frozen=True)
class BoundTap:
    """A tap of the model with its expressions below the instance; `latency` where there is no valid.

    `multiplex`: the word that it shares with taps that come before and after it on its signals.
    """

    name: str
    beats: Beats
    data: str
    valid: str | None
    ready: str | None
    latency: int | None
    multiplex: str | None = None


def wrapper_head(
    description: Description,
    parameters: Mapping[str, int],
    inputs: Sequence[tuple[Signals, Beats]],
    out: tuple[Signals, Beats],
    taps: Sequence[BoundTap],
    outputs: Sequence[str],
    ties: Mapping[str, str],
) -> str:
    """The wrapper up to the instance of the design; assignments that show its taps and `endmodule` are to follow.

    `outputs`: of the design; those that no stream has are left open by name, so that a pin that is missing is a fault.
    `ties`: what `tied` gives.
    """
    taken, y = out
    ports = dict.fromkeys(description.clocks, "clk") | dict(ties)
    if description.reset is not None:
        ports[description.reset.signal] = "rst" if description.reset.active == "high" else "~rst"
    bits = [f"[{number}]" if len(inputs) > 1 else "" for number in range(len(inputs))]
    ports |= {given.data: f"x{number}_data" for number, (given, _) in enumerate(inputs)} | {taken.data: "y_data"}
    optional = [
        pair
        for number, (given, _) in enumerate(inputs)
        for pair in (
            (given.valid, f"in_valid{bits[number]}"), (given.ready, f"in_ready{bits[number]}"),
            (given.last, f"in_last{bits[number]}"), (given.keep, f"x{number}_keep"),
            (given.start, f"in_start{bits[number]}"),
        )
    ]  # fmt: skip
    optional += [
        (taken.valid, "out_valid"), (taken.ready, "out_ready"), (taken.last, "out_last"), (taken.keep, "y_keep"),
        (taken.start, "out_start"),
    ]  # fmt: skip
    ports |= {port: name for port, name in optional if port is not None}
    ports = dict.fromkeys(outputs, "") | ports
    shown = {f"in_ready{bit}": "1'b1" for bit in bits}
    shown |= {"out_valid": "1'b0", "out_last": "1'b0", "out_start": "1'b0", "y_keep": f"{{{y.lanes}{{1'b1}}}}"}
    absent = [(name, shown[name]) for port, name in optional if port is None and name in shown]
    at, kept = input_places([beats for _, beats in inputs])
    each = "" if len(inputs) == 1 else f"[{len(inputs) - 1}:0] "
    mon_bits = 8 * sum(tap.beats.lanes * tap.beats.slot for tap in taps)
    lines = [
        "// Made by fxsim around a design that a description names.",
        "`default_nettype wire",
        f"module {TOP} (",
        f"  input wire clk, input wire rst, input wire {each}in_valid, output wire {each}in_ready,",
        f"  input wire {each}in_last, input wire {each}in_start, input wire [{8 * at[-1] - 1}:0] in_data,",
        f"  input wire [{kept[-1] - 1}:0] in_keep,",
        f"  output wire out_valid, input wire out_ready, output wire out_last, output wire [{_bits(y)}:0] out_data,",
        "  output wire out_start,",
        f"  output wire [{y.lanes - 1}:0] out_keep, output wire [{max(len(taps), 1) - 1}:0] mon_valid,",
        f"  output wire [{max(len(taps), 1) - 1}:0] mon_ready, output wire [{max(mon_bits, 8) - 1}:0] mon_data);",
        f"  wire [{y.lanes * y.number.bits - 1}:0] y_data;",
        f"  wire [{y.lanes - 1}:0] y_keep;",
        *(f"  assign out_keep[{i}] = y_keep[{y.lane(i)}];" for i in range(y.lanes)),
        *(
            line
            for number, (_, x) in enumerate(inputs)
            for line in (
                f"  wire [{x.lanes * x.number.bits - 1}:0] x{number}_data;",
                f"  wire [{x.lanes - 1}:0] x{number}_keep;",
                *(f"  assign x{number}_keep[{x.lane(i)}] = in_keep[{8 * kept[number] + i}];" for i in range(x.lanes)),
                *(_from_slots(f"x{number}_data", 8 * at[number], "in_data", x)),
            )
        ),
        *(_to_slots("out_data", 0, "y_data", y)),
        *(f"  assign {name} = {value};" for name, value in absent),
        f"  {description.top}{parameter_list(parameters)} {INSTANCE} (",
        ",\n".join(f"    .{port}({name})" for port, name in ports.items()),
        "  );",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def tied(description: Description, ports: Mapping[str, Port]) -> dict[str, str]:
    """The value that each input under `tie` holds, as wide as the port: of another width simulators warn."""
    return {name: f"{ports[name].bits}'d{value % (1 << ports[name].bits)}" for name, value in description.tie.items()}


def input_places(inputs: Sequence[Beats]) -> tuple[list[int], list[int]]:
    """The byte of `in_data` and of `in_keep` at which each input begins; last, the bytes of data and bits of keep."""
    data, keep = [0], [0]
    for beats in inputs:
        data.append(data[-1] + beats.lanes * beats.slot)
        keep.append(keep[-1] + -(-beats.lanes // 8))
    keep[-1] = 8 * keep[-2] + inputs[-1].lanes
    return data, keep


def bare_head(description: Description, parameters: Mapping[str, int]) -> str:
    """A module around the design that connects nothing: names below its instance can be looked up in it."""
    return f"module {TOP};\n  {description.top}{parameter_list(parameters)} {INSTANCE} ();\n"


def turns(taps: Sequence[BoundTap]) -> tuple[list[str], dict[str, str]]:
    """Verilog that counts the beats of taps that take turns, image by image, and for each when it has its turn.

    The first of those with one word, in the order of the model, has all its beats of an image, then the next one; after
    the last of them the next image begins. It reads `clk`, and begins anew with `rst`.
    """
    words = list(dict.fromkeys(tap.multiplex for tap in taps if tap.multiplex is not None))
    lines: list[str] = []
    whose: dict[str, str] = {}
    for number, word in enumerate(words):
        own = [tap for tap in taps if tap.multiplex == word]
        turn, beat = f"turn_{number}", f"turn_{number}_beat"
        whose |= {tap.name: f"{turn} == 32'd{at}" for at, tap in enumerate(own)}
        last = "".join(f"{turn} == 32'd{at} ? 32'd{tap.beats.beats - 1} : " for at, tap in enumerate(own)) + "32'd0"
        passes = " || ".join(f"({whose[tap.name]} && ({tap.valid}) && ({tap.ready or _ONE}))" for tap in own)
        lines += [
            f"  reg [31:0] {turn} = 32'd0;",
            f"  reg [31:0] {beat} = 32'd0;",
            f"  wire {turn}_passes = {passes};",
            f"  wire {turn}_ends = {beat} == ({last});",
            "  always @(posedge clk)",
            "    if (rst) begin",
            f"      {turn} <= 32'd0;",
            f"      {beat} <= 32'd0;",
            f"    end else if ({turn}_passes) begin",
            f"      {beat} <= {turn}_ends ? 32'd0 : {beat} + 32'd1;",
            f"      if ({turn}_ends) {turn} <= {turn} == 32'd{len(own) - 1} ? 32'd0 : {turn} + 32'd1;",
            "    end",
        ]
    return lines, whose


def wrapper_tail(taps: Sequence[BoundTap], in_turn: bool = False) -> str:
    """The wrapper's end: assignments that show the taps, in order.

    `in_turn`: those of one word under `multiplex` are shown in their turns, image by image; else somebody else does.
    """
    if not taps:
        return "  assign mon_valid = 1'b0;\n  assign mon_ready = 1'b0;\n  assign mon_data = 8'b0;\nendmodule\n"
    lines, whose = turns(taps) if in_turn else ([], {})
    at = 0
    for i, tap in enumerate(taps):
        bits = tap.beats.lanes * tap.beats.number.bits
        valid = f"{whose[tap.name]} && ({tap.valid})" if tap.name in whose else tap.valid or _ZERO
        lines += [
            f"  wire [{bits - 1}:0] tap_{i} = {tap.data};",
            f"  assign mon_valid[{i}] = {valid};",
            f"  assign mon_ready[{i}] = {tap.ready or _ONE};",
            *_to_slots("mon_data", at, f"tap_{i}", tap.beats),
        ]
        at += 8 * tap.beats.lanes * tap.beats.slot
    return "\n".join(lines) + "\nendmodule\n"


def _bits(beats: Beats) -> int:
    return 8 * beats.lanes * beats.slot - 1


def parameter_list(parameters: Mapping[str, int]) -> str:
    """The values of parameters in an instance, with a blank before; nothing without any."""
    return f" #({', '.join(f'.{name}({value})' for name, value in parameters.items())})" if parameters else ""


def _physical(lane: int, beats: Beats) -> int:
    """The first bit of a lane in the design's own data."""
    return beats.number.bits * beats.lane(lane)


def _from_slots(data: str, first: int, slots: str, beats: Beats) -> list[str]:
    width = beats.number.bits
    part = 8 if beats.big_endian else width
    return [
        f"  assign {data}[{_physical(lane, beats) + at} +: {part}] = "
        f"{slots}[{first + 8 * beats.slot * lane + (width - part - at if beats.big_endian else at)} +: {part}];"
        for lane in range(beats.lanes)
        for at in range(0, width, part)
    ]


def _to_slots(slots: str, at: int, data: str, beats: Beats) -> list[str]:
    width, room = beats.number.bits, 8 * beats.slot
    lines = []
    for lane in range(beats.lanes):
        first = _physical(lane, beats)
        value, highest = f"{data}[{first} +: {width}]", first + width - 1
        if beats.big_endian:
            value = f"{{{', '.join(f'{data}[{at} +: 8]' for at in range(first, first + width, 8))}}}"
            highest = first + 7
        if room > width:
            sign = f"{data}[{highest}]" if beats.number.signed else "1'b0"
            value = f"{{{{{room - width}{{{sign}}}}}, {value}}}"
        lines.append(f"  assign {slots}[{at + room * lane} +: {room}] = {value};")
    return lines
