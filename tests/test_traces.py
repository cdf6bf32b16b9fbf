"""Traces of other tools: arrays, text, tables, maps, and `fxsim compare`; values are made by plain numpy."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from fxsim.cli import main
from fxsim.compare import ComputedSource, FourState, compare, model_taps
from fxsim.errors import ComparisonError, FileError, FxsimError
from fxsim.formats import save
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Relu
from fxsim.traces import Trace, TraceMap, check_input, map_text, read_map, read_trace
from tests.conftest import SEED

Array = npt.NDArray[Any]

IMAGES, TOKENS, CHANNELS = 3, 2, 6


@pytest.fixture
def model() -> Model:
    """Twice the input, saturated, and what of it is positive."""
    nodes = (Node("sum", Add(), (INPUT, INPUT)), Node("positive", Relu(), ("sum",)))
    return Model(Graph((TOKENS, CHANNELS), nodes), "toy")


@pytest.fixture
def x() -> Array:
    """Images, the first values of which are known."""
    drawn = np.random.default_rng(SEED).integers(-128, 128, (IMAGES, TOKENS, CHANNELS)).astype(np.int8)
    drawn[0, 0] = [-128, -1, 0, 1, 63, 127]
    return drawn


def expected(x: Array) -> dict[str, Array]:
    """The taps' values, by numpy alone."""
    total = np.clip(2 * x.astype(int), -128, 127).astype(np.int8)
    return {"sum": total, "positive": np.maximum(total, 0)}


def agree(trace: Trace, model: Model, x: Array, taps: tuple[str, ...]) -> bool:
    """Whether a trace has the values of those taps, and of no others."""
    assert trace.taps == taps
    source = ComputedSource("numpy", tuple(model.graph.taps), x, lambda part, _: expected(part))
    return compare(source, trace, model_taps(model, taps)).equal


def write_map(path: Path, text: str, model: Model) -> TraceMap:
    """A map, through its file."""
    path.write_text(text)
    return read_map(path, model)


# --- arrays ---


def test_arrays_are_read_by_the_taps_names(model: Model, x: Array, tmp_path: Path) -> None:
    """An .npz has every tap by its name, in whatever integer type; what else it has is named."""
    values = expected(x)
    np.savez(tmp_path / "t.npz", sum=values["sum"], positive=values["positive"].astype(np.uint8), other=np.zeros(3))
    trace = read_trace(tmp_path / "t.npz", model, IMAGES)
    assert trace.unused == ("other",)
    assert trace.dtype("positive") == np.uint8
    np.testing.assert_array_equal(trace.arrays["sum"], values["sum"])
    np.testing.assert_array_equal(trace.arrays["positive"], values["positive"])
    np.save(tmp_path / "sum.npy", values["sum"])
    assert agree(read_trace(tmp_path / "sum.npy", model, IMAGES), model, x, ("sum",))


@pytest.mark.parametrize("order", [["channel", "token"], ["channel", "image", "token"], ["token", "channel", "image"]])
def test_another_order_is_what_the_map_says(model: Model, x: Array, order: list[str], tmp_path: Path) -> None:
    """Axes in any order, the images among them or slowest, are put into the tap's own."""
    axes = ["image", "token", "channel"]
    stored = order if "image" in order else ["image", *order]
    turned = expected(x)["sum"].transpose([axes.index(axis) for axis in stored])
    np.savez(tmp_path / "t.npz", mine=np.ascontiguousarray(turned).reshape(-1))
    content = write_map(tmp_path / "m.toml", f'[[tap]]\nname="sum"\nsignal="mine"\norder={order}\n', model)
    assert agree(read_trace(tmp_path / "t.npz", model, IMAGES, content), model, x, ("sum",))


