"""Synthesis of a design by open tools: what it takes of an FPGA, module by module."""

from fxsim.synthesis.area import measure_area, synthesisable, synthesise, worst_ways
from fxsim.synthesis.record import Area, ModuleArea, Resources, Unit
from fxsim.synthesis.recorded import Recorded, find_recorded, read_recorded, record_area
from fxsim.synthesis.targets import TARGETS, Target, find_target

__all__ = [
    "TARGETS",
    "Area",
    "ModuleArea",
    "Recorded",
    "Resources",
    "Target",
    "Unit",
    "find_recorded",
    "find_target",
    "measure_area",
    "read_recorded",
    "record_area",
    "synthesisable",
    "synthesise",
    "worst_ways",
]
