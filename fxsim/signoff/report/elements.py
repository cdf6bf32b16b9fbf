"""Parts that a page of the report is made of: tables and their cells, blocks of tables, and figures in words."""

from dataclasses import dataclass

Value = int | float | str | None


@dataclass(frozen=True)
class Cell:
    """A value that is shown in a special way: `strong`, over several columns, or with a remark in red behind it."""

    value: Value = ""
    strong: bool = False
    remark: str | None = None
    span: int = 1


@dataclass(frozen=True)
class Column:
    """A column: its title, whether numbers stand in it (then at the right), whether its cells are never broken."""

    title: str
    number: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Row:
    """A row; `failed` ones are coloured."""

    cells: tuple[Value | Cell, ...]
    failed: bool = False


@dataclass(frozen=True)
class Table:
    """Columns and rows. A cell that spans several columns stands for so many."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class Block:
    """Tables under a heading; `folded` ones are shown once the heading is clicked. `lead` stands below the heading."""

    tables: tuple[Table, ...]
    heading: str = ""
    lead: str = ""
    alarming: bool = False
    folded: bool = False
    note: str = ""


def format_figure(value: Value) -> str:
    """A figure for reading: thousands are separated, what was not measured is a dash."""
    if value is None:
        return "–"  # noqa: RUF001  # a dash is meant
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else value


def format_percent(part: float | None) -> str:
    """A part of 1 for reading."""
    return format_figure(None) if part is None else f"{part:.1%}"


def format_seconds(seconds: float) -> str:
    """A duration for reading."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s"
