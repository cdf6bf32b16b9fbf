"""The whole design as a check of mutants: a co-simulation with the model, of which every tap is compared, and a proof.

Each is a process of its own with a cache of simulators of its own: those that users have built stay.
"""

import contextlib
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from fxsim import temporary
from fxsim.devices import DEVICES, make_settings
from fxsim.devices.base import Fitted
from fxsim.errors import FxsimError, ToolError
from fxsim.formats import load, model_sha256
from fxsim.mutation import benches
from fxsim.mutation.benches import Run
from fxsim.mutation.children import NEVER, Stop, finish, limited
from fxsim.mutation.kept import kept
from fxsim.mutation.kinds import Mutant, make_mutants
from fxsim.mutation.record import FOLDERS, WHOLE, Judged, Record, make_record, row_of
from fxsim.mutation.run import Progress, Request, choose, judge_all
from fxsim.paths import cache_dir, golden_dir, verilog_files
from fxsim.prove.kept import PACKAGE_SHA256
from fxsim.simulate.build import optimisation
from fxsim.simulate.process import HANGS
from fxsim.simulate.sources import hash_parts
from fxsim.simulate.tools import find_toolchain

STALLS = "random:1"
"""Stalls of both sides in the whole accelerator."""
SECONDS_MAX = 1200.0
"""Processor seconds that a co-simulation may take, its build among them, beyond which a mutant has timed out."""
_OF_VERILOG = re.compile(r"%(?:Error|Warning)")
"""Verilator's words on the Verilog that it builds or simulates."""
_SAID = "fxsim: error: "


@dataclass(frozen=True)
class Design:
    """A model, images in a .npy file, and the device that computes it: an accelerator, or a described design.

    `options`: more words for `fxsim cosim`.
    """

    model: Path
    images: Path
    device: str
    settings: dict[str, object] = field(default_factory=dict)
    rtl: Path | None = None
    options: tuple[str, ...] = ()

    def fit(self) -> Fitted:
        """The device fitted to the model."""
        device = DEVICES[self.device]
        return device.fit(load(self.model), make_settings(device.name, device.settings, self.settings))

    def key(self) -> dict[str, object]:
        """All that a co-simulation rests on beside the Verilog."""
        tools = find_toolchain(optimisation())
        return {
            "package": PACKAGE_SHA256,
            "model": model_sha256(load(self.model)),
            "images": hash_parts(self.images.read_bytes()),
            "device": self.device,
            "options": self.options,
            "simulator": [tools.verilator_version, tools.compiler_version, tools.processor, optimisation()],
        }

    def cosim(self, folder: Path, work: Path, stop: Stop = NEVER) -> Run:
        """The end of a co-simulation of the Verilog in `folder`, as `keep_sources` wrote it.

        Invalid is Verilog that Verilator, or the description, does not take; ToolError, with what was said, where it
        ended otherwise without a verdict.
        """
        command: list[str] = [sys.executable, "-m", "fxsim", "cosim", str(self.model), str(self.images), "--json"]
        command += self.options
        dut = self.settings.get("dut")
        command += (
            ["--accel", self.device, "--rtl", str(folder)]
            if dut is None
            else ["--dut", str(folder / Path(str(dut)).name)]
        )
        begun = benches.children_seconds()
        status, printed = finish(limited(command, SECONDS_MAX), work, 30 * SECONDS_MAX, stop, _environment())
        seconds = benches.children_seconds() - begun
        if status < 0 or status > 128:
            return Run(benches.TIMED_OUT, "cosim", "time limit", f"more than {SECONDS_MAX:.0f} processor seconds")
        if status == 0:
            return Run(benches.PASSED, "cosim", seconds=seconds)
        try:
            found: dict[str, Any] = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
        except ValueError:
            words = " ".join(printed.split()).replace(str(folder), "").replace(str(work), "")
            words = words[max(words.find(_SAID), 0) :]
            if HANGS in words:
                return Run(benches.TIMED_OUT, "cosim", "time limit", HANGS)
            # What a description's own command says is of no Verilog.
            described = None if dut is None else f"{_SAID}/{Path(str(dut)).name}: "
            refused = described is not None and words.startswith(described) and f"{described}command: " not in words
            if not refused and _OF_VERILOG.search(words) is None:
                raise ToolError(f"a mutant's co-simulation ended without a verdict: {words[:300]}") from None
            return Run(benches.INVALID, "cosim", words=words[:200])
        return Run(benches.KILLED, "cosim", *_reason(found))

    def prove(self, folder: Path, work: Path, stop: Stop = NEVER) -> Run:
        """The end of a proof that an accelerator's Verilog in `folder` computes the model: killed where it is refuted.

        Not killed where it is not proved, nor where the Verilog is not taken: a mutant that changes nothing may be so.
        """
        command = [sys.executable, "-m", "fxsim", "prove", str(self.model), "--accel", self.device]
        command += ["--rtl", str(folder), "--schedule", STALLS, "--json"]
        status, printed = finish(limited(command, SECONDS_MAX), work, 30 * SECONDS_MAX, stop, _environment())
        if status == 0:
            return Run(benches.PASSED, "proof")
        try:
            found: dict[str, Any] = json.loads(printed[printed.index("{") : printed.rindex("}") + 1])
        except ValueError:
            return Run(benches.PASSED, "proof", "not decided")
        if found.get("status") != "refuted":
            return Run(benches.PASSED, "proof", "not decided")
        return Run(benches.KILLED, "proof", "refuted", f"{Path(self.model).stem}, {self.device}")


