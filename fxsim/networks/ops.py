"""Networks of operators, each on real values in float32, on codes exactly, and as an operator of the contract.

`OpNetwork` computes a list of `Op`s in all of these ways and exports them; a network of a kind adds its operators.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from torch import Tensor, nn

from fxsim.contract import CHANNEL, COLUMN, INT8_MAX, INT8_MIN, ROW, Number, Rounding, bits_needed
from fxsim.contract import Tensor as Shape
from fxsim.contract.arithmetic import Integers
from fxsim.contract.number import INT8
from fxsim.errors import ModelError, StimulusError
from fxsim.graph import INPUT, Graph, Node
from fxsim.networks.quantised import Arithmetic, Kind, Slot, learnt_step
from fxsim.operators import Lut, Matmul, Operator, Rescale


class _As(torch.autograd.Function):
    """The second argument, with the gradient of a multiple of the first."""

    @staticmethod
    def forward(ctx: Any, _v: Tensor, value: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return value

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        return gradient * ctx.factor, None, None


def straight_through(v: Tensor, value: Tensor, factor: float = 1.0) -> Tensor:
    """The value, with the gradient of a multiple of `v`."""
    y: Tensor = _As.apply(v, value, factor)  # type: ignore[no-untyped-call]
    return y


def rounded(v: Tensor, step: float, number: Number) -> Tensor:
    """`v` to the nearest multiple of `step`, ties to even, codes clamped; the gradient passes inside the range."""
    code = (v / step).clamp(number.low, number.high)
    return straight_through(code, torch.round(code.detach())) * step


def whole(v: Tensor) -> Any:
    """Whole numbers of a tensor, as an int64 array."""
    return v.detach().cpu().numpy().astype(np.int64)


class Op(nn.Module):
    """One operator: on real values in float32, with gradients; on codes, exactly; and as an operator of the contract.

    `out`: the format of its codes; `step`: of its result; `rounds`: whether its real values are rounded to codes.
    """

    kind: Kind
    out: Number
    step: float | Tensor = 1.0
    rounds = False

    def real(self, *x: Tensor) -> Tensor:
        """Real values of the result before it is rounded, float32 [n, row, column, channel]."""
        raise NotImplementedError

    def quantised(self, v: Tensor) -> Tensor:
        """Real values to the nearest multiple of the step, ties to even, codes clamped; with gradients."""
        assert isinstance(self.step, float)
        return rounded(v, self.step, self.out)

    def exact(self, *x: Tensor) -> Tensor:
        """The result in codes before it is rounded and saturated, of codes; float64 that loses nothing."""
        raise NotImplementedError

    def operator(self) -> Operator:
        """The operator of the contract."""
        raise NotImplementedError


def convolve(x: Tensor, weight: Tensor, padding: int = 0, stride: int = 1, groups: int = 1) -> Tensor:
    """Sums of products of [n, row, column, channel] with [N, C of a group, rows, columns]; zeros around."""
    return F.conv2d(x.permute(0, 3, 1, 2), weight, padding=padding, stride=stride, groups=groups).permute(0, 2, 3, 1)


Log2 = Callable[[], Tensor]
"""Gives log2 of a step, a whole number; float32, a scalar or one a channel; with gradients."""


class PowerOp(Op):
    """An operator whose step is 2^k; `plain`: what it gives with nothing quantised."""

    log2: Log2

    @property
    def step(self) -> Tensor:  # type: ignore[override]  # learnt here
        """The step of its result."""
        return torch.exp2(self.log2())

    def quantised(self, v: Tensor) -> Tensor:
        """Real values to multiples of the step, whose gradient is LSQ's."""
        return learnt_step(v, self.step, v.shape[1:].numel(), self.out.low, self.out.high)

    def plain(self, *x: Tensor) -> Tensor:
        """Real values of the result with nothing quantised, float32."""
        return self.real(*x)


