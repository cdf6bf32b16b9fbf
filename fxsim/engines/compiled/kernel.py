"""The kernel: a program, run on one block of images after the other. Numba compiles it for each instruction set."""

# mypy: allow-untyped-defs, allow-untyped-calls, disable-error-code="call-arg,unreachable,var-annotated"
# Numba infers its own types: annotations would be a second, unchecked statement of them; and it gives an intrinsic its
# first argument, the typing context.

from llvmlite import ir

from fxsim.engines.compiled.codes import LINEAR_CHANNELS, LINEAR_TOKENS, OP, POINTWISE, TAP, WORDS
from fxsim.engines.compiled.functions import pointwise, pool
from fxsim.engines.compiled.layout import read, write
from fxsim.engines.compiled.products import linear_channels, linear_tokens
from fxsim.engines.compiled.vectors import I32, I64
from fxsim.engines.compiled.views import Memory, address_of
from fxsim.jit import cgutils, intrinsic, types


@intrinsic
def fence(_typing):
    """A fence: streamed bytes are in memory before anything that follows."""

    def generate(context, builder, _signature, _arguments):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def now_ns(_typing):
    """Nanoseconds of a monotonic clock."""

    def generate(_context, builder, _signature, _arguments):
        time = cgutils.alloca_once(builder, ir.ArrayType(I64, 2))
        clock = ir.FunctionType(I32, [I32, time.type])
        builder.call(cgutils.get_or_insert_function(builder.module, clock, "clock_gettime"), [I32(1), time])
        seconds, nanoseconds = (builder.extract_value(builder.load(time), i) for i in range(2))
        return builder.add(builder.mul(seconds, I64(10**9)), nanoseconds)

    return types.int64(), generate


def compute(isa, program, data, words, images, out, first, last, block, arena, packed, scratch, spent):
    """Run `program` on images `first` to `last` - 1, `block` at a time.

    `isa`: the instruction set. `data` uint8: weights and tables; `words` int32: start values, shifts and biases;
    `images` int8 [image, values]; `out` int8, flat: every tap for all images, one after the other. `arena`, `packed`
    uint8, `scratch` int8: space of the calling thread, aligned to 64 bytes, as `out` is; nothing is allocated here.
    `spent` int64 [steps + 2], or empty: to it are added the nanoseconds that each step takes, taking the images, and
    writing the taps.
    """
    measured = len(spent) > 0
    steps = program.shape[0]
    memory = Memory(address_of(data), address_of(words), address_of(arena), address_of(packed))
    for image in range(first, last, block):
        here = min(block, last - image)
        before = now_ns() if measured else 0
        read(program[0], here, image, images, arena, scratch)
        if measured:
            now = now_ns()
            spent[steps] += now - before
            before = now
        for i in range(steps):
            step = program[i]
            op = step[OP]
            if op == LINEAR_CHANNELS:
                linear_channels(isa, step, here, memory)
            elif op == LINEAR_TOKENS:
                linear_tokens(isa, step, here, memory)
            elif op == POINTWISE:
                pointwise(isa, step, here, memory)
            else:
                pool(step, here, arena, words[step[WORDS]])
            if measured:
                now = now_ns()
                spent[i] += now - before
                before = now
            if step[TAP] >= 0:
                write(step, here, image, out, arena, scratch)
                if measured:
                    now = now_ns()
                    spent[steps + 1] += now - before
                    before = now
    fence()
