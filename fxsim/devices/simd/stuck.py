"""The reason why a SIMD accelerator stopped: what it, the bus and its registers wait for, which result is missing."""

from collections.abc import Sequence

from fxsim.devices.base import StreamState
from fxsim.devices.simd.messages import State

WAITS = {
    1: "the parameters of {layer}",
    2: "the image that {layer} reads",
    3: "results that {layer} reads of the layer before",
    4: "room for the results of {layer}",
}
"""Things that the accelerator waits for, by the value of the monitor `mon_wait`."""


def explain(state: State, layers: Sequence[str], stages: Sequence[StreamState]) -> str:
    """One sentence on a SIMD accelerator in which nothing moves; `stages` are its monitors, then the result.

    `layers`: the layers' taps by number.
    """
    if state.access:
        return f"the {state.access} is not answered"
    name = f"layer {state.layer}" + (f" '{layers[state.layer]}'" if state.layer < len(layers) else "")
    reasons = []
    if state.beat:
        reasons.append("a beat that was read is not taken")
    if state.answer:
        reasons.append("a write's response is not taken")
    if state.address_starves:
        reasons.append("a write's address comes without its data, for which the memory waits")
    if state.data_starves:
        reasons.append("a write's data comes without its address, for which the memory waits")
    if state.writes:
        reasons.append(f"{_count(state.writes, 'write burst')} never got all of their data")
    if state.wait:
        reasons.append("the sequencer waits for " + WAITS.get(state.wait, "what no code says").format(layer=name))
    else:
        reasons.append(f"the sequencer waits for nothing, at {name}")
    if state.wait in (1, 2) and not (state.parameter_bursts or state.image_bursts):
        reasons.append("nothing is asked of memory")
    # The furthest back: of the lowest image, the first tap in the order of the data.
    behind = min(stages, key=lambda stage: stage.image)
    places = [stage for stage in stages if stage.image == behind.image]
    nexts = ", ".join(f"{stage.stream}: {_next(stage)}" for stage in places)
    reasons.append(f"next of image {behind.image} would be {nexts}")
    return "; ".join(reasons)


def _next(state: StreamState) -> str:
    token = "" if state.token is None else f"token {state.token}, "
    return f"{token}channel {state.channel} of '{state.tap}'"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
