"""Operators: the set of those there are, the tables that every room has of them, and what adding one takes."""

import dataclasses
import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import fxsim
from fxsim.contract import BIPOLAR, CHANNEL, COLUMN, ROW, TOKEN, Number, Sign, TableRule, Tensor, bias_number
from fxsim.coverage.points import NO_POINTS
from fxsim.engines import run
from fxsim.errors import ModelError
from fxsim.explain.hypotheses import HYPOTHESES, order
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import (
    OPERATORS,
    TABLES,
    Add,
    Affine,
    Argmax,
    Concat,
    Conv,
    Encode,
    Flatten,
    Gate,
    Linear,
    Lut,
    Matmul,
    MaxPool,
    MultiplyAdd,
    NotTaken,
    Operator,
    OperatorTable,
    OrderedLinear,
    Pad,
    Pool,
    Position,
    Prelu,
    Relu,
    Rescale,
    Reshape,
    SumPool,
    Threshold,
    Transpose,
    WeightedAdd,
)  # fmt: skip

PACKAGE = Path(fxsim.__file__).parent

EXPECTED_TABLES = {
    "the reference engine",
    "the ONNX export",
    "the C export",
    "the exact value",
    "the reader of exact values' inputs",
    "the description of a value",
    "the float32 network",
    "the check of accumulators",
    "the plain loops",
    "the compiled engine",
    "coverage of the arithmetic",
}
"""Tables that there must be; others may be added, and are held to the set of operators too."""


def import_everything() -> None:
    """Import every module of the package, so that every table is there."""
    for module in pkgutil.walk_packages([str(PACKAGE)], "fxsim."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)


@pytest.mark.torch
def test_every_table_has_a_row_for_every_operator() -> None:
    """No room forgets an operator: each takes it, or says why not; and none states one that there is not."""
    import_everything()
    assert set(TABLES) >= EXPECTED_TABLES
    for name, table in TABLES.items():
        assert set(table.rows) == set(OPERATORS.values()), name
        for row in table.rows.values():
            assert row is not None
            assert not isinstance(row, NotTaken) or len(row.reason) > 10, name


def test_operators_state_their_own_facts() -> None:
    """Each kind stands in a file of its name, which it shares with no other, and states what a file says of it."""
    for kind, operator in OPERATORS.items():
        assert operator.kind == kind
        assert operator.__module__ == f"fxsim.operators.{kind}"
        assert operator.arity >= 1
        fields = {field.name for field in dataclasses.fields(operator)}  # type: ignore[arg-type]
        assert fields <= {*operator.tensors, *operator.attributes}, kind
        derived = {*operator.tensors, *operator.attributes} - fields
        assert all(isinstance(getattr(operator, name), property) for name in derived), kind


Made = Callable[[Number, Number], tuple[Operator, tuple[Tensor, ...]]]
"""An operator on inputs of a format, with results of another where it states one; and those inputs."""


def instances() -> dict[str, Made]:
    """Each kind in its smallest form, by name."""
    image, tokens = (ROW, COLUMN, CHANNEL), (TOKEN, CHANNEL)
    one8, one16, one32 = np.ones(1, np.int8), np.ones(1, np.int16), np.ones(1, np.int32)
    zero8 = np.zeros(1, np.uint8)

    def on(
        axes: tuple[str, ...], shape: tuple[int, ...], make: Callable[[Number, Number], Operator], count: int = 1
    ) -> Made:
        return lambda x, out: (make(x, out), (Tensor(axes, shape, x),) * count)

    def bias(out: Number) -> Any:
        return np.zeros(1, bias_number(out).dtype)

    def levels(out: Number) -> Any:
        return np.array([out.low, out.high], out.dtype)

    def table(x: Number, out: Number) -> Operator:
        return Lut(np.full((1, min(x.codes, 1 << 16)), out.high, out.dtype), TableRule.FULL, x, out)

    def sums(_x: Number, out: Number) -> Operator:
        return SumPool((1, 1), (1, 1), out=out)

    def added(_x: Number, out: Number) -> Operator:
        return Add(40, out)

    def rescaled(_x: Number, out: Number) -> Operator:
        return Rescale(one32, one32, zero8, bias(out), out=out)

    whole = np.ones((1, 1, 1, 1), np.int8)
    row, place = np.ones((1, 1), np.int8), (1, 1, 1)
    made: dict[str, Made] = {
        "linear": on(tokens, (1, 1), lambda _x, out: Linear(row, bias(out), zero8, acc_bits=40, out=out)),
        "affine": on(tokens, (1, 1), lambda _x, out: Affine(one8, bias(out), zero8, 40, out=out)),
        "relu": on(tokens, (1, 1), lambda _x, _out: Relu()),
        "lut": on(tokens, (1, 1), table),
        "add": on(tokens, (1, 1), added, 2),
        "pool": on(tokens, (1, 1), lambda _x, _out: Pool(1, 40)),
        "conv": on(image, place, lambda _x, out: Conv(whole, out=out)),
        "max_pool": on(image, place, lambda _x, _out: MaxPool((1, 1), (1, 1))),
        "threshold": on(image, place, lambda _x, out: Threshold(one32[None], np.ones(1, np.uint8), levels(out), out)),
        "encode": on(image, place, lambda _x, out: Encode(one32[None], out)),
        "multiply_add": on(image, place, lambda _x, out: MultiplyAdd(one16, one32, zero8, 60, out)),
        "weighted_add": on(image, place, lambda _x, out: WeightedAdd(np.ones((2, 1), np.int16), zero8, 60, out), 2),
        "prelu": on(image, place, lambda _x, out: Prelu(one16, zero8, 60, out)),
        "gate": on(image, place, lambda _x, _out: Gate(one32), 2),
        "concat": on(image, place, lambda _x, _out: Concat(), 2),
        "flatten": on(image, place, lambda _x, _out: Flatten((0, 1, 2))),
        "sum_pool": on(image, place, sums),
        "ordered_linear": on(
            image, place, lambda _x, out: OrderedLinear(one16[None], np.zeros(1, out.dtype), zero8, out)
        ),
        "argmax": on(image, place, lambda _x, _out: Argmax(1)),
        "rescale": on(image, place, rescaled),
        "pad": on(image, place, lambda _x, _out: Pad(one32, (0, 0, 0, 0))),
        "matmul": on(tokens, (1, 1), lambda _x, out: Matmul(1, 1, out=out), 2),
        "position": on(tokens, (1, 1), lambda _x, out: Position(one16[None], out)),
        "reshape": on(image, place, lambda _x, _out: Reshape((0, 1, 2), (1,))),
        "transpose": on(image, place, lambda _x, _out: Transpose((0, 1, 2))),
    }
    assert set(made) == set(OPERATORS)
    return made


