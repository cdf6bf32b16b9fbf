"""TensorFlow Lite's models of 8 bits: files that are read (`read`), kernels' rounding (`rules`), and an importer."""
