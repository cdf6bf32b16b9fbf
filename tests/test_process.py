"""How the program ends when it is asked to, what it leaves behind, and that no child outlives it."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from fxsim import process as process_module
from fxsim import temporary
from fxsim.errors import FileError
from fxsim.process import exit_status, finishing, interruptible, run, running
from tests.conftest import obey_ctrl_c

FAMILY = "sleep 1000 & echo $$ $!; wait"
"""Shell script that starts a child of its own, and prints both numbers."""


@contextlib.contextmanager
def python(code: str, **environment: str) -> Iterator["subprocess.Popen[str]"]:
    """A Python program that obeys signals as one in a terminal does; killed at the end of the block."""
    with subprocess.Popen(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=obey_ctrl_c,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def read_line(process: "subprocess.Popen[str]") -> str:
    """The next line that a program prints."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def processes(numbers: str) -> list[psutil.Process]:
    """Processes by their numbers, which exist now."""
    return [psutil.Process(int(number)) for number in numbers.split()]


def assert_gone(family: list[psutil.Process]) -> None:
    """None of these processes runs any more."""
    _, alive = psutil.wait_procs(family, timeout=20)
    # A process whose parent is gone may wait for somebody to read its status: it does not run.
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


# --- children ---


def test_what_a_child_started_ends_with_the_block() -> None:
    """Left early, the block takes the child and the child's own children along; the output is read until then."""
    with running(["sh", "-c", FAMILY], stdout=subprocess.PIPE, text=True) as process:
        family = processes(read_line(process))
        assert len(family) == 2
    assert process.returncode == -signal.SIGKILL
    assert_gone(family)


def test_a_child_that_ends_by_itself_keeps_its_status() -> None:
    """`run` returns status and both outputs; `running` leaves the status as it was."""
    done = run(["sh", "-c", "echo out; echo err >&2; exit 7"])
    assert (done.returncode, done.stdout, done.stderr) == (7, "out\n", "err\n")
    with running(["sh", "-c", "exit 3"]) as process:
        assert process.wait(timeout=20) == 3
    assert process.returncode == 3


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_here_lead_nowhere_in_a_child(closed: str, tmp_path: Path) -> None:
    """A child may use its standard streams, whether or not this process has them."""
    child = "import os, sys; [os.fstat(n) for n in range(3)]; os.write(2, b'x'); sys.stdin.read()"
    script = (
        f"import sys\nfrom fxsim.process import running\nwith running([sys.executable, '-c', {child!r}]) as process:\n"
        f"    open({str(tmp_path / 'status')!r}, 'w').write(str(process.wait()))"
    )
    subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", sys.executable, "-c", script], stdin=subprocess.DEVNULL, check=True
    )
    assert (tmp_path / "status").read_text() == "0"


def test_what_cannot_be_started_or_takes_too_long_is_told() -> None:
    """An absent program is FileNotFoundError, as of subprocess; one that is given up is killed."""
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        run(["no-such-program"])
    with pytest.raises(subprocess.TimeoutExpired):
        run(["sleep", "1000"], timeout=0.05)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_children_die_with_their_parent(number: signal.Signals) -> None:
    """Whatever ends a process, even SIGKILL, ends its children and theirs."""
    code = f"""if True:
        import subprocess, sys
        from fxsim.process import interruptible, running
        with interruptible(), running(["sh", "-c", {FAMILY!r}], stdout=subprocess.PIPE, text=True) as process:
            print(process.stdout.readline(), end="", flush=True)
            process.wait()
        """
    with python(code) as process:
        family = processes(read_line(process))
        assert len(family) == 2
        process.send_signal(number)
        process.wait(timeout=20)
    assert_gone(family)


