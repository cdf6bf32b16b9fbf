"""Questions to an SMT solver, as texts of SMT-LIB (QF_BV): whether a function of an accumulator is the contract's.

`unsat` says that it is, for every value of the accumulator within its bounds.
"""

import numpy as np
import numpy.typing as npt

from fxsim.prove.compiled import kernel
from fxsim.prove.expected import Requantised

_WIDE = 64
"""Bits in which the contract is stated: nothing in it can wrap."""
_NAMES = {
    kernel.T_NOT: "bvnot",
    kernel.T_AND: "bvand",
    kernel.T_OR: "bvor",
    kernel.T_XOR: "bvxor",
    kernel.T_ADD: "bvadd",
    kernel.T_SUB: "bvsub",
    kernel.T_MUL: "bvmul",
    kernel.T_CONCAT: "concat",
}


def question(
    rows: npt.NDArray[np.int64],
    width: int,
    low: int,
    high: int,
    finish: Requantised,
    result_bits: int,
    added: int = 0,
) -> str | None:
    """The question whether a cone of an accumulator (CUT) is `finish` of its sum, or not, as a text.

    The accumulator has `width` bits, is within `low` and `high`, and holds the sum and what is `added` to it. None
    where a row cannot be written so.
    """
    lines = ["(set-logic QF_BV)", f"(declare-const acc (_ BitVec {width}))"]
    for number, row in enumerate(rows.tolist()):
        text = _row(rows, *row[:5])
        if text is None:
            return None
        lines.append(f"(define-fun r{number} () (_ BitVec {row[1]}) {text})")
    lines += [
        f"(assert (and (bvsle {_number(low, width)} acc) (bvsle acc {_number(high, width)})))",
        # The contract: round half up, the bias after it, saturate.
        f"(define-fun wide () (_ BitVec {_WIDE}) {_sum(width, added)})",
        f"(define-fun shift () (_ BitVec {_WIDE}) {_number(min(finish.shift, 63), _WIDE)})",
        f"(define-fun quotient () (_ BitVec {_WIDE}) (bvashr wide shift))",
    ]
    if finish.shift > 0:
        half = f"(bvand (bvashr wide {_number(min(finish.shift, 63) - 1, _WIDE)}) {_number(1, _WIDE)})"
    else:
        half = _number(0, _WIDE)
    low_end, high_end = _number(finish.out.low, _WIDE), _number(finish.out.high, _WIDE)
    lines += [
        f"(define-fun sum () (_ BitVec {_WIDE}) (bvadd (bvadd quotient {half}) {_number(finish.bias, _WIDE)}))",
        f"(define-fun clamped () (_ BitVec {_WIDE})"
        f" (ite (bvslt sum {low_end}) {low_end} (ite (bvsgt sum {high_end}) {high_end} sum)))",
        f"(assert (distinct r{len(rows) - 1} ((_ extract {result_bits - 1} 0) clamped)))",
    ]
    return "\n".join(lines) + "\n"


def _sum(width: int, added: int) -> str:
    extended = f"((_ sign_extend {_WIDE - width}) acc)"
    return f"(bvsub {extended} {_number(added, _WIDE)})" if added else extended


def _row(rows: npt.NDArray[np.int64], kind: int, width: int, a: int, b: int, c: int) -> str | None:
    if kind == kernel.T_CUT:
        return "acc"
    if kind == kernel.T_CONST:
        return _number(a, width)
    if kind == kernel.T_SLICE:
        return f"((_ extract {b + width - 1} {b}) r{a})"
    if kind == kernel.T_SEXT:
        return f"((_ sign_extend {width - int(rows[a, 1])}) r{a})"
    if kind == kernel.T_ITE:
        return f"(ite (= r{a} #b1) r{b} r{c})"
    if kind in (kernel.T_EQ, kernel.T_ULT, kernel.T_SLT):
        name = {kernel.T_EQ: "=", kernel.T_ULT: "bvult", kernel.T_SLT: "bvslt"}[kind]
        return f"(ite ({name} r{a} r{b}) #b1 #b0)"
    if kind not in _NAMES:
        return None
    return f"({_NAMES[kind]} r{a})" if kind == kernel.T_NOT else f"({_NAMES[kind]} r{a} r{b})"


def _number(value: int, width: int) -> str:
    return f"(_ bv{value % (1 << width)} {width})"
