"""An integer model as a graph of standard ONNX operators, which computes the contract exactly.

Only operators of the domain ai.onnx are used, all of them on integers, and no value leaves its type: what comes out is
decided by the ONNX standard alone. The arithmetic is expressed here anew, down to the interpolation of tables, and
shares nothing with `fxsim.contract` or the engines. `docs/onnx.md` shows each operator's expression.
"""

from collections.abc import Callable, Iterable, Iterator
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from fxsim.contract import Division, Pair, Rounding, TableRule, Tensor, bits_needed
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Node
from fxsim.operators import (
    ORDERS,
    Add,
    Affine,
    Argmax,
    Axis,
    Concat,
    Conv,
    Encode,
    Gate,
    Linear,
    Lut,
    Matmul,
    MaxPool,
    MultiplyAdd,
    OperatorTable,
    OrderedLinear,
    Pad,
    Pool,
    Position,
    Prelu,
    Relu,
    Rescale,
    SumPool,
    Threshold,
    WeightedAdd,
)

BATCH = "batch"
"""The name of the first dimension where it is dynamic."""

TENSOR_BYTES_MAX = 1 << 30
"""Most bytes of tensors in a graph: protobuf ends at 2 GiB."""

_MATMUL_INTEGER_MAX = (2**31 - 1) // 255**2
"""Most products of two bytes whose sum fits int32, in whatever order and with whatever zero points it is formed."""

_STEPS_MAX = 4096
"""Most inputs of an ordered sum, each of which is some operators."""

_BYTE = 8
"""Bits of the inputs that MatMulInteger takes."""

_INT32_BITS_MAX = 30
"""Widest accumulator that `_Builder.round_shift` treats in 32 bits."""

_SUM_BITS_MAX = 32
"""Widest accumulator that is summed in 32 bits."""

_INTERPOLATION_BITS = 15
"""Width of (t[m + 1] - t[m]) * f for 8-bit tables: at most 255 * 63 either way, which is less than 2^14."""

_CODES = {
    np.dtype(kind): getattr(TensorProto, np.dtype(kind).name.upper())
    for kind in (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64)
}
_UNSIGNED = {np.dtype(np.int32): np.uint32, np.dtype(np.int64): np.uint64}
_UNSIGNED_CODES = {np.dtype(np.int32): TensorProto.UINT32, np.dtype(np.int64): TensorProto.UINT64}

Array = npt.NDArray[Any]


def build_graph(graph: Graph, taps: Iterable[str], batch: int | None) -> onnx.GraphProto:
    """The ONNX graph that computes `taps` of a model's graph, and nothing that they do not need.

    Its input is `input`, [batch, ...] of the input's shape and numpy type; its outputs are called as the taps, [batch,
    ...] of theirs. `batch` None leaves the first dimension open. ModelError where its tensors take more than
    `TENSOR_BYTES_MAX`.
    """
    wanted = tuple(taps)
    needed = set(wanted)
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    builder = _Builder(graph)
    for node in graph.nodes:
        if node.name in needed:
            _EXPRESSIONS[type(node.op)](builder, node)

    def described(name: str) -> onnx.ValueInfoProto:
        tensor = graph.tensors[name]
        shape = (BATCH if batch is None else batch, *tensor.shape)
        return helper.make_tensor_value_info(name, _CODES[tensor.number.dtype], shape)

    tensors = [numpy_helper.from_array(array, name) for name, array in builder.tensors.items()]
    return helper.make_graph(builder.nodes, "fxsim", [described(INPUT)], [described(n) for n in wanted], tensors)


