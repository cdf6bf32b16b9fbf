"""Proofs of a model alone: the compiled engine, reachable values, widths, and the evidence of them checked again."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fxsim import run
from fxsim.cli import main
from fxsim.contract import TableRule
from fxsim.engines.compiled import program
from fxsim.errors import FileError, ModelError
from fxsim.formats import save
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool, Relu
from fxsim.prove import evidence as evidence_module
from fxsim.prove.again import AGAIN
from fxsim.prove.engine import Checked, inputs_of_sums, prove_engine
from fxsim.prove.evidence import Evidence, recheck
from fxsim.prove.reach import reach, unused_entries
from fxsim.prove.solver import Answer, decide, decide_again
from fxsim.prove.widths import Widths, row_bits, widths
from tests import oracle


def every_operator() -> Model:
    """A model of every operator: 2 tokens of 1 value, so that all 65,536 images can be computed."""
    int8 = lambda *values: np.array(values, np.int8)  # noqa: E731
    uint8 = lambda *values: np.array(values, np.uint8)  # noqa: E731
    table = np.array([[-100, -3, 5, 90], [1, 2, 3, 4], [127, -128, 127, -128]], np.int8)
    nodes = [
        Node("embed", Linear(int8(3, -5, 1)[:, None], int8(4, 0, -7), uint8(1, 2, 0)), (INPUT,)),
        Node("table", Lut(table, TableRule.CLAMP), ("embed",)),
        Node("scaled", Affine(int8(-7, 64, 100), int8(0, 90, -3), uint8(3, 9, 200)), ("embed",)),
        Node("mix", Linear(np.array([[1, 2], [-3, 1]], np.int8), int8(1, 0), uint8(1, 1), Axis.TOKENS), ("table",)),
        Node("sum", Add(), ("mix", "scaled")),
        Node("positive", Relu(), ("sum",)),
        Node("pool", Pool(2), ("positive",)),
        Node("classes", Linear(np.array([[9, 1, -2], [1, 0, 0]], np.int8), int8(0, 0), uint8(2, 9)), ("pool",)),
    ]
    return Model(Graph((2, 1), nodes), "every operator")


def test_engine_is_proved_for_every_operator() -> None:
    """Nothing differs, each node is there, and what is not finite is said."""
    proof = prove_engine(every_operator())
    assert proof.proved
    assert [node.wrong for node in proof.nodes] == [""] * len(proof.nodes)
    assert {node.node for node in proof.nodes} == set(every_operator().graph.taps)
    assert "loops" in proof.not_proved[0]


def without_half(real: Callable[..., Any]) -> Callable[..., Any]:
    """Lowering that forgets the rounding half."""

    def rounded(name: str, op: Linear) -> Any:
        weight, (start, shift, bias) = real(name, op)
        return weight, np.stack([start - (np.left_shift(1, shift) >> 1), shift, bias]).astype(np.int32)

    return rounded


def one_weight_off(real: Callable[..., Any]) -> Callable[..., Any]:
    """Lowering that changes one weight."""

    def rounded(name: str, op: Linear) -> Any:
        weight, scale = real(name, op)
        weight = weight.copy()
        weight[-1, -1] += 1
        return weight, scale

    return rounded


def one_entry_off(real: Callable[..., Any]) -> Callable[..., Any]:
    """Lowering that changes one entry of each table."""

    def tables(table: Any, *rest: Any) -> Any:
        table = table.copy()
        table[-1, 77] ^= 1
        return real(table, *rest)

    return tables


@pytest.mark.parametrize(
    ("name", "fault", "node", "said"),
    [
        ("_rounded", without_half, "embed", "the packed numbers do not give what the contract does"),
        ("_rounded", one_weight_off, "mix", "output 1: its packed weights are neither the model's nor all 0"),
        ("_tables", one_entry_off, "table", "channel 2, input -51: the engine gives"),
    ],
)
def test_faults_of_the_engine_are_found(
    name: str, fault: Callable[..., Any], node: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault in lowering is named with the node, the place and both values."""
    monkeypatch.setattr(program, name, fault(getattr(program, name)))
    proof = prove_engine(every_operator())
    assert not proof.proved
    first: Checked = next(row for row in proof.nodes if row.node == node and row.wrong)
    assert said in first.wrong


def test_inputs_make_the_sums_they_are_for() -> None:
    """Inputs of a row make its sums wherever they say so, and for all of them where the weights reach every sum."""
    weight = np.array([5, -3, 1, 100])
    low, high = -128 * 106 - 127 * 3, 127 * 106 + 128 * 3
    totals = np.arange(low, high + 1)
    x, made = inputs_of_sums(weight, totals)
    assert made.all()
    assert (x @ weight == totals).all()
    assert (x.min(), x.max()) == (-128, 127)
    assert not inputs_of_sums(np.array([2]), np.array([1]))[1].any()


# --- Reachable values and widths -------------------------------------------------------------------------------------


def all_images() -> Any:
    """Every image of 2 tokens of 1 value."""
    return np.array(list(itertools.product(range(-128, 128), repeat=2)), np.int8)[:, :, None]


