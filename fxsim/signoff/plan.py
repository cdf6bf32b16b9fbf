"""The plan of a sign-off: a TOML file that names models, stimuli and checks. See `docs/signoff.md`."""

import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from fxsim.cosim import Accelerator
from fxsim.engines import Engine
from fxsim.errors import FileError, FxsimError
from fxsim.formats.text import decode_toml, read_bounded
from fxsim.paths import golden_dir

PLAN_BYTES_MAX = 1 << 20
PUBLISHED_VARIABLE = "FXSIM_PUBLISHED"

_Name = Annotated[str, Meta(min_length=1, max_length=100)]
_Images = Annotated[int, Meta(ge=1, le=100_000)]
_Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
# Not empty: a check of nothing would pass.
_Names = Annotated[tuple[_Name, ...], Meta(min_length=1)]
_Texts = Annotated[tuple[str, ...], Meta(min_length=1)]
_Accelerators = Annotated[tuple[Accelerator, ...], Meta(min_length=1)]
_Cycles = Annotated[int, Meta(ge=1, le=2**53)]
_Dimension = Annotated[int, Meta(ge=1, le=4096)]
_Blocks = Annotated[int, Meta(ge=1, le=256)]
_Side = Annotated[int, Meta(ge=1, le=64)]
_Points = Annotated[int, Meta(ge=0, le=256)]
_ReadLatency = Annotated[int, Meta(ge=1, le=100_000)]


class _Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


_PARAMETERS_MAX = 1 << 26
"""Most parameters of a generated or random model."""
_VALUES_MAX = 1 << 20
"""Most values of one of its images."""


def _check_size(tokens: int, values: int, channels: int, hidden: int, blocks: int) -> None:
    """ValueError, to which msgspec adds the place, where dimensions are each possible and together too large."""
    if (size := tokens * values) > _VALUES_MAX:
        raise ValueError(f"an image has {size:,} values, expected at most {_VALUES_MAX:,}")
    if (size := blocks * (tokens**2 + 2 * channels * hidden) + channels * values) > _PARAMETERS_MAX:
        raise ValueError(f"the model has {size:,} parameters, expected at most {_PARAMETERS_MAX:,}")


class GeneratedModel(_Part, frozen=True, kw_only=True):
    """A random ResMLP of the golden generator's: dimensions and seed. Without `points` and `rule`, a ReLU model.

    `grid` (rows, columns of patches) and `patch` (pixels) give tokens and values; see `fxsim.golden`.
    """

    grid: tuple[_Side, _Side]
    patch: _Side
    channels: _Dimension
    hidden: _Dimension
    blocks: _Blocks
    classes: _Dimension
    points: _Points = 0
    rule: str | None = None
    seed: _Seed = 0

    def __post_init__(self) -> None:
        tokens, values = self.grid[0] * self.grid[1], 3 * self.patch**2
        _check_size(tokens, values, self.channels, self.hidden, self.blocks)


class RandomModel(_Part, frozen=True, kw_only=True):
    """A ResMLP of these dimensions whose every parameter is drawn, whatever comes of it: shifts up to 255 included."""

    tokens: _Dimension
    values: _Dimension
    channels: _Dimension
    hidden: _Dimension
    blocks: _Blocks
    classes: _Dimension
    points: _Points = 0
    rule: str | None = None
    seed: _Seed = 0

    def __post_init__(self) -> None:
        _check_size(self.tokens, self.values, self.channels, self.hidden, self.blocks)


class ModelSource(_Part, frozen=True, kw_only=True):
    """Where a model comes from: exactly one of a file, a generated or random model, a folder of the published data."""

    file: str | None = None
    generate: GeneratedModel | None = None
    random: RandomModel | None = None
    published: str | None = None


class StimulusSource(_Part, frozen=True, kw_only=True):
    """Where images come from: a .npy file, a draw (`uniform`, `extreme`) of the model's shape, or published samples."""

    file: str | None = None
    draw: str | None = None
    images: _Images = 8
    published: str | None = None


