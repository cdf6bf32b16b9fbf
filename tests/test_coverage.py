"""Coverage of the arithmetic: what is counted, by plain Python loops again; records, merging, and the command."""

import itertools
import json
import shutil
from dataclasses import replace
from fractions import Fraction
from math import floor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxsim.cli import main
from fxsim.contract import CHANNEL, RANGED, TOKEN, Number, Sign, TableRule, Tensor
from fxsim.cosim import CosimRequest
from fxsim.cosim import nodes as nodes_module
from fxsim.cosim.nodes import NodesResult
from fxsim.coverage import (
    Coverage,
    States,
    by_family,
    by_node,
    close,
    cover_images,
    cover_trace,
    merge,
    read_coverage,
    read_directed,
    total,
    write_coverage,
    write_directed,
)
from fxsim.coverage.again import Checked, check_again
from fxsim.coverage.count import Counter
from fxsim.coverage.directed import missing_hits
from fxsim.coverage.invert import invert
from fxsim.coverage.points import Group, node_points
from fxsim.coverage.record import Source
from fxsim.coverage.rtl import cover_nodes, cover_rtl, node_model
from fxsim.coverage.sums import Row, Wanted
from fxsim.devices import DEVICES
from fxsim.engines import apply, run
from fxsim.errors import ComparisonError, FileError, FxsimError, ModelError, StimulusError
from fxsim.formats import load
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool
from fxsim.prove.reach import reach
from fxsim.signoff import load_plan, run_plan
from fxsim.signoff.checks import CHECKS
from fxsim.signoff.checks.coverage import MomentsRow, NodePointsRow, OpenPoints
from fxsim.signoff.kind import Gap
from fxsim.signoff.record import Status
from tests import oracle
from tests.conftest import ROOT
from tests.strategies import formatted_graphs, graphs, images, resmlp_configs, resmlp_models
from tests.test_cosim import MODEL
from tests.test_nodes import only

SMALL = ROOT / "golden" / "small.safetensors"
IMAGES = ROOT / "golden" / "images_16x12.npy"
Hit = tuple[str, int, str]
"""A point by its group, row, and what else tells it from others of the row."""


# --- The same points by plain loops ----------------------------------------------------------------------------------


def of_sum(total: int, row: int, low: int, high: int, shift: int, bias: int, ends: tuple[int, int]) -> set[Hit]:
    """The points that one sum hits, from the words of docs/coverage.md: floor, halves and remainders as fractions."""
    found = set()

    def hit(name: str, condition: bool) -> None:
        if condition:
            found.add((name, row, ""))

    hit("sum.least", total == low)
    hit("sum.greatest", total == high)
    hit("sum.zero", total == 0)
    hit("sum.not_zero", total != 0)
    exact = Fraction(total, 2**shift)
    rounded = floor(exact + Fraction(1, 2))
    if shift:
        hit("round.tie_positive", exact - floor(exact) == Fraction(1, 2) and total > 0)
        hit("round.tie_negative", exact - floor(exact) == Fraction(1, 2) and total < 0)
        hit("round.up", rounded > exact)
        hit("round.down", rounded < exact)
        hit("round.exact", rounded == exact)
    value = rounded + bias
    hit("end.beyond_low", value < ends[0])
    hit("end.first_beyond_low", value == ends[0] - 1)
    hit("end.low", value == ends[0])
    hit("end.high", value == ends[1])
    hit("end.first_beyond_high", value == ends[1] + 1)
    hit("end.beyond_high", value > ends[1])
    return found


def extremes(weights: list[int], ends: tuple[int, int]) -> tuple[int, int]:
    """Least and greatest sum of weights with inputs of a range."""
    return sum(min(w * e for e in ends) for w in weights), sum(max(w * e for e in ends) for w in weights)


def of_row(op: Any, x: list[int], row: int, weights: list[int], ends: tuple[int, int]) -> set[Hit]:
    """The points that one row of a linear or affine hits, and those of its weights of 0."""
    low, high = extremes(weights, ends)
    total = sum(w * v for w, v in zip(weights, x, strict=True))
    return of_sum(total, row, low, high, int(op.shift[row]), int(op.bias[row]), oracle.ends(op.out))


def of_table(op: Lut, value: int, channel: int) -> set[Hit]:
    """The points that one input of a table hits."""
    low, high = oracle.ends(op.number)
    found = {("table.input", channel, f"{value}")}
    if op.rule is TableRule.FULL:
        return found
    stored = op.table[channel].tolist()
    points = len(stored) - (op.rule is TableRule.ENDPOINT)
    step = (high - low + 1) // points
    segment, fraction = divmod(value - low, step)
    if fraction in (0, 1, step - 1):
        found.add(("table.segment", channel, f"{segment}/{fraction}"))
    if op.rule is TableRule.CLAMP and segment == points - 1:
        segment -= 1
    right = segment if op.rule is TableRule.HOLD and segment == points - 1 else segment + 1
    exact = Fraction((stored[right] - stored[segment]) * fraction, step)
    if exact - floor(exact) == Fraction(1, 2):
        found.add((f"interpolation.tie_{'positive' if exact > 0 else 'negative'}", channel, ""))
    return found


