"""Kind `explain`: known faults put into models, each of which must be called what it is, or nothing."""

from collections.abc import Sequence
from typing import Annotated

from msgspec import Meta

from fxsim.explain.inject import Confusion, Outcome, confuse
from fxsim.explain.result import UNEXPLAINED
from fxsim.signoff.context import Context, summarise
from fxsim.signoff.context import Outcome as CheckOutcome
from fxsim.signoff.kind import Kind, Section
from fxsim.signoff.plan import Check, Images, Names
from fxsim.signoff.record import CheckRecord, Data, Details, Figure
from fxsim.signoff.report.elements import Block, Column, Row, Table
from fxsim.vectors import draw_stimulus


class ExplainCheck(Check, frozen=True, tag="explain", kw_only=True):
    """`fxsim diff` calls faults what they are: none is given a wrong name for sure, and what is no rule is given none.

    So many `faults` are injected into operators of the models, of each label in turn, and `pairs` of two at once. At
    least `named` percent of the rules among the faults must get their name, or have it among those that fit as well.
    """

    models: Names
    images: Images = 4
    faults: Annotated[int, Meta(ge=1, le=100_000)]
    pairs: Annotated[int, Meta(ge=0, le=100_000)] = 0
    named: Annotated[int, Meta(ge=1, le=100)]


class Injected(Data, frozen=True):
    """Faults of one label (two joined by a plus), and what came of them. `others`: wrong labels that were given."""

    FIELD = "injected"

    label: str
    faults: int
    named: int
    alternative: int
    simpler: int
    unexplained: int
    misnamed: int
    harmless: int
    others: tuple[str, ...]


def run(check: ExplainCheck, context: Context, seed: int) -> CheckOutcome:
    """Faults injected into models, each called what it is."""
    pairs = []
    for name in check.models:
        model = context.model(name)
        pairs.append((model, draw_stimulus("uniform", check.images, model.graph.input, seed)))
    found = confuse(pairs, seed, most=check.faults, pairs=check.pairs, progress=context.progress)
    rules = [tried for tried in found.tried if "+" not in tried.injected and tried.injected != UNEXPLAINED]
    good = sum(tried.outcome in (Outcome.NAMED, Outcome.ALTERNATIVE) for tried in rules)
    share = 100 * good // len(rules) if rules else 0
    problems = [
        f"{t.model}, {t.node}: {t.injected} was called {t.named}, of {t.values:,} wrong values" for t in found.misnamed
    ]
    if share < check.named:
        problems.append(f"{good} of {len(rules)} rules got their name, expected at least {check.named} %")
    figures = (
        Figure("faults injected", len(found.tried)),
        *(Figure(str(outcome), found.count(outcome)) for outcome in Outcome),
        Figure("changed no value", sum(found.harmless.values())),
        Figure("rules that got their name", share, "%"),
    )
    summary = f"{len(found.tried)} faults, none of them called what it is not; {share} % of the rules got their name"
    return summarise(summary, problems, Details(figures, rows_of(found)))


def rows_of(found: Confusion) -> list[Injected]:
    """A row a label, those of single faults first."""
    rows = []
    labels = {*(tried.injected for tried in found.tried), *found.harmless}
    for label in sorted(labels, key=lambda label: ("+" in label, label)):
        own = [tried for tried in found.tried if tried.injected == label]
        count = {outcome: sum(tried.outcome is outcome for tried in own) for outcome in Outcome}
        others = sorted({tried.named for tried in own if tried.outcome is Outcome.MISNAMED})
        rows.append(
            Injected(
                label, len(own), count[Outcome.NAMED], count[Outcome.ALTERNATIVE], count[Outcome.SIMPLER],
                count[Outcome.TOO_FEW] + count[Outcome.UNEXPLAINED], count[Outcome.MISNAMED], found.harmless[label],
                tuple(others),
            )
        )  # fmt: skip
    return rows


def _write(rows: Sequence[tuple[str, tuple[Injected, ...]]]) -> list[Block]:
    columns = (
        Column("injected"),
        *(
            Column(title, number=True)
            for title in ("faults", "named", "fits as well", "simpler", "unexplained", "misnamed")
        ),
        Column("changed nothing", number=True),
        Column("called instead"),
    )
    return [
        Block(
            (
                Table(
                    columns,
                    tuple(
                        Row(
                            (
                                row.label, row.faults, row.named, row.alternative, row.simpler, row.unexplained,
                                row.misnamed, row.harmless, ", ".join(row.others),
                            ),
                            failed=row.misnamed > 0,
                        )
                        for row in own
                    ),
                ),
            ),
            heading=f"{name}: {sum(row.faults for row in own):,} faults",
            folded=True,
        )
        for name, own in rows
    ]  # fmt: skip


def _named(check: CheckRecord) -> list[tuple[str, tuple[Injected, ...]]]:
    return [(check.name, rows)] if (rows := tuple(check.details.of(Injected))) else []


KIND = Kind(
    settings=ExplainCheck,
    about="known faults are called what they are by `fxsim diff`, and none what it is not",
    run=run,
    seeded=True,
    data=(Injected,),
    report=(
        Section(
            "Faults injected, and what they were called",
            _named,
            _write,
            "A fault fits as well where another rule makes the same values; of two faults one alone may make all of "
            "them, which is simpler. One that changed no value cannot be seen.",
        ),
    ),
)
