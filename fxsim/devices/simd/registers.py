"""The SIMD accelerator's registers, their bits and its error codes: the one place in Python that states them.

The address map, the C header and the tables of `docs/memory-image.md` are derived from, or held to, what stands here.
"""

from enum import IntEnum, StrEnum

ACCELERATOR_ID = 0x46580001
"""The value that register ID reads: "FX", then the version of the register map and of the parameter stream."""


class Access(StrEnum):
    """The access to a register that software has."""

    READ = "read-only"
    WRITE = "read-write"
    """Written only while the accelerator is idle, CONTROL and STATUS excepted."""


class Register(IntEnum):
    """Byte offset of each 32-bit register; a `_LO`, `_HI` pair is one 64-bit value."""

    access: Access
    text: str

    def __new__(cls, offset: int, access: Access, text: str) -> "Register":  # noqa: D102  # a member's making
        member = int.__new__(cls, offset)
        member._value_ = offset
        member.access = access
        member.text = text
        return member

    ID = 0x00, Access.READ, f"reads 0x{ACCELERATOR_ID:08x}"
    CONTROL = 0x04, Access.WRITE, "start, stop, keep, interrupt enable"
    STATUS = 0x08, Access.WRITE, "busy, done, error"
    ERROR = 0x0C, Access.READ, "code of the last run's error in bits 7:0, its layer in bits 31:16"
    PARAM_ADDR_LO = 0x10, Access.WRITE, "address of the parameters, a multiple of 16"
    PARAM_ADDR_HI = 0x14, Access.WRITE, "its upper half"
    PARAM_WORDS = 0x18, Access.WRITE, "words of the parameters"
    IMAGE_COUNT = 0x1C, Access.WRITE, "images of a run"
    IMAGE_ADDR_LO = 0x20, Access.WRITE, "address of the first image, a multiple of 16"
    IMAGE_ADDR_HI = 0x24, Access.WRITE, "its upper half"
    IMAGE_WORDS = 0x28, Access.WRITE, "words of an image"
    IMAGE_STRIDE = 0x2C, Access.WRITE, "bytes from an image to the next, a multiple of 16"
    RESULT_ADDR_LO = 0x30, Access.WRITE, "address of the first image's result, a multiple of 16"
    RESULT_ADDR_HI = 0x34, Access.WRITE, "its upper half"
    RESULT_WORDS = 0x38, Access.WRITE, "words of an image's result"
    RESULT_STRIDE = 0x3C, Access.WRITE, "bytes from a result to the next, a multiple of 16"
    CYCLES_LO = 0x40, Access.READ, "clock cycles of this run or, when idle, of the last one"
    CYCLES_HI = 0x44, Access.READ, "its upper half"
    IMAGES_DONE = 0x48, Access.READ, "images of the run whose whole result the memory has acknowledged"
    ACTIVATION_WORDS = 0x50, Access.READ, "parameter ACTIVATION_WORDS: words of each activation buffer"
    IMAGE_BUFFER_WORDS = 0x54, Access.READ, "parameter IMAGE_WORDS: words of the image buffer"
    RESIDUAL_WORDS = 0x58, Access.READ, "parameter RESIDUAL_WORDS: words of the residual memory"
    WEIGHT_WORDS = 0x5C, Access.READ, "parameter WEIGHT_WORDS: words of the ring of weights"
    TABLE_WORDS = 0x60, Access.READ, "parameter TABLE_WORDS: words of the ring of tables"
    CONSTANT_GROUPS = 0x64, Access.READ, "parameter CONSTANT_GROUPS: groups of the ring of constants"
    CHUNKS = 0x68, Access.READ, "parameter CHUNKS: places of the ring of biases and shifts"
    LAYERS = 0x6C, Access.READ, "parameter LAYERS: layers that can be kept"
    ACC_W = 0x70, Access.READ, "parameter ACC_W: bits of an accumulator"


class Control(IntEnum):
    """Bits of CONTROL by number."""

    START = 0
    """Writing 1 starts a run; reads as 0."""
    STOP = 1
    """Writing 1 ends the run in progress with the error STOPPED; reads as 0."""
    KEEP = 2
    """Read the parameters once for all images of a run; they must fit the rings as a whole."""
    IRQ_ENABLE = 3
    """`irq` is this bit and DONE."""


class Status(IntEnum):
    """Bits of STATUS by number; writing 1 to DONE or ERROR clears it."""

    BUSY = 0
    DONE = 1
    """Rises at the end of every run, with an error or without."""
    ERROR = 2


ERROR_CODE_MASK = 0xFF
"""Bits of ERROR that hold the code."""

ERROR_LAYER_SHIFT = 16
"""The lowest bit of the layer's number in ERROR."""


class ErrorCode(IntEnum):
    """The cause that ended a run, in bits 7:0 of ERROR."""

    text: str

    def __new__(cls, code: int, text: str) -> "ErrorCode":  # noqa: D102
        member = int.__new__(cls, code)
        member._value_ = code
        member.text = text
        return member

    NONE = 0, "no error"
    BAD_ADDRESS = (
        1,
        "an address or a stride is not a multiple of 16, a stride is below the words it must hold, or an end lies "
        "beyond the address space",
    )
    BAD_COUNT = 2, "IMAGE_COUNT, PARAM_WORDS, IMAGE_WORDS or RESULT_WORDS is 0"
    BAD_DESCRIPTOR = 3, "a layer's descriptor is illegal, or does not follow from the layer before it"
    DOES_NOT_FIT = 4, "a layer is beyond the buffers or, with KEEP, the parameters are as a whole"
    PARAMETERS_END = 5, "the parameters end inside a layer, or go on after the last one"
    READ_RESPONSE = 6, "the memory answered a read with an error"
    WRITE_RESPONSE = 7, "the memory answered a write with an error"
    READ_LAST = 8, "a read burst was too short or too long, or came under an ID that was never used"
    STOPPED = 9, "the run was stopped"
