"""Checks of Verilog that is read and not simulated: accelerators, or a described design, each with several models."""

from collections.abc import Iterator, Mapping
from typing import Annotated

from msgspec import Meta, field

from fxsim.devices import DEFAULT, DESCRIBED, DEVICES
from fxsim.signoff.context import Context
from fxsim.signoff.plan import Check, Name, Names
from fxsim.signoff.simulation import Setup, note_sources
from fxsim.synthesis import Area, measure_area


class DesignsCheck(Check, frozen=True, kw_only=True):
    """Settings of the checks that read the Verilog of designs with models.

    `dut`: a description, whose design is meant in place of accelerators. `rtl`: a folder of Verilog in place of the
    accelerators' own. Both are relative to the plan.
    """

    models: Names
    accelerators: Names = (DEFAULT,)
    dut: str | None = None
    rtl: str | None = None

    @property
    def setups(self) -> tuple[Setup, ...]:
        """The accelerators, or the described design."""
        if self.dut is not None:
            return (Setup(DESCRIBED, {"dut": self.dut}),)
        return tuple(Setup(name, rtl=self.rtl) for name in self.accelerators)

    def problems(self) -> Iterator[str]:
        """Each accelerator must be there, once; a description has no Verilog in its place."""
        for name in sorted({name for name in self.accelerators if self.accelerators.count(name) > 1}):
            yield f"names accelerator '{name}' more than once"
        for name in self.accelerators:
            if name not in DEVICES:
                yield f"names accelerator '{name}', expected of: {', '.join(DEVICES)}"
        if self.dut is not None and (self.rtl is not None or self.accelerators != (DEFAULT,)):
            yield "has a dut beside rtl or accelerators, expected the one or the other"


class SynthesisCheck(DesignsCheck, frozen=True, kw_only=True):
    """Settings of the checks that synthesise designs.

    `parameters`: of each accelerator's top, by name, in place of those that the model decides.
    """

    parameters: dict[Name, Annotated[int, Meta(ge=-(2**31), lt=2**31)]] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        """A description states the parameters of its design."""
        yield from super().problems()
        if self.dut is not None and self.parameters:
            yield "has parameters beside a dut, which states its design's own"

    def named(self, area: Area) -> str:
        """A design by its top, and by the parameters that it has in place of the model's."""
        return " ".join((area.design, *(f"{name}={value}" for name, value in sorted(self.parameters.items()))))


def synthesise(
    check: DesignsCheck,
    model: str,
    setup: Setup,
    device: str,
    context: Context,
    without: tuple[str, ...] = (),
    parameters: Mapping[str, int] | None = None,
) -> Area:
    """The area of one of a check's designs with a model of the plan's; the hash of its Verilog is kept."""
    loaded = context.model(model)
    note_sources(check, loaded, context)
    settings, rtl = setup.found(context)
    context.status(f"synthesis of {setup.accelerator} with {model}")
    return measure_area(
        loaded,
        setup.accelerator,
        settings=settings,
        parameters=parameters,
        device=device,
        rtl=rtl,
        without=without,
        progress=context.progress,
    )
