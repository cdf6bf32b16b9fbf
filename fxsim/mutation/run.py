"""A run of mutants: drawn by module and kind, judged by testbenches, the whole design and proofs, kept as they come."""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import msgspec

from fxsim import temporary
from fxsim.errors import FxsimError
from fxsim.mutation import benches, equivalence, record
from fxsim.mutation.benches import Case, Run
from fxsim.mutation.children import Stop
from fxsim.mutation.kept import kept
from fxsim.mutation.kinds import PROBE, Mutant, make_mutants, probed
from fxsim.mutation.verilog import Source, nodes, parse
from fxsim.paths import rtl_dir, verilog_files
from fxsim.simulate.sources import hash_parts

COUNT_MAX = 100_000
PROVED = "proved equal by induction"
"""The first words of a proof by Yosys."""

Progress = Callable[[int, int], None]
Whole = Callable[[Mutant, str], Run | None]
"""Judges a mutant by the whole design: given it and its file's text; None where that does not reach it."""


@dataclass(frozen=True)
class Request:
    """A request for mutants of the modules of an accelerator (None: of both), or of a folder of Verilog.

    `modules`: those alone; none given: all. `count`: the most mutants, drawn by `seed` from every module and kind in
    turn. `only`: these mutants by id, whatever else is drawn. `others`: whether the tests of modules that use a
    mutated one are run, too. `fresh`: whether nothing kept is taken.
    """

    accelerator: str | None = None
    modules: tuple[str, ...] = ()
    count: int = 1500
    seed: int = 1
    only: tuple[str, ...] = ()
    others: bool = True
    jobs: int = 1
    fresh: bool = False
    rtl: Path = field(default_factory=rtl_dir)


class _Module(NamedTuple):
    """A module's file: its name relative to the folder, its text, and the modules that it is made of."""

    file: str
    text: str
    parts: tuple[str, ...]


def _sources(request: Request) -> Iterator[tuple[str, str, Source]]:
    """Name, text and tree of every file; where no others' tests are run, of those alone that the modules need."""
    from pyverilog.vparser import ast

    files = verilog_files(request.rtl)
    narrow = bool(request.modules) and not request.others
    named = {path.stem: name for name, path in files.items()}
    waiting = [named[name] for name in request.modules if name in named] if narrow else list(files)
    seen: set[str] = set()
    while waiting:
        file = waiting.pop(0)
        if file in seen:
            continue
        seen.add(file)
        text = files[file].read_text(encoding="utf-8")
        source = parse(text, file)
        yield file, text, source
        if narrow:
            parts = (node.module for node in nodes(source.tree) if isinstance(node, ast.InstanceList))
            waiting += [named[part] for part in parts if part in named]


class Candidates:
    """All mutants of some modules, and the modules around them."""

    def __init__(self, request: Request) -> None:
        from pyverilog.vparser import ast

        if request.accelerator is not None and request.accelerator not in record.FOLDERS:
            raise FxsimError(f"mutants are made of {' and '.join(record.FOLDERS)}, not of '{request.accelerator}'")
        folders = None if request.accelerator is None else record.FOLDERS[request.accelerator]
        self.rtl = request.rtl
        self.modules: dict[str, _Module] = {}
        self.mutants: list[Mutant] = []
        for file, text, source in _sources(request):
            parts = tuple(node.module for node in nodes(source.tree) if isinstance(node, ast.InstanceList))
            own = [node.name for node in nodes(source.tree) if isinstance(node, ast.ModuleDef)]
            self.modules |= dict.fromkeys(own, _Module(file, text, parts))
            if (folders is None or file.split("/")[0] in folders) and set(own) & set(request.modules or own):
                found = make_mutants(text, file, source)
                self.mutants += [mutant for mutant in found if mutant.module in (request.modules or own)]
        for name in request.modules:
            if name not in self.modules:
                raise FxsimError(f"there is no module '{name}' in {request.rtl}")
        if not self.mutants:
            raise FxsimError("there is nothing to mutate")

    def draw(self, request: Request) -> list[Mutant]:
        """The mutants of a request, from each module and kind in turn; FxsimError for an id that there is not."""
        return choose(self.mutants, request.count, request.seed, request.only)

    def above(self, module: str) -> list[str]:
        """Modules that use a module, directly or not, the nearest first."""
        found: list[str] = []
        layer = [module]
        while layer:
            layer = [
                name
                for name, other in sorted(self.modules.items())
                if set(layer) & set(other.parts) and name not in found and name != module
            ]
            found += layer
        return found

    def closure(self, module: str) -> list[str]:
        """A module and all that it is made of."""
        return equivalence.closure(module, {name: other.parts for name, other in self.modules.items()})

    def texts(self, module: str) -> dict[str, str]:
        """The text of every file that a module needs, by its name relative to the folder."""
        return {self.modules[name].file: self.modules[name].text for name in self.closure(module)}


