"""Mutants of RTL: made at places of the syntax tree, judged by testbenches and proofs, counted, kept by content."""

import contextlib
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner

from fxsim.cli.mutate import command as mutate_command
from fxsim.errors import FileError, FxsimError, ToolError
from fxsim.mutation import benches, equivalence, kept, lint, whole
from fxsim.mutation.benches import Run
from fxsim.mutation.children import Stop
from fxsim.mutation.defaults import is_taken
from fxsim.mutation.imports import imported, top_names
from fxsim.mutation.judging import Base, Bench, Outcome
from fxsim.mutation.kinds import KINDS, Mutant, make_mutants
from fxsim.mutation.parameters import verilog_value
from fxsim.mutation.record import EQUIVALENT, KILLED, LINT, MODULE_TEST, SURVIVED, Judged, Record, make_record, score_of
from fxsim.mutation.run import Candidates, Judge, Request, draw, mutate
from fxsim.mutation.simulator import Ended
from fxsim.mutation.text import markdown
from fxsim.mutation.whole import Accelerators, Design, mutate_design

ROOT = Path(__file__).resolve().parent.parent

TOY = """module toy (
    input wire clk,
    input wire rst,
    input wire in_valid,
    input wire [3:0] a,
    input wire [3:0] b,
    output reg [7:0] y,
    output reg [3:0] seen,
    output reg [3:0] chained,
    output wire out_valid
);

  reg [7:0] table_words[0:1];
  initial $readmemh("toy.hex", table_words);

  reg valid_reg;
  wire signed [3:0] low = a;
  wire signed [7:0] wide = low >>> 1;
  wire [7:0] mixed = ({4'd0, a} + {4'd0, b}) ^ ((wide & 8'hf0) | 8'd1);
  assign out_valid = valid_reg && in_valid && a != 4'd3;

  always @(posedge clk) begin
    if (rst) begin
      y <= 8'd0;
      seen <= 4'd0;
      chained <= 4'd0;
      valid_reg <= 1'b0;
    end else if (in_valid) begin
      y <= (a[3] ? mixed : mixed - 8'd1) + table_words[0];
      seen <= {seen[2:0], a[0]};
      chained <= seen;
      valid_reg <= a < b || b == 4'd7;
    end
  end

endmodule
"""
DRIVER = """module driver;
  reg clk = 0, rst = 1, in_valid = 0;
  reg [3:0] a = 0, b = 0;
  wire [7:0] y;
  wire [3:0] seen, chained;
  wire out_valid;
  toy dut (.clk(clk), .rst(rst), .in_valid(in_valid), .a(a), .b(b), .y(y), .seen(seen), .chained(chained),
           .out_valid(out_valid));
  integer k;
  initial begin
    for (k = 0; k < 80; k = k + 1) begin
      rst = k < 2 || k == 40;
      in_valid = k % 5 != 0;
      a = k * 7;
      b = k * 11 + (k >> 3);
      #1 $display("%b %b %b %b", y, seen, chained, out_valid);
      clk = 1;
      #1 clk = 0;
    end
  end
endmodule
"""


@pytest.fixture(scope="module")
def toys() -> list[Mutant]:
    """Every mutant of the toy."""
    return make_mutants(TOY, "toy.v")


def outputs(text: str, folder: Path) -> str:
    """All that the toy's outputs show, by Icarus; what it says where it does not take the Verilog."""
    (folder / "toy.v").write_text(text)
    (folder / "driver.v").write_text(DRIVER)
    (folder / "toy.hex").write_text("2a\n11\n")
    for command in (["iverilog", "-g2012", "-o", "sim", "driver.v", "toy.v"], ["vvp", "-n", "sim"]):
        found = subprocess.run(command, cwd=folder, text=True, capture_output=True, check=False)
        if found.returncode != 0:
            return f"refused: {found.stderr}"
    return found.stdout


@pytest.mark.icarus
def test_every_kind_changes_behaviour(toys: list[Mutant], tmp_path: Path) -> None:
    """Of every kind there is a mutant of the toy that the simulator takes, and whose outputs differ."""
    right = outputs(TOY, tmp_path)
    assert right.count("\n") == 80
    for kind in KINDS:
        own = [mutant for mutant in toys if mutant.kind == kind]
        assert own, f"there is no mutant of kind {kind}"
        shown = (outputs(mutant.apply(TOY), tmp_path) for mutant in own)
        assert any(text != right and not text.startswith("refused") for text in shown), kind


def test_mutant_is_one_edit_of_one_place(toys: list[Mutant]) -> None:
    """All around a mutant's place is as it was, and what was there is what the mutant says; no two are the same."""
    for mutant in toys:
        text = mutant.apply(TOY)
        assert TOY[mutant.start : mutant.end] == mutant.was
        assert text == TOY[: mutant.start] + mutant.becomes + TOY[mutant.end :]
        assert text != TOY
        assert TOY.splitlines()[mutant.line - 1][mutant.column - 1 :].startswith(mutant.was.split("\n")[0])
    assert len({mutant.id for mutant in toys}) == len(toys)
    assert len({mutant.apply(TOY) for mutant in toys}) == len(toys)
    with pytest.raises(ValueError, match="is not of this text"):
        toys[-1].apply("\n" + TOY)


