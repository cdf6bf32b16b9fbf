"""fxsim's own streaming accelerator as somebody's own RTL: every tap by hierarchical names with a wildcard."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.described import describe
from fxsim.cosim.four_state import four_state
from fxsim.devices.described.check import check
from fxsim.errors import FxsimError
from fxsim.formats import load
from fxsim.paths import golden_dir

SMALL = load(golden_dir() / "small.safetensors")


def small(folder: Path) -> Path:
    """The description for two blocks and tables of 16 points."""
    folder.mkdir()
    path = describe(folder)
    text = path.read_text()
    path.write_text(text.replace("BLOCKS = 4", "BLOCKS = 2").replace("POINTS = 64", "POINTS = 16"))
    return path


@pytest.mark.icarus
def test_description_shows_every_tap_and_each_is_right(tmp_path: Path) -> None:
    """14 entries for the 25 taps of two blocks, known and equal in four states."""
    path = small(tmp_path / "d")
    found = check(path, SMALL)
    assert (found.problems, found.unprobed) == ((), ())
    assert [note[:41] for note in found.notes] == ["output 'm_axis_tuser' is not looked at: w"]
    assert [line.name for line in found.taps] == list(SMALL.graph.taps)
    assert path.read_text().count("[[tap]]") == 14
    x = np.random.default_rng(1).integers(-128, 128, (1, *SMALL.graph.input_shape)).astype(np.int8)
    result = four_state(SMALL, x, accel="described", settings={"dut": str(path)}, engine="reference", stalls=(0,))
    assert result.passed, result.reason
    assert [(tap.tap, tap.compared) for tap in result.runs[0].taps[:25]] == [
        (tap, int(np.prod(SMALL.graph.shapes[tap]))) for tap in SMALL.graph.taps
    ]


def test_number_of_blocks_that_is_not_the_models_is_refused(tmp_path: Path) -> None:
    """A block that the design lacks is a name that does not exist."""
    path = small(tmp_path / "d")
    path.write_text(path.read_text().replace("BLOCKS = 2", "BLOCKS = 1"))
    problems = check(path, SMALL).problems
    assert any("tap 'blocks.1.token_mixer.add', data: " in problem for problem in problems), problems
    with pytest.raises(FxsimError, match=r"tap 'blocks\.1\."):
        four_state(
            SMALL, np.zeros((1, *SMALL.graph.input_shape), np.int8), accel="described", settings={"dut": str(path)}
        )
