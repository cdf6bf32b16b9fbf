"""Areas of designs: Yosys counts the parts of an FPGA that they take, each different part of a design once."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import msgspec
from filelock import FileLock

from fxsim.devices import DEVICES, make_settings
from fxsim.devices.base import Synthesisable
from fxsim.errors import StimulusError, ToolError
from fxsim.formats import model_sha256
from fxsim.graph import Model
from fxsim.machine import count_jobs
from fxsim.paths import cache_dir
from fxsim.private import make_private
from fxsim.prove.kept import keep_text, take_text
from fxsim.prove.netlist import find_yosys
from fxsim.synthesis.record import Area, ModuleArea, Resources, Unit, Way, add_up
from fxsim.synthesis.targets import Target, find_target
from fxsim.synthesis.units import Part, split_design
from fxsim.synthesis.yosys import Made, elaborate, synthesis_key, synthesise_part

Progress = Callable[[int, int], None]
"""Called with (parts synthesised, parts)."""

_KEPT_BYTES_MAX = 1 << 20
_KEPT_MAX = 16_384
_KEPT_TOGETHER_MAX = 1 << 28


def measure_area(
    model: Model,
    accel: str,
    *,
    settings: Mapping[str, object] | None = None,
    parameters: Mapping[str, int] | None = None,
    device: str = "xcup",
    rtl: Path | None = None,
    without: Sequence[str] = (),
    flat: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Area:
    """Synthesise an accelerator with a model's parameters and ROM contents, and count what it takes of a `device`.

    `flat`: the whole of it in one go, which takes long and much memory for a large design. `rtl`: a folder of
    Verilog in place of its own. `without`: modules that are taken out, zeros in place of their outputs.
    `parameters`: of the top, in place of those that the model decides. `jobs`: parts at once, by default as many as
    there are cores.

    ModelError where the accelerator cannot compute the model, StimulusError where there is no such device or setting,
    ToolError where Yosys is missing, does not take the design, or makes a cell that is not known.
    """
    target = find_target(device)
    made = DEVICES[accel]
    given = synthesisable(model, accel, settings=settings, rtl=rtl)
    for name, value in (parameters or {}).items():
        if name not in given.parameters:
            has = ", ".join(given.parameters) or "none"
            raise StimulusError(f"{given.top} has no parameter '{name}' that a model decides; it has: {has}")
        if not -(2**31) <= value < 2**31:
            raise StimulusError(f"parameter '{name}' of {given.top} is {value}, expected a number of 32 bits")
        if name in given.of_files and value != given.parameters[name]:
            expected = f"{given.parameters[name]}, as the model's ROM contents are of that"
            raise StimulusError(f"parameter '{name}' of {given.top} is {value}, expected {expected}")
    given = replace(given, parameters={**given.parameters, **(parameters or {})})
    units = synthesise(given, target, without=without, flat=flat, jobs=jobs, progress=progress)
    return Area(
        model=model.name,
        accel=accel,
        design=given.top,
        folder=str(given.sources.folder),
        device=target.name,
        family=target.about,
        yosys=find_yosys()[1],
        total=add_up(unit.each.times(unit.instances) for unit in units),
        modules=_by_module(units),
        units=units,
        sources_sha256=given.sources.sha256,
        model_sha256=model_sha256(model),
        without=tuple(without),
        published=made.published(model),
    )


def synthesisable(
    model: Model, accel: str, *, settings: Mapping[str, object] | None = None, rtl: Path | None = None
) -> Synthesisable:
    """An accelerator with a model's parameters and ROM contents, as synthesis reads it; errors as of `measure_area`."""
    device = DEVICES[accel]
    return device.fit(model, make_settings(device.name, device.settings, settings or {})).synthesisable(rtl)