def test_what_begins_a_session_of_its_own_ends_with_the_block() -> None:
    """A child's child in another session and group is ended, too, with its own, while those between them run."""
    script = "setsid -w sh -c 'sleep 1000 & echo $$ $!; wait'"
    with running(["sh", "-c", script], stdout=subprocess.PIPE, text=True) as process:
        family = processes(read_line(process))
        assert len(family) == 2
        assert os.getsid(family[0].pid) == family[0].pid
    assert_gone(family)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_steps_of_a_build_leave_nothing(number: signal.Signals, tmp_path: Path) -> None:
    """Ended in the middle of a build, make's children end, and the compilers' temporary files go with the folder."""
    said = tmp_path / "said"
    step = f"mktemp -t ccXXXXXX.s; echo $$ > {said}.new; mv {said}.new {said}; sleep 1000; true"
    code = f"""if True:
        from pathlib import Path
        from fxsim import temporary
        from fxsim.process import interruptible
        from fxsim.simulate.tools import run_logged
        with interruptible(), temporary.folder("build", Path({str(tmp_path)!r})) as work:
            run_logged(["sh", "-c", {step!r}], work, work / "log")
        """
    with python(code) as process:
        while not said.exists():
            assert process.poll() is None
            time.sleep(0.01)
        family = processes(said.read_text())
        (work,) = (path for path in tmp_path.iterdir() if path.is_dir())
        assert len(list(work.glob("cc*.s"))) == 1
        process.send_signal(number)
        process.wait(timeout=20)
    assert_gone(family)
    if number == signal.SIGKILL:
        temporary._swept.discard(str(tmp_path))
        temporary.sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [said]


# --- signals ---


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("module", ["fxsim.cli.program", "click", "fxsim.errors", "numpy", "fxsim.formats"])
def test_signals_while_libraries_are_imported_end_quietly(module: str, number: signal.Signals, tmp_path: Path) -> None:
    """From its first imports on, the program answers with one line and the signal's status, without a traceback."""
    code = f"""if True:
        import os, sys
        class Finder:
            def find_spec(name, path, target=None):
                if name == {module!r}:
                    os.kill(os.getpid(), {int(number)})
        sys.meta_path.insert(0, Finder)
        sys.argv = ["fxsim", "info", {str(tmp_path / "absent")!r}]
        from fxsim.cli import main
        main()
        """
    with python(code) as process:
        out, err = process.communicate(timeout=60)
    word = "interrupted" if number == signal.SIGINT else f"ended by {number.name}"
    # Click puts an empty line before it, for the ^C on a terminal.
    assert (process.returncode, out, err.strip()) == (128 + number, "", f"fxsim: {word}")


def test_ignored_signals_stay_ignored() -> None:
    """Under `nohup` a terminal that is closed ends nothing."""
    code = """if True:
        import os, signal
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        from fxsim.process import end_at_once, interruptible
        end_at_once()
        os.kill(os.getpid(), signal.SIGHUP)
        with interruptible():
            os.kill(os.getpid(), signal.SIGHUP)
        print("alive")
        """
    with python(code) as process:
        assert process.communicate(timeout=60) == ("alive\n", "")


