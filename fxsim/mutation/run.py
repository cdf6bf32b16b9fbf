"""A run of mutants: drawn by module and kind, judged by testbenches, the whole design and proofs, kept as they come."""

import contextlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from fxsim.errors import FxsimError
from fxsim.mutation import benches, equivalence, lint, record
from fxsim.mutation.benches import Run
from fxsim.mutation.children import Stop
from fxsim.mutation.defaults import is_taken
from fxsim.mutation.judging import PROVED, Bench
from fxsim.mutation.kinds import UNKNOWN, Mutant, make_mutants
from fxsim.mutation.simulator import Simulators
from fxsim.mutation.verilog import Source, nodes, parse
from fxsim.paths import rtl_dir, verilog_files
from fxsim.simulate.sources import hash_parts

COUNT_MAX = 100_000
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
            raise FxsimError(f"mutants are made of {', '.join(record.FOLDERS)}, not of '{request.accelerator}'")
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


class Judge:
    """Judges mutants of one folder of Verilog; of each bench the cases are kept once."""

    def __init__(self, candidates: Candidates, request: Request, whole: Callable[[Stop], Whole] | None = None) -> None:
        self.candidates = candidates
        self.request = request
        self.stop = Stop()
        self.whole = None if whole is None else whole(self.stop)
        self._benches: dict[str, Bench | None] = {}
        self._by: Simulators | None = None
        self._stack = contextlib.ExitStack()
        self._lock = threading.Lock()

    def __enter__(self) -> "Judge":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def bench(self, module: str) -> Bench | None:
        """A module's bench; None where it has none."""
        with self._lock:
            if module not in self._benches:
                made = None
                if benches.bench_of(module) is not None:
                    if self._by is None:
                        self._by = self._stack.enter_context(benches.simulators())
                    made = Bench(
                        module, self.candidates.texts(module), self.candidates.rtl, self._by, self.stop,
                        self.request.fresh, self._stack,
                    )  # fmt: skip
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
            outcome = own.run(mutant, mutated)
            run = outcome.run
            if run.state == benches.PASSED and mutant.kind == UNKNOWN:
                # A simulator takes the other branch where a condition is unknown. It stands for either value, ones too.
                ones = own.run(mutant, replace(mutant, becomes="-1").apply(text)).run
                run = ones if ones.state == benches.KILLED else run
            if run.state == benches.PASSED:
                if (complaint := own.lint(mutant, mutated)) is not None:
                    return record.row_of(mutant, text, complaint, record.LINT)
                equal = own.prove(mutant, mutated, outcome.same)
                if equal.startswith(PROVED):
                    return record.row_of(mutant, text, Run(record.EQUIVALENT, how=equal), "")
                if equal and is_taken(mutant, text, self.candidates.rtl):
                    equal = ""
            elif run.state == benches.TIMED_OUT:
                limited = record.MODULE_TEST, run
            else:
                return record.row_of(mutant, text, run, record.MODULE_TEST)
        for module in self.candidates.above(mutant.module) if self.request.others and limited is None else ():
            other = self.bench(module)
            if other is None:
                continue
            run = other.run(mutant, mutated).run
            if run.state == benches.TIMED_OUT:
                limited = limited or (record.OTHER_TEST, run)
                break
            if run.state != benches.PASSED:
                return record.row_of(mutant, text, run, record.OTHER_TEST)
        if self.whole is not None and limited is None:
            found = self.whole(mutant, mutated)
            if found is not None and found.state != benches.PASSED:
                return record.row_of(mutant, text, found, record.WHOLE)
        if limited is not None:
            return record.row_of(mutant, text, limited[1], limited[0])
        if equal:
            return record.row_of(mutant, text, Run(record.EQUIVALENT, how=equal), "")
        return record.row_of(mutant, text, Run(record.SURVIVED), "")


def judge_all(
    drawn: Sequence[Mutant], judge: Callable[[Mutant], record.Judged], jobs: int, stop: Stop,
    progress: Progress | None = None, judged: Callable[[record.Judged], None] | None = None,
) -> list[record.Judged]:  # fmt: skip
    """The verdicts on mutants, `jobs` at once, in no order; after an error, or an interruption, all of them stop.

    `judged` is given each row as it comes.
    """
    rows: list[record.Judged] = []
    # By module, so that the benches of one are kept before those of the next.
    ordered = sorted(drawn, key=lambda mutant: (mutant.file, mutant.start, mutant.becomes))

    def one(mutant: Mutant) -> None:
        stop.check()
        row = judge(mutant)
        rows.append(row)
        if judged is not None:
            judged(row)
        if progress is not None:
            progress(len(rows), len(drawn))

    with ThreadPoolExecutor(jobs, "fxsim-mutant") as pool:
        waiting = [pool.submit(one, mutant) for mutant in ordered]
        try:
            done, _ = wait(waiting, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)
    return rows


def mutate(
    request: Request, *, progress: Progress | None = None, whole: Callable[[Stop], Whole] | None = None,
    judged: Callable[[record.Judged], None] | None = None,
) -> record.Record:  # fmt: skip
    """Judge the mutants of a request. `judged` is given each row as it comes, in no order.

    `whole`: makes what judges those that no test kills by the whole design; it ends when it is told to stop.

    FxsimError where a testbench fails without a mutant, where there is no such module, or a tool is missing.
    """
    benches.tool_versions()
    candidates = Candidates(request)
    drawn = candidates.draw(request)
    with Judge(candidates, request, whole) as judge:
        rows = judge_all(drawn, judge.judge, request.jobs, judge.stop, progress, judged)
    return record.make_record(
        request.accelerator or ", ".join(record.FOLDERS), request.seed, request.count, len(candidates.mutants),
        _rests_on(candidates), rows,
    )  # fmt: skip


def _rests_on(candidates: Candidates) -> dict[str, str]:
    parts = (part for module in candidates.modules.values() for part in (module.file.encode(), module.text.encode()))
    return (
        {"rtl": hash_parts(*parts)}
        | benches.tool_versions()
        | {"verilator": lint.lint_version(), "yosys": equivalence.yosys_version()}
    )
