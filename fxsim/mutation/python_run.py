"""A run of mutants of Python: the contract's, the operators' and the engines' own functions, judged by their tests.

Each mutant is loaded in the place of its module in a process of its own (`loaded`), which runs the tests of its room,
then those of rooms that use it, the fastest first, up to the first that fails.
"""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from queue import SimpleQueue
from typing import Any, NamedTuple

import msgspec

from fxsim import temporary
from fxsim.errors import FxsimError, ToolError
from fxsim.mutation import benches, domains, loaded, record
from fxsim.mutation.benches import Run
from fxsim.mutation.children import GivenUp, Stop
from fxsim.mutation.imports import PACKAGE, imported
from fxsim.mutation.kept import kept
from fxsim.mutation.kinds import Mutant
from fxsim.mutation.python import function_at, make_mutants
from fxsim.mutation.run import Progress, choose
from fxsim.paths import cache_dir
from fxsim.process import running
from fxsim.simulate.sources import hash_parts

DESIGN = "the contract and the engines"
"""The name that a record of these mutants has for what they were made of."""
_VERSIONS = ("hypothesis", "llvmlite", "numba", "numpy", "pytest")
_THEN = "not thorough and not process and not verilator and not icarus and not alone and not torch"
_FIRST = f"{_THEN} and not onnx and not slow"
"""The tests of each stage, by marker: what starts processes does not load the mutant there."""


class Room(NamedTuple):
    """Modules that one set of tests is of: `own` files of tests, of which those not marked `slow` come first; `others`.

    `compiled`: whether machine code is made of what they hold.
    """

    modules: tuple[str, ...]
    own: tuple[str, ...]
    others: tuple[str, ...] = ()
    compiled: bool = False


ROOMS = (
    Room(("contract.arithmetic",), ("arithmetic",), ("graph", "numbers", "tables", "engines")),
    Room(("contract.bounds",), ("arithmetic", "graph"), ("numbers", "engines")),
    Room(("contract.number", "contract.tensor"), ("numbers",), ("graph", "engines")),
    Room(("contract.tables",), ("tables",), ("numbers", "engines")),
    Room(
        tuple(f"operators.{name}" for name in ("add", "affine", "base", "linear", "lut", "pool", "relu")),
        ("graph", "operators"),
        ("numbers", "engines"),
    ),
    Room(("graph.graph",), ("graph",), ("numbers", "engines")),
    Room(("engines", "engines.reference"), ("engines",), ("numbers", "loops")),
    Room(("engines.loops",), ("loops",), ("numbers",), compiled=True),
    Room(("engines.compiled.program", "engines.compiled.run"), ("engines",), ("loops",)),
    Room(
        tuple(f"engines.compiled.{name}" for name in ("convolutions", "pixel_layout", "pixel_program")),
        ("pixels", "pointwise"),
        ("few_bits",),
    ),
    Room(tuple(f"engines.compiled.{name}" for name in ("pixels", "windows")), ("pixels",), compiled=True),
    Room(tuple(f"engines.compiled.{name}" for name in ("places", "pointwise")), ("pointwise",), compiled=True),
    Room(
        tuple(f"engines.compiled.{name}" for name in ("functions", "kernel", "layout", "products", "vectors")),
        ("engines",),
        compiled=True,
    ),
    Room(("tables.points",), ("compression",)),
    Room(("tables.points_kernels",), ("compression",), compiled=True),
)
"""The modules that are mutated, and the tests that judge them: files `tests/test_NAME.py`."""


@dataclass(frozen=True)
class Request:
    """A request for mutants of `ROOMS`: `modules` of them alone; else as of `fxsim.mutation.run.Request`."""

    modules: tuple[str, ...] = ()
    count: int = 1500
    seed: int = 1
    only: tuple[str, ...] = ()
    others: bool = True
    jobs: int = 1
    fresh: bool = False


class _Base(msgspec.Struct, frozen=True):
    """The unmutated run of a stage: processor seconds, and those of each test."""

    seconds: float
    tests: dict[str, float]


class _Domain(msgspec.Struct, frozen=True):
    """The results of a function over its domain: for how many arguments, and their hash; none where it did not end."""

    count: int
    digest: str


