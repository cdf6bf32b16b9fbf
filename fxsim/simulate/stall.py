"""Stall patterns: when the harness holds back on either side of the accelerator, and how it disturbs it.

Of a device with streams the sides are its input and output; of one with a memory, the channels on which it reads and
those on which it writes.
"""

from dataclasses import dataclass, replace

from fxsim.errors import StimulusError

SEED_MAX = 2**63 - 1
GAP_MAX = 10**9
TIMES_MAX = 10**6
"""Most resets, errors or stops of a run."""

PATTERNS = {
    "none": "neither side ever holds back",
    "random:SEED[:P]": "both sides hold back in a random part P of all cycles (0.5)",
    "input:SEED[:P]": "the same, at the input (of a memory: reads) only",
    "output:SEED[:P]": "the same, at the output (of a memory: writes) only",
    "burst:SEED": "both sides hold back in runs of 1 cycle up to a few images",
    "wait": "ready of what takes the design's output, requests and data stays low until valid is high",
    "gap:N": "N idle cycles after each image, or each job",
    "reset:SEED[:N]": "N resets in any cycle (1); images that had not come out whole are sent again",
    "error:SEED[:N]": "N error responses on the bus (1); each must end its job, and the rest is run again",
    "stop:SEED[:N]": "N times (1) a job is stopped in any cycle, and the rest is run again",
    "aim:SEED": "resets, and stalls of either side, at each moment that is counted, one after the other",
}
"""Every pattern with what it does. Patterns are joined with '+', e.g. `random:7+gap:100+reset:3`."""


@dataclass(frozen=True)
class Random:
    """Hold back in each cycle with a probability, in millionths."""

    seed: int
    millionths: int


@dataclass(frozen=True)
class Burst:
    """Hold back and run free in turn, for random, widely spread numbers of cycles."""

    seed: int


Side = Random | Burst | None


@dataclass(frozen=True)
class Stall:
    """A stall pattern: stalls of either side, `gap` idle cycles, and how many resets, errors and stops there are.

    `waits`: ready waits for valid, as AXI allows a receiver. `aim`: the seed of what is aimed at each moment.
    """

    text: str
    input: Side = None
    output: Side = None
    waits: bool = False
    gap: int = 0
    resets: int = 0
    reset_seed: int = 0
    errors: int = 0
    error_seed: int = 0
    stops: int = 0
    stop_seed: int = 0
    aim: int | None = None

    @property
    def kinds(self) -> frozenset[str]:
        """Kinds of pattern in it: random (of either side), burst, wait, gap, reset, error, stop, aim."""
        sides = {type(side) for side in (self.input, self.output)}
        present = {"random": Random in sides, "burst": Burst in sides, "wait": self.waits, "gap": self.gap > 0}
        present["aim"] = self.aim is not None
        present |= {kind: times > 0 for kind, times in self.disturbances.items()}
        return frozenset(kind for kind, there in present.items() if there)

    @property
    def disturbances(self) -> dict[str, int]:
        """Disturbances by kind: how often each is carried out."""
        return {"reset": self.resets, "error": self.errors, "stop": self.stops}

    def only_reset(self, seed: int, times: int) -> "Stall":
        """The same pattern, disturbed by nothing but so many resets."""
        dropped = ("none", "aim", *self.disturbances)
        parts = [part for part in self.text.split("+") if part.partition(":")[0] not in dropped]
        parts += [f"reset:{seed}:{times}"] if times else []
        text = "+".join(parts) or "none"
        return replace(self, text=text, resets=times, reset_seed=seed if times else 0, errors=0, stops=0, aim=None)

    def waiting(self) -> "Stall":
        """The same pattern, in which ready waits for valid."""
        if self.waits:
            return self
        return replace(self, text="wait" if self.text == "none" else f"{self.text}+wait", waits=True)

    @property
    def disturbs(self) -> bool:
        """Whether images are run again: where that happens depends on how many there are."""
        return bool(self.resets or self.errors or self.stops or self.aim is not None)


def parse_stall(text: str) -> Stall:
    """A stall pattern from its text (`PATTERNS`). StimulusError says which part is unknown, illegal or given twice."""
    stall = Stall(text)
    seen: set[str] = set()
    for part in text.split("+"):
        kind, *arguments = part.split(":")
        touches = {"random": {"input", "output"}, "burst": {"input", "output"}}.get(kind, {kind})
        # What is aimed at is as many resets, errors and stops as there are moments for.
        touches = {"aim", "reset", "error", "stop"} if kind == "aim" else touches
        if seen & touches or ("none" in seen | touches and len(text.split("+")) > 1):
            raise StimulusError(f"stall pattern '{text}': '{part}' contradicts what stands before or after it")
        seen |= touches
        try:
            stall = _apply(stall, kind, arguments)
        except ValueError as error:
            raise StimulusError(f"stall pattern '{text}': '{part}' {error}") from None
    return stall


def _apply(stall: Stall, kind: str, arguments: list[str]) -> Stall:
    """`stall` with one more pattern; ValueError says what is wrong with it."""
    count = len(arguments)
    if kind == "none" and count == 0:
        return stall
    if kind == "wait" and count == 0:
        return replace(stall, waits=True)
    if kind in ("random", "input", "output") and count in (1, 2):
        seed = _number(arguments[0], SEED_MAX)
        millionths = _millionths(arguments[1]) if count == 2 else 500_000
        # Two sides, two sequences: neighbouring seeds of splitmix64 have nothing in common.
        into = Random(2 * seed, millionths) if kind != "output" else stall.input
        out = Random(2 * seed + 1, millionths) if kind != "input" else stall.output
        return replace(stall, input=into, output=out)
    if kind == "burst" and count == 1:
        seed = _number(arguments[0], SEED_MAX)
        return replace(stall, input=Burst(2 * seed), output=Burst(2 * seed + 1))
    if kind == "aim" and count == 1:
        return replace(stall, aim=_number(arguments[0], SEED_MAX))
    if kind == "gap" and count == 1:
        return replace(stall, gap=_number(arguments[0], GAP_MAX))
    if kind in ("reset", "error", "stop") and count in (1, 2):
        seed = _number(arguments[0], SEED_MAX)
        times = _number(arguments[1], TIMES_MAX) if count == 2 else 1
        if kind == "reset":
            return replace(stall, resets=times, reset_seed=seed)
        if kind == "error":
            return replace(stall, errors=times, error_seed=seed)
        return replace(stall, stops=times, stop_seed=seed)
    raise ValueError(f"is none of {', '.join(PATTERNS)}")


def _number(text: str, most: int) -> int:
    # isascii: other scripts have digits too.
    if not (text.isascii() and text.isdigit()) or len(text) > 20 or int(text) > most:
        raise ValueError(f"has '{text}' where a whole number from 0 to {most} was expected")
    return int(text)


def _millionths(text: str) -> int:
    try:
        probability = float(text)
    except ValueError:
        probability = -1.0
    # Not 1: a side that holds back for ever would never finish.
    if not 0 <= probability <= 0.999:
        raise ValueError(f"has '{text}' where a probability from 0 to 0.999 was expected")
    return round(probability * 1_000_000)
