"""The folder of a least case: model, images, what came and what should, and one command that shows the fault again."""

import shutil
from pathlib import Path

import numpy as np

from fxsim.compare.four_state import FourState
from fxsim.engines import run
from fxsim.errors import ComparisonError, FileError
from fxsim.explain.locate import locate
from fxsim.explain.result import Fault
from fxsim.explain.shrink import Shrunk, explained
from fxsim.formats import load, read_stimulus, save
from fxsim.temporary import beside
from fxsim.traces.kept import GOT, MODEL, STIMULUS, TAPS, Given, least, read_kept
from fxsim.traces.read import read_trace

EXPECTED, README, REPLAY = "expected", "README.md", "replay.sh"


def refuse_existing(folder: Path) -> None:
    """FileError where there is something already: the folder of a case is always new."""
    if folder.exists():
        raise FileError(f"cannot write the folder {folder}: it exists already")


def write_minimal(folder: Path, shrunk: Shrunk, fault: Fault, kept: Path | None = None) -> None:
    """Write a least case into a new folder, whole or not at all, once it shows the same fault as it was written.

    `fault`: as it was found in the whole trace. `kept`: the folder of the co-simulation that the trace is of.
    FileError where it exists or cannot be written, ComparisonError where what was written does not show the fault.
    """
    refuse_existing(folder)
    made = beside(folder)
    try:
        (made / EXPECTED).mkdir(parents=True)
        save(shrunk.model, made / MODEL)
        taps = {
            tap: FourState(v.values.astype(np.int64), v.unknown, v.bits) if isinstance(v, FourState) else v
            for tap, v in shrunk.trace.items()
        }
        Given(shrunk.x, tuple(range(len(shrunk.x))), taps).write(made / GOT)
        for tap, values in run(shrunk.model, shrunk.x, shrunk.model.graph.taps, "reference").items():
            np.save(made / EXPECTED / f"{tap}.npy", least(values.astype(np.int64)))
        (made / README).write_text(_readme(shrunk, fault, kept), encoding="utf-8")
        (made / REPLAY).write_text('#!/bin/sh\ncd "$(dirname "$0")" && exec fxsim diff .\n', encoding="utf-8")
        (made / REPLAY).chmod(0o755)
        _check(made, shrunk.fault)
        made.rename(folder)
    except OSError as error:
        raise FileError(f"cannot write the folder {folder}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _check(folder: Path, fault: Fault) -> None:
    """ComparisonError unless what is in the folder shows the fault."""
    kept = read_kept(folder)
    model = load(kept.model)
    x = read_stimulus(kept.stimulus, model)
    # Looked for in the same way: where two rules at once are a contract's, `diff` calls it by that name.
    located = locate(model, x, read_trace(kept.trace, model, len(x)).arrays)
    found = [explained(located, tap, fault) for tap in located.faulty]
    names = [(other.tap, other.node, other.label, other.exact) for other in found]
    if names != [(fault.tap, fault.node, fault.label, fault.exact)]:
        said = ", ".join(f"{label} at {tap}" for tap, _, label, _ in names) or "nothing"
        raise ComparisonError(f"the least case shows {said} once it is written, expected {fault.label} at {fault.tap}")


def _readme(shrunk: Shrunk, fault: Fault, kept: Path | None) -> str:
    model, least_fault = shrunk.model, shrunk.fault
    read = ", ".join(str(shrunk.part.tensors[name].number) + f" {v.shape[1:]}" for name, v in shrunk.part.given.items())
    lines = [
        f"# {fault.label} at {fault.node}",
        "",
        f"The least case of a fault that `fxsim diff` found: {len(shrunk.x)} of its images, "
        f"{', '.join(node.name for node in shrunk.part.nodes)} of its nodes (reading {read}), "
        f"{least_fault.values_differing} wrong of {least_fault.values} values (of {fault.values_differing:,} of "
        f"{fault.values:,}). With less, the same could no longer be said for sure.",
        "",
        f"- `{MODEL}`: these nodes as a model of their own; `{GOT}/{STIMULUS}`: what the trace has before them",
        f"- `{EXPECTED}`: what the model makes of it",
        f"- `{GOT}/{TAPS}`: "
        + (
            f"what the rule {fault.label} makes, which made all {fault.values:,} values of the trace: weights were "
            "left out, so that the trace itself has no such values"
            if shrunk.part.predicted
            else "what came, values of the trace"
        ),
        f"- `{REPLAY}`, or `fxsim diff .`: both against each other, and why they differ",
        f"- `fxsim compare {MODEL} --input {GOT}/{STIMULUS} --trace {EXPECTED}`: what is expected, by the engine",
        "",
    ]
    if shrunk.gave_up:
        lines += [f"The search ended after {shrunk.tries} tries: something smaller may do.", ""]
    if len(shrunk.part.given) > 1:
        lines += [
            "The images hold the channels of several tensors beside each other; "
            f"the first nodes of {model.name} take them apart.",
            "",
        ]
    if kept is not None:
        lines += [
            "The trace is of RTL, which is built for the whole network: a part of it cannot be put on that. Its own "
            f"failure is repeated by `{REPLAY}` in {kept.resolve().name}.",
            "",
        ]
    return "\n".join(lines)
