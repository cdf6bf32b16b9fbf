"""Verilog held to a model without simulating: widths, signs and shapes of memories, read from the syntax tree."""

from fxsim.rtl_lint.lint import LintFinding, LintResult, Place, lint_described, lint_rtl, tap_place

__all__ = ["LintFinding", "LintResult", "Place", "lint_described", "lint_rtl", "tap_place"]
