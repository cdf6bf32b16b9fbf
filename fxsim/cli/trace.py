"""`fxsim trace match`: a proposal of a map for a trace that another tool wrote."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from fxsim.cli.console import json_option, model_argument, print_json, print_table, refuse_overwriting, say
from fxsim.cli.engines import EngineChoice

if TYPE_CHECKING:
    from fxsim.traces.match import Match


@click.group("trace")
def command() -> None:
    """Traces that other tools wrote: values of a network, from anywhere."""


@command.command("match")
@model_argument
@click.argument("trace", type=click.Path(path_type=Path))
@click.option(
    "--input", "stimulus", required=True, metavar="X", type=click.Path(path_type=Path),
    help="Images of the trace: .npy, or .npz with an array 'input'.",
)  # fmt: skip
@click.option("-o", "--output", metavar="MAP", type=click.Path(path_type=Path), help="Map to write, TOML.")
@click.option("--clock", metavar="NAME", help="Of a wave or table; by default a wave's signal called like one.")
@click.option("--edge", type=click.Choice(["rising", "falling"]), default="rising", show_default=True)
@click.option("--reset", metavar="NAME", help="Of a wave or table: nothing is sampled while it is active.")
@click.option("--active", type=click.Choice(["high", "low"]), default="high", show_default=True, help="Of --reset.")
@click.option("--scope", metavar="NAME", default="", help="Only signals whose names begin so.")
@click.option("--engine", type=EngineChoice(), default="auto", show_default=True)
@json_option
def match_command(
    model: Path,
    trace: Path,
    stimulus: Path,
    output: Path | None,
    clock: str | None,
    edge: Literal["rising", "falling"],
    reset: str | None,
    active: Literal["high", "low"],
    scope: str,
    engine: str,
    as_json: bool,
) -> None:
    """Propose which signal, array, column or file of TRACE is which tap of MODEL, and say how sure that is.

    What has as many values as a tap is compared with the model in every order of axes and lanes, signed and unsigned,
    with every signal of its scope as valid and ready. A proposal is sure where every value looked at is equal, as no
    other tap and in no other order. The map holds what is sure or likely; `fxsim compare --map` takes it. Exit status
    is 1 where nothing could be proposed.
    """
    from fxsim.cli.images_of import read_images
    from fxsim.formats import atomic_write, load
    from fxsim.traces import map_text
    from fxsim.traces.candidates import Sampling
    from fxsim.traces.match import match

    if output is not None:
        refuse_overwriting(output, (model, stimulus, trace))
    loaded = load(model)
    x = read_images(stimulus, loaded)
    found = match(loaded, x, trace, sampling=Sampling(clock, edge, reset, active), scope=scope, engine=engine)
    content = found.content()
    if as_json:
        print_json(found)
    else:
        _print(found, trace)
    if content is None:
        say(f"fxsim: error: {trace}: nothing in it could be told to be a tap of model '{loaded.name}'", err=True)
        raise SystemExit(1)
    if output is not None:
        with atomic_write(output) as file:
            file.write_text(map_text(content, _heading(found, trace)))
        say(f"{output}: map of {len(content.tap)} taps", err=as_json)


def _print(found: "Match", trace: Path) -> None:
    rows = [
        (p.tap, p.signal, str(p.sure), f"{p.agreement:.2%}", f"{p.chance:.2%}", f"{p.next_best:.2%}")
        for p in found.proposals
    ]
    if rows:
        titles = ("tap", "signal", "sure", "equal", "by chance", "next best")
        print_table(f"{trace}: {found.signals:,} signals, {found.images:,} images looked at", titles, rows)
    for p in found.proposals:
        if p.sure == "ambiguous":
            say(f"ambiguous: {p.tap}: {p.signal} agrees in {p.agreement:.2%}; {p.rival or 'chance'} about as well")
    if found.unmatched_taps:
        say(f"nothing has as many values as {len(found.unmatched_taps)} taps: {', '.join(found.unmatched_taps[:8])}")


def _heading(found: "Match", trace: Path) -> str:
    lines = [f"Proposed by `fxsim trace match` for {trace.name!a}, on {found.images:,} images."]
    lines += [f"{p.tap}: {p.sure}, {p.agreement:.2%} of {p.looked_at:,} values equal" for p in found.proposals]
    return "\n".join(lines)
