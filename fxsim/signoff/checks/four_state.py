"""Kind `four-state`: the RTL in a simulator in which values can be unknown; none of them may be."""

from collections.abc import Iterator

from fxsim.cosim.four_state import four_state
from fxsim.devices import DEFAULT, DESCRIBED, DEVICES
from fxsim.errors import StimulusError
from fxsim.signoff.context import Context, Outcome
from fxsim.signoff.kind import Kind, Nothing
from fxsim.signoff.plan import Check, Images, Name
from fxsim.signoff.record import Details, Figure
from fxsim.signoff.simulation import Setup, note_files, take_images


class FourStateCheck(Check, frozen=True, tag="four-state", kw_only=True):
    """The RTL gives the model's values at every tap, from power-on, and none of them is unknown (X or Z).

    `dut`: the description of a design, which is then what is simulated; `rtl`: a folder of Verilog in place of the
    accelerator's own. Both are relative to the plan's folder.
    """

    model: Name
    stimulus: Name
    images: Images
    accelerator: Name | None = None
    dut: str | None = None
    rtl: str | None = None

    @property
    def setup(self) -> Setup:
        """The accelerator that is simulated."""
        name = self.accelerator or (DEFAULT if self.dut is None else DESCRIBED)
        return Setup(name, {} if self.dut is None else {"dut": self.dut}, self.rtl)

    @property
    def setups(self) -> tuple[Setup, ...]:
        """The accelerator, alone."""
        return (self.setup,)

    def problems(self) -> Iterator[str]:
        """The accelerator must be one that can be simulated so, and take a description where there is one."""
        able = [name for name in DEVICES if DEVICES[name].four_state]
        if self.setup.accelerator not in able:
            yield f"names accelerator '{self.accelerator}', expected of: {', '.join(able)}"
            return
        try:
            self.setup.check()
        except StimulusError as error:
            yield str(error)


def run(check: FourStateCheck, context: Context, seed: int) -> Outcome:
    """The images in a simulator of four states, without stalls and with."""
    model = context.model(check.model)
    x = take_images(check.images, context.stimulus(check.stimulus, model, seed))
    setup = check.setup
    settings, rtl = setup.found(context)
    note_files(setup, settings, context)
    result = four_state(model, x, accel=setup.accelerator, settings=settings, images=(0, len(x)), rtl=rtl)
    context.note_hash(setup.rtl_of(model), result.rtl_sha256)
    note_files(setup, settings, context)
    compared = sum(tap.compared for run in result.runs for tap in run.taps)
    figures = (
        Figure("values compared", compared),
        Figure("values unknown", result.unknown_values),
        Figure("values that differ", sum(tap.differ for run in result.runs for tap in run.taps)),
        Figure("cycles", sum(run.cycles for run in result.runs)),
        *([Figure("not looked at", ", ".join(result.unprobed))] if result.unprobed else []),
        Figure("simulator", result.simulator),
    )
    summary = f"{compared:,} values known and equal in {len(result.runs)} runs of {result.images} images"
    summary += f"; not looked at: {', '.join(result.unprobed)}" if result.unprobed else ""
    return Outcome(summary if result.passed else str(result.reason), result.reason, Details(figures))


KIND = Kind(
    settings=FourStateCheck,
    about="in a simulator of four states the RTL equals the model at every tap, and no value is unknown",
    run=run,
    data=Nothing("values are those of the model; figures name the first that is not"),
    report=Nothing("its line in the table of checks says everything"),
)
