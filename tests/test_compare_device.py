"""`fxsim compare` with a device as a source: every value of its RTL against anything else."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.compare import command
from fxsim.compare import compare, model_taps
from fxsim.cosim.source import device_source
from fxsim.engines import run
from fxsim.errors import ComparisonError
from fxsim.formats import save
from fxsim.graph import Model
from tests.test_cosim import MODEL
from tests.test_cosim import X as IMAGES
from tests.test_described import X, design, model, swap

__all__ = ["model"]  # a fixture

pytestmark = pytest.mark.verilator


def compared(folder: Path, model: Model, x: Any, *words: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON of the command."""
    save(model, folder / "m.safetensors")
    np.save(folder / "x.npy", x)
    files = [str(folder / "m.safetensors"), "--input", str(folder / "x.npy")]
    done = CliRunner().invoke(command, [*files, *words, "--json"])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.exit_code, json.loads(done.stdout)


def test_right_device_equals_an_engine_and_a_trace_that_is_wrong_is_found(tmp_path: Path) -> None:
    """All taps of the streaming accelerator; then a file in which one value is another."""
    status, result = compared(tmp_path, MODEL, IMAGES[:5], "--trace", "device:stream", "--against", "reference")
    assert (status, result["passed"], len(result["taps"])) == (0, True, 14)
    assert result["compared"] == result["values"] > 0
    taps = run(MODEL, IMAGES[:5], "all", "reference")
    taps["pool"] = taps["pool"].copy()
    taps["pool"][3, 2] ^= 1
    np.savez(tmp_path / "t.npz", **taps)
    status, result = compared(
        tmp_path, MODEL, IMAGES[:5], "--trace", str(tmp_path / "t.npz"), "--against", "device:stream"
    )
    assert status == 1
    (wrong,) = [tap for tap in result["taps"] if tap["differ"]]
    assert (wrong["tap"], wrong["differ"], wrong["largest"]) == ("pool", 1, 1)
    assert (wrong["first"]["image"], wrong["first"]["channel"]) == (3, 2)


@pytest.mark.parametrize("shown", [True, False])
def test_values_of_a_wrong_described_design_are_those_it_gave(model: Model, tmp_path: Path, shown: bool) -> None:
    """Every difference is at its place, worked out from the fault: the last weight's product is lost."""
    path = design(tmp_path / "d", {"neuron.sv": swap("k < INPUTS", "k < INPUTS - 1")})
    if not shown:
        text = path.read_text()
        path.write_text(text[: text.index("[[tap]]")] + text[text.index("[[memory]]") :])
    source = device_source(model, X, str(path))
    assert source.taps == (("fc", "act") if shown else ("act",))
    status, result = compared(tmp_path, model, X, "--trace", f"device:{path}")
    assert status == 1
    node = model.graph.by_name["fc"].op
    sums = X[..., :5].astype(int) @ node.weight[:, :5].astype(int).T  # type: ignore[attr-defined]
    shift = node.shift.astype(int)  # type: ignore[attr-defined]
    rounded = (sums >> shift) + np.where(shift > 0, sums >> np.maximum(shift - 1, 0) & 1, 0)
    wrong = np.clip(rounded + node.bias, -128, 127)  # type: ignore[attr-defined]
    found = source.values(slice(2, 9), source.taps)
    assert (found["act"] == np.maximum(wrong, 0)[2:9]).all()
    right = run(model, X, "all", "reference")
    assert {tap["tap"]: tap["differ"] for tap in result["taps"]} == {
        tap: int((right[tap] != (wrong if tap == "fc" else np.maximum(wrong, 0))).sum()) for tap in source.taps
    }


def test_output_that_is_not_the_tap_of_its_name_has_no_values(model: Model, tmp_path: Path) -> None:
    """One of them is wrong, and which would be compared is nobody's choice."""
    tap = '[[tap]]\nname = "act"\ndata = "out_vec ^ 32\'h1"\nvalid = "out_vld"\nlanes = 4\n'
    tap += 'order = ["-token", "channel"]\n\n'
    path = design(tmp_path / "d", {"awkward.toml": swap("[[memory]]", tap + "[[memory]]")})
    source = device_source(model, X, str(path))
    assert source.taps == ("fc", "act")
    with pytest.raises(ComparisonError, match="the output of the RTL is not what it shows at tap 'act'"):
        source.values(slice(0, 2), source.taps)


def test_device_is_not_compared_with_itself() -> None:
    """Whatever it gives, it gives twice."""
    one, other = (device_source(MODEL, IMAGES[:2], "stream") for _ in range(2))
    with pytest.raises(ComparisonError, match="cannot be compared with itself"):
        compare(one, other, model_taps(MODEL))


def test_device_that_stops_or_breaks_a_rule_has_no_values(model: Model, tmp_path: Path) -> None:
    """What it gave until then is not compared."""
    path = design(tmp_path / "d", {"awkward.toml": swap("mode_i = 1", "mode_i = 0")})
    with pytest.raises(ComparisonError, match=re.escape("gives no values to compare: it stopped")):
        device_source(model, X, str(path)).values(slice(0, 2), ("act",))
