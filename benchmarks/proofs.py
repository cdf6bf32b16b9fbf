"""`python -m benchmarks proofs`: faults put into the accelerators' RTL, what a proof says of each, and what else does.

Of small models. A fault of the streaming accelerator's data path, or of the SIMD accelerator, is put into the whole,
which is proved under one schedule; one of a module that is proved alone into that, as is one of what moves values in a
module of which properties are proved under every schedule. `refuted` was shown by an image in Verilator, or by inputs
or a run of which the module's netlist was evaluated; what is `proved` is simulated on many random images or inputs, or
refuted under another schedule; `unproved` is wrong as a function of the taps before, for values that no simulated image
had.
"""

import shutil
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from fxsim import temporary
from fxsim.contract import TableRule
from fxsim.cosim import CosimRequest, run_cosim
from fxsim.devices import DEFAULT, DEVICES, make_settings
from fxsim.families import ResMLPConfig
from fxsim.families.random import generate_model
from fxsim.graph import Model
from fxsim.paths import rtl_dir
from fxsim.prove.blocks import PROVED, REFUTED, UNPROVED, block_netlist
from fxsim.prove.concrete import Evaluator
from fxsim.prove.run import ProofRequest, prove, sample_images
from fxsim.prove.schedules import prove_schedules

IMAGES = 2000
"""Random images on which a fault that is proved equal is simulated."""
CYCLES = 5000
"""Cycles of random inputs in which a module beside its rule is, that is proved equal with a fault."""


class Change(NamedTuple):
    """A fault: what it is of, the file, and the text that takes another's place; of which model it is shown.

    `module`: that is proved alone, of this `device`; empty: the whole of it. `every`: a module that `--schedule all`
    must refute, though the whole is proved under one schedule. `breaks`: a property of `module` that it breaks there.
    """

    kind: str
    file: str
    before: str
    after: str
    psa: bool = True
    module: str = ""
    device: str = DEFAULT
    every: str = ""
    breaks: str = ""


