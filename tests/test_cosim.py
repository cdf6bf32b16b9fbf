"""Co-simulation: right designs pass under every stall pattern, wrong ones are found and named where they are wrong.

What a wrong design computes is computed here a second time, by `oracle` with the same fault, never by the code under
test. Designs are small and built without optimisation: half the build, and they run for milliseconds.
"""

import json
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from filelock import FileLock

from fxsim.contract import TableRule
from fxsim.cosim import CosimResult, StreamState, cosim, diagnose, parse_stall, process
from fxsim.cosim.stall import PATTERNS, Burst, Random, Stall
from fxsim.cosim.streams import Layout
from fxsim.errors import FileError, FxsimError, ModelError, StimulusError, ToolError
from fxsim.files import save
from fxsim.model import Affine, Graph, Linear, Lut, Model, Node, ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.paths import rtl_dir
from fxsim.rtl import build_stream, cache, rtl_parameters, tools
from fxsim.rtl import build as rtl_build
from tests import oracle
from tests.conftest import SEED

FAST_BUILD = "-O0"
Int8 = npt.NDArray[np.int8]
Parameters = dict[str, npt.NDArray[Any]]

CONFIG = ResMLPConfig(
    tokens=4, values=4, channels=6, hidden=6, blocks=1, classes=3, points=8, rule=TableRule.CLAMP
)
IMAGES = 12


def random_parameters(config: ResMLPConfig, seed: int) -> Parameters:
    """Weights over the whole range, shifts that leave results spread over int8 with some saturation."""
    rng = np.random.default_rng(seed)
    parameters: Parameters = {}
    for name, shape in resmlp_parameters(config).items():
        if name.endswith("shift"):
            parameters[name] = rng.integers(5, 9, shape).astype(np.uint8)
        else:
            parameters[name] = rng.integers(-128, 128, shape).astype(np.int8)
    return parameters


PARAMETERS = random_parameters(CONFIG, SEED)
MODEL = Model(build_resmlp(CONFIG, PARAMETERS), "small")
X: Int8 = np.random.default_rng(SEED).integers(-128, 128, (IMAGES, 4, 4)).astype(np.int8)


def compare(model: Model = MODEL, x: Int8 = X, **options: Any) -> CosimResult:
    """`cosim` with a build that is quick to make."""
    return cosim(model, x, optimise=FAST_BUILD, **options)


def edited_rtl(folder: Path, *edits: tuple[str, str, str]) -> Path:
    """A copy of the RTL with texts replaced: (file, old, new); each old text must stand there exactly once."""
    copy = folder / "rtl"
    shutil.copytree(rtl_dir(), copy, dirs_exist_ok=True)
    for file, old, new in edits:
        text = (copy / file).read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file} has {text.count(old)} times {old!r}: adapt this test to the RTL"
        (copy / file).write_text(text.replace(old, new), encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def right() -> dict[str, npt.NDArray[np.int64]]:
    """Every tap of every image, computed by the oracle: [image, token, channel] or [image, channel]."""
    return every_tap(MODEL.graph)


def every_tap(graph: Graph) -> dict[str, npt.NDArray[np.int64]]:
    images = [oracle.compute(graph, image) for image in X]
    return {tap: np.stack([taps[tap] for taps in images]) for tap in graph.taps}


# --- designs that are right ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "stall",
    [
        "none", "random:1", "random:2:0.9", "input:3", "input:4:0.95", "output:5", "output:6:0.95", "burst:7", "gap:1",
        "gap:333", "reset:8:25", "random:9+reset:10:25", "burst:11+gap:5+reset:12:25", "input:13:0.2+output:14:0.7",
    ],
)  # fmt: skip
def test_right_design_passes_under_any_stall(stall: str) -> None:
    """Whatever either side does, and wherever it is reset, every value of every tap is compared and equal."""
    result = compare(stall=stall)
    assert result.passed
    assert (result.images, result.first_mismatch, result.faults, result.stopped) == (IMAGES, None, (), None)
    sizes = {tap: int(np.prod(shape)) for tap, shape in MODEL.graph.shapes.items() if tap != "input"}
    assert list(result.taps) == list(MODEL.graph.taps)
    for tap, found in result.taps.items():
        # A reset makes values come again.
        assert found.compared >= IMAGES * sizes[tap] if "reset" in stall else found.compared == IMAGES * sizes[tap]
        assert found.mismatches == 0
    assert result.resets == (25 if "reset" in stall else 0)
    if "reset" in stall:
        assert result.taps["embed"].compared > IMAGES * sizes["embed"]


