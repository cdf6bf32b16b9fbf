"""A first plan for somebody's model and RTL: it is a plan, it runs at once, and it says what it could not propose."""

import dataclasses
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result

from fxsim.cli.signoff import command
from fxsim.errors import FileError, FxsimError
from fxsim.formats import save
from fxsim.graph import Model
from fxsim.paths import golden_dir
from fxsim.signoff import Status, load_plan, read_record
from tests.test_described import X, design, model

__all__ = ["model"]  # a fixture


def cli(*arguments: str | Path) -> Result:
    """`fxsim signoff` with these arguments."""
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.mark.slow
def test_the_plan_of_a_model_runs_at_once(tmp_path: Path) -> None:
    """Both accelerators, every engine, what is proved; and what of it needs no simulator passes."""
    shutil.copy(golden_dir() / "small.safetensors", tmp_path)
    path = tmp_path / "plan.toml"
    result = cli("init", "--model", tmp_path / "small.safetensors", "-o", path)
    assert result.exit_code == 0, (result.output, result.exception)
    plan = load_plan(path)
    kinds = {check.name: (check.kind, check.stage) for check in plan.checks}
    assert kinds == {
        "accumulators": ("accumulators", "V1"),
        "engines": ("engines", "V1"),
        "onnx": ("onnx", "V1"),
        "proof-engine": ("proof", "V2"),
        "rtl-stream": ("cosim", "V1"),
        "rtl-extreme-stream": ("cosim", "V1"),
        "four-state-stream": ("four-state", "V2"),
        "interval-stream": ("interval", "V1"),
        "proof-stream": ("proof", "V2"),
        "rtl-simd": ("cosim", "V1"),
        "rtl-extreme-simd": ("cosim", "V1"),
        "four-state-simd": ("four-state", "V2"),
        "proof-simd": ("proof", "V2"),
    }
    assert plan.without_testpoint == ()
    assert [point.name for point in plan.testpoints if point.planned] == [
        "faults-are-found-stream",
        "faults-are-found-simd",
    ]
    assert plan.models["small"].file == "small.safetensors"
    # The bound of the accelerator and the model: the channels times tokens of its busiest stream.
    assert msgspec.to_builtins({check.name: check for check in plan.checks}["interval-stream"])["bound"] == 16 * 14
    out = tmp_path / "out"
    assert cli(path, "-o", out, "--jobs", "1", "--only", "accumulators", "--only", "engines").exit_code == 0
    assert [check.status for check in read_record(out / "signoff.json").checks] == [Status.PASSED] * 2
    error = cli("init", "--model", tmp_path / "small.safetensors", "-o", path).exception
    assert isinstance(error, FileError)
    assert "is there already" in str(error)
    assert cli("init", "--model", tmp_path / "small.safetensors", "-o", path, "--force").exit_code == 0


def test_the_plan_of_a_described_design(model: Model, tmp_path: Path) -> None:
    """Its checks name the description; patterns are those that it takes; images are the user's."""
    dut = design(tmp_path / "rtl")
    save(model, tmp_path / "tiny.safetensors")
    np.save(tmp_path / "x.npy", X)
    path = tmp_path / "plan.toml"
    result = cli(
        "init", "--model", tmp_path / "tiny.safetensors", "--dut", dut, "--images", tmp_path / "x.npy", "-o", path
    )
    assert result.exit_code == 0, (result.output, result.exception)
    plan = load_plan(path)
    assert plan.without_testpoint == ()
    found = {check.name: msgspec.to_builtins(check) for check in plan.checks}
    assert found["rtl"]["dut"] == found["rtl-extreme"]["dut"] == "rtl/awkward.toml"
    assert found["rtl"]["stimulus"] == "images"
    # One tap is watched inside, the other one is the output.
    assert "at every tap that it shows (2 of 2)" in found["rtl"]["about"]
    assert found["rtl"]["stalls"] == ("none", "random:{seed}", "burst:{seed}", "reset:{seed}")
    assert not any(name.endswith(("-stream", "-simd")) for name in found)
    # What stands in comments of the proof is a plan as it is.
    head, rest = path.read_text().split("# [[testpoint]]\n")
    proof, tail = rest.split("\n\n", 1)
    words = "\n".join(line.removeprefix("#").removeprefix(" ") for line in f"[[testpoint]]\n{proof}".splitlines())
    (tmp_path / "proved.toml").write_text(f"{head}{words}\n\n{tail}")
    more = load_plan(tmp_path / "proved.toml")
    assert {check.kind for check in more.checks if check.name not in found} == {"proof"}
    assert (more.without_testpoint, len(more.testpoints)) == ((), len(plan.testpoints) + 1)
    dut.write_text(dut.read_text().replace('top = "', 'top = "no_'))
    before = path.read_bytes()
    error = cli("init", "--model", tmp_path / "tiny.safetensors", "--dut", dut, "-o", path, "--force").exception
    assert isinstance(error, FxsimError)
    assert path.read_bytes() == before


def test_what_an_accelerator_does_not_take_is_said(model: Model, tmp_path: Path) -> None:
    """A model that none of the project's accelerators computes has no checks of theirs, and the plan says why."""
    save(dataclasses.replace(model, name='a "b"\n[models]'), tmp_path / "tiny.safetensors")
    path = tmp_path / "plan.toml"
    result = cli("init", "--model", tmp_path / "tiny.safetensors", "-o", path)
    assert result.exit_code == 0, (result.output, result.exception)
    plan = load_plan(path)
    assert list(plan.models) == ['a "b"\n[models]']
    assert {check.kind for check in plan.checks} <= {"accumulators", "engines", "onnx", "proof"}
    assert path.read_text().count("# It does not take this model: ") == 3


@pytest.mark.parametrize("wrong", ["no model", "an input as output", "images of another shape"])
def test_nothing_is_written_where_something_is_wrong(tmp_path: Path, wrong: str) -> None:
    """One clear error, and no file, or the one that was there."""
    shutil.copy(golden_dir() / "small.safetensors", tmp_path)
    np.save(tmp_path / "x.npy", np.zeros((2, 3, 3), np.int8))
    small, path = tmp_path / "small.safetensors", tmp_path / "plan.toml"
    arguments = {
        "no model": ("--model", tmp_path / "none.safetensors", "-o", path),
        "an input as output": ("--model", small, "-o", small, "--force"),
        "images of another shape": ("--model", small, "--images", tmp_path / "x.npy", "-o", path),
    }[wrong]
    before = small.read_bytes()
    result = cli("init", *arguments)
    assert isinstance(result.exception, FxsimError)
    assert "\n" not in str(result.exception)
    assert not path.exists()
    assert small.read_bytes() == before
