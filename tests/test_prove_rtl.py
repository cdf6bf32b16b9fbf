"""Proofs of RTL: what is equal is proved, what is not never is, and a prover with a wrong rule is caught."""

import hashlib
import inspect
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from benchmarks.proofs import CHANGES
from fxsim import run
from fxsim.cli import main
from fxsim.contract import TableRule, lookup, stored_points
from fxsim.devices import DEVICES, Settings
from fxsim.devices.blocks import Peek
from fxsim.devices.provable import Provable
from fxsim.devices.stream.settings import StreamSettings
from fxsim.errors import StimulusError, ToolError
from fxsim.families import ResMLPConfig
from fxsim.families.random import generate_model
from fxsim.formats import save
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Linear
from fxsim.paths import rtl_dir
from fxsim.prove.again import AGAIN
from fxsim.prove.blocks import PROVED, REFUTED, prove_block
from fxsim.prove.compiled import cones, kernel
from fxsim.prove.evidence import RECORD, Evidence, recheck
from fxsim.prove.expected import Functions
from fxsim.prove.judge import Judge
from fxsim.prove.machine import Machine
from fxsim.prove.netlist import make_netlist
from fxsim.prove.program import make_program
from fxsim.prove.run import Proof, ProofRequest, make_setup, prove, prove_design, sample_images
from fxsim.prove.schedules import STATED
from fxsim.prove.symbolic import Outcome, Run
from fxsim.simulate.sources import read_sources
from tests.conftest import ROOT

SCHEDULE = "random:3"


@cache
def tiny() -> Model:
    """A ResMLP of one block, of 35 values or fewer a tap."""
    config = ResMLPConfig(4, 3, 3, 4, 1, 2, points=16, rule=TableRule.CLAMP)
    images = np.random.default_rng(3).integers(-128, 128, (50, 4, 3)).astype(np.int8)
    return generate_model("tiny", config, images, 7)


def faulty(folder: Path, file: str, before: str, after: str) -> Path:
    """A copy of the Verilog with a fault in it."""
    shutil.copytree(rtl_dir(), folder / "rtl")
    text = (folder / "rtl" / file).read_text()
    assert before in text
    (folder / "rtl" / file).write_text(text.replace(before, after, 1))
    return folder / "rtl"


def design_of(module: str, number: int = 0) -> Provable:
    """An instance of a module of the accelerator."""
    proofs = DEVICES["stream"].proofs
    assert proofs is not None
    return proofs(tiny(), StreamSettings(), module)[number]


def even() -> Model:
    """A small model whose dimensions are multiples of four."""
    images = np.random.default_rng(3).integers(-128, 128, (50, 4, 4)).astype(np.int8)
    return generate_model("even", ResMLPConfig(4, 4, 4, 4, 1, 4, points=16, rule=TableRule.CLAMP), images, 7)


@pytest.mark.parametrize(("module", "lanes"), [("linear", 2), ("transpose", 2), ("add", 2), ("pool", 4), ("affine", 4)])
def test_modules_of_several_values_a_beat_are_proved(module: str, lanes: int) -> None:
    """Every value of a module whose beats have two, or are whole rows, in the order of its stream."""
    found = prove(ProofRequest(even(), module=module, settings={"beat": lanes}))
    assert found.status == PROVED
    # All of a tap's values, each once, of every instance.
    sizes = {"linear": {4 * 4, 4}, "pool": {4}}.get(module, {4 * 4})
    assert {tap.values for proof in found.proofs for tap in proof.taps} == sizes
    assert all(tap.proved == tap.values for proof in found.proofs for tap in proof.taps)


@pytest.mark.parametrize("lanes", [2, 4])
def test_linears_of_packed_products_are_proved(lanes: int) -> None:
    """Every value of each linear whose multipliers make two products: its sum is a half of what they add up to."""
    found = prove(ProofRequest(even(), module="linear", settings={"beat": lanes, "packed": True}))
    assert found.status == PROVED
    sizes = [tap.values for proof in found.proofs for tap in proof.taps]
    assert sorted(sizes) == [4, 16, 16, 16, 16]
    assert [tap.proved for proof in found.proofs for tap in proof.taps] == sizes


