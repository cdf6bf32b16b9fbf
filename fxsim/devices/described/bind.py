"""Binding a description to a model: every port, tap and memory file resolved, or refused by name."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from fxsim.devices.described.description import (
    Description,
    Signals,
    Stream,
    Tap,
)
from fxsim.devices.described.elaborate import Port, Verilog, elaborate_ports, expression_bits
from fxsim.devices.described.expressions import below
from fxsim.devices.described.files import Listed, listed_files
from fxsim.devices.described.findings import Findings, among, description_of, nearest
from fxsim.devices.described.maker import make_files
from fxsim.devices.described.memory import joined, memory_text, refuse_nested
from fxsim.devices.described.packing import Beats, make_beats
from fxsim.devices.described.parts import CHOOSE
from fxsim.devices.described.ports import looks_like_clock
from fxsim.devices.described.tensors import carried, part_between, tensors_of
from fxsim.devices.described.vhdl import MADE, refuse_two_languages, verilog_of
from fxsim.devices.described.vhdl import SUFFIXES as VHDL
from fxsim.devices.described.wrapper import INSTANCE, TOP, BoundTap, bare_head, tied, wrapper_head, wrapper_tail
from fxsim.errors import FileError
from fxsim.graph import INPUT, Model
from fxsim.simulate.sources import Sources, read_listed

WRAPPER = f"{TOP}.sv"
_SUFFIXES = {
    "data": ("tdata", "data"),
    "valid": ("tvalid", "valid"),
    "ready": ("tready", "ready"),
    "last": ("tlast", "last"),
    "keep": ("tkeep", "keep"),
    "start": ("start",),
}
_WORD = re.compile(r"\{([a-z])\}")


@dataclass(frozen=True)
class BoundStream:
    """An input or the output: its tensors, ports, packing, and the rules it keeps.

    `last_every`: beats between lasts, 0: none.
    """

    tensors: tuple[str, ...]
    signals: Signals
    beats: Beats
    axi: bool
    last_every: int
    latency: int | None
    find: bool
    interval: int


@dataclass(frozen=True)
class Bound:
    """A description with a model on it: the wrapper's text, parameters, and every stream and tap."""

    path: Path
    description: Description
    sources: Sources
    listed: Listed
    verilog: Verilog
    parameters: dict[str, int]
    wrapper: str
    inputs: tuple[BoundStream, ...]
    output: BoundStream
    taps: tuple[BoundTap, ...]
    memories: dict[str, bytes]
    part: tuple[str, ...]
    """The taps of the model that the design computes, in graph order."""
    ties: dict[str, str]
    """Inputs that hold a value, each as a number in Verilog as wide as the port."""

    @property
    def whole_images(self) -> bool:
        """Whether inputs wait between images only: the design does not see a gap, or a stream has a fixed latency.

        Streams of a fixed latency come a beat a cycle behind an image's first beat in, which a gap would delay. Inputs
        in step that have different numbers of beats begin images together, and nobody said which beats go together.
        """
        fixed = self.output.signals.valid is None or any(tap.valid is None for tap in self.taps)
        uneven = self.in_step and len({stream.beats.beats for stream in self.inputs}) > 1
        return any(stream.signals.valid is None for stream in self.inputs) or fixed or uneven

    @property
    def in_step(self) -> bool:
        """Whether several inputs give their beats in the same cycles: none of them can be held back by the design."""
        return len(self.inputs) > 1 and self.inputs[0].signals.ready is None

    @property
    def interval(self) -> int:
        """Fewest cycles between the first beats of images; 0 where readies say when one may come."""
        return max(0 if stream.signals.ready is not None else stream.interval for stream in self.inputs)

    def input_name(self, number: int) -> str:
        """The name of an input stream in results: `input`, or of several the port of its data."""
        return "input" if len(self.inputs) == 1 else self.inputs[number].signals.data