def of_relu(value: int, channel: int, ends: tuple[int, int]) -> set[Hit]:
    """The points that one input of a ReLU hits."""
    names = {
        "least": value == ends[0], "negative": value < 0, "minus_one": value == -1, "zero": value == 0,
        "one": value == 1, "positive": value > 0, "greatest": value == ends[1],
    }  # fmt: skip
    return {(f"relu.{name}", channel, "") for name, true in names.items() if true}


def of_node(node: Node, x: npt.NDArray[Any], r: npt.NDArray[Any], numbers: tuple[Number, Number]) -> set[Hit]:
    """The points of a node that one image's inputs hit."""
    op: Any = node.op
    hits: set[Hit] = set()
    ends, others = (oracle.ends(number) for number in numbers)
    if isinstance(op, Linear):
        turned = x.T if op.over is Axis.TOKENS else x
        for values in turned.reshape(-1, turned.shape[-1]).tolist():
            for row, weights in enumerate(op.weight.tolist()):
                hits |= of_row(op, values, row, weights, ends)
                hits |= {("weight.zero", k, "") for k, w in enumerate(weights) if w == 0 and values[k] != 0}
    elif isinstance(op, Pool):
        for c, values in enumerate(x.T.tolist()):
            low, high = ends[0] * len(values), ends[1] * len(values)
            hits |= of_sum(sum(values), c, low, high, len(values).bit_length() - 1, 0, ends)
    else:
        for at in np.ndindex(x.shape):
            value, c = int(x[at]), at[-1]
            if isinstance(op, Affine):
                hits |= of_row(op, [value], c, [int(op.weight[c])], ends)
                hits |= {("weight.zero", c, "")} if op.weight[c] == 0 and value != 0 else set()
            elif isinstance(op, Add):
                low, high = ends[0] + others[0], ends[1] + others[1]
                hits |= of_sum(value + int(r[at]), c, low, high, 0, 0, oracle.ends(op.out))
            elif isinstance(op, Lut):
                hits |= of_table(op, value, c)
            else:
                hits |= of_relu(value, c, ends)
    return hits


def numbers_of(model: Model, node: Node) -> tuple[Number, Number]:
    """The formats of a node's first and last input."""
    return model.graph.tensors[node.inputs[0]].number, model.graph.tensors[node.inputs[-1]].number


def of_image(model: Model, image: npt.NDArray[Any]) -> dict[str, set[Hit]]:
    """The points of every node that one image hits."""
    tensors: dict[str, npt.NDArray[Any]] = {INPUT: image} | oracle.compute(model.graph, image)
    return {
        node.name: of_node(node, tensors[node.inputs[0]], tensors[node.inputs[-1]], numbers_of(model, node))
        for node in model.graph.nodes
    }


def words_of(group: Group, at: int) -> Hit:
    """A point of the package in the words of these loops."""
    what = ""
    if group.name == "table.input":
        what = f"{int(group.low[at])}"
    if group.name == "table.segment":
        words = group.label(at).replace(",", "").split()
        what = f"{words[1]}/{words[3]}"
    return group.name, int(group.rows[at]), what


def counted(counter: Counter) -> dict[str, set[Hit]]:
    """The points that the package counted, in the same words."""
    found: dict[str, set[Hit]] = {}
    for name, node in counter.nodes.items():
        hits = found.setdefault(name, set())
        for group, bits in zip(node.points.groups, node.hits(), strict=True):
            hits |= {words_of(group, at) for at in np.flatnonzero(bits).tolist()}
    return found


def count(model: Model, x: npt.NDArray[Any]) -> Counter:
    """The points that images hit, in values of the oracle."""
    counter = Counter(model)
    for image in x:
        taps = {
            name: values[None].astype(model.graph.tensors[name].number.dtype)
            for name, values in oracle.compute(model.graph, image).items()
        }
        counter.add({INPUT: image[None]} | taps)
    return counter


def check(model: Model, x: npt.NDArray[Any]) -> None:
    """The counts of some images are those of plain loops."""
    expected: dict[str, set[Hit]] = {}
    for image in x:
        for name, hits in of_image(model, image).items():
            expected[name] = expected.get(name, set()) | hits
    assert counted(count(model, x)) == expected


def as_model(graph: Graph) -> Model:
    """A model of a graph."""
    return Model(graph, "generated")


MODELS = st.one_of(
    resmlp_models(resmlp_configs(dimension_max=3)),
    graphs(nodes_max=3, dimension_max=3).map(as_model),
    formatted_graphs(nodes_max=2, dimension_max=2)
    .filter(lambda g: all(t.number.bits <= 9 for t in g.tensors.values()))
    .map(as_model),
)


@settings(max_examples=8)
@given(st.data())
def test_counts_are_those_of_plain_loops(data: st.DataObject) -> None:
    """Every point that images hit, and no other, is counted: of any operator, format, rule of tables and shift."""
    model = data.draw(MODELS)
    check(model, data.draw(images(model, count_max=2)))


