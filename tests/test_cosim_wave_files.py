"""The viewers' files of a kept failure: the failing tap and its neighbours, signed, at the cycle that failed."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import pywellen
from click.testing import CliRunner

from fxsim.cli.program import cli
from fxsim.compare import Difference
from fxsim.cosim import Fault, Stop
from fxsim.cosim.wave_files import GTKWAVE, SURFER, choose_streams, write_wave_files
from fxsim.devices import DEVICES, Watched, make_settings
from fxsim.devices.simd.memory_image import STAGES
from fxsim.formats import load
from fxsim.paths import golden_dir, rtl_dir
from fxsim.traces.waves import list_signals
from tests.test_signoff import cosim_result

MODEL = load(golden_dir() / "small_relu.safetensors")


def fitted() -> object:
    """The streaming accelerator of the model."""
    return DEVICES["stream"].fit(MODEL, make_settings("stream", DEVICES["stream"].settings, {}))


def failing(tap: str, cycle: int | None = 123) -> Difference:
    """A difference at a tap."""
    return Difference(image=0, tap=tap, expected=-29, got=-30, cycle=cycle, index={"token": 0, "channel": 3})


def written(folder: Path, **changes: object) -> tuple[str, str]:
    """Both files of a failure."""
    result = cosim_result(passed=False, **changes)
    write_wave_files(folder, fitted(), MODEL.graph, result)  # type: ignore[arg-type]
    return (folder / GTKWAVE).read_text(), (folder / SURFER).read_text()


def test_the_failing_tap_stands_between_its_neighbours(tmp_path: Path) -> None:
    """Before it what it is computed from, behind it what follows; values signed, the marker at the failing cycle."""
    gtkwave, surfer = written(tmp_path, first_mismatch=failing("blocks.0.mlp.relu"))
    lines = gtkwave.splitlines()
    assert [line for line in lines if line.startswith("-")] == [
        "-cycle 123: blocks.0.mlp.relu, expected -29, got -30",
        "-blocks.0.mlp.linear_1", "-blocks.0.mlp.relu", "-blocks.0.mlp.linear_2",
    ]  # fmt: skip
    at = lines.index("-blocks.0.mlp.relu")
    block = "TOP.stream_resmlp.block[0].mlp_block.activation_"
    assert lines[at + 1 : at + 6] == ["@420", f"{block}tdata[7:0]", "@28", f"{block}tvalid", f"{block}tready"]
    assert "*-6.0 1230 " in gtkwave
    assert "[timestart] 830" in gtkwave
    assert '[dumpfile] "failure.fst"' in gtkwave
    commands = surfer.splitlines()
    at = commands.index(f"variable_add {block}tdata")
    # The seventh item: title, clock, then divider and three signals of the tap before, and a divider.
    assert commands[at - 1 : at + 3] == [
        "divider_add blocks.0.mlp.relu", f"variable_add {block}tdata", "item_focus h", "item_set_format Signed",
    ]  # fmt: skip
    assert commands[-2:] == ["cursor_set 1230", "goto_cursor"]


def test_the_output_follows_the_last_tap() -> None:
    """A failure of the output alone is shown behind the tap that it carries; one at no stream shows all."""
    streams = fitted().watched(0)  # type: ignore[attr-defined]
    assert list(streams) == [*MODEL.graph.taps, "m_axis"]
    assert choose_streams(streams, MODEL.graph, "m_axis") == ["classifier", "m_axis"]
    assert choose_streams(streams, MODEL.graph, "classifier") == ["pool", "classifier", "m_axis"]
    assert choose_streams(streams, MODEL.graph, "embed")[0] == "embed"
    assert choose_streams(streams, MODEL.graph, "m_axi_ar") == list(streams)


def test_simd_lanes_are_shown_by_the_failing_channel(tmp_path: Path) -> None:
    """The SIMD accelerator's stages are shown in the lane of the failing channel; a signal of two taps stands once."""
    simd = DEVICES["simd"]
    epilogue, bits = "TOP.simd_resmlp.core.epilogue.", "TOP.simd_resmlp.mon_valid[5:0]"
    for name, tap, signal in (
        ("small", "blocks.0.mlp.psa_1", "tables.lane[3].table_lane_l.y"),
        ("small_relu", "blocks.0.mlp.relu", "lane[3].simd_lane_l.next"),
    ):
        model = load(golden_dir() / f"{name}.safetensors")
        device = simd.fit(model, make_settings("simd", simd.settings, {}))
        where = msgspec.structs.replace(failing(tap), index={"token": 0, "channel": 19})
        write_wave_files(tmp_path, device, model.graph, cosim_result(passed=False, first_mismatch=where))
        lines = (tmp_path / GTKWAVE).read_text().splitlines()
        at = lines.index(f"-{tap}")
        assert lines[at + 1 : at + 5] == ["@420", f"{epilogue}{signal}[7:0]", "@28", bits]
    assert [line for line in lines if line.startswith("-blocks")] == [
        "-blocks.0.mlp.linear_1, blocks.0.mlp.linear_2", "-blocks.0.mlp.relu",
    ]  # fmt: skip
    assert "divider_add blocks.0.mlp.linear_1, blocks.0.mlp.linear_2" in (tmp_path / SURFER).read_text().splitlines()


