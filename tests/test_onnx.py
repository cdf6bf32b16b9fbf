"""Integer models as ONNX graphs: what ONNX Runtime computes of them, the file, the sign-off check, the command."""

import hashlib
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

import fxsim
import fxsim.formats.onnx.graph as onnx_graph
import fxsim.signoff.checks.onnx as onnx_check
from fxsim.cli import main
from fxsim.contract import CHANNEL, CONTRACT_VERSION, TABLE_POINTS, TOKEN, Number, TableRule, Tensor, stored_points
from fxsim.engines import Engine
from fxsim.errors import FileError, ModelError, StimulusError, ToolError
from fxsim.formats import load, model_sha256, save
from fxsim.formats.onnx import IR_VERSION, OPSET, export_onnx, extra, missing, onnx_bytes, open_onnx
from fxsim.golden import read_manifest
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool, Relu
from fxsim.paths import golden_dir
from fxsim.signoff import CheckRecord, Status, load_plan, run_plan
from fxsim.signoff.checks.onnx import OnnxCheck
from fxsim.signoff.comparison import Comparison
from tests import oracle
from tests.conftest import SEED
from tests.strategies import graphs, int8_arrays, int8_from, resmlp_models, woven_graphs

Int8 = npt.NDArray[np.int8]

GOLDEN = read_manifest(golden_dir()).models
FAMILIES = {
    "digits_binary": "few bits", "digits_fractional": "few bits", "digits_ode": "ode", "digits_softmax": "softmax",
}  # fmt: skip
"""The golden models that are no ResMLPs."""
SMALL = golden_dir() / "small.safetensors"
EVERY_INT8 = np.arange(-128, 128).astype(np.int8)
BATCHES = (1, 2, 3, 5, 7, 11, 13)


def single(input_shape: tuple[int, int], op: Any) -> Model:
    """A model of one operator."""
    return Model(Graph(input_shape, (Node("y", op, (INPUT,) * op.arity),)), "single")


def assert_equal_taps(found: dict[str, Int8], expected: dict[str, Int8]) -> None:
    """The same taps in the same order, each of the same type, shape and values."""
    assert list(found) == list(expected)
    for tap, values in expected.items():
        np.testing.assert_array_equal(found[tap], values, tap, strict=True)


def compute_single(op: Any, x: Int8) -> Int8:
    """The output of ONNX Runtime for a model of one operator."""
    return open_onnx(onnx_bytes(single((x.shape[1], x.shape[2]), op)))(x)["y"]


# --- values ---


@pytest.mark.slow
@pytest.mark.parametrize("optimise", [True, False])
@settings(max_examples=60)
@given(data=st.data())
def test_onnx_runtime_equals_the_reference(optimise: bool, data: st.DataObject) -> None:
    """At every tap of any graph or ResMLP, batches of one and of primes, optimised by ONNX Runtime or not."""
    graph = data.draw(st.one_of(graphs(), woven_graphs(), resmlp_models().map(lambda model: model.graph)))
    model = Model(graph, "generated")
    compute = open_onnx(onnx_bytes(model), optimise=optimise)
    # One graph, whatever the batch.
    for batch in data.draw(st.lists(st.sampled_from(BATCHES), min_size=1, max_size=2)):
        x = data.draw(int8_arrays((batch, *graph.input_shape)))
        assert_equal_taps(compute(x), fxsim.run(model, x, "all", Engine.REFERENCE))


class GatherElements(OpRun):
    """The operator in one dimension; onnx's own evaluator takes tables of at most 64 entries."""

    op_domain = ""

    def _run(self, data: Any, indices: Any, axis: int | None = None) -> tuple[Any]:
        assert data.ndim == indices.ndim == 1
        assert axis in (None, 0)
        assert indices.min(initial=0) >= 0
        return (data[indices],)


