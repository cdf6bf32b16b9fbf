"""Proofs of the composed accelerator's modules under every schedule, and of a design against its graph."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from fxsim.cli.prove import command
from fxsim.devices import DEVICES, make_settings
from fxsim.devices.base import Synthesisable
from fxsim.errors import ToolError
from fxsim.formats import save
from fxsim.graph import Model
from fxsim.paths import rtl_dir
from fxsim.prove.again import AGAIN
from fxsim.prove.composed import wrong_of
from fxsim.prove.evidence import Evidence, recheck
from fxsim.prove.instances import elaborate
from fxsim.prove.schedule import ModuleProof, instrument, prove_module
from fxsim.prove.schedule_composed import COMPOSED
from fxsim.prove.schedules import prove_schedules
from fxsim.simulate.sources import Sources, read_sources
from tests.test_composed import network, residual

SECONDS = 60
RTL = read_sources(rtl_dir())

WINDOW = {
    "ROWS": 4, "COLUMNS": 3, "WORDS": 2, "DATA_W": 2, "KERNEL_ROWS": 3, "KERNEL_COLUMNS": 2, "STRIDE_ROWS": 1,
    "STRIDE_COLUMNS": 1, "DILATION_ROWS": 1, "DILATION_COLUMNS": 1, "PAD_TOP": 1, "PAD_LEFT": 1, "PAD_BOTTOM": 1,
    "PAD_RIGHT": 0, "BIPOLAR": 1, "LINES": 0,
}  # fmt: skip
STEPS = {"CHANNELS": 6, "LANES": 2, "X_W": 5, "X_SIGNED": 1, "STEPS": 3, "Y_W": 2, "LEVELS": 0b11_01_10_00}
ROWS = {
    "BEATS": 3, "LANES": 2, "OUT": 6, "OUT_LANES": 2, "X_W": 2, "X_KIND": 0, "W_W": 1, "W_BIPOLAR": 1, "ACC_W": 5,
}  # fmt: skip
PRODUCTS = {"LANES": 11, "X_W": 2, "X_KIND": 0, "W_W": 2, "W_BIPOLAR": 0, "ACC_W": 7}
SIGNS = {"LANES": 13, "X_W": 1, "X_KIND": 2, "W_W": 1, "W_BIPOLAR": 1, "ACC_W": 5}
GREATEST = {"PLACES": 4, "WORDS": 3, "LANES": 2, "X_W": 3, "X_SIGNED": 1}
TABLE = {"CHANNELS": 4, "LANES": 2, "X_W": 3, "X_SIGNED": 1, "Y_W": 3}
SUM = {"LANES": 2, "X_W": 4, "X_SIGNED": 1, "R_W": 3, "R_SIGNED": 0, "Y_W": 4, "Y_SIGNED": 1}

PROVED = [
    ("image_window", WINDOW),
    ("threshold", STEPS),
    ("few_linear", ROWS),
    ("few_dot_product", PRODUCTS),
    ("few_dot_product", SIGNS),
    ("window_max", GREATEST),
    ("full_table", TABLE),
    ("few_add", SUM),
]
MORE = [
    # Rows that no place covers, strides and dilation, one image row, a ring as small as may be, no padding.
    ("image_window", {**WINDOW, "ROWS": 5, "STRIDE_ROWS": 2, "DILATION_ROWS": 2, "PAD_TOP": 2, "BIPOLAR": 0}),
    ("image_window", {**WINDOW, "ROWS": 1, "PAD_TOP": 1}),
    ("image_window", {**WINDOW, "LINES": 3}),
    ("image_window", {**WINDOW, "KERNEL_ROWS": 2, "STRIDE_ROWS": 3, "ROWS": 7, "PAD_TOP": 0, "PAD_LEFT": 0,
                      "PAD_BOTTOM": 0}),
    ("image_window", {**WINDOW, "ROWS": 32, "COLUMNS": 32, "DATA_W": 24, "BIPOLAR": 0}),
    # One word of a memory; unsigned values; thresholds that are more than 32 bits of levels.
    ("threshold", {**STEPS, "CHANNELS": 2, "X_SIGNED": 0}),
    ("threshold", {"CHANNELS": 4, "LANES": 1, "X_W": 4, "X_SIGNED": 1, "STEPS": 15, "Y_W": 4, "LEVELS": 0x76543210,
                   "LEVELS_32": 0xFEDCBA98}),
    ("few_linear", {**ROWS, "BEATS": 1, "OUT": 2}),
    ("few_linear", {**ROWS, "BEATS": 64, "LANES": 1, "OUT": 10, "OUT_LANES": 1, "X_W": 1, "X_KIND": 2, "ACC_W": 8}),
    ("few_dot_product", {**PRODUCTS, "X_KIND": 1, "W_W": 1, "W_BIPOLAR": 1}),
    ("few_dot_product", {**PRODUCTS, "LANES": 5, "X_W": 4, "W_W": 3}),
    ("few_dot_product", {**PRODUCTS, "X_W": 1, "X_KIND": 2}),
    ("window_max", {**GREATEST, "WORDS": 1}),
    ("window_max", {**GREATEST, "PLACES": 1}),
    ("full_table", {**TABLE, "CHANNELS": 2, "X_W": 2}),
    ("axis_fork", {"DATA_W": 5}),
]  # fmt: skip


def prove(module: str, parameters: dict[str, int], sources: Sources = RTL) -> ModuleProof:
    """The proof of one module."""
    return prove_module(sources, COMPOSED[module](parameters), seconds=SECONDS)


def check_proved(module: str, parameters: dict[str, int]) -> None:
    """Every property of a module is proved, and each run that must be there was seen."""
    proof = prove(module, parameters)
    assert [(v.name, v.verdict, v.why) for v in proof.verdicts if v.verdict != "proved"] == []
    assert any(v.name.startswith("reached_") for v in proof.verdicts)


@pytest.mark.parametrize(("module", "parameters"), PROVED)
def test_modules_are_proved(module: str, parameters: dict[str, int]) -> None:
    """Modules are proved for all schedules, inputs and contents of their ROMs."""
    check_proved(module, parameters)


@pytest.mark.thorough
@pytest.mark.parametrize(("module", "parameters"), MORE)
def test_modules_of_other_sizes_are_proved(module: str, parameters: dict[str, int]) -> None:
    """So are other sizes, among them each edge of what is a memory, a counter, a path of its own."""
    check_proved(module, parameters)


FAULTS = [
    # Padding that begins a row late.
    ("image_window", WINDOW, "image_window", ">= PAD_TOP_32[ROW_W:0]", "> PAD_TOP_32[ROW_W:0]"),
    # A row too few is waited for.
    ("image_window", WINDOW, "image_window", "held_reg >= needed_reg;", "held_reg >= needed_reg - 1;"),
    # A value is compared the other way at the threshold itself.
    ("threshold", STEPS, "threshold_lane", "turned >= least", "turned > least"),
    # The thresholds of another channel where the input pauses.
    ("threshold", STEPS, "threshold", "!fetched_reg || accepted;", "!fetched_reg || s_axis_tready;"),
    # A word of weights ahead.
    ("few_linear", ROWS, "few_linear", "weights[fetch_reg]", "weights[fetch_reg + 1'b1]"),
    # The row that is collected is multiplied, rather than the one that is whole.
    ("few_linear", ROWS, "few_linear", ".x(row_reg)", ".x(collect_reg)"),
    # A row is overwritten where the output waits.
    ("few_linear", ROWS, "few_linear", "s_axis_tready = !collect_full_reg", "s_axis_tready = 1'b1"),
]
MORE_FAULTS = [
    # The rest of the ring is read where an image ends.
    ("image_window", {**WINDOW, "PAD_BOTTOM": 0}, "image_window", "band_last ? BAND_BACK : BAND_STEP", "BAND_STEP"),
    # What leaves does not wait.
    ("image_window", WINDOW, "image_window", "!output_valid_reg || m_axis_tready;", "1'b1;"),
    # Rows are given back too early, and overwritten before they are read.
    ("image_window", WINDOW, "image_window", "(band_done ? next_row", "(place_done ? next_row"),
    # A ring that takes a row more than it has.
    ("image_window", WINDOW, "image_window", "held_reg != ALL_LINES", "held_reg != ALL_LINES + 1"),
    # A count that is lost where the level waits.
    ("threshold", STEPS, "threshold", "!count_valid_reg || y_free;", "1'b1;"),
    # Beats of a row in the wrong order.
    ("few_linear", ROWS, "few_linear", "<< (ROW_W - BEAT_W))", "<< (ROW_W - BEAT_W - BEAT_W))"),
    # A level of the tree that misses a node, a product of the other sign.
    ("few_dot_product", SIGNS, "few_dot_product", "x ~^ w", "x ^ w"),
    ("few_dot_product", PRODUCTS, "few_dot_product", "value * weight", "value * value"),
    ("window_max", GREATEST, "window_max", "first || (now ^ turn)", "(now ^ turn)"),
    ("full_table", TABLE, "full_table", "(group_reg == LAST) ?", "(group_reg == 1'b0) ?"),
    ("few_add", SUM, "few_add", "sum > HIGH", "sum >= HIGH - 1"),
]


def broken(module: str, old: str, new: str) -> Sources:
    """The project's Verilog with one text of one file replaced, which is there once."""
    file = f"composed/{module}.v"
    text = RTL.files[file].decode()
    assert text.count(old) == 1, (module, old)
    return Sources(RTL.folder, {**RTL.files, file: text.replace(old, new).encode()})


