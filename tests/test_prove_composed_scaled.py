"""Proofs of the composed accelerator's modules that scale under every schedule, and of designs that have them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fxsim.contract import INT8, Division, Number, Rounding
from fxsim.contract.number import UINT8
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Affine, MultiplyAdd, Operator, Position, Relu, Rescale, SumPool, WeightedAdd
from fxsim.prove.again import AGAIN
from fxsim.prove.composed import wrong_of
from fxsim.prove.evidence import Evidence, recheck
from fxsim.prove.instances import elaborate
from fxsim.prove.schedules import prove_schedules
from tests.test_composed import image
from tests.test_prove_composed import broken, changed, check_proved, check_refused, design, read

SCALE = {
    "PERIOD": 6, "LANES": 2, "X_W": 6, "X_SIGNED": 1, "W_W": 3, "A_W": 4, "ACC_W": 10, "S_W": 3, "B_W": 4, "Y_W": 4,
    "Y_SIGNED": 1, "RELU": 0, "ROUNDING": 0,
}  # fmt: skip
JOIN = {
    "PERIOD": 6, "LANES": 2, "X_W": 4, "X_SIGNED": 0, "R_W": 3, "R_SIGNED": 1, "W_W": 3, "ACC_W": 9, "S_W": 3,
    "Y_W": 4, "Y_SIGNED": 1,
}  # fmt: skip
ONE = {**SCALE, "LANES": 1}
TWO = {**JOIN, "LANES": 1, "PERIOD": 3}

EVEN, AWAY = ({**ONE, "ROUNDING": rounding} for rounding in (1, 2))
# Shifts beyond 31, of sums that have as many bits, of a small factor so that no time goes into products.
TWICE = {**ONE, "W_W": 2, "A_W": 37, "ACC_W": 38, "S_W": 6, "ROUNDING": 3}

PROVED = [("few_affine", SCALE), ("few_weighted_add", JOIN), *(("few_affine", each) for each in (EVEN, AWAY, TWICE))]
MORE = [
    # One word for all, no factor, a result without a sign; shifts beyond the sum; a ReLU; wide factors; a whole image.
    ("few_affine", {**ONE, "PERIOD": 1, "X_W": 19, "W_W": 0, "A_W": 1, "ACC_W": 20, "S_W": 4, "B_W": 1, "Y_W": 7,
                    "Y_SIGNED": 0}),
    ("few_affine", {**ONE, "X_SIGNED": 0, "S_W": 8, "RELU": 1}),
    ("few_affine", {**ONE, "X_W": 19, "W_W": 16, "A_W": 30, "ACC_W": 36, "S_W": 6, "B_W": 8, "Y_W": 8}),
    ("few_affine", {**ONE, "B_W": 14, "Y_W": 12}),
    ("few_affine", {**ONE, "Y_W": 16, "Y_SIGNED": 0}),
    ("few_affine", {**ONE, "PERIOD": 512, "X_W": 8, "W_W": 0, "A_W": 6, "ACC_W": 9, "S_W": 1, "B_W": 1, "Y_W": 9}),
    # Each rounding of wide sums; of sums narrower than the places that are dropped first; shifts beyond the sum.
    *(("few_affine", {**ONE, "X_W": 19, "W_W": 16, "A_W": 30, "ACC_W": 36, "S_W": 6, "B_W": 8, "Y_W": 8, "ROUNDING": n})
      for n in (1, 2, 3)),
    *(("few_affine", {**SCALE, "S_W": 8, "ROUNDING": n}) for n in (1, 2, 3)),
    ("few_weighted_add", {**TWO, "PERIOD": 1, "X_W": 7, "R_W": 8, "W_W": 4, "ACC_W": 11, "S_W": 2, "Y_W": 8}),
    ("few_weighted_add", {**TWO, "X_W": 16, "X_SIGNED": 1, "R_W": 16, "W_W": 12, "ACC_W": 28, "S_W": 5, "Y_W": 8}),
    ("few_weighted_add", {**TWO, "R_SIGNED": 0, "Y_SIGNED": 0}),
]  # fmt: skip


@pytest.mark.parametrize(("module", "parameters"), PROVED)
def test_modules_are_proved(module: str, parameters: dict[str, int]) -> None:
    """Modules are proved for all schedules, inputs and contents of their ROMs."""
    check_proved(module, parameters)


@pytest.mark.slow
@pytest.mark.parametrize(("module", "parameters"), MORE)
def test_modules_of_other_sizes_are_proved(module: str, parameters: dict[str, int]) -> None:
    """So are other sizes: each way of a width, a sign, a factor that is none, one word and many."""
    check_proved(module, parameters)


FAULTS = [
    # The constants of another place: swapped, of the beat before, of a round that ends a beat early.
    ("few_affine", ONE, "few_affine", ".v(constant[W_W+:A_W])", ".v(constant[0+:A_W])"),
    ("few_affine", ONE, "few_affine", "!fetched_reg || accepted;", "!fetched_reg || s_axis_tready;"),
    ("few_affine", ONE, "few_affine", "(fetch_reg == LAST)", "(fetch_reg == LAST - 1'b1)"),
    # A step too few, a beat lost where the next step waits, beats that a reset leaves inside.
    ("few_affine", ONE, "few_affine", "wide_valid_reg <= acc_valid_reg;", "wide_valid_reg <= accepted;"),
    ("few_affine", ONE, "few_affine", "!wide_valid_reg || y_free;", "1'b1;"),
    ("few_affine", ONE, "few_affine", "      wide_valid_reg <= 1'b0;\n", ""),
    # No rounding, a clip at the wrong end, a bias that is a beat old.
    ("few_affine", ONE, "scale_lane", "{{(SUM_W - 1) {1'b0}}, wide_reg[0]}", "{SUM_W{1'b0}}"),
    ("few_affine", ONE, "scale_lane", "fits ? sum[Y_W-1:0] : most", "fits ? sum[Y_W-1:0] : least"),
    ("few_affine", ONE, "scale_lane", "wide_bias_reg <= bias_reg;", "wide_bias_reg <= bias;"),
    # Ties of another rounding, half a unit that is one of all values, bits that are dropped and are not.
    ("few_affine", EVEN, "scale_lane", "assign tie_up = wide[1];", "assign tie_up = !acc_reg[ACC_W-1];"),
    ("few_affine", AWAY, "scale_lane", "assign tie_up = !acc_reg[ACC_W-1];", "assign tie_up = acc_reg[ACC_W-1];"),
    ("few_affine", TWICE, "scale_lane", "|| places < 9'd32", ""),
    # An input that goes on alone, and factors that are swapped.
    ("few_weighted_add", TWO, "few_weighted_add", "s1_axis_tready = free && s0_axis_tvalid", "s1_axis_tready = free"),
    ("few_weighted_add", TWO, "few_weighted_add", ".v(constant[W_W+:W_W])", ".v(constant[W_W-1:0])"),
]
MORE_FAULTS = [
    # Constants that a reset does not begin anew, a word of the ROM too early, lanes that share one lane's constants.
    ("few_affine", ONE, "few_affine", "      fetch_reg <= {GROUP_W{1'b0}};\n", ""),
    ("few_affine", ONE, "few_affine", "constants[fetch_reg]", "constants[fetch_reg + 1'b1]"),
    ("few_affine", SCALE, "few_affine", "constants_reg[LANE_W*n+:LANE_W]", "constants_reg[LANE_W-1:0]"),
    ("few_affine", ONE, "few_affine", ".sum_enable(wide_valid_reg && y_free)", ".sum_enable(wide_valid_reg)"),
    ("few_affine", AWAY, "few_affine", ".ROUNDING(ROUNDING)", ".ROUNDING(1)"),
    ("few_affine", EVEN, "scale_lane", "!(|dropped)", "(|dropped)"),
    ("few_affine", EVEN, "scale_lane", "wide[0] && (!tie", "wide[0] || (!tie"),
    ("few_affine", TWICE, "scale_lane", "? 32 : 0;", "? 31 : 0;"),
    # Signs, shifts, bits.
    ("few_affine", ONE, "scale_lane", "appended >>> shift_reg", "appended >> shift_reg"),
    ("few_affine", ONE, "scale_lane", "(X_SIGNED != 0) && x[X_W-1]", "1'b0"),
    ("few_affine", {**ONE, "RELU": 1}, "scale_lane", "Y_SIGNED == 0 || RELU != 0", "Y_SIGNED == 0"),
    ("few_affine", ONE, "scale_lane", "{(SUM_W - B_W) {wide_bias_reg[B_W-1]}}", "{(SUM_W - B_W) {1'b0}}"),
    ("few_weighted_add", TWO, "scale_lane", "xw + rv", "xw - rv"),
    ("few_weighted_add", TWO, "few_weighted_add", "      y_valid_reg <= 1'b0;\n", ""),
    ("few_weighted_add", TWO, "few_weighted_add", "!acc_valid_reg || wide_free;", "1'b1;"),
    ("few_weighted_add", TWO, "few_weighted_add", "(fetch_reg == LAST)", "(fetch_reg == {GROUP_W{1'b1}})"),
]


@pytest.mark.parametrize(("module", "parameters", "file", "old", "new"), FAULTS)
def test_broken_modules_are_refuted(module: str, parameters: dict[str, int], file: str, old: str, new: str) -> None:
    """Swapped constants, a wrong round, a step too few, a lost beat, a reset that leaves one, rounding, clip."""
    proof = check_refused(module, parameters, broken(file, old, new))
    assert [v.name for v in proof.verdicts if v.verdict == "refuted"] != []


@pytest.mark.slow
@pytest.mark.parametrize(("module", "parameters", "file", "old", "new"), MORE_FAULTS)
def test_further_broken_modules_are_not_proved(
    module: str, parameters: dict[str, int], file: str, old: str, new: str
) -> None:
    """So are a round that goes on over a reset, words, lanes, enables, signs and widths."""
    check_refused(module, parameters, broken(file, old, new))


# --- The design against the graph ------------------------------------------------------------------------------------

CHANNELS = 4
PLACES = 6


def rescale(rounding: Rounding, out: Number = INT8) -> Rescale:
    """A multiplier, an addend, a shift, none among them, and a bias of each channel."""
    addend, multiplier = np.array([3, -7, 0, 5], np.int32), np.array([5, 1, 0, 3], np.int32)
    shift, bias = np.array([2, 0, 3, 9], np.uint8), np.array([0, -1, 2, 3], np.int8)
    return Rescale(addend, multiplier, shift, bias, rounding, 40, out)


def scaled() -> Model:
    """Every operator that few_affine and few_weighted_add compute, on 2 x 3 x 4 int8 values."""
    rng = np.random.default_rng(5)
    shift = np.array([1, 2, 0, 3], np.uint8)
    table = rng.integers(-9, 10, (PLACES, CHANNELS)).astype(np.int16)
    weight = np.array([[4, -3, 1, 2], [1, 5, -8, 0]], np.int16)
    small = np.array([3, -128, 127, 0], np.int8)
    nodes = (
        Node("half", rescale(Rounding.HALF_UP), (INPUT,)),
        Node("floor", rescale(Rounding.FLOOR), ("half",)),
        Node("places", Position(table, Number(9)), ("floor",)),
        Node("more", MultiplyAdd(weight[0], np.array([9, -99, 0, 1], np.int32), shift, 20, Number(9)), ("places",)),
        Node("relu", Relu(), ("more",)),
        Node("affine", Affine(small, np.array([1, -2, 3, 0], np.int8), shift + np.uint8(4), 18), ("relu",)),
        Node("joined", WeightedAdd(weight, shift, 16, INT8), (INPUT, "affine")),
        Node("last", Relu(), ("joined",)),
        Node("alike", WeightedAdd(np.full((2, CHANNELS), 3, np.int16), np.full(CHANNELS, 2, np.uint8), 16, INT8),
             ("joined", "last")),
        Node("pool", SumPool((2, 3), (2, 3), 4, Division.FLOOR, out=INT8), ("alike",)),
    )  # fmt: skip
    return Model(Graph(image(2, 3, CHANNELS, INT8), nodes), "scaled")


@pytest.mark.parametrize("settings", [{}, {"interval": 12}])
def test_designs_are_those_of_their_graphs(settings: dict[str, int]) -> None:
    """Of one channel a beat, and of two."""
    model = scaled()
    assert read(model, design(model, **settings)) == ""


def with_op(model: Model, name: str, change: Callable[[Operator], Operator]) -> Model:
    """A model of which one node has another operator."""
    nodes = tuple(Node(n.name, change(n.op), n.inputs) if n.name == name else n for n in model.graph.nodes)
    return Model(Graph(model.graph.input, nodes), model.name)


def test_designs_of_other_graphs_are_refused() -> None:
    """Another rounding, addend, weight, bias, place, ReLU or order of inputs than the design has."""
    model = scaled()
    made = design(model)
    found = elaborate(made.sources, made.top, {}, made.files)

    def wrong(name: str, change: Callable[..., Operator]) -> str:
        return wrong_of(with_op(model, name, change).graph, found, made.files)

    def of_rescale(op: Rescale, **changes: object) -> Rescale:
        fields = {name: getattr(op, name) for name in (*op.tensors, *op.attributes)}
        return Rescale(**{**fields, **changes})

    assert wrong("half", lambda op: op) == ""
    assert "a of value 0 is 15, node 'half' has 13" in wrong("half", lambda op: of_rescale(op, rounding=Rounding.FLOOR))
    assert "a of value 0 is 13, node 'floor' has 15" in wrong(
        "floor", lambda op: of_rescale(op, rounding=Rounding.HALF_UP)
    )
    for number, rounding in enumerate((Rounding.HALF_EVEN, Rounding.HALF_AWAY, Rounding.DOUBLE), 1):
        said = f"has ROUNDING 0, node 'half' asks for {number}"
        assert said in wrong("half", lambda op, rounding=rounding: of_rescale(op, rounding=rounding))
    bias = np.array([0, -1, 2, 4], np.int8)
    assert "b of value 3 is 3, node 'half' has 4" in wrong("half", lambda op: of_rescale(op, bias=bias))
    unsigned = wrong("half", lambda op: of_rescale(op, out=UINT8, bias=bias.astype(np.int16)))
    assert "has X_SIGNED 1, node 'floor' asks for 0" in unsigned

    def moved(op: Position) -> Position:
        table = op.table.copy()
        table[PLACES - 1, 2] += 1
        return Position(table, op.out)

    assert f"a of value {PLACES * CHANNELS - 2} is" in wrong("places", moved)
    assert "has RELU 1, node 'relu' asks for 0" in wrong(
        "relu", lambda _: MultiplyAdd(np.ones(4, np.int16), np.zeros(4, np.int32), np.zeros(4, np.uint8), 20, Number(9))
    )
    assert "w of value 0 is 4, node 'joined' has 1" in wrong(
        "joined", lambda op: WeightedAdd(op.weight[::-1].copy(), op.shift, op.acc_bits, op.out)
    )
    assert "a of value 0 is -2, node 'pool' has 0" in wrong(
        "pool", lambda op: SumPool(op.kernel, op.stride, op.divisor, Division.HALF_UP, out=op.out)
    )
    assert "s of value 0 is 2, node 'alike' has 3" in wrong(
        "alike", lambda op: WeightedAdd(op.weight, op.shift + np.uint8(1), op.acc_bits, op.out)
    )


def rom(name: str, content: bytes, bit: int) -> bytes:
    """A ROM's file with one bit of its first word turned."""
    lines = content.decode().split()
    assert name.endswith(".hex")
    lines[0] = f"{int(lines[0], 16) ^ 1 << bit:0{len(lines[0])}x}"
    return "\n".join(lines).encode()


