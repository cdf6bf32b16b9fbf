"""Code coverage: what simulators write of it, waivers, figures, and the forms that other tools read."""

import hashlib
import re
import shutil
import tomllib
from pathlib import Path
from xml.dom import minidom

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.waive import command as waive
from fxsim.code_coverage import Judged, Share, judge, load_waivers, skeleton
from fxsim.code_coverage.export import lcov_lines, propose, ucis_text, write_all
from fxsim.code_coverage.judge import NEVER_ELABORATED
from fxsim.code_coverage.pages import annotate, render_page
from fxsim.errors import FileError, FxsimError, ToolError
from fxsim.formats import save
from fxsim.graph import Model
from fxsim.mutation.counted import count_bench
from fxsim.paths import rtl_dir
from fxsim.signoff import CheckRecord, Status, load_plan, run_plan
from fxsim.signoff.checks import CHECKS
from fxsim.signoff.checks.code_coverage import CodeCoverage, CodeCoverageCheck, CoverageRun, _row
from fxsim.signoff.findings import Finding
from fxsim.signoff.kind import Gap
from fxsim.signoff.record import Details
from fxsim.simulate.code_coverage import Coverage, Point, PointKind, read_coverage
from fxsim.simulate.sources import Sources
from tests.test_described import X, design, model

__all__ = ["model"]  # a fixture

VERILOG = b"""module first (input wire clk, input wire a, output reg q);
  always @(posedge clk) begin
    if (a) q <= 1'b1;
    else q <= 1'b0;
  end
endmodule
module second #(parameter DEPTH = 2) (input wire clk, output reg [1:0] r);
  generate
    if (DEPTH == 1) begin : one
      always @(posedge clk) r <= 2'd1;
    end else begin : more
      always @(posedge clk) r <= r + 2'd1;
    end
  endgenerate
endmodule
"""
HEADER = "# SystemC::Coverage-3\n"


def line(count: int, **fields: str | int) -> str:
    """One point as Verilator writes it."""
    return "C '" + "".join(f"\1{key}\2{value}" for key, value in fields.items()) + f"' {count}\n"


def point(count: int, kind: str, at: int, column: int, name: str, page: str = "first", spans: str = "") -> str:
    """A point of the design above."""
    fields: dict[str, str | int] = {"f": "rtl/d.v", "l": at, "n": column, "t": kind, "page": f"v_{kind}/{page}"}
    return line(count, **fields, o=name, **({"S": spans} if spans else {}), h="TOP.first")


POINTS = (
    point(7, "line", 2, 3, "block", spans="2"),
    point(0, "branch", 3, 5, "if", spans="3"),
    point(7, "branch", 3, 6, "else", spans="4"),
    point(0, "expr", 3, 9, "(a==1) => 1"),
    point(3, "toggle", 1, 30, "clk:0->1"),
    point(0, "toggle", 1, 30, "clk:1->0"),
    point(2, "line", 12, 7, "block", page="second__D2", spans="12"),
    point(5, "line", 12, 7, "block", page="second__D3", spans="12"),
)


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    """The design's one file."""
    return Sources(tmp_path / "rtl", {"d.v": VERILOG})


def read(folder: Path, sources: Sources, *texts: str) -> Coverage:
    """The coverage of files of these contents."""
    paths = []
    for number, text in enumerate(texts):
        paths.append(folder / f"{number}.dat")
        paths[-1].write_text(text)
    return read_coverage(paths, sources)


@pytest.fixture
def judged(tmp_path: Path, sources: Sources) -> Judged:
    """Two runs of the design, judged without waivers."""
    text = HEADER + "".join(POINTS)
    return judge(read(tmp_path, sources, text, text), sources)