class _Check(_Part, frozen=True, kw_only=True, tag_field="kind"):
    """What every check has. `name` is what --only takes; `about` says in a sentence what passing means."""

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,60}$")]
    about: str = ""

    @property
    def kind(self) -> str:
        """What the plan's `kind` says."""
        return str(self.__struct_config__.tag)


class GoldenCheck(_Check, frozen=True, tag="golden", kw_only=True):
    """Every file of a golden folder against its manifest, and every statistic in it measured again."""

    directory: str


class VectorsCheck(_Check, frozen=True, tag="vectors", kw_only=True):
    """Folders of vectors, derived again by an engine."""

    directories: _Texts
    engine: Engine = Engine.NUMBA


class AccumulatorsCheck(_Check, frozen=True, tag="accumulators", kw_only=True):
    """No accumulator can overflow its stated width: worst cases proven, and reached by inputs made for it."""

    models: _Names


class EnginesCheck(_Check, frozen=True, tag="engines", kw_only=True):
    """Two engines give the same values at all taps, for each model on each stimulus."""

    models: _Names
    stimuli: _Names
    engines: tuple[Engine, Engine] = (Engine.REFERENCE, Engine.NUMBA)


class RandomModelsCheck(_Check, frozen=True, tag="random-models", kw_only=True):
    """Two engines give the same values on random models: dimensions, table rules, weights and shifts of any size."""

    count: Annotated[int, Meta(ge=1, le=10_000)]
    images: _Images = 3
    engines: tuple[Engine, Engine] = (Engine.REFERENCE, Engine.NUMBA)


class OnnxCheck(_Check, frozen=True, tag="onnx", kw_only=True):
    """ONNX Runtime, executing a model's ONNX graph, gives the engines' values at all taps, on each stimulus.

    At most `images` of each stimulus are computed. Skipped without the extra `onnx`.
    """

    models: _Names
    stimuli: _Names
    images: _Images = 8
    engines: Annotated[tuple[Engine, ...], Meta(min_length=1)] = (Engine.REFERENCE, Engine.NUMBA)


class SpeedCheck(_Check, frozen=True, tag="speed", kw_only=True):
    """Every path of the engines gives the reference engine's values on the images that it is measured with.

    Measured for some seconds: images a second of each, what the machine can do at most, and where the time goes. Only
    with `at_least` is a speed demanded: the fastest path must compute so many images a second. `threads`: by default
    one a core.
    """

    model: _Name
    stimulus: _Name
    images: Annotated[int, Meta(ge=1, le=1000)] = 32
    threads: Annotated[int, Meta(ge=1, le=1024)] | None = None
    at_least: Annotated[float, Meta(gt=0)] | None = None


class PublishedCheck(_Check, frozen=True, tag="published", kw_only=True):
    """A published model against the samples published with it.

    Taps in `exact` must be equal; of others the distance is reported. `same_as` names a folder whose model must be the
    same network. `trace` names an .npz of taps beside it, of which the distance is reported too, and what is left of it
    where the model's tables are read past their end.
    """

    folder: str
    exact: _Texts | Literal["all"]
    same_as: str | None = None
    trace: str | None = None


class BridgeCheck(_Check, frozen=True, tag="bridge", kw_only=True):
    """A model equals the quantised network in `checkpoint` by the contract's rules, on all test pictures of its data.

    Float fake-quant's differences from it are reported by cause, and none may be unexplained. Skipped without torch.
    `data_path` is the data set's folder, where it needs one.
    """

    model: _Name
    checkpoint: str
    data_path: str | None = None


