"""Lowering: a graph becomes packed parameters and a flat program, as the kernels of one instruction set read them.

Affines become tables: all 256 inputs are known. A linear's start values hold the rounding half and take back the 128
that every activation is stored with (sum of (x + 128) w - 128 w). See `layout` for how tensors lie in memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from fxsim.contract import INT8_MIN, expand_table, requantise
from fxsim.contract.arithmetic import Int8
from fxsim.engines.compiled import codes, ranges
from fxsim.engines.compiled.isa import Isa
from fxsim.engines.compiled.layout import ALIGNMENT, TOKENS_STEP, Panels, UInt8, aligned, panels, rounded_up
from fxsim.engines.compiled.products import lane_order
from fxsim.engines.compiled.ranges import Range
from fxsim.engines.compiled.runs import Runs, find_runs
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Node, refuse_beyond_int8
from fxsim.operators import (
    FEATURE_MAPS,
    Add,
    Affine,
    Axis,
    Conv,
    Linear,
    Lut,
    MaxPool,
    NotTaken,
    OperatorTable,
    Pool,
    Relu,
    Threshold,
)

Int32 = npt.NDArray[np.int32]
Int64 = npt.NDArray[np.int64]

_EVERY_INT8 = np.arange(INT8_MIN, -INT8_MIN, dtype=np.int64)
_SUM_MAX = 1 << 31

_PACKED_BYTES = 24 << 10
"""Bytes of panels that are packed together for a product: they stay in the first-level cache beside weights."""


@dataclass(frozen=True)
class Packed:
    """A graph's parameters, packed. `at`: by node, where its bytes and its 32-bit numbers start."""

    data: UInt8
    words: Int32
    at: dict[str, tuple[int, int]]


@dataclass(frozen=True)
class Step:
    """Nodes that are computed together: y = post(main(pre(source))) + rest(second).

    `main`: a linear or a pool, or None; `pre`, `post`, `rest`: affine, table or ReLU, or None; `second`: what is added,
    or None. `nodes`: all of them, the last being the one whose tensor the step gives.
    """

    nodes: tuple[Node, ...]
    source: str
    main: Node | None = None
    pre: Node | None = None
    post: Node | None = None
    rest: Node | None = None
    second: str | None = None

    @property
    def name(self) -> str:
        """The tensor that it gives."""
        return self.nodes[-1].name

    @property
    def operator(self) -> str:
        """The name under which steps are counted together."""
        if self.main is None:
            return "functions and sums of values"
        if isinstance(self.main.op, Linear):
            return f"linear over {self.main.op.over}"
        return "pool"

    @property
    def inputs(self) -> tuple[str, ...]:
        """The tensors that it takes."""
        return (self.source,) if self.second is None else (self.source, self.second)


@dataclass(frozen=True)
class Program:
    """The steps that compute some taps, as records and as int64 [steps, FIELDS], and the space they need, in bytes.

    `starts`: by tap, where it starts in the output.
    """

    steps: tuple[Step, ...]
    code: Int64
    starts: dict[str, int]
    out: int
    arena: int
    packed: int
    scratch: int


def pack(graph: Graph, isa: Isa) -> Packed:
    """A graph's parameters for one instruction set. ModelError for other tensors than int8, or sums above 32 bits."""
    refuse_beyond_int8(graph, "the compiled engine")
    data: list[UInt8] = []
    words: list[Int32] = []
    at: dict[str, tuple[int, int]] = {}
    data_at = words_at = 0
    found = find_ranges(graph)
    for node in graph.nodes:
        lowering = _lowering(node)
        into = _input_panels(graph, node)
        node_data, node_words = lowering.pack(node, panels(graph.shapes[node.name]), into, found[node.inputs[0]], isa)
        padding = -node_data.size % ALIGNMENT
        data += [node_data.ravel(), np.zeros(padding, np.uint8)]
        words.append(node_words.ravel())
        at[node.name] = (data_at, words_at)
        data_at += node_data.size + padding
        words_at += node_words.size
    # A vector of start values may be read past its end, where a linear has few tokens.
    return Packed(aligned(np.concatenate(data)), np.concatenate([*words, np.zeros(16, np.int32)]), at)


