"""From the file of a quantised network to the file of its integer model, which says how pictures are given to it."""

from pathlib import Path

import msgspec
import numpy as np

from fxsim.data.input_format import InputFormat
from fxsim.errors import FxsimError
from fxsim.formats import save
from fxsim.graph import INPUT, Model
from fxsim.networks.checkpoint import Quantised, load_quantised
from fxsim.networks.export import Clipping, export, find_clipping
from fxsim.networks.quantised import QuantisedResMLP, TableFormat
from fxsim.training.keys import file_sha256

_KEPT = ("recipe", "seed", "data", "data_sha256", "torch")
"""Entries that the model's provenance takes over from its network's."""


def write_model(checkpoint: Path, output: Path, name: str | None = None, tables: TableFormat | None = None) -> Model:
    """Write the integer model of the quantised network in `checkpoint` to `output`, and return it.

    Its tables are those that the network stores; where `tables` names a format, those that the network's functions give
    in that one. `name`: by default the recipe's. FileError where a file cannot be read or written.
    """
    return write_exported(checkpoint, output, name, tables)[0]


def write_exported(
    checkpoint: Path, output: Path, name: str | None = None, tables: TableFormat | None = None
) -> tuple[Model, tuple[Clipping, ...]]:
    """`write_model`, and what of the network's weights and biases was clipped."""
    model, clipped = _export(checkpoint, name, tables)
    save(model, output)
    return model, clipped


def export_model(checkpoint: Path, name: str | None = None, tables: TableFormat | None = None) -> Model:
    """The same without writing it."""
    return _export(checkpoint, name, tables)[0]


def _export(checkpoint: Path, name: str | None, tables: TableFormat | None) -> tuple[Model, tuple[Clipping, ...]]:
    network, found = load_quantised(checkpoint)
    if tables is not None:
        if not isinstance(network, QuantisedResMLP):
            raise FxsimError(f"{checkpoint}: is no ResMLP, and so has no tables to choose a format for")
        network.store_tables(tables)
    data = found.provenance.get("data", "")
    provenance = {
        "source": "fxsim export",
        **{key: found.provenance[key] for key in _KEPT if key in found.provenance},
        "checkpoint_sha256": file_sha256(checkpoint),
        "input": InputFormat(found.preprocessing, input_step_of(network), data).encode(),
        # As the network file states them: what was asked for here may be the very same.
        "tables": "none" if network.tables is None else msgspec.json.encode(network.tables).decode(),
    }
    model = export(network, name or found.provenance.get("recipe") or checkpoint.stem, provenance)
    return model, find_clipping(network)


def input_step_of(network: Quantised) -> float:
    """The step of a network's input: a float32, exactly."""
    return float(np.float32(network.step(INPUT).item()))
