"""Moments of a run of the streaming accelerator: its resets by phase of an image, and where its streams were held.

Numbered as `harness.cpp` numbers them.
"""

from fxsim.devices.stream.layout import StreamLayout
from fxsim.graph import Model


def stages(model: Model) -> dict[str, int]:
    """The number of the last tap of each stage that an image passes, by the stage's name: embed, each block, ..."""
    ends: dict[str, int] = {}
    for number, tap in enumerate(model.graph.taps):
        words = tap.split(".")
        ends[f"block {words[1]}" if words[0] == "blocks" else words[0]] = number
    return ends


def name_moments(layout: StreamLayout, lanes: int = 1) -> tuple[str | None, ...]:
    """The name of each moment that the harness counts; None for those that a model of these dimensions lacks."""
    model = layout.model
    tokens, values = model.graph.input_shape
    scores = layout.size(layout.output) // lanes
    phases = {"between images": True, "first token": values > lanes, "further tokens": tokens > 1}
    phases |= dict.fromkeys(stages(model), True) | {"scores": True}
    names: list[str | None] = []
    for what in ("reset", "nothing offered", "input held"):
        names += [f"{what}: {phase}" if there else None for phase, there in phases.items()]
    for place, there in (("first", True), ("further", scores > 2), ("last", scores > 1)):
        names.append(f"output held: {place} score" if there else None)
    return (*names, *(f"held: {tap}" for tap in model.graph.taps))
