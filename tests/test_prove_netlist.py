"""Netlists: BTOR2 is read or refused by name, and its plain evaluation is what the Verilog computes."""

import os
import random
from pathlib import Path

import numpy as np
import pytest

from fxsim.errors import FileError, ToolError
from fxsim.paths import rtl_dir
from fxsim.prove import netlist as netlist_module
from fxsim.prove.btor2 import Sort, parse
from fxsim.prove.concrete import Evaluator, compute
from fxsim.prove.kept import keep_text
from fxsim.prove.machine import Machine, constant
from fxsim.prove.netlist import make_netlist
from fxsim.prove.program import make_program
from fxsim.prove.readings import MACROS_OF_VERILATOR
from fxsim.prove.solver import Answer, decide
from fxsim.prove.transition import Unrolled
from fxsim.prove.transition import name as cell_name
from fxsim.simulate.sources import Sources, read_sources
from fxsim.simulate.tools import find_toolchain, program_output

COUNTER = """\
; a counter of what a memory holds at its place
1 sort bitvec 1
2 sort bitvec 4
3 sort array 1 2
4 input 1 enable
5 state 2 count
6 zero 2
7 init 2 5 6
8 state 3 memory
9 slice 1 5 0 0
10 read 2 8 9
11 add 2 5 10
12 ite 2 4 11 5
13 next 2 5 12
14 write 3 8 9 -5
15 next 3 8 14
16 output 11 sum ; rtl/a.v:1
17 uext 2 10 0 u.word
"""


def test_a_text_is_read_and_evaluated_as_it_says() -> None:
    """Cells, states, names of nets and complements; a memory's unknown word stays what it is until it is written."""
    netlist = parse(COUNTER)
    assert [(state.name, netlist.cells[state.cell].sort) for state in netlist.states] == [
        ("count", Sort(4)),
        ("memory", Sort(4, 1)),
    ]
    assert netlist.nets.keys() == {"count", "memory", "enable", "u.word"}
    unknown = iter([9, 3, 5])
    evaluator = Evaluator(netlist, lambda _: next(unknown))
    seen = []
    for enable in (0, 1, 1, 1):
        evaluator.evaluate({"enable": enable})
        seen.append((evaluator.value(netlist.nets["count"]), evaluator.value(netlist.output("sum"))))
        evaluator.tick()
    # By hand: 9 would be the count's, had it no first content.
    # Word 0 is 3, then 15 (~0); count 0, 0, 15; word 1 (of the odd count 15) is 5, then 0; 15 + 5 = 4; word 0 is 15.
    assert seen == [(0, 3), (0, 15), (15, 4), (4, 3)]


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ("11 add 2 5 10", "11 udiv 2 5 10", "line 12: unknown kind 'udiv'"),
        ("11 add 2 5 10", "11 add 1 5 10", "widths of this add do not fit"),
        ("11 add 2 5 10", "11 add 2 5 99", "there is no cell 99"),
        ("11 add 2 5 10", "10 add 2 5 10", "10 is there twice"),
        ("9 slice 1 5 0 0", "9 slice 1 5 4 4", "widths of this slice"),
        ("2 sort bitvec 4", "2 sort bitvec 4000000", "4000000 bits"),
        ("3 sort array 1 2", "3 sort array 3 2", "expected a sort"),
        ("13 next 2 5 12", "13 next 2 6 12", "expected this next"),
        ("17 uext 2 10 0 u.word", "17 bad 4", "line 18"),
        ("17 uext 2 10 0 u.word", "17 constraint 4", "line 18"),
        ("6 zero 2", "6 const 2 10000", "does not fit into 4 bits"),
        ("6 zero 2", "6 const 2 2", "is not a const"),
    ],
)
def test_what_is_malformed_or_unknown_is_refused_with_its_line(before: str, after: str, said: str) -> None:
    """Unknown kinds, wrong widths, missing cells, properties and constraints: one error that names the place."""
    assert before in COUNTER
    with pytest.raises(FileError, match=r"line \d+") as caught:
        parse(COUNTER.replace(before, after))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "operands", "width", "expected"),
    [
        ("add", (15, 2), 4, 1),
        ("sub", (1, 2), 4, 15),
        ("mul", (13, 7), 4, 11),
        ("neg", (3,), 4, 13),
        ("sra", (8, 1), 4, 12),
        ("sra", (8, 9), 4, 15),
        ("srl", (8, 3), 4, 1),
        ("sll", (3, 3), 4, 8),
        ("sll", (3, 15), 4, 0),
        ("ult", (8, 7), 1, 0),
        ("slt", (8, 7), 1, 1),
        ("sgte", (8, 7), 1, 0),
        ("ugte", (8, 8), 1, 1),
        ("redand", (15,), 1, 1),
        ("redand", (14,), 1, 0),
        ("redxor", (7,), 1, 1),
        ("concat", (1, 2), 8, 18),
        ("sext", (8,), 6, 56),
        ("uext", (8,), 6, 8),
        ("xnor", (5, 3), 4, 9),
        ("nand", (5, 3), 4, 14),
        ("nor", (5, 3), 4, 8),
    ],
)
def test_each_kind_of_cell_computes_what_btor2_says(
    kind: str, operands: tuple[int, ...], width: int, expected: int
) -> None:
    """Operands of four bits, results worked out by hand from the format's definition."""
    assert compute(kind, width, 0, list(operands), [4] * len(operands)) == expected


