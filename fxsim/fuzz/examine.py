"""One network through all takers: who took it, who refused it, and where two of them differ."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

from msgspec import Struct

from fxsim.compare import ArraySource, Comparison, compare, model_taps, sentence
from fxsim.errors import FxsimError, ModelError
from fxsim.fuzz.takers import Subject, Taker, Taps


class Failure(Struct, frozen=True, kw_only=True):
    """A failure of one taker. `way`: `differs`, `refused`, `raised`, or `took` what it is stated not to take.

    `against`: the taker whose values are others; `operator`: the kind of the first node that differs, or the error's.
    What of two failures is the same is their `kind`; `message` says more.
    """

    way: str
    taker: str
    against: str = ""
    tap: str = ""
    operator: str = ""
    message: str = ""

    @property
    def kind(self) -> tuple[str, str, str, str]:
        """The parts of it that stay the same while a failure is made smaller."""
        return self.way, self.taker, self.against, self.operator


@dataclass(frozen=True)
class Examination:
    """The outcome of one network. `taps`: as the first taker that took it computes them; `values`: compared in all."""

    took: tuple[str, ...]
    refused: Mapping[str, str]
    failures: tuple[Failure, ...]
    values: int
    taps: Taps = field(default_factory=dict)


def examine(subject: Subject, takers: Sequence[Taker]) -> Examination:
    """Compute a model by all takers and compare them.

    Each is compared with the first at every tap; where all are equal, any two are, for equality of whole numbers of one
    type is of any two of them. Where one differs, every pair is compared, and those that do are failures each.
    """
    graph = subject.model.graph
    sources: dict[str, ArraySource] = {}
    refused: dict[str, str] = {}
    failures: list[Failure] = []
    for taker in takers:
        stated = taker.refuses(graph)
        try:
            sources[taker.name] = ArraySource(taker.name, taker.compute(subject))
        except MemoryError:
            raise
        except ModelError as error:
            if stated is None and taker.decides(graph):
                # By what it says, and not by the node that it says it of.
                refused[taker.name] = str(error).rpartition("': ")[2].partition(", node '")[0]
            elif stated is None:
                failures.append(Failure(way="refused", taker=taker.name, message=str(error)))
            else:
                refused[taker.name] = stated
            continue
        except Exception as error:  # whatever it is: that of a compared engine is a result
            operator = type(error).__name__
            failures.append(Failure(way="raised", taker=taker.name, operator=operator, message=_line(error)))
            continue
        if stated is not None:
            message = f"took a graph although {stated}"
            failures.append(Failure(way="took", taker=taker.name, message=message))
    came = list(sources.values())
    first = came[0] if came else None
    compared = 0
    if first is not None and len(came) > 1:
        found = [_compare(subject, first, other) for other in came[1:]]
        compared = sum(one.compared for one in found if isinstance(one, Comparison))
        if not all(isinstance(one, Comparison) and one.equal for one in found):
            failures += _pairs(subject, sources)
    return Examination(tuple(sources), refused, tuple(failures), compared, {} if first is None else dict(first.arrays))


def _pairs(subject: Subject, sources: Mapping[str, ArraySource]) -> list[Failure]:
    """A failure for every two sources that are not equal."""
    failures = []
    by_name = subject.model.graph.by_name
    for one, other in combinations(sources.values(), 2):
        found = _compare(subject, one, other)
        names = {"taker": other.name, "against": one.name}
        if isinstance(found, str):
            failures.append(Failure(way="differs", operator="another form", message=found, **names))
        elif found.first is not None:
            tap = found.first.tap
            operator = by_name[tap].op.kind
            message = sentence(found.first)
            failures.append(Failure(way="differs", tap=tap, operator=operator, message=message, **names))
        elif not found.equal:
            failures.append(Failure(way="differs", operator="incomplete", message=str(found.reason), **names))
    return failures


def _compare(subject: Subject, one: ArraySource, other: ArraySource) -> Comparison | str:
    """Every tap of two sources; why they cannot be compared, where they cannot."""
    try:
        return compare(one, other, model_taps(subject.model))
    except FxsimError as error:
        return _line(error)


def _line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:500]
