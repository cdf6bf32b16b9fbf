"""Bounds of a run that is proved: its schedule and its images."""

from fxsim.errors import StimulusError
from fxsim.simulate.stall import Stall, parse_stall

DESIGN = "the design"
"""The name of a composed design among what is proved for all schedules."""
IMAGES_MAX = 16
"""Most images of one run."""


def parse_schedule(text: str) -> Stall:
    """A schedule from its text: `none`, or `random`, `input`, `output` of stall patterns. StimulusError for others."""
    stall = parse_stall(text)
    if not stall.kinds <= {"random"}:
        raise StimulusError(f"the schedule is '{text}', expected none, or random:SEED[:P] with a part P of all cycles")
    return stall
