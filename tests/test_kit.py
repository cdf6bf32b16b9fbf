"""Kits: the testbench passes in Icarus Verilog on the right design, and on nothing else."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from fxsim.cli.roms import command as roms
from fxsim.cli.vectors import command as vectors
from fxsim.devices.stream import write_roms
from fxsim.errors import FileError, StimulusError
from fxsim.formats import save
from fxsim.graph import Model
from fxsim.vectors.kit import write_kit
from tests.test_cosim import MODEL, X, edited_rtl
from tests.test_described import AXI, AXI_TOML, PIPELINE, PIPELINE_TOML, RELU, design, model, written
from tests.test_described import X as TOKENS
from tests.test_described_waits import SLICE, SLICE_TOML

__all__ = ["model"]  # a fixture


def ran(kit: Path, *words: str) -> tuple[int, str]:
    """The status of a kit's script, and the verdict that it printed."""
    done = subprocess.run([kit / "run.sh", *words], capture_output=True, text=True, check=False, timeout=300)
    verdicts = [line for line in done.stdout.splitlines() if re.match("PASS|FAIL", line)]
    return done.returncode, verdicts[0] if verdicts else done.stdout + done.stderr


@pytest.mark.icarus
def test_kit_of_the_streaming_accelerator_finds_a_fault_and_a_wrong_expectation(tmp_path: Path) -> None:
    """Right at every tap; RTL with a fault; a register that is X; a wrong expected value; too few of them."""
    write_kit(MODEL, X[:3], tmp_path / "kit")
    assert ran(tmp_path / "kit") == (0, "PASS: 3 images, 900 beats equal")
    wrong = edited_rtl(tmp_path / "wrong", ("pool.v", "+ {7'd0, total[TOKEN_W-1]}", ""))
    status, said = ran(tmp_path / "kit", str(wrong))
    assert status == 1
    assert said.startswith("FAIL: image 0, tap pool, beat 0, lane 0: expected ")
    unknown = edited_rtl(tmp_path / "unknown", ("affine.v", "if (y_free && product_valid_reg) y_reg <= y;", ""))
    status, said = ran(tmp_path / "kit", str(unknown))
    assert status == 1
    assert re.fullmatch(
        r"FAIL: image 0, tap blocks\.0\.token_mixer\.res_affine, beat 0, .*, got xx \(cycle .*", said
    ), said
    expected = tmp_path / "kit" / "expected.hex"
    lines = expected.read_text().splitlines()
    right = int(lines[4], 16)
    expected.write_text("\n".join([*lines[:4], f"{right ^ 1:02x}", *lines[5:]]) + "\n")
    status, said = ran(tmp_path / "kit")
    assert status == 1
    assert said.startswith(f"FAIL: image 1, output, beat 1, lane 0: expected {right ^ 1:02x}, got {right:02x} (cycle ")
    expected.write_text("\n".join(lines[:-1]) + "\n")
    status, said = ran(tmp_path / "kit")
    assert status == 1
    assert "FAIL: image 2, output, beat 2, lane 0: expected xx" in said


