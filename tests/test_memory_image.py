"""Memory images: read back word by word by an interpreter of its own, held to the engine, the model and the headers."""

import ctypes
import json
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

import fxsim
from fxsim.cli import main
from fxsim.contract import CHANNEL, TABLE_POINTS, TOKEN, TableRule
from fxsim.devices.simd import (
    ACCELERATOR_ID,
    Buffers,
    Control,
    ErrorCode,
    Register,
    Status,
    build_memory_image,
    memory_image,
    pack_images,
    stuck,
    unpack_results,
    write_memory_image,
)
from fxsim.devices.simd.registers import ERROR_LAYER_SHIFT
from fxsim.engines import Engine
from fxsim.errors import FileError, ModelError, StimulusError
from fxsim.families import ResMLPConfig, build_resmlp, recognise_resmlp, resmlp_parameters
from fxsim.formats import load, model_sha256, save
from fxsim.formats.headers import import_headers, read_header_arrays
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Relu
from tests.conftest import ROOT, SEED
from tests.strategies import STYLES, int8_from, resmlp_models, shift_values, table_formats

PAGE = (ROOT / "docs" / "memory-image.md").read_text(encoding="utf-8")

Bytes = npt.NDArray[np.uint8]
Values = npt.NDArray[np.int64]


# --- an interpreter, written from docs/memory-image.md alone ---


@dataclass
class ReadLayer:
    """A layer as its words say it, parameters as integers."""

    number: int
    token_mixing: bool
    active: dict[str, bool]
    first: bool
    last: bool
    next: int
    rule: int
    points_log2: int
    pool_log2: int
    tokens: int
    in_groups: int
    groups: int
    at: int
    words: int
    chunks: list[tuple[Values, Values, Values]] = field(default_factory=list)
    """Bias [16], shift [16], weights [input, 16]."""
    constants: list[dict[str, tuple[Values, Values, Values]]] = field(default_factory=list)
    """Constants of each group: weight, bias, shift [16] by stage."""
    tables: list[Bytes] = field(default_factory=list)
    """Tables of each group, as stored: [point, 16]."""
    weight_words: int = 0
    table_words: int = 0


def signed(words: Bytes) -> Values:
    """Bytes as two's complement numbers."""
    values = words.astype(np.int64)
    return np.where(values >= 128, values - 256, values)


def groups_of(count: int) -> int:
    """Groups of 16."""
    return (count + 15) // 16


class Reader:
    """Words in their order."""

    def __init__(self, data: bytes) -> None:
        assert len(data) % 16 == 0
        self.words = np.frombuffer(data, np.uint8).reshape(-1, 16)
        self.at = 0

    def take(self, count: int) -> Bytes:
        """The next words."""
        taken = self.words[self.at : self.at + count]
        assert len(taken) == count, "the words end inside a layer"
        self.at += count
        return taken


def read_layers(data: bytes) -> list[ReadLayer]:
    """All layers, every bit of their descriptors looked at."""
    reader = Reader(data)
    layers = []
    while reader.at < len(reader.words):
        layers.append(read_layer(reader))
    return layers


def read_layer(reader: Reader) -> ReadLayer:
    """One layer."""
    start = reader.at
    word = int.from_bytes(reader.take(1).tobytes(), "little")

    def bits(high: int, low: int) -> int:
        return (word >> low) & ((1 << (high - low + 1)) - 1)

    assert bits(7, 0) == 0xD5
    assert bits(15, 15) == 0
    assert bits(31, 28) == 0
    names = ("affine", "add", "res_affine", "pool")
    layer = ReadLayer(
        number=bits(127, 112),
        token_mixing=bool(bits(8, 8)),
        active={name: bool(bits(9 + i, 9 + i)) for i, name in enumerate(names)},
        first=bool(bits(13, 13)),
        last=bool(bits(14, 14)),
        next=bits(17, 16),
        rule=bits(19, 18),
        points_log2=bits(23, 20),
        pool_log2=bits(27, 24),
        tokens=bits(47, 32),
        in_groups=bits(63, 48),
        groups=bits(79, 64),
        at=start,
        words=bits(111, 80),
    )
    if layer.next == 3:
        assert 2 <= layer.points_log2 <= 8
        assert layer.rule <= 2
    else:
        assert (layer.rule, layer.points_log2) == (0, 0)
    token_groups = groups_of(layer.tokens)
    inputs = 16 * (token_groups if layer.token_mixing else layer.in_groups)

    def chunk() -> None:
        bias, shift, weights = signed(reader.take(1)[0]), reader.take(1)[0].astype(np.int64), reader.take(inputs)
        layer.chunks.append((bias, shift, signed(weights)))
        layer.weight_words += inputs

    if layer.token_mixing:
        for _ in range(token_groups):
            chunk()
    for _ in range(layer.groups):
        if not layer.token_mixing:
            chunk()
        constants = {}
        for stage, there in (
            ("affine", layer.active["affine"]),
            ("res_affine", layer.active["res_affine"]),
            ("next", layer.next == 1),
        ):
            if there:
                weight, bias, shift = reader.take(3)
                constants[stage] = (signed(weight), signed(bias), shift.astype(np.int64))
        layer.constants.append(constants)
        if layer.next == 3:
            points = 1 << layer.points_log2
            table = reader.take(points + 2 if layer.rule == 2 else points)
            if layer.rule == 2:
                assert not table[-1].any()
            layer.tables.append(table)
            layer.table_words += len(table)
    assert reader.at - start == 1 + layer.words
    return layer


def saturate(v: Values) -> Values:
    """The nearest int8."""
    return np.minimum(np.maximum(v, -128), 127)


def requantise(acc: Values, shift: Values, bias: Values) -> Values:
    """floor(acc / 2^shift + 1/2) + bias, saturated; what is shifted has fewer than 40 bits, so more change nothing."""
    s = np.minimum(shift, 40)
    half = np.where(s > 0, np.int64(1) << np.maximum(s - 1, 0), 0)
    return saturate(((acc + half) >> s) + bias)


def table_at(table: Values, rule: int, points_log2: int, x: Values) -> Values:
    """`x` [..., 16] through the tables of 16 channels, [point, 16]."""
    lane = np.arange(16)
    l = 8 - points_log2  # noqa: E741  # the contract's letter
    points = 1 << points_log2
    i = x + 128
    m, f = i // (1 << l), i % (1 << l)
    if rule == 0:
        m = np.where(m == points - 1, points - 2, m)
    right = m + 1
    if rule == 1:
        right = np.where(right == points, points - 1, right)
    t0, t1 = table[m, lane], table[np.minimum(right, len(table) - 1), lane]
    return t0 + (2 * (t1 - t0) * f + (1 << l)) // (2 << l)


Tap = dict[tuple[int, str], Values]
"""Values of a stage: [image, token, channel], or [image, channel] of the pool, by layer and stage."""


