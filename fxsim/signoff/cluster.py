"""Checks on more machines than one: the workers of a Dask cluster. Needs the extra `cluster`, which brings distributed.

A worker's task starts a process of fxsim's for one check, as `--jobs` does, and hands on what came of it as JSON, which
is checked here. Which worker has which check is decided here, not by Dask: each task is for one worker, so that what a
dying worker had is begun again once, and no result is counted twice. What results rest on must be on every worker what
it is here; on one where it is not, nothing is begun.
"""

import dataclasses
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from fxsim import temporary
from fxsim.errors import FxsimError
from fxsim.signoff.carry import GRACE_SECONDS, Carried, cut_short, not_carried_out, overdue
from fxsim.signoff.environment import find_machine
from fxsim.signoff.files import decode_details, encode_details, load_plan
from fxsim.signoff.journal import find_rests_on
from fxsim.signoff.listener import Listener
from fxsim.signoff.plan import Check, Plan
from fxsim.signoff.record import Machine
from fxsim.signoff.workers import START_SECONDS, carry_out_apart

_LOCAL = "local:"
_SCHEMES = ("tcp://", "tls://")
_WORKERS_MAX = 1000
_TRIES = 2
"""Times that a check is begun: once again where its worker died."""
_CONNECT_SECONDS = 30
_PATIENCE_SECONDS = 120.0
"""Seconds after which a cluster without a worker that can be used is given up."""
_LOOK_SECONDS = 1.0
_POLL_SECONDS = 0.05
_OF_A_MACHINE = "the machine"
"""The part of what results rest on that may differ: each machine is its own."""
_ANSWER_BYTES_MAX = 256 << 20

_log = logging.getLogger("fxsim")


class _Look(Struct, frozen=True, forbid_unknown_fields=True):
    """A worker's look at what results rest on there. `process`: drawn when the worker's process began."""

    process: str
    refused: str | None
    machine: Machine
    rests_on: dict[str, str]


class _Answer(Struct, frozen=True, forbid_unknown_fields=True):
    """The result of a check, from a worker's process; without one that process is another than was looked at."""

    process: str
    carried: Carried | None
    notes: list[str]


class _Place(Struct, frozen=True):
    """The place of a run, as every worker must find it: folder, plan, seed, output, and a file in it."""

    folder: str
    plan: str
    sha256: str
    seed: int
    output: str | None
    token: str | None


# --- On a worker -----------------------------------------------------------------------------------------------------

_PROCESS = secrets.token_hex(8)


def look(asked: bytes) -> bytes:
    """A task: what results rest on, on this worker."""
    place = msgspec.json.decode(asked, type=_Place)
    refused, rests_on = None, {}
    try:
        if place.token is not None and not Path(place.folder, place.token).is_file():
            raise FxsimError(f"does not see the folder {place.output}")
        rests_on = find_rests_on(_plan_of(place), Path(place.folder, place.output or "."))
    except (OSError, FxsimError) as error:
        refused = str(error)
    return msgspec.json.encode(_Look(_PROCESS, refused, find_machine(), rests_on))


def carry(asked: bytes, name: str, process: str) -> bytes:
    """A task: carry out a check, in a process of its own, unless this is no longer the worker that was looked at."""
    if process != _PROCESS:
        return msgspec.json.encode(_Answer(_PROCESS, None, []))
    place = msgspec.json.decode(asked, type=_Place)
    plan = _plan_of(place)
    check = next(check for check in plan.checks if check.name == name)
    worker: Any = import_module("distributed").get_worker()
    key = worker.get_current_task()

    def unwanted() -> bool:
        # Cancelled, or whoever asked is gone.
        task = worker.state.tasks.get(key)
        return task is None or task.state in ("cancelled", "released", "forgotten")

    output = None if place.output is None else Path(place.output)
    carried, notes = carry_out_apart(check, plan, output, Path(place.folder), worker.state.nthreads, unwanted)
    return msgspec.json.encode(_Answer(_PROCESS, carried, notes), enc_hook=encode_details)


def _plan_of(place: _Place) -> Plan:
    """The plan as it is on this machine, named as where the run was begun."""
    plan = load_plan(Path(place.folder, place.plan), place.seed)
    if plan.sha256 != place.sha256:
        raise FxsimError(f"{place.plan} is another plan there")
    return dataclasses.replace(plan, path=Path(place.plan))