def test_numbers_of_points_are_those_that_are_stated() -> None:
    """A linear of 3 rows, one with shift 0 and one with shift 1, has as many points as its rules make."""
    number = Number(4, Sign.UNSIGNED)
    linear = Linear(
        np.array([[1, 0], [-2, 3], [0, 0]], np.int8), np.zeros(3, np.int8), np.array([0, 1, 5], np.uint8), out=Number(6)
    )
    graph = Graph(Tensor((TOKEN, CHANNEL), (2, 2), number), (Node("one", linear, (INPUT,)),))
    sizes = {group.name: len(group) for group in node_points(graph, graph.nodes[0]).groups}
    ends = ("beyond_low", "first_beyond_low", "low", "high", "first_beyond_high", "beyond_high")
    assert sizes == {
        **{f"sum.{name}": 3 for name in ("least", "greatest", "zero", "not_zero")},
        **{f"round.{name}": 2 for name in ("tie_positive", "tie_negative", "up", "exact")},
        "round.down": 1,
        **{f"end.{name}": 3 for name in ends},
        "weight.zero": 2,
    }
    assert node_points(graph, graph.nodes[0]).facts["rows of 0"] == 1
    assert node_points(graph, graph.nodes[0]).facts["weights of 0"] == 3


def table_model(points: int, rule: TableRule, number: Number) -> Model:
    """A model of one table over one channel."""
    stored = points + (rule is TableRule.ENDPOINT)
    lut = Lut(np.arange(stored, dtype=np.int8)[None] - 3, rule, number)
    return Model(Graph(Tensor((TOKEN, CHANNEL), (1, 1), number), (Node("one", lut, (INPUT,)),)), "table")


def test_every_input_of_a_table_is_counted_once() -> None:
    """All 256 inputs, and no fewer, cover a table's inputs and its segments' ends; a 4-bit table has 16."""
    for number, points in ((Number(8), 16), (Number(4, Sign.UNSIGNED), 8)):
        model = table_model(points, TableRule.CLAMP, number)
        every = np.arange(number.codes) + number.low
        x = every.astype(number.dtype)[:, None, None]
        for missing in (None, int(every[5])):
            found = cover_images(model, x if missing is None else x[every != missing], engine="reference")
            group = {g.name: g for g in found.nodes[0].groups}["table.input"]
            assert group.points == number.codes
            assert States(group).covered.sum() == number.codes - (missing is not None)
            if missing is not None:
                assert np.flatnonzero(States(group).open).tolist() == [5]


def test_a_table_of_too_many_points_is_refused_by_name() -> None:
    """What has more points than are kept is refused, and the node named."""
    number = Number(16)
    lut = Lut(np.zeros((300, 4), np.int8), TableRule.CLAMP, number)
    graph = Graph(Tensor((TOKEN, CHANNEL), (1, 300), number), (Node("wide", lut, (INPUT,)),))
    with pytest.raises(ModelError, match=r"node 'wide'.*300 tables of 65,536"):
        node_points(graph, graph.nodes[0])


def test_a_sum_beyond_its_bound_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the proof of an accumulator says less than is true, counting stops with an error that names the row."""
    model = load(SMALL)
    honest = Linear.accumulator_range
    monkeypatch.setattr(Linear, "accumulator_range", lambda op, *x: tuple(end // 64 for end in honest(op, *x)))
    with pytest.raises(ModelError, match=r"node '.*', row \d+: a sum is .* beyond the proved bound"):
        cover_images(model, np.load(IMAGES), engine="reference")


# --- Records ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts() -> tuple[Model, list[Coverage], Coverage]:
    """The small model, the coverage of two parts of its images, and that of all of them."""
    model, x = load(SMALL), np.load(IMAGES)
    return model, [cover_images(model, x[:3]), cover_images(model, x[3:])], cover_images(model, x)


def test_merging_parts_gives_the_whole(parts: tuple[Model, list[Coverage], Coverage]) -> None:
    """The coverage of some images and of the others, merged, is the coverage of all: every point of every node."""
    _, (first, second), whole = parts
    merged = merge(first, second)
    assert merged.nodes == whole.nodes
    assert [source.images for source in merged.sources] == [3, len(np.load(IMAGES)) - 3]
    assert total(first).covered < total(merged).covered
    assert sum(f.points for f in by_family(merged).values()) == sum(f.points for f in by_node(merged).values())


def test_another_models_coverage_is_refused(parts: tuple[Model, list[Coverage], Coverage], tmp_path: Path) -> None:
    """Records are merged by the model's hash, not its name."""
    _, (first, second), _ = parts
    with pytest.raises(FileError, match="they are different models"):
        merge(first, msgspec.structs.replace(second, model_sha256="0" * 64))
    relu = load(ROOT / "golden" / "small_relu.safetensors")
    other = tmp_path / "other.json"
    write_coverage(cover_images(relu, np.load(IMAGES)[:1]), other)
    with pytest.raises(FileError, match="they are different models"):
        merge(first, read_coverage(other))


