"""The reason why a streaming design stopped: which stream waits for which, from all handshakes and the graph."""

from collections.abc import Mapping

from fxsim.devices.base import StreamState
from fxsim.devices.stream.layout import OUTPUT
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


def _list(names: list[str]) -> str:
    return " and ".join(f"'{name}'" for name in names)


def _not_take(names: list[str]) -> str:
    return "does not take" if len(names) == 1 else "do not take"


def _value(state: StreamState) -> str:
    token = "" if state.token is None else f"token {state.token}, "
    return f"value (image {state.image}, {token}channel {state.channel})"
