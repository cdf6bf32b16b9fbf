"""Findings at lines of Verilog: of taps that differ, and as SARIF that code review reads."""

import json
import re
from pathlib import Path
from urllib.parse import unquote

import msgspec
import numpy as np
import pytest
import sarif_pydantic
from click.testing import CliRunner

from fxsim.cli.signoff import command
from fxsim.cosim import cosim
from fxsim.formats import load, save
from fxsim.graph import Model
from fxsim.paths import golden_dir, rtl_dir
from fxsim.rtl_lint import tap_place
from fxsim.signoff import CheckRecord, SignoffRecord, Status, load_plan, run_plan
from fxsim.signoff.findings import RULES, Finding
from fxsim.signoff.record import Details
from fxsim.signoff.report.sarif import encode_sarif, render_sarif
from tests.test_described import X, design, model, swap
from tests.test_rtl_lint import CASES, PLAN, edited

__all__ = ["model"]  # a fixture


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SignoffRecord:
    """A record of one check of widths that failed."""
    monkeypatch.chdir(tmp_path)
    save(load(golden_dir() / "small.safetensors"), tmp_path / "small.safetensors")
    edited(tmp_path / "bad rtl", CASES["a constant"][0])
    (tmp_path / "plan.toml").write_text(PLAN + 'rtl = "bad rtl"\n')
    return run_plan(load_plan(tmp_path / "plan.toml"))


def with_check(record: SignoffRecord, **fields: object) -> SignoffRecord:
    """The record with its check changed."""
    return msgspec.structs.replace(record, checks=(msgspec.structs.replace(record.checks[0], **fields),))