def interpret(layers: list[ReadLayer], images: Bytes) -> tuple[Bytes, Tap]:
    """Results, uint8 [image, byte], and every stage's words, of packed images: uint8 [image, byte].

    Computed tile by tile, 16 tokens by 16 channels, with a memory of words for activations and one for residuals.
    """
    count = len(images)
    activations = signed(images.reshape(count, -1, 16))
    residuals = np.zeros((count, 0, 16), np.int64)
    taps: Tap = {}
    tokens, width = -1, -1
    for number, layer in enumerate(layers):
        assert layer.number == number
        assert layer.first == (number == 0)
        assert layer.last == (number == len(layers) - 1)
        t, groups, in_groups = layer.tokens, layer.groups, layer.in_groups
        if number:
            assert (tokens, width) == (t, in_groups)
        assert activations.shape[1] == t * in_groups
        if layer.token_mixing:
            assert in_groups == groups
        # Beyond the last token a tile reads zeros.
        source = np.zeros((count, 16 * groups_of(t), in_groups, 16), np.int64)
        source[:, :t] = activations.reshape(count, t, in_groups, 16)
        results = np.zeros((count, t * groups, 16), np.int64)
        pooled = np.zeros((count, groups, 16), np.int64)
        if layer.active["res_affine"] and residuals.shape[1] != t * groups:
            assert not layer.active["add"]
            residuals = np.zeros((count, t * groups, 16), np.int64)
        for g in range(groups):
            for i in range(groups_of(t)):
                rows = slice(16 * i, min(16 * i + 16, t))
                bias, shift, weights = layer.chunks[i if layer.token_mixing else g]
                acc = np.zeros((count, 16, 16), np.int64)
                for b in range(len(weights) // 16):
                    block = weights[16 * b : 16 * b + 16]
                    if layer.token_mixing:
                        # acc[t', c] = sum over tokens t of w[t', t] x[t, c]: lane of a weight word is t'.
                        acc += block.T @ source[:, 16 * b : 16 * b + 16, g]
                    else:
                        acc += source[:, 16 * i : 16 * i + 16, b] @ block
                if layer.token_mixing:
                    y = requantise(acc, shift[:, None], bias[:, None])
                else:
                    y = requantise(acc, shift, bias)
                y = y[:, : rows.stop - rows.start]
                at = np.arange(rows.start, rows.stop) * groups + g
                finish(layer, g, rows, at, y, residuals, results, pooled, taps)
        activations = results
        if layer.active["pool"]:
            assert 1 << layer.pool_log2 == t
            mean = (2 * pooled + t) // (2 * t)
            taps[number, "pool"] = mean.reshape(count, -1)
            activations, t = mean, 1
        else:
            assert layer.pool_log2 == 0
        tokens, width = t, groups
    assert layers[-1].tokens == 1
    return activations.astype(np.int8).view(np.uint8).reshape(count, -1), taps


def finish(
    layer: ReadLayer,
    g: int,
    rows: slice,
    at: npt.NDArray[np.int64],
    y: Values,
    residuals: Values,
    results: Values,
    pooled: Values,
    taps: Tap,
) -> None:
    """A tile's rows `y` [image, token, 16] through the stages behind the product; `at` are their words' addresses."""
    constants = layer.constants[g]

    def affine(stage: str, x: Values) -> Values:
        weight, bias, shift = constants[stage]
        return requantise(x * weight, shift, bias)

    def keep(stage: str, values: Values) -> None:
        shape = (len(values), layer.tokens, layer.groups * 16)
        tap = taps.setdefault((layer.number, stage), np.full(shape, 1000, np.int64))
        tap[:, rows, 16 * g : 16 * g + 16] = values

    keep("linear", y)
    if layer.active["affine"]:
        y = affine("affine", y)
        keep("affine", y)
    if layer.active["add"]:
        y = saturate(y + residuals[:, at])
        keep("add", y)
    if layer.active["res_affine"]:
        r = affine("res_affine", y)
        keep("res_affine", r)
        residuals[:, at] = r
    if layer.active["pool"]:
        assert layer.next == 0
        pooled[:, g] += y.sum(axis=1)
        return
    if layer.next == 1:
        y = affine("next", y)
    elif layer.next == 2:
        y = np.maximum(y, 0)
    elif layer.next == 3:
        y = table_at(signed(layer.tables[g]), layer.rule, layer.points_log2, y)
    if layer.next:
        keep("next", y)
    results[:, at] = y


def stages_of(config: ResMLPConfig) -> list[dict[str, str]]:
    """The tap of each active stage, layer by layer, from the specification."""
    layers = [
        {"linear": "embed", "res_affine": "blocks.0.token_mixer.res_affine", "next": "blocks.0.token_mixer.affine_1"}
    ]
    for i in range(config.blocks):
        mixer, mlp, following = f"blocks.{i}.token_mixer", f"blocks.{i}.mlp", f"blocks.{i + 1}.token_mixer"
        mix = {"linear": f"{mixer}.linear", "affine": f"{mixer}.affine_2", "add": f"{mixer}.add"}
        mix["res_affine"] = f"{mlp}.res_affine"
        if config.rule is not None:
            mix["next"] = f"{mlp}.psa_1"
        second = {"linear": f"{mlp}.linear_2", "add": f"{mlp}.add"}
        if i == config.blocks - 1:
            second["pool"] = "pool"
        else:
            second["res_affine"], second["next"] = f"{following}.res_affine", f"{following}.affine_1"
        activation = f"{mlp}.psa_2" if config.rule is not None else f"{mlp}.relu"
        layers += [mix, {"linear": f"{mlp}.linear_1", "next": activation}, second]
    return [*layers, {"linear": "classifier"}]


def assert_image_computes(model: Model, config: ResMLPConfig, x: npt.NDArray[np.int8]) -> None:
    """The bytes of a model's image give every value of the reference engine, and zeros beyond the channels."""
    image = build_memory_image(model, ROOMY)
    layers = read_layers(image.to_bytes())
    packed = pack_images(model, x)
    assert packed.shape == (len(x), 16 * image.image_words)
    results, taps = interpret(layers, packed)
    expected = fxsim.run(model, x, "all", Engine.REFERENCE)
    stages = stages_of(config)
    assert {(n, stage) for n, layer in enumerate(stages) for stage in layer} == set(taps)
    for (number, stage), found in taps.items():
        tap = stages[number][stage]
        value = expected[tap].reshape(*found.shape[:-1], -1)
        channels = value.shape[-1]
        np.testing.assert_array_equal(found[..., :channels], value, tap)
        padding = np.zeros_like(found[..., channels:])
        if stage == "linear" and layers[number].token_mixing:
            # A sum of zeros and the token's bias: a lane there has no parameters of its own before the affine.
            padding += model.graph.by_name[tap].op.bias[:, None].astype(np.int64)  # type: ignore[union-attr]
        np.testing.assert_array_equal(found[..., channels:], padding, tap)
    assert sorted(tap for layer in stages for tap in layer.values()) == sorted(expected)
    assert results.shape == (len(x), 16 * image.result_words)
    np.testing.assert_array_equal(unpack_results(model, results), expected["classifier"])
    # What the records say of the layers is what the words say of them.
    assert [dict(layer.stages) for layer in image.layers] == stages
    for said, read in zip(image.layers, layers, strict=True):
        assert [stage for stage, _ in said.stages] == [s for s in STAGE_ORDER if s in dict(said.stages)]
        assert (said.number, said.name) == (read.number, dict(said.stages)["linear"])
        assert (said.first_word, said.words) == (read.at, 1 + read.words)
        assert (said.token_mixing, said.tokens) == (read.token_mixing, read.tokens)
        assert (said.in_groups, said.groups) == (read.in_groups, read.groups)
        weight = model.graph.by_name[said.name].op.weight  # type: ignore[union-attr]
        channels = config.channels if said.token_mixing else weight.shape[0]
        assert (said.k, said.outputs) == (weight.shape[1], channels)
        assert said.macs == said.tokens * channels * weight.shape[1]
        tiles = read.groups * groups_of(read.tokens)
        assert said.steps == tiles * len(read.chunks[0][2])
        assert (said.token_groups, said.blocks) == (groups_of(read.tokens), len(read.chunks[0][2]) // 16)
    assert dict(image.needs) == {
        "WEIGHT_WORDS": sum(layer.weight_words for layer in layers),
        "TABLE_WORDS": sum(layer.table_words for layer in layers),
        "CONSTANT_GROUPS": sum(len(layer.constants) for layer in layers),
        "CHUNKS": sum(len(layer.chunks) for layer in layers),
        "LAYERS": len(layers),
    }
    assert dict(image.requires) == requirements(layers)


def requirements(layers: list[ReadLayer]) -> dict[str, int]:
    """The least buffers, as docs/memory-image.md lists them, from what the words say."""
    needs = dict.fromkeys(("IMAGE_WORDS", "ACTIVATION_WORDS", "RESIDUAL_WORDS", "TABLE_WORDS"), 0)
    needs |= {"WEIGHT_WORDS": 0, "CHUNKS": 1, "CONSTANT_GROUPS": 1, "ACC_W": 0}
    for layer in layers:
        inputs, outputs = layer.tokens * layer.in_groups, layer.tokens * layer.groups
        products = len(layer.chunks[0][2])
        least = {"IMAGE_WORDS": inputs} if layer.first else {"ACTIVATION_WORDS": inputs}
        least["ACTIVATION_WORDS"] = max(outputs, least.get("ACTIVATION_WORDS", 0))
        if layer.active["add"] or layer.active["res_affine"]:
            least["RESIDUAL_WORDS"] = outputs
        if layer.token_mixing:
            least["CHUNKS"] = len(layer.chunks)
        least["WEIGHT_WORDS"] = products * (len(layer.chunks) if layer.token_mixing else 1)
        least["TABLE_WORDS"] = max((len(table) for table in layer.tables), default=0)
        least["ACC_W"] = next(w for w in range(16, 40) if products <= 1 << (w - 16))
        for name, value in least.items():
            needs[name] = max(needs[name], value)
    return needs


STAGE_ORDER = ("linear", "affine", "add", "res_affine", "next", "pool")
ROOMY = Buffers(
    activation_words=1 << 14, image_words=1 << 15, residual_words=1 << 15, weight_words=1 << 15, table_words=1 << 15,
    acc_w=32,
)  # fmt: skip


# --- models ---


def random_model(config: ResMLPConfig, name: str = "random", style: str = "full", seed: int = SEED) -> Model:
    """A ResMLP with random parameters; shifts are such that values spread over int8."""
    rng = np.random.default_rng(seed)
    parameters: dict[str, npt.NDArray[Any]] = {}
    for key, shape in resmlp_parameters(config).items():
        if key.endswith(".shift"):
            parameters[key] = rng.integers(4, 12, shape).astype(np.uint8)
        else:
            parameters[key] = int8_from(rng, shape, style)
    return Model(build_resmlp(config, parameters), name)


@st.composite
def configs(draw: DrawFn) -> ResMLPConfig:
    """Dimensions on either side of 16 and its multiples, odd ones among them."""
    dimension = st.one_of(st.integers(1, 50), st.sampled_from([15, 16, 17, 31, 32, 33, 48]))
    points, rule = draw(table_formats()) if draw(st.booleans()) else (0, None)
    return ResMLPConfig(
        tokens=draw(st.sampled_from([1, 2, 4, 8, 16, 32, 64])),
        values=draw(dimension),
        channels=draw(dimension),
        hidden=draw(dimension),
        blocks=draw(st.integers(1, 3)),
        classes=draw(dimension),
        points=points,
        rule=rule,
    )


@pytest.mark.slow
@settings(max_examples=200)
@given(config=configs(), style=STYLES, seed=st.integers(0, 2**32 - 1), shift=shift_values(), count=st.integers(1, 3))
def test_words_compute_what_the_engine_computes(
    config: ResMLPConfig, style: str, seed: int, shift: int, count: int
) -> None:
    """Read back by hand, an image's words give every stage's value and the scores of the reference engine."""
    rng = np.random.default_rng(seed)
    model = random_model(config, style=style, seed=seed)
    # One operator with any shift at all, so that every one is met in time.
    parameters = {
        f"{node.name}.{key}": getattr(node.op, key)
        for node in model.graph.nodes
        for key in ("weight", "bias", "shift", "table")
        if hasattr(node.op, key)
    }
    changed = sorted(key for key in parameters if key.endswith(".shift"))[seed % (1 + 3 * config.blocks)]
    parameters[changed] = np.full_like(parameters[changed], shift)
    model = Model(build_resmlp(config, parameters), "random")
    assert_image_computes(model, config, int8_from(rng, (count, config.tokens, config.values), style))


@pytest.mark.slow
@settings(max_examples=50)
@given(model=resmlp_models(), seed=st.integers(0, 2**32 - 1))
def test_small_models_of_any_parameters(model: Model, seed: int) -> None:
    """So do models of a few channels with parameters and shifts of every kind."""
    x = int8_from(np.random.default_rng(seed), (2, *model.graph.input_shape), "full")
    assert_image_computes(model, recognise_resmlp(model.graph), x)


FORMATS = [(256, TableRule.FULL)] + [
    (points, rule) for rule in TableRule if rule is not TableRule.FULL for points in TABLE_POINTS
]


@pytest.mark.parametrize(("points", "rule"), FORMATS, ids=lambda value: str(value))
def test_every_table_format(points: int, rule: TableRule) -> None:
    """Every number of points under every edge rule is stored and read as the contract has it, at all 256 inputs."""
    config = ResMLPConfig(16, 16, 17, 18, 1, 5, points=points, rule=rule)
    model = random_model(config)
    # psa_1 is met at every input: the residual path is cut, and the token mixer passes a ramp on.
    x = np.arange(256, dtype=np.int64).reshape(1, 16, 16) - 128
    zeros = {key: np.zeros(shape, np.int8) for key, shape in resmlp_parameters(config).items()}
    parameters: dict[str, npt.NDArray[Any]] = {
        f"{node.name}.{key}": getattr(node.op, key)
        for node in model.graph.nodes
        for key in ("weight", "bias", "shift", "table")
        if hasattr(node.op, key)
    }
    mixer = "blocks.0.token_mixer"
    for tap, weight in (
        ("embed", np.vstack([np.eye(16), np.eye(1, 16)])),
        (f"{mixer}.linear", np.eye(16)),
        (f"{mixer}.affine_1", np.ones(17)),
        (f"{mixer}.affine_2", np.ones(17)),
        (f"{mixer}.res_affine", np.zeros(17)),
    ):
        parameters[f"{tap}.weight"] = weight.astype(np.int8)
        parameters[f"{tap}.bias"] = zeros[f"{tap}.bias"]
        parameters[f"{tap}.shift"] = zeros[f"{tap}.shift"].astype(np.uint8)
    model = Model(build_resmlp(config, parameters), "ramp")
    images = np.concatenate([np.roll(x, k, axis=2) for k in range(16)]).astype(np.int8)
    met = fxsim.run(model, images, [f"{mixer}.add"])[f"{mixer}.add"]
    assert all(len(np.unique(met[..., channel])) == 256 for channel in range(17))
    assert_image_computes(model, config, images)
    stored = points + 2 if rule is TableRule.ENDPOINT else points
    layer = read_layers(build_memory_image(model).to_bytes())[1]
    assert [len(table) for table in layer.tables] == [stored, stored]
    code = {TableRule.CLAMP: 0, TableRule.HOLD: 1, TableRule.ENDPOINT: 2, TableRule.FULL: 1}[rule]
    assert (1 << layer.points_log2, layer.rule) == (points, code)


@pytest.mark.parametrize(
    "name", ["b_spline_h96", "digits_small", "psa_h96", "relu_h192", "relu_h96", "small", "small_relu", "teacher_h384"]
)
def test_golden_models(name: str) -> None:
    """The images of the golden models compute what the engine computes."""
    model = load(ROOT / "golden" / f"{name}.safetensors")
    x = int8_from(np.random.default_rng(SEED), (2, *model.graph.input_shape), "full")
    assert_image_computes(model, recognise_resmlp(model.graph), x)


def test_every_golden_resmlp_is_among_them() -> None:
    """All golden models are computed above; the accelerator has room for each."""
    found = set()
    for path in (ROOT / "golden").glob("*.safetensors"):
        model = load(path)
        if model.graph.input.axes != (TOKEN, CHANNEL):
            with pytest.raises(ModelError, match="graph is not a ResMLP: its input is int8"):
                build_memory_image(model)
            continue
        build_memory_image(model)
        found.add(path.stem)
    (mark,) = test_golden_models.pytestmark
    assert set(mark.args[1]) == found


@pytest.mark.parametrize("folder", ["stream_psa_h96", "stream_relu_h96", "simd_psa_h96"])
def test_published_models(published: Path, folder: str) -> None:
    """So do those of the published models, at the published images."""
    model = import_headers(published / folder)
    images = np.load(published / "stream_psa_h96" / "csim_trace.npz", allow_pickle=False)["input"]
    assert_image_computes(model, recognise_resmlp(model.graph), images[:4])


def test_published_simd_layouts_are_the_words(published: Path) -> None:
    """Table words are the bytes of the published [channel / 16][point][16], weight words those of [input][output]."""
    folder = published / "simd_psa_h96"
    layers = read_layers(build_memory_image(import_headers(folder)).to_bytes())
    tables = read_header_arrays(folder / "lerp_psa_params_transposed.h")
    assert len(tables) == 8
    for i in range(4):
        for number, name in ((3 * i + 1, "psa_1"), (3 * i + 2, "psa_2")):
            array = tables[f"blocks_{i}_mlp_{name}_lerp_lut"]
            assert array.shape == (6, 64, 16)
            words = b"".join(table.tobytes() for table in layers[number].tables)
            assert words == array.astype(np.int8).tobytes()
    matrices = read_header_arrays(folder / "quant_params.h")
    names = ["embed_linear_w"]
    for i in range(4):
        names += [f"blocks_{i}_{linear}_w" for linear in ("token_mixer_linear", "mlp_linear_1", "mlp_linear_2")]
    for layer, name in zip(layers, [*names, "classifier_linear_w"], strict=True):
        array = matrices[name]
        stored = np.hstack([weights for _, _, weights in layer.chunks])
        np.testing.assert_array_equal(stored[: array.shape[0], : array.shape[1]], array, name)
        assert not stored[array.shape[0] :].any()
        assert not stored[:, array.shape[1] :].any()


# --- numbers that Verilog and Python share ---


def verilog_constants(kind: str) -> dict[str, dict[str, int]]:
    """Numbers of the SIMD accelerator's `localparam`s whose declared width is `kind`: by file, by name."""
    found: dict[str, dict[str, int]] = {}
    for path in sorted((ROOT / "rtl" / "simd").glob("*.v")):
        text = re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))
        for name, base, digits in re.findall(
            rf"localparam {re.escape(kind)}(\w+) = (?:\d+'([dhb]))?([0-9A-Fa-f_]+);", text
        ):
            value = int(digits.replace("_", ""), {"": 10, "d": 10, "h": 16, "b": 2}[base])
            found.setdefault(path.stem, {})[name] = value
    return found