@pytest.mark.icarus
def test_kit_judges_taps_inside_a_design(model: Model, tmp_path: Path) -> None:
    """A tap below generate blocks: right; wrong where the output is right; unknown; and one that gives too few."""
    write_kit(model, TOKENS[:4], tmp_path / "kit", "described", {"dut": str(design(tmp_path / "d"))})
    assert ran(tmp_path / "kit") == (0, "PASS: 4 images, 24 beats equal")
    expected = tmp_path / "kit" / "expected_fc.hex"
    lines = expected.read_text().splitlines()
    assert len(lines) == 12
    expected.write_text("\n".join([*lines[:4], f"{int(lines[4], 16) ^ 1 << 8:08x}", *lines[5:]]) + "\n")
    assert ran(tmp_path / "kit")[1].startswith("FAIL: image 1, tap fc, beat 1, lane 1: expected ")
    expected.write_text("\n".join(lines[:-1]) + "\n")
    assert "FAIL: image 3, tap fc, beat 2, lane 0: expected xx" in ran(tmp_path / "kit")[1]
    expected.write_text("\n".join(lines) + "\n")
    top = tmp_path / "kit" / "rtl" / "awkward.sv"
    right = top.read_text()
    for old, new, words in (
        ("done <= fire;", "done <= in_vld ? fire : 1'bx;", "FAIL: tap fc: valid is x (cycle "),
        ("out_vld <= done && mode_i;", "out_vld <= fire;", "FAIL: image 0, output, beat 0, lane "),
        # Values come out, and the tap does not show them.
        (
            "done <= fire;\n      out_vld <= done && mode_i;",
            "hidden <= fire;\n      out_vld <= hidden;",
            " 0 of 1 taps gave all of theirs",
        ),
    ):
        assert old in right
        top.write_text(
            right.replace(old, new)
            .replace("done;\n", "done, hidden;\n")
            .replace("done <= 0;", "done <= 0; hidden <= 0;")
        )
        status, said = ran(tmp_path / "kit")
        assert (status, said.startswith(words) or words in said) == (1, True), said


