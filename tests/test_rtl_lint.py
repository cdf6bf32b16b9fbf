"""Verilog held to a model without simulating: every quantity that is too narrow, of another sign or shape is found."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from fxsim.cli.lint_rtl import command
from fxsim.contract import CHANNEL, TOKEN
from fxsim.devices import DEVICES, make_settings
from fxsim.devices.needs import Need
from fxsim.errors import ModelError
from fxsim.formats import load
from fxsim.graph import Model
from fxsim.paths import golden_dir
from fxsim.rtl_lint import LintResult, lint_described, lint_rtl
from fxsim.rtl_lint.elaborate import Elaborator, Signal, walk
from fxsim.rtl_lint.tree import UnreadError, parse_modules
from fxsim.signoff import Status, load_plan, run_plan
from fxsim.signoff.findings import Finding
from fxsim.simulate.sources import Sources, read_sources
from tests.conftest import ROOT
from tests.test_described import design, model, swap

__all__ = ["model"]  # a fixture

RTL = ROOT / "rtl"
SMALL = load(golden_dir() / "small.safetensors")


def edited(folder: Path, edits: dict[str, Callable[[str], str]]) -> Path:
    """A copy of the Verilog with files edited."""
    shutil.copytree(RTL, folder)
    for name, edit in edits.items():
        before = (folder / name).read_text()
        after = edit(before)
        assert after != before
        (folder / name).write_text(after)
    return folder


def declarations(device: str) -> dict[tuple[str, int], tuple[Signal, list[Need]]]:
    """Each declaration that holds something of the small model, by file and line, with all that is needed of it."""
    found = DEVICES[device]
    fitted = found.fit(SMALL, make_settings(device, found.settings, {}))
    instances = list(walk(Elaborator(parse_modules(read_sources(RTL))).elaborate(fitted.design.top, fitted.parameters)))
    held: dict[tuple[str, int], tuple[Signal, list[Need]]] = {}
    assert found.needs is not None
    for need in found.needs(SMALL):
        place, name = (re.compile(re.escape(text).replace(r"\*", ".*")) for text in (need.instance, need.signal))
        for path, instance in instances:
            if place.fullmatch(path):
                for signal in instance.signals.values():
                    if name.fullmatch(signal.name):
                        held.setdefault((signal.file, signal.line), (signal, []))[1].append(need)
    return held


def redeclared(folder: Path, widths: dict[tuple[str, int], tuple[str, int]]) -> Path:
    """A copy of the Verilog in which signals have other widths, written into their declarations."""
    shutil.copytree(RTL, folder)
    for (file, line), (name, width) in widths.items():
        lines = (folder / file).read_text().split("\n")
        text, count = re.subn(rf"\[[^\]]*\]\s*(?={name}\b)", f"[{width - 1}:0] ", lines[line - 1], count=1)
        assert count == 1, (file, line, lines[line - 1])
        lines[line - 1] = text
        (folder / file).write_text("\n".join(lines))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("device", ["stream", "simd"])
def test_each_width_one_bit_too_small_is_found_at_its_line(device: str, tmp_path: Path) -> None:
    """Every declaration that holds something, one bit below the least that is needed of it: file, line, width, need."""
    held = declarations(device)
    assert len(held) > 80
    least = {
        place: (signal.name.rpartition(".")[2], min(need.width for need in needs) - 1)
        for place, (signal, needs) in held.items()
        if signal.width > 1 and min(need.width for need in needs) > 1
    }
    assert len(least) > 75
    result = lint_rtl(SMALL, device, rtl=redeclared(tmp_path / "rtl", least))
    narrow = {(f.file, f.line): f.message for f in result.findings if f.rule == "width"}
    assert narrow.keys() == least.keys()
    for place, (name, width) in least.items():
        assert f"{name} has {width} bits, expected " in narrow[place]
    assert {f.rule for f in result.findings} == {"width"}


@pytest.mark.slow
@pytest.mark.parametrize("device", ["stream", "simd"])
def test_one_bit_more_passes_where_it_computes_the_same(device: str, tmp_path: Path) -> None:
    """Wider accumulators pass; a wider word of a memory or port, in which values would lie elsewhere, is told."""
    held = {place: found for place, found in declarations(device).items() if found[0].width > 1}
    more = {
        place: (signal.name.rpartition(".")[2], max(need.width for need in needs) + 1)
        for place, (signal, needs) in held.items()
    }
    result = lint_rtl(SMALL, device, rtl=redeclared(tmp_path / "rtl", more))
    exact = {place for place, (_, needs) in held.items() if any(need.exact for need in needs)}
    assert {(f.file, f.line) for f in result.findings} == exact
    assert exact < held.keys()


@pytest.mark.slow
def test_each_model_of_the_project_passes() -> None:
    """Both accelerators hold every golden model; the numbers of signals are those of its nodes."""
    for path in sorted(golden_dir().glob("*.safetensors")):
        golden = load(path)
        if golden.graph.input.axes != (TOKEN, CHANNEL):
            with pytest.raises(ModelError, match="graph is not a ResMLP: its input is int8"):
                lint_rtl(golden, "stream")
            continue
        for device in ("stream", "simd"):
            result = lint_rtl(golden, device)
            assert result.findings == ()
            assert result.checked > 20 * len(golden.graph.taps)


SIGNED = "reg signed [ACC_W-1:0] value_reg;"
CASES: dict[str, tuple[dict[str, Callable[[str], str]], str, str]] = {
    "a constant": (
        {"lib/saturating_add.v": swap("SUM_W = 9", "SUM_W = 8")},
        "width",
        "lib/saturating_add.v:12: saturating_add.sum has 8 bits, expected at least 9: the sum of two values",
    ),
    "a sign": (
        {"stream/dot_product.v": swap(SIGNED, SIGNED.replace(" signed", ""))},
        "sign",
        "stream/dot_product.v:57: dot_product.level[0].node[0].value_reg is unsigned, expected signed: sums of 'embed'",
    ),
    "a memory's words": (
        {"stream/affine.v": swap("weights[0:CHANNELS-1]", "weights[0:CHANNELS-2]")},
        "shape",
        "stream/affine.v:47: affine.weights has 9 words, expected 10: weights of 10 channels",
    ),
    "a table's points": (
        {"stream/activation_table.v": swap("? POINTS + 1 : POINTS;", "? POINTS + 1 : POINTS / 2;")},
        "shape",
        "activation_table.copy[0].points has 80 words, expected 160: 16 points of 10 channels",
    ),
    "a memory that is none": (
        {"stream/pool.v": swap("sums[0:GROUPS-1];", "sums;")},
        "shape",
        "pool.several.sums is no memory, expected one",
    ),
    "a name": (
        {"stream/pool.v": lambda text: text.replace("so_far", "until_now")},
        "unknown",
        "stream/pool.v:15: pool has no signal several.so_far, which holds sums of 16 values",
    ),
    "a width that nobody knows": (
        {"lib/requantise.v": swap("[ACC_W-1:0] acc,", "[$bits(bias):0] acc,")},
        "unknown",
        "lib/requantise.v:14: has SystemCall in an expression that must be constant",
    ),
    "a macro": (
        {"lib/requantise.v": swap("module requantise", "`ifdef WIDE\n`endif\nmodule requantise")},
        "unknown",
        "`ifdef is not read here",
    ),
    "no Verilog": (
        {"lib/requantise.v": swap("module requantise", "modul requantise")},
        "unknown",
        "is no Verilog-2005",
    ),
    "a part that is missing": (
        {"stream/linear.v": swap("requantise #(", "requantise_2 #(")},
        "unknown",
        "a module that is not there: requantise_2",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_named_by_its_line(case: str, tmp_path: Path) -> None:
    """Constants, signs, words of memories, points of tables; what cannot be read is refused by name."""
    edits, rule, expected = CASES[case]
    result = lint_rtl(SMALL, "stream", rtl=edited(tmp_path / "rtl", edits))
    assert not result.passed
    found = [f"{f.file}:{f.line}: {f.message}" for f in result.findings if f.rule == rule]
    assert any(expected in text for text in found), [
        f"{f.rule} {f.file}:{f.line}: {f.message}" for f in result.findings
    ]


PARTS = """module parts #(parameter N = 5, parameter signed [3:0] S = 4'd15) (input wire [N-1:0] a, output reg signed y
);
  localparam W = (N > 4) ? $clog2(N + 4) : 1;
  localparam [2:0] CUT = 13;
  localparam Q = -7 / 2 + 7 % 4 + 2 ** 3 + (1 << 2) - (9 >> 1) + 8'hF_0 + 4'sb1111;
  wire [W+CUT:0] b;
  wire signed [Q:0] c;
  reg [3:0] m[0:2*N-1];
  wire [S+5:0] s;
  genvar i;
  generate
    for (i = 0; i < 3; i = i + 1) begin : g
      localparam K = N + i;
      if (i == 1) begin : one
        wire [K:0] w;
      end else begin : other
        wire [2*K-1:0] w;
      end
    end
  endgenerate
