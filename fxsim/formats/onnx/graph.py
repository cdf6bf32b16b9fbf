"""An integer model as a graph of standard ONNX operators, which computes the contract exactly.

Only operators of the domain ai.onnx are used, all of them on integers, and no value leaves its type: what comes out is
decided by the ONNX standard alone. The arithmetic is expressed here anew, down to the interpolation of tables, and
shares nothing with `fxsim.contract` or the engines. `docs/onnx.md` shows each operator's expression.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from fxsim.contract import TableRule
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool, Relu

BATCH = "batch"
"""The name of the first dimension where it is dynamic."""

TENSOR_BYTES_MAX = 1 << 30
"""Most bytes of tensors in a graph: protobuf ends at 2 GiB."""

_MATMUL_INTEGER_MAX = (2**31 - 1) // 255**2
"""Most products of two bytes whose sum fits int32, in whatever order and with whatever zero points it is formed."""

_INT32_BITS_MAX = 30
"""Widest accumulator that `_Builder.round_shift` treats in 32 bits."""

_INTERPOLATION_BITS = 15
"""Width of (t[m + 1] - t[m]) * f: at most 255 * 63 either way, which is less than 2^14."""

_CODES = {np.dtype(np.int32): TensorProto.INT32, np.dtype(np.int64): TensorProto.INT64}
_UNSIGNED = {np.dtype(np.int32): np.uint32, np.dtype(np.int64): np.uint64}
_UNSIGNED_CODES = {np.dtype(np.int32): TensorProto.UINT32, np.dtype(np.int64): TensorProto.UINT64}

Array = npt.NDArray[Any]


def build_graph(graph: Graph, taps: Iterable[str], batch: int | None) -> onnx.GraphProto:
    """The ONNX graph that computes `taps` of a model's graph, and nothing that they do not need.

    Its input is `input`, int8 [batch, token, value]; its outputs are called as the taps, int8 [batch, token, channel]
    or [batch, channel]. `batch` None leaves the first dimension open. ModelError where its tensors take more than
    `TENSOR_BYTES_MAX`.
    """
    wanted = tuple(taps)
    needed = set(wanted)
    for node in reversed(graph.nodes):
        if node.name in needed:
            needed.update(node.inputs)
    builder = _Builder()
    for node in graph.nodes:
        if node.name in needed:
            _EXPRESSIONS[type(node.op)](builder, node)

    def described(name: str) -> onnx.ValueInfoProto:
        shape = (BATCH if batch is None else batch, *graph.shapes[name])
        return helper.make_tensor_value_info(name, TensorProto.INT8, shape)

    tensors = [numpy_helper.from_array(array, name) for name, array in builder.tensors.items()]
    return helper.make_graph(builder.nodes, "fxsim", [described(INPUT)], [described(n) for n in wanted], tensors)


class _Builder:
    """Nodes and tensors of a graph as it grows. Names hold a slash where no tap's name could be meant."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.tensors: dict[str, Array] = {}
        self._made: set[str] = set()
        self._bytes = 0

    def apply(self, operator: str, inputs: tuple[str, ...], output: str, **attributes: Any) -> str:
        """One ONNX operator; the name of its output."""
        self.nodes.append(helper.make_node(operator, list(inputs), [output], name=output, **attributes))
        return output

    def tensor(self, name: str, array: Array) -> str:
        """A constant tensor; its name."""
        array = np.asarray(array)
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
        """An int8 tensor as int32: one cast for all that read it."""
        return self._once(f"{name}/int32", "Cast", (name,), to=TensorProto.INT32)

    def code(self, name: str) -> str:
        """An int8 tensor as its code x + 128, from 0 to 255, in int32."""
        return self._once(f"{name}/code", "Add", (self.int32(name), self.scalar(128, np.int32)))

    def byte(self, name: str) -> str:
        """An int8 tensor as its code in uint8."""
        return self._once(f"{name}/byte", "Cast", (self.code(name),), to=TensorProto.UINT8)

    def _once(self, output: str, operator: str, inputs: tuple[str, ...], **attributes: Any) -> str:
        if output not in self._made:
            self._made.add(output)
            self.apply(operator, inputs, output, **attributes)
        return output

    def round_shift(self, acc: str, bits: int, shift: Array, bias: Array, what: str) -> tuple[str, npt.DTypeLike]:
        """An int32 tensor of at most `bits` bits, 2 to 32, shifted and rounded, plus `bias`: its name and type.

        ONNX shifts unsigned integers only, so `acc` is moved up to where it cannot be negative. With B = `bits`,
        s = min(shift, B), h = 2^(s - 1) (0 for s = 0):

            ((acc + h + 2^B) >> s) + (bias - 2^(B - s))

        This is exact. 2^B is a multiple of 2^s, so it leaves the shift as 2^(B - s), a whole number, which the second
        term takes away again: floor((acc + h + 2^B) / 2^s) = floor((acc + h) / 2^s) + 2^(B - s). And
        floor((acc + h) / 2^s) = floor(acc / 2^s + 1/2), round half up. Shifts beyond B give what B gives, nothing:
        -2^(B - 1) <= acc < 2^(B - 1) and h = 2^(B - 1) make 0 <= acc + h < 2^B, so that the quotient is 0, as it is for
        every larger s. No value leaves its type: 2^(B - 1) <= acc + h + 2^B < 2^(B + 1), which int32 holds for
        B <= 30, and int64, which wider ones are cast to, for B <= 32.
        """
        dtype = np.dtype(np.int32 if bits <= _INT32_BITS_MAX else np.int64)
        s = np.minimum(shift.astype(np.int64), bits)
        half = np.where(s > 0, 1 << np.maximum(s - 1, 0), 0)
        lift = self.tensor(f"{what}/lift", (half + (1 << bits)).astype(dtype))
        drop = self.tensor(f"{what}/drop", (bias.astype(np.int64) - (1 << (bits - s))).astype(dtype))
        places = self.tensor(f"{what}/shift", s.astype(_UNSIGNED[dtype]))
        if dtype == np.int64:
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
        """sat8 of a tensor of this type, as int8."""
        limits = (self.scalar(-128, dtype), self.scalar(127, dtype))
        clipped = self.apply("Clip", (value, *limits), f"{output}/clipped")
        self.apply("Cast", (clipped,), output, to=TensorProto.INT8)


