"""The parts of the report: what is not covered, buckets of failures, widths of tables, links to what was kept."""

import itertools
from html import unescape
from pathlib import Path

import msgspec
import pytest

from fxsim.paths import golden_dir
from fxsim.signoff import CheckRecord, SignoffRecord, Status, load_plan, render_report, run_plan
from fxsim.signoff.record import Commit, Details, LeftOut, Machine
from fxsim.signoff.report.buckets import find_buckets, normalise
from fxsim.signoff.report.elements import Cell, Column, Row, Table
from fxsim.signoff.report.fit import fit_table, split_long
from fxsim.signoff.report.uncovered import find_uncovered
from fxsim.signoff.simulation import Simulation


def check(
    name: str, status: Status = Status.PASSED, reason: str | None = None, kind: str = "accumulators"
) -> CheckRecord:
    """A check that ended so."""
    return CheckRecord(name, kind, "about", status, "summary", reason, 1.5, 3, f"fxsim signoff --only {name}", None)


def record(*checks: CheckRecord, left_out: tuple[LeftOut, ...] = (), more: int = 0) -> SignoffRecord:
    """A record of these checks; the plan had those left out, and so many more that nobody names."""
    count = len(checks) + len(left_out) + more
    return SignoffRecord(
        "fxsim.signoff", 1, "t", "p", "now", 1.0, True, True, None, count, 1, Commit("c" * 40, False), "9", {},
        Machine("cpu", 1, None, "os"), {}, checks, left_out=left_out,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("seed 12, image 3: expected -29, got 1,024", "seed 7, image 44: expected 5, got -1"),
        ("no file /tmp/a/b.toml", "no file ../c/d-e/f.v"),
        ("sha256 is 0123456789abcdef", "sha256 is fedcba9876543210"),
        ("word 0xFF at 1.5e-3", "word 0x00 at 2"),
        ("two  lines\nof it", "two lines of it"),
    ],
)
def test_messages_of_one_cause_are_alike(one: str, other: str) -> None:
    """Numbers, seeds, paths, hashes and spaces do not tell two messages apart."""
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(("one", "other"), [("tap pool differs", "tap embed differs"), ("decade", "facade"), ("", "a")])
def test_messages_of_two_causes_are_not_alike(one: str, other: str) -> None:
    """Words tell two messages apart, those of letters that hexadecimal digits have, too."""
    assert normalise(one) != normalise(other)


def test_a_message_of_any_length_is_normalised_at_once() -> None:
    """A message that is long, or made to be slow, takes no time."""
    for text in ("a/" * 50_000, "-" * 100_000, "0x" * 50_000, "1," * 50_000, "a1" * 50_000):
        assert len(normalise(text)) <= 4000


def test_failures_are_told_once_a_cause() -> None:
    """A bucket a cause and status, the failures first and the largest first, each with its first check."""
    wrong = [check(f"w{i}", Status.FAILED, f"image {i} differs") for i in range(3)]
    other = check("o", Status.FAILED, "the bound")
    error = check("e", Status.ERROR, "image 1 differs")
    found = find_buckets((error, other, *wrong, check("fine")), (Status.FAILED, Status.ERROR))
    assert [(bucket.status, len(bucket.checks), bucket.first) for bucket in found] == [
        (Status.FAILED, 3, wrong[0]), (Status.FAILED, 1, other), (Status.ERROR, 1, error),
    ]  # fmt: skip
    html = render_report(msgspec.structs.replace(record(*wrong, other, error), passed=False))
    section = unescape(html[html.index('<section id="not-passed">') : html.index('<section id="checks">')])
    assert section.count("<article") == 3
    assert "w0, seed 3, again: <code>fxsim signoff --only w0</code>" in section
    assert "--only w1" not in section
    for place in range(3):
        assert f'<a href="#check-w{place}">w{place}</a>' in section


def test_what_is_not_covered_comes_first() -> None:
    """Skipped, only reported and left-out checks are named with their reasons, before anything that was found."""
    left = (
        LeftOut("late", "cosim", "V3", "late", "stage"),
        LeftOut("other", "cosim", "V1", "other", "selection"),
    )
    checks = (check("fine"), check("gone", Status.SKIPPED, "no data"), check("told", Status.REPORTED, "no bound"))
    limited = msgspec.structs.replace(record(*checks, left_out=left, more=2), selected=("a",))
    found = find_uncovered(limited)
    assert found.count == 6
    lines = [(line.head, line.text, [c.name for c in line.checks], line.names) for line in found.lines]
    assert lines == [
        ("1 check not run:", "no data", ["gone"], ()),
        ("1 check ran, and demands nothing of a part:", "no bound", ["told"], ()),
        ("1 check of stage V3 left out", "by --stage", [], ("late",)),
        ("1 check not chosen", "of the choice a", [], ("other",)),
        ("2 checks of the plan did not run", "this record does not name them", [], ()),
    ]
    html = render_report(limited)
    places = [html.index(f'id="{name}"') for name in ("verdict", "not-covered", "checks", "what-ran")]
    assert places == sorted(places)
    assert "<small>with 6 not covered</small>" in html
    assert "nothing was left out" in render_report(record(check("fine")))