class _Builder:
    """Nodes and tensors of a graph as it grows. Names hold a slash where no tap's name could be meant."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, Array] = {}
        self._made: set[str] = set()
        self._bytes = 0

    def apply(self, operator: str, inputs: tuple[str, ...], output: str, **attributes: Any) -> str:
        """One ONNX operator; the name of its output."""
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def tensor(self, name: str, array: Array) -> str:
        """A constant tensor; its name. Nodes that share an operator share what is made of it."""
        array = np.asarray(array)
        node, _, rest = name.partition("/")
        if node in self.graph.owners:
            shared = f"{self.graph.owners[node]}/{rest}"
            known = self.tensors.get(shared)
            if known is not None and known.dtype == array.dtype and np.array_equal(known, array):
                return shared
            name = shared if known is None else name
        self._bytes += array.nbytes
        if self._bytes > TENSOR_BYTES_MAX:
            raise ModelError(f"the ONNX graph would hold more than {TENSOR_BYTES_MAX:,} bytes of parameters")
        self.tensors[name] = array
        return name

    def scalar(self, value: int, dtype: npt.DTypeLike) -> str:
        """A constant number, one for the whole graph; its name."""
        array = np.array(value, dtype)
        name = f"/{array.dtype}/{value}"
        return name if name in self.tensors else self.tensor(name, array)

    def sizes(self, *values: int) -> str:
        """A constant list of sizes or axes, one for the whole graph; its name."""
        name = f"/sizes/{','.join(map(str, values))}"
        return name if name in self.tensors else self.tensor(name, np.array(values, np.int64))

    def int32(self, name: str) -> str:
        """A tensor as int32: one cast for all that read it."""
        return self._once(f"{name}/int32", "Cast", (name,), to=TensorProto.INT32)

    def wide(self, name: str, bits: int) -> str:
        """A tensor as int32, or as int64 where a sum of `bits` bits is made of it."""
        if bits <= _SUM_BITS_MAX:
            return self.int32(name)
        return self._once(f"{name}/wide", "Cast", (name,), to=TensorProto.INT64)

    def code(self, name: str) -> str:
        """A tensor as its code, the distance from its least value (x + 128 for int8), in int32."""
        low = self.graph.tensors[name].number.low
        return self._once(f"{name}/code", "Add", (self.int32(name), self.scalar(-low, np.int32)))

    def byte(self, name: str) -> str:
        """A tensor of at most 8 bits as its code in uint8."""
        return self._once(f"{name}/byte", "Cast", (self.code(name),), to=TensorProto.UINT8)

    def byte_of_two(self, name: str, operator: str) -> str:
        """The higher byte ("Div") or the lower one ("Mod") of a tensor's code of at most 16 bits, in uint8."""
        part = self._once(f"{name}/{operator}", operator, (self.code(name), self.scalar(256, np.int32)))
        return self._once(f"{part}/byte", "Cast", (part,), to=TensorProto.UINT8)

    def _once(self, output: str, operator: str, inputs: tuple[str, ...], **attributes: Any) -> str:
        if output not in self._made:
            self._made.add(output)
            self.apply(operator, inputs, output, **attributes)
        return output

    def round_shift(self, acc: str, bits: int, shift: Array, bias: Array, what: str) -> tuple[str, npt.DTypeLike]:
        """A tensor of at most `bits` bits, 2 to 62, shifted and rounded, plus `bias`: its name and type.

        `acc` is int32 up to 32 bits, beyond int64.

        ONNX shifts unsigned integers only, so `acc` is moved up to where it cannot be negative. With B = `bits`,
        s = min(shift, B), h = 2^(s - 1) (0 for s = 0):

            ((acc + h + 2^B) >> s) + (bias - 2^(B - s))

        This is exact. 2^B is a multiple of 2^s, so it leaves the shift as 2^(B - s), a whole number, which the second
        term takes away again: floor((acc + h + 2^B) / 2^s) = floor((acc + h) / 2^s) + 2^(B - s). And
        floor((acc + h) / 2^s) = floor(acc / 2^s + 1/2), round half up. Shifts beyond B give what B gives, nothing:
        -2^(B - 1) <= acc < 2^(B - 1) and h = 2^(B - 1) make 0 <= acc + h < 2^B, so that the quotient is 0, as it is for
        every larger s. No value leaves its type: 2^(B - 1) <= acc + h + 2^B < 2^(B + 1), which int32 holds for
        B <= 30, and int64, which wider ones are cast to, for B <= 62. Beside a bias of 2^30 or more either way, which
        the second term or the result might leave int32 with, int64 is taken, too.
        """
        narrow = bits <= _INT32_BITS_MAX and int(np.abs(bias.astype(np.int64)).max()) < 1 << _INT32_BITS_MAX
        dtype = np.dtype(np.int32 if narrow else np.int64)
        s = np.minimum(shift.astype(np.int64), bits)
        half = np.where(s > 0, 1 << np.maximum(s - 1, 0), 0)
        lift = self.tensor(f"{what}/lift", (half + (1 << bits)).astype(dtype))
        drop = self.tensor(f"{what}/drop", (bias.astype(np.int64) - (1 << (bits - s))).astype(dtype))
        places = self.tensor(f"{what}/shift", s.astype(_UNSIGNED[dtype]))
        if dtype == np.int64 and bits <= _SUM_BITS_MAX:
            acc = self.apply("Cast", (acc,), f"{what}/int64", to=TensorProto.INT64)
        lifted = self.apply("Add", (acc, lift), f"{what}/lifted")
        unsigned = self.apply("Cast", (lifted,), f"{what}/unsigned", to=_UNSIGNED_CODES[dtype])
        shifted = self.apply("BitShift", (unsigned, places), f"{what}/shifted", direction="RIGHT")
        signed = self.apply("Cast", (shifted,), f"{what}/signed", to=_CODES[dtype])
        return self.apply("Add", (signed, drop), f"{what}/rounded"), dtype

    def look_up(self, table: str, place: str, output: str) -> None:
        """The entries of a table of one dimension, at int32 places of any shape."""
        # Not Gather, which ONNX Runtime copies byte by byte, more than ten times as slowly.
        flat = self.apply("Reshape", (place, self.sizes(-1)), f"{output}/places")
        found = self.apply("GatherElements", (table, flat), f"{output}/found")
        self.apply("Reshape", (found, self.apply("Shape", (place,), f"{output}/shape")), output, allowzero=1)

    def saturate(self, value: str, dtype: npt.DTypeLike, output: str) -> None:
        """A tensor of this type clamped to the number format of the node `output`, in that format's type."""
        number = self.graph.tensors[output].number
        self.narrow(self.clamp(value, number.low, number.high, dtype, f"{output}/clipped"), output)

    def clamp(self, value: str, low: int, high: int, dtype: npt.DTypeLike, output: str) -> str:
        """A tensor of this type, at least `low` and at most `high`: the name `output`.

        Of int64 by comparisons: ONNX Runtime 1.31's Clip, Min and Max take values between 2^31 and 2^32 for their low
        32 bits.
        """
        least, most = self.scalar(low, dtype), self.scalar(high, dtype)
        if np.dtype(dtype) != np.int64:
            return self.apply("Clip", (value, least, most), output)
        below = self.apply("Less", (value, least), f"{output}/below")
        raised = self.apply("Where", (below, least, value), f"{output}/raised")
        above = self.apply("Greater", (raised, most), f"{output}/above")
        return self.apply("Where", (above, most, raised), output)

    def narrow(self, value: str, output: str) -> None:
        """A tensor that is within the number format of the node `output`, in that format's type."""
        self.apply("Cast", (value,), output, to=_CODES[self.graph.tensors[output].number.dtype])


