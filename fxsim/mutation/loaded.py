"""A process that runs tests with a mutated module in the place of the checkout's: one child for each mutant.

Run by its path, so that nothing of fxsim is loaded before the mutant is: `python -P loaded.py FOLDER`, in the root of a
clone. What tests need of others is loaded once; a child of this process then loads fxsim, with one module's text from a
request, and runs pytest. Requests come line by line on standard input, answers go to standard output, both JSON.
No file of the checkout is read in the mutated module's place or written: bytecode goes to FOLDER.
"""

import contextlib
import gc
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

PASSED, KILLED, INVALID, TIMED_OUT = "passed", "killed", "invalid", "timed out"
_PRELOADED = (
    "numpy", "pytest", "hypothesis", "hypothesis.strategies", "hypothesis.extra.numpy", "llvmlite.binding", "numba",
    "numba.extending", "msgspec", "click", "safetensors.numpy", "filelock", "platformdirs", "_hypothesis_pytestplugin",
    "_pytest.assertion.rewrite", "_pytest.junitxml", "_pytest.doctest", "_pytest.unittest", "xdist.plugin",
    "pytest_timeout",
)  # fmt: skip
"""Modules of others that tests load, whole enough to save their time; one that is not installed is left out."""
_MEMORY_BYTES_MAX = 8 << 30
"""Memory that a mutant may take: one that makes arrays a thousand times as large must not take the machine's."""
_WORDS_MAX = 200
_WALL_TIMES = 60.0
"""Seconds by the clock for each processor second of the limit, on a machine that others use too."""
_POLL_SECONDS = 0.01


