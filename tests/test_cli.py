"""The command line: help, exit status, messages, JSON, and what is (not) left on disk."""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import fxsim
from fxsim import paths
from fxsim.cli import main
from fxsim.cli.program import cli
from fxsim.contract import BIPOLAR, CHANNEL, COLUMN, ROW, TOKEN, Number, TableRule, Tensor
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.formats import load, model_sha256, save
from fxsim.formats.headers import export_headers
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Axis, Conv, Linear, Relu, Threshold
from tests.conftest import ROOT

COMMANDS = {
    "import": (
        "PATH", "-o", "--from", "--topology", "--input-number", "--layout", "auto", "out-in", "in-out", "--edge-rule",
        "--name", "--json",
    ),
    "export-headers": ("MODEL", "-o", "--layout", "out-in", "in-out"),
    "export-onnx": ("MODEL", "-o", "--taps", "all", "--batch", "dynamic"),
    "images": ("SOURCE", "-o", "--model", "--array", "--layout", "--images", "--patches", "--mean", "--step", "--json"),
    "info": ("MODEL", "--json"),
    "run": ("MODEL", "INPUT", "-o", "--taps", "--engine", "auto", "reference", "compiled", "numba", "--json"),
    "vectors": ("MODEL", "INPUT", "-o", "--taps", "--format", "hex", "npy", "coe", "--check"),
    "memory-image": ("MODEL", "-o", "--images", "INPUT.npy", "--name", "--buffer", "PARAMETER=SIZE", "--json"),
    "cosim": ("MODEL", "INPUT", "--accel", "stream", "--taps", "--stall", "--wave", "--json"),
    "dut": ("check",),
    "signoff": ("PLAN", "-o"),
    "flow": ("RECIPE", "-o", "--data-path", "--seed", "--signoff", "--json"),
    "train": ("RECIPE", "-o", "--data-path", "--seed", "--json"),
    "distill": ("RECIPE", "-o", "--teacher", "--data-path", "--seed", "--json"),
    "quantize": ("RECIPE", "FLOAT", "-o", "--teacher", "--data-path", "--seed"),
    "export": ("QUANTISED", "-o", "--name", "--points", "--rule", "clamp", "--method", "minimax", "--json"),
    "eval": (
        "MODEL",
        "--data",
        "digits",
        "--data-path",
        "--split",
        "--float",
        "--fake-quant",
        "--engine",
        "-o",
        "--json",
    ),
    "bridge": ("MODEL", "--data", "--data-path", "--input", "--model", "--images", "--engine", "-o", "--json"),
    "tables": ("MODEL", "--data", "--data-path", "--points", "-o", "--json"),
    "fit": ("-o", "--function", "--activations", "--steps", "--seed", "--json"),
    "bench": ("COMMAND", "nn"),
}  # fmt: skip
"""Words that the help of each command must have."""


@dataclass(frozen=True)
class Result:
    """The outcome of a command."""

    status: int
    out: str
    err: str


Call = Callable[..., Result]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """Runs the command line in this process."""

    def run(*args: str | Path) -> Result:
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main([str(arg) for arg in args])
        out, err = capfd.readouterr()
        assert isinstance(caught.value.code, int)
        return Result(caught.value.code, out, err)

    return run


def resmlp(config: ResMLPConfig, seed: int = 3, name: str = "small") -> Model:
    """A ResMLP with random parameters."""
    rng = np.random.default_rng(seed)
    parameters = {
        key: rng.integers(4, 9, shape).astype(np.uint8)
        if key.endswith(".shift")
        else rng.integers(-128, 128, shape).astype(np.int8)
        for key, shape in resmlp_parameters(config).items()
    }
    return Model(build_resmlp(config, parameters), name, {"source": "a test"})


SMALL = ResMLPConfig(4, 3, 5, 6, 1, 7, points=8, rule=TableRule.HOLD)


@dataclass(frozen=True)
class Files:
    """A small model, images for it, and a folder to write to."""

    folder: Path
    model: Path
    images: Path

    def left(self) -> set[str]:
        """Names of all that is in the folder, hidden files among them."""
        return {path.name for path in self.folder.iterdir()}


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """The small model and three images."""
    given, out = tmp_path / "given", tmp_path / "out"
    given.mkdir()
    out.mkdir()
    save(resmlp(SMALL), given / "small.safetensors")
    np.save(given / "images.npy", np.random.default_rng(4).integers(-128, 128, (3, 4, 3)).astype(np.int8))
    return Files(out, given / "small.safetensors", given / "images.npy")


def assert_one_error(result: Result, *parts: str) -> None:
    """Status 1, nothing on standard output, and one line on standard error that has all these parts."""
    assert result.status == 1
    assert result.out == ""
    assert result.err.startswith("fxsim: error: ")
    assert result.err.count("\n") == 1, result.err
    for part in parts:
        assert part in result.err


