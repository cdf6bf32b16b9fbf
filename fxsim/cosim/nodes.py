"""Node by node: each module of a device alone, given the model's tensor before it and held to the one behind it.

A node that is wrong hides nothing of the next one, since every node gets the model's own values. Each is a
co-simulation of a described design, in a process of its own; as many run at once as FXSIM_JOBS says.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from fxsim import temporary
from fxsim.compare import Difference, sentence
from fxsim.contract.arithmetic import Integers
from fxsim.cosim.driver import Progress
from fxsim.cosim.request import CosimRequest
from fxsim.cosim.result import Fault, Origins, Stop, TapResult
from fxsim.devices import DESCRIBED, DEVICES, NodeDesign, make_settings, option_words
from fxsim.engines import run
from fxsim.errors import StimulusError
from fxsim.formats import save
from fxsim.graph import INPUT, Model
from fxsim.machine import count_jobs
from fxsim.process import running
from fxsim.simulate import Stall
from fxsim.simulate.build import Status

_POLL_SECONDS = 0.05


class NodeResult(msgspec.Struct, frozen=True, kw_only=True):
    """One module alone. `part`: the nodes that it computes, the last of which is `tap`.

    `values`: those that the images have at its output and taps, all of which must be compared; `largest`: the greatest
    distance of a wrong one. `reason`: why it did not pass. `cycles`: of the run; `interval_cycles`: between images.
    """

    tap: str
    part: tuple[str, ...]
    passed: bool
    values: int = 0
    compared: int = 0
    differ: int = 0
    largest: int | float | None = None
    first: Difference | None = None
    cycles: int | None = None
    interval_cycles: int | None = None
    reason: str | None = None


class NodesResult(msgspec.Struct, frozen=True, kw_only=True):
    """All modules of a device, in graph order. `missing`: nodes of the model of which there is no module."""

    model: str
    accel: str
    images: int
    stall: str
    nodes: tuple[NodeResult, ...]
    missing: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Whether there are modules, and all of them passed."""
        return bool(self.nodes) and all(node.passed for node in self.nodes)


class _Printed(msgspec.Struct):
    """The part of the JSON of `fxsim cosim` that is read."""

    passed: bool
    first_mismatch: Difference | None
    faults: tuple[Fault, ...]
    stopped: Stop | None
    taps: dict[str, TapResult]
    output: TapResult
    output_name: str
    origins: Origins | None
    cycles: int
    interval_cycles: int | None


Given = Callable[[NodeDesign], tuple[Model, Integers] | None]
"""Gives a module a model of its own and images for that, in place of the request's; None leaves the module out."""