def _linear(builder: _Builder, node: Node) -> None:
    """Bytes x - low and w + 128, with zero points -low (128 for int8) and 128: MatMulInteger takes them off and sums.

    Unsigned on both sides, although the operator takes int8 too: ONNX Runtime is several times slower with int8 on both
    sides, and inexact with uint8 by int8 on x86 processors without VNNI, whose instruction for that saturates at 16
    bits. Where so many products are summed that a sum of bytes could leave int32, or inputs have more than 8 bits,
    MatMul on int32 or int64 does it: there no partial sum leaves the accumulator, in any order (the graph's proof
    bounds them).
    """
    op = node.op
    assert isinstance(op, Linear)
    (x,) = node.inputs
    over_tokens = op.over is Axis.TOKENS
    # y = x w^T over channels; over tokens y = w x, where the other way round x would have to be transposed.
    weight = op.weight if over_tokens else np.ascontiguousarray(op.weight.T)
    acc, bits = f"{node.name}/sum", op.acc_bits
    number = builder.graph.tensors[x].number
    if op.weight.shape[1] <= _MATMUL_INTEGER_MAX and number.bits <= _BYTE:
        factor = builder.tensor(f"{node.name}/weight", (weight.astype(np.int16) + 128).astype(np.uint8))
        zeros = builder.scalar(-number.low, np.uint8), builder.scalar(128, np.uint8)
        factors = (factor, builder.byte(x), *reversed(zeros)) if over_tokens else (builder.byte(x), factor, *zeros)
        builder.apply("MatMulInteger", factors, acc)
        bits = min(bits, _SUM_BITS_MAX)  # which it has, whatever is stated
    else:
        wide = builder.wide(x, op.acc_bits)
        factor = builder.tensor(f"{node.name}/weight", weight.astype(_wide_type(op.acc_bits)))
        builder.apply("MatMul", (factor, wide) if over_tokens else (wide, factor), acc)
    # An output is a channel, the last dimension, or a token, the one before.
    shift, bias = (op.shift[:, None], op.bias[:, None]) if over_tokens else (op.shift, op.bias)
    builder.saturate(*builder.round_shift(acc, bits, shift, bias, node.name), node.name)


def _affine(builder: _Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, Affine)
    weight = builder.tensor(f"{node.name}/weight", op.weight.astype(_wide_type(op.acc_bits)))
    acc = builder.apply("Mul", (builder.wide(node.inputs[0], op.acc_bits), weight), f"{node.name}/product")
    builder.saturate(*builder.round_shift(acc, op.acc_bits, op.shift, op.bias, node.name), node.name)


