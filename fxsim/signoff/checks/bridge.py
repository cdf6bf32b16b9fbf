"""Kind `bridge`: an integer model against the quantised network it was exported from. It needs the extra `torch`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING

from fxsim.errors import FxsimError
from fxsim.signoff.comparison import DIFFERENCES, Comparison, TapFigures, only_reported
from fxsim.signoff.context import Context, Outcome, SkipCheck
from fxsim.signoff.kind import Kind, Picture, Topic
from fxsim.signoff.plan import Check, Images, Name
from fxsim.signoff.record import Details, Figure
from fxsim.signoff.report.style import ACCENT, new_canvas, shorten

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas


class BridgeCheck(Check, frozen=True, tag="bridge", kw_only=True):
    """A model equals the quantised network in `checkpoint` by the contract's rules, on the test pictures of its data.

    Float fake-quant's differences from it are reported by cause, and none may be unexplained. Skipped without torch.
    `data_path` is the data set's folder, where it needs one. `images`: the first so many pictures; by default all.
    """

    model: Name
    checkpoint: str
    data_path: str | None = None
    images: Images | None = None


def run(check: BridgeCheck, context: Context, _seed: int) -> Outcome:
    """The network by the contract's rules equals the model, and float fake-quant's differences are accounted for."""
    if find_spec("torch") is None or find_spec("sklearn") is None:
        raise SkipCheck("the extra 'torch' is not installed, so that quantised networks cannot be computed")
    # Only here: no other check needs torch.
    from fxsim.bridge.run import bridge

    file = context.plan.models[check.model].file
    if file is None:
        raise FxsimError(f"model '{check.model}' is not a file, expected the model file that a network was exported to")
    context.model(check.model)  # its hash goes into the record
    data_path = None if check.data_path is None else context.path(check.data_path)
    checkpoint, model = context.path(check.checkpoint), context.path(file)
    found = bridge(checkpoint, data_path=data_path, model_path=model, images=check.images, progress=context.progress)
    context.hashes[f"checkpoint {check.model}"] = found.checkpoint_sha256
    contract = found.contract
    figures = [
        Figure("test pictures", found.images),
        Figure("parameters compared", contract.parameters),
        Figure("values compared", contract.compared),
        Figure("values that differ by the contract", sum(tap.differ for tap in contract.taps)),
    ]
    comparisons = [
        Comparison(
            f"{check.model}: network by the contract against integer model",
            True,
            tuple(TapFigures(tap.tap, tap.compared, tap.differ, tap.largest) for tap in contract.taps),
        )
    ]
    problems = []
    if contract.first is not None:
        problems.append(contract.first.sentence)
    for entry in contract.parameter_differences[:1]:
        place = ", ".join(map(str, entry.index))
        problems.append(f"{entry.tensor}[{place}]: the network has {entry.expected}, the model {entry.found}")
    if not contract.equal and not problems:
        problems.append(f"{contract.compared:,} values and {contract.parameters:,} parameters were compared, not all")
    if found.float_mode is not None:
        taps = found.float_mode.taps
        comparisons.append(
            Comparison(
                f"{check.model}: float fake-quant against integer model",
                False,
                tuple(TapFigures(tap.tap, tap.compared, tap.differ, tap.largest) for tap in taps),
            )
        )
        figures += [
            Figure(f"float fake-quant differs: {cause}", count) for cause, count in found.float_mode.causes.items()
        ]
        figures += [
            Figure(f"pictures classified rightly: {variant.name}", variant.correct)
            for variant in found.float_mode.variants
            if variant.correct is not None
        ]
        if found.float_mode.unexplained:
            problems.append(f"differences of float fake-quant that are unexplained: {found.float_mode.unexplained:,}")
    summary = f"{contract.compared:,} values of {found.images} pictures equal, float fake-quant accounted for"
    details = Details(figures, comparisons)
    if problems:
        return Outcome(f"{len(problems)} problem(s)", "; ".join(problems), details)
    return Outcome(summary, None, details)


def _shares(comparisons: Sequence[Comparison]) -> Canvas:
    rows = -(-len(comparisons) // 2)
    canvas = new_canvas(0.4 + 1.5 * rows, layout="constrained")
    panels = canvas.subplots(rows, 2, squeeze=False, sharey=True).flatten()
    for panel, comparison in zip(panels, comparisons, strict=False):
        shares = [100 * row.mismatches / row.compared for row in comparison.taps]
        panel.bar(range(len(shares)), shares, width=0.8, color=ACCENT)
        # Too many taps to name each: where the blocks end says enough.
        ends = [place for place, row in enumerate(comparison.taps) if row.tap.endswith("mlp.add")]
        panel.set_xticks(ends, [f"block {number}" for number in range(len(ends))], fontsize=7)
        panel.set_title(shorten(comparison.title.partition(":")[0]), loc="left", fontsize=8)
        panel.grid(axis="y")
    for panel in panels[len(comparisons) :]:
        panel.set_visible(False)
    for panel in panels[::2]:
        panel.set_ylabel("differ, %", fontsize=8)
    return canvas


KIND = Kind(
    settings=BridgeCheck,
    about="the quantised network, computed by the contract's rules, gives the model's every value on test pictures",
    run=run,
    data=(Comparison,),
    report=(
        Picture(
            "Float fake-quant against the golden models",
            "Share of a tap's values that the customary fake-quant of training gives otherwise than the integer model.",
            only_reported,
            _shares,
            topic=Topic.AGREEMENT,
        ),
        DIFFERENCES,
    ),
)