def test_packed_words_and_a_first_sample(model: Model, x: Array, tmp_path: Path) -> None:
    """Lanes are taken out of words, the lowest or the highest first, after samples that are passed over."""
    codes = expected(x)["sum"].view(np.uint8).reshape(-1, 3).astype(np.uint32)
    for name, places in (("low-first", (0, 8, 16)), ("high-first", (16, 8, 0))):
        words = sum(codes[:, lane] << place for lane, place in enumerate(places))
        np.save(tmp_path / "sum.npy", np.concatenate([np.uint32([7, 8]), words]).astype(np.uint32))
        text = f'[[tap]]\nname="sum"\nlanes=3\nfirst=2\nlane_order="{name}"\n'
        content = write_map(tmp_path / "m.toml", text, model)
        assert agree(read_trace(tmp_path / "sum.npy", model, IMAGES, content), model, x, ("sum",))


def test_codes_become_numbers_of_the_stated_sign(model: Model, x: Array, tmp_path: Path) -> None:
    """Unsigned codes are read as two's complement where the map says so, and differ where it does not."""
    np.save(tmp_path / "sum.npy", expected(x)["sum"].view(np.uint8))
    content = write_map(tmp_path / "m.toml", '[[tap]]\nname="sum"\nsigned=true\n', model)
    assert agree(read_trace(tmp_path / "sum.npy", model, IMAGES, content), model, x, ("sum",))
    plain = read_trace(tmp_path / "sum.npy", model, IMAGES)
    assert plain.dtype("sum") == np.uint8


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((IMAGES - 1, TOKENS, CHANNELS), np.int8), "has 2 images, fewer than the 3 of the input"),
        (np.zeros((IMAGES + 1, TOKENS, CHANNELS), np.int8), "has 4 images, more than the 3 of the input"),
        (np.zeros((IMAGES, CHANNELS, TOKENS), np.int8), r"shape \(3, 6, 2\), expected \(3, 2, 6\)"),
        (np.zeros(35, np.int8), "has 35 values, expected 36 .* cut off in image 2"),
        (np.zeros(37, np.int8), "has 37 values, expected 36 .* goes on to image 3"),
        (np.full((IMAGES, TOKENS, CHANNELS), 0.5), r"value \[0, 0, 0\] is 0.5, expected a whole number"),
        (np.full((IMAGES, TOKENS, CHANNELS), np.nan), "is nan, expected a whole number"),
        (np.full((IMAGES, TOKENS, CHANNELS), 1 << 40), "expected a whole number of at most 32 bits"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(model: Model, values: Array, message: str, tmp_path: Path) -> None:
    """More or fewer images, another shape, and what is no number: one line with file, place and what was expected."""
    np.savez(tmp_path / "t.npz", sum=values)
    with pytest.raises(FxsimError, match=rf"t\.npz: array 'sum': .*{message}") as caught:
        read_trace(tmp_path / "t.npz", model, IMAGES)
    assert "\n" not in str(caught.value)


def test_an_input_of_other_images_is_noticed(model: Model, x: Array, tmp_path: Path) -> None:
    """A trace that has its own input must have that of the images given."""
    np.savez(tmp_path / "t.npz", sum=expected(x)["sum"], input=x)
    trace = read_trace(tmp_path / "t.npz", model, IMAGES)
    assert check_input(trace, x).taps == ("sum",)
    other = x.copy()
    other[1, 0, 0] ^= 1
    with pytest.raises(ComparisonError, match=r"its own input differs .* image 1"):
        check_input(trace, other)


# --- text ---


def lines(values: Array, form: str) -> str:
    """Values one a line."""
    return "".join(f"{int(v) & 0xFF:02x}\n" if form == "hex" else f"{int(v)}\n" for v in values.reshape(-1))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("sum.hex", lambda v: lines(v, "hex")),
        ("sum.mem", lambda v: "// 0x00000000\n@0\n" + lines(v, "hex").upper() + "/* the\nend */\n"),
        ("sum.dat", lambda v: lines(v, "dat")),
        ("sum.dat", lambda v: ", ".join(map(str, v.reshape(-1).tolist()))),
        ("sum.txt", lambda v: "".join(f"0x{int(n) & 255:x} # {n}\n" for n in v.reshape(-1))),
        ("sum.memb", lambda v: "".join(f"{int(n) & 255:08b}\n" for n in v.reshape(-1))),
        (
            "sum.dat",
            lambda v: (
                "[[[runtime]]]\n"
                + "".join(f"[[transaction]] {i}\n{lines(one, 'dat')}[[/transaction]]\n" for i, one in enumerate(v))
                + "[[[/runtime]]]\n"
            ),
        ),
        (
            "sum.coe",
            lambda v: (
                "; mine\nmemory_initialization_radix=16;\nmemory_initialization_vector=\n"
                + ",\n".join(lines(v, "hex").split())
                + ";\n"
            ),
        ),
    ],
)
def test_text_is_read(model: Model, x: Array, name: str, text: Callable[[Array], str], tmp_path: Path) -> None:
    """Hexadecimal, binary, decimal, HLS's transactions and Xilinx's .coe give the values that were written."""
    (tmp_path / name).write_text(text(expected(x)["sum"]))
    assert agree(read_trace(tmp_path / name, model, IMAGES), model, x, ("sum",))


