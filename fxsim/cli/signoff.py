"""`fxsim signoff`: run a plan, show it check by check, write record and report."""

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec

from fxsim.cli.console import plain, print_json, print_table, refuse_overwriting, say
from fxsim.progress import begin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.status import Status as Spinner

    from fxsim.signoff import CheckRecord, Journal, SignoffRecord
    from fxsim.signoff.plan import Check, Plan, Stage

_COLOURS = {"passed": "green", "failed": "red", "error": "magenta", "skipped": "yellow", "reported": "cyan"}


class _WithInit(click.Command):
    """The command, and `init` in place of a plan's name: a plan of that name is given as ./init."""

    def make_context(self, info_name: str | None, args: list[str], *more: Any, **extra: Any) -> click.Context:
        if args[:1] == ["init"]:
            return init_command.make_context(f"{info_name} init", args[1:], *more, **extra)
        return super().make_context(info_name, args, *more, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@click.command("init")
@click.option("--model", required=True, type=click.Path(path_type=Path), metavar="MODEL", help="The model file.")
@click.option("--dut", type=click.Path(path_type=Path), metavar="FILE", help="The description of your own RTL.")
@click.option("--images", type=click.Path(path_type=Path), metavar="X.npy", help="Images for it, real ones at best.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), default=Path("signoff.toml"), show_default=True,
    metavar="PLAN", help="Where to write the plan.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Replace a plan that is there.")
def init_command(model: Path, dut: Path | None, images: Path | None, output: Path, force: bool) -> None:
    """Write a first sign-off plan for a model, and for your RTL with --dut; it runs at once, and says what to add.

    Without --dut the RTL is that of fxsim's own accelerators, where they take the model.
    """
    from fxsim.errors import FileError
    from fxsim.signoff.proposal import propose_plan

    if output.exists() and not force:
        raise FileError(f"{output} is there already: give another -o, or --force to write over it")
    refuse_overwriting(output, [path for path in (model, dut, images) if path is not None])
    propose_plan(output, model, dut, images)
    say(f"written: {output}; run it: fxsim signoff {output} -o reports/")


@click.command("signoff", cls=_WithInit)
@click.argument("plan", required=False, type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Folder for signoff.json, signoff.html and failures/.  [default: reports/; with --only, nothing is written]",
)  # fmt: skip
@click.option(
    "--jobs",
    type=click.IntRange(1, 1000),
    metavar="N",
    help="Checks that run at once.  [default: FXSIM_JOBS, or one a core]",
)
@click.option(
    "--cluster",
    "cluster_at",
    metavar="ADDRESS",
    help="Run checks on the workers of a Dask cluster: tcp://HOST:PORT, tls://HOST:PORT, a scheduler file, or local:N.",
)
@click.option(
    "--stage",
    type=click.Choice(("V1", "V2", "V3")),
    help="Run the checks up to this stage: V1 at every change, V2 before a release, V3 before tape-out.  [default: V3]",
)
@click.option(
    "--only",
    multiple=True,
    metavar="NAME",
    help="Run this check alone, or those of a pattern such as 'interval-*'; may be given several times.",
)
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="KIND",
    help="Run the checks of this kind alone; may be given several times.",
)
@click.option(
    "--testpoint",
    "testpoints",
    multiple=True,
    metavar="NAME",
    help="Run the checks alone that show this testpoint, or those of a pattern; may be given several times.",
)
@click.option(
    "--failed", is_flag=True, help="Run those alone that did not pass in the last record: in -o's folder, or reports/."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    metavar="S",
    help="What checks' own seeds are made from, with their names.  [default: the plan's]",
)
@click.option("--strict", is_flag=True, help="Pass only where every check passed: none skipped, none only reported.")
@click.option(
    "--junit",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the results as JUnit XML, too, as continuous integration reads them.",
)
@click.option(
    "--sarif",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write what was found at lines of Verilog as SARIF, too, as code review reads it.",
)
@click.option(
    "--markdown",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the record's tables as Markdown, too, as a repository keeps them.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the run into this folder that was ended: what it had the results of is not run again.",
)
@click.option(
    "--history",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where earlier runs are kept, a line each, for the report's trends.  [default: history.jsonl in -o's folder]",
)
@click.option("--no-history", is_flag=True, help="Neither read nor keep earlier runs.")
@click.option(
    "--accept",
    is_flag=True,
    help="Run nothing: accept the cycles of the last record, in -o's folder or reports/: later runs are held to them.",
)
@click.option(
    "--soak",
    type=click.FloatRange(0, 10_000, min_open=True),
    metavar="HOURS",
    help="Run the checks that a seed decides, round after round with the next seed, until so many hours are over.",
)
@click.option("--list", "list_checks", is_flag=True, help="List the plan's checks and stop.")
@click.option("--schema", is_flag=True, help="Print the JSON Schema of records and stop.")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the record (or list) as one JSON object; progress on standard error."
)
def command(
    plan: Path | None,
    output: Path | None,
    jobs: int | None,
    cluster_at: str | None,
    stage: "Stage | None",
    only: tuple[str, ...],
    kinds: tuple[str, ...],
    testpoints: tuple[str, ...],
    failed: bool,
    seed: int | None,
    strict: bool,
    junit: Path | None,
    sarif: Path | None,
    markdown: Path | None,
    resume: bool,
    history: Path | None,
    no_history: bool,
    accept: bool,
    soak: float | None,
    list_checks: bool,
    schema: bool,
    as_json: bool,
) -> None:
    """Run a sign-off plan: models, engines and RTL against each other, with a record and a report of everything found.

    `fxsim signoff init --model MODEL [--dut FILE]` writes a first plan.

    PLAN is a TOML file, by default the project's own, golden/signoff.toml. A check that fails does not stop the others.
    What is skipped is shown with its reason. Ctrl-C writes what is known until then, marked as incomplete. Checks run
    side by side, those that measure time before and alone; results are the same, and in the plan's order.

    Exit status: 0 where something passed and every other check was skipped or only reported something (with --strict:
    where every check passed), else 1; 130 after Ctrl-C.
    """
    from fxsim.formats.atomic import check_target
    from fxsim.machine import count_jobs
    from fxsim.process import finishing
    from fxsim.signoff import RECORD, Status, load_plan, open_journal, prepare_output, read_record, run_plan, write_both
    from fxsim.signoff.accepted import read_accepted
    from fxsim.signoff.carry import resume_command
    from fxsim.signoff.cluster import Cluster
    from fxsim.signoff.files import encode_record
    from fxsim.signoff.history import HISTORY, add_to_history, read_history, runs_before
    from fxsim.signoff.journal import find_seed
    from fxsim.signoff.plan import Choice
    from fxsim.signoff.report.junit import write_junit
    from fxsim.signoff.report.markdown import write_markdown
    from fxsim.signoff.report.sarif import write_sarif

    if schema:
        from fxsim.signoff.schema import record_schema

        print_json(record_schema())
        return
    last = read_record((output or Path("reports")) / RECORD) if failed else None
    folder = output if output is not None or only or kinds or testpoints or failed else Path("reports")
    if resume and folder is None:
        raise click.UsageError("--resume with a choice of checks needs -o: the folder of the run to go on with")
    if cluster_at is not None and jobs is not None:
        raise click.UsageError("--jobs is of this machine, and cannot be had with --cluster")
    if resume and failed:
        raise click.UsageError("--failed cannot be had with --resume, which goes on with what was chosen before")
    if seed is None:
        # Another seed would be another run.
        seed = last.seed if last is not None else find_seed(folder) if resume and folder is not None else None
        stated = seed is None
    else:
        stated = True
    loaded = load_plan(plan, seed)
    if not stated and seed != loaded.stated_seed:
        say(f"the seed is {seed}, as in the run before, not the plan's {loaded.stated_seed}", err=True)
    missed = None if last is None else tuple(check.name for check in last.checks if check.status is not Status.PASSED)
    choice = Choice(only, stage, kinds, testpoints, missed)
    checks = loaded.select(choice)
    if last is not None:
        _tell_of_last(last, loaded)
    if list_checks:
        _list(loaded, checks, as_json)
        return
    if soak is not None:
        if resume or failed or accept or junit is not None or cluster_at is not None or history is not None or as_json:
            raise click.UsageError("--soak goes with a choice of checks, --seed, --jobs, --strict and -o alone")
        _soak(loaded, checks, output or Path("reports"), soak, jobs or count_jobs(), strict)
        return
    if accept:
        _accept(loaded, (output or Path("reports")) / RECORD)
        return
    if history is not None and no_history:
        raise click.UsageError("--history and --no-history exclude one another")
    if folder is not None:
        # First: what else is written may lie in it.
        prepare_output(folder)
    for target in (junit, sarif, markdown):
        if target is not None:
            check_target(target)
    earlier = history if no_history or history is not None or folder is None else folder / HISTORY
    if earlier is not None:
        check_target(earlier)
        # Before the run: what is wrong with it is said in time.
        runs, problems = read_history(earlier)
    accepted = read_accepted(loaded)
    listener = _Listener(len(checks), to_stderr=as_json)
    cluster = None if cluster_at is None else Cluster(cluster_at)
    with nullcontext() if folder is None else open_journal(folder, loaded, resume) as journal, finishing():
        if journal is not None:
            _tell_of(journal, checks)
        with listener, cluster or nullcontext():
            record = run_plan(
                loaded,
                (),
                listener,
                folder,
                jobs or count_jobs(),
                strict=strict,
                journal=journal,
                choice=choice,
                accepted=accepted,
                cluster=cluster,
            )
        resumed = journal is not None and journal.resumed
        if earlier is not None:
            before = runs_before(runs, loaded, record.started) if resumed else runs
            record = msgspec.structs.replace(record, history=before, history_problems=problems)
        if folder is not None:
            write_both(record, folder)
        if earlier is not None:
            add_to_history(earlier, record, resumed)
        if journal is not None:
            journal.close(record.complete)
        if junit is not None:
            write_junit(record, junit, folder)
        if sarif is not None:
            write_sarif(record, sarif)
        if markdown is not None:
            write_markdown(record, markdown)
    if as_json:
        click.echo(encode_record(record), nl=False)
    _conclude(record, folder, to_stderr=as_json)
    if not record.complete:
        if folder is not None:
            say(f"go on with it: {resume_command(loaded, choice, folder, strict)}", err=as_json)
        raise KeyboardInterrupt
    if not record.passed:
        raise SystemExit(1)


