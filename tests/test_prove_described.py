"""Proofs of somebody's own RTL: what is equal for all images is proved, what is not, or cannot be said, never is."""

import hashlib
import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

import fxsim.prove.kept as kept
from fxsim.cli import main
from fxsim.devices import DEVICES, make_settings
from fxsim.engines import run
from fxsim.errors import FxsimError
from fxsim.formats import save
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Linear, Relu
from fxsim.prove.again import AGAIN
from fxsim.prove.blocks import PROVED, REFUTED, UNPROVED
from fxsim.prove.evidence import Evidence, recheck
from fxsim.prove.forms_again import forms_again
from fxsim.prove.run import Proof, ProofRequest, ProofResult, Refutation, prove
from fxsim.prove.shown import shrink
from fxsim.signoff import Status, load_plan, run_plan
from fxsim.signoff.checks.proof import ForAllInputs
from fxsim.simulate.differences import Differences
from tests.test_described import RELU, Edit, design, swap
from tests.test_described_stream import SMALL, small
from tests.test_signoff import by_name, write_plan

RANDOM = np.random.default_rng(20261130)
SHIFTS = np.array([8, 0, 9, 7], np.uint8)


@pytest.fixture(scope="module")
def model() -> Model:
    """A linear, with a shift of 0 among others, and a ReLU, as the awkward design computes them."""
    weight = RANDOM.integers(-128, 128, (4, 6)).astype(np.int8)
    nodes = (
        Node("fc", Linear(weight, np.array([3, -90, 0, 100], np.int8), SHIFTS), (INPUT,)),
        Node("act", Relu(), ("fc",)),
    )
    return Model(Graph((3, 6), nodes), "tiny")


def ask(model: Model, dut: Path, **options: Any) -> Proof:
    """The proof of a described design, alone."""
    request = ProofRequest(model, "described", {"dut": str(dut)}, simulate=False)
    (proof,) = prove(replace(request, **options)).proofs
    return proof


def ask_for(model: Model, dut: Path, evidence: Evidence, images: int = 1) -> None:
    """The proof of a described design, with evidence."""
    request = ProofRequest(model, "described", {"dut": str(dut)}, images=images, simulate=False)
    assert prove(request, evidence=evidence).status == PROVED


HELD = """
module held (
    input logic clk, input logic rst_n, input logic [47:0] x, input logic x_valid,
    output logic [47:0] y, output logic y_valid
);
  always_ff @(posedge clk or negedge rst_n)
    if (!rst_n) y_valid <= 0;
    else begin
      y_valid <= x_valid;
      for (int i = 0; i < 6; i++) y[8*i+:8] <= x[8*i+7] ? 8'd0 : x[8*i+:8];
    end
endmodule
"""
HELD_TOML = """
top = "held"
sources = "held.sv"
clock = "clk"
reset = { signal = "rst_n", active = "low" }
[[stream]]
role = "input"
signals = { data = "x", valid = "x_valid" }
lanes = 6
[[stream]]
role = "output"
signals = { data = "y", valid = "y_valid" }
lanes = 6
"""


@pytest.mark.parametrize("zero", ["8'd0", "8'd1"])
def test_registers_that_an_asynchronous_reset_leaves_as_they_are_are_read(tmp_path: Path, zero: str) -> None:
    """Data beside a valid, where the valid alone is reset: proved, and refuted where the value is another."""
    path = tmp_path / "held.toml"
    path.write_text(HELD_TOML)
    (tmp_path / "held.sv").write_text(HELD.replace("8'd0", zero))
    proof = ask(RELU, path)
    assert (proof.status, proof.stopped) == (PROVED if zero == "8'd0" else REFUTED, "")


