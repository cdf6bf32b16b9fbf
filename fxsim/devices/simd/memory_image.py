"""A model's memory image, as the SIMD accelerator reads it: one run of 128-bit words without gaps, in the order of use.

`docs/memory-image.md` describes the format. A ResMLP first becomes planned layers (what is computed, with which
operators' parameters); these are held to the accelerator's buffers; then they become words.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract import TableRule
from fxsim.contract.arithmetic import Int8, UInt8
from fxsim.errors import ModelError, StimulusError
from fxsim.families import ResMLPConfig, recognise_resmlp
from fxsim.graph import INPUT, Graph, Model, Node, refuse_beyond_int8
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool, Relu
from fxsim.operators.base import integer

LANES = 16
"""int8 values of a word, and so its bytes: 16 channels of one token, or a parameter of 16 channels or tokens."""

STAGES = ("linear", "affine", "add", "res_affine", "next", "pool")
"""Stages that results of a matrix product pass, in order; a monitor's number is its stage's place here."""

MAGIC = 0xD5
"""Lowest byte of every descriptor."""

NEXT_NONE, NEXT_AFFINE, NEXT_RELU, NEXT_TABLE = range(4)
"""Kinds of stage `next` in a descriptor."""

EDGE_RULES = {TableRule.CLAMP: 0, TableRule.HOLD: 1, TableRule.ENDPOINT: 2, TableRule.FULL: 1}
"""Edge rules in a descriptor. A full table has a point for every input, so that no rule ever applies to it."""

DESCRIPTOR = {
    "magic": (0, 8),
    "token_mixing": (8, 1),
    "affine": (9, 1),
    "add": (10, 1),
    "res_affine": (11, 1),
    "pool": (12, 1),
    "first": (13, 1),
    "last": (14, 1),
    "next": (16, 2),
    "rule": (18, 2),
    "points_log2": (20, 4),
    "pool_shift": (24, 4),
    "tokens": (32, 16),
    "in_groups": (48, 16),
    "groups": (64, 16),
    "words": (80, 32),
    "number": (112, 16),
}
"""Fields of a descriptor by name: the lowest bit, and how many there are. All other bits are 0."""

_FIELD_MAX = (1 << 16) - 1
"""Greatest layer number that a descriptor can state."""


WORDS_MAX = 1 << 15
"""Largest buffer or ring: the accelerator counts places modulo 2^16."""

_SIZES = {
    "address_w": (32, 64),
    "acc_w": (20, 32),
    "activation_words": (1, WORDS_MAX // 2),
    "weight_words": (16, WORDS_MAX),
    "table_words": (4, WORDS_MAX),
    "layers": (2, WORDS_MAX),
    "burst": (1, 256),
}
"""Least and greatest of the parameters that have limits of their own, as the Verilog has them."""


@dataclass(frozen=True)
class Buffers:
    """Sizes that the accelerator is built with, as the parameters of `simd_resmlp`; ModelError where one is illegal."""

    address_w: int = 64
    activation_words: int = 2048
    image_words: int = 512
    residual_words: int = 1024
    weight_words: int = 8192
    table_words: int = 4096
    constant_groups: int = 128
    chunks: int = 128
    layers: int = 32
    acc_w: int = 26
    burst: int = 64
    fifo_words: int = 256

    def __post_init__(self) -> None:
        for field in fields(self):
            what = f"accelerator parameter {field.name.upper()}"
            size = integer(getattr(self, field.name), what)
            object.__setattr__(self, field.name, size)
            low, high = _SIZES.get(field.name, (1, WORDS_MAX))
            if not low <= size <= high:
                raise ModelError(f"{what} is {size}, expected {low} to {high}")
            if field.name not in ("address_w", "acc_w") and size & (size - 1):
                raise ModelError(f"{what} is {size}, expected a power of two")
        if self.fifo_words < self.burst:
            raise ModelError(
                f"accelerator parameter FIFO_WORDS is {self.fifo_words}, expected at least BURST, {self.burst}"
            )

    def parameters(self) -> dict[str, int]:
        """Verilog parameters of `simd_resmlp` by name."""
        return {field.name.upper(): getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True)
class Section:
    """A run of words of one kind: words `first_word` to `first_word + words - 1` of the image.

    `kind` is `descriptor` or the name of a parameter's field (`weight`, `bias`, `shift`, `table`); `tap` names the
    operator whose parameter it is. `group` counts 16 channels each or, where `over_tokens`, 16 tokens each.
    """

    kind: str
    tap: str
    group: int
    over_tokens: bool
    first_word: int
    words: int


@dataclass(frozen=True)
class Layer:
    """One matrix product and what is done to its results on their way out.

    `name` is the linear's tap; `stages` pairs each active stage with its tap. `tokens` and `outputs` are those of the
    result (1 token after the pool), `in_groups` and `groups` the input's and result's groups of 16 channels, `k` the
    inputs of each sum: channels, or tokens where `token_mixing`. The layer takes words `first_word` to
    `first_word + words - 1`, its descriptor the first of them.
    """

    number: int
    name: str
    stages: tuple[tuple[str, str], ...]
    token_mixing: bool
    tokens: int
    in_groups: int
    groups: int
    k: int
    outputs: int
    first_word: int
    words: int
    sections: tuple[Section, ...]

    @property
    def token_groups(self) -> int:
        """Groups of 16 tokens."""
        return _groups(self.tokens)

    @property
    def blocks(self) -> int:
        """Blocks of 16 inputs that each sum is walked in."""
        return self.token_groups if self.token_mixing else self.in_groups

    @property
    def steps(self) -> int:
        """Cycles in which the array of multipliers works at an image: 16 a block of each tile."""
        return self.groups * self.token_groups * self.blocks * LANES

    @property
    def macs(self) -> int:
        """Products that an image needs, those with padding left out."""
        return self.tokens * self.outputs * self.k


@dataclass(frozen=True, eq=False)
class MemoryImage:
    """A model's parameters as the accelerator reads them, and what a driver must know of them.

    `words` is uint8 [word, 16], lane 0 first. An image takes `image_words` words, its result `result_words`.
    `requires` is the least size of each buffer that the model runs with, by the accelerator's parameter. `needs` is
    how many places of each ring all parameters take together, and `keeps` whether these fit `buffers`, so that one
    read of the parameters serves all images of a run.
    """

    name: str
    words: UInt8
    layers: tuple[Layer, ...]
    image_words: int
    result_words: int
    config: ResMLPConfig
    buffers: Buffers
    requires: Mapping[str, int]
    needs: Mapping[str, int]

    @property
    def keeps(self) -> bool:
        """Whether all parameters fit the rings."""
        sizes = self.buffers.parameters()
        return all(need <= sizes[name] for name, need in self.needs.items())

    def to_bytes(self) -> bytes:
        """The words as they lie in memory."""
        return self.words.tobytes()


@dataclass(frozen=True)
class _Plan:
    """A layer before it has words: the operators that it takes its parameters from, each with its tap."""

    number: int
    name: str
    linear: Linear
    tokens: int
    inputs: int
    """Channels of the input, whatever the sums are over."""
    outputs: int
    stages: tuple[tuple[str, str], ...]
    affine: Affine | None = None
    res_affine: Affine | None = None
    next: Affine | Relu | Lut | None = None
    pool: Pool | None = None
    first: bool = False
    last: bool = False

    @property
    def token_mixing(self) -> bool:
        return self.linear.over is Axis.TOKENS

    @property
    def add(self) -> bool:
        return any(stage == "add" for stage, _ in self.stages)

    @property
    def in_groups(self) -> int:
        return _groups(self.inputs)

    @property
    def groups(self) -> int:
        return _groups(self.outputs)

    @property
    def token_groups(self) -> int:
        return _groups(self.tokens)

    @property
    def blocks(self) -> int:
        return self.token_groups if self.token_mixing else self.in_groups

    @property
    def chunks(self) -> int:
        """Groups of 16 rows of the weights, each with its biases and shifts."""
        return self.token_groups if self.token_mixing else self.groups

    @property
    def chunk_weights(self) -> int:
        """Words of weights of a chunk."""
        return LANES * self.blocks

    @property
    def table_stored(self) -> int:
        """Words of a group's table: an even number, because the accelerator holds even and odd points apart."""
        return self.next.table.shape[1] + self.next.table.shape[1] % 2 if isinstance(self.next, Lut) else 0

    @property
    def group_words(self) -> int:
        """Words of a group's constants and table."""
        affines = sum(isinstance(op, Affine) for op in (self.affine, self.res_affine, self.next))
        return 3 * affines + self.table_stored

    @property
    def words(self) -> int:
        """Words that follow the descriptor."""
        return self.chunks * (2 + self.chunk_weights) + self.groups * self.group_words


