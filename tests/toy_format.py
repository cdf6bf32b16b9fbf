"""A toy importer, of another package or put into a copy of this one: a linear without biases and shifts, as JSON."""

from pathlib import Path

import msgspec
import numpy as np

from fxsim.errors import FileError, ModelError
from fxsim.formats.importers import Importer
from fxsim.formats.text import read_json
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Linear

LIMIT = 1000


class Content(msgspec.Struct, forbid_unknown_fields=True):
    """All that such a file has."""

    weight: list[list[int]]


def read(path: Path) -> Model:
    """The network of a file. FileError where it is none."""
    rows = read_json(path, Content, LIMIT, "a toy network").weight
    if not rows or len({len(row) for row in rows}) != 1 or not rows[0]:
        raise FileError(f"{path}: 'weight' has no rows, or not of one length")
    if any(not -128 <= value <= 127 for row in rows for value in row):
        raise FileError(f"{path}: 'weight' has a value beyond -128 to 127")
    zeros = np.zeros(len(rows))
    op = Linear(np.array(rows, np.int8), zeros.astype(np.int8), zeros.astype(np.uint8))
    try:
        return Model(Graph((1, len(rows[0])), [Node("only", op, ("input",))]), path.stem)
    except ModelError as error:
        raise FileError(f"{path}: {error}") from None


IMPORTER = Importer(name="toy", takes="a JSON file with weight", read=read)