class Shifted(PowerOp):
    """The input over 2^`factor`, as codes of another step, by a shift; of a format without a sign, a ReLU too."""

    kind = Kind.RESCALE
    rounds = True

    def __init__(self, channels: int, x: Log2, y: Log2, factor: int, out: Number) -> None:
        super().__init__()
        self.channels, self.x, self.log2, self.factor, self.out = channels, x, y, factor, out

    def real(self, *x: Tensor) -> Tensor:
        """Quotients in float32."""
        return x[0] * 2.0**-self.factor

    def plain(self, *x: Tensor) -> Tensor:
        """Quotients, and the ReLU."""
        return self.real(*x) if self.out.signed else F.relu(self.real(*x))

    def _shift(self) -> int:
        return round(float(self.log2() - self.x())) + self.factor

    def exact(self, *x: Tensor) -> Tensor:
        """Codes over 2^shift."""
        return x[0] / (1 << self._shift())

    def operator(self) -> Operator:
        """A rescale by a shift."""
        return shifts(np.full(self.channels, self._shift()), np.zeros(self.channels, np.int8), self.out)


def shifts(shift: Integers, bias: Integers, out: Number) -> Rescale:
    """The shift finisher as a rescale: x over 2^shift, ties up, and the bias; of each channel, saturated to `out`."""
    count = len(shift)
    nothing, ones = np.zeros(count, np.int32), np.ones(count, np.int32)
    return Rescale(nothing, ones, shift.astype(np.uint8), bias, Rounding.HALF_UP, 33, out)


