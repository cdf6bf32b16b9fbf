"""The record of a run of mutants: every mutant with its verdict, and the score by module and by kind."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import msgspec

from fxsim.devices import DESCRIBED, DEVICES
from fxsim.mutation.benches import PASSED, Run
from fxsim.mutation.kinds import Mutant

KILLED, SURVIVED, EQUIVALENT, TIMED_OUT, INVALID = "killed", "survived", "equivalent", "timed out", "invalid"
VERDICTS = (KILLED, SURVIVED, EQUIVALENT, TIMED_OUT, INVALID)
MODULE_TEST, LINT, OTHER_TEST, WHOLE = STAGES = "module test", "lint", "other test", "whole"
"""Stages in which a mutant is killed: its own module's tests, lint, tests of modules that use it, the whole design."""
FOLDERS = {name: ("lib", name) for name in DEVICES.own if name != DESCRIBED}
"""Folders of `rtl/` that the modules of an accelerator of the project's own are in, by its name."""


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A mutant and its verdict.

    `was` became `becomes` in `file`, at `line` and `column`, from 1. `stage`, `check`, `how`, `words`: of a mutant that
    was killed, or timed out, what found it and how (difference, unknown value, time limit of the bench, stopped);
    of one that is equivalent `how` is the method; of one that is invalid `words` are the compiler's.
    """

    id: str
    file: str
    module: str
    kind: str
    line: int
    column: int
    was: str
    becomes: str
    verdict: str
    stage: str = ""
    check: str = ""
    how: str = ""
    words: str = ""
    source: str = ""


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of mutants of a module, of a kind, or of all.

    `score` is killed / (mutants - equivalent - invalid), null where there is nothing to kill.
    """

    name: str
    mutants: int
    module_test: int
    lint: int
    other_test: int
    whole: int
    equivalent: int
    survived: int
    timed_out: int
    invalid: int
    score: float | None

    @property
    def killed(self) -> int:
        """Mutants that were killed, in whatever stage."""
        return self.module_test + self.lint + self.other_test + self.whole


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """The record of a run. `candidates`: all mutants that could be made; of them `count` at most were drawn by `seed`.

    `rests_on`: sha256 of the mutated sources and versions of the tools. `left_out`: by reason, how many mutants were
    found to be none before any was drawn; they are not among the candidates.
    """

    design: str
    seed: int
    count: int
    candidates: int
    rests_on: dict[str, str]
    total: Score
    modules: tuple[Score, ...]
    kinds: tuple[Score, ...]
    mutants: tuple[Judged, ...]
    left_out: dict[str, int] = {}


def score_of(name: str, mutants: Iterable[Judged]) -> Score:
    """The counts of some mutants."""
    rows = list(mutants)
    counts = {verdict: sum(row.verdict == verdict for row in rows) for verdict in VERDICTS}
    killed = {stage: sum(row.verdict == KILLED and row.stage == stage for row in rows) for stage in STAGES}
    if sum(killed.values()) != counts[KILLED] or sum(counts.values()) != len(rows):
        raise ValueError("a mutant has a verdict or a stage that is not known")
    base = len(rows) - counts[EQUIVALENT] - counts[INVALID]
    return Score(
        name=name, mutants=len(rows), module_test=killed[MODULE_TEST], lint=killed[LINT],
        other_test=killed[OTHER_TEST], whole=killed[WHOLE], equivalent=counts[EQUIVALENT],
        survived=counts[SURVIVED], timed_out=counts[TIMED_OUT], invalid=counts[INVALID],
        score=round(counts[KILLED] / base, 4) if base else None,
    )  # fmt: skip


def make_record(
    design: str, seed: int, count: int, candidates: int, rests_on: dict[str, str], mutants: Sequence[Judged],
    left_out: Mapping[str, int] = MappingProxyType({}),
) -> Record:  # fmt: skip
    """The record of judged mutants, in the order of file and place."""
    ordered = sorted(mutants, key=lambda row: (row.file, row.line, row.column, row.becomes, row.id))
    return Record(
        design=design,
        seed=seed,
        count=count,
        candidates=candidates,
        rests_on=dict(sorted(rests_on.items())),
        total=score_of("all", ordered),
        modules=tuple(
            score_of(name, [row for row in ordered if row.module == name])
            for name in sorted({row.module for row in ordered})
        ),
        kinds=tuple(
            score_of(name, [row for row in ordered if row.kind == name])
            for name in sorted({row.kind for row in ordered})
        ),
        mutants=tuple(ordered),
        left_out=dict(left_out),
    )


def row_of(mutant: Mutant, text: str, run: Run, stage: str) -> Judged:
    """The row of a record for a mutant of a file's text, from the run that decided, in a stage."""
    return Judged(
        id=mutant.id, file=mutant.file, module=mutant.module, kind=mutant.kind, line=mutant.line,
        column=mutant.column, was=mutant.was, becomes=mutant.becomes,
        verdict=SURVIVED if run.state == PASSED else run.state,
        stage="" if run.state in (PASSED, INVALID) else stage, check=run.test if run.state != PASSED else "",
        how=run.how, words=run.words, source=text.splitlines()[mutant.line - 1].strip(),
    )  # fmt: skip
