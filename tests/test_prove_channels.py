"""Proofs of the composed accelerator's modules over channels and windows, and of designs with them against graphs."""

import re
from dataclasses import replace

import numpy as np
import pytest

from fxsim.contract import INT8, Number
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Argmax, Concat, Conv
from tests.test_composed import image
from tests.test_composed_attention import weights
from tests.test_prove_composed import broken, changed, check_proved, check_refused, design, read

GREATEST = {"WORDS": 3, "LANES": 2, "CLASSES": 5, "X_W": 4, "X_SIGNED": 1, "Y_W": 3}
JOINED = {"X_WORDS": 2, "R_WORDS": 3, "DATA_W": 8}
SUMS = {"PLACES": 4, "WORDS": 3, "LANES": 2, "X_W": 3, "X_KIND": 0, "W_W": 3, "ACC_W": 8}


@pytest.mark.parametrize(
    ("module", "parameters"),
    [
        ("channel_argmax", GREATEST),
        ("channel_argmax", {**GREATEST, "LANES": 1, "CLASSES": 3, "X_SIGNED": 0, "Y_W": 4}),
        # One value, of one bit.
        ("channel_argmax", {"WORDS": 1, "LANES": 1, "CLASSES": 1, "X_W": 1, "X_SIGNED": 1, "Y_W": 1}),
        ("channel_concat", JOINED),
        ("channel_concat", {"X_WORDS": 1, "R_WORDS": 1, "DATA_W": 1}),
        ("window_sum", SUMS),
        # Windows and pixels of one beat; bits of -1 and 1; no weights, one word.
        ("window_sum", {**SUMS, "PLACES": 1, "WORDS": 1}),
        ("window_sum", {**SUMS, "X_W": 1, "X_KIND": 2, "ACC_W": 5}),
        ("window_sum", {**SUMS, "WORDS": 1, "X_KIND": 1, "W_W": 0, "ACC_W": 5}),
    ],
)
def test_modules_are_proved(module: str, parameters: dict[str, int]) -> None:
    """Modules are proved for all schedules, inputs and contents of their ROMs."""
    check_proved(module, parameters)


FAULTS = [
    # The last of several greatest, a channel too many, numbers taken for unsigned ones.
    ("channel_argmax", GREATEST, "channel_argmax", "x > greatest", "x >= greatest"),
    ("channel_argmax", GREATEST, "channel_argmax", "channel < END &&", "channel <= END &&"),
    ("channel_argmax", GREATEST, "channel_argmax", "^ turn;", "^ {X_W{1'b0}};"),
    # A pixel ends a beat early; a reset does not begin a new one; what leaves does not wait.
    ("channel_argmax", GREATEST, "channel_argmax", "LAST_32 = (WORDS - 1)", "LAST_32 = (WORDS - 2)"),
    ("channel_argmax", GREATEST, "channel_argmax", "      channel_reg <= {NUMBER_W{1'b0}};\n", ""),
    ("channel_argmax", GREATEST, "channel_argmax", "!y_valid_reg || m_axis_tready;", "1'b1;"),
    # The second first, a beat too few of the first, a beat dropped where the output waits, or counted with none there.
    ("channel_concat", JOINED, "channel_concat", "second ? s1_axis_tdata : s0", "!second ? s1_axis_tdata : s0"),
    ("channel_concat", JOINED, "channel_concat", "word_reg > X_LAST", "word_reg >= X_LAST"),
    ("channel_concat", JOINED, "channel_concat", "m_axis_tready && second;", "second;"),
    ("channel_concat", JOINED, "channel_concat", "if (m_axis_tvalid && m_axis_tready)", "if (m_axis_tready)"),
    ("channel_concat", JOINED, "channel_concat", "if (rst) word_reg <= {WORD_W{1'b0}};\n    else if", "if"),
    # A window goes on with the last one's sum; ends a pixel early; another beat's weights, at once and behind a pause.
    ("window_sum", SUMS, "window_sum_lane", "(first ? {ACC_W{1'b0}} : so_far)", "so_far"),
    ("window_sum", SUMS, "window_sum", "last = place_reg == PLACE_LAST", "last = place_reg == PLACE_LAST - 1"),
    ("window_sum", SUMS, "window_sum", "weights[fetch_reg]", "weights[fetch_reg + 1'b1]"),
    ("window_sum", SUMS, "window_sum", "!fetched_reg || accepted", "!fetched_reg || s_axis_tready"),
    # A product twice while the output waits; a sum a bit too narrow; a reset within a pixel.
    ("window_sum", SUMS, "window_sum", "product_valid_reg && free;", "product_valid_reg;"),
    ("window_sum", SUMS, "window_sum_lane", "assign sum = product_reg", "assign sum = product_reg[ACC_W-2:0]"),
    ("window_sum", SUMS, "window_sum", "      word_reg <= {WORD_W{1'b0}};\n    end", "    end"),
]


