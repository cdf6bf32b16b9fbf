"""Progress of long work: told by whoever does it, and said in a line now and then where no terminal shows it."""

import os
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import NamedTuple, Self

from fxsim.errors import FxsimError

VARIABLE = "FXSIM_PROGRESS"
"""The environment variable that says how many seconds lie between two lines; 0: there are none."""
_SECONDS = 5.0


class _Work(NamedTuple):
    """The work being done, and how much of it is done; no total where that is not known."""

    what: str
    done: int = 0
    total: int | None = None

    def __str__(self) -> str:
        if self.total is None:
            return self.what
        share = f" ({self.done / self.total:.0%})" if self.total else ""
        return f"{self.what}: {self.done:,} of {self.total:,}{share}"


_begun = ""
"""The work in hand, in words."""
_now = _Work("")
"""Work in hand, or a part of it."""


def begin(what: str) -> None:
    """From now on `what` is being done, in words."""
    global _begun
    _begun = what
    note(what)


def note(what: str) -> None:
    """A part of the work in hand is being done, until the next count."""
    global _now
    _now = _Work(what)


def count(done: int, total: int) -> None:
    """So much of the work in hand is done."""
    global _now
    _now = _Work(_begun, done, total)


class Pulse:
    """Writes a line every few seconds while its block runs: how long it has been, what is being done, and how far.

    `write` takes a line; `command` is named where nobody has told what is being done. `wait` waits for so many seconds
    or for the end, of which it returns True; it and `clock` are other than real in tests. FxsimError where
    FXSIM_PROGRESS is no number of seconds.
    """

    def __init__(
        self,
        write: Callable[[str], None],
        command: str,
        wait: Callable[[float], bool] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._seconds = _interval()
        self._ended = threading.Event()
        self._wait = wait or self._ended.wait
        self._clock = clock
        self._thread = threading.Thread(target=self.run, name="fxsim-progress", daemon=True)
        begin(command)

    def __enter__(self) -> Self:
        if self._seconds:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def run(self) -> None:
        """Write lines until the end."""
        began = self._clock()
        while not self._wait(self._seconds):
            minutes, seconds = divmod(int(self._clock() - began), 60)
            passed = f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if minutes >= 60 else f"{minutes}:{seconds:02}"
            self._write(f"fxsim: {passed} {_now}")


def _interval() -> float:
    stated = os.environ.get(VARIABLE, "")
    try:
        seconds = float(stated) if stated else _SECONDS
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= threading.TIMEOUT_MAX:
        raise FxsimError(
            f"the environment variable {VARIABLE} is {stated!r}, expected seconds between two lines, or 0 for none"
        )
    return seconds
