"""Stall patterns: when the harness holds back on either side of the accelerator, and when it resets it."""

from dataclasses import dataclass, replace

from fxsim.errors import StimulusError

SEED_MAX = 2**63 - 1
GAP_MAX = 10**9
RESETS_MAX = 10**6

PATTERNS = {
    "none": "neither side ever holds back",
    "random:SEED[:P]": "both sides hold back in a random part P of all cycles (0.5)",
    "input:SEED[:P]": "the same, at the input only",
    "output:SEED[:P]": "the same, at the output only",
    "burst:SEED": "both sides hold back in runs of 1 cycle up to a few images",
    "gap:N": "N idle cycles after each image",
    "reset:SEED[:N]": "N resets in any cycle (1); images that had not come out whole are sent again",
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
    """What the harness does to either side: `gap` idle cycles after each image, `resets` in any cycle."""

    text: str
    input: Side = None
    output: Side = None
    gap: int = 0
    resets: int = 0
    reset_seed: int = 0


def parse_stall(text: str) -> Stall:
    """A stall pattern from its text (`PATTERNS`). StimulusError says which part is unknown, illegal or given twice."""
    stall = Stall(text)
    seen: set[str] = set()
    for part in text.split("+"):
        kind, *arguments = part.split(":")
        touches = {"random": {"input", "output"}, "burst": {"input", "output"}}.get(kind, {kind})
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
    if kind == "gap" and count == 1:
        return replace(stall, gap=_number(arguments[0], GAP_MAX))
    if kind == "reset" and count in (1, 2):
        resets = _number(arguments[1], RESETS_MAX) if count == 2 else 1
        return replace(stall, reset_seed=_number(arguments[0], SEED_MAX), resets=resets)
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