def test_verilog_has_the_descriptor_of_python() -> None:
    """The one module that takes a descriptor apart has every field at the memory image's bit, and no other."""
    assert verilog_constants("[7:0] ")["simd_descriptor"] == {"MAGIC": memory_image.MAGIC}
    bits = verilog_constants("")["simd_descriptor"]
    zeros = {"ZERO_BIT": 15, "ZEROS_BIT": 28}
    assert bits == {f"{name.upper()}_BIT": low for name, (low, _) in memory_image.DESCRIPTOR.items()} | zeros
    for path in (ROOT / "rtl" / "simd").glob("*.v"):
        text = re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))
        assert not re.search(r"\blayer_(reg|data) *\[(?!127:0)", text), f"{path.name} takes a descriptor apart itself"


def test_descriptor_on_the_page_is_that_of_python() -> None:
    """The page's table has every field at its bits, and says of all others that they are 0."""
    rows = {bits: name for bits, name, _ in rows_of(PAGE, "bits", "field", "meaning")}
    words = {"res_affine": "res_affine", "rule": "edge rule", "points_log2": "points", "pool_shift": "pool"}
    words |= {"in_groups": "input groups"}
    expected = {
        str(low) if width == 1 else f"{low + width - 1}:{low}": words.get(name, name)
        for name, (low, width) in memory_image.DESCRIPTOR.items()
    }
    assert rows == expected | {"15": "", "31:28": ""}


