"""Waves as traces: VCD written by hand, VCD, FST and GHW of simulators; edges, valid and ready, X and Z."""

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fxsim.compare import ComputedSource, compare, model_taps
from fxsim.errors import FxsimError, ToolError
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Relu
from fxsim.traces import Trace, read_map, read_trace
from fxsim.traces.waves import FILE_BYTES_MAX, list_signals
from tests.conftest import SEED

Array = npt.NDArray[Any]

IMAGES, SHAPE = 2, (2, 4)


@pytest.fixture
def model() -> Model:
    """The positive part of the input."""
    return Model(Graph(SHAPE, (Node("positive", Relu(), (INPUT,)),)), "toy")


@pytest.fixture
def x() -> Array:
    """Images of any int8 values."""
    return np.random.default_rng(SEED).integers(-128, 128, (IMAGES, *SHAPE)).astype(np.int8)


def vcd(changes: list[tuple[int, str]], names: str = "clk:1 valid:1 ready:1 out:8") -> str:
    """A VCD with these signals, in one scope, and these changes: a time, and `name=value` for each signal."""
    declared = [name.split(":") for name in names.split()]
    signs = {name: chr(33 + i) for i, (name, _) in enumerate(declared)}
    text = "$timescale 1ns $end\n$scope module tb $end\n"
    for name, width in declared:
        text += f"$var wire {width} {signs[name]} {name} $end\n"
    text += "$upscope $end\n$enddefinitions $end\n"
    for time, moves in changes:
        text += f"#{time}\n"
        for name, value in (move.split("=") for move in moves.split()):
            one = dict(declared)[name] == "1"
            text += f"{value}{signs[name]}\n" if one else f"b{value} {signs[name]}\n"
    return text


def stream(values: Array, gap: Callable[[int], bool] = lambda _: False) -> list[tuple[int, str]]:
    """A word in each cycle of 10, moving with the rising edge at 5; where `gap`, a cycle before without ready."""
    changes, time = [(0, "clk=0 valid=0 ready=0 out=xxxxxxxx")], 5
    for i, value in enumerate(values.reshape(-1)):
        word = f"out={int(value) & 255:b}"
        for ready in [0, 1] if gap(i) else [1]:
            changes += [(time, f"clk=1 valid=1 ready={ready} {word}"), (time + 5, "clk=0")]
            time += 10
    return [*changes, (time, "clk=1 valid=0"), (time + 5, "clk=0")]


MAP = 'clock="tb.clk"\n[[tap]]\nname="positive"\nsignal="tb.out"\nvalid="valid"\nready="ready"\n'


def read(path: Path, model: Model, text: str = MAP, images: int = IMAGES) -> Trace:
    """The trace of a wave, with a map."""
    (path.parent / "map.toml").write_text(text)
    return read_trace(path, model, images, read_map(path.parent / "map.toml", model))


def agree(trace: Trace, model: Model, x: Array) -> bool:
    """Whether a trace is the positive part of the images."""
    source = ComputedSource("numpy", ("positive",), x, lambda part, _: {"positive": np.maximum(part, 0)})
    return compare(source, trace, model_taps(model, ["positive"])).equal


@pytest.mark.slow
def test_values_are_taken_at_edges_where_valid_and_ready_hold(model: Model, x: Array, tmp_path: Path) -> None:
    """The value is what stands just before the edge; without ready, or without valid, there is none."""
    file = tmp_path / "t.vcd"
    file.write_text(vcd(stream(np.maximum(x, 0), lambda i: i % 3 == 1)))
    assert agree(read(file, model), model, x)
    # The falling edge is in the middle of the cycle: it sees the same words.
    assert agree(read(file, model, MAP.replace("[[tap]]", 'edge="falling"\n[[tap]]', 1)), model, x)
    without = MAP.replace('ready="ready"\n', "")
    with pytest.raises(FxsimError, match=r"has 17 values, expected 16 .* goes on to image 2"):
        read(file, model, without)