@pytest.mark.slow
@settings(max_examples=25)
@given(data=st.data())
def test_the_standards_own_evaluator_equals_exact_arithmetic(data: st.DataObject) -> None:
    """ONNX's reference evaluator gives what exact fractions give: the graph is right as it is read by others, too."""
    graph = data.draw(st.one_of(graphs(dimension_max=5), resmlp_models().map(lambda model: model.graph)))
    model = Model(graph, "generated")
    x = data.draw(int8_arrays((2, *graph.input_shape)))
    evaluator = ReferenceEvaluator(onnx.load_model_from_string(onnx_bytes(model)), new_ops=[GatherElements])
    found = dict(zip(graph.taps, evaluator.run(None, {INPUT: x}), strict=True))
    for i, image in enumerate(x):
        for tap, expected in oracle.compute(graph, image).items():
            assert found[tap].dtype == np.int8
            np.testing.assert_array_equal(found[tap][i], expected, f"image {i}, {tap}")


@pytest.mark.parametrize("golden", GOLDEN, ids=lambda golden: golden.name)
def test_golden_models(golden: Any) -> None:
    """Every golden model: every tap equal, on random images and on images of nothing but -128 and 127."""
    model = load(golden_dir() / golden.file)
    rng = np.random.default_rng(SEED)
    shape = (1, *model.graph.input_shape)
    x = np.concatenate([int8_from(rng, shape, "full"), rng.choice(np.array([-128, 127], np.int8), shape)])
    assert_equal_taps(open_onnx(onnx_bytes(model))(x), fxsim.run(model, x, "all", Engine.REFERENCE))


def test_sums_beyond_32_bits_saturate() -> None:
    """Sums between 2^31 and 2^32 saturate: ONNX Runtime's Clip takes int64 of these for their low 32 bits."""
    number = Number(16)
    weight = np.array([[127] * 700, [-127] * 700], np.int8)
    op = Linear(weight, np.zeros(2, np.int16), np.zeros(2, np.uint8), Axis.CHANNELS, 40, out=number)
    graph = Graph(Tensor((TOKEN, CHANNEL), (1, 700), number), [Node("sum", op, (INPUT,))])
    x = np.full((1, 1, 700), 32767, np.int16)
    assert 2**31 < 700 * 127 * 32767 < 2**32
    found = open_onnx(onnx_bytes(Model(graph, "wide")))(x)["sum"]
    assert found.tolist() == [[[32767, -32768]]]


