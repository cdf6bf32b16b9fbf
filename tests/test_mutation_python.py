"""Mutants of Python: made at places of the tree, loaded in their module's place, judged by tests and by exhaustion."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from fxsim import jit
from fxsim.contract import RANGED, Number, TableRule, number
from fxsim.engines import loops
from fxsim.engines.compiled import isa, kernel, pixels
from fxsim.errors import FileError, FxsimError
from fxsim.mutation import benches, python_run
from fxsim.mutation.domains import DOMAINS, exhaust
from fxsim.mutation.imports import PACKAGE
from fxsim.mutation.kinds import Mutant
from fxsim.mutation.python import KINDS, NOT_PYTHON, SAME_CODE, Candidates, function_at, make_mutants
from fxsim.mutation.python_run import ROOMS, Judge, Request, file_of, mutate_python
from fxsim.mutation.text import markdown
from fxsim.tables import points_kernels

TOY = '''"""A module — of every kind."""

import numpy as np

LIMIT = 5


def toy(a: int, b: int, *, strict: bool = True) -> list[object]:
    """Results; a + b in a docstring is no place."""
    values: list[object] = [a + b, a << 2, a & b, -a]
    half = 1
    if a < b and strict:
        values[0] = (a >> 1) + half
    for i in range(3):
        values.append(values[i])
    values.append(min(a, LIMIT))
    values.append(np.asarray([300 * b]).astype(np.int16).tolist())
    values.append(np.asarray([-a]).astype(np.uint8).tolist())
    if a is None:
        raise ValueError(f"{a + b} is not one of {LIMIT + 1}")
    return values
'''


def outcome(text: str) -> str:
    """All that the toy gives, or what it raises."""
    try:
        space: dict[str, object] = {}
        exec(compile(text, "toy", "exec"), space)  # noqa: S102  # this file's own text
        function = space["toy"]
        assert callable(function)
        return repr([function(a, b) for a, b in ((1, 2), (9, 3), (6, 6))])
    except Exception as error:
        return f"raises {type(error).__name__}"


def toys() -> Candidates:
    """Every mutant of the toy."""
    return make_mutants(TOY, "toy.py", "toy")


def test_every_kind_changes_behaviour() -> None:
    """Of every kind there is a mutant of the toy that computes something else."""
    right = outcome(TOY)
    for kind in KINDS:
        own = [mutant for mutant in toys().mutants if mutant.kind == kind]
        assert own, f"there is no mutant of kind {kind}"
        found = [outcome(mutant.apply(TOY)) for mutant in own]
        assert any(text != right and not text.startswith("raises") for text in found), kind


def test_mutant_is_one_edit_of_what_computes() -> None:
    """Each is one edit at its place, has an id of its own, and none is in a docstring, an annotation or an error."""
    found = toys().mutants
    for mutant in found:
        assert TOY[mutant.start : mutant.end] == mutant.was
        assert mutant.apply(TOY) == TOY[: mutant.start] + mutant.becomes + TOY[mutant.end :]
        line = TOY.splitlines()[mutant.line - 1]
        assert line[mutant.column - 1 :].startswith(mutant.was.split("\n")[0])
        assert '"""' not in line
        assert "raise" not in line
        assert mutant.start > TOY.index(":", TOY.index("strict")) or mutant.line == 5
    assert len({mutant.id for mutant in found}) == len(found)
    # An edit of another line changes no id.
    moved = make_mutants(TOY.replace("LIMIT = 5", "# more\nLIMIT = 5"), "toy.py", "toy").mutants
    assert {mutant.id for mutant in moved} == {mutant.id for mutant in found}


@pytest.mark.parametrize(
    ("text", "becomes", "left_out"),
    [
        # 2 * 2 and 2 + 2 are one constant to the compiler.
        ("def f():\n    return 2 + 2\n", {"-", "1", "3"}, {SAME_CODE: 0, NOT_PYTHON: 0}),
        ("def f():\n    return 2 * 2\n", {"1", "3"}, {SAME_CODE: 1, NOT_PYTHON: 0}),
        # A pattern takes no parentheses around its parts.
        ("match 1:\n    case 0 + 2j:\n        pass\n", {"-", "0", "1", "2"}, {SAME_CODE: 0, NOT_PYTHON: 1}),
    ],
)
def test_what_changes_nothing_or_is_no_python_is_left_out(
    text: str, becomes: set[str], left_out: dict[str, int]
) -> None:
    """A mutant of the same bytecode, or of none, is none, and is counted."""
    found = make_mutants(text, "toy.py", "toy")
    assert {mutant.becomes for mutant in found.mutants} == becomes
    assert found.left_out == left_out


