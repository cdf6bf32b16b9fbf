"""All families of networks, and which of them a graph belongs to."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fxsim.errors import ModelError
from fxsim.families.resmlp import recognise_resmlp
from fxsim.graph import Graph


class Family(Protocol):
    """A network of a family: a frozen dataclass of its dimensions, which is also its JSON."""

    @property
    def network_text(self) -> str:
        """Words for the kind of network."""

    @property
    def dimensions_text(self) -> str:
        """Words for the dimensions."""


FAMILIES: dict[str, Callable[[Graph], Family]] = {"resmlp": recognise_resmlp}
"""The recogniser of each family by name: gives a graph's network, or raises ModelError with the first thing amiss."""


@dataclass(frozen=True)
class Recognition:
    """The family of a graph, or why it belongs to none: `reasons` has a sentence for each family that it is not of."""

    name: str | None
    network: Family | None
    reasons: Mapping[str, str]


def recognise(graph: Graph) -> Recognition:
    """The first family whose network a graph is."""
    reasons: dict[str, str] = {}
    for name, recogniser in FAMILIES.items():
        try:
            return Recognition(name, recogniser(graph), reasons)
        except ModelError as error:
            reasons[name] = str(error)
    return Recognition(None, None, reasons)
