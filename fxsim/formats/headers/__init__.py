"""Published C headers: read into models, and written from them."""

from fxsim.formats.headers.resmlp import HEADER_FILES, MatrixLayout, export_headers, import_headers
from fxsim.formats.headers.text import read_header_arrays

__all__ = ["HEADER_FILES", "MatrixLayout", "export_headers", "import_headers", "read_header_arrays"]
