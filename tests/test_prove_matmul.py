"""Proofs of the composed accelerator's product of two images, and of designs with it against their graphs."""

import re

import numpy as np
import pytest

from fxsim.contract import Number, TableRule
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Lut, Matmul
from fxsim.prove.schedule_composed import COMPOSED
from fxsim.prove.schedules import prove_schedules
from tests.test_composed import UINT4, image
from tests.test_prove_composed import broken, changed, check_proved, check_refused, design, read

PLACES = {
    "PLACES": 2, "HEADS": 2, "TERMS": 3, "COLUMNS": 4, "TRANSPOSED": 1, "X_LANES": 2, "R_LANES": 1, "OUT_LANES": 2,
    "X_W": 2, "X_SIGNED": 1, "R_W": 2, "R_SIGNED": 0, "ACC_W": 7,
}  # fmt: skip
CHANNELS = {**PLACES, "TRANSPOSED": 0, "R_LANES": 2, "R_SIGNED": 1}
SMALL = {**PLACES, "TERMS": 2, "COLUMNS": 2, "OUT_LANES": 1, "ACC_W": 6}
VALUES = {"COLUMNS": 4, "LANES": 2, "X_W": 4, "X_SIGNED": 0, "R_W": 3, "R_SIGNED": 1, "Y_W": 8}
ODE = {
    "PLACES": 16, "HEADS": 4, "TERMS": 16, "COLUMNS": 8, "TRANSPOSED": 0, "X_LANES": 1, "R_LANES": 1, "OUT_LANES": 1,
    "X_W": 7, "X_SIGNED": 0, "R_W": 8, "R_SIGNED": 1, "ACC_W": 20,
}  # fmt: skip


@pytest.mark.parametrize("parameters", [PLACES, CHANNELS])
def test_products_of_two_images_are_proved(parameters: dict[str, int]) -> None:
    """Both orders of the second image, several lanes on every side, numbers with and without a sign."""
    check_proved("few_matmul", parameters)


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameters",
    [
        # All of one; a row in one beat; beats that end within a head; one head; the sizes of a Neural ODE.
        {**dict.fromkeys(PLACES, 1), "X_W": 1, "R_W": 1, "ACC_W": 2},
        {**dict.fromkeys(PLACES, 1), "X_W": 1, "R_W": 1, "ACC_W": 2, "TRANSPOSED": 0},
        {**CHANNELS, "X_LANES": 6, "PLACES": 1},
        {**PLACES, "HEADS": 4, "X_LANES": 4, "R_LANES": 3},
        {**PLACES, "HEADS": 1, "X_LANES": 1, "OUT_LANES": 1, "PLACES": 3},
        ODE,
        {**ODE, "TERMS": 8, "COLUMNS": 16, "TRANSPOSED": 1, "X_W": 8, "X_SIGNED": 1, "ACC_W": 19},
    ],
)
def test_products_of_other_sizes_are_proved(parameters: dict[str, int]) -> None:
    """So are other sizes."""
    check_proved("few_matmul", parameters)


