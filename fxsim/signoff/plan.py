"""The plan of a sign-off: models, stimuli and checks by name. See `docs/signoff.md`; `files.py` reads one.

Settings of a kind of check are a struct in that kind's file, `checks/KIND.py`; here is what all of them have.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from fxsim.errors import FxsimError
from fxsim.families import Dimensions
from fxsim.families.settings import Blocks, Dimension

if TYPE_CHECKING:
    from fxsim.signoff.judges import JudgeName
    from fxsim.signoff.simulation import Setup

PUBLISHED_VARIABLE = "FXSIM_PUBLISHED"
NETWORKS_VARIABLE = "FXSIM_NETWORKS"

Name = Annotated[str, Meta(min_length=1, max_length=100)]
Images = Annotated[int, Meta(ge=1, le=100_000)]
Seed = Annotated[int, Meta(ge=0, le=2**63 - 1)]
# Not empty: a check of nothing would pass.
Names = Annotated[tuple[Name, ...], Meta(min_length=1)]
Texts = Annotated[tuple[str, ...], Meta(min_length=1)]
Stage = Literal["V1", "V2", "V3"]
"""The stage of a check: V1 is run at every change, V2 before a release as well, V3 before tape-out."""
STAGES: tuple[Stage, ...] = get_args(Stage)
Limit = Annotated[int, Meta(ge=1, le=30 * 86_400)]
"""Seconds by the clock that a check may take."""
LIMIT: Limit = 6 * 3600
"""The limit where a plan states none."""
_Side = Annotated[int, Meta(ge=1, le=64)]
_Points = Annotated[int, Meta(ge=0, le=256)]


class Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A part of a plan: a table of its TOML, in which nothing unknown may stand."""


_PARAMETERS_MAX = 1 << 26
"""Most parameters of a generated or random model."""
_VALUES_MAX = 1 << 20
"""Most values of one of its images."""


def _check_size(d: Dimensions) -> None:
    """ValueError, to which msgspec adds the place, where dimensions are each possible and together too large."""
    if (size := d.tokens * d.values) > _VALUES_MAX:
        raise ValueError(f"an image has {size:,} values, expected at most {_VALUES_MAX:,}")
    if (size := d.blocks * (d.tokens**2 + 2 * d.channels * d.hidden) + d.channels * d.values) > _PARAMETERS_MAX:
        raise ValueError(f"the model has {size:,} parameters, expected at most {_PARAMETERS_MAX:,}")


class _MadeModel(Part, frozen=True, kw_only=True):
    """A ResMLP that is made from a seed; a subclass says of which tokens and values its images are."""

    channels: Dimension
    hidden: Dimension
    blocks: Blocks
    classes: Dimension
    points: _Points = 0
    rule: str | None = None
    seed: Seed = 0


class GeneratedModel(_MadeModel, frozen=True, kw_only=True):
    """A random ResMLP of the golden generator's: dimensions and seed. Without `points` and `rule`, a ReLU model.

    `grid` (rows, columns of patches) and `patch` (pixels) give tokens and values; see `fxsim.golden`.
    """

    grid: tuple[_Side, _Side]
    patch: _Side

    def __post_init__(self) -> None:
        _check_size(self)

    @property
    def tokens(self) -> int:
        """Tokens of an image: patches."""
        return self.grid[0] * self.grid[1]

    @property
    def values(self) -> int:
        """Values of a token: three colours of each pixel."""
        return 3 * self.patch**2


class RandomModel(_MadeModel, frozen=True, kw_only=True):
    """A ResMLP of these dimensions whose every parameter is drawn, whatever comes of it: shifts up to 255 included."""

    tokens: Dimension
    values: Dimension

    def __post_init__(self) -> None:
        _check_size(self)


class ModelSource(Part, frozen=True, kw_only=True):
    """Source of a model: exactly one of a file, a generated or random model, a folder of the published data."""

    file: str | None = None
    generate: GeneratedModel | None = None
    random: RandomModel | None = None
    published: str | None = None


class StimulusSource(Part, frozen=True, kw_only=True):
    """Source of images: a .npy file, a draw (`uniform`, `extreme`) of the model's shape, or published samples."""

    file: str | None = None
    draw: str | None = None
    images: Images = 8
    published: str | None = None


class Check(Part, frozen=True, kw_only=True, tag_field="kind"):
    """Settings that every check has. `name` is what --only takes; `about` says in a sentence what passing means.

    `stage`: the first of the stages that the check belongs to. `limit`: seconds by the clock after which it is ended;
    None: the plan's.

    A kind's settings are a subclass, whose `tag` is the word that plans have for it. Fields called `model`, `models`,
    `stimulus` and `stimuli` hold names that the plan must have.
    """

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,60}$")]
    about: str = ""
    stage: Stage = "V1"
    limit: Limit | None = None

    @property
    def kind(self) -> str:
        """The word that the plan's `kind` has for it."""
        return str(self.__struct_config__.tag)

    @property
    def named_models(self) -> tuple[str, ...]:
        """Every model of the plan that the check names."""
        return self._named("model", "models")

    @property
    def named_stimuli(self) -> tuple[str, ...]:
        """Every stimulus of the plan that the check names."""
        return self._named("stimulus", "stimuli")

    def _named(self, one: str, several: str) -> tuple[str, ...]:
        fields = msgspec.structs.asdict(self)
        return (*fields.get(several, ()), *([fields[one]] if one in fields else ()))

    @property
    def setups(self) -> "tuple[Setup, ...]":
        """The designs whose Verilog the check judges; none where it judges none."""
        return ()

    @property
    def judges(self) -> "tuple[JudgeName, ...]":
        """The folders of the clone whose testbenches or tests judge; none where fxsim's own code does alone."""
        return ()

    def problems(self) -> Iterator[str]:
        """Everything about the settings that their types do not say and that makes no sense, as a predicate each."""
        yield from ()


