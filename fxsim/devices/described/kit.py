"""A kit for any simulator: stimulus, expected values, memory files, Verilog, and a plain testbench in Verilog-2005."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fxsim.contract.arithmetic import Integers
from fxsim.devices.described.bind import Bound
from fxsim.devices.described.layout import DescribedLayout
from fxsim.devices.described.packing import Beats
from fxsim.engines import Engine, run
from fxsim.errors import StimulusError
from fxsim.graph import Model

_VALUES_MAX = 1 << 24
"""Most values of stimulus and output together: the files are text."""
_OWN = frozenset({"stimulus.hex", "expected.hex", "parameters.v", "testbench.v", "sources.txt", "run.sh", "kit.f"})
"""Names of a kit's own files."""
_TESTBENCH = Path(__file__).with_name("testbench.v")
_RUN = """\
#!/bin/sh
# Runs the kit in Icarus Verilog; another folder of Verilog may be named. Ends with 0 only where the testbench passes.
case ${1:-} in
  '') rtl=rtl ;;
  /*) rtl=$1 ;;
  *) rtl=$PWD/$1 ;;
esac
cd "$(dirname "$0")" || exit 2
sed "s|^rtl/|$rtl/|; s|^+incdir+rtl|+incdir+$rtl|" sources.txt > kit.f || exit 2
iverilog -g2012 -Wno-timescale -s testbench -o kit.vvp parameters.v testbench.v -c kit.f || exit 2
# A design cannot know this number: what it prints itself is no verdict.
nonce=$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')
vvp -n kit.vvp "+nonce=$nonce" >kit.log
status=$?
cat kit.log
[ $status -eq 0 ] && grep -qx "KIT $nonce PASS: %d images, %d beats equal" kit.log && ! grep -q '^FAIL' kit.log
"""


def write_kit(bound: Bound, model: Model, x: Integers, engine: Engine | str, folder: Path) -> None:
    """Write a kit of a bound design into a folder that holds its Verilog in `rtl` and its memory files.

    StimulusError where the images are too many for files of text.
    """
    if bound.description.role("output").latency == "find":
        raise StimulusError(f"{bound.path}: a kit cannot find a latency, expected the number of cycles")
    if taken := sorted(_OWN & {*bound.memories, *bound.listed.files}):
        raise StimulusError(f"{bound.path}: the design reads '{taken[0]}', a name that a kit has for a file of its own")
    layout = DescribedLayout(model, (), bound)
    into, out = bound.input.beats, bound.output.beats
    if len(x) * (into.tensor.size + out.tensor.size) > _VALUES_MAX:
        raise StimulusError(f"{len(x)} images have more than {_VALUES_MAX:,} values, the most that a kit takes")
    stimulus, expected = layout.contents(x, run(model, x, layout.needed, engine))
    (folder / "stimulus.hex").write_text(_words(stimulus, into), encoding="ascii")
    (folder / "expected.hex").write_text(_words(expected, out), encoding="ascii")
    (folder / "parameters.v").write_text(_parameters(bound, len(x)), encoding="utf-8")
    instance = _instance(bound)
    (folder / "testbench.v").write_text(_TESTBENCH.read_text().replace("`KIT_INSTANCE", instance), encoding="utf-8")
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
    (folder / "run.sh").write_text(_RUN % (len(x), len(x) * out.beats), encoding="utf-8")
    (folder / "run.sh").chmod(0o755)


