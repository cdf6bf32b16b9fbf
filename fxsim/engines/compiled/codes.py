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
