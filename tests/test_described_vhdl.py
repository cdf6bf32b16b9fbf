"""VHDL through GHDL's synthesis, and files that a description's command makes: what passes, is found, is refused."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.dut import command as dut
from fxsim.cosim import CosimResult, cosim
from fxsim.cosim.four_state import four_state
from fxsim.devices.described import vhdl
from fxsim.devices.described.bind import bind
from fxsim.devices.described.vhdl import verilog_of
from fxsim.errors import FxsimError, ToolError
from fxsim.formats import save
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Linear, Relu
from tests.conftest import ROOT

needs_ghdl = pytest.mark.skipif(shutil.which("ghdl") is None, reason="GHDL is not installed (Debian: ghdl)")
RANDOM = np.random.default_rng(9)
X = RANDOM.integers(-128, 128, (8, 2, 4)).astype(np.int8)
TOML = """
top = "mlp"
sources = ["mlp.vhd"]
clock = "clk"
reset = { signal = "rst" }
[[stream]]
role = "input"
prefix = "s_axis"
lanes = 4
[[stream]]
role = "output"
prefix = "m_axis"
lanes = 3
[[tap]]
name = "fc1"
data = "fc1.m_tdata"
valid = "fc1.m_tvalid"
ready = "fc1.m_tready"
lanes = 4
"""
MEMORIES = "".join(
    f'[[memory]]\nfile = "{layer}_{name}.hex"\ntensor = "{layer}.{name}"\n'
    for layer in ("fc1", "fc2")
    for name in ("weight", "bias", "shift")
)
MAKER = """
import sys
from pathlib import Path
from fxsim import load
model, target = load(sys.argv[1]), Path(sys.argv[2])
for node in model.graph.nodes:
    for name in ("weight", "bias", "shift"):
        if hasattr(node.op, name):
            values = [int(value) & 0xFF for value in getattr(node.op, name).reshape(-1)]
            (target / f"{node.name}_{name}.hex").write_text("".join(f"{value:02x}\\n" for value in values))
"""


@pytest.fixture(scope="module")
def model() -> Model:
    """The network of the example: two layers and a ReLU."""

    def layer(outputs: int) -> Linear:
        weight = RANDOM.integers(-128, 128, (outputs, 4)).astype(np.int8)
        return Linear(weight, RANDOM.integers(-32, 32, outputs).astype(np.int8), np.full(outputs, 8, np.uint8))

    nodes = (Node("fc1", layer(4), (INPUT,)), Node("relu", Relu(), ("fc1",)), Node("fc2", layer(3), ("relu",)))
    return Model(Graph((2, 4), nodes), "mlp")


def written(folder: Path, description: str = TOML + MEMORIES, old: str = "", new: str = "") -> Path:
    """The example's VHDL, words of it replaced, with a description."""
    folder.mkdir()
    text = (ROOT / "docs" / "examples" / "cocotb" / "mlp.vhd").read_text()
    assert old in text
    (folder / "mlp.vhd").write_text(text.replace(old, new, 1))
    (folder / "make.py").write_text(MAKER)
    (folder / "mlp.toml").write_text(description)
    return folder / "mlp.toml"


def simulate(model: Model, dut: Path) -> CosimResult:
    """Co-simulate, compiled quickly, from one power-on state."""
    return cosim(model, X, accel="described", dut=str(dut), optimise="-O0", power_on_seeds=(1,))


@pytest.mark.ghdl
@needs_ghdl
@pytest.mark.verilator
def test_vhdl_is_compared_and_a_fault_in_it_located(model: Model, tmp_path: Path) -> None:
    """The example passes with its inner tap; with a rounding left out the first difference is at that layer."""
    right = simulate(model, written(tmp_path / "a"))
    assert right.passed
    assert right.streams.taps["fc1"].compared == 8 * 2 * 4
    assert right.streams.output.compared == 8 * 2 * 3
    wrong = simulate(model, written(tmp_path / "b", old='("0" & acc(0)) + ', new=""))
    assert not wrong.passed
    assert wrong.verdict.first_mismatch is not None
    assert wrong.verdict.first_mismatch.tap == "fc1"