# --- help and usage ---


def test_help_lists_every_command(call: Call) -> None:
    """`fxsim --help` and `fxsim -h` name all commands, with a line for each."""
    for flag in ("--help", "-h"):
        result = call(flag)
        assert (result.status, result.err) == (0, "")
        for command in COMMANDS:
            assert f"\n  {command} " in result.out


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command_explains_its_options(command: str, call: Call) -> None:
    """`fxsim COMMAND --help` succeeds, shows usage, and mentions every argument and option."""
    result = call(command, "--help")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith(f"Usage: fxsim {command} ")
    for word in COMMANDS[command]:
        assert word in result.out, word


def test_version_is_the_packages(call: Call) -> None:
    """`fxsim --version` states the version that the package has."""
    result = call("--version")
    assert result.status == 0
    assert result.out == f"fxsim, version {fxsim.__version__}\n"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["simulate"], "No such command 'simulate'"),
        (["info"], "Missing argument 'MODEL'"),
        (["info", "a", "b"], "unexpected extra argument"),
        (["info", "a", "--jason"], "No such option"),
        (["import", "folder"], "Missing option '-o'"),
        (
            ["import", "folder", "-o", "m", "--layout", "sideways"],
            "'sideways' is not one of 'auto', 'out-in', 'in-out'",
        ),
        (["import", "folder", "-o", "m", "--edge-rule", "sharp"], "'sharp' is not one of"),
        (["export-headers", "m", "-o", "folder", "--layout", "auto"], "'auto' is not one of 'out-in', 'in-out'"),
        (
            ["run", "m", "x.npy", "-o", "y.npz", "--engine", "gpu"],
            "'gpu' is not one of 'auto', 'reference', 'compiled', 'numba'",
        ),
        (["vectors", "m", "x.npy", "-o", "d", "--format", "xml"], "'xml' is not one of"),
        (["cosim", "m", "x.npy", "--accel", "systolic"], "'systolic' is not"),
    ],
)
def test_wrong_usage_has_status_2(args: list[str], message: str, call: Call) -> None:
    """A command line that cannot be understood is explained on standard error, with status 2."""
    result = call(*args)
    assert (result.status, result.out) == (2, "")
    assert message in result.err
    assert "Usage: fxsim" in result.err


