"""Families of networks: the topology of each, stated once."""

from fxsim.families.registry import FAMILIES, Family, recognise
from fxsim.families.resmlp import (
    DIMENSIONS,
    TOLD_BY,
    Dimensions,
    ResMLPConfig,
    Slot,
    build_resmlp,
    recognise_resmlp,
    resmlp_parameters,
    resmlp_slots,
)

__all__ = [
    "DIMENSIONS",
    "FAMILIES",
    "TOLD_BY",
    "Dimensions",
    "Family",
    "ResMLPConfig",
    "Slot",
    "build_resmlp",
    "recognise",
    "recognise_resmlp",
    "resmlp_parameters",
    "resmlp_slots",
]
