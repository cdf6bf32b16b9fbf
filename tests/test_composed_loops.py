"""Composed accelerators in which all steps of a loop share one copy of modules."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.compose import command
from fxsim.contract import INT8, Number
from fxsim.cosim import cosim
from fxsim.cosim.four_state import four_state
from fxsim.devices.composed import compose, make_plan
from fxsim.devices.described.description import read_description
from fxsim.errors import FileError, ModelError
from fxsim.formats import load, save
from fxsim.graph import INPUT, Graph, Model, Node, repeat
from fxsim.operators import Add, Conv, Operator, Relu, WeightedAdd
from fxsim.paths import rtl_dir
from fxsim.prove.schedules import prove_schedules
from tests.test_composed import image
from tests.test_composed_attention import UINT7, attention, pictures, rescale, weights

STEPS = 3
SHARED = {"share_loops": True}
ROWS, COLUMNS, CHANNELS = 4, 3, 2
BEATS = ROWS * COLUMNS * CHANNELS


def operators() -> dict[str, Operator]:
    """The operators of a step: a padded convolution, and an Euler step of it."""
    rng = np.random.default_rng(21)
    pair = np.array([[4, 4], [1, -1]], np.int16)
    return {
        "sums": Conv(weights(rng, CHANNELS, 3, 3, CHANNELS), padding=(1, 1, 1, 1), out=Number(20)),
        "f": rescale(rng, CHANNELS, 9),
        "x": WeightedAdd(pair, np.array([2, 2], np.uint8), 12, INT8),
    }


def step() -> list[Node]:
    """The nodes of a step."""
    ops = operators()
    return [
        Node("sums", ops["sums"], (INPUT,)),
        Node("f", ops["f"], ("sums",)),
        Node("x", ops["x"], (INPUT, "f")),
    ]


def network() -> Model:
    """A loop that begins with unsigned values, a path around it, and another loop, of point convolutions."""
    rng = np.random.default_rng(22)
    point = Conv(weights(rng, CHANNELS, 1, 1, CHANNELS), out=Number(18))
    nodes = [
        Node("stem", rescale(rng, CHANNELS, 1, UINT7), ("input",)),
        *repeat("ode", step(), STEPS, "stem"),
        Node("sum", Add(9, INT8), ("stem", f"ode.step{STEPS - 1}.x")),
        *repeat("b", [Node("p", point, (INPUT,)), Node("y", rescale(rng, CHANNELS, 8), ("p",))], 2, "sum"),
        Node("relu", Relu(), ("b.step1.y",)),
    ]
    return Model(Graph(image(ROWS, COLUMNS, CHANNELS, INT8), nodes), "loops")


def stimulus(images: int) -> np.ndarray:
    """Random images, and the ends of the range."""
    x = np.random.default_rng(23).integers(-128, 128, (images, ROWS, COLUMNS, CHANNELS)).astype(np.int8)
    x[-1] = 127
    return x


# --- Values ----------------------------------------------------------------------------------------------------------


@pytest.mark.icarus
@pytest.mark.parametrize("interval", [None, 400])
def test_every_tap_of_every_step_is_equal(interval: int | None) -> None:
    """All taps of both loops, freely flowing, and with stalls of both sides and resets; at one lane and two."""
    model = network()
    settings = {**SHARED, "interval": interval}
    found = four_state(model, stimulus(3), accel="composed", settings=settings, engine="reference", stalls=(0, 45))
    assert found.passed, found.reason
    for run in found.runs:
        assert {tap.tap: tap.compared for tap in run.taps if tap.tap in model.graph.taps}.keys() == {*model.graph.taps}
        assert all(tap.compared >= 3 * BEATS for tap in run.taps)


@pytest.mark.verilator
def test_the_interval_is_that_of_all_steps() -> None:
    """Cycles between images are the steps times what a step takes, where its first result comes within that."""
    model = attention(2, 4)
    found = cosim(model, pictures(5), accel="composed", **SHARED)
    assert found.passed, found
    # Four steps of the depthwise windows: 9 places of 9 pixels of 4 channels, one a cycle.
    assert (found.timing.interval_cycles, found.timing.interval_bound_cycles) == (4 * 324, 4 * 324)


# --- The plan --------------------------------------------------------------------------------------------------------


def test_all_steps_have_one_set_of_modules() -> None:
    """As many modules as one step has, and what leads images through them; a step's share of the interval."""
    whole, shared, single = make_plan(network()), make_plan(network(), None, True), make_plan(attention(2, 1))
    count = {name: [i.module for i in whole.instances].count(name) for name in ("few_linear", "frame_loop")}
    assert count == {"few_linear": STEPS + 2, "frame_loop": 0}
    modules = [i.module for i in shared.instances]
    assert (modules.count("few_linear"), modules.count("few_weighted_add"), modules.count("frame_loop")) == (2, 1, 2)
    # 12 places of 9 pixels of 2 channels, one a cycle: of a step, and of all of them.
    assert (whole.interval, shared.interval) == (216, STEPS * 216)
    assert make_plan(network(), STEPS * 108, True).interval == STEPS * 108
    with pytest.raises(ModelError, match=f"cannot keep {STEPS * 108 - 1} cycles an image"):
        make_plan(network(), STEPS * 108 - 1, True)
    loops = [i.parameters for i in shared.instances if i.module == "frame_loop"]
    asked = {"BEATS": str(BEATS), "LANES": "1", "Y_W": "8"}
    assert loops == [
        {"STEPS": str(STEPS), **asked, "X_W": "7", "X_SIGNED": "0"},
        {"STEPS": "2", **asked, "X_W": "8", "X_SIGNED": "1"},
    ]
    # The same modules as of a network of one step, two of forks and all.
    four = sorted(i.module for i in make_plan(attention(2, 4), None, True).instances if i.module != "frame_loop")
    assert four == sorted(i.module for i in single.instances)


