"""Co-simulation of the SIMD accelerator: the RTL passes under every stall pattern, and whatever breaks a rule is found.

Faults are those of a stand-in (`simd_stub.v`) that does nothing but what the bus and the monitors show, and is told by
an image's first byte what to do wrong: one small build for all of them.
"""

import dataclasses
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from fxsim.contract import TableRule
from fxsim.cosim import CosimResult, StreamState, cosim
from fxsim.devices import simd
from fxsim.devices.simd import ACCELERATOR_ID, Register, SimdFigures, build_memory_image, stuck
from fxsim.devices.simd import messages as simd_messages
from fxsim.devices.simd.figures import Span
from fxsim.devices.simd.layout import SimdLayout
from fxsim.errors import FxsimError, ModelError, StimulusError
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.formats import save
from fxsim.graph import Model
from fxsim.simulate import parse_stall
from tests.conftest import SEED

Int8 = npt.NDArray[np.int8]

# 20 channels: two groups of 16, of which the second has 4 channels; so has the result.
ZERO_CONFIG = ResMLPConfig(tokens=4, values=4, channels=20, hidden=6, blocks=1, classes=20)
ZERO = Model(
    build_resmlp(
        ZERO_CONFIG,
        {
            name: np.zeros(shape, np.uint8 if name.endswith("shift") else np.int8)
            for name, shape in resmlp_parameters(ZERO_CONFIG).items()
        },
    ),
    "zero",
)
# Words of stages 0 to 5, by hand: 4 tokens of 2 groups (8 words) in embed, token_mixer.linear and linear_2; of 1 group
# in linear_1; 2 words of the classifier and of the pool.
STAGE_WORDS = (8 + 8 + 4 + 8 + 2, 8, 8 + 8, 8 + 8, 8 + 4, 2)
LAYERS = 5

NONE, WRONG_VALUE, WRONG_RESULT, WORD_TOO_FEW, WORD_TOO_MANY, CROSSES, OUTSIDE, NARROW, FIXED, UNALIGNED = range(10)
WRONG_ID, CHANGES, WITHDRAWS, NO_WLAST, STROBES, WRONG_PLACE, TWICE, PADDING, EARLY, NEVER_DONE = range(10, 20)
CYCLES_OFF, COUNT_OFF, ERROR_CODE, IDLE_REQUEST, HANGS, DATA_WAITS, ADDRESS_FIRST, REFUSES, BEAT_STAYS = range(20, 29)
READS_MORE, ERROR_MISSED, STOP_MISSED, IRQ_STAYS, IRQ_ALWAYS, ERROR_ABANDONS, VALUE_OF_NOTHING, LOCKED = range(29, 37)
B_UNTAKEN, IN_RESET, NO_ACCESS, CODE_OFF, BURSTS = range(37, 42)
STEPS_IDLE, WAITS_IDLE, LAYER_SKIPPED, FIRST_LAYER_OFF = range(42, 46)


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stand-in as the accelerator's Verilog."""
    folder = tmp_path_factory.mktemp("rtl")
    text = (Path(__file__).parent / "simd_stub.v").read_text(encoding="utf-8")
    words = "{" + ", ".join(f"16'd{count}" for count in reversed(STAGE_WORDS)) + "}"
    text = text.replace("`STAGE_WORDS", words).replace("`LAYERS_SHOWN", str(LAYERS))
    (folder / "simd_resmlp.v").write_text(text, encoding="utf-8")
    return folder


def images(*faults: int) -> Int8:
    """Images of zeros, but for what the stand-in is to do wrong with each."""
    x = np.zeros((len(faults), 4, 4), np.int8)
    x[:, 0, 0] = faults
    return x


def pretend(stub: Path, *faults: int, **options: Any) -> CosimResult:
    """Co-simulate the stand-in."""
    options = {"rtl": stub, "optimise": "-O0", "engine": "reference"} | options
    return cosim(ZERO, images(*faults), accel="simd", **options)


PATTERNS = [
    "none", "random:1", "random:2:0.9", "input:3:0.9", "output:4:0.9", "burst:5", "gap:40", "reset:6:20", "error:7:20",
    "stop:8:20", "random:9+gap:3+reset:10:9+error:11:9+stop:12:9",
]  # fmt: skip


