"""The quantised ResMLP: the operators of the integer graph on float parameters, in any of several arithmetics.

Every tensor has one step; a value is its code (an int8) times the step. Tensors that meet at an `add` share a step, and
so does whatever only passes values on (relu, pool). A weight's step follows from those of its operator's input and
output and the row's shift, w_step[n] = y_step * 2^-shift[n] / x_step, so that the integer requantisation is a shift.

Training and the customary fake-quant compute in float32 with ties to even (`FLOAT`); the integer model computes by the
contract (`CONTRACT`). The two differ in four rules, each of which can be switched by itself: see `Arithmetic`.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from msgspec import Meta, Struct
from torch import Tensor, nn

from fxsim.contract import INT8_MAX, INT8_MIN, TABLE_POINTS, TableRule, stored_points
from fxsim.contract.arithmetic import Int8
from fxsim.errors import ModelError, StimulusError
from fxsim.families import resmlp_slots
from fxsim.graph import INPUT
from fxsim.networks.resmlp import Activation, Affine, NetworkConfig
from fxsim.operators import Add, Axis, Linear, Lut, Pool, Relu
from fxsim.operators import Affine as AffineOperator
from fxsim.tables.points import PointMethod, compress_tables

SHIFT_LIMIT = 24
"""Largest shift that is chosen: a row that would need a larger one is zero in all but name."""

LOG_STEP_LIMIT = 48
"""Steps are within 2^-48 and 2^48: with any shift, no step of weights then leaves float32."""


@dataclass(frozen=True)
class Arithmetic:
    """The one of two rules that is followed, for each rule in which float fake-quant and the integer contract differ.

    `ties`: what lies halfway between two codes goes to the even one, or up. `sums`: products are summed as float32 of
    real values, or as exact integers. `saturation`: an `add` may leave int8 until the next operator's result is
    quantised (`late`), or saturates like every operator (`every`). `tables`: an activation evaluates its function, or
    reads the stored points that are exported.
    """

    ties: Literal["even", "up"]
    sums: Literal["float32", "exact"]
    saturation: Literal["late", "every"]
    tables: Literal["function", "stored"]


FLOAT = Arithmetic("even", "float32", "late", "function")
"""The customary fake-quant of quantisation-aware training."""

CONTRACT = Arithmetic("up", "exact", "every", "stored")
"""The arithmetic of the integer model, value for value."""


class TableFormat(Struct, frozen=True, forbid_unknown_fields=True):
    """The form in which tables are stored: P `points`, the edge rule, and how the points are chosen."""

    points: Annotated[int, Meta(ge=4, le=256)]
    rule: TableRule
    method: PointMethod

    def __post_init__(self) -> None:
        legal = TABLE_POINTS[-1:] if self.rule is TableRule.FULL else TABLE_POINTS
        if self.points not in legal:
            expected = ", ".join(map(str, legal))
            raise ModelError(f"tables have {self.points} points under rule '{self.rule}', expected {expected}")


class Kind(StrEnum):
    """The kind of an operator."""

    LINEAR = "linear"
    LINEAR_TOKENS = "linear over tokens"
    AFFINE = "affine"
    RELU = "relu"
    TABLE = "table"
    ADD = "add"
    POOL = "pool"
    CONV = "conv"
    MAX_POOL = "max pool"
    THRESHOLD = "threshold"
    ENCODE = "encode"
    MULTIPLY_ADD = "multiply and add"
    WEIGHTED_ADD = "weighted add"
    PRELU = "prelu"
    GATE = "gate"
    SUM_POOL = "sum pool"
    RESCALE = "rescale"
    POSITION = "position"
    MATMUL = "matmul"
    FLATTEN = "flatten"
    RESHAPE = "reshape"


class ShiftRule(StrEnum):
    """The rule for a row's shift, from its weights: the step that just holds the largest weight, as a power of two."""

    FLOOR = "floor"
    """The largest shift that clips no weight (at 0 some may be)."""
    ROUND = "round"
    """The nearest, in octaves: rows in the upper half of an octave clip their largest weights."""
    LEAST_SQUARES = "least-squares"
    """The floor or the next, whichever has the smaller sum of squared weight errors."""


