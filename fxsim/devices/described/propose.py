"""A first description of somebody's RTL, from its ports and, where there is one, from a model.

It states what names and sizes say, and leaves the rest open: `CHOOSE` stands wherever a person must choose, and no
check accepts it.
"""

import difflib
import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from fxsim.contract import Tensor
from fxsim.devices.described.elaborate import Signal, Survey, Verilog, survey
from fxsim.devices.described.jobs.propose import job_keys, job_tables
from fxsim.devices.described.memory import READ_BY_NAME, holds
from fxsim.devices.described.parts import CHOOSE
from fxsim.devices.described.ports import Group, Recognised, handshakes_of, looks_like_clock, recognise
from fxsim.devices.described.tensors import arrays_of
from fxsim.devices.described.vhdl import MADE, SUFFIXES, refuse_two_languages, verilog_of
from fxsim.devices.described.wording import SHOWN_MAX, comment, lanes_of, listed, orders, text
from fxsim.errors import FileError, ToolError
from fxsim.formats.text import read_bounded
from fxsim.graph import INPUT, Model, Node
from fxsim.paths import VERILOG_BYTES_MAX
from fxsim.simulate.sources import read_listed

_PACKAGE = re.compile(rb"^\s*package\s+(?:automatic\s+|static\s+)?([A-Za-z_]\w*)", re.MULTILINE)
_USES = re.compile(rb"\b([A-Za-z_]\w*)::")
_GIVEN = re.compile(r"(?:^|\.)n\d+_\w+$")
"""A name that GHDL gives to what has none."""
_ANY_CASE = re.IGNORECASE | re.DOTALL
_ENDING = re.compile(rb'"[^"\n]*(\.[A-Za-z]{1,8})"')
"""A text of VHDL that ends as a name of a file does."""
_READ = re.compile(rb'\$readmem([hb])\s*\(\s*"([^"\n]{1,200})"\s*,\s*([A-Za-z_]\w*)')


def propose(top: str, sources: tuple[Path, ...], folder: Path, include: tuple[Path, ...], model: Model | None) -> str:
    """The text of a first description of a top, which is to lie in `folder`; sources lie there or below.

    FileError where a source does not, or where the sources are no Verilog with that top.
    """
    names = tuple(_below(folder, path) for path in sources)
    folders = tuple(_below(folder, path) for path in include)
    vhdl = tuple(name for name in names if name.lower().endswith(SUFFIXES))
    beside = memory_files_beside(folder, vhdl) if vhdl else ()
    read = read_listed(folder, (*names, *beside), folders)
    if vhdl:
        refuse_two_languages(str(folder), names)
        verilog, top = _elaborated_vhdl(folder, read.files, names, top)
    else:
        names = packages_first(names, read.files)
        verilog = Verilog(" ".join(names[:3]), read.files, names, folders, {})
    found = survey(verilog, top)
    # Names that GHDL gave mean nothing to anybody.
    kept = tuple(signal for signal in found.signals if not (vhdl and _GIVEN.search(signal.name)))
    found = replace(found, signals=kept)
    ports = recognise(found.ports)
    lines = [
        "# A first description, from names and sizes: look at each 'by name'. Choose where CHOOSE stands.",
        "# fxsim dut check says what does not fit yet.",
        f"top = {text(top)}",
        f"sources = {listed(names)}",
    ]
    if folders:
        lines.append(f"include = {listed(folders)}")
    if vhdl:
        lines += _lost(top, [read.files[name] for name in vhdl])
    lines += [*_parameters(found, model), *_clocks(ports), *_rest(ports, found)]
    if ports.jobs:
        lines += [*job_keys(ports), *job_tables(ports, found, model)]
    else:
        for role in ("input", "output"):
            lines += _streams(role, ports, found, model)
    lines += _memories(found, read.files, () if vhdl else names, model)
    for name in beside:
        lines += _memory_beside(name, read.files[name], model)
    if model is not None:
        nodes = _operands(ports, model) or ()
        # What goes in and what comes out of a part is no tap of it.
        ends = {model.graph.output}
        if len(nodes) == 1:
            behind = _behind(nodes[0].name, model)
            ends |= {*model.graph.taps} - ({nodes[0].name, *behind} if behind else set())
        lines += _taps(found, model, ends)
    return "\n".join(lines) + "\n"


