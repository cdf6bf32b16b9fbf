"""The operators of the contract as frozen records; see `fxsim.operators.kinds`."""

from fxsim.operators.kinds import Add, Affine, Axis, Linear, Lut, Operator, Pool, Relu, Shape

__all__ = ["Add", "Affine", "Axis", "Linear", "Lut", "Operator", "Pool", "Relu", "Shape"]