def test_a_first_step_of_its_own_stays_before_the_loop() -> None:
    """As where the stem has another exponent: that step has modules of its own, the others share theirs."""
    first = [*step()[:1], Node("f", rescale(np.random.default_rng(1), CHANNELS, 7), ("sums",)), step()[2]]
    nodes = [*repeat("ode", first, 1, INPUT)]
    nodes += repeat("ode", step(), 3, nodes[-1].name, 1)
    plan = make_plan(Model(Graph(image(ROWS, COLUMNS, CHANNELS, INT8), nodes), "m"), None, True)
    assert [i.parameters["STEPS"] for i in plan.instances if i.module == "frame_loop"] == ["3"]
    assert [part.taps for part in plan.parts if part.node.name.endswith("sums")] == [
        ("ode.step0.sums",),
        ("ode.step1.sums", "ode.step2.sums", "ode.step3.sums"),
    ]
    formats = make_plan(Model(Graph(image(ROWS, COLUMNS, CHANNELS, INT8), inherited(3)), "m"), None, True)
    assert [part.taps for part in formats.parts][1:] == [
        ("r.step0.a",), ("r.step0.b",), ("r.step1.a", "r.step2.a"), ("r.step1.b", "r.step2.b"),
    ]  # fmt: skip


@pytest.mark.icarus
def test_a_path_around_a_loop_has_the_least_depth(tmp_path: Path) -> None:
    """It holds an image, less the beat at the fork, since the last step needs all; with one less it stands still."""
    model, x = network(), stimulus(2)
    (depths,) = (part.depths for part in make_plan(model, None, True).parts if part.node.name == "sum")
    assert [fifo.least for fifo in depths] == [BEATS - 1, 0]
    for beats, stuck in ((BEATS - 1, False), (BEATS - 2, True)):
        folder = tmp_path / str(beats)
        compose(model, folder, None, True)
        top = folder / "composed.v"
        text, count = re.subn(r"\.DEPTH\(\d+\),(\s+\.DATA_W\(7\))", rf".DEPTH({beats}),\1", top.read_text())
        assert count == 1
        top.write_text(text)
        dut = {"dut": str(folder / "composed.toml")}
        found = four_state(model, x, accel="described", settings=dut, engine="reference", stalls=(0,))
        assert found.passed is not stuck
        assert (found.reason or "").startswith("the design is stuck after" if stuck else "")


def test_command_writes_a_loop_once(tmp_path: Path) -> None:
    """The description has every tap, those of one stream in turn; a file that was saved shares as the graph did."""
    save(network(), tmp_path / "m.safetensors")
    words = [str(tmp_path / "m.safetensors"), "-o", str(tmp_path / "c"), "--share-loops", "--json"]
    made = CliRunner().invoke(command, words, catch_exceptions=False)
    assert f'"interval_cycles": {STEPS * 216}' in made.output
    nodes = {node["name"]: node["taps"] for node in json.loads(made.output)["nodes"]}
    assert nodes["ode.step0.f"] == [f"ode.step{step}.f" for step in range(STEPS)]
    assert sorted(tap for taps in nodes.values() for tap in taps) == sorted(network().graph.taps)
    text = (tmp_path / "c" / "composed.toml").read_text()
    assert text.count("multiplex = ") == STEPS * 3 + 2 * 2
    assert re.findall(r'\[\[tap\]\]\nname = "(.*)"', text) == list(network().graph.taps)
    assert (tmp_path / "c" / "rtl" / "frame_loop.v").read_bytes() == (rtl_dir() / "composed/frame_loop.v").read_bytes()


