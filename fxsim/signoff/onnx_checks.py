"""Checks of integer models as ONNX graphs, which ONNX Runtime executes. They need the extra `onnx`."""

import itertools
from functools import partial

from fxsim.engines import run
from fxsim.formats.onnx import missing, onnx_bytes, open_onnx
from fxsim.signoff.context import Context, Outcome, SkipCheck, compare_in_parts
from fxsim.signoff.plan import OnnxCheck
from fxsim.signoff.record import Comparison, Details, Figure


def onnx(check: OnnxCheck, context: Context, seed: int) -> Outcome:
    """Every tap of each model on each of the stimuli, as ONNX Runtime and as the engines compute it."""
    reason = missing("onnx", "onnxruntime")
    if reason is not None:
        raise SkipCheck(reason)
    comparisons: list[Comparison] = []
    firsts: list[str] = []
    operators = 0
    for done, name in enumerate(check.models):
        context.progress(done, len(check.models))
        model = context.model(name)
        data = onnx_bytes(model)
        compute = open_onnx(data)
        operators += len(model.graph.nodes)
        for stimulus, engine in itertools.product(check.stimuli, check.engines):
            x = context.stimulus(stimulus, model, seed)[: check.images]
            title = f"{name} on {stimulus}: ONNX Runtime against {engine}"
            comparison, first = compare_in_parts(title, x, partial(run, model, taps="all", engine=engine), compute)
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
    return Outcome(summary, "; ".join(firsts[:3]) or None, Details(figures=figures, comparisons=tuple(comparisons)))