def _relu(builder: _Builder, node: Node) -> None:
    number = builder.graph.tensors[node.name].number
    if number.dtype == np.int8:
        builder.apply("Relu", node.inputs, node.name)
    else:  # Relu takes no unsigned type, and ONNX Runtime's none of 16 bits
        builder.narrow(builder.apply("Relu", (builder.int32(node.inputs[0]),), f"{node.name}/int32_relu"), node.name)


def _add(builder: _Builder, node: Node) -> None:
    x, r = (builder.int32(name) for name in node.inputs)
    builder.saturate(builder.apply("Add", (x, r), f"{node.name}/sum"), np.int32, node.name)


def _pool(builder: _Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, Pool)
    tokens = builder.sizes(len(builder.graph.tensors[node.inputs[0]].shape) - 1)  # counted with the batch
    acc = builder.apply(
        "ReduceSum", (builder.wide(node.inputs[0], op.acc_bits), tokens), f"{node.name}/sum", keepdims=0
    )
    t = np.array(op.tokens.bit_length() - 1)
    mean, _ = builder.round_shift(acc, op.acc_bits, t, np.array(0), node.name)
    builder.narrow(mean, node.name)


def _lut(builder: _Builder, node: Node) -> None:
    """A table's rows, laid one after the other, are read at row + segment.

    Codes are not negative, so that Div, which truncates, divides as a shift does.
    """
    op = node.op
    assert isinstance(op, Lut)
    name, code = node.name, builder.code(node.inputs[0])
    channels, stored = op.table.shape
    table = builder.tensor(f"{name}/table", op.table.reshape(-1))
    rows = builder.tensor(f"{name}/rows", np.arange(channels, dtype=np.int32) * stored)
    if op.rule is TableRule.FULL:
        builder.look_up(table, builder.apply("Add", (code, rows), f"{name}/at"), name)
        return
    width = op.number.codes // op.points
    step = builder.scalar(width, np.int32)
    segment = builder.apply("Div", (code, step), f"{name}/segment")
    start = builder.apply("Mul", (segment, step), f"{name}/start")
    fraction = builder.apply("Sub", (code, start), f"{name}/fraction")
    if op.rule is TableRule.CLAMP:
        last = builder.scalar(op.points - 2, np.int32)
        segment = builder.apply("Min", (segment, last), f"{name}/clamped")
    right = builder.apply("Add", (segment, builder.scalar(1, np.int32)), f"{name}/right")
    if op.rule is TableRule.HOLD:
        last = builder.scalar(op.points - 1, np.int32)
        right = builder.apply("Min", (right, last), f"{name}/held")
    points = []
    for side, at in (("t0", segment), ("t1", right)):
        place = builder.apply("Add", (at, rows), f"{name}/{side}_at")
        builder.look_up(table, place, f"{name}/{side}")
        points.append(builder.int32(f"{name}/{side}"))
    t0, t1 = points
    rise = builder.apply("Sub", (t1, t0), f"{name}/rise")
    product = builder.apply("Mul", (rise, fraction), f"{name}/product")
    fraction_bits = width.bit_length() - 1
    # A difference of two points has one bit more than they; the fraction is below 2^fraction_bits.
    bits = max(_INTERPOLATION_BITS, op.out.bits + 1 + fraction_bits)
    rounded, dtype = builder.round_shift(product, bits, np.array(fraction_bits), np.array(0), name)
    if dtype == np.int64:
        rounded = builder.apply("Cast", (rounded,), f"{name}/narrow", to=TensorProto.INT32)
    # Between t0 and t1: it cannot leave their format.
    builder.narrow(builder.apply("Add", (t0, rounded), f"{name}/value"), name)


