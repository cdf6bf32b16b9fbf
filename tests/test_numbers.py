"""Number formats: every room computes, keeps and shows tensors of 4 to 16 bits, or refuses them by name."""

import json
import logging
import struct
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

import fxsim.paths
from fxsim import contract
from fxsim.cli import main
from fxsim.contract import CHANNEL, INT8, RANGED, TOKEN, Number, Sign, TableRule, Tensor, bias_number
from fxsim.engines import Engine, chosen_engine, run
from fxsim.engines.compiled import instruction_sets, run_compiled
from fxsim.engines.loops import run_loops
from fxsim.errors import FileError, ModelError, StimulusError
from fxsim.formats import load, model_sha256, save
from fxsim.formats.onnx import onnx_bytes, open_onnx
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Affine, Argmax, Gate, Linear, Lut, Pool, Relu, Rescale
from fxsim.vectors import FORMATS, check_vectors, draw_stimulus, write_vectors
from tests import oracle
from tests.strategies import arrays_of, formatted_graphs, formatted_images, numbers

UINT4, INT12, UINT16 = Number(4, Sign.UNSIGNED), Number(12), Number(16, Sign.UNSIGNED)
NUMBERS = [Number(bits, sign) for bits in range(1, 33) for sign in RANGED]
Array = np.ndarray[Any, Any]


def mixed_model() -> Model:
    """uint4 in, 4-bit weights to int12, a table to uint16, a mean, 2-bit weights to int16 scores."""
    rng = np.random.default_rng(7)
    first = Linear(
        rng.integers(-8, 8, (6, 5), np.int8), rng.integers(-2048, 2048, 6, np.int16), np.full(6, 1, np.uint8),
        acc_bits=16, weight_number=Number(4), out=INT12,
    )  # fmt: skip
    table = Lut(rng.integers(0, 65536, (6, 65), np.uint16), TableRule.ENDPOINT, INT12, UINT16)
    scores = Linear(
        rng.integers(-2, 2, (3, 6), np.int8), rng.integers(-9, 9, 3, np.int16), np.full(3, 2, np.uint8),
        acc_bits=22, weight_number=Number(2), out=Number(16),
    )  # fmt: skip
    nodes = [("first", first), ("curve", table), ("mean", Pool(4, 19)), ("scores", scores)]
    names = [INPUT, *(name for name, _ in nodes)]
    graph = Graph(
        Tensor((TOKEN, CHANNEL), (4, 5), UINT4),
        [Node(name, op, (source,)) for (name, op), source in zip(nodes, names, strict=False)],
    )
    return Model(graph, "mixed")


MIXED = mixed_model()


def images(count: int = 5) -> Array:
    """Images for `mixed_model`."""
    return np.random.default_rng(3).integers(0, 16, (count, 4, 5), np.uint8)


# --- formats and tensors ---


@pytest.mark.parametrize("number", NUMBERS, ids=str)
def test_ranges_are_those_of_the_bits(number: Number) -> None:
    """Each format's ends are all that its bits can say, its text names it, and its numpy type holds it."""
    assert (number.low, number.high) == oracle.ends(number)
    assert number.high - number.low + 1 == number.codes == 2**number.bits
    assert Number.parse(str(number)) == number
    limits = np.iinfo(number.dtype)
    assert limits.min <= number.low
    assert number.high <= limits.max
    narrower = [t for t in "bhi" if np.dtype(t).itemsize < number.dtype.itemsize]
    kinds = [t if number.signed else t.upper() for t in narrower]
    assert all(np.iinfo(t).max < number.high for t in kinds)


@pytest.mark.parametrize("text", ["int0", "int33", "uint", "int08", "float8", "Int8", "int8 ", "sint4", ""])
def test_other_texts_are_no_formats(text: str) -> None:
    """A text that names no format is refused, by what it is."""
    with pytest.raises(ModelError, match="number format is"):
        Number.parse(text)


@pytest.mark.parametrize(
    ("axes", "shape", "message"),
    [
        (("token",), (1, 2), "the axes"),
        (("token", "token"), (1, 2), "distinct"),
        (("Token",), (1,), "lower-case"),
        (("token",), (0,), "sizes of 1 to 65536"),
        (("token",), (65537,), "sizes of 1 to 65536"),
        ((), (), "expected 1 to 8"),
    ],
)
def test_tensors_that_may_not_exist(axes: tuple[str, ...], shape: tuple[int, ...], message: str) -> None:
    """Axes without sizes, twice the same name, and sizes out of range are refused."""
    with pytest.raises(ModelError, match=message):
        Tensor(axes, shape)


