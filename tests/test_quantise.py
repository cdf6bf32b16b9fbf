"""Quantisation: steps, percentile, quantisation-aware training that can be interrupted, and the exported model."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

import fxsim.training.loop as loop
from fxsim.cli.export import command as export_command
from fxsim.cli.quantize import command as quantize_command
from fxsim.data import Preprocessing, to_tokens
from fxsim.data.input_format import InputFormat
from fxsim.errors import FileError, FxsimError
from fxsim.formats import load
from fxsim.formats import save as save_model
from fxsim.networks.checkpoint import load_quantised, save_checkpoint
from fxsim.networks.fold import fold
from fxsim.networks.quantised import QuantisedResMLP, ShiftRule, TableFormat, TableRule
from fxsim.networks.resmlp import Activation, NetworkConfig, ResMLP
from fxsim.operators import Lut
from fxsim.tables.points import PointMethod, compress_tables
from fxsim.training.integer_model import write_model
from fxsim.training.keys import file_sha256
from fxsim.training.log import log_path, read_log
from fxsim.training.partial import partial_path
from fxsim.training.quantise import Observation, calibrate, input_step, observe, quantise
from fxsim.training.recipe import Recipe, load_recipe
from fxsim.training.splits import Examples, Splits, load_splits
from fxsim.training.train import build_network
from tests.conftest import SEED

RECIPE = """
name = "student"
seed = 7
threads = 1
[data]
source = "digits"
size = 8
colours = 1
patch = 4
[network]
channels = 4
hidden = 4
blocks = 2
activation = "{activation}"
[train]
epochs = 1
[quantize]
epochs = 3
batch = 64
percentiles = [50.0, 100.0]
[export]
points = 32
rule = "clamp"
method = "decimate"
"""


def cut(recipe: Recipe) -> Splits:
    """A recipe's data, a few pictures of it: the last batch is smaller than the others."""
    splits = load_splits(recipe)

    def first(examples: Examples, count: int) -> Examples:
        return Examples(examples.pictures.take(range(count)), examples.preprocessing)

    return dataclasses.replace(splits, train=first(splits.train, 150), validation=first(splits.validation, 40))


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands, too, take a few pictures."""
    monkeypatch.setattr("fxsim.training.quantise.load_splits", cut)


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Writes a recipe and its float network, not trained; returns both."""

    def make(activation: str = "lerp-psa") -> tuple[Path, Path]:
        path, network = tmp_path / "student.toml", tmp_path / "float.safetensors"
        path.write_text(RECIPE.format(activation=activation))
        recipe = load_recipe(path)
        splits = cut(recipe)
        save_checkpoint(build_network(recipe, splits).eval(), network, splits.preprocessing, {})
        return path, network

    return make


def changed(recipe: Recipe, **settings: object) -> Recipe:
    """A recipe with other settings in [quantize]."""
    assert recipe.quantize is not None
    return dataclasses.replace(recipe, quantize=msgspec.structs.replace(recipe.quantize, **settings))


def small_network(activation: Activation, blocks: int = 1, seed: int = SEED) -> ResMLP:
    """A float network whose batch norms and affines are not identities."""
    torch.manual_seed(seed)
    network = ResMLP(
        NetworkConfig(
            tokens=4, values=4, channels=3, hidden=5, blocks=blocks, classes=4, activation=activation, points=16
        )
    )
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif tensor.is_floating_point() and tensor.ndim == 1:
                tensor.add_(0.3 * torch.randn_like(tensor))
    return network.eval()


# --- the input's step ---


@given(
    means=st.lists(st.floats(-1, 2), min_size=3, max_size=3),
    stds=st.lists(st.floats(0.01, 10), min_size=3, max_size=3),
    activation=st.sampled_from(Activation),
)
def test_no_pixel_is_clipped_and_the_extreme_one_has_code_127(
    means: list[float], stds: list[float], activation: Activation
) -> None:
    """Every pixel value of every colour, without a clamp, and as the network codes it: at most 127, by some reached."""
    pre = Preprocessing(2, 3, 1, tuple(means), tuple(stds))
    pixels = np.repeat(np.arange(256, dtype=np.uint8), 3).reshape(64, 2, 2, 3)
    tokens = to_tokens(pixels, pre)
    step = input_step(pre)
    quotients = np.rint(tokens.astype(np.float64) / step)
    assert np.abs(quotients).max() == 127
    config = NetworkConfig(tokens=4, values=3, channels=2, hidden=2, blocks=1, classes=2, activation=activation)
    quantised = QuantisedResMLP(config)
    quantised.set_steps(dict.fromkeys(quantised.step_names, 0.1) | {"input": step})
    assert np.abs(quantised.input_codes(torch.from_numpy(tokens)).numpy().astype(int)).max() == 127


