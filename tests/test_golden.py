"""The golden folder: its generator repeats itself, its statistics are what the manifest says, damage is named."""

import hashlib
import itertools
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import fxsim.golden.training as golden_training
import fxsim.golden.write as golden_write
from fxsim.contract import TableRule
from fxsim.engines import run
from fxsim.errors import FileError, FxsimError, ModelError
from fxsim.families import ResMLPConfig, recognise_resmlp
from fxsim.formats import load, save
from fxsim.golden import (
    MANIFEST,
    SHIFT_RANGE,
    check_golden,
    check_training,
    generate_model,
    golden_file,
    natural_images,
    read_manifest,
)
from fxsim.golden.__main__ import main
from fxsim.golden.write import RANDOM, TRAINED, write_golden
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Affine, Linear, Lut, Relu, Threshold
from fxsim.paths import golden_dir
from fxsim.signoff import Status, load_plan, run_plan
from fxsim.signoff.accepted import read_accepted

ROOT = Path(__file__).resolve().parent.parent

SMALL = ("small", "small_relu")
BESIDE = (
    "signoff.toml", "code_coverage_simd.toml", "code_coverage_stream.toml", "signoff.accepted.json", "areas.json",
    "imported/qdq.onnx", "imported/qoperator.onnx", "imported/small.tflite",
)  # fmt: skip
"""The plan with its waivers, which are written by hand, and its accepted cycles: they are not the generator's."""
NAME = "digits_small"
FEW_BITS = ("digits_binary", "digits_fractional")
ODE, SOFTMAX = "digits_ode", "digits_softmax"


@pytest.fixture(scope="module")
def regenerated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small part of the golden folder, made now."""
    folder = tmp_path_factory.mktemp("golden")
    write_golden(folder, SMALL)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder by its path in it."""
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_generator_repeats_itself(regenerated: Path, tmp_path: Path) -> None:
    """The same seed gives the same bytes, in every file."""
    write_golden(tmp_path, SMALL)
    assert contents(tmp_path) == contents(regenerated)


def test_golden_folder_is_what_the_generator_makes(regenerated: Path) -> None:
    """The small golden files kept in the repository are those that the generator makes now, byte for byte."""
    made = contents(regenerated)
    del made[MANIFEST]  # it lists fewer models
    kept = contents(golden_dir())
    assert {name: kept.get(name) == data for name, data in made.items()} == dict.fromkeys(made, True)


@pytest.mark.slow
def test_command_writes_the_whole_folder(tmp_path: Path) -> None:
    """`python -m fxsim.golden -o DIR` makes every golden file that is kept, and leaves nothing else behind."""
    result = CliRunner().invoke(main, ["-o", str(tmp_path / "new")])
    assert result.exit_code == 0, result.output
    kept = contents(golden_dir())
    for name in BESIDE:
        del kept[name]
    assert contents(tmp_path / "new") == kept


@pytest.mark.slow
def test_golden_folder_is_sound_and_small() -> None:
    """Nothing is wrong with the golden folder, and it takes less than 7.2 MB."""
    assert check_golden(golden_dir()) == []
    assert sum(len(data) for data in contents(golden_dir()).values()) < 7_200_000


def test_every_file_is_in_the_manifest() -> None:
    """The manifest lists every file of the folder but itself, the plan, its waivers and accepted cycles."""
    listed = {file.path for file in read_manifest(golden_dir()).files}
    assert listed == contents(golden_dir()).keys() - {MANIFEST, *BESIDE}


def test_cycles_of_stage_v1_are_held() -> None:
    """The cycles of every simulation of stage V1 are accepted ones, so that more of them fail."""
    plan = load_plan()
    accepted = read_accepted(plan)
    assert accepted is not None
    simulated = [c.name for c in plan.checks if c.stage == "V1" and c.kind in ("cosim", "interval", "cycles")]
    assert [name for name in simulated if not accepted.checks[name].exact] == []
    assert accepted.checks.keys() <= {check.name for check in plan.checks}


