"""What else a sign-off is read by: JUnit XML, the record's JSON Schema, another seed, and a strict verdict."""

import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import jsonschema
import msgspec
import pytest
from click.testing import CliRunner, Result

from fxsim.cli.signoff import command
from fxsim.errors import FileError
from fxsim.paths import golden_dir
from fxsim.signoff import SignoffRecord, Status, load_plan, read_record, run_plan
from fxsim.signoff.report.junit import write_junit
from fxsim.signoff.report.markdown import render_markdown
from fxsim.signoff.schema import record_schema

ROOT = Path(__file__).resolve().parent.parent
PLAN = f"""title = "mine & <others>"
seed = 7
[models]
small = {{ file = "{golden_dir()}/small.safetensors" }}
[stimuli]
uniform = {{ draw = "uniform", images = 2 }}
[[check]]
kind = "accumulators"
name = "accumulators"
models = ["small"]
[[check]]
kind = "published"
name = "published"
folder = "nothing"
exact = "all"
"""
ENGINES = """[[check]]
kind = "engines"
name = "engines"
models = ["small"]
stimuli = ["uniform"]
"""


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is written where nothing says otherwise lies in the test's own folder; published data is the plan's."""
    monkeypatch.delenv("FXSIM_PUBLISHED", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan of a check that passes, and one that is skipped."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def cli(*arguments: str | Path) -> Result:
    """`fxsim signoff` with these arguments."""
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_strict_is_no_pass_where_something_was_skipped(plan: Path, tmp_path: Path) -> None:
    """A skipped check neither fails nor passes; with --strict the run does not pass, and says of which check."""
    assert cli(plan, "--jobs", "1").exit_code == 0
    result = cli(plan, "--jobs", "1", "--strict", "-o", tmp_path / "out")
    assert result.exit_code == 1, result.output
    assert "FAILED: 2 checks, strict: 1 passed, 1 skipped" in result.output
    assert "skipped, which is no pass: published: published reference data absent" in result.output
    record = read_record(tmp_path / "out" / "signoff.json")
    assert (record.strict, record.passed, record.complete) == (True, False, True)
    assert "counts as not passed" in (tmp_path / "out" / "signoff.html").read_text()
    assert cli(plan, "--jobs", "1", "--strict", "--only", "accumulators").exit_code == 0


@pytest.mark.slow
def test_another_seed_is_every_checks(tmp_path: Path) -> None:
    """--seed stands in place of the plan's: in the record, in every check's own seed, in workers, and in replays."""
    path = tmp_path / "plan.toml"
    more = ENGINES.replace('name = "engines"', 'name = "more"')
    path.write_text(PLAN.split("[[check]]")[0] + ENGINES + more)
    own, other = tmp_path / "own", tmp_path / "other"
    assert cli(path, "-o", own, "--jobs", "1").exit_code == 0
    assert cli(path, "-o", other, "--jobs", "2", "--seed", "8").exit_code == 0
    first, second = read_record(own / "signoff.json"), read_record(other / "signoff.json")
    assert (first.seed, second.seed) == (7, 8)
    assert [check.seed + 1 for check in first.checks] == [check.seed for check in second.checks]
    assert all(check.replay.endswith(" --seed 8") for check in second.checks)
    assert not any("--seed" in check.replay for check in first.checks)
    assert cli(path, "--seed", "-1").exit_code == 2


def test_junit_has_every_check(plan: Path, tmp_path: Path) -> None:
    """A case a check, with its kind, its result as JUnit has it, and the command that repeats it; names are escaped."""
    record = run_plan(load_plan(plan))
    passed, skipped = record.checks
    kept = tmp_path / "failures" / "wrong"
    kept.mkdir(parents=True)
    (kept / "replay.sh").write_text("")
    wrong = msgspec.structs.replace(
        passed, name="wrong", status=Status.FAILED, reason="a \x00 <b> & \ud800 tap", kept="failures/wrong"
    )
    error = msgspec.structs.replace(passed, name="error", status=Status.ERROR, reason="no tool")
    told = msgspec.structs.replace(passed, name="told", status=Status.REPORTED, reason="as far as that")
    record = msgspec.structs.replace(record, checks=(passed, skipped, wrong, error, told), passed=False)
    path = tmp_path / "junit.xml"
    write_junit(record, path, tmp_path)
    (suite,) = ElementTree.parse(path).getroot()  # noqa: S314  # our own
    counts = {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped", "name")}
    assert counts == {"tests": "5", "failures": "1", "errors": "1", "skipped": "2", "name": "mine & <others>"}
    properties = {found.get("name"): found.get("value") for found in suite.iter("property")}
    assert properties["seed"] == "7"
    assert properties["verdict"] == "failed"
    assert properties["sha256 of model small"] == record.hashes["model small"]
    cases = {case.get("name"): case for case in suite.iter("testcase")}
    assert [case.get("classname") for case in cases.values()] == ["accumulators", "published", *["accumulators"] * 3]
    results = {name: [child.tag for child in case if child.tag != "system-out"] for name, case in cases.items()}
    assert results == {
        "accumulators": [], "published": ["skipped"], "wrong": ["failure"], "error": ["error"], "told": ["skipped"],
    }  # fmt: skip
    failure = cases["wrong"].find("failure")
    assert failure is not None
    assert failure.get("message") == "a \ufffd <b> & \ufffd tap"
    assert f"again: {wrong.replay}" in (failure.text or "")
    assert f"[[ATTACHMENT|{kept / 'replay.sh'}]]" in (cases["wrong"].findtext("system-out") or "")
    reported = cases["told"].find("skipped")
    assert reported is not None
    assert reported.get("message") == "reported, which is no pass: as far as that"


def test_markdown_has_what_is_not_covered_first_and_every_check(plan: Path) -> None:
    """Its text says the verdict, what was skipped, then every check; no name in it is Markdown or HTML."""
    record = run_plan(load_plan(plan))
    passed, skipped = record.checks
    wrong = msgspec.structs.replace(passed, name="w|r*ng", status=Status.FAILED, reason="a <b>\nof [two](lines)")
    text = render_markdown(msgspec.structs.replace(record, checks=(passed, skipped, wrong), passed=False))
    lines = text.splitlines()
    assert lines[0] == "# mine \\& \\<others\\>: failed"
    assert "1 passed, 1 failed, 1 skipped" in lines[2]
    headings = [line for line in lines if line.startswith("## ")]
    assert headings[0] == "## Not covered"
    assert headings[1:] == ["## Checks", "## Made with"]
    (first,) = (line for line in lines if line.startswith("- 1 check not run:"))
    assert first.endswith("(published)")
    assert "| w\\|r\\*ng | failed | a \\<b\\> of \\[two\\](lines) |" in lines
    assert f"| accumulators | passed | {passed.summary} |" in lines
    columns = {line.count(" | ") for line in lines if line.startswith("| accumulators |")}
    assert columns == {2}


@pytest.mark.slow
def test_junit_is_written_by_the_command(plan: Path, tmp_path: Path) -> None:
    """--junit writes it, whole, and --markdown its text, in a folder that -o makes; where none can be is said first."""
    path, text = tmp_path / "junit.xml", tmp_path / "out" / "signoff.md"
    assert cli(plan, "--jobs", "1", "--junit", path, "--markdown", text, "-o", text.parent).exit_code == 0
    assert text.read_text().startswith("# mine \\& \\<others\\>: passed\n")
    (suite,) = ElementTree.parse(path).getroot()  # noqa: S314  # our own
    assert [case.get("name") for case in suite.iter("testcase")] == ["accumulators", "published"]
    error = cli(plan, "--jobs", "1", "--junit", tmp_path / "nowhere" / "junit.xml").exception
    assert isinstance(error, FileError)


@pytest.mark.slow
def test_the_schema_is_that_of_records(plan: Path, tmp_path: Path) -> None:
    """The published schema is the one of today's records: they fit it, and a field more or less does not."""
    schema = record_schema()
    older = "write it anew: fxsim signoff --schema > docs/signoff.schema.json"
    assert json.loads((ROOT / "docs" / "signoff.schema.json").read_text()) == schema, older
    assert json.loads(cli("--schema").stdout) == schema
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    assert cli(plan, "--jobs", "1", "-o", tmp_path / "out").exit_code == 0
    record = json.loads((tmp_path / "out" / "signoff.json").read_bytes())
    assert list(validator.iter_errors(record)) == []
    for place in (record, record["checks"][0], record["checks"][0]["details"], record["machine"]):
        place["more"] = 1
        assert list(validator.iter_errors(record))
        del place["more"]
        name, value = next(iter(place.items()))
        del place[name]
        assert list(validator.iter_errors(record))
        place[name] = value
    assert list(validator.iter_errors(record)) == []


def test_records_of_before_are_still_read(plan: Path, tmp_path: Path) -> None:
    """A record that was written before records said whether they are strict is read: it is not."""
    assert cli(plan, "--jobs", "1", "-o", tmp_path / "out").exit_code == 0
    path = tmp_path / "out" / "signoff.json"
    content = json.loads(path.read_bytes())
    del content["strict"]
    shutil.copy(path, tmp_path / "now.json")
    path.write_text(json.dumps(content))
    now: SignoffRecord = read_record(tmp_path / "now.json")
    assert read_record(path) == now