def _words(content: "np.ndarray[tuple[int, ...], np.dtype[np.int8 | np.uint8]]", beats: Beats) -> str:
    """A word a beat, in hexadecimal, as the design's data has its lanes."""
    values = np.ascontiguousarray(content).view(beats.number.dtype).reshape(-1, beats.lanes)
    bits, mask = beats.number.bits, (1 << beats.number.bits) - 1
    digits = -(-bits * beats.lanes // 4)
    lines = []
    for row in values.tolist():
        word = 0
        for value in reversed(row) if beats.low_first else row:
            word = word << bits | (value & mask)
        lines.append(f"{word:0{digits}x}\n")
    return "".join(lines)


def _parameters(bound: Bound, images: int) -> str:
    into, out, reset = bound.input, bound.output, bound.description.reset
    numbers = {
        "IMAGES": images,
        "IN_BEATS": into.beats.beats,
        "IN_BITS": into.beats.number.bits,
        "IN_LANES": into.beats.lanes,
        "IN_ROW_BEATS": into.beats.row_beats,
        "IN_TAIL": into.beats.tail,
        "IN_LOW_FIRST": int(into.beats.low_first),
        "IN_LAST_EVERY": into.last_every,
        "IN_WHOLE_IMAGES": int(bound.whole_images),
        "IN_HAS_READY": int(into.signals.ready is not None),
        "INTERVAL": 0 if into.signals.ready is not None else into.interval,
        "OUT_BEATS": out.beats.beats,
        "OUT_BITS": out.beats.number.bits,
        "OUT_LANES": out.beats.lanes,
        "OUT_ROW_BEATS": out.beats.row_beats,
        "OUT_TAIL": out.beats.tail,
        "OUT_LOW_FIRST": int(out.beats.low_first),
        "OUT_LAST_EVERY": out.last_every,
        "OUT_HAS_KEEP": int(out.signals.keep is not None),
        "OUT_HAS_VALID": int(out.signals.valid is not None),
        "OUT_HAS_READY": int(out.signals.ready is not None),
        "LATENCY": out.latency or 0,
        "RESET_CYCLES": 0 if reset is None else reset.cycles,
        "WATCHDOG": max(10_000, 64 * max(into.beats.beats, out.beats.beats), 2 * (out.latency or 0), 2 * into.interval),
    }
    order = [
        f"// {what}: {stream.beats.lanes} value(s) of {stream.beats.number} a beat, {', '.join(stream.tensors)}, "
        f"slowest axis first: {', '.join(stream.beats.order)}"
        for what, stream in (("stimulus.hex", into), ("expected.hex", out))
    ]
    return "\n".join([*order, *(f"`define KIT_{name} {value}" for name, value in numbers.items())]) + "\n"


def _instance(bound: Bound) -> str:
    said, into, out = bound.description, bound.input.signals, bound.output.signals
    ports = dict.fromkeys(said.clocks, "clk") | {name: str(value) for name, value in said.tie.items()}
    if said.reset is not None:
        ports[said.reset.signal] = "rst" if said.reset.active == "high" else "~rst"
    named = (
        (into.data, "in_data"), (into.valid, "in_valid"), (into.ready, "in_ready"), (into.last, "in_last"),
        (into.keep, "in_keep"), (into.start, "in_start"), (out.data, "out_data"), (out.valid, "out_valid"),
        (out.ready, "out_ready"), (out.last, "out_last"), (out.keep, "out_keep"),
    )  # fmt: skip
    ports |= {port: name for port, name in named if port is not None}
    absent = [
        f"  assign {name} = {value};\n"
        for port, name, value in (
            (into.ready, "in_ready", "1'b1"), (out.valid, "out_valid", "1'b1"), (out.last, "out_last", "1'b0"),
            (out.keep, "out_keep", "{`KIT_OUT_LANES{1'b1}}"),
        )
        if port is None
    ]  # fmt: skip
    return f"{said.top}{_values(bound.parameters)} dut (\n{_listed(ports)}\n  );\n{''.join(absent)}"


def _values(parameters: dict[str, int]) -> str:
    return f" #({', '.join(f'.{name}({value})' for name, value in parameters.items())})" if parameters else ""


def _listed(ports: dict[str, str]) -> str:
    lines: Sequence[str] = [f"    .{port}({name})" for port, name in ports.items()]
    return ",\n".join(lines)
