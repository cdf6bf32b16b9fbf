"""A proof of RTL from a request to its result: netlist, symbolic run, the netlist on numbers, simulation beside it."""

import itertools
import re
import resource
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from fxsim.compare import sentence
from fxsim.contract.arithmetic import Int8, Integers
from fxsim.cosim import CosimRequest
from fxsim.devices import DEFAULT, DESCRIBED, DEVICES, make_settings
from fxsim.devices.provable import Beats, Lane, Port, Provable
from fxsim.engines import run
from fxsim.errors import ToolError
from fxsim.formats import model_sha256
from fxsim.graph import INPUT, Model, check_model
from fxsim.paths import rtl_dir
from fxsim.prove.asked import IMAGES_MAX, parse_schedule
from fxsim.prove.blocks import PROVED, REFUTED, UNPROVED, BlockProof, prove_block
from fxsim.prove.bus import OF_MEMORY, OF_REGISTERS, BusSetup
from fxsim.prove.evidence import SHOWN, Evidence
from fxsim.prove.expected import Functions, Numbers
from fxsim.prove.forms import Forms
from fxsim.prove.forms_again import Claim
from fxsim.prove.judge import Finding, Judge, Place
from fxsim.prove.kept import find_key, keep, take
from fxsim.prove.machine import Machine
from fxsim.prove.monitors import Monitor
from fxsim.prove.netlist import Made, make_netlist
from fxsim.prove.program import Places, Program, make_program
from fxsim.prove.schedules import STATED
from fxsim.prove.shown import explain, label_of, shrink, simulate
from fxsim.prove.solver import Answer
from fxsim.prove.streams import Feed, Watch
from fxsim.prove.symbolic import Outcome, Run, Setup
from fxsim.simulate.build import Status, optimisation
from fxsim.simulate.sources import Sources, read_sources
from fxsim.simulate.stall import Stall
from fxsim.simulate.tools import find_toolchain

SAMPLES = 2
"""Sample images on which terms, the netlist and the simulated RTL are compared."""
SOUGHT, SOUGHT_VALUES = (62, 4096), 1 << 18
"""Further images that are simulated where something was found, for one that shows it: fewest, most, and about so many
values in all."""
SEEK_SECONDS, SEEK_VALUES = 20.0, 1 << 21
"""Seconds for which an image is sought of which a value is wrong that is so of some values of the taps before it; and
about how many values are computed at once."""
REPLAYED = 4
"""Findings of a module whose inputs are put into its netlist."""

Progress = Callable[[str, int, int], None]
"""A function that is told what is proved, how many values of it are judged, and of how many."""


@dataclass(frozen=True)
class ProofRequest:
    """A model, and the RTL that is to be proved equal to it.

    `device`, `settings`: as in a co-simulation. `module`: one of its modules, each different instance alone; None: all
    of it. `rtl`: a folder of Verilog in place of the device's own. `schedule`: see `parse_schedule`. `images`: of one
    run, one after the other. `simulate`: whether the whole device is simulated beside it, without which nothing of it
    is refuted. `kept`: whether a proof that was kept of the same, down to every version, is taken in place of a new
    one, and what is proved now is kept; of devices of other packages none is.
    """

    model: Model
    device: str = DEFAULT
    settings: Mapping[str, object] = field(default_factory=dict)
    module: str | None = None
    rtl: Path | None = None
    schedule: str = "none"
    images: int = 1
    simulate: bool = True
    kept: bool = False

    def __post_init__(self) -> None:
        check_model(self.model)
        parse_schedule(self.schedule)
        if not 1 <= self.images <= IMAGES_MAX:
            raise ToolError(f"the run is of {self.images} images, expected 1 to {IMAGES_MAX}")


class TapProof(msgspec.Struct, frozen=True):
    """A stream: values that were judged, and how many of them are proved."""

    stream: str
    values: int
    proved: int


