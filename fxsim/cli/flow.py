"""`fxsim flow`: a whole recipe, from data to an evaluated integer model and, where asked for, its sign-off."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxsim.cli.console import device_option, print_json, print_table, progress, say

if TYPE_CHECKING:
    from fxsim.training.flow import FlowResult
    from fxsim.training.recipe import Recipe

_STIMULUS = "test_images.npy"
_PLAN = "signoff.toml"
_EVALUATION = "an evaluation"
_EVALUATION_BYTES_MAX = 64 << 20
_IMAGES = 32
"""Test pictures that the engines compute; the RTL, in simulation, the first few of them."""
_RTL_IMAGES = 4


@click.command("flow")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", metavar="DIR", type=click.Path(path_type=Path, file_okay=False),
    help="Folder for the results; the teacher's goes beside it.  [default: runs/NAME]",
)  # fmt: skip
@click.option("--data-path", metavar="DIR", type=click.Path(path_type=Path), help="Where the data lies.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="In place of the recipe's.")
@device_option
@click.option("--signoff", is_flag=True, help="Then sign the model off against the RTL on test pictures.")
@click.option("--json", "as_json", is_flag=True, help="Print what there is and its accuracies as one JSON object.")
def command(
    recipe: Path,
    output: Path | None,
    data_path: Path | None,
    seed: int | None,
    device: str,
    signoff: bool,
    as_json: bool,
) -> None:
    """Carry out RECIPE: teacher, student, quantised network, integer model, evaluation.

    RECIPE is a TOML file; docs/training.md explains every entry. What is in DIR already and depends on nothing that
    changed is used again. After Ctrl-C the same command goes on where it stopped, and the results are the same.

    Exit status: 0, or 1 where --signoff found a difference.
    """
    if signoff and as_json:
        raise click.UsageError("--json and --signoff both print: leave one out, and run fxsim signoff DIR/signoff.toml")
    from fxsim.errors import FxsimError
    from fxsim.training.flow import flow
    from fxsim.training.recipe import Device, load_recipe

    loaded = load_recipe(recipe, data_path, seed, Device(device))
    if signoff and loaded.quantize is None:
        raise FxsimError(f"{recipe}: has no [quantize] section, so that there will be no model to sign off")
    result = flow(loaded, output, progress, lambda text: say(f"fxsim: {text}", err=True))
    if as_json:
        print_json(_summary(result))
    else:
        _print(loaded, result)
    if signoff:
        _sign_off(loaded, result)


def _summary(result: "FlowResult") -> dict[str, object]:
    from fxsim.formats.text import read_json

    files = {"teacher": result.teacher, "float": result.network, "quantised": result.quantised, "model": result.model}
    evaluation = (
        None if result.evaluation is None else read_json(result.evaluation, dict, _EVALUATION_BYTES_MAX, _EVALUATION)
    )
    return {
        "folder": str(result.folder),
        "files": {name: str(path) for name, path in files.items() if path is not None},
        "made": result.made,
        "evaluation": evaluation,
    }


def _print(recipe: "Recipe", result: "FlowResult") -> None:
    from fxsim.networks.checkpoint import load_checkpoint

    if result.evaluation is None:
        stated = load_checkpoint(result.network).provenance.get("validation_accuracy", "")
        say(f"{result.network}: {recipe.name}, validation accuracy {float(stated):.2%}")
        return
    from fxsim.formats.text import read_json
    from fxsim.training.evaluate import Evaluation

    found = read_json(result.evaluation, Evaluation, _EVALUATION_BYTES_MAX, _EVALUATION)
    rows = [
        (name, f"{its.accuracy:.2%}", f"{its.low:.2%} to {its.high:.2%}", its.correct, its.total)
        for name, its in found.networks.items()
    ]
    print_table(f"{recipe.name}: accuracy on {found.pictures} {found.split} pictures of {found.data}",
                ("network", "accuracy", "95% interval", "correct", "of"), rows)  # fmt: skip
    say(f"{result.model}: model, {result.evaluation}: evaluation")


def _sign_off(recipe: "Recipe", result: "FlowResult") -> None:
    """Write a plan for the model beside it and run it as `fxsim signoff` does, exit status included."""
    from fxsim.cli.signoff import command as signoff_command
    from fxsim.formats import atomic_write
    from fxsim.training.flow import MODEL, QUANTISED, write_stimulus

    assert result.model is not None
    plan = result.folder / _PLAN
    images = write_stimulus(recipe, result.model, _IMAGES, result.folder / _STIMULUS)
    # A JSON string is a TOML string too.
    data_path = ""
    if recipe.data_path is not None:
        data_path = f"data_path = {json.dumps(str(recipe.data_path.absolute()), ensure_ascii=False)}\n"
    text = _PLAN_TEXT.format(
        name=recipe.name,
        seed=recipe.seed,
        model=MODEL,
        checkpoint=QUANTISED,
        stimulus=_STIMULUS,
        images=min(images, _RTL_IMAGES),
        data_path=data_path,
    )
    with atomic_write(plan) as file:
        file.write_text(text, encoding="utf-8")
    reports = result.folder / "reports"
    click.get_current_context().invoke(
        signoff_command, plan=plan, output=reports, only=(), list_checks=False, as_json=False
    )


# A recipe's name has no character that TOML would mind.
_PLAN_TEXT = """# Written by `fxsim flow --signoff`; `fxsim signoff` runs it again. See docs/signoff.md.
title = "{name}: trained, quantised and exported"
seed = {seed}

[models]
trained = {{ file = "{model}" }}

[stimuli]
test_images = {{ file = "{stimulus}" }}
extreme = {{ draw = "extreme", images = 4 }}

[[check]]
kind = "accumulators"
name = "accumulators"
about = "No accumulator of the trained model can overflow its stated width, whatever the input."
models = ["trained"]

[[check]]
kind = "engines"
name = "engines"
about = "Reference and compiled engine agree at all taps on test pictures, and on nothing but -128 and 127."
models = ["trained"]
stimuli = ["test_images", "extreme"]

[[check]]
kind = "bridge"
name = "bridge"
about = "The quantised network, by the contract's rules in PyTorch, gives the model's every value on all test pictures."
model = "trained"
checkpoint = "{checkpoint}"
{data_path}
[[check]]
kind = "cosim"
name = "rtl-test-images"
about = "The RTL computes the trained model bit for bit at every tap on test pictures, with and without stalls."
model = "trained"
stimulus = "test_images"
images = {images}
stalls = ["none", "random:{{seed}}"]

[[check]]
kind = "cosim"
name = "rtl-extreme"
about = "The same on inputs of nothing but -128 and 127."
model = "trained"
stimulus = "extreme"
images = 4
"""
