"""A description held against a model before anything is built: all that does not fit, or what will be compared."""

import re
from pathlib import Path

import msgspec

from fxsim.devices.described.bind import Bound, BoundStream, bind_as_far_as_it_fits
from fxsim.devices.described.elaborate import named_files
from fxsim.devices.described.findings import Findings, description_of
from fxsim.devices.described.jobs.bind import BoundJobs, bind_jobs_as_far_as_it_fits
from fxsim.devices.described.jobs.bound import BoundRegion
from fxsim.devices.described.memory import READ_BY_NAME
from fxsim.devices.described.packing import Beats
from fxsim.graph import Model

_READ = re.compile(rb'\$readmem[hb]\s*\(\s*"([^"\n]{1,500})"')


class StreamLine(msgspec.Struct, frozen=True, kw_only=True):
    """A stream or tap that is bound: where it is read, its lanes, and the beats of an image."""

    name: str
    role: str
    data: str
    handshake: str
    lanes: int
    number: str
    order: tuple[str, ...]
    beats: int
    values: int
    byte_order: str = "little"


class MemoryLine(msgspec.Struct, frozen=True, kw_only=True):
    """A memory file: its words and their bits, and the array of the model that it holds."""

    file: str
    tensor: str
    words: int
    digits: int


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """The result: `problems` is empty where the description fits; the other fields say what it then comes to.

    `unprobed`: taps of the model that the description does not show, which are not compared; of them `outside` are not
    computed by the design, which is a part of the model. `notes`: what may be meant, and may be a slip.
    """

    description: str
    model: str
    fits: bool
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()
    top: str | None = None
    parameters: dict[str, int] = {}
    streams: tuple[StreamLine, ...] = ()
    taps: tuple[StreamLine, ...] = ()
    unprobed: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()
    memories: tuple[MemoryLine, ...] = ()


def check(path: Path, model: Model) -> Check:
    """Hold the description in a file against a model. Nothing is built or written; nothing that is wrong is raised."""
    findings = Findings(collecting=True)
    bound: Bound | BoundJobs | None = None
    # What is left of a description with unknown keys still says which kind it is.
    description = description_of(path, Findings(collecting=True))
    if description is not None and description.has_jobs:
        bound = bind_jobs_as_far_as_it_fits(path, model, findings)
    else:
        bound = bind_as_far_as_it_fits(path, model, findings)
    if bound is None:
        return Check(description=str(path), model=model.name, fits=False, problems=tuple(findings.problems))
    shown = {tap.name for tap in bound.taps} if isinstance(bound, Bound) else set(bound.shown)
    unprobed = tuple(name for name in model.graph.taps if name not in {*shown, bound.part[-1]})
    return Check(
        description=str(path),
        model=model.name,
        fits=True,
        problems=(),
        notes=(*_unwritten(bound), *_unseen(bound)),
        top=bound.description.top,
        parameters=bound.parameters,
        streams=(
            tuple(_region(region, bound) for region in bound.regions if region.beats is not None)
            if isinstance(bound, BoundJobs)
            else (
                *(_stream(stream, "input", " and ".join(stream.tensors)) for stream in bound.inputs),
                _stream(bound.output, "output", bound.part[-1]),
            )
        ),
        taps=tuple(
            StreamLine(
                name=tap.name,
                role="tap",
                data=tap.data.replace("dut.", "").replace(" ", ""),
                handshake=f"latency {tap.latency}" if tap.valid is None else "valid, ready" if tap.ready else "valid",
                lanes=tap.beats.lanes,
                number=str(tap.beats.number),
                order=tap.beats.order,
                beats=tap.beats.beats,
                values=tap.beats.tensor.size,
                byte_order=_byte_order(tap.beats),
            )
            for tap in bound.taps
        ),
        unprobed=unprobed,
        outside=tuple(name for name in unprobed if name not in bound.part),
        memories=tuple(_memories(bound)),
    )


