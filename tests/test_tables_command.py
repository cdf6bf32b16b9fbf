"""The comparison of table formats: every figure against one computed by hand, and the command around it."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fxsim.cli import main
from fxsim.cli.tables import load_full
from fxsim.contract import TableRule
from fxsim.data import Preprocessing
from fxsim.errors import FileError, FxsimError, ModelError, StimulusError
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.formats import load, save
from fxsim.formats.figures import write_figure
from fxsim.graph import Graph, Model, Node
from fxsim.networks.checkpoint import save_checkpoint
from fxsim.networks.fold import fold
from fxsim.networks.quantised import QuantisedResMLP, ShiftRule, TableFormat
from fxsim.networks.resmlp import Activation, NetworkConfig, ResMLP
from fxsim.operators import Add, Lut, Pool, Relu
from fxsim.tables.points import PointMethod, compress_tables
from fxsim.tables.study import Row, best, draw, full_tables_of, study, with_tables
from tests.conftest import SEED
from tests.oracle import compute, interpolate

CONFIG = ResMLPConfig(tokens=2, values=3, channels=3, hidden=2, blocks=1, classes=4, points=16, rule=TableRule.HOLD)
RULES = (TableRule.CLAMP, TableRule.HOLD, TableRule.ENDPOINT)
IMAGES = 12


@pytest.fixture(scope="module")
def model() -> Model:
    """A ResMLP of random parameters, sums small enough that classes differ from picture to picture."""
    # Not SEED: that classes differ and change is part of what is tested.
    rng = np.random.default_rng(1)
    parameters: dict[str, Any] = {}
    for name, shape in resmlp_parameters(CONFIG).items():
        if name.endswith(".shift"):
            parameters[name] = rng.integers(5, 8, shape).astype(np.uint8)
        else:
            largest = 9 if name.endswith(".bias") else 100
            parameters[name] = rng.integers(-largest, largest + 1, shape).astype(np.int8)
    return Model(build_resmlp(CONFIG, parameters), "tiny")


@pytest.fixture(scope="module")
def pictures() -> tuple[Any, Any]:
    """Codes and labels."""
    rng = np.random.default_rng(2)
    return rng.integers(-128, 128, (IMAGES, 2, 3)).astype(np.int8), rng.integers(0, 4, IMAGES)


def predict(graph: Graph, codes: Any) -> list[int]:
    """The class of the greatest score, the first of equal ones, by exact arithmetic."""
    scores = [compute(graph, image)[graph.output].tolist() for image in codes]
    return [row.index(max(row)) for row in scores]


def test_every_figure_of_a_row(model: Model, pictures: tuple[Any, Any]) -> None:
    """Errors entry by entry, uses value by value, predictions by exact arithmetic, give each row's figures."""
    codes, labels = pictures
    luts = {node.name: node for node in model.graph.nodes if isinstance(node.op, Lut)}
    full = {
        tap: np.array([[interpolate(row, CONFIG.rule, x) for x in range(-128, 128)] for row in node.op.table.tolist()])
        for tap, node in luts.items()
        if isinstance(node.op, Lut) and CONFIG.rule is not None
    }
    # The full model computes what the stored one does.
    taps = [compute(model.graph, image) for image in codes]
    uses: Counter[tuple[str, int, int]] = Counter()
    for values in taps:
        for tap, node in luts.items():
            for channel, column in enumerate(values[node.inputs[0]].T.tolist()):
                uses.update((tap, channel, x + 128) for x in column)
    before = predict(model.graph, codes)
    assert len(set(before)) > 1
    seen: list[tuple[int, int]] = []
    given = {tap: table.astype(np.int8) for tap, table in full.items()}
    rows = study(given, model, codes, labels, (4, 16), RULES, tuple(PointMethod), lambda *at: seen.append(at))
    assert seen == [(n, 19) for n in range(1, 20)]
    assert rows[0].method is None
    formats = [(p, rule, method) for p in (4, 16) for rule in RULES for method in PointMethod]
    for row, (points, rule, method) in zip(rows, [(256, TableRule.FULL, None), *formats], strict=True):
        assert (row.points, row.rule, row.method) == (points, rule, method)
        errors: dict[tuple[str, int, int], int] = {}
        tables = {}
        for tap, table in given.items():
            tables[tap] = table if method is None else compress_tables(table, points, rule, method)
            for channel, stored in enumerate(tables[tap].tolist()):
                for x in range(-128, 128):
                    error = abs(interpolate(stored, rule, x) - int(full[tap][channel, x + 128]))
                    errors[tap, channel, x + 128] = error
        assert row.bytes == sum(table.size for table in tables.values())
        assert row.mean_error == sum(errors.values()) / len(errors)
        assert row.worst_error == max(errors.values())
        assert row.differing == sum(error > 0 for error in errors.values()) / len(errors)
        assert row.used_mean_error == sum(errors[at] * n for at, n in uses.items()) / uses.total()
        assert row.used_differing == sum(n for at, n in uses.items() if errors[at]) / uses.total()
        nodes = [
            Node(node.name, Lut(tables[node.name], rule), node.inputs) if node.name in luts else node
            for node in model.graph.nodes
        ]
        predicted = predict(Graph(model.graph.input_shape, tuple(nodes)), codes)
        assert row.correct == sum(a == b for a, b in zip(predicted, labels, strict=True))
        assert row.changed == sum(a != b for a, b in zip(predicted, before, strict=True))
        assert row.images == IMAGES
    # The comparison is of something: some tables of 4 points change predictions.
    assert any(row.changed for row in rows)


