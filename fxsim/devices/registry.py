"""The devices by name: the project's own, and those that other packages add by the entry point group `fxsim.devices`.

An entry point's name is the device's, its object a `Device` or a function without arguments that returns one. It is
loaded when the device is asked for by name.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points

from fxsim.devices.base import Device
from fxsim.devices.settings import options_of
from fxsim.errors import FxsimError, StimulusError

GROUP = "fxsim.devices"

DEFAULT = "stream"
"""The device that is simulated where none is named."""

DESCRIBED = "described"
"""The device that a description of somebody's RTL makes."""

_OWN = {
    "stream": "fxsim.devices.stream.device",
    "simd": "fxsim.devices.simd.device",
    DESCRIBED: "fxsim.devices.described.device",
}
"""Modules of the project's own devices, each of which has it as DEVICE."""


class Devices(Mapping[str, Device]):
    """Every device by name. `DEVICES[name]` loads it.

    StimulusError for a name that there is not, FxsimError in one line for a device of another package that cannot be
    loaded, or that is not what its entry point says.
    """

    def __init__(self) -> None:
        self._loaded: dict[str, Device] = {}

    @property
    def own(self) -> tuple[str, ...]:
        """Names of the project's own devices."""
        return tuple(_OWN)

    def __iter__(self) -> Iterator[str]:
        yield from _OWN
        yield from (name for name in self._entries() if name not in _OWN)

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        return name in tuple(self)

    def __getitem__(self, name: str) -> Device:
        if name not in self._loaded:
            if name in _OWN:
                device = import_module(_OWN[name]).DEVICE
            elif name in self._entries():
                device = _load(self._entries()[name])
            else:
                raise StimulusError(f"there is no accelerator '{name}'; there are: {', '.join(self)}")
            self._loaded[name] = device
        return self._loaded[name]

    @staticmethod
    def _entries() -> dict[str, EntryPoint]:
        return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)}


def _load(entry: EntryPoint) -> Device:
    where = f"the accelerator '{entry.name}' ({entry.value})"
    try:
        device = entry.load()
        if not isinstance(device, Device) and callable(device):
            device = device()
        if isinstance(device, Device):
            options_of(device.settings)
    except Exception as error:  # code of another package: anything may go wrong there
        words = " ".join(str(error).split()) or "no message"
        raise FxsimError(f"{where} cannot be loaded: {type(error).__name__}: {words}") from error
    if not isinstance(device, Device):
        raise FxsimError(f"{where} cannot be loaded: it is a {type(device).__name__}, expected a fxsim.devices.Device")
    if device.name != entry.name:
        raise FxsimError(f"{where} cannot be loaded: it calls itself '{device.name}'")
    return device


DEVICES = Devices()
