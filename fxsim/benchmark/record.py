"""Records of what `fxsim bench engine` finds, and their file, which pyperf reads, too."""

import io
import json
import math
import os
import re
import statistics
from collections.abc import Iterable, Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct

from fxsim.errors import FxsimError, ToolError
from fxsim.formats import atomic_write
from fxsim.formats.text import read_json

RECORD_BYTES_MAX = 64 << 20
NATIVE = "native"
"""The host that is the machine itself: nothing withheld from the compiler."""

SPREAD_MAX = 0.5
"""Half the range between the quartiles over the median, beyond which a median says nothing: a busy machine."""


ISA_NAMES = ("avx512", "avxvnni", "avx2", "ssse3", "plain")
"""Instruction sets of the compiled engine, wherever they can run: contestants' names are read without loading it."""
HOST_ISAS = {"avx2": "avx2", "ssse3": "ssse3", "sse2": "plain"}
"""Lesser hosts, each with its best instruction set, as `fxsim.benchmark.hosts` starts them."""
EXACT = {"reference": True, "onnx": True, "torch-fake-quant": False, "torch-float32": False, "numpy-float32": False}
"""Engines that have no choice of instruction set, taps or host: whether each computes integers."""
_SIZE_MAX = 1 << 16


class _Record(Struct, frozen=True, forbid_unknown_fields=True):
    pass


class Spread(_Record, frozen=True):
    """Median, quartiles and best of several rates."""

    median: float
    low: float
    high: float
    best: float

    @property
    def half(self) -> float:
        """Half the range between the quartiles."""
        return (self.high - self.low) / 2


def spread(values: Iterable[float]) -> Spread:
    """The spread of values of which more is better."""
    values = list(values)
    if len(values) == 1:
        return Spread(values[0], values[0], values[0], values[0])
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return Spread(median, low, high, max(values))


class Contestant(_Record, frozen=True):
    """One way to compute a network: `engine` on instruction set `isa` (None where it has no choice), on a host.

    `host` says what its process may use of the machine: all (`native`), or the instructions of a lesser one. `batch`:
    images a call. `taps`: of `output` alone, or of `all`. `exact`: computes integers, which can be compared.
    """

    engine: str
    isa: str | None
    host: str
    batch: int
    threads: int
    taps: Literal["output", "all"] = "output"
    exact: bool = True

    @property
    def path(self) -> str:
        """Engine, instruction set, taps and host in a word: what --only takes, with batch and threads behind it."""
        host = "" if self.host == NATIVE else f"@{self.host}"
        isa = "" if self.isa is None else f"-{self.isa}"
        return f"{self.engine}{isa}{'+taps' if self.taps == 'all' else ''}{host}"

    @property
    def name(self) -> str:
        """Name of the contestant, its own among all."""
        return f"{self.path}/b{self.batch}/t{self.threads}"


_CONTESTANT = re.compile(r"([a-z0-9+@-]{1,60})/b([1-9][0-9]{0,4})/t([1-9][0-9]{0,4})")


def parse_contestant(name: str) -> Contestant:
    """The contestant of a name, as `Contestant.name` gives it; FxsimError where there is none of that name."""
    paths = {engine: Contestant(engine, None, NATIVE, 1, 1, "output", exact) for engine, exact in EXACT.items()}
    engines = [Contestant("compiled", isa, NATIVE, 1, 1, taps) for isa in ISA_NAMES for taps in ("output", "all")]
    engines += [Contestant("compiled", isa, host, 1, 1) for host, isa in HOST_ISAS.items()]
    engines += [Contestant("loops", None, host, 1, 1) for host in (NATIVE, *HOST_ISAS)]
    paths |= {who.path: who for who in engines}
    parts = _CONTESTANT.fullmatch(name)
    if parts is None or parts[1] not in paths or max(int(parts[2]), int(parts[3])) > _SIZE_MAX:
        raise FxsimError(
            f"there is no contestant '{name}', expected PATH/bBATCH/tTHREADS, each number up to {_SIZE_MAX:,}, of a "
            f"path of: {', '.join(sorted(paths))}"
        )
    return msgspec.structs.replace(paths[parts[1]], batch=int(parts[2]), threads=int(parts[3]))


