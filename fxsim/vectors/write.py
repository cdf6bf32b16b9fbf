"""Writing a folder of vectors, whole or not at all."""

import hashlib
import os
import secrets
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import msgspec

from fxsim.contract.arithmetic import Integers
from fxsim.errors import FileError, FxsimError, StimulusError
from fxsim.formats import save
from fxsim.graph import Model
from fxsim.temporary import beside
from fxsim.vectors.derive import PlannedFile, Progress, derive, no_progress
from fxsim.vectors.manifest import MANIFEST, MODEL_FILE, VectorFile, VectorManifest, read_manifest
from fxsim.vectors.stimulus import check_seed


def write_vectors(
    model: Model,
    x: Integers,
    directory: str | os.PathLike[str],
    taps: str | Iterable[str] | None = None,
    data_format: str = "hex",
    *,
    seed: int | None = None,
    draw: str | None = None,
    engine: str = "auto",
    force: bool = False,
    progress: Progress = no_progress,
) -> VectorManifest:
    """Write stimulus, model, expected values of `taps` and a manifest into a folder of their own.

    `taps` is the output by default, `x` [image, ...] as the model takes it. `seed` and `draw` are recorded: with
    `draw`, `x` must be what `draw_stimulus` gives for them. A folder that holds other vectors is replaced; one that
    holds anything else only with `force`, and then everything in it is lost. FileError where it cannot be written,
    StimulusError where `x`, a tap, the seed or the format is wrong.
    """
    x = model.check_stimulus(x)
    if len(x) == 0:
        raise StimulusError("stimulus has no images, expected at least one")
    if seed is not None:
        check_seed(seed)
    elif draw is not None:
        raise StimulusError(f"the draw '{draw}' is stated without a seed, expected both")
    names = model.select_taps(taps)
    target = Path(directory).resolve()
    if not force:
        _check_replaceable(target)
    temporary = beside(target)
    try:
        (temporary / "taps").mkdir(parents=True)
        save(model, temporary / MODEL_FILE)
        data = (temporary / MODEL_FILE).read_bytes()
        model_file = VectorFile(MODEL_FILE, len(data), hashlib.sha256(data).hexdigest(), "")

        def open_writer(plan: PlannedFile) -> _Writer:
            return _Writer(temporary, plan)

        manifest = derive(model, x, names, data_format, model_file, draw, seed, engine, open_writer, progress)
        text = msgspec.json.format(msgspec.json.encode(manifest))
        (temporary / MANIFEST).write_bytes(text + b"\n")
        _replace(temporary, target)
    except OSError as error:
        raise FileError(f"cannot write {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


class _Writer:
    """A sink that writes a new file."""

    def __init__(self, directory: Path, plan: PlannedFile) -> None:
        self._file: BinaryIO = (directory / plan.path).open("xb")

    def header(self, data: bytes) -> None:
        self._file.write(data)

    def values(self, data: bytes, _values: Integers) -> None:
        self._file.write(data)

    def close(self) -> None:
        self._file.close()


def _check_replaceable(target: Path) -> None:
    """FileError unless `target` is absent, an empty folder, or holds vectors and nothing else."""
    if not target.exists():
        if not target.parent.is_dir():
            raise FileError(f"cannot write {target}: there is no folder {target.parent}")
        return
    if not target.is_dir():
        raise FileError(f"cannot write {target}: it exists and is not a folder")
    found = {path.relative_to(target).as_posix() for path in target.rglob("*") if not path.is_dir()}
    if not found:
        return
    advice = "choose another folder, or --force to delete what is in it"
    try:
        own = {MANIFEST, *(file.path for file in read_manifest(target).files())}
    except FxsimError:
        raise FileError(f"cannot write {target}: it is not empty and holds no vectors; {advice}") from None
    if foreign := sorted(found - own):
        raise FileError(f"cannot write {target}: beside vectors it holds '{foreign[0]}'; {advice}")


def _replace(new: Path, target: Path) -> None:
    """Put folder `new` in the place of `target`, which may exist; the old one is deleted last."""
    if not target.exists():
        new.rename(target)
        return
    # No name that is swept: killed between the two moves, this is the only copy of what was there.
    old = target.with_name(f".{target.name[:40]}.{secrets.token_hex(6)}.old")
    target.rename(old)
    try:
        new.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink()
