"""Tables of logic analysers in CSV: Vivado's ILA, Quartus's SignalTap, sigrok; a row a sample."""

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from fxsim.errors import FileError
from fxsim.formats.text import short
from fxsim.traces.name_map import TapMap, TraceMap
from fxsim.traces.sampling import Bits, Edges, Group, Sampler, Selection, select
from fxsim.traces.words import Words, parse_bits

LINE_BYTES_MAX = 1 << 20
PREAMBLE_LINES_MAX = 10_000
"""Lines in which the names of the columns must come."""
COLUMNS_MAX = 65_536

_RANGE = re.compile(r"\[(\d+)(?::|\.\.)(\d+)\]\Z")
_RADIX = {"HEX": 16, "HEXADECIMAL": 16, "BINARY": 2, "OCTAL": 8, "UNSIGNED": 10, "SIGNED": 10, "DECIMAL": 10}
_PREFIXES = {"0x": 16, "0b": 2, "'h": 16, "'b": 2, "'d": 10, "'o": 8}
_LETTERS_MAX = 70_000


def list_columns(path: Path) -> dict[str, int | None]:
    """Names of the columns with their widths, where the name states one (`out[7:0]`)."""
    for _, row in _rows(path):
        names = [_plain(cell) for cell in row]
        if len(names) > 1 and sum(1 for name in names if re.search("[A-Za-z_]", name)) > len(names) / 2:
            return {name: _width(cell) for name, cell in zip(names, map(str.strip, row), strict=True) if name}
    raise FileError(f"{path}: has no row with names of columns, expected one")


