"""Kind `runtime`: a model that was imported against its own file, as the program executes it that it is written for."""

import hashlib
import itertools
from collections.abc import Iterator
from typing import Annotated, Literal

from msgspec import Meta

from fxsim.compare import ComputedSource, FloatSource, engine_source, model_taps
from fxsim.engines import Engine
from fxsim.errors import FileError
from fxsim.formats import model_sha256
from fxsim.formats.importers import find_program, import_model
from fxsim.formats.text import read_bounded
from fxsim.signoff.checks.engines import compiled, skip_without
from fxsim.signoff.comparison import DIFFERENCES, Comparison, compare_sources
from fxsim.signoff.context import Context, Outcome, SkipCheck, first_few
from fxsim.signoff.kind import Kind
from fxsim.signoff.plan import Check, Images, Name, Names
from fxsim.signoff.record import Details, Figure

_BYTES_MAX = 1 << 27


class RuntimeCheck(Check, frozen=True, tag="runtime", kw_only=True):
    """A model gives what ONNX Runtime or LiteRT computes of the file it was imported from, at every tensor of codes.

    `original`: that file, .onnx or .tflite. `model`: one of the plan's, which must be what it is imported to; by
    default it is imported, a .tflite with the rounding of `kernels`. At most `images` of each stimulus are computed, by
    each of `engines`. Skipped without the extra, or an engine.
    """

    original: str
    stimuli: Names
    model: Name | None = None
    kernels: Literal["reference", "optimised", "xnnpack"] | None = None
    images: Images = 8
    engines: Annotated[tuple[Engine, ...], Meta(min_length=1)] = (Engine.REFERENCE, Engine.NUMBA)

    @property
    def named_models(self) -> tuple[str, ...]:
        """The plan's model, where one is named."""
        return () if self.model is None else (self.model,)

    def problems(self) -> Iterator[str]:
        """No engine is named twice, and a model has its kernels already."""
        if len({compiled(engine) for engine in self.engines}) < len(self.engines):
            yield "names an engine twice"
        if self.model is not None and self.kernels is not None:
            yield "names a model and kernels, expected one of them: the model says whose rounding it has"


def run(check: RuntimeCheck, context: Context, seed: int) -> Outcome:
    """Every tensor of codes of the file on each of the stimuli, as its program and as the engines compute it."""
    path = context.path(check.original)
    if not path.is_file():
        raise FileError(f"{path}: there is no such file")
    program = find_program(path)
    reason = program.missing()
    if reason is not None:
        raise SkipCheck(reason)
    skip_without(check.engines)
    data = read_bounded(path, _BYTES_MAX, "a model")
    context.note_hash(f"original {check.original}", hashlib.sha256(data).hexdigest())
    if check.model is not None:
        model, name = context.model(check.model), check.model
    else:
        options = {} if check.kernels is None else {"kernels": check.kernels}
        model = import_model(path, **options)
        name = model.name
        context.note_hash(f"model {name}", model_sha256(model))
    taps, execute = program.open(path, model)
    if not taps:
        why = f"{path.name} has no tensor of codes that {program.name} computes"
        return Outcome("no value was compared", why, Details((Figure("values compared", 0),)))
    comparisons: list[Comparison] = []
    firsts: list[str] = []
    pairs = list(itertools.product(check.stimuli, check.engines))
    for done, (stimulus, engine) in enumerate(pairs):
        context.progress(done, len(pairs))
        x = context.stimulus(stimulus, model, seed)[: check.images]
        found = ComputedSource(program.name, taps, x, lambda part, _: execute(part))
        expected = engine_source(model, x, compiled(engine))
        title = f"{name} on {stimulus}: {program.name} against {engine}"
        # Whole numbers of either side, whatever their type.
        sources = FloatSource(expected), FloatSource(found)
        comparison, first = compare_sources(title, *sources, model_taps(model, taps))
        comparisons.append(comparison)
        firsts += [first] if first else []
    values = sum(row.compared for comparison in comparisons for row in comparison.taps)
    wrong = sum(row.mismatches for comparison in comparisons for row in comparison.taps)
    figures = (
        Figure("taps that the file has as tensors of codes", len(taps)),
        Figure("taps of the model", len(model.graph.taps)),
        Figure("values compared", values),
        Figure("values that differ", wrong),
    )
    summary = (
        f"{program.name} on {path.name} = {' = '.join(check.engines)}: {values:,} values of {len(taps)} of "
        f"{len(model.graph.taps)} taps, {wrong:,} differ"
    )
    return Outcome(summary, first_few(firsts) or None, Details(figures, comparisons))


KIND = Kind(
    settings=RuntimeCheck,
    about="a model gives what ONNX Runtime or LiteRT computes of the file it was imported from, at every tensor of "
    "codes",
    run=run,
    data=(Comparison,),
    report=(DIFFERENCES,),
)
