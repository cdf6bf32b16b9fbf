"""The published models against what their authors published of them; skipped where that data is absent."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import fxsim
from fxsim.benchmark.resampled import measure_resampled
from fxsim.contract import TableRule
from fxsim.engines import Engine, apply
from fxsim.formats.headers import import_headers, read_header_arrays
from fxsim.graph import Graph, Model, Node
from fxsim.operators import Lut

ENGINES = [Engine.REFERENCE, Engine.NUMBA]

STAGES = {
    "embed": "samples_inter_0",
    "blocks.0.mlp.add": "samples_inter_1",
    "blocks.1.mlp.add": "samples_inter_2",
    "blocks.2.mlp.add": "samples_inter_3",
    "blocks.3.mlp.add": "samples_inter_4",
    "classifier": "samples_output",
}
"""Tap: its array in quant_samples.h."""

INSIDE = {
    "blocks.0.token_mixer.res_affine": "samples_token_mixer_res",
    "blocks.0.token_mixer.affine_1": "samples_token_mixer_affine_1",
    "blocks.0.token_mixer.linear": "samples_token_mixer_linear_1",
    "blocks.0.token_mixer.affine_2": "samples_token_mixer_affine_2",
    "blocks.0.token_mixer.add": "samples_token_mixer_post",
    "blocks.0.mlp.res_affine": "samples_mlp_res",
    "blocks.0.mlp.relu": "samples_mlp_linear_1_relu",
    "blocks.0.mlp.linear_2": "samples_mlp_linear_2",
    "blocks.0.mlp.add": "samples_mlp_post",
}
"""Tap: its array in quant_samples_extra.h, of image 0."""

CHANNEL_MAJOR = ("blocks.0.token_mixer.affine_1", "blocks.0.token_mixer.linear")
"""Published as [channel][token]: they lie between the two transpositions."""


def samples(folder: Path, file: str = "quant_samples.h") -> Mapping[str, npt.NDArray[np.int8]]:
    """The arrays of a header, as int8."""
    return {name: array.astype(np.int8) for name, array in read_header_arrays(folder / file).items()}


@pytest.mark.parametrize("engine", ENGINES)
def test_relu_model_equals_every_published_stage(published: Path, engine: Engine) -> None:
    """Every value of every stage of all four images of the ReLU model is the published one."""
    folder = published / "stream_relu_h96"
    expected = samples(folder)
    taps = fxsim.run(import_headers(folder), expected["samples_input"], list(STAGES), engine)
    assert expected["samples_input"].shape == (4, 64, 48)
    assert set(expected) == {"samples_input", *STAGES.values()}
    for tap, name in STAGES.items():
        np.testing.assert_array_equal(taps[tap], expected[name], tap)


@pytest.mark.parametrize("engine", ENGINES)
def test_relu_model_equals_the_inside_of_block_0(published: Path, engine: Engine) -> None:
    """Every published value inside block 0, for image 0, is the model's; `samples_mlp_linear_1` is after the ReLU."""
    folder = published / "stream_relu_h96"
    expected = samples(folder, "quant_samples_extra.h")
    taps = fxsim.run(import_headers(folder), samples(folder)["samples_input"][:1], list(INSIDE), engine)
    assert set(expected) == {"samples_mlp_linear_1", *INSIDE.values()}
    for tap, name in INSIDE.items():
        value = taps[tap][0]
        np.testing.assert_array_equal(value.T if tap in CHANNEL_MAJOR else value, expected[name], tap)
    # Captured after an in-place ReLU.
    np.testing.assert_array_equal(taps["blocks.0.mlp.relu"][0], expected["samples_mlp_linear_1"])


