"""`fxsim cosim`: the RTL against the model, every tap compared while it runs."""

from collections import Counter
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import click
import msgspec
from click.core import ParameterSource

from fxsim.cli.code_coverage import show_coverage
from fxsim.cli.console import (
    ImageRange,
    counted,
    json_option,
    model_argument,
    print_json,
    print_table,
    progress,
    refuse_overwriting,
    say,
    say_unprobed,
    split_taps,
)
from fxsim.cli.engines import EngineChoice
from fxsim.cli.four_state import print_four_state
from fxsim.cli.nodes import print_nodes
from fxsim.code_coverage import judge, load_waivers
from fxsim.compare import place, sentence
from fxsim.cosim import PATTERNS, CosimRequest, CosimResult, Timing, run_cosim
from fxsim.cosim.four_state import four_state as run_four_state
from fxsim.cosim.nodes import run_nodes
from fxsim.cosim.replay import explain_command, explain_four_state, keep_four_state, refuse_existing, replay_command
from fxsim.cosim.replay import keep as keep_folder
from fxsim.cosim.request import POWER_ON_SEEDS
from fxsim.devices import DEFAULT, DESCRIBED, DEVICES, Device, Option, options_of
from fxsim.engines import Engine
from fxsim.errors import FxsimError
from fxsim.formats import load, read_stimulus
from fxsim.lanes import LANES_MAX, LanesSimulator
from fxsim.progress import begin
from fxsim.simulate.code_coverage import Coverage
from fxsim.simulate.sources import Sources
from fxsim.traces.kept import Given

_EXAMPLES_SHOWN = 5
_FAULTS_SHOWN = 2
"""Faults of one kind on one stream, of as many as there are."""
_DEVICES, _OPTIONS = "fxsim.devices", "fxsim.options"
"""Places in click's context of the devices whose options are known, and of these options."""
_PREFIX = "device_"
"""Prefix of the parameters that settings of devices become: a device may call one as it likes."""
_BROKEN = "not usable"
_UNSAID = (None, ParameterSource.DEFAULT)
"""Sources of a parameter that nobody gave."""


class _AccelName(click.ParamType[str]):
    """The name of an accelerator."""

    name = "NAME"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name, if there is such an accelerator."""
        if value not in DEVICES:
            self.fail(f"{value!r} is not one of {', '.join(map(repr, DEVICES))}.", param, ctx)
        return value


class _Command(click.Command):
    """The command, with the options that the devices bring.

    Those of the project's own devices are always there; those of another package's are where it is named, or where
    help is asked for.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments with the options of every device that matters."""
        ctx.meta[_DEVICES] = _devices_for(args, ctx.help_option_names)
        return super().parse_args(ctx, args)

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """The command's own parameters, then the devices' options."""
        own = super().get_params(ctx)
        devices: dict[str, Device] = ctx.meta.get(_DEVICES) or {name: DEVICES[name] for name in DEVICES.own}
        taken = {word for param in own for word in param.opts}
        ours = ctx.meta.setdefault(_OPTIONS, device_options(devices, taken))
        place = next(i for i, param in enumerate(own) if param.name == "keep_in")
        return [*own[:place], *ours, *own[place:]]

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        """The accelerators and the stall patterns."""
        with formatter.section("Accelerators"):
            formatter.write_dl([(name, _about(name)) for name in DEVICES])
        with formatter.section("Stall patterns, joined with '+'"):
            formatter.write_dl([(name, text + _takers(name)) for name, text in PATTERNS.items()])


def device_options(devices: Mapping[str, Device], taken: set[str]) -> list[click.Option]:
    """Options for the settings of devices. Those that several have in the same way are one option.

    FxsimError where one is called like another thing, or as one of `taken`.
    """
    found: dict[str, tuple[Option, list[str]]] = {}
    for name, device in devices.items():
        for option in options_of(device.settings):
            word = option.setting.option
            first = found.setdefault(word, (option, []))
            if word in taken or (first[0].field, first[0].type) != (option.field, option.type):
                raise FxsimError(f"the accelerator '{name}' has an option {word} for '{option.field}', which is taken")
            first[1].append(name)
    return [_click_option(word, option, names) for word, (option, names) in found.items()]


def _click_option(word: str, option: Option, names: list[str]) -> click.Option:
    setting = option.setting
    default = setting.shown or ("" if option.default is None or option.type is bool else str(option.default))
    text = f"{', '.join(names)}: {setting.help}." + (f"  [{default}]" if default else "")
    if option.type is bool:
        return click.Option([word, _PREFIX + option.field], is_flag=True, default=None, help=text)
    metavar = (setting.unit or option.type.__name__).upper()
    return click.Option([word, _PREFIX + option.field], type=option.type, metavar=metavar, help=text)


def _devices_for(args: list[str], help_words: list[str]) -> dict[str, Device]:
    names = list(DEVICES.own)
    asked = [after for word, after in pairwise(args) if word == "--accel"]
    asked += [word.removeprefix("--accel=") for word in args if word.startswith("--accel=")]
    if set(help_words) & set(args):
        names += [name for name in DEVICES if not _about(name).startswith(_BROKEN)]
    return {name: DEVICES[name] for name in dict.fromkeys([*names, *(name for name in asked if name in DEVICES)])}


def _about(name: str) -> str:
    try:
        return DEVICES[name].about
    except FxsimError as error:
        return f"{_BROKEN}: {error}"


def _takers(pattern: str) -> str:
    """The accelerators that take a pattern, where not all of the project's own do."""
    kind = pattern.partition(":")[0]
    takers = [name for name in DEVICES.own if kind in DEVICES[name].stalls]
    return f" [{', '.join(takers)}]" if takers and len(takers) < len(DEVICES.own) else ""


