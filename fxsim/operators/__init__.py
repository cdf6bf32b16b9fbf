"""The operators: one file a kind, each with the facts of its operator, and the set of those there are."""

from fxsim.contract import Shape
from fxsim.operators.add import Add
from fxsim.operators.affine import Affine
from fxsim.operators.base import TABLES, Cost, NotTaken, Operator, OperatorTable
from fxsim.operators.conv import Conv
from fxsim.operators.linear import Axis, Linear
from fxsim.operators.lut import Lut
from fxsim.operators.max_pool import MaxPool
from fxsim.operators.pool import Pool
from fxsim.operators.relu import Relu
from fxsim.operators.threshold import Threshold

OPERATORS: dict[str, type[Operator]] = {
    op.kind: op for op in (Linear, Affine, Relu, Lut, Add, Pool, Conv, MaxPool, Threshold)
}
"""Every operator that a graph may hold, by kind."""

__all__ = [
    "OPERATORS",
    "TABLES",
    "Add",
    "Affine",
    "Axis",
    "Conv",
    "Cost",
    "Linear",
    "Lut",
    "MaxPool",
    "NotTaken",
    "Operator",
    "OperatorTable",
    "Pool",
    "Relu",
    "Shape",
    "Threshold",
]
