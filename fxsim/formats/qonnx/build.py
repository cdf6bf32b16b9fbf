"""The integer graph of a QONNX model while it is put together: sums, thresholds, windows, near ties."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from fxsim.contract import CHANNEL, COLUMN, ROW, Number, Padding, Pair, Sign, Tensor, bits_needed, worst_case_sums
from fxsim.contract.number import BIPOLAR, INT8, INT16, INT32, UINT8
from fxsim.errors import ModelError
from fxsim.formats.qonnx.exact import Affine, Boundary, Clamp, Passed, Step, UndecidedError, passed, slope
from fxsim.formats.qonnx.order import reshapes
from fxsim.formats.qonnx.values import Array, Constant, Flow, NotTakenError
from fxsim.graph import INPUT, Graph, Node
from fxsim.graph.graph import VALUES_MAX
from fxsim.operators import Conv, MaxPool, Operator, Pad, SumPool, Threshold, WeightedAdd

AXES = (ROW, COLUMN, CHANNEL)
STEPS_MAX = 255
"""Most steps of a quantiser: 8 bits."""
TABLE_MAX = 1 << 20
"""Most thresholds of a quantiser, those of all channels together."""
NEAR = Fraction(1, 100_000)
"""A threshold this close to an integer, in steps of its quantiser, is listed: float32 may see it on the other side."""

FLOAT_BITS = 20
"""Most bits of the numerators of binary fractions with which float32 is taken to be exact."""

_ZERO, _ONE = Fraction(0), Fraction(1)


@dataclass(frozen=True)
class NearTie:
    """A threshold next to an integer: step 0 is a quantiser's first, `distance` in its steps."""

    node: str
    channel: int
    step: int
    integer: int
    distance: float

    def __str__(self) -> str:
        return f"{self.node} channel {self.channel} step {self.step} at {self.integer}: {self.distance:.2g}"


@dataclass(frozen=True)
class Product:
    """The parts of the sums of a product: the scale of its inputs, those of its weights, and its bias, by output.

    `codes`: the bias as the file has it, by output or one for all; None where it is of floats. `inside`: what the
    inputs' zero point adds to each sum, a whole number; None where it is none. `stream`: the sums.
    """

    scale: Fraction
    scales: list[Fraction]
    inside: list[int] | None
    bias: list[Fraction]
    codes: list[int] | None
    stream: Flow