@pytest.mark.parametrize(("active", "bit"), [("high", 1), ("low", 0)])
def test_nothing_is_sampled_in_reset(model: Model, x: Array, active: str, bit: int, tmp_path: Path) -> None:
    """What is valid while the reset is active, or unknown, is no value; without the reset in the map there are more."""
    names = "clk:1 valid:1 ready:1 out:8 rst:1"
    before = [
        (0, "clk=0 valid=1 ready=1 rst=x out=1"),
        (5, f"clk=1 rst={bit}"),
        (10, "clk=0"),
        (15, "clk=1"),
        (20, "clk=0"),
    ]
    changes = [(time + 100, moves) for time, moves in stream(np.maximum(x, 0))]
    changes[0] = (changes[0][0], f"{changes[0][1]} rst={1 - bit}")
    file = tmp_path / "t.vcd"
    file.write_text(vcd([*before, *changes], names))
    with_reset = MAP.replace("[[tap]]", f'reset="tb.rst"\nactive="{active}"\n[[tap]]', 1)
    assert agree(read(file, model, with_reset), model, x)
    with pytest.raises(FxsimError, match="goes on to image 2"):
        read(file, model)


def test_parts_of_a_signal_and_several_signals(model: Model, x: Array, tmp_path: Path) -> None:
    """A bus that packs what is wanted with something else, and a word in two signals, give the same values."""
    values = np.maximum(x, 0).reshape(-1)
    changes = [(0, "clk=0")]
    for i, value in enumerate(values):
        bits = f"{int(value):08b}"
        changes += [(10 * i + 5, f"clk=1 bus={'1010' + bits + '0110'} low={bits[4:]} high={bits[:4]}")]
        changes += [(10 * i + 10, "clk=0")]
    file = tmp_path / "t.vcd"
    file.write_text(vcd([*changes, (999, "clk=1")], "clk:1 bus:16 low:4 high:4"))
    for signal in ('"bus[11:4]"', '["tb.low", "high"]'):
        text = f'clock="clk"\n[[tap]]\nname="positive"\nsignal={signal}\nfirst=1\n'
        assert agree(read(file, model, text), model, x)


def test_unknown_bits_are_differences(model: Model, x: Array, tmp_path: Path) -> None:
    """A value with X or Z is compared, differs, and is shown; the others are equal."""
    text = vcd(stream(np.maximum(x, 0)))
    lines = text.splitlines()
    words = [i for i, line in enumerate(lines) if line.startswith("b")][1:]
    lines[words[5]], lines[words[9]] = "bz $", "b0000x00z $"
    file = tmp_path / "t.vcd"
    file.write_text("\n".join(lines) + "\n")
    source = ComputedSource("numpy", ("positive",), x, lambda part, _: {"positive": np.maximum(part, 0)})
    result = compare(source, read(file, model), model_taps(model, ["positive"]), examples=5)
    assert [e.got for e in result.taps[0].examples] == ["z", "0000x00z"]
    assert (result.compared, result.differ) == (16, 2)
    assert result.first is not None
    assert (result.first.image, result.first.index) == (0, {"token": 1, "channel": 1})


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"tb.out"', '"tb.uot"', r"there is no signal 'tb.uot'; of 4 the most like it: tb.clk"),
        ('"tb.clk"', '"out"', "clock 'out' has 8 bits, expected 1"),
        ('"tb.clk"', '"ready"', "has 0 values, expected 16 .* cut off in image 0"),
        ('clock="tb.clk"', "", "a wave is sampled at a clock, expected 'clock' in a map"),
        ('"tb.out"', '"tb.out[8:1]"', "is no part of 'tb.out', which has 8 bits"),
        ('valid="valid"', 'valid="out"', "'out' has 8 bits, expected 1"),
        ('"tb.out"', '"tb.out"\nwidth=3', "words have 8 bits, expected 2 lanes of 3 bits"),
    ],
)
def test_maps_that_do_not_fit_are_refused(
    model: Model, x: Array, old: str, new: str, message: str, tmp_path: Path
) -> None:
    """Names that there are not, clocks that are none, another clock, and widths that do not fit: one line."""
    file = tmp_path / "t.vcd"
    file.write_text(vcd(stream(np.maximum(x, 0))))
    with pytest.raises(FxsimError, match=message) as caught:
        read(file, model, MAP.replace(old, new))
    assert "t.vcd" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.slow
