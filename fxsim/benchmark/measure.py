"""The measurement: all contestants and roofs in turn, round after round, so that a busy moment meets all of them."""

import statistics
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from fnmatch import fnmatchcase
from typing import NamedTuple

import numpy as np

from fxsim.benchmark.contestants import COMPILED, Prepared, Track
from fxsim.benchmark.hosts import Host, lesser_hosts, start_hosts
from fxsim.benchmark.machine import find_machine
from fxsim.benchmark.peak import LOOKUPS, PRODUCTS
from fxsim.benchmark.record import (
    NATIVE,
    Contestant,
    Measured,
    Profile,
    Published,
    Result,
    Roof,
    Step,
)
from fxsim.contract import INT8
from fxsim.contract.arithmetic import Integers
from fxsim.engines import compiled
from fxsim.engines.compiled import instruction_set, instruction_sets, is_pixels, products_of
from fxsim.errors import FxsimError, ModelError
from fxsim.families import ResMLPConfig, recognise_resmlp
from fxsim.families.summary import summarise
from fxsim.formats import model_sha256
from fxsim.formats.npy import map_array
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Conv, Gate, Threshold
from fxsim.paths import golden_dir

IMAGES = 32
"""Different images that are computed, over and over."""

Report = Callable[[int, int], None]
"""A function that is called with (steps done, steps in all)."""

_PUBLISHED = Published(32_051, "the published streaming accelerator: 6,240 cycles an image at 200 MHz")
_PUBLISHED_SIZE = (64, 48, 96, 96, 4, 10)

_FINN = Published(21_900, "FINN's published accelerator of its binary CNV")
_FINN_WEIGHTS = (
    (64, 3, 3, 3), (64, 3, 3, 64), (128, 3, 3, 64), (128, 3, 3, 128), (256, 3, 3, 128), (256, 3, 3, 256),
    (512, 1, 1, 256), (512, 1, 1, 512), (64, 1, 1, 512),
)  # fmt: skip
"""Weights of FINN's CNV, whose last layer has 64 outputs."""
_FRACBNN = Published(2_807, "FracBNN's published accelerator of its CIFAR-10 network")
_FRACBNN_CHANNELS = (*[(16, 16)] * 6, (32, 16), *[(32, 32)] * 5, (64, 32), *[(64, 64)] * 5)
"""Outputs and inputs of FracBNN's layers, each of two convolutions."""
_FRACBNN_WEIGHTS = (
    (16, 3, 3, 96), *((outputs, 3, 3, inputs) for outputs, inputs in _FRACBNN_CHANNELS for _ in range(2)),
)  # fmt: skip


class _Read(NamedTuple):
    kind: str
    isa: str | None
    host: str
    threads: int


def select(contestants: Iterable[Contestant], patterns: tuple[str, ...]) -> list[Contestant]:
    """Contestants that a pattern names, in their order; all where there is no pattern.

    A pattern is a name (compiled-avx512/b2048/t2), its first part (loops@avx2) or either with * and ?. FxsimError for
    a pattern that names none.
    """
    everyone = list(contestants)

    def names(who: Contestant, pattern: str) -> bool:
        return fnmatchcase(who.name, pattern) or fnmatchcase(who.path, pattern)

    for pattern in patterns:
        if not any(names(who, pattern) for who in everyone):
            paths = ", ".join(dict.fromkeys(who.path for who in everyone))
            raise FxsimError(f"there is no contestant '{pattern}'; there are: {paths} (each with /bBATCH/tTHREADS)")
    return [who for who in everyone if not patterns or any(names(who, pattern) for pattern in patterns)]


def default_images(model: Model, seed: int) -> Integers:
    """Images for a model: golden ones of its shape and format, else drawn from all values of its format."""
    number = model.graph.input.number
    for path in sorted(golden_dir().glob("*.npy")):
        golden: Integers = map_array(path)
        if golden.shape[1:] == model.graph.input_shape and number == INT8:
            return golden[:IMAGES]
    shape = (IMAGES, *model.graph.input_shape)
    drawn: Integers = np.random.default_rng(seed).integers(number.low, number.high + 1, shape).astype(number.dtype)
    # Of two values alone, what lies between is one of them.
    return np.where(number.held(drawn), drawn, number.dtype.type(number.high))


