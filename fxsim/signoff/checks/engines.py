"""Kind `engines`: two engines on each model and each of the stimuli, at all taps."""

import itertools
from collections.abc import Iterable, Iterator

from fxsim.compare import engine_source, model_taps
from fxsim.contract.arithmetic import Int8
from fxsim.engines import Engine
from fxsim.engines.c import missing_compiler
from fxsim.graph import Model
from fxsim.signoff.comparison import DIFFERENCES, Comparison, compare_sources
from fxsim.signoff.context import Context, Outcome, SkipCheck, first_few
from fxsim.signoff.kind import Kind
from fxsim.signoff.plan import Check, Images, Names
from fxsim.signoff.record import Details, Figure


def compiled(engine: Engine | str) -> Engine:
    """The engine that a check means: `auto` is the compiled one, and never the reference engine in its place."""
    return Engine.NUMBA if engine == Engine.AUTO else Engine(engine)


def compared_with_itself(names: tuple[Engine, Engine]) -> Iterator[str]:
    """A problem where two names are of one engine."""
    one, other = map(compiled, names)
    if one is other:
        yield f"compares engine {one} with itself, expected two engines"


def skip_without(engines: Iterable[Engine]) -> None:
    """SkipCheck where one of some engines cannot be had on this machine, with the reason."""
    if Engine.C in engines and (reason := missing_compiler()) is not None:
        raise SkipCheck(reason)


class EnginesCheck(Check, frozen=True, tag="engines", kw_only=True):
    """Two engines give the same values at all taps, for each model on each stimulus.

    `images`: at most so many of each stimulus are computed; by default all. Skipped where one of them is `c`, and there
    is no C compiler.
    """

    models: Names
    stimuli: Names
    engines: tuple[Engine, Engine] = (Engine.REFERENCE, Engine.NUMBA)
    images: Images | None = None

    def problems(self) -> Iterator[str]:
        """The check must compare two engines."""
        return compared_with_itself(self.engines)


def run(check: EnginesCheck, context: Context, seed: int) -> Outcome:
    """Two engines on each model and each of the stimuli that fit it, at all taps."""
    skip_without(check.engines)
    comparisons, firsts = [], []
    pairs = list(itertools.product(check.models, check.stimuli))
    for done, (model_name, stimulus_name) in enumerate(pairs):
        context.progress(done, len(pairs))
        model = context.model(model_name)
        x = context.stimulus(stimulus_name, model, seed)[: check.images]
        comparison, first = compare_engines(f"{model_name} on {stimulus_name}", model, x, check.engines)
        comparisons.append(comparison)
        firsts += [first] if first else []
    values = sum(row.compared for comparison in comparisons for row in comparison.taps)
    wrong = sum(row.mismatches for comparison in comparisons for row in comparison.taps)
    figures = (Figure("values compared", values), Figure("values that differ", wrong))
    summary = f"{' = '.join(check.engines)}: {values:,} values at all taps, {wrong:,} differ"
    return Outcome(summary, first_few(firsts) or None, Details(figures, comparisons))


def compare_engines(title: str, model: Model, x: Int8, names: tuple[str, str]) -> tuple[Comparison, str | None]:
    """All taps of images as two engines compute them, and why they are not equal in words, or None.

    `auto` is the compiled engine and no other: ModelError where that does not take the model, for the reference engine
    in its place would be compared with itself.
    """
    expected, found = (engine_source(model, x, compiled(name)) for name in names)
    return compare_sources(title, expected, found, model_taps(model))


KIND = Kind(
    settings=EnginesCheck,
    about="two engines agree at all taps",
    run=run,
    data=(Comparison,),
    report=(DIFFERENCES,),
)