def test_identity_stays_under_an_unrelated_edit(toys: list[Mutant]) -> None:
    """A line added, or a comment, changes no id of other lines; an edited line's mutants have others."""
    edited = TOY.replace("  reg valid_reg;\n", "  // A comment.\n  wire unused = rst && in_valid;\n  reg valid_reg;\n")
    assert {mutant.id for mutant in toys} < {mutant.id for mutant in make_mutants(edited, "toy.v")}
    changed = TOY.replace("chained <= seen;", "chained <= seen + 4'd0;")
    lost = {mutant.id for mutant in toys} - {mutant.id for mutant in make_mutants(changed, "toy.v")}
    line = TOY[: TOY.index("chained <= seen;")].count("\n") + 1
    assert lost == {mutant.id for mutant in toys if mutant.line == line} != set()


def test_what_is_not_read_is_refused_by_name() -> None:
    """SystemVerilog, and macros, are refused with the file and the reason."""
    with pytest.raises(FileError, match=r"new\.sv is not read by Pyverilog.*near line 1, 'f'"):
        make_mutants("module a; function automatic f; endfunction endmodule", "new.sv")
    with pytest.raises(FileError, match=r"old\.v uses the directive `define"):
        make_mutants("`define W 3\nmodule a; endmodule", "old.v")


def test_parameter_guards_are_left_alone() -> None:
    """The refusal of an illegal parameter is not mutated; what stands in its other case is."""
    text = """module m #(parameter A = 1) (input wire x, output wire y);
  generate
    if (A < 1) begin : illegal
      illegal_parameter_A stop ();
    end else begin : legal
      assign y = !x;
    end
  endgenerate
endmodule
"""
    assert {mutant.was for mutant in make_mutants(text, "m.v")} == {"1", "!", "assign y = !x;"}


TAKES = """module m #(
  parameter A = 3,
  parameter [7:0] B = {4'd1, 4'd2}, C = 5
) (input wire [7:0] d, output wire [7:0] y);
  assign y = d + A + B + C + 8'd9;
endmodule
"""


def test_default_that_an_instance_takes_is_found(tmp_path: Path) -> None:
    """A default is taken where an instance does not state its parameter by name; another place is no default."""
    (tmp_path / "m.v").write_text(TAKES)
    mutants = {mutant.was: mutant for mutant in make_mutants(TAKES, "m.v") if mutant.kind == "constant"}
    top = "module top(input wire [7:0] d, output wire [7:0] y);\n  m #({}) one(.d(d), .y(y));\nendmodule\n"

    def taken(given: str) -> list[str]:
        (tmp_path / "top.v").write_text(top.format(given))
        return [was for was in ("3", "4'd1", "5", "8'd9") if is_taken(mutants[was], TAKES, tmp_path)]

    assert taken(".A(1)") == ["4'd1", "5"]
    assert taken(".A(1), .B(2)") == ["5"]
    assert taken(".C(1), .B(2), .A(3)") == []
    assert taken("1") == ["3", "4'd1", "5"]
    (tmp_path / "top.v").unlink()
    assert not any(is_taken(mutant, TAKES, tmp_path) for mutant in mutants.values())


