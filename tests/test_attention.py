"""Products of two tensors, tables of places and repeated parts, each against a statement of its own; a Neural ODE."""

import json
import re
import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import fxsim
from fxsim.cli.import_model import command
from fxsim.contract import (
    BIPOLAR,
    CHANNEL,
    COLUMN,
    ROW,
    TOKEN,
    Number,
    Rounding,
    Sign,
    Tensor,
    bias_number,
    bits_needed,
)
from fxsim.engines.c import run_c
from fxsim.engines.compiled import instruction_set
from fxsim.engines.compiled.pixel_program import pack_pixels
from fxsim.errors import FileError, ModelError
from fxsim.explain import diff
from fxsim.families.summary import summarise
from fxsim.formats import model_sha256
from fxsim.formats.c.files import c_files
from fxsim.formats.importers import find_importer
from fxsim.formats.neural_ode import build_neural_ode, import_neural_ode
from fxsim.formats.npy import read_archive
from fxsim.formats.onnx import export_onnx
from fxsim.formats.onnx.graph import build_graph
from fxsim.graph import INPUT, Graph, Model, Node, repeat
from fxsim.operators import Add, Concat, Conv, Matmul, Operator, Position, Relu, Rescale
from fxsim.signoff.checks.accumulators import _reach
from fxsim.vectors import check_vectors, draw_stimulus, write_vectors
from tests.conftest import ROOT
from tests.strategies import arrays_of, numbers
from tests.test_feature_maps import assert_engines

Array = npt.NDArray[Any]
AXES = (ROW, COLUMN, CHANNEL)
INT8, INT16, INT32 = Number(8), Number(16), Number(32)


def by_hand(op: Operator, *inputs: Array) -> Iterator[tuple[tuple[int, ...], int]]:
    """Places and values of an operator's result of one image, one product after the other."""
    x = inputs[0]
    if isinstance(op, Position):
        for at, place in enumerate(np.ndindex(x.shape[:-1])):
            for c in range(x.shape[-1]):
                yield (*place, c), int(x[(*place, c)]) + int(op.table[at, c])
    if isinstance(op, Matmul):
        r = inputs[1]
        others = [r[place].tolist() for place in np.ndindex(r.shape[:-1])]
        for place in np.ndindex(x.shape[:-1]):
            row = x[place].tolist()
            for h in range(op.heads):
                own = row[h * op.terms : (h + 1) * op.terms]
                if op.transposed:
                    for j, other in enumerate(others):
                        products = [own[c] * other[h * op.terms + c] for c in range(op.terms)]
                        yield (*place, h * len(others) + j), sum(products)
                else:
                    each = r.shape[-1] // op.heads
                    for c in range(each):
                        at = h * each + c
                        yield (*place, at), sum(own[j] * other[at] for j, other in enumerate(others))


@st.composite
def graphs_of(draw: st.DrawFn) -> Graph:
    """A table of places, and products of its sum and the input, of any formats whose sums have 32 bits."""
    x = draw(numbers(2))
    heads, each = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    axes, places = draw(st.sampled_from([(AXES, (2, 3)), (AXES, (1, 1)), ((TOKEN, CHANNEL), (4,))]))
    shape = (*places, heads * each)
    tokens = int(np.prod(places))
    table = draw(arrays_of(draw(st.sampled_from([INT16, Number(5)])), (tokens, shape[-1]))).astype(np.int16)
    sums = Number(bits_needed(x.low + int(table.min()), x.high + int(table.max())))
    ones, none = np.ones(shape[-1], np.int32), np.zeros(shape[-1], np.int32)
    out = draw(numbers(2, 12))
    finish = Rescale(
        none,
        ones,
        np.full(shape[-1], 3, np.uint8),
        none.astype(bias_number(out).dtype),
        Rounding.HALF_UP,
        33,
        out,
    )
    first = Node("moved", Position(table, sums), (INPUT,))
    products = Matmul(heads, each, True, INT32)
    nodes = [first, Node("other", finish, ("moved",))]
    order = draw(st.sampled_from([(INPUT, "other"), ("other", INPUT), ("other", "other")]))
    nodes.append(Node("products", products, order))
    back = Rescale(
        np.zeros(heads * tokens, np.int32), np.ones(heads * tokens, np.int32), np.full(heads * tokens, 4, np.uint8),
        np.zeros(heads * tokens, np.int8), Rounding.HALF_UP, 33, Number(7, Sign.UNSIGNED),
    )  # fmt: skip
    nodes += [Node("back", back, ("products",)), Node("y", Matmul(heads, tokens, False, INT32), ("back", "other"))]
    return Graph(Tensor(axes, shape, x), nodes)