def test_verilog_has_the_codes_of_python() -> None:
    """Error codes, kinds of `next`, edge rules, and what is waited for: each name has one number on either side."""
    codes: dict[str, int] = {}
    for name in ("simd_control", "simd_loader"):
        own = verilog_constants("[7:0] ")[name]
        assert not codes.keys() & own.keys()
        codes |= own
    assert codes == {code.name: int(code) for code in ErrorCode}

    kinds = {name: getattr(memory_image, name) for name in ("NEXT_NONE", "NEXT_AFFINE", "NEXT_RELU", "NEXT_TABLE")}
    rules = {f"RULE_{rule.name}": n for rule, n in memory_image.EDGE_RULES.items() if rule is not TableRule.FULL}
    stated = verilog_constants("[1:0] ")
    of_descriptors = {"simd_epilogue", "simd_loader", "simd_sequencer", "simd_tables"}
    found = [item for name in of_descriptors for item in stated[name].items()]
    assert set(found) == set((kinds | rules).items())
    elsewhere = {name for path, names in stated.items() if path not in of_descriptors for name in names}
    assert not [name for name in elsewhere if name.startswith(("NEXT_", "RULE_"))]

    waits = {name: n for name, n in verilog_constants("[2:0] ")["simd_sequencer"].items() if name.startswith("WAIT_")}
    assert waits == {"WAIT_NOTHING": 0, "WAIT_PARAMETERS": 1, "WAIT_IMAGE": 2, "WAIT_RESULTS": 3, "WAIT_ROOM": 4}
    assert set(stuck.WAITS) == set(waits.values()) - {0}


def test_verilog_has_the_registers_of_python() -> None:
    """Offsets, in words, and bits of the registers are those of Python."""
    offsets = verilog_constants("[5:0] ")["simd_registers"]
    assert offsets == {f"REG_{register.name}": int(register) // 4 for register in Register}
    assert verilog_constants("[31:0] ")["simd_registers"] == {"ID": ACCELERATOR_ID}
    bits = {f"CONTROL_{bit.name}": int(bit) for bit in Control} | {f"STATUS_{bit.name}": int(bit) for bit in Status}
    bits |= {"ERROR_CODE": 0, "ERROR_LAYER": ERROR_LAYER_SHIFT}
    assert verilog_constants("")["simd_registers"] == bits


# --- sizes ---


def test_buffers_default_to_those_of_the_top() -> None:
    """Sizes by default are those of the Verilog's parameters, under the same names in the same order."""
    top = (ROOT / "rtl" / "simd" / "simd_resmlp.v").read_text(encoding="utf-8")
    stated = re.findall(r"^ +parameter (\w+) = (\d+),?$", top, re.MULTILINE)
    assert list(Buffers().parameters().items()) == [(name, int(value)) for name, value in stated]


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"weight_words": 48}, "WEIGHT_WORDS is 48, expected a power of two"),
        ({"weight_words": 8}, "WEIGHT_WORDS is 8, expected 16 to 32768"),
        ({"chunks": 0}, "CHUNKS is 0, expected 1 to 32768"),
        ({"activation_words": 1 << 15}, "ACTIVATION_WORDS is 32768, expected 1 to 16384"),
        ({"layers": 2.5}, "LAYERS is 2.5, expected a whole number"),
        ({"acc_w": 33}, "ACC_W is 33, expected 20 to 32"),
        ({"address_w": 31}, "ADDRESS_W is 31, expected 32 to 64"),
        ({"burst": 512}, "BURST is 512, expected 1 to 256"),
        ({"layers": 1}, "LAYERS is 1, expected 2 to 32768"),
        ({"table_words": 2}, "TABLE_WORDS is 2, expected 4 to 32768"),
        ({"fifo_words": 32}, "FIFO_WORDS is 32, expected at least BURST, 64"),
        ({"fifo_words": 12}, "FIFO_WORDS is 12, expected a power of two"),
    ],
)
def test_illegal_buffers_are_refused(sizes: dict[str, int], message: str) -> None:
    """Buffers that no accelerator can have are named."""
    with pytest.raises(ModelError) as caught:
        Buffers(**sizes)
    assert str(caught.value) == f"accelerator parameter {message}"


# 32 tokens in 2 groups; 3 groups of values, 2 of channels, 4 of hidden channels, 1 of classes; tables of 16 points.
SIZED = ResMLPConfig(32, 33, 31, 50, 2, 7, points=16, rule=TableRule.CLAMP)
LEAST = {
    "image_words": (128, 64, 0, "embed", "96 words for its input"),
    "activation_words": (128, 64, 2, "blocks.0.mlp.linear_1", "128 words for its result"),
    "residual_words": (64, 32, 0, "embed", "64 words for the residual"),
    "weight_words": (64, 32, 0, "embed", "48 words for the weights it uses at a time"),
    "table_words": (16, 8, 1, "blocks.0.token_mixer.linear", "16 words for the tables of 16 channels"),
    "chunks": (2, 1, 1, "blocks.0.token_mixer.linear", "2 places for the biases and shifts it uses at a time"),
    "acc_w": (22, 21, 0, "embed", "22 bits for its sums"),
}
"""Parameter: the least legal size that suffices, one that does not, and what is said then."""


@pytest.mark.parametrize("parameter", LEAST)
def test_a_model_that_does_not_fit_is_refused(parameter: str) -> None:
    """The least buffers take a model; with any one of them smaller the first layer beyond it is named."""
    enough, short, layer, name, need = LEAST[parameter]
    least = {key: value[0] for key, value in LEAST.items()} | {"constant_groups": 1, "layers": 2}
    model = random_model(SIZED)
    image = build_memory_image(model, Buffers(**least))
    assert not image.keeps
    assert image.requires[parameter.upper()] <= enough
    with pytest.raises(ModelError) as caught:
        build_memory_image(model, Buffers(**least | {parameter: short}))
    assert str(caught.value) == (
        f"model 'random', layer {layer} '{name}' does not fit the accelerator: it needs {need}, "
        f"{parameter.upper()} is {short}"
    )


