"""Contracts that several faulty taps have in common: what one rule makes at a tap may be part of another arithmetic."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from math import e, log2

import numpy as np

from fxsim.errors import ModelError
from fxsim.explain.case import Case, Change, make_cases, merged
from fxsim.explain.contracts import CONTRACTS, Contract, Overflow
from fxsim.explain.locate import Located
from fxsim.explain.rules import CONTRACT, Rounding
from fxsim.graph import Node
from fxsim.operators import Affine, Linear

_BITS = 10 + log2(len(CONTRACTS))
"""Bits that the wrong values of another tap must say, so that of all contracts none makes them by chance."""
_PLACE_IS_NOTHING = (Rounding.HALF_UP, Rounding.FLOOR, Rounding.CEILING, Rounding.HALF_DOWN)
"""Roundings that give the same for a bias before the shift as for one after it."""
_ANYWHERE = {"requantise", "rounding", "first_cut", "bias", "logical", "acc_bits", "overflow", "limits", "relu"}
"""Fields of a `Rule` that say the same of every requantisation."""
_FIRST = {contract.formula: contract.name for contract in reversed(CONTRACTS.values())}
"""The name of the contract, of all that requantise alike, by which a rule is known."""

Key = tuple[tuple[str, str, str], ...]


@dataclass
class Common:
    """The contracts of a trace's faulty taps. `whole`: names of those that make the whole trace."""

    located: Located
    whole: tuple[str, ...] = ()
    _cases: dict[str, Case] = field(default_factory=dict)

    def beside(self, case: Case, named: tuple[Change, ...]) -> Iterator[tuple[Change, ...]]:
        """The rules of contracts that make all values of a tap, as `named` does, and more of the trace besides.

        They make the whole trace, or all values of another faulty tap, which `named` does not make. Nothing where no
        other tap is faulty: what two rules make, and one of them alone, is the one.
        """
        others = [tap for tap in self.located.faulty if tap != case.tap]
        if not others:
            return
        known, told = _key(named), set()
        # The model's own limits first: others are told only where the whole trace shows them.
        for contract in sorted(CONTRACTS.values(), key=lambda c: (c.overflow is not Overflow.SATURATE, c.float32)):
            whole = contract.name in self.whole
            place = "anywhere" if contract.rounding in _PLACE_IS_NOTHING and not contract.high_mul else contract.bias
            kind = (contract.rounding, contract.high_mul, place)
            if kind in told or not (whole or contract.overflow is Overflow.SATURATE):
                continue
            rule = _stated(contract, case)
            if not rule or not _makes(case, rule):
                continue
            if whole or any(self._shows(tap, contract, named) for tap in others):
                told.add(kind)
                if _key(rule) != known:
                    yield _by_name(contract, case) if whole else rule

    def _shows(self, tap: str, contract: Contract, named: tuple[Change, ...]) -> bool:
        """Whether a contract makes all values of another faulty tap, too many for chance, and a rule does not."""
        state = next(state for state in self.located.states if state.tap == tap)
        if state.local * (1 + log2(e * state.values / state.local)) < _BITS:
            return False
        if tap not in self._cases:
            self._cases[tap] = make_cases(self.located, tap)[0]
        case = self._cases[tap]
        rule = _stated(contract, case)
        if not rule or not _makes(case, rule):
            return False
        return not any(_makes(case, again) for again in _elsewhere(named, case))


def _requantising(case: Case) -> list[Node]:
    return [node for node in case.chain if isinstance(node.op, Linear | Affine)]


def _stated(contract: Contract, case: Case) -> tuple[Change, ...]:
    """The rules that a contract is, at every linear and affine of a case; none where it cannot take one of them."""
    nodes = _requantising(case)
    for node in nodes:
        op = node.op
        assert isinstance(op, Linear | Affine)
        try:
            for row in zip(*op.accumulator_range(case.tensors[node.inputs[0]]), op.shift, op.bias, strict=True):
                contract.check(*(int(value) for value in row))
        except ModelError:
            return ()
    return tuple(replace(change, node=node.name) for node in nodes for change in _rules(contract, node))


def _by_name(contract: Contract, case: Case) -> tuple[Change, ...]:
    return tuple(replace(_named(contract), node=node.name) for node in _requantising(case))


def _named(contract: Contract) -> Change:
    return Change(f"contract_{_FIRST[contract.formula]}", {"requantise": contract.requantise})


def _rules(contract: Contract, node: Node) -> Iterator[Change]:
    """The rules that a contract is beside ours, by their labels; itself, where there are none that make it up."""
    if contract.high_mul or contract.float32 or contract.overflow is Overflow.ZERO:
        yield _named(contract)
        return
    if contract.bias == "before" and contract.rounding not in _PLACE_IS_NOTHING:
        yield Change("bias_before_shift", {"bias": "before"})
    if contract.rounding is not CONTRACT.rounding:
        yield Change(f"rounding_{contract.rounding}", {"rounding": contract.rounding})
    if contract.overflow is Overflow.WRAP:
        yield Change("saturation_wrap", {"overflow": "wrap"})
    if contract.overflow is Overflow.SYMMETRIC:
        high = node.op.out.high  # type: ignore[attr-defined]
        yield Change("saturation_limits", {"limits": (-high, high)}, {"limits": [-high, high]})


def _elsewhere(named: tuple[Change, ...], case: Case) -> Iterator[tuple[Change, ...]]:
    """Rules of one node as they are at another tap: at each of its linears and affines, and at all; none for others."""
    if len({change.node for change in named}) > 1:
        return
    (fields,) = merged(named).values()
    if not fields.keys() <= _ANYWHERE:
        return
    nodes = _requantising(case)
    each = [Change("", fields, node=node.name) for node in nodes]
    yield from ((change,) for change in each)
    yield tuple(each)


def _makes(case: Case, rule: tuple[Change, ...]) -> bool:
    """Whether rules make every value of a case's tap."""
    if case.hidden.any():
        return False
    wrong = case.wrong.reshape(len(case.wrong), -1).sum(axis=1)
    first = case.part(np.array([int(np.argmax(wrong))]))
    return all(np.array_equal(one.compute(*rule), one.got) for one in (first, case))


def _key(rule: tuple[Change, ...]) -> Key:
    return tuple(sorted((change.label, change.node, repr(sorted(change.parameters.items()))) for change in rule))