def run_nodes(
    request: CosimRequest,
    *,
    progress: Progress | None = None,
    status: Status | None = None,
    given: Given | None = None,
) -> NodesResult:
    """Simulate each module of a device alone, on a request's images, stalls and engine; `progress` is told nodes.

    `given`: other models and images, such as stimuli made for a node; the request's `images` are not looked at then.

    A module that is wrong, or cannot be built, is a result. StimulusError where the device has no such modules.
    """
    device = DEVICES[request.device]
    if device.nodes is None:
        having = ", ".join(name for name in DEVICES.own if DEVICES[name].nodes is not None)
        hint = f" ({device.instead_of_nodes})" if device.instead_of_nodes else ""
        raise StimulusError(f"the accelerator '{device.name}' has no modules of single nodes, as have: {having}{hint}")
    model, settings = request.model, make_settings(device.name, device.settings, request.settings)
    x = model.check_stimulus(request.x)
    start, stop = request.images or (0, len(x))
    if not 0 <= start < stop <= len(x):
        raise StimulusError(f"images {start}:{stop} were asked for, expected a non-empty part of 0:{len(x)}")
    pattern = request.stall.text if isinstance(request.stall, Stall) else request.stall
    with temporary.folder("nodes") as folder:
        (folder / "designs").mkdir()
        nodes = device.nodes(model, settings, request.rtl, folder / "designs")
        own = {node.tap: made for node in nodes if given is not None and (made := given(node)) is not None}
        nodes = nodes if given is None else tuple(node for node in nodes if node.tap in own)
        save(model, folder / "model.safetensors")
        np.save(folder / "images.npy", x)
        (folder / "temporary").mkdir()
        range_words = ["--images", f"{start}:{stop}"]
        words = ["--stall", pattern, "--engine", str(request.engine)]
        words += ["--power-on-seeds", ",".join(map(str, request.power_on_seeds))]
        words += [] if request.watchdog is None else ["--watchdog", str(request.watchdog)]
        if status is not None:
            status(f"{len(nodes)} nodes, {min(count_jobs(), len(nodes))} at a time")
        found: dict[int, NodeResult] = {}
        tensors = {node.own.tensor for node in nodes if node.own is not None and given is None}
        values = {INPUT: x[start:stop]}
        if inside := sorted(tensors - {INPUT}):
            values |= run(model, x[start:stop], inside, request.engine)
        which = ["--accel", device.name, *option_words(settings)]
        commands = [
            _given_command(folder, number, node, [*(which if node.own else _described(node)), *words], *own[node.tap])
            if given is not None
            else _command(folder, node, [*_described(node), *range_words, *words])
            if node.own is None
            else _own_command(folder, number, node, [*which, *range_words, *words], values, (start, stop))
            for number, node in enumerate(nodes)
        ]
        for number, ended in _run_all(commands, folder):
            found[number] = _read(nodes[number], ended)
            if progress is not None:
                progress(len(found), len(nodes))
    covered = {tap for node in nodes for tap in node.part}
    return NodesResult(
        model=model.name,
        accel=device.name,
        images=stop - start if given is None else sum(len(x) for _, x in own.values()),
        stall=pattern,
        nodes=tuple(found[number] for number in range(len(nodes))),
        missing=tuple(tap for tap in model.graph.taps if tap not in covered),
    )


class _Ended(NamedTuple):
    """A process that has ended: its status, and what it printed."""

    status: int
    output: bytes
    errors: str


def _described(node: NodeDesign) -> list[str]:
    return ["--accel", DESCRIBED, "--dut", str(node.description)]


def _command(folder: Path, node: NodeDesign, words: Sequence[str], prefix: str = "") -> list[str]:
    files = [str(folder / f"{prefix}{name}") for name in ("model.safetensors", "images.npy")]
    rtl = [] if node.rtl is None else ["--rtl", str(node.rtl)]
    return [sys.executable, "-P", "-m", "fxsim", "cosim", *files, *rtl, *words, "--json"]


def _own_command(
    folder: Path,
    number: int,
    node: NodeDesign,
    words: Sequence[str],
    values: Mapping[str, Integers],
    images: tuple[int, int],
) -> list[str]:
    """The command that runs a node's own model on the values of the tensor before it; those images have the numbers."""
    assert node.own is not None
    given = values[node.own.tensor]
    x = np.zeros((images[1], *given.shape[1:]), given.dtype)
    x[images[0] :] = given
    save(node.own.model, folder / f"{number}_model.safetensors")
    np.save(folder / f"{number}_images.npy", x)
    return _command(folder, node, words, f"{number}_")


def _given_command(
    folder: Path, number: int, node: NodeDesign, words: Sequence[str], model: Model, x: Integers
) -> list[str]:
    """The command that runs a module on a model and images of its own."""
    save(model, folder / f"{number}_model.safetensors")
    np.save(folder / f"{number}_images.npy", x)
    return _command(folder, node, words, f"{number}_")


@contextmanager
def _started(command: Sequence[str], folder: Path, number: int) -> Iterator[tuple[Any, Path, Path]]:
    """A process, and the files of what it prints. What it leaves when it is killed lies in the folder, too."""
    output, errors = folder / f"{number}.json", folder / f"{number}.txt"
    environment = os.environ | {"TMPDIR": str(folder / "temporary"), "FXSIM_PROGRESS": "0"}
    with (
        output.open("wb") as out,
        errors.open("wb") as err,
        running(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment) as process,
    ):
        yield process, output, errors