def test_counts_of_runs_and_parameters_add_up(judged: Judged) -> None:
    """A point is one over all runs, instances and parameters; one that no run came to counts 0."""
    counts = {(p.line, str(p.kind), p.name): n for p, n in judged.coverage.counts.items()}
    assert counts == {
        (1, "toggle", "clk:0->1"): 6,
        (1, "toggle", "clk:1->0"): 0,
        (2, "line", "block"): 14,
        (3, "branch", "if"): 0,
        (3, "branch", "else"): 14,
        (3, "expression", "(a==1) => 1"): 0,
        (10, "line", NEVER_ELABORATED): 0,
        (12, "line", "block"): 2 * (2 + 5),
    }
    assert [(m.module, m.shares) for m in judged.modules] == [
        (
            "first",
            {
                PointKind.LINE: Share(1, 1, 0),
                PointKind.BRANCH: Share(2, 1, 0),
                PointKind.EXPRESSION: Share(1, 0, 0),
                PointKind.TOGGLE: Share(2, 1, 0),
            },
        ),
        ("second", {PointKind.LINE: Share(2, 1, 0)}),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "does not begin with"),
        ("# SystemC::Coverage-4\n", "does not begin with"),
        (HEADER + "X\n", "line 2: is no point"),
        (HEADER + POINTS[0][:-1], "line 2: is no point"),
        (HEADER + "C 'x' -1\n", "line 2: is no point"),
        (HEADER + "C 'x' 1\n", "has what is no point"),
        (HEADER + point(1, "fsm", 2, 3, "x"), "of the kind 'fsm'"),
        (HEADER + point(1, "line", 99, 3, "x"), "line 99 of d.v, which has 16 lines"),
        (HEADER + point(1, "line", 2, 3, "x", spans="2-99"), "line 2 of d.v, which has 16 lines"),
        (HEADER + point(1, "line", 2, 3, "x", spans="2-x"), "has what is no point"),
        (HEADER + POINTS[0].replace("rtl/d.v", "rtl/e.v"), "'rtl/e.v', which is no file of the design"),
        (HEADER + POINTS[0].replace("rtl/d.v", "/etc/d.v"), "which is no file of the design"),
        (HEADER + "C '" + "x" * 70_000 + "' 1\n", "line 2: is no point"),
    ],
)
def test_what_no_simulator_writes_is_refused(text: str, expected: str, tmp_path: Path, sources: Sources) -> None:
    """Another header, half a line, unknown kinds, files and lines that the design does not have."""
    with pytest.raises(ToolError, match=re.escape(expected)):
        read(tmp_path, sources, text)


def waiver(first: int, last: int, kind: str, name: str | None = None, category: str = "constant") -> str:
    """A waiver of lines of the design, its hash computed here."""
    lines = b"".join(part + b"\n" for part in VERILOG.split(b"\n")[first - 1 : last])
    text = f'[[waiver]]\nfile = "d.v"\nlines = "{first}-{last}"\nkind = "{kind}"\ncategory = "{category}"\n'
    text += "" if name is None else f"point = '{name}'\n"
    return text + f'reason = "it never happens"\nsha256 = "{hashlib.sha256(lines).hexdigest()}"\n'


def held(tmp_path: Path, judged: Judged, *texts: str) -> Judged:
    """The coverage judged with these waivers."""
    (tmp_path / "waivers.toml").write_text("".join(texts))
    return judge(judged.coverage, judged.sources, load_waivers(tmp_path / "waivers.toml"))


def test_waivers_excuse_what_was_not_run(tmp_path: Path, judged: Judged) -> None:
    """By line and kind, or by name; what is left is missing, and reaches a goal only as far as it goes."""
    found = held(tmp_path, judged, waiver(3, 3, "branch", "i*"), waiver(1, 4, "toggle"))
    assert found.faults == ()
    assert {point.name: waiver.category for point, waiver in found.waived.items()} == {
        "if": "constant",
        "clk:1->0": "constant",
    }
    assert [(p.line, p.name) for p in found.missing()] == [(3, "(a==1) => 1"), (10, NEVER_ELABORATED)]
    assert found.shares[PointKind.BRANCH] == Share(2, 1, 1)
    assert found.shares[PointKind.BRANCH].reaches(100)
    assert not judged.shares[PointKind.BRANCH].reaches(51)
    assert judged.shares[PointKind.BRANCH].reaches(50)