def test_a_record_comes_back_as_it_was(parts: tuple[Model, list[Coverage], Coverage], tmp_path: Path) -> None:
    """What is written is read again, equal."""
    write_coverage(parts[2], tmp_path / "coverage.json")
    assert read_coverage(tmp_path / "coverage.json") == parts[2]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text[: len(text) // 2], "no record of coverage"),
        (lambda text: text.replace('"format": 1', '"format": 2'), "format 2"),
        (lambda text: text.replace('"model":', '"modell":'), "no record of coverage"),
        (lambda text: text.replace('"points": 10,', '"points": 90,', 1), "expected those of 90 points"),
        (lambda text: text.replace('"points": 10,', '"points": 1e30,', 1), "no record of coverage"),
    ],
)
def test_damaged_records_are_refused(
    parts: tuple[Model, list[Coverage], Coverage], tmp_path: Path, change: Any, words: str
) -> None:
    """A record that is cut off, of another format, or whose bits are not those of its points is one error."""
    path = tmp_path / "coverage.json"
    write_coverage(parts[2], path)
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))
    with pytest.raises(FileError, match=words):
        read_coverage(path)


def test_a_point_that_is_hit_and_called_unreachable_is_an_error(
    parts: tuple[Model, list[Coverage], Coverage], tmp_path: Path
) -> None:
    """A record in which a proof and a value contradict each other is refused, with the point's place."""
    whole = parts[2]
    node = whole.nodes[0]
    wrong = tuple(msgspec.structs.replace(group, unreachable={"sums": group.images}) for group in node.groups)
    bad = msgspec.structs.replace(whole, nodes=(msgspec.structs.replace(node, groups=wrong), *whole.nodes[1:]))
    write_coverage(bad, tmp_path / "coverage.json")
    with pytest.raises(FileError, match=r"node 'embed', .*proved unreachable and was hit"):
        read_coverage(tmp_path / "coverage.json")
    with pytest.raises(FxsimError, match="proved unreachable and was hit"):
        merge(bad, whole)


# --- Sources of values -----------------------------------------------------------------------------------------------


def test_a_trace_covers_only_what_it_shows(parts: tuple[Model, list[Coverage], Coverage]) -> None:
    """Nodes whose result and inputs are in a trace are counted as from the engine; of the others nothing is."""
    from fxsim.traces import Trace

    model, _, whole = parts
    x = np.load(IMAGES)
    taps = run(model, x, model.graph.taps[:3])
    found, result = cover_trace(model, x, Trace("three", taps), "three")
    assert (result.compared, found.sources[0].values) == (sum(v.size for v in taps.values()),) * 2
    assert found.nodes[:3] == whole.nodes[:3]
    assert all(node.images == 0 and not States(g).covered.any() for node in found.nodes[3:] for g in node.groups)


def test_a_trace_that_differs_covers_nothing(parts: tuple[Model, list[Coverage], Coverage]) -> None:
    """One wrong value is an error that says where it is."""
    from fxsim.traces import Trace

    model = parts[0]
    x = np.load(IMAGES)
    taps = run(model, x, model.graph.taps[:2])
    taps["embed"][1, 2, 3] ^= 1
    with pytest.raises(ComparisonError, match=r"covers nothing.*image 1, tap embed, token 2, channel 3"):
        cover_trace(model, x, Trace("two", taps), "two")


def test_values_that_are_no_tensors_are_refused(parts: tuple[Model, list[Coverage], Coverage]) -> None:
    """Values of another type or shape are refused, with the tensor's name."""
    with pytest.raises(StimulusError, match="values of 'embed'"):
        Counter(parts[0]).add({"embed": np.zeros((1, 16, 9), np.int8)})


# --- Holes, closed or proved -----------------------------------------------------------------------------------------


def stated(model: Model, coverage: Coverage, name: str, what: str) -> set[Hit]:
    """The points of a node in one state of its record, in the words of the plain loops."""
    (record,) = (node for node in coverage.nodes if node.node == name)
    groups = node_points(model.graph, model.graph.by_name[name]).groups
    return {
        words_of(group, at)
        for group, kept in zip(groups, record.groups, strict=True)
        for at in np.flatnonzero(getattr(States(kept), what)).tolist()
    }


@pytest.mark.slow
@settings(max_examples=6)
@given(st.data())
def test_what_is_solved_is_hit_and_what_is_proved_is_not(data: st.DataObject) -> None:
    """Plain loops find every point of the stimuli that are made, and none that is proved in images of all kinds."""
    model = data.draw(MODELS)
    x = data.draw(images(model, count_max=1))
    number, shape = model.graph.input.number, model.graph.input.shape
    found, directed = close(model, cover_images(model, x, engine="reference"), "reference")
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    drawn = [rng.integers(number.low, number.high + 1, shape).astype(number.dtype) for _ in range(2)]
    drawn += [rng.choice(np.array([number.low, number.high], number.dtype), shape) for _ in range(2)]
    hits = [of_image(model, image) for image in drawn]
    for node in model.graph.nodes:
        arrays = directed.nodes.get(node.name, {})
        solved: set[Hit] = set()
        for n in range(len(next(iter(arrays.values()), ()))):
            own = [arrays[name][n] for name in node.inputs]
            solved |= of_node(node, own[0], own[-1], numbers_of(model, node))
        assert stated(model, found, node.name, "directed") == solved
        unreachable = stated(model, found, node.name, "unreachable")
        assert all(not unreachable & one[node.name] for one in hits)
    assert check_again(found, model).wrong == ()
    assert missing_hits(model, found, directed) == []