STORED = """
module held (
    input logic clk, input logic rst_n, input logic [47:0] x, input logic x_valid,
    output logic [47:0] y, output logic y_valid
);
  logic [47:0] relu, words [0:3];
  logic held;
  always_comb for (int i = 0; i < 6; i++) relu[8*i+:8] = x[8*i+7] ? 8'd0 : x[8*i+:8];
  WRITES
  always_ff @(posedge clk or negedge rst_n)
    if (!rst_n) {held, y_valid} <= 0;
    else {held, y_valid} <= {x_valid, held};
  always_ff @(posedge clk) y <= words[1];
endmodule
"""
TWICE = {
    "one process": ("always @(posedge clk) if (x_valid) begin words[1] <= 7; words[1] <= relu; end", True),
    "two": ("always @(posedge clk) if (x_valid) words[1] <= 7;\nalways @(posedge clk) words[1] <= relu;", False),
    "other words": ("always @(posedge clk) words[2] <= 7;\nalways @(posedge clk) if (x_valid) words[1] <= relu;", True),
    "other bits": (
        "always @(posedge clk) if (x_valid) words[1][47:9] <= relu[47:9];\n"
        "always @(posedge clk) if (x_valid) words[1][8:0] <= relu[8:0];", True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", TWICE)
def test_what_two_processes_write_at_once_is_unknown(tmp_path: Path, what: str) -> None:
    """In Verilog either may come last, also where Yosys has the right one last; in one process the last one counts."""
    writes, good = TWICE[what]
    path = tmp_path / "held.toml"
    path.write_text(HELD_TOML)
    (tmp_path / "held.sv").write_text(STORED.replace("WRITES", writes))
    proof = ask(RELU, path)
    assert proof.status == (PROVED if good else UNPROVED)
    assert [finding.text for finding in proof.findings[:1]] == ([] if good else ["it depends on an x of the Verilog"])


@pytest.mark.parametrize("schedule", ["none", "random:3"])
@pytest.mark.parametrize("ready", ["!y_valid || y_ready", "1'b1"])
def test_what_is_proved_is_of_the_schedule_that_was_run(tmp_path: Path, schedule: str, ready: str) -> None:
    """A register that drops what waits at its output: proved where nothing waits, and refuted with stalls."""
    text = HELD.replace("output logic y_valid", "output logic y_valid, input logic y_ready, output logic x_ready")
    text = text.replace("\n  always_ff", f"\n  assign x_ready = {ready};\n  always_ff").replace(
        "else begin", "else if (x_ready) begin"
    )
    (tmp_path / "held.sv").write_text(text)
    path = tmp_path / "held.toml"
    path.write_text(
        HELD_TOML.replace('"x_valid" }', '"x_valid", ready = "x_ready" }').replace(
            '"y_valid" }', '"y_valid", ready = "y_ready" }'
        )
    )
    assert ask(RELU, path, schedule=schedule, images=4).status == (
        REFUTED if (schedule, ready) == ("random:3", "1'b1") else PROVED
    )


def without_tap(text: str) -> str:
    """A description of the awkward design that shows nothing inside it."""
    head, rest = text.split("[[tap]]")
    return f"{head}[[memory]]{rest.split('[[memory]]', 1)[1]}"


@pytest.mark.parametrize("shown", [True, False])
def test_a_design_is_proved_at_its_taps_and_its_output(tmp_path: Path, model: Model, shown: bool) -> None:
    """SystemVerilog with packages, lanes from above, tokens from the last; without the tap, both operators in one."""
    edits: dict[str, Edit] = {} if shown else {"awkward.toml": without_tap}
    proof = ask(model, design(tmp_path / "d", edits), schedule="random:3", images=2)
    assert (proof.status, proof.stopped, proof.findings) == (PROVED, "", ())
    assert {tap.stream: (tap.values, tap.proved) for tap in proof.taps} == {
        **({"fc": (24, 24)} if shown else {}), "out_vec": (24, 24),
    }  # fmt: skip


@pytest.mark.parametrize(
    ("file", "edit", "tap", "sample"),
    [
        ("neuron.sv", swap("scaled += 21'(sum[5'(shift_i - 1)]);", ";"), "fc", True),
        ("neuron.sv", swap("scaled > 127) q = 127", "scaled > 127) q = 126"), "fc", True),
        ("awkward.sv", swap("q < 0 ? '0 : q", "q <= -127 ? '0 : q"), "act", True),
        # One value of all: no sample has it, and trying all does.
        ("awkward.sv", swap("q < 0 ? '0 : q", "q < 0 ? '0 : q == 77 ? 8'd78 : q"), "act", False),
        ("awkward.toml", swap('lane_order = "high"', 'lane_order = "low"'), "fc", True),
        ("awkward.toml", swap("g_out[3].u_neuron.q_o, g_out[2]", "g_out[2].u_neuron.q_o, g_out[3]"), "fc", True),
    ],
)  # fmt: skip
def test_a_fault_or_a_wrong_description_is_found(
    tmp_path: Path, model: Model, file: str, edit: Edit, tap: str, sample: bool
) -> None:
    """At the tap behind it, by a sample or by values of the taps before it."""
    proof = ask(model, design(tmp_path / "d", {file: edit}))
    # Values before it that no image may have refute nothing.
    assert proof.status == (REFUTED if sample else UNPROVED)
    assert proof.findings[0].tap == tap
    assert {finding.kind for finding in proof.findings} <= {"sample", "differs"}
    assert any(finding.kind == "sample" for finding in proof.findings) is sample
    # A sum of a linear is of all six values of its token, and what is told of it has them all.
    assert {len(finding.witness) for finding in proof.findings if (finding.tap, finding.kind) == ("fc", "sample")} <= {
        6
    }


def test_a_tap_that_is_missing_between_two_sums_is_named(tmp_path: Path) -> None:
    """Generated Verilog of two layers that shows nothing inside: no form is known, and it is no pass."""
    from tests.test_described_alkaid import KEPT, described, network

    shutil.copytree(KEPT / "sat_rnd", tmp_path / "d")
    shutil.copy(KEPT / "primitives.v", tmp_path / "d")
    dut = described(tmp_path / "d")
    with pytest.raises(FxsimError, match='latency is "find", expected a number of cycles'):
        ask(network(), dut)
    dut.write_text(dut.read_text().replace('"find"', "5"))
    proof = ask(network(), dut)
    assert (proof.status, proof.values, proof.proved) == (UNPROVED, 3, 0)
    assert {finding.text for finding in proof.findings} == {
        "'fc2' is computed of 'relu', which is not shown: describe it as a tap"
    }


@pytest.mark.parametrize(
    ("file", "edit", "message"),
    [
        ("awkward.sv", swap("(posedge clk_i)\n", "(negedge clk_i)\n"), "something else than the rising"),
        ("awkward.sv", swap("always_ff @(posedge clk_i)\n", "always_latch\n"), "is a latch"),
        ("awkward.sv", swap("      beat <= 0;", "      beat <= #1 0;"), "awkward.sv:31: unsynth.*timing.*Verilog-2005"),
        ("awkward.toml", swap('name = "fc"', 'name = "fd"'), "fd"),
        (
            "awkward.sv", swap("out_vec[8*n+:8] <= q < 0 ? '0 : q;", "unique case (1'b1) q < 0: out_vec[8*n+:8] <= '0; "
            "q != 77: out_vec[8*n+:8] <= q; default: out_vec[8*n+:8] <= 78; endcase"), "awkward.sv:60: 'unique case'",
        ),
    ],
)  # fmt: skip
def test_what_is_not_proved_is_refused_by_name(
    tmp_path: Path, model: Model, file: str, edit: Edit, message: str
) -> None:
    """Clocks and latches that BTOR2 does not have, text that is no Verilog, taps that are not there."""
    with pytest.raises(FxsimError, match=message):
        ask(model, design(tmp_path / "d", {file: edit}))


def test_a_unique_case_of_different_constants_is_read_alike(tmp_path: Path, model: Model) -> None:
    """No two of its items can be the same; macros of slang's own are not defined, as they are not for Verilator."""
    text = (
        "unique case (q[7]) 1'b0: out_vec[8*n+:8] <= q; default: out_vec[8*n+:8] <= '0; endcase\n"
        "`ifdef __slang_major__\nassign out_vec[0] = 0;\n`endif\n"
    )
    dut = design(tmp_path / "d", {"awkward.sv": swap("out_vec[8*n+:8] <= q < 0 ? '0 : q;", text)})
    assert ask(model, dut).status == PROVED


def test_jobs_modules_and_other_folders_are_refused_by_name(tmp_path: Path, model: Model) -> None:
    """What is not there to be proved of a described design, each with the reason."""
    dut = design(tmp_path / "d")
    with pytest.raises(FxsimError, match="'neuron' of a described design is not proved alone"):
        ask(model, dut, module="neuron")
    with pytest.raises(FxsimError, match="in place of a described design's is not taken"):
        ask(model, dut, rtl=tmp_path)
    jobs = Path(__file__).parent / "rtl" / "jobs" / "jobs.toml"
    description = tmp_path / "jobs.toml"
    shutil.copy(jobs.with_name("jobs.v"), tmp_path)
    description.write_text(jobs.read_text())
    with pytest.raises(FxsimError, match="works off jobs is not proved"):
        ask(model, description)


def test_a_kept_proof_rests_on_the_description_and_all_files(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same is taken; a description, a source or a memory file that differs makes it another proof."""
    monkeypatch.setattr(kept, "cache_dir", lambda: tmp_path / "kept")
    dut = design(tmp_path / "d")
    assert [ask(model, dut, kept=True).cached for _ in range(2)] == [False, True]
    dut.write_text(dut.read_text() + "# the same\n")
    assert not ask(model, dut, kept=True).cached
    source = dut.parent / "neuron.sv"
    source.write_text(source.read_text() + "// the same\n")
    assert not ask(model, dut, kept=True).cached
    assert ask(model, dut, kept=True).cached


def test_the_command_and_signoff_take_a_description(
    tmp_path: Path, model: Model, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """--dut with evidence that is checked again; a plan's check with dut keeps the hashes of what it rests on."""
    simple = design(tmp_path / "d")
    save(model, tmp_path / "tiny.safetensors")
    without = lambda request, **options: prove(replace(request, simulate=False), **options)  # noqa: E731
    monkeypatch.setattr("fxsim.cli.prove_rtl.prove", without)
    monkeypatch.setattr("fxsim.prove.run.prove", without)
    monkeypatch.setattr(kept, "cache_dir", lambda: tmp_path / "kept")
    words = ["prove", str(tmp_path / "tiny.safetensors"), "--dut", str(simple)]

    def call(*words: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main([*words])
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out or err

    status, text = call(*words, "--json", "-o", str(tmp_path / "evidence"))
    found = json.loads(text)
    assert (status, found["status"], found["device"], found["proofs"][0]["name"]) == (0, PROVED, "described", "awkward")
    assert call("prove", "--recheck", str(tmp_path / "evidence"))[0] == 0
    status, text = call(*words, "--accel", "stream")
    assert (status, "--dut describes your own RTL" in text) == (2, True)
    status, text = call(*words, "--schedule", "all")
    assert (status, "--schedule all is of fxsim's own modules" in text) == (2, True)
    plan = (
        '[models.tiny]\nfile = "tiny.safetensors"\n[[check]]\nkind = "proof"\nname = "proof"\nmodel = "tiny"\n'
        'what = ["accelerator"]\ndut = "d/awkward.toml"\n'
    )
    record = run_plan(load_plan(write_plan(tmp_path, plan)))
    check = by_name(record)["proof"]
    assert check.status is Status.PASSED, check.reason
    (row,) = check.details.of(ForAllInputs)
    assert (row.of, row.design, row.status, row.count) == ("described", "awkward", PROVED, 24)
    device = DEVICES["described"]
    fitted = device.fit(model, make_settings(device.name, device.settings, {"dut": str(simple)}))
    assert record.hashes["rtl d/awkward.toml"] == fitted.design.read().sha256  # as a simulation in the plan
    assert "dut d/awkward.toml" in record.hashes


ALTERED: dict[str, tuple[Callable[[dict[str, Any]], None], str]] = {
    "a coefficient": (lambda a: add_to(a, "lists", a["lists_at"][a["classes"][0, 1]]), "not the model's weights"),
    "a variable": (lambda a: add_to(a, "lists", a["lists_at"][a["values"][0, 2]]), "its variables are not the model's"),
    "a table": (lambda a: add_to(a, "tables", 200), "its table is not the contract's"),
    "a width": (lambda a: put(a["classes"], (0, 3), 12), "12 bits do not hold its sum"),
    "a bound": (lambda a: put(a["classes"], (0, 5), 100), "beyond what is stated"),
    "what is added": (lambda a: add_to(a["classes"][0], 6), "beyond what is stated"),
    "another question": (lambda a: put(a["classes"], (0, 2), 1), "its question does not say, or says besides"),
    "no question": (lambda a: put(a["questions"], 0, "0" * 64), "is not among those that were asked"),
    "a value less": (lambda a: a.update(values=a["values"][1:]), "nothing is claimed of it"),
    "a value twice": (lambda a: a.update(values=a["values"][[0, *range(len(a["values"]))]]), "there twice"),
    "a value more": (lambda a: a.update(values=np.vstack([a["values"], [[999, 0, 0]]])), "that its taps do not have"),
}


def add_to(array: Any, *at: Any) -> None:
    """One more at a place."""
    of = array
    for place in at[:-1]:
        of = of[place]
    of[at[-1]] += 1


def put(array: Any, at: Any, value: Any) -> None:
    """Another value at a place."""
    assert array[at] != value
    array[at] = value


@pytest.fixture(scope="module")
def kept_forms(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    """The evidence of the awkward design, of two images."""
    folder = tmp_path_factory.mktemp("forms")
    evidence = Evidence(model=model)
    ask_for(model, design(folder / "d"), evidence, images=2)
    evidence.write(folder / "evidence")
    return folder / "evidence"


def test_forms_are_checked_again_from_the_model(kept_forms: Path, model: Model, tmp_path: Path) -> None:
    """Sums by questions, a rectifier by a table; of a hidden tap both in one table; what is missing is refused."""
    claims = (kept_forms / "forms.json").read_bytes()
    assert forms_again(kept_forms, claims) == []
    evidence = Evidence(model=model)
    ask_for(model, design(tmp_path / "d", {"awkward.toml": without_tap}), evidence)
    evidence.write(tmp_path / "hidden")
    assert forms_again(tmp_path / "hidden", (tmp_path / "hidden" / "forms.json").read_bytes()) == []
    more = json.loads(claims)
    more[0]["images"] = 3
    assert "image 2, 'fc', value 0: nothing is claimed of it" in forms_again(kept_forms, json.dumps(more).encode())[0]
    less = json.loads(claims)
    less[0]["taps"] = ["act"]
    assert "'fc', which is neither given nor proved" in forms_again(kept_forms, json.dumps(less).encode())[0]
    less[0]["taps"], less[0]["shown"] = ["fc"], ["fc", "input"]
    assert "but not 'act' of the input" in forms_again(kept_forms, json.dumps(less).encode())[0]


@pytest.mark.parametrize("what", ALTERED)
def test_altered_forms_are_refused(kept_forms: Path, tmp_path: Path, what: str) -> None:
    """Each part of a form is held against the model."""
    change, message = ALTERED[what]
    folder = tmp_path / "e"
    shutil.copytree(kept_forms, folder)
    (file,) = (folder / "forms").iterdir()
    with np.load(file, allow_pickle=False) as kept_arrays:
        arrays: dict[str, Any] = {name: kept_arrays[name] for name in kept_arrays.files}
    change(arrays)
    np.savez_compressed(file, **arrays)
    wrong = forms_again(folder, (folder / "forms.json").read_bytes())
    assert wrong
    assert message in wrong[0]


@pytest.mark.parametrize(
    "more", ["\n(assert false)", "\n(define-fun r900 () Bool true) (assert false)", "(assert false)"]
)
def test_a_question_that_assumes_more_is_refused(kept_forms: Path, tmp_path: Path, more: str) -> None:
    """Beside what is stated a question gives terms names, a line each, and asserts nothing."""
    folder = tmp_path / "e"
    shutil.copytree(kept_forms, folder)
    for path in (folder / "questions").iterdir():
        old = path.read_text()
        at = old.index("\n", old.index("(define-fun r0"))
        path.write_text(old[:at] + more + old[at:])
    record = json.loads((folder / "evidence.json").read_text())
    texts = {name: (folder / name).read_bytes() for name in record["files"]}
    sums = {record["files"][name]: hashlib.sha256(text).hexdigest() for name, text in texts.items()}
    (file,) = (folder / "forms").iterdir()
    with np.load(file, allow_pickle=False) as kept_arrays:
        arrays: dict[str, Any] = {name: kept_arrays[name] for name in kept_arrays.files}
    arrays["questions"] = np.array([sums[old] for old in arrays["questions"].tolist()])
    np.savez_compressed(file, **arrays)
    wrong = forms_again(folder, (folder / "forms.json").read_bytes())
    assert wrong
    assert "its question does not say, or says besides" in wrong[0]


def edit_json(folder: Path, name: str, edit: Callable[[Any], Any]) -> None:
    """Change a JSON file of evidence, and its hash in the record."""
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(edit(content) or content))
    if name != "evidence.json":
        sha256 = hashlib.sha256((folder / name).read_bytes()).hexdigest()
        edit_json(folder, "evidence.json", lambda record: record["files"].update({name: sha256}))


UNFIT: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "no part": ("evidence.json", lambda record: record["parts"].clear(), "nothing is claimed"),
    "no result": ("evidence.json", lambda record: record["parts"].pop("result") and None, "result of the runs is miss"),
    "no form": ("forms.json", lambda _: [0], "forms.json"),
    "no claim": ("forms.json", lambda claims: claims.clear(), "of other runs than the forms"),
    "fewer images": (
        "result.json",
        lambda result: result["proofs"][0].update(images=1),
        "of other runs than the forms",
    ),
    "refuted": ("result.json", lambda result: result.update(status=REFUTED), "the whole was refuted"),
    "unproved": ("result.json", lambda result: result["proofs"][0].update(status=UNPROVED), "was unproved"),
    "nothing": ("result.json", lambda result: result["proofs"][0].update(values=0, proved=0), "0 of 0 values"),
    "a value less": ("result.json", lambda result: result["proofs"][0].update(proved=47), "47 of 48 values"),
    "stopped": ("result.json", lambda result: result["proofs"][0].update(stopped="amid it"), "amid it"),
    "other RTL": ("result.json", lambda result: result["proofs"][0].update(btor2_sha256="0" * 64), "the netlist of"),
    "another model": ("result.json", lambda result: result.update(model="other"), "of the model 'other'"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_evidence_of_less_than_was_asked_for_does_not_hold(kept_forms: Path, tmp_path: Path, what: str) -> None:
    """Nothing claimed, parts left out, a result that is no proof, another model or another netlist."""
    name, edit, message = UNFIT[what]
    folder = tmp_path / "e"
    shutil.copytree(kept_forms, folder)
    edit_json(folder, name, edit)
    try:
        wrong = recheck(folder, AGAIN).wrong
    except FxsimError as error:
        wrong = (str(error),)
    assert any(message in line for line in wrong), wrong


def test_evidence_of_a_refuted_design_or_behind_a_link_does_not_hold(
    kept_forms: Path, tmp_path: Path, model: Model
) -> None:
    """What was found wrong says so when it is checked again; a file elsewhere is none of the evidence."""
    evidence = Evidence(model=model)
    dut = design(tmp_path / "d", {"neuron.sv": swap("scaled > 127) q = 127", "scaled > 127) q = 126")})
    request = ProofRequest(model, "described", {"dut": str(dut)}, simulate=False)
    assert prove(request, evidence=evidence).status == REFUTED
    evidence.write(tmp_path / "refuted")
    wrong = recheck(tmp_path / "refuted", AGAIN).wrong
    assert any("was refuted" in line for line in wrong)
    assert [line.endswith("values are proved") for line in wrong].count(True) == 1, wrong
    shutil.copytree(kept_forms, tmp_path / "linked")
    assert recheck(tmp_path / "linked", AGAIN).wrong == ()
    (tmp_path / "linked" / "result.json").rename(tmp_path / "result.json")
    (tmp_path / "linked" / "result.json").symlink_to(tmp_path / "result.json")
    with pytest.raises(FxsimError, match=r"result\.json: is a link"):
        recheck(tmp_path / "linked", AGAIN)


class Simulated(NamedTuple):
    """What the shrinking reads of a result: of a design that is wrong where value 3 is above 4 and value 8 is not 0."""

    passed: bool
    first_mismatch: Any
    failing_image: int | None

    @property
    def verdict(self) -> "Simulated":
        """Itself."""
        return self

    @property
    def faults(self) -> tuple[()]:
        """No rule is broken."""
        return ()

    @property
    def provenance(self) -> SimpleNamespace:
        """The seed that it was run from."""
        return SimpleNamespace(power_on_seed=7)


@pytest.mark.slow
def test_the_command_says_what_refutes_and_how_to_keep_it(
    tmp_path: Path, model: Model, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image is named once, values are counted in English, and without -o the command says what it would keep."""
    sentence = "image 3, tap fc, token 0, channel 2: expected -5, got -6 (cycle 19)"
    refutation = Refutation(3, sentence, 1, {"input[0, 0]": 4}, True, "rounding_floor", "fc")
    dut = design(tmp_path / "d", {"neuron.sv": swap("scaled > 127) q = 127", "scaled > 127) q = 126")})
    proof = msgspec.structs.replace(ask(model, dut), refutation=refutation)
    result = ProofResult(status=REFUTED, model="tiny", device="described", module=None, proofs=(proof,))
    monkeypatch.setattr("fxsim.cli.prove_rtl.prove", lambda *_, **__: result)
    save(model, tmp_path / "tiny.safetensors")
    words = ["prove", str(tmp_path / "tiny.safetensors"), "--dut", str(dut)]
    for output in ([], ["-o", str(tmp_path / "evidence")]):
        with pytest.raises(SystemExit) as ended:
            main([*words, *output])
        out, err = capsys.readouterr()
        assert ended.value.code == 1
        assert f"  shown by {sentence}\n  least: one image, 1 value not 0: input[0, 0] = 4\n" in out
        assert ("-o DIR keeps the least images" in err) is (output == [])


def test_a_refutation_is_made_least(monkeypatch: pytest.MonkeyPatch) -> None:
    """One image of several, and of its values those two, as small as they show it."""
    x = RANDOM.integers(-128, 128, (3, 4, 6)).astype(np.int8)
    x[:2, 0, 3] = 0
    x[2, 0, 3], x[2, 1, 2] = 100, -77
    runs = 0

    def simulated(images: Any, whole: Any = None) -> Simulated:
        nonlocal runs
        runs += 1
        wrong = [i for i, image in enumerate(images.reshape(len(images), -1).tolist()) if image[3] > 4 and image[8]]
        if whole is not None:
            records = np.zeros(len(wrong), [("source", "<i4"), ("image", "<u4"), ("index", "<u8"), ("got", "<i8")])
            records["image"] = wrong
            whole(SimpleNamespace(shown=("fc",), output="out"), Differences(records, None))
        return Simulated(not wrong, SimpleNamespace(tap="fc") if wrong else None, wrong[0] if wrong else None)

    monkeypatch.setattr("fxsim.prove.shown.run_cosim", simulated)
    found = shrink(lambda images, seeds: images if seeds == (7,) else None, x, simulated(x))  # type: ignore[arg-type,return-value]
    assert found.least
    assert found.x.shape == (1, 4, 6)
    assert {tuple(place): int(found.x[tuple(place)]) for place in np.argwhere(found.x).tolist()} == {
        (0, 0, 3): 6, (0, 1, 2): -1,
    }  # fmt: skip
    assert runs < 30


def test_an_image_is_sought_that_shows_a_value_of_all(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No sample has the one value at which the design is wrong: the image that is simulated has it."""
    given: list[Any] = []

    def simulated(_request: ProofRequest, x: Any, _clear: bool, _evidence: Any) -> tuple[None, str]:
        given.append(x)
        return None, ""

    monkeypatch.setattr("fxsim.prove.run._simulate", simulated)
    dut = design(tmp_path / "d", {"awkward.sv": swap("q < 0 ? '0 : q", "q < 0 ? '0 : q == 77 ? 8'd78 : q")})
    assert ask(model, dut, simulate=True).status == UNPROVED
    (x,) = given
    values = run(model, x, ("fc",))["fc"]
    assert not (values[:2] == 77).any()
    assert (values[2] == 77).any()


@pytest.mark.thorough
def test_our_own_accelerator_is_proved_as_somebody_elses(tmp_path: Path) -> None:
    """The streaming accelerator by its description: as many values as of its own proof."""
    proof = ask(SMALL, small(tmp_path / "d"), schedule="random:3")
    assert (proof.status, proof.values, proof.proved) == (PROVED, 3956, 3956)
    assert len(proof.taps) == 26


@pytest.mark.thorough
@pytest.mark.verilator
def test_a_described_fault_is_refuted_by_an_image(
    tmp_path: Path, model: Model, capsys: pytest.CaptureFixture[str]
) -> None:
    """Verilator simulates the design beside the proof; the image is least, the cause is named, the replay shows it."""
    dut = design(tmp_path / "d", {"neuron.sv": swap("scaled += 21'(sum[5'(shift_i - 1)]);", ";")})
    save(model, tmp_path / "tiny.safetensors")
    words = ["prove", str(tmp_path / "tiny.safetensors"), "--dut", str(dut), "--json", "-o", str(tmp_path / "evidence")]
    with pytest.raises(SystemExit) as ended:
        main(words)
    out, err = capsys.readouterr()
    (proof,) = json.loads(out)["proofs"]
    shown = proof["refutation"]
    assert (ended.value.code, proof["status"], shown["images"], shown["least"]) == (1, REFUTED, 1, True)
    assert "tap fc" in shown["sentence"]
    assert 0 < len(shown["witness"]) <= 2
    assert (shown["label"], shown["node"]) == ("rounding_floor", "fc")
    replay = next(line for line in err.splitlines() if "replay: " in line).partition("replay: ")[2]
    with pytest.raises(SystemExit) as ended:
        main([*shlex.split(replay)[1:], "--wave", str(tmp_path / "failure.fst")])
    assert ended.value.code == 1
    assert "fc" in capsys.readouterr().out
