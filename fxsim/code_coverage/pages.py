"""Verilog with its counts beside it, as text and as a page of HTML."""

from collections.abc import Iterator
from html import escape

from fxsim.code_coverage.judge import Judged
from fxsim.simulate.code_coverage import Point, PointKind

_STYLE = """
body { font: 14px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 75em; padding: 0 1em }
body { color: #1c1e21; background: #fff }
table { border-collapse: collapse; margin: 1em 0 }
th, td { padding: .2em .8em; text-align: right; border-bottom: 1px solid #ccc }
th:first-child, td:first-child { text-align: left } pre { font-size: 12.5px; line-height: 1.4; overflow-x: auto }
.missing { background: #ffd9d6; color: #7a0c00 } .waived { background: #fdf0c4; color: #5c4300 }
@media (prefers-color-scheme: dark) { body { color: #e4e6ea; background: #16181c } th, td { border-color: #444 }
.missing { background: #5a1611; color: #ffd9d6 } .waived { background: #4a3b08; color: #fdf0c4 } a { color: #8ab4ff } }
"""


def line_counts(judged: Judged, file: str) -> dict[int, int]:
    """Counts of the lines of a file's blocks: that of the block most run which it is in. Other lines have none."""
    found: dict[int, int] = {}
    for point, lines in judged.coverage.blocks.items():
        if point.file == file:
            count = judged.coverage.counts[point]
            for line in lines:
                found[line] = max(found.get(line, 0), count)
    return found


def _open_points(judged: Judged, file: str) -> dict[int, list[Point]]:
    """The points of a file that were not run, by line."""
    found: dict[int, list[Point]] = {}
    for point, count in judged.coverage.counts.items():
        if point.file == file and not count:
            found.setdefault(point.line, []).append(point)
    return found


def files_of(judged: Judged) -> list[str]:
    """The files that have points."""
    return list(dict.fromkeys(point.file for point in judged.coverage.counts))


def _remarks(judged: Judged, points: list[Point]) -> Iterator[tuple[str, str]]:
    """Remarks on what was not run on a line, as a class and a text each; bits that do not turn are told together."""
    turning: dict[str, list[str]] = {}
    for point in points:
        waiver = judged.waived.get(point)
        if point.kind is PointKind.TOGGLE:
            why = "not run" if waiver is None else f"waived, {waiver.category}: {waiver.reason}"
            turning.setdefault(why, []).append(point.name)
        elif waiver is None:
            yield "missing", f"! {point.kind}, column {point.column}, not run: {point.name}"
        else:
            told = f"{waiver.category}: {waiver.reason}"
            yield "waived", f"~ {point.kind}, column {point.column}, waived, {told}: {point.name}"
    for why, names in turning.items():
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        missing = why == "not run"
        text = f"{'!' if missing else '~'} toggle, {why}: {', '.join(names[:8])}{more}"
        yield "missing" if missing else "waived", text


def _annotated(judged: Judged, file: str) -> Iterator[tuple[str, str]]:
    """The lines of a file with counts, and below them what was not run: a class and a text each."""
    counts, open_points = line_counts(judged, file), _open_points(judged, file)
    text = judged.sources.files[file].decode(errors="replace")
    for number, line in enumerate(text.split("\n"), 1):
        count = counts.get(number)
        yield "", f"{number:6} {'' if count is None else count:>12} {line}"
        for name, remark in _remarks(judged, open_points.get(number, [])):
            yield name, f"{'':19} {remark}"


def annotate(judged: Judged) -> str:
    """Every file that has points as text: number, count and line, and below a line what of it was not run."""
    parts = []
    for file in files_of(judged):
        parts += [f"=== {file}", *(text.rstrip() for _, text in _annotated(judged, file)), ""]
    return "\n".join(parts)


def render_page(judged: Judged, title: str) -> str:
    """A page of HTML that loads nothing: a table of modules, and every file that has points."""
    kinds = list(judged.shares)
    rows = []
    for module in judged.modules:
        cells = []
        for kind in kinds:
            share = module.shares.get(kind)
            told = "" if share is None else f"{share.run:,} of {share.points:,}"
            told += f", {share.waived:,} waived" if share is not None and share.waived else ""
            cells.append(f"<td>{told}</td>")
        link = f'<a href="#{escape(module.file, quote=True)}">{escape(module.module)}</a>'
        rows.append(f"<tr><td>{link}</td>{''.join(cells)}</tr>")
    head = "".join(f"<th>{kind}</th>" for kind in kinds)
    body = []
    for file in files_of(judged):
        lines = [
            f'<span class="{name}">{escape(text)}</span>' if name else escape(text)
            for name, text in _annotated(judged, file)
        ]
        place = escape(file, quote=True)
        body += [f'<h2 id="{place}">{escape(file)}</h2>', '<pre tabindex="0">' + "\n".join(lines) + "</pre>"]
    return "\n".join(
        (
            "<!DOCTYPE html>",
            '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
            f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>",
            f"<h1>{escape(title)}</h1>",
            f"<table><tr><th>module</th>{head}</tr>{''.join(rows)}</table>",
            *body,
            "</body></html>",
            "",
        )
    )
