"""A kit for any simulator: stimulus, expected values, memory files, Verilog, and a plain testbench in Verilog-2005."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Integers
from fxsim.devices.described.bind import Bound
from fxsim.devices.described.jobs.bind import BoundJobs
from fxsim.devices.described.layout import DescribedLayout
from fxsim.devices.described.packing import Beats, turned
from fxsim.devices.described.wrapper import BoundTap, turns
from fxsim.errors import StimulusError

STIMULUS = "stimulus.hex"
"""The file of what a testbench gives the design, a word a beat; of several input streams each has one of its own."""
_OWN = frozenset({STIMULUS, "parameters.v", "testbench.v", "sources.txt", "run.sh", "kit.f"})
"""Names of a kit's own files, without those of the values that are expected."""
_TESTBENCH = Path(__file__).with_name("testbench.v")
_STREAM = Path(__file__).with_name("kit_stream.v")
_FEED = Path(__file__).with_name("kit_feed.v")
TESTBENCH = "testbench"
"""The testbench's module."""
_RUN = """\
#!/bin/sh
# Runs the kit in Icarus Verilog, without and with stalls and resets; another folder of Verilog may be named.
# Ends with 0 only where the testbench passes both times.
case ${1:-} in
  '') rtl=rtl ;;
  /*) rtl=$1 ;;
  *) rtl=$PWD/$1 ;;
esac
cd "$(dirname "$0")" || exit 2
sed "s|^rtl/|$rtl/|; s|^+incdir+rtl|+incdir+$rtl|" sources.txt > kit.f || exit 2
play() { # play STALL RESETS WAITS
  if ! iverilog -g2012 -Wno-timescale -s testbench -P "testbench.STALL=$1" -P "testbench.RESETS=$2" \
    -P "testbench.WAITS=$3" -o kit.vvp parameters.v testbench.v -c kit.f; then
    echo "FAIL: iverilog does not compile the design"
    exit 2
  fi
  # A design cannot know this number: what it prints itself is no verdict.
  nonce=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
  vvp -n kit.vvp "+nonce=$nonce" >kit.log
  status=$?
  echo "stalls in $1 of 100 cycles, $2 resets amid the images$([ "$3" = 0 ] || echo ", ready waits for valid"):"
  cat kit.log
  if [ $status -ne 0 ]; then
    echo "FAIL: the simulator ended with status $status"
    return 1
  fi
  if ! grep -qx "KIT $nonce PASS: {images} images, {beats} beats equal" kit.log; then
    grep -q '^FAIL' kit.log || echo "FAIL: the simulation ended without a verdict of the testbench"
    return 1
  fi
  if grep -Eq '^(FAIL|ERROR|FATAL)' kit.log; then
    grep -q '^FAIL' kit.log || echo "FAIL: the design says that something is wrong"
    return 1
  fi
}
play 0 0 0 && play {stall} {resets} 0{waits}
"""
_STALL = 40
"""Cycles of 100 in which a side holds back, in the second of a kit's runs."""
_RESETS = 3
"""Resets amid the images there, of a design that has a reset."""


@dataclass(frozen=True)
class KitStream:
    """A stream that a testbench looks at: the output, or a tap; its signals are names or expressions in the testbench.

    `tag`: its instance, and its name in events. `file`: of the words that are expected. `title`: what people call it.
    `name`: what results call it, and `names` those of its signals. `most`, `least`: how many beats may have come, and
    must have, as an expression; by default all, and none. `axi`: it keeps the rules of AXI4-Stream.
    """

    tag: str
    title: str
    tensor: str
    file: str
    beats: Beats
    data: str
    valid: str | None
    ready: str | None
    last: str | None
    keep: str | None
    start: str | None
    last_every: int
    latency: int | None
    name: str
    names: dict[str, str]
    most: str | None = None
    least: str = "0"
    axi: bool = False


@dataclass(frozen=True)
class Bench:
    """A testbench for a number of images: its streams, the files that it reads, macros, and Verilog.

    `waits`: whether a run in which ready waits for valid shows more.
    """

    streams: tuple[KitStream, ...]
    files: dict[str, str]
    parameters: str
    testbench: str
    waits: bool = False