FAULTS = [
    # The other page is read, or filled; the wrong one is waited for.
    (SMALL, "(use_reg != image_done) ? PAGE_FIRST", "(use_reg == image_done) ? PAGE_FIRST"),
    (SMALL, "page_next = fill_reg ? {ADDRESS_W{1'b0}} : PAGE_FIRST", "page_next = {ADDRESS_W{1'b0}}"),
    (SMALL, "s1_axis_tready = !filled_reg[fill_reg]", "s1_axis_tready = !filled_reg[use_reg]"),
    # Places for channels; channels in the other order; the last product in place of all.
    (CHANNELS, "fill_row_reg == ROW_32[R_ROW_W-1:0]", "fill_part_reg == ROW_32[PART_W-1:0]"),
    (CHANNELS, "assign column[W_W*t+:W_W] = kept;", "assign column[W_W*(TERMS-1-t)+:W_W] = kept;"),
    (SMALL, "fill_part_reg == PART_32[PART_W-1:0] && by_places", "by_places"),
    # A counter that ends one early; a beat of x lost; a page given up after a row; sums with no page.
    (SMALL, "group_reg == GROUP_LAST", "group_reg == GROUP_LAST - 1"),
    (SMALL, "s0_axis_tready = !collect_full_reg", "s0_axis_tready = 1'b1"),
    (SMALL, "row_valid_reg && filled_reg[use_reg] && advance", "row_valid_reg && advance"),
    # An operand lost where the output waits; a page that a reset leaves full.
    (SMALL, "if (advance) operands_valid_reg <= issue;", "operands_valid_reg <= issue;"),
    (SMALL, "      filled_reg <= 2'b00;\n", ""),
]
MORE_FAULTS = [
    (PLACES, "      place_reg <= {PLACE_W{1'b0}};\n", ""),
    (PLACES, "fill_address_reg <= fill_address_reg + GROUPS_STEP;", "fill_address_reg <= fill_address_reg + 1'b1;"),
    (PLACES, "next_word ? first_reg + 1'b1 : first_reg;", "first_reg + 1'b1;"),
    (PLACES, ".x(slice_reg)", ".x(row_reg[SLICE_W-1:0])"),
    (PLACES, "row_reg <= row_reg >> SLICE_W", "row_reg <= row_reg >> X_W"),
    (PLACES, "assign column[W_W*t+:W_W] = {1'b0, kept};", "assign column[W_W*t+:W_W] = {kept[R_W-1], kept};"),
    (PLACES, ".read_enable(issue)", ".read_enable(1'b1)"),
    (PLACES, "if (image_done) filled_reg[use_reg]", "if (row_done) filled_reg[use_reg]"),
    (CHANNELS, "(fill_reg != page_done) ? PAGE_FIRST", "(fill_reg == page_done) ? PAGE_FIRST"),
    (CHANNELS, "value = s1_axis_tdata[R_W*n+:R_W]", "value = s1_axis_tdata[R_W*(OUT_LANES-1-n)+:R_W]"),
    (CHANNELS, "      use_reg <= 1'b0;\n", ""),
]


@pytest.mark.parametrize(("parameters", "old", "new"), FAULTS)
def test_broken_products_are_not_proved(parameters: dict[str, int], old: str, new: str) -> None:
    """Each fault is refuted by a run, and nothing of the module is proved."""
    proof = check_refused("few_matmul", parameters, broken("few_matmul", old, new))
    assert [v.name for v in proof.verdicts if v.verdict == "refuted"]


@pytest.mark.slow
@pytest.mark.parametrize(("parameters", "old", "new"), MORE_FAULTS)
def test_further_broken_products_are_not_proved(parameters: dict[str, int], old: str, new: str) -> None:
    """So are wrong addresses, rows, signs and lanes."""
    test_broken_products_are_not_proved(parameters, old, new)


@pytest.mark.parametrize("parameters", [VALUES, {**VALUES, "COLUMNS": 1, "LANES": 1, "X_SIGNED": 1}])
def test_products_value_by_value_are_proved(parameters: dict[str, int]) -> None:
    """Several values of the second stream for each of the first, and one."""
    check_proved("few_product", parameters)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # A value of x given up early, or a beat late; taken where there is none; lost where the output waits.
        ("values_free && s1_axis_tvalid && last", "values_free && s1_axis_tvalid"),
        ("group_reg == LAST", "group_reg == LAST - 1"),
        ("values_free && s0_axis_tvalid && s1_axis_tvalid", "values_free && s1_axis_tvalid"),
        ("!values_valid_reg || y_free", "1'b1"),
        ("if (accepted) x_reg", "if (s0_axis_tready) x_reg"),
        # The sign of the other; a reset within the values of an x.
        ("R_SIGNED != 0 && r_reg", "X_SIGNED != 0 && r_reg"),
        ("      group_reg <= {GROUP_W{1'b0}};\n", ""),
    ],
)
def test_broken_products_of_values_are_not_proved(old: str, new: str) -> None:
    """Each fault is refuted by a run, and nothing of the module is proved."""
    proof = check_refused("few_product", VALUES, broken("few_product", old, new))
    assert [v.name for v in proof.verdicts if v.verdict == "refuted"]


# --- Designs ---------------------------------------------------------------------------------------------------------


