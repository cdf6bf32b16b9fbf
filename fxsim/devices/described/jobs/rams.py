"""Binding ports to RAMs: names, directions and widths of the design's ports, resolved or refused."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from fxsim.devices.described.bind import find_port, refuse_width
from fxsim.devices.described.description import Description
from fxsim.devices.described.elaborate import Port
from fxsim.devices.described.findings import Findings
from fxsim.devices.described.jobs.bound import BoundRam
from fxsim.devices.described.jobs.parts import Ram
from fxsim.errors import FileError

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.\-]*\Z")


def bind_rams(
    path: Path, description: Description, ports: Mapping[str, Port], findings: Findings
) -> tuple[BoundRam, ...]:
    """The ports to RAMs that fit."""
    rams: list[BoundRam] = []
    offsets = {False: 0, True: 0}
    for said in description.ram:
        with findings.part():
            ram = _ram(path, said, ports, offsets[said.inside])
            _check_ram(path, ram, rams)
            offsets[said.inside] += ram.word_bytes
            rams.append(ram)
    return tuple(rams)


def _check_ram(path: Path, ram: BoundRam, rams: Iterable[BoundRam]) -> None:
    """Refuse a port to a RAM that does not go with others."""
    said, where = ram.said, f"{path}: ram '{ram.said.name}'"
    for name in _given(said):
        if other := next((other for other in rams if name in _given(other.said)), None):
            raise FileError(f"{where}: port '{name}' is that of ram '{other.said.name}', too: expected one")
    for other in rams:
        if other.said.name == said.name:
            raise FileError(f"{where}: it is described twice")
        if other.memory == ram.memory and (other.said.inside or said.inside):
            raise FileError(f"{where}: '{other.said.name}' leads to its memory, too, which one inside cannot share")
        if other.memory == ram.memory and other.word_bits != ram.word_bits:
            raise FileError(
                f"{where}: a word of it has {ram.word_bits} bits, and {other.word_bits} at '{other.said.name}'"
            )


def _given(said: Ram) -> set[str]:
    """The inputs of the design that a port of a RAM drives."""
    names = (said.address, said.enable, said.write, said.write_enable) if said.inside else (said.read,)
    return {name for name in names if name is not None}


def _ram(path: Path, said: Ram, ports: Mapping[str, Port], offset: int) -> BoundRam:
    where, what = f"{path}: ram '{said.name}'", f"ram '{said.name}'"
    memory = said.memory or said.name
    refuse_names(where, said.name, memory)
    # Of a RAM of the harness the design gives the address; of its own it takes it.
    gives, takes = ("in", "out") if said.inside else ("out", "in")
    address = find_port(path, f"{what}, address", said.address, ports, gives)
    if not address.flat or address.bits > 64:
        raise FileError(f"{where}: address '{said.address}' has {address.bits} bits, expected at most 64 in one")
    bits = []
    for field, name, direction in (("read", said.read, takes), ("write", said.write, gives)):
        if name is not None:
            port = find_port(path, f"{what}, {field}", name, ports, direction)
            refuse_width(where, port, port.bits)
            bits.append(port.bits)
    if len(set(bits)) > 1:
        raise FileError(f"{where}: '{said.read}' has {bits[0]} bits, and '{said.write}' {bits[1]}")
    if said.enable is not None:
        refuse_width(where, find_port(path, f"{what}, enable", said.enable, ports, gives), 1)
    strobes = 1
    if said.write_enable is not None:
        port = find_port(path, f"{what}, write_enable", said.write_enable, ports, gives)
        if not port.flat or port.bits not in {1, bits[0] // 8 if bits[0] % 8 == 0 else 1}:
            raise FileError(f"{where}: '{said.write_enable}' has {port.bits} bits, expected 1, or one a byte of a word")
        strobes = port.bits
    if said.unit == "bytes" and bits[0] % 8 != 0:
        raise FileError(f"{where}: addresses count bytes, and a word has {bits[0]} bits")
    return BoundRam(said, memory, bits[0], address.bits, strobes, offset)


def refuse_names(where: str, *names: str) -> None:
    """Refuse what is no name of a memory or its port."""
    for name in names:
        if not _NAME.match(name):
            raise FileError(f"{where}: {name!r} is no name of letters, digits, '_', '.' and '-'")
