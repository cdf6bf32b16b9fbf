"""Sign-off: plans are checked, checks can fail, everything that happens is in the record, and the report shows it."""

import base64
import dataclasses
import hashlib
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import pywellen
from click.testing import CliRunner, Result

import fxsim.paths as paths
import fxsim.signoff.checks.accumulators as accumulators
import fxsim.signoff.checks.bridge as bridge
import fxsim.signoff.report.page as report
import fxsim.signoff.simulation as simulation
from fxsim.cli import main
from fxsim.cli.signoff import command
from fxsim.compare import sources
from fxsim.contract import TableRule, Tensor
from fxsim.contract.arithmetic import Int8
from fxsim.contract.number import INT16
from fxsim.cosim import (
    BuildUsed,
    CosimRequest,
    CosimResult,
    CosimVerdict,
    Difference,
    Fault,
    Provenance,
    Spread,
    Stop,
    Streams,
    TapResult,
    Timing,
)
from fxsim.devices.simd.figures import LayerFigures, Span
from fxsim.engines import run
from fxsim.errors import FileError, FxsimError, ModelError
from fxsim.formats import load, save
from fxsim.golden import read_manifest
from fxsim.graph import AccumulatorBound, Graph, Model, Node, accumulator_bound
from fxsim.operators import Affine, Linear, Lut, Relu
from fxsim.paths import golden_dir, rtl_dir
from fxsim.signoff import (
    JOURNAL,
    CheckRecord,
    SignoffRecord,
    Status,
    default_plan,
    load_plan,
    read_record,
    render_report,
    run_plan,
    write_record,
)
from fxsim.signoff.checks import CHECKS
from fxsim.signoff.checks.bridge import BridgeCheck, _shares
from fxsim.signoff.checks.cosim import Agreement, CosimCheck, TapAgreement, Way
from fxsim.signoff.checks.cycles import Cycles
from fxsim.signoff.checks.engines import compare_engines
from fxsim.signoff.checks.golden import Curve, TapValues, ValueStatistics
from fxsim.signoff.checks.interval import Interval, IntervalCheck
from fxsim.signoff.checks.proof import ProofCheck
from fxsim.signoff.checks.rtl_fault import RtlFaultCheck
from fxsim.signoff.comparison import Comparison, TapFigures
from fxsim.signoff.context import Context, Outcome, first_few
from fxsim.signoff.files import decode_record
from fxsim.signoff.listener import Silence
from fxsim.signoff.record import Commit, Data, Details, Figure, Machine, verdict
from fxsim.signoff.report.page import draw_pictures
from fxsim.signoff.simulation import Simulation
from fxsim.simulate.sources import read_sources
from fxsim.traces.waves import list_signals

HEAD = f"""title = "test"
seed = 7
published = "published"
[models]
small = {{ file = "{golden_dir()}/small.safetensors" }}
[stimuli]
images = {{ file = "{golden_dir()}/images_16x12.npy" }}
uniform = {{ draw = "uniform", images = 2 }}
"""
ENGINES = """[[check]]
kind = "engines"
name = "engines"
models = ["small"]
stimuli = ["images", "uniform"]
"""
PUBLISHED = """[[check]]
kind = "published"
name = "published"
folder = "stream_relu_h96"
exact = "all"
"""
ACCUMULATORS = """[[check]]
kind = "accumulators"
name = "accumulators"
models = ["small"]
"""
RANDOM = """[[check]]
kind = "random-models"
name = "random"
count = 80
"""
TINY_RTL = """
[stimuli.many]
draw = "uniform"
images = 6
[models.tiny.generate]
grid = [2, 2]
patch = 1
channels = 2
hidden = 3
blocks = 1
classes = 2
[[check]]
kind = "cosim"
name = "rtl"
model = "tiny"
stimulus = "uniform"
images = 2
stalls = ["none", "random:{seed}"]
[[check]]
kind = "interval"
name = "interval-too-strict"
model = "tiny"
stimulus = "many"
bound = 11
[[check]]
kind = "interval"
name = "interval"
model = "tiny"
stimulus = "many"
bound = 12
[[check]]
kind = "rtl-fault"
name = "fault"
model = "tiny"
stimulus = "uniform"
images = 2
file = "requantise.v"
find = "wide[0]"
replace = "1'b0"
first_tap = "embed"
"""


def write_plan(folder: Path, *checks: str, head: str = HEAD) -> Path:
    """A plan file of these checks."""
    path = folder / "plan.toml"
    path.write_text(head + "".join(checks))
    return path


def cli(*arguments: str | Path) -> Result:
    """`fxsim signoff` with these arguments."""
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture(autouse=True)
def _no_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans find published data where they say, not where the environment says."""
    monkeypatch.delenv("FXSIM_PUBLISHED", raising=False)


def by_name(record: SignoffRecord) -> dict[str, CheckRecord]:
    """A record's checks by name."""
    return {check.name: check for check in record.checks}


