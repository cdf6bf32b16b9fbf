"""Kind `rtl-fault`: a faulty copy of the RTL, in which the comparison must fail, at the expected tap first."""

from fxsim import temporary
from fxsim.compare import sentence
from fxsim.errors import FxsimError
from fxsim.paths import verilog_file
from fxsim.signoff.context import Context, Outcome
from fxsim.signoff.kind import Kind, Nothing
from fxsim.signoff.plan import Images, Name
from fxsim.signoff.record import Details, Figure
from fxsim.signoff.simulation import RtlCheck, copy_sources, note_sources, setup_of, simulate, take_images


class RtlFaultCheck(RtlCheck, frozen=True, tag="rtl-fault", kw_only=True):
    """A fault put into a copy of the RTL must be found, and first at tap `first_tap`: the comparison can fail.

    In `file` (a name in the folder of the Verilog, with or without the folders above it) the text `find`, which must
    stand there exactly once, is replaced by `replace`.
    """

    accelerator: Name | None = None
    images: Images
    file: str
    find: str
    replace: str
    first_tap: str


def run(check: RtlFaultCheck, context: Context, seed: int) -> Outcome:
    """A faulty copy of the RTL: the comparison must fail, at the expected tap first."""
    model = context.model(check.model)
    x = take_images(check.images, context.stimulus(check.stimulus, model, seed))
    setup = setup_of(check, check.accelerators[0])
    note_sources(check, model, context)
    with temporary.folder("fault") as folder:
        copy = folder / "rtl"
        copy_sources(setup, model, context, copy)
        path = verilog_file(copy, check.file)
        text = path.read_text(encoding="utf-8")
        if text.count(check.find) != 1:
            raise FxsimError(f"rtl/{check.file} has '{check.find}' {text.count(check.find)} times, expected once")
        path.write_text(text.replace(check.find, check.replace), encoding="utf-8")
        result = simulate(model, x, "none", context, setup, rtl=copy)
    first = result.verdict.first_mismatch
    reason = None
    if first is None:
        reason = f"the fault in {check.file} was not found in {result.verdict.images} images"
    elif first.tap != check.first_tap:
        reason = f"the fault in {check.file} was first seen at {first.tap}, expected {check.first_tap}"
    figures = (
        Figure("fault", f"{check.file}: '{check.find}' became '{check.replace}'"),
        Figure("values compared", sum(tap.compared for tap in result.streams.taps.values())),
        Figure("values that differ", result.streams.mismatches),
        Figure("first difference", "none" if first is None else sentence(first)),
        *([Figure("not looked at", ", ".join(result.streams.unprobed))] if result.streams.unprobed else []),
    )
    summary = f"fault in {check.file}: " + ("not found" if first is None else f"found at {sentence(first)}")
    return Outcome(summary, reason, Details(figures))


KIND = Kind(
    settings=RtlFaultCheck,
    about="a fault put into a copy of the RTL is found, first at `first_tap`: the comparison can fail",
    run=run,
    data=Nothing("values that a faulty design gives are of no use; figures name the first difference"),
    report=Nothing("its line in the table of checks says everything"),
)