def test_a_table_on_the_models_own_input_is_measured(pictures: tuple[Any, Any]) -> None:
    """Uses are counted where a table reads the graph's input, and where two tables read one tensor."""
    ramp = np.broadcast_to(np.arange(-128, 128).astype(np.int8), (3, 256)).copy()
    nodes = [
        Node("a", Lut(ramp, TableRule.FULL), ("input",)),
        Node("b", Lut(ramp, TableRule.FULL), ("input",)),
        Node("sum", Add(), ("a", "b")),
        Node("pool", Pool(2), ("sum",)),
    ]
    model = Model(Graph((2, 3), tuple(nodes)), "two")
    codes, labels = pictures
    spiked = {"a": ramp.copy(), "b": ramp}
    # Every entry that is not a point.
    spiked["a"][1, np.arange(256) % 4 > 0] = 127
    rows = study(spiked, model, codes, labels % 3, (64,), (TableRule.ENDPOINT,), (PointMethod.DECIMATE,))
    wrong = 0
    for table in spiked.values():
        stored = compress_tables(table, 64, TableRule.ENDPOINT, PointMethod.DECIMATE).tolist()
        for token in codes.reshape(-1, 3).tolist():
            for channel, code in enumerate(token):
                wrong += interpolate(stored[channel], TableRule.ENDPOINT, code) != table[channel, code + 128]
    assert wrong > 0
    assert rows[1].used_differing == wrong / (2 * codes.size)


def test_without_data_rows_say_nothing_about_data(model: Model) -> None:
    """Errors alone are stated; the best row is the one of least mean error."""
    rows = study(full_tables_of(model), model, None, None, (8,), RULES, tuple(PointMethod))
    assert {(row.used_mean_error, row.used_differing, row.correct, row.changed, row.images) for row in rows} == {
        (None,) * 5
    }
    chosen = best(rows, 8)
    assert chosen is not None
    assert chosen.mean_error == min(row.mean_error for row in rows[1:])


def test_best_is_of_fewest_changes_then_least_mean_then_worst_error() -> None:
    """The recommendation follows its rule; full tables and other sizes do not compete."""

    def row(points: int, changed: int | None, mean: float, worst: int, method: PointMethod | None) -> Row:
        return Row(
            points=points, rule=TableRule.HOLD, method=method, bytes=1, mean_error=mean, worst_error=worst,
            differing=0.0, used_mean_error=None, used_differing=None, correct=None, changed=changed, images=None,
        )  # fmt: skip

    rows = [
        row(64, 0, 0.0, 0, None),
        row(128, 0, 0.0, 0, PointMethod.MINIMAX),
        row(64, 3, 0.1, 1, PointMethod.DECIMATE),
        row(64, 2, 0.3, 1, PointMethod.DECIMATE),
        row(64, 2, 0.2, 9, PointMethod.LEAST_SQUARES),
        row(64, 2, 0.2, 8, PointMethod.MINIMAX),
        row(64, 2, 0.2, 8, PointMethod.DECIMATE),
    ]
    assert best(rows, 64) is rows[5]
    assert best(rows, 256) is None
    assert best(rows[:1], 256) is None