def test_same_seed_same_cycles() -> None:
    """A stall pattern with a seed is the same run again; another seed is another."""
    first, again, other = (compare(stall=stall) for stall in ("random:1", "random:1", "random:2"))
    assert first.cycles == again.cycles
    assert first.taps == again.taps
    assert first.cycles != other.cycles


def test_intervals_and_latency_are_measured() -> None:
    """Images follow each other at the design's bound; a gap longer than that spaces them by image and gap."""
    free = compare()
    # 4 tokens of 6 channels, one value a cycle.
    assert free.interval_bound_cycles == 24
    assert free.interval is not None
    assert free.interval_cycles == free.interval.min == free.interval.max == 24
    gap = compare(stall="gap:1000")
    assert gap.interval is not None
    assert gap.input_interval is not None
    assert gap.latency is not None
    # 16 values enter, of which the embedding makes 24.
    assert 1000 + 16 <= gap.interval.min == gap.interval.max == gap.input_interval.max <= 1000 + 24
    # Alone in the pipeline each image takes as long as the first.
    assert gap.latency.min == gap.latency.max == gap.latency_cycles == free.latency_cycles
    # The last of three scores comes two cycles after the first.
    assert free.first_output_cycles == (free.latency_cycles or 0) - 2
    assert compare(images=(0, 2)).interval_cycles is None


def test_only_selected_taps_are_compared() -> None:
    """Taps that were not asked for do not appear, and the output is compared even with none."""
    result = compare(taps=("pool", "embed"))
    assert result.passed
    assert list(result.taps) == ["embed", "pool"]
    none = compare(taps=())
    assert none.passed
    assert none.taps == {}
    assert none.output.compared == IMAGES * 3


def test_many_images_of_a_second_build() -> None:
    """A ReLU design of other dimensions passes on more images than are computed at once, from a part of the input."""
    config = ResMLPConfig(tokens=2, values=3, channels=5, hidden=4, blocks=2, classes=7)
    model = Model(build_resmlp(config, random_parameters(config, 1)), "relu")
    x = np.random.default_rng(2).integers(-128, 128, (1000, 2, 3)).astype(np.int8)
    reports: list[tuple[int, int]] = []
    result = compare(model, x, images=(7, 990), stall="random:3:0.2", progress=lambda *report: reports.append(report))
    assert result.passed
    assert (result.images, result.image_start, result.image_stop) == (983, 7, 990)
    assert result.output.compared == 983 * 7
    assert all(total == 983 for _, total in reports)


# --- designs that are wrong ------------------------------------------------------------------------------------------


def _changed(**changes: npt.NDArray[Any]) -> Graph:
    """The model's graph with some parameters replaced; dots in names written as double underscores."""
    return build_resmlp(CONFIG, PARAMETERS | {name.replace("__", "."): value for name, value in changes.items()})


def _no_rounding(monkeypatch: pytest.MonkeyPatch) -> Graph:
    monkeypatch.setattr(oracle, "requantise", lambda acc, shift, bias: oracle.saturate((acc >> shift) + bias))
    return MODEL.graph


