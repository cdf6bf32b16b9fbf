"""The plan of a composed accelerator: which modules compute each node, how many channels a beat carries, and FIFOs.

A stream carries an image row by row, in each row pixel by pixel, in each pixel channel by channel, `lanes` channels a
beat. A module gives a beat a cycle at most; so a node takes as many cycles an image as it has beats to take, to move
through its windows or to give, whichever are most. With an interval to keep, each stream has the fewest lanes that keep
it. Where a result is read by several nodes its stream forks (paths.py). Steps of a loop may share their modules
(loops.py); these then take an image for each step.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import gcd, prod

import numpy as np

from fxsim.contract import (
    CHANNEL,
    COLUMN,
    ROW,
    Division,
    Number,
    Padding,
    Pair,
    Rounding,
    TableRule,
    Tensor,
    bits_needed,
    window_places,
)
from fxsim.contract.arithmetic import Integers
from fxsim.devices.composed.loops import Chain, Entrance, Loop, rolled
from fxsim.devices.composed.parts import BIPOLAR, SIGNED, UNSIGNED, Instance, Part, Stream
from fxsim.devices.composed.paths import Paths, forked, joined
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import (
    FEATURE_MAPS,
    Add,
    Affine,
    Argmax,
    Axis,
    Concat,
    Conv,
    Flatten,
    Linear,
    Lut,
    Matmul,
    MaxPool,
    MultiplyAdd,
    NotTaken,
    Operator,
    OperatorTable,
    Pool,
    Position,
    Relu,
    Rescale,
    Reshape,
    SumPool,
    Threshold,
    WeightedAdd,
)

DESCRIPTION = "composed.toml"
"""The name of the description of a composed accelerator."""

_DOT_W_MAX = 8
"""Widest second factor of a few_dot_product, in bits."""

_ROUNDINGS = {Rounding.HALF_UP: 0, Rounding.FLOOR: 0, Rounding.HALF_EVEN: 1, Rounding.HALF_AWAY: 2, Rounding.DOUBLE: 3}
"""ROUNDING of a few_affine; rounding down is half up of half a unit less."""

STEPS_MAX = 255
"""Most thresholds of a channel, each of which has a comparator."""


@dataclass(frozen=True)
class Composition:
    """A composed accelerator: its input's stream, its parts, in graph order, and what leads streams between them.

    `between`: forks, and the loops around bodies that all steps share. `result`: the stream of the last node's results.
    `interval`: cycles between images. None of its parts takes more cycles an image, and some part takes as many: images
    cannot come closer together.
    """

    model: Model
    source: Stream
    parts: tuple[Part, ...]
    between: tuple[Instance, ...]
    result: Stream

    @property
    def instances(self) -> tuple[Instance, ...]:
        """All modules of the design."""
        return (*self.between, *(instance for part in self.parts for instance in part.instances))

    @property
    def interval(self) -> int:
        """The cycles of the slowest of its parts."""
        return max(part.cycles for part in self.parts)


def make_plan(model: Model, interval: int | None = None, share_loops: bool = False) -> Composition:
    """The plan of a model's accelerator, with one channel a beat, or as many as keep `interval` cycles an image.

    `share_loops`: one set of modules for all steps of each loop, which takes each image as often as it has steps; by
    default each step has its own.

    ModelError, naming the node, where the graph is no chain of operators that there are modules for, with paths that
    part and join again, on images of rows, columns and channels; where not even all channels a beat keep the interval;
    and as of `rolled`.
    """
    graph = model.graph
    _refuse_others(graph)
    chain = rolled(graph) if share_loops else Chain(graph.nodes, graph.tensors)
    paths = Paths(chain)
    lanes = _lanes(chain, interval)
    parts: dict[str, Part] = {}
    between: list[Instance] = []
    first = Stream("image", lanes[INPUT], graph.input.number.bits)
    # What is left of each result's streams, one for each place where it is read.
    ends = {INPUT: forked(first, paths.readers[INPUT], between)}
    # By result of a body: what its loop takes, and what the body does.
    entered: dict[str, tuple[Loop, Number, Stream, Stream]] = {}
    for number, node in enumerate(chain.nodes):
        xs, y = chain.inputs_of(node), chain.tensors[node.name]
        sources = tuple(ends[name].pop(0) for name in node.inputs)
        if isinstance(node.op, Entrance):
            loop = chain.loops[node.name]
            target = Stream(f"n{number}_{loop.name.replace('.', '_')}", lanes[node.name], y.number.bits)
            entered[loop.result] = loop, xs[0].number, sources[0], target
            ends[node.name] = forked(target, paths.readers[node.name], between)
            continue
        name, taps = chain.stood_for(node.name)
        target = Stream(f"n{number}_{name.replace('.', '_')}", lanes[node.name], y.number.bits)
        part = _PARTS[type(node.op)](node, xs, y, sources, target)
        part = replace(part, taps=taps, cycles=part.cycles * len(taps))
        if len(node.inputs) > 1:
            part = joined(part, paths.depths(part, parts, y.size // target.lanes))
        parts[node.name] = part
        stream = part.stream
        if node.name in entered:
            stream = replace(stream, name=f"{stream.name}_last")
            between.append(_loop(*entered[node.name], part.stream, stream, y.size // stream.lanes))
        ends[node.name] = forked(stream, paths.readers[node.name], between)
    (result,) = ends[graph.output]
    return Composition(model, first, _sharing(parts.values()), tuple(between), result)


def _loop(loop: Loop, x: Number, source: Stream, state: Stream, given: Stream, target: Stream, beats: int) -> Instance:
    """The module that leads images of `beats` through a body: by `state` to it, by `given` from it."""
    parameters = {
        "STEPS": len(loop.steps),
        "BEATS": beats,
        "LANES": state.lanes,
        "X_W": source.bits,
        "X_SIGNED": int(x.signed and not x.bipolar),
        "Y_W": state.bits,
    }
    note = f"{len(loop.steps)} steps of '{loop.name}', one after the other."
    return Instance(
        "frame_loop", f"{state.name}_steps", _texts(parameters), (source, given), (state, target), note=note
    )


def _sharing(parts: Iterable[Part]) -> tuple[Part, ...]:
    """The parts with one ROM file of what several ROMs hold, as those of nodes that share an operator."""
    files: dict[tuple[str, ...], str] = {}

    def shared(instance: Instance) -> Instance:
        file = files.setdefault(instance.words, instance.rom) if instance.rom else ""
        if file == instance.rom:
            return instance
        texts = {name: text.replace(f'"{instance.rom}"', f'"{file}"') for name, text in instance.parameters.items()}
        return replace(instance, parameters=texts, rom=file)

    return tuple(replace(part, instances=tuple(map(shared, part.instances))) for part in parts)


def _refuse_others(graph: Graph) -> None:
    """ModelError unless every node has a module that takes it, and every tensor is an image or channels."""
    for node in graph.nodes:
        try:
            _PARTS[type(node.op)]
        except ModelError as error:
            raise ModelError(f"node '{node.name}': {error}; it takes {_TAKEN}") from None
    for name, tensor in graph.tensors.items():
        if tensor.axes not in ((ROW, COLUMN, CHANNEL), (CHANNEL,)):
            raise ModelError(
                f"the composed accelerator takes images of {ROW}, {COLUMN}, {CHANNEL}, or {CHANNEL} alone, "
                f"'{name}' is {tensor}"
            )
    for node in graph.nodes:
        if (wrong := _wrong(node, graph.inputs_of(node), graph.tensors[node.name])) is not None:
            takes, has = wrong
            raise ModelError(f"the composed accelerator takes {takes}, node '{node.name}' has {has}")


def _wrong(node: Node, xs: tuple[Tensor, ...], y: Tensor) -> tuple[str, str] | None:
    """The words for a node that there is no module for: what is taken, and what it has; else None."""
    op, x = node.op, xs[0]
    if isinstance(op, SumPool):
        if op.saturating:
            return "sums of windows that are not saturated on the way", "saturating ones"
        if op.divisor & (op.divisor - 1):
            return "sums of windows that are divided by powers of two", f"the divisor {op.divisor}"
        if op.rounding is Division.ZERO and x.number.low < 0:
            return "quotients of sums rounded down or half up", f"the rounding '{op.rounding}' of {x.number}"
    if isinstance(op, Matmul) and not _one_by_one(op, *xs):
        r = xs[1].number
        if r.bits + (not r.signed) > _DOT_W_MAX:
            return f"products by signed numbers of up to {_DOT_W_MAX} bits, or unsigned ones of one less", str(r)
    if isinstance(op, Threshold) and op.threshold.shape[1] > STEPS_MAX:
        return f"up to {STEPS_MAX} thresholds of a channel", str(op.threshold.shape[1])
    if isinstance(op, Flatten | Reshape) and op.order != tuple(range(len(x.axes))):
        word = "flattened" if isinstance(op, Flatten) else "reshaped"
        return f"values that are {word} in the order that they lie in", f"the order {op.order}"
    if isinstance(op, Lut) and (op.rule is not TableRule.FULL or x.number.bipolar):
        return "full tables of numbers", f"one of {x.number} with the rule '{op.rule}'"
    if isinstance(op, Linear):
        low, high = op.accumulator_range(x)
        if op.over is not Axis.CHANNELS:
            return "sums over channels", "one over tokens"
        if op.shift.any() or op.bias.any():
            return "sums that are neither shifted nor moved", "shifts or biases"
        if not y.number.signed or y.number.bipolar or int(low.min()) < y.number.low or int(high.max()) > y.number.high:
            return (
                "sums as they are, in a signed format that holds them",
                f"{int(low.min())} to {int(high.max())} in {y.number}",
            )
    return None


def _image(tensor: Tensor) -> tuple[int, int, int]:
    """Rows, columns and channels; channels alone are those of one pixel."""
    rows, columns = tensor.shape[:-1] or (1, 1)
    return rows, columns, tensor.shape[-1]


def _one_by_one(op: Matmul, x: Tensor, r: Tensor) -> bool:
    """Whether each value of a product's first factor is multiplied by the next ones of the second, as they come."""
    return op.terms == 1 and prod(x.shape[:-1]) == 1 and prod(r.shape[:-1]) == 1