def measure(
    model: Model,
    images: Integers,
    contestants: list[Contestant],
    *,
    threads: int,
    rounds: int,
    seconds: float,
    seed: int,
    rounds_max: int | None = None,
    original: str | None = None,
    report: Report = lambda *_: None,
    settled: Callable[[Measured], bool] = lambda measured: not measured.unmeasurable,
) -> Measured:
    """Prepare and check all contestants, then measure them and their roofs in each of `rounds` rounds.

    While that is not `settled` (by default: leaves something unmeasurable, on a busy machine) there are further rounds,
    up to `rounds_max` in all (by default none).

    Roofs are measured on one thread, on `threads`, and on as many as a contestant has. `seconds`: about how long each
    measurement takes. `original`: the file that the model was imported from, as `fxsim.formats.importers.open_original`
    takes it, for the contestant of that name. A contestant whose values differ from the reference engine's is not
    timed; its result says so.
    """
    if rounds < 1:
        raise FxsimError(f"rounds is {rounds}, expected at least 1")
    sets = tuple(kind.name for kind in instruction_sets())
    lesser = {name: isa for name, isa in lesser_hosts(sets).items() if any(who.host == name for who in contestants)}
    looked_up = _lookups(model.graph, sets[0])
    counts = sorted({1, threads, *(who.threads for who in contestants)})
    roofs = [
        _Read(kind, isa, host, count)
        for kind, measured_sets in (("macs", PRODUCTS), ("lookups", LOOKUPS if looked_up else ()))
        for count in counts
        for host, isas in {NATIVE: sets, **{name: (isa,) for name, isa in lesser.items()}}.items()
        for isa in isas
        if isa in measured_sets
    ]
    roofs += [_Read(kind, None, NATIVE, count) for count in counts for kind in ("l2", "memory")]
    # The profile counts as a contestant, even where there is none.
    total = len(contestants) + rounds * (len(contestants) + len(roofs) + 1)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        report(done, total)

    report(0, total)
    with ExitStack() as stack:
        hosts: dict[str, Host] = {NATIVE: Track(model, images, seconds, original)}
        hosts |= stack.enter_context(start_hosts(list(lesser), model, images, seconds))
        standing: dict[str, Prepared] = {}
        for who in contestants:
            standing[who.name] = hosts[who.host].prepare(who)
            step()
        profiled = any(standing[who.name].calls for who in contestants if who.engine == COMPILED)
        times: dict[str, list[float]] = {who.name: [] for who in contestants}
        rates: dict[_Read, list[float]] = {roof: [] for roof in roofs}
        steps: list[list[tuple[tuple[str, ...], str, float]]] = []

        def measure_round() -> None:
            for who in contestants:
                if standing[who.name].calls and standing[who.name].equal is not False:
                    times[who.name].append(hosts[who.host].measure(who))
                step()
            for roof in roofs:
                rates[roof].append(hosts[roof.host].measure_roof(roof.kind, roof.isa, roof.threads))
                step()
            if profiled:
                steps.append(_profile(model, images, sets[0]))
            step()

        def collect(number: int) -> Measured:
            macs = {operator.tap: operator.macs for operator in summarise(model).operators}
            return Measured(
                model=model.name,
                model_sha256=model_sha256(model),
                seed=seed,
                rounds=number,
                images_checked=len(images),
                macs=summarise(model).macs,
                bytes=sum(_moved(model.graph, (node,)) for node in model.graph.nodes),
                machine=find_machine(),
                results=tuple(
                    Result(who, tuple(times[who.name]), stand.calls, stand.equal, stand.difference, stand.absent)
                    for who in contestants
                    for stand in (standing[who.name],)
                ),
                roofs=tuple(Roof(*roof, tuple(found)) for roof, found in rates.items()),  # type: ignore[arg-type]  # kinds above
                profile=_join_profiles(model, sets[0], steps) if steps else None,
                published=_published(model),
                looked_up=sum(macs[name] for name in looked_up),
                lookups=sum(looked_up.values()),
            )

        for _ in range(rounds):
            measure_round()
        measured = collect(rounds)
        for number in range(rounds + 1, (rounds_max or rounds) + 1):
            if settled(measured):
                break
            total += len(contestants) + len(roofs) + 1
            measure_round()
            measured = collect(number)
        return measured


