"""Known faults put into models, and whether each is called what it is: the proof that explanations can be believed."""

from fxsim.explain.inject.catalogue import Injection, injections, pairs_of
from fxsim.explain.inject.confusion import Confusion, Outcome, confuse

__all__ = ["Confusion", "Injection", "Outcome", "confuse", "injections", "pairs_of"]
