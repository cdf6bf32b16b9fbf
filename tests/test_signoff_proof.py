"""Sign-off's kind `proof`: it passes where all is proved alone, says where not, and no kept proof is ever stale."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

import fxsim.prove.kept as kept
from fxsim.cli import main
from fxsim.errors import FileError
from fxsim.formats import save
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Linear
from fxsim.paths import rtl_dir
from fxsim.prove import claims
from fxsim.prove.blocks import PROVED
from fxsim.prove.engine import Checked, EngineProof
from fxsim.prove.run import Proof, ProofRequest, ProofResult, prove, prove_design
from fxsim.prove.schedule import ModuleProof, prove_module
from fxsim.prove.schedule_modules import properties_of
from fxsim.prove.schedules import ScheduleProof
from fxsim.signoff import CheckRecord, Status, load_plan, render_report, run_plan
from fxsim.signoff.checks.proof import ForAllInputs
from fxsim.simulate.sources import Sources, read_sources
from tests.conftest import ROOT
from tests.test_project import ROOMS
from tests.test_prove_rtl import design_of, faulty, tiny
from tests.test_signoff import Page, by_name, write_plan


@pytest.fixture(autouse=True)
def _own_proofs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is kept from other runs, nor for them; netlists and machine code are shared as ever."""
    monkeypatch.setattr(kept, "cache_dir", lambda: tmp_path / "kept")
    monkeypatch.delenv("FXSIM_PUBLISHED", raising=False)


def proof(settings: str) -> str:
    """A check of a small model."""
    return f'{TINY}[[check]]\nkind = "proof"\nname = "proof"\nmodel = "tiny"\n{settings}\n'


TINY = """[models.tiny.generate]
grid = [2, 2]
patch = 1
channels = 2
hidden = 3
blocks = 1
classes = 2
"""


def run_one(folder: Path, settings: str) -> CheckRecord:
    """The record of one check."""
    return by_name(run_plan(load_plan(write_plan(folder, proof(settings)))))["proof"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("what = []", "what"),
        ('what = ["everything"]', "everything"),
        ('what = ["engine", "engine"]', "asks for 'engine' more than once"),
        ('what = ["modules"]', "expected both, or none"),
        ('what = ["engine"]\nmodules = ["linear"]', "expected both, or none"),
        ('what = ["modules"]\nmodules = []', "modules"),
        ('what = ["modules"]\nmodules = ["linear", "linear"]', "names module 'linear' more than once"),
        ('what = ["engine"]\nrtl = "mine"', "sets rtl, which changes nothing of engine"),
        ('what = ["engine"]\naccelerator = "stream"', "sets accelerator, which changes nothing of engine"),
        ('what = ["schedules", "engine"]\nschedule = "none"', "sets schedule, which changes nothing of schedules and"),
        ('what = ["schedules"]\nimages = 2', "sets images, which changes nothing of schedules"),
        ('what = ["accelerator"]\nimages = 17', "images"),
        ('what = ["accelerator"]\naccelerator = "mine"', "names accelerator 'mine', expected of: stream"),
        ('what = ["schedules"]\naccelerator = "simd"', "asks for schedules of 'simd'"),
        ('what = ["accelerator"]\naccelerator = "described"', "expected its dut, and no rtl"),
        ('what = ["accelerator"]\ndut = "my.toml"\nrtl = "mine"', "expected its dut, and no rtl"),
        ('what = ["modules"]\nmodules = ["linear"]\ndut = "my.toml"', "asks for modules of a described design"),
        ('what = ["schedules"]\ndut = "my.toml"', "asks for schedules of 'described'"),
        ('what = ["accelerator"]\nschedule = "all"', 'what = ["schedules"]'),
        ('what = ["accelerator"]\nschedule = "reset:1"', "a schedule of which nothing is proved"),
        ('what = ["accelerator"]\nsettings = { beet = 2 }', "beet"),
        ('what = ["accelerator"]\nsettings = { beat = 3 }', "expected 1, 2 or 4"),
        ('what = ["accelerator"]\nsettings = { packed = true }', "expected a beat of 2 or 4"),
        ('what = ["accelerator"]\nsettings = { dut = "my.toml" }', "a dut in its settings"),
        ('what = ["engine"]\nsettings = { beat = 2 }', "settings, which change nothing of engine"),
        ('what = ["accelerator", "schedules"]\nsettings = { beat = 2 }', "which are proved without"),
    ],
)
def test_a_check_of_nothing_is_refused(tmp_path: Path, settings: str, message: str) -> None:
    """What would prove nothing, or less than its settings say, is one error that names the check."""
    with pytest.raises(FileError) as caught:
        load_plan(write_plan(tmp_path, proof(settings)))
    assert "check 'proof'" in str(caught.value)
    assert message in str(caught.value)