@dataclass(frozen=True)
class Slot:
    """One operator: its tap's name, its inputs' taps, and the tap that its result shares its step with.

    `role` and `shape`: as in the family's slot.
    """

    tap: str
    kind: Kind
    inputs: tuple[str, ...]
    step: str
    role: str
    shape: tuple[int, ...]


_KINDS = {
    (Linear, Axis.CHANNELS): Kind.LINEAR,
    (Linear, Axis.TOKENS): Kind.LINEAR_TOKENS,
    (AffineOperator, Axis.CHANNELS): Kind.AFFINE,
    (Relu, Axis.CHANNELS): Kind.RELU,
    (Lut, Axis.CHANNELS): Kind.TABLE,
    (Add, Axis.CHANNELS): Kind.ADD,
    (Pool, Axis.CHANNELS): Kind.POOL,
}


def slots(config: NetworkConfig) -> Iterator[Slot]:
    """Every operator in the order data takes: the family's, each with its step."""
    network = tuple(resmlp_slots(config, psa=config.activation is not Activation.RELU))
    joined = {source: slot.name for slot in network if slot.op is Add for source in slot.inputs}
    steps: dict[str, str] = {}
    for slot in network:
        passes_on = slot.op in (Relu, Pool)
        steps[slot.name] = steps[slot.inputs[0]] if passes_on else joined.get(slot.name, slot.name)
        kind = _KINDS[slot.op, slot.over]
        yield Slot(slot.name, kind, slot.inputs, steps[slot.name], slot.role, slot.shape)


class _Round(torch.autograd.Function):
    """Rounds, ties to even; the gradient passes straight through."""

    @staticmethod
    def forward(_ctx: Any, v: Tensor) -> Tensor:
        return torch.round(v)

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


