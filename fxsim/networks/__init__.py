"""Float and fake-quantised networks in PyTorch, and their learnable activations."""