def test_reachable_values_hold_all_that_images_make() -> None:
    """Each set holds what all images make at its place, and nothing else where it is called exact."""
    model = every_operator()
    taps = run(model, all_images(), taps="all", engine="reference")
    found = reach(model)
    exact = []
    for name, values in taps.items():
        values = values.reshape(len(values), -1, values.shape[-1])
        sets = np.broadcast_to(found[name].sets, (values.shape[1], values.shape[2], 256))
        for t, c in np.ndindex(*sets.shape[:2]):
            made = set(np.unique(values[:, t, c]).tolist())
            stated = set((np.flatnonzero(sets[t, c]) - 128).tolist())
            assert made <= stated, (name, t, c)
            if found[name].exact:
                assert made == stated, (name, t, c)
        exact += [name] * found[name].exact
    assert exact == ["embed", "table", "scaled", "mix"]


def test_entries_that_nothing_depends_on() -> None:
    """An entry of a table is unused where changing it changes nothing for any reachable input, found by trying."""
    model = every_operator()
    op: Any = model.graph.by_name["table"].op
    x = reach(model)["embed"]
    inputs = [np.flatnonzero(values) - 128 for values in x.sets.any(axis=0)]
    for c, unused in enumerate(unused_entries(op, x)):
        for entry in range(op.table.shape[1]):
            values = []
            for change in (0, -70, 70):
                stored = op.table[c].tolist()
                stored[entry] = max(-128, min(127, stored[entry] + change))
                values.append([oracle.interpolate(stored, op.rule, int(v)) for v in inputs[c]])
            assert (values[0] == values[1] == values[2]) == (entry in unused), (c, entry)


@pytest.mark.parametrize(
    "row", [(-9, 9, 0, 0), (-700, 300, 2, 5), (-40, 90, 8, 3), (0, 5000, 3, 127), (-5, 900, 1, -128)]
)
def test_bits_of_a_row_are_the_fewest(row: tuple[int, int, int, int]) -> None:
    """The stated bits change no sum's value; one less changes some, by trying every sum."""
    low, high, shift, bias = row

    def changed(bits: int) -> bool:
        half = 1 << (bits - 1)
        cut = lambda v: (v + half) % (2 * half) - half  # noqa: E731
        return any(
            oracle.requantise(v, shift, bias) != oracle.requantise(cut(v), shift, bias) for v in range(low, high + 1)
        )

    bits = row_bits(row)
    assert not changed(bits)
    assert bits == 2 or changed(bits - 1)


def widths_by_node(found: Widths) -> dict[str, tuple[int, int, int]]:
    """Bits needed and the range of the sum, by node."""
    return {row.node: (row.needed, row.low, row.high) for row in found.accumulators}


def test_widths_hold_every_sum() -> None:
    """Sums of all images lie within the stated ranges; a ReLU's zeros make the classifier narrower."""
    model = every_operator()
    found = widths(model)
    assert found.decided
    stated = widths_by_node(found)
    taps = run(model, all_images(), taps="all", engine="reference")
    op: Any = model.graph.by_name["classes"].op
    sums = taps["pool"].astype(np.int64) @ op.weight.T.astype(np.int64)
    bits, low, high = stated["classes"]
    assert low <= sums.min()
    assert sums.max() <= high
    # After a ReLU no value is below 0: 9 * 127 + 1 * 127 and -2 * 127 are the most that there can be.
    assert low >= -254
    assert high <= 1270
    assert (bits, row_bits((low, high, 2, 0))) == (12, 12)
    assert next(row for row in found.accumulators if row.node == "embed").reached


# --- Evidence --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proved() -> Evidence:
    """The evidence of both proofs of the model of every operator."""
    evidence = Evidence(model=every_operator())
    prove_engine(every_operator(), evidence=evidence)
    widths(every_operator(), evidence)
    return evidence


def test_evidence_holds_when_it_is_checked_again(proved: Evidence, tmp_path: Path) -> None:
    """z3 answers as bitwuzla did, tables and ranges come out the same another way, and the hash is the one written."""
    sha256 = proved.write(tmp_path / "e")
    result = recheck(tmp_path / "e", AGAIN)
    assert result.wrong == ()
    assert result.sha256 == sha256
    assert result.questions == len(proved.questions) > 10
    assert set(result.parts) == {"engine", "widths"}