class _Seeds(click.ParamType[tuple[int, ...]]):
    """Whole numbers, comma-separated."""

    name = "N,..."

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """The numbers; which of them can be seeds, the co-simulation says."""
        parts = value.split(",")
        if not all(part.isascii() and part.isdigit() and len(part) <= 10 for part in parts):
            self.fail(f"{value!r} is not N,N,...", param, ctx)
        return tuple(int(part) for part in parts)


@click.command(cls=_Command)
@model_argument
@click.argument("stimulus", metavar="INPUT", type=click.Path(path_type=Path))
@click.option(
    "--accel",
    type=_AccelName(),
    metavar="NAME",
    default=DEFAULT,
    show_default=True,
    help="The accelerator to simulate; below.",
)
@click.option("--taps", default="all", show_default=True, metavar="all|NAME,...", help="Taps to compare, by name.")
@click.option(
    "--stall", default="none", show_default=True, metavar="PATTERN", help="When either side holds back; below."
)
@click.option("--images", type=ImageRange(), help="Only these images of INPUT, e.g. 3:10, :5 or 7:.")
@click.option(
    "--engine",
    type=EngineChoice(),
    default=str(Engine.AUTO),
    show_default=True,
    help="What computes the expected values.",
)
@click.option("--wave", metavar="FILE.fst", type=click.Path(path_type=Path), help="Write a waveform of every signal.")
@click.option("--wave-from", metavar="IMAGE", type=int, help="Begin the waveform when this image enters.")
@click.option("--four-state", is_flag=True, help="In Icarus Verilog: every value known. For a few images.")
@click.option("--nodes", is_flag=True, help="Each node's module alone, given the model's values before it.")
@click.option(
    "--directed", metavar="DIR", type=click.Path(path_type=Path),
    help="With --nodes: in place of INPUT the stimuli that `fxsim coverage --directed` wrote for each node.",
)  # fmt: skip
@click.option(
    "--jobs",
    type=click.IntRange(1, 1000),
    metavar="N",
    default=1,
    show_default=True,
    help="Simulators that the images are split over, each from power-on.",
)
@click.option(
    "--lanes",
    type=click.IntRange(1, LANES_MAX),
    metavar="N",
    default=1,
    show_default=True,
    help="Images side by side through one control path, many times Verilator's speed.",
)
@click.option("--rtl", metavar="DIR", type=click.Path(path_type=Path), help="Verilog to use in place of fxsim's own.")
@click.option("--watchdog", metavar="CYCLES", type=int, help="Give up after so long without any value moving.")
@click.option(
    "--power-on-seeds",
    type=_Seeds(),
    default=",".join(map(str, POWER_ON_SEEDS)),
    show_default=True,
    help="Seeds of what registers hold at power-on; under all but the first only the first images are run.",
)
@click.option(
    "--code-coverage", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
    help="Write what of the Verilog was run: annotated, as lcov and as UCIS. Several times slower.",
)  # fmt: skip
@click.option("--waivers", metavar="FILE", type=click.Path(path_type=Path), help="Waivers for --code-coverage.")
@click.option(
    "--keep", "keep_in", metavar="DIR", type=click.Path(path_type=Path), help="Write a folder that can repeat the run."
)
@json_option
def command(
    model: Path,
    stimulus: Path,
    accel: str,
    taps: str | None,
    stall: str,
    images: tuple[int, int | None] | None,
    engine: str,
    wave: Path | None,
    wave_from: int | None,
    four_state: bool,
    nodes: bool,
    directed: Path | None,
    jobs: int,
    lanes: int,
    rtl: Path | None,
    watchdog: int | None,
    power_on_seeds: tuple[int, ...],
    code_coverage: Path | None,
    waivers: Path | None,
    keep_in: Path | None,
    as_json: bool,
    **device_settings: int | str | bool | None,
) -> None:
    """Simulate an accelerator computing MODEL on the images in INPUT, and compare every tap with the integer model.

    INPUT is a .npy file, int8 [image, token, value]. The RTL is built with Verilator when it is first needed. A
    difference is reported as image, tap, token, channel, expected, got and cycle; of the first image that has one, at
    the first tap in the order of the data. A design that stops moving is reported with what waits for what. Exit status
    is 0 only where every value was equal and every rule of the streams, or of AXI, kept.

    With --nodes each node's module is simulated alone, given the model's tensor before it and compared with the one
    behind it: of the streaming accelerator, or modules that a description lists.

    With --lanes the design is not Verilator's but one made of its netlist, whose control is computed once for N images
    at a time: for runs of hundreds of images and more. The control of a design must not depend on data.

    With --four-state the simulator is Icarus Verilog, in which a value can be unknown or undriven: one that is, at any
    tap or output, is a difference. It is slow, so that by default only the first images are simulated. Your own RTL
    (--dut) must have streams for that.
    """
    if four_state:
        _refuse_with("--four-state", _NOT_IN_FOUR_STATES)
    if lanes > 1:
        _refuse_with("--lanes", _NOT_IN_LANES)
    if nodes:
        _refuse_with("--nodes", _NOT_OF_NODES)
    elif directed is not None:
        raise click.UsageError("--directed goes with --nodes")
    if wave is not None:
        refuse_overwriting(wave, (model, stimulus))
    if keep_in is not None:
        refuse_existing(keep_in)
    if waivers is not None and code_coverage is None:
        raise click.UsageError("--waivers needs --code-coverage")
    waived = () if waivers is None else load_waivers(waivers)
    if not (chosen_taps := split_taps(taps)):
        raise click.BadParameter("names no tap", param_hint="'--taps'")
    if wave_from is not None and wave is None:
        raise click.UsageError("--wave-from needs --wave")
    settings = {name.removeprefix(_PREFIX): value for name, value in device_settings.items()}
    if settings.get("dut") is not None and accel != DESCRIBED:
        if click.get_current_context().get_parameter_source("accel") not in _UNSAID:
            raise click.UsageError(f"--dut describes your own RTL: leave out --accel, or --accel {DESCRIBED}")
        accel = DESCRIBED
    loaded = load(model)
    x = read_stimulus(stimulus, loaded)
    chosen = (images[0], len(x) if images[1] is None else images[1]) if images is not None else None

    def tell(text: str) -> None:
        say(f"fxsim: {text}", err=True)
        begin(text)

    given: list[Given] = []
    if four_state:
        in_four_states = run_four_state(
            loaded,
            x,
            accel=accel,
            settings=settings,
            images=chosen,
            engine=engine,
            rtl=rtl,
            status=tell,
            given=given.append,
        )
        print_four_state(in_four_states, as_json)
        if keep_in is not None:
            keep_four_state(keep_in, in_four_states, loaded, x, rtl, *given)
        if given:
            click.echo(f"fxsim: explain: {explain_four_state(keep_in, in_four_states, model, stimulus, rtl)}", err=True)
        if not in_four_states.passed:
            click.get_current_context().exit(1)
        return
    request = CosimRequest(
        loaded,
        x,
        device=accel,
        settings=settings,
        taps=chosen_taps,
        stall=stall,
        images=chosen,
        engine=engine,
        wave=wave,
        wave_from=wave_from,
        rtl=rtl,
        power_on_seeds=power_on_seeds,
        watchdog=watchdog,
        jobs=jobs,
    )
    if nodes:
        _run_nodes(request, tell, as_json, directed)
        return
    covered: list[tuple[Coverage, Sources]] = []
    counting = None if code_coverage is None else lambda found, sources: covered.append((found, sources))
    with progress("images") as report:
        simulator = LanesSimulator(lanes) if lanes > 1 else None
        result = run_cosim(
            request, progress=report, status=tell, given=given.append, covered=counting, simulator=simulator
        )
    if as_json:
        print_json(result.flat())
    else:
        _print(result)
    if not result.passed:
        if given:
            click.echo(f"fxsim: explain: {explain_command(keep_in, result, model, stimulus, rtl)}", err=True)
        click.echo(f"fxsim: replay: {replay_command(result, model, stimulus, rtl)}", err=True)
    if keep_in is not None:
        keep_folder(keep_in, result, loaded, x, rtl, *given)
    sound = True
    if code_coverage is not None:
        title = f"Code coverage: {loaded.name}, {accel}, stalls {stall}"
        sound = show_coverage(judge(*covered[0], waived), code_coverage, title, quiet=as_json)
    if not (result.passed and sound):
        click.get_current_context().exit(1)