# --- plans ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "missing required field `title`"),
        ("title = ", "is not a sign-off plan"),
        ('title = "x"\nseed = -1\n' + ACCUMULATORS, "seed"),
        ('title = "x"\nseed = 1\n', "check"),
        ('title = "x"\nseed = 1\ncheck = []\n', "has no checks"),
        (HEAD + ENGINES.replace('"engines"\nname', '"motors"\nname'), "motors"),
        (HEAD + ENGINES + "speed = 3\n", "speed"),
        (HEAD + ENGINES + ENGINES, "check 'engines' is there 2 times"),
        (HEAD + ENGINES.replace('["small"]', '["large"]'), "names model 'large'"),
        (HEAD + ENGINES.replace('"images",', '"films",'), "names stimulus 'films'"),
        (
            HEAD.replace("[stimuli]", "both = { file = 'a', published = 'b' }\n[stimuli]") + ENGINES,
            "exactly one of file",
        ),
        (HEAD + "none = {}\n" + ENGINES, "stimulus 'none' expects exactly one"),
        (HEAD + ENGINES.replace('name = "engines"', 'name = "../x"'), "name"),
        (HEAD + ENGINES.replace('name = "engines"', 'name = ""'), "name"),
        (HEAD + ENGINES.replace('["small"]', "[]"), "models"),
        (HEAD + ENGINES.replace('["images", "uniform"]', "[]"), "stimuli"),
        (HEAD + ACCUMULATORS.replace('["small"]', "[]"), "models"),
        (HEAD + '[[check]]\nkind = "vectors"\nname = "v"\ndirectories = []\n', "directories"),
        (HEAD + ENGINES.replace('["small"]', '["small", "small"]'), "names model 'small' more than once"),
        (HEAD + ENGINES.replace('"uniform"', '"images"'), "names stimulus 'images' more than once"),
        (HEAD + '[[check]]\nkind = "vectors"\nname = "v"\ndirectories = ["a", "a"]\n', "folder 'a' more than once"),
        (
            HEAD + '[[check]]\nkind = "rtl-contract"\nname = "w"\nmodels = ["small"]\naccelerators = ["a", "a"]\n',
            "names accelerator 'a' more than once",
        ),
        (HEAD + PUBLISHED.replace('"all"', "[]"), "exact"),
        (HEAD + TINY_RTL.replace('["none", "random:{seed}"]', "[]"), "stalls"),
        (HEAD + ENGINES + 'engines = ["numba", "numba"]\n', "check 'engines' compares engine numba with itself"),
        (HEAD + ENGINES + 'engines = ["auto", "numba"]\n', "check 'engines' compares engine numba with itself"),
        (HEAD + RANDOM + 'engines = ["reference", "reference"]\n', "compares engine reference with itself"),
        (HEAD + ENGINES + 'engines = ["torch", "numba"]\n', "torch"),
    ],
)
def test_wrong_plan_is_one_error(tmp_path: Path, text: str, message: str) -> None:
    """A plan that is not one, or does not fit together, is an error that names the file and the place."""
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(FileError) as caught:
        load_plan(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_plan_that_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    """A missing plan, a folder, and bytes that are no text are errors that name the file."""
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    for name in ("none.toml", "", "binary.toml"):
        with pytest.raises(FileError, match=re.escape(str(tmp_path / name))):
            load_plan(tmp_path / name)


@pytest.mark.slow
def test_default_plan_covers_what_it_should() -> None:
    """The project's plan uses every golden model, simulates both kinds at paper size, and every table rule."""
    plan = load_plan()
    assert plan.path == default_plan()
    golden = {model.file for model in read_manifest(golden_dir()).models}
    assert {source.file for source in plan.models.values() if source.file} == golden
    simulated: dict[str, set[str]] = {}
    for check in plan.checks:
        if isinstance(check, CosimCheck):
            simulated.setdefault(check.model, set()).update(check.stalls)
    for name in ("psa_h96", "relu_h96"):
        assert {"none", "random:{seed}"} <= simulated[name]
    rules = {source.generate.rule for name, source in plan.models.items() if source.generate and name in simulated}
    assert rules | {"clamp"} == set(TableRule)
    intervals = [check for check in plan.checks if isinstance(check, IntervalCheck)]
    assert {(check.model, check.settings.get("beat", 1)): check.bound for check in intervals} == {
        ("psa_h96", 1): 6144, ("relu_h96", 1): 6144, ("relu_h192", 1): 12288, ("teacher_h384", 1): 24576,
        ("psa_h96", 2): 3072, ("digits_ode", 1): 36864,
    }  # fmt: skip
    assert any(isinstance(check, RtlFaultCheck) for check in plan.checks)
    assert {check.kind for check in plan.checks} == set(CHECKS)
    trained = {path.stem for path in (golden_dir() / "checkpoints").glob("*.safetensors")}
    bridged = [check for check in plan.checks if isinstance(check, BridgeCheck)]
    assert {check.model for check in bridged if check.images is None} == trained
    assert {check.model for check in bridged if check.stage == "V1"} == {
        "digits_small", "digits_binary", "digits_fractional", "digits_ode", "digits_softmax", "psa_h96"
    }  # fmt: skip
    proved = {
        (what, check.model, check.stage)
        for check in plan.checks
        if isinstance(check, ProofCheck)
        for what in check.what
    }
    assert proved == {
        ("accelerator", "small", "V1"), ("accelerator", "small_relu", "V2"), ("schedules", "small", "V2"),
        ("engine", "psa_h96", "V1"), ("accelerator", "psa_h96", "V2"), ("accelerator", "relu_h96", "V2"),
        ("accelerator", "relu_h192", "V2"), ("accelerator", "even_clamp", "V2"),
        ("modules", "digits_binary", "V1"), ("schedules", "digits_binary", "V2"),
        ("schedules", "digits_ode", "V2"), ("schedules", "digits_softmax", "V2"),
    }  # fmt: skip


@pytest.mark.slow
def test_default_plan_simulates_every_range_of_shifts() -> None:
    """Some simulated model shifts by nothing, by more than its accumulators are wide, and by more than 128."""
    plan = load_plan()
    assert any(isinstance(check, CosimCheck) and check.model == "any_shift" for check in plan.checks)
    model, again = (Context(plan, lambda *_: None, lambda _: None).model("any_shift") for _ in range(2))
    assert model == again
    shifts = np.concatenate([node.op.shift for node in model.graph.nodes if isinstance(node.op, Linear | Affine)])
    for low, high in ((0, 0), (1, 15), (16, 31), (32, 127), (128, 255)):
        assert ((low <= shifts) & (shifts <= high)).any(), (low, high)


def test_seed_of_a_check_does_not_depend_on_the_others(tmp_path: Path) -> None:
    """A check's seed follows from the plan's seed and its own name."""
    alone = load_plan(write_plan(tmp_path, ENGINES))
    assert alone.check_seed("engines") != alone.check_seed("accumulators")
    together = run_plan(load_plan(write_plan(tmp_path, ACCUMULATORS, ENGINES)))
    assert by_name(together)["engines"].seed == alone.check_seed("engines")
    other = load_plan(write_plan(tmp_path, ENGINES, head=HEAD.replace("seed = 7", "seed = 8")))
    assert other.check_seed("engines") != alone.check_seed("engines")


# --- runs ---


def test_passing_plan_passes(tmp_path: Path) -> None:
    """Checks that pass give status 0, a record with figures, hashes, commit, tools, machine, and a report."""
    result = cli(write_plan(tmp_path, ENGINES, ACCUMULATORS), "-o", tmp_path / "reports")
    assert result.exit_code == 0, result.output
    assert "PASSED: 2 checks: 2 passed" in result.output
    record = read_record(tmp_path / "reports" / "signoff.json")
    assert record.passed
    assert record.complete
    assert by_name(record)["engines"].details.figures[0].value == (16 + 2) * 3951
    assert set(record.hashes) == {"plan", "model small", "stimulus images"}
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in record.hashes.values())
    assert {"python", "numpy", "numba", "verilator", "g++", "iverilog"} <= record.tools.keys()
    assert record.machine.cores >= 1
    assert re.fullmatch("[0-9a-f]{40}|unknown", record.commit.id)
    assert "PASSED" in (tmp_path / "reports" / "signoff.html").read_text().upper()


def test_json_is_one_object(tmp_path: Path) -> None:
    """--json prints the record, alone, on standard output."""
    result = cli(write_plan(tmp_path, ACCUMULATORS), "--json", "-o", tmp_path)
    record = decode_record("output", result.stdout.encode())
    assert record == read_record(tmp_path / "signoff.json")


def test_wrong_engine_fails_and_the_rest_still_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One wrong value of one engine fails the check, is named by its place, and does not stop later checks."""

    def faulty(model: Model, x: Int8, taps: Any, engine: str) -> dict[str, Int8]:
        values = run(model, x, taps, engine=engine)
        if engine == "numba" and len(x) > 2:
            values["blocks.1.mlp.psa_1"][5, 7, 3] ^= 1
        return values

    monkeypatch.setattr(sources, "run", faulty)
    result = cli(write_plan(tmp_path, ENGINES, ACCUMULATORS), "-o", tmp_path)
    assert result.exit_code == 1
    record = read_record(tmp_path / "signoff.json")
    checks = by_name(record)
    assert not record.passed
    assert checks["engines"].status is Status.FAILED
    assert checks["accumulators"].status is Status.PASSED
    assert "image 5, tap blocks.1.mlp.psa_1, token 7, channel 3: expected" in str(checks["engines"].reason)
    wrong = [row for c in checks["engines"].details.of(Comparison) for row in c.taps if row.mismatches]
    assert [(row.tap, row.mismatches, row.max_distance) for row in wrong] == [("blocks.1.mlp.psa_1", 1, 1)]
    assert "FAILED" in result.output
    assert f"again: {checks['engines'].replay}" in result.output
    html = (tmp_path / "signoff.html").read_text()
    assert 'id="not-covered"' in html
    assert html.index("Not passed") < html.index("<h2>Checks</h2>")


def test_an_engine_is_never_compared_with_itself() -> None:
    """Where the compiled engine does not take a model, `auto` is not the reference engine that it is compared with."""
    graph = Graph(Tensor(("token", "channel"), (2, 3), INT16), (Node("only", Relu(), ("input",)),))
    x = np.zeros((4, 2, 3), np.int16)
    for engine in ("auto", "numba"):
        with pytest.raises(ModelError, match="int16"):
            compare_engines("wide", Model(graph, "wide"), x, ("reference", engine))


def test_wrong_bound_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An accumulator bound that is too small, or a width that does not hold the sum, fails."""

    def wrong(graph: Graph, name: str) -> AccumulatorBound | None:
        bound = accumulator_bound(graph, name)
        if bound is None or name != "embed":
            return bound
        return AccumulatorBound("embed", bound.channel, bound.low, bound.high - 1, 8, 8)

    monkeypatch.setattr(accumulators, "accumulator_bound", wrong)
    check = run_plan(load_plan(write_plan(tmp_path, ACCUMULATORS))).checks[0]
    assert check.status is Status.FAILED
    assert "embed: the bound" in str(check.reason)
    assert "does not fit 8 bits" in str(check.reason)


