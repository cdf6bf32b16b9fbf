"""Lanes: a netlist's words against the plain evaluator, and runs of many images against Verilator's."""

import random
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import fxsim
from fxsim.cosim import CosimRequest, CosimResult, run_cosim
from fxsim.devices import DEVICES, Layout
from fxsim.errors import FileError, StimulusError, ToolError
from fxsim.graph import Model
from fxsim.lanes import LanesSimulator
from fxsim.lanes.cpp import write_program
from fxsim.lanes.run import FLAGS, OPTIMISED, LaneRecords
from fxsim.lanes.sums import with_sums
from fxsim.lanes.words import dependence, make_words
from fxsim.paths import rtl_dir
from fxsim.prove.btor2 import Netlist, parse
from fxsim.prove.concrete import Evaluator
from fxsim.signoff import Status, load_plan, render_report, run_plan
from fxsim.signoff.simulation import Simulation
from fxsim.simulate.tools import find_toolchain

GOLDEN = Path(__file__).resolve().parents[1] / "golden"
LANES = 8
QUICK = "-O1"
"""A small design is compiled sooner than it is faster."""


# --- A netlist's words -----------------------------------------------------------------------------------------------

PLAIN = ("and", "or", "xor", "xnor", "nand", "nor", "add", "sub", "mul", "sll", "srl", "sra")
COMPARISONS = ("eq", "neq", "ult", "ulte", "ugt", "ugte", "slt", "slte", "sgt", "sgte")
INPUTS = {"rst": (1, False), "start": (2, False), "c": (9, False), "d": (8, True), "e": (13, True), "wide": (150, True)}
"""The inputs of random netlists: bits, and whether they are of data."""


