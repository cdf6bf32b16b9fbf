"""`python -m benchmarks explain --rtl`: every fault that one can put into the RTL, and what `fxsim diff` calls it.

All faults stand in one copy of the streaming accelerator; a memory file that it reads when it starts says which one it
has, so that it is built once. Faults of contents are other ROM files of the same build.
"""

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fxsim import temporary
from fxsim.contract import TableRule, expand_table
from fxsim.contract.arithmetic import Integers
from fxsim.cosim import CosimRequest, run_cosim
from fxsim.cosim.four_state import four_state
from fxsim.cosim.replay import keep, keep_four_state
from fxsim.devices.stream.roms import rtl_parameters, stream_order, write_roms
from fxsim.errors import FxsimError
from fxsim.explain import Diff, diff
from fxsim.explain.inject import Outcome
from fxsim.explain.result import UNEXPLAINED, Fault
from fxsim.formats import load
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Axis
from fxsim.paths import golden_dir, rtl_dir, verilog_files
from fxsim.traces import open_trace
from fxsim.traces.kept import Given, read_kept

REQUANTISE, SEGMENT, TABLE, POOL, ADD, LINEAR = (
    "lib/requantise.v", "lib/segment_step.v", "stream/activation_table.v", "stream/pool.v", "lib/saturating_add.v",
    "stream/linear.v",
)  # fmt: skip
Change = tuple[str, str, str]
"""A file of the Verilog, an expression that stands there once, and what takes its place."""


@dataclass(frozen=True)
class RtlFault:
    """A fault in the RTL: what an explanation should call it, what is changed, and where `declare` adds wires.

    `roms`: of a model, that whose ROM files the design gets; `of`: that which it is compared with, in place of the
    design's own. `images`: so many are simulated. `hidden`: taps that the trace is then without. `unknown`: bits that
    nobody knows, so that it is simulated in four states. `note`: what an engineer would have done. `also`: named
    contracts that are this very rule, by which a tap with too few wrong values is called where the whole trace is one.
    """

    label: str
    note: str
    changes: tuple[Change, ...] = ()
    declare: tuple[str, str] | None = None
    roms: Callable[[Model], Model] | None = None
    of: Callable[[Model], Model] | None = None
    images: int = 4
    hidden: tuple[str, ...] = ()
    unknown: tuple[str, str] | None = None
    also: tuple[str, ...] = ()


_WIDE = "appended >>> shift"
_HALF = "wide[0]"
_SIGN = "{negative, {7{!negative}}}"
_STICKY = (
    REQUANTISE,
    "wire sticky = |(acc & ((shift == 8'd0) ? {ACC_W{1'b0}} :"
    " (({{(ACC_W - 1) {1'b0}}, 1'b1} << (shift - 8'd1)) - 1'b1)));",
)
_POOL_HALF = "{7'd0, total[TOKEN_W-1]}"
_START = "(TABLE_RULE == CLAMP && in_last_segment[n]) ? LAST_SEGMENT : own"
_TFLITE = (
    REQUANTISE,
    "wire signed [47:0] tf_sum = $signed({{(48 - ACC_W) {acc[ACC_W-1]}}, acc})"
    " + ($signed({{40{bias[7]}}, bias}) <<< shift);\n"
    "  wire signed [47:0] tf_high = (tf_sum + 48'sd1) >>> 1;\n"
    "  wire [7:0] tf_left = shift - 8'd1;\n"
    "  wire signed [47:0] tf_add = (48'sd1 <<< (tf_left - 8'd1)) - (tf_high < 0 ? 48'sd1 : 48'sd0);\n"
    "  wire signed [47:0] tf_cut = (tf_left == 8'd0) ? tf_high : ((tf_high + tf_add) >>> tf_left);\n"
    "  wire [7:0] tf_y = (tf_cut > 48'sd127) ? 8'h7f : (tf_cut < -48'sd128) ? 8'h80 : tf_cut[7:0];",
)
_AWAY = (
    REQUANTISE,
    "wire signed [47:0] away_sum = $signed({{(48 - ACC_W) {acc[ACC_W-1]}}, acc})"
    " + ($signed({{40{bias[7]}}, bias}) <<< shift);\n"
    "  wire signed [47:0] away_add = (48'sd1 <<< (shift - 8'd1)) - (away_sum < 0 ? 48'sd1 : 48'sd0);\n"
    "  wire signed [47:0] away_cut = (shift == 8'd0) ? away_sum : ((away_sum + away_add) >>> shift);\n"
    "  wire [7:0] away_y = (away_cut > 48'sd127) ? 8'h7f : (away_cut < -48'sd128) ? 8'h80 : away_cut[7:0];",
)


