"""Random models with calibrated statistics, and synthetic images: arithmetic exercised as trained networks exercise it.

Weights are drawn at random, then shift and bias of every output channel are set layer by layer from what the channel's
accumulator does on the images, so that activations use the range of int8, few values saturate, and shifts spread over 4
to 16. PSA tables sample random PSA functions.

The same seed gives the same bytes. Floating point decides only values that are then rounded to integers: where two
machines' exponentials differ in the last bit, the rounded values differ with a chance of about one in 10^9.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from fxsim import contract
from fxsim.contract import INT8_MAX, INT8_MIN, TableRule
from fxsim.contract.arithmetic import Int8, Int64, UInt8
from fxsim.errors import ModelError
from fxsim.families import ResMLPConfig, Slot, build_resmlp, resmlp_slots
from fxsim.graph import INPUT, Model
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Pool, Relu

Float64 = npt.NDArray[np.float64]

SHIFT_RANGE = (4, 16)
"""Shifts of the published models; the generator keeps to it."""


# --- images ---


def natural_images(count: int, grid: tuple[int, int], patch: int, seed: int) -> Int8:
    """Synthetic pictures as int8 [count, token, value]: smooth shapes and gradients with correlated colours, and noise.

    A picture has `grid` (rows, columns) patches of `patch` x `patch` pixels in three colours; tokens are patches in
    row-major order, values ordered (row, column, colour) inside a patch.
    """
    rng = np.random.default_rng(seed)
    rows, columns = grid
    height, width = rows * patch, columns * patch
    y, x = np.meshgrid(np.linspace(0, 1, height), np.linspace(0, 1, width), indexing="ij")
    pictures = np.empty((count, height, width, 3))
    for picture in pictures:
        angle, tilt = rng.uniform(0, 2 * np.pi), rng.uniform(0, 1.5)
        light = tilt * (np.cos(angle) * x + np.sin(angle) * y)
        for _ in range(6):
            centre_y, centre_x = rng.uniform(0, 1, 2)
            size, height_of_blob = rng.uniform(0.05, 0.35), rng.normal(0, 1)
            light = light + height_of_blob * np.exp(-((y - centre_y) ** 2 + (x - centre_x) ** 2) / (2 * size**2))
        light = (light - light.mean()) / max(float(light.std()), 1e-6)
        colour = 1 + rng.normal(0, 0.25, 3)
        picture[:] = light[:, :, None] * colour * rng.uniform(0.6, 1.2) + rng.normal(-0.15, 0.3, 3)
        picture += rng.normal(0, 0.12, picture.shape)
    # tanh: bright and dark areas flatten out as a camera's do, rather than being cut off.
    codes = np.rint(126 * np.tanh(50 * pictures / 126)).astype(np.int8)
    patches = codes.reshape(count, rows, patch, columns, patch, 3).transpose(0, 1, 3, 2, 4, 5)
    return np.ascontiguousarray(patches.reshape(count, rows * columns, patch * patch * 3))


# --- models ---


def generate_model(name: str, config: ResMLPConfig, images: Int8, seed: int) -> Model:
    """A random ResMLP, calibrated on `images`, int8 [image, token, value]; the same arguments give the same model."""
    if images.ndim != 3 or images.shape[1:] != (config.tokens, config.values):
        expected = f"(images, {config.tokens}, {config.values})"
        raise ModelError(f"images to calibrate on have shape {images.shape}, expected {expected}")
    parameters = _Calibration(config, np.random.default_rng(seed)).network(images)
    provenance = {"source": "fxsim.golden", "seed": str(seed), "trained": "no: random, with calibrated statistics"}
    return Model(build_resmlp(config, parameters), name, provenance)


_STD = {
    "embed": 22.0, "affine_1": 26.0, "linear": 28.0, "affine_2": 16.0, "psa_1": 30.0, "linear_1": 28.0, "psa_2": 26.0,
    "linear_2": 17.0, "classifier": 60.0,
}  # fmt: skip
"""Standard deviations of results by role, in int8 steps, after the published models' (16 to 24 on the main path)."""


