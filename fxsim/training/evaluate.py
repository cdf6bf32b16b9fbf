"""Accuracy on a data set: of an integer model, and side by side of the networks it came from.

Every network names the class with the greatest score, the first of equal ones.
"""

import math
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from fxsim.contract.arithmetic import Int8
from fxsim.data import DataSet, DataSource, Preprocessing, fit_pictures, load_data, to_tokens
from fxsim.data.input_format import InputFormat, model_input
from fxsim.data.pictures import Float32, Int64
from fxsim.engines import Engine, run_chunks
from fxsim.errors import FxsimError, ModelError
from fxsim.formats import load, model_sha256
from fxsim.graph import INPUT, Model
from fxsim.networks.checkpoint import Checkpoint, Float, Quantised, load_float, load_quantised
from fxsim.networks.export import export
from fxsim.training.loop import Progress, deterministic, silent

CONFIDENCE = 0.95
"""Confidence of the intervals stated."""

SATURATING_BITS = 8
"""Bits of the narrowest format of which values at the ends are counted."""

_CHUNK = 256
"""Pictures that a float network computes at once."""


class Split(StrEnum):
    """A data set's pictures. `train` is all of them that are not for testing, those for validation included."""

    TEST = "test"
    TRAIN = "train"


class Accuracy(msgspec.Struct, frozen=True):
    """Pictures, of `total`, that were classified rightly, and the share's Wilson score interval `low` to `high`."""

    correct: int
    total: int
    accuracy: float
    low: float
    high: float


class Comparison(msgspec.Struct, frozen=True):
    """Two networks on the same pictures, `first` and `second` by name.

    `both`, `only_first`, `only_second`, `neither`: pictures that were classified rightly. `agreement`: pictures that
    both give the same class, right or wrong. `loss`: the accuracy that going from first to second costs, negative for a
    gain. `p_value`: McNemar's exact test, two-sided: of the pictures that only one gets right, how probable a split at
    least as uneven as this one is, were each as likely to be that one.
    """

    first: str
    second: str
    both: int
    only_first: int
    only_second: int
    neither: int
    agreement: int
    loss: float
    p_value: float