def _conv(builder: _Builder, node: Node) -> None:
    """Bytes x - low and w + 128, channels first, with zero points -low and 128: ConvInteger takes them off and sums.

    It pads with its input's zero point, which adds nothing. The sums of bytes fit int32, as in `_linear`: where so many
    products are summed that they could not, channels are summed in parts. Codes above 8 bits are two bytes,
    c = 256 h + l, whose zero points are the bytes of -low, so that 256 times the sums of the one and those of the
    other are the sums. What has several parts is added up in int64; the result fits its format (the graph proves it).
    """
    op = node.op
    assert isinstance(op, Conv)
    (x,) = node.inputs
    number = builder.graph.tensors[x].number
    _, rows, columns, channels = op.weight.shape
    summed = op.weight[0].size
    most = _MATMUL_INTEGER_MAX // (rows * columns)
    if summed > _MATMUL_INTEGER_MAX and (op.groups > 1 or not most):
        raise ModelError(
            f"the ONNX export takes a conv of more than {_MATMUL_INTEGER_MAX:,} products a sum where it has one group "
            f"and no more places, node '{node.name}' has {op.groups} groups of {rows * columns:,} places and "
            f"{summed:,} products a sum"
        )
    weight = np.ascontiguousarray(op.weight.transpose(0, 3, 1, 2)).astype(np.int16) + 128
    if number.bits <= _BYTE:
        bytes_ = [(builder.byte(x), -number.low, 1)]
    else:
        high, low = divmod(-number.low, 256)
        bytes_ = [(builder.byte_of_two(x, "Div"), high, 256), (builder.byte_of_two(x, "Mod"), low, 1)]
    step = channels if summed <= _MATMUL_INTEGER_MAX else most
    one = len(bytes_) == 1 and step == channels
    parts = []
    for code, zero, times in bytes_:
        for start in range(0, channels, step):
            name = node.name if one else f"{node.name}/{times}/{start}"
            stop, part = min(start + step, channels), code
            if step < channels:
                ends = builder.sizes(start), builder.sizes(stop), builder.sizes(3)
                part = builder.apply("Slice", (code, *ends), f"{name}/part")
            first = builder.apply("Transpose", (part,), f"{name}/channels_first", perm=[0, 3, 1, 2])
            factor = builder.tensor(
                f"{node.name}/weight" if step == channels else f"{node.name}/weight/{start}",
                weight[:, start:stop].astype(np.uint8),
            )
            zeros = builder.scalar(zero, np.uint8), builder.scalar(128, np.uint8)
            acc = builder.apply(
                "ConvInteger", (first, factor, *zeros), f"{name}/sum", dilations=op.dilation, group=op.groups,
                kernel_shape=[rows, columns], pads=op.padding, strides=op.stride,
            )  # fmt: skip
            if not one:
                acc = builder.apply("Cast", (acc,), f"{name}/wide", to=TensorProto.INT64)
                acc = builder.apply("Mul", (acc, builder.scalar(times, np.int64)), f"{name}/product")
            parts.append(acc)
    acc = parts[0]
    for count, part in enumerate(parts[1:], 2):
        acc = builder.apply("Add", (acc, part), f"{node.name}/sum_of_{count}")
    builder.narrow(builder.apply("Transpose", (acc,), f"{node.name}/last", perm=[0, 2, 3, 1]), node.name)


def _max_pool(builder: _Builder, node: Node) -> None:
    """The greatest of what lies at each place of a window, taken by strides: MaxPool takes no integers but bytes."""
    op = node.op
    assert isinstance(op, MaxPool)
    parts = tuple(_window(builder, node, builder.int32(node.inputs[0]), op.kernel, op.stride))
    builder.narrow(builder.apply("Max", parts, f"{node.name}/greatest"), node.name)


def _window(builder: _Builder, node: Node, x: str, kernel: Pair, stride: Pair) -> Iterator[str]:
    """The slices of `x`, one for each place of a node's window, row by row, taken by strides."""
    places = builder.graph.shapes[node.name][:2]
    for r, s in np.ndindex(*kernel):
        ends = [first + (n - 1) * step + 1 for first, n, step in zip((r, s), places, stride, strict=True)]
        sizes = builder.sizes(r, s), builder.sizes(*ends), builder.sizes(1, 2), builder.sizes(*stride)
        yield builder.apply("Slice", (x, *sizes), f"{node.name}/place_{r}_{s}")


def _threshold(builder: _Builder, node: Node) -> None:
    """Comparisons with every threshold, of channels that rise and of those that fall, counted; then the level."""
    op = node.op
    assert isinstance(op, Threshold)
    name, last = node.name, builder.sizes(-1)
    value = builder.apply("Unsqueeze", (builder.int32(node.inputs[0]), last), f"{name}/value")
    steps = builder.tensor(f"{name}/threshold", op.threshold)
    passed = []
    for comparison, channels in (("GreaterOrEqual", op.rising == 1), ("LessOrEqual", op.rising == 0)):
        found = builder.apply(comparison, (value, steps), f"{name}/{comparison}")
        mask = builder.tensor(f"{name}/{comparison}/channels", channels[:, None])
        passed.append(builder.apply("And", (found, mask), f"{name}/{comparison}/own"))
    either = builder.apply("Or", tuple(passed), f"{name}/passed")
    counted = builder.apply("Cast", (either,), f"{name}/counted", to=TensorProto.INT32)
    count = builder.apply("ReduceSum", (counted, last), f"{name}/count", keepdims=0)
    builder.look_up(builder.tensor(f"{name}/levels", op.levels), count, name)


