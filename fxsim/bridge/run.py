"""The whole bridge of a network file: contract mode, float mode, predictions, as one record."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from fxsim.bridge.attribute import Attribution
from fxsim.bridge.compare import batches, check_same_structure, compare_contract
from fxsim.bridge.predictions import Predictions, arithmetics
from fxsim.bridge.record import BridgeRecord, FloatMode
from fxsim.contract.arithmetic import Int8, Int64
from fxsim.data import DataSource, fit_pictures, load_data, to_tokens
from fxsim.data.input_format import KEY, InputFormat
from fxsim.engines import Engine, chosen_engine
from fxsim.errors import FileError, FxsimError
from fxsim.formats import load, model_sha256, read_stimulus
from fxsim.graph import Model
from fxsim.networks.checkpoint import Checkpoint, Quantised, load_quantised
from fxsim.training.integer_model import export_model
from fxsim.training.keys import file_sha256
from fxsim.training.loop import Progress, deterministic, silent
from fxsim.version import __version__

BATCH = 64
"""Images computed at once, by default."""

EXAMPLES = 3
"""Examples kept of each cause, by default."""


@dataclass(frozen=True)
class Images:
    """Images that go through the networks: codes int8 [image, token, value], labels where there are any."""

    name: str
    sha256: str
    codes: Int8
    labels: Int64 | None


def bridge(
    checkpoint_path: Path,
    source: DataSource | None = None,
    data_path: Path | None = None,
    *,
    codes_path: Path | None = None,
    model_path: Path | None = None,
    images: int | None = None,
    batch: int = BATCH,
    threads: int = 1,
    engine: Engine | str = Engine.AUTO,
    examples: int = EXAMPLES,
    progress: Progress = silent,
) -> BridgeRecord:
    """Compare the quantised network in a file with its integer model, and account for every difference.

    The images are the first `images`, by default all, of a data set's pictures for testing, by default the data set
    that the network was trained on; or those in a .npy file of codes, `codes_path`. The integer model is exported from
    the network, or the one in the file `model_path`. Float mode follows only where the contract held.

    FxsimError, before anything is computed, where a file is missing or damaged, or network, model and data do not fit
    each other.
    """
    network, checkpoint = load_quantised(checkpoint_path)
    exported = export_model(checkpoint_path)
    model = exported if model_path is None else load(model_path)
    check_same_structure(exported, model)
    _check_input_format(model, exported)
    if codes_path is None:
        given = read_images(checkpoint_path, network, checkpoint, source, data_path, images)
    else:
        given = Images(codes_path.name, file_sha256(codes_path), read_stimulus(codes_path, model)[:images], None)
    count, done = len(given.codes), 0

    def report(number: int) -> None:
        nonlocal done
        done += number
        progress(done, total)

    # One run of the network for the contract; for float mode one, and parts of others; one for each arithmetic.
    total = count * (3 + len(arithmetics(network)))
    with deterministic(threads):
        report(0)
        contract = compare_contract(network, exported, model, given.codes, batch=batch, engine=engine, report=report)
        found = None
        if contract.equal:
            attribution, predictions = Attribution(network, model, examples, engine), Predictions(network)
            for part in batches(count, batch):
                codes = np.array(given.codes[part])
                attribution.add(codes, part.start)
                report(2 * len(codes))
                predictions.add(codes, None if given.labels is None else given.labels[part])
                report(len(codes) * len(arithmetics(network)))
            found = FloatMode(
                taps=attribution.taps,
                beginnings=attribution.beginnings,
                unaffected=attribution.unaffected,
                variants=predictions.variants,
                examples=attribution.examples,
            )
    return BridgeRecord(
        format="fxsim.bridge",
        version=1,
        fxsim_version=__version__,
        torch_version=str(torch.__version__),
        name=model.name,
        checkpoint_sha256=file_sha256(checkpoint_path),
        model_sha256=model_sha256(model),
        data=given.name,
        data_sha256=given.sha256,
        images=count,
        batch=batch,
        threads=threads,
        engine=str(chosen_engine(engine, model)),
        contract=contract,
        float_mode=found,
    )


def _check_input_format(model: Model, exported: Model) -> None:
    """FxsimError where a model says that pictures are given to it in another way than to the network."""
    if KEY not in model.provenance:
        return
    theirs, ours = InputFormat.of(model), InputFormat.of(exported)
    if (theirs.step, theirs.preprocessing) != (ours.step, ours.preprocessing):
        raise FxsimError(
            f"model '{model.name}' takes pictures by {theirs.preprocessing} and the input step {theirs.step!r}, the "
            f"network by {ours.preprocessing} and {ours.step!r}; expected a model that was exported from it"
        )


def read_images(
    path: Path,
    network: Quantised,
    checkpoint: Checkpoint,
    source: DataSource | None,
    data_path: Path | None,
    images: int | None,
) -> Images:
    """A data set's first `images` pictures for testing, as a network's codes; by default all of its own data set's.

    FxsimError where the network's file names no data set, or the data has other classes.
    """
    if source is None:
        name = checkpoint.provenance.get("data", "")
        if name not in tuple(DataSource):
            raise FileError(
                f"{path}: its provenance names no data set that fxsim reads; expected one of {', '.join(DataSource)} "
                "to be named by --data, or codes by --input"
            )
        source = DataSource(name)
    data = load_data(source, data_path)
    if data.classes != network.config.classes:
        raise FxsimError(
            f"data set {data.name} has {data.classes} classes, the network in {path} {network.config.classes}; "
            "expected the data that it was trained on"
        )
    pictures = data.test.take(range(min(images or len(data.test), len(data.test))))
    tokens = to_tokens(fit_pictures(pictures, checkpoint.preprocessing).images, checkpoint.preprocessing)
    codes: Int8 = network.input_codes(torch.from_numpy(tokens)).numpy()
    return Images(data.name, data.sha256, codes, pictures.labels)