@pytest.mark.ghdl
@needs_ghdl
@pytest.mark.icarus
def test_first_description_of_vhdl_says_what_was_lost_and_is_a_comparison(model: Model, tmp_path: Path) -> None:
    """Ports and files that lie there are found, generics are named; what is not there is GHDL's message with a hint."""
    path = written(tmp_path / "a")
    roms = bind(path, model).memories
    path.unlink()
    save(model, tmp_path / "m.safetensors")
    words = ["init", "--top", "mlp", str(path.with_name("mlp.vhd")), "--model", str(tmp_path / "m.safetensors")]
    words += ["-o", str(path)]
    missing = CliRunner().invoke(dut, words)
    assert re.search(r"cannot open file: fc._\w+\.hex.*must lie in", str(missing.exception))
    assert not path.exists()
    for name, content in roms.items():
        (path.parent / name).write_bytes(content)
    assert CliRunner().invoke(dut, words).exit_code == 0
    text = path.read_text()
    assert "CHOOSE" not in re.sub("#.*", "", text)
    assert "# VHDL goes through GHDL's synthesis to Verilog. Lost are types" in text
    assert 'tensor = "fc1.shift"  # by name, of those of this size' in text
    assert '# data = "fc1.m_tdata"  # 32 bits: lanes = 4' in text
    # The files are the model's from then on.
    for name in roms:
        (path.parent / name).unlink()
    found = four_state(model, X, accel="described", settings={"dut": str(path)}, images=(0, 2))
    assert (found.passed, found.unprobed) == (True, ("fc1", "relu")), found.reason


@pytest.mark.ghdl
@needs_ghdl
def test_first_description_of_vhdl_names_generics(tmp_path: Path) -> None:
    """At their defaults; the description has the top as GHDL writes it, however it was asked for."""
    (tmp_path / "gain.vhd").write_text("""
library ieee;
use ieee.std_logic_1164.all;
entity Gain is
  generic (WIDTH : positive := 8;  -- no DEPTH : here
           STEPS, LANES : natural := 2);
  port (clk : in std_logic; x : in std_logic_vector(WIDTH - 1 downto 0); y : out std_logic_vector(WIDTH - 1 downto 0));
end entity;
architecture rtl of Gain is
begin
  process (clk) begin
    if rising_edge(clk) then y <= x; end if;
  end process;
end architecture;
""")
    path = tmp_path / "gain.toml"
    done = CliRunner().invoke(dut, ["init", "--top", "gain", str(tmp_path / "gain.vhd"), "-o", str(path)])
    assert done.exit_code == 0, done.output
    assert 'top = "Gain"' in path.read_text()
    assert (
        "# generics, here as by default: WIDTH, STEPS, LANES; parameters = { NAME = 1 } states one" in path.read_text()
    )


COMMAND = TOML.replace("[[stream]]", f'files = ["make.py"]\ncommand = ["{sys.executable}", "make.py"]\n[[stream]]', 1)


@pytest.mark.ghdl
@needs_ghdl
def test_what_a_command_makes_is_what_memories_would_be(model: Model, tmp_path: Path) -> None:
    """ROM files of the description's own program are the same, byte for byte, and the Verilog that holds them too."""
    made, stated = bind(written(tmp_path / "a", COMMAND), model), bind(written(tmp_path / "b"), model)
    assert made.memories == stated.memories
    assert len(made.memories) == 6
    assert made.verilog.files["fxsim_vhdl.v"] == stated.verilog.files["fxsim_vhdl.v"]


