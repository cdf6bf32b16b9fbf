"""Files by which a viewer of waves opens a failure: the failing tap and its neighbours, at the cycle that failed.

`failure.gtkw` is a save file of GTKWave, `failure.sucl` a command file of Surfer; both are of `failure.fst`, which
replay.sh writes beside them.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fxsim.cosim.result import CosimResult
from fxsim.devices import Fitted, Watched
from fxsim.graph import Graph

WAVE, GTKWAVE, SURFER = "failure.fst", "failure.gtkw", "failure.sucl"
"""The waveform's name in a kept folder, and those of the viewers' files."""
_CYCLE = 10
"""Steps of a waveform's time that a cycle takes (`CYCLE_NS` of `harness_common.hpp`)."""
_AROUND = 40
"""Cycles that are shown before the failing one."""
_BINARY, _SIGNED, _HEXADECIMAL, _COMMENT = "28", "420", "22", "200"
"""GTKWave's flags of a trace: its base, at the right; signed decimals; a comment."""


def write_wave_files(folder: Path, fitted: Fitted, graph: Graph, result: CosimResult) -> None:
    """Write both files, where the device says by which names a wave has its streams, and the failure has a cycle."""
    streams, cycle = fitted.watched(_channel(result)), failing_cycle(result)
    if not streams or cycle is None:
        return
    shown = join_streams(streams, choose_streams(streams, graph, failing_stream(result)))
    title = _plain(_title(result, cycle))
    (folder / GTKWAVE).write_text(_gtkwave(title, shown, cycle), encoding="utf-8")
    (folder / SURFER).write_text(_surfer(title, shown, cycle), encoding="utf-8")


def failing_cycle(result: CosimResult) -> int | None:
    """The cycle of the first difference, else of the first fault, else in which nothing moved any more."""
    verdict = result.verdict
    if verdict.first_mismatch is not None:
        return verdict.first_mismatch.cycle
    if verdict.faults:
        return verdict.faults[0].cycle
    return None if verdict.stopped is None else verdict.stopped.cycle


def failing_stream(result: CosimResult) -> str | None:
    """The tap or output that failed first; None where nothing moved, or it was no stream."""
    verdict = result.verdict
    if verdict.first_mismatch is not None:
        return verdict.first_mismatch.tap
    return verdict.faults[0].stream if verdict.faults else None


def _channel(result: CosimResult) -> int:
    first = result.verdict.first_mismatch
    return 0 if first is None else first.channel or 0


def choose_streams(streams: Mapping[str, Watched], graph: Graph, failing: str | None) -> list[str]:
    """The failing stream after those that it is computed from and before those that follow; all where none is named."""
    if failing is None or failing not in streams:
        return list(streams)
    inputs = {node.name: node.inputs for node in graph.nodes}
    before = [name for name in inputs.get(failing, ()) if name in streams]
    after = [name for name, of in inputs.items() if failing in of and name in streams]
    # The output follows the last tap, and is no node.
    outputs = [name for name in streams if name not in inputs and name != failing]
    last = graph.output if graph.output in streams else None
    if failing not in inputs:
        before, outputs = [name for name in (last,) if name is not None], []
    return [*before, failing, *after, *(outputs if failing == last or not after else [])]


def join_streams(streams: Mapping[str, Watched], chosen: Sequence[str]) -> dict[str, Watched]:
    """The signals of chosen streams by what they are called: those that several share stand once, under all names."""
    names: dict[Watched, list[str]] = {}
    for name in chosen:
        names.setdefault(streams[name], []).append(name)
    return {", ".join(of): signals for signals, of in names.items()}


def _title(result: CosimResult, cycle: int) -> str:
    first = result.verdict.first_mismatch
    if first is None:
        return f"cycle {cycle}"
    return f"cycle {cycle}: {first.tap}, expected {first.expected}, got {first.got}"


def _plain(text: str) -> str:
    """A text from files as one line of a viewer's file."""
    return re.sub(r"[^\x20-\x7e]", "?", text)[:200]


def _gtkwave(title: str, shown: Mapping[str, Watched], cycle: int) -> str:
    clock = next(iter(shown.values())).clock
    lines = [
        f'[dumpfile] "{WAVE}"', f'[savefile] "{GTKWAVE}"', f"[timestart] {_CYCLE * max(cycle - _AROUND, 0)}",
        "[size] 1600 900", "[pos] -1 -1", f"*-6.0 {_CYCLE * cycle}{' -1' * 26}", "[sst_width] 240",
        "[signals_width] 420", f"@{_COMMENT}", f"-{title}", f"@{_BINARY}", clock,
    ]  # fmt: skip
    for name, stream in shown.items():
        lines += [f"@{_COMMENT}", f"-{_plain(name)}", f"@{_SIGNED if stream.signed else _HEXADECIMAL}", stream.data]
        handshake = [signal for signal in (stream.valid, stream.ready) if signal is not None]
        lines += [f"@{_BINARY}", *handshake] if handshake else []
    return "\n".join(lines) + "\n"


def _surfer(title: str, shown: Mapping[str, Watched], cycle: int) -> str:
    clock = _bare(next(iter(shown.values())).clock)
    lines = [f"divider_add {title}", f"variable_add {clock}"]
    place = 2
    for name, stream in shown.items():
        lines += [f"divider_add {_plain(name)}", f"variable_add {_bare(stream.data)}"]
        # Items are called by letters, in their order.
        lines += [
            f"item_focus {_letters(place + 1)}",
            f"item_set_format {'Signed' if stream.signed else 'Hexadecimal'}",
        ]
        signals = [_bare(signal) for signal in (stream.valid, stream.ready) if signal is not None]
        lines += [f"variable_add {signal}" for signal in signals]
        place += 2 + len(signals)
    lines += ["item_unfocus", f"cursor_set {_CYCLE * cycle}", "goto_cursor"]
    return "\n".join(lines) + "\n"


def _bare(name: str) -> str:
    """A signal's name without its range."""
    return re.sub(r"\[\d+:\d+\]$", "", name)


def _letters(number: int) -> str:
    """Surfer's word for the item of a number, from 0: a, b, ..., as it counts in hexadecimal digits a to p."""
    word = ""
    while True:
        word = chr(ord("a") + number % 16) + word
        number //= 16
        if not number:
            return word
