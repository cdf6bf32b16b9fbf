"""The record of a bridge: everything that is known of it, and all that its page and pictures are drawn from."""

from typing import Literal

from msgspec import Struct

from fxsim.compare import Difference, place, sentence
from fxsim.networks.quantised import Kind

CARRIED = "carried over"
"""Cause of a difference at whose tap nothing differs but the inputs."""

UNEXPLAINED = "unexplained"
"""Cause of a difference that no rule accounts for, or that its exact value contradicts: a fault in fxsim or torch."""


class _Record(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


def _index(token: int | None, channel: int | None) -> dict[str, int]:
    """A place in a tensor by axis."""
    return {axis: i for axis, i in (("token", token), ("channel", channel)) if i is not None}


class ParameterDifference(_Record, frozen=True):
    """An entry of a model's tensor that is not the network's.

    `index`: of a table [channel, point]; of a linear's weight [output, input]; of anything else [channel].
    """

    tensor: str
    index: tuple[int, ...]
    expected: int
    found: int


class TapEquality(_Record, frozen=True):
    """Values of a tap that were compared, of all its `values`, how many differed, and the largest |difference|.

    Both give whole numbers; a difference that is none is rounded up.
    """

    tap: str
    compared: int
    differ: int
    largest: int
    values: int = 0


class FirstDifference(_Record, frozen=True):
    """The first tap with a difference in the first image with any. `token` is None behind the pool.

    `index` has the place by axis, also where there are rows and columns.
    """

    image: int
    tap: str
    token: int | None
    channel: int | None
    network: int | float
    model: int | float
    index: dict[str, int] = {}

    @property
    def sentence(self) -> str:
        """The difference in words."""
        index = self.index or _index(self.token, self.channel)
        difference = Difference(image=self.image, tap=self.tap, index=index, expected=self.network, got=self.model)
        return sentence(difference, tap=self.tap, expected="the network has", got="the model")


class Contract(_Record, frozen=True):
    """The network by the contract's rules against the integer model: parameters, then every value of every tap.

    `parameters` were compared and `parameters_differ` differed; `parameter_differences` lists the first of them.
    """

    parameters: int
    parameters_differ: int
    parameter_differences: tuple[ParameterDifference, ...]
    taps: tuple[TapEquality, ...]
    first: FirstDifference | None

    @property
    def equal(self) -> bool:
        """Whether every parameter and every value of every tap was compared, and nothing at all differed."""
        full = self.parameters > 0 and all(tap.compared == tap.values > 0 for tap in self.taps) and len(self.taps) > 0
        return full and self.parameters_differ == 0 and self.first is None

    @property
    def compared(self) -> int:
        """Values compared at all taps."""
        return sum(tap.compared for tap in self.taps)


class TapDifferences(_Record, frozen=True):
    """Float fake-quant against the integer model at one tap.

    `differ` of `compared` values differ; `histogram` counts them by (float code - integer code). Each is one of
    `carried` or of `causes`, which has the local ones by cause. `cancelled`: values equal although the operator itself
    differs, because its inputs differ too. `several`: local ones that more than one rule alone explains; they are
    counted under the first. `on_tie`: those of float32 sums whose exact value is a tie.
    """

    tap: str
    kind: Kind
    compared: int
    differ: int
    largest: int
    histogram: dict[int, int]
    causes: dict[str, int]
    carried: int
    cancelled: int
    several: int
    on_tie: int

    @property
    def local(self) -> int:
        """Differences that begin at this tap."""
        return sum(self.causes.values())


class Example(_Record, frozen=True):
    """One difference. `exact`: the integer model's value before rounding, in output codes, as a fraction.

    On the integer model's inputs, float fake-quant's operator has `float32` before rounding, in output codes, and gives
    `local_code`; `float_code` is what float fake-quant has there end to end. `index` has the place by axis, also where
    there are rows and columns.
    """

    cause: str
    image: int
    tap: str
    token: int | None
    channel: int
    exact: str
    float32: float
    integer_code: int
    local_code: int
    float_code: int
    text: str
    index: dict[str, int] = {}

    @property
    def place(self) -> str:
        """Words for where it is."""
        return place(self.image, self.index or _index(self.token, self.channel), self.tap)


class Beginning(_Record, frozen=True):
    """Number of images whose first difference is at this tap."""

    tap: str
    images: int


class Variant(_Record, frozen=True):
    """Predictions of the network in one arithmetic: how many are not the integer model's, not float fake-quant's.

    `correct` is None where there are no labels.
    """

    name: str
    changed: int
    changed_from_float: int
    correct: int | None


class FloatMode(_Record, frozen=True):
    """Float fake-quant against the integer model. `unaffected`: images without any difference."""

    taps: tuple[TapDifferences, ...]
    beginnings: tuple[Beginning, ...]
    unaffected: int
    variants: tuple[Variant, ...]
    examples: tuple[Example, ...]

    @property
    def causes(self) -> dict[str, int]:
        """Differences of all taps by cause, those carried over last; the most frequent first."""
        total: dict[str, int] = {}
        for tap in self.taps:
            for cause, count in tap.causes.items():
                total[cause] = total.get(cause, 0) + count
        ordered = dict(sorted(total.items(), key=lambda item: -item[1]))
        carried = sum(tap.carried for tap in self.taps)
        return ordered | ({CARRIED: carried} if carried else {})

    @property
    def unexplained(self) -> int:
        """Differences that nothing accounts for."""
        return sum(tap.causes.get(UNEXPLAINED, 0) for tap in self.taps)


class BridgeRecord(_Record, frozen=True):
    """Everything that was found. The same files on the same versions, batch and threads give the same record.

    `batch` and `threads` are stated because the order of float32 sums may depend on them. `float_mode` is None where
    the contract did not hold: differences from another model have no causes.
    """

    format: Literal["fxsim.bridge"]
    version: Literal[1]
    fxsim_version: str
    torch_version: str
    name: str
    checkpoint_sha256: str
    model_sha256: str
    data: str
    data_sha256: str
    images: int
    batch: int
    threads: int
    engine: str
    contract: Contract
    float_mode: FloatMode | None

    @property
    def passed(self) -> bool:
        """Whether the contract held and every difference of float fake-quant is accounted for."""
        return self.contract.equal and self.float_mode is not None and self.float_mode.unexplained == 0
