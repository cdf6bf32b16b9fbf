"""Coverage in the forms that other tools read: lcov's `.info`, and UCIS as XML."""

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fxsim.code_coverage.judge import Judged
from fxsim.code_coverage.pages import annotate, files_of, line_counts, render_page
from fxsim.code_coverage.waivers import skeleton
from fxsim.errors import ToolError
from fxsim.formats import atomic_write
from fxsim.simulate.code_coverage import Point, PointKind


def lcov_lines(judged: Judged) -> Iterator[str]:
    """The lines of an `.info` file: DA of each line of a block, BRDA of each side of a branch.

    Lines count as often as the block most run that they are in; a file's name begins with the design's folder's. What
    is waived is not told apart there: lcov has no word for it. Nor has it one for expressions and bits that turn.
    """
    yield "TN:fxsim"
    for file in files_of(judged):
        yield f"SF:{judged.sources.folder.resolve().name}/{file}"
        counts = dict(sorted(line_counts(judged, file).items()))
        sides = [p for p in judged.coverage.counts if p.file == file and p.kind is PointKind.BRANCH]
        yield from (f"DA:{line},{count}" for line, count in counts.items())
        yield f"LF:{len(counts)}"
        yield f"LH:{sum(count > 0 for count in counts.values())}"
        numbers: dict[int, int] = {}
        for side in sides:
            number = numbers[side.line] = numbers.get(side.line, -1) + 1
            # A line that was never run has branches that nobody came to.
            yield f"BRDA:{side.line},0,{number},{judged.coverage.counts[side]}"
        yield f"BRF:{len(sides)}"
        yield f"BRH:{sum(judged.coverage.counts[side] > 0 for side in sides)}"
        yield "end_of_record"


def ucis_database(judged: Judged) -> Any:
    """The coverage as pyucis's database in memory: an instance a module, which stands for all of its instances.

    Blocks are statements, sides of one line a branch, bits toggles, expressions conditions. ToolError without pyucis.
    """
    try:
        from ucis import (
            UCIS_ENABLED_BRANCH,
            UCIS_ENABLED_STMT,
            UCIS_ENABLED_TOGGLE,
            UCIS_INST_ONCE,
            UCIS_INSTANCE,
            UCIS_SCOPE_UNDER_DU,
            UCIS_VLOG,
        )
        from ucis.cover_data import CoverData
        from ucis.cover_type_t import CoverTypeT
        from ucis.mem import MemUCIS
        from ucis.scope_type_t import ScopeTypeT
        from ucis.source_info import SourceInfo
    except ModuleNotFoundError:
        raise ToolError("pyucis is missing, which writes UCIS: install fxsim with the extra 'evidence'") from None
    scopes = {
        PointKind.LINE: (ScopeTypeT.BLOCK, CoverTypeT.STMTBIN),
        PointKind.COVER: (ScopeTypeT.BLOCK, CoverTypeT.STMTBIN),
        PointKind.BRANCH: (ScopeTypeT.BRANCH, CoverTypeT.BRANCHBIN),
        PointKind.EXPRESSION: (ScopeTypeT.COND, CoverTypeT.CONDBIN),
        PointKind.TOGGLE: (ScopeTypeT.TOGGLE, CoverTypeT.TOGGLEBIN),
    }
    db = MemUCIS()
    # Otherwise the name of whoever is logged in.
    db.setWrittenBy("fxsim")
    handles = {file: db.createFileHandle(file, ".") for file in files_of(judged)}
    flags = UCIS_ENABLED_STMT | UCIS_ENABLED_BRANCH | UCIS_ENABLED_TOGGLE | UCIS_INST_ONCE | UCIS_SCOPE_UNDER_DU
    points: dict[str, list[Point]] = {}
    for point in judged.coverage.counts:
        points.setdefault(judged.module(point), []).append(point)
    for module, own in points.items():
        begin = SourceInfo(handles[own[0].file], 1, 1)
        unit = db.createScope(module, begin, 1, UCIS_VLOG, ScopeTypeT.DU_MODULE, flags)
        instance = db.createInstance(module, begin, 1, UCIS_VLOG, UCIS_INSTANCE, unit, UCIS_INST_ONCE)
        made: dict[tuple[PointKind, str], Any] = {}
        for point in own:
            scope_type, bin_type = scopes[point.kind]
            source = SourceInfo(handles[point.file], point.line, point.column)
            name, item = _names(point)
            if (point.kind, name) not in made:
                made[point.kind, name] = instance.createScope(name, source, 1, UCIS_VLOG, scope_type, 0)
            data = CoverData(bin_type, 0)
            data.data, data.goal = judged.coverage.counts[point], 1
            made[point.kind, name].createNextCover(item, data, source)
    return db


def _names(point: Point) -> tuple[str, str]:
    """Names of the scope that a point is in, and of the point there."""
    if point.kind is PointKind.TOGGLE:
        signal, _, turn = point.name.rpartition(":")
        return f"{signal} line {point.line}", turn
    if point.kind in (PointKind.LINE, PointKind.COVER):
        return "block", f"{point.name} {point.line}.{point.column}"
    return f"{point.kind} line {point.line}", f"{point.name} {point.column}"


def ucis_text(judged: Judged) -> str:
    """The coverage as UCIS's XML. ToolError without pyucis."""
    db = ucis_database(judged)
    from ucis.xml.xml_writer import XmlWriter

    written = io.StringIO()
    XmlWriter().write(written, db)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + written.getvalue()


def write_all(judged: Judged, folder: str | os.PathLike[str], title: str) -> tuple[str, ...]:
    """Write everything there is of a coverage into a folder, each file whole or not at all; returns their names.

    `code_coverage.txt` and `.html` are the annotated Verilog, `.info` is lcov's, `.ucis.xml` UCIS's where pyucis is
    installed, `waivers_proposed.toml` a waiver without a reason for each line and kind that was not run.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "code_coverage.txt": annotate(judged),
        "code_coverage.html": render_page(judged, title),
        "code_coverage.info": "\n".join(lcov_lines(judged)) + "\n",
        "waivers_proposed.toml": propose(judged),
    }
    try:
        texts["code_coverage.ucis.xml"] = ucis_text(judged)
    except ToolError:
        # What an earlier run left would be of another coverage.
        (folder / "code_coverage.ucis.xml").unlink(missing_ok=True)
    for name, text in texts.items():
        with atomic_write(folder / name) as file:
            file.write_text(text, encoding="utf-8")
    return tuple(texts)


def propose(judged: Judged) -> str:
    """Waivers as TOML for all that was neither run nor is waived, one a line and kind; reasons are to be given."""
    places = dict.fromkeys((point.file, point.line, point.kind) for point in judged.missing())
    parts = [skeleton(judged.sources, file, line, line, kind, None, "", "") for file, line, kind in places]
    return "\n".join(("# Waivers proposed: give each a category and a reason, or run what it is of.\n", *parts))