_FORMATS = (
    (Number(8, Sign.UNSIGNED), "unsigned"), (Number(16), "signed"), (Number(32), "signed to 32"), (BIPOLAR, "-1 and 1"),
)  # fmt: skip


def taken(kind: type[Operator], make: Made) -> tuple[str, str]:
    """The formats that an operator takes, and those that it gives: each is tried."""

    def works(x: Number, out: Number) -> bool:
        try:
            op, inputs = make(x, out)
            op.result(*inputs)
        except ModelError:
            return False
        return True

    some = (*(number for number, _ in _FORMATS), Number(1, Sign.UNSIGNED))
    takes = [words for number, words in _FORMATS if any(works(number, out) for out in some)]
    if "out" not in kind.attributes:
        op, inputs = make(Number(8), Number(8))
        return ", ".join(takes), "its input's" if op.result(*inputs).number == Number(8) else "its own"
    gives = [words for number, words in _FORMATS if any(works(x, number) for x, _ in _FORMATS)]
    return ", ".join(takes), "one bit" if gives == ["-1 and 1"] else ", ".join(gives)


def table_of_operators() -> list[str]:
    """The rows of docs/operators.md, from what operators and rooms state."""
    text = (PACKAGE.parent / "docs" / "arithmetic.md").read_text(encoding="utf-8")
    rules = {kind.split(",")[0]: rule for rule, kind in re.findall(r"^\| (O[0-9]+) \| ([a-z_]+)", text, re.MULTILINE)}

    def row(table: str, op: type[Operator]) -> bool:
        return not isinstance(TABLES[table].rows[op], NotTaken)

    found = []
    for kind, op in OPERATORS.items():
        engines = "all" if row("the compiled engine", op) else "reference, loops, compiled over pixels"
        assert row("the reference engine", op)
        assert row("the plain loops", op)
        assert row("the compiled engine beside convolutions", op)
        exports = [name for name, table in (("C", "the C export"), ("ONNX", "the ONNX export")) if row(table, op)]
        streams = row("the module of the streaming accelerator", op)
        rtl = [name for name, table in (("composed", "the composed accelerator"),) if row(table, op)]
        own = HYPOTHESES[op] != order.HYPOTHESES
        cells = (
            f"`{kind}`", rules[kind], *taken(op, instances()[kind]), engines, ", ".join(exports),
            ", ".join([*(("streaming",) if streams else ()), *rtl]) or "none",
            "yes" if own else "orders alone", "none" if op in NO_POINTS else "yes",
            "yes" if row("the proof of a design", op) else "no",
        )  # fmt: skip
        found.append(f"| {' | '.join(cells)} |")
    return found


@pytest.mark.torch
def test_the_page_of_operators_states_what_the_tables_do() -> None:
    """The table of docs/operators.md is what operators take and give when tried, and what every room has a row of."""
    import_everything()
    text = (PACKAGE.parent / "docs" / "operators.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `.*$", text, re.MULTILINE)
    assert rows == table_of_operators()


@dataclass(frozen=True, eq=False)
class Mystery(Operator):
    """An operator that nobody was told of."""

    kind: ClassVar[str] = "mystery"
    arity: ClassVar[int] = 1

    def result(self, *inputs: Tensor) -> Tensor:
        """Its input's."""
        return inputs[0]


