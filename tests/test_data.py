"""Data sets in the formats they are published in, splits, preprocessing and augmentation."""

import collections
import contextlib
import hashlib
import io
import math
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from fractions import Fraction
from importlib.machinery import ModuleSpec
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageEnhance, ImageOps

from fxsim.data import (
    Augmentation,
    DataSet,
    DataSource,
    Pictures,
    Preprocessing,
    augment,
    channel_statistics,
    digits,
    fit_pictures,
    load_data,
    split,
    to_tokens,
)
from fxsim.data import npz as npz_module
from fxsim.data.array_pickle import read_pickle
from fxsim.data.augmentation import OPERATIONS, apply_operation, crop
from fxsim.data.cifar10 import load_cifar10
from fxsim.data.stl10 import load_stl10
from fxsim.errors import FileError, FxsimError, StimulusError
from tests.conftest import SEED

COUNT = 12
CIFAR_NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]


def random_images(seed: int, *shape: int) -> npt.NDArray[np.uint8]:
    """uint8 of a shape, the same for the same seed."""
    return np.random.default_rng([SEED, seed]).integers(0, 256, shape, np.uint8)


def random_pictures(seed: int, n: int, height: int, width: int, colours: int, classes: int = 3) -> Pictures:
    """Random pictures with random labels."""
    labels = np.random.default_rng([SEED, seed, 1]).integers(0, classes, n)
    return Pictures(random_images(seed, n, height, width, colours), labels.astype(np.int64))


def one_line(error: pytest.ExceptionInfo[FxsimError]) -> str:
    """The message of an error, which has to be one short line."""
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 700
    return text


# Pictures, splits


@pytest.mark.slow
def test_digits_are_the_same_everywhere() -> None:
    """The digits, their scaling and their split have one hash, and every fourth picture of a class is for testing."""
    from sklearn.datasets import load_digits

    data = load_data(DataSource.DIGITS)
    assert data.sha256 == "4190ba87b96bb0b35fc9e6d207f8df9ef0521d1541c8d861ef732013f0404d6a"
    values, labels = load_digits(return_X_y=True)
    seen: collections.Counter[int] = collections.Counter()
    expected: dict[bool, list[tuple[int, bytes]]] = {False: [], True: []}
    for row, label in zip(values, labels, strict=True):
        seen[int(label)] += 1
        scaled = [math.floor(Fraction(int(v) * 255, 16) + Fraction(1, 2)) for v in row]
        expected[seen[int(label)] % 4 == 0].append((int(label), bytes(scaled)))
    for part, wanted in ((data.train, expected[False]), (data.test, expected[True])):
        found = [(int(y), x.tobytes()) for x, y in zip(part.images, part.labels, strict=True)]
        assert found == wanted
    assert (len(data.train), len(data.test), data.classes) == (1352, 445, 10)
    assert data.train.images.shape[1:] == (8, 8, 1)
    assert data.train.images.max() == 255


def test_digits_take_no_folder(tmp_path: Path) -> None:
    """A folder for the digits, or none for another source, is refused."""
    with pytest.raises(FileError, match="expected no folder"):
        load_data(DataSource.DIGITS, tmp_path)
    for source in (DataSource.CIFAR10, DataSource.SVHN, DataSource.NPZ):
        with pytest.raises(FileError, match=f"{source} needs its folder"):
            load_data(source)


def test_data_set_hash_is_over_stated_shapes() -> None:
    """The hash of a data set is SHA-256 over images and labels with types and shapes, written out here by hand."""
    train, test = random_pictures(1, 9, 2, 3, 1), random_pictures(2, 4, 2, 3, 1)
    train.labels[:3] = (0, 1, 2)
    digest = hashlib.sha256()
    for part in (train, test):
        digest.update(f"\0uint8 ({len(part)}, 2, 3, 1)\0".encode() + bytes(part.images.ravel().tolist()))
        digest.update(f"\0<i8 ({len(part)},)\0".encode() + struct.pack(f"<{len(part)}q", *part.labels))
    assert DataSet("a", 3, train, test).sha256 == DataSet("b", 3, train, test).sha256 == digest.hexdigest()
    test.images[0, 0, 0, 0] ^= 1
    assert DataSet("a", 3, train, test).sha256 != digest.hexdigest()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s["train"].labels.__setitem__(0, 3), "train has label 3, expected 0 to 2"),
        (lambda s: s["test"].labels.__setitem__(0, -1), "test has label -1, expected 0 to 2"),
        (lambda s: s["train"].labels.__setitem__(slice(None), 1), "no picture of class 0 in train"),
        (lambda s: s.update(test=s["test"].take([])), "test holds no pictures"),
        (lambda s: s.update(test=random_pictures(5, 4, 3, 3, 1)), "expected one shape"),
    ],
)
def test_data_set_refuses_what_cannot_be_trained_with(
    change: Callable[[dict[str, Pictures]], Any], message: str
) -> None:
    """Labels out of range, a class without a training picture, an empty split, different sizes: each one message."""
    splits = {"train": random_pictures(3, 30, 2, 3, 1), "test": random_pictures(4, 5, 2, 3, 1)}
    DataSet("x", 3, **splits)
    change(splits)
    with pytest.raises(StimulusError, match=message) as error:
        DataSet("x", 3, **splits)
    one_line(error)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        (np.zeros((2, 3, 3), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 3, 3, 2), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 0, 3, 1), np.uint8), np.zeros(2, np.int64)),
        (np.zeros((2, 3, 3, 1), np.int8), np.zeros(2, np.int64)),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros(3, np.int64)),
        (np.zeros((2, 3, 3, 1), np.uint8), np.zeros(2, np.int32)),
    ],
)
def test_pictures_of_another_type_or_shape_are_refused(images: Any, labels: Any) -> None:
    """Pictures are uint8 [n, height, width, 1 or 3] with int64 labels [n], and nothing else."""
    with pytest.raises(StimulusError, match="expected"):
        Pictures(images, labels)


@given(st.integers(0, 2**32), st.integers(20, 80), st.fractions(Fraction(1, 10), Fraction(9, 10)))
def test_split_is_a_stratified_partition(seed: int, n: int, fraction: Fraction) -> None:
    """Every picture is on one side, in the old order; each class gives its share rounded; the seed decides which."""
    images = np.zeros((n, 1, 2, 1), np.uint8)
    images[:, 0, 0, 0] = np.arange(n)
    labels = np.random.default_rng([SEED, seed]).integers(0, 3, n).astype(np.int64)
    rest, part = split(Pictures(images, labels), float(fraction), seed)
    sides = [side.images[:, 0, 0, 0].tolist() for side in (rest, part)]
    assert sorted(sides[0] + sides[1]) == list(range(n))
    for side, indices in zip((rest, part), sides, strict=True):
        assert indices == sorted(indices)
        assert side.labels.tolist() == [int(labels[i]) for i in indices]
    for label in range(3):
        members = labels.tolist().count(label)
        assert part.labels.tolist().count(label) == math.floor(
            Fraction(str(float(fraction))) * members + Fraction(1, 2)
        )
    again = split(Pictures(images, labels), float(fraction), seed)[1]
    assert np.array_equal(again.images, part.images)


