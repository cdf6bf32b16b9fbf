"""`fxsim memory-image`: what the SIMD accelerator and its driver need of a model."""

from pathlib import Path

import click

from fxsim.cli.console import json_option, model_argument, print_json, print_table, refuse_overwriting, say
from fxsim.devices.simd import LANES, Buffers, write_memory_image
from fxsim.formats import load, read_stimulus

_BUFFERS = tuple(Buffers().parameters())


@click.command()
@model_argument
@click.option("-o", "--output", metavar="DIR", required=True, type=click.Path(path_type=Path), help="Folder to write.")
@click.option(
    "--images",
    metavar="INPUT.npy",
    type=click.Path(path_type=Path),
    help="Images to pack as the accelerator reads them.",
)
@click.option("--name", metavar="NAME", help="What the files are called.  [default: the model's name]")
@click.option(
    "--buffer",
    "buffers",
    metavar="PARAMETER=SIZE",
    multiple=True,
    help="A parameter that the accelerator is built with, such as WEIGHT_WORDS=16384; may be given several times.",
)
@json_option
def command(
    model: Path, output: Path, images: Path | None, name: str | None, buffers: tuple[str, ...], as_json: bool
) -> None:
    """Write what the SIMD accelerator reads of MODEL, a ResMLP, into a folder.

    NAME.bin holds the parameters as they must lie in memory, NAME.json says where each of them is, and NAME.h gives a
    driver in C the registers, error codes and sizes. With --images, NAME_images.bin holds the images of a .npy file,
    int8 [image, token, value]. A model that the accelerator has no room for is refused.
    """
    sizes = _sizes(buffers)
    loaded = load(model)
    x = None if images is None else read_stimulus(images, loaded)
    inputs = [model] if images is None else [model, images]
    # An input may lie in the folder under any name.
    for path in output.iterdir() if output.is_dir() else ():
        if path.suffix in (".bin", ".json", ".h"):
            refuse_overwriting(path, inputs)
    written = write_memory_image(loaded, output, sizes, images=x, name=name)
    image = written.image
    if as_json:
        print_json(
            {
                "model": image.name,
                "files": {what: str(path) for what, path in written.paths.items()},
                "words": len(image.words),
                "image_words": image.image_words,
                "result_words": image.result_words,
                "images": None if x is None else len(x),
                "layers": len(image.layers),
                "steps": sum(layer.steps for layer in image.layers),
                "requires": dict(image.requires),
                "keep_requires": dict(image.needs),
                "keeps": image.keeps,
            }
        )
        return
    rows = [
        (layer.number, layer.name, layer.first_word * LANES, layer.words * LANES, layer.steps) for layer in image.layers
    ]
    print_table(f"{image.name}: parameters", ("layer", "linear", "offset", "bytes", "cycles at least"), rows)
    for what, path in written.paths.items():
        say(f"{path}: {what}, {path.stat().st_size:,} bytes")
    say(
        f"an image takes {image.image_words} words, its result {image.result_words}; the parameters "
        + ("can be kept for all images of a run" if image.keeps else "must be read again for each image")
    )


def _sizes(settings: tuple[str, ...]) -> Buffers:
    """Buffers from `PARAMETER=SIZE` settings."""
    sizes: dict[str, int] = {}
    for setting in settings:
        name, separator, size = setting.partition("=")
        if name not in _BUFFERS:
            raise click.BadParameter(f"there is no '{name}'; there are: {', '.join(_BUFFERS)}", param_hint="--buffer")
        if not separator or not size.isascii() or not size.isdecimal() or len(size) > 9:
            raise click.BadParameter(f"'{setting}' is not {name}=SIZE with a whole number", param_hint="--buffer")
        if name.lower() in sizes:
            raise click.BadParameter(f"'{name}' is given twice", param_hint="--buffer")
        sizes[name.lower()] = int(size)
    return Buffers(**sizes)