def _saturates_at_126(monkeypatch: pytest.MonkeyPatch) -> Graph:
    def requantise(acc: int, shift: int, bias: int) -> int:
        value = oracle.round_half_up(acc, shift) + bias
        return 126 if value > 127 else max(value, -128)

    monkeypatch.setattr(oracle, "requantise", requantise)
    return MODEL.graph


def _swapped_lanes(_: pytest.MonkeyPatch) -> Graph:
    linears = [name for name, value in PARAMETERS.items() if value.ndim == 2 and name.endswith("weight")]
    swapped = {name: PARAMETERS[name].reshape(len(PARAMETERS[name]), -1, 2)[:, :, ::-1] for name in linears}
    return _changed(**{name: value.reshape(PARAMETERS[name].shape) for name, value in swapped.items()})


def _no_affine_bias(_: pytest.MonkeyPatch) -> Graph:
    affines = [node.name for node in MODEL.graph.nodes if isinstance(node.op, Affine)]
    return _changed(**{f"{name}.bias": np.zeros_like(PARAMETERS[f"{name}.bias"]) for name in affines})


def _bias_for_shift(_: pytest.MonkeyPatch) -> Graph:
    linear = "blocks.0.token_mixer.linear"
    return _changed(**{f"{linear}.shift": PARAMETERS[f"{linear}.bias"].view(np.uint8)})


def _wrong_table(_: pytest.MonkeyPatch) -> Graph:
    return _changed(**{"blocks.0.mlp.psa_1.table": PARAMETERS["blocks.0.mlp.psa_2.table"]})


def _holds(_: pytest.MonkeyPatch) -> Graph:
    nodes = (
        Node(node.name, Lut(node.op.table, TableRule.HOLD) if isinstance(node.op, Lut) else node.op, node.inputs)
        for node in MODEL.graph.nodes
    )
    return Graph(MODEL.graph.input_shape, tuple(nodes))