@pytest.mark.icarus
def test_script_finds_what_only_resets_or_the_design_itself_show(model: Model, tmp_path: Path) -> None:
    """A second run has stalls and resets; a design that says $error does not pass, whatever its values are."""
    write_kit(model, TOKENS[:4], tmp_path / "kit", "described", {"dut": str(design(tmp_path / "d"))})
    assert ran(tmp_path / "kit") == (0, "PASS: 4 images, 24 beats equal")
    top = tmp_path / "kit" / "rtl" / "awkward.sv"
    right = top.read_text()
    unset = right.replace("      beat <= 0;\n", "").replace("logic [1:0] beat;", "logic [1:0] beat = 0;")
    assert unset != right
    top.write_text(unset)
    done = subprocess.run([tmp_path / "kit" / "run.sh"], capture_output=True, text=True, check=False, timeout=300)
    first, second = done.stdout.split("stalls in 40 of 100 cycles, 3 resets amid the images:\n")
    assert done.returncode == 1
    assert "PASS: 4 images, 24 beats equal\n" in first
    assert "FAIL: " in second
    top.write_text(right.replace("endmodule", '  initial $error("no");\nendmodule', 1))
    done = subprocess.run([tmp_path / "kit" / "run.sh"], capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1
    assert "PASS: 4 images, 24 beats equal\n" in done.stdout
    assert "ERROR: " in done.stdout


@pytest.mark.icarus
def test_kit_holds_an_output_to_the_rules_of_axi4_stream(tmp_path: Path) -> None:
    """Right three times over; a beat that goes, that changes, valid that waits for ready, and that is set in reset."""
    (tmp_path / "d").mkdir()
    path = tmp_path / "d" / "slice.toml"
    path.write_text(SLICE_TOML)
    (path.parent / "slice.v").write_text(SLICE)
    (path.parent / "fault.hex").write_text("00\n")
    kit = tmp_path / "kit"
    write_kit(RELU, TOKENS[:3], kit, "described", {"dut": str(path)})
    assert ran(kit) == (0, "PASS: 3 images, 54 beats equal")
    gone = (
        "have & m_tready) shown <= 1;",
        "have & m_tready) shown <= 1;\n    else if (have & fault[0] == 4) have <= 0;",
    )
    changed = (
        "    if (s_tready) begin",
        "    if (fault[0] == 5 & have & !m_tready) m_tdata <= ~m_tdata;\n    if (s_tready) begin",
    )
    text = (kit / "rtl" / "slice.v").read_text()
    for old, new in (gone, changed):
        assert old in text
        text = text.replace(old, new, 1)
    (kit / "rtl" / "slice.v").write_text(text)
    for fault, words, runs in (
        (1, "valid waits for ready", 2),
        (2, "valid waits for ready", 2),
        (3, "valid set during reset", 0),
        (4, "valid withdrawn", 1),
        (5, "beat changed while waiting", 1),
    ):
        (kit / "fault.hex").write_text(f"{fault:02x}\n")
        done = subprocess.run([kit / "run.sh"], capture_output=True, text=True, check=False, timeout=300)
        assert (done.returncode, done.stdout.count("\nPASS"), f": {words} (cycle " in done.stdout) == (1, runs, True), (
            fault, done.stdout,
        )  # fmt: skip


@pytest.mark.icarus
def test_script_says_fail_where_the_simulator_ends_itself_or_says_nothing(tmp_path: Path) -> None:
    """A design that ends the simulation, one that does not compile, a simulator that crashes: a line with FAIL."""
    path = written(tmp_path / "p", "pipeline", PIPELINE, PIPELINE_TOML)
    write_kit(RELU, TOKENS[:2], tmp_path / "kit", "described", {"dut": str(path)})
    verilog = tmp_path / "kit" / "rtl" / "pipeline.v"
    verilog.write_text(PIPELINE.replace("endmodule", "  always @(posedge clk) $finish;\nendmodule", 1))
    assert ran(tmp_path / "kit") == (1, "FAIL: the simulation ended without a verdict of the testbench")
    verilog.write_text(PIPELINE.replace("endmodule", "  initial $no_such_task;\nendmodule", 1))
    assert ran(tmp_path / "kit") == (1, "FAIL: the simulator ended with status 1")
    verilog.write_text(PIPELINE.replace("endmodule", "", 1))
    assert ran(tmp_path / "kit") == (2, "FAIL: iverilog does not compile the design")
    verilog.write_text(PIPELINE)
    (tmp_path / "bin").mkdir()
    crash = tmp_path / "bin" / "vvp"
    crash.write_text("#!/bin/sh\nkill -SEGV $$\n")
    crash.chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    done = subprocess.run(
        [tmp_path / "kit" / "run.sh"], capture_output=True, text=True, check=False, timeout=300, env=environment
    )
    assert (done.returncode, "FAIL: the simulator ended with status 139\n" in done.stdout) == (1, True), done.stdout


@pytest.mark.icarus
def test_a_design_cannot_say_pass_itself(tmp_path: Path) -> None:
    """It prints the verdict and ends the simulation: that is no pass."""
    path = written(tmp_path / "p", "pipeline", PIPELINE, PIPELINE_TOML)
    write_kit(RELU, TOKENS, tmp_path / "kit", "described", {"dut": str(path)})
    said = ran(tmp_path / "kit")[1]
    liar = f'initial begin $display("{said}"); $finish; end\nendmodule'
    (tmp_path / "kit" / "rtl" / "pipeline.v").write_text(liar.join(PIPELINE.rsplit("endmodule", 1)))
    assert ran(tmp_path / "kit") == (1, said)


def test_kits_that_could_not_be_right_are_refused(tmp_path: Path) -> None:
    """A latency that is to be found, and files of the kit's own names; the description is that which was named."""
    path = written(tmp_path / "p", "pipeline", PIPELINE, PIPELINE_TOML)
    text = path.read_text()
    for edited, words in (
        (re.sub(r"latency = \d+", 'latency = "find"', text), "a testbench cannot find a latency"),
        (text.replace("clock =", 'files = ["stimulus.hex"]\nclock ='), "'stimulus.hex', a name that a kit has"),
    ):
        assert edited != text
        (path.parent / "stimulus.hex").write_text("0\n")
        path.write_text(edited)
        with pytest.raises(StimulusError, match=f"^{re.escape(str(path))}: .*{words}"):
            write_kit(RELU, TOKENS, tmp_path / "kit", "described", {"dut": str(path)})
        assert not (tmp_path / "kit").exists()


@pytest.mark.icarus
def test_kits_of_described_designs_know_latency_lanes_and_rules(tmp_path: Path) -> None:
    """A pipeline without handshake; AXI4-Stream with rows that do not fill their lanes; each right, and with faults."""
    for name, verilog, text, faults in (
        ("pipeline", PIPELINE, PIPELINE_TOML, [("held[8*i + 7] ?", "held[8*i + 6] ?"), ("held <= x", "held <= y")]),
        ("axi", AXI, AXI_TOML, [
            ("tlast = s_axis_tlast", "tlast = 1'b0"), ("tkeep = s_axis_tkeep", "tkeep = 4'hf"),
            ("s_axis_tvalid & rst_n;", "s_axis_tvalid & rst_n & s_axis_tkeep[3];"),
            ("s_axis_tvalid & rst_n;", "1'b1;"),
        ]),
    ):  # fmt: skip
        path = written(tmp_path / name, name, verilog, text)
        kit = tmp_path / f"{name}_kit"
        write_kit(RELU, TOKENS, kit, "described", {"dut": str(path)})
        status, said = ran(kit)
        assert (status, said[:9]) == (0, "PASS: 12 ")
        for old, new in faults:
            assert old in verilog
            (kit / "rtl" / f"{name}.v").write_text(verilog.replace(old, new, 1))
            status, said = ran(kit)
            assert (status, said[:5]) == (1, "FAIL:"), (old, said)


@pytest.mark.icarus
def test_testbench_is_plain_verilog_2005(tmp_path: Path) -> None:
    """Icarus takes it under that standard, with the streaming accelerator, and without a warning."""
    write_kit(MODEL, X[:1], tmp_path / "kit")
    kit = tmp_path / "kit"
    (kit / "kit.f").write_text((kit / "sources.txt").read_text())
    words = ["iverilog", "-g2005", "-Wall", "-Wno-timescale", "-s", "testbench", "-o", "a.vvp"]
    done = subprocess.run(
        [*words, "parameters.v", "testbench.v", "-c", "kit.f"], cwd=kit, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "testbench.v" not in done.stderr


@pytest.mark.icarus
def test_commands_write_kits_and_roms(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`vectors --kit` and `roms`; what does not go together is refused, and nothing that exists is replaced."""
    save(MODEL, tmp_path / "m.safetensors")
    model, kit = str(tmp_path / "m.safetensors"), tmp_path / "kit"
    done = CliRunner().invoke(vectors, [model, "--random", "2", "--kit", "-o", str(kit)])
    assert done.exit_code == 0, done.output
    assert ran(kit)[0] == 0
    # Other Verilog is found from where the script is called.
    (kit / "rtl").rename(tmp_path / "other")
    monkeypatch.chdir(tmp_path)
    assert ran(kit, "other")[0] == 0
    assert ran(kit, "kit/other")[0] == 2
    assert CliRunner().invoke(vectors, [model, "--random", "2", "--kit", "--taps", "all", "-o", "k"]).exit_code == 2
    assert CliRunner().invoke(vectors, [model, "--random", "2", "--dut", "d", "-o", "k"]).exit_code == 2
    again = CliRunner().invoke(vectors, [model, "--random", "2", "--kit", "-o", str(kit)])
    assert "it exists already" in str(again.exception)
    assert CliRunner().invoke(roms, [model, "-o", str(tmp_path / "roms")]).exit_code == 0
    (tmp_path / "own").mkdir()
    own = {path.name: path.read_bytes() for path in write_roms(MODEL, tmp_path / "own")}
    assert {path.name: path.read_bytes() for path in (tmp_path / "roms").iterdir()} == own
    assert CliRunner().invoke(vectors, [model, "--random", "2", "--accel", "simd", "-o", "k"]).exit_code == 2
    both = ["--kit", "--accel", "simd", "--dut", "d"]
    assert CliRunner().invoke(vectors, [model, "--random", "2", *both, "-o", "k"]).exit_code == 2
    done = CliRunner().invoke(vectors, [model, "--random", "2", "--kit", "--accel", "none", "-o", "k"])
    assert "there is no accelerator 'none'" in str(done.exception)
    done = CliRunner().invoke(vectors, [model, "--random", "1", "--kit", "--accel", "simd", "-o", str(tmp_path / "s")])
    assert done.exit_code == 0, done.output
    assert 'multiplex = "next"' in (tmp_path / "s" / "rtl" / "design.toml").read_text()
    with pytest.raises(FileError, match="there is no folder"):
        write_kit(MODEL, X, tmp_path / "none" / "other")