@settings(max_examples=6)
@given(st.data())
def test_what_is_proved_is_exactly_what_no_input_hits(data: st.DataObject) -> None:
    """For a row of two inputs of 4 bits all 256 vectors are tried: points are solved where one hits, else proved."""
    number = Number(4, data.draw(st.sampled_from(RANGED)))
    rows = data.draw(st.integers(1, 3))
    rng = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    weight = rng.integers(-8, 8, (rows, 2)).astype(np.int8)
    bias, shift = rng.integers(-9, 9, rows).astype(np.int8), rng.integers(0, 9, rows).astype(np.uint8)
    node = Node("one", Linear(weight, bias, shift, weight_number=Number(4), out=Number(5)), (INPUT,))
    model = Model(Graph(Tensor((TOKEN, CHANNEL), (1, 2), number), (node,)), "row")
    none = np.zeros((1, 1, 2), number.dtype)
    found, _ = close(model, cover_images(model, none, engine="reference"), "reference")
    codes = range(number.low, number.high + 1)
    hit: set[Hit] = set()
    for a in codes:
        for b in codes:
            hit |= of_node(node, np.array([[a, b]]), none[0], (number, number))
    assert stated(model, found, "one", "covered") == hit
    assert stated(model, found, "one", "open") == set()
    assert total(found).covered + total(found).unreachable == total(found).points


def test_rows_that_need_an_exact_search_are_solved_or_proved() -> None:
    """Sums of weights at both ends of int8 alone, with gaps between the values: the sum is right, or listed as none."""
    rng = np.random.default_rng(5)
    for weights, values in (
        ([-128, 127] * 20, [list(range(-128, 128))] * 40),
        ([5, -10, 15], [[0, 3, 4], [-2, 2], [1, 7]]),
        ([6, 4], [list(range(-8, 8))] * 2),
        (
            rng.integers(-128, 128, 30).tolist(),
            [sorted({int(v) for v in rng.integers(-128, 128, 9)}) for _ in range(30)],
        ),
    ):
        row = Row(weights, values)
        for target in (0, 1, 2, 777, row.low, row.low + 1, row.high, row.high - 3):
            found, proof = row.find(Wanted(target, target, 1, 0, 0))
            assert (found is None) == (proof is not None), target
            if found is not None:
                assert sum(w * v for w, v in zip(weights, found, strict=True)) == target
                assert all(v in own for v, own in zip(found, values, strict=True))
            elif len(weights) < 4:
                every = {sum(w * v for w, v in zip(weights, x, strict=True)) for x in itertools.product(*values)}
                assert target not in every


def test_a_wrong_proof_of_reachable_values_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where values that occur are said not to, closing stops: a point that is hit would be called unreachable."""
    model, x = load(SMALL), np.load(IMAGES)
    honest = reach(model)
    lying = dict(honest)
    sets = honest["blocks.0.token_mixer.add"].sets.copy()
    sets[..., 129:] = False
    lying["blocks.0.token_mixer.add"] = replace(honest["blocks.0.token_mixer.add"], sets=sets)
    monkeypatch.setattr("fxsim.coverage.values.reach", lambda _model: lying)
    with pytest.raises(FxsimError, match="is proved unreachable and was hit"):
        close(model, cover_images(model, x))


def test_a_stimulus_that_does_not_hit_its_point_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is solved is counted in the values themselves: a solver that is off by one in one input is an error."""
    honest = Row.find

    def off(row: Row, wanted: Wanted) -> tuple[list[int] | None, str | None]:
        found, proof = honest(row, wanted)
        return (None if found is None else [*found[:-1], found[-1] ^ 1]), proof

    monkeypatch.setattr(Row, "find", off)
    model = load(SMALL)
    with pytest.raises(FxsimError, match="a stimulus made for it does not hit it"):
        close(model, cover_images(model, np.load(IMAGES)[:1]))


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Coverage, Path]:
    """The small model with its holes closed, and the folder of its stimuli."""
    model = load(SMALL)
    found, directed = close(model, cover_images(model, np.load(IMAGES)))
    folder = tmp_path_factory.mktemp("directed")
    write_directed(model, directed, folder)
    return model, found, folder


@pytest.mark.slow
def test_the_small_model_has_no_open_point(closed: tuple[Model, Coverage, Path]) -> None:
    """Each point of the small golden model is covered, or proved unreachable by a proof that holds again."""
    model, found, folder = closed
    assert total(found).open == 0
    assert total(found).unreachable > 0
    checked = check_again(found, model)
    assert (checked.wrong, checked.left_out) == ((), 0)
    assert sum(checked.proofs.values()) == total(found).unreachable
    assert missing_hits(model, found, read_directed(model, folder)) == []