def test_a_handshake_that_nobody_knows_is_refused(model: Model, x: Array, tmp_path: Path) -> None:
    """Valid may be X until it is first known, as before a reset; later X is an error, as is ready beside valid."""
    text = vcd(stream(np.maximum(x, 0)))
    file = tmp_path / "t.vcd"
    file.write_text(text.replace('0"\n', 'x"\n', 1))
    assert agree(read(file, model), model, x)
    # The fourth word's valid, or ready, is X.
    for sign, name in (('"', "valid"), ("#", "ready")):
        parts = text.split(f"1{sign}\n")
        file.write_text(f"1{sign}\n".join(parts[:4]) + f"x{sign}\n" + f"1{sign}\n".join(parts[4:]))
        with pytest.raises(FxsimError, match=rf"'tb\.{name}' is unknown .X or Z. at time 45, expected 0 or 1"):
            read(file, model)


@pytest.mark.slow
def test_damaged_waves_are_refused(model: Model, x: Array, tmp_path: Path) -> None:
    """A wave that is cut off, goes back in time or is none is one line, whatever the library does with it."""
    text = vcd(stream(np.maximum(x, 0)))
    file = tmp_path / "t.vcd"
    cases = {
        text[: text.index("#85")]: "cut off in image",
        text[: text.rindex('"')] + "\n": "damaged|cut off",
        text.replace("#85", "#3"): "damaged: WARN: time decreased|time goes back",
        "hello": "is damaged, cut off, or no VCD, FST or GHW file",
        "": "is damaged, cut off, or no VCD, FST or GHW file",
    }
    for content, message in cases.items():
        file.write_text(content)
        with pytest.raises(FxsimError, match=message) as caught:
            read(file, model)
        assert "\n" not in str(caught.value)
    with pytest.raises(FxsimError, match="there is no such file"):
        read(tmp_path / "none.vcd", model)


