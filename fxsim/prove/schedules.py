"""A whole design under every schedule: each of its modules by induction, and that the rest is streams alone."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fxsim.devices import DEFAULT, DEVICES, Device, make_settings
from fxsim.errors import FxsimError, ToolError
from fxsim.graph import Model
from fxsim.paths import rtl_dir
from fxsim.prove.asked import DESIGN
from fxsim.prove.composed import cells_of, stated_parameters, wrong_of
from fxsim.prove.evidence import Evidence
from fxsim.prove.instances import Instance, elaborate
from fxsim.prove.network import stands
from fxsim.prove.schedule import ModuleProof, Properties, ScheduleProof, file_parameters, prove_module
from fxsim.prove.schedule_composed import COMPOSED
from fxsim.prove.schedule_modules import MODULES, PARTS
from fxsim.prove.schedule_simd import SIMD
from fxsim.simulate.sources import read_sources

SECONDS = 60
"""Seconds that the solver has for one question."""
STATED: dict[str, Mapping[str, Callable[[dict[str, int]], Properties]]] = {
    DEFAULT: MODULES,
    "simd": SIMD,
    "composed": COMPOSED,
}
"""The properties of modules by accelerator, of each by its parameters."""
_WITHIN = {"dot_product"}
"""Modules with properties of their own that are within others of the network."""
_INSIDE = {
    "threshold_lane": "threshold",
    "ram": "image_window",
    "scale_lane": "few_affine",
    "few_dot_product": "few_linear",
    "window_sum_lane": "window_sum",
}
"""Modules of a composed design that are within others, of which the last has properties of its own, too."""
_FETCHED = 2
"""Cycles within which a module that has to fetch constants first takes a value."""


def prove_schedules(
    model: Model,
    device: str = DEFAULT,
    module: str | None = None,
    rtl: Path | None = None,
    evidence: Evidence | None = None,
    status: Callable[[int, int], None] | None = None,
    seconds: int = SECONDS,
    kept: bool = False,
    settings: Mapping[str, object] | None = None,
) -> ScheduleProof:
    """Prove a device's modules for all schedules, with the parameters that a model gives; `module`: one alone.

    `rtl`: a folder of Verilog in place of the device's own. `kept`: see `prove_module`. `settings`: the device's. Of a
    device that composes a design of the graph the design itself is held to the graph, too.

    ToolError where the device has no proofs or no such module, of the whole of another than the streaming one, and of
    settings of what is not composed. ModelError where the model does not fit the device, StimulusError where it has no
    such setting.
    """
    known = DEVICES.get(device)
    if known is None or device not in STATED:
        raise ToolError(f"nothing is stated of device '{device}' for all schedules, but of {', '.join(STATED)}")
    stated = STATED[device]
    if known.composes:
        return _prove_composed(model, known, module, rtl, evidence, status, seconds, kept, settings or {})
    assert known.proofs is not None
    if module is None and device != DEFAULT:
        raise ToolError(
            f"nothing is stated of the whole of device '{device}' for all schedules, but of its modules: "
            f"{', '.join(stated)}; one schedule is proved with none or random:SEED"
        )
    chosen = make_settings(device, known.settings, settings or {})
    if chosen != make_settings(device, known.settings, {}):
        raise ToolError(f"device '{device}' is proved for all schedules with no settings, expected none of {settings}")
    # What does not fit the device is refused as elsewhere.
    known.fit(model, chosen)
    design = known.proofs(model, chosen, None)[0]
    sources = read_sources(rtl_dir() if rtl is None else rtl)
    found = elaborate(sources, design.top, design.parameters, design.files)
    wanted = {key: times for key, times in found.counts.items() if module is None or key[0] == module}
    if not wanted:
        names = sorted({name for name, _ in found.counts} & stated.keys())
        raise ToolError(f"the design has no module '{module}' with properties of its own, expected: {', '.join(names)}")
    proofs: list[ModuleProof] = []
    counts, wired, unstated = [], [], {}
    for done, ((name, parameters), times) in enumerate(wanted.items()):
        if status is not None:
            status(done, len(wanted))
        if name in PARTS:
            continue
        if name not in stated:
            if found.wiring[name]:
                unstated[name] = found.wiring[name]
            else:
                wired.append(name)
            continue
        try:
            if others := sorted(found.others(name) - file_parameters(sources, name)):
                raise ToolError(f"its parameter {others[0]} is neither a whole number nor the name of a ROM's file")
            proofs.append(prove_module(sources, stated[name](dict(parameters)), evidence, seconds, kept))
            counts.append(times)
        except FxsimError as error:
            unstated[f"{name} {dict(parameters)}"] = str(error)
    standing = None
    if module is None and not unstated and all(one.proved for one in proofs):
        network = found.network({*MODULES} - _WITHIN)
        beats = len(design.feeds[0].order)
        standing = stands(network, beats, promised(proofs))
        if evidence is not None:
            evidence.add("network", {"network": network, "beats": beats, "standing": standing})
    if evidence is not None:
        _claim(evidence, proofs, unstated)
    return ScheduleProof(tuple(proofs), tuple(counts), tuple(sorted(set(wired))), unstated, standing)


def _claim(evidence: Evidence, proofs: Sequence[ModuleProof], unstated: Mapping[str, str]) -> None:
    """Keep what is claimed of modules in evidence."""
    claims = []
    for i, proof in enumerate(proofs):
        file = f"netlists/{i:02}-{proof.module}.btor"
        evidence.keep(file, proof.btor2.encode())
        claims.append(
            {
                "module": proof.module,
                "parameters": proof.parameters,
                "netlist": file,
                "proved": proof.proved,
                "progress": proof.progress,
            }
        )
    # What was not proved stands there, too: no evidence is of less than was asked for.
    claims += [{"module": name, "parameters": {}, "netlist": "", "proved": False, "progress": {}} for name in unstated]
    evidence.add("schedules", claims)


def _prove_composed(
    model: Model,
    device: Device,
    module: str | None,
    rtl: Path | None,
    evidence: Evidence | None,
    status: Callable[[int, int], None] | None,
    seconds: int,
    kept: bool,
    settings: Mapping[str, object],
) -> ScheduleProof:
    """Prove the modules of a composed design for all schedules, and hold the design to the graph."""
    design = device.fit(model, make_settings(device.name, device.settings, settings)).synthesisable(rtl)
    found = elaborate(design.sources, design.top, design.parameters, design.files)
    counts: dict[Instance, int] = {}
    for cell in cells_of(found):
        key = (cell.module, tuple(sorted(stated_parameters(cell.module, cell.numbers).items())))
        counts[key] = counts.get(key, 0) + 1
    unstated = {}
    for key, times in found.counts.items():
        if key[0] in _INSIDE and key[0] in COMPOSED:
            counts[key] = times
        elif module in (None, key[0]) and key[0] not in (*COMPOSED, *_INSIDE, design.top):
            unstated[f"{key[0]} {dict(key[1])}"] = "nothing is stated of it for all schedules"
    wanted = {key: times for key, times in sorted(counts.items()) if module in (None, key[0])}
    if not wanted and not unstated:
        names = ", ".join(sorted({name for name, _ in counts} & COMPOSED.keys()))
        raise ToolError(f"the design has no module '{module}' with properties of its own, expected: {names}")
    proofs: list[ModuleProof] = []
    times_proved = []
    for done, ((name, parameters), times) in enumerate(wanted.items()):
        if status is not None:
            status(done, len(wanted))
        if name not in COMPOSED:
            unstated[f"{name} {dict(parameters)}"] = "nothing is stated of it for all schedules"
            continue
        try:
            properties = COMPOSED[name](dict(parameters))
            proofs.append(prove_module(design.sources, properties, evidence, seconds, kept))
            times_proved.append(times)
        except FxsimError as error:
            unstated[f"{name} {dict(parameters)}"] = str(error)
    for cell in cells_of(found):
        if texts := sorted(cell.files.keys() - file_parameters(design.sources, cell.module)):
            unstated[f"{cell.module} {cell.name}"] = f"its parameter {texts[0]} is a text, and names no file of a ROM"
    if wrong := wrong_of(model.graph, found, design.files):
        unstated[DESIGN] = wrong
    if evidence is not None:
        _claim(evidence, proofs, unstated)
    return ScheduleProof(tuple(proofs), tuple(times_proved), (), unstated, composed=True)


def promised(proofs: Sequence[ModuleProof]) -> int:
    """Cycles within which a value that a module holds stands at its output and is taken, by what is proved of each."""
    return max(cycles for proof in proofs for key, (cycles, _) in proof.progress.items() if key == "offers") + _FETCHED
