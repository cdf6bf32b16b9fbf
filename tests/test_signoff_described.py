"""Sign-off of a described design: checks of each kind that simulates RTL, right and with a fault."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxsim.cosim import CosimRequest, run_cosim
from fxsim.errors import FxsimError
from fxsim.formats import save
from fxsim.graph import Model
from fxsim.signoff import CheckRecord, Status, load_plan, run_plan, simulation
from fxsim.signoff.simulation import Simulation
from fxsim.traces.waves import list_signals
from tests.conftest import ROOT
from tests.test_described import Edit, X, design, model, swap

__all__ = ["model"]  # a fixture

pytestmark = pytest.mark.verilator

HEAD = """title = "described"
seed = 1
[models]
tiny = { file = "tiny.safetensors" }
[stimuli]
images = { file = "images.npy" }
"""
COSIM = """[[check]]
kind = "cosim"
name = "rtl"
model = "tiny"
stimulus = "images"
images = 5
stalls = ["none", "gap:3+random:{seed}"]
dut = "rtl/awkward.toml"
"""
INTERVAL = """[[check]]
kind = "interval"
name = "interval"
model = "tiny"
stimulus = "images"
bound = 9
dut = "rtl/awkward.toml"
"""
FAULT = """[[check]]
kind = "rtl-fault"
name = "fault"
model = "tiny"
stimulus = "images"
images = 4
file = "neuron.sv"
find = "k < INPUTS"
replace = "k < INPUTS - 1"
first_tap = "fc"
dut = "rtl/awkward.toml"
"""
PRODUCT: dict[str, Edit] = {"neuron.sv": swap("k < INPUTS", "k < INPUTS - 1")}


def checked(
    folder: Path, model: Model, check: str, edits: dict[str, Edit] | None = None, output: Path | None = None
) -> CheckRecord:
    """The record of one check of a plan beside a copy of the design."""
    folder.mkdir()
    design(folder / "rtl", edits)
    save(model, folder / "tiny.safetensors")
    np.save(folder / "images.npy", X)
    (folder / "plan.toml").write_text(HEAD + check)
    record = run_plan(load_plan(folder / "plan.toml"), output=output)
    (found,) = record.checks
    if found.kind != "rtl-fault" and found.status is Status.PASSED:
        assert any(name == "rtl rtl/awkward.toml" for name in record.hashes)
    return found


def test_right_design_passes_and_the_record_says_what_was_not_looked_at(model: Model, tmp_path: Path) -> None:
    """All taps, then none but the output; paths in the record are those of the plan."""
    whole = checked(tmp_path / "a", model, COSIM)
    assert whole.status is Status.PASSED, whole.reason
    assert "2 taps, 600 values under 2 stall pattern(s)".replace("600", str(2 * 2 * 5 * 12)) in whole.summary
    assert {run.settings["dut"] for run in whole.details.of(Simulation)} == {"rtl/awkward.toml"}
    bare = checked(
        tmp_path / "b",
        model,
        COSIM,
        {"awkward.toml": lambda text: text[: text.index("[[tap]]")] + text[text.index("[[memory]]") :]},
    )
    assert bare.status is Status.PASSED, bare.reason
    assert bare.summary.endswith("; not looked at: fc")
    assert "1 of 2 taps" in bare.summary
    assert all(run.unprobed == ("fc",) for run in bare.details.of(Simulation))
    asked = checked(
        tmp_path / "c",
        model,
        COSIM + 'taps = ["fc"]\n',
        {"awkward.toml": lambda text: text[: text.index("[[tap]]")] + text[text.index("[[memory]]") :]},
    )
    assert asked.status in (Status.FAILED, Status.ERROR)
    assert "tap 'fc' cannot be compared: the design shows no such tap" in str(asked.reason)


@pytest.mark.parametrize("named", ['"stream"', '["stream"]', '"simd"'])
def test_accelerator_that_takes_no_description_is_refused_beside_one(model: Model, tmp_path: Path, named: str) -> None:
    """Nobody can say which of the two is meant; both may be named."""
    text = COSIM + f"accelerator = {named}\n"
    with pytest.raises(FxsimError, match="sets dut, which no accelerator has that it simulates"):
        checked(tmp_path / "a", model, text)


def test_record_says_which_description_it_was(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another order is the same Verilog and other values to compare; one that changes meanwhile is an error."""
    folder = tmp_path / "a"
    passed = checked(folder, model, COSIM.replace(', "gap:3+random:{seed}"', ""))
    plan = load_plan(folder / "plan.toml")
    before = run_plan(plan).hashes
    description = folder / "rtl" / "awkward.toml"
    description.write_text(description.read_text() + "# a word\n")
    after = run_plan(plan).hashes
    assert passed.status is Status.PASSED
    assert before["dut rtl/awkward.toml"] != after["dut rtl/awkward.toml"]
    assert (
        before["dut rtl/awkward.toml"]
        == hashlib.sha256((ROOT / "tests/rtl/awkward/awkward.toml").read_bytes()).hexdigest()
    )
    assert before["rtl rtl/awkward.toml"] == after["rtl rtl/awkward.toml"]

    def changing(*arguments: Any, **options: Any) -> Any:
        description.write_text(description.read_text() + "# another\n")
        return run_cosim(*arguments, **options)

    monkeypatch.setattr(simulation, "run_cosim", changing)
    (found,) = run_plan(plan).checks
    assert (found.status, found.reason) == (Status.ERROR, "dut rtl/awkward.toml changed while the sign-off ran")


