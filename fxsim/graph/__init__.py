"""Integer models: graphs of operators, checked when they are built."""

from fxsim.graph.graph import INPUT, AccumulatorBound, Graph, Model, Node, accumulator_bound

__all__ = ["INPUT", "AccumulatorBound", "Graph", "Model", "Node", "accumulator_bound"]
