"""`fxsim prove --schedule all`: what is printed."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fxsim.cli.console import print_json, print_table, progress, say
from fxsim.cli.prove_model import written_text
from fxsim.formats import load, model_sha256
from fxsim.prove.asked import DESIGN
from fxsim.prove.evidence import Evidence
from fxsim.prove.network import Standing
from fxsim.prove.schedule import ModuleProof
from fxsim.prove.schedules import prove_schedules


def show_schedules(
    path: Path,
    device: str,
    settings: Mapping[str, object],
    module: str | None,
    rtl: Path | None,
    output: Path | None,
    fresh: bool,
    as_json: bool,
) -> int:
    """Prove an accelerator's modules under every schedule and show it; the exit status."""
    model = load(path)
    evidence = None if output is None else Evidence()
    begun = time.monotonic()
    with progress("proving schedules") as status:
        proof = prove_schedules(model, device, module, rtl, evidence, status, kept=not fresh, settings=settings)
    seconds = time.monotonic() - begun
    written = None
    if output is not None and evidence is not None:
        evidence.model = model
        written = evidence.write(output)
    if as_json:
        modules = [_record(one) | {"instances": count} for one, count in zip(proof.modules, proof.counts, strict=True)]
        head = {"file": str(path), "sha256": model_sha256(model), "seconds": round(seconds, 2), "evidence": written}
        composed = {"composed": proof.composed} if proof.composed else {}
        parts = composed | {
            "modules": modules,
            "wired": proof.wired,
            "unstated": proof.unstated,
            "standing": proof.standing,
        }
        print_json(head | {"proved": proof.proved} | parts)
        return not proof.proved
    rows: list[tuple[Any, ...]] = []
    for one, count in zip(proof.modules, proof.counts, strict=True):
        parameters = " ".join(f"{name}={value}" for name, value in one.parameters.items())
        rows.append(
            (one.module, parameters, count, len(one.verdicts), _unproved(one) or "proved",
             "cached" if one.cached else f"{one.seconds:.1f}")
        )  # fmt: skip
    print_table("", ("module", "parameters", "instances", "properties", "", "s"), rows)
    refuted = {(one.module, v.name): v.says for one in proof.modules for v in one.verdicts if v.verdict == "refuted"}
    for (name, key), says in refuted.items():
        say(f"refuted: {name}: {key}: {says} (--json has the run)")
    for name, why in proof.unstated.items():
        say(f"unproved: {name}: {why}")
    if proof.wired:
        say(f"streams and instances alone: {', '.join(proof.wired)}")
    if proof.standing is not None:
        say(standing_text(proof.standing))
    # Of a design that is composed the design itself is one of what is proved.
    held = proof.composed and DESIGN not in proof.unstated
    if held:
        say("the design has the instances, connections, parameters and ROM files that the graph asks for")
    good = sum(one.proved for one in proof.modules)
    every = len(proof.modules) + len(proof.unstated) + held
    say(f"{good + held} of {every} proved, {seconds:.1f} s{written_text(written)}")
    return not proof.proved


def standing_text(standing: Standing) -> str:
    """The sentence on whether a whole may stand still."""
    if not standing.proved:
        return f"unproved: that the whole never stands still: {standing.why}"
    return (
        f"the whole never stands still: its {standing.streams} streams, of which one passes a value within "
        f"{standing.cycles} cycles, end an image as they began it, after {standing.transfers:,} values"
    )


def _unproved(one: ModuleProof) -> str:
    """Names of properties that are not proved, those of one verdict and reason together; nothing where all are."""
    names: dict[str, list[str]] = {}
    for v in one.verdicts:
        if v.verdict != "proved":
            names.setdefault(f"{v.verdict}: {v.why}", []).append(v.name)
    return "; ".join(f"{', '.join(alike)} {why}" for why, alike in names.items())


def _record(one: ModuleProof) -> dict[str, Any]:
    verdicts = [
        {
            "name": v.name,
            "says": v.says,
            "verdict": v.verdict,
            "why": v.why,
            "seconds": round(v.seconds, 3),
            "trace": v.trace,
        }
        for v in one.verdicts
    ]
    return {
        "module": one.module,
        "parameters": one.parameters,
        "proved": one.proved,
        "depth": one.depth,
        "assumed": one.assumed,
        "seconds": round(one.seconds, 2),
        "cached": one.cached,
        "verdicts": verdicts,
    }
