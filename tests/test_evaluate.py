"""Accuracy on a data set: figures against their formulas, predictions against the reference engine, bad input."""

import json
import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fxsim.cli import main
from fxsim.contract import TableRule
from fxsim.data import DataSource, Preprocessing
from fxsim.data.input_format import KEY, InputFormat
from fxsim.data.input_format import codes as to_codes
from fxsim.engines import run_reference
from fxsim.errors import FileError, FxsimError, StimulusError
from fxsim.formats import load, save
from fxsim.graph import Model
from fxsim.networks.checkpoint import save_checkpoint
from fxsim.networks.export import export
from fxsim.networks.fold import fold
from fxsim.networks.quantised import QuantisedResMLP, ShiftRule, TableFormat
from fxsim.networks.resmlp import Activation, NetworkConfig, ResMLP
from fxsim.tables.points import PointMethod
from fxsim.training import evaluate as evaluation
from fxsim.training.evaluate import Split, evaluate
from tests.conftest import SEED

PRE = Preprocessing(4, 1, 2, (0.45,), (0.27,))
CLASSES = 3
TABLES = TableFormat(16, TableRule.CLAMP, PointMethod.LEAST_SQUARES)


@dataclass(frozen=True)
class Files:
    """A data set, and a network three times: float, quantised, integer."""

    data: Path
    float_network: Path
    quantised: Path
    model: Path
    network: ResMLP
    fake: QuantisedResMLP


def write_data(folder: Path, classes: int = CLASSES, size: int = 4) -> Path:
    """A data set of random pictures, 90 to train with and 70 to test with."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng([SEED, 1])
    for name, count in (("train", 90), ("test", 70)):
        labels = np.arange(count) % classes
        np.savez(folder / f"{name}.npz", images=rng.integers(0, 256, (count, size, size), np.uint8), labels=labels)
    return folder


def quantise(network: ResMLP, x: torch.Tensor) -> QuantisedResMLP:
    """A quantised network whose steps are a little too small, so that something saturates."""
    quantised = fold(network)
    largest: dict[str, float] = {}
    with torch.no_grad():
        for tap, values in quantised.float_taps(x):
            name = tap if tap == "input" else quantised.slot(tap).step
            largest[name] = max(largest.get(name, 0.0), float(values.abs().max()))
    quantised.set_steps({name: 0.8 * value / 128 for name, value in largest.items()})
    quantised.choose_shifts(ShiftRule.LEAST_SQUARES)
    quantised.store_tables(TABLES)
    return quantised


def provenance(fake: QuantisedResMLP) -> dict[str, str]:
    """The provenance of an exported model: its input format."""
    return {KEY: InputFormat(PRE, float(fake.step("input").detach()), "npz").encode()}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """A tiny PSA network, not trained: what is tested here does not depend on how good it is."""
    folder = tmp_path_factory.mktemp("evaluate")
    data = write_data(folder / "data")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        config = NetworkConfig(
            tokens=4, values=4, channels=6, hidden=5, blocks=1, classes=CLASSES, activation=Activation.PSA
        )
        network = ResMLP(config).eval()
    fake = quantise(network, torch.from_numpy(tokens_of(data)[0]))
    model = Model(export(fake, "tiny", {}).graph, "tiny", provenance(fake))
    save(model, folder / "model.safetensors")
    save_checkpoint(network, folder / "float.safetensors", PRE, {})
    save_checkpoint(fake, folder / "fake.safetensors", PRE, {})
    return Files(
        data, folder / "float.safetensors", folder / "fake.safetensors", folder / "model.safetensors", network, fake
    )


def tokens_of(data: Path, split: str = "test") -> tuple[Any, Any]:
    """Tokens and labels, picture by picture, patch by patch, value by value."""
    content = np.load(data / f"{split}.npz")
    tokens = np.empty((len(content["labels"]), 4, 4), np.float32)
    for n, image in enumerate(content["images"]):
        for token in range(4):
            for value in range(4):
                row, column = 2 * (token // 2) + value // 2, 2 * (token % 2) + value % 2
                tokens[n, token, value] = (int(image[row, column]) / 255 - PRE.mean[0]) / PRE.std[0]
    return tokens, content["labels"]


def code_of(token: np.float32, step: np.float32) -> int:
    """A token's code: the float32 quotient, rounded by Fractions, which round ties to even."""
    return min(max(round(Fraction(float(np.float32(token) / step))), -128), 127)


