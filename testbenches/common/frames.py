"""Framing: images of one length out of whatever tlast says, and stimuli with every way of getting it wrong."""

import numpy as np

Frame = list[int]
"""Beats up to and including one with tlast."""

KINDS = ("good", "early", "late", "merged")


def frames(rng: np.random.Generator, length: int, kinds: list[str], lanes: int = 1) -> list[Frame]:
    """Random frames: of `length` beats of so many bytes, shorter, longer, or two with no tlast between them.

    No frame is shorter than one beat: at that length `early` is `good`.
    """
    sizes = {
        "good": lambda: length,
        "early": lambda: int(rng.integers(1, max(length, 2))),
        "late": lambda: length + int(rng.integers(1, length + 3)),
        "merged": lambda: 2 * length,
    }
    return [rng.integers(0, 256**lanes, sizes[kind]()).tolist() for kind in kinds]


def with_last(sent: list[Frame]) -> list[tuple[int, int]]:
    """Frames as beats of (tdata, tlast)."""
    return [(value, int(k == len(frame) - 1)) for frame in sent for k, value in enumerate(frame)]


def repaired(sent: list[Frame], length: int) -> list[tuple[Frame, int]]:
    """What each frame becomes: an image of `length` beats, cut or padded with zeros, and whether it was bad."""
    return [((frame + [0] * length)[:length], int(len(frame) != length)) for frame in sent]
