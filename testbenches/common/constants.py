"""Random constants of layers and of whole models, and the ROM files that hold them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.graph import Model
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


def random_resmlp(config: ResMLPConfig, rng: np.random.Generator) -> Model:
    """A ResMLP whose values use their range."""
    parameters: Constants = {}
    for name, shape in resmlp_parameters(config).items():
        tap, field = name.rsplit(".", 1)
        if field == "table":
            parameters[name] = rng.integers(-128, 128, shape).astype(np.int8)
        elif field == "weight":
            layer = affine_constants(rng, *shape) if len(shape) == 1 else linear_constants(rng, *shape)
            parameters |= {f"{tap}.{part}": array for part, array in layer.items()}
    return Model(build_resmlp(config, parameters), "random")
