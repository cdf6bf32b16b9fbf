"""Processes: how this one ends when it is asked to, and children that never outlive it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import IO, Any, NoReturn

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that ask a program to end: Ctrl-C, `kill`, a terminal that was closed."""
_AGAIN_SECONDS = 0.05
"""Seconds after which an interruption that Python dropped is tried again."""

_WRITING_SECONDS = 10.0
"""Seconds for which, once it was interrupted, a program that is `finishing` hears nothing further."""

_heard: signal.Signals | None = None
"""The signal that asked this process to end; None where none has."""
_heard_at = 0.0
_finishing = False


# --- The end of this process -----------------------------------------------------------------------------------------


def end_at_once() -> None:
    """Let a signal that asks for an end have it at once, in one line: for as long as there is nothing to clean up.

    So while libraries are imported, where Python would print a traceback, or drop an interruption. Signals that whoever
    started the program had it ignore (`nohup`) stay ignored.
    """
    for number in _obeyed():
        signal.signal(number, _end)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Inside the block, a signal that asks for an end raises KeyboardInterrupt, so that whoever has begun cleans up.

    Terminated or hung up, a program leaves no more behind than after Ctrl-C. `exit_status` then says how it ended.
    Only the first of these signals interrupts, and any further Ctrl-C: the others are often sent in company.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    global _heard
    _heard = None
    before = {number: signal.signal(number, _interrupt) for number in _obeyed()}
    shown = sys.unraisablehook

    def hear_again(dropped: "sys.UnraisableHookArgs") -> None:
        _raise_again() if issubclass(dropped.exc_type, KeyboardInterrupt) else shown(dropped)

    # Python drops what is raised in callbacks, as importing libraries runs them: not an interruption.
    sys.unraisablehook = hear_again
    try:
        yield
    finally:
        sys.unraisablehook = shown
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def finishing() -> Iterator[None]:
    """Inside the block, whoever was interrupted is not again for some seconds: what was done is written down first."""
    global _finishing
    before, _finishing = _finishing, True
    try:
        yield
    finally:
        _finishing = before


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[Callable[[], bool]]:
    """Inside the block, KeyboardInterrupt is raised once `seconds` by the clock are over.

    The block is given what says whether it was, and nobody has asked for an end himself. Python hears of the time
    between two of its own steps: code of other languages is not interrupted. Only in the main thread is there a limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    over = False

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        nonlocal over
        over = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        yield lambda: over and _heard is None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        # One that Python dropped may come again, behind the block.
        signal.signal(signal.SIGALRM, before if callable(before) else _pass_by)


def _pass_by(_number: int, _frame: FrameType | None) -> None:
    """Do nothing about a signal."""


def exit_status() -> tuple[int, str]:
    """The status that an interrupted program exits with, as shells count (130 for Ctrl-C), and the word for it."""
    number = _heard or signal.SIGINT
    return 128 + number, _word(number)


def _obeyed() -> list[signal.Signals]:
    """Signals that end this process as things are: those that are ignored stay so."""
    ours = (signal.SIG_DFL, signal.default_int_handler, _end)
    return [number for number in _ENDING if signal.getsignal(number) in ours]


def _word(number: int) -> str:
    return "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    # Not through sys.stderr, which may be in use just now.
    with contextlib.suppress(OSError):
        os.write(2, f"fxsim: {_word(number)}\n".encode())
    os._exit(128 + number)


def _interrupt(number: int, _frame: FrameType | None) -> None:
    global _heard, _heard_at
    if _heard is not None:
        writing = _finishing and time.monotonic() - _heard_at < _WRITING_SECONDS
        if number != signal.SIGINT or writing:
            return
    else:
        _heard, _heard_at = signal.Signals(number), time.monotonic()
    raise KeyboardInterrupt


def _raise_again() -> None:
    global _heard_at
    _heard_at = float("-inf")  # the one that was dropped interrupted nothing
    number = signal.SIGALRM if _heard is None else signal.SIGINT  # of a time that is over, or of somebody's
    main = threading.main_thread().ident
    assert main is not None
    again = threading.Timer(_AGAIN_SECONDS, signal.pthread_kill, (main, number))
    again.daemon = True
    again.start()


def is_open(descriptor: int) -> bool:
    """Whether a descriptor of this process is open: those of standard streams need not be (`2>&-`)."""
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


# --- Children --------------------------------------------------------------------------------------------------------

_GUARD = "read -r _; kill -KILL 0"
"""Shell script that ends its process group when its standard input does."""


@contextlib.contextmanager
def running(command: Sequence[str | os.PathLike[str]], **options: Any) -> Iterator[subprocess.Popen[Any]]:
    """Run a command until the end of the block; it and all that it starts are then gone, however the block ends.

    `options` are Popen's. They are gone, too, when this process is killed: in their process group is a shell that waits
    for a pipe to close, of which only this process holds the other end. Being a group of their own, they do not hear
    the terminal's Ctrl-C, which is for this process. A standard stream that is closed here leads nowhere there.
    OSError where the command cannot be started.
    """
    for descriptor, stream in enumerate(("stdin", "stdout", "stderr")):
        if not is_open(descriptor):
            options.setdefault(stream, subprocess.DEVNULL)
    waits, held = os.pipe()
    try:
        guard = subprocess.Popen(
            ["/bin/sh", "-c", _GUARD],
            stdin=waits,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            process_group=0,
        )
    except BaseException:
        os.close(held)
        raise
    finally:
        os.close(waits)
    process = None
    try:
        process = subprocess.Popen(command, process_group=guard.pid, **options)
        yield process
    finally:
        # A program of somebody's may have begun a session of its own, and with it another group.
        strays = [] if process is None or process.poll() is not None else _strays(process.pid)
        # Not reaped yet, so that the group's number is nobody else's.
        with contextlib.suppress(OSError):
            os.killpg(guard.pid, signal.SIGKILL)
        for stray in strays:
            with contextlib.suppress(OSError):
                os.kill(stray, signal.SIGKILL)
        os.close(held)
        guard.wait()
        if process is not None:
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                _close(pipe)


def run(
    command: Sequence[str | os.PathLike[str]], timeout: float | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end, and return its status and what it printed, as text; its standard input is empty.

    `options` are Popen's. Raises what `running` does, and subprocess.TimeoutExpired after `timeout` seconds.
    """
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with running(command, text=True, errors="replace", **pipes | options) as process:
        out, err = process.communicate(timeout=timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def _strays(pid: int) -> list[int]:
    """Processes of other sessions among those that a process started, and these did, as far as the system says."""
    children: dict[int, list[int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            # Its name, in parentheses, may hold anything; state and parent come after it. See proc(5).
            parent = int((folder / "stat").read_bytes().rpartition(b")")[2].split()[1])
            children.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for parent in found:
        found += children.get(parent, [])
    session = os.getsid(0)
    return [stray for stray in found[1:] if _session(stray) not in (None, session)]


def _session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _close(stream: IO[Any] | None) -> None:
    if stream is not None:
        # What was still buffered for a process that is gone.
        with contextlib.suppress(OSError):
            stream.close()