def test_what_is_said_of_compilers_is_heard(model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small design is built as FXSIM_OPTIMISE says, where it says something; nonsense there is an error."""
    asked: list[str | None] = []

    def noted(request: CosimRequest, **options: Any) -> Any:
        asked.append(request.optimise)
        return run_cosim(request, **options)

    monkeypatch.setattr(simulation, "run_cosim", noted)
    assert checked(tmp_path / "a", model, COSIM).status is Status.PASSED
    assert set(asked) == {None}
    monkeypatch.setenv("FXSIM_OPTIMISE", "-fplugin=x")
    found = checked(tmp_path / "b", model, COSIM)
    assert found.status is Status.ERROR
    assert "FXSIM_OPTIMISE is '-fplugin=x', expected" in str(found.reason)


def test_link_in_the_place_of_a_kept_failure_is_refused(model: Model, tmp_path: Path) -> None:
    """What it leads to is not touched."""
    target = tmp_path / "target"
    target.mkdir()
    (target / "replay.sh").write_text("mine")
    (tmp_path / "out" / "failures").mkdir(parents=True)
    (tmp_path / "out" / "failures" / "rtl").symlink_to(target)
    found = checked(tmp_path / "a", model, COSIM, output=tmp_path / "out")
    assert found.status is Status.ERROR
    assert "rtl is a link, expected the folder of a failure that was kept" in str(found.reason)
    assert (target / "replay.sh").read_text() == "mine"


def test_wrong_design_fails_and_is_kept(model: Model, tmp_path: Path) -> None:
    """With the first difference, what is inherited, and a folder that repeats it."""
    found = checked(tmp_path / "a", model, COSIM, PRODUCT, tmp_path / "out")
    assert found.status is Status.FAILED
    assert "tap fc" in str(found.reason)
    assert "faults of their own at fc; only inherited at out_vec" in str(found.reason)
    assert found.kept is not None
    assert (tmp_path / "out" / found.kept / "rtl" / "awkward.toml").is_file()


@pytest.mark.thorough  # builds a simulator more, that writes waveforms; the streaming accelerator's is tested always
def test_waveform_of_a_failure_has_the_signals_that_viewers_open(model: Model, tmp_path: Path) -> None:
    """The names in the viewers' files of a described design are those of the waveform, with their widths."""
    found = checked(tmp_path / "a", model, COSIM, PRODUCT, tmp_path / "out")
    assert found.kept is not None
    kept = tmp_path / "out" / found.kept
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([kept / "replay.sh"], env=os.environ | {"PATH": path}, capture_output=True, check=False)
    signals = list_signals(kept / "failure.fst")
    saved = [line for line in (kept / "failure.gtkw").read_text().splitlines() if line.startswith("TOP.")]
    assert len(saved) > 3
    for line in saved:
        bare, _, bits = line.partition("[")
        assert signals[bare] == (int(bits.removesuffix(":0]")) + 1 if bits else 1)


def test_verilog_of_another_folder_takes_the_place_of_the_descriptions(model: Model, tmp_path: Path) -> None:
    """`rtl` is relative to the plan, too; there the same names are looked for."""
    text = COSIM + 'rtl = "other"\n'
    (tmp_path / "made").mkdir()
    design(tmp_path / "made" / "other", PRODUCT)
    folder = tmp_path / "a"
    folder.mkdir()
    shutil.copytree(tmp_path / "made" / "other", folder / "other")
    design(folder / "rtl")
    save(model, folder / "tiny.safetensors")
    np.save(folder / "images.npy", X)
    (folder / "plan.toml").write_text(HEAD + text)
    (found,) = run_plan(load_plan(folder / "plan.toml")).checks
    assert found.status is Status.FAILED
    assert "tap fc" in str(found.reason)


def test_interval_is_measured_against_its_bound(model: Model, tmp_path: Path) -> None:
    """An image is nine beats, one a cycle; a bound of eight is not kept, a wrong design fails whatever its speed."""
    right = checked(tmp_path / "a", model, INTERVAL)
    assert right.status is Status.PASSED, right.reason
    short = checked(tmp_path / "b", model, INTERVAL.replace("bound = 9", "bound = 8"))
    assert short.status is Status.FAILED
    assert "9 cycles between two images, expected at most 8" in str(short.reason)
    wrong = checked(tmp_path / "c", model, INTERVAL, PRODUCT)
    assert wrong.status is Status.FAILED


def test_fault_put_into_a_copy_is_found_and_one_that_changes_nothing_is_not(model: Model, tmp_path: Path) -> None:
    """The design itself stays as it is; what the description does not list is not copied."""
    found = checked(tmp_path / "a", model, FAULT)
    assert found.status is Status.PASSED, found.reason
    assert (tmp_path / "a" / "rtl" / "neuron.sv").read_text() == (
        Path(__file__).parent / "rtl" / "awkward" / "neuron.sv"
    ).read_text()
    elsewhere = checked(tmp_path / "b", model, FAULT.replace('first_tap = "fc"', 'first_tap = "out_vec"'))
    assert elsewhere.status is Status.FAILED
    assert "first seen at fc, expected out_vec" in str(elsewhere.reason)
    harmless = checked(tmp_path / "c", model, FAULT.replace("INPUTS - 1", "INPUTS + 0"))
    assert harmless.status is Status.FAILED
    assert "was not found" in str(harmless.reason)
