"""Places where values differ: the first tap, and of every later one what is inherited and what a fault of its own.

A node is computed again from what the trace itself has at its inputs. Where that gives what the trace has at the node,
a difference is inherited; where it does not, the fault is there.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fxsim.compare import Difference
from fxsim.compare.four_state import FourState
from fxsim.compare.lineage import Lineage
from fxsim.contract.arithmetic import Int64, Integers
from fxsim.engines import run
from fxsim.graph import INPUT, Model, Node

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TapState:
    """A tap of the trace.

    `differ`: values that are not the model's; of all of its values, `local` are not what its own inputs make;
    `inherited` differ and are. `unknown`: those that differ where its inputs hold what no value is. `first`: the first
    local difference (else the first of all), against what the inputs make.
    """

    tap: str
    values: int
    differ: int
    inherited: int
    local: int
    unknown: int
    first: Difference | None


@dataclass(frozen=True)
class Located:
    """A trace's values beside the model's: [image, ...] by tap, int64; `hidden` are bits that nobody knows, by tap."""

    model: Model
    x: Integers
    got: Mapping[str, Int64]
    unknown: Mapping[str, Mask]
    expected: Mapping[str, Integers]
    states: tuple[TapState, ...] = ()

    @property
    def faulty(self) -> tuple[str, ...]:
        """Taps with a fault of their own, in graph order."""
        return tuple(state.tap for state in self.states if state.local and state.differ)

    @property
    def mixed(self) -> tuple[str, ...]:
        """Taps that are the model's, every value, though their inputs in the trace are not: those were not used."""
        return tuple(state.tap for state in self.states if state.local and not state.differ)

    @cached_property
    def lineage(self) -> Lineage:
        """Every node computed again from what the trace has before it."""
        shown = {
            tap: None if tap in self.unknown and self.unknown[tap].any() else self._stands_for(tap, values)
            for tap, values in self.got.items()
        }
        return Lineage(self.model, {INPUT: self.x}, shown)

    def _stands_for(self, tap: str, values: Int64) -> Int64:
        """A tap's values as later nodes were given them: bits of -1 and 1 that are written as 0 and 1 stand for those.

        That they are written so is a fault of the tap that has them, not of what reads it.
        """
        if not (self.model.graph.tensors[tap].number.bipolar and np.isin(values, (0, 1)).all()):
            return values
        levels: Int64 = 2 * values - 1
        return levels if (values == 0).any() else values

    def inputs(self, tap: str) -> Int64 | None:
        """The input of a node that reads this tap, int64; None where it is not known."""
        values = self.lineage.given(tap)
        return None if values is None else values.astype(np.int64)

    def again(self, tap: str) -> Int64 | None:
        """A node's result by the contract, of its inputs as they were given, int64; None where these are not known."""
        values = self.lineage.again(tap)
        return None if values is None else values.astype(np.int64)

    def chain(self, tap: str) -> tuple[Node, ...]:
        """The nodes between a tap and the nearest before it that the trace has, in graph order, its own last."""
        return tuple(self.model.graph.by_name[name] for name in self.lineage.behind(tap))


def locate(model: Model, x: Integers, got: Mapping[str, npt.NDArray[np.integer] | FourState]) -> Located:
    """Compare a trace's taps, [image, ...] each, with the model on images `x`, and with what their inputs make."""
    taps = tuple(tap for tap in model.graph.taps if tap in got)
    unknown = {tap: got[tap].mask for tap in taps if isinstance(got[tap], FourState)}  # type: ignore[union-attr]
    plain = {tap: _numbers(got[tap]) for tap in taps}
    located = Located(model, x, plain, unknown, run(model, x, taps))
    return Located(model, x, plain, unknown, located.expected, tuple(_state(located, tap) for tap in taps))


def _numbers(values: npt.NDArray[np.integer] | FourState) -> Int64:
    whole: Int64 = (values.values if isinstance(values, FourState) else values).astype(np.int64)
    return whole


def _state(located: Located, tap: str) -> TapState:
    got, expected, again = located.got[tap], located.expected[tap].astype(np.int64), located.again(tap)
    hidden = located.unknown.get(tap, np.zeros(got.shape, bool))
    differ = (got != expected) | hidden
    if again is None:
        return TapState(
            tap, got.size, int(differ.sum()), 0, 0, int(differ.sum()), _first(located, tap, differ, expected)
        )
    local = (got != again) | hidden
    wanted, where = (again, local) if local.any() else (expected, differ)
    return TapState(
        tap, got.size, int(differ.sum()), int((differ & ~local).sum()), int(local.sum()), 0,
        _first(located, tap, where, wanted),
    )  # fmt: skip


def _first(located: Located, tap: str, where: Mask, wanted: Int64) -> Difference | None:
    if not where.any():
        return None
    image, *place = (int(i) for i in np.unravel_index(int(np.argmax(where)), where.shape))
    hidden = tap in located.unknown and bool(located.unknown[tap][(image, *place)])
    return Difference(
        image=image,
        tap=tap,
        expected=int(wanted[(image, *place)]),
        got="unknown bits" if hidden else int(located.got[tap][(image, *place)]),
        index=dict(zip(located.model.graph.tensors[tap].axes, place, strict=True)),
    )
