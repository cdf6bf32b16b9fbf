"""`fxsim dut`: a description is held against a model, and everything that does not fit is said at once."""

import json
import re
import runpy
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.cosim import command as simulation
from fxsim.cli.dut import command
from fxsim.cosim import cosim
from fxsim.errors import FileError, FxsimError
from fxsim.formats import load, save
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Linear, Relu

AWKWARD = Path(__file__).parent / "rtl" / "awkward"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a linear of four channels and a ReLU, over three tokens of six values."""
    random = np.random.default_rng(3)
    weight = random.integers(-128, 128, (4, 6)).astype(np.int8)
    linear = Linear(weight, np.zeros(4, np.int8), np.full(4, 8, np.uint8))
    nodes = (Node("fc", linear, (INPUT,)), Node("act", Relu(), ("fc",)))
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    save(Model(Graph((3, 6), nodes), "tiny"), path)
    return path


def design(folder: Path, edits: Mapping[str, str] | None = None) -> Path:
    """A copy of the awkward design, words of its description replaced by others; returns the description."""
    shutil.copytree(AWKWARD, folder)
    path = folder / "awkward.toml"
    text = path.read_text()
    for old, new in (edits or {}).items():
        assert old in text
        text = text.replace(old, new, 1)
    path.write_text(text)
    return path


def call(*words: str | Path) -> tuple[int, str]:
    """Exit status and standard output of `fxsim dut`."""
    result = CliRunner().invoke(command, [str(word) for word in words])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables break no line."""
    monkeypatch.setenv("COLUMNS", "250")


# --- check ---


def test_memory_files_that_a_parameter_names_are_those_of_its_value(model: Path, tmp_path: Path) -> None:
    """As the design is elaborated: a note of `check` where nobody writes one, a [[memory]] in a first description."""
    path = design(tmp_path / "d")
    top = tmp_path / "d" / "awkward.sv"
    by_name = top.read_text().replace('$readmemh("b.hex", biases)', "$readmemh(FILE, biases)")
    assert "FILE" in by_name
    parameter = '  parameter FILE = "b.hex";\n  logic [8*INPUTS-1:0] weights'
    top.write_text(by_name.replace("  logic [8*INPUTS-1:0] weights", parameter))
    read = "awkward reads the file that 'FILE' names into 'biases'"
    _, out = call("check", path, model, "--json")
    assert json.loads(out)["notes"] == []  # a [[memory]] writes b.hex
    named = top.read_text()
    top.write_text(named.replace('FILE = "b.hex"', 'FILE = {"c", ".hex"}'))
    _, out = call("check", path, model, "--json")
    assert json.loads(out)["notes"] == [f"{read}, 'c.hex', which no [[memory]] writes and 'files' does not list"]
    sources = [path.parent / name for name in SOURCES]
    status, _ = call("init", "--top", "awkward", *sources, "--model", model, "-o", tmp_path / "d" / "new.toml")
    assert status == 0
    text = (tmp_path / "d" / "new.toml").read_text()
    lines = text[text.index("# awkward reads it into 'biases', as 'FILE' names it") :].splitlines()
    assert lines[1:3] == ["[[memory]]", 'file = "c.hex"']
    assert "one of fc.bias" in lines[3]


def test_memories_of_instances_have_their_own_sizes(tmp_path: Path) -> None:
    """Where a module reads files by parameters, each instance's memory is as long as that instance makes it."""
    one, two = np.ones((4, 6), np.int8), np.ones((3, 4), np.int8)
    nodes = [
        Node("a", Linear(one, one[:, 0], one[:, 0].astype(np.uint8)), ("input",)),
        Node("b", Linear(two, two[:, 0], two[:, 0].astype(np.uint8)), ("a",)),
    ]
    save(Model(Graph((1, 6), nodes), "two"), tmp_path / "two.safetensors")
    (tmp_path / "top.v").write_text(
        """module part #(parameter N = 1, parameter W = "w.hex") (input clk, input [7:0] at, output reg [7:0] y);
  reg [7:0] w[0:N-1];
  initial $readmemh(W, w);
  always @(posedge clk) y <= w[at];
endmodule
module top (input clk, input [7:0] x_tdata, input x_tvalid, output [7:0] y_tdata, output y_tvalid);
  wire [7:0] h;
  part #(.N(24), .W("one.hex")) first (.clk(clk), .at(x_tdata), .y(h));
  part #(.N(12), .W("two.hex")) second (.clk(clk), .at(h), .y(y_tdata));
  assign y_tvalid = x_tvalid;
endmodule
"""
    )
    path = tmp_path / "new.toml"
    call("init", "--top", "top", tmp_path / "top.v", "--model", tmp_path / "two.safetensors", "-o", path)
    text = path.read_text()
    for instance, size, file, tensor in (("first", 24, "one.hex", "a.weight"), ("second", 12, "two.hex", "b.weight")):
        said = f"# top.{instance} reads it into 'w', as 'W' names it, {size} words of 8 bits"
        lines = text[text.index(said) :].splitlines()
        assert lines[1:4] == ["[[memory]]", f'file = "{file}"', f'tensor = "{tensor}"  # the only one of this size']


