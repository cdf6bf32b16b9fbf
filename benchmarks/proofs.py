"""`python -m benchmarks proofs`: faults put into the streaming accelerator's RTL, and what a proof says of each.

Of two small models. A fault that is `refuted` was shown by an image in simulation; one that is `proved` computes the
same for every image of the run, which is then what simulation of some images must find, too; `unproved` ones are wrong
as a function of the taps before, for values that no simulated image had.
"""

import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from fxsim import temporary
from fxsim.contract import TableRule
from fxsim.families import ResMLPConfig
from fxsim.families.random import generate_model
from fxsim.graph import Model
from fxsim.paths import rtl_dir
from fxsim.prove.blocks import PROVED
from fxsim.prove.run import ProofRequest, prove


class Change(NamedTuple):
    """A fault: what it is of, the file, and the text that takes another's place; of which model it is shown."""

    kind: str
    file: str
    before: str
    after: str
    psa: bool = True


_REQUANTISE, _LINEAR, _TABLE = "lib/requantise.v", "stream/linear.v", "stream/activation_table.v"
_TRANSPOSE, _FIFO, _POOL, _DOT = "stream/transpose.v", "lib/axis_fifo.v", "stream/pool.v", "stream/dot_product.v"
CHANGES = (
    Change(
        "rounding", _REQUANTISE,
        "quotient_extended + rounding_bit + bias_extended",
        "quotient_extended + bias_extended",
    ),
    Change("rounding", "lib/interpolate.v", " + {{(STEP_W - 1) {1'b0}}, product[FRAC_W-1]}", ""),
    Change("rounding", _POOL, " + {7'd0, sum[TOKEN_W-1]}", ""),
    Change("bias", _REQUANTISE, "rounding_bit + bias_extended", "rounding_bit - bias_extended"),
    Change("bias", _REQUANTISE, "{(SUM_W - 8) {bias[7]}}", "{(SUM_W - 8) {1'b0}}"),
    Change(
        "saturation", _REQUANTISE,
        "sum[SUM_W-1:7] == {HIGH_W{negative}}",
        "sum[SUM_W-1:8] == {(HIGH_W-1){negative}}",
    ),
    Change("saturation", _REQUANTISE, "{negative, {7{!negative}}}", "{negative, {7{1'b1}}}"),
    Change("saturation", _REQUANTISE, "{negative, {7{!negative}}}", "8'h7f"),
    Change("saturation", "lib/saturating_add.v", "negative == sum[SUM_W-2]", "1'b1"),
    Change("sign", _REQUANTISE, "appended >>> shift", "appended >> shift"),
    Change("sign", "lib/saturating_add.v", "{x[7], x}", "{1'b0, x}"),
    Change("sign", "lib/saturating_add.v", "{r[7], r}", "{1'b0, r}"),
    Change("sign", "lib/affine_lane.v", "{{8{w[7]}}, w}", "{{8{1'b0}}, w}"),
    Change("sign", "lib/affine_lane.v", "{{8{x[7]}}, x}", "{{8{1'b0}}, x}"),
    Change("sign", _DOT, "wire signed [7:0] w_lane", "wire [7:0] w_lane"),
    Change("sign", _DOT, "wire signed [7:0] x_lane", "wire [7:0] x_lane"),
    Change(
        "sign", "lib/interpolate.v",
        "{{(PRODUCT_W - DIFFERENCE_W) {difference[DIFFERENCE_W-1]}}",
        "{{(PRODUCT_W - DIFFERENCE_W) {1'b0}}",
    ),
    Change("sign", _POOL, "{{TOKEN_W{s_axis_tdata[7]}}", "{{TOKEN_W{1'b0}}"),
    Change("sign", "stream/relu.v", "s_axis_tdata[7] ? 8'd0", "s_axis_tdata[6] ? 8'd0", psa=False),
    Change("width", _DOT, "reg signed [ACC_W-1:0] value_reg;", "reg signed [14:0] value_reg;"),
    Change("width", _DOT, "reg signed [ACC_W-1:0] value_reg;", "reg signed [ACC_W-2:0] value_reg;"),
    Change("width", _POOL, "reg [SUM_W-1:0] sums", "reg [SUM_W-2:0] sums"),
    Change("operation", _DOT, "x_lane * w_lane", "x_lane * w_lane + 1"),
    Change("operation", "stream/relu.v", "8'd0 : s_axis_tdata", "8'd1 : s_axis_tdata", psa=False),
    Change("shift", _LINEAR, "shift_reg <= shifts[bias_fetch_reg]", "shift_reg <= shifts[0]"),
    Change("index", _LINEAR, "bias_reg  <= biases[bias_fetch_reg]", "bias_reg  <= biases[weight_fetch_reg]"),
    Change("index", _LINEAR, "weight_row_reg <= weights[weight_fetch_reg]", "weight_row_reg <= weights[row_index_reg]"),
    Change("index", _LINEAR, "row_used && row_index_reg == OUT_LAST", "row_used && row_index_reg == 0"),
    Change("index", _TABLE, "base_reg == LAST_BASE", "base_reg == STRIDE"),
    Change("table edge", _TABLE, "(TABLE_RULE == CLAMP && in_last_segment) ? LAST_SEGMENT : point", "point"),
    Change("table edge", _TABLE, "{!s_axis_tdata[7], s_axis_tdata[6:0]}", "{s_axis_tdata[7], s_axis_tdata[6:0]}"),
    Change("order", _TRANSPOSE, "read_index_reg == ONE", "read_index_reg == ZERO"),
    Change("order", _TRANSPOSE, "write_index_reg == SECOND_ELEMENT", "write_index_reg == ONE"),
    Change(
        "order", _LINEAR,
        "(collect_reg >> 8) | ({{(ROW_W - 8) {1'b0}}, s_axis_tdata} << (ROW_W - 8))",
        "(collect_reg << 8) | {{(ROW_W - 8) {1'b0}}, s_axis_tdata}",
    ),
    Change("stale data", _LINEAR, "row_reg <= collect_full_reg ? collect_reg : collected", "row_reg <= collect_reg"),
    Change("stale data", _POOL, "(token_reg == FIRST_TOKEN) ? {SUM_W{1'b0}} : ", ""),
    Change("stale data", _TRANSPOSE, "write_index_reg > read_element_reg", "write_index_reg >= read_element_reg"),
    Change(
        "stale data", _FIFO,
        "if (pull) output_reg <= memory[read_reg];\n        else if (output_free) output_reg <= s_axis_tdata;",
        "if (output_free) output_reg <= memory[read_reg];",
    ),
    Change("stale data", "lib/axis_register.v", "skid_valid_reg ? skid_reg : s_axis_tdata", "s_axis_tdata"),
    Change("reset", _TABLE, "if (rst) base_reg <= {ADDRESS_W{1'b0}};\n    else if", "if"),
    Change("reset", _LINEAR, "collect_index_reg <= {IN_INDEX_W{1'b0}};\n      collect_full_reg", "collect_full_reg"),
    Change(
        "reset", _LINEAR,
        "row_valid_reg <= 1'b0;\n      row_index_reg <= {OUT_INDEX_W{1'b0}};",
        "row_valid_reg <= 1'b0;",
    ),
    Change("reset", _POOL, "token_reg   <= FIRST_TOKEN;", ""),
    Change("handshake", "lib/axis_fork.v", "taken0_reg <= done0 && !done1;", "taken0_reg <= 1'b0;"),
    Change("handshake", "lib/axis_fork.v", "assign s_axis_tready = done0 && done1;", "assign s_axis_tready = done0;"),
    Change(
        "handshake", "lib/axis_register.v",
        "assign s_axis_tready = !skid_valid_reg;",
        "assign s_axis_tready = 1'b1;",
    ),
    Change("handshake", _FIFO, "assign s_axis_tready = stored_reg != FULL;", "assign s_axis_tready = 1'b1;"),
    Change("handshake", _TRANSPOSE, "assign s_axis_tready = writable;", "assign s_axis_tready = 1'b1;"),
    Change("handshake", _POOL, "y_valid_reg <= accepted && last_token", "y_valid_reg <= accepted"),
    Change("handshake", _LINEAR, "wire advance = !sum_valid || y_free;", "wire advance = 1'b1;"),
)  # fmt: skip
"""Faults over the modules of the data path."""