class Result(_Record, frozen=True):
    """A contestant's figures. `seconds`: an image's share of each round's measurement, `calls` of `batch` images each.

    `equal`: its values are those of the reference engine on every image measured; None for a float one, whose values
    are not the integers'. `difference` names the first that differs. `absent`: why it was not measured.
    """

    contestant: Contestant
    seconds: tuple[float, ...]
    calls: int
    equal: bool | None
    difference: str | None = None
    absent: str | None = None

    @property
    def rate(self) -> Spread | None:
        """Images a second in the rounds; None where none was measured. `Measured.rate` says whether it is a figure."""
        return spread(1 / s for s in self.seconds) if self.seconds else None

    @property
    def steady(self) -> bool:
        """Whether the rounds agree so far that their median says something."""
        rate = self.rate
        return rate is None or rate.half <= SPREAD_MAX * rate.median


class Roof(_Record, frozen=True):
    """The most that a host can do a second, each round: products or lookups of an instruction set, or bytes read.

    `kind`: `macs`, `lookups`, or where bytes are read from, `l2` or `memory`.
    """

    kind: Literal["macs", "lookups", "l2", "memory"]
    isa: str | None
    host: str
    threads: int
    rates: tuple[float, ...]

    @property
    def rate(self) -> Spread:
        """Rates a second, all rounds."""
        return spread(self.rates)

    @property
    def best(self) -> float:
        """The most that the machine can do: the best of the rounds, as whatever else ran only made others worse."""
        return max(self.rates)


class Step(_Record, frozen=True):
    """A step of a compiled network: the nodes that it computes and what it is; seconds an image, on one thread.

    `macs` of an image, and `bytes`: what the step reads (values and parameters) and writes for one; `lookups`: those
    that give its products, where it looks them up.
    """

    nodes: tuple[str, ...]
    operator: str
    seconds: float
    macs: int
    bytes: int
    lookups: int = 0


class Profile(_Record, frozen=True):
    """Profile of the compiled engine's time: steps on one thread, the median of the rounds."""

    isa: str
    images: int
    steps: tuple[Step, ...]


class Operator(_Record, frozen=True):
    """All steps of a kind together: how many, seconds, multiply-accumulates, bytes and lookups of an image."""

    name: str
    steps: int
    seconds: float
    macs: int
    bytes: int
    lookups: int = 0


class Machine(_Record, frozen=True):
    """The machine that was measured on. `caches`: bytes of the first core's data caches by level."""

    processor: str
    cores: int
    memory_gib: float | None
    system: str
    caches: dict[str, int]
    instruction_sets: tuple[str, ...]


class Published(_Record, frozen=True):
    """Images a second that somebody else states, and where it is from."""

    images_per_second: float
    source: str


