"""The loops of `lerp` on CPUs: what `fxsim.networks.lerp` states in PyTorch's operations, in one pass over the data.

The same operations in the same order on every element: values and gradients to the input are equal bit for bit. The
gradient to the grid is a sum, taken in another order (`_blocks`) that is the same for any number of threads.

Elements are taken in tiles. In a tile, what is computed (vectorised) and what is looked up are loops of their own:
Numba cannot tell LLVM that tables and results do not overlap, and one loop for both stays scalar, ten times slower.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# Numba infers its own types: annotations would be a second, unchecked statement of them.

import functools
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fxsim.jit import compile_function, from_dtype, njit, types

_TILE = 512
"""Elements worked on at once: their intermediate values stay in the first-level cache."""

_BLOCK = 1 << 16
"""Elements a thread takes at once, at least: some 100 us of work."""

_MOST_BLOCKS = 32
"""Most blocks of the backward pass: each has a gradient to the grid of its own."""


@njit
def _locate(x, base, limit, scale, top, index, fraction):
    zero = fraction.dtype.type(0)
    for i in range(len(x)):
        position = (x[i] + limit) * scale
        segment = np.floor(position)
        # In this order NaN becomes `top`: whatever x is, the index lies within the grid.
        segment = segment if segment < top else top
        segment = segment if segment > zero else zero
        fraction[i] = position - segment
        index[i] = np.int32(segment) + base[i]


@njit
def _look_up(grid, index, left, right):
    for i in range(len(index)):
        # Unsigned: Numba would ask of a signed index whether it counts from the end.
        at = np.uint64(index[i])
        left[i] = grid[at]
        right[i] = grid[at + np.uint64(1)]


@njit
def _interpolate(left, right, fraction, y):
    half, one = fraction.dtype.type(0.5), fraction.dtype.type(1)
    for i in range(len(y)):
        difference = right[i] - left[i]
        f = fraction[i]
        y[i] = left[i] + f * difference if f < half else right[i] - (one - f) * difference


@njit
def _differentiate(gradient, left, right, fraction, index, scale, to_x, to_grid):
    one = fraction.dtype.type(1)
    for i in range(len(gradient)):
        to_x[i] = gradient[i] * ((right[i] - left[i]) * scale)
    # `left` and `right` have been used: they become what is added to the gradients of their places.
    for i in range(len(gradient)):
        left[i] = gradient[i] * (one - fraction[i])
        right[i] = gradient[i] * fraction[i]
    for i in range(len(gradient)):
        at = np.uint64(index[i])
        to_grid[at] += left[i]
        to_grid[at + np.uint64(1)] += right[i]


def _forward(x, grid, base, limit, scale, top, y, first, last):
    index = np.empty(_TILE, np.int32)
    fraction, left, right = np.empty(_TILE, x.dtype), np.empty(_TILE, x.dtype), np.empty(_TILE, x.dtype)
    channels = len(base) - _TILE
    for at in range(first, last, _TILE):
        n = min(_TILE, last - at)
        _locate(x[at : at + n], base[at % channels :], limit, scale, top, index[:n], fraction[:n])
        _look_up(grid, index[:n], left, right)
        _interpolate(left, right, fraction, y[at : at + n])


def _forward_storing(x, grid, base, limit, scale, top, y, first, last, index, fraction):
    left, right = np.empty(_TILE, x.dtype), np.empty(_TILE, x.dtype)
    channels = len(base) - _TILE
    for at in range(first, last, _TILE):
        end = min(at + _TILE, last)
        _locate(x[at:end], base[at % channels :], limit, scale, top, index[at:end], fraction[at:end])
        _look_up(grid, index[at:end], left, right)
        _interpolate(left, right, fraction[at:end], y[at:end])


def _backward(x, grid, base, limit, scale, top, gradient, to_x, to_grid, first, last):
    index = np.empty(_TILE, np.int32)
    fraction, left, right = np.empty(_TILE, x.dtype), np.empty(_TILE, x.dtype), np.empty(_TILE, x.dtype)
    channels = len(base) - _TILE
    for at in range(first, last, _TILE):
        end = min(at + _TILE, last)
        n = end - at
        _locate(x[at:end], base[at % channels :], limit, scale, top, index[:n], fraction[:n])
        _look_up(grid, index[:n], left, right)
        _differentiate(gradient[at:end], left, right, fraction, index, scale, to_x[at:end], to_grid)


def _backward_stored(index, fraction, grid, scale, gradient, to_x, to_grid, first, last):
    left, right = np.empty(_TILE, grid.dtype), np.empty(_TILE, grid.dtype)
    for at in range(first, last, _TILE):
        end = min(at + _TILE, last)
        _look_up(grid, index[at:end], left, right)
        _differentiate(gradient[at:end], left, right, fraction[at:end], index[at:end], scale, to_x[at:end], to_grid)


# --- From tensors to loops -----------------------------------------------------------------------------------------


def forward(x: Tensor, grid: Tensor, limit: float) -> Tensor:
    """`lerp`'s values for x [..., C] and grid [C, P], both on the CPU and of the same type, float32 or float64."""
    y = torch.empty_like(x, memory_format=torch.contiguous_format)
    flat = _flat(y)
    arguments = (_flat(x), _flat(grid), *_places(grid, limit), flat)
    loops = _compiled(_forward, x.dtype)
    _share(lambda first, last, _: loops(*arguments, first, last), flat.size, _blocks(flat.size))
    return y