def test_code_is_the_same_whatever_the_addresses_in_it(tmp_path: Path) -> None:
    """Labels of compiled code, whose addresses are others each time, do not tell two compilations apart."""
    code = 'S_0x55e0 .scope module, "m";\nL_0x55e8 .part v0x55f0_0, 1;\nE_0x55fa .event posedge, v0x55f0_0;\n'
    hashes = []
    for name, text in (("a", code), ("b", code.replace("0x55", "0x7f")), ("c", code.replace(", 1", ", 2"))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sim.vvp").write_text(text)
        hashes.append(benches.compiled_code(tmp_path / name))
    assert hashes[0] == hashes[1] != hashes[2]


@pytest.fixture(scope="module")
def own() -> Candidates:
    """All mutants of fxsim's own Verilog."""
    return Candidates(Request())


@pytest.mark.slow
def test_every_module_of_both_accelerators_has_mutants(own: Candidates) -> None:
    """There are far more than 1,500 mutants, of every file of the three folders, and a draw has every module."""
    files = {path.relative_to(ROOT / "rtl").as_posix() for path in (ROOT / "rtl").rglob("*.v")}
    assert {mutant.file for mutant in own.mutants} == files
    assert len(own.mutants) > 5000
    drawn = own.draw(Request(count=1500))
    assert len(drawn) == len({mutant.id for mutant in drawn}) == 1500
    assert {mutant.file for mutant in drawn} == files
    assert {mutant.kind for mutant in drawn} == set(KINDS)


@pytest.mark.slow
def test_same_seed_same_mutants(own: Candidates) -> None:
    """A seed draws the same again, a smaller count the first of a larger one's, another seed others."""
    few, many, others = (own.draw(Request(count=count, seed=seed)) for count, seed in ((40, 1), (400, 1), (400, 2)))
    assert many == draw(list(reversed(own.mutants)), 400, 1)
    assert few == many[:40]
    assert {mutant.id for mutant in many} != {mutant.id for mutant in others}


def judged(verdict: str, stage: str = "") -> Judged:
    """A row of a record, but for the verdict empty."""
    return Judged(
        id="", file="", module="m", kind="k", line=1, column=1, was="", becomes="", verdict=verdict, stage=stage
    )


def test_score_counts_what_could_be_killed() -> None:
    """Equivalent and invalid mutants count neither way; one that timed out was not killed."""
    rows = [judged("killed", MODULE_TEST)] * 3 + [judged(verdict) for verdict in ("survived", "timed out", "invalid")]
    score = score_of("m", [*rows, judged("equivalent"), judged("equivalent")])
    assert (score.mutants, score.killed, score.score) == (8, 3, 0.6)
    assert score_of("m", [judged("equivalent")]).score is None
    with pytest.raises(ValueError, match="verdict or a stage"):
        score_of("m", [judged("killed", "by hand")])


WEAK = """module feeble (
    input wire [3:0] a,
    input wire [3:0] b,
    output wire [3:0] y,
    output wire most
);
  wire [4:0] sum = a + b;
  assign y = sum[3:0];
  assign most = a == 4'd15;
  localparam SPARE = 9;
  parameter WIDE = 0;
  generate
    if (WIDE) begin : wide
      wire unseen = a != 4'd7;
    end
  endgenerate
endmodule
"""
WEAK_TEST = """
import cocotb
from cocotb.triggers import Timer
from testbenches.common.simulation import simulate

@cocotb.test()
async def adds(dut):
    for a in range(16):
        dut.a.value, dut.b.value = a, 3
        await Timer(1, "ns")
        assert dut.y.value == (a + 3) % 16, f"{a}: {dut.y.value}"

@cocotb.test()
async def passes(dut):
    await Timer(1, "ns")

def test_weak(tmp_path):
    simulate(__name__, "feeble", tmp_path)
"""


@pytest.fixture(scope="module")
def weak(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Request, Record]]:
    """A bench that looks at one of two outputs alone, and the record of five mutants of its module."""
    folder = tmp_path_factory.mktemp("weak")
    bench = folder / "testbenches" / "feeble"
    bench.mkdir(parents=True)
    (bench / "test_weak.py").write_text(WEAK_TEST)
    shutil.copytree(ROOT / "testbenches" / "common", folder / "testbenches" / "common")
    (folder / "rtl").mkdir()
    (folder / "rtl" / "feeble.v").write_text(WEAK)
    wanted = (("+", "-"), ("4", "(4) - 1"), ("4'd15", "4'd14"), ("9", "10"), ("4'd7", "4'd8"))
    ids = [m.id for m in make_mutants(WEAK, "feeble.v") if (m.was, m.becomes) in wanted]
    assert len(ids) == 5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(benches, "testbenches_dir", lambda: folder / "testbenches")
        # A copy, which tests edit; what runs is the package itself.
        shutil.copytree(ROOT / "fxsim", folder / "fxsim", ignore=shutil.ignore_patterns("__pycache__"))
        patch.setattr(benches, "PACKAGE", folder / "fxsim")
        benches._environment.cache_clear()
        patch.setenv("FXSIM_CACHE", str(folder / "cache"))
        request = Request(rtl=folder / "rtl", only=tuple(ids))
        yield request, mutate(request)
    benches._environment.cache_clear()


def verdicts(record: Record) -> dict[str, str]:
    """Verdicts by what a mutant put in the place."""
    return {row.becomes: row.verdict for row in record.mutants}


@pytest.mark.icarus
@pytest.mark.yosys
@pytest.mark.slow
def test_weak_bench_leaves_a_survivor_and_equivalence_is_proved(weak: tuple[Request, Record]) -> None:
    """What the bench looks at is killed there, what it does not look at survives, an unused bit is equivalent.

    So is a number that nothing uses, but not one in a branch that no case elaborates, though its code is the same, too.
    """
    rows = {row.becomes: row for row in weak[1].mutants}
    assert {becomes: row.verdict for becomes, row in rows.items()} == {
        "-": KILLED, "(4) - 1": EQUIVALENT, "4'd14": SURVIVED, "10": EQUIVALENT, "4'd8": SURVIVED,
    }  # fmt: skip
    assert (rows["-"].stage, rows["-"].how) == (MODULE_TEST, "difference")
    assert rows["-"].check == "test_weak.py::test_weak: adds"
    assert rows["(4) - 1"].how == "proved equal by induction under the parameters of 1 cases"
    assert rows["10"].how == rows["(4) - 1"].how
    assert weak[1].total.score == 0.3333
    text = markdown(weak[1], "fxsim mutate")
    assert text.count("| survived | feeble.v:9 | constant |") == 1
    assert "'4'd15' became '4'd14'" in text


