"""A module around a design that works off jobs: its memories' ports in one form, which the harness knows."""

from collections.abc import Mapping, Sequence

from fxsim.devices.described.description import Description
from fxsim.devices.described.elaborate import Port
from fxsim.devices.described.jobs.bound import AXI4_SIDES, LITE, BoundAxi4, BoundRam, BoundStep
from fxsim.devices.described.wrapper import INSTANCE, TOP, BoundTap, parameter_list

_ZERO = "1'b0"


def wrapper_head(
    description: Description,
    parameters: Mapping[str, int],
    rams: Sequence[BoundRam],
    masters: Sequence[BoundAxi4],
    taps: Sequence[BoundTap],
    registers: Mapping[str, Port],
    steps: Sequence[BoundStep],
    ties: Mapping[str, str],
) -> str:
    """The wrapper up to the instance of the design; assignments that show its taps and `endmodule` are to follow."""
    control = description.control
    ports = dict.fromkeys(description.clocks, "clk") | dict(ties)
    if description.reset is not None:
        ports[description.reset.signal] = "rst" if description.reset.active == "high" else "~rst"
    body: list[str] = []
    done, busy = (None, None) if control is None else (control.done, control.busy)
    ports |= {} if control is None else {control.start: "start"}
    waits = waited(steps)
    # A port may be waited for, and be the job's done, too: each is one net.
    nets = {name: f"out_{i}" for i, name in enumerate(dict.fromkeys((*filter(None, (done, busy)), *waits)))}
    ports |= nets
    body += [f"  wire {net};" for net in nets.values()]
    body += [f"  assign done = {_ZERO if done is None else nets[done]};"]
    body += [f"  assign busy = {_ZERO if busy is None else nets[busy]};"]
    body += [f"  assign waits[{i}] = {nets[name]};" for i, name in enumerate(waits)]
    body += ["  assign waits = 1'b0;"] if not waits else []
    for field, slave in registers.items():
        ports[slave.name] = f"s_axil_{field}" + (f"[{slave.bits - 1}:0]" if field.endswith("addr") else "")
    body += [f"  assign s_axil_{f} = 0;" for f, (way, _) in LITE.items() if way == "out" and f not in registers]
    theirs, own = [ram for ram in rams if not ram.said.inside], [ram for ram in rams if ram.said.inside]
    for group, kind in ((theirs, "ram"), (own, "own")):
        for i, ram in enumerate(group):
            body += (_inside if kind == "own" else _outside)(i, f"{kind}{i}", ram)
            said = ram.said
            for port, name in (
                (said.address, "a"), (said.enable, "e"), (said.write_enable, "w"), (said.read, "q"), (said.write, "d"),
            ):  # fmt: skip
                # An output of the design may be that of several ports, such as one address of two RAMs.
                if port in ports:
                    body.append(f"  assign {kind}{i}_{name} = {ports[port]};")
                elif port is not None:
                    ports[port] = f"{kind}{i}_{name}"
    for i, master in enumerate(masters):
        body += _master(i, master)
        ports |= {port: f"axi{i}_{field}" for field, port in master.ports.items()}
    mon_bits = 8 * sum(tap.beats.lanes * tap.beats.slot for tap in taps)
    lines = [
        "// Made by fxsim around a design that a description names.",
        "`default_nettype wire",
        f"module {TOP} (",
        "  input wire clk, input wire rst, input wire start, output wire done, output wire busy,",
        f"  output wire [{max(len(waits), 1) - 1}:0] waits,",
        *(f"  {way}put wire [{(bits or 64) - 1}:0] s_axil_{field}," for field, (way, bits) in LITE.items()),
        *(f"  {way}put wire [{max(bits, 1) - 1}:0] {name}," for way, name, bits in wrapper_ports(rams, masters)),
        f"  output wire [{max(len(taps), 1) - 1}:0] mon_valid, output wire [{max(len(taps), 1) - 1}:0] mon_ready,",
        f"  output wire [{max(mon_bits, 8) - 1}:0] mon_data);",
        *body,
        f"  {description.top}{parameter_list(parameters)} {INSTANCE} (",
        ",\n".join(f"    .{port}({name})" for port, name in ports.items()),
        "  );",
    ]
    return "\n".join(lines) + "\n"


def wrapper_ports(rams: Sequence[BoundRam], masters: Sequence[BoundAxi4]) -> list[tuple[str, str, int]]:
    """The wrapper's ports to memories: direction, name, bits. First those of RAMs outside, then of those inside."""
    ports = [
        (direction if name != "rdata" else {"in": "out", "out": "in"}[direction], f"{kind}_{name}", bits)
        for kind, direction, group in (
            ("ram", "out", [ram for ram in rams if not ram.said.inside]),
            ("own", "in", [ram for ram in rams if ram.said.inside]),
        )
        for name, bits in (
            ("enable", len(group)),
            ("strobe" if kind == "ram" else "write", _bytes(group) if kind == "ram" else len(group)),
            ("address", 64 * len(group)),
            ("wdata", 8 * _bytes(group)),
            ("rdata", 8 * _bytes(group)),
        )
    ]
    return ports + [
        (way, f"axi4_{field}", sum(slot_bits(field, master) for master in masters))
        for side in AXI4_SIDES
        for field, (way, _) in side.items()
    ]