def choose(mutants: Sequence[Mutant], count: int, seed: int, only: Sequence[str]) -> list[Mutant]:
    """The mutants named by `only`, or else those drawn; FxsimError for an id that there is not."""
    if not only:
        return draw(mutants, count, seed)
    known = {mutant.id: mutant for mutant in mutants}
    if absent := [name for name in only if name not in known]:
        raise FxsimError(f"there is no mutant {', '.join(absent)}: its line was changed, or it never was one")
    return [known[name] for name in dict.fromkeys(only)]


def draw(mutants: Sequence[Mutant], count: int, seed: int) -> list[Mutant]:
    """So many mutants at most: each stratum (module and kind) in an order by the seed, one of each in turn."""
    if not 1 <= count <= COUNT_MAX:
        raise FxsimError(f"the count of mutants is {count}, expected 1 to {COUNT_MAX}")
    strata: dict[tuple[str, str], list[Mutant]] = {}
    for mutant in mutants:
        strata.setdefault((mutant.module, mutant.kind), []).append(mutant)
    waiting = []
    for key in sorted(strata):
        # By id, so that an edit elsewhere leaves the order as it is.
        ordered = sorted(strata[key], key=lambda mutant: hash_parts(str(seed).encode(), mutant.id.encode()))
        waiting.append(iter(ordered))
    random.Random(seed).shuffle(waiting)  # noqa: S311  # a sample, no secret
    drawn: list[Mutant] = []
    ended = 0
    for stratum in cycle(waiting):
        if len(drawn) == min(count, len(mutants)) or ended == len(waiting):
            return drawn
        following = next(stratum, None)
        ended = ended + 1 if following is None else 0
        if following is not None:
            drawn.append(following)
    return drawn


class _Base(msgspec.Struct, frozen=True):
    """The unmutated run of a case: processor seconds, and what it compiles to."""

    test: str
    seconds: float
    code: str


class _Bench:
    """A module's testbench; its cases are kept when the first of them is to be run."""

    def __init__(self, module: str, judge: "Judge", stack: contextlib.ExitStack) -> None:
        self.module = module
        self.rests_on: dict[str, object] = {
            "bench": benches.hash_bench(module),
            "tools": benches.tool_versions(),
            "seed": benches.seed(),
            "sources": judge.candidates.texts(module),
        }
        self._rtl, self._fresh, self._stop = judge.candidates.rtl, judge.request.fresh, judge.stop
        self._stack = stack
        self._lock = threading.Lock()
        self._cases: list[tuple[Case, _Base]] = []

    @property
    def cases(self) -> list[tuple[Case, _Base]]:
        """Its cases, the cheapest first, each with its unmutated run. FxsimError where one fails without a mutant."""
        with self._lock:
            if not self._cases:
                cases = self._stack.enter_context(benches.recorded(self.module, self._stop))
                bases = kept(
                    "bench", self.rests_on, tuple[_Base, ...], lambda: tuple(map(self._run, cases)), self._fresh
                )
                by_test = {base.test: base for base in bases}
                pairs = ((case, by_test[case.test]) for case in cases)
                self._cases = sorted(pairs, key=lambda pair: pair[1].seconds)
            return self._cases

    def _run(self, case: Case) -> _Base:
        found = benches.run_case(case, self._rtl, stop=self._stop)
        if found.state != benches.PASSED:
            raise FxsimError(f"without a mutant, {case.test} of '{self.module}' ends as {found.state}: {found.words}")
        return _Base(case.test, found.seconds, found.code)


