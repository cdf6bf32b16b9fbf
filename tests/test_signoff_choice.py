"""The choice of what runs: by name, kind, testpoint, stage and the last record; and the seed that goes with it."""

import json
import shlex
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from fxsim.cli.signoff import command
from fxsim.errors import FileError, FxsimError
from fxsim.paths import golden_dir
from fxsim.signoff import Status, load_plan, open_journal, read_record, write_record
from fxsim.signoff.carry import replay_command

PLAN = f"""title = "test"
seed = 7
[models]
small = {{ file = "{golden_dir()}/small.safetensors" }}
[stimuli]
uniform = {{ draw = "uniform", images = 2 }}
[[testpoint]]
name = "widths"
stage = "V1"
claim = "It holds."
checks = ["acc-*"]
[[testpoint]]
name = "values"
stage = "V2"
claim = "It holds."
checks = ["engines", "acc-later"]
[[check]]
kind = "accumulators"
name = "acc-first"
models = ["small"]
[[check]]
kind = "engines"
name = "engines"
models = ["small"]
stimuli = ["uniform"]
[[check]]
kind = "accumulators"
name = "acc-later"
stage = "V2"
models = ["small"]
[[check]]
kind = "published"
name = "published"
folder = "nothing"
exact = "all"
"""
NAMES = ["acc-first", "engines", "acc-later", "published"]


@pytest.fixture(autouse=True)
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The plan's file, in the working folder, which is the test's own."""
    monkeypatch.delenv("FXSIM_PUBLISHED", raising=False)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def cli(*arguments: str | Path) -> Result:
    """`fxsim signoff` with these arguments, one job."""
    return CliRunner().invoke(command, [*(str(argument) for argument in arguments), "--jobs", "1"])


def names(*options: str) -> list[str]:
    """Checks that would run."""
    listed = json.loads(cli("plan.toml", "--list", "--json", *options).stdout)
    return [check["name"] for check in listed["checks"]]


def test_choices_are_joined() -> None:
    """Options of one sort add up, those of different sorts cut down; what nothing has is refused."""
    assert names() == NAMES
    assert names("--kind", "accumulators") == names("--only", "acc-*") == ["acc-first", "acc-later"]
    assert names("--kind", "acc*", "--kind", "engines") == ["acc-first", "engines", "acc-later"]
    assert names("--testpoint", "widths") == ["acc-first"]
    assert names("--testpoint", "values") == ["engines", "acc-later"]
    assert names("--testpoint", "*", "--kind", "accumulators") == ["acc-first", "acc-later"]
    assert names("--testpoint", "values", "--only", "acc-*") == ["acc-later"]
    assert names("--kind", "accumulators", "--stage", "V1") == ["acc-first"]
    for options, words in (
        (("--kind", "cosim"), "no check of kind 'cosim'; there are: accumulators, engines, published"),
        (("--testpoint", "x"), "no check of a testpoint 'x'; there are: widths, values"),
        (("--only", "acc-first", "--kind", "engines"), "no check is all that was chosen: acc-first, kind engines"),
        (("--testpoint", "values", "--only", "acc-later", "--stage", "V1"), "no check 'acc-later' up to stage V1"),
    ):
        error = cli("plan.toml", "--list", *options).exception
        assert isinstance(error, FxsimError)
        assert words in str(error)


def test_the_list_says_what_would_run(plan: Path) -> None:
    """Each check with stage, kind, seed and the testpoints that it shows something of."""
    listed = {check["name"]: check for check in json.loads(cli(plan, "--list", "--json").stdout)["checks"]}
    found = {name: (check["kind"], check["stage"], check["testpoints"]) for name, check in listed.items()}
    assert found == {
        "acc-first": ("accumulators", "V1", ["widths"]),
        "engines": ("engines", "V1", ["values"]),
        "acc-later": ("accumulators", "V2", ["values"]),
        "published": ("published", "V1", []),
    }
    loaded = load_plan(plan, 8)
    other = json.loads(cli(plan, "--list", "--json", "--seed", "8").stdout)["checks"]
    assert [check["seed"] for check in other] == [loaded.check_seed(name) for name in NAMES]
    assert str(load_plan(plan).check_seed("engines")) in cli(plan, "--list").output


@pytest.mark.slow
def test_what_did_not_pass_is_run_again(plan: Path) -> None:
    """--failed takes the checks that the last record has as anything but passed, with that record's seed."""
    assert cli(plan, "--seed", "9").exit_code == 0
    assert names("--failed") == ["published"]
    path = Path("reports/signoff.json")
    record = read_record(path)
    wrong = [msgspec.structs.replace(check, status=Status.FAILED) for check in record.checks[:2]]
    write_record(msgspec.structs.replace(record, checks=(*wrong, *record.checks[2:])), path)
    before = path.read_bytes()
    result = cli(plan, "--failed", "--kind", "acc*")
    assert result.exit_code == 0, result.output
    assert "the seed is 9, as in the run before, not the plan's 7" in result.output
    assert "PASSED: 1 checks of the plan's 4: 1 passed" in result.output
    assert path.read_bytes() == before
    assert cli(plan, "--failed", "-o", "reports").exit_code == 0
    again = read_record(path)
    assert [check.name for check in again.checks] == ["acc-first", "engines", "published"]
    assert (again.seed, again.selected) == (9, ("not passed in the last record",))
    assert "nothing of 1 of the plan's 4 checks" in cli(plan, "--failed", "--list").output
    plan.write_text(PLAN + "\n# changed\n")
    assert "another version of it" in cli(plan, "--failed", "--list").output
    error = cli(plan, "--failed", "--only", "engines").exception
    assert isinstance(error, FxsimError)
    assert "passed in the last record" in str(error)
    error = cli(plan, "--failed", "-o", "nowhere").exception
    assert isinstance(error, FileError)
    assert cli(plan, "--failed", "-o", "reports", "--resume").exit_code == 2


@pytest.mark.slow
def test_a_run_is_gone_on_with_by_its_own_seed(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ended, a run prints the command that goes on with it, which takes the seed of the journal and says so."""
    with monkeypatch.context() as patched:
        patched.setattr("fxsim.signoff.checks.engines.compare_engines", _interrupt)
        result = cli(plan, "--seed", "8", "--stage", "V1", "-o", "out folder")
    assert not read_record("out folder/signoff.json").complete, result.output
    line = next(line for line in result.output.splitlines() if line.startswith("go on with it: "))
    program, name, *arguments = shlex.split(line.removeprefix("go on with it: "))
    assert (program, name) == ("fxsim", "signoff")
    result = cli(*arguments)
    assert result.exit_code == 0, result.output
    assert "the seed is 8, as in the run before, not the plan's 7" in result.output
    record = read_record("out folder/signoff.json")
    assert (record.seed, record.stage, record.complete) == (8, "V1", True)
    with open_journal(Path("out folder"), load_plan(plan, 8), resume=False):
        pass
    error = cli(plan, "--seed", "7", "-o", "out folder", "--resume").exception
    assert isinstance(error, FileError)
    assert "this has changed: the seed" in str(error)


def _interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("name", ["init", "--json", "a b.toml"])
def test_the_command_that_repeats_takes_any_plan(name: str) -> None:
    """A plan whose name is a word of the command is named so that it is taken as a plan."""
    Path(name).write_text(PLAN)
    program, command_name, *arguments = shlex.split(replay_command(load_plan(Path(name)), "acc-first"))
    assert (program, command_name) == ("fxsim", "signoff")
    result = cli(*arguments)
    assert result.exit_code == 0, result.output
    assert "PASSED: 1 checks" in result.output
