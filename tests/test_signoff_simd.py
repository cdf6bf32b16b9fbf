"""Sign-off of the SIMD accelerator: settings, agreement three ways, cycles against a bound, and the report of it."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import fxsim.signoff.simulation as simulation
from fxsim.contract.arithmetic import Int8
from fxsim.cosim import CosimResult, Fault, Spread, TapResult
from fxsim.devices.simd import LayerFigures, SimdFigures
from fxsim.devices.simd.figures import Span
from fxsim.errors import FileError
from fxsim.golden import read_manifest
from fxsim.graph import Model
from fxsim.paths import golden_dir
from fxsim.signoff import CheckRecord, SignoffRecord, Status, load_plan, read_record, render_report, run_plan
from fxsim.signoff.checks.cosim import Agreement, CosimCheck, Way
from fxsim.signoff.checks.cycles import (
    Cycles,
    CyclesCheck,
    _timeline,
    _utilisation,
    split_cycles,
)
from fxsim.signoff.checks.rtl_fault import RtlFaultCheck
from fxsim.signoff.comparison import Comparison
from fxsim.signoff.files import encode_record
from fxsim.signoff.record import Details
from fxsim.signoff.simulation import Simulation
from tests.test_signoff import (
    HEAD,
    HOSTILE,
    WHERE,
    Page,
    by_name,
    cosim_result,
    replace_cosim,
    stored_record,
    write_plan,
)

MODELS = """[models.tiny.generate]
grid = [2, 2]
patch = 1
channels = 2
hidden = 3
blocks = 1
classes = 2
[models.wide.generate]
grid = [2, 2]
patch = 1
channels = 2
hidden = 300
blocks = 1
classes = 2
[models.vast.generate]
grid = [2, 2]
patch = 1
channels = 200
hidden = 400
blocks = 1
classes = 2
"""
BOTH = """[[check]]
kind = "cosim"
name = "both"
model = "tiny"
stimulus = "uniform"
images = 2
accelerator = ["stream", "simd"]
stalls = ["none", "random:{seed}"]
"""
INTERVAL = """[[check]]
kind = "interval"
name = "interval"
model = "tiny"
stimulus = "many"
bound = 100
accelerator = "simd"
"""
CYCLES = """[[check]]
kind = "cycles"
name = "cycles"
model = "tiny"
stimulus = "many"
images = 4
bound = 1000
published = 1234
faster_than = { model = "wide", ratio = 1.62 }
"""
FAULT = """[[check]]
kind = "rtl-fault"
name = "fault"
model = "tiny"
stimulus = "uniform"
images = 2
accelerator = "simd"
file = "requantise.v"
find = "wide[0]"
replace = "1'b0"
first_tap = "embed"
"""
PLAN = HEAD + "many = { draw = 'uniform', images = 6 }\n" + MODELS

SIZES = {
    "embed": 8, "blocks.0.token_mixer.res_affine": 8, "blocks.0.token_mixer.affine_1": 8,
    "blocks.0.token_mixer.linear": 8, "blocks.0.token_mixer.affine_2": 8, "blocks.0.token_mixer.add": 8,
    "blocks.0.mlp.res_affine": 8, "blocks.0.mlp.linear_1": 12, "blocks.0.mlp.relu": 12, "blocks.0.mlp.linear_2": 8,
    "blocks.0.mlp.add": 8, "pool": 2, "classifier": 2,
}  # fmt: skip
"""Values of an image at each tap of the tiny model: 4 tokens of 2 channels, 3 of them hidden, 2 classes."""

LAYER = LayerFigures(
    number=0, name="embed", macs=24, steps=16, cycles=50, waits_parameters=20, waits_image=5, waits_results_before=3,
    waits_room=1,
)  # fmt: skip


def simd_figures(**changes: Any) -> SimdFigures:
    """The figures of a faultless simulation of the SIMD accelerator, but for the changes."""
    figures = SimdFigures(
        read_latency=64, batch=4, keep=False, jobs=1, job_cycles=Spread(3700, 3700, 3700, 1),
        image_cycles=Spread(880, 890, 900, 3), single_image_cycles=None, read_beats=400, write_beats=4,
        layers=(LAYER,), timeline=(Span(kind="load", layer=0, start=70, end=90),),
    )  # fmt: skip
    return msgspec.structs.replace(figures, **changes)


class Simulator:
    """In place of `cosim`: faultless results, but for what `change` makes of them; keeps what it was asked for."""

    def __init__(self, change: Callable[[CosimResult, dict[str, Any]], CosimResult] | None = None) -> None:
        self.calls: list[dict[str, Any]] = []
        self._change = change

    def __call__(self, model: Model, x: Int8, **options: Any) -> CosimResult:
        """The result for a model whose image takes 950 cycles alone, or 1,620 where its name is wide."""
        self.calls.append({"model": model.name, "images": len(x)} | options)
        sizes = {tap: int(np.prod(model.graph.shapes[tap])) for tap in model.graph.taps}
        taps = {tap: TapResult(len(x) * size, 0, 0, None, ()) for tap, size in sizes.items()}
        result = cosim_result(accel=str(options["accel"]), taps=taps, images=len(x), stall=options["stall"])
        if options["accel"] == "simd":
            alone = 1620 if model.name == "wide" else 950
            simd = simd_figures(read_latency=options.get("read_latency", 64))
            if options.get("batch") == 1:
                simd = msgspec.structs.replace(
                    simd, batch=1, jobs=len(x), image_cycles=None, single_image_cycles=alone - 10,
                    job_cycles=Spread(alone - 20, alone - 10, alone, len(x)),
                )  # fmt: skip
            if options.get("keep"):
                simd = msgspec.structs.replace(simd, keep=True, image_cycles=Spread(690, 695, 700, 3))
            result = result.replace(
                figures=simd,
                settings={"read_latency": simd.read_latency, "batch": simd.batch, "keep": simd.keep},
                interval_bound_cycles=None,
                interval_least_cycles=12,
            )
        return result if self._change is None else self._change(result, self.calls[-1])


def simulated(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    check: str,
    change: Callable[[CosimResult, dict[str, Any]], CosimResult] | None = None,
) -> tuple[CheckRecord, list[dict[str, Any]]]:
    """The record of a check whose simulations were replaced, and what these were asked for."""
    simulator = Simulator(change)
    replace_cosim(monkeypatch, simulator)
    (record,) = run_plan(load_plan(write_plan(tmp_path, check, head=PLAN))).checks
    return record, simulator.calls


def only(accelerator: str, **changes: Any) -> Callable[[CosimResult, dict[str, Any]], CosimResult]:
    """These changes to the results of one accelerator without stalls."""

    def change(result: CosimResult, asked: dict[str, Any]) -> CosimResult:
        if asked["accel"] != accelerator or asked["stall"] != "none":
            return result
        return result.replace(**changes)

    return change


# --- plans ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            BOTH.replace('["stream", "simd"]', '"stream"') + "batch = 2\n",
            "check 'both' sets batch, which no accelerator has",
        ),
        (
            BOTH.replace('["stream", "simd"]', '["stream"]') + "keep = false\n",
            "check 'both' sets keep, which no accelerator has",
        ),
        (INTERVAL.replace('accelerator = "simd"', "read_latency = 3"), "check 'interval' sets read_latency, which no"),
        (FAULT.replace('accelerator = "simd"', "keep = true"), "check 'fault' sets keep, which no accelerator has"),
        (BOTH.replace('["stream", "simd"]', '["simd", "simd"]'), "check 'both' names accelerator 'simd' more than"),
        (BOTH.replace('["stream", "simd"]', "[]"), "accelerator"),
        (BOTH.replace('["stream", "simd"]', '"systolic"'), "systolic"),
        (INTERVAL.replace('"simd"', '["simd"]'), "accelerator"),
        (FAULT.replace('"simd"', '["stream", "simd"]'), "accelerator"),
        (BOTH + "batch = 0\n", "batch"),
        (BOTH + "batch = 1.5\n", "batch"),
        (BOTH + "read_latency = 0\n", "read_latency"),
        (BOTH + 'keep = "yes"\n', "keep"),
        (CYCLES + 'accelerator = "stream"\n', "accelerator"),
        (CYCLES.replace("images = 4", "images = 2"), "images"),
        (CYCLES.replace("bound = 1000", "bound = 0"), "bound"),
        (CYCLES.replace("published = 1234", "published = 0"), "published"),
        (CYCLES.replace('"wide"', '"tiny"'), "check 'cycles' compares model 'tiny' with itself"),
        (CYCLES.replace('"wide"', '"wild"'), "check 'cycles' names model 'wild', which the plan does not have"),
        (CYCLES.replace("1.62", "0"), "ratio"),
        (CYCLES.replace("1.62", "inf"), "ratio"),
        (CYCLES.replace("1.62", "nan"), "ratio"),
        (CYCLES.replace(", ratio = 1.62", ""), "ratio"),
    ],
)
def test_wrong_setting_is_one_error(tmp_path: Path, text: str, message: str) -> None:
    """A setting that is not one, or of an accelerator that is not simulated, is an error that names the check."""
    path = write_plan(tmp_path, text, head=PLAN)
    with pytest.raises(FileError) as caught:
        load_plan(path)
    assert str(path) in str(caught.value)
    assert message in str(caught.value)


@pytest.mark.slow
def test_default_plan_signs_the_simd_accelerator_off() -> None:
    """Every model of the plan is compared three ways; all stalls, batches, kept parameters, two faults are there."""
    plan = load_plan()
    cosims = [check for check in plan.checks if isinstance(check, CosimCheck)]
    three = {check.model for check in cosims if set(check.accelerators) == {"stream", "simd"}}
    # Networks of few bits and Neural ODEs fit neither accelerator.
    others = {"digits_binary", "digits_fractional", "digits_ode", "digits_softmax"}
    assert three == set(plan.models) - others
    assert {model.file for model in read_manifest(golden_dir()).models if model.name not in others} == {
        plan.models[name].file for name in three if plan.models[name].file is not None
    }
    simd = [check for check in cosims if "simd" in check.accelerators]
    patterns = {part.partition(":")[0] for check in simd for stall in check.stalls for part in stall.split("+")}
    assert {"none", "random", "input", "output", "burst", "gap", "reset", "error", "stop"} <= patterns
    assert {True, None} <= {check.keep for check in simd}
    assert {1, None} <= {check.batch for check in simd}
    assert {1, None} <= {check.read_latency for check in simd}
    cycles = {check.model: check for check in plan.checks if isinstance(check, CyclesCheck)}
    assert {name: (check.bound, check.published) for name, check in cycles.items()} == {
        "psa_h96": (27_000, 29_441), "relu_h96": (27_000, 29_215), "relu_h192": (46_000, 47_681),
    }  # fmt: skip
    faster = cycles["psa_h96"].faster_than
    assert faster is not None
    # As published: 47,681 cycles over 29,441.
    assert (faster.model, faster.ratio) == ("relu_h192", 1.62)
    faults = [check for check in plan.checks if isinstance(check, RtlFaultCheck) and check.accelerator == "simd"]
    assert len({check.file for check in faults}) == 2


# --- what is asked of a simulation ---


def test_settings_reach_the_simd_accelerator_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each accelerator runs each pattern; batch, keep and latency are told to SIMD, and nothing that was not set."""
    check, calls = simulated(tmp_path, monkeypatch, BOTH + "batch = 1\nkeep = false\nread_latency = 9\n")
    assert check.status is Status.PASSED
    settings = ("accel", "stall", "batch", "keep", "read_latency")
    patterns = ("none", f"random:{check.seed}")
    assert [tuple(call.get(name) for name in settings) for call in calls] == [
        *(("stream", stall, None, None, None) for stall in patterns),
        *(("simd", stall, 1, False, 9) for stall in patterns),
    ]
    assert not {"batch", "keep", "read_latency"} & calls[0].keys()
    _, calls = simulated(tmp_path, monkeypatch, BOTH)
    assert all(not {"batch", "keep", "read_latency"} & call.keys() for call in calls)