# --- Here ------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass
class _Worker:
    """A worker that may be used: the process that was looked at, and how many checks it takes and has."""

    process: str
    machine: Machine
    threads: int
    has: int = 0


@dataclasses.dataclass
class _Task:
    """A check that a worker has; `died`: those that had it before; `until`: when the worker must have ended it."""

    check: Check
    future: Any
    worker: str
    died: tuple[str, ...]
    until: float


class Cluster:
    """A cluster: `tcp://host:port` or `tls://host:port` of a scheduler, its scheduler file, or `local:N` workers here.

    In a `with` block. FxsimError for another address, where the extra is missing, and where no scheduler answers.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._local = _parse(address)
        self._ends = ExitStack()
        self._client: Any = None
        self.machines: tuple[Machine, ...] = ()
        """Machines other than this one that checks ran on."""
        missing = [name for name in ("distributed", *(("cryptography",) if self._local else ())) if not find_spec(name)]
        if missing:
            extra = {"distributed": "cluster", "cryptography": "evidence"}[missing[0]]
            raise FxsimError(f"--cluster {address} needs {missing[0]}: pip install 'fxsim[{extra}]'")

    def __enter__(self) -> "Cluster":
        """Find the scheduler. Workers of this machine are started once they are needed."""
        if not self._local:
            self._connect()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave it, and end the workers that were started."""
        self._ends.close()

    def run(
        self,
        checks: Sequence[Check],
        plan: Plan,
        output: Path | None,
        listener: Listener,
        add: Callable[[Check, Carried], None],
    ) -> bool:
        """Carry checks out on the workers, as `carry_out_side_by_side` does in processes of this machine."""
        if self._client is None:
            try:
                self._connect()
            except KeyboardInterrupt:
                return False
        with ExitStack() as ends:
            token = None
            if output is not None:
                token = ends.enter_context(temporary.folder("cluster", output)) / "seen"
                token.touch()
            place = _Place(
                str(Path.cwd()),
                str(plan.path),
                plan.sha256,
                plan.seed,
                None if output is None else str(output),
                None if token is None else str(token),
            )
            run = _Run(self._client, place, plan, listener, add, find_rests_on(plan, output or Path()))
            try:
                run.carry_out(deque((check, ()) for check in checks))
            except KeyboardInterrupt:
                run.interrupt()
            machines = (worker.machine for worker in run.used.values() if worker.machine != find_machine())
            self.machines = tuple(dict.fromkeys(machines))
            return not run.interrupted

    def _connect(self) -> None:
        dask: Any = import_module("distributed")
        # What of it matters is said here, in fxsim's words.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        options: dict[str, Any] = {"set_as_default": False, "timeout": _CONNECT_SECONDS}
        try:
            if self._local:
                folder = self._ends.enter_context(temporary.folder("cluster"))
                cluster = dask.LocalCluster(
                    n_workers=self._local,
                    threads_per_worker=1,
                    processes=True,
                    host="127.0.0.1",
                    protocol="tls://",
                    # Without it any user of this machine could have the workers do anything.
                    security=dask.Security.temporary(),
                    dashboard_address=None,
                    worker_dashboard_address=None,
                    local_directory=str(folder),
                    silence_logs=logging.CRITICAL,
                    memory_limit=0,
                )
                client = dask.Client(self._ends.enter_context(cluster), **options)
            elif self._address.startswith(_SCHEMES):
                client = dask.Client(self._address, **options)
            else:
                client = dask.Client(scheduler_file=self._address, **options)
        except (OSError, TimeoutError, ValueError, RuntimeError, TypeError) as error:
            raise FxsimError(f"no scheduler of a cluster answers at {self._address}: {error}") from None
        self._client = self._ends.enter_context(client)


def _parse(address: str) -> int:
    """The number of workers that a local cluster has, 0 for one that is there already."""
    if address.startswith(_LOCAL):
        number = address.removeprefix(_LOCAL)
        if number.isascii() and number.isdecimal() and len(number) <= 4 and 1 <= int(number) <= _WORKERS_MAX:
            return int(number)
        raise FxsimError(f"--cluster {address}: expected local:N, N from 1 to {_WORKERS_MAX}")
    if not address.startswith(_SCHEMES) and not Path(address).is_file():
        raise FxsimError(
            f"--cluster {address}: expected tcp://HOST:PORT, tls://HOST:PORT, a scheduler file, or local:N"
        )
    return 0