def _soak(plan: "Plan", checks: "Sequence[Check]", folder: Path, hours: float, jobs: int, strict: bool) -> None:
    """Run rounds of seeded checks until the time is up, and end as they did."""
    from fxsim.process import finishing
    from fxsim.signoff.soak import SOAK, seeded, soak

    chosen = seeded(plan, checks)
    say(f"soaking: {len(chosen)} checks that a seed decides, from seed {plan.seed} on, for {hours:g} h")
    with finishing():
        record = soak(plan, chosen, folder, hours, jobs, strict, lambda count: _Listener(count, to_stderr=False), say)
    failed = [one for one in record.rounds if not one.passed]
    rounds = f"{len(record.rounds)} rounds, seeds {plan.seed} to {plan.seed + max(0, len(record.rounds) - 1)}"
    say(f"{rounds}: {len(failed)} failed; record {folder / SOAK}")
    if not record.complete:
        raise KeyboardInterrupt
    if not record.passed:
        raise SystemExit(1)


def _accept(plan: "Plan", path: Path) -> None:
    """Accept the figures of a record."""
    from fxsim.signoff import read_record
    from fxsim.signoff.accepted import accept, accepted_path

    count = accept(plan, read_record(path))
    say(f"accepted: {count:,} figures of {path}, in {accepted_path(plan)}, which later runs of this plan are held to")