class _Stage(NamedTuple):
    """Files of tests, and which of them by marker."""

    name: str
    files: tuple[str, ...]
    marked: str


@cache
def find_root() -> Path:
    """The clone that the tests are in; FxsimError where this installation has none. ToolError where pytest is not."""
    root = benches.testbenches_dir().parent
    if not (root / "tests").is_dir():
        raise FxsimError(f"{root / 'tests'} is missing: tests, which judge mutants, are in a clone of fxsim alone")
    if missing := [name for name in ("pytest", "hypothesis") if find_spec(name) is None]:
        raise ToolError(f"'{missing[0]}' is missing, which runs the tests: the extra 'test' has it")
    return root


def file_of(module: str) -> str:
    """A module's file in the package."""
    path = module.replace(".", "/")
    return f"{path}/__init__.py" if (PACKAGE / path).is_dir() else f"{path}.py"


class Candidates:
    """All mutants of some modules, and how many were left out, by reason."""

    def __init__(self, request: Request) -> None:
        known = {module: room for room in ROOMS for module in room.modules}
        for name in request.modules:
            if name not in known:
                raise FxsimError(f"no mutants are made of module '{name}', expected of: {', '.join(sorted(known))}")
        self.rooms = {module: known[module] for module in request.modules or known}
        self.texts = {module: (PACKAGE / file_of(module)).read_text(encoding="utf-8") for module in self.rooms}
        self.mutants: list[Mutant] = []
        self.left_out: dict[str, int] = {}
        for module, text in self.texts.items():
            found = make_mutants(text, file_of(module), module)
            self.mutants += found.mutants
            for reason, count in found.left_out.items():
                self.left_out[reason] = self.left_out.get(reason, 0) + count

    def draw(self, request: Request) -> list[Mutant]:
        """The mutants of a request, from each module and kind in turn; FxsimError for an id that there is not."""
        return choose(self.mutants, request.count, request.seed, request.only)


def files_of_tests(names: Sequence[str]) -> list[Path]:
    """Files of tests, by name, and all of the clone and of fxsim that these can import, or are set up by."""
    root = find_root()
    tests = [root / "tests" / f"{name}.py" for name in ("conftest", *(f"test_{name}" for name in names))]
    found = imported(tests, {"fxsim": PACKAGE, "tests": root / "tests"})
    return [*found, root / "conftest.py", root / "pyproject.toml"]


def _hash_tests(names: Sequence[str]) -> str:
    """Hash of all that files of tests, by name, can import or are set up by."""
    files = files_of_tests(names)
    return hash_parts(*(part for path in files for part in (str(path).encode(), path.read_bytes())))


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in _VERSIONS} | {"python": sys.version.split()[0]}