def words(rows: list[list[int]]) -> bytes:
    """ROM contents: a row a line, its first byte the least significant."""
    return "".join("".join(f"{value & 255:02x}" for value in reversed(row)) + "\n" for row in rows).encode()


def test_a_module_with_parameters_and_roms_computes_what_it_should() -> None:
    """The `linear` module with contents of its own: rows of its outputs are those of plain sums, whatever it held."""
    weights, bias, shift = [[3, -5, 127], [-128, 1, 0]], [4, -7], [3, 8]
    files = {
        "w.hex": words(weights),
        "b.hex": words([[value] for value in bias]),
        "s.hex": words([[value] for value in shift]),
    }
    parameters = {"IN": 3, "OUT": 2, "ACC_W": 18, "W_FILE": "w.hex", "B_FILE": "b.hex", "S_FILE": "s.hex"}
    sources = read_sources(rtl_dir())
    made = make_netlist(sources, "linear", parameters, files)
    again = make_netlist(sources, "linear", parameters, files)
    assert (again.cached, again.btor2) == (True, made.btor2)
    other = make_netlist(sources, "linear", parameters, files | {"b.hex": words([[5], [-7]])})
    assert other.sha256 != made.sha256

    rows = np.random.default_rng(5).integers(-128, 128, (4, 3)).tolist()
    expected = []
    for row in rows:
        for w, b, s in zip(weights, bias, shift, strict=True):
            total = sum(x * k for x, k in zip(row, w, strict=True))
            expected.append(max(-128, min(127, (total + (1 << s >> 1) >> s) + b)))
    random_bits = random.Random(6)
    evaluator = Evaluator(made.netlist, random_bits.getrandbits)
    pending, got = [value & 255 for row in rows for value in row], []
    for cycle in range(40):
        inputs = {"clk": 0, "rst": int(cycle == 0), "m_axis_tready": random_bits.getrandbits(1)}
        inputs |= {"s_axis_tdata": pending[0] if pending else 0, "s_axis_tvalid": int(bool(pending) and cycle > 0)}
        evaluator.evaluate(inputs)
        take = {name: evaluator.value(made.netlist.output(name)) for name in made.netlist.outputs}
        if cycle > 0:
            if pending and take["s_axis_tready"]:
                pending.pop(0)
            if take["m_axis_tvalid"] and inputs["m_axis_tready"]:
                got.append((take["m_axis_tdata"] ^ 128) - 128)
        evaluator.tick()
    assert got == expected