TIDY = """module tidy #(
    parameter WIDTH = 4,
    parameter FILE = "none.hex"
) (
    input wire clk,
    input wire [WIDTH-1:0] d,
    output wire [WIDTH-1:0] q
);
  reg [WIDTH-1:0] kept_reg;
  reg [WIDTH-1:0] words[0:1];
  initial if (FILE != "none.hex") $readmemh(FILE, words);
  assign q = kept_reg ^ words[0];
  always @(posedge clk) begin
    if (WIDTH == 4) kept_reg <= d;
    else kept_reg <= ~d;
  end
  wire [7:0] padded = {{(8 - WIDTH) {1'b0}}, d};
  wire unused = &{1'b0, words[1], padded};
endmodule
"""


def lint_of(text: str, *every: dict[str, int | str]) -> Run | None:
    """What lint says of a changed text of `tidy`, under the parameters of some cases."""
    mutant = next(one for one in make_mutants(TIDY, "lib/tidy.v"))
    with contextlib.ExitStack() as stack:
        bench = Bench("tidy", {"lib/tidy.v": TIDY}, ROOT / "rtl", None, Stop(), True, stack)  # type: ignore[arg-type]
        bench._cases = [(benches.Case("", "tidy", each, "", ROOT), Base("", 0.0, "")) for each in every]
        return bench.lint(mutant, text)


@pytest.mark.verilator
def test_lint_kills_what_it_complains_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A race, and a width that does not fit, are complained of by name; not what fits, nor what was so before.

    Parameters of the cases decide, and the defaults. Without Verilator nothing is killed.
    """
    race = TIDY.replace("kept_reg <= d", "kept_reg = d")
    assert lint_of(TIDY, {"FILE": "some.hex"}) is None
    found = lint_of(race, {"FILE": "some.hex"})
    assert found is not None
    assert (found.state, found.test, found.how) == (KILLED, "lint", "BLKSEQ")
    assert found.words.startswith("tidy.v:14:")
    narrow = TIDY.replace("~d", "~d[3:0]")
    assert lint_of(narrow, {"WIDTH": 4}) is None
    wide = lint_of(narrow, {"WIDTH": 4}, {"WIDTH": 5})
    assert wide is not None
    assert wide.how == "WIDTHEXPAND"
    # Under a width of 9 the original is complained of, too: that says nothing of a mutant.
    assert lint.complaint("tidy", {"tidy.v": TIDY}, {"WIDTH": 9}).name
    assert lint_of(narrow, {"WIDTH": 9}) is None
    monkeypatch.setattr(lint, "lint_version", lambda: "")
    assert lint_of(race, {}) is None
    with pytest.raises(ToolError, match="'WIDTH 5', which Verilator is not given"):
        lint.complaint("tidy", {"tidy.v": TIDY}, {"WIDTH 5": 1})


def test_lint_comes_after_the_tests_and_before_proofs(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a module's tests leave alive and lint does not is killed by lint, and not asked whether it is equivalent."""

    class Lenient:
        def run(self, *_: object) -> Outcome:
            return Outcome(Run(benches.PASSED))

        def lint(self, *_: object) -> Run:
            return Run(benches.KILLED, "lint", "BLKSEQ", "words")

        prove = refuse

    with Judge(candidates := Candidates(Request(modules=("axis_register",), others=False)), Request()) as judge:
        monkeypatch.setattr(judge, "bench", lambda _: Lenient())
        row = judge.judge(candidates.mutants[0])
    assert (row.verdict, row.stage, row.check, row.how, row.words) == (KILLED, LINT, "lint", "BLKSEQ", "words")
    assert (score := score_of("m", [row])).lint == score.killed == 1


def test_simulator_killed_from_outside_kills_no_mutant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A simulator that the system ends before its limit is an error: that is no verdict. At the limit it timed out."""

    class Ending:
        @contextlib.contextmanager
        def one(self, _: Stop) -> Iterator["Ending"]:
            yield self

        def run(self, *_: object) -> Ended:
            return Ended(-9, 2.5, False)

    monkeypatch.setattr(benches, "_told", lambda *_: {})
    case = benches.Case("", "ram", {}, "test_ram", tmp_path)
    with pytest.raises(ToolError, match=r"ran test_ram was killed after 2\.5 processor seconds"):
        benches._simulate(case, tmp_path, Ending(), 7.0, Stop())  # type: ignore[arg-type]
    found = benches._simulate(case, tmp_path, Ending(), 2.0, Stop())  # type: ignore[arg-type]
    assert (found.state, found.how) == (benches.TIMED_OUT, "time limit")


@pytest.fixture
def accelerators(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The runs of whole accelerators, by judge, device and model: the proof of SIMD's second model refutes a mutant."""
    asked: list[str] = []

    def run(name: str, design: Design, folder: Path) -> Run:
        mutated = (folder / "lib" / "ram.v").read_text() != (ROOT / "rtl" / "lib" / "ram.v").read_text()
        asked.append(f"{name} {design.device} {design.model.stem}{' mutated' if mutated else ''}")
        killed = mutated and asked[-1].startswith("proof simd small_relu")
        return Run(benches.KILLED, name, "refuted", "small_relu, simd") if killed else Run(benches.PASSED, name)

    monkeypatch.setattr(Design, "prove", lambda self, folder, *_: run("proof", self, folder))
    monkeypatch.setattr(Design, "cosim", lambda self, folder, *_: run("cosim", self, folder))
    monkeypatch.setenv("FXSIM_CACHE", str(tmp_path))
    return asked