@dataclass
class Builder:
    """Nodes in order, the input's tensor once it is known, tensors of the float graph by tap, and near ties.

    `near`: also how many pairs of codes of a sum of two are next to ties, in words. `products`: by tap; `added`: of a
    tap that is an Add or an AveragePool what its values are, which ONNX Runtime rounds with the zero point.
    `requantised`: how many results were brought to 8 bits by multipliers (True) and by thresholds.
    """

    nodes: list[Node] = field(default_factory=list)
    input: Tensor | None = None
    about_input: str = ""
    origins: dict[str, str] = field(default_factory=dict)
    near: list[NearTie | str] = field(default_factory=list)
    products: dict[str, Product] = field(default_factory=dict)
    added: dict[str, tuple[Step, ...]] = field(default_factory=dict)
    requantised: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    _counts: dict[str, int] = field(default_factory=dict)
    _values: int = 0

    def name(self, stem: str) -> str:
        """The next name of this kind: conv0, conv1, ..."""
        self._counts[stem] = self._counts.get(stem, -1) + 1
        return f"{stem}{self._counts[stem]}"

    def add(self, name: str, op: Operator, x: Flow, origin: str) -> tuple[str, Tensor]:
        """A node that reads a stream's tensor; its name and tensor. NotTakenError where the operator cannot take it."""
        assert x.tap is not None
        try:
            tensor = op.result(x.tensor)
        except ModelError as error:
            raise NotTakenError(str(error)) from None
        self._values += tensor.size
        if self._values > VALUES_MAX:
            raise NotTakenError(f"with it an image takes more than {VALUES_MAX:,} values")
        self.nodes.append(Node(name, op, (x.tap,)))
        self.origins[name] = origin
        return name, tensor

    def join(self, name: str, op: Operator, x: Flow, r: Flow, origin: str) -> tuple[str, Tensor]:
        """A node that reads two streams' tensors; its name and tensor. NotTakenError where it cannot take them."""
        assert x.tap is not None
        assert r.tap is not None
        try:
            tensor = op.result(x.tensor, r.tensor)
        except ModelError as error:
            raise NotTakenError(str(error)) from None
        self._values += tensor.size
        if self._values > VALUES_MAX:
            raise NotTakenError(f"with it an image takes more than {VALUES_MAX:,} values")
        self.nodes.append(Node(name, op, (x.tap, r.tap)))
        self.origins[name] = origin
        return name, tensor

    def graph(self) -> Graph:
        """The whole graph; ModelError where it may not exist."""
        if self.input is None or not self.nodes:
            raise ModelError("nothing quantises what the model reads")
        return Graph(self.input, self.nodes)

    # --- Order -------------------------------------------------------------------------------------------------------

    def picture(self, x: Flow, origin: str) -> Flow:
        """A stream whose tensor is the image that the file sees, [1, channel, row, column], brought to that order."""
        if x.tap is not None and x.index.ndim == 4 and len(x.index) == 1:
            x = self.arranged(x, x.index[0].transpose(1, 2, 0), origin)
            x = replace(x, index=x.index.reshape(x.tensor.shape).transpose(2, 0, 1)[None])
        x.image()
        return x

    def arranged(self, x: Flow, places: Array, origin: str) -> Flow:
        """A stream whose tensor has the value at places[row, column, channel] there; its index is as the tensor lies.

        NotTakenError where no exchange of axes gives that order, or what is done to the integers differs then.
        """
        if x.tap is None:
            raise NotTakenError("it reads the model's input before a quantiser, expected integers")
        flat = places.ravel()
        if places.shape == x.tensor.shape and np.array_equal(flat, np.arange(x.tensor.size)):
            return replace(x, index=places)
        x.plain()
        steps = tuple(_exchanged(step, places % x.channels) for step in x.steps)
        found = reshapes(places, x.tensor.shape) if len(np.unique(flat)) == len(flat) == x.tensor.size else None
        if found is None:
            raise NotTakenError(f"values of shape {x.index.shape} are in an order that no exchange of axes gives")
        for op in found:
            name, tensor = self.add(self.name("order"), op, x, f"{origin} in order")
            x = replace(x, tap=name, tensor=tensor)
        return replace(x, index=np.arange(x.tensor.size).reshape(x.tensor.shape), steps=steps)

    # --- Sums --------------------------------------------------------------------------------------------------------

    def product(
        self, x: Flow, weight: Constant, bias: Constant | None, origin: str, stride: Pair = (1, 1),
        padding: Padding = (0, 0, 0, 0), dilation: Pair = (1, 1), groups: int = 1,
    ) -> Flow:  # fmt: skip
        """The convolution of a stream's tensor with weights [output, row, column, channel]; its index is one place's.

        Where inputs have an offset, that of every output is a constant; around the image zeros must be zeros.
        """
        if x.ended:
            x.plain()
        if x.tap is None:
            raise NotTakenError("it reads the model's input before a quantiser, expected integers")
        padding = tuple(a + b for a, b in zip(padding, x.padding, strict=True))  # type: ignore[assignment]
        affine = x.affine("it")
        if len(set(affine.scale)) > 1:
            raise NotTakenError("its inputs have a scale for each channel, expected one for all")
        if any(padding) and any(affine.offset):
            x, padding = self._padded(x, affine, padding, origin), (0, 0, 0, 0)
        outputs = weight.shape[0]
        flat = weight.moved(lambda a: a.reshape(outputs, -1))
        integers = _integers(flat.array)
        known: dict[Fraction, int] = {}
        places = np.array([known.setdefault(number, len(known)) for number in flat.table])[flat.place]
        if (places != places[:, :1]).any():
            raise NotTakenError("its weights have a scale for each input, expected one for each output")
        numbers = list(known)
        scales = [numbers[p] for p in places[:, 0].tolist()]
        share = outputs // groups if groups else 0
        each = weight.shape[3]
        totals = integers.reshape(weight.shape).sum(axis=(1, 2))  # [output, channel of the group]
        added = [Fraction(v) for v in bias.fractions()] if bias is not None else [_ZERO]
        if len(added) not in (1, outputs):
            raise NotTakenError(f"its bias has {len(added)} numbers, expected {outputs}")
        offsets, insides = [], []
        for o in range(outputs):
            first = (o // share) * each if share else 0
            inside = sum(
                (int(totals[o, c]) * affine.of(first + c)[1] for c in range(each) if affine.of(first + c)[1]), _ZERO
            )
            insides.append(inside)
            offsets.append(scales[o] * inside + added[o if len(added) > 1 else 0])
        shaped = integers.reshape(weight.shape)
        low, high = worst_case_sums(shaped.reshape(outputs, -1), x.tensor.number)
        out = _sum_number(int(low.min()), int(high.max()))

        def convolved(part: Array, what: str) -> tuple[str, Tensor]:
            kernel = part.astype(np.int8)
            op = _made(lambda: Conv(kernel, stride, padding, dilation, groups, _weight_number(kernel), out))
            return self.add(self.name("conv"), op, x, what)

        if shaped.min() >= INT8.low and shaped.max() <= INT8.high:
            name, tensor = convolved(shaped, origin)
        else:
            # Weights of 9 bits, which those without a sign are less their zero point: their halves, and what is left.
            halves = np.trunc(shaped / 2).astype(np.int64)
            made = convolved(halves, origin), convolved(shaped - 2 * halves, origin)
            part, rest = (replace(x, tap=n, tensor=t) for n, t in made)
            twice = np.repeat(np.array([[2], [1]], np.int16), outputs, axis=1)
            add = _made(lambda: WeightedAdd(twice, np.zeros(outputs, np.uint8), 2 + INT32.bits, out))
            name, tensor = self.join(self.name("add"), add, part, rest, origin)
        # The least and greatest that inputs can give, of which formats may have more.
        low, high = _sums(shaped.reshape(outputs, -1), x.low, x.high, any(padding))
        steps = Affine(tuple(s * affine.scale[0] for s in scales), tuple(offsets))
        index = np.arange(tensor.size).reshape(tensor.shape).transpose(2, 0, 1)[None]
        found = Flow(name, tensor, int(low.min()), int(high.max()), index, (steps,))
        stated = bias.array if bias is not None else np.zeros(1, np.int64)
        codes = stated.ravel().tolist() if stated.dtype.kind in "iu" else None
        self.products[name] = Product(affine.scale[0], scales, _whole(insides, affine.scale[0]), added, codes, found)
        return found

    def _padded(self, x: Flow, affine: Affine, padding: Padding, origin: str) -> Flow:
        """An image with its zero around it, which is no 0 of its integers: its zero point."""
        zeros = [-affine.of(c)[1] / affine.of(c)[0] for c in range(x.channels)]
        if any(zero.denominator != 1 or abs(zero) > INT32.high for zero in zeros):
            raise NotTakenError("it pads an image whose zero is no integer of its scale: needs a whole zero point")
        value = np.array([int(zero) for zero in zeros], np.int32)
        op = _made(lambda: Pad(value, padding))
        name, tensor = self.add(self.name("pad"), op, x, f"{origin}, padded")
        low, high = min(x.low, int(value.min())), max(x.high, int(value.max()))
        return replace(x, tap=name, tensor=tensor, low=low, high=high, padding=(0, 0, 0, 0))

    # --- Windows -----------------------------------------------------------------------------------------------------

    def greatest(self, x: Flow, kernel: Pair, stride: Pair, origin: str) -> Flow:
        """The greatest of each window. What is done to the integers must keep their order."""
        x.plain()
        if x.tap is None:
            raise NotTakenError("it reads the model's input before a quantiser, expected integers")
        if any(isinstance(step, Affine) and min(step.scale) < 0 for step in x.steps):
            raise NotTakenError("a scale before it is negative, so that the greatest is the least integer")
        op = _made(lambda: MaxPool(kernel, stride))
        name, tensor = self.add(self.name("pool"), op, x, origin + _moved(x))
        index = np.arange(tensor.size).reshape(tensor.shape).transpose(2, 0, 1)[None]
        return replace(x, tap=name, tensor=tensor, index=index)

    def total(self, x: Flow, kernel: Pair, stride: Pair, origin: str) -> Flow:
        """The mean of each window: its sum, and the number of values into the scale."""
        x.plain()
        if x.tap is None:
            raise NotTakenError("it reads the model's input before a quantiser, expected integers")
        affine, count = x.affine("it"), kernel[0] * kernel[1]
        low, high = (count * end for end in (x.tensor.number.low, x.tensor.number.high))
        op = _made(lambda: SumPool(kernel, stride, out=_sum_number(low, high)))
        name, tensor = self.add(self.name("sum"), op, x, origin)
        index = np.arange(tensor.size).reshape(tensor.shape).transpose(2, 0, 1)[None]
        steps = Affine(tuple(s / count for s in affine.scale), affine.offset)
        return replace(x, tap=name, tensor=tensor, low=count * x.low, high=count * x.high, index=index, steps=(steps,))

    def sum_of(self, x: Flow, r: Flow, origin: str) -> Flow:
        """The sum of two streams: integers times the parts of a common scale, where both have one scale for all."""
        x.plain()
        r.plain()
        if x.tap is None or r.tap is None:
            raise NotTakenError("it reads the model's input before a quantiser, expected integers")
        first, second = x.affine("it"), r.affine("it")
        if len(set(first.scale)) > 1 or len(set(second.scale)) > 1:
            raise NotTakenError("an input has a scale for each channel, expected one for all")
        if x.index.shape == r.index.shape and (x.tensor.shape != r.tensor.shape or (x.index != r.index).any()):
            x, r = (self.picture(stream, origin) for stream in (x, r))
            first, second = x.affine("it"), r.affine("it")
        if x.tensor.shape != r.tensor.shape or x.index.shape != r.index.shape or (x.index != r.index).any():
            raise NotTakenError(f"its inputs, {x.tensor.shape} and {r.tensor.shape}, do not lie alike")
        a, b = first.scale[0], second.scale[0]
        unit = Fraction(
            math.gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator
        )
        if not unit or max(abs(a / unit), abs(b / unit)) > INT16.high:
            # Their quantiser may still part all pairs exactly.
            return replace(x, tap=None, parts=(x, r))
        parts = int(a / unit), int(b / unit)
        ends = [sorted((p * n.low, p * n.high)) for p, n in zip(parts, (x.tensor.number, r.tensor.number), strict=True)]
        low, high = ends[0][0] + ends[1][0], ends[0][1] + ends[1][1]
        number = _sum_number(low, high)
        if number.bits > INT16.bits:
            raise NotTakenError("its sums need more than 16 bits")
        weight = np.repeat(np.array(parts, np.int16)[:, None], x.channels, axis=1)
        op = _made(lambda: WeightedAdd(weight, np.zeros(x.channels, np.uint8), out=number))
        name, tensor = self.join(self.name("add"), op, x, r, origin)
        count = max(len(first.offset), len(second.offset))
        offsets = tuple(first.of(c)[1] + second.of(c)[1] for c in range(count))
        steps = Affine((unit,) * count, offsets)
        return replace(x, tap=name, tensor=tensor, low=low, high=high, steps=(steps,))

    # --- Thresholds --------------------------------------------------------------------------------------------------

    def steps(
        self, x: Flow, boundaries: list[list[Boundary]], unit: list[Fraction], levels: list[int], number: Number,
        value: Affine, origin: str, joined: bool = False,
    ) -> Flow:  # fmt: skip
        """The number of boundaries [channel or one for all][step] that values are beyond, as levels of a format.

        `unit`: a step of the quantiser, by channel or for all; `value`: what the levels stand for in the float graph.
        Where the stream is the model's input, that is of these levels from here on. `joined`: ONNX Runtime divides the
        scales first, so that a tie is exact in float32 only where their quotients are.
        """
        x.plain()
        after_steps = replace(x, low=min(levels), high=max(levels), steps=() if _same(value) else (value,))
        if x.tap is None:
            if self.input is not None:
                raise NotTakenError("it is the second that quantises the model's input")
            self.input = Tensor(AXES, x.tensor.shape, number)
            done = "; ".join(map(_words, x.steps)) or "nothing is done to it first"
            self.about_input = (
                f"levels {min(levels)} to {max(levels)} of the quantiser that gives '{origin}', which whoever feeds "
                f"the model computes ({done})"
            )
            return replace(after_steps, tap=INPUT, tensor=self.input)
        if len(levels) - 1 > STEPS_MAX:
            raise NotTakenError(
                f"it has {len(levels) - 1:,} steps, expected at most {STEPS_MAX}: needs a shift or multiplier"
            )
        if x.channels * (len(levels) - 1) > TABLE_MAX:
            raise NotTakenError(f"it has more than {TABLE_MAX:,} thresholds, those of all channels together")
        name = self.name("quant")
        count = 1 if _uniform(x, boundaries) else x.channels
        rows, rising = [], []
        for channel in range(count):
            own = boundaries[channel if len(boundaries) > 1 else 0]
            try:
                found = [passed(x.steps, channel, boundary) for boundary in own]
            except UndecidedError:
                where = f"a threshold of channel {channel}"
                raise NotTakenError(f"{where} is within 2^-100 of an integer: cannot be decided") from None
            up = all(p.rising for p in found if p.at is not None)
            rows.append([_kept(p, up, x) for p in found])
            rising.append(int(up))
            self._list_near(name, x, channel, own, found, unit[channel if len(unit) > 1 else 0], count, joined)
        thresholds = np.array(rows, np.int64)
        if count == 1:
            thresholds, rising = np.repeat(thresholds, x.channels, axis=0), rising * x.channels
        op = Threshold(thresholds.astype(np.int32), np.array(rising, np.uint8), np.array(levels, number.dtype), number)
        name, tensor = self.add(name, op, x, origin)
        return replace(after_steps, tap=name, tensor=tensor)

    def _list_near(
        self, name: str, x: Flow, channel: int, own: list[Boundary], found: list[Passed], unit: Fraction, count: int,
        joined: bool,
    ) -> None:  # fmt: skip
        scale = abs(slope(x.steps, channel))
        for step, (boundary, p) in enumerate(zip(own, found, strict=True)):
            if p.at is None:
                continue
            nearest = round(p.at)
            distance = abs(p.at - nearest) * scale / unit
            if distance >= NEAR or not x.low <= nearest <= x.high:
                continue
            if distance == 0 and _exact_in_float(x, channel, boundary, nearest, unit if joined else _ONE):
                continue
            for c in range(x.channels) if count == 1 else (channel,):
                self.near.append(NearTie(name, c, step, nearest, float(distance)))


def number_of(integers: set[int]) -> Number:
    """The narrowest format that holds some integers: bipolar for -1 and 1, without sign where none is negative."""
    if integers <= {-1, 1}:
        return BIPOLAR
    if min(integers) < 0:
        return Number(max(2, bits_needed(min(integers), max(integers))))
    return Number(max(1, max(integers).bit_length()), Sign.UNSIGNED)


def _exchanged(step: Step, channels: Array) -> Step:
    """A step of each channel where channels [row, column, channel] were others; NotTakenError where it then differs."""
    if isinstance(step, Clamp):
        return step
    if len(set(step.scale)) == len(set(step.offset)) == 1:
        return Affine(step.scale[:1], step.offset[:1])
    own = channels.reshape(-1, channels.shape[-1])
    if (own != own[0]).any():
        raise NotTakenError("its channels, which have a scale or an offset each, become rows or columns")
    pairs = [step.of(c) for c in own[0].tolist()]
    return Affine(tuple(scale for scale, _ in pairs), tuple(offset for _, offset in pairs))


def _moved(x: Flow) -> str:
    """The number that is added to codes of the file where they are kept as others, in words."""
    if len(x.steps) != 1 or not isinstance(x.steps[0], Affine):
        return ""
    affine = x.steps[0]
    if set(affine.scale) != {_ONE} or len(set(affine.offset)) != 1 or affine.offset[0].denominator != 1:
        return ""
    return f" + {-int(affine.offset[0])}"


def _whole(numbers: list[Fraction], unit: Fraction) -> list[int] | None:
    """Numbers in a unit, where all are whole numbers of it."""
    found = [number / unit for number in numbers]
    return [int(number) for number in found] if all(number.denominator == 1 for number in found) else None


def _made(make: Callable[[], Operator]) -> Operator:
    """An operator; NotTakenError where it may not exist."""
    try:
        return make()
    except ModelError as error:
        raise NotTakenError(str(error)) from None


def _sum_number(low: int, high: int) -> Number:
    """The format of sums from low to high, which stay clear of the ends of 32 bits; NotTakenError beyond."""
    if low <= INT32.low or high >= INT32.high:
        raise NotTakenError("its sums need more than 32 bits")
    return INT16 if bits_needed(low, high) <= INT16.bits else INT32


def _same(value: Affine) -> bool:
    return set(value.scale) == {_ONE} and set(value.offset) == {_ZERO}


def _uniform(x: Flow, boundaries: list[list[Boundary]]) -> bool:
    """Whether all channels have the same boundaries and steps."""
    return len(boundaries) == 1 and all(isinstance(s, Clamp) or len(s.scale) == 1 for s in x.steps)


def _kept(p: Passed, up: bool, x: Flow) -> int:
    """A threshold of int32 that no value of the tensor tells from the one found: sums never reach the ends of int32."""
    low, high = max(x.tensor.number.low, INT32.low + 1), min(x.tensor.number.high, INT32.high - 1)
    if p.at is None:
        return (low if p.always else high + 1) if up else (high if p.always else low - 1)
    return max(low, min(high + 1, p.least)) if up else max(low - 1, min(high, p.least))


def _exact_in_float(x: Flow, channel: int, boundary: Boundary, integer: int, unit: Fraction) -> bool:
    """Whether float32 computes a tie as it is: every number on the way, also in `unit`, is a short binary fraction."""
    value = Fraction(integer)
    numbers = [boundary.value, value]
    for step in x.steps:
        if isinstance(step, Affine):
            scale, offset = step.of(channel)
            value = value * scale + offset
            numbers += [scale, offset, value, scale / unit, offset / unit]
    return all(
        n.denominator & (n.denominator - 1) == 0 and abs(n.numerator).bit_length() <= FLOAT_BITS for n in numbers
    )


def _integers(array: Array) -> Array:
    """The integers of an array of weights; NotTakenError where they are none, or beyond 9 bits with a sign."""
    rounded = np.round(array) if array.dtype.kind == "f" else array
    if (rounded != array).any():
        raise NotTakenError("its weights are no integers and no Quant gives them, expected integers times a scale")
    if array.size == 0 or array.min() < -UINT8.high or array.max() > UINT8.high:
        raise NotTakenError("its weights are beyond -255 to 255, which is what 8 bits less a zero point come to")
    return rounded.astype(np.int64)


def _weight_number(weight: Array) -> Number:
    number = number_of(set(np.unique(weight).tolist()))
    return number if number.signed else Number(number.bits + 1)


def _sums(weight: Array, low: int, high: int, padded: bool) -> tuple[Array, Array]:
    """Least and greatest sum of inputs from low to high, 0 among them where an image is padded."""
    if padded:
        low, high = min(low, 0), max(high, 0)
    w = weight.astype(np.int64)
    up, down = np.maximum(w, 0).sum(axis=1), np.minimum(w, 0).sum(axis=1)
    return up * low + down * high, up * high + down * low


def _words(step: Affine | Clamp) -> str:
    """A step in words."""
    if isinstance(step, Clamp):
        ends = [f"at least {float(step.low):g}"] if step.low is not None else []
        ends += [f"at most {float(step.high):g}"] if step.high is not None else []
        return " and ".join(ends)
    if len(step.scale) > 1:
        return "times a scale and plus an offset for each channel"
    return f"times {float(step.scale[0]):.9g}, plus {float(step.offset[0]):.9g}"