@pytest.mark.parametrize("stall", PATTERNS)
@pytest.mark.parametrize(("batch", "keep"), [(None, False), (3, False), (3, True), (1, False)])
def test_what_keeps_every_rule_passes(stall: str, batch: int | None, keep: bool, stub: Path) -> None:
    """Whatever the memory and the master do, and however often they disturb, a right design passes, all compared."""
    result = pretend(stub, *[NONE] * 7, stall=stall, batch=batch, keep=keep)
    assert (result.passed, result.images, result.faults, result.stopped) == (True, 7, (), None)
    pattern = parse_stall(stall)
    assert result.simd is not None
    assert (result.resets, result.simd.errors, result.simd.stops) == (pattern.resets, pattern.errors, pattern.stops)
    assert list(result.taps) == list(ZERO.graph.taps)
    for tap, found in (*result.taps.items(), ("classifier", result.output)):
        values = 7 * int(np.prod(ZERO.graph.shapes[tap]))
        assert found.compared >= values if pattern.disturbs else found.compared == values
    words, parameters = 7 * 4, len(build_memory_image(ZERO).words)
    passes = 7 if not keep else 3
    if not pattern.disturbs:
        assert result.simd.read_beats == words + passes * parameters
        assert result.simd.write_beats == 7 * 2
        assert result.simd.jobs == {None: 1, 3: 3, 1: 7}[batch]
    else:
        assert result.simd.jobs > pattern.errors + pattern.stops


@pytest.mark.parametrize("stall", ["none", "output:1:0.8", "random:2+error:3:9"])
def test_results_may_come_in_bursts(stall: str, stub: Path) -> None:
    """A design that writes all words of a result as one burst is as right as one that writes them one by one."""
    result = pretend(stub, *[BURSTS] * 5, stall=stall, batch=2)
    assert (result.passed, result.faults) == (True, ())
    assert result.output.compared >= 5 * 20
    if stall == "none":
        assert result.simd is not None
        assert result.simd.write_beats == 10


def test_aimed_disturbances_come_in_every_step_of_a_job(stub: Path) -> None:
    """Aimed at, each register access of a job has a reset, and an answer that waits; so have steps of the run."""
    result = pretend(stub, *[NONE] * 40, stall="aim:1", batch=3)
    assert (result.passed, result.images, result.faults, result.stopped) == (True, 40, (), None)
    moments = result.moments
    resets = {name: count for name, count in moments.items() if name.startswith("reset: ")}
    assert sum(resets.values()) == result.resets
    accesses = [name.removeprefix("answer held: ") for name in moments if name.startswith("answer held: ")]
    assert len(accesses) == 14 + 6
    for access in accesses:
        assert moments[f"reset: {access}"] == 1
        assert moments[f"answer held: {access}"] > 0
    assert result.simd is not None
    errors = sum(count for name, count in moments.items() if "error: " in name)
    assert 0 < result.simd.errors <= errors
    assert sum(count for name, count in moments.items() if name.startswith("stop: ")) > 0


def test_same_seed_same_cycles(stub: Path) -> None:
    """A stall pattern with a seed is the same run again; another seed is another."""
    runs = [
        pretend(stub, *[NONE] * 5, stall=stall)
        for stall in ("random:1+error:2:3", "random:1+error:2:3", "random:3+error:2:3", "random:1+error:3:3")
    ]
    assert runs[0].cycles == runs[1].cycles
    assert runs[0].taps == runs[1].taps
    assert len({run.cycles for run in runs}) == 3


