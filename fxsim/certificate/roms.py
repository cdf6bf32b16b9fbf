"""Memory contents that a device reads of a model: made of the model's file when a certificate is made, and checked."""

from pathlib import Path

from fxsim import temporary
from fxsim.devices import DEVICES, make_settings, options_of
from fxsim.errors import FileError
from fxsim.graph import Model

ROMS = "fxsim-roms"
"""The first part of names of what is made of a model; the device and the model's own name follow."""


def takes_no_files(device: str) -> bool:
    """Whether a device is made of fxsim alone: no setting of it names a file, which might say what is to be run."""
    return device in DEVICES and not any(option.setting.file for option in options_of(DEVICES[device].settings))


def memory_contents(model: Model, device: str) -> dict[str, bytes]:
    """Every file that a device's simulator reads of a model, at the device's default settings, by name.

    FileError for a device that there is not, or that is made of more than fxsim; ModelError where it does not take the
    model.
    """
    if not takes_no_files(device):
        raise FileError(f"there is no device '{device}' that is made of fxsim alone")
    fitted = DEVICES[device].fit(model, make_settings(device, DEVICES[device].settings, {}))
    with temporary.folder("roms") as folder:
        fitted.write_files(folder)
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in _files(folder)}


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())