def check_refused(module: str, parameters: dict[str, int], sources: Sources) -> ModuleProof:
    """Nothing of a module with a fault is proved."""
    proof = prove(module, parameters, sources)
    assert not proof.proved
    assert not any(v.verdict == "proved" for v in proof.verdicts)
    return proof


@pytest.mark.parametrize(("module", "parameters", "file", "old", "new"), FAULTS)
def test_broken_modules_are_not_proved(module: str, parameters: dict[str, int], file: str, old: str, new: str) -> None:
    """Wrong padding, a row too early, `>` for `>=`, a lost beat, a wrong word: each is refuted by a run."""
    proof = check_refused(module, parameters, broken(file, old, new))
    refuted = [v for v in proof.verdicts if v.verdict == "refuted"]
    for verdict in refuted:
        assert verdict.trace[-1][f"gh_holds_{verdict.name}"] == 0
        assert all(row[f"gh_holds_{verdict.name}"] for row in verdict.trace[:-1])
    assert refuted


@pytest.mark.thorough
@pytest.mark.parametrize(("module", "parameters", "file", "old", "new"), MORE_FAULTS)
def test_further_broken_modules_are_not_proved(
    module: str, parameters: dict[str, int], file: str, old: str, new: str
) -> None:
    """So are wrong addresses, counters, orders, signs and operations."""
    check_refused(module, parameters, broken(file, old, new))