def test_whole_accelerators_judge_what_is_left(accelerators: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutant of a common module goes through proof and co-simulation of both, up to the first that kills.

    Each is first asked of the original, once; what is kept is not asked again. A mutant that Verilator refuses is
    killed; an original that does not pass is an error.
    """
    candidates = Candidates(Request(modules=("ram",), others=False))
    mutant = candidates.mutants[0]
    mutated = mutant.apply(candidates.modules["ram"].text)
    judge = Accelerators(ROOT / "rtl", Stop(), False)
    found = judge(mutant, mutated)
    assert found == Run(benches.KILLED, "proof", "refuted", "small_relu, simd")
    steps = [
        f"{name} {each}" for each in ("stream small", "stream small_relu", "simd small") for name in ("proof", "cosim")
    ]
    assert accelerators == [f"{step}{more}" for step in (*steps, "proof simd small_relu") for more in ("", " mutated")]
    accelerators.clear()
    assert Accelerators(ROOT / "rtl", Stop(), False)(mutant, mutated) == found
    assert accelerators == []
    assert {design.device for design in whole.own_designs("stream")} == {"stream"}
    monkeypatch.setattr(Design, "prove", lambda *_: Run(benches.INVALID, "proof", words="no Verilog"))
    with pytest.raises(FxsimError, match="without a mutant, the proof ends as invalid: no Verilog"):
        Accelerators(ROOT / "rtl", Stop(), True)(mutant, mutated)


def test_mutant_that_the_whole_refuses_is_killed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A build that Verilator ends with a mutant alone is a check that fails."""

    def build(_: Design, folder: Path, *__: object) -> Run:
        mutated = (folder / "lib" / "ram.v").read_text() != (ROOT / "rtl" / "lib" / "ram.v").read_text()
        return Run(benches.INVALID, "cosim", words="%Error") if mutated else Run(benches.PASSED, "cosim")

    monkeypatch.setattr(Design, "prove", lambda *_: Run(benches.PASSED, "proof"))
    monkeypatch.setattr(Design, "cosim", build)
    monkeypatch.setenv("FXSIM_CACHE", str(tmp_path))
    candidates = Candidates(Request(modules=("ram",), others=False))
    mutant = candidates.mutants[0]
    found = Accelerators(ROOT / "rtl", Stop(), False)(mutant, mutant.apply(candidates.modules["ram"].text))
    assert found == Run(benches.KILLED, "cosim", "refused", "%Error")


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("compiling the simulator failed: no space left on device", None),
        ("{folder}/d.toml: command: 'roms' was still running after 300 s", None),
        ("cannot write to the cache folder /cache: no space left on device", None),
        ("{folder}/d.toml: output stream: port 'y' has 23 bits, expected 24", benches.INVALID),
        ("Verilator refuses the design: %Error-MULTITOP: {folder}/a.v:1", benches.INVALID),
        ("warnings from the simulator are refused, and the design gave one: %Warning: w.hex:0", benches.INVALID),
        ("the simulator said nothing for 120 s: the design hangs inside a cycle", benches.TIMED_OUT),
    ],
)
def test_co_simulation_without_a_verdict_is_none(
    said: str, state: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A mutant is invalid by what Verilator or its description says of the Verilog, not by what befell the machine."""
    printed = f"fxsim: building the RTL with Verilator\nfxsim: error: {said.format(folder=tmp_path)}\n"
    monkeypatch.setattr(whole, "finish", lambda *_: (1, printed))
    design = Design(tmp_path / "m.safetensors", tmp_path / "x.npy", "described", {"dut": "elsewhere/d.toml"})
    if state is None:
        with pytest.raises(ToolError, match="ended without a verdict: fxsim: error: "):
            design.cosim(tmp_path, tmp_path)
    else:
        assert design.cosim(tmp_path, tmp_path).state == state


def refuse(*_: object) -> None:
    """In place of what keeps a testbench's cases: none is to be asked."""
    raise FxsimError("it is judged anew")


@pytest.fixture
def again(weak: tuple[Request, Record], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], bool]]:
    """Whether the run of the weak bench, done again, takes all that is kept, and gives the same record."""
    request, record = weak
    monkeypatch.setattr(benches, "recorded", refuse)

    def taken() -> bool:
        try:
            found = mutate(request)
        except FxsimError as error:
            if str(error) != "it is judged anew":
                raise
            return False
        assert found.mutants == record.mutants
        return True

    assert taken()
    yield taken
    assert taken()


@contextlib.contextmanager
def edited(path: Path) -> Iterator[None]:
    """A file with a line more, until the end of the block; a new file where there was none."""
    text = path.read_text() if path.is_file() else None
    more = f"module {path.stem}_more; endmodule\n" if path.suffix == ".v" else "# more\n"
    path.write_text((text or "") + more)
    try:
        yield
    finally:
        path.unlink() if text is None else path.write_text(text)