@pytest.fixture
def handlers() -> Iterator[None]:
    """Signals are handled as in a new program, and afterwards as before."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    for number in numbers:
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_further_signals_do_not_disturb_the_end() -> None:
    """The first signal names the status; SIGTERM and SIGHUP after it are let pass, Ctrl-C is obeyed again."""
    with interruptible():
        for number in (signal.SIGHUP, signal.SIGINT):
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(number)
            signal.raise_signal(signal.SIGTERM)
    assert exit_status() == (129, "ended by SIGHUP")
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.usefixtures("handlers")
def test_what_was_done_is_written_before_a_further_signal_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who finishes is not interrupted twice within some seconds; the first is heard, and so is one long after it."""
    with interruptible(), finishing():
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        for _ in range(3):
            signal.raise_signal(signal.SIGINT)
        monkeypatch.setattr(process_module, "_WRITING_SECONDS", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert exit_status() == (143, "ended by SIGTERM")


@pytest.mark.usefixtures("handlers")
def test_an_interruption_that_python_drops_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    """Where Ctrl-C comes while a destructor runs, in which Python drops it, it comes again, and nothing is printed."""

    class Dropping:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    heard = threading.Event()
    with interruptible(), finishing():
        Dropping()
        with pytest.raises(KeyboardInterrupt):
            heard.wait(timeout=20)
    assert capfd.readouterr() == ("", "")


# --- temporary files ---

MAKING = """if True:
    import sys, time
    from pathlib import Path
    from fxsim import temporary
    from fxsim.formats import atomic_write
    from fxsim.process import interruptible
    place = Path(sys.argv[1])
    with interruptible(), temporary.folder("test", place) as made, atomic_write(place / "result.json") as file:
        (made / "file").write_text("x")
        file.write_text("half")
        print("ready", flush=True)
        time.sleep(1000)
    """


@contextlib.contextmanager
def maker(place: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that has a temporary folder in `place` and a file half-written."""
    with python(f"import sys; sys.argv = ['-c', {str(place)!r}]\n{MAKING}") as process:
        assert read_line(process) == "ready"
        yield process


def test_what_a_killed_process_left_is_swept(tmp_path: Path) -> None:
    """The next process that works in the folder removes it, and neither a living one's nor anything else."""
    with maker(tmp_path) as killed:
        process = psutil.Process(killed.pid)
        left = set(tmp_path.iterdir())
        killed.kill()
        killed.wait()
        assert len(left) == 2
        assert set(tmp_path.iterdir()) == left
        assert not process.is_running()
    stranger = tmp_path / "fxsim-notes-of-mine-"
    stranger.mkdir()
    # Somebody's on another machine that shares the disk, or from before this one was started again.
    place, *rest = next(path.name for path in left if path.name.startswith("fxsim-")).split("-")[1:]
    elsewhere = tmp_path / "-".join(["fxsim", "0123456789ab", *rest])
    elsewhere.mkdir()
    assert place != "0123456789ab"
    with maker(tmp_path) as alive:
        its = set(tmp_path.iterdir()) - left - {stranger, elsewhere}
        assert len(its) == 2
        assert not left & set(tmp_path.iterdir())
        temporary._swept.discard(str(tmp_path))
        temporary.sweep(tmp_path)
        assert set(tmp_path.iterdir()) == its | {stranger, elsewhere}
        alive.send_signal(signal.SIGTERM)
        alive.wait(timeout=20)
    assert set(tmp_path.iterdir()) == {stranger, elsewhere}


def test_numbers_are_used_again(tmp_path: Path) -> None:
    """A folder of a process that has ended is told from those of a later one with the same number, by when it began."""
    with temporary.folder("test", tmp_path) as own:
        fields = own.name.split("-")
        assert int(fields[2]) == os.getpid()
        ticks = round((psutil.Process().create_time() - psutil.boot_time()) * os.sysconf("SC_CLK_TCK"))
        assert abs(int(fields[3]) - ticks) <= 2 * os.sysconf("SC_CLK_TCK")
        fields[3] = str(int(fields[3]) - 1)
        earlier = tmp_path / "-".join(fields)
        earlier.mkdir()
        temporary._swept.discard(str(tmp_path))
        temporary.sweep(tmp_path)
        assert list(tmp_path.iterdir()) == [own]


def test_links_are_not_followed_by_the_sweep(tmp_path: Path) -> None:
    """A link with the name of an abandoned folder goes, what it leads to stays."""
    with maker(tmp_path) as killed:
        killed.kill()
        killed.wait()
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    name = folder.name
    folder.rename(tmp_path / "kept")
    (tmp_path / name).symlink_to(tmp_path / "kept")
    temporary._swept.discard(str(tmp_path))
    temporary.sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").read_text() == "x"


def test_a_full_temporary_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system says that a disk is full, not which: fxsim names the place, and the way out."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(FileError, match=f"no space is left in {tmp_path}: .*; TMPDIR in the environment"):  # noqa: SIM117
        with temporary.folder("test"):
            raise OSError(28, "No space left on device")
    with pytest.raises(OSError, match="elsewhere"), temporary.folder("test"):
        raise OSError(28, "No space left on device", "/elsewhere/file")
    with pytest.raises(PermissionError), temporary.folder("test"):
        raise PermissionError(13, "Permission denied")
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_long_in_bytes_can_be_written_beside(tmp_path: Path) -> None:
    """A name of 250 bytes in letters of 2 is legal, and so are the temporary names that are made of it."""
    target = tmp_path / ("\u00f6" * 125)
    made = temporary.beside(target)
    made.touch()
    assert made.name.startswith(".\u00f6\u00f6")
    assert len(os.fsencode(made.name)) <= 255


def test_waiting_for_a_reader_can_be_interrupted(tmp_path: Path) -> None:
    """An output that is a pipe nobody reads waits; Ctrl-C ends it, and the temporary file goes."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = f"""if True:
        from fxsim.formats import atomic_write
        from fxsim.process import interruptible
        with interruptible():
            with atomic_write({str(pipe)!r}) as file:
                file.write_text("x")
                print(file, flush=True)
        """
    with python(code) as process:
        made = Path(read_line(process))
        assert made.read_text() == "x"
        # It sleeps as soon as it waits for the reader.
        while psutil.Process(process.pid).status() != psutil.STATUS_SLEEPING:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert not made.exists()