def test_psa_model_distance_to_the_published_dump(published: Path) -> None:
    """The PSA model's embedding and predicted classes are the published ones; distances are as others found.

    They measured, with an integer model of their own, up to 18 inside the network and up to 8 at the classifier.
    """
    folder = published / "stream_psa_h96"
    expected = samples(folder)
    taps = fxsim.run(import_headers(folder), expected["samples_input"], list(STAGES))
    greatest = {}
    for tap, name in STAGES.items():
        difference = np.abs(taps[tap].astype(int) - expected[name])
        greatest[tap] = int(difference.max())
        print(f"{tap}: greatest {greatest[tap]}, mean {difference.mean():.3f}")
    assert greatest["embed"] == 0
    assert max(greatest[f"blocks.{i}.mlp.add"] for i in range(4)) == 18
    assert greatest["classifier"] == 8
    np.testing.assert_array_equal(taps["classifier"].argmax(axis=1), expected["samples_output"].argmax(axis=1))


def test_the_dump_of_pytorch_is_as_far_as_resampled_tables_are(published: Path) -> None:
    """Block by block the dump differs as models with full tables do, and psa_2 does so between points alone."""
    folder = published / "stream_psa_h96"
    blocks = measure_resampled(folder)
    assert [block.tap for block in blocks] == [f"blocks.{i}.mlp.add" for i in range(4)]
    for block in blocks:
        print(block)
        assert 0.3 < block.drawn.differing < block.observed.differing < 0.55
    # The first functions bend between their points, which no draw knows.
    for ours, least in zip(blocks, (0.8, 0.94, 0.94, 0.94), strict=True):
        assert least < ours.drawn.square / ours.observed.square < 1.03
        assert ours.observed.greatest <= ours.drawn.greatest
        for at, (measured, error, expected) in enumerate(zip(ours.by_place, ours.errors, ours.rounding, strict=True)):
            assert error < 0.011
            assert abs(measured - expected) < 0.03
            assert (abs(measured) < 0.02) == (at == 0)
    # Behind the last table all is equal: pool and classifier of the dump's own last block.
    expected_values = samples(folder)
    model = import_headers(folder)
    by_name = model.graph.by_name
    last = apply(by_name["pool"], expected_values["samples_inter_4"])
    np.testing.assert_array_equal(apply(by_name["classifier"], last), expected_values["samples_output"])


@pytest.mark.parametrize("folder", ["stream_psa_h96", "stream_relu_h96", "simd_psa_h96"])
def test_engines_agree_on_published_models(published: Path, folder: str) -> None:
    """Both engines give the same value at every tap for every published image."""
    model = import_headers(published / folder)
    images = np.load(published / "stream_psa_h96" / "csim_trace.npz", allow_pickle=False)["input"]
    reference = fxsim.run(model, images, "all", Engine.REFERENCE)
    compiled = fxsim.run(model, images, "all", Engine.NUMBA)
    assert list(reference) == list(compiled) == list(model.graph.taps)
    for tap in model.graph.taps:
        np.testing.assert_array_equal(compiled[tap], reference[tap], tap)


def test_trace_of_the_streaming_design_is_explained(published: Path) -> None:
    """The authors' C++ streaming design reads the next channel's first point as t[P]: with that, its trace is exact."""
    folder = published / "stream_psa_h96"
    trace = np.load(folder / "csim_trace.npz", allow_pickle=False)
    model = reading_past_the_end(import_headers(folder))
    taps = fxsim.run(model, trace["input"], "all")
    compared = [name for name in trace.files if name != "input"]
    assert len(compared) == 11
    for tap in compared:
        np.testing.assert_array_equal(taps[tap], trace[tap], tap)
    for node in model.graph.nodes:
        if isinstance(node.op, Lut):
            # What lies behind the last channel's points is not known, and no image reads it.
            last_channel = fxsim.run(model, trace["input"], node.inputs)[node.inputs[0]][..., -1]
            assert int(last_channel.max()) + 128 < 63 * 4


def reading_past_the_end(model: Model) -> Model:
    """The model with each table's last segment drawn to what is stored behind it: the next channel's first point."""
    nodes = []
    for node in model.graph.nodes:
        op = node.op
        if isinstance(op, Lut):
            assert op.rule is TableRule.CLAMP
            behind = np.append(op.table[1:, 0], np.int8(0))
            op = Lut(np.column_stack([op.table, behind]), TableRule.ENDPOINT)
        nodes.append(Node(node.name, op, node.inputs))
    return Model(Graph(model.graph.input_shape, tuple(nodes)), f"{model.name}, reading past the end")
