"""Networks of few bits: convolution, greatest of a window, thresholds."""

import json
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fxsim
from fxsim import contract
from fxsim.cli import main
from fxsim.contract import BIPOLAR, CHANNEL, COLUMN, INT8, ROW, Number, Sign, TableRule, Tensor
from fxsim.engines.c import run_c
from fxsim.engines.compiled import instruction_sets, run_compiled
from fxsim.engines.loops import run_loops
from fxsim.errors import FileError, ModelError, StimulusError, ToolError
from fxsim.formats.onnx import export_onnx
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Affine, Conv, Lut, MaxPool, Operator, Relu, Threshold
from fxsim.traces.name_map import TapMap
from fxsim.traces.trace import arrange
from fxsim.traces.words import Words
from fxsim.vectors import FORMATS, check_vectors, write_vectors
from tests.strategies import arrays_of, numbers

Array = npt.NDArray[Any]

AXES = (ROW, COLUMN, CHANNEL)
INT2, INT16, UINT8, UINT1 = Number(2), Number(16), Number(8, Sign.UNSIGNED), Number(1, Sign.UNSIGNED)


def one(op: Operator, shape: tuple[int, ...], number: Number = INT8) -> Model:
    """A model of one operator on an image of rows, columns and channels."""
    return Model(Graph(Tensor(AXES, shape, number), (Node("y", op, (INPUT,)),)), "one")


# --- The rules, each against a statement of its own: Python integers, one value after the other ----------------------


def conv_by_hand(op: Conv, x: Array) -> dict[tuple[int, ...], int]:
    """A convolution of one image: each pixel is sent to the outputs that it is a part of."""
    rows, columns, _ = x.shape
    outputs, kernel_rows, kernel_columns, each = op.weight.shape
    top, left, bottom, right = op.padding
    ends = [
        (size + before + after - apart * (kernel - 1) - 1) // step
        for size, before, after, apart, kernel, step in zip(
            (rows, columns), (top, left), (bottom, right), op.dilation, (kernel_rows, kernel_columns), op.stride,
            strict=True,
        )
    ]  # fmt: skip
    y: dict[tuple[int, ...], int] = dict.fromkeys(product(range(ends[0] + 1), range(ends[1] + 1), range(outputs)), 0)
    for (i, j, channel), value in np.ndenumerate(x):
        for n, r, s in product(range(outputs), range(kernel_rows), range(kernel_columns)):
            down, over = i + top - r * op.dilation[0], j + left - s * op.dilation[1]
            group = n * op.groups // outputs
            place = down // op.stride[0], over // op.stride[1], n
            if down % op.stride[0] or over % op.stride[1] or place not in y or channel // each != group:
                continue
            y[place] += int(value) * int(op.weight[n, r, s, channel - group * each])
    return y


