"""The recipe of a network: a TOML file that describes the chain from data to integer model. See `docs/training.md`."""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from fxsim.contract import TABLE_POINTS, TableRule
from fxsim.data import Augmentation, DataSource, Preprocessing
from fxsim.errors import FileError, FxsimError, ModelError
from fxsim.families.settings import Blocks, Dimension
from fxsim.formats.text import decode_toml, read_bounded
from fxsim.networks.few_bits import Channels, FewBitConfig, FewBitKind
from fxsim.networks.neural_ode import AttentionRule, Heads, OdeConfig, StemStride, Steps
from fxsim.networks.quantised import ShiftRule, TableFormat
from fxsim.networks.quantised_ode import Bits, Quantiser
from fxsim.networks.resmlp import Activation, Centres, GridLimit, GridPoints, NetworkConfig
from fxsim.tables.points import PointMethod

RECIPE_BYTES_MAX = 1 << 20

TOKEN_MIN, TOKEN_MAX = 1e-6, 1e6
"""Bounds of the largest value that a picture can give, once it is normalised."""

_Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,60}$")]
_Fraction = Annotated[float, Meta(gt=0, lt=1)]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Count = Annotated[int, Meta(ge=1, le=100_000)]
_Rate = Annotated[float, Meta(gt=0, le=1)]
_Weight = Annotated[float, Meta(ge=0, le=1e6)]
_Statistics = Annotated[tuple[float, ...], Meta(min_length=1, max_length=3)]


class Device(StrEnum):
    """The device that computes while training. The same recipe gives another network of the same worth on each."""

    CPU = "cpu"
    CUDA = "cuda"


class Keep(StrEnum):
    """The epoch whose network is the result: the last, or the first of those with the greatest validation accuracy."""

    LAST = "last"
    BEST = "best"


