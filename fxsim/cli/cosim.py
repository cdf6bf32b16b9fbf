"""`fxsim cosim`: the RTL against the model, every tap compared while it runs."""

from pathlib import Path

import click
from click.core import ParameterSource

from fxsim.cli.console import (
    json_option,
    model_argument,
    print_json,
    print_table,
    progress,
    refuse_overwriting,
    say,
    split_taps,
)
from fxsim.compare import place, sentence
from fxsim.cosim import PATTERNS, Accelerator, CosimResult, LayerFigures, SimdFigures, cosim
from fxsim.cosim.four_state import FourStateResult
from fxsim.cosim.four_state import four_state as run_four_state
from fxsim.cosim.replay import keep as keep_folder
from fxsim.cosim.replay import refuse_existing, replay_command
from fxsim.devices.simd.device import READ_LATENCY
from fxsim.devices.simd.layout import RESULT
from fxsim.devices.stream.layout import OUTPUT
from fxsim.engines import Engine
from fxsim.formats import load, read_stimulus

_EXAMPLES_SHOWN = 5


class _ImageRange(click.ParamType[tuple[int, int | None]]):
    """START:STOP, either of which may be left out."""

    name = "START:STOP"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int | None]:
        """Start and stop; None for a stop that was left out."""
        start, colon, stop = value.partition(":")
        if not colon or not all(part.isascii() and (part.isdigit() or not part) for part in (start, stop)):
            self.fail(f"{value!r} is not START:STOP", param, ctx)
        return int(start or 0), int(stop) if stop else None


@click.command(
    epilog="\b\nStall patterns, joined with '+':\n" + "\n".join(f"  {name:20}{text}" for name, text in PATTERNS.items())
)
@model_argument
@click.argument("stimulus", metavar="INPUT", type=click.Path(path_type=Path))
@click.option(
    "--accel",
    type=click.Choice([str(accel) for accel in Accelerator]),
    default=str(Accelerator.STREAM),
    show_default=True,
    help="The accelerator to simulate.",
)
@click.option("--taps", default="all", show_default=True, metavar="all|NAME,...", help="Taps to compare, by name.")
@click.option(
    "--stall", default="none", show_default=True, metavar="PATTERN", help="When either side holds back; below."
)
@click.option("--images", type=_ImageRange(), help="Only these images of INPUT, e.g. 3:10, :5 or 7:.")
@click.option(
    "--engine",
    type=click.Choice([str(engine) for engine in Engine]),
    default=str(Engine.AUTO),
    show_default=True,
    help="What computes the expected values.",
)
@click.option("--wave", metavar="FILE.fst", type=click.Path(path_type=Path), help="Write a waveform of every signal.")
@click.option("--wave-from", metavar="IMAGE", type=int, help="Begin the waveform when this image enters.")
@click.option("--four-state", is_flag=True, help="In Icarus Verilog: every value known. For a few images.")
@click.option("--rtl", metavar="DIR", type=click.Path(path_type=Path), help="Verilog to use in place of fxsim's own.")
@click.option("--watchdog", metavar="CYCLES", type=int, help="Give up after so long without any value moving.")
@click.option("--latency", metavar="CYCLES", type=int, help=f"simd: cycles memory takes to answer.  [{READ_LATENCY}]")
@click.option("--batch", metavar="IMAGES", type=int, help="simd: images of a job.  [all]")
@click.option("--keep-parameters", is_flag=True, help="simd: a job reads the parameters once, not for every image.")
@click.option("--keep", metavar="DIR", type=click.Path(path_type=Path), help="Write a folder that can repeat the run.")
@json_option
def command(
    model: Path,
    stimulus: Path,
    accel: str,
    taps: str,
    stall: str,
    images: tuple[int, int | None] | None,
    engine: str,
    wave: Path | None,
    wave_from: int | None,
    four_state: bool,
    rtl: Path | None,
    watchdog: int | None,
    latency: int | None,
    batch: int | None,
    keep_parameters: bool,
    keep: Path | None,
    as_json: bool,
) -> None:
    """Simulate an accelerator computing MODEL on the images in INPUT, and compare every tap with the integer model.

    INPUT is a .npy file, int8 [image, token, value]. The RTL is built with Verilator when it is first needed. A
    difference is reported as image, tap, token, channel, expected, got and cycle; of the first image that has one, at
    the first tap in the order of the data. A design that stops moving is reported with what waits for what. Exit status
    is 0 only where every value was equal and every rule of the streams, or of AXI, kept.

    The accelerator 'stream' is built for the model's dimensions; 'simd' is one for all models, which it reads from
    memory, in jobs of several images.

    With --four-state the simulator is Icarus Verilog, in which a value can be unknown or undriven: one that is, at any
    tap or output, is a difference. It is slow, so that by default only the first images are simulated.
    """
    if four_state:
        _refuse_with_four_state(click.get_current_context())
    if wave is not None:
        refuse_overwriting(wave, (model, stimulus))
    if keep is not None:
        refuse_existing(keep)
    if not (chosen_taps := split_taps(taps)):
        raise click.BadParameter("names no tap", param_hint="'--taps'")
    if wave_from is not None and wave is None:
        raise click.UsageError("--wave-from needs --wave")
    loaded = load(model)
    x = read_stimulus(stimulus, loaded)
    chosen = (images[0], len(x) if images[1] is None else images[1]) if images is not None else None

    def tell(text: str) -> None:
        click.echo(f"fxsim: {text}", err=True)

    if four_state:
        _run_four_state(
            run_four_state(loaded, x, accel=accel, images=chosen, engine=engine, rtl=rtl, status=tell), as_json
        )
        return
    with progress("images") as report:
        result = cosim(
            loaded,
            x,
            accel=accel,
            taps=chosen_taps,
            stall=stall,
            images=chosen,
            engine=engine,
            wave=wave,
            wave_from=wave_from,
            rtl=rtl,
            watchdog=watchdog,
            read_latency=latency,
            batch=batch,
            keep=keep_parameters or None,
            progress=report,
            status=tell,
        )
    if as_json:
        print_json(result)
    else:
        _print(result)
    if not result.passed:
        click.echo(f"fxsim: replay: {replay_command(result, model, stimulus, rtl)}", err=True)
    if keep is not None:
        keep_folder(keep, result, loaded, x, rtl)
    if not result.passed:
        click.get_current_context().exit(1)


