"""simd_memory.v with 32-bit addresses, short bursts and a FIFO of eight words: all that depends on these sizes."""

from pathlib import Path

import pytest

from testbenches.common.simulation import simulate
from testbenches.simd_memory.test_simd_memory import (
    USUAL,
    keeps_parameters,
    keeps_to_the_address_space,
    reports_a_read_error,
    reports_wrong_lasts,
    runs,
    starts_afresh_after_a_reset,
)

__all__ = [
    "keeps_parameters",
    "keeps_to_the_address_space",
    "reports_a_read_error",
    "reports_wrong_lasts",
    "runs",
    "starts_afresh_after_a_reset",
]

NARROW = USUAL | {"ADDRESS_W": 32, "BURST": 4, "FIFO_WORDS": 8}


@pytest.mark.thorough
def test_simd_memory_of_narrow_sizes(tmp_path: Path) -> None:
    """simd_memory.v plays runs to their ends with small sizes too."""
    simulate(__name__, "simd_memory", tmp_path, NARROW)