def test_text_that_is_no_python_is_refused() -> None:
    """A text that Python does not read is named."""
    with pytest.raises(FileError, match=r"^toy\.py is not read as Python: "):
        make_mutants("def f(:\n", "toy.py", "toy")


def test_function_at_a_place() -> None:
    """A place is in the function that holds it, within its class; decorators and constants are in none."""
    text = "X = 1\nclass A:\n    Y = 2\n    @property\n    def f(self):\n        return 3\ndef g():\n    return 4\n"
    assert [function_at(text, text.index(digit)) for digit in "1234"] == ["", "", "A.f", "g"]


@pytest.mark.slow
def test_every_module_of_a_room_has_mutants_and_tests() -> None:
    """Every module of a room is there, in one room, and its tests are files of this folder."""
    modules = [module for room in ROOMS for module in room.modules]
    assert len(set(modules)) == len(modules)
    for module in modules:
        assert make_mutants((PACKAGE / file_of(module)).read_text(), file_of(module), module).mutants
    for name in {name for room in ROOMS for name in (*room.own, *room.others)}:
        assert (Path(__file__).parent / f"test_{name}.py").is_file()


def test_machine_code_is_made_of_no_other_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules of rooms that are not compiled are part of no machine code: what is cached does for their mutants."""
    reached: set[Path] = set()
    find = inspect.getfile

    def note(value: object) -> str:
        file = find(value)  # type: ignore[arg-type]  # as inspect takes it
        reached.add(Path(file))
        return file

    monkeypatch.setattr(jit.inspect, "getfile", note)
    functions: list[Callable[..., None]] = [kernel.compute, pixels.compute_pixels, points_kernels._choose_points]
    functions += [getattr(loops, name) for name in ("_linear_channels", "_affine", "_relu", "_lut", "_add", "_pool")]
    for function in functions:
        jit._constants(function, Path(find(function)).parent)
    compiled = {PACKAGE / file_of(module) for room in ROOMS if room.compiled for module in room.modules}
    assert compiled <= reached | {Path(find(isa))}
    for room in ROOMS:
        if not room.compiled:
            assert not reached & {PACKAGE / file_of(module) for module in room.modules}


# --- Judging ---------------------------------------------------------------------------------------------------------

TESTS = '''"""A test of the toy's."""
import os
from pathlib import Path

import pytest

from fxsim.contract import bounds, number


def test_widths():
    """What a test looks at."""
    assert bounds.linear_acc_bits(48) == 22
    Path(os.environ["TOLD"]).open("a").write(os.environ["FXSIM_CACHE"] + "\\n")


@pytest.mark.slow
def test_codes():
    """What is looked at later."""
    assert number.Number(4).codes == 16
'''
CONFTEST = '''"""As the tests' own."""
from hypothesis import settings

