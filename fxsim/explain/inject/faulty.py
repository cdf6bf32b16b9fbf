"""Operators computed wrongly on purpose, in formulas of this file: nothing here is what explanations compute with.

A fault is options by name; an operator takes those that it knows, and two faults of different options may be one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Int64
from fxsim.graph import Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool, Relu

Float64 = npt.NDArray[np.float64]
Options = Mapping[str, Any]

ROUNDINGS = ("floor", "ceiling", "toward_zero", "half_even", "half_away", "half_down", "half_toward_zero")


def rounded(values: Float64, rounding: str) -> Int64:
    """Whole numbers from exact fractions: dividing by powers of two keeps a float64 exact."""
    away = np.sign(values)
    match rounding:
        case "half_up":
            made = np.floor(values + 0.5)
        case "floor":
            made = np.floor(values)
        case "ceiling":
            made = np.ceil(values)
        case "toward_zero":
            made = np.trunc(values)
        case "half_even":
            made = np.rint(values)
        case "half_away":
            made = away * np.floor(np.abs(values) + 0.5)
        case "half_down":
            made = np.ceil(values - 0.5)
        case "half_toward_zero":
            made = away * np.ceil(np.abs(values) - 0.5)
        case _:
            raise ValueError(rounding)
    whole: Int64 = made.astype(np.int64)
    return whole


def wrapped(values: Int64, bits: int) -> Int64:
    """Two's complement of so many bits."""
    half = 1 << bits - 1
    return (values + half) % (2 * half) - half


def faulty(node: Node, inputs: Sequence[Int64], options: Options, rng: np.random.Generator) -> Int64:
    """A node's result with a fault, of int64 [image, ...] inputs."""
    if "only" in options:
        axis, places = options["only"]
        right = faulty(node, inputs, {}, rng)
        made = faulty(node, inputs, {name: of for name, of in options.items() if name != "only"}, rng)
        everywhere, some = np.moveaxis(right, axis, -1).copy(), np.moveaxis(made, axis, -1)
        everywhere[..., places] = some[..., places]
        return np.moveaxis(everywhere, -1, axis)
    first, *rest = inputs
    if "gather" in options:
        first = _moved(first, *options["gather"])
    if "transposed" in options:
        first = first.swapaxes(1, 2).reshape(first.shape)
    op = node.op
    match op:
        case Linear() | Affine():
            made = _requantised(op, first, options)
        case Lut():
            made = _table(op, first, options)
        case Relu():
            made = first if "missing" in options else np.maximum(first, 0)
        case Add():
            made = _add(op, first, rest[0], options)
        case Pool():
            made = _average(op, first, options)
        case _:
            raise ValueError(op.kind)
    if "arrange" in options:
        made = _moved(made, *options["arrange"])
    return _spoiled(made, options, rng)


def _moved(values: Int64, axis: int, index: npt.NDArray[np.int64]) -> Int64:
    return np.moveaxis(np.moveaxis(values, axis, -1)[..., index], -1, axis)


def _limited(values: Int64, bits: int, low: int, high: int, options: Options) -> Int64:
    if "wrap" in options:
        return wrapped(values, bits)
    low, high = options.get("limits", (low, high))
    return np.minimum(np.maximum(values, low), high)


def _requantised(op: Linear | Affine, x: Int64, options: Options) -> Int64:
    weight, bias, shift = (getattr(op, name).astype(np.int64) for name in ("weight", "bias", "shift"))
    bias, shift = bias.copy(), shift + options.get("shift_by", 0)
    if options.get("weights") == "transposed":
        weight = weight.T
    if options.get("weights") == "unsigned":
        weight = weight % (1 << op.weight_number.bits)
    weight = weight.copy()
    if "dropped" in options:
        weight[:, options["dropped"]] = 0
    if "borrowed" in options:
        bias = np.roll(bias, options["borrowed"])
    for name, array in (("weight_of", weight), ("bias_of", bias), ("shift_of", shift)):
        for place, value in options.get(name, {}).items():
            array[place] = value
    tokens = isinstance(op, Linear) and op.over is Axis.TOKENS
    x = np.swapaxes(x, -1, -2) if tokens else x
    acc = x @ weight.T if isinstance(op, Linear) else x * weight
    where = options.get("bias", "after")
    acc = acc + (bias if where == "accumulator" else bias << shift if where in ("before", "tflite") else 0)
    acc = wrapped(acc, options["acc_bits"]) if "acc_bits" in options else acc
    acc = acc % (1 << op.acc_bits) if "logical" in options else acc
    cut, rounding = np.minimum(options.get("first_cut", 0), shift), options.get("rounding", "half_up")
    if where == "tflite":
        half = rounded(acc / 2.0, "half_up")
        value = rounded(half / 2.0 ** (shift - 1), "half_away")
    elif "first_cut" in options:
        value = rounded(rounded(acc / 2.0**cut, rounding) / 2.0 ** (shift - cut), rounding)
    else:
        value = rounded(acc / 2.0**shift, rounding)
    value = np.maximum(value, 0) if "relu_before" in options else value
    value = value + bias if where == "after" else value
    value = _limited(value, op.out.bits, op.out.low, op.out.high, options)
    return np.swapaxes(value, -1, -2) if tokens else value


