"""Context of checks: the plan's models and stimuli, read once, and somewhere to report to."""

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from fxsim.contract.arithmetic import Int8
from fxsim.errors import FileError, FxsimError, ToolError
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.formats import load, model_sha256, read_stimulus
from fxsim.formats.headers import MatrixLayout, import_headers, read_header_arrays
from fxsim.golden import generate_model, natural_images
from fxsim.graph import Model
from fxsim.signoff.plan import (
    NETWORKS_VARIABLE,
    PUBLISHED_VARIABLE,
    GeneratedModel,
    ModelSource,
    Plan,
    RandomModel,
    StimulusSource,
)
from fxsim.signoff.record import REPLAY_SCRIPT, Details
from fxsim.vectors import draw_stimulus

SAMPLES = "quant_samples.h"
FAILURES = "failures"
"""Folder beside the record: one inside for each check whose simulation failed, which repeats it anywhere."""

_CALIBRATION_IMAGES = 8


class SkipCheck(Exception):  # noqa: N818  # not an error
    """A check that cannot be carried out, for a reason that is nobody's fault."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a check. `reason` says why it failed, None where it did not; `kept` is as in the record.

    `reported`: what of it was only reported, or could not be measured, so that it did not pass either; None where all
    of it held.
    """

    summary: str
    reason: str | None
    details: Details = field(default_factory=Details)
    kept: str | None = None
    reported: str | None = None


def first_few(problems: Sequence[str], most: int = 3) -> str:
    """The first problems in one line, and how many more there are; empty where there is none."""
    left = f"; and {len(problems) - most} more" if len(problems) > most else ""
    return "; ".join(problems[:most]) + left


def summarise(summary: str, problems: list[str], details: Details, reported: str | None = None) -> Outcome:
    """The outcome of a check: `summary` where there are no problems, otherwise their number and the first of them."""
    if not problems:
        return Outcome(summary, None, details, reported=reported)
    return Outcome(f"{len(problems)} problem(s)", first_few(problems, 5), details)


@dataclass
class Context:
    """Models and stimuli by name, read once for all checks of a process, and the hashes of those that a check used.

    `output` is the folder that record and report will be written to, None where nothing is.
    """

    plan: Plan
    progress: Callable[[int, int], None]
    status: Callable[[str], None]
    output: Path | None = None
    hashes: dict[str, str] = field(default_factory=dict)
    _models: dict[str, tuple[Model, str]] = field(default_factory=dict)

    def path(self, text: str) -> Path:
        """The place of a path that the plan names: relative ones start at the plan's folder."""
        return self.plan.folder / text

    def published(self, folder: str) -> Path:
        """A folder of the published data; SkipCheck where the data is absent, FxsimError where only that folder is."""
        return _data(self.plan.published, PUBLISHED_VARIABLE, "published reference data", folder)

    def networks(self, folder: str) -> Path:
        """A folder of other tools' networks, with what their own programs computed; errors as `published`'s."""
        return _data(self.plan.networks, NETWORKS_VARIABLE, "data of other tools' networks", folder)

    def failure_folder(self, check: str) -> Path | None:
        """The folder that keeps a failure of a check; None where nothing is written."""
        return None if self.output is None else self.output / FAILURES / check

    def discard_failure(self, check: str) -> None:
        """Delete what an earlier run kept of a check: it would contradict the new record. Nothing else is touched."""
        folder = self.failure_folder(check)
        if folder is not None and (folder / REPLAY_SCRIPT).is_file():
            if folder.is_symlink():
                raise FileError(f"{folder} is a link, expected the folder of a failure that was kept")
            shutil.rmtree(folder)

    def note_hash(self, what: str, sha256: str) -> None:
        """Keep the hash of something that a check used; ToolError where it was another one before."""
        if self.hashes.setdefault(what, sha256) != sha256:
            raise ToolError(f"{what} changed while the sign-off ran")

    def note_published(self, folder: str, *files: Path) -> None:
        """Keep the hashes of published files whose values a check compares with, each under its folder and name."""
        for path in files:
            with path.open("rb") as file:
                self.note_hash(f"published {folder}/{path.name}", hashlib.file_digest(file, "sha256").hexdigest())

    def model(self, name: str) -> Model:
        """A model of the plan's."""
        if name not in self._models:
            read = self._read_model(name, self.plan.models[name])
            self._models[name] = read, model_sha256(read)
        model, self.hashes[f"model {name}"] = self._models[name]
        return model

    def _read_model(self, name: str, source: ModelSource) -> Model:
        if source.file is not None:
            return load(self.path(source.file))
        if source.generate is not None:
            return generate(name, source.generate)
        if source.random is not None:
            return random_model(name, _config(source.random), np.random.default_rng(source.random.seed))
        assert source.published is not None  # the plan was checked
        return import_published(self.published(source.published))

    def stimulus(self, name: str, model: Model, seed: int) -> Int8:
        """Images of the plan's for a model, int8 [image, token, value]; `seed` decides what is drawn."""
        source: StimulusSource = self.plan.stimuli[name]
        if source.draw is not None:
            return draw_stimulus(source.draw, source.images, model.graph.input, seed)
        if source.file is not None:
            x = read_stimulus(self.path(source.file), model)
        else:
            assert source.published is not None  # the plan was checked
            x = published_samples(self.published(source.published))["samples_input"]
        self.hashes[f"stimulus {name}"] = hashlib.sha256(x.tobytes()).hexdigest()
        return x


