"""The forms of a design's values checked again, from the model alone: weights, ranges, and the contract in numpy."""

import itertools
import re
import zipfile
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from fxsim.contract import expand_table, relu, requantise
from fxsim.errors import FileError
from fxsim.graph import INPUT, Graph
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool, Relu
from fxsim.prove.evidence import kept_model, read_list, read_refuted
from fxsim.prove.forms import ARRAYS, CLASS, FEW, QUESTION

Numbers = npt.NDArray[np.int64]
_WRONG_MAX = 20
_NAMED = re.compile(r"\(set-logic QF_BV\)|\(define-fun r[0-9]+ \(\) [A-Za-z0-9_ ()#=]*\)")
_ASKED = re.compile(r"\(assert \(distinct r[0-9]+ \(\(_ extract 7 0\) clamped\)\)\)")
_FILE = re.compile(r"forms/[a-z0-9_-]+\.npz")


class Claim(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The claim of a design: its `file` of forms, of so many images; `taps` are proved, as functions of `shown`.

    `given`: the tensors that it is given, and does not compute; `whole`: whether it computes the model's output.
    """

    design: str
    file: str
    images: int
    taps: tuple[str, ...]
    shown: tuple[str, ...]
    given: tuple[str, ...]
    whole: bool


class _Row(NamedTuple):
    """A value as the model has it: a function of the sum of `weights` times the values `inputs`.

    `requantised`: shift, bias, least and greatest value, where it is no more than that.
    """

    inputs: tuple[int, ...]
    weights: tuple[int, ...]
    function: Callable[[Numbers], Numbers]
    requantised: tuple[int, int, int, int] | None
    key: object


class _Rows:
    """Every value of a graph as the model has it, by its number."""

    def __init__(self, graph: Graph, shown: tuple[str, ...]) -> None:
        self.graph = graph
        self._shown = {*shown}
        self.first: dict[str, int] = {}
        self.total = 0
        for name in (INPUT, *graph.taps):
            self.first[name] = self.total
            self.total += int(np.prod(graph.shapes[name]))

    def row(self, tap: str, place: int) -> _Row:
        """The value number `place` of a tap; FileError where it is no function of a sum of values that are shown."""
        node = self.graph.by_name[tap]
        op: Any = node.op
        shape = self.graph.shapes[tap]
        token, channel = divmod(place, shape[-1])
        first = self.first[node.inputs[0]]
        width = self.graph.shapes[node.inputs[0]][-1]
        number = self.graph.tensors[tap].number
        if isinstance(op, Linear):
            row = token if op.over is Axis.TOKENS else channel
            weights = [int(w) for w in op.weight[row]]
            step, start = (width, channel) if op.over is Axis.TOKENS else (1, token * width)
            inputs = [first + start + step * k for k in range(len(weights))]
            found = self._requantised(inputs, weights, int(op.shift[row]), int(op.bias[row]), number)
        elif isinstance(op, Pool):
            inputs = [first + t * width + channel for t in range(op.tokens)]
            found = self._requantised(inputs, [1] * op.tokens, op.tokens.bit_length() - 1, 0, number)
        elif isinstance(op, Add):
            inputs = [self.first[name] + place for name in node.inputs]
            twice = inputs[0] == inputs[1]
            found = self._requantised(inputs[:1] if twice else inputs, [2] if twice else [1, 1], 0, 0, number)
        elif isinstance(op, Affine):
            weight, shift, bias = int(op.weight[channel]), int(op.shift[channel]), int(op.bias[channel])
            found = self._requantised([first + place], [weight], shift, bias, number)
        elif isinstance(op, Lut):
            table = expand_table(op.table[channel : channel + 1], op.rule)[0].astype(np.int64)
            found = _Row((first + place,), (1,), lambda x: table[x + 128], None, (tap, channel))
        elif isinstance(op, Relu):
            found = _Row((first + place,), (1,), lambda x: relu(x.astype(np.int8)).astype(np.int64), None, "relu")
        else:
            raise FileError(f"nothing is known of the operator of '{tap}'")
        hidden = [name for name in node.inputs if name not in self._shown]
        if not hidden or not found.inputs:
            return found
        if not isinstance(op, Affine | Lut | Relu):
            raise FileError(f"'{tap}' is no function of one sum of values that are shown")
        inner, outer, weight = self.row(hidden[0], place), found.function, found.weights[0]
        before = inner.function
        key = inner.key, weight, found.key
        return inner._replace(function=lambda x: outer(weight * before(x)), requantised=None, key=key)

    @staticmethod
    def _requantised(inputs: list[int], weights: list[int], shift: int, bias: int, number: Any) -> _Row:
        kept = sorted((at, w) for at, w in zip(inputs, weights, strict=True) if w)
        low, high = int(number.low), int(number.high)

        def function(sums: Numbers) -> Numbers:
            return requantise(sums, shift, bias, number).astype(np.int64)

        numbers = tuple(at for at, _ in kept), tuple(w for _, w in kept)
        return _Row(*numbers, function, (shift, bias, low, high), (shift, bias, str(number)))


class _Checker:
    """A design's forms against the model's rows; each different pairing is looked at once."""

    def __init__(self, arrays: Mapping[str, Any], questions: Mapping[str, str]) -> None:
        self._arrays = arrays
        self._questions = questions
        self._known: dict[object, str] = {}

    def listed(self, number: int) -> Numbers:
        """A list of coefficients or of variables."""
        at = self._arrays["lists_at"]
        found: Numbers = self._arrays["lists"][at[number] : at[number + 1]]
        return found

    def _table(self, number: int) -> Numbers:
        at = self._arrays["tables_at"]
        return np.asarray(self._arrays["tables"][at[number] : at[number + 1]], np.int64)

    def wrong(self, of: int, variables: int, row: _Row, before: int) -> str:
        """The fault of a value's class or variables, empty without one; `before`: the first number of its image."""
        kind, coefficients, function, width, low, high, added = (int(v) for v in self._arrays["classes"][of])
        inputs = [before + number for number in row.inputs]
        own = self.listed(variables).tolist()
        if kind == FEW:
            if not {*inputs} <= {*own} or len({*own}) != len(own) or len(own) > 2:
                return "its variables are not the model's"
            places = tuple(own.index(v) for v in inputs)
            few = of, places, len(own), row.weights, row.key
            if few not in self._known:
                self._known[few] = self._few(function, places, len(own), row)
            return self._known[few]
        if own != inputs:
            return "its variables are not the model's"
        key = of, row.weights, row.key
        if key not in self._known:
            self._known[key] = self._form(
                kind, self.listed(coefficients).tolist(), function, width, low, high, added, row
            )
        return self._known[key]

    def _few(self, function: int, places: tuple[int, ...], count: int, row: _Row) -> str:
        codes = np.arange(-128, 128)
        grid = np.array(np.meshgrid(*[codes] * count, indexing="ij")).reshape(count, -1)
        sums = np.zeros(256**count, np.int64)
        for place, weight in zip(places, row.weights, strict=True):
            sums = sums + weight * grid[place]
        same = np.array_equal(self._table(function), row.function(sums))
        return "" if same else "its table is not the contract's"

    def _form(
        self, kind: int, coefficients: list[int], function: int, width: int, low: int, high: int, added: int, row: _Row
    ) -> str:
        if coefficients != list(row.weights):
            return "its coefficients are not the model's weights"
        least = sum(min(-128 * w, 127 * w) for w in coefficients) + added
        most = sum(max(-128 * w, 127 * w) for w in coefficients) + added
        if not low <= least <= most <= high:
            return f"its sum reaches from {least} to {most}, beyond what is stated"
        if not (-(1 << width - 1) <= low and high < 1 << width - 1):
            return f"{width} bits do not hold its sum"
        if kind != QUESTION:
            sums = np.arange(low, high + 1)
            same = np.array_equal(self._table(function), row.function(sums - added))
            return "" if same else "its table is not the contract's"
        text = self._questions.get(str(self._arrays["questions"][function]))
        if text is None:
            return "the question about its function is not among those that were asked"
        if row.requantised is None:
            return "its question is about no requantisation"
        lines, stated = text.splitlines(), _stated(width, low, high, added, *row.requantised)
        missing = [line for line in stated if line not in lines]
        # Beside these, no more than terms by name and the question itself: nothing else is assumed.
        more = [line for line in lines[:-1] if line not in stated and not _is_named(line)]
        if missing or more or not _ASKED.fullmatch(lines[-1]):
            return f"its question does not say, or says besides: {[*missing, *more, lines[-1]][0]}"
        return ""


def _is_named(line: str) -> bool:
    """Whether a line does no more than give one term a name: its first parenthesis ends with it."""
    depth = list(itertools.accumulate({"(": 1, ")": -1}.get(character, 0) for character in line))
    return _NAMED.fullmatch(line) is not None and depth[-1] == 0 and all(depth[:-1])


def _stated(width: int, low: int, high: int, added: int, shift: int, bias: int, least: int, most: int) -> list[str]:
    """The lines that a question must have: what the accumulator is, and what the contract makes of its sum."""

    def number(value: int, bits: int = 64) -> str:
        return f"(_ bv{value % (1 << bits)} {bits})"

    wide = f"((_ sign_extend {64 - width}) acc)"
    wide = f"(bvsub {wide} {number(added)})" if added else wide
    half = f"(bvand (bvashr wide {number(min(shift, 63) - 1)}) {number(1)})" if shift else number(0)
    return [
        f"(declare-const acc (_ BitVec {width}))",
        f"(assert (and (bvsle {number(low, width)} acc) (bvsle acc {number(high, width)})))",
        f"(define-fun wide () (_ BitVec 64) {wide})",
        f"(define-fun shift () (_ BitVec 64) {number(min(shift, 63))})",
        "(define-fun quotient () (_ BitVec 64) (bvashr wide shift))",
        f"(define-fun sum () (_ BitVec 64) (bvadd (bvadd quotient {half}) {number(bias)}))",
        f"(define-fun clamped () (_ BitVec 64) (ite (bvslt sum {number(least)}) {number(least)}"
        f" (ite (bvsgt sum {number(most)}) {number(most)} sum)))",
    ]


def forms_again(folder: Path, content: bytes) -> list[str]:
    """Every value of every tap of every image is there once, and is the model's function of the taps before it."""
    try:
        claims = msgspec.json.decode(content, type=list[Claim])
    except (msgspec.MsgspecError, ValueError) as error:
        raise FileError(f"forms.json: {error}") from None
    graph = kept_model(folder).graph
    questions = read_refuted(folder)
    wrong = [] if "result" in read_list(folder).parts else ["the result of the runs is missing"]
    for claim in claims:
        wrong += [f"{claim.design}: {line}" for line in _design(folder, claim, graph, questions)]
    return wrong


def _design(folder: Path, claim: Claim, graph: Graph, questions: Mapping[str, str]) -> list[str]:
    if not _FILE.fullmatch(claim.file) or not (folder / claim.file).is_file():
        raise FileError(f"{folder / 'forms.json'}: names '{claim.file}', expected a file of forms")
    unknown = [name for name in (*claim.taps, *claim.shown) if name not in (INPUT, *graph.taps)]
    if unknown or INPUT in claim.taps or claim.images < 1:
        return [f"it is said of {', '.join(unknown) or 'no image'}, which the model has not"]
    if rest := sorted({*claim.shown} - {*claim.taps, *claim.given}):
        return [f"values are functions of '{rest[0]}', which is neither given nor proved"]
    if claim.whole and (graph.output not in claim.taps or claim.given != (INPUT,)):
        return [f"it is said to compute the whole model, but not '{graph.output}' of the input"]
    arrays = _arrays(folder / claim.file)
    rows, checker = _Rows(graph, claim.shown), _Checker(arrays, questions)
    there = {int(number): (int(of), int(variables)) for number, of, variables in arrays["values"].tolist()}
    if len(there) != len(arrays["values"]):
        return ["a value is there twice"]
    wrong = []
    for image in range(claim.images):
        before = image * rows.total
        for tap in claim.taps:
            for place in range(int(np.prod(graph.shapes[tap]))):
                number = before + rows.first[tap] + place
                if (found := there.pop(number, None)) is None:
                    wrong.append(f"image {image}, '{tap}', value {place}: nothing is claimed of it")
                elif text := checker.wrong(*found, rows.row(tap, place), before):
                    wrong.append(f"image {image}, '{tap}', value {place}: {text}")
                if len(wrong) >= _WRONG_MAX:
                    return [*wrong, "and perhaps more"]
    return [*wrong, *(["values are claimed that its taps do not have"] if there else [])]


def _arrays(path: Path) -> dict[str, Any]:
    try:
        with np.load(BytesIO(path.read_bytes()), allow_pickle=False) as file:
            arrays = {name: file[name] for name in ARRAYS}
    except (ValueError, KeyError, OSError, zipfile.BadZipFile) as error:
        raise FileError(f"{path}: is no file of forms: {error}") from None
    values, classes = arrays["values"], arrays["classes"]
    lists, tables = len(arrays["lists_at"]) - 1, len(arrays["tables_at"]) - 1
    good = values.ndim == classes.ndim == 2 and values.shape[1] == 3 and classes.shape[1] == len(CLASS)
    good = good and all(array.dtype.kind in "iU" and array.size >= 0 for array in arrays.values())
    if good and len(values):
        good = bool((values[:, 1:] >= 0).all() and values[:, 1].max() < len(classes) and values[:, 2].max() < lists)
        kinds = classes[:, 0]
        bounds = np.where(kinds == QUESTION, len(arrays["questions"]), tables)
        good = good and bool((classes[:, :3] >= 0).all() and (classes[:, 1] < lists).all() and (kinds <= FEW).all())
        good = good and bool((classes[:, 2] < bounds).all() and ((kinds == FEW) | (classes[:, 3] > 0)).all())
        good = good and bool((classes[:, 3] < 64).all())
    if not good:
        raise FileError(f"{path}: its arrays do not fit each other")
    return arrays
