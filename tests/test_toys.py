"""The checklists of CONTRIBUTING.md are true: a toy is added as they say, works, and is thrown away."""

import subprocess
import sys
from pathlib import Path

import pytest

OPERATOR = '''
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from fxsim import operators
from fxsim.operators.base import Operator, check_input


@dataclass(frozen=True, eq=False)
class Flip(Operator):
    """y = the complement of every bit, in the input's format."""

    kind: ClassVar[str] = "flip"
    arity: ClassVar[int] = 1

    def result(self, *inputs):
        check_input(inputs[0], "flip")
        return inputs[0]


operators.OPERATORS["flip"] = Flip  # the one line of the set

import fxsim
from fxsim.engines import reference

reference.APPLY.rows[Flip] = lambda op, x: ~x  # the one row of the reference engine

from fxsim.errors import ModelError
from fxsim.graph import Graph, Model, Node

x = np.array([[[-128, -1, 0, 127]]], np.int8)
model = Model(Graph({shape}, (Node("turned", Flip(), ("input",)), Node("back", Flip(), ("turned",)))), "toy")
path = Path(sys.argv[1]) / "toy.safetensors"
fxsim.save(model, path)
again = fxsim.load(path)
assert again == model
for engine in ("reference", "auto"):
    out = fxsim.run(again, x, taps="all", engine=engine)
    assert out["turned"].tolist() == [[[127, 0, -1, -128]]], engine
    assert out["back"].tolist() == x.tolist(), engine
try:
    fxsim.run(again, x, engine="numba")
except ModelError as error:
    print(error)
'''


def python(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own, so that nothing of a toy stays."""
    return subprocess.run([sys.executable, *arguments], text=True, capture_output=True, check=False)


@pytest.mark.numba
def test_an_operator_is_one_class_one_line_and_a_row(tmp_path: Path) -> None:
    """It is computed, saved and loaded with a row of the reference engine; who has no row refuses it by name."""
    script = tmp_path / "toy.py"
    script.write_text(OPERATOR.replace("{shape}", "(1, 4)"))
    done = python(script, tmp_path)
    assert done.returncode == 0, done.stderr
    (refusal,) = done.stdout.splitlines()
    assert "does not take the operator 'flip'" in refusal


def test_an_operator_outside_the_set_is_refused(tmp_path: Path) -> None:
    """Without its line in the set no graph holds it: the mistake is seen at once, with the operator's name."""
    script = tmp_path / "toy.py"
    script.write_text(OPERATOR.replace("{shape}", "(1, 4)").replace('operators.OPERATORS["flip"] = Flip', ""))
    done = python(script, tmp_path)
    assert done.returncode == 1
    assert "ModelError" in done.stderr.splitlines()[-1]
    assert "flip" in done.stderr.splitlines()[-1].lower()