# --- steps of tensors ---


def expected_steps(activation: Activation, blocks: int, scales: dict[str, float]) -> dict[str, float]:
    """Steps by the paper's rules, each written down: `scales` are the magnitudes' percentiles by tap."""
    steps = {"embed": scales["embed"]}
    for i in range(blocks):
        mix, mlp = f"blocks.{i}.token_mixer", f"blocks.{i}.mlp"
        steps[f"{mix}.affine_1"] = scales[f"{mix}.affine_1"]
        steps[f"{mix}.linear"] = scales[f"{mix}.linear"]
        # What is added, the other thing that is added, and the sum.
        joined = (f"{mix}.res_affine", f"{mix}.affine_2", f"{mix}.add")
        steps[f"{mix}.add"] = sum(scales[tap] for tap in joined) / 3
        if activation is Activation.RELU:
            steps[f"{mlp}.linear_1"] = scales[f"{mlp}.relu"]
        else:
            for tap in ("psa_1", "linear_1", "psa_2"):
                steps[f"{mlp}.{tap}"] = scales[f"{mlp}.{tap}"]
        joined = (f"{mlp}.res_affine", f"{mlp}.linear_2", f"{mlp}.add")
        steps[f"{mlp}.add"] = sum(scales[tap] for tap in joined) / 3
    steps["classifier"] = scales["classifier"]
    return {name: value / 128 for name, value in steps.items()}


def percentile(values: list[float], percent: float) -> float:
    """Linear between the sorted values, the first at 0, the last at 100."""
    ordered = sorted(values)
    at = percent / 100 * (len(ordered) - 1)
    low = min(int(at), len(ordered) - 2)
    return ordered[low] + (ordered[low + 1] - ordered[low]) * (at - low)


@pytest.mark.parametrize("activation", [Activation.RELU, Activation.LERP_PSA])
@pytest.mark.parametrize("percent", [10.0, 92.0, 100.0])
def test_steps_are_percentiles_of_the_largest_magnitudes(activation: Activation, percent: float) -> None:
    """Per image the largest magnitude of each tensor, over images the percentile, over tensors that join the mean."""
    quantised = fold(small_network(activation, blocks=2))
    torch.manual_seed(SEED)
    tokens = torch.randn(300, 4, 4)
    magnitudes: dict[str, list[float]] = {}
    for i in range(300):
        for tap, values in quantised.float_taps(tokens[i : i + 1]):
            magnitudes.setdefault(tap, []).append(max(abs(v) for v in values.flatten().tolist()))
    scales = {tap: percentile(values, percent) for tap, values in magnitudes.items()}
    steps = observe(quantised, tokens).steps(quantised, percent, 0.25)
    assert steps.pop("input") == 0.25
    assert steps == pytest.approx(expected_steps(activation, 2, scales), rel=1e-5)


def test_a_tensor_that_is_zero_on_all_pictures_has_a_step_all_the_same() -> None:
    """Any will do: a step of 0 would be none."""
    quantised = fold(small_network(Activation.RELU))
    zeros = Observation({tap: torch.zeros(5) for tap in ("input", *quantised.taps)})
    assert set(zeros.steps(quantised, 50.0, 0.5).values()) == {0.5, 1 / 128}


def test_the_percentile_is_the_one_that_classifies_most(made: Callable[..., tuple[Path, Path]]) -> None:
    """Of all trials, each evaluated by itself; on a tie, the one of the least loss; the network then has its steps."""
    path, _ = made()
    recipe = load_recipe(path)
    splits = cut(recipe)
    network = build_network(recipe, splits).eval()
    tokens, labels = splits.validation.tokens, splits.validation.labels
    percents = (1.0, 30.0, 60.0, 100.0)
    found = {}
    for percent in percents:
        quantised = fold(network)
        observation = observe(quantised, splits.train.tokens)
        quantised.set_steps(observation.steps(quantised, percent, 0.02))
        quantised.choose_shifts(ShiftRule.FLOOR)
        with torch.no_grad():
            logits = quantised(tokens).double().numpy()
        right = sum(int(row.argmax()) == int(label) for row, label in zip(logits, labels, strict=True))
        shifted = logits - logits.max(axis=1, keepdims=True)
        chances = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
        loss = -np.log(chances[range(len(labels)), labels.numpy()]).mean()
        found[percent] = (right / len(labels), loss, quantised)
    best = min(percents, key=lambda percent: (-found[percent][0], found[percent][1]))
    quantised = fold(network)
    trials = calibrate(
        quantised, observe(quantised, splits.train.tokens), percents, ShiftRule.FLOOR, 0.02, splits.validation
    )
    assert trials[0].percentile == best
    assert {trial.percentile for trial in trials} == set(percents)
    for trial in trials:
        accuracy, loss, _ = found[trial.percentile]
        assert trial.accuracy == accuracy
        assert trial.loss == pytest.approx(loss, rel=1e-5)
    expected = found[best][2].state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in quantised.state_dict().items())