READS = "initial $readmemh(T_FILE, thresholds);"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        # Something else than the file has the last word.
        (READS, f"{READS} initial thresholds[0] = 1;", "expected ROMs alone to have first contents"),
        (READS, "initial $readmemh(T_FILE, thresholds, 1);", "expected ROMs alone to have first contents"),
        # Another layer's file; and one that depends on the layer by the name of its file.
        (READS, 'localparam OTHER = "n2_act1_t.hex"; initial $readmemh(OTHER, thresholds);',
         "expected OTHER to be a parameter"),
        (".x(s_axis_tdata[X_W*n+:X_W])", '.x(s_axis_tdata[X_W*n+:X_W] ^ (T_FILE != "threshold_t.hex"))',
         "expected T_FILE to be a parameter that names the file of a ROM, and is used for nothing else"),
        (".x(s_axis_tdata[X_W*n+:X_W])", '.x(s_axis_tdata[X_W*n+:X_W] ^ (\\T_FILE != "threshold_t.hex"))',
         "expected no escaped name"),
        # A macro that another file defines.
        ("wire fetch =", "`ifdef OTHER\n wire fetch = 1'b1 ||\n`else\n wire fetch =\n`endif\n", "'`ifdef' may give"),
    ],
)  # fmt: skip
def test_what_a_module_by_itself_does_not_show_is_refused(old: str, new: str, said: str) -> None:
    """A module that is another one in the design than the one that is proved is named."""
    with pytest.raises(ToolError, match=re.escape(said)):
        instrument(broken("threshold", old, new), COMPOSED["threshold"](STEPS))


# --- The design against the graph ------------------------------------------------------------------------------------


def design(model: Model, **settings: int) -> Synthesisable:
    """The design that is composed of a model."""
    device = DEVICES["composed"]
    return device.fit(model, make_settings("composed", device.settings, settings)).synthesisable()


def read(model: Model, made: Synthesisable) -> str:
    """What is wrong with a design."""
    return wrong_of(model.graph, elaborate(made.sources, made.top, {}, made.files), made.files)


