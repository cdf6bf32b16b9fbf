"""Checks side by side: processes that each carry out one check after another, and the one that hands checks to them.

Lines of JSON go both ways. A worker reads the plan itself, so that it knows what any process that runs the plan knows;
a line names a check. What it tells back is what the listener of a run would be told, and at the end what came of it.
"""

import logging
import os
import selectors
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

import fxsim
from fxsim.errors import FxsimError, ToolError
from fxsim.machine import JOBS_VARIABLE, count_cores
from fxsim.process import interruptible, running
from fxsim.signoff.carry import GRACE_SECONDS, Carried, carry_out, cut_short, not_carried_out, overdue
from fxsim.signoff.context import Context
from fxsim.signoff.files import decode_details, encode_details, load_plan
from fxsim.signoff.listener import Listener
from fxsim.signoff.plan import Check, Plan

_LOOK_SECONDS = 0.5
"""Seconds after which is looked again whether a check is still wanted, and whether it is overdue."""
START_SECONDS = 300.0
"""Seconds that a worker has to begin, beside the limit of its first check."""
_PROGRAM = "from fxsim.signoff.workers import main; main()"
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""Environment variables that say how many threads libraries take."""

_log = logging.getLogger("fxsim")


class _Ready(Struct, frozen=True, tag="ready"):
    """The worker has read the plan, and can be interrupted from now on."""


class _Refused(Struct, frozen=True, tag="refused"):
    """The worker cannot carry out anything, and ends."""

    reason: str


class _Progress(Struct, frozen=True, tag="progress"):
    done: int
    total: int


class _Status(Struct, frozen=True, tag="status"):
    text: str


class _Note(Struct, frozen=True, tag="note"):
    """A line that fxsim logged."""

    text: str


class _Outcome(Struct, frozen=True, tag="outcome"):
    carried: Carried


_Reply = _Ready | _Refused | _Progress | _Status | _Note | _Outcome


# --- Here ------------------------------------------------------------------------------------------------------------


def carry_out_side_by_side(
    checks: Sequence[Check],
    plan: Plan,
    output: Path | None,
    listener: Listener,
    add: Callable[[Check, Carried], None],
    jobs: int,
) -> bool:
    """Carry checks out in `jobs` processes, begun in their order; `add` is given what came of each as it ends.

    A process that ends by itself (the system killed it, a library crashed) is the failure of the check that it had,
    which says how it ended; another takes its place, and that of one whose check does not end within its limit, which
    is killed where it does not hear of that. False where an interruption came: nothing more is begun, and what
    runs is interrupted too, and may clean up. Whatever happens, no process outlives the call.
    """
    with ExitStack() as ends:
        pool = _Pool(plan, output, listener, add, jobs, ends)
        try:
            pool.run(deque(checks))
        except KeyboardInterrupt:
            pool.interrupt()
            return False
        return not pool.interrupted


def carry_out_apart(
    check: Check, plan: Plan, output: Path | None, folder: Path, jobs: int, unwanted: Callable[[], bool]
) -> tuple[Carried, list[str]]:
    """Carry one check out in a process of its own that works in `folder`; returns what came of it, and what it logged.

    `jobs`: as many share this machine. Once it is `unwanted` it is interrupted, and may clean up; where its check does
    not end within its limit, it is killed.
    """
    notes: list[str] = []
    with ExitStack() as ends:
        worker = _Worker(plan, output, jobs, ends, folder)
        selector = ends.enter_context(selectors.DefaultSelector())
        selector.register(worker.stream, selectors.EVENT_READ)
        worker.begin(check)
        until: float | None = None
        while until is None or time.monotonic() < until:
            ready = selector.select(_LOOK_SECONDS)
            if until is None and unwanted():
                worker.interrupt()
                until = time.monotonic() + GRACE_SECONDS
            if worker.overdue:
                return not_carried_out(check, plan, overdue(check, plan)), notes
            replies = worker.replies() if ready else []
            if replies is None:
                selector.unregister(worker.stream)
                how = worker.end()
                return not_carried_out(check, plan, worker.refused or f"the process that ran it {how}"), notes
            for reply in replies:
                match reply:
                    case _Refused(reason):
                        worker.refused = reason
                    case _Note(text):
                        notes.append(text)
                    case _Outcome(carried):
                        return carried, notes
        return cut_short(check, plan), notes


class _Worker:
    """A process that carries out checks, as seen from here.

    `check`: the one that it has, None where it has none. `refused`: why it carries out none.
    """

    def __init__(self, plan: Plan, output: Path | None, jobs: int, ends: ExitStack, folder: Path | None = None) -> None:
        command = [sys.executable, "-P", "-c", _PROGRAM, str(plan.path), plan.sha256, str(plan.seed)]
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self._ends = ends.enter_context(ExitStack())
        self._process = self._ends.enter_context(
            running([*command, *([str(output)] if output else [])], env=_environment(jobs), cwd=folder, **pipes)
        )
        self._buffer = b""
        self._plan = plan
        self._until = 0.0
        self.ready = False
        self.refused: str | None = None
        self.check: Check | None = None

    @property
    def stream(self) -> Any:
        """The pipe that its replies come from."""
        return self._process.stdout

    def begin(self, check: Check) -> None:
        """Give it a check; it must have none."""
        assert self._process.stdin is not None
        self.check = check
        self._wait()
        # One that is gone is noticed where it does not reply.
        with suppress(BrokenPipeError):
            self._process.stdin.write(msgspec.json.encode(check.name) + b"\n")
            self._process.stdin.flush()

    def _wait(self) -> None:
        """Give the check that it has its time, from now on."""
        if self.check is not None:
            start = 0.0 if self.ready else START_SECONDS
            self._until = time.monotonic() + start + self._plan.limit_of(self.check) + GRACE_SECONDS

    @property
    def overdue(self) -> bool:
        """Whether it has a check of which it should have said long ago that it did not end in time."""
        return self.check is not None and time.monotonic() > self._until

    def replies(self) -> list[_Reply] | None:
        """The replies that have come, where the stream has something to read; None where it has ended."""
        data = os.read(self.stream.fileno(), 1 << 16)
        *whole, self._buffer = (self._buffer + data).split(b"\n")
        try:
            found: list[_Reply] = [msgspec.json.decode(line, type=_Reply, dec_hook=decode_details) for line in whole]
        except msgspec.MsgspecError:
            return None  # whoever writes what is no reply is not listened to any more
        if any(isinstance(reply, _Ready) for reply in found):
            self.ready = True
            self._wait()
        return found if data else None

    def interrupt(self) -> None:
        """Ask the process to cut its check short."""
        with suppress(OSError):
            # Not SIGINT, which what a shell starts in the background ignores.
            os.kill(self._process.pid, signal.SIGTERM)

    def end(self) -> str:
        """End it, with all that it started; says how it ended where it had ended by itself."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=GRACE_SECONDS)
        status = self._process.returncode
        self.kill()
        if status is None:
            return "closed its output and went on"
        return f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def kill(self) -> None:
        """End it at once, with all that it started."""
        self._ends.close()