def _encode(builder: _Builder, node: Node) -> None:
    """Comparisons with every threshold of a channel, on an axis of their own; then all of them on one axis."""
    op = node.op
    assert isinstance(op, Encode)
    name, kind = node.name, op.out.dtype
    value = builder.apply("Unsqueeze", (builder.int32(node.inputs[0]), builder.sizes(-1)), f"{name}/value")
    found = builder.apply(
        "GreaterOrEqual", (value, builder.tensor(f"{name}/threshold", op.threshold)), f"{name}/reached"
    )
    ends = builder.scalar(op.out.high, kind), builder.scalar(op.out.low, kind)
    chosen = builder.apply("Where", (found, *ends), f"{name}/chosen")
    # 0 is the first dimension as it is.
    builder.apply("Reshape", (chosen, builder.sizes(0, *builder.graph.shapes[name])), name)


def _multiply_add(builder: _Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, MultiplyAdd)
    name, (x,) = node.name, builder.graph.inputs_of(node)
    # The product alone may be wider than with its bias.
    bits = max(op.acc_bits, *(bits_needed(low, high) for low, high in zip(*_products(op.weight, x), strict=True)))
    kind = _wide_type(bits)
    weight = builder.tensor(f"{name}/weight", op.weight.astype(kind))
    product = builder.apply("Mul", (builder.wide(node.inputs[0], bits), weight), f"{name}/product")
    bias = builder.tensor(f"{name}/bias", op.bias.astype(kind))
    acc = builder.apply("Add", (product, bias), f"{name}/sum")
    builder.saturate(*builder.round_shift(acc, bits, op.shift, np.zeros_like(op.bias), name), name)


def _products(weight: Array, x: Tensor) -> tuple[list[int], list[int]]:
    """The least and greatest product of each weight with any value of a tensor."""
    ends = [sorted((int(w) * x.number.low, int(w) * x.number.high)) for w in weight]
    return [low for low, _ in ends], [high for _, high in ends]


def _weighted_add(builder: _Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, WeightedAdd)
    name, kind = node.name, _wide_type(op.acc_bits)
    products = []
    for i, source in enumerate(node.inputs):
        weight = builder.tensor(f"{name}/weight_{i}", op.weight[i].astype(kind))
        products.append(builder.apply("Mul", (builder.wide(source, op.acc_bits), weight), f"{name}/product_{i}"))
    acc = builder.apply("Add", tuple(products), f"{name}/sum")
    builder.saturate(*builder.round_shift(acc, op.acc_bits, op.shift, np.zeros(1, np.int32), name), name)


def _prelu(builder: _Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, Prelu)
    name, kind = node.name, _wide_type(op.acc_bits)
    weight = builder.tensor(f"{name}/weight", op.weight.astype(kind))
    acc = builder.apply("Mul", (builder.wide(node.inputs[0], op.acc_bits), weight), f"{name}/product")
    rounded, wide = builder.round_shift(acc, op.acc_bits, op.shift, np.zeros(1, np.int32), name)
    value = builder.apply("Cast", (node.inputs[0],), f"{name}/value", to=_CODES[np.dtype(wide)])
    negative = builder.apply("Less", (value, builder.scalar(0, wide)), f"{name}/negative")
    builder.saturate(builder.apply("Where", (negative, rounded, value), f"{name}/chosen"), wide, name)


def _gate(builder: _Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, Gate)
    x, g = (builder.int32(source) for source in node.inputs)
    threshold = builder.tensor(f"{node.name}/threshold", op.threshold)
    reached = builder.apply("GreaterOrEqual", (g, threshold), f"{node.name}/reached")
    chosen = builder.apply("Where", (reached, x, builder.scalar(0, np.int32)), f"{node.name}/chosen")
    builder.narrow(chosen, node.name)


def _concat(builder: _Builder, node: Node) -> None:
    builder.apply("Concat", node.inputs, node.name, axis=-1)


def _order(builder: _Builder, node: Node) -> None:
    """The axes in their order, and what lies so in the shape of the result."""
    op: Any = node.op
    turned = builder.apply(
        "Transpose", node.inputs, f"{node.name}/turned", perm=[0, *(1 + place for place in op.order)]
    )
    builder.apply("Reshape", (turned, builder.sizes(0, *builder.graph.shapes[node.name])), node.name)


