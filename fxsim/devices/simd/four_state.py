"""The SIMD accelerator in a simulator of four states."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fxsim.contract.arithmetic import Int8
from fxsim.devices.four_state import Expected, FourStateBench
from fxsim.devices.simd.layout import RESULT, SimdLayout
from fxsim.devices.simd.memory_image import LANES, STAGES, pack_images
from fxsim.devices.simd.registers import Status
from fxsim.engines import Engine, run
from fxsim.simulate.four_state import Trace

_WORD_BITS = 8 * LANES
_DONE = 1 << Status.DONE


@dataclass(frozen=True)
class _Show:
    """A tap as a stage shows it: words of 16 channels, group by group of channels and in each token by token."""

    tap: str
    tokens: int
    channels: int

    @property
    def groups(self) -> int:
        return -(-self.channels // LANES)

    def places(self) -> Iterator[tuple[int, int]]:
        """Token and channel of each value, in the order in which words hold them, without the lanes that pad."""
        for group in range(self.groups):
            for token in range(self.tokens):
                for channel in range(LANES * group, min(LANES * (group + 1), self.channels)):
                    yield token, channel


@dataclass(frozen=True, kw_only=True)
class SimdFourStateBench(FourStateBench):
    """A bench of the SIMD accelerator. `shows`: by stage, what it shows of an image, in order."""

    shows: dict[str, tuple[_Show, ...]]

    def found(self, trace: Trace) -> dict[str, list[tuple[int, str]]]:
        """Words taken apart into the values of taps; what a stage shows too much of counts at its last tap."""
        found: dict[str, list[tuple[int, str]]] = {name: [] for name in self.streams}
        for stage, shows in self.shows.items():
            words = iter(trace.values.get(stage, []))
            left = True
            while left:
                left = False
                for show in shows:
                    for group in range(show.groups):
                        lanes = min(LANES, show.channels - LANES * group)
                        for _ in range(show.tokens):
                            if (word := next(words, None)) is not None:
                                found[show.tap] += ((word[0], bits) for bits in _lanes(word[1])[:lanes])
                                left = True
        for name in self.streams.keys() - {show.tap for shows in self.shows.values() for show in shows}:
            found[name] = trace.values.get(name, [])
        found[RESULT] = [(cycle, bits) for cycle, word in trace.values.get(RESULT, []) for bits in _lanes(word)]
        return found


def make_bench(
    layout: SimdLayout,
    x: Int8,
    engine: Engine | str,
    stall: int,
    folder: Path,
    *,
    parameters: Mapping[str, int],
    watchdog: int,
) -> SimdFourStateBench:
    """Write the memory into `folder`, and say what must come out of one job of all images.

    Channels of the bus hold back in `stall` percent of all cycles. Every tap is compared, what is written into memory
    with what pads it, where it is written, and what the registers say of the job.
    """
    model, image = layout.model, layout.image
    packed = pack_images(model, x).reshape(-1, LANES)
    for name, words in (("parameters.hex", image.words), ("images.hex", packed)):
        (folder / name).write_text("".join(f"{word[::-1].tobytes().hex()}\n" for word in words), encoding="ascii")
    computed = run(model, x, model.graph.taps, engine)
    streams: dict[str, Expected] = {}
    shows: dict[str, tuple[_Show, ...]] = {}
    for number, stage in enumerate(STAGES):
        taps = [taps[stage] for layer in image.layers if stage in (taps := dict(layer.stages))]
        shows[f"stage{number}"] = tuple(_show(model.graph.shapes[tap], tap) for tap in taps)
        for show in shows[f"stage{number}"]:
            order = list(show.places())
            tokens, channels = (list(part) for part in zip(*order, strict=True))
            values = computed[show.tap].reshape(len(x), show.tokens, show.channels)[:, tokens, channels]
            flat = len(model.graph.shapes[show.tap]) == 1
            places = [{"channel": c} if flat else {"token": t, "channel": c} for t, c in order]
            streams[show.tap] = Expected(show.tap, values.astype(np.int64), 8, places.__getitem__)
    streams = {tap: streams[tap] for tap in model.graph.taps}  # in the order of the data
    assert all(shows.values()), "every stage is some layer's in every model, so that no word goes unseen"
    scores = computed[model.graph.output]
    padded = np.zeros((len(x), image.result_words * LANES), np.int64)
    padded[:, : scores.shape[1]] = scores
    streams[RESULT] = Expected(RESULT, padded, 8, lambda index: {"channel": index})
    addresses = LANES * np.arange(len(x) * image.result_words, dtype=np.int64).reshape(len(x), -1)
    streams["result_address"] = Expected("result_address", addresses, 32, lambda index: {"word": index})
    for name, value in (("status", _DONE), ("error", 0), ("images_done", len(x))):
        streams[name] = Expected(name, np.array([[value]], np.int64), 32, lambda _: {})
    macros: dict[str, str | int] = {
        "PARAMETERS": ",".join(f".{name}({value})" for name, value in parameters.items()),
        "PARAMETER_WORDS": len(image.words),
        "IMAGES": len(x),
        "IMAGE_WORDS": image.image_words,
        "RESULT_WORDS": image.result_words,
        "WATCHDOG": watchdog,
        "STALL": stall,
        "PARAMETER_FILE": '"parameters.hex"',
        "IMAGE_FILE": '"images.hex"',
    }
    return SimdFourStateBench(Path(__file__).with_name("four_state.v"), macros, streams, handshakes={}, shows=shows)


def _show(shape: tuple[int, ...], tap: str) -> _Show:
    return _Show(tap, shape[0] if len(shape) == 2 else 1, shape[-1])


def _lanes(word: str) -> list[str]:
    """The 16 values of a word, lane 0 first."""
    return [word[_WORD_BITS - 8 * (lane + 1) : _WORD_BITS - 8 * lane] for lane in range(LANES)]
