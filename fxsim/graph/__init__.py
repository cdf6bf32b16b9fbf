"""Integer models: graphs of operators, checked when they are built."""

from fxsim.graph.graph import ALL_TAPS, INPUT, AccumulatorBound, Graph, Node, accumulator_bound
from fxsim.graph.model import Model, check_model, refuse_beyond_int8
from fxsim.graph.repeat import repeat

__all__ = [
    "ALL_TAPS",
    "INPUT",
    "AccumulatorBound",
    "Graph",
    "Model",
    "Node",
    "accumulator_bound",
    "check_model",
    "refuse_beyond_int8",
    "repeat",
]