def products() -> Model:
    """The products of two tensors of one format, and these with a third."""
    rng = np.random.default_rng(5)

    def table(low: int, high: int, out: Number) -> Lut:
        return Lut(rng.integers(low, high, (2, 16)).astype(np.int8), TableRule.FULL, UINT4, out)

    nodes = [
        Node("x", table(-8, 8, Number(4)), ("input",)),
        Node("r", table(-8, 8, Number(4)), ("input",)),
        Node("v", table(-8, 8, Number(4)), ("input",)),
        Node("scores", Matmul(1, 2, True, Number(9)), ("x", "r")),
        Node("mixed", Matmul(1, 4, False, Number(15)), ("scores", "v")),
    ]
    return Model(Graph(image(2, 2, 2, UINT4), nodes), "products")


@pytest.mark.parametrize("settings", [{}, {"interval": 16}])
def test_designs_are_those_of_their_graphs(settings: dict[str, int]) -> None:
    """Designs of one value a beat and of several."""
    model = products()
    assert read(model, design(model, **settings)) == ""


def test_designs_that_are_wired_otherwise_are_refused() -> None:
    """Operands that are swapped, with and without their FIFOs; other heads, orders, sizes and signs."""
    model = products()
    made = design(model)
    text = made.sources.files["composed.v"].decode()
    ports = re.search(r"\) n3_scores_products \(.*?\);", text, re.DOTALL)
    assert ports is not None
    swapped = ports[0].replace("s0_axis", "@").replace("s1_axis", "s0_axis").replace("@", "s1_axis")
    assert read(model, changed(made, ports[0], swapped)) != ""
    other = products()
    nodes = list(other.graph.nodes)
    nodes[3] = Node("scores", nodes[3].op, ("r", "x"))
    assert read(Model(Graph(other.graph.input, nodes), "other"), made) != ""
    sizes = re.search(r"few_matmul #\([^;]*?\) n3_scores_products", text)
    assert sizes is not None
    for old, new in (
        ("TRANSPOSED(1)", "TRANSPOSED(0)"),
        ("PLACES(4)", "PLACES(3)"),
        ("HEADS(1)", "HEADS(2)"),
        ("X_SIGNED(1)", "X_SIGNED(0)"),
    ):
        name, value = new[:-1].split("(")
        with_other = changed(made, sizes[0], sizes[0].replace(old, new))
        assert f"has {name} {value}, node 'scores' asks for" in read(model, with_other), new


def test_designs_with_products_of_values_are_those_of_their_graphs() -> None:
    """A single place, each value with one; not with its operands swapped, nor of another graph."""

    def model(order: tuple[str, str], terms: int = 1) -> Model:
        rng = np.random.default_rng(5)
        tables = [Lut(rng.integers(-8, 8, (2, 16)).astype(np.int8), TableRule.FULL, UINT4, Number(4)) for _ in "xr"]
        nodes = [Node(name, table, ("input",)) for name, table in zip("xr", tables, strict=True)]
        nodes.append(Node("y", Matmul(2 // terms, terms, True, Number(9)), order))
        return Model(Graph(image(1, 1, 2, UINT4), nodes), "values")

    made = design(model(("x", "r")))
    assert "few_product #(" in made.sources.files["composed.v"].decode()
    assert read(model(("x", "r")), made) == ""
    assert read(model(("r", "x")), made) != ""
    assert "sums of several products" in read(model(("x", "r"), 2), made)
    wrong = changed(made, ".COLUMNS(1)", ".COLUMNS(2)")
    assert "has COLUMNS 2, node 'y' asks for 1" in read(model(("x", "r")), wrong)


def test_a_design_with_products_is_proved() -> None:
    """All modules of it, and the design."""
    proof = prove_schedules(products(), "composed")
    assert proof.unstated == {}
    assert proof.proved
    assert {"few_matmul", "few_dot_product", "full_table", "axis_fork"} <= {one.module for one in proof.modules}


def test_what_is_not_stated_is_unproved(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that nothing is stated of is named."""
    monkeypatch.delitem(COMPOSED, "few_matmul")
    proof = prove_schedules(products(), "composed", "few_matmul")
    assert not proof.proved
    assert proof.modules == ()
    assert {name.partition(" {")[0] for name in proof.unstated} == {"few_matmul"}
    assert set(proof.unstated.values()) == {"nothing is stated of it for all schedules"}