_AT_ONCE = (
    (
        "      shift_clip #(\n          .ACC_W(SUM_W)\n      ) shift_sum (\n"
        "          .acc(sum[SUM_W*n+:SUM_W]),\n          .shift(shift_reg[8*n+:8]),\n"
        "          .y(shifted[10*n+:10])\n      );",
        "      assign shifted[10*n+8+:2] = 2'd0;\n"
        "      requantise #(\n          .ACC_W(SUM_W)\n      ) requantise_sum (\n"
        "          .acc(sum[SUM_W*n+:SUM_W]),\n          .shift(shift_reg[8*n+:8]),\n"
        "          .bias(bias_reg[8*n+:8]),\n          .y(shifted[10*n+:8])\n      );",
    ),
    (
        "      requantise #(\n          .ACC_W(10)\n      ) requantise_shifted (\n"
        "          .acc(shifted_reg[10*n+:10]),\n          .shift(8'd1),\n"
        "          .bias(shifted_bias_reg[8*n+:8]),\n          .y(y[8*n+:8])\n      );",
        "      assign y[8*n+:8] = shifted_reg[10*n+:8];",
    ),
)
"""What makes `linear` requantise its sums in the first of its two stages, by `requantise` alone.

So a fault there meets whole sums with their own shifts.
"""


def _requantise(label: str, note: str, old: str, new: str) -> RtlFault:
    return RtlFault(label, note, ((REQUANTISE, old, new),))


def _table(label: str, note: str, *changes: tuple[str, str]) -> RtlFault:
    return RtlFault(label, note, tuple((TABLE, old, new) for old, new in changes))


