"""Published C headers as an importer."""

from fxsim.formats.headers.resmlp import HEADER_FILES, import_headers
from fxsim.formats.importers import Importer

IMPORTER = Importer(
    name="headers",
    takes="a folder of published C headers",
    read=import_headers,
    files=lambda folder: (folder / file for file in HEADER_FILES),
    options=frozenset({"layout", "rule"}),
)
