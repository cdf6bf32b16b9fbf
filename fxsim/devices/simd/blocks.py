"""The SIMD accelerator's blocks to prove: as wide as its Verilog states by itself, for all models."""

from fxsim.contract import AFFINE_ACC_BITS
from fxsim.devices.blocks import MAC_CELL, ProvableBlock, blocks_of
from fxsim.devices.settings import Settings
from fxsim.graph import Model

_ACC_BITS = 26
_POOL_BITS = 23
"""Bits of the sums of `mac_tile.v` and of `pool_lane.v`."""
_FRACTION_BITS = 6
"""Bits to which `table_lane.v` scales the fractions of all tables."""


def blocks(model: Model, settings: Settings) -> dict[str, tuple[ProvableBlock, ...]]:  # noqa: ARG001  # the same for all
    """The blocks by module."""
    cell = ProvableBlock("mac_cell", "prove_mac_cell", MAC_CELL, {"ACC_W": _ACC_BITS}, cycle=2)
    return blocks_of((AFFINE_ACC_BITS, _POOL_BITS, _ACC_BITS), (_FRACTION_BITS,)) | {"mac_cell": (cell,)}