class _Server:
    """The process that runs tests, a child for each request; it and they end with the block that `Judge` is."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path, number: int) -> None:
        self._folder = folder / f"server{number}"
        self._folder.mkdir()
        environment = os.environ | {
            "FXSIM_SEED": benches.seed(), "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1",
            "NUMBA_NUM_THREADS": "2",
        }  # fmt: skip
        command = [sys.executable, "-P", loaded.__file__, str(folder / "bytecode")]
        started = running(
            command, cwd=find_root(), env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self._process = stack.enter_context(started)

    def ask(self, request: dict[str, Any], own_cache: bool, compiled: bool) -> dict[str, Any]:
        """The answer to a request. `own_cache`: with a cache of its own, in which, unless `compiled`, is machine code.

        Nothing that a mutant puts into a cache is ever taken by anybody else.
        """
        work = self._folder / "request"
        work.mkdir()
        try:
            place = cache_dir()
            if own_cache:
                place = work / "cache"
                place.mkdir(mode=0o700)
                if not compiled and (cache_dir() / "numba").is_dir():
                    shutil.copytree(cache_dir() / "numba", place / "numba", ignore=shutil.ignore_patterns("*.lock"))
            every = request | {
                "root": str(find_root()), "cache": str(place), "temporary": str(work / "tests"),
                "answer": str(work / "answer.json"),
            }  # fmt: skip
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            try:
                self._process.stdin.write(json.dumps(every) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            except OSError:
                line = ""
            if not line:
                raise FxsimError(f"the process that runs the tests ended with {self._process.wait()}")
            answer: dict[str, Any] = json.loads(line)
            if answer["state"] == "failed":
                raise FxsimError(f"the tests were not run: {answer['words'].strip().splitlines()[-1]}")
            return answer
        finally:
            shutil.rmtree(work, ignore_errors=True)


class Judge:
    """Judges mutants; what the tests take without one is measured once for each room."""

    def __init__(self, candidates: Candidates, request: Request) -> None:
        self.candidates = candidates
        self.request = request
        self.stop = Stop()
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()
        self._bases: dict[tuple[Room, str], _Base] = {}
        self._tests: dict[tuple[bool, _Stage], dict[str, object]] = {}
        self._free: SimpleQueue[_Server] = SimpleQueue()

    def __enter__(self) -> "Judge":
        folder = self._stack.enter_context(temporary.folder("python"))
        for number in range(self.request.jobs):
            self._free.put(_Server(self._stack, folder, number))
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End whatever runs."""
        self._stack.close()

    @contextlib.contextmanager
    def _server(self) -> Iterator[_Server]:
        server = self._free.get()
        try:
            yield server
        finally:
            self._free.put(server)

    def judge(self, mutant: Mutant) -> record.Judged:
        """The verdict on a mutant."""
        text = self.candidates.texts[mutant.module]
        room = self.candidates.rooms[mutant.module]
        mutated = mutant.apply(text)
        for stage in self._stages(room):
            found = self._run(room, stage, mutant, mutated)
            if found.state != benches.PASSED:
                return record.row_of(mutant, text, found, stage.name)
        equal = self._equal(room, mutant, text, mutated)
        if equal:
            return record.row_of(mutant, text, Run(record.EQUIVALENT, how=equal), "")
        return record.row_of(mutant, text, Run(record.SURVIVED), "")

    def _stages(self, room: Room) -> list[_Stage]:
        stages = [_Stage(record.MODULE_TEST, room.own, _FIRST)]
        if self.request.others:
            stages.append(_Stage(record.OTHER_TEST, (*room.own, *room.others), _THEN))
        return stages

    def _rests_on(self, room: Room, stage: _Stage) -> dict[str, object]:
        key = room.compiled, stage
        if key not in self._tests:
            self._tests[key] = {
                "tests": _hash_tests(stage.files), "versions": _versions(), "seed": benches.seed(), "stage": stage,
                "compiled": room.compiled, "sets": _instruction_sets(),
            }  # fmt: skip
        return self._tests[key]

    def base(self, room: Room, stage: _Stage) -> _Base:
        """The run of a stage without a mutant. FxsimError where a test fails then."""

        def measure() -> _Base:
            answer = self._ask(room, stage, None, "", {}, 3600.0)
            if answer["state"] != loaded.PASSED:
                raise FxsimError(f"without a mutant, {answer.get('test') or stage.files} fails: {answer['words']}")
            if not answer["spent"]:
                raise FxsimError(f"there is no test that judges {', '.join(room.modules)}")
            return _Base(answer["seconds"], answer["spent"])

        with self._lock:
            key = room, stage.name
            if key not in self._bases:
                rests_on = self._rests_on(room, stage)
                self._bases[key] = kept(
                    "python tests", rests_on, _Base, measure, self.request.fresh, self._unchanged(room, stage)
                )
            return self._bases[key]

    def _run(self, room: Room, stage: _Stage, mutant: Mutant, mutated: str) -> Run:
        base = self.base(room, stage)

        def run() -> Run:
            limit = benches.limit_of(base.seconds)
            found = self._ask(room, stage, mutant, mutated, base.tests, limit)
            test = str(found.get("test", "")).rpartition("/")[2]
            return Run(found["state"], test, found.get("how", ""), found.get("words", ""))

        rests_on = self._rests_on(room, stage) | {"file": mutant.file, "mutated": mutated}
        return kept("python mutant", rests_on, Run, run, self.request.fresh, self._unchanged(room, stage))

    def _unchanged(self, room: Room, stage: _Stage) -> Callable[[], bool]:
        """Whether all that a stage's results rest on is what it was when this began."""
        return lambda: _hash_tests(stage.files) == self._rests_on(room, stage)["tests"]

    def _ask(
        self, room: Room, stage: _Stage | None, mutant: Mutant | None, mutated: str, seconds: dict[str, float],
        limit: float, domain: str = "",
    ) -> dict[str, Any]:  # fmt: skip
        request = {
            "module": "" if mutant is None else f"fxsim.{mutant.module}",
            "path": "" if mutant is None else str(PACKAGE / mutant.file),
            "text": mutated,
            "files": [] if stage is None else [f"test_{name}.py" for name in stage.files],
            "marked": "" if stage is None else stage.marked,
            "seconds": seconds, "limit": limit, "domain": domain,
        }  # fmt: skip
        with self._server() as server:
            self.stop.check()
            # What is compiled is compiled anew, so that its time without a mutant is what it takes with one.
            own_cache = mutant is not None or room.compiled
            return server.ask(request, own_cache, room.compiled)

    def _equal(self, room: Room, mutant: Mutant, text: str, mutated: str) -> str:
        """The method by which a mutant is shown to be the original; empty where it is not."""
        name = f"{mutant.module}:{function_at(text, mutant.start)}"
        if name not in domains.DOMAINS:
            return ""
        files = imported([Path(domains.__file__)], {"fxsim": PACKAGE})
        read = hash_parts(*(part for path in files for part in (str(path).encode(), path.read_bytes())))
        rests_on: dict[str, object] = {"files": read, "versions": _versions(), "domain": name}

        def exhaust(own: Mutant | None) -> _Domain:
            answer = self._ask(room, None, own, mutated if own else "", {}, 60.0, name)
            return _Domain(answer.get("count", 0), answer.get("digest", ""))

        sound = kept("python domain", rests_on, _Domain, lambda: exhaust(None), self.request.fresh)
        if not sound.count:
            raise FxsimError(f"without a mutant, {name} is not computed for all of its domain")
        changed = rests_on | {"file": mutant.file, "mutated": mutated}
        found = kept("python domain", changed, _Domain, lambda: exhaust(mutant), self.request.fresh)
        function = name.partition(":")[2]
        return f"the same results of {function} for all its {sound.count:,} arguments" if found == sound else ""