def test_tables_and_data_that_do_not_fit_are_refused(model: Model, pictures: tuple[Any, Any]) -> None:
    """Missing and foreign tables, models without tables or classes, and labels of the wrong kind are named."""
    codes, labels = pictures
    full = full_tables_of(model)
    one = next(iter(full))

    def run(model: Model, tables: Any, codes: Any, labels: Any) -> list[Row]:
        return study(tables, model, codes, labels, (64,), RULES, tuple(PointMethod))

    with pytest.raises(ModelError, match=f"table '{one}' is missing"):
        run(model, {tap: table for tap, table in full.items() if tap != one}, codes, labels)
    with pytest.raises(ModelError, match="table 'other' is of no lut of model 'tiny'"):
        run(model, {**full, "other": full[one]}, codes, labels)
    with pytest.raises(ModelError, match="has no activation tables"):
        run(Model(Graph((2, 3), (Node("relu", Relu(), ("input",)),)), "plain"), {}, codes, labels)
    lut = Node("lut", Lut(full[one][:3], TableRule.FULL), ("input",))
    with pytest.raises(ModelError, match=r"shape \(2, 3\), expected a score a class"):
        run(Model(Graph((2, 3), (lut,)), "open"), {"lut": full[one][:3]}, codes, labels)
    for wrong, message in (
        (labels[:-1], r"shape \(11,\), expected \(12,\)"),
        (labels.clip(0, 2) - 1, "labels are -1 to 1, expected 0 to 3"),
        (labels.clip(1, 3) + 1, "labels are 2 to 4, expected 0 to 3"),
    ):
        with pytest.raises(StimulusError, match=message):
            run(model, full, codes, wrong)
    with pytest.raises(StimulusError, match="at least one"):
        run(model, full, codes[:0], labels[:0])
    with pytest.raises(StimulusError, match=r"expected \(images, 2, 3\)"):
        run(model, full, codes[:, :1], labels)


# --- files and the command -------------------------------------------------------------------------------------------

