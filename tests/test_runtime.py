"""Files of other tools as their own programs execute them: a source of values, and the sign-off's kind `runtime`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from fxsim.cli.program import cli
from fxsim.errors import FileError, ModelError, ToolError
from fxsim.formats import importers, save
from fxsim.formats.importers import Program, find_program, import_model
from fxsim.formats.onnx import extra
from fxsim.golden import manifest
from fxsim.paths import golden_dir
from fxsim.signoff import CheckRecord, Status, load_plan, run_plan
from fxsim.signoff.checks import runtime
from fxsim.signoff.comparison import Comparison
from fxsim.signoff.listener import Silence

pytestmark = pytest.mark.onnx
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite")

FILES = tuple(golden_dir() / name for name in manifest.IMPORTED)
QDQ, QOPERATOR, LITE = FILES
# Values of an image at the tensors of codes, by their shapes in the files: QDQ has the mean, and it flattened, in codes
# of their own.
VALUES = {
    QDQ: 4 * (64 + 64 + 64 + 16 + 0) + 6 * 6 + 6 + 6 + 5,
    QOPERATOR: 4 * (64 + 64 + 64 + 16) + 6 * 6 + 6 + 5,
    LITE: 8 * (64 + 64 + 64 + 16) + 6 * 6 + 6 + 5,
}


def compared(tmp_path: Path, file: Path, original: Path, *more: str) -> Result:
    """`fxsim compare` of a file's model with what the program of another gives, on three random images."""
    model = import_model(file)
    save(model, tmp_path / "m.safetensors")
    number = model.graph.input.number
    x = np.random.default_rng(3).integers(number.low, number.high + 1, (3, *model.graph.input.shape))
    np.save(tmp_path / "x.npy", x.astype(number.dtype))
    sources = ("--trace", f"runtime:{original}", "--against", "reference", *more)
    return CliRunner().invoke(
        cli, ["compare", str(tmp_path / "m.safetensors"), "--input", str(tmp_path / "x.npy"), *sources]
    )


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.name))
def test_every_code_of_a_file_is_the_programs(file: Path, tmp_path: Path) -> None:
    """As many values as the file's tensors of codes have, all equal; sums, which it has not, are named."""
    done = compared(tmp_path, file, file)
    assert done.exit_code == 0, done.output
    assert f"PASSED: {3 * VALUES[file]:,} values of" in done.output
    assert "not compared: " in done.output
    assert "conv0" in done.output
    done = compared(tmp_path, file, file, "--taps", "conv0")
    assert done.exit_code == 1
    assert "has no tap 'conv0'; it has: requant0, " in str(done.exception)


def test_another_file_is_refused(tmp_path: Path) -> None:
    """A file that gives another model, one that no program executes, one that the program refuses."""
    proto = onnx.load(QOPERATOR)
    (weight,) = [tensor for tensor in proto.graph.initializer if tensor.name == "w0_quantized"]
    array = onnx.numpy_helper.to_array(weight).copy()
    array[0, 0, 0, 0] ^= 1
    weight.CopyFrom(onnx.numpy_helper.from_array(array, weight.name))
    onnx.save(proto, tmp_path / "other.onnx")
    done = compared(tmp_path, QOPERATOR, tmp_path / "other.onnx")
    assert done.exit_code == 1
    assert "other.onnx: is imported to another model than 'qoperator'" in str(done.exception)
    for file in (QOPERATOR, LITE):
        model = import_model(LITE if file == QOPERATOR else QOPERATOR)
        with pytest.raises(ModelError, match="is imported to another model than"):
            find_program(file).open(file, model)
    with pytest.raises(FileError, match=r"no program is known that executes it, expected a file \.onnx or \.tflite"):
        find_program(golden_dir())
    with pytest.raises(FileError, match="there is no such file"):
        find_program(tmp_path / "none.onnx").open(tmp_path / "none.onnx", import_model(QDQ))
    # The standard has no such operator.
    for node in proto.graph.node:
        if node.op_type == "QLinearAdd":
            node.domain = ""
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ToolError, match=r"m\.onnx: ONNX Runtime does not execute it: "):
        find_program(tmp_path / "m.onnx").open(tmp_path / "m.onnx", import_model(tmp_path / "m.onnx"))


def test_floats_are_fed_as_the_codes_that_they_become(tmp_path: Path) -> None:
    """Of a TensorFlow Lite file whose input is floats the first QUANTIZE gives the codes that the model is fed."""
    from tests.tflite_models import Lite

    lite = Lite()
    source, first = lite.tensor((1, 4, 4, 2), 1.0, 0, "FLOAT32"), lite.tensor((1, 4, 4, 2), 0.02, -3)
    lite.tensors[source].quantization = None
    lite.apply("QUANTIZE", [source], first, "QuantizeOptions", 1)
    file = lite.save(tmp_path / "m.tflite", [source], [lite.dense(lite.conv(first, 4, y=(0.04, 5)), 3)])
    done = compared(tmp_path, file, file)
    assert done.exit_code == 0, done.output
    assert f"PASSED: {3 * (4 * 16 + 3):,} values of 2 of" in done.output


