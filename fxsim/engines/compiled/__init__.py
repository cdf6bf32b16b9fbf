"""The compiled engine: a graph is lowered to a program once, whose kernels then run on blocks of images.

Data walks through its modules in this order: `isa` (what the CPU can run), `layout` (how tensors lie), `program`
(lowering: packed parameters and steps, with `ranges` and `runs`), `kernel` (what Numba compiles, of `products`,
`functions` and `vectors`), `run` (blocks of images and threads). Over pixels they are `pixel_layout`, `pixel_program`
with `convolutions`, and `pixels` of `windows`, `pointwise` and `places`.
"""

from fxsim.engines.compiled.isa import ISA_VARIABLE, ISAS, Isa, instruction_set, instruction_sets
from fxsim.engines.compiled.pixel_program import Products, is_pixels, products_of
from fxsim.engines.compiled.program import Sums, sums_of
from fxsim.engines.compiled.run import StepTime, compute_function, prepare, profile_compiled, run_compiled

__all__ = [
    "ISAS",
    "ISA_VARIABLE",
    "Isa",
    "Products",
    "StepTime",
    "Sums",
    "compute_function",
    "instruction_set",
    "instruction_sets",
    "is_pixels",
    "prepare",
    "products_of",
    "profile_compiled",
    "run_compiled",
    "sums_of",
]
