"""Co-simulation in parts: what several simulators find of some of the images each is what one finds of all."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fxsim import load
from fxsim.cosim import CosimRequest, CosimResult, cosim, join_cosim, run_cosim, split_cosim
from fxsim.errors import StimulusError, ToolError
from fxsim.paths import golden_dir
from tests.conftest import ROOT
from tests.test_cosim import FAST_BUILD, IMAGES, MODEL, X, compare, edited_rtl
from tests.test_cosim_simd import NONE, VALUE_OF_NOTHING, pretend, stub

__all__ = ["stub"]  # a fixture


def told(result: CosimResult) -> dict[str, Any]:
    """What must be the same, in whatever parts: verdict, every count, the first difference but for its cycle."""
    streams = {**result.taps, "output": result.output}
    first = result.first_mismatch
    return {
        "passed": result.passed,
        "images": result.images,
        "range": (result.image_start, result.image_stop),
        "faults": [(fault.kind, fault.stream, fault.image) for fault in result.faults],
        "first": None if first is None else (first.image, first.tap, first.index, first.expected, first.got),
        "counts": {tap: (found.compared, found.mismatches, found.values) for tap, found in streams.items()},
        "largest": {tap: found.largest for tap, found in streams.items()},
        "examples": {
            tap: [(one.image, one.index, one.expected, one.got) for one in found.examples]
            for tap, found in streams.items()
        },
        "latency": (result.latency_cycles, result.first_output_cycles),
        "origins": None if result.origins is None else result.origins.images[:1],
    }


@pytest.mark.slow
@pytest.mark.parametrize(("jobs", "parts"), [(2, 2), (5, 5), (100, IMAGES)])
def test_right_design_in_parts(jobs: int, parts: int) -> None:
    """Every value is compared once, in whatever parts; what rests on images before is not measured."""
    whole, found = compare(stall="gap:3"), compare(stall="gap:3", jobs=jobs)
    assert found.passed
    assert told(found) == told(whole)
    assert len(found.parts) == parts
    assert [image for start, stop in found.parts for image in range(start, stop)] == list(range(IMAGES))
    assert (found.interval, found.interval_cycles, found.latency, found.interval_within_bound) == (None,) * 4
    assert found.power_on_seeds == whole.power_on_seeds
    assert (whole.parts, whole.interval is None) == ((), False)


@pytest.mark.slow
def test_first_difference_is_that_of_one_simulator(tmp_path: Path) -> None:
    """A wrong design has the same counts, first difference and examples; it is repeated from where its part begins."""
    rtl = edited_rtl(tmp_path, ("requantise.v", "wide[0]}", "1'b0}"))
    whole, found = compare(rtl=rtl), compare(rtl=rtl, jobs=3)
    assert not found.passed
    assert told(found) == told(whole)
    assert found.replay == whole.replay
    again = compare(rtl=rtl, images=found.replay)
    assert again.first_mismatch == found.first_mismatch


@pytest.mark.slow
def test_jobs_of_the_simd_accelerator_are_not_cut(stub: Path) -> None:
    """Parts are whole jobs; figures of jobs are those of one simulator where all jobs are alike, beats in any case."""
    images = [NONE] * 7
    whole, found = pretend(stub, *images, batch=2), pretend(stub, *images, batch=2, jobs=3)
    assert told(found) == told(whole)
    assert found.parts == ((0, 2), (2, 4), (4, 7))
    before, now = whole.simd, found.simd
    assert before is not None
    assert now is not None
    assert (now.jobs, now.read_beats, now.write_beats) == (4, before.read_beats, before.write_beats)
    assert (now.layers, now.timeline, now.image_cycles) == (before.layers, before.timeline, None)
    alike = pretend(stub, *images, batch=1, jobs=7)
    one = pretend(stub, *images, batch=1)
    assert alike.simd is not None
    assert one.simd is not None
    assert (alike.simd.job_cycles, alike.simd.single_image_cycles) == (
        one.simd.job_cycles,
        one.simd.single_image_cycles,
    )
    with pytest.raises(StimulusError, match="one job of the accelerator, which cannot be split"):
        pretend(stub, *images, jobs=2)


def test_only_the_image_that_is_wrong_fails(stub: Path) -> None:
    """A fault in the last part is found with the number of its image, and with the images that repeat it."""
    images = [NONE, NONE, NONE, NONE, NONE, VALUE_OF_NOTHING]
    whole, found = pretend(stub, *images, batch=1), pretend(stub, *images, batch=1, jobs=3)
    assert not found.passed
    assert (told(found)["faults"], told(found)["first"]) == (told(whole)["faults"], told(whole)["first"])
    assert found.replay is not None
    assert found.replay[0] == 4


@pytest.mark.parametrize(
    "stall", ["random:1", "input:1", "output:1", "burst:1", "reset:1", "gap:1+reset:2", "random:3+gap:1"]
)
def test_what_goes_on_from_image_to_image_is_refused(stall: str) -> None:
    """Patterns that fall elsewhere in parts are refused by name, before anything is built; so is a waveform."""
    with pytest.raises(StimulusError, match=r"falls depends on all images before.*leave out jobs"):
        compare(stall=stall, jobs=2)
    with pytest.raises(StimulusError, match="a waveform is of one simulator"):
        compare(wave=Path("wave.fst"), jobs=2)
    for jobs in (0, 1001, -1):
        with pytest.raises(StimulusError, match=f"jobs is {jobs}, expected 1 to 1000"):
            compare(jobs=jobs)
    with pytest.raises(StimulusError, match=r"jobs is 1\.5, expected a whole number"):
        compare(jobs=1.5)


def test_one_part_is_a_run_as_ever() -> None:
    """An image that cannot be split is run as without jobs, its intervals and parts included."""
    found = compare(images=(3, 4), jobs=4)
    assert (found.passed, found.parts, found.images) == (True, (), 1)


# --- Split and joined -------------------------------------------------------------------------------------------------


def small_request(**options: Any) -> CosimRequest:
    """The request of a co-simulation that `compare` runs."""
    return CosimRequest(MODEL, X, optimise=FAST_BUILD, **options)


@pytest.mark.slow
def test_requests_that_were_split_are_joined_to_the_same(tmp_path: Path) -> None:
    """Each run by itself, in any order, they give what one simulator gives: of a right design and of a wrong one."""
    for rtl in (None, edited_rtl(tmp_path, ("requantise.v", "wide[0]}", "1'b0}"))):
        request = small_request(jobs=3, rtl=rtl, stall="gap:3", power_on_seeds=(1, 2))
        requests = split_cosim(request)
        assert [(one.images, one.power_on_seeds, one.jobs) for one in requests] == [
            *((part, (1,), 1) for part in ((0, 4), (4, 8), (8, 12))), ((0, 2), (1, 2), 1),
        ]  # fmt: skip
        results = [run_cosim(one) for one in reversed(requests)][::-1]
        whole, found = run_cosim(replace(request, jobs=1)), join_cosim(request, results)
        assert (told(found), found.power_on_seeds) == (told(whole), whole.power_on_seeds)
        assert (whole.passed, found.passed) == ((rtl is None,) * 2)
        assert found.wall_seconds == max(result.wall_seconds for result in results)
        # None may be missing, be there twice, or be of another run.
        other = msgspec.structs.replace(results[0].provenance, stall="none")
        for wrong, message in (
            (results[:3], "3 results, expected 4"),
            ([*results[:2], results[1], results[3]], r"result 2 is of images \(4, 8\), expected \(8, 12\)"),
            ([*results[:3], results[0]], r"result 3 is of images \(0, 4\), expected \(0, 2\)"),
            ([msgspec.structs.replace(results[0], provenance=other), *results[1:]], "of stall none, expected gap:3"),
        ):
            with pytest.raises(StimulusError, match=message):
                join_cosim(request, wrong)
        # Results of the same places of other images, and of other Verilog than is asked for, though all of the same.
        images = X.copy()
        images[5, 0, 0] ^= 1
        with pytest.raises(StimulusError, match="result 1 is of images with the hash"):
            join_cosim(replace(request, x=images), results)
        lanes = msgspec.structs.replace(results[0].provenance, lanes=4)
        with pytest.raises(StimulusError, match="result 0 is of images side by side 4, expected 1"):
            join_cosim(request, [msgspec.structs.replace(results[0], provenance=lanes), *results[1:]])
        other_rtl = edited_rtl(tmp_path / f"other{rtl is None}", ("requantise.v", "wide[0]}", "1'b1}"))
        with pytest.raises(ToolError, match="result 0 is of other Verilog than the request's"):
            join_cosim(replace(request, rtl=other_rtl), results)


@pytest.mark.thorough
@pytest.mark.process
def test_units_on_a_cluster_build_once_and_are_one_result(tmp_path: Path) -> None:
    """Three processes that start at once on an empty cache build once; together they give what one simulator gives."""
    pytest.importorskip("distributed")
    images = golden_dir() / "images_16x12.npy"
    model = golden_dir() / "small_relu.safetensors"
    script = ROOT / "docs" / "examples" / "cosim_cluster.py"
    done = subprocess.run(
        [sys.executable, str(script), str(model), str(images), "6", "3"],
        env=os.environ | {"FXSIM_CACHE": str(tmp_path / "cache")}, stdout=subprocess.PIPE, check=True, timeout=600,
    )  # fmt: skip
    found = json.loads(done.stdout)
    assert found["builds"] == 1
    assert len(found["unit_cpu_seconds"]) == 7  # six parts, and the further power-on seeds
    whole = json.loads(json.dumps(msgspec.to_builtins(cosim(load(model), np.load(images)).flat())))
    seconds = {"simulation_cpu_seconds", "simulation_seconds", "waiting_seconds", "wall_seconds", "cycles_per_second"}
    # What rests on images before is not measured in parts, and each fills the pipeline anew.
    parted = {"parts", "interval_cycles", "interval", "input_interval", "latency", "interval_within_bound", "cycles"}
    left_out = seconds | parted | {"build_cached", "build_seconds", "moments"}
    for one in (found["result"], whole):
        assert len(one["taps"]) > 5
        for stream in (one["output"], *one["taps"].values()):
            del stream["stalled_cycles"]
    told, expected = ({k: v for k, v in one.items() if k not in left_out} for one in (found["result"], whole))
    assert told == expected
