"""Code coverage judged: figures of each module, waivers, annotated Verilog, and files that other tools read."""

from fxsim.code_coverage.judge import Judged, ModuleFigures, Share, judge, modules_of
from fxsim.code_coverage.waivers import Category, Fault, Waiver, load_waivers, parse_place, skeleton

__all__ = [
    "Category",
    "Fault",
    "Judged",
    "ModuleFigures",
    "Share",
    "Waiver",
    "judge",
    "load_waivers",
    "modules_of",
    "parse_place",
    "skeleton",
]