class Goal(Part, frozen=True, kw_only=True):
    """A figure that one of a testpoint's checks must reach: `figure` is its label in the record."""

    check: Name
    figure: Annotated[str, Meta(min_length=1, max_length=200)]
    at_least: int | float | None = None
    at_most: int | float | None = None


class Testpoint(Part, frozen=True, kw_only=True):
    """A claim of the testplan, the stage by which it must hold, and the checks, names or patterns, that show it.

    A pattern stands for the checks of the testpoint's stage and of those before. `planned`: what shows it is not there
    yet, so that its stage cannot be reached.
    """

    __test__ = False  # no test of pytest's

    name: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9-]{0,60}$")]
    stage: Stage
    claim: Annotated[str, Meta(min_length=1, max_length=1000)]
    checks: tuple[Name, ...] = ()
    goals: tuple[Goal, ...] = ()
    planned: bool = False


@dataclass(frozen=True)
class Choice:
    """A choice of a plan's checks: those that fit everything stated. Names, kinds and testpoints may be patterns.

    `failed`: names of checks of which only those are taken, as an earlier record has them.
    """

    only: tuple[str, ...] = ()
    stage: Stage | None = None
    kinds: tuple[str, ...] = ()
    testpoints: tuple[str, ...] = ()
    failed: tuple[str, ...] | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The choice as records have it; empty where nothing is chosen, but a stage perhaps."""
        kinds = (f"kind {kind}" for kind in self.kinds)
        testpoints = (f"testpoint {name}" for name in self.testpoints)
        failed = () if self.failed is None else ("not passed in the last record",)
        return (*self.only, *kinds, *testpoints, *failed)


@dataclass(frozen=True)
class Plan:
    """A plan that was read. `path` is its file, as it was named; files in it are relative to the folder it lies in.

    `seed`: what checks' own seeds are made from; `stated_seed`: that of the file, in whose place another may be given.
    `limit`: seconds by the clock that a check may take which does not state its own.
    """

    path: Path
    sha256: str
    title: str
    seed: int
    published: Path | None
    networks: Path | None
    models: dict[str, ModelSource]
    stimuli: dict[str, StimulusSource]
    checks: tuple[Check, ...]
    stated_seed: int
    testpoints: tuple[Testpoint, ...] = ()
    limit: Limit = LIMIT

    @property
    def folder(self) -> Path:
        """The folder that relative paths in the plan start from."""
        return self.path.resolve().parent

    def select(self, choice: Choice) -> tuple[Check, ...]:
        """The checks that were chosen, in the plan's order.

        FxsimError for a name or pattern that nothing has, or only a check of a later stage; where nothing is left.
        """
        stage = choice.stage
        up_to = STAGES if stage is None else STAGES[: STAGES.index(stage) + 1]
        checks = [check for check in self.checks if check.stage in up_to]
        among = "" if stage is None else f" up to stage {stage}"
        if not checks:
            raise FxsimError(f"{self.path}: there is no check{among}")
        points = {check.name: self.testpoints_of(check) for check in checks}
        for wanted, what, has in (
            (choice.only, "'{}'", {check.name: (check.name,) for check in checks}),
            (choice.kinds, "of kind '{}'", {check.name: (check.kind,) for check in checks}),
            (choice.testpoints, "of a testpoint '{}'", points),
        ):
            for name in wanted:
                if not any(fnmatchcase(word, name) for words in has.values() for word in words):
                    known = ", ".join(dict.fromkeys(word for words in has.values() for word in words)) or "none"
                    raise FxsimError(f"{self.path}: there is no check {what.format(name)}{among}; there are: {known}")
            if wanted:
                fit = [check for check in checks if _fits(has[check.name], wanted)]
                if not fit:
                    raise FxsimError(f"{self.path}: no check is all that was chosen: {', '.join(choice.words)}{among}")
                checks = fit
        if choice.failed is not None:
            checks = [check for check in checks if check.name in choice.failed]
            if not checks:
                raise FxsimError(f"{self.path}: every check that was chosen{among} passed in the last record")
        return tuple(checks)

    def testpoints_of(self, check: Check) -> tuple[str, ...]:
        """The names of the testpoints that a check shows something of."""
        return tuple(point.name for point in self.testpoints if check.name in {c.name for c in self.checks_of(point)})

    def checks_of(self, testpoint: Testpoint) -> tuple[Check, ...]:
        """The checks that show a testpoint, in the plan's order."""
        up_to = STAGES[: STAGES.index(testpoint.stage) + 1]
        checks = [check for check in self.checks if check.stage in up_to]
        return tuple(check for check in checks if any(fnmatchcase(check.name, name) for name in testpoint.checks))

    @property
    def without_testpoint(self) -> tuple[Check, ...]:
        """Checks that no testpoint names, which show nothing of the testplan; none where there is no testplan."""
        named = {check.name for testpoint in self.testpoints for check in self.checks_of(testpoint)}
        return tuple(check for check in self.checks if self.testpoints and check.name not in named)

    def limit_of(self, check: Check) -> int:
        """The seconds by the clock after which a check is ended."""
        return self.limit if check.limit is None else check.limit

    def check_seed(self, name: str) -> int:
        """A check's own seed: from the plan's and its name, so that it does not depend on which others run."""
        return (self.seed + zlib.crc32(name.encode())) % 1_000_000


def _fits(words: tuple[str, ...], patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(word, pattern) for word in words for pattern in patterns)