def _faults() -> Iterator[RtlFault]:
    """Every fault, those of the text of the Verilog first."""
    roundings = {
        "floor": "1'b0", "ceiling": "(wide[0] || sticky)", "toward_zero": "(acc[ACC_W-1] && (wide[0] || sticky))",
        "half_even": "(wide[0] && (sticky || wide[1]))", "half_away": "(wide[0] && (sticky || !acc[ACC_W-1]))",
        "half_down": "(wide[0] && sticky)", "half_toward_zero": "(wide[0] && (sticky || acc[ACC_W-1]))",
    }  # fmt: skip
    modes = {
        "half_even": "rnd_conv",
        "half_away": "rnd_inf",
        "half_down": "rnd_min_inf",
        "half_toward_zero": "rnd_zero",
    }
    for name, bit in roundings.items():
        change = (REQUANTISE, _HALF, bit)
        also = (f"contract_ap_{modes[name]}_sat_bias_after",) if name in modes else ()
        yield RtlFault(f"rounding_{name}", "the rounding bit of every sum", (change,), _STICKY, also=also)
    yield _requantise(
        "double_rounding", "sums rounded after two bits, then again", _WIDE,
        "(((appended >>> 3) + $signed({1'b0, acc[1]})) <<< 1) >>> (shift - 8'd2)",
    )  # fmt: skip
    yield _requantise(
        "rounding_floor",
        "the rounding bit of every sum, in channels with an odd shift",
        _HALF,
        "(wide[0] && !shift[0])",
    )
    bias = "{{(SUM_W - 8) {bias[7]}}, bias}"
    yield _requantise("bias_dropped", "no bias", bias, "{SUM_W{1'b0}}")
    yield RtlFault(
        "bias_in_accumulator", "the bias added to the sum, unscaled",
        (
            (REQUANTISE, bias, "{SUM_W{1'b0}}"),
            (REQUANTISE, "{acc, 1'b0}", "{acc + {{(ACC_W - 8) {bias[7]}}, bias}, 1'b0}"),
        ),
    )  # fmt: skip
    yield _requantise("shift_plus_one", "one more", _WIDE, "appended >>> (shift + 8'd1)")
    yield _requantise("shift_minus_one", "one less", _WIDE, "appended >>> (shift - 8'd1)")
    yield _requantise("shift_logical", "`>>` for `>>>`", _WIDE, "$signed($unsigned(appended) >> shift)")
    yield _requantise("saturation_wrap", "no saturation", f"fits ? sum[7:0] : {_SIGN}", "sum[7:0]")
    yield _requantise(
        "saturation_limits", "-127 for -128", f"fits ? sum[7:0] : {_SIGN}",
        "(fits && sum[7:0] != 8'h80) ? sum[7:0] : {negative, {6{!negative}}, 1'b1}",
    )  # fmt: skip
    yield _requantise(
        "saturation_unsigned", "0 to 255, in eight bits that are read as int8", f"fits ? sum[7:0] : {_SIGN}",
        "negative ? 8'd0 : (|sum[SUM_W-1:8]) ? 8'hff : sum[7:0]",
    )  # fmt: skip
    yield _requantise(
        "accumulator_width", "sums kept to 12 bits", "{acc, 1'b0}", "{{(ACC_W - 12) {acc[11]}}, acc[11:0], 1'b0}"
    )
    rounded = "quotient_extended + rounding_bit"
    yield _requantise(
        "relu_before_bias", "a rectifier before the bias", f"{rounded} + bias_extended",
        f"(($signed({rounded}) < 0) ? {{SUM_W{{1'b0}}}} : {rounded}) + bias_extended",
    )  # fmt: skip
    # Its averages are ours, as gemmlowp, which has none of its own, has them.
    yield RtlFault(
        "contract_tflite_reference", "TensorFlow Lite's double rounding",
        ((REQUANTISE, f"fits ? sum[7:0] : {_SIGN}", "tf_y"),), _TFLITE, also=("contract_gemmlowp",),
    )  # fmt: skip
    yield RtlFault(
        "bias_before_shift+rounding_half_away", "the bias added to the sum at its scale, then half away from zero",
        ((REQUANTISE, f"fits ? sum[7:0] : {_SIGN}", "away_y"),), _AWAY,
        also=("contract_litert_reference", "contract_ap_rnd_inf_sat"),
    )  # fmt: skip
    yield RtlFault(
        "weights_unsigned", "weights without sign",
        (
            ("stream/dot_product.v", "x_lane * w_lane", "x_lane * $signed({1'b0, w[8*k+:8]})"),
            ("lib/affine_lane.v", "{{8{w[7]}}, w}", "{8'd0, w}"),
        ),
    )  # fmt: skip
    for name, bit in {
        "floor": "1'b0", "ceiling": "(|product[FRAC_W-1:0])",
        "toward_zero": "(difference[DIFFERENCE_W-1] && |product[FRAC_W-1:0])",
        "half_even": "(product[FRAC_W-1] && (product[FRAC_W] || |product[FRAC_W-2:0]))",
        "half_away": "(product[FRAC_W-1] && (!difference[DIFFERENCE_W-1] || |product[FRAC_W-2:0]))",
        "half_down": "(product[FRAC_W-1] && |product[FRAC_W-2:0])",
        "half_toward_zero": "(product[FRAC_W-1] && (difference[DIFFERENCE_W-1] || |product[FRAC_W-2:0]))",
    }.items():  # fmt: skip
        change = (SEGMENT, "product[FRAC_W-1]", bit)
        yield RtlFault(f"rounding_{name}", "the rounding bit of an interpolation", (change,))
    yield RtlFault(
        "lut_no_interpolation",
        "the segment's start",
        ((TABLE, "start_reg[8*n+:8] + own_step[8:1] + {7'd0, own_step[0]}", "start_reg[8*n+:8]"),),
    )
    yield RtlFault(
        "lut_fraction_signed", "the fraction's first bit is a sign",
        ((SEGMENT, "{1'b0, frac}", "{frac[FRAC_W-1], frac}"),),
    )  # fmt: skip
    yield _table(
        "lut_fraction_width", "one bit of the fraction",
        ("index[8*n+:FRAC_W]", "{index[8*n+FRAC_W-1], {(FRAC_W - 1) {1'b0}}}"),
    )  # fmt: skip
    yield _table("lut_segment_plus_one", "one on", (_START, "(own >= LAST_SEGMENT) ? LAST_SEGMENT : own + 1'b1"))
    yield _table("lut_segment_minus_one", "one back", (_START, "(own == {POINT_W{1'b0}}) ? own : own - 1'b1"))
    same = "TABLE_RULE == HOLD && in_last_segment[n]"
    yield _table("lut_edge_hold", "hold for clamp", (_START, "own"), (same, "in_last_segment[n]"))
    yield _table("lut_overrun", "no rule of the last segment", (_START, "own"))
    yield _table(
        "lut_edge_endpoint", "a point behind the last", (_START, "own"),
        ("points[end_address[", "in_last_segment[n] ? 8'd77 : points[end_address["),
    )  # fmt: skip
    index = "{!s_axis_tdata[8*n+7], s_axis_tdata[8*n+:7]}"
    yield _table("lut_index_offset", "no 128 added", (index, "s_axis_tdata[8*n+:8]"))
    yield _table("lut_index_offset", "127 added", (index, f"{index} - 8'd1"))
    limited = "fits ? sum[7:0] : {negative, {7{!negative}}}"
    total = "{x[7], x} + {r[7], r}"
    yield RtlFault("add_unsaturated_wrap", "no saturation", ((ADD, limited, "sum[7:0]"),))
    yield RtlFault(
        "saturation_limits", "-127 for -128, of sums of two",
        ((ADD, limited, "(fits && sum[7:0] != 8'h80) ? sum[7:0] : {negative, {6{!negative}}, 1'b1}"),),
    )  # fmt: skip
    yield RtlFault("residual_dropped", "the residual left out", ((ADD, total, "{x[7], x}"),))
    yield RtlFault("residual_dropped", "the main path left out", ((ADD, total, "{r[7], r}"),))
    average = f"total[SUM_W-1:TOKEN_W] + {_POOL_HALF}"
    yield RtlFault("rounding_floor", "the rounding bit of an average", ((POOL, average, "total[SUM_W-1:TOKEN_W]"),))
    yield RtlFault(
        "shift_plus_one", "of an average",
        ((POOL, average, "{total[SUM_W-1], total[SUM_W-1:TOKEN_W+1]} + {7'd0, total[TOKEN_W]}"),),
    )  # fmt: skip
    yield RtlFault(
        "accumulator_width", "an average's sum kept to 9 bits",
        ((POOL, average, "{{(SUM_W - 9) {total[8]}}, total[8:TOKEN_W]} + {7'd0, total[TOKEN_W-1]}"),),
    )  # fmt: skip
    change = ("stream/add.v", "free && both", "free && both && y != 8'd13")
    yield RtlFault("stale_value", "a register that one value does not load", (change,))
    transpose = "stream/transpose.v"
    yield RtlFault(
        "operand_transposed", "a transposition that is none",
        (
            (transpose, "memory[read_place]", "memory[read_index_reg]"),
            (transpose, "write_index_reg > read_element_reg", "1'b0"),
        ),
        images=1,
    )  # fmt: skip
    yield RtlFault(
        "lane_swapped", "neighbouring bytes exchanged",
        (
            (transpose, "memory[read_place]", "memory[read_place ^ ONE]"),
            (transpose, "write_index_reg > read_element_reg", "1'b0"),
        ),
        images=1,
    )  # fmt: skip
    yield from _contents()


