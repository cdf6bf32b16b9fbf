"""The verdict on one value of a design: proved to be the contract's function of the values before it, or a finding."""

from collections import Counter
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from fxsim.graph import INPUT
from fxsim.jit import compile_function
from fxsim.prove import queries
from fxsim.prove.compiled import cones
from fxsim.prove.compiled.cones import COLUMNS
from fxsim.prove.expected import Composed, Expected, Functions, HiddenError, Numbers, Requantised
from fxsim.prove.forms import Forms
from fxsim.prove.machine import Codes, Machine
from fxsim.prove.solver import Answer, decide

FEW = 2
"""Values of 8 bits of which every combination is tried."""
EXHAUSTED_MAX = 1 << 16
"""Most values of an accumulator that are all tried; the solver is asked about more."""
COMPOSED_MAX = 1 << 24
"""The same, of a function that more than one operator makes of a sum, about which no solver is asked."""
DIFFERING_MAX = 8
_VARIABLES_MAX = 1 << 14
_WITNESSES = 256
VALUE_BITS = 8
"""Bits of a value: all tensors are of 8."""
_OFFSET = 1 << VALUE_BITS - 1


class Place(NamedTuple):
    """A value: of which image, tap, token (None without tokens) and channel, seen in which cycle."""

    image: int
    tap: str
    token: int | None
    channel: int
    cycle: int


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A value that is not proved, and why.

    `kind`: `differs` (for values of the taps before it, `witness`, it gives `got` where the model gives `expected`),
    `unknown` (it depends on what nothing had set), `form` (it fits no form that is known), `sample` (it is wrong of the
    sample image `sample`). `text` says what was found.
    """

    kind: str
    image: int
    tap: str
    token: int | None
    channel: int
    cycle: int
    text: str
    witness: dict[str, int] = {}
    got: int | None = None
    expected: int | None = None
    sample: int | None = None


class Cone(NamedTuple):
    """A value's cone: its rows, and the numbers of its variables."""

    rows: npt.NDArray[np.int64]
    variables: Numbers


class Differing(NamedTuple):
    """A value that is wrong of some values of the taps before it, of which the weighted sum is `total`."""

    number: int
    cone: Cone
    expected: Expected
    total: int


@cache
def compiled() -> tuple[Callable[..., None], Callable[..., None]]:
    """The compiled functions: inspect, evaluate."""
    return compile_function(cones.inspect, cones.INSPECT), compile_function(cones.evaluate, cones.EVALUATE)