def test_description_that_fits_is_a_table_of_what_will_be_compared(model: Path, tmp_path: Path) -> None:
    """Streams with lanes and beats, taps, memory files with words, and what nobody looks at."""
    path = design(tmp_path / "d")
    status, out = call("check", path, model, "--json")
    assert status == 0
    found = json.loads(out)
    assert found["fits"]
    assert found["problems"] == found["notes"] == found["unprobed"] == []
    assert [(s["role"], s["name"], s["data"], s["lanes"], s["beats"], s["values"]) for s in found["streams"]] == [
        ("input", "input", "in_pair", 2, 9, 18), ("output", "act", "out_vec", 4, 3, 12)
    ]  # fmt: skip
    assert [(t["name"], t["lanes"], t["beats"], t["order"]) for t in found["taps"]] == [
        ("fc", 4, 3, ["-token", "channel"])
    ]
    assert [(m["file"], m["words"], m["digits"]) for m in found["memories"]] == [
        ("w.hex", 4, 12), ("b.hex", 4, 2), ("s.hex", 4, 2)
    ]  # fmt: skip
    assert found["parameters"] == {"OUTPUTS": 4}
    status, out = call("check", path, model)
    assert status == 0
    assert "out_vec" in out
    assert "all is compared" in out


def test_no_name_is_broken_where_there_is_no_terminal(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An expression of over 80 letters stands on one line; 80 columns are kept where somebody asks for them."""
    path = design(tmp_path / "d")
    data = ",".join(f"g_out[{n}].u_neuron.q_o" for n in (3, 2, 1, 0))
    assert len(data) > 80
    monkeypatch.delenv("COLUMNS")
    assert data in call("check", path, model)[1]
    monkeypatch.setenv("COLUMNS", "80")
    assert max(map(len, call("check", path, model)[1].splitlines())) == 80


def test_what_is_not_shown_or_not_written_is_said(model: Path, tmp_path: Path) -> None:
    """A tap that is left out, and a memory file that the design reads and nobody writes."""
    path = design(tmp_path / "d", {'file = "b.hex"': 'file = "bias.hex"'})
    text = path.read_text()
    path.write_text(text[: text.index("[[tap]]")] + text[text.index("[[memory]]") :])
    status, out = call("check", path, model)
    assert status == 0
    assert "not compared, since the design shows no such tap: fc" in out
    assert "awkward.sv reads 'b.hex', which no [[memory]] writes" in out
    assert len([line for line in out.splitlines() if line.startswith("note")]) == 1


FAULTS = {
    '"clk_i"': ('"clk"', "clock: the design has no port 'clk'; the nearest that there is: 'clk_i'"),
    '"rst_ni"': ('"out_vld"', "reset: port 'out_vld' is an output, expected an input"),
    "lanes = 2": ("lanes = 3", "'in_pair' has 16 bits, expected 24 in one (3 lanes of int8)"),
    "mode_i = 1": ("mode_i = 2", "tie: 2 does not fit port 'mode_i' of 1 bits"),
    'valid = "out_vld"': ('valid = "out_vl"', "the design has no port 'out_vl'; the nearest that there is: 'out_vld'"),
    "{g_out[3].u_neuron": ("{g_out[3].u_neurn", "the nearest that does is 'u_neuron'"),
    'valid = "done"': ('valid = "beat"', "beat has 2 bits, expected 1"),
    'word = "row"': ('words = "row"', "memory 1 (w.hex): words: unknown key; the nearest that there is: 'word'"),
    '"fc.bias"': (
        '"fc.bios"',
        "the model has no array 'fc.bios', expected one of fc.bias, fc.shift, fc.weight",
    ),
}


def test_everything_that_does_not_fit_is_said_at_once(model: Path, tmp_path: Path) -> None:
    """Nine faults in one description are a line each, with its place; and so is each alone."""
    path = design(tmp_path / "d", {old: new for old, (new, _) in FAULTS.items()})
    status, out = call("check", path, model)
    assert status == 1
    *lines, last = out.splitlines()
    for _, words in FAULTS.values():
        assert sum(words in line for line in lines) == 1, words
    # What was meant by two of them is left without a driver.
    assert sum("nothing drives the input clk_i, rst_ni: " in line for line in lines) == 1
    assert len(lines) == len(FAULTS) + 1
    assert all(line.startswith(f"{path}: ") for line in lines)
    assert last == "10 things do not fit model 'tiny'"
    for n, (old, (new, words)) in enumerate(FAULTS.items()):
        status, out = call("check", design(tmp_path / f"d{n}", {old: new}), model)
        assert status == 1
        assert out.count("\n") == (3 if new in ('"clk"', '"out_vld"') else 2)
        assert words in out


@pytest.mark.parametrize(
    ("edits", "words"),
    [
        (
            {'"neuron.sv", "awkward.sv"': '"neurn.sv", "awkwrd.sv"', '"fc.channel"': '"fc.head"'},
            ["'neurn.sv' means no file", "'awkwrd.sv' means no file", "OUTPUTS is 'fc.head'"],
        ),
        (
            {"cycles = 3": "cycles = -3", "lanes = 2": "lans = 2", 'name = "fc"': 'nam = "fc"'},
            ["reset: cycles: Expected `int` >= 1",
             "stream 1 (input): lans: unknown key; the nearest that there is: 'lanes'",
             "'in_pair' has 16 bits, expected 8", "tap 1: nam: unknown key; the nearest that there is: 'name'",
             "tap 1: name: missing"],
        ),
        ({'order = ["-token", "channel"]': 'order = ["token"]'}, ["order is token, expected each of"]),
        ({'lane_order = "high"': 'lane_order = "hi"'},
         ["stream 1 (input): lane_order: is 'hi', expected one of low, high; the nearest that there is: 'high'"]),
        ({"tie = { mode_i = 1 }": "tie = {"}, ["is not a description of RTL"]),
        ({"tie = { mode_i = 1 }": ""}, ["nothing drives the input mode_i"]),
        ({'top = "awkward"': 'tops = "awkward"'}, ["tops: unknown key; the nearest", "top: missing"]),
        ({'role = "output"': 'role = "input"'}, ["streams are input and input, expected input and output"]),
    ],
)  # fmt: skip
def test_wrong_keys_and_missing_files_are_found_together(
    model: Path, tmp_path: Path, edits: dict[str, str], words: list[str]
) -> None:
    """What is left of a description is still looked at; nothing else is said."""
    status, out = call("check", design(tmp_path / "d", edits), model)
    assert status == 1
    lines = out.splitlines()[:-1]
    assert len(lines) == len(words), lines
    for word in words:
        assert sum(word in line for line in lines) == 1, (word, lines)


PATTERNS = {
    ".": "'.' means the folder", "./": "'./' means the folder", "**.sv": "'**.sv' has '**.sv', expected '*'",
    "***": "'***' has '***', expected '*'", "a/**b/*.sv": "has '**b', expected '*'", "**": "'**' means no file",
    "": "Expected `str` of length >= 1", "n" * 300: "'nnnnnnnnnn", "a\\u0000.sv": "has a control character",
    "a\\n.sv": "has a control character",
}  # fmt: skip
"""Patterns that mean nothing, as TOML has them, and what is said of each."""


@pytest.mark.parametrize(
    ("key", "pattern", "words"),
    [
        *((key, pattern, words) for key in ("sources", "files") for pattern, words in PATTERNS.items()),
        ("include", "n" * 300, "is no folder in"),
        ("include", "a\\u0000", "has a control character"),
    ],
)
def test_patterns_that_mean_nothing_are_one_line(
    model: Path, tmp_path: Path, key: str, pattern: str, words: str
) -> None:
    """A slip in a name or glob is said with the file, the key and what was expected."""
    new = f'sources = ["{pattern}", ' if key == "sources" else f'{key} = ["{pattern}"]\nsources = ['
    edits = {"sources = [": new}
    path = design(tmp_path / "d", edits)
    status, out = call("check", path, model)
    assert status == 1
    line = out.splitlines()[0]
    assert line.startswith(f"{path}: {key}")
    assert words in line
    with pytest.raises(FileError) as error:
        cosim(load(model), np.zeros((1, 3, 6), np.int8), accel="described", dut=str(path))
    assert "\n" not in str(error.value)
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("edits", "key"),
    [
        ({"tie =": 'command = ["python3", "-c", "\\u0000"]\ntie ='}, "command: "),
        ({'file = "w.hex"': 'file = "w\\u0000.hex"'}, "memory 1 (w\\x00.hex): file: "),
        ({"tie =": 'defines = { X = "\\u001b[1m" }\ntie ='}, "defines: "),
        ({'valid = "done"': 'valid = "done\\u0007"'}, "tap 1 (fc): valid: "),
        ({'"fc.channel"': '"fc.channel\\u007f"'}, "parameters: "),
        ({'data = "in_pair"': 'start = "fi\\nre", data = "in_pair"'}, "stream 1 (input): signals: start: "),
    ],
)  # fmt: skip
def test_control_characters_are_refused(model: Path, tmp_path: Path, edits: dict[str, str], key: str) -> None:
    """No text of a description holds them, by its place; expressions and words of a command may have several lines."""
    path = design(tmp_path / "d", edits)
    status, out = call("check", path, model)
    assert status == 1
    said = [line for line in out.splitlines() if "has a control character" in line]
    assert len(said) == 1
    assert said[0].startswith(f"{path}: {key}")
    with pytest.raises(FileError, match="has a control character"):
        cosim(load(model), np.zeros((1, 3, 6), np.int8), accel="described", dut=str(path))


def test_expressions_may_have_several_lines(model: Path, tmp_path: Path) -> None:
    """A line's end is a blank."""
    assert call("check", design(tmp_path / "d", {'valid = "done"': 'valid = "\\n\\tdone\\n"'}), model)[0] == 0


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ((".", "b.hex"), "memory '.': expected a name below the folder the simulator runs in"),
        (("a//w.hex", "b.hex"), "memory 'a//w.hex': expected a name below"),
        (("./w.hex", "b.hex"), "memory './w.hex': expected a name below"),
        (("a/", "b.hex"), "memory 'a/': expected a name below"),
        (("/w.hex", "b.hex"), "memory '/w.hex': expected a name below"),
        (("../w.hex", "b.hex"), "memory '../w.hex': expected a name below"),
        (("\u00e4" * 128, "b.hex"), "longer than 255 bytes"),
        (("w.hex", "w.hex/b"), "file 'w.hex/b' lies below 'w.hex', which is a file, too"),
        (("w.hex/a/b", "w.hex"), "file 'w.hex/a/b' lies below 'w.hex', which is a file, too"),
        (("neuron.sv/w", "b.hex"), "file 'neuron.sv/w' lies below 'neuron.sv', which is a file, too"),
    ],
)
def test_memory_files_that_cannot_be_written_do_not_fit(
    model: Path, tmp_path: Path, names: tuple[str, str], words: str
) -> None:
    """Names of memory files are looked at where a description is, not where the simulator begins."""
    edits = {f'file = "{old}"': f'file = "{new}"' for old, new in zip(("w.hex", "b.hex"), names, strict=True)}
    path = design(tmp_path / "d", edits)
    status, out = call("check", path, model)
    assert status == 1
    line = out.splitlines()[0]
    assert line.startswith(f"{path}: ")
    assert words in line