def check_by_hand(graph: Graph, x: Array, found: dict[str, Array]) -> None:
    """The values of each product and sum are those by hand, and of the format that is stated."""
    for node in graph.nodes:
        if not isinstance(node.op, Matmul | Position):
            continue
        inputs = [x if name == INPUT else found[name] for name in node.inputs]
        y, tensor = found[node.name], graph.tensors[node.name]
        assert y.dtype == tensor.number.dtype
        for image in range(len(x)):
            expected = dict(by_hand(node.op, *(v[image] for v in inputs)))
            assert {place: int(v) for place, v in np.ndenumerate(y[image])} == expected


@pytest.mark.slow
@settings(max_examples=40)
@given(graph=graphs_of(), data=st.data())
def test_engines_compute_what_is_computed_by_hand(graph: Graph, data: st.DataObject) -> None:
    """Reference engine, plain loops and every instruction set give products and sums, of the format that is stated."""
    model = Model(graph, "one")
    x = data.draw(arrays_of(graph.input.number, (2, *graph.input_shape)))
    found = fxsim.run(model, x, "all", engine="reference")
    check_by_hand(graph, x, found)
    assert_engines(model, x, found)


@settings(max_examples=40)
@given(graph=graphs_of())
def test_bounds_of_accumulators_are_reached(graph: Graph) -> None:
    """The range that a graph proves of a sum is what its terms come to at their ends."""
    for node in graph.nodes:
        if (bound := fxsim.graph.accumulator_bound(graph, node.name)) is not None:
            reached = _reach(graph, node, bound.channel, -1), _reach(graph, node, bound.channel, 1)
            assert reached == (bound.low, bound.high)


# --- Every form of a network with attention and a repeated part ------------------------------------------------------


def finisher(channels: int, shift: int, out: Number = INT8) -> Rescale:
    """A shift finisher, the same in every channel."""
    none, ones = np.zeros(channels, np.int32), np.ones(channels, np.int32)
    return Rescale(
        none, ones, np.full(channels, shift, np.uint8), np.zeros(channels, np.int8), Rounding.HALF_UP, 33, out
    )


def network(steps: int = 3) -> Model:
    """A part that is repeated, then attention of two heads on 3 x 2 places."""
    rng = np.random.default_rng(6)
    weight = rng.integers(-90, 90, (6, 3, 3, 1)).astype(np.int8)
    part = (
        Node("sums", Conv(weight, padding=(1, 1, 1, 1), groups=6, out=Number(19)), (INPUT,)),
        Node("f", finisher(6, 7), ("sums",)),
        Node("x", Add(), (INPUT, "f")),
    )
    table = rng.integers(-60, 60, (6, 6)).astype(np.int16)
    seven = Number(7, Sign.UNSIGNED)
    nodes = (
        *repeat("ode", part, steps, INPUT),
        Node("there", Position(table, Number(9)), (f"ode.step{steps - 1}.x",)),
        Node("key", finisher(6, 0), ("there",)),
        Node("products", Matmul(2, 3, True, INT32), (f"ode.step{steps - 1}.x", "key")),
        Node("attention", finisher(12, 6, seven), ("products",)),
        Node("values", Matmul(2, 6, False, Number(20)), ("attention", f"ode.step{steps - 1}.x")),
        Node("y", finisher(6, 8), ("values",)),
    )
    return Model(Graph(Tensor(AXES, (3, 2, 6)), nodes), "attention")