def test_findings_stand_at_their_lines(record: SignoffRecord) -> None:
    """The essentials of SARIF 2.1.0: version, tool, rules with help, results by rule, relative URIs, lines from 1."""
    text = encode_sarif(record)
    sarif_pydantic.Sarif.model_validate_json(text)
    log = json.loads(text)
    assert (log["version"], log["$schema"]) == ("2.1.0", "https://json.schemastore.org/sarif-2.1.0.json")
    (run,) = log["runs"]
    driver = run["tool"]["driver"]
    assert driver["name"] == "fxsim"
    (result,) = run["results"]
    rule = driver["rules"][result["ruleIndex"]]
    assert rule["id"] == result["ruleId"] == "contract/width"
    assert rule["help"]["text"]
    assert rule["shortDescription"]["text"].endswith(".")
    assert result["level"] == "error"
    assert "saturating_add.sum has 8 bits" in result["message"]["text"]
    place = result["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "bad%20rtl/lib/saturating_add.v"
    assert Path(unquote(place["artifactLocation"]["uri"])).is_file()
    assert place["region"] == {"startLine": 12}
    assert set(log) == {"$schema", "version", "runs"}


def test_checks_without_findings_are_results_where_they_failed(record: SignoffRecord) -> None:
    """Verilator's errors at their lines; other failures and errors without one; what passed is nothing."""
    said = "Verilator failed: %Error: rtl/lib/add.v:7:12: syntax error, unexpected ';' (the whole log: /tmp/x)"
    cases: list[tuple[dict[str, object], str | None, dict[str, int] | None]] = [
        ({"status": Status.ERROR, "reason": said}, "verilator/error", {"startLine": 7, "startColumn": 12}),
        ({"status": Status.FAILED, "reason": "3 values differ"}, "check/failed", None),
        ({"status": Status.ERROR, "reason": "g++ is missing"}, "check/error", None),
        ({"status": Status.PASSED, "reason": None}, None, None),
        ({"status": Status.SKIPPED, "reason": "no data"}, None, None),
    ]
    for fields, rule, region in cases:
        results = json.loads(encode_sarif(with_check(record, details=Details(), **fields)))["runs"][0]["results"]
        assert [result["ruleId"] for result in results] == ([rule] if rule else [])
        if region is not None:
            place = results[0]["locations"][0]["physicalLocation"]
            assert (place["artifactLocation"], place["region"]) == ({"uri": "lib/add.v", "uriBaseId": "DESIGN"}, region)
        elif rule:
            assert "locations" not in results[0]


def test_every_rule_has_help_and_names_are_escaped(record: SignoffRecord) -> None:
    """A finding of every rule is rendered with a sentence and what to do; URIs hold no character that ends one."""
    findings = [Finding(rule, 'a "quote"\n', "a b#c?.v", 3, 4, "note") for rule in RULES]
    log = json.loads(encode_sarif(with_check(record, details=Details((), findings))))
    rules = log["runs"][0]["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == list(RULES)
    assert all(rule["help"]["text"] and rule["fullDescription"]["text"] for rule in rules)
    result = log["runs"][0]["results"][0]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "a%20b%23c%3F.v"
    assert result["locations"][0]["physicalLocation"]["region"] == {"startLine": 3, "startColumn": 4}
    assert len(render_sarif(record).runs) == 1


@pytest.mark.slow
def test_command_writes_sarif_beside_the_record(record: SignoffRecord, tmp_path: Path) -> None:
    """`fxsim signoff --sarif`: the file of a run that failed; a folder that is not there is refused first."""
    done = CliRunner().invoke(command, ["plan.toml", "-o", "out", "--jobs", "1", "--sarif", "found.sarif"])
    assert done.exit_code == 1
    assert json.loads((tmp_path / "found.sarif").read_text()) == json.loads(encode_sarif(record))
    done = CliRunner().invoke(command, ["plan.toml", "--sarif", "nowhere/found.sarif"])
    assert "there is no folder nowhere" in str(done.exception)


def test_tap_stands_at_its_module_or_entry(model: Model, tmp_path: Path) -> None:
    """A tap of the streaming accelerator at the module that computes it, a described one at its name; else nowhere."""
    small = load(golden_dir() / "small.safetensors")
    for tap, file in (("blocks.1.mlp.psa_2", "stream/activation_table.v"), ("pool", "stream/pool.v")):
        place = tap_place(small, "stream", {}, None, tap)
        assert place is not None
        line = (rtl_dir() / place.file).read_text().split("\n")[place.line - 1]
        assert (place.file, line.split()[:2]) == (file, ["module", Path(file).stem])
    assert tap_place(small, "simd", {}, None, "pool") is None
    dut = design(tmp_path / "rtl")
    place = tap_place(model, "described", {"dut": str(dut)}, None, "fc")
    assert place is not None
    assert dut.read_text().split("\n")[place.line - 1] == 'name = "fc"'
    assert tap_place(model, "described", {"dut": str(dut)}, None, "act") is None


POWER_ON = """title = "power-on"
seed = 1
[models]
tiny = { file = "tiny.safetensors" }
[stimuli]
images = { file = "images.npy" }
[[check]]
kind = "cosim"
name = "rtl"
model = "tiny"
stimulus = "images"
images = 4
dut = "rtl/awkward.toml"
"""


# The co-simulation's own tests show what its seeds find; that a plan names them takes one more build: 10 s of a core.
@pytest.mark.verilator
@pytest.mark.thorough
def test_register_that_nothing_sets_fails_under_a_seed_that_is_named(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`power_on`: values that depend on what a register held pass under some seeds; the reason names one of others."""
    monkeypatch.chdir(tmp_path)
    edits = {
        "awkward.sv": lambda text: swap("logic fire, done;", "logic fire, done, never_set;")(
            swap("q < 0 ? '0 : q;", "(q < 0 ? 8'd0 : q) ^ {7'd0, never_set};")(text)
        )
    }
    dut = design(tmp_path / "rtl", edits)
    save(model, tmp_path / "tiny.safetensors")
    np.save(tmp_path / "images.npy", X)

    def alone(seed: int) -> bool:
        asked = {"dut": str(dut), "engine": "reference", "images": (0, 2), "power_on_seeds": [seed], "optimise": "-O0"}
        return cosim(model, X, accel="described", **asked).passed

    verdicts = {seed: alone(seed) for seed in range(1, 9)}
    good = [seed for seed, passed in verdicts.items() if passed]
    bad = [seed for seed, passed in verdicts.items() if not passed]
    assert good
    assert bad

    def checked(seeds: list[int]) -> CheckRecord:
        (tmp_path / "plan.toml").write_text(POWER_ON + f"power_on = {seeds}\n")
        (found,) = run_plan(load_plan(tmp_path / "plan.toml")).checks
        return found

    assert checked(good).status is Status.PASSED
    failed = checked([*good, *bad])
    assert failed.status is Status.FAILED
    assert f"power-on seed {bad[0]}: " in str(failed.reason)
    finding = failed.details.of(Finding)[0]
    assert finding.rule == "cosim/value-differs"
    assert re.match(r"[\d,]+ of [\d,]+ values differ, first image", finding.message)
