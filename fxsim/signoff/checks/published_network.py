"""Kind `published-network`: a network that others published, against what their own program computed of pictures."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Meta

from fxsim import engines
from fxsim.compare import ArraySource, TapShape, model_taps
from fxsim.contract.arithmetic import Integers
from fxsim.engines import Engine
from fxsim.errors import FileError
from fxsim.formats import model_sha256
from fxsim.formats.importers import import_model
from fxsim.formats.npy import read_archive
from fxsim.formats.text import read_json
from fxsim.graph import Model
from fxsim.signoff.checks.engines import compiled, skip_without
from fxsim.signoff.comparison import DIFFERENCES, Comparison, compare_sources
from fxsim.signoff.context import Context, Outcome, first_few
from fxsim.signoff.kind import Kind
from fxsim.signoff.plan import Check
from fxsim.signoff.record import Details, Figure

_BYTES_MAX = 1 << 25
_DIGEST = "sha256 of the int32 little-endian values, [channel,row,column] order"
"""The digests' definition, as their file states it."""


class PublishedNetworkCheck(Check, frozen=True, tag="published-network", kw_only=True):
    """A published network gives what its own program computed of pictures: every value, in each of some engines.

    `network`: one of `NETWORKS`, whose files lie in a folder of its project in the plan's `networks`. Skipped where
    that is absent, or an engine.
    """

    network: str
    engines: Annotated[tuple[Engine, ...], Meta(min_length=1)] = (Engine.REFERENCE, Engine.NUMBA)

    def problems(self) -> Iterator[str]:
        """The network must be known, and no engine be named twice."""
        if self.network not in NETWORKS:
            yield f"names network '{self.network}', expected one of: {', '.join(NETWORKS)}"
        if len({compiled(engine) for engine in self.engines}) < len(self.engines):
            yield "names an engine twice"


class _Digests(msgspec.Struct, frozen=True):
    """FracBNN's file of digests: of each picture every tap's name, shape [channel, row, column] and SHA-256."""

    digest: str
    taps: tuple[tuple[tuple[str, tuple[int, int, int], str], ...], ...]


@dataclass(frozen=True)
class _Published:
    """Pictures, and what is published of them. `taps`: every value of the first so many pictures.

    `files`: those that have pictures and values. `digests`: of each picture the SHA-256 of taps, by name.
    """

    model: Model
    files: tuple[str, ...]
    x: Integers
    taps: Mapping[str, Integers]
    digests: tuple[Mapping[str, str], ...] = field(default=())


def _array(arrays: Mapping[str, npt.NDArray[np.generic]], name: str, kind: str, *shape: int | None) -> Integers:
    """An array of a type and shape, in which None is any size."""
    found = arrays[name]
    if (
        found.dtype != kind
        or len(found.shape) != len(shape)
        or any(size is not None and size != there for size, there in zip(shape, found.shape, strict=True))
    ):
        stated = ", ".join("any" if size is None else str(size) for size in shape)
        raise FileError(f"array '{name}' is {found.dtype} {found.shape}, expected {kind} ({stated})")
    return found


def _channels_last(values: Integers) -> Integers:
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1))


def _cnv(folder: Path, network: str) -> _Published:
    """CNV: pictures in 1/128, and the 64 scores of the last layer, which are matches where inputs are binary."""
    model = import_model(folder / f"{network}_params.npz", "bnn-pynq", topology=network)
    pictures = read_archive(folder / "cnv_images.npz", _BYTES_MAX, ("images", "inputs_q7"))
    matches = network == "cnvW1A1"
    stated = read_archive(folder / f"{network}_scores.npz", _BYTES_MAX, ("scores",))
    scores = _array(stated, "scores", "uint16" if matches else "int16", None, 64).astype(np.int32)
    x = _channels_last(_array(pictures, "images", "uint8", None, 3, 32, 32))[: len(scores)]
    encoded = _channels_last(_array(pictures, "inputs_q7", "int8", None, 3, 32, 32))[: len(scores)]
    # Of 512 inputs m are as the weights: m - (512 - m) is the sum.
    sums = 2 * scores - 512 if matches else scores
    files = "cnv_images.npz", f"{network}_scores.npz"
    return _Published(model, files, x, {"encode": encoded.astype(np.int32), "conv8": sums[:, None, None]})


def _lfc(folder: Path, network: str) -> _Published:
    """LFC: the 64 bits of the last layer."""
    model = import_model(folder / f"{network}_params.npz", "bnn-pynq", topology=network)
    words = read_archive(folder / f"{network}_labels.npz", _BYTES_MAX, ("label_bits",))
    bits = _array(words, "label_bits", "uint64", None)[:, None] >> np.arange(64, dtype=np.uint64) & np.uint64(1)
    x = _array(read_archive(folder / "lfc_images.npz", _BYTES_MAX, ("images",)), "images", "uint8", None, 784)
    files = "lfc_images.npz", f"{network}_labels.npz"
    return _Published(model, files, x[: len(bits)], {"threshold3": 2 * bits.astype(np.int32) - 1})


