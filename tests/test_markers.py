"""Markers by tool: a test has those of what it refers to, and fails where it runs another."""

import importlib.util
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT

MODULE = """
import subprocess
from pathlib import Path

import pytest
import torch
from fxsim.cosim import cosim
from fxsim.errors import FxsimError
from testbenches.common.simulation import simulate

VERILATOR = Path("somewhere") / "bin" / "verilator"

def helper():
    return torch.zeros(1)

@pytest.fixture
def simulated(tmp_path):
    simulate("t", "m", tmp_path)

class Case:
    def run(self):
        cosim(None, None)

def test_nothing(): FxsimError("x")
def test_helper(): helper()
def test_fixture(simulated): pass
def test_class(): Case().run()
def test_path(): str(VERILATOR)
def test_program(): print("iverilog")
def test_inside(): (lambda: helper())()
def test_import():
    from fxsim.formats.onnx import export
@pytest.mark.parametrize("call", [helper])
def test_parameter(call): pass
"""
PRINTED = """
import pytest

@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items):
    for item in items:
        print("\\nmarked:", item.originalname, *(marker.name for marker in item.iter_markers()))
"""
EXPECTED = {
    "test_nothing": set(), "test_helper": {"torch"}, "test_fixture": {"icarus"}, "test_class": {"verilator"},
    "test_path": {"verilator"}, "test_program": {"icarus"}, "test_inside": {"torch"}, "test_import": {"onnx"},
    "test_parameter": {"torch"},
}  # fmt: skip


def pytest_in(folder: Path, text: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest on one test file that has the project's conftest.py beside it."""
    shutil.copy(ROOT / "conftest.py", folder)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "test_toy.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments, "test_toy.py"]
    return subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)


@pytest.fixture(scope="module")
def own_conftest() -> ModuleType:
    """The conftest.py at the top, as a module of its own."""
    spec = importlib.util.spec_from_file_location("top_conftest", ROOT / "conftest.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_markers_follow_from_what_a_test_refers_to(tmp_path: Path) -> None:
    """Helpers, fixtures, classes, parameters, imports inside, paths and names of programs give the tool's marker."""
    # As `-m` sees them: of one collection, which a plugin prints.
    (tmp_path / "printed.py").write_text(PRINTED)
    listed = pytest_in(tmp_path, MODULE, "--collect-only", "-p", "printed")
    assert listed.returncode == 0, listed.stdout + listed.stderr
    tools = set().union(*EXPECTED.values())
    found: dict[str, set[str]] = {}
    for line in re.findall(r"^marked: (.*)$", listed.stdout, re.MULTILINE):
        name, *markers = line.split()
        found.setdefault(name, set()).update(tools.intersection(markers))
    assert found == EXPECTED


def test_a_tool_without_its_marker_fails_the_test(tmp_path: Path) -> None:
    """A program of a tool that a test runs unseen fails it, with the marker to write; marked by hand it passes."""
    text = 'import subprocess, pytest\nNAMES = ["iveri" + "log", "none.v"]\n{}def test_it(): subprocess.run(NAMES)\n'
    unseen = pytest_in(tmp_path, text.format(""))
    assert unseen.returncode == 1
    assert "mark it with @pytest.mark.icarus" in unseen.stdout
    marked = pytest_in(tmp_path, text.format("@pytest.mark.icarus\n"))
    assert marked.returncode == 0, marked.stdout


def test_rooms_of_tools_exist(own_conftest: ModuleType) -> None:
    """Every tool in conftest.py has a module that is there: a room that moved would go unmarked."""
    missing = [
        name
        for rooms in own_conftest.TOOLS.values()
        if all(importlib.util.find_spec(room) is None for room in rooms)
        for name in rooms
    ]
    assert missing == []
