"""ResMLP of any dimensions: the builder, and the recogniser that accelerators and header files rely on.

The network (Singh and Bazargan, ACM TRETS 18(2):21, 2025; see `docs/arithmetic.md`):

    embed, then blocks of
        token mixer:  r = res_affine(x);  x = add(affine_2(linear over tokens(affine_1(x))), r)
        mlp:          r = res_affine(x);  x = add(linear_2(psa_2(linear_1(psa_1(x)))), r)      (ReLU: no psa_1, relu)
    then pool over tokens and classifier.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import TABLE_POINTS, TableRule, stored_points
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Operator, Pool, Relu
from fxsim.operators.base import choice, integer


@dataclass(frozen=True)
class ResMLPConfig:
    """Dimensions of a ResMLP; `points` and `rule` are those of every table, 0 and None for a ReLU model."""

    tokens: int
    values: int
    channels: int
    hidden: int
    blocks: int
    classes: int
    points: int = 0
    rule: TableRule | None = None

    def __post_init__(self) -> None:
        for name in ("tokens", "values", "channels", "hidden", "blocks", "classes", "points"):
            object.__setattr__(self, name, integer(getattr(self, name), f"ResMLP {name}"))
            if name != "points" and getattr(self, name) < 1:
                raise ModelError(f"ResMLP has {name} = {getattr(self, name)}, expected at least 1")
        if self.tokens & (self.tokens - 1):
            raise ModelError(f"ResMLP has {self.tokens} tokens, expected a power of two")
        if (self.rule is None) != (self.points == 0):
            raise ModelError("ResMLP has table points without a table rule, or the other way round")
        if self.rule is not None:
            object.__setattr__(self, "rule", choice(self.rule, TableRule, "ResMLP table rule"))
            legal = (256,) if self.rule is TableRule.FULL else TABLE_POINTS
            if self.points not in legal:
                raise ModelError(
                    f"ResMLP tables have {self.points} points under '{self.rule}', expected one of {legal}"
                )

    @property
    def psa(self) -> bool:
        """Whether activations are tables (PSA) rather than ReLU."""
        return self.rule is not None


@dataclass(frozen=True)
class _Slot:
    """One node of a ResMLP before it has parameters: parameter shapes by field name."""

    name: str
    op: type[Operator]
    inputs: tuple[str, ...]
    parameters: Mapping[str, tuple[int, ...]]
    over: Axis = Axis.CHANNELS


def _slots(config: ResMLPConfig) -> Iterator[_Slot]:
    """Every node of the network, from input to classifier."""

    def linear(name: str, source: str, outputs: int, inputs: int, over: Axis = Axis.CHANNELS) -> _Slot:
        shapes = {"weight": (outputs, inputs), "bias": (outputs,), "shift": (outputs,)}
        return _Slot(name, Linear, (source,), shapes, over)

    def affine(name: str, source: str) -> _Slot:
        return _Slot(name, Affine, (source,), dict.fromkeys(("weight", "bias", "shift"), (config.channels,)))

    def psa(name: str, source: str, channels: int) -> _Slot:
        assert config.rule is not None
        return _Slot(name, Lut, (source,), {"table": (channels, stored_points(config.points, config.rule))})

    yield linear("embed", INPUT, config.channels, config.values)
    x = "embed"
    for i in range(config.blocks):
        mix = f"blocks.{i}.token_mixer"
        yield affine(f"{mix}.res_affine", x)
        yield affine(f"{mix}.affine_1", x)
        yield linear(f"{mix}.linear", f"{mix}.affine_1", config.tokens, config.tokens, Axis.TOKENS)
        yield affine(f"{mix}.affine_2", f"{mix}.linear")
        yield _Slot(f"{mix}.add", Add, (f"{mix}.affine_2", f"{mix}.res_affine"), {})
        x = f"{mix}.add"
        mlp = f"blocks.{i}.mlp"
        yield affine(f"{mlp}.res_affine", x)
        if config.psa:
            yield psa(f"{mlp}.psa_1", x, config.channels)
            yield linear(f"{mlp}.linear_1", f"{mlp}.psa_1", config.hidden, config.channels)
            yield psa(f"{mlp}.psa_2", f"{mlp}.linear_1", config.hidden)
            yield linear(f"{mlp}.linear_2", f"{mlp}.psa_2", config.channels, config.hidden)
        else:
            yield linear(f"{mlp}.linear_1", x, config.hidden, config.channels)
            yield _Slot(f"{mlp}.relu", Relu, (f"{mlp}.linear_1",), {})
            yield linear(f"{mlp}.linear_2", f"{mlp}.relu", config.channels, config.hidden)
        yield _Slot(f"{mlp}.add", Add, (f"{mlp}.linear_2", f"{mlp}.res_affine"), {})
        x = f"{mlp}.add"
    yield _Slot("pool", Pool, (x,), {})
    yield linear("classifier", "pool", config.classes, config.channels)


def resmlp_parameters(config: ResMLPConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter, `{tap}.{weight|bias|shift|table}`; shifts are uint8, all others int8."""
    return {f"{slot.name}.{field}": shape for slot in _slots(config) for field, shape in slot.parameters.items()}