@pytest.mark.parametrize("use", ["`ifdef M\n!\n`endif", "`ifndef M\n!\n`endif", "`M"])
def test_a_macro_of_another_file_is_refused(tmp_path: Path, use: str) -> None:
    """Yosys reads files by their names, Verilator the top first: what the top defines is there for one of them."""
    top = b"`define M ~\nmodule x (input wire clk, input wire a, output wire y);\na s (.a(a), .y(y));\nendmodule\n"
    part = f"module a (input wire a, output wire y);\nassign y =\n{use} a;\nendmodule\n".encode()
    with pytest.raises(ToolError, match=r"a\.v:3: 'M' is a macro that x\.v defines, which some tools read before this"):
        make_netlist(Sources(tmp_path, {"a.v": part, "x.v": top}), "x", {}, {})
    joins = b"`define J(a) `a``\n" + part.replace(use.encode(), b"~")
    with pytest.raises(ToolError, match=r"a\.v:1: '``' joins names to what may be another file's macro"):
        make_netlist(Sources(tmp_path, {"a.v": joins, "x.v": top}), "x", {}, {})
    alone = part.replace(b"module a", b"`define M ~\nmodule a")
    make_netlist(Sources(tmp_path, {"a.v": alone, "x.v": top.replace(b"`define M ~\n", b"")}), "x", {}, {})


def test_what_yosys_does_not_take_is_one_line(tmp_path: Path) -> None:
    """A syntax error and a missing ROM file are told in Yosys' words; odd names never reach its script."""
    with pytest.raises(ToolError, match=r"Yosys does not take 'x'.*syntax error"):
        make_netlist(Sources(tmp_path, {"x.v": b"module x (;"}), "x", {}, {})
    with pytest.raises(ToolError, match="Yosys does not take 'linear'"):
        make_netlist(read_sources(rtl_dir()), "linear", {"IN": 3, "OUT": 2}, {})
    with pytest.raises(FileError, match="has a name that Yosys is not given"):
        make_netlist(Sources(tmp_path, {"x y.v": b""}), "x", {}, {})
    with pytest.raises(FileError, match="expected a name"):
        make_netlist(Sources(tmp_path, {"x.v": b""}), "x", {"A": '"; shell'}, {})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("`ifdef YOSYS\nassign y = x;\n`else\nassign y = !x;\n`endif", "x.v:2: 'YOSYS' is a macro"),
        ("`ifndef SYNTHESIS\nassign y = x;\n`else\nassign y = !x;\n`endif", "x.v:2: 'SYNTHESIS' is a macro"),
        ("assign y = x\n// synthesis translate_off\n^ 1\n// synthesis translate_on\n;", "x.v:3: 'translate_off' hides"),
        ("always @(negedge clk) y <= x;", "x.v:2.* is clocked by something else than the rising edge"),
        ("always @(posedge x) y <= clk;", "is clocked by something else than the rising edge of the clock 'clk'"),
        ("always @* if (clk) y = x;", "is a latch"),
        ("`unconnected_drive pull1\nalways @* y = x;", "x.v:2: '`unconnected_drive' connects ports for some tools"),
        ("always @(posedge clk) y <= #1 x;", "x.v:2: '= #' is a delay"),
        ("always @(posedge clk)\n#7 y <= x;", "x.v:3: '\\) #' is a delay"),
        ("and #2 (y, clk, x);", "x.v:2: '#2' is a delay"),
        ("`ifdef SV_COV_OK\nassign y = x;\n`else\nassign y = !x;\n`endif", "x.v:2: 'SV_COV_OK' is a macro"),
        ("`ifdef \\SV_COV_OK \nassign y = x;\n`else\nassign y = !x;\n`endif", "x.v:2: '`ifdef' names a macro by"),
        ("always @* case (1'b1) // synopsys parallel_case\nx: y = 0; clk: y = 1; endcase", "x.v:2: 'parallel_case'"),
        ("`define J(a, b) a``b\nalways @* (* `J(parallel,_case) *) case (1'b1) x: y = 0; clk: y = 1; default: y = 0; "
         "endcase", "x.v:3: 'parallel_case' is an attribute"),
        ("(* init = 1'b1 *) reg z; always @(posedge clk) begin z <= z; y <= z; end", "'init' is an attribute"),
        ("(* gclk *) reg z; always @(posedge z) y <= x;", "x.v:2.* keeps a value without a clock"),
        ("wire z; s s (.z(z)); always @* y = z;\nendmodule\nmodule s ((* defaultvalue = 1'b1 *) input x, output z);\n"
         "assign z = x;", "x.v:4: 'defaultvalue' is an attribute"),
        ("always @(x) y = x & clk;", r"x.v:2: 'always @\(x\)' does not wait for 'clk', which it reads"),
        ("function f(input a); f = a & clk; endfunction\nalways @(x) y = f(x);", "x.v:3: .* does not wait for 'clk'"),
        ("reg z; always @(posedge clk) z = x;\nalways @(posedge clk) y <= z;", "x.v:2: 'z =' sets at an edge what the "
         "process at .*x.v:3 reads"),
        ("wire z; assign z = 0; assign z = 1; always @* y = z;", "'z' is driven by more than one thing"),
        ("wire z; assign z = 0; assign z = 1; always @* y = z ^ x;", "'z' of 'x' is driven by more than one thing"),
        ("wire [1:0] z; assign z[0] = 0; assign z[1:0] = 1; always @* y = z[0];", "is driven by more than one"),
        ("reg z; wire w; always @* z = 0; assign w = 1; assign w = z; always @* y = w;", "is driven by more than one"),
        ("wire z = 0; s s (z); always @* y = z;\nendmodule\nmodule s (input z); assign z = 1;", "driven by more"),
    ],
)  # fmt: skip
def test_what_other_tools_read_as_another_design_has_no_netlist(tmp_path: Path, text: str, told: str) -> None:
    """Code that only some tools see; what is clocked otherwise than a netlist of one clock says. A comment is none."""
    head = "module x (input clk, input x, output reg y); // as with SYNTHESIS"
    with pytest.raises(ToolError, match=told):
        make_netlist(Sources(tmp_path, {"x.v": f"{head}\n{text}\nendmodule".encode()}), "x", {}, {})


