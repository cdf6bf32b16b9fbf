"""Checks of a sign-off side by side: the record is that of one after the other, and no process is left in any case."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest
from click.testing import CliRunner

from fxsim import progress
from fxsim.cli.signoff import _Listener, command
from fxsim.errors import FxsimError
from fxsim.machine import count_cores, count_jobs
from fxsim.signoff import SignoffRecord, Status, load_plan, read_record, run_plan, write_record
from fxsim.signoff.checks import CHECKS, find_checks
from fxsim.signoff.files import encode_record
from fxsim.signoff.listener import Silence
from fxsim.signoff.plan import Check
from fxsim.signoff.record import CheckRecord
from fxsim.signoff.run import _longest_first
from fxsim.signoff.workers import carry_out_apart
from tests.conftest import obey_ctrl_c
from tests.test_process import assert_gone, processes
from tests.test_signoff import ACCUMULATORS, ENGINES, PUBLISHED, by_name, write_plan

pytestmark = pytest.mark.process

TOYS = '''
"""Kinds of a package of somebody's: what their checks do, they are told."""

import os
import signal
import subprocess
import time
from pathlib import Path

from fxsim import temporary
from fxsim.process import running
from fxsim.signoff.context import Outcome
from fxsim.signoff.kind import Kind, Nothing
from fxsim.signoff.plan import Check


class ToyCheck(Check, frozen=True, tag="toy", kw_only=True):
    """Does what it is told, in a folder."""

    does: str
    folder: str


class LonelyCheck(ToyCheck, frozen=True, tag="lonely", kw_only=True):
    """A toy that measures time."""


def run(check, context, seed):
    """Do it."""
    said = Path(check.folder) / check.name
    match check.does:
        case "die":
            os.kill(os.getpid(), 9)
        case "exit":
            os._exit(3)
        case "raise":
            raise RuntimeError("broken")
        case "fail":
            return Outcome("bad", "it is wrong")
        case "status":
            context.status("thinking")
            context.progress(3, 4)
        case "note":
            import logging

            logging.getLogger("fxsim").info("compiling something")
        case "print":
            print('{"type": "ready"}', flush=True)
        case "sleep":
            begins = time.monotonic()
            time.sleep(0.4)
            said.write_text(f"{begins} {time.monotonic()}")
        case "meet":
            begins = time.monotonic()
            said.with_suffix(".begun").touch()
            while len(list(said.parent.glob("*.begun"))) < 2:
                time.sleep(0.01)
            said.write_text(f"{begins} {time.monotonic()}")
        case "wait for third":
            while not (Path(check.folder) / "third").exists():
                time.sleep(0.01)
        case "wait":
            script = "sleep 1000 & echo $PPID $$ $! > " + f"{said}.new; mv {said}.new {said}; wait"
            with temporary.folder("toy", Path(check.folder)), running(["sh", "-c", script]) as process:
                process.wait()
        case "hang":
            # As in code of another language, which hears of no signal.
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM, signal.SIGTERM, signal.SIGINT})
            child = subprocess.Popen(["sleep", "1000"])
            own = subprocess.Popen(["sleep", "1000"], start_new_session=True)
            said.with_suffix(".new").write_text(f"{os.getpid()} {child.pid} {own.pid}")
            said.with_suffix(".new").rename(said)
            time.sleep(1000)
        case "swallow":
            try:
                time.sleep(1000)
            except KeyboardInterrupt:
                pass
    return Outcome("done", None)


