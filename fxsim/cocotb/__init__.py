"""A model beside a cocotb testbench, in whatever simulator that runs: drivers, monitors, scoreboard.

Needs the extra `cocotb`; ToolError where that is not installed.
"""

from fxsim.cocotb.available import COCOTB_VERSION
from fxsim.cocotb.bus import Bus
from fxsim.cocotb.check import TapCheck
from fxsim.cocotb.failure import NeverCheckedError, ScoreboardError
from fxsim.cocotb.scoreboard import Scoreboard

__all__ = ["COCOTB_VERSION", "Bus", "NeverCheckedError", "Scoreboard", "ScoreboardError", "TapCheck"]