def test_memory_files_may_lie_in_folders(model: Path, tmp_path: Path) -> None:
    """Names of as many bytes as a file can have, and folders that several share, fit."""
    edits = {
        'file = "w.hex"': 'file = "a/b/w"',
        'file = "b.hex"': 'file = "a/b.hex"',
        'file = "s.hex"': f'file = "{"s" * 255}"',
    }
    assert call("check", design(tmp_path / "d", edits), model)[0] == 0


def test_errors_of_every_source_are_said(model: Path, tmp_path: Path) -> None:
    """Two files with an error each are two lines, with file and line."""
    path = design(tmp_path / "d")

    def edit(name: str, old: str, new: str) -> None:
        file = path.parent / name
        file.write_text(file.read_text().replace(old, new, 1))

    edit("neuron.sv", "sum = '0;", "sum = zero;")
    edit("awkward.sv", "fire <= 0;", "fir <= 0;")
    status, out = call("check", path, model)
    assert status == 1
    assert "neuron.sv, line 17: use of undeclared identifier 'zero'" in out
    assert "awkward.sv, line " in out
    assert "'fir'" in out


def test_missing_description_is_one_line(model: Path, tmp_path: Path) -> None:
    """A file that is not there."""
    status, out = call("check", tmp_path / "none.toml", model)
    assert status == 1
    assert "cannot be read" in out


