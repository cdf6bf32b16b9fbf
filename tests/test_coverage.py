"""Coverage of the arithmetic: what is counted, by plain Python loops again; records, merging, and the command."""

import json
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxsim.cli import main
from fxsim.contract import CHANNEL, TOKEN, Number, Sign, TableRule, Tensor
from fxsim.coverage import (
    Coverage,
    States,
    by_family,
    by_node,
    cover_images,
    cover_trace,
    merge,
    read_coverage,
    total,
    write_coverage,
)
from fxsim.coverage.count import Counter
from fxsim.coverage.points import node_points
from fxsim.errors import ComparisonError, FileError, FxsimError, ModelError, StimulusError
from fxsim.formats import load
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool
from tests import oracle
from tests.conftest import ROOT
from tests.strategies import formatted_graphs, graphs, images, resmlp_configs, resmlp_models

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


def of_image(model: Model, image: npt.NDArray[Any]) -> dict[str, set[Hit]]:
    """The points of every node that one image hits."""
    tensors: dict[str, npt.NDArray[Any]] = {INPUT: image} | oracle.compute(model.graph, image)
    found: dict[str, set[Hit]] = {}
    for node in model.graph.nodes:
        op, hits = node.op, found.setdefault(node.name, set())
        x, r = tensors[node.inputs[0]], tensors[node.inputs[-1]]
        ends = oracle.ends(model.graph.tensors[node.inputs[0]].number)
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
            others = oracle.ends(model.graph.tensors[node.inputs[-1]].number)
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
    return found


def counted(counter: Counter) -> dict[str, set[Hit]]:
    """The points that the package counted, in the same words."""
    found: dict[str, set[Hit]] = {}
    for name, node in counter.nodes.items():
        hits = found.setdefault(name, set())
        for group, bits in zip(node.points.groups, node.hits(), strict=True):
            for at in np.flatnonzero(bits).tolist():
                what = ""
                if group.name == "table.input":
                    what = f"{int(group.low[at])}"
                if group.name == "table.segment":
                    words = group.label(at).replace(",", "").split()
                    what = f"{words[1]}/{words[3]}"
                hits.add((group.name, int(group.rows[at]), what))
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


@settings(max_examples=12)
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
    from fxsim.engines import run
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
    from fxsim.engines import run
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


# --- The command -----------------------------------------------------------------------------------------------------


def call(capfd: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str, str]:
    """Run `fxsim coverage` in this process."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(["coverage", *map(str, args)])
    out, err = capfd.readouterr()
    return int(str(caught.value.code)), out, err


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