PRE = Preprocessing(4, 1, 2, (0.5,), (0.25,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, model: Model) -> Path:
    """A model, a quantised network (not trained), a ReLU one, a float one, and a data set for the networks."""
    folder = tmp_path_factory.mktemp("tables")
    save(model, folder / "model.safetensors")
    rng = np.random.default_rng([SEED, 3])
    (folder / "data").mkdir()
    for name, count in (("train", 20), ("test", 40)):
        images = rng.integers(0, 256, (count, 4, 4), np.uint8)
        np.savez(folder / "data" / f"{name}.npz", images=images, labels=np.arange(count) % 3)
    for activation in (Activation.PSA, Activation.RELU):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            network = ResMLP(
                NetworkConfig(tokens=4, values=4, channels=6, hidden=5, blocks=1, classes=3, activation=activation)
            ).eval()
        save_checkpoint(quantised(network), folder / f"{activation}.safetensors", PRE, {"data": "npz"})
        save_checkpoint(network, folder / "float.safetensors", PRE, {})
    return folder


def quantised(network: ResMLP) -> QuantisedResMLP:
    """A quantised network with steps of 1/32 and tables of 16 points."""
    found = fold(network)
    found.set_steps(dict.fromkeys(found.step_names, 1 / 32))
    found.choose_shifts(ShiftRule.ROUND)
    found.store_tables(TableFormat(16, TableRule.CLAMP, PointMethod.DECIMATE))
    return found


def call(capfd: pytest.CaptureFixture[str], *args: str | Path) -> tuple[Any, str, str]:
    """Exit status, output and errors of `fxsim tables`."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(["tables", *map(str, args)])
    return caught.value.code, *capfd.readouterr()


def test_a_stored_model_is_held_against_its_own_tables(folder: Path, model: Model) -> None:
    """The full model of a model file computes what the model does; with_tables puts tables in and leaves the rest."""
    full, stored = load_full(folder / "model.safetensors")
    assert stored == model
    image = np.arange(6, dtype=np.int8).reshape(2, 3) * 20
    found, expected = compute(full.graph, image), compute(model.graph, image)
    assert all(np.array_equal(found[tap], expected[tap]) for tap in model.graph.taps)
    assert {node.op.rule for node in full.graph.nodes if isinstance(node.op, Lut)} == {TableRule.FULL}
    own = {node.name: node.op.table for node in model.graph.nodes if isinstance(node.op, Lut)}
    assert with_tables(full, own, TableRule.HOLD) == model


def test_a_network_is_held_against_its_functions(folder: Path) -> None:
    """The full tables of a network file are its functions, not the 16 points that it stores."""
    full, stored = load_full(folder / "psa.safetensors")
    assert stored is None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = ResMLP(
            NetworkConfig(tokens=4, values=4, channels=6, hidden=5, blocks=1, classes=3, activation=Activation.PSA)
        ).eval()
    expected = quantised(network).full_tables()
    found = {node.name: node.op.table for node in full.graph.nodes if isinstance(node.op, Lut)}
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[tap], expected[tap]) for tap in found)


def test_command_on_a_network_with_data(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The JSON holds the study's rows; the same command gives the same bytes, picture included."""
    from fxsim.data import DataSource
    from fxsim.training.evaluate import test_codes as codes_of

    args = (folder / "psa.safetensors", "--data", "npz", "--data-path", folder / "data", "--points", "16,8")
    picture = tmp_path / "tables.svg"
    status, out, err = call(capfd, *args, "--json", "-o", picture)
    assert (status, err) == (0, "")
    content = json.loads(out)
    full, _ = load_full(folder / "psa.safetensors")
    codes, labels = codes_of(full, DataSource.NPZ, folder / "data")
    rows = study(full_tables_of(full), full, codes, labels, (8, 16), RULES, tuple(PointMethod))
    assert content["rows"] == [{field: getattr(row, field) for field in Row.__struct_fields__} for row in rows]
    assert content["full_tables"] == "functions"
    assert content["best"] in [row for row in content["rows"] if row["points"] == 16]
    drawn = picture.read_bytes()
    assert b"edge rule endpoint" in drawn
    assert b"accuracy" in drawn
    assert call(capfd, *args, "--json", "-o", picture)[1] == out
    assert picture.read_bytes() == drawn


def test_command_prints_a_table_and_a_recommendation(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Every row is shown; a model file's full tables are called its own; 64 points are recommended for by default."""
    status, out, _ = call(capfd, folder / "model.safetensors")
    assert status == 0
    full, _ = load_full(folder / "model.safetensors")
    rows = study(full_tables_of(full), full, None, None, (8, 16, 32, 64, 128, 256), RULES, tuple(PointMethod))
    for row in rows[1:]:
        mean = "0" if row.mean_error == 0 else "<.001" if row.mean_error < 0.001 else f"{row.mean_error:.3f}"
        shown = (str(row.points), row.rule, str(row.method), f"{row.bytes:,}", mean)
        assert any(tuple(line.split()[:5]) == shown for line in out.splitlines())
    assert "those that the model's own tables give" in out
    chosen = best(rows, 64)
    assert chosen is not None
    assert f"best at 64 points: rule {chosen.rule}, method {chosen.method} " in out


def test_pictures_are_drawn_of_any_rows(model: Model, tmp_path: Path) -> None:
    """One size, one rule, one method, and a name that would be mathematics or a tag."""
    rows = study(full_tables_of(model), model, None, None, (256,), (TableRule.HOLD,), (PointMethod.MINIMAX,))
    write_figure(draw(rows, "$x$ <b>"), tmp_path / "one.svg")
    text = (tmp_path / "one.svg").read_text()
    assert "$x$ &lt;b&gt;" in text
    assert "least-squares" not in text


@pytest.mark.parametrize("data", [(), ("--data", "npz", "--data-path", "data")])
def test_table_fits_80_columns(
    folder: Path, data: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """On a terminal of 80 columns no name or number is cut short."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(folder)
    status, out, _ = call(capfd, "psa.safetensors", *data)
    assert status == 0
    assert "\u2026" not in out
    table = out[out.index("points") : out.index("best at")].splitlines()
    assert max(map(len, table[:-1])) <= 80
    assert "least-squares" in out
    assert ("changed" in out) == bool(data)


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (("model.safetensors", "--points", "8,48"), 2, "'48' is not one of 4, 8"),
        (("model.safetensors", "--points", ""), 2, "'' is not one of 4, 8"),
        (("model.safetensors", "--data-path", "."), 2, "say which with --data"),
        (("model.safetensors", "--data", "mnist"), 2, "'mnist' is not one of"),
        (("model.safetensors", "--data", "digits"), 1, "has no input format"),
        (("psa.safetensors", "--data", "npz"), 1, "needs its folder"),
        (("model.safetensors", "-o", "tables.gif"), 1, "ends in .svg or .png"),
        (("model.safetensors", "-o", "model.safetensors"), 1, "is read as an input"),
        (("none.safetensors",), 1, "there is no such file"),
        (("data/test.npz",), 1, "is not a whole safetensors file"),
        (("relu.safetensors",), 1, "has no activation tables"),
        (("float.safetensors",), 1, "expected a quantised one"),
    ],
)
def test_command_refuses_what_it_cannot_do(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    args: tuple[str, ...],
    status: int,
    message: str,
) -> None:
    """One message, its exit status, and no file left or changed."""
    monkeypatch.chdir(folder)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    found, out, err = call(capfd, *args)
    assert (found, out) == (status, "")
    assert message in err
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_file_that_lies_about_itself_is_refused(tmp_path: Path) -> None:
    """A file that calls itself a network and holds nothing of one is refused by the network's reader."""
    from safetensors.numpy import save_file

    path = tmp_path / "liar.safetensors"
    save_file({"a": np.zeros(1)}, path, {"fxsim": '{"format": "fxsim.checkpoint", "version": 1}'})
    with pytest.raises(FileError, match="metadata 'fxsim'"):
        load_full(path)
    for text in ("[" * 100_000, "", '{"format": 3}', '{"format": "other", "version": 1}'):
        save_file({"a": np.zeros(1)}, path, {"fxsim": text})
        with pytest.raises(FxsimError):
            load_full(path)
        with pytest.raises(FxsimError):
            load(path)
