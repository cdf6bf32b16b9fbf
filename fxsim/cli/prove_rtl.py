"""`fxsim prove` of an accelerator's RTL: what is printed, and what evidence is written."""

from pathlib import Path
from typing import Any

import click

from fxsim.cli.console import counted, print_json, print_table, progress, say
from fxsim.cli.prove_model import written_text
from fxsim.cosim.replay import replay_command
from fxsim.formats import load
from fxsim.prove.blocks import PROVED
from fxsim.prove.evidence import MODEL, SHOWN, Evidence
from fxsim.prove.run import Proof, ProofRequest, ProofResult, Refutation, prove

_FINDINGS_SHOWN = 3
_WITNESS_SHOWN = 4


def show_rtl(
    path: Path,
    device: str,
    settings: dict[str, object],
    module: str | None,
    rtl: Path | None,
    schedule: str,
    images: int,
    output: Path | None,
    fresh: bool,
    as_json: bool,
) -> int:
    """Prove an accelerator's RTL, or a module's, for a model and show it; the exit status."""
    model = load(path)
    evidence = None if output is None else Evidence()
    request = ProofRequest(model, device, settings, module, rtl, schedule, images, kept=not fresh)
    with progress("values") as report:
        found = prove(request, progress=lambda _, done, of: report(done, of), evidence=evidence)
    written = None
    if output is not None and evidence is not None:
        evidence.model = model
        written = evidence.write(output)
    if as_json:
        print_json(found)
    else:
        for proof in found.proofs:
            _print(proof)
        for block in found.blocks:
            shown = ", ".join(f"{name} = {value}" for name, value in block.witness.items())
            where = f", '{block.wrong}'" if block.wrong else ""
            say(f"{block.name}: {block.status}{where}, {block.seconds:.1f} s{f': where {shown}' if shown else ''}")
        _print_sum(found, written)
    if output is not None and evidence is not None and evidence.shown is not None:
        replay = replay_command(evidence.shown, output / MODEL, output / SHOWN, rtl)
        click.echo(f"fxsim: replay: {replay}", err=True)
    elif output is None and any(proof.refutation is not None and proof.refutation.images for proof in found.proofs):
        click.echo("fxsim: -o DIR keeps the least images, and gives the command that simulates them", err=True)
    return found.status != PROVED


def _print(proof: Proof) -> None:
    seconds = sum(proof.seconds.values())
    say(
        f"{proof.name}: {proof.status}: {proof.proved:,} of {proof.values:,} values in {proof.cycles:,} cycles, "
        f"schedule {proof.schedule}, {'cached, proved in ' if proof.cached else ''}{seconds:.1f} s"
    )
    if proof.proved < proof.values:
        rows: list[tuple[Any, ...]] = [
            (tap.stream, tap.values, tap.values - tap.proved) for tap in proof.taps if tap.proved < tap.values
        ]
        print_table("Not proved", ("tap or port", "values", "not proved"), rows)
    for finding in proof.findings[:_FINDINGS_SHOWN]:
        token = "" if finding.token is None else f"token {finding.token}, "
        say(f"  {finding.tap}, {token}channel {finding.channel}, cycle {finding.cycle}: {finding.text}")
        if finding.witness:
            shown = [f"{name} = {value}" for name, value in list(finding.witness.items())[:_WITNESS_SHOWN]]
            say(f"    where {', '.join(shown)}{', ...' if len(finding.witness) > _WITNESS_SHOWN else ''}")
    if proof.stopped:
        say(f"  {proof.stopped}")
    if proof.refutation is not None:
        say(f"  shown by {proof.refutation.shown_by}")
        _print_least(proof.refutation)
    say(f"  beside it: {proof.simulated}")


def _print_least(shown: Refutation) -> None:
    if not shown.images:
        return
    values = [f"{name} = {value}" for name, value in list(shown.witness.items())[:_WITNESS_SHOWN]]
    more = ", ..." if len(shown.witness) > _WITNESS_SHOWN else ""
    before = f"the last of {shown.images} images" if shown.images > 1 else "one image"
    least = "" if shown.least else " (perhaps fewer would do)"
    count = counted(len(shown.witness), "value")
    say(f"  least: {before}, {count} not 0{least}{': ' * bool(values)}{', '.join(values)}{more}")
    say(f"  cause: {shown.label}{f' at {shown.node}' if shown.node else ''}")


def _print_sum(result: ProofResult, written: str | None) -> None:
    states = [proof.status for proof in result.proofs] + [block.status for block in result.blocks]
    count = states.count(PROVED)
    say(f"{result.status}: {count} of {counted(len(states), 'design')} proved{written_text(written)}")
