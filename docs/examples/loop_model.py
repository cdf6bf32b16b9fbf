"""Makes loop.safetensors, a convolution that is computed four times with one set of weights, and images.npy, here."""

import numpy as np

from fxsim import Graph, Model, Node, save
from fxsim.contract import Number, Rounding, Tensor
from fxsim.graph import INPUT, repeat
from fxsim.operators import Conv, Rescale, WeightedAdd

rng = np.random.default_rng(7)
CHANNELS = 4


def conv(inputs: int) -> Conv:
    """Of 3 x 3 places, zeros around the image, random weights [output, row, column, input]; sums of 20 bits."""
    weight = rng.integers(-128, 128, (CHANNELS, 3, 3, inputs)).astype(np.int8)
    return Conv(weight, padding=(1, 1, 1, 1), out=Number(20))


def finisher(bits: int) -> Rescale:
    """Sums to int8: `bits` to the right, ties up. Without HALF_UP they would go to the even one."""
    nothing, ones = np.zeros(CHANNELS, np.int32), np.ones(CHANNELS, np.int32)
    shift, bias = np.full(CHANNELS, bits, np.uint8), np.zeros(CHANNELS, np.int8)
    return Rescale(nothing, ones, shift, bias, Rounding.HALF_UP, out=Number(8))


stem = (Node("stem.sums", conv(1), (INPUT,)), Node("stem", finisher(9), ("stem.sums",)))
# An Euler step x + f(x) / 4: (4 x + f) >> 2, rounded.
euler = WeightedAdd(np.array([[4] * CHANNELS, [1] * CHANNELS], np.int16), np.full(CHANNELS, 2, np.uint8), out=Number(8))
step = (
    Node("sums", conv(CHANNELS), (INPUT,)),
    Node("f", finisher(10), ("sums",)),
    Node("x", euler, (INPUT, "f")),
)
image = Tensor(("row", "column", "channel"), (6, 6, 1), Number(8))
save(Model(Graph(image, (*stem, *repeat("ode", step, 4, "stem"))), "loop"), "loop.safetensors")
np.save("images.npy", rng.integers(-128, 128, (5, 6, 6, 1)).astype(np.int8))