def _table(op: Lut, x: Int64, options: Options) -> Int64:
    table = op.table.astype(np.int64).copy()
    for place, value in options.get("entries", {}).items():
        table[place] = value
    if "resampled" in options:
        table = table[:, :: op.number.codes // options["resampled"]]
    edge = options.get("edge", "clamp" if "resampled" in options else str(op.rule))
    if "random" in options:
        anything: Int64 = np.asarray(options["random"], np.int64)[x - op.number.low]
        return anything
    if "end" in options:
        edge, table = "endpoint", np.concatenate([table, np.asarray(options["end"])[:, None]], axis=1)
    code = (x + options.get("offset", -op.number.low)) % op.number.codes
    channel = np.broadcast_to(np.arange(len(table)), code.shape)
    if edge == "full":
        entries: Int64 = table[channel, code]
        return entries
    points = table.shape[1] - (edge == "endpoint")
    step = op.number.codes // points
    segment, fraction = code // step + options.get("segment", 0), code % step
    if "fraction_bits" in options:
        coarse = step >> options["fraction_bits"]
        fraction = fraction // coarse * coarse
    if "fraction_signed" in options:
        fraction = np.where(fraction < step // 2, fraction, fraction - step)
    last = table.shape[1] - 1
    if edge == "clamp":
        segment = np.minimum(segment, points - 2)
    segment = np.minimum(np.maximum(segment, 0), last)
    lower: Int64 = table[channel, segment]
    if edge == "overrun":
        following = np.append(table.ravel(), 0)
        upper = following[channel * table.shape[1] + segment + 1]
    else:
        upper = table[channel, np.minimum(segment + 1, last)]
    if options.get("interpolate", True):
        return lower + rounded((upper - lower) * fraction / step, options.get("rounding", "half_up"))
    return lower


def _add(op: Add, x: Int64, r: Int64, options: Options) -> Int64:
    kept = options.get("kept", "both")
    total = x if kept == "first" else r if kept == "second" else x + options.get("residual", r)
    return _limited(total, op.out.bits, op.out.low, op.out.high, options)


def _average(op: Pool, x: Int64, options: Options) -> Int64:
    total = x.sum(axis=-2)
    total = wrapped(total, options["acc_bits"]) if "acc_bits" in options else total
    return rounded(total / (op.tokens * 2.0 ** options.get("shift_by", 0)), options.get("rounding", "half_up"))


def _spoiled(values: Int64, options: Options, rng: np.random.Generator) -> Int64:
    """Values of which some are late, or random."""
    if "bytes" in options:
        return wrapped(values % 256 * 256 + values // 256 % 256, 16)
    if "late" in options:
        flat = values.reshape(-1, values.shape[-1])
        late = np.flatnonzero(rng.random(len(flat)) < options["late"])
        late = late[late > 0]
        # One after another would repeat what is late already.
        late = late[np.diff(late, prepend=-1) > 1]
        spoiled = flat.copy()
        spoiled[late] = flat[late - 1]
        return spoiled.reshape(values.shape)
    if "noise" in options:
        return np.where(rng.random(values.shape) < options["noise"], rng.integers(-128, 128, values.shape), values)
    if "flips" in options:
        return np.where(rng.random(values.shape) < options["flips"], values ^ 1, values)
    return values
