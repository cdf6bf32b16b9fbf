"""Proofs of the composed accelerator's loop: images through one body, under every schedule."""

import pytest

from fxsim.simulate.sources import Sources
from tests.test_prove_composed import RTL, broken, check_proved, check_refused

LOOP = {"STEPS": 3, "BEATS": 3, "LANES": 2, "X_W": 2, "X_SIGNED": 1, "Y_W": 3}
FOUR = {**LOOP, "BEATS": 4}


@pytest.mark.parametrize(
    "parameters",
    [
        LOOP,
        {**LOOP, "STEPS": 2, "BEATS": 1},
        {**LOOP, "BEATS": 2, "X_SIGNED": 0},
        {**LOOP, "STEPS": 4, "BEATS": 4, "X_W": 3, "LANES": 1},
    ],
)
def test_loops_are_proved(parameters: dict[str, int]) -> None:
    """Two steps and more, images of one beat and more, of values that are extended and that are not."""
    check_proved("frame_loop", parameters)


@pytest.mark.thorough
@pytest.mark.parametrize(
    "parameters",
    [
        {"STEPS": 4, "BEATS": 1024, "LANES": 1, "X_W": 8, "X_SIGNED": 1, "Y_W": 8},
        {"STEPS": 3, "BEATS": 256, "LANES": 4, "X_W": 4, "X_SIGNED": 0, "Y_W": 8},
    ],
)
def test_loops_of_whole_images_are_proved(parameters: dict[str, int]) -> None:
    """So are the sizes of networks."""
    check_proved("frame_loop", parameters)


FAULTS = [
    # A step too few, or too many; an image that ends early; the next image a step early, or amid a step.
    ("STEP_LAST_32 = STEPS - 1", "STEP_LAST_32 = STEPS - 2", "leaves"),
    ("STEP_LAST_32 = STEPS - 1", "STEP_LAST_32 = STEPS", "leaves"),
    ("BEAT_LAST_32 = BEATS - 1", "BEAT_LAST_32 = BEATS - 2", "enters"),
    (
        "wire enters = take_step_reg == {STEP_W{1'b0}};",
        "wire enters = take_step_reg == {STEP_W{1'b0}} || (take_step_reg == STEP_LAST && s0_axis_tvalid);",
        "waits",
    ),
    ("s0_axis_tready = enters && m0_axis_tready", "s0_axis_tready = m0_axis_tready", "waits"),
    # Counters that a reset leaves.
    ("      give_step_reg <= {STEP_W{1'b0}};\n      give_beat", "      give_beat", "leaves"),
    ("      take_beat_reg <= {BEAT_W{1'b0}};\n      give_step", "      give_step", "enters"),
    # The other sign; what leaves in every step.
    ("wire above = (X_SIGNED == 1) &&", "wire above = (X_SIGNED == 0) &&", "enters"),
    ("m1_axis_tvalid = leaves && s1_axis_tvalid", "m1_axis_tvalid = s1_axis_tvalid", "leaves"),
    # A kept beat that is given twice, or lost; one that leaves and is kept, too; one lost where there is no room.
    (".m_axis_tready(!enters && m0_axis_tready)", ".m_axis_tready(1'b0)", "ready"),
    (".m_axis_tready(!enters && m0_axis_tready)", ".m_axis_tready(m0_axis_tready)", "order"),
    (".s_axis_tvalid(!leaves && s1_axis_tvalid)", ".s_axis_tvalid(s1_axis_tvalid)", "ready"),
    ("s1_axis_tready = leaves ? m1_axis_tready : keep_ready", "s1_axis_tready = leaves ? m1_axis_tready : 1", "ready"),
    # Room for more than an image.
    (".DEPTH (BEATS)", ".DEPTH (BEATS + 1)", "ready"),
]


@pytest.mark.parametrize(("old", "new", "property_"), FAULTS)
def test_broken_loops_are_not_proved(old: str, new: str, property_: str) -> None:
    """Each fault is refuted by a run that breaks what it should, and nothing of the module is proved."""
    proof = check_refused("frame_loop", FOUR, broken("frame_loop", old, new))
    assert property_ in [v.name for v in proof.verdicts if v.verdict == "refuted"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(read_reg == LAST) ? {INDEX_W{1'b0}} : read_reg + 1'b1", "read_reg + 1'b1"),
        ("memory[write_reg] <= s_axis_tdata", "memory[read_reg] <= s_axis_tdata"),
    ],
)
def test_loops_with_a_broken_fifo_are_not_proved(old: str, new: str) -> None:
    """Pointers of the FIFO within are looked at: another order is refuted."""
    file = RTL.file_of("axis_fifo")
    text = RTL.files[file].decode()
    assert text.count(old) == 1
    sources = Sources(RTL.folder, {**RTL.files, file: text.replace(old, new).encode()})
    proof = check_refused("frame_loop", FOUR, sources)
    assert "order" in [v.name for v in proof.verdicts if v.verdict == "refuted"]
