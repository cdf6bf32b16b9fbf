"""Contestants compute a network; each is prepared, checked against the reference engine and timed here."""

import contextlib
import ctypes
import math
from collections.abc import Callable, Collection
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from fxsim.benchmark import peak
from fxsim.benchmark.float_network import float_forward
from fxsim.benchmark.record import EXACT, NATIVE, Contestant
from fxsim.compare import ArraySource, ComputedSource, compare, model_taps
from fxsim.contract.arithmetic import Int8, Integers
from fxsim.engines import run_reference
from fxsim.engines.compiled import run_compiled
from fxsim.engines.loops import run_loops
from fxsim.errors import ComparisonError, ModelError, ToolError
from fxsim.formats import load, model_sha256
from fxsim.formats.importers import open_original
from fxsim.formats.onnx import missing, onnx_bytes, open_onnx
from fxsim.graph import Model
from fxsim.paths import golden_dir

REFERENCE, COMPILED, LOOPS, ONNX = "reference", "compiled", "loops", "onnx"
ORIGINAL = "original"
FAKE_QUANT, TORCH, NUMPY = "torch-fake-quant", "torch-float32", "numpy-float32"

BATCHES = (1, 64, 1024, 2048)
"""Batch sizes of the compiled engine, unless others are asked for."""

_BATCH = {REFERENCE: 32, ONNX: 256, ORIGINAL: 8, FAKE_QUANT: 64, TORCH: 256, NUMPY: 32}
"""Batch size at which each of the others is about at its best."""

_BATCH_MAX = 512
"""Largest batch of slower paths and of all taps: more images would only take time and memory."""

_CALLS_MAX = 10_000

Compute = Callable[[Int8], Any]


class Prepared(Struct, frozen=True):
    """State of a contestant before it is timed; see `Result`."""

    calls: int = 0
    equal: bool | None = None
    difference: str | None = None
    absent: str | None = None


def list_engines(sets: tuple[str, ...], threads: int, batches: tuple[int, ...] = BATCHES) -> list[Contestant]:
    """The compiled engine and the plain loops, in this process alone, on one thread and on `threads`."""
    chosen = list_contestants(sets, {}, threads, batches)
    return [who for who in chosen if who.engine in (COMPILED, LOOPS)]


def list_contestants(
    sets: tuple[str, ...],
    hosts: dict[str, str],
    threads: int,
    batches: tuple[int, ...] = BATCHES,
    original: bool = False,
) -> list[Contestant]:
    """Everything that is measured, on one thread and on `threads`.

    `sets`: instruction sets of this machine, the fastest first; `hosts`: of each lesser one, its own. `original`: the
    file that the model was imported from, too, by the program that executes it, which takes the threads that it likes.
    """
    found = []
    for count in sorted({1, threads}):
        found += [Contestant(COMPILED, sets[0], NATIVE, batch, count) for batch in batches]
        most = min(max(batches), _BATCH_MAX)
        found += [Contestant(COMPILED, isa, NATIVE, most, count) for isa in sets[1:]]
        found.append(Contestant(COMPILED, sets[0], NATIVE, most, count, "all"))
        found.append(Contestant(LOOPS, None, NATIVE, most, count))
        for host, isa in hosts.items():
            found.append(Contestant(COMPILED, isa, host, most, count))
            found.append(Contestant(LOOPS, None, host, most, count))
        found.append(Contestant(ONNX, None, NATIVE, _BATCH[ONNX], count))
        floats = (FAKE_QUANT, TORCH, NUMPY)
        found += [Contestant(who, None, NATIVE, _BATCH[who], count, exact=EXACT[who]) for who in floats]
    if original:
        found.append(Contestant(ORIGINAL, None, NATIVE, _BATCH[ORIGINAL], threads))
    return [*found, Contestant(REFERENCE, None, NATIVE, _BATCH[REFERENCE], 1)]


