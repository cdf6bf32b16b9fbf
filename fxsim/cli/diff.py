"""`fxsim diff`: where a trace differs from a model, and the rule that makes it so."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from fxsim.cli.between import between_options, between_words, check_alone, compare_contracts, write_telling
from fxsim.cli.console import json_option, print_json, print_table, progress, refuse_overwriting, say
from fxsim.errors import ComparisonError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fxsim.contract.arithmetic import Integers
    from fxsim.explain import Diff, Fault, Located
    from fxsim.explain.applied import Impact
    from fxsim.graph import Model


@click.command("diff")
@click.argument("model", type=click.Path(path_type=Path), required=False)
@click.option(
    "--input", "stimulus", metavar="X", type=click.Path(path_type=Path),
    help="Images: .npy, or .npz with an array 'input'.",
)  # fmt: skip
@click.option("--trace", metavar="FILE", type=click.Path(path_type=Path), help="What came instead.")
@click.option("--map", "map_file", metavar="FILE", type=click.Path(path_type=Path), help="Map of --trace, TOML.")
@click.option("--page", metavar="FILE.html", type=click.Path(path_type=Path), help="Write a page that shows it.")
@click.option(
    "--shrink",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write the least case of a fault there.",
)
@click.option("--fault", "chosen", metavar="TAP", help="The fault to shrink.  [default: the first]")
@click.option(
    "--impact", metavar="FILE", type=click.Path(path_type=Path),
    help="Other images, as --input, with an array 'labels' or without: what the rules do to results there.",
)  # fmt: skip
@between_options
@click.option(
    "-o", "--output", metavar="DIR", type=click.Path(path_type=Path), help="Write the input that tells apart."
)
@json_option
def command(
    model: Path | None,
    stimulus: Path | None,
    trace: Path | None,
    map_file: Path | None,
    page: Path | None,
    shrink: Path | None,
    chosen: str | None,
    impact: Path | None,
    output: Path | None,
    as_json: bool,
    **contracts: Any,
) -> None:
    """Say where a trace of MODEL differs from it, and why; or where two contracts differ.

    MODEL alone may be a folder that `fxsim cosim --keep` left of a run that failed: the trace is what its RTL gave.

    The trace is any that `fxsim compare` reads, of as many images as X, with any of the model's taps. Each tap is
    computed again from what the trace itself has before it: what follows from wrong inputs is inherited, what does not
    is a fault of its own. A fault's cause is the rule that makes every value of it. Exit status is 0 only where every
    value is equal.

    With --between A B no trace is read: either an input on which two named contracts differ is given, or the proof that
    there is none, and then alone the status is 0.
    """
    from msgspec import to_builtins

    from fxsim.cli.images_of import read_images
    from fxsim.explain.minimal import refuse_existing
    from fxsim.explain.run import diff_located
    from fxsim.explain.telling import Teller
    from fxsim.formats import load
    from fxsim.traces import open_trace
    from fxsim.traces.kept import read_kept

    if check_alone(model, (stimulus, trace, map_file, page, shrink, chosen, impact), contracts):
        if not compare_contracts(model, contracts, output, as_json):
            raise SystemExit(1)
        return
    assert model is not None
    numbers: tuple[int, ...] = ()
    kept: Path | None = None
    if chosen is not None and shrink is None:
        raise click.UsageError("--fault says which is shrunk, and needs --shrink")
    if page is not None:
        refuse_overwriting(page, [path for path in (model, stimulus, trace, map_file, impact) if path is not None])
    if shrink is not None:
        refuse_existing(shrink)
    if model.is_dir() and stimulus is None and trace is None and map_file is None:
        kept = model
        model, stimulus, trace, numbers = read_kept(model)
    if stimulus is None or trace is None:
        raise click.UsageError("expected --input and --trace, or the folder of a co-simulation that failed alone")
    loaded = load(model)
    x = read_images(stimulus, loaded)
    source = open_trace(trace, map_file, loaded, x)
    values = source.values(slice(0, len(x)), source.taps)
    teller = Teller()
    with progress("faults") as report:
        found, located = diff_located(loaded, x, values, progress=report, teller=teller)
    if output is not None:
        write_telling(output, teller)
    if as_json:
        effect = None if impact is None or found.equal else _impact(impact, located, found)
        print_json(to_builtins(found) | {"unused": source.unused, "numbers": numbers, "impact": effect})
    else:
        if numbers != tuple(range(len(numbers))):
            say(f"the images are {', '.join(map(str, numbers))} of the co-simulation")
        _print(found, source.unused, located, output is not None)
        if impact is not None and not found.equal:
            _print_impact(_impact(impact, located, found))
    if page is not None:
        from fxsim.explain.page import write_page

        write_page(found, located, page, teller)
    if shrink is not None:
        _shrink(shrink, loaded, x, values, _fault(found, chosen), kept)
    if not found.equal:
        raise SystemExit(1)


def _fault(found: "Diff", chosen: str | None) -> "Fault":
    """The fault that was chosen, or the first; ComparisonError where there is none."""
    for fault in found.faults:
        if chosen in (None, fault.tap):
            return fault
    there = ", ".join(fault.tap for fault in found.faults) or "none"
    place = "" if chosen is None else f" at '{chosen}'"
    raise ComparisonError(f"there is no fault of its own{place} to shrink; there are: {there}")


def _impact(path: Path, located: "Located", found: "Diff") -> "Impact":
    from fxsim.cli.images_of import read_images
    from fxsim.explain.applied import impact
    from fxsim.formats.npy import read_archive

    labels = read_archive(path).get("labels") if path.suffix.lower() == ".npz" else None
    return impact(located, found.faults, read_images(path, located.model), labels)


def _print_impact(effect: "Impact") -> None:
    say(f"by {', '.join(effect.applied)}, on {effect.images:,} images:")
    say(f"  top-1 is another in {effect.top1_changed:,} ({effect.top1_changed / effect.images:.2%})")
    if effect.right is not None and effect.right_by_rule is not None:
        say(f"  right: {effect.right:,} become {effect.right_by_rule:,}")
    say(
        f"  {effect.values_differing:,} of {effect.values:,} outputs differ, by {effect.largest:,} at most, "
        f"{effect.mean:.3f} on average"
    )
    if effect.left_out:
        say(f"  not applied, since no rule for other images: {', '.join(effect.left_out)}")


def _shrink(
    folder: Path, model: "Model", x: "Integers", values: "Mapping[str, Any]", fault: "Fault", kept: Path | None
) -> None:
    from fxsim.explain.minimal import write_minimal
    from fxsim.explain.shrink import shrink

    with progress("searches") as report:
        least = shrink(model, x, values, fault, report)
    write_minimal(folder, least, fault, kept)
    say(f"{folder}: the least case of {fault.label} at {fault.tap}; fxsim diff {shlex.quote(str(folder))}", err=True)


def _print(found: "Diff", unused: tuple[str, ...], located: "Located", written: bool) -> None:
    from fxsim.compare import sentence
    from fxsim.explain.result import told
    from fxsim.explain.steps import hidden_steps, steps_of

    rows = [(t.tap, t.differ, t.inherited, t.local, t.unknown) for t in found.taps if t.differ]
    if rows:
        print_table(
            f"{found.model}: {found.images:,} images, taps that differ",
            ("tap", "differ", "inherited", "of its own", "unknown"),
            rows,
        )
    for fault in found.faults:
        say("")
        say(_words(fault))
        if fault.first is not None:
            say(f"  first: {sentence(fault.first, expected='its inputs make', got='came')}")
        for step in steps_of(located, fault.tap):
            say(f"    {step.name}: {step.text}")
        if (hidden := hidden_steps(located, fault)) is not None:
            say(f"  behind it: {sentence(hidden.first, expected='its inputs make', got='the rule makes')}")
            for step in hidden.steps:
                say(f"    {step.name}: {step.text}")
        fits = "fits as well"
        if not fault.exact and fault.others:
            fits = "makes all, which are so few that it may be chance"
        for other in fault.others:
            say(f"  {fits}: {other.label} at {other.node} {_said(other.parameters)}".rstrip())
        for telling in fault.telling:
            unwritten = " (-o DIR writes it)" if telling.files and not written else ""
            say(f"  {told(telling)}{unwritten}")
        for partial in fault.partial:
            spoiled = f", and makes {partial.spoiled:,} right ones wrong" if partial.spoiled else ""
            say(
                f"  explains {partial.values_explained:,} of them{spoiled}: {partial.label} {_said(partial.parameters)}"
            )
    if found.contracts and not found.equal:
        say(f"every value is made by the arithmetic of: {', '.join(found.contracts)}")
    for between in found.contracts_telling:
        say(f"  {between_words(between)}")
    if found.mixed:
        say(
            "every value is the model's, so that the wrong ones before were not used (a tap that is wrong, or a trace "
            f"of several runs): {', '.join(found.mixed)}"
        )
    if found.not_compared:
        say(f"not in the trace: {', '.join(found.not_compared)}")
    if unused:
        say(f"in the trace, and no tap of the model: {', '.join(unused)}")
    verdict = "equal" if found.equal else f"differs, {len(found.faults)} fault{'s' if len(found.faults) != 1 else ''}"
    say(f"{found.model}: {verdict}")


def _words(fault: "Fault") -> str:
    where = "" if fault.node == fault.tap else f" (at {fault.node}, which the trace does not have)"
    cause = f"{fault.label} {_said(fault.parameters)}".rstrip()
    # Of two rules the parameters are by label and node: each says where it is.
    two = {name: of for name, of in fault.parameters.items() if " at " in name and isinstance(of, dict)}
    if len(two) > 1:
        where, cause = "", " and ".join(f"{name} {_said(of)}".rstrip() for name, of in two.items())
    return f"{fault.tap}{where}: {cause}; {fault.values_differing:,} of {fault.values:,} values"


def _said(parameters: dict[str, object]) -> str:
    shown = {k: v for k, v in parameters.items() if not isinstance(v, list) or len(v) <= 8}
    return ", ".join(f"{k} {v}" for k, v in shown.items())
