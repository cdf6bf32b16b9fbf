"""The compiled engine over pixels: convolutions, thresholds and windows, on every instruction set, at every tap."""

from math import gcd
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fxsim
from fxsim.contract import CHANNEL, COLUMN, INT8, ROW, TOKEN, Number, Sign, TableRule, Tensor
from fxsim.engines import chosen_engine, run_reference
from fxsim.engines.compiled import codes, convolutions, instruction_sets, pixel_program, profile_compiled, run_compiled
from fxsim.engines.loops import run_loops
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import OPERATORS, Argmax, Axis, Conv, Linear, Lut, MaxPool, Operator, Relu, Threshold
from tests.strategies import SEEDS, numbers

Array = npt.NDArray[Any]

AXES = (ROW, COLUMN, CHANNEL)
INT2, INT16, UINT2 = Number(2), Number(16), Number(2, Sign.UNSIGNED)
SETS = tuple(isa.name for isa in instruction_sets())
each_set = pytest.mark.parametrize("isa", SETS)


def chain(tensor: Tensor, *ops: Operator) -> Model:
    """A model of operators n0, n1, ..., one after the other."""
    names = (INPUT, *(f"n{i}" for i in range(len(ops))))
    return Model(Graph(tensor, tuple(Node(f"n{i}", op, (names[i],)) for i, op in enumerate(ops))), "chain")


def images(model: Model, count: int, rng: np.random.Generator) -> Array:
    """Images of a model's input format, some of its ends alone."""
    number, shape = model.graph.input.number, (count, *model.graph.input_shape)
    drawn = rng.integers(number.low, number.high, shape, number.dtype, endpoint=True)
    ends = rng.choice(np.array([number.low, number.high], number.dtype), shape)
    chosen: Array = np.where(rng.random((count, *(1,) * (len(shape) - 1))) < 0.3, ends, drawn)
    return chosen


def assert_equal(found: dict[str, Array], expected: dict[str, Array], what: str) -> None:
    """The same taps, each of the same type, shape and values."""
    assert list(found) == list(expected)
    for tap, values in expected.items():
        np.testing.assert_array_equal(found[tap], values, f"{what}, {tap}", strict=True)


# --- Any chain of them -----------------------------------------------------------------------------------------------

LEVELS = ([-1, 1], [-1, 0, 1], [0, 1], [0, 1, 2, 3], [-3, 5], [7, -2, 7], [0, 3, 9, 15], [0, 0], list(range(-8, 8)))