def write_files(
    bound: Bound | BoundJobs, bench: Bench, values: Mapping[str, Integers], images: int, folder: Path
) -> None:
    """Write a kit of a bound design into a folder that holds its Verilog in `rtl` and its memory files.

    The testbench compares the output and every tap that the description shows with `values`. StimulusError where the
    design reads a file of a kit's names.
    """
    streams = bench.streams
    refuse_names(bound, {*_OWN, *bench.files, *(stream.file for stream in streams)}, "a kit")
    for name, text in (bench.files | expected_files(bench, values)).items():
        (folder / name).write_text(text, encoding="ascii")
    (folder / "parameters.v").write_text(bench.parameters, encoding="utf-8")
    (folder / "testbench.v").write_text(bench.testbench, encoding="utf-8")
    listed, verilog = bound.listed, bound.verilog
    for name in verilog.sources:
        # What GHDL made of VHDL is no file of the design's.
        if not (path := folder / "rtl" / name).exists():
            path.write_bytes(verilog.files[name])
    for name in (*verilog.sources, *listed.include, *map(str, listed.defines.values())):
        if any(letter.isspace() for letter in name):
            raise StimulusError(f"'{name}' has a blank in it, which lists of files for simulators cannot hold")
    lines = [f"+define+{name}={value}\n" for name, value in listed.defines.items()]
    lines += [f"+incdir+{'/'.join(('rtl', *filter(None, [name])))}\n" for name in ("", *listed.include)]
    lines += [f"rtl/{name}\n" for name in verilog.sources]
    (folder / "sources.txt").write_text("".join(lines), encoding="utf-8")
    beats = sum(stream.beats.beats for stream in streams)
    resets = 0 if bound.description.reset is None else _RESETS
    script = _RUN
    numbers = {"images": images, "beats": images * beats, "stall": _STALL, "resets": resets}
    for word, said in {**numbers, "waits": " && play 0 0 1" if bench.waits else ""}.items():
        script = script.replace(f"{{{word}}}", str(said))
    (folder / "run.sh").write_text(script, encoding="utf-8")
    (folder / "run.sh").chmod(0o755)


def refuse_names(bound: Bound | BoundJobs, own: Iterable[str], whose: str) -> None:
    """Refuse a design that reads a file which the testbench has for its own."""
    if taken := sorted(set(own) & {*bound.memories, *bound.listed.files}):
        raise StimulusError(
            f"{bound.path}: the design reads '{taken[0]}', a name that {whose} has for a file of its own"
        )


def expected_files(bench: Bench, values: Mapping[str, Integers]) -> dict[str, str]:
    """The words that are expected of each stream, by the name of their file."""
    return {s.file: kit_words(s.beats.pack(values[s.tensor]), s.beats) for s in bench.streams}


def kit_streams(bound: Bound) -> tuple[KitStream, ...]:
    """The output, then the taps that the description shows, in graph order.

    StimulusError where a latency is to be found: a testbench cannot do that.
    """
    out, signals = bound.output, bound.output.signals
    if out.find:
        raise StimulusError(f"{bound.path}: a testbench cannot find a latency, expected the number of cycles")
    streams = [
        KitStream(
            tag="out",
            title="output",
            tensor=out.tensors[0],
            file="expected.hex",
            beats=out.beats,
            data="out_data",
            valid=None if signals.valid is None else "out_valid",
            ready="out_ready",
            last=None if signals.last is None else "out_last",
            keep=None if signals.keep is None else "out_keep",
            start=None if signals.start is None else "out_start",
            last_every=out.last_every,
            latency=out.latency,
            name=signals.data,
            names={kind: getattr(signals, kind) or kind for kind in ("valid", "ready", "last", "keep", "start")},
            axi=out.axi,
        )
    ]
    _, whose = turns(bound.taps)
    for n, tap in enumerate(bound.taps):
        stream = tap_stream(n, tap)
        streams.append(replace(stream, valid=f"{whose[tap.name]} && ({tap.valid})") if tap.name in whose else stream)
    return tuple(streams)


