"""fxsim's own SIMD accelerator as somebody's own RTL: by registers, behind AXI4, its inside at the monitors.

Faults are told to it by a file that it reads when it starts: one build for all of them, and for none.
"""

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from fxsim.contract import TableRule
from fxsim.cosim import cosim
from fxsim.devices.described.check import check
from fxsim.errors import StimulusError
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.graph import Model
from tests.conftest import ROOT
from tests.test_origin import named

CONFIG = ResMLPConfig(4, 16, 32, 16, 2, 10, points=8, rule=TableRule.CLAMP)
RANDOM = np.random.default_rng(20261201)
X = RANDOM.integers(-128, 128, (3, 4, 16)).astype(np.int8)
FAULTS = {
    # A sum that is not saturated.
    "add": ("lib/saturating_add.v", "assign y = fits ?", "assign y = fits || fault ?"),
    # A table whose segments have their ends exchanged.
    "table": ("simd/table_lane.v", "start = odd_reg ?", "start = odd_reg ^ fault ?"),
    # Bursts of full length from wherever they begin.
    "burst": ("simd/axi_reader.v", "{1'b0, address[OFFSET_W-1:0] & MASK}",
              "(fault ? {OFFSET_W + 1{1'b0}} : {1'b0, address[OFFSET_W-1:0] & MASK})"),
    # An answer that is an error, and is not looked at.
    "answer": ("simd/axi_writer.v", "m_axi_bresp != 2'd0", "m_axi_bresp != 2'd0 && !fault"),
    # Not the last beat of a burst.
    "last": ("simd/simd_memory.v", "m_axi_wlast = 1'b1", "m_axi_wlast = !fault"),
}  # fmt: skip


@pytest.fixture(scope="module")
def model() -> Model:
    """Two blocks with tables, all channels multiples of 16, values over the whole range."""
    parameters: dict[str, npt.NDArray[Any]] = {}
    for name, shape in resmlp_parameters(CONFIG).items():
        shifts = name.endswith("shift")
        parameters[name] = RANDOM.integers(4, 9, shape).astype(np.uint8) if shifts else (
            RANDOM.integers(-128, 128, shape).astype(np.int8)
        )  # fmt: skip
    return Model(build_resmlp(CONFIG, parameters), "psa")


def kind_of(tap: str) -> str:
    """What a tap's node is: add, psa."""
    return tap.rpartition(".")[2].partition("_")[0]


def described(folder: Path, fault: str | None = None) -> Path:
    """The accelerator's sources and their description in a folder, perhaps with a fault; returns the description."""
    folder.mkdir()
    for name in ("lib", "simd"):
        shutil.copytree(ROOT / "rtl" / name, folder / name)
    text = (Path(__file__).parent / "rtl" / "simd" / "simd.toml").read_text()
    # The command of this interpreter, wherever it is.
    text = text.replace('"fxsim"', f'"{sys.executable}", "-m", "fxsim"')
    if fault is not None:
        text = text.replace('clock = "clk"', 'files = ["fault.hex"]\nclock = "clk"')
        (folder / "fault.hex").write_text(f"{list(FAULTS).index(fault) + 1 if fault else 0:x}\n")
        for number, (file, old, new) in enumerate(FAULTS.values(), 1):
            verilog = (folder / file).read_text()
            assert old in verilog, old
            given = (
                f'reg [3:0] told[0:0];\n  initial $readmemh("fault.hex", told);\n  wire fault = told[0] == {number};'
            )
            head, rest = verilog.split(");\n", 1)
            (folder / file).write_text(f"{head});\n  {given}\n{rest.replace(old, new)}")
    (folder / "simd.toml").write_text(text)
    return folder / "simd.toml"


def test_description_fits_the_accelerator_as_it_is(model: Model, tmp_path: Path) -> None:
    """Every tap is shown; sizes of the program, the image and the result become values of registers."""
    found = check(described(tmp_path / "a"), model)
    assert (found.problems, found.unprobed) == ((), ())
    assert {line.name for line in found.taps} == set(model.graph.taps)


@pytest.mark.verilator
@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "tap", "kinds"),
    [
        pytest.param("", None, set(), marks=pytest.mark.thorough),
        pytest.param("add", "blocks.0.token_mixer.add", set(), marks=pytest.mark.thorough),
        ("table", "blocks.0.mlp.psa_1", set()),
        pytest.param("burst", None, {"burst crosses 4 KiB"}, marks=pytest.mark.thorough),
        pytest.param("last", None, {"wlast missing"}, marks=pytest.mark.thorough),
    ],
)
def test_faults_inside_are_located(model: Model, tmp_path: Path, fault: str, tap: str | None, kinds: set[str]) -> None:
    """At the first tap that is wrong, though stages show their layers one after the other; under stalls, too."""
    path = described(tmp_path / "a", fault)
    result = cosim(model, X, accel="described", dut=str(path), optimise="-O0", stall="random:3")
    assert result.passed == (fault == "")
    first = result.verdict.first_mismatch
    assert (None if first is None else first.tap) == tap
    assert {found.kind for found in result.verdict.faults} == kinds
    if tap is not None:
        # The module serves every layer of its kind: all are named, and what only got wrong values is not.
        own = named(result)
        assert own[0] == tap
        assert {kind_of(name) for name in own} == {kind_of(tap)}
    if fault == "":
        compared = {name: found.compared for name, found in result.streams.taps.items()}
        assert compared == {name: 3 * int(np.prod(model.graph.shapes[name])) for name in model.graph.taps}
        assert result.streams.output.compared == 3 * 10


@pytest.mark.verilator
@pytest.mark.slow
def test_errors_on_the_bus_end_a_job_as_the_description_says(model: Model, tmp_path: Path) -> None:
    """Jobs in which memory answers with an error end with the status of one, and are done again; one that hides it."""
    path = described(tmp_path / "a", "")
    right = cosim(model, X, accel="described", dut=str(path), optimise="-O0", stall="random:3+error:5:6")
    assert (right.passed, right.verdict.faults, right.streams.output.compared) == (True, (), 3 * 10)
    (tmp_path / "a" / "fault.hex").write_text(f"{list(FAULTS).index('answer') + 1:x}\n")
    wrong = cosim(model, X, accel="described", dut=str(path), optimise="-O0", stall="error:5:6")
    assert not wrong.passed
    assert [(fault.kind, fault.detail) for fault in wrong.verdict.faults] == [
        ("wrong value in a register", "read of register 0x8 is 0x2, expected 0x4"),
    ]


def test_errors_on_the_bus_need_words_on_how_a_job_ends(model: Model, tmp_path: Path) -> None:
    """Refused before anything is built: steps that are missing, and such that cannot be."""
    path = described(tmp_path / "a")
    text = path.read_text()
    start, end = text.index("error = ["), text.index("[[axi4]]")
    path.write_text(text[:start] + text[end:])
    with pytest.raises(StimulusError, match=r"'error:1': .*simd.toml does not say how .*: expected its steps under"):
        cosim(model, X, accel="described", dut=str(path), stall="error:1")
    path.write_text(text.replace("{ read = 0x08, value = 0x4, mask = 0x4 }", '{ wait = "irc" }'))
    assert [problem.partition(": ")[2] for problem in check(path, model).problems] == [
        "wait: the design has no port 'irc'; the nearest that there is: 'irq'"
    ]