def test_taps_in_turn_need_a_valid(tmp_path: Path) -> None:
    """A latency says when an image comes, not which step it is of: refused by the tap's name."""
    compose(network(), tmp_path / "c", None, True)
    path = tmp_path / "c" / "composed.toml"
    text = path.read_text()
    before = re.search(r'(name = "ode.step1.f"\ndata = .*\n)valid = .*\nready = .*\n', text)
    assert before is not None
    path.write_text(text.replace(before[0], f"{before[1]}latency = 9\n"))
    with pytest.raises(FileError, match=r"tap 'ode\.step1\.f' is multiplexed, and has no valid"):
        read_description(path)


# --- What is refused -------------------------------------------------------------------------------------------------


def looped(*changed: Node, steps: int = STEPS) -> list[Node]:
    """The nodes of a loop behind a stem, some of them in place of those of the same name."""
    nodes = [Node("stem", Relu(), ("input",)), *repeat("ode", step(), steps, "stem")]
    own = {node.name: node for node in changed}
    return [own.get(node.name, node) for node in nodes]


def read_otherwise(reads: dict[str, tuple[str, str]]) -> list[Node]:
    """The nodes of a loop of which some read others."""
    return [Node(node.name, node.op, reads.get(node.name, node.inputs)) for node in looped()]


def inherited(steps: int) -> list[Node]:
    """A loop, behind unsigned values, whose first node has the format of what it reads."""
    part = [Node("a", Relu(), (INPUT,)), Node("b", OWN, ("a",))]
    stem = Node("stem", rescale(np.random.default_rng(1), CHANNELS, 1, UINT7), ("input",))
    return [stem, *repeat("r", part, steps, "stem")]