class RtlCheck(_Check, frozen=True, kw_only=True):
    """What the checks of the RTL have. The last three are of the SIMD accelerator alone, None where it decides.

    `read_latency`: cycles of its memory; `batch`: images of a job; `keep`: its jobs read the parameters once.
    """

    model: _Name
    stimulus: _Name
    accelerator: Accelerator | _Accelerators = Accelerator.STREAM
    read_latency: _ReadLatency | None = None
    batch: _Images | None = None
    keep: bool | None = None

    @property
    def accelerators(self) -> tuple[Accelerator, ...]:
        """Every accelerator that is simulated."""
        return (self.accelerator,) if isinstance(self.accelerator, Accelerator) else self.accelerator


class CosimCheck(RtlCheck, frozen=True, tag="cosim", kw_only=True):
    """The RTL of an accelerator gives the model's values at every tap, under each stall pattern.

    Several accelerators are given the same images and patterns, and must each give them. In patterns, `{seed}` is the
    check's own seed.
    """

    images: _Images
    stalls: _Texts = ("none",)
    engine: Engine = Engine.NUMBA


class IntervalCheck(RtlCheck, frozen=True, tag="interval", kw_only=True):
    """In the RTL no two images that follow one another are more than `bound` cycles apart once the pipeline filled.

    `published` is shown beside it.
    """

    accelerator: Accelerator = Accelerator.STREAM
    bound: _Cycles
    published: _Cycles | None = None
    images: Annotated[int, Meta(ge=3, le=1000)] = 6


class FasterThan(_Part, frozen=True, kw_only=True):
    """Another model, and how many times its cycles an image must be those of the check's own model, at least."""

    model: _Name
    ratio: Annotated[float, Meta(gt=0, le=1000)]


class CyclesCheck(_Check, frozen=True, tag="cycles", kw_only=True):
    """In the RTL of the SIMD accelerator no image takes more than `bound` cycles, everything loaded for each image.

    That is so for jobs of one image, from start to done, and for the images of one job. With the parameters kept, where
    they fit, the cycles are reported. `published` is shown beside them.
    """

    model: _Name
    stimulus: _Name
    bound: _Cycles
    published: _Cycles | None = None
    faster_than: FasterThan | None = None
    images: Annotated[int, Meta(ge=3, le=1000)] = 4
    read_latency: _ReadLatency | None = None


class RtlFaultCheck(RtlCheck, frozen=True, tag="rtl-fault", kw_only=True):
    """A fault put into a copy of the RTL must be found, and first at tap `first_tap`: the comparison can fail.

    In `file`, the text `find` (which must stand there exactly once) is replaced by `replace`.
    """

    accelerator: Accelerator = Accelerator.STREAM
    images: _Images
    file: str
    find: str
    replace: str
    first_tap: str


Check = (
    GoldenCheck
    | VectorsCheck
    | AccumulatorsCheck
    | EnginesCheck
    | RandomModelsCheck
    | OnnxCheck
    | SpeedCheck
    | PublishedCheck
    | BridgeCheck
    | CosimCheck
    | IntervalCheck
    | CyclesCheck
    | RtlFaultCheck
)


class _Content(_Part, frozen=True, kw_only=True):
    """The TOML file."""

    title: str
    seed: _Seed
    published: str | None = None
    models: dict[_Name, ModelSource] = {}
    stimuli: dict[_Name, StimulusSource] = {}
    check: tuple[Check, ...]


@dataclass(frozen=True)
class Plan:
    """A plan that was read. `path` is its file, as it was named; files in it are relative to the folder it lies in."""

    path: Path
    sha256: str
    title: str
    seed: int
    published: Path | None
    models: dict[str, ModelSource]
    stimuli: dict[str, StimulusSource]
    checks: tuple[Check, ...]

    @property
    def folder(self) -> Path:
        """What relative paths in the plan are relative to."""
        return self.path.resolve().parent

    def select(self, names: tuple[str, ...]) -> tuple[Check, ...]:
        """The checks of these names, in the plan's order; all where none is named. FxsimError for an unknown name."""
        known = [check.name for check in self.checks]
        for name in names:
            if name not in known:
                raise FxsimError(f"{self.path}: there is no check '{name}'; there are: {', '.join(known)}")
        return tuple(check for check in self.checks if not names or check.name in names)

    def check_seed(self, name: str) -> int:
        """A check's own seed: from the plan's and its name, so that it does not depend on which others run."""
        return (self.seed + zlib.crc32(name.encode())) % 1_000_000


