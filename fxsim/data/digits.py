"""The handwritten digits that come with scikit-learn: the data set that every machine has."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from fxsim.data.pictures import DataSet, Pictures, UInt8
from fxsim.errors import FxsimError

_CLASSES = 10
_FILE = Path("datasets", "data", "digits.csv.gz")
"""Their file in the folder of scikit-learn: 64 intensities and a label a line. Importing that takes longer."""
_TEST_EVERY = 4
"""Every fourth picture of a class, in the order of the file, is for testing: no random numbers to change under us."""


def load_digits() -> DataSet:
    """1,797 grey pictures of 8 x 8 pixels: 1,352 to train with and 445 to test with, split within each class.

    Intensities 0 to 16 become 255 * v / 16, rounded to nearest, the one tie (v = 8) up. FxsimError where
    scikit-learn is not installed, or has no such file.
    """
    found = find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise FxsimError("the data set digits needs scikit-learn, which is not installed")
    path = Path(found.submodule_search_locations[0]) / _FILE
    if not path.is_file():
        raise FxsimError(f"the data set digits needs scikit-learn with {path}: there is no such file")
    lines = np.loadtxt(path, delimiter=",")
    values, labels = lines[:, :-1], lines[:, -1]
    # Half of 16 added before the whole division: round to nearest, ties up, in integers.
    images: UInt8 = ((values.astype(np.int64) * 255 + 8) // 16).astype(np.uint8).reshape(-1, 8, 8, 1)
    pictures = Pictures(images, labels.astype(np.int64))
    test = np.zeros(len(pictures), bool)
    for label in range(_CLASSES):
        test[np.flatnonzero(pictures.labels == label)[_TEST_EVERY - 1 :: _TEST_EVERY]] = True
    return DataSet("digits", _CLASSES, pictures.take(np.flatnonzero(~test)), pictures.take(np.flatnonzero(test)))
