"""`fxsim info`: a model's figures, for people or for scripts."""

import dataclasses
from pathlib import Path

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fxsim.cli.console import json_option, plain, print_json
from fxsim.contract import CHANNEL, TOKEN
from fxsim.families import FAMILIES
from fxsim.families.summary import ModelSummary, OperatorSummary, Range, summarise
from fxsim.formats import load, model_sha256

_WIDTH = 100
"""Columns where output is not a terminal."""


def _needed(context: click.Context, parameter: click.Parameter, model: Path | None) -> Path | None:
    if model is None and not context.params.get("engine") and not context.resilient_parsing:
        raise click.MissingParameter(ctx=context, param=parameter)
    return model


def _show_engine(model: Path | None, as_json: bool) -> None:
    # Numba takes half a second to import: only whoever asks for it pays.
    import llvmlite.binding

    from fxsim.engines.compiled import (
        ISA_VARIABLE,
        instruction_set,
        instruction_sets,
        is_pixels,
        prepare,
        products_of,
        sums_of,
    )
    from fxsim.jit import config, numba

    used, able = instruction_set(), [isa.name for isa in instruction_sets()]
    processor = llvmlite.binding.get_host_cpu_name()
    graph = None if model is None else load(model).graph
    if graph is not None:
        # What it does not take, it says by name.
        prepare(graph)
    pixels = graph is not None and is_pixels(graph)
    sums = [] if graph is None or pixels else sums_of(graph, used)
    products = products_of(graph, used) if graph is not None and pixels else []
    if as_json:
        machine = {"instruction_set": used.name, "able": able, "threads": config.NUMBA_NUM_THREADS}
        ways = {"linears": [one._asdict() for one in sums], "products": [one._asdict() for one in products]}
        print_json({**machine, "processor": processor, **ways})
        return
    click.echo(f"instruction set: {used.name} (this CPU can run: {', '.join(able)}; {ISA_VARIABLE} names another)")
    click.echo(f"threads: {config.NUMBA_NUM_THREADS} (NUMBA_NUM_THREADS)")
    click.echo(f"processor: {processor}; numba {numba.__version__}")
    names = [*(one.node for one in sums), *(one.node for one in products)]
    width = max((len(plain(name)) for name in names), default=0)
    for one in products:
        how = f", {one.lookups:,} lookups an image" if one.lookups else ""
        click.echo(f"{plain(one.node):{width}}  {one.form}, {one.together} at once{how}")
    for linear in sums:
        text = "in 32 bits"
        if linear.runs:
            text = (
                f"in 16 bits: {linear.runs:,} runs of {linear.steps / linear.runs:.1f} groups, "
                f"{linear.halved:,} of {linear.groups:,} groups ({linear.halved / linear.groups:.1%}) taken twice"
            )
        click.echo(f"{plain(linear.node):{width}}  sums over {linear.over:8}  {text}")


@click.command()
@click.option(
    "--engine",
    is_flag=True,
    is_eager=True,
    help="Show what the compiled engine uses of this machine and, of a MODEL, how it makes sums of linears and convs.",
)
@click.argument("model", type=click.Path(path_type=Path), required=False, metavar="MODEL", callback=_needed)
@json_option
def command(engine: bool, model: Path | None, as_json: bool) -> None:
    """Show MODEL's dimensions, operators, cost, ranges and proven accumulator widths.

    'acc bits' gives, for each layer that sums, the bits its widest channel needs for any input, proven from the
    weights, and the bits it has. MACs are those of linears and convolutions for one image; multiplications in
    affines count apart. Bytes of an operator that an earlier node has too are 'shared'. MODEL may be left out
    with --engine alone.
    """
    if engine or model is None:
        _show_engine(model, as_json)
        return
    loaded = load(model)
    summary, sha256 = summarise(loaded), model_sha256(loaded)
    if as_json:
        figures = dataclasses.asdict(summary)
        family, network = figures.pop("family"), figures.pop("network")
        # A field for each family: the dimensions in that of the model's own.
        families = {name: network if name == family else None for name in FAMILIES}
        print_json({"file": str(model), "sha256": sha256, **figures, "family": family, **families})
        return
    console = Console(width=None if Console().is_terminal else _WIDTH)
    console.print(_overview(summary, sha256))
    console.print(_operators(summary))


def _overview(summary: ModelSummary, sha256: str) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")

    def row(label: str, text: str) -> None:
        # Text: names from files must not be read as markup.
        table.add_row(Text(plain(label), "bold"), Text(plain(text)))

    row("model", summary.name)
    if (network := summary.network) is not None:
        row("network", network.network_text)
        row("dimensions", network.dimensions_text)
    else:
        row("network", f"graph of {len(summary.operators)} operators")
        row("input", f"{_shape(summary.input_shape)} ({_axes(summary.input_axes)})")
    if summary.other_formats:
        row("numbers", f"input {summary.input_number}; weights and results as listed")
    row("cost", f"{summary.macs:,} MACs an image, and {summary.products:,} multiplications in affines")
    each = f" of {summary.parameter_bytes:,} bytes" if summary.other_formats else " of a byte each"
    row("storage", f"{summary.parameters:,} parameters{each}, and {summary.table_bytes:,} bytes of tables")
    if summary.weights and summary.shifts:
        row("ranges", f"weights {_range(summary.weights)}, shifts {_range(summary.shifts)}")
    for key, value in summary.provenance.items():
        row(key, value)
    row("sha256", sha256)
    return table


def _operators(summary: ModelSummary) -> Table:
    table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    table.add_column("tap", overflow="fold", min_width=20)
    for name in ("operator", "output"):
        table.add_column(name, no_wrap=True)
    for name in ("bytes", "MACs", "weights", "shifts", "acc bits"):
        table.add_column(name, justify="right", no_wrap=True)
    section = ""
    for op in summary.operators:
        # Taps of one part of a block stand indented under its name, to keep lines short.
        parent, _, leaf = op.tap.rpartition(".")
        if parent and parent != section:
            table.add_row(Text(parent, style="bold"))
        section = parent
        table.add_row(
            Text(f"  {leaf}" if parent else leaf),
            Text(_kind(op)),
            _shape(op.shape) + (f" {op.number}" if summary.other_formats else ""),
            _bytes(op),
            f"{op.macs:,}" if op.macs else "",
            _range(op.weights) + (f" {op.weight_number}" if summary.other_formats and op.weight_number else ""),
            _range(op.shifts),
            f"{op.acc_bits_needed} of {op.acc_bits}" if op.acc_bits else "",
        )
    return table


def _bytes(op: OperatorSummary) -> str:
    if op.shares is not None:
        return "shared"
    return f"{op.parameter_bytes + op.table_bytes:,}" if op.parameter_bytes + op.table_bytes else ""


def _kind(op: OperatorSummary) -> str:
    if op.points is not None:
        return f"lut, {op.points} {op.rule}"
    return "linear, tokens" if op.over == "tokens" else op.kind


def _axes(axes: tuple[str, ...]) -> str:
    """An input's axes in words; the channels of tokens are called values."""
    return "tokens x values" if axes == (TOKEN, CHANNEL) else " x ".join(f"{axis}s" for axis in axes)


def _shape(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


def _range(limits: Range | None) -> str:
    return "" if limits is None else f"{limits[0]}..{limits[1]}" if limits[0] != limits[1] else str(limits[0])
