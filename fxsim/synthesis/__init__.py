"""Synthesis of a design by open tools: what it takes of an FPGA, module by module."""

from fxsim.synthesis.area import measure_area, synthesise
from fxsim.synthesis.record import Area, ModuleArea, Resources, Unit
from fxsim.synthesis.targets import TARGETS, Target, find_target

__all__ = ["TARGETS", "Area", "ModuleArea", "Resources", "Target", "Unit", "find_target", "measure_area", "synthesise"]