def alter(path: Path) -> None:
    """Change a byte of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda e: alter(e / "engine.json"), "engine.json: was altered"),
        (lambda e: alter(next((e / "questions").iterdir())), "was altered"),
        (lambda e: (e / "widths.json").unlink(), "widths.json: cannot be read"),
        (lambda e: (e / "more.txt").write_text("x"), "more.txt: is not listed"),
        (lambda e: (e / "evidence.json").unlink(), "evidence.json: cannot be read"),
    ],
)
def test_altered_evidence_is_refused_by_name(
    change: Callable[[Path], object], said: str, proved: Evidence, tmp_path: Path
) -> None:
    """A file that was changed, is missing or was added is named."""
    proved.write(tmp_path / "e")
    change(tmp_path / "e")
    with pytest.raises(FileError, match=said):
        recheck(tmp_path / "e", AGAIN)


def forge(folder: Path, name: str, change: Callable[[str], str]) -> None:
    """Change a file of evidence and the record with it, as somebody would who can hash."""
    import hashlib

    content = change((folder / name).read_text())
    (folder / name).write_text(content)
    record = json.loads((folder / "evidence.json").read_text())
    record["files"][name] = hashlib.sha256(content.encode()).hexdigest()
    (folder / "evidence.json").write_text(json.dumps(record))


def narrower(text: str) -> str:
    """Widths that claim one bit less of every accumulator."""
    claims = json.loads(text)
    for row in claims["accumulators"]:
        row["needed"] -= 1
    return json.dumps(claims)


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        ("engine.json", lambda text: text.replace("-128", "-127", 1), "node 'embed', output 2: its range"),
        ("widths.json", narrower, "node 'embed', row 1: 10 bits change a value"),
        ("widths.json", lambda text: text.replace('"values": 256', '"values": 255', 1), "tap 'input'"),
    ],
)
def test_forged_claims_do_not_hold(
    name: str, change: Callable[[str], str], said: str, proved: Evidence, tmp_path: Path
) -> None:
    """Claims that were changed with their hash do not come out again."""
    proved.write(tmp_path / "e")
    forge(tmp_path / "e", name, change)
    wrong = recheck(tmp_path / "e", AGAIN).wrong
    assert wrong
    assert any(said in line for line in wrong), wrong


def test_a_question_answered_otherwise_does_not_hold(tmp_path: Path) -> None:
    """A question whose answer is not the stated one is wrong, and so is one that nobody expects to be decided."""
    evidence = Evidence()
    text = "(set-logic QF_BV)\n(declare-const x (_ BitVec 4))\n(assert (= (bvadd x x) #x6))\n(check-sat)\n"
    assert decide(text).answer is decide_again(text) is Answer.SAT
    assert decide(text).values["x"] in (3, 11)
    evidence.ask("one", text, Answer.UNSAT, "nothing doubles to 6")
    evidence.write(tmp_path / "e")
    assert ["nothing doubles to 6" in line for line in recheck(tmp_path / "e", AGAIN).wrong] == [False, True]


def test_unknown_parts_are_refused(tmp_path: Path) -> None:
    """A part that nothing here checks is refused, and so is a record of another format."""
    evidence = Evidence()
    evidence.add("novel", {})
    evidence.write(tmp_path / "e")
    with pytest.raises(FileError, match="has a part 'novel', expected: engine"):
        recheck(tmp_path / "e", AGAIN)
    record = (tmp_path / "e" / evidence_module.RECORD).read_text().replace('"format": 1', '"format": 2')
    (tmp_path / "e" / evidence_module.RECORD).write_text(record)
    with pytest.raises(FileError, match="has format 2, expected 1"):
        recheck(tmp_path / "e", AGAIN)


def test_commands_prove_write_and_check(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`prove --widths -o` writes evidence that `prove --recheck` finds to hold; statuses are the stated."""

    def call(*args: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as caught:
            main(["prove", *args])
        assert isinstance(caught.value.code, int)
        return caught.value.code, *capfd.readouterr()

    file, folder = tmp_path / "m.safetensors", tmp_path / "e"
    save(every_operator(), file)
    status, out, _ = call(str(file), "--widths", "-o", str(folder), "--json")
    assert status == 0
    shown = json.loads(out)
    assert shown["proved"] is True
    status, out, _ = call("--recheck", str(folder))
    assert status == 0
    assert f"holds: evidence {shown['evidence']}" in out
    alter(folder / "widths.json")
    status, _, err = call("--recheck", str(folder))
    assert (status, "widths.json: was altered" in err) == (1, True)
    assert call(str(file), "--engine", "--widths")[0] == 2
    for words in (("--share-loops",), ("--interval", "9"), ("--schedule", "all")):
        for of in ((str(file), "--widths"), (str(file), "--engine"), ("--recheck", str(folder))):
            status, _, err = call(*of, *words)
            assert (status, f"{words[0]}" in err, "of the RTL: not with --engine, --widths" in err) == (2, True, True)
    assert call()[0] == 2
    assert call("--recheck", str(folder), str(file))[0] == 2
    status, _, err = call(str(file), "--widths", "-o", str(folder))
    assert (status, "is not empty" in err) == (1, True)


def test_other_numbers_are_refused() -> None:
    """A model of other numbers than int8 is refused by name, by both."""
    from fxsim.contract import Number, Tensor

    tensor = Tensor(("token", "channel"), (2, 1), Number(4))
    model = Model(Graph(tensor, [Node("r", Relu(), (INPUT,))]), "narrow")
    for prove in (prove_engine, widths):
        with pytest.raises(ModelError, match="takes int8 tensors"):
            prove(model)
