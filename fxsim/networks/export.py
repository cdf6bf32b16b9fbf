"""From the quantised network to the integer model: parameters as the integers they are, tables as they are stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from fxsim.contract import INT8_MAX, INT8_MIN
from fxsim.errors import ModelError
from fxsim.families import ResMLPConfig, build_resmlp
from fxsim.graph import Model
from fxsim.networks.checkpoint import Quantised
from fxsim.networks.few_bits import FewBitNetwork
from fxsim.networks.quantised import LOG_STEP_LIMIT
from fxsim.networks.quantised_ode import OdeNetwork


@dataclass(frozen=True)
class Clipping:
    """Values of one tensor that int8 does not hold: `count` of `values`. `tensor` is `TAP.weight` or `TAP.bias`.

    `index` is where the one lies that is clipped furthest, `code` what it is in steps, `stored` what is exported of it.
    """

    tensor: str
    count: int
    values: int
    index: tuple[int, ...]
    code: float
    stored: int


@torch.no_grad()
def find_clipping(network: Quantised) -> tuple[Clipping, ...]:
    """The weights and biases that `export` clips to int8, a record for each tensor that has any, in the order of taps.

    A shift rule may choose so: a few clipped values for a finer step of all others.
    """
    found: list[Clipping] = []
    if isinstance(network, FewBitNetwork):
        return ()  # its weights are signs, its thresholds exact, its other parameters clamped while it is trained
    if isinstance(network, OdeNetwork):
        for tensor, codes, stored, high in network.stored():
            found += _clipped(tensor, codes, stored, (-high, high))
        return tuple(found)
    for tap in network.weighted_taps():
        layer, y_step = network.weighted(tap), network.step(tap)
        steps = {"weight": layer.weight_step(network.step(network.slot(tap).inputs[0]), y_step), "bias": y_step}
        for field, stored in zip(steps, network.weight_codes(tap), strict=True):
            found += _clipped(f"{tap}.{field}", getattr(layer, field) / steps[field], stored, (INT8_MIN, INT8_MAX))
    return tuple(found)


def _clipped(tensor: str, values: Tensor, stored: Tensor, limits: tuple[int, int]) -> list[Clipping]:
    """The record of what was clipped of values in steps, if anything was."""
    codes, kept = values.cpu().numpy(), stored.cpu().numpy()
    clipped = (np.rint(codes) < limits[0]) | (np.rint(codes) > limits[1])
    if not clipped.any():
        return []
    flat = int(np.where(clipped, np.abs(codes - kept), -1).argmax())
    index = tuple(int(i) for i in np.unravel_index(flat, codes.shape))
    count, value = int(clipped.sum()), round(float(codes[index]), 3)
    return [Clipping(tensor, count, codes.size, index, value, int(kept[index]))]


@torch.no_grad()
def export(network: Quantised, name: str, provenance: Mapping[str, str]) -> Model:
    """The integer model of a quantised network.

    Tables are those that `store_tables` left in the network; nothing is computed again from the functions. ModelError
    where an activation has no stored table yet, a parameter is not finite, or a step is out of range.
    """
    if isinstance(network, FewBitNetwork | OdeNetwork):
        return Model(network.graph(), name, dict(provenance))
    config, tables = network.config, network.tables
    for key, parameter in network.named_parameters():
        if not bool(parameter.isfinite().all()):
            raise ModelError(f"parameter '{key}' has values that are not finite")
    if float(network.log_steps.abs().max()) > LOG_STEP_LIMIT:
        raise ModelError(f"steps leave the range 2^-{LOG_STEP_LIMIT} to 2^{LOG_STEP_LIMIT}")
    parameters: dict[str, npt.NDArray[Any]] = {}
    for tap in network.weighted_taps():
        weight, bias = network.weight_codes(tap)
        parameters[f"{tap}.weight"] = weight.cpu().numpy().astype(np.int8)
        parameters[f"{tap}.bias"] = bias.cpu().numpy().astype(np.int8)
        parameters[f"{tap}.shift"] = network.weighted(tap).shift.cpu().numpy().copy()
    for tap in network.table_taps():
        table = network.table_function(tap).table
        if tables is None or table is None:
            raise ModelError("the network has no stored tables: choose their format first (store_tables)")
        parameters[f"{tap}.table"] = table.cpu().numpy().copy()
    dimensions = ResMLPConfig.of(config, tables.points if tables else 0, tables.rule if tables else None)
    return Model(build_resmlp(dimensions, parameters), name, dict(provenance))
