"""Two engines, one answer: `reference` (plain numpy) and `numba` (compiled), and `run`, which chooses."""

from collections.abc import Callable, Iterable, Iterator
from enum import StrEnum

import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Int8
from fxsim.engines.reference import run_reference
from fxsim.errors import StimulusError
from fxsim.graph import Model


class Engine(StrEnum):
    """Which engine computes; `auto` is the compiled one."""

    AUTO = "auto"
    REFERENCE = "reference"
    NUMBA = "numba"


CHUNK_IMAGES = {Engine.REFERENCE: 16, Engine.NUMBA: 512}
"""Most images computed at once: enough to keep the engine busy, few enough to keep memory flat."""

CHUNK_VALUES = 1 << 27
"""Values of all tensors computed at once, in bytes: fewer images where each is large."""


def run_chunks(
    model: Model,
    x: npt.NDArray[np.generic],
    taps: str | Iterable[str] = ("classifier",),
    engine: Engine | str = Engine.AUTO,
) -> Iterator[tuple[slice, dict[str, Int8]]]:
    """Compute images chunk by chunk: yields which images, and their taps. Memory stays flat however many there are.

    Arguments and errors as `run`'s; they are checked before the first chunk is computed.
    """
    images = model.check_stimulus(x)
    names = model.select_taps(taps)
    which, compute = _engine(engine)
    chunk = max(1, min(CHUNK_IMAGES[which], CHUNK_VALUES // model.graph.values_per_image))
    return (
        (part, compute(model, np.ascontiguousarray(images[part]), names))
        for part in (slice(start, min(start + chunk, len(images))) for start in range(0, len(images), chunk))
    )


def run(
    model: Model,
    x: npt.NDArray[np.generic],
    taps: str | Iterable[str] = ("classifier",),
    engine: Engine | str = Engine.AUTO,
) -> dict[str, Int8]:
    """Compute named taps (or 'all') of a model for int8 images `x` [image, token, value].

    Returns int8 arrays by tap name, `[image, token, channel]`, or `[image, channel]` from the pool on. StimulusError
    where `x`, a tap or the engine's name does not fit.
    """
    names = model.select_taps(taps)
    images = model.check_stimulus(x)
    which, compute = _engine(engine)
    if which == Engine.NUMBA:
        # It needs no space but that of the results.
        return compute(model, images, names)
    out = {name: np.empty((len(images), *model.graph.shapes[name]), np.int8) for name in names}
    for part, values in run_chunks(model, images, names, engine):
        for name in names:
            out[name][part] = values[name]
    return out


def _engine(name: Engine | str) -> tuple[Engine, Callable[[Model, Int8, tuple[str, ...]], dict[str, Int8]]]:
    if name not in tuple(Engine):
        raise StimulusError(f"there is no engine '{name}'; there are: {', '.join(Engine)}")
    if name == Engine.REFERENCE:
        return Engine.REFERENCE, lambda model, x, taps: run_reference(model.graph, x, taps)
    # Numba takes half a second to import: only whoever computes with it pays.
    from fxsim.engines.compiled import run_compiled

    return Engine.NUMBA, run_compiled


__all__ = ["CHUNK_IMAGES", "CHUNK_VALUES", "Engine", "run", "run_chunks", "run_reference"]
