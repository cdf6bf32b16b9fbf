"""Certificates: what is refused one, what it states, and that whatever changes afterwards is found and named."""

import base64
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

import fxsim.mutation.python_run as python_mutants
import fxsim.mutation.run as mutants
from fxsim.certificate import check, check_certificate, predicate_schema
from fxsim.certificate.make import _Making
from fxsim.cli.program import cli
from fxsim.contract.arithmetic import Int8
from fxsim.errors import FxsimError
from fxsim.families import ResMLPConfig
from fxsim.formats import save
from fxsim.fuzz import FuzzResult
from fxsim.golden import generate_model, natural_images
from fxsim.graph import Graph, Model, Node
from fxsim.mutation.record import MODULE_TEST, Judged, make_record
from fxsim.operators import Linear, Relu
from fxsim.paths import golden_dir, rtl_dir
from fxsim.signoff import judges, load_plan, run_plan, write_both
from fxsim.signoff.accepted import Accepted, Figures, read_accepted
from fxsim.signoff.checks import CHECKS, code_coverage, coverage, random_networks, rtl_fault
from fxsim.signoff.context import Context, Outcome
from fxsim.simulate.code_coverage import Coverage, Point, PointKind
from fxsim.simulate.sources import read_sources

ROOT = Path(__file__).parent.parent
PLAN = """title = "mine"
seed = 3
[models.mine]
file = "model.safetensors"
[models.made.random]
tokens = 2
values = 2
channels = 2
hidden = 2
blocks = 1
classes = 2
[stimuli]
images = { file = "x.npy" }
drawn = { draw = "uniform" }
[[check]]
kind = "accumulators"
name = "widths"
models = ["mine", "made"]
[[check]]
kind = "onnx"
name = "onnx"
models = ["mine"]
stimuli = ["images", "drawn"]
images = 1
engines = ["reference"]
[[check]]
kind = "vectors"
name = "vectors"
directories = ["vectors"]
[[check]]
kind = "cosim"
name = "ours"
model = "mine"
stimulus = "images"
images = 1
[[check]]
kind = "cosim"
name = "theirs"
model = "mine"
stimulus = "images"
images = 1
rtl = "rtl"
"""


def no_simulation(check: Any, context: Context, _seed: int) -> Outcome:
    """A co-simulation that notes the hash of its Verilog as any does, and passes."""
    folder = rtl_dir() if check.rtl is None else context.path(check.rtl)
    context.note_hash(f"rtl {check.rtl or ''}".rstrip(), read_sources(folder).sha256)
    x = context.stimulus(check.stimulus, context.model(check.model), 0)
    return Outcome(f"{len(x)} images are equal", None)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that was signed off: plan, model, images, vectors, Verilog, record, certificates."""
    root = tmp_path_factory.mktemp("certificate") / "project"
    root.mkdir()
    images = natural_images(2, (1, 2), 1, 5)
    config = ResMLPConfig(tokens=2, values=3, channels=2, hidden=2, blocks=1, classes=2)
    save(generate_model("mine", config, images, 5), root / "model.safetensors")
    np.save(root / "x.npy", images)
    shutil.copytree(golden_dir() / "vectors" / "small", root / "vectors")
    shutil.copytree(rtl_dir(), root / "rtl")
    (root / "evidence").mkdir()
    (root / "evidence" / "proof.smt2").write_text("(check-sat)\n")
    (root / "plan.toml").write_text(PLAN)
    (root / "reports").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(CHECKS, "cosim", dataclasses.replace(CHECKS["cosim"], run=no_simulation))
        patch.setitem(CHECKS, "vectors", dataclasses.replace(CHECKS["vectors"], run=lambda *_: Outcome("equal", None)))
        patch.chdir(root)
        record = run_plan(load_plan(Path("plan.toml")))
        write_both(record, root / "reports")
        assert record.passed, [check.reason for check in record.checks]
        for name in ("key", "other"):
            assert run("certify", "--new-key", root.parent / f"{name}.pem").exit_code == 0
        arguments = ("certify", "reports/signoff.json", "--also", "evidence", "-o")
        done = run(*arguments, "signed.json", "--key", "../key.pem")
        assert done.exit_code == 0, done.output
        assert run(*arguments, "plain.json").exit_code == 0
    return root


@pytest.fixture
def project(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, which is the working folder."""
    shutil.copytree(made.parent, tmp_path / "all", symlinks=True)
    monkeypatch.chdir(tmp_path / "all" / "project")
    return tmp_path / "all" / "project"