def _linear(builder: _Builder, node: Node) -> None:
    """Bytes x + 128 and w + 128, both with zero point 128: MatMulInteger takes it off and sums in int32.

    Unsigned on both sides, although the operator takes int8 too: ONNX Runtime is several times slower with int8 on both
    sides, and inexact with uint8 by int8 on x86 processors without VNNI, whose instruction for that saturates at 16
    bits. Where so many products are summed that a sum of bytes could leave int32, MatMul on int32 does it: there no
    partial sum leaves the accumulator, in any order (the graph's proof bounds them).
    """
    op = node.op
    assert isinstance(op, Linear)
    (x,) = node.inputs
    over_tokens = op.over is Axis.TOKENS
    # y = x w^T over channels; over tokens y = w x, where the other way round x would have to be transposed.
    weight = op.weight if over_tokens else np.ascontiguousarray(op.weight.T)
    acc = f"{node.name}/sum"
    if op.weight.shape[1] <= _MATMUL_INTEGER_MAX:
        factor = builder.tensor(f"{node.name}/weight", (weight.astype(np.int16) + 128).astype(np.uint8))
        zero = builder.scalar(128, np.uint8)
        factors = (factor, builder.byte(x)) if over_tokens else (builder.byte(x), factor)
        builder.apply("MatMulInteger", (*factors, zero, zero), acc)
    else:
        factor = builder.tensor(f"{node.name}/weight", weight.astype(np.int32))
        builder.apply("MatMul", (factor, builder.int32(x)) if over_tokens else (builder.int32(x), factor), acc)
    # An output is a channel, the last dimension, or a token, the one before.
    shift, bias = (op.shift[:, None], op.bias[:, None]) if over_tokens else (op.shift, op.bias)
    builder.saturate(*builder.round_shift(acc, op.acc_bits, shift, bias, node.name), node.name)


def _affine(builder: _Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, Affine)
    weight = builder.tensor(f"{node.name}/weight", op.weight.astype(np.int32))
    acc = builder.apply("Mul", (builder.int32(node.inputs[0]), weight), f"{node.name}/product")
    builder.saturate(*builder.round_shift(acc, op.acc_bits, op.shift, op.bias, node.name), node.name)


def _relu(builder: _Builder, node: Node) -> None:
    builder.apply("Relu", node.inputs, node.name)


def _add(builder: _Builder, node: Node) -> None:
    x, r = (builder.int32(name) for name in node.inputs)
    builder.saturate(builder.apply("Add", (x, r), f"{node.name}/sum"), np.int32, node.name)


def _pool(builder: _Builder, node: Node) -> None:
    op = node.op
    assert isinstance(op, Pool)
    tokens = builder.sizes(1)
    acc = builder.apply("ReduceSum", (builder.int32(node.inputs[0]), tokens), f"{node.name}/sum", keepdims=0)
    t = np.array(op.tokens.bit_length() - 1)
    mean, _ = builder.round_shift(acc, op.acc_bits, t, np.array(0), node.name)
    builder.apply("Cast", (mean,), node.name, to=TensorProto.INT8)


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
    step = builder.scalar(256 // op.points, np.int32)
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
    fraction_bits = np.array((256 // op.points).bit_length() - 1)
    rounded, _ = builder.round_shift(product, _INTERPOLATION_BITS, fraction_bits, np.array(0), name)
    # Between t0 and t1: it cannot leave int8.
    value = builder.apply("Add", (t0, rounded), f"{name}/value")
    builder.apply("Cast", (value,), name, to=TensorProto.INT8)


_EXPRESSIONS = {Linear: _linear, Affine: _affine, Relu: _relu, Add: _add, Pool: _pool, Lut: _lut}