def compute_round_shift(acc: npt.NDArray[np.int32], bits: int, bias: int) -> npt.NDArray[np.int64]:
    """The graph's round_shift(acc, s) + bias for every shift s from 0 to 255: [value, shift]."""
    builder = onnx_graph._Builder(Graph((1, 1), (Node("y", Relu(), (INPUT,)),)))  # any: its nodes are not looked at
    output, dtype = builder.round_shift("acc", bits, np.arange(256, dtype=np.uint8), np.full(256, bias, np.int8), "it")
    # No value leaves its type, where a runtime might wrap, saturate or complain.
    lift = builder.tensors["it/lift"]
    assert lift.dtype == dtype
    assert int(lift.min()) - (1 << (bits - 1)) >= 0
    assert int(lift.max()) + (1 << (bits - 1)) - 1 <= np.iinfo(dtype).max
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    graph = helper.make_graph(
        builder.nodes,
        "round_shift",
        [helper.make_tensor_value_info("acc", TensorProto.INT32, ["n", 1])],
        [helper.make_tensor_value_info(output, kind, ["n", 256])],
        [numpy_helper.from_array(array, name) for name, array in builder.tensors.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(proto, full_check=True)
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    result: npt.NDArray[np.int64] = session.run(None, {"acc": acc[:, None]})[0].astype(np.int64)
    return result


@pytest.mark.parametrize("bits", [2, 3, 5, 8, 9, 15, 16, 23, 29, 30, 31, 32])
def test_rounding_is_exact_at_every_width(bits: int) -> None:
    """Sums at both ends of every width, at ties and beside them, at every shift: as exact fractions say."""
    ends = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    ties = {sign * (1 << place) + beside for place in range(bits - 1) for sign in (-1, 1) for beside in (-1, 0, 1)}
    rng = np.random.default_rng(SEED + bits)
    drawn = {int(v) for v in rng.integers(ends[0], ends[1], 20, endpoint=True)}
    values = sorted(v for v in {*ends, ends[0] + 1, 0, *ties, *drawn} if ends[0] <= v <= ends[1])
    # The bias at both of its ends.
    for bias in (-128, 127):
        found = compute_round_shift(np.array(values, np.int32), bits, bias)
        assert found.tolist() == [[oracle.round_half_up(v, s) + bias for s in range(256)] for v in values]


@pytest.mark.parametrize("bits", [16, 30, 31, 32])
def test_affine_of_every_operand(bits: int) -> None:
    """Every product of two int8 values, rounded, biased and saturated, whatever width the accumulator is stated at."""
    rng = np.random.default_rng(SEED)
    shift, bias = rng.integers(0, 18, 256).astype(np.uint8), int8_from(rng, (256,), "full")
    x = np.repeat(EVERY_INT8[None, :, None], 256, axis=2)
    found = compute_single(Affine(EVERY_INT8, bias, shift, bits), x)[0]
    products = np.arange(-128, 128)[:, None] * np.arange(-128, 128)
    rounded = np.where(shift > 0, (products + (1 << np.maximum(shift.astype(int) - 1, 0))) >> shift, products)
    np.testing.assert_array_equal(found, np.clip(rounded + bias.astype(np.int64), -128, 127))


@pytest.mark.parametrize("over", [*Axis, "after the pool"])
def test_linear_of_every_small_shape(over: Axis | str) -> None:
    """Each output has its own shift and bias, also where there are as many outputs as channels or tokens, or one."""
    rng = np.random.default_rng(SEED)
    for inputs, outputs, others in product((1, 2, 5), range(1, 6), (1, 2, 4, 5)):
        shift = (5 + np.arange(outputs)).astype(np.uint8)
        bias = (10 * np.arange(outputs)).astype(np.int8)
        axis = over if isinstance(over, Axis) else Axis.CHANNELS
        op = Linear(int8_from(rng, (outputs, inputs), "full"), bias, shift, axis)
        shape = (inputs, others) if over is Axis.TOKENS else (others, inputs)
        nodes = (Node("y", op, (INPUT,)),)
        if over == "after the pool":
            shape = (4, inputs)
            nodes = (Node("mean", Pool(4), (INPUT,)), Node("y", op, ("mean",)))
        model = Model(Graph(shape, nodes), "linear")
        x = int8_from(rng, (3, *shape), "full")
        found = open_onnx(onnx_bytes(model))(x)
        for image, values in zip(x, found["y"], strict=True):
            np.testing.assert_array_equal(values, oracle.compute(model.graph, image)["y"])


@pytest.mark.parametrize("over", list(Axis))
@pytest.mark.parametrize(
    ("inputs", "operator"), [(33_025, "MatMulInteger"), (33_026, "MatMul"), (65_536, "MatMul")]
)  # the most bytes whose products fit int32; one more; the most there can be
def test_longest_sums(over: Axis, inputs: int, operator: str) -> None:
    """Sums as long as can be of the greatest codes there are, over channels and over tokens, are exact."""
    rng = np.random.default_rng(SEED)
    weight = np.stack([np.full(inputs, w, np.int8) for w in (127, -128)] + [int8_from(rng, (inputs,), "corners")])
    shift, bias = np.array([24, 25, 22], np.uint8), np.array([5, -6, 7], np.int8)
    op = Linear(weight, bias, shift, over)
    x = np.stack([np.full(inputs, 127, np.int8), np.full(inputs, -128, np.int8), int8_from(rng, (inputs,), "full")])
    images = x[:, :, None] if over is Axis.TOKENS else x[:, None, :]
    model = single((images.shape[1], images.shape[2]), op)
    data = onnx_bytes(model)
    assert [node.op_type for node in onnx.load_model_from_string(data).graph.node if "MatMul" in node.op_type] == [
        operator
    ]
    sums = x.astype(np.int64) @ weight.astype(np.int64).T
    expected = [[oracle.requantise(*map(int, of)) for of in zip(row, shift, bias, strict=True)] for row in sums]
    assert open_onnx(data)(images)["y"].reshape(3, 3).tolist() == expected


@pytest.mark.parametrize("rule", list(TableRule))
@pytest.mark.parametrize("points", TABLE_POINTS)
def test_tables_at_every_input(rule: TableRule, points: int) -> None:
    """Every edge rule and number of points, at all 256 inputs, of tables with the steepest segments there can be."""
    if rule is TableRule.FULL and points != 256:
        points = 256  # stored whole: once more, with other entries
    rng = np.random.default_rng(SEED + points)
    stored = stored_points(points, rule)
    table = np.concatenate([int8_from(rng, (3, stored), style) for style in ("full", "corners")])
    table[0] = np.where(np.arange(stored) % 2, 127, -128)
    x = np.repeat(EVERY_INT8[None, :, None], len(table), axis=2)
    expected = [[oracle.interpolate(row.tolist(), rule, value) for row in table] for value in range(-128, 128)]
    assert compute_single(Lut(table, rule), x)[0].tolist() == expected


def test_add_and_relu_of_every_pair() -> None:
    """Add saturates x + r for every pair of int8 values, and relu is max(x, 0) of that."""
    pairs = np.stack(np.meshgrid(EVERY_INT8, EVERY_INT8), axis=-1).reshape(1, -1, 2)
    negated = Affine(np.full(2, 127, np.int8), np.zeros(2, np.int8), np.full(2, 7, np.uint8))
    nodes = (Node("r", negated, (INPUT,)), Node("sum", Add(), (INPUT, "r")), Node("y", Relu(), ("sum",)))
    model = Model(Graph((65_536, 2), nodes), "pairs")
    found = open_onnx(onnx_bytes(model))(pairs)
    wide = pairs.astype(np.int64)
    expected = np.clip(wide + ((127 * wide + 64) >> 7), -128, 127)
    np.testing.assert_array_equal(found["sum"], expected)
    np.testing.assert_array_equal(found["y"], np.maximum(expected, 0))
    # Swapped operands: every pair of different values.
    swap = Linear(np.array([[0, 64], [64, 0]], np.int8), np.zeros(2, np.int8), np.full(2, 6, np.uint8))
    nodes = (Node("r", swap, (INPUT,)), Node("sum", Add(), (INPUT, "r")))
    found = open_onnx(onnx_bytes(Model(Graph((65_536, 2), nodes), "pairs")))(pairs)
    both = np.clip(wide.sum(axis=-1), -128, 127)
    np.testing.assert_array_equal(found["sum"], np.stack([both, both], axis=-1))


@pytest.mark.parametrize("tokens", [1, 2, 64, 65_536])
@pytest.mark.parametrize("bits", [0, 32])
def test_pool(tokens: int, bits: int) -> None:
    """The average over tokens rounds half up, of the extremes too, whatever width the accumulator is stated at."""
    rng = np.random.default_rng(SEED)
    x = int8_from(rng, (2, tokens, 5), "full")
    x[:, :, 0], x[:, :, 1], x[:, :, 2] = -128, 127, -1
    x[:, : tokens // 2, 2] = 0  # a tie: -1/2 gives 0
    found = compute_single(Pool(tokens, bits), x)
    expected = (2 * x.sum(axis=1, dtype=np.int64) + tokens) // (2 * tokens)
    np.testing.assert_array_equal(found, expected)


def test_threads_and_images_do_not_change_values() -> None:
    """Two threads give what one gives, and a batch what its images give alone."""
    model = load(SMALL)
    data = onnx_bytes(model)
    x = int8_from(np.random.default_rng(SEED), (17, *model.graph.input_shape), "full")
    one, two = open_onnx(data), open_onnx(data, threads=2)
    together = one(x)
    assert_equal_taps(two(x), together)
    alone = [one(image[None]) for image in x]
    assert_equal_taps({tap: np.concatenate([values[tap] for values in alone]) for tap in together}, together)


# --- the file ---


def test_only_standard_operators_on_integers() -> None:
    """The golden models' graphs need nothing but ai.onnx at the stated version, and hold only integers."""
    # Of networks of few bits, of Neural ODEs, and of ResMLPs.
    used: dict[str, set[str]] = {kind: set() for kind in (*FAMILIES.values(), "")}
    for golden in GOLDEN:
        proto = onnx.load_model_from_string(onnx_bytes(load(golden_dir() / golden.file)))
        onnx.checker.check_model(proto, full_check=True)
        assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", OPSET)]
        assert proto.ir_version == IR_VERSION
        assert not proto.functions
        assert {node.domain for node in proto.graph.node} == {""}
        kind = FAMILIES.get(golden.name, "")
        used[kind] |= {node.op_type for node in proto.graph.node}
        inferred = onnx.shape_inference.infer_shapes(proto, strict_mode=True, data_prop=True).graph
        kinds = {value.type.tensor_type.elem_type for value in inferred.value_info}
        kinds |= {tensor.data_type for tensor in inferred.initializer}
        names = {TensorProto.DataType.Name(kind) for kind in kinds}
        assert names <= {"INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64", "BOOL"}
        # Bytes on both sides: other combinations saturate on some processors.
        kind_of = {value.name: value.type.tensor_type.elem_type for value in inferred.value_info}
        kind_of |= {tensor.name: tensor.data_type for tensor in inferred.initializer}
        for node in inferred.node:
            if node.op_type == "MatMulInteger":
                assert [kind_of[name] for name in node.input] == [TensorProto.UINT8] * 4
        # Every value's type is known: nothing escaped the look.
        assert {value.name for value in inferred.value_info} | {value.name for value in inferred.output} == {
            name for node in inferred.node for name in node.output
        }
    few_bits = {
        "And", "ConvInteger", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mod", "Or", "Slice",
        "Transpose", "Unsqueeze", "Where",
    }  # fmt: skip
    assert used[""] == {
        "Add", "BitShift", "Cast", "Clip", "Div", "GatherElements", "MatMulInteger", "Min", "Mul", "ReduceSum", "Relu",
        "Reshape", "Shape", "Sub",
    }  # fmt: skip
    assert used["few bits"] - used[""] == few_bits
    assert used["ode"] - used[""] == {
        "ConvInteger", "Greater", "GreaterOrEqual", "Less", "MatMul", "Mod", "Slice", "Transpose", "Where",
    }  # fmt: skip


def test_file_says_what_it_is_and_what_it_was_made_from() -> None:
    """Input and outputs have the model's names, types and shapes; the metadata has name, hash and versions."""
    model = load(SMALL)
    proto = onnx.load_model_from_string(onnx_bytes(model))
    found = {entry.key: entry.value for entry in proto.metadata_props}
    assert found == {
        "name": "small",
        "model_sha256": model_sha256(model),
        "fxsim_version": fxsim.__version__,
        "contract_version": str(CONTRACT_VERSION),
    }
    assert (proto.producer_name, proto.producer_version) == ("fxsim", fxsim.__version__)

    def described(value: onnx.ValueInfoProto) -> tuple[str, int, list[str | int]]:
        tensor = value.type.tensor_type
        return value.name, tensor.elem_type, [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]

    assert [described(value) for value in proto.graph.input] == [(INPUT, TensorProto.INT8, ["batch", 16, 12])]
    assert [described(value) for value in proto.graph.output] == [
        (tap, TensorProto.INT8, ["batch", *model.graph.shapes[tap]]) for tap in model.graph.taps
    ]


def test_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    """Twice here, after a round trip through a file, and in processes that hash strings otherwise."""
    model = load(SMALL)
    data = onnx_bytes(model)
    assert data == onnx_bytes(model)
    save(model, tmp_path / "again.safetensors")
    assert data == onnx_bytes(load(tmp_path / "again.safetensors"))
    script = (
        "import hashlib, sys, fxsim; from fxsim.formats.onnx import onnx_bytes; "
        "print(hashlib.sha256(onnx_bytes(fxsim.load(sys.argv[1]))).hexdigest())"
    )
    for seed in ("1", "2"):
        command = [sys.executable, "-c", script, str(SMALL)]
        done = subprocess.run(
            command, env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == hashlib.sha256(data).hexdigest()


def test_only_what_the_taps_need_is_in_the_graph() -> None:
    """With some taps as outputs, in the graph's order, nothing else is in the graph; values are the same."""
    model = load(SMALL)
    x = np.load(golden_dir() / "images_16x12.npy")[:2]
    wanted = ("blocks.0.mlp.psa_1", "blocks.0.token_mixer.affine_1")
    data = onnx_bytes(model, wanted)
    found = open_onnx(data)(x)
    assert list(found) == list(reversed(wanted))
    assert_equal_taps(found, fxsim.run(model, x, wanted, Engine.REFERENCE))
    names = {node.name for node in onnx.load_model_from_string(data).graph.node}
    assert "embed" in names
    assert not any(name.startswith(("blocks.1", "blocks.0.mlp.linear_1", "classifier")) for name in names)


def test_fixed_batch() -> None:
    """A graph of a fixed batch takes so many images and no others."""
    model = load(SMALL)
    x = np.load(golden_dir() / "images_16x12.npy")[:5]
    compute = open_onnx(onnx_bytes(model, batch=5))
    assert_equal_taps(compute(x), fxsim.run(model, x, "all", Engine.REFERENCE))
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        compute(x[:4])


@pytest.mark.parametrize("batch", [0, -1, 2**20 + 1])
def test_batch_out_of_range(batch: int) -> None:
    """A batch that cannot be is refused, with those that can."""
    with pytest.raises(ModelError, match=f"batch is {batch}, expected 1 to 1,048,576"):
        onnx_bytes(load(SMALL), batch=batch)


def test_what_cannot_be_exported_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is no Unicode, too many parameters and an unknown tap are one error each; an old file stays."""
    model = load(SMALL)
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")
    with pytest.raises(FileError, match=re.escape(f"cannot write {path}: model name ") + r".*not valid Unicode"):
        export_onnx(Model(model.graph, "\ud800"), path)
    with pytest.raises(StimulusError, match="has no tap 'head'"):
        export_onnx(model, path, taps=("head",))
    monkeypatch.setattr(onnx_graph, "TENSOR_BYTES_MAX", 1_000)
    with pytest.raises(FileError, match=f"cannot write {re.escape(str(path))}: .*more than 1,000 bytes of parameters"):
        export_onnx(model, path)
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"model.onnx": b"old"}


def test_names_of_any_text_are_kept(tmp_path: Path) -> None:
    """A model's name is in the metadata as it is, empty or strange."""
    for name in ("", "ä\0\n\u2028𝄞"):
        path = tmp_path / "model.onnx"
        export_onnx(Model(load(SMALL).graph, name), path)
        props = {entry.key: entry.value for entry in onnx.load_model(path).metadata_props}
        assert props["name"] == name


@pytest.mark.parametrize(
    ("module", "call"), [("onnx", lambda: onnx_bytes(load(SMALL))), ("onnxruntime", lambda: open_onnx(b""))]
)
def test_without_the_extra(module: str, call: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a package of the extra is not installed, it is named."""
    assert missing("onnx", "onnxruntime") is None
    monkeypatch.setattr(extra, "find_spec", lambda name: None if name == module else object())
    with pytest.raises(ToolError, match=f"the extra 'onnx' is not installed: there is no {module} here"):
        call()


# --- sign-off ---

PLAN = f"""title = "test"
seed = 7
published = "published"
[models]
small = {{ file = "{SMALL}" }}
odd = {{ random = {{ tokens = 4, values = 3, channels = 5, hidden = 2, blocks = 1, classes = 3 }} }}
theirs = {{ published = "stream_psa_h96" }}
[stimuli]
images = {{ file = "{golden_dir()}/images_16x12.npy" }}
uniform = {{ draw = "uniform", images = 5 }}
extreme = {{ draw = "extreme", images = 5 }}
[[check]]
kind = "onnx"
name = "onnx"
models = ["small"]
stimuli = ["images", "extreme"]
"""


def check_plan(folder: Path, text: str = PLAN) -> CheckRecord:
    """The record of the one check of a plan."""
    path = folder / "plan.toml"
    path.write_text(text)
    (check,) = run_plan(load_plan(path)).checks
    return check


@pytest.mark.slow
def test_signoff_check_passes(tmp_path: Path) -> None:
    """Every value of every tap is compared with both engines, on at most 8 images of each stimulus."""
    check = check_plan(tmp_path)
    assert (check.status, check.reason) == (Status.PASSED, None)
    figures = {figure.label: figure.value for figure in check.details.figures}
    # One image has 3,951 values at 25 taps; 8 of the stimulus' 16 images, all 5 of the drawn ones, two engines.
    assert figures == {"operators of the models": 25, "values compared": 2 * (8 + 5) * 3951, "values that differ": 0}
    assert [comparison.title for comparison in check.details.of(Comparison)] == [
        f"small on {stimulus}: ONNX Runtime against {engine}"
        for stimulus in ("images", "extreme")
        for engine in ("reference", "numba")
    ]
    assert {len(comparison.taps) for comparison in check.details.of(Comparison)} == {25}
    other = PLAN.replace('["small"]', '["odd"]').replace('["images", ', '["uniform", ')
    check = check_plan(tmp_path, other + 'images = 3\nengines = ["reference"]\n')
    assert check.status is Status.PASSED
    assert [comparison.taps[0].compared for comparison in check.details.of(Comparison)] == [3 * 4 * 5] * 2


@pytest.mark.parametrize(
    ("tensor", "place", "tap"),
    [
        ("blocks.0.mlp.linear_1/weight", (3, 4), "blocks.0.mlp.linear_1"),
        ("blocks.1.token_mixer.affine_1/lift", (2,), "blocks.1.token_mixer.affine_1"),
        ("blocks.1.mlp.psa_2/table", (37,), "blocks.1.mlp.psa_2"),
        ("classifier/drop", (1,), "classifier"),
    ],
)
def test_signoff_check_finds_a_corrupted_parameter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tensor: str, place: tuple[int, ...], tap: str
) -> None:
    """One number of the graph that is not the model's fails the check, and the first difference is at its operator."""

    def corrupted(model: Model) -> bytes:
        proto = onnx.load_model_from_string(onnx_bytes(model))
        (found,) = [entry for entry in proto.graph.initializer if entry.name == tensor]
        array = numpy_helper.to_array(found).copy()
        array[place] ^= 64
        found.CopyFrom(numpy_helper.from_array(array, tensor))
        return bytes(proto.SerializeToString())

    monkeypatch.setattr(onnx_check, "onnx_bytes", corrupted)
    check = check_plan(tmp_path)
    assert check.status is Status.FAILED
    assert re.match(rf"small on \w+: ONNX Runtime against [\w ]+: image \d+, tap {re.escape(tap)}, ", str(check.reason))
    wrong = [row.tap for comparison in check.details.of(Comparison) for row in comparison.taps if row.mismatches]
    assert wrong[0] == tap
    assert ", 0 differ" not in check.summary


@pytest.mark.parametrize("module", ["onnx", "onnxruntime"])
def test_signoff_check_is_skipped_in_sight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Where the extra is not installed the check is skipped and says so; so it is without the published data."""
    monkeypatch.delenv("FXSIM_PUBLISHED", raising=False)
    check = check_plan(tmp_path, PLAN.replace('["small"]', '["theirs"]'))
    assert check.status is Status.SKIPPED
    assert "published reference data absent" in str(check.reason)
    monkeypatch.setattr(extra, "find_spec", lambda name: None if name == module else object())
    check = check_plan(tmp_path)
    assert (check.status, check.reason) == (
        Status.SKIPPED,
        f"the extra 'onnx' is not installed: there is no {module} here",
    )


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('models = ["small"]', "models = []", "models"),
        ('models = ["small"]', 'models = ["large"]', "names model 'large'"),
        ('stimuli = ["images", "extreme"]', "stimuli = []", "stimuli"),
        ('stimuli = ["images", "extreme"]', 'stimuli = ["films"]', "names stimulus 'films'"),
        ('name = "onnx"', 'name = "onnx"\nimages = 0', "images"),
        ('name = "onnx"', 'name = "onnx"\nengines = []', "engines"),
        ('name = "onnx"', 'name = "onnx"\nengines = ["gpu"]', "gpu"),
    ],
)
def test_plan_of_nothing_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    """A check that would compare nothing, or names what is not there, is an error of the plan."""
    assert old in PLAN
    with pytest.raises(FileError, match=re.escape(message)):
        check_plan(tmp_path, PLAN.replace(old, new))


@pytest.mark.slow
def test_default_plan_executes_every_golden_model() -> None:
    """The project's plan has ONNX Runtime compute all golden and published models, every edge rule and any shift."""
    plan = load_plan()
    named = {name for check in plan.checks if isinstance(check, OnnxCheck) for name in check.models}
    assert named == set(plan.models)


# --- the command ---


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Any]:
    """`fxsim export-onnx` with these arguments, in an empty folder: exit status, standard output and error."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as exit_:
            main(["export-onnx", *map(str, arguments)])
        out, err = capsys.readouterr()
        return int(exit_.value.code or 0), out, err

    return call


def test_command_writes_the_file(call: Callable[..., Any], tmp_path: Path) -> None:
    """The file is what `onnx_bytes` gives for the taps and batch asked for, and the one line says what it is."""
    model = load(SMALL)
    for arguments, data, words in (
        ((), onnx_bytes(model), "25 outputs, any number of images a run"),
        (("--taps", "classifier, embed", "--batch", "4"), onnx_bytes(model, ("classifier", "embed"), 4),
         "2 outputs, 4 images a run"),
        (("--taps", "all", "--batch", "dynamic"), onnx_bytes(model), "25 outputs"),
    ):  # fmt: skip
        status, out, err = call(SMALL, "-o", "small.onnx", *arguments)
        assert (status, err) == (0, "")
        assert (tmp_path / "small.onnx").read_bytes() == data
        assert out.startswith(f"small.onnx: model 'small', opset {OPSET}, ")
        assert words in out
        assert f"{len(data):,} bytes" in out
    assert [path.name for path in tmp_path.iterdir()] == ["small.onnx"]


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("absent", "-o", "m.onnx"), 1, "error: absent: there is no such file"),
        (("damaged", "-o", "m.onnx"), 1, "error: damaged: is not a whole safetensors file"),
        ((SMALL, "-o", "m.onnx", "--taps", "embed,head"), 1, "error: model 'small' has no tap 'head'; it has: embed"),
        ((SMALL, "-o", "m.onnx", "--taps", ","), 1, "error: no tap was named"),
        ((SMALL, "-o", "m.onnx", "--batch", "0"), 1, "error: cannot write m.onnx: batch is 0, expected 1 to 1,048,576"),
        ((SMALL, "-o", "m.onnx", "--batch", "1048577"), 1, "batch is 1048577, expected 1 to"),
        ((SMALL, "-o", "m.onnx", "--batch", "-1"), 2, "'-1' is neither 'dynamic' nor a number of images"),
        ((SMALL, "-o", "m.onnx", "--batch", "1.5"), 2, "'1.5' is neither"),
        ((SMALL, "-o", "m.onnx", "--batch", "1000000000"), 2, "'1000000000' is neither"),
        ((SMALL, "-o", "m.onnx", "--batch", "٣"), 2, "is neither"),
        ((SMALL, "-o", "nowhere/m.onnx"), 1, "error: cannot write nowhere/m.onnx: there is no folder nowhere"),
        ((SMALL, "-o", "."), 1, "not a regular file"),
        (("damaged", "-o", "damaged"), 1, "error: damaged is read as an input"),
        ((SMALL,), 2, "Missing option '-o'"),
    ],
)
def test_command_explains_what_is_wrong(
    call: Callable[..., Any], tmp_path: Path, arguments: tuple[str | Path, ...], status: int, words: str
) -> None:
    """Each error is one line that names the thing and what was expected; nothing is written or lost."""
    damaged = SMALL.read_bytes()[:-1]
    (tmp_path / "damaged").write_bytes(damaged)
    found, out, err = call(*arguments)
    assert (found, out) == (status, "")
    assert words in err
    assert status == 2 or (err.startswith("fxsim: error: ") and err.count("\n") == 1)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"damaged": damaged}


def test_command_without_the_extra(call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra it says so, in one line, and writes nothing."""
    monkeypatch.setattr(extra, "find_spec", lambda _: None)
    status, out, err = call(SMALL, "-o", "m.onnx")
    assert (status, out) == (1, "")
    assert err == "fxsim: error: the extra 'onnx' is not installed: there is no onnx here\n"
    assert list(tmp_path.iterdir()) == []
