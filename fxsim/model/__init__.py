"""Integer models: operators, graphs, and the ResMLP family."""

from fxsim.model.graph import INPUT, AccumulatorBound, Graph, Model, Node, accumulator_bound
from fxsim.model.operators import Add, Affine, Axis, Linear, Lut, Operator, Pool, Relu, Shape
from fxsim.model.resmlp import ResMLPConfig, build_resmlp, recognise_resmlp, resmlp_parameters

__all__ = [
    "INPUT",
    "AccumulatorBound",
    "Add",
    "Affine",
    "Axis",
    "Graph",
    "Linear",
    "Lut",
    "Model",
    "Node",
    "Operator",
    "Pool",
    "Relu",
    "ResMLPConfig",
    "Shape",
    "accumulator_bound",
    "build_resmlp",
    "recognise_resmlp",
    "resmlp_parameters",
]