@pytest.mark.slow
def test_a_proof_that_does_not_hold_is_found(closed: tuple[Model, Coverage, Path]) -> None:
    """Of a record in which covered points are called unreachable, in place of being hit, each is named."""
    model, found, _ = closed
    nodes = list(found.nodes)
    for at in (0, 3, 7):
        node = nodes[at]
        group = node.groups[-1]
        nothing = "00" * (len(group.directed) // 2)
        assert States(group).directed.any()
        claims = {"inputs" if at == 7 else "bound": group.directed}
        wrong = msgspec.structs.replace(group, images=nothing, directed=nothing, unreachable=claims)
        nodes[at] = msgspec.structs.replace(node, groups=(*node.groups[:-1], wrong))
    checked = check_again(msgspec.structs.replace(found, nodes=tuple(nodes)), model)
    assert len(checked.wrong) == sum(int(States(found.nodes[at].groups[-1]).directed.sum()) for at in (0, 3, 7))
    assert {line.partition(",")[0] for line in checked.wrong} == {found.nodes[at].node for at in (0, 3, 7)}


def test_stimuli_are_held_to_their_hash_and_model(closed: tuple[Model, Coverage, Path], tmp_path: Path) -> None:
    """A file of stimuli that was changed, and a folder made for another model, are refused."""
    model, found, folder = closed
    copy = shutil.copytree(folder, tmp_path / "copy")
    arrays = dict(np.load(copy / "pool.npz"))
    np.savez(copy / "pool.npz", **{name: values[::-1] for name, values in arrays.items()})
    with pytest.raises(FileError, match=r"pool\.npz: is another file"):
        read_directed(model, copy)
    with pytest.raises(FileError, match="for another model"):
        read_directed(load(ROOT / "golden" / "small_relu.safetensors"), folder)
    directed = read_directed(model, folder)
    less = replace(directed, nodes={name: one for name, one in directed.nodes.items() if name != "pool"})
    assert all(line.startswith("pool, ") for line in missing_hits(model, found, less))
    assert missing_hits(model, found, less)


# --- RTL -------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_node_alone_computes_what_the_model_does_there(closed: tuple[Model, Coverage, Path]) -> None:
    """The model made of one node gives, of the stimuli side by side, the reference engine's result for them."""
    model, _, folder = closed
    directed = read_directed(model, folder)
    for name, arrays in directed.nodes.items():
        node = model.graph.by_name[name]
        own = node_model(model, node)
        assert own is not None
        values = [arrays[source] for source in node.inputs]
        found = run(own, np.concatenate(values, axis=-1), ("all",), "reference")
        assert np.array_equal(found[name], apply(node, *values)), name


def test_stimuli_are_turned_around_exactly_where_one_value_decides(closed: tuple[Model, Coverage, Path]) -> None:
    """What is made of the tensor before an affine, a table or a pool gives the stimuli; of a sum nothing is made."""
    model, _, folder = closed
    directed, graph = read_directed(model, folder), model.graph
    for name, until in (
        ("blocks.0.token_mixer.linear", "embed"),
        ("blocks.0.mlp.linear_1", "blocks.0.token_mixer.add"),
        ("classifier", "blocks.1.mlp.add"),
    ):
        node = graph.by_name[name]
        wanted = directed.nodes[name][node.inputs[0]]
        found = invert(graph, wanted, node.inputs[0], until)
        assert found is not None
        assert np.array_equal(apply(graph.by_name[node.inputs[0]], found), wanted)
    assert invert(graph, wanted, "blocks.0.mlp.linear_2", "embed") is None
    assert invert(graph, wanted, "blocks.0.mlp.add", "embed") is None


def test_rtl_that_fails_covers_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a co-simulation that does not pass no value counts, whatever was equal in it."""
    result = SimpleNamespace(
        passed=False,
        verdict=SimpleNamespace(stopped=None),
        comparison=SimpleNamespace(reason="image 0, tap embed: expected 3, got 4"),
    )
    monkeypatch.setattr("fxsim.coverage.rtl.run_cosim", lambda *_args, **_options: result)
    with pytest.raises(ComparisonError, match="covers nothing: image 0, tap embed"):
        cover_rtl(CosimRequest(load(SMALL), np.load(IMAGES)))


@pytest.mark.verilator
@pytest.mark.thorough
def test_directed_stimuli_reach_every_point_in_rtl(monkeypatch: pytest.MonkeyPatch) -> None:
    """In modules of the streaming accelerator alone, given their stimuli, all that is covered passes and is equal."""
    device = DEVICES["stream"]
    assert device.nodes is not None
    taps = {"embed", "blocks.0.mlp.psa_1", "blocks.0.token_mixer.add", "pool"}
    monkeypatch.setattr(nodes_module, "DEVICES", {"stream": replace(device, nodes=only(taps, device.nodes))})
    none = np.zeros((1, *MODEL.graph.input_shape), np.int8)
    empty = cover_images(MODEL, none)
    found, directed = close(MODEL, empty)
    request = CosimRequest(MODEL, none, power_on_seeds=(1,))
    driven, result = cover_nodes(found, directed, request)
    assert {node.tap for node in result.nodes} == taps
    assert driven.sources[-1].values == result_values(result) > 0
    for node in driven.nodes:
        for group in node.groups:
            states = States(group)
            if node.node in taps:
                assert not (states.directed & ~states.rtl).any(), (node.node, group.name)
            else:
                assert not states.rtl.any()


def result_values(result: NodesResult) -> int:
    """The values that all modules were compared at."""
    return sum(node.compared for node in result.nodes)


# --- Sign-off --------------------------------------------------------------------------------------------------------


def coverage_plan(folder: Path, *settings: str) -> Path:
    """A plan of checks of the small model, each of these settings."""
    shutil.copy(SMALL, folder / "small.safetensors")
    np.save(folder / "few.npy", np.load(IMAGES)[:2])
    checks = [
        f'[[check]]\nkind = "coverage"\nname = "c{n}"\nmodel = "small"\nstimuli = ["few"]\n{text}\n'
        for n, text in enumerate(settings)
    ]
    head = 'title = "t"\nseed = 1\n[models]\nsmall = { file = "small.safetensors" }\n'
    (folder / "plan.toml").write_text(head + '[stimuli]\nfew = { file = "few.npy" }\n' + "".join(checks))
    return folder / "plan.toml"


@pytest.mark.slow
def test_sign_off_passes_what_is_closed_and_fails_what_is_not(tmp_path: Path, closed: Any) -> None:
    """Closed by solving passes; a share that images alone do not reach fails, and says which points are not covered."""
    some = "directed = false\nat_least = { table = 0.99, sum = 0.01 }"
    plan = load_plan(coverage_plan(tmp_path, "closed = true", some))
    good, bad = run_plan(plan).checks
    assert (good.status, bad.status) == (Status.PASSED, Status.FAILED)
    assert "0 open" in good.summary
    assert f"{total(closed[1]).points:,} points" in good.summary
    assert bad.reason is not None
    assert bad.reason.startswith("table: ")
    assert "sum:" not in bad.reason
    assert bad.details.of(OpenPoints)[0].examples
    assert sum(row.open for row in bad.details.of(NodePointsRow)) > 0
    gaps = [line for part in CHECKS["coverage"].parts if isinstance(part, Gap) for line in part.take(bad)]
    assert len(gaps) == 1
    assert [line for part in CHECKS["coverage"].parts if isinstance(part, Gap) for line in part.take(good)] == []


@pytest.mark.slow
def test_sign_off_fails_where_a_proof_does_not_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Proofs are made again: one that does not hold again fails the check."""
    lie = Checked(proofs={"bound": 1}, left_out=0, wrong=("pool, sum.zero, channel 0: not proved by 'bound'",))
    monkeypatch.setattr("fxsim.signoff.checks.coverage.check_again", lambda *_args: lie)
    (check,) = run_plan(load_plan(coverage_plan(tmp_path, "closed = true"))).checks
    assert check.status is Status.FAILED
    assert "a proof does not hold: pool, sum.zero" in str(check.reason)


@pytest.mark.parametrize(
    ("never", "words"),
    [
        ("", "stream: 1 moments never came, the first: reset: pool"),
        ('never = { "reset: p*" = "a reason of some words" }', None),
        ('never = { "*" = "a reason of some words", "hel*" = "of what came all the same" }', "never names 'hel*', of"),
    ],
)
def test_moments_that_never_come_are_named_or_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, never: str, words: str | None
) -> None:
    """A moment that comes in one run is had; one that never does needs a reason, one that does must have none."""
    bare = cover_images(load(SMALL), np.load(IMAGES)[:1])
    runs = [
        msgspec.structs.replace(bare, moments={"stream": {"reset: pool": 0, "held: pool": held, "held: embed": 1}})
        for held in (0, 7)
    ]
    monkeypatch.setattr("fxsim.signoff.checks.coverage.cover_rtl", lambda *_args: (runs[0], None))
    monkeypatch.setattr("fxsim.signoff.checks.coverage.aim", lambda *_args, **_options: runs[1])
    settings = f'accelerators = ["stream"]\n{never}'
    (check,) = run_plan(load_plan(coverage_plan(tmp_path, settings))).checks
    assert check.status is (Status.PASSED if words is None else Status.FAILED)
    if words is not None:
        assert words in str(check.reason)
    (row,) = check.details.of(MomentsRow)
    assert (row.moments, row.came, row.never) == (3, 2, ("reset: pool",))
    gaps = [line for part in CHECKS["coverage"].parts if isinstance(part, Gap) for line in part.take(check)]
    assert len([line for line in gaps if "moments" in line]) == (0 if never else 1)


