"""Whether the extra `onnx` is installed, which brings `onnx` and `onnxruntime`."""

from importlib.util import find_spec

from fxsim.errors import ToolError


def missing(*modules: str) -> str | None:
    """The reason why these modules of the extra cannot be used here, or None where they can."""
    absent = [name for name in modules if find_spec(name) is None]
    return f"the extra 'onnx' is not installed: there is no {' and no '.join(absent)} here" if absent else None


def require(*modules: str) -> None:
    """ToolError where one of these modules of the extra is not installed."""
    reason = missing(*modules)
    if reason is not None:
        raise ToolError(reason)