def _stream(stream: BoundStream, role: str, name: str) -> StreamLine:
    has = stream.signals
    words = [field for field in ("valid", "ready", "last", "keep", "start") if getattr(has, field) is not None]
    if stream.latency is not None or stream.find:
        words.append(f"latency {'to be found' if stream.find else stream.latency}")
    if role == "input" and has.ready is None:
        words.append(f"an image in {stream.interval} cycles")
    if stream.axi:
        words.append("AXI4-Stream")
    return StreamLine(
        name=name,
        role=role,
        data=has.data,
        handshake=", ".join(words),
        lanes=stream.beats.lanes,
        number=str(stream.beats.number),
        order=stream.beats.order,
        beats=stream.beats.beats,
        values=stream.beats.tensor.size,
        byte_order=_byte_order(stream.beats),
    )


def _byte_order(beats: Beats) -> str:
    return "big" if beats.big_endian else "little"


def _region(region: BoundRegion, bound: BoundJobs) -> StreamLine:
    """A region of a memory, as a stream of its words."""
    assert region.beats is not None
    addressed = any(master.memory == region.memory for master in bound.masters)
    first = f"address 0x{region.first:x}" if addressed else f"word {region.first}"
    name = region.tap or (bound.output_tensor if region.role == "output" else region.role)
    return StreamLine(
        name=name,
        role=region.role,
        data=region.memory,
        handshake=f"memory, from {first} on",
        lanes=region.beats.lanes,
        number=str(region.beats.number),
        order=region.beats.order,
        beats=region.beats.beats,
        values=region.beats.tensor.size,
        byte_order=_byte_order(region.beats),
    )


def _memories(bound: Bound | BoundJobs) -> list[MemoryLine]:
    lines = []
    for stated in bound.description.memory:
        text = bound.memories[stated.file]
        words = text.count(b"\n") - text.count(b"@")
        digits = len(text.splitlines()[-1])
        lines.append(MemoryLine(file=stated.file, tensor=stated.tensor, words=words, digits=digits))
    return lines


def _unseen(bound: Bound | BoundJobs) -> list[str]:
    """Notes on what stands beside the output's data in AXI4-Stream and is not looked at, since no role has it."""
    if not isinstance(bound, Bound) or not (data := bound.output.signals.data).endswith("tdata"):
        return []
    named = {f"{data.removesuffix('data')}{word}": word for word in ("user", "id", "dest", "strb")}
    ways = {"user": ": where it is high with an image's first beat alone, it is the 'start' of the stream's signals"}
    return [
        f"output '{port}' is not looked at{ways.get(word, '')}"
        for port, word in named.items()
        if f".{port}()" in bound.wrapper
    ]


def _unwritten(bound: Bound | BoundJobs) -> list[str]:
    """Notes on files that a source reads by a plain name, and nobody writes: the memory would stay as it powers on.

    Files that a parameter names are those of its value where the design is elaborated. Where that is no text, and
    nothing is written at all, that is a note.
    """
    there = {*bound.memories, *bound.sources.files}
    written = bool(bound.memories or bound.description.command or bound.description.files)
    named = []
    if any(READ_BY_NAME.search(bound.verilog.files[source]) for source in bound.verilog.sources):
        for one in named_files(bound.verilog, bound.description.top, bound.parameters):
            words = f"{one.where} reads the file that '{one.name}' names into '{one.array}'"
            if one.file is not None and one.file not in there:
                named.append(f"{words}, '{one.file}', which no [[memory]] writes and 'files' does not list")
            elif one.file is None and not written:
                named.append(f"{words}, which nothing writes: expected a [[memory]], a command, or 'files'")
    return named + [
        f"{source} reads '{name}', which no [[memory]] writes and 'files' does not list"
        for source in bound.listed.sources
        for name in dict.fromkeys(
            match.decode("utf-8", "replace") for match in _READ.findall(bound.sources.files[source])
        )
        if name not in there
    ]
