"""Foreign programs that a description needs: a list of words, without a shell, in a folder, for a limited time."""

import subprocess
from pathlib import Path
from typing import Any

from fxsim.errors import ToolError
from fxsim.formats.text import short
from fxsim.process import running

_SAID_BYTES_MAX = 20_000
_LINES_SHOWN = 3


def run_foreign(where: str, words: list[str], folder: Path, output: Path, seconds: int) -> None:
    """Run a program in a folder; what it says goes to the file `output`, and nothing is given to it.

    ToolError, one line that begins with `where`, where it cannot be started, is still running after so many seconds, or
    fails: with its last lines.
    """
    errors = output.with_name(f"{output.name}.errors")
    with output.open("wb") as said, errors.open("wb") as complained:
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": said, "stderr": complained}
        try:
            with running(words, cwd=folder, **streams) as process:
                status = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            raise ToolError(f"{where}: '{words[0]}' was still running after {seconds} s") from None
        except OSError as error:
            raise ToolError(f"{where}: '{words[0]}' cannot be run: {error.strerror or error}") from None
    if status != 0:
        last = _last_lines(errors) or _last_lines(output) or "it said nothing"
        raise ToolError(f"{where}: '{words[0]}' failed with status {status}: {last}")


def _last_lines(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(path.stat().st_size - _SAID_BYTES_MAX, 0))
        lines = file.read().decode("utf-8", "replace").splitlines()
    lines = [short(line.strip(), 300) for line in lines if line.strip()]
    return "; ".join(lines[-_LINES_SHOWN:])