def tap_stream(n: int, tap: BoundTap) -> KitStream:
    """The stream of a tap that the design shows, the one of this number."""
    said = {"valid": tap.valid, "ready": tap.ready}
    return KitStream(
        tag=f"tap{n}",
        title=f"tap {tap.name}",
        tensor=tap.name,
        file=f"expected_{tap.name}.hex",
        beats=tap.beats,
        data=tap.data,
        valid=tap.valid,
        ready=tap.ready,
        last=None,
        keep=None,
        start=None,
        last_every=0,
        latency=tap.latency,
        name=tap.name,
        names={kind: (text or kind).replace("dut.", "") for kind, text in said.items()},
    )


def stream_bench(layout: DescribedLayout, x: Integers, values: Mapping[str, Integers]) -> Bench:
    """The testbench of a design with input streams and an output, on images whose taps have these `values`."""
    bound = layout.bound
    streams = kit_streams(bound)
    counted, _ = turns(bound.taps)
    watched = "".join(f"{line}\n" for line in counted)
    watched += kit_watched(streams) + kit_together([stream.tag for stream in streams])
    text = _TESTBENCH.read_text(encoding="utf-8")
    parts = {"INSTANCE": _instance(bound), "STREAMS": watched, **_feeds(bound)}
    for name, part in parts.items():
        text = text.replace(f"`KIT_{name}", part.strip())
    return Bench(
        streams=streams,
        files={
            file: kit_words(words, stream.beats)
            for file, words, stream in zip(stimulus_files(bound), layout.stimuli(x, values), bound.inputs, strict=True)
        },
        parameters=_parameters(bound, streams, len(x)),
        testbench=text + kit_stream_module() + _FEED.read_text(encoding="utf-8"),
        waits=bound.output.axi,
    )


def stimulus_files(bound: Bound) -> list[str]:
    """The file of each input stream's words."""
    if len(bound.inputs) == 1:
        return [STIMULUS]
    stem, _, ending = STIMULUS.rpartition(".")
    return [f"{stem}_{number + 1}.{ending}" for number in range(len(bound.inputs))]


def _tags(bound: Bound) -> list[str]:
    """The instance of each input stream, and its name in events."""
    return ["in"] if len(bound.inputs) == 1 else [f"in{number}" for number in range(len(bound.inputs))]


def in_readies(bound: Bound) -> dict[str, str]:
    """The ready of each input stream, by its name in events."""
    return {f"{tag}_ready": stream.signals.ready or "" for tag, stream in zip(_tags(bound), bound.inputs, strict=True)}


def _feeds(bound: Bound) -> dict[str, str]:
    """The input streams' instances, and what is done with all of them."""
    tags, lines = _tags(bound), []
    for number, (tag, file, stream) in enumerate(zip(tags, stimulus_files(bound), bound.inputs, strict=True)):
        beats = stream.beats
        name = "input" if len(tags) == 1 else f"input {bound.input_name(number)}"
        numbers = {
            "NAME": f'"{name}"', "FILE": f'"{file}"', "EVENT": f'"{tag}"', "BITS": beats.number.bits,
            "LANES": beats.lanes, "BEATS": beats.beats, "ROW_BEATS": beats.row_beats, "TAIL": beats.tail,
            "LOW_FIRST": int(beats.low_first), "LAST_EVERY": stream.last_every, "WHOLE": int(bound.whole_images),
        }  # fmt: skip
        given = ", ".join(f".{key}({value})" for key, value in numbers.items())
        ports = {kind: f"{tag}_{kind}" for kind in ("data", "valid", "ready", "last", "keep", "start")}
        lines.append(f"  kit_feed #({given}) feed_{tag} (\n{_listed(ports)}\n  );\n")
    feeds = [f"feed_{tag}" for tag in tags]
    lines.append(f"  wire [31:0] sent = {' + '.join(f'{feed}.sent' for feed in feeds)};\n")
    draw = "".join(f"{feed}.draw; " for feed in feeds)
    if bound.in_step:
        # One that holds back holds all of them back.
        first, *others = feeds
        draw = f"{first}.draw; " + "".join(f"{feed}.may = {first}.may; " for feed in others)
        if len({stream.beats.beats for stream in bound.inputs}) > 1:
            begin = " && ".join(f"{feed}.begins" for feed in feeds)
            draw = f"if ({begin}) begin {draw}end else begin {''.join(f'{feed}.go_on; ' for feed in feeds)}end "
    return {
        "FEEDS": "".join(lines),
        "AGAIN": "".join(f"{feed}.again; " for feed in feeds),
        "OFFER": draw + "".join(f"{feed}.offer; " for feed in feeds),
        "LOOK": "".join(f"{feed}.look; " for feed in feeds),
        "DROP": "".join(f"{feed}.drop; " for feed in feeds),
        "PASSED": " || ".join(f"{feed}.passed" for feed in feeds),
    }


