"""The scoreboard: a model's values against those of a design, as they pass, in any simulator that cocotb drives."""

import logging
import random
from asyncio import CancelledError
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn, Unpack

import cocotb
from cocotb.task import current_task
from cocotb.triggers import FallingEdge, ReadOnly

from fxsim.cocotb.bus import Bus, bits_of, check_signal, width_of
from fxsim.cocotb.check import TapCheck
from fxsim.cocotb.ends import Driver, Monitor, Stall
from fxsim.cocotb.failure import Failure, NeverCheckedError, ScoreboardError, kept_words
from fxsim.cocotb.layout import Layout, Packing, bus_order
from fxsim.compare import Comparison, Difference, Values, sentence
from fxsim.contract import Tensor
from fxsim.contract.arithmetic import Integers
from fxsim.engines import run
from fxsim.errors import ComparisonError, StimulusError
from fxsim.formats import model_sha256
from fxsim.graph import INPUT, Model

_log = logging.getLogger("cocotb.fxsim")


class Scoreboard:
    """Compares what passes at a design's buses with what a model computes for `images`, [image, ...] as it takes them.

    A cycle is looked at, and its inputs are driven, from the falling edge of `clock` on, once all has settled: what is
    seen then is what the rising edge acts on. `reset` (active high) or `reset_n` (active low): nothing counts while it
    is active; without either, make the scoreboard after the reset. `collect`: differences after which the test fails;
    the first, by default. `seed`: of all that is random here; by default cocotb's. `directory`: where failures are
    kept. `engine`: who computes the model; by default plain numpy, which brings no compiler into the simulator.

    A test ends with `finished` or `check`. One that does with neither fails: nobody would know whether all values came.
    """

    def __init__(
        self,
        model: Model,
        images: Integers,
        clock: Any,
        *,
        reset: Any = None,
        reset_n: Any = None,
        collect: int = 1,
        seed: int | None = None,
        directory: str | Path = "fxsim-failures",
        engine: str = "reference",
    ) -> None:
        self.model = model
        self.images = model.check_stimulus(images, "images")
        if len(self.images) == 0:
            raise StimulusError("images has no images, expected at least one")
        if reset is not None and reset_n is not None:
            raise ComparisonError("reset and reset_n are both given, expected one of them at most")
        if type(collect) is not int or collect < 1:
            raise ComparisonError(f"collect is {collect!r}, expected a whole number from 1 on")
        for name, handle in (("clock", clock), ("reset", reset), ("reset_n", reset_n)):
            if handle is not None or name == "clock":
                check_signal(handle, name, 1)
        self.clock = clock
        self.seed = cocotb.RANDOM_SEED % 2**32 if seed is None else seed
        self.cycle = 0
        """Cycles since the scoreboard was made."""
        self._reset, self._active = (reset, "1") if reset_n is None else (reset_n, "0")
        self._started = False
        self._collect = collect
        self._directory = Path(directory)
        self._engine = engine
        self._checks: dict[str, TapCheck] = {}
        self._driver: Driver | None = None
        self._monitors: list[Monitor] = []
        self._values: dict[str, Values] = {INPUT: self.images}
        self._differences = 0
        self._first: Difference | None = None
        self._progress = 0
        self._closed = False
        self._owner = current_task()
        cocotb.start_soon(self._run(), name="scoreboard")

    # --- what is driven and watched ---

    def drive(self, bus: Bus, *, stall: Stall = 0.0, **packing: Unpack[Packing]) -> None:
        """Drive the images over a bus. `stall`: the share of cycles without a value, or True for each such cycle.

        `packing`: how values lie on the bus. ComparisonError where it does not fit.
        """
        if self._driver is not None:
            raise ComparisonError(f"{bus.name} is driven with the images, which {self._driver.bus.name} is already")
        if bus.has_function:
            raise ComparisonError(f"{bus.name}: valid is a function, expected a signal to drive")
        layout = _layout(INPUT, self.model.graph.input, bus, packing)
        self._driver = Driver(bus, layout, self.images, stall, self._rng(f"drive {bus.name}"))

    def monitor(
        self, tap: str, bus: Bus, *, stall: Stall | None = None, stable: bool = True, **packing: Unpack[Packing]
    ) -> None:
        """Watch a bus that carries the values of `tap`, or the images where that is `input`.

        `stall`: drive ready, and hold it back in this share of cycles; without it somebody else drives ready. `stable`:
        a value that is shown has to stay until it is taken. `packing`: how values lie on the bus.

        StimulusError names a tap that is not there, ComparisonError what does not fit.
        """
        check = self._check_of(tap, packing.get("order"))
        layout = _layout(tap, check.tensor, bus, packing)
        self._monitors.append(Monitor(bus, layout, check, stall, stable, self._rng(f"monitor {tap}")))
        self._checks[tap] = check

    def checker(self, tap: str, order: Sequence[str] | None = None) -> TapCheck:
        """The check of a tap whose values the testbench collects itself and gives to `add`."""
        self._checks[tap] = check = self._check_of(tap, order)
        return check

    @property
    def unwatched(self) -> tuple[str, ...]:
        """Taps of the model at which nothing is compared."""
        return tuple(tap for tap in self.model.graph.taps if tap not in self._checks)

    # --- the end ---

    async def finished(self, timeout_cycles: int = 10_000, settle_cycles: int = 100) -> Comparison:
        """Wait for all values of all images, then `settle_cycles` for any too many, and `check`.

        The test fails where nothing passes for `timeout_cycles`.
        """
        self._refuse_nothing()
        self._progress = self.cycle
        while not self._complete():
            await FallingEdge(self.clock)
            if self.cycle - self._progress > timeout_cycles and not self._complete():
                self._fail(f"{self._missing()}; nothing passed for {timeout_cycles:,} cycles ({self._states()})", True)
        for _ in range(settle_cycles):
            await FallingEdge(self.clock)
        return self.check()

    def check(self) -> Comparison:
        """Demand that every value of every tap watched has come and none differed, and end the scoreboard.

        ScoreboardError, an AssertionError, where that is not so; ComparisonError where no tap is watched.
        """
        self._refuse_nothing()
        comparison = self.comparison()
        if not self._complete():
            self._fail(f"{self._missing()} ({self._states()})", True)
        if not comparison.equal:
            self._fail(self._words())
        self._closed = True
        _log.info(
            "%s: %d images, %d values compared at %s: all equal",
            self.model.name, comparison.images, comparison.values, ", ".join(self._checks),
        )  # fmt: skip
        if self.unwatched:
            _log.warning("%s: not watched: %s", self.model.name, ", ".join(self.unwatched))
        return comparison

    def comparison(self) -> Comparison:
        """All taps that are watched as they stand, in the order of the graph."""
        taps = [self._checks[tap].result() for tap in (INPUT, *self.model.graph.taps) if tap in self._checks]
        return Comparison(
            expected=f"model {self.model.name}", found=cocotb.SIM_NAME, images=len(self.images), taps=tuple(taps)
        )

    # --- each cycle ---

    async def _run(self) -> None:
        try:
            while not self._closed:
                await FallingEdge(self.clock)
                in_reset = self._in_reset()
                for end in self._ends():
                    if in_reset:
                        end.reset()
                    else:
                        end.drive()
                await ReadOnly()
                if not in_reset and not self._closed:
                    for end in self._ends():
                        if end.sample(self._fail, self.cycle):
                            self._progress = self.cycle
                self.cycle += 1
        except CancelledError:
            # A test that fails of itself says enough.
            owner = self._owner
            if self._closed or (owner.done() and not owner.cancelled() and owner.exception() is not None):
                raise
            missing = self._words() if self._first else self._missing() if self._checks else "no tap was watched"
            message = f"the test ended without `finished` or `check` of its scoreboard: {missing}"
            _log.error("%s", message)
            raise NeverCheckedError(message) from None

    def _in_reset(self) -> bool:
        """Whether this cycle is one of a reset. Unknown counts as reset before the first cycle without one."""
        if self._reset is None:
            self._started = True
            return False
        bits = bits_of(self._reset)
        if bits not in ("0", "1") and self._started:
            self._fail(f"reset {self._reset._name} is {bits.lower()}, expected 0 or 1 (cycle {self.cycle:,})")
        active = bits == self._active or bits not in ("0", "1")
        if active and self._started and self._any_value():
            self._fail(
                f"reset {self._reset._name} is active after values have passed (cycle {self.cycle:,}); expected none: "
                "make a scoreboard for what comes after it"
            )
        self._started = self._started or not active
        return active

    def _ends(self) -> list[Driver | Monitor]:
        return [*([self._driver] if self._driver is not None else []), *self._monitors]

    # --- verdicts ---

    def _any_value(self) -> bool:
        driven = self._driver is not None and self._driver.done > 0
        return driven or any(check.done for check in self._checks.values())

    def _complete(self) -> bool:
        driven = self._driver is None or self._driver.idle
        return driven and all(check.complete for check in self._checks.values())

    def _refuse_nothing(self) -> None:
        if self._closed:
            raise ComparisonError("the scoreboard has ended already, expected one `finished` or `check`")
        if not self._checks:
            self._closed = True
            raise ComparisonError(f"no tap of model '{self.model.name}' is watched, expected at least one monitor")

    def _missing(self) -> str:
        """Words for what has not come: the next place of each tap, and what was not taken of the images."""
        parts = []
        for check in self._checks.values():
            if not check.complete:
                came = f"{check.done:,} of {check.images * check.tensor.size:,} values came"
                parts.append(f"tap {check.tap}: {came}, the next is {check.place_of(check.done)}")
        if self._driver is not None and not self._driver.idle:
            parts.append(f"{self._driver.bus.name}: {self._driver.done:,} of {self._driver.beats:,} beats were taken")
        return "; ".join(parts) or "every value came"

    def _states(self) -> str:
        return "; ".join(f"{end.bus.name}: {end.state}" for end in self._ends()) or "nothing is sampled"

    def _words(self) -> str:
        assert self._first is not None
        more = f"; {self._differences:,} values differ" if self._differences > 1 else ""
        return (self.comparison().reason or sentence(self._first)) + more

    def _report(self, difference: Difference) -> None:
        self._first = self._first or difference
        self._differences += 1
        if self._differences >= self._collect:
            self._fail(self._words())

    def _fail(self, reason: str, missing: bool = False) -> NoReturn:
        """End the scoreboard, keep the failure, and fail the test. `missing`: the image that failed is one to come."""
        if self._first is not None and self._differences < self._collect:
            reason = f"{self._words()}; then {reason}" if not reason.startswith(self._words()) else reason
        self._closed = True
        images = max((check.images_begun + missing for check in self._checks.values()), default=1)
        comparison = self.comparison()
        failure = Failure(
            reason=reason,
            model=self.model.name,
            model_sha256=model_sha256(self.model),
            images=max(1, min(images, len(self.images))),
            of_images=len(self.images),
            seed=self.seed,
            cycle=self.cycle,
            comparison=comparison,
            unwatched=self.unwatched,
            simulator=f"{cocotb.SIM_NAME} {cocotb.SIM_VERSION}",
        )
        words, folder = kept_words(self._directory.resolve(), failure, self.model, self.images)
        raise ScoreboardError(f"{reason}\n{words}; the same traffic again: seed={self.seed}", comparison, folder)

    # --- making ---

    def _rng(self, name: str) -> random.Random:
        return random.Random(f"{self.seed} {name}")  # noqa: S311  # traffic, repeatable by its seed

    def _check_of(self, tap: str, order: Sequence[str] | None) -> TapCheck:
        if tap != INPUT:
            (tap,) = self.model.select_taps([tap])
        if tap in self._checks:
            raise ComparisonError(f"tap '{tap}' is watched already, expected one monitor a tap")
        tensor = self.model.graph.tensors[tap]
        axes = bus_order(tap, tensor, order)
        return TapCheck(
            tap, tensor, axes, len(self.images), lambda: self._expected(tap), self._report, self._fail, self._collect
        )

    def _expected(self, tap: str) -> Values:
        """The model's values at a tap; those of all taps watched are computed at once."""
        if tap not in self._values:
            taps = [name for name in self._checks if name not in self._values]
            self._values |= run(self.model, self.images, taps, self._engine)
        return self._values[tap]


def _layout(tap: str, tensor: Tensor, bus: Bus, packing: Packing) -> Layout:
    """The layout of a tap's values on a bus; ComparisonError where they do not fit."""
    options: dict[str, Any] = {**packing}
    if unknown := sorted(set(options) - set(Packing.__annotations__)):
        raise ComparisonError(f"tap '{tap}': there is no '{unknown[0]}', expected {', '.join(Packing.__annotations__)}")
    axes = bus_order(tap, tensor, options.pop("order", None))
    partial = options.pop("pad", False) or bus.keep is not None
    if bus.by_lane:
        if options.pop("lanes", 1) != len(bus.parts) or options.keys() & {"lane_bits", "first_lane"}:
            raise ComparisonError(
                f"tap '{tap}': data of {bus.name} is {len(bus.parts)} signals, expected lanes={len(bus.parts)} "
                "and neither lane_bits nor first_lane"
            )
        options |= {"lanes": len(bus.parts), "lane_bits": width_of(bus.parts[0])}
    layout = Layout(tap, tensor, axes, bus.width, partial=partial, **options)
    if bus.keep is not None:
        layout.check_keep(width_of(bus.keep))
    return layout
