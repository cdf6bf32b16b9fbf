"""Simulators of Verilog: built with Verilator, cached by their content, run, and disturbed by stall patterns."""

from fxsim.simulate.build import Build, Design, build_simulator
from fxsim.simulate.stall import PATTERNS, Stall, parse_stall

__all__ = ["PATTERNS", "Build", "Design", "Stall", "build_simulator", "parse_stall"]