@pytest.mark.parametrize(("module", "parameters", "file", "old", "new"), FAULTS)
def test_broken_modules_are_not_proved(module: str, parameters: dict[str, int], file: str, old: str, new: str) -> None:
    """Each fault is refuted by a run, and nothing of the module is proved."""
    proof = check_refused(module, parameters, broken(file, old, new))
    assert [v.name for v in proof.verdicts if v.verdict == "refuted"]


# --- Designs ---------------------------------------------------------------------------------------------------------


def channels() -> Model:
    """Depthwise convolutions of each channel, with one of two groups behind them, and the greatest of all."""
    rng = np.random.default_rng(5)

    def conv(*shape: int) -> Conv:
        return Conv(weights(rng, *shape), padding=(1, 1, 1, 1), groups=2, out=Number(20))

    nodes = [
        Node("x", conv(2, 3, 3, 1), ("input",)),
        Node("r", conv(2, 3, 3, 1), ("input",)),
        Node("groups", conv(4, 3, 3, 1), ("input",)),
        Node("both", Concat(), ("x", "r")),
        Node("joined", Concat(), ("both", "groups")),
        Node("class", Argmax(7), ("joined",)),
    ]
    return Model(Graph(image(3, 3, 2, INT8), nodes), "channels")


@pytest.mark.parametrize("settings", [{}, {"interval": 81}])
def test_designs_are_those_of_their_graphs(settings: dict[str, int]) -> None:
    """Designs of one channel a beat and of two."""
    model = channels()
    assert read(model, design(model, **settings)) == ""


def test_designs_that_are_wired_otherwise_are_refused() -> None:
    """The second stream before the first, other numbers of beats, classes and places, another ROM's words."""
    model = channels()
    made = design(model)
    text = made.sources.files["composed.v"].decode()
    ports = re.search(r"\) n3_both_channels \(.*?\);", text, re.DOTALL)
    assert ports is not None
    swapped = ports[0].replace("s0_axis", "@").replace("s1_axis", "s0_axis").replace("@", "s1_axis")
    assert read(model, changed(made, ports[0], swapped)) != ""
    for old, new, said in (
        (".X_WORDS(4)", ".X_WORDS(3)", "has X_WORDS 3, node 'joined' asks for 4"),
        (".CLASSES(7)", ".CLASSES(8)", "has CLASSES 8, node 'class' asks for 7"),
        ('"n1_r_w.hex"', '"n0_x_w.hex"', "weight 1 of channel 0 is"),
    ):
        assert said in read(model, changed(made, old, new)), old
    for name, said in (("n1_r_w.hex", "weight 0 of channel 0 is"), ("n2_groups_w.hex", "of output 0 is")):
        lines = made.files[name].decode().split()
        lines[0] = f"{int(lines[0], 16) ^ 1:0{len(lines[0])}x}"
        assert said in read(model, replace(made, files={**made.files, name: "\n".join(lines).encode()})), name
