"""A co-simulation in parts: its images split over simulators side by side, each from power-on, and put together.

What is compared, and what differs first, is what one simulator gives, unless an image does something to one after it
that is of another part: nobody looks at that. What depends on the images before is refused (stall patterns that go on
from image to image, waveforms), left out (intervals, latencies of all images), or stated part by part (cycles).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from typing import Any, Protocol

import msgspec

from fxsim.cosim.request import POWER_ON_IMAGES, CosimRequest
from fxsim.cosim.result import CosimResult, TapResult
from fxsim.devices import Fitted
from fxsim.errors import StimulusError
from fxsim.simulate import Stall
from fxsim.traces.kept import Given

_EXAMPLES_MAX = 8
_FAULTS_MAX = 16
"""Differences of a stream, and faults, that a harness keeps of one run."""
_KINDS = frozenset({"wait", "gap"})
"""Patterns that are the same for every image, whatever came before."""


class Run(Protocol):
    """The function that runs a request in one simulator."""

    def __call__(
        self,
        request: CosimRequest,
        *,
        progress: Callable[[int, int], None] | None = None,
        status: Callable[[str], None] | None = None,
        given: Callable[[Given], None] | None = None,
    ) -> CosimResult:
        """Run it."""


def cut(request: CosimRequest, fitted: Fitted, pattern: Stall, start: int, stop: int) -> tuple[tuple[int, int], ...]:
    """The parts, as (start, stop) of images: `jobs`, or as many as can be. StimulusError says what forbids it."""
    if refused := sorted(pattern.kinds - _KINDS):
        raise StimulusError(
            f"stall pattern '{pattern.text}': where '{refused[0]}' falls depends on all images before, of which those "
            "that are split over jobs know nothing: leave out jobs"
        )
    if request.wave is not None:
        raise StimulusError("a waveform is of one simulator: leave out jobs")
    unit = fitted.part_images
    if unit is None:
        raise StimulusError("all images are one job of the accelerator, which cannot be split: state its batch")
    units = -(-(stop - start) // unit)
    parts = min(request.jobs, units)
    bounds = [min(stop, start + unit * (units * part // parts)) for part in range(parts + 1)]
    return tuple(pairwise(bounds))


def requests_of(
    request: CosimRequest, parts: Sequence[tuple[int, int]], seeds: tuple[int, ...]
) -> tuple[CosimRequest, ...]:
    """A request of each part, at power-on under the first seed, and last, where there are further seeds, theirs.

    The last one is as without parts: of the first images.
    """
    start, stop = parts[0][0], parts[-1][1]
    found = [replace(request, jobs=1, images=part, power_on_seeds=seeds[:1]) for part in parts]
    if len(seeds) > 1:
        few = (start, min(stop, start + POWER_ON_IMAGES))
        found.append(replace(request, jobs=1, images=few, power_on_seeds=seeds))
    return tuple(found)


def join(
    fitted: Fitted, results: Sequence[CosimResult], parts: Sequence[tuple[int, int]], seeds: tuple[int, ...]
) -> CosimResult:
    """One result of those of `requests_of`, in order; that of further seeds may be left out where a part failed."""
    result = _join(fitted, results[: len(parts)], tuple(parts))
    others = results[len(parts) :]
    if result.passed and others and not others[0].passed:
        return others[0]
    return result.replace(power_on_seeds=seeds)


def run_in_parts(
    request: CosimRequest,
    fitted: Fitted,
    parts: Sequence[tuple[int, int]],
    seeds: tuple[int, ...],
    run: Run,
    progress: Callable[[int, int], None] | None,
    status: Callable[[str], None] | None,
    given: Callable[[Given], None] | None,
) -> CosimResult:
    """Run a request's images in parts, side by side, and put the results together.

    Further power-on seeds are run as without parts: on the first images, where all passed.
    """
    total = parts[-1][1] - parts[0][0]
    requests = requests_of(request, parts, seeds)
    done = [0] * len(parts)
    gave: dict[int, Given] = {}

    def run_part(number: int) -> CosimResult:
        def tell(images: int, _total: int) -> None:
            done[number] = images
            if progress is not None:
                progress(sum(done), total)

        told = status if number == 0 else None
        return run(requests[number], progress=tell, status=told, given=lambda found: gave.__setitem__(number, found))

    with ThreadPoolExecutor(len(parts), "fxsim-part") as pool:
        waiting = [pool.submit(run_part, number) for number in range(len(parts))]
        try:
            results = [future.result() for future in waiting]
        finally:
            pool.shutdown(cancel_futures=True)
    if all(result.passed for result in results):
        others = [run(further, status=status, given=given) for further in requests[len(parts) :]]
        return join(fitted, [*results, *others], parts, seeds)
    result = join(fitted, results, parts, seeds)
    first = result.verdict.first_mismatch
    if given is not None and first is not None:
        number = next(n for n, (begin, end) in enumerate(parts) if begin <= first.image < end)
        if number in gave:
            given(gave[number])
    return result


def _join(fitted: Fitted, results: Sequence[CosimResult], parts: tuple[tuple[int, int], ...]) -> CosimResult:
    """One result of those of the parts, in order; what would have come after a part that stopped does not count."""
    counted: list[CosimResult] = []
    for result in results:
        counted.append(result)
        whole = result.provenance.image_stop - result.provenance.image_start
        if result.verdict.stopped is not None or result.verdict.images < whole:
            break
    first, failed = counted[0], next((result for result in counted if not result.passed), None)
    differing = next((result for result in counted if result.verdict.first_mismatch is not None), None)
    seconds = sum(result.timing.simulation_seconds for result in counted)
    taps = {
        tap: _join_taps([result.streams.taps[tap] for result in counted], [each.streams.taps[tap] for each in results])
        for tap in first.streams.taps
    }
    output = _join_taps([result.streams.output for result in counted], [each.streams.output for each in results])
    built = next((result.build for result in results if not result.build.build_cached), first.build)
    joined = msgspec.structs.replace(first, build=built)
    # What is said of more than one image rests on those before, which the first of each part does not have.
    unmeasured: dict[str, Any] = dict.fromkeys(
        ("interval_cycles", "interval", "input_interval", "latency", "interval_within_bound")
    )
    return joined.replace(
        passed=failed is None,
        images=sum(result.verdict.images for result in counted),
        first_mismatch=None if differing is None else differing.verdict.first_mismatch,
        origins=None if differing is None else differing.verdict.origins,
        faults=tuple(fault for result in counted for fault in result.verdict.faults)[:_FAULTS_MAX],
        fault_count=sum(result.verdict.fault_count for result in counted),
        stopped=counted[-1].verdict.stopped,
        replay=None if failed is None else failed.verdict.replay,
        taps=taps,
        output=output,
        moments={name: sum(result.streams.moments[name] for result in counted) for name in first.streams.moments},
        cycles=sum(result.timing.cycles for result in counted),
        resets=sum(result.timing.resets for result in counted),
        cycles_per_second=round(sum(result.timing.cycles for result in counted) / max(seconds, 1e-9)),
        simulation_seconds=round(seconds, 6),
        simulation_cpu_seconds=round(sum(result.timing.simulation_cpu_seconds for result in counted), 6),
        waiting_seconds=round(sum(result.timing.waiting_seconds for result in counted), 6),
        image_start=parts[0][0],
        image_stop=parts[-1][1],
        parts=parts,
        figures=fitted.join_figures([result.figures for result in counted]),
        **unmeasured,
    )


def _join_taps(counted: Sequence[TapResult], every: Sequence[TapResult]) -> TapResult:
    """The result of one stream over the parts that count; `every`: over all, of which as many values are expected."""
    largest = [tap.largest for tap in counted if tap.largest is not None]
    return TapResult(
        compared=sum(tap.compared for tap in counted),
        mismatches=sum(tap.mismatches for tap in counted),
        stalled_cycles=sum(tap.stalled_cycles for tap in counted),
        first_mismatch=next((tap.first_mismatch for tap in counted if tap.first_mismatch is not None), None),
        examples=tuple(example for tap in counted for example in tap.examples)[:_EXAMPLES_MAX],
        values=sum(tap.values for tap in every),
        largest=max(largest) if len(largest) == len(counted) else None,
    )