def _sum_pool(builder: _Builder, node: Node) -> None:
    """Sums of what lies at each place of a window, row by row, in int64; quotients by Div, which truncates."""
    op = node.op
    assert isinstance(op, SumPool)
    name = node.name
    wide = builder.apply("Cast", node.inputs, f"{name}/int64", to=TensorProto.INT64)
    acc = ""
    for number, part in enumerate(_window(builder, node, wide, op.kernel, op.stride)):
        acc = part if number == 0 else builder.apply("Add", (acc, part), f"{name}/sum_{number}")
        if op.limits is not None:
            acc = builder.clamp(acc, op.limits.low, op.limits.high, np.int64, f"{name}/limited_{number}")
    divisor = op.divisor
    if op.rounding is Division.HALF_UP:
        twice = builder.apply("Add", (acc, acc), f"{name}/twice")
        acc = builder.apply("Add", (twice, builder.scalar(divisor, np.int64)), f"{name}/moved")
        divisor *= 2
    if op.rounding is not Division.ZERO:
        # What is over is never negative, so that what is left divides exactly.
        over = builder.apply("Mod", (acc, builder.scalar(divisor, np.int64)), f"{name}/over")
        acc = builder.apply("Sub", (acc, over), f"{name}/whole")
    quotient = builder.apply("Div", (acc, builder.scalar(divisor, np.int64)), f"{name}/quotient")
    builder.saturate(quotient, np.int64, name)


def _ordered_linear(builder: _Builder, node: Node) -> None:
    """All rounded products at once; then one sum and one limit for each input, in order."""
    op = node.op
    assert isinstance(op, OrderedLinear)
    name, (x,) = node.name, builder.graph.inputs_of(node)
    inputs = op.weight.shape[1]
    if inputs > _STEPS_MAX:
        raise ModelError(
            f"the ONNX export takes an ordered_linear of up to {_STEPS_MAX:,} inputs, node '{name}' has {inputs:,}"
        )
    products = zip(*_products(op.weight.reshape(-1), x), strict=True)
    bits = max(2, *(bits_needed(low, high) for low, high in products))
    last, kind = builder.sizes(-1), _wide_type(bits)
    row = builder.apply("Unsqueeze", (builder.wide(node.inputs[0], bits), builder.sizes(-2)), f"{name}/row")
    product = builder.apply("Mul", (row, builder.tensor(f"{name}/weight", op.weight.astype(kind))), f"{name}/product")
    rounded, wide = builder.round_shift(product, bits, op.shift[:, None], np.zeros(1, np.int32), name)
    acc = builder.tensor(f"{name}/bias", op.bias.astype(wide))
    for k in range(inputs):
        ends = builder.sizes(k), builder.sizes(k + 1), last
        part = builder.apply("Slice", (rounded, *ends), f"{name}/slice_{k}")
        step = builder.apply("Squeeze", (part, last), f"{name}/step_{k}")
        total = builder.apply("Add", (acc, step), f"{name}/sum_{k}")
        acc = builder.clamp(total, op.out.low, op.out.high, wide, f"{name}/acc_{k}")
    builder.narrow(acc, name)


def _pad(builder: _Builder, node: Node) -> None:
    """The image within its constants: what is inside is chosen by a mask, as Pad takes one number for all channels."""
    op = node.op
    assert isinstance(op, Pad)
    name, (rows, columns, _) = node.name, builder.graph.shapes[node.name]
    top, left, bottom, right = op.padding
    ends = builder.sizes(0, top, left, 0, 0, bottom, right, 0)
    wide = builder.apply("Pad", (builder.int32(node.inputs[0]), ends), f"{name}/zeros")
    inside = np.zeros((rows, columns, 1), np.bool_)
    inside[top : rows - bottom, left : columns - right] = True
    mask, value = builder.tensor(f"{name}/inside", inside), builder.tensor(f"{name}/value", op.value)
    builder.narrow(builder.apply("Where", (mask, wide, value), f"{name}/padded"), name)


def _rescale(builder: _Builder, node: Node) -> None:
    """The product in int64, divided by 2^s with its rest; what the rest makes of the quotient is the rounding's."""
    op = node.op
    assert isinstance(op, Rescale)
    name = node.name
    wide = builder.apply("Cast", node.inputs, f"{name}/int64", to=TensorProto.INT64)
    multiplier = builder.tensor(f"{name}/multiplier", op.multiplier.astype(np.int64))
    moved = builder.apply("Add", (wide, builder.tensor(f"{name}/addend", op.addend.astype(np.int64))), f"{name}/sum")
    value = builder.apply("Mul", (moved, multiplier), f"{name}/product")
    shift = op.shift.astype(np.int64)
    if op.rounding is Rounding.DOUBLE:
        first = np.minimum(shift, 31)
        value = _quotient(builder, value, first, Rounding.HALF_UP, f"{name}/first")
        value = _quotient(builder, value, shift - first, Rounding.HALF_AWAY, f"{name}/second")
    else:
        value = _quotient(builder, value, shift, op.rounding, name)
    bias = builder.tensor(f"{name}/bias", op.bias.astype(np.int64))
    builder.saturate(builder.apply("Add", (value, bias), f"{name}/biased"), np.int64, name)