# --- the whole ---


def step_of(network: QuantisedResMLP, name: str) -> float:
    """Log2 of a step."""
    return float(network.log_steps.detach()[network.step_names.index(name)])


@pytest.mark.parametrize("activation", ["relu", "lerp-psa", "b-spline"])
def test_training_learns_steps_and_weights_but_not_the_inputs_step(
    made: Callable[..., tuple[Path, Path]], tmp_path: Path, activation: str
) -> None:
    """Against no training: every other step and every weight moves, shifts fit the weights, the input's step stays."""
    path, student = made(activation)
    recipe = load_recipe(path)
    outputs = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    plain = quantise(changed(recipe, epochs=0), student, None, outputs[0])
    trained = quantise(changed(recipe, learning_rate=1e-2), student, None, outputs[1])
    assert (plain.records, [record.epoch for record in trained.records]) == ((), [1, 2, 3])
    assert plain.trials == trained.trials
    (before, found), (after, _) = (load_quantised(output) for output in outputs)
    expected = np.float32(np.log2(np.float64(input_step(found.preprocessing))))
    assert step_of(before, "input") == step_of(after, "input") == expected
    for name in before.step_names[1:]:
        assert step_of(before, name) != step_of(after, name), name
    old = before.state_dict()
    for name, tensor in after.state_dict().items():
        if name.endswith(".weight"):
            assert not torch.equal(tensor, old[name]), name
    shifts = {tap: after.weighted(tap).shift.clone() for tap in after.weighted_taps()}
    after.choose_shifts(ShiftRule.LEAST_SQUARES)
    assert all(torch.equal(after.weighted(tap).shift, shift) for tap, shift in shifts.items())


def test_splines_are_quantised_with_a_learning_rate_of_their_own(
    made: Callable[..., tuple[Path, Path]], tmp_path: Path
) -> None:
    """`spline_learning_rate` changes what training gives."""
    path, student = made("b-spline")
    outputs = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for output, rate in zip(outputs, (None, 0.1), strict=True):
        quantise(changed(load_recipe(path), spline_learning_rate=rate), student, None, output)
    states = [load_quantised(output)[0].state_dict() for output in outputs]
    name = "blocks.0.mlp.psa_1.activation.coefficients"
    assert not torch.equal(states[0][name], states[1][name])


