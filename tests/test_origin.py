"""Inherited or local: a second fault behind a first one is seen and named, and what only passes wrong values on is not.

What a design with faults gives is computed a second time by the oracle, with the same faults.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner

from fxsim.cli.cosim import command
from fxsim.cosim import CosimResult, Origins
from fxsim.cosim.origin import ORIGIN_IMAGES
from fxsim.errors import ToolError
from fxsim.formats import save
from fxsim.graph import Graph
from fxsim.simulate.differences import read_differences
from tests.test_cosim import FAULTS, MODEL, PARAMETERS, X, _changed, compare, edited_rtl, every_tap
from tests.test_described import X as TOKENS
from tests.test_described import design, model, simulate, swap

__all__ = ["model"]  # a fixture

MIXER, PSA_1, POOL = "blocks.0.token_mixer.linear", "blocks.0.mlp.psa_1", "pool"
SHIFT = FAULTS["token mixing shifted by its bias"][1]
TABLE = FAULTS["another layer's table"][1]


def origins(result: CosimResult) -> Origins:
    """What a run that failed says of its differences, every one of them counted once."""
    assert not result.passed
    found = result.verdict.origins
    assert found is not None
    for tap in found.taps:
        assert tap.differ == tap.inherited + tap.local + tap.unknown
    return found


def named(result: CosimResult) -> list[str]:
    """The streams with a fault of their own."""
    return [tap.tap for tap in origins(result).local]


def wrong_table() -> npt.NDArray[Any]:
    """The table that the second fault has in place of `psa_1`'s."""
    return PARAMETERS["blocks.0.mlp.psa_2.table"]


def first_wrong(graph: Graph) -> npt.NDArray[np.int64]:
    """The images that are looked into: the first at which the faulty graph gives something else."""
    right, wrong = every_tap(MODEL.graph), every_tap(graph)
    differs = np.array([any((right[tap][i] != wrong[tap][i]).any() for tap in right) for i in range(len(X))])
    return np.flatnonzero(differs)[:ORIGIN_IMAGES]


@pytest.mark.verilator
@pytest.mark.parametrize("stall", [pytest.param("none", marks=pytest.mark.thorough), "random:3+reset:1:9"])
def test_two_faults_in_different_modules_are_both_named(tmp_path: Path, stall: str) -> None:
    """The counts are the oracle's; what a reset interrupted is judged as it came the last time."""
    one = _changed(**{f"{MIXER}.shift": PARAMETERS[f"{MIXER}.bias"].view(np.uint8)})
    both = _changed(
        **{f"{MIXER}.shift": PARAMETERS[f"{MIXER}.bias"].view(np.uint8)}, **{f"{PSA_1}.table": wrong_table()}
    )
    result = compare(rtl=edited_rtl(tmp_path, *SHIFT, *TABLE), stall=stall)
    assert named(result) == [MIXER, PSA_1]
    images = first_wrong(both)
    found = origins(result)
    assert found.images == tuple(images.tolist())
    right, passed_on, wrong = (every_tap(graph) for graph in (MODEL.graph, one, both))
    for tap in found.taps:
        name = "classifier" if tap.tap == "m_axis" else tap.tap
        at = (right[name] != wrong[name])[images]
        own = {MIXER: at, PSA_1: (passed_on[name] != wrong[name])[images]}.get(name, np.zeros_like(at))
        assert (tap.differ, tap.local) == (int(at.sum()), int((own & at).sum()))
        assert (tap.hidden, tap.unknown) == (int((own & ~at).sum()), 0)
    table = next(tap for tap in found.taps if tap.tap == PSA_1)
    assert table.first is not None
    place = tuple(np.argwhere((passed_on[PSA_1] != wrong[PSA_1])[images])[0])
    assert (table.first.token, table.first.channel) == place[1:]
    assert (table.first.expected, table.first.got) == (passed_on[PSA_1][images][place], wrong[PSA_1][images][place])


@pytest.mark.verilator
@pytest.mark.parametrize(("edits", "root"), [(SHIFT, MIXER), (TABLE, PSA_1)])
def test_one_fault_is_one_local(tmp_path: Path, edits: list[tuple[str, str, str]], root: str) -> None:
    """Everything behind it is inherited, the output too."""
    result = compare(rtl=edited_rtl(tmp_path, *edits))
    assert named(result) == [root]
    behind = [tap for tap in origins(result).taps if tap.tap != root]
    assert behind
    assert all(tap.inherited == tap.differ for tap in behind)


@pytest.mark.verilator
def test_fault_behind_a_tap_that_is_not_compared_names_both_nodes(tmp_path: Path) -> None:
    """With few taps compared it is said between which of them the fault lies."""
    result = compare(rtl=edited_rtl(tmp_path, *SHIFT, *TABLE), taps=["blocks.0.token_mixer.add", "blocks.0.mlp.add"])
    assert named(result) == ["blocks.0.token_mixer.add", "blocks.0.mlp.add"]
    nodes = [tap.nodes for tap in origins(result).local]
    assert MIXER in nodes[0]
    assert PSA_1 not in nodes[0]
    assert PSA_1 in nodes[1]
    assert MIXER not in nodes[1]


