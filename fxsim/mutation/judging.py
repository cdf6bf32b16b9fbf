"""A testbench as the judge of mutants: its cases, kept once, run up to the first failure; and proofs for a mutant."""

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import msgspec

from fxsim import temporary
from fxsim.errors import FxsimError
from fxsim.mutation import benches, equivalence, lint
from fxsim.mutation.benches import Case, Run
from fxsim.mutation.children import Stop
from fxsim.mutation.kept import kept
from fxsim.mutation.kinds import PROBE, Mutant, probed
from fxsim.mutation.simulator import Simulators
from fxsim.simulate.sources import hash_parts

PROVED = "proved equal by induction"
"""The first words of a proof by Yosys."""


class Base(msgspec.Struct, frozen=True):
    """The unmutated run of a case: processor seconds, and what it compiles to."""

    test: str
    seconds: float
    code: str


class Outcome(msgspec.Struct, frozen=True):
    """The run of a testbench that decided, and the tests of the cases that compile to the same with the mutant."""

    run: Run
    same: tuple[str, ...] = ()


class Bench:
    """A module's testbench. `sources`: the text of every file that the module needs, by name within the folder `rtl`.

    Its cases are kept when the first of them is to be run.
    """

    def __init__(
        self, module: str, sources: Mapping[str, str], rtl: Path, by: Simulators, stop: Stop, fresh: bool,
        stack: contextlib.ExitStack,
    ) -> None:  # fmt: skip
        self.module = module
        self._sources = sources
        self._files = benches.bench_files(module)
        self._seen = self._stamps()
        self._rests_on: dict[str, object] = {
            "bench": hash_parts(*(p for name, path in self._files.items() for p in (name.encode(), path.read_bytes()))),
            "tools": benches.tool_versions(),
            "seed": benches.seed(),
            "sources": sources,
        }
        self._rtl, self._by, self._fresh, self._stop, self._stack = rtl, by, fresh, stop, stack
        self._lock = threading.Lock()
        self._cases: list[tuple[Case, Base]] = []

    @property
    def cases(self) -> list[tuple[Case, Base]]:
        """Its cases, the cheapest first, each with its unmutated run. FxsimError where one fails without a mutant."""
        with self._lock:
            if not self._cases:
                cases = self._stack.enter_context(benches.recorded(self.module, self._stop))
                bases = kept(
                    "bench", self._rests_on, tuple[Base, ...], lambda: tuple(map(self._sound, cases)), self._fresh,
                    self._unchanged,
                )  # fmt: skip
                by_test = {base.test: base for base in bases}
                pairs = ((case, by_test[case.test]) for case in cases)
                self._cases = sorted(pairs, key=lambda pair: (pair[1].seconds, pair[1].test))
            return self._cases

    def run(self, mutant: Mutant, mutated: str) -> Outcome:
        """The end of the cases with a mutant's text in place of its file: up to the first that does not pass."""

        def run() -> Outcome:
            same = []
            with self._file(mutant, mutated) as other:
                for case, base in self.cases:
                    limit = benches.limit_of(base.seconds)
                    found = benches.run_case(case, self._rtl, self._by, other, limit, base.code, self._stop)
                    if found.state != benches.PASSED:
                        return Outcome(Run(found.state, found.test, found.how, found.words))
                    if found.code == base.code:
                        same.append(case.test)
            return Outcome(Run(benches.PASSED), tuple(same))

        rests_on = self._rests_on | {"file": mutant.file, "mutated": mutated}
        return kept("mutant", rests_on, Outcome, run, self._fresh, self._unchanged)

    def lint(self, mutant: Mutant, mutated: str) -> Run | None:
        """Verilator's complaint about a mutant, as a run that kills it; None where it has none, or is missing.

        Asked under every case's parameters, and the defaults, under which it has nothing to say of the original.
        """
        if not lint.lint_version():
            return None

        def find(texts: Mapping[str, str], every: Iterable[lint.Parameters]) -> Iterator[lint.Complaint]:
            return (lint.complaint(self.module, texts, parameters, self._stop) for parameters in every)

        def clean() -> tuple[int, ...]:
            return tuple(k for k, found in enumerate(find(self._sources, asked)) if not found.name)

        def judge() -> Run:
            texts = {**self._sources, mutant.file: mutated}
            first = next((found for found in find(texts, (asked[k] for k in silent)) if found.name), None)
            return Run(benches.PASSED) if first is None else Run(benches.KILLED, "lint", first.name, first.words)

        asked = lint.distinct([*(case.parameters for case, _ in self.cases), {}])
        rests_on = {"sources": self._sources, "asked": asked, "verilator": lint.lint_version()}
        silent = kept("lint", rests_on, tuple[int, ...], clean, self._fresh)
        found = kept("lint", rests_on | {"file": mutant.file, "mutated": mutated}, Run, judge, self._fresh)
        return found if found.state == benches.KILLED else None

    def prove(self, mutant: Mutant, mutated: str, same: tuple[str, ...]) -> str:
        """The method by which a mutant, whose cases all pass, is proved to be the original; empty where it is not.

        `same`: the tests of the cases that compile to the same with it.
        """
        rests_on = self._rests_on | {"file": mutant.file, "mutated": mutated, "yosys": equivalence.yosys_version()}

        def decide() -> str:
            different = [case for case, _ in self.cases if case.test not in same]
            if not different:
                words = f"the same code under the parameters of all {len(same)} cases"
                return words if self._elaborates(mutant) else ""
            if mutant.kind in equivalence.UNDECIDED_KINDS or not equivalence.yosys_version():
                return ""
            files = {Path(name).name: text for name, text in self._sources.items()}
            tried = set()
            for case in different:
                parameters = tuple(sorted(case.parameters.items()))
                if parameters not in tried and not equivalence.prove_equal(
                    case, files, Path(mutant.file).name, mutated, self._stop
                ):
                    return ""
                tried.add(parameters)
            also = f", the same code under {len(same)}" if same else ""
            return f"{PROVED} under the parameters of {len(different)} cases{also}"

        return kept("equivalence", rests_on, str, decide, self._fresh, self._unchanged)

    def _sound(self, case: Case) -> Base:
        found = benches.run_case(case, self._rtl, self._by, stop=self._stop)
        if found.state != benches.PASSED:
            raise FxsimError(f"without a mutant, {case.test} of '{self.module}' ends as {found.state}: {found.words}")
        return Base(case.test, found.seconds, found.code)

    @contextlib.contextmanager
    def _file(self, mutant: Mutant, text: str) -> Iterator[Path]:
        """A file of the mutant's name, in a folder of its own."""
        with temporary.folder("mutated") as folder:
            other = folder / Path(mutant.file).name
            other.write_text(text, encoding="utf-8")
            yield other

    def _elaborates(self, mutant: Mutant) -> bool:
        """Whether a case elaborates a mutant's place: what none does has the same code whatever it says."""
        text = probed(self._sources[mutant.file], mutant)
        if text is None:
            return False
        with self._file(mutant, text) as other:
            run = other.parent / "run"
            run.mkdir()
            return any(
                PROBE in (benches.compile_case(case, self._rtl, run, other, self._stop) or "") for case, _ in self.cases
            )

    def _stamps(self) -> list[tuple[int, int]]:
        return [(state.st_mtime_ns, state.st_size) for state in map(Path.stat, self._files.values())]

    def _unchanged(self) -> bool:
        """Whether the testbench's files are those that its hash is of: what an edit under way gave is not kept."""
        try:
            return self._stamps() == self._seen
        except OSError:
            return False
