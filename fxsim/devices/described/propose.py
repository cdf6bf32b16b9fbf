"""A first description of somebody's RTL, from its ports and, where there is one, from a model.

It states what names and sizes say, and leaves the rest open: `CHOOSE` stands wherever a person must choose, and no
check accepts it.
"""

import difflib
import json
import os
import re
from collections.abc import Iterable, Iterator
from itertools import permutations
from pathlib import Path

import numpy as np

from fxsim.contract import Tensor
from fxsim.devices.described.elaborate import Signal, Survey, Verilog, survey
from fxsim.devices.described.ports import Group, Recognised, recognise
from fxsim.devices.described.vhdl import SUFFIXES
from fxsim.errors import FileError
from fxsim.graph import INPUT, Model
from fxsim.simulate.sources import read_listed

CHOOSE = "CHOOSE"
"""The word that stands where a person must choose: no port, tensor or number has this name."""
_PACKAGE = re.compile(rb"^\s*package\s+(?:automatic\s+|static\s+)?([A-Za-z_]\w*)", re.MULTILINE)
_USES = re.compile(rb"\b([A-Za-z_]\w*)::")
_READ = re.compile(rb'\$readmem([hb])\s*\(\s*"([^"\n]{1,200})"\s*,\s*([A-Za-z_]\w*)')
_SHOWN_MAX = 3


def propose(top: str, sources: tuple[Path, ...], folder: Path, include: tuple[Path, ...], model: Model | None) -> str:
    """The text of a first description of a top, which is to lie in `folder`; sources lie there or below.

    FileError where a source does not, or where the sources are no Verilog with that top.
    """
    names = tuple(_below(folder, path) for path in sources)
    folders = tuple(_below(folder, path) for path in include)
    if vhdl := [name for name in names if name.lower().endswith(SUFFIXES)]:
        raise FileError(f"{vhdl[0]} is VHDL, expected Verilog: ports of VHDL are not read yet")
    read = read_listed(folder, names, folders)
    names = packages_first(names, read.files)
    found = survey(Verilog(str(folder), read.files, names, folders, {}), top)
    ports = recognise(found.ports)
    lines = [
        "# A first description, from names and sizes: look at each 'by name'. Choose where CHOOSE stands.",
        "# fxsim dut check says what does not fit yet.",
        f"top = {_text(top)}",
        f"sources = {_list(names)}",
    ]
    if folders:
        lines.append(f"include = {_list(folders)}")
    lines += [*_parameters(found, model), *_clocks(ports), *_rest(ports, found)]
    for role in ("input", "output"):
        lines += _streams(role, ports, found, model)
    lines += _memories(found, read.files, names, model)
    if model is not None:
        lines += _taps(found, model)
    return "\n".join(lines) + "\n"


def packages_first(names: tuple[str, ...], files: dict[str, bytes]) -> tuple[str, ...]:
    """Sources in an order in which Verilator takes them: each after those whose packages it uses."""
    homes = {package.decode(): name for name in names for package in _PACKAGE.findall(files[name])}
    done: dict[str, None] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in done or name in above:
            return
        for package in _USES.findall(files[name]):
            if (home := homes.get(package.decode())) is not None and home != name:
                add(home, (*above, name))
        done[name] = None

    for name in names:
        add(name, ())
    return tuple(done)


def _below(folder: Path, path: Path) -> str:
    # Not resolved: links are the reader's business.
    name = os.path.relpath(path.absolute(), folder.absolute())
    if name.startswith(".."):
        raise FileError(f"{path} does not lie in the folder of the description, {folder}: expected one in it or below")
    if not path.exists():
        raise FileError(f"{path}: there is no such file")
    return Path(name).as_posix()


def _text(word: str) -> str:
    return json.dumps(word)


def _list(words: Iterable[str]) -> str:
    return f"[{', '.join(_text(word) for word in words)}]"


def _comment(text: str) -> str:
    return "# " + " ".join(text.split())


def _parameters(found: Survey, model: Model | None) -> Iterator[str]:
    for name, value in found.parameters.items():
        fits = [
            f"{tensor}.{axis}"
            for tensor, kind in ({} if model is None else model.graph.tensors).items()
            for axis, size in zip(kind.axes, kind.shape, strict=True)
            if value == str(size)
        ]
        hint = f"; {' or '.join(fits[:_SHOWN_MAX])} of the model has this size" if fits else ""
        yield _comment(f"parameter {name} is {value} by default{hint}")
    if found.parameters:
        first = next(iter(found.parameters))
        yield _comment(f"parameters = {{ {first} = ... }}")


