"""Checks of a sign-off on a cluster: the record is that of one process, and no worker is believed or waited for."""

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest
from click.testing import CliRunner

from fxsim.cli.signoff import command
from fxsim.errors import FxsimError
from fxsim.signoff import SignoffRecord, Status, cluster, load_plan, read_record, run_plan
from fxsim.signoff.carry import Carried, carry_out
from fxsim.signoff.cluster import Cluster
from fxsim.signoff.context import Context
from fxsim.signoff.environment import find_machine
from fxsim.signoff.files import encode_details
from fxsim.signoff.plan import Plan
from tests.test_process import assert_gone, processes
from tests.test_signoff import ACCUMULATORS, write_plan
from tests.test_signoff_jobs import Heard, timeless, toys

__all__ = ["toys"]  # a fixture
SECOND = ACCUMULATORS.replace('name = "accumulators"', 'name = "second"')
HERE = {"the plan": "1", "the RTL": "2", "the machine": "mine"}


class Future:
    """A task's future: done at once, or never."""

    def __init__(self, result: object = None, status: str = "finished", error: Exception | None = None) -> None:
        self.status = status
        self._result, self._error = result, error

    def done(self) -> bool:
        """Whether it ended."""
        return self.status != "pending"

    def result(self) -> object:
        """What it gave."""
        return self._result

    def exception(self) -> Exception | None:
        """What it raised."""
        return self._error

    def cancel(self) -> None:
        """Nothing hears of it."""


class Client:
    """A cluster's client: `workers` are there by address, and what they do with a check is told by `does`."""

    def __init__(
        self, plan: Plan, does: Callable[[str, str, Carried], Future | None], **rests_on: dict[str, str]
    ) -> None:
        self.plan, self.does, self.rests_on = plan, does, rests_on
        self.workers = dict.fromkeys(rests_on, 1)
        self.begun: list[tuple[str, str]] = []
        self.scheduler = True

    def nthreads(self) -> dict[str, int]:
        """Threads by worker."""
        if not self.scheduler:
            raise OSError
        return dict(self.workers)

    def cancel(self, futures: object, force: bool) -> None:
        """Nothing hears of it."""

    def submit(self, task: Callable[..., bytes], *given: Any, workers: list[str], **_: object) -> Future:
        """Do a task at once."""
        (address,) = workers
        if task is cluster.look:
            seen = cluster._Look(f"process of {address}", None, find_machine(), self.rests_on[address])
            return Future(msgspec.json.encode(seen))
        _, name, process = given
        self.begun.append((name, address))
        check = next(check for check in self.plan.checks if check.name == name)
        carried = carry_out(check, self.plan, Context(self.plan, lambda *_: None, lambda _: None))
        found = self.does(name, address, carried)
        return answer(carried, process) if found is None else found