def run(*arguments: object) -> Any:
    """What a command ends with."""
    return CliRunner().invoke(cli, [str(argument) for argument in arguments])


def problems(root: Path, name: str = "signed.json") -> tuple[str, ...]:
    """What a certificate finds in a project, its signature checked."""
    key = root.parent / "key.pem.pub" if name == "signed.json" else None
    return check_certificate(root / name, root, key).problems


def statement(root: Path) -> dict[str, Any]:
    """The statement of the unsigned certificate."""
    content: dict[str, Any] = json.loads((root / "plain.json").read_text())
    return content


# --- what it states ---


def test_a_certificate_covers_what_the_sign_off_stands_on(project: Path) -> None:
    """Plan, record, model, stimulus, both folders of Verilog, vectors, ROMs and evidence are subjects."""
    content = statement(project)
    names = {subject["name"] for subject in content["subject"]}
    files = content["predicate"]["files"]
    roles = {
        "plan.toml": "plan", "reports/signoff.json": "record", "model.safetensors": "model", "x.npy": "stimulus",
        "vectors/manifest.json": "vectors", "rtl/stream/stream_resmlp.v": "rtl", "evidence/proof.smt2": "evidence",
        "fxsim-rtl/stream/stream_resmlp.v": "rtl", "fxsim-roms/stream/model.safetensors/embed_w.hex": "rom",
    }  # fmt: skip
    assert {name: files[name]["role"] for name in roles} == roles
    assert names == files.keys()
    assert content["_type"] == "https://in-toto.io/Statement/v1"
    assert content["predicate"]["signoff"]["statuses"] == {"passed": 5}
    assert content["predicate"]["tools"]["python"]
    assert problems(project) == ()


def test_the_schema_in_the_docs_is_the_certificates(project: Path) -> None:
    """The schema that is documented is the one that is printed, and a certificate is valid by it."""
    schema = json.loads((ROOT / "docs" / "certificate.schema.json").read_text())
    assert schema == json.loads(json.dumps(predicate_schema()))
    jsonschema.validate(statement(project), schema)


@pytest.mark.usefixtures("project")
def test_the_command_says_what_it_did() -> None:
    """The command passes with the key, says plainly what is unsigned, and that a signature was not looked at."""
    done = run("check-certificate", "signed.json", "--key", "../key.pem.pub")
    assert done.exit_code == 0, done.output
    assert "signed by ../key.pem.pub" in done.output
    assert "was not looked at" in run("check-certificate", "signed.json").output
    unsigned = run("check-certificate", "plain.json")
    assert unsigned.exit_code == 0
    assert "it is not signed" in unsigned.output
    assert run("check-certificate", "plain.json", "--key", "../key.pem.pub").exit_code == 1
    assert json.loads(run("check-certificate", "plain.json", "--json").stdout)["passed"] is True


# --- what changes afterwards ---

COVERED = (
    "plan.toml", "reports/signoff.json", "model.safetensors", "x.npy", "vectors/manifest.json",
    "rtl/lib/relu.v", "evidence/proof.smt2",
)  # fmt: skip


def one_of(project: Path, name: str) -> Path:
    """A covered file; any Verilog for one that has moved."""
    path = project / name
    return path if path.is_file() else next((project / "rtl").rglob("relu.v"))


@pytest.mark.parametrize("name", COVERED)
def test_a_changed_file_is_named(name: str, project: Path) -> None:
    """One byte changed in any kind of covered file is found, by the file's name."""
    path = one_of(project, name)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert f"{path.relative_to(project)}: has changed" in problems(project)


@pytest.mark.parametrize("name", COVERED)
def test_a_missing_file_is_named(name: str, project: Path) -> None:
    """Any kind of covered file that is gone is named."""
    path = one_of(project, name)
    path.unlink()
    assert f"{path.relative_to(project)}: is missing" in problems(project)


