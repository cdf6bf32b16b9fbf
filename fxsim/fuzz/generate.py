"""Random networks of any shape and number format, and the images they are tried on.

Every network is drawn from a seed and its own number alone, so that any of them can be had again by itself. What may be
drawn stands in `Generator`, in tuples that are stated in full: what is left out of one is never made, and the audit
(`features`) says so, which takes what there is from the contract and not from here.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from fxsim.contract import (
    CHANNEL,
    INT8,
    RANGED,
    TOKEN,
    Number,
    TableRule,
    Tensor,
    bias_number,
    bits_needed,
    legal_points,
    stored_points,
    worst_case_sums,
)
from fxsim.contract.arithmetic import Integers, UInt8
from fxsim.families import ResMLPConfig, resmlp_slots
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Operator, Pool, Relu

STEP = "step"
"""The axis that a network of sequences has before tokens and channels."""

TABLE_VALUES_MAX = 1 << 17
"""Most entries of a table that is drawn: a full one of 16 bits has half as many a channel."""

_TENSOR_VALUES_MAX = 1 << 13
"""Most values of a tensor that is drawn, an image: many small networks show more than one large one."""


@dataclass(frozen=True)
class Case:
    """A network and images for it, [image, ...]; `seed` and `number` are what they were drawn from."""

    model: Model
    x: Integers
    seed: int
    number: int


@dataclass(frozen=True)
class Generator:
    """The choices of what may be drawn. `sorts`: of networks, one after the other by their number.

    `int8`: any graph of 8-bit tensors, which every engine takes; `formats`: of any number formats; `resmlp`: ResMLPs;
    `pictures`: networks of few bits on rows, columns and channels, of `picture_kinds`.
    """

    sorts: tuple[str, ...] = ("int8", "formats", "pictures", "int8", "formats", "pictures", "resmlp")
    picture_kinds: tuple[str, ...] = (
        "conv", "conv", "conv", "max_pool", "threshold", "threshold", "encode", "multiply_add", "weighted_add",
        "prelu", "gate", "concat", "flatten", "sum_pool", "ordered_linear", "argmax", "rescale", "rescale",
        "rescale", "rescale", "pad", "pad", "linear", "affine", "relu", "add", "matmul", "position", "reshape",
        "transpose",
    )  # fmt: skip
    kinds: tuple[str, ...] = ("channels", "tokens", "affine", "relu", "lut", "add", "pool")
    numbers: tuple[Number, ...] = tuple(Number(bits, sign) for bits in (*range(2, 17), 4, 8, 16) for sign in RANGED)
    weights: tuple[Number, ...] = tuple(Number(bits) for bits in range(2, 9))
    rules: tuple[TableRule, ...] = tuple(TableRule)
    shifts: tuple[str, ...] = ("usual", "usual", "none", "one", "edge", "beyond", "ends", "any")
    fills: tuple[str, ...] = ("uniform", "uniform", "small", "ends", "least", "greatest", "zero", "single")
    widths: tuple[str, ...] = ("needed", "needed", "stated", "wide", "widest")
    axes: tuple[tuple[str, ...], ...] = ((TOKEN, CHANNEL), (TOKEN, CHANNEL), (CHANNEL,), (STEP, TOKEN, CHANNEL))
    sizes: tuple[int, ...] = (1, 1, 2, 2, 3, 4, 4, 5, 7, 8, 8, 9, 12, 16, 17)
    long_sizes: tuple[int, ...] = (31, 32, 33, 63, 64, 65, 96, 127, 128, 130)
    images: tuple[str, ...] = ("uniform", "uniform", "ends", "least", "greatest", "worst")
    nodes_max: int = 9
    images_max: int = 5

    def draw(self, seed: int, number: int) -> Case:
        """The network and images of a number; the same arguments give the same."""
        rng = np.random.default_rng((seed, number))
        sort = self.sorts[number % len(self.sorts)]
        if sort == "resmlp":
            graph = draw_resmlp(self, rng, self.config(rng))
        elif sort == "int8":
            graph = Drawing(self, rng, (INT8,), (INT8,)).network()
        elif sort == "pictures":
            # It draws with what stands here.
            from fxsim.fuzz.pictures import Pictures

            graph = Pictures(self, rng, self.numbers, self.weights).network()
        else:
            graph = Drawing(self, rng, self.numbers, self.weights).network()
        model = Model(graph, f"{sort} {number}", {"source": "fxsim fuzz", "seed": str(seed), "number": str(number)})
        return Case(model, self.draw_images(graph, rng), seed, number)

    def config(self, rng: np.random.Generator) -> ResMLPConfig:
        """Dimensions of a ResMLP."""
        dims = {name: int(rng.choice(self.sizes)) for name in ("values", "channels", "hidden", "classes")}
        rule = None if rng.random() < 0.3 else one(rng, self.rules)
        points = 0 if rule is None else int(rng.choice(legal_points(rule)))
        tokens, blocks = int(2 ** rng.integers(0, 5)), int(rng.integers(1, 3))
        return ResMLPConfig(tokens=tokens, blocks=blocks, points=points, rule=rule, **dims)

    def draw_images(self, graph: Graph, rng: np.random.Generator, count: int | None = None) -> Integers:
        """Images for a graph, each over the whole range, at its ends alone, or the worst for sums."""
        tensor = graph.input
        number = tensor.number
        x = tensor.empty(count or int(rng.integers(1, self.images_max + 1)))
        way = one(rng, self.images)
        for image in x:
            match way:
                case "least":
                    image[...] = number.low
                case "greatest":
                    image[...] = number.high
                case "ends":
                    image[...] = np.where(rng.random(image.shape) < rng.random(), number.low, number.high)
                case "worst":
                    image[...] = _worst(graph, rng)
                case _:
                    image[...] = rng.integers(number.low, number.high, image.shape, endpoint=True)
            if number.bipolar:
                image[image == 0] = one(rng, (-1, 1))
            # One image of the extremes is enough of them.
            way = one(rng, self.images)
        return x


GENERATOR = Generator()


T = TypeVar("T")


def one(rng: np.random.Generator, choices: Sequence[T]) -> T:
    """One of some choices."""
    return choices[int(rng.integers(len(choices)))]


def draw_resmlp(of: Generator, rng: np.random.Generator, config: ResMLPConfig) -> Graph:
    """A ResMLP of these dimensions, whose parameters are drawn."""
    return Drawing(of, rng, (INT8,), (INT8,)).resmlp(config)


def _worst(graph: Graph, rng: np.random.Generator) -> Integers:
    """An image that drives sums of the first linear or affine of the input to an end of their range."""
    number, shape = graph.input.number, graph.input.shape
    readers = [node.op for node in graph.nodes if node.inputs[0] == INPUT and isinstance(node.op, Linear | Affine)]
    up = np.zeros(shape, bool)
    if not readers:
        up[...] = rng.random(shape) < 0.5
    elif isinstance(op := one(rng, readers), Affine):
        up[...] = op.weight > 0
    else:
        row = op.weight[int(rng.integers(len(op.weight)))] > 0
        up[...] = row[:, None] if op.over is Axis.TOKENS else row
    worst = np.where(up ^ bool(rng.integers(2)), number.high, number.low)
    return worst.astype(number.dtype)


@dataclass
class Drawing:
    """A graph while it is drawn, of tensors and weights of some formats."""

    of: Generator
    rng: np.random.Generator
    numbers: tuple[Number, ...]
    weights: tuple[Number, ...]
    nodes: list[Node] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)

    # --- graphs ---

    def network(self) -> Graph:
        """Any graph: chains, branches that an add joins, and whatever comes of them."""
        self.tensors[INPUT] = self._input()
        for _ in range(int(self.rng.integers(1, self.of.nodes_max + 1))):
            # Mostly on from the latest; from an earlier one, a branch begins.
            names = list(self.tensors)
            self._grow(names[-1] if self.rng.random() < 0.75 else one(self.rng, names))
        self._join()
        return Graph(self.tensors[INPUT], self._used())

    def _input(self) -> Tensor:
        axes = one(self.rng, [a for a in self.of.axes if STEP not in a or len(self.numbers) > 1])
        shape = [int(one(self.rng, self.of.sizes)) for _ in axes]
        if self.rng.random() < 0.08:
            shape = [min(self.of.sizes)] * len(shape)
        elif self.rng.random() < 0.25:
            shape[int(self.rng.integers(len(shape)))] = one(self.rng, self.of.long_sizes)
        if STEP in axes:
            shape[0] = min(shape[0], 3)
        return Tensor(axes, tuple(shape), one(self.rng, self.numbers))

    def _grow(self, source: str) -> None:
        """One operator more on a tensor; none where the kind drawn does not fit."""
        kind, x = one(self.rng, self.of.kinds), self.tensors[source]
        tokens = x.shape[-2] if TOKEN in x.axes else 0
        if kind == "add":
            self._add(source, self._partner(source))
        elif kind == "pool":
            if tokens and tokens & (tokens - 1) == 0:
                self._append(self._pool(x), source)
        elif kind == "channels":
            self._append(self.linear(x, self._outputs(x), Axis.CHANNELS), source)
        elif kind == "tokens":
            if tokens:
                self._append(self.linear(x, self._outputs(x), Axis.TOKENS), source)
        elif kind == "affine":
            self._append(self.affine(x), source)
        elif kind == "lut":
            if (op := self.lut(x)) is not None:
                self._append(op, source)
        else:
            self._append(Relu(), source)

    def _outputs(self, x: Tensor) -> int:
        size = one(self.rng, self.of.long_sizes if self.rng.random() < 0.12 else self.of.sizes)
        return size if x.size * size <= _TENSOR_VALUES_MAX else 1

    def _partner(self, source: str) -> str:
        """A tensor to add to another: mostly one that nothing reads yet, sometimes the same one."""
        read = {name for node in self.nodes for name in node.inputs}
        axes = self.tensors[source].axes
        there = [name for name, tensor in self.tensors.items() if tensor.axes == axes and name != source]
        loose = [name for name in there if name not in read]
        if not there or self.rng.random() < 0.1:
            return source
        return one(self.rng, loose if loose and self.rng.random() < 0.7 else there)

    def _add(self, one: str, other: str) -> None:
        """A sum; where shapes differ, linears bring the second to the first's."""
        x = self.tensors[one]
        if self.tensors[other].shape[:-2] != x.shape[:-2]:
            other = one
        if self.tensors[other].shape[-1] != x.shape[-1]:
            other = self._append(self.linear(self.tensors[other], x.shape[-1], Axis.CHANNELS), other)
        if TOKEN in x.axes and self.tensors[other].shape[-2] != x.shape[-2]:
            other = self._append(self.linear(self.tensors[other], x.shape[-2], Axis.TOKENS), other)
        pair = (one, other) if self.rng.random() < 0.5 else (other, one)
        self._append(self.add(*(self.tensors[name] for name in pair)), *pair)

    def _join(self) -> None:
        """Add what nothing reads to the latest, where it has its axes."""
        if not self.nodes:
            self._append(self.affine(self.tensors[INPUT]), INPUT)
        read = {name for node in self.nodes for name in node.inputs}
        loose = [node.name for node in self.nodes[:-1] if node.name not in read]
        for name in loose:
            last = self.nodes[-1].name
            if self.tensors[name].axes == self.tensors[last].axes:
                self._add(last, name)

    def _used(self) -> list[Node]:
        """The nodes that the last one needs."""
        needed = {self.nodes[-1].name}
        for node in reversed(self.nodes):
            if node.name in needed:
                needed.update(node.inputs)
        return [node for node in self.nodes if node.name in needed]

    def _append(self, op: Operator, *inputs: str) -> str:
        number = len(self.nodes)
        name = f"n{number}" if self.rng.random() < 0.8 else f"part.{number}.{op.kind}"
        self.nodes.append(Node(name, op, inputs))
        self.tensors[name] = op.result(*(self.tensors[i] for i in inputs))
        return name

    def resmlp(self, config: ResMLPConfig) -> Graph:
        """A ResMLP of these dimensions, its parameters drawn as any other's."""
        self.tensors[INPUT] = Tensor((TOKEN, CHANNEL), (config.tokens, config.values))
        for slot in resmlp_slots(config, config.psa):
            x = self.tensors[slot.inputs[0]]
            op: Operator
            if slot.op is Linear:
                op = self.linear(x, slot.shape[0], slot.over, plain=True)
            elif slot.op is Affine:
                op = self.affine(x, plain=True)
            elif slot.op is Lut:
                assert config.rule is not None
                op = Lut(self._table(x, slot.shape[0], stored_points(config.points, config.rule), INT8), config.rule)
            else:
                op = Pool(config.tokens) if slot.op is Pool else Add() if slot.op is Add else Relu()
            self.nodes.append(Node(slot.name, op, slot.inputs))
            self.tensors[slot.name] = op.result(*(self.tensors[i] for i in slot.inputs))
        return Graph(self.tensors[INPUT], self.nodes)

    # --- operators ---

    def linear(self, x: Tensor, outputs: int, over: Axis, plain: bool = False, wide: bool = False) -> Linear:
        """A linear of any weights; `plain`: of a width that accelerators have, too; `wide`: with 17 to 32 bits."""
        inputs = x.shape[-2] if over is Axis.TOKENS else x.shape[-1]
        number, out = one(self.rng, self.weights), one(self.rng, self.numbers)
        if wide:
            out = Number(int(self.rng.integers(17, 33)))
        weight = self.values(number, (outputs, inputs))
        low, high = worst_case_sums(weight, x.number)
        acc_bits = self.acc_bits(
            int(low.min()), int(high.max()), x.number.bits + number.bits + (inputs - 1).bit_length()
        )
        bias, shift = self.values(bias_number(out), (outputs,)), self.shift(outputs, acc_bits, out)
        return Linear(weight, bias, shift, over, 0 if plain else acc_bits, number, out)

    def affine(self, x: Tensor, plain: bool = False) -> Affine:
        """An affine of any weights; `plain` as of `linear`."""
        channels = x.shape[-1]
        number, out = one(self.rng, self.weights), one(self.rng, self.numbers)
        weight = self.values(number, (channels,))
        low, high = worst_case_sums(weight[:, None], x.number)
        stated = x.number.bits + number.bits
        acc_bits = stated if plain else self.acc_bits(int(low.min()), int(high.max()), stated)
        bias, shift = self.values(bias_number(out), (channels,)), self.shift(channels, acc_bits, out)
        return Affine(weight, bias, shift, acc_bits, number, out)

    def add(self, x: Tensor, r: Tensor) -> Add:
        """A sum of two tensors."""
        low, high = x.number.low + r.number.low, x.number.high + r.number.high
        return Add(self.acc_bits(low, high, bits_needed(low, high)), one(self.rng, self.numbers))

    def _pool(self, x: Tensor) -> Pool:
        tokens = x.shape[-2]
        low, high = tokens * x.number.low, tokens * x.number.high
        return Pool(tokens, self.acc_bits(low, high, bits_needed(low, high)))

    def lut(self, x: Tensor) -> Lut | None:
        """Tables of any rule and size; None where they would be too large."""
        rule, out = one(self.rng, self.of.rules), one(self.rng, self.numbers)
        sizes = legal_points(rule, x.number)
        # The ends of what is legal as often as all between.
        points = int(one(self.rng, (sizes[0], sizes[-1], *sizes)))
        stored = stored_points(points, rule)
        if x.shape[-1] * stored > TABLE_VALUES_MAX:
            return None
        return Lut(self._table(x, x.shape[-1], stored, out), rule, x.number, out)

    def _table(self, _x: Tensor, channels: int, stored: int, out: Number) -> Integers:
        way = self.rng.integers(4)
        if way == 0:  # steps as high as can be, up and down
            ends = np.array([out.low, out.high], out.dtype)
            return np.ascontiguousarray(ends[(np.arange(stored) + self.rng.integers(2, size=(channels, 1))) % 2])
        if way == 1:  # a ramp
            ramp = np.linspace(out.low, out.high, stored).astype(np.int64)
            down = self.rng.random((channels, 1)) < 0.5
            return np.where(down, ramp[::-1], ramp).astype(out.dtype)
        return self.values(out, (channels, stored))

    # --- parameters ---

    def values(self, number: Number, shape: tuple[int, ...]) -> Integers:
        """An array of values of a format, filled in one of the ways."""
        low, high = number.low, number.high
        made: Integers
        match one(self.rng, self.of.fills):
            case "ends":
                made = np.where(self.rng.random(shape) < 0.5, low, high)
            case "least":
                made = np.full(shape, low)
            case "greatest":
                made = np.full(shape, high)
            case "zero":
                made = np.zeros(shape, np.int64)
            case "single":
                made = np.zeros(shape, np.int64)
                made.reshape(-1)[int(self.rng.integers(made.size))] = high if self.rng.random() < 0.5 else low
            case "small":
                made = np.clip(self.rng.integers(-3, 4, shape), low, high)
            case _:
                made = self.rng.integers(low, high, shape, endpoint=True)
        return made.astype(number.dtype)

    def shift(self, count: int, acc_bits: int, out: Number) -> UInt8:
        """Shifts of `count` channels: ones that leave something of a value, and every kind of corner."""
        usual = max(0, acc_bits - out.bits)
        ways: dict[str, Callable[[], Iterator[int] | Integers]] = {
            "usual": lambda: self.rng.integers(max(0, usual - 4), usual + 1, count, endpoint=True),
            "none": lambda: np.zeros(count, np.int64),
            "one": lambda: np.ones(count, np.int64),
            "edge": lambda: self.rng.integers(max(0, acc_bits - 2), acc_bits + 1, count, endpoint=True),
            "beyond": lambda: self.rng.choice(np.array([31, 32, 33, 61, 62, 63, 64, 128]), count),
            "ends": lambda: self.rng.choice(np.array([0, 255]), count),
            "any": lambda: self.rng.integers(0, 256, count),
        }
        return np.asarray(ways[one(self.rng, self.of.shifts)]()).astype(np.uint8)

    def acc_bits(self, low: int, high: int, stated: int) -> int:
        """A width of an accumulator that reaches from `low` to `high`: just enough, as usual, or more."""
        needed = max(2, bits_needed(low, high))
        match one(self.rng, self.of.widths):
            case "needed":
                return needed
            case "wide":
                return max(needed, int(self.rng.integers(needed, 33)) if needed < 33 else needed)
            case "widest":
                # In a network of 8 bits, what the compiled engine takes; seldom beyond.
                return 62 if len(self.numbers) > 1 or self.rng.random() < 0.03 else max(needed, 32)
            case _:
                return max(needed, stated)