class _Calibration:
    """Draws parameters in the order data takes, each layer calibrated on what those before it make of the images."""

    def __init__(self, config: ResMLPConfig, rng: np.random.Generator) -> None:
        self.config = config
        self.rng = rng
        self.parameters: dict[str, npt.NDArray[Any]] = {}

    def network(self, images: Int8) -> dict[str, npt.NDArray[Any]]:
        values = {INPUT: images}
        for slot in resmlp_slots(self.config, self.config.psa):
            inputs = [values[name] for name in slot.inputs]
            values[slot.name] = self.operator(slot, inputs, _STD.get(slot.role, 0.0))
        return self.parameters

    def operator(self, slot: Slot, inputs: list[Int8], std: float) -> Int8:
        """Draw the parameters of an operator, whose results are to spread by `std`; its values on the images."""
        x = inputs[0]
        if slot.op is Linear:
            if slot.over is Axis.TOKENS:
                return self.linear(slot.name, x.swapaxes(1, 2), slot.shape[0], std).swapaxes(1, 2)
            return self.linear(slot.name, x, slot.shape[0], std)
        if slot.op is Affine:
            return self.residual(slot.name, x) if slot.role == "res_affine" else self.affine(slot.name, x, std)
        if slot.op is Lut:
            return self.psa(slot.name, x, std)
        if slot.op is Add:
            return contract.add(x, inputs[1])
        assert slot.op in (Relu, Pool)
        return contract.relu(x) if slot.op is Relu else contract.pool(x)

    def linear(self, name: str, x: Int8, outputs: int, std: float) -> Int8:
        inputs = x.shape[-1]
        # Some rows use the range of their int8 weights, others little of it, as rows of one trained matrix do.
        scale = np.exp2(self.rng.uniform(3.2, 5.2, (outputs, 1)))
        weight = _int8(self.rng.normal(0, 1, (outputs, inputs)) * scale)
        acc = x.astype(np.int64) @ weight.astype(np.int64).T
        return self.requantise(name, weight, acc, np.full(outputs, std))

    def affine(self, name: str, x: Int8, std: float) -> Int8:
        channels = x.shape[-1]
        magnitude = np.exp2(self.rng.uniform(3.6, 7, channels))
        weight = _int8(magnitude * self.rng.choice((-1, 1), channels))
        # Trained affines all but switch some channels off; that is where the largest shifts come from.
        quiet = np.where(self.rng.random(channels) < 0.06, np.exp2(-self.rng.uniform(3, 9, channels)), 1)
        return self.requantise(name, weight, x.astype(np.int64) * weight.astype(np.int64), std * quiet)

    def residual(self, name: str, x: Int8) -> Int8:
        """The affine of a residual path: three quarters of its input, much alike in all channels."""
        channels = x.shape[-1]
        weight = _int8(self.rng.normal(97, 1.5, (channels,)))
        bias = np.zeros(channels, np.int8)
        shift = np.full(channels, 7, np.uint8)
        self.store(name, weight, bias, shift)
        return contract.affine(x, weight, bias, shift)

    def requantise(self, name: str, weight: Int8, acc: Int64, std: Float64) -> Int8:
        """Shift and bias of each output channel (last axis of `acc`) such that results spread by about `std`."""
        columns = acc.reshape(-1, acc.shape[-1])
        shift = np.array([_shift(column, s) for column, s in zip(columns.T, std, strict=True)], np.uint8)
        offset = contract.round_shift(columns, shift).mean(axis=0)
        bias = _int8(self.rng.normal(0, 4, len(std)) - offset)
        self.store(name, weight, bias, shift)
        return contract.requantise(acc, shift, bias)

    def psa(self, name: str, x: Int8, std: float) -> Int8:
        """One random PSA function a channel, as on the float side of the contract, scaled to spread by `std` on `x`."""
        assert self.config.rule is not None
        channels = x.shape[-1]
        codes = _point_codes(self.config.points, self.config.rule)
        every = np.arange(INT8_MIN, INT8_MAX + 1)
        parameters = [self.rng.normal(0, s, (channels, 8, 1)) for s in (1.6, 0.7, 3.0)]
        offset = self.rng.normal(0, 4, (channels,))
        table = np.empty((channels, len(codes)), np.int8)
        for c in range(channels):
            curve = _psa_curve(every, *(p[c] for p in parameters))
            seen = np.bincount(x[..., c].astype(np.int64).ravel() - INT8_MIN, minlength=len(every))
            mean = float((curve * seen).sum() / seen.sum())
            spread = float(np.sqrt(((curve - mean) ** 2 * seen).sum() / seen.sum()))
            table[c] = _int8(std / max(spread, 1e-3) * (curve - mean) + offset[c])[codes - INT8_MIN]
        self.parameters[f"{name}.table"] = table
        return contract.lookup(x, table, self.config.rule)

    def store(self, name: str, weight: Int8, bias: Int8, shift: UInt8) -> None:
        self.parameters |= {f"{name}.weight": weight, f"{name}.bias": bias, f"{name}.shift": shift}


def _int8(values: Float64) -> Int8:
    return np.clip(np.rint(values), INT8_MIN, INT8_MAX).astype(np.int8)


def _shift(acc: Int64, std: float) -> int:
    """The shift that brings one channel's accumulators nearest to a spread of `std`; more if many would saturate."""
    deviation = acc - acc.mean()
    ratio = float(np.sqrt((deviation**2).mean())) / std
    low, high = SHIFT_RANGE
    # Nearest in octaves: between 2^(s - 1/2) and 2^(s + 1/2).
    shift = next((s for s in range(low, high) if ratio**2 < 2.0 ** (2 * s + 1)), high)
    few = max(1, len(acc) // 500)
    while shift < high and np.count_nonzero(np.abs(deviation) > 2.0**shift * 120) > few:
        shift += 1
    return shift


def _point_codes(points: int, rule: TableRule) -> Int64:
    """The input codes at which a table's stored points sample its function."""
    codes = np.arange(points, dtype=np.int64) * (256 // points) + INT8_MIN
    return np.append(codes, INT8_MAX) if rule is TableRule.ENDPOINT else codes


def _psa_curve(codes: Int64, centre: Float64, width: Float64, value: Float64) -> Float64:
    """A residual PSA before its output scale: x + sum_j attn_j * v_j * x at x = code / 32, which spans [-4, 4)."""
    x = codes / 32
    score = (x - centre) ** 2 / (width**2 + 1)
    attention = np.exp(score.min(axis=0) - score)
    attention /= attention.sum(axis=0)
    gain: Float64 = 1 + (attention * value).sum(axis=0)
    return gain * x