class _ScaleGradient(torch.autograd.Function):
    """The identity, with its gradient multiplied by a constant."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return v.view_as(v)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.factor, None


def _fake_quantise(v: Tensor, step: Tensor, values: int, saturate: bool = True) -> Tensor:
    """`v` rounded to a multiple of `step`, ties to even, codes clamped to int8; see `learnt_step`."""
    return learnt_step(v, step, values, INT8_MIN, INT8_MAX, saturate)


def learnt_step(v: Tensor, step: Tensor, values: int, low: int, high: int, saturate: bool = True) -> Tensor:
    """`v` rounded to a multiple of `step`, ties to even, codes clamped to `low` to `high`.

    A learnt step size (Esser et al., ICLR 2020): inside the range the step's gradient is code - v / step, outside the
    bound; scaled by 1 / sqrt(values * high), where `values` share the step.
    """
    step = _ScaleGradient.apply(step, (values * high) ** -0.5)  # type: ignore[no-untyped-call]
    code = v / step
    if saturate:
        code = code.clamp(low, high)
    quantised: Tensor = _Round.apply(code) * step  # type: ignore[no-untyped-call]
    return quantised


class Weighted(nn.Module):
    """Parameters of a linear (`weight` [N, K]) or an affine ([C]); `bias`, `shift` of its outputs."""

    shift: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape))
        self.bias = nn.Parameter(torch.zeros(shape[0]))
        self.register_buffer("shift", torch.zeros(shape[0], dtype=torch.uint8))

    def weight_step(self, x_step: Tensor, y_step: Tensor, shift: Tensor | None = None) -> Tensor:
        """Step of each row's weights, float32 [N], shaped to multiply `weight`; for other shifts, where given."""
        step = y_step * torch.exp2(-(self.shift if shift is None else shift).float()) / x_step
        return step.view(-1, *(1,) * (self.weight.ndim - 1))

    def codes(self, x_step: Tensor, y_step: Tensor) -> tuple[Tensor, Tensor]:
        """Weights and biases as the integers, float32, that the integer model has."""
        weight = torch.round(self.weight / self.weight_step(x_step, y_step)).clamp(INT8_MIN, INT8_MAX)
        return weight, torch.round(self.bias / y_step).clamp(INT8_MIN, INT8_MAX)

    @torch.no_grad()
    def choose_shift(self, x_step: Tensor, y_step: Tensor, rule: ShiftRule) -> None:
        """Set every row's shift from its weights, 0 to `SHIFT_LIMIT`; a row of zeros gets 0."""
        largest = self.weight.abs().view(len(self.weight), -1).amax(dim=1).double()
        # The real-valued shift at which the largest weight's code is 128.
        exact = torch.log2(-INT8_MIN * y_step.double() / (largest * x_step.double()))
        exact = torch.where(largest > 0, exact, torch.zeros_like(exact))
        if rule is ShiftRule.ROUND:
            self.shift.copy_(exact.round().clamp(0, SHIFT_LIMIT))
            return

        def rounded(shift: Tensor) -> tuple[Tensor, Tensor]:
            step = self.weight_step(x_step, y_step, shift)
            return torch.round(self.weight / step).view(len(shift), -1), step.view(-1, 1)

        # int8 holds -128 but not 128, and what rounds to -128: the largest weight's magnitude alone does not decide.
        floor = torch.where(largest > 0, exact.floor() + 1, exact).clamp(0, SHIFT_LIMIT)
        for _ in range(2):
            codes, _step = rounded(floor)
            floor = (floor - ((codes < INT8_MIN) | (codes > INT8_MAX)).any(dim=1).double()).clamp(min=0)
        if rule is ShiftRule.LEAST_SQUARES:
            errors = []
            following = (floor + 1).clamp(max=SHIFT_LIMIT)
            for candidate in (floor, following):
                codes, step = rounded(candidate)
                held = codes.clamp(INT8_MIN, INT8_MAX).double() * step.double()
                errors.append(((held - self.weight.double().view_as(held)) ** 2).sum(dim=1))
            floor = torch.where(errors[1] < errors[0], following, floor)
        self.shift.copy_(floor)


class TableFunction(nn.Module):
    """One function a channel: an affine where one was absorbed, then the activation. `table` is what is exported."""

    table: Tensor | None

    def __init__(self, config: NetworkConfig, channels: int, absorbs: bool, tables: TableFormat | None) -> None:
        super().__init__()
        self.affine: nn.Module = Affine(channels) if absorbs else nn.Identity()
        self.activation = config.build_activation(channels)
        stored = None if tables is None else torch.zeros(channels, _stored(tables), dtype=torch.int8)
        self.register_buffer("table", stored)

    def forward(self, x: Tensor) -> Tensor:
        """The function's value at `x` [..., C]; the same shape."""
        y: Tensor = self.activation(self.affine(x))
        return y


def _stored(tables: TableFormat) -> int:
    return stored_points(tables.points, tables.rule)