@pytest.mark.parametrize(
    ("fault", "options", "kind", "stream"),
    [
        (CROSSES, {}, "burst crosses 4 KiB", "m_axi_ar"),
        (OUTSIDE, {}, "read outside parameters and images", "m_axi_ar"),
        (NARROW, {}, "burst with other beats than of 16 bytes", "m_axi_ar"),
        (FIXED, {}, "burst that is not INCR", "m_axi_ar"),
        (LOCKED, {}, "locked access", "m_axi_ar"),
        (UNALIGNED, {}, "address is no multiple of 16", "m_axi_ar"),
        (WRONG_ID, {}, "wrong id", "m_axi_ar"),
        (READS_MORE, {}, "reads more of the images than the job needs", "m_axi_ar"),
        (CHANGES, {"stall": "input:1:0.9"}, "payload changed while waiting", "m_axi_ar"),
        (WITHDRAWS, {"stall": "input:1:0.9"}, "valid withdrawn", "m_axi_ar"),
        (NO_WLAST, {}, "wlast missing", "m_axi_w"),
        (STROBES, {}, "strobes not all set", "m_axi_w"),
        (WRONG_PLACE, {}, "write outside the results", "m_axi_aw"),
        (TWICE, {}, "result written again", "m_axi_w"),
        (PADDING, {}, "padding is not zero", "m_axi_w"),
        (DATA_WAITS, {"stall": "output:1:0.9"}, "valid waits for ready", "m_axi_w"),
        (EARLY, {}, "done too early", "s_axil"),
        (CYCLES_OFF, {}, "wrong CYCLES", "s_axil"),
        (COUNT_OFF, {}, "wrong IMAGES_DONE", "s_axil"),
        (ERROR_CODE, {}, "unexpected error", "s_axil"),
        (CODE_OFF, {"stall": "error:1:9"}, "unexpected error", "s_axil"),
        (REFUSES, {}, "register access refused", "s_axil"),
        (IDLE_REQUEST, {}, "request without a job", "m_axi_ar"),
        (ERROR_MISSED, {"stall": "error:1:9"}, "an error on the bus was not noticed", "s_axil"),
        (ERROR_ABANDONS, {"stall": "error:1:9"}, "done with transfers under way", "m_axi"),
        (STOP_MISSED, {"stall": "stop:1:9"}, "a stop was not noticed", "s_axil"),
        (IRQ_STAYS, {}, "irq stays though it was cleared", "irq"),
        (IRQ_ALWAYS, {"stall": "random:1", "batch": 1}, "irq that nobody waits for", "irq"),
        (IN_RESET, {"stall": "reset:1:9"}, "valid or irq set during reset", "rst"),
        (STEPS_IDLE, {}, "steps or waits without a job", "mon"),
        (WAITS_IDLE, {}, "steps or waits without a job", "mon"),
        (LAYER_SKIPPED, {}, "layer out of turn", "mon"),
        (FIRST_LAYER_OFF, {}, "layer out of turn", "mon"),
        (FIRST_LAYER_OFF, {"batch": 1}, "layer out of turn", "mon"),
    ],
)
def test_broken_rules_are_named(fault: int, options: dict[str, Any], kind: str, stream: str, stub: Path) -> None:
    """Each breach is a fault with the channel it was seen on, in an image that does it, and none in the one before."""
    result = pretend(stub, NONE, *[fault] * 3, **options)
    assert not result.passed
    assert result.mismatches == 0
    assert (kind, stream) == (result.faults[0].kind, result.faults[0].stream)
    assert (result.faults[0].token, result.faults[0].channel) == (None, None)
    assert pretend(stub, NONE, NONE, NONE, NONE, **options).passed


def test_what_goes_on_behind_a_done_job_ends_the_run(stub: Path) -> None:
    """Transfers that outlive their job would run into the next one's images: the fault is the last one, and is told."""
    stall = "random:9+gap:3+reset:10:9+error:11:9+stop:12:9"
    result = pretend(stub, *[ERROR_ABANDONS] * 7, stall=stall, batch=3, keep=True)
    assert not result.passed
    assert (result.faults[-1].kind, result.faults[-1].stream) == ("done with transfers under way", "m_axi")


def test_a_fault_says_what_was_seen(stub: Path) -> None:
    """Beside a fault stands what the bus showed: here the address and the length of the burst."""
    result = pretend(stub, NONE, CROSSES)
    fault = result.faults[0]
    assert (fault.image, fault.detail) == (1, "0x12345600000000, 256 beats") or fault.detail is not None
    assert fault.detail.endswith(", 256 beats")