@given(out=numbers(2, 16))
def test_a_bias_moves_any_value_to_any_other(out: Number) -> None:
    """From the least value of a result to its greatest and back is within the format of its bias."""
    bias = bias_number(out)
    span = out.high - out.low if not out.signed else out.high
    assert bias.low <= -span <= span <= bias.high
    assert bias.signed
    assert bias_number(INT8) == INT8


# --- arithmetic: against exact integers ---


@pytest.mark.slow
@settings(max_examples=150)
@given(data=st.data())
def test_the_contract_over_all_formats(data: st.DataObject) -> None:
    """Rounding, saturation and interpolation give exact arithmetic's value for operands of any formats."""
    x, out, weight = data.draw(numbers(2, 16)), data.draw(numbers(2, 16)), Number(data.draw(st.integers(2, 8)))
    shift = np.array([data.draw(st.integers(0, 255))], np.uint8)
    values = data.draw(arrays_of(x, (7, 1)))
    w, b = data.draw(arrays_of(weight, (1,))), data.draw(arrays_of(bias_number(out), (1,)))
    got = contract.affine(values, w, b, shift, out)
    assert got.dtype == out.dtype
    for i, v in enumerate(values[:, 0].tolist()):
        rounded = oracle.round_half_up(v * int(w[0]), int(shift[0])) + int(b[0])
        assert int(got[i, 0]) == oracle.saturate(rounded, *oracle.ends(out))
    other = data.draw(arrays_of(out, (7, 1)))
    total = [a + c for a, c in zip(values[:, 0].tolist(), other[:, 0].tolist(), strict=True)]
    assert contract.add(values, other, out)[:, 0].tolist() == [oracle.saturate(v, *oracle.ends(out)) for v in total]


@pytest.mark.parametrize("number", [Number(b, s) for b in range(1, 11) for s in RANGED], ids=str)
@pytest.mark.parametrize("rule", TableRule)
def test_tables_over_every_input(number: Number, rule: TableRule) -> None:
    """Every input code of narrow formats, under every rule and number of points, reads what exact arithmetic says."""
    every = np.arange(number.low, number.high + 1, dtype=number.dtype)
    rng = np.random.default_rng(number.bits)
    for points in contract.legal_points(rule, number):
        out = Number(int(rng.integers(4, 17)), Sign.UNSIGNED if rng.random() < 0.5 else Sign.SIGNED)
        stored = contract.stored_points(points, rule)
        table = rng.integers(out.low, out.high, (1, stored), out.dtype, endpoint=True)
        got = contract.lookup(every[:, None], table, rule, number)[:, 0]
        points_ = table[0].tolist()
        assert got.tolist() == [oracle.interpolate(points_, rule, int(v), number.low, number.codes) for v in every]
        assert got.dtype == out.dtype
        assert np.array_equal(contract.expand_table(table, rule, number)[0], got)


@pytest.mark.slow
@settings(max_examples=80)
@given(data=st.data())
def test_engines_and_onnx_agree_with_exact_arithmetic(data: st.DataObject) -> None:
    """At every tap of graphs of mixed formats: the reference engine, ONNX Runtime, and integers by hand."""
    model = Model(data.draw(formatted_graphs()), "generated")
    x = data.draw(formatted_images(model))
    reference = run(model, x, "all", engine="reference")
    for i, image in enumerate(x):
        for tap, expected in oracle.compute(model.graph, image).items():
            assert np.array_equal(reference[tap][i], expected), tap
            low, high = oracle.ends(model.graph.tensors[tap].number)
            assert low <= expected.min()
            assert expected.max() <= high
    for other in (open_onnx(onnx_bytes(model))(x), run_loops(model, x, model.graph.taps)):
        for tap, values in reference.items():
            assert values.dtype == other[tap].dtype == model.graph.tensors[tap].number.dtype
            np.testing.assert_array_equal(other[tap], values, tap, strict=True)