def test_a_reason_says_how_many_problems_it_leaves_out() -> None:
    """Of three none, of five two; no kind of check cuts its problems by itself."""
    assert first_few([]) == ""
    assert first_few(["a", "b", "c"]) == "a; b; c"
    assert first_few(["a", "b", "c", "d", "e"]) == "a; b; c; and 2 more"
    assert first_few(["a", "b"], 1) == "a; and 1 more"
    kinds = Path(accumulators.__file__).parent.glob("*.py")
    assert [path.name for path in kinds if re.search(r"(problems|firsts|unmeasurable)\[:\d+\]", path.read_text())] == []


@pytest.mark.slow
def test_random_models_check_can_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check on random models finds an engine whose classifier is off by one once in a while."""

    def faulty(model: Model, x: Int8, taps: Any, engine: str) -> dict[str, Int8]:
        values = run(model, x, taps, engine=engine)
        if engine == "numba" and model.graph.shapes["classifier"] == (7,):
            values["classifier"] ^= 1
        return values

    plan = load_plan(write_plan(tmp_path, RANDOM))
    assert run_plan(plan).checks[0].status is Status.PASSED
    monkeypatch.setattr(sources, "run", faulty)
    check = run_plan(plan).checks[0]
    assert check.status is Status.FAILED
    assert "tap classifier" in str(check.reason)


@pytest.mark.slow
def test_corrupted_golden_files_are_found_and_named(tmp_path: Path) -> None:
    """A flipped bit in a golden model, and one in golden vectors, fail their checks by name; status 1."""
    shutil.copytree(golden_dir(), tmp_path / "golden")
    for name in ("small_relu.safetensors", "vectors/small/taps/pool.hex"):
        path = tmp_path / "golden" / name
        data = bytearray(path.read_bytes())
        data[-2] ^= 1
        path.write_bytes(data)
    checks = (
        '[[check]]\nkind = "golden"\nname = "files"\ndirectory = "golden"\n'
        '[[check]]\nkind = "vectors"\nname = "vectors"\ndirectories = ["golden/vectors/small"]\n'
    )
    result = cli(write_plan(tmp_path, checks), "-o", tmp_path)
    assert result.exit_code == 1
    found = by_name(read_record(tmp_path / "signoff.json"))
    assert [check.status for check in found.values()] == [Status.FAILED, Status.FAILED]
    assert "small_relu.safetensors: sha256" in str(found["files"].reason)
    assert "taps/pool.hex: image 3, channel 9: expected" in str(found["vectors"].reason)


DIGITS = golden_dir() / "digits_small.safetensors"
GENERATED = (
    "{ generate = { grid = [2, 2], patch = 1, channels = 3, hidden = 4, blocks = 1, classes = 3, points = 8, "
    'rule = "hold", seed = 1 } }'
)
BRIDGE = f"""[[check]]
kind = "bridge"
name = "bridge"
model = "digits"
checkpoint = "{golden_dir()}/checkpoints/digits_small.safetensors"
images = 8
"""


def bridge_check(folder: Path, model: str, check: str = BRIDGE) -> CheckRecord:
    """The record of a bridge check whose model is this entry of the plan's `[models]`."""
    plan = write_plan(folder, check, head=HEAD.replace("[stimuli]", f"digits = {model}\n[stimuli]"))
    return run_plan(load_plan(plan)).checks[0]


def test_bridge_of_a_golden_model_passes(tmp_path: Path) -> None:
    """Every value is equal, fake-quant's differences are reported by cause, and the hashes are in the record."""
    plan = write_plan(tmp_path, BRIDGE, head=HEAD.replace("[stimuli]", f'digits = {{ file = "{DIGITS}" }}\n[stimuli]'))
    record = run_plan(load_plan(plan))
    (check,) = record.checks
    assert (check.status, check.reason) == (Status.PASSED, None)
    figures = {figure.label: figure.value for figure in check.details.figures}
    assert figures["test pictures"] == 8
    assert figures["values compared"] == 8 * 5914  # of one picture, at all 25 taps
    assert figures["values that differ by the contract"] == 0
    equal, reported = check.details.of(Comparison)
    assert (equal.exact, reported.exact) == (True, False)
    causes = {name: value for name, value in figures.items() if name.startswith("float fake-quant differs: ")}
    assert sum(row.mismatches for row in reported.taps) == sum(causes.values()) > 0
    checkpoint = (golden_dir() / "checkpoints" / "digits_small.safetensors").read_bytes()
    assert record.hashes["checkpoint digits"] == hashlib.sha256(checkpoint).hexdigest()
    assert "model digits" in record.hashes


def test_bridge_to_a_model_with_another_table_fails(tmp_path: Path) -> None:
    """One entry of one table that is not the network's fails the check and is named with both values."""
    model = load(DIGITS)
    nodes = list(model.graph.nodes)
    at = next(i for i, node in enumerate(nodes) if isinstance(node.op, Lut))
    op = nodes[at].op
    assert isinstance(op, Lut)
    table = op.table.copy()
    was = int(table[3, 30])
    table[3, 30] = was ^ 1
    nodes[at] = Node(nodes[at].name, Lut(table, op.rule), nodes[at].inputs)
    path = tmp_path / "changed.safetensors"
    save(Model(Graph(model.graph.input_shape, tuple(nodes)), model.name, model.provenance), path)
    check = bridge_check(tmp_path, f'{{ file = "{path}" }}')
    assert check.status is Status.FAILED
    expected = f"{nodes[at].name}.table[3, 30]: the network has {was}, the model {was ^ 1}"
    assert expected in str(check.reason)


