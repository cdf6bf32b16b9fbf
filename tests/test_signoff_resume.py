"""Runs of a sign-off that were ended are gone on with: nothing is counted twice, nothing that has changed is taken."""

import contextlib
import dataclasses
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

import fxsim.signoff.journal as journals
from fxsim.cli.signoff import command
from fxsim.errors import FileError
from fxsim.paths import golden_dir
from fxsim.signoff import JOURNAL, SignoffRecord, Status, load_plan, open_journal, read_record, run_plan
from fxsim.signoff.carry import Carried, carry_out, not_carried_out
from fxsim.signoff.context import Context
from fxsim.signoff.environment import find_tools
from fxsim.signoff.evidence import KeptEvidence
from fxsim.signoff.plan import Check
from fxsim.signoff.record import Details

NAMES = tuple(f"accumulators-{n}" for n in range(6))


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan of a few quick checks, of a model of its own."""
    shutil.copy(golden_dir() / "small.safetensors", tmp_path / "small.safetensors")
    checks = "".join(f'[[check]]\nkind = "accumulators"\nname = "{name}"\nmodels = ["small"]\n' for name in NAMES)
    path = tmp_path / "plan.toml"
    path.write_text(f'title = "test"\nseed = 7\n[models]\nsmall = {{ file = "small.safetensors" }}\n{checks}')
    return path


def cli(*arguments: str | Path) -> Result:
    """`fxsim signoff` with these arguments."""
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def timeless(record: SignoffRecord) -> SignoffRecord:
    """A record without what is another at every run: times."""
    checks = tuple(msgspec.structs.replace(check, seconds=0.0) for check in record.checks)
    return msgspec.structs.replace(record, checks=checks, started="", seconds=0.0)


def begin(plan: Path, output: Path, checks: int) -> None:
    """A run into a folder that is ended, as by SIGKILL, after so many checks."""
    loaded = load_plan(plan)
    output.mkdir(exist_ok=True)
    journal = open_journal(output, loaded, resume=False)
    context = Context(loaded, lambda _done, _total: None, lambda _text: None, output)
    for check in loaded.checks[:checks]:
        journal.add(carry_out(check, loaded, context), 1.0)
    journal.close(done=False)


@pytest.mark.slow
def test_a_run_is_gone_on_with(tmp_path: Path, plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has a result is not run again; record and exit status are those of one run, and the journal goes."""
    assert cli(plan, "-o", tmp_path / "whole", "--jobs", "1").exit_code == 0
    assert not (tmp_path / "whole" / JOURNAL).exists()
    out = tmp_path / "out"
    begin(plan, out, 4)
    ran = []

    def watched(check: Check, loaded: object, context: Context) -> Carried:
        ran.append(check.name)
        return carry_out(check, loaded, context)  # type: ignore[arg-type]

    monkeypatch.setattr("fxsim.signoff.run.carry_out", watched)
    result = cli(plan, "-o", out, "--jobs", "1", "--resume")
    assert result.exit_code == 0, result.output
    assert "4 of 6 checks are done" in result.output
    assert tuple(ran) == NAMES[4:]
    assert timeless(read_record(out / "signoff.json")) == timeless(read_record(tmp_path / "whole" / "signoff.json"))
    assert not (out / JOURNAL).exists()
    error = cli(plan, "-o", out, "--resume").exception
    assert isinstance(error, FileError)
    assert "no earlier run to go on with" in str(error)
    assert not (out / JOURNAL).exists()


def test_a_line_cut_off_is_run_again(tmp_path: Path, plan: Path) -> None:
    """The last line may be in part there, as after a power cut: of it nothing is taken."""
    out = tmp_path / "out"
    begin(plan, out, 3)
    path = out / JOURNAL
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    journal = open_journal(out, load_plan(plan), resume=True)
    assert tuple(journal.taken) == NAMES[:2]
    journal.close(done=False)
    # What was taken stands there again, whole.
    assert path.read_bytes().count(b"\n") == 3