def linear_by_hand(op: Linear, x: Array) -> Array:
    """A linear's results, one after the other in Python's integers."""
    rows = x if op.over == "channels" else np.swapaxes(x, -1, -2)
    found = np.zeros((*rows.shape[:-1], len(op.weight)), np.int64)
    for at in np.ndindex(rows.shape[:-1]):
        for n, row in enumerate(op.weight.tolist()):
            total, shift = sum(v * w for v, w in zip(rows[at].tolist(), row, strict=True)), int(op.shift[n])
            total = total if shift == 0 else (2 * total + 2**shift) // 2 ** (shift + 1)
            found[(*at, n)] = min(max(total + int(op.bias[n]), op.out.low), op.out.high)
    return found if op.over == "channels" else np.swapaxes(found, -1, -2)


def wide_linears(kind: str) -> Model:
    """Sums with constants of 32 bits at their scale, some at the ends; what is classified of them, or rescaled."""
    rng = np.random.default_rng(32)
    narrow, x = kind == "bits", Number(3) if kind == "bits" else Number(16)
    weight = np.where(rng.random((6, 5)) < 0.5, -1, 1) if narrow else rng.integers(-128, 128, (6, 5))
    bias = np.array([2**31 - 1, -(2**31), 2**30, -(2**30), 12345, 0], np.int32)
    shift = np.array([0, 0, 0, 1, 7, 0], np.uint8)
    over = "tokens" if kind == "tokens" else "channels"
    nodes = [Node("sums", Linear(weight.astype(np.int8), bias, shift, over, 30, out=Number(32)), (INPUT,))]
    if kind != "tokens":
        ones = np.ones(6, np.int32)
        nodes.append(Node("back", Rescale(0 * ones, ones, np.full(6, 17, np.uint8), np.zeros(6, np.int8)), ("sums",)))
        nodes.append(Node("gated", Gate(ones), ("back", "sums")))
        nodes.append(Node("class", Argmax(6), ("gated",)))
    return Model(Graph(Tensor((TOKEN, CHANNEL), (5, 3) if kind == "tokens" else (3, 5), x), nodes), f"wide {kind}")


@pytest.mark.onnx
@pytest.mark.parametrize("kind", ["channels", "tokens", "bits"])
def test_linears_of_32_bits(kind: str, tmp_path: Path) -> None:
    """Constants of 32 bits at the scale of a sum, and sums of 32 bits: every engine, ONNX, C, files and vectors."""
    model = wide_linears(kind)
    x = np.concatenate([draw_stimulus(way, 3, model.graph.input, 5) for way in ("uniform", "extreme")])
    expected = linear_by_hand(model.graph.by_name["sums"].op, x)
    assert {int(expected.min()), int(expected.max())} == {-(2**31), 2**31 - 1}
    taps = model.graph.taps
    found = {name: run(model, x, taps, name) for name in ("reference", "c")} | {"loops": run_loops(model, x, taps)}
    if kind != "tokens":
        found |= {isa.name: run_compiled(model, x, taps, isa=isa.name) for isa in instruction_sets()}
    found["onnx"] = open_onnx(onnx_bytes(model))(x)
    for engine, values in found.items():
        np.testing.assert_array_equal(values["sums"], expected, engine)
        assert values["sums"].dtype == np.int32
        for tap in taps[1:]:
            np.testing.assert_array_equal(values[tap], found["reference"][tap], engine)
    save(model, tmp_path / "m.safetensors")
    assert load(tmp_path / "m.safetensors") == model
    write_vectors(model, x, tmp_path / "v", "all")
    assert check_vectors(tmp_path / "v").passed


@settings(max_examples=60)
@given(data=st.data())
def test_no_accumulator_leaves_its_proven_range(data: st.DataObject) -> None:
    """The range proven for a linear over inputs of any format is reached by some input, and exceeded by none."""
    x, weight = data.draw(numbers(2, 16)), Number(data.draw(st.integers(2, 8)))
    w = data.draw(arrays_of(weight, (3, 5)))
    low, high = contract.worst_case_sums(w, x)
    for n, row in enumerate(w.tolist()):
        reached = [sum(a * (x.high if (a > 0) == up else x.low) for a in row) for up in (False, True)]
        assert (int(low[n]), int(high[n])) == tuple(reached)
        bits = contract.bits_needed(*reached)
        assert bits <= contract.linear_acc_bits(5, x, weight)


# --- files ---


@pytest.mark.slow
@settings(max_examples=40)
@given(graph=formatted_graphs())
def test_formats_survive_files(graph: Graph) -> None:
    """Tensors, formats and hashes of any graph are read as they were written."""
    model = Model(graph, "m")
    with TemporaryDirectory() as folder:
        save(model, Path(folder) / "m")
        loaded = load(Path(folder) / "m")
    assert loaded == model
    assert loaded.graph.tensors == graph.tensors
    assert model_sha256(loaded) == model_sha256(model)