def codes_of(tokens: Any, step: float) -> Any:
    """Codes of tokens, one by one."""
    flat = [code_of(token, np.float32(step)) for token in tokens.ravel()]
    return np.array(flat, np.int8).reshape(tokens.shape)


def first_greatest(scores: Any) -> list[int]:
    """The class of the greatest score, the first of equal ones, one picture at a time."""
    return [max(range(len(row)), key=lambda k: (row[k], -k)) for row in scores.tolist()]


# --- figures ---


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_accuracy_has_the_wilson_interval(counts: tuple[int, int]) -> None:
    """The interval's ends are the roots p of (share - p)^2 = z^2 p (1 - p) / n, z the normal's 97.5% point."""
    correct, total = counts
    found = evaluation.accuracy(correct, total)
    z, share = 1.959963984540054, correct / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total) * math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    assert (found.correct, found.total, found.accuracy) == (correct, total, share)
    assert found.low == pytest.approx(centre - half, abs=1e-12)
    assert found.high == pytest.approx(centre + half, abs=1e-12)


def mcnemar(b: int, c: int) -> Fraction:
    """The two-sided exact p-value: outcomes of b + c fair coins that are no likelier than b heads."""
    n = b + c
    return Fraction(sum(math.comb(n, k) for k in range(n + 1) if math.comb(n, k) <= math.comb(n, b)), 2**n)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 5), st.integers(1, 5))
def test_comparison_has_mcnemars_exact_p_value(only_first: int, only_second: int, both: int, neither: int) -> None:
    """Counts, loss and p-value follow from how many pictures each network gets right alone, both, or neither."""
    counts = (only_first, only_second, both, neither)
    labels = np.zeros(sum(counts), np.int64)
    its = np.repeat([0, 1, 0, 1], counts)
    others = np.repeat([1, 0, 0, 1], counts)
    others[-1] = 2  # wrong in another way: neither right, and not the same class
    found = evaluation.compare("one", its, "other", others, labels)
    assert (found.first, found.second) == ("one", "other")
    assert (found.only_first, found.only_second, found.both, found.neither) == counts
    assert found.agreement == both + neither - 1
    assert found.loss == (only_first - only_second) / sum(counts)
    assert found.p_value == pytest.approx(float(mcnemar(only_first, only_second)), rel=1e-9)


def test_confusion_matrix_counts_rows_by_class_and_columns_by_prediction() -> None:
    """Row i, column k counts the pictures of class i that were taken for class k; absent classes keep their place."""
    labels, predictions = np.array([0, 0, 2, 2, 2]), np.array([1, 0, 2, 2, 0])
    expected = [[1, 1, 0, 0], [0, 0, 0, 0], [1, 0, 2, 0], [0, 0, 0, 0]]
    assert evaluation.confusion_matrix(labels, predictions, 4).tolist() == expected


# --- codes ---


def test_codes_round_ties_to_even_and_clamp() -> None:
    """Halves go to the even code, what is beyond int8 to its ends."""
    tokens = np.array([0.5, 1.5, 2.5, -0.5, -1.5, 126.5, 127.5, 1e30, -128.5, -1e30, np.inf], np.float32)
    assert to_codes(tokens, 1.0).tolist() == [0, 2, 2, 0, -2, 126, 127, 127, -128, -128, 127]


@pytest.mark.thorough
def test_codes_are_those_of_the_quantised_network(files: Files) -> None:
    """Numpy's codes equal torch's and the definition's for random tokens, many of them on ties."""
    step = float(files.fake.step("input").detach())
    rng = np.random.default_rng([SEED, 2])
    ties = (rng.integers(-300, 300, 1000) / 2).astype(np.float32) * np.float32(step)
    tokens = np.concatenate([ties, rng.normal(0, 60 * step, 1000).astype(np.float32)]).reshape(50, 10, 4)
    found = to_codes(tokens, step)
    np.testing.assert_array_equal(found, files.fake.input_codes(torch.from_numpy(tokens)).numpy())
    np.testing.assert_array_equal(found, codes_of(tokens, step))