settings.register_profile("fxsim")
'''


@contextmanager
def toy_judge(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Judge]:
    """A judge of the contract's widths and formats by two tests of its own, in a clone with nothing else."""
    (folder / "tests").mkdir()
    (folder / "fxsim").symlink_to(PACKAGE)
    (folder / "tests" / "test_toy.py").write_text(TESTS)
    (folder / "tests" / "conftest.py").write_text(CONFTEST)
    (folder / "conftest.py").write_text("")
    marks = ("slow", "thorough", "process", "verilator", "icarus", "alone", "torch", "onnx")
    (folder / "pyproject.toml").write_text(f"[tool.pytest.ini_options]\nmarkers = {list(marks)}\n")
    room = python_run.Room(("contract.bounds", "contract.number"), ("toy",))
    monkeypatch.setattr(python_run, "ROOMS", (room,))
    monkeypatch.setattr(python_run, "find_root", lambda: folder)
    monkeypatch.setattr(benches, "LIMIT_SECONDS", 0.5)
    monkeypatch.setenv("FXSIM_CACHE", str(folder / "cache"))
    monkeypatch.setenv("TOLD", str(folder / "told"))
    request = Request()
    with Judge(python_run.Candidates(request), request) as judge:
        yield judge


def edit(module: ModuleType, was: str, becomes: str) -> Mutant:
    """An edit of a module of the contract, which nobody need have drawn."""
    name = module.__name__.removeprefix("fxsim.")
    start = (PACKAGE / file_of(name)).read_text().index(was)
    return Mutant("0" * 12, file_of(name), name, "constant", 1, 1, start, start + len(was), was, becomes)


@pytest.mark.slow
@pytest.mark.process
def test_verdicts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed by its module's test or a later one, survived, invalid, timed out, equivalent: each as it should be."""
    from fxsim.contract import bounds

    widths, codes = "test_toy.py::test_widths", "test_toy.py::test_codes"
    sum_of_bits = "return x.bits + weight.bits + (inputs - 1)"
    cases = [
        (edit(bounds, sum_of_bits, sum_of_bits.replace("+ w", "- w")), "killed", "module test", widths),
        (edit(number, "return 1 << self.bits", "return 2 << self.bits"), "killed", "other test", codes),
        (edit(bounds, "return x.bits + (not x.signed)", "return x.bits - (not x.signed)"), "survived", "", ""),
        (edit(bounds, "ADD_ACC_BITS = 9", "ADD_ACC_BITS = nothing"), "invalid", "", ""),
        (edit(bounds, sum_of_bits, f"while True: pass\n    {sum_of_bits}"), "timed out", "module test", ""),
        (edit(number, "return 1 << self.bits", "return 2**self.bits"), "equivalent", "", ""),
    ]  # fmt: skip
    with toy_judge(tmp_path, monkeypatch) as judge:
        rows = [judge.judge(mutant) for mutant, *_ in cases]
    for row, (mutant, *expected) in zip(rows, cases, strict=True):
        assert [row.verdict, row.stage, row.check] == expected, mutant.becomes
    assert rows[-1].how == "the same results of Number.codes for all its 65 arguments"
    assert (rows[0].how, rows[3].how) == ("difference", "is not loaded")
    # Whatever a mutant puts into a cache is gone with it; only what was not mutated has the user's.
    told = (tmp_path / "told").read_text().splitlines()
    own = [place for place in told if place != str(tmp_path / "cache")]
    assert len(told) - len(own) == 2
    assert own
    assert not any(Path(place).exists() for place in own)
    assert len(set(own)) == 1


@pytest.mark.slow
@pytest.mark.process
def test_a_run_is_kept_and_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second run asks no test again, and its record is the first one's; a test that fails by itself is named."""
    with toy_judge(tmp_path, monkeypatch):
        pass
    first = mutate_python(Request(count=3))
    told = (tmp_path / "told").read_text()
    assert mutate_python(Request(count=3)) == first
    assert (tmp_path / "told").read_text() == told
    assert first.total.mutants == 3
    assert "mutants of the contract and the engines, seed 1" in markdown(first, "fxsim mutate --python")
    (tmp_path / "tests" / "test_toy.py").write_text(TESTS.replace("== 22", "== 23"))
    with pytest.raises(
        FxsimError, match=r"^without a mutant, tests/test_toy.py::test_widths fails: AssertionError: assert 22 == 23"
    ):
        mutate_python(Request(count=3))


def test_a_module_that_is_not_mutated_is_named() -> None:
    """A module of no room is refused with those that there are."""
    with pytest.raises(FxsimError, match=r"^no mutants are made of module 'jit', expected of: contract\.arithmetic, "):
        python_run.Candidates(Request(modules=("jit",)))


@pytest.mark.parametrize("name", sorted(DOMAINS))
def test_domains_are_of_functions_that_there_are(name: str) -> None:
    """A domain is of a function of a room's module, more than one argument, and its results are not all the same."""
    module, _, function = name.partition(":")
    assert any(module in room.modules for room in ROOMS)
    text = (PACKAGE / file_of(module)).read_text()
    assert function_at(text, text.index("return", text.index(f"def {function.rpartition('.')[2]}("))) == function
    results = [repr(result) for result in DOMAINS[name]()]
    assert len(set(results)) > 1
    assert exhaust(name)[0] == len(results)


def test_domains_hold_all_there_is() -> None:
    """Of formats, pairs of formats and tables' rules every one is there."""
    formats = 32 * len(RANGED) + 1  # and bipolar
    assert exhaust("contract.number:Number.low")[0] == formats
    assert exhaust("contract.bounds:add_acc_bits")[0] == formats**2
    assert exhaust("contract.tables:legal_points")[0] == formats * len(TableRule)
    assert Number(32).bits == number.BITS_MAX
