"""Proofs of stream modules under every schedule: what holds is proved, what is broken is refuted, nothing is empty."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxsim.cli import main
from fxsim.devices.stream.settings import StreamSettings
from fxsim.errors import FileError, ModelError, StimulusError, ToolError
from fxsim.formats import load
from fxsim.paths import rtl_dir
from fxsim.prove.again import AGAIN
from fxsim.prove.evidence import RECORD, Evidence, recheck
from fxsim.prove.instances import elaborate
from fxsim.prove.network import stands
from fxsim.prove.schedule import ModuleProof, Progress, prove_module
from fxsim.prove.schedule_modules import MODULES as STATED
from fxsim.prove.schedule_modules import properties_of
from fxsim.prove.schedules import prove_schedules
from fxsim.simulate.sources import Sources, read_sources
from tests.conftest import ROOT

SECONDS = 20
RTL = read_sources(rtl_dir())


def broken(file: str, old: str, new: str) -> Sources:
    """The project's Verilog with one text of one file replaced, which is there once."""
    text = RTL.files[file].decode()
    assert text.count(old) == 1, (file, old)
    return Sources(RTL.folder, {**RTL.files, file: text.replace(old, new).encode()})


def prove(module: str, sources: Sources = RTL, **parameters: int) -> ModuleProof:
    """The proof of one module."""
    return prove_module(sources, properties_of(module, parameters), seconds=SECONDS)


MODULES = [
    ("axis_fifo", {"DEPTH": 5, "DATA_W": 3}),
    ("linear", {"IN": 2, "OUT": 3, "ACC_W": 17}),
    ("transpose", {"ROWS": 3, "COLS": 4}),
]
MORE = [
    ("axis_register", {}),
    ("axis_fifo", {"DEPTH": 1, "DATA_W": 8}),
    ("axis_fork", {}),
    ("relu", {}),
    ("add", {}),
    ("affine", {"CHANNELS": 3}),
    ("activation_table", {"CHANNELS": 3, "POINTS": 8, "TABLE_RULE": 2}),
    ("activation_table", {"CHANNELS": 2, "POINTS": 256, "TABLE_RULE": 3}),
    ("pool", {"TOKENS": 4, "CHANNELS": 3}),
    ("pool", {"TOKENS": 1, "CHANNELS": 3}),
    ("dot_product", {"LANES": 5, "ACC_W": 19}),
    ("frame_guard", {"BEATS": 3}),
    ("frame_tag", {"BEATS": 3}),
]


def check_proved(module: str, parameters: dict[str, int]) -> None:
    """Every property of a module is proved, and each run that must be there was seen."""
    proof = prove(module, **parameters)
    assert [(v.name, v.verdict, v.why) for v in proof.verdicts if v.verdict != "proved"] == []
    assert any(v.name.startswith("reached_") for v in proof.verdicts)


@pytest.mark.parametrize(("module", "parameters"), MODULES)
def test_modules_are_proved(module: str, parameters: dict[str, int]) -> None:
    """Modules are proved for all schedules, with all that they rest on."""
    check_proved(module, parameters)


@pytest.mark.thorough
@pytest.mark.parametrize(("module", "parameters"), MORE)
def test_further_modules_are_proved(module: str, parameters: dict[str, int]) -> None:
    """So are the others, and other parameters."""
    check_proved(module, parameters)


