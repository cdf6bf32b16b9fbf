"""Random constants of layers, and the ROM files that hold them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from testbenches.common.simulation import write_hex

Constants = dict[str, npt.NDArray[Any]]


def affine_constants(rng: np.random.Generator, channels: int) -> Constants:
    """Weights and biases over the whole range; shifts for results that use it and sometimes saturate."""
    return {
        "weight": rng.integers(-128, 128, channels).astype(np.int8),
        "bias": rng.integers(-128, 128, channels).astype(np.int8),
        "shift": rng.integers(5, 9, channels).astype(np.uint8),
    }


def linear_constants(rng: np.random.Generator, outputs: int, inputs: int) -> Constants:
    """As `affine_constants`, `weight` [outputs, inputs]."""
    usual = 7 + (inputs.bit_length() + 1) // 2
    return {
        "weight": rng.integers(-128, 128, (outputs, inputs)).astype(np.int8),
        "bias": rng.integers(-128, 128, outputs).astype(np.int8),
        "shift": rng.integers(usual - 1, usual + 2, outputs).astype(np.uint8),
    }


def write_roms(folder: Path, layers: Mapping[str, Constants]) -> dict[str, npt.NDArray[Any]]:
    """Write `{layer}_{w,b,s,t}.hex`; returns all arrays as `{layer}.{field}`, for `simulate`'s case."""
    case = {}
    for layer, constants in layers.items():
        for field, array in constants.items():
            rows = array.reshape(-1) if field == "table" else array
            write_hex(folder / f"{layer}_{field[0]}.hex", rows)
            case[f"{layer}.{field}"] = array
    return case


def of_layer(case: Mapping[str, npt.NDArray[Any]], layer: str) -> Constants:
    """The arrays of one layer out of a case, by field."""
    return {name.removeprefix(f"{layer}."): array for name, array in case.items() if name.startswith(f"{layer}.")}
