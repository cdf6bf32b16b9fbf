"""Proofs of what leads images through one copy of a loop's body."""

import pytest

from tests.test_prove_composed import broken, check_proved, check_refused

LOOP = {"STEPS": 3, "BEATS": 4, "LANES": 2, "X_W": 3, "X_SIGNED": 1, "Y_W": 4}


@pytest.mark.parametrize(
    "parameters",
    [
        LOOP,
        # Images of one beat, two steps, values that enter as wide as they are; unsigned ones that enter narrower.
        {"STEPS": 2, "BEATS": 1, "LANES": 1, "X_W": 2, "X_SIGNED": 0, "Y_W": 2},
        {"STEPS": 4, "BEATS": 2, "LANES": 1, "X_W": 7, "X_SIGNED": 0, "Y_W": 8},
    ],
)
def test_loops_are_proved(parameters: dict[str, int]) -> None:
    """Images of one beat and of several, values as they are and extended."""
    check_proved("frame_loop", parameters)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        # A step too few, of what is taken and of what is given; the next image enters a step early, or at any time.
        ("<= (take_step_reg == STEP_LAST)", "<= (take_step_reg == STEP_LAST - 1)"),
        ("leaves = give_step_reg == STEP_LAST", "leaves = give_step_reg == STEP_LAST - 1"),
        ("enters = take_step_reg == {STEP_W{1'b0}}", "enters = take_step_reg == STEP_LAST"),
        ("s0_axis_tready = enters && m0_axis_tready", "s0_axis_tready = m0_axis_tready"),
        # An image ends a beat early on one side; counters that a reset leaves; a beat that is kept and not taken.
        ("take && take_beat_reg == BEAT_LAST", "take && take_beat_reg == BEAT_LAST - 1"),
        ("      give_step_reg <= {STEP_W{1'b0}};\n      give_beat_reg", "      give_beat_reg"),
        (".s_axis_tvalid(!leaves && s1_axis_tvalid)", ".s_axis_tvalid(s1_axis_tvalid)"),
        (".m_axis_tready(!enters && m0_axis_tready)", ".m_axis_tready(m0_axis_tready)"),
        # What leaves besides the last step's; a wrong sign.
        ("m1_axis_tvalid = leaves && s1_axis_tvalid", "m1_axis_tvalid = s1_axis_tvalid"),
        ("wire above = (X_SIGNED == 1) &&", "wire above = (X_SIGNED == 0) &&"),
    ],
)  # fmt: skip
def test_broken_loops_are_not_proved(old: str, new: str) -> None:
    """Each fault leaves nothing proved."""
    check_refused("frame_loop", LOOP, broken("frame_loop", old, new))