def test_waivers_at_fault_are_named(tmp_path: Path, judged: Judged) -> None:
    """Stale where the lines changed, unneeded where they were run, unknown where there is no such file or point."""
    stale = waiver(3, 3, "branch").replace('lines = "3-3"', 'lines = "4"')
    cases = {
        stale: ("stale", 4, "these lines changed"),
        waiver(99, 99, "line").replace('"99-99"', '"99"'): ("stale", 99, "are not there"),
        waiver(2, 2, "line"): ("unneeded", 2, "line 2 was run (14 times)"),
        waiver(3, 3, "branch", "else"): ("unneeded", 3, "line 3 was run (14 times)"),
        waiver(2, 12, "line"): ("unneeded", 2, "line 2 was run (14 times)"),
        waiver(3, 3, "toggle"): ("unknown", 3, "there is no such point"),
        waiver(3, 3, "branch", "then"): ("unknown", 3, "there is no such point"),
        waiver(3, 3, "branch").replace("d.v", "e.v"): ("unknown", 3, "the design has no such file"),
    }
    for text, (what, at, words) in cases.items():
        (fault,) = held(tmp_path, judged, text).faults
        assert (fault.what, fault.line) == (what, at), fault
        assert words in fault.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (waiver(3, 3, "branch", category="tired"), "Invalid enum value 'tired'"),
        (waiver(3, 3, "corner"), "Invalid enum value 'corner'"),
        (waiver(3, 3, "branch").replace("it never happens", "no"), "Expected `str` of length >= 12"),
        (waiver(3, 3, "branch").replace("it never happens", " " * 40), "gives none, expected words"),
        (waiver(3, 3, "branch").replace("it never happens", ". " * 40), "gives none, expected words"),
        (waiver(3, 3, "branch").replace("it never happens", "x" * 40), "gives none, expected words"),
        (waiver(3, 3, "branch") + 'colour = "red"\n', "colour"),
        (waiver(3, 3, "branch") * 2, "is there twice"),
        (waiver(3, 3, "branch").replace('"3-3"', '"3-2"'), "ends before it begins"),
        (re.sub('sha256 = "..', 'sha256 = "x', waiver(3, 3, "branch")), "sha256"),
    ],
)
def test_waivers_that_say_too_little_are_refused(text: str, expected: str, tmp_path: Path, judged: Judged) -> None:
    """Unknown categories and kinds, reasons that are none, the same twice."""
    with pytest.raises(FileError, match=re.escape(expected)):
        held(tmp_path, judged, text)


def test_a_module_that_is_waived_whole_is_told(tmp_path: Path, sources: Sources) -> None:
    """A waiver of a whole file is at fault where anything there was run; where nothing was, the module is named."""
    ran = read(tmp_path, sources, HEADER + "".join(POINTS))
    whole = waiver(1, len(VERILOG.split(b"\n")) - 1, "line")
    found = held(tmp_path, judge(ran, sources), whole)
    assert {fault.what for fault in found.faults} == {"unneeded"}
    idle = Coverage({point: count if point.line < 8 else 0 for point, count in ran.counts.items()}, ran.blocks)
    found = held(tmp_path, judge(idle, sources), waiver(10, 12, "line"))
    assert (found.faults, found.missing([PointKind.LINE])) == ((), ())
    check = CodeCoverageCheck(name="c", runs=(CoverageRun(model="m", stimulus="s", images=1),))
    row = _row(check, found, (), None)
    record = CheckRecord("c", "code-coverage", "", Status.PASSED, "", None, 0.0, 1, "", None, Details((), (row,)))
    told = [line for part in CHECKS["code-coverage"].parts if isinstance(part, Gap) for line in part.take(record)]
    assert told == ["stream: modules of which nothing was run, only waived: second"]