def test_simd_results_are_shown_on_the_bus() -> None:
    """What it writes is no lane's: the words of the bus, whole."""
    simd = DEVICES["simd"]
    streams = simd.fit(MODEL, make_settings("simd", simd.settings, {})).watched(0)
    assert list(streams) == [*MODEL.graph.taps, "result"]
    bus = "TOP.simd_resmlp.m_axi_w"
    assert streams["result"] == Watched("TOP.simd_resmlp.clk", f"{bus}data[127:0]", False, f"{bus}valid", f"{bus}ready")


def test_failures_without_a_difference_have_their_cycle(tmp_path: Path) -> None:
    """A broken rule and a design that stopped are opened where they were found; without a cycle nothing is written."""
    fault = Fault("tlast", "m_axis", 0, None, 0, 80)
    assert "*-6.0 800 " in written(tmp_path, faults=(fault,), fault_count=1)[0]
    stopped = Stop(90, 1, 1000, "pool waits", ())
    assert "*-6.0 900 " in written(tmp_path, stopped=stopped)[0]
    (tmp_path / "none").mkdir()
    write_wave_files(tmp_path / "none", fitted(), MODEL.graph, cosim_result(first_mismatch=failing("pool", None)))  # type: ignore[arg-type]
    assert list((tmp_path / "none").iterdir()) == []


@pytest.mark.parametrize("name", ["a\nb", "é", "\x1b[0m"])
def test_names_stay_on_their_lines(tmp_path: Path, name: str) -> None:
    """A name from a file is one line of a viewer's file, in letters that it reads."""
    gtkwave, surfer = written(tmp_path, first_mismatch=msgspec.structs.replace(failing("pool"), tap=name))
    for text in (gtkwave, surfer):
        assert text.isascii()
        assert text.isprintable() or set(text) - {"\n"} == {c for c in text if c.isprintable()}
    assert Watched("c", "d", True).valid is None


@pytest.mark.thorough  # builds the SIMD accelerator twice; the streaming one's waveform is tested always
def test_waveform_of_a_simd_failure_has_the_signals_that_viewers_open(tmp_path: Path) -> None:
    """The names are those of the waveform, with their widths, and the lane holds the reported value at the marker."""
    shutil.copytree(rtl_dir(), tmp_path / "rtl")
    lane = tmp_path / "rtl" / "simd" / "table_lane.v"
    text, pair = lane.read_text(), "wire next_pair = turned[0] &&"
    assert text.count(pair) == 1
    lane.write_text(text.replace(pair, "wire next_pair = 1'b0 &&"))
    files = ("small.safetensors", "images_16x12.npy")
    arguments = ["cosim", *(str(golden_dir() / name) for name in files), "--accel", "simd", "--images", ":1"]
    CliRunner().invoke(cli, [*arguments, "--rtl", str(tmp_path / "rtl"), "--keep", str(tmp_path / "kept")])
    kept = tmp_path / "kept"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    again = subprocess.run([kept / "replay.sh"], env=os.environ | {"PATH": path}, capture_output=True, text=True)
    found = re.search(r"psa_1, token 0, channel (\d+): expected -?\d+, got (-?\d+) \(cycle (\d+)\)", again.stdout)
    assert found is not None, again.stdout
    channel, got, cycle = map(int, found.groups())
    signals = list_signals(kept / "failure.fst")
    saved = [line for line in (kept / GTKWAVE).read_text().splitlines() if line.startswith("TOP.")]
    assert len(saved) > 6
    for line in saved:
        width = re.search(r"\[(\d+):0\]$", line)
        assert signals[line.removesuffix(width[0] if width else "")] == (int(width[1]) + 1 if width else 1)
    failing_lane = f"TOP.simd_resmlp.core.epilogue.tables.lane[{channel % 16}].table_lane_l.y"
    assert f"{failing_lane}[7:0]" in saved
    at: dict[str, int] = {}
    for name in (failing_lane, "TOP.simd_resmlp.mon_valid"):

        def keep(time: int, _signal: object, value: int, name: str = name) -> None:
            if time <= 10 * cycle:
                at[name] = value

        pywellen.Waveform(str(kept / "failure.fst"), multi_threaded=False, stream_only=True).stream_changes(
            keep, [name]
        )
    assert at[failing_lane] == got % 256
    assert at["TOP.simd_resmlp.mon_valid"] >> STAGES.index("next") & 1 == 1
