"""Random networks on devices: ResMLPs that they take, simulated under random stalls, every tap compared with the model.

A build is what costs: where one serves a model's dimensions alone, several networks of random parameters share it.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fxsim.compare import sentence
from fxsim.contract import TableRule
from fxsim.contract.arithmetic import Integers
from fxsim.cosim import CosimRequest, CosimResult, run_cosim
from fxsim.devices import DEVICES, Device
from fxsim.errors import FxsimError, ModelError, StimulusError
from fxsim.families import ResMLPConfig, recognise_resmlp
from fxsim.fuzz.examine import Failure
from fxsim.fuzz.generate import GENERATOR, Generator, draw_resmlp
from fxsim.fuzz.kept import DeviceRun, keep, replay_command
from fxsim.fuzz.result import Found, FuzzResult
from fxsim.fuzz.shrink import shrink_by
from fxsim.graph import Model
from fxsim.machine import cpu_seconds
from fxsim.simulate import parse_stall
from fxsim.version import __version__

GROUP = "devices"
"""The group of the features below."""

SMALL = replace(GENERATOR, sizes=(1, 1, 2, 3, 4, 5, 7, 8, 9), long_sizes=())
"""The project's generator with sizes that are simulated at once."""

_POWER_ON_SEEDS = (1, 2)
_NETWORKS = 3
"""Networks that share a build which serves their dimensions alone."""

_IMAGES = (4, 12)
_QUICK = "-O1"
"""The compiler's flags where the build is for a few images: compiling them would take longer than they do."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DeviceRequest:
    """Builds `first` to `first + count - 1` of each device, from a seed; failures as in a `FuzzRequest`."""

    devices: tuple[str, ...]
    count: int = 1
    seed: int = 0
    first: int = 0
    keep: Path | None = None
    shrink_seconds: float = 120.0
    generator: Generator = SMALL


@dataclass(frozen=True)
class DeviceCase:
    """A network, its images and the stall pattern that they are simulated under."""

    model: Model
    x: Integers
    stall: str


def draw_cases(request: DeviceRequest, device: Device, number: int) -> Iterator[DeviceCase]:
    """The cases of one build of a device: networks of the same dimensions, each under another stall pattern."""
    rng = np.random.default_rng((request.seed, number, *device.name.encode()))
    config = request.generator.config(rng)
    for which in range(_NETWORKS):
        if device.universal:
            config = request.generator.config(rng)
        graph = draw_resmlp(request.generator, rng, config)
        provenance = {"source": "fxsim fuzz", "seed": str(request.seed), "number": str(number)}
        model = Model(graph, f"{device.name} {number} {which}", provenance)
        x = request.generator.draw_images(graph, rng, int(rng.integers(*_IMAGES)))
        yield DeviceCase(model, x, _stall(device, rng))


def _stall(device: Device, rng: np.random.Generator) -> str:
    """One or two patterns that a device takes."""
    seed = int(rng.integers(1, 1 << 30))
    ways = {
        "random": (f"random:{seed}", f"random:{seed}:0.9", f"input:{seed}", f"output:{seed}"),
        "burst": (f"burst:{seed}",),
        "wait": ("wait",),
        "gap": (f"gap:{rng.integers(1, 200)}",),
        "reset": (f"reset:{seed}:3",),
        "error": (f"error:{seed}:3",),
        "stop": (f"stop:{seed}:3",),
        "aim": (f"aim:{seed}",),
    }
    kinds = [kind for kind in ways if kind in device.stalls]
    one, other = (kinds[int(i)] for i in rng.choice(len(kinds), 2, replace=False))
    texts = [str(rng.choice(np.array(ways[kind]))) for kind in (one, other)]
    # Two that hold back the same sides, or disturb where another aims, are no pattern.
    clash = {one, other} <= {"random", "burst"} or {one, other} <= {"aim", "reset", "error", "stop"}
    if clash or rng.random() < 0.5:
        texts = texts[:1]
    return "none" if rng.random() < 0.1 else "+".join(texts)


def failure_of(device: Device, case: DeviceCase) -> tuple[Failure | None, CosimResult | None]:
    """The failure that a device has of a case, None where every value of every tap is the model's."""
    try:
        result = run_cosim(
            CosimRequest(
                case.model,
                case.x,
                device=device.name,
                stall=case.stall,
                # A build that serves all is shared with whoever simulates it next.
                optimise=None if device.universal else _QUICK,
                power_on_seeds=_POWER_ON_SEEDS,
            )
        )
    except ModelError as error:
        return Failure(way="refused", taker=device.name, message=str(error)), None
    except (MemoryError, StimulusError):
        raise
    except FxsimError as error:
        return Failure(way="raised", taker=device.name, operator=type(error).__name__, message=str(error)), None
    if result.passed:
        return None, result
    verdict = result.verdict
    if (first := verdict.first_mismatch) is not None:
        tap = first.carries or first.tap
        operator = case.model.graph.by_name[tap].op.kind if tap in case.model.graph.by_name else tap
        names = {"taker": device.name, "against": "model", "tap": tap, "operator": operator}
        return Failure(way="differs", message=sentence(first), **names), result
    if verdict.stopped is not None:
        return Failure(way="stuck", taker=device.name, message=verdict.stopped.reason), result
    kind = verdict.faults[0].kind if verdict.faults else "incomplete"
    return Failure(way="broke a rule", taker=device.name, operator=kind, message=result.shortfall or kind), result