class _Run:
    """A run of checks on a cluster: its workers, and which checks they have."""

    def __init__(
        self,
        client: Any,
        place: _Place,
        plan: Plan,
        listener: Listener,
        add: Callable[[Check, Carried], None],
        rests_on: Mapping[str, str],
    ) -> None:
        self._client = client
        self._asked = msgspec.json.encode(place)
        self._plan = plan
        self._listener = listener
        self._add = add
        self._rests_on = rests_on
        self._looks: dict[str, Any] = {}
        self._refused: dict[str, str] = {}
        self._workers: dict[str, _Worker] = {}
        self._tasks: list[_Task] = []
        self._waiting: deque[tuple[Check, tuple[str, ...]]] = deque()
        self.used: dict[str, _Worker] = {}
        self.interrupted = False

    def carry_out(self, waiting: deque[tuple[Check, tuple[str, ...]]]) -> None:
        """Carry all checks out; stops where one of them was interrupted by itself."""
        self._waiting = waiting
        looked, hopeful = float("-inf"), time.monotonic()
        while self._tasks or (self._waiting and not self.interrupted):
            now = time.monotonic()
            if now - looked > _LOOK_SECONDS:
                looked = now
                if not self._find_workers():
                    self._give_up("the scheduler of the cluster is gone")
                    return
            self._judge_workers()
            for task in [task for task in self._tasks if task.future.done()]:
                self._take(task)
            for task in [task for task in self._tasks if now > task.until]:
                self._drop(task)
            self._begin()
            if self._workers or self._looks:
                hopeful = now
            elif now - hopeful > _PATIENCE_SECONDS or (self._refused and not self.used):
                self._give_up(self._why_none())
                return
            time.sleep(_POLL_SECONDS)

    def interrupt(self) -> None:
        """Interrupt what runs: its workers are told, and end what they started."""
        self.interrupted = True
        # What has come and was not looked at yet stands.
        for task in [task for task in self._tasks if task.future.done()]:
            self._take(task)
        self._client.cancel([task.future for task in self._tasks], force=True)
        for task in list(self._tasks):
            self._done(task, cut_short(task.check, self._plan))

    def _find_workers(self) -> bool:
        """Take workers that came, and what went with those that are gone; False where the scheduler is gone."""
        try:
            there: dict[str, int] = self._client.nthreads()
        except (OSError, RuntimeError, ValueError, AttributeError):
            return False
        for address in [address for address in self._workers if address not in there]:
            self._lose(address)
        self._refused = {address: why for address, why in self._refused.items() if address in there}
        for address in there:
            if address not in self._workers and address not in self._looks and address not in self._refused:
                self._looks[address] = self._submit(address, look, self._asked)
        for address in [address for address in self._looks if address not in there]:
            del self._looks[address]
        for address, worker in self._workers.items():
            worker.threads = max(1, there[address])
        return True

    def _submit(self, address: str, task: Callable[..., bytes], *given: object) -> Any:
        key = f"fxsim-{task.__name__}-{secrets.token_hex(8)}"
        return self._client.submit(
            task, *given, key=key, workers=[address], allow_other_workers=False, pure=False, retries=0
        )

    def _judge_workers(self) -> None:
        for address, future in list(self._looks.items()):
            if not future.done():
                continue
            del self._looks[address]
            seen = _decoded(future, _Look)
            if isinstance(seen, str):
                self._refuse(address, seen)
            elif seen.refused is not None:
                self._refuse(address, seen.refused)
            elif differs := self._differences(seen.rests_on):
                more = f" and {len(differs) - 5} more" if len(differs) > 5 else ""
                self._refuse(address, f"this is not there as it is here: {', '.join(differs[:5])}{more}")
            else:
                self._workers[address] = _Worker(seen.process, seen.machine, 1)

    def _differences(self, there: Mapping[str, str]) -> list[str]:
        here = self._rests_on
        names = (here.keys() | there.keys()) - {_OF_A_MACHINE}
        return sorted(name for name in names if here.get(name) != there.get(name))

    def _refuse(self, address: str, why: str) -> None:
        self._refused[address] = why
        _log.warning("worker %s of the cluster is not used: %s", address, why)

    def _begin(self) -> None:
        for address, worker in self._workers.items():
            while worker.has < worker.threads and self._waiting and not self.interrupted:
                check, died = self._waiting.popleft()
                worker.has += 1
                self.used[address] = worker
                future = self._submit(address, carry, self._asked, check.name, worker.process)
                # The worker ends it in time; long after that it is the worker that hangs.
                until = time.monotonic() + self._plan.limit_of(check) + START_SECONDS + 2 * GRACE_SECONDS
                self._tasks.append(_Task(check, future, address, died, until))
                self._listener.started(check)
                self._listener.status(check, f"on {address}")

    def _lose(self, address: str) -> None:
        """A worker is gone: what it had is begun again, or fails."""
        del self._workers[address]
        for task in [task for task in self._tasks if task.worker == address]:
            task.future.cancel()
            self._died(task)

    def _drop(self, task: _Task) -> None:
        """A worker does not say that a check is over: it gets nothing any more."""
        if task in self._tasks:
            task.future.cancel()
            self._done(task, not_carried_out(task.check, self._plan, overdue(task.check, self._plan)))
            if task.worker in self._workers:
                self._lose(task.worker)
                self._refuse(task.worker, f"it did not end {task.check.name}")

    def _died(self, task: _Task) -> None:
        died = (*task.died, task.worker)
        if len(died) < _TRIES:
            self._tasks.remove(task)
            self._listener.ended(task.check)
            _log.warning("worker %s of the cluster died; %s is begun again", task.worker, task.check.name)
            self._waiting.appendleft((task.check, died))
            return
        reason = f"the workers of the cluster that ran it died: {', then '.join(died)}"
        self._done(task, not_carried_out(task.check, self._plan, reason))

    def _take(self, task: _Task) -> None:
        """Take what came of a check, if it is that."""
        if task not in self._tasks:
            return
        if task.future.status in ("cancelled", "lost"):
            self._died(task)
            return
        answer = _decoded(task.future, _Answer)
        worker = self._workers.get(task.worker)
        if isinstance(answer, str):
            self._done(task, not_carried_out(task.check, self._plan, f"worker {task.worker}: {answer}"))
        elif answer.carried is None or worker is None or answer.process != worker.process:
            # Begun again under the same address: nobody looked at what is there now.
            self._workers.pop(task.worker, None)
            self._died(task)
        else:
            self._done(task, self._checked(task, answer))

    def _checked(self, task: _Task, answer: _Answer) -> Carried:
        carried, check = answer.carried, task.check
        assert carried is not None
        record = carried.record
        expected = (check.name, check.kind, check.about, self._plan.check_seed(check.name))
        if (record.name, record.kind, record.about, record.seed) != expected:
            return not_carried_out(check, self._plan, f"worker {task.worker} gave what is no result of this check")
        for note in answer.notes:
            _log.info("%s", note)
        self.interrupted |= carried.interrupted
        return carried

    def _done(self, task: _Task, carried: Carried) -> None:
        self._tasks.remove(task)
        if (worker := self._workers.get(task.worker)) is not None:
            worker.has -= 1
        self._listener.ended(task.check)
        self._add(task.check, carried)

    def _give_up(self, why: str) -> None:
        """Nothing more can be carried out: that is what came of every check that is left."""
        for task in list(self._tasks):
            task.future.cancel()
            self._done(task, not_carried_out(task.check, self._plan, why))
        while self._waiting:
            check, _ = self._waiting.popleft()
            self._listener.started(check)
            self._listener.ended(check)
            self._add(check, not_carried_out(check, self._plan, why))

    def _why_none(self) -> str:
        if not self._refused:
            return f"the cluster had no worker for {_PATIENCE_SECONDS:.0f} s"
        return "no worker of the cluster can be used: " + "; ".join(f"{a}: {why}" for a, why in self._refused.items())


def _decoded(future: Any, kind: Any) -> Any:
    """The result of a task, as checked data; else in words why there is none."""
    if future.status == "error":
        error = future.exception()
        return f"{type(error).__name__}: {error}"
    if future.status != "finished":
        return "it is gone"
    data = future.result()
    if not isinstance(data, bytes) or len(data) > _ANSWER_BYTES_MAX:
        return "gave what is no answer"
    try:
        return msgspec.json.decode(data, type=kind, dec_hook=decode_details)
    except msgspec.MsgspecError as error:
        return f"gave what is no answer: {error}"