class Judge:
    """Judges the values of a design on a machine, one after the other; remembers each function that it has decided.

    `samples`: values by number, int64 [value, sample], of which every image of the run has its own, one after the
    other: each value's term is evaluated of them, too. `counts`: how values were proved; `questions`: each text that
    the solver was asked, with its answer. `forms`: where the form of each value that is proved is noted.
    """

    def __init__(self, machine: Machine, functions: Functions, samples: Numbers, forms: Forms | None = None) -> None:
        self._forms = forms
        self._function_of: dict[object, tuple[int, int]] = {}
        self._decided_by: bytes | str = b""
        self._machine = machine
        self._functions = functions
        self._samples = samples
        self._inspect, self._evaluate = compiled()
        self._rows = np.zeros((cones.ROWS_MAX, COLUMNS + 1), np.int64)
        self._inner = np.zeros((cones.ROWS_MAX, COLUMNS + 1), np.int64)
        self._stack = np.zeros((cones.ROWS_MAX, 2), np.int64)
        self._bounds = np.zeros((cones.ROWS_MAX, 3), np.int64)
        self._weights = np.zeros(cones.ROWS_MAX, np.int64)
        self._variables = np.zeros(_VARIABLES_MAX, np.int64)
        self._coefficients = np.zeros(_VARIABLES_MAX, np.int64)
        self._found = np.zeros(8, np.int64)
        self._seen = np.zeros((0, 3), np.int64)
        self._scratch = np.zeros((256, 256), np.uint64)
        self._decided: dict[object, str] = {}
        self._expected: dict[tuple[str, int | None, int], Expected] = {}
        self._random = np.random.default_rng(0)
        self.differing: list[Differing] = []
        """The first that are wrong of values which perhaps no image has, of the run's first image."""
        self.counts: Counter[str] = Counter()
        self.questions: dict[str, Answer] = {}

    def use(self, inspect: Callable[..., None], evaluate: Callable[..., None]) -> None:
        """Read cones by other functions than the compiled ones: for tests, which change rules in them."""
        self._inspect, self._evaluate = inspect, evaluate

    # --- A value ---

    def judge(self, codes: Codes, place: Place) -> Finding | None:
        """None where these bits are proved to be the value, for all values of the taps before it; else a finding."""
        unknown = codes[codes < 0]
        if len(unknown):
            return _finding("unknown", place, f"it depends on {self._machine.reason(int(unknown[0]))}")
        try:
            expected = self._function(place)
        except HiddenError as hidden:
            return self._hidden(codes, place, str(hidden))
        inputs = expected.inputs + place.image * self._functions.total
        cone, number = self.cone(codes, FEW), self.number(place)
        if cone is None:
            return _finding("form", place, f"it is made of more than {cones.ROWS_MAX:,} operations or of too much")
        if (wrong := self._of_samples(cone, place)) is not None:
            return wrong
        variables, rows = cone.variables, cone.rows
        several = self._found[cones.FORM] < 0
        text = self._of_forms(codes, number, expected, inputs, variables)
        if text is None and len(set(variables.tolist()) | set(inputs.tolist())) <= FEW:
            text = self._of_few(number, expected, inputs, cone)
        elif text is None and len(variables) <= FEW:
            text = f"it depends on {self._names(variables)}, expected on {len(inputs)} values: {self._names(inputs)}"
        elif text is None:
            of = "of several linear forms" if several else "of no linear form"
            text = f"it is a function {of} of {len(variables)} values ({len(rows)} operations)"
        if not text:
            return None
        return self._differing(cone, expected, inputs, place) or _finding("form", place, text)

    def _hidden(self, codes: Codes, place: Place, text: str) -> Finding | None:
        """The finding on a value of which a tap before it is not shown: wrong of a sample, or of no form."""
        cone = self.cone(codes, FEW)
        wrong = None if cone is None else self._of_samples(cone, place)
        return wrong or _finding("form", place, text)

    def cone(self, codes: Codes, few: int, halves: bool = False) -> Cone | None:
        """Read the cone of some bits, and with more than `few` variables its form; None where it is too large.

        With `halves` the lower and the upper half of a form are forms: of products that share a multiplier.

        The machine must have room (`make_room`), made before the bits were read.
        """
        room = self._machine.terms[4][1]
        if len(self._seen) < room:
            self._seen = np.zeros((int(room), 3), np.int64)
        codes = np.ascontiguousarray(codes, np.int64)
        self._inspect(
            *(codes, few, halves, *self._machine.terms),
            *(self._seen, self._stack, self._rows, self._inner, self._variables, self._coefficients),
            *(self._bounds, self._weights, self._found),
        )
        count = int(self._found[cones.ROWS])
        if count < 0:
            return None
        return Cone(self._rows[:count], self._variables[: int(self._found[cones.VARIABLES])].copy())

    def evaluate(self, rows: npt.NDArray[np.int64], inputs: Numbers) -> tuple[Numbers, npt.NDArray[np.bool_]]:
        """The values of a cone of 8 bits as int8's, for columns of its variables, and whether all it reads is set."""
        rows = np.ascontiguousarray(rows)
        if len(self._scratch) < len(rows):
            self._scratch = np.zeros((2 * len(rows), 256), np.uint64)
        values, good = np.zeros(inputs.shape[1], np.uint64), np.zeros(inputs.shape[1], np.uint8)
        inputs = np.ascontiguousarray(inputs, np.int64)
        machine = self._machine
        self._evaluate(rows, inputs, machine.memory, machine.memories, self._scratch, values, good)
        return (values.astype(np.int64) + _OFFSET) % (2 * _OFFSET) - _OFFSET, good != 0

    # --- Ways to prove it ---

    def _of_forms(
        self, codes: Codes, number: int, expected: Expected, inputs: Numbers, variables: Numbers
    ) -> str | None:
        """Compare its linear form, as `cone` has read it, else the one of halves. Empty where it is proved.

        Else the first reason why not; None where it has no form.
        """
        text = None
        for halves in (False, True):
            if halves:
                self.cone(codes, FEW, halves)
            if self._found[cones.FORM] == 1:
                found = self._of_form(number, expected, inputs, variables)
                if not found:
                    return found
                text = text or found
        return text

    def _of_form(self, number: int, expected: Expected, inputs: Numbers, variables: Numbers) -> str:
        """Compare the linear form with the weights, then the function of it; empty where it is proved."""
        found = self._found
        coefficients = self._coefficients[: len(variables)]
        met = coefficients != 0
        order, wanted = np.argsort(variables[met]), np.argsort(inputs)
        width, low, high = int(found[cones.WIDTH]), int(found[cones.LOW]), int(found[cones.HIGH])
        if not (
            np.array_equal(variables[met][order], inputs[wanted])
            and np.array_equal(coefficients[met][order], expected.weights[wanted])
        ):
            return self._unlike(dict(zip(variables.tolist(), coefficients.tolist(), strict=True)), expected, inputs)
        if not (-(1 << width - 1) <= low and high < 1 << width - 1):
            return f"its sum reaches from {low} to {high}, which {width} bits do not hold"
        inner = self._inner[: int(found[cones.INNER])]
        added = int(found[cones.CONSTANT])
        key = (inner[:, :COLUMNS].tobytes(), width, low, high, added, expected.key)
        if key not in self._decided:
            self._decided[key] = self._of_accumulator(inner, width, low, high, added, expected)
            self._keep_function(key)
        if self._forms is not None and not self._decided[key]:
            accumulator = [width, low, high, added]
            self._forms.of_form(number, variables[met], coefficients[met], self._function_of[key], accumulator)
        self.counts["form"] += not self._decided[key]
        return self._decided[key]

    def _of_accumulator(
        self, inner: npt.NDArray[np.int64], width: int, low: int, high: int, added: int, expected: Expected
    ) -> str:
        """Decide a function of an accumulator within its bounds: by all its values, or by the solver.

        It holds the sum and what is `added` to it.
        """
        composed = isinstance(expected.finish, Composed)
        if high - low < (COMPOSED_MAX if composed else EXHAUSTED_MAX):
            sums = np.arange(low, high + 1, dtype=np.int64)
            got, good = self.evaluate(inner, sums[None])
            wrong = np.flatnonzero(~good | (got != expected.finish(sums - added)))
            self._decided_by = got.astype(np.int8).tobytes()
            self.counts["functions by all values"] += 1
            return f"of a sum of {sums[wrong[0]] - added} it gives {got[wrong[0]]}" if len(wrong) else ""
        if not isinstance(expected.finish, Requantised):
            return f"it is no requantisation of its sum, of which there are {high - low + 1:,}"
        text = queries.question(inner, width, low, high, expected.finish, VALUE_BITS, added)
        if text is None:
            return "its function of the sum reads a memory"
        if text not in self.questions:
            self.questions[text] = decide(text).answer
        self.counts["functions by the solver"] += 1
        answer, self._decided_by = self.questions[text], text
        return "" if answer is Answer.UNSAT else f"the solver says '{answer}' of its function of the sum"

    def _of_few(self, number: int, expected: Expected, inputs: Numbers, cone: Cone) -> str:
        """Try every combination of a few values; empty where it is proved."""
        union = [*inputs.tolist(), *(v for v in cone.variables.tolist() if v not in inputs)]
        own = tuple(union.index(v) for v in cone.variables.tolist())
        key = (cone.rows[:, :COLUMNS].tobytes(), own, len(union), expected.weights.tobytes(), expected.key)
        if key not in self._decided:
            grid = _grid(len(union))
            got, good = self.evaluate(cone.rows, grid[list(own)])
            sums = expected.weights @ grid[: len(inputs)]
            wrong = np.flatnonzero(~good | (got != expected.finish(sums)))
            self.counts["functions by all values"] += 1
            self._decided_by = np.broadcast_to(got, grid.shape[1:]).astype(np.int8).tobytes()
            self._decided[key] = f"of {grid[:, wrong[0]].tolist()} it gives {got[wrong[0]]}" if len(wrong) else ""
            self._keep_function(key)
        if self._forms is not None and not self._decided[key]:
            self._forms.of_few(number, np.array(union, np.int64), self._function_of[key])
        self.counts["few"] += not self._decided[key]
        return self._decided[key]

    def _keep_function(self, key: object) -> None:
        if self._forms is not None and not self._decided[key]:
            self._function_of[key] = self._forms.function(self._decided_by)

    def _of_samples(self, cone: Cone, place: Place) -> Finding | None:
        """Evaluate the term of the sample images' values: it must be the model's."""
        wanted = self._samples[self.number(place)]
        inputs = self._samples[cone.variables]
        got, good = self.evaluate(cone.rows, inputs)
        wrong = np.flatnonzero(~good | (got != wanted))
        if not len(wrong):
            return None
        at = int(wrong[0])
        witness = self._witness(cone.variables, inputs[:, at])
        return _finding(
            "sample",
            place,
            f"of sample {at} it gives {got[at]}, expected {wanted[at]}" + ("" if good[at] else " (a word nothing set)"),
            witness=witness,
            got=int(got[at]),
            expected=int(wanted[at]),
            sample=at,
        )

    # --- What stands against it ---

    def _differing(self, cone: Cone, expected: Expected, inputs: Numbers, place: Place) -> Finding | None:
        """Look for values of the taps before it of which it is wrong: all at their ends, and random ones."""
        union = sorted({*inputs.tolist(), *cone.variables.tolist()})
        at = {v: i for i, v in enumerate(union)}
        columns = [np.zeros(len(union), np.int64)]
        for signs in (expected.weights, self._coefficients[: len(cone.variables)]):
            of = inputs if signs is expected.weights else cone.variables
            for sign in (1, -1):
                ends = np.zeros(len(union), np.int64)
                for variable, weight in zip(of.tolist(), signs.tolist(), strict=True):
                    ends[at[variable]] = _OFFSET - 1 if sign * weight > 0 else -_OFFSET
                columns.append(ends)
        tried = np.concatenate(
            [
                np.stack(columns, 1),
                self._random.integers(-_OFFSET, _OFFSET, (len(union), _WITNESSES)),
                # All but a few at one end: sums near their bounds.
                *(np.where(self._random.random((len(union), 64)) < 0.1, -1 - end, end) for end in (127, -128)),
                *(np.eye(len(union), dtype=np.int64)[:, :64] * value for value in (1, -1, 127, -128)),
            ],
            axis=1,
        )
        if len(union) <= FEW:
            tried = _grid(len(union))
        own = [at[v] for v in cone.variables.tolist()]
        got, good = self.evaluate(cone.rows, tried[own])
        wanted = expected.finish(expected.weights @ tried[[at[v] for v in inputs.tolist()]])
        wrong = np.flatnonzero(good & (got != wanted))
        if not len(wrong):
            return None
        column = int(wrong[0])
        witness = self._witness(np.array(union, np.int64), tried[:, column])
        text = f"it gives {got[column]} where the model gives {wanted[column]}"
        if place.image == 0 and len(self.differing) < DIFFERING_MAX:
            total = expected.weights @ tried[[at[v] for v in inputs.tolist()], column]
            kept = Cone(cone.rows.copy(), cone.variables)
            self.differing.append(Differing(self.number(place), kept, expected, int(total)))
        return _finding("differs", place, text, witness=witness, got=int(got[column]), expected=int(wanted[column]))

    def _unlike(self, coefficients: dict[int, int], expected: Expected, inputs: Numbers) -> str:
        weights = dict(zip(inputs.tolist(), expected.weights.tolist(), strict=True))
        differing = (
            v for v in sorted(coefficients.keys() | weights.keys()) if coefficients.get(v, 0) != weights.get(v, 0)
        )
        variable = next(differing)
        times = coefficients.get(variable, 0), weights.get(variable, 0)
        return f"it takes {self.name(variable)} {times[0]} times, expected {times[1]} times"

    # --- Names ---

    def number(self, place: Place) -> int:
        """The number of a value, of its image."""
        return place.image * self._functions.total + self._functions.number(place.tap, place.token, place.channel)

    def name(self, variable: int) -> str:
        """The name of a value by its number: its tap with the index, and the image where it is not the first."""
        image, number = divmod(variable, self._functions.total)
        tap = max((t for t, first in self._functions.first.items() if first <= number), key=self._functions.first.get)  # type: ignore[arg-type]
        shape = self._functions.graph.shapes[tap]
        index = np.unravel_index(number - self._functions.first[tap], shape)
        places = ", ".join(str(int(i)) for i in index)
        of = f"image {image} " if image else ""
        return f"{of}{'input' if tap == INPUT else tap}[{places}]"

    def _names(self, variables: Numbers) -> str:
        shown = [self.name(v) for v in variables.tolist()[:4]]
        return (", ".join(shown) or "nothing") + (", ..." if len(variables) > 4 else "")

    def _witness(self, variables: Numbers, values: Numbers) -> dict[str, int]:
        return {self.name(v): int(value) for v, value in zip(variables.tolist(), values.tolist(), strict=False)}

    def _function(self, place: Place) -> Expected:
        key = place.tap, place.token, place.channel
        if key not in self._expected:
            self._expected[key] = self._functions.expected(*key)
        return self._expected[key]


def _grid(axes: int) -> Numbers:
    """Every combination of so many values of 8 bits, int64 [axis, combination]."""
    codes = np.arange(1 << VALUE_BITS, dtype=np.int64) - _OFFSET
    return (
        np.array(np.meshgrid(*[codes] * axes, indexing="ij")).reshape(axes, -1) if axes else np.zeros((0, 1), np.int64)
    )


def _finding(kind: str, place: Place, text: str, **more: object) -> Finding:
    return Finding(
        kind=kind, image=place.image, tap=place.tap, token=place.token, channel=place.channel, cycle=place.cycle,
        text=text, **more,  # type: ignore[arg-type]
    )  # fmt: skip