def test_codes_refuse_what_is_not_a_number() -> None:
    """A NaN has no code."""
    with pytest.raises(StimulusError, match="not numbers"):
        to_codes(np.array([0.0, np.nan], np.float32), 1.0)


def test_test_codes_are_the_test_pictures_of_the_model(files: Files) -> None:
    """A model's provenance suffices to make its input: every code follows from the picture's bytes."""
    model = load(files.model)
    tokens, labels = tokens_of(files.data)
    codes, found = evaluation.test_codes(model, DataSource.NPZ, files.data)
    np.testing.assert_array_equal(codes, codes_of(tokens, InputFormat.of(model).step))
    np.testing.assert_array_equal(found, labels)
    again, _ = evaluation.test_tokens(PRE, DataSource.NPZ, files.data)
    np.testing.assert_array_equal(again, tokens)


# --- the input format ---


@given(st.floats(min_value=2.0**-100, max_value=2.0**100, width=32))
def test_input_format_survives_provenance_bit_for_bit(step: float) -> None:
    """What is decoded is what was encoded, the step to its last bit."""
    found = InputFormat.decode(InputFormat(PRE, step, "digits").encode())
    assert found == InputFormat(PRE, step, "digits")
    assert float(np.float32(found.step)) == step


@pytest.mark.parametrize("step", [0.0, -1.0, math.inf, math.nan, 0.1, 1e300, 1e-60])
def test_steps_that_float32_does_not_hold_are_refused(step: float) -> None:
    """A step is a positive, finite float32 number."""
    with pytest.raises(StimulusError, match="expected a positive number that float32 holds exactly"):
        InputFormat(PRE, step, "digits")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "has no input format in its provenance, so pictures cannot be given to it; expected a model exported"),
        ("", "is not an input format"),
        ("[]", "is not an input format"),
        ('{"preprocessing": 1, "step": 1.0, "data": "x"}', "is not an input format"),
        ('{"step": 1.0, "data": "x"}', "missing required field `preprocessing`"),
        (InputFormat(PRE, 0.5, "x").encode().replace("0.5", "0.1"), "step is 0.1"),
        (InputFormat(PRE, 0.5, "x").encode()[:-1] + ',"more":1}', "unknown field `more`"),
        (InputFormat(PRE, 0.5, "\n").encode().replace('"size":4', '"size":5'), "patch is 2"),
        ("[" * 100_000, "is not an input format"),
        (
            InputFormat(msgspec.structs.replace(PRE, size=8), 0.5, "x").encode(),
            "makes 16 tokens of 4 values, the model takes 4 of 4",
        ),
    ],
)
def test_models_without_a_whole_input_format_are_refused(files: Files, text: str | None, message: str) -> None:
    """Absent, damaged or for another model: one line that names the model."""
    model = load(files.model)
    other = Model(model.graph, "other", {} if text is None else {KEY: text})
    with pytest.raises(FileError, match="model 'other'") as caught:
        InputFormat.of(other)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


# --- evaluations ---