FAULTS = [
    # A value is dropped where the output stalls.
    ("axis_register", {}, "lib/axis_register.v", "skid_valid_reg <= 1'b1;", "skid_valid_reg <= 1'b0;"),
    # A pointer wraps one early.
    ("axis_fifo", {"DEPTH": 4}, "lib/axis_fifo.v", "(write_reg == LAST)", "(write_reg == LAST - 1'b1)"),
    # A memory of a word too few, which the netlist has all the same.
    ("axis_fifo", {"DEPTH": 4}, "lib/axis_fifo.v", "memory[0:STORED-1]", "memory[0:STORED-2]"),
    # A reset is missing.
    ("axis_fifo", {"DEPTH": 4}, "lib/axis_fifo.v", "          read_reg <= {INDEX_W{1'b0}};\n", ""),
]
MORE_FAULTS = [
    # The row that is collected is multiplied, rather than the one that is whole.
    (
        "linear",
        {"IN": 2, "OUT": 3, "ACC_W": 17},
        "stream/linear.v",
        ".x(row_reg),\n            .w(weight_row_reg[ROW_W*n+",
        ".x(collect_reg),\n            .w(weight_row_reg[ROW_W*n+",
    ),
    # The consumer's ready is ignored.
    ("relu", {}, "stream/relu.v", "else if (s_axis_tready) y_valid_reg", "else y_valid_reg"),
    # A constant of another channel, after a gap.
    ("affine", {"CHANNELS": 3}, "stream/affine.v", "= !fetched_reg || accepted;", "= !fetched_reg || s_axis_tready;"),
    # One side of a fork has a value twice.
    ("axis_fork", {}, "lib/axis_fork.v", "taken1_reg <= done1 && !done0;", "taken1_reg <= 1'b0;"),
    # The next image begins where this one has not been read.
    (
        "transpose",
        {"ROWS": 3, "COLS": 4},
        "stream/transpose.v",
        "write_index_reg > read_element_reg;",
        "write_index_reg >= read_element_reg;",
    ),
]


def check_refuted(module: str, parameters: dict[str, int], sources: Sources) -> None:
    """A fault is refuted by a run on the plain evaluator, whose last cycle breaks the property; nothing is proved."""
    proof = prove(module, sources, **parameters)
    assert not any(v.verdict == "proved" for v in proof.verdicts)
    refuted = {v.name: v for v in proof.verdicts if v.verdict == "refuted"}
    assert refuted.keys() & {"order", "exists", "gives", "stable", "once1"}
    for name, verdict in refuted.items():
        assert verdict.trace[-1][f"gh_holds_{name}"] == 0
        assert all(row[f"gh_holds_{name}"] for row in verdict.trace[:-1])
        assert any(row["rst"] for row in verdict.trace)


@pytest.mark.parametrize(("module", "parameters", "file", "old", "new"), FAULTS)
def test_broken_modules_are_refuted(module: str, parameters: dict[str, int], file: str, old: str, new: str) -> None:
    """A value dropped, a pointer off by one and a missing reset are refuted."""
    check_refuted(module, parameters, broken(file, old, new))


@pytest.mark.thorough
@pytest.mark.parametrize(("module", "parameters", "file", "old", "new"), MORE_FAULTS)
def test_further_broken_modules_are_refuted(
    module: str, parameters: dict[str, int], file: str, old: str, new: str
) -> None:
    """So are a ready ignored, a stale constant, a value twice, an image overwritten."""
    check_refuted(module, parameters, broken(file, old, new))


def test_what_does_not_hold_is_never_proved() -> None:
    """A false property, one that is true but not inductive, and a run that there cannot be are not proved."""
    good = properties_of("relu", {})
    false = replace(
        good, holds={**good.holds, "false": "gh_inside == 0"}, says={**good.says, "false": "nothing is inside"}
    )
    verdicts = {v.name: v.verdict for v in prove_module(RTL, false, seconds=SECONDS).verdicts}
    assert verdicts["false"] == "refuted"
    alone = replace(good, holds={"order": good.holds["order"]}, says={"order": good.says["order"]}, progress={})
    assert [v.verdict for v in prove_module(RTL, alone, seconds=SECONDS).verdicts] == ["unproved"]
    never = replace(good, cycles=100, reached={"never": "gh_inside == 1 && !m_axis_tvalid"})
    last = prove_module(RTL, never, seconds=SECONDS).verdicts[-1]
    assert (last.name, last.verdict) == ("reached_never", "unproved")


def test_a_promise_that_is_not_kept_is_not_proved() -> None:
    """A module that waits longer than it may is not proved to go on."""
    good = properties_of("relu", {})
    patient = replace(good, progress={"moves": Progress("gh_inside != 0", "gh_out", 5)})
    proof = prove_module(RTL, patient, seconds=SECONDS)
    assert {v.name: v.verdict for v in proof.verdicts}["moves"] == "unproved"
    assert not proof.proved