@pytest.mark.parametrize(
    ("fraction", "n", "share"), [(0.3, 5, 2), (0.29, 50, 15), (0.57, 50, 29), (0.29, 49, 14), (0.25, 2, 1), (0.9, 5, 5)]
)
def test_share_of_a_class_is_exact(fraction: float, n: int, share: int) -> None:
    """A share half way between two counts is rounded up, where a product of floats may not be."""
    labels = np.repeat(np.array([0, 1], np.int64), [n, 40])
    part = split(Pictures(np.zeros((n + 40, 1, 1, 1), np.uint8), labels), fraction, 1)[1]
    assert part.labels.tolist().count(0) == share


def test_split_depends_on_the_seed() -> None:
    """Another seed takes other pictures."""
    pictures = random_pictures(6, 100, 2, 2, 1)
    parts = {split(pictures, 0.3, seed)[1].images.tobytes() for seed in range(5)}
    assert len(parts) == 5


@pytest.mark.parametrize(
    ("fraction", "seed"), [(0, 0), (1, 0), (-0.5, 0), (math.nan, 0), (math.inf, 0), (0.01, 0), (0.99, 0), (0.5, -1)]
)
def test_split_refuses_fractions_that_leave_a_side_empty(fraction: float, seed: int) -> None:
    """A fraction outside (0, 1), one that takes none or all, and a negative seed are refused."""
    with pytest.raises(StimulusError, match="split"):
        split(random_pictures(7, 9, 2, 2, 1), fraction, seed)


# Preprocessing


def preprocessing(size: int, colours: int, patch: int) -> Preprocessing:
    """A preprocessing with CIFAR-10's statistics."""
    return Preprocessing(size, colours, patch, (0.4914, 0.4822, 0.4465)[:colours], (0.247, 0.2435, 0.2616)[:colours])