def bind(path: Path, model: Model, base: Path | None = None) -> Bound:
    """Bind the description in a file to a model. FileError with file, place and what was expected.

    `base`: a folder in place of the description's own, in which its sources and files are looked for.
    """
    bound = bind_as_far_as_it_fits(path, model, Findings(), base)
    assert bound is not None
    return bound


def bind_as_far_as_it_fits(path: Path, model: Model, findings: Findings, base: Path | None = None) -> Bound | None:
    """Bind the description in a file to a model; None where something does not fit, which the findings then hold.

    What can be looked at in spite of that is: taps and memory files where a port is wrong, names where a file is
    missing.
    """
    description = description_of(path, findings)
    if description is None:
        return None
    if description.has_jobs:
        raise FileError(f"{path}: the design works off jobs, expected one with an input and an output stream")
    base = base or path.parent
    listed = listed_files(path, base, description, findings)
    parameters: dict[str, int] = {}
    for name, value in description.parameters.items():
        with findings.part():
            parameters[name] = parameter_value(path, name, value, model)
    memories: dict[str, bytes] = {}
    for memory in description.memory:
        with findings.part():
            text = memory_text(path, memory, model)
            if memory.file in memories:
                text = joined(path, memory, text, memories[memory.file].decode())
            memories[memory.file] = text.encode()
    sources, verilog, ports = None, None, None
    if listed is not None and len(parameters) == len(description.parameters):
        with findings.part():
            sources = read_listed(base, (*listed.sources, *listed.files, *listed.lists), listed.include)
            if description.command is not None:
                memories |= made_files(path, description.command, listed, sources, memories, model)
            refuse_nested(path, memories, sources.files)
            verilog = design_verilog(path, description, listed, sources, memories, parameters)
            ports = elaborate_ports(verilog, description.top, parameters)
    if ports is not None:
        check_inputs(path, description, ports, findings)
    several = len(description.inputs) > 1
    every = [
        _stream(path, stream, model, ports, findings, f" '{stream.ports}'" if several else "")
        for stream in description.inputs
    ]
    out = _stream(path, description.output, model, ports, findings)
    into = tuple(stream for stream in every if stream is not None)
    whole = len(into) == len(every)
    if ports is not None:
        with findings.part():
            _check_covered(path, description, ports)
    part = model.graph.taps
    if whole:
        with findings.part():
            _check_several(path, into)
    if whole and out is not None and not twice(into):
        with findings.part():
            given = tuple(tensor for stream in into for tensor in stream.tensors)
            part = part_between(given, out.tensors[0], model, str(path))
    taps: list[BoundTap] = []
    for stated in description.tap:
        with findings.part():
            for tap in taps_of(path, stated, model):
                if tap.name not in part:
                    raise FileError(
                        f"{path}: tap '{tap.name}' lies outside of what the design computes: {', '.join(part)}"
                    )
                if tap.name in (other.name for other in taps):
                    raise FileError(f"{path}: tap '{tap.name}' is described twice")
                taps.append(tap)
    taps.sort(key=lambda tap: model.graph.taps.index(tap.name))
    if whole and out is not None:
        with findings.part():
            _check_find(path, into, out)
        with findings.part():
            _check_fixed(path, into, out, taps)
    if whole and out is not None and not findings.problems:
        with findings.part():
            _check_roles(path, description, [stream.signals for stream in into], out.signals)
    head, ties = None, {}
    if whole and out is not None and not findings.problems:
        outputs = [port.name for port in (ports or {}).values() if port.direction == "out"]
        ties = tied(description, ports or {})
        given_streams = [(stream.signals, stream.beats) for stream in into]
        head = wrapper_head(description, parameters, given_streams, (out.signals, out.beats), taps, outputs, ties)
    if verilog is not None and ports is not None:
        check_widths(verilog, head or bare_head(description, parameters), path, taps, findings)
    if findings.problems:
        return None
    assert listed is not None
    assert sources is not None
    assert verilog is not None
    assert head is not None
    assert whole
    assert out is not None
    return Bound(
        path=path,
        description=description,
        sources=sources,
        listed=listed,
        verilog=verilog,
        parameters=parameters,
        wrapper=head + wrapper_tail(taps, in_turn=True),
        inputs=into,
        output=out,
        taps=tuple(taps),
        memories=memories,
        part=part,
        ties=ties,
    )