def _environment() -> dict[str, str]:
    return os.environ | {"FXSIM_CACHE": str(cache_dir() / "mutants" / "simulators"), "FXSIM_PROGRESS": "0"}


def _reason(found: dict[str, Any]) -> tuple[str, str]:
    """The way in which a co-simulation failed, and its place."""
    verdict = found.get("verdict", {})
    first = verdict.get("first_mismatch")
    if first is not None:
        place = ", ".join(f"{name} {first[name]}" for name in ("tap", "image", "token", "channel") if name in first)
        return "difference", f"first difference: {place}"
    return "time limit of the bench" if found.get("stop") else "rule of the streams", "no value differs"


class _Sources(NamedTuple):
    """A design's files as they were written to `folder`: the text of each, by name, and all mutants of the modules."""

    folder: Path
    texts: dict[str, str]
    mutants: list[Mutant]


def own_designs(folder: str) -> list[Design]:
    """The accelerators that a module's folder of `rtl/` is part of, each with the small models of the golden folder."""
    golden = golden_dir()
    return [
        Design(
            golden / f"{model}.safetensors", golden / "images_16x12.npy", device, options=("--stall", STALLS)
        )
        for device, folders in FOLDERS.items() if folder in folders
        for model in ("small", "small_relu")
    ]  # fmt: skip


class Accelerators:
    """Judges mutants of the accelerators' modules by the whole that they are part of: a proof, then co-simulation."""

    def __init__(self, rtl: Path, stop: Stop, fresh: bool) -> None:
        self._rtl, self._stop, self._fresh = rtl, stop, fresh
        files = verilog_files(rtl)
        self._hashes = {name: hash_parts(path.read_bytes()) for name, path in files.items()}
        self._lock = threading.Lock()

    def __call__(self, mutant: Mutant, mutated: str) -> Run | None:
        """The first run that kills a mutant, or the last; None where no accelerator has its module."""
        last = None
        for design in own_designs(mutant.file.split("/")[0]):
            rests_on = design.key() | {"sources": self._hashes}
            for name, judge in (("proof", design.prove), ("co-simulation", design.cosim)):
                # One at a time: a second mutant waits for what this one asks of the original.
                with self._lock:
                    self._sound(name, judge, rests_on)
                last = self._one(judge, {**rests_on, "judge": name}, mutant, mutated)
                if last.state != benches.PASSED:
                    return last
        return last

    def _sound(self, name: str, judge: Callable[[Path, Path, Stop], Run], rests_on: Mapping[str, object]) -> None:
        def run() -> Run:
            with temporary.folder("sound") as work:
                return judge(self._rtl, work, self._stop)

        found = kept("whole", {**rests_on, "judge": name}, Run, run, self._fresh)
        if found.state != benches.PASSED or found.how:
            how = f" ({found.how})" if found.how else ""
            raise FxsimError(f"without a mutant, the {name} ends as {found.state}{how}: {found.words}")

    def _one(
        self, judge: Callable[[Path, Path, Stop], Run], rests_on: Mapping[str, object], mutant: Mutant, mutated: str
    ) -> Run:
        def run() -> Run:
            with temporary.folder("mutated") as work:
                copy = work / "rtl"
                shutil.copytree(self._rtl, copy)
                (copy / mutant.file).write_text(mutated, encoding="utf-8")
                found = judge(copy, work, self._stop)
            if found.state == benches.INVALID:
                # Verilator takes the original, and not the mutant: that finds it.
                return Run(benches.KILLED, found.test, "refused", found.words)
            return Run(found.state, found.test, found.how, found.words)

        every = {**rests_on, "file": mutant.file, "mutated": mutated}
        return kept("whole", every, Run, run, self._fresh)


