"""Data types that QONNX and FINN annotate tensors with: which values each may have."""

import re
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from fxsim.formats.qonnx.exact import Affine, Step
from fxsim.formats.qonnx.values import Flow, NotTakenError
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


def check_range(flow: Flow, datatype: str) -> None:
    """NotTakenError where values that are computed may be others than a data type of whole numbers has.

    Of streams whose values in the float graph are whole numbers by one rule for all channels, by the range that weights
    and inputs prove: of others a data type is not looked at.
    """
    ends = limits(datatype)
    if ends is None or flow.tap is None or flow.parts is not None or flow.ended:
        return
    values = Fraction(flow.low), Fraction(flow.high)
    for step in flow.steps:
        found = _done(step, values)
        if found is None:
            return
        values = found
    low, high = min(values), max(values)
    if low < ends[0] or high > ends[1]:
        raise NotTakenError(
            f"its result is annotated {datatype}, {ends[0]} to {ends[1]}; by weights and inputs it is {low} to {high}"
        )
    if datatype == "BIPOLAR" and not flow.tensor.number.bipolar:
        raise NotTakenError(f"its result is annotated BIPOLAR, -1 or 1; it is {flow.tensor.number}")


def _done(step: Step, values: tuple[Fraction, Fraction]) -> tuple[Fraction, Fraction] | None:
    """The ends of a range after a step; None where it has fractions, or differs between channels."""
    if isinstance(step, Affine):
        if len(set(step.scale)) > 1 or len(set(step.offset)) > 1:
            return None
        if step.scale[0].denominator != 1 or step.offset[0].denominator != 1:
            return None
        first, second = (value * step.scale[0] + step.offset[0] for value in values)
        return first, second
    if any(end is not None and end.denominator != 1 for end in (step.low, step.high)):
        return None
    if step.low is not None:
        values = max(values[0], step.low), max(values[1], step.low)
    return values if step.high is None else (min(values[0], step.high), min(values[1], step.high))


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