def test_unexplained_difference_fails_the_bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equality by the contract is not enough: one difference of fake-quant without a cause fails the check."""
    import fxsim.bridge.run as bridge_run

    real = bridge_run.bridge

    def unexplained(*args: Any, **options: Any) -> Any:
        found = real(*args, **options)
        taps = found.float_mode.taps
        tap = msgspec.structs.replace(taps[0], causes={"unexplained": 1})
        return msgspec.structs.replace(
            found, float_mode=msgspec.structs.replace(found.float_mode, taps=(tap, *taps[1:]))
        )

    monkeypatch.setattr(bridge_run, "bridge", unexplained)
    check = bridge_check(tmp_path, f'{{ file = "{DIGITS}" }}')
    assert check.status is Status.FAILED
    assert check.reason == "differences of float fake-quant that are unexplained: 1"


@pytest.mark.parametrize("gap", ["no parameter", "no tap", "nothing of a tap", "one value less", "a tap of no values"])
def test_bridge_that_compared_too_little_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gap: str) -> None:
    """Where nothing differs because not everything was compared the check fails, and says how much was compared."""
    import fxsim.bridge.run as bridge_run

    real = bridge_run.bridge

    def partial(*args: Any, **options: Any) -> Any:
        found = real(*args, **options)
        contract, first = found.contract, found.contract.taps[0]
        assert contract.equal
        taps = {
            "no parameter": contract.taps,
            "no tap": (),
            "nothing of a tap": (msgspec.structs.replace(first, compared=0), *contract.taps[1:]),
            "one value less": (msgspec.structs.replace(first, compared=first.compared - 1), *contract.taps[1:]),
            "a tap of no values": (msgspec.structs.replace(first, compared=0, values=0), *contract.taps[1:]),
        }[gap]
        parameters = 0 if gap == "no parameter" else contract.parameters
        return msgspec.structs.replace(
            found, contract=msgspec.structs.replace(contract, taps=taps, parameters=parameters)
        )

    monkeypatch.setattr(bridge_run, "bridge", partial)
    check = bridge_check(tmp_path, f'{{ file = "{DIGITS}" }}')
    assert check.status is Status.FAILED
    every, embed = 8 * 5914, 8 * 16 * 16  # 8 pictures; 16 tokens of 16 channels
    values = {"no parameter": every, "no tap": 0, "one value less": every - 1}.get(gap, every - embed)
    figures = {figure.label: figure.value for figure in check.details.figures}
    parameters = figures["parameters compared"]
    assert (parameters == 0) == (gap == "no parameter")
    assert check.reason == f"{values:,} values and {parameters:,} parameters were compared, not all"


@pytest.mark.parametrize("missing", ["torch", "sklearn"])
def test_bridge_without_torch_is_skipped_in_sight(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    """Where the extra is not installed the check is skipped, and says so."""
    monkeypatch.setattr(bridge, "find_spec", lambda name: None if name == missing else object())
    check = bridge_check(tmp_path, f'{{ file = "{DIGITS}" }}')
    assert check.status is Status.SKIPPED
    assert "the extra 'torch' is not installed" in str(check.reason)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "check", "message"),
    [
        ('{ published = "stream_relu_h96" }', BRIDGE, "model 'digits' is not a file"),
        (GENERATED, BRIDGE, "model 'digits' is not a file"),
        ('{ file = "none.safetensors" }', BRIDGE, "none.safetensors"),
        (f'{{ file = "{DIGITS}" }}', BRIDGE.replace("digits_small", "none"), "none.safetensors"),
        (f'{{ file = "{DIGITS}" }}', BRIDGE.replace("digits_small", "psa_h96"), "expected a model that was exported"),
        (f'{{ file = "{DIGITS}" }}', BRIDGE + 'data_path = "folder"\n', "digits comes with scikit-learn"),
    ],
)
def test_bridge_that_cannot_be_is_an_error(tmp_path: Path, model: str, check: str, message: str) -> None:
    """A model that is no file, a missing file, another network's model, data elsewhere: errors, not failures."""
    found = bridge_check(tmp_path, model, check)
    assert found.status is Status.ERROR
    assert message in str(found.reason)


def test_absent_published_data_is_skipped_in_sight(tmp_path: Path) -> None:
    """Without the published data its check is skipped, with the reason, in table, JSON and HTML; the rest decides."""
    plan = write_plan(tmp_path, PUBLISHED, ACCUMULATORS)
    result = cli(plan, "-o", tmp_path)
    assert result.exit_code == 0
    reason = "published reference data absent"
    assert re.search(rf"skipped +published .*{reason}", result.output)
    assert "1 passed, 1 skipped" in result.output
    check = by_name(read_record(tmp_path / "signoff.json"))["published"]
    assert check.status is Status.SKIPPED
    assert reason in str(check.reason)
    html = (tmp_path / "signoff.html").read_text()
    assert html.count(reason) >= 2  # among what did not pass, and in the table
    assert "1 of 2 checks were skipped." in html[: html.index('class="tiles"')]
    assert 'id="not-covered"' in html


def test_published_data_asked_for_must_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Published data that the environment names but that is not there is an error, not a skip."""
    monkeypatch.setenv("FXSIM_PUBLISHED", str(tmp_path / "nowhere"))
    check = run_plan(load_plan(write_plan(tmp_path, PUBLISHED))).checks[0]
    assert check.status is Status.ERROR
    assert "FXSIM_PUBLISHED names" in str(check.reason)


def test_nothing_but_skipped_checks_do_not_pass(tmp_path: Path) -> None:
    """A run in which every check was skipped did not pass."""
    assert cli(write_plan(tmp_path, PUBLISHED), "-o", tmp_path).exit_code == 1


def test_missing_files_are_errors_not_skips(tmp_path: Path) -> None:
    """A model that is not there, or one folder of published data that is there, is an error of that check alone."""
    (tmp_path / "published").mkdir()
    head = HEAD.replace("small.safetensors", "none.safetensors")
    record = run_plan(load_plan(write_plan(tmp_path, ACCUMULATORS, PUBLISHED, head=head)))
    checks = by_name(record)
    assert {check.status for check in checks.values()} == {Status.ERROR}
    assert "none.safetensors" in str(checks["accumulators"].reason)
    assert "no folder 'stream_relu_h96'" in str(checks["published"].reason)
    assert not record.passed


def test_defect_in_a_check_is_an_error_of_that_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unforeseen exception is recorded with its type and place, and the other checks still run."""

    def broken(*_: object) -> Outcome:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setitem(CHECKS, "engines", dataclasses.replace(CHECKS["engines"], run=broken))
    checks = by_name(run_plan(load_plan(write_plan(tmp_path, ENGINES, ACCUMULATORS))))
    assert checks["engines"].status is Status.ERROR
    assert re.search(
        r"ZeroDivisionError: by nothing \(in broken, test_signoff.py line \d+\)", str(checks["engines"].reason)
    )
    assert checks["accumulators"].status is Status.PASSED


def test_interruption_writes_what_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Ctrl-C in a check: record and report are written, marked incomplete, the rest as not run; status 130."""

    def interrupted(*_: object) -> Outcome:
        raise KeyboardInterrupt

    monkeypatch.setitem(CHECKS, "engines", dataclasses.replace(CHECKS["engines"], run=interrupted))
    second = ACCUMULATORS.replace('name = "accumulators"', 'name = "later"')
    plan = write_plan(tmp_path, ACCUMULATORS, ENGINES, second)
    with pytest.raises(SystemExit) as caught:
        main(["signoff", str(plan), "-o", str(tmp_path)])
    assert caught.value.code == 130
    assert "INCOMPLETE" in capsys.readouterr().out
    record = read_record(tmp_path / "signoff.json")
    assert not record.complete
    assert not record.passed
    assert [check.status for check in record.checks] == [Status.PASSED, Status.ERROR, Status.SKIPPED]
    assert record.checks[2].reason == "the run was interrupted"
    assert "incomplete" in (tmp_path / "signoff.html").read_text()


def test_only_and_list(tmp_path: Path) -> None:
    """--only runs the named checks and writes nothing unasked; --list lists; an unknown name is an error."""
    plan = write_plan(tmp_path, ENGINES, ACCUMULATORS)
    before = set(tmp_path.iterdir())
    result = cli(plan, "--only", "accumulators")
    assert result.exit_code == 0
    assert "1 checks of the plan's 2" in result.output
    assert set(tmp_path.iterdir()) == before
    listing = cli(plan, "--list")
    assert "engines" in listing.output
    assert "accumulators" in listing.output
    listed = json.loads(cli(plan, "--list", "--json").stdout)
    assert [(check["name"], check["kind"]) for check in listed["checks"]] == [
        ("engines", "engines"), ("accumulators", "accumulators"),
    ]  # fmt: skip
    assert listed["checks"][0]["engines"] == ["reference", "numba"]
    error = cli(plan, "--only", "enginse").exception
    assert isinstance(error, FxsimError)
    assert "there are: engines, accumulators" in str(error)
    record = run_plan(load_plan(plan), ("engines",))
    assert (record.selected, record.checks_in_plan, len(record.checks)) == (("engines",), 2, 1)
    assert "Only 1 of the plan" in render_report(record)


def test_stages_and_patterns_choose_checks(tmp_path: Path) -> None:
    """--stage runs the checks up to it, --only those of a pattern; what was left out is said."""
    later = ENGINES.replace('name = "engines"', 'name = "engines"\nstage = "V2"')
    assert later != ENGINES
    plan = write_plan(tmp_path, ACCUMULATORS, later)

    def names(*options: str) -> list[str]:
        return [check["name"] for check in json.loads(cli(plan, "--list", "--json", *options).stdout)["checks"]]

    assert names() == names("--stage", "V2") == names("--stage", "V3") == ["accumulators", "engines"]
    assert names("--stage", "V1") == names("--only", "acc*") == ["accumulators"]
    assert names("--only", "*s") == ["accumulators", "engines"]
    assert names("--only", "*s", "--stage", "V1") == ["accumulators"]
    for options, words in (
        (("--only", "engines", "--stage", "V1"), "no check 'engines' up to stage V1; there are: accumulators"),
        (("--only", "x*"), "no check 'x\\*'; there are: accumulators, engines"),
    ):
        error = cli(plan, *options).exception
        assert isinstance(error, FxsimError)
        assert re.search(words, str(error))
    assert cli(plan, "--stage", "V4").exit_code == 2
    result = cli(plan, "--stage", "V1", "-o", tmp_path / "out")
    assert result.exit_code == 0, result.output
    assert "PASSED: 1 checks of the plan's 2 up to stage V1: 1 passed" in result.output
    record = read_record(tmp_path / "out" / "signoff.json")
    assert (record.stage, record.selected, record.checks_in_plan, len(record.checks)) == ("V1", None, 2, 1)
    assert "Only 1 of the plan's 2 checks were selected, up to stage V1." in unescape(render_report(record))
    plan = write_plan(tmp_path, later)
    error = cli(plan, "--stage", "V1").exception
    assert isinstance(error, FxsimError)
    assert "there is no check up to stage V1" in str(error)
    error = cli(write_plan(tmp_path, later.replace("V2", "V4"))).exception
    assert isinstance(error, FxsimError)
    assert "stage" in str(error)
    assert "V4" in str(error)


def test_replay_command_runs_the_check_again(tmp_path: Path) -> None:
    """The printed command runs that check alone, with the same seed and the same result."""
    record = run_plan(load_plan(write_plan(tmp_path, ACCUMULATORS, ENGINES)))
    check = by_name(record)["engines"]
    program, name, *arguments = shlex.split(check.replay)
    assert (program, name) == ("fxsim", "signoff")
    again = cli(*arguments, "--json")
    assert again.exit_code == 0, again.output
    repeated = decode_record("output", again.stdout.encode()).checks
    assert [(c.name, c.seed, c.details) for c in repeated] == [(check.name, check.seed, check.details)]


def test_listener_is_told_everything(tmp_path: Path) -> None:
    """Whoever shows progress hears of each check's beginning and end, in order."""
    events: list[str] = []

    class Listener(Silence):
        def started(self, check: Any) -> None:
            events.append(f"started {check.name}")

        def finished(self, record: CheckRecord) -> None:
            events.append(f"{record.status} {record.name}")

    run_plan(load_plan(write_plan(tmp_path, ACCUMULATORS, PUBLISHED)), listener=Listener())
    assert events == ["started accumulators", "passed accumulators", "started published", "skipped published"]


