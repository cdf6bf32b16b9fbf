"""Results of a run of random networks: counts, features, failures; as JSON, and of several parts as one."""

from collections import Counter
from collections.abc import Iterable

from msgspec import Struct

from fxsim.fuzz.examine import Failure
from fxsim.fuzz.features import percent


class Found(Struct, frozen=True, kw_only=True):
    """A network that failed. `folder`: the case that was kept of it; `smallest`: what was left of it, in words.

    `replay`: the command that runs it again.
    """

    number: int
    failures: tuple[Failure, ...]
    replay: str
    folder: str | None = None
    smallest: str | None = None


class FuzzResult(Struct, frozen=True, kw_only=True):
    """The outcome of random networks. `first` and `models`: their numbers; `part`: of every so many, which.

    `took`: networks that each taker computed; `refused`: those that it is stated not to take, by reason; `absent`:
    takers that this machine has not. `features`: how many networks had each feature that is audited, by group.
    """

    seed: int
    first: int
    models: int
    images: int
    values: int
    cpu_seconds: float
    took: dict[str, int]
    refused: dict[str, dict[str, int]]
    absent: dict[str, str]
    features: dict[str, dict[str, int]]
    failures: tuple[Found, ...]
    complete: bool = True
    fxsim_version: str = ""

    @property
    def passed(self) -> bool:
        """Whether networks were compared, and none failed."""
        return self.models > 0 and self.values > 0 and not self.failures

    @property
    def missing(self) -> dict[str, tuple[str, ...]]:
        """Features that no network had, by group."""
        return {group: tuple(f for f, count in rows.items() if not count) for group, rows in self.features.items()}

    @property
    def covered(self) -> tuple[int, int]:
        """Features that some network had, and all there are."""
        counts = [count for rows in self.features.values() for count in rows.values()]
        return sum(count > 0 for count in counts), len(counts)

    @property
    def summary(self) -> str:
        """A line for people."""
        seen, of = self.covered
        audit = f"; {seen:,} of {of:,} features ({percent(seen, of)}%)" if of else "; no features were audited"
        failed = f"{len(self.failures)} failed" if self.failures else "none failed"
        return f"{self.models:,} networks, {self.values:,} values compared, {failed}{audit}"


def merge(results: Iterable[FuzzResult]) -> FuzzResult:
    """Several parts of one run as one."""
    parts = tuple(results)
    took: Counter[str] = Counter()
    refused: dict[str, Counter[str]] = {}
    features: dict[str, Counter[str]] = {}
    for part in parts:
        took.update(part.took)
        for taker, reasons in part.refused.items():
            refused.setdefault(taker, Counter()).update(reasons)
        for group, rows in part.features.items():
            counted = features.setdefault(group, Counter())
            for feature, count in rows.items():
                # Not `update`, which forgets none, but keeps no order of those at zero.
                counted[feature] += count
    return FuzzResult(
        seed=parts[0].seed,
        first=min(part.first for part in parts),
        models=sum(part.models for part in parts),
        images=sum(part.images for part in parts),
        values=sum(part.values for part in parts),
        cpu_seconds=round(sum(part.cpu_seconds for part in parts), 3),
        took=dict(took),
        refused={taker: dict(reasons) for taker, reasons in refused.items()},
        absent=parts[0].absent,
        features={group: dict(rows) for group, rows in features.items()},
        failures=tuple(sorted((f for part in parts for f in part.failures), key=lambda found: found.number)),
        complete=all(part.complete for part in parts),
        fxsim_version=parts[0].fxsim_version,
    )