def _run_all(commands: Sequence[Sequence[str]], folder: Path) -> Iterator[tuple[int, _Ended]]:
    """Run commands, as many at once as there are cores; yields their numbers as they end. None outlives the loop."""
    waiting, slots = list(enumerate(commands)), count_jobs()
    with ExitStack() as all_of_them:
        at_work: dict[int, tuple[ExitStack, Any, Path, Path]] = {}
        while waiting or at_work:
            while waiting and len(at_work) < slots:
                number, command = waiting.pop(0)
                own = all_of_them.enter_context(ExitStack())
                at_work[number] = (own, *own.enter_context(_started(command, folder, number)))
            ended = [number for number, (_, process, _, _) in at_work.items() if process.poll() is not None]
            for number in ended:
                own, process, output, errors = at_work.pop(number)
                own.close()
                yield number, _Ended(process.returncode, output.read_bytes(), errors.read_text(errors="replace"))
            if not ended:
                time.sleep(_POLL_SECONDS)


def _read(node: NodeDesign, ended: _Ended) -> NodeResult:
    """The result of a process that simulated a node."""
    try:
        printed = msgspec.json.decode(ended.output, type=_Printed)
    except msgspec.MsgspecError:
        said = [line for line in ended.errors.splitlines() if line.strip()]
        reason = said[-1].removeprefix("fxsim: ") if said else f"its process ended with status {ended.status}"
        return NodeResult(tap=node.tap, part=node.part, passed=False, reason=reason)
    names = {tap: tap for tap in printed.taps} if node.own is None else node.own.names
    streams = [printed.taps[tap] for tap in names]
    outside = [stream for tap, stream in printed.taps.items() if tap not in names]
    if node.own is None or node.own.model.graph.output in names:
        streams.append(printed.output)
    else:
        outside.append(printed.output)
    first = printed.first_mismatch
    if node.own is not None:
        firsts = [stream.first_mismatch for stream in streams if stream.first_mismatch is not None]
        # What passes the part's input on may be wrong itself: then a fault of the part's own is the one to be told.
        own = [] if printed.origins is None else [tap.first for tap in printed.origins.taps if tap.tap in names]
        first = min([one for one in own if one is not None] or firsts, key=lambda one: one.image, default=None)
        if first is not None and first.tap != printed.output_name:
            first = msgspec.structs.replace(first, tap=names[first.tap])
    if first is not None and first.tap == printed.output_name:
        first = msgspec.structs.replace(first, tap=node.tap, carries=None)
    # Believed only where everything agrees: a status of its own, and as many values as there are.
    whole = all(stream.values > 0 and stream.compared >= stream.values for stream in streams)
    passed = printed.passed and ended.status == 0 and whole and first is None
    if any(stream.mismatches for stream in outside):
        # What is wrong behind a part is none of it.
        passed = ended.status == 1 and printed.stopped is None and not printed.faults and whole and first is None
    return NodeResult(
        tap=node.tap,
        part=node.part,
        passed=passed,
        values=sum(stream.values for stream in streams),
        compared=sum(stream.compared for stream in streams),
        differ=sum(stream.mismatches for stream in streams),
        largest=max((stream.largest for stream in streams if stream.largest is not None), default=None),
        first=first,
        cycles=printed.cycles,
        interval_cycles=printed.interval_cycles,
        reason=None if passed else _reason(printed, first, ended.status),
    )


def _reason(printed: _Printed, first: Difference | None, status: int) -> str:
    if first is not None:
        return sentence(first)
    if printed.stopped is not None:
        return f"stopped at cycle {printed.stopped.cycle:,}: {printed.stopped.reason}"
    if printed.faults:
        fault = printed.faults[0]
        return f"{fault.kind} on {fault.stream}, image {fault.image}, cycle {fault.cycle:,}"
    return f"not all values were compared, or its process ended with status {status}"
