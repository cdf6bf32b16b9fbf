"""Co-simulation in four states: the RTL passes, and nothing unknown, undriven, wrong, missing or surplus does."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from fxsim.cli.cosim import command
from fxsim.cli.diff import command as explain
from fxsim.contract import TableRule
from fxsim.cosim.four_state import FourStateResult, four_state
from fxsim.devices import option_words
from fxsim.devices.stream.nodes import write_nodes
from fxsim.devices.stream.settings import StreamSettings
from fxsim.engines import run as run_engine
from fxsim.errors import ModelError, StimulusError, ToolError
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.formats import save
from fxsim.graph import Model
from fxsim.paths import rtl_dir, verilog_file
from fxsim.signoff import Status, load_plan, run_plan
from fxsim.simulate import four_state as simulator
from fxsim.simulate.four_state import read_events
from fxsim.simulate.sources import read_sources
from tests.conftest import SEED

pytestmark = pytest.mark.icarus  # runs it through the driver

IMAGES = 3


def random_model(config: ResMLPConfig) -> Model:
    """Weights over the whole range, shifts that leave results spread over int8."""
    rng = np.random.default_rng(SEED)
    parameters = {
        name: rng.integers(5, 9, shape).astype(np.uint8)
        if name.endswith("shift")
        else rng.integers(-128, 128, shape).astype(np.int8)
        for name, shape in resmlp_parameters(config).items()
    }
    return Model(build_resmlp(config, parameters), "small")


RELU = random_model(ResMLPConfig(4, 3, 5, 4, 1, 3))
PSA = random_model(ResMLPConfig(2, 3, 4, 4, 1, 2, 8, TableRule.CLAMP))
X = np.random.default_rng(SEED).integers(-128, 128, (IMAGES, 4, 3)).astype(np.int8)


def edited_rtl(folder: Path, *edits: tuple[str, str, str]) -> Path:
    """A copy of the RTL with texts replaced: (file, old, new); each old text must stand there exactly once."""
    copy = folder / "rtl"
    shutil.copytree(rtl_dir(), copy)
    for file, old, new in edits:
        path = verilog_file(copy, file)
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{file} has {text.count(old)} times {old!r}: adapt this test to the RTL"
        path.write_text(text.replace(old, new), encoding="utf-8")
    return copy


def of(rtl: Path) -> FourStateResult:
    """The ReLU model on a copy of the RTL, without stalls."""
    return four_state(RELU, X, engine="reference", rtl=rtl, stalls=(0,))


@pytest.mark.parametrize("shape", [RELU, PSA, random_model(ResMLPConfig(1, 3, 1, 2, 1, 1))], ids=["relu", "psa", "one"])
def test_right_design_is_known_everywhere(shape: Model) -> None:
    """Every value of every tap and output comes, in each run, known and equal, and is counted."""
    tokens, values = shape.graph.input_shape
    x = np.random.default_rng(SEED).integers(-128, 128, (IMAGES, tokens, values)).astype(np.int8)
    result = four_state(shape, x, engine="reference")
    assert (result.passed, result.reason, result.unknown_values) == (True, None, 0)
    assert [(run.stall, run.resets) for run in result.runs] == [(0, 0), (40, 3)]
    scores = int(np.prod(shape.graph.shapes[shape.graph.output]))
    expected = {tap: IMAGES * int(np.prod(shape.graph.shapes[tap])) for tap in shape.graph.taps}
    expected |= dict.fromkeys(("m_axis", "m_axis_tlast", "m_axis_tuser"), IMAGES * scores)
    expected |= {"frame_error_early": 1, "frame_error_late": 1}
    assert {tap.tap: (tap.values, tap.compared) for tap in result.runs[0].taps} == {
        n: (v, v) for n, v in expected.items()
    }
    # What came before a reset is compared, too.
    again = {tap.tap: tap.compared for tap in result.runs[1].taps}
    assert all(again[tap] >= count for tap, count in expected.items())
    assert again["embed"] > expected["embed"]


FAULTS = {
    # A ReLU that gives X where it should give 0.
    "x": (
        ("relu.v", "? 8'd0", "? 8'hxx"),
        r"image 0, tap blocks.0.mlp.relu, token 0, channel \d: expected 0, got XXXXXXXX",
    ),
    # One bit of a sum that nothing drives.
    "z": (
        ("add.v", "m_axis_tdata   = y_reg;", "m_axis_tdata = {1'bz, y_reg[6:0]};"),
        r"image 0, tap blocks.0.token_mixer.add, token 0, channel 0: expected -?\d+, got Z[01]{7}",
    ),
    "wrong": (
        ("requantise.v", "wide[0]}", "1'b0}"),
        r"image \d, tap embed, token \d, channel \d: expected -?\d+, got -?\d+ ",
    ),
    "flag": (
        ("frame_tag.v", "m_axis_tlast = last;", "m_axis_tlast = last ? 1'b1 : 1'bx;"),
        r"image 0, tap m_axis_tlast, channel 0: expected 0, got X ",
    ),
    "reset": (
        ("axis_register.v", "output_valid_reg <= 1'b0;", ""),
        r"image 0, tap \S+, token 0, channel 0: mon_(ready|valid)\[\d+\] is X in cycle \d+, so that nobody",
    ),
    "stuck": (
        ("pool.v", "if (s_axis_tready) y_valid_reg <= accepted && last_token;", "y_valid_reg <= 1'b0;"),
        "is stuck after",
    ),
    "frame": (
        ("frame_guard.v", "early_reg <= 1'b0;", ""),
        "image 0, tap frame_error_early: expected 0, got X ",
    ),
}
"""Edit of the RTL, and what the result must say of it."""


@pytest.mark.parametrize(("edit", "reason"), FAULTS.values(), ids=FAULTS)
def test_what_is_unknown_or_wrong_fails(edit: tuple[str, str, str], reason: str, tmp_path: Path) -> None:
    """Each fault fails, and the reason names tap, image, token and channel."""
    result = of(edited_rtl(tmp_path, edit))
    assert not result.passed
    assert result.reason is not None
    assert re.search(reason, result.reason), result.reason


RESETS_IN_MID_RUN = {
    "add": ("add.v", "if (rst) y_valid_reg <= 1'b0;\n    else if (free)", "if (free)"),
    "table": ("activation_table.v", "      points_valid_reg <= 1'b0;\n", ""),
    "product": ("dot_product.v", "if (rst) valid_reg <= {LATENCY{1'b0}};\n    else if (enable)", "if (enable)"),
}
"""Resets that may be missing unseen where a reset is long enough to drain the design, as at power-on."""


@pytest.mark.parametrize("edit", RESETS_IN_MID_RUN.values(), ids=RESETS_IN_MID_RUN)
def test_short_reset_in_mid_run_shows_what_is_not_reset(edit: tuple[str, str, str], tmp_path: Path) -> None:
    """What a long reset clears, as that of power-on may, fails in the run with short ones in mid-run."""
    x = np.random.default_rng(SEED).integers(-128, 128, (IMAGES, 2, 3)).astype(np.int8)
    result = four_state(PSA, x, engine="reference", rtl=edited_rtl(tmp_path, edit))
    assert [run.resets_asked for run in result.runs] == [0, 3]
    assert not result.runs[1].passed


SIMD_FAULTS = {
    "x": (
        ("simd_lane.v", "add_7_reg[7]) ? 8'd0", "add_7_reg[7]) ? 8'hxx"),
        r"image 0, tap blocks.0.mlp.relu, token \d, channel \d: expected 0, got XXXXXXXX",
    ),
    "bus": (
        ("simd_memory.v", "m_axi_wstrb = 16'hFFFF", "m_axi_wstrb = 16'hFFFz"),
        r"m_axi_w is X in cycle \d+, so that",
    ),
    "reset": (
        ("simd_registers.v", "      bvalid_reg <= 1'b0;\n", ""),
        r"s_axil_bvalid is X in cycle \d+, so that nobody",
    ),
    "padding": (
        ("simd_epilogue.v", "assign result_data = word;", "assign result_data = {8'hxx, word[119:0]};"),
        r"image 0, tap result, channel 15: expected 0, got XXXXXXXX",
    ),
}
"""Edit of the SIMD accelerator, and what the result must say of it."""


@pytest.mark.slow
def test_right_simd_design_is_known_everywhere() -> None:
    """Every value of every tap, of the result with its padding and its addresses, and of the registers, is known."""
    result = four_state(RELU, X[:2], accel="simd", engine="reference")
    assert (result.passed, result.reason, result.unknown_values) == (True, None, 0)
    for run in result.runs[:1]:
        counts = {tap.tap: tap.compared for tap in run.taps}
        assert {tap: counts[tap] for tap in RELU.graph.taps} == {
            tap: 2 * int(np.prod(RELU.graph.shapes[tap])) for tap in RELU.graph.taps
        }
        assert (counts["result"], counts["result_address"]) == (2 * 16, 2)
        assert [counts[name] for name in ("status", "error", "images_done")] == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(("edit", "reason"), SIMD_FAULTS.values(), ids=SIMD_FAULTS)
def test_what_is_unknown_in_the_simd_design_fails(edit: tuple[str, str, str], reason: str, tmp_path: Path) -> None:
    """Each fault fails, and the reason says where it was seen first."""
    result = four_state(RELU, X[:1], accel="simd", engine="reference", rtl=edited_rtl(tmp_path, edit), stalls=(0,))
    assert not result.passed
    assert result.reason is not None
    assert re.search(reason, result.reason), result.reason


def test_unknown_values_are_counted(tmp_path: Path) -> None:
    """Of values that are unknown, each counts, and differs, at the tap it is first seen at and at all it spreads to."""
    result = of(edited_rtl(tmp_path, ("relu.v", "? 8'd0", "? 8'hxx")))
    (run,) = result.runs
    assert result.unknown_values == sum(tap.differ for tap in run.taps)
    differing = [tap.tap for tap in run.taps if tap.differ]
    assert differing[0] == "blocks.0.mlp.relu"
    assert {"pool", "classifier", "m_axis"} < set(differing)


def test_values_that_are_lost_or_surplus_fail(tmp_path: Path) -> None:
    """A score more than there should be ends the run as surplus; a tap with values missing is not called complete."""
    twice = edited_rtl(
        tmp_path,
        ("frame_tag.v", "assign s_axis_tready = m_axis_tready && s_flag_axis_tvalid;", "assign s_axis_tready = 1'b0;"),
        ("frame_tag.v", "assign m_axis_tvalid = s_axis_tvalid && s_flag_axis_tvalid;", "assign m_axis_tvalid = !rst;"),
    )
    (run,) = of(twice).runs
    assert (run.passed, run.ended) == (False, "surplus")


def test_memory_without_contents_is_refused(tmp_path: Path) -> None:
    """A ROM file that is not there is an error, not a ROM full of X that nothing reads."""
    rtl = edited_rtl(tmp_path, ("stream_resmlp.v", '"embed_b.hex"', '"embed_q.hex"'))
    with pytest.raises(ToolError, match=r"embed_q\.hex"):
        of(rtl)


def test_verilog_that_does_not_compile_is_an_error(tmp_path: Path) -> None:
    """Icarus's own first error is shown."""
    with pytest.raises(ToolError, match=r"Icarus Verilog failed: .*relu\.v:\d+: "):
        of(edited_rtl(tmp_path, ("relu.v", "reg [8*LANES-1:0] y_reg;", "reg [8*LANES-1:0] y_reg")))


