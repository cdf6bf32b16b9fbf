"""Sensitivity: what each rule, table size and bit of width is worth, at each operator, in answers on a data set."""

from fxsim.explain.sensitivity.result import Effect, Everywhere, Outcome, Sensitivity, TapRange
from fxsim.explain.sensitivity.sweep import sensitivity

__all__ = ["Effect", "Everywhere", "Outcome", "Sensitivity", "TapRange", "sensitivity"]