def _list(plan: "Plan", checks: "Sequence[Check]", as_json: bool) -> None:
    """The list of what would run: each check with its kind, stage, seed and testpoints."""
    if as_json:
        more = [
            msgspec.to_builtins(check) | {"seed": plan.check_seed(check.name), "testpoints": plan.testpoints_of(check)}
            for check in checks
        ]
        print_json({"title": plan.title, "plan": str(plan.path), "checks": more})
        return
    rows = [
        (c.name, c.kind, c.stage, str(plan.check_seed(c.name)), ", ".join(plan.testpoints_of(c)), c.about)
        for c in checks
    ]
    titles = ("check", "kind", "stage", "seed", "testpoints", "passes when")
    print_table(f"{plan.title}: {plan.path}", titles, rows)


def _tell_of_last(last: "SignoffRecord", plan: "Plan") -> None:
    """Say where the last record is not of all of this plan."""
    if last.hashes.get("plan") != plan.sha256:
        say("the last record is of another plan, or of another version of it", err=True)
    elif new := sum(check.name not in {record.name for record in last.checks} for check in plan.checks):
        say(
            f"the last record has nothing of {new} of the plan's {len(plan.checks)} checks, which are left out",
            err=True,
        )


def _tell_of(journal: "Journal", checks: "Sequence[Check]") -> None:
    """Say what is taken of an earlier run, or that it is not."""
    if journal.dropped:
        say("an earlier run into this folder was ended; it is not gone on with, as --resume would", err=True)
    elif journal.taken:
        count = sum(check.name in journal.taken for check in checks)
        say(f"going on with the run begun {journal.started}: {count} of {len(checks)} checks are done", err=True)


