"""Generator of `golden/`: models of the project's own, images, expected vectors. `python -m fxsim.golden [-o DIR]`.

The models are random, not trained. What is realistic about them are the statistics that decide what arithmetic is
exercised: weights are drawn at random, then shift and bias of every output channel are set layer by layer from what the
channel's accumulator does on the images, so that activations use the range of int8, few values saturate, and shifts
spread over 4 to 16. PSA tables sample random PSA functions. `manifest.json` records what came out.

The same seed gives the same bytes. Floating point decides only values that are then rounded to integers: where two
machines' exponentials differ in the last bit, the rounded values differ with a chance of about one in 10^9.
"""

import hashlib
import math
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import msgspec
import numpy as np
import numpy.typing as npt

from fxsim import contract
from fxsim.contract import INT8_MAX, INT8_MIN, TableRule
from fxsim.contract.arithmetic import Int8, Int64, UInt8
from fxsim.engines import run
from fxsim.errors import FileError, ModelError
from fxsim.files import load, model_sha256, save
from fxsim.model import Affine, Linear, Model, ResMLPConfig, build_resmlp

Float64 = npt.NDArray[np.float64]

FORMAT = "fxsim.golden"
VERSION = 1
MANIFEST = "manifest.json"
SEED = 1821  # The paper's volume and article number, TRETS 18(2):21, run together.

SHIFT_RANGE = (4, 16)
"""Shifts of the published models; the generator keeps to it."""

STATEMENT = (
    "Not trained: these models classify nothing. Weights and activation functions are random; shifts and biases were "
    "set layer by layer from the accumulators that the golden images give, so that activations use the range of int8 "
    "with few saturations. Images are synthetic: seeded sums of gradients, Gaussian blobs and noise, quantised to int8."
)


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


class _Calibration:
    """Draws parameters in the order data takes, each layer calibrated on what the layers before it make of the images.

    The numbers below are standard deviations in int8 steps, after the published models' (16 to 24 on the main path,
    60 at the classifier).
    """

    def __init__(self, config: ResMLPConfig, rng: np.random.Generator) -> None:
        self.config = config
        self.rng = rng
        self.parameters: dict[str, npt.NDArray[Any]] = {}

    def network(self, images: Int8) -> dict[str, npt.NDArray[Any]]:
        c = self.config
        x = self.linear("embed", images, c.channels, std=22)
        for i in range(c.blocks):
            mix = f"blocks.{i}.token_mixer"
            r = self.residual(f"{mix}.res_affine", x)
            y = self.affine(f"{mix}.affine_1", x, std=26)
            y = self.linear(f"{mix}.linear", y.swapaxes(1, 2), c.tokens, std=28).swapaxes(1, 2)
            y = self.affine(f"{mix}.affine_2", y, std=16)
            x = contract.add(y, r)
            mlp = f"blocks.{i}.mlp"
            r = self.residual(f"{mlp}.res_affine", x)
            y = self.psa(f"{mlp}.psa_1", x, std=30) if c.psa else x
            y = self.linear(f"{mlp}.linear_1", y, c.hidden, std=28)
            y = self.psa(f"{mlp}.psa_2", y, std=26) if c.psa else contract.relu(y)
            y = self.linear(f"{mlp}.linear_2", y, c.channels, std=17)
            x = contract.add(y, r)
        self.linear("classifier", contract.pool(x), c.classes, std=60)
        return self.parameters

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


# --- the folder ---


@dataclass(frozen=True)
class Recipe:
    """One golden model: its dimensions, the images it is calibrated on, and the vectors that are kept of it."""

    name: str
    config: ResMLPConfig
    stimulus: str
    vector_images: int
    vector_taps: tuple[str, ...]
    vector_format: str


@dataclass(frozen=True)
class Pictures:
    """One golden stimulus."""

    name: str
    count: int
    grid: tuple[int, int]
    patch: int


_SMALL = ResMLPConfig(tokens=16, values=12, channels=10, hidden=14, blocks=2, classes=5)
_PAPER = ResMLPConfig(tokens=64, values=48, channels=96, hidden=96, blocks=4, classes=10)
_PAPER_TAPS = ("embed", "pool", "classifier")

