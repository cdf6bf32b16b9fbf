"""QONNX's own executor as a source: equal to models of its files, and what of it is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

import fxsim
from fxsim.cli.program import cli
from fxsim.errors import FileError, ModelError, ToolError
from fxsim.formats import save
from fxsim.formats.importers import import_model
from fxsim.formats.qonnx import executor
from fxsim.formats.qonnx.executor import open_qonnx

onnx = pytest.importorskip("onnx")
pytest.importorskip("qonnx", reason="the extra 'qonnx' is not installed")

from tests.test_qonnx import cnn, mlp, residual, wide  # noqa: E402

pytestmark = pytest.mark.onnx


def compared(tmp_path: Path, file: Path, x: Any, *more: str, **options: Any) -> Result:
    """`fxsim compare` of a file's model with QONNX's executor on images."""
    save(import_model(file, **options), tmp_path / "model.safetensors")
    np.save(tmp_path / "x.npy", x)
    sources = more or ("--trace", f"qonnx:{file}")
    return CliRunner().invoke(
        cli, ["compare", str(tmp_path / "model.safetensors"), "--input", str(tmp_path / "x.npy"), *sources]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["TFC_1W1A", "TFC_1W2A"])
def test_trained_networks_equal_the_executor(networks: Path, name: str, tmp_path: Path) -> None:
    """Every sum and quantiser of 30 digits, from pixels on, and of five from the first quantiser's levels on."""
    file = networks / "qonnx" / f"{name}.onnx"
    record = np.load(networks / "qonnx" / f"{name}.npz")
    pixels = np.ascontiguousarray(record["input_raw"].transpose(0, 2, 3, 1))
    done = compared(tmp_path, file, pixels, input_number="uint8/255")
    assert done.exit_code == 0, done.output
    assert f"PASSED: {30 * (784 + 6 * 64 + 10):,} values of 8 of 8 taps equal" in done.output
    codes = record["input_codes"][:5].reshape(5, 28, 28, 1).astype(np.int8)
    done = compared(tmp_path, file, codes)
    assert done.exit_code == 0, done.output
    assert f"PASSED: {5 * (6 * 64 + 10):,} values of 7 of 7 taps equal" in done.output
    # The record is of an earlier version of the executor.
    taps, run = open_qonnx(file, import_model(file))
    found = run(codes)
    assert taps == tuple(found)
    for layer in range(3):
        np.testing.assert_array_equal(found[f"quant{layer}"].reshape(5, -1), record[f"out{layer}"][:5])


@pytest.mark.parametrize("make", [mlp, cnn, wide, residual])
def test_random_networks_equal_the_executor(make: Callable[[int], Any], tmp_path: Path) -> None:
    """Every tap of convolutions, means, sums of two scales, thresholds and truncations, for random codes."""
    for seed in range(3):
        onnx.save(make(seed), tmp_path / "m.onnx")
        model = import_model(tmp_path / "m.onnx")
        number = model.graph.input.number
        x = np.random.default_rng(seed).integers(number.low, number.high + 1, (4, *model.graph.input.shape))
        x = x.astype(number.dtype)
        taps, run = open_qonnx(tmp_path / "m.onnx", model)
        assert taps == model.graph.taps
        expected = fxsim.run(model, x, "all", engine="reference")
        for tap, values in run(x).items():
            np.testing.assert_array_equal(values, expected[tap], f"{tap} of seed {seed}")


def test_another_value_is_found(tmp_path: Path) -> None:
    """A trace with one other value differs from the executor, and is named; what is no whole number stays as it is."""
    file = tmp_path / "m.onnx"
    onnx.save(mlp(1), file)
    model = import_model(file)
    x = np.zeros((2, *model.graph.input.shape), model.graph.input.number.dtype)
    trace = fxsim.run(model, x, "all")
    last = model.graph.output
    trace[last][1, 0, 0, 1] += 1
    np.savez(tmp_path / "trace.npz", **trace)
    done = compared(tmp_path, file, x, "--trace", str(tmp_path / "trace.npz"), "--against", f"qonnx:{file}")
    assert done.exit_code == 1
    assert f"image 1, tap {last}, row 0, column 0, channel 1" in done.output
    assert "FAILED: 1 of" in done.output


def test_values_between_whole_numbers_are_kept() -> None:
    """A tensor's integers lie where the model has them; what is further than 1/100 from one is no integer."""
    flow = import_flow()
    values = np.array([[[[1.0, 3.0]], [[2.505, 2.6]]]])
    np.testing.assert_array_equal(executor._integers(flow, values).reshape(1, 2, 2), [[[1, 1], [5, 2.1 / 2]]])


def import_flow() -> Any:
    """A stream of two columns and two channels: the first as it is times 1/2 plus 1/2, the second times 2 plus 1/2."""
    from fractions import Fraction

    from fxsim.contract import Tensor
    from fxsim.formats.qonnx.build import AXES
    from fxsim.formats.qonnx.exact import Affine
    from fxsim.formats.qonnx.values import Flow

    index = np.arange(4).reshape(1, 2, 2).transpose(2, 0, 1)[None]
    half = Fraction(1, 2)
    return Flow("it", Tensor(AXES, (1, 2, 2)), -8, 7, index, (Affine((half, Fraction(2)), (half, half)),))


def test_what_is_not_executed_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another model's file, a domain that names a module, and a missing extra are refused by name."""
    file, other = tmp_path / "m.onnx", tmp_path / "other.onnx"
    proto = mlp(1)
    onnx.save(proto, file)
    onnx.save(mlp(2), other)
    model = import_model(file)
    with pytest.raises(ModelError, match=r"other\.onnx: is imported to another model than 'm'"):
        open_qonnx(other, model)
    for domain, reason in (("antigravity", "expected one of"), ("com.microsoft", "which is not executed")):
        proto.graph.node[0].domain = domain
        proto.opset_import.append(onnx.helper.make_opsetid(domain, 1))
        onnx.save(proto, file)
        with pytest.raises(FileError, match=rf"is of the domain '{domain}', {reason}"):
            open_qonnx(file, model)
    monkeypatch.setattr(executor, "find_spec", lambda _name: None)
    with pytest.raises(ToolError, match="the extra 'qonnx' is not installed"):
        open_qonnx(file, model)


def test_what_the_executor_cannot_do_is_told_in_a_line(tmp_path: Path) -> None:
    """A convolution without the attributes that the executor wants is one error, which names the file."""
    from tests.test_qonnx import last

    onnx.save(last(0), tmp_path / "m.onnx")
    model = import_model(tmp_path / "m.onnx")
    with pytest.raises(ToolError, match=r"m\.onnx: QONNX's executor does not execute it: \w+: ") as caught:
        open_qonnx(tmp_path / "m.onnx", model)
    assert "\n" not in str(caught.value)