def build_memory_image(model: Model, buffers: Buffers | None = None) -> MemoryImage:
    """The memory image of a ResMLP for an accelerator with these buffers, by default the accelerator's defaults.

    ModelError where the graph is no ResMLP, or where a layer does not fit: it names the layer and the buffer.
    """
    buffers = buffers or Buffers()
    config = recognise_resmlp(model.graph)
    refuse_beyond_int8(model.graph, "the SIMD accelerator")
    plans = tuple(_plans(model.graph))
    requires: dict[str, int] = {}
    for plan in plans:
        _check_fits(plan, buffers, model.name)
        for ring, need, _ in _requirements(plan):
            requires[ring] = max(need, requires.get(ring, 0))
    words = np.zeros((sum(1 + plan.words for plan in plans), LANES), np.uint8)
    layers = []
    at = 0
    for plan in plans:
        sections = []
        for kind, tap, group, over_tokens, data in _layer_sections(plan):
            words[at : at + len(data)] = data
            sections.append(Section(kind, tap, group, over_tokens, at, len(data)))
            at += len(data)
        first = sections[0].first_word
        assert at - first == 1 + plan.words
        layers.append(
            Layer(
                plan.number, plan.name, plan.stages, plan.token_mixing, plan.tokens, plan.in_groups, plan.groups,
                plan.linear.weight.shape[1], plan.outputs, first, at - first, tuple(sections),
            )
        )  # fmt: skip
    words.flags.writeable = False
    return MemoryImage(
        name=model.name,
        words=words,
        layers=tuple(layers),
        image_words=config.tokens * _groups(config.values),
        result_words=_groups(config.classes),
        config=config,
        buffers=buffers,
        requires=requires,
        needs={
            "WEIGHT_WORDS": sum(plan.chunks * plan.chunk_weights for plan in plans),
            "TABLE_WORDS": sum(plan.groups * plan.table_stored for plan in plans),
            "CONSTANT_GROUPS": sum(plan.groups for plan in plans),
            "CHUNKS": sum(plan.chunks for plan in plans),
            "LAYERS": len(plans),
        },
    )