@pytest.mark.parametrize("name", ["vectors/more.hex", "rtl/more.v", "evidence/deep/more.smt2"])
def test_an_added_file_is_named(name: str, project: Path) -> None:
    """A file that is added to a covered folder is named."""
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).write_text("module more; endmodule\n")
    assert problems(project) == (f"{name}: was added",)


def test_text_beside_verilog_is_none_of_it(project: Path) -> None:
    """A folder of Verilog is covered for its Verilog: a note beside it is not simulated."""
    (project / "rtl" / "notes.txt").write_text("to do\n")
    assert problems(project) == ()


def test_a_link_out_of_the_root_is_refused(project: Path) -> None:
    """A covered file that became a link out of the root is a problem, though its content is the same."""
    outside = project.parent / "outside.npy"
    shutil.move(project / "x.npy", outside)
    (project / "x.npy").symlink_to(outside)
    assert problems(project) == ("x.npy: is, or lies behind, a link that leads out of the root",)


def test_a_pipe_is_no_file(project: Path) -> None:
    """A pipe in the place of a covered file is named, and waits for nobody."""
    (project / "x.npy").unlink()
    os.mkfifo(project / "x.npy")
    assert problems(project) == ("x.npy: is no regular file",)


def test_changed_verilog_of_fxsim_is_named(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change in fxsim's own Verilog, and a file more in it, are found, though it lies outside of the root."""
    shutil.copytree(rtl_dir(), project.parent / "rtl")
    monkeypatch.setattr(check, "rtl_dir", lambda: project.parent / "rtl")
    assert problems(project) == ()
    (project.parent / "rtl" / "more.v").write_text("module more; endmodule\n")
    top = project.parent / "rtl" / "stream" / "stream_resmlp.v"
    top.write_text(top.read_text() + "// more\n")
    assert problems(project) == ("fxsim-rtl/stream/stream_resmlp.v: has changed", "fxsim-rtl/more.v: was added")


# --- signatures and form ---


def refused(project: Path, name: str = "signed.json", key: str | None = "key.pem.pub") -> str:
    """The reason for which a certificate is refused."""
    with pytest.raises(FxsimError) as error:
        check_certificate(project / name, project, None if key is None else project.parent / key)
    return str(error.value)


def test_another_key_is_refused(project: Path) -> None:
    """A certificate that another key signed is refused."""
    assert "is not signed by" in refused(project, key="other.pem.pub")
    assert "is no public key" in refused(project, key="key.pem")


def test_an_unsigned_one_fails_with_a_key(project: Path) -> None:
    """With --key a certificate that is not signed is refused."""
    assert "is not signed, expected the signature of" in refused(project, "plain.json")


def altered(project: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the signed certificate's statement, and leave its signature."""
    envelope = json.loads((project / "signed.json").read_text())
    content = json.loads(base64.b64decode(envelope["payload"]))
    change(content)
    envelope["payload"] = base64.b64encode(json.dumps(content).encode()).decode()
    (project / "signed.json").write_text(json.dumps(envelope))


def test_an_altered_statement_is_refused(project: Path) -> None:
    """A statement that was altered after it was signed is refused, though its form is right."""
    altered(project, lambda content: content["predicate"]["signoff"].update(title="better"))
    assert "the signature is not one of" in refused(project)


def test_a_wrong_signature_is_refused(project: Path) -> None:
    """Another signature under the right key's id, none at all, and text that is no base64 are refused."""
    envelope = json.loads((project / "signed.json").read_text())
    for sig, words in (("AAAA", "the signature is not one of"), ("!", "not base64")):
        envelope["signatures"][0]["sig"] = sig
        (project / "signed.json").write_text(json.dumps(envelope))
        assert words in refused(project)
    (project / "signed.json").write_text(json.dumps(envelope | {"signatures": []}))
    assert "signatures" in refused(project)
    (project / "signed.json").write_text(json.dumps(envelope | {"payloadType": "text/plain"}))
    assert "holds 'text/plain'" in refused(project)


def test_keys_that_stand_twice_are_refused(project: Path) -> None:
    """A key that stands twice in the file, or in the statement that is signed, is refused."""
    text = (project / "plain.json").read_text()
    (project / "plain.json").write_text(text.replace('"seed"', '"seed": 1, "seed"', 1))
    assert "stands twice in one object" in refused(project, "plain.json", None)
    text = (project / "signed.json").read_text()
    (project / "signed.json").write_text(text.replace('"payloadType"', '"payload": "", "payloadType"', 1))
    assert "stands twice in one object" in refused(project, key=None)


FORGED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "version": (lambda c: c.update(predicateType="urn:fxsim:certificate:v2"), "its predicate is of type"),
    "inner version": (lambda c: c["predicate"].update(version=2), "version"),
    "type": (lambda c: c.update(_type="https://in-toto.io/Statement/v0.1"), "Statement/v0.1"),
    "unknown field": (lambda c: c["predicate"].update(more=1), "more"),
    "no subjects": (lambda c: c.update(subject=[]), "subject"),
    "twice": (lambda c: c["subject"].append(c["subject"][0]), "stands 2 times"),
    "left out": (lambda c: c["subject"].pop(), "is no subject and file at once"),
    "above": (lambda c: renamed(c, "../x.npy"), "is no relative path"),
    "absolute": (lambda c: renamed(c, "/x.npy"), "is no relative path"),
    "no digest": (lambda c: c["subject"][0].update(digest={"sha256": "0"}), "sha256"),
    "no record": (lambda c: c["predicate"]["files"]["reports/signoff.json"].update(role="other"), "covers no record"),
    "folder": (lambda c: c["predicate"]["folders"][0].update(name="a/../.."), "is no relative path"),
}


def renamed(content: dict[str, Any], name: str) -> None:
    """Give the stimulus another name."""
    subject = next(s for s in content["subject"] if s["name"] == "x.npy")
    subject["name"] = name
    content["predicate"]["files"][name] = content["predicate"]["files"].pop("x.npy")


@pytest.mark.parametrize("what", FORGED)
def test_a_forged_statement_is_refused(what: str, project: Path) -> None:
    """Unknown versions and fields, subjects twice or without a row, and paths out of the root are refused by name."""
    change, words = FORGED[what]
    content = statement(project)
    change(content)
    (project / "plain.json").write_text(json.dumps(content))
    assert words in refused(project, "plain.json", None)


# --- what is refused a certificate ---


def certified(project: Path, *more: object) -> str:
    """What `fxsim certify` says where it refuses."""
    done = run("certify", "reports/signoff.json", "-o", "again.json", *more)
    assert done.exit_code == 1
    assert not (project / "again.json").exists()
    return str(done.exception)


def rewritten(project: Path, **fields: object) -> None:
    """Change fields of the record."""
    path = project / "reports" / "signoff.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"passed": False}, "did not pass"),
        ({"complete": False, "passed": False}, "was interrupted"),
        ({"selected": ["widths"]}, "of chosen checks alone"),
        ({"checks": []}, "did not pass"),
        ({"checks_in_plan": 6}, "has not the checks"),
        ({"stage": "V1", "hashes": {"plan": "0" * 64}}, "is of another plan"),
        ({"stage_reached": "V3"}, "its testpoints are not those that its checks give"),
    ],
)
def test_a_record_of_less_is_refused(fields: dict[str, object], words: str, project: Path) -> None:
    """A record that did not pass, was interrupted, is of some checks, or of another plan gets no certificate."""
    rewritten(project, **fields)
    assert words in certified(project)


