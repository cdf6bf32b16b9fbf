"""The images that refute a design: made least, by simulating what is left of them, and explained by `diff`'s labels."""

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Integers
from fxsim.cosim import CosimRequest, CosimResult, run_cosim
from fxsim.devices import Layout
from fxsim.errors import FxsimError
from fxsim.explain.result import UNEXPLAINED, Fault
from fxsim.explain.run import diff
from fxsim.graph import Model
from fxsim.simulate.differences import Differences
from fxsim.traces.kept import Given

SECONDS = 60.0
"""Seconds for which smaller images are looked for; those that are then the least stand."""
AT_ONCE = 32
"""Images that are tried in one simulation."""

Maker = Callable[[Integers, tuple[int, ...]], CosimRequest]
"""Makes the request that simulates the design on images, from power-on seeds."""


class Shown(NamedTuple):
    """Images of which the last differs in one run, and that run. `least`: no smaller ones were left to try."""

    x: Integers
    result: CosimResult
    least: bool


def simulate(request: CosimRequest) -> tuple[CosimResult, Given | None]:
    """A simulation, and what the RTL gave in the first images that differ."""
    given: list[Given] = []
    return run_cosim(request, given=given.append), given[0] if given else None


def shrink(make: Maker, x: Integers, result: CosimResult) -> Shown:
    """The least images that show what a run on `x` found first: the same tap wrong, or the same rule broken.

    First as few as show it, one where that does; then with as many values 0 as do, and the others as small.
    """
    search = _Search(make, result)
    failing = min(result.verdict.failing_image or 0, len(x) - 1)
    for first in dict.fromkeys((failing, max(failing - 1, 0), 0)):
        images = x[first : failing + 1]
        if search.alone(images):
            break
    else:
        return Shown(x[: failing + 1], result, least=False)
    if len(images) > 1 or search.tap is None:
        empty = np.zeros_like(images)
        if search.alone(empty):
            return Shown(empty, search.last, least=len(images) == 1)
        search.alone(images)
        return Shown(images, search.last, least=False)
    image, least = search.values(images[0])
    if not search.alone(image[None]):
        # In a run of several it was another image's doing.
        image, least = images[0], False
        search.alone(images)
    return Shown(image[None], search.last, least)


class _Search:
    """Tries images, as long as there is time. `tap`: the one that must be the first that is wrong, None: a rule."""

    def __init__(self, make: Maker, result: CosimResult) -> None:
        self._make = make
        self._seed = (result.provenance.power_on_seed,)
        self._finding = _finding(result)
        first = result.verdict.first_mismatch
        self.tap = None if first is None else first.tap
        self.last = result
        self._until = time.monotonic() + SECONDS

    def alone(self, images: Integers) -> bool:
        """Whether images show the same in a run of their own, which is then the last."""
        found = run_cosim(self._make(images, self._seed))
        if _finding(found) != self._finding:
            return False
        self.last = found
        return True

    def values(self, image: Integers) -> tuple[Integers, bool]:
        """The image with as many values 0 as still show it, and the others smaller; whether nothing was left to try."""
        best = image.copy()
        if self._shows(np.zeros_like(best)[None])[0]:
            return np.zeros_like(best), True
        size = 1 << max(best.size // 16, 1).bit_length()
        while size and time.monotonic() < self._until:
            places = np.flatnonzero(best)
            blocks = [places[at : at + size] for at in range(0, len(places), size)]
            best, _ = self._apply(best, [(block, np.zeros(len(block), best.dtype)) for block in blocks])
            size //= 2
        moved = True
        while moved and time.monotonic() < self._until:
            places = np.flatnonzero(best)
            values = best.reshape(-1)
            large = [place for place in places.tolist() if abs(int(values[place])) > 1]
            halves = [(np.array([place]), (values[[place]] / 2).astype(best.dtype)) for place in large]
            best, moved = self._apply(best, halves)
        return best, time.monotonic() < self._until

    def _apply(self, best: Integers, changes: list[tuple[npt.NDArray[np.int64], Integers]]) -> tuple[Integers, bool]:
        """Make those changes of an image that show the same together: each is tried, then more and more of the good."""
        moved = False
        for at in range(0, len(changes), AT_ONCE):
            if time.monotonic() >= self._until:
                break
            some = changes[at : at + AT_ONCE]
            good = [change for change, shows in zip(some, self._shows(_each(best, some)), strict=True) if shows]
            if not good:
                continue
            sums = np.stack(list(_sums(best, good)))
            shown = np.flatnonzero(self._shows(sums))
            if len(shown):
                best, moved = sums[int(shown[-1])], True
        return best, moved

    def _shows(self, images: Integers) -> list[bool]:
        """Whether the tap is the first in the graph that is wrong, of each image, simulated one after the other."""
        found: list[tuple[Layout, Differences]] = []
        run_cosim(self._make(images, self._seed), whole=lambda layout, every: found.append((layout, every)))
        ((layout, every),) = found
        order = dict(enumerate(layout.shown)) | {-1: layout.output}
        shows = []
        for image in range(len(images)):
            known = every.cut is None or image < every.cut
            wrong = {int(source) for source in every.records["source"][every.records["image"] == image]}
            first = next((name for number, name in order.items() if number in wrong), None)
            shows.append(known and first == self.tap)
        return shows


def _each(best: Integers, changes: list[tuple[npt.NDArray[np.int64], Integers]]) -> Integers:
    images = np.repeat(best[None], len(changes), axis=0)
    for image, (places, values) in zip(images, changes, strict=True):
        image.reshape(-1)[places] = values
    return images


def _sums(best: Integers, changes: list[tuple[npt.NDArray[np.int64], Integers]]) -> Iterator[Integers]:
    image = best.copy()
    for places, values in changes:
        image.reshape(-1)[places] = values
        yield image.copy()


def _finding(result: CosimResult) -> tuple[str, ...]:
    """The kind of what a run found first, without its place: a tap that is wrong, a rule that is broken, or a stop."""
    verdict = result.verdict
    if verdict.passed:
        return ()
    if verdict.first_mismatch is not None:
        return "differs", verdict.first_mismatch.tap
    if verdict.faults:
        return "fault", verdict.faults[0].kind, str(verdict.faults[0].stream)
    return ("stuck",)


def explain(model: Model, result: CosimResult, given: Given | None) -> Fault | None:
    """The cause that `diff` finds for the first wrong tap of a run; None where it found none of its own there."""
    first = result.verdict.first_mismatch
    if given is None or first is None:
        return None
    taps = {tap: values for tap, values in given.taps.items() if tap in model.graph.by_name}
    try:
        found = diff(model, given.x, taps)
    except FxsimError:
        return None
    wanted = first.carries or first.tap
    return next((fault for fault in found.faults if fault.tap == wanted), None)


def label_of(fault: Fault | None) -> str:
    """The label of a cause where it makes every value; else `unexplained`."""
    return fault.label if fault is not None and fault.exact else UNEXPLAINED
