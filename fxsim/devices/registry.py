"""The devices by name: the project's own, and those that other packages add by the entry point group `fxsim.devices`.

An entry point's name is the device's, its object a `Device` or a function without arguments that returns one. It is
loaded when the device is asked for by name.
"""

from fxsim.devices.base import Device
from fxsim.devices.settings import options_of
from fxsim.errors import StimulusError
from fxsim.plugins import Registry

GROUP = "fxsim.devices"

DEFAULT = "stream"
"""The device that is simulated where none is named."""

DESCRIBED = "described"
"""The device that a description of somebody's RTL makes."""

_OWN = {
    "stream": "fxsim.devices.stream.device",
    "simd": "fxsim.devices.simd.device",
    "composed": "fxsim.devices.composed.device",
    DESCRIBED: "fxsim.devices.described.device",
}
"""Modules of the project's own devices, each of which has it as DEVICE."""


DEVICES = Registry(
    GROUP, "accelerator", Device, _OWN, "DEVICE", StimulusError, lambda device: options_of(device.settings)
)
"""Every device by name."""