def test_a_record_with_a_failed_check_is_refused(project: Path) -> None:
    """A record that says it passed, with a check that failed, is refused."""
    checks = json.loads((project / "reports" / "signoff.json").read_text())["checks"]
    checks[0]["status"] = "failed"
    rewritten(project, checks=checks)
    assert "did not pass: widths" in certified(project)


def test_what_changed_since_the_sign_off_is_refused(project: Path) -> None:
    """Images, Verilog, a model or vectors that are others than were signed off get no certificate."""
    kept = (project / "x.npy").read_bytes()
    x: Int8 = np.load(project / "x.npy")
    np.save(project / "x.npy", x ^ 1)
    assert "stimulus images is another one" in certified(project)
    (project / "x.npy").write_bytes(kept)
    (project / "rtl" / "more.v").write_text("module more; endmodule\n")
    assert "rtl rtl is another one" in certified(project)
    (project / "rtl" / "more.v").unlink()
    (project / "vectors" / "more.hex").write_text("00\n")
    os.utime(project / "vectors" / "more.hex", (2**33, 2**33))
    assert "was written after the sign-off" in certified(project)
    (project / "vectors" / "more.hex").unlink()
    config = ResMLPConfig(tokens=2, values=3, channels=2, hidden=2, blocks=1, classes=2)
    save(generate_model("mine", config, natural_images(2, (1, 2), 1, 6), 6), project / "model.safetensors")
    assert "model mine is another one" in certified(project)