class Text:
    """A random netlist as BTOR2: operations of every kind on registers, memories and inputs, of control and of data."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lines: list[str] = []
        self.sorts: dict[tuple[int, int], int] = {}
        self.values: dict[int, list[int]] = {}
        self.width: dict[int, int] = {}

    def line(self, text: str, width: int = 0) -> int:
        """A line; of a value, one of so many bits. Returns its number."""
        number = len(self.lines) + 1
        self.lines.append(f"{number} {text}")
        if width:
            self.values.setdefault(width, []).append(number)
            self.width[number] = width
        return number

    def sort(self, width: int, address: int = 0) -> int:
        """The number of a sort, written where it is not there yet."""
        key = width, address
        if key not in self.sorts:
            if address:
                of = self.sort(address), self.sort(width)
                self.sorts[key] = self.line(f"sort array {of[0]} {of[1]}")
            else:
                self.sorts[key] = self.line(f"sort bitvec {width}")
        return self.sorts[key]

    def cell(self, kind: str, width: int, *args: object) -> int:
        """A cell that computes a value of so many bits."""
        sort = self.sort(width)
        return self.line(f"{kind} {sort} {' '.join(map(str, args))}".rstrip(), width)

    def any(self, width: int) -> int:
        """Some value of a width, made of others where there is none."""
        known = self.values.get(width, [])
        if known and self.random.random() < 0.9:
            return self.random.choice(known[-12:])
        source = self.random.choice([n for n in self.width if self.width[n] != width] or [0])
        if not source:
            return self.cell("constd", width, self.random.randrange(1 << width))
        have = self.width[source]
        if have > width:
            low = self.random.randrange(have - width + 1)
            return self.cell("slice", width, source, low + width - 1, low)
        return self.cell(self.random.choice(("uext", "sext")), width, source, width - have)


def random_netlist(seed: int, operations: int = 160) -> str:
    """A netlist whose registers are set by `rst`, and whose memories by the four addresses of `start`."""
    text = Text(seed)
    rng = text.random
    for name, (width, _) in INPUTS.items():
        text.line(f"input {text.sort(width)} {name}", width)
    rst, start = (next(i + 1 for i, line in enumerate(text.lines) if line.endswith(f" {n}")) for n in ("rst", "start"))
    widths = (1, 1, 3, 8, 8, 16, 23, 32, 33, 64, 70, 150)
    registers, memories = [], []
    for n in range(14):
        width = rng.choice(widths)
        registers.append((text.line(f"state {text.sort(width)} r{n}", width), width))
    for n in range(4):
        width = rng.choice((4, 8, 23, 96))
        memories.append((text.line(f"state {text.sort(width, 2)} m{n}"), width))
    for memory, width in memories:
        for _ in range(2):
            text.cell("read", width, memory, text.any(2))
    for _ in range(operations):
        width = rng.choice(widths)
        kind = rng.choice(
            (*PLAIN, "ite", "ite", "ite", "concat", "slice", "sext", "uext", "not", "neg", "compare", "reduce", "const")
        )
        if kind == "const":
            text.cell("constd", width, rng.randrange(1 << width))
        elif kind == "compare":
            comparison = rng.choice(COMPARISONS)
            of = width if width <= 64 or comparison in ("eq", "neq") else 16
            text.cell(comparison, 1, text.any(of), text.any(of))
        elif kind == "reduce":
            text.cell(rng.choice(("redand", "redor", "redxor")), 1, text.any(width))
        elif kind == "ite":
            text.cell("ite", width, text.any(1), text.any(width), text.any(width))
        elif kind == "concat":
            low = rng.choice(widths)
            text.cell("concat", width + low, text.any(width), text.any(low))
        elif kind == "slice":
            source = rng.choice(list(text.width))
            low = rng.randrange(text.width[source])
            high = rng.randrange(low, text.width[source])
            text.cell("slice", high - low + 1, source, high, low)
        elif kind in ("sext", "uext"):
            source = rng.choice(list(text.width))
            if kind == "sext" and text.width[source] + 5 > 64:
                continue
            text.cell(kind, text.width[source] + 5, source, 5)
        elif kind in ("not", "neg"):
            text.cell(kind if width <= 64 else "not", width, text.any(width))
        elif kind in ("and", "or", "xor", "xnor", "nand", "nor") or width <= 64:
            text.cell(kind, width, text.any(width), text.any(width))
    for register, width in registers:
        first = text.cell("constd", width, rng.randrange(1 << width))
        following = text.cell("ite", width, rst, first, text.any(width))
        text.line(f"next {text.sort(width)} {register} {following}")
    for memory, width in memories:
        array = text.sort(width, 2)
        address = text.cell("ite", 2, rst, start, text.any(2))
        first = text.cell("constd", width, rng.randrange(1 << width))
        content = text.cell("ite", width, rst, first, text.any(width))
        written = text.line(f"write {array} {memory} {address} {content}")
        enable = text.cell("or", 1, rst, text.any(1))
        following = text.line(f"ite {array} {enable} {written} {memory}")
        text.line(f"next {array} {memory} {following}")
    for n, source in enumerate(rng.sample([n for n in text.width if text.width[n] <= 200], 60)):
        text.line(f"output {source} o{n}")
    return "\n".join([*text.lines, ""])


DRIVER = """\
#include <cstdio>
#include "Vdut.h"
static bool take(void* to, size_t bytes) { return std::fread(to, 1, bytes, stdin) == bytes; }
int main() {
    VerilatedContext context;
    Vdut dut(&context);
    for (;;) {
        // INPUTS
        dut.clk = 0;
        dut.eval();
        // OUTPUTS
        dut.clk = 1;
        dut.eval();
    }
}
"""


def drive(
    netlist: Netlist, stimuli: list[list[dict[str, int]]], folder: Path, agreeing: tuple[str, ...] = ()
) -> list[list[dict[str, int]]]:
    """The outputs of a netlist in lanes, by cycle and lane, of inputs by cycle and lane."""
    lanes = len(stimuli[0])
    data = {name for name, (_, of_data) in INPUTS.items() if of_data} & netlist.inputs.keys()
    widths = {name: netlist.cells[cell].sort.width for name, cell in netlist.outputs.items()}
    # Inputs of data have a byte in each lane: here they are joined of several ports.
    words = with_sums(make_words(netlist, data, agreeing))
    shown = {name for name, value in words.outputs.items() if words.depends(value)}
    for name, text in write_program(words, lanes, data | shown).items():
        (folder / name).write_text(text)
    reads, prints = [], []
    for name, cell in netlist.inputs.items():
        size = -(-netlist.cells[cell].sort.width // 8)
        if name in data:
            reads.append(f"for (size_t i = 0; i < {size}; ++i) if (!take(dut.{name}.byte[i], {lanes})) return 0;")
        else:
            reads.append(f"{{ uint64_t v = 0; if (!take(&v, 8)) return 0; dut.{name} = v; }}")
    for name, width in widths.items():
        size = -(-width // 8)
        if name in shown:
            prints.append(
                f"for (size_t i = 0; i < {size}; ++i) std::fwrite(byte_of(dut.{name}, i), 1, {lanes}, stdout);"
            )
        else:
            prints.append(f"std::fwrite(&dut.{name}, 1, {size}, stdout);")
    source = DRIVER.replace("// INPUTS", "\n".join(reads)).replace("// OUTPUTS", "\n".join(prints))
    (folder / "driver.cpp").write_text(source)
    compiler = find_toolchain("-O1").compiler
    units = [path.name for path in sorted(folder.glob("*.cpp"))]
    command = [compiler, *FLAGS, OPTIMISED, "-o", "simulate", *units]
    compiled = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert compiled.returncode == 0, compiled.stderr
    sent = b""
    for cycle in stimuli:
        for name, cell in netlist.inputs.items():
            size = -(-netlist.cells[cell].sort.width // 8)
            if name in data:
                sent += b"".join(bytes(lane[name] >> 8 * i & 255 for lane in cycle) for i in range(size))
            else:
                sent += cycle[0][name].to_bytes(8, "little")
    came = subprocess.run([folder / "simulate"], input=sent, check=True, capture_output=True).stdout
    at, found = 0, []
    for _ in stimuli:
        given: list[dict[str, int]] = [{} for _ in range(lanes)]
        for name, width in widths.items():
            size = -(-width // 8)
            if name in shown:
                for i in range(size):
                    for lane, byte in enumerate(came[at : at + lanes]):
                        given[lane][name] = given[lane].get(name, 0) | byte << 8 * i
                    at += lanes
            else:
                for each in given:
                    each[name] = int.from_bytes(came[at : at + size], "little")
                at += size
        found.append(given)
    assert at == len(came)
    return found


@pytest.mark.parametrize("seed", range(4))
def test_random_netlists_give_in_every_lane_what_the_plain_evaluator_gives(seed: int, tmp_path: Path) -> None:
    """All kinds of operations, registers and memories, of control, of data and of both, up to 200 bits wide."""
    netlist = parse(random_netlist(seed))
    rng = random.Random(seed + 100)
    stimuli: list[list[dict[str, int]]] = []
    for cycle in range(60):
        common = {name: rng.randrange(1 << width) for name, (width, of_data) in INPUTS.items() if not of_data}
        common |= {"rst": int(cycle < 4 or rng.random() < 0.05), "start": cycle % 4}
        lanes = []
        for _ in range(5):
            own = {name: rng.randrange(1 << width) for name, (width, of_data) in INPUTS.items() if of_data}
            lanes.append({name: (common | own)[name] for name in netlist.inputs})
        stimuli.append(lanes)
    found = drive(netlist, stimuli, tmp_path)
    for lane in range(5):
        unknown = random.Random(seed + lane)
        evaluator = Evaluator(netlist, lambda width: unknown.randrange(1 << width))  # noqa: B023  # of this lane
        for cycle, inputs in enumerate(stimuli):
            evaluator.evaluate(inputs[lane])
            if cycle >= 4:
                wanted = {name: evaluator.value(cell) for name, cell in netlist.outputs.items()}
                assert found[cycle][lane] == wanted, f"cycle {cycle}, lane {lane}"
            evaluator.tick()


def sums_netlist(seed: int) -> tuple[str, int]:
    """Sums of products whose levels have registers under conditions, and by what cycle all of power-on is gone.

    Operands of data are bytes that are shifted in; those of control come of a ROM. The conditions of the levels, of a
    reset among them, differ; a level has adders of two or of four. Of seed 1 some registers are read elsewhere, too,
    or hold under another condition than those beside them, so that their sum stays one of registers; of seed 2 some
    operands are narrower.
    """
    text, rng = Text(seed), random.Random(seed)
    width = (23, 32, 20, 33)[seed]
    for name, (bits, _) in INPUTS.items():
        text.line(f"input {text.sort(bits)} {name}", bits)
    ports = {name: next(i + 1 for i, line in enumerate(text.lines) if line.endswith(f" {name}")) for name in INPUTS}
    enables = [text.cell("slice", 1, ports["c"], n, n) for n in range(5)]
    rom, at = text.line(f"state {text.sort(96, 2)} rom"), text.cell("slice", 2, ports["c"], 6, 5)
    content = text.line(f"state {text.sort(96, 2)}")
    for n in range(4):
        index, word = (text.line(f"constd {text.sort(b)} {v}") for b, v in ((2, n), (96, rng.getrandbits(96))))
        content = text.line(f"write {text.sort(96, 2)} {content} {index} {word}")
    text.line(f"init {text.sort(96, 2)} {rom} {content}")
    text.line(f"next {text.sort(96, 2)} {rom} {rom}")
    weights = text.cell("read", 96, rom, at)

    def held(bits: int, value: int, enable: int, first: int | None) -> int:
        """A register that takes a value where `enable` is 1; with `first`, that where it is reset."""
        register = text.line(f"state {text.sort(bits)} s{len(text.lines)}", bits)
        value = text.cell("ite", bits, enable, value, register)
        if first is not None:
            value = text.cell("ite", bits, ports["rst"], text.cell("constd", bits, first), value)
        text.line(f"next {text.sort(bits)} {register} {value}")
        return register

    count, moving = 12, enables[0]
    level, before = [], ports["d"]
    for n in range(count):
        before = held(8, before, moving, None)
        kept = held(8, before, enables[1], rng.choice((None, 0, 77)) if seed in (0, 2) else None)
        by = held(8, text.cell("slice", 8, weights, 8 * n + 7, 8 * n), enables[2], 5 if seed in (0, 2) else None)
        bits = rng.choice((8, 8, 5)) if seed == 2 else 8
        operands = [
            text.cell("sext", width, text.cell("slice", bits, of, bits - 1, 0), width - bits) for of in (kept, by)
        ]
        level.append(text.cell("mul", width, *rng.sample(operands, 2)))
    shown, first = [], 0
    while True:
        odd = rng.randrange(12) if seed == 1 else -1
        level = [
            held(width, of, enables[3 if n != odd else 4], first if seed in (0, 2) else None)
            for n, of in enumerate(level)
        ]
        shown += rng.sample(level, rng.random() < 0.4) if seed == 1 else []
        if len(level) == 1:
            break
        fan, first = rng.choice((2, 4)), rng.randrange(1 << 19)
        sums = []
        for n in range(0, len(level), fan):
            total, *others = level[n : n + fan]
            for other in others:
                total = text.cell("add", width, total, other)
            sums.append(total)
        level = sums
    for n, of in enumerate((*level, *shown)):
        text.line(f"output {of} o{n}")
    return "\n".join([*text.lines, ""]), 24


@pytest.mark.parametrize("seed", range(4))
def test_sums_before_their_registers_are_in_every_cycle_what_they_were(seed: int, tmp_path: Path) -> None:
    """Every output in every lane, from the cycle on in which nothing that was there at power-on can be left."""
    text, known = sums_netlist(seed)
    netlist = parse(text)
    rng = random.Random(seed + 50)
    stimuli: list[list[dict[str, int]]] = []
    for cycle in range(150):
        common = {"rst": int(rng.random() < 0.05), "start": 0, "c": 511 if cycle < known else rng.randrange(512)}
        own = [{"d": rng.randrange(256), "e": 0, "wide": 0} for _ in range(17)]
        if cycle < known:
            common["rst"] = 0
        stimuli.append([{name: (common | lane)[name] for name in netlist.inputs} for lane in own])
    found = drive(netlist, stimuli, tmp_path)
    program = "".join(path.read_text() for path in tmp_path.glob("Vdut_step*.cpp"))
    assert program.count("dot.add") == (3, 0, 1, 0)[seed]
    for lane in range(17):
        unknown = random.Random(seed + lane)
        evaluator = Evaluator(netlist, lambda width: unknown.randrange(1 << width))  # noqa: B023  # of this lane
        for cycle, inputs in enumerate(stimuli):
            evaluator.evaluate(inputs[lane])
            if cycle >= known:
                wanted = {name: evaluator.value(cell) for name, cell in netlist.outputs.items()}
                assert found[cycle][lane] == wanted, f"cycle {cycle}, lane {lane}"
            evaluator.tick()


def test_shifts_of_more_bits_than_a_word_are_of_parts(tmp_path: Path) -> None:
    """136 bits by a number of 9 bits that is of control, left and right."""
    text = "1 sort bitvec 136\n2 sort bitvec 9\n3 sort bitvec 150\n4 input 2 c\n5 input 3 wide\n6 slice 1 5 139 4\n"
    text += "7 uext 1 4 127\n8 srl 1 6 7\n9 sll 1 6 7\n10 state 1\n11 state 1\n12 next 1 10 8\n13 next 1 11 9\n"
    text += "14 output 10 right\n15 output 11 left\n"
    rng = random.Random(3)
    places = (0, 1, 7, 63, 64, 65, 128, 135, 136, 200, 255, 256, 511, 88, 0)
    stimuli = [[{"c": by, "wide": rng.getrandbits(150)} for _ in range(3)] for by in places]
    for given, came in zip(stimuli, drive(parse(text), stimuli, tmp_path)[1:], strict=False):
        for lane, found in zip(given, came, strict=True):
            value, by = lane["wide"] >> 4 & (1 << 136) - 1, lane["c"]
            assert found == {"right": value >> by, "left": value << by & (1 << 136) - 1}


AGREEING = """\
1 sort bitvec 1
2 sort bitvec 2
3 sort bitvec 8
4 sort bitvec 70
5 sort bitvec 150
6 sort array 2 3
7 input 2 start
8 input 3 d
9 input 5 wide
10 slice 1 7 0 0
11 slice 1 7 1 1
12 state 3 before
13 next 3 12 8
14 state 3 held
15 ite 3 10 12 14
16 next 3 14 15
17 state 4 long
18 slice 4 9 69 0
19 ite 4 10 18 17
20 next 4 17 19
21 state 6 table
22 slice 2 14 1 0
23 write 6 21 22 8
24 ite 6 11 23 21
25 next 6 21 24
26 read 3 21 22
27 output 14 x
28 output 17 y
29 output 26 z
30 output 12 of_data
"""
"""Registers that take data where bit 0 of `start` is set, one of them a cycle late, and a memory where bit 1 is."""


def agreeing_stimuli(cycles: int, lanes: int = 5) -> list[list[dict[str, int]]]:
    """Inputs that are the same in all lanes when they are taken, and at no other time."""
    rng = random.Random(5)
    starts = [1, 0, *(rng.randrange(4) for _ in range(cycles))]
    stimuli = []
    for cycle, (start, after) in enumerate(pairwise((*starts, 0))):
        one, same, wide = rng.randrange(256), start >= 2 or after % 2 == 1, rng.getrandbits(150)
        stimuli.append([
            {"start": start, "d": one if same else one ^ cycle + lane & 255, "wide": wide if start % 2 else wide ^ lane}
            for lane in range(lanes)
        ])  # fmt: skip
    return stimuli


def agreeing_expected(inputs: Iterable[dict[str, int]]) -> Iterator[dict[str, int | None]]:
    """The outputs of each cycle in one lane; None where they still hold what they did at power-on."""
    before = held = long = None
    table: dict[int, int] = {}
    for given in inputs:
        yield {"x": held, "y": long, "z": None if held is None else table.get(held % 4), "of_data": before}
        if given["start"] & 2:
            if held is None:
                table.clear()
            else:
                table[held % 4] = given["d"]
        if given["start"] & 1:
            held, long = before, given["wide"] & (1 << 70) - 1
        before = given["d"]


def test_what_agrees_is_of_control_and_right_in_every_lane(tmp_path: Path) -> None:
    """What a register takes of power-on in the first cycle agrees, too."""
    netlist, stimuli, agreeing = parse(AGREEING), agreeing_stimuli(60), ("held", "long", "t*e")
    words = make_words(netlist, {"d", "wide"}, agreeing)
    assert [name for name, value in words.outputs.items() if words.depends(value)] == ["of_data"]
    found = drive(netlist, stimuli, tmp_path, agreeing)
    known = 0
    for lane in range(5):
        for cycle, wanted in enumerate(agreeing_expected(given[lane] for given in stimuli)):
            for name, value in wanted.items():
                known += value is not None
                assert value in (None, found[cycle][lane][name]), f"cycle {cycle}, lane {lane}, {name}"
    assert known > 5 * 200


@pytest.mark.parametrize(("name", "port", "bit"), [("held", "d", 3), ("long[69:64]", "wide", 65), ("table", "d", 7)])
def test_lanes_that_do_not_agree_end_the_run_with_name_cycle_and_lane(
    name: str, port: str, bit: int, tmp_path: Path
) -> None:
    """One bit in lane 3, in a register a cycle before it is taken, in the upper part of a wide one, in a memory."""
    stimuli = agreeing_stimuli(60)
    starts = [lanes[0]["start"] for lanes in stimuli]
    late, taken_by = name == "held", 2 if name == "table" else 1
    taken = max(n for n in range(1, 60) if starts[n] & taken_by and not (late and starts[n - 1] & 2))
    stimuli[taken - late][3][port] ^= 1 << bit
    with pytest.raises(subprocess.CalledProcessError) as failed:
        drive(parse(AGREEING), stimuli, tmp_path, ("held", "long", "table"))
    text = f"'{name}' is to be the same in all lanes, but in cycle {taken} takes another value in lane 3 than in lane 0"
    assert failed.value.returncode == 2
    assert text in failed.value.stderr.decode()


def test_what_is_to_agree_and_is_not_there_is_refused_by_name() -> None:
    """A name that no register has; a memory written at an address of data, or when data say so."""
    with pytest.raises(FileError, match=r"no register and no memory 'tabel', which is to be the same in all lanes"):
        make_words(parse(AGREEING), {"d", "wide"}, ("tabel",))
    with pytest.raises(FileError, match=r"'table' is .* its words is written depends on data: held <- "):
        make_words(parse(AGREEING), {"d", "wide"}, ("table",))
    with pytest.raises(FileError, match=r"'table' is .* its words is written depends on data: start"):
        make_words(parse(AGREEING), {"d", "wide", "start"}, ("table", "held"))


def test_what_computes_on_more_bits_than_a_word_is_refused_by_name() -> None:
    """A sum of 70 bits."""
    text = "1 sort bitvec 70\n2 input 1 a\n3 input 1 b\n4 add 1 2 3 total\n5 output 4 y\n"
    with pytest.raises(FileError, match=r"add of 70 bits, expected at most 64"):
        make_words(parse(text), {"a"})


def test_what_is_wide_but_for_zeros_is_computed_in_a_word(tmp_path: Path) -> None:
    """Sums and comparisons of 70 bits of numbers of 8 and 63, as Verilog makes them of numbers of several widths."""
    text = "1 sort bitvec 150\n2 sort bitvec 63\n3 sort bitvec 8\n4 sort bitvec 70\n5 sort bitvec 1\n6 input 1 wide\n"
    text += "7 slice 2 6 62 0\n8 slice 3 6 107 100\n9 uext 4 7 7\n10 uext 4 8 62\n11 add 4 9 10\n"
    text += "13 ulte 5 9 10\n14 ugt 5 9 10\n15 output 11 total\n16 output 13 below\n17 output 14 above\n"
    edges = [0, 1, 5, 255, 256, (1 << 63) - 1, (1 << 63) - 255]
    pairs = [(a, b) for a in edges for b in (0, 5, 255)]
    stimuli = [[{"wide": a | b << 100 | 1 << 99 | 1 << 140}] * 2 for a, b in pairs]
    for (a, b), came in zip(pairs, drive(parse(text), stimuli, tmp_path), strict=True):
        assert came == [{"total": a + b, "below": int(a <= b), "above": int(a > b)}] * 2


def test_a_wide_input_that_is_the_same_in_all_lanes_is_refused_by_name() -> None:
    """One of 70 bits, of control."""
    words = make_words(parse("1 sort bitvec 70\n2 input 1 keep\n3 output 2 y\n"), ())
    with pytest.raises(FileError, match=r"the input 'keep' has 70 bits, expected at most 64"):
        write_program(words, 4, ())


def test_the_way_from_data_to_an_output_names_its_registers() -> None:
    """From the output back to the input."""
    text = "1 sort bitvec 8\n2 sort bitvec 1\n3 input 1 d\n4 state 1 held\n5 next 1 4 3\n"
    text += "6 slice 2 4 7 7\n7 output 6 ready\n"
    assert dependence(parse(text), {"d"}, "ready") == ("held", "d")


# --- The accelerator -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> Model:
    """The small golden model."""
    return fxsim.load(GOLDEN / "small.safetensors")


def images(model: Model, count: int) -> np.ndarray:
    """Random images."""
    return np.random.default_rng(3).integers(-128, 128, (count, *model.graph.input_shape)).astype(np.int8)


def in_lanes(model: Model, x: np.ndarray, lanes: int = LANES, **options: object) -> CosimResult:
    """A run in lanes, under one seed where nothing is said."""
    asked = {"power_on_seeds": (1,)} | options
    return run_cosim(CosimRequest(model, x, **asked), simulator=LanesSimulator(lanes, QUICK))


PATTERNS = ("none", "random:3", "burst:5", "gap:7", "random:9+reset:4:3", "aim:2", "wait", "input:1:0.9")


@pytest.mark.yosys
def test_control_is_verilators_and_every_value_is_right(small: Model) -> None:
    """Under every pattern: so many times eight images take the cycles, stalls and resets that so many take there."""
    count = 5
    x = images(small, count * LANES)
    for pattern in PATTERNS:
        plain = run_cosim(CosimRequest(small, x[::LANES], stall=pattern, power_on_seeds=(1,)))
        wide = in_lanes(small, x, stall=pattern)
        assert plain.passed
        assert wide.passed, pattern
        assert wide.provenance.lanes == LANES
        for of in ("cycles", "resets", "interval", "input_interval", "latency", "first_output_cycles"):
            assert getattr(wide.timing, of) == getattr(plain.timing, of), (pattern, of)
        assert wide.streams.moments == plain.streams.moments
        for tap, stream in plain.streams.taps.items():
            assert wide.streams.taps[tap].stalled_cycles == stream.stalled_cycles, (pattern, tap)
            assert wide.streams.taps[tap].compared == LANES * stream.compared, (pattern, tap)
        assert wide.streams.output.compared == LANES * plain.streams.output.compared


@pytest.mark.yosys
def test_lanes_without_an_image_count_for_nothing(small: Model) -> None:
    """Of 13 images in 8 lanes three lanes are left: values are counted, and reported, of 13."""
    x = images(small, 13)
    result = in_lanes(small, x)
    assert result.passed
    assert result.verdict.images == 13
    assert {tap: stream.compared for tap, stream in result.streams.taps.items()} == {
        tap: 13 * int(np.prod(small.graph.shapes[tap])) for tap in small.graph.taps
    }


def faulty(folder: Path, file: str, old: str, new: str) -> Path:
    """A copy of the RTL in which a text is another."""
    shutil.copytree(rtl_dir(), folder)
    (path,) = folder.rglob(file)
    text = path.read_text()
    assert text.count(old) == 1
    path.write_text(text.replace(old, new))
    return folder


@pytest.mark.yosys
def test_a_wrong_value_is_found_where_verilator_finds_it(small: Model, tmp_path: Path) -> None:
    """Rounding left out: the first value that differs, how many do at every tap, and where they have their origin."""
    rtl = faulty(tmp_path / "rtl", "requantise.v", " + rounding_bit + ", " + ")
    x = images(small, 11)
    plain = run_cosim(CosimRequest(small, x, rtl=rtl, power_on_seeds=(1,)))
    wide = in_lanes(small, x, rtl=rtl)
    assert not plain.passed
    assert not wide.passed
    for of in ("image", "tap", "index", "expected", "got"):
        assert getattr(wide.verdict.first_mismatch, of) == getattr(plain.verdict.first_mismatch, of)
    for tap, stream in plain.streams.taps.items():
        assert wide.streams.taps[tap].mismatches == stream.mismatches
    assert wide.verdict.origins == plain.verdict.origins


@pytest.mark.yosys
def test_a_design_that_loses_values_fails_as_in_verilator(small: Model, tmp_path: Path) -> None:
    """A FIFO that counts a value less where one enters and one leaves: at the same cycle, for the same reason."""
    rtl = faulty(tmp_path / "rtl", "axis_fifo.v", "else if (pull && !push) stored", "else if (pull) stored")
    x = images(small, 5 * LANES)
    plain = run_cosim(CosimRequest(small, x[::LANES], rtl=rtl, stall="random:1", power_on_seeds=(1,)))
    wide = in_lanes(small, x, rtl=rtl, stall="random:1")
    assert not plain.passed
    assert not wide.passed
    assert wide.timing.cycles == plain.timing.cycles
    assert [fault.kind for fault in wide.verdict.faults] == [fault.kind for fault in plain.verdict.faults]
    assert (wide.verdict.stopped is None) == (plain.verdict.stopped is None)
    if plain.verdict.stopped is not None:
        # Images are counted eight at a time.
        reasons = [re.sub(r"image \d+", "image", of.verdict.stopped.reason) for of in (wide, plain)]
        assert reasons[0] == reasons[1]


@pytest.mark.yosys
def test_control_that_depends_on_data_is_refused_with_its_registers(small: Model, tmp_path: Path) -> None:
    """A register slice that swallows one value: nothing is simulated."""
    old, new = "skid_valid_reg || accepted;", "(skid_valid_reg || accepted) && s_axis_tdata != 8'h7f;"
    rtl = faulty(tmp_path / "rtl", "axis_register.v", old, new)
    with pytest.raises(ToolError, match=r"depends on data: .*output_valid_reg <- .*s_axis_tdata"):
        in_lanes(small, images(small, 3), rtl=rtl)


@dataclass(frozen=True)
class WrongRecords(LaneRecords):
    """Records of which some bytes of some images are expected to have another lowest bit."""

    wrong: tuple[int, ...]
    where: slice

    def records(self, first: int, x: np.ndarray, values: dict[str, np.ndarray]) -> np.ndarray:
        """The records, with those bytes wrong."""
        found = super().records(first, x, values)
        for image in self.wrong:
            record, lane = divmod(image - first, self.lanes)
            if 0 <= record < len(found):
                found[record, 8:].reshape(-1, self.lanes)[self.where, lane] ^= 1
        return found


class WrongSimulator(LanesSimulator):
    """A simulator in lanes that is given such records."""

    def __init__(self, wrong: tuple[int, ...], where: slice) -> None:
        super().__init__(LANES, QUICK)
        self._wrong, self._where = wrong, where

    def records(self, layout: Layout) -> LaneRecords:
        """The records of a layout."""
        return WrongRecords(layout, self.lanes, self._wrong, self._where)


LAST = {"stream": slice(-1, None), "simd": slice(-12, -11)}
"""The last of the small model's 5 scores in a record: the SIMD accelerator's are in a word of 16 bytes."""
BEHIND = {"stream": slice(16 * 12, None), "simd": slice(16 * 16, None)}
"""All in a record that is expected: what is behind the image, of 16 tokens of 12 channels."""


@pytest.mark.yosys
@pytest.mark.parametrize("device", ["stream", pytest.param("simd", marks=pytest.mark.slow)])
def test_a_value_of_one_lane_alone_is_found_there(small: Model, device: str) -> None:
    """Of images in the first, a middle and the last lane, and in a record that is not full: that value, no other."""
    x = images(small, 2 * LANES + 3)
    for image in (0, LANES - 1, LANES + 4, 2 * LANES + 2):
        simulator = WrongSimulator((image,), LAST[device])
        result = run_cosim(CosimRequest(small, x, power_on_seeds=(1,), device=device), simulator=simulator)
        assert not result.passed
        assert result.streams.mismatches == 1
        found = result.verdict.first_mismatch
        assert found is not None
        assert (found.image, found.tap, found.expected) == (image, small.graph.taps[-1], found.got ^ 1)


@pytest.mark.yosys
@pytest.mark.parametrize("device", ["stream", pytest.param("simd", marks=pytest.mark.slow)])
def test_every_value_of_every_tap_is_compared_in_every_lane(small: Model, device: str) -> None:
    """Where all that is expected of an image is wrong, as many values differ at each tap as it has, and no more.

    Images in the first lane, in the last, and in the last record, which is not full; what lies in its empty lanes is
    wrong, too, and counts for nothing.
    """
    count = 2 * LANES + 3
    wrong = (0, LANES - 1, 2 * LANES + 2, count)
    simulator = WrongSimulator(wrong, BEHIND[device])
    request = CosimRequest(small, images(small, count), power_on_seeds=(1,), device=device)
    result = run_cosim(request, simulator=simulator)
    assert not result.passed
    assert result.verdict.images == count
    for tap in small.graph.taps:
        values = int(np.prod(small.graph.shapes[tap]))
        found = result.streams.taps[tap]
        assert (found.compared, found.mismatches) == (count * values, 3 * values), tap
    assert (result.streams.output.compared, result.streams.output.mismatches) == (count * 5, 3 * 5)


@pytest.mark.parametrize("lanes", [0, -1, 1, 257])
def test_a_number_of_lanes_that_there_is_not_is_refused(lanes: int) -> None:
    """None, fewer, one, whose ports are not bytes in a row as the harness takes them, and more than 256."""
    with pytest.raises(StimulusError, match=rf"lanes is {lanes}, expected 2 to 256"):
        LanesSimulator(lanes)


def test_an_accelerator_without_lanes_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """A composed one, were it none that takes them."""
    model = fxsim.load(GOLDEN / "digits_binary.safetensors")
    devices = {name: DEVICES[name] for name in DEVICES.own}
    monkeypatch.setitem(DEVICES._loaded, "composed", replace(devices["composed"], lanes=False))
    with pytest.raises(
        StimulusError, match=r"'composed' is not simulated in lanes, expected one of: stream, simd, des"
    ):
        run_cosim(CosimRequest(model, images(model, 1), device="composed"), simulator=LanesSimulator(2))


# --- The SIMD accelerator --------------------------------------------------------------------------------------------


def on_simd(model: Model, x: np.ndarray, lanes: int | None = None, **options: object) -> CosimResult:
    """A run of the SIMD accelerator, in lanes or Verilator's."""
    asked = {"power_on_seeds": (1,), "device": "simd"} | options
    return run_cosim(CosimRequest(model, x, **asked), simulator=None if lanes is None else LanesSimulator(lanes, QUICK))


