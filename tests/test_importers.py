"""Importers: a toy one from another package, or in a copy of this one, keeps the checklist; broken ones are named."""

import json
import shutil
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

import fxsim
from fxsim import plugins
from fxsim.cli.import_model import command
from fxsim.cli.program import cli
from fxsim.errors import FileError, FxsimError
from fxsim.formats import importers, load
from fxsim.formats.importers import IMPORTERS, Importer, import_model
from fxsim.operators import Linear
from tests import toy_format

PACKAGE = Path(fxsim.__file__).parent

TOY = Path(toy_format.__file__).read_text(encoding="utf-8")

WEIGHT = [[1, -2, 3], [0, 5, -128]]
X = np.array([[[1, 2, -3]], [[127, 1, 1]]], np.int8)
# By hand: 1 - 4 - 9, 10 + 384; 127 - 2 + 3, 5 - 128; none beyond -128 to 127.
Y = [[[-12, 127]], [[127, -123]]]

WEIGHTS = st.integers(1, 4).flatmap(
    lambda size: st.lists(st.lists(st.integers(-128, 127), min_size=size, max_size=size), min_size=1, max_size=4)
)


def other_packages(monkeypatch: pytest.MonkeyPatch, **added: object) -> None:
    """Have other packages add these, by name; an exception is raised when its package is imported."""
    module = ModuleType("toy_package")
    for name, importer in added.items():
        if not isinstance(importer, Exception):
            setattr(module, name, importer)
    monkeypatch.setitem(sys.modules, "toy_package", module)
    entries = [EntryPoint(name, f"toy_package:{name}", importers.GROUP) for name in added]
    monkeypatch.setattr(plugins, "entry_points", lambda group: entries if group == "fxsim.formats" else [])
    monkeypatch.setattr(IMPORTERS, "_loaded", {})


