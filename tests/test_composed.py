"""The composed accelerator: Verilog made from a graph, every value equal, and what it cannot be made of refused."""

import re
import shutil
import tomllib
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.compose import command
from fxsim.contract import CHANNEL, COLUMN, ROW, Number, TableRule, Tensor
from fxsim.contract.arithmetic import Int8
from fxsim.contract.number import BIPOLAR, UINT8
from fxsim.cosim import CosimRequest, cosim, run_cosim
from fxsim.cosim.four_state import four_state
from fxsim.devices import DEVICES, make_settings
from fxsim.devices.composed import compose, make_plan
from fxsim.devices.composed.blocks import blocks
from fxsim.errors import FxsimError, ModelError, StimulusError
from fxsim.formats import save
from fxsim.graph import Graph, Model, Node
from fxsim.lanes import LanesSimulator
from fxsim.operators import Add, Conv, Flatten, Linear, Lut, MaxPool, Pad, Threshold
from fxsim.paths import rtl_dir
from fxsim.prove.blocks import PROVED, REFUTED, prove_block
from fxsim.signoff.simulation import Setup
from fxsim.vectors.kit import write_kit
from testbenches.common.formal import yosys
from tests.test_rtl_readable import VERILATOR, call

INT2, INT4, UINT4 = Number(2), Number(4), Number.parse("uint4")


def image(rows: int, columns: int, channels: int, number: Number) -> Tensor:
    """A tensor of rows, columns and channels."""
    return Tensor((ROW, COLUMN, CHANNEL), (rows, columns, channels), number)


def thresholds(rng: np.random.Generator, channels: int, reach: int, levels: tuple[int, ...], out: Number) -> Threshold:
    """Random thresholds, of channels that rise and that fall, in no order."""
    steps = rng.integers(-reach, reach + 1, (channels, len(levels) - 1)).astype(np.int32)
    rising = rng.integers(0, 2, channels).astype(np.uint8)
    return Threshold(steps, rising, np.array(levels, out.dtype), out)


def signs(rng: np.random.Generator, *shape: int) -> Int8:
    """Random weights of -1 and 1."""
    return rng.choice(np.array([-1, 1], np.int8), shape)


def sums(weight: Int8, number: Number = BIPOLAR, shift: int = 0) -> Linear:
    """A linear that does not move its sums, nor shift them unless asked to."""
    outputs = len(weight)
    return Linear(weight, np.zeros(outputs, np.int8), np.full(outputs, shift, np.uint8), weight_number=number)


def network() -> Model:
    """A network of few bits with all that is composed: padded bits and numbers, strides, lanes, a whole image's window.

    Its interval can be 324 cycles: windows of conv1 are 6 x 6 places of 9 pixels, one a cycle at the most.
    """
    rng = np.random.default_rng(5)
    number = {"weight_number": BIPOLAR}
    return Model(
        Graph(
            image(6, 6, 2, UINT4),
            [
                Node(
                    "encode",
                    Lut(rng.integers(0, 16, (2, 16)).astype(np.uint8), TableRule.FULL, number=UINT4, out=UINT4),
                    ("input",),
                ),
                Node(
                    "conv1", Conv(signs(rng, 8, 3, 3, 2), padding=(1, 1, 1, 1), out=Number(10), **number), ("encode",)
                ),
                Node("act1", thresholds(rng, 8, 30, (-1, 1), BIPOLAR), ("conv1",)),
                Node(
                    "conv2",
                    Conv(signs(rng, 6, 3, 3, 8), (2, 2), (1, 1, 1, 1), out=Number(8), **number),
                    ("act1",),
                ),
                Node("act2", thresholds(rng, 6, 8, (-1, 0, 1), INT2), ("conv2",)),
                Node("pool", MaxPool((2, 2), (1, 1)), ("act2",)),
                Node(
                    "whole",
                    Conv(rng.integers(-2, 2, (10, 2, 2, 6)).astype(np.int8), weight_number=INT2, out=Number(7)),
                    ("pool",),
                ),
                Node("act3", thresholds(rng, 10, 6, (-1, 1), BIPOLAR), ("whole",)),
                Node("flat", Flatten((0, 1, 2)), ("act3",)),
                Node("fc", sums(signs(rng, 5, 10)), ("flat",)),
                Node("class", thresholds(rng, 5, 4, (-1, 1), BIPOLAR), ("fc",)),
            ],
        ),
        "few",
    )