def made_files(
    path: Path, command: tuple[str, ...], listed: Listed, sources: Sources, memories: Mapping[str, bytes], model: Model
) -> dict[str, bytes]:
    """The files that the description's command makes; FileError where one of them is there already."""
    made = make_files(str(path), command, {name: sources.files[name] for name in listed.files}, model)
    if twice := sorted(made.keys() & {*memories, *sources.files}):
        raise FileError(f"{path}: command: it made '{twice[0]}', which a memory or 'files' has, too")
    return made


def design_verilog(
    path: Path,
    description: Description,
    listed: Listed,
    sources: Sources,
    memories: Mapping[str, bytes],
    parameters: dict[str, int],
) -> Verilog:
    """The design as Verilog: its sources, or what GHDL makes of them; then `parameters`, its generics, are used up."""
    vhdl = tuple(name for name in listed.sources if name.lower().endswith(VHDL))
    if not vhdl:
        return Verilog(str(path), sources.files, listed.sources, listed.include, listed.defines)
    refuse_two_languages(f"{path}: sources", listed.sources)
    files = {**sources.files, **memories}
    made = verilog_of(str(path), files, vhdl, description.top, parameters)
    parameters.clear()
    return Verilog(str(path), sources.files | {MADE: made}, (MADE,), (), {})


def parameter_value(path: Path, name: str, value: int | str, model: Model) -> int:
    """The value of a parameter of the design: a number, or the size of a tensor's axis."""
    if isinstance(value, int):
        return value
    tensor, _, axis = value.rpartition(".")
    if (found := model.graph.tensors.get(tensor)) is None or axis not in found.axes:
        raise FileError(
            f"{path}: parameters: {name} is {value!r}, expected a number, or a tensor of the model and one of its axes "
            f"as '{INPUT}.{model.graph.input.axes[0]}'"
        )
    return found.shape[found.axes.index(axis)]


def find_port(path: Path, what: str, name: str, ports: Mapping[str, Port], direction: str) -> Port:
    """The port of a name; FileError, which says what it is for, where there is none, or of another direction."""
    if name == CHOOSE:
        fits = [port.name for port in ports.values() if port.direction == direction]
        raise FileError(f"{path}: {what}: choose a port, one of {among(name, fits)}")
    if (port := ports.get(name)) is None:
        raise FileError(f"{path}: {what}: the design has no port '{name}'{nearest(name, ports)}")
    if port.direction != direction:
        raise FileError(f"{path}: {what}: port '{name}' is an {port.direction}put, expected an {direction}put")
    return port


def refuse_width(where: str, port: Port, bits: int) -> None:
    """Refuse a port that has not so many bits in one vector."""
    if not port.flat:
        raise FileError(f"{where}: port '{port.name}' is {port.array}")
    if port.bits != bits:
        raise FileError(f"{where}: port '{port.name}' has {port.bits} bits, expected {bits} in one")


def check_inputs(path: Path, description: Description, ports: Mapping[str, Port], findings: Findings) -> None:
    """Find clocks, resets and tied values that are no inputs of the design, or do not fit them."""
    for what, names in (
        ("clock", description.clocks),
        ("reset", () if description.reset is None else (description.reset.signal,)),
        ("tie", tuple(description.tie)),
    ):
        for name in names:
            with findings.part():
                port = find_port(path, what, name, ports, "in")
                if what != "tie" and port.bits != 1:
                    raise FileError(f"{path}: {what}: port '{name}' has {port.bits} bits, expected 1")
                if what == "tie" and not -(1 << (port.bits - 1)) <= description.tie[name] < 1 << port.bits:
                    raise FileError(
                        f"{path}: tie: {description.tie[name]} does not fit port '{name}' of {port.bits} bits"
                    )