@pytest.mark.parametrize("text", [BOTH, INTERVAL, CYCLES, FAULT])
def test_all_models_share_one_build_of_the_simd_accelerator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Whatever the model's size, the SIMD accelerator is compiled alike; a tiny streaming design quickly."""
    monkeypatch.delenv("FXSIM_OPTIMISE")
    _, calls = simulated(tmp_path, monkeypatch, text)
    assert {call["optimise"] for call in calls if call["accel"] == "simd"} == {None}
    assert all(call["optimise"] == "-O1" for call in calls if call["accel"] == "stream")


# --- three ways ---


def test_agreement_is_told_tap_by_tap_for_each_accelerator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With both accelerators, every tap's values of the model and in each RTL are in record, figures and summary."""
    check, _ = simulated(tmp_path, monkeypatch, BOTH)
    assert (check.status, check.reason) == (Status.PASSED, None)
    (agreement,) = check.details.of(Agreement)
    assert (agreement.model, agreement.images, agreement.simulations) == ("tiny", 2, 2)
    assert {tap.tap: tap.values for tap in agreement.taps} == {tap: 2 * size for tap, size in SIZES.items()}
    for tap in agreement.taps:
        assert tap.ways == (Way("stream", 2 * tap.values, 0), Way("simd", 2 * tap.values, 0))
    total = 2 * sum(SIZES.values())
    assert agreement.totals == (Way("stream", 2 * total, 0), Way("simd", 2 * total, 0))
    figures = {figure.label: figure.value for figure in check.details.figures}
    assert figures["values of the same images, three ways"] == total
    assert check.summary.startswith("three ways (integer model, streaming RTL, SIMD RTL): 13 taps, ")
    assert [(s.accelerator, s.batch, s.keep) for s in check.details.of(Simulation)] == [
        *[("stream", None, None)] * 2,
        *[("simd", 4, False)] * 2,
    ]
    assert [c.title for c in check.details.of(Comparison)] == [
        f"both, {accelerator}, {stall}"
        for accelerator in ("stream", "simd")
        for stall in ("none", f"random:{check.seed}")
    ]
    alone, _ = simulated(tmp_path, monkeypatch, BOTH.replace('["stream", "simd"]', '"simd"'))
    assert alone.details.of(Agreement) == ()
    assert "three ways" not in alone.summary