class Product(PowerOp):
    """Sums of products of two tensors, head by head; see `fxsim.operators.Matmul`.

    `steps`, `numbers`: log2 of the step of each, and a format that holds it.
    """

    kind = Kind.MATMUL

    def __init__(
        self, heads: int, terms: int, transposed: bool, steps: tuple[Log2, Log2], numbers: tuple[Number, Number]
    ) -> None:
        super().__init__()
        self.heads, self.terms, self.transposed = heads, terms, transposed
        self.log2 = lambda: steps[0]() + steps[1]()
        ends = [a * b for a in (numbers[0].low, numbers[0].high) for b in (numbers[1].low, numbers[1].high)]
        self.out = Number(bits_needed(terms * min(ends), terms * max(ends)))

    def real(self, *x: Tensor) -> Tensor:
        """Sums in float32, or float64 of such."""
        n, rows, columns, _ = x[0].shape
        a, b = (
            part.reshape(n, -1, self.heads, part.shape[-1] // self.heads).transpose(1, 2) for part in x
        )  # [n, head, place, channel of the head]
        y = a @ (b.transpose(2, 3) if self.transposed else b)
        return y.transpose(1, 2).reshape(n, rows, columns, -1)

    exact = real

    def operator(self) -> Operator:
        """A matmul."""
        return Matmul(self.heads, self.terms, self.transposed, self.out)


class OpNetwork(nn.Module):
    """A network of operators on pictures of `size` x `size` pixels of `colours`, as int8 codes of a step.

    Modules are named after taps, with '.' as '_'. An operator that is added for several taps has its parameters once.
    """

    tables = None

    def __init__(self, size: int, colours: int, input_step: float) -> None:
        super().__init__()
        self.size, self.colours, self.input_step = size, colours, input_step
        self._inputs: dict[str, tuple[str, ...]] = {}
        self._op: dict[str, Op] = {}
        self.ops = nn.ModuleDict()

    def add(self, tap: str, op: Op, *inputs: str) -> str:
        """Add an operator, or one that is there already at another tap; returns the tap."""
        if all(op is not other for other in self._op.values()):
            self.ops[tap.replace(".", "_")] = op
        self._op[tap] = op
        self._inputs[tap] = inputs
        return tap

    @property
    def slots(self) -> tuple[Slot, ...]:
        """Every operator, in the order data takes."""
        return tuple(Slot(tap, self.op(tap).kind, inputs, tap, "", ()) for tap, inputs in self._inputs.items())

    def op(self, tap: str) -> Op:
        """The operator of a tap."""
        return self._op[tap]

    def inputs(self, tap: str) -> tuple[str, ...]:
        """The taps that a tap's operator reads."""
        return self._inputs[tap]

    @property
    def taps(self) -> tuple[str, ...]:
        """Every tap's name, in the order data takes."""
        return tuple(self._inputs)

    def table_taps(self) -> tuple[str, ...]:
        """Taps of functions that are exported as tables."""
        return tuple(tap for tap in self.taps if self.op(tap).kind is Kind.TABLE)

    def full_tables(self) -> dict[str, Integers]:
        """Every function's value at each of its input's codes, [channel, code], by tap."""
        operators = ((tap, self.op(tap).operator()) for tap in self.table_taps())
        return {tap: operator.table for tap, operator in operators if isinstance(operator, Lut)}

    def step(self, tap: str) -> Tensor:
        """The step of a tap's values, or of the input's: float32, a scalar or one a channel."""
        return torch.as_tensor(self.input_step if tap == INPUT else self.op(tap).step)

    # --- in float32 ---

    def forward(self, x: Tensor) -> Tensor:
        """Scores [n, classes] of tokens, float32 [n, size * size, colours]; differentiable.

        Of a folded network bit for bit what `run_taps` gives under `FLOAT` at the last tap, times the step.
        """
        x = x.view(-1, self.size, self.size, self.colours)
        values = {INPUT: rounded(x, self.input_step, INT8)}
        for tap, inputs in self._inputs.items():
            op = self.op(tap)
            v = op.real(*(values[name] for name in inputs))
            values[tap] = op.quantised(v) if op.rounds else v
        return values[self.taps[-1]].flatten(1)

    # --- in codes ---

    @torch.no_grad()
    def input_codes(self, x: Tensor) -> Tensor:
        """Tokens, float32, as int8 codes [n, row, column, colour]: x / step, ties to even, clamped."""
        x = x.view(-1, self.size, self.size, self.colours)
        return torch.round(x / self.step(INPUT)).clamp(INT8_MIN, INT8_MAX).to(torch.int8)

    @torch.no_grad()
    def run_taps(self, codes: Tensor, arithmetic: Arithmetic, taps: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Codes of the named taps (by default all) for input codes, int8 [n, row, column, colour]; float64.

        StimulusError where there is no such tap.
        """
        wanted = self.taps if taps is None else tuple(taps)
        for tap in wanted:
            if tap not in self._inputs:
                raise StimulusError(f"the network has no tap '{tap}'; it has: {', '.join(self.taps)}")
        values = {INPUT: codes.double()}
        for tap, inputs in self._inputs.items():
            values[tap] = self.operator(tap, tuple(values[name] for name in inputs), arithmetic)
        return {tap: values[tap] for tap in wanted}

    @torch.no_grad()
    def operator(self, tap: str, inputs: tuple[Tensor, ...], arithmetic: Arithmetic) -> Tensor:
        """One operator on codes, float64; its result's codes, float64."""
        op, v = self.op(tap), self.unrounded(tap, inputs, arithmetic)
        code = torch.round(v) if arithmetic.ties == "even" else torch.floor(v + 0.5)
        if op.kind is Kind.ADD and arithmetic.saturation == "late":
            return code
        return code.clamp(op.out.low, op.out.high)

    @torch.no_grad()
    def unrounded(self, tap: str, inputs: tuple[Tensor, ...], arithmetic: Arithmetic) -> Tensor:
        """The result of `operator` before it is rounded and saturated, in units of the tap's step, float64."""
        op = self.op(tap)
        if arithmetic.tables == "stored" if op.kind is Kind.TABLE else arithmetic.sums == "exact":
            return op.exact(*inputs)
        steps = (self.step(name) for name in self._inputs[tap])
        real = (x.float() * step for x, step in zip(inputs, steps, strict=True))
        return (op.real(*real) / self.step(tap)).double()

    # --- export ---

    @torch.no_grad()
    def graph(self) -> Graph:
        """The integer graph, of int8 pictures [row, column, colour]. ModelError where a parameter is not finite."""
        for key, parameter in self.named_parameters():
            if not bool(parameter.isfinite().all()):
                raise ModelError(f"parameter '{key}' has values that are not finite")
        image = Shape((ROW, COLUMN, CHANNEL), (self.size, self.size, self.colours), INT8)
        made = {id(op): op.operator() for op in self._op.values()}
        return Graph(image, [Node(tap, made[id(self.op(tap))], inputs) for tap, inputs in self._inputs.items()])
