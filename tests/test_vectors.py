"""Test vectors: what is written is right in every format, and whatever is changed afterwards is found and named."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from fxsim.cli.vectors import command
from fxsim.engines import run
from fxsim.errors import FileError, FxsimError, StimulusError
from fxsim.formats import load, model_sha256, save
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Relu
from fxsim.paths import golden_dir
from fxsim.vectors import DRAWS, FORMATS, MANIFEST, check_vectors, draw_stimulus, read_manifest, write_vectors
from tests.strategies import images, models

Array = npt.NDArray[np.int8]


@pytest.fixture(scope="module")
def model() -> Model:
    """The small golden PSA model."""
    return load(golden_dir() / "small.safetensors")


@pytest.fixture(scope="module")
def x() -> Array:
    """Three of its images."""
    stimulus: Array = np.load(golden_dir() / "images_16x12.npy", allow_pickle=False)[:3]
    return stimulus


def cli(*arguments: str | Path) -> Result:
    """`fxsim vectors` with these arguments; FxsimErrors come as exceptions."""
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def messages(folder: Path, **options: Any) -> list[str]:
    """The problems that a check finds."""
    result = check_vectors(folder, engine="reference", **options)
    assert result.passed == (not result.problems)
    return [problem.message for problem in result.problems]


# --- what is written ---


def read_hex(path: Path) -> Array:
    """Two's complement bytes, one a line."""
    return np.array([int(line, 16) for line in path.read_text().splitlines()], np.uint8).view(np.int8)


def read_coe(path: Path) -> Array:
    """A Xilinx memory initialisation file, by its documented syntax."""
    text = re.sub(r";[^\n]*\n", "", path.read_text(), count=1)  # the comment on the first line
    match = re.fullmatch(
        r"\s*memory_initialization_radix\s*=\s*16;\s*memory_initialization_vector\s*=\s*([0-9a-f,\s]+);\s*", text
    )
    assert match is not None
    return np.array([int(word, 16) for word in match[1].split(",")], np.uint8).view(np.int8)


def read_npy(path: Path) -> Array:
    """Numpy's own."""
    array: Array = np.load(path, allow_pickle=False)
    return array


def read_c(path: Path) -> Array:
    """The array of a header, as a C compiler reads it and a program prints it."""
    symbol = re.search(r"int8_t (\w+)\[", path.read_text())
    assert symbol is not None
    source = f"""#include <stdio.h>
#include "{path}"
#include "{path}"
int main(void) {{ for (unsigned i = 0; i < sizeof {symbol[1]}; i++) printf("%d\\n", {symbol[1]}[i]); return 0; }}"""
    flags = ("-Wall", "-Wextra", "-Werror", "-pedantic", "-std=c99")
    program = path.with_suffix(".out")
    subprocess.run(["gcc", *flags, "-x", "c", "-", "-o", program], input=source, text=True, check=True)
    return np.array(subprocess.run([program], capture_output=True, check=True).stdout.split(), np.int8)


READERS: dict[str, Callable[[Path], Array]] = {"hex": read_hex, "npy": read_npy, "coe": read_coe, "c": read_c}


@pytest.mark.parametrize("data_format", FORMATS)
def test_files_hold_stimulus_and_expected_values(model: Model, x: Array, tmp_path: Path, data_format: str) -> None:
    """Every file, read by a reader of its format, holds the stimulus or its tap's values in C order."""
    taps = ("embed", "blocks.0.token_mixer.linear", "pool", "classifier")
    folder = tmp_path / "v"
    manifest = write_vectors(model, x, folder, taps, data_format)
    expected = run(model, x, taps, engine="reference")
    read = READERS[data_format]
    assert np.array_equal(read(folder / f"stimulus{FORMATS[data_format].suffix}").ravel(), x.ravel())
    kept = {tap.name: tap for tap in manifest.taps if tap.file is not None}
    assert tuple(kept) == taps
    for name, tap in kept.items():
        assert tap.file is not None
        path = folder / tap.file.path
        assert path.stat().st_size == tap.file.bytes
        found = read(path)
        assert np.array_equal(found.ravel(), expected[name].ravel()), name
        if data_format == "npy":
            assert found.shape == expected[name].shape
    assert np.array_equal(np.load(folder / "stimulus.npy"), x)
    assert load(folder / "model.safetensors").graph == model.graph


