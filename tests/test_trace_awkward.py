"""A real wave: a VCD of the awkward SystemVerilog design from Icarus Verilog, read as a trace and compared."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.compare import command
from fxsim.devices.described.description import read_description
from fxsim.devices.described.packing import make_beats
from fxsim.formats import save
from fxsim.graph import Model
from fxsim.traces.waves import missing
from fxsim.vectors.kit import write_memory_files
from tests.test_described import AWKWARD, Edit, X, design, model, swap

__all__ = ["model"]  # a fixture

pytestmark = [pytest.mark.icarus, pytest.mark.skipif(missing() is not None, reason=missing() or "")]


def compared(folder: Path, model: Model, edits: dict[str, Edit] | None = None, sparse: bool = False) -> dict[str, Any]:
    """The JSON of `fxsim compare` on the wave that Icarus writes of a copy of the design."""
    path = design(folder / "design", edits)
    write_memory_files(model, folder / "run", "described", {"dut": str(path)})
    packing = read_description(path).inputs[0]
    beats = make_beats(packing, model.graph.input, "input")
    words = beats.pack(X).reshape(-1, 2)
    # The first of a pair is the upper one.
    (folder / "run" / "stimulus.hex").write_text("".join(f"{high:02x}{low:02x}\n" for high, low in words.tolist()))
    sources = [str(path.parent / name) for name in ("mlp_pkg.sv", "neuron.sv", "awkward.sv", "testbench.sv")]
    subprocess.run(["iverilog", "-g2012", "-s", "testbench", "-o", "a.vvp", *sources], cwd=folder / "run", check=True)
    subprocess.run(["vvp", "-n", "a.vvp"], cwd=folder / "run", check=True, capture_output=True)
    save(model, folder / "m.safetensors")
    np.save(folder / "x.npy", X)
    text = (AWKWARD / "awkward_trace.toml").read_text()
    (folder / "map.toml").write_text(text[: text.index("[[tap]]")] + text[text.rindex("[[tap]]") :] if sparse else text)
    words_ = [str(folder / "m.safetensors"), "--input", str(folder / "x.npy"), "--map", str(folder / "map.toml")]
    done = CliRunner().invoke(command, [*words_, "--trace", str(folder / "run" / "awkward.vcd"), "--json"])
    assert done.stdout, done.exception
    parsed: dict[str, Any] = json.loads(done.stdout)
    assert done.exit_code == (0 if parsed["passed"] else 1)
    return parsed


PRODUCT: dict[str, Edit] = {"neuron.sv": swap("k < INPUTS", "k < INPUTS - 1")}
RELU: dict[str, Edit] = {"awkward.sv": swap("q < 0 ? '0 : q", "(n == 2 || q > 0) ? q : '0")}


def test_wave_of_the_right_design_equals_the_model(model: Model, tmp_path: Path) -> None:
    """Both taps, every value; of a sparse trace the tap that is there, and the other is named."""
    whole = compared(tmp_path / "a", model)
    assert (whole["passed"], whole["compared"]) == (True, 2 * 12 * 12)
    sparse = compared(tmp_path / "b", model, sparse=True)
    assert (sparse["passed"], sparse["compared"], sparse["not_compared"]) == (True, 12 * 12, ["fc"])


@pytest.mark.parametrize(("edits", "wrong"), [(PRODUCT, {"fc", "act"}), (RELU, {"act"})], ids=["product", "relu"])
def test_fault_is_located_in_the_wave(model: Model, tmp_path: Path, edits: dict[str, Edit], wrong: set[str]) -> None:
    """At the faulty operator's tap, and in its channel; a sparse trace sees it at the tap that it has."""
    whole = compared(tmp_path / "a", model, edits)
    assert {tap["tap"] for tap in whole["taps"] if tap["differ"]} == wrong
    first = next(tap["first"] for tap in whole["taps"] if tap["differ"])
    if edits is RELU:
        assert first["index"]["channel"] == 2
    sparse = compared(tmp_path / "b", model, edits, sparse=True)
    assert not sparse["passed"]
    (act,) = sparse["taps"]
    assert act["first"] == next(tap["first"] for tap in whole["taps"] if tap["tap"] == "act")
