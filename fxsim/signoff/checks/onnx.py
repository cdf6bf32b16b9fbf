"""Kind `onnx`: integer models as ONNX graphs, which ONNX Runtime executes. It needs the extra `onnx`."""

import itertools
from collections.abc import Callable, Iterator
from typing import Annotated

from msgspec import Meta

from fxsim.compare import ComputedSource, engine_source, model_taps
from fxsim.contract.arithmetic import Int8
from fxsim.engines import Engine
from fxsim.formats.onnx import missing, onnx_bytes, open_onnx
from fxsim.graph import Model
from fxsim.signoff.checks.engines import compiled, skip_without
from fxsim.signoff.comparison import DIFFERENCES, Comparison, compare_sources
from fxsim.signoff.context import Context, Outcome, SkipCheck, first_few
from fxsim.signoff.kind import Kind
from fxsim.signoff.plan import Check, Images, Names
from fxsim.signoff.record import Details, Figure


class OnnxCheck(Check, frozen=True, tag="onnx", kw_only=True):
    """ONNX Runtime, executing a model's ONNX graph, gives the engines' values at all taps, on each stimulus.

    At most `images` of each stimulus are computed. Skipped without the extra `onnx`.
    """

    models: Names
    stimuli: Names
    images: Images = 8
    engines: Annotated[tuple[Engine, ...], Meta(min_length=1)] = (Engine.REFERENCE, Engine.NUMBA)

    def problems(self) -> Iterator[str]:
        """Each engine counts once, `auto` as the compiled one."""
        engines = [compiled(engine) for engine in self.engines]
        for engine in sorted({engine for engine in engines if engines.count(engine) > 1}):
            yield f"names engine {engine} more than once"


def run(check: OnnxCheck, context: Context, seed: int) -> Outcome:
    """Every tap of each model on each of the stimuli, as ONNX Runtime and as the engines compute it."""
    reason = missing("onnx", "onnxruntime")
    if reason is not None:
        raise SkipCheck(reason)
    skip_without(check.engines)
    comparisons: list[Comparison] = []
    firsts: list[str] = []
    operators = 0
    for done, name in enumerate(check.models):
        context.progress(done, len(check.models))
        model = context.model(name)
        data = onnx_bytes(model)
        session = open_onnx(data)
        operators += len(model.graph.nodes)
        for stimulus, engine in itertools.product(check.stimuli, check.engines):
            x = context.stimulus(stimulus, model, seed)[: check.images]
            title = f"{name} on {stimulus}: ONNX Runtime against {engine}"
            runtime = _runtime(model, x, session)
            comparison, first = compare_sources(
                title, engine_source(model, x, compiled(engine)), runtime, model_taps(model)
            )
            comparisons.append(comparison)
            firsts += [first] if first else []
    values = sum(row.compared for comparison in comparisons for row in comparison.taps)
    wrong = sum(row.mismatches for comparison in comparisons for row in comparison.taps)
    figures = (
        Figure("operators of the models", operators),
        Figure("values compared", values),
        Figure("values that differ", wrong),
    )
    summary = f"ONNX Runtime = {' = '.join(check.engines)}: {values:,} values at all taps, {wrong:,} differ"
    return Outcome(summary, first_few(firsts) or None, Details(figures, comparisons))


def _runtime(model: Model, x: Int8, session: Callable[[Int8], dict[str, Int8]]) -> ComputedSource:
    """Every tap as ONNX Runtime computes it."""
    return ComputedSource("ONNX Runtime", model.graph.taps, x, lambda part, _: session(part))


KIND = Kind(
    settings=OnnxCheck,
    about="ONNX Runtime, executing the model as a graph of standard operators, gives the engines' value at every tap",
    run=run,
    data=(Comparison,),
    report=(DIFFERENCES,),
)
