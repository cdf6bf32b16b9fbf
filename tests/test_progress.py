"""Lines about long work where no terminal shows it."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fxsim import paths, progress
from fxsim.cli import console
from fxsim.errors import FxsimError
from fxsim.formats import load
from fxsim.progress import Pulse


class Clock:
    """A clock that goes on only as somebody waits; each wait does the next thing of a list, and then it is the end."""

    def __init__(self, *things: Callable[[], None]) -> None:
        self._things = list(things)
        self.now = 1000.0
        self.waits: list[float] = []

    def read(self) -> float:
        """The time."""
        return self.now

    def wait(self, seconds: float) -> bool:
        """Let time pass; True at the end."""
        if not self._things:
            return True
        self.waits.append(seconds)
        self.now += seconds
        self._things.pop(0)()
        return False


def pulse(clock: Clock) -> list[str]:
    """The lines that a pulse writes by a clock."""
    lines: list[str] = []
    Pulse(lines.append, "tables", clock.wait, clock.read).run()
    return lines


def test_a_line_says_time_work_and_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every five seconds: time since the beginning, the command until more is known, then the work and its share."""
    monkeypatch.delenv("FXSIM_PROGRESS")
    clock = Clock(
        lambda: None,
        lambda: progress.begin("pictures"),
        lambda: progress.count(1234, 10000),
        lambda: progress.note("compiling"),
        lambda: progress.count(2468, 10000),
        lambda: progress.begin("drawing"),
    )
    assert pulse(clock) == [
        "fxsim: 0:05 tables",
        "fxsim: 0:10 pictures",
        "fxsim: 0:15 pictures: 1,234 of 10,000 (12%)",
        "fxsim: 0:20 compiling",
        "fxsim: 0:25 pictures: 2,468 of 10,000 (25%)",
        "fxsim: 0:30 drawing",
    ]
    assert clock.waits == [5] * 6


def test_hours_are_told_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    """Above an hour there are three numbers; a total of nothing has no share. The interval is the user's."""
    monkeypatch.setenv("FXSIM_PROGRESS", "3725")
    assert pulse(Clock(lambda: progress.count(0, 0))) == ["fxsim: 1:02:05 tables: 0 of 0"]


@pytest.mark.parametrize("stated", ["-1", "soon", "nan", "inf", "1e300"])
def test_intervals_that_are_none_are_refused(stated: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named, and what is expected of it."""
    monkeypatch.setenv("FXSIM_PROGRESS", stated)
    with pytest.raises(FxsimError, match=f"FXSIM_PROGRESS is '{stated}', expected seconds between two lines"):
        Pulse(lambda _: None, "run")


def test_what_commands_report_is_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The progress that every command reports to tells the pulse where there is no terminal."""
    monkeypatch.setenv("FXSIM_PROGRESS", "7")
    lines: list[str] = []
    clock = Clock(lambda: None, lambda: None)
    shown = Pulse(lines.append, "run", clock.wait, clock.read)
    with console.progress("images") as report:
        report(3, 4)
        shown.run()
    assert lines == ["fxsim: 0:07 images: 3 of 4 (75%)", "fxsim: 0:14 images: 3 of 4 (75%)"]


def test_the_program_says_lines_on_standard_error(tmp_path: Path) -> None:
    """Piped, a command says how far it is, on standard error; standard output has the result alone."""
    model = paths.golden_dir() / "digits_small.safetensors"
    images = tmp_path / "x.npy"
    np.save(images, np.zeros((1, *load(model).graph.input_shape), np.int8))
    # It computes until a line was seen: how long that takes does not matter.
    code = f"""if True:
        import sys, time
        import fxsim.cli.run as run
        from fxsim import progress
        from fxsim.cli import main
        seen, say, compute = [], progress.Pulse.run, run.run_chunks
        def wait(self):
            write = self._write
            self._write = lambda line: (write(line), seen.append(line))
            say(self)
        def slowly(*arguments):
            while not any("images: 0 of 1" in line for line in seen):
                time.sleep(0.001)
            return compute(*arguments)
        progress.Pulse.run, run.run_chunks = wait, slowly
        sys.argv = ["fxsim", "run", {str(model)!r}, {str(images)!r}, "-o", {str(tmp_path / "out.npz")!r}]
        sys.argv += ["--engine", "reference", "--json"]
        main()
        """
    environment = os.environ | {"FXSIM_PROGRESS": "0.01"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (done.stdout[:2], done.stdout[-2:]) == ("{\n", "}\n")
    assert "fxsim: 0:00 images: 0 of 1 (0%)\n" in done.stderr