def test_design_that_ends_the_simulation_is_an_error(tmp_path: Path) -> None:
    """A $finish in the design does not end a run that has not been looked at."""
    with pytest.raises(ToolError, match="ended too early"):
        of(
            edited_rtl(
                tmp_path,
                (
                    "relu.v",
                    "reg [8*LANES-1:0] y_reg;",
                    "reg [8*LANES-1:0] y_reg; always @(posedge clk) if (!rst) $finish;",
                ),
            )
        )


@pytest.mark.parametrize(
    "lines",
    [
        [], ["value tap0 1 00000001"], ["end done 1 -", "end done 2 -"], ["end done 1 -", "value tap0 2 1"],
        ["value tap0 1 0000000q", "end done 1 -"], ["value tap0 -1 1", "end done 1 -"], ["", "end done 1 -"],
    ],
)  # fmt: skip
def test_events_that_are_none_are_refused(lines: list[str]) -> None:
    """Events without an end, behind it, or of another form are an error, never a shorter comparison."""
    with pytest.raises(ToolError):
        read_events(lines)


def test_missing_icarus_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Icarus nothing is skipped: the error says what to install."""
    monkeypatch.setattr(simulator.shutil, "which", lambda _: None)
    with pytest.raises(ToolError, match="install the Debian package 'iverilog'"):
        four_state(RELU, X)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"accel": "other"}, "there is no"),
        ({"images": (2, 2)}, "images 2:2 were asked for"),
        ({"images": (0, 4)}, "expected a non-empty part of 0:3"),
        ({"stalls": ()}, "no run in four states was asked for"),
    ],
)
def test_illegal_requests_are_refused(options: dict[str, object], message: str) -> None:
    """Accelerators, images and runs that cannot be are named."""
    with pytest.raises(StimulusError, match=message):
        four_state(RELU, X, **options)  # type: ignore[arg-type]


def test_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`fxsim cosim --four-state` passes and fails as the function does, and refuses options that it would ignore."""
    monkeypatch.chdir(tmp_path)
    save(RELU, Path("m.safetensors"))
    np.save("x.npy", X)
    files = ["m.safetensors", "x.npy", "--four-state"]
    right = CliRunner().invoke(command, [*files, "--images", "0:1", "--json"])
    assert right.exit_code == 0, right.output
    assert json.loads(right.stdout)["passed"] is True
    edited_rtl(tmp_path, ("relu.v", "? 8'd0", "? 8'hxx"))
    wrong = CliRunner().invoke(command, [*files, "--rtl", "rtl", "--keep", "kept"])
    assert wrong.exit_code == 1
    assert re.search(
        r"^FAILED: \d+ values are unknown; first image 0, tap blocks.0.mlp.relu", wrong.stdout, re.MULTILINE
    )
    again = CliRunner().invoke(command, [*files, "--rtl", "rtl", "--images", "0:1"])
    words = "m.safetensors x.npy --accel stream --four-state --images 0:1 --rtl rtl --keep failure; fxsim diff failure"
    assert f"fxsim: explain: fxsim cosim {words}\n" in again.stderr
    # What was unknown stays so in the kept folder, and in what is said of it.
    assert "fxsim: explain: fxsim diff kept" in wrong.stderr
    kept = Path("kept/got/taps/blocks.0.mlp.relu.memb").read_text(encoding="ascii").split()
    right_values = run_engine(RELU, X, ("blocks.0.mlp.relu",), "reference")["blocks.0.mlp.relu"]
    assert kept == ["x" * 8 if v == 0 else f"{v:08b}" for v in right_values.reshape(-1).tolist()]
    explained = CliRunner().invoke(explain, ["kept", "--json"])
    causes = json.loads(explained.output)
    assert [(fault["tap"], fault["label"]) for fault in causes["faults"]] == [("blocks.0.mlp.relu", "unknown_bits")]
    assert causes["faults"][0]["parameters"] == {"values": int((right_values == 0).sum())}
    assert re.search("fxsim cosim .* --four-state --images 0:3 --rtl rtl", Path("kept/replay.sh").read_text())
    for option in (["--stall", "none"], ["--taps", "all"], ["--wave", "w.fst"], ["--batch", "1"]):
        refused = CliRunner().invoke(command, [*files, *option])
        assert (refused.exit_code, f"{option[0]} cannot be had with --four-state" in refused.output) == (2, True)


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        (ResMLPConfig(2, 4, 6, 4, 1, 2, 8, TableRule.CLAMP), {"beat": 2}),
        (ResMLPConfig(4, 4, 8, 4, 1, 4), {"beat": 4, "packed": True}),
    ],
    ids=["two", "four packed"],
)
def test_several_values_a_beat(config: ResMLPConfig, settings: dict[str, object], tmp_path: Path) -> None:
    """Two or four values a beat come known and equal; a fault of one lane is found in that lane alone."""
    model = random_model(config)
    x = np.random.default_rng(SEED).integers(-128, 128, (IMAGES, config.tokens, config.values)).astype(np.int8)
    result = four_state(model, x, engine="reference", settings=settings)
    assert (result.passed, result.reason, result.settings) == (True, None, settings)
    scores = next(tap for tap in result.runs[0].taps if tap.tap == "m_axis")
    assert scores.compared == IMAGES * config.classes
    lanes = int(str(settings["beat"]))
    edit = ("affine.v", ".b(bias_reg[8*n+:8])", f".b(n == {lanes - 1} ? ~bias_reg[8*n+:8] : bias_reg[8*n+:8])")
    wrong = four_state(model, x, engine="reference", settings=settings, rtl=edited_rtl(tmp_path, edit), stalls=(0,))
    found = {tap.tap: tap for tap in wrong.runs[0].taps}["blocks.0.token_mixer.res_affine"]
    assert found.first is not None
    assert found.first.index["channel"] % lanes == lanes - 1


