"""FINN's networks as published with BNN-PYNQ: from folders of parameters and arrays to the published scores."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

import fxsim
from fxsim.cli.import_model import command
from fxsim.engines.compiled import instruction_sets, run_compiled
from fxsim.errors import FileError
from fxsim.formats import load, model_sha256
from fxsim.formats.bnn_pynq import import_bnn_pynq
from fxsim.formats.importers import find_importer
from fxsim.graph import Model
from fxsim.operators import Conv, Linear, Threshold

Array = npt.NDArray[Any]
Layers = list[tuple[Array, Array]]
"""Weights [row, column] and thresholds [row, step] of each layer."""

CNV_SHAPES = [(64, 27), (64, 576), (128, 576), (128, 1152), (256, 1152), (256, 2304), (512, 256), (512, 512), (64, 512)]
LFC_SHAPES = [(1024, 832), (1024, 1024), (1024, 1024), (64, 1024)]
# Elements and lanes of each layer.
CNV_FOLDING = [(16, 3), (32, 32), (16, 32), (16, 32), (4, 32), (1, 32), (1, 4), (1, 8), (4, 1)]
LFC_FOLDING = [(32, 64), (64, 32), (32, 64), (16, 8)]
TWO_BITS = {-2: "10", -1: "11", 0: "00", 1: "01"}


def write_folder(folder: Path, layers: Layers, bits: int) -> Path:
    """Parameters as the published program reads them, each word put together from the text of its bits."""
    folder.mkdir()
    for index, (weight, limits) in enumerate(layers):
        elements, lanes = (CNV_FOLDING if len(layers) == 9 else LFC_FOLDING)[index]
        for element in range(elements):
            words = bytearray()
            for row in weight[element::elements].tolist():
                for start in range(0, len(row), lanes):
                    part = row[start : start + lanes]
                    # The first weight is the lowest bit, the last of the text.
                    texts = [TWO_BITS[w] if bits == 2 else "1" if w == 1 else "0" for w in reversed(part)]
                    words += int("".join(texts), 2).to_bytes(8, "little")
            (folder / f"{index}-{element}-weights.bin").write_bytes(words)
            if limits.shape[1]:
                values = limits[element::elements].ravel().tolist()
                data = b"".join(value.to_bytes(8, "little", signed=True) for value in values)
                (folder / f"{index}-{element}-thres.bin").write_bytes(data)
    (folder / "classes.txt").write_text("Airplane\n")
    return folder


def layers_of(path: Path) -> Layers:
    """The layers of an .npz file of the published arrays, unpacked."""
    with np.load(path) as arrays:
        layers = []
        for index in range(sum(name.startswith("weight") for name in arrays)):
            weight = arrays[f"weight{index}"]
            if weight.dtype == np.uint8:
                weight = np.unpackbits(weight, axis=1)[:, : int(arrays[f"columns{index}"])] * 2.0 - 1
            layers.append((weight.astype(int), arrays[f"threshold{index}"]))
        return layers


def random_layers(shapes: list[tuple[int, int]], bits: int, steps: int, last: int) -> Layers:
    """Random parameters, thresholds near what sums and matches may be."""
    rng = np.random.default_rng(5)
    layers = []
    for index, (rows, columns) in enumerate(shapes):
        weight = rng.choice([-1, 1], (rows, columns)) if bits == 1 else rng.integers(-2, 2, (rows, columns))
        count = last if index == len(shapes) - 1 else steps
        layers.append((weight, rng.integers(-40, 40, (rows, count)) + (columns // 2 if steps == 1 else 0)))
    return layers


def write_arrays(path: Path, layers: Layers, **other: Array) -> Path:
    """An .npz file of layers; weights of two bits as int8, others packed; `other` arrays replace or add."""
    arrays: dict[str, Array] = {}
    for index, (weight, limits) in enumerate(layers):
        signs = set(np.unique(weight).tolist()) == {-1, 1}
        arrays[f"weight{index}"] = np.packbits(weight == 1, axis=1) if signs else weight.astype(np.int8)
        arrays[f"columns{index}"] = np.array(weight.shape[1], np.int64)
        arrays[f"threshold{index}"] = limits.astype(np.int32)
    np.savez_compressed(path, **(arrays | other))
    return path


# --- The published networks ------------------------------------------------------------------------------------------


def pictures_of(networks: Path, name: str) -> Array:
    """The published pictures that there are results of, as a network takes them."""
    if name.startswith("lfc"):
        lfc: Array = np.load(networks / "finn" / "lfc_images.npz")["images"]
        return lfc
    images = np.load(networks / "finn" / "cnv_images.npz")["images"]
    return np.ascontiguousarray(images.transpose(0, 2, 3, 1)[:4])


@pytest.mark.parametrize("name", ["cnvW1A1", "cnvW1A2", "cnvW2A2"])
def test_cnv_gives_the_published_scores(networks: Path, name: str, tmp_path: Path) -> None:
    """The published program's 64 scores of each picture, from its folder of parameters and from arrays of them."""
    arrays = networks / "finn" / f"{name}_params.npz"
    folder = write_folder(tmp_path / "params", layers_of(arrays), 2 if name == "cnvW2A2" else 1)
    done = CliRunner().invoke(
        command, [str(folder), "--from", "bnn-pynq", "--topology", name, "-o", str(tmp_path / "m.safetensors")]
    )
    assert done.exit_code == 0, done.output
    model = load(tmp_path / "m.safetensors")
    assert model_sha256(import_bnn_pynq(arrays)) == model_sha256(model)
    assert model.name == name
    scores = np.load(networks / "finn" / f"{name}_scores.npz")["scores"]
    x = pictures_of(networks, name)
    found = fxsim.run(model, x, "all", engine="reference")
    encoded = np.load(networks / "finn" / "cnv_images.npz")["inputs_q7"].transpose(0, 2, 3, 1)[: len(scores)]
    np.testing.assert_array_equal(found["encode"], encoded)
    dots = found["conv8"].reshape(len(scores), 64).astype(np.int64)
    # With binary inputs the published program counts matches.
    np.testing.assert_array_equal((512 + dots) // 2 if name == "cnvW1A1" else dots, scores)
    for isa in instruction_sets():
        np.testing.assert_array_equal(run_compiled(model, x, ("conv8",), isa=isa.name)["conv8"], found["conv8"])
        every = run_compiled(model, x, model.graph.taps, isa=isa.name)
        for tap, values in found.items():
            np.testing.assert_array_equal(every[tap], values, f"{isa.name}, {tap}", strict=True)


def test_lfc_gives_the_published_bits(networks: Path, tmp_path: Path) -> None:
    """The published program's 64 output bits, for every picture that has them, from a folder and from arrays."""
    arrays = networks / "finn" / "lfcW1A1_params.npz"
    bits = np.load(networks / "finn" / "lfcW1A1_labels.npz")["label_bits"]
    model = import_bnn_pynq(write_folder(tmp_path / "params", layers_of(arrays), 1), "lfcW1A1")
    assert model_sha256(import_bnn_pynq(arrays, "lfcW1A1")) == model_sha256(model)
    fired = fxsim.run(model, pictures_of(networks, "lfc")[: len(bits)])["threshold3"]
    assert fired.tolist() == [[1 if int(b) >> c & 1 else -1 for c in range(64)] for b in bits]


# --- Networks of random parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lfcW1A1", "lfcW1A2"])
def test_lfc_is_computed_with_its_padding(name: str, tmp_path: Path) -> None:
    """Matches counted one layer after the other, with 48 inputs of padding that are -1, from folder and arrays."""
    steps = int(name[-1])
    layers = random_layers(LFC_SHAPES, 1, steps, 1)
    model = import_bnn_pynq(write_folder(tmp_path / "params", layers, 1), name)
    again = import_bnn_pynq(write_arrays(tmp_path / "params.npz", layers))
    assert again.name == name
    assert model_sha256(again) == model_sha256(model)
    pixels = np.random.default_rng(6).integers(0, 256, (3, 784), np.uint8)
    pixels[0, :2] = 127, 128
    x = np.pad(np.where(pixels > 127, 1, -1), [(0, 0), (0, 48)], constant_values=-1)
    for weight, limits in layers:
        if steps == 1:
            matches = (x[:, None, :] == weight).sum(axis=2)
            x = np.where(matches > limits[:, 0], 1, -1)
        else:
            levels = ((x @ weight.T)[..., None] > limits).sum(axis=2)
            x = 2 * levels - 1 if limits.shape[1] == 1 else levels - 1
    found = fxsim.run(model, pixels)["threshold3"]
    assert 0 < (found == 1).sum() < found.size
    np.testing.assert_array_equal(found, x)


def test_cnv_of_random_parameters(tmp_path: Path) -> None:
    """Weights of -2, too, lie where the folder has them: kernel row, kernel column, channel; thresholds as strict."""
    layers = random_layers(CNV_SHAPES, 2, 2, 0)
    folder = write_folder(tmp_path / "params", layers, 2)
    assert find_importer(folder) == "bnn-pynq"
    model = import_bnn_pynq(folder, "cnvW2A2")
    for index, (weight, limits) in enumerate(layers):
        op = model.graph.by_name[f"conv{index}"].op
        assert isinstance(op, Conv)
        kernel = 3 if index < 6 else 1
        np.testing.assert_array_equal(op.weight, weight.reshape(len(weight), kernel, kernel, -1))
        if index < 8:
            steps = model.graph.by_name[f"threshold{index}"].op
            assert isinstance(steps, Threshold)
            # Of the first layer 2 x > t, where x counts in 1/128.
            least = [[min(x for x in range(t // 2 - 2, t // 2 + 3) if 2 * x > t) for t in row] for row in limits]
            np.testing.assert_array_equal(steps.threshold, least if index == 0 else limits + 1)


# --- What is refused -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lfc(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A folder of LFC W1A2's parameters, by file."""
    layers = random_layers(LFC_SHAPES, 1, 2, 1)
    folder = write_folder(tmp_path_factory.mktemp("lfc") / "params", layers, 1)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


Files = dict[str, bytes]


def change(files: Files, name: str, data: bytes | None) -> Files:
    """The files, one of them replaced, added, or without it."""
    return {**{n: d for n, d in files.items() if n != name}, **({name: data} if data is not None else {})}


def halve(files: Files, layer: str) -> Files:
    """Every weight file of a layer cut in the middle."""
    return {n: d[: len(d) // 2] if n.startswith(layer) and "weights" in n else d for n, d in files.items()}


CHANGES: dict[str, tuple[Callable[[Files], Files], str]] = {
    "a file missing": (lambda f: change(f, "1-63-thres.bin", None), "1-63-thres.bin: there is no such file"),
    "an element missing": (
        lambda f: {n: d for n, d in f.items() if not n.startswith("1-5-")}, "1-5-weights.bin: there is no such file",
    ),
    "a layer missing": (
        lambda f: {n: d for n, d in f.items() if n[0] != "2"}, "2-0-weights.bin: there is no such file",
    ),
    "a layer too many": (lambda f: change(f, "4-0-weights.bin", b""), "is of layer 4, expected 0 to 3"),
    "an element too many": (
        lambda f: change(change(f, "3-16-weights.bin", bytes(8)), "3-16-thres.bin", bytes(8)),
        "layer 3 has 17 elements, of which 64 rows are no multiple",
    ),
    "an element beyond the rows": (
        lambda f: change(f, "3-64-weights.bin", b""), "3-64-weights.bin: is of element 64, layer 3 of 64 rows cannot",
    ),
    "another name": (lambda f: change(f, "0-01-weights.bin", b""), "0-01-weights.bin: is not named LAYER-ELEMENT-w"),
    "half a word": (lambda f: change(f, "0-3-weights.bin", f["0-3-weights.bin"][:-1]), "has 3,327 bytes, expected wor"),
    "a word less": (
        lambda f: change(f, "0-3-weights.bin", f["0-3-weights.bin"][:-8]), "0-3-weights.bin: has 415 words, expected",
    ),
    "far too many words": (
        lambda f: change(f, "0-3-weights.bin", bytes(8 * 26625)),
        "has 26,625 words, expected 26,624 of 64 bits at most",
    ),
    "no words": (lambda f: {n: b"" if n[0] == "3" else d for n, d in f.items()}, "has 0 words, which cannot hold 4 x"),
    "words cut alike": (lambda f: halve(f, "3-"), "layer 3: no word of 256 has more than 8 of 16 bits"),
    "words cut beyond their bits": (lambda f: halve(f, "0-"), "has 208 words, which cannot hold 32 x 832 we"),
    "a bit beyond the lanes": (
        lambda f: change(f, "3-2-weights.bin", f["3-2-weights.bin"][:15] + b"\1" + f["3-2-weights.bin"][16:]),
        "3-2-weights.bin: word 1 is 0x1000000000000.., expected 8 weights in 8 bits",
    ),
    "a threshold too high": (
        lambda f: change(f, "2-1-thres.bin", f["2-1-thres.bin"][:24] + (1 << 15).to_bytes(8, "little")
                         + f["2-1-thres.bin"][32:]),
        r"2-1-thres.bin: threshold \[1, 1\] is 32768, expected 16 bits with a sign",
    ),
    "thresholds for one bit": (
        lambda f: {n: d[: len(d) // 2] if n[0] == "1" and "thres" in n else d for n, d in f.items()},
        "1-0-thres.bin: has 16 words, expected 32",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CHANGES)
def test_folders_that_are_not_as_published_are_refused(case: str, lfc: Files, tmp_path: Path) -> None:
    """A missing, damaged or unexpected file is one error that names it."""
    edit, message = CHANGES[case]
    for name, data in edit(lfc).items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(FileError, match=message) as caught:
        import_bnn_pynq(tmp_path, "lfcW1A2")
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_other_topologies_are_refused(lfc: Files, tmp_path: Path) -> None:
    """A folder does not say what it is of: it must be stated, by a name that there is, and fit."""
    for name, data in lfc.items():
        (tmp_path / name).write_bytes(data)
    for topology, message in (
        (None, "does not say which network it is of, give --topology, one of: cnvW1A1, "),
        ("cnvW1A3", "there is no topology 'cnvW1A3'; there are: cnvW1A1, cnvW1A2, cnvW2A2, lfcW1A1, lfcW1A2"),
        ("lfcW1A1", "0-0-thres.bin: has 64 words, expected 32 of 64 bits at most"),
        ("cnvW1A2", "4-0-weights.bin: there is no such file|0-0-weights.bin"),
    ):
        with pytest.raises(FileError, match=message):
            import_bnn_pynq(tmp_path, topology)


ARRAYS: dict[str, tuple[str | None, dict[str, Array], str]] = {
    "unknown": (None, {"weight9": np.zeros(2, np.int8)}, "is not cnvW1A1 or .*: has not the arrays"),
    "named": ("lfcW1A1", {"weight9": np.zeros(2, np.int8)}, "is not lfcW1A1: array 'weight9' is unknown"),
    "another": ("lfcW1A1", {}, r"is not lfcW1A1: array 'threshold0' is int32 \(1024, 2\), expected int32 \(1024, 1\)"),
    "type": ("lfcW1A2", {"weight1": np.zeros((1024, 128), np.int8)}, "array 'weight1' is int8 .1024, 128., exp"),
    "columns": ("lfcW1A2", {"columns0": np.array(831)}, "array 'columns0' is 831, expected 832"),
    "threshold": (
        None, {"threshold3": np.full((64, 1), 32768, np.int32)}, r"array 'threshold3': threshold \[0, 0\] is 32768",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ARRAYS)
def test_other_arrays_are_refused(case: str, tmp_path: Path) -> None:
    """Arrays of another type or shape, one too many, and values beyond what they stand for are named."""
    topology, other, message = ARRAYS[case]
    path = write_arrays(tmp_path / "a.npz", random_layers(LFC_SHAPES, 1, 2, 1), **other)
    with pytest.raises(FileError, match=message):
        import_bnn_pynq(path, topology)


def test_bits_beyond_the_columns_are_refused(tmp_path: Path) -> None:
    """The 27 columns of CNV's first layer lie in 32 bits: the last five are 0. Weights of int8 are of two bits."""
    signs = random_layers(CNV_SHAPES, 1, 2, 0)
    first = np.packbits(signs[0][0] == 1, axis=1)
    first[7, 3] |= 1
    with pytest.raises(FileError, match="array 'weight0' has bits set beyond its 27 columns"):
        import_bnn_pynq(write_arrays(tmp_path / "a.npz", signs, weight0=first))
    wide = np.full((64, 27), 2, np.int8)
    with pytest.raises(FileError, match="array 'weight0' reaches from 2 to 2, expected int2"):
        import_bnn_pynq(write_arrays(tmp_path / "b.npz", random_layers(CNV_SHAPES, 2, 2, 0), weight0=wide))


@settings(max_examples=25)
@given(data=st.data())
def test_damaged_archives_are_refused_or_whole(
    data: st.DataObject, lfc_archive: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Bytes that are cut, changed or left out give one error, or all of the network."""
    content = bytearray(lfc_archive)
    kind = data.draw(st.sampled_from(["cut", "change", "drop"]))
    at = data.draw(
        st.integers(0, 3000) | st.integers(0, len(content) - 1) | st.integers(len(content) - 3000, len(content) - 1)
    )
    if kind == "change":
        content[at] ^= data.draw(st.integers(1, 255))
    elif kind == "cut":
        del content[at:]
    else:
        del content[at : at + data.draw(st.integers(1, 20))]
    path = tmp_path_factory.mktemp("damaged") / "a.npz"
    path.write_bytes(content)
    try:
        model = import_bnn_pynq(path)
    except FileError as error:
        message = str(error)
    else:
        assert isinstance(model, Model)
        assert isinstance(model.graph.by_name["linear3"].op, Linear)
        return
    assert str(path) in message
    assert "\n" not in message


@pytest.fixture(scope="module")
def lfc_archive() -> bytes:
    """An .npz file of LFC W1A1 with random parameters."""
    file = io.BytesIO()
    write_arrays(file, random_layers(LFC_SHAPES, 1, 1, 1))
    return file.getvalue()