JOBS = {
    "none": {}, "random:3": {"batch": 2}, "burst:5": {"batch": 2, "keep": True}, "gap:7": {"batch": 1},
    "random:9+reset:4:3": {"batch": 2}, "error:3:2": {"batch": 2}, "stop:3:4": {}, "aim:2": {"batch": 3},
}  # fmt: skip
"""Stall patterns, and how the images are cut into jobs under them."""


@pytest.mark.slow
@pytest.mark.yosys
def test_control_of_simd_is_verilators_and_every_value_is_right(small: Model) -> None:
    """Under patterns with resets, errors and stops: the cycles, jobs and moments that a fifth of the images take."""
    count = 3
    x = images(small, count * LANES)
    for pattern, settings in JOBS.items():
        plain = on_simd(small, x[::LANES], stall=pattern, settings=settings)
        wide = on_simd(small, x, LANES, stall=pattern, settings=settings)
        assert plain.passed
        assert wide.passed, pattern
        assert wide.provenance.lanes == LANES
        assert wide.verdict.images == count * LANES
        for of in ("cycles", "resets", "interval", "input_interval", "latency", "first_output_cycles"):
            assert getattr(wide.timing, of) == getattr(plain.timing, of), (pattern, of)
        assert wide.figures == plain.figures
        assert wide.streams.moments == plain.streams.moments
        for tap, stream in plain.streams.taps.items():
            assert wide.streams.taps[tap].compared == LANES * stream.compared, (pattern, tap)
        assert wide.streams.output.compared == LANES * plain.streams.output.compared


