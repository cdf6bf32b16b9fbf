"""The operators: one file a kind, each with the facts of its operator, and the set of those there are."""

from fxsim.contract import Shape
from fxsim.operators.add import Add
from fxsim.operators.affine import Affine
from fxsim.operators.argmax import Argmax
from fxsim.operators.base import TABLES, Cost, NotTaken, Operator, OperatorTable
from fxsim.operators.concat import Concat
from fxsim.operators.conv import Conv
from fxsim.operators.encode import Encode
from fxsim.operators.flatten import Flatten
from fxsim.operators.gate import Gate
from fxsim.operators.linear import Axis, Linear
from fxsim.operators.lut import Lut
from fxsim.operators.matmul import Matmul
from fxsim.operators.max_pool import MaxPool
from fxsim.operators.multiply_add import MultiplyAdd
from fxsim.operators.ordered_linear import OrderedLinear
from fxsim.operators.pad import Pad
from fxsim.operators.pool import Pool
from fxsim.operators.position import Position
from fxsim.operators.prelu import Prelu
from fxsim.operators.relu import Relu
from fxsim.operators.rescale import Rescale
from fxsim.operators.reshape import Reshape
from fxsim.operators.sum_pool import SumPool
from fxsim.operators.threshold import Threshold
from fxsim.operators.transpose import Transpose
from fxsim.operators.weighted_add import WeightedAdd

FEATURE_MAPS: tuple[type[Operator], ...] = (
    Encode, MultiplyAdd, WeightedAdd, Prelu, Gate, Concat, Flatten, SumPool, OrderedLinear, Argmax,
    Rescale, Pad, Matmul, Position, Reshape, Transpose,
)  # fmt: skip
"""Operators on wider feature maps, of few bits, scales, attention: most rooms refuse all, for one reason."""

ORDERS: tuple[type[Operator], ...] = (Flatten, Reshape, Transpose)
"""Operators that give an image's values in another order: its axes are read as their `order` says, slowest first, and
what is read so fills the result as it lies."""

OPERATORS: dict[str, type[Operator]] = {
    op.kind: op for op in (Linear, Affine, Relu, Lut, Add, Pool, Conv, MaxPool, Threshold)
} | {op.kind: op for op in FEATURE_MAPS}
"""Every operator that a graph may hold, by kind."""

__all__ = [
    "FEATURE_MAPS",
    "OPERATORS",
    "ORDERS",
    "TABLES",
    "Add",
    "Affine",
    "Argmax",
    "Axis",
    "Concat",
    "Conv",
    "Cost",
    "Encode",
    "Flatten",
    "Gate",
    "Linear",
    "Lut",
    "Matmul",
    "MaxPool",
    "MultiplyAdd",
    "NotTaken",
    "Operator",
    "OperatorTable",
    "OrderedLinear",
    "Pad",
    "Pool",
    "Position",
    "Prelu",
    "Relu",
    "Rescale",
    "Reshape",
    "Shape",
    "SumPool",
    "Threshold",
    "Transpose",
    "WeightedAdd",
]
