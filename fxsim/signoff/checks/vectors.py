"""Kind `vectors`: folders of vectors, derived again by an engine."""

from collections.abc import Iterator

from fxsim.engines import Engine
from fxsim.signoff.context import Context, Outcome, summarise
from fxsim.signoff.kind import Kind, Nothing
from fxsim.signoff.plan import Check, Texts
from fxsim.signoff.record import Details, Figure
from fxsim.vectors import check_vectors


class VectorsCheck(Check, frozen=True, tag="vectors", kw_only=True):
    """Folders of vectors, derived again by an engine."""

    directories: Texts
    engine: Engine = Engine.NUMBA

    def problems(self) -> Iterator[str]:
        """No folder may be counted twice."""
        for name in sorted({name for name in self.directories if self.directories.count(name) > 1}):
            yield f"names folder '{name}' more than once"


def run(check: VectorsCheck, context: Context, _seed: int) -> Outcome:
    """Every folder derived again."""
    results = [check_vectors(context.path(folder), engine=check.engine) for folder in check.directories]
    problems = [f"{result.directory}: {p.message}" for result in results for p in result.problems]
    files, values = sum(r.files for r in results), sum(r.values for r in results)
    figures = (
        Figure("folders", len(results)),
        Figure("files", files),
        Figure("values derived again", values),
        Figure("problems", len(problems)),
        Figure("engine", check.engine),
    )
    summary = f"{files} files in {len(results)} folders, {values:,} values derived again"
    return summarise(summary, problems, Details(figures))


KIND = Kind(
    settings=VectorsCheck,
    about="folders of vectors are derived again, equal byte for byte",
    run=run,
    data=Nothing("figures say how much was derived again"),
    report=Nothing("its line in the table of checks says everything"),
)
