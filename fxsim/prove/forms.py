"""The forms of the values that are proved, as evidence: of which values each is which sum, and which function of it.

What is alike is kept once: coefficients, variables, functions (as a table of all their values, or the question that the
solver was asked), and the classes that these make.
"""

import hashlib
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.int64]

TABLE, QUESTION, FEW = 0, 1, 2
"""A class's kind: a function of a sum by a table, or by a question; or a table of a few values' combinations."""
CLASS = ("kind", "coefficients", "function", "width", "low", "high", "added")
"""The columns of a class. `coefficients`: number of a list; `function`: of a table or question. Of an accumulator of
`width` bits, between `low` and `high`, that holds the sum and what is `added`; all 0 of a few values."""
ARRAYS = ("values", "classes", "lists_at", "lists", "tables_at", "tables", "questions")
"""The arrays of a file. `values`: number of a value, its class, the number of the list of its variables."""


class Forms:
    """The forms of a design's values, as they are proved."""

    def __init__(self) -> None:
        self._values: dict[int, tuple[int, int]] = {}
        self._classes: dict[tuple[int, ...], int] = {}
        self._lists: dict[bytes, int] = {}
        self._tables: dict[bytes, int] = {}
        self._questions: dict[str, int] = {}

    def function(self, function: bytes | str) -> tuple[int, int]:
        """The kind and number of a function of a sum: a table of its values, or the text of a question."""
        if isinstance(function, str):
            return QUESTION, self._questions.setdefault(function, len(self._questions))
        return TABLE, self._tables.setdefault(function, len(self._tables))

    def of_form(
        self, number: int, variables: Numbers, coefficients: Numbers, function: tuple[int, int], accumulator: list[int]
    ) -> None:
        """Note a value that is a function of a sum; `accumulator`: width, low, high, added."""
        order = np.argsort(variables)
        self._note(number, variables[order], (function[0], self._list(coefficients[order]), function[1], *accumulator))

    def of_few(self, number: int, variables: Numbers, table: tuple[int, int]) -> None:
        """Note a value of which every combination of a few variables was tried, the first one slowest."""
        self._note(number, variables, (FEW, self._list(np.zeros(0, np.int64)), table[1], 0, 0, 0, 0))

    def _note(self, number: int, variables: Numbers, of: tuple[int, ...]) -> None:
        self._values[number] = self._classes.setdefault(of, len(self._classes)), self._list(variables)

    def _list(self, numbers: Numbers) -> int:
        return self._lists.setdefault(np.ascontiguousarray(numbers, np.int64).tobytes(), len(self._lists))

    def file(self) -> bytes:
        """The forms as a compressed file of numpy arrays, without pickled objects."""
        values = np.array([(number, *of) for number, of in sorted(self._values.items())], np.int32).reshape(-1, 3)
        lists = [np.frombuffer(content, np.int64) for content in self._lists]
        tables = [np.frombuffer(content, np.int8) for content in self._tables]
        arrays: dict[str, Any] = {
            "values": values,
            "classes": np.array(list(self._classes), np.int64).reshape(-1, len(CLASS)),
            "lists_at": np.cumsum([0, *map(len, lists)]),
            "lists": np.concatenate([np.zeros(0, np.int64), *lists]),
            "tables_at": np.cumsum([0, *map(len, tables)]),
            "tables": np.concatenate([np.zeros(0, np.int8), *tables]),
            "questions": np.array([hashlib.sha256(text.encode()).hexdigest() for text in self._questions], "U64"),
        }
        file = BytesIO()
        np.savez_compressed(file, **arrays)
        return file.getvalue()