@contextlib.contextmanager
def _sources(design: Design, modules: tuple[str, ...]) -> Iterator[_Sources]:
    with temporary.folder("design") as work:
        folder = work / "rtl"
        design.fit().keep_sources(design.rtl, folder)
        texts = {name: path.read_text(encoding="utf-8") for name, path in verilog_files(folder).items()}
        mutants = [mutant for name, text in texts.items() for mutant in make_mutants(text, name)]
        if modules:
            if absent := sorted(set(modules) - {mutant.module for mutant in mutants}):
                raise FxsimError(f"the design has no module '{absent[0]}' that can be mutated")
            mutants = [mutant for mutant in mutants if mutant.module in modules]
        if not mutants:
            raise FxsimError("there is nothing to mutate")
        yield _Sources(folder, texts, mutants)


def draw_design(design: Design, request: Request) -> list[Mutant]:
    """The mutants of a described design's Verilog that a request asks for; FileError as `mutate_design` raises it."""
    with _sources(design, request.modules) as sources:
        return choose(sources.mutants, request.count, request.seed, request.only)


def mutate_design(design: Design, request: Request, *, progress: Progress | None = None) -> Record:
    """Judge the mutants of a described design's Verilog that a request asks for, by its co-simulation with the model.

    Of the request count: modules, count, seed, only, jobs, fresh. FileError, by name, where Pyverilog does not read one
    of its files; FxsimError where it fails without a mutant.
    """
    stop = Stop()
    with _sources(design, request.modules) as sources:
        drawn = choose(sources.mutants, request.count, request.seed, request.only)
        key = design.key()
        hashes = {
            path.relative_to(sources.folder).as_posix(): hash_parts(path.read_bytes())
            for path in sorted(sources.folder.rglob("*")) if path.is_file()
        }  # fmt: skip
        rests_on = key | {"sources": hashes}
        sound = kept("whole", rests_on, Run, lambda: design.cosim(sources.folder, sources.folder.parent), request.fresh)
        if sound.state != benches.PASSED:
            raise FxsimError(f"without a mutant, the co-simulation ends as {sound.state}: {sound.words}")

        def judge(mutant: Mutant) -> Judged:
            text = sources.texts[mutant.file]
            mutated = mutant.apply(text)

            def run() -> Run:
                with temporary.folder("mutated") as work:
                    copy = work / "rtl"
                    shutil.copytree(sources.folder, copy)
                    (copy / mutant.file).write_text(mutated, encoding="utf-8")
                    found = design.cosim(copy, work, stop)
                return Run(found.state, found.test, found.how, found.words)

            found = kept("whole", rests_on | {"file": mutant.file, "mutated": mutated}, Run, run, request.fresh)
            return row_of(mutant, text, found, WHOLE)

        rows = judge_all(drawn, judge, request.jobs, stop, progress)
    stated = {name: value for name, value in key.items() if isinstance(value, str)}
    made_of = hash_parts(*(part.encode() for pair in hashes.items() for part in pair))
    name = Path(str(design.settings.get("dut", design.device))).name
    return make_record(name, request.seed, request.count, len(sources.mutants), stated | {"rtl": made_of}, rows)