class Judge:
    """Judges mutants of one folder of Verilog; of each bench the cases are kept once."""

    def __init__(self, candidates: Candidates, request: Request, whole: Whole | None = None) -> None:
        self.candidates = candidates
        self.request = request
        self.whole = whole
        self.stop = Stop()
        self._benches: dict[str, _Bench | None] = {}
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()

    def __enter__(self) -> "Judge":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def bench(self, module: str) -> _Bench | None:
        """A module's bench; None where it has none."""
        with self._lock:
            if module not in self._benches:
                has = benches.bench_of(module) is not None
                made = _Bench(module, self, self._stack) if has else None
                self._benches[module] = made
            return self._benches[module]

    def judge(self, mutant: Mutant) -> record.Judged:
        """The verdict on a mutant."""
        text = self.candidates.modules[mutant.module].text
        mutated = mutant.apply(text)
        own = self.bench(mutant.module)
        limited: tuple[str, Run] | None = None
        equal = ""
        if own is not None:
            run = self._by_bench(own, mutant, mutated)
            if run.state != benches.PASSED:
                if run.state != benches.TIMED_OUT:
                    return benches.row_of(mutant, text, run, record.MODULE_TEST)
                limited = limited or (record.MODULE_TEST, run)
            else:
                equal = self._equivalent(own, mutant, mutated)
                if equal.startswith(PROVED):
                    return benches.row_of(mutant, text, Run(record.EQUIVALENT, how=equal), "")
        for module in self.candidates.above(mutant.module) if self.request.others and limited is None else ():
            other = self.bench(module)
            if other is None:
                continue
            run = self._by_bench(other, mutant, mutated)
            if run.state == benches.TIMED_OUT:
                limited = limited or (record.OTHER_TEST, run)
                break
            if run.state != benches.PASSED:
                return benches.row_of(mutant, text, run, record.OTHER_TEST)
        if self.whole is not None and limited is None:
            found = self.whole(mutant, mutated)
            if found is not None and found.state != benches.PASSED:
                return benches.row_of(mutant, text, found, record.WHOLE)
        if limited is not None:
            return benches.row_of(mutant, text, limited[1], limited[0])
        if equal:
            return benches.row_of(mutant, text, Run(record.EQUIVALENT, how=equal), "")
        return benches.row_of(mutant, text, Run(record.SURVIVED), "")

    def _by_bench(self, bench: _Bench, mutant: Mutant, mutated: str) -> Run:
        rests_on = bench.rests_on | {"file": mutant.file, "mutated": mutated}

        def run() -> Run:
            with temporary.folder("mutated") as folder:
                other = folder / Path(mutant.file).name
                other.write_text(mutated, encoding="utf-8")
                limited: Run | None = None
                for case, base in bench.cases:
                    limit = benches.limit_of(base.seconds)
                    found = benches.run_case(case, self.candidates.rtl, other, limit, base.code, self.stop)
                    if found.state == benches.TIMED_OUT:
                        limited = limited or found
                        break
                    if found.state != benches.PASSED:
                        return _plain(found)
                return _plain(limited or Run(benches.PASSED))

        return kept("mutant", rests_on, Run, run, self.request.fresh)

    def _equivalent(self, bench: _Bench, mutant: Mutant, mutated: str) -> str:
        """The method by which a mutant is proved to be the original; empty where it is not."""
        rests_on = bench.rests_on | {"file": mutant.file, "mutated": mutated, "yosys": equivalence.yosys_version()}

        def decide() -> str:
            with temporary.folder("mutated") as folder:
                other = folder / Path(mutant.file).name
                other.write_text(mutated, encoding="utf-8")
                different = []
                for case, base in bench.cases:
                    run = folder / f"run{len(list(folder.iterdir()))}"
                    run.mkdir()
                    for path in case.files.iterdir():
                        if path.is_file():
                            (run / path.name).write_bytes(path.read_bytes())
                    if benches.compile_case(case, self.candidates.rtl, run, other, self.stop) is not None:
                        return ""
                    if benches.compiled_code(run) != base.code:
                        different.append(case)
            same = len(bench.cases) - len(different)
            if not different and not self._elaborates(bench, mutant):
                return ""
            if not different:
                return f"the same code under the parameters of all {same} cases"
            if mutant.kind in equivalence.UNDECIDED_KINDS or not equivalence.yosys_version():
                return ""
            files = {Path(name).name: text for name, text in self.candidates.texts(bench.module).items()}
            proved: dict[tuple[tuple[str, object], ...], bool] = {}
            for case in different:
                key = tuple(sorted(case.parameters.items()))
                if key not in proved:
                    proved[key] = equivalence.prove_equal(case, files, Path(mutant.file).name, mutated, self.stop)
                if not proved[key]:
                    return ""
            also = f", the same code under {same}" if same else ""
            return f"{PROVED} under the parameters of {len(different)} cases{also}"

        return kept("equivalence", rests_on, str, decide, self.request.fresh)

    def _elaborates(self, bench: _Bench, mutant: Mutant) -> bool:
        """Whether a case of a bench elaborates a mutant's place: what none does has the same code whatever it says."""
        text = probed(self.candidates.modules[mutant.module].text, mutant)
        if text is None:
            return False
        with temporary.folder("probed") as folder:
            other = folder / Path(mutant.file).name
            other.write_text(text, encoding="utf-8")
            run = folder / "run"
            run.mkdir()
            return any(
                PROBE in (benches.compile_case(case, self.candidates.rtl, run, other, self.stop) or "")
                for case, _ in bench.cases
            )


