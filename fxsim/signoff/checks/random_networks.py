"""Kind `random-networks`: everything that computes a model, on random networks of any shape and number format."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec
from msgspec import Meta

from fxsim.devices import DEVICES
from fxsim.fuzz import (
    DEVICE_GROUP,
    FEATURE_GROUPS,
    DeviceRequest,
    FuzzRequest,
    FuzzResult,
    find_takers,
    merge,
    percent,
    run_devices,
    run_fuzz,
    write_script,
)
from fxsim.paths import rtl_dir
from fxsim.signoff.context import FAILURES, Context, Outcome, SkipCheck
from fxsim.signoff.kind import Kind, Section, Topic
from fxsim.signoff.plan import Check
from fxsim.signoff.record import CheckRecord, Data, Details, Figure
from fxsim.signoff.report.elements import Block, Column, Row, Table
from fxsim.signoff.simulation import Setup
from fxsim.simulate.sources import read_sources

_NAMED_MAX = 5
"""Most features, of those that no network had, that a check's reason names; the record has all."""


class RandomNetworksCheck(Check, frozen=True, tag="random-networks", kw_only=True):
    """All engines give the same values on random networks, each feature of which was made at least once.

    `count`: networks; while a feature is missing, up to `most` (by default four times as many) are made. `engines`:
    what computes them. `features`: groups of features that must have been made; none: nothing is audited.
    `accelerators`: simulated besides, `builds` designs each with some networks; their features are group `devices`.
    """

    count: Annotated[int, Meta(ge=1, le=10_000_000)]
    most: Annotated[int, Meta(ge=1, le=10_000_000)] | None = None
    engines: Annotated[tuple[str, ...], Meta(min_length=1)] = ("reference", "loops", "compiled", "onnx", "files")
    features: tuple[str, ...] = tuple(FEATURE_GROUPS)
    accelerators: tuple[str, ...] = ()
    builds: Annotated[int, Meta(ge=1, le=100_000)] = 1

    @property
    def setups(self) -> tuple[Setup, ...]:
        """The accelerators that networks are simulated on."""
        return tuple(map(Setup, self.accelerators))

    def problems(self) -> Iterator[str]:
        """Groups of features must be known, and there be no fewer networks at most than at least."""
        for group in self.features:
            if group not in FEATURE_GROUPS and not (group == DEVICE_GROUP and self.accelerators):
                yield f"names features '{group}', expected some of: {', '.join(FEATURE_GROUPS)}"
        for name in self.accelerators:
            if name not in DEVICES:
                yield f"names accelerator '{name}', expected of: {', '.join(DEVICES)}"
        if self.most is not None and self.most < self.count:
            yield f"makes {self.count} networks, but at most {self.most}"


class FeatureCount(Data, frozen=True):
    """Features of one group that random networks had: how many there are, how many were made, and which never were."""

    FIELD = "features"

    group: str
    features: int
    made: int
    missing: tuple[str, ...]


class TakenNetworks(Data, frozen=True):
    """Random networks that one engine computed, and those that it is stated not to take, by reason."""

    FIELD = "taken"

    engine: str
    networks: int
    refused: dict[str, int]


def run(check: RandomNetworksCheck, context: Context, seed: int) -> Outcome:
    """Random networks through all engines, and what was never made of them."""
    takers, absent = find_takers(check.engines)
    if absent:
        raise SkipCheck("; ".join(f"{name}: {reason}" for name, reason in absent.items()))
    folder = context.failure_folder(check.name)
    request = FuzzRequest(
        count=check.count, most=check.most or 4 * check.count, seed=seed, groups=check.features, keep=folder
    )
    result = run_fuzz(request, takers, context.progress)
    if check.accelerators and result.complete:
        context.note_hash("rtl", read_sources(rtl_dir()).sha256)
        simulated = run_devices(DeviceRequest(check.accelerators, check.builds, seed, keep=folder), context.progress)
        context.note_hash("rtl", read_sources(rtl_dir()).sha256)
        if DEVICE_GROUP not in check.features:
            simulated = msgspec.structs.replace(simulated, features={})
        result = merge([result, simulated])
    if not result.complete:
        raise KeyboardInterrupt
    kept = None
    if folder is not None and result.failures:
        write_script(folder)
        kept = f"{FAILURES}/{check.name}"
    counts = [
        FeatureCount(group, len(rows), len(rows) - len(result.missing[group]), result.missing[group])
        for group, rows in result.features.items()
    ]
    taken = [TakenNetworks(name, count, result.refused.get(name, {})) for name, count in result.took.items()]
    made, of = result.covered
    figures = (
        Figure("networks", result.models),
        Figure("values compared", result.values),
        Figure("networks that failed", len(result.failures)),
        Figure("features made", made),
        Figure("features that there are", of),
        Figure("networks a CPU second", round(result.models / max(result.cpu_seconds, 1e-3), 1)),
    )
    return Outcome(result.summary, _problems(result) or None, Details(figures, [*counts, *taken]), kept)


def _problems(result: FuzzResult) -> str:
    """The reason why the check fails: what differed, and what was never made. Empty where nothing is wrong."""
    problems = []
    for found in result.failures[:3]:
        first = f"{found.failures[0].taker}: {found.failures[0].message}" if found.failures else "failed once"
        problems.append(f"network {found.number}: {first}; {found.smallest}; again: {found.replay}")
    if len(result.failures) > len(problems):
        problems.append(f"and {len(result.failures) - len(problems)} networks more")
    idle = [name for name, count in result.took.items() if not count]
    problems += [f"{name} took no network" for name in idle]
    missing = [feature for rows in result.missing.values() for feature in rows]
    if missing:
        more = f" and {len(missing) - _NAMED_MAX} more" if len(missing) > _NAMED_MAX else ""
        problems.append(f"never made: {'; '.join(missing[:_NAMED_MAX])}{more}")
    return "; ".join(problems)


def _counts(check: CheckRecord) -> list[tuple[str, FeatureCount]]:
    return [(check.name, row) for row in check.details.of(FeatureCount)]


def _write(rows: Sequence[tuple[str, FeatureCount]]) -> list[Block]:
    """Write a row for each group of features of each check."""
    columns = (
        Column("check"), Column("features"), Column("there are", number=True), Column("made", number=True),
        Column("percent", number=True), Column("never made"),
    )  # fmt: skip
    table = Table(
        columns,
        tuple(
            Row((name, row.group, row.features, row.made, percent(row.made, row.features), "; ".join(row.missing)))
            for name, row in rows
        ),
    )
    return [Block((table,))]


KIND = Kind(
    settings=RandomNetworksCheck,
    about="all engines agree on random networks of any shape and format, every feature of which was made",
    run=run,
    seeded=True,
    data=(FeatureCount, TakenNetworks),
    report=(
        Section(
            "What random networks were made of",
            _counts,
            _write,
            "A feature is made where at least one network that was computed and compared had it.",
            topic=Topic.COVERAGE,
        ),
    ),
)
