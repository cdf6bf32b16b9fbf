"""STL-10: colour pictures of 96 x 96 pixels in ten classes, as its authors publish it (Coates et al., 2011), binary.

A file of pictures has 3 x 96 x 96 bytes each: all red ones, then green, then blue, column by column from the left. A
file of labels has a byte each, 1 to 10. Pictures without labels (`unlabeled_X.bin`) are not read: nothing here learns
from them.
"""

from pathlib import Path

import numpy as np

from fxsim.data.folder import check_files, check_folder, read_bounded
from fxsim.data.pictures import DataSet, Pictures, UInt8
from fxsim.errors import FileError

_CLASSES = 10
_SIDE = 96
_VALUES = 3 * _SIDE * _SIDE

TRAIN, TEST = 5_000, 8_000
"""Pictures to train and to test with."""

_NAMES = ("train_X.bin", "train_y.bin", "test_X.bin", "test_y.bin")
_FOLDER = "stl10_binary"
_LAYOUT = f"{', '.join(_NAMES)}, in the folder itself or in {_FOLDER} inside it"


def load_stl10(path: Path, train: int = TRAIN, test: int = TEST) -> DataSet:
    """STL-10 from a folder with the four files of labelled pictures, or one that contains that folder.

    The files must hold exactly `train` and `test` pictures: the published ones hold 5,000 and 8,000, and one that was
    cut short is refused. Labels become 0 to 9. FileError where something is missing or damaged.
    """
    check_folder(path, _LAYOUT)
    folder = path / _FOLDER if (path / _FOLDER).is_dir() else path
    check_files(folder, _NAMES, _LAYOUT)
    parts = [
        Pictures(_read_pictures(folder / f"{name}_X.bin", count), _read_labels(folder / f"{name}_y.bin", count))
        for name, count in (("train", train), ("test", test))
    ]
    return DataSet("stl10", _CLASSES, *parts)


def _read(path: Path, pictures: int, each: int, what: str) -> UInt8:
    content = read_bounded(path, pictures * each)
    if len(content) != pictures * each:
        raise FileError(f"{path}: has {len(content):,} bytes, expected {pictures * each:,}: {pictures:,} {what}")
    return np.frombuffer(content, np.uint8)


def _read_pictures(path: Path, pictures: int) -> UInt8:
    """uint8 [n, row, column, colour]; in the file [n, colour, column, row]."""
    values = _read(path, pictures, _VALUES, "pictures of 96 x 96 pixels in 3 colours")
    return np.ascontiguousarray(values.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 3, 2, 1))


def _read_labels(path: Path, pictures: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    labels = _read(path, pictures, 1, "labels").astype(np.int64)
    wrong = np.flatnonzero((labels < 1) | (labels > _CLASSES))
    if len(wrong):
        raise FileError(f"{path}: label {wrong[0]:,} is {labels[wrong[0]]}, expected 1 to {_CLASSES}")
    return labels - 1
