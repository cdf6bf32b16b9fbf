"""Why a design stopped moving.

Of the streaming accelerator: which stream waits for which, from the handshake of every stream and the graph. Of the
SIMD accelerator: what its sequencer says it waits for, what the bus and the registers wait for, and which result is
missing.
"""

from collections.abc import Mapping, Sequence

from fxsim.cosim.messages import SimdState
from fxsim.cosim.result import StreamState
from fxsim.cosim.streams import OUTPUT
from fxsim.graph import INPUT, Graph

INPUT_STREAM = "s_axis"
"""Name of the accelerator's input in results."""


def explain(graph: Graph, states: Mapping[str, StreamState]) -> str:
    """One sentence on a design in which nothing moves; `states` by stream name.

    Goes from the output backwards, along streams that are empty, to the streams that hold a value nobody takes. A held
    stream's reader that holds a value itself is followed forwards. Where nothing is held, values were lost: then the
    first operator is named that gave less than it was given.
    """
    readers: dict[str, list[str]] = {name: [] for name in (INPUT_STREAM, *graph.taps)}
    sources = {node.name: [INPUT_STREAM if name == INPUT else name for name in node.inputs] for node in graph.nodes}
    sources[OUTPUT] = [graph.output]
    for reader, names in sources.items():
        for name in names:
            readers[name].append(reader)

    held: list[str] = []
    waiting: list[str] = []
    seen: set[str] = set()
    pending = [OUTPUT]
    while pending:
        stream = pending.pop()
        if stream in seen:
            continue
        seen.add(stream)
        if states[stream].state == "empty":
            names = sources.get(stream, [])
            missing = [name for name in names if states[name].state == "empty"]
            if missing and len(missing) < len(names):
                waiting.append(f"'{stream}' waits for a value from {_list(missing)}")
            pending.extend(reversed(names))
        else:
            takers = readers.get(stream, [])
            stuck = [name for name in takers if states[name].state != "empty"] or takers
            held.append(f"'{stream}' holds a {_value(states[stream])} that {_list(stuck)} {_not_take(stuck)}")
            pending.extend(stuck)
    if held:
        return "; ".join((*reversed(held), *waiting))
    for node in graph.nodes:
        state = states[node.name]
        if all(states[name].image > state.image for name in sources[node.name]):
            givers = _list(sources[node.name])
            lacking = f"'{node.name}' gives no {_value(state)}"
            return f"no stream holds a value: {givers} gave all of image {state.image}, {lacking}"
    return f"no stream holds a value: 'm_axis' gives no {_value(states[OUTPUT])}"


_WAITS = {
    1: "the parameters of {layer}",
    2: "the image that {layer} reads",
    3: "results that {layer} reads of the layer before",
    4: "room for the results of {layer}",
}
"""What the monitor `mon_wait` says is waited for."""


def explain_simd(state: SimdState, layers: Sequence[str], stages: Sequence[StreamState]) -> str:
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
        reasons.append("the sequencer waits for " + _WAITS.get(state.wait, "what no code says").format(layer=name))
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


def _list(names: list[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


def _not_take(names: list[str]) -> str:
    return "does not take" if len(names) == 1 else "do not take"


def _value(state: StreamState) -> str:
    token = "" if state.token is None else f"token {state.token}, "
    return f"value (image {state.image}, {token}channel {state.channel})"