def test_manifest_says_which_models_are_trained() -> None:
    """Random models say that they are random, and have no training in the manifest; the others name their recipe."""
    manifest = read_manifest(golden_dir())
    assert [model.name for model in manifest.models] == [recipe.name for recipe in (*RANDOM, *TRAINED)]
    assert "say nothing of others" in manifest.statement
    for model in manifest.models:
        provenance = load(golden_dir() / model.file).provenance
        if model.name in SMALL:
            assert model.training is None
            assert provenance["trained"].startswith("no")
        else:
            assert model.training is not None
            assert provenance["recipe"] == model.name
            assert provenance["seed"] == str(model.seed)
            assert provenance["data_sha256"] == model.training.data_sha256
            recipe = (ROOT / model.training.recipe).read_bytes()
            assert hashlib.sha256(recipe).hexdigest() == model.training.recipe_sha256


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [recipe.name for recipe in (*RANDOM, *TRAINED) if recipe.name not in (*FEW_BITS, ODE, SOFTMAX)]
)
def test_statistics_are_realistic(name: str) -> None:
    """Activations use the range of int8, few of them saturate, some do; random models' shifts lie within 4 to 16."""
    manifest = read_manifest(golden_dir())
    stated = next(model for model in manifest.models if model.name == name)
    model = load(golden_dir() / stated.file)
    x = np.load(golden_dir() / stated.stimulus, allow_pickle=False)
    values = run(model, x, "all", engine="reference")
    saturated = {tap: float(np.isin(v, (-128, 127)).mean()) for tap, v in values.items()}
    # A relu's input saturates where that makes no difference: its scale is that of what the relu lets through.
    relu_inputs = {node.inputs[0] for node in model.graph.nodes if isinstance(node.op, Relu)}
    assert max(share for tap, share in saturated.items() if tap not in relu_inputs) < (0.01 if name in SMALL else 0.1)
    assert sum(saturated.values()) > 0
    for tap, v in values.items():
        assert (5 if name in SMALL else 2) < v.std() < 80, tap
        assert int(v.max()) - int(v.min()) > (20 if name not in SMALL else 40 if tap == "pool" else 80), tap
    shifts = np.concatenate([node.op.shift for node in model.graph.nodes if isinstance(node.op, Linear | Affine)])
    assert len(np.unique(shifts)) >= 5
    if name in SMALL:
        assert len(np.unique(x)) > 200
        assert max(v.std() for v in values.values()) < 70
        assert SHIFT_RANGE[0] <= shifts.min()
        assert shifts.max() <= SHIFT_RANGE[1]


@pytest.mark.parametrize("name", FEW_BITS)
def test_few_bits_are_used(name: str) -> None:
    """Every level of an activation occurs often in some channel; no feature map or sum reaches its format's ends."""
    manifest = read_manifest(golden_dir())
    stated = next(model for model in manifest.models if model.name == name)
    model = load(golden_dir() / stated.file)
    values = run(model, np.load(golden_dir() / stated.stimulus, allow_pickle=False), "all", engine="reference")
    for tap, v in values.items():
        number = model.graph.tensors[tap].number
        if number.bits <= 2:
            levels, counts = np.unique(v, return_counts=True)
            assert len(levels) == (2 if number.bits == 1 else 4), tap
            assert counts.min() > 0.02 * v.size, tap
        else:
            assert number.low < v.min() < v.max() < number.high, tap
    assert any(v.dtype == np.int16 and v.std() > 5 for v in values.values())


def test_the_neural_ode_uses_its_codes() -> None:
    """Every rounded tensor uses much of its format and few of its ends; the steps' x go apart; weights are shared."""
    stated = next(model for model in read_manifest(golden_dir()).models if model.name == ODE)
    model = load(golden_dir() / stated.file)
    x = np.load(golden_dir() / stated.stimulus, allow_pickle=False)
    values = run(model, x, "all", engine="reference")
    for tap, v in values.items():
        number = model.graph.tensors[tap].number
        if number.bits in (7, 8):
            assert int(v.max()) - int(v.min()) > 40, tap
            ends = (v == number.high) | ((v == number.low) & (number.low < 0))
            assert ends.mean() < 0.05, tap
    steps = [values[f"ode.step{i}.x"].astype(np.int64) for i in range(4)]
    assert all((a != b).mean() > 0.3 for a, b in itertools.pairwise(steps))
    assert {model.graph.owners[f"ode.step{i}.p2.sums"] for i in range(4)} == {"ode.step0.p2.sums"}


