"""Programs as numbers: the fields of a step, and the codes of operators and functions."""

# Operators of a program. A program is int64 [operators, FIELDS].
LINEAR_CHANNELS, LINEAR_TOKENS, POINTWISE, POOL = range(4)
# Its columns: the operator; where inputs and output start in the arena; rows (channels) of the input and the output;
# their panels' widths; the columns that an image takes in them; tokens of the input and the output; groups of factors
# of a product, and panels that are packed together; where its weights and its 32-bit numbers start; functions of what
# it takes, of what it gives, and of a second input that is then added, each with where its table and its numbers
# start; where its tap starts, or -1.
(
    OP, SRC, SRC_2, DST, ROWS_IN, ROWS_OUT, WIDTH_IN, WIDTH_OUT, EACH_IN, EACH_OUT, TOKENS_IN, TOKENS_OUT, GROUPS,
    TOGETHER, BYTES, WORDS, PRE, PRE_BYTES, PRE_WORDS, POST, POST_BYTES, POST_WORDS, REST, REST_BYTES, REST_WORDS, TAP,
) = range(26)  # fmt: skip
FIELDS = 26
TAKEN_ROWS = 16
"""Channels that a linear's input function is computed for, before they are packed."""
# Functions of one value, done to a row: nothing is left to do, copied, looked up, scaled, or cut off below 0.
NOTHING, COPY, TABLE, AFFINE, RELU = range(-1, 4)
AFFINE_WORDS = 5
"""32-bit numbers that an affine has for a channel."""

# Programs over pixels: operators, and the fields of a step, int64 [steps, PIXEL_FIELDS].
(
    CONV, MAX_POOL, BYTE_FUNCTION, WORD_THRESHOLD, POINTWISE_PIXELS, SUM_POOL, ENCODE, CONCAT, REORDER, ORDERED_LINEAR,
    ARGMAX, PAD, MATMUL, POSITION, WORD_FUNCTION,
) = range(15)  # fmt: skip
# The operator; where its inputs and its result start in the arena, in bytes, whether they are 32-bit words, and
# whether they have a sign; channels and pixels of the input and the result; where its bytes and its numbers
# start, or its first operation and how many it has; where its tap starts in the output, in bytes, or -1; bytes of a
# value there.
(
    P_OP, P_SRC, P_SRC_2, P_SRC_WORDS, P_SRC_SIGNED, P_DST, P_DST_WORDS, P_DST_SIGNED, P_CHANNELS_IN, P_CHANNELS_OUT,
    P_PIXELS_IN, P_PIXELS_OUT, P_BYTES, P_WORDS, P_TAP, P_TAP_SIZE,
) = range(16)  # fmt: skip
PIXEL_FIELDS = 16
# Operations of a pointwise step: from bytes of the arena, to these, and functions of one value or of two; SCALE, SLOPE
# and WEIGHTED also in 64 bits, as the code after, and where results are proved within their format, so that nothing is
# left to saturate, as the second after. Products that are rescaled are always of 64 bits: ties go up (or the rounding
# is down), away from zero, to the even one, or they are rounded twice.
(
    FROM_ARENA, TO_ARENA, SUM, GATE, STEPS, RELU, SCALE, SCALE_WIDE, SCALE_WITHIN, SLOPE, SLOPE_WIDE, SLOPE_WITHIN,
    WEIGHTED, WEIGHTED_WIDE, WEIGHTED_WITHIN, RESCALE_UP, RESCALE_AWAY, RESCALE_EVEN, RESCALE_TWICE,
) = range(19)  # fmt: skip
# Its fields: the operation; what it takes and gives, each the number of a buffer, or -1 less the place of a tensor of
# words in the arena, in bytes; where its numbers start, or its tensor of bytes in the arena; how many thresholds it
# has; whether that tensor has a sign.
U_OP, U_A, U_B, U_Y, U_AT, U_COUNT, U_SIGNED = range(7)
OPERATION_FIELDS = 7
# Numbers of a convolution: the form of its factors; rows and columns of its input, what is put above and left of them,
# both with padding; strides; columns of its result; groups, units of a pixel and group, outputs of a group, tiles of
# them; steps of all runs together; runs; images that are prepared together; inputs of a unit, and of how many different
# values, and how many values what they are found from has; channels of a group; a unit of padding, what a factor is
# above its value, and the digit of a channel that there is not; scale and start of sums that are looked up; thresholds,
# or -1. Then where its parts start, from its first number or byte: runs, start values, thresholds, weights, values and
# digits, the digits of all bytes, tables. Last the outputs of a tile whose products are looked up, and the lanes that
# its thresholds are laid for.
(
    C_FORM, C_ROWS, C_COLUMNS, C_TOP, C_LEFT, C_PADDED_ROWS, C_PADDED_COLUMNS, C_ROW_STRIDE, C_COLUMN_STRIDE,
    C_COLUMNS_OUT, C_GROUPS, C_UNITS, C_SHARE, C_TILES, C_STEPS, C_RUNS, C_TOGETHER, C_EACH, C_VALUES, C_STORED_VALUES,
    C_EACH_CHANNELS,
    C_PADDING, C_ZERO, C_NO_DIGIT, C_SCALE, C_START, C_THRESHOLDS, C_RUNS_AT, C_STARTS_AT, C_THRESHOLDS_AT,
    C_WEIGHTS_AT, C_VALUES_AT, C_DIGITS_AT, C_TABLES_AT, C_TILE_COLUMNS, C_TILE_LANES,
) = range(36)  # fmt: skip
CONV_NUMBERS = 36
# Forms of its factors: four bytes a unit, two numbers of 16 bits, or a place in tables of products.
FOUR_BYTES, TWO_NUMBERS, LOOKED_UP = range(3)
UNIT_BYTES = (4, 4, 2)
"""Bytes of a unit in each form."""
# Numbers of a max pool.
M_ROWS, M_COLUMNS, M_ROW_STRIDE, M_COLUMN_STRIDE, M_COLUMNS_IN, M_COLUMNS_OUT = range(6)
# Numbers of a sum pool, behind those: least and greatest partial sum, where these are saturated; the divisor, which
# has no sign, and how it rounds; least and greatest result. Last what is enough where sums have less than 32 bits and
# are divided by a power of two: how far they are shifted, or -1 where it is not; what is added before; and what is
# added to those that are negative alone.
S_SATURATES, S_LEAST, S_GREATEST, S_DIVISOR, S_ROUNDING, S_LOW, S_HIGH, S_SHIFT, S_BEFORE, S_NEGATIVE = range(6, 16)
# Numbers of a pad: rows and columns above and left of its input, those of the input, columns of its result. Its bytes
# are a pixel of what is around, as it is stored.
D_TOP, D_LEFT, D_ROWS, D_COLUMNS, D_COLUMNS_OUT = range(5)
# Numbers of a matmul: heads; products of a sum; whether its second input is transposed; pixels and channels of that,
# whether it is of words, and whether it has a sign.
X_HEADS, X_TERMS, X_TRANSPOSED, X_PIXELS, X_CHANNELS, X_WORDS, X_SIGNED = range(7)
TABLE_ENTRIES = 16
"""Entries of a table of products: what four bits of weights choose from."""