class _Mutated(importlib.machinery.SourceFileLoader):
    """A loader of a module whose text is not the file's."""

    def __init__(self, name: str, path: str, text: str) -> None:
        super().__init__(name, path)
        self._text = text

    def get_data(self, path: str | os.PathLike[str]) -> bytes:
        """The mutated text; the bytes of any other file as they are."""
        return self._text.encode() if str(path) == self.path else super().get_data(path)  # type: ignore[arg-type]

    def get_code(self, fullname: str) -> CodeType:  # noqa: ARG002  # as every loader's
        """The code of the mutated text: never one that was kept."""
        return compile(self._text, self.path, "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds one module: the mutated one."""

    def __init__(self, name: str, path: str, text: str) -> None:
        self._name, self._path, self._text = name, path, text

    def find_spec(
        self, fullname: str, _path: Sequence[str] | None, _target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The module's place with its mutated text; None for any other."""
        if fullname != self._name:
            return None
        loader = _Mutated(fullname, self._path, self._text)
        return importlib.util.spec_from_file_location(fullname, self._path, loader=loader)


class _Judge:
    """A plugin of pytest: orders the tests, and notes which failed first, and what each took."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self._seconds = seconds
        self.found: dict[str, Any] = {}
        self.spent: dict[str, float] = {}

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Order the tests: the fastest first, as they were measured without a mutant."""
        items.sort(key=lambda item: self._seconds.get(item.nodeid, 0.0))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        """Begin to measure a test."""
        self._begun = time.process_time()
        self._node = nodeid

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        """Note what a test took."""
        self.spent[nodeid] = round(time.process_time() - self._begun, 3)

    def pytest_exception_interact(self, node: Any, call: Any) -> None:
        """Note the first failure, of a test or of a file of tests."""
        if not self.found:
            self.found = _failure(call.excinfo.value) | {"test": node.nodeid}


_REFUSAL = ("numba.core.errors", "NumbaError")
"""The kind of all errors of Numba's compiler, which is imported where a mutant is of compiled code alone."""


def _failure(error: BaseException) -> dict[str, str]:
    """The way in which a test failed: Numba's refusal is that of a compiler, and says nothing of the test."""
    words = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    text = f"{type(error).__name__}: {words}" if words else type(error).__name__
    how = "difference" if isinstance(error, AssertionError) else "error"
    refused = any((kind.__module__, kind.__name__) == _REFUSAL for kind in type(error).__mro__)
    state = INVALID if refused else KILLED
    return {"state": state, "how": how, "words": text[:_WORDS_MAX]}


def _judge(request: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request, in a process of its own."""
    import pytest

    os.environ["FXSIM_CACHE"] = request["cache"]
    sys.path.insert(0, request["root"])
    if request["module"]:
        sys.meta_path.insert(0, _Finder(request["module"], request["path"], request["text"]))
        try:
            importlib.import_module(request["module"])
        except BaseException as error:  # whatever a mutant raises
            return _failure(error) | {"state": INVALID, "test": "", "how": "is not loaded"}
    if request["domain"]:
        from fxsim.mutation.domains import exhaust  # type: ignore[import-not-found,unused-ignore]

        count, digest = exhaust(request["domain"])
        return {"state": PASSED, "count": count, "digest": digest}
    plugin = _Judge(request["seconds"])
    options = ["-x", "-p", "no:cacheprovider", "-p", "no:faulthandler", "-m", request["marked"]]
    files = [f"{request['root']}/tests/{name}" for name in request["files"]]
    status = pytest.main(
        [*options, "--basetemp", request["temporary"], "-c", f"{request['root']}/pyproject.toml", *files],
        plugins=[_Quick(), plugin],
    )
    if plugin.found:
        return plugin.found
    if status != 0:
        raise RuntimeError(f"pytest ended with {status!s}, and no test failed")
    return {"state": PASSED, "spent": plugin.spent}


class _Quick:
    """A plugin of pytest that has Hypothesis neither shrink what fails nor keep it."""

    def pytest_configure(self, config: Any) -> None:
        """After the tests' own settings are loaded, which these rest on."""
        from hypothesis import Phase, settings

        del config
        name = "fxsim-mutant"
        own = settings.get_profile("fxsim")
        phases = (Phase.explicit, Phase.generate)
        settings.register_profile(name, own, phases=phases, database=None, report_multiple_bugs=False, print_blob=False)
        settings.load_profile(name)

    pytest_configure.trylast = True  # type: ignore[attr-defined]


def _child(request: dict[str, Any]) -> None:
    """Answer a request and end: what this process prints, and what tests print, goes nowhere."""
    silent = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(silent, stream)
    seconds = int(request["limit"]) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES_MAX, _MEMORY_BYTES_MAX))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        answer = _judge(request)
    except BaseException:  # whatever happens is the answer
        answer = {"state": "failed", "words": traceback.format_exc()[-2000:]}
    Path(request["answer"]).write_text(json.dumps(answer), encoding="utf-8")
    os._exit(0)


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    """Run a request in a child, to its end or its limit."""
    deadline = time.monotonic() + _WALL_TIMES * request["limit"]
    child = os.fork()
    if child == 0:
        _child(request)
    while True:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            deadline = float("inf")
        time.sleep(_POLL_SECONDS)
    seconds = {"seconds": round(used.ru_utime + used.ru_stime, 3)}
    place = Path(request["answer"])
    if place.is_file():
        found: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        return found | seconds
    code = os.waitstatus_to_exitcode(status)
    if -code in (signal.SIGXCPU, signal.SIGKILL):
        words = f"more than {request['limit']:.0f} processor seconds"
        return {"state": TIMED_OUT, "how": "time limit", "words": words, "test": ""} | seconds
    return {"state": KILLED, "how": "stopped", "words": f"the process ended with {code}", "test": ""} | seconds


def _requests() -> Iterator[dict[str, Any]]:
    return map(json.loads, sys.stdin)


def main() -> None:
    """Load what tests need of others, and answer requests until there are no more."""
    sys.pycache_prefix = sys.argv[1]
    for name in _PRELOADED:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    # What is there already is left alone by the collector of each child.
    gc.freeze()
    if any(name.partition(".")[0] == "fxsim" for name in sys.modules):
        raise RuntimeError("fxsim is loaded before its mutant")
    for request in _requests():
        print(json.dumps(_answer(request)), flush=True)


if __name__ == "__main__":
    main()