_REQUANTISE, _LINEAR, _TABLE = "lib/requantise.v", "stream/linear.v", "stream/activation_table.v"
_GUARD, _TAG = "stream/frame_guard.v", "stream/frame_tag.v"
_LOOKUP, _TILE, _LANE = "simd/table_lane.v", "simd/mac_tile.v", "simd/simd_lane.v"
_TABLES, _LOADER = "simd/simd_tables.v", "simd/simd_loader.v"
_CONTROL, _SEQUENCER = "simd/simd_control.v", "simd/simd_sequencer.v"
_MEAN, _CELL, _EPILOGUE = "simd/pool_lane.v", "simd/mac_cell.v", "simd/simd_epilogue.v"
_TRANSPOSE, _FIFO, _POOL, _DOT = "stream/transpose.v", "lib/axis_fifo.v", "stream/pool.v", "stream/dot_product.v"
CHANGES = (
    Change(
        "rounding", _REQUANTISE,
        "quotient_extended + rounding_bit + bias_extended",
        "quotient_extended + bias_extended",
    ),
    Change("rounding", _TABLE, " + {7'd0, own_step[0]}", ""),
    Change("rounding", _POOL, " + {7'd0, total[TOKEN_W-1]}", ""),
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
        "sign", "lib/segment_step.v",
        "wire signed [DIFFERENCE_W-1:0] difference_signed",
        "wire [DIFFERENCE_W-1:0] difference_signed",
    ),
    Change("sign", _POOL, "{{TOKEN_W{x[7]}}", "{{TOKEN_W{1'b0}}"),
    Change("sign", "stream/relu.v", "s_axis_tdata[8*n+7] ? 8'd0", "s_axis_tdata[8*n+6] ? 8'd0", psa=False),
    Change("width", _DOT, "reg signed [ACC_W-1:0] value_reg;", "reg signed [14:0] value_reg;"),
    Change("width", _DOT, "reg signed [ACC_W-1:0] value_reg;", "reg signed [ACC_W-2:0] value_reg;"),
    Change("width", _POOL, "reg [LANES*SUM_W-1:0] sums", "reg [LANES*SUM_W-2:0] sums"),
    Change("operation", _DOT, "x_lane * w_lane", "x_lane * w_lane + 1"),
    Change("operation", "stream/relu.v", "8'd0 : s_axis_tdata", "8'd1 : s_axis_tdata", psa=False),
    Change("shift", _LINEAR, "<= shifts[first_bias|LANE]", "<= shifts[0]"),
    Change("index", _LINEAR, "<= biases[first_bias|LANE]", "<= biases[first_weight|LANE]"),
    Change("index", _LINEAR, "<= weights[first_weight|LANE]", "<= weights[row_index_reg]"),
    Change("index", _LINEAR, "row_used && row_index_reg == OUT_LAST", "row_used && row_index_reg == 0"),
    Change("index", _TABLE, "base_reg[ADDRESS_W-1:0] == LAST_BASE", "base_reg[ADDRESS_W-1:0] == STRIDE"),
    Change("table edge", _TABLE, "(TABLE_RULE == CLAMP && in_last_segment[n]) ? LAST_SEGMENT : own", "own"),
    Change("table edge", _TABLE, "{!s_axis_tdata[8*n+7], s", "{s_axis_tdata[8*n+7], s"),
    Change("order", _TRANSPOSE, "read_index_reg == ONE", "read_index_reg == ZERO"),
    Change("order", _TRANSPOSE, "write_index_reg == SECOND_ELEMENT", "write_index_reg == ONE"),
    Change(
        "order", _LINEAR,
        "(collect_reg >> BEAT_W) |\n                               "
        "({{(ROW_W - BEAT_W) {1'b0}}, s_axis_tdata} << (ROW_W - BEAT_W))",
        "(collect_reg << BEAT_W) | {{(ROW_W - BEAT_W) {1'b0}}, s_axis_tdata}",
    ),
    Change("stale data", _LINEAR, "row_reg <= collect_full_reg ? collect_reg : collected", "row_reg <= collect_reg"),
    Change("stale data", _POOL, "(token_reg == FIRST_TOKEN) ? {LANES * SUM_W{1'b0}} : ", ""),
    Change("stale data", _TRANSPOSE, "write_index_reg > read_element_reg", "write_index_reg >= read_element_reg"),
    Change(
        "stale data", _FIFO,
        "if (pull) output_reg <= memory[read_reg];\n        else if (output_free) output_reg <= s_axis_tdata;",
        "if (output_free) output_reg <= memory[read_reg];",
    ),
    Change("stale data", "lib/axis_register.v", "skid_valid_reg ? skid_reg : s_axis_tdata", "s_axis_tdata"),
    Change("reset", _TABLE, "if (rst) base_reg[ADDRESS_W*n+:ADDRESS_W] <= FIRST;\n        else if", "if"),
    Change("reset", _LINEAR, "collect_index_reg <= {IN_INDEX_W{1'b0}};\n      collect_full_reg", "collect_full_reg"),
    Change(
        "reset", _LINEAR,
        "row_valid_reg <= 1'b0;\n      row_index_reg <= {OUT_INDEX_W{1'b0}};",
        "row_valid_reg <= 1'b0;",
    ),
    Change("reset", _POOL, "token_reg   <= FIRST_TOKEN;", ""),
    Change(
        "handshake", "lib/axis_fork.v", "taken0_reg <= done0 && !done1;", "taken0_reg <= 1'b0;", every="axis_fork"
    ),
    Change(
        "handshake", "lib/axis_fork.v",
        "assign s_axis_tready = done0 && done1;",
        "assign s_axis_tready = done0;",
        every="axis_fork",
    ),
    Change(
        "handshake", "lib/axis_register.v",
        "assign s_axis_tready = !skid_valid_reg;",
        "assign s_axis_tready = 1'b1;",
    ),
    Change(
        "handshake", _FIFO,
        "assign s_axis_tready = stored_reg != FULL;",
        "assign s_axis_tready = 1'b1;",
        every="axis_fifo",
    ),
    Change(
        "handshake", _TRANSPOSE,
        "assign s_axis_tready = writable;",
        "assign s_axis_tready = 1'b1;",
        every="transpose",
    ),
    Change("handshake", _POOL, "y_valid_reg <= accepted && last_token", "y_valid_reg <= accepted"),
    Change("handshake", _LINEAR, "wire advance = !sum_valid || shifted_free;", "wire advance = 1'b1;", every="linear"),
    # In modules that are proved alone.
    Change(
        "index", _DOT,
        "(level[l-1].node[4*k+2].value_reg + level[l-1].node[4*k+3].value_reg)",
        "(level[l-1].node[4*k+2].value_reg + level[l-1].node[4*k+2].value_reg)",
        module="dot_product",
    ),
    Change(
        "handshake", _DOT,
        "out_valid = stage_valid[LATENCY]",
        "out_valid = stage_valid[LATENCY-1]",
        module="dot_product",
    ),
    Change(
        "stale data", _DOT,
        "stage_valid[LATENCY-1:0] & {LATENCY{enable}}",
        "stage_valid[LATENCY-1:0]",
        module="dot_product",
    ),
    Change(
        "reset", _DOT,
        "if (rst) valid_reg <= {LATENCY{1'b0}};\n    else if (enable)",
        "if (enable)",
        module="dot_product",
    ),
    Change("operation", _GUARD, "flag_reg <= state_reg == PAD || late", "flag_reg <= late", module="frame_guard"),
    Change("handshake", _GUARD, "output_free && (!last || flag_free)", "output_free", module="frame_guard"),
    Change(
        "reset", _GUARD,
        "state_reg <= PASS;\n      index_reg <= {INDEX_W{1'b0}};",
        "state_reg <= PASS;",
        module="frame_guard",
    ),
    Change(
        "stale data",
        _GUARD,
        "(state_reg == PAD) ? {DATA_W{1'b0}} : s_axis_tdata",
        "s_axis_tdata",
        module="frame_guard",
    ),
    Change("index", _TAG, "index_reg == LAST;", "index_reg == LAST - 1'b1;", module="frame_tag"),
    Change("handshake", _TAG, "passed && last;", "m_axis_tready && last;", module="frame_tag"),
    Change("sign", _MEAN, "{(SUM_W - 8) {x[7]}}", "{(SUM_W - 8) {1'b0}}", module="pool_lane", device="simd"),
    Change("stale data", _MEAN, "first ? {SUM_W{1'b0}} : sum_reg", "sum_reg", module="pool_lane", device="simd"),
    Change(
        "table edge", _LOOKUP,
        "turned[0] && !(clamp && in_last_segment)",
        "turned[0]",
        module="table_lane", device="simd",
    ),
    Change(
        "table edge", _LOOKUP,
        "level = hold && in_last_segment",
        "level = 1'b0",
        module="table_lane", device="simd",
    ),
    Change("index", _LOOKUP, "turned[1], next_pair}", "turned[1], 1'b0}", module="table_lane", device="simd"),
    Change(
        "rounding", _LOOKUP,
        "product[PRODUCT_W-1:FRAC_W-1] -",
        "{product[PRODUCT_W-1:FRAC_W], 1'b0} -",
        module="table_lane", device="simd",
    ),
    Change("table edge", _TABLES, "clamp = rule == RULE_CLAMP", "clamp = 1'b0", module="simd_tables", device="simd"),
    Change(
        "index", _TABLES,
        ".write_data(write_data[8*l+:8])",
        ".write_data(write_data[8*(15-l)+:8])",
        module="simd_tables", device="simd",
    ),
    Change("index", _TABLES, "~(8'hff << points_log2)", "8'hff << points_log2", module="simd_tables", device="simd"),
    Change("stale data", _TILE, ".first(first_reg[r])", ".first(first_reg[0])", module="mac_tile", device="simd"),
    Change(
        "order", _TILE,
        "row[7].acc;\n        4'd8: row_acc_reg <= row[8].acc;",
        "row[8].acc;\n        4'd8: row_acc_reg <= row[7].acc;",
        module="mac_tile", device="simd",
    ),
    Change(
        "handshake", _TILE,
        "if (last_reg) leaving_reg <= 1'b1;\n      else if (index_reg == 4'd15) leaving_reg <= 1'b0;",
        "if (index_reg == 4'd15) leaving_reg <= 1'b0;\n      else if (last_reg) leaving_reg <= 1'b1;",
        module="mac_tile", device="simd",
    ),
    Change("reset", _TILE, "      index_reg <= 4'd0;\n", "", module="mac_tile", device="simd"),
    Change(
        "width", _CELL,
        "reg signed [ACC_W-1:0] product_reg",
        "reg signed [15:0] product_reg",
        module="mac_cell", device="simd",
    ),
    Change("width", _REQUANTISE, "(ACC_W > 8 ? ACC_W : 8) + 1", "(ACC_W > 8 ? ACC_W : 8) + 2", module="requantise"),
    Change("shift", _LANE, "by_row ? row_shift : lane_shift", "lane_shift", module="simd_lane", device="simd"),
    Change("order", _LANE, "scaled : linear_4_reg", "scaled : linear_3", module="simd_lane", device="simd"),
    Change("operation", _LANE, "next_relu && add_7_reg", "next_relu && add_6_reg", module="simd_lane", device="simd"),
    Change(
        "width", "simd/simd_range.v",
        "{addend_reg[58:0], 1'b0}",
        "{4'd0, addend_reg[54:0], 1'b0}",
        module="simd_range", device="simd",
    ),
    Change("stale data", "lib/ram.v", "if (read_enable) read_data_reg", "read_data_reg", module="ram", device="simd"),
    Change(
        "reset", "lib/delay_line.v",
        "if (rst) line_reg <= {DEPTH * WIDTH{1'b0}};\n        else line_reg",
        "line_reg",
        module="delay_line", device="simd",
    ),
    # In the whole SIMD accelerator.
    Change(
        "rounding", _REQUANTISE,
        "quotient_extended + rounding_bit + bias_extended",
        "quotient_extended + bias_extended",
        device="simd",
    ),
    Change("order", _LANE, ".x(add_6_reg),\n      .w(res_w)", ".x(affine_5_reg),\n      .w(res_w)", device="simd"),
    Change(
        "index", _EPILOGUE,
        ".read_address(address_4[RESIDUAL_W-1:0])",
        ".read_address(address_8[RESIDUAL_W-1:0])",
        device="simd",
    ),
    Change("stale data", _EPILOGUE, "first_tokens_6_reg && first_row[6]", "first_row[6]", device="simd"),
    Change(
        "index", _LOOKUP,
        ".write_enable(write_enable && !write_position[0])",
        ".write_enable(write_enable)",
        device="simd",
    ),
    Change("index", "simd/block_transpose.v", "NUMBER - read_index_reg", "read_index_reg - NUMBER", device="simd"),
    Change("reset", "simd/block_transpose.v", "      write_index_reg <= 4'd0;\n", "", device="simd"),
    Change(
        "index", "simd/simd_loader.v",
        "weight_write_address_reg <= weight_address_reg;",
        "weight_write_address_reg <= weight_address_reg + 16'd1;",
        device="simd",
    ),
    Change(
        "index", _LOADER,
        "constant_write_address_reg <= group_slot_reg;",
        "constant_write_address_reg <= chunk_slot_reg;",
        device="simd",
    ),
    Change("handshake", "simd/simd_memory.v", "m_axi_wstrb = 16'hFFFF", "m_axi_wstrb = 16'h7FFF", device="simd"),
    Change("index", "simd/simd_descriptor.v", "localparam RULE_BIT = 18;", "localparam RULE_BIT = 17;", device="simd"),
    Change(
        "stale data", "simd/simd_core.v",
        ".in_data(read_zero_reg ? {WORD_W{1'b0}} : read_word)",
        ".in_data(read_word)",
        device="simd",
    ),
    Change("stale data", _CELL, "first ? {ACC_W{1'b0}} : sum_reg", "sum_reg", device="simd"),
    Change(
        "index", "simd/simd_sequencer.v",
        "step_reg == 4'd14 && last_block",
        "step_reg == 4'd13 && last_block",
        device="simd",
    ),
    Change(
        "index", "simd/axi_reader.v",
        "wire [WORD_W-1:0] next_range = range_reg + stride_w;",
        "wire [WORD_W-1:0] next_range = range_reg;",
        device="simd",
    ),
    # In modules whose properties are proved under every schedule.
    Change(
        "protocol", "simd/axi_reader.v",
        "{1'b0, address[OFFSET_W-1:0] & MASK}",
        "{(OFFSET_W + 1) {1'b0}}",
        module="axi_reader", device="simd", breaks="burst",
    ),
    Change(
        "protocol", "simd/axi_reader.v",
        "beat_end = owed_range_end ||",
        "beat_end =",
        module="axi_reader", device="simd", breaks="last",
    ),
    Change(
        "protocol", "simd/axi_reader.v",
        "credits_32 >= beats_32",
        "credits_32 != 32'd0",
        module="axi_reader", device="simd", breaks="credits",
    ),
    Change(
        "protocol", "simd/axi_reader.v",
        "next_range = range_reg + stride_w",
        "next_range = address_reg + stride_w",
        module="axi_reader", device="simd", breaks="words",
    ),
    Change(
        "protocol", "simd/axi_reader.v",
        "(range_allowed || !fresh_reg)",
        "(range_allowed || fresh_reg)",
        module="axi_reader", device="simd", breaks="allowed",
    ),
    Change(
        "protocol", "simd/axi_writer.v",
        "if (address_free) address_valid_reg",
        "address_valid_reg",
        module="axi_writer", device="simd", breaks="address_stays",
    ),
    Change(
        "protocol", "simd/axi_writer.v",
        "data_free = !data_valid_reg || m_axi_wready",
        "data_free = 1'b1",
        module="axi_writer", device="simd", breaks="data_stays",
    ),
    Change(
        "protocol", "simd/axi_writer.v",
        "data_free && owed_reg != MOST",
        "data_free",
        module="axi_writer", device="simd", breaks="outstanding",
    ),
    Change(
        "protocol", "simd/axi_writer.v",
        "next_image = image_reg + stride_w",
        "next_image = next_reg + stride_w",
        module="axi_writer", device="simd", breaks="address",
    ),
    Change(
        "protocol", "simd/axi_writer.v",
        "if (answer_bad_reg) failed_reg",
        "if (1'b0) failed_reg",
        module="axi_writer", device="simd", breaks="images",
    ),
    Change(
        "protocol", "simd/axi_read_arbiter.v",
        "free = !valid_reg || m_axi_arready",
        "free = 1'b1",
        module="axi_read_arbiter", device="simd", breaks="once",
    ),
    Change(
        "protocol", "simd/axi_read_arbiter.v",
        "parameter_ready = free && !take_image",
        "parameter_ready = free",
        module="axi_read_arbiter", device="simd", breaks="one",
    ),
    Change(
        "protocol", "simd/axi_read_arbiter.v",
        "image_reg   <= take_image",
        "image_reg   <= image_valid",
        module="axi_read_arbiter", device="simd", breaks="shown",
    ),
    Change(
        "protocol", "simd/axi_read_arbiter.v",
        "image_ready = free && opened_reg",
        "image_ready = free",
        module="axi_read_arbiter", device="simd", breaks="first",
    ),
    Change(
        "protocol", "simd/simd_registers.v",
        "(to_configuration && !busy)",
        "to_configuration",
        module="simd_registers", device="simd", breaks="writes",
    ),
    Change(
        "protocol", "simd/simd_registers.v",
        "irq = irq_enable_reg && done",
        "irq = done",
        module="simd_registers", device="simd", breaks="interrupt",
    ),
    Change(
        "protocol", "simd/simd_registers.v",
        "else if (s_axil_bready) bvalid_reg",
        "else bvalid_reg",
        module="simd_registers", device="simd", breaks="b_stays",
    ),
    Change(
        "protocol", "simd/simd_registers.v",
        "to_status && wdata_reg[STATUS_DONE]",
        "to_status",
        module="simd_registers", device="simd", breaks="pulses",
    ),
    Change(
        "protocol", _LOADER,
        "weight_write_address_reg <= weight_address_reg;",
        "weight_write_address_reg <= chunk_slot_reg;",
        module="simd_loader", device="simd", breaks="weights",
    ),
    Change(
        "protocol", _LOADER,
        "shift_write_reg <= taken && phase_reg == SHIFT",
        "shift_write_reg <= taken && phase_reg == BIAS",
        module="simd_loader", device="simd", breaks="chunks",
    ),
    Change(
        "protocol", _LOADER,
        "constant = constants_left_reg & (~constants_left_reg + 9'd1)",
        "constant = constants_left_reg & ~(constants_left_reg >> 1)",
        module="simd_loader", device="simd", breaks="constants",
    ),
    Change(
        "protocol", _LOADER,
        "table_write_address_reg <= table_address_reg;",
        "table_write_address_reg <= group_slot_reg;",
        module="simd_loader", device="simd", breaks="tables",
    ),
    Change(
        "protocol", _LOADER,
        "parameter_data = data_reg",
        "parameter_data = layer_reg",
        module="simd_loader", device="simd", breaks="data",
    ),
    Change(
        "protocol", _LOADER,
        "groups_loaded_reg + {15'd0, group_end_reg}",
        "groups_loaded_reg + {15'd0, group_end}",
        module="simd_loader", device="simd", breaks="counted",
    ),
    Change(
        "protocol", _LOADER,
        "word_ready = room && !in_empty",
        "word_ready = room",
        module="simd_loader", device="simd", breaks="takes",
    ),
    Change(
        "protocol", _LOADER,
        "(waiting_reg && !layer_ready) || passed",
        "passed",
        module="simd_loader", device="simd", breaks="layer",
    ),
    Change(
        "protocol", _LOADER,
        "layer_words >= {1'b0, words_left_reg}",
        "layer_words > {1'b0, words_left_reg}",
        module="simd_loader", device="simd", breaks="refused",
    ),
    Change(
        "protocol", _LOADER,
        "tokens != (16'd1 << pool_shift)",
        "tokens < (16'd1 << pool_shift)",
        module="simd_loader", device="simd", breaks="code",
    ),
    Change(
        "protocol", _LOADER,
        "bad_reg ? BAD_DESCRIPTOR : unfit_reg ? DOES_NOT_FIT",
        "unfit_reg ? DOES_NOT_FIT : bad_reg ? BAD_DESCRIPTOR",
        module="simd_loader", device="simd", breaks="code",
    ),
    Change(
        "protocol", _CONTROL,
        "{4'd0, result_stride[31:4]} < result_words",
        "{4'd0, result_stride[31:4]} <= result_words",
        module="simd_control", device="simd", breaks="begins",
    ),
    Change(
        "protocol", _CONTROL,
        "begin_run = start && !bad_start",
        "begin_run = start",
        module="simd_control", device="simd", breaks="begins",
    ),
    Change(
        "protocol", _CONTROL,
        "else if (failed || finished) running_reg",
        "else if (failed) running_reg",
        module="simd_control", device="simd", breaks="runs",
    ),
    Change(
        "protocol", _CONTROL,
        "busy_reg && !running_reg && drained",
        "busy_reg && !running_reg",
        module="simd_control", device="simd", breaks="busy",
    ),
    Change(
        "protocol", _CONTROL,
        "else if (busy_reg) cycles_reg",
        "else if (running_reg) cycles_reg",
        module="simd_control", device="simd", breaks="busy",
    ),
    Change(
        "protocol", _CONTROL,
        "(ended && code_reg != NONE) || refused",
        "ended || refused",
        module="simd_control", device="simd", breaks="done",
    ),
    Change(
        "protocol", _CONTROL,
        ": read_broken ? READ_LAST\n                    : write_error ? WRITE_RESPONSE\n",
        ": write_error ? WRITE_RESPONSE\n                    : read_broken ? READ_LAST\n",
        module="simd_control", device="simd", breaks="code",
    ),
    Change(
        "protocol", _CONTROL,
        "loader_error && !read_error && !read_broken && !write_error",
        "loader_error",
        module="simd_control", device="simd", breaks="code",
    ),
    Change(
        "protocol", _CONTROL,
        "results_checked && !range_error",
        "results_checked",
        module="simd_control", device="simd", breaks="checked",
    ),
    Change(
        "protocol", _SEQUENCER,
        "slot_base_next = slot_base_reg + 16'd1",
        "slot_base_next = slot_base_reg + in_stride_now_reg",
        module="simd_sequencer", device="simd", breaks="words",
    ),
    Change(
        "protocol", _SEQUENCER,
        "feed_zero_reg <= token_next >= tile_tokens_reg",
        "feed_zero_reg <= token_next > tile_tokens_reg",
        module="simd_sequencer", device="simd", breaks="words",
    ),
    Change(
        "protocol", _SEQUENCER,
        "weight_address_reg <= weight_base_reg;",
        "weight_address_reg <= layer_weight_reg;",
        module="simd_sequencer", device="simd", breaks="weights",
    ),
    Change(
        "protocol", _SEQUENCER,
        "step_reg == 4'd14 && last_block",
        "step_reg == 4'd13 && last_block",
        module="simd_sequencer", device="simd", breaks="feeds",
    ),
    Change(
        "protocol", _SEQUENCER,
        "tile_address_reg <= out_address_reg",
        "tile_address_reg <= in_base_reg",
        module="simd_sequencer", device="simd", breaks="tag",
    ),
    Change(
        "protocol", _SEQUENCER,
        "!keep && (token_mixing ? last_group_now_reg : last_tokens_reg)",
        "!keep && last_tokens_reg",
        module="simd_sequencer", device="simd", breaks="tag",
    ),
    Change(
        "protocol", _SEQUENCER,
        "before_last && feed_image_reg && tile_layer_end_reg",
        "before_last && feed_image_reg",
        module="simd_sequencer", device="simd", breaks="release",
    ),
    Change(
        "protocol", _SEQUENCER,
        "results_ok = first_layer || !tiles_ahead[15]",
        "results_ok = 1'b1",
        module="simd_sequencer", device="simd", breaks="waits",
    ),
    Change(
        "protocol", _SEQUENCER,
        "room_ok_reg <= !last_layer || result_ready",
        "room_ok_reg <= 1'b1",
        module="simd_sequencer", device="simd", breaks="waits",
    ),
    Change(
        "protocol", _SEQUENCER,
        "read_pointer_reg + {{(POINTER_W - 1) {1'b0}}, fetch}",
        "read_pointer_reg + {{(POINTER_W - 1) {1'b0}}, fetch && !accept}",
        module="simd_sequencer", device="simd", breaks="fetched",
    ),
    Change(
        "protocol", _SEQUENCER,
        "layer_ready_reg <= !level_next[POINTER_W-1]",
        "layer_ready_reg <= 1'b1",
        module="simd_sequencer", device="simd", breaks="accepts",
    ),
)  # fmt: skip
"""Faults over the modules of the data path, and of what moves it."""