def pool_by_hand(op: MaxPool, x: Array) -> dict[tuple[int, ...], int]:
    """The greatest of each window, the last of it sorted."""
    (rows, columns), (down, over) = op.kernel, op.stride
    return {
        (i // down, j // over, c): sorted(x[i : i + rows, j : j + columns, c].ravel().tolist())[-1]
        for i in range(0, x.shape[0] - rows + 1, down)
        for j in range(0, x.shape[1] - columns + 1, over)
        for c in range(x.shape[2])
    }


def threshold_by_hand(op: Threshold, x: Array) -> dict[tuple[int, ...], int]:
    """A staircase: the level of a value is found between sorted thresholds."""
    y = {}
    for place, value in np.ndenumerate(x):
        steps = sorted(op.threshold[place[-1]].tolist(), reverse=not op.rising[place[-1]])
        k = 0
        while k < len(steps) and (steps[k] <= value if op.rising[place[-1]] else steps[k] >= value):
            k += 1
        y[place] = int(op.levels[k])
    return y


BY_HAND = {Conv: conv_by_hand, MaxPool: pool_by_hand, Threshold: threshold_by_hand}


@st.composite
def convs(draw: st.DrawFn, bits_max: int = 5) -> tuple[Conv, Tensor]:
    """A convolution that fits an image, and that image's tensor."""
    groups, each, share = (draw(st.integers(1, 3)) for _ in range(3))
    kernel, dilation = ([draw(st.integers(1, 3)) for _ in range(2)] for _ in range(2))
    spans = [dilation[i] * (kernel[i] - 1) for i in range(2)]
    padding = tuple(draw(st.integers(0, spans[i % 2])) for i in range(4))
    stride = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    around = [padding[i] + padding[2 + i] for i in range(2)]
    shape = *(max(1, spans[i] + 1 - around[i]) + draw(st.integers(0, 4)) for i in range(2)), groups * each
    weight_number = Number(draw(st.integers(2, 4)))
    weight = draw(arrays_of(weight_number, (share * groups, *kernel, each)))
    number = draw(numbers(2, bits_max))
    op = Conv(weight, stride, padding, (dilation[0], dilation[1]), groups, weight_number, INT16)  # type: ignore[arg-type]
    return op, Tensor(AXES, shape, number)


@st.composite
def pools(draw: st.DrawFn) -> tuple[MaxPool, Tensor]:
    """A pool that fits an image, and that image's tensor."""
    kernel, stride = ((draw(st.integers(1, 3)), draw(st.integers(1, 3))) for _ in range(2))
    shape = *(kernel[i] + draw(st.integers(0, 4)) for i in range(2)), draw(st.integers(1, 3))
    return MaxPool(kernel, stride), Tensor(AXES, shape, draw(numbers(2)))


@st.composite
def thresholds(draw: st.DrawFn) -> tuple[Threshold, Tensor]:
    """Thresholds near the values that an image may have, and that image's tensor."""
    x, out = draw(numbers(2)), draw(numbers(2))
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 4))
    steps = draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    values = rng.integers(x.low - 1, x.high + 2, (shape[2], steps)).astype(np.int32)
    ends = rng.choice(np.array([-(2**31), 2**31 - 1, x.low, x.high], np.int32), values.shape)
    values = np.where(rng.random(values.shape) < 0.2, ends, values)
    rising = rng.integers(0, 2, shape[2]).astype(np.uint8)
    return Threshold(values, rising, draw(arrays_of(out, (steps + 1,))), out), Tensor(AXES, shape, x)


@given(case=st.one_of(convs(), pools(), thresholds()), data=st.data())
def test_every_engine_computes_what_is_computed_by_hand(case: tuple[Operator, Tensor], data: st.DataObject) -> None:
    """Contract, reference engine, plain loops and the compiled engine give each operator's values."""
    op, tensor = case
    model = one(op, tensor.shape, tensor.number)
    x = data.draw(arrays_of(tensor.number, (2, *tensor.shape)))
    found = fxsim.run(model, x, engine="reference")["y"]
    assert found.dtype == model.graph.tensors["y"].number.dtype
    for image, y in zip(x, found, strict=True):
        expected = BY_HAND[type(op)](op, image)  # type: ignore[operator]  # each takes its own
        assert {place: int(value) for place, value in np.ndenumerate(y)} == expected
    np.testing.assert_array_equal(run_loops(model, x, ("y",))["y"], found)
    for isa in instruction_sets():
        np.testing.assert_array_equal(run_compiled(model, x, ("y",), 1, isa.name)["y"], found, isa.name)


def test_thresholds_of_every_value() -> None:
    """Each int8 value against each threshold, in both directions: x >= t counts, or x <= t, ties too."""
    t = np.arange(-130, 131, dtype=np.int32)
    x = np.broadcast_to(np.arange(-128, 128, dtype=np.int8)[:, None], (256, len(t)))
    for rising, compare in ((1, int.__ge__), (0, int.__le__)):
        directions = np.full(len(t), rising, np.uint8)
        found = contract.threshold(x, t[:, None], directions, np.array([-1, 1], np.int8))
        for row, value in zip(found.tolist(), range(-128, 128), strict=True):
            assert row == [1 if compare(value, step) else -1 for step in range(-130, 131)]