def test_packed_hexadecimal_words(model: Model, x: Array, tmp_path: Path) -> None:
    """Several values a word, as `$writememh` writes a wide memory."""
    codes = expected(x)["sum"].view(np.uint8).reshape(-1, 4)
    (tmp_path / "wide.hex").write_text("".join(f"{int.from_bytes(row.tobytes(), 'little'):08x}\n" for row in codes))
    content = write_map(tmp_path / "m.toml", '[[tap]]\nname="sum"\nlanes=4\n', model)
    assert agree(read_trace(tmp_path / "wide.hex", model, IMAGES, content), model, x, ("sum",))


def test_unknown_digits_are_differences(model: Model, x: Array, tmp_path: Path) -> None:
    """X and Z are differences whatever is expected, and shown as such; all others are still compared."""
    words = lines(expected(x)["sum"], "hex").split()
    words[3], words[7], words[20] = "xx", "zz", f"x{words[20][1]}"
    (tmp_path / "sum.hex").write_text("\n".join(words))
    trace = read_trace(tmp_path / "sum.hex", model, IMAGES)
    source = ComputedSource("numpy", tuple(model.graph.taps), x, lambda part, _: expected(part))
    (tap,) = compare(source, trace, model_taps(model, ["sum"]), examples=9).taps
    low = f"{int(expected(x)['sum'].reshape(-1)[20]) & 15:04b}"
    assert (tap.compared, tap.differ, tap.largest) == (36, 3, None)
    assert [difference.got for difference in tap.examples] == ["x", "z", f"xxxx{low}"]
    assert [difference.index["channel"] for difference in tap.examples] == [3, 1, 2]
    with pytest.raises(ComparisonError, match=r"has unknown values .* expected known ones"):
        compare(trace, source, model_taps(model, ["sum"]))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("sum.hex", "00\n0g\n", "line 2: '0g' is no hexadecimal number"),
        ("sum.hex", "00\n1ff\n", "line 2: '1ff' does not fit in 8 bits"),
        ("sum.dat", "0\n-129\n", "line 2: '-129' does not fit in 8 bits"),
        ("sum.dat", "0\n1.5\n", "line 2: '1.5' is no decimal number"),
        ("sum.hex", "@0\n00\n@5\n00\n", "line 3: address 0x5 leaves a hole or goes back, expected 0x1"),
        ("sum.hex", "00\n/* no end\n", "a comment has no end"),
        ("sum.dat", "[[[runtime]]]\n[[transaction]] 0\n0\n", "has no end: the file is cut off"),
        ("sum.coe", "memory_initialization_radix=16;\nmemory_initialization_vector=\n00,\n", "has no ';'"),
        ("sum.coe", "00,\n", "begins with no memory_initialization_radix"),
        ("sum.hex", "00\n" * 30, "has 30 values, expected 36 .* cut off in image 2"),
        ("sum.hex", "00\n" * 40, "has 37 values, expected 36 .* goes on to image 3"),
        ("sum.hex", "", "has 0 values, expected 36 "),
        ("sum.wav", "", "is of no kind that is read"),
        ("gone.hex", None, "there is no such file|not called after a tap"),
    ],
)
def test_bad_text_is_refused(model: Model, name: str, text: str | None, message: str, tmp_path: Path) -> None:
    """Damaged and cut off text is one line with the place and what was expected."""
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(FxsimError, match=message):
        read_trace(tmp_path / name, model, IMAGES)