@given(st.integers(1, 4), st.integers(1, 4), st.sampled_from([1, 3]), st.integers(0, 4), st.integers(0, 2**32))
def test_tokens_are_row_major_patches(patch: int, side: int, colours: int, n: int, seed: int) -> None:
    """Token and value indices are those of the contract, each value (pixel / 255 - mean) / std rounded once."""
    size = patch * side
    pre = preprocessing(size, colours, patch)
    images = random_images(seed, n, size, size, colours)
    tokens = to_tokens(images, pre)
    assert tokens.dtype == np.float32
    assert tokens.shape == (n, pre.tokens, pre.values) == (n, side * side, patch * patch * colours)
    for i, y, x, c in np.ndindex(n, size, size, colours):
        expected = np.float32((int(images[i, y, x, c]) / 255 - pre.mean[c]) / pre.std[c])
        token = (y // patch) * side + x // patch
        value = ((y % patch) * patch + x % patch) * colours + c
        assert tokens[i, token, value] == expected
    # And back: what was done can be undone.
    back = np.empty_like(images)
    for i, t, v in np.ndindex(*tokens.shape):
        c, px, py = v % colours, v // colours % patch, v // colours // patch
        pixel = round((float(tokens[i, t, v]) * pre.std[c] + pre.mean[c]) * 255)
        back[i, t // side * patch + py, t % side * patch + px, c] = pixel
    assert np.array_equal(back, images)


def test_pictures_that_are_not_fitted_have_no_tokens() -> None:
    """Pictures of another size, number of colours or type are refused."""
    pre = preprocessing(8, 1, 4)
    for images in (np.zeros((1, 4, 8, 1), np.uint8), np.zeros((1, 8, 8, 3), np.uint8), np.zeros((1, 8, 8, 1), np.int8)):
        with pytest.raises(StimulusError, match="expected"):
            to_tokens(images, pre)


@pytest.mark.parametrize(("height", "width", "size"), [(8, 8, 32), (32, 32, 16), (9, 5, 6)])
@pytest.mark.parametrize(("found", "wanted"), [(1, 1), (1, 3), (3, 1), (3, 3)])
def test_fitting_is_pillow_bilinear_and_luma(height: int, width: int, size: int, found: int, wanted: int) -> None:
    """Sizes change by Pillow's bilinear filter, colour becomes luma first, grey is repeated last."""
    pictures = random_pictures(8, 3, height, width, found)
    fitted = fit_pictures(pictures, preprocessing(size, wanted, 1))
    assert fitted.labels is pictures.labels
    for image, result in zip(pictures.images, fitted.images, strict=True):
        picture = Image.fromarray(image[..., 0]) if found == 1 else Image.fromarray(image, "RGB")
        if wanted == 1:
            picture = picture.convert("L")
        picture = picture.resize((size, size), Image.Resampling.BILINEAR).convert("L" if wanted == 1 else "RGB")
        assert np.array_equal(result, np.asarray(picture).reshape(size, size, wanted))


def test_luma_is_pillows_for_all_corners() -> None:
    """Grey from colour, without a change of size: ITU-R 601-2 in Pillow's integers."""
    levels = np.array([0, 1, 2, 63, 127, 128, 129, 200, 254, 255], np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(10, 10, 10, 3)
    fitted = fit_pictures(Pictures(colours, np.zeros(10, np.int64)), preprocessing(10, 1, 1))
    for image, grey in zip(colours, fitted.images, strict=True):
        assert np.array_equal(grey[..., 0], np.asarray(Image.fromarray(image).convert("L")))


def test_pictures_that_fit_are_not_changed() -> None:
    """Fitting what fits gives the same pixels."""
    pictures = random_pictures(9, 3, 8, 8, 3)
    assert np.array_equal(fit_pictures(pictures, preprocessing(8, 3, 2)).images, pictures.images)


@pytest.mark.parametrize("colours", [1, 3])
def test_channel_statistics_are_exact(colours: int) -> None:
    """Mean and deviation per colour agree with fractions, to the last bit of the mean."""
    pictures = random_pictures(10, 4, 3, 5, colours)
    mean, std = channel_statistics(pictures)
    assert len(mean) == len(std) == colours
    for c in range(colours):
        pixels = [Fraction(int(v), 255) for v in pictures.images[..., c].ravel()]
        centre = sum(pixels) / len(pixels)
        variance = sum((p - centre) ** 2 for p in pixels) / len(pixels)
        assert mean[c] == float(centre)
        assert std[c] == math.sqrt(variance)
    with pytest.raises(StimulusError, match="no pictures"):
        channel_statistics(pictures.take([]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 0}, "size is 0"),
        ({"size": 4096}, "size is 4096"),
        ({"colours": 2, "mean": (0, 0), "std": (1, 1)}, "colours is 2"),
        ({"patch": 3}, "patch is 3, expected a divisor of size, 8"),
        ({"patch": 0}, "patch is 0"),
        ({"mean": (0.0, 0.0)}, "mean has 2 numbers"),
        ({"std": ()}, "std has 0 numbers"),
        ({"std": (0.0,)}, "expected positive"),
        ({"std": (math.nan,)}, "expected finite"),
        ({"mean": (math.inf,)}, "expected finite"),
    ],
)
def test_preprocessing_refuses_numbers_that_do_not_fit(change: dict[str, Any], message: str) -> None:
    """Wrong sizes, patches, colours and statistics are refused when made, and with the place when decoded."""
    fields: dict[str, Any] = {"size": 8, "colours": 1, "patch": 4, "mean": (0.5,), "std": (0.25,)}
    assert Preprocessing(**fields).values == 16
    with pytest.raises(FxsimError, match=message):
        Preprocessing(**(fields | change))
    with pytest.raises(msgspec.ValidationError, match=rf"{message}.*\$\.there"):
        msgspec.convert({"there": fields | change}, msgspec.defstruct("Outer", [("there", Preprocessing)]))


# CIFAR-10


def cifar_batches(count: int = COUNT) -> list[tuple[npt.NDArray[np.uint8], list[int]]]:
    """Data and labels of the five batches to train with and the one to test with."""
    rng = np.random.default_rng([SEED, 20])
    return [
        (rng.integers(0, 256, (count, 3072), np.uint8), [(i + shift) % 10 for i in range(count)]) for shift in range(6)
    ]


def write_binary(folder: Path) -> None:
    """The six files of the binary version."""
    for name, (data, labels) in zip(CIFAR_NAMES, cifar_batches(), strict=True):
        records = [bytes([label]) + row.tobytes() for row, label in zip(data, labels, strict=True)]
        (folder / f"{name}.bin").write_bytes(b"".join(records))


def python3_pickle(data: npt.NDArray[np.uint8], labels: list[int], key: Callable[[str], Any] = str.encode) -> bytes:
    """A batch as Python 3 writes it."""
    names = [f"picture_{i}.png".encode() for i in range(len(labels))]
    batch = {"batch_label": b"batch 1 of 5", "labels": labels, "data": data, "filenames": names}
    return pickle.dumps({key(k): v for k, v in batch.items()}, protocol=2)


def python2_string(text: bytes) -> bytes:
    """A string as cPickle of Python 2 writes it."""
    return b"U" + bytes([len(text)]) + text if len(text) < 256 else b"T" + struct.pack("<i", len(text)) + text


def python2_pickle(data: npt.NDArray[np.uint8], labels: list[int]) -> bytes:
    """A batch as cPickle of Python 2 and numpy 1 wrote it, opcode by opcode."""
    n, width = data.shape
    string = python2_string
    out = b"\x80\x02}q\x01(" + string(b"batch_label") + b"q\x02" + string(b"training batch 1 of 5") + b"q\x03"
    out += string(b"labels") + b"q\x04]q\x05(" + b"".join(b"K" + bytes([label]) for label in labels) + b"e"
    out += string(b"data") + b"q\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85"
    out += string(b"b") + b"\x87Rq\x09(K\x01M" + struct.pack("<H", n) + b"J" + struct.pack("<i", width) + b"\x86"
    out += b"cnumpy\ndtype\nq\x0a" + string(b"u1") + b"K\x00K\x01\x87Rq\x0b(K\x03" + string(b"|") + b"NNN"
    out += b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89" + string(data.tobytes()) + b"tb"
    out += string(b"filenames") + b"r\x00\x01\x00\x00](" + b"".join(string(b"f%d" % i) for i in range(n)) + b"eu."
    return out


def numpy1_pickle(data: npt.NDArray[np.uint8], labels: list[int]) -> bytes:
    """A batch as Python 3 with numpy 1 writes it, whose module had another name."""
    return python3_pickle(data, labels).replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


PICKLES: dict[str, Callable[[npt.NDArray[np.uint8], list[int]], bytes]] = {
    "python2": python2_pickle,
    "python3": python3_pickle,
    "numpy1": numpy1_pickle,
    "text-keys": lambda data, labels: python3_pickle(data, labels, str),
}


def write_python(folder: Path, style: str = "python2") -> None:
    """The six files of the python version."""
    for name, (data, labels) in zip(CIFAR_NAMES, cifar_batches(), strict=True):
        (folder / name).write_bytes(PICKLES[style](data, labels))


def check_cifar(data: DataSet) -> None:
    """What was read is what the batches hold, place by place."""
    batches = cifar_batches()
    assert (data.name, data.classes, len(data.train), len(data.test)) == ("cifar10", 10, 5 * COUNT, COUNT)
    for b, (rows, labels) in enumerate(batches):
        part, start = (data.train, b * COUNT) if b < 5 else (data.test, 0)
        assert part.labels[start : start + COUNT].tolist() == labels
        for i, y, x, c in ((0, 0, 0, 0), (1, 5, 31, 1), (COUNT - 1, 31, 0, 2), (3, 17, 9, 0)):
            assert part.images[start + i, y, x, c] == rows[i, 1024 * c + 32 * y + x]
    whole = np.concatenate([data.train.images, data.test.images])
    planes = np.concatenate([rows for rows, _ in batches]).reshape(-1, 3, 32, 32)
    assert all(np.array_equal(whole[..., c], planes[:, c]) for c in range(3))


def test_python2_pickle_of_the_tests_is_one() -> None:
    """The hand-made stream is a pickle: Python's own unpickler agrees on what it holds."""
    data, labels = cifar_batches()[0]
    batch = pickle.loads(python2_pickle(data, labels), encoding="bytes")  # noqa: S301 - made here
    assert np.array_equal(batch[b"data"], data)
    assert batch[b"labels"] == labels
    assert batch[b"filenames"][1] == b"f1"


@pytest.mark.parametrize("inside", ["", "cifar-10-batches-bin"])
def test_cifar10_binary_version(tmp_path: Path, inside: str) -> None:
    """The binary batches are read from their folder or from the one around it."""
    (tmp_path / inside).mkdir(exist_ok=True)
    write_binary(tmp_path / inside)
    check_cifar(load_cifar10(tmp_path, COUNT))


@pytest.mark.parametrize("style", PICKLES)
@pytest.mark.parametrize("inside", ["", "cifar-10-batches-py"])
def test_cifar10_python_version(tmp_path: Path, inside: str, style: str) -> None:
    """The python batches are read as Python 2 wrote them, and as Python 3 with numpy 1 or 2 does."""
    (tmp_path / inside).mkdir(exist_ok=True)
    write_python(tmp_path / inside, style)
    check_cifar(load_cifar10(tmp_path, COUNT))


def test_digits_without_their_file_are_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where scikit-learn is not installed, or does not have them, the error says so."""
    monkeypatch.setattr(digits, "find_spec", lambda _name: None)
    with pytest.raises(FxsimError, match="needs scikit-learn, which is not installed"):
        load_data(DataSource.DIGITS)
    spec = ModuleSpec("sklearn", None, is_package=True)
    spec.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(digits, "find_spec", lambda _name: spec)
    with pytest.raises(FxsimError, match=r"digits\.csv\.gz: there is no such file"):
        load_data(DataSource.DIGITS)


@pytest.mark.slow
def test_cifar10_of_the_published_size(tmp_path: Path) -> None:
    """Six files of 10,000 pictures, one of them linked for all, load by name; both versions agree."""
    labels = [i % 10 for i in range(10_000)]
    data = np.arange(10_000 * 3072, dtype=np.uint32).astype(np.uint8).reshape(10_000, 3072)
    binary, python = tmp_path / "bin", tmp_path / "py"
    binary.mkdir()
    python.mkdir()
    (binary / "test_batch.bin").write_bytes(np.hstack([np.array(labels, np.uint8)[:, None], data]).tobytes())
    (python / "test_batch").write_bytes(python2_pickle(data, labels))
    for name in CIFAR_NAMES[:5]:
        os.link(binary / "test_batch.bin", binary / f"{name}.bin")
        os.link(python / "test_batch", python / name)
    first, second = load_data(DataSource.CIFAR10, binary), load_data(DataSource.CIFAR10, python)
    assert (len(first.train), len(first.test)) == (50_000, 10_000)
    assert first.sha256 == second.sha256


@pytest.mark.parametrize("write", [write_binary, write_python])
def test_cifar10_names_what_is_missing(tmp_path: Path, write: Callable[[Path], None]) -> None:
    """No folder, nothing in it, or one file missing: one message with the files' names."""
    for folder in (tmp_path / "none", tmp_path):
        with pytest.raises(FileError, match=r"data_batch_1\.bin.*cifar-10-batches-py") as error:
            load_data(DataSource.CIFAR10, folder)
        one_line(error)
    write(tmp_path)
    file = next(tmp_path.glob("data_batch_4*"))
    file.unlink()
    with pytest.raises(FileError, match=rf"has no file {file.name}, expected data_batch_1") as error:
        load_data(DataSource.CIFAR10, tmp_path)
    one_line(error)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], "has 36,875 bytes, expected 36,876"),
        (lambda content: content[:-3073], "has 33,803 bytes, expected 36,876"),
        (lambda content: content + b"\0", "is larger than 36,876 bytes"),
        (lambda content: content[:3073] + b"\x0a" + content[3074:], "label 1 is 10, expected 0 to 9"),
    ],
)
def test_cifar10_binary_damage_is_named(tmp_path: Path, damage: Callable[[bytes], bytes], message: str) -> None:
    """A file that is short, long or holds a label out of range is refused by name."""
    write_binary(tmp_path)
    file = tmp_path / "data_batch_3.bin"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(FileError, match=rf"data_batch_3\.bin: {message}") as error:
        load_cifar10(tmp_path, COUNT)
    one_line(error)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        ({"labels": [0] * COUNT}, "has no 'data'"),
        ({"data": np.zeros((COUNT, 3072), np.uint8)}, "has no 'labels'"),
        ({"data": np.zeros((COUNT, 3071), np.uint8), "labels": [0] * COUNT}, "'data' is an array of shape"),
        ({"data": [1], "labels": [0] * COUNT}, "'data' is not an array"),
        ({"data": np.zeros((COUNT, 3072), np.uint8), "labels": [0] * 3}, "'labels' is not a list of 12"),
        ({"data": np.zeros((COUNT, 3072), np.uint8), "labels": 3}, "'labels' is not a list"),
        ({"data": np.zeros((COUNT, 3072), np.uint8), "labels": [0] * 11 + [10]}, "label 11 is not"),
        ({"data": np.zeros((COUNT, 3072), np.uint8), "labels": [True] * COUNT}, "label 0 is not"),
        ({"data": np.zeros((COUNT, 3072), np.uint8), "labels": [2**1000] * COUNT}, "label 0 is not"),
    ],
)
def test_cifar10_python_content_is_checked(tmp_path: Path, batch: dict[str, Any], message: str) -> None:
    """A pickle of plain values that is not a batch is refused by the file's name and what is wrong with it."""
    write_python(tmp_path)
    (tmp_path / "data_batch_2").write_bytes(pickle.dumps(batch, protocol=2))
    with pytest.raises(FileError, match=f"data_batch_2: {message}") as error:
        load_cifar10(tmp_path, COUNT)
    one_line(error)


