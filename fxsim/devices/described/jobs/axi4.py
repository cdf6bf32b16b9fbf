"""Binding AXI4 masters: the ports of a prefix, their directions and widths, resolved or refused."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from fxsim.devices.described.bind import find_port, refuse_width
from fxsim.devices.described.description import Description
from fxsim.devices.described.elaborate import Port
from fxsim.devices.described.findings import Findings
from fxsim.devices.described.jobs.bound import AXI4_OPTIONAL, AXI4_SIDES, BoundAxi4, BoundRam
from fxsim.devices.described.jobs.parts import AXI4_BITS_MAX, Axi4
from fxsim.devices.described.jobs.rams import refuse_names
from fxsim.errors import FileError

_WIDTHS = tuple(8 << n for n in range((AXI4_BITS_MAX // 8).bit_length()))
"""Widths that AXI4 has for data."""


def bind_axi4(
    path: Path, description: Description, ports: Mapping[str, Port], rams: Iterable[BoundRam], findings: Findings
) -> tuple[BoundAxi4, ...]:
    """The AXI4 masters that fit."""
    masters: list[BoundAxi4] = []
    offset = 0
    for said in description.axi4:
        with findings.part():
            where = f"{path}: axi4 '{said.name}'"
            memory = said.memory or said.name
            refuse_names(where, said.name, memory)
            for ram in rams:
                if memory == ram.memory or said.name == ram.said.name:
                    raise FileError(f"{where}: ram '{ram.said.name}' has that name, or its memory")
            for other in masters:
                if other.said.name == said.name or other.said.prefix == said.prefix:
                    raise FileError(f"{where}: it is described twice")
            master = _master(path, said, memory, ports, offset)
            offset += master.bytes
            masters.append(master)
    return tuple(masters)


def _master(path: Path, said: Axi4, memory: str, ports: Mapping[str, Port], offset: int) -> BoundAxi4:
    where, what = f"{path}: axi4 '{said.name}'", f"axi4 '{said.name}'"
    capital = any(f"{said.prefix}_{field}" in ports for field in ("ARADDR", "AWADDR"))
    names = {field: f"{said.prefix}_{field.upper() if capital else field}" for side in AXI4_SIDES for field in side}
    sides = [side for side in AXI4_SIDES if any(names[f] in ports for f in side if f.endswith("addr"))]
    found: dict[str, str] = {}
    # What must be as wide on all channels of its kind, and the port where that was seen first.
    kinds: dict[str, Port] = {}
    for field, (direction, bits) in ((field, port) for side in sides or AXI4_SIDES for field, port in side.items()):
        if field in AXI4_OPTIONAL and names[field] not in ports:
            continue
        port = find_port(path, what, names[field], ports, direction)
        found[field] = port.name
        if bits is not None:
            refuse_width(where, port, bits)
        elif field != "wstrb":
            kind = next(kind for kind in ("addr", "data", "id") if field.endswith(kind))
            refuse_width(where, port, kinds.setdefault(f"{field[0]} id" if kind == "id" else kind, port).bits)
    data, address = kinds["data"], kinds["addr"]
    if said.width is not None and data.bits != said.width:
        raise FileError(f"{where}: port '{data.name}' has {data.bits} bits, and its width is stated as {said.width}")
    if data.bits not in _WIDTHS:
        raise FileError(
            f"{where}: port '{data.name}' has {data.bits} bits, expected 8, 16, 32 or so on to {_WIDTHS[-1]}"
        )
    if "wstrb" in found:
        refuse_width(where, ports[found["wstrb"]], data.bits // 8)
    for name, most in ((address.name, 64), *((found[field], 32) for field in ("arid", "awid") if field in found)):
        if ports[name].bits > most:
            raise FileError(f"{where}: port '{name}' has {ports[name].bits} bits, expected at most {most}")
    widths = {field: ports[name].bits for field, name in found.items()}
    return BoundAxi4(said, memory, found, widths, data.bits, address.bits, offset)