MODEL = network()
X = draw_stimulus("uniform", 6, MODEL.graph.input, 3)
RIGHT = fxsim.run(MODEL, X, "all", engine="reference")


@pytest.mark.slow
def test_every_form_gives_the_same(tmp_path: Path) -> None:
    """Compiled code, loops, C, a model file and vectors give every tap's values, each step's among them."""
    assert [tap for tap in MODEL.graph.taps if tap.endswith(".x")] == ["ode.step0.x", "ode.step1.x", "ode.step2.x"]
    check_by_hand(MODEL.graph, X[:2], {tap: values[:2] for tap, values in RIGHT.items()})
    assert_engines(MODEL, X, RIGHT)
    in_c = run_c(MODEL, X, MODEL.graph.taps)
    for tap, values in RIGHT.items():
        np.testing.assert_array_equal(in_c[tap], values, tap)
    write_vectors(MODEL, X, tmp_path / "v", "all")
    assert check_vectors(tmp_path / "v").passed


@pytest.mark.onnx
def test_onnx_computes_every_tap(tmp_path: Path) -> None:
    """ONNX Runtime gives every tap's values."""
    onnxruntime = pytest.importorskip("onnxruntime")
    export_onnx(MODEL, tmp_path / "m.onnx", taps="all")
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    found = dict(zip(MODEL.graph.taps, session.run(list(MODEL.graph.taps), {INPUT: X}), strict=True))
    for tap, values in RIGHT.items():
        np.testing.assert_array_equal(found[tap], values, tap, strict=True)


# --- One copy of the parameters of what is repeated ------------------------------------------------------------------


def test_a_file_has_the_arrays_of_all_steps_once(tmp_path: Path) -> None:
    """The first step's arrays are in the file; the others state whose they are; read again all steps share them."""
    sizes = []
    for steps in (1, 40):
        model, path = network(steps), tmp_path / f"{steps}.safetensors"
        fxsim.save(model, path)
        again = fxsim.load(path)
        assert again == model
        assert model_sha256(again) == model_sha256(model)
        assert {again.graph.owners[f"ode.step{i}.sums"] for i in range(steps)} == {"ode.step0.sums"}
        sizes.append(sum(array.nbytes for name, array in read_tensors(path).items() if name.startswith("ode.")))
    assert sizes == [54 + 6 * (4 + 4 + 1 + 1)] * 2
    assert summarise(network(1)).parameters == summarise(network(40)).parameters


def read_tensors(path: Path) -> dict[str, Array]:
    """The tensors of a model file, by their names."""
    from safetensors.numpy import load_file

    found: dict[str, Array] = load_file(path)
    return found


