"""The streaming accelerator in a simulator of four states."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fxsim.contract.arithmetic import Int8
from fxsim.devices.four_state import Expected, FourStateBench, Place
from fxsim.devices.stream.layout import OUTPUT, StreamLayout
from fxsim.engines import Engine, run

_STIMULUS = "stimulus.hex"


def make_bench(
    layout: StreamLayout,
    x: Int8,
    engine: Engine | str,
    stall: int,
    folder: Path,
    *,
    parameters: Mapping[str, int],
    watchdog: int,
    lanes: int = 1,
) -> FourStateBench:
    """Write the stimulus into `folder`, which has the ROM files, and say what must come out.

    Both sides hold back in `stall` percent of all cycles. Every tap is compared, whatever the layout says; the output
    with its flags, and the flags of wrong frames, too.
    """
    graph = layout.model.graph
    # A beat's first value is its lowest byte, which is written last.
    words = np.ascontiguousarray(x).view(np.uint8).reshape(-1, lanes)[:, ::-1]
    text = "".join(f"{word.tobytes().hex()}\n" for word in words)
    (folder / _STIMULUS).write_text(text, encoding="ascii")
    computed = run(layout.model, x, graph.taps, engine)
    streams: dict[str, Expected] = {}
    for i, tap in enumerate(graph.taps):
        values = layout.streamed(tap, computed[tap]).reshape(len(x), -1).astype(np.int64)
        streams[f"tap{i}"] = Expected(tap, values, 8, _place(layout, tap))
    scores = computed[graph.output].reshape(len(x), -1).astype(np.int64)
    last = np.zeros_like(scores)
    last[:, -1] = -1  # the bit 1, as two's complement
    streams[OUTPUT] = Expected(OUTPUT, scores, 8, _place(layout, OUTPUT), graph.output)
    for name, values in ((f"{OUTPUT}_tlast", last), (f"{OUTPUT}_tuser", last * 0)):
        streams[name] = Expected(name, values, 1, _place(layout, OUTPUT))
    for name in ("frame_error_early", "frame_error_late"):
        streams[name] = Expected(name, np.zeros((1, 1), np.int64), 1, lambda _: {})
    handshakes = {f"mon_{signal}[{i}]": f"tap{i}" for signal in ("valid", "ready") for i in range(len(graph.taps))}
    handshakes[f"{OUTPUT}_tvalid"] = OUTPUT
    macros: dict[str, str | int] = {
        "PARAMETERS": ",".join(f".{name}({value})" for name, value in parameters.items()),
        "TAPS": len(graph.taps),
        "LANES": lanes,
        "INPUT_SIZE": layout.input_size // lanes,
        "BEATS": x.size // lanes,
        "SCORES": scores.size // lanes,
        "WATCHDOG": watchdog,
        "STALL": stall,
        "STIMULUS": f'"{_STIMULUS}"',
    }
    return FourStateBench(Path(__file__).with_name("four_state.v"), macros, streams, handshakes)


def _place(layout: StreamLayout, stream: str) -> Place:
    def place(index: int) -> dict[str, int]:
        token, channel = layout.place(stream, index)
        return {"channel": channel} if token is None else {"token": token, "channel": channel}

    return place
