"""Composed accelerators of networks with attention and a loop: depthwise, scaled, weighted and multiplied tensors."""

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from fxsim import run
from fxsim.contract import INT8, Division, Number, Rounding, Sign, TableRule, bias_number
from fxsim.contract.number import BIPOLAR, UINT8
from fxsim.cosim import cosim
from fxsim.cosim.four_state import four_state
from fxsim.devices import DEVICES, make_settings
from fxsim.devices.composed import compose, make_plan
from fxsim.devices.composed.blocks import blocks
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Model, Node, repeat
from fxsim.operators import (
    Add,
    Affine,
    Argmax,
    Concat,
    Conv,
    Flatten,
    Lut,
    Matmul,
    MaxPool,
    MultiplyAdd,
    Operator,
    Position,
    Relu,
    Rescale,
    Reshape,
    SumPool,
    Threshold,
    WeightedAdd,
)
from fxsim.paths import rtl_dir
from fxsim.prove.blocks import PROVED, REFUTED, prove_block
from tests.test_composed import image, with_depth, words

UINT7 = Number(7, Sign.UNSIGNED)
RNG_SEED = 11


def rescale(rng: np.random.Generator, channels: int, shift: int, out: Number = INT8) -> Rescale:
    """A shift with a bias of each channel, half up."""
    nothing, one = np.zeros(channels, np.int32), np.ones(channels, np.int32)
    shifts = rng.integers(shift - 1, shift + 2, channels).astype(np.uint8)
    bias = rng.integers(-9, 10, channels).astype(bias_number(out).dtype)
    return Rescale(nothing, one, shifts, bias, Rounding.HALF_UP, 33, out)


