"""`manifest.json` of a folder of vectors."""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

from fxsim.errors import FileError
from fxsim.formats.text import read_json
from fxsim.operators import Axis

MANIFEST = "manifest.json"
MODEL_FILE = "model.safetensors"
STIMULUS_FILE = "stimulus.npy"
MANIFEST_BYTES_MAX = 16 << 20

SEED_MAX = 2**63 - 1

_Sha256 = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class _Record(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A record; a number format that is int8 is left out."""


class VectorFile(_Record, frozen=True):
    """One file: path inside the folder, size, hash, and the name of its array where the format has one."""

    path: str
    bytes: int
    sha256: _Sha256
    symbol: str


class VectorModel(_Record, frozen=True):
    """The model. `sha256` is of what it computes (graph, rules, widths, tensors), `file.sha256` of the file's bytes."""

    name: str
    sha256: _Sha256
    file: VectorFile


class VectorStimulus(_Record, frozen=True):
    """The inputs [image, token, value], of the format `number`. `sha256` is of the values, C order.

    `draw` names how fxsim drew them from `seed`; null where they came from elsewhere, and then `seed` is whatever the
    writer was told, or null.
    """

    shape: Annotated[tuple[int, ...], Meta(min_length=1, max_length=9)]
    index: tuple[str, ...]
    sha256: _Sha256
    draw: str | None
    seed: Annotated[int, Meta(ge=0, le=SEED_MAX)] | None
    files: tuple[VectorFile, ...]
    number: str | None = None


class VectorTap(_Record, frozen=True):
    """One tap's expected values, of the format `number`. `sha256` is of all of them, C order, kept in `file` or not.

    Files are always in the order of `index`, last fastest. `stream_order` tells what a monitor on the streaming RTL
    sees: `tokens` means token after token (the file's own order), `channels` channel after channel.
    """

    name: str
    operator: str
    shape: tuple[int, ...]
    index: tuple[str, ...]
    stream_order: Axis
    sha256: _Sha256
    file: VectorFile | None
    number: str | None = None


class VectorManifest(_Record, frozen=True):
    """Everything about a folder of vectors. `engine` and `fxsim_version` say what computed it."""

    format: Literal["fxsim.vectors"]
    version: Literal[1]
    fxsim_version: str
    engine: str
    data_format: str
    order: str
    model: VectorModel
    stimulus: VectorStimulus
    taps: tuple[VectorTap, ...]

    def files(self) -> tuple[VectorFile, ...]:
        """Every file but the manifest itself."""
        return (self.model.file, *self.stimulus.files, *(tap.file for tap in self.taps if tap.file is not None))


ORDER = (
    "Arrays are int8 in C order: the last index is fastest, images follow each other, and within an image values are "
    "token-major. stream_order tells where the streaming RTL's own order differs: the token mixer's linear is "
    "channel-major there (for each channel all tokens), because it sits between two transposing buffers."
)

ORDER_OF_FORMATS = (
    "Arrays are of the number formats stated (int8 where none is), in C order: the last index is fastest, and images "
    "follow each other."
)


def read_manifest(directory: Path) -> VectorManifest:
    """The manifest of a folder; FileError where there is none, or it is not one this fxsim reads."""
    path = directory / MANIFEST
    if not path.is_file():
        kit = " (what `--kit` writes is checked by its run.sh)" if (directory / "run.sh").is_file() else ""
        raise FileError(f"{directory}: has no {MANIFEST}, expected a folder that `fxsim vectors` wrote{kit}")
    manifest = read_json(path, VectorManifest, MANIFEST_BYTES_MAX, "a manifest of vectors that this fxsim reads")
    if manifest.stimulus.draw is not None and manifest.stimulus.seed is None:
        raise FileError(f"{path}: states the draw '{manifest.stimulus.draw}' without a seed, expected both")
    return manifest