def models() -> tuple[Model, Model]:
    """A PSA and a ReLU model of one block, small enough that a proof takes a second."""
    images = np.random.default_rng(3).integers(-128, 128, (50, 4, 3)).astype(np.int8)
    psa = ResMLPConfig(4, 3, 3, 4, 1, 2, points=16, rule=TableRule.CLAMP)
    return generate_model("psa", psa, images, 7), generate_model("relu", ResMLPConfig(4, 3, 3, 4, 1, 2), images, 7)


def tiled_model() -> Model:
    """A PSA model of one block whose tensors take several tiles of 16 tokens and 16 channels, the last not full."""
    images = np.random.default_rng(3).integers(-128, 128, (50, 32, 5)).astype(np.int8)
    config = ResMLPConfig(32, 5, 18, 20, 1, 3, points=16, rule=TableRule.CLAMP)
    return generate_model("tiled", config, images, 7)


@click.command()
@click.option("--schedule", default="random:3", show_default=True, help="Stalls of both sides.")
@click.option("--only", metavar="KIND", help="Faults of this kind alone.")
@click.option("--file", "name", metavar="TEXT", help="Faults of files with this in their names alone.")
@click.option("--alone", is_flag=True, help="Faults of modules that are proved alone.")
@click.option("--whole", metavar="ACCEL", help="Faults in the whole of this accelerator alone.")
def proofs(schedule: str, only: str | None, name: str | None, alone: bool, whole: str | None) -> None:
    """Put each fault into a copy of the RTL, and prove the accelerator or a module: what becomes of it."""
    counts: Counter[str] = Counter()
    for change in CHANGES:
        if only not in (None, change.kind) or (name or "") not in change.file or (alone and not change.module):
            continue
        if whole is not None and (change.module or change.device != whole):
            continue
        with temporary.folder("proofs") as folder:
            status, said = verdict(change, faulty(folder, change), schedule)
        counts[status] += 1
        of = change.module or f"{change.device} whole"
        click.echo(f"{status:8} {change.kind:10} {of:13} {change.file:28} {said}")
    click.echo(", ".join(f"{count} {status}" for status, count in counts.items()))