def _lowering(node: Node) -> "Lowering":
    try:
        return LOWER[type(node.op)]
    except ModelError as error:
        raise ModelError(f"node '{node.name}': {error}") from None


def _input_panels(graph: Graph, node: Node) -> Panels:
    name = node.inputs[0]
    return panels(graph.input_shape if name == INPUT else graph.shapes[name])


def find_ranges(graph: Graph) -> dict[str, Range]:
    """The range of the input and of every tap, by its name."""
    found = {INPUT: ranges.any_int8(graph.input_shape[-1])}
    for node in graph.nodes:
        rule = _lowering(node).range
        found[node.name] = (
            ranges.any_int8(graph.shapes[node.name][-1])
            if rule is None
            else rule(node.op, *(found[name] for name in node.inputs))
        )
    return found


def runs_of(node: Node, x: Range, isa: Isa) -> Runs:
    """The runs of a linear over channels, by the range of its input."""
    op: Any = node.op
    weight, _ = _rounded(node.name, op)
    outputs, inputs = weight.shape
    groups = -(-inputs // isa.channels_depth)
    padded = np.zeros((rounded_up(outputs, isa.rows), groups * isa.channels_depth), np.int64)
    padded[:outputs, :inputs] = weight
    most = np.zeros(groups * isa.channels_depth, np.int64)
    most[:inputs] = x.high - x.low
    return find_runs(padded.reshape(-1, isa.rows, groups, isa.channels_depth), most.reshape(groups, -1))


class Sums(NamedTuple):
    """The sums of a linear over the axis `over`, and how many `runs` they make in 16 bits.

    `groups`: of four columns, of all tiles of rows; `halved`: those that are taken twice. All 0 where sums are in 32
    bits alone.
    """

    node: str
    over: str
    groups: int = 0
    runs: int = 0
    halved: int = 0

    @property
    def steps(self) -> int:
        """Groups that all runs have together."""
        return self.groups + self.halved


def sums_of(graph: Graph, isa: Isa) -> list[Sums]:
    """The sums of each linear, in order. ModelError as `pack`."""
    found, ranges_of = [], find_ranges(graph)
    for node in graph.nodes:
        if not isinstance(node.op, Linear):
            continue
        over = str(node.op.over)
        if isa.runs and node.op.over is Axis.CHANNELS:
            runs = runs_of(node, ranges_of[node.inputs[0]], isa)
            found.append(Sums(node.name, over, runs.groups, runs.total, runs.halved))
        else:
            found.append(Sums(node.name, over))
    return found


_NOTHING = np.zeros(0, np.uint8), np.zeros(0, np.int32)


def _pack_linear(node: Node, out: Panels, into: Panels, x: Range, isa: Isa) -> tuple[UInt8, Int32]:
    op: Any = node.op
    if isa.runs and op.over is Axis.CHANNELS:
        return _pack_runs(node, into, x, isa)
    weight, scale = _rounded(node.name, op)
    outputs, inputs = weight.shape
    if op.over is Axis.CHANNELS:
        rows, columns = rounded_up(outputs, isa.rows), rounded_up(inputs, isa.depth)
    else:
        rows, columns = out.each, into.each
    padded = np.zeros((rows, columns), np.int8 if isa.depth == 4 else np.int16)
    padded[:outputs, :inputs] = weight
    scales = np.zeros((3, rows), np.int32)
    scales[:, :outputs] = scale
    groups = columns // isa.depth
    if op.over is Axis.CHANNELS:
        tiles = padded.reshape(-1, isa.rows, groups, isa.depth).swapaxes(1, 2)
        return _bytes(tiles), np.ascontiguousarray(scales.reshape(3, -1, isa.rows).swapaxes(0, 1))
    tile = isa.columns if rows % isa.columns == 0 else TOKENS_STEP
    lanes = np.ravel(lane_order(isa, tile // isa.lanes))  # type: ignore[no-untyped-call]
    order = (np.arange(0, rows, tile)[:, None] + lanes).ravel()
    padded, scales = padded[order], np.ascontiguousarray(scales[:, order])
    return _bytes(padded.reshape(rows, groups, isa.depth).swapaxes(0, 1)), scales


def _pack_runs(node: Node, into: Panels, x: Range, isa: Isa) -> tuple[UInt8, Int32]:
    """A linear over channels by runs: bytes that its input's channels lose, then `Runs.numbers`; scales as above."""
    weight, scale = _rounded(node.name, node.op)  # type: ignore[arg-type]  # a linear
    runs = runs_of(node, x, isa)
    lost = np.zeros(into.rows, np.uint8)
    lost[: into.channels] = x.low - INT8_MIN
    scales = np.zeros((3, runs.taken_back.size), np.int64)
    scales[:, : len(weight)] = scale
    scales[0, : len(weight)] += weight.astype(np.int64) @ (x.low - INT8_MIN)
    scales[0] -= runs.taken_back.ravel()
    # Start values are modulo 2^32, as sums are.
    tiles = scales.reshape(3, -1, isa.rows).swapaxes(0, 1).astype(np.int32)
    return np.concatenate([lost, _bytes(runs.numbers)]), np.ascontiguousarray(tiles)


def _pack_affine(node: Node, out: Panels, _into: Panels, _x: Range, isa: Isa) -> tuple[UInt8, Int32]:
    op: Any = node.op
    if isa.tables:
        products = _EVERY_INT8[:, None] * op.weight.astype(np.int64)
        return _tables(requantise(products, op.shift, op.bias).T, out, isa), _NOTHING[1]
    shift = op.shift.astype(np.int32)
    rounds = np.minimum(shift, 1)
    # A product is of at most 15 bits: whatever is shifted further is 0 when rounded, as with 16.
    numbers = (op.weight, np.clip(shift - 1, 0, 15), rounds, rounds, op.bias)
    padded = np.zeros((out.rows, len(numbers)), np.int32)
    padded[: out.channels] = np.stack([n.astype(np.int32) for n in numbers], axis=1)
    return _NOTHING[0], padded


def _pack_lut(node: Node, out: Panels, _into: Panels, _x: Range, isa: Isa) -> tuple[UInt8, Int32]:
    op: Any = node.op
    return _tables(expand_table(op.table, op.rule), out, isa), _NOTHING[1]


def _pack_pool(node: Node, _out: Panels, _into: Panels, _x: Range, _isa: Isa) -> tuple[UInt8, Int32]:
    op: Any = node.op
    return _NOTHING[0], np.array([op.tokens.bit_length() - 1], np.int32)


def _pack_nothing(_node: Node, _out: Panels, _into: Panels, _x: Range, _isa: Isa) -> tuple[UInt8, Int32]:
    return _NOTHING


class Role(Enum):
    """The part that an operator has in a step."""

    PRODUCT = auto()
    """Its main part: sums of products. Functions and a sum may be done to its results."""
    AVERAGE = auto()
    """Its main part, alone."""
    FUNCTION = auto()
    """A function of one value."""
    SUM = auto()
    """A sum of two."""


class Lowering(NamedTuple):
    """The lowering of an operator: its part in a step, and its parameters.

    `pack`: the bytes and the 32-bit numbers of a node, whose result and input lie in panels, by the range of its first
    input, for an instruction set; `code`: the number by which the kernel of that set knows it; `range`: the range of
    its result by those of its inputs, None where nothing is stated: then all of int8 is taken.
    """

    role: Role
    pack: Callable[[Node, Panels, Panels, Range, Isa], tuple[UInt8, Int32]]
    code: Callable[[Any, Isa], int]
    range: Callable[..., Range] | None = None


_PIXELS = NotTaken("because a graph that has it is lowered over pixels, not over tokens")

LOWER: OperatorTable[Lowering] = OperatorTable(
    "the compiled engine",
    {
        Linear: Lowering(
            Role.PRODUCT,
            _pack_linear,
            lambda op, _: codes.LINEAR_CHANNELS if op.over is Axis.CHANNELS else codes.LINEAR_TOKENS,
            ranges.of_linear,
        ),
        Pool: Lowering(Role.AVERAGE, _pack_pool, lambda *_: codes.POOL, ranges.of_average),
        Affine: Lowering(
            Role.FUNCTION,
            _pack_affine,
            lambda _, isa: codes.TABLE if isa.tables else codes.AFFINE,
            ranges.of_affine,
        ),
        Lut: Lowering(Role.FUNCTION, _pack_lut, lambda *_: codes.TABLE, ranges.of_lut),
        Relu: Lowering(Role.FUNCTION, _pack_nothing, lambda *_: codes.RELU, ranges.of_relu),
        Add: Lowering(Role.SUM, _pack_nothing, lambda *_: codes.POINTWISE, ranges.of_add),
        **dict.fromkeys((Conv, MaxPool, Threshold, *FEATURE_MAPS), _PIXELS),
    },
)
"""The lowering of each operator."""


def _rounded(name: str, op: Linear) -> tuple[Int8, Int32]:
    """Weights, and int32 [3, N]: start values (with half of what is shifted out), shifts, biases.

    Where a sum is always below half of 2^shift, it rounds to 0: such rows get no weights and no shift, so that all
    shifts left are of less than 32 bits.
    """
    weight = op.weight.astype(np.int64)
    shift = op.shift.astype(np.int64)
    greatest = -INT8_MIN * np.abs(weight).sum(axis=1)
    half = np.left_shift(1, np.clip(shift - 1, 0, 40)) * (shift > 0)
    nothing = greatest < half
    weight[nothing], shift[nothing], half[nothing] = 0, 0, 0
    if (greatest + half >= _SUM_MAX).any():
        n = int(np.argmax(greatest + half))
        raise ModelError(
            f"'{name}', output {n}: its sum with the rounding half may reach {int((greatest + half)[n]):,}, "
            "expected below 2^31; the reference engine computes it"
        )
    start = half + INT8_MIN * weight.sum(axis=1)
    return weight.astype(np.int8), np.stack([start, shift, op.bias.astype(np.int64)]).astype(np.int32)


def _tables(table: Int8, out: Panels, isa: Isa) -> UInt8:
    """Tables of 256 entries, int8 [channels, 256], as the kernels look values up: by stored bytes, to stored bytes."""
    stored = np.zeros((out.rows, 256), np.uint8)
    stored[: out.channels] = _bytes(table).reshape(-1, 256) ^ np.uint8(128)
    if isa.name in ("avxvnni", "avx2", "ssse3"):
        # In each half, parts of 16 entries but the first are stored as what changes from the part before.
        parts = stored.reshape(-1, 2, 8, 16)
        changes = parts.copy()
        changes[:, :, 1:] ^= parts[:, :, :-1]
        return changes.ravel()
    return stored.ravel()


def fuse(graph: Graph, taps: tuple[str, ...]) -> tuple[Step, ...]:
    """The steps that have to be computed for `taps`. A tensor that one node alone reads, and no tap, is not kept."""
    needed = set(taps)
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    nodes = {node.name: node for node in graph.nodes if node.name in needed}
    readers: dict[str, list[Node]] = {name: [] for name in (INPUT, *nodes)}
    for node in nodes.values():
        for name in node.inputs:
            readers[name].append(node)
    taken: set[str] = set()

    def role(node: Node) -> Role:
        return LOWER[type(node.op)].role

    def is_function(node: Node | None) -> bool:
        return node is not None and role(node) is Role.FUNCTION

    def only_reader(name: str) -> Node | None:
        """The one node that reads a tensor that need not be kept and is not part of a step yet."""
        reader = readers[name][0] if len(readers[name]) == 1 and name not in taps else None
        return None if reader is None or reader.name in taken else reader

    def operand(name: str) -> tuple[Node | None, str]:
        """The function that an operand is of another tensor, if it need not be kept, and that tensor."""
        node = nodes.get(name)
        if node is None or not is_function(node) or name in taken or name in taps or len(readers[name]) > 1:
            return None, name
        taken.add(name)
        return node, node.inputs[0]

    steps: list[Step] = []
    # Linears choose first: what is done to their results costs least while these are in the first-level cache.
    for node in nodes.values():
        if role(node) is not Role.PRODUCT:
            continue
        taken.add(node.name)
        pre, source = operand(node.inputs[0])
        reader = only_reader(node.name)
        post = reader if is_function(reader) else None
        last = node
        if post is not None:
            taken.add(post.name)
            last = post
        add, rest, second = only_reader(last.name), None, None
        if add is not None and role(add) is Role.SUM:
            taken.add(add.name)
            rest, second = operand(add.inputs[1] if add.inputs[0] == last.name else add.inputs[0])
        else:
            add = None
        steps.append(Step(_present(pre, node, post, rest, add), source, node, pre, post, rest, second))
    for node in nodes.values():
        if node.name in taken or role(node) is not Role.SUM:
            continue
        post, source = operand(node.inputs[0])
        rest, second = operand(node.inputs[1])
        steps.append(Step(_present(post, rest, node), source, None, None, post, rest, second))
    for node in nodes.values():
        if node.name in taken or role(node) is Role.SUM:
            continue
        average = role(node) is Role.AVERAGE
        steps.append(Step((node,), node.inputs[0], node if average else None, post=None if average else node))
    order = {name: i for i, name in enumerate(nodes)}
    return tuple(sorted(steps, key=lambda step: order[step.name]))


def _present(*nodes: Node | None) -> tuple[Node, ...]:
    return tuple(node for node in nodes if node is not None)


def lower(graph: Graph, packed: Packed, taps: tuple[str, ...], images: int, block: int, isa: Isa) -> Program:
    """The steps that compute `taps` for so many images, `block` at a time."""
    steps = fuse(graph, taps)
    last_use = {name: i for i, step in enumerate(steps) for name in step.inputs}
    layout = {INPUT: panels(graph.input_shape), **{step.name: panels(graph.shapes[step.name]) for step in steps}}

    # A tensor lives in a slot from the step that computes it to the last that reads it. Slots are of one size.
    slot_size = rounded_up(max(tensor.bytes(block) for tensor in layout.values()), ALIGNMENT)
    slots = 1
    free: list[int] = []
    slot_of = {INPUT: 0}
    starts: dict[str, int] = {}
    out = room = 0
    code = np.zeros((len(steps), codes.FIELDS), np.int64)
    for i, step in enumerate(steps):
        if not free:
            free.append(slots)
            slots += 1
        slot_of[step.name] = free.pop()
        into, result = layout[step.source], layout[step.name]
        tap = -1
        if step.name in taps:
            size = int(np.prod(graph.shapes[step.name]))
            tap = out
            starts[step.name] = tap
            out += rounded_up(images * size, ALIGNMENT)
        groups = together = 0
        if step.main is not None and isinstance(step.main.op, Linear):
            columns = -(-block * into.each // into.width) * into.width
            if step.main.op.over is Axis.CHANNELS:
                groups = -(-into.channels // isa.channels_depth)
                together = max(1, _PACKED_BYTES // (4 * groups * into.width))
                columns = min(columns, together * into.width)
                room = max(room, (4 * groups + codes.TAKEN_ROWS) * together * into.width)
            else:
                groups = into.each // isa.depth
                room = max(room, isa.rows * columns * (1 if isa.depth == 4 else 3))
        main = step.main or step.nodes[-1]
        code[i] = (
            codes.POINTWISE if step.main is None else LOWER[type(step.main.op)].code(step.main.op, isa),
            *(slot_of[name] * slot_size for name in (step.inputs[0], step.inputs[-1], step.name)),
            *(into.channels, result.channels, into.width, result.width, into.each, result.each),
            *(into.tokens, result.tokens, groups, together),
            *packed.at[main.name],
            *_function(step.pre, packed, codes.COPY, isa),
            *_function(step.post, packed, codes.COPY if step.main is None else codes.NOTHING, isa),
            *_function(step.rest, packed, codes.NOTHING if step.second is None else codes.COPY, isa),
            tap,
        )
        free.extend({slot_of[name] for name in step.inputs if last_use[name] == i})
        if step.name not in last_use:
            free.append(slot_of[step.name])
    scratch = max(tensor.rows * rounded_up(tensor.tokens, 16) for tensor in layout.values())
    return Program(steps, code, {name: starts[name] for name in taps}, out, slots * slot_size, room, scratch)


def _function(node: Node | None, packed: Packed, default: int, isa: Isa) -> tuple[int, int, int]:
    """A function's code, and where its table and its numbers start."""
    if node is None:
        return default, 0, 0
    return LOWER[type(node.op)].code(node.op, isa), *packed.at[node.name]


def _bytes(array: npt.NDArray[Any]) -> UInt8:
    return np.ascontiguousarray(array).view(np.uint8).ravel()
