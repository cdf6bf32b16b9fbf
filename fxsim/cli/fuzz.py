"""`fxsim fuzz`: random networks through everything that computes them, and kept failures once more."""

import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxsim.cli.console import print_json, print_table, progress, say

if TYPE_CHECKING:
    from fxsim.fuzz import FuzzRequest, FuzzResult, Taker
    from fxsim.fuzz.run import Progress

RESULT = "fuzz.json"
"""The file of a run's result, in the folder of its kept failures."""

_NAMED_MAX = 5
"""Most features of a group that are named, of those that were never made."""

_BETWEEN = 200
"""Networks that engines compute between two builds of accelerators, where both go on until the time is up."""


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
@click.option("--accel", metavar="LIST", help="Accelerators to simulate ResMLPs on, too, joined by commas.")
@click.option(
    "--builds",
    type=click.IntRange(1, 10**6),
    default=1,
    show_default=True,
    metavar="B",
    help="Designs to build of each accelerator, with --hours between every two of which 200 networks are drawn.",
)
@click.option("--only-devices", is_flag=True, help="Simulate accelerators alone.")
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
    accel: str | None,
    builds: int,
    only_devices: bool,
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
    from fxsim.fuzz import TAKER_GROUPS, FuzzRequest, find_takers, merge, run_fuzz
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
    devices = tuple(accel.split(",")) if accel is not None else ()
    if only_devices and not devices:
        raise click.UsageError("--only-devices needs --accel: which")
    if jobs > 1 and part != (0, 1):
        raise click.UsageError("--part is one process's: give --jobs or --part")

    def in_parts() -> "FuzzResult":
        arguments = ["--seed", str(seed), "--first", str(first), "--shrink-seconds", str(shrink_seconds)]
        arguments += ["--hours", str(hours)] if hours is not None else ["--count", str(count or 100)]
        arguments += ["--engines", engines] if engines is not None else []
        arguments += ["-o", str(output)] if output is not None else []
        return run_parts(arguments, jobs)

    if devices:
        if part != (0, 1):
            raise click.UsageError("--accel and --part: the parts would all simulate the same designs")
        if jobs > 1 and hours is not None:
            raise click.UsageError("--accel with --hours draws networks and builds designs in turn: no --jobs")
        plain = FuzzRequest(count=count or 100, seed=seed, first=first, keep=output, shrink_seconds=shrink_seconds)
        with progress("random networks") as tell, finishing():
            # Builds and simulations take all cores by themselves, one design after the other.
            drawn = [in_parts()] if jobs > 1 and not only_devices else []
            result = _with_devices(plain, takers, devices, builds, hours, only_devices or bool(drawn), tell)
        _conclude(merge([*drawn, result]), absent, output, audit, as_json)
        return
    if jobs > 1:
        result = in_parts()
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
    _conclude(result, absent, output if part == (0, 1) else None, audit, as_json)


def _with_devices(
    plain: "FuzzRequest",
    takers: "tuple[Taker, ...]",
    devices: tuple[str, ...],
    builds: int,
    hours: float | None,
    only_devices: bool,
    tell: "Progress",
) -> "FuzzResult":
    """Engines and accelerators in turn, until the time is up; or one after the other, as many as were asked for."""
    from fxsim.fuzz import DeviceRequest, merge, run_devices, run_fuzz

    simulated = DeviceRequest(devices, builds, plain.seed, plain.first, plain.keep, plain.shrink_seconds)
    if hours is None:
        parts = [] if only_devices else [run_fuzz(plain, takers, tell)]
        return merge([*parts, *([run_devices(simulated, tell)] if all(part.complete for part in parts) else [])])
    end, parts, done = time.monotonic() + hours * 3600, [], 0
    while time.monotonic() < end and all(part.complete and part.passed for part in parts):
        if not only_devices:
            first = plain.first + done * _BETWEEN
            parts.append(run_fuzz(dataclasses.replace(plain, first=first, count=_BETWEEN), takers, tell))
        parts.append(run_devices(dataclasses.replace(simulated, first=simulated.first + done, count=1), tell))
        done += 1
    return merge(parts)


def _conclude(result: "FuzzResult", absent: dict[str, str], output: Path | None, audit: bool, as_json: bool) -> None:
    """Write and print a result, and end as it says."""
    if output is not None:
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
    from fxsim.fuzz import TAKER_GROUPS, find_takers, replay

    takers, absent = find_takers(groups)
    kept, found = replay(case, takers)
    if as_json:
        print_json({"case": kept, "took": found.took, "refused": found.refused, "failures": found.failures})
    for failure in () if as_json else found.failures:
        say(f"{failure.taker} {failure.way}: {failure.message}")
    if found.failures:
        raise SystemExit(1)
    for name in (kept.failure.taker, kept.failure.against):
        first = name.split(" ")[0]
        if first in absent:
            raise ToolError(f"{case}: '{name}' cannot be had here, which failed: {absent[first]}")
    if (failed := kept.failure.taker.split(" ")[0]) in TAKER_GROUPS and failed not in groups:
        raise ToolError(f"{case}: '{kept.failure.taker}', which failed, is not among --engines")
    if len(found.took) < 2 and kept.device is None:
        raise ToolError(f"{case}: {len(found.took)} took it, expected two at least, which can agree")
    if kept.sha256 is None and not as_json:
        say(f"{case}: was kept by an earlier fxsim, which states no hash of its images")
    if not as_json:
        say(f"{case}: {len(found.took)} took it and agree: {', '.join(found.took)}")
