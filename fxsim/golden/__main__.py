"""`python -m fxsim.golden [--runs DIR] [-o DIR]`: write the golden folder."""

import shutil
import tempfile
from pathlib import Path

import click

from fxsim.golden.manifest import MANIFEST
from fxsim.golden.write import write_golden
from fxsim.paths import golden_dir


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder to write.  [default: golden/]")
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    help="Folder with the flows' folders, `fxsim flow recipes/NAME.toml` for each trained model. Run from the "
    "repository's top.  [default: trained models stay as they are]",
)
def main(output: Path | None, runs: Path | None) -> None:
    """Write the golden models, images, vectors and manifest: seeded, the same bytes every time."""
    directory = output or golden_dir()
    directory.mkdir(parents=True, exist_ok=True)
    # Everything is made beside the folder first, so that an interrupted run leaves the old files as they were.
    with tempfile.TemporaryDirectory(dir=directory, prefix=".golden-") as temporary:
        manifest = write_golden(Path(temporary), runs=runs, kept=golden_dir())
        if (directory / "vectors").is_dir():
            shutil.rmtree(directory / "vectors")
        for file in (*(f.path for f in manifest.files), MANIFEST):
            target = directory / file
            target.parent.mkdir(parents=True, exist_ok=True)
            (Path(temporary) / file).replace(target)
    for model in manifest.models:
        saturated = max(tap.saturated for tap in model.taps)
        shifts = [int(s) for s in model.shifts]
        line = f"{model.name}: shifts {min(shifts)} to {max(shifts)}, at most {saturated:.3%} saturated at any tap"
        if model.training is not None:
            line += f", {model.training.integer_correct} of {model.training.test_images} test pictures right"
        click.echo(line)


if __name__ == "__main__":
    main()
