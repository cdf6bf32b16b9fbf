"""Makes mlp.safetensors, images.npy and the ROM files of the design, in the working folder."""

from pathlib import Path

import numpy as np

from fxsim import Graph, Model, Node, save
from fxsim.operators import Linear, Relu

rng = np.random.default_rng(1)


def layer(outputs: int, inputs: int, shift: int) -> Linear:
    """A layer of random numbers, as a training flow would export it."""
    weight = rng.integers(-128, 128, (outputs, inputs)).astype(np.int8)
    bias = rng.integers(-32, 32, outputs).astype(np.int8)
    return Linear(weight, bias, np.full(outputs, shift, np.uint8))


graph = Graph(
    (2, 4),  # tokens, channels
    [
        Node("fc1", layer(4, 4, 7), ("input",)),
        Node("relu", Relu(), ("fc1",)),
        Node("fc2", layer(3, 4, 8), ("relu",)),
    ],
)
save(Model(graph, "mlp"), "mlp.safetensors")
np.save("images.npy", rng.integers(-128, 128, (6, 2, 4)).astype(np.int8))
for node in graph.nodes:
    for name in node.op.tensors:
        values = getattr(node.op, name).astype(np.int64).ravel() & 0xFF
        Path(f"{node.name}_{name}.hex").write_text("".join(f"{value:02x}\n" for value in values))
