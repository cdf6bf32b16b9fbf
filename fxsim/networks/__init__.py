"""Float and quantised networks in PyTorch: activations, the ResMLP, its quantised form, and the way to integers."""

import os

# Before torch is imported, here or by who imports this. Threads of torch's that wait for each other do not spin
# meanwhile: `lerp_kernels` has threads of its own, and other programs may want the same cores; spinning then makes
# training several times slower. No effect on any result; none at all where torch was imported before.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# cuBLAS sums in a fixed order only with a workspace of fixed size; to be set before CUDA starts.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