def verdict(change: Change, rtl: Path, schedule: str) -> tuple[str, str]:
    """The result of a proof of the RTL with a fault, and in words what it says and what else shows it.

    AssertionError where something that is proved does not stand.
    """
    psa, relu = models()
    model = psa if change.psa else relu
    whole = not change.module
    if change.breaks:
        wrong = _broken(model, change, rtl)
        shown = wrong.get(change.breaks)
        return (
            (REFUTED, f"{change.breaks}: {shown}") if shown else (UNPROVED, f"{change.breaks} is not refuted: {wrong}")
        )
    if whole and change.device != DEFAULT:
        model = tiled_model()
    if not whole:
        found = prove(ProofRequest(model, change.device, module=change.module, rtl=rtl))
        for block in found.blocks:
            if block.status == REFUTED:
                return REFUTED, f"{block.name}: '{block.wrong}' is 1 of inputs, evaluated"
        if found.status == PROVED:
            return PROVED, f"{_evaluated(change, model, rtl)} cycles of random inputs, evaluated: equal"
        return found.status, ", ".join(f"{block.name}: {block.wrong}" for block in found.blocks if block.wrong)
    (proof,) = prove(ProofRequest(model, change.device, rtl=rtl, schedule=schedule, images=2)).proofs
    first = proof.findings[0] if proof.findings else None
    said = proof.stopped if first is None else f"{first.tap}: {first.text}"
    if proof.refutation is not None:
        said += f" | image {proof.refutation.image} in Verilator: {proof.refutation.sentence}"
    if proof.status == UNPROVED and change.device == DEFAULT:
        # No simulated image has such values before it: the module alone is refuted by some, of which it is evaluated.
        module = Path(change.file).stem
        for alone in prove(ProofRequest(model, module=module, rtl=rtl, schedule=schedule)).proofs:
            if alone.refutation is not None:
                return REFUTED, f"{said} | {module} alone: {alone.refutation.sentence}"
    if proof.status != PROVED:
        return proof.status, said
    if change.every:
        wrong = _broken(model, change, rtl)
        assert wrong, f"{change.file}: --schedule all does not refute it"
        name, why = next(iter(wrong.items()))
        return PROVED, f"under this schedule; --schedule all refutes {change.every}: {name} ({why})"
    x = sample_images(model, IMAGES, seed=4)
    assert run_cosim(CosimRequest(model, x, change.device, stall=schedule, rtl=rtl)).verdict.passed, (
        f"{change.file}: it is not equal"
    )
    return PROVED, f"{IMAGES} random images in Verilator: equal"