def _depthwise(op: Operator) -> bool:
    """Whether an operator is a convolution of a group for each channel, with one output each."""
    return isinstance(op, Conv) and op.groups == len(op.weight) and op.weight.shape[-1] == 1 and op.groups > 1


# --- Lanes -----------------------------------------------------------------------------------------------------------


def _lanes(graph: Chain, interval: int | None) -> dict[str, int]:
    """Channels a beat of every tensor's stream, each a divisor of its channels."""
    # What comes back to the entrance of a loop has the lanes of what enters there.
    back = {loop.result: loop.entrance for loop in graph.loops.values()}
    # All but sums of products leave in the lanes that they came in, and both that are added have the same.
    joined = {INPUT: INPUT}
    # What the lanes of a result have to divide, besides its channels.
    parts: dict[str, int] = {}
    for node in graph.nodes:
        op, names = node.op, node.inputs
        if isinstance(op, Matmul):
            # Of the second factor a beat is of one head; not transposed, it is a beat of sums too.
            columns = graph.tensors[node.name].shape[-1] // op.heads
            names = () if op.transposed else names[1:]
            parts[node.name] = columns
            parts[node.inputs[1]] = gcd(parts.get(node.inputs[1], 0), op.terms if op.transposed else columns)
            if _one_by_one(op, *graph.inputs_of(node)):
                parts[node.inputs[0]] = 1
        elif isinstance(op, Linear | Argmax) or (isinstance(op, Conv) and not _depthwise(op)):
            names = ()
        joined[node.name] = joined[names[0]] if names else node.name
        others = {joined[name] for name in (*names, *filter(None, [back.get(node.name)]))}
        if others != {joined[node.name]}:
            joined = {name: joined[node.name] if group in others else group for name, group in joined.items()}
    channels: dict[str, int] = {}
    for name, tensor in graph.tensors.items():
        channels[joined[name]] = gcd(channels.get(joined[name], 0), tensor.shape[-1], parts.get(name, 0))
    needed: dict[str, int] = {}
    for name, tensor in graph.tensors.items():
        moved = [tensor.size * graph.times(name)]
        moved += [_moved(node, tensor) * graph.times(node.name) for node in graph.nodes if name in node.inputs]
        for values in moved:
            least = 1 if interval is None else _least_lanes(name, channels[joined[name]], values, interval)
            needed[joined[name]] = max(least, needed.get(joined[name], 1))
    return {name: needed[joined[name]] for name in graph.tensors}


