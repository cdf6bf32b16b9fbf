"""`fxsim quantize`: a float network as a quantised one, with quantisation-aware training."""

from pathlib import Path

import click

from fxsim.cli.console import device_option, print_json, progress, refuse_overwriting, say


@click.command("quantize")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.argument("network", metavar="FLOAT", type=click.Path(path_type=Path))
@click.option(
    "--teacher", metavar="FILE", type=click.Path(path_type=Path),
    help="Network file of the float network to learn from.  [default: FLOAT itself]",
)  # fmt: skip
@click.option("-o", "--output", metavar="OUT", required=True, type=click.Path(path_type=Path), help="File to write.")
@click.option("--data-path", metavar="DIR", type=click.Path(path_type=Path), help="Where the data lies.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="In place of the recipe's.")
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print percentiles and the last epoch's record as JSON.")
def command(
    recipe: Path,
    network: Path,
    teacher: Path | None,
    output: Path,
    data_path: Path | None,
    seed: int | None,
    device: str,
    as_json: bool,
) -> None:
    """Quantise the float network in FLOAT, by the [quantize] and [export] sections of RECIPE, into a network file.

    Magnitudes are observed, the percentile that scales follow from is chosen on validation pictures, then the network
    is trained as it is quantised. `fxsim flow` gives the recipe's teacher as --teacher. Beside OUT, OUT's name with
    .log.jsonl gets a line for each epoch. After Ctrl-C the same command goes on where it stopped, and the result is the
    same.
    """
    from fxsim.training.quantise import quantise
    from fxsim.training.recipe import Device, load_recipe

    refuse_overwriting(output, (recipe, network, *([] if teacher is None else [teacher])))
    loaded = load_recipe(recipe, data_path, seed, Device(device))
    with progress("batches") as report:
        found = quantise(
            loaded, network, teacher, output, progress=report, tell=lambda text: say(f"fxsim: {text}", err=True)
        )
    if as_json:
        last = found.records[-1] if found.records else None
        result = {"output": str(output), "recipe": loaded.name, "percentiles": found.trials, "last": last}
        print_json(result | {"validation_accuracy": found.validation_accuracy})
        return
    epochs = len(found.records)
    say(f"{output}: {loaded.name}, {epochs} epochs, validation accuracy {found.validation_accuracy:.2%}")
