"""Runs the harness: feeds it images and expected values while it simulates, and waits for what it found."""

import os
import secrets
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from fxsim.contract.arithmetic import Int8
from fxsim.engines import Engine, run
from fxsim.errors import FxsimError, ToolError
from fxsim.graph import Model
from fxsim.process import running
from fxsim.simulate.messages import Found, Line

_CHUNK_BYTES = 8 << 20
"""Records made at once: bounds memory."""
_SILENCE_SECONDS_MAX = 120
"""The harness reports five times a second; one that says nothing for this long is stuck inside a single cycle."""
HANGS = "the design hangs inside a cycle"
"""The words for that."""
_WAIT_SECONDS = 0.5
"""Seconds between two looks at whether a simulation was given up."""


class Records(Protocol):
    """The bytes that a harness reads: records, of images and of what the model gives of each."""

    @property
    def model(self) -> Model:
        """The model whose values are expected."""

    @property
    def needed(self) -> tuple[str, ...]:
        """The taps that must be computed."""

    @property
    def images(self) -> int:
        """Images of a record."""

    @property
    def record_bytes(self) -> int:
        """Bytes of a record."""

    def records(self, first: int, x: Int8, values: dict[str, Int8]) -> npt.NDArray[np.uint8]:
        """One record a row, uint8 [record, byte], for images `x` numbered from `first` with their taps."""


class Feeder:
    """Computes expected values chunk by chunk and writes records into the harness's standard input, in a thread."""

    def __init__(self, records: Records, x: Int8, engine: Engine | str) -> None:
        self._records = records
        self._x = x
        self._engine = engine
        self._cancelled = False
        self.computing = False
        self.error: BaseException | None = None

    def start(self, pipe: IO[bytes], opening: bytes) -> threading.Thread:
        """Begin to write, `opening` first; the pipe is closed when all is written or nobody reads any more."""
        thread = threading.Thread(target=self._feed, args=(pipe, opening), name="fxsim-feeder", daemon=True)
        thread.start()
        return thread

    def cancel(self) -> None:
        """Stop after the chunk that is being computed."""
        self._cancelled = True

    def _feed(self, pipe: IO[bytes], opening: bytes) -> None:
        source = self._records
        chunk = source.images * max(1, _CHUNK_BYTES // source.record_bytes)
        try:
            with pipe:
                pipe.write(opening)
                for first in range(0, len(self._x), chunk):
                    if self._cancelled:
                        return
                    self.computing = True
                    x = np.ascontiguousarray(self._x[first : first + chunk])
                    records = source.records(first, x, run(source.model, x, source.needed, self._engine))
                    self.computing = False
                    pipe.write(records.data)
        except BrokenPipeError:
            pass  # the harness has seen enough; it says itself why
        except BaseException as error:  # handed to the thread that waits
            self.error = error
        finally:
            self.computing = False


class GivenUpError(Exception):
    """A simulation that was given up: nobody wants to know what it finds."""


def simulate(
    command: list[str],
    work: Path,
    feeder: Feeder,
    progress: Callable[[int], None],
    errors: Path | None = None,
    given_up: threading.Event | None = None,
) -> Found:
    """Run the harness in the folder `work`, that has the model's files; whatever happens, it does not outlive this.

    The harness begins each of its lines with a word that nobody could guess, which it is given before the design under
    test exists: what the design itself writes to that channel is told from it, and refused. ToolError for that, for a
    second result, and where the simulator fails.

    `errors`: a file for its standard error that no other simulation has, by default `work`/stderr. GivenUpError soon
    after `given_up` is set.
    """
    result = None
    word = secrets.token_hex(16).encode()
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with (errors or work / "stderr").open("w+b") as said:
        with running(command, cwd=work, stderr=said, **pipes) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            thread = feeder.start(process.stdin, word + b"\n")
            try:
                for line in _lines(process.stdout, feeder, given_up or threading.Event()):
                    first, _, text = line.partition(b" ")
                    if first != word:
                        raise ToolError(
                            "the simulator printed what is no message of its harness: "
                            f"{line[:80].decode(errors='replace')!a}; a design under test may not write there"
                        )
                    message = msgspec.json.decode(text, type=Line)
                    if message.done is not None:
                        progress(message.done)
                    if message.result is not None and result is not None:
                        raise ToolError("the simulator gave a second result, expected one")
                    result = message.result or result
                status = process.wait(timeout=_SILENCE_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                raise ToolError(
                    f"the simulator closed its output and then did not end for {_SILENCE_SECONDS_MAX} s"
                ) from None
            except msgspec.MsgspecError as error:
                raise ToolError(f"the simulator printed what is no message: {error}") from error
            finally:
                feeder.cancel()
                process.kill()
                process.wait()
                thread.join()
        said.seek(0)
        complaint = said.read().decode(errors="replace").strip()
    if feeder.error is not None:
        if isinstance(feeder.error, FxsimError):
            raise feeder.error
        raise ToolError(f"computing the expected values failed: {feeder.error!r}") from feeder.error
    # Verilator only warns of a ROM file that is missing or too short, but nothing it computes counts then.
    warnings = [line for line in complaint.splitlines() if "%Warning" in line or "%Error" in line]
    if status != 0 or result is None:
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        lines = warnings or complaint.splitlines()
        raise ToolError(f"the simulator {how}: {lines[0] if lines else 'without a word'}")
    if warnings:
        raise ToolError(f"warnings from the simulator are refused, and the design gave one: {warnings[0]}")
    progress(result.images)
    return result


def _lines(stream: IO[bytes], feeder: Feeder, given_up: threading.Event) -> Iterator[bytes]:
    """Lines of the harness as they come. ToolError where it falls silent though it is not waiting for images."""
    buffer = b""
    silent_since = time.monotonic()
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            ready = selector.select(timeout=_WAIT_SECONDS)
            if given_up.is_set():
                raise GivenUpError
            if not ready:
                if feeder.computing:
                    silent_since = time.monotonic()
                elif time.monotonic() - silent_since > _SILENCE_SECONDS_MAX:
                    raise ToolError(f"the simulator said nothing for {_SILENCE_SECONDS_MAX} s: {HANGS}")
                continue
            silent_since = time.monotonic()
            data = os.read(stream.fileno(), 1 << 16)
            if not data:
                break
            *whole, buffer = (buffer + data).split(b"\n")
            yield from whole
