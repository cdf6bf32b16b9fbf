"""A described design in a simulator of four states: driven by a kit's testbench, which writes every value down."""

from pathlib import Path

import numpy as np

from fxsim.contract.arithmetic import Integers
from fxsim.devices.described.bench import testbench_of
from fxsim.devices.described.bind import Bound
from fxsim.devices.described.jobs.bind import BoundJobs
from fxsim.devices.described.kit import TESTBENCH, KitStream, in_readies, refuse_names
from fxsim.devices.described.packing import Beats
from fxsim.devices.four_state import Expected, FourStateBench, Place
from fxsim.engines import Engine, run
from fxsim.graph import Model

_HARNESS = "fxsim_four_state.v"


def make_bench(
    bound: Bound | BoundJobs, model: Model, x: Integers, engine: Engine | str, stall: int, folder: Path
) -> FourStateBench:
    """Write testbench and stimulus into `folder`, which has the memory files, and say what must come out.

    The sides that can hold back do so in `stall` percent of all cycles. Compared are the output, with last, start and
    keep where it has them, and every tap that the description shows. StimulusError where a latency is to be found, or a
    file of the design has a name that the testbench has.
    """
    testbench = testbench_of(bound, model)
    computed = run(model, x, testbench.layout.needed, engine)
    bench = testbench.make(x, computed)
    refuse_names(bound, {*bench.files, _HARNESS}, "the testbench")
    for name, text in bench.files.items():
        (folder / name).write_text(text, encoding="ascii")
    (folder / _HARNESS).write_text(bench.parameters + bench.testbench, encoding="utf-8")
    expected: dict[str, Expected] = {}
    signals = {} if isinstance(bound, BoundJobs) else in_readies(bound)
    handshakes: dict[str, str] = {}
    # In the order of the data: what is wrong at a tap is wrong there first.
    for stream in (*bench.streams[1:], bench.streams[0]):
        expected |= _expected(stream, computed[stream.tensor])
        for kind in ("valid", "ready"):
            handshakes[f"{stream.tag}_{kind}"] = stream.tag
            signals[f"{stream.tag}_{kind}"] = stream.names.get(kind, kind)
    macros: dict[str, str | int] = {"STALL": stall}
    return FourStateBench(folder / _HARNESS, macros, expected, handshakes, TESTBENCH, signals)


def _expected(stream: KitStream, values: Integers) -> dict[str, Expected]:
    """The values of one stream by its name in events, and beside them its flags, where somebody looks."""
    name, flags = stream.name, (stream.names.get("last", ""), stream.names.get("keep", ""))
    beats, images = stream.beats, len(values)
    order = beats.places[beats.places >= 0]
    sent = values.reshape(images, -1)[:, order].astype(np.int64)
    carries = stream.tensor if name != stream.tensor else None
    found = {stream.tag: Expected(name, sent, beats.number.bits, beats.index, carries, beats.number.signed)}
    per_beat = np.count_nonzero(beats.places >= 0, axis=1)
    if stream.last_every:
        last = (np.arange(1, beats.beats + 1) % stream.last_every == 0).astype(np.int64)
        found[f"{stream.tag}_last"] = _flags(flags[0], last, images, _place(beats, 1))
    if stream.start is not None:
        start = (np.arange(beats.beats) == 0).astype(np.int64)
        found[f"{stream.tag}_start"] = _flags(stream.names.get("start", ""), start, images, _place(beats, 1))
    if stream.keep is not None:
        keep = (np.arange(beats.lanes) < per_beat[:, None]).astype(np.int64)
        found[f"{stream.tag}_keep"] = _flags(flags[1], keep.reshape(-1), images, _place(beats, beats.lanes))
    return found


def _flags(name: str, flags: "np.ndarray[tuple[int], np.dtype[np.int64]]", images: int, place: Place) -> Expected:
    """Flags of each image: a bit that is 1 is -1 as two's complement."""
    return Expected(name, np.tile(-flags, (images, 1)), 1, place)


def _place(beats: Beats, each: int) -> Place:
    """The index of the beat's first value, of flags of which a beat has `each`."""

    def place(number: int) -> dict[str, int]:
        beat = number // each
        first = int(np.count_nonzero(beats.places[:beat] >= 0))
        return beats.index(first)

    return place