def test_what_reads_the_same_to_every_tool_has_a_netlist(tmp_path: Path) -> None:
    """Lists of all that is read, selections among it, variables that a process shares with none; other attributes."""
    text = b"""module x (input clk, input rst, input [3:0] x, output reg y, output reg z, output reg [1:0] v);
      (* keep *) reg [1:0] k; integer i; reg t;
      always @(x or k[0]) begin t = k[0]; y = t & x[3]; end
      always @(posedge clk) begin k = x[1:0]; for (i = 0; i < 2; i = i + 1) v[i] <= k[i]; end
      always @(posedge clk) if (rst) z <= 0; else begin for (i = 0; i < 2; i = i + 1) z <= x[i]; end
    endmodule"""
    assert make_netlist(Sources(tmp_path, {"x.v": text}), "x", {}, {}).netlist.outputs.keys() == {"y", "z", "v"}


def test_every_macro_of_verilator_is_known() -> None:
    """Those that it says it defines, of its own and of the language."""
    verilator = find_toolchain("").verilator
    text = program_output([str(verilator), "-E", "--dump-defines", "--no-timing", os.devnull])
    defined = {line.split()[1] for line in text.splitlines() if line.startswith("`define ")}
    assert "SV_COV_OK" in defined
    assert defined <= set(MACROS_OF_VERILATOR)