def synthesise(
    given: Synthesisable,
    target: Target,
    *,
    without: Sequence[str] = (),
    flat: bool = False,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> tuple[Unit, ...]:
    """The units of a design and what they take, each different one synthesised once; see `measure_area`."""
    parts = split_design(elaborate(given, without), flat=flat)
    units: list[Unit] = []
    with ThreadPoolExecutor(min(jobs or count_jobs(), len(parts)), "fxsim-area") as pool:
        waiting = [pool.submit(synthesise_unit, part, target) for part in parts]
        try:
            for done, future in enumerate(waiting, 1):
                units.append(future.result())
                if progress is not None:
                    progress(done, len(parts))
        finally:
            pool.shutdown(cancel_futures=True)
    return tuple(units)


def worst_ways(units: Iterable[Unit]) -> dict[str, tuple[Way, Unit]]:
    """The longest way of each module and the unit that has it, the longest first; modules without ways are left out."""
    worst: dict[str, tuple[Way, Unit]] = {}
    for unit in units:
        way = unit.levels.longest
        if way is not None and (unit.module not in worst or way.tenths > worst[unit.module][0].tenths):
            worst[unit.module] = way, unit
    return dict(sorted(worst.items(), key=lambda pair: pair[1][0].tenths, reverse=True))


def synthesise_unit(part: Part, target: Target) -> Unit:
    """The cells and ways of a part of a design, made now or kept from before; ToolError as of `measure_area`.

    Whoever wants a part that another process or thread makes at the time waits for it.
    """
    key = synthesis_key(part.text, target)
    place = cache_dir() / "synthesis" / f"{key}.json"
    where = f"{part.module} ({part.paths[0]})"
    # Yosys leaves the backslash of a name of the Verilog's out where it counts.
    boxes = frozenset(name.removeprefix("\\") for name in part.boxes)
    made = _take(place, key)
    cached = made is not None
    if made is None:
        with _lock(key):
            made = _take(place, key)
            cached = made is not None
            if made is None:
                made = synthesise_part(part.text, target, boxes, where)
                try:
                    text = f"{key}\n{msgspec.json.encode(made, order='sorted').decode()}"
                    keep_text(place, text, _KEPT_MAX, _KEPT_TOGETHER_MAX)
                except OSError as error:
                    raise ToolError(f"cannot write to the cache folder {place.parent}: {error.strerror}") from error
    return Unit(
        module=part.module,
        instances=part.instances,
        each=target.count(made.cells, where),
        paths=part.paths,
        holds=part.holds,
        rest=part.rest,
        levels=made.levels,
        sha256=key,
        cached=cached,
    )


def _lock(key: str) -> FileLock:
    """The lock of a part's synthesis. Some parts share one, so that there are 256 files of them at most."""
    folder = cache_dir() / "synthesising"
    try:
        make_private(folder)
    except OSError as error:
        raise ToolError(f"cannot write to the cache folder {folder}: {error.strerror}") from error
    return FileLock(folder / f"{hashlib.sha256(key.encode()).hexdigest()[:2]}.lock")


def _take(place: Path, key: str) -> Made | None:
    kept = take_text(place, _KEPT_BYTES_MAX)
    return None if kept is None else _made(kept, key)


def _made(text: str, key: str) -> Made | None:
    """Read a kept text; None where it is another part's, or of another form."""
    stated, _, content = text.partition("\n")
    if stated != key:
        return None
    try:
        return msgspec.json.decode(content, type=Made)
    except msgspec.DecodeError:
        return None


def _by_module(units: tuple[Unit, ...]) -> tuple[ModuleArea, ...]:
    """Units of one module together, the largest first."""
    modules: dict[str, list[Unit]] = {}
    for unit in units:
        modules.setdefault(unit.module, []).append(unit)
    rows = [
        ModuleArea(
            module=name,
            instances=sum(unit.instances for unit in own),
            total=add_up(unit.each.times(unit.instances) for unit in own),
            least=min((unit.each for unit in own), key=_weight),
            most=max((unit.each for unit in own), key=_weight),
        )
        for name, own in modules.items()
    ]
    return tuple(sorted(rows, key=lambda row: _weight(row.total), reverse=True))


def _weight(resources: Resources) -> tuple[float, ...]:
    return resources.lut, resources.dsp, resources.ff, resources.bram