class Measured(_Record, frozen=True, dict=True):
    """Everything that was measured of one model. `macs`, `bytes`: of an image, operator by operator.

    `looked_up` of the multiply-accumulates the compiled engine looks up, in `lookups`, where its instruction set can.

    Figures that cannot be, or that the rounds do not agree on, are None: `unmeasurable` says which, and why. `noise`
    is 0 and not used: records of earlier versions state it, and are read.
    """

    model: str
    model_sha256: str
    seed: int
    rounds: int
    images_checked: int
    macs: int
    bytes: int
    machine: Machine
    results: tuple[Result, ...]
    roofs: tuple[Roof, ...]
    profile: Profile | None
    published: Published | None
    noise: float = 0.0
    looked_up: int = 0
    lookups: int = 0

    @property
    def unmeasurable(self) -> tuple[str, ...]:
        """Every figure that this measurement does not give, with the reason, a line each."""
        times = f"{self.rounds} round{'' if self.rounds == 1 else 's'}"
        found = [
            f"{result.contestant.name}: the rounds do not agree, {rate.low:,.0f} to {rate.high:,.0f} images/s between "
            f"the quartiles of {times}"
            for result in self.results
            if not result.steady and (rate := result.rate) is not None
        ]
        found += [f"{who}: computes more products than its roof in the best of {times}" for who in self._beaters]
        return tuple(found)

    def rate(self, result: Result) -> Spread | None:
        """Images a second; None where it was not measured, or the rounds do not agree."""
        return result.rate if result.steady else None

    def is_beyond(self, result: Result) -> bool:
        """Whether the roof that a result is seen under was beaten, by this result or another: it is no roof."""
        return any(self.is_beaten(roof) for roof in self._roofs_of(result.contestant))

    def is_beaten(self, roof: Roof) -> bool:
        """Whether something computed more products in its best round than a roof in its best: that cannot be."""
        return any(roof is one for beaten in self._beaters.values() for one in beaten)

    @cached_property
    def _beaters(self) -> dict[str, tuple[Roof, ...]]:
        """Everything that computed more products than its roofs let it, by its name, with those roofs."""
        found = {}
        for result in self.results:
            roofs, rate = self._roofs_of(result.contestant), result.rate
            if rate is not None and rate.best * self._least_seconds([roof.best for roof in roofs]) > 1:
                found[result.contestant.name] = roofs
        for operator in self.operators():
            roof = self._profile_roof(operator)
            if roof is not None and (operator.lookups or operator.macs) > roof.best * operator.seconds:
                found[f"operator {operator.name}"] = (roof,)
        return found

    def _roofs_of(self, who: Contestant) -> tuple[Roof, ...]:
        """The roofs that a contestant is seen under: of products, and where it looks them up, of lookups."""
        kinds = ("macs", "lookups") if self.lookups and who.engine == "compiled" and who.isa != "plain" else ("macs",)
        found = [self._roof(kind, who.threads, who.host, who.isa) for kind in kinds]
        return tuple(roof for roof in found if roof is not None) if all(found) else ()

    def _least_seconds(self, rates: Sequence[float]) -> float:
        """Seconds that an image takes at least at a roof's rate, or at two, of products and lookups; 0 at none."""
        if not rates:
            return 0.0
        if len(rates) == 1:
            return self.macs / rates[0]
        return (self.macs - self.looked_up) / rates[0] + self.lookups / rates[1]

    def _profile_roof(self, operator: Operator) -> Roof | None:
        if self.profile is None:
            return None
        return self._roof("lookups" if operator.lookups else "macs", 1, NATIVE, self.profile.isa)

    @property
    def intensity(self) -> float:
        """Multiply-accumulates a byte, where each operator reads its inputs and parameters and writes its result."""
        return self.macs / self.bytes

    @property
    def equal(self) -> bool:
        """Whether all that can be compared is equal to the reference."""
        return all(result.equal is not False for result in self.results)

    def _roof(self, kind: str, threads: int, host: str, isa: str | None) -> Roof | None:
        found = [
            roof
            for roof in self.roofs
            if (roof.kind, roof.threads, roof.host) == (kind, threads, host) and isa in (None, roof.isa)
        ]
        return max(found, key=lambda roof: roof.best, default=None)

    def roof(self, kind: str, threads: int, host: str = NATIVE, isa: str | None = None) -> Spread | None:
        """A roof, of products of the fastest instruction set where none is named; None where it was not measured."""
        roof = self._roof(kind, threads, host, isa)
        return None if roof is None or self.is_beaten(roof) else roof.rate

    def share(self, result: Result) -> float | None:
        """The part of the products its host can do that a result reaches: of its own instruction set where it has one.

        The best of the roof's rounds counts. None where either was not measured, or where the roof was beaten.
        """
        rate, roofs = self.rate(result), self._roofs_of(result.contestant)
        if rate is None or not roofs or self.is_beyond(result):
            return None
        return rate.median * self._least_seconds([roof.best for roof in roofs])

    def paired(self, result: Result, other: Result | None = None) -> tuple[float, ...]:
        """A result's images a second over another's, or over what its roofs allow, each of one round.

        What slows a whole round slows both. Empty where one of the two was not measured.
        """
        if other is None:
            roofs = self._roofs_of(result.contestant)
            rounds = zip(*(roof.rates for roof in roofs), strict=True)
            return tuple(self._least_seconds(rates) / s for rates, s in zip(rounds, result.seconds, strict=False))
        return tuple(theirs / own for own, theirs in zip(result.seconds, other.seconds, strict=False))

    def products(self, result: Result) -> float | None:
        """Multiply-accumulates a second of a result; None where it has no rate, or where its roof was beaten."""
        rate = self.rate(result)
        return None if rate is None or self.is_beyond(result) else self.macs * rate.median

    def ratio(self, result: Result) -> float | None:
        """Ratio of its images a second to those of the plain loops, on the same host and as many threads.

        None where either was not measured, or the rounds of either do not agree.
        """
        who = result.contestant
        loops = next(
            (
                self.rate(other)
                for other in self.results
                if (other.contestant.engine, other.contestant.host) == ("loops", who.host)
                and other.contestant.threads == who.threads
            ),
            None,
        )
        rate = self.rate(result)
        return None if loops is None or rate is None else rate.median / loops.median

    def operator_rate(self, operator: Operator) -> float | None:
        """Multiply-accumulates a second of a kind of operator; None where it has none, or where its roof was beaten."""
        roof = self._profile_roof(operator)
        if not operator.macs or (roof is not None and self.is_beaten(roof)):
            return None
        return operator.macs / operator.seconds

    def operators(self) -> list[Operator]:
        """The profile by kind of operator, the one that takes longest first."""
        if self.profile is None:
            return []
        kinds = dict.fromkeys(step.operator for step in self.profile.steps)
        found = []
        for kind in kinds:
            steps = [step for step in self.profile.steps if step.operator == kind]
            seconds = math.fsum(step.seconds for step in steps)
            sums = (sum(getattr(step, what) for step in steps) for what in ("macs", "bytes", "lookups"))
            found.append(Operator(kind, len(steps), seconds, *sums))
        return sorted(found, key=lambda operator: -operator.seconds)


