"""Makes tiny.safetensors, a linear and a ReLU on three tokens of six values, and images.npy, in the working folder."""

import numpy as np

from fxsim import Graph, Model, Node, save
from fxsim.operators import Linear, Relu

rng = np.random.default_rng(1)
weight = rng.integers(-128, 128, (4, 6)).astype(np.int8)  # outputs, inputs
bias = rng.integers(-20, 20, 4).astype(np.int8)
shift = np.array([8, 7, 9, 8], np.uint8)  # bits to the right, of each output

nodes = [Node("fc", Linear(weight, bias, shift), ("input",)), Node("act", Relu(), ("fc",))]
save(Model(Graph((3, 6), nodes), "tiny"), "tiny.safetensors")  # tokens, channels
np.save("images.npy", rng.integers(-128, 128, (8, 3, 6)).astype(np.int8))
