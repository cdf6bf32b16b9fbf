"""Sign-off's kind `mutation`: it holds the score to the plan, and waivers to what survived."""

from pathlib import Path

import msgspec
import pytest

import fxsim.mutation.python_run
import fxsim.mutation.run
from fxsim.errors import FxsimError
from fxsim.mutation.python_run import Request
from fxsim.mutation.record import MODULE_TEST, Judged, Record, make_record
from fxsim.signoff import CheckRecord, Status, load_plan, render_report, run_plan
from fxsim.signoff.checks.mutation import MutationScore
from fxsim.signoff.findings import Finding
from fxsim.signoff.record import SignoffRecord
from fxsim.signoff.report import markdown
from fxsim.signoff.report.markdown import render_markdown
from tests.test_signoff import by_name, write_plan

CHECK = '[[check]]\nkind = "mutation"\nname = "mutants"\n'
SURVIVOR, KILLED = "aaaaaaaaaaaa", "bbbbbbbbbbbb"


def judged(name: str, verdict: str) -> Judged:
    """A row, of a place that there is."""
    stage = MODULE_TEST if verdict == "killed" else ""
    return Judged(
        id=name, file="lib/ram.v", module="ram", kind="logical", line=38, column=9, was="write_enable",
        becomes="1'b1 <b>", verdict=verdict, stage=stage, source="if (write_enable)",
    )  # fmt: skip


def run_all(folder: Path, settings: str, monkeypatch: pytest.MonkeyPatch) -> SignoffRecord:
    """The record of a plan of one check: of four mutants, of which two are killed and one survives."""
    rows = [judged(SURVIVOR, "survived"), judged(KILLED, "killed"), judged("c" * 12, "killed")]
    made = make_record("stream, simd", 1, 4, 9, {"tool": "1"}, [*rows, judged("d" * 12, "equivalent")])
    monkeypatch.setattr(fxsim.mutation.run, "mutate", lambda *_, **__: made)
    return run_plan(load_plan(write_plan(folder, CHECK + settings)))


def run_one(folder: Path, settings: str, monkeypatch: pytest.MonkeyPatch) -> tuple[CheckRecord, str]:
    """The record of the check, and the report."""
    record = run_all(folder, settings, monkeypatch)
    return by_name(record)["mutants"], render_report(record)


def waiver(name: str) -> str:
    """A waiver in a plan."""
    return f'[[check.waivers]]\nid = "{name}"\ncategory = "environment"\nreason = "is never read then"\n'


def test_markdown_has_the_sections_of_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Section, heading, lead and tables; of a table of too many rows the first, and how many there are."""
    record = run_all(tmp_path, "at_least = 0.66\n", monkeypatch)
    lines = render_markdown(record).splitlines()
    assert [line for line in lines if line.startswith("#")][3:6] == [
        "## Mutation score", "### mutants", "### mutants: not killed",
    ]  # fmt: skip
    assert "| ram | 4 | 2 | 0 | 0 | 0 | 1 | 1 | 0 | 0 | **66.7%** |" in lines
    assert "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|" in lines
    (alive,) = (line for line in lines if SURVIVOR in line)
    assert "'write\\_enable' became '1'b1 \\<b\\>'" in alive
    monkeypatch.setattr(markdown, "_ROWS_MAX", 1)
    shortened = render_markdown(record).splitlines()
    assert [line for line in shortened if line.startswith("The first")] == ["The first 1 of 2 rows."]
    assert not any(line.startswith("| all |") for line in shortened)


def test_score_is_held_to_the_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two of three pass where as many are asked for, and fail where more are, with the survivor as a finding."""
    good, page = run_one(tmp_path, "at_least = 0.66\n", monkeypatch)
    assert (good.status, good.summary) == (Status.PASSED, "2 of 3 mutants killed (66.7%), 1 equivalent")
    (row,) = good.details.of(MutationScore)
    assert (row.score, row.total.survived, [one.module for one in row.modules]) == (0.6667, 1, ["ram"])
    assert "1&#39;b1 &lt;b&gt;" in page
    assert "1'b1 <b>" not in page
    bad, _ = run_one(tmp_path, "at_least = 0.67\n", monkeypatch)
    assert bad.status is Status.FAILED
    assert bad.reason is not None
    assert bad.reason.startswith("2 of 3 mutants were killed (66.7%), expected at least 67.0%; first of those that")
    (finding,) = bad.details.of(Finding)
    assert (finding.rule, finding.file.endswith("lib/ram.v"), finding.line) == ("mutation/survived", True, 38)


def test_waived_survivor_counts_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its survivor waived the check asks for all others, and there is no finding; the reason is in the report."""
    found, page = run_one(tmp_path, f"at_least = 1.0\n{waiver(SURVIVOR)}", monkeypatch)
    assert (found.status, found.summary) == (Status.PASSED, "2 of 2 mutants killed (100.0%), 1 equivalent")
    assert found.details.of(Finding) == ()
    assert "environment: is never read then" in page


@pytest.mark.parametrize(
    ("name", "reason"), [(KILLED, f"mutant {KILLED} is killed"), ("e" * 12, f"mutant {'e' * 12} was not drawn")]
)
def test_stale_waiver_fails(name: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A waiver of a mutant that is killed, or is none, fails a check whose score is enough."""
    found, _ = run_one(tmp_path, f"at_least = 0.1\n{waiver(name)}", monkeypatch)
    assert found.status is Status.FAILED
    assert found.reason is not None
    assert reason in found.reason


def test_mutants_of_the_engines_are_asked_for_by_a_setting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `python` the mutants are of the modules named, as many as stated, and a survivor is a finding in fxsim."""
    asked: list[Request] = []
    row = msgspec.structs.replace(judged(SURVIVOR, "survived"), file="contract/bounds.py", module="contract.bounds")
    made = make_record("the contract and the engines", 3, 20, 61, {}, [row], {"the same bytecode": 4})

    def mutate(request: Request, **_: object) -> Record:
        asked.append(request)
        return made

    monkeypatch.setattr(fxsim.mutation.python_run, "mutate_python", mutate)
    settings = 'python = true\nmodules = ["contract.bounds"]\ncount = 20\nseed = 3\nat_least = 1.0\n'
    record = run_plan(load_plan(write_plan(tmp_path, CHECK + settings)))
    found = by_name(record)["mutants"]
    assert asked == [Request(modules=("contract.bounds",), count=20, seed=3)]
    assert (found.status, found.reason) == (
        Status.FAILED,
        "0 of 1 mutants were killed (0.0%), expected at least 100.0%; first of those that were not: "
        "contract/bounds.py:38, 'write_enable' became '1'b1 <b>'",
    )
    (finding,) = found.details.of(Finding)
    assert finding.file.endswith("fxsim/contract/bounds.py")


def test_settings_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    """An accelerator that there is not, and a mutant waived twice, are named."""
    with pytest.raises(FxsimError, match="names accelerator 'tpu', expected of: stream, simd"):
        load_plan(write_plan(tmp_path, CHECK + 'at_least = 0.5\naccelerator = "tpu"\n'))
    with pytest.raises(FxsimError, match="names an accelerator, of which nothing is Python"):
        load_plan(write_plan(tmp_path, CHECK + 'at_least = 0.5\npython = true\naccelerator = "simd"\n'))
    with pytest.raises(FxsimError, match=f"waives mutant {KILLED} more than once"):
        load_plan(write_plan(tmp_path, CHECK + "at_least = 0.5\n" + 2 * waiver(KILLED)))