_NOT_COUNTED = frozenset({"code_coverage", "waivers"})
_NOT_IN_FOUR_STATES = _NOT_COUNTED | {
    "lanes",
    "taps",
    "stall",
    "wave",
    "wave_from",
    "watchdog",
    "power_on_seeds",
    "nodes",
    "directed",
}
_NOT_IN_LANES = _NOT_COUNTED | {"wave", "wave_from", "nodes", "directed"}
_NOT_OF_NODES = _NOT_COUNTED | {"taps", "wave", "wave_from", "keep_in", "four_state"}


def _refuse_with(mode: str, ignored: frozenset[str]) -> None:
    """Refuse what a run of another kind would silently ignore."""
    context = click.get_current_context()
    # What says which design it is, a run of any kind takes.
    options = (option for own in DEVICES.own for option in options_of(DEVICES[own].settings))
    designs = {_PREFIX + option.field for option in options if option.setting.file or option.setting.design}
    for param in context.command.get_params(context):
        name = param.name or ""
        given = context.get_parameter_source(name) not in _UNSAID
        settings = name.startswith(_PREFIX) and name not in designs and mode == "--four-state"
        if given and (name in ignored or settings):
            raise click.UsageError(f"{param.opts[0]} cannot be had with {mode}")


def _run_nodes(request: CosimRequest, tell: Callable[[str], None], as_json: bool, directed: Path | None) -> None:
    """Simulate each node alone, print the table or JSON, and end with status 1 unless all passed."""
    given = None
    if directed is not None:
        from fxsim.coverage import read_directed
        from fxsim.coverage.rtl import given_of

        given = given_of(request.model, read_directed(request.model, directed))
    with progress("nodes") as report:
        result = run_nodes(request, progress=report, status=tell, given=given)
    if as_json:
        print_json({"passed": result.passed} | msgspec.structs.asdict(result))
    else:
        print_nodes(result)
    if not result.passed:
        click.get_current_context().exit(1)