def test_a_folder_of_vectors_is_a_trace(model: Model, x: Array, tmp_path: Path) -> None:
    """What `fxsim vectors` writes, in any format, reads back as a trace."""
    from fxsim.vectors import FORMATS, write_vectors

    for data_format in FORMATS:
        write_vectors(model, x, tmp_path / data_format, "all", data_format, engine="reference")
        trace = read_trace(tmp_path / data_format, model, IMAGES)
        assert agree(trace, model, x, ("sum", "positive"))
        assert "manifest.json" in trace.unused


# --- maps ---


def test_maps_survive_their_file(model: Model, tmp_path: Path) -> None:
    """A map that is written is the map that is read."""
    text = (
        'clock="tb.clk"\nedge="falling"\n[[tap]]\nname="sum"\nsignal=["a","b[3:0]"]\nlanes=2\nwidth=4\nsigned=false\n'
        'lane_order="high-first"\norder=["channel","token"]\nfirst=3\ncount=9\nvalid="v"\nready="r"\nradix=16\n'
    )
    content = write_map(tmp_path / "m.toml", text, model)
    assert content.tap[0].signals == ("a", "b[3:0]")
    assert write_map(tmp_path / "n.toml", map_text(content, "two\nlines"), model) == content


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a map of a trace.*tap"),
        ('[[tap]]\nname="sum"\nlane=4\n', r"unknown field `lane`.*\$\.tap\[0\]"),
        ('[[tap]]\nname="none"\n', r"tap\[0\] 'none': model 'toy' has no such tap; it has: sum, positive"),
        ('[[tap]]\nname="sum"\n[[tap]]\nname="sum"\n', r"tap\[1\] 'sum': stands twice"),
        ('[[tap]]\nname="sum"\norder=["token"]\n', "order is .* expected the axes"),
        ('[[tap]]\nname="sum"\norder=["token","channel","token"]\n', "order is"),
        ('[[tap]]\nname="sum"\nready="r"\n', "has ready and no valid"),
        ('[[tap]]\nname="sum"\nwidth=33\n', r"<= 32.*\$\.tap\[0\]\.width"),
        ('edge="both"\n[[tap]]\nname="sum"\n', r"'both'.*\$\.edge"),
    ],
)
def test_bad_maps_are_refused(model: Model, text: str, message: str, tmp_path: Path) -> None:
    """A map with unknown keys, taps or axes is one line that names the place."""
    with pytest.raises(FileError, match=message):
        write_map(tmp_path / "m.toml", text, model)


def test_a_map_stays_inside_its_folder(model: Model, tmp_path: Path) -> None:
    """A map of a folder names no file outside of it."""
    for name in ("../x.hex", "/elsewhere/x.hex"):
        content = write_map(tmp_path / "m.toml", f'[[tap]]\nname="sum"\nsignal="{name}"\n', model)
        with pytest.raises(FileError, match="expected a file inside the folder"):
            read_trace(tmp_path, model, IMAGES, content)


# --- tables ---


def table(x: Array, head: str, row: Callable[[int, int], str]) -> str:
    """A table with a row for each value of `sum`."""
    return head + "".join(row(i, int(v)) for i, v in enumerate(expected(x)["sum"].reshape(-1)))