def test_skeleton_of_a_waiver_is_one_once_it_has_a_reason(tmp_path: Path, judged: Judged) -> None:
    """What is proposed for what was not run is refused as it is, and taken with category and reason."""
    proposed = propose(judged)
    (tmp_path / "w.toml").write_text(proposed)
    with pytest.raises(FileError):
        load_waivers(tmp_path / "w.toml")
    filled = proposed.replace('category = ""', 'category = "size"').replace(
        'reason = ""', 'reason = "only in large models"'
    )
    found = held(tmp_path, judged, filled)
    assert (found.faults, found.missing()) == ((), ())
    with pytest.raises(FileError, match=r"no file 'e\.v'"):
        skeleton(judged.sources, "e.v", 1, 1, PointKind.LINE, None, "size", "")
    with pytest.raises(FileError, match="no lines 1 to 99"):
        skeleton(judged.sources, "d.v", 1, 99, PointKind.LINE, None, "size", "")


def test_command_prints_a_waiver_with_the_hash_of_its_lines(tmp_path: Path) -> None:
    """`fxsim waive`: TOML that is read as it was asked for; no place and no reason are refused."""
    (tmp_path / "d.v").write_bytes(VERILOG)
    words = ["d.v:3", "--rtl", str(tmp_path), "--kind", "branch", "--point", 'i"f', "--category", "constant"]
    done = CliRunner().invoke(waive, [*words, "--reason", "a is never 1 here"])
    assert done.exit_code == 0, done.output
    (found,) = tomllib.loads(done.stdout)["waiver"]
    assert found == {
        "file": "d.v", "lines": "3", "kind": "branch", "point": 'i"f', "category": "constant",
        "reason": "a is never 1 here", "sha256": hashlib.sha256(VERILOG.split(b"\n")[2] + b"\n").hexdigest(),
    }  # fmt: skip
    for place, reason, said in (
        ("d.v", "a is never 1 here", "no place"), ("d.v:3", "so", "gives none"), ("d.v:3", "- " * 20, "gives none"),
    ):  # fmt: skip
        done = CliRunner().invoke(waive, [place, *words[1:], "--reason", reason])
        assert done.exit_code == 1
        assert said in str(done.exception)


LCOV = re.compile(
    r"TN:\w*\n(?:SF:(?P<file>[^\n]+)\n(?:DA:\d+,\d+\n)*LF:\d+\nLH:\d+\n"
    r"(?:BRDA:\d+,\d+,\d+,(?:-|\d+)\n)*BRF:\d+\nBRH:\d+\nend_of_record\n)*"
)
"""lcov's grammar of a tracefile, as far as it is used here."""


def test_lcov_has_every_line_and_side(judged: Judged) -> None:
    """The `.info` file follows lcov's grammar and has the counts, worked out by hand."""
    text = "\n".join(lcov_lines(judged)) + "\n"
    assert LCOV.fullmatch(text)
    assert text == (
        "TN:fxsim\nSF:rtl/d.v\nDA:2,14\nDA:3,0\nDA:4,14\nDA:12,14\nLF:4\nLH:3\n"
        "BRDA:3,0,0,0\nBRDA:3,0,1,14\nBRF:2\nBRH:1\nend_of_record\n"
    )


