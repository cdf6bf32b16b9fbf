"""The installed cocotb. Importing this module is refused, in one line, where there is none that will do."""

from importlib.metadata import PackageNotFoundError, version

from fxsim.errors import ToolError

_FIRST = (2, 1)
"""The first version of cocotb that will do: what comes before reads signals in another way."""


def _installed() -> str:
    """The version of cocotb; ToolError where it is not installed or too old."""
    wanted = f"expected {'.'.join(map(str, _FIRST))} or later: the extra 'cocotb' of fxsim brings it"
    try:
        found = version("cocotb")
    except PackageNotFoundError:
        raise ToolError(f"cocotb is not installed, {wanted}") from None
    if tuple(int(part) for part in found.split(".")[:2] if part.isdigit()) < _FIRST:
        raise ToolError(f"cocotb {found} is installed, {wanted}")
    return found


COCOTB_VERSION = _installed()