def pack_images(model: Model, x: Int8) -> UInt8:
    """Images as they lie in memory, uint8 [image, byte]: token by token, each padded with zeros to whole words.

    `x` is int8 [image, token, value]; StimulusError where it does not fit the model.
    """
    x = model.check_stimulus(x)
    count, tokens, values = x.shape
    packed = np.zeros((count, tokens, _groups(values) * LANES), np.uint8)
    packed[:, :, :values] = x.view(np.uint8)
    return packed.reshape(count, tokens * packed.shape[2])


def unpack_results(model: Model, data: UInt8) -> Int8:
    """Class scores, int8 [image, class], from results as the accelerator writes them: uint8 [image, byte].

    What pads a result to whole words is left out unread. StimulusError where `data` has another type or shape.
    """
    (classes,) = model.graph.shapes[model.graph.output]
    size = _groups(classes) * LANES
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != size:
        raise StimulusError(f"results are {data.dtype} of shape {data.shape}, expected uint8 of shape (images, {size})")
    return np.ascontiguousarray(data[:, :classes]).view(np.int8)


def _groups(count: int) -> int:
    """Groups of 16 that hold `count` channels or tokens."""
    return -(-count // LANES)


def _plans(graph: Graph) -> Iterator[_Plan]:
    """The layers of a ResMLP, in order, without their words: each linear, and all that follows it up to the next."""
    readers = {source: node for node in graph.nodes for source in node.inputs}
    starts = [i for i, node in enumerate(graph.nodes) if isinstance(node.op, Linear)]
    for number, (start, end) in enumerate(pairwise((*starts, len(graph.nodes)))):
        stages: dict[str, Node] = {}
        for node in graph.nodes[start:end]:
            stage = _stage(node, readers)
            assert stage not in stages, f"two operators of layer {number} are stage '{stage}'"
            stages[stage] = node
        linear = stages["linear"]
        *tokens, outputs = graph.shapes[linear.name]
        operators: dict[str, Any] = {stage: node.op for stage, node in stages.items() if stage != "add"}
        yield _Plan(
            number,
            linear.name,
            tokens=tokens[0] if tokens else 1,
            inputs=graph.shapes[linear.inputs[0]][-1],
            outputs=outputs,
            stages=tuple((stage, stages[stage].name) for stage in STAGES if stage in stages),
            first=linear.inputs == (INPUT,),
            last=linear.name == graph.output,
            **operators,
        )


def _stage(node: Node, readers: Mapping[str, Node]) -> str:
    """The stage that an operator is computed in, by its kind, an affine by the operator that reads it."""
    match node.op:
        case Linear():
            return "linear"
        case Add():
            return "add"
        case Pool():
            return "pool"
        case Relu() | Lut():
            return "next"
        case Affine():
            reader = readers[node.name]
            if isinstance(reader.op, Linear):
                return "next"
            if isinstance(reader.op, Add):
                # The second of what is added is kept from an earlier layer.
                return "affine" if reader.inputs[0] == node.name else "res_affine"
    raise ModelError(f"the SIMD accelerator has no stage for node '{node.name}' ({node.op.kind})")


def _requirements(plan: _Plan) -> Iterator[tuple[str, int, str]]:
    """Requirements of a layer on the accelerator: parameter, its least value, what it takes that for."""
    chunk, chunks = plan.chunk_weights, plan.chunks if plan.token_mixing else 1
    source = "IMAGE_WORDS" if plan.first else "ACTIVATION_WORDS"
    yield source, plan.tokens * plan.in_groups, "words for its input"
    yield "ACTIVATION_WORDS", plan.tokens * plan.groups, "words for its result"
    if plan.res_affine is not None or plan.add:
        yield "RESIDUAL_WORDS", plan.tokens * plan.groups, "words for the residual"
    yield "WEIGHT_WORDS", chunks * chunk, "words for the weights it uses at a time"
    yield "TABLE_WORDS", plan.table_stored, "words for the tables of 16 channels"
    yield "CONSTANT_GROUPS", 1, "place for the constants of 16 channels"
    yield "CHUNKS", chunks, "places for the biases and shifts it uses at a time"
    # Sums of so many products of any int8 values, those with padding included.
    yield "ACC_W", 16 + (chunk - 1).bit_length(), "bits for its sums"


def _check_fits(plan: _Plan, buffers: Buffers, model: str) -> None:
    """ModelError naming the layer and the buffer where the layer is too large for the accelerator."""
    place = f"model '{model}', layer {plan.number} '{plan.name}'"
    sizes = buffers.parameters()
    for name, need, what in _requirements(plan):
        if need > sizes[name]:
            raise ModelError(
                f"{place} does not fit the accelerator: it needs {need:,} {what}, {name} is {sizes[name]:,}"
            )
    # All other fields are bounded by the buffers.
    if plan.number > _FIELD_MAX:
        raise ModelError(f"{place} does not fit its descriptor: layers are numbered up to {_FIELD_MAX:,}")


def _layer_sections(plan: _Plan) -> Iterator[tuple[str, str, int, bool, npt.NDArray[np.uint8]]]:
    """Sections of a layer, in order: kind, tap, group, whether groups are of tokens, words as uint8 [word, 16]."""
    yield "descriptor", plan.name, 0, False, _descriptor(plan)
    # Rows are outputs: channels, or the tokens that sums over tokens make.
    linear = plan.linear
    weights = _padded(linear.weight, plan.chunks * LANES, plan.chunk_weights)
    biases, shifts = (_padded(array[:, None], plan.chunks * LANES, 1) for array in (linear.bias, linear.shift))

    def chunk(n: int) -> Iterator[tuple[str, str, int, bool, npt.NDArray[np.uint8]]]:
        rows = slice(n * LANES, (n + 1) * LANES)
        for kind, array in (("bias", biases), ("shift", shifts), ("weight", weights)):
            yield kind, plan.name, n, plan.token_mixing, array[rows].T

    taps = dict(plan.stages)
    constants = []
    for stage, op in (("affine", plan.affine), ("res_affine", plan.res_affine), ("next", plan.next)):
        if isinstance(op, Affine):
            columns = [(kind, getattr(op, kind)[:, None]) for kind in ("weight", "bias", "shift")]
        elif isinstance(op, Lut):
            columns = [("table", op.table)]
        else:
            continue
        for kind, array in columns:
            depth = plan.table_stored if kind == "table" else 1
            constants.append((kind, taps[stage], _padded(array, plan.groups * LANES, depth)))

    if plan.token_mixing:
        for i in range(plan.chunks):
            yield from chunk(i)
    for g in range(plan.groups):
        if not plan.token_mixing:
            yield from chunk(g)
        for kind, tap, array in constants:
            yield kind, tap, g, False, array[g * LANES : (g + 1) * LANES].T


def _padded(array: npt.NDArray[Any], rows: int, columns: int) -> npt.NDArray[np.uint8]:
    """The bytes of a matrix of int8 or uint8, with rows and columns of zeros up to the given numbers."""
    padded = np.zeros((rows, columns), np.uint8)
    padded[: array.shape[0], : array.shape[1]] = array.view(np.uint8)
    return padded


def _descriptor(plan: _Plan) -> npt.NDArray[np.uint8]:
    """A layer's first word, uint8 [1, 16]."""
    match plan.next:
        case Affine():
            kind = NEXT_AFFINE
        case Relu():
            kind = NEXT_RELU
        case Lut():
            kind = NEXT_TABLE
        case None:
            kind = NEXT_NONE
    lut = plan.next if isinstance(plan.next, Lut) else None
    fields = {
        "magic": MAGIC,
        "token_mixing": plan.token_mixing,
        "affine": plan.affine is not None,
        "add": plan.add,
        "res_affine": plan.res_affine is not None,
        "pool": plan.pool is not None,
        "first": plan.first,
        "last": plan.last,
        "next": kind,
        "rule": EDGE_RULES[lut.rule] if lut else 0,
        "points_log2": lut.points.bit_length() - 1 if lut else 0,
        "pool_shift": plan.tokens.bit_length() - 1 if plan.pool else 0,
        "tokens": plan.tokens,
        "in_groups": plan.in_groups,
        "groups": plan.groups,
        "words": plan.words,
        "number": plan.number,
    }
    word = sum(int(value) << DESCRIPTOR[name][0] for name, value in fields.items())
    return np.frombuffer(word.to_bytes(LANES, "little"), np.uint8)[None]