VIVADO = (
    "Sample in Buffer,Sample in Window,TRIGGER,dut/out[7:0],dut/valid\nRadix - UNSIGNED,UNSIGNED,UNSIGNED,HEX,HEX\n"
)
QUARTUS = "Signal Tap: mine\nDate, today\n\nData:\ntime unit: s,out[7..0],valid\n"


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (
            lambda x: table(x, VIVADO, lambda i, v: f"{2 * i},0,0,ee,0\n{2 * i + 1},0,0,{v & 255:02x},1\n"),
            '[[tap]]\nname="sum"\nsignal="dut/out"\nvalid="dut/valid"\n',
        ),
        (
            lambda x: table(x, VIVADO.replace("HEX,HEX", "SIGNED,HEX"), lambda i, v: f"{i},0,0,{v},1\n"),
            '[[tap]]\nname="sum"\nsignal="dut/out[7:0]"\nvalid="dut/valid"\n',
        ),
        (
            lambda x: table(x, QUARTUS, lambda i, v: f"{i}, {v & 255:02X}h, 1\n{i}.5, XXh, 0\n"),
            '[[tap]]\nname="sum"\nsignal="out"\nvalid="valid"\n',
        ),
        (
            lambda x: table(
                x,
                "; libsigrok\nTime,CLK," + ",".join(f"D{i}" for i in range(8)) + "\n",
                # The values change with the falling edge; just before the rising one they are there.
                lambda _, v: "".join(f"0,{c}," + ",".join(str(v >> i & 1) for i in range(8)) + "\n" for c in (0, 0, 1)),
            ),
            'clock="CLK"\n[[tap]]\nname="sum"\nsignal=["D0","D1","D2","D3","D4","D5","D6","D7"]\n',
        ),
    ],
    ids=["vivado", "signed", "quartus", "sigrok"],
)
def test_tables_of_logic_analysers(
    model: Model, x: Array, text: Callable[[Array], str], content: str, tmp_path: Path
) -> None:
    """Vivado's radixes, Quartus's preamble and suffixes, sigrok's single bits at a clock: all give the values."""
    (tmp_path / "t.csv").write_text(text(x))
    found = read_trace(tmp_path / "t.csv", model, IMAGES, write_map(tmp_path / "m.toml", content, model))
    assert agree(found, model, x, ("sum",))


@pytest.mark.parametrize(
    ("text", "more", "message"),
    [
        ("out,valid\n1,1\n", "", "has 1 values, expected 36 .* cut off in image 0"),
        ("out,valid\n1\n", "", "line 2: has 1 columns, expected 2"),
        ("out\n1\n", "", "no row of names has column 'valid'"),
        ("out,valid\nhello,1\n", "", "line 2: 'out': is 'hello', expected a number of radix 10"),
        ("out,valid\n300,1\n", "", "line 2: 'out': is 300, expected what 8 bits can hold"),
        ("out,valid\n1,1\n1,x\n", "", "'valid' is unknown .X or Z. in line 3"),
        ("out,valid,clk\n1,1,0\n1,1,0\n", 'clock="clk"\n', "clock 'clk' has no rising edge"),
        ('out,valid\n"1,1\n', "", "is no row of a table"),
    ],
)
def test_bad_tables_are_refused(model: Model, text: str, more: str, message: str, tmp_path: Path) -> None:
    """A table that is cut off, of other columns or of another clock is one line with the place."""
    (tmp_path / "t.csv").write_text(text)
    content = write_map(tmp_path / "m.toml", f'{more}[[tap]]\nname="sum"\nsignal="out"\nvalid="valid"\n', model)
    with pytest.raises(FxsimError, match=message):
        read_trace(tmp_path / "t.csv", model, IMAGES, content)


# --- the command ---


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str


@pytest.fixture
def fxsim(capfd: pytest.CaptureFixture[str]) -> Callable[..., Done]:
    """Runs the command line in this process."""

    def run(*args: str | Path) -> Done:
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(arg) for arg in args])
        return Done(caught.value.code, *capfd.readouterr())

    return run


