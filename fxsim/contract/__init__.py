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
)
from fxsim.contract.tables import TABLE_POINTS, TableRule, expand_table, lookup, stored_points
from fxsim.contract.widths import (
    ADD_ACC_BITS,
    AFFINE_ACC_BITS,
    bits_needed,
    linear_acc_bits,
    pool_acc_bits,
    worst_case_sums,
)

CONTRACT_VERSION = 1
"""Grows with every change of a rule: what was made for one version need not compute another's values."""

__all__ = [
    "ADD_ACC_BITS",
    "AFFINE_ACC_BITS",
    "CONTRACT_VERSION",
    "INT8_MAX",
    "INT8_MIN",
    "SHIFT_MAX",
    "TABLE_POINTS",
    "TableRule",
    "add",
    "affine",
    "bits_needed",
    "expand_table",
    "linear",
    "linear_acc_bits",
    "lookup",
    "pool",
    "pool_acc_bits",
    "relu",
    "requantise",
    "round_shift",
    "sat8",
    "stored_points",
    "worst_case_sums",
]
