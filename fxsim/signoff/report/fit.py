"""Widths that tables need: where a page is narrower, their rows become cards."""

import re
from dataclasses import dataclass

from fxsim.signoff.report.elements import Cell, Column, Table, Value, format_figure

STEPS = (20, 26, 32, 38, 44, 50, 58, 66, 74, 84, 94, 106)
"""Widths in em at which tables are told apart: one that needs more is always cards."""
_WORD_MAX = 20
"""Characters up to which a word is not broken."""
_WORD_END = re.compile(r"(?<=[+,/])|\s+")
"""The end of a word for breaking a line: a space, or what joins stall patterns, lists and paths."""
_LONG, _LONG_WIDTH = 48, 20
"""A text of so many characters is given at least so many a line."""
_EM, _PADDING = 0.62, 1.15
"""A digit's width and a cell's padding in em."""
_DENSE, _DENSE_SIZE, _DENSE_PADDING = 9, 0.92, 0.85
"""Tables of more columns are set smaller, so much, with less padding."""


@dataclass(frozen=True)
class Fitted:
    """A table with the fewest characters a line of each column, and the step that it needs; None: more than any."""

    table: Table
    widths: tuple[int, ...]
    step: int | None
    dense: bool


def fit_table(table: Table) -> Fitted:
    """A table and the width that it needs, from what stands in it."""
    cells: list[list[str]] = [[] for _ in table.columns]
    for row in table.rows:
        place = 0
        for value in row.cells:
            cell = value if isinstance(value, Cell) else Cell(value)
            if cell.span == 1:
                cells[place].append(_text(cell))
            place += cell.span
    widths = tuple(_width(column, texts) for column, texts in zip(table.columns, cells, strict=True))
    dense = len(widths) > _DENSE
    padding, size = (_DENSE_PADDING, _DENSE_SIZE) if dense else (_PADDING, 1.0)
    need = size * sum(width * _EM + padding for width in widths)
    return Fitted(table, widths, next((step for step in STEPS if need <= step), None), dense)


def _text(cell: Cell) -> str:
    shown: Value = format_figure(cell.value)
    return f"{shown} {cell.remark}" if cell.remark else str(shown)


def _width(column: Column, texts: list[str]) -> int:
    title = _longest_word(column.title)
    longest = max(map(len, texts), default=0)
    if column.number or (column.whole and longest <= _WORD_MAX):
        return max(title, longest)
    word = min(max(map(_longest_word, texts), default=0), _WORD_MAX)
    return max(title, word, min(longest, _LONG_WIDTH) if longest > _LONG else 0)


def _longest_word(text: str) -> int:
    return max(map(len, _WORD_END.split(text)), default=0)


def split_long(text: str) -> list[str]:
    """The parts of a text between which a line may be broken: long words where what they are made of is joined."""
    words = (word if len(word) <= _WORD_MAX else re.sub(r"([+,/])(?=.)", "\\1\0", word) for word in text.split(" "))
    return " ".join(words).split("\0")