def test_softmax_and_learnt_levels_are_used() -> None:
    """Every level of all thresholds together occurs, attention weights are near and far from equal, tables are read."""
    stated = next(model for model in read_manifest(golden_dir()).models if model.name == SOFTMAX)
    model = load(golden_dir() / stated.file)
    x = np.load(golden_dir() / stated.stimulus, allow_pickle=False)
    values = run(model, x, "all", engine="reference")
    levels = [node for node in model.graph.nodes if isinstance(node.op, Threshold)]
    assert len(levels) >= 10
    uneven = 0
    for node in levels:
        number = model.graph.tensors[node.name].number
        assert node.op.threshold.shape[1] == number.codes - 1 == 2**number.bits - 1
        assert len(np.unique(values[node.name])) >= number.codes // 3, node.name
        gaps = np.diff(node.op.threshold.astype(np.int64), axis=1)
        uneven += int((gaps.max(axis=1) - gaps.min(axis=1) > 1).sum())
    assert uneven > 0  # else a shift would do
    weights = values["mhsa.attention"]
    assert len(np.unique(weights)) > 20
    assert len(np.unique(values["mhsa.reciprocal"])) > 50
    assert weights.reshape(-1, 4).sum(axis=1).min() >= 126


def test_paper_sized_models_have_the_published_dimensions() -> None:
    """64 tokens of 48 values, 96 channels, 4 blocks, 10 classes; hidden 96, 192 or 384; 64 points under `clamp`."""
    tables = ResMLPConfig(64, 48, 96, 96, 4, 10, 64, TableRule.CLAMP)
    expected = {
        "psa_h96": tables,
        "b_spline_h96": tables,
        "relu_h96": ResMLPConfig(64, 48, 96, 96, 4, 10),
        "relu_h192": ResMLPConfig(64, 48, 96, 192, 4, 10),
        "teacher_h384": ResMLPConfig(64, 48, 96, 384, 4, 10),
    }
    assert {name: recognise_resmlp(load(golden_dir() / f"{name}.safetensors").graph) for name in expected} == expected


@pytest.mark.parametrize("name", [recipe.name for recipe in TRAINED])
def test_trained_model_is_what_its_checkpoint_exports(name: str) -> None:
    """Exporting the kept quantised network again gives the kept integer model: graph, tensors and provenance."""
    from fxsim.training.integer_model import export_model

    stated = next(model for model in read_manifest(golden_dir()).models if model.name == name)
    assert stated.training is not None
    kept, made = load(golden_dir() / stated.file), export_model(golden_dir() / stated.training.checkpoint)
    assert made.graph == kept.graph
    assert (made.name, made.provenance) == (kept.name, kept.provenance)


@pytest.mark.slow
@pytest.mark.parametrize("name", [recipe.name for recipe in TRAINED])
def test_accuracy_is_what_the_manifest_states(name: str) -> None:
    """On the test pictures the kept model and its quantised network classify as many rightly as stated, and well."""
    from fxsim.data import DataSource
    from fxsim.training.evaluate import evaluate

    stated = next(model for model in read_manifest(golden_dir()).models if model.name == name)
    training = stated.training
    assert training is not None
    checkpoint = golden_dir() / training.checkpoint
    found = evaluate(golden_dir() / stated.file, DataSource(training.data), quantised_checkpoint=checkpoint)
    assert found.data_sha256 == training.data_sha256
    assert found.pictures == training.test_images
    assert found.networks["integer"].correct == training.integer_correct
    assert {tap.tap: tap.low + tap.high for tap in found.saturation} == training.saturated
    assert training.integer_correct > 0.95 * training.test_images
    # Another processor may sum float32 in another order: what lies on an edge may fall to its other side.
    assert abs(found.networks["fake-quant"].correct - training.fake_quant_correct) <= 2