def without_simulation(request: ProofRequest, **options: Any) -> ProofResult:
    """A proof without Verilator beside it, which takes most of the time."""
    return prove(replace(request, simulate=False), **options)


def test_settings_are_those_of_what_is_proved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A design of two values a beat is another one: what was kept of one value is not taken, and the row says which."""
    monkeypatch.setattr("fxsim.prove.run.prove", without_simulation)
    rows = []
    for lines in ("", "settings = { beat = 2, packed = true }"):
        plan = proof(f'what = ["modules"]\nmodules = ["add"]\n{lines}').replace("hidden = 3", "hidden = 4")
        check = by_name(run_plan(load_plan(write_plan(tmp_path, plan.replace("patch = 1", "patch = 2")))))["proof"]
        assert check.status is Status.PASSED
        rows.append(check.details.of(ForAllInputs))
    assert not any(row.cached for found in rows for row in found)
    assert [[row.design.partition(", ")[2] for row in found] for found in rows] == [
        [""],
        ["beat 2, packed yes"],
    ]
    assert {row.netlist for row in rows[0]}.isdisjoint(row.netlist for row in rows[1])


def test_what_is_proved_passes_and_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first time it is proved, the second it is taken, and both say so; the report has the claim and the base."""
    monkeypatch.setattr("fxsim.prove.run.prove", without_simulation)
    settings = 'what = ["accelerator", "modules"]\nmodules = ["pool", "saturating_add"]\nschedule = "random:{seed}"'
    first, record = run_one(tmp_path, settings), run_plan(load_plan(tmp_path / "plan.toml"))
    second = by_name(record)["proof"]
    assert (first.status, second.status) == (Status.PASSED, Status.PASSED)
    rows = first.details.of(ForAllInputs)
    assert [(row.of, row.design, row.status, row.cached) for row in rows] == [
        ("accelerator", "stream_resmlp", PROVED, False), ("module", rows[1].design, PROVED, False),
        ("block", "saturating_add", PROVED, False),
    ]  # fmt: skip
    assert (rows[1].count, rows[1].proved, rows[1].images) == (2, 2, 1)
    assert rows[0].schedule == f"random:{first.seed}"
    assert re.fullmatch("[0-9a-f]{64}", rows[0].netlist or "")
    assert "bitwuzla" in rows[0].solver
    assert "Yosys" in (rows[0].yosys or "")
    again = second.details.of(ForAllInputs)
    assert [row.cached for row in again] == [True, True, False]
    assert again[0].seconds == rows[0].seconds
    assert "2 kept" in second.summary
    text = " ".join(" ".join(Page(render_report(record)).texts).split())
    assert "Proved for all inputs" in text
    for claim in (
        f"{claims.RUN} {claims.WHOLE}",
        f"{claims.MODULE} {claims.RUN}",
        claims.RUN_ASSUMED,
        claims.RUN_NOT_COVERED,
        claims.BLOCK,
    ):
        assert claim in text
    assert claims.SCHEDULES not in text
    assert ", cached" in text