@pytest.mark.parametrize(
    ("file", "before", "after", "status"),
    [
        ("lib/split_pair.v", "pair[35:18] + {17'd0, pair[17]}", "pair[35:18]", "refuted"),
        # Both bits are the same, but where nearly all values are at their ends: no such image is found.
        ("lib/split_pair.v", "{17'd0, pair[17]}", "{17'd0, pair[16]}", "unproved"),
        ("lib/split_pair.v", "low  = pair[17:0]", "low  = {pair[16], pair[16:0]}", "refuted"),
        ("lib/product_pair.v", "!w0[7]", "w0[7]", "refuted"),
        ("stream/dot_product_pair.v", "level[LEVELS].lows - excess", "level[LEVELS].lows", "refuted"),
        ("stream/dot_product_pair.v", "beside[l-1].x_sum_reg", "x_sum", "refuted"),
    ],
)  # fmt: skip
def test_a_fault_of_packed_products_is_not_proved(
    tmp_path: Path, file: str, before: str, after: str, status: str
) -> None:
    """A carry left out, of another bit, a lower half that is too narrow, an excess that stays or is not in step."""
    rtl = faulty(tmp_path, file, before, after)
    found = prove(ProofRequest(even(), module="linear", settings={"beat": 2, "packed": True}, rtl=rtl))
    assert found.status == status
    # Where sums are small enough for 17 bits the narrower half is right, and its linear proved.
    of_token_mixer = next(tap for proof in found.proofs for tap in proof.taps if "token_mixer" in tap.stream)
    assert of_token_mixer.proved < of_token_mixer.values


def test_a_memory_of_a_word_too_few_is_not_proved(tmp_path: Path) -> None:
    """The netlist has room for the word, Verilog drops it: a FIFO does not give it back, nor is the whole proved."""
    rtl = faulty(tmp_path, "lib/axis_fifo.v", "memory[0:STORED-1]", "memory[0:STORED-2]")
    (alone,) = prove(ProofRequest(tiny(), module="axis_fifo", rtl=rtl, schedule=SCHEDULE, simulate=False)).proofs
    assert (alone.status, "is not the value of 'embed'" in alone.stopped) == ("unproved", True)
    (whole,) = prove(ProofRequest(tiny(), rtl=rtl, schedule=SCHEDULE, images=2, simulate=False)).proofs
    assert (whole.status, whole.findings[0].kind) == ("unproved", "unknown")
    assert "x of the Verilog" in whole.findings[0].text


def test_the_accelerator_is_proved_for_all_images() -> None:
    """Every value of every tap and of the output, with stalls, two images after one another; by form and by trying."""
    model = tiny()
    (proof,) = prove(ProofRequest(model, schedule=SCHEDULE, images=2, simulate=False)).proofs
    values = model.graph.values_per_image - 12 + 2
    assert (proof.status, proof.stopped, proof.findings) == (PROVED, "", ())
    assert (proof.values, proof.proved) == (2 * values, 2 * values)
    assert {tap.stream for tap in proof.taps} == {*model.graph.taps, "m_axis"}
    assert proof.ways["form"] > 0
    assert proof.ways["few"] > 0


@pytest.mark.parametrize(
    ("file", "before", "after", "tap", "said"),
    [
        ("lib/requantise.v", "quotient_extended + rounding_bit", "quotient_extended", "embed", "it gives"),
        ("lib/saturating_add.v", "negative == sum[SUM_W-2]", "1'b1", "blocks.0.token_mixer.add", "where the model"),
        ("stream/activation_table.v", "(TABLE_RULE == CLAMP && in_last_segment[n]) ? LAST_SEGMENT : own", "own",
         "blocks.0.mlp.psa_1", "where the model"),
        ("stream/activation_table.v", "if (rst) base_reg[ADDRESS_W*n+:ADDRESS_W] <= FIRST;\n        else if", "if",
         "blocks.0.mlp.psa_1", "psa_1.base_reg', which nothing had set"),
        ("stream/pool.v", "(token_reg == FIRST_TOKEN) ? {LANES * SUM_W{1'b0}} : ", "", "pool", "several.sums"),
    ],
)  # fmt: skip
def test_a_fault_is_found_at_its_tap(tmp_path: Path, file: str, before: str, after: str, tap: str, said: str) -> None:
    """Rounding, saturation, table edge, missing reset, stale data: never proved, first found where the fault is."""
    rtl = faulty(tmp_path, file, before, after)
    (proof,) = prove(ProofRequest(tiny(), schedule=SCHEDULE, rtl=rtl, simulate=False)).proofs
    assert proof.status != PROVED
    assert proof.findings[0].tap == tap
    assert said in proof.findings[0].text
    assert proof.proved < proof.values