endmodule
"""


def test_constant_expressions_are_evaluated_as_verilog_does() -> None:
    """Widths, signs and depths worked out by hand: division towards zero, cut constants, generate blocks."""
    made = Elaborator(parse_modules(Sources(Path("rtl"), {"p.v": PARTS.encode()}))).elaborate("parts", {"N": 6})
    found = {name: (signal.width, signal.signed, signal.depth) for name, signal in made.signals.items()}
    # W = clog2(10) = 4, CUT = 13 mod 8 = 5, Q = -3 + 3 + 8 + 4 - 4 + 240 - 1 = 247, S = -1.
    assert found == {
        "a": (6, False, None),
        "y": (1, True, None),
        "b": (10, False, None),
        "c": (248, True, None),
        "m": (4, False, 12),
        "s": (5, False, None),
        "g[0].other.w": (12, False, None),
        "g[1].one.w": (8, False, None),
        "g[2].other.w": (16, False, None),
    }


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("wire [W+CUT:0] b", "wire [M:0] b", "'M' is no constant that is known"),
        ("-7 / 2", "7 / 0", "divides by 0"),
        ("2 ** 3", "2 ** 99999", "has 99999 as a power or shift"),
        ("i < 3", "i < 99999999", "repeats more than 4,096 times"),
        ("wire [W+CUT:0] b", 'wire ["x":0] b', "has the text 'x' where a number is expected"),
        ("8'hF_0", "8'hxx", "is no number that is known"),
        ("reg [3:0] m", "parts again (); reg [3:0] m", "parts is made of itself"),
    ],
)
def test_what_is_not_known_is_refused_by_name(old: str, new: str, expected: str) -> None:
    """An UnreadError names file and line; nothing is guessed."""
    text = PARTS.replace(old, new)
    assert text != PARTS
    with pytest.raises(UnreadError, match=re.escape(expected)):
        Elaborator(parse_modules(Sources(Path("rtl"), {"p.v": text.encode()}))).elaborate("parts", {"N": 6})
    with pytest.raises(UnreadError, match="module parts has no parameter 'M'"):
        Elaborator(parse_modules(Sources(Path("rtl"), {"p.v": PARTS.encode()}))).elaborate("parts", {"M": 6})


def test_described_design_is_held_to_its_description(model: Model, tmp_path: Path) -> None:
    """The ports and taps that a description names; a port of another width is found without building."""
    right = lint_described(model, design(tmp_path / "a"))
    assert right.passed
    assert right.checked > 3
    wrong = lint_described(
        model, design(tmp_path / "b", {"awkward.sv": swap("OUTPUTS-1:0] out_vec", "OUTPUTS-2:0] out_vec")})
    )
    assert [f.rule for f in wrong.findings] == ["width"]
    assert "31" in wrong.findings[0].message
    assert "toml" not in wrong.findings[0].message  # the finding's file has it


@pytest.mark.slow
def test_command_tells_each_line_and_ends_with_its_verdict(tmp_path: Path) -> None:
    """`fxsim lint-rtl`: status 0 and a count, or 1 with file, line, width and need; the same as JSON."""
    name = str(golden_dir() / "small.safetensors")
    done = CliRunner().invoke(command, [name])
    assert (done.exit_code, done.stdout.split(":")[0]) == (0, "PASSED")
    rtl = edited(tmp_path / "rtl", CASES["a constant"][0])
    done = CliRunner().invoke(command, [name, "--accel", "simd", "--rtl", str(rtl)])
    assert done.exit_code == 1
    assert f"{rtl}/lib/saturating_add.v:12: saturating_add.sum has 8 bits, expected at least 9" in done.stdout
    done = CliRunner().invoke(command, [name, "--rtl", str(rtl), "--json"])
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert (found["passed"], found["findings"][0]["line"]) == (False, 12)
    done = CliRunner().invoke(command, [name, "--accel", "simd", "--dut", "x.toml"])
    assert done.exit_code == 2


PLAN = """title = "widths"
seed = 1
[models]
small = { file = "small.safetensors" }
[[check]]
kind = "rtl-contract"
name = "widths"
models = ["small"]
accelerators = ["stream", "simd"]
"""


def checks(folder: Path, more: str = "") -> Iterator[tuple[Status, str, tuple[Finding, ...]]]:
    """What the checks of the plan come to."""
    (folder / "plan.toml").write_text(PLAN + more)
    for record in run_plan(load_plan(folder / "plan.toml")).checks:
        yield record.status, record.reason or record.summary, record.details.of(Finding)


def test_check_passes_and_fails_with_findings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kind `rtl-contract`: own Verilog passes; a folder with an adder too narrow fails at its line, for each design."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(golden_dir() / "small.safetensors", tmp_path)
    ((status, told, findings),) = checks(tmp_path)
    assert (status, findings) == (Status.PASSED, ())
    assert re.fullmatch(r"[\d,]+ signals of 2 designs with a model are as wide as it needs", told)
    edited(tmp_path / "bad", CASES["a constant"][0])
    ((status, told, findings),) = checks(tmp_path, 'rtl = "bad"\n')
    assert status is Status.FAILED
    assert told.startswith("bad/lib/saturating_add.v:12: saturating_add.sum has 8 bits, expected at least 9")
    assert {(f.rule, f.file, f.line) for f in findings} == {("contract/width", "bad/lib/saturating_add.v", 12)}


def test_result_of_nothing_is_no_pass() -> None:
    """A design of which no signal was held to anything has not passed."""
    assert not LintResult("m", 0, (), "rtl").passed
