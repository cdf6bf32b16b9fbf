"""Modules of a described design, each with a description of its own, which `nodes` lists."""

from pathlib import Path

from fxsim.devices.base import NodeDesign
from fxsim.devices.described.bind import bind
from fxsim.devices.described.description import read_description
from fxsim.devices.described.jobs.bind import bind_jobs
from fxsim.errors import FileError, StimulusError
from fxsim.graph import Model


def list_nodes(model: Model, dut: str | None, rtl: Path | None) -> tuple[NodeDesign, ...]:
    """The modules that a description lists. FileError where it lists none, or one that does not fit the model."""
    if dut is None:
        raise StimulusError("the accelerator 'described' needs a description: expected --dut FILE.toml")
    path = Path(dut)
    names = read_description(path).nodes
    if not names:
        raise FileError(f"{path}: lists no nodes, expected descriptions of modules as nodes = ['linear.toml']")
    found: dict[str, NodeDesign] = {}
    of: dict[str, str] = {}
    for name in names:
        if name.startswith("/") or ".." in Path(name).parts:
            raise FileError(f"{path}: nodes: '{name}' leads out of the folder {path.parent}, expected one below it")
        sources = None if rtl is None else rtl / Path(name).parent
        own = path.parent / name
        bound = (bind_jobs if read_description(own).has_jobs else bind)(own, model, sources)
        tap = bound.part[-1]
        if tap in found:
            raise FileError(f"{path}: nodes: '{name}' and '{of[tap]}' both compute '{tap}'")
        of[tap] = name
        found[tap] = NodeDesign(tap, bound.part, path.parent / name, sources)
    return tuple(sorted(found.values(), key=lambda node: model.graph.taps.index(node.tap)))