def test_faulty_rtl_fails_with_the_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of Verilog with a fault in it: the place of the first finding is named; nothing is kept."""
    faulty(tmp_path, "lib/requantise.v", "quotient_extended + rounding_bit", "quotient_extended")
    monkeypatch.setattr("fxsim.prove.run.prove", without_simulation)
    settings = 'what = ["accelerator"]\nrtl = "rtl"'
    for _ in range(2):
        check = run_one(tmp_path, settings)
        assert check.status is Status.FAILED
        assert re.search(r"stream_resmlp: refuted: embed, token 0, channel \d, cycle \d+: ", check.reason or "")
        (row,) = check.details.of(ForAllInputs)
        assert (row.status, row.cached) == ("refuted", False)
        assert row.proved < row.count
    assert not (tmp_path / "kept" / "proofs").exists()


def test_one_thing_that_is_not_proved_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong node of the engine, and a module of which nothing is stated, are each named."""
    node = Checked("pool", "pool", "every sum", 10, "sum 3: the engine gives 1, the contract 2")
    monkeypatch.setattr("fxsim.prove.engine.prove_engine", lambda *_, **__: EngineProof("avx2", (node,)))
    monkeypatch.setattr(
        "fxsim.prove.schedules.prove_schedules",
        lambda *_, **__: ScheduleProof((), (), (), {"mlp": "it has logic of its own"}),
    )
    check = run_one(tmp_path, 'what = ["schedules", "engine"]')
    assert check.status is Status.FAILED
    assert "mlp: unproved: it has logic of its own" in (check.reason or "")
    assert "pool: sum 3: the engine gives 1, the contract 2" in (check.reason or "")
    monkeypatch.setattr("fxsim.prove.schedules.prove_schedules", lambda *_, **__: ScheduleProof((), (), (), {}))
    check = run_one(tmp_path, 'what = ["schedules"]')
    assert (check.status, check.reason) == (
        Status.ERROR,
        "there is nothing to prove of 'schedules' in model 'tiny'",
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"values": 0, "proved": 0}, "stream_resmlp: proved, 0 of 0"),
        ({"proved": 9}, "stream_resmlp: proved, 9 of 10"),
        ({"stopped": "amid it"}, "stream_resmlp: proved: amid it"),
        ({"status": "unproved"}, "stream_resmlp: unproved: 0 values are not proved"),
    ],
)
def test_what_is_short_of_everything_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], said: str
) -> None:
    """Nothing proved, fewer values, or a run that ended early is no pass, whatever its status says."""
    whole = Proof(
        name="stream_resmlp", status=PROVED, images=1, schedule="none", cycles=9, values=10, proved=10, taps=(),
        ways={}, questions=0, findings=(), stopped="", refutation=None, simulated="", btor2_sha256="0" * 64, yosys="",
        cells=1, seconds={}, memory_mib=1, around="streams",
    )  # fmt: skip

    def answer(proof: Proof) -> CheckRecord:
        found = ProofResult(status=PROVED, model="tiny", device="stream", module=None, proofs=(proof,))
        monkeypatch.setattr("fxsim.prove.run.prove", lambda *_, **__: found)
        return run_one(tmp_path, 'what = ["accelerator"]')

    assert answer(whole).status is Status.PASSED
    check = answer(msgspec.structs.replace(whole, **changes))
    assert (check.status, check.reason) == (Status.FAILED, said)


def test_nothing_looked_at_is_nothing_proved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine without nodes and a module without properties prove nothing."""
    empty = ModuleProof("relu", {}, (), (), "", {}, 0.0)
    assert not empty.proved
    monkeypatch.setattr("fxsim.prove.engine.prove_engine", lambda *_, **__: EngineProof("avx2", ()))
    check = run_one(tmp_path, 'what = ["engine"]')
    assert (check.status, check.reason) == (Status.FAILED, "compiled engine, avx2: unproved, 0 of 0")


def test_without_the_extra_it_is_skipped_in_sight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason says what is not there."""
    monkeypatch.setattr("fxsim.prove.netlist.find_spec", lambda _: None)
    check = run_one(tmp_path, 'what = ["engine"]')
    assert check.status is Status.SKIPPED
    assert check.reason == "the extra 'prove' is not installed: there is no bitwuzla here"