class _Part(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    pass


class DataSection(_Part, frozen=True, kw_only=True):
    """The source of pictures, and what the network sees of them.

    `path`: the data set's folder, relative to the recipe. `validation`: the part of the training pictures that is kept
    out for validation. `mean` and `std`, per colour, of pixel / 255: both, or neither, in which case they are measured
    on the pictures left to train with.
    """

    source: DataSource
    path: str | None = None
    validation: _Fraction = 0.2
    size: Annotated[int, Meta(ge=1, le=1024)]
    colours: Annotated[int, Meta(ge=1, le=3)]
    patch: Annotated[int, Meta(ge=1, le=1024)]
    mean: _Statistics | None = None
    std: _Statistics | None = None


class NetworkSection(_Part, frozen=True, kw_only=True):
    """The network's dimensions; tokens, values and classes follow from the data. See `NetworkConfig`."""

    channels: Dimension
    hidden: Dimension
    blocks: Blocks
    activation: Activation
    centres: Centres = 8
    points: GridPoints = 64
    limit: GridLimit = 4.0


class FewBitsSection(_Part, frozen=True, kw_only=True):
    """A network of few bits, in place of [network]; size, colours and classes follow from the data. See `FewBitConfig`.

    Its weights and activations are quantised from the first epoch on, so that [train] gives the quantised network.
    """

    kind: FewBitKind
    channels: Annotated[tuple[Channels, ...], Meta(min_length=2, max_length=6)]
    levels: Annotated[int, Meta(ge=1, le=64)] = 16


class OdeSection(_Part, frozen=True, kw_only=True):
    """A Neural ODE with attention, in place of [network]; size, colours and classes follow from the data.

    See `OdeConfig`. [train] gives a float network, [quantize] the quantised one.
    """

    channels: Annotated[tuple[Channels, ...], Meta(min_length=2, max_length=6)]
    steps: Steps = 4
    heads: Heads = 4
    stem_stride: StemStride = 1
    attention: AttentionRule = AttentionRule.RELU


class TeacherSection(_Part, frozen=True, kw_only=True):
    """The recipe that makes the teacher, relative to this one."""

    recipe: Annotated[str, Meta(min_length=1, max_length=1000)]


class Schedule(_Part, frozen=True, kw_only=True):
    """Epochs over the training pictures, and a learning rate that falls from the first to the final as a cosine.

    `spline_learning_rate`: the first one of B-spline coefficients, where they have their own.
    """

    epochs: _Count
    batch: _Count = 128
    learning_rate: _Rate = 1e-3
    final_learning_rate: Annotated[float, Meta(ge=0, le=1)] = 1e-5
    spline_learning_rate: _Rate | None = None


class TrainSection(Schedule, frozen=True, kw_only=True):
    """Training on labels. `tv2`: the weight of B-splines' second-order total variation in the loss."""

    keep: Keep = Keep.LAST
    tv2: _Weight = 0.0


class TransferSection(Schedule, frozen=True, kw_only=True):
    """Knowledge transfer: each block in turn learns the teacher's activations; so many epochs for each block."""

    tv2: _Weight = 0.0


class DistillSection(Schedule, frozen=True, kw_only=True):
    """Distillation: the whole student learns the teacher's soft targets (share `alpha`) and the labels."""

    temperature: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    alpha: _Share = 0.8
    keep: Keep = Keep.LAST
    tv2: _Weight = 0.0


class QuantizeSection(Schedule, frozen=True, kw_only=True):
    """Steps from a percentile of observed magnitudes, then quantisation-aware training with distillation.

    `epochs` 0: no training. Shifts are chosen by `shift_rule` at first and again after every epoch; of a Neural ODE
    they are learnt, and `quantiser`, `weight_bits` and `activation_bits` are its own.
    """

    percentiles: Annotated[tuple[Annotated[float, Meta(gt=0, le=100)], ...], Meta(min_length=1, max_length=100)] = (
        10, 20, 30, 40, 50, 60, 70, 80, 85, 90, 92, 95, 97, 100,
    )  # fmt: skip
    observe_fraction: Annotated[float, Meta(gt=0, le=1)] = 0.2
    epochs: Annotated[int, Meta(ge=0, le=100_000)]
    learning_rate: _Rate = 1e-4
    final_learning_rate: Annotated[float, Meta(ge=0, le=1)] = 1e-6
    temperature: Annotated[float, Meta(gt=0, le=1000)] = 1.0
    alpha: _Share = 0.8
    keep: Keep = Keep.LAST
    shift_rule: ShiftRule = ShiftRule.LEAST_SQUARES
    quantiser: Quantiser = Quantiser.LSQ
    weight_bits: Bits = 8
    activation_bits: Bits = 8


class ExportSection(_Part, frozen=True, kw_only=True):
    """The form in which the integer model stores its tables; a ReLU network has none.

    The defaults are the best of their size in `docs/tables.md`; published accelerators read tables by `clamp`.
    """

    points: Annotated[int, Meta(ge=1, le=256)] = 64
    rule: TableRule = TableRule.HOLD
    method: PointMethod = PointMethod.LEAST_SQUARES

    @property
    def tables(self) -> TableFormat:
        """The same, as the quantised network takes it."""
        return TableFormat(self.points, self.rule, self.method)


class _Content(_Part, frozen=True, kw_only=True):
    """The TOML file."""

    name: _Name
    about: Annotated[str, Meta(max_length=1000)] = ""
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 2023
    threads: Annotated[int, Meta(ge=1, le=256)] = 2
    data: DataSection
    augmentation: Augmentation = Augmentation()
    network: NetworkSection | None = None
    few_bits: FewBitsSection | None = None
    ode: OdeSection | None = None
    teacher: TeacherSection | None = None
    train: TrainSection | None = None
    transfer: TransferSection | None = None
    distill: DistillSection | None = None
    quantize: QuantizeSection | None = None
    export: ExportSection = ExportSection()


@dataclass(frozen=True)
class Recipe:
    """A recipe that was read. `path` is its file as it was named; `data_path` and `teacher` are paths as they are."""

    path: Path
    name: str
    about: str
    seed: int
    threads: int
    device: Device
    data: DataSection
    data_path: Path | None
    augmentation: Augmentation
    network: NetworkSection | None
    teacher: Path | None
    train: TrainSection | None
    transfer: TransferSection | None
    distill: DistillSection | None
    quantize: QuantizeSection | None
    export: ExportSection
    few_bits: FewBitsSection | None = None
    """The network of few bits, in place of `network`."""
    ode: OdeSection | None = None
    """The Neural ODE, in place of `network`."""

    @property
    def resmlp(self) -> NetworkSection:
        """The section of a ResMLP. FxsimError where the recipe is of another network."""
        if self.network is None:
            kind = "a network of few bits" if self.ode is None else "a Neural ODE"
            raise FxsimError(f"{self.path}: is of {kind}, expected a [network]")
        return self.network

    @property
    def augments(self) -> bool:
        """Whether pictures are changed at random while training."""
        return self.augmentation != Augmentation()

    def network_config(self, preprocessing: Preprocessing, classes: int) -> NetworkConfig:
        """The network for tokens so made. ModelError where the dimensions do not fit."""
        return NetworkConfig(
            tokens=preprocessing.tokens,
            values=preprocessing.values,
            classes=classes,
            **msgspec.structs.asdict(self.resmlp),
        )

    def few_bit_config(self, preprocessing: Preprocessing, classes: int) -> FewBitConfig:
        """The network of few bits for such pictures. ModelError where the dimensions do not fit."""
        assert self.few_bits is not None, "asked for where the recipe has [few_bits]"
        size, colours = preprocessing.size, preprocessing.colours
        return FewBitConfig(size=size, colours=colours, classes=classes, **msgspec.structs.asdict(self.few_bits))

    def ode_config(self, preprocessing: Preprocessing, classes: int) -> OdeConfig:
        """The Neural ODE for such pictures. ModelError where the dimensions do not fit."""
        assert self.ode is not None, "asked for where the recipe has [ode]"
        size, colours = preprocessing.size, preprocessing.colours
        return OdeConfig(size=size, colours=colours, classes=classes, **msgspec.structs.asdict(self.ode))

    def config(self, preprocessing: Preprocessing, classes: int) -> NetworkConfig | FewBitConfig | OdeConfig:
        """The network of whichever kind for such pictures. ModelError where the dimensions do not fit."""
        if self.ode is not None:
            return self.ode_config(preprocessing, classes)
        return (self.network_config if self.few_bits is None else self.few_bit_config)(preprocessing, classes)

    def describe(self, *sections: str) -> dict[str, Any]:
        """The named sections as plain values, with seed, threads and device: what a result depends on, but for files.

        Where the data lies is no part of it; what the data is has a hash of its own.
        """
        values: dict[str, Any] = {"seed": self.seed, "threads": self.threads, "device": self.device}
        for section in sections:
            values[section] = msgspec.to_builtins(getattr(self, section))
        if "data" in values:
            del values["data"]["path"]
        return values


def load_recipe(
    path: str | os.PathLike[str], data_path: Path | None = None, seed: int | None = None, device: Device = Device.CPU
) -> Recipe:
    """Read a recipe and check it. FileError names the place.

    `data_path` and `seed` take the place of its own; `device` is what will compute, whether it is there or not.
    """
    path = Path(path)
    data = read_bounded(path, RECIPE_BYTES_MAX, "a recipe")
    content = decode_toml(str(path), data, _Content, "a recipe")
    _check_data(path, content.data)
    _check_sections(path, content)
    # Absolute: what a later change of the working folder means to nobody.
    folder = path.resolve().parent
    if data_path is None and content.data.path is not None:
        data_path = Path(os.path.normpath(folder / content.data.path))
    recipe = Recipe(
        path=path,
        name=content.name,
        about=content.about,
        seed=content.seed if seed is None else seed,
        threads=content.threads,
        device=device,
        data=content.data,
        data_path=data_path,
        augmentation=content.augmentation,
        network=content.network,
        few_bits=content.few_bits,
        ode=content.ode,
        teacher=None if content.teacher is None else Path(os.path.normpath(folder / content.teacher.recipe)),
        train=content.train,
        transfer=content.transfer,
        distill=content.distill,
        quantize=content.quantize,
        export=content.export,
    )
    pre = Preprocessing(content.data.size, content.data.colours, content.data.patch, *_statistics(content.data))
    try:
        # The number of classes is the data's.
        recipe.config(pre, classes=1)
    except ModelError as error:
        raise FileError(f"{path}: {error}") from None
    return recipe


def _statistics(data: DataSection) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The section's mean and std, or stand-ins for what will be measured."""
    if data.mean is not None and data.std is not None:
        return data.mean, data.std
    return (0.0,) * data.colours, (1.0,) * data.colours


def _check_data(path: Path, data: DataSection) -> None:
    if (data.mean is None) != (data.std is None):
        raise FileError(f"{path}: [data] has one of mean and std, expected both or neither")
    if data.source == DataSource.DIGITS and data.path is not None:
        raise FileError(f"{path}: [data] has a path, which the data set digits does not need")
    mean, std = _statistics(data)
    try:
        Preprocessing(data.size, data.colours, data.patch, mean, std)
    except ValueError as error:
        raise FileError(f"{path}: [data] {error}") from None
    # The input's step, with which this is 127, must be one that a quantised network can have.
    largest = max(max(abs(m), abs(1 - m)) / s for m, s in zip(mean, std, strict=True))
    if not TOKEN_MIN <= largest <= TOKEN_MAX:
        raise FileError(
            f"{path}: [data] mean and std give values of up to {largest:g}, expected {TOKEN_MIN:g} to {TOKEN_MAX:g}"
        )


def _check_sections(path: Path, content: _Content) -> None:
    """Check beyond what types say: sections that exclude or need each other, numbers that must fit."""
    if sum(section is not None for section in (content.network, content.few_bits, content.ode)) != 1:
        raise FileError(f"{path}: expected exactly one of [network] (a ResMLP), [few_bits] and [ode]")
    if content.few_bits is not None:
        _check_few_bits(path, content)
    if content.ode is not None:
        _check_ode(path, content)
    elif content.quantize is not None:
        for name in ("quantiser", "weight_bits", "activation_bits"):
            if getattr(content.quantize, name) != getattr(QuantizeSection(epochs=0), name):
                raise FileError(f"{path}: [quantize] has {name}, which is a Neural ODE's, expected an [ode]")
    if (content.train is None) == (content.distill is None):
        raise FileError(f"{path}: expected exactly one of [train] (on labels) and [distill] (from a teacher)")
    for name in ("transfer", "distill"):
        if getattr(content, name) is not None and content.teacher is None:
            raise FileError(f"{path}: [{name}] needs a teacher, expected a [teacher] with its recipe")
    if content.transfer is not None and content.distill is None:
        raise FileError(f"{path}: [transfer] is there without [distill], expected both")
    for name in ("train", "transfer", "distill", "quantize"):
        section = getattr(content, name)
        for rate in () if section is None else ("learning_rate", "spline_learning_rate"):
            first = getattr(section, rate)
            if first is not None and section.final_learning_rate > first:
                raise FileError(
                    f"{path}: [{name}] final_learning_rate is {section.final_learning_rate}, "
                    f"expected at most {rate}, {first}"
                )
    export = content.export
    if export.points not in TABLE_POINTS:
        raise FileError(
            f"{path}: [export] points is {export.points}, expected one of {', '.join(map(str, TABLE_POINTS))}"
        )
    if export.rule is TableRule.FULL and export.points != 256:
        raise FileError(f"{path}: [export] rule full needs 256 points, found {export.points}")


def _check_few_bits(path: Path, content: _Content) -> None:
    for name in ("teacher", "transfer", "distill", "quantize"):
        if getattr(content, name) is not None:
            raise FileError(f"{path}: has [{name}], which a network of few bits has not; expected [train] alone")
    data = content.data
    largest = max((max(abs(m), abs(1 - m)) / s for m, s in zip(*_statistics(data), strict=True)), default=0)
    if data.patch != 1 or data.mean is None or largest > 1:
        raise FileError(
            f"{path}: [data] expected for a network of few bits: patch 1, and mean and std that give values of -1 to 1"
        )


def _check_ode(path: Path, content: _Content) -> None:
    for name in ("teacher", "transfer", "distill"):
        if getattr(content, name) is not None:
            raise FileError(f"{path}: has [{name}], which a Neural ODE has not; expected [train] and [quantize]")
    if content.data.patch != 1:
        raise FileError(f"{path}: [data] patch is {content.data.patch}, expected 1 for a Neural ODE")
    if content.quantize is not None and content.quantize.shift_rule is not ShiftRule.LEAST_SQUARES:
        raise FileError(f"{path}: [quantize] has a shift_rule, but the shifts of a Neural ODE are learnt")
