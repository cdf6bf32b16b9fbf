"""Designs that a description binds, in four states: known and equal everywhere, or the first unknown is named."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.cosim import command
from fxsim.cli.diff import command as explain
from fxsim.cosim.four_state import FourStateResult, four_state
from fxsim.errors import FxsimError
from fxsim.formats import save
from fxsim.graph import Model
from fxsim.signoff import Status
from tests.test_described import AXI, AXI_TOML, PIPELINE, PIPELINE_TOML, RELU, Edit, X, design, model, swap, written
from tests.test_signoff_described import checked

__all__ = ["model"]  # a fixture

pytestmark = pytest.mark.icarus

BARE: Edit = lambda text: text[: text.index("[[tap]]")] + text[text.index("[[memory]]") :]  # noqa: E731  # as swap gives


def of(model: Model, dut: Path, **options: object) -> FourStateResult:
    """The described design on the first three images."""
    return four_state(
        model, X, accel="described", settings={"dut": str(dut)}, images=(0, 3), engine="reference", **options
    )  # type: ignore[arg-type]


def test_awkward_design_is_known_everywhere_and_counted(model: Model, tmp_path: Path) -> None:
    """Every value of its tap and its output comes, without stalls, and with stalls and resets."""
    result = of(model, design(tmp_path / "d"))
    assert (result.passed, result.reason, result.unknown_values, result.unprobed) == (True, None, 0, ())
    assert [(run.stall, run.resets) for run in result.runs] == [(0, 0), (40, 3)]
    assert [(tap.tap, tap.compared) for tap in result.runs[0].taps] == [("fc", 36), ("out_vec", 36)]
    assert all(tap.compared >= 36 for tap in result.runs[1].taps)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (swap("      out_vld <= 0;\n", ""), r"tap act at out_vec, token 2, channel 0: out_vld is X in cycle 3, so"),
        (swap("      done <= 0;\n", ""), r"tap fc, token 2, channel 0: done is X in cycle 3, so that nobody"),
        (swap("      beat <= 0;\n", ""), r"tap fc, token 2, channel 0: done is X"),
        (swap("q < 0 ? '0 : q", "q < 0 ? 'x : q"), r"tap act at out_vec, .*: expected 0, got XXXXXXXX"),
        (swap("q < 0 ? '0 : q", "q < 0 ? 8'b0000z000 : q"), r"tap act at out_vec, .*: expected 0, got 0000Z000"),
        (swap(".bias_i(biases[n])", ".bias_i(n == 1 ? 8'hxx : biases[n])"), r"tap fc, .*channel 1: .*got XXXXXXXX"),
        (swap("in_vld && beat == 2", "in_vld && beat == 3"), r"the design is stuck after"),
        (swap("out_vld <= done && mode_i", "out_vld <= done || fire"), r"tap act at out_vec, "),
    ],
)  # fmt: skip
def test_what_is_unknown_missing_or_surplus_fails(model: Model, tmp_path: Path, edit: Edit, words: str) -> None:
    """A reset that is left out, X in an expression, Z, a parameter that is X; beats that never come, and too many."""
    result = of(model, design(tmp_path / "d", {"awkward.sv": edit}), stalls=(0,))
    assert not result.passed
    assert result.reason is not None
    assert re.search(words, result.reason), result.reason


def test_reset_of_one_cycle_in_mid_run_shows_what_is_not_reset(model: Model, tmp_path: Path) -> None:
    """A counter that only power-on sets is right until a reset comes amid an image."""

    def edit(text: str) -> str:
        return swap("logic [1:0] beat;", "logic [1:0] beat = 0;")(swap("      beat <= 0;\n", "")(text))

    result = of(model, design(tmp_path / "d", {"awkward.sv": edit}))
    assert [run.passed for run in result.runs] == [True, False]


def test_pipeline_without_handshake_and_stream_with_flags(tmp_path: Path) -> None:
    """A latency in place of valid, no reset; last and keep are values, too: X in a lane that is empty is not one."""
    pipeline = of(RELU, written(tmp_path / "a", "pipeline", PIPELINE, PIPELINE_TOML))
    assert (pipeline.passed, [run.resets_asked for run in pipeline.runs]) == (True, [0, 0])
    late = PIPELINE_TOML.replace("latency = 2", "latency = 3")
    assert "got XXXXXXXX" in str(of(RELU, written(tmp_path / "b", "pipeline", PIPELINE, late), stalls=(40,)).reason)
    right = of(RELU, written(tmp_path / "c", "axi", AXI, AXI_TOML))
    assert right.passed
    counts = {tap.tap: tap.compared for tap in right.runs[0].taps}
    assert counts == {"m_axis_tdata": 3 * 18, "m_axis_tlast": 3 * 6, "m_axis_tkeep": 3 * 6 * 4}
    for n, (old, new, words) in enumerate(
        (
            ("tlast = s_axis_tlast", "tlast = 1'bx", r"tap m_axis_tlast, token 0, channel 0: expected 0, got X"),
            ("tlast = s_axis_tlast", "tlast = 1'b1", r"tap m_axis_tlast, token 0, channel 0: expected 0, got -1"),
            ("tkeep = s_axis_tkeep", "tkeep = 4'b1z11", r"tap m_axis_tkeep, .*: expected -1, got Z"),
            ("tready = m_axis_tready & rst_n", "tready = 1'bx", "s_axis_tready is X in cycle 4"),
        )
    ):
        assert old in AXI
        wrong = of(RELU, written(tmp_path / f"w{n}", "axi", AXI.replace(old, new), AXI_TOML), stalls=(0,))
        assert re.search(words, str(wrong.reason)), wrong.reason


def test_code_that_icarus_makes_wrong_is_said_to_be_its_own(tmp_path: Path) -> None:
    """A word of an array as the distance of a shift: Icarus 11 makes code that it cannot read, later ones may."""
    shift = "reg [7:0] s [0:1]; initial {s[0], s[1]} = 0; wire [143:0] z = (held + y) >> s[0];\n  always @(posedge clk)"
    verilog = PIPELINE.replace("always @(posedge clk)", shift)
    path = written(tmp_path / "d", "pipeline", verilog, PIPELINE_TOML)
    try:
        said = str(of(RELU, path, stalls=(0,)).reason)
    except FxsimError as error:
        said = str(error)
    own = r"Icarus Verilog ended with status 1: design\.vvp:\d+: syntax error \(code that Icarus makes itself: .*\)"
    assert re.fullmatch(f"None|{own}", said), said


def test_what_cannot_be_simulated_in_four_states_is_one_message(model: Model, tmp_path: Path) -> None:
    """SystemVerilog that Icarus does not read, a latency that is to be found, a setting of how a run goes."""
    inside = swap("x[2*beat] <= in_pair[15:8];", "x[2*beat] <= beat inside {0, 1, 2} ? in_pair[15:8] : 8'd0;")
    with pytest.raises(
        FxsimError, match=r"^Icarus Verilog failed: rtl/awkward\.sv:\d+: .*\"inside\".* reads less"
    ) as caught:
        of(model, design(tmp_path / "a", {"awkward.sv": inside}))
    assert "\n" not in str(caught.value)
    find = PIPELINE_TOML.replace("latency = 2", 'latency = "find"')
    with pytest.raises(FxsimError, match=r"b/pipeline.toml: a testbench cannot find a latency"):
        of(RELU, written(tmp_path / "b", "pipeline", PIPELINE, find))
    with pytest.raises(FxsimError, match="'simd' runs in four states with its own 'batch' only"):
        four_state(model, X, accel="simd", settings={"batch": 2})


def test_command_keeps_a_folder_that_repeats_and_explains(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--dut` with `--four-state`; a tap that is not shown is named; what was unknown stays so in the kept folder."""
    save(model, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", X)
    monkeypatch.chdir(tmp_path)
    files = ["m.safetensors", "x.npy", "--four-state", "--images", "0:2"]
    right = CliRunner().invoke(command, [*files, "--dut", str(design(tmp_path / "a", {"awkward.toml": BARE}))])
    assert right.exit_code == 0, right.output
    assert "not compared, since the design shows no such tap: fc" in right.output
    assert "PASSED: every value that was compared known and equal" in right.output
    wrong = design(tmp_path / "b", {"awkward.sv": swap("q < 0 ? '0 : q", "q < 0 ? 'x : q")})
    found = CliRunner().invoke(command, [*files, "--dut", str(wrong), "--keep", "kept"])
    assert found.exit_code == 1, found.output
    first = re.search(r"first (.*)", found.output)
    assert first is not None
    explained = CliRunner().invoke(explain, ["kept", "--json"])
    (fault,) = json.loads(explained.output)["faults"]
    assert (fault["tap"], fault["label"]) == ("act", "unknown_bits")
    monkeypatch.chdir(tmp_path / "kept")
    words = (tmp_path / "kept" / "replay.sh").read_text().split("exec fxsim cosim ")[1].split()
    again = CliRunner().invoke(command, words)
    assert again.exit_code == 1
    assert first[1] in again.output


def test_sign_off_takes_a_description(model: Model, tmp_path: Path) -> None:
    """A check of kind `four-state` with `dut` passes, says what was not looked at, and fails with the reason."""
    check = '[[check]]\nkind = "four-state"\nname = "x"\nmodel = "tiny"\nstimulus = "images"\nimages = 2\n'
    check += 'dut = "rtl/awkward.toml"\n'
    right = checked(tmp_path / "a", model, check, {"awkward.toml": BARE})
    assert right.status is Status.PASSED, right.reason
    assert right.summary.endswith("; not looked at: fc")
    wrong = checked(tmp_path / "b", model, check, {"awkward.sv": swap("      done <= 0;\n", "")})
    assert wrong.status is Status.FAILED
    assert "done is X" in str(wrong.reason)
    with pytest.raises(FxsimError, match="the accelerator 'stream' has no setting 'dut'"):
        checked(tmp_path / "c", model, check + 'accelerator = "stream"\n')