def test_rom_files_with_other_constants_are_refused() -> None:
    """One bit of each constant, and a word too many."""
    model = scaled()
    made = design(model)
    found = elaborate(made.sources, made.top, {}, made.files)
    (name,) = (name for name in made.files if name.endswith("half_c.hex"))
    widths = [4, 5, 4, 3]  # of 5, 15, 9 and 3, the greatest of each, the last and the first two signed
    at = 0
    for letter, width in zip("wasb", widths, strict=True):
        wrong = wrong_of(model.graph, found, {**made.files, name: rom(name, made.files[name], at)})
        assert f"{name}: {letter} of value 0 is" in wrong
        at += width
    more = wrong_of(model.graph, found, {**made.files, name: made.files[name] + b"0\n"})
    assert f"{name} has {CHANNELS + 1} words, 'n0_half_scaled' asks for {CHANNELS}" in more


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        # A sum that wraps: of 5 x + 15, in 10 bits.
        (
            ".A_W(5),\n      .ACC_W(11)",
            ".A_W(5),\n      .ACC_W(10)",
            "'n0_half_scaled' sums in 10 bits, node",
        ),
        (
            ".Y_W(9),\n      .Y_SIGNED(1),\n      .RELU(1)",
            ".Y_W(9),\n      .Y_SIGNED(1),\n      .RELU(0)",
            "has RELU 0, node 'relu' asks for 1",
        ),
        ('.C_FILE("n0_half_c.hex")', '.C_FILE("n1_floor_c.hex")', "n1_floor_c.hex"),
        (".PERIOD(24)", ".PERIOD(12)", "has 24 words, 'n2_places_scaled' asks for 12"),
        (".PERIOD(24)", ".PERIOD(48)", "has PERIOD 48, node 'places' asks for a divisor of 24 values"),
    ],
)
def test_designs_that_are_built_otherwise_are_refused(old: str, new: str, said: str) -> None:
    """A width that does not hold the sums, no ReLU, another layer's constants, a round of another length."""
    model = scaled()
    assert said in read(model, changed(design(model), old, new))


@pytest.mark.slow
def test_whole_designs_are_proved() -> None:
    """Every module of a design, with the sizes that it has there, and the design."""
    assert prove_schedules(scaled(), "composed").proved


def test_evidence_is_checked_again(tmp_path: Path) -> None:
    """z3 answers every question of few_weighted_add again, and each that must be asked was."""
    evidence = Evidence(model=scaled())
    assert prove_schedules(scaled(), "composed", "few_weighted_add", evidence=evidence).proved
    evidence.write(tmp_path / "evidence")
    assert recheck(tmp_path / "evidence", AGAIN).wrong == ()