def read_table(
    path: Path,
    content: TraceMap,
    taps: Sequence[TapMap],
    widths: Sequence[int],
    most: Sequence[int | None],
    lenient: bool = False,
) -> list[Words]:
    """Words of the taps' columns, `widths` bits each: in every row, or just before each edge of the clock's column.

    The columns' names are in the first row that has all those of the map; what comes before is passed over. A row of
    radixes may follow, as Vivado writes it. `lenient`: a cell that is no number is unknown.
    FileError names the line of whatever is not as expected.
    """
    rows = _rows(path)
    names = [name for tap in taps for name in (*tap.signals, tap.valid, tap.ready) if name is not None]
    names += [name for name in (content.clock, content.reset) if name is not None]
    header = _header(path, rows, names)
    columns = {name: place for place, name in enumerate(header)}
    bits = dict.fromkeys(columns, 1)
    groups = []
    for tap, width, enough in zip(taps, widths, most, strict=True):
        each = _part_widths(path, tap, width)
        for name, part in zip(tap.signals, each, strict=True):
            bits[name] = part
        handshake = [None if name is None else select(name, bits, str(path))[0] for name in (tap.valid, tap.ready)]
        parts = tuple(Selection(name) for name in tap.signals)
        groups.append(Group(tap.name, parts, tuple(each), handshake[0], handshake[1], enough))
    radix: dict[str, int] = {name: tap.radix for tap in taps for name in tap.signals if tap.radix is not None}
    wanted = list(dict.fromkeys(names))
    sampler = Sampler(groups, str(path), None if content.reset is None else Selection(content.reset), content.active)
    edges = Edges(content.edge)
    before: dict[str, Bits] = {}
    first = True
    for line, row in rows:
        if first and row and row[0].strip().lower().startswith("radix"):
            radix = {**_radixes(path, line, header, row), **radix}
            continue
        first = False
        if len(row) != len(header):
            raise FileError(f"{path}: line {line:,}: has {len(row)} columns, expected {len(header)}: cut off?")
        values = {
            name: _cell(
                lenient, row[columns[name]], bits[name], radix.get(name, 10), f"{path}: line {line:,}: '{name}'"
            )
            for name in wanted
        }
        if content.clock is None:
            sampler.edge(values, f"in line {line:,}")
        elif edges.moved(values[content.clock]):
            sampler.edge(before, f"before line {line:,}")
        before = values
        if sampler.full:
            break
    if content.clock is not None and not sampler.edges:
        raise FileError(f"{path}: clock '{content.clock}' has no {content.edge} edge, expected one a sample")
    return [writer.words() for writer in sampler.writers]


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Rows with the number of their line; empty lines and comments (`;`, `#`) are left out."""
    line = 0

    def lines() -> Iterator[str]:
        nonlocal line
        with path.open("rb") as file:
            while data := file.readline(LINE_BYTES_MAX + 1):
                line += 1
                if len(data) > LINE_BYTES_MAX:
                    raise FileError(f"{path}: line {line:,}: is longer than {LINE_BYTES_MAX:,} bytes")
                if data.strip() and not data.lstrip().startswith((b";", b"#")):
                    yield data.decode("latin-1").removeprefix("\xef\xbb\xbf")

    try:
        for row in csv.reader(lines(), strict=True):
            if len(row) > COLUMNS_MAX:
                raise FileError(f"{path}: line {line:,}: has more than {COLUMNS_MAX:,} columns")
            yield line, row
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror or error}") from None
    except csv.Error as error:
        raise FileError(f"{path}: line {line:,}: is no row of a table: {error}") from None


def _plain(cell: str) -> str:
    return _RANGE.sub("", cell.strip())


def _width(cell: str) -> int | None:
    match = _RANGE.search(cell)
    return None if match is None else abs(int(match[1]) - int(match[2])) + 1


def _header(path: Path, rows: Iterator[tuple[int, list[str]]], names: list[str]) -> list[str]:
    """Names of the columns, as the map calls them where it does: with or without the range of bits."""
    best: list[str] = []
    for line, row in rows:
        cells = [cell.strip() for cell in row]
        found = [cell if cell in names else _plain(cell) for cell in cells]
        absent = [name for name in names if name not in found]
        if not absent:
            if twice := [name for name in names if found.count(name) > 1]:
                raise FileError(f"{path}: line {line:,}: has column '{twice[0]}' twice, expected once")
            return found
        if not best or len(absent) < len(best):
            best = absent
        if line > PREAMBLE_LINES_MAX:
            break
    raise FileError(f"{path}: no row of names has column '{best[0] if best else names[0]}', which the map says")


def _part_widths(path: Path, tap: TapMap, width: int) -> list[int]:
    each, rest = divmod(width, len(tap.signals))
    if rest:
        raise FileError(
            f"{path}: tap '{tap.name}' has {width} bits in {len(tap.signals)} columns, expected equal parts"
        )
    return [each] * len(tap.signals)


def _radixes(path: Path, line: int, header: list[str], row: list[str]) -> dict[str, int]:
    found = {}
    for name, cell in zip(header, row, strict=False):
        word = cell.strip().upper().removeprefix("RADIX -").strip()
        if word not in _RADIX:
            known = ", ".join(_RADIX)
            raise FileError(f"{path}: line {line:,}: radix of '{name}' is '{short(word, 40)}', expected {known}")
        found[name] = _RADIX[word]
    return found


def _cell(lenient: bool, cell: str, width: int, radix: int, where: str) -> Bits:
    try:
        return _bits(cell, width, radix, where)
    except FileError:
        if lenient:
            return (1 << width) - 1, (1 << width) - 1
        raise


def _bits(cell: str, width: int, radix: int, where: str) -> Bits:
    """A cell as bits: with `0x`, `8'h`, `h` behind, or digits of the column's radix; X and Z are unknown."""
    text = cell.strip().replace("_", "").replace(" ", "")
    match = re.match(r"\d*('[hbdo])|0[xb]", text, re.I)
    if match is not None:
        text, radix = text[match.end() :], _PREFIXES[(match[1] or match[0]).lower()]
    elif radix == 10 and text[-1:] in "hH" and len(text) > 1:
        text, radix = text[:-1], 16
    if not text or len(text) > _LETTERS_MAX:
        raise FileError(f"{where}: is {short(cell, 40)!r}, expected a number")
    if set(text) <= {"x", "X"} or set(text) <= {"z", "Z"}:
        every = (1 << width) - 1
        return (every if text[0] in "xX" else 0), every
    try:
        if radix == 10:
            value, unknown = int(text), 0
        elif set(text.lower()) & {"x", "z"}:
            each = {2: 1, 8: 3, 16: 4}[radix]
            value, unknown = parse_bits("".join(c * each if c in "xXzZ" else f"{int(c, radix):0{each}b}" for c in text))
        else:
            value, unknown = int(text, radix), 0
    except ValueError:
        raise FileError(f"{where}: is {short(cell, 40)!r}, expected a number of radix {radix}") from None
    if not -(1 << (width - 1)) <= value < 1 << width:
        raise FileError(f"{where}: is {short(cell, 40)}, expected what {width} bits can hold; width and lanes in a map")
    mask = (1 << width) - 1
    return value & mask, unknown & mask