def _print(result: CosimResult) -> None:
    ran, streams, timing, figures = result.provenance, result.streams, result.timing, result.figures
    output = f"{streams.output_tap} at {streams.output_name}" if streams.output_tap else streams.output_name
    rows = [
        (name, tap.compared, tap.mismatches, tap.stalled_cycles)
        for name, tap in (*streams.taps.items(), (output, streams.output))
    ]
    say(f"{ran.model}: {result.verdict.images:,} images, accelerator {ran.accel}, stalls {ran.stall}")
    columns = 4 if DEVICES[ran.accel].handshakes else 3
    titles = ("tap", "compared", "mismatches", "stalled cycles")
    print_table("", titles[:columns], [row[:columns] for row in rows])
    say_unprobed(streams.unprobed, streams.outside)
    for table in () if figures is None else figures.tables():
        print_table(table.title, table.columns, list(table.rows))
    if ran.lanes > 1:
        say(
            f"in {ran.lanes} lanes, images side by side: what is said of cycles is of {ran.lanes} images at a time; "
            f"{result.verdict.images / max(timing.simulation_seconds, 1e-9):,.0f} images/s"
        )
    if ran.parts:
        say(
            f"in {len(ran.parts)} parts, each from power-on: nothing is said of intervals, nor of what the last image "
            "of a part does to the next; the cycle of a difference counts from where its part begins"
        )
    if timing.interval_cycles is not None:
        click.echo(f"{timing.interval_cycles:,} cycles between images{_limit(timing)}")
    if timing.latency_cycles is not None:
        click.echo(f"{timing.latency_cycles:,} cycles latency of the first image")
    build = "cached" if result.build.build_cached else f"{result.build.build_seconds:.1f} s"
    rate = f"{timing.cycles_per_second:,} cycles/s"
    click.echo(f"{timing.cycles:,} cycles at {rate}; build {build}, {timing.wall_seconds:.1f} s in all")
    if timing.resets:
        click.echo(counted(timing.resets, "reset"))
    for line in () if figures is None else figures.lines():
        say(line)
    if result.passed:
        click.echo(f"PASSED: every value {'that was compared ' if streams.unprobed else ''}equal")
        return
    _print_failure(result)


