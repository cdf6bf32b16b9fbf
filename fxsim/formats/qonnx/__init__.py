"""QONNX models, FINN's dialect of them and 8-bit ONNX models: values that are integers times a scale, to integers."""
