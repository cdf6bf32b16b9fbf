"""Three engines, one answer: `reference` (plain numpy), `compiled` (Numba) and `c`, and `run`, which chooses."""

import logging
from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Integers
from fxsim.engines.reference import apply, run_reference
from fxsim.errors import ModelError, StimulusError
from fxsim.graph import Model, check_model


class Engine(StrEnum):
    """An engine by name; `auto` is the compiled one, and the reference engine where that does not take a model.

    The compiled engine has two names: `compiled`, and `numba`, which records and results state. `c` is the C export,
    which needs a C compiler.
    """

    AUTO = "auto"
    REFERENCE = "reference"
    NUMBA = "numba"
    COMPILED = NUMBA
    C = "c"

    @classmethod
    def _missing_(cls, value: object) -> "Engine | None":
        return cls.NUMBA if value == "compiled" else None


ENGINE_NAMES = ("auto", "reference", "compiled", "numba", "c")
"""The names by which an engine may be asked for."""


CHUNK_IMAGES = {Engine.REFERENCE: 16, Engine.NUMBA: 512, Engine.C: 128}
"""Most images computed at once: enough to keep the engine busy, few enough to keep memory flat."""

CHUNK_BYTES = 1 << 27
"""Bytes of all tensors computed at once: fewer images where each is large."""

_log = logging.getLogger("fxsim")


def run_chunks(
    model: Model,
    x: npt.NDArray[np.generic],
    taps: str | Iterable[str] | None = None,
    engine: Engine | str = Engine.AUTO,
) -> Iterator[tuple[slice, dict[str, Integers]]]:
    """Compute images chunk by chunk: yields which images, and their taps. Memory stays flat however many there are.

    Arguments and errors as `run`'s; they are checked before the first chunk is computed.
    """
    check_model(model)
    images = model.check_stimulus(x)
    names = model.select_taps(taps)
    which, compute = _engine(engine, model)
    chunk = max(1, min(CHUNK_IMAGES[which], CHUNK_BYTES // model.graph.bytes_per_image))
    return (
        (part, compute(model, np.ascontiguousarray(images[part]), names))
        for part in (slice(start, min(start + chunk, len(images))) for start in range(0, len(images), chunk))
    )


def run(
    model: Model,
    x: npt.NDArray[np.generic],
    taps: str | Iterable[str] | None = None,
    engine: Engine | str = Engine.AUTO,
) -> dict[str, Integers]:
    """Compute named taps ('all', or by default the output) of a model for images `x` [image, ...] as it takes them.

    Returns arrays by tap name, [image, ...] of the tap's shape and numpy type: int8 `[image, token, channel]`, or
    `[image, channel]` from the pool on, for a ResMLP. StimulusError where `x`, a tap or the engine's name does not fit;
    ModelError where the engine named does not take the model; ToolError where it needs a compiler that is not there.
    """
    check_model(model)
    names = model.select_taps(taps)
    images = model.check_stimulus(x)
    which, compute = _engine(engine, model)
    if which == Engine.NUMBA:
        # It needs no space but that of the results.
        return compute(model, images, names)
    out = {name: model.graph.tensors[name].empty(len(images)) for name in names}
    for part, values in run_chunks(model, images, names, which):
        for name in names:
            out[name][part] = values[name]
    return out


def chosen_engine(name: Engine | str, model: Model) -> Engine:
    """The engine that computes a model where `name` is asked for: never `auto`. Errors as `run`'s."""
    return _engine(name, model)[0]


def _engine(
    name: Engine | str, model: Model
) -> tuple[Engine, Callable[[Model, Integers, tuple[str, ...]], dict[str, Integers]]]:
    try:
        engine = Engine(name)
    except ValueError:
        raise StimulusError(f"there is no engine '{name}'; there are: {', '.join(ENGINE_NAMES)}") from None
    if engine is Engine.REFERENCE:
        return Engine.REFERENCE, lambda model, x, taps: run_reference(model.graph, x, taps)
    if engine is Engine.C:
        from fxsim.engines.c import run_c

        return Engine.C, run_c
    # Numba takes half a second to import: only whoever computes with it pays.
    from fxsim.engines.compiled import prepare, run_compiled

    if engine is Engine.AUTO:
        try:
            prepare(model.graph)
        except ModelError as error:
            _log.info("the reference engine computes model '%s': %s", model.name, error)
            return _engine(Engine.REFERENCE, model)
    return Engine.NUMBA, run_compiled


__all__ = [
    "CHUNK_BYTES",
    "CHUNK_IMAGES",
    "ENGINE_NAMES",
    "Engine",
    "apply",
    "chosen_engine",
    "run",
    "run_chunks",
    "run_reference",
]