def test_the_benchmark_of_faults_names_what_is_there() -> None:
    """Each fault of `python -m benchmarks proofs` changes text that its file has; they are of every module and kind."""
    for change in CHANGES:
        assert change.before in (rtl_dir() / change.file).read_text(), change
        assert change.before != change.after
    assert len(CHANGES) == 145
    assert len({change.kind for change in CHANGES}) == 14


def test_a_missing_reset_of_control_stops_the_run(tmp_path: Path) -> None:
    """A handshake that depends on a register that nothing had set is named: no value is judged on such ground."""
    before = "collect_index_reg <= {IN_INDEX_W{1'b0}};\n      collect_full_reg"
    rtl = faulty(tmp_path, "stream/linear.v", before, "collect_full_reg")
    (proof,) = prove(ProofRequest(tiny(), rtl=rtl, simulate=False)).proofs
    assert proof.status != PROVED
    assert "depends on the register 'embed.collect_index_reg'" in proof.stopped


def test_modules_are_proved_alone() -> None:
    """What passes values on gives each once, in its order, under stalls; a fork that gives one twice is found below."""
    for module in ("axis_register", "transpose"):
        found = prove(ProofRequest(tiny(), module=module, schedule=SCHEDULE))
        assert {proof.status for proof in found.proofs} == {PROVED}


def test_a_value_that_is_passed_twice_is_found(tmp_path: Path) -> None:
    """A fork that forgets that one side has taken the value: its order is no longer the input's."""
    rtl = faulty(tmp_path, "lib/axis_fork.v", "taken0_reg <= done0 && !done1;", "taken0_reg <= 1'b0;")
    found = prove(ProofRequest(tiny(), module="axis_fork", schedule=SCHEDULE, rtl=rtl))
    assert found.status != PROVED
    assert "is not the value of 'embed'" in found.proofs[0].stopped


@pytest.mark.parametrize(("bits", "enough"), [(17, True), (16, False)])
def test_an_accumulator_is_proved_as_narrow_as_its_weights_let_it_be(bits: int, enough: bool) -> None:
    """Sums reach 3 x 127 x 128 = 48,768 on either side: 17 of 18 bits are proved to be enough, 16 are not."""
    embed, *rest = tiny().graph.nodes
    assert isinstance(embed.op, Linear)
    steep = replace(embed.op, weight=np.full((3, 3), 127, np.int8), acc_bits=0)
    model = Model(Graph(tiny().graph.input_shape, (Node(embed.name, steep, embed.inputs), *rest)), "steep")
    proofs = DEVICES["stream"].proofs
    assert proofs is not None
    design = proofs(model, StreamSettings(), "linear")[0]
    assert design.parameters["ACC_W"] == 18
    narrow = design._replace(parameters={**design.parameters, "ACC_W": bits})
    proof = prove_design(ProofRequest(model), narrow)
    assert proof.status == (PROVED if enough else REFUTED)
    assert proof.proved == (proof.values if enough else 0)