def memory_files_beside(folder: Path, sources: Iterable[str]) -> tuple[str, ...]:
    """Files in a folder that VHDL sources may read as they are elaborated: a text of a source has their ending."""
    endings = {
        ending.lower()
        for name in sources
        for ending in _ENDING.findall(read_bounded(folder / name, VERILOG_BYTES_MAX, "a source"))
    }
    return tuple(
        sorted(path.name for path in folder.iterdir() if path.is_file() and path.suffix.lower().encode() in endings)
    )


def _elaborated_vhdl(folder: Path, files: dict[str, bytes], names: tuple[str, ...], top: str) -> tuple[Verilog, str]:
    """The Verilog that GHDL makes of VHDL, and the name of its top there: VHDL does not look at the case of letters."""
    try:
        made = verilog_of(str(folder), files, names, top, {})
    except ToolError as error:
        raise ToolError(f"{error} (what it reads as it is elaborated must lie in {folder})") from None
    modules = [name.decode() for name in re.findall(rb"^module (\w+)", made, re.MULTILINE)]
    named = next((name for name in modules if name.lower() == top.lower()), top)
    return Verilog(str(folder), {MADE: made}, (MADE,), (), {}), named


def _lost(top: str, sources: Iterable[bytes]) -> Iterator[str]:
    """Comments on what GHDL's synthesis does not keep of VHDL."""
    yield "# VHDL goes through GHDL's synthesis to Verilog. Lost are types (all is bits), upper case, names of most"
    yield "# inner signals (ports of instances keep theirs: take taps there), and generics, which are constants then."
    for source in sources:
        entity = re.search(rb"\bentity\s+" + re.escape(top.encode()) + rb"\s+is\b(.*?)\bend\b", source, _ANY_CASE)
        if (
            entity is None
            or (generics := re.search(rb"\bgeneric\s*\((.*?)\)\s*;\s*port\b", entity[1], _ANY_CASE)) is None
        ):
            continue
        plain = re.sub(rb"--[^\n]*", b"", generics[1])
        groups = re.findall(rb"(\w+(?:\s*,\s*\w+)*)\s*:[^=]", plain)
        words = ", ".join(name.strip().decode() for group in groups for name in group.split(b","))
        yield comment(f"generics, here as by default: {words}; parameters = {{ NAME = 1 }} states one")


def _memory_beside(name: str, content: bytes, model: Model | None) -> Iterator[str]:
    """The entry of a file that the design may read as it is elaborated, by its words; as a comment where none fits."""
    words = content.split()
    bits = 4 * max((len(word) for word in words), default=0)
    memory = Signal(name, bits, len(words))
    fits = [] if model is None else list(_arrays(model, memory))
    yield from ("", comment(f"{name} lies here, {len(words)} words of {bits} bits, and a source has its ending"))
    yield from ("[[memory]]", f"file = {text(name)}")
    if (chosen := _chosen(fits, name.partition(".")[0])) is not None:
        (tensor, word, value_bits), why = chosen
        yield f"tensor = {text(tensor)}  # {why}"
        if word == "row":
            yield 'word = "row"'
        if value_bits != 8:
            yield f"bits = {value_bits}"
    else:
        among = f"one of {', '.join(fit[0] for fit in fits[:20])}" if fits else "an array such as 'fc.weight'"
        yield f"tensor = {text(CHOOSE)}  # {among}"


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


