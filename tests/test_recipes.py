"""Recipes: those of the project can be read, and bad ones are refused with one message that names the place."""

import re
import typing
from pathlib import Path

import msgspec
import pytest

from fxsim.errors import FileError
from fxsim.networks.resmlp import NetworkConfig
from fxsim.training.recipe import NetworkSection, Recipe, load_recipe
from tests.conftest import ROOT

RECIPES = sorted((ROOT / "recipes").glob("*.toml"))

TEACHER = """
name = "t"
[data]
source = "digits"
size = 8
colours = 1
patch = 4
[network]
channels = 4
hidden = 8
blocks = 1
activation = "relu"
[train]
epochs = 1
"""

STUDENT = TEACHER.replace("[train]", '[teacher]\nrecipe = "t.toml"\n[distill]')


def write(folder: Path, text: str) -> Path:
    """A recipe of this text."""
    path = folder / "recipe.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_project_can_be_read(path: Path) -> None:
    """A recipe's name is its file's, its teacher is there, and both take the same pictures with the same seed."""
    recipe = load_recipe(path)
    assert recipe.name == path.stem
    if recipe.teacher is None:
        assert recipe.train is not None
        return
    teacher = load_recipe(recipe.teacher)
    assert (teacher.data, teacher.seed) == (recipe.data, recipe.seed)
    assert (teacher.resmlp.channels, teacher.resmlp.blocks) == (recipe.resmlp.channels, recipe.resmlp.blocks)
    assert recipe.quantize is not None


def test_there_are_recipes() -> None:
    """The recipes that the documentation names exist."""
    assert {
        "digits_small",
        "psa_h96",
        "relu_h96",
        "relu_h192",
        "b_spline_h96",
        "cifar10_psa_h96",
        "svhn_psa_h64",
        "digits_ode",
        "digits_softmax",
        "stl10_ode",
    } <= {path.stem for path in RECIPES}


def test_paths_are_relative_to_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The teacher and the data are found beside the recipe from any working folder; an override is taken as it is."""
    (tmp_path / "inner").mkdir()
    text = STUDENT.replace('"digits"', '"npz"\npath = "../data"').replace('"t.toml"', '"../t.toml"')
    path = write(tmp_path / "inner", text)
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe(path.relative_to(tmp_path))
    assert recipe.teacher == tmp_path / "t.toml"
    assert recipe.data_path == tmp_path / "data"
    other = load_recipe(path, data_path=Path("elsewhere"), seed=5)
    assert (other.data_path, other.seed) == (Path("elsewhere"), 5)


def test_what_a_result_depends_on_has_every_field_of_its_sections(tmp_path: Path) -> None:
    """`describe` has all settings of a section, seed and threads, but not where the data lies."""
    text = TEACHER.replace('"digits"', '"npz"\npath = "a"')
    found = load_recipe(write(tmp_path, text)).describe("data", "train")
    assert found["seed"] == 2023
    assert found["threads"] == 2
    assert set(found["train"]) == {
        "epochs", "batch", "learning_rate", "final_learning_rate", "spline_learning_rate", "keep", "tv2"
    }  # fmt: skip
    assert set(found["data"]) == {"source", "validation", "size", "colours", "patch", "mean", "std"}
    assert found == load_recipe(write(tmp_path, text.replace('"a"', '"b"'))).describe("data", "train")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('name = "t"', 'name = "../t"', r"\$\.name"),
        ('name = "t"', "", r"missing required field `name`"),
        ("epochs = 1", "epochs = 0", r"\$\.train\.epochs"),
        ("epochs = 1", "epochs = 1\nepoch = 2", r"unknown field `epoch` - at `\$\.train`"),
        ("epochs = 1", "epochs = 1\nlearning_rate = 2.0", r"\$\.train\.learning_rate"),
        ("epochs = 1", "epochs = 1\nlearning_rate = 1e-6", r"\[train\] final_learning_rate is 1e-05"),
        ("epochs = 1", 'epochs = 1\nkeep = "first"', r"\$\.train\.keep"),
        ('"relu"', '"tanh"', r"\$\.network\.activation"),
        ("channels = 4", "channels = 0", r"\$\.network\.channels"),
        ("channels = 4", "channels = 4\nlimit = 1e-7", r"\$\.network\.limit"),
        ('"digits"', '"mnist"', r"\$\.data\.source"),
        ('"digits"', '"digits"\npath = "x"', r"\[data\] has a path"),
        ("patch = 4", "patch = 3", r"\[data\] patch is 3"),
        ("colours = 1", "colours = 2", r"\[data\] colours is 2"),
        ("size = 8", "size = 12", r"9 tokens, expected a power of two"),
        ("patch = 4", "patch = 4\nmean = [0.5]", r"one of mean and std"),
        ("patch = 4", "patch = 4\nmean = [0.5]\nstd = [0.0]", r"\[data\] std is"),
        ("patch = 4", "patch = 4\nmean = [0.5]\nstd = [1.0, 1.0]", r"\[data\] std has 2 numbers"),
        ("patch = 4", "patch = 4\nmean = [0.5]\nstd = [1e-9]", r"\[data\] mean and std give values of up to 5e\+08"),
        ("patch = 4", "patch = 4\nmean = [-1e30]\nstd = [1.0]", r"\[data\] mean and std give values of up to 1e\+30"),
        ("patch = 4", "patch = 4\nmean = [0.5]\nstd = [1e9]", r"\[data\] mean and std give values of up to 5e-10"),
        ("epochs = 1", "epochs = 1\nspline_learning_rate = 1e-6", r"\[train\] .*at most spline_learning_rate, 1e-06"),
        ("epochs = 1", "epochs = 1\ntv2 = inf", r"\$\.train\.tv2"),
        ("patch = 4", "patch = 4\nvalidation = 1.0", r"\$\.data\.validation"),
        ("[train]\nepochs = 1", "", r"exactly one of \[train\]"),
        ("[train]", "[distill]", r"\[distill\] needs a teacher"),
        ("[train]", "[transfer]\nepochs = 1\n[train]", r"\[transfer\] needs a teacher"),
        ("epochs = 1", "epochs = 1\n[export]\npoints = 63", r"\[export\] points is 63"),
        ("epochs = 1", 'epochs = 1\n[export]\nrule = "full"', r"\[export\] rule full needs 256"),
        ("epochs = 1", "epochs = 1\n[quantize]\nepochs = 1\npercentiles = []", r"\$\.quantize\.percentiles"),
        ("epochs = 1", "epochs = 1\n[quantize]\nepochs = 1\npercentiles = [0.0]", r"\$\.quantize\.percentiles"),
        ("epochs = 1", "epochs = 1\n[augmentation]\nflop = true", r"\$\.augmentation"),
        ("[data]", "threads = 0\n[data]", r"\$\.threads"),
        ("[data]", "seed = -1\n[data]", r"\$\.seed"),
        ("[data]", "[data", r"is not a recipe"),
    ],
)
def test_a_bad_recipe_is_refused_in_one_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    """The message names the file and the place in it."""
    assert old in TEACHER
    path = write(tmp_path, TEACHER.replace(old, new, 1))
    with pytest.raises(FileError, match=message) as caught:
        load_recipe(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert len(str(caught.value).splitlines()) == 1


def test_a_recipe_takes_what_a_network_file_takes() -> None:
    """Settings of a recipe's network have the bounds and defaults of the record in network files: each can be read."""
    in_files = {field.name: field for field in msgspec.structs.fields(NetworkConfig)}
    given = {field.name: field for field in msgspec.structs.fields(NetworkSection)}
    assert in_files.keys() - given.keys() == {"tokens", "values", "classes"}
    for name, field in given.items():
        assert (field.type, field.default) == (in_files[name].type, in_files[name].default), name
    bounds = {
        name: (field.type.__metadata__[0].ge, field.type.__metadata__[0].le)
        for name, field in given.items()
        if name != "activation"
    }
    assert bounds == {
        "channels": (1, 4096), "hidden": (1, 4096), "blocks": (1, 256), "centres": (1, 1024), "points": (2, 65_536),
        "limit": (1e-6, 1e6),
    }  # fmt: skip


