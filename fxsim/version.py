"""The version of fxsim: this line is the only place that states it; the built package takes it from here."""

__version__ = "0.1.0"