def lacking(who: Contestant, sets: tuple[str, ...], hosts: Collection[str], cores: int) -> str | None:
    """The instruction set, lesser host, cores or extra that a contestant needs and a machine lacks; None: it has all.

    `sets`, `hosts`, `cores`: what the machine has.
    """
    if who.host == NATIVE and who.isa is not None and who.isa not in sets:
        return f"instruction set '{who.isa}' cannot run here, only: {', '.join(sets)}"
    if who.host != NATIVE and who.host not in hosts:
        return f"this machine is no more than host '{who.host}'"
    if who.threads > cores:
        return f"{who.threads} threads on {cores} core{'s' * (cores != 1)}"
    return _missing_extra(who)


def _missing_extra(who: Contestant) -> str | None:
    if who.engine == ONNX:
        return missing("onnx", "onnxruntime")
    if who.engine == NUMPY and find_spec("threadpoolctl") is None:
        return "the extra 'bench' is not installed: there is no threadpoolctl here, which sets the threads"
    if who.engine in (FAKE_QUANT, TORCH) and find_spec("torch") is None:
        return "the extra 'torch' is not installed"
    return None


class Track:
    """A model and images, and all that computes them in this process."""

    def __init__(self, model: Model, images: Int8, seconds: float, original: str | None = None) -> None:
        """`images`: the different ones, repeated to fill a batch; `seconds`: about how long each measurement takes.

        `original`: the file that the model was imported from, as `open_original` takes it.
        """
        self.model = model
        self.original = original
        self.images = images
        self.seconds = seconds
        self.output = (model.graph.output,)
        _keep_memory()
        self._expected = run_reference(model.graph, images, model.graph.taps)
        self._computes: dict[str, tuple[Compute, int]] = {}

    def prepare(self, who: Contestant) -> Prepared:
        """Build what computes, check its values, and find how many calls a measurement takes."""
        try:
            compute = self._build(who)
            if isinstance(compute, str):
                return Prepared(absent=compute)
            difference = self._check(who, compute) if who.exact else None
        except (ModelError, ToolError) as error:
            return Prepared(absent=str(error))
        x = self._batch(who.batch)
        once = self._time(who, compute, x, 1)  # the first may compile, or load
        once = self._time(who, compute, x, 1)
        calls = max(1, min(_CALLS_MAX, math.ceil(self.seconds / once)))
        self._computes[who.name] = compute, calls
        return Prepared(calls, difference is None if who.exact else None, difference)

    def measure(self, who: Contestant) -> float:
        """Seconds an image, of a contestant that was prepared."""
        compute, calls = self._computes[who.name]
        return self._time(who, compute, self._batch(who.batch), calls) / (calls * who.batch)

    def measure_roof(self, kind: str, isa: str | None, threads: int) -> float:
        """The most that this process can do a second: multiply-accumulates or lookups of `isa`, or bytes read."""
        if kind == "lookups":
            assert isa is not None
            return peak.measure_lookups(isa, threads, self.seconds)
        if kind == "macs":
            assert isa is not None
            return peak.measure_products(isa, threads, self.seconds)
        return peak.measure_reading(peak.reading_sizes(threads)[kind], threads, self.seconds)

    def _batch(self, count: int) -> Int8:
        return np.resize(self.images, (count, *self.images.shape[1:]))

    def _time(self, who: Contestant, compute: Compute, x: Int8, calls: int) -> float:
        with _limit_blas(who.threads) if who.engine in (NUMPY, REFERENCE) else contextlib.nullcontext():
            clock = peak.clock_of(who.threads)
            started = clock()
            for _ in range(calls):
                compute(x)
            return clock() - started

    def _taps(self, who: Contestant) -> tuple[str, ...]:
        return self.model.graph.taps if who.taps == "all" else self.output

    def _build(self, who: Contestant) -> Compute | str:
        """The function that computes a batch, or the reason in words why there is none."""
        model, taps = self.model, self._taps(who)
        absent = _missing_extra(who)
        if absent is not None:
            return absent
        match who.engine:
            case "compiled":
                return partial(run_compiled, model, taps=taps, threads=who.threads, isa=who.isa)
            case "loops":
                return partial(run_loops, model, taps=taps, threads=who.threads)
            case "reference":
                return lambda x: run_reference(model.graph, x, taps)
            case "original":
                return _open_original(self.original, model)
            case "onnx":
                return open_onnx(onnx_bytes(model, taps), who.threads)
            case "numpy-float32":
                return float_forward(model.graph)
            case _:
                return _torch_network(model, who)

    def _check(self, who: Contestant, compute: Compute) -> str | None:
        """The first value that is not the reference engine's, in words: of all images timed, then at every tap."""
        difference = self._differs(who, compute(self._batch(who.batch)), self._taps(who), who.batch)
        if difference is None and who.engine in (COMPILED, LOOPS) and who.taps != "all":
            every = partial(compute, taps=self.model.graph.taps)  # type: ignore[call-arg]  # of both it is one's
            difference = self._differs(who, every(self.images), self.model.graph.taps, len(self.images))
        return difference

    def _differs(self, who: Contestant, found: dict[str, Int8], taps: tuple[str, ...], count: int) -> str | None:
        """The reason why `found`, of `count` images, is not what the reference engine computes; None where it is."""
        images = np.arange(count) % len(self.images)  # as a batch repeats them
        expected = ComputedSource(
            "reference engine",
            self.model.graph.taps,
            images,
            lambda part, _: {t: self._expected[t][part] for t in taps},
        )
        try:
            return compare(expected, ArraySource(who.name, found), model_taps(self.model, taps)).reason
        except ComparisonError as error:
            return str(error)


