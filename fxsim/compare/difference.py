"""One value that differs: where it stands, and the words that say so."""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import force_setattr


class Difference(Struct, frozen=True, kw_only=True):
    """One value that is not the expected one. `index` has its place in the tap's tensor by axis, in the order of axes.

    `tap` is a tap's name, or that of the output of a device; `carries` is then the tap whose values it carries. `got`
    is the value that was found, or the text that stands where a value should be. `cycle` is null where nothing is
    clocked. `token` and `channel` repeat `index`, null where the tensor has no such axis.
    """

    image: int
    tap: str
    token: int | None = None
    channel: int | None = None
    expected: int | float
    got: int | float | str
    cycle: int | None = None
    index: dict[str, int]
    carries: str | None = None

    def __post_init__(self) -> None:
        """Take `token` and `channel` from `index`, whatever was given for them."""
        force_setattr(self, "token", self.index.get("token"))
        force_setattr(self, "channel", self.index.get("channel"))


def place(image: int, index: Mapping[str, int], tap: str = "") -> str:
    """Words for the place of a value: image, tap, and its index by axis; without the tap where `tap` is empty."""
    parts = [f"image {image}", tap, *(f"{axis} {i}" for axis, i in index.items())]
    return ", ".join(part for part in parts if part)


def named(tap: str, carries: str | None = None) -> str:
    """Words for a tap: its name, and where it is an output of a device that carries it, the output's, too."""
    return f"tap {tap}" if carries is None else f"tap {carries} at {tap}"


def sentence(difference: Difference, *, tap: str | None = None, expected: str = "expected", got: str = "got") -> str:
    """The sentence that states a difference: `image 0, tap embed, token 1, channel 2: expected 3, got 4 (cycle 56)`.

    `tap` replaces the words `tap NAME` (empty: left out), `expected` and `got` the words before the two values. The
    cycle is left out where there is none.
    """
    words = named(difference.tap, difference.carries) if tap is None else tap
    where = place(difference.image, difference.index, words)
    when = "" if difference.cycle is None else f" (cycle {difference.cycle:,})"
    return f"{where}: {expected} {difference.expected}, {got} {difference.got}{when}"