def slot_bits(field: str, master: BoundAxi4) -> int:
    """Bits that a port of a master takes in the wrapper's: as many for every one, but for its data."""
    if field in ("rdata", "wdata"):
        return master.data_bits
    if field == "wstrb":
        return master.bytes
    return 64 if field.endswith("addr") else 32 if field.endswith("id") and not field.endswith("valid") else 8


def _master(i: int, master: BoundAxi4) -> list[str]:
    """An AXI4 master: its ports between its own nets and a slot of the wrapper's."""
    absent = {
        "arsize": str(master.bytes.bit_length() - 1), "awsize": str(master.bytes.bit_length() - 1),
        "arburst": "1", "awburst": "1", "wstrb": f"{{{master.bytes}{{1'b1}}}}",
    }  # fmt: skip
    lines = []
    for field, (way, bits) in ((field, port) for side in AXI4_SIDES for field, port in side.items()):
        slot, net = slot_bits(field, master), f"axi{i}_{field}"
        at = {"rdata": 8 * master.offset, "wdata": 8 * master.offset, "wstrb": master.offset}.get(field, i * slot)
        there = field in master.ports
        wide = master.widths.get(field, bits or slot) if there else slot
        if way == "out":
            lines += (
                [f"  wire [{wide - 1}:0] {net};"]
                if there
                else [f"  wire [{slot - 1}:0] {net} = {absent.get(field, '0')};"]
            )
            above = "" if wide == slot else f"{{{slot - wide}{{1'b0}}}}, "
            lines += [f"  assign axi4_{field}[{at} +: {slot}] = {{{above}{net}}};"]
        elif there:
            lines += [f"  wire [{wide - 1}:0] {net} = axi4_{field}[{at} +: {wide}];"]
    return lines


def waited(steps: Sequence[BoundStep]) -> tuple[str, ...]:
    """The ports that steps wait for, each once."""
    return tuple(dict.fromkeys(step.wait for step in steps if step.wait is not None))


def _bytes(rams: Sequence[BoundRam]) -> int:
    return sum(ram.word_bytes for ram in rams)


def _outside(i: int, name: str, ram: BoundRam) -> list[str]:
    """A port to a RAM of the harness."""
    said, first = ram.said, ram.offset
    lines = [f"  wire [{ram.address_bits - 1}:0] {name}_a;", f"  wire {name}_e;"]
    lines += [] if said.enable is not None else [f"  assign {name}_e = 1'b1;"]
    lines += [f"  assign ram_enable[{i}] = {name}_e;", *_extended(f"ram_address[{64 * i} +: 64]", f"{name}_a", ram)]
    at = f"[{8 * first} +: {8 * ram.word_bytes}]"
    if said.write is None:
        lines += [f"  assign ram_strobe[{first} +: {ram.word_bytes}] = 0;", f"  assign ram_wdata{at} = 0;"]
    else:
        lines += [f"  wire [{ram.word_bits - 1}:0] {name}_d;", f"  wire [{ram.strobes - 1}:0] {name}_w;"]
        strobes = f"{name}_w" if ram.strobes == ram.word_bytes else f"{{{ram.word_bytes}{{{name}_w}}}}"
        lines += [f"  assign ram_strobe[{first} +: {ram.word_bytes}] = {strobes};"]
        lines += [f"  assign ram_wdata{at} = {name}_d;"]
    if said.read is not None:
        lines += [f"  wire [{ram.word_bits - 1}:0] {name}_q = ram_rdata[{8 * first} +: {ram.word_bits}];"]
    return lines


def _inside(i: int, name: str, ram: BoundRam) -> list[str]:
    """A port to a RAM inside the design."""
    said, first = ram.said, ram.offset
    lines = [f"  wire [{ram.address_bits - 1}:0] {name}_a = own_address[{64 * i} +: {ram.address_bits}];"]
    lines += [f"  wire {name}_e = own_enable[{i}];"]
    if said.write is not None:
        lines += [f"  wire [{ram.word_bits - 1}:0] {name}_d = own_wdata[{8 * first} +: {ram.word_bits}];"]
        lines += [f"  wire [{ram.strobes - 1}:0] {name}_w = {{{ram.strobes}{{own_write[{i}]}}}};"]
    at = f"[{8 * first} +: {8 * ram.word_bytes}]"
    if said.read is None:
        return [*lines, f"  assign own_rdata{at} = 0;"]
    return [*lines, f"  wire [{ram.word_bits - 1}:0] {name}_q;", f"  assign own_rdata{at} = {name}_q;"]


def _extended(to: str, address: str, ram: BoundRam) -> list[str]:
    above = "" if ram.address_bits == 64 else f"{{{64 - ram.address_bits}{{1'b0}}}}, "
    return [f"  assign {to} = {{{above}{address}}};"]