def build_resmlp(config: ResMLPConfig, parameters: Mapping[str, npt.NDArray[np.generic]]) -> Graph:
    """The graph of a ResMLP from its parameters, named and shaped as `resmlp_parameters` says.

    ModelError names a parameter that is missing, left over, or of the wrong shape or type.
    """
    expected = resmlp_parameters(config)
    for name, shape in expected.items():
        if name not in parameters:
            raise ModelError(f"parameter '{name}' is missing, expected shape {shape}")
        if parameters[name].shape != shape:
            raise ModelError(f"parameter '{name}' has shape {parameters[name].shape}, expected {shape}")
    for name in parameters:
        if name not in expected:
            raise ModelError(f"parameter '{name}' does not belong to this ResMLP")
    nodes = []
    for slot in _slots(config):
        arrays = {field: parameters[f"{slot.name}.{field}"] for field in slot.parameters}
        try:
            nodes.append(Node(slot.name, _operator(slot, arrays, config), slot.inputs))
        except ModelError as error:
            raise ModelError(f"node '{slot.name}': {error}") from None
    return Graph((config.tokens, config.values), tuple(nodes))


def _operator(slot: _Slot, arrays: Mapping[str, Any], config: ResMLPConfig) -> Operator:
    if slot.op is Linear:
        return Linear(**arrays, over=slot.over)
    if slot.op is Affine:
        return Affine(**arrays)
    if slot.op is Lut:
        assert config.rule is not None
        return Lut(arrays["table"], config.rule)
    if slot.op is Pool:
        return Pool(config.tokens)
    return Add() if slot.op is Add else Relu()


def recognise_resmlp(graph: Graph) -> ResMLPConfig:
    """The dimensions of a graph that is a ResMLP with this project's tap names; ModelError says where it is not one."""
    linears = {node.name: node.op for node in graph.nodes if isinstance(node.op, Linear)}
    needed = ("embed", "blocks.0.mlp.linear_1", "classifier")
    for name in needed:
        if name not in linears:
            raise ModelError(f"graph is not a ResMLP: it has no linear '{name}'")
    tables = [node.op for node in graph.nodes if isinstance(node.op, Lut)]
    if len({(lut.points, lut.rule) for lut in tables}) > 1:
        raise ModelError("graph is not a ResMLP of one table format: its tables differ in points or rule")
    config = ResMLPConfig(
        tokens=graph.input_shape[0],
        values=graph.input_shape[1],
        channels=linears["embed"].weight.shape[0],
        hidden=linears["blocks.0.mlp.linear_1"].weight.shape[0],
        blocks=sum(name.endswith(".mlp.linear_1") for name in linears),
        classes=linears["classifier"].weight.shape[0],
        points=tables[0].points if tables else 0,
        rule=tables[0].rule if tables else None,
    )
    slots = list(_slots(config))
    for slot, node in zip(slots, graph.nodes, strict=False):
        found = (node.name, type(node.op), node.inputs)
        if found != (slot.name, slot.op, slot.inputs):
            raise ModelError(
                f"graph is not a ResMLP: node '{node.name}' ({node.op.kind} of {', '.join(node.inputs)}) stands where "
                f"'{slot.name}' ({slot.op.kind} of {', '.join(slot.inputs)}) was expected"
            )
        if isinstance(node.op, Linear) and node.op.over is not slot.over:
            raise ModelError(f"graph is not a ResMLP: '{node.name}' is a linear over {node.op.over}, not {slot.over}")
        for field, shape in slot.parameters.items():
            if getattr(node.op, field).shape != shape:
                raise ModelError(f"graph is not a ResMLP: '{node.name}.{field}' has not the shape {shape}")
    if len(slots) != len(graph.nodes):
        raise ModelError(f"graph is not a ResMLP: it has {len(graph.nodes)} nodes, expected {len(slots)}")
    return config
