"""Proofs of the SIMD accelerator's modules under every schedule: what is stated holds, and each fault is refuted."""

import pytest

from benchmarks.proofs import CHANGES, Change
from fxsim.errors import ToolError
from fxsim.formats import load
from fxsim.paths import rtl_dir
from fxsim.prove.schedule import ModuleProof, prove_module
from fxsim.prove.schedule_simd import SIMD
from fxsim.prove.schedules import prove_schedules
from fxsim.simulate.sources import Sources, read_sources
from tests.conftest import ROOT

RTL = read_sources(rtl_dir())
_READ_ONLY = (
    "ACTIVATION_WORDS", "IMAGE_WORDS", "RESIDUAL_WORDS", "WEIGHT_WORDS", "TABLE_WORDS", "CONSTANT_GROUPS", "CHUNKS",
    "LAYERS", "ACC_W",
)  # fmt: skip
READER = {"ADDRESS_W": 32, "BURST": 4, "CREDITS": 8}
SIZES = {
    "axi_reader": READER,
    "axi_writer": {"ADDRESS_W": 32, "OUTSTANDING": 3},
    "axi_read_arbiter": {"ADDRESS_W": 32},
    "simd_registers": {name: 100 + i for i, name in enumerate(_READ_ONLY)},
    "block_transpose": {},
    "simd_control": {"ADDRESS_W": 32, "QUIET": 3},
    "simd_sequencer": {"WEIGHT_WORDS": 64, "TABLE_WORDS": 8, "CONSTANT_GROUPS": 4, "CHUNKS": 4, "LAYERS": 4},
    "simd_loader": {
        "ACTIVATION_WORDS": 64, "IMAGE_WORDS": 32, "RESIDUAL_WORDS": 64, "WEIGHT_WORDS": 64, "TABLE_WORDS": 8,
        "CONSTANT_GROUPS": 4, "CHUNKS": 4, "LAYERS": 4, "ACC_W": 26,
    },
}  # fmt: skip
"""Parameters of each module, small ones."""


def prove(module: str, parameters: dict[str, int], sources: Sources = RTL) -> ModuleProof:
    """The proof of one module."""
    return prove_module(sources, SIMD[module](parameters), seconds=20)


def check_proved(module: str, parameters: dict[str, int]) -> None:
    """Every property of a module is proved, and each run that must be there was seen."""
    proof = prove(module, parameters)
    assert [(v.name, v.verdict, v.why) for v in proof.verdicts if v.verdict != "proved"] == []
    assert any(v.name.startswith("reached_") for v in proof.verdicts)


@pytest.mark.parametrize("module", ["axi_writer", "axi_read_arbiter", "simd_registers"])
def test_modules_keep_to_the_protocol(module: str) -> None:
    """The writer, the arbiter and the registers are proved for all schedules, with all that they rest on."""
    check_proved(module, SIZES[module])


@pytest.mark.slow
@pytest.mark.thorough
@pytest.mark.parametrize("module", ["block_transpose", "simd_loader", "simd_sequencer", "simd_control"])
def test_modules_do_what_is_stated(module: str) -> None:
    """So are each byte of a block, turned or not; each word of the parameters; tiles; a run from start to end."""
    check_proved(module, SIZES[module])


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameters",
    [
        READER,
        pytest.param({"ADDRESS_W": 64, "BURST": 1, "CREDITS": 1}, marks=pytest.mark.thorough),
        pytest.param({"ADDRESS_W": 64, "BURST": 64, "CREDITS": 256}, marks=pytest.mark.thorough),
    ],
)
def test_readers_keep_to_the_protocol(parameters: dict[str, int]) -> None:
    """So are readers, of the smallest sizes and of those that are built."""
    check_proved("axi_reader", parameters)


FAULTS = [change for change in CHANGES if change.breaks]
SLOW = ("axi_reader", "simd_loader", "simd_sequencer", "simd_control")
"""Modules of which faults take seconds each: the first of each is looked at in every run."""
_FIRST = {next(n for n, c in enumerate(FAULTS) if c.module == module) for module in SLOW}


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(
            c, marks=[pytest.mark.slow, *([] if n in _FIRST else [pytest.mark.thorough])] if c.module in SLOW else []
        )
        for n, c in enumerate(FAULTS)
    ],
    ids=[f"{c.module}-{c.breaks}-{i}" for i, c in enumerate(FAULTS)],
)
def test_faults_are_refuted(change: Change) -> None:
    """Each fault breaks the property that speaks of it, in a run on the plain evaluator; nothing else is proved."""
    text, broken = RTL.files[change.file].decode(), change.breaks
    assert text.count(change.before) == 1
    changed = text.replace(change.before, change.after).encode()
    proof = prove(change.module, SIZES[change.module], Sources(RTL.folder, {**RTL.files, change.file: changed}))
    assert not any(v.verdict == "proved" for v in proof.verdicts)
    refuted = {v.name: v for v in proof.verdicts if v.verdict == "refuted"}
    assert broken in refuted
    trace = refuted[broken].trace
    assert trace[-1][f"gh_holds_{broken}"] == 0
    assert all(row[f"gh_holds_{broken}"] for row in trace[:-1])
    assert any(row["rst"] for row in trace)
    assumed = [name for name in trace[0] if name.startswith("gh_assumed_")]
    assert all(row[name] for row in trace for name in assumed)


def test_modules_are_proved_with_the_sizes_that_are_built() -> None:
    """The accelerator's own parameters are taken; of its whole nothing is stated, and what is not is named."""
    model = load(ROOT / "golden" / "small.safetensors")
    proof = prove_schedules(model, "simd", "axi_read_arbiter")
    assert (proof.proved, [one.parameters for one in proof.modules], proof.counts) == (True, [{"ADDRESS_W": 64}], (1,))
    with pytest.raises(ToolError, match=r"of the whole of device 'simd'.*modules: axi_reader, axi_writer"):
        prove_schedules(model, "simd")
    core = prove_schedules(model, "simd", "simd_core")
    assert (core.proved, core.modules, core.unstated.keys()) == (False, (), {"simd_core"})
    with pytest.raises(ToolError, match="has no module 'relu' with properties of its own, expected: axi_read_arbiter"):
        prove_schedules(model, "simd", "relu")