@cache
def _instruction_sets() -> tuple[str, ...]:
    from fxsim.engines.compiled import instruction_sets

    return tuple(kind.name for kind in instruction_sets())


def mutate_python(
    request: Request, *, progress: Progress | None = None, judged: Callable[[record.Judged], None] | None = None
) -> record.Record:
    """Judge the mutants of a request. `judged` is given each row as it comes, in no order.

    FxsimError where a test fails without a mutant, or there is no such module; ToolError where a tool is missing.
    """
    find_root()
    candidates = Candidates(request)
    drawn = candidates.draw(request)
    rows: list[record.Judged] = []
    with Judge(candidates, request) as judge, ThreadPoolExecutor(request.jobs, "fxsim-mutant") as pool:

        def one(mutant: Mutant) -> None:
            with contextlib.suppress(GivenUp):
                judge.stop.check()
                row = judge.judge(mutant)
                rows.append(row)
                if judged is not None:
                    judged(row)
                if progress is not None:
                    progress(len(rows), len(drawn))

        ordered = sorted(drawn, key=lambda mutant: (mutant.file, mutant.start, mutant.becomes))
        waiting = [pool.submit(one, mutant) for mutant in ordered]
        try:
            done, _ = wait(waiting, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            judge.stop.set()
            # What is still asked for ends with who answers it.
            judge.close()
            pool.shutdown(cancel_futures=True)
    texts = (part for module, text in candidates.texts.items() for part in (module.encode(), text.encode()))
    rests_on = {"modules": hash_parts(*texts), "instruction sets": ", ".join(_instruction_sets())} | _versions()
    return record.make_record(
        DESIGN, request.seed, request.count, len(candidates.mutants), rests_on, rows, candidates.left_out
    )