# Pickles


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch owned",)


def nested(depth: int) -> bytes:
    """A pickle of lists in lists."""
    return b"\x80\x02" + b"]" * depth + b"a" * (depth - 1) + b"."


ENCODE_AGAIN = (
    b"\x80\x02(X" + struct.pack("<I", 1 << 20) + b"x" * (1 << 20) + b"q\x00U\x06latin1q\x01c_codecs\nencode\nq\x02"
)
ENCODE_AGAIN += b"h\x02h\x00h\x01\x86R" * 20_000 + b"t."

REFUSED = {
    "call": (pickle.dumps(Malicious(), protocol=2), r"byte \d+: opcode GLOBAL: refers to 'posix system'"),
    "call protocol 0": (b"cos\nsystem\n(S'true'\ntR.", r"byte 0: opcode GLOBAL: refers to 'os system'"),
    "call protocol 4": (pickle.dumps(Malicious(), protocol=4), r"byte 0: opcode PROTO: protocol 4, expected 2"),
    "eval": (b"\x80\x02c__builtin__\neval\nX\x01\0\0\x001\x85R.", r"refers to '__builtin__ eval'"),
    "codec": (b"\x80\x02c_codecs\nencode\nX\x01\0\0\x001X\x03\0\0\x00zip\x86R.", r"opcode REDUCE: calls something"),
    "dtype": (b"\x80\x02cnumpy\ndtype\nU\x02O8K\x00K\x01\x87R.", r"opcode REDUCE: calls something"),
    "call of a value": (b"\x80\x02]]\x85R.", r"byte 5: opcode REDUCE: calls something"),
    "class": (b"\x80\x02cnumpy\nndarray\n)\x81.", r"opcode NEWOBJ: does not belong"),
    "instance": (b"(ios\nsystem\n.", r"byte 1: opcode INST: does not belong"),
    "persistent": (b"\x80\x02U\x01xQ.", r"opcode BINPERSID: does not belong"),
    "extension": (b"\x80\x02\x82\x01.", r"opcode EXT1: does not belong"),
    "terminal": (b"\x80\x02c\x1b]0;owned\x07\nx\n.", r"refers to '\\x1b\]0;owned\\x07 x'"),
    "other array": (pickle.dumps({"data": np.zeros(3, np.int16)}, protocol=2), r"opcode REDUCE: calls something"),
    "objects": (pickle.dumps({"data": np.array([[], None], object)}, protocol=2), r"opcode REDUCE: calls something"),
    "order": (pickle.dumps({"d": np.zeros((3, 2), np.uint8, "F")}, protocol=2), r"opcode BUILD: .*row-major"),
    "nothing": (b"", r"byte 0: the pickle is damaged or cut short"),
    "unknown opcode": (b"\x80\x02\xff.", r"byte 2: the pickle is damaged or cut short"),
    "excess": (b"\x80\x02}..", r"has 1 bytes after the pickle"),
    "empty memo": (b"\x80\x02j\xff\xff\xff\x7f.", r"byte 2: opcode LONG_BINGET: memo 2147483647 is empty"),
    "empty stack": (b"\x80\x02.", r"holds something other than one dict"),
    "put of nothing": (b"\x80\x02r\xff\xff\xff\x7f.", r"opcode LONG_BINPUT: the stack is empty"),
    "huge string": (b"\x80\x02T\xff\xff\xff\x7fabc.", r"byte 2: the pickle is damaged or cut short"),
    "huge number": (b"\x80\x02\x8b\xff\xff\xff\x7fabc.", r"byte 2: the pickle is damaged or cut short"),
    "long number": (b"\x80\x02\x8b\x00\x00\x10\x00" + b"\x11" * (1 << 20) + b".", r"opcode LONG4: does not belong"),
    "decimal number": (b"I" + b"9" * 100_000 + b"\n.", r"byte 0: the pickle is damaged or cut short"),
    "no mark": (b"\x80\x02]e.", r"opcode APPENDS: there is no mark"),
    "marked value": (b"\x80\x02](\x85.", r"opcode TUPLE1: the stack has fewer than 1"),
    "odd items": (b"\x80\x02}(K\x01u.", r"opcode SETITEMS: sets items"),
    "append to dict": (b"\x80\x02}K\x01a.", r"opcode APPEND: appends to something"),
    "deep key": (b"\x80\x02})" + b"\x85" * 50_000 + b"K\x01s.", r"opcode SETITEM: a dict's key is not a text"),
    "twice": (b"\x80\x02}(U\x01aK\x01U\x01aK\x01u.", r"has the key 'a' twice"),
    "deep nesting": (nested(30_000), r"something other than one dict"),
    "self reference": (b"\x80\x02]q\x00h\x00a.", r"something other than one dict"),
    "memo bomb": (b"\x80\x02)" + b"q\x00h\x00\x86" * 30_000 + b".", r"something other than one dict"),
    "opcodes": (b"\x80\x02" + b"N" * (1 << 22) + b".", r"more than 262,144 opcodes"),
    "bytes again": (ENCODE_AGAIN, r"opcode REDUCE: makes more bytes than the file has"),
    "state twice": (
        python2_pickle(np.zeros((1, 3), np.uint8), [0]).replace(b"tbU\x09filenames", b"tbNbU\x09filenames"),
        r"opcode BUILD: sets the state of something other than a new array",
    ),
    "shape": (
        python2_pickle(np.zeros((1, 3), np.uint8), [0]).replace(b"M\x01\x00J\x03", b"M\xff\xffJ\x03"),
        r"opcode BUILD: the bytes of an array do not fit its shape",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_pickles_that_ask_for_more_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is not plain values is refused with opcode and offset, unrun, in bounded memory."""
    content, message = REFUSED[name]
    monkeypatch.chdir(tmp_path)
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match=message) as error:
            read_pickle(Path("batch"), content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert one_line(error).startswith("batch: ")
    assert not any(tmp_path.iterdir())
    assert peak < (64 << 20) + 8 * len(content)


def test_every_prefix_of_a_pickle_is_refused() -> None:
    """A batch cut short anywhere is refused."""
    content = python2_pickle(np.zeros((2, 5), np.uint8), [1, 2])
    assert read_pickle(Path("batch"), content)["labels"] == [1, 2]
    for length in range(len(content)):
        with pytest.raises(FileError, match="batch: "):
            read_pickle(Path("batch"), content[:length])


@given(st.data(), st.sampled_from(sorted(PICKLES)))
def test_damaged_pickles_never_fail_otherwise(data: st.DataObject, style: str) -> None:
    """With bytes changed, a pickle is read as a dict of plain values or refused, and nothing else happens."""
    content = bytearray(PICKLES[style](random_images(30, 3, 7), [1, 2, 3]))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    try:
        batch = read_pickle(Path("batch"), bytes(content))
    except FileError:
        return
    allowed = str | bytes | int | list | tuple | dict | np.ndarray | None
    assert type(batch) is dict
    assert all(type(key) is str for key in batch)
    assert all(
        isinstance(value, allowed) or type(value).__module__ == "fxsim.data.array_pickle" for value in batch.values()
    )


# SVHN


def svhn_variables(seed: int, n: int, label_type: Any = np.uint8) -> dict[str, Any]:
    """The variables of a published file."""
    labels = np.array([1 + i % 10 for i in range(n)], label_type)[:, None]
    return {"X": random_images(seed, 32, 32, 3, n), "y": labels}


def write_svhn(folder: Path, compressed: bool = True, label_type: Any = np.uint8) -> None:
    """The two files, as SciPy writes MATLAB 5."""
    from scipy.io import savemat

    for seed, (name, n) in enumerate((("train", 14), ("test", 5))):
        savemat(folder / f"{name}_32x32.mat", svhn_variables(seed, n, label_type), do_compression=compressed)


@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("label_type", [np.uint8, np.float64])
def test_svhn_is_read_as_published(tmp_path: Path, compressed: bool, label_type: Any) -> None:
    """MATLAB's column-major [32, 32, 3, n] becomes [n, 32, 32, 3], and label 10 the class 0."""
    write_svhn(tmp_path, compressed, label_type)
    data = load_data(DataSource.SVHN, tmp_path)
    for seed, (part, n) in enumerate(((data.train, 14), (data.test, 5))):
        variables = svhn_variables(seed, n)
        assert part.labels.tolist() == [(1 + i % 10) % 10 for i in range(n)]
        for i in range(n):
            assert np.array_equal(part.images[i], variables["X"][:, :, :, i])
    assert (data.name, data.classes) == ("svhn", 10)


def test_svhn_names_what_is_missing(tmp_path: Path) -> None:
    """Without its two files a folder is refused, and both are named."""
    with pytest.raises(FileError, match=r"has no file train_32x32\.mat, test_32x32\.mat, expected") as error:
        load_data(DataSource.SVHN, tmp_path)
    one_line(error)
    with pytest.raises(FileError, match="there is no such folder"):
        load_data(DataSource.SVHN, tmp_path / "none")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"X": np.zeros((32, 32, 3, 5), np.int16)}, r"variable X is int16 \(32, 32, 3, 5\)"),
        ({"X": np.zeros((32, 32, 1, 5), np.uint8)}, "variable X is uint8"),
        ({"X": np.zeros((32, 32, 3, 0), np.uint8)}, r"variable X is uint8 \(32, 32, 3, 0\)"),
        ({"X": "text"}, "variable X is char"),
        ({"X": np.array([[1, "a"]], object)}, "variable X is cell"),
        ({"y": np.ones((4, 1), np.uint8)}, r"variable y is uint8 \(4, 1\), expected uint8 or double \(5, 1\)"),
        ({"y": np.ones((5, 1), np.complex128)}, "variable y is complex"),
        ({"y": np.zeros((5, 1), np.uint8)}, "label 0 is 0, expected 1 to 10"),
        ({"y": np.full((5, 1), 1.5)}, "label 0 is 1.5, expected 1 to 10"),
        ({"y": np.full((5, 1), np.nan)}, "label 0 is nan, expected 1 to 10"),
    ],
)
def test_svhn_content_is_checked(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    """Variables of other types, shapes or values than published are refused by the file's name."""
    from scipy.io import savemat

    write_svhn(tmp_path)
    savemat(tmp_path / "test_32x32.mat", svhn_variables(1, 5) | change, do_compression=True)
    with pytest.raises(FileError, match=rf"test_32x32\.mat: .*{message}") as error:
        load_data(DataSource.SVHN, tmp_path)
    one_line(error)


def test_svhn_missing_variable_is_named(tmp_path: Path) -> None:
    """A MATLAB file without y is refused."""
    from scipy.io import savemat

    write_svhn(tmp_path)
    savemat(tmp_path / "train_32x32.mat", {"X": np.zeros((32, 32, 3, 5), np.uint8)})
    with pytest.raises(FileError, match="variable y is missing"):
        load_data(DataSource.SVHN, tmp_path)


def test_svhn_damage_is_refused_in_one_line(tmp_path: Path) -> None:
    """Files cut short, with bytes changed, of another format or all noise are refused, or read where nothing shows."""
    write_svhn(tmp_path, compressed=False)
    file = tmp_path / "test_32x32.mat"
    content = file.read_bytes()
    rng = np.random.default_rng([SEED, 40])
    damaged = [content[:n] for n in (0, 100, 127, 128, 131, 140, len(content) // 2, len(content) - 1)]
    damaged += [b"\x89HDF\r\n\x1a\n" + bytes(600), rng.bytes(2000), content + b"\0\0\0"]
    for new in damaged:
        file.write_bytes(new)
        with pytest.raises(FileError, match=r"test_32x32\.mat: ") as error:
            load_data(DataSource.SVHN, tmp_path)
        one_line(error)
    for _ in range(300):
        changed = bytearray(content)
        changed[int(rng.choice([rng.integers(120, 200), rng.integers(len(content) - 80, len(content))]))] = (
            rng.integers(256)
        )
        file.write_bytes(changed)
        # Some changes are harmless: in the description of an element's name, say.
        with contextlib.suppress(FileError):
            load_data(DataSource.SVHN, tmp_path)


def test_svhn_zip_bomb_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compressed elements are inflated up to the bound and no further."""
    from fxsim.data import svhn

    write_svhn(tmp_path)
    bound = 1 << 20
    monkeypatch.setattr(svhn, "_BYTES_MAX", bound)
    header = (tmp_path / "test_32x32.mat").read_bytes()[:128]
    bomb = zlib.compress(bytes(64 << 20))
    (tmp_path / "train_32x32.mat").write_bytes(header + struct.pack("<II", 15, len(bomb)) + bomb)
    tracemalloc.start()
    try:
        with pytest.raises(FileError, match="element at byte 128: is larger when decompressed"):
            load_data(DataSource.SVHN, tmp_path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 8 * bound


# .npz


def write_npz(folder: Path, colours: int | None = 3) -> tuple[npt.NDArray[np.uint8], list[int]]:
    """Two shards to train with and a file to test with, all of different types and orders; what they hold."""
    shape = (7, 5, 4) if colours is None else (7, 5, 4, colours)
    images, labels = random_images(50, *shape), [0, 1, 2, 0, 1, 2, 1]
    np.savez_compressed(folder / "train_01.npz", images=images[3:], labels=np.array(labels[3:], ">i2"))
    np.savez(folder / "train_00.npz", images=np.asfortranarray(images[:3]), labels=np.array(labels[:3], np.uint8))
    np.savez(folder / "test.npz", images=images[:2], labels=np.array([2, 0]))
    return images, labels


@pytest.mark.parametrize("colours", [None, 1, 3])
def test_npz_shards_follow_in_the_order_of_their_names(tmp_path: Path, colours: int | None) -> None:
    """Shards are joined by name; grey pictures may lack the last axis; any whole numbers may be labels."""
    images, labels = write_npz(tmp_path, colours)
    data = load_data(DataSource.NPZ, tmp_path)
    assert np.array_equal(data.train.images, images.reshape(7, 5, 4, colours or 1))
    assert data.train.labels.tolist() == labels
    assert data.test.labels.tolist() == [2, 0]
    assert (data.name, data.classes) == ("npz", 3)


def array_bytes(array: npt.NDArray[Any], header: dict[str, Any] | None = None) -> bytes:
    """A .npy file, its header telling the truth unless one is given."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, header or np.lib.format.header_data_from_array_1_0(array))
    return file.getvalue() + array.tobytes()


def archive(**members: bytes) -> bytes:
    """An archive with members of these contents."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as target:
        for name, content in members.items():
            target.writestr(f"{name}.npy", content)
    return file.getvalue()


IMAGES = np.full((2, 5, 4, 3), 7, np.uint8)
LABELS = np.array([0, 1])


def pair(images: npt.NDArray[Any] = IMAGES, labels: npt.NDArray[Any] = LABELS) -> bytes:
    """An archive of images and labels."""
    return archive(images=array_bytes(images), labels=array_bytes(labels))


def stated(shape: tuple[int, ...], dtype: str = "|u1") -> dict[str, Any]:
    """A .npy header."""
    return {"descr": dtype, "fortran_order": False, "shape": shape}


NPZ_REFUSED = {
    "missing array": (archive(images=array_bytes(IMAGES)), r"holds 'images\.npy', expected the arrays"),
    "other array": (
        archive(images=array_bytes(IMAGES), labels=array_bytes(LABELS), more=array_bytes(LABELS)),
        "expected the arrays images and labels and nothing else",
    ),
    "type": (pair(IMAGES.astype(np.float32)), r"images are float32 \(2, 5, 4, 3\), expected uint8"),
    "colours": (pair(np.zeros((2, 5, 4, 2), np.uint8)), r"images are uint8 \(2, 5, 4, 2\)"),
    "dimensions": (pair(np.zeros((2, 5), np.uint8)), r"images are uint8 \(2, 5\)"),
    "empty sides": (pair(np.zeros((2, 0, 4), np.uint8)), r"images are uint8 \(2, 0, 4\)"),
    "no pictures": (pair(IMAGES[:0], LABELS[:0]), "holds no pictures"),
    "size": (pair(IMAGES[:, :4]), r"pictures of shape \(4, 4, 3\), expected \(5, 4, 3\) as in train_00\.npz"),
    "labels' type": (pair(labels=np.array([0.0, 1.0])), "labels are float64"),
    "labels' shape": (pair(labels=LABELS[:1]), r"labels are int64 \(1,\), expected whole numbers \(2,\)"),
    "negative label": (pair(labels=np.array([0, -1])), "label 1 is -1, expected 0 to 999"),
    "great label": (pair(labels=np.array([2**64 - 1, 0], np.uint64)), "label 0 is 18446744073709551615"),
    "class without picture": (pair(labels=np.array([0, 5])), "no picture of class 3 in train"),
    "objects": (
        archive(images=array_bytes(IMAGES), labels=array_bytes(LABELS, stated((2,), "|O"))),
        "values are of type object, expected numbers",
    ),
    "huge": (archive(images=array_bytes(IMAGES, stated((1 << 40, 5, 4, 3))), labels=array_bytes(LABELS)), "labels are"),
    "huge both": (
        archive(
            images=array_bytes(IMAGES, stated((1 << 40, 5, 4, 3))),
            labels=array_bytes(LABELS, stated((1 << 40,), "<i8")),
        ),
        "have more than 2,147,483,648 bytes",
    ),
    "fewer": (archive(images=array_bytes(IMAGES)[:-1], labels=array_bytes(LABELS)), "images has fewer bytes"),
    "more": (archive(images=array_bytes(IMAGES), labels=array_bytes(LABELS) + b"\0"), "labels has more bytes"),
    "header": (archive(images=b"\x93NUMPY\x01\x00\x04\x00{1:\n", labels=array_bytes(LABELS)), "is not a whole .npz"),
    "no array": (archive(images=b"\x1b[2J", labels=array_bytes(LABELS)), "is not a whole .npz"),
    "no archive": (b"PK\x03\x04 and so on", "is not a whole .npz"),
    "nothing": (b"", "is not a whole .npz"),
    "cut short": (pair()[:-30], "is not a whole .npz"),
    "checksum": (pair().replace(b"\x07" * 100, b"\x08" * 100), r"is not a whole \.npz file of numbers: Bad CRC-32"),
}


@pytest.mark.parametrize("name", NPZ_REFUSED)
def test_npz_damage_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    """Whatever is wrong in a shard is named with the file, sizes before anything is read."""
    write_npz(tmp_path)
    content, message = NPZ_REFUSED[name]
    (tmp_path / "train_01.npz").write_bytes(content)
    with pytest.raises(FileError, match=message) as error:
        load_data(DataSource.NPZ, tmp_path)
    assert "train_01.npz: " in one_line(error) or name == "class without picture"


def test_npz_names_what_is_missing(tmp_path: Path) -> None:
    """Without files of either split a folder is refused with the layout."""
    with pytest.raises(
        FileError, match=r"has no file train\*\.npz, expected files train\*\.npz and test\*\.npz"
    ) as error:
        load_data(DataSource.NPZ, tmp_path)
    one_line(error)
    write_npz(tmp_path)
    (tmp_path / "test.npz").unlink()
    with pytest.raises(FileError, match=r"has no file test\*\.npz"):
        load_data(DataSource.NPZ, tmp_path)
    with pytest.raises(FileError, match="is not a folder"):
        load_data(DataSource.NPZ, tmp_path / "train_00.npz")


def test_npz_bound_is_of_all_shards_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shards that fit one by one are refused where together they pass the bound."""
    images, labels = write_npz(tmp_path)
    # Labels count as the int64 that they become.
    counted = images.nbytes + 8 * len(labels) + images[:2].nbytes + 2 * 8
    monkeypatch.setattr(npz_module, "BYTES_MAX", counted)
    load_data(DataSource.NPZ, tmp_path)
    monkeypatch.setattr(npz_module, "BYTES_MAX", counted - 1)
    with pytest.raises(FileError, match=r"test\.npz: the data set's arrays have more than"):
        load_data(DataSource.NPZ, tmp_path)


# Augmentation


@given(st.integers(0, 4), st.sampled_from([1, 3]), st.integers(0, 2**32))
def test_crop_is_a_window_of_the_padded_picture(padding: int, colours: int, seed: int) -> None:
    """Every pixel of a crop is the one that the offset says, or zero from outside the picture."""
    rng = np.random.default_rng([SEED, seed])
    images = rng.integers(1, 256, (4, 5, 6, colours), np.uint8)
    offsets = rng.integers(0, 2 * padding + 1, (4, 2))
    cropped = crop(images, padding, offsets)
    for i, y, x, c in np.ndindex(*images.shape):
        sy, sx = y + int(offsets[i, 0]) - padding, x + int(offsets[i, 1]) - padding
        inside = 0 <= sy < 5 and 0 <= sx < 6
        assert cropped[i, y, x, c] == (images[i, sy, sx, c] if inside else 0)


@pytest.mark.parametrize("colours", [1, 3])
def test_crops_and_flips_take_every_place(colours: int) -> None:
    """Each augmented picture is one of the 9 x 2 possible, all of them come, each about as often as the others."""
    image = random_images(60, 1, 4, 5, colours)
    possible = {}
    for dy in range(3):
        for dx in range(3):
            padded = np.zeros((6, 7, colours), np.uint8)
            padded[1:5, 1:6] = image[0]
            window = padded[dy : dy + 4, dx : dx + 5]
            possible[window.tobytes()] = (dy, dx, 0)
            possible[np.ascontiguousarray(window[:, ::-1]).tobytes()] = (dy, dx, 1)
    assert len(possible) == 18
    n = 3600
    result = augment(np.repeat(image, n, axis=0), Augmentation(crop_padding=1, flip=True), np.random.default_rng(SEED))
    counts = collections.Counter(possible[picture.tobytes()] for picture in result)
    # 200 each expected, standard deviation 14: five of them either way.
    assert len(counts) == 18
    assert all(130 <= count <= 270 for count in counts.values())


def test_augmentation_defaults_change_nothing() -> None:
    """The default augmentation returns the pictures, in memory of their own."""
    images = random_images(61, 3, 4, 4, 3)
    result = augment(images, Augmentation(), np.random.default_rng(SEED))
    assert np.array_equal(result, images)
    assert not np.shares_memory(result, images)


def test_augmentation_is_decided_by_the_generator() -> None:
    """The same state of the generator gives the same pictures, another gives others; the input stays as it was."""
    images = random_images(62, 20, 8, 8, 3)
    before = images.copy()
    augmentation = Augmentation(2, True, 2, 12)
    first, again, other = (augment(images, augmentation, np.random.default_rng([SEED, s])) for s in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(images, before)
    assert (first.dtype, first.shape) == (np.uint8, images.shape)


@pytest.mark.parametrize(
    "fields", [{"crop_padding": -1}, {"rand_augment_ops": -1}, {"rand_augment_magnitude": 31}, {"crop_padding": 5000}]
)
def test_augmentation_refuses_numbers_out_of_range(fields: dict[str, int]) -> None:
    """Numbers out of range are refused by name."""
    with pytest.raises(FxsimError, match=next(iter(fields))):
        Augmentation(**fields)


def torchvision_operation(picture: Image.Image, name: str, magnitude: int, negative: bool) -> Image.Image:
    """RandAugment's operations written out from torchvision's definition, with torch's own levels."""
    import torch

    width, height = picture.size
    tops = {"ShearX": 0.3, "ShearY": 0.3, "Rotate": 30.0, "Brightness": 0.9, "Color": 0.9, "Contrast": 0.9}
    tops |= {"Sharpness": 0.9, "TranslateX": 150.0 / 331.0 * width, "TranslateY": 150.0 / 331.0 * height}
    value = float(torch.linspace(0.0, tops.get(name, 0.0), 31)[magnitude])
    value = -value if negative else value
    if name.startswith(("Shear", "Translate")):
        pixels = np.asarray(picture)
        result = np.zeros_like(pixels)
        # Where the centre of the pixel (x, y) falls, in Pillow's 2^-16 of a pixel; each coefficient is rounded to them.
        at = {"ShearX": (1, value, 0, 0, 1, 0), "ShearY": (1, 0, 0, value, 1, 0)}.get(name)
        a, b, c, d, e, f = at or (
            1,
            0,
            -int(value) * (name == "TranslateX"),
            0,
            1,
            -int(value) * (name == "TranslateY"),
        )
        fixed = [math.floor(k * 65536 + 0.5) for k in (a, b, c + a / 2 + b / 2, d, e, f + d / 2 + e / 2)]
        for y, x in np.ndindex(height, width):
            sx = (fixed[0] * x + fixed[1] * y + fixed[2]) >> 16
            sy = (fixed[3] * x + fixed[4] * y + fixed[5]) >> 16
            if 0 <= sx < width and 0 <= sy < height:
                result[y, x] = pixels[sy, sx]
        return Image.fromarray(result)
    if name == "Rotate":
        return picture.rotate(value, Image.Resampling.NEAREST, expand=False, center=None, fillcolor=None)
    if name in tops:
        enhanced: Image.Image = getattr(ImageEnhance, name)(picture).enhance(1.0 + value)
        return enhanced
    if name == "Posterize":
        return ImageOps.posterize(picture, 8 - int((torch.arange(31) / (30 / 4)).round()[magnitude]))
    if name == "Solarize":
        threshold = float(torch.linspace(255.0, 0.0, 31)[magnitude])
        return picture.point([i if i < threshold else 255 - i for i in range(256)] * len(picture.getbands()))
    if name == "AutoContrast":
        return ImageOps.autocontrast(picture)
    return ImageOps.equalize(picture) if name == "Equalize" else picture


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_rand_augment_operations_are_torchvisions(name: str, mode: str) -> None:
    """Each operation, at each of the 31 magnitudes and in both directions, gives what torchvision's definition says."""
    shape = (11, 16) if mode == "L" else (11, 16, 3)
    picture = Image.fromarray(np.random.default_rng([SEED, 70]).integers(1, 256, shape, np.uint8))
    signed = name.startswith(("Shear", "Translate", "Rotate", "Bright", "Color", "Contr", "Sharp"))
    for magnitude in range(31):
        for negative in (False, True):
            found = apply_operation(picture, name, magnitude, negative)
            expected = torchvision_operation(picture, name, magnitude, negative and signed)
            assert (found.mode, found.size) == (mode, picture.size)
            assert np.array_equal(np.asarray(found), np.asarray(expected)), (magnitude, negative)


def test_rand_augment_has_torchvisions_operations() -> None:
    """The fourteen operations, in torchvision's order."""
    names = (
        "Identity ShearX ShearY TranslateX TranslateY Rotate Brightness Color Contrast Sharpness Posterize Solarize "
    )
    assert list(OPERATIONS) == (names + "AutoContrast Equalize").split()


@pytest.mark.parametrize("colours", [1, 3])
def test_rand_augment_at_magnitude_zero(colours: int) -> None:
    """At magnitude 0 a picture without white, already of full contrast for its range, changes by equalising alone."""
    image = random_images(71, 8, 8, colours)
    image[image == 255] = 254
    picture = Image.fromarray(image[..., 0] if colours == 1 else image)
    for name in OPERATIONS:
        if name not in ("AutoContrast", "Equalize"):
            for negative in (False, True):
                assert apply_operation(picture, name, 0, negative).tobytes() == picture.tobytes(), name


@pytest.mark.parametrize("colours", [1, 3])
def test_rand_augment_draws_every_operation(colours: int) -> None:
    """Two operations a picture: every result is one of the possible pairs, and every operation is drawn."""
    image = random_images(72, 1, 6, 7, colours)
    picture = Image.fromarray(image[0, ..., 0] if colours == 1 else image[0])
    pairs = [(name, negative) for name in OPERATIONS for negative in (False, True)]
    single = {apply_operation(picture, name, 20, minus).tobytes() for name, minus in pairs}
    double = set()
    for first in pairs:
        once = apply_operation(picture, first[0], 20, first[1])
        double |= {apply_operation(once, name, 20, minus).tobytes() for name, minus in pairs}
    for ops, possible in ((1, single), (2, double)):
        many = np.repeat(image, 600, axis=0)
        result = augment(many, Augmentation(0, False, ops, 20), np.random.default_rng([SEED, ops]))
        found = {picture.tobytes() for picture in result}
        assert found <= possible
        # All 23 or fewer different results of one operation come in 600 draws, but for odds of 28 * exp(-600 / 28).
        assert ops == 2 or found == possible


def test_import_is_light() -> None:
    """Importing the room, and reading the digits, loads neither torch nor SciPy, scikit-learn or Pillow."""
    code = "import sys; from fxsim.data import load_data; load_data('digits'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "fxsim.data.pictures" in loaded
    assert not {"torch", "scipy", "sklearn", "PIL"} & {name.split(".")[0] for name in loaded}


# STL-10


STL10_COUNTS = {"train": 11, "test": 4}


def write_stl10(folder: Path) -> dict[str, npt.NDArray[np.uint8]]:
    """The files of the binary version, pixel by pixel as they are published, and pictures [n, row, column, colour]."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for seed, (name, count) in enumerate(STL10_COUNTS.items()):
        images = random_images(seed, count, 96, 96, 3)
        planes = [images[i, :, column, colour] for i in range(count) for colour in range(3) for column in range(96)]
        (folder / f"{name}_X.bin").write_bytes(b"".join(plane.tobytes() for plane in planes))
        (folder / f"{name}_y.bin").write_bytes(bytes(1 + i % 10 for i in range(count)))
        found[name] = images
    (folder / "unlabeled_X.bin").write_bytes(bytes(3 * 27_648))
    return found


@pytest.mark.parametrize("inner", ["", "stl10_binary"])
def test_stl10_is_read_as_published(tmp_path: Path, inner: str) -> None:
    """Planes of columns become [n, 96, 96, 3], labels 1 to 10 become 0 to 9; pictures without labels are left alone."""
    images = write_stl10(tmp_path / inner)
    data = load_stl10(tmp_path, *STL10_COUNTS.values())
    for name, part in (("train", data.train), ("test", data.test)):
        np.testing.assert_array_equal(part.images, images[name])
        assert part.labels.tolist() == [i % 10 for i in range(STL10_COUNTS[name])]
    assert (data.name, data.classes) == ("stl10", 10)


def test_stl10_names_what_is_missing(tmp_path: Path) -> None:
    """A folder without its files, or with other numbers of pictures than published, is refused by name."""
    with pytest.raises(FileError, match=r"has no file train_X\.bin, train_y\.bin, test_X\.bin, test_y\.bin") as error:
        load_data(DataSource.STL10, tmp_path)
    one_line(error)
    with pytest.raises(FileError, match="there is no such folder"):
        load_data(DataSource.STL10, tmp_path / "none")
    write_stl10(tmp_path)
    with pytest.raises(FileError, match=r"train_X\.bin: has 304,128 bytes, expected 138,240,000: 5,000 pictures of 96"):
        load_data(DataSource.STL10, tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("train_X.bin", lambda old: old[:-1], r"train_X\.bin: has 304,127 bytes, expected 304,128: 11 pictures"),
        ("train_X.bin", lambda old: old + b"0", r"train_X\.bin: is larger than 304,128 bytes"),
        ("test_y.bin", lambda old: old[:-1], r"test_y\.bin: has 3 bytes, expected 4: 4 labels"),
        ("test_y.bin", lambda old: old[:2] + bytes([0]) + old[3:], r"test_y\.bin: label 2 is 0, expected 1 to 10"),
        ("train_y.bin", lambda old: bytes([11]) + old[1:], r"train_y\.bin: label 0 is 11, expected 1 to 10"),
    ],
)
def test_stl10_content_is_checked(tmp_path: Path, name: str, change: Callable[[bytes], bytes], message: str) -> None:
    """Files cut short or too long, and labels out of range, are one message with the file."""
    write_stl10(tmp_path)
    (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))
    with pytest.raises(FileError, match=message) as error:
        load_stl10(tmp_path, *STL10_COUNTS.values())
    one_line(error)
