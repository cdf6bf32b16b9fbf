"""A first plan for a model, and for somebody's RTL: it runs at once, and says in comments what only they can add."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jinja2

from fxsim.devices import DESCRIBED, DEVICES, Device, make_settings
from fxsim.engines import Engine, chosen_engine
from fxsim.errors import FxsimError, ModelError
from fxsim.formats import atomic_write, load, read_stimulus
from fxsim.graph import Model
from fxsim.paths import readable
from fxsim.signoff.files import load_plan
from fxsim.simulate.stall import parse_stall

_STALLS = ("none", "random:{seed}", "burst:{seed}", "reset:{seed}")
"""Patterns that are proposed of a design that takes them."""


class _Design(NamedTuple):
    """A design as the template shows it; `refused`: why it does not take the model."""

    words: str
    suffix: str
    setting: str
    stalls: list[str]
    taps: str = ""
    first_tap: str = ""
    bound: int | None = None
    four_state: bool = False
    proved: bool = False
    refused: str = ""


def propose_plan(plan: Path, model: Path, dut: Path | None = None, images: Path | None = None) -> None:
    """Write a plan for a model file: of a described design `dut`, or of the project's own accelerators.

    `images`: a .npy file of stimuli. Errors of what does not fit together come before anything is written; the plan
    itself is read before it takes its name. FileError where it cannot be written.
    """
    loaded = load(model)
    if images is not None:
        read_stimulus(images, loaded)
    compiled = chosen_engine("auto", loaded) is Engine.NUMBA
    names = [name for name in DEVICES.own if name != DESCRIBED] if dut is None else [DESCRIBED]
    designs = [_propose(DEVICES[name], loaded, dut, plan) for name in names]
    fields = {
        "model_name": _line(loaded.name),
        "plan_name": _line(str(plan)),
        "title": loaded.name,
        "name": loaded.name[:100],
        "model": _relative(model, plan),
        "dut": None if dut is None else _line(_relative(dut, plan)),
        "images": None if images is None else _relative(images, plan),
        "stimuli": [*(["images"] if images else []), "uniform", "extreme"],
        "engines": ["reference", "numba"] if compiled else ["reference", "loops"],
        "compiled": compiled,
        "designs": designs,
        "first_tap": designs[0].first_tap or loaded.graph.taps[0],
    }
    text = _templates().get_template("proposal.toml.j2").render(fields)
    with atomic_write(plan) as file:
        file.write_text(text, encoding="utf-8")
        load_plan(file)


def _propose(device: Device, model: Model, dut: Path | None, plan: Path) -> _Design:
    """The part of the plan for a device; where a described design does not fit, that is the caller's error."""
    words = f"The design that {_line(dut.name)} describes" if dut else f"The {device.title} accelerator"
    suffix = "" if dut else f"-{device.name}"
    setting = f"dut = {_toml(_relative(dut, plan))}" if dut else f"accelerator = {_toml(device.name)}"
    asked: Mapping[str, object] = {"dut": str(dut)} if dut else {}
    try:
        fitted = device.fit(model, make_settings(device.name, device.settings, asked))
    except ModelError as error:
        if dut is not None:
            raise
        return _Design(words, suffix, setting, [], refused=_line(str(error)))
    stalls = []
    for pattern in _STALLS:
        stall = parse_stall(pattern.replace("{seed}", "1"))
        try:
            fitted.refuse_stall(stall)
        except FxsimError:
            continue
        if stall.kinds <= device.stalls:
            stalls.append(pattern)
    shown, computed = fitted.probed, fitted.part or model.graph.taps
    return _Design(
        words,
        suffix,
        setting,
        stalls,
        # The output carries the last one.
        taps="" if shown is None else f" that it shows ({len({*shown, computed[-1]})} of {len(computed)})",
        # Of a part of the model, the first that it computes.
        first_tap=(fitted.part or model.graph.taps)[0],
        bound=fitted.limit.bound,
        four_state=device.four_state,
        proved=device.proofs is not None and dut is None,
    )


def _relative(path: Path, plan: Path) -> str:
    """A path as the plan names it: relative to its folder where it lies below, else whole."""
    place, folder = path.resolve(), plan.resolve().parent
    return os.path.relpath(place, folder) if place.is_relative_to(folder) else str(place)


def _line(text: str) -> str:
    """Text for a comment: on one line."""
    return " ".join("".join(c if c.isprintable() else " " for c in readable(text)).split())


def _toml(value: Any) -> str:
    """A text or a list of texts as TOML."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(  # noqa: S701  # TOML, whose texts the filter escapes
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["toml"] = _toml
    return environment
