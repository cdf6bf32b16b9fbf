"""The history of a sign-off, its trends, and the figures that were accepted and are held."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner, Result

from fxsim.cli.signoff import command
from fxsim.errors import FileError, FxsimError
from fxsim.paths import golden_dir
from fxsim.signoff import CheckRecord, SignoffRecord, Status, load_plan, open_journal, read_record, render_report
from fxsim.signoff.accepted import Accepted, Figures, accept, accepted_path, compare, hold, read_accepted
from fxsim.signoff.history import HISTORY, SHOWN, add_to_history, make_run, read_history
from fxsim.signoff.record import Commit, Details, LeftOut, Machine
from fxsim.signoff.report.trends import draw_trend, find_changes
from fxsim.signoff.simulation import Simulation

PLAN = f"""title = "t"
seed = 1
[models]
small = {{ file = "{golden_dir()}/small.safetensors" }}
[[check]]
kind = "accumulators"
name = "rtl"
models = ["small"]
"""


@pytest.fixture(autouse=True)
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What is written where nothing says otherwise lies in the test's own folder."""
    monkeypatch.delenv("FXSIM_PUBLISHED", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    """A plan of one check."""
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def cli(*arguments: str | Path) -> Result:
    """`fxsim signoff` with these arguments."""
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def check(name: str = "rtl", status: Status = Status.PASSED, cycles: int = 100, rate: int = 50) -> CheckRecord:
    """A check with one simulation of so many cycles, at so many a second."""
    row = Simulation("m", "none", 4, 9, 0, True, None, 12, 12, 30, cycles, rate, 1.0, True)
    return CheckRecord(name, "cosim", "about", status, "s", None, 1.5, 3, "again", None, Details((), (row,)))


def record(*checks: CheckRecord, **changes: Any) -> SignoffRecord:
    """A record of these checks."""
    made = SignoffRecord(
        "fxsim.signoff", 1, "t", "p", "2026-01-01", 1.0, True, True, None, len(checks), 1, Commit("c" * 40, False),
        "9", {}, Machine("cpu", 1, None, "os"), {"plan": "a"}, checks,
    )  # fmt: skip
    return msgspec.structs.replace(made, **changes)


# --- History ---------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_each_run_is_a_line_and_the_next_one_shows_it(plan: Path) -> None:
    """A run has those before it in its record and report; the first has none; --no-history reads and writes none."""
    for number in range(3):
        assert cli(plan, "--jobs", "1", "-o", "out").exit_code == 0
        assert len(Path("out", HISTORY).read_text().splitlines()) == number + 1
        found = read_record("out/signoff.json")
        assert len(found.history) == number
        assert ('id="history"' in Path("out/signoff.html").read_text()) == (number > 0)
    assert read_history(Path("out", HISTORY))[0][:2] == found.history
    assert cli(plan, "--jobs", "1", "-o", "out", "--no-history").exit_code == 0
    assert len(Path("out", HISTORY).read_text().splitlines()) == 3
    assert read_record("out/signoff.json").history == ()
    assert cli(plan, "--jobs", "1", "-o", "new", "--history", "out/history.jsonl").exit_code == 0
    assert len(read_record("new/signoff.json").history) == 3
    assert not Path("new", HISTORY).exists()
    assert cli(plan, "--history", "x", "--no-history", "-o", "new").exit_code == 2


def test_a_run_that_is_gone_on_with_has_one_line(tmp_path: Path, plan: Path) -> None:
    """A run that was killed when its line was there, and the journal too, is no run before itself, nor a second one."""
    out = tmp_path / "out"
    assert cli(plan, "-o", out).exit_code == 0
    loaded = load_plan(plan)
    record = read_record(out / "signoff.json")
    line = (out / "history.jsonl").read_bytes()
    journal = open_journal(out, loaded, resume=False)
    journal.close(done=False)
    head = (out / "signoff.journal").read_bytes().partition(b" ")[2].rstrip(b"\n")
    head = head.replace(journal.started.encode(), record.started.encode())
    (out / "signoff.journal").write_bytes(hashlib.sha256(head).hexdigest().encode() + b" " + head + b"\n")
    assert cli(plan, "-o", out, "--resume").exit_code == 0
    assert (out / "history.jsonl").read_bytes() == line
    assert read_record(out / "signoff.json").history == ()
    assert cli(plan, "-o", out).exit_code == 0
    assert (out / "history.jsonl").read_bytes().count(b"\n") == 2


@pytest.mark.parametrize("damage", [b"{}", b"\xff", b'{"format": "fxsim.signoff.run", "format": 1}', b"null"])
def test_damaged_lines_are_named_and_left(tmp_path: Path, damage: bytes) -> None:
    """A line that is no run is named with its number, shown in the report, and still there after the next run."""
    path = tmp_path / HISTORY
    add_to_history(path, record(check()))
    path.write_bytes(path.read_bytes() + damage + b"\n")
    add_to_history(path, record(check(), started="later"))
    runs, problems = read_history(path)
    assert [run.started for run in runs] == ["2026-01-01", "later"]
    assert len(problems) == 1
    assert problems[0].startswith(f"{HISTORY}, line 2")
    assert path.read_bytes().split(b"\n")[1] == damage
    assert f"{HISTORY}, line 2" in render_report(record(check(), history=runs, history_problems=problems))


def test_a_history_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest lines go; a record has the last runs alone; a file of another size is refused."""
    monkeypatch.setattr("fxsim.signoff.history._LINES_MAX", SHOWN + 2)
    path = tmp_path / HISTORY
    for number in range(SHOWN + 5):
        add_to_history(path, record(started=str(number)))
    runs, _ = read_history(path)
    assert [run.started for run in runs] == [str(number) for number in range(5, SHOWN + 5)]
    assert len(path.read_bytes().splitlines()) == SHOWN + 2
    add_to_history(path, record(complete=False, started="cut"))
    assert b"cut" not in path.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr("fxsim.signoff.history._BYTES_MAX", 100)
        with pytest.raises(FileError, match="100 bytes"):
            read_history(path)
    path.unlink()
    path.write_bytes(msgspec.json.encode(make_run(record(started="no end of line"))))
    add_to_history(path, record(started="next"))
    assert [run.started for run in read_history(path)[0]] == ["no end of line", "next"]


def test_changes_are_told_against_when_each_check_last_ran() -> None:
    """Newly failing, newly passing, new and gone; a check that was left out meanwhile is not new, nor gone."""
    passed, failed, reported = Status.PASSED, Status.FAILED, Status.REPORTED
    first = make_run(record(check("a"), check("b", failed), check("c"), check("d"), check("old"), check("out")))
    second = make_run(record(check("a"), check("b", failed), check("d")))
    left = LeftOut("out", "cosim", "V3", "", "stage")
    now = record(
        check("a", failed), check("b", passed), check("c", failed), check("d", reported), check("e"),
        history=(first, second), left_out=(left,),
    )  # fmt: skip
    found = find_changes(now)
    assert (found.failing, found.passing, found.other) == (("a", "c"), ("b",), ("d",))
    assert (found.new, found.gone) == (("e",), ("old",))
    html = render_report(now)
    section = html[html.index('<section id="history">') : html.index('<section id="durations">')]
    assert "2 newly failing" in section
    assert '<a href="#check-a">a</a>' in section


def test_a_trend_is_drawn_from_nothing_to_the_greatest() -> None:
    """The greatest value is at the top, 0 at the bottom, places of runs without a value stay empty, bad runs marked."""
    trend = draw_trend([0, None, 10, 5], [False, False, True, False], str)
    assert trend is not None
    assert trend.points == "3.0,23.0 85.7,3.0 127.0,13.0"
    assert trend.marks == ((85.7, 3.0),)
    assert trend.said == "3 runs, from 0 to 5, at most 10"
    assert draw_trend([1, None], [False, False], str) is None


# --- Accepted figures ------------------------------------------------------------------------------------------------


def accepted(cycles: int, rate: float = 50.0) -> Accepted:
    """Accepted cycles of the check."""
    name = "of m on stream, stall none, 4 images"
    exact = {f"cycles {name}": cycles, f"interval {name}": 12, f"latency {name}": 30}
    return Accepted("fxsim.signoff.accepted", 1, "then", "d" * 40, "cpu", {"rtl": Figures(exact, {"cycles/s": rate})})


def test_more_cycles_than_accepted_fail() -> None:
    """A cycle more fails the check, the same passes, one less is no pass either until it is accepted; rates never."""
    assert hold(check(), accepted(100)) == check()
    worse = hold(check(), accepted(99))
    assert worse.status is Status.FAILED
    assert worse.reason == "more than accepted: cycles of m on stream, stall none, 4 images: 100, accepted 99"
    better = hold(check(), accepted(101))
    assert better.status is Status.REPORTED
    assert str(better.reason).startswith("fewer than accepted, which --accept would take: cycles of m")
    assert hold(check(), accepted(100, rate=5000.0)) == check()
    assert hold(check(), None) == check()
    for status in (Status.FAILED, Status.ERROR, Status.SKIPPED):
        assert hold(check(status=status), accepted(1)).status is status


def test_the_comparison_is_in_the_report() -> None:
    """Figures that deviate, rates as a ratio, and accepted figures that nobody measured now."""
    now = check()
    held = compare((now,), accepted(80, rate=100.0))
    assert held is not None
    assert (held.compared, [(d.accepted, d.now) for d in held.deviations], held.missing) == (3, [(80, 100)], ())
    html = render_report(record(now, held=held))
    section = html[html.index('<section id="accepted">') : html.index('<section id="durations">')]
    assert ">0.50</td>" in section
    assert "3 exact figures beside those of the run of then" in section
    bare = msgspec.structs.replace(now, details=Details())
    held = compare((bare,), accepted(100))
    assert held is not None
    assert len(held.missing) == 3
    assert "3 accepted figures were not measured" in render_report(record(bare, held=held))


def test_accepting_takes_a_record_that_passed(plan: Path) -> None:
    """Figures are taken of a record of this plan that passed; those of checks that were left out stay as they were."""
    loaded = load_plan(plan)
    good = record(check(), hashes={"plan": loaded.sha256})
    assert read_accepted(loaded) is None
    assert accept(loaded, good) == 3
    assert read_accepted(loaded) == msgspec.structs.replace(
        accepted(100), started="2026-01-01", commit="c" * 40, machine="cpu, 1 cores"
    )
    before = accepted_path(loaded).read_bytes()
    wrong: list[tuple[Callable[[], SignoffRecord], str]] = [
        (lambda: msgspec.structs.replace(good, passed=False), "did not pass"),
        (lambda: msgspec.structs.replace(good, seed=2), "another plan or seed"),
        (lambda: msgspec.structs.replace(good, hashes={"plan": "0"}), "another plan or seed"),
    ]
    for make, message in wrong:
        with pytest.raises(FxsimError, match=message):
            accept(loaded, make())
    assert accept(loaded, msgspec.structs.replace(good, checks=())) == 3  # left out
    assert accepted_path(loaded).read_bytes() == before
    accepted_path(loaded).write_text("{}")
    with pytest.raises(FileError, match="accepted figures"):
        read_accepted(loaded)


@pytest.mark.slow
def test_the_command_accepts_and_holds(plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--accept runs nothing; the next run is held to what it wrote, and fails by name where it takes longer."""
    assert "no exact figures" in str(accepting(plan).exception)
    monkeypatch.setattr("fxsim.signoff.accepted.exact_figures", lambda _: {"cycles of it": 7})
    result = accepting(plan)
    assert result.exit_code == 0, result.output
    assert "accepted: 1 figures" in result.output
    assert json.loads(Path("plan.accepted.json").read_text())["checks"]["rtl"]["exact"] == {"cycles of it": 7}
    assert cli(plan, "--jobs", "1", "-o", "out").exit_code == 0
    monkeypatch.setattr("fxsim.signoff.accepted.exact_figures", lambda _: {"cycles of it": 8})
    result = cli(plan, "--jobs", "1", "-o", "out")
    assert result.exit_code == 1
    assert "failed: rtl: more than accepted: cycles of it: 8, accepted 7" in result.output


def accepting(plan: Path) -> Result:
    """A run of the plan, and its figures accepted."""
    assert cli(plan, "--jobs", "1", "-o", "out").exit_code == 0
    return cli(plan, "-o", "out", "--accept")