def test_what_a_passed_check_did_not_look_at_is_not_covered() -> None:
    """A design that does not show every tap passes, and the report says first which were not looked at."""
    row = Simulation(
        "m", "none", 1, 1, 0, True, None, None, None, None, 1, 1, 0.0, True, "described", unprobed=("embed", "pool")
    )
    seen = msgspec.structs.replace(check("rtl", kind="cosim"), details=Details((), (row, row)))
    (line,) = find_uncovered(record(seen)).lines
    assert line.text == "m on described: taps not looked at: embed, pool"
    assert line.checks == (seen,)


def test_the_record_names_what_was_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run up to a stage, or of chosen checks, has the names of the others, and why they did not run."""
    monkeypatch.delenv("FXSIM_PUBLISHED", raising=False)
    one = '[[check]]\nkind = "accumulators"\nname = "{}"\nabout = "{}."\nmodels = ["small"]\nstage = "{}"\n'
    head = f'title = "t"\nseed = 1\n[models]\nsmall = {{ file = "{golden_dir()}/small.safetensors" }}\n'
    path = tmp_path / "plan.toml"
    path.write_text(head + "".join(one.format(*row) for row in (("a", "A", "V1"), ("b", "B", "V1"), ("c", "C", "V2"))))
    found = run_plan(load_plan(path), ("a",), stage="V1")
    assert found.left_out == (
        LeftOut("b", "accumulators", "V1", "B.", "selection"), LeftOut("c", "accumulators", "V2", "C.", "stage"),
    )  # fmt: skip
    assert run_plan(load_plan(path)).left_out == ()


def test_tables_ask_for_the_width_that_they_need() -> None:
    """Numbers and names are never broken, words up to a length; a wide table needs more than a narrow one."""
    number, text = Column("n", number=True), Column("text")
    narrow = fit_table(Table((number, text), (Row((1_000_000, "a b")),)))
    assert narrow.widths == (9, 4)
    assert narrow.step == 20
    wide = fit_table(Table((number,) * 14, (Row((10**12,) * 14),)))
    assert wide.step is None
    spanned = fit_table(Table((number, text), (Row((Cell("x" * 90, span=2),)),)))
    assert spanned.widths == (1, 4)


def test_long_words_may_be_broken_where_they_are_joined() -> None:
    """A stall pattern is broken at its plus signs, and nothing is lost; short words stay whole."""
    pattern = "random:695303:0.2+gap:500+reset:695303:12"
    assert split_long(pattern) == ["random:695303:0.2+", "gap:500+", "reset:695303:12"]
    assert split_long("a+b") == ["a+b"]


@pytest.mark.parametrize(
    ("kept", "linked"),
    [("failures/rtl", True), ("javascript:alert(1)", False), ("failures/../rtl", False), ("/etc", False)],
)
def test_only_what_was_kept_beside_the_report_is_linked(kept: str, linked: bool) -> None:
    """The replay of a failure is linked where fxsim keeps it, and nowhere else, whatever a record says."""
    html = render_report(record(msgspec.structs.replace(check("rtl", Status.FAILED, "wrong"), kept=kept)))
    assert ('href="failures/rtl/replay.sh"' in html) == linked
    assert f'href="{kept}' not in html.replace('href="failures/rtl/replay.sh"', "")


def test_every_place_of_the_page_is_one() -> None:
    """Names that become the same place get places of their own; every link within the page leads somewhere."""
    names = ("a b", "a-b", "A.B", "+", "-", "contents")
    html = render_report(record(*(check(name, Status.FAILED, name) for name in names)))
    places = [part.split('"')[0] for part in html.split(' id="')[1:]]
    assert len(set(places)) == len(places)
    links = {part.split('"')[0] for part in html.split('href="#')[1:]}
    assert links <= set(places)
    assert sum(place.startswith("check-") for place in places) == len(names)
    assert all(left != right for left, right in itertools.pairwise(sorted(places)))