def _refuse_with_four_state(context: click.Context) -> None:
    """Refuse what a run in four states would silently ignore."""
    ignored = ("taps", "stall", "wave", "wave_from", "watchdog", "latency", "batch", "keep_parameters", "keep")
    for name in ignored:
        if context.get_parameter_source(name) not in (None, ParameterSource.DEFAULT):
            raise click.UsageError(f"--{name.replace('_', '-')} cannot be had with --four-state")


def _run_four_state(result: FourStateResult, as_json: bool) -> None:
    """Print a result, and end with status 1 unless every value was known and equal."""
    if as_json:
        print_json(result)
    else:
        say(f"{result.model}: {result.images:,} images, accelerator {result.accel}, {result.simulator}")
        for run in result.runs:
            rows = [(tap.tap, tap.compared, tap.differ) for tap in run.taps]
            title = f"both sides hold back in {run.stall} % of {run.cycles:,} cycles" if run.stall else "no stalls"
            print_table(title, ("tap", "compared", "unequal or unknown"), rows)
        if result.passed:
            click.echo("PASSED: every value known and equal")
        else:
            unknown = f"{result.unknown_values:,} values are unknown; " if result.unknown_values else ""
            click.echo(f"FAILED: {unknown}first {result.reason}")
    if not result.passed:
        click.get_current_context().exit(1)