def _plain(run: Run) -> Run:
    """A run without what differs from one to the next."""
    return Run(run.state, run.test, run.how, run.words)


def mutate(
    request: Request, *, progress: Progress | None = None, whole: Whole | None = None,
    judged: Callable[[record.Judged], None] | None = None,
) -> record.Record:  # fmt: skip
    """Judge the mutants of a request. `judged` is given each row as it comes, in no order.

    FxsimError where a testbench fails without a mutant, where there is no such module, or a tool is missing.
    """
    benches.tool_versions()
    candidates = Candidates(request)
    drawn = candidates.draw(request)
    rows: list[record.Judged] = []
    with Judge(candidates, request, whole) as judge, ThreadPoolExecutor(request.jobs, "fxsim-mutant") as pool:
        # By module, so that the benches of one are kept before those of the next.
        ordered = sorted(drawn, key=lambda mutant: (mutant.file, mutant.start, mutant.becomes))

        def one(mutant: Mutant) -> None:
            judge.stop.check()
            row = judge.judge(mutant)
            rows.append(row)
            if judged is not None:
                judged(row)
            if progress is not None:
                progress(len(rows), len(drawn))

        waiting = [pool.submit(one, mutant) for mutant in ordered]
        try:
            done, _ = wait(waiting, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            judge.stop.set()
            pool.shutdown(cancel_futures=True)
    return record.make_record(
        request.accelerator or ", ".join(record.FOLDERS), request.seed, request.count, len(candidates.mutants),
        _rests_on(candidates), rows,
    )  # fmt: skip


def _rests_on(candidates: Candidates) -> dict[str, str]:
    parts = (part for module in candidates.modules.values() for part in (module.file.encode(), module.text.encode()))
    return {"rtl": hash_parts(*parts)} | benches.tool_versions() | {"yosys": equivalence.yosys_version()}