def _stream(
    path: Path, stream: Stream, model: Model, ports: Mapping[str, Port] | None, findings: Findings, which: str = ""
) -> BoundStream | None:
    """A stream bound to the model and the design's ports, None where it does not fit; `ports`: None if unknown.

    `which` says in messages which of several it is.
    """
    before = len(findings.problems)
    where = f"{path}: {stream.role} stream{which}"
    into = stream.role == "input"
    tensors: tuple[str, ...] = ()
    tensor, beats, signals = None, None, stream.signals
    with findings.part():
        tensors = tensors_of(stream, model, where)
        tensor = carried(tensors, model, where)
        beats = make_beats(stream, tensor, where)
    if ports is not None:
        with findings.part():
            signals = signals or _by_prefix(where, stream.prefix or "", ports)
    if signals is None:
        return None
    if ports is not None:
        _check_ports(path, f"{stream.role} stream{which}", signals, beats, ports, findings, into)
    with findings.part():
        if signals.ready is not None and signals.valid is None:
            raise FileError(f"{where}: it has ready, but no valid")
    with findings.part():
        if not into and (signals.valid is None) == (stream.latency is None):
            raise FileError(f"{where}: expected either a valid signal or a latency")
    with findings.part():
        if stream.interval is not None and signals.ready is not None:
            raise FileError(f"{where}: it has ready, which says when an image may come, and states an interval")
    with findings.part():
        if stream.protocol == "axi4-stream" and signals.ready is None:
            raise FileError(f"{where}: protocol is 'axi4-stream', whose rules need a ready")
    last = stream.last or ("image" if signals.last is not None else "none")
    with findings.part():
        if last != "none" and signals.last is None:
            raise FileError(f"{where}: last is '{last}', but there is no last signal")
    with findings.part():
        short = beats is not None and beats.tail < beats.lanes
        if short and not into and signals.keep is None and signals.valid is None:
            raise FileError(f"{where}: {tensor} does not fill its lanes, and there is no keep")
    if beats is None or len(findings.problems) > before:
        return None
    return BoundStream(
        tensors=tensors,
        signals=signals,
        beats=beats,
        axi=signals.ready is not None
        and (stream.protocol or ("axi4-stream" if signals.data.endswith("tdata") else "")) == "axi4-stream",
        last_every={"none": 0, "image": beats.beats, "row": beats.row_beats}[last],
        latency=None if stream.latency == "find" else stream.latency,
        find=stream.latency == "find",
        interval=stream.interval or beats.beats,
    )


def _check_ports(
    path: Path,
    what: str,
    signals: Signals,
    beats: Beats | None,
    ports: Mapping[str, Port],
    findings: Findings,
    into: bool,
) -> None:
    """Find what is wrong with the ports of a stream: names, directions, and widths where the beats are known."""
    where = f"{path}: {what}"
    directions = {"data": into, "valid": into, "ready": not into, "last": into, "keep": into, "start": into}
    for field, name in msgspec.structs.asdict(signals).items():
        if name is None:
            continue
        with findings.part():
            port = find_port(path, f"{what}, {field}", name, ports, "in" if directions[field] else "out")
            widths = {} if beats is None else {"data": beats.lanes * beats.number.bits, "keep": beats.lanes}
            bits = widths.get(field, 1) if beats is not None or field not in ("data", "keep") else port.bits
            if not port.flat:
                raise FileError(f"{where}: port '{name}' is {port.array}")
            if port.bits != bits:
                each = f" ({beats.lanes} lanes of {beats.number})" if field == "data" and beats is not None else ""
                raise FileError(f"{where}: port '{name}' has {port.bits} bits, expected {bits} in one{each}")


