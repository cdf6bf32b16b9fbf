"""The accelerators that can be simulated and compared, one folder each."""