class _Pool:
    """The workers of a run, and which checks they have."""

    def __init__(
        self,
        plan: Plan,
        output: Path | None,
        listener: Listener,
        add: Callable[[Check, Carried], None],
        jobs: int,
        ends: ExitStack,
    ) -> None:
        self._plan = plan
        self._output = output
        self._listener = listener
        self._add = add
        self._jobs = jobs
        self._ends = ends
        self._selector = ends.enter_context(selectors.DefaultSelector())
        self._workers: list[_Worker] = []
        self.interrupted = False

    def run(self, waiting: deque[Check]) -> None:
        """Carry all checks out; stops where one of them was interrupted by itself."""
        while (waiting and not self.interrupted) or any(worker.check for worker in self._workers):
            for worker in [worker for worker in self._workers if worker.check is None]:
                if waiting and not self.interrupted:
                    self._begin(worker, waiting.popleft())
            while waiting and not self.interrupted and len(self._workers) < self._jobs:
                self._begin(self._start(), waiting.popleft())
            self._hear(_LOOK_SECONDS)
            for worker in [worker for worker in self._workers if worker.overdue]:
                self._kill(worker)

    def interrupt(self) -> None:
        """Interrupt what runs, and take what it leaves until the time is up."""
        self.interrupted = True
        for worker in self._workers:
            if worker.check is not None and worker.ready:
                worker.interrupt()
        end = time.monotonic() + GRACE_SECONDS
        while any(worker.check and worker.ready for worker in self._workers) and time.monotonic() < end:
            self._hear(1.0)
        for worker in self._workers:
            if (check := worker.check) is not None:
                self._done(worker, cut_short(check, self._plan))

    def _start(self) -> _Worker:
        worker = _Worker(self._plan, self._output, self._jobs, self._ends)
        self._workers.append(worker)
        self._selector.register(worker.stream, selectors.EVENT_READ, worker)
        return worker

    def _begin(self, worker: _Worker, check: Check) -> None:
        worker.begin(check)
        self._listener.started(check)

    def _hear(self, timeout: float | None) -> None:
        for key, _ in self._selector.select(timeout):
            worker: _Worker = key.data
            replies = worker.replies()
            if replies is None:
                self._bury(worker)
            for reply in replies or ():
                self._obey(worker, reply)

    def _obey(self, worker: _Worker, reply: _Reply) -> None:
        check = worker.check
        match reply:
            case _Refused(reason):
                worker.refused = reason
            case _Note(text):
                _log.info("%s", text)
            case _Progress(done, total) if check is not None:
                self._listener.progress(check, done, total)
            case _Status(text) if check is not None:
                self._listener.status(check, text)
            case _Outcome(carried) if check is not None:
                if carried.record.name != check.name:
                    raise ToolError(f"a process of the sign-off gave '{carried.record.name}' for '{check.name}'")
                self.interrupted |= carried.interrupted
                self._done(worker, carried)

    def _bury(self, worker: _Worker) -> None:
        """A worker is gone: that is what came of its check."""
        self._selector.unregister(worker.stream)
        self._workers.remove(worker)
        how = worker.end()
        if (check := worker.check) is not None:
            reason = worker.refused or f"the process that ran it {how}"
            cut = self.interrupted
            self._done(worker, cut_short(check, self._plan) if cut else not_carried_out(check, self._plan, reason))

    def _kill(self, worker: _Worker) -> None:
        """A worker whose check does not end makes room for another."""
        self._selector.unregister(worker.stream)
        self._workers.remove(worker)
        worker.kill()
        if (check := worker.check) is not None:
            self._done(worker, not_carried_out(check, self._plan, overdue(check, self._plan)))

    def _done(self, worker: _Worker, carried: Carried) -> None:
        check, worker.check = worker.check, None
        assert check is not None
        self._listener.ended(check)
        self._add(check, carried)