@pytest.mark.parametrize(("rows", "cols"), [(2, 2), (3, 4), (4, 3), (5, 7), (16, 10)])
def test_places_of_a_transpose_are_as_assumed(rows: int, cols: int) -> None:
    """What is assumed of places holds of i s mod L for every stride that comes, for all i: by computing them."""
    last = rows * cols - 1
    assert gcd(cols, last) == 1
    index = np.arange(last)
    stride = 1
    while True:
        places = index * stride % last
        assert len(np.unique(places)) == last
        assert ((places[:-1] + stride) % last == places[1:]).all()
        following = cols * stride % last
        elements = index * cols % last
        assert (index * following % last == places[elements]).all()
        r, c = np.divmod(elements, cols)
        assert (c * rows + r == index).all()
        stride = following
        if stride == 1:
            break


def test_design_is_modules_and_streams() -> None:
    """The accelerator is its modules, joined by one stream from one part to one other; what is not is named."""
    from fxsim.devices import DEVICES

    model = load(ROOT / "golden" / "small.safetensors")
    proofs = DEVICES["stream"].proofs
    assert proofs is not None
    design = proofs(model, StreamSettings(), None)[0]
    found = elaborate(RTL, design.top, design.parameters, design.files)
    assert found.counts["axis_fork", (("DATA_W", 8),)] == 4
    assert (
        found.counts[
            "linear", (("ACC_W", 20), ("BLOCK_ROM", 0), ("IN", 12), ("OUT", 10), ("OUTPUTS", 1), ("PACKED", 0))
        ]
        == 1
    )
    assert [found.wiring[name] for name in ("stream_resmlp", "token_mixer", "mlp")] == ["", "", ""]
    network = found.network({*STATED} - {"dot_product"})
    assert sum(part.module == "linear" for part in network.parts) == 8
    assert stands(network, 16 * 12, 9).why == ""
    skip = "block[0].token_mixer_block.residual_fifo"
    # The shorter way around a transpose must hold more than it collects.
    for depth, goes_on in ((296, True), (100, False)):
        parts = tuple(
            part._replace(parameters={"DEPTH": depth}) if part.name == skip else part for part in network.parts
        )
        assert stands(network._replace(parts=parts), 16 * 12, 9).proved is goes_on
    crossed = broken("stream/mlp.v", ".m_axis_tready(res_affine_tready)", ".m_axis_tready(residual_tready)")
    logic = broken(
        "stream/token_mixer.v", ".s1_axis_tvalid(residual_tvalid)", ".s1_axis_tvalid(residual_tvalid && !rst)"
    )
    both = {**crossed.files, "stream/token_mixer.v": logic.files["stream/token_mixer.v"]}
    wiring = elaborate(Sources(RTL.folder, both), design.top, design.parameters, design.files).wiring
    assert "not one stream" in wiring["mlp"]
    assert "logic of its own" in wiring["token_mixer"]


def test_evidence_of_schedules_is_checked_again(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`prove --schedule all -o` writes questions that z3 answers alike; one that is missing is named."""
    model = ROOT / "golden" / "small_relu.safetensors"
    with pytest.raises(SystemExit) as caught:
        main(["prove", str(model), "--schedule", "all", "--module", "relu", "-o", str(tmp_path / "e"), "--json"])
    assert caught.value.code == 0
    shown = json.loads(capfd.readouterr().out)
    assert [(m["module"], m["proved"], m["instances"]) for m in shown["modules"]] == [("relu", True, 2)]
    assert recheck(tmp_path / "e", AGAIN).wrong == ()
    record = json.loads((tmp_path / "e" / RECORD).read_text())
    gone = record["questions"].pop()["file"]
    del record["files"][gone]
    (tmp_path / "e" / gone).unlink()
    (tmp_path / "e" / RECORD).write_text(json.dumps(record))
    assert ["nothing was asked about 'offers'" in line for line in recheck(tmp_path / "e", AGAIN).wrong] == [True]


@pytest.fixture(scope="module")
def kept_relu(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evidence of one module."""
    folder = tmp_path_factory.mktemp("schedules") / "e"
    model = load(ROOT / "golden" / "small_relu.safetensors")
    evidence = Evidence(model=model)
    assert prove_schedules(model, module="relu", evidence=evidence).modules[0].proved
    evidence.write(folder)
    return folder


EMPTY = "1 sort bitvec 1\n2 input 1 clk\n3 output 2 y\n"
FORGED: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    # What z3 is to satisfy is none of the questions that prove.
    "to be satisfied": ("evidence.json", lambda text: text.replace('"unsat"', '"sat"', 1), "nothing was asked"),
    "no properties": ("netlists/00-relu.btor", lambda _: EMPTY, "other properties than are stated"),
    "no promises": ("schedules.json", lambda text: promise(text, lambda _: {}), "promises something else"),
    "later": (
        "schedules.json",
        lambda text: promise(text, lambda old: {key: (9 * cycles, by) for key, (cycles, by) in old.items()}),
        "promises something else",
    ),
    "another module": (
        "schedules.json", lambda text: text.replace('"module": "relu"', '"module": "pool"'), "other properties than",
    ),
}  # fmt: skip


