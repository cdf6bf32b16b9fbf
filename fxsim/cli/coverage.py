"""`fxsim coverage`: which points of the arithmetic were reached, which cannot be, and which are open."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxsim.cli.console import json_option, model_argument, print_json, print_table, progress, refuse_overwriting, say
from fxsim.cli.engines import EngineChoice

if TYPE_CHECKING:
    from fxsim.contract.arithmetic import Integers
    from fxsim.coverage import Coverage
    from fxsim.graph import Model

_RECORD, _PICTURE = "coverage.json", "coverage.svg"
_HOLES = 20


class _Group(click.Group):
    """`fxsim coverage MODEL` is `fxsim coverage measure MODEL`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["measure", *args]
        return super().parse_args(ctx, args)


@click.group("coverage", cls=_Group)
def command() -> None:
    """Measure which points of a model's arithmetic values reach; `fxsim coverage MODEL` measures.

    Points are, by operator and channel: every input of a table, the ends of its segments, ties of both signs, both ends
    of saturation and the values beside them, the proved bounds of accumulators, shifts, weights and sums of 0; of
    networks of few bits thresholds and the values beside them, borders, windows, gates, quotients, orders and classes.
    """


holes_option = click.option(
    "--holes", type=click.IntRange(min=0), default=_HOLES, show_default=True, help="Most lines of open points."
)
output_option = click.option(
    "-o", "--output", metavar="DIR", type=click.Path(path_type=Path), help=f"Write {_RECORD} and {_PICTURE} here."
)


@command.command("measure")
@model_argument
@click.option(
    "--input", "stimulus", metavar="X", type=click.Path(path_type=Path),
    help="Images: .npy, or .npz with an array 'input'.",
)  # fmt: skip
@click.option(
    "--vectors", metavar="DIR", type=click.Path(path_type=Path),
    help="In place of --input: a folder of vectors, at whose taps all expected values are the model's.",
)  # fmt: skip
@click.option("--trace", metavar="T", type=click.Path(path_type=Path), help="Values of X at taps, from another tool.")
@click.option("--map", "map_file", metavar="FILE", type=click.Path(path_type=Path), help="Map of --trace, TOML.")
@click.option("--engine", type=EngineChoice(), default="auto", show_default=True, help="What computes the values.")
@click.option(
    "--accel",
    metavar="NAME",
    help="The values are those of this accelerator's RTL, simulated on X, compared and equal.",
)
@click.option(
    "--dut", metavar="FILE", type=click.Path(path_type=Path), help="The same of your own RTL: its description, TOML."
)
@click.option("--stall", default="none", show_default=True, metavar="PATTERN", help="Stalls of --accel or --dut.")
@click.option("--close", "closing", is_flag=True, help="Solve for each open point, or prove that nothing reaches it.")
@click.option(
    "--directed", metavar="OUT", type=click.Path(path_type=Path), help="The same, and write the stimuli into a folder."
)
@holes_option
@output_option
@json_option
def measure(
    model: Path,
    stimulus: Path | None,
    vectors: Path | None,
    trace: Path | None,
    map_file: Path | None,
    engine: str,
    accel: str | None,
    dut: Path | None,
    stall: str,
    closing: bool,
    directed: Path | None,
    holes: int,
    output: Path | None,
    as_json: bool,
) -> None:
    """Measure the coverage of MODEL by images, by a trace of them, by RTL, or by a folder of vectors.

    Values of a trace count where they were compared with the model and are equal, at nodes whose result and inputs are
    all in the trace; one that differs is an error.

    --close takes each node alone, with any values that its inputs can have over all images: an open point gets a
    stimulus that was solved for and hits it, or the proof that there is none; what is neither stays open. With --accel
    each of its modules is driven with the stimuli alone, too, and all is compared; and resets and stalls are aimed at
    each moment that the accelerator counts. --directed writes the stimuli, for `fxsim cosim --nodes --directed OUT`,
    and those of the first nodes as images.npy.
    """
    from fxsim.cli.images_of import read_images
    from fxsim.cosim import CosimRequest
    from fxsim.coverage import cover_images, cover_trace
    from fxsim.devices import DESCRIBED
    from fxsim.formats import load

    if map_file is not None and trace is None:
        raise click.UsageError("--map is for --trace")
    if dut is not None and accel not in (None, DESCRIBED):
        raise click.UsageError(f"--dut describes your own RTL: leave out --accel, or --accel {DESCRIBED}")
    accel = accel if dut is None else DESCRIBED
    if accel is not None and trace is not None:
        raise click.UsageError("values are of --trace or of --accel or --dut, not of both")
    if accel is None and stall != "none":
        raise click.UsageError("--stall is for --accel and --dut")
    if (stimulus is None) == (vectors is None):
        raise click.UsageError("expected one of --input and --vectors")
    if vectors is not None and (accel, trace) != (None, None):
        raise click.UsageError("--vectors are values themselves: leave out --trace, --accel and --dut")
    _check_output(output, [path for path in (model, stimulus, trace) if path is not None])
    loaded = load(model)
    if vectors is not None:
        name = vectors.name
        found, x = _cover_vectors(loaded, vectors, engine)
    else:
        assert stimulus is not None
        name = stimulus.name
        x = read_images(stimulus, loaded)
    with progress("images") as report:
        settings = {} if dut is None else {"dut": str(dut)}
        request = CosimRequest(loaded, x, accel or "", settings, stall=stall, engine=engine, power_on_seeds=(1,))
        if accel is not None:
            from fxsim.coverage.rtl import cover_rtl

            found, _ = cover_rtl(request, name, report, _tell)
        elif vectors is None and trace is None:
            found = cover_images(loaded, x, name, engine, report)
        elif trace is not None:
            from fxsim.traces import open_trace

            found, _ = cover_trace(loaded, x, open_trace(trace, map_file, loaded, x, None), trace.name, report)
    if closing or directed is not None:
        from fxsim.coverage import close, write_directed

        with progress("nodes") as report:
            found, stimuli = close(loaded, found, engine, report)
        if directed is not None:
            write_directed(loaded, stimuli, directed)
        if accel is not None:
            from fxsim.coverage import merge
            from fxsim.coverage.rtl import aim, drive
            from fxsim.devices import DEVICES

            if dut is None:
                with progress("nodes of the RTL") as report:
                    found = drive(found, stimuli, request, report, _tell)
            if "aim" in DEVICES[accel].stalls:
                with progress("aimed images") as report:
                    found = merge(found, aim(request, progress=report, status=_tell))
    _show(found, loaded, holes, output, as_json)


