"""Stimulus from .npy files and results to .npz files."""

import io
import pickle
import re
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fxsim.errors import FileError, FxsimError, StimulusError
from fxsim.formats import NpzWriter, read_stimulus
from fxsim.formats.npy import read_archive
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Linear
from tests.conftest import ROOT
from tests.strategies import tensor

WEIGHT = np.ones((2, 3), np.int8)
MODEL = Model(Graph((4, 3), (Node("embed", Linear(WEIGHT, WEIGHT[:, 0], np.zeros(2, np.uint8)), (INPUT,)),)), "tiny")
IMAGES = np.random.default_rng(5).integers(-128, 128, (6, 4, 3)).astype(np.int8)


def npy(array: np.ndarray[Any, Any], allow_pickle: bool = False) -> bytes:
    """The bytes of a .npy file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=allow_pickle)
    return file.getvalue()


@contextmanager
def peak_bytes() -> Iterator[Callable[[], int]]:
    """Yields a function that tells, after the block, the most memory that Python and numpy held at once within it."""
    recorded = []
    tracemalloc.start()
    try:
        yield lambda: recorded[0]
    finally:
        recorded.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()


# --- stimulus ---


def test_stimulus_is_what_was_saved(tmp_path: Path) -> None:
    """Images come back value for value, whatever the file is called, in C or Fortran order."""
    for array in (IMAGES, np.asfortranarray(IMAGES)):
        (tmp_path / "images").write_bytes(npy(array))
        assert np.array_equal(read_stimulus(tmp_path / "images", MODEL), IMAGES)


def test_stimulus_is_not_read_into_memory(tmp_path: Path) -> None:
    """A file of 4 GiB opens in an instant and takes no memory until its images are used; they cannot be changed."""
    path, count = tmp_path / "images.npy", (4 << 30) // 12
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|i1", "fortran_order": False, "shape": (count, 4, 3)})
        file.truncate(file.tell() + 12 * count)
    with peak_bytes() as peak:
        images = read_stimulus(path, MODEL)
        assert images.shape == (count, 4, 3)
        assert not images[count - 1].any()
    assert peak() < 1 << 20
    with pytest.raises(ValueError, match="read-only"):
        images[0, 0, 0] = 1


MISFITS: dict[str, tuple[np.ndarray[Any, Any], str]] = {
    "wider type": (IMAGES.astype(np.int16), "has type int16, expected int8"),
    "unsigned": (IMAGES.astype(np.uint8), "has type uint8, expected int8"),
    "floats": (IMAGES.astype(np.float32), "has type float32, expected int8"),
    "one image without its dimension": (IMAGES[0], r"shape \(4, 3\), expected \(images, 4, 3\) for model 'tiny'"),
    "transposed": (IMAGES.transpose(0, 2, 1), r"shape \(6, 3, 4\), expected \(images, 4, 3\)"),
    "one dimension more": (IMAGES[None], r"shape \(1, 6, 4, 3\), expected"),
    "a number": (np.array(3, np.int8), r"shape \(\), expected"),
    "no images": (IMAGES[:0], "no images, expected at least one"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_stimulus_that_does_not_fit_is_named(case: str, tmp_path: Path) -> None:
    """Type and shape are named with what the model takes."""
    array, message = MISFITS[case]
    path = tmp_path / "images.npy"
    path.write_bytes(npy(array))
    with pytest.raises(StimulusError, match=message) as caught:
        read_stimulus(path, MODEL)
    assert str(path) in str(caught.value)


def header(text: str, size: int | None = None) -> bytes:
    """The beginning of a .npy file with this header, whose length may be stated otherwise."""
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) if size is None else size) + text.encode()


NOT_NPY: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "text": lambda: b"1, 2, 3\n",
    "archive": lambda: b"PK\x03\x04" + npy(IMAGES),
    "truncated": lambda: npy(IMAGES)[:-1],
    "truncated header": lambda: npy(IMAGES)[:40],
    "unknown version": lambda: npy(IMAGES).replace(b"NUMPY\x01", b"NUMPY\x09", 1),
    "objects": lambda: npy(np.array([[[None]]], object), allow_pickle=True),
    "pickle": lambda: pickle.dumps(IMAGES),
    "header that is no dictionary": lambda: header("[1, 2]\n") + bytes(100),
    "header that is no literal": lambda: header("__import__('os').getcwd()\n") + bytes(100),
    "header beyond the file": lambda: header("{}", 60_000),
    "huge shape": lambda: header("{'descr': '|i1', 'fortran_order': False, 'shape': (99999999999999999999, 4, 3)}\n"),
    "shape whose size overflows": lambda: header(
        "{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 4, 4611686018427387904)}\n"
    ),
    "structure": lambda: npy(np.zeros((1, 4, 3), [("a", "i1")])),
    "texts": lambda: npy(np.array([[["a"]]])),
    "negative shape": lambda: header("{'descr': '|i1', 'fortran_order': False, 'shape': (-1, 4, 3)}\n") + bytes(100),
    "type that is none": lambda: header("{'descr': 'zz', 'fortran_order': False, 'shape': (1, 4, 3)}\n") + bytes(100),
    "shape of text": lambda: header("{'descr': '|i1', 'fortran_order': False, 'shape': 'ab'}\n") + bytes(100),
    "deep header": lambda: header("(" * 5000) + bytes(100),
}


@pytest.mark.parametrize("case", NOT_NPY)
def test_files_that_are_no_arrays_are_refused(case: str, tmp_path: Path) -> None:
    """Damage of any kind, and pickled objects, are one FileError that names the file."""
    path = tmp_path / "images.npy"
    path.write_bytes(NOT_NPY[case]())
    with pytest.raises(FileError, match=r"is not a whole \.npy file of numbers") as caught:
        read_stimulus(path, MODEL)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("excess", [b"\0", npy(IMAGES)])
def test_bytes_after_the_array_are_refused(excess: bytes, tmp_path: Path) -> None:
    """A file that holds more than its one array is not taken for that array."""
    path = tmp_path / "images.npy"
    path.write_bytes(npy(IMAGES) + excess)
    with pytest.raises(FileError, match=rf"images\.npy: has {len(excess)} bytes after the array of shape \(6, 4, 3\)"):
        read_stimulus(path, MODEL)


def test_absent_stimulus_is_named(tmp_path: Path) -> None:
    """An absent file and a folder are refused."""
    with pytest.raises(FileError, match=r"images\.npy: there is no such file"):
        read_stimulus(tmp_path / "images.npy", MODEL)
    with pytest.raises(FileError, match="is not a regular file"):
        read_stimulus(tmp_path, MODEL)


@pytest.mark.slow
@settings(max_examples=300)
@given(data=st.data())
def test_damaged_stimulus_never_surprises(data: st.DataObject) -> None:
    """Changed or missing bytes give an error of fxsim's, or images of the model's shape."""
    content = bytearray(npy(IMAGES))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, 127))] = data.draw(st.integers(0, 255))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        path.write_bytes(content[: data.draw(st.integers(len(content) // 2, len(content)))])
        try:
            images = read_stimulus(path, MODEL)
        except FxsimError:
            return
        assert images.dtype == np.int8
        assert images.shape[1:] == (4, 3)


# --- results ---


def write_parts(path: Path, arrays: dict[str, np.ndarray[Any, Any]], cuts: list[int]) -> None:
    """Write arrays of as many images in pieces that end at these images."""
    count = len(next(iter(arrays.values())))
    with NpzWriter(path, {name: tensor(a.shape[1:]) for name, a in arrays.items()}, count) as writer:
        for start, end in zip([0, *cuts], [*cuts, count], strict=True):
            writer.write({name: a[start:end] for name, a in arrays.items()})


@pytest.mark.slow
@settings(max_examples=30)
@given(cuts=st.lists(st.integers(0, 9), max_size=4).map(sorted))
def test_results_are_read_by_numpy(cuts: list[int]) -> None:
    """However the images came in pieces, numpy reads every array under its name, and the bytes are the same."""
    rng = np.random.default_rng(2)
    arrays = {
        name: rng.integers(-128, 128, (9, *shape)).astype(np.int8)
        for name, shape in {"blocks.0.mlp.add": (4, 3), "pool": (3,), "classifier": (10,)}.items()
    }
    with TemporaryDirectory() as folder:
        path, whole = Path(folder) / "out.npz", Path(folder) / "whole.npz"
        write_parts(path, arrays, cuts)
        with np.load(path, allow_pickle=False) as found:
            assert found.files == list(arrays)
            for name, array in arrays.items():
                assert found[name].dtype == np.int8
                assert np.array_equal(found[name], array)
        write_parts(whole, arrays, [])
        assert path.read_bytes() == whole.read_bytes()
        assert {p.name for p in Path(folder).iterdir()} == {"out.npz", "whole.npz"}


def test_failed_results_leave_what_was_there(tmp_path: Path) -> None:
    """An error half way keeps the old file and leaves no parts behind."""
    path = tmp_path / "out.npz"
    path.write_text("old")

    def fail_half_way() -> None:
        with NpzWriter(path, {"pool": tensor((3,))}, 4) as writer:
            writer.write({"pool": np.zeros((2, 3), np.int8)})
            raise FxsimError("half way")

    with pytest.raises(FxsimError, match="half way"):
        fail_half_way()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("out.npz", "old")]


def test_results_that_cannot_be_placed_fail_at_once(tmp_path: Path) -> None:
    """A folder or a missing parent is refused before anything is computed."""
    for path in (tmp_path, tmp_path / "absent" / "out.npz"):
        with pytest.raises(FileError, match="cannot write"):
            NpzWriter(path, {"pool": tensor((3,))}, 4).__enter__()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_results_take_flat_memory(tmp_path: Path) -> None:
    """256 MB of results written in pieces take a small part of that in memory."""
    piece = np.ones((1000, 64, 64), np.int8)
    with peak_bytes() as peak, NpzWriter(tmp_path / "out.npz", {"add": tensor((64, 64))}, 64_000) as writer:
        for _ in range(64):
            writer.write({"add": piece})
    assert peak() < 16 << 20
    assert (tmp_path / "out.npz").stat().st_size > 64_000 * 64 * 64


# --- archives of arrays ---


def npz(path: Path, **entries: bytes) -> Path:
    """An archive of these entries, each under its name with `.npy` behind it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(f"{name}.npy", data)
    return path


