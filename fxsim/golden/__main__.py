"""`python -m fxsim.golden [--runs DIR] [-o DIR]`: write the golden folder."""

import contextlib
import tempfile
from pathlib import Path

import click

from fxsim.errors import FxsimError
from fxsim.golden.manifest import MANIFEST, GoldenManifest
from fxsim.golden.write import write_golden
from fxsim.paths import golden_dir
from fxsim.process import exit_status, interruptible


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder to write.  [default: golden/]")
@click.option(
    "--runs",
    type=click.Path(path_type=Path),
    help="Folder with the flows' folders, `fxsim flow recipes/NAME.toml` for each trained model. Run from the "
    "repository's top.  [default: trained models stay as they are]",
)
def main(output: Path | None, runs: Path | None) -> None:
    """Write the golden models, images, vectors and manifest: seeded, the same bytes every time.

    Where anything is wrong, or the run is interrupted, the folder stays as it was.
    """
    try:
        with interruptible():
            manifest = _write(output or golden_dir(), runs)
    except FxsimError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        place = "" if error.filename is None else f"{error.filename}: "
        raise click.ClickException(f"{place}{error.strerror or error}") from None
    except KeyboardInterrupt:
        status, word = exit_status()
        click.echo(word, err=True)
        raise SystemExit(status) from None
    for model in manifest.models:
        saturated = max(tap.saturated for tap in model.taps)
        shifts = [int(s) for s in model.shifts]
        span = f"shifts {min(shifts)} to {max(shifts)}" if shifts else "no shifts"
        line = f"{model.name}: {span}, at most {saturated:.3%} saturated at any tap"
        if model.training is not None:
            line += f", {model.training.integer_correct} of {model.training.test_images} test pictures right"
        click.echo(line)


def _write(directory: Path, runs: Path | None) -> GoldenManifest:
    directory.mkdir(parents=True, exist_ok=True)
    # Everything is made beside the old files, and takes their place only once it is whole.
    with tempfile.TemporaryDirectory(dir=directory, prefix=".golden-") as temporary:
        new, old = Path(temporary) / "new", Path(temporary) / "old"
        new.mkdir()
        old.mkdir()
        manifest = write_golden(new, runs=runs, kept=golden_dir())
        # Folders are replaced whole, so that nothing of an earlier run stays in them.
        names = sorted({Path(file.path).parts[0] for file in manifest.files} | {MANIFEST})
        try:
            for name in names:
                _move(directory / name, old / name)
                _move(new / name, directory / name)
        except BaseException:
            for name in names:
                if not (new / name).exists():
                    _move(directory / name, new / name)
                _move(old / name, directory / name)
            raise
    return manifest


def _move(source: Path, target: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        source.replace(target)


if __name__ == "__main__":
    main()
