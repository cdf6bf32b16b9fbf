"""The testplan of a sign-off: testpoints name checks that are there, and stages are reached by what passed."""

import xml.etree.ElementTree as ElementTree
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from fxsim.cli.signoff import command
from fxsim.errors import FileError
from fxsim.paths import golden_dir
from fxsim.signoff import SignoffRecord, Status, load_plan, read_record, run_plan
from fxsim.signoff.record import CheckRecord
from fxsim.signoff.testpoints import find_stage_reached, judge_testpoints

HEAD = f"""title = "test"
seed = 7
[models]
small = {{ file = "{golden_dir()}/small.safetensors" }}
"""
CHECKS = """[[check]]
kind = "accumulators"
name = "first"
models = ["small"]
[[check]]
kind = "published"
name = "second"
folder = "nothing"
exact = "all"
[[check]]
kind = "accumulators"
name = "third"
stage = "V2"
models = ["small"]
"""


def point(name: str, stage: str, checks: str, more: str = "") -> str:
    """A testpoint of a plan file."""
    return f'[[testpoint]]\nname = "{name}"\nstage = "{stage}"\nclaim = "It holds."\nchecks = {checks}\n{more}\n'


def write(folder: Path, *points: str) -> Path:
    """A plan file of these testpoints."""
    path = folder / "plan.toml"
    path.write_text(HEAD + "".join(points) + CHECKS)
    return path


def cli(*arguments: str | Path) -> Result:
    """`fxsim signoff` with these arguments, one job."""
    return CliRunner().invoke(command, [*(str(argument) for argument in arguments), "--jobs", "1"])


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is written where nothing says otherwise lies in the test's own folder; there is no published data."""
    monkeypatch.delenv("FXSIM_PUBLISHED", raising=False)
    monkeypatch.chdir(tmp_path)


