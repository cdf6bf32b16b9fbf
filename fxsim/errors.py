"""Errors a user can cause. Each message names the thing, the place and what was expected."""


class FxsimError(Exception):
    """Base of every error that fxsim raises on purpose; the command line prints its message and exits with status 1."""


class ModelError(FxsimError):
    """An operator, graph or model that may not exist: wrong shapes, illegal values, a possible overflow."""


class FileError(FxsimError):
    """A file that cannot be read or written: missing, damaged, malformed, of an unknown version."""


class StimulusError(FxsimError):
    """Input values or tap names that do not fit the model."""


class ToolError(FxsimError):
    """An outside tool (Verilator, a compiler) that is missing or failed."""


class ComparisonError(FxsimError):
    """Two sources that cannot be compared value by value: taps, images, shapes or types that do not fit each other."""
