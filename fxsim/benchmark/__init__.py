"""All measuring: engines against each other and the machine, activations, accuracy, start-up, distance to others' data.

`fxsim bench` and, for what only developers want, `python -m benchmarks` are its commands.
"""

import fxsim.networks  # noqa: F401  # sets how torch's threads wait, before modules of this package import torch
