"""Verilog and testbenches keep to the house's layout."""

import re
from pathlib import Path

import pytest

from fxsim.paths import rtl_dir, verilog_file, verilog_files

RTL = rtl_dir()
TESTBENCHES = Path(__file__).resolve().parent.parent / "testbenches"
SOURCES = list(verilog_files(RTL).values())
SPECIFICATIONS = sorted(TESTBENCHES.rglob("*.v"))
DATA_ONLY = {
    "affine_lane",
    "mac_cell",
    "pool_lane",
    "ram",
    "scale_lane",
    "simd_lane",
    "simd_range",
    "simd_tables",
    "table_lane",
    "threshold_lane",
    "window_sum_lane",
}
"""Memories and data registers that nothing resets: what they give means nothing before they were given something."""


def test_every_module_has_a_testbench() -> None:
    """X.v in rtl/ stands beside testbenches/X/test_X.py, and nothing is tested that is not there."""
    assert SOURCES
    assert {path.parent.name for path in TESTBENCHES.glob("*/test_*.py")} - {"common"} == {s.stem for s in SOURCES}


@pytest.mark.parametrize("module", [source.stem for source in SOURCES])
def test_testbench_simulates_its_module(module: str) -> None:
    """A testbench has cocotb tests and a pytest function that runs them on its own module."""
    text = (TESTBENCHES / module / f"test_{module}.py").read_text()
    assert re.search(r"^@cocotb\.test\(\)$", text, re.MULTILINE)
    assert f'simulate(__name__, "{module}"' in text
    assert re.search(rf"^def test_{module}\(", text, re.MULTILINE)


def documented_parameters(source: Path) -> str:
    """The part of a module's header about its parameters."""
    text = source.read_text()
    return text[: text.index(f"module {source.stem}")].partition("// Parameters")[2]


@pytest.mark.parametrize("source", SOURCES + SPECIFICATIONS, ids=lambda path: path.name)
def test_file_has_the_house_form(source: Path) -> None:
    """One module, named after its file; no implicit nets; no other directive; every parameter in the header.

    A header may refer to another module's for what it passes on or shares: "see simd_resmlp".
    """
    text = source.read_text()
    lines = text.splitlines()
    assert lines[0] == "`default_nettype none"
    assert lines[-1] == "`default_nettype wire"
    code = re.sub(r"//[^\n]*", "", text)
    assert re.findall(r"`\w+", code) == ["`default_nettype"] * 2
    assert re.findall(r"^\s*module\s+(\w+)", code, re.MULTILINE) == [source.stem]
    assert lines[2].startswith("// ")
    documented = documented_parameters(source)
    for other in SOURCES:
        if re.search(rf"(see|as in) {other.stem}\b", documented):
            documented += documented_parameters(other)
    for name in re.findall(r"^\s*parameter\s+(\w+)", code, re.MULTILINE):
        assert re.search(rf"\b{name}\b", documented), f"{source.name}: the header does not say what {name} is"
    assert max(map(len, lines)) <= 128
    assert text.endswith("\n")
    assert "\t" not in text


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.name)
def test_ports_are_named_as_the_house_names_them(source: Path) -> None:
    """A clocked module has clk and, unless it is data only, rst; registers change on the rising edge of clk only."""
    code = re.sub(r"//[^\n]*", "", source.read_text())
    edges = re.findall(r"\balways\b\s*(@\s*\*|@\s*\([^)]*\)|)", code)
    assert set(edges) <= {"@(posedge clk)", "@*"}
    assert len(edges) == len(re.findall(r"\balways\b", code))
    if "@(posedge clk)" in edges or "_axis_tdata" in code:
        assert re.search(r"input +wire +clk\b", code)
        assert re.search(r"input +wire +rst\b", code) or source.stem in DATA_ONLY


def test_modules_of_data_only_reset_nothing() -> None:
    """The list of exceptions above is as short as can be: each of them is there and has no rst."""
    for module in DATA_ONLY:
        assert not re.search(r"\brst\b", re.sub(r"//[^\n]*", "", verilog_file(RTL, f"{module}.v").read_text()))
