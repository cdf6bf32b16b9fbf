"""The result of looking for causes: what stands in JSON."""

from typing import Any

from msgspec import Struct

from fxsim.compare import Difference
from fxsim.explain.between import Between

UNEXPLAINED = "unexplained"
UNKNOWN_BITS = "unknown_bits"


class Partial(Struct, frozen=True, kw_only=True):
    """A hypothesis that explains some of the values that are wrong. `spoiled`: right ones that it would make wrong."""

    label: str
    node: str
    parameters: dict[str, Any]
    values_explained: int
    spoiled: int


class Telling(Struct, frozen=True, kw_only=True):
    """Another hypothesis that fits, and an input on which it gives something else than the fault's.

    `same`: False where there is such an input, True where it is proved that there is none for the operator, None where
    none was found. `why`: the proof, or what was tried. `files`, `row`: where the inputs stand, by tensor: the model's
    images in `telling.npy`, what the operator reads in others. `index`, `results`: where in the tap, and what the
    fault's hypothesis and this one give there.
    """

    label: str
    node: str
    parameters: dict[str, Any]
    same: bool | None
    why: str
    files: dict[str, str] = {}  # msgspec copies it
    row: int | None = None
    index: dict[str, int] | None = None
    results: tuple[int, int] | None = None


def told(telling: Telling) -> str:
    """A sentence about what tells another hypothesis from a fault's."""
    where = f"{telling.label} at {telling.node}"
    if telling.same is not False or telling.results is None:
        said = "cannot be told apart by any input" if telling.same else "no input found that tells it apart"
        return f"{where}: {said}: {telling.why}"
    index = ", ".join(f"{axis} {place}" for axis, place in (telling.index or {}).items())
    one, other = telling.results
    files = ", ".join(telling.files.values())
    return f"{where} is told apart by {files}, row {telling.row}: it gives {other}, not {one}, at {index}"


class Fault(Struct, frozen=True, kw_only=True):
    """A tap with a fault of its own, and its cause.

    `label`: the rule that makes every value of the trace there of the trace's own inputs, `a+b` where it takes two;
    `unexplained` where none does. `exact` says which. `node`: where it is done, the tap's own or one before it that the
    trace does not have. `alternatives`: labels that fit as well, the same one where it does so elsewhere or with other
    parameters; `others`: up to 20 of these, with node and parameters; of what is `unexplained` they make every value,
    too, but values that are so few may be made by chance. `partial`: where nothing fits, the best of what
    explains some; `pairs_left_out`: changes that were then not tried in pairs. `telling`: what tells `others` apart.
    """

    tap: str
    label: str
    exact: bool
    node: str
    parameters: dict[str, Any]
    alternatives: tuple[str, ...]
    values: int
    values_differing: int
    values_explained: int
    first: Difference | None
    others: tuple[Partial, ...] = ()
    partial: tuple[Partial, ...] = ()
    pairs_left_out: int = 0
    telling: tuple[Telling, ...] = ()


def nodes_of(fault: Fault) -> tuple[str, ...]:
    """The nodes where a fault's rule is, or its two rules are."""
    two = [
        name.partition(" at ")[2] for name, of in fault.parameters.items() if " at " in name and isinstance(of, dict)
    ]
    return tuple(dict.fromkeys(two)) if len(two) > 1 else (fault.node,)


class TapReport(Struct, frozen=True, kw_only=True):
    """A tap of the trace: `differ` values that are not the model's, of which `inherited` follow from wrong inputs.

    `local`: values that their own inputs do not make. `unknown`: differ, with inputs that hold no value.
    """

    tap: str
    values: int
    differ: int
    inherited: int
    local: int
    unknown: int
    first: Difference | None


class Diff(Struct, frozen=True, kw_only=True):
    """Whether a trace is the model's, and why not. `equal` only where every value of every tap of it is.

    `faults`: taps with faults of their own, in graph order. `mixed`: taps of which every value is the model's, though
    the trace's values before them are not: the trace is of several runs, or a tap shows what is not used.
    `not_compared`: the model's taps that the trace lacks.
    `contracts`: names of the contracts under which every tap of the trace is what its own inputs make;
    `contracts_telling`: for each but the first, where one fits and the trace is not equal, what tells it from that one.
    """

    equal: bool
    model: str
    images: int
    first_differing: str | None
    faults: tuple[Fault, ...]
    taps: tuple[TapReport, ...]
    mixed: tuple[str, ...]
    not_compared: tuple[str, ...]
    contracts: tuple[str, ...]
    contracts_telling: tuple[Between, ...]
    seconds: float
