"""A data set of one's own: a folder of train*.npz and test*.npz files."""

import zipfile
from pathlib import Path

import numpy as np

from fxsim.data.folder import check_folder, printable
from fxsim.data.pictures import DataSet, Pictures
from fxsim.data.preprocessing import SIZE_MAX
from fxsim.errors import FileError
from fxsim.formats.npy import ArrayHeader, read_header, read_values

CLASSES_MAX = 1000
BYTES_MAX = 1 << 31
"""Bytes of all arrays of a data set, at most."""

_ARRAYS = ("images", "labels")
_LAYOUT = (
    "files train*.npz and test*.npz, each with the arrays images, uint8 [n, height, width] or "
    "[n, height, width, colours], and labels, whole numbers [n]"
)


def load_npz(path: Path) -> DataSet:
    """The data set of a folder: the pictures of train*.npz, and of test*.npz, each in the order of the files' names.

    Labels count from 0; there are as many classes as the greatest label says, 1,000 at most. Sizes are taken from the
    arrays' headers and bounded before anything is decompressed. Objects are refused unread. FileError where a file is
    missing or damaged.
    """
    check_folder(path, _LAYOUT)
    splits = []
    left = BYTES_MAX
    for what in ("train", "test"):
        files = sorted(file for file in path.glob(f"{what}*.npz") if file.is_file())
        if not files:
            raise FileError(f"{path}: has no file {what}*.npz, expected {_LAYOUT}")
        shards = []
        for file in files:
            shards.append(_read(file, left))
            left -= shards[-1].images.nbytes + shards[-1].labels.nbytes
            if shards[-1].images.shape[1:] != shards[0].images.shape[1:]:
                raise FileError(
                    f"{file}: pictures of shape {shards[-1].images.shape[1:]}, expected {shards[0].images.shape[1:]} "
                    f"as in {files[0].name}"
                )
        images = np.concatenate([shard.images for shard in shards])
        splits.append(Pictures(images, np.concatenate([shard.labels for shard in shards])))
    classes = 1 + max(int(pictures.labels.max(initial=0)) for pictures in splits)
    return DataSet("npz", classes, *splits)


def _read(path: Path, limit: int) -> Pictures:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if sorted(names) != [f"{name}.npy" for name in _ARRAYS]:
                shown = printable(", ".join(sorted(names)[:5]))
                raise FileError(f"{path}: holds '{shown}', expected the arrays images and labels and nothing else")
            headers = {}
            for name in _ARRAYS:
                with archive.open(f"{name}.npy") as file:
                    headers[name] = read_header(file)
            _check(path, headers, limit)
            arrays = {}
            for name in _ARRAYS:
                with archive.open(f"{name}.npy") as file:
                    arrays[name] = read_values(file, read_header(file), f"{path}: {name}")
    except FileError:
        raise
    # Damaged archives and headers fail in ways that zipfile and numpy do not list.
    except Exception as error:
        reason = printable(str(error).split("\n")[0], 200)
        raise FileError(f"{path}: is not a whole .npz file of numbers: {reason}") from None
    images, labels = arrays["images"], arrays["labels"]
    wrong = np.flatnonzero((labels < 0) | (labels >= CLASSES_MAX))
    if len(wrong):
        raise FileError(f"{path}: label {wrong[0]:,} is {labels[wrong[0]]}, expected 0 to {CLASSES_MAX - 1}")
    return Pictures(images[..., None] if images.ndim == 3 else images, labels.astype(np.int64))


def _check(path: Path, headers: dict[str, ArrayHeader], limit: int) -> None:
    images, labels = headers["images"], headers["labels"]
    shape = images.shape
    fits = (
        len(shape) in (3, 4) and min(shape[1:3]) >= 1 and max(shape[1:3]) <= SIZE_MAX and shape[3:] in ((), (1,), (3,))
    )
    if images.dtype != np.uint8 or not fits:
        raise FileError(
            f"{path}: images are {images.dtype} {shape}, expected uint8 (n, height, width) or "
            f"(n, height, width, 1 or 3), height and width from 1 to {SIZE_MAX}"
        )
    if not shape[0]:
        raise FileError(f"{path}: holds no pictures, expected at least one")
    if labels.dtype.kind not in "iu" or labels.shape != shape[:1]:
        raise FileError(f"{path}: labels are {labels.dtype} {labels.shape}, expected whole numbers ({shape[0]},)")
    if images.nbytes + labels.nbytes > limit:
        raise FileError(f"{path}: the data set's arrays have more than {BYTES_MAX:,} bytes, expected at most that")