def test_wrong_value_is_found_where_it_is(stub: Path) -> None:
    """A wrong lane of a monitor's word is named by tap, token and channel: here of the second group, third token."""
    result = pretend(stub, NONE, NONE, WRONG_VALUE, WRONG_VALUE)
    assert not result.passed
    first = result.first_mismatch
    assert first is not None
    add = "blocks.0.token_mixer.add"
    assert (first.image, first.tap, first.token, first.channel) == (2, add, 2, 18)
    assert (first.expected, first.got) == (0, -2)
    assert {tap: found.mismatches for tap, found in result.taps.items() if found.mismatches} == {add: 2}
    assert result.output.mismatches == 0
    # Two images show it: the third is entered while the run goes on, the fourth not needed.
    assert result.replay == (0, 3)
    again = pretend(stub, NONE, NONE, WRONG_VALUE, images=result.replay)
    assert again.first_mismatch == first


def test_only_chosen_taps_are_compared(stub: Path) -> None:
    """A wrong value at a tap that was not chosen is not seen; the result always is."""
    result = pretend(stub, WRONG_VALUE, taps=("embed", "pool"))
    assert result.passed
    assert list(result.taps) == ["embed", "pool"]
    assert pretend(stub, WRONG_RESULT, taps=()).mismatches == 1


def test_wrong_result_is_found_in_memory(stub: Path) -> None:
    """A wrong byte that is written is a difference of the stream 'result', though every monitor was right."""
    result = pretend(stub, NONE, WRONG_RESULT)
    first = result.first_mismatch
    assert first is not None
    assert (first.image, first.tap, first.token, first.channel) == (1, "result", None, 17)
    assert (first.expected, first.got) == (0, -1)
    assert result.taps["classifier"].mismatches == 0


@pytest.mark.parametrize(
    ("fault", "kind", "tap", "place"),
    [
        # Of stage `next`, linear_1's relu's last word, token 3; of `affine` the next image's first.
        (WORD_TOO_FEW, "values missing", "blocks.0.mlp.relu", (3, 0)),
        (WORD_TOO_MANY, "values too many", "blocks.0.token_mixer.affine_2", (0, 0)),
        (VALUE_OF_NOTHING, "values too many", "embed", (0, 0)),
    ],
)
def test_too_few_and_too_many_words_are_faults(
    fault: int, kind: str, tap: str, place: tuple[int, int], stub: Path
) -> None:
    """A monitor that shows a word too few or too many is named, with the word that it should have shown next."""
    result = pretend(stub, NONE, fault)
    assert not result.passed
    found = result.faults[0]
    assert (found.kind, found.stream, (found.token, found.channel)) == (kind, tap, place)


@pytest.mark.parametrize(
    ("fault", "options", "reason"),
    [
        (HANGS, {}, "the sequencer waits for results that layer 2 'blocks.0.mlp.linear_1' reads of the layer before"),
        (BEAT_STAYS, {}, "a beat that was read is not taken"),
        (B_UNTAKEN, {}, "a write's response is not taken"),
        (NO_ACCESS, {}, "the read of register 0x8 is not answered"),
        (NEVER_DONE, {}, "the sequencer waits for nothing, at layer 4 'classifier'"),
        (ADDRESS_FIRST, {"stall": "output:1:0.5"}, "a write's address comes without its data, for which the memory"),
    ],
)
def test_stuck_designs_are_explained(fault: int, options: dict[str, Any], reason: str, stub: Path) -> None:
    """Where nothing moves, what is waited for is named, and where every stage stands."""
    result = pretend(stub, NONE, *[fault] * 5, watchdog=300, **options)
    assert not result.passed
    assert result.stopped is not None
    assert reason in result.stopped.reason
    assert result.stopped.idle_cycles == 300
    names = [state.stream for state in result.stopped.streams]
    assert names == ["linear", "affine", "add", "res_affine", "next", "pool", "result"]
    assert result.stopped.image == result.images


def test_watchdog_counts_only_what_the_design_is_to_blame_for(stub: Path) -> None:
    """Slow memory, long stalls and gaps are no reason to stop."""
    assert pretend(stub, *[NONE] * 3, batch=1, stall="gap:2000+random:1:0.99", read_latency=500, watchdog=200).passed