def _by_prefix(where: str, prefix: str, ports: Mapping[str, Port]) -> Signals:
    found: dict[str, Any] = {}
    for field, suffixes in _SUFFIXES.items():
        names = [f"{prefix}_{suffix}" for suffix in suffixes if f"{prefix}_{suffix}" in ports]
        if len(names) > 1:
            raise FileError(f"{where}: prefix '{prefix}' means both {' and '.join(names)}: name the signals")
        if names:
            found[field] = names[0]
    if "data" not in found:
        raise FileError(f"{where}: the design has neither {prefix}_tdata nor {prefix}_data")
    return Signals(**found)


def twice(inputs: Iterable[BoundStream]) -> list[str]:
    """Tensors that more than one input carries."""
    names = [name for stream in inputs for name in stream.tensors]
    return sorted({name for name in names if names.count(name) > 1})


def _check_several(path: Path, inputs: Sequence[BoundStream]) -> None:
    """Refuse several inputs that carry one tensor twice, or of which only some can be held back."""
    if len(inputs) > 1 and (same := twice(inputs)):
        raise FileError(f"{path}: input streams: '{same[0]}' is carried twice, expected a tensor of its own in each")
    ready = [stream.signals.ready is not None for stream in inputs]
    if any(ready) and not all(ready):
        with_ready, without = inputs[ready.index(True)].signals.data, inputs[ready.index(False)].signals.data
        raise FileError(
            f"{path}: input streams: '{with_ready}' has a ready and '{without}' has none: how far the one may run "
            "ahead of the other, nobody said; expected a ready of each, or of none, whose beats then come in the same "
            "cycles"
        )


def _check_fixed(path: Path, inputs: Sequence[BoundStream], out: BoundStream, taps: Iterable[BoundTap]) -> None:
    """Refuse a fixed latency where several inputs are held back each by itself: it has no one first beat."""
    if len(inputs) == 1 or inputs[0].signals.ready is None:
        return
    fixed = ["output stream"] if out.signals.valid is None else []
    fixed += [f"tap '{tap.name}'" for tap in taps if tap.valid is None]
    if fixed:
        raise FileError(
            f"{path}: {fixed[0]}: it has a latency, behind the first beat of which of {len(inputs)} inputs, each with "
            "a ready, nobody said: expected a valid"
        )


def _check_find(path: Path, inputs: Sequence[BoundStream], out: BoundStream) -> None:
    """Refuse to find a latency where no single change of the input has a single answer."""
    if not out.find:
        return
    where = f"{path}: output stream: latency = 'find'"
    if (most := max(stream.beats.beats for stream in inputs)) != 1 or out.beats.beats != 1:
        raise FileError(
            f"{where}: an image has {most} beats in and {out.beats.beats} out, expected one each: state the latency"
        )
    if any(stream.signals.ready is not None or stream.signals.start is not None for stream in inputs):
        raise FileError(f"{where}: the input has a ready or a start, expected data that always flow: state the latency")


def _check_roles(path: Path, description: Description, inputs: Sequence[Signals], out: Signals) -> None:
    """Refuse a port that is to be two things: which of them it is, nobody said."""
    roles = [(name, "clock") for name in description.clocks]
    roles += [] if description.reset is None else [(description.reset.signal, "reset")]
    roles += [(name, "tie") for name in description.tie]
    given = [("input stream" if len(inputs) == 1 else f"input stream '{into.data}'", into) for into in inputs]
    for role, signals in (*given, ("output stream", out)):
        roles += [(name, f"{role}, {field}") for field, name in msgspec.structs.asdict(signals).items() if name]
    found: dict[str, str] = {}
    for name, role in roles:
        if name in found:
            raise FileError(f"{path}: port '{name}' is named twice, as {found[name]} and as {role}: expected once")
        found[name] = role