def test_the_claims_are_those_of_the_documentation() -> None:
    """Every sentence of a report stands in docs/prove.md, word for word."""
    text = (ROOT / "docs" / "prove.md").read_text()
    text = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", re.sub(r"^> ", "", text, flags=re.MULTILINE))
    text = " ".join(re.sub(r"[`*]{1,2}", "", text).split())
    sentences = {name: value for name, value in vars(claims).items() if name.isupper()}
    assert len(sentences) == 22
    assert {name: value for name, value in sentences.items() if value not in text} == {}


def test_composed_designs_have_rows_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a composed design its modules and itself; where it is not the graph's, that is a finding."""
    given: dict[str, object] = {}
    unstated: dict[str, str] = {}

    def found(*_: object, **settings: object) -> ScheduleProof:
        given.update(settings)
        return ScheduleProof((), (), (), unstated, composed=True)

    monkeypatch.setattr("fxsim.prove.schedules.prove_schedules", found)
    settings = 'what = ["schedules"]\naccelerator = "composed"\nsettings = { interval = 576 }'
    check = run_one(tmp_path, settings)
    assert (check.status, given["settings"]) == (Status.PASSED, {"interval": 576})
    assert [row.design for row in check.details.of(ForAllInputs)] == ["the design"]
    unstated["the design"] = "'n0_sums' has BEATS 8, node 'conv' asks for 9"
    check = run_one(tmp_path, settings)
    assert check.status is Status.FAILED
    assert "the design: unproved: 'n0_sums' has BEATS 8, node 'conv' asks for 9" in (check.reason or "")


# --- Kept proofs -----------------------------------------------------------------------------------------------------


def ask(request: ProofRequest) -> tuple[str, bool]:
    """The status of the only proof of a request, and whether it was kept."""
    (found,) = prove(request).proofs
    return found.status, found.cached


