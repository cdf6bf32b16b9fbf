"""`fxsim prove` of a model alone, and its evidence: what is printed."""

import dataclasses
import time
from pathlib import Path
from typing import Any

from fxsim.cli.console import print_json, print_table, progress, say
from fxsim.formats import load, model_sha256
from fxsim.graph import Model
from fxsim.prove.evidence import Evidence


def show_engine(path: Path, output: Path | None, as_json: bool) -> int:
    """Prove the compiled engine for a model and show it; the exit status."""
    from fxsim.prove.engine import prove_engine

    model, evidence = load(path), Evidence()
    begun = time.monotonic()
    with progress("proving the engine") as status:
        proof = prove_engine(model, evidence=evidence, status=status)
    seconds = time.monotonic() - begun
    written = _write(model, evidence, output)
    if as_json:
        print_json(_head(path, model, seconds, written) | {"proved": proof.proved} | dataclasses.asdict(proof))
        return not proof.proved
    rows: list[tuple[Any, ...]] = [
        (row.node, row.what, row.cases, row.wrong or "proved", row.skipped) for row in proof.nodes
    ]
    print_table(f"the compiled engine, {proof.isa}", ("node", "for all", "cases", "", "left out"), rows)
    for line in proof.not_proved:
        say(f"not proved: {line}")
    wrong = sum(1 for row in proof.nodes if row.wrong)
    say(f"{len(proof.nodes) - wrong} of {len(proof.nodes)} proved, {seconds:.1f} s{written_text(written)}")
    return not proof.proved


def show_widths(path: Path, output: Path | None, as_json: bool) -> int:
    """Prove the widths that a model needs and show them; the exit status."""
    from fxsim.prove.widths import widths

    model, evidence = load(path), Evidence()
    begun = time.monotonic()
    with progress("proving widths") as status:
        found = widths(model, evidence=evidence, status=status)
    seconds = time.monotonic() - begun
    written = _write(model, evidence, output)
    if as_json:
        print_json(_head(path, model, seconds, written) | {"proved": found.decided} | dataclasses.asdict(found))
        return not found.decided
    accumulators: list[tuple[Any, ...]] = [
        (
            row.node,
            row.stated,
            row.needed,
            f"{row.low:,} .. {row.high:,}",
            row.saved,
            ("by an image" if row.reached else "within the bounds") if row.decided else "not proved",
        )
        for row in found.accumulators
    ]
    print_table(
        "accumulators", ("node", "bits", "needed", "sums", "saves (bits)", "one bit less is refuted"), accumulators
    )
    words: list[tuple[Any, ...]] = [
        (row.node, row.tensor, row.words, row.unused, row.stated, row.needed, row.saved) for row in found.words
    ]
    print_table("words of memories", ("node", "tensor", "words", "unused", "bits", "needed", "saves (bits)"), words)
    taps: list[tuple[Any, ...]] = [
        (
            row.tap,
            f"{min(row.low)} .. {max(row.high)}",
            f"{row.values:,} of {256 * len(row.low):,}",
            "exact" if row.exact else "bound",
        )
        for row in found.taps
    ]
    print_table("values over all images", ("tap", "range", "values of channels", ""), taps)
    registers, memory = sum(row.saved for row in found.accumulators), sum(row.saved for row in found.words)
    decided = "" if found.decided else "; not everything was proved"
    saved = f"saves {registers:,} bits of accumulators, {memory:,} bits of memories"
    say(f"{saved}, {seconds:.1f} s{decided}{written_text(written)}")
    return not found.decided


def show_recheck(folder: Path, as_json: bool) -> int:
    """Check evidence again and show what became of it; the exit status."""
    from fxsim.prove.again import AGAIN
    from fxsim.prove.evidence import recheck

    with progress("asking z3") as status:
        result = recheck(folder, AGAIN, status)
    if as_json:
        print_json({"folder": str(folder), "holds": not result.wrong} | dataclasses.asdict(result))
        return bool(result.wrong)
    for line in result.wrong:
        say(f"wrong: {line}")
    say(f"{result.questions:,} questions asked of z3, parts computed again: {', '.join(result.parts)}")
    say(f"{'does not hold' if result.wrong else 'holds'}: evidence {result.sha256}")
    return bool(result.wrong)


def _head(path: Path, model: Model, seconds: float, written: str | None) -> dict[str, Any]:
    return {"file": str(path), "sha256": model_sha256(model), "seconds": round(seconds, 2), "evidence": written}


def _write(model: Model, evidence: Evidence, output: Path | None) -> str | None:
    """Write evidence if it is asked for; the record's SHA-256."""
    if output is None:
        return None
    evidence.model = model
    return evidence.write(output)


def written_text(written: str | None) -> str:
    """The end of a line that says what evidence was written."""
    return "" if written is None else f"; evidence {written}"
