"""Standard streams that stay usable: closed, full or without a reader, they do not end the work that is being done."""

import io
import os
import sys
from collections.abc import Callable
from typing import Any

from fxsim.process import is_open


class _Lenient(io.FileIO):
    """A descriptor that takes everything: what the system refuses is dropped, and the reason kept in `lost`."""

    def __init__(self, descriptor: int, pipes_break: bool) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._pipes_break = pipes_break
        self.lost: OSError | None = None

    def write(self, data: Any) -> int | None:  # type: ignore[override]  # None where it would block
        try:
            return super().write(data)
        except BrokenPipeError as error:
            if self._pipes_break:
                raise
            self.lost = self.lost or error
        except OSError as error:
            self.lost = self.lost or error
        return memoryview(data).nbytes


def guard_streams() -> Callable[[], OSError | None]:
    """Make the process's standard streams such that writing to them never fails, and return what tells what was lost.

    A sign-off goes on, and its record is written, whatever becomes of the lines that it prints. What is returned gives
    the reason why standard output did not take everything, or None; standard error has nobody to tell. Only a pipe
    whose reader has gone ends the program, as it ends others: BrokenPipeError from standard output.

    Closed streams lead nowhere from now on, here and in children, and their numbers to no file that is opened later.
    Standard output, closed, takes nothing: what is printed there is lost.
    """
    for number in range(3):
        if not is_open(number):
            # The lowest number that is free.
            os.set_inheritable(os.open(os.devnull, os.O_RDONLY if number == 1 else os.O_RDWR), True)
    sys.stdout, output = _guard(sys.stdout, 1, pipes_break=True)
    sys.stderr, _ = _guard(sys.stderr, 2, pipes_break=False)
    return lambda: output.lost


def _guard(stream: Any, number: int, pipes_break: bool) -> tuple[io.TextIOWrapper, _Lenient]:
    """A stream in the place of one of Python's, which is None where it was closed."""
    raw = _Lenient(number, pipes_break)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding="utf-8" if stream is None else stream.encoding,
        # A letter that the terminal does not have must not end the work either.
        errors="backslashreplace",
        line_buffering=number == 2 or raw.isatty(),
        write_through=stream is not None and stream.write_through,
    ), raw
