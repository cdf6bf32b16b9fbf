"""`fxsim distill`: a recipe's student, trained from a teacher."""

from pathlib import Path

import click

from fxsim.cli.console import device_option, print_json, progress, refuse_overwriting, say


@click.command("distill")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--teacher", metavar="FILE", required=True, type=click.Path(path_type=Path), help="Its network file.")
@click.option("-o", "--output", metavar="OUT", required=True, type=click.Path(path_type=Path), help="File to write.")
@click.option("--data-path", metavar="DIR", type=click.Path(path_type=Path), help="Where the data lies.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="In place of the recipe's.")
@device_option
@click.option("--json", "as_json", is_flag=True, help="Print the last epoch's record as JSON.")
def command(
    recipe: Path, teacher: Path, output: Path, data_path: Path | None, seed: int | None, device: str, as_json: bool
) -> None:
    """Train the student of RECIPE from a teacher, by its [transfer] and [distill] sections, into a network file.

    The teacher's file is what `fxsim train` writes, from a recipe of the same [data]. Beside OUT, OUT's name with
    .log.jsonl gets a line for each epoch. After Ctrl-C the same command goes on where it stopped, and the result is the
    same.
    """
    from fxsim.training.distill import distill
    from fxsim.training.recipe import Device, load_recipe

    refuse_overwriting(output, (recipe, teacher))
    loaded = load_recipe(recipe, data_path, seed, Device(device))
    with progress("batches") as report:
        records = distill(loaded, teacher, output, progress=report, tell=lambda text: say(f"fxsim: {text}", err=True))
    last = records[-1]
    if as_json:
        print_json({"output": str(output), "recipe": loaded.name, "last": last})
        return
    say(f"{output}: {loaded.name}, {len(records)} epochs, validation accuracy {last.validation_accuracy:.2%}")