def _contents() -> Iterator[RtlFault]:
    """Faults of what the ROMs hold."""
    linear, mixer, table = "blocks.0.mlp.linear_1", "blocks.1.token_mixer.linear", "blocks.0.mlp.psa_2"

    def changed(node: str, **fields: Callable[[Any], Any]) -> Callable[[Model], Model]:
        return lambda model: _with(model, node, fields)

    yield RtlFault("weights_transposed", "rows for columns", roms=changed(mixer, weight=lambda w: w.T))
    yield RtlFault(
        "weight_corrupted", "one weight", roms=changed(linear, weight=lambda w: _at(w, (3, 4), w[3, 4] ^ 0x51))
    )
    yield RtlFault(
        "product_dropped", "the last product of every sum",
        roms=changed(linear, weight=lambda w: np.where(np.arange(w.shape[1]) == w.shape[1] - 1, 0, w).astype(w.dtype)),
    )  # fmt: skip
    yield RtlFault("bias_wrong_channel", "the bias before", roms=changed(mixer, bias=lambda b: np.roll(b, 1)))
    yield RtlFault(
        "channels_shifted", "rows one on", roms=_in_another_order(linear, lambda n: np.roll(np.arange(n), 1))
    )
    backwards = _in_another_order(linear, lambda n: np.arange(n)[::-1])
    yield RtlFault("channels_reversed", "rows from the last to the first", roms=backwards)
    yield RtlFault(
        "tokens_shifted", "rows over tokens one on", roms=_in_another_order(mixer, lambda n: np.roll(np.arange(n), 1))
    )  # fmt: skip
    yield RtlFault("bias_corrupted", "one bias", roms=changed(linear, bias=lambda b: _at(b, (5,), b[5] ^ 0x0C)))
    yield RtlFault("shift_wrong_channel", "one shift", roms=changed(linear, shift=lambda s: _at(s, (2,), s[2] + 2)))
    yield RtlFault("lut_corrupted", "one point", roms=changed(table, table=lambda t: _at(t, (6, 7), t[6, 7] ^ 0x2A)))
    yield RtlFault("lut_resampled", "points of full tables", of=_full)
    skipped = "blocks.0.mlp.res_affine"
    ones: dict[str, Callable[[Any], Any]] = {
        "weight": lambda w: np.full_like(w, 64),
        "shift": lambda s: np.full_like(s, 6),
        "bias": np.zeros_like,
    }
    yield RtlFault(
        "residual_affine_skipped", "an affine that changes nothing, not probed",
        roms=lambda model: _with(model, skipped, ones), hidden=(skipped,),
    )  # fmt: skip
    yield RtlFault("unknown_bits", "points of a ROM", unknown=("block00_mlp_psa_1_t.hex", "xx"), images=1)
    rng = np.random.default_rng(7)
    yield RtlFault(
        UNEXPLAINED, "random tables",
        roms=changed(table, table=lambda t: rng.integers(-128, 128, t.shape).astype(np.int8)),
    )  # fmt: skip
    yield RtlFault(
        UNEXPLAINED, "a rounding bit of two sums",
        ((REQUANTISE, _HALF, "(wide[0] ^ (acc[2:0] == 3'd5))"),),
    )  # fmt: skip