def _least_lanes(name: str, channels: int, values: int, interval: int) -> int:
    """The least divisor of the channels that moves so many values in an interval; ModelError where none does."""
    for lanes in range(1, channels + 1):
        if channels % lanes == 0 and values // lanes <= interval:
            return lanes
    raise ModelError(
        f"the composed accelerator cannot keep {interval:,} cycles an image: '{name}' takes {values // channels:,} "
        f"with all of its {channels} channels a beat"
    )


def _moved(node: Node, tensor: Tensor) -> int:
    """The values of a tensor that a node moves through its windows in an image."""
    if not isinstance(node.op, Conv | MaxPool | SumPool):
        return tensor.size
    kernel, stride, dilation, padding = _window(node)
    if _needs_no_window(tensor, kernel, stride, padding):
        return tensor.size
    return prod(_places(tensor, kernel, stride, dilation, padding)) * prod(kernel) * tensor.shape[-1]


def _window(node: Node) -> tuple[Pair, Pair, Pair, Padding]:
    """Kernel, stride, dilation and padding of a node that has windows."""
    if isinstance(node.op, Conv):
        _, rows, columns, _ = node.op.weight.shape
        return (rows, columns), node.op.stride, node.op.dilation, node.op.padding
    assert isinstance(node.op, MaxPool | SumPool)
    return node.op.kernel, node.op.stride, (1, 1), (0, 0, 0, 0)


