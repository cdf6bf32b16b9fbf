"""Time and memory of the activations, each measured in a process of its own.

What is measured: a stack of activations, each applied to the result of the one before, on float32 values [batch,
sequence, width] drawn from N(0, 1).

- forward: the stack's output, without a graph for gradients;
- training: the same with a graph, and the backward pass to the input and to every parameter. For the B-spline the
  penalty 1e-5 TV(2) of every layer is part of it, as it is trained;
- memory: the most that one training step holds beyond what there is before it (the input, the output's gradient, the
  parameters): resident memory on a CPU, allocated memory on CUDA. It is that of a process's first step.

On a CPU LERP-PSA and the B-spline run in the same compiled loops (`lerp_kernels`); all others, and all on CUDA, are
PyTorch's operations. The plain B-spline is what one writes without them: gather two coefficients, interpolate, leave
gradients to autograd. LERP-PSA's times include sampling PSA on its grid, anew in every step.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec
import torch
from torch import Tensor, nn

from fxsim.errors import FxsimError, ToolError
from fxsim.networks.b_spline import BSpline
from fxsim.networks.lerp import locate
from fxsim.networks.psa import PSA, LerpPSA
from fxsim.process import run

_REPEATS = 5
"""Times that a process measures each pass; the rounds repeat processes."""

_PENALTY = 1e-5
"""Weight of TV(2) in the loss."""

_DIRECT_TENSORS = 5
"""About how many tensors of `centres` times the input's size a layer of direct PSA keeps or needs at its peak."""


class Case(StrEnum):
    """One activation that is measured."""

    LERP_PSA_STORING = "LERP-PSA, storing"
    LERP_PSA = "LERP-PSA, recomputing"
    PSA = "PSA, direct"
    B_SPLINE = "B-spline"
    B_SPLINE_PLAIN = "B-spline, plain PyTorch"
    RELU = "ReLU"
    GELU = "GELU"


