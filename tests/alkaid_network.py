"""A small network whose Verilog alkaid generates: `python -m tests.alkaid_network FOLDER SAT RND` writes it.

`tests/rtl/alkaid` holds what alkaid 0.8.2 wrote, without its own modules; `primitives.v` there says in a line each what
those compute.
"""

import sys
from importlib import import_module
from pathlib import Path

INPUTS, HIDDEN, OUTPUTS, SHIFT = 6, 4, 3, 7
WEIGHT_1 = (
    (-6, 61, 121, -92, 44, -127), (95, -118, -37, 70, 28, 3), (-64, 127, 15, -21, 80, -99), (52, 9, -73, 110, -128, 33)
)  # fmt: skip
WEIGHT_2 = ((77, -54, 101, -12), (-98, 36, 5, 120), (19, 88, -67, -45))
BIAS_1, BIAS_2 = (5, -17, 30, -2), (-9, 12, 0)


def generate(folder: Path, overflow: str, rounding: str) -> None:
    """Write the network's Verilog, in which every layer ends with `quantize(..., overflow, rounding)`."""
    import numpy as np

    # No dependency: whoever has it generates anew.
    traced, codegen = import_module("alkaid.trace"), import_module("alkaid.codegen")

    def layer(x, weight, bias):  # type: ignore[no-untyped-def]
        values = (x @ np.array(weight, np.float64).T) * 2.0**-SHIFT + np.array(bias, np.float64)
        return quantized(values, len(bias), overflow, rounding)

    def quantized(values, size, *modes):  # type: ignore[no-untyped-def]
        return values.quantize(np.ones(size, int), np.full(size, 7), np.zeros(size, int), *modes)

    x = quantized(traced.FVArrayInput((INPUTS,)), INPUTS)
    y = layer(layer(x, WEIGHT_1, BIAS_1).relu(), WEIGHT_2, BIAS_2)
    logic = traced.trace(x, y)
    codegen.RTLModel(logic, folder, "mlp", "verilog", latency_cutoff=5, ternary_fuse=False, print_latency=False).write()


if __name__ == "__main__":
    generate(Path(sys.argv[1]), *sys.argv[2:4])
