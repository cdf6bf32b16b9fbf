"""Comparing any two sources of values: one way to do it, one form of result, one sentence for a difference."""

from fxsim.compare.compare import compare
from fxsim.compare.difference import Difference, named, place, sentence
from fxsim.compare.four_state import FourState
from fxsim.compare.result import Comparison, TapComparison, Verdict, first_difference
from fxsim.compare.sources import ArraySource, ComputedSource, FloatSource, Source, engine_source
from fxsim.compare.tally import Tally, TapShape, Values, model_taps

__all__ = [
    "ArraySource",
    "Comparison",
    "ComputedSource",
    "Difference",
    "FloatSource",
    "FourState",
    "Source",
    "Tally",
    "TapComparison",
    "TapShape",
    "Values",
    "Verdict",
    "compare",
    "engine_source",
    "first_difference",
    "model_taps",
    "named",
    "place",
    "sentence",
]
