"""`diff`: a trace beside a model, located and explained."""

import time
from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from fxsim.compare.four_state import FourState
from fxsim.contract.arithmetic import Integers
from fxsim.errors import ComparisonError, FileError
from fxsim.explain.locate import Located, locate
from fxsim.explain.result import Diff, TapReport
from fxsim.explain.search import explain
from fxsim.explain.telling import Teller, tell_contracts
from fxsim.explain.whole import reproducing
from fxsim.graph import Model
from fxsim.traces.trace import check_numbers

Progress = Callable[[int, int], None]


def diff(
    model: Model,
    x: Integers,
    trace: Mapping[str, npt.NDArray[np.integer] | FourState],
    *,
    progress: Progress | None = None,
) -> Diff:
    """Say where and why a trace is not a model's.

    `x`: images [image, ...]; `trace`: values of some of the model's taps, [image, ...] each, integers of any type, or
    with unknown bits. ComparisonError where there are none, where a name is no tap's, or where a shape or type does
    not fit.
    """
    return diff_located(model, x, trace, progress=progress)[0]


def diff_located(
    model: Model,
    x: Integers,
    trace: Mapping[str, npt.NDArray[np.integer] | FourState],
    *,
    progress: Progress | None = None,
    teller: Teller | None = None,
) -> tuple[Diff, Located]:
    """The result of `diff`, and the trace as it was located, from which pages are drawn. Errors as `diff`'s.

    `teller`: takes the inputs that tell apart what the trace does not.
    """
    begun = time.monotonic()
    x = model.check_stimulus(x)
    _check(model, len(x), trace)
    located = locate(model, x, trace)
    contracts, teller = reproducing(located), Teller() if teller is None else teller
    faults = []
    for number, tap in enumerate(located.faulty):
        faults.append(explain(located, tap, contracts=contracts, teller=teller))
        if progress is not None:
            progress(number + 1, len(located.faulty))
    equal = not any(state.differ or state.local for state in located.states)
    found = Diff(
        equal=equal,
        model=model.name,
        images=len(x),
        first_differing=next((state.tap for state in located.states if state.differ), None),
        faults=tuple(faults),
        taps=tuple(
            TapReport(
                tap=s.tap, values=s.values, differ=s.differ, inherited=s.inherited, local=s.local, unknown=s.unknown,
                first=s.first,
            )
            for s in located.states
        ),
        mixed=located.mixed,
        not_compared=tuple(tap for tap in model.graph.taps if tap not in located.got),
        contracts=contracts,
        contracts_telling=() if equal else tell_contracts(model, contracts, teller),
        seconds=round(time.monotonic() - begun, 3),
    )  # fmt: skip
    return found, located


def _check(model: Model, images: int, trace: Mapping[str, npt.NDArray[np.integer] | FourState]) -> None:
    """ComparisonError unless a trace is one of the model's, of so many images."""
    if images == 0:
        raise ComparisonError("there are no images, expected at least one")
    if not trace:
        raise ComparisonError("the trace has no taps, expected at least one")
    for tap, values in trace.items():
        if tap not in model.graph.by_name:
            raise ComparisonError(f"the trace has '{tap}', which is no tap of model '{model.name}'")
        array = values.values if isinstance(values, FourState) else values
        if not isinstance(array, np.ndarray) or isinstance(array, np.ma.MaskedArray):
            raise ComparisonError(
                f"tap '{tap}' of the trace is a {type(array).__name__}, expected an array without a mask"
            )
        shape = (images, *model.graph.tensors[tap].shape)
        if array.shape != shape:
            raise ComparisonError(f"tap '{tap}' of the trace has shape {array.shape}, expected {shape}")
        if array.dtype.kind not in "iuf":
            raise ComparisonError(f"tap '{tap}' of the trace has type {array.dtype}, expected whole numbers")
        try:
            check_numbers(array, f"tap '{tap}' of the trace")
        except FileError as error:
            raise ComparisonError(str(error)) from None