def _lookups(graph: Graph, isa: str) -> dict[str, int]:
    """Lookups an image of each node whose products are looked up on an instruction set."""
    if not is_pixels(graph):
        return {}
    return {found.node: found.lookups for found in products_of(graph, instruction_set(isa)) if found.lookups}


_PROFILE_IMAGES = 512


def _profile(model: Model, images: Integers, isa: str) -> list[tuple[tuple[str, ...], str, float]]:
    x = np.resize(images, (_PROFILE_IMAGES, *images.shape[1:]))
    found = compiled.profile_compiled(model, x, (model.graph.output,), isa)
    return [(entry.nodes, entry.operator, entry.seconds / len(x)) for entry in found]


def _join_profiles(model: Model, isa: str, rounds: list[list[tuple[tuple[str, ...], str, float]]]) -> Profile:
    macs = {operator.tap: operator.macs for operator in summarise(model).operators}
    graph = model.graph
    looked_up = _lookups(graph, isa)
    steps = []
    for entries in zip(*rounds, strict=True):
        nodes, operator, _ = entries[0]
        known = tuple(graph.by_name[name] for name in nodes if name in graph.by_name)
        lookups = sum(looked_up.get(name, 0) for name in nodes)
        steps.append(
            Step(
                nodes,
                f"{operator} by tables" if lookups else operator,
                statistics.median(seconds for _, _, seconds in entries),
                sum(macs[node.name] for node in known),
                _moved(graph, known),
                lookups,
            )
        )
    return Profile(isa, _PROFILE_IMAGES, tuple(steps))


def _moved(graph: Graph, nodes: tuple[Node, ...]) -> int:
    """Bytes that nodes computed as one read and write for an image: values from outside, parameters, their results.

    Values that stay among them are not moved. A result is one that another node reads, or the graph's output.
    """
    names = {node.name for node in nodes}
    sizes = {name: tensor.nbytes for name, tensor in graph.tensors.items()}
    outside = {name for node in nodes for name in node.inputs} - names
    read_elsewhere = {name for node in graph.nodes if node.name not in names for name in node.inputs}
    results = names & (read_elsewhere | {graph.output})
    return sum(sizes[name] for name in outside | results) + sum(_parameter_bytes(node) for node in nodes)


def _parameter_bytes(node: Node) -> int:
    return sum(array.nbytes for _, array in node.op.arrays())


def _published(model: Model) -> Published | None:
    """The published figure of a network of these dimensions; None where there is none."""
    weights = [node.op.weight for node in model.graph.nodes if isinstance(node.op, Conv)]
    shapes = tuple(weight.shape for weight in weights)
    if shapes in (_FINN_WEIGHTS, _FRACBNN_WEIGHTS) and all(np.isin(weight, (-1, 1)).all() for weight in weights):
        if shapes == _FRACBNN_WEIGHTS:
            return _FRACBNN if any(isinstance(node.op, Gate) for node in model.graph.nodes) else None
        steps = [node.op.threshold.shape[1] for node in model.graph.nodes if isinstance(node.op, Threshold)]
        return _FINN if all(count == 1 for count in steps) else None
    try:
        config: ResMLPConfig = recognise_resmlp(model.graph)
    except ModelError:
        return None
    size = config.tokens, config.values, config.channels, config.hidden, config.blocks, config.classes
    return _PUBLISHED if size == _PUBLISHED_SIZE else None