def test_the_model_of_the_documentation_fits_its_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page shows is the program beside it; it makes the model that the example's description fits."""
    page = AWKWARD.parents[2] / "docs" / "bring-your-own-rtl.md"
    program = page.parent / "examples" / "tiny_model.py"
    shown = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    assert shown[0] == program.read_text().partition('"""\n\n')[2]
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(program))
    assert np.load("images.npy").shape == (8, 3, 6)
    status, out = call("check", design(tmp_path / "d"), Path("tiny.safetensors"))
    assert status == 0, out


@pytest.mark.parametrize("accel", ["stream", "simd"])
def test_another_accelerator_beside_a_description_is_refused(model: Path, tmp_path: Path, accel: str) -> None:
    """Which of them is meant nobody said; what to leave out is."""
    path = design(tmp_path / "d")
    result = CliRunner().invoke(simulation, [str(model), "x.npy", "--accel", accel, "--dut", str(path)])
    assert result.exit_code == 2
    assert "leave out --accel, or --accel described" in result.output


# --- init ---

SOURCES = ("awkward.sv", "mlp_pkg.sv", "neuron.sv")


def fresh(folder: Path, **files: str) -> Path:
    """A new folder with these files of Verilog, by name without suffix; without any, the awkward design's."""
    folder.mkdir()
    for name, text in files.items():
        (folder / f"{name}.v").write_text(text)
    for name in () if files else SOURCES:
        shutil.copy(AWKWARD / name, folder)
    return folder


def init(folder: Path, top: str, *words: str | Path) -> str:
    """The description that `dut init` writes for every file of a folder."""
    path = folder / "my.toml"
    status, out = call("init", "--top", top, *sorted(folder.glob("*.*v")), "-o", path, *words)
    assert status == 0, out
    return path.read_text()


CHOICES = (
    ("# mode_i: 1 bit (in)", "tie = { mode_i = 1 }"),
    ('# parameters = { OUTPUTS = "CHOOSE" }', 'parameters = { OUTPUTS = "fc.channel" }'),
    ('# lane_order = "high"', 'lane_order = "high"'),
    ('order = ["token", "channel"]  #', 'order = ["-token", "channel"]  #'),
    ('order = ["token", "channel"]  #', 'order = ["-token", "channel"]  #'),
    ('tensor = "CHOOSE"', 'tensor = "fc.bias"'),
    ('tensor = "CHOOSE"', 'tensor = "fc.shift"'),
    ('# first = "high"', 'first = "high"'),
)
"""Choices that a person makes in the first description of the awkward design."""


def test_first_description_has_what_names_and_sizes_say_and_leaves_the_rest_open(model: Path, tmp_path: Path) -> None:
    """Clock, reset and its level, both streams, the memory that fits alone; three choices are left, and said."""
    folder = fresh(tmp_path / "d")
    text = init(folder, "awkward", "--model", model)
    said = tomllib.loads(text)
    assert said["top"] == "awkward"
    assert said["sources"].index("mlp_pkg.sv") == 0  # Verilator takes a package before those that use it
    assert said["clock"] == "clk_i"
    assert said["reset"] == {"signal": "rst_ni", "active": "low"}
    assert [(s["role"], s["signals"], s["lanes"], s["order"]) for s in said["stream"]] == [
        ("input", {"data": "in_pair", "valid": "in_vld"}, 2, ["token", "channel"]),
        ("output", {"data": "out_vec", "valid": "out_vld"}, 4, ["token", "channel"]),
    ]
    assert [m["file"] for m in said["memory"]] == ["w.hex", "b.hex", "s.hex"]
    assert [m["tensor"] for m in said["memory"]] == ["fc.weight", "CHOOSE", "CHOOSE"]
    assert "fc.channel or act.channel of the model has this size" in text
    assert '# name = "fc"' in text
    status, out = call("check", folder / "my.toml", model)
    assert status == 1
    assert sorted(line.split("my.toml: ")[1][:71] for line in out.splitlines()[:-1]) == [
        "memory 'b.hex': choose an array, one of fc.weight, fc.bias, fc.shift",
        "memory 's.hex': choose an array, one of fc.weight, fc.bias, fc.shift",
        "nothing drives the input mode_i: expected a stream, or a value under 't",
    ]


