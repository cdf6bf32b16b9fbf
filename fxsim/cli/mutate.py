"""`fxsim mutate`: small faults put into RTL, or into the contract and the engines, and which of them the tests find."""

from pathlib import Path

import click

from fxsim.cli.console import json_option


@click.command()
@click.argument("rtl", type=click.Path(path_type=Path, exists=True, file_okay=False), required=False, metavar="[DIR]")
@click.option("--accel", metavar="NAME", help="One accelerator's modules; by default those of all.")
@click.option("--python", "python", is_flag=True, help="Functions of the contract and the engines, in place of RTL.")
@click.option("--dut", type=click.Path(path_type=Path), metavar="FILE", help="Description of your own RTL, .toml.")
@click.option("--model", type=click.Path(path_type=Path), metavar="FILE", help="With --dut: the model it computes.")
@click.option("--images", type=click.Path(path_type=Path), metavar="FILE", help="With --dut: the images, .npy.")
@click.option("--module", "modules", multiple=True, metavar="NAME", help="This module alone; may be repeated.")
@click.option("--count", type=click.IntRange(1), default=1500, show_default=True, help="Mutants at most.")
@click.option("--seed", type=int, default=1, show_default=True, help="Decides which are drawn.")
@click.option("--id", "only", multiple=True, metavar="ID", help="This mutant alone; may be repeated.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Mutants at once.")
@click.option("--others/--no-others", default=True, help="Run the tests of modules that use a mutated one, too.")
@click.option("--whole", is_flag=True, help="Try survivors by co-simulation and proof of the whole accelerator, too.")
@click.option("--resume", is_flag=True, help="Go on with what was asked for in the folder of -o.")
@click.option("--fresh", is_flag=True, help="Judge anew what is kept of earlier runs.")
@click.option("--list", "listed", is_flag=True, help="List the mutants, and judge none.")
@click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR", help="Write record and summary here.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    rtl: Path | None,
    accel: str | None,
    python: bool,
    dut: Path | None,
    model: Path | None,
    images: Path | None,
    modules: tuple[str, ...],
    count: int,
    seed: int,
    only: tuple[str, ...],
    jobs: int,
    others: bool,
    whole: bool,
    resume: bool,
    fresh: bool,
    listed: bool,
    output: Path | None,
    as_json: bool,
) -> None:
    """Put small faults into the accelerators' Verilog, one at a time, and count those that the tests find.

    With --python into the integer engines' and the contract's own functions, in Python: the tests of their rooms judge.

    DIR: Verilog in place of fxsim's own, of the same modules. Each mutant is one edit of one line. It is `killed` where
    a testbench finds it, its module's first; `equivalent` where it is proved to change nothing, under the parameters of
    its module's cases or for all that a function may be given; `invalid` where it is taken as no program; `timed out`
    where it took too long; and `survived` else. With --dut your own RTL is mutated, and co-simulation with the model
    judges. docs/mutation.md says what a score is, and what it is not.

    Results are kept in the cache by all that they rest on, so that a run again judges only what is new. Exit status 1
    where any mutant survived or timed out, or all were invalid.
    """
    from fxsim.cli.mutate_show import Asked, show, show_list

    if resume and output is None:
        raise click.UsageError("--resume goes on in a folder: give it by -o")
    given = {name for name in ctx.params if ctx.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE}
    named = {"dut": dut, "model": model, "images": images}
    fixed = sorted(given & {"rtl", "accel", "python", "modules", "count", "seed", "only", "others", "whole", *named})
    if resume and fixed:
        raise click.UsageError(f"--resume takes what was asked for from the folder of -o: leave out {', '.join(fixed)}")
    if python and (given & {"rtl", "accel", "whole"} or any(named.values())):
        raise click.UsageError("--python is of fxsim itself: leave out DIR, --accel, --whole, --dut, --model, --images")
    if any(named.values()):
        if not all(named.values()):
            raise click.UsageError("your own RTL is judged by co-simulation: give all of --dut, --model and --images")
        if given & {"rtl", "accel", "others", "whole"}:
            raise click.UsageError("--dut is of your own RTL: leave out DIR and --accel, --others, --whole")
    places = {name: None if path is None else str(path.absolute()) for name, path in (named | {"rtl": rtl}).items()}
    asked = Asked(
        accel=accel,
        modules=modules,
        count=count,
        seed=seed,
        only=only,
        others=others,
        whole=whole,
        python=python,
        **places,
    )
    if listed:
        ctx.exit(show_list(asked, as_json))
    ctx.exit(show(asked, jobs, resume, fresh, output, as_json))
