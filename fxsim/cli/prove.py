"""`fxsim prove`: what holds for all inputs, proved, and the evidence of it checked again."""

from pathlib import Path

import click
from click.core import ParameterSource

from fxsim.cli.console import json_option
from fxsim.devices.registry import DEFAULT, DESCRIBED


@click.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option("--accel", "device", default=DEFAULT, show_default=True, metavar="NAME", help="The accelerator.")
@click.option("--dut", metavar="FILE", type=click.Path(path_type=Path), help="Description of your own RTL, .toml.")
@click.option("--beat", type=int, metavar="VALUES", help="Values of a beat, as of `fxsim cosim`.")
@click.option("--packed", is_flag=True, default=None, help="Two products in a multiplier, as of `fxsim cosim`.")
@click.option("--interval", type=int, metavar="CYCLES", help="Cycles between images, as of `fxsim compose`.")
@click.option("--share-loops", is_flag=True, default=None, help="Modules that steps share, as of `fxsim compose`.")
@click.option("--module", metavar="NAME", help="One of its modules, each different instance of it alone.")
@click.option(
    "--rtl", metavar="DIR", type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Verilog in place of the accelerator's own.",
)  # fmt: skip
@click.option(
    "--schedule", default="none", show_default=True, metavar="PATTERN",
    help="Stalls of both sides: none, random:SEED[:P] in a part P of all cycles, or all: every one, module by module.",
)  # fmt: skip
@click.option(
    "--images", type=click.IntRange(1, 16), default=1, show_default=True, help="Images of the run, one after another."
)
@click.option("--engine", is_flag=True, help="Prove the compiled engine's tables, sums and thresholds.")
@click.option("--widths", is_flag=True, help="Prove how many bits accumulators and memory words need for any image.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Write the evidence here.")
@click.option("--fresh", is_flag=True, help="Prove anew what is kept of earlier proofs of the same RTL.")
@click.option("--recheck", type=click.Path(path_type=Path), metavar="DIR", help="Check written evidence again.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    model: Path | None,
    device: str,
    dut: Path | None,
    beat: int | None,
    packed: bool | None,
    interval: int | None,
    share_loops: bool | None,
    module: str | None,
    rtl: Path | None,
    schedule: str,
    images: int,
    engine: bool,
    widths: bool,
    output: Path | None,
    fresh: bool,
    recheck: Path | None,
    as_json: bool,
) -> None:
    """Prove what holds of MODEL for all inputs, with bitwuzla; write and check evidence.

    By itself: the RTL of the accelerator computes the model at every tap, for every image. Each value of each tap is
    the contract's function of the taps before it, for all values that these can have and whatever registers held at
    power-on, in a run with this schedule. A value that is not is `refuted` where a simulated image shows it, and else
    `unproved`. docs/prove.md says what that is, and what it is not.

    --dut: your own RTL, as its description binds it to the model, at every tap that it shows and at its output.

    --schedule all: every module's output sequence is a function of its input sequence, under any stalls, gaps and
    resets, by induction; what no module proves is wires and streams alone.

    --engine: the compiled engine computes what the contract says, wherever that is a finite question. --widths: which
    accumulators and memory words may be narrower without changing any value of any image. Evidence is the questions in
    SMT-LIB with what else is claimed, by hash; --recheck asks z3 the same questions and computes the rest another way.
    Exit status 1 where anything is not proved.

    What is proved of RTL is kept in the cache by everything that it rests on, and shown as `cached` when it is asked
    for again; --fresh and -o prove it anew.
    """
    from fxsim.cli.prove_model import show_engine, show_recheck, show_widths
    from fxsim.cli.prove_rtl import show_rtl
    from fxsim.cli.prove_schedules import show_schedules

    if dut is not None:
        if device != DESCRIBED and ctx.get_parameter_source("device") is not ParameterSource.DEFAULT:
            raise click.UsageError(f"--dut describes your own RTL: leave out --accel, or --accel {DESCRIBED}")
        if engine or widths:
            raise click.UsageError("--dut is of the RTL: not with --engine and --widths")
        if schedule == "all":
            raise click.UsageError("--schedule all is of fxsim's own modules: with --dut give none or random:SEED")
        device = DESCRIBED
    if (beat is not None or packed) and (engine or widths or recheck is not None or schedule == "all"):
        raise click.UsageError(
            "--beat and --packed are of a run of the RTL: not with --engine, --widths, --recheck, --schedule all"
        )
    if (interval is not None or share_loops) and (engine or widths or recheck is not None):
        raise click.UsageError("--interval and --share-loops are of the RTL: not with --engine, --widths, --recheck")
    if schedule != "none" and (engine or widths or recheck is not None):
        raise click.UsageError("--schedule is of the RTL: not with --engine, --widths, --recheck")
    given = {
        "dut": None if dut is None else str(dut), "beat": beat, "packed": packed, "interval": interval,
        "share_loops": share_loops,
    }  # fmt: skip
    settings: dict[str, object] = {name: value for name, value in given.items() if value is not None}
    if recheck is not None:
        if model is not None or dut is not None or output is not None or engine or widths or fresh:
            raise click.UsageError("--recheck takes a folder of evidence alone: the model is in it")
        ctx.exit(show_recheck(recheck, as_json))
    if model is None:
        raise click.UsageError("Missing argument 'MODEL'.")
    if engine and widths:
        raise click.UsageError("give one of --engine and --widths")
    if engine or widths:
        if module is not None or rtl is not None:
            raise click.UsageError("--module and --rtl are of the RTL: not with --engine and --widths")
        if fresh:
            raise click.UsageError("--fresh is of the RTL: --engine and --widths prove anew each time")
        ctx.exit(show_engine(model, output, as_json) if engine else show_widths(model, output, as_json))
    if schedule == "all":
        ctx.exit(show_schedules(model, device, settings, module, rtl, output, fresh, as_json))
    ctx.exit(show_rtl(model, device, settings, module, rtl, schedule, images, output, fresh, as_json))