@pytest.mark.parametrize(
    ("files", "tensors"),
    [
        (("weight", "bias", "shift"), ["fc.weight", "fc.bias", "fc.shift"]),
        (("fc_weight", "fc_bias", "fc_shift"), ["fc.weight", "fc.bias", "fc.shift"]),
        (("w", "b", "s"), ["fc.weight", "CHOOSE", "CHOOSE"]),
    ],
)
def test_memory_files_of_one_size_are_told_by_their_names(
    tmp_path: Path, files: tuple[str, str, str], tensors: list[str]
) -> None:
    """Of eight inputs, a word of eight bits is a value: eight weights of a bit, which hold none, are no row of it."""
    weight = np.full((4, 8), -100, np.int8)
    linear = Linear(weight, np.full(4, 9, np.int8), np.full(4, 8, np.uint8))
    save(Model(Graph((3, 8), (Node("fc", linear, (INPUT,)),)), "tiny"), tmp_path / "tiny.safetensors")
    arrays = "".join(f"reg [7:0] m{n} [0:{words - 1}];\n" for n, words in enumerate((32, 4, 4)))
    reads = "".join(f'$readmemh("{name}.hex", m{n});\n' for n, name in enumerate(files))
    ports = "input clk, input [63:0] x, input x_valid, output [31:0] y, output y_valid"
    verilog = f"module m ({ports});\n{arrays}initial begin\n{reads}end\nendmodule\n"
    text = init(fresh(tmp_path / "d", m=verilog), "m", "--model", tmp_path / "tiny.safetensors")
    expected = [{"file": f"{name}.hex", "tensor": tensor} for name, tensor in zip(files, tensors, strict=True)]
    assert tomllib.loads(text)["memory"] == expected
    assert text.count("# one of fc.bias, fc.shift\n") == tensors.count("CHOOSE")


def chosen(text: str) -> str:
    """The first description with every choice made."""
    for old, new in CHOICES:
        assert old in text
        text = text.replace(old, new, 1)
    return text


@pytest.mark.verilator
def test_choices_made_in_a_first_description_are_a_comparison(model: Path, tmp_path: Path) -> None:
    """What the command wrote, with the choices of a person, passes; with one of them wrong it does not."""
    folder = fresh(tmp_path / "d")
    path = folder / "my.toml"
    text = init(folder, "awkward", "--model", model)
    x = np.random.default_rng(4).integers(-128, 128, (3, 3, 6)).astype(np.int8)
    path.write_text(chosen(text))
    assert call("check", path, model)[0] == 0
    assert cosim(load(model), x, accel="described", dut=str(path), optimise="-O0").passed
    path.write_text(chosen(text).replace('first = "high"', 'first = "low"'))
    assert not cosim(load(model), x, accel="described", dut=str(path), optimise="-O0").passed


@pytest.mark.parametrize(
    ("inside", "valid", "ready"),
    [
        ("logic fc_valid, fc_ready", ["fc_valid"], ["fc_ready"]),
        ("logic fc_vld", ["fc_vld"], []),
        ("logic fc_ready", ["CHOOSE"], []),
        ("logic relu_valid", ["CHOOSE"], []),
        ("logic [1:0] fc_valid", ["CHOOSE"], []),
    ],
)
def test_first_description_proposes_the_handshake_beside_a_tap(
    model: Path, tmp_path: Path, inside: str, valid: list[str], ready: list[str]
) -> None:
    """Valid and ready of one bit that are called as the tap's data is; with them the tap is one that fits."""
    ports = "input logic clk, rst, x_valid, output logic x_ready, input logic [7:0] x_data"
    ports += ", output logic y_valid, input logic y_ready, output logic [7:0] y_data"
    signals = "logic [7:0] fc_data; assign y_valid = 1, x_ready = 1, y_data = fc_data, fc_data = x_data;"
    folder = fresh(tmp_path / "d", chain=f"module chain ({ports}); {inside}; {signals} endmodule\n")
    text = init(folder, "chain", "--model", model)
    start = text.index("# [[tap]]")
    lines = [line.removeprefix("# ") for line in text[start:].splitlines()]
    assert [line.split('"')[1] for line in lines if line.startswith("valid = ")] == valid
    assert [line.split('"')[1] for line in lines if line.startswith("ready = ")] == ready
    (folder / "my.toml").write_text(text[:start] + "\n".join(lines))
    status, out = call("check", folder / "my.toml", model)
    assert status == (valid == ["CHOOSE"]), out


INTERFACES = """
module many #(parameter DEPTH = 6) (
  input wire aclk, input wire aresetn,
  input wire [7:0] s_axis_tdata, input wire s_axis_tvalid, output wire s_axis_tready, input wire s_axis_tlast,
  output wire [7:0] res_data_o, output wire res_valid_o, input wire res_ready_i,
  input wire [5:0] s_axi_awaddr, input wire s_axi_awvalid, output wire s_axi_awready, input wire [31:0] s_axi_wdata,
  input wire s_axi_wvalid, output wire s_axi_wready, output wire s_axi_bvalid, input wire s_axi_bready,
  output wire [31:0] m_axi_araddr, output wire [7:0] m_axi_arlen, output wire m_axi_arvalid, input wire m_axi_arready,
  input wire [31:0] m_axi_rdata, input wire m_axi_rvalid, output wire m_axi_rready,
  output wire [9:0] wmem_addr, input wire [31:0] wmem_rdata, output wire wmem_en,
  input wire enable_debug
);
endmodule
"""