TOY = Kind(ToyCheck, "it does what it is told", run, Nothing("none"), Nothing("none"))
LONELY = Kind(LonelyCheck, "it does so alone", run, Nothing("none"), Nothing("none"), alone=True)
'''


@pytest.fixture
def toys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """The kinds `toy` and `lonely` from another package, here and in workers; returns the text of a check of them."""
    package, folder = tmp_path / "package", tmp_path / "said"
    folder.mkdir()
    (package / "toys-1.dist-info").mkdir(parents=True)
    (package / "toys.py").write_text(TOYS)
    (package / "toys-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: toys\nVersion: 1\n")
    points = "[fxsim.checks]\ntoy = toys:TOY\nlonely = toys:LONELY\n"
    (package / "toys-1.dist-info" / "entry_points.txt").write_text(points)
    monkeypatch.setenv("PYTHONPATH", str(package))
    monkeypatch.delenv("FXSIM_PUBLISHED", raising=False)
    monkeypatch.syspath_prepend(package)
    monkeypatch.delitem(sys.modules, "toys", raising=False)
    found = find_checks()
    for name in ("toy", "lonely"):
        monkeypatch.setitem(CHECKS, name, found[name])

    def check(name: str, does: str, kind: str = "toy", limit: int | None = None) -> str:
        own = "" if limit is None else f"limit = {limit}\n"
        return f'[[check]]\nkind = "{kind}"\nname = "{name}"\ndoes = "{does}"\nfolder = "{folder}"\n{own}'

    return check


class Heard(Silence):
    """What a listener is told, in order."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def started(self, check: Check) -> None:
        """Note it."""
        self.events.append(f"started {check.name}")

    def progress(self, check: Check, done: int, total: int) -> None:
        """Note it."""
        self.events.append(f"{check.name}: {done} of {total}")

    def status(self, check: Check, text: str) -> None:
        """Note it."""
        self.events.append(f"{check.name}: {text}")

    def ended(self, check: Check) -> None:
        """Note it."""
        self.events.append(f"ended {check.name}")

    def finished(self, record: CheckRecord) -> None:
        """Note it."""
        self.events.append(f"finished {record.name}")


def timeless(record: SignoffRecord) -> object:
    """The record's JSON without the times in it."""
    content = json.loads(encode_record(record))
    for part in (content, *content["checks"]):
        del part["seconds"]
    del content["started"]
    return content


def test_record_and_order_are_those_of_one_at_a_time(tmp_path: Path, toys: Callable[..., str]) -> None:
    """With two processes the record is the same but for times, and results are told in the plan's order."""
    checks = (
        toys("slow", "wait for third"),
        ENGINES,
        toys("third", "sleep"),
        ACCUMULATORS,
        PUBLISHED,
    )
    wrong = (toys("bad", "fail"), toys("broken", "raise"))
    plan = load_plan(write_plan(tmp_path, *checks, *wrong, toys("lonely", "pass", "lonely")))
    heard = Heard()
    two = run_plan(plan, listener=heard, jobs=2)
    one = run_plan(plan)
    assert timeless(two) == timeless(one)
    assert [check.status for check in one.checks] == [
        *[Status.PASSED] * 4, Status.SKIPPED, Status.FAILED, Status.ERROR, Status.PASSED,
    ]  # fmt: skip
    assert set(one.hashes) == {"plan", "model small", "stimulus images"}
    names = [check.name for check in plan.checks]
    finished = [event.split()[1] for event in heard.events if event.startswith("finished")]
    assert finished == names
    # The first one ended when others after it had ended.
    assert heard.events.index("ended slow") > heard.events.index("ended engines")
    for name in names:
        order = [heard.events.index(f"{word} {name}") for word in ("started", "ended", "finished")]
        assert order == sorted(order)


def test_listener_and_log_hear_of_what_happens_in_the_processes(
    tmp_path: Path, toys: Callable[..., str], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Progress, words and what fxsim logs come from the processes; what a check prints is no message of theirs."""
    heard = Heard()
    caplog.set_level("INFO", "fxsim")
    checks = (toys("a", "status"), toys("b", "note"), toys("c", "print"), toys("d", "pass"))
    assert run_plan(load_plan(write_plan(tmp_path, *checks)), listener=heard, jobs=2).passed
    assert heard.events.index("a: thinking") < heard.events.index("a: 3 of 4") < heard.events.index("ended a")
    assert [record.message for record in caplog.records] == ["compiling something"]
    # The log may be shown there, too, where a command ran in this process before.
    assert '{"type": "ready"}' in capfd.readouterr().err.splitlines()


@pytest.mark.parametrize(
    ("does", "how"), [("die", "was ended by SIGKILL"), ("exit", "ended with status 3")], ids=["killed", "exited"]
)
def test_a_process_that_dies_fails_its_check_and_no_other(
    tmp_path: Path, toys: Callable[..., str], does: str, how: str
) -> None:
    """The check that the process had is in error and says how that ended; another process goes on with the rest."""
    checks = [toys("lost", does), *(toys(f"other{n}", "pass") for n in range(4)), toys("lost-too", does)]
    record = run_plan(load_plan(write_plan(tmp_path, *checks)), jobs=2)
    assert (record.complete, record.passed) == (True, False)
    found = by_name(record)
    for name in ("lost", "lost-too"):
        assert found[name].status is Status.ERROR
        assert found[name].reason == f"the process that ran it {how}"
    assert [check.status for check in record.checks[1:-1]] == [Status.PASSED] * 4


def family(path: Path) -> list[psutil.Process]:
    """The processes that a toy named; those that are gone already are left out."""
    found = []
    for pid in path.read_text().split():
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(int(pid)))
    return found


def test_a_check_that_hangs_is_ended_with_all_that_it_started(
    tmp_path: Path, toys: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One whose process hears of nothing is killed after its limit, its children too; it is in error, others go on."""
    monkeypatch.setattr("fxsim.signoff.workers.GRACE_SECONDS", 0.5)
    checks = [toys("stuck", "hang", limit=2), *(toys(f"other{n}", "pass") for n in range(3))]
    plan = load_plan(write_plan(tmp_path, *checks))
    record = run_plan(plan, jobs=2)
    assert (record.complete, record.passed) == (True, False)
    stuck = record.checks[0]
    assert (stuck.status, stuck.reason) == (Status.ERROR, "did not end within 2 s")
    assert stuck.replay.endswith("plan.toml --only stuck")
    assert [check.status for check in record.checks[1:]] == [Status.PASSED] * 3
    assert len((tmp_path / "said" / "stuck").read_text().split()) == 3
    assert_gone(family(tmp_path / "said" / "stuck"))
    carried, _ = carry_out_apart(plan.checks[0], plan, None, tmp_path, 1, lambda: False)
    assert (carried.record.status, carried.record.reason) == (Status.ERROR, "did not end within 2 s")
    assert_gone(family(tmp_path / "said" / "stuck"))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_check_that_takes_too_long_cleans_up(tmp_path: Path, toys: Callable[..., str], jobs: int) -> None:
    """One that Python runs is interrupted at its limit: what it began is gone, what it says does not count."""
    checks = [toys("long", "wait", limit=1), toys("quiet", "swallow", limit=1), toys("quick", "pass")]
    record = run_plan(load_plan(write_plan(tmp_path, *checks)), jobs=jobs)
    assert (record.complete, record.passed) == (True, False)
    reasons = [(check.status, check.reason) for check in record.checks]
    assert reasons == [(Status.ERROR, "did not end within 1 s")] * 2 + [(Status.PASSED, None)]
    assert_gone(family(tmp_path / "said" / "long")[1 if jobs == 1 else 0 :])
    assert [path.name for path in (tmp_path / "said").iterdir()] == ["long"]


def test_limits_are_the_plans_where_a_check_states_none(tmp_path: Path, toys: Callable[..., str]) -> None:
    """A limit of the plan holds for every check without one of its own; a limit of no time is refused."""
    path = write_plan(tmp_path, toys("a", "pass"), toys("b", "pass", limit=7))
    plan = load_plan(path)
    assert [plan.limit_of(check) for check in plan.checks] == [6 * 3600, 7]
    text = path.read_text()
    path.write_text(f"limit = 60\n{text}")
    plan = load_plan(path)
    assert [plan.limit_of(check) for check in plan.checks] == [60, 7]
    path.write_text(f"limit = 0\n{text}")
    with pytest.raises(FxsimError, match="limit"):
        load_plan(path)


def test_checks_that_measure_time_run_alone(tmp_path: Path, toys: Callable[..., str]) -> None:
    """Nothing runs beside a check whose kind is to be alone; others run beside each other."""
    kinds = {"a": "toy", "b": "lonely", "c": "toy", "d": "lonely"}
    checks = [toys(name, "sleep" if kind == "lonely" else "meet", kind) for name, kind in kinds.items()]
    assert run_plan(load_plan(write_plan(tmp_path, *checks)), jobs=2).passed
    times = {name: [float(time) for time in (tmp_path / "said" / name).read_text().split()] for name in kinds}

    def beside(one: str, other: str) -> bool:
        return times[one][0] < times[other][1] and times[other][0] < times[one][1]

    assert [other for name in "bd" for other in kinds if other != name and beside(name, other)] == []
    assert beside("a", "c")


def test_a_plan_that_changed_meanwhile_is_refused_by_name(tmp_path: Path, toys: Callable[..., str]) -> None:
    """A process that does not read the plan that the run began with carries out nothing of it."""
    path = write_plan(tmp_path, toys("a", "pass"), toys("b", "pass"))
    plan = load_plan(path)
    path.write_text(path.read_text().replace('"pass"', '"fail"'))
    record = run_plan(plan, jobs=2)
    assert [check.status for check in record.checks] == [Status.ERROR] * 2
    assert all("changed while the sign-off ran" in str(check.reason) for check in record.checks)


def test_a_model_that_changed_meanwhile_is_named(tmp_path: Path, toys: Callable[..., str]) -> None:
    """Where two processes did not read the same model, the later check is in error."""
    from fxsim.signoff.carry import Carried
    from fxsim.signoff.run import _Results

    second = ACCUMULATORS.replace('name = "accumulators"', 'name = "later"')
    plan = load_plan(write_plan(tmp_path, ACCUMULATORS, second, toys("a", "pass")))
    records = run_plan(plan).checks
    results = _Results(plan, plan.checks, Silence())
    for check, record, sha256 in zip(reversed(plan.checks), reversed(records), ("", "2", "1"), strict=True):
        results.add(check, Carried(record, {"model small": sha256} if sha256 else {}))
    assert [(check.status, check.reason) for check in results.close()] == [
        (Status.PASSED, None),
        (Status.ERROR, "model small changed while the sign-off ran"),
        (Status.PASSED, None),
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_end_of_a_sign_off_ends_all_that_it_started(
    tmp_path: Path, toys: Callable[..., str], number: signal.Signals
) -> None:
    """Interrupted, it writes what is known; killed, nothing; and no process is left, nor a check's temporary folder."""
    said = tmp_path / "said"
    checks = (toys("quick", "pass"), toys("long", "wait"), toys("longer", "wait"), toys("later", "pass"))
    plan, output = write_plan(tmp_path, *checks), tmp_path / "out"
    code = "from fxsim.cli import main; main()"
    arguments = ["signoff", str(plan), "-o", str(output), "--jobs", "2"]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=obey_ctrl_c,
    ) as process:
        try:
            names = (said / "long", said / "longer")
            while not all(name.exists() for name in names):
                assert process.poll() is None
                time.sleep(0.02)
            family = [member for name in names for member in processes(name.read_text())]
            assert len({member.pid for member in family}) == 6
            assert os.getpid() not in {member.pid for member in family}
            process.send_signal(number)
            out, err = process.communicate(timeout=60)
        finally:
            process.kill()
    assert_gone(family)
    if number == signal.SIGKILL:
        assert not (output / "signoff.json").exists()
        return
    assert process.returncode == 128 + number, err
    assert "Traceback" not in err
    assert "INCOMPLETE" in out
    record = read_record(output / "signoff.json")
    assert not record.complete
    assert [(check.status, check.reason) for check in record.checks] == [
        (Status.PASSED, None),
        (Status.ERROR, "interrupted while it ran"),
        (Status.ERROR, "interrupted while it ran"),
        (Status.SKIPPED, "the run was interrupted"),
    ]
    assert sorted(path.name for path in said.iterdir()) == ["long", "longer"]


def test_what_took_longest_is_begun_first(tmp_path: Path) -> None:
    """Checks are begun in the order of their times in the last record; what it has nothing of comes before them."""
    names = ("a", "b", "c", "d")
    plan = load_plan(
        write_plan(tmp_path, *(ACCUMULATORS.replace('"accumulators"\nm', f'"{name}"\nm') for name in names))
    )
    assert [check.name for check in _longest_first(plan.checks, tmp_path)] == list(names)
    record = run_plan(plan)
    seconds = {"a": 1.0, "b": 3.0, "c": 2.0}
    took = [msgspec.structs.replace(check, seconds=seconds.get(check.name, 9.0)) for check in record.checks]
    took[3] = msgspec.structs.replace(took[3], status=Status.SKIPPED)
    write_record(msgspec.structs.replace(record, checks=tuple(took)), tmp_path / "signoff.json")
    assert [check.name for check in _longest_first(plan.checks, tmp_path)] == ["d", "b", "c", "a"]
    assert [check.name for check in _longest_first(plan.checks, None)] == list(names)
    (tmp_path / "signoff.json").write_text("{}")
    assert [check.name for check in _longest_first(plan.checks, tmp_path)] == list(names)


def test_progress_counts_what_is_done_also_where_an_earlier_check_still_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Of three checks the last ends first, and the second's record was there before: one is left."""
    first, second, third = (Check(name=name) for name in "abc")
    listener = _Listener(3, to_stderr=False)
    listener.started(first)
    listener.started(third)
    listener.ended(third)
    listener.finished(CheckRecord(second.name, "toy", "", Status.PASSED, "", None, 0.0, 1, "", None))
    listener.progress(first, 5, 9)
    assert str(progress._now) == "[2 of 3 done] a: 5 of 9"
    assert capsys.readouterr().out.startswith("passed   b ")


def test_jobs_are_one_a_core_unless_they_are_stated(
    tmp_path: Path, toys: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """FXSIM_JOBS states how many processes there are; with one, or one check, none but the command's own."""
    monkeypatch.delenv("FXSIM_JOBS")
    assert count_jobs() == count_cores()
    monkeypatch.setenv("FXSIM_JOBS", "3")
    assert count_jobs() == 3
    for wrong in ("0", "-1", "two", "1.5", "10000", "\u0663"):
        monkeypatch.setenv("FXSIM_JOBS", wrong)
        with pytest.raises(FxsimError, match=r"the environment variable FXSIM_JOBS is .*, expected a number"):
            count_jobs()
    plan = write_plan(tmp_path, toys("a", "pass"), toys("b", "pass"))
    started: list[int] = []
    monkeypatch.setattr("fxsim.signoff.run.carry_out_side_by_side", lambda *given: bool(started.append(given[-1])))
    for stated, arguments, workers in (
        ("1", (), []), ("2", ("--only", "b"), []), ("2", ("--jobs", "1"), []), ("3", (), [2]),
        ("1", ("--jobs", "2"), [2]),
    ):  # fmt: skip
        monkeypatch.setenv("FXSIM_JOBS", stated)
        started.clear()
        CliRunner().invoke(command, [str(plan), "-o", str(tmp_path / "reports"), *arguments])
        assert started == workers
