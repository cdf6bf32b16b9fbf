"""The flow from data to an integer model: recipes, training, distillation, quantisation, evaluation."""

import fxsim.networks  # noqa: F401  # sets how torch's threads wait, before modules of this package import torch