def default_plan() -> Path:
    """The project's own plan."""
    return golden_dir() / "signoff.toml"


def load_plan(path: str | os.PathLike[str] | None = None) -> Plan:
    """Read a plan and check it, by default the project's own. FileError names the place and what was expected.

    FXSIM_PUBLISHED in the environment names another folder of published data than the plan's.
    """
    path = Path(path) if path is not None else default_plan()
    data = read_bounded(path, PLAN_BYTES_MAX, "a sign-off plan")
    content = decode_toml(str(path), data, _Content, "a sign-off plan")
    _check_content(path, content)
    override = os.environ.get(PUBLISHED_VARIABLE)
    published = Path(override) if override else None
    if published is None and content.published is not None:
        published = Path(os.path.normpath(path.resolve().parent / content.published))
    return Plan(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        title=content.title,
        seed=content.seed,
        published=published,
        models=content.models,
        stimuli=content.stimuli,
        checks=content.check,
    )


def _check_content(path: Path, content: _Content) -> None:
    """What types alone do not say: names that must exist, once; sources that must be one of several."""
    if not content.check:
        raise FileError(f"{path}: has no checks, expected at least one [[check]]")
    names = [check.name for check in content.check]
    for name in names:
        if names.count(name) > 1:
            raise FileError(f"{path}: check '{name}' is there {names.count(name)} times")
    for model_name, model in content.models.items():
        if sum(part is not None for part in (model.file, model.generate, model.random, model.published)) != 1:
            raise FileError(f"{path}: model '{model_name}' expects exactly one of file, generate, random, published")
    for stimulus_name, stimulus in content.stimuli.items():
        if sum(part is not None for part in (stimulus.file, stimulus.draw, stimulus.published)) != 1:
            raise FileError(f"{path}: stimulus '{stimulus_name}' expects exactly one of file, draw, published")
    for check in content.check:
        if isinstance(check, EnginesCheck | RandomModelsCheck):
            one, other = (Engine.NUMBA if engine is Engine.AUTO else engine for engine in check.engines)
            if one is other:
                raise FileError(f"{path}: check '{check.name}' compares engine {one} with itself, expected two engines")
        if isinstance(check, RtlCheck):
            _check_accelerators(path, check)
        fields = msgspec.structs.asdict(check)
        models = [*fields.get("models", ()), *([fields["model"]] if "model" in fields else ())]
        if isinstance(check, CyclesCheck) and check.faster_than is not None:
            if check.faster_than.model == check.model:
                raise FileError(f"{path}: check '{check.name}' compares model '{check.model}' with itself")
            models.append(check.faster_than.model)
        stimuli = [*fields.get("stimuli", ()), *([fields["stimulus"]] if "stimulus" in fields else ())]
        for word, named, known in (("model", models, content.models), ("stimulus", stimuli, content.stimuli)):
            for used in named:
                if used not in known:
                    raise FileError(f"{path}: check '{check.name}' names {word} '{used}', which the plan does not have")


def _check_accelerators(path: Path, check: RtlCheck) -> None:
    """Each accelerator once, and settings of the SIMD accelerator only where it is simulated."""
    accelerators = check.accelerators
    for accelerator in accelerators:
        if accelerators.count(accelerator) > 1:
            raise FileError(f"{path}: check '{check.name}' names accelerator '{accelerator}' more than once")
    if accelerators == (Accelerator.STREAM,):
        for setting in ("read_latency", "batch", "keep"):
            if getattr(check, setting) is not None:
                where = "of the SIMD accelerator, which it does not simulate"
                raise FileError(f"{path}: check '{check.name}' sets {setting}, {where}")