class Refutation(msgspec.Struct, frozen=True):
    """The image on which the RTL differs, null where a finding has the inputs, and the difference in words.

    Of a whole design that was simulated: `images`, how many the least run that shows the same has, of which the last
    differs; `witness`, the values of that one that are not 0; `least`: whether nothing smaller was left to try.
    `label`: the cause by `fxsim diff`, where it explains every value exactly, at the operator `node`; else
    `unexplained`.
    """

    image: int | None
    sentence: str
    images: int = 0
    witness: dict[str, int] = {}
    least: bool = False
    label: str = ""
    node: str = ""

    @property
    def shown_by(self) -> str:
        """The image or inputs that show it, with the difference; an image is named once."""
        by = "inputs" if self.image is None else f"image {self.image}"
        return self.sentence if self.sentence.startswith(f"{by}, ") else f"{by}: {self.sentence}"


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """The result for one design.

    `status`: `proved`, `refuted` (the simulated RTL differs on an image; of a module its netlist, on a sample image or
    on inputs that were found) or `unproved`. `ways`: how values were proved, by way. `questions`: asked of the solver.
    `stopped`: why the run ended early, empty where it did not. `seconds`: by what took them. `memory_mib`: most memory
    of the process. `around`: what stood around it, streams, or registers and memory on a bus. `cached`: it was proved
    before and kept, and times and memory are those of then.
    """

    name: str
    status: str
    images: int
    schedule: str
    cycles: int
    values: int
    proved: int
    taps: tuple[TapProof, ...]
    ways: dict[str, int]
    questions: int
    findings: tuple[Finding, ...]
    stopped: str
    refutation: Refutation | None
    simulated: str
    btor2_sha256: str
    yosys: str
    cells: int
    seconds: dict[str, float]
    memory_mib: int
    around: Literal["streams", "bus"]
    cached: bool = False


class ProofResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a request: `status` is `proved` only where every design and every block is."""

    status: str
    model: str
    device: str
    module: str | None
    proofs: tuple[Proof, ...]
    blocks: tuple[BlockProof, ...] = ()


def prove(
    request: ProofRequest,
    *,
    progress: Progress | None = None,
    status: Status | None = None,
    evidence: Evidence | None = None,
) -> ProofResult:
    """Prove what a request names.

    `evidence` gets every question to the solver, the netlists, and the result; where it is there, no kept proof is
    taken.

    What is not equal, or not decided, is a result, not an exception. ToolError where a tool is missing or fails, where
    there is no such module, or where the device has nothing to prove; ModelError where the model does not fit it.
    """
    device = DEVICES[request.device]
    settings = make_settings(device.name, device.settings, request.settings)
    if device.name == DESCRIBED and request.rtl is not None:
        raise ToolError(
            "other Verilog (--rtl) in place of a described design's is not taken: expected a description of that "
            "Verilog, such as a copy of this one in its folder"
        )
    blocks = {} if device.blocks is None else device.blocks(request.model, settings)
    proofs: tuple[Proof, ...] = ()
    proved: tuple[BlockProof, ...] = ()
    if request.module in blocks:
        proved = tuple(prove_block(block, request.rtl, status, evidence) for block in blocks[request.module])
    elif device.proofs is None:
        what = f"the accelerator '{request.device}' is not proved as a whole"
        if request.module is not None:
            why = device.unproved.get(request.module, "it has no such module")
            what = f"'{request.module}' of the accelerator '{request.device}' is not proved alone: {why}"
        elif request.device in STATED:
            what += "; its modules, and that it is made of them, are with --schedule all"
        raise ToolError(f"{what}; its modules that are proved alone (--module): {', '.join(sorted(blocks)) or 'none'}")
    else:
        designs = device.proofs(request.model, settings, request.module)
        proofs = tuple(prove_design(request, design, progress, status, evidence) for design in designs)
    states = {proof.status for proof in proofs} | {block.status for block in proved}
    overall = REFUTED if REFUTED in states else UNPROVED if UNPROVED in states or not states else PROVED
    result = ProofResult(
        status=overall,
        model=request.model.name,
        device=request.device,
        module=request.module,
        proofs=proofs,
        blocks=proved,
    )
    if evidence is not None:
        evidence.add("result", result)
    return result


def prove_design(
    request: ProofRequest,
    design: Provable,
    progress: Progress | None = None,
    status: Status | None = None,
    evidence: Evidence | None = None,
) -> Proof:
    """Prove one design, of those that a request's device has for its model or another. Raises as `prove` does."""
    seconds: dict[str, float] = {}
    clock = _Clock(seconds)
    own = design.verilog
    sources = read_sources(request.rtl or rtl_dir()) if own is None else own.sources
    made = make_netlist(sources, design.top, design.parameters, design.files, status, own, design.clock)
    clock.lap("netlist")
    key = _key(request, design, made, sources) if request.kept and request.device in DEVICES.own else None
    if key is not None and evidence is None:
        kept = take(key, Proof)
        if kept is not None and kept.status == PROVED:
            return msgspec.structs.replace(kept, cached=True)
    program = make_program(made.netlist, contents=own is not None)
    clock.lap("program")
    functions = Functions(request.model.graph, design.tensors())
    x = sample_images(request.model, SAMPLES + request.images - 1, seed=1)
    computed = run(request.model, x, request.model.graph.taps)
    every = functions.samples(x, computed)
    # Sample s is, as the run's image i, image s + i of these.
    samples = np.concatenate([every[:, i : i + SAMPLES] for i in range(request.images)])
    setup = make_setup(design, made, program, functions)
    stall = parse_schedule(request.schedule)

    machine = Machine(program)
    forms = None if evidence is None else Forms()
    judge = Judge(machine, functions, samples, forms)
    report = None if progress is None else (lambda done, of: progress(design.name, done, of))
    outcome = Run(machine, setup, functions.total, request.images, judge, stall=stall, report=report).run()
    clock.lap("symbolic run")
    told = "" if outcome.stopped or outcome.findings else _numbers(program, setup, functions, samples, request, stall)
    clock.lap("run on numbers")
    if evidence is not None:
        evidence.keep(f"netlists/{made.sha256}.btor", made.btor2.encode())
        for text, answer in judge.questions.items():
            if answer is Answer.UNSAT:
                evidence.ask(design.name, text, answer, f"a function of a sum in {design.name} is the contract's")
    clear = not outcome.stopped and not outcome.findings
    if evidence is not None and forms is not None and clear:
        name = re.sub(r"[^a-z0-9_-]+", "-", design.name.lower())[:80]
        file = f"forms/{len(evidence.forms):03}-{name}.npz"
        evidence.keep(file, forms.file())
        taps = [tap for tap in request.model.graph.taps if tap in design.proved()]
        shown = sorted(design.tensors())
        given = tuple(name for name in shown if name not in taps)
        whole = design.whole and request.model.graph.output in taps and given == (INPUT,)
        evidence.forms.append(Claim(design.name, file, request.images, tuple(taps), tuple(shown), given, whole))
        evidence.add("forms", evidence.forms)
    refutation, simulated = None, "not simulated"
    if design.whole and request.simulate:
        if status is not None:
            status("simulating it beside the proof")
        if not clear and not any(finding.kind == "sample" for finding in outcome.findings):
            x = np.concatenate([x, *_seek(request.model, functions, judge)])
        refutation, simulated = _simulate(request, x, clear, evidence)
        clock.lap("simulation")
    elif not clear:
        refutation = _of_sample(outcome) or _of_inputs(outcome, program, setup, functions, judge, request, stall)
    elif not design.whole:
        simulated = "its netlist on numbers"
    state = REFUTED if refutation is not None else PROVED if clear and not told else UNPROVED
    if clear and refutation is not None:
        told = f"every value is proved, and yet the simulated RTL differs ({refutation.sentence}): the prover is wrong"
        state = UNPROVED
    result = _result(
        design, request, made, outcome, judge, told, refutation, simulated, state, seconds, len(program.code)
    )
    if key is not None and state == PROVED:
        keep(key, result)
    return result