def _parameters(found: Survey, model: Model | None) -> Iterator[str]:
    for name, value in found.parameters.items():
        fits = [
            f"{tensor}.{axis}"
            for tensor, kind in ({} if model is None else model.graph.tensors).items()
            for axis, size in zip(kind.axes, kind.shape, strict=True)
            if value == str(size)
        ]
        hint = f"; {' or '.join(fits[:SHOWN_MAX])} of the model has this size" if fits else ""
        yield comment(f"parameter {name} is {value} by default{hint}")
    if found.parameters:
        first = next(iter(found.parameters))
        yield comment(f"parameters = {{ {first} = {text(CHOOSE)} }}")


def _clocks(ports: Recognised) -> Iterator[str]:
    if not ports.clocks:
        yield "# No input is called like a clock: clock = ..., unless the design is combinational."
    elif len(ports.clocks) == 1:
        yield f"clock = {text(ports.clocks[0])}  # by name"
    else:
        yield f"clock = {listed(ports.clocks)}  # by name; these tick together"
    if not ports.resets:
        yield "# No input is called like a reset."
        return
    first, *more = ports.resets
    active = "low" if first in ports.low else "high"
    yield f'reset = {{ signal = {text(first)}, active = "{active}" }}  # by name, the level too'
    for name in more:
        yield comment(f"called like a reset, too, and driven by nobody so far: {name}")


def _rest(ports: Recognised, found: Survey) -> Iterator[str]:
    inputs = [name for name in ports.rest if found.ports[name].direction != "out"]
    if inputs:
        yield "# Nobody drives these inputs so far; a value holds one: tie = { NAME = 0 }"
        for name in inputs:
            port = found.ports[name]
            kind = f"{port.bits} bit{'s' if port.bits > 1 else ''}" if port.flat else port.array
            if port.bits == 1 and looks_like_clock(name):
                kind += (
                    ", a clock by name: several that tick together are one list, clock = [...]; none has another rate"
                )
            yield comment(f"  {name}: {kind} ({port.direction})")
    outputs = [name for name in ports.rest if found.ports[name].direction == "out"]
    if outputs:
        yield comment(f"outputs that nobody looks at so far: {', '.join(outputs[:40])}")
    for name in outputs:
        if not found.ports[name].flat:
            yield comment(f"  {name}: {found.ports[name].array}")
    described = () if not ports.jobs else ("AXI4 master ", "AXI4-Lite slave ", "memory port ")
    for name, members in ports.others.items():
        if not name.startswith(described):
            yield comment(f"looks like: {name} ({', '.join(members[:40])}); see docs/bring-your-own-rtl.md")


def _operands(ports: Recognised, model: Model | None) -> tuple[Node, ...] | None:
    """The nodes of the model that have as many operands as the design has input streams, where it has several.

    None where it has one, or where no node has so many: then the inputs are not operands.
    """
    count = sum(group.role == "input" for group in ports.streams)
    if count < 2:
        return None
    nodes = () if model is None else tuple(node for node in model.graph.nodes if len(node.inputs) == count)
    return nodes if nodes or model is None else None


def _said_of(nodes: Sequence[Node]) -> str:
    """Words on nodes with several operands."""
    said = ", ".join(f"{node.name} of {' and '.join(node.inputs)}" for node in nodes[:SHOWN_MAX])
    return said + (f" and {len(nodes) - SHOWN_MAX} more" if len(nodes) > SHOWN_MAX else "")


def _streams(role: str, ports: Recognised, found: Survey, model: Model | None) -> Iterator[str]:
    places = list(found.ports)
    groups = sorted(
        (group for group in ports.streams if group.role == role),
        key=lambda group: min((places.index(name) for name in group.ports.values()), default=0),
    )
    tensor = None if model is None else model.graph.tensors[INPUT if role == "input" else model.graph.output]
    nodes = _operands(ports, model)
    if nodes is not None:
        yield from _part_streams(role, groups, nodes, ports, found, model)
        return
    if len(groups) > 1:
        # Which of them it is, nobody said.
        yield ""
        yield comment(f"{len(groups)} groups of ports look like the {role}; choose one:")
        for group in groups:
            yield comment(f"  {_ports(group)}")
        groups = []
    yield from _stream(role, groups[0] if groups else Group(role), tensor, None, ports, found, model)


