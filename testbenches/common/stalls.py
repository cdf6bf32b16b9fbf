"""When a driver holds back its valid, or a sink its ready: endless streams of booleans, True for a cycle held back."""

from collections.abc import Callable, Iterator
from itertools import repeat

import numpy as np

Stall = Iterator[bool]
"""One value a cycle: True where the cycle is held back."""


def flowing() -> Stall:
    """Never holds back."""
    return repeat(False)


def blocked() -> Stall:
    """Always holds back."""
    return repeat(True)


def random(rng: np.random.Generator, share: float) -> Stall:
    """Holds back a share of all cycles, each on its own."""
    while True:
        yield from (rng.random(256) < share).tolist()


def bursts(rng: np.random.Generator, longest: int) -> Stall:
    """Long runs of either kind: up to `longest` cycles of flow, then up to `longest` held back."""
    while True:
        yield from repeat(False, int(rng.integers(1, longest + 1)))
        yield from repeat(True, int(rng.integers(1, longest + 1)))


StallPair = Callable[[np.random.Generator], tuple[Stall, Stall]]
"""Makes the stalls of a source and of a sink."""

PAIRS: dict[str, StallPair] = {
    "none": lambda _rng: (flowing(), flowing()),
    "slow_source": lambda rng: (random(rng, 0.7), flowing()),
    "slow_sink": lambda rng: (flowing(), random(rng, 0.7)),
    "both": lambda rng: (random(rng, 0.4), random(rng, 0.4)),
    "bursts": lambda rng: (bursts(rng, 20), bursts(rng, 20)),
}
"""Stall patterns by name."""
WAITING = "waiting_sink"
"""A sink is not ready before it is shown a beat: a sender that waited for it would wait for ever."""
STREAM_STALLS = [*PAIRS, WAITING]
"""Stalls that every stream module is tested under."""