def test_interfaces_are_recognised_by_their_names(tmp_path: Path) -> None:
    """AXI4-Stream by its prefix, valid and ready by a common name, the other kinds named in comments."""
    text = init(fresh(tmp_path / "d", many=INTERFACES), "many")
    said = tomllib.loads(text)
    assert said["clock"] == "aclk"
    assert said["reset"] == {"signal": "aresetn", "active": "low"}
    assert said["stream"][0] == {"role": "input", "prefix": "s_axis", "lanes": 1}
    assert said["stream"][1] == {
        "role": "output", "lanes": 1,
        "signals": {"data": "res_data_o", "valid": "res_valid_o", "ready": "res_ready_i"},
    }  # fmt: skip
    assert "# looks like: AXI4-Lite slave s_axi (s_axi_awaddr, " in text
    assert "# looks like: AXI4 master m_axi (m_axi_araddr, " in text
    assert "# looks like: memory port wmem (wmem_addr, wmem_rdata, wmem_en)" in text
    assert "# parameter DEPTH is 6" in text
    assert "# enable_debug: 1 bit (in)" in text


AXI_JOBS = """
module jobs #(parameter WORDS = 3) (
  input wire clk, input wire rst_n, input wire start, output wire done, output wire busy,
  output wire [31:0] m_axi_araddr, output wire [7:0] m_axi_arlen, output wire m_axi_arvalid, input wire m_axi_arready,
  input wire [31:0] m_axi_rdata, input wire m_axi_rlast, input wire m_axi_rvalid, output wire m_axi_rready,
  output wire [31:0] m_axi_awaddr, output wire [7:0] m_axi_awlen, output wire m_axi_awvalid, input wire m_axi_awready,
  output wire [31:0] m_axi_wdata, output wire m_axi_wlast, output wire m_axi_wvalid, input wire m_axi_wready,
  input wire m_axi_bvalid, output wire m_axi_bready
);
endmodule
"""
RAM_JOBS = """
module jobs (
  input wire clk, input wire rst_n, input wire ap_start, output wire ap_done, output wire ap_idle,
  output wire [4:0] src_addr, output wire src_en, input wire [31:0] src_rdata,
  output wire [4:0] dst_addr, output wire [31:0] dst_wdata, output wire dst_we
);
endmodule
"""
REGISTER_JOBS = """
module jobs (
  input wire clk, input wire rst_n, output wire irq,
  input wire [5:0] s_axi_awaddr, input wire s_axi_awvalid, output wire s_axi_awready, input wire [31:0] s_axi_wdata,
  input wire s_axi_wvalid, output wire s_axi_wready, output wire s_axi_bvalid, input wire s_axi_bready,
  input wire [5:0] s_axi_araddr, input wire s_axi_arvalid, output wire s_axi_arready, output wire [31:0] s_axi_rdata,
  output wire s_axi_rvalid, input wire s_axi_rready,
  output wire [4:0] address0, output wire ce0, input wire [7:0] q0,
  output wire [4:0] wr_addr, output wire [7:0] wr_data, output wire wr_en
);
endmodule
"""


@pytest.mark.parametrize(
    ("verilog", "expected", "choices"),
    [
        (
            AXI_JOBS,
            {
                "control": {"start": "start", "done": "done", "busy": "busy"},
                "axi4": [{"name": "m_axi", "prefix": "m_axi"}],
                "region": [
                    {"role": "input", "memory": "m_axi", "base": "CHOOSE", "lanes": 4, "order": ["token", "channel"]},
                    {"role": "output", "memory": "m_axi", "base": "CHOOSE", "lanes": 4, "order": ["token", "channel"]},
                ],
            },
            {'base = "CHOOSE"': ["base = 0", "base = 64"]},
        ),
        (
            RAM_JOBS,
            {
                "control": {"start": "ap_start", "done": "ap_done"},
                "ram": [
                    {"name": "src", "address": "src_addr", "enable": "src_en", "read": "src_rdata"},
                    {"name": "dst", "address": "dst_addr", "write": "dst_wdata", "write_enable": "dst_we"},
                ],
                "region": [
                    {"role": "input", "memory": "src", "lanes": 4, "order": ["token", "channel"]},
                    {"role": "output", "memory": "dst", "lanes": 4, "order": ["token", "channel"]},
                ],
            },
            {},
        ),
        (
            REGISTER_JOBS,
            {
                "registers": {"prefix": "s_axi"},
                "run": [{"write": "CHOOSE", "value": 1}, {"wait": "irq"}],
                "ram": [
                    {"name": "ram0", "address": "address0", "enable": "ce0", "read": "q0"},
                    {"name": "wr", "address": "wr_addr", "write": "wr_data", "write_enable": "wr_en"},
                ],
                "region": [
                    {"role": "input", "memory": "ram0", "lanes": 1, "order": ["token", "channel"]},
                    {"role": "output", "memory": "wr", "lanes": 1, "order": ["token", "channel"]},
                ],
            },
            {'run = [{ write = "CHOOSE"': ["run = [{ write = 0"]},
        ),
    ],
    ids=["axi4", "ram", "registers"],
)  # fmt: skip
def test_designs_that_work_off_jobs_have_no_streams(
    model: Path, tmp_path: Path, verilog: str, expected: dict[str, object], choices: dict[str, list[str]]
) -> None:
    """Start and done, an AXI4 master, RAMs that are read or written, registers; with the choices made it fits."""
    folder = fresh(tmp_path / "d", jobs=verilog)
    text = init(folder, "jobs", "--model", model)
    said = tomllib.loads(text)
    assert {key: value for key, value in said.items() if key not in ("top", "sources", "clock", "reset")} == expected
    assert call("check", folder / "my.toml", model)[0] == ("CHOOSE" in str(expected))
    for old, words in choices.items():
        for new in words:
            text = text.replace(old, new, 1)
    (folder / "my.toml").write_text(text)
    status, out = call("check", folder / "my.toml", model)
    assert status == 0, out
    # What is proposed in comments is TOML, too.
    proposals = [line[2:] for line in text.splitlines() if re.match(r"# (\[\[\w+\]\]|\w+ = )", line)]
    assert len(proposals) > 5
    for line in proposals:
        tomllib.loads(line)