def test_nothing_is_known_beyond_a_vector_or_of_a_first_content(tmp_path: Path) -> None:
    """A selection that ends outside is x, too; a register that a reset leaves may hold anything."""
    text = b"""module x (input clk, input [3:0] at, input [9:0] v, output [3:0] y, output z, output reg q);
      assign y = v[at+:4];
      assign z = v[at];
      initial q = 1'b0;
      always @(posedge clk) q <= q;
    endmodule"""
    made = make_netlist(Sources(tmp_path, {"x.v": text}), "x", {}, {})
    assert [state.init for state in made.netlist.states] == [None]
    machine = Machine(make_program(made.netlist))
    places = machine.program.places

    def bits(name: str) -> list[int]:
        return machine.bits[places[made.netlist.output(name)]].tolist()

    for at in range(16):
        machine.put(places[made.netlist.inputs["at"]], constant(at, 4))
        machine.put(places[made.netlist.inputs["v"]], constant(0b1011001110, 10))
        machine.propagate()
        wanted = [0b1011001110 >> at + i & 1 for i in range(4)]
        assert bits("y") == wanted if at <= 6 else max(bits("y")) < 0
        assert bits("z") == wanted[:1] if at <= 9 else max(bits("z")) < 0


BEYOND = b"""module x (input clk, input we, input [3:0] at,
  output [7:0] y, output [7:0] z, output [7:0] w, output same);
  reg [7:0] five [0:4], eight [0:7], high [4:9];
  always @(posedge clk) if (we) begin
    five[at] <= {4'd5, at};
    eight[at] <= {4'd8, at};
    high[at] <= {4'd4, at};
  end
  assign y = five[at];
  assign z = eight[at];
  assign w = high[at];
  assign same = five[at] == five[at];
endmodule"""
INSIDE = {"y": (5, range(5)), "z": (8, range(8)), "w": (4, range(4, 10))}
"""Of each output the upper half of its memory's words, and their numbers."""


def test_nothing_is_kept_or_known_beyond_a_memory(tmp_path: Path) -> None:
    """A write beyond the last word is dropped and changes no other; a read there is unknown, and equals not itself."""
    netlist = make_netlist(Sources(tmp_path, {"x.v": BEYOND}), "x", {}, {}).netlist
    machine = Machine(make_program(netlist))
    draw = random.Random(8)
    evaluator = Evaluator(netlist, draw.getrandbits)
    places = machine.program.places
    seen: dict[tuple[str, int], set[int]] = {}
    for we, times in ((1, 1), (0, 6)):
        for at in [*range(16)] * times:
            machine.put(places[netlist.inputs["at"]], constant(at, 4))
            machine.put(places[netlist.inputs["we"]], constant(we, 1))
            machine.propagate()
            evaluator.evaluate({"at": at, "we": we, "clk": 0})
            for name, (above, inside) in INSIDE.items() if not we else ():
                bits = machine.bits[places[netlist.output(name)]]
                value = evaluator.value(netlist.output(name))
                seen.setdefault((name, at), set()).add(value)
                if at in inside:
                    assert bits.tolist() == constant(above << 4 | at, 8).tolist()
                    assert value == above << 4 | at
                else:
                    assert max(bits) < 0
            machine.tick()
            evaluator.tick()
    # Drawn anew each time: six of a byte are not all alike.
    assert all((len(values) == 1) == (at in INSIDE[name][1]) for (name, at), values in seen.items())
    # To the solver: five[5] need not be five[5], written or not, and five[4] is.
    run = Unrolled(netlist, initial=False)
    for at, equal in ((4, True), (5, False), (13, False)):
        text = run.question([(netlist.output("same"), 1)])
        told = f"(assert (= {cell_name((netlist.inputs['at'], 1))} (_ bv{at} 4)))\n(check-sat)"
        text = text.replace(f"(assert (= {cell_name((netlist.output('same'), 1))} #b1))\n(check-sat)", told)
        differs = f"(assert (= {cell_name((netlist.output('same'), 1))} #b0))\n(check-sat)"
        answer = decide(text.replace("(check-sat)", differs)).answer
        assert answer is (Answer.UNSAT if equal else Answer.SAT)