def answer(carried: Carried | None, process: str) -> Future:
    """A worker's answer."""
    return Future(msgspec.json.encode(cluster._Answer(process, carried, []), enc_hook=encode_details))


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """A plan of two quick checks; a look is taken at once, and rests on nothing that is read."""
    monkeypatch.setattr(cluster, "find_rests_on", lambda *_: HERE)
    monkeypatch.setattr(cluster, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(cluster, "_POLL_SECONDS", 0.001)
    return load_plan(write_plan(tmp_path, ACCUMULATORS, SECOND))


def run_on(client: Client) -> SignoffRecord:
    """The record of the client's plan, on its cluster."""
    found = Cluster("local:1")
    found._client = client
    return run_plan(client.plan, cluster=found)


def test_record_is_that_of_one_process(plan: Plan) -> None:
    """Results, order and everything else in the record are what one process gives, but for times."""
    client = Client(plan, lambda *_: None, a=HERE, b=HERE)
    assert timeless(run_on(client)) == timeless(run_plan(plan))
    assert sorted(client.begun) == [("accumulators", "a"), ("second", "b")]


def test_worker_that_dies_has_its_check_begun_again_once(plan: Plan) -> None:
    """One death is made good by another worker, nothing is counted twice; after a second the check is in error."""

    def dies(*deaths: str) -> Callable[[str, str, Carried], Future | None]:
        def does(name: str, address: str, _: Carried) -> Future | None:
            if name != "accumulators" or address not in deaths:
                return None
            del client.workers[address]
            return Future(status="pending")

        return does

    client = Client(plan, dies("a"), a=HERE, b=HERE)
    record = run_on(client)
    assert timeless(record) == timeless(run_plan(plan))
    assert [at for name, at in client.begun if name == "accumulators"] == ["a", "b"]
    client = Client(plan, dies("a", "b"), a=HERE, b=HERE, c=HERE)
    first, second = run_on(client).checks
    assert (first.status, second.status) == (Status.ERROR, Status.PASSED)
    assert first.reason == "the workers of the cluster that ran it died: a, then b"
    assert len([name for name, _ in client.begun if name == "accumulators"]) == 2


def test_a_process_that_nobody_looked_at_is_not_believed(plan: Plan) -> None:
    """A worker that was begun again under its old address is looked at before its results count."""
    given: list[str] = []

    def does(name: str, _: str, carried: Carried) -> Future | None:
        given.append(name)
        return answer(carried, "another") if given == [name] else None

    client = Client(plan, does, a=HERE)
    assert timeless(run_on(client)) == timeless(run_plan(plan))
    assert [name for name, _ in client.begun] == ["accumulators", "accumulators", "second"]


def test_worker_on_which_something_differs_is_refused_by_name(plan: Plan, caplog: pytest.LogCaptureFixture) -> None:
    """It is given nothing, what differs is said; where no other is there, that is why nothing could be carried out."""
    caplog.set_level("INFO", "fxsim")
    other = HERE | {"the RTL": "3", "fxsim itself": "4", "the machine": "another"}
    client = Client(plan, lambda *_: None, a=other, b=HERE | {"the machine": "another"})
    assert run_on(client).passed
    assert {address for _, address in client.begun} == {"b"}
    assert "worker a of the cluster is not used: this is not there as it is here: fxsim itself, the RTL" in caplog.text
    record = run_on(Client(plan, lambda *_: None, a=other))
    assert [check.status for check in record.checks] == [Status.ERROR] * 2
    assert "no worker of the cluster can be used: a: this is not there" in str(record.checks[0].reason)


def test_what_had_come_when_it_was_interrupted_stands(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """A result that a worker has given stands, though Ctrl-C came before it was looked at; what runs is cut short."""
    client = Client(plan, lambda name, *_: Future(status="pending") if name == "second" else None, a=HERE, b=HERE)
    begin = cluster._Run._begin

    def interrupted(run: cluster._Run) -> None:
        begin(run)
        if len(client.begun) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(cluster._Run, "_begin", interrupted)
    record = run_on(client)
    assert not record.complete
    assert [check.status for check in record.checks] == [Status.PASSED, Status.ERROR]
    assert record.checks[1].reason == "interrupted while it ran"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (Future(b"{}"), "gave what is no answer"),
        (Future("text"), "gave what is no answer"),
        (Future(b"\x80\x04."), "gave what is no answer"),
        (Future(None, "error", ModuleNotFoundError("No module named 'fxsim'")), "No module named 'fxsim'"),
    ],
)
def test_what_is_no_result_is_an_error(plan: Plan, given: Future, words: str) -> None:
    """Answers are checked data: what is none is an error of that check, which says so."""
    first, second = run_on(Client(plan, lambda name, *_: given if name == "second" else None, a=HERE)).checks
    assert (first.status, second.status) == (Status.PASSED, Status.ERROR)
    assert words in str(second.reason)


def test_result_of_another_check_is_an_error(plan: Plan) -> None:
    """A result under another name, seed or kind is not this check's."""
    for change in ({"name": "second"}, {"seed": 1}, {"kind": "engines"}):

        def does(name: str, address: str, carried: Carried, change: dict[str, Any] = change) -> Future | None:
            if name != "accumulators":
                return None
            record = msgspec.structs.replace(carried.record, **change)
            return answer(msgspec.structs.replace(carried, record=record), f"process of {address}")

        first, second = run_on(Client(plan, does, a=HERE)).checks
        assert (first.status, second.status) == (Status.ERROR, Status.PASSED)
        assert "gave what is no result of this check" in str(first.reason)