def models() -> tuple[Model, Model]:
    """A PSA and a ReLU model of one block, small enough that a proof takes a second."""
    images = np.random.default_rng(3).integers(-128, 128, (50, 4, 3)).astype(np.int8)
    psa = ResMLPConfig(4, 3, 3, 4, 1, 2, points=16, rule=TableRule.CLAMP)
    return generate_model("psa", psa, images, 7), generate_model("relu", ResMLPConfig(4, 3, 3, 4, 1, 2), images, 7)


@click.command()
@click.option("--schedule", default="random:3", show_default=True, help="Stalls of both sides.")
@click.option("--only", metavar="KIND", help="Faults of this kind alone.")
def proofs(schedule: str, only: str | None) -> None:
    """Put each fault into a copy of the RTL, and prove the accelerator: what becomes of it."""
    psa, relu = models()
    counts: Counter[str] = Counter()
    for change in CHANGES:
        if only is not None and change.kind != only:
            continue
        with temporary.folder("proofs") as folder:
            rtl = faulty(folder, change)
            request = ProofRequest(psa if change.psa else relu, rtl=rtl, schedule=schedule, images=2)
            (proof,) = prove(request).proofs
        counts[proof.status] += 1
        first = proof.findings[0] if proof.findings else None
        said = proof.stopped if first is None else f"{first.tap}: {first.text}"
        shown = "" if proof.refutation is None else f" | image {proof.refutation.image}: {proof.refutation.sentence}"
        click.echo(
            f"{proof.status:8} {change.kind:10} {change.file:28} {said if proof.status != PROVED else ''}{shown}"
        )
    click.echo(", ".join(f"{count} {status}" for status, count in counts.items()))


def faulty(folder: Path, change: Change) -> Path:
    """A copy of the RTL with a fault in it; AssertionError where its text is not there once or more."""
    shutil.copytree(rtl_dir(), folder / "rtl")
    path = folder / "rtl" / change.file
    text = path.read_text(encoding="utf-8")
    assert change.before in text, f"{change.file} has no '{change.before}'"
    path.write_text(text.replace(change.before, change.after, 1), encoding="utf-8")
    return folder / "rtl"
