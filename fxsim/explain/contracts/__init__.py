"""Named contracts: the exact arithmetic of other runtimes, libraries and languages."""

from fxsim.explain.contracts.arithmetic import ONE, Contract, Overflow
from fxsim.explain.contracts.known import CONTRACTS, contract

__all__ = ["CONTRACTS", "ONE", "Contract", "Overflow", "contract"]