def _key(request: ProofRequest, design: Provable, made: Made, sources: Sources) -> str:
    """The key of a proof of a design: all that it rests on."""
    simulator: tuple[str, ...] = ()
    if design.whole and request.simulate:
        tools = find_toolchain(optimisation())
        simulator = tools.verilator_version, tools.compiler_version, tools.processor, optimisation()
    rests_on = {
        "netlist": made.sha256,
        "yosys": made.yosys,
        # The simulator reads the Verilog itself.
        "verilog": sources.sha256 if design.verilog is None else design.verilog.sha256,
        "model": model_sha256(request.model),
        "design": design._replace(verilog=None),
        "device": request.device,
        "settings": {name: repr(value) for name, value in request.settings.items()},
        "schedule": request.schedule,
        "images": request.images,
        "simulator": simulator,
    }
    return find_key("design", rests_on)


def _result(
    design: Provable,
    request: ProofRequest,
    made: Made,
    outcome: Outcome,
    judge: Judge,
    told: str,
    refutation: Refutation | None,
    simulated: str,
    state: str,
    seconds: dict[str, float],
    cells: int,
) -> Proof:
    counts = outcome.counts.values()
    return Proof(
        name=design.name,
        status=state,
        images=request.images,
        schedule=request.schedule,
        cycles=outcome.cycles,
        values=sum(count.values for count in counts),
        proved=sum(count.proved for count in counts),
        taps=tuple(TapProof(name, *count) for name, count in outcome.counts.items()),
        ways=dict(judge.counts),
        questions=len(judge.questions),
        findings=outcome.findings,
        stopped=outcome.stopped or told,
        refutation=refutation,
        simulated=simulated,
        btor2_sha256=made.sha256,
        yosys=made.yosys,
        cells=cells,
        seconds={name: round(value, 3) for name, value in seconds.items()},
        memory_mib=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        around="streams" if design.bus is None else "bus",
    )


def sample_images(model: Model, count: int, seed: int) -> Int8:
    """Images of every kind: random ones, random ends of the range, small values, constants; int8 [image, ...]."""
    shape = model.graph.input_shape
    random = np.random.default_rng(seed)
    found = []
    for i in range(count):
        kind = i % 4 if i >= SAMPLES else 0
        if kind == 0:
            image = random.integers(-128, 128, shape)
        elif kind == 1:
            image = np.where(random.integers(0, 2, shape) == 1, 127, -128)
        elif kind == 2:
            image = random.integers(-8, 9, shape)
        else:
            image = np.full(shape, int(random.integers(-128, 128)))
        found.append(image.astype(np.int8))
    return np.stack(found)