def _broken(model: Model, change: Change, rtl: Path) -> dict[str, str]:
    """The properties of a module that a run of the plain evaluator breaks, and where."""
    found = prove_schedules(model, change.device, change.every or change.module, rtl)
    return {one.name: one.why for module in found.modules for one in module.verdicts if one.verdict == REFUTED}


def _evaluated(change: Change, model: Model, rtl: Path) -> int:
    """Cycles of random inputs in which a module's netlist beside its rule was evaluated, and no output of it was 1."""
    device, cycles = DEVICES[change.device], 0
    assert device.blocks is not None
    random = np.random.default_rng(5)
    for block in device.blocks(model, make_settings(device.name, device.settings, {}))[change.module]:
        _, netlist = block_netlist(block, rtl)
        evaluator = Evaluator(netlist, lambda width: int.from_bytes(random.bytes(-(-width // 8))) % (1 << width))
        widths = {name: netlist.cells[cell].sort.width for name, cell in netlist.inputs.items()}
        for cycle in range(CYCLES):
            bits = {name: int.from_bytes(random.bytes(-(-width // 8))) for name, width in widths.items()}
            evaluator.evaluate({name: value % (1 << widths[name]) for name, value in bits.items()})
            wrong = [output for output in block.wrong if evaluator.value(netlist.output(output))]
            assert cycle < block.cycle or not wrong, f"{block.name}: {wrong} in cycle {cycle}"
            evaluator.tick()
        cycles += CYCLES
    return cycles


def faulty(folder: Path, change: Change) -> Path:
    """A copy of the RTL with a fault in it; AssertionError where its text is not there once or more."""
    shutil.copytree(rtl_dir(), folder / "rtl")
    path = folder / "rtl" / change.file
    text = path.read_text(encoding="utf-8")
    assert change.before in text, f"{change.file} has no '{change.before}'"
    path.write_text(text.replace(change.before, change.after, 1), encoding="utf-8")
    return folder / "rtl"