def _open_original(original: str | None, model: Model) -> Compute | str:
    if original is None:
        return "no file is named that the model was imported from"
    taps, compute = open_original(original, model)
    output = model.graph.output
    number = model.graph.tensors[output].number
    if output not in taps:
        return f"'{output}' is no tensor of whole numbers of {original}"

    def integers(x: Int8) -> dict[str, Integers]:
        values = compute(x)[output]
        whole = values.astype(number.dtype)
        if not np.array_equal(whole, values):
            raise ToolError(f"{original} gives '{output}' a value that is no {number}")
        return {output: whole}

    return integers


_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def _keep_memory() -> None:
    """Keep freed memory with this process from now on, where the C library is glibc.

    Otherwise large arrays may be fetched from the system anew in every call, and that depends on what ran before:
    PyTorch was measured at half its speed in a fresh process.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_MMAP_THRESHOLD, 32 << 20)  # the most that it takes
        libc.mallopt(_TRIM_THRESHOLD, 1 << 30)


@contextlib.contextmanager
def _limit_blas(threads: int) -> Any:
    """Limit numpy's float products to so many threads, where the library that sets them is there."""
    if find_spec("threadpoolctl") is None:
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads, user_api="blas"):
        yield


def find_checkpoint(model: Model) -> Path | None:
    """The quantised network that a golden model was exported from; None for any other model."""
    path = golden_dir() / f"{model.name}.safetensors"
    checkpoint = golden_dir() / "checkpoints" / path.name
    # A name alone says nothing: another model may have it.
    if not (path.is_file() and checkpoint.is_file()) or model_sha256(load(path)) != model_sha256(model):
        return None
    return checkpoint


def _torch_network(model: Model, who: Contestant) -> Compute | str:
    checkpoint = find_checkpoint(model)
    if checkpoint is None:
        return "no quantised network of this model is at hand, only of golden models"
    # Only here: nothing else of this room needs torch.
    import torch

    from fxsim.graph import INPUT
    from fxsim.networks.checkpoint import load_quantised_resmlp

    network = load_quantised_resmlp(checkpoint)[0]
    step = float(network.step(INPUT))

    def compute(x: npt.NDArray[np.int8]) -> Any:
        torch.set_num_threads(who.threads)
        with torch.inference_mode():
            tokens = torch.from_numpy(x).float() * step
            if who.engine == FAKE_QUANT:
                return network(tokens)
            for _, values in network.float_taps(tokens):
                last = values
            return last

    return compute