def test_figures_of_the_first_image(stub: Path) -> None:
    """Steps and waits of every layer, beats and spans are those that the stand-in shows."""
    result = pretend(stub, NONE, NONE, NONE, read_latency=10)
    simd = result.simd
    assert isinstance(simd, SimdFigures)
    assert (simd.batch, simd.keep, simd.jobs, simd.read_latency) == (3, False, 1, 10)
    # Layer n pauses for a cycle, waits n cycles for 1 + n % 4, then steps 16 (n + 1) cycles.
    assert [layer.steps for layer in simd.layers] == [16, 32, 48, 64, 80]
    waits = [
        (layer.waits_parameters, layer.waits_image, layer.waits_results_before, layer.waits_room)
        for layer in simd.layers
    ]
    assert waits == [(0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 2, 0), (0, 0, 0, 3), (4, 0, 0, 0)]
    assert [layer.cycles for layer in simd.layers[1:]] == [34, 51, 68, 85]
    assert [layer.number for layer in simd.layers] == [0, 1, 2, 3, 4]
    assert [layer.name for layer in simd.layers][:2] == ["embed", "blocks.0.token_mixer.linear"]
    # Outputs x inputs x tokens: the model's multiplications.
    assert [layer.macs for layer in simd.layers] == [20 * 4 * 4, 4 * 4 * 20, 6 * 20 * 4, 20 * 6 * 4, 20 * 20]
    spans = {(span.kind, span.layer): (span.start, span.end) for span in simd.timeline}
    computed = [spans["compute", n] for n in range(5)]
    assert [end - start for start, end in computed] == [16, 32, 48, 64, 80]
    assert [after[0] - before[1] for before, after in pairwise(computed)] == [2, 3, 4, 5]
    assert simd.layers[0].cycles == computed[0][1]
    loads = [spans["load", n] for n in range(-1, 5)]
    # The image's 4 words first, then each layer's, one behind the other.
    assert loads[0][1] - loads[0][0] == 4
    assert all(start < end <= after for (start, end), (after, _) in pairwise(loads))
    write = spans["write", -1]
    # Two words, each answered ten cycles after its data.
    assert write[0] > computed[-1][1]
    assert result.latency_cycles == write[1]
    assert result.first_output_cycles == write[0] + 1
    assert isinstance(simd.timeline[0], Span)
    # Of one job the first result comes after its latency, each later one after the time of an image.
    assert simd.image_cycles == result.interval
    assert simd.image_cycles is not None
    assert (simd.image_cycles.count, simd.image_cycles.min) == (2, simd.image_cycles.max)
    assert result.interval_cycles == simd.image_cycles.median
    assert simd.job_cycles is not None
    assert abs(simd.job_cycles.min - (result.latency_cycles + 2 * result.interval_cycles)) <= 2
    assert (result.interval_within_bound, simd.single_image_cycles) == (None, None)
    # Tiles x blocks x 16 cycles: 2 tiles of one block; 2 of one; 1 of two; 2 of one; 2 of two.
    assert result.timing.interval_bound_cycles is None
    assert result.timing.interval_least_cycles == result.flat()["interval_bound_cycles"] == 16 * (2 + 2 + 2 + 2 + 4)


def test_jobs_of_one_image(stub: Path) -> None:
    """Alone in its job an image takes what CYCLES says; slower memory makes it take longer."""
    fast, slow = (pretend(stub, NONE, NONE, batch=1, read_latency=latency) for latency in (1, 100))
    for result in (fast, slow):
        assert result.simd is not None
        assert result.simd.job_cycles is not None
        assert (result.simd.jobs, result.simd.job_cycles.count, result.simd.image_cycles) == (2, 2, None)
        assert result.latency_cycles == result.simd.single_image_cycles == result.simd.job_cycles.max
        assert result.interval is None
    assert (fast.latency_cycles or 0) + 300 < (slow.latency_cycles or 0)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"accel": "gpu"}, StimulusError, "no accelerator 'gpu'; there are: stream, simd, composed, described"),
        ({"read_latency": 0}, StimulusError, "read latency is 0 cycles, expected 1 to 1000000"),
        ({"batch": 0}, StimulusError, "batch is 0 images, expected 1 to"),
        ({"accel": "stream", "batch": 2}, StimulusError, "'stream' has no setting 'batch'; it has: beat, packed"),
        ({"accel": "stream", "keep": True}, StimulusError, "'stream' has no setting 'keep'"),
        ({"accel": "stream", "read_latency": 64}, StimulusError, "'stream' has no setting 'read_latency'"),
        ({"speed": 9}, StimulusError, "'simd' has no setting 'speed'; it has: read_latency, batch, keep"),
        ({"batch": "3"}, StimulusError, "batch is '3', expected a whole number"),
        ({"batch": True}, StimulusError, "batch is True, expected a whole number"),
        ({"keep": 1}, StimulusError, "keep is 1, expected true or false"),
        (
            {"accel": "stream", "stall": "error:1"},
            StimulusError,
            "'error:1': the accelerator 'stream' takes no 'error', expected some of: "
            "aim, burst, gap, random, reset, wait",
        ),
        ({"accel": "stream", "stall": "stop:1"}, StimulusError, "the accelerator 'stream' takes no 'stop'"),
    ],
)
def test_illegal_requests_are_refused(options: dict[str, Any], kind: type[FxsimError], message: str) -> None:
    """Each illegal argument gives one error that names it and what was expected, before anything is built."""
    with pytest.raises(kind, match=message):
        cosim(ZERO, images(NONE), **({"accel": "simd", "engine": "reference"} | options))