RESTS_ON = (
    "rtl/feeble.v", "testbenches/feeble/test_weak.py", "testbenches/feeble/new.py", "testbenches/common/simulation.py",
    "fxsim/paths.py", "fxsim/contract/arithmetic.py",
)  # fmt: skip
"""Files that the weak bench's verdicts rest on. Of fxsim those that it imports, directly or not."""
ELSEWHERE = (
    "rtl/other.v", "testbenches/other/test_other.py", "fxsim/signoff/plan.py", "fxsim/mutation/text.py", "fxsim/new.py",
)  # fmt: skip
"""Files that they do not rest on."""


@pytest.mark.icarus
@pytest.mark.slow
@pytest.mark.parametrize("files", [RESTS_ON, ELSEWHERE], ids=["what it rests on", "elsewhere"])
def test_what_is_kept_is_taken_until_what_it_rests_on_changes(
    files: tuple[str, ...], again: Callable[[], bool], weak: tuple[Request, Record]
) -> None:
    """A run again asks no testbench, also after edits elsewhere; after one of anything it rests on, it does."""
    folder = weak[0].rtl.parent
    (folder / "testbenches" / "other").mkdir(exist_ok=True)
    for name in files:
        with edited(folder / name):
            assert again() == (files is ELSEWHERE), name


@pytest.mark.icarus
@pytest.mark.slow
def test_results_rest_on_the_judge_seed_and_tools(again: Callable[[], bool], monkeypatch: pytest.MonkeyPatch) -> None:
    """Another seed, version of a tool or of Yosys, or another text of what judges, and what is kept is not taken."""
    loaded = kept._loaded
    others = (
        (benches, "seed", lambda: "1"),
        (benches, "tool_versions", lambda: {"icarus": "another"}),
        (equivalence, "yosys_version", lambda: "another"),
        (kept, "_versions", lambda: {"numpy": "another"}),
        *((kept, "_loaded", lambda kind, other=other: "another" if kind == other else loaded(kind))
          for other in ("mutant", "equivalence")),
    )  # fmt: skip
    for where, name, other in others:
        with monkeypatch.context() as patch:
            patch.setattr(where, name, other)
            assert not again(), name


def test_files_that_judge_are_all_of_the_room_but_those_that_draw_and_write() -> None:
    """A new file of the room must be said to judge, or not to: what judges is part of what results are kept by."""
    room = Path(kept.__file__).parent
    judging = {name for names in kept._FILES.values() for name in names}
    others = {
        "__init__.py",
        "counted.py",
        "defaults.py",
        "imports.py",
        "kept.py",
        "python.py",
        "record.py",
        "run.py",
        "text.py",
    }
    assert {path.name for path in room.iterdir() if path.is_file()} == (
        {name for name in judging if "/" not in name} | others
    )
    assert all((room / name).is_file() for name in judging)


def test_imports_are_found_wherever_they_are_made(tmp_path: Path) -> None:
    """Imports inside functions, relative ones, and names in registries count; those for type checkers alone do not."""
    package = tmp_path / "fxsim"
    texts = {
        "__init__.py": "", "far.py": "", "named.py": "", "unused.py": "", "types.py": "", "data.txt": "words",
        "room/__init__.py": "from . import near\n", "room/near.py": "def f():\n    from ..far import x\n",
        "room/table.json": "{}", "apart/__init__.py": "", "apart/table.json": "{}",
    }  # fmt: skip
    for name, text in texts.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(text)
    top = tmp_path / "top.py"
    head = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import fxsim.types\n"
    top.write_text(head + "import numpy\nimport fxsim.room\nWHERE = {'it': 'fxsim.named'}\n")
    roots = {"fxsim": package}
    names = {path.relative_to(tmp_path).as_posix() for path in imported([top], roots)}
    assert names == {
        "top.py", "fxsim/__init__.py", "fxsim/data.txt", "fxsim/room/__init__.py", "fxsim/room/near.py",
        "fxsim/room/table.json", "fxsim/far.py", "fxsim/named.py",
    }  # fmt: skip
    for text in (
        "from importlib import import_module\nimport_module('fxsim.' + name)\n",
        "import fxsim\nfxsim.run()\n",
    ):
        top.write_text(text)
        assert set(package.rglob("*.py")) < set(imported([top], roots)), text
    assert top_names([top]) == ["fxsim"]