def test_a_recipe_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A missing file, bytes that are no text, and a file without end."""
    with pytest.raises(FileError, match="cannot be read"):
        load_recipe(tmp_path / "none.toml")
    path = tmp_path / "bad.toml"
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(FileError, match="line 1: byte 0xff is not UTF-8, expected a recipe"):
        load_recipe(path)
    path.write_bytes(b"#" * ((1 << 20) + 1))
    with pytest.raises(FileError, match="is larger than"):
        load_recipe(path)


def test_the_reference_table_has_every_entry() -> None:
    """docs/training.md names every entry of every section."""
    text = (ROOT / "docs" / "training.md").read_text()
    hints = Recipe.__dataclass_fields__
    sections = ("data", "network", "train", "transfer", "distill", "quantize", "export", "augmentation")
    assert set(sections) <= set(hints)
    types = typing.get_type_hints(Recipe)
    for section in sections:
        kind = next((t for t in typing.get_args(types[section]) if t is not type(None)), types[section])
        part = re.search(rf"^### \[{section}\]$(.*?)(?=^##)", text, re.MULTILINE | re.DOTALL)
        assert part, section
        fields = {field.name: field for field in msgspec.structs.fields(kind)}
        for name in fields:
            assert f"`{name}`" in part[1], (section, name)
        for row in re.findall(r"^\| (`[^|]*) \|([^|]*)\|", part[1], re.MULTILINE):
            names = re.findall(r"`(\w+)`", row[0])
            assert set(names) <= set(fields), (section, names)
            for name, stated in zip(names, _stated(row[1], len(names)), strict=True):
                assert _agrees(stated, fields[name].default), (section, name, stated)


def _stated(text: str, count: int) -> list[str]:
    """A default for each of so many entries: as many, separated by commas, or one for all."""
    parts = [part.strip("` ") for part in text.split(",")]
    return parts if len(parts) == count else [text.strip("` ")] * count


def _agrees(stated: str, default: object) -> bool:
    if default is msgspec.NODEFAULT:
        return stated == ""
    if default is None:
        # What takes its place is in words.
        return stated in ("", "measured", "learning_rate")
    if isinstance(default, bool):
        return stated == str(default).lower()
    if isinstance(default, tuple):
        first, last = re.fullmatch(r"(\d+, \d+), \.\.\. (.*)", stated).groups()  # type: ignore[union-attr]
        numbers = [f"{number:g}" for number in default]
        return first == ", ".join(numbers[:2]) and numbers[-len(last.split(", ")) :] == last.split(", ")
    return float(stated) == default if isinstance(default, int | float) else stated == str(default)