def doctored(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the record of a model file."""
    content = path.read_bytes()
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    record = json.loads(header["__metadata__"]["fxsim"])
    change(record)
    header["__metadata__"]["fxsim"] = json.dumps(record)
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + size :])


SHARED_WRONGLY: dict[str, tuple[Callable[[Any], None], str]] = {
    "of none": (
        lambda node: node.update(shares="ode.step9.sums"),
        "shares the operator of 'ode.step9.sums', which is no",
    ),
    "of a later one": (lambda node: node.update(shares="key"), "shares the operator of 'key', which is no node before"),
    "of another kind": (lambda node: node.update(shares="ode.step0.f"), "'ode.step0.f', which is not what it states"),
    "of another form": (lambda node: node.update(stride=[2, 2]), "'ode.step0.sums', which is not what it states"),
}


@pytest.mark.parametrize("case", SHARED_WRONGLY)
def test_a_file_that_shares_wrongly_is_refused(case: str, tmp_path: Path) -> None:
    """A node says whose operator it has; where that one is not there, or is not as stated, the node is named."""
    change, message = SHARED_WRONGLY[case]
    fxsim.save(MODEL, tmp_path / "m.safetensors")
    doctored(
        tmp_path / "m.safetensors",
        lambda record: change(next(n for n in record["graph"]["nodes"] if n["name"] == "ode.step1.sums")),
    )
    with pytest.raises(FileError, match=f"node 'ode.step1.sums': .*{re.escape(message)}"):
        fxsim.load(tmp_path / "m.safetensors")


def test_exports_and_the_compiled_engine_have_them_once() -> None:
    """C, ONNX and the compiled engine's memory do not grow with the steps but by their programs."""
    text = c_files(network(5), "m")["m_parameters.h"]
    assert re.findall(r"weight_ode\w+", text) == ["weight_ode_step0_sums"]
    names = [tensor.name for tensor in build_graph(network(5).graph, ["y"], None).initializer]
    assert [name for name in names if name.startswith("ode.") and "/weight" in name] == ["ode.step0.sums/weight"]
    one, five = (pack_pixels(network(steps).graph, instruction_set()) for steps in (2, 5))
    assert (len(five.data), len(five.words)) == (len(one.data), len(one.words))


NOT_REPEATED: dict[str, tuple[Any, str]] = {
    "no steps": ((("a", Relu(), INPUT),), 0, "repeat 'r' has 0 steps, expected 1 to 4096"),
    "too many steps": ((("a", Relu(), INPUT),), 4097, "repeat 'r' has 4097 steps"),
    "nothing": ((), 2, "repeat 'r' has no operators"),
    "read from outside": ((("a", Relu(), "stem"),), 2, "node 'a' reads 'stem', which no node before it computes"),
    "a name twice": ((("a", Relu(), INPUT), ("a", Relu(), "a")), 2, "node name 'a' is taken twice"),
}  # type: ignore[assignment]  # tuples of three


@pytest.mark.parametrize("case", NOT_REPEATED)
def test_what_cannot_be_repeated_is_refused(case: str) -> None:
    """Steps, names and inputs of a part are checked, each with a message."""
    part, steps, message = NOT_REPEATED[case]  # type: ignore[misc]
    with pytest.raises(ModelError, match=re.escape(message)):
        repeat("r", [Node(name, op, (source,)) for name, op, source in part], steps, INPUT)


# --- What is refused -------------------------------------------------------------------------------------------------


def two(op: Operator, shape: tuple[int, ...] = (2, 2, 4), number: Number = INT8) -> Graph:
    """A graph of one operator that reads the input for each of its own."""
    return Graph(Tensor(AXES[-len(shape) :], shape, number), (Node("y", op, (INPUT,) * op.arity),))


TABLE = np.zeros((4, 4), np.int16)
REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "no heads": (lambda: Matmul(0, 1), "matmul heads is 0, expected 1 to 65536"),
    "no products": (lambda: Matmul(1, 0), "matmul terms is 0, expected 1 to 65536"),
    "heads that are text": (lambda: Matmul("2", 1), "matmul heads is '2', expected a whole number"),  # type: ignore[arg-type]
    "transposed by 1": (lambda: Matmul(1, 1, 1), "matmul transposed is 1, expected true or false"),  # type: ignore[arg-type]
    "without a sign": (lambda: Matmul(1, 1, out=Number(8, Sign.UNSIGNED)), "matmul result number is uint8, expected a"),
    "other channels": (lambda: two(Matmul(2, 3, True)), "takes 6 channels, its first input has 4"),
    "other places": (lambda: two(Matmul(2, 2), (3, 1, 4)), "takes 2 places, its second input has 3"),
    "parts of channels": (
        lambda: Graph(
            Tensor(AXES, (2, 1, 4)),
            (Node("h", Concat(), (INPUT, INPUT)), Node("w", Conv(np.ones((3, 1, 1, 8), np.int8), out=INT32), ("h",)),
             Node("r", finisher(3, 9), ("w",)), Node("y", Matmul(2, 2, out=INT32), (INPUT, "r"))),
        ),
        "cannot part the 3 channels of its second input",
    ),
    "channels alone": (lambda: two(Matmul(1, 4, True), (4,)), "its first input has the axes channel"),
    "bits": (lambda: two(Matmul(1, 4, True, INT32), number=BIPOLAR), "matmul first input is bipolar, expected one"),
    "sums too wide": (lambda: two(Matmul(1, 4, True, Number(17))), r"can reach .-65024, 65536., which needs 18 bits"),
    "a table of others": (lambda: two(Position(TABLE[:3])), r"position table has shape .3, 4., expected .4, 4. f"),
    "a table of bytes": (lambda: Position(TABLE.astype(np.int8)), "position table has type int8, expected int16"),
    "a table too wide": (lambda: two(Position(TABLE + np.int16(99), INT8)), r"can reach .-29, 226., which needs 9"),
    "a table of channels": (lambda: two(Position(TABLE), (4,)), "position takes places and channels, its input has"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refusals_name_what_was_expected(case: str) -> None:
    """A product or table that cannot be says what is wrong, and what was expected."""
    make, message = REFUSED[case]
    with pytest.raises(ModelError, match=message):
        make()


# --- Faults that are explained ---------------------------------------------------------------------------------------


def sums_of(name: str, first: Array, second: Array) -> Array:
    """The sums of a product by hand, of every image."""
    op = MODEL.graph.by_name[name].op
    found = np.empty(RIGHT[name].shape, np.int64)
    for image in range(len(first)):
        for place, value in by_hand(op, first[image], second[image]):
            found[(image, *place)] = value
    return found


def interleaved(x: Array) -> Array:
    """Channels of two heads of three, c of head h from place 2 c + h."""
    return x[..., [0, 2, 4, 1, 3, 5]]


def wrap(values: Array, bits: int) -> Array:
    """The low bits of whole numbers, with a sign."""
    return np.vectorize(lambda v: (int(v) & (2**bits - 1)) - (2**bits if int(v) >> (bits - 1) & 1 else 0))(values)


ATTENDED = "ode.step2.x"
MOVED = MODEL.graph.by_name["there"].op.table.reshape(3, 2, 6).astype(int)  # type: ignore[attr-defined]  # a position
FAULTS: dict[str, tuple[str, str, Callable[[], Array]]] = {
    "heads beside each other": (
        "products", "heads_interleaved",
        lambda: sums_of("products", interleaved(RIGHT[ATTENDED]), interleaved(RIGHT["key"])),
    ),
    "values beside each other": (
        "values", "heads_interleaved", lambda: sums_of("values", RIGHT["attention"], interleaved(RIGHT[ATTENDED])),
    ),
    "narrow sums": ("values", "accumulator_width", lambda: wrap(RIGHT["values"], 14)),
    "no table": ("there", "table_missing", lambda: RIGHT[ATTENDED].astype(int)),
    "table taken away": ("there", "table_negated", lambda: RIGHT[ATTENDED].astype(int) - MOVED),
    "rows for columns": (
        "there", "table_transposed",
        lambda: RIGHT[ATTENDED] + np.array([[MOVED.reshape(6, 6)[j * 3 + i] for j in range(2)] for i in range(3)]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FAULTS)
def test_each_fault_is_named(case: str) -> None:
    """A trace whose tap was made with a fault has that rule's name."""
    tap, label, made = FAULTS[case]
    taps = MODEL.graph.taps
    trace = {name: RIGHT[name] for name in taps[: taps.index(tap)]} | {tap: made()}
    assert not np.array_equal(trace[tap], RIGHT[tap])
    (fault,) = diff(MODEL, X, trace).faults
    assert (fault.tap, fault.label, fault.exact) == (tap, label, True), (fault.label, fault.partial)


def test_every_label_of_the_documentation_is_tried() -> None:
    """What is said of attention is made by a fault here, but for what needs square heads, and nothing else is."""
    text = (ROOT / "docs" / "explain.md").read_text(encoding="utf-8")
    table = text[text.index("| of attention | labels |") :].split("\n\n")[0]
    documented = set(re.findall(r"`([a-z]+_[a-z_]+)`", table))
    assert documented == {label for _, label, _ in FAULTS.values()} | {"second_transposed"}


def test_a_second_tensor_read_by_columns_is_named() -> None:
    """Two heads of two channels on two places: rows and columns of the second tensor fit either way."""
    nodes = (Node("y", Matmul(2, 2, True, INT32), (INPUT, INPUT)),)
    model = Model(Graph(Tensor((TOKEN, CHANNEL), (2, 4)), nodes), "square")
    x = draw_stimulus("uniform", 20, model.graph.input, 5)
    y = np.empty((20, 2, 4), np.int64)
    for image, (i, h, c) in ((n, place) for n in range(20) for place in np.ndindex(2, 2, 2)):
        y[image, i, 2 * h + c] = sum(int(x[image, i, 2 * h + j]) * int(x[image, j, 2 * h + c]) for j in range(2))
    (fault,) = diff(model, x, {"y": y}).faults
    assert (fault.label, fault.exact) == ("second_transposed", True)


# --- The integers of a small Transformer with a Neural ODE -----------------------------------------------------------


@pytest.fixture(scope="module")
def digits(networks: Path) -> Path:
    """The file of a network trained on scikit-learn's digits."""
    return networks / "tiny_ode" / "digits_ode.npz"


def plainly(z: dict[str, Array], images: Array) -> dict[str, Array]:
    """Taps of every picture by slices of numpy, channels last; the exponents are those of the file, written out."""
    p = {name: array.astype(np.int64) for name, array in z.items() if array.dtype.kind != "U"}

    def shifted(v: Array, s: Any) -> Array:
        return np.floor_divide(2 * v + 2**s, 2 ** (s + 1))

    def held(v: Array) -> Array:
        return np.minimum(np.maximum(v, -128), 127)

    def layer(name: str, x: Array, stride: int = 1) -> Array:
        weight = p[f"{name}/weight"]
        outputs, each, kernel, _ = weight.shape
        pad = kernel // 2
        around = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        size = x.shape[1] // stride
        acc = np.zeros((len(x), size, size, outputs), np.int64)
        for r in range(kernel):
            for s in range(kernel):
                part = around[:, r : r + stride * size : stride, s : s + stride * size : stride][:, :size, :size]
                depthwise = each == 1 and x.shape[3] == outputs
                acc += part * weight[:, 0, r, s] if depthwise else part @ weight[:, :, r, s].T
        return held(shifted(acc, p[f"{name}/shift"]) + p[f"{name}/bias"])

    found: dict[str, Array] = {}
    x = np.maximum(layer("stem", images[..., None].astype(np.int64)), 0)
    for step in range(4):
        f = layer("d1s" if step == 0 else "d1", x)
        f = layer("p2", layer("d2", np.maximum(layer("p1", f), 0)))
        x = held((shifted(x, 1) if step == 0 else x) + shifted(f, 2))
        found[f"ode.step{step}.x"] = x
    x = np.maximum(layer("down", x, 2), 0)
    q, k, v = layer("qk", x), layer("kk", x), layer("vv", x)
    k = held(k + np.moveaxis(p["pos"], 0, -1))
    q, k, v = (part.reshape(len(x), 16, 4, 8) for part in (q, k, v))
    scores = held(shifted(np.einsum("nihc,njhc->nihj", q, k), 7))
    found["mhsa.attention"] = np.maximum(scores, 0).reshape(len(x), 4, 4, 64)
    heads = held(shifted(np.einsum("nihj,njhc->nihc", np.maximum(scores, 0), v), 5)).reshape(x.shape)
    x = found["mhsa.x"] = held(x + layer("o", heads))
    pool = held(shifted(x.sum(axis=(1, 2)), 3))
    found["pool"] = pool.reshape(-1, 1, 1, 32)
    found["scores"] = pool @ p["fc_weight"].T + p["fc_bias"]
    return found


@pytest.mark.slow
def test_the_integers_of_the_published_network(digits: Path, tmp_path: Path) -> None:
    """Every picture's pool and scores are the file's, and all steps those of a plain computation, in both engines."""
    with np.load(digits) as archive:
        z = dict(archive)
    model = import_neural_ode(digits)
    x = z["images"][..., None]
    plain = plainly(z, z["images"])
    for engine in ("reference", "compiled"):
        found = fxsim.run(model, x, tuple(plain), engine=engine)
        np.testing.assert_array_equal(found["pool"].reshape(445, 32), z["pool"], engine)
        np.testing.assert_array_equal(found["scores"], z["scores"], engine)
        for tap, values in plain.items():
            np.testing.assert_array_equal(found[tap], values, f"{engine}, {tap}")
    assert (found["scores"].argmax(axis=1) == z["labels"]).sum() == 442
    # The three later steps have all of the first one's arrays but the shifts of its first layer.
    shared = [name for name, owner in model.graph.owners.items() if owner != name and owner.startswith("ode.step")]
    assert len(shared) == 8 + 9 + 9
    assert find_importer(digits) == "neural-ode"
    done = CliRunner().invoke(command, [str(digits), "-o", str(tmp_path / "m.safetensors")])
    assert done.exit_code == 0, done.output
    assert fxsim.load(tmp_path / "m.safetensors") == model


def small_arrays(seed: int = 2) -> dict[str, Any]:
    """Arrays of a network of 4 channels on pictures of 4 x 4, two heads, two steps."""
    rng = np.random.default_rng(seed)
    arrays: dict[str, Any] = {"images": rng.integers(0, 17, (2, 4, 4)).astype(np.uint8)}
    shapes: dict[str, tuple[int, ...]] = {
        "stem": (4, 1, 3, 3), "d1s": (4, 1, 3, 3), "d1": (4, 1, 3, 3), "p1": (6, 4, 1, 1), "d2": (6, 1, 3, 3),
        "p2": (4, 6, 1, 1), "down": (4, 4, 3, 3), **dict.fromkeys(("qk", "kk", "vv", "o"), (4, 4, 1, 1)),
    }  # fmt: skip
    for name, shape in shapes.items():
        arrays[f"{name}/weight"] = rng.integers(-90, 90, shape).astype(np.int8)
        arrays[f"{name}/bias"] = rng.integers(-20, 20, shape[0]).astype(np.int8)
        arrays[f"{name}/shift"] = rng.integers(5, 9, shape[0]).astype(np.uint8)
    arrays["pos"] = rng.integers(-9, 9, (4, 2, 2)).astype(np.int8)
    arrays["fc_weight"] = rng.integers(-90, 90, (3, 4)).astype(np.int8)
    arrays["fc_bias"] = rng.integers(-900, 900, 3).astype(np.int32)
    names = (
        "stem.q",
        "d1.q",
        "p1.q",
        "d2.q",
        "p2.q",
        "down.q",
        "qk.q",
        "kk.q",
        "vv.q",
        "o.q",
        "qx",
        "qs",
        "qo",
        "qx2",
        "qp",
    )
    exponents = dict.fromkeys(names, 4) | {"stem.q": 5, "qs": 1, "qp": 5}
    return arrays | {"meta": np.array(json.dumps({"exponents": exponents, "steps": 2, "heads": 2}))}


def stated(**changed: Any) -> Array:
    """The text of settings with some changed."""
    settings = json.loads(str(small_arrays()["meta"]))
    settings["exponents"] |= changed.pop("exponents", {})
    return np.array(json.dumps(settings | changed))


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no settings": ({"meta": None}, "has no array 'meta'"),
    "settings that are numbers": ({"meta": np.zeros(3)}, "array 'meta' is no whole text: values are of type float64"),
    "settings that are no JSON": ({"meta": np.array("{")}, "'meta' is not JSON"),
    "no exponents": ({"meta": np.array("[]")}, "'meta' states no exponents"),
    "a step too few": ({"meta": stated(steps=None)}, "'meta' states steps None, expected 0 to 255"),
    "three steps": ({"meta": stated(steps=3)}, "3 steps and 4 places, expected powers of two"),
    "three heads": ({"meta": stated(heads=3)}, "4 channels cannot have 3 heads"),
    "a finer stem": ({"meta": stated(exponents={"qx": 9})}, "x of the first step would be shifted by -4 places"),
    "two exponents": ({"meta": stated(exponents={"o.q": 3})}, "attention adds exponents down.q 4 and o.q 3 to qx2 4"),
    "a layer less": ({"d2/weight": None}, "is no such Neural ODE: array 'd2/weight' is missing"),
    "an array more": ({"extra": np.zeros(2)}, "is no such Neural ODE: array 'extra' is unknown"),
    "another kernel": (
        {"qk/weight": np.zeros((4, 4, 3, 3), np.int8)},
        "array 'qk/weight' is int8 (4, 4, 3, 3), expected",
    ),
    "another type": ({"fc_bias": np.zeros(3, np.int64)}, "array 'fc_bias' is int64 (3,), expected int32 (3,)"),
    "no places": ({"pos": np.zeros((4, 0, 2), np.int8)}, "array 'pos' has shape (4, 0, 2), expected 3 dimensions"),
}


@pytest.mark.parametrize("case", WRONG)
def test_files_that_are_no_such_network_are_refused(case: str, tmp_path: Path) -> None:
    """What an archive lacks, has too much, or states wrongly is named with the file."""
    changed, message = WRONG[case]
    arrays = {name: array for name, array in (small_arrays() | changed).items() if array is not None}
    np.savez(tmp_path / "m.npz", **arrays)
    with pytest.raises(FileError, match=re.escape(message)) as caught:
        import_neural_ode(tmp_path / "m.npz")
    assert str(caught.value).startswith(str(tmp_path / "m.npz"))


def test_a_small_network_is_read(tmp_path: Path) -> None:
    """A network of other dimensions is built from its arrays, its steps as many as are stated."""
    arrays = small_arrays()
    np.savez(tmp_path / "m.npz", **arrays)
    model = import_neural_ode(tmp_path / "m.npz")
    assert [tap for tap in model.graph.taps if tap.endswith(".x")] == ["ode.step0.x", "ode.step1.x", "mhsa.x"]
    assert model.graph.tensors["scores"] == Tensor((CHANNEL,), (3,), INT32)
    settings = json.loads(str(arrays["meta"]))
    numbers = read_archive(tmp_path / "m.npz", only=arrays.keys() - {"meta"})
    assert build_neural_ode(numbers, settings["exponents"], 2, 2) == model.graph


def test_the_example_with_a_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/examples/loop_model.py: four Euler steps of one convolution, as plain sums and shifts give them."""
    monkeypatch.chdir(tmp_path)
    runpy.run_path(str(ROOT / "docs" / "examples" / "loop_model.py"))
    model, images = fxsim.load("loop.safetensors"), np.load("images.npy")
    found = fxsim.run(model, images, taps="all", engine="reference")
    weight = {node.name: node.op.weight.astype(int) for node in model.graph.nodes if isinstance(node.op, Conv)}

    def conv(x: npt.NDArray[np.int64], name: str) -> npt.NDArray[np.int64]:
        around = np.pad(x, ((1, 1), (1, 1), (0, 0)))
        places = [[(around[i : i + 3, j : j + 3] * weight[name]).sum((1, 2, 3)) for j in range(6)] for i in range(6)]
        return np.array(places)

    def shifted(x: npt.NDArray[np.int64], bits: int) -> npt.NDArray[np.int64]:
        return np.clip((x + (1 << (bits - 1))) >> bits, -128, 127)

    for index, image in enumerate(images):
        x = shifted(conv(image.astype(int), "stem.sums"), 9)
        for number in range(4):
            x = shifted(4 * x + shifted(conv(x, f"ode.step{number}.sums"), 10), 2)
            assert np.array_equal(found[f"ode.step{number}.x"][index], x)