def stimulus(images: int) -> np.ndarray:
    """Random images, and the ends of the range."""
    x = np.random.default_rng(6).integers(0, 16, (images, 6, 6, 2)).astype(np.uint8)
    x[1] = 15
    return x


# --- The plan --------------------------------------------------------------------------------------------------------


def test_streams_have_the_fewest_lanes_that_keep_the_interval() -> None:
    """By the sizes alone: places x 9 pixels x channels of windows, and the values of each tensor."""
    alone = make_plan(network())
    assert {part.stream.lanes for part in alone.parts} == {1}
    # conv1 moves 36 x 9 x 2 values, conv2 9 x 9 x 8; `whole` takes an image of 2 x 2 x 6.
    assert [part.cycles for part in alone.parts] == [72, 648, 288, 648, 54, 4 * 4 * 6, 24, 10, 10, 10, 5]
    assert alone.interval == 648
    kept = make_plan(network(), 324)
    assert [kept.source.lanes, *(part.stream.lanes for part in kept.parts)] == [2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    assert [part.cycles for part in kept.parts] == [36, 324, 144, 324, 54, 96, 24, 10, 10, 10, 5]
    assert make_plan(network(), 400).interval == 324
    with pytest.raises(
        ModelError, match=r"cannot keep 323 cycles an image: 'encode' takes 324 with all of its 2 channels"
    ):
        make_plan(network(), 323)


def test_designs_of_two_models_have_hashes_of_their_own() -> None:
    """In one sign-off each has another Verilog: neither is one that changed while it ran."""
    composed, other = Setup("composed", {"interval": 100}), Setup("composed")
    models = network(), Model(network().graph, "another")
    names = {setup.rtl_of(model) for setup in (composed, other) for model in models}
    assert names == {
        f"rtl of composed {model.name}{interval}" for model in models for interval in (", interval 100", "")
    }
    assert Setup("stream").rtl_of(models[0]) == "rtl"


def test_an_interval_of_nothing_is_refused() -> None:
    """By the name of its option."""
    settings = DEVICES["composed"].settings
    with pytest.raises(StimulusError, match="the most cycles between images, --interval, is 0 cycles, expected 1 to"):
        make_settings("composed", settings, {"interval": 0})


def conv(channels: int, outputs: int, groups: int = 1) -> Conv:
    """A convolution of single pixels."""
    weight = np.ones((outputs, 1, 1, channels // groups), np.int8)
    return Conv(weight, groups=groups)


X = image(2, 2, 2, UINT8)
TWO = np.zeros((2, 256), np.int32)
ONE_STEP = Threshold(TWO[:, :1], np.ones(2, np.uint8), np.zeros(2, np.int8))
REFUSED: dict[str, tuple[list[Node], str]] = {
    "pad": (
        [Node("conv", conv(2, 2), ("input",)), Node("pad", Pad(np.zeros(2, np.int32), (1, 1, 1, 1)), ("conv",))],
        "node 'pad': the composed accelerator does not take the operator 'pad', because it has no module of it; "
        "it takes add, affine, argmax, concat, conv, flatten, linear, lut, matmul, max_pool, multiply_add, position, "
        "relu, rescale, reshape, sum_pool, threshold, weighted_add",
    ),
    "flatten": (
        [Node("flat", Flatten((2, 0, 1)), ("input",))],
        "the composed accelerator takes values that are flattened in the order that they lie in, node 'flat' has the ",
    ),
    "shifts": (
        [Node("fc", sums(np.ones((2, 2), np.int8), Number(8), shift=1), ("input",))],
        "the composed accelerator takes sums that are neither shifted nor moved, node 'fc' has shifts or biases",
    ),
    "saturation": (
        [Node("fc", sums(np.ones((2, 2), np.int8), Number(8)), ("input",))],
        "the composed accelerator takes sums as they are, in a signed format that holds them, node 'fc' has 0 to 510",
    ),
    "points": (
        [Node("lut", Lut(np.zeros((2, 16), np.int8), TableRule.HOLD, number=UINT8), ("input",))],
        "the composed accelerator takes full tables of numbers, node 'lut' has one of uint8 with the rule 'hold'",
    ),
    "crossed paths": (
        [
            Node("a", ONE_STEP, ("input",)),
            Node("b", ONE_STEP, ("a",)),
            Node("c", Add(12), ("input", "b")),
            Node("d", Add(12), ("c", "a")),
        ],
        "the composed accelerator takes paths that part at one node and join again, two by two: 'input' is "
        "read 2 times, and 2 of such joins are of paths from there, expected 1",
    ),
    "steps": (
        [Node("t", Threshold(TWO, np.ones(2, np.uint8), np.zeros(257, np.int8)), ("input",))],
        "the composed accelerator takes up to 255 thresholds of a channel, node 't' has 256",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_has_no_module_is_refused_by_name(what: str) -> None:
    """One sentence with the node and what was expected."""
    nodes, message = REFUSED[what]
    with pytest.raises(ModelError) as caught:
        make_plan(Model(Graph(X, nodes), "m"))
    assert str(caught.value).startswith(message)


# --- ROMs, by what the headers of the modules say of them -----------------------------------------------------------


def words(folder: Path, name: str) -> list[int]:
    """The words of a ROM file."""
    return [int(line, 16) for line in (folder / name).read_text(encoding="ascii").split()]


def test_roms_hold_the_weights_and_thresholds(tmp_path: Path) -> None:
    """Each weight at its place, each threshold counted for every value of the format, directions and ends included."""
    rng = np.random.default_rng(9)
    weight = rng.integers(-4, 4, (14, 2, 3, 2)).astype(np.int8)
    # Of each channel: never, always, about the range's ends, and anything; every format that is compared.
    ends = np.array([-(2**31), 2**31 - 1, -9, 9, -8, 8, 7, -1, 0, 1], np.int32)
    cases = {"int4": Number(4), "uint3": Number.parse("uint3"), "bipolar": BIPOLAR}
    for number in cases.values():
        steps = np.stack([rng.permutation(ends), rng.permutation(ends), ends, ends[::-1]])
        rising = np.array([1, 0, 0, 1], np.uint8)
        levels = np.arange(11).astype(np.int8)
        folder = tmp_path / str(number)
        nodes = [Node("t", Threshold(steps, rising, levels), ("input",))]
        compose(Model(Graph(image(2, 3, 4, number), nodes), "m"), folder, 12)
        (line,) = [line for line in (folder / "composed.v").read_text().splitlines() if ".LANES(" in line]
        lanes = int(re.findall(r"\d+", line)[0])
        assert lanes == 2
        code_bits = number.bits
        bits = code_bits + (1 if number.signed and not number.bipolar else 2)
        for group, word in enumerate(words(folder, "n0_t_t.hex")):
            for lane in range(lanes):
                channel = group * lanes + lane
                part = word >> lane * (10 * bits + 1)
                falling = part >> 10 * bits & 1
                stored = [part >> k * bits & ((1 << bits) - 1) for k in range(10)]
                stored = [t - (1 << bits) if t >> (bits - 1) else t for t in stored]
                assert stored == sorted(stored)
                assert falling == 1 - rising[channel]
                for x in range(number.low, number.high + 1, 2 if number.bipolar else 1):
                    code = (x + 1) // 2 if number.bipolar else x
                    turned = -code - 1 if falling else code
                    passed = sum(x <= t if falling else x >= t for t in steps[channel].tolist())
                    assert sum(turned >= t for t in stored) == passed, (str(number), channel, x)
    folder = tmp_path / "w"
    nodes = [Node("conv", Conv(weight, weight_number=Number(3)), ("input",))]
    compose(Model(Graph(image(2, 3, 2, INT4), nodes), "m"), folder, 7)
    found = words(folder, "n0_conv_w.hex")
    assert len(found) == 7
    for n, r, s, c in np.ndindex(weight.shape):
        code = found[n // 2] >> 3 * (n % 2 * 12 + (r * 3 + s) * 2 + c) & 7
        assert code - 8 * (code >> 2) == weight[n, r, s, c]


# --- The design ------------------------------------------------------------------------------------------------------


@pytest.mark.verilator
def test_every_value_is_equal_and_the_interval_kept() -> None:
    """Every tap, freely flowing with images 324 cycles apart, and with stalls of both sides and resets in mid-run."""
    model = network()
    free = cosim(model, stimulus(6), accel="composed", interval=324)
    assert free.passed, free
    assert {name: tap.compared for name, tap in free.streams.taps.items()} == {
        tap: 6 * int(np.prod(model.graph.shapes[tap])) for tap in model.graph.taps
    }
    assert (free.timing.interval_bound_cycles, free.timing.interval_within_bound) == (324, True)
    assert free.timing.interval_cycles == 324
    held = cosim(model, stimulus(6), accel="composed", interval=324, stall="random:4:0.4+reset:3")
    assert held.passed, held


@pytest.mark.slow
@pytest.mark.verilator
@pytest.mark.yosys
def test_lanes_take_the_cycles_of_verilator_and_every_value_is_right() -> None:
    """Every tap of 4 x 5 images in 5 lanes, with stalls and a reset, beside every fifth image by itself."""
    model, x = network(), stimulus(20)
    asked = {"device": "composed", "settings": {"interval": 324}, "stall": "random:4+reset:3", "power_on_seeds": (1,)}
    plain = run_cosim(CosimRequest(model, x[::5], **asked))
    wide = run_cosim(CosimRequest(model, x, **asked), simulator=LanesSimulator(5, "-O1"))
    assert plain.passed
    assert wide.passed, wide.verdict
    for of in ("cycles", "resets", "interval", "latency", "first_output_cycles"):
        assert getattr(wide.timing, of) == getattr(plain.timing, of), of
    for tap, stream in plain.streams.taps.items():
        assert wide.streams.taps[tap].compared == 5 * stream.compared, tap


@pytest.mark.icarus
def test_values_are_known_from_power_on_and_faults_are_found_at_their_nodes(tmp_path: Path) -> None:
    """Every value of every tap known and equal in four states; what is wrong in a module is seen where it computes."""
    model, x = network(), stimulus(2)
    good = four_state(model, x, accel="composed", engine="reference", stalls=(40,))
    assert good.passed, good.reason
    shutil.copytree(rtl_dir(), tmp_path / "rtl")
    lane = tmp_path / "rtl" / "composed" / "threshold_lane.v"
    text = lane.read_text()
    assert text.count("turned >= least") == 1
    lane.write_text(text.replace("turned >= least", "turned > least"))
    wrong = four_state(model, x, accel="composed", engine="reference", stalls=(0,), rtl=tmp_path / "rtl")
    assert not wrong.passed
    bad = [tap.tap for tap in wrong.runs[0].taps if tap.differ]
    assert bad[0] == "act1"


@pytest.mark.verilator
@pytest.mark.yosys
@pytest.mark.parametrize("interval", [None, 324])
def test_the_verilog_is_clean(interval: int | None, tmp_path: Path) -> None:
    """Verilator has no warning of the top with all below it; Yosys finds nothing undriven, latched or in a loop."""
    compose(network(), tmp_path / "c", interval)
    sources = sorted((tmp_path / "c" / "rtl").glob("*.v"))
    options = ("--lint-only", "-Wall", "--default-language", "1364-2005", "--top-module", "composed")
    status, output = call(VERILATOR, *options, tmp_path / "c" / "composed.v", *sources)
    assert (status, "%Warning" in output) == (0, False), output
    names = ["composed.v", *(f"rtl/{path.name}" for path in sources)]
    yosys(
        [
            f"read_verilog -defer {' '.join(names)}", "hierarchy -check -top composed", "proc", "check -assert",
            "select -assert-none t:$dlatch", "flatten", "check -assert",
        ],
        tmp_path / "c",
    )  # fmt: skip


@pytest.mark.yosys
@pytest.mark.parametrize(
    ("module", "before", "after"),
    [
        ("threshold_lane", "turned >= least", "turned > least"),
        ("window_max", "(now ^ turn) > (kept ^ turn)", "now > kept"),
        ("few_add", "sum > HIGH", "sum >= HIGH - 1"),
        ("full_table", "{group_reg, code}", "{group_reg, ~code}"),
        (
            "few_dot_product",
            "GROUP * k;  // all that are left; the leaf",
            "GROUP * k - 1;  // all that are left; the leaf",
        ),
    ],
)
def test_blocks_are_proved_and_faults_refuted(module: str, before: str, after: str, tmp_path: Path) -> None:
    """The smallest block of each kind is its rule for all inputs; one with a fault is not, and inputs show it."""
    rng = np.random.default_rng(2)
    nodes = [
        Node("pool", MaxPool((1, 2), (1, 1)), ("input",)),
        Node("conv", Conv(rng.integers(-2, 2, (2, 1, 1, 3)).astype(np.int8), weight_number=INT2, out=INT4), ("pool",)),
        Node("act", thresholds(rng, 2, 6, (-2, 0, 1), INT2), ("conv",)),
        Node("sum", Add(5, Number(3)), ("act", "conv")),
        Node("table", Lut(rng.integers(0, 16, (2, 8)).astype(np.uint8), TableRule.FULL, Number(3), UINT4), ("sum",)),
    ]
    model = Model(Graph(image(1, 2, 3, INT2), nodes), "small")
    (block,) = blocks(model, make_settings("composed", DEVICES["composed"].settings, {}))[module]
    found = prove_block(block)
    assert (found.status, found.wrong) == (PROVED, "")
    shutil.copytree(rtl_dir(), tmp_path / "rtl")
    source = tmp_path / "rtl" / "composed" / f"{module}.v"
    text = source.read_text()
    assert text.count(before) == 1
    source.write_text(text.replace(before, after))
    wrong = prove_block(block, tmp_path / "rtl")
    assert wrong.status == REFUTED
    assert wrong.witness


def test_kit_has_the_design_and_its_values(tmp_path: Path) -> None:
    """A kit for any simulator: top, modules, ROMs and testbench, and the expected values of every tap."""
    settings = {"interval": 324}
    paths = write_kit(network(), stimulus(2), tmp_path / "kit", "composed", settings, engine="reference")
    files = {str(path) for path in paths}
    assert {"rtl/composed.v", "rtl/rtl/image_window.v", "rtl/composed.toml", "n1_conv1_w.hex", "testbench.v"} <= files
    assert {f"expected_{tap}.hex" for tap in network().graph.taps} <= files


# --- Residual paths --------------------------------------------------------------------------------------------------


def residual() -> Model:
    """Three sums: around a convolution, of two paths that both get smaller, and one inside another's path."""
    rng = np.random.default_rng(3)
    convolution = {"padding": (1, 1, 1, 1), "weight_number": BIPOLAR, "out": Number(8)}
    return Model(
        Graph(
            image(4, 3, 2, INT4),
            [
                Node("act0", thresholds(rng, 2, 6, (-1, 1), BIPOLAR), ("input",)),
                Node("conv0", Conv(signs(rng, 2, 3, 3, 2), **convolution), ("act0",)),
                Node("sum0", Add(9, Number(7)), ("conv0", "input")),
                Node("act1", thresholds(rng, 2, 6, (-1, 1), BIPOLAR), ("sum0",)),
                Node("conv1", Conv(signs(rng, 2, 3, 3, 2), (2, 1), **convolution), ("act1",)),
                Node("pool1", MaxPool((2, 1), (2, 1)), ("sum0",)),
                Node("sum1", Add(9, Number(8)), ("pool1", "conv1")),
                Node("levels", thresholds(rng, 2, 9, (-1, 0, 1, 2), Number(3)), ("sum1",)),
                Node("sum2", Add(9, UINT4), ("levels", "sum1")),
                Node("sum3", Add(9, Number(9)), ("sum1", "sum2")),
            ],
        ),
        "residual",
    )


def with_depth(folder: Path, model: Model, x: Int8, fifo: str, beats: int) -> str | None:
    """Why a run without stalls fails in which a FIFO has another depth; None: it passes."""
    compose(model, folder)
    top = folder / "composed.v"
    text = top.read_text()
    text, count = re.subn(rf"\.DEPTH\(\d+\),(\s+\.DATA_W\(\d+\)\s+\) {fifo} \()", rf".DEPTH({beats}),\1", text)
    assert count == 1
    top.write_text(text)
    dut = {"dut": str(folder / "composed.toml")}
    return four_state(model, x, accel="described", settings=dut, engine="reference", stalls=(0,)).reason


@pytest.mark.icarus
def test_paths_part_and_join_at_every_depth_from_the_least(tmp_path: Path) -> None:
    """Every tap of residual paths, at the depths that are made and the least; with one beat less it stands still."""
    model = residual()
    x = np.random.default_rng(4).integers(-8, 8, (3, 4, 3, 2)).astype(np.int8)
    made = four_state(model, x, accel="composed", engine="reference", stalls=(0, 45))
    assert made.passed, made.reason
    depths = {part.node.name: part.depths for part in make_plan(model).parts if part.depths}
    # Before its first sum conv0 needs two rows of three pixels of two channels; one value waits at the fork.
    assert [[fifo.least for fifo in pair] for pair in depths.values()] == [[0, 11], [0, 0], [0, 0], [0, 0]]
    assert with_depth(tmp_path / "least", model, x, "n2_sum0_fifo1", 11) is None
    less = with_depth(tmp_path / "less", model, x, "n2_sum0_fifo1", 10)
    assert less is not None
    assert less.startswith("the design is stuck after")


@pytest.mark.verilator
def test_fifos_keep_the_pace_of_paths() -> None:
    """The interval with residual paths is that of the slowest node, as without."""
    x = np.random.default_rng(4).integers(-8, 8, (8, 4, 3, 2)).astype(np.int8)
    found = cosim(residual(), x, accel="composed")
    assert found.passed, found
    # conv0's windows: 4 x 3 places of 9 pixels of 2 channels.
    assert (found.timing.interval_cycles, found.timing.interval_bound_cycles) == (216, 216)


@pytest.mark.parametrize("seed", range(6))
def test_depths_are_those_of_a_plain_count(seed: int) -> None:
    """The least depth beside a padded convolution is that of the most values that wait, counted sum by sum."""
    rng = np.random.default_rng(seed)
    rows, columns, channels = (int(n) for n in rng.integers(1, 7, 3))
    kernel = int(rng.integers(0, 3)) * 2 + 1
    edge = kernel // 2
    weight = signs(rng, channels, kernel, kernel, channels)
    op = Conv(weight, padding=(edge, edge, edge, edge), weight_number=BIPOLAR, out=Number(12))
    graph = Graph(image(rows, columns, channels, INT4), [Node("c", op, ("input",)), Node("s", Add(14), ("input", "c"))])
    (part,) = (part for part in make_plan(Model(graph, "m")).parts if part.depths)
    # Of each sum: all rows under its window must have come, of which all but the sums before it wait, one at the fork.
    waiting = []
    for place in range(rows * columns):
        come = min(place // columns + edge + 1, rows) * columns if edge else place + 1
        waiting += [come * channels - (place * channels + channel) - 1 for channel in range(channels)]
    assert [fifo.least for fifo in part.depths] == [max(waiting), 0]


# --- The command -----------------------------------------------------------------------------------------------------


def test_command_writes_a_design_that_fits_its_model(tmp_path: Path) -> None:
    """The folder is a described design with every tap; one that is not empty stays as it is."""
    model = tmp_path / "m.safetensors"
    save(network(), model)
    made = CliRunner().invoke(command, [str(model), "-o", str(tmp_path / "c"), "--interval", "324", "--json"])
    assert made.exit_code == 0, made.output
    assert '"interval_cycles": 324' in made.output
    said = tomllib.loads((tmp_path / "c" / "composed.toml").read_text())
    assert [tap["name"] for tap in said["tap"]] == list(network().graph.taps)
    fitted = DEVICES["described"].fit(
        network(),
        make_settings("described", DEVICES["described"].settings, {"dut": str(tmp_path / "c" / "composed.toml")}),
    )
    assert fitted.probed == network().graph.taps
    again = CliRunner().invoke(command, [str(model), "-o", str(tmp_path / "c")])
    assert isinstance(again.exception, FxsimError)
    assert "exists already, and is not empty" in str(again.exception)