@pytest.mark.parametrize(
    ("statuses", "complete", "expected"),
    [
        ((Status.PASSED,), True, True),
        ((Status.PASSED, Status.SKIPPED), True, True),
        ((Status.SKIPPED,), True, False),
        ((Status.PASSED, Status.FAILED), True, False),
        ((Status.PASSED, Status.ERROR), True, False),
        ((Status.PASSED,), False, False),
        ((), True, False),
    ],
)
def test_verdict(statuses: tuple[Status, ...], complete: bool, expected: bool) -> None:
    """A run passes only where it is complete, something passed, and nothing failed or was in error."""
    checks = tuple(CheckRecord("n", "k", "", status, "", None, 0.0, 0, "", None) for status in statuses)
    assert verdict(checks, complete) is expected


@pytest.mark.slow
def test_record_and_report_are_of_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run whose report cannot be drawn or written leaves the record and the report of the run before.

    Its journal stays, so that nothing that it found is lost: the next run takes it up.
    """
    plan = write_plan(tmp_path, ACCUMULATORS)
    output = tmp_path / "reports"
    assert cli(plan, "-o", output).exit_code == 0
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    assert sorted(before) == ["history.jsonl", "signoff.html", "signoff.json"]

    def broken(_: SignoffRecord) -> str:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(report, "render_report", broken)
        assert isinstance(cli(plan, "-o", output).exception, ZeroDivisionError)
    assert {path.name: path.read_bytes() for path in output.iterdir() if path.name != JOURNAL} == before
    with monkeypatch.context() as patch:
        patch.setattr(report, "render_report", lambda _: "\ud800")  # no bytes of UTF-8
        assert isinstance(cli(plan, "-o", output).exception, UnicodeEncodeError)
    assert {path.name: path.read_bytes() for path in output.iterdir() if path.name != JOURNAL} == before
    result = cli(plan, "-o", output, "--resume")
    assert result.exit_code == 0
    assert "1 of 1 checks are done" in result.output
    assert sorted(path.name for path in output.iterdir()) == ["history.jsonl", "signoff.html", "signoff.json"]


def test_unwritable_output_is_noticed_before_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that takes no files, or one with a folder of the report's name, is an error before any check runs."""
    monkeypatch.setitem(
        CHECKS, "engines", dataclasses.replace(CHECKS["engines"], run=lambda *_: pytest.fail("a check ran"))
    )
    plan = write_plan(tmp_path, ENGINES)
    (tmp_path / "file").touch()
    for name in ("signoff.json", "signoff.html"):
        (tmp_path / f"with-{name}" / name).mkdir(parents=True)
        error = cli(plan, "-o", tmp_path / f"with-{name}").exception
        assert isinstance(error, FileError)
        assert f"{name}: it exists and is not a regular file" in str(error)
    for folder in (Path("/proc"), tmp_path / "file" / "reports"):
        error = cli(plan, "-o", folder).exception
        assert isinstance(error, FileError)
        assert f"cannot write into the folder {folder}" in str(error)


@pytest.mark.slow
def test_default_plan_of_an_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside an installed package the project's plan is found with its files, and published data is absent."""
    package = tmp_path / "site-packages" / "fxsim"
    shutil.copytree(golden_dir(), package / "_golden")
    monkeypatch.setattr(paths, "_PACKAGE", package)
    assert load_plan().path == package / "_golden" / "signoff.toml"
    checks = by_name(run_plan(load_plan(), ("accumulators", "published-relu")))
    assert checks["accumulators"].status is Status.PASSED
    assert checks["published-relu"].status is Status.SKIPPED
    assert "published reference data absent" in str(checks["published-relu"].reason)
    assert checks["accumulators"].replay == "fxsim signoff --only accumulators"


def test_names_of_files_cannot_command_the_terminal(tmp_path: Path) -> None:
    """Control characters in a path of the plan come out of the command as spaces."""
    head = HEAD.replace("small.safetensors", "\\u001b]0;small")
    result = cli(write_plan(tmp_path, ACCUMULATORS, head=head), "-o", tmp_path)
    assert result.exit_code == 1
    assert " ]0;small" in result.output
    assert "\x1b" not in result.output


def test_model_without_accumulators_is_an_error(tmp_path: Path) -> None:
    """A model in which nothing is summed cannot pass the accumulator check: it is named."""
    save(Model(Graph((2, 3), (Node("y", Relu(), ("input",)),)), "bare"), tmp_path / "bare.safetensors")
    head = HEAD.replace(f"{golden_dir()}/small.safetensors", "bare.safetensors")
    check = run_plan(load_plan(write_plan(tmp_path, ACCUMULATORS, head=head))).checks[0]
    assert (check.status, check.reason) == (Status.ERROR, "model 'small' has no accumulators to check")


# --- RTL ---


@pytest.mark.verilator  # simulates the RTL
def test_simulation_pass_and_fail(tmp_path: Path) -> None:
    """A tiny design is bit-exact; its interval meets 12 cycles (4 tokens x 3) and not 11; a fault in it is found."""
    record = run_plan(load_plan(write_plan(tmp_path, TINY_RTL)))
    checks = by_name(record)
    assert {name: str(check.status) for name, check in checks.items()} == {
        "rtl": "passed", "interval-too-strict": "failed", "interval": "passed", "fault": "passed",
    }, [check.reason for check in record.checks]  # fmt: skip
    simulations = checks["rtl"].details.of(Simulation)
    assert [s.stall for s in simulations] == ["none", f"random:{checks['rtl'].seed}"]
    assert all(s.compared > 0 and s.images == 2 for s in simulations)
    assert checks["interval-too-strict"].reason == "12 cycles between two images, expected at most 11"
    assert "embed" in checks["fault"].summary
    assert re.fullmatch("[0-9a-f]{64}", record.hashes["rtl"])