class Saturation(msgspec.Struct, frozen=True):
    """Codes of one tensor over all pictures: how many there are, and how many are its format's least and greatest.

    Of formats of fewer than 8 bits none is counted: there the ends are what the values are for.

    A code at either end may have been clipped, or just be that: white pixels, for one, have the input's code 127.
    """

    tap: str
    codes: int
    low: int
    high: int

    @property
    def share(self) -> float:
        """Codes at either end, as a share of all."""
        return (self.low + self.high) / self.codes


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was found. The same files and pictures give the same evaluation.

    `networks` has "integer" and, where their files were given, "float" and "fake-quant". `confusion[i][k]` counts the
    pictures of class i that the integer model takes for class k. `saturation` is the integer model's, the input first.
    `exports_to_model`: whether the fake-quant network exports to exactly this integer model; None without one.
    """

    model: str
    model_sha256: str
    trained_on: str
    data: str
    data_sha256: str
    split: Split
    pictures: int
    classes: int
    networks: dict[str, Accuracy]
    comparisons: tuple[Comparison, ...]
    exports_to_model: bool | None
    confusion: tuple[tuple[int, ...], ...]
    saturation: tuple[Saturation, ...]


def evaluate(
    model_path: Path,
    source: DataSource,
    path: Path | None = None,
    float_checkpoint: Path | None = None,
    quantised_checkpoint: Path | None = None,
    *,
    split: Split = Split.TEST,
    engine: Engine | str = Engine.AUTO,
    progress: Progress = silent,
) -> Evaluation:
    """Classify a data set's pictures by the integer model at `model_path`, and by the networks it came from.

    Float networks compute on one thread, so that the number of cores changes nothing. FxsimError, before anything is
    computed, where a file is missing or damaged, the model has no input format, or data set, model and networks do not
    fit each other in classes, tokens, values, preprocessing or input step.
    """
    model = load(model_path)
    wanted = InputFormat.of(model)
    classes = _classes(model)
    network = quantised = None
    if float_checkpoint is not None:
        network, checkpoint = load_float(float_checkpoint)
        _check_network(float_checkpoint, network, checkpoint, wanted, classes)
    if quantised_checkpoint is not None:
        quantised, checkpoint = load_quantised(quantised_checkpoint)
        _check_network(quantised_checkpoint, quantised, checkpoint, wanted, classes)
        _check_step(quantised_checkpoint, quantised, wanted)
    data = _load(model, source, path)
    tokens, labels = _tokens(wanted.preprocessing, data, split)
    total = len(tokens) * (1 + (network is not None) + (quantised is not None))
    done = 0

    def report(pictures: int) -> None:
        nonlocal done
        done += pictures
        progress(done, total)

    report(0)
    predictions, saturation = _run_integer(model, model_input(model, tokens, wanted.step), engine, report)
    given = {"integer": predictions}
    if network is not None:
        given["float"] = _predict(network, tokens, report)
    if quantised is not None:
        given["fake-quant"] = _predict(quantised, tokens, report)
    pairs = (("float", "integer"), ("fake-quant", "integer"), ("float", "fake-quant"))
    return Evaluation(
        model=model.name,
        model_sha256=model_sha256(model),
        trained_on=wanted.data,
        data=data.name,
        data_sha256=data.sha256,
        split=split,
        pictures=len(labels),
        classes=classes,
        networks={name: accuracy(int((found == labels).sum()), len(labels)) for name, found in given.items()},
        comparisons=tuple(
            compare(first, given[first], second, given[second], labels)
            for first, second in pairs
            if first in given and second in given
        ),
        exports_to_model=None if quantised is None else _exports_to(quantised, model),
        confusion=tuple(tuple(row) for row in confusion_matrix(labels, predictions, classes).tolist()),
        saturation=saturation,
    )


def test_tokens(preprocessing: Preprocessing, source: DataSource, path: Path | None) -> tuple[Float32, Int64]:
    """A data set's pictures to test with: tokens, float32 [n, tokens, values], and labels, int64 [n]."""
    return _tokens(preprocessing, load_data(source, path), Split.TEST)


def test_codes(model: Model, source: DataSource, path: Path | None) -> tuple[Int8, Int64]:
    """A data set's pictures to test with as the model takes them; see `model_codes`."""
    return model_codes(model, source, path, Split.TEST)


def model_codes(model: Model, source: DataSource, path: Path | None, split: Split) -> tuple[Int8, Int64]:
    """A data set's pictures as the model takes them: codes, int8 [n, tokens, values]; labels, int64 [n].

    FileError where the model has no input format; FxsimError where the data set has other classes than the model.
    """
    wanted = InputFormat.of(model)
    tokens, labels = _tokens(wanted.preprocessing, _load(model, source, path), split)
    return model_input(model, tokens, wanted.step), labels


def accuracy(correct: int, total: int) -> Accuracy:
    """The share `correct` / `total`, total >= 1, with its Wilson score interval (Wilson, 1927), without continuity."""
    from scipy.stats import binomtest

    interval = binomtest(correct, total).proportion_ci(CONFIDENCE, method="wilson")
    return Accuracy(correct, total, correct / total, float(interval.low), float(interval.high))


def compare(first: str, its: Int64, second: str, others: Int64, labels: Int64) -> Comparison:
    """Compare two networks' predictions, int64 [n], picture by picture; n >= 1."""
    from scipy.stats import binomtest

    right, too = its == labels, others == labels
    only_first, only_second = int((right & ~too).sum()), int((too & ~right).sum())
    # Where no picture tells them apart there is nothing to test.
    p_value = float(binomtest(only_first, only_first + only_second).pvalue) if only_first + only_second else 1.0
    return Comparison(
        first=first,
        second=second,
        both=int((right & too).sum()),
        only_first=only_first,
        only_second=only_second,
        neither=int((~right & ~too).sum()),
        agreement=int((its == others).sum()),
        loss=(only_first - only_second) / len(labels),
        p_value=p_value,
    )