def test_models_that_do_not_fit_are_refused() -> None:
    """Too large for a buffer, or with kept parameters for a ring, is a ModelError that names it."""
    large = _random(dataclasses.replace(ZERO_CONFIG, channels=1030), 1)
    with pytest.raises(ModelError, match=r"does not fit the accelerator: .* ACC_W"):
        cosim(large, np.zeros((1, 4, 4), np.int8), accel="simd", engine="reference")
    # 5 layers of 96 groups.
    many = _random(dataclasses.replace(ZERO_CONFIG, channels=1000, hidden=1000), 1)
    with pytest.raises(ModelError, match=r"does not fit the accelerator whole, .* WEIGHT_WORDS, which is 8,"):
        cosim(many, np.zeros((1, 4, 4), np.int8), accel="simd", engine="reference", keep=True)


def test_order_of_a_stage() -> None:
    """A tap's words go group by group, in each token by token; padding is zero; the pool has no tokens."""
    layout = SimdLayout(ZERO, ("embed", "pool"), build_memory_image(ZERO))
    assert layout.place("embed", 16 * 5 + 3) == (1, 19)
    assert layout.place("pool", 16 + 3) == (None, 19)
    assert layout.place("result", 18) == (None, 18)
    embed = np.arange(80, dtype=np.int8).reshape(1, 4, 20)
    values = {"embed": embed, "pool": np.ones((1, 20), np.int8), "classifier": np.full((1, 20), 2, np.int8)}
    _, result, first, pool = layout.contents(images(NONE), values)
    words = first.reshape(8, 16)
    for token in range(4):
        assert words[token].tolist() == list(range(20 * token, 20 * token + 16))
        assert words[4 + token].tolist() == [*range(20 * token + 16, 20 * token + 20), *[0] * 12]
    assert pool.reshape(-1).tolist() == [1] * 20 + [0] * 12
    assert result.reshape(-1).tolist() == [2] * 20 + [0] * 12
    # Tap number, tokens, groups, channels of the last group.
    assert list(layout.schedule("pool")) == [ZERO.graph.taps.index("pool"), 1, 2, 4]
    affine, relu = (ZERO.graph.taps.index(f"blocks.0.{tap}") for tap in ("token_mixer.affine_1", "mlp.relu"))
    assert list(layout.schedule("next")) == [affine, 4, 2, 4, relu, 4, 1, 6]


def test_harness_and_package_agree_on_the_registers() -> None:
    """Offsets in the harness are those of the register map; wide registers stand there by their lower half."""
    text = (Path(simd.__file__).parent / "harness" / "registers.hpp").read_text(encoding="utf-8")
    listed = re.search(r"enum Register : uint32_t \{(.*?)\}", text, re.DOTALL)
    assert listed is not None
    offsets = {name: int(value, 16) for name, value in re.findall(r"(\w+) = (0x\w+)", listed[1])}
    assert len(offsets) == 15
    known = {register.name.removesuffix("_LO"): int(register) for register in Register}
    assert offsets == {name: known[name] for name in offsets}
    assert f"ACCELERATOR_ID = {ACCELERATOR_ID:#x};" in text