@pytest.mark.yosys
def test_the_command_proves_and_its_evidence_is_checked_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Status 0 and JSON of each design; the questions that it asked are answered alike by the other solver."""
    path, kept = tmp_path / "tiny.safetensors", tmp_path / "evidence"
    save(tiny(), path)

    def call(*words: str) -> tuple[int, Any]:
        with pytest.raises(SystemExit) as ended:
            main(["prove", *words, "--json"])
        code = ended.value.code
        assert isinstance(code, int)
        return code, json.loads(capsys.readouterr().out)

    code, found = call(str(path), "--module", "pool", "-o", str(kept))
    assert (code, found["status"], [proof["status"] for proof in found["proofs"]]) == (0, PROVED, [PROVED])
    assert call("--recheck", str(kept))[1]["holds"] is True


@pytest.mark.parametrize(
    ("device", "module"),
    [
        ("stream", "saturating_add"), ("stream", "segment_step"), ("stream", "shift_clip"), ("stream", "frame_guard"),
        ("stream", "frame_tag"), ("stream", "dot_product"), ("simd", "shift_clip"), ("simd", "mac_cell"),
        ("simd", "pool_lane"),
        ("simd", "simd_range"), pytest.param("simd", "simd_lane", marks=pytest.mark.slow),
        pytest.param("simd", "ram", marks=pytest.mark.slow), pytest.param("simd", "delay_line", marks=pytest.mark.slow),
        pytest.param("simd", "mac_tile", marks=pytest.mark.slow),
        pytest.param("simd", "table_lane", marks=pytest.mark.thorough),
        pytest.param("simd", "simd_tables", marks=pytest.mark.thorough),
    ],
)  # fmt: skip
def test_blocks_are_proved_for_all_inputs(device: str, module: str) -> None:
    """A block is its rule for every input and whatever its registers held."""
    found = prove(ProofRequest(tiny(), device=device, module=module))
    assert (found.status, {block.status for block in found.blocks}) == (PROVED, {PROVED})
    assert {block.wrong for block in found.blocks} == {""}


BLOCKS: dict[str, tuple[str, Callable[[Path, dict[str, Any]], object], str]] = {
    "an easy question": ("smt2", lambda path, _: path.write_text(EASY), "nothing was asked of 'ram"),
    "no question": ("smt2", lambda path, record: unlist(path, record), "nothing was asked of 'ram"),
    "one to be satisfied": ("smt2", lambda _, record: record["questions"][0].update(expected="sat"), "z3 says unsat"),
    "another netlist": (
        "btor",
        lambda path, _: path.write_text("1 sort bitvec 1\n"),
        "is another one, or is not there",
    ),
}
EASY = "(set-logic QF_ABV)\n(assert false)\n(check-sat)\n"


def unlist(path: Path, record: dict[str, Any]) -> None:
    """Take a question out of evidence."""
    path.unlink()
    record["questions"] = [one for one in record["questions"] if not one["file"].endswith(path.name)]


@pytest.fixture(scope="module")
def kept_blocks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The evidence of a block with a state, whose rule looks at its memory."""
    folder = tmp_path_factory.mktemp("blocks") / "e"
    evidence = Evidence(model=tiny())
    assert prove(ProofRequest(tiny(), device="simd", module="ram"), evidence=evidence).status == PROVED
    evidence.write(folder)
    return folder