def _clocks(ports: Recognised) -> Iterator[str]:
    if not ports.clocks:
        yield "# No input is called like a clock: clock = ..., unless the design is combinational."
    elif len(ports.clocks) == 1:
        yield f"clock = {_text(ports.clocks[0])}  # by name"
    else:
        yield f"clock = {_list(ports.clocks)}  # by name; these tick together"
    if not ports.resets:
        yield "# No input is called like a reset."
        return
    first, *more = ports.resets
    active = "low" if first in ports.low else "high"
    yield f'reset = {{ signal = {_text(first)}, active = "{active}" }}  # by name, the level too'
    for name in more:
        yield _comment(f"called like a reset, too, and driven by nobody so far: {name}")


def _rest(ports: Recognised, found: Survey) -> Iterator[str]:
    inputs = [name for name in ports.rest if found.ports[name].direction != "out"]
    if inputs:
        yield "# Nobody drives these inputs so far; a value holds one: tie = { NAME = 0 }"
        for name in inputs:
            port = found.ports[name]
            kind = "" if port.flat else ", an unpacked array"
            yield _comment(f"  {name}: {port.bits} bit{'s' if port.bits > 1 else ''}{kind} ({port.direction})")
    outputs = [name for name in ports.rest if found.ports[name].direction == "out"]
    if outputs:
        yield _comment(f"outputs that nobody looks at so far: {', '.join(outputs[:40])}")
    for name, members in ports.others.items():
        yield _comment(f"looks like: {name} ({', '.join(members[:40])}); see docs/bring-your-own-rtl.md")
        if name.startswith("AXI4 master "):
            prefix = name.removeprefix("AXI4 master ")
            yield _comment(f"  [[axi4]] name = {_text(prefix)} prefix = {_text(prefix)}, where it works off jobs")


def _streams(role: str, ports: Recognised, found: Survey, model: Model | None) -> Iterator[str]:
    groups = [group for group in ports.streams if group.role == role]
    tensor = None if model is None else model.graph.tensors[INPUT if role == "input" else model.graph.output]
    if len(groups) > 1:
        # Which of them it is, nobody said.
        yield ""
        yield _comment(f"{len(groups)} groups of ports look like the {role}; choose one:")
        for group in groups:
            yield _comment(f"  {_ports(group)}")
        groups = []
    group = groups[0] if groups else Group(role)
    yield from ("", "[[stream]]", f'role = "{role}"')
    if group.axi:
        yield f"prefix = {_text(group.prefix or '')}"
    else:
        if "data" not in group.ports:
            among = f"one of {', '.join(group.candidates)}" if group.candidates else "the port of the values"
            yield _comment(f"data: {among}")
        yield _ports(Group(role, {"data": CHOOSE} | group.ports))
    if role == "output" and "valid" not in group.ports:
        cycles = "the cycles from an image's first beat in to its first beat out"
        if all(_is_one_beat(group, found, model) for group in ports.streams):
            yield f'latency = "find"  # or {cycles}'
        else:
            yield f'latency = {_text(CHOOSE)}  # {cycles}, or "find" where an image is one beat that always flows'
    data = found.ports.get(group.ports.get("data", ""))
    yield from _lanes(tensor, None if data is None else data.bits)
    if tensor is not None and len(tensor.axes) > 1:
        orders = [list(order) for order in permutations(tensor.axes)] if len(tensor.axes) < 4 else [list(tensor.axes)]
        yield f'order = {_list(orders[0])}  # slowest first, the model\'s own; "-{tensor.axes[0]}" runs from its end'
        for order in orders[1:_SHOWN_MAX]:
            yield _comment(f"order = {_list(order)}")


def _is_one_beat(group: Group, found: Survey, model: Model | None) -> bool:
    """Whether an image is a beat of a stream that always flows, by names and sizes: a latency can be found."""
    if model is None or "data" not in group.ports or {"ready", "start"} & group.ports.keys():
        return False
    tensor = model.graph.tensors[INPUT if group.role == "input" else model.graph.output]
    return found.ports[group.ports["data"]].bits == tensor.size * tensor.number.bits


def _ports(group: Group) -> str:
    if group.axi:
        return f"prefix = {_text(group.prefix or '')}"
    pairs = ", ".join(f"{kind} = {_text(name)}" for kind, name in group.ports.items())
    return f"signals = {{ {pairs} }}"