def test_images_are_patches_of_smooth_pictures() -> None:
    """Put back together in the contract's order, tokens give a picture whose neighbouring pixels are alike."""
    tokens = natural_images(4, (8, 8), 4, seed=3).astype(int)
    picture = np.empty((4, 32, 32, 3), int)
    for token in range(64):
        for value in range(48):
            row, rest = divmod(value, 12)
            column, colour = divmod(rest, 3)
            picture[:, token // 8 * 4 + row, token % 8 * 4 + column, colour] = tokens[:, token, value]
    for axis in (1, 2):
        inside_and_across = np.abs(np.diff(picture, axis=axis))
        across = inside_and_across.take([3, 7, 11, 15, 19, 23, 27], axis=axis)
        assert across.mean() < 15, "pixels on both sides of a patch's edge are neighbours"
        assert inside_and_across.mean() < 15
    assert picture.std() > 35


@pytest.mark.parametrize("rule", [None, *TableRule])
def test_models_of_any_kind_are_generated(rule: TableRule | None) -> None:
    """The generator calibrates ReLU models and PSA models of every table rule, the same each time."""
    points = 0 if rule is None else 256 if rule is TableRule.FULL else 16
    config = ResMLPConfig(tokens=4, values=12, channels=6, hidden=9, blocks=1, classes=3, points=points, rule=rule)
    images = natural_images(8, (2, 2), 2, seed=5)
    model = generate_model("any", config, images, seed=9)
    assert recognise_resmlp(model.graph) == config
    assert model.graph == generate_model("any", config, images, seed=9).graph
    assert model.graph != generate_model("any", config, images, seed=10).graph
    assert all(values.std() > 3 for values in run(model, images, "all", engine="reference").values())


def test_images_that_do_not_fit_are_refused() -> None:
    """Calibration images of another shape than the model's are named."""
    config = ResMLPConfig(tokens=4, values=12, channels=6, hidden=9, blocks=1, classes=3)
    with pytest.raises(ModelError, match=r"shape \(2, 16, 12\), expected \(images, 4, 12\)"):
        generate_model("any", config, natural_images(2, (4, 4), 2, seed=0), seed=0)


@pytest.mark.parametrize("name", ["small.safetensors", "images_16x12.npy", "vectors/small/taps/embed.hex"])
@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_damaged_golden_file_is_named(regenerated: Path, tmp_path: Path, name: str, damage: str) -> None:
    """A golden file of which a byte changed, or which is gone, is found and named."""
    folder = tmp_path / "golden"
    shutil.copytree(regenerated, folder)
    if damage == "missing":
        (folder / name).unlink()
    else:
        data = bytearray((folder / name).read_bytes())
        data[-2] ^= 1
        (folder / name).write_bytes(data)
    problems = check_golden(folder)
    assert len(problems) == 1
    assert name in problems[0]


@pytest.mark.parametrize("field", ["saturated", "std", "mean", "max"])
def test_wrong_statistic_is_named(regenerated: Path, tmp_path: Path, field: str) -> None:
    """A statistic in the manifest that is not what is measured is found, with model and tap."""
    folder = tmp_path / "golden"
    shutil.copytree(regenerated, folder)
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    manifest["models"][1]["taps"][3][field] += 1
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    problems = check_golden(folder)
    assert len(problems) == 1
    assert "small_relu.safetensors, tap blocks.0.token_mixer.linear" in problems[0]


def test_exchanged_model_is_found(regenerated: Path, tmp_path: Path) -> None:
    """A model put in another's place is found although the manifest's hash of the file was put right."""
    folder = tmp_path / "golden"
    shutil.copytree(regenerated, folder)
    old = load(folder / "small.safetensors")
    config = recognise_resmlp(old.graph)
    other = generate_model("small", config, np.load(folder / "images_16x12.npy"), seed=1)
    save(Model(other.graph, old.name, old.provenance), folder / "small.safetensors")
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    for file in manifest["files"]:
        if file["path"] == "small.safetensors":
            file["sha256"] = golden_file(folder, Path("small.safetensors")).sha256
            file["bytes"] = golden_file(folder, Path("small.safetensors")).bytes
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    assert any("small.safetensors: model sha256" in problem for problem in check_golden(folder))


@pytest.mark.parametrize("text", [b"", b"{}", b"[1]", b'{"format": "other"}', b"\xff\xfe"])
def test_damaged_manifest_is_one_error(tmp_path: Path, text: bytes) -> None:
    """A manifest that is not one gives one error that names it."""
    (tmp_path / MANIFEST).write_bytes(text)
    with pytest.raises(FileError, match=MANIFEST):
        check_golden(tmp_path)


@pytest.mark.parametrize(
    "place",
    [("files", 0, "path"), ("models", 0, "file"), ("models", 0, "stimulus"), ("models", 2, "training", "checkpoint")],
)
@pytest.mark.parametrize("name", ["../outside.npy", "/outside.npy", "vectors/../../outside.npy", "."])
def test_manifest_names_no_file_outside_its_folder(tmp_path: Path, place: tuple[Any, ...], name: str) -> None:
    """A path that leads out of the folder is one error, wherever the manifest has it."""
    manifest = msgspec.json.decode((golden_dir() / MANIFEST).read_bytes())
    entry = manifest
    for key in place[:-1]:
        entry = entry[key]
    entry[place[-1]] = name
    (tmp_path / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(FileError, match="expected one inside the folder"):
        read_manifest(tmp_path)


def altered(folder: Path, regenerated: Path, place: tuple[Any, ...], value: Any) -> Path:
    """A copy of the small golden folder, `value` at a place of its manifest; None takes what is there away."""
    shutil.copytree(regenerated, folder, dirs_exist_ok=True)
    manifest = msgspec.json.decode((folder / MANIFEST).read_bytes())
    entry = manifest
    for key in place[:-1]:
        entry = entry[key]
    if value is None:
        del entry[place[-1]]
    else:
        entry[place[-1]] = value
    (folder / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    return folder


SMALL_FILE = {"path": "small.safetensors", "bytes": 1, "sha256": "0" * 64}


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("files",), [], "files"),
        (("models",), [], "models"),
        (("models", 0, "taps"), [], "taps"),
        (("models", 0, "shifts"), {"x": 1}, "shifts"),
        (("models", 0, "shifts"), {"256": 1}, "shifts"),
        (("models", 0, "shifts"), {"007": 1}, "shifts"),
        (("models", 0, "images"), 0, "images"),
        (("models", 0, "images"), 10**400, "images"),
        (("models", 0, "file"), "no\0thing.safetensors", "file"),
        (("models", 0, "file"), "other.safetensors", "names 'other.safetensors', which is not among its files"),
        (("models", 0, "stimulus"), "x" * 501, "stimulus"),
        (("files", 0), SMALL_FILE, "has the file 'small.safetensors' twice"),
        (("files", 0, "sha256"), "0", "sha256"),
        (("models", 1, "name"), "small", "has the model 'small' twice"),
    ],
)
def test_manifest_that_makes_no_sense_is_one_error(
    regenerated: Path, tmp_path: Path, place: tuple[Any, ...], value: Any, message: str
) -> None:
    """Nothing to check, something twice, a number or path that there cannot be: one error that names the manifest."""
    with pytest.raises(FileError) as caught:
        check_golden(altered(tmp_path, regenerated, place, value))
    assert MANIFEST in str(caught.value)
    assert message in str(caught.value)


