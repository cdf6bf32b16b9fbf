"""Network files: a float or quantised ResMLP and how its pictures become tokens, as safetensors. Nothing executable."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec
import torch
from msgspec import Struct
from safetensors.torch import save as serialise
from torch import Tensor

from fxsim.data import Preprocessing
from fxsim.errors import FileError, ModelError
from fxsim.formats import atomic_write
from fxsim.formats.metadata import KEY, NETWORK, decode_metadata, open_tensors
from fxsim.formats.text import short
from fxsim.networks.few_bits import FewBitConfig, FewBitNetwork
from fxsim.networks.neural_ode import NeuralOde, OdeConfig
from fxsim.networks.quantised import LOG_STEP_LIMIT, SHIFT_LIMIT, QuantisedResMLP, TableFormat
from fxsim.networks.quantised_ode import OdeFormat, OdeNetwork
from fxsim.networks.resmlp import NetworkConfig, ResMLP
from fxsim.version import __version__

VERSION = 1
CHECKPOINT_BYTES_MAX = 1 << 30
"""Largest file that is read, in bytes."""

_SAFETENSORS_DTYPE = {torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8", torch.int8: "I8"}


Float = ResMLP | NeuralOde
"""A float network of any family that has one."""
Quantised = QuantisedResMLP | FewBitNetwork | OdeNetwork
"""A quantised network of any family."""


class CheckpointKind(StrEnum):
    """The kind of network in a file."""

    FLOAT = "float"
    QUANTISED = "quantised"


@dataclass(frozen=True)
class Checkpoint:
    """A network, in eval mode, how its pictures become tokens, and where it came from."""

    network: Float | Quantised
    preprocessing: Preprocessing
    provenance: Mapping[str, str]

    @property
    def kind(self) -> CheckpointKind:
        """Float or quantised."""
        return CheckpointKind.FLOAT if isinstance(self.network, Float) else CheckpointKind.QUANTISED


class _Metadata(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    format: str
    version: int
    fxsim_version: str
    kind: CheckpointKind
    network: NetworkConfig | None
    tables: TableFormat | None
    preprocessing: Preprocessing
    provenance: dict[str, str]
    few_bits: FewBitConfig | None = None
    """The network where it is one of few bits, in place of `network`."""
    ode: OdeConfig | None = None
    """The network where it is a Neural ODE, in place of `network`."""
    ode_formats: OdeFormat | None = None
    """Its formats, where it is a quantised one."""


def save_checkpoint(
    network: Float | Quantised,
    path: str | os.PathLike[str],
    preprocessing: Preprocessing,
    provenance: Mapping[str, str],
) -> None:
    """Write a network file, whole or not at all; the same network gives the same bytes. FileError if it cannot be."""
    quantised = not isinstance(network, Float)
    few = network.config if isinstance(network, FewBitNetwork) else None
    ode = network.config if isinstance(network, NeuralOde | OdeNetwork) else None
    content = _Metadata(
        NETWORK,
        VERSION,
        __version__,
        CheckpointKind.QUANTISED if quantised else CheckpointKind.FLOAT,
        network.config if isinstance(network, ResMLP | QuantisedResMLP) else None,
        network.tables if isinstance(network, QuantisedResMLP) else None,
        preprocessing,
        dict(provenance),
        few,
        ode,
        network.formats if isinstance(network, OdeNetwork) else None,
    )
    try:
        text = msgspec.json.encode(content, order="deterministic").decode()
    except UnicodeEncodeError:
        raise FileError(f"cannot write {path}: the provenance is not valid Unicode") from None
    except TypeError as error:
        raise FileError(f"cannot write {path}: the provenance holds what is not text: {error}") from None
    data = serialise({name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}, {KEY: text})
    with atomic_write(path) as file:
        file.write_bytes(data)
        _read(file, f"cannot write {path}")


def load_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read a network file and check all of it.

    FileError names the file, the tensor and what was expected: not a network file, damaged, of an unknown version,
    tensors missing, left over, of the wrong type or shape, or not finite.
    """
    path = Path(path)
    if not path.is_file():
        raise FileError(f"{path}: {'is not a regular file' if path.exists() else 'there is no such file'}")
    return _read(path, str(path))


def load_quantised(path: str | os.PathLike[str]) -> tuple[Quantised, Checkpoint]:
    """`load_checkpoint` for those who need a quantised network; FileError where it is a float one."""
    checkpoint = load_checkpoint(path)
    if isinstance(checkpoint.network, Float):
        raise FileError(f"{path}: holds a float network, expected a quantised one (fxsim quantize makes it)")
    return checkpoint.network, checkpoint


def load_quantised_resmlp(path: str | os.PathLike[str]) -> tuple[QuantisedResMLP, Checkpoint]:
    """`load_quantised` for those who need a ResMLP; FileError where it is another network."""
    network, checkpoint = load_quantised(path)
    if not isinstance(network, QuantisedResMLP):
        kind = "a network of few bits" if isinstance(network, FewBitNetwork) else "a Neural ODE"
        raise FileError(f"{path}: holds {kind}, expected a quantised ResMLP")
    return network, checkpoint