def _data(root: Path | None, variable: str, what: str, folder: str) -> Path:
    """A folder of data that others published, which lie together in one."""
    if variable in os.environ and (root is None or not root.is_dir()):
        raise FxsimError(f"{variable} names {root}, which is not a folder")
    if root is None or not root.is_dir():
        where = "the plan names none" if root is None else f"there is no folder {root}"
        raise SkipCheck(f"{what} absent: {where}; {variable} can name one")
    path = root / folder
    if not path.is_dir():
        raise FxsimError(f"the {what} has no folder '{folder}': expected {path}")
    return path


def generate(name: str, source: GeneratedModel) -> Model:
    """A random model, calibrated on a few images of its own."""
    images = natural_images(_CALIBRATION_IMAGES, source.grid, source.patch, source.seed)
    return generate_model(name, _config(source), images, source.seed)


def _config(source: GeneratedModel | RandomModel) -> ResMLPConfig:
    # The record turns the rule's name into the rule, or refuses it.
    return ResMLPConfig.of(source, source.points, source.rule)  # type: ignore[arg-type]


def random_model(name: str, config: ResMLPConfig, rng: np.random.Generator) -> Model:
    """A model of random weights, some all at an end of int8; shifts mostly usual, a tenth anything from 0 to 255."""
    parameters = {}
    for parameter, shape in resmlp_parameters(config).items():
        if parameter.endswith(".shift"):
            # Mostly shifts that leave something of the value; sometimes none at all, or everything.
            usual = rng.integers(0, 14, shape)
            any_shift = rng.integers(0, 256, shape)
            parameters[parameter] = np.where(rng.random(shape) < 0.1, any_shift, usual).astype(np.uint8)
            continue
        uniform = rng.integers(-128, 128, shape)
        ends = rng.choice((-128, 127), shape)
        parameters[parameter] = (ends if rng.random() < 0.25 else uniform).astype(np.int8)
    return Model(build_resmlp(config, parameters), name)


def import_published(folder: Path) -> Model:
    """A published model, whichever way round its weights lie."""
    return import_headers(folder, MatrixLayout.AUTO)


def published_samples(folder: Path) -> dict[str, Int8]:
    """The images and stages published with a model, by the names they have there."""
    return read_header_arrays(folder / SAMPLES)