class QuantisedResMLP(nn.Module):
    """A ResMLP of quantised operators; `fxsim.networks.fold` makes one of a trained network.

    Parameters are named after taps. `log_steps` holds log2 of every step, in the order of `step_names`: learnt as
    logarithms, so that an optimiser moves each by a proportion. `tables` is the format of the tables stored, if any.
    """

    def __init__(self, config: NetworkConfig, tables: TableFormat | None = None) -> None:
        super().__init__()
        if tables is not None and config.activation is Activation.RELU:
            raise ModelError("a ReLU network has no tables, expected no format for them")
        self.config = config
        self.tables = tables
        self.slots = tuple(slots(config))
        self._slot = {slot.tap: slot for slot in self.slots}
        self.step_names = (INPUT, *dict.fromkeys(slot.step for slot in self.slots))
        self._step_index = {name: i for i, name in enumerate(self.step_names)}
        self.log_steps = nn.Parameter(torch.zeros(len(self.step_names)))
        for slot in self.slots:
            if slot.kind in (Kind.LINEAR, Kind.LINEAR_TOKENS, Kind.AFFINE):
                self._place(slot.tap, Weighted(*slot.shape))
            elif slot.kind is Kind.TABLE:
                # The batch norm in front of a block's first activation becomes part of its function.
                self._place(slot.tap, TableFunction(config, slot.shape[0], slot.role == "psa_1", tables))

    def _place(self, path: str, module: nn.Module) -> None:
        """Make `module` the submodule called `path`, so that parameters carry their tap's name."""
        *parents, name = path.split(".")
        place: nn.Module = self
        for parent in parents:
            if not hasattr(place, parent):
                place.add_module(parent, nn.Module())
            place = getattr(place, parent)
        place.add_module(name, module)

    # --- what it is made of ---

    @property
    def taps(self) -> tuple[str, ...]:
        """Every tap's name, in the order data takes."""
        return tuple(slot.tap for slot in self.slots)

    def slot(self, tap: str) -> Slot:
        """The operator of a tap."""
        return self._slot[tap]

    def weighted(self, tap: str) -> Weighted:
        """Parameters of a linear's or affine's tap."""
        module = self.get_submodule(tap)
        assert isinstance(module, Weighted)
        return module

    def table_function(self, tap: str) -> TableFunction:
        """The function of a table's tap."""
        module = self.get_submodule(tap)
        assert isinstance(module, TableFunction)
        return module

    def weighted_taps(self) -> tuple[str, ...]:
        """Taps of the linears and affines."""
        return tuple(slot.tap for slot in self.slots if slot.kind in (Kind.LINEAR, Kind.LINEAR_TOKENS, Kind.AFFINE))

    def table_taps(self) -> tuple[str, ...]:
        """Taps of the activations that become tables; none in a ReLU network."""
        return tuple(slot.tap for slot in self.slots if slot.kind is Kind.TABLE)

    def step(self, tap: str) -> Tensor:
        """The step of a tap's values, or of the input's; a scalar tensor.

        The input's is the data's and not learnt: who makes the input knows nothing of the network.
        """
        if tap == INPUT:
            return torch.exp2(self.log_steps[self._step_index[INPUT]]).detach()
        return torch.exp2(self.log_steps[self._step_index[self._slot[tap].step]])

    @torch.no_grad()
    def set_steps(self, steps: dict[str, float]) -> None:
        """Set every step, by the names in `step_names`; ModelError where one is missing, unknown or out of range."""
        if wrong := set(steps) ^ set(self.step_names):
            raise ModelError(f"steps are missing or unknown: {', '.join(sorted(wrong))}")
        for name, step in steps.items():
            if not 2.0**-LOG_STEP_LIMIT <= step <= 2.0**LOG_STEP_LIMIT:
                raise ModelError(f"step of '{name}' is {step}, expected 2^-{LOG_STEP_LIMIT} to 2^{LOG_STEP_LIMIT}")
        self.log_steps.copy_(torch.tensor([steps[name] for name in self.step_names], dtype=torch.float64).log2())

    def choose_shifts(self, rule: ShiftRule) -> None:
        """Set all shifts from the weights and steps as they are now."""
        for tap in self.weighted_taps():
            self.weighted(tap).choose_shift(self.step(self._slot[tap].inputs[0]), self.step(tap), rule)

    def weight_codes(self, tap: str) -> tuple[Tensor, Tensor]:
        """A linear's or affine's weights and biases as integers, float32."""
        slot = self._slot[tap]
        return self.weighted(tap).codes(self.step(slot.inputs[0]), self.step(tap))

    # --- in float32 ---

    def forward(self, x: Tensor) -> Tensor:
        """Logits, multiples of the classifier's step, of tokens `x`, float32 [n, tokens, values]; differentiable.

        Bit for bit what `run_taps` gives under `FLOAT`, times the step.
        """
        values = {INPUT: _fake_quantise(x, self.step(INPUT), x.shape[1:].numel())}
        for slot in self.slots:
            v = self._real(slot, tuple(values[name] for name in slot.inputs), quantised=True)
            if slot.kind is not Kind.RELU:
                saturate = slot.kind is not Kind.ADD
                v = _fake_quantise(v, self.step(slot.tap), v.shape[1:].numel(), saturate)
            # A relu's result is quantised already. Again, 127 steps over the step may be more than 127 in float32, and
            # the gradient of a value inside the range would be that of one outside.
            values[slot.tap] = v
        return values[self.taps[-1]]

    def float_taps(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Every tap's real values with nothing quantised, as (name, float32 [n, t, c] or [n, c]); the input first."""
        values = {INPUT: x}
        yield INPUT, x
        for slot in self.slots:
            v = self._real(slot, tuple(values[name] for name in slot.inputs), quantised=False)
            values[slot.tap] = v
            yield slot.tap, v

    def _real(self, slot: Slot, inputs: tuple[Tensor, ...], quantised: bool) -> Tensor:
        """An operator on real values in float32, before its result is quantised."""
        x = inputs[0]
        match slot.kind:
            case Kind.RELU:
                return F.relu(x)
            case Kind.TABLE:
                y: Tensor = self.table_function(slot.tap)(x)
                return y
            case Kind.ADD:
                return x + inputs[1]
            case Kind.POOL:
                return x.mean(dim=1)
        layer = self.weighted(slot.tap)
        weight: Tensor = layer.weight
        bias: Tensor = layer.bias
        if quantised:
            x_step, y_step = self.step(slot.inputs[0]), self.step(slot.tap)
            weight = _fake_quantise(weight, layer.weight_step(x_step, y_step), weight.shape[1:].numel())
            bias = _fake_quantise(bias, y_step, len(bias))
        if slot.kind is Kind.AFFINE:
            return x * weight + bias
        if slot.kind is Kind.LINEAR_TOKENS:
            return F.linear(x.transpose(1, 2), weight, bias).transpose(1, 2)
        return F.linear(x, weight, bias)

    # --- in codes ---

    @torch.no_grad()
    def input_codes(self, x: Tensor) -> Tensor:
        """Tokens, float32, as int8 codes: x / step, ties to even, clamped; shape unchanged."""
        return torch.round(x / self.step(INPUT)).clamp(INT8_MIN, INT8_MAX).to(torch.int8)

    @torch.no_grad()
    def run_taps(self, codes: Tensor, arithmetic: Arithmetic, taps: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Codes of the named taps (by default all) for input codes, int8 [n, tokens, values].

        float64 [n, t, c], or [n, c] from the pool on. Whole numbers within int8, except that an `add` under `late`
        saturation may leave int8. StimulusError where there is no such tap.
        """
        wanted = self.taps if taps is None else tuple(taps)
        for tap in wanted:
            if tap not in self._slot:
                raise StimulusError(f"the network has no tap '{tap}'; it has: {', '.join(self.taps)}")
        values = {INPUT: codes.double()}
        for slot in self.slots:
            values[slot.tap] = self.operator(slot.tap, tuple(values[name] for name in slot.inputs), arithmetic)
        return {tap: values[tap] for tap in wanted}

    @torch.no_grad()
    def operator(self, tap: str, inputs: tuple[Tensor, ...], arithmetic: Arithmetic) -> Tensor:
        """One operator on codes, float64; its result's codes, float64."""
        v = self.unrounded(tap, inputs, arithmetic)
        code = torch.round(v) if arithmetic.ties == "even" else torch.floor(v + 0.5)
        if self._slot[tap].kind is Kind.ADD and arithmetic.saturation == "late":
            return code
        return code.clamp(INT8_MIN, INT8_MAX)

    @torch.no_grad()
    def unrounded(self, tap: str, inputs: tuple[Tensor, ...], arithmetic: Arithmetic) -> Tensor:
        """The result of `operator` before it is rounded and saturated, in units of the tap's step, float64.

        By `sums` and `tables` of `arithmetic`; exact where these are the contract's, of float32 precision otherwise.
        """
        slot = self._slot[tap]
        table = slot.kind is Kind.TABLE
        if arithmetic.tables == "stored" if table else arithmetic.sums == "exact":
            return self._exact(slot, inputs)
        real = tuple(x.float() * self.step(name) for x, name in zip(inputs, slot.inputs, strict=True))
        return (self._real(slot, real, quantised=True) / self.step(tap)).double()

    def _exact(self, slot: Slot, inputs: tuple[Tensor, ...]) -> Tensor:
        """An operator's result in units of its step, before rounding, in float64 that loses nothing.

        Sums of products of int8 have at most 16 + log2 K bits, shifts divide by powers of two: all fits 53 bits.
        """
        x = inputs[0]
        match slot.kind:
            case Kind.RELU:
                return x.clamp(min=0)
            case Kind.ADD:
                return x + inputs[1]
            case Kind.POOL:
                return x.sum(dim=1) / x.shape[1]
            case Kind.TABLE:
                return self._interpolate(self.table_function(slot.tap), x)
        weight, bias = (codes.double() for codes in self.weight_codes(slot.tap))
        scale = (1 << self.weighted(slot.tap).shift.long()).double().reciprocal()
        if slot.kind is Kind.AFFINE:
            return x * weight * scale + bias
        if slot.kind is Kind.LINEAR_TOKENS:
            return weight @ x * scale[:, None] + bias[:, None]
        return x @ weight.T * scale + bias

    def _interpolate(self, function: TableFunction, x: Tensor) -> Tensor:
        """The stored points read at codes `x` [..., C], before the interpolation's rounding."""
        if function.table is None or self.tables is None:
            raise ModelError("the network has no stored tables: choose their format first (store_tables)")
        code = x.clamp(INT8_MIN, INT8_MAX).long() - INT8_MIN
        channel = torch.arange(len(function.table), device=x.device)
        table = function.table.double()
        spacing = 256 // self.tables.points
        segment, fraction = code // spacing, code % spacing
        match self.tables.rule:
            case TableRule.FULL:
                return table[channel, code]
            case TableRule.CLAMP:
                segment = segment.clamp(max=self.tables.points - 2)
                upper = segment + 1
            case TableRule.HOLD:
                upper = (segment + 1).clamp(max=self.tables.points - 1)
            case TableRule.ENDPOINT:
                upper = segment + 1
        lower = table[channel, segment]
        return lower + (table[channel, upper] - lower) * fraction / spacing

    # --- tables ---

    def full_tables(self) -> dict[str, Int8]:
        """Every activation's function at all 256 input codes, as int8 [C, 256], by tap.

        ModelError where a function's value is not a number.
        """
        every = torch.arange(INT8_MIN, INT8_MAX + 1, dtype=torch.float64, device=self.log_steps.device)
        tables = {}
        for tap in self.table_taps():
            channels = self.slot(tap).shape[0]
            codes = self.operator(tap, (every[:, None].expand(-1, channels).contiguous(),), FLOAT)
            if bool(codes.isnan().any()):
                channel = int(codes.isnan().any(dim=0).nonzero()[0])
                raise ModelError(f"the function of '{tap}', channel {channel}, has values that are not numbers")
            tables[tap] = np.ascontiguousarray(codes.T.cpu().numpy().astype(np.int8))
        return tables

    def store_tables(self, tables: TableFormat) -> None:
        """Choose the points of every table, in this format, from its full table, and keep them: these are exported.

        Nothing happens in a ReLU network, which has none.
        """
        if not self.table_taps():
            return
        for tap, full in self.full_tables().items():
            stored = compress_tables(full, tables.points, tables.rule, tables.method)
            self.table_function(tap).table = torch.from_numpy(stored).to(self.log_steps.device)
        self.tables = tables