def _is_named(group: Group, tensor: str) -> bool:
    """Whether a stream's ports have the name of a tensor, the last part of it, among their words."""
    words = (group.prefix or group.ports.get("data", "")).lower().split("_")
    return tensor.rpartition(".")[2].lower() in words


def _named_first(groups: Sequence[Group], operands: Sequence[str]) -> Sequence[Group]:
    """Streams in the order of a node's operands: where one has the name of one, so; the others as the ports come."""
    named: dict[int, Group] = {}
    for number, operand in enumerate(operands):
        own = [group for group in groups if _is_named(group, operand)]
        if len(own) == 1 and own[0] not in named.values():
            named[number] = own[0]
    left = [group for group in groups if group not in named.values()]
    return [named[number] if number in named else left.pop(0) for number in range(len(groups))]


def _behind(name: str, model: Model) -> list[str]:
    """The nodes that are computed from a node, directly or not, in graph order."""
    found = {name}
    for node in model.graph.nodes:
        if found & {*node.inputs}:
            found.add(node.name)
    return [node.name for node in model.graph.nodes if node.name in found and node.name != name]


def _part_streams(
    role: str,
    groups: Sequence[Group],
    nodes: Sequence[Node],
    ports: Recognised,
    found: Survey,
    model: Model | None,
) -> Iterator[str]:
    """The streams of a design with several inputs: they carry the operands of a node, and its output that node."""
    tensors = {} if model is None else model.graph.tensors
    if role == "input" and len(nodes) == 1:
        groups = _named_first(groups, nodes[0].inputs)
    if role == "output" and len(groups) != 1:
        yield ""
        yield comment(
            f"{len(groups)} groups of ports look like the output; choose one, the others are taps at their ports:"
        )
        for group in groups:
            yield comment(f"  {_ports(group)}")
        groups = [Group(role)]
    for number, group in enumerate(groups):
        names = [node.inputs[number] if role == "input" else node.name for node in nodes]
        chosen = names[0] if len(nodes) == 1 else CHOOSE
        if role == "input" and len(nodes) == 1:
            by = "name" if _is_named(group, chosen) else "the order of the ports"
            why = f"by {by}: look which operand it is; {_said_of(nodes)}"
        elif role == "input":
            why = f"the operand that it carries: {_said_of(nodes) or 'the name of a tensor'}; one that is none: tie"
        else:
            why = "the only node with so many operands" if len(nodes) == 1 else "the node that the design computes"
            behind = [] if model is None or len(nodes) > 1 else _behind(nodes[0].name, model)
            why += f"; or one behind it: {', '.join(behind[:SHOWN_MAX])}" if behind else ""
        kinds = {(tensors[name].axes, tensors[name].shape, tensors[name].number) for name in names if name in tensors}
        tensor = tensors[names[0]] if len(kinds) == 1 else None
        yield from _stream(role, group, tensor, f"tensor = {text(chosen)}  # {why}", ports, found, model)