def test_ucis_is_read_again_with_every_count(judged: Judged, tmp_path: Path) -> None:
    """The reader of pyucis finds every statement, side and bit; conditions, which it passes over, are in the XML."""
    from ucis.cover_type_t import CoverTypeT
    from ucis.scope_type_t import ScopeTypeT
    from ucis.xml.xml_reader import XmlReader

    path = tmp_path / "u.xml"
    path.write_text(ucis_text(judged))
    found = {}
    for instance in XmlReader().read(str(path)).scopes(ScopeTypeT.INSTANCE):
        for scope in instance.scopes(ScopeTypeT.ALL):
            for item in scope.coverItems(CoverTypeT.STMTBIN | CoverTypeT.BRANCHBIN | CoverTypeT.TOGGLEBIN):
                key = (instance.getScopeName(), scope.getScopeName(), item.getName(), item.getSourceInfo().line)
                found[key] = item.getCoverData().data
    assert found == {
        ("first", "block", "block 2.3", 2): 14,
        ("first", "branch line 3", "if 5", 3): 0,
        ("first", "branch line 3", "else 6", 3): 14,
        ("first", "clk line 1", "0to1", 1): 6,
        ("first", "clk line 1", "1to0", 1): 0,
        ("second", "block", f"{NEVER_ELABORATED} 10.7", 10): 0,
        ("second", "block", "block 12.7", 12): 14,
    }
    document = minidom.parseString(path.read_bytes())  # noqa: S318  # written a moment ago
    bins = [node for expr in document.getElementsByTagName("expr") for node in expr.getElementsByTagName("bin")]
    expressions = {
        node.getAttribute("alias"): node.getElementsByTagName("contents")[0].getAttribute("coverageCount")
        for node in bins
    }
    assert expressions == {"(a==1) => 1 9": "0"}


def test_annotated_verilog_names_what_was_not_run(judged: Judged, tmp_path: Path) -> None:
    """Counts beside lines, what was not run below them, waived told apart; names are escaped in HTML."""
    found = held(tmp_path, judged, waiver(3, 3, "branch", "if"))
    text = annotate(found).splitlines()
    assert "     2           14   always @(posedge clk) begin" in text
    at = text.index("     3            0     if (a) q <= 1'b1;")
    assert text[at + 1].strip() == "~ branch, column 5, waived, constant: it never happens: if"
    assert text[at + 2].strip() == "! expression, column 9, not run: (a==1) => 1"
    evil = {Point("d.v", 3, 9, PointKind.EXPRESSION, "<script>&"): 0}
    page = render_page(judge(Coverage(evil, {}), judged.sources), "a<b>")
    assert "<script>" not in page
    assert "&lt;script&gt;&amp;" in page
    assert "<title>a&lt;b&gt;</title>" in page


