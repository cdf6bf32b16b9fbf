"""`fxsim prove`: what holds for all inputs, proved, and the evidence of it checked again."""

from pathlib import Path

import click

from fxsim.cli.console import json_option


@click.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option("--engine", is_flag=True, help="Prove the compiled engine's tables, sums and thresholds.")
@click.option("--widths", is_flag=True, help="Prove how many bits accumulators and memory words need for any image.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Write the evidence here.")
@click.option("--recheck", type=click.Path(path_type=Path), metavar="DIR", help="Check written evidence again.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    model: Path | None,
    engine: bool,
    widths: bool,
    output: Path | None,
    recheck: Path | None,
    as_json: bool,
) -> None:
    """Prove what holds of MODEL for all inputs, with bitwuzla; write and check evidence.

    --engine: the compiled engine computes what the contract says, wherever that is a finite question. --widths: which
    accumulators and memory words may be narrower without changing any value of any image. Evidence is the questions in
    SMT-LIB with what else is claimed, by hash; --recheck asks z3 the same questions and computes the rest another way.
    Exit status 1 where anything is not proved.
    """
    from fxsim.cli.prove_model import show_engine, show_recheck, show_widths

    if recheck is not None:
        if model is not None or output is not None or engine or widths:
            raise click.UsageError("--recheck takes a folder of evidence alone: the model is in it")
        ctx.exit(show_recheck(recheck, as_json))
    if model is None:
        raise click.UsageError("Missing argument 'MODEL'.")
    if engine + widths != 1:
        raise click.UsageError("give one of --engine and --widths")
    ctx.exit(show_engine(model, output, as_json) if engine else show_widths(model, output, as_json))