def test_compare_command(fxsim: Callable[..., Done], model: Model, x: Array, tmp_path: Path) -> None:
    """`fxsim compare` passes on equal values, and says the first difference of every tap where there are some."""
    save(model, tmp_path / "m.safetensors")
    values = expected(x)
    np.savez(tmp_path / "good.npz", input=x, **values)
    arguments = ("compare", tmp_path / "m.safetensors", "--input", tmp_path / "good.npz", "--against", "reference")
    done = fxsim(*arguments, "--trace", tmp_path / "good.npz")
    assert (done.status, done.err) == (0, "")
    assert "PASSED: 72 values of 2 of 2 taps equal" in done.out
    wrong = values["sum"].astype(np.int32)
    wrong[2, 1, 4] = 1000
    np.savez(tmp_path / "bad.npz", sum=wrong)
    done = fxsim(*arguments, "--trace", tmp_path / "bad.npz", "--json")
    found = msgspec.json.decode(done.out)
    assert done.status == 1
    want = int(values["sum"][2, 1, 4])
    assert found["reason"] == f"image 2, tap sum, token 1, channel 4: expected {want}, got 1000"
    assert (found["passed"], found["differ"], found["compared"]) == (False, 1, 36)
    assert found["not_compared"] == ["positive"]
    done = fxsim(*arguments, "--trace", tmp_path / "bad.npz", "--taps", "positive")
    assert (done.status, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert "bad.npz" in done.err
    assert "'positive'" in done.err
    done = fxsim(*arguments[:-2], "--trace", "loops", "--against", tmp_path / "bad.npz")
    assert (done.status, "expected 1000" in done.out) == (1, True)


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (("--trace", "device:none"), 1, "there is no accelerator 'none'"),
        (("--trace", "reference", "--map", "m.toml"), 2, "--map is for a trace"),
        (("--trace", "reference", "--against", "reference"), 1, "cannot be compared with itself"),
        (("--trace", "none.npz"), 1, "none.npz"),
        ((), 2, "--trace"),
    ],
)
def test_compare_command_refuses(
    fxsim: Callable[..., Done],
    model: Model,
    x: Array,
    options: tuple[str, ...],
    status: int,
    message: str,
    tmp_path: Path,
) -> None:
    """Sources that are none, one compared with itself, and maps of what is no trace are refused."""
    save(model, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", x)
    done = fxsim("compare", tmp_path / "m.safetensors", "--input", tmp_path / "x.npy", *options)
    assert (done.status, message in done.err) == (status, True)


def test_published_trace(fxsim: Callable[..., Done], published: Path, tmp_path: Path) -> None:
    """The published trace differs from block 0's tables on, as documented; embedding and first mixer are equal."""
    folder = published / "stream_psa_h96"
    assert fxsim("import", folder, "-o", tmp_path / "m.safetensors").status == 0
    trace = folder / "csim_trace.npz"
    done = fxsim("compare", tmp_path / "m.safetensors", "--input", trace, "--trace", trace, "--json")
    taps = {tap["tap"]: tap for tap in msgspec.json.decode(done.out)["taps"]}
    assert done.status == 1
    assert [name for name, tap in taps.items() if not tap["differ"]] == ["embed", "blocks.0.token_mixer.add"]
    assert (taps["blocks.0.mlp.add"]["largest"], taps["classifier"]["largest"]) == (38, 14)
    assert sum(tap["compared"] for tap in taps.values()) == 443_216


def test_four_state_text() -> None:
    """Bits as VPI codes them: 0, 1, Z and X, most significant first; one letter where all are unknown alike."""
    values, unknown = np.array([0b0101, 0b1111, 0b0000, -1], np.int8), np.array([0b0011, 0b1111, 0b1111, 1], np.uint32)
    states = FourState(values, unknown, 4)
    assert [states.text((i,)) for i in range(4)] == ["01zx", "x", "z", "111x"]