def confusion_matrix(labels: Int64, predictions: Int64, classes: int) -> Int64:
    """Confusion matrix: pictures of class i (row) that were taken for class k (column), int64 [classes, classes]."""
    counts = np.bincount(labels * classes + predictions, minlength=classes**2)
    return counts.reshape(classes, classes).astype(np.int64)


def _classes(model: Model) -> int:
    shape = model.graph.shapes[model.graph.output]
    # Of a feature map one place: a score a channel.
    if math.prod(shape) != shape[-1]:
        raise ModelError(f"model '{model.name}' gives values of shape {shape}, expected a score a class")
    return shape[-1]


def _load(model: Model, source: DataSource, path: Path | None) -> DataSet:
    data, classes = load_data(source, path), _classes(model)
    if data.classes != classes:
        place = "" if path is None else f" in {path}"
        raise FxsimError(
            f"data set {data.name}{place} has {data.classes} classes, model '{model.name}' {classes}; "
            f"expected the data that the model was trained on, {InputFormat.of(model).data}"
        )
    return data


def _tokens(preprocessing: Preprocessing, data: DataSet, split: Split) -> tuple[Float32, Int64]:
    pictures = fit_pictures(data.test if split is Split.TEST else data.train, preprocessing)
    return to_tokens(pictures.images, preprocessing), pictures.labels


def _check_network(
    path: Path, network: Float | Quantised, checkpoint: Checkpoint, wanted: InputFormat, classes: int
) -> None:
    if checkpoint.preprocessing != wanted.preprocessing:
        raise FxsimError(
            f"{path}: takes pictures by {checkpoint.preprocessing}, the integer model by {wanted.preprocessing}; "
            "expected a network that the model came from"
        )
    if network.config.classes != classes:
        raise FxsimError(f"{path}: has {network.config.classes} classes, the integer model {classes}")


def _check_step(path: Path, network: Quantised, wanted: InputFormat) -> None:
    step = float(network.step(INPUT).detach())
    if step != wanted.step:
        raise FxsimError(
            f"{path}: has the input step {step!r}, the integer model {wanted.step!r}; "
            "expected the quantised network that the model was exported from"
        )


def _exports_to(network: Quantised, model: Model) -> bool:
    try:
        exported = export(network, model.name, {})
    except ModelError:
        # It has no stored tables, or a model cannot be made of it: whatever it is, not this model.
        return False
    return model_sha256(exported) == model_sha256(model)


def _run_integer(
    model: Model, inputs: Int8, engine: Engine | str, report: Callable[[int], None]
) -> tuple[Int64, tuple[Saturation, ...]]:
    """Predicted classes, and the saturation of every tap, the input first."""
    predictions = np.empty(len(inputs), np.int64)
    low = dict.fromkeys((INPUT, *model.graph.taps), 0)
    high, total = dict(low), dict(low)
    for part, taps in run_chunks(model, inputs, "all", engine):
        scores = taps[model.graph.output]
        predictions[part] = scores.reshape(len(scores), -1).argmax(axis=1)
        for tap, values in ((INPUT, inputs[part]), *taps.items()):
            number = model.graph.input.number if tap == INPUT else model.graph.tensors[tap].number
            if number.bits >= SATURATING_BITS:
                low[tap] += int(np.count_nonzero(values == number.low))
                high[tap] += int(np.count_nonzero(values == number.high))
            total[tap] += values.size
        report(part.stop - part.start)
    return predictions, tuple(Saturation(tap, total[tap], low[tap], high[tap]) for tap in total)


@torch.no_grad()
def _predict(network: Float | Quantised, tokens: Float32, report: Callable[[int], None]) -> Int64:
    predictions = np.empty(len(tokens), np.int64)
    with deterministic(threads=1):
        for start in range(0, len(tokens), _CHUNK):
            logits: npt.NDArray[np.float32] = network(torch.from_numpy(tokens[start : start + _CHUNK])).numpy()
            # numpy's argmax is the first of equal scores by definition; which one torch's is, is not promised.
            predictions[start : start + _CHUNK] = logits.argmax(axis=1)
            report(len(logits))
    return predictions