def ended(**statuses: Status) -> list[CheckRecord]:
    """Records of checks that ended so."""
    return [CheckRecord(name, "k", "", status, "", None, 0.0, 1, "", None) for name, status in statuses.items()]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (point("a", "V1", '["fourth"]'), "testpoint 'a' names 'fourth', which no check is called"),
        (point("a", "V1", '["f*", "x*"]'), "testpoint 'a' names 'x*', which no check is called"),
        (point("a", "V1", "[]"), "testpoint 'a' names no check"),
        (point("a", "V1", '["third"]'), "is of stage V1 and names 'third', which is of V2"),
        (point("a", "V1", '["first"]') * 2, "testpoint 'a' is there 2 times"),
        (point("a", "V4", '["first"]'), "stage"),
        (point("a", "V1", '["first"]', 'goals = [{ check = "first", figure = "f" }]'), "without at_least or at_most"),
        *(
            (point("a", "V1", '["first"]', f'goals = [{{ check = "first", figure = "f", {bound} }}]'), message)
            for bound, message in (
                ("at_least = 0", "of at least 0, which nothing could miss"),
                ("at_least = -0.5, at_most = 3", "of at least -0.5, which nothing could miss"),
                ("at_least = -inf", "that is no number"),
                ("at_most = inf", "that is no number"),
                ("at_least = nan", "that is no number"),
                ("at_least = 4, at_most = 3", "of at least 4 and at most 3, which nothing could reach"),
            )
        ),
        (
            point("a", "V1", '["first"]', 'goals = [{ check = "second", figure = "f", at_least = 1 }]'),
            "has a goal of check 'second', which is none of its checks",
        ),
    ],
)
def test_a_testpoint_that_nothing_shows_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """What a testpoint names must be there, once, by its stage; the error names testpoint and plan."""
    path = write(tmp_path, text)
    with pytest.raises(FileError) as caught:
        load_plan(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


def test_every_status_comes_of_its_checks(tmp_path: Path) -> None:
    """The worst of a testpoint's checks is what it is: failed before not run, skipped and only reported."""
    plan = load_plan(write(tmp_path, point("all", "V2", '["*"]'), point("one", "V1", '["first"]')))
    passed = Status.PASSED
    for second, third, expected in (
        (passed, passed, "passed"),
        (Status.REPORTED, passed, "reported"),
        (Status.REPORTED, Status.SKIPPED, "skipped"),
        (Status.SKIPPED, Status.FAILED, "failed"),
        (Status.ERROR, passed, "failed"),
    ):
        every, one = judge_testpoints(plan, ended(first=passed, second=second, third=third))
        assert (every.status, one.status) == (expected, "passed")
        assert (every.passed, len(every.checks)) == ([passed, second, third].count(passed), 3)
        assert find_stage_reached((every, one)) == ("V2" if expected == "passed" else "V1")
    every, one = judge_testpoints(plan, ended(first=passed, second=Status.SKIPPED))
    assert (every.status, every.not_run, every.reason) == ("not run", 1, "third: not run")
    every, one = judge_testpoints(plan, ended(first=passed, second=passed, third=Status.SKIPPED), ["third", "first"])
    assert (every.status, one.status, every.not_run) == ("not run", "not run", 2)
    assert find_stage_reached((every, one)) is None


def test_a_stage_needs_those_before_and_testpoints_of_its_own(tmp_path: Path) -> None:
    """V2 is not reached without V1; a stage without testpoints is not reached by itself; planned ones keep it away."""
    plan = load_plan(write(tmp_path, point("a", "V1", '["second"]'), point("b", "V2", '["third"]')))
    records = ended(first=Status.PASSED, second=Status.SKIPPED, third=Status.PASSED)
    assert find_stage_reached(judge_testpoints(plan, records)) is None
    plan = load_plan(write(tmp_path, point("b", "V2", '["third"]')))
    assert find_stage_reached(judge_testpoints(plan, records)) == "V2"
    plan = load_plan(
        write(tmp_path, point("a", "V1", '["first"]'), point("b", "V2", '["third", "fourth"]', "planned = true"))
    )
    found = judge_testpoints(plan, records)
    assert [each.status for each in found] == ["passed", "planned"]
    assert find_stage_reached(found) == "V1"
    failing = judge_testpoints(plan, ended(first=Status.PASSED, third=Status.FAILED))
    assert failing[1].status == "failed"


def test_a_goal_is_measured_not_believed(tmp_path: Path) -> None:
    """A figure beyond its bound, a figure that is not there, or is no number, fails the testpoint and the run."""
    label = "small: least spare bits"
    for goal, value, reached in (
        (f'figure = "{label}", at_most = 0', True, True),
        (f'figure = "{label}", at_least = 1000', True, False),
        (f'figure = "{label}", at_most = -1', True, False),
        ('figure = "small: widest linear", at_least = 1', False, False),
        ('figure = "nothing of the kind", at_least = 1', False, False),
    ):
        goals = f'goals = [{{ check = "first", {goal} }}]'
        record = run_plan(load_plan(write(tmp_path, point("a", "V1", '["first"]', goals))), only=("first",))
        (found,) = record.testpoints
        assert (found.goals[0].value is not None, found.goals[0].reached) == (value, reached)
        assert (found.status, record.passed) == (("passed", True) if reached else ("failed", False))
        assert record.stage_reached == ("V1" if reached else None)
        assert reached or "expected at" in str(found.reason)


def test_terminal_record_report_and_junit_say_what_is_reached(tmp_path: Path) -> None:
    """Each of the four has every testpoint, the stage that is reached, and checks that show nothing of the plan."""
    plan = write(tmp_path, point("a", "V1", '["first"]'), point("b", "V2", '["first", "second"]'))
    result = cli(plan, "-o", "out", "--junit", "junit.xml")
    assert result.exit_code == 0, result.output
    assert "stage reached: V1\n" in result.output
    assert "stage V2: 0 of 1 testpoints passed" in result.output
    assert "skipped: b (1 of 2 checks passed): second: skipped" in result.output
    assert "show nothing of the plan, as no testpoint names them: third" in result.output
    record: SignoffRecord = read_record("out/signoff.json")
    assert (record.stage_reached, record.without_testpoint) == ("V1", ("third",))
    assert [(found.name, found.status, found.checks) for found in record.testpoints] == [
        ("a", "passed", ("first",)), ("b", "skipped", ("first", "second")),
    ]  # fmt: skip
    page = Path("out/signoff.html").read_text()
    assert "It holds." in page
    (suite,) = ElementTree.parse("junit.xml").getroot()  # noqa: S314  # our own
    properties = {found.get("name"): found.get("value") for found in suite.iter("property")}
    assert properties["stage reached"] == "V1"
    assert properties["testpoint b"] == "skipped (stage V2, 1 of 2 checks passed)"


def test_a_plan_without_testpoints_reaches_nothing(tmp_path: Path) -> None:
    """Without a testplan there is no stage to reach, nothing is said of it, and old records are read."""
    record = run_plan(load_plan(write(tmp_path)), only=("first",))
    assert (record.testpoints, record.stage_reached, record.without_testpoint) == ((), None, ())
    assert record.passed


@pytest.mark.slow
def test_the_projects_own_plan_is_covered() -> None:
    """Every check of the project's plan is named by some testpoint."""
    plan = load_plan()
    assert [check.name for check in plan.without_testpoint] == []
    assert {testpoint.stage for testpoint in plan.testpoints} >= {"V1", "V2"}
    assert msgspec.json.encode(plan.testpoints)
