"""The lint of the harnesses: scripts/lint_harness.py."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from fxsim.simulate.build import Design
from tests.conftest import ROOT

HARNESS = """
#include "part.hpp"
#include "Vdut.h"
#include "verilated.h"
#if VM_TRACE
#include "verilated_fst_c.h"
#endif

int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    Vdut dut(&context);
    @BODY@
    dut.eval();
    return part(dut.q);
}
"""


def load_lint_harness() -> ModuleType:
    """The module scripts/lint_harness.py, which is no part of the package; it runs Verilator."""
    spec = importlib.util.spec_from_file_location("lint_harness", ROOT / "scripts" / "lint_harness.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def design(tmp_path: Path) -> Design:
    """A counter with a harness in two files, free of warnings."""
    (tmp_path / "rtl").mkdir()
    (tmp_path / "rtl" / "counter.v").write_text(
        "module counter (input wire clk, output reg [7:0] q);\n    always @(posedge clk) q <= q + 1;\nendmodule\n"
    )
    (tmp_path / "harness.cpp").write_text(HARNESS.replace("@BODY@", "dut.clk = 0;"))
    (tmp_path / "part.hpp").write_text("inline int part(int value) { return value; }\n")
    return Design("counter", (tmp_path / "harness.cpp", tmp_path / "part.hpp"), rtl=tmp_path / "rtl")


@pytest.mark.verilator
def test_a_harness_without_warnings_is_clean(design: Design) -> None:
    """Nothing is said of a clean harness, nor of what Verilator made."""
    assert load_lint_harness().lint(design)


@pytest.mark.verilator
def test_warnings_in_a_harness_are_found(design: Design, capfd: pytest.CaptureFixture[str]) -> None:
    """Each of -Wall, -Wextra and -Wshadow is asked for, and a header is judged like the program."""
    program, part = design.harness
    program.write_text(HARNESS.replace("@BODY@", "if (argc < sizeof dut) { int argc = 1; dut.clk = argc; }"))
    part.write_text("inline int part(int value) { return 1; }\n")
    assert not load_lint_harness().lint(design)
    said = capfd.readouterr().err
    for name, warning in (
        ("harness.cpp", "sign-compare"),
        ("harness.cpp", "shadow"),
        ("part.hpp", "unused-parameter"),
    ):
        assert re.search(rf"{re.escape(name)}:\d+:\d+: error: .*\[-Werror={warning}\]", said), (name, warning)


@pytest.mark.verilator
@pytest.mark.parametrize("condition", ["VM_TRACE", "!VM_TRACE"])
def test_a_warning_of_one_build_is_found(design: Design, condition: str) -> None:
    """What only a build with waveforms compiles is judged, and what only one without does."""
    body = f"\n#if {condition}\n    int spare = 0;\n#endif\n"
    design.harness[0].write_text(HARNESS.replace("@BODY@", body))
    assert not load_lint_harness().lint(design)


@pytest.mark.verilator
def test_a_warning_of_verilator_is_an_error(design: Design, capfd: pytest.CaptureFixture[str]) -> None:
    """Of the Verilog, too: a width that is cut off."""
    verilog = design.sources / "counter.v"
    verilog.write_text(verilog.read_text().replace("q + 1", "q + 16'd1"))
    assert not load_lint_harness().lint(design)
    assert "WIDTHTRUNC" in capfd.readouterr().err


def test_make_lint_asks_the_compiler() -> None:
    """The lint of the harnesses is part of `make lint`."""
    assert "\t.venv/bin/python scripts/lint_harness.py\n" in (ROOT / "Makefile").read_text(encoding="utf-8")
