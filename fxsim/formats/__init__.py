"""Everything that is read from or written to disk: model files, headers, ONNX, stimulus and result arrays."""

from fxsim.formats.arrays import NpzWriter, read_stimulus
from fxsim.formats.atomic import atomic_write
from fxsim.formats.model_file import load, model_sha256, save

__all__ = ["NpzWriter", "atomic_write", "load", "model_sha256", "read_stimulus", "save"]