def test_explanation_names_what_memory_was_not_asked_for() -> None:
    """A sequencer that waits for parameters while nothing is asked of memory: both are said, and the furthest back."""
    state = simd_messages.State(
        phase="run", access="", layer=1, wait=1, beat=False, answer=False, address_starves=False, data_starves=False,
        parameter_bursts=0, image_bursts=0, writes=0, responses=0, stages=[],
    )  # fmt: skip
    stages = [
        StreamState("linear", "empty", 1, 3, 16, tap="embed"),
        StreamState("add", "empty", 1, 0, 0, tap="blocks.0.mlp.add"),
        StreamState("result", "empty", 2, None, 0, tap="classifier"),
    ]
    reason = stuck.explain(state, ["embed", "blocks.0.token_mixer.linear"], stages)
    assert reason.split("; ") == [
        "the sequencer waits for the parameters of layer 1 'blocks.0.token_mixer.linear'",
        "nothing is asked of memory",
        "next of image 1 would be linear: token 3, channel 16 of 'embed', "
        "add: token 0, channel 0 of 'blocks.0.mlp.add'",
    ]
    asked = stuck.explain(msgspec.structs.replace(state, parameter_bursts=1), ["embed"], stages)
    assert "nothing is asked" not in asked
    assert "parameters of layer 1;" in asked


# --- the RTL ---------------------------------------------------------------------------------------------------------


def _random(config: ResMLPConfig, seed: int) -> Model:
    """Weights over the whole range, shifts that leave results spread over int8 with some saturation."""
    rng = np.random.default_rng(seed)
    parameters: dict[str, npt.NDArray[Any]] = {}
    for name, shape in resmlp_parameters(config).items():
        if name.endswith("shift"):
            parameters[name] = rng.integers(4, 9, shape).astype(np.uint8)
        else:
            parameters[name] = rng.integers(-128, 128, shape).astype(np.int8)
    return Model(build_resmlp(config, parameters), f"random {seed}")


CONFIGS = [
    ResMLPConfig(4, 4, 6, 6, 1, 3, points=8, rule=TableRule.CLAMP),
    ResMLPConfig(32, 20, 40, 35, 2, 17, points=16, rule=TableRule.ENDPOINT),
    ResMLPConfig(1, 1, 1, 1, 1, 1),
    ResMLPConfig(16, 33, 48, 100, 1, 40),
    ResMLPConfig(64, 3, 17, 16, 1, 2, points=256, rule=TableRule.FULL),
    ResMLPConfig(2, 16, 32, 31, 3, 16, points=64, rule=TableRule.HOLD),
]
STALLS = [
    "none", "random:1", "burst:2+reset:3:4", "random:4:0.8+error:5:6", "input:6:0.3+stop:7:6", "gap:9+output:8:0.9"
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(CONFIGS)))
def test_one_build_computes_every_model(number: int) -> None:
    """Models of all kinds and sizes come out right on the same build, each under another disturbance."""
    model = _random(CONFIGS[number], SEED + number)
    shape = (5, CONFIGS[number].tokens, CONFIGS[number].values)
    x = np.random.default_rng(number).integers(-128, 128, shape).astype(np.int8)
    results = [
        cosim(model, x, accel="simd", stall=STALLS[number], batch=3, read_latency=20),
        cosim(model, x, accel="simd", stall=STALLS[(number + 3) % 6], keep=build_memory_image(model).keeps),
    ]
    for result in results:
        assert (result.passed, result.images, result.faults) == (True, 5, ())
        assert result.parameters["WEIGHT_WORDS"] == 8192
        for tap, found in result.taps.items():
            assert found.compared >= 5 * int(np.prod(model.graph.shapes[tap]))
    assert len({result.build_key for result in results}) == 1


# --- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def files(tmp_path: Path, stub: Path) -> Iterator[list[str]]:
    """Model, images and the stand-in as files, and the current folder beside them."""
    save(ZERO, tmp_path / "model.safetensors")
    np.save(tmp_path / "images.npy", images(NONE, NONE, WRONG_VALUE, NONE))
    (tmp_path / "rtl").mkdir()
    (tmp_path / "rtl" / "simd_resmlp.v").write_bytes((stub / "simd_resmlp.v").read_bytes())
    before = Path.cwd()
    os.chdir(tmp_path)
    yield ["model.safetensors", "images.npy", "--accel", "simd", "--rtl", "rtl", "--engine", "reference"]
    os.chdir(before)