def test_graphs_refuse_kinds_that_are_not_in_the_set() -> None:
    """An operator that is none of `OPERATORS`, even a subclass of one, is named as the graph is built."""
    with pytest.raises(ModelError, match="node 'a' is of the kind 'mystery', expected one of: linear, affine, relu,"):
        Graph((1, 1), (Node("a", Mystery(), (INPUT,)),))

    class Leaky(Relu):
        pass

    with pytest.raises(ModelError, match="node 'a' is of the kind 'relu'"):
        Graph((1, 1), (Node("a", Leaky(), (INPUT,)),))
    with pytest.raises(ModelError, match="node 'a' is of the kind 'str'"):
        Graph((1, 1), (Node("a", "relu", (INPUT,)),))  # type: ignore[arg-type]


def test_a_missing_row_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operator in the set that a room has no row for is refused there, never computed as something else."""
    monkeypatch.setitem(OPERATORS, "mystery", Mystery)
    model = Model(Graph((1, 1), (Node("a", Mystery(), (INPUT,)),)), "m")
    x = np.zeros((1, 1, 1), np.int8)
    for engine in ("reference", "numba", "auto"):
        with pytest.raises(ModelError, match="does not take the operator 'mystery', because nothing states how"):
            run(model, x, engine=engine)
    table: OperatorTable[object] = OperatorTable("a test", {Relu: NotTaken("because it is a test")})
    try:
        with pytest.raises(ModelError, match="a test does not take the operator 'relu', because it is a test"):
            table[Relu]
    finally:
        del TABLES["a test"]


TOY = '''"""Negation."""

from dataclasses import dataclass
from typing import ClassVar

from fxsim.contract import Tensor
from fxsim.operators.base import Operator, check_input


@dataclass(frozen=True, eq=False)
class Negate(Operator):
    """y = saturate(-x), in the input's format."""

    kind: ClassVar[str] = "negate"
    arity: ClassVar[int] = 1

    def result(self, *inputs: Tensor) -> Tensor:
        """The input's."""
        check_input(inputs[0], "negate")
        return inputs[0]
'''

ROWS = {
    "the reference engine": "Negate: lambda op, x: contract.saturate(-x.astype(np.int64), contract.INT8)",
    None: 'Negate: NotTaken("because it is a toy")',
}
"""The toy's row in each table: one function where it is computed, elsewhere a reason."""

IMPORT = "from fxsim.operators import Negate, NotTaken"

USE = """
import sys, numpy as np
import fxsim
from fxsim.graph import INPUT
from fxsim.operators import Negate, Relu
from fxsim.errors import ModelError
graph = fxsim.Graph((2, 3), [fxsim.Node("a", Negate(), (INPUT,)), fxsim.Node("b", Relu(), ("a",))])
fxsim.save(fxsim.Model(graph, "toy"), sys.argv[1])
model = fxsim.load(sys.argv[1])
x = np.array([[[-128, -5, 0], [1, 2, 127]]], np.int8)
print(fxsim.run(model, x, "all")["b"].tolist())
try:
    fxsim.run(model, x, engine="numba")
except ModelError as error:
    print(error)
"""


def test_a_new_operator_is_one_file_and_a_row_in_each_table(tmp_path: Path) -> None:
    """A toy put into a copy of the package: one new file, one line in the set and one in each table, and it works."""
    copy = tmp_path / "fxsim"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "operators" / "negate.py").write_text(TOY)
    changed = {"operators/negate.py"}
    init = copy / "operators" / "__init__.py"
    text = init.read_text().replace("for op in (Linear, ", "for op in (Negate, Linear, ")
    init.write_text(
        text.replace(
            "from fxsim.operators.pool", "from fxsim.operators.negate import Negate\nfrom fxsim.operators.pool"
        )
    )
    changed.add("operators/__init__.py")
    tables = 0
    for path in sorted(copy.rglob("*.py")):
        text = path.read_text()
        if path.parent.name == "operators" or "OperatorTable(" not in text:
            continue
        # After the opening brace of each table: the toy's row.
        for match in reversed(list(re.finditer(r"OperatorTable\(\s*\"([^\"]+)\",\s*\{", text))):
            row = ROWS.get(match[1], ROWS[None])
            text = f"{text[: match.end()]}{row}, {text[match.end() :]}"
            tables += 1
        path.write_text(text.replace("from fxsim.operators import ", f"{IMPORT}\nfrom fxsim.operators import ", 1))
        changed.add(str(path.relative_to(copy)))
    assert tables >= len(EXPECTED_TABLES)
    done = subprocess.run(
        [sys.executable, "-c", USE, str(tmp_path / "toy.safetensors")],
        cwd=tmp_path, text=True, capture_output=True, check=False,
        env={"PYTHONPATH": str(tmp_path), "FXSIM_CACHE": str(tmp_path / "cache"), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    values, refusal = done.stdout.splitlines()
    assert values == "[[[127, 5, 0], [0, 0, 0]]]"
    assert refusal == "node 'a': the compiled engine does not take the operator 'negate', because it is a toy"
    # Nothing else of the package knows of it.
    others = [path for path in copy.rglob("*.py") if "Negate" in path.read_text()]
    assert {str(path.relative_to(copy)) for path in others} == changed