def list_files(folder: Path, record: dict[str, Any]) -> None:
    """Make evidence one of the files that are there."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != RECORD]
    record["files"] = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
    (folder / RECORD).write_text(json.dumps(record))


@pytest.mark.parametrize("what", BLOCKS)
def test_questions_about_blocks_are_made_anew(kept_blocks: Path, tmp_path: Path, what: str) -> None:
    """Of the netlist, by the rule: a question that anything answers, a missing one, another netlist do not hold."""
    folder = tmp_path / "e"
    shutil.copytree(kept_blocks, folder)
    assert recheck(folder, AGAIN).wrong == ()
    suffix, change, message = BLOCKS[what]
    record = json.loads((folder / RECORD).read_text())
    change(sorted(folder.rglob(f"*.{suffix}"))[0], record)
    list_files(folder, record)
    wrong = recheck(folder, AGAIN).wrong
    assert any(message in line for line in wrong), wrong


def test_evidence_is_of_all_blocks_of_a_module(kept_blocks: Path, tmp_path: Path) -> None:
    """A block that is left out, another module, an accelerator that is not here, a netlist without the rule."""

    def altered(number: int, **changes: Any) -> tuple[str, ...]:
        folder = tmp_path / str(number)
        shutil.copytree(kept_blocks, folder)
        result = json.loads((folder / "result.json").read_text())
        if "netlist" in changes:
            name = hashlib.sha256(changes["netlist"].encode()).hexdigest()
            (folder / "netlists" / f"{name}.btor").write_text(changes["netlist"])
            result["blocks"][0]["btor2_sha256"] = name
        else:
            result |= changes
        (folder / "result.json").write_text(json.dumps(result))
        list_files(folder, json.loads((folder / RECORD).read_text()))
        return recheck(folder, AGAIN).wrong

    blocks = json.loads((kept_blocks / "result.json").read_text())["blocks"]
    assert len(blocks) > 1
    assert "of other blocks than 'ram' of 'simd'" in altered(1, blocks=blocks[:-1])[0]
    assert "of other blocks than 'mac_cell' of 'simd'" in altered(2, module="mac_cell")[0]
    with pytest.raises(StimulusError, match="no accelerator 'mine'"):
        altered(3, device="mine")
    assert "is not that of it and its rule" in altered(4, netlist="1 sort bitvec 1\n2 input 1 wrong\n")[0]


def test_a_block_that_is_wrong_is_refuted_by_inputs(tmp_path: Path) -> None:
    """One bit that the saturation does not look at: inputs are given, and the netlist is wrong of them."""
    rtl = faulty(
        tmp_path, "lib/requantise.v", "sum[SUM_W-1:7] == {HIGH_W{negative}}", "sum[SUM_W-1:8] == {(HIGH_W-1){negative}}"
    )
    found = prove(ProofRequest(tiny(), module="requantise", rtl=rtl))
    assert found.status == REFUTED
    for block in found.blocks:
        assert block.witness.keys() == {"acc@0", "shift@0", "bias@0"}


@pytest.mark.parametrize(
    ("device", "module", "file", "before", "after", "wrong"),
    [
        ("stream", "dot_product", "stream/dot_product.v", "0] & {LATENCY{enable}}", "0]", "moved"),
        ("stream", "frame_tag", "stream/frame_tag.v", "index_reg == LAST;", "index_reg == LAST - 1'b1;", "wrong"),
        ("simd", "pool_lane", "simd/pool_lane.v", "first ? {SUM_W{1'b0}} : sum_reg", "sum_reg", "wrong"),
        ("simd", "table_lane", "simd/table_lane.v", "turned[1], next_pair}", "turned[1], 1'b0}", "wrong_2"),
        pytest.param(
            "simd", "simd_tables", "simd/simd_tables.v", "clamp = rule == RULE_CLAMP", "clamp = 1'b0", "wrong_2_0",
            marks=pytest.mark.slow,
        ),
    ],
)  # fmt: skip
def test_a_block_with_a_state_is_refuted(
    tmp_path: Path, device: str, module: str, file: str, before: str, after: str, wrong: str
) -> None:
    """A register that moves where it must not, a counter, a stale sum, a word of memory that is not the one."""
    found = prove(ProofRequest(tiny(), device=device, module=module, rtl=faulty(tmp_path, file, before, after)))
    assert (found.status, {block.wrong for block in found.blocks} - {""}) == (REFUTED, {wrong})


def test_a_rule_looks_at_what_is_there() -> None:
    """A net that there is not, a width that does not fit, and a look that depends on itself are refused by name."""
    blocks = DEVICES["simd"].blocks
    assert blocks is not None
    (pool,) = blocks(tiny(), Settings())["pool_lane"]
    ram = blocks(tiny(), Settings())["ram"][0]
    with pytest.raises(ToolError, match=r"has no 'block\.sums'"):
        prove_block(pool._replace(peeks={"sum_now": Peek("block.sums")}))
    with pytest.raises(ToolError, match=r"'block\.y_reg' has words of 8 bits and addresses of 0, expected 23 and 0"):
        prove_block(pool._replace(peeks={"sum_now": Peek("block.y_reg")}))
    with pytest.raises(ToolError, match="depends on the look itself"):
        prove_block(ram._replace(peeks={"word": Peek("looped")}, verilog=_looped(ram.verilog)))


def _looped(verilog: str) -> str:
    """The rule with a port that is made of what it shows."""
    port = "    output wire                 wrong_word,\n"
    assert port in verilog
    looped = verilog.replace(port, port + "    output wire [WIDTH-1:0]     looped,\n")
    return looped.replace("  reg known;", "  assign looped = ~word;\n  reg known;")


# Of a table's rule as the block's proof states it: what the plain numbers of the test below transcribe.
TABLE_RULE = (
    "wire [31:0] bits = 32'd8 - {28'd0, points_log2};",
    "wire signed [31:0] code = x + 32'sd128;",
    "wire [31:0] segment = code >> bits;",
    "wire [31:0] part = code - (segment << bits);",
    "wire [31:0] start = (clamp && segment == points - 32'd1) ? points - 32'd2 : segment;",
    "wire level = hold && segment == points - 32'd1;",
    "wire signed [31:0] t0 = $signed(start_word[0] ? odd_word : even_word);",
    "wire signed [31:0] way = level ? 32'sd0 : start_word[0] ? -$signed(part) : $signed(part);",
    "wire signed [31:0] doubled = 2 * (odd_value - even_value) * way + $signed(32'd1 << bits);",
    "wire signed [31:0] expected = t0 + (doubled >>> (bits + 32'd1));",
)


@pytest.mark.parametrize("pairs", ["every difference", pytest.param("all", marks=pytest.mark.thorough)])
def test_the_rule_of_a_table_is_the_contract(pairs: str) -> None:
    """By the difference of the odd word and the even one it is the contract's, at all inputs, points and edge rules.

    Of the two words all pairs, or those that have every difference, from either end of int8.
    """
    blocks = DEVICES["simd"].blocks
    assert blocks is not None
    (verilog,) = {block.verilog for block in blocks(tiny(), Settings())["table_lane"]}
    assert all(verilog.count(line) == 1 for line in TABLE_RULE)
    code = np.arange(65_536, dtype=np.int32)
    even, odd = code % 256 - 128, code // 256 - 128
    if pairs != "all":
        kept = (np.abs(2 * even + 1) == 255) | (np.abs(2 * odd + 1) == 255)
        even, odd = even[kept], odd[kept]
    assert np.array_equal(np.unique(odd - even), np.arange(-255, 256))
    for points_log2, rule in product(range(2, 9), (TableRule.CLAMP, TableRule.HOLD, TableRule.ENDPOINT)):
        points, bits = 1 << points_log2, 8 - points_log2
        # A channel for each pair: its even points are the one word, its odd points the other.
        stored = np.stack([odd if k % 2 else even for k in range(stored_points(points, rule))], axis=1).astype(np.int8)
        for x in range(-128, 128):
            segment, part = divmod(x + 128, 1 << bits)
            last = segment == points - 1
            start = points - 2 if rule is TableRule.CLAMP and last else segment
            way = 0 if rule is TableRule.HOLD and last else -part if start % 2 else part
            doubled = 2 * (odd - even) * way + (1 << bits)
            got = (odd if start % 2 else even) + (doubled >> (bits + 1))
            assert np.array_equal(got, lookup(np.full(len(even), x), stored, rule)), (points, rule, x)


def test_every_module_is_proved_or_said_not_to_be() -> None:
    """The table in docs/prove.md names every module of rtl/, and is that of the code: blocks, and what is by induction.

    A SIMD module is a block, or has a reason why not.
    """
    stems = {path.parent.name: set[str]() for path in rtl_dir().glob("*/*.v")}
    for path in rtl_dir().glob("*/*.v"):
        stems[path.parent.name].add(path.stem)
    text = (ROOT / "docs" / "prove.md").read_text(encoding="utf-8")
    rows = text.partition("### Every module\n")[2].partition("\n## ")[0].splitlines()
    named = [name for row in rows if row.startswith("| `") for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(named) == sorted(set().union(*stems.values()))
    cells = [row.split("|")[1:] for row in rows if row.startswith("| `")]
    columns = {name: rest for names, *rest in cells for name in re.findall(r"`(\w+)`", names)}
    assert {name for name, (_, _, under, *_) in columns.items() if under.startswith(" induction")} == {
        name for stated in STATED.values() for name in stated
    }
    simd, stream, composed = DEVICES["simd"], DEVICES["stream"], DEVICES["composed"]
    assert set(composed.unproved) < stems["composed"] | stems["lib"]
    of_composed = stems["composed"] - set(composed.unproved)
    assert simd.blocks is not None
    assert stream.blocks is not None
    proved = simd.blocks(tiny(), Settings()).keys()
    assert {name for name, (_, alone, *_) in columns.items() if alone.startswith(" block")} == (
        proved | stream.blocks(tiny(), StreamSettings()).keys() | of_composed
    )
    assert stems["simd"] == set(simd.unproved) | (stems["simd"] & proved)
    assert not simd.unproved.keys() & proved
    assert stems["lib"] <= proved | stream.blocks(tiny(), StreamSettings()).keys() | {
        "axis_fifo",
        "axis_register",
        "axis_fork",
    }


def test_what_cannot_be_asked_is_refused_by_name() -> None:
    """A module that there is not, a schedule that resets, too many images, a device without designs: one line each."""
    with pytest.raises(ToolError, match="'nothing' is no module that is proved alone"):
        prove(ProofRequest(tiny(), module="nothing"))
    with pytest.raises(ToolError, match="has no 'relu'"):
        prove(ProofRequest(tiny(), module="relu"))
    with pytest.raises(StimulusError, match="expected none, or random"):
        ProofRequest(tiny(), schedule="reset:1")
    with pytest.raises(ToolError, match="expected 1 to 16"):
        ProofRequest(tiny(), images=17)


# --- Mutants of the prover's own rules -------------------------------------------------------------------------------


def mutant(module: ModuleType, before: str, after: str) -> dict[str, Any]:
    """A compiled module's functions as plain Python, with one rule changed."""
    text = inspect.getsource(module)
    assert before in text
    plain = text.replace(before, after, 1).replace("from fxsim.jit import njit, types", "from fxsim.jit import types")
    space: dict[str, Any] = {"njit": lambda *_, **__: lambda function: function, "__name__": "mutant"}
    exec(compile(plain.replace("@njit\n", "@njit()\n"), "mutant", "exec"), space)  # noqa: S102  # our own text
    return space


