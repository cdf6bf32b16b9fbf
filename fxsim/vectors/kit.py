"""A kit: a folder from which any simulator runs a device on a model's images, and says PASS or FAIL."""

import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fxsim.devices import DEFAULT, DEVICES, make_settings
from fxsim.devices.described.bench import write_kit as write_files
from fxsim.engines import Engine
from fxsim.errors import FileError, StimulusError
from fxsim.formats import save
from fxsim.graph import Model
from fxsim.temporary import beside


def write_kit(
    model: Model,
    x: npt.NDArray[np.generic],
    directory: Path,
    device: str = DEFAULT,
    settings: Mapping[str, object] | None = None,
    *,
    rtl: Path | None = None,
    engine: Engine | str = Engine.AUTO,
) -> tuple[Path, ...]:
    """Write a new folder with stimulus, expected output, memory files, Verilog and testbench; returns its files.

    `rtl`: Verilog in place of the device's own. StimulusError where the device cannot be described so, FileError where
    the folder exists or cannot be written.
    """
    made = DEVICES[device]
    images = model.check_stimulus(x)
    if len(images) == 0:
        raise StimulusError("stimulus has no images, expected at least one")
    if made.described is None:
        raise StimulusError(f"the accelerator '{device}' has no kit: nothing describes it")
    if directory.exists():
        raise FileError(f"cannot write the folder {directory}: it exists already")
    if not directory.resolve().parent.is_dir():
        raise FileError(f"cannot write the folder {directory}: there is no folder {directory.resolve().parent}")
    chosen = make_settings(device, made.settings, settings or {})
    folder = beside(directory.resolve())
    try:
        folder.mkdir()
        description = made.described(model, chosen, rtl, folder)
        # What does not fit is said of the description that was named, not of its copy.
        named = getattr(chosen, "dut", None)
        path = description if named is None else Path(named)
        write_files(path, model, images, engine, folder, description.parent)
        save(model, folder / "model.safetensors")
        folder.rename(directory)
    except OSError as error:
        raise FileError(f"cannot write the folder {directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return tuple(sorted(path.relative_to(directory) for path in directory.rglob("*") if path.is_file()))


def write_memory_files(
    model: Model, directory: Path, device: str = DEFAULT, settings: Mapping[str, object] | None = None
) -> tuple[Path, ...]:
    """Write the files that a device reads of a model (ROM files) into a new folder; returns their names.

    FileError where the folder exists and is not empty, or cannot be written, ModelError where the model does not fit
    the device.
    """
    made = DEVICES[device]
    if directory.exists() and not (directory.is_dir() and not any(directory.iterdir())):
        raise FileError(f"cannot write the folder {directory}: it exists already, and is not empty")
    fitted = made.fit(model, make_settings(device, made.settings, settings or {}))
    folder = beside(directory.resolve())
    try:
        folder.mkdir()
        fitted.write_files(folder)
        folder.rename(directory)
    except OSError as error:
        raise FileError(f"cannot write the folder {directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return tuple(sorted(path.relative_to(directory) for path in directory.rglob("*") if path.is_file()))