def test_evaluation_is_what_the_networks_say(files: Files) -> None:
    """Every count follows from the reference engine's scores and the float networks' logits, class by class."""
    found = evaluate(files.model, DataSource.NPZ, files.data, files.float_network, files.quantised)
    model = load(files.model)
    tokens, labels = tokens_of(files.data)
    codes = codes_of(tokens, InputFormat.of(model).step)
    taps = run_reference(model.graph, codes, model.graph.taps)
    with torch.no_grad():
        predicted = {
            "integer": first_greatest(taps["classifier"]),
            "float": first_greatest(files.network(torch.from_numpy(tokens))),
            "fake-quant": first_greatest(files.fake(torch.from_numpy(tokens))),
        }
    assert list(found.networks) == list(predicted)
    for name, classes in predicted.items():
        assert found.networks[name].correct == sum(k == label for k, label in zip(classes, labels, strict=True))
        assert found.networks[name].total == 70
    assert [(c.first, c.second) for c in found.comparisons] == [
        ("float", "integer"), ("fake-quant", "integer"), ("float", "fake-quant"),
    ]  # fmt: skip
    for c in found.comparisons:
        pairs = list(zip(predicted[c.first], predicted[c.second], labels, strict=True))
        assert c.agreement == sum(one == other for one, other, _ in pairs)
        assert c.both == sum(one == label and other == label for one, other, label in pairs)
        assert c.only_first == sum(one == label and other != label for one, other, label in pairs)
        assert c.only_second == sum(one != label and other == label for one, other, label in pairs)
        assert c.loss == pytest.approx(found.networks[c.first].accuracy - found.networks[c.second].accuracy)
    for row, counts in enumerate(found.confusion):
        for column, count in enumerate(counts):
            assert count == sum(
                k == column and label == row for k, label in zip(predicted["integer"], labels, strict=True)
            )
    assert [s.tap for s in found.saturation] == ["input", *model.graph.taps]
    for s in found.saturation:
        values = (codes if s.tap == "input" else taps[s.tap]).ravel().tolist()
        assert (s.codes, s.low, s.high) == (len(values), values.count(-128), values.count(127))
    assert any(s.low for s in found.saturation)
    assert any(s.high for s in found.saturation)
    assert found.exports_to_model is True
    assert (found.data, found.trained_on, found.pictures, found.classes) == ("npz", "npz", 70, CLASSES)


def test_engines_give_the_same_evaluation(files: Files) -> None:
    """The engine changes nothing, nor does a second run; progress ends where it said it would."""
    steps: list[tuple[int, int]] = []
    one = evaluate(
        files.model,
        DataSource.NPZ,
        files.data,
        files.float_network,
        engine="reference",
        progress=lambda n, of: steps.append((n, of)),
    )
    assert one == evaluate(files.model, DataSource.NPZ, files.data, files.float_network, engine="numba")
    assert steps[0] == (0, 140)
    assert steps[-1] == (140, 140)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_equal_scores_give_the_first_class(files: Files, tmp_path: Path) -> None:
    """A classifier of zeros gives every class the same score, and every picture class 0, in every network."""
    network, fake = (
        ResMLP(files.network.config).eval(),
        quantise(files.network, torch.from_numpy(tokens_of(files.data)[0])),
    )
    network.load_state_dict(files.network.state_dict())
    with torch.no_grad():
        for layer in (network.classifier, fake.weighted("classifier")):
            layer.weight.zero_()
            layer.bias.zero_()
    save_checkpoint(network, tmp_path / "float.safetensors", PRE, {})
    save_checkpoint(fake, tmp_path / "fake.safetensors", PRE, {})
    save(export(fake, "level", provenance(fake)), tmp_path / "model.safetensors")
    found = evaluate(
        tmp_path / "model.safetensors", DataSource.NPZ, files.data,
        tmp_path / "float.safetensors", tmp_path / "fake.safetensors",
    )  # fmt: skip
    of_class_0 = int((tokens_of(files.data)[1] == 0).sum())
    assert {name: a.correct for name, a in found.networks.items()} == dict.fromkeys(found.networks, of_class_0)
    assert [c.p_value for c in found.comparisons] == [1.0, 1.0, 1.0]


def test_training_pictures_can_be_classified_too(files: Files) -> None:
    """`Split.TRAIN` is the other split."""
    found = evaluate(files.model, DataSource.NPZ, files.data, split=Split.TRAIN)
    assert (found.pictures, found.split, found.exports_to_model) == (90, "train", None)
    assert list(found.networks) == ["integer"]
    assert found.comparisons == ()


def test_another_quantised_network_is_told_apart(files: Files, tmp_path: Path) -> None:
    """A network whose parameters export to other integers is compared, and said not to be the model's."""
    other = quantise(files.network, torch.from_numpy(tokens_of(files.data)[0]))
    with torch.no_grad():
        other.weighted("embed").bias[0] += 4 * other.step("embed")
    save_checkpoint(other, tmp_path / "other.safetensors", PRE, {})
    found = evaluate(files.model, DataSource.NPZ, files.data, quantised_checkpoint=tmp_path / "other.safetensors")
    assert found.exports_to_model is False


