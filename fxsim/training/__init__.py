"""The flow from data to an integer model: recipes, training, distillation, quantisation, evaluation."""

import os

# Threads of torch's that wait for each other do not spin meanwhile: where other programs want the same cores, spinning
# makes training several times slower. No effect on any result; none at all where torch was imported before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# cuBLAS sums in a fixed order only with a workspace of fixed size; to be set before CUDA starts.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