def _places(tensor: Tensor, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding) -> Pair:
    top, left, bottom, right = padding
    rows = window_places(_image(tensor)[0] + top + bottom, kernel[0], stride[0], dilation[0])
    return rows, window_places(_image(tensor)[1] + left + right, kernel[1], stride[1], dilation[1])


def _needs_no_window(tensor: Tensor, kernel: Pair, stride: Pair, padding: Padding) -> bool:
    """Whether windows come in the order of the image itself: of pixels side by side in a row, or one that is all."""
    within = kernel[0] == stride[0] == 1 and kernel[1] == stride[1] and _image(tensor)[1] % kernel[1] == 0
    return not any(padding) and (within or kernel == _image(tensor)[:2])


# --- Parts -----------------------------------------------------------------------------------------------------------


def _kind(number: Number) -> int:
    return BIPOLAR if number.bipolar else SIGNED if number.signed else UNSIGNED


def _windowed(node: Node, x: Tensor, source: Stream, target: str, signs: bool) -> tuple[Instance | None, int]:
    """The windows of a node, None where it needs none, and its beats an image.

    `signs`: bits leave as numbers of two bits, so that 0 can stand outside of the image.
    """
    kernel, stride, dilation, padding = _window(node)
    words = x.shape[-1] // source.lanes
    if _needs_no_window(x, kernel, stride, padding):
        return None, x.size // source.lanes
    values = {
        "ROWS": _image(x)[0],
        "COLUMNS": _image(x)[1],
        "WORDS": words,
        "DATA_W": source.width,
        "KERNEL_ROWS": kernel[0],
        "KERNEL_COLUMNS": kernel[1],
        "STRIDE_ROWS": stride[0],
        "STRIDE_COLUMNS": stride[1],
        "DILATION_ROWS": dilation[0],
        "DILATION_COLUMNS": dilation[1],
        **dict(zip(("PAD_TOP", "PAD_LEFT", "PAD_BOTTOM", "PAD_RIGHT"), padding, strict=True)),
        "BIPOLAR": int(signs),
    }
    windows = Stream(f"{target}_window", source.lanes, 2 if signs else source.bits)
    beats = prod(_places(x, kernel, stride, dilation, padding)) * prod(kernel) * words
    return Instance("image_window", f"{target}_windows", _texts(values), (source,), (windows,)), beats


