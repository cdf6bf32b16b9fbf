"""The command that shows a failure again, and a folder that holds all it needs."""

import shlex
import shutil
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from fxsim.cosim.result import CosimResult
from fxsim.devices import DEVICES, Settings, make_settings, option_words
from fxsim.errors import FileError
from fxsim.formats import save
from fxsim.graph import Model
from fxsim.temporary import beside


def replay_command(result: CosimResult, model: Path, stimulus: Path, rtl: Path | None = None) -> str:
    """A shell command that runs only the images a failure needs, and writes the waveform from the failing one on."""
    return _command(result, 0, model, stimulus, rtl)


def refuse_existing(directory: Path) -> None:
    """FileError where there is something already: a kept folder is always new."""
    if directory.exists():
        raise FileError(f"cannot write the folder {directory}: it exists already")


def keep(
    directory: Path, result: CosimResult, model: Model, x: npt.NDArray[np.generic], rtl: Path | None = None
) -> None:
    """Write a new folder from which a run can be repeated anywhere, whole or not at all.

    It holds the model, the images that the run needs (numbered from 0), the Verilog, what the device reads of the model
    (ROM files, a memory image), the result and replay.sh. FileError where it exists already or cannot be written.
    """
    refuse_existing(directory)
    temporary = beside(directory)
    start, stop = _images(result)
    device = DEVICES[result.provenance.accel]
    fitted = device.fit(model, make_settings(device.name, device.settings, result.provenance.settings))
    # The kept images count from 0.
    settings = fitted.kept_settings()
    command = _command(result, start, Path("model.safetensors"), Path("images.npy"), Path("rtl"), settings)
    try:
        temporary.mkdir(parents=True)
        fitted.keep_files(temporary, model.check_stimulus(x[start:stop]))
        fitted.keep_sources(rtl, temporary / "rtl")
        save(model, temporary / "model.safetensors")
        np.save(temporary / "images.npy", x[start:stop])
        (temporary / "result.json").write_bytes(msgspec.json.format(msgspec.json.encode(result.flat())))
        (temporary / "replay.sh").write_text(f'#!/bin/sh\ncd "$(dirname "$0")" && exec {command}\n', encoding="utf-8")
        (temporary / "replay.sh").chmod(0o755)
        temporary.rename(directory)
    except OSError as error:
        raise FileError(f"cannot write the folder {directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _images(result: CosimResult) -> tuple[int, int]:
    """The images that show the failure again, or all that were run."""
    return result.verdict.replay or (result.provenance.image_start, result.provenance.image_stop)


def _command(
    result: CosimResult, first: int, model: Path, stimulus: Path, rtl: Path | None, settings: Settings | None = None
) -> str:
    """The command, for a stimulus that begins with image `first` of the result's."""
    start, stop = _images(result)
    ran = result.provenance
    device = DEVICES[ran.accel]
    words = ["fxsim", "cosim", str(model), str(stimulus), "--accel", device.name]
    words += ["--images", f"{start - first}:{stop - first}", "--stall", ran.stall]
    words += ["--watchdog", str(ran.watchdog_cycles), "--power-on-seeds", str(ran.power_on_seed)]
    words += option_words(settings or make_settings(device.name, device.settings, ran.settings))
    words += ["--rtl", str(rtl)] if rtl is not None else []
    words += ["--wave", "failure.fst"]
    # A design that gives more images than it was given fails in one that there is not.
    if (failing := result.verdict.failing_image) is not None and failing < stop:
        words += ["--wave-from", str(failing - first)]
    return shlex.join(words)
