"""Input formats: pictures to an integer model's input, carried in its provenance, so that the file alone suffices."""

import math
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta, Struct

from fxsim.contract import INT8_MAX, INT8_MIN
from fxsim.contract.arithmetic import Int8
from fxsim.data.pictures import Float32
from fxsim.data.preprocessing import Preprocessing
from fxsim.errors import FileError, StimulusError
from fxsim.formats.text import decode_json
from fxsim.graph import Model

KEY = "input"
"""The provenance's key under which the input format is, as JSON."""


class _StepError(StimulusError, ValueError):
    """A step that may not exist. As a ValueError it gets the place added by msgspec."""


class InputFormat(Struct, frozen=True, forbid_unknown_fields=True):
    """The way from a picture to the codes of an integer model's input.

    `preprocessing` makes real-valued tokens of it; a code is a token's value over `step`, rounded with ties to even and
    clamped to int8. `step` is exactly the float32 number that the quantised network divides by. `data` names the data
    set that the network was trained on. StimulusError where the step is not a positive, finite float32 number.
    """

    preprocessing: Preprocessing
    step: float
    data: Annotated[str, Meta(max_length=1000)]

    def __post_init__(self) -> None:
        if not (math.isfinite(self.step) and self.step > 0 and _is_float32(self.step)):
            raise _StepError(f"step is {self.step!r}, expected a positive number that float32 holds exactly")

    def encode(self) -> str:
        """The JSON for a model's provenance under `KEY`; `decode` gives the same numbers back, bit for bit."""
        return msgspec.json.encode(self, order="deterministic").decode()

    @classmethod
    def decode(cls, text: str) -> "InputFormat":
        """Read what `encode` wrote. FileError, one line, where it is anything else."""
        return decode_json(f"the provenance's '{KEY}'", text.encode(), cls, "an input format")

    @classmethod
    def of(cls, model: Model) -> "InputFormat":
        """The input format in a model's provenance.

        FileError where there is none, where it is damaged, or where its pictures do not fit the model's input.
        """
        where = f"model '{model.name}'"
        if KEY not in model.provenance:
            raise FileError(
                f"{where} has no input format in its provenance, so pictures cannot be given to it; "
                "expected a model exported by fxsim export"
            )
        try:
            found = cls.decode(model.provenance[KEY])
        except FileError as error:
            raise FileError(f"{where}: {error}") from None
        pre = found.preprocessing
        shape = (pre.tokens, pre.values)
        # In patches of one pixel the tokens are the picture, row by row.
        if model.graph.input_shape == (pre.size, pre.size, pre.colours) and pre.patch == 1:
            return found
        if shape != model.graph.input_shape:
            raise FileError(
                f"{where}: its input format makes {shape[0]} tokens of {shape[1]} values, "
                f"the model takes {' of '.join(map(str, model.graph.input_shape))}"
            )
        return found


def codes(tokens: Float32, input_step: float) -> Int8:
    """Tokens as int8 codes: tokens / input_step in float32, rounded with ties to even, clamped; shape unchanged.

    The same as `QuantisedResMLP.input_codes`. StimulusError where a token is not a number.
    """
    if np.isnan(tokens).any():
        raise StimulusError("tokens have values that are not numbers, expected none")
    # A quotient beyond float32 is infinite, and clamped like any other.
    with np.errstate(over="ignore"):
        quotient = tokens / np.float32(input_step)
    # In place: a data set's tokens take much memory.
    np.rint(quotient, out=quotient)
    np.clip(quotient, INT8_MIN, INT8_MAX, out=quotient)
    return quotient.astype(np.int8)


def model_input(model: Model, tokens: Float32, input_step: float) -> Int8:
    """The `codes` of tokens in the shape of a model's input: int8 [n, *shape]."""
    found: Int8 = codes(tokens, input_step).reshape(-1, *model.graph.input_shape)
    return found


def _is_float32(number: float) -> bool:
    with np.errstate(over="ignore", under="ignore"):
        return float(np.float32(number)) == number