def _print(result: CosimResult) -> None:
    output = OUTPUT if result.simd is None else RESULT
    rows = [
        (name, tap.compared, tap.mismatches, tap.stalled_cycles)
        for name, tap in (*result.taps.items(), (output, result.output))
    ]
    say(f"{result.model}: {result.images:,} images, accelerator {result.accel}, stalls {result.stall}")
    if result.simd is None:
        print_table("", ("tap", "compared", "mismatches", "stalled cycles"), rows)
    else:
        print_table("", ("tap", "compared", "mismatches"), [row[:3] for row in rows])
        _print_layers(result.simd)
    if result.interval_cycles is not None:
        click.echo(f"{result.interval_cycles:,} cycles between images ({_bound(result)})")
    if result.latency_cycles is not None:
        click.echo(f"{result.latency_cycles:,} cycles latency of the first image")
    build = "cached" if result.build_cached else f"{result.build_seconds:.1f} s"
    rate = f"{result.cycles_per_second:,} cycles/s"
    click.echo(f"{result.cycles:,} cycles at {rate}; build {build}, {result.wall_seconds:.1f} s in all")
    if result.resets:
        click.echo(f"{result.resets:,} resets")
    if result.simd is not None:
        _print_jobs(result.simd)
    if result.passed:
        click.echo("PASSED: every value equal")
        return
    _print_failure(result, output)


def _print_layers(simd: SimdFigures) -> None:
    rows = [
        (layer.name, layer.cycles, f"{layer.macs / (256 * layer.cycles):.1%}", _waits(layer)) for layer in simd.layers
    ]
    if rows:
        print_table("first image", ("layer", "cycles", "MACs used", "cycles waiting for"), rows)


def _waits(layer: LayerFigures) -> str:
    waits = {
        "parameters": layer.waits_parameters,
        "image": layer.waits_image,
        "results": layer.waits_results_before,
        "room": layer.waits_room,
    }
    return ", ".join(f"{what} {cycles:,}" for what, cycles in waits.items() if cycles)


def _print_jobs(simd: SimdFigures) -> None:
    jobs = f"{simd.jobs:,} jobs of up to {simd.batch:,} images, memory answers after {simd.read_latency:,} cycles"
    click.echo(f"{jobs}, parameters read {'once a job' if simd.keep else 'for every image'}")
    click.echo(f"{simd.read_beats:,} beats read, {simd.write_beats:,} written, 16 bytes each")
    if simd.errors or simd.stops:
        click.echo(f"{simd.errors:,} errors on the bus, {simd.stops:,} stops")


def _print_failure(result: CosimResult, output: str) -> None:
    first = result.first_mismatch
    if first is not None:
        stream = result.output if first.tap == output else result.taps[first.tap]
        click.echo(f"FAILED: {result.mismatches:,} values differ; first {sentence(first)}")
        for example in [example for example in stream.examples if example != first][:_EXAMPLES_SHOWN]:
            click.echo(f"        then {sentence(example)}")
    for fault in result.faults:
        index = {"token": fault.token, "channel": fault.channel}
        where = place(fault.image, {axis: i for axis, i in index.items() if i is not None})
        detail = f" ({fault.detail})" if fault.detail else ""
        click.echo(f"FAILED: {fault.stream}: {fault.kind}{detail} at {where}, cycle {fault.cycle:,}")
    if result.fault_count > len(result.faults):
        click.echo(f"        and {result.fault_count - len(result.faults):,} faults more")
    if result.shortfall is not None:
        click.echo(f"FAILED: {result.shortfall}")
    if result.stopped is not None:
        click.echo(
            f"FAILED: stopped at cycle {result.stopped.cycle:,} in image {result.stopped.image}, after "
            f"{result.stopped.idle_cycles:,} cycles in which nothing moved: {result.stopped.reason}"
        )
        states = [
            (s.stream, s.tap or s.state, s.image, "" if s.token is None else str(s.token), s.channel)
            for s in result.stopped.streams
        ]
        what = "state" if result.simd is None else "tap"
        print_table("next value of every stream", ("stream", what, "image", "token", "channel"), states)


def _bound(result: CosimResult) -> str:
    bound = f"{result.interval_bound_cycles:,}"
    if result.simd is not None:
        return f"the multipliers need {bound}"
    if result.interval_within_bound is None:
        return f"unhindered: at most {bound}"
    return f"within the bound of {bound}" if result.interval_within_bound else f"MORE THAN THE BOUND of {bound}"
