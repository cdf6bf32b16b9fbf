"""Where outputs go: links are followed, pipes and devices written into and never replaced."""

import io
import os
import pty
import stat
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxsim import paths
from fxsim.errors import FileError
from fxsim.formats import NpzWriter, atomic_write, load, save
from fxsim.formats.atomic import check_target
from tests.strategies import tensor

MODEL = paths.golden_dir() / "digits_small.safetensors"
FXSIM = [sys.executable, "-m", "fxsim"]
CONTENT = bytes(range(256)) * 1024
"""More than a pipe holds at once."""


def write(path: Path, content: bytes = CONTENT) -> None:
    """Write an output."""
    with atomic_write(path) as file:
        file.write_bytes(content)


def fxsim(*args: str | Path, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    """Run the program."""
    return subprocess.run([*FXSIM, *map(str, args)], check=False, **options)


class Reader(threading.Thread):
    """Reads a pipe or terminal to its end, or as many bytes as are wanted."""

    def __init__(self, path: Path, count: int = -1) -> None:
        super().__init__(daemon=True)
        self._path, self._count = path, count
        self.content = b""
        self.start()

    def run(self) -> None:
        """Read."""
        with self._path.open("rb") as file:
            self.content = file.read(self._count)

    def result(self) -> bytes:
        """The bytes that were read."""
        self.join(timeout=30)
        return self.content


@pytest.fixture
def null_device(tmp_path: Path) -> Path:
    """A device node of this test's own, which is what /dev/null is; the machine's is not put at risk."""
    node = tmp_path / "null"
    try:
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 3))
        node.write_bytes(b"")
    except PermissionError:
        pytest.skip("making or opening device nodes needs root, and a file system that allows them")
    return node


# --- links ---


@pytest.mark.parametrize("old", [None, b"the old result"])
def test_links_are_followed(old: bytes | None, tmp_path: Path) -> None:
    """Through several links, relative ones too: the file that the last one names is made or replaced, links stay."""
    (tmp_path / "far").mkdir()
    (tmp_path / "near").mkdir()
    target = tmp_path / "far" / "result"
    if old is not None:
        target.write_bytes(old)
    (tmp_path / "far" / "link").symlink_to("result")
    (tmp_path / "near" / "link").symlink_to("../far/link")
    write(tmp_path / "near" / "link")
    assert target.read_bytes() == CONTENT
    assert not target.is_symlink()
    assert (tmp_path / "near" / "link").readlink() == Path("../far/link")
    assert {path.name for path in (tmp_path / "far").iterdir()} == {"result", "link"}
    assert {path.name for path in (tmp_path / "near").iterdir()} == {"link"}


def test_an_error_leaves_what_a_link_names(tmp_path: Path) -> None:
    """Where the block fails, link and file are as before, and no temporary file is left in either folder."""
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "result").write_bytes(b"old")
    (tmp_path / "link").symlink_to("far/result")
    with pytest.raises(ZeroDivisionError), atomic_write(tmp_path / "link") as file:
        file.write_bytes(b"half" + bytes(1 // 0))
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "result").read_bytes() == b"old"
    assert [path.name for path in (tmp_path / "far").iterdir()] == ["result"]


def test_links_that_lead_nowhere_are_refused(tmp_path: Path) -> None:
    """A circle of links, and a link into a folder that does not exist, are one error that names the output."""
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "c").symlink_to("absent/file")
    for name, message in (("a", "links lead on"), ("c", f"there is no folder {tmp_path}/absent")):
        with pytest.raises(FileError, match=message):
            write(tmp_path / name)
        with pytest.raises(FileError, match=f"cannot write {tmp_path}/{name}: "):
            check_target(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "b", "c"}


# --- devices and pipes ---


def test_devices_are_written_into_not_replaced(null_device: Path, tmp_path: Path) -> None:
    """As root, too: a character device is still the same one afterwards, by its own name and through a link."""
    link = tmp_path / "link"
    link.symlink_to("null")
    before = null_device.stat()
    for path in (null_device, link):
        write(path)
        save(load(MODEL), path)
        check_target(path)
    after = null_device.stat()
    assert stat.S_ISCHR(after.st_mode)
    assert (after.st_ino, after.st_rdev) == (before.st_ino, before.st_rdev)
    assert {path.name for path in tmp_path.iterdir()} == {"null", "link"}