class BenchRecord(_Record, frozen=True):
    """The part of the file under `fxsim`, beside what pyperf reads."""

    format: Literal["fxsim.bench.engine"]
    version: Literal[1]
    command: tuple[str, ...]
    started: str
    seconds: float
    fxsim_version: str
    versions: dict[str, str]
    measured: Measured


class _File(Struct, frozen=True):
    fxsim: BenchRecord


def check_pyperf() -> None:
    """ToolError where pyperf is not installed, in whose form records are written."""
    if find_spec("pyperf") is None:
        raise ToolError(
            "the extra 'bench' is not installed: there is no pyperf here, in whose form records are written"
        )


def encode_record(record: BenchRecord) -> bytes:
    """A record as JSON: a suite of pyperf's, one benchmark a contestant, with the whole record under `fxsim`.

    A benchmark's values are seconds an image. Contestants that were not measured are in the record alone. ToolError
    where pyperf is not installed.
    """
    check_pyperf()
    import pyperf

    measured = record.measured
    common: dict[str, str | int | float] = {
        "unit": "second",
        "model": _line(measured.model),
        "model_sha256": measured.model_sha256,
        "seed": measured.seed,
        "cpu_model_name": _line(measured.machine.processor),
        "cpu_count": measured.machine.cores,
        "platform": _line(measured.machine.system),
        "fxsim_version": record.fxsim_version,
        "python_version": record.versions["python"],
        "perf_version": pyperf.__version__,
        "date": record.started,
    }
    benchmarks = []
    for result in measured.results:
        who = result.contestant
        if not result.seconds:
            continue
        own = {
            "name": who.name,
            "loops": result.calls,
            "inner_loops": who.batch,
            "threads": who.threads,
            "taps": who.taps,
            "host": who.host,
            "equal": "not compared" if result.equal is None else str(result.equal),
        }
        run = pyperf.Run(list(result.seconds), metadata=common | own, collect_metadata=False)
        benchmarks.append(pyperf.Benchmark([run]))
    content: dict[str, object] = {"version": "1.0", "benchmarks": []}
    if benchmarks:
        text = io.StringIO()
        pyperf.BenchmarkSuite(benchmarks).dump(text)
        content = json.loads(text.getvalue())
    content["fxsim"] = record
    return msgspec.json.format(msgspec.json.encode(content)) + b"\n"


def _line(text: str) -> str:
    """Text as pyperf takes it: one line, not empty."""
    return " ".join(text.split()) or "unnamed"


def write_record(record: BenchRecord, path: str | os.PathLike[str]) -> None:
    """Write a record, whole or not at all; see `encode_record`."""
    data = encode_record(record)
    with atomic_write(path) as file:
        file.write_bytes(data)


def read_record(path: str | os.PathLike[str]) -> BenchRecord:
    """A record from its file; FileError where it is missing or not one that this fxsim reads."""
    path = Path(path)
    return read_json(path, _File, RECORD_BYTES_MAX, "a record of fxsim bench engine").fxsim