@pytest.mark.thorough
@pytest.mark.yosys
def test_control_of_simd_that_an_image_reaches_in_one_lane_ends_the_run(small: Model, tmp_path: Path) -> None:
    """Parameters that are read wrong once a word of an image began with 99: where the images agree none is refused."""
    old = "  wire asked = image_id_reg ? image_asked : parameter_asked;\n"
    new = (
        "  reg seen_reg;\n  always @(posedge clk) if (core_rst) seen_reg <= 1'b0;\n"
        "  else if (image_beat && rdata_reg[7:0] == 8'd99) seen_reg <= 1'b1;\n"
    )
    rtl = faulty(tmp_path / "rtl", "simd_memory.v", old, old + new)
    (file,) = rtl.rglob("simd_memory.v")
    text, data = file.read_text(), ".s_axis_tdata(rdata_reg),"
    assert text.count(data) == 1
    file.write_text(text.replace(data, ".s_axis_tdata({rdata_reg[127:1], rdata_reg[0] ^ seen_reg}),"))
    x = np.zeros((2 * LANES, *small.graph.input_shape), np.int8)
    assert on_simd(small, x, LANES, rtl=rtl).passed
    x[LANES + 5, 7, 0] = 99
    wanted = r"'core\.epilogue\.tables\..*memory' is to be the same in all lanes, .* value in lane 5 than in lane 0"
    with pytest.raises(ToolError, match=wanted):
        on_simd(small, x, LANES, rtl=rtl)


