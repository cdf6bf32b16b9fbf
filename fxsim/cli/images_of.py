"""Images that a trace is of: a .npy file, or the array `input` of an .npz file."""

from pathlib import Path

from fxsim.contract.arithmetic import Integers
from fxsim.errors import FileError, StimulusError
from fxsim.formats import read_stimulus
from fxsim.formats.npy import read_archive
from fxsim.graph import INPUT, Model


def read_images(path: Path, model: Model) -> Integers:
    """The images, [image, ...] as the model takes them. Errors as `read_stimulus`'s."""
    if path.suffix.lower() != ".npz":
        return read_stimulus(path, model)
    arrays = read_archive(path)
    if INPUT not in arrays:
        raise FileError(f"{path}: has no array '{INPUT}', expected the images there; it has: {', '.join(arrays)}")
    x = model.check_stimulus(arrays[INPUT], f"{path}: array '{INPUT}'")
    if len(x) == 0:
        raise StimulusError(f"{path}: array '{INPUT}' holds no images, expected at least one")
    return x
