"""The data sets by name."""

from enum import StrEnum
from pathlib import Path

from fxsim.data.pictures import DataSet
from fxsim.errors import FileError, StimulusError


class DataSource(StrEnum):
    """The source of pictures."""

    DIGITS = "digits"
    CIFAR10 = "cifar10"
    SVHN = "svhn"
    STL10 = "stl10"
    NPZ = "npz"


def load_data(source: DataSource, path: Path | None = None) -> DataSet:
    """The data set of a source; `path` is its folder, and None for the digits, which scikit-learn brings along.

    docs/data.md states each folder's layout. FileError where the folder is missing, or anything in it is damaged or not
    a data set: labels out of range, no pictures, a class without a picture to train with.
    """
    # Readers are imported when they are used: SciPy takes its time.
    if source == DataSource.DIGITS:
        if path is not None:
            raise FileError(f"{path}: the data set digits comes with scikit-learn, expected no folder")
        from fxsim.data.digits import load_digits

        return load_digits()
    if path is None:
        raise FileError(f"the data set {source} needs its folder, none was given")
    from fxsim.data.cifar10 import load_cifar10
    from fxsim.data.npz import load_npz
    from fxsim.data.stl10 import load_stl10
    from fxsim.data.svhn import load_svhn

    read = {
        DataSource.CIFAR10: load_cifar10,
        DataSource.SVHN: load_svhn,
        DataSource.STL10: load_stl10,
        DataSource.NPZ: load_npz,
    }[source]
    try:
        return read(path)
    except StimulusError as error:
        raise FileError(f"{path}: {error}") from None
