"""Kinds of check: each is complete, one more takes one file, and what is only reported is no pass."""

import json
import re
import shutil
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner

import fxsim.signoff.checks as checks_room
from fxsim import plugins
from fxsim.cli.signoff import command
from fxsim.errors import FileError, FxsimError
from fxsim.signoff import CheckRecord, Status, load_plan, read_record, render_report, run_plan
from fxsim.signoff.checks import CHECKS, find_checks
from fxsim.signoff.comparison import Comparison
from fxsim.signoff.context import Context, Outcome
from fxsim.signoff.files import decode_record, encode_record
from fxsim.signoff.kind import Kind, Nothing, Picture, Section
from fxsim.signoff.listener import Silence
from fxsim.signoff.plan import Check
from fxsim.signoff.record import Data, Details, Figure
from tests.conftest import ROOT
from tests.test_signoff import ACCUMULATORS, Page, by_name, published_plan, write_plan


@pytest.fixture(autouse=True)
def _no_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plans find published data where they say, not where the environment says."""
    monkeypatch.delenv("FXSIM_PUBLISHED", raising=False)


SIGNOFF = Path(checks_room.__file__).parent.parent

TOY = '''
"""Kind `toy`: counts to a number."""

from fxsim.signoff.context import Context, Outcome
from fxsim.signoff.kind import Kind, Picture, Section
from fxsim.signoff.plan import Check
from fxsim.signoff.record import Data, Details, Figure
from fxsim.signoff.report.elements import Block, Column, Row, Table
from fxsim.signoff.report.style import ACCENT, new_canvas


class ToyCheck(Check, frozen=True, tag="toy", kw_only=True):
    """It counts."""

    upto: int


class Count(Data, frozen=True):
    """A number that was counted."""

    FIELD = "counts"

    number: int


def run(check, context, seed):
    """Count."""
    figures = (Figure("counted to", check.upto),)
    reason = None if check.upto < 10 else "cannot count so far"
    return Outcome(f"counted to {check.upto}", reason, Details(figures, [Count(n) for n in range(check.upto)]))


def _draw(rows):
    canvas = new_canvas(1.0)
    canvas.add_subplot().plot([row.number for row in rows], color=ACCENT)
    return canvas


def _write(rows):
    table = Table((Column("toy number", number=True),), tuple(Row((row.number,)) for row in rows))
    return [Block((table,), heading="Toys")]


KIND = Kind(
    settings=ToyCheck,
    about="it can count",
    run=run,
    data=(Count,),
    report=(
        Picture("Toy picture", "What was counted.", lambda check: check.details.of(Count), _draw),
        Section("Toy section", lambda check: check.details.of(Count), _write),
    ),
)
'''


@pytest.mark.parametrize("kind", CHECKS.values(), ids=list(CHECKS))
def test_every_kind_is_complete(kind: Kind[Check]) -> None:
    """A kind has settings of its own name, a description, what runs, data and a report, or a reason for having none."""
    assert CHECKS[kind.name] is kind
    assert issubclass(kind.settings, Check)
    assert kind.settings.__doc__
    assert kind.run.__doc__
    assert 20 < len(kind.about) < 120
    assert not kind.about.endswith(".")
    for missing in (kind.data, kind.report):
        if isinstance(missing, Nothing):
            assert len(missing.because) > 20
        else:
            assert missing
    # Rows that nothing shows would be lost on a reader.
    if not isinstance(kind.report, Nothing):
        assert kind.rows
    for row in kind.rows:
        assert row.FIELD
        assert row.__doc__
    # All of it is in one file.
    module = kind.settings.__module__
    assert kind.run.__module__ == module
    assert module == f"fxsim.signoff.checks.{kind.name.replace('-', '_')}"


@pytest.mark.slow
def test_no_two_kinds_of_data_have_one_field() -> None:
    """Each list in the record holds rows of one kind, and every kind of row is a list there."""
    rows = {row for kind in CHECKS.values() for row in kind.rows}
    assert len({row.FIELD for row in rows}) == len(rows)
    encoded = json.loads(encode_record(run_plan(load_plan(), ("accumulators",))))
    details = encoded["checks"][0]["details"]
    assert details.keys() == {"figures"} | {row.FIELD for row in rows}
    # As records have had them since before kinds were files.
    assert details.keys() >= {
        "figures", "comparisons", "simulations", "agreements", "intervals", "cycles", "values", "curves", "speeds",
    }  # fmt: skip


def test_plan_record_run_and_report_know_no_kind() -> None:
    """What all checks share has no kind's name in it, as a word in quotes, and imports no kind."""
    names = [f'"{name}"' for name in CHECKS] + [f"fxsim.signoff.checks.{name.replace('-', '_')}" for name in CHECKS]
    files = [SIGNOFF / f"{name}.py" for name in ("plan", "record", "files", "run", "context", "kind", "__init__")]
    for path in (*files, *SIGNOFF.glob("report/*.*")):
        text = path.read_text()
        assert [name for name in names if name in text] == [], path