def test_formats_count_in_the_hash() -> None:
    """Another format of the input, of weights or of a result is another network."""
    weight, bias, shift = np.ones((1, 1), np.int8), np.zeros(1, np.int8), np.zeros(1, np.uint8)

    def model(x: Number, **options: Any) -> Model:
        op = Linear(weight, bias, shift, acc_bits=24, **options)
        return Model(Graph(Tensor((TOKEN, CHANNEL), (1, 1), x), (Node("a", op, (INPUT,)),)), "m")

    graphs = [model(INT8), model(UINT4), model(INT8, weight_number=Number(4)), model(INT8, out=Number(7))]
    assert len({model_sha256(m) for m in graphs}) == len(graphs)


@pytest.mark.parametrize("data_format", FORMATS)
def test_vectors_of_other_formats(data_format: str, tmp_path: Path) -> None:
    """Vectors of 4, 12 and 16 bits hold every value, at its own width, and the check names one that is changed."""
    x = images()
    folder = tmp_path / "v"
    manifest = write_vectors(MIXED, x, folder, "all", data_format)
    assert manifest.stimulus.number == "uint4"
    assert {tap.name: tap.number for tap in manifest.taps} == {
        "first": "int12", "curve": "uint16", "mean": "uint16", "scores": "int16",
    }  # fmt: skip
    expected = run(MIXED, x, "all", engine="reference")
    assert check_vectors(folder).passed
    for tap, values in expected.items():
        bits, path = MIXED.graph.tensors[tap].number.bits, folder / f"taps/{tap}{FORMATS[data_format].suffix}"
        if data_format == "npy":
            assert np.array_equal(np.load(path), values)
            assert np.load(path).dtype == values.dtype
        elif data_format == "hex":
            words = path.read_text().split()
            assert {len(word) for word in words} == {-(-bits // 4)}
            assert [int(word, 16) for word in words] == [int(v) % 2**bits for v in values.ravel()]
        elif data_format == "c":
            text = path.read_text()
            assert f"static const {values.dtype.name}_t " in text
            numbers_ = [int(v) for v in text[text.index("= {") + 3 : text.index("}")].split(",")]
            assert numbers_ == values.ravel().tolist()
    path = folder / f"taps/curve{FORMATS[data_format].suffix}"
    data = bytearray(path.read_bytes())
    at = data.rindex({"hex": b"\n", "npy": b"", "coe": b";", "c": b"\n}"}[data_format])
    data[at - 1] ^= 1
    path.write_bytes(data)
    result = check_vectors(folder)
    assert not result.passed
    assert (result.problems[0].image, result.problems[0].token, result.problems[0].channel) == (4, 3, 5)


def test_int8_manifests_state_no_format(tmp_path: Path) -> None:
    """A manifest of an int8 model is what it was before there were other formats."""
    model = Model(Graph((2, 2), (Node("a", Relu(), (INPUT,)),)), "m")
    write_vectors(model, np.zeros((1, 2, 2), np.int8), tmp_path / "v", "all")
    manifest = json.loads((tmp_path / "v" / "manifest.json").read_text())
    assert "number" not in manifest["stimulus"]
    assert "number" not in manifest["taps"][0]


def test_draws_fill_the_format() -> None:
    """Uniform and extreme stimuli of a format have its ends and nothing beyond."""
    for number in (UINT4, INT12, UINT16):
        tensor = Tensor((TOKEN, CHANNEL), (8, 200), number)
        uniform, extreme = draw_stimulus("uniform", 60, tensor, 1), draw_stimulus("extreme", 60, tensor, 1)
        assert uniform.dtype == extreme.dtype == number.dtype
        assert number.holds(uniform)
        assert set(np.unique(extreme)) == {number.low, number.high}
    assert set(np.unique(draw_stimulus("uniform", 60, Tensor((TOKEN, CHANNEL), (8, 200), UINT4), 1))) == set(range(16))


# --- the command line, and who refuses ---


def test_values_beyond_the_format_are_named() -> None:
    """A stimulus whose numpy type holds more than the format is looked at, value by value."""
    x = images()
    x[3, 2, 1] = 16
    with pytest.raises(StimulusError, match=r"has 16 at \[3, 2, 1\], expected uint4"):
        run(MIXED, x)
    with pytest.raises(StimulusError, match="has type int8, expected uint8"):
        run(MIXED, images().astype(np.int8))


def test_commands_take_other_formats(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`run`, `info`, `vectors` and `export-onnx` work on a model of mixed formats; JSON states each."""
    path, x, out = tmp_path / "m.safetensors", tmp_path / "x.npy", tmp_path / "o.npz"
    save(MIXED, path)
    np.save(x, images())

    def call(*arguments: str | Path) -> str:
        with pytest.raises(SystemExit) as end:
            main([str(a) for a in arguments])
        printed = capsys.readouterr()
        assert end.value.code == 0, printed.err
        return printed.out

    summary = json.loads(call("run", path, x, "-o", out, "--taps", "all", "--json"))
    assert summary["engine"] == "reference"
    expected = run(MIXED, images(), "all", engine="reference")
    with np.load(out) as found:
        assert set(found) == set(expected)
        for tap, values in expected.items():
            np.testing.assert_array_equal(found[tap], values, tap, strict=True)
    shown = json.loads(call("info", path, "--json"))
    assert shown["input_number"] == "uint4"
    assert [op["number"] for op in shown["operators"]] == ["int12", "uint16", "uint16", "int16"]
    assert [op["weight_number"] for op in shown["operators"]] == ["int4", None, None, "int2"]
    table = call("info", path)
    for text in ("uint4", "int12", "uint16", "int16"):
        assert text in table
    call("vectors", path, "--random", "3", "-o", tmp_path / "v", "--taps", "all")
    call("vectors", "--check", tmp_path / "v")
    call("export-onnx", path, "-o", tmp_path / "m.onnx")


def test_compiled_engine_refuses_and_auto_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """The compiled engine names what it does not take; `auto` takes the reference engine, and says why."""
    x = images()
    with pytest.raises(ModelError, match=r"the compiled engine takes int8 tensors .*, the graph's input is uint4"):
        run(MIXED, x, engine="numba")
    with caplog.at_level(logging.INFO, "fxsim"):
        auto = run(MIXED, x)
    assert np.array_equal(auto["scores"], run(MIXED, x, engine="reference")["scores"])
    assert "the reference engine computes model 'mixed': the compiled engine takes int8 tensors" in caplog.text
    assert chosen_engine("auto", MIXED) is Engine.REFERENCE
    narrow = Linear(np.ones((2, 2), np.int8), np.zeros(2, np.int8), np.zeros(2, np.uint8), out=Number(7))
    model = Model(Graph((1, 2), (Node("a", narrow, (INPUT,)),)), "m")
    with pytest.raises(ModelError, match="the compiled engine takes int8 tensors, node 'a' gives int7"):
        run(model, np.zeros((1, 1, 2), np.int8), engine="numba")


def test_narrow_weights_run_everywhere_as_int8() -> None:
    """Weights of 4 bits with int8 tensors are int8 weights to the compiled engine: the same values."""
    rng = np.random.default_rng(5)
    op = Linear(
        rng.integers(-8, 8, (6, 7), np.int8), rng.integers(-99, 99, 6, np.int8), np.full(6, 3, np.uint8),
        weight_number=Number(4),
    )  # fmt: skip
    model = Model(Graph((3, 7), (Node("a", op, (INPUT,)),)), "m")
    x = rng.integers(-128, 128, (9, 3, 7), np.int8)
    assert np.array_equal(run(model, x, engine="numba")["a"], run(model, x, engine="reference")["a"])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Linear(np.full((1, 1), 8, np.int8), np.zeros(1, np.int8), np.zeros(1, np.uint8),
                        weight_number=Number(4)), "linear weight reaches from 8 to 8, expected int4"),
        (lambda: Linear(np.ones((1, 1), np.int8), np.zeros(1, np.int8), np.zeros(1, np.uint8),
                        weight_number=UINT4), "linear weight number is uint4, expected a signed number of 1 to 8"),
        (lambda: Affine(np.ones(1, np.int8), np.zeros(1, np.int8), np.zeros(1, np.uint8), out=Number(20)),
         "affine result number is int20, expected one of 1 to 16 bits"),
        (lambda: Linear(np.ones((1, 1), np.int8), np.zeros(1, np.int32), np.zeros(1, np.uint8),
                        out=Number(20, Sign.UNSIGNED)), "linear result number is uint20, expected one of 1 to 16 bits"),
        (lambda: Linear(np.ones((1, 1), np.int8), np.zeros(1, np.int16), np.zeros(1, np.uint8), out=Number(32)),
         "linear bias has type int16, expected int32"),
        (lambda: Affine(np.ones(1, np.int8), np.zeros(1, np.int8), np.zeros(1, np.uint8), out=INT12),
         "affine bias has type int8, expected int16"),
        (lambda: Lut(np.zeros((1, 16), np.int8), TableRule.FULL, UINT4, Number(3)), None),
        (lambda: Lut(np.full((1, 16), 4, np.int8), TableRule.FULL, UINT4, Number(3)), "expected int3"),
        (lambda: Lut(np.zeros((1, 32), np.int8), TableRule.CLAMP, UINT4), "stores 32 points a channel, expected 4 or"),
        (lambda: Graph(Tensor((TOKEN, CHANNEL), (1, 1), Number(17)), (Node("a", Relu(), (INPUT,)),)),
         "graph input is int17"),
        (lambda: Graph(Tensor((TOKEN, CHANNEL), (1, 1), INT12), (Node("a", Add(), (INPUT, INPUT)),)),
         r"can reach \[-4096, 4094\], which needs 13 bits, but 9 are stated"),
        (lambda: Graph(Tensor((TOKEN, CHANNEL), (1, 1), UINT4), (Node("a", Lut(np.zeros((1, 256), np.int8),
                       TableRule.FULL), (INPUT,)),)), "lut of int8 cannot take an input of uint4"),
        (lambda: Graph(Tensor(("row", "column"), (1, 1)), (Node("a", Affine(np.ones(1, np.int8), np.zeros(1, np.int8),
                       np.zeros(1, np.uint8)), (INPUT,)),)), "affine of 1 channels cannot take"),
    ],
)  # fmt: skip
def test_formats_that_do_not_fit_are_named(build: Any, message: str | None) -> None:
    """Values beyond their format, formats beyond an operator's, and widths that are too small are refused by name."""
    if message is None:
        build()
        return
    with pytest.raises(ModelError, match=message):
        build()


def wide_resmlp() -> Model:
    """The small golden model with a classifier of int12."""
    model = load(fxsim.paths.golden_dir() / "small.safetensors")
    *nodes, last = model.graph.nodes
    op = last.op
    assert isinstance(op, Linear)
    wide = Linear(op.weight, op.bias.astype(np.int16), op.shift, op.over, op.acc_bits, out=INT12)
    return Model(Graph(model.graph.input, (*nodes, Node(last.name, wide, last.inputs))), "wide")


@pytest.mark.parametrize(
    ("arguments", "who"),
    [
        (("cosim", "{model}", "{x}"), "streaming accelerator"),
        (("cosim", "{model}", "{x}", "--accel", "simd"), "SIMD accelerator"),
        (("memory-image", "{model}", "-o", "{out}"), "SIMD accelerator"),
        (("export-headers", "{model}", "-o", "{out}"), "header"),
    ],
)
def test_accelerators_and_headers_refuse_other_formats(
    arguments: tuple[str, ...], who: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What holds int8 alone names itself, the node and its format, and writes nothing."""
    save(wide_resmlp(), tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", np.zeros((1, 16, 12), np.int8))
    places = {"model": tmp_path / "m.safetensors", "x": tmp_path / "x.npy", "out": tmp_path / "out"}
    with pytest.raises(SystemExit) as end:
        main([a.format(**places) for a in arguments])
    assert end.value.code == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert who in message
    assert "node 'classifier' gives int12" in message
    assert not (tmp_path / "out").exists()


def grid_model() -> Model:
    """A model of three axes: row, column, channel."""
    op = Linear(np.full((2, 3), 5, np.int8), np.zeros(2, np.int8), np.full(2, 4, np.uint8))
    return Model(Graph(Tensor(("row", "column", CHANNEL), (2, 4, 3)), (Node("a", op, (INPUT,)),)), "grid")


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize("axes", [("row", "column", CHANNEL), (CHANNEL,), ("row", CHANNEL)])
def test_vectors_of_other_axes(axes: tuple[str, ...], data_format: str, tmp_path: Path) -> None:
    """Vectors of a model of any axes name them, pass their own check, and fail it where a value is changed."""
    op = Linear(np.full((2, 3), 5, np.int8), np.zeros(2, np.int8), np.full(2, 4, np.uint8))
    tensor = Tensor(axes, (2, 4, 3)[-len(axes) :])
    model = Model(Graph(tensor, (Node("a", op, (INPUT,)),)), "axes")
    folder = tmp_path / "v"
    manifest = write_vectors(
        model, draw_stimulus("uniform", 3, tensor, 1), folder, "all", data_format, draw="uniform", seed=1
    )
    assert manifest.stimulus.index == manifest.taps[0].index == ("image", *axes)
    assert check_vectors(folder).passed
    path = folder / f"taps/a{FORMATS[data_format].suffix}"
    data = bytearray(path.read_bytes())
    data[-len(FORMATS[data_format].footer) - 1] ^= 1
    path.write_bytes(data)
    result = check_vectors(folder)
    assert not result.passed
    assert (result.problems[0].image, result.problems[0].channel) == (2, 1)


def test_info_names_the_axes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An input of rows and columns is not called tokens and values."""
    save(grid_model(), tmp_path / "m")
    with pytest.raises(SystemExit):
        main(["info", str(tmp_path / "m")])
    assert "2 x 4 x 3 (rows x columns x channels)" in capsys.readouterr().out


def test_masked_arrays_are_refused() -> None:
    """An array that hides values is no stimulus: what is hidden would be compared with nothing."""
    x = np.ma.masked_array(images(), mask=True)
    with pytest.raises(StimulusError, match="stimulus is a MaskedArray, expected a numpy array"):
        run(MIXED, x)


@pytest.mark.parametrize(
    ("place", "value"),
    [("input_number", "uint4"), ("input_axes", ["token", "channel"]), ("nodes", "int4")],
)
def test_version_1_states_no_formats(place: str, value: Any, tmp_path: Path) -> None:
    """A file of version 1, which has no hash, cannot hold what version 1 did not know."""
    op = Linear(np.ones((3, 3), np.int8), np.zeros(3, np.int8), np.zeros(3, np.uint8))
    save(Model(Graph((2, 3), (Node("a", op, (INPUT,)),)), "m"), tmp_path / "m")
    data = (tmp_path / "m").read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    metadata = json.loads(json.loads(data[8 : 8 + size])["__metadata__"]["fxsim"])
    metadata["version"] = 1
    del metadata["sha256"]
    tensors = safetensors.numpy.load(data)

    def put() -> None:
        (tmp_path / "m").write_bytes(safetensors.numpy.save(tensors, {"fxsim": json.dumps(metadata)}))

    put()
    load(tmp_path / "m")
    if place == "nodes":
        metadata["graph"]["nodes"][0]["weight_number"] = value
    else:
        metadata["graph"][place] = value
    put()
    with pytest.raises(FileError, match="states number formats or axes, which version 1 has not"):
        load(tmp_path / "m")


def test_formats_and_tensors_of_plain_words() -> None:
    """A sign by its word, and axes and sizes as lists, make the same format and tensor, which can be hashed."""
    assert (Number(4, "unsigned"), Number(8, "signed")) == (UINT4, INT8)  # type: ignore[arg-type]
    assert (Number(4, "unsigned").low, Number(8, "signed").low) == (0, -128)  # type: ignore[arg-type]
    tensor = Tensor([TOKEN, CHANNEL], [3, 5], INT12)  # type: ignore[arg-type]
    assert tensor == Tensor((TOKEN, CHANNEL), (3, 5), INT12)
    assert hash(tensor) == hash(Tensor((TOKEN, CHANNEL), (3, 5), INT12))
    assert (tensor.size, tensor.nbytes) == (15, 30)


@pytest.mark.parametrize(
    "build",
    [
        lambda: Number(True),
        lambda: Number.parse(None),  # type: ignore[arg-type]
        lambda: Tensor((1, 2), (3, 4)),  # type: ignore[arg-type]
        lambda: Tensor((CHANNEL,), (True,)),
        lambda: Graph((4, 3), [None]),  # type: ignore[list-item]
        lambda: Graph((4, 3), [Node(3, Relu(), (INPUT,))]),  # type: ignore[arg-type]
    ],
)
def test_other_types_are_refused_in_one_line(build: Any) -> None:
    """What is no number, text or node is an error of the project's, not a traceback."""
    with pytest.raises(ModelError):
        build()
