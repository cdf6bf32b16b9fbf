"""Moments of a run of the SIMD accelerator: resets, stops, errors and stalls of each channel, by step of a job.

Numbered as `harness/moments.hpp` numbers them.
"""

from collections.abc import Sequence

from fxsim.devices.simd.registers import Register

_SET_UP = (
    Register.ID, Register.PARAM_ADDR_LO, Register.PARAM_ADDR_HI, Register.PARAM_WORDS, Register.IMAGE_COUNT,
    Register.IMAGE_ADDR_LO, Register.IMAGE_ADDR_HI, Register.IMAGE_WORDS, Register.IMAGE_STRIDE,
    Register.RESULT_ADDR_LO, Register.RESULT_ADDR_HI, Register.RESULT_WORDS, Register.RESULT_STRIDE, Register.CONTROL,
)  # fmt: skip
_COLLECTED = (
    "STATUS read", Register.ERROR, Register.CYCLES_LO, Register.CYCLES_HI, Register.IMAGES_DONE, "STATUS cleared",
)  # fmt: skip
_CHANNELS = {
    "read address held": True,
    "read data late": True,
    "write address held": False,
    "write data held": False,
    "write answer late": False,
}
"""Channels of the memory, and whether it reads there."""


def name_moments(layers: Sequence[str]) -> tuple[str | None, ...]:
    """The name of each moment that the harness counts, of a model of these layers; None for one that cannot be."""
    run = ["loading", *layers, "last results"]
    before = [f"set up {register.name}" for register in _SET_UP]
    behind = [f"after {step if isinstance(step, str) else step.name}" for step in _COLLECTED]
    names: list[str | None] = [f"reset: {step}" for step in ("between jobs", *before, *run, *behind)]
    names += [f"answer held: {step}" for step in (*before, *behind)]
    names += [f"stop: {step}" for step in run]
    # Once all is computed nothing more is read; while nothing was, no result is out.
    names += [f"read error: {step}" if step != run[-1] else None for step in run]
    names += [f"write error: {step}" if at else None for at, step in enumerate(run)]
    for channel, reading in _CHANNELS.items():
        there = run[:-1] if reading else run[1:]
        names += [f"{channel}: {step}" if step in there else None for step in run]
    return tuple(names)
