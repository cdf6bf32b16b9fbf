"""Families of networks: the topology of each, stated once."""

from fxsim.families.resmlp import ResMLPConfig, build_resmlp, recognise_resmlp, resmlp_parameters

__all__ = ["ResMLPConfig", "build_resmlp", "recognise_resmlp", "resmlp_parameters"]