EQUAL = """module m (input wire clk, input wire rst, input wire [1:0] a, input wire [3:0] d, output wire [3:0] y);
  {}
endmodule
"""
HOLDS = "reg [3:0] q; assign y = q{}; always @(posedge clk) if (rst) q <= 0; else q <= q + d;"
WITHIN = "wire [3:0] u; part #(.N({})) part (.clk(clk), .d({}), .q(u)); assign y = u{};"
PART = """module part #(parameter N = 1) (input wire clk, input wire [3:0] d, output reg [3:0] q);
  always @(posedge clk) q <= d + N;
endmodule
"""
UNUSED = "wire w = {}d; assign y = d;"
FEEDS = "wire w = {}d; wire [3:0] u; part part (.clk(clk), .d({{3'd0, w}}), .q(u)); assign y = u;"
COUNTS = """reg [1:0] n; reg q; wire counted = q && n; assign y = {{n, 1'b0, counted}};
  always @(posedge clk) if (rst) begin n <= 0; {} end else begin
    q <= d[0];
    n <= n + {{1'b0, d[1]}} - {{1'b0, counted}};
    {}
  end"""
STORES = "reg [3:0] q, m[0:2]; assign y = q; always @(posedge clk) begin q <= m[{}]; m[a] <= d; end"


@pytest.mark.yosys
@pytest.mark.parametrize(
    ("was", "becomes", "equal"),
    [
        (STORES.format("a"), STORES.format("a"), True),
        (STORES.format("a"), STORES.format("a + 1'b1"), False),
        (HOLDS.format(""), HOLDS.format("").replace("[3:0]", "[5:0]", 1), True),
        (HOLDS.format(" >> 1"), HOLDS.format(" >> 1").replace("[3:0]", "[5:0]", 1), False),
        (HOLDS.format(""), HOLDS.format("").replace("[3:0]", "[2:0]", 1), False),
        ("assign y = 4'd0;", "wire [3:0] u; assign y = u;", False),
        ("assign y = 4'd0;", "wire [3:0] u; assign y = u ^ u;", False),
        ("assign y = 4'd0;", "assign y = 4'bx;", False),
        (WITHIN.format(1, "d", ""), WITHIN.format(1, "d + 4'd0", " ^ 4'd0"), True),
        (WITHIN.format(1, "d", ""), WITHIN.format(1, "d + 4'd1", ""), False),
        (WITHIN.format(1, "d", ""), WITHIN.format(2, "d", ""), False),
        (WITHIN.format(1, "d", ""), WITHIN.format(1, "d", " ^ 4'd1"), False),
        (UNUSED.format("&"), UNUSED.format("|"), True),
        (FEEDS.format("&"), FEEDS.format("|"), False),
        (COUNTS.format("q <= 0;", ""), COUNTS.format("", ""), True),
        (COUNTS.format("q <= 0;", ""), COUNTS.format("q <= 0;", "n <= n;"), False),
        (COUNTS.format("q <= 0;", "").replace("&& n", ""), COUNTS.format("", "").replace("&& n", ""), False),
    ],
    ids=[
        "memory",
        "other word",
        "spare bits",
        "bits in use",
        "bit too few",
        "undriven",
        "undriven twice",
        "unknown",
        "part",
        "other input of a part",
        "other parameter of a part",
        "other use of a part",
        "unused wire",
        "wire into a part",
        "register without effect",
        "register of an effect",
        "register seen at once",
    ],
)
def test_proof_of_equivalence_takes_nothing_unknown_for_known(
    was: str, becomes: str, equal: bool, tmp_path: Path
) -> None:
    """Memories that are not full, and bits that nothing reads, are no obstacle; what is unknown equals nothing."""
    case = benches.Case("", "m", {}, "", tmp_path)
    files = {"m.v": EQUAL.format(was), "part.v": PART}
    assert equivalence.prove_equal(case, files, "m.v", EQUAL.format(becomes)) is equal


@pytest.mark.yosys
def test_proof_of_equivalence_looks_into_a_part_that_is_mutated(tmp_path: Path) -> None:
    """A mutant of a module within another is not proved by what is the same around it."""
    case = benches.Case("", "m", {}, "", tmp_path)
    files = {"m.v": EQUAL.format(WITHIN.format(1, "d", "")), "part.v": PART}
    assert not equivalence.prove_equal(case, files, "part.v", PART.replace("d + N", "d - N"))
    assert equivalence.prove_equal(case, files, "part.v", PART.replace("d + N", "N + d"))


def test_record_is_in_the_order_of_places() -> None:
    """The order in which mutants were judged leaves no trace in the record."""
    rows = [
        msgspec.structs.replace(judged("killed", MODULE_TEST), id=str(line), line=line, file="f") for line in (3, 1, 2)
    ]
    made = make_record("d", 1, 3, 9, {"b": "2", "a": "1"}, rows)
    assert [row.line for row in made.mutants] == [1, 2, 3]
    assert made == make_record("d", 1, 3, 9, {"a": "1", "b": "2"}, rows[::-1])


def test_numbers_of_parameters_stay_numbers() -> None:
    """A number that is wider than an integer is no text, as a file's name is."""
    values = {"6'h2e": "6'h2e", "12'd7": "12'd7", "t.hex": '"t.hex"', "6h2e": '"6h2e"', "": '""', 3: "3", -4: "-4"}
    assert {value: verilog_value(value) for value in values} == values