@command.command("merge")
@click.argument("files", nargs=-1, required=True, metavar="FILE...", type=click.Path(path_type=Path))
@click.option("--model", metavar="MODEL", type=click.Path(path_type=Path), help="To name open points with words.")
@holes_option
@output_option
@json_option
def merge_command(files: tuple[Path, ...], model: Path | None, holes: int, output: Path | None, as_json: bool) -> None:
    """Merge records of one model: a point is covered where it is in any of them. Another model's is refused."""
    from fxsim.coverage import merge, read_coverage
    from fxsim.formats import load

    _check_output(output, files)
    found = read_coverage(files[0])
    for path in files[1:]:
        found = merge(found, read_coverage(path))
    _show(found, None if model is None else load(model), holes, output, as_json)


@command.command("check")
@click.argument("record", metavar="FILE", type=click.Path(path_type=Path))
@model_argument
@click.option("--directed", metavar="DIR", type=click.Path(path_type=Path), help="Stimuli: count again what they hit.")
@json_option
def check_command(record: Path, model: Path, directed: Path | None, as_json: bool) -> None:
    """Check a record against MODEL: its points, every proof in it made another way, and what stimuli hit.

    Exit status 1 where anything does not hold.
    """
    from fxsim.coverage import read_coverage, read_directed
    from fxsim.coverage.again import check_again
    from fxsim.coverage.directed import missing_hits
    from fxsim.formats import load

    loaded = load(model)
    found = read_coverage(record)
    with progress("nodes") as report:
        checked = check_again(found, loaded, report)
    wrong = list(checked.wrong)
    if directed is not None:
        wrong += missing_hits(loaded, found, read_directed(loaded, directed))
    if as_json:
        print_json({"holds": not wrong, "proofs": checked.proofs, "left_out": checked.left_out, "wrong": wrong})
    else:
        for line in wrong:
            say(f"wrong: {line}")
        made = ", ".join(f"{count:,} {name}" for name, count in checked.proofs.items() if count)
        verdict = "does not hold" if wrong else "holds"
        say(f"{verdict}: proofs made again: {made or 'none'}; left out {checked.left_out:,}")
    if wrong:
        raise SystemExit(1)


