"""Learnable tables: one-dimensional functions, one a channel, given at evenly spaced points and linear in between.

For x and P values g_0 .. g_{P-1} at linspace(-limit, limit, P):

    position = (x + limit) * (P - 1) / (2 limit)
    s = floor(position) clamped to 0 .. P - 2,   f = position - s
    y = (1 - f) g_s + f g_{s+1}

f is not clamped, so that outside the grid the first and the last segment go on. The gradients are

    dy/dx = (g_{s+1} - g_s) (P - 1) / (2 limit),   dy/dg_s = 1 - f,   dy/dg_{s+1} = f

At a grid point the slope is that of the segment to its right.

With d = g_{s+1} - g_s, y is computed as g_s + f d for f < 1/2, else as g_{s+1} - (1 - f) d: the same value, exact at
both ends of a segment, and without the cancellation that (1 - f) g_s + f g_{s+1} has far outside the grid.

This module says it in PyTorch's operations, for any device; on CPUs `lerp_kernels` computes the same faster.
"""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from fxsim.errors import ModelError
from fxsim.networks import lerp_kernels

_MOST_VALUES = 2**31 - 1
"""Most values of a grid: places in it are int32."""


def lerp(x: Tensor, grid: Tensor, limit: float, *, recompute: bool = True) -> Tensor:
    """The tables `grid` at `x`, interpolated linearly: [..., C] for x [..., C] and grid [C, P], P >= 2.

    Differentiable once, to `x` and to `grid`. For the backward pass `recompute` keeps `x` and `grid` alone and computes
    segments and fractions again; otherwise these two are kept, 4 bytes an element and as many as an element of x has.
    Both give the same bits. An infinite x gives the limit (an infinity, or NaN where the outer segment is level), NaN
    gives NaN; either makes the gradients of the values it touches NaN or infinite and reads nothing out of bounds.
    ModelError where shapes or types do not fit.
    """
    if grid.ndim != 2 or grid.shape[0] < 1 or grid.shape[1] < 2:
        raise ModelError(f"a grid of shape {tuple(grid.shape)}, expected [channels, points], at least 1 and at least 2")
    if grid.numel() > _MOST_VALUES:
        raise ModelError(f"a grid of {grid.numel()} values, expected at most {_MOST_VALUES}")
    if x.ndim == 0 or x.shape[-1] != grid.shape[0]:
        raise ModelError(f"input of shape {tuple(x.shape)} for tables of {grid.shape[0]} channels: the last must agree")
    if x.dtype != grid.dtype or not x.dtype.is_floating_point:
        raise ModelError(f"input of {x.dtype} for tables of {grid.dtype}: expected one floating-point type for both")
    if not (math.isfinite(limit) and limit > 0):
        raise ModelError(f"the limit of a table is {limit}, expected a positive number")
    y: Tensor = _Lerp.apply(x, grid, float(limit), recompute)  # type: ignore[no-untyped-call]
    return y


class _Lerp(torch.autograd.Function):
    """`lerp` with its own backward pass: autograd through the single operations would keep several tensors like x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, grid: Tensor, limit: float, recompute: bool) -> Tensor:
        ctx.limit = limit
        ctx.recompute = recompute
        if recompute:
            ctx.save_for_backward(x, grid)
            return lerp_kernels.forward(x, grid, limit) if _has_kernels(x) else _values(grid, *locate(x, grid, limit))
        if _has_kernels(x):
            y, index, fraction = lerp_kernels.forward_storing(x, grid, limit)
        else:
            index, fraction = locate(x, grid, limit)
            y = _values(grid, index, fraction)
        ctx.save_for_backward(index, fraction, grid)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        limit = ctx.limit
        if ctx.recompute:
            x, grid = ctx.saved_tensors
            if _has_kernels(x):
                return *lerp_kernels.backward(gradient, x, grid, limit), None, None
            index, fraction = locate(x, grid, limit)
        else:
            index, fraction, grid = ctx.saved_tensors
            if _has_kernels(fraction):
                return *lerp_kernels.backward_stored(gradient, index, fraction, grid, limit), None, None
        return *_gradients(gradient, grid, index, fraction, limit), None, None


def _has_kernels(x: Tensor) -> bool:
    return x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)


def locate(x: Tensor, grid: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """For each x [..., C]: where its segment begins in the flattened grid, int32, and the fraction, both [..., C]."""
    channels, points = grid.shape
    position = (x + limit) * ((points - 1) / (2 * limit))
    # NaN is in no segment: it gets the last one, and its fraction stays NaN.
    segment = position.floor().nan_to_num_(nan=points - 2).clamp_(0, points - 2)
    first = torch.arange(0, channels * points, points, dtype=torch.int32, device=x.device)
    return segment.to(torch.int32) + first, position - segment


def _values(grid: Tensor, index: Tensor, fraction: Tensor) -> Tensor:
    left, right = _ends(grid, index)
    difference = right - left
    return torch.where(fraction < 0.5, left + fraction * difference, right - (1 - fraction) * difference)


def _gradients(gradient: Tensor, grid: Tensor, index: Tensor, fraction: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    left, right = _ends(grid, index)
    to_x = gradient * ((right - left) * ((grid.shape[1] - 1) / (2 * limit)))
    to_grid = torch.zeros_like(grid, memory_format=torch.contiguous_format).flatten()
    to_grid.index_add_(0, index.flatten(), (gradient * (1 - fraction)).flatten())
    to_grid.index_add_(0, index.flatten() + 1, (gradient * fraction).flatten())
    return to_x, to_grid.view(grid.shape)


def _ends(grid: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
    flat, where = grid.flatten(), index.flatten()
    return flat.index_select(0, where).view(index.shape), flat.index_select(0, where + 1).view(index.shape)