def weights(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Random int8 weights, the ends among them."""
    found = rng.integers(-128, 128, shape).astype(np.int8)
    found.flat[0], found.flat[-1] = -128, 127
    return found


def attention(heads: int = 2, steps: int = 2) -> Model:
    """A stem, an ODE block whose steps share their operators, attention beside a residual path, a mean."""
    rng = np.random.default_rng(RNG_SEED)
    channels, places = 4, 9
    each = channels // heads
    depthwise = Conv(weights(rng, channels, 3, 3, 1), padding=(1, 1, 1, 1), groups=channels, out=Number(20))
    pointwise = Conv(weights(rng, channels, 1, 1, channels), out=Number(19))
    pair = np.stack([np.full(channels, 4), rng.integers(-3, 4, channels)]).astype(np.int16)
    step = (
        Node("d.sums", depthwise, (INPUT,)),
        Node("d", rescale(rng, channels, 7), ("d.sums",)),
        Node("p.sums", pointwise, ("d",)),
        Node("p", rescale(rng, channels, 7, UINT7), ("p.sums",)),
        Node("x", WeightedAdd(pair, np.full(channels, 2, np.uint8), 12, INT8), (INPUT, "p")),
    )

    def layer(name: str, source: str) -> list[Node]:
        own = Conv(weights(rng, channels, 1, 1, channels), out=Number(19))
        return [Node(f"{name}.sums", own, (source,)), Node(name, rescale(rng, channels, 6), (f"{name}.sums",))]

    nodes = [
        Node("stem.sums", Conv(weights(rng, channels, 3, 3, 1), padding=(1, 1, 1, 1), out=Number(20)), ("input",)),
        Node("stem", rescale(rng, channels, 8), ("stem.sums",)),
        *repeat("ode", step, steps, "stem"),
    ]
    last = nodes[-1].name
    nodes += [*layer("q", last), *layer("k", last), *layer("v", last)]
    table = rng.integers(-60, 60, (places, channels)).astype(np.int16)
    count = heads * places
    nodes += [
        Node("there", Position(table, Number(9)), ("k",)),
        Node("key", rescale(rng, channels, 1), ("there",)),
        Node("products", Matmul(heads, each, True, Number(19)), ("q", "key")),
        Node("scores", rescale(rng, count, 6, UINT7), ("products",)),
        Node("mixed", Matmul(heads, places, False, Number(19)), ("scores", "v")),
        Node("heads", rescale(rng, channels, 5), ("mixed",)),
        *layer("o", "heads"),
        Node("sum", Add(9, INT8), (last, "o")),
        Node("relu", Relu(), ("sum",)),
        Node(
            "moved",
            Affine(
                weights(rng, channels),
                rng.integers(-9, 9, channels).astype(np.int8),
                np.full(channels, 5, np.uint8),
            ),
            ("relu",),
        ),
        Node("mean", SumPool((3, 3), (3, 3), 8, Division.HALF_UP, False, 12, INT8), ("moved",)),
        Node(
            "classes",
            MultiplyAdd(
                rng.integers(-300, 300, channels).astype(np.int16),
                rng.integers(-5000, 5000, channels).astype(np.int32),
                np.array([0, 1, 2, 3], np.uint8),
                33,
                Number(20),
            ),
            ("mean",),
        ),
        Node("flat", Flatten((0, 1, 2)), ("classes",)),
    ]
    return Model(Graph(image(3, 3, 1, UINT8), nodes), "attention")


def pictures(count: int) -> np.ndarray:
    """Random pictures, and the ends of the range."""
    x = np.random.default_rng(12).integers(0, 256, (count, 3, 3, 1)).astype(np.uint8)
    x[1] = 255
    return x


@pytest.mark.verilator
def test_every_tap_is_equal_and_the_interval_kept() -> None:
    """All taps of a loop and attention, freely flowing at the bound, and with stalls of both sides and resets."""
    model = attention()
    free = cosim(model, pictures(6), accel="composed", interval=162)
    assert free.passed, free
    assert {name: tap.compared for name, tap in free.streams.taps.items()} == {
        tap: 6 * int(np.prod(model.graph.shapes[tap])) for tap in model.graph.taps
    }
    # The depthwise windows: 9 places of 9 pixels of 4 channels, two a beat.
    assert (free.timing.interval_cycles, free.timing.interval_bound_cycles) == (162, 162)
    held = cosim(model, pictures(6), accel="composed", interval=162, stall="random:4:0.4+reset:3")
    assert held.passed, held


@pytest.mark.icarus
@pytest.mark.parametrize("heads", [1, 4])
def test_values_are_known_from_power_on(heads: int) -> None:
    """Every value known and equal in four states, with one head and with one for each channel, one channel a beat."""
    good = four_state(attention(heads, 1), pictures(2), accel="composed", engine="reference", stalls=(0, 40))
    assert good.passed, good.reason


# --- Paths that wait for a whole image -------------------------------------------------------------------------------


def products() -> Model:
    """The least network of its kind: a product of a tensor with itself, beside a residual path."""
    rng = np.random.default_rng(5)
    nodes = [
        Node("key", rescale(rng, 2, 1), ("input",)),
        Node("products", Matmul(1, 2, True, Number(17)), ("input", "key")),
        Node("scores", rescale(rng, 6, 8), ("products",)),
        Node("mixed", Matmul(1, 6, False, Number(18)), ("scores", "input")),
        Node("heads", rescale(rng, 2, 5), ("mixed",)),
        Node("sum", Add(9, INT8), ("input", "heads")),
    ]
    return Model(Graph(image(3, 2, 2, INT8), nodes), "products")


@pytest.mark.icarus
def test_paths_that_wait_for_a_whole_image_have_the_least_depths(tmp_path: Path) -> None:
    """At the least depths every tap is equal; with one beat less the design stands still."""
    model = products()
    x = np.random.default_rng(4).integers(-128, 128, (3, 3, 2, 2)).astype(np.int8)
    made = four_state(model, x, accel="composed", engine="reference", stalls=(0, 45))
    assert made.passed, made.reason
    depths = {part.node.name: part.depths for part in make_plan(model).parts if part.depths}
    # An image is 12 beats, a row 2. products: before its first sum all of `key`, while rows of x are taken for two
    # rows, one beat waits at the fork, and none else: 12 - 4 - 1. mixed: the images of `input` are kept, as long as
    # there are two. sum: all of `key` too, of which the residual path takes none.
    assert {name: [fifo.least for fifo in pair] for name, pair in depths.items()} == {
        "products": [7, 0],
        "mixed": [0, 0],
        "sum": [11, 0],
    }
    for fifo, least in (("n1_products_fifo0", 7), ("n5_sum_fifo0", 11)):
        assert with_depth(tmp_path / f"{fifo}_least", model, x, fifo, least) is None
        less = with_depth(tmp_path / f"{fifo}_less", model, x, fifo, least - 1)
        assert less is not None
        assert less.startswith("the design is stuck after")


@pytest.mark.icarus
def test_channels_of_two_paths_are_joined(tmp_path: Path) -> None:
    """A convolution's channels and those that it reads, at the least depth, not with one beat less; the greatest."""
    rng = np.random.default_rng(5)
    nodes = [
        Node("conv", Conv(weights(rng, 2, 3, 3, 2), padding=(1, 1, 1, 1), out=Number(20)), ("input",)),
        Node("y", rescale(rng, 2, 7), ("conv",)),
        Node("both", Concat(), ("y", "input")),
        Node("class", Argmax(3), ("both",)),
    ]
    model = Model(Graph(image(3, 3, 2, INT8), nodes), "concat")
    x = np.random.default_rng(4).integers(-128, 128, (3, 3, 3, 2)).astype(np.int8)
    for interval in (None, 81):
        settings = {"interval": interval}
        made = four_state(model, x, accel="composed", settings=settings, engine="reference", stalls=(0, 45))
        assert made.passed, made.reason
    (depths,) = (part.depths for part in make_plan(model).parts if part.depths)
    # Before its first sum the convolution needs two rows of three pixels of two channels; one value waits at the fork.
    assert [fifo.least for fifo in depths] == [0, 11]
    assert with_depth(tmp_path / "least", model, x, "n2_both_fifo1", 11) is None
    less = with_depth(tmp_path / "less", model, x, "n2_both_fifo1", 10)
    assert less is not None
    assert less.startswith("the design is stuck after")


# --- Softmax ----------------------------------------------------------------------------------------------------------


def softmax(places: int = 4, rows: int = 3, log2: float = -4.0) -> Model:
    """Softmax by a reciprocal of rows of int8: its own tables, made here by float64; then products of all kinds."""
    uint8, uint12, uint16 = (Number(bits, Sign.UNSIGNED) for bits in (8, 12, 16))
    exp = np.minimum(np.floor(4096 * np.exp(-np.arange(256) * 2.0**log2) + 0.5), 4095).astype(np.uint16)
    z = np.arange(1, 256 * places)
    reciprocal = np.concatenate([[65535], np.minimum((2 * 2**24 + z) // (2 * z), 65535)]).astype(np.uint16)
    total, shape = Number(8 + places.bit_length() - 1, Sign.UNSIGNED), (rows, places, 1)
    window = 1, places
    shift = np.zeros(1, np.int32), np.ones(1, np.int32), np.full(1, 21, np.uint8), np.zeros(1, np.int8)
    below = np.array([[-1], [1]], np.int16), np.zeros(1, np.uint8)
    nodes = [
        Node("rows", Reshape((0, 1, 2), shape), (INPUT,)),
        Node("highest", MaxPool(window, window), ("rows",)),
        Node("there", Conv(np.ones((places, 1, 1, 1), np.int8), out=INT8), ("highest",)),
        Node("there_rows", Reshape((0, 1, 2), shape), ("there",)),
        Node(
            "below",
            WeightedAdd(*below, 16, uint8),
            ("rows", "there_rows"),
        ),
        Node("exp", Lut(exp[None], TableRule.FULL, uint8, uint12), ("below",)),
        Node("total", SumPool(window, window, 16, Division.HALF_UP, False, 24, total), ("exp",)),
        Node("reciprocal", Lut(reciprocal[None], TableRule.FULL, total, uint16), ("total",)),
        Node("reciprocals", Reshape((0, 1, 2), (1, 1, rows)), ("reciprocal",)),
        Node("exps", Reshape((0, 1, 2), (1, 1, rows * places)), ("exp",)),
        Node("product", Matmul(rows, 1, False, Number(29)), ("reciprocals", "exps")),
        Node("product_rows", Reshape((0, 1, 2), shape), ("product",)),
        Node(
            "weights",
            Rescale(*shift, Rounding.HALF_UP, 33, UINT7),
            ("product_rows",),
        ),
        Node("attention", Reshape((0, 1, 2), (1, rows, places)), ("weights",)),
    ]
    return Model(Graph(image(1, rows, places, INT8), nodes), "softmax")


@pytest.mark.icarus
def test_softmax_by_a_reciprocal_flows_row_by_row(tmp_path: Path) -> None:
    """Every tap with stalls and resets, with FIFOs of a row; at their least depths too, not with one beat less."""
    model = softmax()
    x = np.random.default_rng(4).integers(-128, 128, (5, 1, 3, 4)).astype(np.int8)
    x[0], x[1, 0, 0], x[1, 0, 1] = 127, -128, [-128, 127, -128, 127]
    made = four_state(model, x, accel="composed", engine="reference", stalls=(0, 45))
    assert made.passed, made.reason
    plan = make_plan(model)
    assert plan.interval == 12
    depths = {part.node.name: part.depths for part in plan.parts if part.depths}
    # The highest of a row, and its sum, need all of its 4 beats, of which one waits at the fork.
    assert {name: [fifo.least for fifo in pair] for name, pair in depths.items()} == {
        "below": [3, 0],
        "product": [0, 3],
    }
    for fifo in ("n4_below_fifo0", "n10_product_fifo1"):
        assert with_depth(tmp_path / f"{fifo}_least", model, x, fifo, 3) is None
        less = with_depth(tmp_path / f"{fifo}_less", model, x, fifo, 2)
        assert less is not None
        assert less.startswith("the design is stuck after")


@pytest.mark.icarus
@pytest.mark.parametrize("interval", [None, 4])
def test_products_value_by_value(interval: int | None) -> None:
    """A value with the next ones, of one place of heads, signed and not; and one by one where it is transposed."""
    rng = np.random.default_rng(6)
    nodes = [
        Node("sums", Conv(weights(rng, 4, 1, 1, 8), out=Number(20)), (INPUT,)),
        Node("first", rescale(rng, 4, 6, Number(10)), ("sums",)),
        Node("y", Matmul(4, 1, False, Number(19)), ("first", INPUT)),
        Node("z", rescale(rng, 8, 5, UINT7), ("y",)),
        Node("last", Matmul(8, 1, True, Number(16)), ("z", INPUT)),
    ]
    if interval:
        nodes.pop()  # one value a beat
    model = Model(Graph(image(1, 1, 8, INT8), nodes), "products")
    made = [instance for part in make_plan(model, interval).parts for instance in part.instances]
    lanes = [instance.parameters["LANES"] for instance in made if instance.module == "few_product"]
    assert lanes == (["2"] if interval else ["1", "1"])
    x = rng.integers(-128, 128, (9, 1, 1, 8)).astype(np.int8)
    x[0], x[1] = 127, -128
    found = four_state(model, x, accel="composed", settings={"interval": interval}, engine="reference", stalls=(0, 45))
    assert found.passed, found.reason


# --- ROMs ------------------------------------------------------------------------------------------------------------


def signed(value: int, bits: int) -> int:
    """A number of two's complement."""
    return value - (1 << bits) if value >> (bits - 1) else value


def test_steps_share_their_files(tmp_path: Path) -> None:
    """One file of what nodes share: the arrays of an ODE block's operators are there once, whatever its steps."""
    names = []
    for steps in (1, 4):
        compose(attention(2, steps), tmp_path / str(steps))
        names.append(sorted(path.name.split("_", 1)[1] for path in (tmp_path / str(steps)).glob("*.hex")))
    assert names[0] == names[1]
    text = (tmp_path / "4" / "composed.v").read_text()
    (weight,) = (tmp_path / "4").glob("*_ode_step0_d_sums_w.hex")
    assert text.count(f'.W_FILE("{weight.name}")') == 4


def test_roms_hold_the_constants_of_scaling(tmp_path: Path) -> None:
    """Each weight of a depthwise kernel at its place, each constant in its bits: by what the modules' headers say."""
    rng = np.random.default_rng(9)
    depthwise = Conv(weights(rng, 4, 2, 3, 1), groups=4, out=Number(20))
    op = Rescale(
        rng.integers(-50, 50, 4).astype(np.int32),
        rng.integers(0, 90, 4).astype(np.int32),
        np.array([0, 3, 9, 5], np.uint8),
        rng.integers(-9, 9, 4).astype(np.int8),
        Rounding.FLOOR,
    )
    nodes = [Node("d", depthwise, ("input",)), Node("y", op, ("d",))]
    compose(Model(Graph(image(3, 3, 4, INT8), nodes), "m"), tmp_path / "c", 24)
    lines = words(tmp_path / "c", "n0_d_w.hex")
    # 2 places of rows, 1 of columns, 6 pixels: two channels a beat keep 24 cycles.
    assert len(lines) == 6 * 2
    for place in range(6):
        for channel in range(4):
            code = lines[place * 2 + channel // 2] >> 8 * (channel % 2) & 255
            assert signed(code, 8) == depthwise.weight[channel, place // 3, place % 3, 0]
    text = (tmp_path / "c" / "composed.v").read_text()
    text = text[text.index("few_affine #(") :]
    bits = {name: int(text.split(f".{name}(")[1].split(")")[0]) for name in ("W_W", "A_W", "S_W", "B_W")}
    for channel in range(4):
        code = words(tmp_path / "c", "n1_y_c.hex")[channel // 2] >> sum(bits.values()) * (channel % 2)
        found = []
        for name in ("W_W", "A_W", "S_W", "B_W"):
            part = code & ((1 << bits[name]) - 1)
            found.append(part if name == "S_W" else signed(part, bits[name]))
            code >>= bits[name]
        multiplier, shift = int(op.multiplier[channel]), int(op.shift[channel])
        # Rounded down is half up of half a unit less.
        added = int(op.addend[channel]) * multiplier - (1 << shift >> 1)
        assert found == [multiplier, added, shift, int(op.bias[channel])]


@pytest.mark.icarus
@pytest.mark.parametrize("rounding", [Rounding.HALF_EVEN, Rounding.HALF_AWAY, Rounding.DOUBLE])
def test_every_rounding_of_rescale(rounding: Rounding) -> None:
    """Ties of both signs, no shift, the greatest multipliers and shifts, ends of addends: values by whole numbers."""
    multiplier = np.array([1, 1, 5, 3, 2**31 - 1, 2**31 - 1, 2**30, 2**30], np.int32)
    shift = np.array([0, 1, 3, 1, 37, 62, 35, 60], np.uint8)
    addend = np.array([0, 1, -7, 9, 0, -(2**29), 16, 2**29], np.int32)
    bias = np.array([0, -3, 0, 5, 1, 0, 0, 0], np.int8)
    nodes = [Node("y", Rescale(addend, multiplier, shift, bias, rounding), ("input",))]
    model = Model(Graph(image(2, 8, 8, INT8), nodes), "rounded")
    x = np.repeat(np.arange(-128, 128, dtype=np.int8), 8).reshape(16, 2, 8, 8)
    found = four_state(model, x, accel="composed", engine="reference", stalls=(0, 40), settings={"interval": 64})
    assert found.passed, found.reason

    def by_hand(v: int, s: int) -> int:
        if rounding is Rounding.DOUBLE and s > 31:
            v, s = (v + (1 << 30)) >> 31, s - 31
        elif rounding is Rounding.DOUBLE:
            return (2 * v + (1 << s)) >> (s + 1)
        if rounding is Rounding.HALF_EVEN:
            return round(Fraction(v, 1 << s))
        return (2 * abs(v) + (1 << s)) // (2 << s) * (1 if v > 0 else -1)

    columns = [each.tolist() for each in (addend, multiplier, shift, bias)]
    plain = [
        [min(max(by_hand((v + a) * m, s) + b, -128), 127) for a, m, s, b in zip(*columns, strict=True)]
        for v in range(-128, 128)
    ]
    given = run(model, x, "all")["y"]
    assert given.reshape(256, 8).tolist() == plain


# --- What is refused -------------------------------------------------------------------------------------------------

NOTHING, ONE = np.zeros(2, np.int32), np.ones(2, np.int32)
REFUSED: dict[str, tuple[list[Operator], str]] = {
    "saturating": (
        [SumPool((2, 2), (2, 2), 1, Division.FLOOR, True, 9, INT8)],
        "takes sums of windows that are not saturated on the way, node 'n0' has saturating ones",
    ),
    "divisor": (
        [SumPool((2, 2), (2, 2), 3)],
        "takes sums of windows that are divided by powers of two, node 'n0' has the divisor 3",
    ),
    "order": (
        [Reshape((1, 0, 2), (4, 1, 2))],
        "takes values that are reshaped in the order that they lie in, node 'n0' has the order (1, 0, 2)",
    ),
    "towards zero": (
        [SumPool((2, 2), (2, 2), 4, Division.ZERO)],
        "takes quotients of sums rounded down or half up, node 'n0' has the rounding 'zero' of int8",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_module_is_refused_by_name(what: str) -> None:
    """One sentence with the node and what was expected."""
    ops, message = REFUSED[what]
    nodes = [Node(f"n{n}", op, (f"n{n - 1}" if n else "input",)) for n, op in enumerate(ops)]
    with pytest.raises(ModelError) as caught:
        make_plan(Model(Graph(image(2, 2, 2, INT8), nodes), "m"))
    assert str(caught.value) == f"the composed accelerator {message}"


def test_wide_second_factors_are_refused() -> None:
    """By their format."""
    nodes = [Node("y", Matmul(1, 2, True, Number(20)), ("input", "input"))]
    with pytest.raises(ModelError, match="products by signed numbers of up to 8 bits, or unsigned ones of one less"):
        make_plan(Model(Graph(image(2, 2, 2, UINT8), nodes), "m"))


SIGNS = Threshold(np.zeros((2, 1), np.int32), np.array([1, 0], np.uint8), np.array([-1, 1], np.int8), BIPOLAR)

# --- Sums of windows -------------------------------------------------------------------------------------------------


@pytest.mark.icarus
@pytest.mark.parametrize(
    ("number", "weight_number"), [(INT8, Number(3)), (BIPOLAR, BIPOLAR), (BIPOLAR, Number(1))], ids=str
)
def test_groups_of_several_channels_and_outputs(number: Number, weight_number: Number) -> None:
    """Convolutions of several groups, one with several outputs of each channel, padded, at several lanes."""
    rng = np.random.default_rng(8)
    ends = [-1, 1] if weight_number.bipolar else [weight_number.low, weight_number.high]
    first, second = (rng.choice(np.array(ends, np.int8), shape) for shape in ((6, 2, 3, 2), (8, 1, 2, 1)))
    nodes = [
        Node("a", Conv(first, (1, 1), (1, 1, 1, 1), (1, 1), 3, weight_number, Number(14)), ("input",)),
        Node("p", rescale(rng, 6, 3), ("a",)),
        Node(
            "b", Conv(np.repeat(second, 3, 0)[:12], (2, 1), (0, 0, 0, 1), (1, 1), 6, weight_number, Number(14)), ("p",)
        ),
    ]
    model = Model(Graph(image(4, 3, 6, number), nodes), "groups")
    x = (rng.choice([-1, 1], (2, 4, 3, 6)) if number.bipolar else rng.integers(-128, 128, (2, 4, 3, 6))).astype(np.int8)
    for interval in (None, 150):
        settings = {"interval": interval}
        found = four_state(model, x, accel="composed", settings=settings, engine="reference", stalls=(0, 40))
        assert found.passed, found.reason


@pytest.mark.icarus
@pytest.mark.parametrize(
    ("number", "padded", "pool"),
    [
        (INT8, 1, SumPool((2, 2), (1, 1), 4, Division.FLOOR, False, 23, Number(12))),
        (BIPOLAR, 1, SumPool((1, 3), (1, 2), 2, Division.HALF_UP, False, 23, Number(4))),
        (BIPOLAR, 0, SumPool((2, 1), (1, 1), 1, Division.FLOOR, False, 23, Number(9))),
    ],
    ids=str,
)
def test_sums_of_windows_of_every_kind(number: Number, padded: int, pool: SumPool) -> None:
    """Depthwise sums of numbers and of bits, padded or not, and pools of them, floor and half up."""
    rng = np.random.default_rng(3)
    weight = rng.choice(np.array([-1, 1], np.int8), (2, 3, 2, 1))
    op = Conv(weight, (1, 1), (padded,) * 4, (1, 1), 2, BIPOLAR, Number(12))
    nodes = [Node("d", op, ("input",)), Node("flat", SIGNS, ("d",)), Node("p", pool, ("flat",))]
    model = Model(Graph(image(4, 4, 2, number), nodes), "sums")
    x = (rng.choice([-1, 1], (3, 4, 4, 2)) if number.bipolar else rng.integers(-128, 128, (3, 4, 4, 2))).astype(np.int8)
    found = four_state(model, x, accel="composed", engine="reference", stalls=(0, 40))
    assert found.passed, found.reason


# --- Proofs ----------------------------------------------------------------------------------------------------------


@pytest.mark.yosys
@pytest.mark.parametrize(
    ("module", "before", "after"),
    [
        ("scale_lane", "{{(SUM_W - 1) {1'b0}}, wide_reg[0]}", "{{(SUM_W - 1) {1'b0}}, wide_reg[1]}"),
        ("window_sum_lane", "(first ? {ACC_W{1'b0}} : so_far)", "(first ? so_far : so_far)"),
        ("few_dot_product", "assign product = value * weight", "assign product = value * value"),
    ],
)
def test_blocks_are_proved_and_faults_refuted(module: str, before: str, after: str, tmp_path: Path) -> None:
    """Every block of its kind is its rule for all inputs; one with a fault is not, and inputs show it."""
    rng = np.random.default_rng(2)
    number = Number(3)
    nodes = [
        Node(
            "d", Conv(rng.integers(-2, 2, (2, 2, 1, 1)).astype(np.int8), groups=2, weight_number=Number(2)), ("input",)
        ),
        Node("relu", Relu(), ("d",)),
        Node("small", rescale(rng, 2, 2, number), ("relu",)),
        Node("square", Matmul(1, 2, True, Number(8)), ("small", "small")),
        Node(
            "mixed", WeightedAdd(np.array([[3, -2], [1, 4]], np.int16), np.array([1, 2], np.uint8)), ("small", "square")
        ),
    ]
    model = Model(Graph(image(3, 1, 2, number), nodes), "small")
    found = blocks(model, make_settings("composed", DEVICES["composed"].settings, {}))[module]
    for block in found:
        proof = prove_block(block)
        assert (proof.status, proof.wrong) == (PROVED, ""), block.name
    shutil.copytree(rtl_dir(), tmp_path / "rtl")
    source = tmp_path / "rtl" / "composed" / f"{module}.v"
    text = source.read_text()
    assert text.count(before) == 1
    source.write_text(text.replace(before, after))
    wrong = prove_block(found[0], tmp_path / "rtl")
    assert wrong.status == REFUTED
    assert wrong.witness