def test_what_is_not_plain_is_not_guessed(model: Path, tmp_path: Path) -> None:
    """Two buses in, none with a handshake, and no clock: nothing is chosen, and no check accepts it."""
    verilog = "module m (input [47:0] a, input [47:0] b, output [31:0] y);\nassign y = a[31:0] ^ b[31:0];\nendmodule\n"
    folder = fresh(tmp_path / "d", m=verilog)
    text = init(folder, "m")
    said = tomllib.loads(text)
    assert "clock" not in said
    assert "reset" not in said
    assert said["stream"][0]["signals"] == {"data": "CHOOSE"}
    assert "# data: one of a, b" in text
    assert said["stream"][1]["signals"] == {"data": "y"}
    status, out = call("check", folder / "my.toml", model)
    assert status == 1
    assert "input stream, data: choose a port, one of a, b" in out
    assert "stream 2 (output): latency: CHOOSE is left, where you must choose" in out


@pytest.mark.parametrize(("x", "y", "latency"), [(144, 96, "find"), (48, 96, "CHOOSE"), (144, 32, "CHOOSE")])
def test_a_latency_is_to_be_found_where_an_image_is_a_beat(
    model: Path, tmp_path: Path, x: int, y: int, latency: str
) -> None:
    """Eighteen values in and twelve out; where a side has them in several beats somebody must choose the cycles."""
    verilog = f"module m (input clk, input [{x - 1}:0] x, input x_valid, output [{y - 1}:0] y);\nendmodule\n"
    folder = fresh(tmp_path / "d", m=verilog)
    said = tomllib.loads(init(folder, "m", "--model", model))
    assert said["stream"][0]["signals"] == {"valid": "x_valid", "data": "x"}
    assert said["stream"][1]["latency"] == latency
    status, out = call("check", folder / "my.toml", model)
    assert status == (latency == "CHOOSE"), out
    assert ("(output): latency: " in out) == (latency == "CHOOSE")


def test_taps_are_proposed_where_names_resemble(model: Path, tmp_path: Path) -> None:
    """A signal of whole values whose name is like the tap's; one of another width is not."""
    verilog = (
        "module m (input clk, input [47:0] x, output reg [31:0] y);\n"
        "reg [31:0] fc_q; reg [6:0] fc_state;\nalways @(posedge clk) begin fc_q <= x[31:0]; y <= fc_q; end\nendmodule\n"
    )
    text = init(fresh(tmp_path / "d", m=verilog), "m", "--model", model)
    assert '# data = "fc_q"  # 32 bits: lanes = 4' in text
    # Where every signal that is near has as many, they stand there at once.
    assert "# lanes = 4\n" in text
    assert "fc_state" not in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--top", "awkwart"), "there is no module 'awkwart'"),
        (("--top", "awkward", "{folder}/a.vhd"), "a.vhd is VHDL and awkward.sv is not: expected one language"),
        (("--top", "awkward", "-o", "{folder}/below/my.toml"), "does not lie in the folder of the description"),
        (("--top", "awkward", "-o", "{folder}/there.toml"), "is there already"),
    ],
)
def test_init_writes_nothing_where_it_cannot(tmp_path: Path, words: tuple[str, ...], message: str) -> None:
    """An unknown top, sources elsewhere, a file that would be lost; `--force` writes over it."""
    folder = fresh(tmp_path / "d")
    (folder / "below").mkdir()
    (folder / "there.toml").write_text("mine")
    (folder / "a.vhd").write_text("")
    words = tuple(word.format(folder=folder) for word in words)
    if "-o" not in words:
        words += ("-o", str(folder / "new.toml"))
    result = CliRunner().invoke(command, ["init", *words, *(str(folder / name) for name in SOURCES)])
    assert isinstance(result.exception, FxsimError)
    assert message in str(result.exception)
    assert not (folder / "new.toml").exists()
    assert list((folder / "below").iterdir()) == []
    assert (folder / "there.toml").read_text() == "mine"
    if message == "is there already":
        assert call("init", "--force", *words, *(folder / name for name in SOURCES))[0] == 0
        assert (folder / "there.toml").read_text() != "mine"


