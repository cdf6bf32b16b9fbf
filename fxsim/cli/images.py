"""`fxsim images`: images for a model, from published samples or from pictures."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fxsim.cli.console import ImageRange, json_option, print_json, refuse_overwriting, say

if TYPE_CHECKING:
    from fxsim.contract.arithmetic import Int8
    from fxsim.data.stimulus import SampleLayout
    from fxsim.graph import Model

_PICTURES = (".npy", ".png", ".jpg", ".jpeg")
_LAYOUTS = ("auto", "token-value", "value-token")


class _Numbers(click.ParamType[tuple[float, ...]]):
    """Numbers, one a colour."""

    name = "X,..."

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        """The numbers between the commas."""
        try:
            return tuple(float(part) for part in value.split(","))
        except ValueError:
            self.fail(f"{value!r} is not numbers with commas between them", param, ctx)


@click.command("images")
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("-o", "--output", metavar="OUT", required=True, type=click.Path(path_type=Path), help=".npy to write.")
@click.option("--model", metavar="MODEL", type=click.Path(path_type=Path), help="Model file that they must fit.")
@click.option("--array", metavar="NAME", default="samples_input", show_default=True, help="Array of the header.")
@click.option("--layout", type=click.Choice(_LAYOUTS), default="auto", show_default=True, help="Order in the header.")
@click.option("--images", type=ImageRange(), help="Only these images, e.g. 3:10, :5 or 7:.")
@click.option("--patches", is_flag=True, help="SOURCEs are pictures; needs --model.")
@click.option("--mean", type=_Numbers(), help="Of pixel / 255, one number a colour; with --patches.")
@click.option("--std", type=_Numbers(), help="Standard deviation, the same way.")
@click.option("--step", type=float, help="What one step of the model's input is worth; with --patches.")
@json_option
def command(
    sources: tuple[Path, ...],
    output: Path,
    model: Path | None,
    array: str,
    layout: str,
    images: tuple[int, int | None] | None,
    patches: bool,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    step: float | None,
    as_json: bool,
) -> None:
    """Write images as the other commands take them: a .npy file, int8 [image, token, value].

    SOURCE is a folder of published headers with quant_samples.h, or such a header. The images must fit MODEL, or else
    the network whose quant_params.h lies beside them.

    With --patches, SOURCEs are pictures: PNG and JPEG files, folders of them, or .npy files, uint8
    [picture, height, width] or with colours behind. They are brought to the model's size and cut into its patches; a
    value is (pixel / 255 - mean) / std, divided by the step. A model of `fxsim export` states all that, for another
    --mean, --std and --step do.
    """
    from fxsim.data.stimulus import SampleLayout
    from fxsim.formats import load

    if patches and model is None:
        raise click.UsageError("--patches needs --model, which says how large pictures and patches are")
    if patches and (array != "samples_input" or layout != "auto"):
        raise click.UsageError("--array and --layout are for headers, not for --patches")
    if not patches and (mean, std, step) != (None, None, None):
        raise click.UsageError("--mean, --std and --step are for --patches")
    if not patches and len(sources) > 1:
        raise click.UsageError("several SOURCEs need --patches")
    refuse_overwriting(output, sources if model is None else (model, *sources))
    loaded = load(model) if model is not None else None
    if patches:
        assert loaded is not None  # there is a model
        summary = _from_pictures(sources, output, loaded, images, (mean, std, step))
    else:
        summary = _from_header(sources[0], output, loaded, images, array, SampleLayout(layout))
    if as_json:
        print_json(summary)
        return
    plural = "image" if summary["images"] == 1 else "images"
    say(f"{output}: {summary['images']:,} {plural} of {summary['tokens']} tokens x {summary['values']} values")
    if patches:
        say(f"{summary['pictures']:,} pictures read, {summary['resized']:,} of them brought to another size")
    else:
        say(f"array {summary['array']} of {summary['source']}, layout {summary['layout']}")
    say(f"fits model {summary['model']}" if summary["model"] else "fits no model that was looked at: give --model")
    say(f"sha256 {summary['sha256']}")


def _from_header(
    source: Path,
    output: Path,
    loaded: "Model | None",
    chosen: tuple[int, int | None] | None,
    array: str,
    layout: "SampleLayout",
) -> dict[str, object]:
    from fxsim.data.stimulus import SAMPLES, read_samples
    from fxsim.errors import FileError
    from fxsim.formats.headers import HEADER_FILES, import_headers

    header = source / SAMPLES if source.is_dir() else source
    if header.suffix.lower() in _PICTURES:
        raise FileError(f"{header}: is a picture, or several, expected a header; pictures need --patches")
    folder = header.parent
    refuse_overwriting(output, (header, *(folder / name for name in HEADER_FILES)))
    if loaded is None and (folder / HEADER_FILES[0]).is_file():
        try:
            loaded = import_headers(folder)
        except FileError as error:
            raise FileError(f"{error} (beside the samples; --model names another model)") from None
    x, found = read_samples(header, array, loaded, layout)
    return {
        **_write(x, output, loaded, chosen, str(header)),
        "source": str(header),
        "array": array,
        "layout": str(found),
    }


def _from_pictures(
    sources: tuple[Path, ...],
    output: Path,
    loaded: "Model",
    chosen: tuple[int, int | None] | None,
    stated: tuple[tuple[float, ...] | None, tuple[float, ...] | None, float | None],
) -> dict[str, object]:
    import numpy as np

    from fxsim.data.stimulus import input_format, picture_codes

    mean, std, step = stated
    # The step is a float32 number wherever it is used.
    wanted = input_format(loaded, mean, std, None if step is None else float(np.float32(step)))
    found = picture_codes(sources, wanted)
    return {
        **_write(found.images, output, loaded, chosen, "the pictures"),
        "source": [str(source) for source in sources],
        "pictures": len(found.images),
        "resized": found.resized,
        "step": wanted.step,
    }


def _write(
    x: "Int8", output: Path, model: "Model | None", chosen: tuple[int, int | None] | None, where: str
) -> dict[str, object]:
    """Write the chosen images, once they are known to fit the model, and tell of them."""
    import numpy as np

    from fxsim.errors import StimulusError
    from fxsim.formats import atomic_write

    start, stop = chosen or (0, None)
    stop = len(x) if stop is None else stop
    if not 0 <= start < stop <= len(x):
        raise StimulusError(f"{where}: images {start}:{stop} were asked for, there are {len(x)}")
    x = np.ascontiguousarray(x[start:stop])
    if model is not None:
        x = model.check_stimulus(x, where)
    with atomic_write(output) as file, file.open("wb") as stream:
        np.lib.format.write_array(stream, x, (1, 0), allow_pickle=False)
    return {
        "output": str(output),
        "images": len(x),
        "tokens": x.shape[1],
        "values": x.shape[2],
        "sha256": hashlib.sha256(x.tobytes()).hexdigest(),
        "model": None if model is None else model.name,
    }