def promise(text: str, change: Callable[[Any], Any]) -> str:
    """Claims with other promises."""
    claims = json.loads(text)
    claims[0]["progress"] = change(claims[0]["progress"])
    return json.dumps(claims)


@pytest.mark.parametrize("what", FORGED)
def test_evidence_of_other_properties_does_not_hold(kept_relu: Path, tmp_path: Path, what: str) -> None:
    """A netlist that states nothing, a question that is to be satisfied, later promises or none prove nothing."""
    folder = tmp_path / "e"
    shutil.copytree(kept_relu, folder)
    pattern, change, message = FORGED[what]
    (path,) = folder.glob(pattern)
    path.write_text(change(path.read_text()))
    record = json.loads((folder / RECORD).read_text())
    name = path.relative_to(folder).as_posix()
    if name != RECORD:
        record["files"][name] = hashlib.sha256(path.read_bytes()).hexdigest()
        (folder / RECORD).write_text(json.dumps(record))
    wrong = recheck(folder, AGAIN).wrong
    assert any(message in line for line in wrong), wrong


def test_what_is_not_stated_is_named() -> None:
    """Modules and devices of which nothing is stated are refused by name, and so is Verilog that does not fit."""
    with pytest.raises(ModelError, match="nothing is stated of module 'simd_core'"):
        properties_of("simd_core", {})
    more = {"linear": ("OUTPUTS", 1), "axis_register": ("DATA_W", 8)}
    more |= {"frame_guard": ("DATA_W", 8), "frame_tag": ("DATA_W", 8)}
    for module in ("relu", "add", "affine", "activation_table", "pool", "transpose", *more):
        name, one = more.get(module, ("LANES", 1))
        with pytest.raises(ModelError, match=f"nothing is stated of {module} with {name} {2 * one}, but with {one}"):
            properties_of(module, {name: 2 * one})
    model = load(ROOT / "golden" / "small.safetensors")
    with pytest.raises(ToolError, match="nothing is stated of the whole of device 'simd'"):
        prove_schedules(model, "simd")
    with pytest.raises(ToolError, match="has no module 'relu'"):
        prove_schedules(model, module="relu")
    with pytest.raises(ToolError, match=r"is proved for all schedules with no settings, expected none of .*'beat': 2"):
        prove_schedules(model, settings={"beat": 2})
    with pytest.raises(StimulusError, match="'stream' has no setting 'share_loops'"):
        prove_schedules(model, settings={"share_loops": True})
    with pytest.raises(
        ModelError, match=r"graph is not a ResMLP: its input is int8.*composed accelerator \(--accel composed\)"
    ):
        prove_schedules(load(ROOT / "golden" / "digits_ode.safetensors"))
    other = broken("stream/linear.v", ".sum(sum[", ".sum (sum[")
    with pytest.raises((ToolError, FileError), match=r"expected ' {12}\.sum"):
        prove("linear", other, IN=2, OUT=2, ACC_W=17)


def test_texts_that_name_no_rom_are_refused(tmp_path: Path) -> None:
    """A parameter that is a text, by which a module could be another one than its proof is given."""
    shutil.copytree(rtl_dir(), tmp_path / "rtl")
    path = tmp_path / "rtl" / "stream" / "affine.v"
    text, reads, file = path.read_text(), "$readmemh(W_FILE, weights)", 'parameter W_FILE = "affine_w.hex",'
    assert text.count(file) == text.count(reads) == 1
    text = text.replace(file, f"{file}\n    parameter OTHER = W_FILE,").replace(reads, "$readmemh(OTHER, weights)")
    path.write_text(text)
    proof = prove_schedules(load(ROOT / "golden" / "small_relu.safetensors"), "stream", "affine", tmp_path / "rtl")
    assert not proof.proved
    assert set(proof.unstated.values()) == {
        "its parameter W_FILE is neither a whole number nor the name of a ROM's file"
    }