# --- The sign-off's kind ---------------------------------------------------------------------------------------------


def signed_off(tmp_path: Path, more: str, models: str = "") -> CheckRecord:
    """The record of the only check of a plan."""
    path = tmp_path / "plan.toml"
    check = f'[[check]]\nkind = "runtime"\nname = "it"\nstimuli = ["uniform", "extreme"]\n{more}\n'
    draws = '[stimuli]\nuniform = { draw = "uniform", images = 3 }\nextreme = { draw = "extreme", images = 2 }\n'
    path.write_text(f'title = "runtime"\nseed = 1\n{models}{draws}{check}')
    (found,) = run_plan(load_plan(path), listener=Silence()).checks
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.name))
def test_a_check_counts_what_it_compared(file: Path, tmp_path: Path) -> None:
    """Every code of each stimulus, with each engine; a model of the plan's must be the file's."""
    found = signed_off(tmp_path, f'original = "{file}"\nengines = ["reference"]')
    assert found.status is Status.PASSED, found.reason
    figures = {figure.label: figure.value for figure in found.details.figures}
    assert figures["values compared"] == 5 * VALUES[file]
    assert figures["values that differ"] == 0
    assert len(found.details.of(Comparison)) == 2
    assert {f"original {file}", f"model {file.stem}"} <= found_hashes(tmp_path)


def found_hashes(tmp_path: Path) -> set[str]:
    """What the last plan's record has hashes of."""
    return set(run_plan(load_plan(tmp_path / "plan.toml"), listener=Silence()).hashes)


def test_a_model_must_be_the_files(tmp_path: Path) -> None:
    """One of the plan's that is passes, another is an error; both a model and kernels are refused."""
    save(import_model(QDQ), tmp_path / "qdq.safetensors")
    save(import_model(LITE, kernels="optimised"), tmp_path / "lite.safetensors")
    models = '[models]\nqdq = { file = "qdq.safetensors" }\nlite = { file = "lite.safetensors" }\n'
    settings = f'images = 1\nengines = ["reference"]\noriginal = "{QDQ}"\n'
    found = signed_off(tmp_path, f'{settings}model = "qdq"', models)
    assert found.status is Status.PASSED, found.reason
    found = signed_off(tmp_path, f'{settings}model = "lite"', models)
    assert found.status is Status.ERROR
    assert "is imported to another model than" in str(found.reason)
    found = signed_off(tmp_path, f'{settings}model = "lite"'.replace(str(QDQ), str(LITE)), models)
    assert found.status is Status.PASSED, found.reason
    with pytest.raises(FileError, match="names a model and kernels, expected one of them"):
        signed_off(tmp_path, f'{settings}model = "lite"\nkernels = "reference"', models)
    found = signed_off(tmp_path, settings.replace("qdq.onnx", "none.onnx"))
    assert found.status is Status.ERROR
    assert "there is no such file" in str(found.reason)


def test_one_other_value_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program whose one value differs is found at its tap; one that gives nothing is no pass."""
    real = find_program(LITE)

    def changed(alter: Callable[[Any], Any], taps: int | None = None) -> Program:
        def opened(path: Path, model: Any) -> Any:
            names, execute = real.open(path, model)
            return names[:taps], lambda x: alter(execute(x))

        return Program("another", lambda: None, opened)

    def moved(found: dict[str, Any]) -> dict[str, Any]:
        found["requant1"][0, 2, 3, 1] += 1
        return found

    settings = f'original = "{LITE}"\nengines = ["reference"]'
    monkeypatch.setattr(runtime, "find_program", lambda _: changed(moved))
    found = signed_off(tmp_path, settings)
    assert found.status is Status.FAILED
    assert "image 0, tap requant1, row 2, column 3, channel 1" in str(found.reason)
    monkeypatch.setattr(runtime, "find_program", lambda _: changed(lambda found: found, taps=0))
    found = signed_off(tmp_path, settings)
    assert found.status is Status.FAILED, found.summary
    assert {figure.label: figure.value for figure in found.details.figures}["values compared"] == 0


@pytest.mark.parametrize(("file", "module"), [(QDQ, "onnxruntime"), (LITE, "ai_edge_litert")], ids=["onnx", "tflite"])
def test_without_its_program_a_check_is_skipped(
    file: Path, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In sight, with the extra that brings it."""
    from fxsim.formats.tflite import read

    for place in (extra, read):
        monkeypatch.setattr(place, "find_spec", lambda name: None if name == module else object())
    found = signed_off(tmp_path, f'original = "{file}"\nengines = ["reference"]')
    assert found.status is Status.SKIPPED
    assert f"is not installed: there is no {module} here" in str(found.reason)


def test_the_projects_plan_executes_every_format() -> None:
    """Each file of golden/imported is a check's of stage V1, and every importer with a program has one."""
    checks = [check for check in load_plan().checks if isinstance(check, runtime.RuntimeCheck)]
    assert {golden_dir() / check.original for check in checks} == set(FILES)
    assert {check.stage for check in checks} == {"V1"}
    programs = {name for name in importers.IMPORTERS.own if importers.IMPORTERS[name].program is not None}
    assert programs == {importers.find_importer(file) for file in FILES}