@pytest.mark.verilator  # simulates the RTL
def test_fault_that_is_not_found_or_not_there_does_not_pass(tmp_path: Path) -> None:
    """A change that is no fault fails its check; one whose text is not in the file is an error."""
    fault = TINY_RTL[: TINY_RTL.index("[[check]]")] + TINY_RTL[TINY_RTL.index('[[check]]\nkind = "rtl-fault"') :]
    harmless = fault.replace("1'b0", "wide[0] ")
    check = run_plan(load_plan(write_plan(tmp_path, harmless))).checks[0]
    assert (check.status, check.reason) == (Status.FAILED, "the fault in requantise.v was not found in 2 images")
    for change in (fault.replace("wide[0]", "narrow[0]"), fault.replace("requantise.v", "../requantise.v")):
        check = run_plan(load_plan(write_plan(tmp_path, change))).checks[0]
        assert check.status is Status.ERROR, check


WHERE = Difference(image=1, tap="embed", index={"token": 0, "channel": 2}, expected=5, got=6, cycle=77)


def cosim_result(**changes: Any) -> CosimResult:
    """The result of a faultless simulation of the tiny design, but for the changes."""
    tap = TapResult(16, 0, 0, None, (), 16)
    result = CosimResult(
        verdict=CosimVerdict(
            passed=True, images=2, first_mismatch=None, faults=(), fault_count=0, stopped=None, replay=None,
        ),
        streams=Streams(taps={"embed": tap, "classifier": tap}, output=tap, output_name="m_axis"),
        timing=Timing(
            interval_cycles=12, latency_cycles=50, first_output_cycles=None, interval=Spread(12, 12, 12, 4),
            input_interval=None, latency=None, interval_bound_cycles=12, interval_least_cycles=None,
            interval_within_bound=True, cycles=100, resets=0, cycles_per_second=1000, simulation_seconds=0.1,
            simulation_cpu_seconds=0.1, waiting_seconds=0.0, wall_seconds=0.1,
        ),
        build=BuildUsed(
            rtl_sha256=read_sources(rtl_dir()).sha256, parameters={}, build_key="k", build_cached=True,
            build_seconds=0.0, verilator="v", compiler="c",
        ),
        provenance=Provenance(
            accel="stream", settings={}, model="tiny", model_sha256="0", image_start=0, image_stop=2, stall="none",
            power_on_seed=1, watchdog_cycles=1000, engine="numba",
        ),
    )  # fmt: skip
    return result.replace(**changes)


def replace_cosim(monkeypatch: pytest.MonkeyPatch, simulate: Callable[..., CosimResult]) -> None:
    """Have a function called in place of the co-simulation, with the parts of the request as keywords."""

    def run(request: CosimRequest, **_: object) -> CosimResult:
        asked = {"accel": request.device, "stall": request.stall, "engine": request.engine, "rtl": request.rtl}
        asked |= {"optimise": request.optimise} | dict(request.settings)
        return simulate(request.model, request.x, **asked)

    monkeypatch.setattr(simulation, "run_cosim", run)


def tiny_checks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes: Any) -> dict[str, CheckRecord]:
    """The checks of TINY_RTL by name, if every simulation returned a faultless result with these changes."""
    replace_cosim(monkeypatch, lambda *_, **__: cosim_result(**changes))
    return by_name(run_plan(load_plan(write_plan(tmp_path, TINY_RTL))))


def test_the_greatest_interval_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One pair of images further apart than the bound fails the check, whatever the median; both are shown."""
    checks = tiny_checks(tmp_path, monkeypatch, interval=Spread(12, 12, 19, 5))
    check = checks["interval"]
    assert (check.status, check.reason) == (Status.FAILED, "19 cycles between two images, expected at most 12")
    assert "at most 19 cycles between images (median 12), bound 12" in check.summary
    assert check.details.of(Interval)[0] == Interval("tiny", 19, 12, 12, None, 50)
    unmeasured = tiny_checks(tmp_path, monkeypatch, interval=None)["interval"]
    assert (unmeasured.status, unmeasured.reason) == (Status.FAILED, "the interval could not be measured")


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"stopped": Stop(90, 1, 1000, "pool waits", ())}, "stopped at cycle 90: pool waits"),
        ({"faults": (Fault("tlast", "m_axis", 1, None, 0, 80),), "fault_count": 1}, "tlast on m_axis, image 1, "),
        ({"images": 1}, "only 1 images came out"),
        ({"output": TapResult(15, 0, 0, None, (), 16)}, "tap output: 15 values were compared, expected 16"),
    ],
)
def test_simulation_that_did_not_pass_fails_without_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], finding: str
) -> None:
    """A simulation in which every value was equal fails its checks where it stopped, broke a rule, or ended early."""
    checks = tiny_checks(tmp_path, monkeypatch, passed=False, **changes)
    for name in ("rtl", "interval"):
        assert checks[name].status is Status.FAILED
        assert finding in str(checks[name].reason)
        assert checks[name].kept is None  # nothing is written without an output folder


def test_fault_must_be_seen_first_where_expected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault that is first seen at another tap than the plan expects fails its check, and both taps are told."""
    for tap, status in (("embed", Status.PASSED), ("classifier", Status.FAILED)):
        first = msgspec.structs.replace(WHERE, tap=tap)
        check = tiny_checks(tmp_path, monkeypatch, passed=False, first_mismatch=first)["fault"]
        assert check.status is status
    assert check.reason == "the fault in requantise.v was first seen at classifier, expected embed"


