"""File lists of somebody's RTL: what they name is found, and what leads elsewhere or says something else is refused."""

from pathlib import Path

import numpy as np
import pytest

from fxsim.cosim import cosim
from fxsim.devices.described.filelist import ENTRIES_MAX, read_file_list
from fxsim.errors import FileError
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Relu

LIST = """// the design
/* two lines
   of comment */ +incdir+inc
+define+WIDTH=8+SIGNED // and more
-f more.f   # nested
top.v
"""


def tree(folder: Path, **lists: str) -> Path:
    """A folder with sources, an include folder and lists; double underscores stand for a slash."""
    for name in ("top.v", "sub/lane.v", "sub/inc/w.vh", "inc/s.vh"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    for name, text in lists.items():
        (folder / f"{name.replace('__', '/')}.f").write_text(text)
    return folder


def test_names_folders_macros_and_nested_lists_are_read(tmp_path: Path) -> None:
    """In their order; after -f relative to the description's folder, after -F to the list's own."""
    found = read_file_list("d", tree(tmp_path, a=LIST, more="-F sub/lane.f\n", sub__lane="lane.v +incdir+inc"), "a.f")
    assert found.sources == ["sub/lane.v", "top.v"]
    assert found.include == ["inc", "sub/inc"]
    assert found.defines == {"WIDTH": "8", "SIGNED": ""}
    assert found.lists == ["a.f", "more.f", "sub/lane.f"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("top.v\nnone.v", "d: a.f, line 2: 'none.v' is no file"),
        ("../x.v", "leads out of the folder"),
        ("/etc/passwd", "leads out of the folder"),
        ("sub/../../x.v", "leads out of the folder"),
        ("link.v", "is a link out of the folder"),
        ("+incdir+none", "'none' is no folder"),
        ("+define+1X", "is no name of a macro"),
        ("+define+X=1 +define+X=2", "the macro X is defined twice"),
        ("top.v\n+define+X=\0", r"a\.f: line 2: the control character '\\x00', expected a file list"),
        ("n" * 300, "'nnnnn.* is no file"),
        ("+incdir+" + "n" * 300, "'nnnnn.* is no folder"),
        ("-f a.f", "is named in itself"),
        ("-f", "a name is missing"),
        ("-y lib", "'-y', expected names of files"),
        ("$HOME/top.v", "no variables"),
        ("top.v " * (ENTRIES_MAX + 1), "more than 10,000 entries"),
    ],
)
def test_what_a_list_may_not_say_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """One message with list and line."""
    folder = tree(tmp_path / "d", a=text)
    (tmp_path / "x.v").write_text("")
    (folder / "link.v").symlink_to(tmp_path / "x.v")
    with pytest.raises(FileError, match=words.replace("$", "[$]")) as caught:
        read_file_list("d", folder, "a.f")
    assert "\n" not in str(caught.value)


RELU = Model(Graph((3, 6), (Node("act", Relu(), (INPUT,)),)), "relu")
X = np.random.default_rng(5).integers(-128, 128, (4, 3, 6)).astype(np.int8)
TOP = """
`include "size.vh"
module relu (input wire clk, input wire [`LANES*8-1:0] x, input wire v, output reg [`LANES*8-1:0] y, output reg w);
  integer i;
  initial w = 1'b0;
  always @(posedge clk) begin
    w <= v;
    for (i = 0; i < `LANES; i = i + 1) y[8*i +: 8] <= (x[8*i + 7] `ZERO) ? 8'd0 : x[8*i +: 8];
  end
endmodule
"""
TOML = """
top = "relu"
sources = "list.f"
clock = "clk"
[[stream]]
role = "input"
signals = { data = "x", valid = "v" }
lanes = 6
[[stream]]
role = "output"
signals = { data = "y", valid = "w" }
lanes = 6
"""


@pytest.mark.verilator
def test_design_is_simulated_from_its_list(tmp_path: Path) -> None:
    """Sources, include folder and macros of the list reach the simulator; with another macro it is another design."""
    (tmp_path / "inc").mkdir()
    (tmp_path / "inc" / "size.vh").write_text("`define LANES 6\n")
    (tmp_path / "relu.v").write_text(TOP)
    (tmp_path / "relu.toml").write_text(TOML)
    (tmp_path / "list.f").write_text("+incdir+inc +define+ZERO relu.v\n")
    assert cosim(RELU, X, accel="described", dut=str(tmp_path / "relu.toml"), optimise="-O0").passed
    (tmp_path / "list.f").write_text("+incdir+inc +define+ZERO=&!x[0] relu.v\n")
    assert not cosim(RELU, X, accel="described", dut=str(tmp_path / "relu.toml"), optimise="-O0").passed
    (tmp_path / "relu.toml").write_text(TOML.replace('clock = "clk"', 'clock = "clk"\ndefines = { ZERO = "&& 0" }'))
    with pytest.raises(FileError, match=r"list\.f defines ZERO as '&!x\[0\]', and the description or another list"):
        cosim(RELU, X, accel="described", dut=str(tmp_path / "relu.toml"), optimise="-O0")


@pytest.mark.verilator
def test_design_in_another_folder_is_that_folders_own(tmp_path: Path) -> None:
    """With `rtl` the macros of its own list count; files that are read must be the same."""
    toml = TOML.replace('sources = "list.f"', 'sources = "list.f"\nfiles = ["read.hex"]')
    for folder, macro in (("own", "ZERO"), ("other", "ZERO=&!x[0]")):
        (tmp_path / folder / "inc").mkdir(parents=True)
        (tmp_path / folder / "inc" / "size.vh").write_text("`define LANES 6\n")
        (tmp_path / folder / "relu.v").write_text(TOP)
        (tmp_path / folder / "read.hex").write_text("0\n")
        (tmp_path / folder / "list.f").write_text(f"+incdir+inc +define+{macro} relu.v\n")
    (tmp_path / "own" / "relu.toml").write_text(toml)
    asked = {"accel": "described", "dut": str(tmp_path / "own" / "relu.toml"), "optimise": "-O0"}
    assert cosim(RELU, X, **asked).passed
    assert not cosim(RELU, X, rtl=tmp_path / "other", **asked).passed
    (tmp_path / "other" / "read.hex").write_text("1\n")
    with pytest.raises(FileError, match=r"'read\.hex', which the design reads while it runs, differs"):
        cosim(RELU, X, rtl=tmp_path / "other", **asked)