def judged(
    design: Provable, kernels: dict[str, Any] | None, readers: dict[str, Any] | None
) -> tuple[Outcome, list[bool]]:
    """A design proved by these functions in place of the compiled ones; whether each stream is right on numbers."""
    model = tiny()
    made = make_netlist(read_sources(rtl_dir()), design.top, design.parameters, design.files)
    program, functions = make_program(made.netlist), Functions(model.graph)
    x = sample_images(model, 2, seed=1)
    samples = functions.samples(x, run(model, x, model.graph.taps))
    setup = make_setup(design, made, program, functions)
    own: tuple[Callable[..., None], ...] | None = None
    if kernels is not None:
        own = tuple(kernels[name] for name in ("propagate", "tick", "set_bits", "collect"))
    machine = Machine(program, own)
    judge = Judge(machine, functions, samples)
    if readers is not None:
        judge.use(readers["inspect"], readers["evaluate"])
    with np.errstate(over="ignore"):
        outcome = Run(machine, setup, functions.total, 1, judge).run()
        numbers = Run(Machine(program, own), setup, functions.total, 1, None, samples[:, 0].tolist())
        numbers.run()
    right = []
    for watch in setup.watches:
        wanted = [int(samples[functions.number(watch.tap, *place), 0]) for place in watch.order]
        right.append([seen.value for seen in numbers.seen() if seen.stream == watch.name] == wanted)
    return outcome, right