def test_documentation_says_which_settings_are_needed() -> None:
    """Every setting of every kind stands in the table of kinds or below it, and those that must be there in bold."""
    text = (ROOT / "docs" / "signoff.md").read_text()
    for name, kind in CHECKS.items():
        (settings,) = re.findall(rf"^\| `{name}` \|.*\| ([^|]*) \|$", text, re.MULTILINE)
        fields = msgspec.structs.fields(kind.settings)
        bold = set(re.findall(r"\*\*`(\w+)`\*\*", settings))
        assert bold == {field.name for field in fields if field.required} - {"name"}, name
        own = {field.name for field in fields} - {"name", "about"}
        assert {setting for setting in own if f"`{setting}`" not in text} == set(), name


@pytest.mark.parametrize(
    ("check", "words"),
    [
        ('kind = "cosim"\nname = "mine"\n', "missing required field `.*` - at `$.check[1]`, which is check 'mine'"),
        ('kind = "cosim"\nname = 3\n', "at `$.check[1].name`"),
        ('kind = "nothing"\nname = "odd"\n', "at `$.check[1].kind`, which is check 'odd'"),
    ],
)
def test_check_that_is_wrong_is_named(tmp_path: Path, check: str, words: str) -> None:
    """By its name, where it has one, beside its place in the plan."""
    path = write_plan(tmp_path, ACCUMULATORS, f"[[check]]\n{check}")
    pattern = re.escape(words).replace(re.escape(".*"), ".*")
    with pytest.raises(FileError, match=rf"is not a sign-off plan: .*{pattern}$"):
        load_plan(path)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with one more kind of check, found like those of the project."""
    folder = tmp_path / "kinds"
    folder.mkdir()
    (folder / "toy.py").write_text(textwrap.dedent(TOY))
    monkeypatch.setattr(checks_room, "__path__", [*checks_room.__path__, str(folder)])
    found = find_checks()
    assert found.keys() == CHECKS.keys() | {"toy"}
    monkeypatch.setitem(CHECKS, "toy", found["toy"])
    yield folder
    import sys

    del sys.modules["fxsim.signoff.checks.toy"]


@pytest.mark.usefixtures("toy")
def test_one_file_is_a_kind_from_plan_to_report(tmp_path: Path) -> None:
    """A file in checks/ alone: its settings are read, it runs, its data is recorded, read again and on the page."""
    text = '[[check]]\nkind = "toy"\nname = "count"\nupto = 3\n' + '[[check]]\nkind = "toy"\nname = "far"\nupto = 10\n'
    plan = write_plan(tmp_path, ACCUMULATORS, text)
    done = CliRunner().invoke(command, [str(plan), "-o", str(tmp_path / "out")])
    assert done.exit_code == 1
    record = read_record(tmp_path / "out" / "signoff.json")
    checks = by_name(record)
    assert [(name, str(check.status)) for name, check in checks.items()] == [
        ("accumulators", "passed"), ("count", "passed"), ("far", "failed"),
    ]  # fmt: skip
    stored = json.loads((tmp_path / "out" / "signoff.json").read_text())["checks"]
    assert stored[1]["details"]["counts"] == [{"number": 0}, {"number": 1}, {"number": 2}]
    assert stored[0]["details"]["counts"] == []
    page = Page((tmp_path / "out" / "signoff.html").read_text())
    assert {"Toy picture", "Toy section", "Toys", "toy number"} <= set(page.texts)
    assert page.tags.count("svg") == 1
    listing = CliRunner().invoke(command, [str(plan), "--list", "--json"])
    assert json.loads(listing.output)["checks"][1]["kind"] == "toy"
    with pytest.raises(FileError, match="upto"):
        load_plan(write_plan(tmp_path, text.replace("upto = 3", "upto = 'three'")))


@pytest.mark.usefixtures("toy")
def test_record_of_an_unknown_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a kind is gone, or a check has data that its kind never leaves, the record is refused by name."""
    plan = write_plan(tmp_path, ACCUMULATORS, '[[check]]\nkind = "toy"\nname = "count"\nupto = 1\n')
    record = run_plan(load_plan(plan))
    data = encode_record(record)
    assert decode_record("r", data) == record
    other = msgspec.structs.replace(record.checks[1], kind="accumulators")
    with pytest.raises(FileError, match="check 'count' has counts, which no check of kind 'accumulators' has"):
        decode_record("r", encode_record(msgspec.structs.replace(record, checks=(other,))))
    unknown = msgspec.structs.replace(record.checks[0], kind="motors")
    with pytest.raises(FileError, match="check 'accumulators' is of kind 'motors', which this fxsim does not know"):
        decode_record("r", encode_record(msgspec.structs.replace(record, checks=(unknown,))))
    monkeypatch.delitem(CHECKS, "toy")
    with pytest.raises(FileError, match="counts"):
        decode_record("r", data)