def test_waves_need_the_extra(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without pywellen the message names the extra; a file too large to hold is refused with its size and the limit."""
    file = tmp_path / "t.ghw"
    with file.open("wb") as large:
        large.truncate(FILE_BYTES_MAX[".ghw"] + 1)
    with pytest.raises(FxsimError, match="has 268,435,457 bytes, expected at most 268,435,456"):
        read(file, model)
    monkeypatch.setattr("fxsim.traces.waves.find_spec", lambda _: None)
    with pytest.raises(ToolError, match="the extra 'traces' is not installed"):
        read(file, model)


TESTBENCH = """
`timescale 1ns / 1ps
module tb;
    reg clk = 0, valid = 0, ready = 0;
    reg [31:0] out;
    reg [7:0] values [0:15];
    integer i;
    always #5 clk = !clk;
    initial begin
        $dumpfile("FILE");
        $dumpvars(0, tb);
        $readmemh("values.hex", values);
        @(posedge clk);
        for (i = 0; i < 16; i = i + 4) begin
            valid <= 1;
            ready <= 0;
            out <= {values[i+3], values[i+2], values[i+1], values[i]};
            @(posedge clk);
            ready <= 1;
            @(posedge clk);
        end
        valid <= 0;
        @(posedge clk);
        @(posedge clk);
        $finish;
    end
endmodule
"""

LANES = 'clock="tb.clk"\n[[tap]]\nname="positive"\nsignal="tb.out"\nlanes=4\nvalid="tb.valid"\nready="tb.ready"\n'


def write_sources(folder: Path, x: Array, wave: str) -> None:
    """The testbench and the values that it sends."""
    (folder / "tb.v").write_text(TESTBENCH.replace("FILE", wave))
    values = np.maximum(x, 0).reshape(-1)
    (folder / "values.hex").write_text("".join(f"{int(v):02x}\n" for v in values))


@pytest.mark.icarus
def test_waves_of_icarus(model: Model, x: Array, tmp_path: Path) -> None:
    """VCD and FST of Icarus Verilog give the values that a testbench sent, four a word, each in its second cycle."""
    write_sources(tmp_path, x, "t.vcd")
    subprocess.run(["iverilog", "-g2005", "-o", "t.vvp", "tb.v"], cwd=tmp_path, check=True)
    subprocess.run(["vvp", "-n", "t.vvp"], cwd=tmp_path, check=True, capture_output=True)
    assert agree(read(tmp_path / "t.vcd", model, LANES), model, x)
    subprocess.run(["vvp", "-n", "t.vvp", "-fst"], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "t.vcd").rename(tmp_path / "t.fst")
    assert agree(read(tmp_path / "t.fst", model, LANES), model, x)
    assert list_signals(tmp_path / "t.fst")["tb.out"] == 32
    # Cut off, wherever it is: never a pass on the part that is left.
    whole = (tmp_path / "t.fst").read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 40):
        (tmp_path / "cut.fst").write_bytes(whole[:length])
        try:
            assert agree(read(tmp_path / "cut.fst", model, LANES), model, x)
        except FxsimError as error:
            assert "cut.fst" in str(error)  # noqa: PT017  # or else all values are there
        else:
            assert length == len(whole) - 1


@pytest.mark.verilator
@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["vcd", "fst"])
def test_waves_of_verilator(model: Model, x: Array, kind: str, tmp_path: Path) -> None:
    """VCD and FST of Verilator give the values that a testbench sent."""
    from fxsim.simulate.tools import find_toolchain

    write_sources(tmp_path, x, f"t.{kind}")
    trace = "--trace-fst" if kind == "fst" else "--trace"
    verilator = [
        str(find_toolchain("-O0").verilator),
        "--binary",
        "--timing",
        "-Wno-fatal",
        trace,
        "-CFLAGS",
        "-O0 -fcoroutines",
        "tb.v",
    ]
    subprocess.run(verilator, cwd=tmp_path, check=True, capture_output=True)
    subprocess.run([str(tmp_path / "obj_dir" / "Vtb")], cwd=tmp_path, check=True, capture_output=True)
    assert agree(read(tmp_path / f"t.{kind}", model, LANES), model, x)


@pytest.mark.slow
def test_waves_of_ghdl(model: Model, tmp_path: Path) -> None:
    """A GHW of GHDL, that lies in `tests/files`, gives the values that its testbench sent; L and H are 0 and 1."""
    file = tmp_path / "t.ghw"
    shutil.copy(Path(__file__).parent / "files" / "stream.ghw", file)
    x = np.array([[[-2, 3, 5, 7], [11, 127, 0, 1]]], np.int8)
    assert agree(read(file, model, MAP.replace("tb.out", "tb.data"), images=1), model, x)
    assert list_signals(file) == {"tb.clk": 1, "tb.valid": 1, "tb.ready": 1, "tb.data": 8, "tb.done": 1}


@pytest.mark.slow
def test_reading_takes_no_more_memory_for_a_longer_wave(
    model: Model, x: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A VCD of 256 MiB is read by a process that may allocate 128 MiB: a stream. What needs more is one line."""
    file = tmp_path / "t.vcd"
    text = vcd(stream(np.maximum(x, 0)), "clk:1 valid:1 ready:1 out:8 wide:65536")
    change = "b" + "10" * 32768 + " %\n"
    with file.open("w") as out:
        out.writelines([text, *(f"#{1000 + i}\n{change}" for i in range((256 << 20) // len(change)))])
    monkeypatch.setattr("fxsim.traces.waves.MEMORY_BYTES_MAX", 128 << 20)
    assert agree(read(file, model), model, x)
    monkeypatch.setattr("fxsim.traces.waves.MEMORY_BYTES_MAX", 1 << 20)
    with pytest.raises(FxsimError, match=r"t\.vcd: .* more than 1,048,576 bytes of memory"):
        read(file, model)