@pytest.fixture
def toy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package adds the toy."""
    other_packages(monkeypatch, toy=toy_format.IMPORTER)


def invoke(*words: object) -> Result:
    """`fxsim import` with these words."""
    return CliRunner().invoke(command, [str(word) for word in words])


# --- a toy ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("toy")
def test_toy_is_imported_by_the_command(tmp_path: Path) -> None:
    """Another package's importer reads into a model file, which computes what was worked out by hand."""
    source, target = tmp_path / "small.json", tmp_path / "m.safetensors"
    source.write_text(json.dumps({"weight": WEIGHT}))
    done = invoke(source, "-o", target, "--format", "toy", "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert (printed["name"], printed["provenance"], printed["resmlp"]) == ("small", {}, None)
    first = target.read_bytes()
    assert fxsim.run(load(target), X, engine="reference")["only"].tolist() == Y
    again = invoke(source, "-o", target, "--format", "toy")
    assert again.exit_code == 0, again.output
    assert "1 operators" not in again.stdout
    assert "1 operator, input" in again.stdout
    assert target.read_bytes() == first
    named = invoke(source, "-o", target, "--format", "toy", "--name", "other", "--json")
    assert json.loads(named.stdout)["name"] == load(target).name == "other"


def test_toy_is_one_file_and_a_line_in_a_copy_of_the_package(tmp_path: Path) -> None:
    """An importer of the project's own: one new file, one line of the registry; it imports nothing from above."""
    shutil.copytree(PACKAGE, tmp_path / "fxsim", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "fxsim" / "formats" / "toy.py").write_text(TOY)
    registry = tmp_path / "fxsim" / "formats" / "importers.py"
    text = registry.read_text()
    assert text.count("_OWN = {") == 1
    registry.write_text(text.replace("_OWN = {", '_OWN = {"toy": "fxsim.formats.toy", '))
    (tmp_path / "small.json").write_text(json.dumps({"weight": WEIGHT}))
    environment = {"PYTHONPATH": str(tmp_path), "FXSIM_CACHE": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"}

    def call(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *words], cwd=tmp_path, text=True, capture_output=True, check=False, env=environment
        )

    done = call("-m", "fxsim", "import", "small.json", "-o", "m.safetensors", "--format", "toy")
    assert done.returncode == 0, done.stderr
    assert fxsim.run(load(tmp_path / "m.safetensors"), X, engine="reference")["only"].tolist() == Y
    rooms = call("-c", "import sys, fxsim.formats.toy; print(*{name.split('.')[1] for name in sys.modules "
                       "if name.startswith('fxsim.')})")  # fmt: skip
    assert rooms.returncode == 0, rooms.stderr
    assert "formats" in rooms.stdout.split()
    assert {"engines", "devices", "cosim", "data", "cli"} & set(rooms.stdout.split()) == set()


@given(weight=WEIGHTS)
def test_what_a_toy_says_is_what_is_read(weight: list[list[int]], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every weight written as text stands in the model."""
    source = tmp_path_factory.mktemp("toy") / "a.json"
    source.write_text(json.dumps({"weight": weight}))
    (node,) = toy_format.read(source).graph.nodes
    assert isinstance(node.op, Linear)
    assert node.op.weight.tolist() == weight
    assert node.op.weight.dtype == np.int8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        ('{"weight": [[1]], "bias": [1]}', "is not a toy network: .*bias"),
        ('{"weight": [[1.5]]}', "is not a toy network: "),
        ('{"weight": [[300]]}', "beyond -128 to 127"),
        ('{"weight": [[1], [1, 2]]}', "not of one length"),
        ('{"weight": [[' + "1, " * 500 + "1]]}", "larger than 1,000 bytes"),
        *((json.dumps({"weight": WEIGHT})[:end], "is not ") for end in (0, 1, 9, 20, -1)),
    ],
)
@pytest.mark.usefixtures("toy")
def test_bad_toys_are_one_error_and_nothing_is_written(tmp_path: Path, content: str | None, message: str) -> None:
    """Missing, damaged, truncated and too large files: FileError with the file's name, and no output."""
    source, target = tmp_path / "small.json", tmp_path / "m.safetensors"
    if content is not None:
        source.write_text(content)
    done = invoke(source, "-o", target, "--format", "toy")
    assert isinstance(done.exception, FileError)
    assert "\n" not in str(done.exception)
    with pytest.raises(FileError, match=message):
        raise done.exception
    assert str(source) in str(done.exception)
    assert list(tmp_path.iterdir()) == ([source] if content is not None else [])


@pytest.mark.usefixtures("toy")
def test_inputs_are_not_overwritten_and_options_of_others_refused(tmp_path: Path) -> None:
    """The toy's file is no output; the options of headers are refused where the toy takes none."""
    source = tmp_path / "small.json"
    source.write_text(json.dumps({"weight": WEIGHT}))
    for words, message in (
        ((source, "-o", source), "is read as an input"),
        ((source, "-o", tmp_path / "m", "--layout", "auto"), "importer 'toy' has no option 'layout'; it has: none"),
        ((source, "-o", tmp_path / "m", "--edge-rule", "hold"), "importer 'toy' has no option 'rule'"),
    ):
        done = invoke(*words, "--format", "toy")
        assert isinstance(done.exception, FileError), done.output
        assert message in str(done.exception)
    assert json.loads(source.read_text()) == {"weight": WEIGHT}
    assert list(tmp_path.iterdir()) == [source]


# --- importers that are not usable ------------------------------------------------------------------------------------


@pytest.mark.usefixtures("toy")
def test_unknown_importers_are_named_with_those_there_are(tmp_path: Path) -> None:
    """A name that no importer has is one message with all names; the program ends with status 1."""
    with pytest.raises(
        FileError,
        match=r"^there is no importer 'csv'; there are: headers, fracbnn, neural-ode, bnn-pynq, qonnx, tflite, toy$",
    ):
        import_model(tmp_path, "csv")
    done = CliRunner().invoke(cli, ["import", str(tmp_path), "-o", str(tmp_path / "m"), "--format", "csv"])
    assert "there is no importer 'csv'" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def nothing() -> None:
    """A function that was to return an importer."""


@pytest.mark.parametrize(
    ("importer", "message"),
    [
        (ImportError("no torch"), r"the importer 'odd' \(toy_package:odd\) cannot be loaded: AttributeError: "),
        (Importer("toy", "", lambda path: path), "cannot be loaded: it calls itself 'toy'"),
        ("no importer", "cannot be loaded: it is a str, expected a fxsim.formats.importers.Importer"),
        (nothing, "cannot be loaded: it is a NoneType, expected"),
    ],
)
def test_broken_importer_is_one_line_and_disturbs_no_other(
    importer: object, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An importer that cannot be loaded is named where it is asked for; help says so too, and all others work."""
    other_packages(monkeypatch, odd=importer, toy=lambda: toy_format.IMPORTER)
    with pytest.raises(FxsimError, match=message) as caught:
        import_model(tmp_path, "odd")
    assert "\n" not in str(caught.value)
    listed = invoke("--help")
    assert listed.exit_code == 0, listed.output
    words = " ".join(listed.output.split())
    for part in ("not usable: the importer 'odd'", "toy a JSON file with weight", "headers a folder of published"):
        assert part in words
    assert IMPORTERS["toy"] is toy_format.IMPORTER
    assert list(IMPORTERS) == ["headers", "fracbnn", "neural-ode", "bnn-pynq", "qonnx", "tflite", "odd", "toy"]


def test_others_are_loaded_only_when_asked_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Reading headers imports no other package's importer, and needs no name."""
    calls: list[str] = []
    other_packages(monkeypatch, toy=lambda: calls.append("loaded") or toy_format.IMPORTER, headers=nothing)
    done = invoke(tmp_path / "absent", "-o", tmp_path / "m")
    assert "no such folder" in str(done.exception)
    assert calls == []
    assert IMPORTERS["toy"] is IMPORTERS["toy"]
    assert calls == ["loaded"]


def test_an_importer_that_gives_no_model_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Anything but a Model is refused, with the importer's name."""
    other_packages(monkeypatch, odd=Importer("odd", "anything", lambda _: {"weights": 1}))  # type: ignore[arg-type,return-value]
    done = invoke(tmp_path, "-o", tmp_path / "m", "--format", "odd")
    assert "the importer 'odd' gave a dict, expected a Model" in str(done.exception)
    assert list(tmp_path.iterdir()) == []
