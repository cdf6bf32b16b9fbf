"""The pytest side of a testbench: build a module with Icarus, run its cocotb tests, fail where any of them fails."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

from fxsim.paths import verilog_file, verilog_files
from testbenches.common.seeds import BASE_SEED

ROOT = Path(__file__).resolve().parent.parent.parent
RTL = ROOT / "rtl"
CASE_FILE = "case.npz"
_LOG_TAIL = 3000


class Literal(str):
    """A number in Verilog, such as 8'hf0: the value of a parameter that is wider than an integer."""

    __slots__ = ()


def search(folder: Path) -> list[str]:
    """The options that tell Icarus or Verilator to look for modules in a folder and those below it."""
    folders = sorted({path.parent for path in verilog_files(folder).values()})
    return [word for parent in folders for word in ("-y", str(parent))]


def simulate(
    testbench: str,
    module: str,
    folder: Path,
    parameters: Mapping[str, int | str] | None = None,
    case: Mapping[str, npt.NDArray[Any]] | None = None,
    sources: Path = RTL,
) -> None:
    """Run all cocotb tests of the Python module `testbench` on the Verilog module `module` in `folder`.

    `case`: arrays that the cocotb tests read with `load_case`. AssertionError names the tests that failed and shows the
    end of the log; so does one if the build failed, the simulator died, or no test ran.
    """
    from cocotb_tools.runner import get_runner  # here: the simulator's process imports this module too

    print(f"FXSIM_SEED={BASE_SEED}, folder {folder}")
    if case is not None:
        np.savez(folder / CASE_FILE, **case)  # type: ignore[arg-type]
    # Icarus takes the value of a string parameter in quotes.
    values = {
        name: f'"{value}"' if isinstance(value, str) and not isinstance(value, Literal) else value
        for name, value in (parameters or {}).items()
    }
    log, results = folder / "log.txt", folder / "results.xml"
    try:
        runner = get_runner("icarus")
        runner.build(
            sources=[verilog_file(sources, f"{module}.v")],
            build_args=search(sources),
            hdl_toplevel=module,
            parameters=values,
            build_dir=folder,
            timescale=("1ns", "1ps"),
            log_file=log,
            always=True,
        )
        runner.test(
            test_module=testbench,
            hdl_toplevel=module,
            build_dir=folder,
            test_dir=folder,
            results_xml=str(results),
            log_file=log,
            seed=BASE_SEED % 2**32,
            # cocotb has pytest rewrite assertions; pytest's plugins are no use to it, and take a second to import.
            extra_env={"COCOTB_ANSI_OUTPUT": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        )
    except (SystemExit, RuntimeError) as stop:
        raise AssertionError(_report(module, values, f"stopped with {stop}", results, log)) from None
    passed, failures = _verdicts(results)
    assert passed, _report(module, values, "no test ran", results, log)
    assert not failures, _report(module, values, "tests failed", results, log)


def _verdicts(results: Path) -> tuple[list[str], dict[str, str]]:
    """Names of the cocotb tests that passed; those that failed, stopped or were skipped, with what they said."""
    passed: list[str] = []
    failures: dict[str, str] = {}
    if results.is_file():
        for test in ElementTree.parse(results).getroot().iter("testcase"):  # noqa: S314  # cocotb's, written just now
            verdicts = [verdict for kind in ("failure", "error", "skipped") for verdict in test.findall(kind)]
            name = test.get("name", "?")
            if verdicts:
                failures[name] = "; ".join(verdict.get("message", verdict.tag) for verdict in verdicts)
            else:
                passed.append(name)
    return passed, failures


def _report(module: str, parameters: object, reason: str, results: Path, log: Path) -> str:
    failures = "".join(f"\n  {name}: {message}" for name, message in _verdicts(results)[1].items())
    text = log.read_text(errors="replace")[-_LOG_TAIL:] if log.is_file() else "no log"
    return f"{module} {parameters}: {reason}{failures}\nend of {log}:\n{text}"


def load_case() -> dict[str, Any]:
    """The cocotb side: the arrays that `simulate` was given, by name."""
    with np.load(CASE_FILE, allow_pickle=False) as arrays:
        return dict(arrays)


def write_words(path: Path, words: Sequence[int]) -> None:
    """A ROM file for $readmemh: one word a line, of any width."""
    path.write_text("".join(f"{word:x}\n" for word in words), encoding="ascii")


def write_hex(path: Path, rows: npt.NDArray[Any]) -> None:
    """A ROM file for $readmemh: one word a row of 8-bit values, value k of a row at bits [8k +: 8]."""
    table = rows.reshape(len(rows), -1).astype(np.int64) & 0xFF
    path.write_text("".join("".join(f"{value:02x}" for value in row[::-1]) + "\n" for row in table), encoding="ascii")