def test_an_earlier_journal_stays_until_the_new_one_is_whole(
    tmp_path: Path, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that goes on and is ended while it takes the results over loses none: the earlier journal is there yet."""
    out = tmp_path / "out"
    begin(plan, out, 3)
    kept = (out / JOURNAL).read_bytes()
    lines = []

    class PowerCutError(BaseException):
        pass

    def cut(_file: int) -> None:
        lines.append(None)
        if len(lines) == 3:
            raise PowerCutError

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", cut)
        with pytest.raises(PowerCutError):
            open_journal(out, load_plan(plan), resume=True)
    assert (out / JOURNAL).read_bytes() == kept
    (out / "signoff.journal.new").write_bytes(b"of a run that was killed")
    journal = open_journal(out, load_plan(plan), resume=True)
    assert tuple(journal.taken) == NAMES[:3]
    assert [path.name for path in out.iterdir()] == [JOURNAL]
    with pytest.raises(FileError, match="another sign-off is writing into"):
        open_journal(out, load_plan(plan), resume=True)
    journal.close(done=True)


@pytest.mark.parametrize("damage", ["a result", "a line twice", "another format", "its first line"])
def test_a_damaged_journal_is_refused(tmp_path: Path, plan: Path, damage: str) -> None:
    """A journal that is not as it was written is named, with the line, and left as it is."""
    out = tmp_path / "out"
    begin(plan, out, 3)
    path = out / JOURNAL
    lines = path.read_bytes().splitlines(keepends=True)
    changed, words = {
        "a result": ([*lines[:2], lines[2].replace(b"passed", b"failed")], "line 3, is not as a run"),
        "a line twice": ([*lines, lines[1]], "check 'accumulators-0' twice"),
        "another format": ([b'{"format": "other"}\n'], "line 1, is not as a run"),
        "its first line": (lines[1:], "line 1, is not as a run"),
    }[damage]
    path.write_bytes(b"".join(changed))
    assert path.read_bytes() != b"".join(lines)
    with pytest.raises(FileError, match=words):
        open_journal(out, load_plan(plan), resume=True)
    assert path.read_bytes() == b"".join(changed)


@pytest.mark.parametrize("changed", ["model", "plan", "seed", "setting", "package", "tool", "rtl", "bench", "plugin"])
def test_results_of_something_else_are_not_taken(
    tmp_path: Path, plan: Path, changed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever results rest on, where it has changed it is named, and nothing is taken."""
    out = tmp_path / "out"
    begin(plan, out, 2)
    kept = (out / JOURNAL).read_bytes()
    seed, words = None, changed
    if changed == "model":
        shutil.copy(golden_dir() / "small_relu.safetensors", tmp_path / "small.safetensors")
        words = "small.safetensors"
    elif changed == "plan":
        plan.write_text(plan.read_text() + "# more\n")
    elif changed == "seed":
        seed = 8
    elif changed == "setting":
        monkeypatch.setenv("FXSIM_ISA", "sse4.1")
        words = "FXSIM_ISA in the environment"
    elif changed == "tool":
        monkeypatch.setattr(journals, "find_tools", lambda: find_tools() | {"numpy": "0"})
        words = "the tool numpy"
    elif changed == "bench":
        shutil.copytree(journals.rtl_dir(), tmp_path / "rtl")
        for folder in ("testbenches", "tests"):
            (tmp_path / folder).mkdir()
        monkeypatch.setattr("fxsim.signoff.judges.rtl_dir", lambda: tmp_path / "rtl")
        words = "has changed: the testbenches, the tests;"
    elif changed == "plugin":
        (tmp_path / "adds_to_fxsim.py").write_text("KIND = 1\n")
        monkeypatch.syspath_prepend(tmp_path)
        entries = EntryPoints([EntryPoint("x", "adds_to_fxsim:KIND", "fxsim.checks")])
        monkeypatch.setattr(journals.metadata, "entry_points", lambda: entries)
        (out / JOURNAL).unlink()
        begin(plan, out, 2)
        kept = (out / JOURNAL).read_bytes()
        open_journal(out, load_plan(plan), resume=True).close(done=False)
        (tmp_path / "adds_to_fxsim.py").write_text("KIND = 2\n")
        words = "has changed: the package adds_to_fxsim;"
    elif changed == "rtl":
        folder = tmp_path / "rtl"
        folder.mkdir()
        (folder / "a.v").write_text("module a; endmodule\n")
        monkeypatch.setattr(journals, "rtl_dir", lambda: folder)
        words = "the RTL"
    else:
        package = tmp_path / "fxsim"
        package.mkdir()
        (package / "__init__.py").write_text("")
        monkeypatch.setattr(journals.fxsim, "__file__", str(package / "__init__.py"))
        words = "fxsim itself"
    with pytest.raises(FileError, match=words):
        open_journal(out, load_plan(plan, seed), resume=True)
    assert (out / JOURNAL).read_bytes() == kept


@pytest.mark.slow
def test_folders_that_a_plan_names_count_whole(tmp_path: Path, plan: Path) -> None:
    """A folder is what is in it, below it and behind links: a change of a byte or name is seen, of the output none."""
    loaded = dataclasses.replace(load_plan(plan), published=tmp_path / "published")
    folder = tmp_path / "published"
    (folder / "below").mkdir(parents=True)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "value").write_text("1")
    (folder / "link").symlink_to(elsewhere)
    out = folder / "out"
    seen = [journals.find_rests_on(loaded, out)]
    (folder / "below" / "new").write_text("")
    seen.append(journals.find_rests_on(loaded, out))
    (elsewhere / "value").write_text("2")
    seen.append(journals.find_rests_on(loaded, out))
    (folder / "below" / "new").rename(folder / "below" / "old")
    seen.append(journals.find_rests_on(loaded, out))
    assert len({state["the published data"] for state in seen}) == 4
    assert (
        len(
            {
                tuple(sorted(set(state.items()) - {("the published data", state["the published data"])}))
                for state in seen
            }
        )
        == 1
    )
    out.mkdir()
    (out / "signoff.json").write_text("{}")
    assert journals.find_rests_on(loaded, out) == seen[-1]
    (folder / "around").symlink_to(folder)
    with pytest.raises(Exception, match="a folder that it lies in"):
        journals.find_rests_on(loaded, out)