def _at(array: Any, place: tuple[int, ...], value: Any) -> Any:
    changed = array.copy()
    changed[place] = value
    return changed


def _in_another_order(node: str, order: Callable[[int], Any]) -> Callable[[Model], Model]:
    """The model with a linear's rows, whole, in another order: so are its results."""

    def moved(model: Model) -> Model:
        op: Any = model.graph.by_name[node].op
        index = order(len(op.shift))
        fields: dict[str, Callable[[Any], Any]] = {
            name: lambda array: np.ascontiguousarray(array[index]) for name in ("weight", "bias", "shift")
        }
        return _with(model, node, fields)

    return moved


def _with(model: Model, name: str, fields: dict[str, Callable[[Any], Any]]) -> Model:
    """The model with other tensors at a node."""
    nodes = []
    for node in model.graph.nodes:
        op: Any = node.op
        if node.name == name:
            op = replace(op, **{field: make(getattr(op, field)) for field, make in fields.items()})
        nodes.append(Node(node.name, op, node.inputs))
    return Model(Graph(model.graph.input, tuple(nodes)), model.name)


def _full(model: Model) -> Model:
    """A model with full tables of which the given one's are points."""
    rng = np.random.default_rng(9)
    nodes = []
    for node in model.graph.nodes:
        op: Any = node.op
        if node.name.endswith("psa_1"):
            full = expand_table(op.table, op.rule, op.number)
            curved = np.clip(full + rng.integers(-9, 10, full.shape), -128, 127).astype(np.int8)
            curved[:, :: 256 // op.points] = full[:, :: 256 // op.points]
            curved[:, -(256 // op.points)] = op.table[:, -1]
            op = replace(op, table=curved, rule=TableRule.FULL)
        nodes.append(Node(node.name, op, node.inputs))
    return Model(Graph(model.graph.input, tuple(nodes)), f"{model.name}_full")


FAULTS = tuple(_faults())
RECTIFIER = RtlFault(
    "relu_missing", "no rectifier", (("stream/relu.v", "s_axis_tdata[7] ? 8'd0 : s_axis_tdata", "s_axis_tdata"),)
)
"""A fault that a model with tables has no place for."""


def _described(model: Model, folder: Path) -> Path:
    """The accelerator's Verilog in a folder, and its description there; ROM files are to be written, not made by it."""
    names = [name for name in verilog_files(rtl_dir()) if name.split("/")[0] in ("lib", "stream")]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(verilog_files(rtl_dir())[name], folder / name)
    lines = [
        'top = "stream_resmlp"',
        f"sources = [{', '.join(repr(name) for name in names)}]",
        'files = ["*.hex"]',
        f"parameters = {{ {', '.join(f'{name} = {value}' for name, value in rtl_parameters(model).items())} }}",
        'clock = "clk"',
        'reset = { signal = "rst" }',
        '[[stream]]\nrole = "input"\nprefix = "s_axis"',
        '[[stream]]\nrole = "output"\nprefix = "m_axis"',
    ]
    for i, tap in enumerate(model.graph.taps):
        signals = f'data = "mon_data[{8 * i + 7}:{8 * i}]"\nvalid = "mon_valid[{i}]"\nready = "mon_ready[{i}]"'
        order = '\norder = ["channel", "token"]' if stream_order(model, tap) is Axis.CHANNELS else ""
        lines.append(f'[[tap]]\nname = "{tap}"\n{signals}{order}')
    path = folder / "stream.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def requantise_at_once(folder: Path) -> None:
    """Let `linear` in the Verilog of a folder requantise in one stage. FxsimError where its text is another one."""
    linear = (folder / LINEAR).read_text(encoding="utf-8")
    for old, new in _AT_ONCE:
        if linear.count(old) != 1:
            raise FxsimError(f"rtl/{LINEAR} has {old!r} {linear.count(old)} times, expected once")
        linear = linear.replace(old, new)
    (folder / LINEAR).write_text(linear, encoding="utf-8")


def put_in(folder: Path, faults: Iterable[RtlFault]) -> None:
    """Put faults into the Verilog of a folder; `fault.hex` there says which, counted from 1, it has (0: none)."""
    places: dict[tuple[str, str], list[tuple[int, str]]] = {}
    declared: dict[str, list[str]] = {}
    for number, fault in enumerate(faults, 1):
        for file, old, new in fault.changes:
            places.setdefault((file, old), []).append((number, new))
        if fault.declare is not None and fault.declare[1] not in declared.setdefault(fault.declare[0], []):
            declared[fault.declare[0]].append(fault.declare[1])
    texts = {file: (folder / file).read_text(encoding="utf-8") for file in {file for file, _ in places}}
    for file, old in places:
        if texts[file].count(old) != 1:
            raise FxsimError(f"rtl/{file} has {old!r} {texts[file].count(old)} times, expected once")
    for (file, old), news in places.items():
        text = f"({old})"
        for number, new in news:
            text = f"((fault == 8'd{number}) ? ({new}) : {text})"
        texts[file] = texts[file].replace(old, text)
    for file, text in texts.items():
        head, rest = text.split(");\n", 1)
        told = 'reg [7:0] told[0:0];\n  initial $readmemh("fault.hex", told);\n  wire [7:0] fault = told[0];'
        own = "\n  ".join([told, *declared.get(file, [])])
        (folder / file).write_text(f"{head});\n  {own}\n{rest}", encoding="utf-8")


class Named(NamedTuple):
    """A fault in the RTL, and what each faulty tap was called: `taps`, by outcome; `labels`, by what was called."""

    label: str
    note: str
    values: int
    outcomes: Counter[Outcome]
    labels: Counter[str]


class Bench:
    """The streaming accelerator of a model in a folder, with faults to choose from."""

    def __init__(self, model: Model, x: Integers, faults: Iterable[RtlFault], folder: Path) -> None:
        self.model, self.x, self.faults, self.folder = model, x, tuple(faults), folder
        (folder / "rtl").mkdir()
        self.dut = _described(model, folder / "rtl")
        requantise_at_once(folder / "rtl")
        put_in(folder / "rtl", self.faults)

    def run(self, number: int, in_four_states: bool = False) -> Named:
        """Simulate fault `number` (from 0), keep the failure, and explain it."""
        fault, rtl = self.faults[number], self.folder / "rtl"
        write_roms(self.model if fault.roms is None else fault.roms(self.model), rtl)
        (rtl / "fault.hex").write_text(f"{number + 1 if fault.changes else 0:x}\n", encoding="ascii")
        if fault.unknown is not None:
            file, word = fault.unknown
            lines = (rtl / file).read_text(encoding="ascii").splitlines()
            lines[5::16] = [word] * len(lines[5::16])
            (rtl / file).write_text("\n".join(lines) + "\n", encoding="ascii")
        reference = self.model if fault.of is None else fault.of(self.model)
        kept = self.folder / f"kept{number}"
        self._simulate(reference, self.x[: fault.images], kept, in_four_states or fault.unknown is not None)
        found = explained(kept, fault.hidden)
        shutil.rmtree(kept)
        return Named(
            fault.label, fault.note, sum(one.values_differing for one in found.faults),
            Counter(_outcome(fault, one) for one in found.faults), Counter(one.label for one in found.faults),
        )  # fmt: skip

    def _simulate(self, model: Model, x: Integers, kept: Path, in_four_states: bool) -> None:
        given: list[Given] = []
        settings = {"dut": str(self.dut)}
        if in_four_states:
            unsure = four_state(
                model, x, accel="described", settings=settings, images=(0, len(x)), stalls=(0,), given=given.append
            )
            if given:
                keep_four_state(kept, unsure, model, x, None, given[0])
        else:
            request = CosimRequest(model, x, "described", settings, power_on_seeds=(1,), optimise="-O0")
            result = run_cosim(request, given=given.append)
            if given:
                keep(kept, result, model, x, None, given[0])
        if not given:
            raise FxsimError(f"{model.name}: the fault changed no value, expected one that is seen")


def explained(kept: Path, hidden: Iterable[str] = ()) -> Diff:
    """The result of `fxsim diff` of a kept folder, from which some taps are taken away."""
    files = read_kept(kept)
    for tap in hidden:
        (files.trace / f"{tap}.npy").unlink()
    model = load(files.model)
    x = np.load(files.stimulus, allow_pickle=False)
    source = open_trace(files.trace, None, model, x)
    return diff(model, x, source.values(slice(0, len(x)), source.taps))


def _outcome(fault: RtlFault, found: Fault) -> Outcome:
    if found.label in (fault.label, *fault.also):
        return Outcome.NAMED
    if found.label == UNEXPLAINED:
        return Outcome.UNEXPLAINED
    own = {fault.label, *fault.also} & {*found.alternatives}
    return Outcome.ALTERNATIVE if own else Outcome.MISNAMED


def explain_rtl(seed: int, images: int, progress: Callable[[int, int], None]) -> list[Named]:
    """Every fault in the RTL of the golden model `small`, and a rectifier's in that of `small_relu`, explained."""
    found: list[Named] = []
    for name, faults in (("small", FAULTS), ("small_relu", (RECTIFIER,))):
        model = load(golden_dir() / f"{name}.safetensors")
        x = np.random.default_rng(seed).integers(-128, 128, (images, *model.graph.input_shape)).astype(np.int8)
        with temporary.folder("explain") as folder:
            bench = Bench(model, x, faults, folder)
            for number in range(len(faults)):
                progress(len(found), len(FAULTS) + 1)
                found.append(bench.run(number))
    return found