def test_hex_is_read_by_a_verilog_simulator(model: Model, x: Array, tmp_path: Path) -> None:
    """$readmemh of Icarus Verilog reads a .hex file to exactly the expected values."""
    write_vectors(model, x, tmp_path / "v", "classifier", "hex")
    expected = run(model, x, "classifier", engine="reference")["classifier"].ravel()
    (tmp_path / "t.v").write_text(f"""module t;
  reg signed [7:0] memory [0:{len(expected) - 1}];
  integer i;
  initial begin
    $readmemh("{tmp_path}/v/taps/classifier.hex", memory);
    for (i = 0; i < {len(expected)}; i = i + 1) $display("%0d", memory[i]);
  end
endmodule
""")
    subprocess.run(["iverilog", "-o", tmp_path / "t.vvp", tmp_path / "t.v"], check=True)
    done = subprocess.run(["vvp", "-n", tmp_path / "t.vvp"], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert [int(line) for line in done.stdout.split()] == expected.tolist()


def test_manifest_describes_the_folder(model: Model, x: Array, tmp_path: Path) -> None:
    """The manifest states shapes, index names, the streams' order, hashes, seed, and every tap's digest."""
    write_vectors(model, x, tmp_path / "v", "classifier", seed=42)
    manifest = json.loads((tmp_path / "v" / MANIFEST).read_text())
    assert manifest["model"]["sha256"] == model_sha256(model)
    assert manifest["stimulus"]["shape"] == [3, 16, 12]
    assert manifest["stimulus"]["index"] == ["image", "token", "value"]
    assert manifest["stimulus"]["seed"] == 42
    assert manifest["engine"] == "numba"
    taps = {tap["name"]: tap for tap in manifest["taps"]}
    assert list(taps) == list(model.graph.taps)
    assert taps["pool"]["index"] == ["image", "channel"]
    assert taps["embed"]["index"] == ["image", "token", "channel"]
    assert taps["embed"]["shape"] == [16, 10]
    channel_major = [name for name, tap in taps.items() if tap["stream_order"] == "channels"]
    assert channel_major == ["blocks.0.token_mixer.linear", "blocks.1.token_mixer.linear"]
    assert [name for name, tap in taps.items() if tap["file"]] == ["classifier"]


def test_same_input_gives_same_bytes(model: Model, x: Array, tmp_path: Path) -> None:
    """Written twice, by either engine, a folder differs in nothing but the engine's name."""
    write_vectors(model, x, tmp_path / "a", "all", engine="reference")
    write_vectors(model, x, tmp_path / "b", "all", engine="numba")
    for path in sorted((tmp_path / "a").rglob("*.*")):
        other = tmp_path / "b" / path.relative_to(tmp_path / "a")
        assert path.read_bytes().replace(b'"reference"', b'"numba"') == other.read_bytes(), path.name


@pytest.mark.slow
@given(st.data())
@settings(max_examples=25)
def test_any_graph_round_trips(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    """Vectors of any graph, in any format, with any taps, pass their own check."""
    model = data.draw(models())
    x = data.draw(images(model))
    taps = data.draw(st.lists(st.sampled_from(model.graph.taps), min_size=1))
    data_format = data.draw(st.sampled_from(list(FORMATS)))
    folder = tmp_path_factory.mktemp("vectors") / "v"
    write_vectors(model, x, folder, taps, data_format, engine="reference")
    assert messages(folder, model=model) == []
    shutil.rmtree(folder)


def test_symbols_of_different_taps_differ(x: Array, tmp_path: Path) -> None:
    """Taps whose names differ in a dot only have C arrays of different names."""
    nodes = (Node("a.b", Relu(), ("input",)), Node("a_b", Relu(), ("a.b",)))
    manifest = write_vectors(Model(Graph((16, 12), nodes), "dots"), x, tmp_path / "v", "all", "c")
    symbols = [file.symbol for file in manifest.files() if file.path.startswith("taps/")]
    assert len(set(symbols)) == 2
    assert all(re.fullmatch(r"[a-z]\w*", symbol) for symbol in symbols)


def test_draws_are_what_they_say() -> None:
    """`uniform` covers int8; `extreme` is both ends and nothing else; seeds repeat; unknown ways are refused."""
    uniform = draw_stimulus("uniform", 20, (16, 12), 5)
    assert len(np.unique(uniform)) == 256
    extreme = draw_stimulus("extreme", 20, (16, 12), 5)
    assert np.unique(extreme).tolist() == [-128, 127]
    assert len(np.unique(extreme[0])) == len(np.unique(extreme[-1])) == 1
    for draw in DRAWS:
        again = draw_stimulus(draw, 20, (16, 12), 5)
        assert np.array_equal(again, {"uniform": uniform, "extreme": extreme}[draw])
        assert not np.array_equal(again, draw_stimulus(draw, 20, (16, 12), 6))
    with pytest.raises(StimulusError, match="no way 'odd'"):
        draw_stimulus("odd", 1, (2, 2), 0)


# --- where it is written ---


def test_foreign_folder_is_left_alone(model: Model, x: Array, tmp_path: Path) -> None:
    """A folder with anything else in it is refused; --force replaces it; vectors replace vectors without."""
    folder = tmp_path / "v"
    folder.mkdir()
    write_vectors(model, x, folder, "classifier")  # empty: fine
    write_vectors(model, x[:1], folder, "pool")
    assert {p.name for p in (folder / "taps").iterdir()} == {"pool.hex"}
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(FileError, match=r"holds 'notes.txt'"):
        write_vectors(model, x, folder)
    assert (folder / "notes.txt").read_text() == "mine"
    write_vectors(model, x, folder, force=True)
    assert not (folder / "notes.txt").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "x").touch()
    with pytest.raises(FileError, match="not empty and holds no vectors"):
        write_vectors(model, x, other)
    with pytest.raises(FileError, match="is not a folder"):
        write_vectors(model, x, other / "x")
    with pytest.raises(FileError, match="there is no folder"):
        write_vectors(model, x, tmp_path / "a" / "b")
    assert {p.name for p in tmp_path.iterdir()} == {"v", "other"}


def test_failure_leaves_nothing_behind(model: Model, x: Array, tmp_path: Path) -> None:
    """An error while vectors are written leaves the old folder as it was, and no other."""
    write_vectors(model, x, tmp_path / "v", "classifier")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    calls = []

    def fails(done: int, total: int) -> None:
        calls.append((done, total))
        raise RuntimeError("disk gone")

    with pytest.raises(RuntimeError):
        write_vectors(model, x, tmp_path / "v", "all", progress=fails)
    assert calls == [(3, 3)]
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


def test_old_folder_returns_where_the_new_one_cannot_take_its_place(
    model: Model, x: Array, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the very last step fails, the folder that was there is there again, and no other."""
    target = tmp_path / "v"
    write_vectors(model, x, target, "classifier")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    rename = Path.rename
    refused: list[Path] = []

    def refuse_once(self: Path, to: Path) -> Path:
        if to == target and not refused:
            refused.append(self)
            raise PermissionError(13, "not now")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", refuse_once)
    with pytest.raises(FileError, match="not now"):
        write_vectors(model, x, target, "all")
    assert len(refused) == 1
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before
    assert [p.name for p in tmp_path.iterdir()] == ["v"]


@pytest.mark.parametrize("seed", [-1, 2**63, 2**70])
def test_seed_that_cannot_be_drawn_from_is_refused(model: Model, x: Array, tmp_path: Path, seed: int) -> None:
    """A seed below 0 or beyond 63 bits is an error where it is drawn from, written, and read in a manifest."""
    for draw in DRAWS:
        with pytest.raises(StimulusError, match=f"seed is {seed}, expected 0 to {2**63 - 1}"):
            draw_stimulus(draw, 1, (16, 12), seed)
    with pytest.raises(StimulusError, match=f"seed is {seed}"):
        write_vectors(model, x, tmp_path / "v", seed=seed)
    assert list(tmp_path.iterdir()) == []
    drawn = draw_stimulus("uniform", 1, (16, 12), 2**63 - 1)
    write_vectors(model, drawn, tmp_path / "v", seed=2**63 - 1, draw="uniform")
    assert messages(tmp_path / "v") == []
    manifest = tmp_path / "v" / MANIFEST
    manifest.write_text(manifest.read_text().replace(f'"seed": {2**63 - 1}', f'"seed": {seed}'))
    with pytest.raises(FileError, match=r"manifest\.json: .*seed"):
        check_vectors(tmp_path / "v")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"taps": "nonsense"}, "no tap 'nonsense'"),
        ({"data_format": "vcd"}, "no vector format 'vcd'"),
        ({"engine": "quick"}, "no engine 'quick'"),
        ({"x": np.zeros((0, 16, 12), np.int8)}, "no images"),
        ({"x": np.zeros((1, 16, 11), np.int8)}, "shape"),
    ],
)
def test_wrong_arguments_are_one_error(
    model: Model, x: Array, tmp_path: Path, change: dict[str, Any], match: str
) -> None:
    """An unknown tap, format or engine, or an unfit stimulus, is named, and nothing is written."""
    with pytest.raises(StimulusError, match=match):
        write_vectors(model, **{"x": x, "directory": tmp_path / "v", **change})
    assert list(tmp_path.iterdir()) == []


# --- what the check finds ---


@pytest.fixture
def folder(model: Model, x: Array, tmp_path: Path) -> Path:
    """A fresh folder of hex vectors of all taps."""
    write_vectors(model, x, tmp_path / "v", "all")
    return tmp_path / "v"


@pytest.mark.parametrize("data_format", FORMATS)
@pytest.mark.parametrize(("tap", "place"), [("embed", (2, 15, 9)), ("classifier", (1, 0)), ("pool", (0, 3))])
def test_changed_value_is_named(
    model: Model, x: Array, tmp_path: Path, data_format: str, tap: str, place: tuple[int, ...]
) -> None:
    """A changed value is named by file, image, token, channel, expected and found value, in every format."""
    folder = tmp_path / "v"
    write_vectors(model, x, folder, tap, data_format)
    expected = run(model, x, tap, engine="reference")[tap]
    wrong = expected.copy()
    wrong[place] = -77
    assert expected[place] != -77
    fmt = FORMATS[data_format]
    path = folder / f"taps/{tap}{fmt.suffix}"
    header_bytes = path.stat().st_size - expected.size * fmt.slot + len(fmt.separator) - len(fmt.footer)
    data = bytearray(path.read_bytes())
    at = header_bytes + int(np.ravel_multi_index(place, expected.shape)) * fmt.slot
    text = {"hex": b"b3", "npy": b"\xb3", "coe": b"b3", "c": b" -77"}[data_format]
    data[at : at + len(text)] = text
    path.write_bytes(data)
    result = check_vectors(folder)
    assert not result.passed
    assert len(result.problems) == 1
    problem = result.problems[0]
    token = place[1] if len(place) == 3 else None
    assert (problem.file, problem.image, problem.token, problem.channel) == (
        f"taps/{tap}{fmt.suffix}", place[0], token, place[-1],
    )  # fmt: skip
    assert (problem.expected, problem.found) == (int(expected[place]), "-77")
    assert f"image {place[0]}" in problem.message
    assert f"expected {expected[place]}, found -77" in problem.message


def test_missing_extra_and_cut_files_are_all_named(folder: Path) -> None:
    """One check names a file that is missing, one that is extra, one cut short, one that goes on, one reformatted."""
    taps = folder / "taps"
    (taps / "pool.hex").unlink()
    (taps / "extra.hex").touch()
    (folder / "link").symlink_to("manifest.json")
    embed = (taps / "embed.hex").read_bytes()
    (taps / "embed.hex").write_bytes(embed[:-10])
    (taps / "classifier.hex").write_bytes((taps / "classifier.hex").read_bytes() + b"00\n")
    linear = taps / "blocks.0.mlp.linear_1.hex"
    linear.write_bytes(linear.read_bytes().replace(b"\n", b"\r\n"))
    found = messages(folder)
    assert len(found) == 6
    for expected in (
        "taps/pool.hex: is missing",
        "taps/extra.hex: is not in the manifest",
        "link: is not in the manifest",
        "taps/embed.hex: image 2, token 15, channel 6: expected",
        "taps/classifier.hex: goes on after its last value",
        "taps/blocks.0.mlp.linear_1.hex: image 0, token 0, channel 0: expected",
    ):
        assert any(expected in message for message in found), (expected, found)


@pytest.mark.slow
def test_every_file_matters(folder: Path) -> None:
    """A flipped bit anywhere in any file but the manifest makes the check fail and name that file."""
    rng = np.random.default_rng(0)
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p.name != MANIFEST):
        data = path.read_bytes()
        for offset in {0, len(data) - 1, *rng.integers(0, len(data), 3).tolist()}:
            changed = bytearray(data)
            changed[offset] ^= 1 << int(rng.integers(8))
            path.write_bytes(changed)
            found = messages(folder)
            assert found, f"{path.name}: byte {offset} did not matter"
            assert all(path.name in message for message in found), found
        path.write_bytes(data)
    assert messages(folder) == []


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Paths to every number, word and null of a JSON value."""
    if isinstance(value, dict):
        return [leaf for key in value for leaf in leaves(value[key], (*path, key))]
    if isinstance(value, list):
        return [leaf for i in range(len(value)) for leaf in leaves(value[i], (*path, i))]
    return [path]


@pytest.mark.slow
def test_every_statement_of_the_manifest_matters(folder: Path) -> None:
    """Any statement of the manifest that is changed is found, but for who computed it."""
    text = (folder / MANIFEST).read_text()
    paths = leaves(json.loads(text))
    # The taps' entries are all alike: the first and the last stand for them.
    taps = [path[1] for path in paths if path[0] == "taps"]
    for path in (p for p in paths if p[0] != "taps" or p[1] in (taps[0], taps[-1])):
        manifest = json.loads(text)
        holder = manifest
        for key in path[:-1]:
            holder = holder[key]
        old = holder[path[-1]]
        if isinstance(old, int):
            holder[path[-1]] = old + 1
        elif old is None:
            holder[path[-1]] = 1 if path[-1] == "seed" else "uniform"
        elif re.fullmatch("[0-9a-f]{64}", old):
            holder[path[-1]] = old[:-1] + ("0" if old[-1] != "0" else "1")
        else:
            holder[path[-1]] = f"{old}x"
        (folder / MANIFEST).write_text(json.dumps(manifest))
        try:
            found = bool(messages(folder))
        except FileError:
            found = True
        # The seed of a stimulus that fxsim did not draw is hearsay.
        told = path in {("engine",), ("fxsim_version",), ("stimulus", "seed")}
        assert found == (not told), path


def test_missing_and_doubled_taps_in_the_manifest_are_found(folder: Path) -> None:
    """A manifest that lacks a tap, or has one twice, or lacks its file, fails the check."""
    text = (folder / MANIFEST).read_text()
    for change in ("lack", "double", "fileless"):
        manifest = json.loads(text)
        if change == "lack":
            del manifest["taps"][3]
        elif change == "double":
            manifest["taps"].append(manifest["taps"][3])
        else:
            manifest["taps"][3]["file"] = None
        (folder / MANIFEST).write_text(json.dumps(manifest))
        assert messages(folder), change


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"format": "fxsim.vectors", "version": 2}', "\x00", "[" * 9999]
)
def test_damaged_manifest_is_one_error(folder: Path, text: str) -> None:
    """A manifest that cannot be read is one error that names it; a folder without one says so."""
    (folder / MANIFEST).write_text(text)
    with pytest.raises(FileError, match=MANIFEST):
        check_vectors(folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(FileError, match="has no manifest"):
        check_vectors(folder)


def test_paths_in_the_manifest_are_not_followed(folder: Path) -> None:
    """A manifest that names a file outside the folder does not make the check read it."""
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["taps"][0]["file"]["path"] = "../../../../etc/hostname"
    (folder / MANIFEST).write_text(json.dumps(manifest))
    assert any("manifest.json: taps.embed.file.path" in message for message in messages(folder))


def test_other_model_is_found(folder: Path, model: Model) -> None:
    """Checked against another model than its own, the folder fails, and both hashes are told."""
    other = load(golden_dir() / "small_relu.safetensors")
    assert messages(folder, model=model) == []
    found = messages(folder, model=other)
    assert len(found) == 1
    assert model_sha256(model) in found[0]
    assert model_sha256(other) in found[0]
    save(other, folder / "model.safetensors")
    assert any("model.safetensors: computes something else" in message for message in messages(folder))


def test_drawn_stimulus_must_come_from_its_seed(model: Model, x: Array, tmp_path: Path) -> None:
    """Vectors that claim a drawn stimulus fail where the seed gives other values, even if all hashes agree."""
    drawn = draw_stimulus("uniform", 2, (16, 12), 7)
    write_vectors(model, drawn, tmp_path / "v", seed=7, draw="uniform")
    assert messages(tmp_path / "v") == []
    write_vectors(model, x, tmp_path / "w", seed=7, draw="uniform")
    found = messages(tmp_path / "w")
    assert len(found) == 1
    assert found[0].startswith("stimulus.npy: image 0, token 0, value 0: expected")


@pytest.mark.parametrize("name", ["small", "small_relu", "psa_h96", "relu_h96", "relu_h192"])
def test_golden_vectors_hold(name: str) -> None:
    """The golden vectors, which the reference engine wrote, are what the compiled engine derives."""
    result = check_vectors(golden_dir() / "vectors" / name, load(golden_dir() / f"{name}.safetensors"), engine="numba")
    assert result.problems == ()
    assert result.passed
    assert read_manifest(golden_dir() / "vectors" / name).engine == "reference"


# --- the command ---


def test_command_writes_and_checks(tmp_path: Path) -> None:
    """The command writes a folder, its --check passes with status 0, and fails with status 1 once a value changed."""
    source, stimulus = golden_dir() / "small.safetensors", golden_dir() / "images_16x12.npy"
    folder = tmp_path / "v"
    result = cli(source, stimulus, "-o", folder, "--taps", "pool, classifier", "--format", "coe")
    assert result.exit_code == 0, result.output
    assert {p.name for p in (folder / "taps").iterdir()} == {"pool.coe", "classifier.coe"}
    checked = cli("--check", folder, "--model", source)
    assert (checked.exit_code, checked.output.count("passed")) == (0, 1)
    pool = folder / "taps/pool.coe"
    pool.write_text(pool.read_text()[:-10] + "7f,\n7f;\n")
    failed = cli("--check", folder)
    assert failed.exit_code == 1
    assert "taps/pool.coe: image 15, channel" in failed.output
    as_json = cli("--check", folder, "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.stdout)["problems"][0]["image"] == 15


def test_command_draws(tmp_path: Path) -> None:
    """--random draws the stimulus from --seed, and the manifest says so."""
    source = golden_dir() / "small.safetensors"
    result = cli(source, "--random", "3", "--draw", "extreme", "--seed", "9", "-o", tmp_path / "v", "--json")
    assert result.exit_code == 0, result.output
    stimulus = json.loads(result.stdout)["stimulus"]
    assert (stimulus["draw"], stimulus["seed"], stimulus["shape"]) == ("extreme", 9, [3, 16, 12])
    assert cli("--check", tmp_path / "v").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["m", "x.npy"],
        ["m", "-o", "v"],
        ["m", "x.npy", "--random", "2", "-o", "v"],
        ["m", "x.npy", "-o", "v", "--draw", "uniform"],
        ["m", "x.npy", "-o", "v", "--model", "m"],
        ["m", "x.npy", "--check", "v"],
        ["--check", "v", "--seed", "1"],
        ["m", "x.npy", "-o", "v", "--format", "vcd"],
    ],
)
def test_wrong_command_lines_are_usage_errors(arguments: list[str]) -> None:
    """Arguments that do not go together end with status 2 and a usage line."""
    result = cli(*arguments)
    assert result.exit_code == 2
    assert "Usage: " in result.output


def test_errors_of_inputs_are_fxsim_errors(tmp_path: Path) -> None:
    """A missing model or folder comes as an FxsimError, which the command line prints as one line."""
    for arguments in (["no.safetensors", "x.npy", "-o", tmp_path / "v"], ["--check", tmp_path / "no"]):
        assert isinstance(cli(*arguments).exception, FxsimError)
    assert list(tmp_path.iterdir()) == []