def test_pipes_get_every_byte(tmp_path: Path) -> None:
    """A pipe's reader gets the whole file, after it was finished, and its end."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = Reader(pipe)
    write(pipe)
    assert reader.result() == CONTENT
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_failed_output_sends_nothing_into_a_pipe(tmp_path: Path) -> None:
    """Half an output never begins to flow."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(ZeroDivisionError), atomic_write(pipe) as file:
        file.write_bytes(b"half" + bytes(1 // 0))
    assert os.read(descriptor, 10) == b""
    os.close(descriptor)


def test_terminals_are_written_to(tmp_path: Path) -> None:
    """A terminal is a character device, too: what is written shows there."""
    ours, theirs = pty.openpty()
    link = tmp_path / "terminal"
    link.symlink_to(os.ttyname(theirs))
    write(link, b"text\n")
    assert os.read(ours, 100) == b"text\r\n"
    os.close(ours)
    os.close(theirs)


def test_arrays_of_images_go_into_pipes(tmp_path: Path) -> None:
    """An .npz archive, whose writer goes back in its file, is made elsewhere and then sent."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    values = np.arange(24, dtype=np.int8).reshape(4, 6)
    reader = Reader(pipe)
    with NpzWriter(pipe, {"a": tensor((6,))}, 4) as writer:
        writer.write({"a": values[:1]})
        writer.write({"a": values[1:]})
    with np.load(io.BytesIO(reader.result()), allow_pickle=False) as found:
        assert np.array_equal(found["a"], values)
    assert list(tmp_path.iterdir()) == [pipe]


def test_disks_sockets_and_folders_are_refused(tmp_path: Path) -> None:
    """Whatever is neither a file, a pipe nor a character device is named, and stays."""
    import socket

    with socket.socket(socket.AF_UNIX) as own:
        own.bind(str(tmp_path / "socket"))
        (tmp_path / "folder").mkdir()
        kinds = {"socket": "a socket", "folder": "a folder"}
        try:
            # A number that no driver has: nothing can be reached through it.
            os.mknod(tmp_path / "disk", stat.S_IFBLK | 0o600, os.makedev(250, 250))
            kinds["disk"] = "a disk"
        except PermissionError:
            pass
        for name, kind in kinds.items():
            with pytest.raises(
                FileError, match=f"cannot write {tmp_path}/{name}: it exists and is not a regul.* but {kind}$"
            ):
                write(tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} == set(kinds)


def test_a_device_that_appears_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    """What is there when the file is finished is looked at again."""
    path = tmp_path / "result"

    def write_while_it_changes() -> None:
        with atomic_write(path) as file:
            file.write_bytes(CONTENT)
            os.mkfifo(path)

    with pytest.raises(FileError, match="became something else"):
        write_while_it_changes()
    assert stat.S_ISFIFO(path.stat().st_mode)
    assert list(tmp_path.iterdir()) == [path]


def test_descriptors_are_written_into(tmp_path: Path) -> None:
    """`/dev/fd/N` is the open file itself, at the place where it stands, and never a new file of that name."""
    with (tmp_path / "file").open("wb") as file:
        file.write(b"before ")
        file.flush()
        inode = os.fstat(file.fileno()).st_ino
        write(Path(f"/dev/fd/{file.fileno()}"), b"content")
        (tmp_path / "link").symlink_to(f"/proc/self/fd/{file.fileno()}")
        write(tmp_path / "link", b" again")
        file.write(b" after")
    assert (tmp_path / "file").read_bytes() == b"before content again after"
    assert (tmp_path / "file").stat().st_ino == inode
    with (tmp_path / "file").open("rb") as file, pytest.raises(FileError, match="open for reading only"):
        check_target(Path(f"/dev/fd/{file.fileno()}"))
    with pytest.raises(FileError, match="cannot write /dev/fd/999: Bad file descriptor"):
        check_target(Path("/dev/fd/999"))


# --- the program ---


def test_standard_output_as_a_file_gets_the_file_alone(tmp_path: Path) -> None:
    """`-o` with a link to standard output: the file goes there, what the command prints to standard error."""
    # A link of the test's own: should the program replace its output, it is this one and not the machine's.
    link = tmp_path / "stdout"
    link.symlink_to("/proc/self/fd/1")
    piped = fxsim("export-onnx", MODEL, "-o", link, capture_output=True)
    assert (piped.returncode, piped.stderr.count(b"\n")) == (0, 1)
    with (tmp_path / "redirected").open("wb") as file:
        assert fxsim("export-onnx", MODEL, "-o", link, stdout=file, stderr=subprocess.PIPE).returncode == 0
    assert fxsim("export-onnx", MODEL, "-o", tmp_path / "plain", capture_output=True).returncode == 0
    assert piped.stdout == (tmp_path / "redirected").read_bytes() == (tmp_path / "plain").read_bytes() != b""
    assert link.is_symlink()


def test_trainings_are_not_sent_into_devices(null_device: Path) -> None:
    """Logs and partial files lie beside what is trained: beside a device, nothing is written."""
    with pytest.raises(FileError, match="pipe or a device, and other files"):
        check_target(null_device, streams=False)
    assert list(null_device.parent.iterdir()) == [null_device]