JUDGING = {
    "code-coverage": '[[check.runs]]\nmodel = "mine"\nstimulus = "images"\nimages = 1\n',
    "cycles": 'model = "mine"\nstimulus = "images"\nbound = 1\n',
    "mutation": "at_least = 1.0\n",
    "four-state": 'model = "mine"\nstimulus = "images"\nimages = 1\n',
}


@pytest.mark.parametrize("kind", [*JUDGING, "rtl-contract"])
def test_verilog_is_covered_whichever_check_judged_it(
    kind: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulated, read, measured or mutated: the Verilog of a check is covered, and its change refused before."""
    judged = CHECKS[kind]
    if kind in JUDGING:

        def noted(_check: Any, context: Context, _seed: int) -> Outcome:
            context.note_hash("rtl", read_sources(rtl_dir()).sha256)
            return Outcome("it is as it should be", None)

        monkeypatch.setitem(CHECKS, kind, dataclasses.replace(judged, run=noted))
    head, _, _ = PLAN.partition("[[check]]")
    settings = JUDGING.get(kind, 'models = ["mine"]\n')
    (project / "plan.toml").write_text(f'{head}[[check]]\nkind = "{kind}"\nname = "only"\n{settings}')
    record = run_plan(load_plan(Path("plan.toml")))
    assert record.passed, record.checks
    assert record.hashes["rtl"] == read_sources(rtl_dir()).sha256
    write_both(record, project / "reports")
    done = run("certify", "reports/signoff.json", "-o", "again.json")
    assert done.exit_code == 0, done.exception
    assert "not covered: rtl" not in done.output
    names = {subject["name"] for subject in json.loads((project / "again.json").read_text())["subject"]}
    assert {"fxsim-rtl/stream/stream_resmlp.v", "fxsim-rtl/simd/simd_core.v"} <= names


def test_a_described_design_is_covered(project: Path) -> None:
    """Its files and its description are, and not the Verilog around it, which follows from them."""
    shutil.copytree(ROOT / "tests" / "rtl" / "awkward", project / "theirs")
    weight, ones = np.ones((4, 6), np.int8), np.ones(4, np.int8)
    nodes = (Node("fc", Linear(weight, ones, ones.astype(np.uint8)), ("input",)), Node("act", Relu(), ("fc",)))
    save(Model(Graph((3, 6), nodes), "tiny"), project / "tiny.safetensors")
    check = '[[check]]\nkind = "rtl-contract"\nname = "widths"\nmodels = ["tiny"]\ndut = "theirs/awkward.toml"\n'
    (project / "plan.toml").write_text(
        f'title = "theirs"\nseed = 1\n[models]\ntiny = {{ file = "tiny.safetensors" }}\n{check}'
    )
    record = run_plan(load_plan(Path("plan.toml")))
    assert record.passed, record.checks
    write_both(record, project / "reports")
    done = run("certify", "reports/signoff.json", "-o", "plain.json")
    assert done.exit_code == 0, done.exception
    files = statement(project)["predicate"]["files"]
    assert files["theirs/awkward.toml"]["role"] == "design"
    assert {name for name, row in files.items() if row["role"] == "rtl"} == {
        f"theirs/{name}" for name in ("mlp_pkg.sv", "neuron.sv", "awkward.sv")
    }
    for name in ("neuron.sv", "awkward.toml"):
        path = project / "theirs" / name
        kept = path.read_bytes()
        path.write_bytes(kept + b" ")
        assert problems(project, "plain.json") == (f"theirs/{name}: has changed",)
        path.write_bytes(kept)


def test_accepted_figures_are_covered(project: Path) -> None:
    """Figures that checks were held to are covered: others, or none, get no certificate, and a change is found."""
    accepted = Accepted("fxsim.signoff.accepted", 1, "then", "c", "m", {"widths": Figures({}, {})})
    path = project / "plan.accepted.json"
    plan = load_plan(Path("plan.toml"))
    path.write_bytes(msgspec.json.encode(accepted))
    done = run("certify", "reports/signoff.json", "-o", "before.json")
    assert "not covered: plan.accepted.json, to which the sign-off was not held" in done.output
    with pytest.MonkeyPatch.context() as patch:
        for kind, ran in (("cosim", no_simulation), ("vectors", lambda *_: Outcome("equal", None))):
            patch.setitem(CHECKS, kind, dataclasses.replace(CHECKS[kind], run=ran))
        write_both(run_plan(plan, accepted=read_accepted(plan)), project / "reports")
    kept = path.read_bytes()
    for now in (None, kept.replace(b"then", b"when")):
        path.unlink()
        if now is not None:
            path.write_bytes(now)
        assert "accepted figures is another one" in certified(project)
        path.write_bytes(kept)
    assert run("certify", "reports/signoff.json", "-o", "plain.json").exit_code == 0
    assert statement(project)["predicate"]["files"]["plan.accepted.json"]["role"] == "plan"
    path.write_bytes(kept.replace(b"then", b"when"))
    assert problems(project, "plain.json") == ("plan.accepted.json: has changed",)


@pytest.mark.parametrize("what", ["areas kept.json", "waivers kept.json"])
def test_files_that_checks_were_held_to_are_covered(what: str, project: Path) -> None:
    """Recorded areas and waivers: others, or none, get no certificate, and a change is found."""
    path = project / "kept.json"
    path.write_text("1")
    record = json.loads((project / "reports" / "signoff.json").read_text())
    rewritten(project, hashes=record["hashes"] | {what: hashlib.sha256(b"1").hexdigest()})
    assert run("certify", "reports/signoff.json", "-o", "plain.json").exit_code == 0
    assert statement(project)["predicate"]["files"]["kept.json"]["role"] == "other"
    path.write_text("2")
    assert problems(project, "plain.json") == ("kept.json: has changed",)
    assert f"{what} is another one" in certified(project)
    path.unlink()
    assert f"{what} is another one" in certified(project)


def test_evidence_of_proofs_is_covered(project: Path) -> None:
    """Evidence that a check kept is covered without being named; altered, missing, more, or of another run: refused."""
    head, _, _ = PLAN.partition("[[check]]")
    check = '[[check]]\nkind = "proof"\nname = "{}"\nmodel = "mine"\nwhat = ["engine"]\nevidence = {}\n'
    (project / "plan.toml").write_text(head + check.format("kept", "true") + check.format("told", "false"))
    plan, reports = load_plan(Path("plan.toml")), project / "reports"
    record = run_plan(plan, output=reports)
    assert record.passed, record.checks
    write_both(record, reports)
    folder = reports / "evidence" / "kept" / "engine"
    done = run("certify", "reports/signoff.json", "-o", "plain.json")
    assert done.exit_code == 0, done.exception
    assert "not covered: evidence of check 'told', which keeps none beside the record" in done.output
    assert "of check 'kept'" not in done.output
    files = statement(project)["predicate"]["files"]
    name = "reports/evidence/kept/engine/engine.json"
    assert {files[name]["role"], files[name.replace("engine.json", "evidence.json")]["role"]} == {"evidence"}
    assert run("prove", "--recheck", folder).exit_code == 0
    kept = (folder / "engine.json").read_bytes()
    (folder / "engine.json").write_bytes(kept + b" ")
    assert problems(project, "plain.json") == (f"{name}: has changed",)
    assert "engine.json: is another one than was signed off" in certified(project)
    (folder / "engine.json").unlink()
    assert "engine.json: cannot be read" in certified(project)
    (folder / "engine.json").write_bytes(kept)
    (folder / "more.json").write_text("{}")
    assert "has files that are none of its evidence" in certified(project)
    (folder / "more.json").unlink()
    listed = (folder / "evidence.json").read_bytes()
    (folder / "evidence.json").write_bytes(listed + b"\n")
    assert "evidence.json: is another one than was signed off" in certified(project)
    # The next run takes its place; what is none of fxsim's is not touched.
    again = run_plan(plan, output=reports)
    assert again.passed
    assert (folder / "evidence.json").read_bytes() == listed
    (reports / "evidence" / "kept" / "mine").mkdir()
    refused = run_plan(plan, output=reports).checks[0]
    assert "is no evidence that a sign-off kept" in str(refused.reason)


def test_what_changes_meanwhile_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is another one when all is read than when it was held to the record gets no certificate."""

    def later(_making: object) -> None:
        (project / "x.npy").write_bytes(b"")

    monkeypatch.setattr(_Making, "others", later)
    assert "x.npy: has changed, while the certificate was made" in certified(project)


def test_files_outside_of_the_root_are_refused(project: Path) -> None:
    """A root that does not hold what is covered is refused, and so is a link that leads out of it."""
    (project / "sub").mkdir()
    assert "lies outside of" in certified(project, "--root", "sub")
    (project / "away").symlink_to(project.parent / "key.pem")
    assert "lies outside of" in certified(project, "--also", "away")


def test_keys_are_private_and_never_written_over(project: Path) -> None:
    """A new private key is its owner's alone; an existing file stays; a key that others can read signs nothing."""
    key = project / "new.pem"
    assert run("certify", "--new-key", key).exit_code == 0
    assert key.stat().st_mode & 0o777 == 0o600
    before = key.read_bytes()
    assert run("certify", "--new-key", key).exit_code == 1
    assert key.read_bytes() == before
    (project / "new.pem.pub").unlink()
    assert "is there already" in str(run("certify", "--new-key", key).exception)
    key.chmod(0o644)
    assert "others than its owner may read it" in certified(project, "--key", key)
    key.write_bytes(b"none")
    key.chmod(0o600)
    assert "is no private key" in certified(project, "--key", key)


JUDGED = {
    "mutation": ("at_least = 1.0\n", "testbenches"),
    "mutation of Python": ("at_least = 1.0\npython = true\n", "tests"),
    "code-coverage": (f'testbenches = ["ram"]\ngoal = 1\n{JUDGING["code-coverage"]}', "testbenches"),
}


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with a testbench and a test of its own, which checks take for fxsim's."""
    root = tmp_path / "clone"
    for name in ("rtl/x.v", "testbenches/ram/test_ram.py", "tests/test_graph.py", "conftest.py"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("# one\n")
    monkeypatch.setattr(judges, "rtl_dir", lambda: root / "rtl")
    return root


@pytest.mark.parametrize("kind", JUDGED)
def test_testbenches_and_tests_are_covered(
    kind: str, project: Path, clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte changed in a testbench or test that judged, one more, one less: each is named; bytecode is none."""
    settings, folder = JUDGED[kind]
    row = Judged(
        id="a" * 12, file="lib/ram.v", module="ram", kind="logical", line=38, column=9, was="a", becomes="b",
        verdict="killed", stage=MODULE_TEST, source="a",
    )  # fmt: skip
    made = make_record("stream", 1, 1, 1, {}, [row])
    monkeypatch.setattr(mutants, "mutate", lambda *_, **__: made)
    monkeypatch.setattr(python_mutants, "mutate_python", lambda *_, **__: made)
    sources = read_sources(rtl_dir())
    counted = Coverage({Point("lib/ram.v", 1, 1, PointKind.LINE, "block"): 1}, {})

    def simulate(*_: object, covered: Callable[..., None], **__: object) -> SimpleNamespace:
        covered(counted, sources)
        return SimpleNamespace(passed=True)

    monkeypatch.setattr(code_coverage, "count_bench", lambda *_, **__: (counted, sources, 1))
    monkeypatch.setattr(code_coverage, "simulate", simulate)
    told = ("a", "none", 1, 1, 0, True, None, None, None, None, 1, 1, 0.0, True)
    monkeypatch.setattr(code_coverage, "describe", lambda *_: code_coverage.Simulation(*told))
    head, _, _ = PLAN.partition("[[check]]")
    (project / "plan.toml").write_text(f'{head}[[check]]\nkind = "{kind.split()[0]}"\nname = "only"\n{settings}')
    record = run_plan(load_plan(Path("plan.toml")))
    assert record.passed, record.checks
    write_both(record, project / "reports")
    done = run("certify", "reports/signoff.json", "-o", "plain.json")
    assert done.exit_code == 0, done.exception
    test = {"testbenches": "testbenches/ram/test_ram.py", "tests": "tests/test_graph.py"}[folder]
    files = statement(project)["predicate"]["files"]
    covered = {name for name, row in files.items() if row["role"] == "judge"}
    assert covered == {f"fxsim-clone/{test}", "fxsim-clone/conftest.py"}
    (clone / folder / "__pycache__").mkdir()
    (clone / folder / "__pycache__" / "x.pyc").write_text("")
    assert problems(project, "plain.json") == ()
    (clone / test).write_text("# two\n")
    assert problems(project, "plain.json") == (f"fxsim-clone/{test}: has changed",)
    assert f"{folder} is another one than was signed off" in certified(project)
    (clone / test).unlink()
    (clone / folder / "more.py").write_text("")
    found = problems(project, "plain.json")
    assert found == (f"fxsim-clone/{test}: is missing", f"fxsim-clone/{folder}/more.py: was added")
    done = run("check-certificate", "plain.json")
    assert done.exit_code == 1
    assert f"fxsim-clone/{test}: is missing" in done.output


SIMULATING = {
    "random-networks": 'count = 1\nengines = ["reference", "files"]\nfeatures = []\naccelerators = ["simd"]\n',
    "coverage": 'model = "mine"\nstimuli = ["images"]\naccelerators = ["stream"]\n',
    "rtl-fault": (
        'model = "mine"\nstimulus = "images"\nimages = 1\nfile = "requantise.v"\nfind = "wide[0]"\n'
        'replace = "1\'b0"\nfirst_tap = "embed"\n'
    ),
}


@pytest.mark.parametrize("kind", SIMULATING)
def test_verilog_of_checks_that_simulate_besides_is_covered(
    kind: str, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random networks on accelerators, moments of accelerators, a fault in a copy: the Verilog has a hash."""
    nothing = FuzzResult(
        seed=0, first=0, models=1, images=1, values=1, cpu_seconds=0.0, took={"simd": 1}, refused={}, absent={},
        features={}, failures=(),
    )  # fmt: skip
    monkeypatch.setattr(random_networks, "run_devices", lambda *_: nothing)
    moments = SimpleNamespace(moments={"stream": {"reset": 1}})
    monkeypatch.setattr(coverage, "cover_rtl", lambda *_: (moments, None))
    monkeypatch.setattr(coverage, "aim", lambda *_, **__: moments)
    monkeypatch.setattr(coverage, "merge", lambda one, _: one)
    monkeypatch.setattr(coverage, "missing_moments", lambda _: {"stream": ()})
    verdict = SimpleNamespace(first_mismatch=SimpleNamespace(tap="embed"), images=1)
    streams = SimpleNamespace(taps={}, mismatches=1, unprobed=())
    monkeypatch.setattr(rtl_fault, "simulate", lambda *_, **__: SimpleNamespace(verdict=verdict, streams=streams))
    monkeypatch.setattr(rtl_fault, "sentence", lambda _: "embed")
    head, _, _ = PLAN.partition("[[check]]")
    (project / "plan.toml").write_text(f'{head}[[check]]\nkind = "{kind}"\nname = "only"\n{SIMULATING[kind]}')
    record = run_plan(load_plan(Path("plan.toml")))
    assert record.passed, record.checks
    assert record.hashes["rtl"] == read_sources(rtl_dir()).sha256
    write_both(record, project / "reports")
    assert run("certify", "reports/signoff.json", "-o", "plain.json").exit_code == 0
    assert statement(project)["predicate"]["files"]["fxsim-rtl/simd/simd_core.v"]["role"] == "rtl"
    shutil.copytree(rtl_dir(), project.parent / "rtl")
    monkeypatch.setattr(check, "rtl_dir", lambda: project.parent / "rtl")
    with (project.parent / "rtl" / "simd" / "simd_core.v").open("a") as file:
        file.write(" ")
    assert problems(project, "plain.json") == ("fxsim-rtl/simd/simd_core.v: has changed",)
