"""The claims of proofs and what they assume, in the words of `docs/prove.md`: what reports say, and no more."""

RUN = (
    "After one cycle of reset, whatever registers and memories held before it, with the stalls of the schedule that "
    "was run and the parameters and ROM contents of this model: every value that passes at a tap, of each image of "
    "the run, is the contract's function of the values of the taps before it, for all values that these can have; "
    "the values come in their order, none is lost or doubled, the output passes on the last tap's values with right "
    "tlast and tuser, and no error output is ever set."
)
"""The meaning of `proved` of a run, but for its last sentence."""

WHOLE = "So the output is the model's, whatever the images of the run hold."
"""The last sentence, of a run of a whole accelerator, or of a job."""

JOB = (
    "After one cycle of reset, whatever registers and memories held before it, with the registers written as stated "
    "below, the parameters and images where they say, and the latency and stalls of memory that were run: every value "
    "that a monitor shows, of each image of the job, is the contract's function of the values of the taps before it, "
    "for all values that these can have; the words come in their order, none is lost or doubled, and lanes behind the "
    "last channel hold their constants. Nothing is read but the parameters and the images. The words of the results "
    "are written once each, with the last tap's values and zeros behind them, and nothing else is written; the "
    "interrupt comes after that, and STATUS, ERROR and IMAGES_DONE say so."
)
"""The meaning of `proved` of a run of an accelerator that has registers and memory, but for its last sentence."""

JOB_NOT_COVERED = (
    "Only simulated, or not covered here: other latencies, stalls and orders of memory, addresses and strides than "
    "those that were run; parameters that are kept, and further jobs; images after those of the run (--images); resets "
    "in mid-run, stops, and errors on the bus; other sizes of the buffers."
)

MODULE = "Of a module run alone, proved says the same of the taps and ports that it has, without the last sentence."

DESCRIBED = (
    "After the reset that the description states, or without one from any state on, while nothing is offered, whatever "
    "registers without a first content held before it, with the stalls of the schedule that was run: every value that "
    "passes at a tap that the description shows and at the output, of each image of the run, is the contract's "
    "function of the values of the input and of such taps before it, for all values that these can have; the values "
    "come in their order, none is lost or doubled, with right last and keep where the description says what these "
    "are. So the output is the model's under that schedule, whatever the images of the run hold."
)
"""The meaning of `proved` of a described design."""

DESCRIBED_ASSUMED = (
    "Assumed beside what is said above: slang's reading of the design, which Verilator's is compared with on images "
    "alone."
)

RUN_ASSUMED = (
    "Assumed: the BTOR2 writer of Yosys, the evaluator (fxsim/prove/compiled), the contract's functions in numpy, "
    "bitwuzla."
)

RUN_NOT_COVERED = (
    "Only simulated, or not covered here: schedules other than the one that was run (of which All schedules "
    "speaks); images after those of the run (--images); resets in mid-run; wrong frames."
)

BLOCK = (
    "The block gives what its rule does, for any inputs (any shift and bias, too) and whatever registers held: the "
    "rule is written in Verilog with numbers so wide that nothing wraps, and the solver finds nothing in which they "
    "differ."
)

BLOCK_ASSUMED = (
    "Assumed: the BTOR2 writer of Yosys, the reading of it as SMT-LIB (fxsim/prove/transition.py), bitwuzla, and "
    "the rule."
)

SCHEDULES = (
    "From the first cycle of reset on, whatever registers and memories held before: the sequence of values that "
    "leaves is a function of the sequence that entered since the last cycle of reset, the same under every "
    "schedule: none is lost, doubled, or out of order. An output that is valid stays, with its data, until it is "
    "taken. Whatever is inside leaves within the stated cycles in which the output is ready; what is not ready to "
    "take a value has one inside."
)
"""The meaning of `proved` of a module under every schedule."""

COMPOSED = (
    "So: the values at every tap, as a sequence, are the same under every schedule; with the proof of one schedule "
    "(above), they are the model's. Of the images of that run; that later images are computed alike is not proved "
    "there, but each module's state between images is covered here."
)
"""The consequence for an accelerator of which every module is proved so, and the others are streams alone."""

SCHEDULES_ASSUMED = (
    "Assumed: the BTOR2 writer of Yosys, the reading of it as SMT-LIB (fxsim/prove/transition.py), bitwuzla; that "
    "who drives the accelerator keeps s_axis valid and unchanged until it is taken, which only axis_fork and "
    "frame_tag need, and they have modules before them."
)

DESIGN = (
    "From the first cycle of reset on, under any stalls, gaps and resets, whatever registers and memories held before: "
    "of each module of the composed design every output is the stated function of its inputs since that reset and of "
    "the words of its ROM, in their order, none lost or doubled; and the design has the instances, connections, "
    "parameters and ROM files that the graph asks for, and no others. So every value that leaves, at m_axis and at "
    "every node's stream, is the model's, in its order, of all images that entered, whatever these hold."
)
"""The meaning of `proved` of a composed design, and of its modules."""

DESIGN_ASSUMED = (
    "Assumed: the BTOR2 and JSON writers of Yosys, the reading of them (fxsim/prove/transition.py, "
    "fxsim/prove/composed.py), bitwuzla; that who drives the accelerator keeps s_axis valid and unchanged until it is "
    "taken, which only axis_fork, channel_concat and few_product need."
)

DESIGN_NOT_PROVED = (
    "Not proved: that the whole never stands still, of which each module's promise to go on says its part; how long an "
    "image takes; what an image with beats too few or too many does to those behind it."
)

STANDING = (
    "The whole never stands still: while images of the right length are offered and the output is taken, one of its "
    "streams passes a value within the stated cycles, under every schedule, of any number of images."
)
"""The meaning of `proved` of a whole that was run as a network of what is proved of its modules."""

SCHEDULES_NOT_PROVED = (
    "Not proved: what the whole does with images of a wrong length, beyond what is said of each module."
)

ENGINE = (
    "On the instruction set in use: every table, affine and ReLU gives the contract's value for all 256 inputs of "
    "every channel, in the engine's kernels, and every sum of two for all 256 x 256; the packed weights of each "
    "output of a linear are the model's, or all 0, and with its packed start value, shift and bias make of every "
    "sum of the proven range what the contract does; where it adds up in 16 bits, no pair of products and no run of "
    "them leaves these, whatever its inputs are in the ranges that lowering found; its kernels do so at both sides "
    "of each threshold, where the weights reach them, at one input a sum, and those of a pool at every sum (of more "
    "than 2^22 values: both sides of each threshold)."
)

ENGINE_ASSUMED = "Assumed: the statement of the contract (fxsim/prove/statement.py), bitwuzla."

ENGINE_NOT_PROVED = (
    "Not proved, and said so in every run: that the loops of a linear add up all products, and those of a pool all "
    "tokens, for every input; the ranges that lowering found; and steps with more than one function at once "
    "(docs/engine.md)."
)