@pytest.mark.parametrize(("make", "settings"), [(network, {}), (network, {"interval": 324}), (residual, {})])
def test_designs_are_those_of_their_graphs(make: Callable[[], Model], settings: dict[str, int]) -> None:
    """Of one channel a beat, of several, of paths that part and join."""
    model = make()
    assert read(model, design(model, **settings)) == ""


def changed(made: Synthesisable, old: str, new: str) -> Synthesisable:
    """A design whose top has another text, which was there once."""
    text = made.sources.files["composed.v"].decode()
    assert text.count(old) == 1, old
    return replace(made, sources=replace(made.sources, files={
        **made.sources.files, "composed.v": text.replace(old, new).encode()
    }))  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (".s_axis_tdata(n2_act1_tdata)", ".s_axis_tdata(~n2_act1_tdata)", "joined to other data"),
        (".s_axis_tdata(n0_encode_tdata)", ".s_axis_tdata(image_tdata)", "joined to other data"),
        (".s_axis_tready(n4_act2_tready)", ".s_axis_tready()", "not connected in whole"),
        ("      .PAD_TOP(1),\n      .PAD_LEFT(1),\n      .PAD_BOTTOM(1),\n      .PAD_RIGHT(1),\n      .BIPOLAR(0)",
         "      .PAD_TOP(1),\n      .PAD_LEFT(1),\n      .PAD_BOTTOM(1),\n      .PAD_RIGHT(2),\n      .BIPOLAR(0)",
         "has PAD_RIGHT 2, node 'conv1' asks for 1"),
        ("  // Keeps m_axis", "  assign n9_fc_tdata[0] = 1'b1;\n  // Keeps m_axis", "a constant drives, too"),
        ("  // Keeps m_axis", "  assign n9_fc_tdata = n2_act1_tdata;\n  // Keeps m_axis", "drives, too"),
        ('.W_FILE("n9_fc_w.hex")', '.W_FILE("n1_conv1_w.hex")', "n1_conv1_w.hex has 8 words"),
        (".LEVELS(6'h13)", ".LEVELS(6'h31)", "has level"),
        ("m_axis_tdata[1:0] = {!result[0], 1'b1}", "m_axis_tdata[1:0] = {result[0], 1'b1}", "something else than -1"),
    ],
)  # fmt: skip
def test_designs_that_are_wired_otherwise_are_refused(old: str, new: str, said: str) -> None:
    """Data, readies, sizes, files and levels that are not those of the graph are named."""
    model = network()
    assert said in read(model, changed(design(model), old, new))


def test_rom_files_with_other_contents_are_refused() -> None:
    """One bit of one weight, one threshold, one entry, a line too many; each with its place."""
    model = network()
    made = design(model)
    found = elaborate(made.sources, made.top, {}, made.files)
    for name, said in (
        ("n1_conv1_w.hex", "weight 0 of output 0 is"),
        ("n9_fc_w.hex", "weight 0 of output 0 is"),
        ("n4_act2_t.hex", "channel 0"),
        ("n0_encode_t.hex", "of channel 0 the value 0 has"),
    ):
        lines = made.files[name].decode().split()
        lines[0] = f"{int(lines[0], 16) ^ 1:0{len(lines[0])}x}"
        wrong = wrong_of(model.graph, found, {**made.files, name: "\n".join(lines).encode()})
        assert said in wrong, (name, wrong)
        more = wrong_of(model.graph, found, {**made.files, name: made.files[name] + b"0\n"})
        assert f"{name} has {len(lines) + 1} words" in more
    missing = {name: text for name, text in made.files.items() if name != "n1_conv1_w.hex"}
    assert "which is no file of the design" in wrong_of(model.graph, found, missing)


def in_module(made: Synthesisable, module: str, *edits: tuple[str, str]) -> Synthesisable:
    """A design with other texts in a module's file, each of which was there once."""
    file = f"rtl/{module}.v"
    text = made.sources.files[file].decode()
    for old, new in edits:
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return replace(made, sources=replace(made.sources, files={**made.sources.files, file: text.encode()}))


