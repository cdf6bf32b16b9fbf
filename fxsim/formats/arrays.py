"""Arrays of images: stimulus from .npy files, results to .npz files, in flat memory however many images there are."""

import os
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from fxsim.contract import Tensor
from fxsim.contract.arithmetic import Integers
from fxsim.errors import FileError, StimulusError
from fxsim.formats.atomic import atomic_write, scratch_folder
from fxsim.formats.npy import map_array
from fxsim.graph import Model


def read_stimulus(path: str | os.PathLike[str], model: Model) -> Integers:
    """The images of a .npy file, [image, ...] as the model takes them; read from disk as they are used.

    FileError where the file is missing, damaged or not a .npy file; StimulusError where type or shape do not fit, or
    there are no images in it. Pickled objects are refused unread.
    """
    path = Path(path)
    array = map_array(path)
    images = model.check_stimulus(array, str(path))
    if len(array) == 0:
        raise StimulusError(f"{path}: holds no images, expected at least one")
    return images


class NpzWriter:
    """Writes arrays of taps to an .npz file as their images are computed; `numpy.load` reads it.

    `tensors` gives each array's tensor of one image, by name. A context manager: the file appears when the block
    ends without an error, and not at all otherwise. Each array is first a file of its own beside `path`, so that this
    takes twice the result's size on disk and next to no memory. Raises FileError where something cannot be written.
    """

    def __init__(self, path: str | os.PathLike[str], tensors: Mapping[str, Tensor], images: int) -> None:
        self._path = Path(path)
        self._tensors = dict(tensors)
        self._images = images
        self._done = 0

    def __enter__(self) -> Self:
        self._scratch = scratch_folder(self._path)
        self._folder = self._scratch.__enter__()
        return self

    def write(self, values: Mapping[str, Integers]) -> None:
        """Append the next images of every array [image, ...], the same number of images of each."""
        counts = {len(values[name]) for name in self._tensors}
        assert len(counts) == 1, f"arrays of {counts} images were written together"
        try:
            for name, tensor in self._tensors.items():
                assert values[name].dtype == tensor.number.dtype
                assert values[name].shape[1:] == tensor.shape
                with self._part(name).open("ab") as file:
                    file.write(np.ascontiguousarray(values[name]).data)
        except OSError as error:
            raise FileError(f"cannot write {self._path}: {error.strerror or error}") from None
        self._done += counts.pop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with ExitStack() as ends:
            ends.push(self._scratch)
            if kind is not None:
                return
            assert self._done == self._images, f"{self._done} images were written, {self._images} promised"
            with atomic_write(self._path) as temporary, zipfile.ZipFile(temporary, "w", allowZip64=True) as archive:
                for name, tensor in self._tensors.items():
                    # A ZipInfo of our own has a fixed date: the same results give the same bytes.
                    entry = zipfile.ZipInfo(f"{name}.npy")
                    descr = np.lib.format.dtype_to_descr(tensor.number.dtype)
                    header = {"descr": descr, "fortran_order": False, "shape": (self._images, *tensor.shape)}
                    with self._part(name).open("rb") as source, archive.open(entry, "w", force_zip64=True) as target:
                        np.lib.format.write_array_header_1_0(target, header)
                        shutil.copyfileobj(source, target, 1 << 20)

    def _part(self, name: str) -> Path:
        # Numbered, so that a name never becomes a path.
        return self._folder / str(list(self._tensors).index(name))
