"""Co-simulation of a composed accelerator: made from the model, then simulated as its description has it."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from fxsim import temporary
from fxsim.devices.base import CycleLimit, Device, Synthesisable
from fxsim.devices.composed.blocks import blocks
from fxsim.devices.composed.files import composed_files, write_files
from fxsim.devices.composed.plan import DESCRIPTION, make_plan
from fxsim.devices.described.bind import Bound, bind
from fxsim.devices.described.device import FittedStreams
from fxsim.devices.settings import Setting, Settings
from fxsim.graph import Model
from fxsim.paths import rtl_dir
from fxsim.simulate import messages
from fxsim.simulate.sources import Sources

_UNPROVED = {
    **dict.fromkeys(
        (
            "axis_fifo",
            "axis_fork",
            "channel_argmax",
            "channel_concat",
            "few_linear",
            "few_product",
            "image_window",
            "threshold",
        ),
        "it is proved under every schedule at once, with --schedule all",
    ),
    "few_affine": "what it computes is scale_lane; the rest is a memory, whose contents are the model's",
    "few_matmul": "what it computes is few_dot_product; the whole is proved with --schedule all",
    "few_weighted_add": "what it computes is scale_lane; the rest is a memory, whose contents are the model's",
    "window_sum": "what it computes is window_sum_lane; the whole is proved with --schedule all",
}
"""Modules that no rule of a block is stated for, each with the reason."""
_INTERVAL_MAX = (1 << 31) - 1
_STILL = 1000


class ComposedSettings(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a composed accelerator.

    `interval`: the cycles between images that its streams are made for; `share_loops`: one set of modules for all
    steps of a loop, one after the other.
    """

    interval: Annotated[
        int | None,
        Setting(
            "--interval",
            "most cycles between images, for which streams get as many lanes as it takes",
            words="the most cycles between images, --interval,",
            unit="cycles",
            least=1,
            most=_INTERVAL_MAX,
            shown="one channel a beat",
            design=True,
        ),
    ] = None
    share_loops: Annotated[
        bool,
        Setting(
            "--share-loops",
            "one set of modules for all steps of a loop, which takes an image step by step",
            words="whether the steps of loops share modules, --share-loops,",
            design=True,
        ),
    ] = False


class FittedComposed(FittedStreams):
    """The composed accelerator of a model."""

    def __init__(self, model: Model, settings: ComposedSettings) -> None:
        plan = make_plan(model, settings.interval, settings.share_loops)

        def bind_in(rtl: Path | None) -> Bound:
            # All that is bound is read: nothing looks for the files again. Its folder is that of the modules.
            with temporary.folder("composed") as folder:
                write_files(composed_files(plan, rtl), folder)
                bound = bind(folder / DESCRIPTION, model)
            return replace(bound, sources=replace(bound.sources, folder=rtl or rtl_dir()))

        super().__init__(model, Path(DESCRIPTION), bind_in)
        self._settings = settings
        self.limit = CycleLimit(bound=plan.interval)
        self.watchdog = max(_STILL, 16 * plan.interval)
        self._plan = plan

    def keep_sources(self, rtl: Path | None, folder: Path) -> None:
        """Write all of the design, with the modules of the folder `rtl` where one is given, and its description."""
        folder.mkdir()
        write_files(composed_files(self._plan, rtl), folder)

    def synthesisable(self, rtl: Path | None = None) -> Synthesisable:
        """The design itself, module by module."""
        files = composed_files(self._plan, rtl)
        verilog = {name: text for name, text in files.items() if name.endswith(".v")}
        roms = {name: text for name, text in files.items() if name.endswith(".hex")}
        return Synthesisable("composed", {}, Sources(self.bound.sources.folder, dict(sorted(verilog.items()))), roms)

    def figures(self, found: messages.Found, images: int) -> None:  # noqa: ARG002  # it has none
        """None: no latency of it is to be found."""
        return

    def hold_together(self, figures: Mapping[int, object]) -> None:
        """It has no figures."""

    def pinned(self, images: int) -> ComposedSettings:  # type: ignore[override]  # noqa: ARG002  # none depends on them
        """The settings that it was made with."""
        return self._settings

    def kept_settings(self) -> None:
        """None: the settings of a run are those that repeat it."""
        return


def fit(model: Model, settings: ComposedSettings) -> FittedComposed:
    """The composed accelerator of a model; ModelError where there is no module for an operator, or no chain."""
    return FittedComposed(model, settings)


def write_design(model: Model, settings: ComposedSettings, rtl: Path | None, folder: Path) -> Path:
    """Write a design to `rtl/` of a folder, its ROM files into the folder itself; returns its description."""
    fitted = fit(model, settings)
    fitted.keep_sources(rtl, folder / "rtl")
    fitted.write_files(folder)
    return folder / "rtl" / DESCRIPTION


DEVICE = Device(
    name="composed",
    title="composed",
    about="any chain of convolutions, thresholds, scaling and attention of few bits, composed from the graph",
    fit=fit,
    settings=ComposedSettings,
    stalls=frozenset({"random", "burst", "wait", "gap", "reset"}),
    four_state=True,
    lanes=True,
    described=write_design,
    blocks=blocks,
    unproved=_UNPROVED,
    composes=True,
)
