"""SVHN's cropped digits: colour pictures of 32 x 32 pixels, from train_32x32.mat and test_32x32.mat (MATLAB 5)."""

from pathlib import Path

import numpy as np

from fxsim.data.folder import check_files, check_folder, read_bounded
from fxsim.data.mat5 import Variable, read_variables
from fxsim.data.pictures import DataSet, Pictures
from fxsim.errors import FileError

_CLASSES = 10
_FILES = ("train_32x32.mat", "test_32x32.mat")
_LAYOUT = "train_32x32.mat and test_32x32.mat of SVHN's format 2, cropped digits"

_PICTURES_MAX = 100_000
"""A file's pictures, at most; the larger published one has 73,257."""

_BYTES_MAX = _PICTURES_MAX * (3 * 32 * 32 + 8) + (1 << 16)
"""A file's bytes, at most, compressed or not: pictures, labels of up to eight bytes, headers."""

_ABSENT = Variable("missing", (), None)


def load_svhn(path: Path) -> DataSet:
    """SVHN's cropped digits from a folder with train_32x32.mat and test_32x32.mat; extra_32x32.mat is not read.

    Label 10 means the digit 0, as published. FileError where a file is missing or damaged, or its variables X and y are
    not what is published.
    """
    check_folder(path, _LAYOUT)
    check_files(path, _FILES, _LAYOUT)
    train, test = (_read(path / name) for name in _FILES)
    return DataSet("svhn", _CLASSES, train, test)


def _read(path: Path) -> Pictures:
    variables = read_variables(path, read_bounded(path, _BYTES_MAX), _BYTES_MAX)
    x, y = variables.get("X", _ABSENT), variables.get("y", _ABSENT)
    images, labels = x.values, y.values
    fits = len(x.shape) == 4 and x.shape[:3] == (32, 32, 3) and 1 <= x.shape[3] <= _PICTURES_MAX
    if images is None or images.dtype != np.uint8 or x.kind != "uint8" or not fits:
        raise FileError(
            f"{path}: variable X is {x.kind} {x.shape}, expected uint8 (32, 32, 3, n), n from 1 to {_PICTURES_MAX:,}"
        )
    if labels is None or y.kind not in ("uint8", "double") or y.shape != (x.shape[3], 1):
        raise FileError(f"{path}: variable y is {y.kind} {y.shape}, expected uint8 or double ({x.shape[3]}, 1)")
    labels = labels[:, 0]
    wrong = np.flatnonzero(~np.isin(labels, np.arange(1, 11)))
    if len(wrong):
        raise FileError(f"{path}: label {wrong[0]:,} is {labels[wrong[0]]}, expected 1 to 10, 10 for the digit 0")
    return Pictures(np.ascontiguousarray(images.transpose(3, 0, 1, 2)), labels.astype(np.int64) % 10)
