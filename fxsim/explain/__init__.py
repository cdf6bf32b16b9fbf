"""Causes of differences: where a fault is, the rule that makes every value of it, and what stays unexplained."""

from fxsim.explain.locate import Located, TapState, locate
from fxsim.explain.result import Diff, Fault, Partial
from fxsim.explain.run import diff

__all__ = ["Diff", "Fault", "Located", "Partial", "TapState", "diff", "locate"]
