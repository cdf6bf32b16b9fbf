"""The arithmetic contract as pure numpy functions; see `docs/arithmetic.md` for the rules in prose."""

from fxsim.contract.arithmetic import (
    INT8_MAX,
    INT8_MIN,
    SHIFT_MAX,
    add,
    affine,
    linear,
    pool,
    relu,
    requantise,
    round_shift,
    sat8,
    saturate,
)
from fxsim.contract.bounds import (
    ACC_BITS_MAX,
    ADD_ACC_BITS,
    AFFINE_ACC_BITS,
    add_acc_bits,
    affine_acc_bits,
    bits_needed,
    linear_acc_bits,
    pool_acc_bits,
    worst_case_sums,
)
from fxsim.contract.number import INT8, Number, Sign, bias_number
from fxsim.contract.tables import TABLE_POINTS, TableRule, expand_table, legal_points, lookup, stored_points
from fxsim.contract.tensor import CHANNEL, COLUMN, DIMENSION_MAX, ROW, TOKEN, Shape, Tensor
from fxsim.contract.windows import Padding, Pair, conv, max_pool, threshold, window_places

CONTRACT_VERSION = 1
"""Grows with every change of a rule: what was made for one version need not compute another's values."""

__all__ = [
    "ACC_BITS_MAX",
    "ADD_ACC_BITS",
    "AFFINE_ACC_BITS",
    "CHANNEL",
    "COLUMN",
    "CONTRACT_VERSION",
    "DIMENSION_MAX",
    "INT8",
    "INT8_MAX",
    "INT8_MIN",
    "ROW",
    "SHIFT_MAX",
    "TABLE_POINTS",
    "TOKEN",
    "Number",
    "Padding",
    "Pair",
    "Shape",
    "Sign",
    "TableRule",
    "Tensor",
    "add",
    "add_acc_bits",
    "affine",
    "affine_acc_bits",
    "bias_number",
    "bits_needed",
    "conv",
    "expand_table",
    "legal_points",
    "linear",
    "linear_acc_bits",
    "lookup",
    "max_pool",
    "pool",
    "pool_acc_bits",
    "relu",
    "requantise",
    "round_shift",
    "sat8",
    "saturate",
    "stored_points",
    "threshold",
    "window_places",
    "worst_case_sums",
]