@pytest.mark.parametrize(
    ("module", "design", "before", "after"),
    [
        (cones, "affine", "v = np.uint64(_value(np.int64(scratch[a, i]), rows[a, 1]))", "v = scratch[a, i]"),
        (cones, "linear", "v = scratch[a, i] + scratch[b, i]", "v = scratch[a, i] ^ scratch[b, i]"),
        (cones, "linear", "T_ADD:\n        weights[a] += weight", "T_ADD:\n        weights[a] += 0"),
        (kernel, "affine", "return make_term(T_SEXT, w, whole,", "return make_term(T_SEXT, w + 1, whole,"),
        (kernel, "linear", "filling = x[w - 1] if op == OP_SRA", "filling = np.int64(0) if op == OP_SRA"),
        (kernel, "pool", "if memory[start + address * w + i] != data:", "if False:"),
        (kernel, "pool", "a + b if op == OP_ADD", "a ^ b if op == OP_ADD"),
        (kernel, "activation_table", "result[i] = memory[start + i]", "result[i] = memory[start]"),
    ],
)  # fmt: skip
def test_a_prover_with_a_wrong_rule_is_caught(module: ModuleType, design: str, before: str, after: str) -> None:
    """A wrong sign extension, a dropped carry, an ignored port: by samples of values or by the netlist on numbers."""
    changed = mutant(module, before, after)
    outcome, right = judged(
        design_of(design), changed if module is kernel else None, changed if module is cones else None
    )
    assert outcome.findings or outcome.stopped or not all(right)


def test_the_plain_functions_prove_what_the_compiled_ones_do() -> None:
    """The same text without a change, run as plain Python, proves: what catches the mutants is the change."""
    same = mutant(kernel, "def tick(", "def tick("), mutant(cones, "def inspect(", "def inspect(")
    outcome, right = judged(design_of("pool"), *same)
    assert (outcome.findings, outcome.stopped, right) == ((), "", [True])


def test_proofs_are_records() -> None:
    """A proof names its netlist, the tool that made it, and what took its time."""
    (proof,) = prove(ProofRequest(tiny(), module="pool")).proofs
    assert isinstance(proof, Proof)
    assert len(proof.btor2_sha256) == 64
    assert "Yosys" in proof.yosys
    assert {"netlist", "symbolic run", "run on numbers"} <= proof.seconds.keys()
