"""`fxsim bench`: that what it measures is what it says, and what it refuses."""

import json
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest
import torch
from click.testing import CliRunner

from fxsim.benchmark import activations
from fxsim.benchmark.activations import Case, Sample, Setting, compare, measure
from fxsim.cli import main
from fxsim.cli.bench import command
from fxsim.errors import FxsimError, ToolError
from fxsim.networks.b_spline import BSpline

SMALL = Setting(layers=2, width=8, sequence=4, batch=2, points=5, centres=3, device="cpu", threads=1)


@pytest.fixture
def threads() -> object:
    """The number of threads is as before after the test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_bench_shows_every_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command prints the figures of all cases, as a table or JSON, and draws them; the plot repeats bit for bit."""
    monkeypatch.setattr(activations, "_measure_apart", lambda case, _: Sample((0.00125,), (0.5,), 3 << 20, len(case)))
    output, again = tmp_path / "bench.svg", tmp_path / "again.svg"
    arguments = ["nn", "--batch", "16", "--rounds", "2"]
    done = CliRunner().invoke(command, [*arguments, "--json", "-o", str(output)])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    assert record["rounds"] == 2
    assert record["setting"]["batch"] == 16
    for case, result in zip(Case, record["results"], strict=True):
        assert result == {
            "case": str(case),
            "forward": {"median": 1.25, "low": 1.25, "high": 1.25},
            "training": {"median": 500.0, "low": 500.0, "high": 500.0},
            "memory": 3.0,
            "threads": len(case),
        }
    assert ET.parse(output).getroot().tag.endswith("svg")  # noqa: S314  # our own file
    assert all(f">{case}<" in output.read_text() for case in Case)
    table = CliRunner().invoke(command, [*arguments, "-o", str(again)])
    assert table.exit_code == 0, table.output
    assert all(str(case) in table.stdout for case in Case)
    assert "500.00" in table.stdout
    assert again.read_bytes() == output.read_bytes()


@pytest.mark.slow
@pytest.mark.thorough
def test_processes_measure_memory() -> None:
    """In processes of their own, LERP-PSA needs far less memory than direct PSA, which keeps what its formula makes."""
    setting = Setting(layers=1, width=64, sequence=64, batch=64, points=64, centres=8, device="cpu", threads=1)
    direct, interpolated = (activations._measure_apart(case, setting) for case in (Case.PSA, Case.LERP_PSA))
    x = 64 * 64 * 64 * 4
    # At least two tensors of 8 centres for the backward pass; LERP-PSA the output, a gradient and the grid's own.
    assert direct.memory > 2 * 8 * x
    assert interpolated.memory < 6 * x
    assert direct.threads == interpolated.threads == 1


_HOLDING = """
import torch
from fxsim.benchmark.activations import _peak_memory

def hold():
    torch.zeros(10 * 2**20).add_(1)

print(*(_peak_memory(work, torch.device("cpu")) for work in (hold, lambda: None)))
"""


@pytest.mark.slow
def test_memory_is_what_a_step_holds() -> None:
    """A step that holds a known block at its peak is measured to hold as much, though it gives it back."""
    # In a process of its own, as everything is measured: this one may have as much to give from what was freed before.
    done = subprocess.run([sys.executable, "-c", _HOLDING], capture_output=True, text=True, check=True)
    held, nothing = map(int, done.stdout.split())
    size = 40 * 2**20
    assert size - 2**20 < held < size + 2**22
    # The peak before does not count.
    assert nothing < 2**21


@pytest.mark.usefixtures("threads")
def test_training_step_reaches_every_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is timed computes gradients to the input and to all parameters, with the penalty of a B-spline's TV(2)."""
    for case in Case:
        torch.manual_seed(3)
        stack = torch.nn.Sequential(*(activations._build(case, SMALL) for _ in range(2)))
        x, gradient = torch.randn(2, 4, 8, requires_grad=True), torch.randn(2, 4, 8)
        seen: dict[str, torch.Tensor] = {}

        def keep(seen: dict[str, torch.Tensor] = seen, stack: torch.nn.Sequential = stack) -> None:
            seen.update({name: p.grad.clone() for name, p in stack.named_parameters()})  # type: ignore[union-attr]

        monkeypatch.setattr(stack, "zero_grad", keep)
        activations._train(stack, x, gradient)
        loss = (stack(x) * gradient).sum()
        loss = loss + sum(1e-5 * layer.tv2() for layer in stack if isinstance(layer, BSpline))
        names = [name for name, _ in stack.named_parameters()]
        assert list(seen) == names
        assert bool(names) == (case not in (Case.RELU, Case.GELU))
        if names:
            for name, expected in zip(names, torch.autograd.grad(loss, list(stack.parameters())), strict=True):
                torch.testing.assert_close(seen[name], expected)


