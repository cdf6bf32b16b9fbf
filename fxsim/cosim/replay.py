"""The command that shows a failure again, and a folder that holds all it needs."""

import shlex
import shutil
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from fxsim.cosim.four_state import FourStateResult
from fxsim.cosim.result import CosimResult
from fxsim.cosim.wave_files import WAVE, write_wave_files
from fxsim.devices import DEVICES, Fitted, Settings, make_settings, option_words
from fxsim.errors import FileError
from fxsim.formats import save
from fxsim.graph import Model
from fxsim.temporary import beside
from fxsim.traces.kept import GOT, MODEL, Given

_UNKEPT = Path("failure")
"""Folder of a failure that is kept to be explained, where none was named."""


def replay_command(result: CosimResult, model: Path, stimulus: Path, rtl: Path | None = None) -> str:
    """A shell command that runs only the images a failure needs, and writes the waveform from the failing one on."""
    return _command(result, 0, model, stimulus, rtl)


def refuse_existing(directory: Path) -> None:
    """FileError where there is something already: a kept folder is always new."""
    if directory.exists():
        raise FileError(f"cannot write the folder {directory}: it exists already")


def keep(
    directory: Path,
    result: CosimResult,
    model: Model,
    x: npt.NDArray[np.generic],
    rtl: Path | None = None,
    given: Given | None = None,
) -> None:
    """Write a new folder from which a run can be repeated anywhere, whole or not at all.

    It holds the model, the images that the run needs (numbered from 0), the Verilog, what the device reads of the model
    (ROM files, a memory image), the result, replay.sh, files by which viewers open its waveform and, in `got`, what the
    RTL gave. FileError where it exists already or cannot be written.
    """
    start, stop = _images(result)
    device = DEVICES[result.provenance.accel]
    fitted = device.fit(model, make_settings(device.name, device.settings, result.provenance.settings))
    # The kept images count from 0.
    settings = fitted.kept_settings()
    command = _command(result, start, Path(MODEL), Path("images.npy"), Path("rtl"), settings)
    _write(directory, fitted, model, x[start:stop], rtl, result.flat(), command, given, result)


def keep_four_state(
    directory: Path,
    result: FourStateResult,
    model: Model,
    x: npt.NDArray[np.generic],
    rtl: Path | None = None,
    given: Given | None = None,
) -> None:
    """Write a new folder from which a run in four states can be repeated anywhere, as `keep` does."""
    images = x[result.image_start : result.image_stop]
    device = DEVICES[result.accel]
    fitted = device.fit(model, make_settings(device.name, device.settings, result.settings))
    settings = fitted.kept_settings()
    words = _four_state_words(result, Path(MODEL), Path("images.npy"), (0, len(images)), Path("rtl"), settings)
    command = shlex.join(words)
    _write(directory, fitted, model, images, rtl, result, command, given)


def explain_four_state(
    directory: Path | None, result: FourStateResult, model: Path, stimulus: Path, rtl: Path | None = None
) -> str:
    """A shell command as `explain_command`'s, of a run in four states."""
    if directory is not None:
        return diff_command(directory)
    images = result.image_start, result.image_stop
    words = [*_four_state_words(result, model, stimulus, images, rtl), "--keep", str(_UNKEPT)]
    return f"{shlex.join(words)}; {diff_command(_UNKEPT)}"


def _four_state_words(
    result: FourStateResult,
    model: Path,
    stimulus: Path,
    images: tuple[int, int],
    rtl: Path | None,
    settings: Settings | None = None,
) -> list[str]:
    words = ["fxsim", "cosim", str(model), str(stimulus), "--accel", result.accel, "--four-state"]
    words += ["--images", f"{images[0]}:{images[1]}"]
    words += option_words(settings or make_settings(result.accel, DEVICES[result.accel].settings, result.settings))
    return words + (["--rtl", str(rtl)] if rtl is not None else [])


def diff_command(directory: Path) -> str:
    """A shell command that says why values of a kept failure differ."""
    return shlex.join(["fxsim", "diff", str(directory)])


def explain_command(
    directory: Path | None, result: CosimResult, model: Path, stimulus: Path, rtl: Path | None = None
) -> str:
    """A shell command that says why values differ: of a kept failure, or one that runs and keeps it first."""
    if directory is not None:
        return diff_command(directory)
    return f"{_command(result, 0, model, stimulus, rtl, keep_in=_UNKEPT)}; {diff_command(_UNKEPT)}"


def _write(
    directory: Path,
    fitted: Fitted,
    model: Model,
    x: npt.NDArray[np.generic],
    rtl: Path | None,
    result: object,
    command: str,
    given: Given | None,
    failed: CosimResult | None = None,
) -> None:
    refuse_existing(directory)
    temporary = beside(directory)
    try:
        temporary.mkdir(parents=True)
        fitted.keep_files(temporary, model.check_stimulus(x))
        fitted.keep_sources(rtl, temporary / "rtl")
        save(model, temporary / MODEL)
        np.save(temporary / "images.npy", x)
        (temporary / "result.json").write_bytes(msgspec.json.format(msgspec.json.encode(result)))
        (temporary / "replay.sh").write_text(f'#!/bin/sh\ncd "$(dirname "$0")" && exec {command}\n', encoding="utf-8")
        (temporary / "replay.sh").chmod(0o755)
        if failed is not None:
            write_wave_files(temporary, fitted, model.graph, failed)
        if given is not None:
            given.write(temporary / GOT)
        temporary.rename(directory)
    except OSError as error:
        raise FileError(f"cannot write the folder {directory}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _images(result: CosimResult) -> tuple[int, int]:
    """The images that show the failure again, or all that were run."""
    return result.verdict.replay or (result.provenance.image_start, result.provenance.image_stop)


def _command(
    result: CosimResult,
    first: int,
    model: Path,
    stimulus: Path,
    rtl: Path | None,
    settings: Settings | None = None,
    keep_in: Path | None = None,
) -> str:
    """The command, for a stimulus that begins with image `first` of the result's; it writes a waveform, or keeps."""
    start, stop = _images(result)
    ran = result.provenance
    device = DEVICES[ran.accel]
    words = ["fxsim", "cosim", str(model), str(stimulus), "--accel", device.name]
    words += ["--images", f"{start - first}:{stop - first}", "--stall", ran.stall]
    words += ["--watchdog", str(ran.watchdog_cycles), "--power-on-seeds", str(ran.power_on_seed)]
    words += option_words(settings or make_settings(device.name, device.settings, ran.settings))
    words += ["--rtl", str(rtl)] if rtl is not None else []
    if keep_in is not None:
        return shlex.join([*words, "--keep", str(keep_in)])
    words += ["--wave", WAVE]
    # A design that gives more images than it was given fails in one that there is not.
    if (failing := result.verdict.failing_image) is not None and failing < stop:
        words += ["--wave-from", str(failing - first)]
    return shlex.join(words)