def test_roms_that_do_not_hold_their_files_are_refused() -> None:
    """The file of another layer, no file, a file read beside another first content, and a ROM that is written."""
    model = network()
    made = design(model)
    reads, file = "$readmemh(T_FILE, thresholds);", 'T_FILE = "threshold_t.hex"'
    other = in_module(
        made,
        "threshold",
        (file, f'{file}, parameter OTHER = "n2_act1_t.hex"'),
        (reads, reads.replace("T_FILE", "OTHER")),
    )
    assert "its memory thresholds does not hold the words of n10_class_t.hex" in read(model, other)
    assert "has no memory with the words of" in read(model, in_module(made, "threshold", (f"initial {reads}", "")))
    twice = in_module(made, "threshold", (reads, f"{reads} initial thresholds[0] = 1;"))
    with pytest.raises(ToolError, match=r"word 0 of the memory .*thresholds has two first contents"):
        read(model, twice)
    clears = "if (rst) thresholds[fetch_reg] <= 0;"
    written = in_module(
        made, "threshold", ("    if (fetch) thresholds_reg", f"    {clears}\n    if (fetch) thresholds_reg")
    )
    with pytest.raises(ToolError, match="'threshold' writes its memory thresholds, which has first contents"):
        read(model, written)


def test_texts_that_name_no_rom_are_refused(tmp_path: Path) -> None:
    """A parameter that is a text, which no proof of a module is given, and by which it could be another one."""
    shutil.copytree(rtl_dir(), tmp_path / "rtl")
    lane = tmp_path / "rtl" / "composed" / "threshold.v"
    file, reads = 'T_FILE = "threshold_t.hex"', "$readmemh(T_FILE, thresholds);"
    text = lane.read_text()
    assert text.count(file) == text.count(reads) == 1
    text = text.replace(file, f"{file}, parameter OTHER = T_FILE").replace(reads, "$readmemh(OTHER, thresholds);")
    lane.write_text(text)
    proof = prove_schedules(network(), "composed", "threshold", tmp_path / "rtl")
    assert not proof.proved
    assert "its parameter T_FILE is a text, and names no file of a ROM" in proof.unstated.values()


def test_residual_paths_that_are_wired_otherwise_are_refused() -> None:
    """A sum that takes one path twice, and paths in the wrong order, where both have the same format."""
    model = residual()
    made = design(model)
    ports = re.search(r"\) n9_sum3_sum \(.*?\);", made.sources.files["composed.v"].decode(), re.DOTALL)
    assert ports is not None
    names = re.findall(r"s(\d)_axis_tdata\((\w+)_tdata\)", ports[0])
    first, second = (name for _, name in names)
    swapped = ports[0].replace(first, "@").replace(second, first).replace("@", second)
    assert read(model, changed(made, ports[0], swapped)) != ""
    twice = ports[0].replace(f"{second}_tvalid", f"{first}_tvalid").replace(f"{second}_tdata", f"{first}_tdata")
    assert "not taken by one module" in read(model, changed(made, ports[0], twice))


# --- The command -----------------------------------------------------------------------------------------------------


def test_one_module_is_proved_by_the_command(tmp_path: Path) -> None:
    """`--module` proves each different instance of one, `--rtl` other Verilog, in which a fault is found."""
    save(network(), tmp_path / "few.safetensors")
    words = [str(tmp_path / "few.safetensors"), "--accel", "composed", "--schedule", "all", "--module"]
    good = CliRunner().invoke(command, [*words, "threshold"], catch_exceptions=False)
    assert good.exit_code == 0, good.output
    assert "5 of 5 proved" in good.output  # and the design
    shutil.copytree(rtl_dir(), tmp_path / "rtl")
    lane = tmp_path / "rtl" / "composed" / "threshold_lane.v"
    lane.write_text(lane.read_text().replace("turned >= least", "turned > least"))
    bad = CliRunner().invoke(command, [*words, "threshold", "--rtl", str(tmp_path / "rtl")], catch_exceptions=False)
    assert bad.exit_code == 1
    assert "refuted: threshold: order: each output is the level of as many thresholds" in " ".join(bad.output.split())
    whole = CliRunner().invoke(command, words[:3])
    assert "modules, and that it is made of them, are with --schedule all" in str(whole.exception)
    with pytest.raises(ToolError, match="no module 'pool' with properties of its own, expected: axis_fifo, few_dot"):
        prove_schedules(network(), "composed", "pool")


def test_evidence_of_modules_is_checked_again(tmp_path: Path) -> None:
    """z3 answers every question of a module again, and each that must be asked was."""
    evidence = Evidence(model=network())
    proof = prove_schedules(network(), "composed", "window_max", evidence=evidence)
    assert proof.proved
    evidence.write(tmp_path / "evidence")
    assert recheck(tmp_path / "evidence", AGAIN).wrong == ()
