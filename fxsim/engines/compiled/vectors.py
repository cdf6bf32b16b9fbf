"""LLVM vector operations, as intrinsics put them together."""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="call-arg,unreachable,var-annotated"
# Numba infers its own types: annotations would be a second, unchecked statement of them; and it gives an intrinsic its
# first argument, the typing context.

from llvmlite import ir

from fxsim.jit import cgutils

I8, I16, I32, I64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))


def vector_of(element, count):
    """A vector type of `count` elements."""
    return ir.VectorType(element, count)


def splat(vector, value):
    """A constant vector, `value` in every lane."""
    return ir.Constant(vector, [value] * vector.count)


def broadcast(builder, scalar, count):
    """A vector of `count` lanes, `scalar` in each."""
    vector = vector_of(scalar.type, count)
    undefined = ir.Constant(vector, ir.Undefined)
    one = builder.insert_element(undefined, scalar, I32(0))
    return builder.shuffle_vector(one, undefined, ir.Constant(vector_of(I32, count), [0] * count))


def call(builder, name, result, *arguments):
    """A call of an LLVM intrinsic, or of a C function, by name."""
    kind = ir.FunctionType(result, [a.type for a in arguments])
    return builder.call(cgutils.get_or_insert_function(builder.module, kind, name), arguments)


_X86 = {
    "pmaddubsw": {16: "ssse3.pmadd.ub.sw.128", 32: "avx2.pmadd.ub.sw"},
    "pmaddwd": {16: "sse2.pmadd.wd", 32: "avx2.pmadd.wd"},
    "packssdw": {16: "sse2.packssdw.128", 32: "avx2.packssdw", 64: "avx512.packssdw.512"},
    "packsswb": {16: "sse2.packsswb.128", 32: "avx2.packsswb", 64: "avx512.packsswb.512"},
    "pshufb": {16: "ssse3.pshuf.b.128", 32: "avx2.pshuf.b", 64: "avx512.pshuf.b.512"},
}
"""LLVM's names of instructions of x86, by the bytes of the registers that they take."""


def x86(builder, name, result, *arguments):
    """An instruction of x86 on vectors of 16, 32 or 64 bytes."""
    of = arguments[0].type
    return call(builder, f"llvm.x86.{_X86[name][of.count * of.element.width // 8]}", result, *arguments)


def shuffle(builder, a, b, places):
    """A vector of the lanes of `a`, then `b`, that `places` numbers."""
    return builder.shuffle_vector(a, b, ir.Constant(vector_of(I32, len(places)), list(places)))


def data_of(context, builder, signature, arguments, index):
    """The address of the data of an array that an intrinsic is given as an argument."""
    return context.make_array(signature.args[index])(context, builder, arguments[index]).data


def address(builder, data, terms, of):
    """The address `terms` bytes, or elements, behind `data`, as one of a value of type `of`."""
    offset = I64(0)
    for term in terms:
        offset = builder.add(offset, term if not isinstance(term, int) else I64(term))
    return builder.bitcast(builder.gep(data, [offset]), of.as_pointer())


def load(builder, data, terms, of, align=1):
    """A value of type `of`, `terms` behind `data`."""
    return builder.load(address(builder, data, terms, of), align=align)


def store(builder, value, data, terms, align=1):
    """Store `value`, `terms` behind `data`."""
    builder.store(value, address(builder, data, terms, value.type), align=align)


def saturate(builder, value, element):
    """A vector of numbers, saturated to those of half as many bits."""
    kind = value.type
    most = (1 << element.width - 1) - 1
    low, high = splat(kind, -most - 1), splat(kind, most)
    value = builder.select(builder.icmp_signed("<", value, low), low, value)
    value = builder.select(builder.icmp_signed(">", value, high), high, value)
    return builder.trunc(value, vector_of(element, kind.count))


def join(builder, a, b):
    """The lanes of `a`, then those of `b`."""
    return shuffle(builder, a, b, range(2 * a.type.count))


def saturating_add(builder, a, b):
    """The sum sat8(a + b) of stored bytes."""
    flip = splat(a.type, -128)
    total = call(builder, f"llvm.sadd.sat.v{a.type.count}i8", a.type, builder.xor(a, flip), builder.xor(b, flip))
    return builder.xor(total, flip)