def test_weights_of_all_tokens_must_fit_at_once() -> None:
    """A layer over tokens uses all its chunks for each group of channels, one over channels a chunk at a time."""
    tall = random_model(ResMLPConfig(64, 16, 16, 16, 1, 3))
    assert build_memory_image(tall, Buffers(weight_words=256)).requires["WEIGHT_WORDS"] == 4 * 64
    with pytest.raises(ModelError, match=r"layer 1 .* needs 256 words for the weights it uses .* WEIGHT_WORDS is 128"):
        build_memory_image(tall, Buffers(weight_words=128))
    wide = random_model(ResMLPConfig(4, 16, 64, 128, 1, 3))
    assert build_memory_image(wide, Buffers(weight_words=128)).requires["WEIGHT_WORDS"] == 128


def test_message_on_the_page_is_the_one_that_is_given() -> None:
    """docs/memory-image.md shows what is said of a model with 768 hidden channels."""
    model = random_model(ResMLPConfig(64, 48, 96, 768, 1, 10), "wide")
    with pytest.raises(ModelError) as caught:
        build_memory_image(model)
    assert f"\nfxsim: error: {caught.value}\n" in PAGE


# 4 blocks: weights 16 x (1 + 4 x (1 + 4 + 4) + 1) = 608, tables 4 x (1 + 4) x 16 = 320,
# groups 1 + 4 x (1 + 4 + 1) + 1 = 26, the same number of chunks, layers 14.
KEPT = ResMLPConfig(4, 5, 6, 64, 4, 3, points=16, rule=TableRule.HOLD)


