"""Everything that is read from or written to disk: model files, published C headers, stimulus and result arrays."""

from fxsim.files.arrays import NpzWriter, read_stimulus
from fxsim.files.atomic import atomic_write
from fxsim.files.header_text import read_header_arrays
from fxsim.files.headers import HEADER_FILES, Layout, export_headers, import_headers
from fxsim.files.model_file import load, model_sha256, save

__all__ = [
    "HEADER_FILES",
    "Layout",
    "NpzWriter",
    "atomic_write",
    "export_headers",
    "import_headers",
    "load",
    "model_sha256",
    "read_header_arrays",
    "read_stimulus",
    "save",
]