def forward_storing(x: Tensor, grid: Tensor, limit: float) -> tuple[Tensor, Tensor, Tensor]:
    """`lerp`'s values, and `locate`'s index and fraction, which `backward_stored` takes."""
    y, fraction = (torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(2))
    index = torch.empty_like(y, dtype=torch.int32)
    flat = _flat(y)
    arguments = (_flat(x), _flat(grid), *_places(grid, limit), flat)
    stored = _flat(index), _flat(fraction)
    loops = _compiled(_forward_storing, x.dtype)
    _share(lambda first, last, _: loops(*arguments, first, last, *stored), flat.size, _blocks(flat.size))
    return y, index, fraction


def backward(gradient: Tensor, x: Tensor, grid: Tensor, limit: float) -> tuple[Tensor, Tensor]:
    """The gradients to x and to the grid from that to the values."""
    loops = _compiled(_backward, x.dtype)
    return _differentiated(gradient, grid, functools.partial(loops, _flat(x), _flat(grid), *_places(grid, limit)))


def backward_stored(
    gradient: Tensor, index: Tensor, fraction: Tensor, grid: Tensor, limit: float
) -> tuple[Tensor, Tensor]:
    """As `backward`, from what `forward_storing` gave."""
    loops = _compiled(_backward_stored, grid.dtype)
    _, _, scale, _ = _places(grid, limit)
    return _differentiated(gradient, grid, functools.partial(loops, _flat(index), _flat(fraction), _flat(grid), scale))


def _differentiated(gradient: Tensor, grid: Tensor, loops: Callable[..., None]) -> tuple[Tensor, Tensor]:
    to_x = torch.empty_like(gradient, memory_format=torch.contiguous_format)
    given, flat = _flat(gradient), _flat(to_x)
    # A block's own gradient to the grid must be small against its elements, in memory and in the time to add it up.
    blocks = min(_blocks(given.size), max(1, given.size // (8 * grid.numel())), _MOST_BLOCKS)
    parts = torch.zeros((blocks, *grid.shape), dtype=grid.dtype)
    to_grid = [_flat(part) for part in parts]
    _share(lambda first, last, block: loops(given, flat, to_grid[block], first, last), given.size, blocks)
    total = parts[0]
    for part in parts[1:]:
        total += part
    return to_x, total.clone() if blocks > 1 else total


def _flat(tensor: Tensor) -> Any:
    """The tensor's own memory as a flat numpy array; a copy of it where it is not contiguous."""
    return tensor.detach().contiguous().numpy().reshape(-1)


def _places(grid: Tensor, limit: float) -> tuple[Any, ...]:
    """The arguments of `_locate`: `base`, and limit, scale and top as scalars of the grid's type.

    base[at % C + i] is where the grid of element at + i begins, for every i < _TILE: int32 [C + _TILE].
    """
    channels, points = grid.shape
    base = np.arange(channels + _TILE, dtype=np.int64) % channels * points
    scalar = np.float32 if grid.dtype == torch.float32 else np.float64
    return base.astype(np.int32), scalar(limit), scalar((points - 1) / (2 * limit)), scalar(points - 2)


def _blocks(elements: int) -> int:
    """Into how many parts so many elements are cut: never by the number of threads."""
    return max(1, elements // _BLOCK)


def _share(work: Callable[[int, int, int], None], elements: int, blocks: int) -> None:
    """Call work(first, last, block) for every block of the elements, in as many threads as PyTorch uses."""
    bounds = [elements * block // blocks for block in range(blocks + 1)]
    # Threads share the iterator: whichever is free takes the next block. The loops run without the interpreter lock.
    turns = iter(range(blocks))

    def run() -> None:
        for block in turns:
            work(bounds[block], bounds[block + 1], block)

    others = min(torch.get_num_threads(), blocks) - 1
    waiting = [_pool(os.getpid()).submit(run) for _ in range(others)]
    run()
    for done in waiting:
        done.result()


@functools.lru_cache(1)
def _pool(process: int) -> ThreadPoolExecutor:  # noqa: ARG001  # the key: after a fork there are no threads
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="lerp")


@functools.cache
def _compiled(function: Callable[..., None], dtype: torch.dtype) -> Callable[..., None]:
    scalar = from_dtype(np.dtype(np.float32 if dtype == torch.float32 else np.float64))
    # Read-only: mutable arrays may be passed too, and both get the same code.
    given, places = types.Array(scalar, 1, "C", readonly=True), types.Array(types.int32, 1, "C", readonly=True)
    made, made_places = types.Array(scalar, 1, "C"), types.Array(types.int32, 1, "C")
    bounds = (types.int64, types.int64)
    located = (given, given, places, scalar, scalar, scalar)
    signature = {
        _forward: (*located, made, *bounds),
        _forward_storing: (*located, made, *bounds, made_places, made),
        _backward: (*located, given, made, made, *bounds),
        _backward_stored: (places, given, given, scalar, given, made, made, *bounds),
    }[function]
    return compile_function(function, types.void(*signature))