@pytest.mark.parametrize(
    ("name", "need"),
    [("weight_words", 608), ("table_words", 320), ("constant_groups", 26), ("chunks", 26), ("layers", 14)],
)
def test_parameters_are_kept_where_all_of_them_fit(name: str, need: int) -> None:
    """Each ring alone decides whether all parameters can be kept."""
    assert need & (need - 1)
    above = 1 << need.bit_length()
    model = random_model(KEPT)
    image = build_memory_image(model, Buffers(**{name: above}))
    assert image.needs[name.upper()] == need
    assert image.keeps
    assert not build_memory_image(model, Buffers(**{name: above // 2})).keeps


def test_exactly_enough_is_enough() -> None:
    """A need that equals the ring's size fits it."""
    # Eight layers of one group and one chunk each.
    model = random_model(ResMLPConfig(1, 1, 1, 1, 2, 1))
    image = build_memory_image(model, Buffers(constant_groups=8, chunks=8, layers=8, weight_words=128))
    assert dict(image.needs) == {
        "WEIGHT_WORDS": 128, "TABLE_WORDS": 0, "CONSTANT_GROUPS": 8, "CHUNKS": 8, "LAYERS": 8
    }  # fmt: skip
    assert image.keeps


def test_other_graphs_are_refused() -> None:
    """What is no ResMLP has no memory image."""
    with pytest.raises(ModelError, match="graph is not a ResMLP"):
        build_memory_image(Model(Graph((2, 3), (Node("relu", Relu(), ("input",)),)), "other"))


def test_words_cannot_be_changed() -> None:
    """An image is the model's: its words are read-only, and the same for the same model."""
    model = random_model(KEPT)
    image = build_memory_image(model)
    with pytest.raises(ValueError, match="read-only"):
        image.words[0, 0] = 1
    assert image.to_bytes() == build_memory_image(model).to_bytes() == image.words.tobytes()


# --- images and results ---


def test_images_are_packed_token_by_token() -> None:
    """Value v of token t is byte v of the token's words; the rest of these is 0."""
    model = random_model(ResMLPConfig(2, 19, 3, 3, 1, 2))
    x = int8_from(np.random.default_rng(SEED), (3, 2, 19), "full")
    packed = pack_images(model, x)
    assert (packed.dtype, packed.shape) == (np.uint8, (3, 64))
    for n in range(3):
        for t in range(2):
            row = packed[n, 32 * t : 32 * t + 32].tolist()
            assert row == [int(v) & 0xFF for v in x[n, t]] + [0] * 13
    assert (pack_images(model, x[::2, :, :]) == packed[::2]).all()
    assert pack_images(model, x[:0]).shape == (0, 64)


def test_images_that_do_not_fit_are_refused() -> None:
    """Images of another type or shape are named."""
    model = random_model(ResMLPConfig(2, 19, 3, 3, 1, 2))
    with pytest.raises(StimulusError, match=r"shape \(3, 2, 18\)"):
        pack_images(model, np.zeros((3, 2, 18), np.int8))
    with pytest.raises(StimulusError, match="uint8"):
        pack_images(model, np.zeros((3, 2, 19), np.uint8))  # type: ignore[arg-type]


def test_results_are_unpacked() -> None:
    """Class c's score is byte c of the result; other types and shapes are refused."""
    model = random_model(ResMLPConfig(2, 3, 3, 3, 1, 18))
    data = np.arange(64, dtype=np.uint8).reshape(2, 32) + np.uint8(120)
    scores = unpack_results(model, data)
    assert scores.dtype == np.int8
    assert scores.tolist() == [[v - 256 if v > 127 else v for v in range(120, 138)], [v - 256 for v in range(152, 170)]]
    for wrong in (data[:, :16], data[0], data.view(np.int8)):
        with pytest.raises(StimulusError, match=r"expected uint8 of shape \(images, 32\)"):
            unpack_results(model, wrong)


# --- files ---


def opened(folder: Path, name: str) -> tuple[bytes, dict[str, Any], str]:
    """Parameters, address map and header of a folder."""
    record = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    return (folder / f"{name}.bin").read_bytes(), record, (folder / f"{name}.h").read_text(encoding="ascii")


REGISTERS = {
    "ID": 0x00, "CONTROL": 0x04, "STATUS": 0x08, "ERROR": 0x0C, "PARAM_ADDR_LO": 0x10, "PARAM_ADDR_HI": 0x14,
    "PARAM_WORDS": 0x18, "IMAGE_COUNT": 0x1C, "IMAGE_ADDR_LO": 0x20, "IMAGE_ADDR_HI": 0x24, "IMAGE_WORDS": 0x28,
    "IMAGE_STRIDE": 0x2C, "RESULT_ADDR_LO": 0x30, "RESULT_ADDR_HI": 0x34, "RESULT_WORDS": 0x38, "RESULT_STRIDE": 0x3C,
    "CYCLES_LO": 0x40, "CYCLES_HI": 0x44, "IMAGES_DONE": 0x48, "ACTIVATION_WORDS": 0x50, "IMAGE_BUFFER_WORDS": 0x54,
    "RESIDUAL_WORDS": 0x58, "WEIGHT_WORDS": 0x5C, "TABLE_WORDS": 0x60, "CONSTANT_GROUPS": 0x64, "CHUNKS": 0x68,
    "LAYERS": 0x6C, "ACC_W": 0x70,
}  # fmt: skip
READ_ONLY = {"ID", "ERROR", "CYCLES_LO", "CYCLES_HI", "IMAGES_DONE", *list(REGISTERS)[19:]}
ERRORS = (
    "NONE", "BAD_ADDRESS", "BAD_COUNT", "BAD_DESCRIPTOR", "DOES_NOT_FIT", "PARAMETERS_END", "READ_RESPONSE",
    "WRITE_RESPONSE", "READ_LAST", "STOPPED",
)  # fmt: skip
BITS = {
    "CONTROL": {"START": 0, "STOP": 1, "KEEP": 2, "IRQ_ENABLE": 3},
    "STATUS": {"BUSY": 0, "DONE": 1, "ERROR": 2},
}


def rows_of(page: str, *columns: str) -> list[list[str]]:
    """The rows of the page's table with these columns."""
    found = re.search(rf"^\| {re.escape(' | '.join(columns))} \|?\n\|[-|]+\|\n((?:\|.*\n)+)", page, re.MULTILINE)
    assert found is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in found[1].splitlines()]


def test_registers_and_codes_are_those_of_the_page() -> None:
    """Offsets, access, bits and error codes are the specified ones, and docs/memory-image.md says the same of each."""
    assert {register.name: int(register) for register in Register} == REGISTERS
    assert {register.name for register in Register if register.access == "read-only"} == READ_ONLY
    assert [(code.name, int(code)) for code in ErrorCode] == [(name, i) for i, name in enumerate(ERRORS)]
    assert {bit.name: int(bit) for bit in Control} == BITS["CONTROL"]
    assert {bit.name: int(bit) for bit in Status} == BITS["STATUS"]
    assert rows_of(PAGE, "offset", "register", "access", "what") == [
        [f"0x{int(register):02X}", register.name, str(register.access), register.text] for register in Register
    ]
    assert rows_of(PAGE, "code", "name", "what") == [[str(int(c)), c.name, c.text] for c in ErrorCode]
    bits = [[row[0], row[2], int(row[1])] for row in rows_of(PAGE, "register", "bit", "name", "what")]
    assert bits == [[register, name, bit] for register, names in BITS.items() for name, bit in names.items()]


def test_descriptor_on_the_page_is_the_one_that_is_written(published: Path) -> None:
    """The worked example's sizes and bytes are those of the published model's image."""
    image = build_memory_image(import_headers(published / "simd_psa_h96"))
    assert f"{len(image.words):,} words ({len(image.to_bytes()):,} bytes)" in PAGE
    for layer in (0, 1):
        word = image.words[image.layers[layer].first_word].tobytes().hex()
        assert word in re.sub(r"[ \n]", "", PAGE)
    sizes = {layer.name.replace("blocks.3.mlp", "last").rsplit(".", 1)[-1]: layer.words for layer in image.layers[:-2]}
    assert sizes == {"embed": 337, "linear": 685, "linear_1": 973, "linear_2": 625}
    assert [layer.words for layer in image.layers[-2:]] == [589, 99]
    stated = [int(row[1]) for row in rows_of(PAGE, "layers", "words each", "of these")]
    assert stated == [*sizes.values(), 589, 99]
    assert list(image.needs.values()) == [6016, 3072, 79, 71, 14]
    assert "6,016 words, all tables 3,072, and there are 79 groups, 71 chunks and 14 layers" in re.sub(
        r"\s+", " ", PAGE
    )
    assert image.keeps
    assert (image.image_words, image.result_words) == (192, 1)


@pytest.mark.parametrize("config", [SIZED, ResMLPConfig(4, 3, 17, 5, 1, 33)], ids=["psa", "relu"])
def test_a_model_can_be_read_back_from_its_files(config: ResMLPConfig, tmp_path: Path) -> None:
    """The address map leads to every parameter, to each byte once, and states hashes, sizes, registers and errors."""
    model = random_model(config, "some model")
    written = write_memory_image(model, tmp_path / "new" / "folder")
    folder = tmp_path / "new" / "folder"
    assert dict(written.paths) == {
        "parameters": folder / "some_model.bin", "map": folder / "some_model.json", "header": folder / "some_model.h"
    }  # fmt: skip
    assert {path.name for path in folder.iterdir()} == {"some_model.bin", "some_model.json", "some_model.h"}
    data, record, _ = opened(folder, "some_model")
    assert data == written.image.to_bytes() == build_memory_image(model).to_bytes()
    assert (record["format"], record["version"]) == ("fxsim.memory-image", 1)
    assert record["model"] == {
        "name": "some model", "sha256": model_sha256(model),
        "tokens": config.tokens, "values": config.values, "classes": config.classes,
    }  # fmt: skip
    assert record["files"] == {"parameters": "some_model.bin", "map": "some_model.json", "header": "some_model.h"}
    assert (record["parameters"]["bytes"], record["parameters"]["words"]) == (len(data), len(data) // 16)
    assert record["image"]["bytes"] == 16 * config.tokens * groups_of(config.values)
    assert record["result"]["bytes"] == 16 * groups_of(config.classes)
    accelerator = record["accelerator"]
    assert {r["name"]: r["offset"] for r in accelerator["registers"]} == REGISTERS
    assert [e["name"] for e in accelerator["errors"]] == list(ERRORS)
    assert accelerator["control_bits"] == BITS["CONTROL"]
    assert accelerator["status_bits"] == BITS["STATUS"]
    assert (accelerator["id"], accelerator["keeps"]) == (0x46580001, True)
    assert accelerator["parameters"] == Buffers().parameters()

    places: dict[tuple[str, str], dict[int, bytes]] = {}
    at = 0
    for layer in record["layers"]:
        assert layer["offset"] == at
        for section in layer["sections"]:
            assert section["offset"] == at
            at += section["bytes"]
            piece = data[section["offset"] : at]
            over = "tokens" if layer["token_mixing"] and section["kind"] in ("bias", "shift", "weight") else "channels"
            if section["tap"] == layer["name"] and section["kind"] != "descriptor":
                assert section["of"] == over
            places.setdefault((section["tap"], section["kind"]), {})[section["group"]] = piece
        assert at == layer["offset"] + layer["bytes"]
    assert at == len(data)
    found = {}
    for (tap, kind), pieces in places.items():
        if kind == "descriptor":
            continue
        assert sorted(pieces) == list(range(len(pieces)))
        columns = [np.frombuffer(pieces[group], np.uint8).reshape(-1, 16) for group in sorted(pieces)]
        found[f"{tap}.{kind}"] = np.hstack(columns).T
    shapes = resmlp_parameters(config)
    assert set(found) == set(shapes)
    for key, shape in shapes.items():
        tap, kind = key.rsplit(".", 1)
        expected = getattr(model.graph.by_name[tap].op, kind)
        rows = found[key] if len(shape) == 2 else found[key][:, 0]
        assert rows[tuple(slice(n) for n in shape)].tobytes() == expected.tobytes(), key


def test_images_are_written_with_the_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Packed images go to a file of their own, however many are packed at a time."""
    model = random_model(SIZED)
    x = int8_from(np.random.default_rng(SEED), (5, 32, 33), "full")
    monkeypatch.setattr("fxsim.devices.simd.memory_files._IMAGES_AT_A_TIME", 2)
    written = write_memory_image(model, tmp_path, images=x, name="NAME_2")
    assert {path.name for path in tmp_path.iterdir()} == {"NAME_2.bin", "NAME_2.json", "NAME_2.h", "NAME_2_images.bin"}
    padded = np.zeros((5, 32, 48), np.int8)
    padded[..., :33] = x
    assert written.paths["images"].read_bytes() == padded.tobytes()
    _, record, header = opened(tmp_path, "NAME_2")
    assert record["image"] == {"words": 96, "bytes": 1536, "packed": 5}
    assert record["files"]["images"] == "NAME_2_images.bin"
    assert "#define FXSIM_MODEL_NAME_2_IMAGES 5u" in header


@pytest.mark.parametrize("name", ["", "a b", "../up", "a/b", "x" * 65, "ü", "a\n", "a.b", "a-b"])
def test_illegal_names_are_refused(name: str, tmp_path: Path) -> None:
    """A name that could leave the folder, or that C could not take, is refused before anything is written."""
    with pytest.raises(FileError, match="expected 1 to 64 letters, digits and underscores") as caught:
        write_memory_image(random_model(KEPT), tmp_path / "out", name=name)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_nothing_is_left_after_an_error(tmp_path: Path) -> None:
    """Where a file cannot be written, or images do not fit, no file appears and older ones stay as they were."""
    model = random_model(KEPT, "m")
    (tmp_path / "m.h").mkdir()
    (tmp_path / "m.bin").write_bytes(b"old")
    with pytest.raises(FileError, match=r"m\.h: it exists and is not a regular file"):
        write_memory_image(model, tmp_path)
    with pytest.raises(StimulusError, match="has shape"):
        write_memory_image(model, tmp_path, images=np.zeros((1, 4, 4), np.int8), name="other")
    assert {path.name for path in tmp_path.iterdir()} == {"m.h", "m.bin"}
    assert (tmp_path / "m.bin").read_bytes() == b"old"
    with pytest.raises(FileError, match="cannot write"):
        write_memory_image(model, tmp_path / "m.bin" / "folder")


NAMES = {
    'x */ int y; /* "quoted"\\': "x_int_y_quoted",
    "line\nbreak\r#error": "line_break_error",
    "??/ trigraph %s \\0": "trigraph_s_0",
    "größe 日本": "gr_e",
    "../../etc/passwd": "etc_passwd",
    "": "model",
    "___": "model",
    "1984": "1984",
    '"7\n8': "7_8",
    "a" * 63 + " b": "a" * 63,
    "\ud800 alone": "alone",
    "long " * 1000: "long_" * 12 + "long",
}
"""Names of models, and what their files are called."""


def compiler() -> list[str]:
    """A strict C99 compiler."""
    return ["gcc", "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror"]


def run_c(folder: Path, *sources: Path, shared: bool = False) -> Path:
    """Compile C files against the headers in a folder; returns what was made."""
    target = folder / ("program.so" if shared else "program")
    options = ["-shared", "-fPIC"] if shared else []
    result = subprocess.run(
        [*compiler(), *options, f"-I{folder}", "-o", target, *sources], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    return target


@pytest.mark.parametrize("name", NAMES, ids=lambda name: ascii(name[:20]))
def test_header_compiles_whatever_the_model_is_called(name: str, tmp_path: Path) -> None:
    """Strict C99 takes the header twice over, every macro has its value, the model's name among them."""
    stem = NAMES[name]
    model = random_model(SIZED, name)
    write_memory_image(model, tmp_path)
    data, record, header = opened(tmp_path, stem)
    shown = name[:200].encode("utf-8", "backslashreplace")
    assert record["model"]["name"] == shown.decode()
    macros = dict(re.findall(r"^#define (\w+) (\S.*?)(?: /\*.*\*/)?$", header, re.MULTILINE))
    assert all(key.startswith(("FXSIM_SIMD_", f"FXSIM_MODEL_{stem.upper()}_")) for key in macros)
    numbers = [key for key, value in macros.items() if not value.startswith('"')]
    texts = [key for key in macros if key not in numbers]
    lines = [f'printf("{key} %llu\\n", (unsigned long long)({key}));' for key in numbers]
    lines += [f'printf("{key} "); fwrite({key}, 1, sizeof {key} - 1, stdout); putchar(10);' for key in reversed(texts)]
    source = tmp_path / "all.c"
    body = "\n    ".join(lines)
    include = f'#include "{stem}.h"\n'
    source.write_text(f"{include}{include}#include <stdio.h>\nint main(void)\n{{\n    {body}\n    return 0;\n}}\n")
    output = subprocess.run([run_c(tmp_path, source)], capture_output=True, check=True).stdout
    count = len(numbers)
    values = dict(line.split() for line in output.decode("latin-1").split("\n")[:count])
    image = build_memory_image(model)
    prefix = f"FXSIM_MODEL_{stem.upper()}_"
    expected = {f"FXSIM_SIMD_REG_{register}": offset for register, offset in REGISTERS.items()}
    expected |= {f"FXSIM_SIMD_ERROR_{error}": code for code, error in enumerate(ERRORS)}
    expected |= {f"FXSIM_SIMD_{r}_{bit}": 1 << place for r, bits in BITS.items() for bit, place in bits.items()}
    expected |= {"FXSIM_SIMD_ID": 0x46580001, "FXSIM_SIMD_ERROR_CODE_MASK": 255, "FXSIM_SIMD_ERROR_LAYER_SHIFT": 16}
    sizes = {"TOKENS": 32, "VALUES": 33, "CLASSES": 7, "IMAGE_WORDS": 96, "IMAGE_BYTES": 1536}
    sizes |= {"RESULT_WORDS": 1, "RESULT_BYTES": 16, "PARAM_WORDS": len(data) // 16, "PARAM_BYTES": len(data)}
    sizes |= {f"REQUIRES_{ring}": size for ring, size in requirements(read_layers(data)).items()}
    sizes |= {f"KEEP_REQUIRES_{ring}": size for ring, size in image.needs.items()}
    for layer in read_layers(data):
        sizes[f"LAYER_{layer.number}_OFFSET"] = 16 * layer.at
        sizes[f"LAYER_{layer.number}_BYTES"] = 16 * (1 + layer.words)
    expected |= {prefix + size: value for size, value in sizes.items()}
    assert {key: int(value) for key, value in values.items()} == expected
    text = b"".join(line + b"\n" for line in output.split(b"\n")[count:])
    assert f"{prefix}PARAM_SHA256 {record['parameters']['sha256']}\n".encode() in text
    assert f"{prefix}NAME ".encode() + shown + b"\n" in text


def test_headers_of_two_models_go_together(tmp_path: Path) -> None:
    """One file of C may include the headers of several models."""
    for name, config in (("one", SIZED), ("two", KEPT)):
        write_memory_image(random_model(config, name), tmp_path)
    source = tmp_path / "both.c"
    source.write_text(
        '#include "one.h"\n#include "two.h"\nint main(void)\n{\n'
        "    return FXSIM_MODEL_ONE_PARAM_BYTES == FXSIM_MODEL_TWO_PARAM_BYTES;\n}\n"
    )
    assert subprocess.run([run_c(tmp_path, source)], check=False).returncode == 0


# --- a driver ---


class Device:
    """The accelerator as a driver sees it, computed by the interpreter; `memory` begins at address `base`."""

    def __init__(self, memory: bytearray, base: int, buffers: Buffers) -> None:
        self.memory, self.base, self.sizes = memory, base, buffers.parameters()
        self.values = dict.fromkeys(REGISTERS.values(), 0)
        self.values[REGISTERS["ID"]] = 0x46580001
        for name in ("ACTIVATION_WORDS", "RESIDUAL_WORDS", "WEIGHT_WORDS", "TABLE_WORDS", "CONSTANT_GROUPS"):
            self.values[REGISTERS[name]] = self.sizes[name]
        for name in ("CHUNKS", "LAYERS", "ACC_W"):
            self.values[REGISTERS[name]] = self.sizes[name]
        self.values[REGISTERS["IMAGE_BUFFER_WORDS"]] = self.sizes["IMAGE_WORDS"]
        self.polls = 0
        self.kept: list[bool] = []
        self.failures: list[Exception] = []

    def read(self, offset: int) -> int:
        """A 32-bit read. The driver's loop ends whatever happens: what went wrong is kept in `failures`."""
        try:
            return self._read(offset)
        except Exception as error:  # ctypes would print it and read 0
            self.failures.append(error)
            self.values[REGISTERS["STATUS"]] = 6
            return 6

    def write(self, offset: int, value: int) -> None:
        """A 32-bit write, of registers that a driver may write at that time."""
        try:
            self._write(offset, value)
        except Exception as error:
            self.failures.append(error)

    def _read(self, offset: int) -> int:
        assert offset in self.values
        if offset == REGISTERS["STATUS"]:
            # A run takes three polls.
            self.polls += 1
            if self.values[offset] & 1 and self.polls == 3:
                self.finish()
            assert self.polls < 100, "the driver waits for a run that it did not start"
        return self.values[offset]

    def _write(self, offset: int, value: int) -> None:
        names = {place: name for name, place in REGISTERS.items()}
        assert names[offset] not in READ_ONLY
        busy = self.values[REGISTERS["STATUS"]] & 1
        if offset == REGISTERS["STATUS"]:
            self.values[offset] &= ~(value & 6)
            return
        assert not busy
        if offset == REGISTERS["CONTROL"]:
            self.values[offset] = value & 12
            if value & 1:
                self.polls = 0
                self.values[REGISTERS["STATUS"]] = 1
            return
        self.values[offset] = value

    def finish(self) -> None:
        """The whole run, at its end."""
        value = {name: self.values[offset] for name, offset in REGISTERS.items()}
        self.kept.append(bool(value["CONTROL"] & 4))

        def at(what: str) -> int:
            return value[f"{what}_ADDR_LO"] + (value[f"{what}_ADDR_HI"] << 32) - self.base

        code = 0
        if value["IMAGE_COUNT"] == 0:
            code = 2
        else:
            words = bytes(self.memory[at("PARAM") : at("PARAM") + 16 * value["PARAM_WORDS"]])
            layers = read_layers(words)
            size = 16 * value["IMAGE_WORDS"]
            for n in range(value["IMAGE_COUNT"]):
                first = at("IMAGE") + n * value["IMAGE_STRIDE"]
                image = np.frombuffer(bytes(self.memory[first : first + size]), np.uint8)[None]
                result, _ = interpret(layers, image)
                assert result.nbytes == 16 * value["RESULT_WORDS"]
                to = at("RESULT") + n * value["RESULT_STRIDE"]
                self.memory[to : to + result.nbytes] = result.tobytes()
        self.values[REGISTERS["STATUS"]] = 2 if code == 0 else 6
        self.values[REGISTERS["ERROR"]] = code


PLATFORM = """\
#include <stdint.h>
uint32_t simd_read(uint32_t offset);
void simd_write(uint32_t offset, uint32_t value);
uint32_t (*reader)(uint32_t);
void (*writer)(uint32_t, uint32_t);
uint32_t simd_read(uint32_t offset) { return reader(offset); }
void simd_write(uint32_t offset, uint32_t value) { writer(offset, value); }
"""


@pytest.fixture
def driver(tmp_path: Path) -> Callable[[Device], Callable[..., int]]:
    """The driver of docs/memory-image.md, compiled against a header; gives it a device and returns its `simd_run`."""
    x = int8_from(np.random.default_rng(SEED), (4, 32, 33), "full")
    write_memory_image(random_model(SIZED, "simd_psa_h96"), tmp_path, images=x)
    blocks = re.findall(r"^```c\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1
    (tmp_path / "driver.c").write_text(blocks[0], encoding="ascii")
    (tmp_path / "platform.c").write_text(PLATFORM)
    library = ctypes.CDLL(str(run_c(tmp_path, tmp_path / "driver.c", tmp_path / "platform.c", shared=True)))
    library.simd_run.argtypes = [ctypes.c_uint64] * 3 + [ctypes.c_uint32]
    library.simd_run.restype = ctypes.c_uint32
    reading = ctypes.CFUNCTYPE(ctypes.c_uint32, ctypes.c_uint32)
    writing = ctypes.CFUNCTYPE(None, ctypes.c_uint32, ctypes.c_uint32)
    kept = []

    def attach(device: Device) -> Callable[..., int]:
        read, write = reading(device.read), writing(device.write)
        kept.append((read, write))
        ctypes.c_void_p.in_dll(library, "reader").value = ctypes.cast(read, ctypes.c_void_p).value
        ctypes.c_void_p.in_dll(library, "writer").value = ctypes.cast(write, ctypes.c_void_p).value
        return library.simd_run  # type: ignore[no-any-return]

    return attach


@pytest.mark.parametrize("layers", [32, 4], ids=["kept", "read again"])
def test_driver_of_the_page_classifies_images(
    driver: Callable[[Device], Callable[..., int]], layers: int, tmp_path: Path
) -> None:
    """The page's driver and the written files give the engine's scores on a simulated device, with keep or without."""
    model = random_model(SIZED, "simd_psa_h96")
    x = int8_from(np.random.default_rng(SEED), (4, 32, 33), "full")
    parameters = (tmp_path / "simd_psa_h96.bin").read_bytes()
    images = (tmp_path / "simd_psa_h96_images.bin").read_bytes()
    base, images_at, results_at = 0x1_0000_0000, 1 << 17, 1 << 18
    memory = bytearray(1 << 19)
    memory[16 : 16 + len(parameters)] = parameters
    memory[images_at : images_at + len(images)] = images
    device = Device(memory, base, Buffers(layers=layers))
    run = driver(device)
    code = run(base + 16, base + images_at, base + results_at, 4)
    assert (code, device.failures) == (0, [])
    assert device.kept == [layers == 32]
    assert device.values[REGISTERS["STATUS"]] == 0
    results = np.frombuffer(bytes(memory[results_at : results_at + 64]), np.uint8).reshape(4, 16)
    np.testing.assert_array_equal(unpack_results(model, results), fxsim.run(model, x, ["classifier"])["classifier"])
    assert not any(memory[results_at + 64 :])


def test_driver_of_the_page_reports_errors(driver: Callable[[Device], Callable[..., int]]) -> None:
    """It returns the accelerator's code, and starts nothing where buffers are too small or no accelerator is."""
    device = Device(bytearray(1 << 17), 0, Buffers())
    assert driver(device)(16, 32, 48, 0) == 2
    assert device.failures == []
    assert device.values[REGISTERS["STATUS"]] == 0
    for sizes in ({"activation_words": 64}, {"image_words": 64}, {"chunks": 1}, {"acc_w": 21}, {"table_words": 8}):
        small = Device(bytearray(0), 0, Buffers(**sizes))
        assert driver(small)(16, 32, 48, 1) == 4
        assert small.kept == []
    absent = Device(bytearray(0), 0, Buffers())
    absent.values[REGISTERS["ID"]] = 0xFFFFFFFF
    assert driver(absent)(16, 32, 48, 1) == 1
    assert absent.kept == []


# --- the command ---


def call(capfd: pytest.CaptureFixture[str], *args: str | Path) -> tuple[int, str, str]:
    """Status, standard output and standard error of a command."""
    capfd.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([str(arg) for arg in args])
    out, err = capfd.readouterr()
    assert isinstance(caught.value.code, int)
    return caught.value.code, out, err


@pytest.fixture
def given_files(tmp_path: Path) -> Path:
    """A folder with a model and two images."""
    folder = tmp_path / "given"
    folder.mkdir()
    save(random_model(SIZED, "some model"), folder / "model.safetensors")
    np.save(folder / "images.npy", int8_from(np.random.default_rng(SEED), (2, 32, 33), "full"))
    return folder


def test_command_writes_the_files(given_files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`fxsim memory-image` writes what `write_memory_image` does and says where; --json gives the figures."""
    model, images, out = given_files / "model.safetensors", given_files / "images.npy", tmp_path / "out"
    status, text, err = call(capfd, "memory-image", model, "-o", out, "--images", images)
    assert (status, err) == (0, "")
    expected = write_memory_image(load(model), tmp_path / "expected", images=np.load(images))
    for path in expected.paths.values():
        assert (out / path.name).read_bytes() == path.read_bytes()
        assert f"{out / path.name}: " in re.sub(r"\n(?=\S)", "\n", text)
    assert "can be kept for all images of a run" in text
    assert "blocks.1.mlp.linear_2" in text
    status, text, err = call(
        capfd, "memory-image", model, "-o", out, "--name", "N", "--buffer", "WEIGHT_WORDS=64", "--buffer", "LAYERS=4",
        "--json",
    )  # fmt: skip
    assert (status, err) == (0, "")
    record = json.loads(text)
    image = build_memory_image(load(model), Buffers(weight_words=64, layers=4))
    assert record["files"] == {"parameters": f"{out / 'N.bin'}", "map": f"{out / 'N.json'}", "header": f"{out / 'N.h'}"}
    assert record["model"] == "some model"
    assert (record["words"], record["layers"], record["images"]) == (len(image.words), 8, None)
    assert (record["image_words"], record["result_words"], record["keeps"]) == (96, 1, False)
    assert record["requires"] == requirements(read_layers(image.to_bytes()))
    assert record["keep_requires"] == dict(image.needs)
    assert record["steps"] == sum(
        16 * layer.groups * groups_of(layer.tokens) * len(layer.chunks[0][2]) // 16
        for layer in read_layers(image.to_bytes())
    )
    assert json.loads((out / "N.json").read_text())["accelerator"]["parameters"]["WEIGHT_WORDS"] == 64
    assert "must be read again for each image" in call(
        capfd, "memory-image", model, "-o", out, "--buffer", "LAYERS=4"
    )[1]  # fmt: skip


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["--buffer", "WEIGHTS=64"], 2, "there is no 'WEIGHTS'; there are: ADDRESS_W, ACTIVATION_WORDS"),
        (["--buffer", "LAYERS"], 2, "'LAYERS' is not LAYERS=SIZE with a whole number"),
        (["--buffer", "LAYERS=-4"], 2, "'LAYERS=-4' is not LAYERS=SIZE with a whole number"),
        (["--buffer", "LAYERS=4", "--buffer", "LAYERS=8"], 2, "'LAYERS' is given twice"),
        (["--buffer", "LAYERS=5"], 1, "accelerator parameter LAYERS is 5, expected a power of two"),
        (["--buffer", "IMAGE_WORDS=64"], 1, "model 'some model', layer 0 'embed' does not fit the accelerator"),
        (["--images", "missing.npy"], 1, "missing.npy: there is no such file"),
        (["--name", "a/b"], 1, "memory image cannot be called 'a/b'"),
    ],
)
def test_command_says_what_is_wrong(
    args: list[str], status: int, message: str, given_files: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Bad options and models that do not fit are named, and nothing is written."""
    out = tmp_path / "out"
    found, text, err = call(capfd, "memory-image", given_files / "model.safetensors", "-o", out, *args)
    assert (found, text) == (status, "")
    assert message in re.sub(r"\s+", " ", err)
    assert not out.exists()


def test_command_does_not_overwrite_its_inputs(given_files: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A model file that is called as a file to be written is left alone."""
    model = given_files / "some_model.bin"
    (given_files / "model.safetensors").rename(model)
    before = model.read_bytes()
    status, _, err = call(capfd, "memory-image", model, "-o", given_files)
    assert status == 1
    assert "is read as an input" in err
    assert model.read_bytes() == before
    assert {path.name for path in given_files.iterdir()} == {"some_model.bin", "images.npy"}
