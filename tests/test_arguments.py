"""Arguments of wrong types at the public names: one message of the project's errors, before anything is computed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from fxsim.benchmark.distance import stages
from fxsim.compare import ArraySource, TapShape, compare
from fxsim.cosim import cosim
from fxsim.cosim.four_state import four_state
from fxsim.engines import run
from fxsim.errors import ComparisonError, FileError, FxsimError, ModelError, StimulusError
from fxsim.formats import atomic_write
from fxsim.formats import load as load_model
from fxsim.golden.manifest import check_golden
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Linear, Lut, Relu
from fxsim.paths import golden_dir
from fxsim.vectors import draw_stimulus, write_vectors
from fxsim.vectors.manifest import read_manifest

NODE = Node("a", Relu(), (INPUT,))
GRAPH = Graph((2, 3), [NODE])
MODEL = Model(GRAPH, "m")
X = np.zeros((2, 2, 3), np.int8)
SHAPE = TapShape("a", ("token", "channel"), (2, 3))


def sources() -> tuple[ArraySource, ArraySource]:
    """Two sources of the same values."""
    return ArraySource("one", {"a": X}), ArraySource("other", {"a": X.copy()})


BAD: dict[str, tuple[Callable[[], Any], type[FxsimError], str]] = {
    "run taps": (lambda: run(MODEL, X, 3), StimulusError, "taps are 3, expected names, 'all' or None"),  # type: ignore[arg-type]
    "run tap": (lambda: run(MODEL, X, [3]), StimulusError, "taps hold 3, expected names of taps"),  # type: ignore[list-item]
    "run model": (lambda: run(3, X), StimulusError, "model is a int, expected a fxsim.Model"),  # type: ignore[arg-type]
    "graph input": (lambda: Graph(None, []), ModelError, "graph input is None, expected a Tensor or a shape"),  # type: ignore[arg-type]
    "graph nodes": (lambda: Graph((2, 3), None), ModelError, "graph nodes are None, expected some of Node"),  # type: ignore[arg-type]
    "node inputs": (lambda: Node("a", Relu(), None), ModelError, "node 'a' has the inputs None, expected a tuple"),  # type: ignore[arg-type]
    "node text": (lambda: Node("a", Relu(), "input"), ModelError, "node 'a' has the inputs 'input', expected a"),  # type: ignore[arg-type]
    "node input": (lambda: Node("a", Relu(), (3,)), ModelError, "node 'a' has the input 3, expected a name"),  # type: ignore[arg-type]
    "ragged table": (lambda: Lut([[1], [2, 3]], "full"), ModelError, "lut table has rows of different lengths"),  # type: ignore[arg-type]
    "provenance": (lambda: Model(GRAPH, "a", None), ModelError, "model provenance is None, expected texts by key"),  # type: ignore[arg-type]
    "model graph": (lambda: Model(None, "a"), ModelError, "model graph is None, expected a Graph"),  # type: ignore[arg-type]
    "chunk": (lambda: compare(*sources(), [SHAPE], chunk=-1), ComparisonError, "chunk is -1 images"),
    "no chunk": (lambda: compare(*sources(), [SHAPE], chunk=0), ComparisonError, "chunk is 0 images"),
    "examples": (lambda: compare(*sources(), [SHAPE], examples=-1), ComparisonError, "examples is -1, expected 0 or"),
    "four-state images": (lambda: four_state(MODEL, X, images="0:1"), StimulusError, "images is '0:1', expected"),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_wrong_types_are_one_message(case: str) -> None:
    """The argument is named, with what was expected and what was found."""
    call, kind, message = BAD[case]
    with pytest.raises(kind) as caught:
        call()
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("stall", None, "stall is None, expected a stall pattern"),
        ("images", "0:1", "images is '0:1', expected (start, stop) or None"),
        ("images", (0, 1.5), "a limit of images is 1.5, expected a whole number"),
        ("watchdog", 1.5, "watchdog is 1.5, expected a whole number"),
        ("wave", "x.fst", "wave is 'x.fst', expected a Path or None"),
        ("wave_from", "1", "wave_from is '1', expected a whole number"),
        ("rtl", "rtl", "rtl is 'rtl', expected a Path or None"),
        ("taps", 3, "taps is 3, expected names of taps or 'all'"),
        ("accel", 3, "device is 3, expected an accelerator's name"),
        ("power_on_seeds", 1, "power_on_seeds is 1, expected whole numbers"),
        ("power_on_seeds", [1.5], "a power-on seed is 1.5, expected a whole number"),
    ],
)
def test_wrong_types_of_a_simulation_are_refused_before_it(name: str, value: Any, message: str) -> None:
    """Nothing is built for an argument of a wrong type."""
    with pytest.raises(StimulusError) as caught:
        cosim(MODEL, X, **{name: value})
    assert str(caught.value) == message


@pytest.mark.parametrize("thing", [MODEL, GRAPH, NODE])
def test_models_cannot_be_hashed(thing: object) -> None:
    """The error names the thing itself, not an operator somewhere in it."""
    with pytest.raises(TypeError, match=f"unhashable type: '{type(thing).__name__}'"):
        hash(thing)


def test_arrays_of_operators_cannot_be_made_writeable() -> None:
    """No flag of an array, nor of what it lies on, makes a proven weight changeable."""
    op = Linear(np.ones((3, 2), np.int8), np.zeros(3, np.int8), np.zeros(3, np.uint8))
    for _, array in op.arrays():
        with pytest.raises(ValueError, match="cannot set WRITEABLE flag"):
            array.setflags(write=True)
        assert array.base is None or not getattr(array.base, "flags", array.flags).writeable


def test_full_stream_is_named() -> None:
    """A device that takes no more is what is named, not the folder that the file was made in."""
    with pytest.raises(FileError) as caught, atomic_write("/dev/full") as made:
        made.write_bytes(b"x")
    assert str(caught.value) == "cannot write /dev/full: No space left on device"


@pytest.mark.slow
def test_draw_without_a_seed_is_refused(tmp_path: Path) -> None:
    """Neither read nor written: a seed that nobody stated is not 0."""
    x = draw_stimulus("uniform", 1, GRAPH.input, 0)
    with pytest.raises(StimulusError, match="the draw 'uniform' is stated without a seed, expected both"):
        write_vectors(MODEL, x, tmp_path / "v", draw="uniform")
    write_vectors(MODEL, x, tmp_path / "v", draw="uniform", seed=0)
    path = tmp_path / "v" / "manifest.json"
    content = msgspec.json.decode(path.read_bytes())
    content["stimulus"]["seed"] = None
    path.write_bytes(msgspec.json.encode(content))
    with pytest.raises(FileError, match="states the draw 'uniform' without a seed, expected both"):
        read_manifest(tmp_path / "v")


@pytest.mark.parametrize("content", [b"", b"{}", b"null", b"[]", b'{"models": [], "files": []}'])
def test_empty_golden_manifest_is_a_file_error(content: bytes, tmp_path: Path) -> None:
    """A manifest that states nothing is refused with its path."""
    (tmp_path / "manifest.json").write_bytes(content)
    with pytest.raises(FileError, match=r"manifest\.json"):
        check_golden(tmp_path)


def test_published_stages_follow_the_blocks_of_the_model() -> None:
    """A stage for the embedding, one for each block, one for the scores."""
    model = load_model(golden_dir() / "small.safetensors")
    blocks = sum(tap.endswith(".mlp.add") for tap in model.graph.taps)
    assert list(stages(model).values()) == [*(f"samples_inter_{i}" for i in range(blocks + 1)), "samples_output"]