def test_the_teacher_is_learnt_from(made: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    """Another teacher gives another network; the student itself, given as the teacher, the same as none."""
    path, student = made()
    recipe = load_recipe(path)
    splits = cut(recipe)
    other = tmp_path / "teacher.safetensors"
    network = build_network(dataclasses.replace(recipe, seed=99), splits).eval()
    save_checkpoint(network, other, splits.preprocessing, {})
    states: list[dict[str, Tensor]] = []
    for teacher in (None, student, other):
        quantise(recipe, student, teacher, tmp_path / "q.safetensors")
        states.append(load_quantised(tmp_path / "q.safetensors")[0].state_dict())
    same = [all(torch.equal(tensor, its[name]) for name, tensor in states[0].items()) for its in states]
    assert same == [True, True, False]


@pytest.mark.parametrize(("seconds", "after"), [(0.0, 1), (1e9, 4), (0.0, 8), (1e9, 9)])
@pytest.mark.parametrize(
    "augmentation", [pytest.param("", marks=pytest.mark.thorough), "[augmentation]\ncrop_padding = 1\n"]
)
def test_an_interrupted_quantisation_goes_on_bit_for_bit(
    made: Callable[..., tuple[Path, Path]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    after: int,
    augmentation: str,
) -> None:
    """Interrupted in any epoch, of three batches each: the same file as without, and every epoch in the log once."""
    monkeypatch.setattr(loop, "_WRITE_SECONDS", seconds)
    path, student = made()
    path.write_text(path.read_text().replace("[network]", f"{augmentation}[network]"))
    recipe = changed(load_recipe(path), keep="best")
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    quantise(recipe, student, None, whole)

    def interrupt(done: int, _total: int) -> None:
        if done == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantise(recipe, student, None, parts, progress=interrupt)
    assert not parts.exists()
    told: list[str] = []
    quantise(recipe, student, None, parts, tell=told.append)
    assert any("going on after epoch" in line for line in told) == (after > 3)
    assert file_sha256(parts) == file_sha256(whole)
    assert [record.epoch for record in read_log(log_path(parts))] == [1, 2, 3]
    assert not partial_path(parts).exists()


def test_what_does_not_fit_is_refused(made: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    """Other pictures, other classes, a quantised network, an input as output, no section, no file: nothing written."""
    path, student = made()
    recipe, output = load_recipe(path), tmp_path / "q.safetensors"
    quantised = tmp_path / "quantised.safetensors"
    quantise(changed(recipe, epochs=0), student, None, quantised)
    before = file_sha256(student)
    splits = cut(recipe)
    classes = tmp_path / "classes.safetensors"
    save_checkpoint(
        build_network(recipe, dataclasses.replace(splits, classes=3)).eval(), classes, splits.preprocessing, {}
    )
    pictures = dataclasses.replace(recipe, data=msgspec.structs.replace(recipe.data, mean=(0.5,), std=(1.0,)))
    none = tmp_path / "none.safetensors"
    cases: list[tuple[Recipe, Path, Path | None, Path, str]] = [
        (pictures, student, None, output, rf"{student}: was trained with .* expected the same"),
        (recipe, student, classes, output, rf"{classes}: has 3 classes, the recipe's data 10"),
        (recipe, quantised, None, output, rf"{quantised}: holds a quantised network, expected a float one"),
        (recipe, student, quantised, output, rf"{quantised}: holds a quantised network, expected a float one"),
        (recipe, student, None, student, rf"{student} is read as an input"),
        (recipe, student, classes, classes, rf"{classes} is read as an input"),
        (dataclasses.replace(recipe, quantize=None), student, None, output, r"no \[quantize\] section"),
        (recipe, none, None, output, rf"{none}: "),
        (recipe, none, None, quantised, rf"{none}: "),
        (recipe, student, none, output, rf"{none}: "),
        (recipe, student, None, tmp_path / "no" / "q", "there is no folder"),
    ]
    for its, network, teacher, target, message in cases:
        with pytest.raises(FxsimError, match=message) as caught:
            quantise(its, network, teacher, target)
        assert len(str(caught.value).splitlines()) == 1
    assert file_sha256(student) == before
    assert not output.exists()


# --- the commands ---


def call(command: object, *args: str | Path) -> Result:
    """A command's result."""
    return CliRunner().invoke(command, [str(arg) for arg in args])  # type: ignore[arg-type]


def test_the_quantize_command_says_what_it_found(made: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    """Epochs and accuracy of the network that was written; as JSON, percentiles and the last epoch too."""
    path, student = made()
    output = tmp_path / "q.safetensors"
    result = call(quantize_command, path, student, "-o", output)
    stated = float(load_quantised(output)[1].provenance["validation_accuracy"])
    assert result.stdout == f"{output}: student, 3 epochs, validation accuracy {stated:.2%}\n"
    first = file_sha256(output)
    found = msgspec.json.decode(call(quantize_command, path, student, "-o", output, "--json").stdout)
    assert file_sha256(output) == first
    assert found["last"]["epoch"] == 3
    assert {trial["percentile"] for trial in found["percentiles"]} == {50.0, 100.0}
    assert found["validation_accuracy"] == pytest.approx(stated, abs=1e-6)
    assert call(quantize_command, path, student, "-o", output, "--seed", str(2**63)).exit_code == 2
    assert isinstance(call(quantize_command, path, student, "-o", student).exception, FileError)


def test_export_stores_the_tables_that_were_asked_for(made: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    """By default those of the network file; --points, --rule and --method each change what they name and no more."""
    path, student = made()
    checkpoint, output = tmp_path / "q.safetensors", tmp_path / "m.safetensors"
    quantise(load_recipe(path), student, None, checkpoint)
    network, _ = load_quantised(checkpoint)
    full = network.full_tables()
    stored = TableFormat(32, TableRule.CLAMP, PointMethod.DECIMATE)
    cases: list[tuple[list[str], TableFormat]] = [
        ([], stored),
        (["--points", "8"], msgspec.structs.replace(stored, points=8)),
        (["--rule", "endpoint"], msgspec.structs.replace(stored, rule=TableRule.ENDPOINT)),
        (["--method", "minimax"], msgspec.structs.replace(stored, method=PointMethod.MINIMAX)),
        (["--points", "256", "--rule", "full"], TableFormat(256, TableRule.FULL, PointMethod.DECIMATE)),
    ]
    for options, wanted in cases:
        result = call(export_command, checkpoint, "-o", output, *options)
        assert result.exit_code == 0, result.output
        model = load(output)
        operators = {node.name: node.op for node in model.graph.nodes}
        for tap, table in full.items():
            op = operators[tap]
            assert isinstance(op, Lut)
            assert (op.points, op.rule) == (wanted.points, wanted.rule)
            assert np.array_equal(op.table, compress_tables(table, wanted.points, wanted.rule, wanted.method))
        assert msgspec.json.decode(model.provenance["tables"], type=TableFormat) == wanted
    result = call(export_command, checkpoint, "-o", output, "--rule", "full")
    assert "32 points under rule 'full', expected 256" in str(result.exception)


def test_exporting_twice_gives_the_same_bytes(made: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    """From the command, from the library, and where what is asked for is what is stored; --name changes the name."""
    path, student = made()
    checkpoint, first, second = (tmp_path / name for name in ("q.safetensors", "a.safetensors", "b.safetensors"))
    quantise(load_recipe(path), student, None, checkpoint)
    assert call(export_command, checkpoint, "-o", first).exit_code == 0
    write_model(checkpoint, second)
    assert first.read_bytes() == second.read_bytes()
    assert call(export_command, checkpoint, "-o", second, "--points", "32").exit_code == 0
    assert first.read_bytes() == second.read_bytes()
    assert load(first).name == "student"
    assert call(export_command, checkpoint, "-o", second, "--name", "other").exit_code == 0
    assert load(second).name == "other"


def test_an_exported_model_says_where_it_came_from(made: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    """Recipe, seed, data, the network file's hash, and how pictures become its input."""
    path, student = made()
    recipe, checkpoint = load_recipe(path), tmp_path / "q.safetensors"
    quantise(recipe, student, None, checkpoint)
    model = write_model(checkpoint, tmp_path / "m.safetensors")
    splits = cut(recipe)
    found = InputFormat.of(model)
    assert (found.preprocessing, found.data) == (splits.preprocessing, "digits")
    network, _ = load_quantised(checkpoint)
    tokens = splits.test.tokens
    codes = np.rint(tokens.numpy() / np.float32(found.step)).astype(np.int8)
    assert np.array_equal(network.input_codes(tokens).numpy(), codes)
    stated = {key: model.provenance[key] for key in ("recipe", "seed", "data", "data_sha256", "checkpoint_sha256")}
    assert stated == {
        "recipe": "student",
        "seed": "7",
        "data": "digits",
        "data_sha256": splits.sha256,
        "checkpoint_sha256": file_sha256(checkpoint),
    }


def test_export_refuses_what_it_cannot_do(made: Callable[..., tuple[Path, Path]], tmp_path: Path) -> None:
    """Tables of a ReLU network, a float network, a model, an input as output: one line that names the file."""
    path, student = made("relu")
    checkpoint, output = tmp_path / "q.safetensors", tmp_path / "m.safetensors"
    quantise(load_recipe(path), student, None, checkpoint)
    assert call(export_command, checkpoint, "-o", output).exit_code == 0
    assert load(output).provenance["tables"] == "none"
    model = tmp_path / "model.safetensors"
    save_model(load(output), model)
    output.unlink()
    cases = [
        ([checkpoint, "-o", output, "--points", "8"], f"{checkpoint}: is a ReLU network, which has no tables"),
        ([student, "-o", output], f"{student}: holds a float network, expected a quantised one"),
        ([model, "-o", output], f"{model}: "),
        ([checkpoint, "-o", checkpoint], f"{checkpoint} is read as an input"),
        ([tmp_path / "none", "-o", output], f"{tmp_path / 'none'}: there is no such file"),
    ]
    for arguments, message in cases:
        error = call(export_command, *arguments).exception
        assert isinstance(error, FxsimError)
        assert str(error).startswith(message)
        assert len(str(error).splitlines()) == 1
    assert not output.exists()


def test_a_network_without_tables_is_not_called_a_relu_network(tmp_path: Path) -> None:
    """A quantised network that stores no tables yet: refused for that."""
    network = fold(small_network(Activation.PSA))
    checkpoint = tmp_path / "q.safetensors"
    save_checkpoint(network, checkpoint, Preprocessing(4, 1, 2, (0.5,), (0.5,)), {})
    error = call(export_command, checkpoint, "-o", tmp_path / "m", "--points", "8").exception
    assert isinstance(error, FxsimError)
    assert "stores no tables" in str(error)
