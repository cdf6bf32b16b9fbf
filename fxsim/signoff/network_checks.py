"""Checks of integer models against the quantised networks they were exported from. They need the extra `torch`."""

from importlib.util import find_spec

from fxsim.errors import FxsimError
from fxsim.signoff.context import Context, Outcome, SkipCheck
from fxsim.signoff.plan import BridgeCheck
from fxsim.signoff.record import Comparison, Details, Figure, TapFigures


def bridge(check: BridgeCheck, context: Context, _seed: int) -> Outcome:
    """The network by the contract's rules equals the model, and float fake-quant's differences are accounted for."""
    if find_spec("torch") is None or find_spec("sklearn") is None:
        raise SkipCheck("the extra 'torch' is not installed, so that quantised networks cannot be computed")
    # Only here: no other check needs torch.
    from fxsim.bridge.run import bridge as compare

    file = context.plan.models[check.model].file
    if file is None:
        raise FxsimError(f"model '{check.model}' is not a file, expected the model file that a network was exported to")
    context.model(check.model)  # its hash goes into the record
    data_path = None if check.data_path is None else context.path(check.data_path)
    checkpoint, model = context.path(check.checkpoint), context.path(file)
    found = compare(checkpoint, data_path=data_path, model_path=model, progress=context.progress)
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
        first = contract.first
        token = "" if first.token is None else f", token {first.token}"
        problems.append(
            f"image {first.image}, tap {first.tap}{token}, channel {first.channel}: "
            f"the network gives {first.network}, the model {first.model}"
        )
    for entry in contract.parameter_differences[:1]:
        place = ", ".join(map(str, entry.index))
        problems.append(f"{entry.tensor}[{place}]: the network has {entry.expected}, the model {entry.found}")
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
    details = Details(figures=tuple(figures), comparisons=tuple(comparisons))
    if problems:
        return Outcome(f"{len(problems)} problem(s)", "; ".join(problems), details)
    return Outcome(summary, None, details)