@pytest.mark.ghdl
@needs_ghdl
def test_other_rom_contents_are_another_design(model: Model, tmp_path: Path) -> None:
    """ROMs are part of what GHDL makes: another model is made anew, the same one taken from before."""
    path = written(tmp_path / "a")
    first = bind(path, model).verilog.files["fxsim_vhdl.v"]
    assert bind(path, model).verilog.files["fxsim_vhdl.v"] == first
    linear = model.graph.nodes[0].op
    assert isinstance(linear, Linear)
    other = Linear(linear.weight, np.array(linear.bias + 1, np.int8), linear.shift)
    nodes = (Node("fc1", other, (INPUT,)), *model.graph.nodes[1:])
    assert bind(path, Model(Graph((2, 4), nodes), "mlp")).verilog.files["fxsim_vhdl.v"] != first


@pytest.mark.ghdl
@needs_ghdl
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("rising_edge(clk)", "rising_edge(clok)", "failed with status .*clok"),
        ("entity mlp is", "entity mlq is", "failed with status"),
    ],
)
def test_vhdl_that_ghdl_refuses_is_one_message(model: Model, tmp_path: Path, old: str, new: str, words: str) -> None:
    """The last lines of what it says."""
    with pytest.raises(FxsimError, match=words) as caught:
        bind(written(tmp_path / "d", old=old, new=new), model)
    assert "\n" not in str(caught.value)


