"""Functions of the contract whose domain is finite: all of it, so that equality over it decides equivalence.

Each is computed for every argument that it may be given; what it raises is a result, too.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from itertools import product

import numpy as np

from fxsim.contract import bounds, number, tables
from fxsim.contract.number import BIPOLAR, BITS_MAX, RANGED, Number
from fxsim.contract.tables import TableRule
from fxsim.engines.compiled import isa, products
from fxsim.tables import points

Outcome = Iterator[object]


def _numbers() -> list[Number]:
    return [*(Number(bits, sign) for bits, sign in product(range(1, BITS_MAX + 1), RANGED)), BIPOLAR]


def _each(function: Callable[..., object], arguments: Iterable[tuple[object, ...]]) -> Outcome:
    for given in arguments:
        try:
            found = function(*given)
        except Exception as error:  # what a mutant raises is its result
            found = f"raises {type(error).__name__}"
        yield (found.dtype.str, found.shape, found.tolist()) if isinstance(found, np.ndarray) else found


def _of_numbers(name: str) -> Callable[[], Outcome]:
    return lambda: _each(lambda one: getattr(one, name), ((one,) for one in _numbers()))


def _of_pairs(function: str) -> Callable[[], Outcome]:
    return lambda: _each(getattr(bounds, function), product(_numbers(), repeat=2))


def _ends() -> Outcome:
    sizes = [(1 << codes, 1 << count) for codes in range(9) for count in range(codes + 1)]
    rules = [rule for rule in TableRule if rule is not TableRule.FULL]
    return _each(points._ends, ((codes, count, rule) for (codes, count), rule in product(sizes, rules)))


def _lane_orders() -> Outcome:
    kinds = list(isa.ISAS.values())
    return _each(
        products.lane_order, ((kind, count) for kind in kinds for count in range(1, kind.columns // kind.lanes + 1))
    )


DOMAINS: dict[str, Callable[[], Outcome]] = {
    **{f"contract.number:Number.{name}": _of_numbers(name) for name in ("signed", "low", "high", "codes", "dtype")},
    "contract.number:bias_number": lambda: _each(number.bias_number, ((one,) for one in _numbers())),
    "contract.bounds:affine_acc_bits": _of_pairs("affine_acc_bits"),
    "contract.bounds:add_acc_bits": _of_pairs("add_acc_bits"),
    "contract.tables:legal_points": lambda: _each(tables.legal_points, product(TableRule, _numbers())),
    "contract.tables:stored_points": lambda: _each(
        tables.stored_points, product((1 << bits for bits in range(BITS_MAX + 1)), TableRule)
    ),
    "engines.compiled.products:lane_order": _lane_orders,
    "tables.points:_ends": _ends,
}
"""The results of each function for all of its domain, in order."""


def exhaust(name: str) -> tuple[int, str]:
    """The number of a function's arguments, and a hash of all its results."""
    digest, count = hashlib.sha256(), 0
    for outcome in DOMAINS[name]():
        digest.update(f"{outcome!r}\n".encode())
        count += 1
    return count, digest.hexdigest()
