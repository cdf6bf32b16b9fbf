"""What a fault does to results: its rule, found in one trace, applied to other images."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click import Context
from click.testing import CliRunner

from fxsim.cli.diff import command
from fxsim.cli.program import cli
from fxsim.errors import ComparisonError, StimulusError
from fxsim.explain.applied import impact
from fxsim.explain.run import diff_located
from fxsim.formats import save
from fxsim.graph import Model
from tests.test_explain import ADD, LINEAR, MIXER, model, only, requantise, with_faults, x

__all__ = ["model", "x"]  # fixtures

COUNT = 150


def others(model: Model) -> tuple[np.ndarray, np.ndarray]:
    """Other images, more than are computed at once, with labels."""
    rng = np.random.default_rng(8)
    return (
        rng.integers(-128, 128, (COUNT, *model.graph.input_shape)).astype(np.int8),
        rng.integers(0, model.graph.shapes[model.graph.output][0], COUNT),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "faults",
    [
        {LINEAR: requantise(int), MIXER: requantise(shift=lambda s, row: s + 2 * (row == 3))},
        {ADD: lambda _, a, __: a},
        {LINEAR: requantise(lambda v: int(v // 1), wrap=True)},
        {LINEAR: requantise(lambda v: int(v // 1), shift=lambda s, row: s + 2 * (row == 3))},
        {LINEAR: only(requantise(bias="dropped"), -1, [3])},
    ],
    ids=["two nodes", "an operand", "a pair", "one fitted beside another", "a channel"],
)
def test_a_rule_does_to_other_images_what_the_fault_does(
    model: Model, x: np.ndarray, faults: dict[str, Callable[..., np.ndarray]]
) -> None:
    """Every figure is that of the faulty functions themselves."""
    found, located = diff_located(model, x, with_faults(model, x, faults))
    images, labels = others(model)
    right = with_faults(model, images, {})[model.graph.output]
    wrong = with_faults(model, images, faults)[model.graph.output]
    effect = impact(located, found.faults, images, labels)
    off = np.abs(right - wrong)
    assert (effect.images, effect.values, effect.values_differing) == (COUNT, right.size, int((off > 0).sum()))
    assert (effect.largest, effect.mean) == (int(off.max()), float(off.mean()))
    assert effect.top1_changed == int((right.argmax(1) != wrong.argmax(1)).sum()) > 0
    assert effect.right == int((right.argmax(1) == labels).sum())
    assert effect.right_by_rule == int((wrong.argmax(1) == labels).sum())
    assert effect.applied == tuple(f"{fault.label} at {fault.tap}" for fault in found.faults)
    assert effect.left_out == ()


def test_what_is_no_rule_is_left_out(model: Model, x: np.ndarray) -> None:
    """Noise and late values say nothing of other images; labels must be one for each image."""

    def late(op: object, v: np.ndarray) -> np.ndarray:
        y = requantise()(op, v)
        y[2, 3], y[4, 1] = y[2, 2], y[4, 0]
        return y

    found, located = diff_located(model, x, with_faults(model, x, {LINEAR: late, MIXER: requantise(bias="dropped")}))
    images, labels = others(model)
    effect = impact(located, found.faults, images, None)
    assert (effect.applied, effect.left_out) == ((f"bias_dropped at {MIXER}",), (f"stale_value at {LINEAR}",))
    assert (effect.right, effect.right_by_rule) == (None, None)
    with pytest.raises(ComparisonError, match="no rule can be applied to other images: stale_value at"):
        impact(located, found.faults[:1], images, None)
    with pytest.raises(StimulusError, match="expected whole numbers"):
        impact(located, found.faults, images, labels[1:])
    with pytest.raises(StimulusError, match="no images"):
        impact(located, found.faults, images[:0], None)


def test_command(model: Model, x: np.ndarray, tmp_path: Path) -> None:
    """`--impact` says it in words and in JSON."""
    save(model, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", x)
    images, labels = others(model)
    np.savez(tmp_path / "d.npz", input=images, labels=labels)
    trace = with_faults(model, x, {MIXER: requantise(bias="dropped")})
    np.savez(tmp_path / "t.npz", **{tap: values.astype(np.int8) for tap, values in trace.items()})
    words = [str(tmp_path / "m.safetensors"), "--input", str(tmp_path / "x.npy"), "--trace", str(tmp_path / "t.npz")]
    words += ["--impact", str(tmp_path / "d.npz")]
    said = CliRunner().invoke(command, words)
    assert said.exit_code == 1, said.output
    assert f"by bias_dropped at {MIXER}, on {COUNT} images:" in said.output
    found = json.loads(CliRunner().invoke(command, [*words, "--json"]).stdout)["impact"]
    assert f"top-1 is another in {found['top1_changed']}" in said.output
    assert f"right: {found['right']} become {found['right_by_rule']}" in said.output


@pytest.mark.parametrize(
    ("name", "stated", "expected"),
    [("diff", None, "1"), ("sensitivity", None, "1"), ("diff", "3", "3"), ("info", None, None)],
)
def test_small_products_are_computed_on_one_thread(
    monkeypatch: pytest.MonkeyPatch, name: str, stated: str | None, expected: str | None
) -> None:
    """Commands that multiply small matrices say so before they are imported, unless the environment has said it."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", stated or "")
    if stated is None:
        monkeypatch.delenv("OPENBLAS_NUM_THREADS")
    assert cli.get_command(Context(cli), name) is not None
    assert os.environ.get("OPENBLAS_NUM_THREADS") == expected