@st.composite
def chains(draw: st.DrawFn) -> Model:
    """Convolutions, thresholds, windows and functions on an image, of few values and of many, as they fit."""
    rng = np.random.default_rng(draw(SEEDS))

    def one_of(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    number = draw(numbers(2))
    shape = int(rng.integers(1, 8)), int(rng.integers(1, 8)), int(one_of(1, 2, 3, 5, 8, 16, 17, 32))
    first = tensor = Tensor(AXES, shape, number)
    ops: list[Operator] = []

    def steps(channels: int, x: Number, spread: float) -> Threshold:
        levels = one_of(*LEVELS) if rng.random() < 0.9 else rng.integers(-128, 128, 20).tolist()
        size = channels, len(levels) - 1
        limits = np.clip(np.rint(rng.normal((x.low + x.high) / 2, spread, size)), x.low - 2, x.high + 2)
        limits = np.where(rng.random(size) < 0.05, one_of(-(2**31), 2**31 - 1), limits).astype(np.int32)
        out = one_of(INT8, INT8, Number(5), INT16) if max(map(abs, levels)) < 16 else INT8
        return Threshold(limits, rng.integers(0, 2, channels).astype(np.uint8), np.array(levels, out.dtype), out)

    for _ in range(draw(st.integers(1, 5))):
        rows, columns, channels = tensor.shape
        kind = one_of("conv", "conv", "threshold", "max_pool", "function")
        if kind == "conv":
            groups = one_of(1, 1, *(g for g in range(1, channels + 1) if channels % g == 0))
            many = one_of(16, 32, 64, 96) // groups * groups
            outputs = groups * int(rng.integers(1, 5)) if rng.random() < 0.7 else many
            outputs = max(groups, outputs)
            kernel = int(rng.integers(1, 4)), int(rng.integers(1, 4))
            dilation = int(rng.integers(1, 3)), int(rng.integers(1, 3))
            spans = [dilation[i] * (kernel[i] - 1) for i in range(2)]
            padding = tuple(int(rng.integers(0, spans[i % 2] + 1)) if rng.random() < 0.5 else 0 for i in range(4))
            if rows + padding[0] + padding[2] <= spans[0] or columns + padding[1] + padding[3] <= spans[1]:
                kernel, dilation, padding = (1, 1), (1, 1), (0, 0, 0, 0)
            values = np.array(one_of([-1, 1], [-1, 0, 1], [-2, -1, 0, 1], [3, -7], [5], list(range(-128, 128))))
            weight = rng.choice(values, (outputs, *kernel, channels // groups)).astype(np.int8)
            reach = np.abs(weight.astype(int)).reshape(outputs, -1).sum(axis=1).max()
            bits = int(reach * max(-tensor.number.low, tensor.number.high)).bit_length() + 1
            if bits > 16:
                continue
            stride = int(rng.integers(1, 3)), int(rng.integers(1, 3))
            op: Operator = Conv(weight, stride, padding, dilation, groups, out=Number(max(2, bits)))  # type: ignore[arg-type]
        elif kind == "threshold":
            op = steps(channels, tensor.number, float(one_of(2, 10, 100)))
        elif kind == "max_pool":
            window = int(rng.integers(1, min(rows, 3) + 1)), int(rng.integers(1, min(columns, 3) + 1))
            op = MaxPool(window, (int(rng.integers(1, 3)), int(rng.integers(1, 3))))
        elif tensor.number.bits > 8:
            op = steps(channels, tensor.number, 20.0)
        elif rng.random() < 0.5:
            op = Relu()
        else:
            out = one_of(INT2, INT8, INT16)
            table = rng.integers(out.low, out.high, (channels, tensor.number.codes), out.dtype, endpoint=True)
            op = Lut(table, TableRule.FULL, tensor.number, out)
        tensor = op.result(tensor)
        ops.append(op)
    if not ops or not any(isinstance(op, Conv | MaxPool | Threshold) for op in ops):
        ops.append(MaxPool((1, 1), (1, 1)))
    return chain(first, *ops)


@given(model=chains(), seed=SEEDS)
def test_every_set_gives_what_the_reference_gives(model: Model, seed: int) -> None:
    """Of any chain, each instruction set gives every tap, and each tap alone, behind steps that are joined for it."""
    x = images(model, 3, np.random.default_rng(seed))
    expected = run_reference(model.graph, x, model.graph.taps)
    assert_equal(run_loops(model, x, model.graph.taps, 1), expected, "loops")
    for isa in SETS:
        assert_equal(run_compiled(model, x, model.graph.taps, 1, isa), expected, isa)
        last = model.graph.taps[-1:]
        assert_equal(run_compiled(model, x, last, 1, isa), {tap: expected[tap] for tap in last}, f"{isa} alone")


# --- Products that are looked up -------------------------------------------------------------------------------------


def looks_up(model: Model, name: str) -> bool:
    """Whether a convolution is computed by tables."""
    values = convolutions.values_of(model.graph)[model.graph.by_name[name].inputs[0]]
    return convolutions.tables_of(model.graph.by_name[name].op, values) is not None  # type: ignore[arg-type]


def bipolar(channels: int, levels: tuple[int, ...] = (-1, 1), out: Number = INT8) -> Threshold:
    """A threshold at each level but the first, to these."""
    limits = np.tile(np.array(levels[1:], np.int32), (channels, 1))
    return Threshold(limits, np.ones(channels, np.uint8), np.array(levels, out.dtype), out)


@pytest.mark.parametrize("levels", [(-1, 1), (-1, 0, 1), (0, 1, 2, 3), (-2, 1)])
@pytest.mark.parametrize("weights", [(-1, 1), (-1, 0, 1), (-2, -1, 0, 1), (0, 1)])
def test_every_product_of_few_values(levels: tuple[int, ...], weights: tuple[int, ...]) -> None:
    """Four inputs and four weights, each of few values, in all ways: sums in Python, with a fifth channel of both."""
    x = np.stack(np.meshgrid(*[levels] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    x = np.concatenate([x, x[:, :1]], axis=1).astype(np.int8)
    w = np.stack(np.meshgrid(*[weights] * 4, indexing="ij"), axis=-1).reshape(-1, 4)
    w = np.concatenate([w, w[:, 1:2]], axis=1).astype(np.int8)
    model = chain(Tensor(AXES, (1, len(x), 5)), bipolar(5, levels), Conv(w[:, None, None, :]))
    assert looks_up(model, "n1")
    expected = [[sum(a * b for a, b in zip(p, q, strict=True)) for q in w.tolist()] for p in x.tolist()]
    for isa in SETS:
        assert run_compiled(model, x[None, None], ("n1",), 1, isa)["n1"][0, 0].tolist() == expected, isa


@pytest.mark.parametrize("channels", [64, 252, 256, 4096, 16_383])
@pytest.mark.parametrize("levels", [(-1, 1), (-1, 0, 1), (0, 1, 2, 3)])
def test_the_greatest_sums_do_not_overflow(channels: int, levels: tuple[int, ...]) -> None:
    """All products at either end, over as many channels as the sum's 16 bits can hold: the sum, and its threshold."""
    number = INT2 if min(levels) < 0 else UINT2
    channels = min(channels, 32_767 // max(-number.low, number.high))
    signs = np.array([1, -1, 1], np.int8)
    conv = Conv(np.repeat(signs, channels).reshape(3, 1, 1, channels), weight_number=INT2, out=INT16)
    top, low = max(levels), min(levels)
    ends = np.array([[channels * top], [channels * -low], [channels * top - 1]], np.int32)
    after = Threshold(ends, np.array([1, 1, 0], np.uint8), np.array([-1, 1], np.int8), INT2)
    model = chain(Tensor(AXES, (1, 2, channels), number), bipolar(channels, levels, number), conv, after)
    x = np.stack([np.full(channels, top), np.full(channels, low)])[None, None].astype(number.dtype)
    for isa in SETS:
        found = run_compiled(model, x, ("n1", "n2"), 1, isa)
        sums = [[channels * end, -channels * end, channels * end] for end in (top, low)]
        assert found["n1"][0, 0].tolist() == sums
        assert found["n2"][0, 0].tolist() == [[1, -1, -1], [-1, 1, 1]]
        np.testing.assert_array_equal(run_compiled(model, x, ("n2",), 1, isa)["n2"], found["n2"])


@given(data=st.data())
def test_sums_of_bytes_stay_bytes(data: st.DataObject) -> None:
    """No choice of entries of any table that is taken sums to more than a byte in a run, nor to 16 bits in all."""
    inputs = tuple(sorted(data.draw(st.sets(st.integers(-4, 4), min_size=1, max_size=4))))
    weights = data.draw(st.lists(st.integers(-8, 7), min_size=1, max_size=4, unique=True))
    count = data.draw(st.integers(1, 40_000))
    count = max(count, len(weights))
    weight = np.resize(np.array(weights, np.int8), (1, 1, 1, count))
    tables = convolutions.tables_of(Conv(weight), inputs)
    if tables is None:
        return
    sums = {
        sum(a * b for a, b in zip(xs, ws, strict=True))
        for xs in np.stack(np.meshgrid(*[tables.inputs] * tables.each), axis=-1).reshape(-1, tables.each).tolist()
        for ws in np.stack(np.meshgrid(*[weights] * tables.each), axis=-1).reshape(-1, tables.each).tolist()
    }
    unit = gcd(*(s - min(sums) for s in sums)) or 1
    greatest = (max(sums) - min(sums)) // unit
    assert (tables.least, tables.scale, int(tables.entries.max())) == (min(sums), unit, greatest)
    assert greatest * tables.most <= 255
    assert greatest * -(-count // tables.each) <= 32_766


@pytest.mark.parametrize("channels", [16, 17, 48])
@pytest.mark.parametrize("groups", [1, 16])
@pytest.mark.parametrize("number", [UINT2, INT2])
def test_convolutions_read_through_thresholds(channels: int, groups: int, number: Number) -> None:
    """Thresholds of few values, the same in all channels, are done as a convolution takes them: sums in numpy.

    They go up and down, so that no number of values that are reached tells a level by itself; others stand alone.
    """
    if channels % groups:
        return
    rng = np.random.default_rng(channels + groups)
    levels = (1, -1, 1, -1)
    first = bipolar(channels, tuple(range(number.low, number.high + 1)), number)
    limits = np.tile(np.arange(number.low + 1, number.high + 1, dtype=np.int32), (channels, 1))
    rising = np.ones(channels, np.uint8)
    second = Threshold(limits, rising, np.array(levels, np.int8), INT2)
    weight = rng.choice(np.array([-1, 1], np.int8), (16, 3, 3, channels // groups))
    conv = Conv(weight, padding=(1, 1, 1, 1), groups=groups, out=INT16)
    after = bipolar(16, (-1, 1))
    x = rng.integers(-5, 6, (2, 5, 7, channels)).astype(np.int8)
    h = np.array(levels)[np.clip(x, number.low, number.high) - number.low]
    around = np.pad(h, ((0, 0), (1, 1), (1, 1), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(around, (3, 3), axis=(1, 2))
    parts = windows.reshape(2, 5, 7, groups, channels // groups, 3, 3)
    sums = np.einsum("nijgcrs,gorsc->nijgo", parts, weight.reshape(groups, 16 // groups, 3, 3, -1)).reshape(2, 5, 7, 16)
    bits = np.where(sums >= 1, 1, -1)
    model = chain(Tensor(AXES, (5, 7, channels)), first, second, conv, after)
    other = np.where(np.arange(channels)[:, None] == channels - 1, limits - 1, limits)
    apart = chain(Tensor(AXES, (5, 7, channels)), first, Threshold(other, rising, second.levels, INT2), conv, after)
    for isa in SETS:
        joined = [step.nodes for step in profile_compiled(model, x, ("n3",), isa)]
        assert joined[:-2] == [("n0",), ("n1", "n2", "n3")] if isa != "plain" else [("n0", "n1"), ("n2", "n3")], isa
        assert [step.nodes for step in profile_compiled(apart, x, ("n3",), isa)][:-2] == [("n0", "n1"), ("n2", "n3")]
        assert run_compiled(model, x, ("n3",), 1, isa)["n3"].tolist() == bits.tolist(), isa
        assert run_compiled(model, x, ("n2",), 1, isa)["n2"].tolist() == sums.tolist(), isa
        found = run_compiled(model, x, ("n1", "n3"), 1, isa)
        assert (found["n1"].tolist(), found["n3"].tolist()) == (h.tolist(), bits.tolist()), isa


def test_values_are_what_a_tensor_can_have() -> None:
    """Few values are known of thresholds' levels, small formats and tables, and go through windows."""
    full = np.tile(np.where(np.arange(256) < 100, 5, 6).astype(np.int8), (3, 1))
    model = chain(
        Tensor(AXES, (2, 2, 3)), bipolar(3), MaxPool((1, 1), (1, 1)), Conv(np.ones((3, 1, 1, 3), np.int8)),
        bipolar(3, (-1, 0, 1)), Lut(full, TableRule.FULL), Relu(),
    )  # fmt: skip
    found = convolutions.values_of(model.graph)
    assert [found[tap] for tap in (INPUT, *model.graph.taps)] == [
        None,
        (-1, 1),
        (-1, 1),
        None,
        (-1, 0, 1),
        (5, 6),
        None,
    ]
    assert convolutions.values_of(chain(Tensor(AXES, (1, 1, 1), INT2), Relu()).graph)[INPUT] == (-2, -1, 0, 1)


# --- What is taken, and how ------------------------------------------------------------------------------------------


@each_set
@pytest.mark.parametrize("count", [0, 1, 5, 40])
def test_any_number_of_images_and_threads(isa: str, count: int) -> None:
    """No image, one, and more than a block, on one thread or two: what the reference gives."""
    rng = np.random.default_rng(3)
    weight = rng.choice(np.array([-1, 1], np.int8), (64, 3, 3, 16))
    model = chain(Tensor(AXES, (12, 12, 16)), bipolar(16), Conv(weight), bipolar(64), MaxPool((2, 2), (2, 2)))
    x = images(model, count, rng)
    for threads in (1, 2):
        found = run_compiled(model, x, model.graph.taps, threads, isa)
        assert_equal(found, run_reference(model.graph, x, model.graph.taps), isa)


def test_steps_join_thresholds_to_sums() -> None:
    """A convolution and its thresholds are one step, unless its sums are asked for; the profile says."""
    conv = Conv(np.ones((2, 1, 1, 1), np.int8))
    model = chain(Tensor(AXES, (2, 2, 1)), conv, bipolar(2))
    x = np.zeros((1, 2, 2, 1), np.int8)
    steps = profile_compiled(model, x, ("n1",))
    assert [step.nodes for step in steps] == [("n0", "n1"), ("read",), ("write",)]
    assert [step.nodes for step in profile_compiled(model, x, ("n0", "n1"))][:2] == [("n0",), ("n1",)]


def test_what_has_no_kernel_is_refused_by_name() -> None:
    """What stands beside convolutions without a kernel there is refused with its node; `auto` takes the reference."""
    scale = np.zeros(2, np.int8), np.zeros(2, np.uint8)
    tokens = Tensor((TOKEN, CHANNEL), (2, 1))
    ends = np.full((1, 1), 5, np.int32)
    step = Threshold(ends, np.ones(1, np.uint8), np.array([0, 1], np.int8))
    over = Linear(np.ones((2, 2), np.int8), *scale, Axis.TOKENS)
    large = Linear(np.full((1, 1024), 127, np.int8), np.zeros(1, np.int16), scale[1][:1], acc_bits=33, out=INT16)
    cases = (
        (chain(tokens, step, over), "node 'n1': the compiled engine beside convolutions takes a linear over channels"),
        (chain(Tensor((CHANNEL,), (1024,), INT16), large, Argmax(1)), "node 'n0': the "
         "compiled engine takes sums of 32 bits"),
    )  # fmt: skip
    for model, message in cases:
        x = np.ones((1, *model.graph.input_shape), model.graph.input.number.dtype)
        with pytest.raises(ModelError, match=message):
            fxsim.run(model, x, engine="compiled")
        assert chosen_engine("auto", model) == "reference"
    assert pixel_program.PACK.rows.keys() == set(OPERATORS.values())
    assert codes.TABLE_ENTRIES == 1 << 4
