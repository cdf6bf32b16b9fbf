"""`fxsim cosim --code-coverage`: what is printed and written."""

from pathlib import Path
from typing import Any

from fxsim.cli.console import print_table, say
from fxsim.code_coverage import Judged
from fxsim.code_coverage.export import write_all
from fxsim.simulate.code_coverage import PointKind

_MISSING_SHOWN = 10


def show_coverage(judged: Judged, folder: Path, title: str, quiet: bool) -> bool:
    """Write all there is of a coverage into a folder, and show its figures; whether no waiver is at fault."""
    names = write_all(judged, folder, title)
    if not quiet:
        kinds = list(judged.shares)
        rows: list[tuple[Any, ...]] = []
        for module in judged.modules:
            cells = []
            for kind in kinds:
                share = module.shares.get(kind)
                waived = f" (+{share.waived:,})" if share is not None and share.waived else ""
                cells.append("" if share is None else f"{share.run:,} of {share.points:,}{waived}")
            rows.append((module.module, *cells))
        print_table("code coverage, waived in brackets", ("module", *map(str, kinds)), rows)
        for kind, share in judged.shares.items():
            say(f"{kind}: {share.percent:.2f} % of {share.points:,} points run, {share.waived:,} waived")
        missing = judged.missing([kind for kind in PointKind if kind is not PointKind.TOGGLE])
        for point in missing[:_MISSING_SHOWN]:
            say(f"not run: {point.place}: {point.kind} {point.name}")
        if len(missing) > _MISSING_SHOWN:
            say(f"and {len(missing) - _MISSING_SHOWN:,} more, in {folder / names[0]}")
    for fault in judged.faults:
        say(f"waiver {fault.what}: {fault.text}", err=True)
    say(f"code coverage: {folder}: {', '.join(names)}", err=True)
    return not judged.faults
