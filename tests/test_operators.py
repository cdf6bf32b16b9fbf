"""Operators: the set of those there are, the tables that every room has of them, and what adding one takes."""

import dataclasses
import importlib
import pkgutil
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

import fxsim
from fxsim.contract import Tensor
from fxsim.engines import run
from fxsim.errors import ModelError
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import OPERATORS, TABLES, NotTaken, Operator, OperatorTable, Relu

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