def test_archives_are_read_as_numpy_wrote_them(tmp_path: Path) -> None:
    """Any numbers, in either order, compressed or not, none at all included."""
    arrays = {"a": IMAGES, "b": np.asfortranarray(IMAGES.astype(np.float64)), "c": np.array(3), "d": IMAGES[:0]}
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found = read_archive(tmp_path / "a.npz")
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert found[name].dtype == array.dtype
            assert np.array_equal(found[name], array)


@pytest.mark.slow
def test_archives_are_bounded_before_they_are_read(tmp_path: Path) -> None:
    """A few kilobytes that would become gigabytes are refused by what their headers state, one by one and together."""
    bomb = header("{'descr': '|i1', 'fortran_order': False, 'shape': (1099511627776,)}\n") + bytes(1 << 20)
    half = npy(np.zeros(600, np.int8))
    with peak_bytes() as peak:
        with pytest.raises(FileError, match="more than 1,073,741,824 bytes, the most that are read"):
            read_archive(npz(tmp_path / "bomb.npz", a=bomb))
        with pytest.raises(FileError, match="more than 1,000 bytes"):
            read_archive(npz(tmp_path / "two.npz", a=half, b=half), 1000)
    assert peak() < 4 << 20
    # What states little and holds much is read no further than it states.
    long = npy(np.zeros(10, np.int8)) + bytes(1 << 28)
    with peak_bytes() as peak, pytest.raises(FileError, match="a has more bytes than the 10 of its shape"):
        read_archive(npz(tmp_path / "long.npz", a=long))
    assert peak() < 4 << 20


