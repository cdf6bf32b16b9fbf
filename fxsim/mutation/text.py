"""The record of a run of mutants in words: tables by module and kind, and every survivor with its line."""

from collections.abc import Iterator, Sequence

from fxsim.mutation.record import SURVIVED, TIMED_OUT, Judged, Record, Score

COLUMNS = (
    "mutants", "killed by module test", "by lint", "by other tests", "by the whole", "equivalent", "survived",
    "timed out", "invalid", "score",
)  # fmt: skip


def cells(row: Score) -> tuple[str | int, ...]:
    """A row's counts, in the order of `COLUMNS`."""
    return (
        row.mutants, row.module_test, row.lint, row.other_test, row.whole, row.equivalent, row.survived, row.timed_out,
        row.invalid, percent(row.score),
    )  # fmt: skip


def percent(score: float | None) -> str:
    """A score in words."""
    return "–" if score is None else f"{score:.1%}"  # noqa: RUF001


def diff(row: Judged) -> tuple[str, str]:
    """A mutant's line, and what became of the part in question."""
    return row.source, f"'{_short(row.was)}' became '{_short(row.becomes)}'"


def markdown(record: Record, command: str) -> str:
    """The summary of a record in Markdown, with the command that gave it."""
    return "\n".join(_lines(record, command)) + "\n"


def _lines(record: Record, command: str) -> Iterator[str]:
    total = record.total
    yield "# Mutation score"
    yield ""
    yield f"`{command}`"
    yield ""
    yield (
        f"{total.mutants:,} of {record.candidates:,} mutants of {record.design}, seed {record.seed}: "
        f"{total.killed:,} killed, {total.survived:,} survived, {total.timed_out:,} timed out, "
        f"{total.equivalent:,} equivalent, {total.invalid:,} invalid. Score {percent(total.score)}: killed / "
        "(mutants - equivalent - invalid)."
    )
    if left_out := [f"{count:,} ({reason})" for reason, count in record.left_out.items() if count]:
        yield ""
        yield f"Left out before: {', '.join(left_out)}."
    for title, rows in (("module", record.modules), ("kind", record.kinds)):
        yield ""
        yield from table((title, *COLUMNS), [(row.name, *cells(row)) for row in (*rows, total)])
    alive = [row for row in record.mutants if row.verdict in (SURVIVED, TIMED_OUT)]
    if alive:
        yield ""
        yield "## Not killed"
        yield ""
        listed = [(row.id, row.verdict, f"{row.file}:{row.line}", row.kind, *map(_code, diff(row))) for row in alive]
        yield from table(("id", "verdict", "place", "kind", "line", "change"), listed)
    yield ""
    yield "## Made with"
    yield ""
    yield from (f"- {name}: {value}" for name, value in record.rests_on.items())


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    """A table in Markdown."""
    yield f"| {' | '.join(columns)} |"
    yield f"|{'---|' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(str(cell) for cell in row)} |"


def _code(text: str) -> str:
    plain = text.replace("|", "\\|").replace("\n", " ")
    return f"`` {plain} ``"


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= 60 else f"{plain[:57]}..."