def test_moments_of_other_names_are_not_merged() -> None:
    """Counts add up by name; a record of other moments of the same accelerator is refused."""
    bare = cover_images(load(SMALL), np.load(IMAGES)[:1])
    one, other = (msgspec.structs.replace(bare, moments={"a": {"x": n, "y": 0}, f"b{n}": {"z": n}}) for n in (2, 3))
    assert merge(one, other).moments == {"a": {"x": 5, "y": 0}, "b2": {"z": 2}, "b3": {"z": 3}}
    with pytest.raises(FileError, match="the moments of 'a'"):
        merge(one, msgspec.structs.replace(bare, moments={"a": {"x": 1}}))


def test_values_of_other_rtl_are_not_merged() -> None:
    """What one design computed shows nothing of another, nor of Verilog that nobody knows; of two devices it may."""
    bare = cover_images(load(SMALL), np.load(IMAGES)[:1])

    def of_rtl(design: str, name: str = "stream images, stalls none") -> Coverage:
        source = Source(kind="rtl", name=name, images=1, sha256="0" * 64, nodes=1, values=1, design=design)
        return msgspec.structs.replace(bare, sources=(source,))

    mine = of_rtl(f"stream {'1' * 64}")
    assert len(merge(mine, bare).sources) == 2
    assert len(merge(merge(mine, of_rtl(f"simd {'2' * 64}")), mine).sources) == 2
    with pytest.raises(FileError, match=r"RTL of 'stream' is of other Verilog \(2222"):
        merge(mine, of_rtl(f"stream {'2' * 64}"))
    with pytest.raises(FileError, match="RTL of 'stream' states no hash of its Verilog"):
        merge(mine, of_rtl(""))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("", "demands nothing"),
        ('accelerators = ["described"]', "accelerator 'described', expected of: stream, simd"),
        ('closed = true\nnever = { "*" = "a reason of some words" }', "of no accelerator"),
        ('accelerators = ["stream"]\nnever = { "*" = "               " }', "is no reason, expected words"),
        ("at_least = { table = 0.0 }", "> 0.0"),
        ("at_least = { tabel = 1.0 }", "the family 'tabel'"),
        ("closed = true\ndirected = false", "without directed stimuli"),
    ],
)
def test_checks_that_demand_nothing_are_refused(tmp_path: Path, settings: str, words: str) -> None:
    """A plan's check that could not fail, or names a family that there is not, is refused when it is read."""
    with pytest.raises(FxsimError, match=words):
        load_plan(coverage_plan(tmp_path, settings))