def test_a_table_is_known_where_every_address_is_inside(tmp_path: Path) -> None:
    """A look-up at a function of one value: by bounds or by trying all; one address beyond, and nothing is known."""
    text = b"""module x (input [7:0] v, output [7:0] y, output [7:0] clamped, output [7:0] beyond, output [7:0] last);
      reg [7:0] r [0:19];
      integer i;
      initial for (i = 0; i < 20; i = i + 1) r[i] = 7 * i;
      wire [4:0] place = {1'b0, v[7:4]} + 5'd4;
      assign y = r[place];
      assign clamped = r[(v[7:4] == 4'd15) ? 5'd19 : place + 5'd1];
      assign beyond = r[place + 5'd1];
      assign last = r[{2'b11, v[7:5]}];
    endmodule"""
    netlist = make_netlist(Sources(tmp_path, {"x.v": text}), "x", {}, {}).netlist
    machine = Machine(make_program(netlist))
    places = machine.program.places
    machine.put(places[netlist.inputs["v"]], machine.variable(0, 8))
    machine.propagate()
    rows = {out: machine.bits[places[netlist.output(out)]] for out in netlist.outputs}
    assert {out: bool((bits < 0).any()) for out, bits in rows.items()} == {
        "y": False,
        "clamped": False,
        "beyond": True,
        "last": True,
    }


def test_words_below_zero_are_refused(tmp_path: Path) -> None:
    """A memory that begins below 0 is named: an address of it is no number of the netlist."""
    text = b"""module x (input clk, input signed [1:0] at, input [7:0] d, output [7:0] y);
      reg [7:0] m [-2:1];
      always @(posedge clk) m[at] <= d;
      assign y = m[at];
    endmodule"""
    with pytest.raises(ToolError, match=r"'m' of rtl/x.v:2.* has words below 0"):
        make_netlist(Sources(tmp_path, {"x.v": text}), "x", {}, {})


def test_a_memory_that_is_written_begins_with_anything(tmp_path: Path) -> None:
    """Its first content counts only where that is asked for; a ROM's counts always."""
    text = b"""module x (input clk, input we, input [7:0] d, output [7:0] written, output [7:0] rom);
      reg [7:0] m [0:3], r [0:3];
      integer i;
      initial for (i = 0; i < 4; i = i + 1) begin m[i] = 5; r[i] = 9; end
      always @(posedge clk) if (we) m[d[1:0]] <= d;
      assign written = m[d[1:0]];
      assign rom = r[d[1:0]];
    endmodule"""
    made = make_netlist(Sources(tmp_path, {"x.v": text}), "x", {}, {})
    for contents in (False, True):
        machine = Machine(make_program(made.netlist, contents=contents))
        places = machine.program.places
        machine.put(places[made.netlist.inputs["d"]], constant(2, 8))
        machine.put(places[made.netlist.inputs["we"]], constant(0, 1))
        machine.propagate()
        written, rom = (machine.bits[places[made.netlist.output(name)]].tolist() for name in ("written", "rom"))
        assert rom == constant(9, 8).tolist()
        assert written == constant(5, 8).tolist() if contents else max(written) < 0


def test_the_version_of_yosys_is_asked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as its program is the same file: it takes longer than many a netlist."""
    asked: list[object] = []
    monkeypatch.setattr(netlist_module, "program_output", lambda words, **_: asked.append(words) or "Yosys 1.0")
    netlist_module._version.cache_clear()
    try:
        assert [netlist_module.find_yosys()[1] for _ in range(3)] == ["Yosys 1.0"] * 3
    finally:
        netlist_module._version.cache_clear()
    assert len(asked) == 1


def test_netlists_are_bounded_by_their_bytes(tmp_path: Path) -> None:
    """Those of several models' modules stay together; the oldest go where they are too large together."""
    for number in range(100):
        keep_text(tmp_path / f"{number:03}.btor", "x" * 100, netlist_module.ENTRIES_MAX, 1 << 20)
        os.utime(tmp_path / f"{number:03}.btor", (number, number))
    assert len(list(tmp_path.glob("*.btor"))) == 100
    keep_text(tmp_path / "last.btor", "x" * 100, netlist_module.ENTRIES_MAX, 1000)
    assert sorted(path.name for path in tmp_path.glob("*.btor")) == [
        "096.btor",
        "097.btor",
        "098.btor",
        "099.btor",
        "last.btor",
    ]
