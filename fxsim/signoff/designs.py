"""Checks of Verilog that is read and not simulated: accelerators, or a described design, each with several models."""

from collections.abc import Iterator

from fxsim.devices import DEFAULT, DESCRIBED, DEVICES
from fxsim.signoff.context import Context
from fxsim.signoff.plan import Check, Names
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


def synthesise(
    check: DesignsCheck, model: str, setup: Setup, device: str, context: Context, without: tuple[str, ...] = ()
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
        device=device,
        rtl=rtl,
        without=without,
        progress=context.progress,
    )
