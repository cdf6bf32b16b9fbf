"""`fxsim fuzz`: random networks through everything that computes them, and kept failures once more."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxsim.cli.console import print_json, print_table, progress, say

if TYPE_CHECKING:
    from fxsim.fuzz import FuzzResult

RESULT = "fuzz.json"
"""The file of a run's result, in the folder of its kept failures."""

_NAMED_MAX = 5
"""Most features of a group that are named, of those that were never made."""


def _part(_context: click.Context, _option: click.Parameter, text: str) -> tuple[int, int]:
    number, _, of = text.partition("/")
    if not (number.isascii() and number.isdigit() and of.isascii() and of.isdigit() and len(text) < 12):
        raise click.BadParameter(f"'{text}' is no part, expected I/N, as 0/4")
    part = int(number), int(of)
    if not part[0] < part[1] <= 1000:
        raise click.BadParameter(f"'{text}' is no part, expected I/N of 0/N to N-1/N, at most 1000")
    return part


@click.command("fuzz")
@click.option("--count", type=click.IntRange(1, 10**9), metavar="N", help="Networks to draw.  [default: 100]")
@click.option(
    "--hours", type=click.FloatRange(0, 10_000, min_open=True), metavar="H", help="Draw until so many are over."
)
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, metavar="S", help="The seed.")
@click.option("--first", type=click.IntRange(0), default=0, metavar="K", help="The number of the first.  [default: 0]")
@click.option(
    "--part", default="0/1", callback=_part, metavar="I/N", help="Of every N networks the I-th only, from 0 on."
)
@click.option(
    "--engines", metavar="LIST",
    help="What computes them: reference, loops, compiled, c, onnx, files.  [default: all that there are here]",
)  # fmt: skip
@click.option("--jobs", type=click.IntRange(1, 1000), default=1, show_default=True, metavar="N", help="Processes.")
@click.option(
    "--shrink-seconds", type=click.FloatRange(0, 86_400), default=60.0, show_default=True, metavar="T",
    help="Most processor time to make one failure smaller.",
)  # fmt: skip
@click.option("--audit", is_flag=True, help="Fail, too, where a feature of networks was never made.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Keep failures in this folder, each in one of its own, and the result.",
)  # fmt: skip
@click.option(
    "--replay", "case", type=click.Path(path_type=Path, file_okay=False), metavar="DIR",
    help="Run the case that was kept in DIR again, and nothing else.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def command(
    count: int | None,
    hours: float | None,
    seed: int,
    first: int,
    part: tuple[int, int],
    engines: str | None,
    jobs: int,
    shrink_seconds: float,
    audit: bool,
    output: Path | None,
    case: Path | None,
    as_json: bool,
) -> None:
    """Draw random networks of any shape and number format, and compare everything that computes them at every tap.

    Each network is drawn from the seed and its own number. A failure is made as small as the time allows, and kept with
    -o. What was never drawn is named. Exit status: 0 where networks were compared and none failed; 1 otherwise.
    """
    from fxsim.fuzz import TAKER_GROUPS, FuzzRequest, find_takers, run_fuzz
    from fxsim.fuzz.parts import run_parts
    from fxsim.process import finishing

    if count is not None and hours is not None:
        raise click.UsageError("--count and --hours are two ends: give one")
    groups = tuple(TAKER_GROUPS) if engines is None else tuple(engines.split(","))
    takers, absent = find_takers(groups)
    if case is not None:
        _replay(case, groups, as_json)
        return
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
    if jobs > 1:
        if part != (0, 1):
            raise click.UsageError("--part is one process's: give --jobs or --part")
        arguments = ["--seed", str(seed), "--first", str(first), "--shrink-seconds", str(shrink_seconds)]
        arguments += ["--hours", str(hours)] if hours is not None else ["--count", str(count or 100)]
        arguments += ["--engines", engines] if engines is not None else []
        arguments += ["-o", str(output)] if output is not None else []
        result = run_parts(arguments, jobs)
    else:
        request = FuzzRequest(
            count=count or 100,
            seed=seed,
            first=first,
            part=part,
            seconds=None if hours is None else hours * 3600,
            keep=output,
            shrink_seconds=shrink_seconds,
        )
        with progress("random networks") as tell, finishing():
            result = run_fuzz(request, takers, tell)
    if output is not None and part == (0, 1):
        _write(result, output / RESULT)
    if as_json:
        print_json(result)
    else:
        _show(result, absent)
    if not result.complete:
        raise KeyboardInterrupt
    if not result.passed or (audit and any(result.missing.values())):
        raise SystemExit(1)


def _write(result: "FuzzResult", path: Path) -> None:
    import msgspec

    from fxsim.formats import atomic_write

    with atomic_write(path) as file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")


def _show(result: "FuzzResult", absent: dict[str, str]) -> None:
    """Print what came of a run: who took how many, what was never made, and failures."""
    rows = []
    for name, count in result.took.items():
        refused = "; ".join(f"{number}: {reason}" for reason, number in result.refused.get(name, {}).items())
        rows.append((name, count, sum(result.refused.get(name, {}).values()), refused))
    rows += [(name, 0, 0, f"absent: {reason}") for name, reason in absent.items()]
    print_table("", ("engine", "took", "refused", "as it is stated to"), rows)
    audited = [
        (group, len(counts), len(counts) - len(result.missing[group])) for group, counts in result.features.items()
    ]
    print_table("", ("features", "there are", "made"), audited)
    for group, missing in result.missing.items():
        for feature in missing[:_NAMED_MAX]:
            say(f"never made: {group}: {feature}")
        if len(missing) > _NAMED_MAX:
            say(f"never made: {group}: {len(missing) - _NAMED_MAX} more, which the result has (--json)")
    for found in result.failures:
        for failure in found.failures:
            say(f"network {found.number}: {failure.taker} {failure.way}: {failure.message}")
        say(f"  smallest: {found.smallest}")
        say(f"  again: {found.replay}")
    rate = result.models / max(result.cpu_seconds, 1e-3)
    say(f"{result.summary}; {rate:.0f} networks a CPU second")


def _replay(case: Path, groups: tuple[str, ...], as_json: bool) -> None:
    """Run a kept case again; status 1 where it fails."""
    from fxsim.errors import ToolError
    from fxsim.fuzz import find_takers, replay

    takers, absent = find_takers(groups)
    kept, found = replay(case, takers)
    if as_json:
        print_json({"case": kept, "took": found.took, "refused": found.refused, "failures": found.failures})
    for failure in () if as_json else found.failures:
        say(f"{failure.taker} {failure.way}: {failure.message}")
    if found.failures:
        raise SystemExit(1)
    for name in (kept.failure.taker, kept.failure.against):
        if name.split(" ")[0] in absent:
            raise ToolError(f"{case}: '{name}' cannot be had here, which failed: {absent[name.split(' ')[0]]}")
    if not as_json:
        say(f"{case}: {len(found.took)} took it and agree: {', '.join(found.took)}")
