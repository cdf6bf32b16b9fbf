"""Soaking: rounds of seeded checks with the next seed each, and what is left of them."""

import dataclasses
import itertools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner

from fxsim.cli.program import cli
from fxsim.signoff import soak as soak_room
from fxsim.signoff.checks import CHECKS
from fxsim.signoff.context import Context, Outcome

PLAN = """title = "soaked"
seed = 40
[models.made.random]
tokens = 2
values = 2
channels = 2
hidden = 2
blocks = 1
classes = 2
[stimuli]
drawn = { draw = "uniform" }
[[check]]
kind = "random-models"
name = "models"
count = 1
[[check]]
kind = "engines"
name = "engines"
models = ["made"]
stimuli = ["drawn"]
[[check]]
kind = "accumulators"
name = "widths"
models = ["made"]
"""

seeds: list[int] = []


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with a plan whose checks note their seeds; the third round's first check fails."""
    seeds.clear()

    def run(check: Any, _context: Context, seed: int) -> Outcome:
        if check.name == "models":
            seeds.append(seed)
        return Outcome("ran", "it differs" if len(seeds) == 3 and check.name == "models" else None)

    for kind in ("random-models", "engines", "accumulators"):
        monkeypatch.setitem(CHECKS, kind, dataclasses.replace(CHECKS[kind], run=run))
    (tmp_path / "plan.toml").write_text(PLAN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def soak(*arguments: object) -> Any:
    """What `fxsim signoff --soak` ends with, in this process."""
    return CliRunner().invoke(cli, ["signoff", "plan.toml", "--jobs", "1", "--soak", *map(str, arguments)])


def test_rounds_have_the_next_seed_until_the_time_is_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each round has the next seed; the failure of one is named, with its seed and command, and the others go on."""
    # A clock of its own, which each look at moves on by a second: this machine may be slow.
    monkeypatch.setattr(soak_room, "time", SimpleNamespace(monotonic=itertools.count().__next__))
    done = soak(10 / 3600, "-o", "out")
    record = json.loads((folder / "out" / "soak.json").read_text())
    rounds = record["rounds"]
    assert len(rounds) == len(seeds) > 3
    assert [r["seed"] for r in rounds] == list(range(40, 40 + len(rounds)))
    assert len(set(seeds)) == len(seeds)
    assert record["checks"] == ["models", "engines"]
    assert [r["number"] for r in rounds if not r["passed"]] == [2]
    (failure,) = rounds[2]["failures"]
    assert (failure["check"], failure["reason"], failure["seed"]) == ("models", "it differs", seeds[2])
    assert "--seed 42" in failure["replay"]
    assert done.exit_code == 1
    assert not record["passed"]
    assert [path.name for path in (folder / "out" / "rounds").iterdir()] == ["2"]
    assert (folder / "out" / "rounds" / "2" / "signoff.json").is_file()
    assert "round 1, seed 41" in done.output


def test_an_interruption_leaves_a_record(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends a soak with the rounds that were done, and the one that it cut short, in the record."""

    def run(_check: Any, _context: Context, _seed: int) -> Outcome:
        seeds.append(0)
        if len(seeds) == 2:
            raise KeyboardInterrupt
        return Outcome("ran", None)

    monkeypatch.setitem(CHECKS, "random-models", dataclasses.replace(CHECKS["random-models"], run=run))
    assert soak(1, "-o", "out", "--only", "models").exit_code != 0
    record = json.loads((folder / "out" / "soak.json").read_text())
    assert [r["complete"] for r in record["rounds"]] == [True, False]
    assert not record["complete"]
    assert not record["passed"]


@pytest.mark.usefixtures("folder")
def test_what_makes_no_sense_is_refused() -> None:
    """Checks that no seed decides, a folder that has a soak, and options of single runs are refused."""
    assert "depends on a seed" in str(soak(1, "--only", "widths").exception)
    assert soak(1e-9, "-o", "out").exit_code == 0
    assert "has a soak already" in str(soak(1, "-o", "out").exception)
    assert "--soak goes with" in soak(1, "--resume", "-o", "other").output