def test_what_is_too_much_to_hash_is_not_gone_on_with(
    tmp_path: Path, plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the plan names more than is read, changes would not be seen: so the run begins anew, or not at all."""
    monkeypatch.setattr(journals, "_NAMED_BYTES_MAX", 100)
    out = tmp_path / "out"
    begin(plan, out, 2)
    with pytest.raises(FileError, match="whose changes nobody sees"):
        open_journal(out, load_plan(plan), resume=True)


@pytest.mark.slow
def test_only_results_that_stand_are_taken(tmp_path: Path, plan: Path) -> None:
    """What could not be carried out is tried again, and so is what used files that the plan does not name."""
    out = tmp_path / "out"
    loaded = load_plan(plan)
    out.mkdir()
    context = Context(loaded, lambda _done, _total: None, lambda _text: None, out)
    results = [carry_out(check, loaded, context) for check in loaded.checks]
    # Testbenches, tests and files of waivers are compared.
    compared = {"testbenches": "0" * 64, "tests": "0" * 64, "waivers mine.toml": "0" * 64}
    results[0] = msgspec.structs.replace(results[0], hashes=results[0].hashes | compared)
    foreign = msgspec.structs.replace(results[1], hashes=results[1].hashes | {"dut mine.toml": "0" * 64})
    failed = msgspec.structs.replace(results[2].record, status=Status.FAILED, kept="failures/accumulators-2")
    gone = msgspec.structs.replace(results[2], record=failed)
    skipped = msgspec.structs.replace(
        results[3], record=msgspec.structs.replace(results[3].record, status=Status.SKIPPED)
    )
    cut = msgspec.structs.replace(results[4], interrupted=True)
    details = Details((), (KeptEvidence("engine", "evidence/x", "0" * 64, 1),))
    bare = msgspec.structs.replace(
        results[5], record=msgspec.structs.replace(results[5].record, kind="proof", details=details)
    )
    journal = open_journal(out, loaded, resume=False)
    killed = not_carried_out(loaded.checks[5], loaded, "killed")
    for carried in (results[0], foreign, gone, skipped, cut, killed, bare):
        journal.add(carried, 0.0)
    journal.close(done=False)
    journal = open_journal(out, loaded, resume=True)
    assert tuple(journal.taken) == (NAMES[0],)
    journal.add(gone, 0.0)
    journal.close(done=False)
    (out / "failures" / NAMES[2]).mkdir(parents=True)
    (out / "failures" / NAMES[2] / "replay.sh").write_text("")
    journal = open_journal(out, loaded, resume=True)
    assert tuple(journal.taken) == (NAMES[0], NAMES[2])
    assert journal.taken[NAMES[2]] == gone
    journal.close(done=True)


@pytest.mark.slow
def test_one_run_a_folder(tmp_path: Path, plan: Path) -> None:
    """A second run into the same folder is refused while the first goes on; an earlier one that was ended is named."""
    out = tmp_path / "out"
    out.mkdir()
    loaded = load_plan(plan)
    first = open_journal(out, loaded, resume=False)
    with pytest.raises(FileError, match="another sign-off is writing into"):
        open_journal(out, loaded, resume=False)
    first.close(done=False)
    result = cli(plan, "-o", out, "--jobs", "1", "--only", NAMES[0])
    assert result.exit_code == 0, result.output
    assert "it is not gone on with, as --resume would" in result.output
    target = tmp_path / "target"
    target.write_text("mine")
    (out / JOURNAL).symlink_to(target)
    with pytest.raises(FileError, match="cannot write"):
        open_journal(out, loaded, resume=False)
    assert target.read_text() == "mine"
    assert cli(plan, "--only", NAMES[0], "--resume").exit_code == 2


def kill(plan: Path, out: Path, seconds: float, *options: str) -> None:
    """A run of the plan, killed with all that it started after so many seconds, unless it has ended."""
    arguments = [sys.executable, "-m", "fxsim", "signoff", str(plan), "-o", str(out), "--jobs", "2", *options]
    with subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True) as run:
        with contextlib.suppress(subprocess.TimeoutExpired):
            run.wait(timeout=seconds)
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)


def killed_runs(tmp_path: Path, plan: Path, times: int) -> None:
    """Kill runs at random moments and go on with each: the record is that of a run that nothing ended."""
    began = time.monotonic()
    whole = run_plan(load_plan(plan))
    chance = random.Random(0)
    for n in range(times):
        out = tmp_path / f"killed-{n}"
        options: tuple[str, ...] = ()
        # The first is begun and ended somewhere; so is the one that goes on with it, once it has begun.
        for _ in range(2):
            kill(plan, out, 0.5 + chance.random() * max(2.0, 2 * (time.monotonic() - began) / (n + 1)), *options)
            options = ("--resume",) if (out / JOURNAL).exists() and (out / JOURNAL).stat().st_size else ()
            if not options and (out / "signoff.json").exists():
                break  # it ended in time: what comes now would be another run, with this one in its history
        if options or not (out / "signoff.json").exists():
            result = cli(plan, "-o", out, "--jobs", "1", *options)
            assert result.exit_code == 0, (result.output, result.exception)
        record = read_record(out / "signoff.json")
        assert timeless(msgspec.structs.replace(record, plan="")) == timeless(msgspec.structs.replace(whole, plan=""))
        assert len({check.name for check in record.checks}) == len(record.checks) == len(NAMES)
        assert not (out / JOURNAL).exists()


def test_killed_and_gone_on_with(tmp_path: Path, plan: Path) -> None:
    """A run killed twice and gone on with has the record of one that nothing ended."""
    killed_runs(tmp_path, plan, 1)


@pytest.mark.thorough
def test_killed_at_ten_moments(tmp_path: Path, plan: Path) -> None:
    """The same at ten random moments."""
    killed_runs(tmp_path, plan, 10)
