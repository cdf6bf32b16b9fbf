"""Stimulus from .npy files and results to .npz files."""

import io
import pickle
import struct
import tracemalloc
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
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Linear

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
    with NpzWriter(path, {name: a.shape[1:] for name, a in arrays.items()}, count) as writer:
        for start, end in zip([0, *cuts], [*cuts, count], strict=True):
            writer.write({name: a[start:end] for name, a in arrays.items()})


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
        with NpzWriter(path, {"pool": (3,)}, 4) as writer:
            writer.write({"pool": np.zeros((2, 3), np.int8)})
            raise FxsimError("half way")

    with pytest.raises(FxsimError, match="half way"):
        fail_half_way()
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("out.npz", "old")]


def test_results_that_cannot_be_placed_fail_at_once(tmp_path: Path) -> None:
    """A folder or a missing parent is refused before anything is computed."""
    for path in (tmp_path, tmp_path / "absent" / "out.npz"):
        with pytest.raises(FileError, match="cannot write"):
            NpzWriter(path, {"pool": (3,)}, 4).__enter__()
    assert list(tmp_path.iterdir()) == []


def test_results_take_flat_memory(tmp_path: Path) -> None:
    """256 MB of results written in pieces take a small part of that in memory."""
    piece = np.ones((1000, 64, 64), np.int8)
    with peak_bytes() as peak, NpzWriter(tmp_path / "out.npz", {"add": (64, 64)}, 64_000) as writer:
        for _ in range(64):
            writer.write({"add": piece})
    assert peak() < 16 << 20
    assert (tmp_path / "out.npz").stat().st_size > 64_000 * 64 * 64
