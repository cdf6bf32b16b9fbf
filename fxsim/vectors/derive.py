"""The content of a folder of vectors, derived from model and stimulus: names of files, their bytes, and the manifest.

Writing and checking both start here, so that a check compares with what would be written now.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fxsim.contract import CHANNEL, INT8, TOKEN, Number
from fxsim.contract.arithmetic import Integers
from fxsim.devices.stream.roms import stream_order
from fxsim.engines import chosen_engine, run_chunks
from fxsim.errors import StimulusError
from fxsim.formats import model_sha256
from fxsim.graph import INPUT, Model
from fxsim.vectors.formats import FORMATS, Format, Renderer
from fxsim.vectors.manifest import (
    ORDER,
    ORDER_OF_FORMATS,
    STIMULUS_FILE,
    VectorFile,
    VectorManifest,
    VectorModel,
    VectorStimulus,
    VectorTap,
)
from fxsim.version import __version__

Progress = Callable[[int, int], None]
"""Called with (images done, images)."""


def no_progress(_done: int, _total: int) -> None:
    """Report to nobody."""


IMAGE = "image"
_VALUES = ("token", "value")
"""Axes of an input of tokens, whose channels are called values."""


@dataclass(frozen=True)
class PlannedFile:
    """A data file: where it goes, whose values it holds (`input` or a tap), and how. `shape` includes the images."""

    path: str
    source: str
    symbol: str
    fmt: Format
    shape: tuple[int, ...]
    index: tuple[str, ...]


class Sink(Protocol):
    """Takes a file's bytes as they are derived: writing puts them on disk, checking compares with the disk."""

    def header(self, data: bytes) -> None:
        """Take the bytes that come before the values."""

    def values(self, data: bytes, values: Integers) -> None:
        """The bytes of the next values."""

    def close(self) -> None:
        """There is no more."""


def get_format(name: str) -> Format:
    """The format of that name; StimulusError names those there are."""
    if name not in FORMATS:
        raise StimulusError(f"there is no vector format '{name}'; there are: {', '.join(FORMATS)}")
    return FORMATS[name]


def tensor_index(model: Model, name: str) -> tuple[str, ...]:
    """Index names of the values of a tap or of `input`: images, then its axes."""
    axes = model.graph.tensors[name].axes
    return (IMAGE, *(_VALUES if name == INPUT and axes == (TOKEN, CHANNEL) else axes))


def planned_files(model: Model, images: int, taps: tuple[str, ...], fmt: Format) -> list[PlannedFile]:
    """Every data file of a folder. The stimulus is always there as .npy too: the check reads it back from that."""
    shape = (images, *model.graph.input_shape)
    number, inputs = model.graph.input.number, tensor_index(model, INPUT)
    files = [PlannedFile(STIMULUS_FILE, INPUT, "stimulus", FORMATS["npy"].of(number), shape, inputs)]
    if fmt.name != "npy":
        files.append(PlannedFile(f"stimulus{fmt.suffix}", INPUT, "stimulus", fmt.of(number), shape, inputs))
    for place, tap in enumerate(model.graph.taps):
        if tap in taps:
            # The number keeps symbols apart: 'a.b' and 'a_b' are different taps.
            symbol = f"tap{place}_{tap.replace('.', '_')}"
            values = model.graph.tensors[tap]
            path, index = f"taps/{tap}{fmt.suffix}", tensor_index(model, tap)
            files.append(PlannedFile(path, tap, symbol, fmt.of(values.number), (images, *values.shape), index))
    return files


class _Stream:
    """One planned file on its way to its sink, measured as it passes."""

    def __init__(self, plan: PlannedFile, sink: Sink) -> None:
        self.plan = plan
        self.sink = sink
        self.renderer = Renderer(plan.fmt, plan.symbol, plan.shape)
        self.digest = hashlib.sha256(self.renderer.header)
        self.bytes = len(self.renderer.header)
        sink.header(self.renderer.header)

    def values(self, values: Integers) -> None:
        data = self.renderer.part(values)
        self.digest.update(data)
        self.bytes += len(data)
        self.sink.values(data, values)

    def record(self) -> VectorFile:
        return VectorFile(self.plan.path, self.bytes, self.digest.hexdigest(), self.plan.symbol)


def derive(
    model: Model,
    x: Integers,
    taps: tuple[str, ...],
    data_format: str,
    model_file: VectorFile,
    draw: str | None,
    seed: int | None,
    engine: str,
    open_sink: Callable[[PlannedFile], Sink],
    progress: Progress = no_progress,
) -> VectorManifest:
    """Compute all taps, chunk by chunk in flat memory; give every file's bytes to its sink; return the manifest.

    Digests are of all taps, files only of those in `taps` (names in the graph's order).
    """
    fmt, chosen = get_format(data_format), chosen_engine(engine, model)
    streams = [_Stream(plan, open_sink(plan)) for plan in planned_files(model, len(x), taps, fmt)]
    digests = {name: hashlib.sha256() for name in (INPUT, *model.graph.taps)}
    for part, values in run_chunks(model, x, "all", chosen):
        values[INPUT] = x[part]
        for name, digest in digests.items():
            digest.update(values[name].tobytes())
        for stream in streams:
            stream.values(values[stream.plan.source])
        progress(part.stop, len(x))
    for stream in streams:
        stream.sink.close()
    records = {stream.plan.path: stream.record() for stream in streams}
    by_tap = {stream.plan.source: records[stream.plan.path] for stream in streams}
    return VectorManifest(
        format="fxsim.vectors",
        version=1,
        fxsim_version=__version__,
        engine=str(chosen),
        data_format=data_format,
        order=ORDER if _is_int8(model) else ORDER_OF_FORMATS,
        model=VectorModel(model.name, model_sha256(model), model_file),
        stimulus=VectorStimulus(
            shape=(len(x), *model.graph.input_shape),
            index=tensor_index(model, INPUT),
            sha256=digests[INPUT].hexdigest(),
            draw=draw,
            seed=seed,
            number=_stated(model.graph.input.number),
            files=tuple(records[stream.plan.path] for stream in streams if stream.plan.source == INPUT),
        ),
        taps=tuple(_tap(model, name, digests[name].hexdigest(), by_tap) for name in model.graph.taps),
    )


def _is_int8(model: Model) -> bool:
    return all(tensor.number == INT8 for tensor in model.graph.tensors.values())


def _stated(number: Number) -> str | None:
    """A number format as manifests state it: int8 is not stated."""
    return None if number == INT8 else str(number)


def _tap(model: Model, name: str, sha256: str, files: Mapping[str, VectorFile]) -> VectorTap:
    shape = model.graph.shapes[name]
    return VectorTap(
        name=name,
        operator=model.graph.by_name[name].op.kind,
        shape=shape,
        index=tensor_index(model, name),
        stream_order=stream_order(model, name),
        number=_stated(model.graph.tensors[name].number),
        sha256=sha256,
        file=files.get(name),
    )