def _print_failure(result: CosimResult) -> None:
    verdict, streams = result.verdict, result.streams
    first = verdict.first_mismatch
    if first is not None:
        stream = streams.output if first.tap == streams.output_name else streams.taps[first.tap]
        click.echo(f"FAILED: {streams.mismatches:,} values differ; first {sentence(first)}")
        for example in [example for example in stream.examples if example != first][:_EXAMPLES_SHOWN]:
            click.echo(f"        then {sentence(example)}")
        if verdict.origins is not None:
            click.echo(f"        {verdict.origins.sentence}")
    shown: Counter[tuple[str, str]] = Counter()
    for fault in verdict.faults:
        shown[fault.stream, fault.kind] += 1
        if shown[fault.stream, fault.kind] > _FAULTS_SHOWN:
            continue
        index = {"token": fault.token, "channel": fault.channel}
        where = place(fault.image, {axis: i for axis, i in index.items() if i is not None})
        detail = f" ({fault.detail})" if fault.detail else ""
        click.echo(f"FAILED: {fault.stream}: {fault.kind}{detail} at {where}, cycle {fault.cycle:,}")
    if left := verdict.fault_count - sum(min(count, _FAULTS_SHOWN) for count in shown.values()):
        click.echo(f"        and {left:,} fault{'' if left == 1 else 's'} more")
    if result.shortfall is not None:
        click.echo(f"FAILED: {result.shortfall}")
    if (stopped := verdict.stopped) is not None:
        click.echo(
            f"FAILED: stopped at cycle {stopped.cycle:,} in image {stopped.image}, after "
            f"{stopped.idle_cycles:,} cycles in which nothing moved: {stopped.reason}"
        )
        states = [
            (s.stream, s.tap or s.state, s.image, "" if s.token is None else str(s.token), s.channel)
            for s in stopped.streams
        ]
        what = "tap" if any(s.tap for s in stopped.streams) else "state"
        print_table("next value of every stream", ("stream", what, "image", "token", "channel"), states)


def _limit(timing: Timing) -> str:
    """The figure to hold the cycles against, in brackets; empty where nothing is known of them."""
    if timing.interval_bound_cycles is None:
        least = timing.interval_least_cycles or 0
        return f" (no design can take fewer than {least:,})" if least > 1 else ""
    bound = f"{timing.interval_bound_cycles:,}"
    if timing.interval_within_bound is None:
        return f" (unhindered: at most {bound})"
    return f" (within the bound of {bound})" if timing.interval_within_bound else f" (MORE THAN THE BOUND of {bound})"