def _quotient(builder: _Builder, value: str, shift: Array, rounding: Rounding, what: str) -> str:
    """An int64 tensor of at most 62 bits divided by 2^shift, 0 to 62 for each channel, and rounded; its name."""
    divisor = builder.tensor(f"{what}/divisor", np.int64(1) << shift)
    # What is over is never negative, so that what is left divides exactly.
    over = builder.apply("Mod", (value, divisor), f"{what}/over")
    whole = builder.apply("Sub", (value, over), f"{what}/whole")
    floor = builder.apply("Div", (whole, divisor), f"{what}/floor")
    if rounding is Rounding.FLOOR:
        return floor
    twice = builder.apply("Add", (over, over), f"{what}/twice")  # below 2^63
    if rounding is Rounding.HALF_UP:
        up = builder.apply("GreaterOrEqual", (twice, divisor), f"{what}/up")
    else:
        beyond = builder.apply("Greater", (twice, divisor), f"{what}/beyond")
        tie = builder.apply("Equal", (twice, divisor), f"{what}/tie")
        if rounding is Rounding.HALF_EVEN:
            odd = builder.apply("Mod", (floor, builder.scalar(2, np.int64)), f"{what}/odd")
            upper = builder.apply("Greater", (odd, builder.scalar(0, np.int64)), f"{what}/upper")
        else:
            upper = builder.apply("GreaterOrEqual", (value, builder.scalar(0, np.int64)), f"{what}/upper")
        broken = builder.apply("And", (tie, upper), f"{what}/broken")
        up = builder.apply("Or", (beyond, broken), f"{what}/up")
    more = builder.apply("Cast", (up,), f"{what}/more", to=TensorProto.INT64)
    return builder.apply("Add", (floor, more), f"{what}/quotient")


def _matmul(builder: _Builder, node: Node) -> None:
    """Heads become an axis before the places of both inputs, so that MatMul on int32 or int64 sums each head.

    No partial sum leaves the accumulator, in any order: the graph's proof bounds each product's sign and size.
    """
    op = node.op
    assert isinstance(op, Matmul)
    name, heads, parts = node.name, op.heads, []
    for which, source, order in (("x", node.inputs[0], (0, 2, 1, 3)), ("r", node.inputs[1], (0, 2, 1, 3))):
        shape = builder.graph.shapes[source]
        if which == "r" and op.transposed:
            order = (0, 2, 3, 1)
        sizes = builder.sizes(0, prod(shape[:-1]), heads, shape[-1] // heads)  # 0: as many images as there are
        apart = builder.apply("Reshape", (builder.wide(source, op.acc_bits), sizes), f"{name}/{which}_apart")
        parts.append(builder.apply("Transpose", (apart,), f"{name}/{which}_heads", perm=order))
    sums = builder.apply("MatMul", (parts[0], parts[1]), f"{name}/sums")
    together = builder.apply("Transpose", (sums,), f"{name}/places", perm=(0, 2, 1, 3))
    sizes = builder.sizes(0, *builder.graph.shapes[name])
    builder.narrow(builder.apply("Reshape", (together, sizes), f"{name}/joined"), name)


def _position(builder: _Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, Position)
    shape = builder.graph.shapes[node.name]
    table = builder.tensor(f"{node.name}/table", op.table.astype(_wide_type(op.acc_bits)).reshape(shape))
    sums = builder.apply("Add", (builder.wide(node.inputs[0], op.acc_bits), table), f"{node.name}/sum")
    builder.narrow(sums, node.name)


def _argmax(builder: _Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, Argmax)
    name = node.name
    ends = builder.sizes(0), builder.sizes(op.classes), builder.sizes(-1)
    first = builder.apply("Slice", (builder.int32(node.inputs[0]), *ends), f"{name}/classes")
    builder.narrow(builder.apply("ArgMax", (first,), f"{name}/place", axis=-1, keepdims=1), name)


def _wide_type(bits: int) -> npt.DTypeLike:
    return np.int32 if bits <= _SUM_BITS_MAX else np.int64


_EXPRESSIONS: OperatorTable[Callable[[_Builder, Node], None]] = OperatorTable(
    "the ONNX export",
    {
        Linear: _linear, Affine: _affine, Relu: _relu, Add: _add, Pool: _pool, Lut: _lut, Conv: _conv,
        MaxPool: _max_pool, Threshold: _threshold, Encode: _encode, MultiplyAdd: _multiply_add,
        WeightedAdd: _weighted_add, Prelu: _prelu, Gate: _gate, Concat: _concat, **dict.fromkeys(ORDERS, _order),
        SumPool: _sum_pool, OrderedLinear: _ordered_linear, Argmax: _argmax, Rescale: _rescale, Pad: _pad,
        Matmul: _matmul, Position: _position,
    },
)  # fmt: skip