SIGNED = f"""title = "lanes"
seed = 7
[models]
small = {{ file = "{GOLDEN}/small.safetensors" }}
[stimuli]
drawn = {{ draw = "uniform", images = 11 }}
[[check]]
kind = "cosim"
name = "wide"
model = "small"
stimulus = "drawn"
images = 11
accelerator = "simd"
lanes = {LANES}
power_on = [1]
[[check]]
kind = "cosim"
name = "plain"
model = "small"
stimulus = "drawn"
images = 2
accelerator = "simd"
power_on = [1]
"""
"""A plan with a check in lanes and one that is not."""


@pytest.mark.slow
@pytest.mark.verilator
@pytest.mark.yosys
def test_sign_off_tells_values_of_lanes_from_verilators(
    small: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check in lanes and one that is not: both pass, and the report counts the values of each."""
    monkeypatch.setattr("fxsim.signoff.simulation.LanesSimulator", lambda lanes: LanesSimulator(lanes, QUICK))
    (tmp_path / "plan.toml").write_text(SIGNED)
    record = run_plan(load_plan(tmp_path / "plan.toml"))
    checks = {check.name: check for check in record.checks}
    assert [check.status for check in checks.values()] == [Status.PASSED, Status.PASSED]
    assert "; in 8 lanes of the netlist, images side by side" in checks["wide"].summary
    assert "lanes" not in checks["plain"].summary
    (wide,), (plain,) = (checks[name].details.of(Simulation) for name in ("wide", "plain"))
    assert (wide.lanes, plain.lanes) == (LANES, 1)
    # The class scores are compared at their tap, and in memory.
    values = sum(int(np.prod(small.graph.shapes[tap])) for tap in small.graph.taps) + 5
    assert (wide.compared, plain.compared) == (11 * values, 2 * values)
    page = render_report(record)
    assert f"{11 * values:,} were simulated in lanes" in page
    assert f"{2 * values:,} by Verilator" in page


@pytest.mark.yosys
@pytest.mark.parametrize(
    ("file", "old", "new", "way"),
    [
        # The class scores are held back where the first of them is 1.
        (
            "simd_memory.v",
            ".result_valid(result_valid),\n      .result_data",
            ".result_valid(result_valid && result_data[7:0] != 8'd1),\n      .result_data",
            r"depends on data: .*core\.image_buffer.*m_axi_rdata",
        ),
        # An image of which a word begins with 1 is loaded a word later.
        (
            "simd_memory.v",
            "image_loaded_reg <= image_loaded_reg + 16'd1;",
            "image_loaded_reg <= image_loaded_reg + {15'd0, rdata_reg[7:0] != 8'd1};",
            r"depends on data: .*memory\.image_loaded_reg <- memory\.rdata_reg <- m_axi_rdata",
        ),
    ],
)
def test_control_of_simd_that_depends_on_an_image_is_refused(
    small: Model, tmp_path: Path, file: str, old: str, new: str, way: str
) -> None:
    """With the registers on the way, before anything is simulated."""
    rtl = faulty(tmp_path / "rtl", file, old, new)
    with pytest.raises((FileError, ToolError), match=way):
        on_simd(small, images(small, 3), LANES, rtl=rtl)