def _stream(
    role: str,
    group: Group,
    tensor: Tensor | None,
    carries: str | None,
    ports: Recognised,
    found: Survey,
    model: Model | None,
) -> Iterator[str]:
    """A stream's table; `carries`: the line that says which tensor it carries, where it must be said."""
    yield from ("", "[[stream]]", f'role = "{role}"')
    if carries is not None:
        yield carries
    if group.axi:
        yield f"prefix = {text(group.prefix or '')}"
    else:
        if "data" not in group.ports:
            among = f"one of {', '.join(group.candidates)}" if group.candidates else "the port of the values"
            yield comment(f"data: {among}")
        yield _ports(Group(role, {"data": CHOOSE} | group.ports))
    if role == "output" and "valid" not in group.ports:
        cycles = "the cycles from an image's first beat in to its first beat out"
        if all(_is_one_beat(group, found, model) for group in ports.streams):
            yield f'latency = "find"  # or {cycles}'
        else:
            yield f'latency = {text(CHOOSE)}  # {cycles}, or "find" where an image is one beat that always flows'
    data = found.ports.get(group.ports.get("data", ""))
    yield from lanes_of(tensor, None if data is None else data.bits)
    yield from orders(tensor)


def _is_one_beat(group: Group, found: Survey, model: Model | None) -> bool:
    """Whether an image is a beat of a stream that always flows, by names and sizes: a latency can be found."""
    if model is None or "data" not in group.ports or {"ready", "start"} & group.ports.keys():
        return False
    tensor = model.graph.tensors[INPUT if group.role == "input" else model.graph.output]
    return found.ports[group.ports["data"]].bits == tensor.size * tensor.number.bits


def _ports(group: Group) -> str:
    if group.axi:
        return f"prefix = {text(group.prefix or '')}"
    pairs = ", ".join(f"{kind} = {text(name)}" for kind, name in group.ports.items())
    return f"signals = {{ {pairs} }}"


def _memories(found: Survey, files: dict[str, bytes], names: Iterable[str], model: Model | None) -> Iterator[str]:
    """Memory files that the design reads, with the arrays of the model that have as many words of as many bits."""
    seen = set()
    for one in found.files:
        if one.file is None or one.file in seen:
            continue
        seen.add(one.file)
        memory = _memory(found, one.array, one.where)
        fits = [] if model is None or memory is None else list(_arrays(model, memory))
        said = f"{one.where} reads it into '{one.array}', as '{one.name}' names it{_size(memory)}"
        yield from ("", comment(said), "[[memory]]", f"file = {text(one.file)}")
        yield from _filled(fits, Path(one.file).stem, one.array)
    unknown = {(one.name, one.array) for one in found.files if one.file is None}
    for name in names:
        for raw_file, raw_array in dict.fromkeys(READ_BY_NAME.findall(files[name])):
            array = raw_array.decode()
            if (raw_file.decode(), array) not in unknown:
                continue
            words = f"{name} reads the file that '{raw_file.decode()}' names into '{array}'"
            yield from (
                "",
                comment(f"CHOOSE: {words}: a [[memory]] for each such file"),
                "# [[memory]]",
                f"# file = {text('its name')}",
            )
            memory = _memory(found, array)
            fits = [] if model is None or memory is None else list(_arrays(model, memory))
            among = ", ".join(dict.fromkeys(fit[0] for fit in fits[:20])) or "an array such as 'fc.weight'"
            yield f"# tensor = {text(CHOOSE)}  # one of {among}"
        for base, raw_file, raw_array in _READ.findall(files[name]):
            file, array = raw_file.decode("utf-8", "replace"), raw_array.decode()
            if file in seen or base == b"b":
                continue
            seen.add(file)
            memory = _memory(found, array)
            said = f"{name} reads it into '{array}'{_size(memory)}"
            yield from ("", comment(said), "[[memory]]", f"file = {text(file)}")
            fits = [] if model is None or memory is None else list(_arrays(model, memory))
            yield from _filled(fits, Path(file).stem, array)


def _memory(found: Survey, array: str, where: str = "") -> Signal | None:
    """The memory of a name: that of the instance `where`, a path from the top on, if it has one."""
    memories = [signal for signal in found.signals if signal.words and signal.name.rpartition(".")[2] == array]
    here = f"{where}.{array}".partition(".")[2]
    return next((one for one in memories if one.name == here), next(iter(memories), None))


