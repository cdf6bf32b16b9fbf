"""The result of a sweep: what stands in JSON."""

from typing import Any

from msgspec import Struct


class Outcome(Struct, frozen=True, kw_only=True):
    """The answers of a changed model, beside those of the model by the contract, on the same images.

    `top1_changed`: images whose greatest output is another (the first of equal ones counts). `largest`, `mean`: of the
    outputs' absolute differences, over all outputs of all images. With labels `right` images are answered rightly, and
    `lost` is the share of images by which that is fewer than by the contract, negative for a gain; None without.
    """

    top1_changed: int
    largest: int
    mean: float
    right: int | None = None
    lost: float | None = None


class Effect(Struct, frozen=True, kw_only=True):
    """A change at one node.

    `only`: the contract everywhere but here, where the change is made. `but`: the change made at every node that it
    applies to but here, where the contract is. `recovered`: the share of images that the contract here wins back,
    answered rightly by `but` and not with the change everywhere; negative for a loss, None without labels. Of what
    cannot be computed the outcomes are None, and `left_out` says why.
    """

    node: str
    operator: str
    group: str
    label: str
    parameters: dict[str, Any]
    only: Outcome | None = None
    but: Outcome | None = None
    recovered: float | None = None
    left_out: str = ""


class Everywhere(Struct, frozen=True, kw_only=True):
    """A change made at once at all nodes that it applies to, `nodes`; None with `left_out` where it cannot be."""

    group: str
    label: str
    parameters: dict[str, Any]
    nodes: tuple[str, ...]
    outcome: Outcome | None = None
    left_out: str = ""


class TapRange(Struct, frozen=True, kw_only=True):
    """The values of one tensor by the contract: least and greatest, and how many are its format's own ends.

    A value at an end may have been limited, or just be that.
    """

    tap: str
    number: str
    values: int
    least: int
    greatest: int
    at_low: int
    at_high: int


class Sensitivity(Struct, frozen=True, kw_only=True):
    """The sweep of a model on `images` images, of which it answers `right` by the contract (None without labels).

    `effects`: the worst first, by what `only` loses, then by images whose answer changes, then by the outputs' mean
    change; `everywhere`: the same of changes made at all nodes at once; `taps`: the input first.
    """

    model: str
    images: int
    right: int | None
    effects: tuple[Effect, ...]
    everywhere: tuple[Everywhere, ...]
    taps: tuple[TapRange, ...]
    seconds: float
