"""CIFAR-10: 60,000 colour pictures of 32 x 32 pixels in ten classes, as its authors publish it, binary or python."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from fxsim.data.array_pickle import read_pickle
from fxsim.data.folder import check_files, check_folder, read_bounded
from fxsim.data.pictures import DataSet, Pictures, UInt8
from fxsim.errors import FileError

_CLASSES = 10
_VALUES = 3 * 32 * 32
"""Bytes of a picture: all red ones row by row, then green, then blue."""

PICTURES = 10_000
"""Pictures of each file."""

_TRAIN = tuple(f"data_batch_{i}" for i in range(1, 6))
_TEST = "test_batch"
_BINARY_FOLDER = "cifar-10-batches-bin"
_PYTHON_FOLDER = "cifar-10-batches-py"

_PICKLE_BYTES_MAX = 1 << 26
"""A published batch has 31 MB; rewritten by Python 3, which spells bytes as UTF-8, some 47 MB."""

_LAYOUT = (
    f"data_batch_1.bin to data_batch_5.bin and test_batch.bin, or data_batch_1 to data_batch_5 and test_batch, "
    f"in the folder itself or in {_BINARY_FOLDER} or {_PYTHON_FOLDER} inside it"
)


def load_cifar10(path: Path, pictures: int = PICTURES) -> DataSet:
    """CIFAR-10 from a folder with the six files of its binary or its python version, or one that contains that folder.

    Every file must hold exactly `pictures` pictures: the published ones hold 10,000, and one that was cut short is
    refused. FileError where something is missing or damaged. Where both versions are there, the binary one is read.
    """
    check_folder(path, _LAYOUT)
    folder, binary = _find(path)
    batches = [
        _read_binary(folder / f"{name}.bin", pictures) if binary else _read_python(folder / name, pictures)
        for name in (*_TRAIN, _TEST)
    ]
    train = Pictures(np.concatenate([b.images for b in batches[:-1]]), np.concatenate([b.labels for b in batches[:-1]]))
    return DataSet("cifar10", _CLASSES, train, batches[-1])


def _find(path: Path) -> tuple[Path, bool]:
    """The folder of the files, and whether they are of the binary version; the first place where any file is."""
    names = (*_TRAIN, _TEST)
    for folder in (path, path / _BINARY_FOLDER, path / _PYTHON_FOLDER):
        for files, binary in ((tuple(f"{name}.bin" for name in names), True), (names, False)):
            if any((folder / name).exists() for name in files):
                check_files(folder, files, _LAYOUT)
                return folder, binary
    raise FileError(f"{path}: holds no file of CIFAR-10, expected {_LAYOUT}")


def _read_binary(path: Path, pictures: int) -> Pictures:
    size = pictures * (1 + _VALUES)
    content = read_bounded(path, size)
    if len(content) != size:
        raise FileError(f"{path}: has {len(content):,} bytes, expected {size:,}: {pictures:,} labels and pictures")
    records = np.frombuffer(content, np.uint8).reshape(pictures, 1 + _VALUES)
    return _batch(path, records[:, 1:], records[:, 0].astype(np.int64))


def _read_python(path: Path, pictures: int) -> Pictures:
    batch = read_pickle(path, read_bounded(path, _PICKLE_BYTES_MAX))
    for key in ("data", "labels"):
        if key not in batch:
            raise FileError(f"{path}: has no '{key}', expected the pickle of a CIFAR-10 batch")
    data, labels = batch["data"], batch["labels"]
    if not isinstance(data, np.ndarray) or data.shape != (pictures, _VALUES):
        what = f"an array of shape {data.shape}" if isinstance(data, np.ndarray) else "not an array"
        raise FileError(f"{path}: 'data' is {what}, expected uint8 ({pictures}, {_VALUES})")
    if type(labels) is not list or len(labels) != pictures:
        raise FileError(f"{path}: 'labels' is not a list of {pictures:,} numbers, expected one for each picture")
    # Before they become an array: a whole number in a pickle may have any size.
    for i, label in enumerate(labels):
        if type(label) is not int or not 0 <= label < _CLASSES:
            raise FileError(f"{path}: label {i:,} is not a whole number from 0 to {_CLASSES - 1}")
    return _batch(path, data, np.array(labels, np.int64))


def _batch(path: Path, data: UInt8, labels: npt.NDArray[np.int64]) -> Pictures:
    wrong = np.flatnonzero(labels >= _CLASSES)
    if len(wrong):
        raise FileError(f"{path}: label {wrong[0]:,} is {labels[wrong[0]]}, expected 0 to {_CLASSES - 1}")
    planes = data.reshape(-1, 3, 32, 32)
    return Pictures(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels)