def run_devices(request: DeviceRequest, progress: Progress | None = None) -> FuzzResult:
    """Simulate random networks on devices. StimulusError for one that there is not, or that needs a description."""
    devices = tuple(map(_device, request.devices))
    features = tuple(dict.fromkeys(f for device in devices for f in device_features(device)))
    counts: Counter[str] = Counter()
    took: Counter[str] = Counter()
    found: list[Found] = []
    models = images = values = 0
    complete, began = True, cpu_seconds()
    try:
        for done, (number, device) in enumerate((n, d) for n in range(request.count) for d in devices):
            if progress is not None:
                progress(done, request.count * len(devices))
            for case in draw_cases(request, device, request.first + number):
                failure, result = failure_of(device, case)
                models, images = models + 1, images + len(case.x)
                if result is not None:
                    values += result.streams.compared
                if failure is not None:
                    found.append(_keep(request, device, case, request.first + number, failure))
                    continue
                took[device.name] += 1
                counts.update(set(_features(device, case)))
    except KeyboardInterrupt:
        complete = False
    return FuzzResult(
        seed=request.seed,
        first=request.first,
        models=models,
        images=images,
        values=values,
        cpu_seconds=round(cpu_seconds() - began, 3),
        took={device.name: took[device.name] for device in devices},
        refused={},
        absent={},
        features={GROUP: {feature: counts[feature] for feature in features}},
        failures=tuple(found),
        complete=complete,
        fxsim_version=__version__,
    )


def _device(name: str) -> Device:
    if name not in DEVICES:
        raise StimulusError(f"there is no accelerator '{name}'; there are: {', '.join(DEVICES)}")
    return DEVICES[name]


def _keep(request: DeviceRequest, device: Device, case: DeviceCase, number: int, failure: Failure) -> Found:
    """Make a device's failure smaller, and keep it where that was asked for."""

    def fails(model: Model, x: Integers) -> Failure | None:
        found, _ = failure_of(device, DeviceCase(model, x, case.stall))
        return found if found is not None and found.kind == failure.kind else None

    # A smaller design is another build; one that serves all serves it, too.
    small = shrink_by(case.model, case.x, failure, fails, request.shrink_seconds, whole=not device.universal)
    folder, command = None, f"fxsim fuzz --only-devices --accel {device.name} --seed {request.seed} --first {number}"
    if request.keep is not None:
        run = DeviceRun(device=device.name, stall=case.stall)
        folder = keep(request.keep, small, request.seed, number, run)
        command = replay_command(folder)
    return Found(
        number=number,
        failures=(failure,),
        replay=command,
        folder=None if folder is None else str(folder),
        smallest=small.words,
    )


def replay_device(run: DeviceRun, model: Model, x: Integers) -> Failure | None:
    """The failure that a kept case has of its device now. StimulusError where a pattern or device is none."""
    parse_stall(run.stall)
    return failure_of(_device(run.device), DeviceCase(model, x, run.stall))[0]


# --- the audit ---

_FORMS = (
    "one token", "one channel", "one value", "one hidden channel", "one class", "two blocks", "a rectifier",
)  # fmt: skip


def device_features(device: Device) -> Iterator[str]:
    """Features of networks that a device takes, and stall patterns, that there are."""
    yield from (f"{device.name}: {form}" for form in _FORMS)
    for rule in TableRule:
        yield f"{device.name}: tables, {rule}"
    yield from (f"{device.name}: stalls, {kind}" for kind in sorted({*device.stalls, "none"}))


def _features(device: Device, case: DeviceCase) -> Iterator[str]:
    config: ResMLPConfig = recognise_resmlp(case.model.graph)
    sizes = (config.tokens, config.channels, config.values, config.hidden, config.classes)
    holds: Sequence[bool] = (*(size == 1 for size in sizes), config.blocks == 2, not config.psa)
    yield from (f"{device.name}: {form}" for form, there in zip(_FORMS, holds, strict=True) if there)
    if config.rule is not None:
        yield f"{device.name}: tables, {config.rule}"
    kinds = parse_stall(case.stall).kinds or {"none"}
    yield from (f"{device.name}: stalls, {kind}" for kind in kinds)