# --- The command -----------------------------------------------------------------------------------------------------


def call(capfd: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str, str]:
    """Run `fxsim coverage` in this process."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(["coverage", *map(str, args)])
    out, err = capfd.readouterr()
    return int(str(caught.value.code)), out, err


@pytest.mark.slow
def test_the_command_measures_writes_and_merges(
    parts: tuple[Model, list[Coverage], Coverage], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Its figures are those of the record that it writes, with a picture; merging two records gives the whole."""
    x, whole = np.load(IMAGES), parts[2]
    for name, some in (("a", x[:3]), ("b", x[3:])):
        np.save(tmp_path / f"{name}.npy", some)
        status, out, err = call(
            capfd, SMALL, "--input", tmp_path / f"{name}.npy", "-o", tmp_path / name, "--holes", "1"
        )
        assert status == 0, err
        assert "open: embed, " in out
        assert "not measured: stalls" in out
        assert (tmp_path / name / "coverage.svg").read_text().startswith("<?xml")
    records = [tmp_path / name / "coverage.json" for name in ("a", "b")]
    status, out, err = call(capfd, "merge", *records, "--json", "-o", tmp_path / "c")
    assert status == 0, err
    found = json.loads(out)
    assert found["total"]["covered"] == total(whole).covered
    assert read_coverage(tmp_path / "c" / "coverage.json").nodes == whole.nodes
    assert found["total"]["open"] == sum(hole["open"] for hole in found["holes"]) + found["not_listed"]


def test_the_command_covers_a_folder_of_vectors(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Vectors cover what their images do; of a folder with one wrong value nothing counts, and its place is said."""
    vectors = ROOT / "golden" / "vectors" / "small"
    status, out, err = call(capfd, SMALL, "--vectors", vectors, "--json")
    assert status == 0, err
    found = json.loads(out)
    images = cover_images(load(SMALL), np.load(vectors / "stimulus.npy"))
    assert found["total"]["covered"] == total(images).covered > 0
    assert [source["kind"] for source in found["sources"]] == ["vectors"]
    shutil.copytree(vectors, tmp_path / "bad")
    (tap,) = [path for path in (tmp_path / "bad" / "taps").iterdir() if path.name.startswith("embed")]
    tap.write_bytes(tap.read_bytes()[:-2] + bytes([tap.read_bytes()[-2] ^ 1]) + tap.read_bytes()[-1:])
    status, _, err = call(capfd, SMALL, "--vectors", tmp_path / "bad")
    assert status != 0
    assert "covers nothing" in err
    assert "embed" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "expected one of --input and --vectors"),
        (("--vectors", "v", "--accel", "stream"), "--vectors are values themselves"),
        (("--input", "x.npy", "--dut", "d.toml", "--accel", "simd"), "--dut describes your own RTL"),
    ],
)
def test_the_command_refuses_values_of_two_sources(
    options: tuple[str, ...], words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """Values are of images, of a folder of vectors, of a trace or of RTL: what is asked for must say of which."""
    status, _, err = call(capfd, SMALL, *options)
    assert status == 2
    assert words in err


def test_the_command_refuses_another_models_record(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Records of two models are one line of error, and nothing is written."""
    for name in ("small", "small_relu"):
        model = load(ROOT / "golden" / f"{name}.safetensors")
        write_coverage(cover_images(model, np.load(IMAGES)[:1]), tmp_path / f"{name}.json")
    status, out, err = call(
        capfd, "merge", tmp_path / "small.json", tmp_path / "small_relu.json", "-o", tmp_path / "out"
    )
    assert (status, out) == (1, "")
    assert "they are different models" in err
    assert not (tmp_path / "out").exists()