OWN = rescale(np.random.default_rng(1), CHANNELS, 3)
STEP = step()
CHAIN = [Node("stem", Relu(), ("input",)), Node("y", OWN, ("stem",))]
REFUSED: dict[str, tuple[list[Node], str]] = {
    "no loop": (CHAIN, "the model has no loop whose steps could share modules"),
    "one step": (looped(steps=1), "the model has no loop whose steps could share modules"),
    "an operator of its own": (
        looped(Node("ode.step1.f", OWN, ("ode.step1.sums",))),
        "the loop 'ode' cannot share modules: 'ode.step1.f' and 'ode.step2.f' do not share one operator",
    ),
    "the last one's own": (
        looped(Node("ode.step2.f", OWN, ("ode.step2.sums",))),
        "the loop 'ode' cannot share modules: 'ode.step1.f' and 'ode.step2.f' do not share one operator",
    ),
    "two states": (
        read_otherwise({f"ode.step{n}.x": ("stem", f"ode.step{n}.f") for n in range(STEPS)}),
        "the loop 'ode' cannot share modules: the step of 'ode.step1.sums' takes 'ode.step0.x' and 'stem', ",
    ),
    "another wiring": (
        read_otherwise({"ode.step1.x": ("ode.step1.f", "ode.step0.x")}),
        "the loop 'ode' cannot share modules: 'ode.step1.x' reads ode.step1.f, ode.step0.x, 'ode.step2.x' reads ",
    ),
    "another order": (
        [
            Node("stem", Relu(), ("input",)),
            *repeat("ode", STEP, 1, "stem"),
            *repeat("ode", STEP, 1, "stem", 1),
            Node("sum", Add(9, INT8), ("ode.step0.x", "ode.step1.x")),
        ],
        "the loop 'ode' cannot share modules: the step of 'ode.step1.sums' takes 'stem', expected 'ode.step0.x'",
    ),
    "a tap that is used outside": (
        [*looped(), Node("sum", Add(9, INT8), ("ode.step1.f", "ode.step2.x"))],
        "the loop 'ode' cannot share modules: 'sum' reads 'ode.step1.f' amid it, expected nothing to read but "
        "'ode.step2.x', its result",
    ),
    "a result that is used outside": (
        [*looped(), Node("sum", Add(9, INT8), ("ode.step0.x", "ode.step2.x"))],
        "the loop 'ode' cannot share modules: 'sum' reads 'ode.step0.x' amid it, expected nothing to read but ",
    ),
    "a format that does not fit": (
        [Node("stem", Add(9, Number(9)), ("input", "input")), *looped()[1:]],
        "the loop 'ode' cannot share modules: it begins with 'stem', int9 (4 rows, 3 columns, 2 channels), which is no "
        "value of 'ode.step1.x', int8 (4 rows, 3 columns, 2 channels)",
    ),
    "formats that differ": (
        inherited(2),
        "the loop 'r' cannot share modules: 'r.step0.a' is uint7 (4 rows, 3 columns, 2 channels), 'r.step1.a' is int8 ",
    ),
    "a gap": (
        [
            *looped(steps=1),
            *repeat("ode", step(), 2, "ode.step0.x", 2),
        ],
        "the loop 'ode' has the steps 0, 2, 3, expected no gap",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_no_clean_loop_is_refused_by_name(what: str) -> None:
    """One sentence with the node and what was expected; without the setting each of them has a design."""
    nodes, message = REFUSED[what]
    model = Model(Graph(image(ROWS, COLUMNS, CHANNELS, INT8), nodes), "m")
    with pytest.raises(ModelError) as caught:
        make_plan(model, None, True)
    assert str(caught.value).startswith(message)


# --- Faults ----------------------------------------------------------------------------------------------------------

FAULTS = {
    "a step too many": ("STEP_LAST_32 = STEPS - 1", "STEP_LAST_32 = STEPS"),
    "a step too few": ("STEP_LAST_32 = STEPS - 1", "STEP_LAST_32 = STEPS - 2"),
    "an image ends a beat early": ("BEAT_LAST_32 = BEATS - 1", "BEAT_LAST_32 = BEATS - 2"),
    "the next image enters a step early": (
        "wire enters = take_step_reg == {STEP_W{1'b0}};",
        "wire enters = take_step_reg == {STEP_W{1'b0}} || (take_step_reg == STEP_LAST && s0_axis_tvalid);",
    ),
    "the step is not reset": ("      give_step_reg <= {STEP_W{1'b0}};\n      give_beat", "      give_beat"),
    "the sign of what enters": ("wire above = (X_SIGNED == 1) &&", "wire above = (X_SIGNED == 0) &&"),
    "a kept beat is given twice": (".m_axis_tready(!enters && m0_axis_tready)", ".m_axis_tready(1'b0)"),
}


@pytest.mark.icarus
@pytest.mark.parametrize("fault", FAULTS)
def test_faults_of_the_loop_are_found(fault: str, tmp_path: Path) -> None:
    """Each changed line of frame_loop.v is found in four states, by values or by standing still."""
    shutil.copytree(rtl_dir(), tmp_path / "rtl")
    source = tmp_path / "rtl" / "composed" / "frame_loop.v"
    before, after = FAULTS[fault]
    text = source.read_text()
    assert text.count(before) == 1
    # Known from power-on: what is not reset keeps what it held.
    text = text.replace("reg [STEP_W-1:0] give_step_reg;", "reg [STEP_W-1:0] give_step_reg = 0;")
    source.write_text(text.replace(before, after))
    found = four_state(
        network(), stimulus(2), accel="composed", settings=SHARED, engine="reference", rtl=tmp_path / "rtl",
        stalls=(45,) if "reset" in fault else (0,),
    )  # fmt: skip
    assert not found.passed
    assert found.reason


# --- Proofs ----------------------------------------------------------------------------------------------------------


@pytest.mark.yosys
def test_a_shared_loop_is_not_proved() -> None:
    """Nothing is stated of the design, nor of what leads images through the body: both are named."""
    model = network()
    proof = prove_schedules(model, "composed", "frame_loop", settings=SHARED)
    assert not proof.proved
    assert {name.partition(" {")[0] for name in proof.unstated} == {"frame_loop", "the design"}


def test_the_golden_network_has_a_loop_that_can_be_shared() -> None:
    """golden/digits_ode: four steps of 9,216 cycles, one weighted sum in place of four."""
    plan = make_plan(load(Path(__file__).resolve().parent.parent / "golden" / "digits_ode.safetensors"), None, True)
    assert plan.interval == 4 * 9216
    assert [i.module for i in plan.instances].count("few_weighted_add") == 1