def _fracbnn(folder: Path, _network: str) -> _Published:
    """FracBNN: thermometers and logits of pictures, and digests of all that the program computes between them."""
    model = import_model(folder / "params_q8.npz", "fracbnn")
    arrays = read_archive(folder / "vectors.npz", _BYTES_MAX, ("images", "thermometer_levels", "logits_q7"))
    logits = _array(arrays, "logits_q7", "int16", None, 10).astype(np.int32)
    path = folder / "tap_digests.json"
    stated = read_json(path, _Digests, _BYTES_MAX, "digests of taps")
    if stated.digest != _DIGEST:
        raise FileError(f"{path}: states digests that are not the {_DIGEST}")
    if len(stated.taps) != len(logits):
        raise FileError(f"{path}: has digests of {len(stated.taps)} pictures, there are logits of {len(logits)}")
    for taps in stated.taps:
        for tap, shape, _ in taps:
            if tap not in model.graph.tensors or _published_shape(model, tap) != shape:
                raise FileError(f"{path}: has a tap '{tap}' of shape {shape}, which the network has not")
    x = _channels_last(_array(arrays, "images", "uint8", None, 3, 32, 32))[: len(logits)]
    levels = _channels_last(_array(arrays, "thermometer_levels", "uint8", None, 3, 32, 32))[: len(logits), ..., None]
    bits = np.where(np.arange(32) < levels, 1, -1).reshape(*levels.shape[:3], 96)
    values = {
        "thermometer": bits.astype(np.int32),
        "logits": logits,
        "class": logits.argmax(axis=1)[:, None].astype(np.int32),
    }
    files = "vectors.npz", path.name
    return _Published(model, files, x, values, tuple({tap: digest for tap, _, digest in row} for row in stated.taps))


def _digits_ode(folder: Path, _network: str) -> _Published:
    """A small Transformer with a Neural ODE: the pool and the scores of scikit-learn's test digits."""
    path = folder / "digits_ode.npz"
    model = import_model(path, "neural-ode")
    arrays = read_archive(path, _BYTES_MAX, ("images", "pool", "scores"))
    x = _array(arrays, "images", "uint8", None, *model.graph.input_shape[:2])[..., None]
    shapes = model.graph.shapes
    pool = _array(arrays, "pool", "int8", None, shapes["pool"][-1]).reshape(-1, *shapes["pool"])
    scores = _array(arrays, "scores", "int32", None, *shapes["scores"])
    return _Published(model, (path.name,), x, {"pool": pool.astype(np.int32), "scores": scores})


def _published_shape(model: Model, tap: str) -> tuple[int, ...]:
    """The shape in which FracBNN's program has a tap: [channel, row, column]."""
    rows, columns, channels = (1, 1, *model.graph.shapes[tap])[-3:]
    return channels, rows, columns


NETWORKS: dict[str, tuple[str, Callable[[Path, str], _Published]]] = {
    "cnvW1A1": ("finn", _cnv),
    "cnvW1A2": ("finn", _cnv),
    "cnvW2A2": ("finn", _cnv),
    "lfcW1A1": ("finn", _lfc),
    "fracbnn": ("fracbnn", _fracbnn),
    "digits-ode": ("tiny_ode", _digits_ode),
}
"""Networks by name: the folder that has their files, and how these are read."""


def run(check: PublishedNetworkCheck, context: Context, _seed: int) -> Outcome:
    """A published network on its pictures in each engine, against what is published."""
    skip_without(check.engines)
    name, read = NETWORKS[check.network]
    folder = context.networks(name)
    try:
        published = read(folder, check.network)
    except FileError as error:
        # An array is told by its name alone.
        text = str(error)
        raise FileError(text if text.startswith(str(folder)) else f"{folder}: of {check.network} {text}") from None
    if not len(published.x) or any(len(values) != len(published.x) for values in published.taps.values()):
        raise FileError(f"{folder}: has not as many pictures of {check.network} as results, or none")
    context.note_hash(f"published {name}/{check.network}", model_sha256(published.model))
    context.note_published(name, *(folder / file for file in published.files))
    comparisons, problems, digests = [], [], 0
    shapes = {tap.tap: tap for tap in model_taps(published.model)}
    wanted = (*published.taps, *(tap for tap in (published.digests or ({},))[0] if tap not in published.taps))
    for done, engine in enumerate(map(compiled, check.engines)):
        context.progress(done, len(check.engines))
        found = engines.run(published.model, published.x, wanted, engine)
        comparison, first = _compare(f"{check.network}, {engine}", published, found, shapes)
        comparisons.append(comparison)
        problems += [first] if first else []
        for image, stated in enumerate(published.digests):
            wrong = [tap for tap, digest in stated.items() if _digest(found[tap][image]) != digest]
            digests += len(stated)
            if wrong:
                problems.append(
                    f"{check.network}, {engine}: picture {image}: {len(wrong)} of {len(stated)} digests differ, the "
                    f"first of tap {wrong[0]}"
                )
    values = sum(row.compared for comparison in comparisons for row in comparison.taps)
    figures = (
        Figure("pictures", len(published.x)),
        Figure("values compared", values),
        Figure("values that differ", sum(row.mismatches for c in comparisons for row in c.taps)),
        Figure("digests compared", digests),
    )
    summary = f"{len(published.x)} pictures in {', '.join(map(str, check.engines))}: {values:,} published values"
    if digests:
        summary += f" and {digests:,} digests of taps"
    return Outcome(summary, first_few(problems) or None, Details(figures, comparisons))


def _compare(
    title: str, published: _Published, found: Mapping[str, Integers], shapes: Mapping[str, TapShape]
) -> tuple[Comparison, str | None]:
    """Every published value with that of an engine."""
    computed = {tap: found[tap].astype(np.int32) for tap in published.taps}
    taps = [shapes[tap] for tap in published.taps]
    return compare_sources(title, ArraySource("published", published.taps), ArraySource("computed", computed), taps)


def _digest(values: Integers) -> str:
    """The SHA-256 of a tap of one picture, as `_DIGEST` says."""
    ordered = np.atleast_3d(values).transpose(2, 0, 1).astype("<i4")
    return hashlib.sha256(ordered.tobytes()).hexdigest()


KIND = Kind(
    settings=PublishedNetworkCheck,
    about="a network that others published gives what their own program computed of pictures",
    run=run,
    data=(Comparison,),
    report=(DIFFERENCES,),
)