def test_nothing_is_waited_for_in_vain(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a scheduler, or without a worker for long, every check is in error and says why."""
    monkeypatch.setattr(cluster, "_PATIENCE_SECONDS", 0.01)
    client = Client(plan, lambda *_: None)
    assert {check.reason for check in run_on(client).checks} == {"the cluster had no worker for 0 s"}
    client.scheduler = False
    assert {check.reason for check in run_on(client).checks} == {"the scheduler of the cluster is gone"}


@pytest.mark.usefixtures("plan")
def test_worker_that_does_not_end_a_check_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Long after its limit a check is in error; its worker gets nothing more, and another takes the rest."""
    monkeypatch.setattr(cluster, "GRACE_SECONDS", 0.0)
    monkeypatch.setattr(cluster, "START_SECONDS", 0.0)
    limited = load_plan(write_plan(tmp_path, ACCUMULATORS + "limit = 1\n", SECOND))
    client = Client(limited, lambda name, *_: Future(status="pending") if name == "accumulators" else None, a=HERE)
    monkeypatch.setattr(cluster, "_PATIENCE_SECONDS", 0.01)
    first, second = run_on(client).checks
    assert (first.status, first.reason) == (Status.ERROR, "did not end within 1 s")
    assert (second.status, second.reason) == (
        Status.ERROR, "no worker of the cluster can be used: a: it did not end accumulators",
    )  # fmt: skip
    client = Client(
        limited, lambda name, *_: Future(status="pending") if name == "accumulators" else None, a=HERE, b=HERE
    )
    first, second = run_on(client).checks
    assert (first.status, second.status) == (Status.ERROR, Status.PASSED)


def test_wrong_cluster_is_one_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that is none, an extra that is missing, or --jobs beside it are refused before anything runs."""
    path = write_plan(tmp_path, ACCUMULATORS)
    for address, words in (
        ("local:0", "expected local:N"), ("local:x", "expected local:N"), ("local:1001", "expected local:N"),
        ("http://x", "expected tcp://"), (str(tmp_path / "none.json"), "a scheduler file"),
    ):  # fmt: skip
        with pytest.raises(FxsimError, match=words):
            Cluster(address)
    monkeypatch.setattr(cluster, "find_spec", lambda _: None)
    with pytest.raises(FxsimError, match=r"needs distributed: pip install 'fxsim\[cluster\]'"):
        Cluster("tcp://127.0.0.1:1")
    result = CliRunner().invoke(command, [str(path), "--jobs", "2", "--cluster", "local:2", "-o", str(tmp_path / "o")])
    assert result.exit_code == 2


@pytest.mark.thorough
def test_a_local_cluster_gives_the_record_of_one_process(tmp_path: Path) -> None:
    """Two workers of a real cluster; thorough, as starting them takes ten seconds of CPU."""
    loaded = load_plan(write_plan(tmp_path, ACCUMULATORS, SECOND, PROCESS_DIES))
    with Cluster("local:2") as two:
        record = run_plan(loaded, cluster=two, output=tmp_path)
    assert timeless(record) == timeless(run_plan(loaded, output=tmp_path))
    assert record.machines == ()


PROCESS_DIES = '[[check]]\nkind = "vectors"\nname = "no-vectors"\ndirectories = ["nowhere"]\n'


@pytest.mark.thorough
def test_killed_workers(tmp_path: Path, toys: Callable[..., str]) -> None:
    """A real worker that is killed: all that it ran ends, its check is begun again, and in error after the second."""
    loaded = load_plan(write_plan(tmp_path, toys("long", "wait"), toys("quick", "pass")))
    said, families = tmp_path / "said" / "long", list[list[psutil.Process]]()

    def kill() -> None:
        for _ in range(2):
            while not said.exists():
                time.sleep(0.05)
            family = processes(said.read_text())
            said.unlink()
            families.append(family)
            # The check's process is the first of them; its parent is the worker.
            family[0].parent().kill()

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    heard = Heard()
    with Cluster("local:2") as two:
        record = run_plan(loaded, cluster=two, listener=heard)
    killer.join(10)
    for family in families:
        assert_gone(family)
    long, quick = record.checks
    assert (long.status, quick.status) == (Status.ERROR, Status.PASSED)
    assert "the workers of the cluster that ran it died: tls://127.0.0.1:" in str(long.reason)
    assert heard.events.count("started long") == heard.events.count("ended long") == 2
    assert heard.events.count("finished long") == 1


@pytest.mark.thorough
def test_interrupted_on_a_cluster(tmp_path: Path, toys: Callable[..., str]) -> None:
    """Ctrl-C: what the workers ran is gone, the record is incomplete and the journal stands; --resume goes on."""
    path = write_plan(tmp_path, ACCUMULATORS, toys("long", "wait"))
    said, families = tmp_path / "said" / "long", list[list[psutil.Process]]()

    def interrupt() -> None:
        journal = tmp_path / "out" / "signoff.journal"
        # Whichever of the two began first: what is interrupted is the second alone.
        while not said.exists() or b"accumulators" not in journal.read_bytes():
            time.sleep(0.05)
        families.append(processes(said.read_text()))
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    killer = threading.Thread(target=interrupt, daemon=True)
    killer.start()
    arguments = [str(path), "-o", str(tmp_path / "out"), "--cluster", "local:2"]
    CliRunner().invoke(command, arguments)
    killer.join(10)
    assert_gone(families[0])
    record = read_record(tmp_path / "out" / "signoff.json")
    assert not record.complete
    assert [check.status for check in record.checks] == [Status.PASSED, Status.ERROR]
    assert (tmp_path / "out" / "signoff.journal").exists()