@pytest.mark.usefixtures("toy")
def test_two_kinds_of_one_name_are_refused(toy: Path) -> None:
    """A second file of one tag is an error that names the file and the tag; so is a file whose KIND is none."""
    (toy / "toy_too.py").write_text(textwrap.dedent(TOY))
    with pytest.raises(FxsimError, match=r"checks\.toy_too is a kind of check called 'toy', which there is already"):
        find_checks()
    (toy / "toy_too.py").write_text("KIND = 3\n")
    import sys

    del sys.modules["fxsim.signoff.checks.toy_too"]
    with pytest.raises(FxsimError, match=r"checks\.toy_too is a int, expected a kind of check"):
        find_checks()


class _Point:
    """An entry point of somebody's package."""

    name, value = "theirs", "theirs:KIND"

    def __init__(self, kind: object) -> None:
        self._kind = kind

    def load(self) -> object:
        """The thing that it names, or the error of importing it."""
        if isinstance(self._kind, Exception):
            raise self._kind
        return self._kind


def test_packages_bring_kinds_by_entry_points(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an entry point of `fxsim.checks` names is a kind like any other; a broken one is an error that names it."""

    class Theirs(Check, frozen=True, tag="theirs", kw_only=True):
        """Theirs."""

    def run(_check: Theirs, _context: Context, _seed: int) -> Outcome:
        return Outcome("done", None)

    kind = Kind(Theirs, "it does what they want", run, Nothing("none"), Nothing("none"))
    monkeypatch.setattr(plugins, "entry_points", lambda group: [_Point(kind)] if group == "fxsim.checks" else [])
    assert find_checks()["theirs"] is kind
    monkeypatch.setattr(plugins, "entry_points", lambda **_: [_Point(ImportError("no module"))])
    with pytest.raises(
        FxsimError, match=r"the kind of check 'theirs' \(theirs:KIND\) cannot be loaded: ImportError: no module"
    ):
        find_checks()


def test_data_that_a_kind_does_not_declare_is_a_defect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that leaves rows which its kind does not declare ends in an error: the record would not be read."""

    class Foreign(Data, frozen=True):
        """A row."""

        FIELD = "foreign"

    import dataclasses

    kind = CHECKS["accumulators"]
    leaving = dataclasses.replace(kind, run=lambda *_: Outcome("done", None, Details(data=[Foreign()])))
    monkeypatch.setitem(CHECKS, "accumulators", leaving)
    (check,) = run_plan(load_plan(write_plan(tmp_path, ACCUMULATORS))).checks
    assert check.status is Status.ERROR
    assert "kind 'accumulators' left foreign, which it does not declare" in str(check.reason)


# --- what is only reported ---


def reporting(check: str, reported: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make checks of one kind end so."""
    import dataclasses

    outcome = Outcome("carried out", None, Details([Figure("n", 1)]), reported=reported)
    monkeypatch.setitem(CHECKS, check, dataclasses.replace(CHECKS[check], run=lambda *_: outcome))


@pytest.mark.slow
def test_what_is_only_reported_is_no_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that only reports has its own status in terminal, counts, record and page; alone it passes nothing."""
    reporting("accumulators", "no bound for <pool>", monkeypatch)
    second = '[[check]]\nkind = "random-models"\nname = "random"\ncount = 1\n'
    done = CliRunner().invoke(command, [str(write_plan(tmp_path, ACCUMULATORS, second)), "-o", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "reported accumulators" in " ".join(done.output.split())
    assert "reported, which is no pass: accumulators: no bound for <pool>" in done.output
    assert "1 passed, 1 reported" in done.output
    record = read_record(tmp_path / "signoff.json")
    assert by_name(record)["accumulators"].status is Status.REPORTED
    assert by_name(record)["accumulators"].reason == "no bound for <pool>"
    assert (record.passed, record.count(Status.PASSED), record.count(Status.REPORTED)) == (True, 1, 1)
    html = render_report(record)
    assert "1 of 2 checks only reported something, which is no pass." in html[: html.index('class="tiles"')]
    assert html.count("no bound for &lt;pool&gt;") == 2
    alone = CliRunner().invoke(command, [str(tmp_path / "plan.toml"), "--only", "accumulators"])
    assert alone.exit_code == 1


def copied(published: Path, tmp_path: Path, folder: str) -> Path:
    """A copy of a folder of the published data that can be changed."""
    target = tmp_path / "data" / folder
    shutil.copytree(published / folder, target)
    for path in (target, *target.iterdir()):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


PSA = """[[check]]
kind = "published"
name = "psa"
folder = "stream_psa_h96"
exact = ["embed"]
trace = "csim_trace.npz"
"""
WITHIN = """[check.within]
"blocks.0.mlp.add" = 3
"blocks.1.mlp.add" = 10
"blocks.2.mlp.add" = 12
"blocks.3.mlp.add" = 18
classifier = 8
"""


def psa_check(tmp_path: Path, folder: Path, text: str) -> CheckRecord:
    """The record of one check of the published PSA model."""
    return run_plan(load_plan(published_plan(tmp_path, folder, text)), listener=Silence()).checks[0]


@pytest.mark.slow
def test_published_distances_are_demanded_or_no_pass(published: Path, tmp_path: Path) -> None:
    """Without bounds the check reports; with the measured ones it passes; one step less, and it fails by name."""
    check = psa_check(tmp_path, published, PSA)
    assert check.status is Status.REPORTED
    assert "published dump: no distance is demanded of blocks.0.mlp.add, " in str(check.reason)
    assert "csim_trace.npz: no distance is demanded of embed, " in str(check.reason)
    text = PSA + "trace_past_the_end = true\n"
    check = psa_check(tmp_path, published, text + WITHIN)
    assert (check.status, check.reason) == (Status.PASSED, None)
    dump = next(c for c in check.details.of(Comparison) if "dump" in c.title)
    assert [row.bound for row in dump.taps] == [3, 10, 12, 18, 8]
    assert dump.demand == "a greatest distance is demanded"
    check = psa_check(tmp_path, published, text + WITHIN.replace("= 12", "= 11"))
    assert check.status is Status.FAILED
    assert "tap blocks.2.mlp.add is 12 away, expected at most 11" in str(check.reason)
    check = psa_check(tmp_path, published, text + WITHIN.replace("classifier = 8\n", ""))
    assert (check.status, str(check.reason).rpartition(" of ")[2]) == (Status.REPORTED, "classifier")


@pytest.mark.slow
def test_trace_of_random_bytes_fails(published: Path, tmp_path: Path) -> None:
    """A trace whose values are noise does not pass: not against bounds, not past the tables' end, not unbounded."""
    folder = copied(published, tmp_path, "stream_psa_h96")
    with np.load(folder / "csim_trace.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    rng = np.random.default_rng(1)
    noise = {n: a if n == "input" else rng.integers(-128, 128, a.shape).astype(np.int8) for n, a in arrays.items()}
    np.savez(folder / "csim_trace.npz", **noise)
    check = psa_check(tmp_path, folder.parent, PSA + WITHIN)
    assert check.status is Status.REPORTED
    check = psa_check(tmp_path, folder.parent, PSA + "trace_past_the_end = true\n" + WITHIN)
    assert check.status is Status.FAILED
    assert "t[P] the next channel's first point: image 0, tap embed, " in str(check.reason)
    check = psa_check(tmp_path, folder.parent, PSA + "trace_within = { pool = 3 }\n" + WITHIN)
    assert check.status is Status.FAILED
    assert "csim_trace.npz: tap pool is 157 away, expected at most 3" in str(check.reason)
    np.savez(folder / "csim_trace.npz", input=arrays["input"])
    check = psa_check(tmp_path, folder.parent, PSA + WITHIN)
    assert check.status is Status.ERROR
    assert "has no taps beside its array 'input'" in str(check.reason)


def test_published_tap_of_which_nothing_was_compared_fails(published: Path, tmp_path: Path) -> None:
    """A trace of no images is within every distance of everything: the check fails and names each tap."""
    folder = copied(published, tmp_path, "stream_psa_h96")
    with np.load(folder / "csim_trace.npz") as archive:
        arrays = {name: archive[name][:0] for name in archive.files}
    np.savez(folder / "csim_trace.npz", **arrays)
    check = psa_check(tmp_path, folder.parent, PSA + "trace_within = { pool = 255, embed = 255 }\n" + WITHIN)
    assert check.status is Status.FAILED
    assert "csim_trace.npz: tap embed: no value was compared" in str(check.reason)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            PSA.replace('trace = "csim_trace.npz"\n', "trace_past_the_end = true\n"),
            "sets bounds for a trace, but names",
        ),
        (PSA + "within = { embed = 1 }\n", "sets a distance for 'embed', which must be equal"),
        (PSA + "within = { pool = 256 }\n", "within"),
        (PSA + "within = { pool = -1 }\n", "within"),
    ],
)
def test_bound_that_makes_no_sense_is_refused(tmp_path: Path, text: str, message: str) -> None:
    """A distance beyond int8's range, of a tap that must be equal, or of no trace is an error of the plan."""
    with pytest.raises(FileError) as caught:
        load_plan(write_plan(tmp_path, text))
    assert message in str(caught.value)


def test_bound_of_what_is_not_compared_is_an_error(published: Path, tmp_path: Path) -> None:
    """A distance demanded of a tap that nobody published is an error of the check: it would never be looked at."""
    check = psa_check(tmp_path, published, PSA + "within = { pool = 3 }\n")
    assert check.status is Status.ERROR
    assert "has no samples of pool, of which the plan demands a distance" in str(check.reason)
    check = psa_check(tmp_path, published, PSA + "trace_within = { poool = 3 }\n")
    assert "has no poool, of which the plan demands a distance" in str(check.reason)


@pytest.mark.slow
def test_project_plan_demands_something_of_everything_published() -> None:
    """The project's own plan has no check of the published data that could end as reported."""
    plan = load_plan()
    kinds = [check for check in plan.checks if check.kind == "published"]
    assert len(kinds) == 3
    for check in kinds:
        settings = msgspec.structs.asdict(check)
        assert settings["exact"] == "all" or len(settings["exact"]) + len(settings["within"]) == 6
        assert settings["trace"] is None or settings["trace_past_the_end"]


def test_shared_parts_of_the_report_are_one_object() -> None:
    """A section that several kinds have is one section of the page: titles are unique among distinct parts."""
    parts = {part for kind in CHECKS.values() for part in kind.parts if isinstance(part, Picture | Section)}
    titles = [part.title for part in parts]
    assert len(set(titles)) == len(titles)