class Setting(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Sizes of what is measured, and on what. `threads` 0: as many as PyTorch takes by itself."""

    layers: int
    width: int
    sequence: int
    batch: int
    points: int
    centres: int
    device: str
    threads: int

    def __post_init__(self) -> None:
        for name in ("layers", "width", "sequence", "batch", "centres"):
            if (value := getattr(self, name)) < 1:
                raise FxsimError(f"{name} is {value}, expected at least 1")
        if self.points < 2:
            raise FxsimError(f"points is {self.points}, expected at least 2")
        if not 0 <= self.threads <= 1024:
            raise FxsimError(f"threads is {self.threads}, expected 1 to 1024, or 0 for PyTorch's choice")
        if self.device not in ("cpu", "cuda"):
            raise FxsimError(f"device is {self.device!r}, expected 'cpu' or 'cuda'")


class Sample(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Figures that one process measured: seconds of each repeat, bytes."""

    forward: tuple[float, ...]
    training: tuple[float, ...]
    memory: int
    threads: int


class Spread(msgspec.Struct, frozen=True):
    """Median and quartiles of several times, in milliseconds."""

    median: float
    low: float
    high: float


class Result(msgspec.Struct, frozen=True):
    """All rounds of one case. `memory`: MiB, the median of the rounds."""

    case: Case
    forward: Spread
    training: Spread
    memory: float
    threads: int


def compare(setting: Setting, rounds: int, report: Callable[[int, int], None]) -> list[Result]:
    """Measure every case in `rounds` rounds, all cases in turn in each, so that a busy moment meets all of them.

    `report` is called with (processes done, processes in all). FxsimError where there is no such device or not the
    memory; ToolError where a process fails.
    """
    if rounds < 1:
        raise FxsimError(f"rounds is {rounds}, expected at least 1")
    _check_device(setting)
    samples: dict[Case, list[Sample]] = {case: [] for case in Case}
    total = rounds * len(Case)
    report(0, total)
    for done in range(total):
        case = list(Case)[done % len(Case)]
        samples[case].append(_measure_apart(case, setting))
        report(done + 1, total)
    return [
        Result(
            case,
            _spread([t for sample in taken for t in sample.forward]),
            _spread([t for sample in taken for t in sample.training]),
            round(statistics.median(sample.memory for sample in taken) / 2**20, 2),
            taken[0].threads,
        )
        for case, taken in samples.items()
    ]


def _check_device(setting: Setting) -> None:
    if setting.device == "cuda":
        if not torch.cuda.is_available():
            raise FxsimError("device is 'cuda', but PyTorch finds no CUDA device here: expected one, or --device cpu")
        return
    values = setting.layers * setting.batch * setting.sequence * setting.width
    needed = values * 4 * setting.centres * _DIRECT_TENSORS
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise FxsimError(
            f"{setting.layers} layers of {setting.batch} x {setting.sequence} x {setting.width} values: direct PSA "
            f"with {setting.centres} centres needs some {needed / 2**30:.1f} GiB, here are {there / 2**30:.1f}"
        )


def _spread(seconds: list[float]) -> Spread:
    low, median, high = statistics.quantiles(seconds, n=4, method="inclusive")
    return Spread(*(round(value * 1e3, 3) for value in (median, low, high)))


def _measure_apart(case: Case, setting: Setting) -> Sample:
    arguments = [case.name, msgspec.json.encode(setting).decode()]
    done = run([sys.executable, "-m", "fxsim.benchmark.activations", *arguments])
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise ToolError(f"measuring {case} failed with status {done.returncode}: {said[-1] if said else 'no message'}")
    return msgspec.json.decode(done.stdout, type=Sample)


# --- In the process that measures ------------------------------------------------------------------------------------


def measure(case: Case, setting: Setting) -> Sample:
    """Measure one case in this process: memory is right only in a fresh one."""
    if setting.threads:
        torch.set_num_threads(setting.threads)
    device = torch.device(setting.device)
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(1)
    stack = nn.Sequential(*(_build(case, setting) for _ in range(setting.layers))).to(device)
    shape = setting.batch, setting.sequence, setting.width
    x, gradient = (torch.randn(shape, generator=generator).to(device) for _ in range(2))
    # What is loaded or compiled at first use, is loaded before anything is measured.
    _train(stack, x[:1, :1].clone().requires_grad_(), gradient[:1, :1])
    x.requires_grad_()

    memory = _peak_memory(lambda: _train(stack, x, gradient), device)
    forward, training = [], []
    for _ in range(_REPEATS):
        forward.append(_time(lambda: _infer(stack, x), device))
        training.append(_time(lambda: _train(stack, x, gradient), device))
    return Sample(tuple(forward), tuple(training), memory, torch.get_num_threads())


def _build(case: Case, setting: Setting) -> nn.Module:
    # Started as for training from scratch: four layers started for distillation would drive values far off the grid.
    if case is Case.PSA:
        return PSA(setting.width, setting.centres, initialisation="scratch")
    if case in (Case.LERP_PSA, Case.LERP_PSA_STORING):
        return LerpPSA(
            setting.width,
            setting.centres,
            points=setting.points,
            initialisation="scratch",
            recompute=case is Case.LERP_PSA,
        )
    if case in (Case.B_SPLINE, Case.B_SPLINE_PLAIN):
        return _build_spline(BSpline if case is Case.B_SPLINE else _PlainBSpline, setting)
    return nn.ReLU() if case is Case.RELU else nn.GELU()


def _build_spline(kind: type[BSpline], setting: Setting) -> BSpline:
    """A spline of the functions that the PSA of the same seed has.

    As a leaky ReLU, which it is before training, a stack of them would press half the values into one segment, and the
    time that reading the coefficients takes depends on where the values are.
    """
    spline = kind(setting.width, setting.points + 1)
    psa = PSA(setting.width, setting.centres, initialisation="scratch")
    knots = torch.linspace(-spline.limit, spline.limit, setting.points + 1)
    with torch.no_grad():
        spline.coefficients.copy_(psa(knots[:, None].expand(-1, setting.width)).T)
    return spline


class _PlainBSpline(BSpline):
    """The same spline in PyTorch's operations, differentiated by autograd."""

    def forward(self, x: Tensor) -> Tensor:
        index, fraction = locate(x, self.coefficients, self.limit)
        flat = self.coefficients.flatten()
        return (1 - fraction) * flat[index] + fraction * flat[index + 1]


def _infer(stack: nn.Sequential, x: Tensor) -> None:
    with torch.no_grad():
        stack(x)


def _train(stack: nn.Sequential, x: Tensor, gradient: Tensor) -> None:
    roots, gradients = [stack(x)], [gradient]
    for layer in stack:
        if isinstance(layer, BSpline):
            roots.append(_PENALTY * layer.tv2())
            gradients.append(torch.ones_like(roots[-1]))
    torch.autograd.backward(roots, gradients)
    x.grad = None
    stack.zero_grad()


def _time(work: Callable[[], None], device: torch.device) -> float:
    _wait(device)
    started = time.perf_counter()
    work()
    _wait(device)
    return time.perf_counter() - started


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _peak_memory(work: Callable[[], None], device: torch.device) -> int:
    """Bytes that `work` holds at most beyond what is held before it."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        work()
        return torch.cuda.max_memory_allocated(device) - before
    try:
        # Sets the peak that the kernel remembers to what is resident now; see proc(5).
        Path("/proc/self/clear_refs").write_text("5")
        before = _resident("VmRSS")
        work()
        return max(0, _resident("VmHWM") - before)
    except OSError as error:
        raise FxsimError(
            f"peak memory cannot be measured on this system: {error.filename}: {error.strerror}"
        ) from error


def _resident(field: str) -> int:
    """A field of /proc/self/status, in bytes; the system counts in kB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024
    raise FxsimError(f"peak memory cannot be measured on this system: /proc/self/status lacks {field}")


def _main() -> None:
    name, setting = sys.argv[1:]
    try:
        sample = measure(Case[name], msgspec.json.decode(setting, type=Setting))
    except (FxsimError, MemoryError, RuntimeError) as error:
        # RuntimeError: how PyTorch says that there is not enough memory.
        sys.exit(str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__)
    sys.stdout.write(msgspec.json.encode(sample).decode())


if __name__ == "__main__":
    _main()