@pytest.mark.parametrize("accelerator", ["stream", "simd"])
def test_one_accelerator_that_differs_breaks_the_agreement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, accelerator: str
) -> None:
    """One wrong value in either accelerator fails the check, under its name, at its tap alone."""
    wrong = msgspec.structs.replace(WHERE, tap="pool", index={"channel": 2})

    def change(result: CosimResult, asked: dict[str, Any]) -> CosimResult:
        pool = TapResult(4, 1, 0, wrong, (wrong,))
        broken = only(accelerator, passed=False, first_mismatch=wrong, taps=result.taps | {"pool": pool})
        return broken(result, asked)

    check, _ = simulated(tmp_path, monkeypatch, BOTH, change)
    assert check.status is Status.FAILED
    assert str(check.reason).startswith(
        f"{accelerator}, stall none: 1 values differ, first image 1, tap pool, channel 2: "
    )
    found = {(t.tap, way.accelerator): way.mismatches for t in check.details.of(Agreement)[0].taps for way in t.ways}
    assert {place for place, count in found.items() if count} == {("pool", accelerator)}


def test_values_that_were_never_compared_are_no_agreement(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An accelerator that gives a tap's values of too few images, or no such tap, fails though nothing differs."""

    def fewer(result: CosimResult, asked: dict[str, Any]) -> CosimResult:
        return only("simd", taps=result.taps | {"pool": TapResult(3, 0, 0, None, ())})(result, asked)

    check, _ = simulated(tmp_path, monkeypatch, BOTH, fewer)
    assert (check.status, check.reason) == (Status.FAILED, "simd gave 7 values at pool, expected 8")

    def none(result: CosimResult, asked: dict[str, Any]) -> CosimResult:
        return only("simd", taps={tap: t for tap, t in result.taps.items() if tap != "embed"})(result, asked)

    check, _ = simulated(tmp_path, monkeypatch, BOTH, none)
    assert (check.status, check.reason) == (Status.FAILED, "simd gave 16 values at embed, expected 32")


def test_broken_rule_of_the_bus_is_told_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault on an AXI channel fails the check with channel, cycle and what was seen there."""
    fault = Fault("burst", "m_axi_ar", 1, None, 0, 1234, "crosses 4 KiB")
    check, _ = simulated(tmp_path, monkeypatch, BOTH, only("simd", passed=False, faults=(fault,), fault_count=1))
    assert check.status is Status.FAILED
    assert "burst on m_axi_ar, image 1, cycle 1,234: crosses 4 KiB" in str(check.reason)


# --- cycles ---


def test_interval_of_the_simd_accelerator_is_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interval check holds the SIMD accelerator's greatest interval to its bound, and shows no other bound."""
    check, calls = simulated(
        tmp_path, monkeypatch, INTERVAL + "batch = 6\n", only("simd", interval=Spread(1, 2, 100, 5))
    )
    assert (check.status, calls[0]["batch"]) == (Status.PASSED, 6)
    assert check.details.of(Simulation)[0].bound_cycles is None
    check, _ = simulated(tmp_path, monkeypatch, INTERVAL, only("simd", interval=Spread(1, 2, 101, 5)))
    assert check.reason == "101 cycles between two images, expected at most 100"


def test_cycles_alone_in_batches_and_of_another_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs of one image, one job, one with kept parameters, the other model: the greatest of each is in the record."""
    check, calls = simulated(tmp_path, monkeypatch, CYCLES)
    assert (check.status, check.reason) == (Status.PASSED, None)
    settings = ("model", "accel", "images", "stall", "batch", "keep")
    assert [tuple(call[name] for name in settings) for call in calls] == [
        ("tiny", "simd", 4, "none", 1, False),
        ("tiny", "simd", 4, "none", 4, False),
        ("tiny", "simd", 4, "none", 4, True),
        ("wide", "simd", 4, "none", 1, False),
    ]
    (row,) = check.details.of(Cycles)
    assert (row.model, row.read_latency) == ("tiny", 64)
    assert (row.alone_cycles, row.batch_cycles, row.kept_cycles) == (950, 900, 700)
    assert (row.bound_cycles, row.published_cycles) == (1000, 1234)
    assert (row.faster_than, row.ratio, row.ratio_bound) == ("wide", round(1620 / 950, 4), 1.62)
    assert row.layers == (LayerFigures(0, "embed", 24, 16, 50, 20, 5, 3, 1),)
    assert row.timeline == (Span("load", 0, 70, 90),)
    assert row.utilisation == 24 / (256 * 950)
    assert check.summary == (
        "950 cycles for an image alone, bound 1,000, published 1,234; 900 cycles in a batch, 700 cycles with the "
        "parameters kept; wide takes 1.705 times as long"
    )
    figures = {figure.label: figure.value for figure in check.details.figures}
    assert figures["words read, of an image alone"] == 100
    assert figures["alone, wide"] == 1620
    assert [(s.model, s.batch, s.keep) for s in check.details.of(Simulation)] == [
        ("tiny", 1, False), ("tiny", 4, False), ("tiny", 4, True), ("wide", 1, False),
    ]  # fmt: skip
    html = page(simulations=check.details.of(Simulation))
    assert [html.count(f">simd, read latency 64, {text}<") for text in ("batch 1", "batch 4", "batch 4, keep")] == [
        2,
        1,
        1,
    ]


def test_memory_latency_of_a_cycles_check_is_used_throughout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan's memory latency holds for every run of a cycles check; where no model is compared there is no ratio."""
    text = CYCLES.replace('faster_than = { model = "wide", ratio = 1.62 }', "read_latency = 200")
    check, calls = simulated(tmp_path, monkeypatch, text)
    assert [call["read_latency"] for call in calls] == [200, 200, 200]
    row = check.details.of(Cycles)[0]
    assert (row.read_latency, row.faster_than, row.ratio, row.ratio_bound) == (200, None, None, None)
    assert "times as long" not in check.summary


def test_parameters_that_do_not_fit_are_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model too large for the rings is not run with kept parameters, and its figure says why there is none."""
    check, calls = simulated(tmp_path, monkeypatch, CYCLES.replace('model = "tiny"', 'model = "vast"'))
    assert [(call["model"], call["keep"]) for call in calls] == [("vast", False), ("vast", False), ("wide", False)]
    figures = {figure.label: figure.value for figure in check.details.figures}
    assert figures["greatest in a batch, parameters kept"] == "they do not fit"
    assert check.details.of(Cycles)[0].kept_cycles is None


def measured(batch: int, **changes: Any) -> Callable[[CosimResult, dict[str, Any]], CosimResult]:
    """These changes to the figures of runs of the tiny model with jobs of so many images."""

    def change(result: CosimResult, asked: dict[str, Any]) -> CosimResult:
        if (asked["model"], asked["batch"], asked["keep"]) != ("tiny", batch, False):
            return result
        assert result.simd is not None
        return result.replace(figures=msgspec.structs.replace(result.figures, **changes))

    return change


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        # The greatest counts, not the median.
        (measured(1, job_cycles=Spread(900, 950, 1001, 4)), "an image alone: 1,001 cycles, expected at most 1,000"),
        (measured(4, image_cycles=Spread(900, 950, 1002, 3)), "in a batch: 1,002 cycles, expected at most 1,000"),
        (measured(1, job_cycles=Spread(1000, 1000, 1000, 4)), "wide takes 1.6200 times as long"),
        (measured(1, job_cycles=None), "an image alone: the cycles of an image could not be measured"),
        (measured(4, image_cycles=None), "in a batch: the cycles of an image could not be measured"),
    ],
)
def test_too_many_cycles_fail(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[CosimResult, dict[str, Any]], CosimResult],
    reason: str,
) -> None:
    """A bound that is not held, alone or in a batch, too small a ratio, and what was not measured fail the check."""
    text = CYCLES.replace("1.62", "1.6201")
    check, _ = simulated(tmp_path, monkeypatch, text, change)
    assert check.status is Status.FAILED
    assert str(check.reason).startswith(reason)


def test_ratio_that_is_just_reached_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1,620 cycles over 1,000 are 1.62 times as long, and bound and ratio may be reached exactly."""
    check, _ = simulated(tmp_path, monkeypatch, CYCLES, measured(1, job_cycles=Spread(1000, 1000, 1000, 4)))
    assert (check.status, check.reason) == (Status.PASSED, None)


@pytest.mark.parametrize("number", range(4))
def test_cycles_of_wrong_values_do_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Each of the runs must be bit-exact, whatever its cycles; the failing one is kept."""
    calls = 0

    def change(result: CosimResult, _: dict[str, Any]) -> CosimResult:
        nonlocal calls
        calls += 1
        return result.replace(passed=calls != number + 1, first_mismatch=WHERE)

    replace_cosim(monkeypatch, Simulator(change))
    kept: list[Model] = []
    monkeypatch.setattr(simulation, "keep", lambda _folder, _result, model, _x, _rtl: kept.append(model))
    plan = load_plan(write_plan(tmp_path, CYCLES, head=PLAN))
    (check,) = run_plan(plan, output=tmp_path).checks
    assert check.status is Status.FAILED
    name = ("an image alone", "in a batch", "in a batch, parameters kept", "wide")[number]
    assert str(check.reason).startswith(f"{name}: 0 values differ, first image 1, tap embed")
    assert ([model.name for model in kept], check.kept) == (["wide" if name == "wide" else "tiny"], "failures/cycles")


# --- record and report ---


def row(**changes: Any) -> Cycles:
    """Measured cycles of a model of two layers, but for the changes."""
    layers = (
        LayerFigures(0, "embed", 25_600, 120, 200, 30, 20, 10, 5),
        LayerFigures(1, "classifier", 256, 16, 16, 0, 0, 0, 0),
    )
    spans = (
        Span("load", -1, 70, 110),
        Span("load", 0, 80, 95),
        Span("compute", 0, 100, 200),
        Span("write", -1, 215, 230),
    )
    return msgspec.structs.replace(
        Cycles("m", 64, 404, 390, None, 27_000, 29_441, "slow", 1.7123, 1.62, layers, spans), **changes
    )


def page(*rows: Cycles, simulations: tuple[Simulation, ...] = ()) -> str:
    """The report of one check with these cycles and simulations."""
    record = stored_record()
    check = msgspec.structs.replace(record.checks[0], kind="cycles", details=Details(data=(*rows, *simulations)))
    return render_report(msgspec.structs.replace(record, checks=(check,)))


def test_cycles_of_a_layer_are_split_without_rest() -> None:
    """Products, padding, waits by cause and what is left make up all cycles of a layer."""
    split = split_cycles(row().layers[0])
    assert split == {
        "the model's products": 100, "products of padding": 20, "waits for parameters": 30, "waits for the image": 20,
        "waits for the layer before": 10, "waits for room": 5, "rest": 15,
    }  # fmt: skip


def test_utilisation_is_drawn_as_it_is() -> None:
    """A panel a model; in it a bar a layer whose parts follow one another to the layer's cycles, and the share used."""
    first, second, spare = _utilisation((row(), row(model="n"), row(model="o"))).axes[:3]
    assert first.get_title(loc="left") == "m: 25.0% of 404 cycles"
    assert (second.get_title(loc="left")[0], spare.get_title(loc="left")[0]) == ("n", "o")
    bars = sorted((bar.get_x(), bar.get_width()) for bar in first.patches if round(bar.get_y() + 0.36) == 0)
    edges = [0, 100, 120, 150, 170, 180, 185, 200]
    assert [bar for bar in bars if bar[1]] == list(zip(edges, np.diff(edges), strict=False))
    bars = [(bar.get_x(), bar.get_width()) for bar in first.patches if round(bar.get_y() + 0.36) == 1]
    assert [bar for bar in bars if bar[1]] == [(0, 1), (1, 15)]
    assert [text.get_text() for text in first.texts] == ["50.0%", "6.2%"]
    assert [tick.get_text() for tick in first.get_yticklabels()] == ["0  embed", "1  classifier"]


def test_timeline_is_drawn_as_it_is() -> None:
    """Each span lies in its lane from its first to its last cycle, on one scale for all models, with one legend."""
    canvas = _timeline((row(), row(model="n", timeline=(Span("compute", 0, 0, 500),))))
    panels = canvas.axes
    lanes = {tick.get_position()[1]: tick.get_text() for tick in panels[0].get_yticklabels()}
    found = {
        (lanes[round(bar.get_y() + 0.35)], bar.get_x(), bar.get_x() + bar.get_width()) for bar in panels[0].patches
    }
    assert found == {
        ("load image", 70, 110), ("load parameters", 80, 95), ("compute", 100, 200), ("write result", 215, 230),
    }  # fmt: skip
    assert [axes.get_xlim() for axes in panels] == [(0, 500), (0, 500)]
    assert [[text.get_text() for text in legend.get_texts()] for legend in canvas.legends] == [
        ["load", "compute", "write back"]
    ]
    assert sorted(text.get_text() for text in panels[0].texts) == ["0", "0"]


@pytest.mark.slow
def test_report_shows_cycles_against_bound_and_published() -> None:
    """The table has a row a model: alone, bound, published, batches, share used; a dash where nothing was kept."""
    html = page(row())
    section = html[html.index("<h2>Cycles an image in the SIMD accelerator</h2>") :]
    cells = [" ".join(re.sub("<[^>]*>", "", cell).split()) for cell in re.findall(r"<td.*?</td>", section, re.DOTALL)]
    assert cells[:9] == ["m", "404", "27,000", "29,441", "390", "–", "25.0%", "64", "slow: 1.712, at least 1.62"]  # noqa: RUF001
    assert "Where the SIMD accelerator&#39;s cycles go" in html
    assert "Timeline of an image in the SIMD accelerator" in html
    bare = page(row(alone_cycles=None, batch_cycles=None, faster_than=None, ratio=None, layers=(), timeline=()))
    assert "<svg" not in bare
    assert "None" not in "".join(Page(bare).texts)


@pytest.mark.slow
def test_report_shows_the_agreement_three_ways() -> None:
    """A line a check with the values in each accelerator, a row a tap; nothing at all where there was no such check."""
    html = render_report(stored_record())
    section = html[html.index("<h2>Several accelerators") : html.index("<h2>RTL simulations")]
    text = " ".join("".join(Page(section).texts).split())
    assert "3 images, 2 stall pattern(s), 2 taps, 15 values of the model" in text
    assert "stream: 30 compared, 0 differ; simd: 30 compared, 1 differ" in text
    assert "pool5100101" in text  # the last row: values, then compared and different in each accelerator
    assert "Several accelerators" not in page(row())


@pytest.mark.slow
def test_hostile_names_in_cycles_are_shown_not_obeyed() -> None:
    """Markup in the name of a model or layer is text, in the table and in both pictures."""
    layer = LayerFigures(0, HOSTILE, 1, 1, 1, 0, 0, 0, 0)
    hostile = page(row(model=HOSTILE, faster_than=HOSTILE, layers=(layer,)))
    assert set(Page(hostile).tags) - {"wbr"} == set(Page(page(row())).tags)
    assert hostile.count("<script>") == 1  # the page's own


def test_record_from_before_the_simd_accelerator_is_read(tmp_path: Path) -> None:
    """A record without accelerators, agreements and cycles is one still, of streaming simulations."""
    record: SignoffRecord = stored_record()
    content = msgspec.json.decode(encode_record(record))
    for check in content["checks"]:
        del check["details"]["agreements"], check["details"]["cycles"]
        for row in check["details"]["simulations"]:
            del row["accelerator"], row["batch"], row["keep"]
    path = tmp_path / "old.json"
    path.write_bytes(msgspec.json.encode(content))
    details = read_record(path).checks[0].details
    assert (details.of(Agreement), details.of(Cycles)) == ((), ())
    assert [simulation.accelerator for simulation in details.of(Simulation)] == ["stream"]


# --- the RTL itself ---


REAL = (
    BOTH.replace('"random:{seed}"]', '"random:{seed}+reset:{seed}:2"]')
    + BOTH.replace('"both"', '"disturbed"')
    .replace('["stream", "simd"]', '"simd"')
    .replace("random:", "error:{seed}+stop:")
    + CYCLES.replace("bound = 1000", "bound = 2000").replace("1.62", "1")
    + CYCLES.replace('"cycles"\nmodel', '"too-strict"\nmodel').replace("bound = 1000", "bound = 100")
    + INTERVAL.replace("bound = 100", "bound = 2000")
)


@pytest.mark.verilator  # simulates the RTL
@pytest.mark.thorough
def test_simd_rtl_is_checked(tmp_path: Path) -> None:
    """The tiny model agrees three ways in the RTL itself, and its cycles are measured and judged."""
    checks = by_name(run_plan(load_plan(write_plan(tmp_path, REAL, head=PLAN))))
    assert {name: str(check.status) for name, check in checks.items()} == {
        "both": "passed", "disturbed": "passed", "cycles": "passed", "too-strict": "failed", "interval": "passed",
    }, [check.reason for check in checks.values()]  # fmt: skip
    ways = [way for tap in checks["both"].details.of(Agreement)[0].taps for way in tap.ways]
    assert {way.accelerator for way in ways} == {"stream", "simd"}
    cycles = checks["cycles"].details.of(Cycles)[0]
    assert cycles.alone_cycles is not None
    assert cycles.batch_cycles is not None
    assert cycles.kept_cycles is not None
    # embed 4 x 3 x 2, linears over 4 tokens x 2 x 4, 4 x 2 x 3 and back, classifier 2 x 2.
    assert [layer.macs for layer in cycles.layers] == [24, 32, 24, 24, 4]
    assert sum(layer.cycles for layer in cycles.layers) <= cycles.alone_cycles
    assert re.fullmatch(
        r"an image alone: [\d,]+ cycles, expected at most 100; in a batch: .*", str(checks["too-strict"].reason)
    )
