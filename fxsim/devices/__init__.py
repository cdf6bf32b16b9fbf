"""The accelerators that can be simulated and compared, one folder each; other packages can add theirs."""

from fxsim.devices.base import CycleLimit, Device, Figures, Fitted, Layout, NodeDesign, StreamState, Table, Watched
from fxsim.devices.registry import DEFAULT, DESCRIBED, DEVICES
from fxsim.devices.settings import Option, Setting, Settings, make_settings, option_words, options_of

__all__ = [
    "DEFAULT",
    "DESCRIBED",
    "DEVICES",
    "CycleLimit",
    "Device",
    "Figures",
    "Fitted",
    "Layout",
    "NodeDesign",
    "Option",
    "Setting",
    "Settings",
    "StreamState",
    "Table",
    "Watched",
    "make_settings",
    "option_words",
    "options_of",
]