def kit_stream_module() -> str:
    """The module that looks at a stream."""
    return _STREAM.read_text(encoding="utf-8")


def kit_words(content: npt.NDArray[np.int8] | npt.NDArray[np.uint8], beats: Beats) -> str:
    """A word a beat, in hexadecimal, as the design's data has its lanes."""
    values = np.ascontiguousarray(content).view(beats.number.dtype).reshape(-1, beats.lanes)
    bits, mask = beats.number.bits, (1 << beats.number.bits) - 1
    digits = -(-bits * beats.lanes // 4)
    lines = []
    for row in values.tolist():
        word = 0
        for value in reversed(row) if beats.low_first else row:
            coded = value & mask
            word = word << bits | (turned(coded, bits) if beats.big_endian else coded)
        lines.append(f"{word:0{digits}x}\n")
    return "".join(lines)


def _parameters(bound: Bound, streams: Sequence[KitStream], images: int) -> str:
    """Macros of the testbench, for so many images: sizes and packing of the streams."""
    out, reset = bound.output, bound.description.reset
    streams_beats = [stream.beats.beats for stream in (*bound.inputs, out)]
    longest = max(*streams_beats, *(tap.beats.beats for tap in bound.taps))
    intervals = [stream.interval for stream in bound.inputs]
    slowest = 2 * max(*intervals, out.latency or 0, *(tap.latency or 0 for tap in bound.taps))
    numbers = {
        "IMAGES": images,
        "IN_BEATS": sum(streams_beats[:-1]),
        "INTERVAL": bound.interval,
        "OUT_BITS": out.beats.number.bits,
        "OUT_LANES": out.beats.lanes,
        "OUT_HAS_READY": int(out.signals.ready is not None),
        "OUT_AXI": int(out.axi),
        "TAPS": len(bound.taps),
        "RESET_CYCLES": 0 if reset is None else reset.cycles,
        "WATCHDOG": max(10_000, 64 * longest, slowest),
        # Long enough for what a surplus image would need to come out.
        "DRAIN": max(1_000, 16 * longest, slowest),
    }
    order = [
        *(
            kit_order(file, ", ".join(stream.tensors), stream.beats)
            for file, stream in zip(stimulus_files(bound), bound.inputs, strict=True)
        ),
        *(kit_order(stream.file, stream.tensor, stream.beats) for stream in streams),
    ]
    return "\n".join([*order, *kit_macros(numbers)]) + "\n"


def kit_order(file: str, tensor: str, beats: Beats) -> str:
    """A comment that says how the values of a tensor lie in the words of a file."""
    return (
        f"// {file}: {beats.lanes} value(s) of {beats.number} a beat, {tensor}, "
        f"slowest axis first: {', '.join(beats.order)}"
    )


def kit_macros(numbers: Mapping[str, int]) -> list[str]:
    """Definitions of the testbench's numbers."""
    return [f"`define KIT_{name} {value}" for name, value in numbers.items()]


def _instance(bound: Bound) -> str:
    said, out = bound.description, bound.output.signals
    ports = dict.fromkeys(said.clocks, "clk") | bound.ties
    if said.reset is not None:
        ports[said.reset.signal] = "rst" if said.reset.active == "high" else "~rst"
    nets, named, readies = [], [], []
    for tag, stream in zip(_tags(bound), bound.inputs, strict=True):
        into, beats = stream.signals, stream.beats
        nets += [f"  wire {tag}_{kind};\n" for kind in ("valid", "ready", "last", "start")]
        nets += [f"  wire [{beats.number.bits * beats.lanes - 1}:0] {tag}_data;\n"]
        nets += [f"  wire [{beats.lanes - 1}:0] {tag}_keep;\n"]
        named += [(getattr(into, kind), f"{tag}_{kind}") for kind in msgspec.structs.asdict(into)]
        readies.append((into.ready, f"{tag}_ready", "1'b1"))
    named += [(getattr(out, kind), f"out_{kind}") for kind in msgspec.structs.asdict(out)]
    ports |= {port: name for port, name in named if port is not None}
    absent = [
        f"  assign {name} = {value};\n"
        for port, name, value in (
            *readies, (out.valid, "out_valid", "1'b1"), (out.last, "out_last", "1'b0"),
            (out.keep, "out_keep", "{`KIT_OUT_LANES{1'b1}}"), (out.start, "out_start", "1'b0"),
        )
        if port is None
    ]  # fmt: skip
    return f"{''.join(nets)}  {said.top}{_values(bound.parameters)} dut (\n{_listed(ports)}\n  );\n{''.join(absent)}"


def kit_watched(streams: Sequence[KitStream]) -> str:
    """The instances that look at streams."""
    lines = []
    for stream in streams:
        beats = stream.beats
        numbers = {
            "NAME": f'"{stream.title}"',
            "FILE": f'"{stream.file}"',
            "EVENT": f'"{stream.tag}"',
            "BITS": beats.number.bits,
            "LANES": beats.lanes,
            "BEATS": beats.beats,
            "ROW_BEATS": beats.row_beats,
            "TAIL": beats.tail,
            "LOW_FIRST": int(beats.low_first),
            "BIG_ENDIAN": int(beats.big_endian),
            "LAST_EVERY": stream.last_every,
            "HAS_KEEP": int(stream.keep is not None),
            "HAS_START": int(stream.start is not None),
            "HAS_VALID": int(stream.valid is not None),
            "LATENCY": stream.latency or 0,
            "AXI": int(stream.axi),
        }
        ports = {
            "looked": "testbench.looked",
            "data": stream.data,
            "valid": stream.valid or "1'b1",
            "ready": stream.ready or "1'b1",
            "last": stream.last or "1'b0",
            "start": stream.start or "1'b0",
            "keep": stream.keep or f"{{{beats.lanes}{{1'b1}}}}",
            "most": stream.most or f"`KIT_IMAGES * {beats.beats}",
            "least": stream.least,
            "settled": "testbench.cycle != 0 && testbench.cycle == `KIT_RESET_CYCLES - 1",
        }
        given = ", ".join(f".{name}({value})" for name, value in numbers.items())
        lines.append(f"  kit_stream #({given}) {stream.tag} (\n{_listed(ports)}\n  );\n")
    return "".join(lines)


def kit_together(tags: Sequence[str]) -> str:
    """Nets of what the streams of a testbench say together, the output's first."""
    whole = [f"{tag}.whole" for tag in tags]
    return "".join(
        (
            f"  wire whole = {' && '.join(whole)};\n",
            f"  wire [31:0] whole_taps = {' + '.join(whole[1:]) or '0'};\n",
            f"  wire [31:0] compared = {' + '.join(f'{tag}.taken' for tag in tags)};\n",
        )
    )


def _values(parameters: dict[str, int]) -> str:
    return f" #({', '.join(f'.{name}({value})' for name, value in parameters.items())})" if parameters else ""


def _listed(ports: dict[str, str]) -> str:
    lines: Sequence[str] = [f"    .{port}({name})" for port, name in ports.items()]
    return ",\n".join(lines)
