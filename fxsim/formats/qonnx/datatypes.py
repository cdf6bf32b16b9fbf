"""Data types that QONNX and FINN annotate tensors with: which values each may have."""

import re

import numpy as np
import numpy.typing as npt

from fxsim.formats.qonnx.values import NotTakenError
from fxsim.formats.text import short

_INTEGER = re.compile(r"(U?)INT([1-9][0-9]?)")
_FRACTIONS = re.compile(r"FLOAT(16|32)|FLOAT<[0-9]+,[0-9]+(,[0-9]+)?>|FIXED<[0-9]+,[0-9]+>|SCALEDINT<[0-9]+>")
_BY_NAME = {"BIPOLAR": (-1, 1), "TERNARY": (-1, 1), "BINARY": (0, 1)}


def limits(datatype: str) -> tuple[int, int] | None:
    """The least and the greatest value of a data type of whole numbers; None of one of fractions, such as `FLOAT32`.

    The names are those of QONNX's `DataType`. NotTakenError where it is none.
    """
    if datatype in _BY_NAME:
        return _BY_NAME[datatype]
    if match := _INTEGER.fullmatch(datatype):
        bits = int(match[2])
        return (0, (1 << bits) - 1) if match[1] else (-(1 << (bits - 1)), (1 << (bits - 1)) - 1)
    if _FRACTIONS.fullmatch(datatype):
        return None
    raise NotTakenError(f"data type '{short(datatype)}' is not known, expected such as INT8, UINT4, BIPOLAR or FLOAT32")


def check_values(values: npt.NDArray[np.number], datatype: str, what: str) -> None:
    """NotTakenError unless finite values of any shape are values of a data type; `what` says whose they are."""
    ends = limits(datatype)
    if ends is None:
        return
    held = (values >= ends[0]) & (values <= ends[1]) & (values == np.round(values))
    if datatype == "BIPOLAR":
        held &= values != 0
    if not held.all():
        raise NotTakenError(f"{what} has the value {values[~held][0]}, expected {datatype}, as is stated")