def fxsim(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    command = [sys.executable, "-c", "from fxsim.cli import main; main()", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


def test_command_passes(files: list[str]) -> None:
    """A right design: taps, layers, jobs and figures, exit status 0; with --json the documented fields."""
    text = fxsim("cosim", *files, "--images", ":2", "--latency", "10", "--batch", "1", "--keep-parameters")
    assert text.returncode == 0, text.stderr
    assert "PASSED: every value equal" in text.stdout
    assert "2 jobs of up to 1 images, memory answers after 10 cycles, parameters read once a job" in text.stdout
    assert "blocks.0.token_mixer.linear" in text.stdout
    assert "result" in text.stdout
    found = json.loads(fxsim("cosim", *files, "--images", ":2", "--json", "--stall", "error:1:2").stdout)
    assert (found["passed"], found["accel"], found["simd"]["errors"], found["simd"]["batch"]) == (True, "simd", 2, 2)
    assert found["simd"]["layers"][2]["waits_results_before"] == 2
    assert set(found["simd"]["timeline"][0]) == {"kind", "layer", "start", "end"}


def test_command_fails_and_keeps_what_repeats_it(files: list[str]) -> None:
    """A wrong design: exit status 1, the place, a replay with waves; the kept folder holds the memory image."""
    failed = fxsim("cosim", *files, "--latency", "10", "--images", "1:4", "--keep", "kept", "--json")
    assert failed.returncode == 1
    first = json.loads(failed.stdout)["first_mismatch"]
    assert (first["image"], first["tap"], first["channel"]) == (2, "blocks.0.token_mixer.add", 18)
    replay = shlex.split(failed.stderr.splitlines()[-1].removeprefix("fxsim: replay: "))
    assert replay[replay.index("--latency") + 1] == "10"
    assert replay[replay.index("--wave-from") + 1] == "2"
    again = fxsim(*replay[1:], "--engine", "reference")
    assert again.returncode == 1
    where = f"image 2, tap {first['tap']}, token 2, channel 18: expected 0, got -2 (cycle {first['cycle']:,})"
    assert f"first {where}" in again.stdout
    assert Path("failure.fst").stat().st_size > 329
    assert sorted(path.suffix for path in Path("kept/memory").iterdir()) == [".bin", ".bin", ".h", ".json"]
    # What came, at every tap: the model's zeros, and one wrong value.
    given = {path.stem: np.load(path) for path in Path("kept/got/taps").iterdir()}
    assert set(given) == set(ZERO.graph.taps)
    assert np.load("kept/got/images.npy").shape == (1, 4, 4)
    wrong = {tap: values[values != 0].tolist() for tap, values in given.items()}
    assert {tap: values for tap, values in wrong.items() if values} == {first["tap"]: [-2]}
    assert given[first["tap"]][0, 2, 18] == -2
    assert json.loads(Path("kept/got/images.json").read_bytes()) == [2]
    assert Path("kept/memory/zero.bin").read_bytes() == build_memory_image(ZERO).to_bytes()
    script = Path("kept/replay.sh").read_text(encoding="utf-8")
    kept = fxsim(*shlex.split(script.split(" && exec fxsim ")[1]), "--engine", "reference", cwd="kept")
    assert kept.returncode == 1
    assert f"first {where.replace('image 2', 'image 1')}" in kept.stdout


def test_command_shows_faults_and_where_a_design_stopped(files: list[str]) -> None:
    """A broken rule is printed with what the bus showed, a stuck design with what it waits for and every stage."""
    np.save("images.npy", images(NONE, CROSSES))
    broken = fxsim("cosim", *files)
    assert broken.returncode == 1
    assert "FAILED: m_axi_ar: burst crosses 4 KiB (0x" in broken.stdout
    np.save("images.npy", images(NONE, HANGS))
    stuck = fxsim("cosim", *files)
    assert stuck.returncode == 1
    assert "waits for results that layer 2 'blocks.0.mlp.linear_1' reads of the layer before" in stuck.stdout
    assert "blocks.0.token_mixer.affine_2" in stuck.stdout