def _check_covered(path: Path, description: Description, ports: Mapping[str, Port]) -> None:
    """Refuse inputs of the design that nothing drives: what they would be, nobody said."""
    known: set[str] = set()
    for stream in description.stream:
        if stream.signals is not None:
            known |= {name for name in msgspec.structs.astuple(stream.signals) if name is not None}
        if stream.prefix is not None:
            known |= {f"{stream.prefix}_{suffix}" for suffixes in _SUFFIXES.values() for suffix in suffixes}
    refuse_undriven(path, description, ports, known)


_START_HINT = "; a tuser that is high with an image's first beat is the 'start' of the stream's signals"


def refuse_undriven(path: Path, description: Description, ports: Mapping[str, Port], driven: set[str]) -> None:
    """Refuse inputs of the design but those driven, clocks, the reset and those that hold a value."""
    known = driven | {*description.clocks, *description.tie}
    known |= set() if description.reset is None else {description.reset.signal}
    left = [port.name for port in ports.values() if port.direction != "out" and port.name not in known]
    # Where one of the clocks is no port, an input of such a name is what was meant.
    ticking = bool(description.clocks) and all(name in ports for name in description.clocks)
    for name in left:
        if ticking and ports[name].bits == 1 and looks_like_clock(name):
            raise FileError(
                f"{path}: nothing drives the input {name}, a clock by its name: clock = [...] lists those that tick "
                "together; for one of another rate describe a module around the design that derives all from one"
            )
    if left:
        raise FileError(
            f"{path}: nothing drives the input {', '.join(left)}: expected a stream, or a value under 'tie'"
            f"{_START_HINT if any(name.endswith('tuser') for name in left) else ''}"
        )


def taps_of(path: Path, stated: Tap, model: Model) -> Iterator[BoundTap]:
    """The taps that one entry stands for."""
    words = list(dict.fromkeys(_WORD.findall(stated.name)))
    pattern = re.escape(_WORD.sub("\0\\1\0", stated.name))
    for word in words:
        marked = re.escape(f"\0{word}\0")
        pattern = pattern.replace(marked, f"(?P<{word}>[0-9]+)", 1).replace(marked, f"(?P={word})")
    matches = [match for tap in model.graph.taps if (match := re.fullmatch(pattern, tap))]
    if not matches:
        hint = nearest(stated.name, model.graph.taps, "; the nearest that it has: ")
        raise FileError(f"{path}: tap '{stated.name}': the model has no such tap{hint}")
    for match in matches:
        where = f"{path}: tap '{match[0]}'"

        def expression(text: str | None, match: re.Match[str] = match, where: str = where) -> str | None:
            if text is None:
                return None
            for word, value in match.groupdict().items():
                text = text.replace("{" + word + "}", str(int(value)))
            return below(INSTANCE, text, where)

        data = expression(stated.data)
        assert data is not None
        beats = make_beats(stated, model.graph.tensors[match[0]], where)
        valid, ready = expression(stated.valid), expression(stated.ready)
        yield BoundTap(match[0], beats, data, valid, ready, stated.latency, stated.multiplex)


def check_widths(verilog: Verilog, head: str, path: Path, taps: Iterable[BoundTap], findings: Findings) -> None:
    """Find expressions of taps that do not exist, or are not as wide as their values."""
    expected: dict[str, int] = {}
    texts: dict[str, str] = {}
    for tap in taps:
        for field, text, bits in (
            ("data", tap.data, tap.beats.lanes * tap.beats.number.bits),
            ("valid", tap.valid, 1),
            ("ready", tap.ready, 1),
        ):
            if text is not None:
                key = f"{path}: tap '{tap.name}', {field}"
                texts[key], expected[key] = text, bits
    found: dict[str, int | str] = {}
    with findings.part():
        found = expression_bits(verilog, head, texts)
    for key, result in found.items():
        with findings.part():
            if isinstance(result, str):
                raise FileError(f"{key}: {result}")
            if result != expected[key]:
                shown = texts[key].replace(f"{INSTANCE}.", "")
                raise FileError(f"{key}: {shown} has {result} bits, expected {expected[key]}")