@pytest.mark.usefixtures("threads")
def test_measure_times_each_pass_several_times() -> None:
    """One process gives as many times of either pass, and the threads it ran on."""
    sample = measure(Case.LERP_PSA, SMALL)
    assert len(sample.forward) == len(sample.training) == 5
    assert min(sample.forward + sample.training) > 0
    assert sample.threads == 1


def test_rounds_take_all_cases_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every round meets every case once; medians are over all rounds."""
    order: list[Case] = []

    def apart(case: Case, _: Setting) -> Sample:
        order.append(case)
        n = len(order) // (len(Case) + 1)
        return Sample((0.001 * (1 + n),), (0.002, 0.004), 2**20 * (1 + n), 2)

    monkeypatch.setattr(activations, "_measure_apart", apart)
    reported: list[tuple[int, int]] = []
    results = compare(SMALL, 3, lambda done, total: reported.append((done, total)))
    assert order == list(Case) * 3
    total = 3 * len(Case)
    assert reported == [(i, total) for i in range(total + 1)]
    assert [result.case for result in results] == list(Case)
    assert (results[0].forward.median, results[0].training.median, results[0].memory) == (2.0, 3.0, 2.0)


def test_a_failing_process_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a measuring process fails its last line is in the error, with the case."""
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(ToolError, match="measuring LERP-PSA, storing failed with status 1: no message"):
        compare(SMALL, 1, lambda *_: None)


def test_pytorchs_errors_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """What PyTorch raises where memory is short ends the measuring process with the first line of it."""

    def fail(*_: object) -> Sample:
        raise RuntimeError("not enough memory: you tried to allocate\nframe #0")

    monkeypatch.setattr(activations, "measure", fail)
    monkeypatch.setattr(sys, "argv", ["benchmark", "PSA", msgspec.json.encode(SMALL).decode()])
    with pytest.raises(SystemExit, match=r"^not enough memory: you tried to allocate$"):
        activations._main()


def test_ctrl_c_ends_quietly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Ctrl-C leaves no plot and no traceback."""

    def interrupted(*_: object) -> Sample:
        raise KeyboardInterrupt

    monkeypatch.setattr(activations, "_measure_apart", interrupted)
    with pytest.raises(SystemExit) as exit_:
        main(["bench", "nn", "--rounds", "1"])
    assert exit_.value.code == 130
    assert capsys.readouterr().err.strip() == "fxsim: interrupted"


def test_bad_settings_are_named(tmp_path: Path) -> None:
    """Numbers that make no sense, too large a case, a missing device, a bad file name: one message each."""
    for field, value in (("layers", 0), ("points", 1), ("threads", -1), ("device", "tpu")):
        with pytest.raises(FxsimError, match=field):
            Setting(**{**{f: getattr(SMALL, f) for f in Setting.__struct_fields__}, field: value})
    with pytest.raises(FxsimError, match="rounds is 0"):
        compare(SMALL, 0, lambda *_: None)
    runner = CliRunner()
    for arguments, message in (
        (["--batch", "1000000"], "GiB"),
        (["-o", str(tmp_path / "plot.gif")], ".svg or .png"),
        (["-o", str(tmp_path / "absent" / "plot.svg")], "absent"),
    ):
        error = runner.invoke(command, ["nn", *arguments]).exception
        assert isinstance(error, FxsimError)
        assert message in str(error)
    if not torch.cuda.is_available():
        error = runner.invoke(command, ["nn", "--device", "cuda"]).exception
        assert isinstance(error, FxsimError)
        assert "CUDA" in str(error)
    for arguments, message in ((["--paper", "--batch", "3"], "--batch"), (["--rounds", "0"], "--rounds")):
        result = runner.invoke(command, ["nn", *arguments])
        assert result.exit_code == 2
        assert message in result.output


def test_paper_sets_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """--paper measures 4 layers on [16, 512, 768] with 64 points and 8 centres."""
    seen: list[Setting] = []

    def spy(setting: Setting, *_: object) -> None:
        seen.append(setting)
        raise FxsimError("enough")

    monkeypatch.setattr(activations, "compare", spy)
    CliRunner().invoke(command, ["nn", "--paper"])
    (s,) = seen
    assert (s.layers, s.batch, s.sequence, s.width, s.points, s.centres) == (4, 16, 512, 768, 64, 8)
