"""The files of a composed accelerator: top, modules, ROMs, and the description that binds it to the model."""

import functools
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jinja2

from fxsim.devices.composed.parts import Stream
from fxsim.devices.composed.plan import DESCRIPTION, Composition, make_plan
from fxsim.errors import FileError
from fxsim.graph import Model
from fxsim.paths import rtl_dir, verilog_file
from fxsim.temporary import beside

_TEMPLATES = Path(__file__).resolve().parent / "templates"
_PARTS = {
    "image_window": ("image_window", "ram"),
    "few_linear": ("few_linear", "few_dot_product"),
    "threshold": ("threshold", "threshold_lane"),
    "window_max": ("window_max",),
    "full_table": ("full_table",),
    "channel_argmax": ("channel_argmax",),
    "channel_concat": ("channel_concat",),
    "few_add": ("few_add",),
    "few_affine": ("few_affine", "scale_lane"),
    "few_matmul": ("few_matmul", "few_dot_product", "ram"),
    "few_product": ("few_product",),
    "few_weighted_add": ("few_weighted_add", "scale_lane"),
    "window_sum": ("window_sum", "window_sum_lane"),
    "frame_loop": ("frame_loop", "axis_fifo"),
    "axis_fork": ("axis_fork",),
    "axis_fifo": ("axis_fifo",),
}
"""The modules that each module of a plan is made of."""


class _Tap(NamedTuple):
    """A tap of the description: its stream, and its data with -1 and 1 as numbers where it has `signs`.

    `turns`: whether it shares the stream with the taps of other steps, image by image.
    """

    name: str
    stream: Stream
    data: str
    signs: bool
    turns: bool


def composed_files(plan: Composition, rtl: Path | None = None) -> dict[str, bytes]:
    """Every file of a composed accelerator by name: top, modules below `rtl/`, ROMs, and the description.

    `rtl`: a folder of Verilog whose modules stand in place of the project's own.
    """
    graph = plan.model.graph
    given = _of_numbers(plan.source, graph.input.number.bipolar)
    last = plan.result
    result = _of_numbers(last, graph.tensors[graph.output].number.bipolar)
    instances = plan.instances
    streams = (plan.source, *(target for instance in instances for target in instance.targets))
    taps = []
    for part in plan.parts:
        signs, turns = graph.tensors[part.node.name].number.bipolar, len(part.taps) > 1
        taps += [_Tap(name, part.stream, _data(part.stream, signs), signs, turns) for name in part.taps]
    taps.sort(key=lambda tap: graph.taps.index(tap.name))
    roms = {
        instance.rom: "".join(f"{word}\n" for word in instance.words).encode("ascii")
        for instance in instances
        if instance.rom
    }
    values = {"plan": plan, "given": given, "last": last, "result": result, "streams": streams}
    top = _environment().get_template("composed.v.j2").render(values)
    said = _environment().get_template("composed.toml.j2").render(values, taps=taps, roms=bool(roms))
    modules = {name for instance in instances for name in _PARTS[instance.module]} | {"axis_fifo"}
    folder = rtl or rtl_dir()
    sources = {f"rtl/{module}.v": verilog_file(folder, f"{module}.v").read_bytes() for module in sorted(modules)}
    return {"composed.v": top.encode("ascii"), DESCRIPTION: said.encode("ascii"), **sources, **roms}


def write_files(files: Mapping[str, bytes], folder: Path) -> None:
    """Write files, some of which lie in folders, into a folder that is there."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def compose(model: Model, directory: Path, interval: int | None = None, share_loops: bool = False) -> Composition:
    """Write the composed accelerator of a model into a new or empty folder, all at once; returns its plan.

    `interval`: cycles between images that it is to keep, by default none; `share_loops`: one set of modules for all
    steps of a loop. FileError where the folder exists and is not empty, or cannot be written; ModelError as of
    `make_plan`.
    """
    plan = make_plan(model, interval, share_loops)
    files = composed_files(plan)
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise FileError(f"cannot write the folder {directory}: it exists already, and is not empty")
    folder = beside(directory.resolve())
    try:
        folder.mkdir()
        write_files(files, folder)
        folder.rename(directory)
    except OSError as error:
        raise FileError(f"cannot write the folder {directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return plan


def _of_numbers(stream: Stream, bipolar: bool) -> Stream:
    """The stream with -1 and 1 as numbers of two bits, as a description has them."""
    return replace(stream, bits=2) if bipolar else stream


def _data(stream: Stream, bipolar: bool) -> str:
    """The data of a tap; of bits that stand for -1 and 1 those numbers."""
    if not bipolar:
        return f"{stream.name}_tdata"
    lanes = (f"~{stream.name}_tdata[{lane}], 1'b1" for lane in reversed(range(stream.lanes)))
    return f"{{{', '.join(lanes)}}}"


@functools.cache
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=False,  # noqa: S701  # Verilog and TOML of names that fxsim made, not HTML
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