STIMULI = (Pictures("images_16x12", 16, (4, 4), 2), Pictures("images_64x48", 32, (8, 8), 4))
RECIPES = (
    Recipe("small", replace(_SMALL, points=16, rule=TableRule.CLAMP), "images_16x12", 4, ("all",), "hex"),
    Recipe("small_relu", _SMALL, "images_16x12", 4, ("all",), "npy"),
    Recipe("psa_h96", replace(_PAPER, points=64, rule=TableRule.CLAMP), "images_64x48", 2, _PAPER_TAPS, "npy"),
    Recipe("relu_h96", _PAPER, "images_64x48", 2, _PAPER_TAPS, "npy"),
    Recipe("relu_h192", replace(_PAPER, hidden=192), "images_64x48", 2, ("classifier",), "npy"),
)


class GoldenFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of the folder, by its path inside it."""

    path: str
    bytes: int
    sha256: str


class TapStatistics(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a tap's values were on all images of the stimulus; `saturated` is the share at -128 or 127."""

    tap: str
    min: int
    max: int
    mean: float
    std: float
    saturated: float


class GoldenModel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model: where it is, what it was calibrated on, and what was measured. `shifts` counts channels by shift."""

    name: str
    file: str
    model_sha256: str
    stimulus: str
    images: int
    seed: int
    shifts: dict[str, int]
    taps: list[TapStatistics]


class GoldenManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`golden/manifest.json`."""

    format: str
    version: int
    generator: str
    seed: int
    trained: bool
    statement: str
    models: list[GoldenModel]
    files: list[GoldenFile]


def write_golden(directory: Path, names: Iterable[str] | None = None) -> GoldenManifest:
    """Write models, stimuli, vectors and manifest into an existing folder; `names` limits it to some recipes."""
    from fxsim.vectors import write_vectors

    wanted = [recipe for recipe in RECIPES if names is None or recipe.name in set(names)]
    models, files = [], []
    for index, pictures in enumerate(STIMULI):
        if any(recipe.stimulus == pictures.name for recipe in wanted):
            images = natural_images(pictures.count, pictures.grid, pictures.patch, SEED + index)
            np.save(directory / f"{pictures.name}.npy", images, allow_pickle=False)
            files.append(Path(f"{pictures.name}.npy"))
    for recipe in wanted:
        images = np.load(directory / f"{recipe.stimulus}.npy", allow_pickle=False)
        # Each model's seed follows from its name alone, so that adding a recipe changes no other.
        seed = SEED + int.from_bytes(hashlib.sha256(recipe.name.encode()).digest()[:4])
        model = generate_model(recipe.name, recipe.config, images, seed)
        path = Path(f"{recipe.name}.safetensors")
        save(model, directory / path)
        vectors = Path("vectors") / recipe.name
        (directory / "vectors").mkdir(exist_ok=True)
        write_vectors(
            model,
            images[: recipe.vector_images],
            directory / vectors,
            taps=recipe.vector_taps,
            data_format=recipe.vector_format,
            seed=SEED,
            engine="reference",
        )
        files += [path, *sorted(p.relative_to(directory) for p in (directory / vectors).rglob("*") if p.is_file())]
        models.append(measure(model, path.name, f"{recipe.stimulus}.npy", images, seed))
    manifest = GoldenManifest(
        FORMAT,
        VERSION,
        "python -m fxsim.golden",
        SEED,
        False,
        STATEMENT,
        models,
        [golden_file(directory, path) for path in files],
    )
    text = msgspec.json.format(msgspec.json.encode(manifest))
    (directory / MANIFEST).write_bytes(text + b"\n")
    return manifest


def measure(model: Model, file: str, stimulus: str, images: Int8, seed: int) -> GoldenModel:
    """A model's shifts, and its values at every tap on `images`, as the manifest records them."""
    shifts = np.concatenate([node.op.shift for node in model.graph.nodes if isinstance(node.op, Linear | Affine)])
    counts = {str(s): int(n) for s, n in enumerate(np.bincount(shifts)) if n}
    values = run(model, images, "all", engine="reference")
    taps = [tap_statistics(tap, v) for tap, v in values.items()]
    return GoldenModel(model.name, file, model_sha256(model), stimulus, len(images), seed, counts, taps)


