"""The accuracy study: its figures, and that it goes on where it stopped."""

import json
import math
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from benchmarks.__main__ import accuracy
from fxsim.benchmark.accuracy import Case, Found, Spread, spread, summarise

TEACHER = """
name = "teacher"
threads = 1
[data]
source = "digits"
size = 8
colours = 1
patch = 4
[network]
channels = 4
hidden = 6
blocks = 1
activation = "relu"
"""
STUDENT = TEACHER.replace('"teacher"', '"student"') + (
    '[teacher]\nrecipe = "teacher.toml"\n'
    "[distill]\nepochs = 1\nbatch = 512\n"
    "[quantize]\nepochs = 1\nbatch = 512\npercentiles = [100]\n"
)


def case(hidden: int, seed: int, correct: int) -> Case:
    """A ReLU student's figures, made up."""
    networks = {name: Found(correct + i, 200) for i, name in enumerate(("float", "fake-quant", "integer"))}
    return Case("key", "relu", hidden, seed, 10 * hidden, networks, 1.0)


def test_spread_is_mean_and_sample_standard_deviation() -> None:
    """The deviation divides by one less than there are; one alone has none."""
    found = spread([Found(n, 100) for n in (90, 92, 97)])
    assert found.mean == pytest.approx(0.93)
    assert found.deviation == pytest.approx(math.sqrt((0.03**2 + 0.01**2 + 0.04**2) / 2))
    assert str(found) == "93.00% \N{PLUS-MINUS SIGN} 3.61"
    assert spread([Found(1, 4)]) == Spread(0.25, None)
    assert str(spread([Found(1, 4)])) == "25.00%"


def test_rows_gather_the_seeds_of_a_size_and_activation() -> None:
    """Every network has its own spread, over the cases of its row alone."""
    rows = summarise([case(8, 1, 100), case(4, 1, 20), case(8, 2, 104)])
    assert [(r.hidden, r.activation, r.seeds, r.parameters) for r in rows] == [(8, "relu", 2, 80), (4, "relu", 1, 40)]
    assert {name: found.mean for name, found in rows[0].networks.items()} == pytest.approx(
        {"float": 0.51, "fake-quant": 0.515, "integer": 0.52}
    )
    assert rows[1].networks["integer"] == Spread(0.11, None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recipes that take a second, for networks that know next to nothing."""
    (tmp_path / "teacher.toml").write_text(TEACHER + "[train]\nepochs = 1\nbatch = 512\n")
    (tmp_path / "student.toml").write_text(STUDENT)
    return tmp_path


def study(folder: Path, *args: str) -> Result:
    """The command in a folder."""
    recipe, runs = str(folder / "student.toml"), str(folder / "runs")
    return CliRunner().invoke(accuracy, ["--recipes", recipe, "--runs", runs, *args])


@pytest.mark.slow
def test_study_goes_on_where_it_stopped(folder: Path) -> None:
    """Cases in the results file are not made again, new ones are added, those of another recipe are made anew."""
    out = folder / "runs" / "accuracy.json"
    first = study(folder, "--hidden", "4", "--seeds", "1", "--json")
    assert first.exit_code == 0, first.output
    content = json.loads(out.read_text())
    (name,) = content["cases"]
    evaluation = json.loads((folder / "runs" / "seed_1" / "relu_h4" / "evaluation.json").read_text())
    for network in ("float", "fake-quant", "integer"):
        assert content["cases"][name]["networks"][network]["correct"] == evaluation["networks"][network]["correct"]
    assert content["cases"][name]["networks"]["teacher"]["total"] == 445
    content["cases"][name]["seconds"] = 12345.0  # what nobody would measure again
    out.write_text(json.dumps(content))

    both = study(folder, "--hidden", "4", "--seeds", "1,2")
    assert both.exit_code == 0, both.output
    assert "445 test pictures of digits (8 x 8, patches of 4), 2 seeds" in " ".join(both.output.split())
    cases = json.loads(out.read_text())["cases"]
    assert len(cases) == 2
    assert cases[name]["seconds"] == 12345.0
    assert (folder / "runs" / "accuracy.svg").read_text().startswith("<?xml")

    (folder / "student.toml").write_text(STUDENT.replace("batch = 512\n[quantize]", "batch = 256\n[quantize]"))
    again = study(folder, "--hidden", "4", "--seeds", "1")
    assert again.exit_code == 0, again.output
    assert json.loads(out.read_text())["cases"][name]["seconds"] != 12345.0
    assert len(json.loads(out.read_text())["cases"]) == 2


@pytest.mark.slow
def test_study_refuses_what_makes_none(folder: Path) -> None:
    """One line for each: no such activation, two recipes of one, no [quantize], a file that is something else."""
    other = folder / "other.json"
    other.write_text('{"format": "something"}')
    recipe, teacher = str(folder / "student.toml"), str(folder / "teacher.toml")
    for args, message in (
        (("--activations", "psa"), "no recipe is of the activation 'psa'; those given are: relu"),
        (("--recipes", f"{recipe},{recipe.replace('student', './student')}"), "expected one of each"),
        (("--recipes", teacher), "has no [quantize] section"),
        (("--recipes", str(folder / "none.toml")), "none.toml"),
        (("--out", str(other)), "is not a results file"),
        (("--plot", str(folder / "plot.gif")), "ends in .svg or .png"),
    ):
        done = study(folder, *args)
        assert done.exit_code == 1
        assert message in done.output
        assert len(done.output.splitlines()) == 1
    assert other.read_text() == '{"format": "something"}'
    assert study(folder, "--hidden", "0").exit_code == 2
    assert study(folder, "--seeds", "").exit_code == 2
