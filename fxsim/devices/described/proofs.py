"""A described design as one to prove: the same module around it that is simulated, with what its streams carry."""

import numpy as np

from fxsim.devices.described.bind import WRAPPER, Bound
from fxsim.devices.described.packing import Beats as Packed
from fxsim.devices.described.wrapper import TOP, input_places
from fxsim.devices.provable import Beats, OwnVerilog, Places, Port, ProofFeed, ProofWatch, Provable
from fxsim.errors import ToolError
from fxsim.formats.text import read_bounded
from fxsim.graph import Model, refuse_beyond_int8
from fxsim.simulate.sources import Sources, hash_parts

_TEXT_BYTES_MAX = 1 << 20


def provable_of(bound: Bound, model: Model, idle: int) -> Provable:
    """A described design of streams, which is still after `idle` cycles in which nothing passes.

    ModelError where a tensor is of other numbers than int8; ToolError where a latency is left to be found.
    """
    refuse_beyond_int8(model.graph, "the proof of a described design")
    out = bound.output
    if out.find:
        raise ToolError(
            f'{bound.path}: output stream: latency is "find", expected a number of cycles, which a proof takes: '
            "fxsim cosim shows what it finds"
        )
    if bound.in_step:
        raise ToolError(
            f"{bound.path}: {len(bound.inputs)} input streams without a ready: their beats must come in the same "
            "cycles, which a proof does not do where it holds back; expected a ready of each"
        )
    feeds = []
    data_at, keep_at = input_places([into.beats for into in bound.inputs])
    for number, into in enumerate(bound.inputs):
        places, tensors = _places(into.beats, model.graph.shapes[into.tensors[0]], into.tensors)
        feeds.append(
            ProofFeed(
                data=_lanes("in_data", 8 * data_at[number], into.beats),
                valid=_if(into.signals.valid, "in_valid", number),
                ready=_if(into.signals.ready, "in_ready", number),
                tensor=into.tensors[0],
                order=places,
                last=Port("in_last", number) if into.last_every else None,
                beats=_counts(into.beats),
                tensors=tensors,
                lasts=_lasts(into.beats, into.last_every),
                keep=_if(into.signals.keep, "in_keep", 8 * keep_at[number], into.beats.lanes),
                start=_if(into.signals.start, "in_start", number),
                interval=bound.interval,
                whole=bound.whole_images,
            )
        )
    watches, at = [], 0
    for i, tap in enumerate(bound.taps):
        watches.append(
            ProofWatch(
                name=tap.name,
                tap=tap.name,
                data=_lanes("mon_data", at, tap.beats),
                valid=None if tap.valid is None else Port("mon_valid", i),
                ready=Port("mon_ready", i),
                order=_places(tap.beats, model.graph.shapes[tap.name], (tap.name,))[0],
                beats=_counts(tap.beats),
                latency=tap.latency or 0,
            )
        )
        at += watches[-1].data.width
    tensor = out.tensors[0]
    output = ProofWatch(
        name=out.signals.data,
        tap=tensor,
        data=_lanes("out_data", 0, out.beats),
        valid=_if(out.signals.valid, "out_valid"),
        ready=_if(out.signals.ready, "out_ready"),
        order=_places(out.beats, model.graph.shapes[tensor], (tensor,))[0],
        last=Port("out_last") if out.last_every else None,
        beats=_counts(out.beats),
        lasts=_lasts(out.beats, out.last_every),
        keep=_if(out.signals.keep, "out_keep", 0, out.beats.lanes),
        start=_if(out.signals.start, "out_start"),
        latency=out.latency or 0,
        # Nothing in the part of the model that the design computes is computed of it.
        cut=False,
    )
    reset = bound.description.reset
    return Provable(
        name=bound.description.top,
        top=TOP,
        parameters={},
        files={name: bound.sources.files[name] for name in bound.listed.files} | bound.memories,
        feeds=tuple(feeds),
        watches=(*watches, output),
        reset=Port("rst"),
        takes=() if out.signals.ready is None else (Port("out_ready"),),
        quiet=(),
        idle=idle,
        whole=True,
        reset_cycles=0 if reset is None else reset.cycles,
        idle_reset=True,
        verilog=_verilog(bound),
        clock="clk",
    )


def _verilog(bound: Bound) -> OwnVerilog:
    said = bound.verilog
    files = {**said.files, WRAPPER: bound.wrapper.encode()}
    # A source is read where it stands in the order; a list of files has none to be read.
    parts = [part for name in sorted(files) for part in (name.encode(), files[name])]
    parts += [part for name in sorted(bound.memories) for part in (name.encode(), bound.memories[name])]
    words = (*said.sources, "", *said.include, "", *(f"{name}={value}" for name, value in said.defines.items()))
    description = read_bounded(bound.path, _TEXT_BYTES_MAX, "a description of RTL")
    sha256 = hash_parts(description, *(word.encode() for word in words), b"files", *parts)
    sources = Sources(bound.sources.folder, dict(sorted(files.items())))
    return OwnVerilog(sources, (*said.sources, WRAPPER), said.include, dict(said.defines), sha256)


def _if(signal: str | None, port: str, low: int = 0, width: int = 1) -> Port | None:
    return None if signal is None else Port(port, low, width)


def _lanes(port: str, at: int, beats: Packed) -> Port:
    """The bits of a beat, each lane in the bytes that the module around the design gives it."""
    return Port(port, at, 8 * beats.slot * beats.lanes)


def _counts(beats: Packed) -> Beats:
    return Beats(beats.lanes, tuple(np.count_nonzero(beats.places >= 0, axis=1).tolist()))


def _lasts(beats: Packed, every: int) -> frozenset[int]:
    return frozenset(beat for beat in range(beats.beats) if every and (beat + 1) % every == 0)


def _places(beats: Packed, shape: tuple[int, ...], tensors: tuple[str, ...]) -> tuple[Places, tuple[str, ...]]:
    """Token and channel of each value that a stream carries, in its order, and the tensor that it is of."""
    places, names = [], []
    for number in beats.places[beats.places >= 0].tolist():
        value, operand = divmod(number, len(tensors))
        names.append(tensors[operand])
        places.append((None, value) if len(shape) == 1 else divmod(value, shape[-1]))
    return tuple(places), tuple(names)