@pytest.mark.verilator
def test_fault_between_the_last_tap_and_the_output_is_the_outputs(tmp_path: Path) -> None:
    """The last tap is right."""
    edit = ("frame_tag.v", "assign m_axis_tdata = s_axis_tdata;", "assign m_axis_tdata = s_axis_tdata ^ 8'd1;")
    assert named(compare(rtl=edited_rtl(tmp_path, edit))) == ["m_axis"]


@pytest.mark.verilator
def test_what_was_not_seen_whole_is_unknown(tmp_path: Path) -> None:
    """A design that stops in an image with wrong values: behind what is missing, nobody knows where they come from."""
    stops = (
        "pool.v", "s_axis_tready = !y_valid_reg || m_axis_tready;",
        "s_axis_tready = (!y_valid_reg || m_axis_tready) && several.token_reg != 2;"
    )  # fmt: skip
    result = compare(rtl=edited_rtl(tmp_path, *SHIFT, stops))
    assert result.verdict.stopped is not None
    found = origins(result)
    assert any(tap.unknown for tap in found.taps)
    assert "unknown at" in found.sentence


@pytest.mark.verilator
@pytest.mark.thorough
def test_two_faults_of_the_simd_accelerator_are_both_named(tmp_path: Path) -> None:
    """Tables are one module for both activations; the pool another."""
    edits = (
        ("table_lane.v", "y_reg <= interpolated;", "y_reg <= interpolated ^ 8'd4;"),
        ("pool_lane.v", ".bias(8'd0)", ".bias(8'd1)"),
    )
    both = compare(rtl=edited_rtl(tmp_path, *edits), accel="simd", stall="reset:4:3")
    assert named(both) == [PSA_1, "blocks.0.mlp.psa_2", POOL]
    one = compare(rtl=edited_rtl(tmp_path / "one", edits[1]), accel="simd")
    assert named(one) == [POOL]


PRODUCT = {"neuron.sv": swap("k < INPUTS", "k < INPUTS - 1")}
RELU = {"awkward.sv": swap("q < 0 ? '0 : q", "(n == 2 || q > 0) ? q : '0")}


@pytest.mark.verilator
@pytest.mark.parametrize(
    ("edits", "expected"), [(PRODUCT | RELU, ["fc", "out_vec"]), (PRODUCT, ["fc"]), (RELU, ["out_vec"])]
)
def test_faults_of_a_described_design_are_told_apart(
    model: Any, tmp_path: Path, edits: dict[str, Callable[[str], str]], expected: list[str]
) -> None:
    """The output shows a fault of its own behind the linear's."""
    assert named(simulate(model, design(tmp_path / "d", edits))) == expected


@pytest.mark.verilator
def test_command_names_faults_and_what_is_not_shown(model: Any, tmp_path: Path) -> None:
    """A design that shows no tap: its fault is in one of two nodes."""
    save(model, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", TOKENS)
    words = [str(tmp_path / "m.safetensors"), str(tmp_path / "x.npy"), "--dut"]
    shown = CliRunner().invoke(command, [*words, str(design(tmp_path / "d", PRODUCT | RELU))])
    assert "in the 4 images 0, 1, 2, 3: faults of their own at fc, out_vec" in shown.output
    text = (tmp_path / "d" / "awkward.toml").read_text()
    (tmp_path / "d" / "awkward.toml").write_text(text[: text.index("[[tap]]")] + text[text.index("[[memory]]") :])
    bare = CliRunner().invoke(command, [*words, str(tmp_path / "d" / "awkward.toml")])
    assert "faults of their own at out_vec (or fc, not shown)" in bare.output


def test_images_with_more_differences_than_are_kept_are_not_judged(tmp_path: Path) -> None:
    """Records: stream, image, index, value; -2 voids, -3 cuts."""
    record = np.dtype([("source", "<i4"), ("image", "<u4"), ("index", "<u8"), ("got", "<i8")])
    rows = [(0, 0, 5, 1), (0, 1, 6, 2), (1, 1, 7, 3), (-2, 1, 0, 0), (0, 1, 6, 4), (0, 2, 1, 5), (-3, 2, 0, 0)]
    np.array(rows, record).tofile(tmp_path / "d")
    found = read_differences(tmp_path / "d", 100)
    assert found.images == (0, 1)
    assert found.of(1, 0)["got"].tolist() == [4]
    assert found.of(1, 1).size == 0
    (tmp_path / "d").write_bytes(b"x" * 25)
    with pytest.raises(ToolError, match="25 bytes of differences"):
        read_differences(tmp_path / "d", 100)
    assert Origins(images=(), taps=()).sentence.startswith("which of them are faults of their own is unknown")
