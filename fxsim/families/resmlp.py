"""ResMLP of any dimensions: the builder, and the recogniser that accelerators and header files rely on.

The network (Singh and Bazargan, ACM TRETS 18(2):21, 2025; see `docs/arithmetic.md`):

    embed, then blocks of
        token mixer:  r = res_affine(x);  x = add(affine_2(linear over tokens(affine_1(x))), r)
        mlp:          r = res_affine(x);  x = add(linear_2(psa_2(linear_1(psa_1(x)))), r)      (ReLU: no psa_1, relu)
    then pool over tokens and classifier.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt

from fxsim.contract import CHANNEL, TABLE_POINTS, TOKEN, TableRule, stored_points
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Operator, Pool, Relu
from fxsim.operators.base import choice, integer


class Dimensions(Protocol):
    """The dimensions of a ResMLP, in whatever record they stand."""

    @property
    def tokens(self) -> int:
        """Tokens of an image, a power of two."""

    @property
    def values(self) -> int:
        """Values of a token of the input."""

    @property
    def channels(self) -> int:
        """Channels of a token between the layers."""

    @property
    def hidden(self) -> int:
        """Channels inside an mlp."""

    @property
    def blocks(self) -> int:
        """Blocks of a token mixer and an mlp."""

    @property
    def classes(self) -> int:
        """Outputs of the classifier."""


DIMENSIONS = tuple(name for name, value in vars(Dimensions).items() if isinstance(value, property))
"""Names of all dimensions."""

TOLD_BY = {
    "channels": "embed",
    "hidden": "blocks.0.mlp.linear_1",
    "tokens": "blocks.0.token_mixer.linear",
    "classes": "classifier",
}
"""The dimensions that a linear's outputs tell, and that linear's tap."""


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
        for name in (*DIMENSIONS, "points"):
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

    @classmethod
    def of(cls, dimensions: Dimensions, points: int = 0, rule: TableRule | None = None) -> Self:
        """The dimensions of any record, with a format of tables; none for a ReLU model."""
        return cls(**{name: getattr(dimensions, name) for name in DIMENSIONS}, points=points, rule=rule)

    @property
    def psa(self) -> bool:
        """Whether activations are tables (PSA) rather than ReLU."""
        return self.rule is not None

    @property
    def stored(self) -> int:
        """Points stored of each table; 0 without tables."""
        return 0 if self.rule is None else stored_points(self.points, self.rule)

    @property
    def network_text(self) -> str:
        """Words for the kind of network."""
        return "ResMLP, " + (f"PSA, tables of {self.points} points, edge rule {self.rule}" if self.psa else "ReLU")

    @property
    def dimensions_text(self) -> str:
        """Words for the dimensions."""
        return (
            f"{self.tokens} tokens x {self.values} values, {self.channels} channels, hidden {self.hidden}, "
            f"{self.blocks} blocks, {self.classes} classes"
        )


@dataclass(frozen=True)
class Slot:
    """One operator of a ResMLP before it has parameters.

    `role`: its part in its block, the last word of its tap's name. `shape`: of a linear's weight [N, K]; [C] of an
    affine's weight and of the functions of a table; nothing else has one.
    """

    name: str
    op: type[Operator]
    inputs: tuple[str, ...]
    shape: tuple[int, ...] = ()
    over: Axis = Axis.CHANNELS

    @property
    def role(self) -> str:
        """Its part in its block."""
        return self.name.rpartition(".")[2]

    @property
    def block(self) -> int | None:
        """The number of its block; None outside the blocks."""
        _, _, rest = self.name.partition(".")
        return int(rest.partition(".")[0]) if rest else None

    @property
    def place(self) -> tuple[str, ...]:
        """The words of its name without those of its block: its half of the block and its role, or its role alone."""
        words = self.name.split(".")
        return tuple(words if self.block is None else words[2:])

    def parameters(self, stored: int) -> dict[str, tuple[int, ...]]:
        """Shapes of its parameters by field, where so many points of each function are stored."""
        if self.op is Lut:
            return {"table": (*self.shape, stored)}
        if not self.shape:
            return {}
        return {"weight": self.shape, "bias": self.shape[:1], "shift": self.shape[:1]}


def resmlp_slots(dimensions: Dimensions, psa: bool) -> Iterator[Slot]:
    """Every operator of the network in the order data takes, with tables (`psa`) or ReLU."""
    tokens, channels, hidden = dimensions.tokens, dimensions.channels, dimensions.hidden
    yield Slot("embed", Linear, (INPUT,), (channels, dimensions.values))
    x = "embed"
    for i in range(dimensions.blocks):
        mix = f"blocks.{i}.token_mixer"
        yield Slot(f"{mix}.res_affine", Affine, (x,), (channels,))
        yield Slot(f"{mix}.affine_1", Affine, (x,), (channels,))
        yield Slot(f"{mix}.linear", Linear, (f"{mix}.affine_1",), (tokens, tokens), Axis.TOKENS)
        yield Slot(f"{mix}.affine_2", Affine, (f"{mix}.linear",), (channels,))
        yield Slot(f"{mix}.add", Add, (f"{mix}.affine_2", f"{mix}.res_affine"))
        x = f"{mix}.add"
        mlp = f"blocks.{i}.mlp"
        yield Slot(f"{mlp}.res_affine", Affine, (x,), (channels,))
        if psa:
            yield Slot(f"{mlp}.psa_1", Lut, (x,), (channels,))
            yield Slot(f"{mlp}.linear_1", Linear, (f"{mlp}.psa_1",), (hidden, channels))
            yield Slot(f"{mlp}.psa_2", Lut, (f"{mlp}.linear_1",), (hidden,))
            yield Slot(f"{mlp}.linear_2", Linear, (f"{mlp}.psa_2",), (channels, hidden))
        else:
            yield Slot(f"{mlp}.linear_1", Linear, (x,), (hidden, channels))
            yield Slot(f"{mlp}.relu", Relu, (f"{mlp}.linear_1",))
            yield Slot(f"{mlp}.linear_2", Linear, (f"{mlp}.relu",), (channels, hidden))
        yield Slot(f"{mlp}.add", Add, (f"{mlp}.linear_2", f"{mlp}.res_affine"))
        x = f"{mlp}.add"
    yield Slot("pool", Pool, (x,))
    yield Slot("classifier", Linear, ("pool",), (dimensions.classes, channels))


def resmlp_parameters(config: ResMLPConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every parameter, `{tap}.{weight|bias|shift|table}`; shifts are uint8, all others int8."""
    return {
        f"{slot.name}.{field}": shape
        for slot in resmlp_slots(config, config.psa)
        for field, shape in slot.parameters(config.stored).items()
    }


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
    for slot in resmlp_slots(config, config.psa):
        arrays = {field: parameters[f"{slot.name}.{field}"] for field in slot.parameters(config.stored)}
        try:
            nodes.append(Node(slot.name, _operator(slot, arrays, config), slot.inputs))
        except ModelError as error:
            raise ModelError(f"node '{slot.name}': {error}") from None
    return Graph((config.tokens, config.values), tuple(nodes))