def make_setup(design: Provable, made: Made, program: Program, functions: Functions) -> Setup:
    """The surroundings of a design as places of its program; ToolError where a port is missing or too narrow."""
    netlist = made.netlist
    ports = {**netlist.inputs, **netlist.outputs}

    def whole(name: str) -> Places:
        cell = ports.get(name)
        if cell is None:
            raise ToolError(f"the module '{design.top}' has no port '{name}'; it has: {', '.join(sorted(ports))}")
        found = program.places[cell]
        assert found is not None
        return found

    def places(port: Port) -> Places:
        found = whole(port.name)
        if len(found) < port.low + port.width:
            raise ToolError(
                f"the port '{port.name}' of '{design.top}' has {len(found)} bits, expected {port.low + port.width}"
            )
        return found[port.low : port.low + port.width]

    def if_any(port: Port | None) -> Places | None:
        return None if port is None else places(port)

    def always(port: Port | None) -> Places:
        return np.ones(1, np.int32) if port is None else places(port)

    feeds = []
    for feed in design.feeds:
        beats = feed.beats or Beats(1, (1,) * len(feed.order))
        tensors = feed.tensors or (feed.tensor,) * len(feed.order)
        feeds.append(
            Feed(
                places(feed.data),
                if_any(feed.valid),
                always(feed.ready),
                if_any(feed.last),
                tuple(functions.number(tensor, *place) for tensor, place in zip(tensors, feed.order, strict=True)),
                beats.counts,
                beats.lanes,
                frozenset({len(beats.counts) - 1}) if feed.lasts is None else feed.lasts,
                if_any(feed.keep),
                if_any(feed.start),
                feed.interval,
                feed.whole,
            )
        )
    watches = []
    for watch in design.watches:
        beats = watch.beats or Beats(1, (1,) * len(watch.order))
        flags = []
        if watch.last is not None:
            lasts = frozenset({len(beats.counts) - 1}) if watch.lasts is None else watch.lasts
            flags.append((watch.last.name, places(watch.last), lasts))
        if watch.start is not None:
            flags.append((watch.start.name, places(watch.start), frozenset({0})))
        if watch.zero is not None:
            flags.append((watch.zero.name, places(watch.zero), frozenset[int]()))
        streams = (places(watch.data), if_any(watch.valid), always(watch.ready))
        watches.append(
            Watch(
                watch.name,
                watch.tap,
                *streams,
                watch.order,
                tuple(functions.number(watch.tap, *place) for place in watch.order),
                beats.counts,
                beats.lanes,
                watch.same,
                tuple(flags),
                if_any(watch.keep),
                watch.latency,
                watch.cut,
            )
        )
    takes = np.concatenate([np.zeros(0, np.int32), *(places(port) for port in design.takes)])
    quiet = {port.name: places(port) for port in design.quiet}
    monitors = tuple(
        Monitor(
            monitor.name,
            places(monitor.data),
            places(monitor.valid),
            monitor.words,
            tuple(_numbers_of(word, functions) for word in monitor.words),
        )
        for monitor in design.monitors
    )
    bus = None
    if design.bus is not None:
        names = [f"{design.bus.registers}_{name}" for name in OF_REGISTERS]
        names += [f"{design.bus.memory}_{name}" for name in OF_MEMORY]
        numbers_in = {
            region.name: _numbers_of(region.content, functions)
            for region in (*design.bus.reads, design.bus.writes)
            if not isinstance(region.content, bytes)
        }
        bus = BusSetup(design.bus, {name: whole(name) for name in (*names, design.bus.irq.name)}, numbers_in)
    resets = places(design.reset) if design.reset_cycles else np.zeros(0, np.int32)
    cycles, idle = design.reset_cycles, design.idle_reset
    return Setup(tuple(feeds), tuple(watches), resets, takes, quiet, design.idle, cycles, idle, monitors, bus)


def _numbers_of(lanes: tuple[Lane | None, ...], functions: Functions) -> tuple[int, ...]:
    """The numbers of the values in bytes of a word or of memory, -1 for those that hold none."""
    return tuple(
        -1 if lane is None or lane.holds is not None else functions.number(lane.tap, lane.token, lane.channel)
        for lane in lanes
    )


def _numbers(
    program: Program, setup: Setup, functions: Functions, samples: Numbers, request: ProofRequest, stall: Stall
) -> str:
    """Run the netlist on the sample images' numbers; empty where every stream gives the model's values."""
    given = samples[:, 0].tolist()
    runner = Run(Machine(program), setup, functions.total, request.images, None, given, stall)
    outcome = runner.run()
    if outcome.stopped:
        return f"on numbers: {outcome.stopped}"
    indices: Counter[str] = Counter()
    for stream, number, value in runner.seen():
        if value != given[number]:
            return f"on numbers '{stream}' gives {value} as value {indices[stream]}, expected {given[number]}"
        indices[stream] += 1
    return ""


