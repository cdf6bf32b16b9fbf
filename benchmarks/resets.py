"""`python -m benchmarks resets`: every assignment on reset left out in turn, and which simulator notices.

In a copy of the RTL each of them asks a number whether it is the one that is left out, so that one build has them all.
In Verilator registers hold random bits at power-on, of several seeds; in Icarus, of four states, nobody knows which.
"""

import contextlib
import io
import re
import shutil
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from fxsim import temporary
from fxsim.contract import TableRule
from fxsim.cosim import cosim
from fxsim.cosim.four_state import four_state
from fxsim.cosim.request import POWER_ON_SEEDS
from fxsim.errors import ToolError
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.graph import Model
from fxsim.paths import rtl_dir, verilog_files

SIGNALS = {"rst", "core_rst", "flush"}
"""What resets registers, by name."""

NONE = 0xFFFF_FFFF
IMAGES = 2
PSA = ResMLPConfig(4, 4, 6, 6, 1, 3, 8, TableRule.CLAMP)
MODELS = {"stream": (PSA, ResMLPConfig(4, 3, 5, 4, 1, 3), ResMLPConfig(1, 3, 1, 2, 1, 2)), "simd": (PSA,)}
"""Models that between them use nearly every part of an accelerator."""


class Reset(NamedTuple):
    """One assignment on reset: where it stands, and the signal on which it happens."""

    file: str
    line: int
    register: str
    signal: str


def find_resets(path: Path, name: str) -> list[Reset]:
    """Every non-blocking assignment under a condition that a reset is part of."""
    from pyverilog.vparser import ast
    from pyverilog.vparser.parser import VerilogCodeParser

    def nodes(node: ast.Node) -> list[ast.Node]:
        return [node, *(below for child in node.children() for below in nodes(child))]

    with temporary.folder("resets") as folder, contextlib.redirect_stderr(io.StringIO()):
        preprocessed = str(folder / "preprocessed.v")
        tree = VerilogCodeParser([str(path)], preprocess_output=preprocessed, outputdir=str(folder)).parse()
    found = []
    for node in nodes(tree):
        if isinstance(node, ast.IfStatement) and node.true_statement is not None:
            signals = SIGNALS & {part.name for part in nodes(node.cond) if isinstance(part, ast.Identifier)}
            found += [
                Reset(name, part.lineno, part.left.var.name, min(signals))
                for part in nodes(node.true_statement)
                if signals and isinstance(part, ast.NonblockingSubstitution)
            ]
    return found


def make_switchable(rtl: Path, folders: tuple[str, ...], switch: Path) -> list[Reset]:
    """Let each reset in these folders of `rtl` be left out: the one whose number the file `switch` holds."""
    resets: list[Reset] = []
    for name, path in verilog_files(rtl).items():
        if name.split("/")[0] not in folders or not (own := find_resets(path, name)):
            continue
        text = path.read_text(encoding="utf-8")
        for number, reset in sorted(enumerate(own, len(resets)), key=lambda item: -item[1].line):
            start = sum(map(len, text.splitlines(keepends=True)[: reset.line - 1]))
            match = re.compile(rf"\b{reset.register}\s*<=[^;]*;").search(text, start)
            assert match is not None, reset
            guarded = f"begin if (!({reset.signal} && left_out[0] == {number})) {match[0]} end"
            text = text[: match.start()] + guarded + text[match.end() :]
        body = text.index(");\n", text.index("\nmodule ")) + 3
        declared = f'\n  reg [31:0] left_out[0:0];\n  initial $readmemh("{switch}", left_out);\n'
        path.write_text(text[:body] + declared + text[body:], encoding="utf-8")
        resets += own
    return resets


def random_model(config: ResMLPConfig) -> Model:
    """Weights over the whole range, shifts that leave results spread over int8."""
    rng = np.random.default_rng(1)
    parameters = {
        name: rng.integers(5, 9, shape).astype(np.uint8)
        if name.endswith("shift")
        else rng.integers(-128, 128, shape).astype(np.int8)
        for name, shape in resmlp_parameters(config).items()
    }
    return Model(build_resmlp(config, parameters), "small")


@click.command()
@click.option("--accel", type=click.Choice(list(MODELS)), default="stream", show_default=True)
@click.option("--register", help="Only resets of registers with this in their name.")
def resets(accel: str, register: str | None) -> None:
    """Leave every assignment on reset out in turn, and say which of the simulators notices."""
    models = [random_model(config) for config in MODELS[accel]]
    images = [
        np.random.default_rng(2).integers(-128, 128, (IMAGES, *model.graph.input_shape)).astype(np.int8)
        for model in models
    ]
    with temporary.folder("resets") as folder:
        rtl, switch = folder / "rtl", folder / "left_out.hex"
        shutil.copytree(rtl_dir(), rtl)
        found = make_switchable(rtl, ("lib", accel), switch)

        def passes(number: int, seeds: tuple[int, ...]) -> bool:
            """Under these power-on seeds; without any, in four states."""
            switch.write_text(f"{number:x}\n", encoding="ascii")
            return all(
                (
                    cosim(model, x, accel=accel, rtl=rtl, optimise="-O0", engine="reference", power_on_seeds=seeds)
                    if seeds
                    else four_state(model, x, accel=accel, rtl=rtl, engine="reference")
                ).passed
                for model, x in zip(models, images, strict=True)
            )

        def notices(number: int, seeds: tuple[int, ...]) -> bool:
            """A design may also trip over itself so that the simulation gives up."""
            try:
                return not passes(number, seeds)
            except ToolError:
                return True

        if not passes(NONE, POWER_ON_SEEDS[:1]) or not passes(NONE, ()):
            raise click.ClickException("the RTL fails with every reset in its place")
        click.echo(f"{'reset':48}Verilator, seeds{'':8}Icarus")
        for number, reset in enumerate(found):
            if register is None or register in reset.register:
                seeds = [seed for seed in POWER_ON_SEEDS if notices(number, (seed,))]
                known = "found" if notices(number, ()) else "passes"
                place = f"{reset.file}:{reset.line} {reset.register}"
                click.echo(f"{place:48}{', '.join(map(str, seeds)) or 'passes':24}{known}")