def _conclude(record: "SignoffRecord", folder: Path | None, to_stderr: bool) -> None:
    """The last lines: what did not pass, again, and the verdict."""
    from fxsim.signoff import RECORD, REPORT, Status
    from fxsim.signoff.record import REPLAY_SCRIPT
    from fxsim.signoff.report.elements import format_seconds
    from fxsim.signoff.report.page import verdict_word

    for check in record.checks:
        if check.status is Status.REPORTED or (record.strict and check.status is Status.SKIPPED):
            click.echo(err=to_stderr)
            say(f"{check.status}, which is no pass: {check.name}: {check.reason}", err=to_stderr)
        if check.status in (Status.FAILED, Status.ERROR):
            click.echo(err=to_stderr)
            say(f"{check.status}: {check.name}: {check.reason}", err=to_stderr)
            say(f"  again: {check.replay}", err=to_stderr)
            if check.kept is not None and folder is not None:
                say(f"  kept, to repeat anywhere: {folder / check.kept / REPLAY_SCRIPT}", err=to_stderr)
    counts = ", ".join(f"{record.count(status)} {status}" for status in Status if record.count(status))
    chosen = "" if len(record.checks) == record.checks_in_plan else f" of the plan's {record.checks_in_plan}"
    up_to = f" up to stage {record.stage}" if record.stage else ""
    strictly = ", strict" if record.strict else ""
    word = click.style(verdict_word(record).upper(), fg="green" if record.passed else "red", bold=True)
    took = format_seconds(record.seconds)
    click.echo(f"\n{word}: {len(record.checks)} checks{chosen}{up_to}{strictly}: {counts}, in {took}", err=to_stderr)
    _tell_testpoints(record, to_stderr)
    if folder is not None:
        say(f"record {folder / RECORD}, report {folder / REPORT}", err=to_stderr)


def _tell_testpoints(record: "SignoffRecord", to_stderr: bool) -> None:
    """The lines on the testplan: the stage that is reached, and what each stage still lacks."""
    from fxsim.signoff.plan import STAGES

    if not record.testpoints:
        return
    click.echo(err=to_stderr)
    for stage in STAGES:
        points = [point for point in record.testpoints if point.stage == stage]
        if points:
            passed = sum(point.status == "passed" for point in points)
            say(f"stage {stage}: {passed} of {len(points)} testpoints passed", err=to_stderr)
        for point in points:
            # What was not asked for is no news: the count says how many there are.
            if point.status not in ("passed", "not run"):
                rate = f"{point.passed} of {len(point.checks)} checks passed"
                say(f"  {point.status}: {point.name} ({rate}): {point.reason}", err=to_stderr)
    if record.without_testpoint:
        say(
            f"show nothing of the plan, as no testpoint names them: {', '.join(record.without_testpoint)}",
            err=to_stderr,
        )
    say(f"stage reached: {record.stage_reached or 'none'}", err=to_stderr)


class _Listener:
    """A line for each check when it is its turn; on a terminal, what those that run are doing meanwhile."""

    def __init__(self, checks: int, to_stderr: bool) -> None:
        self._checks = checks
        self._done: set[str] = set()
        self._stream = sys.stderr if to_stderr else sys.stdout
        self._spinner: Spinner | None = None
        self._running: dict[str, str] = {}
        self._texts: dict[str, str] = {}

    def __enter__(self) -> None:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.text import Text

            self._spinner = Console(stderr=True).status(Text(""))
            self._spinner.start()

    def __exit__(self, *_: object) -> None:
        if self._spinner is not None:
            self._spinner.stop()

    def _show(self) -> None:
        # Of checks that run side by side, many may be done that are not yet their turn to be told of.
        line = f"[{len(self._done)} of {self._checks} done] " + "; ".join(
            f"{n}: {text}" for n, text in self._running.items()
        )
        if self._spinner is None:
            begin(line)
            return
        from rich.text import Text

        self._spinner.update(Text(line))

    def started(self, check: "Check") -> None:
        self._texts[check.name] = ""
        self._running[check.name] = "running"
        self._show()

    def progress(self, check: "Check", done: int, total: int) -> None:
        self._running[check.name] = f"{self._texts[check.name]} {done} of {total}".strip()
        self._show()

    def status(self, check: "Check", text: str) -> None:
        self._running[check.name] = self._texts[check.name] = text
        self._show()

    def ended(self, check: "Check") -> None:
        self._running.pop(check.name)
        self._done.add(check.name)

    def finished(self, record: "CheckRecord") -> None:
        self._done.add(record.name)
        status = click.style(f"{record.status:<8}", fg=_COLOURS[record.status], bold=True)
        line = f"{status} {record.name:<24} {record.seconds:7.1f} s  {plain(record.reason or record.summary)}"
        # The spinner's line is cleared while another is printed above it.
        with self._pause():
            click.echo(line, file=self._stream)

    def _pause(self) -> AbstractContextManager[object]:
        return nullcontext() if self._spinner is None else _Paused(self._spinner)


class _Paused:
    """Stops a spinner for the length of a block."""

    def __init__(self, spinner: "Spinner") -> None:
        self._spinner = spinner

    def __enter__(self) -> None:
        self._spinner.stop()

    def __exit__(self, *_: object) -> None:
        self._spinner.start()