def test_archives_that_are_none_are_refused(tmp_path: Path) -> None:
    """Objects, other files, a name twice, damage, and an absent file are each one line."""
    objects = npy(np.array([None], object), allow_pickle=True)
    for path, message in (
        (npz(tmp_path / "objects.npz", a=objects), "is not a whole .npz file of numbers: values are of type object"),
        (npz(tmp_path / "cut.npz", a=npy(IMAGES)[:-1]), "a has fewer bytes than the 72 of its shape"),
        (tmp_path / "absent.npz", "there is no such file"),
        (tmp_path / "none.npz", "is not a whole .npz"),
        (tmp_path / "other.npz", "or what is no array"),
        (tmp_path / "twice.npz", "holds a name twice"),
    ):
        if path.name == "none.npz":
            path.write_bytes(b"PK and so on")
        if path.name == "other.npz":
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("a.txt", "text")
        if path.name == "twice.npz":
            with warnings.catch_warnings(), zipfile.ZipFile(path, "w") as archive:
                warnings.simplefilter("ignore")
                archive.writestr("a.npy", npy(IMAGES))
                archive.writestr("a.npy", npy(IMAGES))
        with pytest.raises(FileError, match=message) as caught:
            read_archive(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_refused_arrays_are_one_line_on_the_terminal(tmp_path: Path, cases: Path) -> None:
    """A shape whose size overflows gives fxsim's error and nothing of numpy's."""
    done = subprocess.run(
        [sys.executable, "-m", "fxsim", "run", ROOT / "golden" / "small.safetensors", cases / "files" / "huge.npy",
         "-o", tmp_path / "o.npz"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"fxsim: error: .*huge\.npy: is not a whole \.npy file of numbers: .*\n", done.stderr)