def _operator(slot: Slot, arrays: Mapping[str, Any], config: ResMLPConfig) -> Operator:
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
    if graph.input.axes != (TOKEN, CHANNEL):
        raise ModelError(
            f"graph is not a ResMLP: its input is {graph.input}, not of tokens and channels; for other networks there "
            "are the composed accelerator (--accel composed) and --dut for RTL of your own"
        )
    linears = {node.name: node.op for node in graph.nodes if isinstance(node.op, Linear)}
    for name in TOLD_BY.values():
        if name not in linears:
            raise ModelError(f"graph is not a ResMLP: it has no linear '{name}'")
    tables = [node.op for node in graph.nodes if isinstance(node.op, Lut)]
    if len({(lut.points, lut.rule) for lut in tables}) > 1:
        raise ModelError("graph is not a ResMLP of one table format: its tables differ in points or rule")
    config = ResMLPConfig(
        **{dimension: linears[name].weight.shape[0] for dimension, name in TOLD_BY.items()},
        values=graph.input_shape[1],
        blocks=sum(name.endswith(".mlp.linear_1") for name in linears),
        points=tables[0].points if tables else 0,
        rule=tables[0].rule if tables else None,
    )
    slots = list(resmlp_slots(config, config.psa))
    for slot, node in zip(slots, graph.nodes, strict=False):
        found = (node.name, type(node.op), node.inputs)
        if found != (slot.name, slot.op, slot.inputs):
            raise ModelError(
                f"graph is not a ResMLP: node '{node.name}' ({node.op.kind} of {', '.join(node.inputs)}) stands where "
                f"'{slot.name}' ({slot.op.kind} of {', '.join(slot.inputs)}) was expected"
            )
        if isinstance(node.op, Linear) and node.op.over is not slot.over:
            raise ModelError(f"graph is not a ResMLP: '{node.name}' is a linear over {node.op.over}, not {slot.over}")
        for field, shape in slot.parameters(config.stored).items():
            if getattr(node.op, field).shape != shape:
                raise ModelError(f"graph is not a ResMLP: '{node.name}.{field}' has not the shape {shape}")
    if len(slots) != len(graph.nodes):
        raise ModelError(f"graph is not a ResMLP: it has {len(graph.nodes)} nodes, expected {len(slots)}")
    return config