def test_a_design_is_named_where_it_is_not_the_default() -> None:
    """Commands that repeat a run state lanes and packed products; nothing where a beat has one value."""
    assert option_words(StreamSettings()) == []
    assert option_words(StreamSettings(beat=4, packed=True)) == ["--beat", "4", "--packed"]


def test_lanes_that_do_not_fit_are_refused() -> None:
    """A number of lanes that there is not, packed products of one lane, and dimensions that are no multiples."""
    for settings, kind, said in (
        ({"beat": 3}, StimulusError, "beat is 3 values, expected 1, 2 or 4"),
        ({"beat": 8}, StimulusError, "beat is 8 values, expected 1 to 4"),
        ({"packed": True}, StimulusError, "packed products are of two values a beat"),
        (
            {"beat": 2},
            ModelError,
            "with 2 values a beat all dimensions are multiples of it, model 'small' has 3 values",
        ),
    ):
        with pytest.raises(kind, match=said):
            four_state(RELU, X, settings=settings)
    with pytest.raises(StimulusError, match="are described alone with beat 1, not with 2"):
        write_nodes(RELU, StreamSettings(beat=2), None, Path("nodes"))


def test_sign_off_states_which_verilog_it_saw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check of kind `four-state` passes, records the hash of its Verilog, and fails with the simulator's reason."""
    save(RELU, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "plan.toml").write_text(
        'title = "four"\nseed = 1\n[models]\nm = { file = "m.safetensors" }\n[stimuli]\nx = { file = "x.npy" }\n'
        '[[check]]\nkind = "four-state"\nname = "known"\nmodel = "m"\nstimulus = "x"\nimages = 2\n'
    )
    record = run_plan(load_plan(tmp_path / "plan.toml"))
    assert record.passed, record.checks
    right = read_sources(rtl_dir()).sha256
    assert record.hashes["rtl"] == right
    edit = ("affine.v", ".b(bias_reg[8*n+:8])", ".b(8'bx)")
    wrong = edited_rtl(tmp_path, edit)
    monkeypatch.setattr("fxsim.simulate.build.rtl_dir", lambda: wrong)
    (check,) = run_plan(load_plan(tmp_path / "plan.toml")).checks
    assert check.status is Status.FAILED
    assert "got XXXXXXXX" in str(check.reason)
