"""Questions to solvers, as SMT-LIB texts: bitwuzla decides, z3 is asked again by whoever checks evidence.

Both read the same text, so that what was decided is what stands in the evidence.
"""

from dataclasses import dataclass, field
from enum import StrEnum

from fxsim.errors import ToolError

SECONDS_MAX = 120
"""Seconds that a solver has for one question; then the answer is `unknown`."""


class Answer(StrEnum):
    """The answer to a question: whether something satisfies all that is asserted."""

    SAT = "sat"
    UNSAT = "unsat"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Decided:
    """An answer; where it is `sat`, the values of the declared bit vectors by name, unsigned.

    `arrays`: of each declared array, the word that stands everywhere but at some addresses, and those.
    """

    answer: Answer
    values: dict[str, int] = field(default_factory=dict)
    arrays: dict[str, tuple[int, dict[int, int]]] = field(default_factory=dict)


def decide(text: str, seconds: int = SECONDS_MAX) -> Decided:
    """The answer of bitwuzla to a text of SMT-LIB (QF_BV, QF_ABV). ToolError where it is missing or cannot read it."""
    try:
        import bitwuzla  # type: ignore[import-not-found,unused-ignore]  # no types
    except ImportError:
        raise ToolError("bitwuzla is missing, which proofs need: install fxsim with the extra 'prove'") from None
    options = bitwuzla.Options()
    options.set(bitwuzla.Option.PRODUCE_MODELS, True)
    options.set(bitwuzla.Option.TIME_LIMIT_PER, 1000 * seconds)
    parser = bitwuzla.Parser(bitwuzla.TermManager(), options)
    try:
        # Read only: the answers of `check-sat` would go to standard output.
        parser.parse(text, True, False)
        solver = parser.bitwuzla()
        result = solver.check_sat()
    except bitwuzla.BitwuzlaException as error:
        raise ToolError(f"bitwuzla cannot read a question: {error}") from None
    if result == bitwuzla.Result.UNSAT:
        return Decided(Answer.UNSAT)
    if result != bitwuzla.Result.SAT:
        return Decided(Answer.UNKNOWN)
    values, arrays = {}, {}
    for name in parser.get_declared_funs():
        if name.sort().is_bv():
            values[str(name.symbol())] = int(solver.get_value(name).value(10))
        elif name.sort().is_array():
            words: dict[int, int] = {}
            term = solver.get_value(name)
            while term.kind() == bitwuzla.Kind.ARRAY_STORE:
                term, address, word = term.children()
                words.setdefault(int(address.value(10)), int(word.value(10)))
            arrays[str(name.symbol())] = int(term.children()[0].value(10)), words
    return Decided(Answer.SAT, values, arrays)


def decide_again(text: str, seconds: int = SECONDS_MAX) -> Answer:
    """z3's answer to the same text. ToolError where z3 is missing or cannot read it."""
    try:
        import z3  # type: ignore[import-untyped,unused-ignore]  # no types
    except ImportError:
        raise ToolError("z3 is missing, the second solver: install fxsim with the extra 'prove'") from None
    solver = z3.Solver()
    solver.set("timeout", 1000 * seconds)
    try:
        solver.from_string(text)
        result = solver.check()
    except z3.Z3Exception as error:
        raise ToolError(f"z3 cannot read a question: {error}") from None
    return Answer.SAT if result == z3.sat else Answer.UNSAT if result == z3.unsat else Answer.UNKNOWN


# --- Texts -----------------------------------------------------------------------------------------------------------


def number(value: int, width: int) -> str:
    """A constant of `width` bits, two's complement where `value` is negative."""
    if not -(1 << (width - 1)) <= value < 1 << width:
        raise ValueError(f"{value} does not fit {width} bits")
    return f"(_ bv{value % (1 << width)} {width})"


def sign_extend(term: str, bits: int) -> str:
    """A term with `bits` copies of its sign put above it."""
    return f"((_ sign_extend {bits}) {term})" if bits else term


def requantised(total: str, width: int, shift: int, bias: int) -> tuple[str, int]:
    """The contract's requantisation of a signed sum of `width` bits, before saturation; with its own width.

    floor((2 sum + 2^shift) / 2^(shift + 1)) + bias, in as many bits as nothing can wrap in.
    """
    wide = max(width, 8, min(shift, width + 1)) + 4
    extended = sign_extend(total, wide - width)
    if shift > width:
        # |sum| is at most 2^(width - 1), below or at half of 2^shift from below: it rounds to 0, exactly.
        rounded = number(0, wide)
    else:
        doubled = f"(bvadd (bvshl {extended} {number(1, wide)}) {number(1 << shift, wide)})"
        rounded = f"(bvashr {doubled} {number(shift + 1, wide)})"
    return f"(bvadd {rounded} {number(bias, wide)})", wide


def saturated(term: str, width: int) -> str:
    """A signed term of `width` bits, more than 8, as int8: its nearest."""
    low, high = number(-128, width), number(127, width)
    name = f"(ite (bvslt {term} {low}) {low} (ite (bvsgt {term} {high}) {high} {term}))"
    return f"((_ extract 7 0) {name})"