def _size(memory: Signal | None) -> str:
    if memory is None:
        return ""
    return f", {memory.words} {'word' if memory.words == 1 else 'words'} of {memory.bits} bits"


def _filled(fits: list[tuple[str, str, int]], *names: str) -> Iterator[str]:
    """The lines that say which array fills a memory: the one that is clear, or those to choose from."""
    if (chosen := _chosen(fits, *names)) is not None:
        (tensor, word, bits), why = chosen
        yield f"tensor = {text(tensor)}  # {why}"
    else:
        among = f"one of {', '.join(fit[0] for fit in fits[:20])}" if fits else "an array such as 'fc.weight'"
        yield f"tensor = {text(CHOOSE)}  # {among}"
        word, bits = (fits[0][1], fits[0][2]) if fits else ("value", 8)
    if word == "row":
        yield 'word = "row"'
        yield '# first = "high"  # where the first value of a row is in the most significant bits'
    if bits != 8:
        yield f"bits = {bits}"


def _chosen(fits: list[tuple[str, str, int]], *names: str) -> tuple[tuple[str, str, int], str] | None:
    """The array that fits alone, or the only one that has one of the names, whole or its field's; and why."""
    if len(fits) == 1:
        return fits[0], "the only one of this size"
    named = [fit for fit in fits if {fit[0].replace(".", "_"), fit[0].rpartition(".")[2]} & {*names}]
    return (named[0], "by name, of those of this size") if len(named) == 1 else None


def _arrays(model: Model, memory: Signal) -> Iterator[tuple[str, str, int]]:
    """The arrays of a model that fill a memory, each as a word a value or a row, with a value's bits, which hold it."""
    for name, value in arrays_of(model):
        if memory.words == value.size and 8 <= memory.bits <= 32 and holds(memory.bits, value):
            yield name, "value", memory.bits
            continue
        length = value.shape[-1]
        whole = value.ndim > 1 and memory.words == value.size // length and memory.bits % length == 0
        if whole and 0 < memory.bits // length <= 32 and holds(memory.bits // length, value):
            yield name, "row", memory.bits // length


def _taps(found: Survey, model: Model, ends: Collection[str]) -> Iterator[str]:
    """Taps of the model as comments, each with the signals whose names resemble its own and whose bits can hold it."""
    handshake = handshakes_of(found.signals)
    for tap in model.graph.taps:
        if tap in ends:
            continue
        tensor = model.graph.tensors[tap]
        lanes = "" if tensor.shape[-1] == 1 else f"{tensor.shape[-1]} values a token, or fewer"
        counts: set[int] = set()
        near = _resembling(tap, tensor, found.signals)
        yield from ("", "# [[tap]]", f"# name = {text(tap)}")
        if near:
            for signal in near:
                count = signal.bits // tensor.number.bits
                counts.add(count)
                yield comment(f"data = {text(signal.name)}") + f"  # {signal.bits} bits: lanes = {count}"
        else:
            yield f"# data = {text(CHOOSE)}  # no signal's name resembles the tap's"
        beside = [handshake(signal.name) for signal in near]
        for name in dict.fromkeys(pair["valid"] for pair in beside if "valid" in pair):
            yield comment(f"valid = {text(name)}") + "  # by name"
        if not any("valid" in pair for pair in beside):
            yield f"# valid = {text(CHOOSE)}  # an expression that is high with a beat, or latency = cycles"
        for name in dict.fromkeys(pair["ready"] for pair in beside if {"valid", "ready"} <= pair.keys()):
            yield comment(f"ready = {text(name)}") + "  # by name"
        if len(counts) == 1:
            # Width of the signal and of a value say it.
            yield f"# lanes = {counts.pop()}"
        else:
            yield f"# lanes = {text(CHOOSE)}  # {lanes}" if lanes else "# lanes = 1"


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
    return [signal for *_, signal in sorted(scored, key=lambda entry: entry[:3])[:SHOWN_MAX]]
