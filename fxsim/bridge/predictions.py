"""The cost of each rule: predictions of the network in arithmetics between the contract's and float fake-quant's."""

from dataclasses import dataclass, field

import numpy as np
import torch

from fxsim.bridge.attribute import switched
from fxsim.bridge.record import Variant
from fxsim.contract.arithmetic import Int8, Int64
from fxsim.networks.checkpoint import Quantised
from fxsim.networks.quantised import CONTRACT, FLOAT, Arithmetic

INTEGER, FLOATING = "integer", "float"

_ONE_RULE_FLOAT = {
    "ties": "ties to even",
    "sums": "float32 sums",
    "saturation": "late saturation",
    "tables": "functions as such",
}
_ONE_RULE_CONTRACT = {
    "ties": "ties up",
    "sums": "exact sums",
    "saturation": "every add saturates",
    "tables": "stored tables",
}


def arithmetics(network: Quantised) -> dict[str, Arithmetic]:
    """The contract's and fake-quant's arithmetics, and each with one rule of the other; by name.

    Without the rule for tables where the network has none.
    """
    rules = [rule for rule in _ONE_RULE_FLOAT if rule != "tables" or network.table_taps()]
    return (
        {INTEGER: CONTRACT}
        | {f"{INTEGER}, {_ONE_RULE_FLOAT[rule]}": switched(CONTRACT, (rule,), FLOAT) for rule in rules}
        | {FLOATING: FLOAT}
        | {f"{FLOATING}, {_ONE_RULE_CONTRACT[rule]}": switched(FLOAT, (rule,), CONTRACT) for rule in rules}
    )


@dataclass
class Predictions:
    """Counts, batch by batch, the predictions that change from one arithmetic to another.

    A prediction is the class of the greatest code, the first of equal ones.
    """

    network: Quantised
    changed: dict[str, int] = field(default_factory=dict)
    changed_from_float: dict[str, int] = field(default_factory=dict)
    correct: dict[str, int] | None = None

    def add(self, codes: Int8, labels: Int64 | None) -> None:
        """Predict a batch, int8 [image, token, value], in every arithmetic."""
        inputs = torch.from_numpy(codes)
        scores = self.network.taps[-1]
        found = {
            # numpy's argmax is the first of equal values by definition.
            name: self.network.run_taps(inputs, arithmetic, (scores,))[scores].flatten(1).numpy().argmax(axis=1)
            for name, arithmetic in arithmetics(self.network).items()
        }
        for name, classes in found.items():
            self.changed[name] = self.changed.get(name, 0) + int((classes != found[INTEGER]).sum())
            from_float = int((classes != found[FLOATING]).sum())
            self.changed_from_float[name] = self.changed_from_float.get(name, 0) + from_float
            if labels is not None:
                self.correct = self.correct or {}
                self.correct[name] = self.correct.get(name, 0) + int(np.count_nonzero(classes == labels))

    @property
    def variants(self) -> tuple[Variant, ...]:
        """The findings of every arithmetic."""
        return tuple(
            Variant(
                name=name,
                changed=changed,
                changed_from_float=self.changed_from_float[name],
                correct=None if self.correct is None else self.correct[name],
            )
            for name, changed in self.changed.items()
        )
