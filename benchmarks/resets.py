"""`python -m benchmarks resets`: every assignment on reset left out in turn, and which simulator notices.

In a copy of the RTL each of them asks a number whether it is the one that is left out, so that one build has them all.
In Verilator registers hold random bits at power-on, of several seeds; in Icarus, of four states, nobody knows which.
"""

import contextlib
import io
import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np

from fxsim import temporary
from fxsim.contract import TableRule
from fxsim.cosim import cosim
from fxsim.cosim.four_state import four_state
from fxsim.cosim.request import POWER_ON_SEEDS
from fxsim.errors import FxsimError, ToolError
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.graph import Model
from fxsim.paths import rtl_dir, verilog_files
from fxsim.simulate.sources import read_sources

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


def find_resets(path: Path, name: str, folder: Path) -> list[Reset]:
    """Every non-blocking assignment under a condition that a reset is part of. `folder`: the parser's, kept by it."""
    from pyverilog.vparser import ast
    from pyverilog.vparser.parser import VerilogCodeParser

    def nodes(node: ast.Node) -> list[ast.Node]:
        return [node, *(below for child in node.children() for below in nodes(child))]

    with contextlib.redirect_stderr(io.StringIO()):
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
        if name.split("/")[0] not in folders or not (own := find_resets(path, name, switch.parent)):
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


class Found(NamedTuple):
    """Simulators that notice that a reset is left out: the power-on seed under which one of two states does, if any."""

    seed: int | None
    four_state: bool

    def __str__(self) -> str:
        seed = f"Verilator, seed {self.seed}" if self.seed is not None else ""
        return ", ".join(filter(None, (seed, "Icarus" if self.four_state else ""))) or "nobody"


class Trial:
    """A copy of the RTL in which any reset can be left out, simulated on small models."""

    def __init__(self, accel: str, folder: Path) -> None:
        self.accel = accel
        self.rtl, self._switch = folder / "rtl", folder / "left_out.hex"
        shutil.copytree(rtl_dir(), self.rtl)
        self.resets = make_switchable(self.rtl, ("lib", accel), self._switch)
        rng = np.random.default_rng(2)
        self._cases = [
            (model, rng.integers(-128, 128, (IMAGES, *model.graph.input_shape)).astype(np.int8))
            for model in map(random_model, MODELS[accel])
        ]

    def leave_out(self, number: int) -> Found:
        """Who notices. A design may also trip over itself so that the simulation gives up: that is noticed, too."""
        self._switch.write_text(f"{number:x}\n", encoding="ascii")
        with ThreadPoolExecutor(2) as both:
            seed, known = both.submit(self._seed), both.submit(self._is_known)
            return Found(seed.result(), not known.result())

    def check(self) -> None:
        """FxsimError where the RTL fails, or does not build, with every reset in its place."""
        self._switch.write_text(f"{NONE:x}\n", encoding="ascii")
        for model, x in self._cases:
            two = cosim(model, x, accel=self.accel, rtl=self.rtl, optimise="-O0", engine="reference")
            four = four_state(model, x, accel=self.accel, rtl=self.rtl, engine="reference")
            if not two.passed or not four.passed:
                raise ToolError("the RTL fails with every reset in its place")

    def _seed(self) -> int | None:
        for model, x in self._cases:
            # The first seed runs without resets, the others with some: all of them here with some.
            for seeds in ((POWER_ON_SEEDS[0],), POWER_ON_SEEDS):
                try:
                    result = cosim(
                        model,
                        x,
                        accel=self.accel,
                        rtl=self.rtl,
                        optimise="-O0",
                        engine="reference",
                        power_on_seeds=seeds,
                    )
                except ToolError:
                    return seeds[0]
                if not result.passed:
                    return result.provenance.power_on_seed
        return None

    def _is_known(self) -> bool:
        try:
            return all(
                four_state(model, x, accel=self.accel, rtl=self.rtl, engine="reference").passed
                for model, x in self._cases
            )
        except ToolError:
            return False


def read_found(path: Path, subject: str) -> dict[str, Found]:
    """Places looked at earlier, with what was found; none where there is no file, which is begun then.

    ClickException where it is another RTL's: its first line says which.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({"subject": subject}) + "\n", encoding="utf-8")
        return {}
    try:
        first, *rest = map(json.loads, path.read_text(encoding="utf-8").splitlines())
        if first["subject"] == subject:
            return {line["place"]: Found(line["seed"], line["four_state"]) for line in rest}
    except (ValueError, KeyError, TypeError):
        pass
    raise click.ClickException(
        f"{path} is of other sources, or is no such file: expected one of {subject}; name another"
    )


@click.command()
@click.option("--accel", type=click.Choice(list(MODELS)), default="stream", show_default=True)
@click.option("--only", metavar="TEXT", default="", help="Only resets with this in FILE:LINE REGISTER.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Results so far; those in it stay.")
def resets(accel: str, only: str, out: Path | None) -> None:
    """Leave every assignment on reset out in turn, and say which of the simulators notices; takes minutes.

    Each line is added to the results as it is found, so that a run that was ended goes on where it was.
    """
    subject = f"{accel} {read_sources(rtl_dir()).sha256}"
    out = out or Path(f"runs/resets/{accel}.jsonl")
    with temporary.folder("resets") as folder:
        found = read_found(out, subject)
        trial = Trial(accel, folder)
        places = {n: f"{r.file}:{r.line} {r.register}" for n, r in enumerate(trial.resets)}
        places = {n: place for n, place in places.items() if only in place}
        if not places:
            raise click.ClickException(f"no reset has '{only}' in its place")
        try:
            trial.check()
            for count, (number, place) in enumerate(places.items(), 1):
                if place not in found:
                    found[place] = trial.leave_out(number)
                    with out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps({"place": place} | found[place]._asdict()) + "\n")
                click.echo(f"{count:4}/{len(places)} {place:46} {found[place]}")
        except FxsimError as error:
            raise click.ClickException(str(error)) from None
    seen = [found[place] for place in places.values()]
    click.echo(
        f"{len(seen)} resets: Verilator notices {sum(f.seed is not None for f in seen)}, "
        f"Icarus {sum(f.four_state for f in seen)}, nobody {sum(f == Found(None, False) for f in seen)}"
    )
