"""`fxsim quantize`: a float network as a quantised one, with quantisation-aware training."""

from pathlib import Path

import click

from fxsim.cli.console import progress, refuse_overwriting, say


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.argument("student", metavar="FLOAT", type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="OUT", required=True, type=click.Path(path_type=Path), help="Network file.")
@click.option(
    "--teacher",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Float network to learn from while training.  [default: FLOAT itself]",
)
@click.option("--data-path", metavar="DIR", type=click.Path(path_type=Path), help="Where the recipe's data set lies.")
@click.option("--seed", type=click.IntRange(min=0), help="In place of the recipe's.")
def command(
    recipe: Path, student: Path, output: Path, teacher: Path | None, data_path: Path | None, seed: int | None
) -> None:
    """Quantise the float network in FLOAT by the sections [quantize] and [export] of RECIPE.

    Scales are observed, the percentile chosen on validation pictures, then the network is trained as it is quantised.
    An interrupted training goes on where it stopped when the same command is given again. Beside OUT lies the log of
    losses and accuracies, a line of JSON for each epoch.
    """
    from fxsim.training.quantise import quantise
    from fxsim.training.recipe import load_recipe

    refuse_overwriting(output, (recipe, student, *([teacher] if teacher else [])))
    loaded = load_recipe(recipe, data_path, seed)
    with progress("quantise") as report:
        quantise(loaded, student, teacher, output, progress=report, tell=lambda line: say(f"fxsim: {line}", err=True))
    say(f"{output}: quantised network of recipe '{loaded.name}'")