def test_vhdl_without_ghdl_says_so(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing, and what for."""
    path = written(tmp_path / "d")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FxsimError, match="GHDL is not installed, which makes Verilog of VHDL"):
        bind(path, model)


def test_two_languages_are_refused(model: Model, tmp_path: Path) -> None:
    """Named, with the reason."""
    path = written(tmp_path / "d", TOML.replace('"mlp.vhd"', '"mlp.vhd", "x.v"'))
    (path.parent / "x.v").write_text("")
    with pytest.raises(FxsimError, match=r"mlp\.vhd is VHDL and x\.v is not: expected one language"):
        bind(path, model)


# --- commands ---

RELU = Model(Graph((3, 6), (Node("act", Relu(), (INPUT,)),)), "relu")
PLAIN = """
top = "t"
sources = ["t.v"]
files = ["make.py"]
command = [%s, "make.py"]
[[stream]]
role = "input"
signals = { data = "x" }
lanes = 18
[[stream]]
role = "output"
signals = { data = "y" }
lanes = 18
latency = 0
"""


def plain(folder: Path, program: str, python: str = sys.executable) -> Path:
    """A design of one line, with a command."""
    folder.mkdir()
    (folder / "t.v").write_text("module t (input [143:0] x, output [143:0] y);\nassign y = x;\nendmodule\n")
    (folder / "make.py").write_text(program)
    (folder / "t.toml").write_text(PLAIN % f'"{python}"')
    return folder / "t.toml"


def test_command_runs_beside_the_files_and_writes_into_its_folder(tmp_path: Path) -> None:
    """It gets the model's file and a folder; what it leaves elsewhere is not taken."""
    program = (
        "import sys, pathlib\nm, t = map(pathlib.Path, sys.argv[1:])\nassert len(sys.argv) == 3\n"
        "assert m.stat().st_size > 0 and pathlib.Path('make.py').exists()\n(t / 'a').mkdir()\n"
        "(t / 'a' / 'w.bin').write_bytes(b'12')\npathlib.Path('lost').write_text('x')\n"
    )
    assert bind(plain(tmp_path / "d", program), RELU).memories == {"a/w.bin": b"12"}


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import sys\nprint('one')\nsys.exit('no such layer')", "command: .* failed with status 1: no such layer"),
        ("pass", "it wrote no file into the folder"),
        ("import sys, os\nos.symlink('/etc/passwd', sys.argv[2] + '/w')", "it made 'w', which is no plain file"),
        ("import sys\nopen(sys.argv[2] + '/make.py', 'w')", "it made 'make.py', which a memory or 'files' has, too"),
        ("import sys\nopen(sys.argv[2] + '/big', 'wb').truncate(1 << 29)", "it made more than 268,435,456 bytes"),
        ("import time\ntime.sleep(60)", "still running after 1 s"),
    ],
)
def test_command_that_does_not_do_it_is_one_message(
    tmp_path: Path, program: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its last lines, what it made, or that it does not end."""
    if "sleep" in program:
        monkeypatch.setattr("fxsim.devices.described.maker.SECONDS_MAX", 1)
    path = plain(tmp_path / "d", program)
    with pytest.raises(FxsimError, match=words) as caught:
        bind(path, RELU)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_words_of_a_command_meet_no_shell(tmp_path: Path) -> None:
    """A word is a word; a program that is not there is one message."""
    with pytest.raises(FxsimError, match="cannot be run"):
        bind(plain(tmp_path / "d", "pass", "touch /tmp/x; true"), RELU)


SHIFTS = """library ieee; use ieee.std_logic_1164.all; use ieee.numeric_std.all;
entity s is port (a : in signed(7 downto 0); u : in unsigned(7 downto 0); n : in unsigned(2 downto 0);
  y1, y2, y5 : out signed(7 downto 0); y3, y4 : out unsigned(7 downto 0)); end;
architecture r of s is begin
  y1 <= shift_right(a, to_integer(n)); y2 <= a srl 2; y3 <= shift_right(u, to_integer(n)); y4 <= unsigned(a) srl 3;
  y5 <= signed(shift_right(unsigned(a), to_integer(n)));
end;
"""


@pytest.mark.ghdl
@needs_ghdl
def test_logical_shifts_stay_logical() -> None:
    """GHDL says a sign of arithmetic shifts alone, whatever the types: of five shifts one is arithmetic."""
    made = verilog_of("d", {"s.vhd": SHIFTS.encode()}, ("s.vhd",), "s", {}).decode()
    lines = [line for line in made.splitlines() if ">>" in line]
    assert len(lines) == 5
    assert [("$signed" in line, ">>>" in line) for line in lines] == [(True, True), *[(False, False)] * 4]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], int]:
    """Gives the Verilog of a text, here the text itself; returns how often GHDL has run. Two texts are kept."""
    monkeypatch.setenv("FXSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(vhdl.shutil, "which", lambda _: "/bin/ghdl")
    monkeypatch.setattr(vhdl, "_version", lambda _: "1")
    monkeypatch.setattr(vhdl, "_KEPT_MAX", 2)
    runs: list[Path] = []

    def ghdl(*arguments: Any) -> None:
        folder, output = arguments[2:4]
        runs.append(folder)
        output.write_bytes((folder / "a.vhd").read_bytes())

    def of(text: bytes) -> int:
        assert vhdl.verilog_of("d.toml", {"a.vhd": text}, ("a.vhd",), "a", {}) == text
        return len(runs)

    monkeypatch.setattr(vhdl, "run_foreign", ghdl)
    return of


def test_verilog_that_was_used_last_is_kept(kept: Callable[[bytes], int], tmp_path: Path) -> None:
    """Beyond the limit what was unused for longest goes."""
    folder = tmp_path / "cache" / "ghdl"
    assert kept(b"one") == 1
    (first,) = folder.iterdir()
    assert kept(b"two") == 2
    (second,) = set(folder.iterdir()) - {first}
    for path in (first, second):
        os.utime(path, (1, 1))
    assert kept(b"one") == 2  # used again: now the other is the oldest
    assert kept(b"three") == 3
    assert first.is_file()
    assert not second.exists()


def test_verilog_in_a_cache_open_to_others_is_not_taken(
    kept: Callable[[bytes], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever could write there could have put another design there."""
    assert kept(b"one") == 1

    def refuse(path: Path) -> None:
        raise ToolError(f"the cache {path} is not used")

    monkeypatch.setattr(vhdl, "check_private", refuse)
    with pytest.raises(ToolError, match=r"the cache .*ghdl.*v is not used"):
        kept(b"one")
