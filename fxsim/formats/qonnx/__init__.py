"""QONNX models and FINN's dialect of them: float graphs whose values are integers times a scale, to integers."""
