"""Integer models as ONNX files of standard operators, and ONNX Runtime to execute them. Needs the extra `onnx`.

The extra's packages are imported when they are needed, not before.
"""

from fxsim.formats.onnx.execute import open_onnx
from fxsim.formats.onnx.extra import missing
from fxsim.formats.onnx.write import BATCH_MAX, IR_VERSION, OPSET, export_onnx, onnx_bytes

__all__ = ["BATCH_MAX", "IR_VERSION", "OPSET", "export_onnx", "missing", "onnx_bytes", "open_onnx"]