# --- The forms that leave the package --------------------------------------------------------------------------------


def small(seed: int = 3) -> Model:
    """A network of every operator: groups, padding, dilation, stride, both directions, ternary weights."""
    rng = np.random.default_rng(seed)

    def steps(channels: int, least: int, most: int, levels: list[int], out: Number) -> Threshold:
        values = rng.integers(least, most, (channels, len(levels) - 1)).astype(np.int32)
        rising = rng.integers(0, 2, channels).astype(np.uint8)
        return Threshold(values, rising, np.array(levels, out.dtype), out)

    def weight(*shape: int) -> Array:
        return rng.integers(-1, 2, shape).astype(np.int8)

    nodes = (
        Node("conv0", Conv(weight(6, 3, 3, 2), padding=(1, 2, 0, 1), dilation=(1, 2), weight_number=INT2), (INPUT,)),
        Node("act0", steps(6, -300, 300, [-1, 0, 1], INT2), ("conv0",)),
        Node("pool", MaxPool((2, 2), (2, 1)), ("act0",)),
        Node("conv1", Conv(weight(4, 2, 3, 3), (1, 2), groups=2, weight_number=INT2), ("pool",)),
        Node("act1", steps(4, -5, 5, [0, 3, 9, 15], Number(4, Sign.UNSIGNED)), ("conv1",)),
        Node("wide", MaxPool((1, 1), (1, 1)), ("act1",)),
        Node("scores", Conv(weight(5, 1, 1, 4), weight_number=INT2), ("wide",)),
    )
    return Model(Graph(Tensor(AXES, (7, 9, 2), UINT8), nodes), "small_few_bits")


def images(model: Model, count: int, seed: int = 7) -> Array:
    """Random images of a model's input format."""
    number = model.graph.input.number
    rng = np.random.default_rng(seed)
    drawn: Array = rng.integers(number.low, number.high, (count, *model.graph.input_shape), number.dtype, endpoint=True)
    return drawn


def equal_taps(found: dict[str, Array], expected: dict[str, Array]) -> None:
    """Every tap is there, with the same values."""
    assert found.keys() == expected.keys()
    for tap, values in expected.items():
        np.testing.assert_array_equal(found[tap], values, tap)