def load_float(path: str | os.PathLike[str]) -> tuple[Float, Checkpoint]:
    """`load_checkpoint` for those who need a float network; FileError where it is a quantised one."""
    checkpoint = load_checkpoint(path)
    if not isinstance(checkpoint.network, Float):
        raise FileError(f"{path}: holds a quantised network, expected a float one")
    return checkpoint.network, checkpoint


def _read(path: Path, where: str) -> Checkpoint:
    with open_tensors(path, where, "pt", CHECKPOINT_BYTES_MAX) as file:
        content = decode_metadata(where, file.metadata(), {VERSION: _Metadata}, NETWORK)
        network = _empty_network(where, content)
        tensors: dict[str, Tensor] = {}
        expected = network.state_dict()
        present = set(file.keys())
        for name in sorted(present - set(expected)):
            raise FileError(f"{where}: tensor '{short(name)}' belongs to nothing in the network")
        for name, wanted in expected.items():
            if name not in present:
                raise FileError(f"{where}: tensor '{name}' is missing")
            found = file.get_slice(name)
            if found.get_dtype() != _SAFETENSORS_DTYPE[wanted.dtype]:
                raise FileError(f"{where}: tensor '{name}' has type {found.get_dtype()}, expected {wanted.dtype}")
            shape = tuple(found.get_shape())
            if shape != tuple(wanted.shape):
                raise FileError(f"{where}: tensor '{name}' has shape {shape}, expected {tuple(wanted.shape)}")
            # A copy: the file's own memory would change under the network with the file.
            tensors[name] = file.get_tensor(name).clone()
            _check_values(where, name, tensors[name])
    network.load_state_dict(tensors, assign=True)
    return Checkpoint(network.eval(), content.preprocessing, content.provenance)


def _check_values(where: str, name: str, tensor: Tensor) -> None:
    if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
        raise FileError(f"{where}: tensor '{name}' has values that are not finite")
    if name.endswith(".running_var") and bool((tensor < 0).any()):
        raise FileError(f"{where}: tensor '{name}' has negative variances")
    if name.endswith(".shift") and int(tensor.max()) > SHIFT_LIMIT:
        raise FileError(f"{where}: tensor '{name}' has shift {int(tensor.max())}, expected at most {SHIFT_LIMIT}")
    if name.rpartition(".")[2] in ("log_steps", "log2") and float(tensor.abs().max()) > LOG_STEP_LIMIT:
        raise FileError(f"{where}: tensor '{name}' leaves the range -{LOG_STEP_LIMIT} to {LOG_STEP_LIMIT}")


def _empty_network(where: str, content: _Metadata) -> Float | Quantised:
    """The network on the meta device, as shapes alone: stated sizes cost nothing until the file's tensors agree."""
    config, pre = content.network, content.preprocessing
    stated = sum(network is not None for network in (config, content.few_bits, content.ode))
    if stated != 1:
        raise FileError(f"{where}: metadata states {'two networks' if stated else 'no network'}, expected one")
    if content.ode is not None:
        return _empty_ode(where, content, content.ode)
    if config is None:
        return _empty_few_bits(where, content)
    if (pre.tokens, pre.values) != (config.tokens, config.values):
        raise FileError(
            f"{where}: preprocessing gives {pre.tokens} tokens of {pre.values} values, "
            f"the network takes {config.tokens} of {config.values}"
        )
    if content.kind is CheckpointKind.FLOAT and content.tables is not None:
        raise FileError(f"{where}: metadata states a format of tables for a float network, which has none")
    try:
        with torch.device("meta"):
            if content.kind is CheckpointKind.QUANTISED:
                return QuantisedResMLP(config, content.tables)
            return ResMLP(config)
    except ModelError as error:
        raise FileError(f"{where}: {error}") from None


def _empty_few_bits(where: str, content: _Metadata) -> FewBitNetwork:
    config, pre = content.few_bits, content.preprocessing
    assert config is not None  # the caller's case
    if content.kind is not CheckpointKind.QUANTISED or content.tables is not None:
        raise FileError(f"{where}: metadata states a float network or tables, which a network of few bits has not")
    _check_pixels(where, pre, config.size, config.colours)
    with torch.device("meta"):
        return FewBitNetwork(config, folded=True)


def _empty_ode(where: str, content: _Metadata, config: OdeConfig) -> NeuralOde | OdeNetwork:
    pre, quantised = content.preprocessing, content.kind is CheckpointKind.QUANTISED
    if content.tables is not None:
        raise FileError(f"{where}: metadata states tables, which a Neural ODE has not")
    if (content.ode_formats is not None) != quantised:
        raise FileError(f"{where}: metadata states formats of a quantised network in a {content.kind} one, or none")
    _check_pixels(where, pre, config.size, config.colours)
    with torch.device("meta"):
        return NeuralOde(config) if content.ode_formats is None else OdeNetwork(config, content.ode_formats)


def _check_pixels(where: str, pre: Preprocessing, size: int, colours: int) -> None:
    if (pre.size, pre.colours, pre.patch) != (size, colours, 1):
        raise FileError(
            f"{where}: preprocessing gives {pre.size} pixels in patches of {pre.patch}, {pre.colours} colours; the "
            f"network takes {size} in patches of 1, {colours} colours"
        )