def test_more_than_one_stream_on_a_side_is_refused_with_what_serves(model: Path, tmp_path: Path) -> None:
    """Two outputs: a tap; two inputs that say which operand each is are none too many, others say so."""
    path = tmp_path / "d.toml"
    for sides in (("input", "input", "output"), ("input", "output", "output")):
        streams = "".join(f'[[stream]]\nrole = "{role}"\nprefix = "p{n}"\n' for n, role in enumerate(sides))
        path.write_text(f'top = "t"\nsources = "t.v"\n{streams}')
        status, out = call("check", path, model)
        assert status == 1
        words = "input stream 1 ('p0') of 2 states no tensor: expected of each the one that it carries"
        if sides[0] != sides[1]:
            words = "streams are input and output and output, expected input and output, one of each or several inputs;"
        assert words in out


ODD = {
    "bus": """
interface stream_if (input logic clk);
  logic [7:0] data; logic valid;
  modport slave(input data, valid);
endinterface
module bus (input logic clk, input logic rst, stream_if.slave s, output logic [7:0] y, output logic y_valid);
endmodule
""",
    "array": """
module array (input logic clk, input logic rst, input logic signed [7:0] x [0:3], input logic x_valid,
              output logic [1:0] [7:0] y [0:1], output logic y_valid);
endmodule
""",
    "rates": """
module rates (input logic clk, input logic clk_fast, input logic rst, input logic clk_en, input logic [7:0] x,
              input logic x_valid, output logic [7:0] y, output logic y_valid);
endmodule
""",
}


@pytest.mark.parametrize(
    ("name", "expected", "proposed"),
    [
        ("bus", ("port 's' of 'bus' is an interface, expected plain signals: describe a module around the "
                 "design that has 'stream_if s_if(...)', .s(s_if) and an 'assign' for each of its signals",), ""),
        ("array", ("input stream: port 'x' is an unpacked array of 4 times 8 bits, expected one vector: describe a "
                   "module around the design that has .x(x_array) and of each element "
                   "'assign x_array[i] = x_flat[8*i +: 8]'",
                   "output stream: port 'y' is an unpacked array of 2 times 16 bits, expected one vector: describe a "
                   "module around the design that has .y(y_array) and of each element "
                   "'assign y_flat[16*i +: 16] = y_array[i]'"), "# x: an unpacked array of 4 times 8 bits"),
        ("rates", ("nothing drives the input clk_fast, a clock by its name: clock = [...] lists those that tick "
                   "together; for one of another rate describe a module around the design that derives all from one",),
         "# clk_fast: 1 bit, a clock by name: "),
    ],
)  # fmt: skip
def test_ports_that_a_description_does_not_have_are_named_with_what_serves(
    model: Path, tmp_path: Path, name: str, expected: tuple[str, ...], proposed: str
) -> None:
    """An interface, an unpacked array, a clock of another rate: by `check` and, where it can propose, by `init`."""
    (tmp_path / "odd.sv").write_text(ODD[name])
    text = f'top = "{name}"\nsources = ["odd.sv"]\nclock = "clk"\nreset = {{ signal = "rst" }}\n'
    for role, port in (("input", "x"), ("output", "y")):
        text += f'[[stream]]\nrole = "{role}"\nlanes = 2\nsignals = {{ data = "{port}", valid = "{port}_valid" }}\n'
    (tmp_path / "odd.toml").write_text(text)
    status, said = call("check", tmp_path / "odd.toml", model)
    assert status == 1
    for words in expected:
        assert said.count(words) == 1, said
    words = ["init", "--top", name, str(tmp_path / "odd.sv"), "-o", str(tmp_path / "first.toml")]
    proposal = CliRunner().invoke(command, words)
    if not proposed:
        assert expected[0] in str(proposal.exception)
        assert not (tmp_path / "first.toml").exists()
    else:
        assert sum(line.startswith(proposed) for line in (tmp_path / "first.toml").read_text().splitlines()) == 1


def test_each_instance_has_the_file_that_its_parameters_name(tmp_path: Path) -> None:
    """Instances, generate blocks and texts put together; a name that is no parameter stays open."""
    (tmp_path / "roms.sv").write_text(
        """
module rom #(parameter FILE = "a.hex") (input logic clk, input logic [7:0] a, output logic [7:0] q);
  logic [7:0] m[0:3];
  initial $readmemh(FILE, m);
  always_ff @(posedge clk) q <= m[a];
endmodule
module roms (input logic clk, input logic rst, input logic [7:0] x, input logic x_valid,
             output logic [7:0] y, output logic y_valid);
  localparam BASE = "w";
  logic [7:0] q[4];
  string later;
  rom first (.clk, .a(x), .q(q[0]));
  rom #(.FILE({BASE, "_1.hex"})) second (.clk, .a(x), .q(q[1]));
  for (genvar i = 0; i < 2; i++) begin : g_rom
    localparam NAME = i == 0 ? "g0.hex" : "g1.hex";
    logic [7:0] m[0:1];
    initial $readmemh(NAME, m);
    assign q[2+i] = m[0];
  end
  logic [7:0] k[0:1];
  initial $readmemh(later, k);
  always_ff @(posedge clk) begin y <= q[0] ^ q[1] ^ q[2] ^ q[3] ^ k[0]; y_valid <= x_valid; end
endmodule
"""
    )
    status, out = call("init", "--top", "roms", tmp_path / "roms.sv", "-o", tmp_path / "roms.toml")
    assert status == 0, out
    text = (tmp_path / "roms.toml").read_text()
    assert sorted(re.findall(r'^file = "(.*)"', text, re.MULTILINE)) == ["a.hex", "g0.hex", "g1.hex", "w_1.hex"]
    assert text.count("reads the file that 'later' names into 'k'") == 1
    assert "that 'FILE' names" not in text