def test_everything_is_written_and_an_old_export_does_not_stay(
    judged: Judged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five files; without pyucis four, and not the fifth of an earlier run."""
    folder = tmp_path / "out"
    names = write_all(judged, folder, "design")
    assert sorted(names) == sorted(path.name for path in folder.iterdir())
    assert len(names) == 5

    def missing(_: Judged) -> str:
        raise ToolError("pyucis is missing")

    monkeypatch.setattr("fxsim.code_coverage.export.ucis_text", missing)
    assert set(names) - set(write_all(judged, folder, "design")) == {"code_coverage.ucis.xml"}
    assert not (folder / "code_coverage.ucis.xml").exists()


# --- with Verilator ---

PLAN = """title = "described"
seed = 1
[models]
tiny = { file = "tiny.safetensors" }
[stimuli]
images = { file = "images.npy" }
[[check]]
kind = "code-coverage"
name = "coverage"
dut = "rtl/awkward.toml"
waivers = "waivers.toml"
[[check.runs]]
model = "tiny"
stimulus = "images"
images = 5
"""


@pytest.fixture
def plan(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A plan of one check beside the awkward design, and a waiver of the mode that it is never in."""
    monkeypatch.chdir(tmp_path)
    design(tmp_path / "rtl")
    save(model, tmp_path / "tiny.safetensors")
    np.save(tmp_path / "images.npy", X)
    (tmp_path / "plan.toml").write_text(PLAN)
    asked = ["awkward.sv:38", "--rtl", "rtl", "--kind", "expression", "--category", "constant"]
    done = CliRunner().invoke(waive, [*asked, "--reason", "the description ties mode_i to 1"])
    assert done.exit_code == 0, done.output
    (tmp_path / "waivers.toml").write_text(done.stdout)
    return tmp_path / "plan.toml"


# Its simulator is built with Verilator's library for coverage, which nothing else here needs: 15 s of a core.
@pytest.mark.verilator
@pytest.mark.thorough
def test_design_passes_with_its_waiver_and_fails_where_it_is_stale(plan: Path, tmp_path: Path) -> None:
    """All of somebody's own RTL is run or waived; a changed line, a hole and bits that never turn are found."""

    def checked() -> CheckRecord:
        (found,) = run_plan(load_plan(plan), output=tmp_path).checks
        return found

    passed = checked()
    assert passed.status is Status.PASSED, passed.reason
    (row,) = passed.details.of(CodeCoverage)
    assert {module.file for module in row.modules} == {"awkward.sv", "neuron.sv"}
    assert [(w.file, w.lines, w.points) for w in row.waived] == [("awkward.sv", "38", 1)]
    assert (row.missing_points, passed.details.of(Finding)) == (0, ())
    written = tmp_path / str(row.folder)
    assert LCOV.fullmatch((written / "code_coverage.info").read_text())

    waivers = (tmp_path / "waivers.toml").read_text()
    (tmp_path / "waivers.toml").write_text(waivers.replace("awkward.sv", "neuron.sv"))
    stale = checked()
    assert stale.status is Status.FAILED
    assert "waiver stale: neuron.sv:38, expression: these lines are not there" in str(stale.reason)
    assert "expression: 1 of 12 points not run, first awkward.sv:38: (mode_i==0) => 0" in str(stale.reason)
    assert {(f.rule, f.file, f.line) for f in stale.details.of(Finding)} == {
        ("code-coverage/stale-waiver", "rtl/neuron.sv", 38),
        ("code-coverage/not-run", "rtl/awkward.sv", 38),
    }

    (tmp_path / "waivers.toml").write_text(waivers)
    plan.write_text(PLAN.replace("[[check.runs]]", 'kinds = ["toggle"]\n[[check.runs]]'))
    turning = checked()
    assert turning.status is Status.FAILED
    assert "first awkward.sv:11: mode_i:1->0" in str(turning.reason)


# Built with cocotb's program and Verilator's library for coverage: as long as the one above.
@pytest.mark.verilator
@pytest.mark.thorough
def test_testbench_is_run_with_points_counted_and_must_pass(tmp_path: Path) -> None:
    """What a testbench runs is counted by Verilator; one that finds a fault gives no counts, and is named."""
    coverage, sources, cases = count_bench("saturating_add")
    assert cases == 1
    own = {point: count for point, count in coverage.counts.items() if point.file == "lib/saturating_add.v"}
    assert own
    assert all(own.values())
    assert sources.folder == rtl_dir()
    shutil.copytree(rtl_dir(), tmp_path / "rtl")
    path = tmp_path / "rtl" / "lib" / "saturating_add.v"
    path.write_text(path.read_text().replace(" + ", " - "))
    with pytest.raises(ToolError, match=r"the testbench of 'saturating_add', .* failed"):
        count_bench("saturating_add", tmp_path / "rtl")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("goal = 101", "Expected `int` <= 100"),
        ("kinds = []", "length >= 1"),
        ('kinds = ["line", "line"]', "names a kind of point more than once"),
        ('kinds = ["corner"]', "Invalid enum value 'corner'"),
        ('accelerator = "stream"', "sets dut, which no accelerator has"),
        ('testbenches = ["simd_resmlp"]', "names testbenches, which are of the project's own Verilog"),
    ],
)
def test_plan_that_makes_no_sense_is_refused(line: str, expected: str, tmp_path: Path) -> None:
    """Goals above all, no kinds, one twice, an accelerator that takes no description."""
    (tmp_path / "plan.toml").write_text(PLAN.replace("[[check.runs]]", f"{line}\n[[check.runs]]"))
    with pytest.raises(FxsimError, match=re.escape(expected)):
        load_plan(tmp_path / "plan.toml")
    (tmp_path / "plan.toml").write_text(PLAN.replace('model = "tiny"', 'model = "other"'))
    with pytest.raises(FxsimError, match="names model 'other'"):
        load_plan(tmp_path / "plan.toml")