FAULTS: dict[str, tuple[str, list[tuple[str, str, str]], Callable[[pytest.MonkeyPatch], Graph]]] = {
    "rounding bit dropped": ("embed", [("requantise.v", "wide[0]}", "1'b0}")], _no_rounding),
    "saturates at 126": (
        "embed", [("requantise.v", "{negative, {7{!negative}}}", "{negative, {6{!negative}}, 1'b0}")], _saturates_at_126
    ),
    "neighbouring lanes swapped": ("embed", [("dot_product.v", "w[8*k+:8]", "w[8*(k^1)+:8]")], _swapped_lanes),
    "affine without its bias": (
        "blocks.0.token_mixer.res_affine", [("affine.v", ".bias(product_bias_reg)", ".bias(8'd0)")], _no_affine_bias
    ),
    "token mixing shifted by its bias": (
        "blocks.0.token_mixer.linear",
        [("token_mixer.v", "_token_mixer_linear_s.hex", "_token_mixer_linear_b.hex")],
        _bias_for_shift,
    ),
    "another layer's table": (
        "blocks.0.mlp.psa_1", [("mlp.v", "_mlp_psa_1_t.hex", "_mlp_psa_2_t.hex")], _wrong_table
    ),
    "wrong edge rule": (
        "blocks.0.mlp.psa_1",
        [
            ("activation_table.v", "TABLE_RULE == CLAMP && in_last_segment", "1'b0"),
            ("activation_table.v", "TABLE_RULE == HOLD && in_last_segment", "in_last_segment"),
        ],
        _holds,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", FAULTS)
def test_wrong_arithmetic_is_found_at_the_right_place(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, right: dict[str, npt.NDArray[np.int64]]
) -> None:
    """A fault is named at its own tap, token and channel with both values; every later tap counts what it passes on."""
    root, edits, fault = FAULTS[name]
    wrong = every_tap(fault(monkeypatch))
    differs = {tap: wrong[tap] != right[tap] for tap in MODEL.graph.taps}
    result = compare(rtl=edited_rtl(tmp_path, *edits))
    assert not result.passed
    assert {tap: found.mismatches for tap, found in result.taps.items()} == {
        tap: int(places.sum()) for tap, places in differs.items()
    }
    first = result.first_mismatch
    assert first is not None
    assert first.tap == root

    # By hand: of the first image with a difference at that tap, the first in the order of the tap's stream.
    image = int(differs[root].any(axis=(1, 2)).argmax())
    assert image == min(int(np.argwhere(places)[0, 0]) for places in differs.values() if places.any())
    places = [(int(token), int(channel)) for token, channel in np.argwhere(differs[root][image])]
    token, channel = min(places, key=lambda place: place[::-1] if root.endswith("token_mixer.linear") else place)
    assert (first.image, first.token, first.channel) == (image, token, channel)
    assert (first.expected, first.got) == (right[root][image, token, channel], wrong[root][image, token, channel])
    for example in result.taps[root].examples:
        assert example.token is not None
        at = (example.image, example.token, example.channel)
        assert (example.expected, example.got) == (right[root][at], wrong[root][at])
        assert differs[root][at]


def test_an_edit_of_the_verilog_is_never_missed(tmp_path: Path) -> None:
    """The same folder passes, fails once one of its files is edited, and passes again when the edit is taken back."""
    rtl = edited_rtl(tmp_path)
    good = compare(rtl=rtl)
    assert good.passed
    text = (rtl / "affine.v").read_text(encoding="utf-8")
    (rtl / "affine.v").write_text(text.replace(".bias(product_bias_reg)", ".bias(8'd0)"), encoding="utf-8")
    bad = compare(rtl=rtl)
    assert not bad.passed
    assert bad.build_key != good.build_key
    assert bad.rtl_sha256 != good.rtl_sha256
    (rtl / "affine.v").write_text(text, encoding="utf-8")
    back = compare(rtl=rtl)
    assert back.passed
    assert (back.build_key, back.build_cached) == (good.build_key, True)


def test_another_model_of_the_same_dimensions_needs_no_build() -> None:
    """ROM contents are not part of a build: another model runs on the cached one, and with its own values."""
    assert compare().passed
    other = Model(build_resmlp(CONFIG, random_parameters(CONFIG, SEED + 1)), "other")
    result = compare(other)
    assert result.passed
    assert result.build_cached
    assert result.model_sha256 != compare().model_sha256


def test_missing_tlast_is_a_fault(tmp_path: Path) -> None:
    """A design whose tlast never comes fails though all its values are right."""
    result = compare(rtl=edited_rtl(tmp_path, ("frame_tag.v", "m_axis_tlast = last;", "m_axis_tlast = 1'b0;")))
    assert not result.passed
    assert result.first_mismatch is None
    assert result.fault_count == IMAGES
    fault = result.faults[0]
    assert (fault.kind, fault.stream, fault.image, fault.token, fault.channel) == ("tlast missing", "m_axis", 0, None, 2)


def test_withdrawn_valid_is_a_fault(tmp_path: Path) -> None:
    """An output that takes back a value while it waits breaks AXI4-Stream: seen as soon as the output side stalls."""
    edit = ("frame_tag.v", "= s_axis_tvalid && s_flag_axis_tvalid;", "= s_axis_tvalid && s_flag_axis_tvalid && rhythm_reg;")
    more = ("frame_tag.v", "  reg [INDEX_W-1:0] index_reg;", "  reg rhythm_reg;\n  always @(posedge clk) rhythm_reg <= !rhythm_reg;\n  reg [INDEX_W-1:0] index_reg;")
    ready = ("frame_tag.v", "assign s_axis_tready = m_axis_tready && s_flag_axis_tvalid;", "assign s_axis_tready = passed;")
    rtl = edited_rtl(tmp_path, edit, more, ready)
    assert compare(rtl=rtl).passed
    result = compare(rtl=rtl, stall="output:1:0.9")
    assert not result.passed
    assert {fault.kind for fault in result.faults} == {"tvalid withdrawn"}