def _conv(node: Node, x: Tensor, y: Tensor, source: Stream, target: Stream) -> Part:
    assert isinstance(node.op, Conv)
    op = node.op
    signs = x.number.bipolar and any(op.padding)
    windows, beats = _windowed(node, x, source, target.name, signs)
    values = windows.targets[0] if windows is not None else source
    kind = SIGNED if signs else _kind(x.number)
    if _depthwise(op):
        sums = _window_sum(prod(op.weight.shape[1:3]), x, kind, values, target, op.weight)
    else:
        sums = _sums(op, kind, values, target)
    parts = (sums,) if windows is None else (windows, sums)
    return Part(node, parts, target, max(x.size // source.lanes, beats, y.size // target.lanes))


def _linear(node: Node, x: Tensor, y: Tensor, source: Stream, target: Stream) -> Part:
    assert isinstance(node.op, Linear)
    sums = _sums(node.op, _kind(x.number), source, target)
    return Part(node, (sums,), target, max(x.size // source.lanes, y.size // target.lanes))


def _sums(op: Conv | Linear, kind: int, values: Stream, target: Stream) -> Instance:
    """The sums of rows of values with the rows of weights, each as long as an output's weights are many."""
    weight, number = op.weight, op.weight_number
    if isinstance(op, Conv) and op.groups > 1:
        weight, number = _with_zeros(op)
    rom = f"{target.name}_w.hex"
    parameters = {
        "BEATS": weight[0].size // values.lanes,
        "LANES": values.lanes,
        "OUT": len(weight),
        "OUT_LANES": target.lanes,
        "X_W": values.bits,
        "X_KIND": kind,
        "W_W": number.bits,
        "W_BIPOLAR": int(number.bipolar),
        "ACC_W": target.bits,
    }
    return Instance(
        "few_linear",
        f"{target.name}_sums",
        {**_texts(parameters), "W_FILE": f'"{rom}"'},
        (values,),
        (target,),
        rom,
        tuple(_weight_words(weight, number, target.lanes)),
    )


def _with_zeros(op: Conv) -> tuple[Integers, Number]:
    """The weights of a convolution of several groups as those of one, [N, rows, columns, C], and their format.

    An output's weights of the other groups' channels are 0, which bits of -1 and 1 have not: these become numbers.
    """
    outputs, rows, columns, each = op.weight.shape
    weight = np.zeros((outputs, rows, columns, op.groups, each), op.weight.dtype)
    for output in range(outputs):
        weight[output, :, :, output * op.groups // outputs] = op.weight[output]
    number = Number(2) if op.weight_number.bipolar else op.weight_number
    return weight.reshape(outputs, rows, columns, -1), number


def _window_sum(
    places: int, x: Tensor, kind: int, values: Stream, target: Stream, weight: Integers | None = None
) -> Instance:
    """The sums of windows of `places` pixels of x, channel by channel.

    `weight` [C, rows, columns, 1]; where there is none, all are 1.
    """
    words: tuple[str, ...] = ()
    rom, bits = "", 0
    if weight is not None:
        bits = bits_needed(int(weight.min()), int(weight.max()))
        rows = weight.reshape(len(weight), places).T.reshape(-1, values.lanes)
        rom = f"{target.name}_w.hex"
        words = _words([[(value, bits) for value in row] for row in rows.tolist()])
    parameters = {
        "PLACES": places,
        "WORDS": x.shape[-1] // values.lanes,
        "LANES": values.lanes,
        "X_W": values.bits,
        "X_KIND": kind,
        "W_W": bits,
        "ACC_W": target.bits,
    }
    return Instance(
        "window_sum",
        f"{target.name}_sums",
        {**_texts(parameters), "W_FILE": f'"{rom}"'},
        (values,),
        (target,),
        rom,
        words,
    )


def _sum_pool(node: Node, x: Tensor, y: Tensor, source: Stream, target: Stream) -> Part:
    assert isinstance(node.op, SumPool)
    op = node.op
    signs = x.number.bipolar
    windows, beats = _windowed(node, x, source, target.name, signs=False)
    values = windows.targets[0] if windows is not None else source
    low, high = (prod(op.kernel) * end for end in (x.number.low, x.number.high))
    bits = bits_needed(low, high)
    between = Stream(f"{target.name}_window_sum", source.lanes, bits)
    shift = op.divisor.bit_length() - 1
    # What is not negative is rounded down towards zero.
    added = 0 if op.rounding is Division.HALF_UP else -(1 << shift >> 1)
    sums = _window_sum(prod(op.kernel), x, BIPOLAR if signs else _kind(x.number), values, between)
    ends = low + added, high + added
    scaled = _scaled(Number(bits), y.number, between, target, ends, added=[added], shift=[shift])
    parts = (sums, scaled) if windows is None else (windows, sums, scaled)
    return Part(node, parts, target, max(x.size // source.lanes, beats, y.size // target.lanes))


def _scaled(
    x: Number,
    y: Number,
    source: Stream,
    target: Stream,
    ends: tuple[int, int],
    *,
    weight: list[int] | None = None,
    added: list[int] | None = None,
    shift: list[int] | None = None,
    bias: list[int] | None = None,
    relu: bool = False,
    rounding: Rounding = Rounding.HALF_UP,
) -> Instance:
    """The module of y = clip(round_shift(x * weight + added, shift) + bias), with constants that come round.

    What is not given is 1 for `weight`, else 0; one value stands for all. `ends`: least and greatest that is shifted.
    `rounding`: where the module's ties go; what it asks of `added` is in it.
    """
    weights, adds, shifts, biases = weight or [1], added or [0], shift or [0], bias or [0]
    count = max(map(len, (weights, adds, shifts, biases)))
    rows = list(
        zip(*(each * count if len(each) == 1 else each for each in (weights, adds, shifts, biases)), strict=True)
    )
    period = source.lanes if len(set(rows)) == 1 else count
    rows = (rows * source.lanes)[:period] if len(rows) < period else rows[:period]
    w_bits = 0 if set(weights) == {1} else bits_needed(min(weights), max(weights))
    a_bits, b_bits = (bits_needed(min(each), max(each)) for each in (adds, biases))
    s_bits = max(1, max(shifts).bit_length())
    acc = max(bits_needed(*ends), source.bits + 1, max(w_bits, 2) + 1, a_bits + 1)
    widths = [w_bits, a_bits, s_bits, b_bits]
    lines = [rows[first : first + source.lanes] for first in range(0, period, source.lanes)]
    words = _words([[pair for row in line for pair in zip(row, widths, strict=True)] for line in lines])
    rom = f"{target.name}_c.hex"
    parameters = {
        "PERIOD": period,
        "LANES": source.lanes,
        "X_W": source.bits,
        "X_SIGNED": int(x.signed),
        "W_W": w_bits,
        "A_W": a_bits,
        "ACC_W": acc,
        "S_W": s_bits,
        "B_W": b_bits,
        "Y_W": target.bits,
        "Y_SIGNED": int(y.signed),
        "RELU": int(relu),
        "ROUNDING": _ROUNDINGS[rounding],
    }
    texts = {**_texts(parameters), "C_FILE": f'"{rom}"'}
    return Instance("few_affine", f"{target.name}_scaled", texts, (source,), (target,), rom, words)


def _affine(node: Node, x: Tensor, y: Tensor, source: Stream, target: Stream) -> Part:
    """All that scales the values of a channel, or moves those of a place, by constants."""
    op, relu, rounding = node.op, False, Rounding.HALF_UP
    ends = x.number.low, x.number.high
    constants: dict[str, Integers] = {}
    if isinstance(op, Affine):
        constants = {"weight": op.weight, "shift": op.shift, "bias": op.bias}
    elif isinstance(op, MultiplyAdd):
        constants = {"weight": op.weight, "added": op.bias, "shift": op.shift}
    elif isinstance(op, Rescale):
        product, rounding = op.addend.astype(np.int64) * op.multiplier, op.rounding
        if rounding is Rounding.FLOOR:
            # floor(a) = round(a - 1/2), of all a that are whole multiples of a power of two, and none of a whole one.
            product = product - (np.int64(1) << op.shift.astype(np.int64) >> 1)
        if rounding is Rounding.DOUBLE:
            # The module drops what is below 2^31 before the second rounding: with half of that added it is the first.
            product = product + np.where(op.shift > 31, np.int64(1) << 30, 0)
        constants = {"weight": op.multiplier, "added": product, "shift": op.shift, "bias": op.bias}
    elif isinstance(op, Position):
        constants = {"added": op.table}
    else:
        assert isinstance(op, Relu)
        relu = True
    lists = {name: values.reshape(-1).tolist() for name, values in constants.items()}
    weights, adds = lists.get("weight", [1]), lists.get("added", [0])
    count = max(len(weights), len(adds))
    found = [
        weight * end + add
        for weight, add in zip(*(each * count if len(each) == 1 else each for each in (weights, adds)), strict=True)
        for end in ends
    ]
    scaled = _scaled(
        x.number, y.number, source, target, (min(found), max(found)), relu=relu, rounding=rounding, **lists
    )
    return Part(node, (scaled,), target, x.size // source.lanes)


def _weighted_add(node: Node, xs: tuple[Tensor, ...], y: Tensor, sources: tuple[Stream, ...], target: Stream) -> Part:
    assert isinstance(node.op, WeightedAdd)
    op = node.op
    low, high = op.accumulator_range(*xs)
    rows = [*zip(*op.weight.tolist(), op.shift.tolist(), strict=True)]
    if len(set(rows)) == 1:
        rows = rows[:1] * target.lanes
    bits = bits_needed(int(op.weight.min()), int(op.weight.max()))
    widths = [bits, bits, max(1, int(op.shift.max()).bit_length())]
    lines = [rows[first : first + target.lanes] for first in range(0, len(rows), target.lanes)]
    rom = f"{target.name}_c.hex"
    parameters = {"PERIOD": len(rows), "LANES": target.lanes}
    for letter, source, tensor in zip("XR", sources, xs, strict=True):
        parameters |= {f"{letter}_W": source.bits, f"{letter}_SIGNED": int(tensor.number.signed)}
    acc = max(bits_needed(int(low.min()), int(high.max())), bits + 1, *(source.bits + 1 for source in sources))
    parameters |= {"W_W": bits, "ACC_W": acc, "S_W": widths[2], "Y_W": target.bits, "Y_SIGNED": int(y.number.signed)}
    words = _words([[pair for row in line for pair in zip(row, widths, strict=True)] for line in lines])
    texts = {**_texts(parameters), "C_FILE": f'"{rom}"'}
    step = Instance("few_weighted_add", f"{target.name}_sum", texts, sources, (target,), rom, words)
    return Part(node, (step,), target, y.size // target.lanes)


def _matmul(node: Node, xs: tuple[Tensor, ...], y: Tensor, sources: tuple[Stream, ...], target: Stream) -> Part:
    assert isinstance(node.op, Matmul)
    op, (x, r) = node.op, xs
    cycles = max(x.size // sources[0].lanes, r.size // sources[1].lanes, y.size // target.lanes)
    numbers = {
        "X_W": sources[0].bits,
        "X_SIGNED": int(x.number.signed),
        "R_W": sources[1].bits,
        "R_SIGNED": int(r.number.signed),
    }
    if _one_by_one(op, x, r):
        found = {"COLUMNS": y.shape[-1] // op.heads, "LANES": target.lanes, **numbers, "Y_W": target.bits}
        product = Instance("few_product", f"{target.name}_products", _texts(found), sources, (target,))
        return Part(node, (product,), target, cycles)
    parameters = {
        "PLACES": prod(x.shape[:-1]),
        "HEADS": op.heads,
        "TERMS": op.terms,
        "COLUMNS": y.shape[-1] // op.heads,
        "TRANSPOSED": int(op.transposed),
        "X_LANES": sources[0].lanes,
        "R_LANES": sources[1].lanes,
        "OUT_LANES": target.lanes,
        **numbers,
        "ACC_W": target.bits,
    }
    products = Instance("few_matmul", f"{target.name}_products", _texts(parameters), sources, (target,))
    return Part(node, (products,), target, cycles)


def _argmax(node: Node, x: Tensor, y: Tensor, source: Stream, target: Stream) -> Part:
    assert isinstance(node.op, Argmax)
    parameters = {
        "WORDS": x.shape[-1] // source.lanes,
        "LANES": source.lanes,
        "CLASSES": node.op.classes,
        "X_W": source.bits,
        "X_SIGNED": int(x.number.signed and not x.number.bipolar),
        "Y_W": y.number.bits,
    }
    found = Instance("channel_argmax", f"{target.name}_greatest", _texts(parameters), (source,), (target,))
    return Part(node, (found,), target, x.size // source.lanes)


def _concat(node: Node, xs: tuple[Tensor, ...], y: Tensor, sources: tuple[Stream, ...], target: Stream) -> Part:
    words = (x.shape[-1] // target.lanes for x in xs)
    parameters = {**dict(zip(("X_WORDS", "R_WORDS"), words, strict=True)), "DATA_W": target.width}
    joins = Instance("channel_concat", f"{target.name}_channels", _texts(parameters), sources, (target,))
    return Part(node, (joins,), target, y.size // target.lanes)


def _as_it_lies(node: Node, x: Tensor, y: Tensor, source: Stream, target: Stream) -> Part:  # noqa: ARG001  # none
    return Part(node, (), source, x.size // source.lanes)


def _table(node: Node, x: Tensor, y: Tensor, source: Stream, target: Stream) -> Part:
    assert isinstance(node.op, Lut)
    rom = f"{target.name}_t.hex"
    parameters = {
        "CHANNELS": x.shape[-1],
        "LANES": source.lanes,
        "X_W": source.bits,
        "X_SIGNED": int(x.number.signed),
        "Y_W": target.bits,
    }
    table = node.op.table.reshape(-1, source.lanes, x.number.codes).swapaxes(1, 2).reshape(-1, source.lanes)
    digits = -(-target.width // 4)
    words = tuple(f"{_packed(_codes(row, y.number), target.bits):0{digits}x}" for row in table)
    texts = {**_texts(parameters), "T_FILE": f'"{rom}"'}
    return Part(
        node,
        (Instance("full_table", f"{target.name}_entries", texts, (source,), (target,), rom, words),),
        target,
        x.size // source.lanes,
    )


def _max_pool(node: Node, x: Tensor, y: Tensor, source: Stream, target: Stream) -> Part:
    assert isinstance(node.op, MaxPool)
    windows, beats = _windowed(node, x, source, target.name, signs=False)
    parameters = {
        "PLACES": prod(node.op.kernel),
        "WORDS": x.shape[-1] // source.lanes,
        "LANES": source.lanes,
        "X_W": source.bits,
        "X_SIGNED": int(x.number.signed and not x.number.bipolar),
    }
    given = source if windows is None else windows.targets[0]
    greatest = Instance("window_max", f"{target.name}_greatest", _texts(parameters), (given,), (target,))
    parts = (greatest,) if windows is None else (windows, greatest)
    return Part(node, parts, target, max(x.size // source.lanes, beats, y.size // target.lanes))


def _threshold(node: Node, x: Tensor, y: Tensor, source: Stream, target: Stream) -> Part:
    assert isinstance(node.op, Threshold)
    op = node.op
    steps = op.threshold.shape[1]
    rom = f"{target.name}_t.hex"
    levels = _packed(_codes(op.levels, y.number), y.number.bits)
    parameters = {
        "CHANNELS": x.shape[-1],
        "LANES": source.lanes,
        "X_W": source.bits,
        "X_SIGNED": int(x.number.signed and not x.number.bipolar),
        "STEPS": steps,
        "Y_W": target.bits,
    }
    texts = {
        **_texts(parameters),
        "LEVELS": f"{target.bits * (steps + 1)}'h{levels:x}",
        "T_FILE": f'"{rom}"',
    }
    words = tuple(_threshold_words(op, x.number, source.lanes))
    compared = Instance("threshold", f"{target.name}_levels", texts, (source,), (target,), rom, words)
    return Part(node, (compared,), target, x.size // source.lanes)


def _add(node: Node, xs: tuple[Tensor, ...], y: Tensor, sources: tuple[Stream, ...], target: Stream) -> Part:
    parameters = {"LANES": target.lanes}
    for letter, tensor in zip("XRY", (*xs, y), strict=True):
        parameters |= {f"{letter}_W": tensor.number.bits, f"{letter}_SIGNED": int(tensor.number.signed)}
    add = Instance("few_add", f"{target.name}_sum", _texts(parameters), sources, (target,))
    return Part(node, (add,), target, y.size // target.lanes)


_Make = Callable[[Node, tuple[Tensor, ...], Tensor, tuple[Stream, ...], Stream], Part]
_MakeOfOne = Callable[[Node, Tensor, Tensor, Stream, Stream], Part]


def _one(make: _MakeOfOne) -> _Make:
    """The part of a node that reads one result."""
    return lambda node, xs, y, sources, target: make(node, xs[0], y, sources[0], target)


_NOT_TAKEN = NotTaken("because it has no module of it")

_PARTS: OperatorTable[_Make] = OperatorTable(
    "the composed accelerator",
    {
        Conv: _one(_conv),
        MaxPool: _one(_max_pool),
        Threshold: _one(_threshold),
        Linear: _one(_linear),
        Lut: _one(_table),
        Add: _add,
        Pool: _NOT_TAKEN,
        **dict.fromkeys(FEATURE_MAPS, _NOT_TAKEN),
        **dict.fromkeys((Flatten, Reshape), _one(_as_it_lies)),
        **dict.fromkeys((Affine, MultiplyAdd, Position, Relu, Rescale), _one(_affine)),
        SumPool: _one(_sum_pool),
        WeightedAdd: _weighted_add,
        Matmul: _matmul,
        Argmax: _one(_argmax),
        Concat: _concat,
    },
)

_TAKEN = ", ".join(sorted(kind.kind for kind, row in _PARTS.rows.items() if not isinstance(row, NotTaken)))


# --- ROM words -------------------------------------------------------------------------------------------------------


def _texts(values: Mapping[str, int]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items()}


def _codes(values: Integers, number: Number) -> list[int]:
    """The bits of values as numbers without a sign."""
    flat = values.reshape(-1).astype(np.int64).tolist()
    mask = number.codes - 1
    return [(value > 0) if number.bipolar else value & mask for value in flat]


def _words(lines: list[list[tuple[int, int]]]) -> tuple[str, ...]:
    """A line of a ROM for each list of numbers with their widths in bits, the first in the lowest bits."""
    digits = -(-sum(bits for _, bits in lines[0]) // 4)
    found = []
    for line in lines:
        word, at = 0, 0
        for value, bits in line:
            word |= (value & ((1 << bits) - 1)) << at
            at += bits
        found.append(f"{word:0{digits}x}")
    return tuple(found)


def _packed(codes: list[int], bits: int) -> int:
    """Codes of so many bits in one number, the first in the lowest bits."""
    text = "".join(f"{code:0{bits}b}" for code in reversed(codes))
    return int(text, 2)


def _weight_words(weight: Integers, number: Number, lanes: int) -> list[str]:
    """A line of the ROM for each beat of sums: `lanes` rows of weights, each in the order of the windows."""
    rows = weight.reshape(len(weight) // lanes, -1)
    digits = -(-rows.shape[1] * number.bits // 4)
    return [f"{_packed(_codes(row, number), number.bits):0{digits}x}" for row in rows]


def _threshold_words(op: Threshold, number: Number, lanes: int) -> list[str]:
    """A line of the ROM for each beat of channels: thresholds in ascending order, then whether the channel falls.

    A threshold that every value of the format reaches, or none, is taken to the end of what the format can tell.
    """
    low, high = (0, 1) if number.bipolar else (number.low, number.high)
    bits = number.bits + 1 + (number.bipolar or not number.signed)
    channels = []
    for row, rising in zip(op.threshold.tolist(), op.rising.tolist(), strict=True):
        if number.bipolar:
            # Of a bit b the value is 2 b - 1: it is at least t where b is at least (t + 1) / 2, at most where at most.
            row = [-(-(t + 1) // 2) if rising else (t + 1) // 2 for t in row]
        # x <= t is ~x >= ~t.
        steps = [min(max(t, low), high + 1) if rising else ~min(max(t, low - 1), high) for t in row]
        codes = [t & ((1 << bits) - 1) for t in sorted(steps)]
        channels.append(_packed(codes, bits) | (int(not rising) << bits * len(codes)))
    width = bits * op.threshold.shape[1] + 1
    digits = -(-lanes * width // 4)
    groups = range(0, len(channels), lanes)
    return [f"{_packed(channels[first : first + lanes], width):0{digits}x}" for first in groups]