# --- what does not fit ---


def test_data_of_other_classes_is_refused(files: Files, tmp_path: Path) -> None:
    """Classes of data and model must be as many."""
    data = write_data(tmp_path / "data", classes=5)
    with pytest.raises(FxsimError, match=r"data set npz in .* has 5 classes, model 'tiny' 3"):
        evaluate(files.model, DataSource.NPZ, data)
    with pytest.raises(FxsimError, match="data set digits has 10 classes, model 'tiny' 3"):
        evaluation.test_codes(load(files.model), DataSource.DIGITS, None)


def test_networks_that_the_model_did_not_come_from_are_refused(files: Files, tmp_path: Path) -> None:
    """Other preprocessing, another input step, the wrong kind of network: one message that names the file."""
    pre = msgspec.structs.replace(PRE, mean=(0.5,))
    save_checkpoint(files.network, tmp_path / "mean.safetensors", pre, {})
    with pytest.raises(FxsimError, match=r"mean\.safetensors: takes pictures by .*mean=\(0\.5,\)"):
        evaluate(files.model, DataSource.NPZ, files.data, tmp_path / "mean.safetensors")
    other = quantise(files.network, torch.from_numpy(tokens_of(files.data)[0]))
    with torch.no_grad():
        other.log_steps[0] += 1
    save_checkpoint(other, tmp_path / "step.safetensors", PRE, {})
    with pytest.raises(FxsimError, match=r"step\.safetensors: has the input step"):
        evaluate(files.model, DataSource.NPZ, files.data, None, tmp_path / "step.safetensors")
    with pytest.raises(FxsimError, match="holds a quantised network, expected a float one"):
        evaluate(files.model, DataSource.NPZ, files.data, files.quantised)


# --- the command ---


def call(capfd: pytest.CaptureFixture[str], *args: str | Path) -> tuple[Any, str, str]:
    """Exit status, standard output and standard error of a command."""
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in args])
    return caught.value.code, *capfd.readouterr()


def test_command_prints_figures_and_draws_the_confusion_matrix(
    files: Files, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The JSON is the evaluation's; the same command gives the same bytes; the table states the same accuracy."""
    args = ["eval", files.model, "--data", "npz", "--data-path", files.data, "--float", files.float_network]
    args += ["--fake-quant", files.quantised]
    picture = tmp_path / "confusion.svg"
    status, first, _ = call(capfd, *args, "--json", "-o", picture)
    drawn = picture.read_bytes()
    assert status == 0
    expected = evaluate(files.model, DataSource.NPZ, files.data, files.float_network, files.quantised)
    assert json.loads(first) == json.loads(msgspec.json.encode(expected))
    assert call(capfd, *args, "--json", "-o", picture)[1] == first
    assert picture.read_bytes() == drawn
    assert drawn.startswith(b"<?xml")
    status, table, _ = call(capfd, *args)
    assert status == 0
    for name, found in expected.networks.items():
        assert any(name in line and f"{found.accuracy:.2%}" in line for line in table.splitlines())


def test_command_refuses_bad_targets_before_it_computes(
    files: Files, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A picture of an unknown format, in no folder, or over an input: status 1, one line, nothing written."""
    args = ["eval", files.model, "--data", "npz", "--data-path", files.data]
    before = files.model.read_bytes()
    for target, message in (
        (tmp_path / "confusion.gif", "expected a name that ends in .svg or .png"),
        (tmp_path / "no" / "confusion.svg", "there is no folder"),
        (files.model, "is read as an input"),
    ):
        status, out, err = call(capfd, *args, "-o", target)
        assert (status, out) == (1, "")
        assert message in err
        assert len(err.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
    assert files.model.read_bytes() == before


def test_command_says_that_a_model_without_an_input_format_cannot_be_evaluated(
    files: Files, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A model from elsewhere takes codes, not pictures."""
    save(Model(load(files.model).graph, "foreign", {}), tmp_path / "foreign.safetensors")
    status, _, err = call(capfd, "eval", tmp_path / "foreign.safetensors", "--data", "digits")
    assert status == 1
    assert "model 'foreign' has no input format in its provenance" in err
