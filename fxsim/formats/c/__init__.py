"""Integer models as self-contained C99, every tap of them readable, with a wrapper for SystemVerilog (DPI-C)."""

from fxsim.formats.c.files import PARAMETERS_MAX, c_files
from fxsim.formats.c.names import c_name_of
from fxsim.formats.c.write import export_c, raw_images

__all__ = ["PARAMETERS_MAX", "c_files", "c_name_of", "export_c", "raw_images"]
