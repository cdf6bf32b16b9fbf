"""Verilator's opinion of the accelerators, as Verilog-2005 with every warning on: widths, unused and undriven, latches.

Exits with 1 where Verilator has anything to say. tests/test_rtl_readable.py asks it about every module and the ends of
every parameter's range; this is the quick look at the two wholes.
"""

import subprocess
import sys
from pathlib import Path

from fxsim.simulate.tools import LINT_OPTIONS, find_verilator

ROOT = Path(__file__).resolve().parent.parent
TOPS = ("stream_resmlp", "simd_resmlp")


def main() -> int:
    """Lint each top; 0 where all are clean."""
    folders = sorted({path.parent for path in (ROOT / "rtl").rglob("*.v")})
    libraries = [word for folder in folders for word in ("-y", str(folder))]
    worst = 0
    for top in TOPS:
        (source,) = (ROOT / "rtl").rglob(f"{top}.v")
        run = subprocess.run([find_verilator(), *LINT_OPTIONS, "--top-module", top, *libraries, source], check=False)
        print(f"{source.relative_to(ROOT)}: {'clean' if run.returncode == 0 else 'see above'}")
        worst |= run.returncode
    return min(worst, 1)


if __name__ == "__main__":
    sys.exit(main())