def test_what_takes_seconds_is_said(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """What fxsim logs stands on standard error, once however many commands a process calls; results are untouched."""
    monkeypatch.setattr(cli, "main", lambda *_, **__: logging.getLogger("fxsim").info("compiling %s", "it"))
    for _ in range(2):
        done = call()
        assert (done.status, done.out, done.err) == (0, "", "fxsim: compiling it\n")


def test_no_command_shows_the_help(call: Call) -> None:
    """`fxsim` alone shows what there is, and is no success."""
    result = call()
    assert result.status == 2
    assert "Commands:" in result.out + result.err


# --- errors a user can cause ---


@pytest.mark.parametrize("command", ["info", "export-headers", "run", "vectors", "cosim"])
def test_absent_and_damaged_models_are_one_error(command: str, call: Call, files: Files, tmp_path: Path) -> None:
    """Every command that takes a model names the file and what is wrong with it, and leaves nothing behind."""
    rest: dict[str, list[str | Path]] = {
        "info": [],
        "export-headers": ["-o", files.folder / "headers"],
        "run": [files.images, "-o", files.folder / "out.npz"],
        "vectors": [files.images, "-o", files.folder / "vectors"],
        "cosim": [files.images],
    }
    assert_one_error(call(command, tmp_path / "absent", *rest[command]), str(tmp_path / "absent"), "no such file")
    damaged = tmp_path / "damaged"
    damaged.write_bytes(files.model.read_bytes()[:-1])
    assert_one_error(call(command, damaged, *rest[command]), str(damaged), "not a whole safetensors file")
    assert files.left() == set()


@pytest.mark.parametrize("command", ["run", "vectors", "cosim"])
def test_stimulus_and_taps_that_do_not_fit_are_one_error(
    command: str, call: Call, files: Files, tmp_path: Path
) -> None:
    """Every command that takes images names the file and what was expected, or the tap and those there are."""
    rest: dict[str, list[str | Path]] = {
        "run": ["-o", files.folder / "out.npz"],
        "vectors": ["-o", files.folder / "vectors"],
        "cosim": [],
    }
    absent, wide = tmp_path / "absent.npy", tmp_path / "wide.npy"
    np.save(wide, np.zeros((3, 4, 3), np.int16))
    assert_one_error(call(command, files.model, absent, *rest[command]), str(absent), "no such file")
    assert_one_error(call(command, files.model, wide, *rest[command]), str(wide), "int16", "expected int8")
    result = call(command, files.model, files.images, *rest[command], "--taps", "embed,head")
    assert_one_error(result, "no tap 'head'", "embed", "classifier")
    assert files.left() == set()


def test_outputs_that_cannot_be_written_are_one_error(call: Call, files: Files) -> None:
    """A missing folder is named; a folder in the file's place is, too."""
    nowhere = files.folder / "absent" / "out.npz"
    result = call("run", files.model, files.images, "-o", nowhere, "--engine", "reference")
    assert_one_error(result, str(nowhere), "no folder")
    result = call("run", files.model, files.images, "-o", files.folder, "--engine", "reference")
    assert_one_error(result, str(files.folder), "not a regular file")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "not enough memory\n"),
        (MemoryError("Unable to allocate 175. TiB"), "not enough memory: Unable to allocate 175. TiB\n"),
        (PermissionError(13, "Permission denied", "some/file"), "some/file: Permission denied\n"),
        (OSError(28, "No space left on device"), "No space left on device\n"),
    ],
)
def test_what_the_system_refuses_is_one_error(
    error: Exception, message: str, call: Call, files: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory or a disk that is exhausted gives one line and status 1, wherever it happens."""

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("fxsim.cli.info.summarise", fail)
    result = call("info", files.model)
    assert_one_error(result, message)


def test_vectors_of_more_images_than_any_memory_are_refused(call: Call, files: Files) -> None:
    """`--random` has a maximum, which is named."""
    result = call("vectors", files.model, "--random", "1000000000000", "-o", files.folder / "vectors")
    assert (result.status, result.out) == (2, "")
    assert "not in the range 1<=x<=100000" in result.err
    assert files.left() == set()


@pytest.mark.parametrize("second_name", ["same", "symbolic link", "hard link"])
def test_outputs_never_replace_inputs(second_name: str, call: Call, files: Files) -> None:
    """An output that is one of the inputs, by whatever name, is refused, and the input stays as it was."""
    headers = files.folder / "headers"
    export_headers(load(files.model), headers)
    commands: list[tuple[Path, list[str | Path]]] = [
        (files.images, ["run", files.model, files.images, "--engine", "reference"]),
        (files.model, ["run", files.model, files.images, "--engine", "reference"]),
        *((path, ["import", headers, "--edge-rule", "hold"]) for path in sorted(headers.iterdir())),
    ]
    assert len(commands) == 4
    for number, (victim, command) in enumerate(commands):
        before, output = victim.read_bytes(), victim
        if second_name != "same":
            output = files.folder / f"other{number}"
            (output.symlink_to if second_name == "symbolic link" else output.hardlink_to)(victim)
        assert_one_error(call(*command, "-o", output), str(output), "read as an input")
        assert victim.read_bytes() == before
    model = headers / "quant_params.h"
    model.write_bytes(files.model.read_bytes())
    assert_one_error(call("export-headers", model, "-o", headers), str(model), "read as an input")
    assert model.read_bytes() == files.model.read_bytes()


HOSTILE = "[/foo] [bold]b[/bold] \x1b[31m\x9b2J\nnext"
"""A name that rich would take for wrong markup, and a terminal for commands."""
HARMLESS = "[/foo] [bold]b[/bold]  [31m 2J next"


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """A model of that name."""
    path = tmp_path / "hostile.safetensors"
    save(resmlp(SMALL, name=HOSTILE), path)
    return path


def test_names_from_files_are_never_obeyed(call: Call, files: Files, hostile: Path, tmp_path: Path) -> None:
    """A model's name is neither markup nor a terminal's command, in tables, in lines and in errors."""
    folder = files.folder / "v[out]"
    written = call("vectors", hostile, files.images, "-o", folder, "--engine", "reference")
    assert (written.status, written.err) == (0, "")
    shown = " ".join(written.out.split())
    assert f"v[out]: 3 images of {' '.join(HARMLESS.split())}" in shown
    checked = call("vectors", "--check", folder, "--engine", "reference")
    assert checked.status == 0
    assert HARMLESS in checked.out
    wide = tmp_path / "wide.npy"
    np.save(wide, np.zeros((3, 4, 9), np.int8))
    failed = call("run", hostile, wide, "-o", files.folder / "out.npz")
    assert_one_error(failed, HARMLESS)
    for result in (written, checked, failed, call("info", hostile)):
        assert all(c.isprintable() or c == "\n" for c in result.out + result.err), result


@pytest.mark.slow
def test_titles_of_plans_are_never_obeyed(call: Call, files: Files) -> None:
    """A plan whose title looks like markup is listed under that title."""
    plan = files.folder / "plan.toml"
    text = (paths.golden_dir() / "signoff.toml").read_text()
    plan.write_text(text.replace('title = "fxsim"', 'title = "[/x] [red]t"'))
    result = call("signoff", plan, "--list")
    assert (result.status, result.err) == (0, "")
    assert result.out.startswith("[/x] [red]t: ")


# --- import, export, info ---


def test_models_go_out_to_headers_and_back(call: Call, files: Files) -> None:
    """Export, then import with the rule stated, gives the same hash; both say what they wrote."""
    headers, again = files.folder / "headers", files.folder / "again.safetensors"
    result = call("export-headers", files.model, "-o", headers, "--layout", "in-out")
    assert result.status == 0
    assert result.out.split() == [str(headers / "quant_params.h"), str(headers / "lerp_psa_params.h")]
    result = call("import", headers, "-o", again, "--edge-rule", "hold", "--name", "again")
    assert (result.status, result.err) == (0, "")
    loaded = load(again)
    assert loaded.graph == load(files.model).graph
    assert loaded.name == "again"
    for part in (
        str(again),
        "PSA, 8 points, hold",
        "4 tokens x 3 values",
        "hidden 6",
        "layout in-out",
        model_sha256(loaded),
    ):
        assert part in result.out


def test_import_prints_one_object(call: Call, files: Files) -> None:
    """`import --json` prints what was read and from what, and nothing else."""
    export_headers(load(files.model), files.folder / "headers")
    result = call("import", files.folder / "headers", "-o", files.folder / "m", "--edge-rule", "hold", "--json")
    found = json.loads(result.out)
    assert (found["output"], found["name"]) == (str(files.folder / "m"), "headers")
    assert found["sha256"] == model_sha256(load(files.model))
    assert found["provenance"]["layout"] == "out-in"
    assert found["resmlp"] == {
        "tokens": 4, "values": 3, "channels": 5, "hidden": 6, "blocks": 1, "classes": 7, "points": 8, "rule": "hold",
    }  # fmt: skip


def test_failed_imports_leave_the_old_model(call: Call, files: Files) -> None:
    """Malformed headers give one error; no file appears, and an older one of that name stays as it was."""
    headers, target = files.folder / "headers", files.folder / "m"
    export_headers(load(files.model), headers)
    text = (headers / "quant_params.h").read_text()
    (headers / "quant_params.h").write_text(text[: len(text) // 2])
    assert_one_error(call("import", headers, "-o", target), str(headers / "quant_params.h"), "line ")
    assert files.left() == {"headers"}
    target.write_bytes(files.model.read_bytes())
    assert_one_error(call("import", headers, "-o", target), "line ")
    assert target.read_bytes() == files.model.read_bytes()
    assert files.left() == {"headers", "m"}
    assert_one_error(call("import", files.folder / "absent", "-o", target), "absent", "no such folder")


def test_info_shows_the_models_figures(call: Call, files: Files) -> None:
    """Dimensions, cost, ranges, every tap, provenance and hash, from the model itself."""
    result = call("info", files.model)
    assert (result.status, result.err) == (0, "")
    macs = 4 * 15 + (4 * 4 * 5 + 4 * 30 + 4 * 30) + 35
    for part in (
        "small",
        "ResMLP, PSA, tables of 8 points, edge rule hold",
        "4 tokens x 3 values, 5 channels, hidden 6, 1 blocks, 7 classes",
        f"{macs:,} MACs",
        "88 bytes of tables",
        "a test",
        model_sha256(load(files.model)),
    ):
        assert part in result.out, part
    for node in load(files.model).graph.nodes:
        assert node.name.rpartition(".")[2] in result.out


def test_info_says_how_the_engine_makes_sums(call: Call, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --engine, MODEL may be left out; with it, each linear's sums are counted, as text and as JSON."""
    monkeypatch.setenv("FXSIM_ISA", "plain")
    alone, result = call("info", "--engine"), call("info", files.model, "--engine")
    assert (alone.status, result.status) == (0, 0)
    assert "instruction set: plain" in alone.out
    assert result.out.startswith(alone.out)
    linears = [node.name for node in load(files.model).graph.nodes if node.op.kind == "linear"]
    lines = result.out.splitlines()[-len(linears) :]
    assert [line.split()[0] for line in lines] == linears
    assert all(line.endswith("in 32 bits") for line in lines)
    stated = json.loads(call("info", files.model, "--engine", "--json").out)
    assert [(one["node"], one["runs"]) for one in stated["linears"]] == [(name, 0) for name in linears]
    for isa in {"avx2", "ssse3"}.intersection(stated["able"]):
        monkeypatch.setenv("FXSIM_ISA", isa)
        text = call("info", files.model, "--engine").out
        for one in json.loads(call("info", files.model, "--engine", "--json").out)["linears"]:
            assert (one["runs"] > 0) == (one["over"] == "channels")
            if one["runs"]:
                assert f"in 16 bits: {one['runs']} runs of" in text
                assert f"{one['halved']} of {one['groups']} groups" in text


def test_info_says_how_the_engine_makes_products(call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a graph over pixels each convolution and linear is listed, as text and JSON; what is not taken is named."""
    bits = Threshold(np.zeros((5, 1), np.int32), np.ones(5, np.uint8), np.array([-1, 1], np.int8), BIPOLAR)
    image, plain = (2, 3, 5), (np.zeros(1, np.int16), np.zeros(1, np.uint8))
    nodes = [
        Node("first", Conv(np.ones((5, 1, 1, 5), np.int8)), ("input",)),
        Node("bits", bits, ("first",)),
        Node("second", Conv(np.ones((7, 2, 2, 5), np.int8), padding=(1, 0, 0, 0)), ("bits",)),
        Node("third", Linear(np.full((1, 7), 3, np.int8), *plain, acc_bits=26, out=Number(16)), ("second",)),
    ]
    over_tokens = Linear(np.ones((4, 4), np.int8), np.zeros(4, np.int8), np.zeros(4, np.uint8), over=Axis.TOKENS)
    tokens = Graph(
        Tensor((TOKEN, CHANNEL), (4, 5)), [Node("mixed", over_tokens, ("input",)), Node("last", bits, ("mixed",))]
    )
    tensor = Tensor((ROW, COLUMN, CHANNEL), image)
    taken, refused = tmp_path / "taken.safetensors", tmp_path / "refused.safetensors"
    save(Model(Graph(tensor, nodes), "taken"), taken)
    save(Model(tokens, "refused"), refused)
    monkeypatch.setenv("FXSIM_ISA", "plain")
    assert call("info", taken, "--engine").out.splitlines()[-3:] == [
        f"{name}  multiplied in 16 bits, 2 at once" for name in ("first ", "second", "third ")
    ]
    able = json.loads(call("info", "--engine", "--json").out)["able"]
    halves, fours = ("in 16 bits", 2), ("as bytes", 4)
    for isa, (form, together) in {"ssse3": halves, "avx2": halves, "avxvnni": fours, "avx512": fours}.items():
        if isa in able:
            monkeypatch.setenv("FXSIM_ISA", isa)
            # Of 2 x 2 places and two fours of the five channels, for 7 outputs at 2 x 2 places.
            assert json.loads(call("info", taken, "--engine", "--json").out)["products"] == [
                {"node": "first", "form": f"multiplied {form}", "together": together, "lookups": 0},
                {"node": "second", "form": "looked up", "together": 4, "lookups": 2 * 2 * 2 * 7 * 2 * 2},
                {"node": "third", "form": "multiplied in 16 bits", "together": 2, "lookups": 0},
            ]
            assert "second  looked up, 4 at once, 224 lookups an image" in call("info", taken, "--engine").out
    result = call("info", refused, "--engine")
    assert (result.status, result.out) == (1, "")
    assert "node 'mixed': the compiled engine beside convolutions takes a linear over channels" in result.err


def test_info_prints_one_object(call: Call, files: Files) -> None:
    """`info --json` has the same figures by name, each operator with its proven bits."""
    result = call("info", files.model, "--json")
    assert (result.status, result.err) == (0, "")
    found = json.loads(result.out)
    assert found["sha256"] == model_sha256(load(files.model))
    assert found["table_bytes"] == 88
    assert found["resmlp"]["hidden"] == 6
    operators = {op["tap"]: op for op in found["operators"]}
    assert list(operators) == list(load(files.model).graph.taps)
    assert (operators["pool"]["acc_bits_needed"], operators["pool"]["acc_bits"]) == (10, 10)
    assert operators["blocks.0.token_mixer.linear"]["over"] == "tokens"
    assert operators["blocks.0.mlp.psa_1"]["rule"] == "hold"


def test_info_of_a_large_model_fits_100_columns(call: Call, tmp_path: Path) -> None:
    """A paper-sized model is shown without folding: a line a tap, none over 100 columns."""
    config = ResMLPConfig(64, 48, 96, 192, 4, 10, points=64, rule=TableRule.CLAMP)
    save(resmlp(config), tmp_path / "m")
    lines = call("info", tmp_path / "m").out.splitlines()
    assert max(map(len, lines)) <= 100
    start = next(i for i, line in enumerate(lines) if line.split()[:2] == ["tap", "operator"])
    shown = [line.split()[0] for line in lines[start + 2 :] if line.strip()]
    sections = [f"blocks.{i}.{part}" for i in range(4) for part in ("token_mixer", "mlp")]
    assert [name for name in shown if name in sections] == sections
    taps = load(tmp_path / "m").graph.taps
    assert [name for name in shown if name not in sections] == [tap.rpartition(".")[2] for tap in taps]


def test_info_takes_any_graph_and_any_name(call: Call, tmp_path: Path) -> None:
    """A graph that is no ResMLP is shown, too, and text from files is never taken for markup."""
    model = Model(
        Graph((4, 3), (Node("a", Relu(), ("input",)),)), "[bold]x[/bold] [/nothing]", {"[red]": ":smile:\n\x1b[31mb"}
    )
    save(model, tmp_path / "m")
    result = call("info", tmp_path / "m")
    assert (result.status, result.err) == (0, "")
    for part in (
        "[bold]x[/bold] [/nothing]",
        "[red]",
        ":smile:  [31mb",
        "graph of 1 operators",
        "4 x 3 (tokens x values)",
    ):
        assert part in result.out


# --- run ---


def test_run_writes_what_the_library_computes(call: Call, files: Files) -> None:
    """`fxsim run` writes the arrays that `fxsim.run` returns, by tap name."""
    out = files.folder / "out.npz"
    result = call("run", files.model, files.images, "-o", out, "--taps", "all", "--engine", "reference", "--json")
    assert (result.status, result.err) == (0, "")
    model = fxsim.load(files.model)
    expected = fxsim.run(model, np.load(files.images), "all", "reference")
    with np.load(out, allow_pickle=False) as found:
        assert found.files == list(model.graph.taps)
        for name, array in expected.items():
            assert np.array_equal(found[name], array)
    summary = json.loads(result.out)
    assert (summary["images"], summary["taps"], summary["engine"]) == (3, list(model.graph.taps), "reference")
    assert sum(summary["predicted"]) == 3
    assert files.left() == {"out.npz"}


def test_run_takes_the_classifier_by_default(call: Call, files: Files) -> None:
    """Without `--taps` the class scores are written."""
    result = call("run", files.model, files.images, "-o", files.folder / "out.npz", "--engine", "reference")
    assert result.status == 0
    with np.load(files.folder / "out.npz", allow_pickle=False) as found:
        assert found.files == ["classifier"]
        assert found["classifier"].shape == (3, 7)


# --- vectors and sign-off ---


def test_vectors_are_written_and_checked(call: Call, files: Files) -> None:
    """What is written passes the check; a changed value fails it with status 1."""
    folder = files.folder / "vectors"
    args: list[Any] = ["vectors", files.model, files.images, "-o", folder, "--taps", "embed,classifier"]
    assert call(*args, "--engine", "reference").status == 0
    assert call("vectors", "--check", folder, "--engine", "reference").status == 0
    victim = next(path for path in sorted(folder.rglob("*")) if path.is_file() and "embed" in path.name)
    content = victim.read_bytes()
    victim.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    result = call("vectors", "--check", folder, "--engine", "reference")
    assert result.status == 1
    assert victim.name in result.out + result.err


def test_absent_plans_are_one_error(call: Call, files: Files) -> None:
    """`fxsim signoff` names a plan that is not there, and writes no report."""
    result = call("signoff", files.folder / "absent.toml", "-o", files.folder / "reports")
    assert_one_error(result, "absent.toml")
    assert files.left() == set()


@pytest.mark.parametrize(
    "option", [["--taps", "embed"], ["--taps", "classifier"], ["--format", "hex"], ["--seed", "0"]]
)
def test_checks_of_vectors_take_no_options_of_writing(option: list[str], call: Call, files: Files) -> None:
    """What would say nothing to a check is refused beside `--check`, even where it is the default."""
    folder = files.folder / "vectors"
    assert call("vectors", files.model, files.images, "-o", folder, "--engine", "reference").status == 0
    result = call("vectors", "--check", folder, *option)
    assert (result.status, result.out) == (2, "")
    assert "--check DIR goes with --model, --engine and --json only" in result.err


# --- as a program ---


def program(*args: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the installed `fxsim`."""
    command = [str(Path(sys.executable).with_name("fxsim")), *map(str, args)]
    return subprocess.run(command, text=True, capture_output=True, check=False, **options)


def test_installed_program_has_the_same_statuses(files: Files) -> None:
    """0 for success, 1 for bad input, 2 for a bad command line, from the shell's point of view."""
    assert program("info", files.model).returncode == 0
    failed = program("info", files.folder / "absent")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert "Traceback" not in failed.stderr
    assert program("info").returncode == 2


def test_readers_that_stop_early_are_no_crash(files: Files) -> None:
    """`fxsim info MODEL | head -0` ends quietly."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w") as closed:
        result = subprocess.run(
            [str(Path(sys.executable).with_name("fxsim")), "info", str(files.model)],
            stdout=closed, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert result.returncode != 0
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("args", [["info", "MODEL"], ["info", "MODEL", "--json"], ["--help"], ["--version"]])
def test_output_that_finds_no_space_is_an_error(args: list[str], files: Files) -> None:
    """`fxsim info MODEL > /dev/full` says so in one line, with a status of its own: no check failed."""
    with Path("/dev/full").open("w") as full:
        result = subprocess.run(
            [str(Path(sys.executable).with_name("fxsim")), *(str(files.model) if a == "MODEL" else a for a in args)],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    assert (result.returncode, result.stderr) == (74, "fxsim: error: standard output: No space left on device\n")


def test_closed_output_is_no_crash(files: Files) -> None:
    """With standard output closed (`>&-`), what was to be printed there is lost, as on a full disk; nothing else is."""
    lost = "fxsim: error: standard output: Bad file descriptor\n"
    absent = f"fxsim: error: {files.folder}/absent: there is no such file\n"
    for model, status, said in ((files.model, 74, lost), (files.folder / "absent", 1, absent)):
        for json_option in ([], ["--json"]):
            result = shell('"$@" >&-', "info", model, *json_option)
            assert (result.returncode, result.stderr) == (status, said)
    vectors = shell('"$@" >&-', "vectors", files.model, files.images, "-o", files.folder / "v")
    assert (vectors.returncode, (files.folder / "v").is_dir()) == (74, True)
    into = shell('"$@" -o /dev/stdout >&-', "run", files.model, files.images, "--engine", "reference")
    assert into.returncode == 1
    assert into.stderr.count("cannot write /dev/stdout") == 1


def shell(script: str, *args: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the installed `fxsim` in a shell, as "$@"."""
    command = ["sh", "-c", script, "sh", str(Path(sys.executable).with_name("fxsim")), *map(str, args)]
    return subprocess.run(command, text=True, capture_output=True, check=False, **options)


CHECKED = """title = "t"
seed = 1
models = { m = { file = "m.safetensors" } }
stimuli = { x = { draw = "uniform", images = 1 } }
[[check]]
kind = "accumulators"
name = "accumulators"
about = "a"
models = ["m"]
[[check]]
kind = "vectors"
name = "vectors"
about = "a"
directories = ["absent"]
"""
"""A plan of a check that passes and one that does not."""


@pytest.mark.parametrize(
    ("streams", "only", "status"),
    [
        ("2>&-", "vectors", 1),
        ("2>/dev/full", "accumulators", 0),
        (">&- 2>&- <&-", "accumulators", 74),
        (">/dev/full", "accumulators", 74),
        (">/dev/full 2>/dev/full", "vectors", 1),
    ],
)
def test_streams_that_take_nothing_do_not_end_the_work(streams: str, only: str, status: int, files: Files) -> None:
    """With closed or full streams a sign-off is carried out and recorded, and its status is the verdict's.

    Where standard output was asked for and lost, a run that passed has a status of its own.
    """
    shutil.copy(files.model, files.folder / "m.safetensors")
    (files.folder / "plan.toml").write_text(CHECKED)
    reports = files.folder / "reports"
    done = shell(f'"$@" {streams}', "signoff", files.folder / "plan.toml", "-o", reports, "--only", only)
    record = json.loads((reports / "signoff.json").read_text())
    assert record["complete"]
    assert record["passed"] == (only == "accumulators")
    assert done.returncode == status
    if streams == ">/dev/full":
        assert done.stderr.endswith("fxsim: error: standard output: No space left on device\n")
    assert (reports / "signoff.html").read_text().startswith("<!DOCTYPE html>")


@pytest.mark.slow
@pytest.mark.parametrize("streams", ["2>&-", "<&- >&- 2>&-"])
def test_checks_side_by_side_need_no_streams(streams: str, files: Files) -> None:
    """With closed streams the processes that carry out checks have some, and the verdicts are those of one process."""
    shutil.copy(files.model, files.folder / "m.safetensors")
    (files.folder / "plan.toml").write_text(CHECKED)
    done = shell(f'"$@" {streams}', "signoff", files.folder / "plan.toml", "-o", files.folder / "r", "--jobs", "2")
    record = json.loads((files.folder / "r" / "signoff.json").read_text())
    passed, failed = record["checks"]
    assert (passed["name"], passed["status"]) == ("accumulators", "passed")
    assert failed["name"] == "vectors"
    assert failed["reason"].startswith(f"{files.folder}/absent")
    assert done.returncode == 1


def test_a_closed_stream_is_not_taken_for_a_file(files: Files) -> None:
    """What a command says does not get into the file that is opened while standard error is closed."""
    out = files.folder / "out.npz"
    done = shell('"$@" <&- 2>&-', "run", files.model, files.images, "-o", out, "--engine", "reference")
    assert (done.returncode, done.stderr) == (0, "")
    with np.load(out, allow_pickle=False) as found:
        assert found["classifier"].shape == (3, 7)


@pytest.mark.parametrize("locale", [{}, {"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}])
def test_names_keep_their_letters(locale: dict[str, str], files: Files) -> None:
    """Names are shown as they are under any locale, in messages and in JSON; bytes that are no letters by their number.

    JSON is UTF-8 whatever the terminal is told.
    """
    for name, shown in (("gr\u00f6\u00dfe \u7f51", "gr\u00f6\u00dfe \u7f51"), (os.fsdecode(b"b\xe9d"), "b\\xe9d")):
        folder = files.folder / name
        folder.mkdir()
        shutil.copy(files.model, folder / "m")
        environment = os.environ | locale
        arguments = ("run", folder / "m", files.images, "-o", folder / "out.npz", "--engine", "reference")
        printed = program(*arguments, "--json", env=environment, encoding="utf-8")
        assert json.loads(printed.stdout)["output"] == f"{files.folder}/{shown}/out.npz", printed.stderr
        failed = program("info", folder / "absent", env=environment, encoding="utf-8")
        assert failed.stderr == f"fxsim: error: {files.folder}/{shown}/absent: there is no such file\n"
        assert (folder / "out.npz").is_file()


def test_package_runs_as_a_module(files: Files) -> None:
    """`python -m fxsim` is the same program, under the same name."""
    command = [sys.executable, "-m", "fxsim"]
    shown = subprocess.run([*command, "info", str(files.model)], text=True, capture_output=True, check=False)
    assert (shown.returncode, shown.stdout) == (0, program("info", files.model).stdout)
    failed = subprocess.run([*command, "info"], text=True, capture_output=True, check=False)
    assert failed.returncode == 2
    assert failed.stderr.startswith("Usage: fxsim info ")


# --- published data ---


def test_published_models_import_from_the_command_line(published: Path, call: Call, tmp_path: Path) -> None:
    """The three published folders become models; both designs' PSA models are one network."""
    hashes, shifts = {}, set()
    for folder in ("stream_psa_h96", "simd_psa_h96", "stream_relu_h96"):
        target = tmp_path / f"{folder}.safetensors"
        result = call("import", published / folder, "-o", target)
        assert (result.status, result.err) == (0, "")
        info = json.loads(call("info", target, "--json").out)
        assert info["macs"] == 6_587_328
        shifts.update(info["shifts"])
        hashes[folder] = info["sha256"]
    assert (min(shifts), max(shifts)) == (4, 16)
    assert hashes["stream_psa_h96"] == hashes["simd_psa_h96"] != hashes["stream_relu_h96"]


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments", [["info", "--json"], ["info"], ["tables", "--points", "8"], ["tables", "--points", "8", "--json"]]
)
def test_closed_pipe_is_no_failed_check(arguments: list[str], unbuffered: str) -> None:
    """Where nobody reads the output any more, status 141 as of other programs, not 1, and not a word."""
    reader, writer = os.pipe()
    os.close(reader)
    model = paths.golden_dir() / "digits_small.safetensors"
    with os.fdopen(writer, "wb") as output:
        done = subprocess.run(
            [sys.executable, "-m", "fxsim", arguments[0], str(model), *arguments[1:]],
            stdout=output, stderr=subprocess.PIPE, check=False, env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (141, b"")


def test_export_says_what_it_clips(call: Call, files: Files) -> None:
    """Clipped weights are named by tensor, place and size, in words and in JSON; a shift that clips none says so."""
    torch = pytest.importorskip("torch")
    from fxsim.networks.checkpoint import load_quantised, save_checkpoint
    from fxsim.networks.quantised import ShiftRule

    source = ROOT / "golden" / "checkpoints" / "digits_small.safetensors"
    network, found = load_quantised(source)
    network.choose_shifts(ShiftRule.FLOOR)
    with torch.no_grad():
        for tap in network.weighted_taps():
            network.weighted(tap).bias.zero_()
        step = network.weighted("embed").weight_step(network.step("input"), network.step("embed"))
        network.weighted("embed").weight[3, 1] = 200.25 * step[3, 0]
    save_checkpoint(network, files.folder / "q.safetensors", found.preprocessing, found.provenance)
    output = files.folder / "m.safetensors"
    result = call("export", files.folder / "q.safetensors", "-o", output, "--json")
    assert result.status == 0, result.err
    content = json.loads(result.out)
    assert content["sha256"] == model_sha256(load(output))
    assert content["clipped"] == [
        {"tensor": "embed.weight", "count": 1, "values": 64, "index": [3, 1], "code": 200.25, "stored": 127}
    ]
    result = call("export", files.folder / "q.safetensors", "-o", output)
    assert "clipped: 1 of 64 values of embed.weight, furthest [3][1]: 200.2 steps, stored as 127" in result.out
    with torch.no_grad():
        network.weighted("embed").weight[3, 1] = 0
    save_checkpoint(network, files.folder / "q.safetensors", found.preprocessing, found.provenance)
    assert "no weight or bias is clipped" in call("export", files.folder / "q.safetensors", "-o", output).out