def test_a_kept_proof_is_of_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model, Verilog, ROM, schedule, images, package and versions: whatever changes is proved anew."""
    request = ProofRequest(tiny(), module="pool", kept=True)
    assert ask(request) == (PROVED, False)
    assert ask(request) == (PROVED, True)
    assert ask(replace(request, kept=False)) == (PROVED, False)
    assert ask(replace(request, schedule="random:3")) == (PROVED, False)
    assert ask(replace(request, images=2)) == (PROVED, False)
    # A comment, which the netlist does not have.
    changed = faulty(tmp_path, "stream/pool.v", "endmodule", "endmodule // the same")
    assert ask(replace(request, rtl=changed)) == (PROVED, False)
    assert ask(replace(request, rtl=changed)) == (PROVED, True)
    embed, *rest = tiny().graph.nodes
    assert isinstance(embed.op, Linear)
    op = replace(embed.op, bias=embed.op.bias ^ 1)
    other = Model(Graph(tiny().graph.input_shape, (Node(embed.name, op, embed.inputs), *rest)), "tiny")
    assert ask(replace(request, model=other)) == (PROVED, False)
    for name, value in (("PACKAGE_SHA256", "0" * 64), ("find_versions", lambda: {"numpy": "0"})):
        with monkeypatch.context() as patch:
            patch.setattr(kept, name, value)
            assert ask(request) == (PROVED, False), name
    assert ask(request) == (PROVED, True)


def test_another_memory_is_not_proved_by_what_was_kept() -> None:
    """The contents of memories alone, of the same model: proved anew, and found to be wrong."""
    request, design = ProofRequest(tiny(), module="affine", kept=True), design_of("affine")
    assert prove_design(request, design).status == PROVED
    assert prove_design(request, design).cached
    name, content = next(iter(design.files.items()))
    digit = content[:1]
    wrong = design._replace(files={**design.files, name: (b"0" if digit != b"0" else b"1") + content[1:]})
    found = prove_design(request, wrong)
    assert found.status != PROVED
    assert not found.cached


def test_what_is_not_as_it_was_kept_is_proved_anew(tmp_path: Path) -> None:
    """A changed byte, the file of another proof under this name, and one that says it is not proved: none is taken."""
    request = ProofRequest(tiny(), module="pool", kept=True)
    ask(request)
    (place,) = (tmp_path / "kept" / "proofs").glob("*.json")
    good = place.read_bytes()
    place.write_bytes(good.replace(b'"images":1', b'"images":2'))
    assert ask(request) == (PROVED, False)
    assert ask(request) == (PROVED, True)
    ask(replace(request, images=2))
    (other,) = set((tmp_path / "kept" / "proofs").glob("*.json")) - {place}
    shutil.copyfile(other, place)
    assert ask(request) == (PROVED, False)
    stored = kept.take(place.stem, Proof)
    assert stored is not None
    kept.keep(place.stem, msgspec.structs.replace(stored, status="unproved"))
    assert ask(request) == (PROVED, False)


def test_modules_under_every_schedule_are_kept() -> None:
    """An induction is taken with its netlist and verdicts; other parameters, or other Verilog, are proved anew."""
    sources = read_sources(rtl_dir())

    def ask_of(verilog: Sources, **parameters: int) -> ModuleProof:
        return prove_module(verilog, properties_of("axis_fifo", parameters), seconds=20, kept=True)

    first = ask_of(sources, DEPTH=1, DATA_W=8)
    again = ask_of(sources, DEPTH=1, DATA_W=8)
    assert first.proved
    assert not first.cached
    assert again == replace(first, cached=True)
    assert not ask_of(sources, DEPTH=1, DATA_W=4).cached
    file = "lib/axis_fifo.v"
    text = sources.files[file].replace(b"          read_reg <= {INDEX_W{1'b0}};\n", b"")
    assert text != sources.files[file]
    wrong = ask_of(Sources(sources.folder, {**sources.files, file: text}), DEPTH=1, DATA_W=8)
    assert not wrong.cached


def test_every_part_of_the_package_that_a_proof_can_use_is_in_its_name(tmp_path: Path) -> None:
    """A changed byte there is another package; one of a room that no proof can import is not."""
    assert set(kept.NOT_USED) == ROOMS.keys() - ROOMS["prove"] - {"prove"}
    package = tmp_path / "fxsim"
    shutil.copytree(ROOT / "fxsim", package, ignore=shutil.ignore_patterns("__pycache__"))
    same = kept.hash_package(package)
    for name in (
        "prove/judge.py",
        "contract/arithmetic.py",
        "operators/linear.py",
        "devices/stream/proofs.py",
        "jit.py",
    ):
        text = (package / name).read_text()
        (package / name).write_text(text + "\n")
        assert kept.hash_package(package) != same, name
        (package / name).write_text(text)
    (package / "cli" / "prove.py").write_text("")
    assert kept.hash_package(package) == same


def test_nothing_is_kept_by_a_package_that_changed_meanwhile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what lies there is not what was loaded, nobody can say which of them proved it."""
    monkeypatch.setattr(kept, "hash_package", lambda: "0" * 64)
    assert ask(ProofRequest(tiny(), module="pool", kept=True)) == (PROVED, False)
    assert not (tmp_path / "kept" / "proofs").exists()


def test_the_command_takes_what_is_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The second time it is cached, and says so; with --fresh, or with evidence to write, it is proved anew."""
    path = tmp_path / "tiny.safetensors"
    save(tiny(), path)

    def call(*words: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(["prove", str(path), "--module", "pool", *words])
        assert ended.value.code == 0
        return capsys.readouterr().out

    assert "cached" not in call()
    assert "schedule none, cached, proved in " in call()
    for words in (["--fresh"], ["-o", str(tmp_path / "evidence")]):
        assert json.loads(call("--json", *words))["proofs"][0]["cached"] is False
    assert (tmp_path / "evidence" / "netlists").is_dir()
    with pytest.raises(SystemExit) as ended:
        main(["prove", str(path), "--engine", "--fresh"])
    assert ended.value.code == 2