@pytest.mark.icarus
@pytest.mark.slow
def test_a_bench_whose_parameters_are_wide_numbers_judges(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The levels of `threshold` are such a number: as a text they were others, and no unmutated case passed."""
    monkeypatch.setenv("FXSIM_CACHE", str(tmp_path))
    record = mutate(Request(modules=("threshold",), count=1, others=False))
    assert len(record.mutants) == 1, "an unmutated case that fails is an error"


def test_unknown_module_and_mutant_are_named(own: Candidates, tmp_path: Path) -> None:
    """A module or an id that there is not is refused by name."""
    (tmp_path / "toy.v").write_text(TOY)
    with pytest.raises(FxsimError, match="no module 'nothing'"):
        Candidates(Request(modules=("nothing",), rtl=tmp_path))
    with pytest.raises(FxsimError, match="no mutant 123456123456"):
        own.draw(Request(only=("123456123456",)))
    with pytest.raises(FxsimError, match="stream, simd, composed, not of 'tpu'"):
        Candidates(Request(accelerator="tpu"))


def test_described_design_of_another_language_is_refused(tmp_path: Path) -> None:
    """SystemVerilog of a described design is refused with the file, before anything is simulated."""

    class Fitted:
        """A design of one file that Pyverilog does not read."""

        def keep_sources(self, _: Path | None, folder: Path) -> None:
            """Write it."""
            folder.mkdir()
            (folder / "new.sv").write_text("module a; always_comb begin automatic int x; end endmodule")

    class Own(Design):
        """A design for which no simulator is asked."""

        def fit(self) -> Fitted:  # type: ignore[override]
            """The design above."""
            return Fitted()

        def key(self) -> dict[str, object]:
            """Nothing to be kept by."""
            return {}

    with pytest.raises(FileError, match=r"new\.sv is not read by Pyverilog"):
        mutate_design(Own(tmp_path, tmp_path, "described"), Request(count=1))


SUM = "{4'd0, a} + {4'd0, b}"


class Toy:
    """A design of the toy's file, as a device gives it."""

    def keep_sources(self, _: Path | None, folder: Path) -> None:
        """Write it."""
        folder.mkdir()
        (folder / "toy.v").write_text(TOY)


def test_own_rtl_is_listed_judged_side_by_side_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toys: list[Mutant]
) -> None:
    """`--dut` takes --list, --jobs and --resume as the accelerators do: what was judged before an end is taken."""
    both = threading.Barrier(2)
    begun = count(1)
    ended: list[str] = []

    def cosim(_: Design, folder: Path, work: Path, _stop: Stop) -> benches.Run:
        """In place of a co-simulation: of two sums one is looked at; the first two mutants wait for each other."""
        text = (folder / "toy.v").read_text()
        assert folder.parent == work
        number = next(begun)
        if number == 3:
            raise KeyboardInterrupt
        if number < 3:
            both.wait(timeout=30)
        ended.append(text)
        return benches.Run(benches.PASSED if SUM in text else benches.KILLED, "cosim", "difference")

    monkeypatch.setenv("FXSIM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Design, "fit", lambda _: Toy())
    monkeypatch.setattr(Design, "key", lambda _: {})
    monkeypatch.setattr(Design, "cosim", cosim)
    sound = benches.Run(benches.PASSED)
    monkeypatch.setattr(whole, "kept", lambda kind, rests_on, *rest: (
        kept.kept(kind, rests_on, *rest) if "mutated" in rests_on else sound
    ))  # fmt: skip
    chosen = [mutant for mutant in toys if mutant.was in ("+", "^", "==")]
    assert len(chosen) == 4
    own = ["--dut", "d.toml", "--model", "m.st", "--images", "x.npy"]
    asked = [*own, *(word for mutant in chosen for word in ("--id", mutant.id))]
    listed = CliRunner().invoke(mutate_command, [*asked, "--list"])
    assert listed.output.splitlines() == [str(mutant) for mutant in sorted(chosen, key=lambda m: m.start)]
    out = ["-o", str(tmp_path / "out"), "--jobs", "2"]
    assert CliRunner().invoke(mutate_command, [*asked, *out]).exit_code == 1
    assert not (tmp_path / "out" / "mutation.json").exists()
    before = set(ended)
    assert len(before) in (2, 3)
    del ended[:]
    again = CliRunner().invoke(mutate_command, ["--resume", *out])
    assert again.exit_code == 1
    record = msgspec.json.decode((tmp_path / "out" / "mutation.json").read_bytes(), type=Record)
    assert {row.id: row.verdict for row in record.mutants} == {
        mutant.id: SURVIVED if SUM in mutant.apply(TOY) else KILLED for mutant in chosen
    }
    assert set(ended) == {mutant.apply(TOY) for mutant in chosen} - before
    monkeypatch.setattr(Design, "cosim", lambda *_: benches.Run(benches.INVALID, "cosim"))
    assert CliRunner().invoke(mutate_command, [*asked, "--fresh"]).exit_code == 1
    for further in (["--accel", "stream"], ["--no-others"]):
        assert "is of your own RTL" in CliRunner().invoke(mutate_command, [*own, *further]).output
    assert "leave out dut" in CliRunner().invoke(mutate_command, ["--resume", "-o", "x", "--dut", "d.toml"]).output