def _cover_vectors(model: "Model", folder: Path, engine: str) -> "tuple[Coverage, Integers]":
    """The coverage of a folder of vectors, all of which are derived again, and its images."""
    from fxsim.coverage import cover_equal
    from fxsim.errors import ComparisonError
    from fxsim.formats import read_stimulus
    from fxsim.vectors import STIMULUS_FILE, check_vectors, read_manifest

    with progress("vectors") as report:
        checked = check_vectors(folder, model, engine, report)
    if checked.problems:
        first = checked.problems[0]
        raise ComparisonError(f"{folder} covers nothing, since it is not the model: {first.file}: {first.message}")
    x = read_stimulus(folder / STIMULUS_FILE, model)
    taps = {tap.name for tap in read_manifest(folder).taps}
    return cover_equal(model, x, taps, "vectors", folder.name, checked.values), x


def _tell(text: str) -> None:
    say(f"fxsim: {text}", err=True)


def _check_output(output: Path | None, inputs: "list[Path] | tuple[Path, ...]") -> None:
    if output is not None:
        for name in (_RECORD, _PICTURE):
            refuse_overwriting(output / name, inputs)


def _show(found: "Coverage", model: "Model | None", holes: int, output: Path | None, as_json: bool) -> None:
    from fxsim.coverage import by_family, by_node, missing_moments, total, write_coverage
    from fxsim.coverage.holes import list_holes, without_points
    from fxsim.errors import FileError

    if output is not None:
        try:
            output.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FileError(f"cannot write the folder {output}: {error.strerror or error}") from error
        from fxsim.coverage.figure import write_picture

        write_coverage(found, output / _RECORD)
        write_picture(found, output / _PICTURE)
    listed = list_holes(found, model)
    if as_json:
        print_json(
            {
                "model": found.model,
                "model_sha256": found.model_sha256,
                "sources": found.sources,
                "total": total(found),
                "nodes": by_node(found),
                "families": by_family(found),
                "no_points": {node: why for node, _, why in without_points(found)},
                "holes": listed[:holes],
                "not_listed": sum(hole.open for hole in listed[holes:]),
                "moments": found.moments,
                "not_measured": found.not_measured,
            }
        )
        return
    say(f"{found.model}: " + "; ".join(f"{s.kind} {s.name}, {s.images:,} images" for s in found.sources))
    titles = ("node", "points", "covered", "of nodes alone", "in RTL", "unreachable", "open")
    rows = [
        (name, f.points, f.covered, f.directed, f.rtl, f.unreachable, f.open)
        for name, f in (*by_node(found).items(), ("all", total(found)))
    ]
    print_table("", titles, rows)
    for node, kind, why in without_points(found):
        say(f"no points: {node}, {kind}: {why}")
    for hole in listed[:holes]:
        say(hole.text)
    if left := sum(hole.open for hole in listed[holes:]):
        say(f"and {left:,} open points more, in {len(listed) - holes} groups")
    for device, never in missing_moments(found).items():
        there = found.moments[device]
        say(f"moments of '{device}': {len(there) - len(never)} of {len(there)} came")
        for moment in never[:holes]:
            say(f"never came: {moment}")
        if len(never) > holes:
            say(f"and {len(never) - holes} moments more that never came")
    for words in found.not_measured:
        say(f"not measured: {words}")
    if output is not None:
        say(f"{output / _RECORD}: every point; {output / _PICTURE}: the picture")