@pytest.mark.verilator  # simulates the RTL
@pytest.mark.thorough
def test_failed_simulation_leaves_a_folder_that_repeats_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failure is kept beside the record, repeats the difference with one command, and goes once the check passes."""
    faulty, golden = tmp_path / "rtl", golden_dir()
    shutil.copytree(paths.rtl_dir(), faulty)
    source = paths.verilog_file(faulty, "requantise.v")
    source.write_text(source.read_text().replace("wide[0]", "1'b0"))
    plan = write_plan(tmp_path, TINY_RTL)
    output = tmp_path / "reports"
    arguments = (plan, "--only", "rtl", "-o", output)
    with monkeypatch.context() as patch:
        patch.setattr(paths, "_own_dir", lambda name: faulty if name == "rtl" else golden)
        failed = cli(*arguments)
        cli(*arguments)  # again: what the first run kept is replaced
    assert failed.exit_code == 1
    check = read_record(output / "signoff.json").checks[0]
    assert (check.status, check.kept) == (Status.FAILED, "failures/rtl")
    script = output / "failures" / "rtl" / "replay.sh"
    assert f"kept, to repeat anywhere: {script}" in failed.output
    assert "failures/rtl/replay.sh" in (output / "signoff.html").read_text()
    # Anywhere: nothing else of the run is there any more.
    moved = tmp_path / "elsewhere"
    script.parent.rename(moved)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    again = subprocess.run([moved / "replay.sh"], env=os.environ | {"PATH": path}, capture_output=True, text=True)
    assert again.returncode == 1, again.stderr
    found = re.search(r"tap embed, token (\d+), channel (\d+): expected (-?\d+), got (-?\d+)", again.stdout)
    assert found is not None, again.stdout
    token, channel, expected, got = found.groups()
    assert f"tap embed, token {token}, channel {channel}: expected {expected}, got {got}" in str(check.reason)
    # The viewers' files name signals of the waveform, and the cycle in which the value passed.
    assert {"failure.gtkw", "failure.sucl", "replay.sh"} <= set(check.kept_files)
    assert 'href="failures/rtl/failure.gtkw"' in (output / "signoff.html").read_text()
    signals = list_signals(moved / "failure.fst")
    saved = [line for line in (moved / "failure.gtkw").read_text().splitlines() if line.startswith("TOP.")]
    assert len(saved) > 6
    for line in saved:
        bare = line.removesuffix("[7:0]")
        assert signals[bare] == (8 if bare != line else 1)
    added = [line for line in (moved / "failure.sucl").read_text().splitlines() if line.startswith("variable_add ")]
    assert [line.removeprefix("variable_add ") for line in added] == [line.removesuffix("[7:0]") for line in saved]
    cycle = re.search(r"\(cycle (\d+)\)", again.stdout)
    assert cycle is not None
    marker = 10 * int(cycle[1])
    assert f"cursor_set {marker}\n" in (moved / "failure.sucl").read_text()
    assert f"*-6.0 {marker} " in (moved / "failure.gtkw").read_text()
    values = values_at(moved / "failure.fst", marker, "TOP.stream_resmlp.embed.m_axis_")
    assert values == {"tdata": int(got) % 256, "tvalid": 1, "tready": 1}

    (output / "failures" / "rtl").mkdir()
    (output / "failures" / "rtl" / "replay.sh").touch()
    (output / "failures" / "notes").mkdir()
    assert cli(*arguments).exit_code == 0
    assert [path.name for path in (output / "failures").iterdir()] == ["notes"]


def values_at(wave: Path, time: int, prefix: str) -> dict[str, int]:
    """The values of a stream's signals at a time of a waveform."""
    found: dict[str, int] = {}
    for name in ("tdata", "tvalid", "tready"):

        def keep(at: int, _signal: object, value: int, name: str = name) -> None:
            if at <= time:
                found[name] = value

        pywellen.Waveform(str(wave), multi_threaded=False, stream_only=True).stream_changes(keep, [f"{prefix}{name}"])
    return found


def test_failure_that_cannot_be_kept_is_still_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where something else has the folder's name it stays; the reason tells what was found and why it is not kept."""
    (tmp_path / "failures" / "rtl").mkdir(parents=True)
    (tmp_path / "failures" / "rtl" / "mine").touch()
    replace_cosim(monkeypatch, lambda *_, **__: cosim_result(passed=False, first_mismatch=WHERE))
    check = run_plan(load_plan(write_plan(tmp_path, TINY_RTL)), ("rtl",), output=tmp_path).checks[0]
    assert (check.status, check.kept) == (Status.FAILED, None)
    assert "image 1, tap embed, token 0, channel 2: expected 5, got 6" in str(check.reason)
    assert "could not be kept: cannot write the folder" in str(check.reason)
    assert (tmp_path / "failures" / "rtl" / "mine").exists()


# --- published data ---


def published_plan(tmp_path: Path, folder: Path, *checks: str) -> Path:
    """A plan that finds published data in a folder."""
    return write_plan(tmp_path, *checks, head=HEAD.replace('"published"', json.dumps(str(folder))))


def test_published_checks(published: Path, tmp_path: Path) -> None:
    """The published ReLU model is exact everywhere; the PSA model's embedding is, and its distance is reported."""
    psa = PUBLISHED.replace('"published"\nfolder = "stream_relu_h96"', '"psa"\nfolder = "stream_psa_h96"')
    psa = psa.replace('exact = "all"', 'exact = ["embed"]\ntrace = "csim_trace.npz"')
    simd = PUBLISHED.replace('"published"\nfolder = "stream_relu_h96"', '"simd"\nfolder = "simd_psa_h96"')
    simd = simd.replace('exact = "all"', 'exact = ["embed"]\nsame_as = "stream_psa_h96"')
    checks = by_name(run_plan(load_plan(published_plan(tmp_path, published, PUBLISHED, psa, simd))))
    statuses = {name: str(check.status) for name, check in checks.items()}
    # Of later stages this plan demands no distance: that is no pass.
    assert statuses == {"published": "passed", "psa": "reported", "simd": "reported"}, [
        c.reason for c in checks.values()
    ]
    relu = checks["published"].details.of(Comparison)
    # Six stages of four images, and ten of the inside of block 0 of one.
    assert sum(row.compared for c in relu for row in c.taps) == 4 * (5 * 64 * 96 + 10) + 10 * 64 * 96
    dump = next(c for c in checks["psa"].details.of(Comparison) if "dump" in c.title)
    # As measured by others: up to 18 inside the network, up to 8 at the classifier.
    assert max(row.max_distance or 0 for row in dump.taps) == 18
    assert dump.taps[-1].max_distance == 8
    assert "class agrees on 4 of 4" in checks["psa"].summary
    reading = {f.label: f.value for f in checks["psa"].details.figures if "next channel's first point" in f.label}
    assert list(reading.values()) == ["11 of 11", 0]
    assert all(label.startswith("csim_trace.npz, were t[P] ") for label in reading)


def test_changed_sample_is_found(published: Path, tmp_path: Path) -> None:
    """One changed number among the published ReLU samples fails the check at its tap; so does another model."""
    folder = tmp_path / "data"
    shutil.copytree(published / "stream_relu_h96", folder / "stream_relu_h96")
    shutil.copytree(published / "stream_psa_h96", folder / "stream_psa_h96")
    samples = folder / "stream_relu_h96" / "quant_samples.h"
    samples.chmod(0o644)
    head, tail = samples.read_text().split("samples_output", 1)
    assert "{{" in tail
    changed = re.sub(r"\{\{(-?\d+)", lambda m: "{{" + str((int(m[1]) + 1) % 100), tail, count=1)
    samples.write_text(f"{head}samples_output{changed}")
    same = PUBLISHED.replace('"published"\nfolder', '"same"\nfolder') + 'same_as = "stream_psa_h96"\n'
    checks = by_name(run_plan(load_plan(published_plan(tmp_path, folder, PUBLISHED, same))))
    assert checks["published"].status is Status.FAILED
    assert "image 0, tap classifier, channel 0: expected" in str(checks["published"].reason)
    assert "is another network" in str(checks["same"].reason)


# --- record and report ---

HOSTILE = '<script>alert("x")</script> & $\\frac{1}{2}$ <img src=x onerror=y>'


def stored_record(text: str = "plain") -> SignoffRecord:
    """A record with one of everything, the text in every place that has room for it."""
    figures = (Figure(text, text, text), Figure("none", None), Figure("half", 0.5))
    demanded = Comparison(text, True, (TapFigures(text, 10, 2, 3, 0.5), TapFigures("b", 10, 0, 0, 0.0)))
    reported = Comparison(f"{text} dump", False, (TapFigures(text, 10, 2, 3, 0.5),))
    simulated = Simulation(text, text, 3, 10, 1, False, text, None, 12, None, 100, 1000, 1.5, False, text)
    agreement = Agreement(
        text,
        3,
        2,
        (
            TapAgreement(text, 10, (Way("stream", 20, 0), Way("simd", 20, 0))),
            TapAgreement("pool", 5, (Way("stream", 10, 0), Way("simd", 10, 1))),
        ),
    )
    layers, spans = (LayerFigures(0, text, 256, 16, 30, 5, 4, 3, 1),), (Span("compute", 0, 5, 40),)
    data: dict[str, tuple[Data, ...]] = {
        "cosim": (demanded, simulated, agreement),
        "published": (demanded, reported),
        "bridge": (demanded, reported),
        "golden": (
            ValueStatistics(text, 2, (TapValues(text, -128, 127, 20.0, 0.01),)),
            Curve(text, text, 0, text, (-128, 0), (-5, 5), tuple(range(-128, 128))),
        ),
        "interval": (
            Interval(text, 6145, 6143, 6144, 6240, 50_000),
            Interval("unmeasured", None, None, 12, None, None),
            simulated,
        ),
        "cycles": (Cycles(text, 64, 404, 390, None, 400, 500, text, 1.71, 1.62, layers, spans), simulated),
    }
    checks = tuple(
        CheckRecord(
            f"check-{kind}", kind, text, status, text, text, 1.0, 3, f"signoff --only {kind}", text,
            Details(figures, rows),
        )
        for status, (kind, rows) in zip(itertools.cycle(Status), data.items(), strict=False)
    )  # fmt: skip
    return SignoffRecord(
        "fxsim.signoff", 1, text, text, "2026-01-01T00:00:00+00:00", 61.0, True, False, None, len(checks), 1,
        Commit(text, True), text, {text: text}, Machine(text, 2, 3.5, text), {text: text}, checks,
    )  # fmt: skip