def _simulate(request: ProofRequest, x: Int8, clear: bool, evidence: Evidence | None) -> tuple[Refutation | None, str]:
    """Simulate the device on the sample images, and where something was found on more; what refutes it made least."""

    def make(images: Integers, seeds: tuple[int, ...]) -> CosimRequest:
        return CosimRequest(
            request.model,
            images,
            request.device,
            request.settings,
            stall=request.schedule,
            rtl=request.rtl,
            power_on_seeds=seeds,
        )

    if not clear:
        least, most = SOUGHT
        count = min(max(SOUGHT_VALUES // x[0].size, least), most)
        x = np.concatenate([x, sample_images(request.model, count, seed=2)])
    found, given = simulate(make(x, (1, 2)))
    simulated = f"{len(x)} images by Verilator, every tap"
    verdict = found.verdict
    if verdict.passed:
        return None, simulated
    image = verdict.failing_image or 0
    text = "the streams break a rule"
    if verdict.first_mismatch is not None:
        text = sentence(verdict.first_mismatch)
    elif verdict.stopped is not None:
        text = verdict.stopped.reason
    elif verdict.faults:
        text = f"{verdict.faults[0].kind} at '{verdict.faults[0].stream}'"
    shown = shrink(make, x, found)
    fault = explain(request.model, found, given)
    if evidence is not None:
        file = BytesIO()
        np.save(file, shown.x)
        evidence.keep(SHOWN, file.getvalue())
        evidence.shown = shown.result
    places = np.argwhere(shown.x[-1]).tolist()
    witness = {f"{INPUT}[{', '.join(map(str, at))}]": int(shown.x[-1][tuple(at)]) for at in places}
    label, node = label_of(fault), "" if fault is None else fault.node
    return Refutation(image, text, len(shown.x), witness, shown.least, label, node), simulated


def _seek(model: Model, functions: Functions, judge: Judge) -> list[Integers]:
    """An image of which a value's own term differs from the model's, where one is found in time; else nothing.

    Images are drawn, and those changed of which the sum that the value is a function of comes next to one at which it
    is wrong.
    """
    if not judge.differing:
        return []
    until, random = time.monotonic() + SEEK_SECONDS, np.random.default_rng(3)
    count = min(max(SEEK_VALUES // functions.total, 8), 4096)
    near = np.zeros((0, *model.graph.input_shape), np.int8)
    for seed in itertools.count(3):
        x = sample_images(model, count, seed)
        if len(near):
            changed = near[random.integers(0, len(near), count // 2)]
            share = random.choice([0.02, 0.1, 0.5], size=(len(changed), *[1] * (x.ndim - 1)))
            x[: len(changed)] = np.where(random.random(changed.shape) < share, x[: len(changed)], changed)
        samples = functions.samples(x, run(model, x, model.graph.taps))
        for number, cone, _, _ in judge.differing:
            got, good = judge.evaluate(cone.rows, samples[cone.variables])
            wrong = np.flatnonzero(good & (got != samples[number]))
            if len(wrong):
                return [x[wrong[:1]]]
        _, _, expected, total = judge.differing[seed % len(judge.differing)]
        distance = np.abs(expected.weights @ samples[expected.inputs] - total)
        near = x[np.argsort(distance, kind="stable")[:16]]
        if time.monotonic() > until:
            break
    return []


def _of_sample(outcome: Outcome) -> Refutation | None:
    """A finding that a sample image shows, of a module: the values before it are the model's."""
    for finding in outcome.findings:
        if finding.kind == "sample" and finding.sample is not None:
            return Refutation(finding.sample + finding.image, f"{finding.tap}: {finding.text}")
    return None


def _of_inputs(
    outcome: Outcome,
    program: Program,
    setup: Setup,
    functions: Functions,
    judge: Judge,
    request: ProofRequest,
    stall: Stall,
) -> Refutation | None:
    """A finding that inputs of the design show: its netlist, run on these numbers, gives what the finding says."""
    every = (image * functions.total + n for image in range(request.images) for n in setup.fed())
    numbers = {judge.name(number): number for number in every}
    differing = [finding for finding in outcome.findings if finding.kind == "differs"]
    for finding in differing[:REPLAYED]:
        if not finding.witness.keys() <= numbers.keys():
            continue
        given = [0] * (functions.total * request.images)
        for name, value in finding.witness.items():
            given[numbers[name]] = value
        runner = Run(Machine(program), setup, functions.total, request.images, None, given, stall)
        runner.run()
        place = Place(finding.image, finding.tap, finding.token, finding.channel, finding.cycle)
        number = judge.number(place)
        if any(seen.number == number and seen.value == finding.got for seen in runner.seen()):
            text = f"{finding.tap}: of these inputs its netlist gives {finding.got}, expected {finding.expected}"
            return Refutation(None, text)
    return None


class _Clock:
    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        """Note what took the time since the last lap."""
        now = time.monotonic()
        self._seconds[name] = self._seconds.get(name, 0.0) + now - self._last
        self._last = now