def test_a_model_file_gives_the_same_network(tmp_path: Path) -> None:
    """Saved and read, it has the same operators and the same bytes."""
    model = small()
    fxsim.save(model, tmp_path / "a.safetensors")
    again = fxsim.load(tmp_path / "a.safetensors")
    assert again == model
    fxsim.save(again, tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()
    x = images(model, 3)
    expected = fxsim.run(model, x, "all")
    assert all(len(np.unique(values)) > 1 for values in expected.values())
    equal_taps(fxsim.run(again, x, "all"), expected)
    equal_taps(run_loops(again, x, model.graph.taps), expected)


def test_info_and_vectors_take_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`info` counts by hand's rules; `vectors` writes what its check, from its own files alone, finds equal."""
    model = small()
    fxsim.save(model, tmp_path / "m.safetensors")

    def call(*args: str | Path) -> str:
        with pytest.raises(SystemExit) as caught:
            main([str(arg) for arg in args])
        out = capsys.readouterr().out
        assert caught.value.code == 0, out
        return out

    summary = json.loads(call("info", tmp_path / "m.safetensors", "--json"))
    conv, steps = summary["operators"][:2]
    # 3 x 3 x 2 weights an output, of which there are 6 x 8 x 6; 6 x 2 thresholds of 4 bytes, 6 directions, 3 levels.
    assert (conv["kind"], conv["shape"], conv["macs"]) == ("conv", [6, 8, 6], 18 * 6 * 8 * 6)
    assert (steps["kind"], steps["number"], steps["table_bytes"]) == ("threshold", "int2", 4 * 12 + 6 + 3)
    weights = np.abs(model.graph.by_name["conv0"].op.weight.astype(int)).sum(axis=(1, 2, 3))  # type: ignore[attr-defined]
    assert conv["acc_bits_needed"] <= int(255 * weights.max()).bit_length() + 1 <= conv["acc_bits"]
    call("vectors", tmp_path / "m.safetensors", "--random", "2", "--taps", "all", "-o", tmp_path / "v")
    assert "2 images of small_few_bits" in call("vectors", "--check", tmp_path / "v")
    # The format of a tap of 4 bits without sign is one digit a value.
    lines = (tmp_path / "v" / "taps" / "act1.hex").read_text().split()
    stimulus = np.load(tmp_path / "v" / "stimulus.npy")
    assert [int(line, 16) for line in lines] == fxsim.run(model, stimulus, "act1")["act1"].ravel().tolist()


def test_c_computes_every_tap() -> None:
    """The network in C gives every tap's values."""
    model = small()
    x = images(model, 5)
    equal_taps(run_c(model, x, model.graph.taps), fxsim.run(model, x, "all"))


@pytest.mark.onnx
def test_onnx_computes_every_tap(tmp_path: Path) -> None:
    """ONNX Runtime gives every tap's values."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = small()
    x = images(model, 5)
    export_onnx(model, tmp_path / "small.onnx", taps="all")
    session = onnxruntime.InferenceSession(tmp_path / "small.onnx")
    found = dict(zip(model.graph.taps, session.run(list(model.graph.taps), {INPUT: x}), strict=True))
    equal_taps(found, fxsim.run(model, x, "all"))


@pytest.mark.onnx
@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("number", [Number.parse(text) for text in ("int9", "int16", "uint9", "uint16")], ids=str)
def test_onnx_sums_codes_of_two_bytes(number: Number, groups: int, tmp_path: Path) -> None:
    """Convolutions of 9 to 16 bits, padded: the sums of the plain statement, the extreme inputs among them."""
    onnxruntime = pytest.importorskip("onnxruntime")
    rng = np.random.default_rng(number.bits + groups)
    weight = rng.integers(-128, 128, (4, 3, 2, 4 // groups)).astype(np.int8)
    op = Conv(weight, (1, 2), (1, 1, 2, 0), (1, 1), groups, out=Number(32))
    model = one(op, (4, 5, 4), number)
    x = np.concatenate([images(model, 3), np.full((1, 4, 5, 4), number.low, number.dtype)])
    x = np.concatenate([x, np.full((1, 4, 5, 4), number.high, number.dtype), np.zeros((1, 4, 5, 4), number.dtype)])
    export_onnx(model, tmp_path / "y.onnx")
    (found,) = onnxruntime.InferenceSession(tmp_path / "y.onnx").run(["y"], {INPUT: x})
    for image, values in zip(x, found, strict=True):
        assert {place: int(values[place]) for place in np.ndindex(*values.shape)} == conv_by_hand(op, image)


@pytest.mark.onnx
@pytest.mark.parametrize(("number", "factor"), [(Number(8), -128), (Number(12), -8)], ids=str)
def test_onnx_sums_more_products_than_int32_holds_of_bytes(number: Number, factor: int, tmp_path: Path) -> None:
    """A sum of 33,025 products and of one more, each of the greatest size: the products counted."""
    onnxruntime = pytest.importorskip("onnxruntime")
    for channels in (33_025, 33_026, 65_536):
        weight = np.full((1, 1, 1, channels), factor, np.int8)
        weight[0, 0, 0, -1] = 127  # what the last part has is seen
        model = one(Conv(weight, out=Number(32)), (1, 1, channels), number)
        x = np.full((1, 1, 1, channels), number.low, number.dtype)
        x[..., 0] = 1
        export_onnx(model, tmp_path / f"{channels}.onnx")
        (found,) = onnxruntime.InferenceSession(tmp_path / f"{channels}.onnx").run(["y"], {INPUT: x})
        assert found.ravel().tolist() == [factor * number.low * (channels - 2) + factor + 127 * number.low]


@pytest.mark.onnx
def test_onnx_refuses_what_it_cannot_sum(tmp_path: Path) -> None:
    """A convolution of more products in each of two groups than int32 holds is refused by name."""
    model = one(Conv(np.ones((2, 1, 2, 16_513), np.int8), groups=2, out=Number(32)), (1, 2, 33_026), Number(8))
    with pytest.raises(FileError, match="node 'y' has 2 groups of 2 places and 33,026 products a sum"):
        export_onnx(model, tmp_path / "y.onnx")


# --- Numbers of one bit, and of 32 -----------------------------------------------------------------------------------


def test_bipolar_is_one_bit_for_two_values() -> None:
    """A bipolar number is -1 or 1, in int8, of its own name; 0 is none, and neither is one of two bits."""
    assert (str(BIPOLAR), Number.parse("bipolar"), BIPOLAR.dtype) == ("bipolar", BIPOLAR, np.int8)
    assert (BIPOLAR.low, BIPOLAR.high, BIPOLAR.codes, BIPOLAR.signed) == (-1, 1, 2, True)
    found = [BIPOLAR.holds(np.array([v])) for v in range(-3, 4)]
    assert found == BIPOLAR.held(np.arange(-3, 4)).tolist() == [False, False, True, False, True, False, False]
    with pytest.raises(ModelError, match="a bipolar number has 2 bits, expected 1"):
        Number(2, Sign.BIPOLAR)


def one_bit(seed: int = 5) -> Model:
    """A binary network: bipolar in, weights and between, sums of 32 bits, a table to one unsigned bit."""
    rng = np.random.default_rng(seed)

    def weight(*shape: int) -> Array:
        return rng.choice(np.array([-1, 1], np.int8), shape)

    steps = Threshold(
        rng.integers(-2, 3, (3, 1)).astype(np.int32), np.array([1, 0, 1], np.uint8), np.array([-1, 1], np.int8), BIPOLAR
    )
    wide = Threshold(
        np.array([[-1000], [2], [1000]], np.int32), np.ones(3, np.uint8), np.array([0, 1], np.uint8), UINT1
    )
    nodes = (
        Node("conv", Conv(weight(3, 3, 3, 2), padding=(1, 1, 1, 1), weight_number=BIPOLAR), (INPUT,)),
        Node("act", steps, ("conv",)),
        Node("pool", MaxPool((2, 2), (2, 2)), ("act",)),
        Node("sums", Conv(weight(3, 2, 2, 3), weight_number=BIPOLAR, out=Number(32)), ("pool",)),
        Node("largest", MaxPool((1, 1), (1, 1)), ("sums",)),
        Node("bits", wide, ("largest",)),
    )
    return Model(Graph(Tensor(AXES, (4, 4, 2), BIPOLAR), nodes), "one_bit")


def large_sums() -> Model:
    """Sums of products that need 32 bits, at both of their ends for some image."""
    weight = np.stack([np.full((2, 2, 64), 127, np.int8), np.full((2, 2, 64), -128, np.int8)])
    nodes = (Node("y", Conv(weight, out=Number(32)), (INPUT,)),)
    return Model(Graph(Tensor(AXES, (2, 2, 64), INT16), nodes), "large_sums")


@pytest.mark.parametrize("model", [one_bit(), large_sums()], ids=lambda model: model.name)
def test_every_form_takes_bits_and_wide_sums(model: Model, tmp_path: Path) -> None:
    """Numbers of one bit and of 32 are the same in engines, C, a model file and vectors of every format."""
    x = fxsim.vectors.draw_stimulus("uniform", 9, model.graph.input, 3)
    x[0] = model.graph.input.number.low
    assert set(np.unique(x)) == {-1, 1} or x.min() == -32768
    expected = fxsim.run(model, x, "all", engine="reference")
    for node in model.graph.nodes:
        if type(node.op) in BY_HAND:
            before = x if node.inputs == (INPUT,) else expected[node.inputs[0]]
            by_hand = BY_HAND[type(node.op)](node.op, before[0])  # type: ignore[operator]  # each takes its own
            assert {at: int(v) for at, v in np.ndenumerate(expected[node.name][0])} == by_hand
    equal_taps(run_loops(model, x, model.graph.taps), expected)
    for isa in instruction_sets():
        equal_taps(run_compiled(model, x, model.graph.taps, isa=isa.name), expected)
        last = model.graph.output
        equal_taps(run_compiled(model, x, (last,), isa=isa.name), {last: expected[last]})
    equal_taps(run_c(model, x, model.graph.taps), expected)
    fxsim.save(model, tmp_path / "m.safetensors")
    assert fxsim.load(tmp_path / "m.safetensors") == model
    for name, fmt in FORMATS.items():
        write_vectors(model, x, tmp_path / name, "all", name)
        assert check_vectors(tmp_path / name).passed
        for tap, values in expected.items():
            data = (tmp_path / name / f"taps/{tap}{fmt.suffix}").read_bytes()
            number, flat = model.graph.tensors[tap].number, values.ravel().tolist()
            if name == "hex":
                codes = [max(v, 0) if number == BIPOLAR else v % 2**number.bits for v in flat]
                assert data.decode() == "".join(f"{code:0{-(-number.bits // 4)}x}\n" for code in codes)
            elif name == "npy":
                np.testing.assert_array_equal(np.load(tmp_path / name / f"taps/{tap}.npy"), values, strict=True)
            elif name == "c":
                text = data.decode()
                assert (
                    list(map(int, text[text.index("= {") + 3 : text.index("}")].split(","))) == values.ravel().tolist()
                )


@pytest.mark.onnx
def test_onnx_computes_bits(tmp_path: Path) -> None:
    """ONNX Runtime gives every tap's values of a binary network."""
    onnxruntime = pytest.importorskip("onnxruntime")
    model = one_bit()
    x = fxsim.vectors.draw_stimulus("uniform", 9, model.graph.input, 4)
    export_onnx(model, tmp_path / "bits.onnx", taps="all")
    session = onnxruntime.InferenceSession(tmp_path / "bits.onnx")
    found = dict(zip(model.graph.taps, session.run(list(model.graph.taps), {INPUT: x}), strict=True))
    equal_taps(found, fxsim.run(model, x, "all"))


@pytest.mark.parametrize(
    ("tap", "name", "flip", "said"),
    [
        ("act", "hex", 1, "expected -1, found 1"),
        ("act", "c", 0, "found"),
        ("sums", "hex", 1, "expected"),
        ("sums", "npy", 1, "expected"),
    ],
)
def test_a_changed_bit_is_found(tap: str, name: str, flip: int, said: str, tmp_path: Path) -> None:
    """The check of vectors names the value that a changed bit or digit stands for, and its place."""
    model = one_bit()
    x = fxsim.vectors.draw_stimulus("uniform", 2, model.graph.input, 3)
    values = fxsim.run(model, x, "all")[tap]
    write_vectors(model, x, tmp_path / "v", "all", name)
    path = next((tmp_path / "v" / "taps").glob(f"{tap}.*"))
    data = bytearray(path.read_bytes())
    if name == "hex":
        at = int(np.flatnonzero(values.ravel() < 0)[0])
        width = len(path.read_text().split()[0]) + 1
        data[at * width + width - 2] ^= flip
    elif name == "npy":
        data[-4] ^= flip
    else:
        data[data.index(b"= {") + 4] = ord("7")  # "-1" or " 1"
    path.write_bytes(data)
    (problem,) = check_vectors(tmp_path / "v").problems
    assert said in problem.message
    if name == "hex":
        assert problem.expected == values.ravel()[at]
        code = int(path.read_text().split()[at], 16)
        assert problem.found == str(2 * code - 1 if tap == "act" else code - 2**32)


def test_zero_is_no_bipolar_value() -> None:
    """A stimulus with a 0 between is refused by its place, in Python and by the program in C."""
    model = one_bit()
    x = fxsim.vectors.draw_stimulus("uniform", 2, model.graph.input, 3)
    x[1, 2, 3, 1] = 0
    with pytest.raises(StimulusError, match=r"has 0 at \[1, 2, 3, 1\], expected bipolar, -1 or 1"):
        fxsim.run(model, x)
    with pytest.raises(ToolError, match="image 1 has 0 at value 23, expected -1 or 1"):
        run_c(model, x, model.graph.taps)


def test_traces_read_bits_as_bipolar() -> None:
    """A trace's bit is -1 where it is 0; lanes of bits are values; a map that states a sign says what it states."""
    values = np.array([-1, 1, 1, -1, 1, 1, -1, -1], np.int8)
    tensor, bits = Tensor((CHANNEL,), (4,), BIPOLAR), "".join("1" if v > 0 else "0" for v in values)
    one = Words("t", 1, np.array([[int(bit)] for bit in bits], np.uint8))
    found = arrange(one, TapMap(name="y", signal="s"), tensor, 2, "t")
    np.testing.assert_array_equal(found, values.reshape(2, 4))
    four = Words("t", 4, np.array([[int(bits[i : i + 4][::-1], 2)] for i in (0, 4)], np.uint8))
    np.testing.assert_array_equal(arrange(four, TapMap(name="y", signal="s"), tensor, 2, "t"), values.reshape(2, 4))
    stated = arrange(one, TapMap(name="y", signal="s", signed=False), tensor, 2, "t")
    np.testing.assert_array_equal(stated, (values.reshape(2, 4) > 0).astype(int))


def test_info_counts_bytes_of_wide_parameters(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A bias of 16 bits is two bytes of storage, a shift one."""
    op = Affine(np.ones(5, np.int8), np.zeros(5, np.int16), np.zeros(5, np.uint8), 24, out=INT16)
    fxsim.save(Model(Graph((2, 5), (Node("y", op, (INPUT,)),)), "wide"), tmp_path / "m.safetensors")
    with pytest.raises(SystemExit):
        main(["info", str(tmp_path / "m.safetensors"), "--json"])
    (found,) = json.loads(capsys.readouterr().out)["operators"]
    assert (found["parameters"], found["parameter_bytes"]) == (15, 5 + 10 + 5)
    with pytest.raises(SystemExit):
        main(["info", str(tmp_path / "m.safetensors")])
    assert "15 parameters of 20 bytes" in capsys.readouterr().out


# --- What is refused -------------------------------------------------------------------------------------------------

WEIGHT = np.ones((2, 3, 3, 1), np.int8)
STEPS, UP, LEVELS = np.zeros((2, 2), np.int32), np.ones(2, np.uint8), np.zeros(3, np.int8)
REFUSED: dict[str, tuple[Any, str]] = {
    "stride 0": (lambda: Conv(WEIGHT, (0, 1)), "conv stride is .0, 1., expected 2 numbers of 1 to 65536"),
    "three strides": (lambda: Conv(WEIGHT, (1, 1, 1)), "conv stride is .1, 1, 1., expected 2 numbers"),
    "half a stride": (lambda: Conv(WEIGHT, (1.5, 1)), "conv stride is 1.5, expected a whole number"),
    "padding of two": (lambda: Conv(WEIGHT, padding=(1, 1)), "conv padding is .1, 1., expected 4 numbers of 0 to"),
    "padding as wide as the kernel": (
        lambda: Conv(WEIGHT, padding=(2, 2, 3, 2)),
        r"conv padding is \(2, 2, 3, 2\), expected less than the kernel spans, \[2, 2\] at most",
    ),
    "dilation 0": (lambda: Conv(WEIGHT, dilation=(1, 0)), "conv dilation is .1, 0., expected 2 numbers of 1"),
    "groups": (lambda: Conv(WEIGHT, groups=3), "conv of 2 outputs cannot have 3 groups"),
    "weights of too many bits": (lambda: Conv(2 * WEIGHT, weight_number=INT2), "conv weight reaches from 2 to 2"),
    "bipolar relu": (
        lambda: one(Relu(), (1, 1, 1), BIPOLAR), "relu input is bipolar, expected one that holds 0 too",
    ),
    "bipolar affine": (
        lambda: Affine(np.ones(1, np.int8), np.zeros(1, np.int8), np.zeros(1, np.uint8), out=BIPOLAR),
        "affine result number is bipolar, expected one that holds 0 too",
    ),
    "interpolation to bipolar": (
        lambda: Lut(np.ones((1, 4), np.int8), TableRule.CLAMP, INT8, BIPOLAR), "lut result number is bipolar",
    ),
    "a level of 0": (lambda: Threshold(STEPS, UP, LEVELS, BIPOLAR), "threshold levels reaches from 0 to 0, expected"),
    "a weight of 0": (
        lambda: Conv(np.zeros((1, 1, 1, 1), np.int8), weight_number=BIPOLAR), "conv weight reaches from 0 to 0",
    ),
    "sums of more than 32 bits": (lambda: Conv(WEIGHT, out="int33"), "conv result number is 'int33', expected a num"),
    "an input of sums": (lambda: one(Conv(WEIGHT), (3, 3, 1), Number(17)), "graph input is int17, expected one of"),
    "unsigned sums": (lambda: Conv(WEIGHT, out=UINT8), "conv result number is uint8, expected a signed number"),
    "tokens": (
        lambda: Graph((3, 1), (Node("y", Conv(WEIGHT), (INPUT,)),)),
        "node 'y': conv takes rows, columns and channels, its input has the axes token, channel",
    ),
    "other channels": (lambda: one(Conv(WEIGHT), (3, 3, 2)), "conv of 1 x 1 channels cannot take an input of 2"),
    "too small": (lambda: one(Conv(WEIGHT), (3, 2, 1)), r"conv of 3 x 3 does not fit into an input of shape \(3, 2, 1"),
    "sums too wide": (
        lambda: one(Conv(WEIGHT, out=Number(11)), (3, 3, 1)),
        r"output channel 0: the accumulator can reach \[-1152, 1143\], which needs 12 bits, but 11 are stated",
    ),
    "much padding": (
        lambda: one(Conv(np.ones((1, 2, 2, 1), np.int8), (1, 1), (9999,) * 4, (9999, 9999)), (1, 1, 1)),
        "conv pads an image to more than 67,108,864 values",
    ),
    "window of nothing": (lambda: MaxPool((0, 1), (1, 1)), "max_pool kernel is .0, 1., expected 2 numbers of 1 to"),
    "window too large": (lambda: one(MaxPool((2, 2), (1, 1)), (1, 2, 1)), "max_pool of 2 x 2 does not fit into an"),
    "direction 2": (lambda: Threshold(STEPS, 2 * UP, LEVELS), "threshold rising of channel 0 is 2, expected 0 or 1"),
    "a level missing": (lambda: Threshold(STEPS, UP, LEVELS[1:]), "threshold has 2 levels, expected 3 for 2 thresh"),
    "a level too high": (
        lambda: Threshold(STEPS, UP, LEVELS + np.int8(2), INT2), "threshold levels reaches from 2 to 2, expected int2",
    ),
    "other thresholds": (
        lambda: one(Threshold(STEPS, UP, LEVELS), (1, 1, 3)), "threshold of 2 channels cannot take an input of shape",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused(case: str) -> None:
    """Operators that state what cannot be, and inputs that do not fit, are refused with one sentence."""
    build, message = REFUSED[case]
    with pytest.raises(ModelError, match=message):
        build()
