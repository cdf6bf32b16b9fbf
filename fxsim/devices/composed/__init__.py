"""The composed accelerator: modules for networks of few bits, chained as a graph chains its operators."""

from fxsim.devices.composed.files import compose, composed_files
from fxsim.devices.composed.parts import Part
from fxsim.devices.composed.plan import DESCRIPTION, Composition, make_plan

__all__ = ["DESCRIPTION", "Composition", "Part", "compose", "composed_files", "make_plan"]