def _lanes(tensor: Tensor | None, bits: int | None) -> Iterator[str]:
    if bits is None:
        yield "# lanes = ...  values a beat"
        return
    each = 8 if tensor is None else tensor.number.bits
    if bits % each:
        yield _comment(f"lanes, number: {bits} bits are no whole number of values of {each} bits")
        return
    lanes = bits // each
    said = f"{bits} bits in values of {each}" if tensor is not None else f"{bits} bits, if values have 8"
    yield f'lanes = {lanes}  # {said}; or fewer of more bits: number = "int{2 * each}"'
    if lanes > 1:
        yield '# lane_order = "high"  # where the first value is in the most significant bits'
    if tensor is not None and lanes > 1 and tensor.shape[-1] % lanes:
        beats = -(-tensor.size // lanes)
        yield _comment(f'an image of {tensor.size} values takes {beats} beats; rows apart: pack = "row"')


def _memories(found: Survey, files: dict[str, bytes], names: Iterable[str], model: Model | None) -> Iterator[str]:
    """Memory files that the design reads, with the arrays of the model that have as many words of as many bits."""
    seen = set()
    for name in names:
        for base, raw_file, raw_array in _READ.findall(files[name]):
            file, array = raw_file.decode("utf-8", "replace"), raw_array.decode()
            if file in seen or base == b"b":
                continue
            seen.add(file)
            memory = next((s for s in found.signals if s.words and s.name.rpartition(".")[2] == array), None)
            size = "" if memory is None else f", {memory.words} words of {memory.bits} bits"
            yield from ("", _comment(f"{name} reads it into '{array}'{size}"), "[[memory]]", f"file = {_text(file)}")
            fits = [] if model is None or memory is None else list(_arrays(model, memory))
            if len(fits) == 1:
                tensor, word, bits = fits[0]
                yield f"tensor = {_text(tensor)}  # the only one of this size"
            else:
                among = f"one of {', '.join(fit[0] for fit in fits[:20])}" if fits else "an array such as 'fc.weight'"
                yield f"tensor = {_text(CHOOSE)}  # {among}"
                word, bits = (fits[0][1], fits[0][2]) if fits else ("value", 8)
            if word == "row":
                yield 'word = "row"'
                yield '# first = "high"  # where the first value of a row is in the most significant bits'
            if bits != 8:
                yield f"bits = {bits}"


def _arrays(model: Model, memory: Signal) -> Iterator[tuple[str, str, int]]:
    for node in model.graph.nodes:
        for field in getattr(node.op, "__dataclass_fields__", {}):
            value = getattr(node.op, field)
            if not isinstance(value, np.ndarray) or value.ndim == 0:
                continue
            if memory.words == value.size and 8 <= memory.bits <= 32:
                yield f"{node.name}.{field}", "value", memory.bits
                continue
            length = value.shape[-1]
            whole = value.ndim > 1 and memory.words == value.size // length and memory.bits % length == 0
            if whole and 0 < memory.bits // length <= 32:
                yield f"{node.name}.{field}", "row", memory.bits // length


def _taps(found: Survey, model: Model) -> Iterator[str]:
    """Taps of the model as comments, each with the signals whose names resemble its own and whose bits can hold it."""
    output = model.graph.output
    for tap in model.graph.taps:
        if tap == output:
            continue
        tensor = model.graph.tensors[tap]
        lanes = "" if tensor.shape[-1] == 1 else f"{tensor.shape[-1]} values a token, or fewer"
        near = _resembling(tap, tensor, found.signals)
        yield from ("", "# [[tap]]", f"# name = {_text(tap)}")
        if near:
            for signal in near:
                count = signal.bits // tensor.number.bits
                yield _comment(f"data = {_text(signal.name)}") + f"  # {signal.bits} bits: lanes = {count}"
        else:
            yield "# data = ...  # no signal's name resembles the tap's"
        yield "# valid = ...  # an expression that is high with a beat, or latency = cycles"
        yield f"# lanes = ...  # {lanes}" if lanes else "# lanes = 1"


def _resembling(tap: str, tensor: Tensor, signals: Iterable[Signal]) -> list[Signal]:
    parts = [part for part in re.split(r"[._]", tap.lower()) if not part.isdigit()]
    scored = []
    for signal in signals:
        if signal.words is not None or signal.bits < tensor.number.bits or signal.bits % tensor.number.bits:
            continue
        words = [word for word in re.split(r"[._\[\]]", signal.name.lower()) if word]
        score = sum(max(difflib.SequenceMatcher(None, part, word).ratio() for word in words) for part in parts)
        if score / len(parts) >= 0.75:
            scored.append((-score, len(signal.name), signal.name, signal))
    return [signal for *_, signal in sorted(scored, key=lambda entry: entry[:3])[:_SHOWN_MAX]]
