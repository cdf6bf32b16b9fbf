"""Outputs in a RAM inside the design that are written after the job is said to be done, whatever their place.

Faults are told to the design by a file that it reads when it starts: one build for all of them.
"""

from pathlib import Path

import pytest

from fxsim.cosim import CosimResult
from fxsim.graph import Model
from tests.test_described_jobs import INSIDE, INSIDE_TOML, simulate
from tests.test_described_jobs import single as one_output

single = one_output

# Done comes when the last word was written, or so early that it was not (1). Or word 1, of three, is written (2) when
# the first of them can just have been read, and (3) again, 40 cycles after done.
EDITS = {
    "{8'd0, y}": "{{8{y[7]}}, y}",
    "  reg run, was;": '  reg run, was;\n  reg [7:0] fault[0:0];\n  initial $readmemh("fault.hex", fault);\n'
    "  reg [5:0] tail;\n  reg [15:0] kept;",
    "if (column == 5) memory": "if (n == 11) kept <= {{8{y[7]}}, y};\n"
    "      if (column == 5 && !(fault[0] == 2 && n == 11)) memory",
    "if (n == 17) begin run <= 0; ready <= 1; end": "if (n == (fault[0] == 1 ? 14 : 17)) ready <= 1;\n"
    "      if (n == 17) run <= 0;",
    "    if (!rst_n) begin": "    tail <= run && n == 17 ? 1 : tail == 0 ? 0 : tail + 1;\n"
    "    if (fault[0] == 2 && tail == 2) memory[33] <= kept;\n"
    "    if (fault[0] == 3 && tail == 40) memory[33] <= ~kept;\n"
    "    if (!rst_n) begin tail <= 0;",
}


def faulty(folder: Path) -> Path:
    """The design with a RAM inside and all faults; returns its description."""
    folder.mkdir()
    text = INSIDE
    for old, new in EDITS.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (folder / "inside.v").write_text(text)
    files = INSIDE_TOML.replace("uint16", "int16").replace("clock =", 'files = ["fault.hex"]\nclock =')
    (folder / "inside.toml").write_text(files)
    return folder / "inside.toml"


@pytest.mark.verilator
def test_output_that_is_written_after_done_is_found_whatever_its_place(single: Model, tmp_path: Path) -> None:
    """The harness reads a word a cycle: what is written meanwhile is right when it is read, and was not when done."""
    path = faulty(tmp_path / "a")

    def run(fault: int, stall: str = "none") -> CosimResult:
        (path.parent / "fault.hex").write_text(f"{fault:02x}\n")
        return simulate(single, path, stall=stall)

    for stall in ("none", "random:3+reset:5:4"):
        right = run(0, stall)
        assert (right.passed, right.verdict.faults) == (True, ())
    for fault, word in ((1, 2), (2, 1), (3, 1)):
        wrong = run(fault)
        assert not wrong.passed
        found = [(one.kind, one.stream, one.image, one.token, one.detail) for one in wrong.verdict.faults]
        assert found == [
            ("written after done", "own", image, word, f"word {word} of output in own") for image in range(8)
        ], fault
        # What is read in the end is right.
        assert wrong.streams.mismatches == 0