def _environment(jobs: int) -> dict[str, str]:
    """The environment of one of so many workers: this package is found, and libraries take their share of the cores."""
    package = str(Path(fxsim.__file__).parent.parent)
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    share = str(max(1, count_cores() // jobs))
    own = {"PYTHONPATH": os.pathsep.join(paths), JOBS_VARIABLE: share}
    return dict.fromkeys(_THREADS, share) | os.environ | own


# --- In the worker ---------------------------------------------------------------------------------------------------


class _Notes(logging.Handler):
    """Hands on what fxsim logs."""

    def __init__(self, reply: Callable[[_Reply], None]) -> None:
        super().__init__()
        self._reply = reply

    def emit(self, record: logging.LogRecord) -> None:
        self._reply(_Note(record.getMessage()))


def _work(path: Path, sha256: str, seed: int, output: Path | None, reply: Callable[[_Reply], None]) -> None:
    """Carry out the checks that are named on standard input until it ends, or one is interrupted."""
    _log.addHandler(_Notes(reply))
    _log.setLevel(logging.INFO)
    try:
        plan = load_plan(path, seed)
        if plan.sha256 != sha256:
            raise FxsimError(f"{path} changed while the sign-off ran")
    except FxsimError as error:
        reply(_Refused(str(error)))
        return
    checks = {check.name: check for check in plan.checks}
    context = Context(
        plan, lambda done, total: reply(_Progress(done, total)), lambda text: reply(_Status(text)), output
    )
    reply(_Ready())
    for line in sys.stdin.buffer:
        carried = carry_out(checks[msgspec.json.decode(line, type=str)], plan, context)
        reply(_Outcome(carried))
        if carried.interrupted:
            return


def main() -> None:
    """Carry out checks, as the one that started this process asks."""
    # What a library prints must not get between the lines.
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def reply(message: _Reply) -> None:
        replies.write(msgspec.json.encode(message, enc_hook=encode_details) + b"\n")
        replies.flush()

    path, sha256, seed, *output = sys.argv[1:]
    # An interruption between two checks finds nothing to clean up, and nobody who waits for a reply.
    with suppress(KeyboardInterrupt), interruptible():
        _work(Path(path), sha256, int(seed), Path(output[0]) if output else None, reply)