def test_tap_that_stands_twice_is_refused(regenerated: Path, tmp_path: Path) -> None:
    """A second statement of one tap, which could hide a wrong first one, is refused by name."""
    taps = msgspec.json.decode((regenerated / MANIFEST).read_bytes())["models"][0]["taps"]
    wrong = taps[0] | {"std": 99.0}
    with pytest.raises(FileError, match="has the model small's tap 'embed' twice"):
        check_golden(altered(tmp_path, regenerated, ("models", 0, "taps"), [wrong, *taps]))


def test_surplus_files_are_named(regenerated: Path, tmp_path: Path) -> None:
    """A file, in whatever folder, or a link that the manifest has not is a problem; what is the plan's is none."""
    shutil.copytree(regenerated, tmp_path, dirs_exist_ok=True)
    for name in (*BESIDE, "vectors/small/notes.txt", "old.safetensors"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("nowhere")
    names = ("link", "old.safetensors", "vectors/small/notes.txt")
    assert check_golden(tmp_path) == [f"{tmp_path / name}: is not in the manifest" for name in names]


def test_file_of_no_model_is_named(regenerated: Path, tmp_path: Path) -> None:
    """A model that was taken out of the manifest is missed: its files are left, and are nobody's."""
    found = check_golden(altered(tmp_path, regenerated, ("models", 1), None))
    assert f"{tmp_path}/small_relu.safetensors: is of no model of the manifest's" in found


NUMBERS = (-1, 0, 2**63, 10**30, 0.5)
TEXTS = ("", "x", "..", "small.safetensors", "vectors", "a\0b", "\n")
PARTS = st.sampled_from([None, *NUMBERS, *TEXTS, [], [1], {}, {"embed": 1}])


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_manifest_is_a_problem_or_one_error(regenerated: Path, tmp_path: Path, data: st.DataObject) -> None:
    """Whatever stands at any one place of a manifest, the check finds it or refuses it, in the project's own words."""
    content: Any = msgspec.json.decode((regenerated / MANIFEST).read_bytes())
    before, place = content, []
    while isinstance(content, dict | list) and content and (not place or data.draw(st.integers(0, 4))):
        keys = list(content) if isinstance(content, dict) else range(len(content))
        key = data.draw(st.sampled_from(list(keys)))
        place.append(key)
        content = content[key]
    value = data.draw(PARTS.filter(lambda v: v != content))
    folder = altered(tmp_path, regenerated, tuple(place), value)
    unchecked = place[0] in ("generator", "seed", "statement") or (len(place) == 3 and place[2] == "seed")
    try:
        found = check_golden(folder) or check_training(folder, read_manifest(folder)).problems
    except FxsimError:
        return
    assert found or unchecked, (place, value, before)


# --- Figures of trained models ---


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden folder with one trained model alone, without its vectors."""
    folder = tmp_path_factory.mktemp("trained")
    manifest = read_manifest(golden_dir())
    (model,) = (model for model in manifest.models if model.name == NAME)
    assert model.training is not None
    names = {model.file, model.stimulus, model.training.checkpoint}
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(golden_dir() / name, folder / name)
    files = [file for file in manifest.files if file.path in names]
    alone = msgspec.structs.replace(manifest, models=[model], files=files)
    (folder / MANIFEST).write_bytes(msgspec.json.encode(alone))
    return folder


@pytest.mark.slow
def test_figures_of_a_trained_model_are_measured_again(trained: Path) -> None:
    """The kept small trained model gives what the manifest states, on all 445 test pictures."""
    found = check_training(trained, read_manifest(trained))
    assert (found.problems, found.pictures, found.unmeasured) == ([], 445, None)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "integer_correct",
            445,
            "pictures that the integer model classifies rightly: measured 432, the manifest states",
        ),
        ("integer_correct", 431, "measured 432, the manifest states 431"),
        ("test_images", 446, "test pictures: measured 445, the manifest states 446"),
        ("fake_quant_correct", 400, "pictures that fake-quant classifies rightly: measured"),
        ("data_sha256", "0" * 64, "sha256 of the data: measured"),
        ("data", "cifar10", "its provenance has data 'digits', the manifest states 'cifar10'"),
        ("recipe", "recipes/other.toml", "its provenance has recipe 'digits_small', the manifest states 'other'"),
        ("saturated", {"embed": 1}, "digits_small.safetensors, tap embed: "),
    ],
)
def test_wrong_figure_of_a_trained_model_is_named(
    trained: Path, tmp_path: Path, field: str, value: Any, message: str
) -> None:
    """Each figure of `training` that is not what the model, its provenance and the data give is found by name."""
    folder = altered(tmp_path, trained, ("models", 0, "training", field), value)
    assert check_golden(folder) == []
    assert any(message in problem for problem in check_training(folder, read_manifest(folder)).problems)


@pytest.mark.slow
def test_training_that_is_not_stated_is_missed(trained: Path, tmp_path: Path) -> None:
    """A trained model whose manifest says nothing of it is a problem, and so is a count beyond all pictures."""
    manifest = read_manifest(trained)
    untrained = msgspec.structs.replace(manifest.models[0], training=None)
    found = check_training(trained, msgspec.structs.replace(manifest, models=[untrained]))
    assert found.problems == [
        "digits_small.safetensors: was trained by recipe 'digits_small', the manifest states no training"
    ]
    with pytest.raises(FileError, match="has float_correct beyond its 445 test_images"):
        read_manifest(altered(tmp_path, trained, ("models", 0, "training", "float_correct"), 446))


@pytest.mark.slow
def test_recipe_that_changed_is_named(trained: Path, tmp_path: Path) -> None:
    """Where the recipe is there, beside the golden folder, its hash must be the one that the manifest states."""
    shutil.copytree(trained, tmp_path / "golden")
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes" / "digits_small.toml").write_text("other")
    found = check_training(tmp_path / "golden", read_manifest(trained))
    assert found.recipes == 1
    assert [problem.partition(":")[0] for problem in found.problems] == ["recipes/digits_small.toml"]


def test_figures_that_cannot_be_measured_are_not_passed(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the extra torch the check of the golden folder says that it took the figures as stated: no pass."""
    monkeypatch.setattr(golden_training, "find_spec", lambda _: None)
    plan = tmp_path / "plan.toml"
    plan.write_text(f'title = "t"\nseed = 1\n[[check]]\nkind = "golden"\nname = "g"\ndirectory = "{trained}"\n')
    record = run_plan(load_plan(plan))
    (check,) = record.checks
    assert check.status is Status.REPORTED
    assert "figures of trained models were not measured again: the extra 'torch' is not installed" in str(check.reason)
    assert not record.passed


# --- From the folders of flows ---


@pytest.fixture
def flow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the small recipe's flow leaves it, its float network untrained; only this model is written."""
    import torch

    from fxsim.networks.checkpoint import load_checkpoint, save_checkpoint
    from fxsim.networks.resmlp import ResMLP

    folder = tmp_path / "runs" / NAME
    folder.mkdir(parents=True)
    shutil.copy(golden_dir() / f"{NAME}.safetensors", folder / "model.safetensors")
    shutil.copy(golden_dir() / "checkpoints" / f"{NAME}.safetensors", folder / "quantised.safetensors")
    checkpoint = load_checkpoint(folder / "quantised.safetensors")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        network = ResMLP(checkpoint.network.config).eval()
    save_checkpoint(network, folder / "float.safetensors", checkpoint.preprocessing, {})
    monkeypatch.setattr(golden_write, "RANDOM", ())
    monkeypatch.setattr(golden_write, "TRAINED", tuple(recipe for recipe in TRAINED if recipe.name == NAME))
    monkeypatch.chdir(ROOT)
    return folder


@pytest.fixture
def old_golden(tmp_path: Path) -> Path:
    """A golden folder to write over: the new run has other files in each of its folders."""
    folder = tmp_path / "golden"
    for name in (
        MANIFEST,
        f"{NAME}.safetensors",
        "signoff.toml",
        "vectors/old/a.hex",
        f"checkpoints/{NAME}.safetensors",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"old {name}")
    return folder


def write_from_runs(flow: Path, folder: Path) -> Result:
    """`python -m fxsim.golden` with the flow's parent folder."""
    return CliRunner().invoke(main, ["--runs", str(flow.parent), "-o", str(folder)])


def test_flow_becomes_golden(flow: Path, old_golden: Path) -> None:
    """The model, checkpoint, stimulus and vectors are the kept ones; accuracies are measured anew; old vectors go."""
    result = write_from_runs(flow, old_golden)
    assert result.exit_code == 0, result.output
    found, kept = contents(old_golden), contents(golden_dir())
    assert found.pop("signoff.toml") == b"old signoff.toml"
    manifest = read_manifest(old_golden)
    del found[MANIFEST]
    assert found.keys() == {file.path for file in manifest.files}
    assert {name: kept.get(name) == data for name, data in found.items()} == dict.fromkeys(found, True)
    (stated,) = manifest.models
    (before,) = (model for model in read_manifest(golden_dir()).models if model.name == NAME)
    assert stated.training is not None
    assert before.training is not None
    assert stated.training.float_correct is not None
    assert before.training.float_correct is not None
    assert stated.training.float_correct < before.training.float_correct  # that network is untrained
    changed = msgspec.structs.replace(before.training, float_correct=stated.training.float_correct)
    assert stated == msgspec.structs.replace(before, training=changed)


def other_tables(model: Model) -> Model:
    """The model with one entry of one table changed."""
    nodes = []
    for node in model.graph.nodes:
        op = node.op
        if isinstance(op, Lut) and not any(isinstance(earlier.op, Lut) for earlier in nodes):
            table = op.table.copy()
            table[3, 30] ^= 1
            op = replace(op, table=table)
        nodes.append(Node(node.name, op, node.inputs))
    return Model(Graph(model.graph.input_shape, tuple(nodes)), model.name, model.provenance)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("tables", "model.safetensors: is not what"),
        ("name", "is model '../../outside' of recipe 'digits_small', expected 'digits_small'"),
        ("recipe", "of recipe 'psa_h96', expected 'digits_small'"),
        ("data", "does not say on what data"),
        ("seed", "does not say on what data"),
        ("float", "float.safetensors"),
        ("run", "digits_small/model.safetensors"),
        ("place", "recipes/digits_small.toml"),
    ],
)
def test_flow_that_is_not_sound_changes_nothing(
    flow: Path, old_golden: Path, damage: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that its checkpoint does not export, another one, or a missing file: one error, the old folder whole."""
    model = load(flow / "model.safetensors")
    provenance = dict(model.provenance)
    if damage == "tables":
        model = other_tables(model)
    elif damage == "name":
        model = Model(model.graph, "../../outside", provenance)
    elif damage == "recipe":
        model = Model(model.graph, NAME, provenance | {"recipe": "psa_h96"})
    elif damage in ("data", "seed"):
        model = Model(model.graph, NAME, provenance | {damage: "some"})
    elif damage == "float":
        (flow / "float.safetensors").unlink()
    elif damage == "place":
        monkeypatch.chdir(flow)
    save(model, flow / "model.safetensors")
    if damage == "run":
        shutil.rmtree(flow)
    before = contents(old_golden)
    result = write_from_runs(flow, old_golden)
    assert result.exit_code == 1
    assert result.output.startswith("Error: ")
    assert message in result.output
    assert result.output.count("\n") == 1
    assert contents(old_golden) == before
    assert not list(old_golden.glob(".*"))


@pytest.mark.parametrize("moves", range(9))
def test_interruption_leaves_the_old_folder_whole(
    old_golden: Path, moves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C between any two of the moves that put the new files in place: every old file is as it was, status 130."""
    before = contents(old_golden)
    monkeypatch.setattr(golden_write, "TRAINED", ())
    monkeypatch.setattr(golden_write, "RANDOM", tuple(recipe for recipe in RANDOM if recipe.name == "small"))
    (old_golden / "small.safetensors").write_text("old model")
    before["small.safetensors"] = b"old model"
    real, done = Path.replace, 0

    def interrupted(source: Path, target: Path) -> Path:
        nonlocal done
        # Only the moves into place: writers of single files move theirs, too.
        if old_golden in (source.parent, Path(target).parent):
            done += 1
            if done == moves + 1:
                raise KeyboardInterrupt
        return real(source, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    result = CliRunner().invoke(main, ["-o", str(old_golden)])
    # Four things are replaced, each by two moves: stimulus, manifest, model, vectors.
    if moves < 8:
        assert (result.exit_code, result.output) == (130, "interrupted\n")
        assert contents(old_golden) == before
    else:
        assert result.exit_code == 0, result.output
        assert contents(old_golden)["small.safetensors"] == contents(golden_dir())["small.safetensors"]
        assert done == 8
    assert not list(old_golden.glob(".*"))
