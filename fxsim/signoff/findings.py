"""Findings: what checks found wrong at a place of a source file, which the record keeps and SARIF shows."""

import os
from pathlib import Path
from typing import Literal, NamedTuple

from fxsim.signoff.context import Context
from fxsim.signoff.record import Data


class Rule(NamedTuple):
    """A rule that a finding breaks: a sentence, and what to do about it."""

    short: str
    help: str


RULES = {
    "code-coverage/not-run": Rule(
        "Verilog that no simulation ran and no waiver speaks of.",
        "Add a run that reaches it (a stall pattern, a reset, another model), or waive it: `fxsim waive FILE:LINE`.",
    ),
    "code-coverage/stale-waiver": Rule(
        "A waiver of lines that have changed since.",
        "Look at the lines again: waive them anew with `fxsim waive FILE:LINE`, or take the waiver out.",
    ),
    "code-coverage/unneeded-waiver": Rule(
        "A waiver of what was run.", "Take the waiver out: what it excuses does not happen any more."
    ),
    "code-coverage/unknown-waiver": Rule(
        "A waiver of a file, line or point that the design does not have.",
        "Name what the report has, or take the waiver out.",
    ),
    "contract/width": Rule(
        "A signal or memory is not as wide as the model needs.",
        "Widen it: the message says how many bits the model's proved bounds need.",
    ),
    "contract/sign": Rule(
        "A signal is signed where the model has unsigned values, or the other way round.",
        "Declare it as the model has it: a comparison, a product or a shift to the right reads it differently.",
    ),
    "contract/shape": Rule(
        "A memory has not as many words as the model's tensor.", "Give it the depth that the message says."
    ),
    "contract/unknown": Rule(
        "What the check needs could not be read from the Verilog.",
        "Write it so that it can be evaluated from parameters, or take it out of what the check is asked for.",
    ),
    "mutation/survived": Rule(
        "A small fault at this place is found by no test.",
        "Add a case or a comparison that finds it, or waive the mutant by its id where it is known to do no harm.",
    ),
    "cosim/value-differs": Rule(
        "A tap of the RTL is not the model's.",
        "`fxsim diff` says which rule makes such values; the check's command repeats the simulation.",
    ),
}
"""Rules by id."""


class Finding(Data, frozen=True):
    """Something wrong at a line of a source file.

    `file` is relative to where fxsim ran, or to the plan; empty where no line is known.
    """

    FIELD = "findings"

    rule: str
    message: str
    file: str
    line: int
    column: int | None = None
    level: Literal["error", "warning", "note"] = "error"


def shown_source(context: Context, folder: Path, name: str) -> str:
    """The name of a design's file as findings have it: relative to the current folder, else to the plan's, else short.

    A design that lies in neither is named by its folder and the file.
    """
    path = (folder / name).resolve()
    for start in (Path.cwd(), context.plan.folder):
        if path.is_relative_to(start.resolve()):
            return path.relative_to(start.resolve()).as_posix()
    return os.path.normpath(f"{folder.resolve().name}/{name}")
