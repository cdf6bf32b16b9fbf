"""A described design in a simulator of four states: driven by a kit's testbench, which writes every value down."""

from pathlib import Path

import numpy as np

from fxsim.contract.arithmetic import Integers
from fxsim.devices.described.kit import (
    STIMULUS,
    TESTBENCH,
    KitStream,
    kit_parameters,
    kit_streams,
    kit_testbench,
    kit_words,
)
from fxsim.devices.described.layout import DescribedLayout
from fxsim.devices.described.packing import Beats
from fxsim.devices.four_state import Expected, FourStateBench, Place
from fxsim.engines import Engine, run
from fxsim.errors import StimulusError

_HARNESS = "fxsim_four_state.v"


def make_bench(layout: DescribedLayout, x: Integers, engine: Engine | str, stall: int, folder: Path) -> FourStateBench:
    """Write testbench and stimulus into `folder`, which has the memory files, and say what must come out.

    The sides that can hold back do so in `stall` percent of all cycles. Compared are the output, with last and keep
    where it has them, and every tap that the description shows. StimulusError where a latency is to be found, or a file
    of the design has a name that the testbench has.
    """
    bound, model = layout.bound, layout.model
    streams = kit_streams(bound)
    if taken := sorted({STIMULUS, _HARNESS} & {*bound.memories, *bound.listed.files}):
        raise StimulusError(f"{bound.path}: the design reads '{taken[0]}', a name that the testbench has for its own")
    computed = run(model, x, layout.needed, engine)
    stimulus = layout.contents(x, computed)[0]
    (folder / STIMULUS).write_text(kit_words(stimulus, bound.input.beats), encoding="ascii")
    (folder / _HARNESS).write_text(kit_parameters(bound, len(x)) + kit_testbench(bound), encoding="utf-8")
    expected: dict[str, Expected] = {}
    signals = {"in_ready": bound.input.signals.ready or ""}
    handshakes: dict[str, str] = {}
    # In the order of the data: what is wrong at a tap is wrong there first.
    for stream in (*streams[1:], streams[0]):
        name = layout.output if stream.tag == "out" else stream.tensor
        ports = bound.output.signals
        expected |= _expected(stream, name, (ports.last or "", ports.keep or ""), computed[stream.tensor])
        said = (ports.valid, ports.ready) if stream.tag == "out" else (stream.valid, stream.ready)
        for kind, text in zip(("valid", "ready"), said, strict=True):
            handshakes[f"{stream.tag}_{kind}"] = stream.tag
            signals[f"{stream.tag}_{kind}"] = (text or kind).replace("dut.", "")
    macros: dict[str, str | int] = {"STALL": stall}
    return FourStateBench(folder / _HARNESS, macros, expected, handshakes, TESTBENCH, signals)


def _expected(stream: KitStream, name: str, flags: tuple[str, str], values: Integers) -> dict[str, Expected]:
    """The values of one stream by its name in events, and beside them its last and keep, where somebody looks.

    `name` and `flags`: what they are called in results.
    """
    beats, images = stream.beats, len(values)
    order = beats.places[beats.places >= 0]
    sent = values.reshape(images, -1)[:, order].astype(np.int64)
    carries = stream.tensor if name != stream.tensor else None
    found = {stream.tag: Expected(name, sent, beats.number.bits, beats.index, carries)}
    per_beat = np.count_nonzero(beats.places >= 0, axis=1)
    if stream.last_every:
        last = (np.arange(1, beats.beats + 1) % stream.last_every == 0).astype(np.int64)
        found[f"{stream.tag}_last"] = _flags(flags[0], last, images, _place(beats, 1))
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