class Page(HTMLParser):
    """Elements and text of a page, and every attribute that could load something."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep an element."""
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        """Keep a text."""
        self.texts.append(data)


def test_record_round_trips(tmp_path: Path) -> None:
    """A record is read back as it was written; one that is not a record is an error that names the file."""
    record = stored_record(HOSTILE)
    write_record(record, tmp_path / "r.json")
    assert read_record(tmp_path / "r.json") == record
    for text in (b"", b"{}", b'{"format": "fxsim.signoff"}', b"\xff"):
        (tmp_path / "r.json").write_bytes(text)
        with pytest.raises(FileError, match=r"r\.json"):
            read_record(tmp_path / "r.json")


@pytest.mark.slow
def test_report_is_drawn_from_the_stored_record(tmp_path: Path) -> None:
    """The JSON alone gives the page: verdict, every check with its status in words, figures, eight pictures."""
    write_record(stored_record(), tmp_path / "r.json")
    html = render_report(read_record(tmp_path / "r.json"))
    page = Page(html)
    text = " ".join(page.texts)
    assert "failed" in html[: html.index("Not passed")]
    for check in stored_record().checks:
        assert check.name in text
    for status in Status:
        assert f'<span class="chip {status}">{status}</span>' in html
    assert page.tags.count("svg") == 8
    assert "6,145" in text
    assert "signoff --only published" in text


def test_report_shows_what_differs_and_only_that() -> None:
    """Comparisons with a difference get a table, which says whether equality was demanded; equal ones get none."""
    details = Details(
        data=(
            Comparison("all equal", True, (TapFigures("embed", 10, 0, 0, 0.0),)),
            Comparison("one off", True, (TapFigures("embed", 10, 0, 0, 0.0), TapFigures("pool", 1234, 17, 3, 0.5))),
        )
    )
    record = stored_record()
    check = msgspec.structs.replace(record.checks[0], details=details)
    html = render_report(msgspec.structs.replace(record, checks=(check,)))
    section = html[html.index("<h2>Comparisons with differences</h2>") : html.index("<h2>What ran</h2>")]
    text = " ".join("".join(Page(section).texts).split())
    assert "one off check-cosim: equality is demanded" in text
    assert "pool1,234173" in text.replace(" ", "")
    assert "all equal" not in text
    equal = msgspec.structs.replace(check, details=Details(data=details.data[:1]))
    assert "Comparisons with differences" not in render_report(msgspec.structs.replace(record, checks=(equal,)))


@pytest.mark.slow
def test_report_is_self_contained_and_repeatable() -> None:
    """The page loads nothing, runs nothing, and the same record gives the same bytes."""
    html = render_report(stored_record())
    page = Page(html)
    assert not {"link", "iframe", "object", "img"} & set(page.tags)
    # One script, of its own, and a policy that lets it do nothing but that.
    assert page.tags.count("script") == 1
    (script,) = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    policy = dict(page.attributes)["content"]
    sha256 = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy.startswith("default-src 'none'; ")
    assert f"script-src 'sha256-{sha256}'; " in policy
    loading = [value for name, value in page.attributes if name in ("src", "href", "xlink:href", "action", "data")]
    assert all(value.startswith("#") for value in loading)
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert html == render_report(stored_record())
    identifiers = [value for name, value in page.attributes if name == "id"]
    assert {value[1:] for value in loading} <= set(identifiers)


@pytest.mark.slow
def test_report_escapes_hostile_names() -> None:
    """Markup in any name or text of a record is shown, not obeyed, in tables and pictures alike."""
    html = render_report(stored_record(HOSTILE))
    page = Page(html)
    assert "img" not in page.tags
    assert html.count("<script>") == 1  # the page's own
    plain = Page(render_report(stored_record()))
    assert set(page.tags) - {"wbr"} == set(plain.tags)
    assert sum(HOSTILE in text for text in page.texts) > 20


@pytest.mark.parametrize("checks", [(), ("failed",)])
def test_report_of_little_is_a_report(checks: tuple[str, ...]) -> None:
    """A record without checks, or with one that has no figures, still gives a page, with no empty pictures."""
    record = stored_record()
    kept = tuple(msgspec.structs.replace(check, details=Details()) for check in record.checks if check.status in checks)
    page = Page(render_report(msgspec.structs.replace(record, checks=kept)))
    assert "svg" not in page.tags


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"complete": False}, "Interrupted: this record is incomplete."),
        ({"selected": ("a",), "checks_in_plan": 9}, "Only 6 of the plan"),
        ({"commit": Commit("f" * 40, True)}, "with uncommitted changes"),
    ],
)
def test_what_limits_a_verdict_is_at_the_top(change: dict[str, Any], shown: str) -> None:
    """Interruption, a selection of checks, and uncommitted changes are said beside the verdict."""
    html = render_report(msgspec.structs.replace(stored_record(), **change))
    assert shown in html[: html.index('class="tiles"')]


@pytest.mark.slow
def test_values_that_differ_are_shown_in_the_tap_picture() -> None:
    """The tap picture marks a tap that differs, and only that one."""
    picture = draw_pictures(stored_record())[0]
    assert picture.svg.count(">!<") == 1
    assert picture.svg.count("var(--failed)") >= 2


def test_shares_of_fake_quant_are_drawn_as_they_are() -> None:
    """One panel a comparison; a bar a tap, as high as its share of different values; a mark where each block ends."""
    names = ("embed", "blocks.0.mlp.add", "blocks.1.token_mixer.linear", "blocks.1.mlp.add", "classifier")
    counts = ((200, 0), (200, 1), (50, 50), (400, 7), (10, 3))
    taps = tuple(TapFigures(name, n, k, 1, None) for name, (n, k) in zip(names, counts, strict=True))
    three = [Comparison(f"model {i}: float fake-quant against integer model", False, taps) for i in range(3)]
    panels = [axes for axes in _shares(three).axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in panels] == ["model 0", "model 1", "model 2"]
    for axes in panels:
        assert [bar.get_height() for bar in axes.patches] == [0, 0.5, 100, 1.75, 30]
        assert [bar.get_x() + bar.get_width() / 2 for bar in axes.patches] == pytest.approx(range(5))
        ticks = [(tick.get_position()[0], tick.get_text()) for tick in axes.get_xticklabels()]
        assert ticks == [(1, "block 0"), (3, "block 1")]
    record = stored_record()
    # Comparisons that demand equality are of another picture, whatever check they belong to.
    details = Details(data=(*three, Comparison("equal", True, taps)))
    check = msgspec.structs.replace(record.checks[0], kind="bridge", details=details)
    (picture,) = draw_pictures(msgspec.structs.replace(record, checks=(check,)))
    assert picture.title == "Float fake-quant against the golden models"
    assert [picture.svg.count(text) for text in (">model 0<", ">model 2<", ">equal<")] == [1, 1, 0]


def test_drawn_stimuli_follow_the_seed(tmp_path: Path) -> None:
    """A drawn stimulus is the same for the same seed, and another for another."""
    context = Context(load_plan(write_plan(tmp_path, ACCUMULATORS)), lambda *_: None, lambda _: None)
    first, again, other = (context.stimulus("uniform", context.model("small"), seed) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
