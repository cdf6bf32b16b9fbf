"""The viewers' files of a kept failure: the failing tap and its neighbours, signed, at the cycle that failed."""

from pathlib import Path

import msgspec
import pytest

from fxsim.compare import Difference
from fxsim.cosim import Fault, Stop
from fxsim.cosim.wave_files import GTKWAVE, SURFER, choose_streams, write_wave_files
from fxsim.devices import DEVICES, Watched, make_settings
from fxsim.formats import load
from fxsim.paths import golden_dir
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
    streams = fitted().watched()  # type: ignore[attr-defined]
    assert list(streams) == [*MODEL.graph.taps, "m_axis"]
    assert choose_streams(streams, MODEL.graph, "m_axis") == ["classifier", "m_axis"]
    assert choose_streams(streams, MODEL.graph, "classifier") == ["pool", "classifier", "m_axis"]
    assert choose_streams(streams, MODEL.graph, "embed")[0] == "embed"
    assert choose_streams(streams, MODEL.graph, "m_axi_ar") == list(streams)


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