def tap_statistics(tap: str, values: Int8) -> TapStatistics:
    """Range, mean, spread and saturation of a tap's values; from exact integer sums, so the same on every machine."""
    v = values.astype(np.int64)
    n, total, squares = v.size, int(v.sum()), int((v * v).sum())
    std = math.sqrt(n * squares - total * total) / n
    saturated = int(((v == INT8_MIN) | (v == INT8_MAX)).sum())
    return TapStatistics(tap, int(v.min()), int(v.max()), round(total / n, 3), round(std, 3), round(saturated / n, 6))


def golden_file(directory: Path, path: Path) -> GoldenFile:
    """The record of one file of the folder; FileError where it is missing."""
    try:
        data = (directory / path).read_bytes()
    except OSError as error:
        raise FileError(f"{directory / path}: {error.strerror or error}, expected a golden file") from None
    return GoldenFile(path.as_posix(), len(data), hashlib.sha256(data).hexdigest())


def read_manifest(directory: Path) -> GoldenManifest:
    """`manifest.json` of a golden folder; FileError where it is missing or not one."""
    path = directory / MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=GoldenManifest)
    except OSError as error:
        raise FileError(f"{path}: {error.strerror or error}, expected the golden manifest") from None
    except msgspec.DecodeError as error:
        raise FileError(f"{path}: is not a golden manifest: {error}") from None
    if (manifest.format, manifest.version) != (FORMAT, VERSION):
        raise FileError(f"{path}: states {manifest.format} {manifest.version}, expected {FORMAT} {VERSION}")
    return manifest


def check_golden(directory: Path) -> list[str]:
    """What is wrong with a golden folder, one line each: files by hash, then every statistic measured again."""
    manifest = read_manifest(directory)
    problems = []
    for file in manifest.files:
        try:
            present = golden_file(directory, Path(file.path))
        except FileError as error:
            problems.append(str(error))
            continue
        if present != file:
            problems.append(f"{directory / file.path}: sha256 {present.sha256}, the manifest states {file.sha256}")
    if problems:
        return problems  # statistics of damaged files would say the same less clearly
    for stated in manifest.models:
        images = np.load(directory / stated.stimulus, allow_pickle=False)
        found_model = measure(load(directory / stated.file), stated.file, stated.stimulus, images, stated.seed)
        if found_model.model_sha256 != stated.model_sha256:
            problems.append(f"{stated.file}: model sha256 differs from the manifest's")
        if found_model.shifts != stated.shifts:
            problems.append(f"{stated.file}: shifts {found_model.shifts}, the manifest states {stated.shifts}")
        by_tap = {statistics.tap: statistics for statistics in stated.taps}
        problems += [
            f"{stated.file}, tap {found.tap}: measured {found}, the manifest states {by_tap.get(found.tap)}"
            for found in found_model.taps
            if by_tap.get(found.tap) != found
        ]
        unknown = by_tap.keys() - {found.tap for found in found_model.taps}
        problems += [f"{stated.file}: the manifest has statistics of '{tap}', which is no tap" for tap in unknown]
    return problems


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder to write.  [default: golden/]")
def main(output: Path | None) -> None:
    """Write the golden models, images, vectors and manifest: seeded, the same bytes every time."""
    from fxsim.paths import golden_dir

    directory = output or golden_dir()
    directory.mkdir(parents=True, exist_ok=True)
    # Everything is made beside the folder first, so that an interrupted run leaves the old files as they were.
    with tempfile.TemporaryDirectory(dir=directory, prefix=".golden-") as temporary:
        manifest = write_golden(Path(temporary))
        for file in (*(f.path for f in manifest.files), MANIFEST):
            target = directory / file
            target.parent.mkdir(parents=True, exist_ok=True)
            (Path(temporary) / file).replace(target)
    for model in manifest.models:
        saturated = max(tap.saturated for tap in model.taps)
        shifts = [int(s) for s in model.shifts]
        click.echo(f"{model.name}: shifts {min(shifts)} to {max(shifts)}, at most {saturated:.3%} saturated at any tap")


if __name__ == "__main__":
    main()
