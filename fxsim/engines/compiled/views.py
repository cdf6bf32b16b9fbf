"""Views: where in memory the kernels read and write. They hold addresses, in bytes, in place of arrays and offsets."""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="call-arg"
# Numba infers its own types: annotations would be a second, unchecked statement of them.

from typing import Any, NamedTuple

from fxsim.engines.compiled.vectors import I8, I64, data_of
from fxsim.jit import intrinsic, types


class Rows(NamedTuple):
    """Rows of bytes: the first is at the address `at`, each `row` bytes behind the one before."""

    at: Any
    row: Any


class Stack(NamedTuple):
    """Rows of several panels: those of the first start at `at`, each panel `panel` bytes behind the one before."""

    at: Any
    row: Any
    panel: Any


class Memory(NamedTuple):
    """Addresses of what the operators work in, all aligned to 64 bytes.

    `data`: weights and tables, bytes; `words`: start values, shifts and biases, of 32 bits; `arena`: tensors, bytes;
    `packed`: factors of a product, bytes.
    """

    data: Any
    words: Any
    arena: Any
    packed: Any


@intrinsic
def address_of(_typing, array):
    """The address of an array's first element."""

    def generate(context, builder, signature, arguments):
        return builder.ptrtoint(data_of(context, builder, signature, arguments, 0), I64)

    return types.int64(array), generate


def view_of(builder, kind, value):
    """A view that an intrinsic is given, `kind` its Numba type; what it is given as an address alone, as a pointer."""
    if not isinstance(kind, types.NamedUniTuple):
        return builder.inttoptr(value, I8.as_pointer())
    parts = [builder.extract_value(value, i) for i in range(len(kind.types))]
    addresses = len(parts) if kind.instance_class is Memory else 1
    return kind.instance_class(*(builder.inttoptr(at, I8.as_pointer()) for at in parts[:addresses]), *parts[addresses:])
